//! How long a body is, said in every wrong way: lengths, transfer codings, chunks. RFC 9112 §6 and §7.

use crate::siege::Siege;
use crate::wire::{Cut, Kept, Last, Row, chunked, good, play, play_cut_off, post};

/// A chunked body is good, and these lines are in the head.
fn coded(lines: &str) -> Vec<u8> {
    post(lines, &chunked(&good()))
}

/// These are the chunks; the coding is right.
fn chunks(text: &str) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", text)
}

/// A good form with these lengths.
fn lengths(values: &[&str]) -> Vec<u8> {
    let form = good();
    let lines: String = values
        .iter()
        .map(|value| format!("Content-Length: {}\r\n", value.replace("{n}", &form.len().to_string())))
        .collect();
    post(&lines, &form)
}

fn with_length_and_coding(lines: &str) -> Vec<u8> {
    let body = chunked(&good());
    post(&lines.replace("{n}", &body.len().to_string()), &body)
}

#[test]
fn a_body_has_one_length_or_none() {
    let siege = Siege::begin();
    let rows: Vec<Row> = vec![
        ("a good length", lengths(&["{n}"]), Kept(200)),
        ("the same length twice", lengths(&["{n}", "{n}"]), Kept(200)),
        ("two lengths", lengths(&["{n}", "1"]), Last(400)),
        ("two lengths, the short one first", lengths(&["1", "{n}"]), Last(400)),
        ("a list of lengths", lengths(&["{n}, {n}"]), Last(400)),
        ("a length with a sign", lengths(&["+{n}"]), Last(400)),
        ("a negative length", lengths(&["-1"]), Last(400)),
        ("a hexadecimal length", lengths(&["0x10"]), Last(400)),
        ("a length in two words", lengths(&["1 0"]), Last(400)),
        ("an empty length", lengths(&[""]), Last(400)),
        ("a length that is a word", lengths(&["many"]), Last(400)),
        ("a length beyond 64 bits", lengths(&["18446744073709551616"]), Last(400)),
        ("a length of 64 bits", lengths(&["18446744073709551615"]), Last(431)),
        ("a length of 63 bits", lengths(&["9223372036854775807"]), Last(413)),
        ("a length with a letter behind", lengths(&["{n}a"]), Last(400)),
        ("leading zeros", lengths(&["000{n}"]), Kept(200)),
    ];
    play(&siege, rows);
    siege.end();
}

