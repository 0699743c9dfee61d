//! The least that any broker pays for a token, with ordinary parts and nothing else: HTTP/1.1 (hyper), form decoding, one
//! check of the assertion's signature, one ES256 signature, one `SET … EX` on one connection to Redis, a JSON answer. No
//! policy, claims, replay memory, audit log or metrics. It is this program started again, on one thread.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use redis::aio::MultiplexedConnection;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey,
};
use rustix::process::Pid;

use super::common::{API, Redis, clean, key_of, key_of_kind, now};
use super::measure::MEASURED_CORE;

/// How the floor looks at an assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authentication {
    None,
    Es256,
    Rs256,
}

/// What the process is told by its environment.
pub struct Settings {
    redis: String,
    key: Option<(Authentication, Vec<u8>)>,
}

const REDIS: &str = "FLOOR_REDIS";
const ES256: &str = "FLOOR_ES256";
const RS256: &str = "FLOOR_RS256";

impl Settings {
    /// What this process was told, where it is the floor.
    pub fn given() -> Option<Self> {
        let key = |name, authentication| {
            std::env::var(name).ok().map(|key| (authentication, B64.decode(key).expect("base64url")))
        };
        let redis = std::env::var(REDIS).ok()?;
        Some(Self { redis, key: key(ES256, Authentication::Es256).or_else(|| key(RS256, Authentication::Rs256)) })
    }
}

/// The process. It ends with the value.
pub struct Floor {
    child: Child,
    address: SocketAddr,
}

impl Floor {
    /// Starts it on the core where brokers are measured.
    pub fn start(authentication: Authentication, redis: &Redis) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut command = clean("taskset");
        command.args(["-c", MEASURED_CORE]).arg(own).env(REDIS, redis.url()).stdout(Stdio::piped());
        match authentication {
            Authentication::None => &mut command,
            Authentication::Es256 => command.env(ES256, B64.encode(key_of("measured").public())),
            Authentication::Rs256 => command.env(RS256, B64.encode(rsa_der(&key_of_kind("rsa").public()))),
        };
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().expect("the floor says where it listens") }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `RSAPublicKey` (RFC 8017 §A.1.1) of a modulus of 2048 bits and the exponent 65537, as ring reads it.
fn rsa_der(modulus: &[u8]) -> Vec<u8> {
    assert_eq!((modulus.len(), modulus[0] >> 7), (256, 1));
    [&[0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00][..], modulus, &[0x02, 0x03, 0x01, 0x00, 0x01]].concat()
}

/// Is the floor, until it is killed.
pub fn serve(settings: &Settings) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let desk = Arc::new(Desk::new(settings).await);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut out = std::io::stdout();
        writeln!(out, "{}", listener.local_addr().unwrap()).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let desk = Arc::clone(&desk);
            tokio::spawn(async move {
                let service = service_fn(move |request| Arc::clone(&desk).answer(request));
                let stream = hyper_util::rt::TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
            });
        }
    });
}

struct Desk {
    rng: SystemRandom,
    key: EcdsaKeyPair,
    assertion_key: Option<UnparsedPublicKey<Vec<u8>>>,
    redis: MultiplexedConnection,
}

impl Desk {
    async fn new(settings: &Settings) -> Self {
        let (rng, alg) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(alg, &rng).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(alg, pkcs8.as_ref(), &rng).unwrap();
        let assertion_key = settings.key.as_ref().map(|(authentication, key)| match authentication {
            Authentication::Rs256 => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256 as _, key.clone()),
            _ => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED as _, key.clone()),
        });
        let client = redis::Client::open(settings.redis.as_str()).unwrap();
        let redis = client.get_multiplexed_async_connection().await.unwrap();
        Self { rng, key, assertion_key, redis }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let body = request.into_body().collect().await?.to_bytes();
        let (status, text) = match self.token(&body).await {
            Ok(text) => (StatusCode::OK, text),
            Err(why) => (StatusCode::BAD_REQUEST, why.to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    async fn token(&self, body: &[u8]) -> Result<String, &'static str> {
        let (mut assertion, mut scope) = (None, None);
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "client_assertion" => assertion = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
        }
        if let Some(key) = &self.assertion_key {
            let assertion = assertion.ok_or("no client_assertion")?;
            let (signed, signature) = assertion.rsplit_once('.').ok_or("not a JWS")?;
            let signature = B64.decode(signature).map_err(|_| "not base64url")?;
            key.verify(signed.as_bytes(), &signature).map_err(|_| "bad signature")?;
        }
        let scope = scope.unwrap_or_default();
        let mut id = [0; 16];
        self.rng.fill(&mut id).map_err(|_| "no randomness")?;
        let jti = B64.encode(id);
        let lease = format!(r#"{{"sub":"measured","aud":"{API}","scope":"{scope}"}}"#);
        let mut set = redis::cmd("SET");
        set.arg(format!("floor:{jti}")).arg(lease).arg("EX").arg(300);
        set.exec_async(&mut self.redis.clone()).await.map_err(|_| "no store")?;
        let token = self.signed(&jti, &scope)?;
        Ok(format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":300}}"#))
    }

    fn signed(&self, jti: &str, scope: &str) -> Result<String, &'static str> {
        let now = now();
        let claims = format!(
            r#"{{"iss":"http://127.0.0.1","sub":"measured","client_id":"measured","aud":"{API}","iat":{now},"nbf":{now},"exp":{},"jti":"{jti}","scope":"{scope}","txn":"t"}}"#,
            now + 300,
        );
        let mut token = String::with_capacity(640);
        B64.encode_string(br#"{"alg":"ES256","typ":"at+jwt","kid":"floor"}"#, &mut token);
        token.push('.');
        B64.encode_string(claims, &mut token);
        let signature = self.key.sign(&self.rng, token.as_bytes()).map_err(|_| "cannot sign")?;
        token.push('.');
        B64.encode_string(signature, &mut token);
        Ok(token)
    }
}
