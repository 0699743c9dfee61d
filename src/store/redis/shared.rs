//! What all calls of one broker share: three connections, what was last seen of the log, and the last writes.
//!
//! Owns the judgement "a tail was lost" and the new epoch that follows. No lock here is held across an await.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::{Notify, watch};

use super::begun::Begun;
use super::connect::Address;
use super::line::{Line, Live, classify, refuses_writes, unavailable};
use super::script::{Answer, CHECK, Call, EPOCH, Seen, bytes};
use super::{RedisOptions, layout};
use crate::model::{Clock, Epoch, UnixTime};
use crate::store::StoreError;

/// No call takes longer, whatever it is made of.
pub(super) const CALL: Duration = Duration::from_millis(1800);
/// How long `WAIT` waits for replicas, in milliseconds.
const REPLICAS: u64 = 500;
/// So many of the last acknowledged writes are looked for on a new connection.
const WITNESSES: usize = 16;

/// A key that was written, and the field of it, where not all of it was.
pub(super) type Written = (layout::Key, Option<layout::Key>);

/// One broker's side of a Redis.
pub(super) struct Shared {
    pub(super) address: Address,
    pub(super) clock: Clock,
    pub(super) min_replicas: u32,
    /// Mints and reads.
    pub(super) main: Arc<Line>,
    /// Ends: `WAIT` stalls all behind it and counts the writes of its own connection only.
    pub(super) ends: Arc<Line>,
    /// Hints that the log moved, and the reading of its head that follows.
    pub(super) watch: Arc<Line>,
    pub(super) wake: Arc<Notify>,
    pub(super) moved: watch::Sender<u64>,
    seen: Mutex<Seen>,
    /// Keys that were written and acknowledged, with the time after which they may be gone.
    witnesses: Mutex<VecDeque<(Written, UnixTime)>>,
    /// What minutes of leases and assertions need not be begun any more.
    pub(super) begun: Begun,
    connections: AtomicU64,
    /// What Redis said to the last write that it refused, until it takes one again.
    refusal: ArcSwapOption<StoreError>,
}

impl Shared {
    pub(super) fn new(options: &RedisOptions) -> Result<Self, StoreError> {
        let wake = Arc::new(Notify::new());
        let line = |name, calls, replicas| Arc::new(Line::new(name, calls, replicas, Arc::clone(&wake)));
        Ok(Self {
            address: Address::of(options)?,
            clock: options.clock.clone(),
            min_replicas: options.min_replicas,
            main: line("main", options.max_in_flight, 0),
            // So that a flood of ends leaves room for mints, which have a line of their own.
            ends: line("ends", options.max_in_flight, options.min_replicas),
            watch: line("watch", 4, 0),
            wake,
            moved: watch::Sender::new(0),
            seen: Mutex::new(Seen::NOTHING),
            witnesses: Mutex::new(VecDeque::with_capacity(WITNESSES + 1)),
            begun: Begun::default(),
            connections: AtomicU64::new(0),
            refusal: ArcSwapOption::empty(),
        })
    }

    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn seen(&self) -> Seen {
        *lock(&self.seen)
    }

    /// Takes note of a head that was read; tells whoever listens where it is news.
    pub(super) fn absorb(&self, head: &Seen) {
        let news = {
            let mut seen = lock(&self.seen);
            let news = seen.is_behind(head);
            if news {
                if seen.generation != head.generation {
                    // What was written in another epoch need not be there any more.
                    lock(&self.witnesses).clear();
                }
                *seen = *head;
            }
            news
        };
        if news {
            self.moved.send_modify(|count| *count += 1);
        }
    }

    /// Remembers an acknowledged write: all writes of a Redis are one stream, so while the last is there, all are.
    pub(super) fn witness(&self, key: Written, until: UnixTime) {
        let mut witnesses = lock(&self.witnesses);
        witnesses.push_back((key, until));
        if witnesses.len() > WITNESSES {
            witnesses.pop_front();
        }
    }

