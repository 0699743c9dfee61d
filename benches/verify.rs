//! The check of one token: at first sight beside bare ring, and seen before under small and large views.
//!
//! `cargo bench --bench verify --no-default-features --features verifier`

mod beside;
mod token;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use jitney::model::{Epoch, LeaseId, Position, Rule, RuleKind, Selector};
use jitney::revocation::View;
use jitney::verifier::Checker;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use beside::{beside, timed};
use token::{EXPECT, Failed, NOW, Scene};

const MILLION: u64 = 1_000_000;

fn rule(n: u64) -> Rule {
    let selector = Selector::Lease(LeaseId::new(n, [0; 4], n));
    let until = Some(NOW.plus(Duration::from_secs(300 + n % 60)));
    Rule { kind: RuleKind::Lease, digest: selector.digest(), position: Position::new(n), until }
}

fn full() -> Result<Arc<View>, Failed> {
    let view = Arc::new(View::new());
    let rules: Vec<Rule> = (1..=MILLION).map(rule).collect();
    view.replace(Epoch::from_bits(1), Position::new(MILLION), &rules, NOW)?;
    Ok(view)
}

fn first(criterion: &mut Criterion) -> Result<(), Failed> {
    let scene = Scene::new()?;
    let (input, signature) = scene.token.rsplit_once('.').ok_or("no token")?;
    let signature = B64.decode(signature)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, scene.key.public().point());
    let checker = scene.checker(0, &Arc::default());
    let mut group = criterion.benchmark_group("verify_first");
    short(&mut group);
    let bare = || key.verify(black_box(input.as_bytes()), &signature).is_ok();
    let check = || checker.check(black_box(&scene.token), &EXPECT).is_ok();
    group.bench_function("bare_ring", |b| b.iter(bare));
    group.bench_function("checker", |b| b.iter(check));
    group.finish();
    beside(("verify_first", "bare verify"), 25, || timed(25, check), || timed(25, bare));
    Ok(())
}

fn seen(criterion: &mut Criterion) -> Result<(), Failed> {
    let scene = Scene::new()?;
    let (empty, full) = (Arc::default(), full()?);
    let mut group = criterion.benchmark_group("verify_seen");
    short(&mut group);
    for (name, view) in [("empty_view", &empty), ("million_rules", &full)] {
        let checker = scene.checker(1000, view);
        group.bench_function(name, |b| b.iter(|| checker.check(black_box(&scene.token), &EXPECT).is_ok()));
    }
    let (one, other) = (scene.checker(1000, &full), scene.checker(1000, &empty));
    let check = |checker: &Checker| timed(2000, || checker.check(black_box(&scene.token), &EXPECT).is_ok());
    beside(("verify_seen, 1 000 000 rules", "empty view"), 2000, || check(&one), || check(&other));
    // Ten thousand rules a second arrive meanwhile, in batches of ten.
    let ended = Arc::new(AtomicBool::new(false));
    let feeder = std::thread::spawn({
        let (view, ended) = (Arc::clone(&full), Arc::clone(&ended));
        move || {
            let mut next = MILLION + 1;
            while !ended.load(Ordering::Relaxed) {
                let rules: Vec<Rule> = (next..next + 10).map(rule).collect();
                next += 10;
                view.apply(&rules, Position::new(next - 1), NOW);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let checker = scene.checker(1000, &full);
    group.bench_function("million_rules_and_more_arriving", |b| {
        b.iter(|| checker.check(black_box(&scene.token), &EXPECT).is_ok());
    });
    ended.store(true, Ordering::Relaxed);
    feeder.join().map_err(|_| "the feeder died")?;
    // As if rules had arrived before each single check: nothing is skipped.
    let verified = checker.check(&scene.token, &EXPECT).map_err(|invalid| invalid.to_string())?;
    group.bench_function("whole_look_up_in_a_million", |b| {
        b.iter(|| full.judge(black_box(verified.digests()), verified.claims().rev, 0).is_ok());
    });
    group.finish();
    Ok(())
}

fn short(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.sample_size(30).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
}

fn verify(criterion: &mut Criterion) {
    for part in [first, seen] {
        if let Err(error) = part(criterion) {
            panic!("{error}");
        }
    }
}

criterion_group!(benches, verify);
criterion_main!(benches);
