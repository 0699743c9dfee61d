//! Two requests where one is said to be, and many where many are: each answer belongs to its own request.

use std::io::Read as _;
use std::net::{Shutdown, TcpStream};

use crate::common::{Ask, Request, complete_path};
use crate::siege::{PATIENCE, Siege};
use crate::wire::{chunked, get, good, post};

/// What nobody may see an answer to: it is part of another request's body.
const HIDDEN: &str = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";

/// Sends all, says that no more comes, and reads all that comes back.
fn exchange(siege: &Siege, bytes: &[u8]) -> String {
    use std::io::Write as _;
    let mut stream = TcpStream::connect(siege.broker().address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = Vec::new();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    // A reset behind the answer is no matter; that it never ends would be.
    if let Err(error) = stream.read_to_end(&mut heard) {
        assert!(
            !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
            "it never ends"
        );
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// The statuses of the answers, one behind the other.
fn statuses(heard: &str) -> Vec<u16> {
    heard.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse().ok()).collect()
}

#[test]
fn what_is_hidden_in_a_body_is_never_answered() {
    let siege = Siege::begin();
    let whole = || chunked(&good());
    let coded = |lines: &str, body: &str| post(lines, body);
    // Name, bytes before the hidden request, statuses that may be heard.
    let rows: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("within the length", coded(&format!("Content-Length: {}\r\n", HIDDEN.len()), ""), &[400]),
        (
            "within the length, after a form",
            {
                let form = format!("{}&x=", good());
                coded(&format!("Content-Length: {}\r\n", form.len() + HIDDEN.len()), &form)
            },
            &[400],
        ),
        ("within a chunk", coded("Transfer-Encoding: chunked\r\n", &format!("{:x}\r\n", HIDDEN.len())), &[400]),
        (
            "CL.TE: the length says more",
            coded("Content-Length: 500\r\nTransfer-Encoding: chunked\r\n", &whole()),
            &[200],
        ),
        ("CL.TE: the length says less", coded("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", &whole()), &[200]),
        ("TE.CL: the length says less", coded("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", &whole()), &[200]),
        ("CL.TE: no length", coded("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", &whole()), &[200]),
        ("CL.0: no length, and a coding nobody knows", coded("Transfer-Encoding: xchunked\r\n", &whole()), &[400]),
        (
            "TE.TE: one of two codings",
            coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", &whole()),
            &[400],
        ),
        ("TE.TE: chunked twice", coded("Transfer-Encoding: chunked, chunked\r\n", &whole()), &[501]),
        ("TE.TE: the second is folded", coded("Transfer-Encoding: chunked\r\n x\r\n", &whole()), &[400]),
        ("two lengths", coded("Content-Length: 0\r\nContent-Length: 50\r\n", ""), &[400]),
        ("behind a wrong chunk", coded("Transfer-Encoding: chunked\r\n", "zz\r\n\r\n"), &[400]),
        ("behind a chunk's bare LF", coded("Transfer-Encoding: chunked\r\n", "5;\n\r\na=b&c\r\n0\r\n\r\n"), &[400]),
        ("in an extension", coded("Transfer-Encoding: chunked\r\n", "5;\r"), &[400]),
        ("in a trailer", coded("Transfer-Encoding: chunked\r\n", "0\r\nX: "), &[400, 401]),
        ("behind a body too large", coded("Content-Length: 70000\r\n", &"x".repeat(40_000)), &[413]),
        (
            "behind chunks too large",
            coded("Transfer-Encoding: chunked\r\n", &format!("11171\r\n{}\r\n0\r\n\r\n", "x".repeat(70_001))),
            &[413],
        ),
        ("behind a head too large", get(&format!("X: {}\r\n", "y".repeat(20_000))), &[431]),
        ("behind a wrong head", b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n".to_vec(), &[400]),
        ("behind two hosts", b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".to_vec(), &[400]),
        ("behind a wish to close", get("Connection: close\r\n"), &[200]),
        ("behind a wish to close and one to stay", get("Connection: close\r\nConnection: keep-alive\r\n"), &[200]),
        ("behind HTTP/1.0", b"GET /livez HTTP/1.0\r\n\r\n".to_vec(), &[200]),
        ("behind a tunnel", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), &[501]),
        ("behind a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[]),
    ];
    for (name, mut bytes, expected) in rows {
        bytes.extend_from_slice(HIDDEN.as_bytes());
        let heard = exchange(&siege, &bytes);
        let statuses = statuses(&heard);
        assert!(!heard.contains("\"openapi\""), "{name}: the hidden request was answered: {heard}");
        assert!(statuses.len() <= 1 && statuses.iter().all(|status| expected.contains(status)), "{name}: {statuses:?}");
        siege.survived(name);
    }
    siege.end();
}

#[test]
fn requests_in_one_packet_are_answered_in_their_order() {
    let siege = Siege::begin();
    let tasks: Vec<String> = (0..20).map(|n| format!("pipelined-{n}")).collect();
    let mut packet = Vec::new();
    for task in &tasks {
        packet.extend(Ask::of("demo").task(task).request().bytes());
        packet.extend(Request::get("/livez").bytes());
        packet.extend(Request::get("/nothing").bytes());
        packet.extend(Ask::bare("demo").at(&complete_path(task)).bytes());
        packet.extend(Request::new("DELETE", "/oauth2/token").bytes());
    }
    let mut http = siege.broker().connect();
    http.send(&packet).unwrap();
    for task in &tasks {
        assert_eq!(http.answer().unwrap().expect(200).field("task"), *task);
        assert!(http.answer().unwrap().expect(200).text().contains("live"));
        http.answer().unwrap().expect(404);
        http.answer().unwrap().expect(204);
        http.answer().unwrap().expect(405);
    }
    siege.survived("a hundred requests in one packet");

    // A thousand, of which nothing is read before all are sent; then the last one is wrong.
    let mut packet = Request::get("/livez").bytes().repeat(1_000);
    packet.extend_from_slice(b"GET  /livez HTTP/1.1\r\n\r\n");
    let heard = statuses(&exchange(&siege, &packet));
    assert_eq!((heard.len(), heard[..1_000].iter().all(|status| *status == 200), heard[1_000]), (1_001, true, 400));
    siege.survived("a thousand requests in one packet");

    // A form without a length is no body: it is the next request, and no good one.
    assert_eq!(statuses(&exchange(&siege, &post("", &good()))), [400, 400]);
    siege.end();
}

#[test]
fn a_body_that_is_refused_is_not_asked_for() {
    let siege = Siege::begin();
    let heard = exchange(&siege, &post("Expect: 100-continue\r\nContent-Length: 70000\r\n", ""));
    assert!(heard.starts_with("HTTP/1.1 413 "), "{heard}");
    siege.survived("a refused expectation");
    let mut http = siege.broker().connect();
    let form = good();
    http.send(&post(&format!("Expect: 100-continue\r\nContent-Length: {}\r\n", form.len()), "")).unwrap();
    assert_eq!(http.head().unwrap().0, 100, "the body is asked for");
    http.send(form.as_bytes()).unwrap();
    http.answer().unwrap().expect(200);
    // Who sends the body unasked is answered the same; and who sends none is not waited for.
    let heard = exchange(&siege, &post("Expect: 100-continue\r\nContent-Length: 10\r\n", ""));
    assert!(!heard.contains(" 200 "), "{heard}");
    siege.survived("an expectation that is not kept");
    siege.end();
}

#[test]
fn who_leaves_in_the_middle_is_not_missed() {
    let siege = Siege::begin();
    let request = Ask::of("demo").request().bytes();
    for cut in (0..request.len()).step_by(97) {
        let mut http = siege.broker().connect();
        http.send(&request[..cut]).unwrap();
        drop(http);
    }
    siege.survived("requests that were cut at every place");
    for _ in 0..50 {
        let mut http = siege.broker().connect();
        http.send(&Ask::of("demo").request().bytes()).unwrap();
        // Closed with an answer on its way: the kernel resets it.
        drop(http);
    }
    siege.survived("answers that nobody waited for");
    siege.end();
}
