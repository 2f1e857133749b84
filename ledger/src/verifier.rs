//! Signatures are checked before transactions are ordered, by threads of their own, and whatever
//! waits is checked together (docs/spec/ledger.md#signatures).

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::engine::{Engine, Reply, Submission};
use crate::error::SubmitError;
use crate::state::ExecuteError;
use crate::state::verify::{Unverified, verify_all};

/// Most signatures checked together; more gain little.
const TOGETHER_MAX: usize = 256;
/// How many transactions may wait for this.
const WAITING_MAX: usize = 8192;

/// A transaction whose signature is to be checked, and where its sender waits.
struct Waiting {
    tx: Unverified,
    reply: mpsc::Sender<Reply>,
}

/// The threads, one a core. Dropping them checks what waits and hands it to the engine.
pub(crate) struct Verifier {
    queue: Option<SyncSender<Waiting>>,
    threads: Vec<JoinHandle<()>>,
}

impl Verifier {
    /// Starts the threads, which hand to `engine` what holds.
    ///
    /// # Errors
    /// What the operating system says when it gives no thread.
    pub(crate) fn start(engine: &Arc<dyn Engine>) -> std::io::Result<Verifier> {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut verifier = Verifier { queue: Some(queue), threads: Vec::new() };
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let (waiting, engine) = (waiting.clone(), engine.clone());
            let thread = std::thread::Builder::new()
                .name("sealgate-verify".into())
                .spawn(move || while round(&waiting, engine.as_ref()) {})?;
            verifier.threads.push(thread);
        }
        Ok(verifier)
    }

    /// Takes a transaction without waiting.
    ///
    /// # Errors
    /// [`SubmitError::Busy`], [`SubmitError::Stopped`].
    pub(crate) fn submit(&self, tx: Unverified, reply: mpsc::Sender<Reply>) -> Result<(), SubmitError> {
        let stopped = || SubmitError::Stopped("its threads ended".into());
        match self.queue.as_ref().ok_or_else(stopped)?.try_send(Waiting { tx, reply }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(SubmitError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(stopped()),
        }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that checks signatures had panicked");
            }
        }
    }
}

/// Checks together what waits; false when there is nothing and will be nothing.
fn round(queue: &Mutex<Receiver<Waiting>>, engine: &dyn Engine) -> bool {
    let (txs, replies): (Vec<_>, Vec<_>) = {
        // Whoever has the lock waits for the first; the others wait for the lock.
        let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(first) = queue.recv() else { return false };
        let all = std::iter::once(first).chain(queue.try_iter()).take(TOGETHER_MAX);
        all.map(|waiting| (waiting.tx, waiting.reply)).unzip()
    };
    for (verified, reply) in verify_all(txs).into_iter().zip(replies) {
        let refused = match verified {
            Ok(tx) => engine.submit(Submission { tx, reply: reply.clone() }).err(),
            Err(ExecuteError::Rejected(rejection)) => Some(SubmitError::Rejected(rejection)),
            Err(ExecuteError::Index(error)) => Some(SubmitError::Stopped(error.to_string())),
        };
        if let Some(error) = refused
            && reply.try_send(Err(error)).is_err()
        {
            tracing::debug!("a sender no longer waits for its receipt");
        }
    }
    true
}
