//! What a verifier of the library holds, in a process of its own: this program, started again, which does nothing else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use jitney::verifier::{Verifier, VerifierOptions};

use super::common::{Broker, ISSUER, clean};
use super::scene::Failed;

const URL: &str = "REACH_VERIFIER";

/// Where this process is to be a verifier: runs it until standard input ends, and tells what it holds on each line of it.
pub fn is_child() -> bool {
    let Ok(url) = std::env::var(URL) else { return false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = VerifierOptions {
            issuer: ISSUER.into(),
            timeout: std::time::Duration::from_secs(60),
            ..VerifierOptions::new(url)
        };
        let verifier = Verifier::connect(options).await.unwrap();
        let mut lines = tokio::task::spawn_blocking(tell);
        // The verifier's tasks go on on this thread while the other one tells.
        (&mut lines).await.unwrap();
        assert!(verifier.is_fresh(), "a view that is kept is fresh");
    });
    true
}

fn tell() {
    let mut line = String::new();
    loop {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        let mut out = std::io::stdout();
        writeln!(out, "{} {}", of("VmRSS:"), of("VmHWM:")).unwrap();
        line.clear();
        if std::io::stdin().read_line(&mut line).unwrap() == 0 {
            return;
        }
    }
}

/// A verifier in a process of its own.
pub struct Held {
    child: Child,
    ask: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
}

impl Held {
    /// Starts one that has its first view.
    pub fn start(broker: &Broker) -> Result<(Self, Memory), Failed> {
        let mut child = clean(&std::env::current_exe()?.display().to_string())
            .env(URL, broker.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (ask, says) = (child.stdin.take(), BufReader::new(child.stdout.take().ok_or("no output")?));
        let mut held = Self { child, ask, says };
        let first = held.read()?;
        Ok((held, first))
    }

    /// What it holds now.
    pub fn memory(&mut self) -> Result<Memory, Failed> {
        self.ask.as_mut().ok_or("no input")?.write_all(b"\n")?;
        self.read()
    }

    /// Ends it; it must have been fresh to the last.
    pub fn finish(mut self) -> Result<(), Failed> {
        drop(self.ask.take());
        match self.child.wait()?.success() {
            true => Ok(()),
            false => Err("the verifier was not fresh".into()),
        }
    }

    fn read(&mut self) -> Result<Memory, Failed> {
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        let mut figures = line.split(" kB").map(|figure| figure.trim().parse::<f64>().map(|kib| kib / 1024.0));
        match (figures.next(), figures.next()) {
            (Some(Ok(now)), Some(Ok(most))) => Ok(Memory { now, most }),
            _ => Err(format!("the verifier ended: {line:?}").into()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In MiB: what is resident, and the most that ever was.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub now: f64,
    pub most: f64,
}
