//! Rows of raw bytes, each on a connection of its own, and what must become of it.

use crate::common::{Answer, Ask, Broker};
use crate::siege::Siege;

/// What must become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// One answer of this status; the next request on the connection is served.
    Kept(u16),
    /// One answer of this status, then it is closed; nothing that follows is served.
    Last(u16),
    /// Closed without an answer.
    Cut,
}

pub use Fate::{Cut, Kept, Last};

/// An attack: its name, its bytes, what must become of it.
pub type Row = (&'static str, Vec<u8>, Fate);

/// Plays the rows one by one; another request follows each on its connection.
#[track_caller]
pub fn play(siege: &Siege, rows: Vec<Row>) {
    judge(siege, rows, fate_of);
}

/// Plays rows that are cut off: after the bytes the client says that no more come.
#[track_caller]
pub fn play_cut_off(siege: &Siege, rows: Vec<Row>) {
    judge(siege, rows, |broker, bytes| {
        let mut http = broker.connect();
        let _ = http.send(bytes);
        http.half_close();
        Ok(http.answer().map_or(Cut, |answer| Last(answer.status)))
    });
}

#[track_caller]
fn judge(siege: &Siege, rows: Vec<Row>, fate_of: impl Fn(&Broker, &[u8]) -> Result<Fate, String>) {
    let mut wrong = Vec::new();
    for (name, bytes, fate) in rows {
        let found = fate_of(siege.broker(), &bytes);
        if found.as_ref() != Ok(&fate) {
            wrong.push(format!("{name}: {found:?} in place of {fate:?}"));
        }
        siege.survived(name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A request that only its own answer fits.
const NEXT: &[u8] = b"GET /v1/revocations?once=0 HTTP/1.1\r\nHost: x\r\n\r\n";

fn fate_of(broker: &Broker, bytes: &[u8]) -> Result<Fate, String> {
    let mut http = broker.connect();
    // A server that has heard enough may close before it has taken everything.
    let _ = http.send(bytes);
    let Ok(answer) = http.answer() else { return Ok(Cut) };
    check(&answer)?;
    if http.send(NEXT).is_err() {
        return Ok(Last(answer.status));
    }
    match http.answer() {
        Ok(next) if next.text().contains("once may be 1") => Ok(Kept(answer.status)),
        Ok(next) => Err(format!("{}, and then {} {}", answer.status, next.status, next.text())),
        Err(_) => Ok(Last(answer.status)),
    }
}

/// What holds for every refusal: it is short, and what it says is plain text.
pub fn check(answer: &Answer) -> Result<(), String> {
    let text = answer.text();
    // What nobody here speaks is answered 501: by our own will, unlike all else of this class.
    if answer.status >= 500 && answer.status != 501 {
        return Err(format!("{} {text}", answer.status));
    }
    if answer.status < 400 {
        return Ok(());
    }
    let is_plain = text.chars().all(|c| matches!(c, ' '..='~'));
    if !is_plain || text.len() > 1000 || answer.headers.iter().any(|(_, value)| value.len() > 1000) {
        return Err(format!("{} with a strange answer: {:?} {text:?}", answer.status, answer.headers));
    }
    Ok(())
}

/// A GET of `/livez` with these lines in its head, each with its line's end.
pub fn get(lines: &str) -> Vec<u8> {
    format!("GET /livez HTTP/1.1\r\nHost: x\r\n{lines}\r\n").into_bytes()
}

/// A POST to the token endpoint with these lines in its head and this body.
pub fn post(lines: &str, body: &str) -> Vec<u8> {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    format!("POST /oauth2/token HTTP/1.1\r\nHost: x\r\n{form}{lines}\r\n{body}").into_bytes()
}

/// A form that is granted a token.
pub fn good() -> String {
    Ask::of("demo").form()
}

/// A body as one chunk, and the end.
pub fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}
