//! Keeps a checker's keys and view fresh: one task fetches the keys when they are due, the other follows the feed.
//!
//! Whatever is wrong with the feed ends its connection; the view stays, ages, and is gone on with. Never judges a token.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::{HeaderName, StatusCode, header};

use super::feed::{FeedError, News, Place, Session, Wanted};
use super::fresh::{Age, Trust};
use super::jwks::{Jwks, JwksError};
use super::task::{Task, named};
use super::{Checker, CheckerOptions, ConnectError, VerifierOptions};
use crate::fetch::{Fetch, FetchError, FetchOptions, Stream};
use crate::model::{Clock, Epoch, Position, Rule, UnixTime};
use crate::revocation::event::{Event, Kind, Reader};
use crate::revocation::snapshot::SnapshotClaims;
use crate::revocation::{Refill, ReplaceError};

/// The longest JWKS.
const MAX_JWKS: usize = 256 << 10;
/// What a reader has heard last (WHATWG HTML §9.2.4).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How much of the stream is looked at in one step, so that a bad one is left at its first bad line.
const PIECE: usize = 64 << 10;
/// How often rules that are past are looked for while the feed says nothing.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// The shortest and the longest wait between two connections; half as much again is added at random.
const WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// What the face and the two tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: VerifierOptions,
    pub(super) checker: Checker,
    pub(super) jwks: Jwks,
    pub(super) age: Age,
    pub(super) problem: ArcSwapOption<FeedError>,
    /// What rules are dropped by. Tokens, ages and the feed's moments are judged by the checker's, which is never earlier.
    clock: Clock,
    feed_url: String,
    fetch: Fetch,
    trust: Trust,
}

impl Shared {
    pub(super) fn new(mut options: VerifierOptions) -> Self {
        options.skew = options.skew.min(Checker::MAX_SKEW);
        let base = options.url.trim_end_matches('/').to_owned();
        let mut feed_url = format!("{base}/v1/revocations");
        if let Some(audience) = &options.audience {
            feed_url.push_str("?audience=");
            feed_url.extend(form_urlencoded::byte_serialize(audience.as_str().as_bytes()));
        }
        let checker = CheckerOptions {
            issuer: options.issuer.clone(),
            clock: options.clock.later(),
            skew: options.skew,
            seen: options.seen,
        };
        let fetch =
            FetchOptions { timeout: options.timeout, max_body: MAX_JWKS, allow_plain_http: options.allow_plain_http };
        Self {
            checker: Checker::new(checker, Arc::default()),
            jwks: Jwks::new(format!("{base}/oauth2/jwks"), options.cool_down),
            age: Age::new(),
            problem: ArcSwapOption::empty(),
            clock: options.clock.clone(),
            feed_url,
            fetch: Fetch::new(fetch),
            trust: Trust::default(),
            options,
        }
    }

    /// Fetches the keys and puts them in place; gives how long they may be kept.
    pub(super) async fn fetch_keys(&self) -> Result<Duration, JwksError> {
        let fetched = self.jwks.fetch(&self.fetch).await;
        let kept = fetched.map(|(keys, lifetime)| {
            self.trust.set_jwks(keys, &self.checker);
            lifetime
        });
        self.jwks.done();
        kept
    }

    async fn open(&self, place: Option<&Place>) -> Result<Connection, FeedError> {
        let begun = Instant::now();
        let cursor = place.map(|place| (LAST_EVENT_ID, place.cursor.as_str()));
        let stream = self.fetch.open(&self.feed_url, cursor).await?;
        let content_type = stream.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default();
        if stream.status != StatusCode::OK || !content_type.starts_with("text/event-stream") {
            return Err(FeedError::Answer(stream.status.as_u16(), content_type.to_owned()));
        }
        let session = Session::new(place, self.age.told_ms());
        let (reader, heard, resumes) = (Reader::default(), Instant::now(), place.is_some());
        Ok(Connection { stream, reader, session, begun, refill: None, heard, resumes, has_beaten: false })
    }

    /// Takes one event in; an unknown key may first have the keys fetched anew.
    async fn take(self: &Arc<Self>, connection: &mut Connection, event: &Event) -> Result<(), FeedError> {
        if event.kind == Some(Kind::Snapshot) && connection.session.is_live() {
            connection.begun = Instant::now();
        }
        let news = match self.read(&mut connection.session, event) {
            Err(FeedError::Key(_)) if self.jwks.refetch(self.options.timeout).await => {
                self.read(&mut connection.session, event)?
            }
            told => told?,
        };
        if !matches!(news, News::Nothing | News::Rules(_) | News::Keys(_)) {
            connection.heard = Instant::now();
        }
        match news {
            News::Nothing => {}
            News::Begin(epoch, position) => connection.refill = Some(self.refill(epoch, position)?),
            News::Part(rules) => {
                if let Some(refill) = &mut connection.refill {
                    refill.add(&rules, self.clock.now());
                }
            }
            News::Whole(claims, rules) => self.replace(connection, &claims, &rules)?,
            News::Rules(rules) => {
                let (view, now) = (self.checker.view(), self.clock.now());
                let upto = rules.last().map_or_else(|| view.position(), |rule| rule.position);
                view.apply(&rules, upto, now);
                self.observe_heard(rules.len());
                self.has_room(now)?;
            }
            News::Keys(kids) => {
                self.trust.set_kids(&kids, &self.checker);
                self.want_missing_keys();
            }
            News::Beat(position, now_ms) => {
                let view = self.checker.view();
                // All that this feed tells up to there was told: its count says so, and no signature.
                view.said_to_reach(position);
                view.expire(self.clock.now());
                if self.has_dropped_too_much() {
                    return Err(FeedError::Dropped);
                }
                self.age.heard(Instant::now(), now_ms);
                connection.has_beaten = true;
            }
        }
        Ok(())
    }

