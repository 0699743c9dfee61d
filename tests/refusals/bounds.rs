//! What is taken in is bounded, and whoever goes beyond the bounds harms nobody else.

use crate::common::{Ask, Backing, Broker, Request, Setup, on_both_stores};

on_both_stores!(
    bytes_that_are_no_http_end_their_connection_only,
    a_slow_sender_is_not_waited_for,
    one_connection_too_many_takes_the_place_of_an_idle_one,
    a_form_has_one_meaning_or_none,
    what_is_up_says_so,
);

fn bytes_that_are_no_http_end_their_connection_only(backing: &Backing) {
    let broker = Broker::start(backing);
    let rows: [&[u8]; 7] = [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    for bytes in rows {
        let mut http = broker.connect();
        http.send(bytes).unwrap();
        if let Ok(answer) = http.answer() {
            assert!((400..500).contains(&answer.status), "{}: {}", String::from_utf8_lossy(bytes), answer.status);
            assert!(http.is_closed());
        }
        broker.get("/livez").expect(200);
    }
    broker.mint("demo", "t");
}

fn a_slow_sender_is_not_waited_for(backing: &Backing) {
    let setup = Setup::default().set("JITNEY_LIMITS_BODY_TIMEOUT", "1s").set("JITNEY_LIMITS_HEADER_TIMEOUT", "1s");
    let broker = setup.start(backing);
    let whole = Ask::of("demo").request().bytes();
    let mut body = broker.connect();
    body.send(&whole[..whole.len() - 1]).unwrap();
    let mut head = broker.connect();
    head.send(&whole[..30]).unwrap();
    let mut idle = broker.connect();
    assert_eq!(body.answer().unwrap().status, 408);
    assert!(head.is_closed() && idle.is_closed());
    broker.mint("demo", "t");
}

fn one_connection_too_many_takes_the_place_of_an_idle_one(backing: &Backing) {
    let broker = Setup::default().set("JITNEY_LIMITS_CONNECTIONS", "3").start(backing);
    let mut held: Vec<_> = (0..3).map(|_| broker.connect()).collect();
    for http in &mut held {
        http.ask(&Request::get("/livez")).unwrap().expect(200);
    }
    broker.mint("demo", "t");
    assert!(held[0].is_closed(), "the one that was idle for longest");
    held[2].ask(&Request::get("/livez")).unwrap().expect(200);
    broker.operator_sees("/admin/v1/status");
}

fn a_form_has_one_meaning_or_none(backing: &Backing) {
    let broker = Broker::start(backing);
    for tail in ["&x=%", "&x=%zz", "&x=%00", "&x=%ff", "&x=\u{7f}", "&task=a&task=b", "&%74ask=again", "&x=%0a"] {
        let form = format!("{}{tail}", Ask::of("demo").form());
        let answer = broker.send(&Request::form("/oauth2/token", &form));
        assert_eq!(answer.outcome(), (400, "invalid_request".into()), "{tail:?}: {}", answer.text());
        assert!(!answer.field("decision_id").is_empty());
    }
    let many: String = (0..80).map(|n| format!("&p{n}=1")).collect();
    let answer = broker.send(&Request::form("/oauth2/token", &format!("{}{many}", Ask::of("demo").form())));
    assert_eq!(answer.outcome(), (400, "invalid_request".into()));
    broker.mint("demo", "t");
}

fn what_is_up_says_so(backing: &Backing) {
    let broker = Broker::start(backing);
    broker.get("/livez").expect(200);
    assert_eq!(broker.get("/readyz").expect(200).json()["ready"], true);
    let document = broker.get("/openapi.json").expect(200).json();
    for path in ["/oauth2/token", "/oauth2/introspect", "/v1/tasks/{task}/complete", "/v1/revocations"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}
