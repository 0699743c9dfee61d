//! Two measures side by side. Criterion tells how long each took, at different times; on a busy machine only figures
//! taken in turn, a moment apart, can be divided by each other.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// Alternations of the two.
const ROUNDS: usize = 401;

/// Times `calls` calls.
pub fn timed<T>(calls: u32, mut call: impl FnMut() -> T) -> Duration {
    let begun = Instant::now();
    for _ in 0..calls {
        std::hint::black_box(call());
    }
    begun.elapsed()
}

/// Prints `name / beside = ratio`, from the medians of alternating rounds. A round of either gives the time that `calls`
/// calls took: half a millisecond or so, so that most rounds are not interrupted. The first of each is thrown away.
pub fn beside(names: (&str, &str), calls: u32, mut one: impl FnMut() -> Duration, mut other: impl FnMut() -> Duration) {
    let (mut ones, mut others) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    for round in 0..=ROUNDS {
        let (one, other) = (one(), other());
        if round > 0 {
            ones.push(one);
            others.push(other);
        }
    }
    let (one, other) = (median(ones), median(others));
    let ratio = one.as_secs_f64() / other.as_secs_f64();
    let (name, floor) = names;
    let (one, other) = (one.as_secs_f64() * 1e6 / f64::from(calls), other.as_secs_f64() * 1e6 / f64::from(calls));
    let text =
        format!("{name} / {floor} = {ratio:.3}   ({one:.3} µs / {other:.3} µs, medians of {ROUNDS} rounds in turn)");
    // To where criterion's own report goes; a reader who has gone misses it.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints how many times as much two threads did as one, from the times in which each did its part.
#[allow(dead_code, reason = "not every bench has threads")]
pub fn print_abreast(name: &str, one: Vec<Duration>, two: Vec<Duration>) {
    let rounds = one.len();
    let (one, two) = (median(one).as_secs_f64(), median(two).as_secs_f64());
    let times = 2.0 * one / two;
    let _ =
        writeln!(std::io::stdout(), "{name}, two threads at once / one = {times:.3}   (medians of {rounds} rounds)");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
