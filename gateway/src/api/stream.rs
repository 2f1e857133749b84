//! A connection that does not wait for ever for who takes nothing of an answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What a caller must take in a second, once an answer has begun to wait for it.
const BYTES_A_SECOND: u64 = 4096;

/// A stream whose writes fail when they have been held up for too long.
pub(super) struct Patient<T> {
    inner: T,
    patience: Duration,
    held_up: Option<HeldUp>,
}

struct HeldUp {
    since: Instant,
    taken: u64,
    end: Pin<Box<Sleep>>,
}

impl<T> Patient<T> {
    /// Waits so long, and longer by the time that what was taken since may take.
    pub(super) fn new(inner: T, patience: Duration) -> Patient<T> {
        Patient { inner, patience, held_up: None }
    }

    /// What came of a write: how many bytes were taken; or, of a flush, that none are left.
    fn judge<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<R>>,
        taken: impl Fn(&R) -> Option<usize>,
    ) -> Poll<io::Result<R>> {
        match &poll {
            Poll::Ready(Ok(done)) => match (taken(done), &mut self.held_up) {
                (Some(bytes), Some(held_up)) => held_up.taken = held_up.taken.saturating_add(bytes as u64),
                (Some(_), None) => {}
                (None, _) => self.held_up = None,
            },
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let patience = self.patience;
                let now = Instant::now();
                let held_up = self.held_up.get_or_insert_with(|| HeldUp {
                    since: now,
                    taken: 0,
                    end: Box::pin(sleep_until(now + patience)),
                });
                let earned = Duration::from_secs(held_up.taken / BYTES_A_SECOND);
                let end = held_up.since.checked_add(patience + earned).unwrap_or(now);
                if held_up.end.deadline() != end {
                    held_up.end.as_mut().reset(end);
                }
                if held_up.end.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the caller takes nothing of the answer",
                    )));
                }
            }
        }
        poll
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(cx, poll, |bytes| Some(*bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(cx, poll, |bytes| Some(*bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_flush(cx);
        self.judge(cx, poll, |()| None)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.judge(cx, poll, |()| None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_cut_off_and_who_is_slow_is_not() {
        let (_silent, server) = tokio::io::duplex(64);
        let mut server = Patient::new(server, Duration::from_millis(50));
        let error = server.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        // Reads in many small pieces, for longer than the patience with who takes nothing: each piece
        // earns time.
        let (mut slow, server) = tokio::io::duplex(64 << 10);
        let mut server = Patient::new(server, Duration::from_secs(2));
        let writing = tokio::spawn(async move { server.write_all(&vec![7; 1 << 20]).await });
        let mut read = 0;
        let mut piece = vec![0; 16 << 10];
        while read < 1 << 20 {
            let count = slow.read(&mut piece).await.unwrap();
            read += count;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        writing.await.unwrap().unwrap();
    }
}