    fn read(&self, session: &mut Session, event: &Event) -> Result<News, FeedError> {
        session.take(
            event,
            &Wanted {
                issuer: &self.options.issuer,
                audience: self.options.audience.as_ref(),
                now_ms: self.checker.clock().now_ms(),
                skew: self.options.skew,
                max_staleness: self.options.max_staleness,
                max_rules: self.options.max_rules,
                keys: &self.trust.jwks(),
                view: self.checker.view(),
            },
        )
    }

    /// Whether rules were dropped that may count now: the clock was ahead then, and is back.
    fn has_dropped_too_much(&self) -> bool {
        self.checker.view().lost() > self.checker.clock().now()
    }

    fn refill(&self, epoch: Epoch, position: Position) -> Result<Refill, ReplaceError> {
        let view = self.checker.view();
        if self.has_dropped_too_much() { view.begin_anew(epoch, position) } else { view.begin(epoch, position) }
    }

    /// An error where the view holds more than it may; what is past leaves it first.
    fn has_room(&self, now: UnixTime) -> Result<(), FeedError> {
        let (view, most) = (self.checker.view(), self.options.max_rules);
        if view.len() as u64 > most {
            view.expire(now);
        }
        match view.len() as u64 {
            told if told > most => Err(FeedError::TooMany { told, most }),
            _ => Ok(()),
        }
    }

    /// Puts a snapshot in place, all of whose parts but the last were taken in as they came.
    fn replace(&self, connection: &mut Connection, claims: &SnapshotClaims, rest: &[Rule]) -> Result<(), FeedError> {
        let (view, now) = (self.checker.view(), self.clock.now());
        let mut refill = match connection.refill.take() {
            Some(refill) => refill,
            None => self.refill(claims.epoch, claims.position)?,
        };
        refill.add(rest, now);
        // Keys first: a new epoch's view holds no rule of the old one, so the old one's tokens must be out by then.
        self.trust.set_kids(&claims.kids, &self.checker);
        let count = refill.len();
        view.finish(refill, now)?;
        view.expire(now);
        self.age.heard(connection.begun, claims.iat.secs().saturating_mul(1000));
        self.want_missing_keys();
        self.observe_heard(count);
        self.has_room(now)
    }

    fn want_missing_keys(&self) {
        if self.trust.lacks_a_key() {
            self.jwks.want();
        }
    }

    fn observe_heard(&self, rules: usize) {
        if let Some(observer) = &self.options.observer {
            observer.heard(rules);
        }
    }

    /// Notes why the feed is not heard; told once, and again when it changes.
    fn lost(&self, error: FeedError) {
        if let Some(observer) = &self.options.observer {
            observer.lost(&error);
        }
        let before = self.problem.load_full();
        if before.is_none_or(|before| before.to_string() != error.to_string()) {
            tracing::warn!(%error, "the feed of revocations is not heard, and the view ages");
        }
        self.problem.store(Some(Arc::new(error)));
    }

    fn heard_again(&self) {
        if self.problem.swap(None).is_some() {
            tracing::info!("the feed of revocations is heard again");
        }
    }
}

/// One connection to the feed.
struct Connection {
    stream: Stream,
    reader: Reader,
    session: Session,
    /// When the view that the next whole snapshot gives was asked for, at the latest.
    begun: Instant,
    /// What has come of a snapshot.
    refill: Option<Refill>,
    /// When something came last that says how things stand, or a part of it.
    heard: Instant,
    /// Whether it began where another was left.
    resumes: bool,
    /// Whether a heartbeat was believed: this broker is one to come back to at once.
    has_beaten: bool,
}

