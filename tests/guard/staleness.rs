//! A view that ages: nobody is let through on what nobody knows, and it heals by itself.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::common::{API, Ask, Backing, Broker, ISSUER, Request, eventually};
use crate::process::{Guard, mint};

#[test]
fn a_broker_that_is_away_too_long_lets_nobody_through_until_it_is_back() {
    let mut broker = Broker::start(&Backing::Embedded);
    let way = Way::start();
    way.leads_to(Some(broker.address()));
    let guard = Guard::start_at(&way.url(), ISSUER, &["--audience", API, "--max-staleness", "2s"]);
    guard.is_ready();
    let good = mint(&broker, &Ask::of("demo"));
    guard.auth(&good).expect(200);
    broker.stop();
    way.leads_to(None);
    let answer = eventually("the view is too old", || Some(guard.auth(&good)).filter(|answer| answer.status != 200));
    assert_eq!((answer.status, answer.header("retry-after"), answer.body.len()), (503, Some("1"), 0));
    let verify = guard.verify(&[("token", &good.text)]);
    assert_eq!((verify.outcome(), verify.header("retry-after")), ((503, "temporarily_unavailable".into()), Some("1")));
    let ready = guard.get("/readyz").expect(503).json();
    assert!(ready["ready"] == false && ready["view_age_ms"].as_u64().unwrap() > 2000, "{ready}");
    guard.get("/livez").expect(200);
    // Without a token it is known what to say.
    guard.send(&Request::get("/v1/forward-auth")).expect(401);
    broker.start_again();
    way.leads_to(Some(broker.address()));
    eventually("the view is young again", || (guard.auth(&good).status == 200).then_some(()));
    guard.get("/readyz").expect(200);
}

#[test]
fn a_guard_that_comes_up_before_its_broker_waits_for_it() {
    let way = Way::start();
    let guard = Guard::start_at(&way.url(), ISSUER, &["--audience", API]);
    let none = guard.get("/readyz").expect(503);
    assert_eq!(none.text(), r#"{"ready":false,"view_age_ms":null}"#);
    guard.send(&Request::get("/v1/forward-auth").bearer("x")).expect(503);
    eventually("it says why", || guard.stderr().contains("no view of revocations yet").then_some(()));
    let broker = Broker::start(&Backing::Embedded);
    way.leads_to(Some(broker.address()));
    let good = mint(&broker, &Ask::of("demo"));
    eventually("the broker is found", || (guard.auth(&good).status == 200).then_some(()));
}

/// One address for a broker that has another after each start. While it leads nowhere, connections to it are closed.
struct Way {
    address: SocketAddr,
    to: Arc<Mutex<Option<SocketAddr>>>,
}

impl Way {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, to) = (listener.local_addr().unwrap(), Arc::<Mutex<Option<SocketAddr>>>::default());
        let lead = Arc::clone(&to);
        std::thread::spawn(move || {
            for here in listener.incoming().map_while(Result::ok) {
                let Some(there) = *lead.lock().unwrap() else { continue };
                let Ok(there) = TcpStream::connect(there) else { continue };
                let back = (there.try_clone().unwrap(), here.try_clone().unwrap());
                std::thread::spawn(move || carry(here, there));
                std::thread::spawn(move || carry(back.0, back.1));
            }
        });
        Self { address, to }
    }

    fn leads_to(&self, to: Option<SocketAddr>) {
        *self.to.lock().unwrap() = to;
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Carries bytes until one end closes; then both are closed.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
