//! One connection: what waits to be written, and what is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frame::{self, Channel, Frame, FrameError};

/// Messages of the agreement that may wait for a peer.
const AGREEMENT_QUEUE: usize = 1024;
/// Small messages of the ledger.
const SMALL_QUEUE: usize = 1024;
/// Batches and blocks.
const LARGE_QUEUE: usize = 16;
/// A message above this size waits among the large ones.
const SMALL_BYTES: usize = 256 * 1024;
/// A connection on which nothing arrives, or nothing can be written, is dead.
const SILENCE: Duration = Duration::from_secs(15);
/// Frames and bytes taken from a peer in a second, on average; a second's worth may come at once.
const FRAMES_A_SECOND: f64 = 8_000.0;
const BYTES_A_SECOND: f64 = 32.0 * 1024.0 * 1024.0;

/// Where messages for a peer are queued.
pub(super) struct Outbox {
    agreement: mpsc::Sender<Arc<Frame>>,
    small: mpsc::Sender<Arc<Frame>>,
    large: mpsc::Sender<Arc<Frame>>,
}

/// The other end of an [`Outbox`].
pub(super) struct Queues {
    agreement: mpsc::Receiver<Arc<Frame>>,
    small: mpsc::Receiver<Arc<Frame>>,
    large: mpsc::Receiver<Arc<Frame>>,
}

pub(super) fn outbox() -> (Outbox, Queues) {
    let (to_agreement, agreement) = mpsc::channel(AGREEMENT_QUEUE);
    let (to_small, small) = mpsc::channel(SMALL_QUEUE);
    let (to_large, large) = mpsc::channel(LARGE_QUEUE);
    (Outbox { agreement: to_agreement, small: to_small, large: to_large }, Queues { agreement, small, large })
}

impl Outbox {
    /// Queues the frame, or drops it when the peer is too slow.
    pub(super) fn push(&self, frame: Arc<Frame>, urgent: bool) {
        let ledger = matches!(frame.channel, Channel::Ledger | Channel::Gossip);
        let queue = if urgent || !ledger {
            &self.agreement
        } else if frame.payload.len() <= SMALL_BYTES {
            &self.small
        } else {
            &self.large
        };
        if queue.try_send(frame).is_err() {
            tracing::debug!("a message was dropped: the peer is slow");
        }
    }
}

impl Queues {
    /// The next to write: the agreement's first.
    async fn next(&mut self) -> Option<Arc<Frame>> {
        tokio::select! {
            biased;
            frame = self.agreement.recv() => frame,
            frame = self.small.recv() => frame,
            frame = self.large.recv() => frame,
        }
    }

    fn ready(&mut self) -> Option<Arc<Frame>> {
        let queues = [&mut self.agreement, &mut self.small, &mut self.large];
        queues.into_iter().find_map(|queue| queue.try_recv().ok())
    }
}

/// Reads and writes until one of the two fails, and says why.
pub(super) async fn run<S>(stream: S, queues: Queues, deliver: impl Fn(Frame)) -> FrameError
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        error = read(BufReader::new(reader), deliver) => error,
        error = write(BufWriter::with_capacity(64 * 1024, writer), queues) => error,
    }
}

fn silent() -> FrameError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

async fn read<R: AsyncRead + Unpin>(mut reader: BufReader<R>, deliver: impl Fn(Frame)) -> FrameError {
    let (mut frames, mut bytes) = (Bucket::new(FRAMES_A_SECOND), Bucket::new(BYTES_A_SECOND));
    loop {
        match timeout(SILENCE, frame::read(&mut reader)).await {
            Ok(Ok(frame)) => {
                // Whoever sends too much waits, on its own connection.
                let size = f64::from(u32::try_from(frame.payload.len()).unwrap_or(u32::MAX));
                let wait = frames.take(1.0).max(bytes.take(size));
                deliver(frame);
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
            }
            Ok(Err(error)) => return error,
            Err(_) => return silent(),
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(mut writer: BufWriter<W>, mut queues: Queues) -> FrameError {
    while let Some(mut frame) = queues.next().await {
        loop {
            match timeout(SILENCE, frame::write(&mut writer, &frame)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => return silent(),
            }
            match queues.ready() {
                Some(next) => frame = next,
                None => break,
            }
        }
        match timeout(SILENCE, writer.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return silent(),
        }
    }
    std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into()
}

/// A token bucket that holds a second's worth.
pub(super) struct Bucket {
    rate: f64,
    left: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: f64) -> Bucket {
        Bucket { rate, left: rate, at: Instant::now() }
    }

    /// Takes so many, into debt if need be, and says how long to wait until it is paid.
    fn take(&mut self, count: f64) -> Duration {
        let now = Instant::now();
        self.left = (self.left + now.duration_since(self.at).as_secs_f64() * self.rate).min(self.rate) - count;
        self.at = now;
        if self.left >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.left / self.rate) }
    }
}
