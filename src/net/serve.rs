//! The accept loop: connections in, TLS where there is some, HTTP/1 on each, and the orderly end of all.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::task::coop::has_budget_remaining;
use tokio_rustls::TlsAcceptor;

use super::limits::Entered;
use super::places::{Places, Seat};
use super::request::{Caller, Remote, Shared};
use super::stall::Stall;
use super::timer::ConnectionTimer;
use super::work::Application;
use super::{Limits, Peer, Shutdown, Tls, unix};

/// Serves `application` on `listener` until shutdown, then finishes what is in flight, for at most the time to drain.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    application: impl Application,
    limits: Limits,
    shutdown: Shutdown,
) {
    run(Door::Tcp(listener, tls), Box::new(application), limits, shutdown).await;
}

/// Where connections come from.
pub(super) enum Door {
    Tcp(TcpListener, Option<Tls>),
    Unix(unix::Socket),
}

/// A connection, and all that is known of it.
enum Guest {
    Plain(TcpStream, Remote),
    Tls(TcpStream, Remote, TlsAcceptor),
    Local(UnixStream, Peer),
}

impl Door {
    /// The next connection; what is written to it may go unacknowledged for `patience`.
    async fn accept(&self, patience: Duration) -> io::Result<Guest> {
        match self {
            Self::Tcp(listener, tls) => {
                let (stream, from) = listener.accept().await?;
                stream.set_nodelay(true)?;
                // Of one that has vanished nothing comes: without this the system tries for a quarter of an hour.
                let patience = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
                rustix::net::sockopt::set_tcp_user_timeout(&stream, patience)?;
                let from = Remote(from.ip().to_canonical());
                Ok(match tls {
                    Some(tls) => Guest::Tls(stream, from, TlsAcceptor::from(tls.current())),
                    None => Guest::Plain(stream, from),
                })
            }
            Self::Unix(socket) => socket.accept().await.map(|(stream, peer)| Guest::Local(stream, peer)),
        }
    }
}

pub(super) async fn run(door: Door, application: Box<dyn Application>, limits: Limits, shutdown: Shutdown) {
    let shared = Arc::new(Shared::new(application, limits));
    let places = Arc::new(Places::default());
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE));
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    let ending = shutdown.wait();
    tokio::pin!(ending);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut ending => break,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                report(ended);
                continue;
            }
            accepted = door.accept(shared.limits.header_timeout) => accepted,
        };
        match accepted {
            Ok(guest) => match shared.limits.open.enter(shared.limits.connections) {
                Some(entered) => {
                    let host = Host { shared: Arc::clone(&shared), places: Arc::clone(&places) };
                    tasks.spawn(connection(guest, entered, host, graceful.watcher()));
                }
                None => {
                    // Beyond the limit for as long as it takes to close another: no more than a few at once.
                    let Ok(turn) = Arc::clone(&turned_away).try_acquire_owned() else { continue };
                    let host = Host { shared: Arc::clone(&shared), places: Arc::clone(&places) };
                    tasks.spawn(beyond(guest, turn, host, graceful.watcher()));
                }
            },
            Err(error) if is_theirs(&error) => {}
            Err(error) => {
                // Out of descriptors, most likely: some have to close first.
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // New connections are refused from here on, while those in flight finish.
    drop(door);
    let finished = async {
        graceful.shutdown().await;
        shared.quiet().await;
    };
    // What is streamed has no end of its own: it has a moment to be ended by whoever streams it, and to be taken.
    let cut = async {
        tokio::time::sleep(A_MOMENT).await;
        places.cut_streams();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = finished => {}
        () = cut => {}
        () = shutdown.drained() => tracing::warn!("connections were cut: the time to drain is over"),
    }
    tasks.shutdown().await;
}

/// Errors of one connection that died before it was accepted.
fn is_theirs(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected)
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection's task panicked; the others go on");
    }
}

/// What every connection of a listener is given.
struct Host {
    shared: Arc<Shared>,
    places: Arc<Places>,
}

