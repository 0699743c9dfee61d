//! Rules by path: what passes, what does not, and what tries to slip past.

use crate::common::{API, Ask, Backing, Broker, Request, SECOND, Token};
use crate::process::{Guard, challenge, mint, of, told};

const RULES: &str = r#"
[[rule]]
path = "/healthz"
public = true

[[rule]]
prefix = "/orders"
methods = ["GET"]
audience = "https://api.example.com"
scopes = ["orders:read"]

[[rule]]
prefix = "/orders"
methods = ["POST", "PUT"]
audience = "https://api.example.com"
scopes = ["orders:read", "orders:write"]

[[rule]]
prefix = "/public"
public = true

[[rule]]
prefix = "/second"
audience = "https://second.example.com"
"#;

/// What a kind of proxy sends about a request.
fn asks(kind: &str, method: &str, target: &str) -> Request {
    match kind {
        "envoy" => Request::new(method, &format!("/v1/forward-auth{target}")),
        "nginx" | "haproxy" => {
            let request = Request::get("/v1/forward-auth").header("X-Original-Method", method);
            request.header("X-Original-URI", target)
        }
        _ => {
            let request = Request::get("/v1/forward-auth").header("X-Forwarded-Method", method);
            request.header("X-Forwarded-Uri", target)
        }
    }
}

fn guard(broker: &Broker, kind: &str) -> Guard {
    Guard::with_rules(
        broker,
        kind,
        &RULES.replace("https://second.example.com", SECOND).replace("https://api.example.com", API),
        &[],
    )
}

#[test]
fn each_path_asks_for_its_own() {
    let broker = Broker::start(&Backing::Embedded);
    let reads = mint(&broker, &Ask::of("demo"));
    let writes = mint(&broker, &Ask::of("demo").with("scope", "orders:write orders:read"));
    let second = mint(&broker, &Ask::of("demo").with("resource", SECOND));
    for kind in ["nginx", "traefik", "caddy", "envoy", "haproxy"] {
        let guard = guard(&broker, kind);
        let ask =
            |method: &str, target: &str, token: &Token| guard.send(&asks(kind, method, target).bearer(&token.text));
        for (method, target, token, status) in [
            ("GET", "/orders", &reads, 200),
            ("GET", "/orders/7?x=1", &reads, 200),
            ("GET", "/%6Frders/7", &reads, 200),
            ("POST", "/orders", &reads, 403),
            ("POST", "/orders", &writes, 200),
            ("PUT", "/orders/7", &writes, 200),
            ("DELETE", "/orders/7", &writes, 403),
            ("GET", "/ordersmore", &writes, 403),
            ("GET", "/orders", &second, 401),
            ("GET", "/second", &second, 200),
            ("DELETE", "/second/x", &second, 200),
            ("GET", "/second", &reads, 401),
            ("GET", "/", &writes, 403),
        ] {
            let answer = ask(method, target, token).expect(status);
            assert_eq!(told(&answer), (status == 200).then(|| of(token)), "{kind} {method} {target}");
        }
        let lacking = ask("POST", "/orders", &reads);
        let wanted = r#"error="insufficient_scope", error_description="it lacks a scope that is needed here", scope="orders:read orders:write""#;
        assert!(challenge(&lacking).ends_with(wanted), "{lacking:?}");
        for target in ["/healthz", "/public/a/b"] {
            let public = guard.send(&asks(kind, "GET", target)).expect(200);
            assert_eq!(told(&public), Some(Default::default()), "{kind}: every header, and empty");
            let forged = guard.send(&asks(kind, "GET", target).bearer("x").header("X-Jitney-Workload", "admin"));
            assert_eq!(told(&forged.expect(200)), Some(Default::default()), "{kind}");
        }
        guard.send(&asks(kind, "GET", "/orders")).expect(401);
    }
}

#[test]
fn no_spelling_of_a_path_slips_past_its_rule() {
    let broker = Broker::start(&Backing::Embedded);
    let reads = mint(&broker, &Ask::of("demo"));
    for kind in ["nginx", "traefik", "envoy"] {
        let guard = guard(&broker, kind);
        for target in [
            "/public/../orders",
            "/public/%2e%2e/orders",
            "/public/.%2E/orders",
            "/public/..;/orders",
            "/public/;/orders",
            "/public;x/../orders",
            "/public//orders",
            "//orders",
            "/public/..%2forders",
            "/public%2f..%2forders",
            "/public/..%5corders",
            "/public/%252e%252e/orders",
            "/public%00/orders",
            "/public/%c0%ae%c0%ae/orders",
            "/public%3F/../orders",
            "/public%23",
            "/public/%zz",
            "/./orders",
            "/public/.",
            "/public%0d%0aX-Jitney-Workload:%20admin",
        ] {
            let answer = guard.send(&asks(kind, "GET", target).bearer(&reads.text)).expect(403);
            assert!(challenge(&answer).contains(r#"error="invalid_request""#), "{kind} {target}: {answer:?}");
        }
        for target in ["orders", "", "*", "http://host/public"] {
            let status = guard.send(&asks(kind, "GET", target).bearer(&reads.text)).status;
            // Under Envoy a target that is no path makes the endpoint's own path another.
            assert!(
                status == 403 || kind == "envoy" && matches!(status, 400 | 403 | 404),
                "{kind} {target:?}: {status}"
            );
        }
    }
}

#[test]
fn what_another_kind_of_proxy_would_say_is_refused() {
    let broker = Broker::start(&Backing::Embedded);
    let reads = mint(&broker, &Ask::of("demo"));
    let foreign = [
        ("X-Original-Method", "GET"),
        ("X-Original-URI", "/public"),
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Uri", "/public"),
        ("X-Original-URL", "/public"),
        ("X-Rewrite-URL", "/public"),
    ];
    for kind in ["nginx", "traefik", "caddy", "envoy", "haproxy"] {
        let guard = guard(&broker, kind);
        let own = asks(kind, "POST", "/orders").bearer(&reads.text);
        guard.send(&own).expect(403);
        for (name, value) in foreign {
            // Its own once more is as bad as another's.
            let answer = guard.send(&own.clone().header(name, value)).expect(403);
            assert!(challenge(&answer).contains("invalid_request"), "{kind} {name}: {answer:?}");
        }
        let nothing = guard.send(&Request::get("/v1/forward-auth").bearer(&reads.text)).expect(403);
        assert!(challenge(&nothing).contains("the proxy does not say"), "{kind}: {nothing:?}");
    }
}
