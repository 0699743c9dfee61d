//! A redis-server of a test's own: free port, temporary folder, synced append-only file; gone with the fixture.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use crate::store::LeaseStore;
use crate::store::redis::{RedisOptions, RedisStore};
use crate::store::suite::Fixture;

/// One server; several handles are several brokers on it.
pub(super) struct Server {
    pub(super) port: u16,
    pub(super) dir: tempfile::TempDir,
    arguments: Vec<String>,
    child: Mutex<Option<Child>>,
}

/// A port nobody listens on at this moment.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port()
}

/// A file of this repository.
pub(super) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Server {
    /// As safe as `deploy/redis.conf` asks for.
    pub(super) async fn safe() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"])
    }

    /// With these arguments, and no snapshots besides.
    pub(super) fn with(arguments: &[&str]) -> Self {
        Self::in_dir(tempfile::tempdir().expect("tempdir"), arguments)
    }

    /// The same in a folder that holds what the arguments name.
    pub(super) fn in_dir(dir: tempfile::TempDir, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|each| (*each).to_owned()).collect();
        let server = Self { port: free_port(), dir, arguments, child: Mutex::new(None) };
        server.start();
        server
    }

    /// Starts it, and returns when it says that it is ready.
    pub(super) fn start(&self) {
        let mut child = Command::new("redis-server")
            .args(&self.arguments)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
            .arg("--dir")
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Ready to accept connections"));
        assert!(ready, "redis-server ended at once");
        // What it says later is read and dropped, so that it never waits for a reader.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        *self.child.lock().expect("lock") = Some(child);
    }

    /// Sends a signal, `TERM` for an orderly end.
    pub(super) fn signal(&self, signal: Signal) {
        let child = self.child.lock().expect("lock");
        let id = child.as_ref().expect("it runs").id();
        kill_process(Pid::from_raw(id.try_into().expect("pid")).expect("pid"), signal).expect("kill");
    }

    /// Ends it by a signal and waits until it is gone.
    pub(super) fn stop(&self, signal: Signal) {
        self.signal(signal);
        self.child.lock().expect("lock").take().expect("it runs").wait().expect("wait");
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) async fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::new(RedisStore::open(&RedisOptions::new(self.url())).await.expect("open"))
    }

    /// A command, as an operator would type it.
    pub(super) async fn say(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.url()).expect("client");
        let mut connection = client.get_multiplexed_async_connection().await.expect("connection");
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Writes something and tells how many replicas hold it.
    pub(super) async fn wait_for_one(&self) -> i64 {
        let client = redis::Client::open(self.url()).expect("client");
        let mut connection = client.get_multiplexed_async_connection().await.expect("connection");
        let mut both = redis::pipe();
        both.cmd("SET").arg("jitney:test").arg(1).ignore().cmd("WAIT").arg(1).arg(100);
        let (count,): (i64,) = both.query_async(&mut connection).await.expect("WAIT");
        count
    }

    /// A command whose answer is a list of names, or one name.
    pub(super) async fn list(&self, words: &[&str]) -> Vec<Vec<u8>> {
        match self.say(words).await {
            redis::Value::Array(values) | redis::Value::Set(values) => {
                values.into_iter().filter_map(crate::store::redis::script::bytes).collect()
            }
            other => crate::store::redis::script::bytes(other).into_iter().collect(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().expect("lock").take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Fixture for Server {
    async fn open(&self) -> Arc<dyn LeaseStore> {
        self.store().await
    }

    async fn restart(&self) {
        self.stop(Signal::TERM);
        self.start();
    }
}
