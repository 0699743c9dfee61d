//! A real redis-server of a test's own: free port, temporary folder, settings as safe as jitney asks for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The settings that jitney asks for.
pub const SAFE: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"];

/// The server. It ends with the value.
pub struct Redis {
    port: u16,
    dir: tempfile::TempDir,
    arguments: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl Redis {
    /// With the settings that jitney asks for.
    pub fn start() -> Self {
        Self::with(&SAFE)
    }

    /// With these.
    pub fn with(arguments: &[&str]) -> Self {
        // Another process may take the port in between: then a next one is tried.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let arguments = arguments.iter().map(|each| (*each).to_owned()).collect();
            let redis = Self { port, dir: tempfile::tempdir().unwrap(), arguments, child: Mutex::new(None) };
            if redis.run() {
                return redis;
            }
        }
        panic!("redis-server does not start: is it installed?");
    }

    /// For `--store`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where its files are.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Where it listens, on the loopback address.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Stops answering, without closing a connection.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Answers again.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Dies at once.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child().take() {
            child.wait().unwrap();
        }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child().as_ref().expect("it runs"))
    }

    /// Waits for it to die of itself; whether it has.
    pub fn dies_within(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            let mut child = self.child();
            if child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
                *child = None;
                return true;
            }
            drop(child);
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    /// The size of the longest file that it has written.
    pub fn written(&self) -> u64 {
        let files = std::fs::read_dir(self.dir.path().join("appendonlydir")).unwrap();
        files.map(|file| file.unwrap().metadata().map_or(0, |meta| meta.len())).max().unwrap_or_default()
    }

    /// Starts again on the same port, with what it had written.
    pub fn restart(&self) {
        assert!(self.run(), "redis-server does not start again");
    }

    /// A command in Redis' inline form; its answer's first line.
    pub fn say(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn run(&self) -> bool {
        let mut child = Command::new("redis-server")
            .args(&self.arguments)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no", "--dir"])
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Ready to accept connections"));
        // What it says later is read and dropped, so that it never waits for a reader.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        if ready {
            *self.child() = Some(child);
        } else {
            child.wait().unwrap();
        }
        ready
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &*self.child() {
            kill_process(Pid::from_child(child), signal).unwrap();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
