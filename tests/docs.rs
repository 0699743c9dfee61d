//! Runs what the pages show: every ```sh block of README.md and docs/, in order, against a broker where the page asks for one.
//!
//! A page speaks to this test in HTML comments. For the page: `<!-- test: dev-broker -->` starts `jitney serve --dev` in its
//! scratch folder, `<!-- test: own-broker -->` says that the page makes and starts one of its own, which then gets a port that is
//! free; `github`, `gitlab` or `kubernetes` in its place also the surroundings of such a job or pod. For the next
//! block: `<!-- expect-exit: N -->`, `<!-- expect: TEXT -->` (anywhere in what it prints), `<!-- retry -->` (until it
//! succeeds), `<!-- file: PATH -->` (the block is that file). Other languages are not run.

mod common;

#[path = "docs/platform.rs"]
mod platform;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a broker may take to start, and a retried block to succeed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fenced block that the test does something with.
#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    /// The line of its first line, from 1.
    line: usize,
    text: String,
    /// It is this file, rather than commands.
    file: Option<String>,
    exit: i32,
    expect: Vec<String>,
    retry: bool,
}

/// A page as the test sees it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    needs_broker: bool,
    /// It makes a broker of its own by `jitney init`.
    own_broker: bool,
    platform: Option<String>,
    blocks: Vec<Block>,
}

/// Reads a page.
///
/// # Errors
/// What the page says that means nothing: a misspelt directive must not pass as prose.
fn read(text: &str) -> Result<Page, String> {
    let mut page = Page::default();
    let mut next = Block::default();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(comment) = line.trim().strip_prefix("<!--") {
            let comment = comment.trim_end_matches("-->").trim();
            let (name, value) = comment.split_once(':').unwrap_or((comment, ""));
            direct(&mut page, &mut next, name, value.trim()).map_err(|why| format!("line {}: {why}", at + 1))?;
        } else if let Some(language) = line.trim_start().strip_prefix("```") {
            let indent = line.len() - line.trim_start().len();
            let mut block = std::mem::take(&mut next);
            block.line = at + 2;
            for (_, line) in lines.by_ref().take_while(|(_, line)| line.trim() != "```") {
                block.text.push_str(line.get(indent..).unwrap_or_default());
                block.text.push('\n');
            }
            if language == "sh" || block.file.is_some() {
                page.blocks.push(block);
            } else if block != (Block { line: block.line, text: block.text.clone(), ..Block::default() }) {
                return Err(format!("line {}: directives before a block that is not run", at + 1));
            }
        }
    }
    if next == Block::default() { Ok(page) } else { Err("directives behind the last block".into()) }
}

fn direct(page: &mut Page, next: &mut Block, name: &str, value: &str) -> Result<(), String> {
    match name {
        "test" if value == "dev-broker" => page.needs_broker = true,
        "test" if value == "own-broker" => page.own_broker = true,
        "test" if matches!(value, "github" | "gitlab" | "kubernetes") => {
            page.needs_broker = true;
            page.platform = Some(value.to_owned());
        }
        "expect-exit" => next.exit = value.parse().map_err(|_| format!("`{value}` is no exit code"))?,
        "expect" => next.expect.push(value.to_owned()),
        "retry" => next.retry = true,
        "file" => next.file = Some(value.to_owned()),
        // A sentence for people.
        _ if name.contains(' ') => {}
        _ => return Err(format!("`{name}: {value}` is no directive")),
    }
    Ok(())
}

impl Page {
    /// The page as one script of bash. A block that ends with 0 runs in the shell itself, so that what it sets stays set.
    fn script(&self, name: &str) -> String {
        // What a page leaves running ends with it, however it ends.
        let mut script = String::from("set -euo pipefail\ntrap 'kill $(jobs -pr) 2> /dev/null || true' EXIT\n");
        for block in &self.blocks {
            let mut text = block.text.replace("cargo run --release -- ", "jitney ");
            if self.own_broker {
                let init = format!("jitney init --broker http://127.0.0.1:{} ", free_port());
                text = text.replace("jitney init ", &init);
            }
            let place = format!("{name}:{}", block.line);
            let _ = writeln!(script, "echo '--- {place}'");
            if let Some(file) = &block.file {
                let text = if self.platform.is_some() { platform::tried(&text) } else { text };
                let _ = write!(
                    script,
                    "mkdir -p \"$(dirname '{file}')\"\ncat > '{file}' <<'END-OF-BLOCK'\n{text}END-OF-BLOCK\n"
                );
                continue;
            }
            let plain = block.exit == 0 && block.expect.is_empty() && !block.retry;
            if plain {
                script.push_str(&text);
                continue;
            }
            let _ = writeln!(script, "block() (\nset -e\n{text})");
            let tries = if block.retry { PATIENCE.as_secs() * 2 } else { 1 };
            let _ = writeln!(
                script,
                "for try in $(seq {tries}); do set +e; out=$(block 2>&1); code=$?; set -e; \
                 [ \"$code\" = {exit} ] && break; [ \"$try\" = {tries} ] || sleep 0.5; done\nprintf '%s\\n' \"$out\"\n\
                 [ \"$code\" = {exit} ] || {{ echo \"{place}: exit $code, not {exit}\"; exit 99; }}",
                exit = block.exit,
            );
            for expected in &block.expect {
                let _ = writeln!(
                    script,
                    "grep -qF -- '{}' <<< \"$out\" || {{ echo '{place}: what was expected is not printed'; exit 99; }}",
                    expected.replace('\'', r"'\''"),
                );
            }
        }
        script
    }
}

