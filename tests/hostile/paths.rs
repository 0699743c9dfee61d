//! Names in paths: a task or a lease is what one decoding of one segment says, or nothing.

use crate::common::{Ask, Request};
use crate::siege::Siege;
use crate::wire::check;

/// A segment, and the task it names; or what it gets in place.
type Segment = (&'static str, Result<&'static str, u16>);

const SEGMENTS: &[Segment] = &[
    ("a", Ok("a")),
    ("b%2Fb", Ok("b/b")),
    ("c%2fb", Ok("c/b")),
    ("%61%2D1", Ok("a-1")),
    ("a.b~c_d:e", Ok("a.b~c_d:e")),
    ("...", Ok("...")),
    ("a+b", Err(400)),
    ("a%20b", Err(400)),
    ("a;b", Err(400)),
    ("a%252Fb", Err(400)),
    ("%2561", Err(400)),
    ("a%25", Err(400)),
    ("%2e", Err(400)),
    ("%2e%2e", Err(400)),
    (".", Err(400)),
    ("..", Err(400)),
    (".%2e", Err(400)),
    ("a%2F..", Err(400)),
    ("..%2Fa", Err(400)),
    ("a%2F%2e%2e%2Fb", Err(400)),
    ("a%2F.%2Fb", Err(400)),
    ("a%2F%2Fb", Err(400)),
    ("%2Fa", Err(400)),
    ("a%2F", Err(400)),
    ("%2F", Err(400)),
    ("a%5Cb", Err(400)),
    ("a%00", Err(400)),
    ("%00", Err(400)),
    ("a%0d%0aX:y", Err(400)),
    ("a%7f", Err(400)),
    ("%ff", Err(400)),
    ("%c0%af", Err(400)),
    ("%ed%a0%80", Err(400)),
    ("%c3%a9", Err(400)),
    ("%e2%80%ae", Err(400)),
    ("a%EF%BC%8Fb", Err(400)),
    ("%", Err(400)),
    ("a%2", Err(400)),
    ("a%zz", Err(400)),
    ("%u002f", Err(400)),
    ("{task}", Err(400)),
    ("*", Err(400)),
    ("a'b", Err(400)),
    ("a/b", Err(404)),
    ("a/../b", Err(404)),
    ("a/./b", Err(404)),
    ("", Err(400)),
    ("a/", Err(404)),
    ("/a", Err(404)),
];

#[test]
fn a_task_in_a_path_is_decoded_once() {
    let siege = Siege::begin();
    let broker = siege.broker();
    for (segment, expected) in SEGMENTS {
        let path = format!("/v1/tasks/{segment}/complete");
        let token = expected.ok().map(|task| broker.mint("demo", task));
        let answer = broker.send(&Ask::bare("demo").at(&path));
        check(&answer).unwrap_or_else(|why| panic!("{segment}: {why}"));
        match expected {
            Ok(task) => {
                assert_eq!(answer.status, 204, "{segment}: {}", answer.text());
                assert!(!broker.stands(&token.unwrap()), "{segment} is {task}, and ended");
            }
            Err(status) => assert_eq!(answer.status, *status, "{segment}: {}", answer.text()),
        }
        siege.survived(segment);
    }
    siege.end();
}

