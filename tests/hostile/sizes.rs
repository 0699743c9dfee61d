//! Too much of everything, each dimension on its own, at its bound and one beyond it.

use crate::common::{API, Ask, Request, Setup};
use crate::siege::Siege;
use crate::wire::{Kept, Last, Row, check, get, play, post};

const BODY: usize = 64 << 10;
const HEAD: usize = 16 << 10;

/// A good form, filled up to this length.
fn filled(length: usize) -> String {
    let form = Ask::of("demo").form() + "&filler=";
    format!("{form}{}", "x".repeat(length - form.len()))
}

fn sized(body: &str) -> Vec<u8> {
    post(&format!("Content-Length: {}\r\n", body.len()), body)
}

fn in_chunks(body: &str, size: usize) -> Vec<u8> {
    let chunks: String = body
        .as_bytes()
        .chunks(size)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), chunk.escape_ascii()))
        .collect();
    post("Transfer-Encoding: chunked\r\n", &format!("{chunks}0\r\n\r\n"))
}

/// A GET whose head is of this length.
fn head(length: usize) -> Vec<u8> {
    let rest = get("X: \r\n").len();
    get(&format!("X: {}\r\n", "y".repeat(length - rest)))
}

fn path(length: usize) -> Vec<u8> {
    format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(length)).into_bytes()
}

#[test]
fn a_body_and_a_head_have_a_longest() {
    let siege = Siege::begin();
    let rows: Vec<Row> = vec![
        ("the longest body", sized(&filled(BODY)), Kept(200)),
        ("one byte more, announced", sized(&filled(BODY + 1)), Last(413)),
        ("the longest body in chunks", in_chunks(&filled(BODY), 1000), Kept(200)),
        ("one byte more in chunks", in_chunks(&filled(BODY + 1), 1000), Last(413)),
        ("one byte a chunk", in_chunks(&filled(4_000), 1), Kept(200)),
        ("a megabyte, announced", sized(&filled(1 << 20)), Last(413)),
        ("a megabyte in chunks", in_chunks(&filled(1 << 20), 8 << 10), Last(413)),
        ("a gigabyte, announced only", post("Content-Length: 1073741824\r\n", ""), Last(413)),
        ("the longest head", head(HEAD), Kept(200)),
        ("one byte more", head(HEAD + 1), Last(431)),
        ("a header without end", get(&format!("X: {}\r\n", "y".repeat(200_000))), Last(431)),
        ("a name without end", get(&format!("{}: y\r\n", "x".repeat(100_000))), Last(431)),
        ("many headers of some size", get(&format!("X-Some-Header: {}\r\n", "y".repeat(180)).repeat(99)), Last(431)),
        ("a hundred headers", get(&"X: y\r\n".repeat(99)), Kept(200)),
        ("a hundred and one", get(&"X: y\r\n".repeat(100)), Last(431)),
        ("thousands", get(&"X: y\r\n".repeat(5_000)), Last(431)),
        ("a hundred cookies", get(&"Cookie: a=b; c=d\r\n".repeat(99)), Kept(200)),
        ("a long path", path(8 << 10), Kept(404)),
        ("a longer one", path(20 << 10), Last(431)),
        ("a path beyond what a URI may be", path(70_000), Last(431)),
        (
            "a long query",
            format!("GET /livez?{} HTTP/1.1\r\nHost: x\r\n\r\n", "a&".repeat(7_000)).into_bytes(),
            Kept(200),
        ),
        ("a long method", format!("{} /livez HTTP/1.1\r\nHost: x\r\n\r\n", "G".repeat(10_000)).into_bytes(), Kept(405)),
        ("a longer one", format!("{} /livez HTTP/1.1\r\nHost: x\r\n\r\n", "G".repeat(20_000)).into_bytes(), Last(431)),
        ("empty lines without end", b"\r\n".repeat(20_000), Last(431)),
        ("a long host", format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(9_000)).into_bytes(), Kept(200)),
        ("a token as long as a head", get(&format!("Authorization: Bearer {}\r\n", "x".repeat(15_000))), Kept(200)),
    ];
    play(&siege, rows);
    siege.end();
}

