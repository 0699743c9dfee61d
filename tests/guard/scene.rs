//! A proxy of others, as it stands in `deploy/proxies`, with a service behind it that keeps what reaches it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Answer, Http, Request, Token, clean, eventually};
use crate::process::HEADERS;

/// A service, and the heads of the requests that reached it.
pub struct Service {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Service {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, heads) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let kept = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(stream, &kept).unwrap_or_default();
            }
        });
        Self { address, heads }
    }

    /// What has reached it since this was last asked.
    pub fn reached(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock().unwrap())
    }
}

/// Reads one request's head, keeps it, and answers it.
fn serve(mut stream: TcpStream, kept: &Mutex<Vec<String>>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&buffer[..count]);
    }
    kept.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nserved").ok()
}

/// The addresses in the files of `deploy/proxies`, and those of a test.
pub struct Places<'a> {
    pub guard: SocketAddr,
    pub service: &'a Service,
    pub broker: SocketAddr,
}

/// A proxy as a process. It ends with the value.
pub struct Front {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Front {
    /// Starts a proxy on these files of `deploy/proxies`, in a folder of its own; `command` is given the folder.
    pub fn start(files: &[&str], places: &Places<'_>, command: impl Fn(&Path) -> Command) -> Self {
        // Another process may take the port in between: then a next one is tried.
        let mut said = String::new();
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            for file in files {
                std::fs::write(dir.path().join(file), placed(file, address, places)).unwrap();
            }
            let stderr = dir.path().join("stderr");
            let mut child = command(dir.path())
                .current_dir(dir.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(&stderr).unwrap())
                .spawn()
                .expect("it is not installed: `bash tests/run` installs it");
            let is_up = eventually("the proxy is up, or has ended", || match child.try_wait().unwrap() {
                Some(_) => Some(false),
                None => TcpStream::connect(address).is_ok().then_some(true),
            });
            if is_up {
                return Self { child, address, _dir: dir };
            }
            said = std::fs::read_to_string(stderr).unwrap_or_default();
        }
        panic!("the proxy does not start: {said}");
    }

    #[track_caller]
    pub fn ask(&self, request: &Request) -> Answer {
        Http::tcp(self.address).unwrap().ask(&request.clone().header("Connection", "close")).unwrap()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of `deploy/proxies` with a test's addresses in place of its own.
fn placed(file: &str, listen: SocketAddr, places: &Places<'_>) -> String {
    let mut text = std::fs::read_to_string(deploy(file)).unwrap();
    for (port, address) in [(8080, listen), (8181, places.guard), (3000, places.service.address), (8180, places.broker)]
    {
        text = text.replace(&format!("127.0.0.1:{port}"), &address.to_string());
        text = text.replace(&format!("port_value: {port} "), &format!("port_value: {} ", address.port()));
        text = text.replace(&format!("\n:{port} {{"), &format!("\n:{} {{", address.port()));
    }
    text
}

/// A file of `deploy/proxies`.
pub fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/proxies").join(file)
}

/// A program that lies where a plain user's search path may not lead.
pub fn program(name: &str) -> Command {
    let mut command = clean(name);
    command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
    command
}

/// A request from a caller who claims to be somebody, in every spelling.
pub fn claiming(request: Request) -> Request {
    let request = HEADERS.iter().fold(request, |request, name| request.header(name, "admin"));
    let spelled = ["X-JITNEY-WORKLOAD", "X_Jitney_Workload", "X-Jitney_Workload", "X_Jitney-Workload"];
    spelled.iter().fold(request, |request, name| request.header(name, "admin"))
}

/// What the one request that reached the service says of the caller: the four headers, each at most once.
#[track_caller]
pub fn said(reached: &[String]) -> [String; 4] {
    assert_eq!(reached.len(), 1, "{reached:?}");
    let lines: Vec<(String, String)> = reached[0]
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase().replace('_', "-"), value.trim().to_owned()))
        .collect();
    HEADERS.map(|name| {
        let mut found = lines.iter().filter(|(each, _)| each == name);
        let value = found.next().map_or_else(String::new, |(_, value)| value.clone());
        assert!(found.next().is_none(), "{name} is there twice: {}", reached[0]);
        value
    })
}

/// A token with one letter of its claims changed.
pub fn tampered(token: &Token) -> String {
    let at = token.text.find('.').unwrap() + 20;
    let other = if token.text.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &token.text[..at], &token.text[at + 1..])
}
