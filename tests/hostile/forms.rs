//! Forms that have two meanings or none, and bodies that are no form.

use crate::common::{API, Answer, Ask, Request, complete_path};
use crate::siege::Siege;
use crate::wire::check;

/// A path that takes a form, what is good for it, and what it then answers.
type Endpoint = (String, Ask, u16);

/// Every path that takes a form; each is asked for what is new to it.
fn endpoints(siege: &Siege, name: &str) -> Vec<Endpoint> {
    let token = siege.broker().mint("demo", name);
    let about = |client: &str| Ask::bare(client).with("token", &token.text);
    vec![
        ("/oauth2/token".into(), Ask::of("demo").with("ttl", 60).with("client_id", "demo"), 200),
        ("/oauth2/introspect".into(), about(API).with("token_type_hint", "access_token").with("client_id", API), 200),
        (
            format!("/v1/leases/{}/renew", token.lease()),
            Ask::bare("demo").with("ttl", 60).with("client_id", "demo"),
            200,
        ),
        ("/oauth2/revoke".into(), about("demo").with("token_type_hint", "access_token"), 200),
        (complete_path(name), Ask::bare("demo").with("client_id", "demo"), 204),
    ]
}

/// Goes on only with this refusal.
#[track_caller]
fn refused(what: &str, answer: &Answer, status: u16, error: &str) {
    check(answer).unwrap_or_else(|why| panic!("{what}: {why}"));
    assert_eq!(answer.outcome(), (status, error.into()), "{what}: {}", answer.text());
}

#[test]
fn a_parameter_comes_once_and_in_the_body() {
    let siege = Siege::begin();
    for (path, ask, good) in endpoints(&siege, "once") {
        let form = ask.form();
        let names: Vec<String> = form.split('&').map(|pair| pair.split('=').next().unwrap().to_owned()).collect();
        assert!(names.len() >= 3, "{form}");
        for name in names {
            let form = ask.form();
            // Two that are equal may be one: these are two.
            let value = if name == "resource" { "https%3A%2F%2Fsecond.example.com" } else { "x" };
            for twice in [format!("{form}&{name}={value}"), format!("{name}={value}&{}", ask.form())] {
                let what = format!("{path}: {name} twice");
                refused(&what, &siege.broker().send(&Request::form(&path, &twice)), 400, "invalid_request");
                siege.survived(&what);
            }
            let hidden = format!("{}&%{:02x}{}={value}", ask.form(), name.as_bytes()[0], &name[1..]);
            let what = format!("{path}: {name} twice, once in disguise");
            refused(&what, &siege.broker().send(&Request::form(&path, &hidden)), 400, "invalid_request");
            siege.survived(&what);
            for query in [format!("{path}?{name}={value}"), format!("{path}?a=b&{name}={value}&c")] {
                let what = format!("{path}: {name} in the query too");
                refused(&what, &siege.broker().send(&Request::form(&query, &form)), 400, "invalid_request");
                siege.survived(&what);
            }
        }
        let everything = siege.broker().send(&Request::new("POST", &format!("{path}?{form}")));
        refused(&format!("{path}: all in the query"), &everything, 400, "invalid_request");
        // The last assertion is still good, and what nobody knows is nobody's matter.
        let answer = siege.broker().send(&Request::form(&format!("{path}?colour=red"), &form));
        assert_eq!(answer.status, good, "{path}: {}", answer.text());
    }
    for query in
        ["once=1&once=1", "once=1&audience=a&audience=b", "once=0&once=1", "once=1&%6fnce=1", "once=%", "once=1&a=%ff"]
    {
        refused(query, &siege.broker().get(&format!("/v1/revocations?{query}")), 400, "invalid_request");
        siege.survived(query);
    }
    siege.end();
}