/// A port on which nothing listens now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the program under test in front of the search path.
fn path() -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_jitney")).parent().expect("a folder");
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default())
}

/// A command in the scratch folder, with none of this machine's own settings for jitney.
fn clean(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("JITNEY_")) {
        command.env_remove(name);
    }
    command.current_dir(dir).env("PATH", path()).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A broker of the page's own; ended when dropped.
struct DevBroker(Child);

impl DevBroker {
    fn start(dir: &Path) -> Self {
        let log = fs::File::create(dir.join("broker.log")).expect("log");
        let mut command = clean("jitney", dir);
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("jitney serve");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let told = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("listening on ")));
        let broker = Self(child);
        let log = || fs::read_to_string(dir.join("broker.log")).unwrap_or_default();
        assert!(told.is_some(), "the broker did not start:\n{}", log());
        // What it prints further on must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let deadline = Instant::now() + PATIENCE;
        while !dir.join(".jitney/workload.env").exists() {
            assert!(Instant::now() < deadline, "no workload.env:\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        broker
    }
}

impl Drop for DevBroker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a page: its name relative to the repository.
fn run(name: &str) {
    let text = fs::read_to_string(root().join(name)).expect(name);
    let page = read(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
    if page.blocks.is_empty() {
        return;
    }
    let dir = tempfile::tempdir().expect("scratch folder");
    for shown in ["policies", "deploy"] {
        std::os::unix::fs::symlink(root().join(shown), dir.path().join(shown)).expect("link");
    }
    let _broker = page.needs_broker.then(|| DevBroker::start(dir.path()));
    let script = dir.path().join("page.sh");
    fs::write(&script, page.script(name)).expect("script");
    let surroundings = page.platform.as_ref().map(|name| platform::Surroundings::of(name, dir.path()));
    let mut command = clean("bash", dir.path());
    command.envs(surroundings.iter().flat_map(|each| each.settings.iter().cloned()));
    let output = command.arg(&script).output().expect("bash");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = fs::read_to_string(dir.path().join("broker.log")).unwrap_or_default();
    assert!(output.status.success(), "{name}: {}\n{out}\n{err}\nbroker:\n{log}", output.status);
}

fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).expect("docs").map(|entry| entry.expect("entry").path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.sort();
    let name = |path: PathBuf| path.strip_prefix(root()).expect("below").display().to_string();
    std::iter::once("README.md".to_owned()).chain(pages.into_iter().map(name)).collect()
}

#[test]
fn what_the_readme_shows_works() {
    run("README.md");
}

#[test]
fn what_the_other_pages_show_works() {
    for page in pages().iter().skip(1) {
        run(page);
    }
}

/// A page that cannot be run says so; nothing that looks like a command hides in a block without a language.
#[test]
fn every_block_has_a_language() {
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).expect("page");
        let mut inside = false;
        for (at, line) in text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("```")) {
            inside = !inside;
            assert!(!inside || line.trim() != "```", "{page}:{}: a block without a language", at + 1);
        }
    }
}

/// What the pages show of a platform's own files is what stands in those of `deploy/`, which tests run.
#[test]
fn what_is_shown_of_a_platform_s_files_stands_in_them() {
    let plain = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n");
    for (page, file) in
        [("github", "github/workflow.yml"), ("gitlab", "gitlab/gitlab-ci.yml"), ("kubernetes", "kubernetes/job.yaml")]
    {
        let text = fs::read_to_string(root().join(format!("docs/{page}.md"))).expect("page");
        let whole = plain(&fs::read_to_string(root().join("deploy").join(file)).expect("file"));
        let blocks: Vec<_> = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!blocks.is_empty(), "{page}");
        for block in blocks {
            assert!(
                whole.contains(plain(block).trim_end()),
                "docs/{page}.md shows what is not in deploy/{file}:\n{block}"
            );
        }
    }
}

