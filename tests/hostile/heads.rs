//! Request lines and headers in every wrong shape. RFC 9112 §2 to §5, RFC 9110 §5 and §7.

use crate::siege::Siege;
use crate::wire::{Cut, Kept, Last, Row, get, good, play, post};

/// A whole head: a request line, a host, and no more.
fn line(text: &str) -> Vec<u8> {
    format!("{text}\r\nHost: x\r\n\r\n").into_bytes()
}

/// `/livez` with this in place of its host.
fn host(lines: &str) -> Vec<u8> {
    format!("GET /livez HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

#[test]
fn a_request_line_is_read_strictly() {
    let siege = Siege::begin();
    let rows: Vec<Row> = vec![
        ("as it should be", line("GET /livez HTTP/1.1"), Kept(200)),
        ("empty lines before", line("\r\n\r\nGET /livez HTTP/1.1"), Kept(200)),
        ("a NUL in the method", line("G\0T /livez HTTP/1.1"), Last(400)),
        ("a control byte in the method", line("GE\x01T /livez HTTP/1.1"), Last(400)),
        ("a method beyond ASCII", line("GÉT /livez HTTP/1.1"), Last(400)),
        ("a method with a separator", line("G(T /livez HTTP/1.1"), Last(400)),
        ("no method", line(" /livez HTTP/1.1"), Last(400)),
        ("no path", line("GET  HTTP/1.1"), Last(400)),
        ("only a method", line("GET"), Last(400)),
        ("two spaces", line("GET  /livez HTTP/1.1"), Last(400)),
        ("a tab between", line("GET\t/livez HTTP/1.1"), Last(400)),
        ("a space in the path", line("GET /liv ez HTTP/1.1"), Last(400)),
        ("a NUL in the path", line("GET /livez\0 HTTP/1.1"), Last(400)),
        ("a control byte in the path", line("GET /li\x1bvez HTTP/1.1"), Last(400)),
        ("DEL in the path", line("GET /livez\x7f HTTP/1.1"), Last(400)),
        ("a NUL in the query", line("GET /livez?a=\0 HTTP/1.1"), Last(400)),
        ("a bare CR", line("GET /livez\r HTTP/1.1"), Last(400)),
        ("a space behind", line("GET /livez HTTP/1.1 "), Last(400)),
        ("HTTP/0.9, as it was", b"GET /livez\r\n\r\n".to_vec(), Last(400)),
        ("HTTP/0.9, as nobody wrote it", line("GET /livez HTTP/0.9"), Last(400)),
        ("HTTP/1.2", line("GET /livez HTTP/1.2"), Last(400)),
        ("HTTP/2.0", line("GET /livez HTTP/2.0"), Last(400)),
        ("HTTP/3", line("GET /livez HTTP/3"), Last(400)),
        ("HTTP/1.10", line("GET /livez HTTP/1.10"), Last(400)),
        ("HTTP/01.1", line("GET /livez HTTP/01.1"), Last(400)),
        ("HTTP in small letters", line("GET /livez http/1.1"), Last(400)),
        ("another protocol", line("GET /livez ICY/1.1"), Last(400)),
        ("a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), Cut),
        ("Redis", b"*1\r\n$4\r\nPING\r\n\r\n".to_vec(), Last(400)),
        ("a mail server", b"EHLO example.com\r\n\r\n".to_vec(), Last(400)),
        (
            "a PROXY header",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            Last(400),
        ),
        ("bytes of 0xff", vec![0xff; 64], Last(400)),
        ("bytes of NUL", vec![0; 64], Last(400)),
    ];
    play(&siege, rows);
    siege.end();
}

#[test]
fn a_target_of_any_form_is_a_path_or_nothing() {
    let siege = Siege::begin();
    let rows: Vec<Row> = vec![
        ("absolute form", line("GET http://x/livez HTTP/1.1"), Kept(200)),
        ("absolute form of another host", line("GET http://other.example:99/livez HTTP/1.1"), Kept(200)),
        ("absolute form to the admin API", line("GET http://x/admin/v1/status HTTP/1.1"), Kept(404)),
        ("absolute form without a path", line("GET http://x HTTP/1.1"), Kept(404)),
        ("absolute form with a user", line("GET http://user:pass@x/livez HTTP/1.1"), Kept(200)),
        ("absolute form without a host", line("GET http:///livez HTTP/1.1"), Last(400)),
        ("another scheme", line("GET ftp://x/livez HTTP/1.1"), Kept(200)),
        ("a file", line("GET file:///etc/passwd HTTP/1.1"), Last(400)),
        ("authority form", line("GET x:80 HTTP/1.1"), Kept(404)),
        ("a tunnel", line("CONNECT x:443 HTTP/1.1"), Last(501)),
        ("a tunnel to a path", line("CONNECT /livez HTTP/1.1"), Last(501)),
        ("OPTIONS *", line("OPTIONS * HTTP/1.1"), Kept(404)),
        ("GET *", line("GET * HTTP/1.1"), Kept(404)),
        ("a path without a slash", line("GET livez HTTP/1.1"), Kept(404)),
        ("two slashes", line("GET //livez HTTP/1.1"), Kept(404)),
        ("a backslash", line("GET \\livez HTTP/1.1"), Last(400)),
        ("a fragment", line("GET /livez#x HTTP/1.1"), Kept(200)),
        ("a question mark", line("GET /livez? HTTP/1.1"), Kept(200)),
        ("an unknown query", line("GET /livez?%00=%ff&%zz HTTP/1.1"), Kept(200)),
        ("a wrong port", line("GET http://x:99999999/livez HTTP/1.1"), Kept(200)),
        ("half an IPv6 address", line("GET http://[::1/livez HTTP/1.1"), Last(400)),
    ];
    play(&siege, rows);
    siege.end();
}

#[test]
fn a_header_is_read_strictly() {
    let siege = Siege::begin();
    let rows: Vec<Row> = vec![
        ("one more", get("X: y\r\n"), Kept(200)),
        ("an empty value", get("X:\r\n"), Kept(200)),
        ("a value beyond ASCII", get("X: é\r\n"), Kept(200)),
        ("a tab in a value", get("X: a\tb\r\n"), Kept(200)),
        ("a line ended by a bare LF", get("X: y\n"), Kept(200)),
        ("a NUL in a name", get("X\0: y\r\n"), Last(400)),
        ("a NUL in a value", get("X: y\0z\r\n"), Last(400)),
        ("a control byte in a value", get("X: y\x01z\r\n"), Last(400)),
        ("DEL in a value", get("X: y\x7fz\r\n"), Last(400)),
        ("a bare CR in a value", get("X: y\rz\r\n"), Last(400)),
        ("a folded line", get("X: y\r\n z\r\n"), Last(400)),
        ("a line folded by a tab", get("X: y\r\n\tz\r\n"), Last(400)),
        ("a space before the first header", b"GET /livez HTTP/1.1\r\n Host: x\r\n\r\n".to_vec(), Last(400)),
        ("a space before the colon", get("X : y\r\n"), Last(400)),
        ("a tab before the colon", get("X\t: y\r\n"), Last(400)),
        ("a space in a name", get("X Y: z\r\n"), Last(400)),
        ("a name beyond ASCII", get("É: y\r\n"), Last(400)),
        ("a separator in a name", get("X[]: y\r\n"), Last(400)),
        ("no name", get(": y\r\n"), Last(400)),
        ("no colon", get("X\r\n"), Last(400)),
        ("another encoding", get("Content-Encoding: gzip\r\n"), Kept(200)),
        ("two Authorization headers", get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), Kept(200)),
        ("a method in a header", get("X-HTTP-Method-Override: DELETE\r\n"), Kept(200)),
        ("a path in a header", get("X-Original-URL: /admin/v1/status\r\nX-Rewrite-URL: /metrics\r\n"), Kept(200)),
        ("a range", get("Range: bytes=0-0,0-0,0-0\r\n"), Kept(200)),
    ];
    play(&siege, rows);
    siege.end();
}

#[test]
fn a_request_names_one_host() {
    let siege = Siege::begin();
    let rows: Vec<Row> = vec![
        ("a name", host("Host: x\r\n"), Kept(200)),
        ("a name and a port", host("Host: broker.example.com:8180\r\n"), Kept(200)),
        ("an address", host("Host: [::1]:8180\r\n"), Kept(200)),
        ("an empty one", host("Host:\r\n"), Kept(200)),
        ("none", host(""), Last(400)),
        ("two", host("Host: x\r\nHost: y\r\n"), Last(400)),
        ("the same twice", host("Host: x\r\nhost: x\r\n"), Last(400)),
        ("a list", host("Host: x, y\r\n"), Last(400)),
        ("two words", host("Host: x y\r\n"), Last(400)),
        ("a path", host("Host: x/livez\r\n"), Last(400)),
        ("a URL", host("Host: http://x\r\n"), Last(400)),
        ("a user", host("Host: user@x\r\n"), Last(400)),
        ("a port that is none", host("Host: x:port\r\n"), Last(400)),
        ("a port too high", host("Host: x:65536\r\n"), Last(400)),
        ("bytes beyond ASCII", host("Host: é\r\n"), Last(400)),
        ("half an address", host("Host: [::1\r\n"), Last(400)),
        ("a space before its colon", host("Host : x\r\n"), Last(400)),
        ("a second one that is folded", host("Host: x\r\n Host: y\r\n"), Last(400)),
        ("none in HTTP/1.0", b"GET /livez HTTP/1.0\r\n\r\n".to_vec(), Last(200)),
        ("another host by a proxy's word", host("Host: x\r\nX-Forwarded-Host: y\r\nForwarded: host=z\r\n"), Kept(200)),
    ];
    play(&siege, rows);
    siege.end();
}

#[test]
fn what_a_connection_might_become_it_does_not() {
    let siege = Siege::begin();
    let sized = |more: &str| {
        let form = good();
        post(&format!("{more}Content-Length: {}\r\n", form.len()), &form)
    };
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
    let web = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n";
    let rows: Vec<Row> = vec![
        ("an upgrade to h2c", get(h2c), Kept(200)),
        ("an upgrade to a web socket", get(web), Kept(200)),
        ("an upgrade with a body", sized(h2c), Kept(200)),
        ("an upgrade to TLS", get("Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n"), Kept(200)),
        ("a wish to close", get("Connection: close\r\n"), Last(200)),
        ("a wish to close and to stay", get("Connection: close, keep-alive\r\n"), Last(200)),
        ("a wish to stay in HTTP/1.0", b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_vec(), Kept(200)),
        ("another hop's header named", get("Connection: host, content-length\r\n"), Kept(200)),
        ("an expectation met with the body", sized("Expect: 100-continue\r\n"), Kept(200)),
        ("an unknown expectation", sized("Expect: a-miracle\r\n"), Kept(200)),
        ("a body with a GET", get("Content-Length: 5\r\n").into_iter().chain(*b"hello").collect(), Kept(200)),
    ];
    play(&siege, rows);
    siege.end();
}
