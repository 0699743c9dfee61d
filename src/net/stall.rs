//! The clock on what is written: a client that takes too little of an answer for too long loses its connection.
//!
//! Only while something waits to be taken: a stream that has nothing to say may be silent for hours.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// What is taken in the limited time at least, in bytes: a few at a time would hold a connection for hours.
const LEAST: usize = 16 << 10;

/// A stream whose writes may stand still for a limited time.
pub(super) struct Stall<S> {
    inner: S,
    limit: Duration,
    /// Made at the first standstill, and kept: a connection that never stands still pays nothing.
    timer: Option<Pin<Box<Sleep>>>,
    running: bool,
    /// Written since the timer was set.
    taken: usize,
}

impl<S> Stall<S> {
    pub(super) const fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit, timer: None, running: false, taken: 0 }
    }

    /// What a write that came to `outcome` means for the clock: it runs on until enough is taken, or all.
    fn wrote(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Pending => self.waits(cx),
            Poll::Ready(Ok(bytes)) => {
                self.taken = self.taken.saturating_add(bytes);
                self.running &= self.taken < LEAST;
                outcome
            }
            Poll::Ready(Err(_)) => outcome,
        }
    }

    /// The same of a flush, behind which nothing waits.
    fn flushed(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if outcome.is_pending() {
            return self.waits(cx);
        }
        self.running = false;
        outcome
    }

    fn waits<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        if !std::mem::replace(&mut self.running, true) {
            self.taken = 0;
            timer.as_mut().reset(Instant::now() + self.limit);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes too little of its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stall<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stall<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.flushed(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.flushed(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const ANSWER: usize = 256 << 10;

    #[tokio::test]
    async fn a_few_bytes_at_a_time_are_too_few() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut ours = Stall::new(ours, Duration::from_millis(100));
        let reader = tokio::spawn(async move {
            while let Ok(1..) = theirs.read(&mut [0; 16]).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let begun = Instant::now();
        let error = ours.write_all(&[0; ANSWER]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= Duration::from_millis(100));
        drop(ours);
        reader.await.unwrap();
    }

    #[tokio::test]
    async fn who_takes_enough_may_take_long() {
        let (ours, mut theirs) = tokio::io::duplex(8 << 10);
        let limit = Duration::from_secs(1);
        let mut ours = Stall::new(ours, limit);
        let reader = tokio::spawn(async move {
            let (mut all, mut buffer) = (0, vec![0; 8 << 10]);
            while let Ok(read @ 1..) = theirs.read(&mut buffer).await {
                all += read;
                // Now and then it pauses: all in all it takes longer than the limit.
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            all
        });
        let begun = Instant::now();
        ours.write_all(&[0; ANSWER]).await.unwrap();
        ours.flush().await.unwrap();
        assert!(begun.elapsed() > limit);
        drop(ours);
        assert_eq!(reader.await.unwrap(), ANSWER);
    }

    #[tokio::test]
    async fn nothing_to_say_is_no_standstill() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Stall::new(ours, Duration::from_millis(20));
        for _ in 0..3 {
            let mut buffer = [0; 64];
            let (wrote, read) = tokio::join!(ours.write_all(&[0; 64]), theirs.read_exact(&mut buffer));
            wrote.unwrap();
            read.unwrap();
            ours.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }
}
