//! A broker that grants a numbered token to everyone and remembers what it heard.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How it behaves.
#[derive(Clone, Copy)]
pub struct Manner {
    /// The life of its tokens, seconds.
    pub ttl: u64,
    /// It refuses to grant.
    pub refuses: bool,
    /// The statuses of its answers to completions, in order; the last one for all that follow.
    pub completes: &'static [u16],
}

impl Default for Manner {
    fn default() -> Self {
        Self { ttl: 300, refuses: false, completes: &[204] }
    }
}

/// What is shared between connections.
struct State {
    manner: Manner,
    url: String,
    heard: Mutex<Vec<String>>,
}

/// The broker, for as long as the test's process runs.
pub struct Broker {
    state: Arc<State>,
    dir: tempfile::TempDir,
}

impl Broker {
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State { manner, url, heard: Mutex::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || while state.answer(&stream).is_some() {});
            }
        });
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        Self { state, dir }
    }

    pub fn url(&self) -> &str {
        &self.state.url
    }

    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The paths asked for, the metadata's left out.
    pub fn heard(&self) -> Vec<String> {
        self.state.heard.lock().unwrap().clone()
    }

    /// How often a path was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.heard().iter().filter(|each| *each == path).count()
    }
}

impl State {
    fn answer(&self, stream: &TcpStream) -> Option<()> {
        let path = request(stream)?;
        let (status, body) = if path.starts_with("/.well-known/") {
            (200, format!(r#"{{"issuer":"{0}","token_endpoint":"{0}/oauth2/token"}}"#, self.url))
        } else {
            let mut heard = self.heard.lock().unwrap();
            let before = heard.iter().filter(|each| **each == path).count();
            heard.push(path.clone());
            self.decide(&path, before)
        };
        let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nretry-after: 0\r\n{length}\r\n");
        (&mut &*stream).write_all(format!("{head}{body}").as_bytes()).ok()
    }

    fn decide(&self, path: &str, before: usize) -> (u16, String) {
        let refusal =
            |error: &str| format!(r#"{{"error":"{error}","error_description":"said so","decision_id":"fake.1"}}"#);
        if path.starts_with("/v1/tasks/") {
            let statuses = self.manner.completes;
            let status = statuses.get(before).or(statuses.last()).copied().unwrap();
            return (status, if status == 204 { String::new() } else { refusal("temporarily_unavailable") });
        }
        if self.manner.refuses {
            return (400, refusal("invalid_scope"));
        }
        let (number, ttl) = (before + 1, self.manner.ttl);
        (200, format!(r#"{{"access_token":"token-{number}","token_type":"Bearer","expires_in":{ttl}}}"#))
    }
}

fn request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(path)
}
