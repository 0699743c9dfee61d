//! Clients that a well-behaved one is not: each holds no more than its limit, and costs nobody else anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;

#[derive(Clone, Default)]
struct Events {
    entered: Arc<Notify>,
    leave: Arc<Notify>,
    finished: Arc<Notify>,
}

struct Server {
    at: std::net::SocketAddr,
    limits: Limits,
    events: Events,
    shutdown: Shutdown,
    serving: tokio::task::JoinHandle<()>,
}

/// An answer that says a word at once, and another one when it is let.
async fn words(leave: Arc<Notify>) -> axum::body::Body {
    let (mut sender, body) = http_body_util::channel::Channel::<bytes::Bytes, std::io::Error>::new(1);
    tokio::spawn(async move {
        sender.send_data("one".into()).await.unwrap();
        leave.notified().await;
        sender.send_data("two".into()).await.unwrap();
    });
    axum::body::Body::new(body)
}

async fn start(limits: Limits) -> Server {
    let events = Events::default();
    let Events { entered, leave, finished } = events.clone();
    let let_go = Arc::clone(&leave);
    let slow = move || async move {
        entered.notify_one();
        leave.notified().await;
        finished.notify_one();
        "late"
    };
    let router = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/livez", get(|| async { "alive" }))
        .route("/big", get(|| async { vec![b'x'; 32 << 20] }))
        .route("/slow", post(slow))
        .route("/stream", get(move || words(Arc::clone(&let_go))))
        .route("/panic", post(|| async { panic!("a handler's mistake") as &'static str }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let serving = tokio::spawn(serve(listener, None, router, limits.clone(), shutdown.clone()));
    Server { at, limits, events, shutdown, serving }
}

impl Server {
    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        let _ = stream.write_all(text.as_bytes()).await;
        stream
    }

    async fn ask(&self, text: &str) -> String {
        let mut answer = Vec::new();
        let _ = self.send(text).await.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    /// Returns once no connection is open; fails after five seconds.
    async fn empty(&self) {
        let begun = Instant::now();
        while self.limits.open.get() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(5), "a connection holds its place for ever");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn closing(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_cut() {
    let server = start(Limits { header_timeout: Duration::from_millis(100), ..Limits::default() }).await;
    let mut stream = server.send(&closing("GET", "/big")).await;
    stream.read_exact(&mut [0; 12]).await.unwrap();
    server.empty().await;
}

#[tokio::test]
async fn an_answer_that_is_streamed_gives_way_to_nobody_until_its_end() {
    let server = start(Limits { connections: 1, ..Limits::default() }).await;
    let mut streamed = server.send("GET /stream HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (mut heard, mut buffer) = (String::new(), [0; 512]);
    for word in ["one", "two\r\n0\r\n\r\n"] {
        while !heard.contains(word) {
            let read = streamed.read(&mut buffer).await.unwrap();
            assert!(read > 0, "cut off after {heard}");
            heard.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        if word == "one" {
            assert!(server.ask(&closing("GET", "/hello")).await.starts_with("HTTP/1.1 503 "));
            server.events.leave.notify_one();
        }
    }
    assert!(server.ask(&closing("GET", "/hello")).await.ends_with("hello"), "behind its end it waits like others");
}

#[tokio::test]
async fn what_a_post_began_is_finished_though_its_client_left() {
    let server = start(Limits::default()).await;
    let stream = server.send(&closing("POST", "/slow")).await;
    server.events.entered.notified().await;
    drop(stream);
    server.empty().await;
    server.events.leave.notify_one();
    let finished = tokio::time::timeout(Duration::from_secs(5), server.events.finished.notified());
    assert!(finished.await.is_ok(), "the work was dropped in the middle");
}

#[tokio::test]
async fn what_a_post_began_is_finished_though_its_time_is_over() {
    let server = start(Limits { request_timeout: Duration::from_millis(40), ..Limits::default() }).await;
    assert!(server.ask(&closing("POST", "/slow")).await.starts_with("HTTP/1.1 503 "));
    server.events.leave.notify_one();
    let finished = tokio::time::timeout(Duration::from_secs(5), server.events.finished.notified());
    assert!(finished.await.is_ok(), "the work was dropped in the middle");
}

#[tokio::test]
async fn a_panic_in_a_post_is_answered() {
    let answer = start(Limits::default()).await.ask(&closing("POST", "/panic")).await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("server_error"), "{answer:?}");
}

#[tokio::test]
async fn a_request_names_exactly_one_host() {
    let server = start(Limits::default()).await;
    for host in ["", "host: x\r\nhost: y\r\n"] {
        let answer = server.ask(&format!("GET /hello HTTP/1.1\r\n{host}connection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{host:?} got {answer}");
    }
    assert!(server.ask("GET /hello HTTP/1.0\r\n\r\n").await.ends_with("hello"), "HTTP/1.0 need not");
}

#[tokio::test]
async fn a_busy_process_is_not_called_dead() {
    let server = start(Limits { requests: 1, ..Limits::default() }).await;
    let _slow = server.send(&closing("POST", "/slow")).await;
    server.events.entered.notified().await;
    assert!(server.ask(&closing("GET", "/hello")).await.starts_with("HTTP/1.1 503 "));
    assert!(server.ask(&closing("GET", "/livez")).await.ends_with("alive"));
}

#[tokio::test]
async fn a_shutdown_waits_for_work_whose_client_left() {
    let server = start(Limits::default()).await;
    drop(server.send(&closing("POST", "/slow")).await);
    server.events.entered.notified().await;
    server.empty().await;
    server.shutdown.trigger();
    let mut serving = server.serving;
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut serving).await.is_err(), "it was not waited for");
    server.events.leave.notify_one();
    serving.await.unwrap();
}
