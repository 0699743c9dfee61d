//! A broker for tests, of a few lines: answers each path with what was last put there, counts who asked, and pushes to those
//! who follow its feed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

use crate::jose::es256::SigningKey;

pub(super) const JWKS: &str = "/oauth2/jwks";
pub(super) const FEED: &str = "/v1/revocations";

/// The broker; it ends with the test's runtime.
pub(super) struct Stub {
    pub(super) url: String,
    served: Arc<Served>,
    hits: watch::Receiver<HashMap<String, usize>>,
}

struct Served {
    pages: Mutex<HashMap<String, Page>>,
    cursors: Mutex<Vec<Option<String>>>,
    /// To all who follow the feed; nothing at all cuts them off.
    pushed: broadcast::Sender<Bytes>,
    hits: watch::Sender<HashMap<String, usize>>,
}

#[derive(Clone)]
struct Page {
    bytes: Vec<u8>,
    goes_on: bool,
}

impl Stub {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (counter, hits) = watch::channel(HashMap::new());
        let served = Arc::new(Served {
            pages: Mutex::default(),
            cursors: Mutex::default(),
            pushed: broadcast::Sender::new(1024),
            hits: counter,
        });
        let all = Arc::clone(&served);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&all)));
            }
        });
        Self { url, served, hits }
    }

    pub(super) fn put(&self, path: &str, status: u16, content_type: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nCache-Control: max-age=600\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        self.page(path, [head.as_bytes(), body].concat(), false);
    }

    /// What whoever comes to follow the feed is told first; it goes on with what is pushed.
    pub(super) fn put_feed(&self, body: &[u8]) {
        self.put_feed_at(FEED, "text/event-stream", body);
    }

    pub(super) fn put_feed_at(&self, path: &str, content_type: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 200 X\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n");
        self.page(path, [head.as_bytes(), body].concat(), true);
    }

    fn page(&self, path: &str, bytes: Vec<u8>, goes_on: bool) {
        self.served.pages.lock().unwrap().insert(path.to_owned(), Page { bytes, goes_on });
    }

    /// Tells all who follow the feed.
    pub(super) fn push(&self, bytes: &[u8]) {
        assert!(self.served.pushed.send(Bytes::copy_from_slice(bytes)).is_ok(), "nobody follows");
    }

    /// Cuts off all who follow the feed.
    pub(super) fn cut(&self) {
        let _ = self.served.pushed.send(Bytes::new());
    }

    /// With which `Last-Event-ID` each came that followed the feed.
    pub(super) fn cursors(&self) -> Vec<Option<String>> {
        self.served.cursors.lock().unwrap().clone()
    }

    pub(super) fn put_keys(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.public().to_jwk()).collect();
        self.put(JWKS, 200, "application/json", json!({ "keys": keys }).to_string().as_bytes());
    }

    pub(super) fn hits(&self, path: &str) -> usize {
        self.hits.borrow().get(path).copied().unwrap_or(0)
    }

    pub(super) async fn reached(&mut self, path: &str, count: usize) {
        let reached = self.hits.wait_for(|hits| hits.get(path).is_some_and(|hits| *hits >= count));
        tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap().unwrap();
    }
}

async fn serve(mut stream: TcpStream, served: Arc<Served>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let missing = b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    let page = served.pages.lock().unwrap().get(&path).cloned();
    let page = page.unwrap_or(Page { bytes: missing, goes_on: false });
    let mut pushed = served.pushed.subscribe();
    if page.goes_on {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let cursor = fields.find(|(name, _)| name.eq_ignore_ascii_case("last-event-id"));
        served.cursors.lock().unwrap().push(cursor.map(|(_, value)| value.to_owned()));
    }
    let _ = stream.write_all(&page.bytes).await;
    served.hits.send_modify(|hits| *hits.entry(path).or_default() += 1);
    if page.goes_on {
        while let Some(bytes) = pushed.recv().await.ok().filter(|bytes| !bytes.is_empty()) {
            let _ = stream.write_all(&bytes).await;
        }
    }
}
