//! The listeners against clients on loopback: limits, timeouts, TLS, Unix sockets, shutdown.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::routing::{get, post};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

/// A server on a free port, and the events of its `/slow` endpoint.
struct Server {
    at: std::net::SocketAddr,
    shutdown: Shutdown,
    limits: Limits,
    task: JoinHandle<()>,
    entered: Arc<Notify>,
    leave: Arc<Notify>,
}

fn router(entered: &Arc<Notify>, leave: &Arc<Notify>) -> Router {
    let (entered, leave) = (Arc::clone(entered), Arc::clone(leave));
    let slow = move || async move {
        entered.notify_one();
        leave.notified().await;
        "late"
    };
    Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/peer", get(|Extension(peer): Extension<Peer>| async move { peer.uid.to_string() }))
        .route("/slow", get(slow))
        .route("/panic", get(|| async { panic!("a handler's mistake") as &'static str }))
}

async fn start(limits: Limits, tls: Option<Tls>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let served = serve(listener, tls, router(&entered, &leave), limits.clone(), shutdown.clone());
    Server { at, shutdown, limits, task: tokio::spawn(served), entered, leave }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    async fn ask(&self, request: &str) -> String {
        exchange(self.connect().await, request).await
    }

    async fn stop(self) {
        self.shutdown.trigger();
        self.task.await.unwrap();
        assert_eq!(self.limits.open.get(), 0);
    }
}

/// Sends, and reads to the end.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is no matter.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// Reads until what was read holds `text`.
async fn read_until(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let (mut all, mut buffer) = (String::new(), [0; 1024]);
    while !all.contains(text) {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "closed after: {all}");
        all.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    all
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
}

const SHORT: Duration = Duration::from_millis(40);

#[tokio::test]
async fn a_connection_serves_request_after_request() {
    let server = start(Limits::default(), None).await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(read_until(&mut stream, "\r\n\r\nhello").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(server.limits.open.get(), 1);
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_parse_or_is_too_big_is_named_and_the_next_is_served() {
    let server = start(Limits { header: 8192, body: 10, ..Limits::default() }, None).await;
    let long = "a".repeat(9000);
    let many = "x: y\r\n".repeat(101);
    let cases = [
        ("400", "NOT HTTP\r\n\r\n".to_owned()),
        ("400", "GET /hello HTTP/1.1\r\nbad header\r\n\r\n".to_owned()),
        ("431", format!("GET /hello HTTP/1.1\r\nhost: x\r\nx: {long}\r\n\r\n")),
        ("431", format!("GET /hello HTTP/1.1\r\nhost: x\r\n{many}\r\n")),
        ("413", "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\n".to_owned()),
        ("413", "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n".to_owned()),
        ("400", "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned()),
    ];
    for (status, sent) in cases {
        let answer = server.ask(&sent).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{sent} got {answer}");
        assert!(server.ask(&request("/hello")).await.ends_with("hello"));
    }
    let whole = "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\n\r\n0123456789";
    assert!(server.ask(whole).await.ends_with("\r\n\r\n0123456789"));
    server.stop().await;
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_closed_and_slow_bodies_told() {
    let limits = Limits { header_timeout: SHORT, body_timeout: SHORT, ..Limits::default() };
    let server = start(limits, None).await;
    // Both end by themselves: the client never closes.
    server.ask("GET /hello HT").await;
    assert!(server.ask("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.ends_with("hello"));
    let answer = server.ask("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhel").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn one_request_too_many_waits_for_nothing() {
    let server = start(Limits { requests: 1, ..Limits::default() }, None).await;
    let mut first = server.connect().await;
    first.write_all(request("/slow").as_bytes()).await.unwrap();
    server.entered.notified().await;
    let answer = server.ask(&request("/hello")).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert!(answer.contains(r#"{"error":"temporarily_unavailable","#), "{answer}");
    server.leave.notify_one();
    read_until(&mut first, "late").await;
    assert!(server.ask(&request("/hello")).await.ends_with("hello"), "the place is free again");
    server.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_answered_and_closed_while_all_others_work() {
    let server = start(Limits { connections: 1, ..Limits::default() }, None).await;
    let mut first = server.connect().await;
    first.write_all(request("/slow").as_bytes()).await.unwrap();
    server.entered.notified().await;
    let answer = server.ask(&request("/hello")).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    server.leave.notify_one();
    read_until(&mut first, "late").await;
    server.stop().await;
}

#[tokio::test]
async fn where_all_places_are_taken_who_waits_longest_for_its_client_gives_way() {
    let server = start(Limits { connections: 2, ..Limits::default() }, None).await;
    let (mut idle, mut half) = (server.connect().await, server.connect().await);
    half.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhel").await.unwrap();
    idle.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut idle, "hello").await;
    assert!(server.ask(&request("/hello")).await.ends_with("hello"));
    assert_eq!(half.read(&mut [0; 16]).await.unwrap_or(0), 0, "the body that does not come was waited for longest");
    idle.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut idle, "hello").await;
    server.stop().await;
}

#[tokio::test]
async fn work_that_takes_too_long_is_given_up() {
    let server = start(Limits { request_timeout: SHORT, ..Limits::default() }, None).await;
    let answer = server.ask(&request("/slow")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let server = start(Limits::default(), None).await;
    let answer = server.ask(&request("/panic")).await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("connection: close"), "{answer}");
    assert!(server.ask(&request("/hello")).await.ends_with("hello"));
    server.stop().await;
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight_and_takes_nothing_new() {
    let server = start(Limits::default(), None).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    server.shutdown.trigger();
    // The listener closes at once, while the request is still at work.
    while TcpStream::connect(server.at).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.leave.notify_one();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("connection: close") && answer.ends_with("late"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn shutdown_waits_no_longer_than_the_time_to_drain() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let shutdown = Shutdown::new(SHORT);
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let task = tokio::spawn(serve(listener, None, router(&entered, &leave), Limits::default(), shutdown.clone()));
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request("/slow").as_bytes()).await.unwrap();
    entered.notified().await;
    shutdown.trigger();
    task.await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0, "cut");
}

fn pair(dir: &std::path::Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

async fn over_tls(server: &Server, trusted: &std::path::Path) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), server.connect().await).await?;
    Ok(exchange(stream, &request("/hello")).await)
}

#[tokio::test]
async fn the_next_connection_sees_the_new_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = pair(dir.path());
    let tls = Tls::load(&cert, &key).unwrap();
    let server = start(Limits { handshake_timeout: SHORT, ..Limits::default() }, Some(tls.clone())).await;
    assert!(over_tls(&server, &cert).await.unwrap().ends_with("hello"));
    let old = dir.path().join("old.pem");
    std::fs::copy(&cert, &old).unwrap();
    pair(dir.path());
    assert!(tls.look());
    assert!(over_tls(&server, &cert).await.unwrap().ends_with("hello"));
    assert!(over_tls(&server, &old).await.is_err(), "the old certificate is no longer shown");
    // A handshake that never comes is given up, and plain HTTP gets no answer.
    assert_eq!(server.connect().await.read(&mut [0; 16]).await.unwrap_or(0), 0);
    assert!(!server.ask(&request("/hello")).await.contains("hello"));
    server.stop().await;
}

#[tokio::test]
async fn over_a_unix_socket_the_peer_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let socket = unix::Socket::bind(&path).unwrap();
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let served = unix::serve(socket, router(&entered, &leave), Limits::default(), shutdown.clone());
    let task = tokio::spawn(served);
    let answer = exchange(UnixStream::connect(&path).await.unwrap(), &request("/peer")).await;
    let uid = rustix::process::getuid().as_raw();
    assert!(answer.ends_with(&format!("\r\n\r\n{uid}")), "{answer}");
    shutdown.trigger();
    task.await.unwrap();
    assert!(!path.exists());
}
