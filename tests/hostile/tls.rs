//! TLS where none is spoken, and none where it is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::{Ask, Backing, Broker, Request, Setup};
use crate::siege::{PATIENCE, Siege};
use crate::wire::{Last, Row, play};

/// What a client of TLS 1.2 and 1.3 says first.
fn hello() -> Vec<u8> {
    let mut client = client(RootCertStore::empty());
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn client(roots: RootCertStore) -> ClientConnection {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

#[test]
fn tls_on_a_plain_port_is_refused() {
    let siege = Siege::begin();
    let mut ssl2 = vec![0x80, 0x2e, 1, 0, 2];
    ssl2.resize(48, 0);
    let rows: Vec<Row> = vec![
        ("a client hello", hello(), Last(400)),
        ("a hello of SSL 2", ssl2, Last(400)),
        ("an alert", vec![0x15, 3, 3, 0, 2, 2, 40], Last(400)),
        ("a record of data", [&[0x17, 3, 3, 0x40, 0][..], &[7; 0x4000]].concat(), Last(400)),
    ];
    play(&siege, rows);
    siege.end();
}

/// A broker that speaks TLS, and whom to trust.
struct Guarded {
    broker: Broker,
    roots: RootCertStore,
    _dir: tempfile::TempDir,
}

impl Guarded {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let setup = Setup::default()
            .set("JITNEY_SERVER_TLS_CERT", cert.to_str().unwrap())
            .set("JITNEY_SERVER_TLS_KEY", key.to_str().unwrap())
            .set("JITNEY_LIMITS_HANDSHAKE_TIMEOUT", "2s")
            .set("JITNEY_LIMITS_HEADER_TIMEOUT", "2s");
        let broker = setup.start(&Backing::Embedded);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&cert).unwrap()).unwrap();
        Self { broker, roots, _dir: dir }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.broker.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A well-behaved request is granted a token in time.
    #[track_caller]
    fn survived(&self, attack: &str) {
        let begun = Instant::now();
        let mut stream = StreamOwned::new(client(self.roots.clone()), self.connect());
        let mut request = Ask::of("demo").request().bytes();
        let end = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        request.splice(end..end, *b"\r\nConnection: close");
        stream.write_all(&request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("after {attack}: {error}: {answer}"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "after {attack}: {answer}");
        assert!(begun.elapsed() < PATIENCE, "after {attack}: only after {:?}", begun.elapsed());
    }
}

#[test]
fn what_is_no_tls_is_cut_where_tls_is_spoken() {
    let guarded = Guarded::start();
    let hello = hello();
    let mut broken = hello.clone();
    broken[50..].fill(0xff);
    let mut long = hello.clone();
    long[3..5].copy_from_slice(&[0xff, 0xff]);
    let rows: [(&str, Vec<u8>); 9] = [
        ("plain HTTP", Ask::of("demo").request().bytes()),
        ("a plain GET", Request::get("/livez").bytes()),
        ("a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("nothing", Vec::new()),
        ("half a hello", hello[..hello.len() / 2].to_vec()),
        ("a broken hello", broken),
        ("a hello too long", long),
        ("a hello and plain HTTP", [hello.as_slice(), &Request::get("/livez").bytes()].concat()),
        ("noise", (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
    ];
    for (name, bytes) in rows {
        let mut stream = guarded.connect();
        let _ = stream.write_all(&bytes);
        let begun = Instant::now();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        assert!(begun.elapsed() < PATIENCE, "{name} is held");
        assert!(!heard.windows(5).any(|window| window == b"HTTP/"), "{name}: answered in the clear");
        guarded.survived(name);
    }
    assert!(!guarded.broker.stderr().contains("panicked"));
}

#[test]
fn handshakes_that_never_end_hold_nobody_up() {
    let guarded = Guarded::start();
    let hello = hello();
    let mut held: Vec<TcpStream> = (0..100).map(|_| guarded.connect()).collect();
    for stream in &mut held {
        stream.write_all(&hello[..40]).unwrap();
    }
    // And one that goes on, a byte at a time.
    let (mut stream, begun) = (guarded.connect(), Instant::now());
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    for byte in hello.iter().cycle() {
        if stream.write_all(&[*byte]).is_err() || matches!(stream.read(&mut [0; 64]), Ok(0)) {
            break;
        }
        guarded.survived("handshakes that never end");
        assert!(begun.elapsed() < 3 * PATIENCE, "a slow handshake is not cut off");
    }
    for stream in &mut held {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(begun.elapsed() < 4 * PATIENCE, "handshakes are held");
    guarded.survived("their end");
    assert!(!guarded.broker.stderr().contains("panicked"));
}
