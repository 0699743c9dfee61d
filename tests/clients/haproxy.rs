//! Debian's HAProxy in front of a service: it lets those through who come with a good token.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use super::forged::{SignedBy, forged};
use super::verify::snapshot;
use super::world::World;
use crate::common::{
    API, Answer, Ask, Backing, Http, Request, SECOND, clean, eventually, now, on_both_stores, sources,
};

on_both_stores!(lets_a_good_token_through_and_no_other);

fn lets_a_good_token_through_and_no_other(backing: &Backing) {
    let mut world = World::start(backing);
    let good = world.mint("demo", &Ask::of("demo"));
    let brief = world.mint("demo", &Ask::of("demo").with("ttl", 1));
    let elsewhere = world.mint("demo", &Ask::of("demo").with("resource", SECOND));
    let no_scope = world.mint("demo", &Ask::of("demo").with("scope", "orders:write"));
    let key = SignedBy::find(&world, &good);
    let snapshot = snapshot(&world);
    let proxy = Haproxy::start(&world);

    let rotated = world.broker.operator("/admin/v1/keys/rotate", serde_json::json!({"now": true})).expect(200).json();
    let next = world.mint("demo", &Ask::of("demo"));
    assert_eq!(rotated["kid"], next.kid());
    let ended = world.mint("demo", &Ask::of("demo"));
    let words = ["lease", "revoke", "--lease", &ended.lease(), "--reason", "test"];
    assert!(world.broker.cli("demo", &words).status.success());
    assert!(!world.stands(&ended));
    // It has the keys in files: it needs no broker.
    world.broker.stop();
    for token in [&good, &next] {
        let (answer, reached) = proxy.ask(Some(&token.text));
        assert_eq!((answer.status, answer.text()), (200, "served".to_owned()));
        let head = reached.expect("the service was asked").to_lowercase();
        let said: Vec<&str> = head.lines().filter(|line| line.starts_with("x-workload")).collect();
        assert_eq!(said, ["x-workload: demo"], "and what the caller claimed to be is gone");
    }

    // What it does not know: that one of them has ended. Until its `exp` it passes.
    assert_eq!(proxy.ask(Some(&ended.text)).0.status, 200);

    eventually("the brief one is over", || (now() > brief.number("exp")).then_some(()));
    let mut bad = forged(&good, &key);
    bad.push(("expired", brief.text));
    bad.push(("for-another-audience", elsewhere.text));
    bad.push(("the-feed-s-snapshot", snapshot));
    bad.push(("no-token", "x".to_owned()));
    for (name, token) in &bad {
        let (answer, reached) = proxy.ask(Some(token));
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{name}");
        assert_eq!(reached, None, "{name}");
    }
    let (answer, reached) = proxy.ask(None);
    assert_eq!((answer.status, reached), (401, None));
    let (answer, reached) = proxy.ask(Some(&no_scope.text));
    assert_eq!((answer.status, reached), (403, None));
}

/// A running HAProxy and the service behind it. Its process ends with the value.
struct Haproxy {
    child: Child,
    address: SocketAddr,
    service: TcpListener,
    _dir: tempfile::TempDir,
}

impl Haproxy {
    /// With the keys that are published now, as `jitney key list` writes them.
    fn start(world: &World) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listed = world.broker.cli("demo", &["key", "list", "--output", "pem"]);
        let text = String::from_utf8(listed.stdout).unwrap();
        let blocks: Vec<_> = text.split_inclusive("-----END PUBLIC KEY-----\n").collect();
        assert_eq!(blocks.len(), 2, "{text}");
        for (number, block) in blocks.iter().enumerate() {
            std::fs::write(dir.path().join(format!("{}.pem", number + 1)), block).unwrap();
        }
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        service.set_nonblocking(true).unwrap();
        // Another process may take the port in between: then a next one is tried.
        for _ in 0..10 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            if let Some(child) = run(world, dir.path(), address, service.local_addr().unwrap()) {
                return Self { child, address, service, _dir: dir };
            }
        }
        panic!("haproxy does not start: {}", std::fs::read_to_string(dir.path().join("stderr")).unwrap_or_default());
    }

    /// A request with this token, from a caller who claims to be somebody: the answer, and the head that reached the service.
    fn ask(&self, token: Option<&str>) -> (Answer, Option<String>) {
        let mut request = Request::get("/orders").header("X-Workload", "admin").header("Connection", "close");
        if let Some(token) = token {
            request = request.bearer(token);
        }
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| Http::tcp(self.address).unwrap().ask(&request).unwrap());
            let mut reached = None;
            while !asked.is_finished() {
                match self.service.accept() {
                    Ok((stream, _)) => reached = Some(serve(stream)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
                    Err(error) => panic!("{error}"),
                }
            }
            (asked.join().unwrap(), reached)
        })
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(world: &World, dir: &std::path::Path, listen: SocketAddr, service: SocketAddr) -> Option<Child> {
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut child = clean("haproxy")
        .arg("-db")
        .arg("-f")
        .arg(sources().join("haproxy.cfg"))
        .env("PATH", path)
        .env("JITNEY_URL", world.broker.url())
        .env("JITNEY_AUDIENCE", API)
        .env("KEYS", dir)
        .env("LISTEN", listen.to_string())
        .env("SERVICE", service.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.join("stderr")).unwrap())
        .spawn()
        .expect("haproxy is not installed: `bash tests/run` installs it");
    let is_up = eventually("haproxy is up, or has ended", || match child.try_wait().unwrap() {
        Some(_) => Some(false),
        None => TcpStream::connect(listen).is_ok().then_some(true),
    });
    is_up.then_some(child)
}

/// Reads one request's head and answers it.
fn serve(mut stream: TcpStream) -> String {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "half a request");
        head.extend_from_slice(&buffer[..count]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nserved").unwrap();
    String::from_utf8(head).unwrap()
}