    /// Calls a script on a line.
    ///
    /// # Errors
    /// [`StoreError`]; where the log's tail was lost, all connections are dropped, and the keeper begins a new epoch.
    pub(super) async fn call(
        &self,
        line: &Line,
        keys_then: impl FnOnce(&Seen) -> Call + Send,
    ) -> Result<Answer, StoreError> {
        let (live, _permit) = line.get()?;
        let call = keys_then(&self.seen());
        let mut connection = live.connection.clone();
        let begun = Instant::now();
        // Mostly this is all, and the connection's own limit on an answer is the only clock that is set.
        let mut answer = send(&mut connection, &call.command).await;
        if line.replicas > 0 || answer.as_ref().is_err_and(knows_no_script) {
            // Boxed: it is rare, and each call's own work would be twice as large for it.
            let rest = Box::pin(async {
                if answer.as_ref().is_err_and(knows_no_script) {
                    answer = taught(&mut connection, &call).await;
                }
                if line.replicas > 0 && answer.is_ok() {
                    replicated(&mut connection, line, live.number).await?;
                }
                Ok::<_, StoreError>(())
            });
            let left = CALL.saturating_sub(begun.elapsed());
            tokio::time::timeout(left, rest).await.map_err(|_| unavailable("no answer in time"))??;
        }
        let answer = call.read(answer.map_err(|error| self.failed(line, &live, &error))?)?;
        if answer.word == "LOST" {
            self.lost();
            return Err(unavailable("the tail of the log was lost, a new epoch begins"));
        }
        self.absorb(&answer.seen);
        Ok(answer)
    }

    /// Sends a plain command on the main line.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn command(&self, command: &Cmd) -> Result<Value, StoreError> {
        let (live, _permit) = self.main.get()?;
        self.command_on(&self.main, &live, command).await
    }

    /// The same on a connection that was handed out before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn command_on(&self, line: &Line, live: &Live, command: &Cmd) -> Result<Value, StoreError> {
        let mut connection = live.connection.clone();
        send(&mut connection, command).await.map_err(|error| self.failed(line, live, &error))
    }

    /// Sends plain commands on the main line, at once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn commands(&self, commands: &redis::Pipeline) -> Result<Vec<Value>, StoreError> {
        let count = commands.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let (live, _permit) = self.main.get()?;
        let mut connection = live.connection.clone();
        let values = connection.send_packed_commands(commands, 0, count).await;
        let values = values.map_err(|error| self.failed(&self.main, &live, &error))?;
        match values.iter().find_map(|value| match value {
            Value::ServerError(error) => Some(RedisError::from(error.clone())),
            _ => None,
        }) {
            Some(error) => Err(self.failed(&self.main, &live, &error)),
            None => Ok(values),
        }
    }

    /// Whether Redis took the last write that it was sent, as far as that is known.
    ///
    /// # Errors
    /// What it said to it.
    pub(super) fn writable(&self) -> Result<(), StoreError> {
        self.refusal.load().as_deref().map_or(Ok(()), |refusal| Err(refusal.clone()))
    }

    /// Writes what means nothing, to learn whether Redis takes writes: a mint would learn it too late.
    pub(super) async fn probe(&self) {
        let Ok((live, _permit)) = self.main.get() else { return };
        let mut set = redis::cmd("SET");
        set.arg(layout::PROBE).arg("").arg("EX").arg(60);
        match send(&mut live.connection.clone(), &set).await {
            Err(error) if error.code().is_none() || refuses_writes(&error) => {
                self.failed(&self.main, &live, &error);
            }
            // What it refuses for another reason says nothing of the writes that count.
            _ => self.refusal.store(None),
        }
    }

    /// Turns a failure into the store's error, and takes note where it is that of every write.
    fn failed(&self, line: &Line, live: &Live, error: &RedisError) -> StoreError {
        let failure = line.failed(live.number, error);
        if refuses_writes(error) {
            self.refusal.store(Some(Arc::new(failure.clone())));
        }
        failure
    }

    /// Distrusts all connections: each is made anew and looked at before it is used.
    pub(super) fn lost(&self) {
        for line in [&self.main, &self.ends, &self.watch] {
            line.drop_any();
        }
    }

    /// Looks at the log through a connection that nobody uses yet, and begins a new epoch where something is missing.
    ///
    /// # Errors
    /// [`StoreError`]; such a connection is not to be used.
    pub(super) async fn verify(&self, connection: &MultiplexedConnection) -> Result<(), StoreError> {
        // Two brokers that begin an epoch at once agree in the second turn: one of them finds the other's.
        for _ in 0..4 {
            // Before the check: another line of this broker may take over a new epoch while it is under way.
            let known = self.seen();
            let mut answer = self.check(connection).await?;
            if answer.word == "OK" {
                self.absorb(&answer.seen);
                return Ok(());
            }
            // An epoch that is later than what this check knew: what it missed belongs to the one before, and is
            // answered for already. Another line of this broker, or another broker, was first.
            if answer.seen.generation > known.generation {
                self.absorb(&answer.seen);
                continue;
            }
            let gone = answer.list().unwrap_or_default();
            let begun = self.begin_epoch(connection, &answer.seen, gone).await?;
            if self.seen().is_behind(&begun) {
                self.absorb(&begun);
            }
        }
        Err(unavailable("the log changes its epoch under us"))
    }

    /// Asks for the head, and whether what this broker saw and wrote is still there.
    pub(super) async fn check(&self, connection: &MultiplexedConnection) -> Result<Answer, StoreError> {
        let now = self.clock.now();
        let (keys, parts): (Vec<_>, Vec<_>) = {
            let mut witnesses = lock(&self.witnesses);
            witnesses.retain(|(_, until)| *until > now);
            witnesses.iter().map(|(written, _)| written.clone()).unzip()
        };
        let mut call = Call::new(&CHECK, keys.len());
        for key in keys {
            call = call.with(key);
        }
        let parts = parts.iter().map(|part| part.as_deref().unwrap_or_default());
        let call = parts.fold(call.seen(&self.seen()), Call::with);
        let value = run(&mut connection.clone(), &call).await.map_err(|error| classify(&error))?;
        Answer::read(call.script, value)
    }

    /// Begins an epoch in the place of the one that was `found`. `gone`: a list of windows and one in it that is not there; the
    /// epoch answers for it, so that it is not found again.
    async fn begin_epoch(
        &self,
        connection: &MultiplexedConnection,
        found: &Seen,
        gone: Vec<Value>,
    ) -> Result<Seen, StoreError> {
        let mut random = [0; 8];
        SystemRandom::new().fill(&mut random).map_err(|_| unavailable("the system has no randomness"))?;
        let fresh = Epoch::from_bits(u64::from_be_bytes(random));
        let expected = if found.generation == 0 { String::new() } else { found.epoch.to_string() };
        let seen = self.seen();
        if seen != Seen::NOTHING {
            tracing::warn!(
                lost = %seen.epoch, position = %seen.position, found = %found.epoch, at = %found.position,
                "the store's log is not the one seen before: a new epoch begins, tokens of the old one end"
            );
        }
        let call = Call::new(&EPOCH, 0).seen(&seen).with(expected).with(fresh.to_string());
        let call = call.with(seen.generation).with(seen.position.get());
        let gone: Vec<Vec<u8>> = gone.into_iter().filter_map(bytes).collect();
        let [list, window] = <[Vec<u8>; 2]>::try_from(gone).unwrap_or_default();
        let call = call.with(list).with(window);
        let value = run(&mut connection.clone(), &call).await.map_err(|error| classify(&error))?;
        Ok(Answer::read(call.script, value)?.seen)
    }
}

