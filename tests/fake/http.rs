//! As much of an HTTP server as the fakes need: one thread a connection, small requests, small answers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query.
    pub target: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    body: String,
}

impl Request {
    /// The path alone.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The value of a form's field.
    pub fn form(&self, name: &str) -> Option<String> {
        value(&self.body, name)
    }

    /// The value of a query's field.
    pub fn query(&self, name: &str) -> Option<String> {
        value(self.target.split_once('?')?.1, name)
    }
}

fn value(encoded: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(encoded.as_bytes()).find(|pair| pair.0 == name).map(|pair| pair.1.into_owned())
}

/// Serves on a free port for as long as the test's process runs; gives the URL. An answer is a status, more header lines
/// (each with its line end), and JSON.
pub fn serve(answer: impl Fn(&Request) -> (u16, String, String) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || while talk(&stream, &*answer).is_some() {});
        }
    });
    url
}

fn talk(stream: &TcpStream, answer: impl Fn(&Request) -> (u16, String, String)) -> Option<()> {
    let (status, headers, body) = answer(&request(stream)?);
    let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}{length}\r\n");
    (&mut &*stream).write_all(format!("{head}{body}").as_bytes()).ok()
}

fn request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok()?,
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                authorization = Some(value.trim().to_owned());
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { target, authorization, body: String::from_utf8(body).ok()? })
}
