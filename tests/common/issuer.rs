//! A platform that signs tokens: an issuer of a test's own on loopback, over plain HTTP or TLS, that says what it is told.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::{Assertion, ISSUER, Key, now};

/// Where discovery looks (OpenID Connect Discovery §4).
pub const DISCOVERY: &str = "/.well-known/openid-configuration";

/// How a path is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// With this JSON.
    Json(Value),
    /// With these bytes.
    Raw(String),
    /// Not at all, for as long as the asker waits.
    Never,
}

/// A fake platform. Its threads end with it.
pub struct Platform {
    url: String,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    replies: Mutex<HashMap<String, Reply>>,
    asked: AtomicUsize,
    is_over: AtomicBool,
}

impl Platform {
    /// One that speaks plain HTTP.
    pub fn http() -> Self {
        Self::start("http", |stream, told| told.serve(stream))
    }

    /// One that speaks TLS, and the file of the authority that vouches for it, below `dir`.
    pub fn tls(dir: &Path) -> (Self, PathBuf) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let path = dir.join("authority.pem");
        std::fs::write(&path, authority.pem()).unwrap();
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], private)
            .unwrap();
        let config = Arc::new(config);
        let platform = Self::start("https", move |stream, told| {
            told.serve(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream));
        });
        (platform, path)
    }

    fn start(scheme: &str, serve: impl Fn(TcpStream, &Told) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let told = Arc::<Told>::default();
        let (shared, serve) = (told.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (told, serve) = (shared.clone(), serve.clone());
                std::thread::spawn(move || serve(stream, &told));
            }
        });
        let platform = Self { url, told };
        platform.publish(&[]);
        platform
    }

    /// Its `iss`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Publishes a good discovery document and these keys.
    pub fn publish(&self, keys: &[(&Key, &str)]) {
        let keys: Vec<Value> = keys.iter().map(|(key, kid)| key.jwk(Some(kid))).collect();
        let jwks_uri = format!("{}/keys", self.url);
        self.answer(DISCOVERY, Reply::Json(json!({"issuer": self.url, "jwks_uri": jwks_uri})));
        self.answer("/keys", Reply::Json(json!({"keys": keys})));
    }

    /// Answers this path so from now on.
    pub fn answer(&self, path: &str, reply: Reply) {
        self.told.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// How many requests have come.
    pub fn asked(&self) -> usize {
        self.told.asked.load(Ordering::SeqCst)
    }

    /// A token with these claims over good ones, by this key under this name.
    pub fn token(&self, key: &Key, kid: &str, claims: Value) -> String {
        platform_token(&self.url, claims).header("kid", kid).signed(key)
    }
}

/// A token of an issuer for the tests' broker, five minutes long, with these claims over its own.
pub fn platform_token(issuer: &str, claims: Value) -> Assertion {
    let now = now();
    let own = json!({"iss": issuer, "sub": "a-job", "aud": ISSUER, "iat": now, "exp": now + 300});
    Assertion::of("nobody").claims(own).claims(claims).header("typ", "JWT")
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.told.is_over.store(true, Ordering::SeqCst);
        let address = self.url.rsplit('/').next().unwrap_or_default();
        // Wakes the thread that listens.
        let _ = TcpStream::connect(address);
    }
}

impl Told {
    fn serve(&self, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        let mut first = String::new();
        if stream.read_line(&mut first).is_err() {
            return;
        }
        let mut line = first.clone();
        while !matches!(line.as_str(), "" | "\r\n") {
            line.clear();
            if stream.read_line(&mut line).is_err() {
                return;
            }
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let path = first.split(' ').nth(1).unwrap_or_default();
        let reply = self.replies.lock().unwrap().get(path).cloned();
        let answer = match reply {
            Some(Reply::Json(body)) => {
                let body = body.to_string();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
                format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
            }
            Some(Reply::Raw(answer)) => answer,
            Some(Reply::Never) => {
                // Until the asker leaves.
                let _ = stream.read(&mut [0; 64]);
                return;
            }
            None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        let _ = stream.get_mut().write_all(answer.as_bytes());
        let _ = stream.get_mut().flush();
    }
}
