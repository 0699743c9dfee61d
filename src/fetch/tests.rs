//! The client against servers on loopback: bounds, errors, TLS, Unix sockets.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;

use super::unix::UnixFetch;
use super::*;

/// Reads one request (head, and a body of `body` bytes), writes `answer`, holds the connection open.
async fn serve_once(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    answer: String,
    seen: oneshot::Sender<String>,
) {
    let mut request = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        request.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
        // A TLS handshake is no request: answer it at once.
        if read == 0 || request.starts_with('\u{16}') {
            break;
        }
    }
    let _ = seen.send(request);
    stream.write_all(answer.as_bytes()).await.unwrap();
    // Until the client leaves.
    let _ = stream.read(&mut buffer).await;
}

async fn server(answer: &str) -> (String, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, seen) = oneshot::channel();
    let answer = answer.to_owned();
    tokio::spawn(async move { serve_once(listener.accept().await.unwrap().0, answer, tell).await });
    (url, seen)
}

fn fetch(timeout_ms: u64, max_body: usize) -> Fetch {
    Fetch::new(FetchOptions { timeout: Duration::from_millis(timeout_ms), max_body, allow_plain_http: false })
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\netag: \"x\"\r\n\r\nhello";

#[tokio::test]
async fn a_get_brings_status_headers_and_body() {
    let (url, seen) = server(OK).await;
    let answer = fetch(5000, 100).get(&format!("{url}/a?b=c")).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..], &answer.headers["etag"]),
        (200, &b"hello"[..], &"\"x\"".parse().unwrap())
    );
    assert!(seen.await.unwrap().starts_with("GET /a?b=c HTTP/1.1\r\n"));
    assert!(!format!("{answer:?}").contains("hello"), "a body may be a token");
}

#[tokio::test]
async fn a_form_is_encoded_and_the_bearer_sent() {
    let (url, seen) = server("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    let form = [("task", "a/b"), ("scope", "x y")];
    let token = Secret::new("tok".to_owned());
    let answer = fetch(5000, 100).post_form(&url, &form, Some(&token)).await.unwrap();
    assert_eq!(answer.status, 401);
    let request = seen.await.unwrap();
    assert!(request.ends_with("\r\n\r\ntask=a%2Fb&scope=x+y"), "{request}");
    assert!(request.contains("authorization: Bearer tok\r\n"), "{request}");
    assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"), "{request}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_not_a_way() {
    let (url, _seen) = server("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(fetch(5000, 100).get(&url).await.unwrap().status, 302);
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused_however_it_is_announced() {
    for answer in [OK, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let (url, _seen) = server(answer).await;
        let error = fetch(5000, 4).get(&url).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 4, .. }), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_times_out() {
    let (url, _seen) = server("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    let error = fetch(50, 100).get(&url).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_http_is_a_broken_connection() {
    let (url, _seen) = server("SSH-2.0-OpenSSH_9.2\r\n").await;
    let error = fetch(5000, 100).get(&url).await.unwrap_err();
    assert!(matches!(error, FetchError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x?secret=1", listener.local_addr().unwrap());
    drop(listener);
    let error = fetch(5000, 100).get(&url).await.unwrap_err();
    assert!(matches!(error, FetchError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("/x: connection refused"), "{error}");
    assert!(!error.to_string().contains("secret"));
}

#[tokio::test]
async fn a_server_without_tls_fails_the_handshake() {
    let (url, _seen) = server("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    let error = fetch(5000, 100).get(&url.replace("http://", "https://")).await.unwrap_err();
    assert!(matches!(error, FetchError::Tls { .. } | FetchError::NoRoots { .. }), "{error}");
}

#[test]
fn plain_http_is_for_this_machine_unless_allowed() {
    for url in
        ["http://127.0.0.1:8180/", "http://127.9.9.9", "http://[::1]:1/", "http://localhost/", "https://a.example"]
    {
        assert!(Target::parse(url, false).is_ok(), "{url}");
    }
    for url in
        ["http://example.com/", "http://10.0.0.1", "http://localhost.example.com/", "http://127.0.0.1.example.com"]
    {
        assert!(matches!(Target::parse(url, false), Err(FetchError::PlainHttp { .. })), "{url}");
        assert!(Target::parse(url, true).is_ok(), "{url}");
    }
    for url in ["", "/x", "ftp://127.0.0.1/", "http://", "http://user:pw@127.0.0.1/", "not a url", "unix:/x"] {
        let Err(error) = Target::parse(url, true) else { panic!("{url}") };
        assert!(matches!(error, FetchError::Url { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("pw"), "{error}");
    }
}

async fn unix_server(answer: &str) -> (tempfile::TempDir, UnixFetch, oneshot::Receiver<String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let (tell, seen) = oneshot::channel();
    let answer = answer.to_owned();
    tokio::spawn(async move { serve_once(listener.accept().await.unwrap().0, answer, tell).await });
    (dir, UnixFetch::new(path).with_timeout(Duration::from_secs(5)), seen)
}

#[tokio::test]
async fn over_a_unix_socket_json_goes_and_an_answer_comes() {
    let (_dir, client, seen) = unix_server(OK).await;
    let answer = client.post_json("/admin/v1/x", &serde_json::json!({"a": 1})).await.unwrap();
    assert_eq!(&answer.body[..], b"hello");
    let request = seen.await.unwrap();
    assert!(request.starts_with("POST /admin/v1/x HTTP/1.1\r\n") && request.ends_with("{\"a\":1}"), "{request}");
    let (_dir, client, _seen) = unix_server(OK).await;
    assert_eq!(client.get("/y").await.unwrap().status, 200);
}

#[tokio::test]
async fn lines_come_one_by_one_across_chunks() {
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\na\nb\r\n4\r\nb\n\nc\r\n0\r\n\r\n";
    let (_dir, client, _seen) = unix_server(chunks).await;
    let mut lines = client.lines("/watch").await.unwrap();
    let mut got = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        got.push(line);
    }
    assert_eq!(got, ["a", "bb", "", "c"]);
    assert_eq!(lines.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_refused_stream_says_status_and_body() {
    let (_dir, client, _seen) = unix_server("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnope").await;
    let error = client.lines("/watch").await.unwrap_err();
    assert!(matches!(&error, FetchError::Status { status: 404, body, .. } if body == "nope"), "{error}");
}

#[tokio::test]
async fn a_missing_socket_and_a_dead_one_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let error = UnixFetch::new(dir.path().join("none")).get("/").await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    let path = dir.path().join("dead");
    drop(UnixListener::bind(&path).unwrap());
    let error = UnixFetch::new(path).get("/").await.unwrap_err();
    assert!(matches!(error, FetchError::Refused { .. }), "{error}");
}