#[test]
fn a_form_has_as_many_parameters_as_anyone_needs() {
    let siege = Siege::begin();
    let many = |n: usize| (0..n).fold(Ask::of("demo"), |ask, n| ask.also(&format!("p{n}"), "x"));
    let own = Ask::of("demo").form().split('&').count();
    let long = "x".repeat(60_000);
    let deep = vec!["a"; 64].join("/");
    let rows: Vec<(&str, Ask, u16, &str)> = vec![
        ("as many as may be", many(64 - own), 200, ""),
        ("one more", many(65 - own), 400, "invalid_request"),
        ("thousands", many(5_000), 400, "invalid_request"),
        ("a long value nobody knows", Ask::of("demo").also("x", &long), 200, ""),
        ("a long name", Ask::of("demo").also(&long, "x"), 200, ""),
        (
            "a long name, twice",
            Ask::of("demo").also(&long[..30_000], "x").also(&long[..30_000], "y"),
            400,
            "invalid_request",
        ),
        ("a long task", Ask::of("demo").task(&long), 400, "invalid_request"),
        ("the longest task", Ask::of("demo").task(&"t".repeat(128)), 200, ""),
        ("one letter more", Ask::of("demo").task(&"t".repeat(129)), 400, "invalid_request"),
        ("the deepest task", Ask::of("demo").task(&deep), 200, ""),
        ("a deeper one", Ask::of("demo").task(&format!("{deep}/a")), 400, "invalid_request"),
        ("a long scope", Ask::of("demo").with("scope", &long), 400, "invalid_scope"),
        ("thousands of scopes", Ask::of("demo").with("scope", "a ".repeat(30_000).trim_end()), 400, "invalid_scope"),
        (
            "one scope thousands of times",
            Ask::of("demo").with("scope", "orders:read ".repeat(4_000).trim_end()),
            200,
            "",
        ),
        ("a long instance", Ask::of("demo").with("scope", format!("orders:read:{long}")), 400, "invalid_scope"),
        ("a long resource", Ask::of("demo").with("resource", format!("{API}/{long}")), 400, "invalid_target"),
        ("a resource many times", (0..50).fold(Ask::of("demo"), |ask, _| ask.also("resource", API)), 200, ""),
        ("a long ttl", Ask::of("demo").with("ttl", "1".repeat(60_000)), 400, "invalid_request"),
        ("a ttl with zeros", Ask::of("demo").with("ttl", format!("{}60", "0".repeat(60_000))), 400, "invalid_request"),
        ("a long grant type", Ask::of("demo").with("grant_type", &long), 400, "unsupported_grant_type"),
        ("a long assertion", Ask::of("demo").assertion(&long), 401, "invalid_client"),
        ("an assertion of dots", Ask::of("demo").assertion(".".repeat(60_000)), 401, "invalid_client"),
        ("a long client", Ask::of("demo").with("client_id", &long), 401, "invalid_client"),
        (
            "a long type of assertion",
            Ask::of("demo").assertion("x").with("client_assertion_type", &long),
            401,
            "invalid_client",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, ask, status, error) in rows {
        let answer = siege.broker().ask(&ask);
        if let Err(why) = check(&answer) {
            wrong.push(format!("{name}: {why}"));
        }
        if answer.outcome() != (status, error.into()) {
            wrong.push(format!("{name}: {} {}", answer.status, &answer.text()[..answer.text().len().min(300)]));
        }
        siege.survived(name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    siege.end();
}

#[test]
fn a_name_in_a_path_or_a_query_has_a_longest() {
    let siege = Siege::begin();
    let long = "x".repeat(8_000);
    for (path, status) in [
        (format!("/v1/tasks/{}/complete", "t".repeat(128)), 204),
        (format!("/v1/tasks/{}/complete", "t".repeat(129)), 400),
        (format!("/v1/tasks/{long}/complete"), 400),
        (format!("/v1/tasks/{}/complete", "a%2F".repeat(2_000)), 400),
        (format!("/v1/tasks/{}complete", "a/".repeat(4_000)), 404),
        (format!("/v1/leases/{long}/renew"), 400),
        (format!("/v1/tasks/t?{long}/complete"), 404),
    ] {
        let answer = siege.broker().send(&Ask::bare("demo").at(&path));
        check(&answer).unwrap();
        assert_eq!(answer.status, status, "{}: {}", &path[..30], answer.text());
        siege.survived(&path[..30.min(path.len())]);
    }
    for query in
        [format!("once=1&audience=https://{long}"), format!("once={long}"), format!("once=1&{}", "a=b&".repeat(2_000))]
    {
        let answer = siege.broker().get(&format!("/v1/revocations?{query}"));
        check(&answer).unwrap();
        assert!((400..500).contains(&answer.status), "{}", answer.text());
        siege.survived("a long query");
    }
    siege.end();
}

#[test]
fn a_flood_of_refusals_keeps_nobody_waiting() {
    let siege = Siege::of(Setup::default().set("JITNEY_TELEMETRY_LOG", "warn"));
    let address = siege.broker().address();
    let wrong: [&[u8]; 5] = [
        b"GARBAGE\r\n\r\n",
        &post("Content-Length: 3\r\n", "a=%"),
        &post("Content-Length: 3\r\n", "a=b"),
        &Request::new("DELETE", "/oauth2/token").bytes(),
        &Ask::of("nobody").request().bytes(),
    ];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for bytes in wrong.iter().cycle().take(500) {
                    let mut http = crate::common::Http::tcp(address).unwrap();
                    http.send(bytes).unwrap();
                    let answer = http.answer().unwrap();
                    assert!((400..500).contains(&answer.status), "{}", answer.text());
                }
            });
        }
    });
    siege.survived("a flood");
    let lines = siege.broker().stderr().lines().count();
    assert!(lines < 100, "strangers fill the log: {lines} lines");
    siege.end();
}