impl Connection {
    /// Takes in the next bytes of the stream. Bytes alone are no sign of life: a heartbeat is, or a part of a snapshot.
    async fn step(&mut self, shared: &Arc<Shared>) -> Result<(), FeedError> {
        let silence = shared.options.timeout;
        let left = silence.checked_sub(self.heard.elapsed()).ok_or(FeedError::Silent(silence))?;
        let chunk = tokio::time::timeout(left, self.stream.chunk()).await.map_err(|_| FeedError::Silent(silence))?;
        let chunk = chunk?.ok_or(FeedError::Ended)?;
        for piece in chunk.chunks(PIECE) {
            for event in self.reader.push(piece)? {
                shared.take(self, &event).await?;
                if event.kind == Some(Kind::Part) {
                    // Each takes a millisecond, and there may be hundreds.
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(())
    }

    async fn until_live(&mut self, shared: &Arc<Shared>) -> Result<(), FeedError> {
        while !self.session.is_live() {
            self.step(shared).await?;
        }
        Ok(())
    }
}

/// Fetches keys and a first view, and spawns what keeps both fresh.
pub(super) async fn begin(shared: &Arc<Shared>) -> Result<[Task; 2], ConnectError> {
    let within = shared.options.start_within;
    let lifetime = shared.fetch_keys().await?;
    // By now, as a first snapshot may be by a key of another broker that these did not hold.
    let keys = named("verifier_keys", keep_keys(Arc::clone(shared), lifetime));
    let first = async {
        let mut connection = shared.open(None).await?;
        connection.until_live(shared).await?;
        Ok(connection)
    };
    let connection: Connection = tokio::time::timeout(within, first).await.unwrap_or(Err(FeedError::Late(within)))?;
    if let Some(observer) = &shared.options.observer {
        observer.connected(true);
    }
    let feed = named("verifier_feed", keep_view(Arc::clone(shared), connection));
    Ok([keys, feed])
}

/// Fetches the keys whenever they are due; after a failure, once the cool-down is over.
async fn keep_keys(shared: Arc<Shared>, mut lifetime: Duration) {
    loop {
        shared.jwks.due(lifetime).await;
        lifetime = match shared.fetch_keys().await {
            Ok(lifetime) => lifetime,
            Err(error) => {
                tracing::warn!(%error, "the broker's keys were not fetched; those known stay");
                shared.options.cool_down
            }
        };
    }
}

/// So often in a row a broker may refuse the place that is come back to, before the feed is begun anew.
const MOST_REFUSALS: u32 = 8;

/// Follows the feed, connection after connection, for ever.
async fn keep_view(shared: Arc<Shared>, first: Connection) {
    let mut wait = Duration::ZERO;
    let mut connection = Some(first);
    let (mut place, mut refusals) = (None, 0);
    loop {
        let opened = match connection.take() {
            Some(connection) => Ok(connection),
            None => shared.open(place.as_ref()).await,
        };
        let error = match opened {
            Ok(mut connection) => {
                refusals = 0;
                let error = follow(&shared, &mut connection).await;
                if connection.has_beaten {
                    wait = Duration::ZERO;
                }
                // Where the connection broke, the feed is gone on with; where rules may be missing, it is begun anew, also where
                // the log ends before the place that was come back to: who said that it reached there was wrong.
                let is_ahead =
                    matches!(error, FeedError::Behind { .. }) && connection.resumes && !connection.has_beaten;
                let goes_on = error.leaves_no_gap() && !is_ahead;
                place = if goes_on { connection.session.place() } else { None };
                error
            }
            Err(error) => {
                // What cannot be sent, is not liked, or is reached by no broker would keep this verifier out for ever.
                refusals += u32::from(matches!(error, FeedError::Answer(..)));
                let is_refused =
                    matches!(error, FeedError::Fetch(FetchError::Url { .. }) | FeedError::Answer(400..=499, _));
                if is_refused || refusals > MOST_REFUSALS {
                    place = None;
                }
                error
            }
        };
        shared.lost(error);
        aging(&shared, with_jitter(wait)).await;
        wait = (2 * wait).clamp(WAITS[0], WAITS[1]);
    }
}

/// Follows one connection to its end, which is an error in any case.
async fn follow(shared: &Arc<Shared>, connection: &mut Connection) -> FeedError {
    let anew = !connection.session.is_live();
    if let Err(error) = connection.until_live(shared).await {
        return error;
    }
    loop {
        if connection.has_beaten && shared.problem.load().is_some() {
            shared.heard_again();
            if let Some(observer) = &shared.options.observer {
                observer.connected(anew);
            }
        }
        if let Err(error) = connection.step(shared).await {
            return error;
        }
    }
}

/// Waits, while what is past leaves the view.
async fn aging(shared: &Shared, wait: Duration) {
    let until = tokio::time::Instant::now() + wait;
    loop {
        shared.checker.view().expire(shared.clock.now());
        let next = until.min(tokio::time::Instant::now() + EXPIRE_EVERY);
        tokio::time::sleep_until(next).await;
        if next == until {
            return;
        }
    }
}

/// Up to half as long again, or up to the shortest wait: a thousand verifiers do not come back at the same moment.
fn with_jitter(wait: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let share = (random % 1024) as u32;
    wait + wait.max(WAITS[0]) * share / 2048
}
