//! Instructions a call of each core, counted by callgrind and held to `instructions.toml`: a time is noise on a busy machine,
//! a count is not.
//!
//! `cargo bench --profile count --bench instructions` fails where a count has grown by more than five per cent; with
//! `-- --write` it writes the counts down anew. It runs itself under valgrind, once for each core. Under `cargo test` the
//! cores are only called.

mod cores;
mod scene;
mod token;

use std::fs;
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use scene::Failed;

/// The core that a process under valgrind is to call.
const CORE: &str = "INSTRUCTIONS_CORE";
/// So many calls that count, after some that fill caches: a signature's nonce is random, and so is its count, a little.
const CALLS: u32 = 40;
const WARM: u32 = 10;
/// How much more than what is written down is too much; as much less is to be written down, or it could grow back unseen.
const TOLERANCE: f64 = 0.05;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Failed> {
    if let Ok(name) = std::env::var(CORE) {
        call(&name)?;
        return Ok(ExitCode::SUCCESS);
    }
    let is = |word: &str| std::env::args().any(|argument| argument == word);
    if !is("--bench") {
        cores::NAMES.into_iter().try_for_each(call)?;
        return Ok(ExitCode::SUCCESS);
    }
    let counts = cores::NAMES.into_iter().map(|name| Ok((name, counted(name)?))).collect::<Result<Vec<_>, Failed>>()?;
    if is("--write") {
        write(&counts)?;
        return Ok(ExitCode::SUCCESS);
    }
    compare(&counts)
}

/// Calls a core, in the process that is measured.
fn call(name: &str) -> Result<(), Failed> {
    let mut core = cores::core(name, (WARM + CALLS) as usize)?;
    let warm = (0..WARM).all(|_| core());
    let good = (0..CALLS).all(|_| measured_call(&mut core));
    if warm && good { Ok(()) } else { Err(format!("{name} did not come out as it must").into()) }
}

/// What callgrind counts: from the entry of this function to its end.
#[inline(never)]
fn measured_call(core: &mut cores::Call) -> bool {
    black_box(core())
}

/// Instructions a call.
fn counted(name: &str) -> Result<u64, Failed> {
    let out = home().join("target/bench").join(format!("callgrind.{name}"));
    fs::create_dir_all(out.parent().ok_or("a path in a folder")?)?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*measured_call*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .env(CORE, name)
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !run.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&run.stderr)).into());
    }
    let text = fs::read_to_string(&out)?;
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals:")).ok_or("callgrind counted nothing")?;
    let total: u64 = total.trim().parse()?;
    if total == 0 {
        return Err(format!("{name}: callgrind did not find the function that is measured").into());
    }
    Ok(total / u64::from(CALLS))
}

fn compare(counts: &[(&str, u64)]) -> Result<ExitCode, Failed> {
    let written: toml::Table = fs::read_to_string(written())?.parse()?;
    let mut code = ExitCode::SUCCESS;
    for (name, count) in counts {
        let was = written.get("instructions").and_then(|all| all.get(name)?.as_integer());
        let was = was.ok_or_else(|| format!("instructions.toml has no {name}"))?;
        #[allow(clippy::cast_precision_loss, reason = "less than a million")]
        let ratio = *count as f64 / was as f64;
        let verdict = match ratio - 1.0 {
            more if more > TOLERANCE => {
                code = ExitCode::FAILURE;
                "TOO MANY"
            }
            more if more < -TOLERANCE => "fewer: write it down, with `-- --write`",
            _ => "as before",
        };
        say(&format!("{name}: {count} instructions a call, written down {was}, {ratio:.3} times: {verdict}"));
    }
    if code == ExitCode::FAILURE {
        let with = written.get("with").and_then(toml::Value::as_str).unwrap_or_default();
        say(&format!(
            "Written down with {with}; here {}. Where the change is worth it, or the compiler's: `-- --write`.",
            tools()
        ));
    }
    Ok(code)
}

fn write(counts: &[(&str, u64)]) -> Result<(), Failed> {
    let mut text = format!(
        "# Instructions a call, by callgrind: written by `cargo bench --profile count --bench instructions -- --write`.\n\
         with = \"{}\"\n\n[instructions]\n",
        tools()
    );
    for (name, count) in counts {
        text.push_str(&format!("{name} = {count}\n"));
    }
    say(&text);
    Ok(fs::write(written(), text)?)
}

/// The compiler and valgrind, for both have a say in a count.
fn tools() -> String {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output();
        output.map_or_else(|_| program.to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    format!("{}, {}", version("rustc"), version("valgrind"))
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn written() -> PathBuf {
    home().join("benches/instructions.toml")
}

/// To standard output; a reader who has gone misses it.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
