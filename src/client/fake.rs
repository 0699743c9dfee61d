//! A broker for tests: answers what it was told to, in order, and remembers what it heard.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{Identity, TokenClient};

/// One answer.
pub(crate) struct Say {
    status: u16,
    retry_after: Option<u64>,
    body: String,
}

impl Say {
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self { status, retry_after: None, body: body.to_owned() }
    }
    pub(crate) fn status(status: u16) -> Self {
        Self::new(status, "")
    }
    pub(crate) fn token(text: &str) -> Self {
        let body = serde_json::json!({"access_token": text, "token_type": "Bearer", "expires_in": 300});
        Self::new(200, &body.to_string())
    }
    pub(crate) fn token_for(text: &str, task: &str) -> Self {
        Self::lasting(300, text, task)
    }
    /// One that is asked for again after a second.
    pub(crate) fn short_token_for(text: &str, task: &str) -> Self {
        Self::lasting(1, text, task)
    }
    fn lasting(expires_in: u64, text: &str, task: &str) -> Self {
        let body =
            serde_json::json!({"access_token": text, "token_type": "Bearer", "expires_in": expires_in, "task": task});
        Self::new(200, &body.to_string())
    }
    pub(crate) fn refusal(status: u16, error: &str, description: &str) -> Self {
        let body = serde_json::json!({"error": error, "error_description": description, "decision_id": "fake.1"});
        Self::new(status, &body.to_string())
    }
    pub(crate) fn busy(retry_after: u64) -> Self {
        Self { retry_after: Some(retry_after), ..Self::refusal(503, "temporarily_unavailable", "busy") }
    }
}

/// One request as it came in, but for the metadata's.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub path: String,
    body: String,
}

impl Heard {
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        let mut values = form_urlencoded::parse(self.body.as_bytes()).filter(|pair| pair.0 == name);
        let value = values.next().map(|pair| pair.1.into_owned());
        assert!(values.next().is_none(), "{name} twice");
        value
    }
}

/// A broker on a free port of this machine.
pub(crate) struct Broker {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    dir: tempfile::TempDir,
}

impl Broker {
    pub(crate) async fn start(says: Vec<Say>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let says = Arc::new(Mutex::new(says.into_iter().collect::<std::collections::VecDeque<_>>()));
        let (issuer, into) = (url.clone(), Arc::clone(&heard));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, issuer.clone(), Arc::clone(&says), Arc::clone(&into)));
            }
        });
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        Self { url, heard, dir }
    }

    pub(crate) fn identity_with(&self, more: &[(&str, &str)]) -> Identity {
        Identity::from_settings(|name| match (more.iter().find(|pair| pair.0 == name), name) {
            (Some(pair), _) => Some(pair.1.to_owned()),
            (None, "JITNEY_URL") => Some(self.url.clone()),
            (None, "JITNEY_WORKLOAD") => Some("demo".into()),
            (None, "JITNEY_KEY_FILE") => Some(self.dir.path().join("key.pem").to_str().unwrap().into()),
            _ => None,
        })
        .unwrap()
    }

    pub(crate) async fn client(&self) -> TokenClient {
        TokenClient::connect(self.identity_with(&[])).await.unwrap()
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

async fn talk(
    stream: TcpStream,
    issuer: String,
    says: Arc<Mutex<std::collections::VecDeque<Say>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
) {
    let mut stream = BufReader::new(stream);
    while let Some((path, body)) = request(&mut stream).await {
        let say = if path.starts_with("/.well-known/") {
            let metadata = serde_json::json!({"issuer": issuer, "token_endpoint": format!("{issuer}/oauth2/token")});
            Say::new(200, &metadata.to_string())
        } else {
            heard.lock().unwrap().push(Heard { path, body });
            says.lock().unwrap().pop_front().unwrap_or_else(|| Say::refusal(500, "server_error", "nothing to say"))
        };
        let mut head = format!("HTTP/1.1 {} X\r\ncontent-type: application/json\r\n", say.status);
        if let Some(seconds) = say.retry_after {
            write!(head, "retry-after: {seconds}\r\n").unwrap();
        }
        if say.status != 204 {
            write!(head, "content-length: {}\r\n", say.body.len()).unwrap();
        }
        if stream.write_all(format!("{head}\r\n{}", say.body).as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        match header.trim().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok()?,
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((path, String::from_utf8(body).ok()?))
}