/// Waits for as many replicas as were asked for to hold what this connection wrote.
async fn replicated(on: &mut MultiplexedConnection, line: &Line, number: u64) -> Result<(), StoreError> {
    let mut wait = redis::cmd("WAIT");
    wait.arg(line.replicas).arg(REPLICAS);
    let value = send(on, &wait).await.map_err(|error| line.failed(number, &error))?;
    match value {
        Value::Int(count) if count >= i64::from(line.replicas) => Ok(()),
        Value::Int(count) => Err(unavailable(format!(
            "{count} of {} replicas hold it after {REPLICAS} ms: it may have been carried out, repeat it",
            line.replicas
        ))),
        _ => Err(StoreError::Corrupt("the answer to WAIT".into())),
    }
}

/// Sends a call; where Redis does not know the script yet, teaches it and sends the same call again.
async fn run(connection: &mut MultiplexedConnection, call: &Call) -> Result<Value, RedisError> {
    match send(connection, &call.command).await {
        Err(error) if knows_no_script(&error) => taught(connection, call).await,
        done => done,
    }
}

fn knows_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

async fn taught(connection: &mut MultiplexedConnection, call: &Call) -> Result<Value, RedisError> {
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg(call.script.text);
    send(connection, &load).await?;
    send(connection, &call.command).await
}

/// Sends a command; an error that Redis answers is an error.
async fn send(connection: &mut MultiplexedConnection, command: &Cmd) -> Result<Value, RedisError> {
    connection.send_packed_command(command).await?.extract_error()
}

/// A lock that a panic elsewhere does not spoil: what it guards is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
