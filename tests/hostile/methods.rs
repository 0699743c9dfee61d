//! Every endpoint with every method that is not its own; and what is not on the public listener at all.

use std::net::TcpStream;

use crate::common::{Ask, Request};
use crate::siege::Siege;
use crate::wire::check;

const METHODS: [&str; 15] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "PURGE", "post", "get", "QUERY",
    "X", "M-SEARCH",
];

/// The endpoints, and their methods.
const ENDPOINTS: [(&str, &[&str]); 13] = [
    ("/.well-known/oauth-authorization-server", &["GET", "HEAD"]),
    ("/.well-known/openid-configuration", &["GET", "HEAD"]),
    ("/oauth2/authorize", &["GET", "HEAD", "POST"]),
    ("/oauth2/jwks", &["GET", "HEAD"]),
    ("/oauth2/token", &["POST"]),
    ("/oauth2/introspect", &["POST"]),
    ("/oauth2/revoke", &["POST"]),
    ("/v1/tasks/t/complete", &["POST"]),
    ("/v1/leases/l/renew", &["POST"]),
    ("/v1/revocations", &["GET", "HEAD"]),
    ("/livez", &["GET", "HEAD"]),
    ("/readyz", &["GET", "HEAD"]),
    ("/openapi.json", &["GET", "HEAD"]),
];

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let siege = Siege::begin();
    for (path, own) in ENDPOINTS {
        for method in METHODS.into_iter().filter(|method| !own.contains(method)) {
            for body in ["", &Ask::of("demo").form()] {
                let what = format!("{method} {path}");
                let request =
                    Request::new(method, path).header("Content-Type", "application/x-www-form-urlencoded").body(body);
                let mut http = siege.broker().connect();
                http.send(&request.bytes()).unwrap();
                let (status, headers) = http.head().unwrap();
                let allow = headers
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case("allow"))
                    .map(|(_, value)| value.as_str());
                let mut allowed: Vec<&str> = allow.unwrap_or_default().split(',').map(str::trim).collect();
                allowed.sort_unstable();
                assert_eq!((status, allowed.as_slice()), (405, own), "{what}");
                siege.survived(&what);
            }
        }
    }
    siege.end();
}

#[test]
fn the_described_routes_are_the_ones_tried() {
    let described: std::collections::BTreeSet<String> = jitney::http::PUBLIC_ROUTES
        .iter()
        .map(|(method, path)| format!("{} {}", method.to_uppercase(), path.replace("{task}", "t").replace("{id}", "l")))
        .collect();
    let tried = ENDPOINTS.iter().flat_map(|(path, own)| {
        own.iter().filter(|method| **method != "HEAD").map(move |method| format!("{method} {path}"))
    });
    assert_eq!(described, tried.collect());
}

#[test]
fn a_head_is_a_get_without_its_body() {
    let siege = Siege::begin();
    for (path, own) in ENDPOINTS.into_iter().filter(|(_, own)| own.contains(&"HEAD")) {
        assert!(own.contains(&"GET"), "{path}");
        // The feed goes on for ever, but for its snapshot.
        let path = if path == "/v1/revocations" { "/v1/revocations?once=1" } else { path };
        let mut http = siege.broker().connect();
        http.send(&Request::new("HEAD", path).bytes()).unwrap();
        let status = http.head().unwrap().0;
        // Nothing of a body stands between this answer and the next.
        let get = http.ask(&Request::get(path)).unwrap();
        assert_eq!(status, get.status, "{path}");
        siege.survived(path);
    }
    siege.end();
}

#[test]
fn operators_doors_are_not_in_this_wall() {
    let siege = Siege::begin();
    let within = [
        "status",
        "leases",
        "leases/x",
        "revocations",
        "watch",
        "workloads",
        "workloads/demo",
        "workloads/demo/quarantine",
        "workloads/demo/release",
        "audiences",
        "keys",
        "keys/rotate",
        "policies/reload",
    ];
    let outside = [
        "/metrics",
        "/metrics/",
        "/admin",
        "/admin/",
        "/admin/v1",
        "/v1/forward-auth",
        "/v1/verify",
        "/debug/pprof",
        "/",
    ];
    let paths: Vec<String> =
        within.iter().map(|name| format!("/admin/v1/{name}")).chain(outside.map(str::to_owned)).collect();
    for path in &paths {
        for prefix in ["", "http://localhost", "/livez/..", "/."] {
            for method in ["GET", "POST", "HEAD", "OPTIONS"] {
                let request =
                    Request::new(method, &format!("{prefix}{path}")).header("Content-Type", "application/json");
                let mut http = siege.broker().connect();
                http.send(&request.body(if method == "POST" { "{\"all\":true,\"reason\":\"x\"}" } else { "" }).bytes())
                    .unwrap();
                if method == "HEAD" {
                    assert_eq!(http.head().unwrap().0, 404, "{method} {prefix}{path}");
                    continue;
                }
                let answer = http.answer().unwrap();
                check(&answer).unwrap();
                assert_eq!(answer.status, 404, "{method} {prefix}{path}: {}", answer.text());
            }
        }
        siege.survived(path);
    }
    siege.end();
}

#[test]
fn the_process_listens_on_one_port_and_the_admin_socket_is_not_one() {
    let siege = Siege::begin();
    let broker = siege.broker();
    let pid = broker.pid().as_raw_nonzero();
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut ports = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for fields in text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()) {
            let is_open = table.starts_with("udp") || fields[3] == "0A";
            if is_open && sockets.iter().any(|inode| inode == fields[9]) {
                ports.push(u16::from_str_radix(fields[1].rsplit(':').next().unwrap(), 16).unwrap());
            }
        }
    }
    assert_eq!(ports, [broker.address().port()], "what it listens on");
    assert!(TcpStream::connect(broker.address()).is_ok());
    // What the socket answers, it answers to its owner alone.
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(broker.data().join("admin.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    broker.operator_sees("/admin/v1/status");
    broker.admin(&Request::get("/oauth2/jwks")).expect(404);
    broker.admin(&Ask::of("demo").request()).expect(404);
    siege.end();
}