#[test]
fn a_body_of_another_type_is_not_read() {
    let siege = Siege::begin();
    let form = "application/x-www-form-urlencoded";
    let wrong: &[&[&str]] = &[
        &["application/json"],
        &["application/json; charset=utf-8"],
        &["multipart/form-data; boundary=x"],
        &["multipart/form-data"],
        &["text/plain"],
        &["text/plain; application/x-www-form-urlencoded"],
        &["application/x-www-form-urlencodedx"],
        &["x-application/x-www-form-urlencoded"],
        &["application/*"],
        &["*/*"],
        &["application"],
        &["application/x-www-form-urlencoded, application/json"],
        &["application/json, application/x-www-form-urlencoded"],
        &["application/x-www-form-urlencoded application/json"],
        &[""],
        &[";"],
        &["application/jwt"],
        &["application/octet-stream"],
        &[form, form],
        &[form, "application/json"],
        &["application/json", form],
        &[],
    ];
    let right = [
        form.to_owned(),
        form.to_uppercase(),
        format!("{form}; charset=utf-8"),
        format!("{form};charset=UTF-8"),
        format!("{form} ; charset=\"utf-8\""),
        format!("  {form}  "),
    ];
    let typed = |path: &str, body: &str, types: &[&str]| {
        types.iter().fold(Request::new("POST", path).body(body), |request, kind| request.header("Content-Type", kind))
    };
    for (path, ask, _) in endpoints(&siege, "typed") {
        for types in wrong {
            for body in [&ask.form(), "{\"grant_type\":\"client_credentials\"}", "--x\r\n\r\n--x--\r\n"] {
                let answer = siege.broker().send(&typed(&path, body, types));
                refused(&format!("{path}: {types:?}"), &answer, 415, "unsupported_media_type");
            }
            siege.survived("another type");
        }
    }
    for kind in &right {
        let answer = siege.broker().send(&typed("/oauth2/token", &Ask::of("demo").form(), &[kind]));
        assert_eq!(answer.status, 200, "{kind:?}: {}", answer.text());
    }
    // What is not in UTF-8 is not read as if it were.
    for kind in ["utf-16", "iso-8859-1", "utf-7", "shift_jis", "\"utf-16\"", "utf-8; charset=utf-16"] {
        let answer = siege.broker().send(&typed(
            "/oauth2/token",
            &Ask::of("demo").form(),
            &[&format!("{form}; charset={kind}")],
        ));
        refused(kind, &answer, 415, "unsupported_media_type");
        siege.survived(kind);
    }
    siege.end();
}

#[test]
fn bytes_that_are_no_form_are_refused() {
    let siege = Siege::begin();
    let tails: &[&[u8]] = &[
        b"&x=%",
        b"&x=%2",
        b"&x=%zz",
        b"&x=%2x",
        b"&%=x",
        b"&x=%%32",
        b"&x=%00",
        b"&%00=x",
        b"&x=\0",
        b"&x=\x01",
        b"&x=%01",
        b"&x=%1b",
        b"&x=%7f",
        b"&x=\x7f",
        b"&x=\r\n",
        b"&x=%0d%0a",
        b"\r\n",
        b"\n",
        b"&x=\t",
        b"&x=\xff",
        b"&x=\xc3\xa9",
        b"&x=%ff",
        b"&x=%c3",
        b"&x=%c0%af",
        b"&x=%ed%a0%80",
        b"&x=%f4%90%80%80",
        b"&x=%e2%28%a1",
        b"&x=%fe%ff",
        b"&x=%ef%bf%bd",
        b"&x=%c2%80",
        b"&x=%u0041",
        b"&x=\xef\xbb\xbf",
    ];
    for (path, ask, good) in endpoints(&siege, "bytes") {
        let form = ask.form();
        for tail in tails {
            let mut bytes = Request::form(&path, &format!("{form}{}", "x".repeat(tail.len()))).bytes();
            let end = bytes.len() - tail.len();
            bytes[end..].copy_from_slice(tail);
            let mut http = siege.broker().connect();
            http.send(&bytes).unwrap();
            let what = format!("{path}: {}", tail.escape_ascii());
            refused(&what, &http.answer().unwrap(), 400, "invalid_request");
            siege.survived(&what);
        }
        // The same assertion still counts, and what is only odd is read.
        let odd = format!("&&{form}&&x&=y&=&z=%F0%9F%8E%89+%c3%A9&;a=b&[]=1&x[]=2&__proto__=1&");
        let answer = siege.broker().send(&Request::form(&path, &odd));
        assert_eq!(answer.status, good, "{path}: {}", answer.text());
    }
    siege.end();
}
