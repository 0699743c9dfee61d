//! One rule on everything, with a million live leases, and what operators may look at meanwhile: beside mints.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::common::{Broker, Request};
use super::fill::{Filler, Place};
use super::measure::{Spread, Turn};
use super::scene::Failed;
use super::{Rows, Size, prepared, redis, turn};

/// So long the mints are under way when the operator asks.
const UNDER_WAY: Duration = Duration::from_millis(100);

pub fn million(size: &Size, rows: &mut Rows) -> Result<(), Failed> {
    let redis = redis();
    Filler::open(&Place::Redis(redis.url()))?.leases(size.leases)?;
    on(&prepared(Some(redis.url()), &[]), size, "Redis", rows)?;
    drop(redis);
    let mut broker = prepared(None, &[]);
    broker.stop();
    Filler::open(&Place::Embedded(broker.data().join("store")))?.leases(size.leases)?;
    broker.start_again();
    on(&broker, size, "embedded", rows)
}

fn on(broker: &Broker, size: &Size, store: &str, rows: &mut Rows) -> Result<(), Failed> {
    let count = || {
        let asked = json!({"all": true, "reason": "a bench", "dry_run": true});
        let counted = post(broker, &asked)?;
        match counted["selected"].as_u64() {
            Some(count) if count >= size.leases as u64 || counted["more"] == true => Ok(()),
            _ => Err(format!("{} leases were filled in, counted: {counted}", size.leases)),
        }
    };
    let listed = || {
        // As `lease list --all` asks.
        let (mut seen, mut next) = (0, String::new());
        loop {
            let page = get(broker, &format!("/admin/v1/leases?limit=500{next}"))?;
            seen += page["leases"].as_array().map_or(0, Vec::len);
            match page["next"].as_str() {
                Some(cursor) if seen < 100_000 => next = format!("&cursor={cursor}"),
                _ => return if seen >= size.leases.min(100_000) { Ok(()) } else { Err(format!("{seen} listed")) },
            }
        }
    };
    let (_, took, ratio) = beside(broker, size, count)?;
    rows.add(format!("mint p99 while all live leases are counted / before, {store}"), ratio, "×", None);
    rows.add(format!("`lease revoke --all --dry-run` counts them, or as many as it can, {store}"), took, "ms", None);
    let (_, took, ratio) = beside(broker, size, listed)?;
    rows.add(format!("mint p99 while 100 000 leases are listed / before, {store}"), ratio, "×", None);
    rows.add(format!("listing these, pages of 500, {store}"), took, "ms", None);
    let revoke = || {
        let revoked = post(broker, &json!({"all": true, "reason": "a bench"}))?;
        match revoked["rules"].as_array().map(Vec::len) {
            Some(1) => Ok(()),
            _ => Err(format!("everything was ended by no rule: {revoked}")),
        }
    };
    let (first, _, ratio) = beside(broker, size, revoke)?;
    rows.add(format!("`lease revoke --all` acknowledged, mints under way, {store}"), first, "ms", 10.0);
    rows.add(format!("mint p99 during it / before, {store}"), ratio, "×", 1.2);
    Ok(())
}

/// How long an operator's question takes while mints go on, in ms: the first time and the median; and by how much their p99 is
/// longer than in the turn before it.
fn beside(
    broker: &Broker,
    size: &Size,
    ask: impl Fn() -> Result<(), String> + Sync,
) -> Result<(f64, f64, f64), Failed> {
    turn(broker, size.mints)?;
    let (mut took, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        let before = turn(broker, size.mints)?;
        let (during, asked) = std::thread::scope(|scope| -> Result<(Turn, Duration), Failed> {
            let asked = scope.spawn(|| {
                std::thread::sleep(UNDER_WAY);
                let begun = Instant::now();
                ask().map(|()| begun.elapsed())
            });
            let during = turn(broker, size.mints)?;
            Ok((during, asked.join().map_err(|_| "the operator panicked")??))
        })?;
        took.push(asked.as_secs_f64() * 1e3);
        ratios.push(during.p99_us() / before.p99_us());
    }
    let first = took.first().copied().unwrap_or(f64::NAN);
    Ok((first, Spread::of(took.into_iter()).median, Spread::of(ratios.into_iter()).median))
}

fn post(broker: &Broker, body: &Value) -> Result<Value, String> {
    answered(broker, &Request::json("/admin/v1/revocations", body))
}

fn get(broker: &Broker, path: &str) -> Result<Value, String> {
    answered(broker, &Request::get(path))
}

fn answered(broker: &Broker, request: &Request) -> Result<Value, String> {
    let answer = broker.connect_admin().ask(request).map_err(|error| error.to_string())?;
    if answer.status == 200 { Ok(answer.json()) } else { Err(format!("{}: {}", answer.status, answer.text())) }
}
