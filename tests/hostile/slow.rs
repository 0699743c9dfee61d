//! Clients that take their time, and clients that only hold a place: each is cut off at its bound.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::common::{Ask, Request, Setup, eventually};
use crate::siege::{PATIENCE, Siege};
use crate::wire::{chunked, good, post};

/// The bound on heads and bodies here, in seconds.
const BOUND: u64 = 2;

/// A client that sends a byte at a time.
struct Slow {
    name: &'static str,
    /// What is sent at once.
    first: Vec<u8>,
    /// What follows, byte by byte, and again when it is at its end.
    then: &'static [u8],
    /// What is heard before the end; none where it is only cut.
    status: Option<u16>,
}

/// Sends until it is cut off; what was heard, and after how long.
fn drip(stream: &mut TcpStream, slow: &Slow) -> (String, Duration) {
    let begun = Instant::now();
    let mut heard = Vec::new();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let _ = stream.write_all(&slow.first);
    let mut bytes = slow.then.iter().cycle();
    loop {
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => heard.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                // Refused where the other side has closed already: then the next read says so.
                let _ = stream.write_all(&[*bytes.next().unwrap_or(&b'x')]);
            }
            Err(_) => break,
        }
        assert!(begun.elapsed() < Duration::from_secs(BOUND) + PATIENCE, "{} is not cut off", slow.name);
    }
    (String::from_utf8_lossy(&heard).into_owned(), begun.elapsed())
}

#[test]
fn who_sends_a_byte_at_a_time_is_cut_off() {
    let siege = Siege::timed(BOUND);
    let slow = |name, first: Vec<u8>, then, status| Slow { name, first, then, status };
    let length = |n: usize| post(&format!("Content-Length: {n}\r\n"), "");
    let rows = [
        slow("a slow request line", Vec::new(), b"x", None),
        slow("slow empty lines", Vec::new(), b"\r\n", None),
        slow("slow headers", b"GET /livez HTTP/1.1\r\nHost: x\r\n".to_vec(), b"X: y\r\n", None),
        slow("a slow header", b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ".to_vec(), b"y", None),
        slow("slow headers of a post", post("", "").split_last_chunk::<2>().unwrap().0.to_vec(), b"X: y\r\n", None),
        slow("a slow body", length(5_000), b"x", Some(408)),
        slow("a slow body after a good form", post("Content-Length: 5000\r\n", &good()), b"&", Some(408)),
        slow("slow chunks", post("Transfer-Encoding: chunked\r\n", ""), b"1\r\nx\r\n", Some(408)),
        slow("a slow size of a chunk", post("Transfer-Encoding: chunked\r\n", ""), b"0", Some(408)),
        slow("a slow extension", post("Transfer-Encoding: chunked\r\n", "1;"), b"x", Some(408)),
        slow(
            "a slow trailer",
            post("Transfer-Encoding: chunked\r\n", chunked(&good()).trim_end()),
            b"\r\nX: y",
            Some(408),
        ),
        slow(
            "a slow body that was asked for",
            post("Expect: 100-continue\r\nContent-Length: 5000\r\n", ""),
            b"x",
            Some(100),
        ),
        slow("a slow second request", Request::get("/livez").bytes(), b"x", Some(200)),
    ];
    // All at once, from different places: the bound is for each, not for one after the other.
    std::thread::scope(|scope| {
        for slow in &rows {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(siege.broker().address()).unwrap();
                let (heard, took) = drip(&mut stream, slow);
                let status = heard.strip_prefix("HTTP/1.1 ").map(|rest| rest[..3].parse::<u16>().unwrap());
                assert_eq!(status, slow.status, "{}: {heard}", slow.name);
                assert!(
                    took + Duration::from_millis(200) > Duration::from_secs(BOUND),
                    "{}: cut after {took:?}",
                    slow.name
                );
            });
        }
    });
    for slow in &rows {
        siege.survived(slow.name);
    }
    siege.end();
}

/// A connection that can be told only a little before it takes something.
fn narrow(siege: &Siege) -> TcpStream {
    let stream = TcpStream::connect(siege.broker().address()).unwrap();
    set_socket_recv_buffer_size(&stream, 4096).unwrap();
    stream
}

