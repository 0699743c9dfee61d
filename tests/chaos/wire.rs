//! What may happen between a broker and its Redis: two brokers, each behind a proxy of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::history::History;
use super::proxy::{Break, Proxy, drained};
use super::run::{run, seed};
use super::world::World;
use crate::common::{Chance, Redis, Setup};

/// What a Redis answers that cannot now, or is not what it was.
const ERRORS: [(&str, &str, &[u8]); 9] = [
    ("said OOM, was done", "OOM", b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
    ("said READONLY, was done", "READONLY", b"-READONLY You can't write against a read only replica.\r\n"),
    ("said LOADING, was done", "LOADING", b"-LOADING Redis is loading the dataset in memory\r\n"),
    ("said NOSCRIPT, was done", "NOSCRIPT", b"-NOSCRIPT No matching script. Please use EVAL.\r\n"),
    ("said BUSY, was done", "BUSY", b"-BUSY Redis is busy running a script.\r\n"),
    ("said MISCONF, was done", "MISCONF", b"-MISCONF Errors writing to the AOF file: No space left on device\r\n"),
    ("said CLUSTERDOWN, was done", "CLUSTERDOWN", b"-CLUSTERDOWN The cluster is down\r\n"),
    ("said ERR, was done", "ERR", b"-ERR internal error\r\n"),
    ("said MASTERDOWN, was done", "MASTERDOWN", b"-MASTERDOWN Link with MASTER is down\r\n"),
];

/// What no Redis answers, or not to this.
const GARBAGE: [&[u8]; 8] = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\0\xff\xfe\r\n\r\n\r\n",
    b"$-1\r\n",
    b"+OK\r\n",
    b"*0\r\n",
    b"*5\r\n$2\r\nOK\r\n$16\r\nffffffffffffffff\r\n:-1\r\n:-1\r\n$0\r\n\r\n",
    b":9223372036854775807\r\n",
    b"$9999999999999\r\n",
];

#[test]
fn whatever_the_wire_to_redis_does() {
    let redis = Redis::start();
    let history = Arc::new(History::new());
    let proxies =
        [(); 2].map(|()| Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, redis.port())), Arc::clone(&history)));
    let brokers = proxies.iter().map(|proxy| Setup::default().start_on(Some(proxy.url()))).collect();
    let world = World::new("wire", seed("wire"), history, brokers);
    run(&world, |chance| {
        let proxy = chance.pick(&proxies);
        match chance.below(100) {
            0..4 => world.lasts("silent", Duration::from_millis(100 + chance.below(1900)), |on| proxy.silence(on)),
            4..8 => world.lasts("slow", Duration::from_millis(100 + chance.below(300)), |on| {
                proxy.slow(Duration::from_millis(if on { 20 } else { 0 }));
            }),
            8..11 => world.lasts("refused", Duration::from_millis(50 + chance.below(700)), |on| proxy.refuse(on)),
            11..14 => {
                let start = world.history.now();
                proxy.cut();
                world.history.fault("all cut", start);
            }
            _ => {
                for _ in 0..=chance.below(4) {
                    let (kind, how) = breaks(chance);
                    proxy.arm(kind, how);
                }
                drained(&[proxy], Duration::from_secs(3));
                proxy.disarm();
            }
        }
        std::thread::sleep(Duration::from_millis(chance.below(60)));
    });
}

/// One that breaks a single request or its reply.
fn breaks(chance: &mut Chance) -> (&'static str, Break) {
    let a_while = |chance: &mut Chance| Duration::from_millis(50 + chance.below(1200));
    match chance.below(16) {
        0 => ("cut before the request", Break::CutBefore),
        1..4 => ("done, answer lost", Break::LoseReply),
        4 => ("cut in mid-answer", Break::CutMidway),
        5 => ("cut after the answer", Break::CutAfter),
        6 => ("half an answer, then silence", Break::HalfThenSilence(a_while(chance))),
        7 => ("an answer byte by byte", Break::Drip),
        8 => ("a late answer", Break::Delay(a_while(chance))),
        9..12 => {
            let (kind, _, text) = *chance.pick(&ERRORS);
            (kind, Break::Lie(text))
        }
        12..14 => {
            let (_, kind, text) = *chance.pick(&ERRORS);
            (kind, Break::Refuse(text))
        }
        _ => {
            let text: &&[u8] = chance.pick(&GARBAGE);
            ("garbage", Break::Lie(text))
        }
    }
}
