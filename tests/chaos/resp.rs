//! Where a message of Redis' protocol (RESP2 and RESP3) ends: all that the proxy knows of it.

/// The length of the first whole message in `bytes`; none where it is not whole yet.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number =
        || std::str::from_utf8(&bytes[1..line - 2]).ok().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let several = |mut count: i64| {
        let mut at = line;
        while count > 0 {
            at += length(&bytes[at..])?;
            count -= 1;
        }
        Some(at)
    };
    match bytes[0] {
        b'$' | b'=' | b'!' if number() >= 0 => {
            let end = line + usize::try_from(number()).ok()? + 2;
            (bytes.len() >= end).then_some(end)
        }
        b'*' | b'~' | b'>' => several(number()),
        b'%' => several(2 * number()),
        // Attributes stand before the message they belong to.
        b'|' => several(2 * number() + 1),
        _ => Some(line),
    }
}

/// Whether a message is pushed: it answers no request.
pub fn is_push(message: &[u8]) -> bool {
    message.first() == Some(&b'>')
}

/// Whether a request is answered by a push alone.
pub fn is_subscribe(request: &[u8]) -> bool {
    request.windows(11).take(32).any(|window| window.eq_ignore_ascii_case(b"\nSUBSCRIBE\r"))
}

#[test]
fn a_message_is_found_whole_or_not_at_all() {
    let messages: [&[u8]; 10] = [
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":12\r\n",
        b"_\r\n",
        b"$3\r\na\r\n\r\n",
        b"$-1\r\n",
        b"*2\r\n$1\r\nx\r\n*1\r\n:1\r\n",
        b"%1\r\n+a\r\n$2\r\nbc\r\n",
        b">3\r\n+message\r\n+c\r\n+x\r\n",
        b"*-1\r\n",
    ];
    for message in messages {
        let shown = String::from_utf8_lossy(message).into_owned();
        assert_eq!(length(&[message, b"+more\r\n"].concat()), Some(message.len()), "{shown}");
        for cut in 0..message.len() {
            assert_eq!(length(&message[..cut]), None, "{cut} of {shown}");
        }
    }
    assert!(is_subscribe(b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nx\r\n") && !is_subscribe(b"*1\r\n$4\r\nPING\r\n"));
}
