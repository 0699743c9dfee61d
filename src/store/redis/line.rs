//! One connection to Redis that may be away: handed out while it stands, dropped when it fails.
//!
//! Never connects by itself (the keeper does) and never waits for a connection: without one a call fails at once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::driver::{Begun, Driver};
use crate::store::StoreError;

/// A place for one connection, and how many calls may be under way on it.
pub(super) struct Line {
    /// What it is for, in errors and logs.
    pub(super) name: &'static str,
    /// So many replicas must hold what is written on it before an answer counts.
    pub(super) replicas: u32,
    live: ArcSwapOption<Live>,
    permits: Semaphore,
    begun: Begun,
    /// Wakes the keeper when the connection is gone.
    wake: Arc<Notify>,
}

/// A connection that stood when it was last looked at.
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    /// Tells it from the ones before and after.
    pub(super) number: u64,
    /// Moves its bytes, for as long as somebody uses it.
    _driver: Driver,
}

impl Line {
    pub(super) fn new(name: &'static str, calls: usize, replicas: u32, wake: Arc<Notify>) -> Self {
        Self {
            name,
            replicas,
            live: ArcSwapOption::empty(),
            permits: Semaphore::new(calls),
            begun: Begun::default(),
            wake,
        }
    }

    /// The connection, and leave to use it for one call.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where there is none, or as many calls are under way as may be.
    pub(super) fn get(&self) -> Result<(Arc<Live>, SemaphorePermit<'_>), StoreError> {
        let permit = self.permits.try_acquire().map_err(|_| unavailable("too many calls are under way"))?;
        let live = self.live.load_full().ok_or_else(|| unavailable("no connection to Redis, trying again"))?;
        self.begun.fetch_add(1, Relaxed);
        Ok((live, permit))
    }

    /// How many calls were begun on it.
    pub(super) fn begun(&self) -> Begun {
        Arc::clone(&self.begun)
    }

    pub(super) fn is_down(&self) -> bool {
        self.live.load().is_none()
    }

    pub(super) fn put(&self, connection: MultiplexedConnection, number: u64, driver: Driver) {
        self.live.store(Some(Arc::new(Live { connection, number, _driver: driver })));
    }

    /// Drops the connection of this number, and no later one.
    pub(super) fn drop_connection(&self, number: u64) {
        let current = self.live.load();
        if current.as_ref().is_some_and(|live| live.number == number) {
            self.live.compare_and_swap(&*current, None);
            self.wake.notify_one();
        }
    }

    /// Drops whatever connection there is: what it leads to is not to be trusted.
    pub(super) fn drop_any(&self) {
        self.live.store(None);
        self.wake.notify_one();
    }

    /// Turns a failure into the store's error, and drops the connection where another one may do better.
    pub(super) fn failed(&self, number: u64, error: &RedisError) -> StoreError {
        // A replica that was a primary says READONLY or MASTERDOWN for good: only a new connection finds the new one.
        let elsewhere = matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading)
        );
        if elsewhere || error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() {
            self.drop_connection(number);
        }
        classify(error)
    }
}

/// Whether Redis refuses every write, while reads go on: it is full, a replica, cannot save, or lacks the replicas it wants.
pub(super) fn refuses_writes(error: &RedisError) -> bool {
    matches!(error.code(), Some("OOM" | "READONLY" | "MISCONF" | "NOREPLICAS"))
}

/// The store's error for Redis' one. Redis' text tells no secret: it never repeats credentials.
pub(super) fn classify(error: &RedisError) -> StoreError {
    match error.kind() {
        // A script stumbled over a key of another type, or bytes it cannot read.
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => StoreError::Corrupt(error.to_string()),
        _ if error.code() == Some("WRONGTYPE") => StoreError::Corrupt(error.to_string()),
        _ if error.code() == Some("ERR") && error.to_string().contains("user_script") => {
            StoreError::Corrupt(error.to_string())
        }
        // Redis speaks of HELLO here: what helps is a URL that says who we are.
        _ if error.code() == Some("NOAUTH") => {
            unavailable("the store wants a user and a password: redis://USER:PASSWORD@HOST:PORT, by JITNEY_STORE_URL")
        }
        _ if error.code() == Some("WRONGPASS") || error.kind() == ErrorKind::AuthenticationFailed => {
            unavailable("the store knows no such user, or another password: see the URL in JITNEY_STORE_URL")
        }
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The store's error for what is not an answer of Redis'.
pub(super) fn unavailable(why: impl Into<String>) -> StoreError {
    StoreError::Unavailable(why.into())
}
