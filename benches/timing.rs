//! Whether the time that a refusal takes tells which clients and keys there are: `cargo bench --bench timing`.
//!
//! A real broker on loopback is sent refused assertions of several classes, interleaved at random, and each answer is timed
//! where an attacker would time it. For each class: three quantiles, how far its median lies from the first class's, and the
//! chance that a random sample of it took longer than a random one of the first (0.5: nobody can tell them apart). Beside
//! them stands the same of two halves of the first class: what noise alone makes of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on ends")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::Write as _;
use std::time::{Duration, Instant};

use common::{
    Ask, Assertion, Backing, Broker, Chance, Key, Setup, base64url, key_of, key_of_kind, workload, workload_path,
};
use serde_json::json;

/// Answers timed of each class, by `cargo bench`; by `cargo test`, which only sees that it works, a few.
const SAMPLES: usize = 4000;
const FEW: usize = 40;

/// Different texts of each class.
const TEXTS: usize = 32;

/// A group of classes that must not be told apart: name, and its classes. The first is the client that exists, whose key
/// has the right length, and a signature that is not by it.
type Group = (&'static str, Vec<Class>);
type Class = (&'static str, Box<dyn Fn() -> String>);

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let samples = if is_bench { SAMPLES } else { FEW };
    let broker = setup().start(&Backing::Embedded);
    let mut chance = Chance::new();
    for group in groups() {
        let (name, classes) = group;
        say(&format!("{name}, {samples} answers each"));
        let times = measure(&broker, &classes, samples, &mut chance);
        report(&classes, &times);
    }
}

/// The tests' clients, and one with an RSA key of 4096 bits, of which nobody has the other half.
fn setup() -> Setup {
    let mut modulus = key_of_kind("rsa").public().repeat(2);
    modulus[511] |= 1;
    let long = json!({"keys": [{"kty": "RSA", "kid": "rsa", "n": base64url(modulus), "e": "AQAB"}]});
    Setup::default().policy(&workload_path("long"), workload("long", "2099-12-31", &long.to_string(), ""))
}

/// In each group all texts are as long as each other: names of clients and keys that exist or do not have as many letters.
fn groups() -> Vec<Group> {
    let by = |client: &'static str, kid: &'static str, key: &'static Key| -> Box<dyn Fn() -> String> {
        Box::new(move || Assertion::of(client).header("kid", kid).signed(key))
    };
    let ed: &'static Key = Box::leak(Box::new(Key::ed()));
    let rsa = |client: &'static str, kid: &'static str, bytes: usize| -> Box<dyn Fn() -> String> {
        // Below any modulus, so that it is not refused for its size.
        Box::new(move || Assertion::of(client).header("kid", kid).signed_by("RS256", |_, _| vec![0x55; bytes]))
    };
    let stranger = key_of("stranger");
    vec![
        (
            "ES256",
            vec![
                ("a client, a wrong signature", by("algs", "ec", stranger)),
                ("no such client", by("algz", "ec", stranger)),
                ("a client, no such kid", by("algs", "zz", stranger)),
            ],
        ),
        (
            "EdDSA",
            vec![
                ("a client, a wrong signature", by("algs", "ed", ed)),
                ("no such client", by("algz", "ed", ed)),
                ("a client, no such kid", by("algs", "zz", ed)),
            ],
        ),
        (
            "RS256, a signature of 2048 bits",
            vec![
                ("a client, a wrong signature", rsa("algs", "rsa", 256)),
                ("no such client", rsa("algz", "rsa", 256)),
                ("a client, no such kid", rsa("algs", "zzz", 256)),
                ("a client with a longer key", rsa("long", "rsa", 256)),
            ],
        ),
        (
            "RS256, a signature of 4096 bits",
            vec![
                ("a client, a wrong signature", rsa("long", "rsa", 512)),
                ("no such client", rsa("lonz", "rsa", 512)),
                ("a client, no such kid", rsa("long", "zzz", 512)),
                ("a client with a shorter key", rsa("algs", "rsa", 512)),
            ],
        ),
    ]
}

/// The time of each answer, by class.
fn measure(broker: &Broker, classes: &[Class], samples: usize, chance: &mut Chance) -> Vec<Vec<Duration>> {
    // A refused assertion is not used up, so a text may be sent again; it is good for a minute, so all are made anew.
    let fresh = || -> Vec<Vec<Vec<u8>>> {
        let text = |make: &dyn Fn() -> String| Ask::of("demo").task("timing").assertion(make()).request().bytes();
        classes.iter().map(|(_, make)| (0..TEXTS).map(|_| text(make)).collect()).collect()
    };
    let (mut texts, mut made) = (fresh(), Instant::now());
    let mut http = broker.connect();
    let mut times = vec![Vec::with_capacity(samples); classes.len()];
    let warm = samples / 10;
    for round in 0..samples + warm {
        if made.elapsed() > Duration::from_secs(20) {
            (texts, made) = (fresh(), Instant::now());
        }
        let mut order: Vec<usize> = (0..classes.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, usize::try_from(chance.below(at as u64 + 1)).unwrap());
        }
        for class in order {
            let text = chance.pick(&texts[class]);
            let begun = Instant::now();
            http.send(text).unwrap();
            let answer = http.answer().unwrap();
            let took = begun.elapsed();
            assert_eq!(answer.outcome(), (401, "invalid_client".into()), "{}", answer.text());
            if round >= warm {
                times[class].push(took);
            }
        }
    }
    times
}

fn report(classes: &[Class], times: &[Vec<Duration>]) {
    let first = sorted(&times[0]);
    say("  class                            p10 µs    p50 µs    p90 µs   median - first's   AUC");
    for ((name, _), times) in classes.iter().zip(times) {
        let times = sorted(times);
        let [low, middle, high] = [0.1, 0.5, 0.9].map(|share| quantile(&times, share));
        let apart = middle - quantile(&first, 0.5);
        say(&format!(
            "  {name:<30} {low:>8.1}  {middle:>8.1}  {high:>8.1}   {apart:>+14.2}     {:.3}",
            auc(&first, &times)
        ));
    }
    let half = |odd: usize| sorted(&times[0].iter().skip(odd).step_by(2).copied().collect::<Vec<_>>());
    let (even, odd) = (half(0), half(1));
    let apart = quantile(&odd, 0.5) - quantile(&even, 0.5);
    say(&format!("  {:<30} {:>28}   {apart:>+14.2}     {:.3}\n", "noise: halves of the first", "", auc(&even, &odd)));
}

/// Microseconds, ascending.
fn sorted(times: &[Duration]) -> Vec<f64> {
    let mut micros: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
    micros.sort_by(f64::total_cmp);
    micros
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
    let at = (share * (sorted.len() - 1) as f64).round() as usize;
    sorted[at]
}

/// The chance that one of `others` is greater than one of `ones`, ties counted half: Mann and Whitney's U, divided by the
/// number of pairs. Both are ascending.
#[allow(clippy::cast_precision_loss, reason = "a count of samples")]
fn auc(ones: &[f64], others: &[f64]) -> f64 {
    let pairs = (ones.len() * others.len()) as f64;
    let wins: f64 = others
        .iter()
        .map(|other| {
            let below = ones.partition_point(|one| one < other);
            let not_above = ones.partition_point(|one| one <= other);
            below as f64 + (not_above - below) as f64 / 2.0
        })
        .sum();
    wins / pairs
}

/// To where criterion's own report goes; a reader who has gone misses it.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