/// So is what the page on verifying shows of the proxies' files: each block stands in one of them.
#[test]
fn what_is_shown_of_the_proxies_stands_in_their_files() {
    let plain = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n");
    let text = fs::read_to_string(root().join("docs/verify.md")).expect("page");
    let files = fs::read_dir(root().join("deploy/proxies")).expect("deploy/proxies");
    let files: Vec<_> =
        files.map(|file| plain(&fs::read_to_string(file.expect("entry").path()).expect("file"))).collect();
    let mut seen = 0;
    for language in ["nginx", "caddy", "yaml", "haproxy", "toml"] {
        for block in text.split(&format!("```{language}\n")).skip(1).filter_map(|rest| rest.split("```").next()) {
            assert!(files.iter().any(|file| file.contains(plain(block).trim_end())), "in no file:\n{block}");
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
}

/// Links between pages, and to files of the repository, lead somewhere.
#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).expect("page");
        let folder = Path::new(&page).parent().expect("a folder").to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            assert!(root().join(&folder).join(path).exists(), "{page}: {link} leads nowhere");
        }
    }
}

/// Operators alert on these names: the page has all of them, and no other.
#[test]
fn the_page_on_operations_names_every_metric() {
    let page = fs::read_to_string(root().join("docs/operations.md")).expect("page");
    let metrics = jitney::telemetry::Metrics::new();
    // A family that is labelled by workloads is told once there is one.
    metrics.set_workloads([1, 0, 0], std::iter::once(("w", "expires", 1)));
    metrics.set_certificate(1);
    let told = metrics.encode();
    let names: Vec<String> = told
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        })
        .collect();
    for name in &names {
        assert!(page.contains(&format!("`{name}`")), "docs/operations.md leaves out {name}");
    }
    let is_name = |word: &&str| word.starts_with("jitney_");
    for word in page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(is_name) {
        assert!(names.iter().any(|name| name == word), "docs/operations.md names {word}, which there is not");
    }
}

mod the_reader_itself {
    use super::*;

    const PAGE: &str = "<!-- test: dev-broker -->\n```sh\na=1\n```\n<!-- A word to people. -->\n```console\nnot run\n```\n\
        <!-- expect-exit: 3 -->\n<!-- expect: it's $a -->\n```sh\necho \"it's \\$a\"; (exit 3)\n```\n\
        <!-- file: d/f.toml -->\n```toml\nx = '$a'\n```\n```sh\ntest \"$(cat d/f.toml)\" = \"x = '\\$a'\" && test $a = 1\n```\n";

    fn outcome(page: &str) -> (bool, String) {
        let dir = tempfile::tempdir().expect("scratch folder");
        let script = read(page).expect("a page").script("p");
        let output = Command::new("bash").current_dir(dir.path()).args(["-c", &script]).output().expect("bash");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[test]
    fn takes_blocks_and_directives_apart() {
        let page = read(PAGE).unwrap();
        assert!(page.needs_broker);
        let found: Vec<_> = page.blocks.iter().map(|block| (block.line, block.exit, block.file.as_deref())).collect();
        assert_eq!(found, [(3, 0, None), (12, 3, None), (16, 0, Some("d/f.toml")), (19, 0, None)]);
        assert!(read("<!-- expct: x -->\n```sh\n```\n").is_err());
        assert!(read("<!-- expect: x -->\n```console\n```\n").is_err());
        assert!(read("<!-- expect-exit: 1 -->\n").is_err());
    }

    #[test]
    fn a_page_that_holds_passes_and_one_that_does_not_fails() {
        let (good, told) = outcome(PAGE);
        assert!(good, "{told}");
        for wrong in ["```sh\nfalse\n```\n", "```sh\nfalse | true\n```\n"] {
            assert!(!outcome(wrong).0, "{wrong}");
        }
        let (good, told) = outcome("<!-- expect-exit: 1 -->\n```sh\ntrue\n```\n");
        assert!(!good && told.contains("p:3: exit 0, not 1"), "{told}");
        let (good, told) = outcome("<!-- expect: yes -->\n```sh\necho no\n```\n");
        assert!(!good && told.contains("is not printed"), "{told}");
    }

    #[test]
    fn a_retried_block_may_fail_at_first() {
        let (good, told) = outcome("<!-- retry -->\n```sh\ntest -e second || { touch second; exit 1; }\n```\n");
        assert!(good, "{told}");
    }
}