#[test]
fn chunked_is_the_only_coding_and_it_goes_with_no_length() {
    let siege = Siege::begin();
    let rows: Vec<Row> = vec![
        ("chunked", coded("Transfer-Encoding: chunked\r\n"), Kept(200)),
        ("chunked, in capitals", coded("TRANSFER-ENCODING: CHUNKED\r\n"), Kept(200)),
        ("chunked behind a space more", coded("Transfer-Encoding:   chunked\r\n"), Kept(200)),
        ("chunked before a space", coded("Transfer-Encoding: chunked \t\r\n"), Kept(200)),
        (
            "a length before chunked",
            with_length_and_coding("Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n"),
            Last(200),
        ),
        (
            "a length behind chunked",
            with_length_and_coding("Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n"),
            Last(200),
        ),
        ("a bad length before chunked", coded("Content-Length: x\r\nTransfer-Encoding: chunked\r\n"), Last(400)),
        ("a bad length behind chunked", coded("Transfer-Encoding: chunked\r\nContent-Length: x\r\n"), Last(200)),
        ("gzip", coded("Transfer-Encoding: gzip\r\n"), Last(400)),
        ("identity", coded("Transfer-Encoding: identity\r\n"), Last(400)),
        ("gzip, chunked", coded("Transfer-Encoding: gzip, chunked\r\n"), Last(501)),
        ("identity, chunked", coded("Transfer-Encoding: identity, chunked\r\n"), Last(501)),
        ("chunked, gzip", coded("Transfer-Encoding: chunked, gzip\r\n"), Last(400)),
        ("chunked twice in a line", coded("Transfer-Encoding: chunked, chunked\r\n"), Last(501)),
        ("chunked twice", coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Last(501)),
        ("gzip, then chunked", coded("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), Last(501)),
        ("chunked, then identity", coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), Last(400)),
        ("an empty member", coded("Transfer-Encoding: , chunked\r\n"), Last(501)),
        ("xchunked", coded("Transfer-Encoding: xchunked\r\n"), Last(400)),
        ("chunkedx", coded("Transfer-Encoding: chunkedx\r\n"), Last(400)),
        ("chunked with a parameter", coded("Transfer-Encoding: chunked;q=1\r\n"), Last(400)),
        ("chunked in quotes", coded("Transfer-Encoding: \"chunked\"\r\n"), Last(400)),
        ("no coding", coded("Transfer-Encoding:\r\n"), Last(400)),
        ("a vertical tab", coded("Transfer-Encoding: \x0bchunked\r\n"), Last(400)),
        ("a byte beyond ASCII", coded("Transfer-Encoding: chunked\u{a0}\r\n"), Last(400)),
        ("a space before the colon", coded("Transfer-Encoding : chunked\r\n"), Last(400)),
        ("a folded line", coded("Transfer-Encoding:\r\n chunked\r\n"), Last(400)),
        ("a bare CR", coded("X: y\rTransfer-Encoding: chunked\r\n"), Last(400)),
        (
            "chunked in HTTP/1.0",
            b"POST /oauth2/token HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            Last(400),
        ),
    ];
    play(&siege, rows);
    siege.end();
}

#[test]
fn a_chunk_is_as_long_as_it_says() {
    let siege = Siege::timed(2);
    let form = good();
    let (length, again) = (form.len(), good());
    let long = "x".repeat(20_000);
    let rows: Vec<Row> = vec![
        (
            "in two chunks",
            chunks(&format!("1\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", &form[..1], length - 1, &form[1..])),
            Kept(200),
        ),
        ("an extension", chunks(&format!("{:x};a=b;c=\"d\"\r\n{again}\r\n0\r\n\r\n", again.len())), Kept(200)),
        ("zeros before", chunks(&format!("0000{:X}\r\n{}\r\n000\r\n\r\n", 5, "a=b&c")), Kept(400)),
        ("a huge size", chunks("ffffffffffffffff\r\nx"), Last(408)),
        ("a size beyond 64 bits", chunks("10000000000000000\r\nx"), Last(400)),
        ("many digits", chunks(&format!("{}5\r\na=b&c\r\n0\r\n\r\n", "0".repeat(20_000))), Kept(400)),
        ("a negative size", chunks("-1\r\nx\r\n0\r\n\r\n"), Last(400)),
        ("a size with a sign", chunks("+5\r\na=b&c\r\n0\r\n\r\n"), Last(400)),
        ("a prefix 0x", chunks("0x5\r\na=b&c\r\n0\r\n\r\n"), Last(400)),
        ("no size", chunks("\r\na=b&c\r\n0\r\n\r\n"), Last(400)),
        ("only an extension", chunks(";x\r\na=b&c\r\n0\r\n\r\n"), Last(400)),
        ("an underscore", chunks("5_0\r\na=b&c\r\n0\r\n\r\n"), Last(400)),
        ("a bare LF behind the size", chunks("5\na=b&c\r\n0\r\n\r\n"), Last(400)),
        ("a bare LF in an extension", chunks("5;a\nb\r\na=b&c\r\n0\r\n\r\n"), Last(400)),
        ("a bare CR in an extension", chunks("5;a\rb\r\na=b&c\r\n0\r\n\r\n"), Last(400)),
        ("no line's end behind the data", chunks("5\r\na=b&c0\r\n\r\n"), Last(400)),
        ("a bare LF behind the data", chunks("5\r\na=b&c\n0\r\n\r\n"), Last(400)),
        ("more data than said", chunks("3\r\na=b&c\r\n0\r\n\r\n"), Last(400)),
        ("a long extension", chunks(&format!("5;{long}\r\na=b&c\r\n0\r\n\r\n")), Last(400)),
        ("trailers", chunks("5\r\na=b&c\r\n0\r\nX-One: 1\r\nX-Two: 2\r\n\r\n"), Kept(400)),
        ("a trailer that is a length", chunks("5\r\na=b&c\r\n0\r\nContent-Length: 50\r\n\r\n"), Kept(400)),
        ("a long trailer", chunks(&format!("5\r\na=b&c\r\n0\r\nX: {long}\r\n\r\n")), Last(400)),
        ("many trailers", chunks(&format!("5\r\na=b&c\r\n0\r\n{}\r\n", "X: y\r\n".repeat(2_000))), Last(400)),
        ("a trailer that is none", chunks("5\r\na=b&c\r\n0\r\nno colon\r\n\r\n"), Last(400)),
    ];
    play(&siege, rows);
    siege.end();
}

#[test]
fn what_is_cut_off_is_no_request() {
    let siege = Siege::begin();
    let whole = lengths(&["{n}"]);
    let rows: Vec<Row> = vec![
        ("nothing", Vec::new(), Cut),
        ("half a method", b"PO".to_vec(), Cut),
        ("half a head", whole[..whole.len().min(60)].to_vec(), Cut),
        ("all but the last byte", whole[..whole.len() - 1].to_vec(), Last(400)),
        ("no last chunk", chunks("5\r\na=b&c\r\n"), Last(400)),
        ("no line's end behind the last chunk", chunks("5\r\na=b&c\r\n0\r\n"), Last(400)),
        ("half a trailer", chunks("5\r\na=b&c\r\n0\r\nX: "), Last(400)),
        ("half a size", chunks("5"), Last(400)),
    ];
    play_cut_off(&siege, rows);
    siege.end();
}
