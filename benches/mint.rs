//! The core of a mint beside bare ring, and a decision among few and among many.
//!
//! `cargo bench --bench mint`

mod beside;
mod scene;

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use jitney::audit::Witnessed;
use jitney::store::Recorded;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use beside::{beside, timed};
use scene::{Failed, Question, Scene, set};

/// As many leases are recorded ahead of measuring, so that each measured mint signs one of its own.
const AHEAD: usize = 500;
/// So many calls make a round.
const CALLS: u32 = 25;
/// So many each thread makes in a round of two threads: the start of a thread is then no part of what is measured.
const ABREAST: usize = 250;
/// Alternations of one thread and two.
const ROUNDS_ABREAST: usize = 41;
const FEW: usize = 10;
const MANY: usize = 10_000;

/// What a mint costs that ring cannot save: the signature over the same bytes.
struct Bare {
    pair: EcdsaKeyPair,
    rng: SystemRandom,
    input: Vec<u8>,
}

impl Bare {
    fn new(scene: &Scene, question: &Question) -> Result<Self, Failed> {
        let rng = SystemRandom::new();
        let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(alg, &rng).map_err(|_| "no randomness")?;
        let pair = EcdsaKeyPair::from_pkcs8(alg, key.as_ref(), &rng).map_err(|_| "a key of ring's own")?;
        let ready = scene.witnessed(question, 1)?.pop().ok_or("no lease")?;
        let (_, token) = scene.mint_core(question, ready)?;
        let (input, _) = token.text().expose().rsplit_once('.').ok_or("no token")?;
        Ok(Self { pair, rng, input: input.as_bytes().to_vec() })
    }

    fn sign(&self) -> bool {
        self.pair.sign(&self.rng, black_box(&self.input)).is_ok()
    }
}

fn mint_core(criterion: &mut Criterion) -> Result<(), Failed> {
    let scene = Scene::new(FEW)?;
    let bare = Bare::new(&scene, &Question::of(1)?)?;
    let mut group = criterion.benchmark_group("mint_core");
    group.sample_size(30).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group.bench_function("bare_ring", |b| b.iter(|| bare.sign()));
    for (name, scopes) in [("one_scope", 1), ("two_scopes", 2), ("five_scopes", 5)] {
        let question = Question::of(scopes)?;
        group.bench_function(name, |b| {
            let mut ready = Vec::new();
            b.iter_batched(
                || {
                    if ready.is_empty() {
                        ready = scene.witnessed(&question, AHEAD).unwrap_or_else(|error| panic!("{error}"));
                    }
                    ready.pop()
                },
                |ready| ready.map(|ready| scene.mint_core(black_box(&question), ready).is_ok()),
                BatchSize::NumIterations(AHEAD as u64),
            );
        });
    }
    group.finish();
    for (name, scopes) in [("mint_core", 1), ("mint_core, 2 scopes", 2), ("mint_core, 5 scopes", 5)] {
        let question = Question::of(scopes)?;
        let bare = Bare::new(&scene, &question)?;
        let mut ready = Vec::new();
        let mints = || minted(&scene, &question, &mut ready).unwrap_or_else(|error| panic!("{error}"));
        beside((name, "bare sign"), CALLS, mints, || timed(CALLS, || bare.sign()));
    }
    Ok(())
}

/// Times a round of mints.
fn minted(scene: &Scene, question: &Question, ready: &mut Vec<Witnessed<Recorded>>) -> Result<Duration, Failed> {
    if ready.is_empty() {
        *ready = scene.witnessed(question, AHEAD)?;
    }
    let round = ready.split_off(ready.len() - CALLS as usize);
    let begun = Instant::now();
    for ready in round {
        black_box(scene.mint_core(black_box(question), ready)?);
    }
    Ok(begun.elapsed())
}

/// Two threads at once beside one, of mints and of bare signatures: what the machine itself withholds shows in the latter.
fn abreast(_: &mut Criterion) -> Result<(), Failed> {
    let scene = Scene::new(FEW)?;
    let questions = [Question::by(3, 1)?, Question::by(7, 1)?];
    let bare = Bare::new(&scene, &questions[0])?;
    let (mut mints, mut signs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS_ABREAST {
        for threads in [1, 2] {
            let mut ready = Vec::new();
            for question in &questions[..threads] {
                ready.push(scene.witnessed(question, ABREAST)?);
            }
            let mint = |thread: usize, ready: Vec<Witnessed<Recorded>>| {
                ready.into_iter().all(|ready| scene.mint_core(black_box(&questions[thread]), ready).is_ok())
            };
            mints[threads - 1].push(at_once(ready, mint));
            signs[threads - 1].push(at_once(vec![(); threads], |_, ()| (0..ABREAST).all(|_| bare.sign())));
        }
    }
    for (name, [one, two]) in [("mint_core", mints), ("bare sign", signs)] {
        beside::print_abreast(name, one, two);
    }
    Ok(())
}

/// How long it takes from the first beginning to the last end, where each part is done on a thread of its own.
fn at_once<T: Send>(parts: Vec<T>, work: impl Fn(usize, T) -> bool + Sync) -> Duration {
    let gate = Barrier::new(parts.len());
    std::thread::scope(|scope| {
        let begin = |(thread, part): (usize, T)| {
            let (gate, work) = (&gate, &work);
            scope.spawn(move || {
                gate.wait();
                let begun = Instant::now();
                assert!(work(thread, part), "a part that must succeed failed");
                (begun, Instant::now())
            })
        };
        let threads: Vec<_> = parts.into_iter().enumerate().map(begin).collect();
        let spans = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panic!("a thread panicked")));
        let (begun, ended): (Vec<_>, Vec<_>) = spans.unzip();
        let first = begun.into_iter().min().unwrap_or_else(Instant::now);
        ended.into_iter().max().map_or(Duration::ZERO, |last| last - first)
    })
}

fn decide(criterion: &mut Criterion) -> Result<(), Failed> {
    let (few, many) = (set(FEW)?, set(MANY)?);
    let question = Question::of(1)?;
    let of_few = || few.decide(&black_box(&question).ask()).is_ok();
    let of_many = || many.decide(&black_box(&question).ask()).is_ok();
    // All who are there ask in turn: what the caches of the processor do not hold shows.
    let all = (0..MANY).map(|n| Question::by(n, 1)).collect::<Result<Vec<_>, _>>()?;
    let mut next = all.iter().cycle();
    let mut in_turn = || next.next().is_some_and(|question| many.decide(&black_box(question).ask()).is_ok());
    if !(of_few() && of_many() && in_turn()) {
        return Err("a decision that must be a grant is none".into());
    }
    let mut group = criterion.benchmark_group("decide");
    group.sample_size(30).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group.bench_function("among_10", |b| b.iter(of_few));
    group.bench_function("among_10_000", |b| b.iter(of_many));
    group.bench_function("among_10_000_each_in_turn", |b| b.iter(&mut in_turn));
    group.finish();
    let few = || timed(100, of_few);
    beside(("decide among 10 000", "among 10"), 100, || timed(100, of_many), few);
    beside(("decide among 10 000, each in turn", "among 10"), 100, || timed(100, &mut in_turn), few);
    Ok(())
}

fn mint(criterion: &mut Criterion) {
    for part in [mint_core, abreast, decide] {
        if let Err(error) = part(criterion) {
            panic!("{error}");
        }
    }
}

criterion_group!(benches, mint);
criterion_main!(benches);