#[test]
fn who_takes_nothing_of_the_answers_is_cut_off() {
    let siege = Siege::timed(BOUND);
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = narrow(&siege);
        stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let packet = Request::get("/openapi.json").bytes().repeat(400);
        // Many more answers than any buffer on the way holds.
        let _ = stream.write_all(&packet);
        streams.push(stream);
    }
    siege.survived("twenty clients that take nothing");
    let begun = Instant::now();
    for stream in &mut streams {
        let mut stream = &*stream;
        // The other side's end is seen by writing: nothing is read.
        stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        eventually("it is cut off", || {
            let error = stream.write(b"G").err()?;
            matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset).then_some(())
        });
    }
    assert!(begun.elapsed() < Duration::from_secs(BOUND) + PATIENCE, "cut only after {:?}", begun.elapsed());
    siege.survived("all of them cut off");
    siege.end();
}

#[test]
fn who_takes_the_answers_slowly_harms_nobody() {
    let siege = Siege::timed(BOUND);
    let mut stream = narrow(&siege);
    let mut request = Request::get("/openapi.json").bytes();
    request.truncate(request.len() - 2);
    request.extend_from_slice(b"Connection: close\r\n\r\n");
    stream.write_all(&request).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut heard, mut buffer) = (0, [0; 512]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        heard += read;
        siege.survived("a slow reader");
    }
    assert!(heard > 20_000, "one who goes on reading gets all of it: {heard}");
    siege.end();
}

#[test]
fn hundreds_of_idle_connections_cost_nobody_anything() {
    const MANY: usize = 600;
    let siege = Siege::timed(BOUND);
    let begun = Instant::now();
    let mut held = Vec::new();
    for n in 0..MANY {
        let mut stream = TcpStream::connect(siege.broker().address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(BOUND) + PATIENCE)).unwrap();
        // Some say nothing, some half a head, some have been served, some say that nothing more comes.
        match n % 4 {
            0 => {}
            1 => stream.write_all(b"POST /oauth2/token HTTP/1.1\r\nHost").unwrap(),
            2 => stream.write_all(&Request::get("/livez").bytes()).unwrap(),
            _ => stream.write_all(&post("Content-Length: 100\r\n", "grant_type=")).unwrap(),
        }
        if n % 50 == 0 {
            siege.survived("idle connections");
        }
        held.push(stream);
    }
    siege.survived("hundreds of idle connections");
    for stream in &mut held {
        let mut rest = Vec::new();
        // A reset is an end too; only silence is not.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "an idle connection is held");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(BOUND) + 4 * PATIENCE, "{:?}", begun.elapsed());
    siege.survived("their end");
    siege.end();
}

#[test]
fn half_open_connections_are_let_go() {
    let siege = Siege::timed(BOUND);
    let mut held = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(siege.broker().address()).unwrap();
        if n % 2 == 0 {
            stream.write_all(&Ask::of("demo").request().bytes()[..200]).unwrap();
        }
        stream.shutdown(if n % 3 == 0 { Shutdown::Read } else { Shutdown::Write }).unwrap();
        held.push(stream);
    }
    siege.survived("half-open connections");
    eventually("all are let go", || {
        let metrics = siege.broker().admin(&Request::get("/metrics")).expect(200).text();
        let open: usize =
            metrics.lines().find_map(|line| line.strip_prefix("jitney_connections ")).unwrap().parse().unwrap();
        (open < 10).then_some(())
    });
    drop(held);
    siege.end();
}

#[test]
fn more_idle_connections_than_there_are_places_shut_nobody_out() {
    const PLACES: usize = 200;
    let siege = Siege::of(Setup::default().set("JITNEY_LIMITS_CONNECTIONS", &PLACES.to_string()));
    let mut held = VecDeque::new();
    for n in 0..3 * PLACES {
        let mut stream = TcpStream::connect(siege.broker().address()).unwrap();
        if n % 2 == 0 {
            // It may have been shown out already.
            let _ = stream.write_all(b"POST /oauth2/token HTTP/1.1\r\nHost");
        }
        held.push_back(stream);
        // Those that have been shown out long ago are let go, so that this process does not run out of descriptors.
        if held.len() > PLACES + 50 {
            held.pop_front();
        }
        if n % 10 == 0 {
            siege.survived("more idle connections than places");
        }
    }
    drop(held);
    siege.end();
}
