//! From the acknowledgement of an end to the refusal at every verifier.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jitney::model::AudienceUri;
use jitney::verifier::{Expect, Invalid, Verifier, VerifierOptions};
use tokio::runtime::{Builder, Runtime};

use super::common::{API, Ask, Broker, ISSUER, Token, complete_path, digest};
use super::fill::{Filler, WORKLOADS};
use super::listen::{Heard, Listeners};
use super::scene::{Failed, name};

static RUNS: AtomicUsize = AtomicUsize::new(0);

/// How long a verifier may take, before the run is void.
const PATIENCE: Duration = Duration::from_secs(10);

/// Milliseconds from the acknowledgement to each refusal. What was refused before it was acknowledged took none.
pub struct Reach(Vec<f64>);

impl Reach {
    fn of(acknowledged: &[Instant], heard: &[Heard]) -> Result<Self, Failed> {
        let mut all = Vec::with_capacity(acknowledged.len() * heard.len());
        for each in heard {
            let mut seen = vec![false; acknowledged.len()];
            for (number, at) in each {
                if std::mem::replace(&mut seen[*number], true) {
                    return Err(format!("end {number} was told twice").into());
                }
                all.push(at.saturating_duration_since(acknowledged[*number]).as_secs_f64() * 1e3);
            }
            if seen.contains(&false) {
                return Err("a verifier was not told of an end".into());
            }
        }
        all.sort_unstable_by(f64::total_cmp);
        Ok(Self(all))
    }

    pub fn percentile(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }
}

/// A verifier of the library, as a resource server has it.
struct Real {
    runtime: Runtime,
    verifier: Verifier,
}

impl Real {
    fn connect(broker: &Broker) -> Result<Self, Failed> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let options = VerifierOptions {
            issuer: ISSUER.into(),
            audience: Some(AudienceUri::parse(API)?),
            ..VerifierOptions::new(broker.url())
        };
        let verifier = runtime.block_on(Verifier::connect(options))?;
        Ok(Self { runtime, verifier })
    }

    fn accepts(&self, token: &Token) -> Result<(), Failed> {
        let told = self.runtime.block_on(self.verifier.verify(&token.text, &Expect::default()));
        told.map(|_| ()).map_err(|why| format!("a live token is refused: {why}").into())
    }

    /// When it refuses the token as revoked.
    fn refuses(&self, token: &Token) -> Result<Instant, Failed> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.verifier.check(&token.text, &Expect::default()) {
                Ok(_) => std::thread::sleep(Duration::from_micros(50)),
                Err(Invalid::Revoked(_)) => return Ok(Instant::now()),
                Err(why) => return Err(format!("refused for another reason: {why}").into()),
            }
        }
        Err("a verifier goes on accepting what was ended".into())
    }
}

/// Tasks that are completed one behind the other at `at`, and so many verifiers, one of them the library's, that follow `by`.
pub fn one_by_one(at: &Broker, by: &Broker, verifiers: usize, ends: usize) -> Result<Reach, Failed> {
    // A name of its own each time: an ended task takes no lease.
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let tasks: Vec<String> = (0..ends).map(|n| format!("reach-{run}-{n}")).collect();
    let known = tasks.iter().enumerate().map(|(n, task)| (digest("task", &["measured", task]), n)).collect();
    let real = Real::connect(by)?;
    let raw = Listeners::start(by.address(), verifiers - 1, known)?;
    let mut http = at.connect();
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    for (n, task) in tasks.iter().enumerate() {
        let token = Token::of(&expect(http.ask(&Ask::of("measured").task(task).request())?, 200)?);
        real.accepts(&token)?;
        let complete = Ask::bare("measured").at(&complete_path(task));
        expect(http.ask(&complete)?, 204)?;
        acknowledged.push(Instant::now());
        refused.push((n, real.refuses(&token)?));
    }
    raw.until((verifiers - 1) * ends)?;
    let mut heard = raw.finish()?;
    heard.push(refused);
    Reach::of(&acknowledged, &heard)
}

/// Tasks that end at another broker of the store, so many a second, and so many verifiers that follow `by`; how many a second
/// they were.
pub fn many(
    filler: &Filler,
    by: &Broker,
    verifiers: usize,
    ends: usize,
    a_second: f64,
) -> Result<(Reach, f64), Failed> {
    let tasks = filler.leases(ends)?.len();
    let known: HashMap<String, usize> =
        (0..tasks).map(|n| (digest("task", &[&name(n % WORKLOADS), &format!("run-{n}")]), n)).collect();
    let raw = Listeners::start(by.address(), verifiers, known)?;
    let begun = Instant::now();
    let acknowledged = filler.complete(ends, a_second)?;
    let rate = acknowledged.len() as f64 / begun.elapsed().as_secs_f64();
    raw.until(verifiers * ends)?;
    Ok((Reach::of(&acknowledged, &raw.finish()?)?, rate))
}

fn expect(answer: super::common::Answer, status: u16) -> Result<super::common::Answer, Failed> {
    match answer.status == status {
        true => Ok(answer),
        false => Err(format!("answered by {}, not {status}: {}", answer.status, answer.text()).into()),
    }
}