#[test]
fn an_end_reaches_no_other_task_by_a_crooked_path() {
    let siege = Siege::begin();
    let broker = siege.broker();
    let kept = ["keep", "keep/b", "b", "%2e%2e"].map(|task| (task, task != "%2e%2e"));
    let tokens: Vec<_> = kept.iter().filter(|(_, real)| *real).map(|(task, _)| broker.mint("demo", task)).collect();
    for path in [
        "/v1/tasks/x/../keep/complete",
        "/v1/tasks/x/%2e%2e/keep/complete",
        "/v1/tasks/../tasks/keep/complete",
        "/v1/tasks/x%2F..%2Fkeep/complete",
        "/v1/tasks/keep%2F..%2Fkeep/complete",
        "/v1//tasks/keep/complete",
        "//v1/tasks/keep/complete",
        "/v1/./tasks/keep/complete",
        "/v1/tasks/keep/complete/",
        "/v1/tasks/keep//complete",
        "/V1/tasks/keep/complete",
        "/v1/tasks/keep/COMPLETE",
        "/v1/tasks/keep/complete;x=y",
        "/v1/tasks;x=y/keep/complete",
        "/v1/tasks/keep/complete%2f",
        "/v1/tasks/keep%2Fcomplete",
        "/v1/tasks/keep/%63omplete",
        "/v1%2Ftasks/keep/complete",
        "/v1/tasks/keep/complete%00",
        "/v1/tasks/keep%00/complete",
        "/v1/tasks/KEEP/complete",
        "/v1/tasks/keep%20/complete",
        "/v1/tasks/%20keep/complete",
        "/v1/tasks/keep%2Fb%2F/complete",
        "/v1/tasks/keep\\b/complete",
    ] {
        let answer = broker.send(&Ask::bare("demo").at(path));
        let ends_another = path.contains("KEEP");
        assert!(
            matches!(answer.status, 400 | 404) || (ends_another && answer.status == 204),
            "{path}: {}",
            answer.status
        );
        siege.survived(path);
    }
    for token in &tokens {
        assert!(broker.stands(token), "{}", token.claim("txn"));
    }
    siege.end();
}

#[test]
fn a_lease_in_a_path_is_one_or_nobodys() {
    let siege = Siege::begin();
    let broker = siege.broker();
    let token = broker.mint("demo", "leased");
    let lease = token.lease();
    let rows = [
        ("x".to_owned(), 400),
        (lease.to_uppercase(), 400),
        (format!("{{{lease}}}"), 400),
        (lease.replace('-', ""), 400),
        (format!("urn:uuid:{lease}"), 400),
        (format!("%20{lease}"), 400),
        (format!("{lease}%00"), 400),
        (format!("{lease}%2F.."), 400),
        (format!("..%2F{lease}"), 400),
        (format!("%{:02x}{}x", lease.as_bytes()[0], &lease[1..]), 400),
        ("%ff".to_owned(), 400),
        ("%".to_owned(), 400),
        ("0".repeat(4_000), 400),
        ("00000000-0000-0000-0000-000000000000".to_owned(), 400),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(), 400),
        (format!("../leases/{lease}"), 404),
        (format!("{lease}/"), 404),
        (String::new(), 400),
    ];
    for (segment, status) in rows {
        let answer = broker.send(&Ask::bare("demo").at(&format!("/v1/leases/{segment}/renew")));
        check(&answer).unwrap_or_else(|why| panic!("{segment}: {why}"));
        assert_eq!(answer.status, status, "{segment}: {}", answer.text());
        if status == 400 {
            assert_eq!(answer.field("error"), "invalid_grant", "{segment}");
        }
        siege.survived(&segment);
    }
    broker.renew("demo", &lease, None).expect(200);
    siege.end();
}

#[test]
fn a_path_is_served_as_it_is_written_or_not_at_all() {
    let siege = Siege::begin();
    for path in [
        "/livez/",
        "/livez//",
        "/livez/..",
        "/livez/.",
        "/./livez",
        "/../livez",
        "/x/../livez",
        "/%6civez",
        "/livez%00",
        "/livez%20",
        "/LIVEZ",
        "/livez;x",
        "/livez%3Fx",
        "/livez%23x",
        "/livez.json",
        "/.well-known/",
        "/.well-known/oauth-authorization-server/",
        "/.well-known/oauth-authorization-server/x",
        "/.well-known/..%2f..%2fetc%2fpasswd",
        "/etc/passwd",
        "/..%5c..%5cwindows",
        "/favicon.ico",
        "/oauth2",
        "/oauth2/",
        "/oauth2/token/",
        "/oauth2//token",
        "/oauth2/%74oken",
        "/oauth2/jwks.json",
        "/v1",
        "/v1/tasks",
        "/v1/leases",
        "/%",
        "/%zz",
        "/%ff",
        "/%00",
        "/é",
        "/\u{202e}",
        "/openapi.yaml",
        "/index.html",
        "/{task}",
        "/*",
    ] {
        let answer = siege.broker().send(&Request::get(path));
        check(&answer).unwrap_or_else(|why| panic!("{path}: {why}"));
        assert_eq!(answer.outcome(), (404, "not_found".into()), "{path}: {}", answer.text());
        siege.survived(path);
    }
    siege.end();
}