/// A connection in its place. It is counted until it is closed, and gives the place on where it is told to leave.
async fn connection(guest: Guest, entered: Entered, host: Host, watcher: Watcher) {
    let (seat, mut told) = Seat::new(&host.places);
    let next = {
        let mut speaking = pin!(speak(guest, seat, host.shared, watcher));
        let mut is_listening = false;
        poll_fn(|cx| {
            // Once it listens it is woken for a word; to look whether there is one costs less than to listen again. Without a
            // turn left it has not listened.
            if !is_listening || !told.is_empty() {
                is_listening = has_budget_remaining();
                if let Poll::Ready(next) = told.poll_recv(cx) {
                    return Poll::Ready(next);
                }
            }
            speaking.as_mut().poll(cx).map(|()| None)
        })
        .await
    };
    // Closed by now. Whoever asked for the place may have given up.
    if let Some(next) = next {
        drop(next.send(entered));
    }
}

/// A connection beyond the limit: it gets the place of one that only waits for its client, or is told to come again.
async fn beyond(guest: Guest, turn: OwnedSemaphorePermit, host: Host, watcher: Watcher) {
    let place = tokio::time::timeout(A_MOMENT, host.place()).await.ok().flatten();
    match (place, guest) {
        (Some(entered), guest) => {
            drop(turn);
            connection(guest, entered, host, watcher).await;
        }
        (None, Guest::Plain(stream, _)) => refuse(stream).await,
        (None, Guest::Local(stream, _)) => refuse(stream).await,
        // Only closed: a handshake costs more than the limit saves.
        (None, Guest::Tls(..)) => {}
    }
}

impl Host {
    /// A place that is free, or becomes so; none where all connections work.
    async fn place(&self) -> Option<Entered> {
        let limits = &self.shared.limits;
        loop {
            if let Some(entered) = limits.open.enter(limits.connections) {
                return Some(entered);
            }
            // Nothing comes from one that ended by itself in this moment: then its place is free.
            if let Ok(entered) = self.places.claim()?.await {
                return Some(entered);
            }
        }
    }
}

async fn speak(guest: Guest, seat: Arc<Seat>, shared: Arc<Shared>, watcher: Watcher) {
    match guest {
        Guest::Plain(stream, from) => http(stream, Caller::Tcp(from), seat, shared, watcher).await,
        Guest::Local(stream, peer) => http(stream, Caller::Unix(peer), seat, shared, watcher).await,
        Guest::Tls(stream, from, acceptor) => {
            match tokio::time::timeout(shared.limits.handshake_timeout, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => http(stream, Caller::Tcp(from), seat, shared, watcher).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

async fn http<S>(stream: S, caller: Caller, seat: Arc<Seat>, shared: Arc<Shared>, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut builder, timer) = (http1::Builder::new(), ConnectionTimer::default());
    // hyper's own 100 headers at most: they then need no allocation. Its timer for the head runs while idle, too.
    builder
        .timer(timer.clone())
        // Head and body in one piece: answers are small, and copying one costs less than handing over two pieces.
        .writev(false)
        .header_read_timeout(shared.limits.header_timeout)
        .max_header_size(shared.limits.header)
        .max_buf_size(shared.limits.header.max(SMALLEST_BUFFER));
    let stream = Stall::new(stream, shared.limits.header_timeout);
    let service = service_fn(move |request| {
        let (shared, seat, timer) = (Arc::clone(&shared), Arc::clone(&seat), timer.clone());
        async move { shared.answer(request, caller, seat, &timer).await }
    });
    if let Err(error) = watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The smallest buffer for reading that is of use: a body of the usual size fits in.
const SMALLEST_BUFFER: usize = 16 << 10;

/// How many connections beyond the limit are seen to at once; more are closed unanswered.
const TURNED_AWAY_AT_ONCE: usize = 64;

/// How long one beyond the limit waits for a place, and how long for its refusal to be taken.
const A_MOMENT: Duration = Duration::from_secs(1);

const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 98\r\n\r\n\
    {\"error\":\"temporarily_unavailable\",\"error_description\":\"more connections than are served at once\"}";

/// Answers a connection beyond the limit without reading a request.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let say = async {
        stream.write_all(FULL).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection, and the answer be lost.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether it arrived is the other end's affair.
    let _ = tokio::time::timeout(A_MOMENT, say).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prepared_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
