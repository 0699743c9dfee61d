//! A broker for tests, of a few lines: answers each path with what was last put there, and counts who asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::jose::es256::SigningKey;

pub(super) const JWKS: &str = "/oauth2/jwks";
pub(super) const FEED: &str = "/v1/revocations?once=1";

/// The broker; it ends with the test's runtime.
pub(super) struct Stub {
    pub(super) url: String,
    pages: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    hits: watch::Receiver<HashMap<String, usize>>,
}

impl Stub {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pages: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
        let (counter, hits) = watch::channel(HashMap::new());
        let served = Arc::clone(&pages);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&served), counter.clone()));
            }
        });
        Self { url, pages, hits }
    }

    pub(super) fn put(&self, path: &str, status: u16, content_type: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nCache-Control: max-age=600\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut page = head.into_bytes();
        page.extend_from_slice(body);
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    pub(super) fn put_feed(&self, body: &[u8]) {
        self.put(FEED, 200, "text/event-stream", body);
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

async fn serve(
    mut stream: TcpStream,
    pages: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    hits: watch::Sender<HashMap<String, usize>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let missing = || b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    let page = pages.lock().unwrap().get(&path).cloned().unwrap_or_else(missing);
    let _ = stream.write_all(&page).await;
    hits.send_modify(|hits| *hits.entry(path).or_default() += 1);
}
