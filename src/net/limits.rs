//! How much is taken in at once, and how long it may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The bounds of one listener. Clones share [`Limits::open`], and nothing else.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections held at once. One more takes the place of the one that has waited longest for its client; where none
    /// waits, it is answered 503 and closed (closed unanswered where TLS would come first).
    pub connections: usize,
    /// Requests worked on at once; one more is answered 503, but for probes (`/livez`, `/readyz`). A streamed answer
    /// counts until its head is written.
    pub requests: usize,
    /// The longest body, in bytes; more is answered 413.
    pub body: usize,
    /// The longest head (request line and headers), in bytes; more, or more than 100 headers, is answered 431.
    pub header: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long a connection may stand still: a slow request head, an idle connection, and an answer of which the client
    /// takes too little all end here.
    pub header_timeout: Duration,
    /// How long a body may take to arrive; longer is answered 408.
    pub body_timeout: Duration,
    /// How long the work on a request may take until its answer begins; longer is answered 503. What may change
    /// something is finished all the same.
    pub request_timeout: Duration,
    /// How many connections are open now, for the metrics.
    pub open: OpenConnections,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            requests: 1024,
            body: 64 << 10,
            header: 16 << 10,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            open: OpenConnections::default(),
        }
    }
}

/// A count of open connections; clones share it.
#[derive(Debug, Clone, Default)]
pub struct OpenConnections(Arc<AtomicUsize>);

impl OpenConnections {
    /// How many are open now.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more, unless `most` are open. It counts until the value is dropped.
    pub(super) fn enter(&self, most: usize) -> Option<Entered> {
        let grown = |open| (open < most).then_some(open + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).ok().map(|_| Entered(self.clone()))
    }
}

/// One open connection.
pub(super) struct Entered(OpenConnections);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
