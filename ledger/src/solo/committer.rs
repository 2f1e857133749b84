//! The one thread that writes: it gathers what waits into a block, makes it durable, then
//! answers.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use crate::account::NodeSecret;
use crate::block::{Header, Receipt};
use crate::chain::Chain;
use crate::checkpoint::Checkpoint;
use crate::engine::{Reply, Submission};
use crate::index::Index;
use crate::state::execute::BlockBuilder;
use crate::state::verify::VerifiedTx;
use crate::state::{ExecuteError, Rejection, query};

pub(crate) struct Committer {
    chain: Chain,
    signer: NodeSecret,
    tick: Duration,
    last_block: Instant,
}

/// A clock behind the last block by more than this is worth a warning.
const CLOCK_LAG_MS: u64 = 24 * 3600 * 1000;

impl Committer {
    pub(crate) fn new(chain: Chain, signer: NodeSecret, tick: Duration) -> Committer {
        let (last, clock) = (chain.core().head().time_ms, clock_ms());
        if clock.saturating_add(CLOCK_LAG_MS) < last {
            tracing::warn!(
                last_block_ms = last,
                clock_ms = clock,
                "the clock is more than a day behind the last block; block time advances by a millisecond a block"
            );
        }
        let committer = Committer { chain, signer, tick, last_block: Instant::now() };
        let head = committer.chain.core().head();
        committer.certify((*head).clone());
        committer
    }

    /// Signs the checkpoint of `header` as the ledger's only member.
    fn certify(&self, header: Header) {
        let checkpoint = Checkpoint::of(&header).sign(&header.chain, &self.signer);
        self.chain.core().certify(header, checkpoint);
    }

    /// Works until the queue's senders are gone.
    pub(crate) fn run(mut self, queue: &Receiver<Submission>) {
        loop {
            let first = if self.awaits_answers() {
                match queue.recv_timeout(self.tick.saturating_sub(self.last_block.elapsed())) {
                    Ok(first) => Some(first),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            } else {
                match queue.recv() {
                    Ok(first) => Some(first),
                    Err(_) => return,
                }
            };
            self.round(first, queue);
        }
    }

    fn awaits_answers(&self) -> bool {
        self.chain.core().check_running().is_ok()
            && query::has_open_requests(&self.chain.core().index).unwrap_or_else(|error| {
                self.chain.core().stop(&error);
                false
            })
    }

    /// Makes one block of `first` and what else waits; an empty one when its time has come.
    fn round(&mut self, first: Option<Submission>, queue: &Receiver<Submission>) {
        if let Err(error) = self.chain.core().check_running() {
            first.into_iter().for_each(|submission| answer(&submission.reply, Err(error.clone())));
            return;
        }
        let core = self.chain.core().clone();
        let head = core.head();
        let time_ms = head.next_time_ms(clock_ms());
        let mut replies: Vec<(mpsc::Sender<Reply>, Reply)> = Vec::new();
        let mut builder = match self.chain.begin(&core, &head, time_ms) {
            Ok(builder) => builder,
            Err(stopped) => {
                first.into_iter().for_each(|submission| answer(&submission.reply, Err(stopped.clone())));
                return;
            }
        };
        let due = first.is_none();
        let mut next = first.or_else(|| queue.try_recv().ok());
        while let Some(submission) = next {
            let reply = execute(&mut builder, &submission.tx).map_err(|error| core.refuse(error));
            replies.push((submission.reply, reply));
            next = if builder.has_room() { queue.try_recv().ok() } else { None };
        }
        let failure = if let Err(error) = core.check_running() {
            Some(error)
        } else if due || !builder.entries().is_empty() {
            self.last_block = Instant::now();
            self.chain.commit(builder).map(|header| self.certify(header)).err()
        } else {
            None
        };
        for (to, reply) in replies {
            // After a failure even a refusal may have rested on what was undone.
            answer(&to, failure.clone().map_or(reply, Err));
        }
    }
}

fn execute<I: Index>(builder: &mut BlockBuilder<'_, I>, tx: &VerifiedTx) -> Result<Receipt, ExecuteError> {
    match builder.add(tx) {
        Err(ExecuteError::Rejected(rejection)) if matches!(rejection, Rejection::Replayed(_)) => {
            builder.receipt(&tx.hash())?.ok_or(ExecuteError::Rejected(rejection))
        }
        done => done,
    }
}

/// Whoever has stopped waiting finds the receipt by the transaction's hash.
fn answer(to: &mpsc::Sender<Reply>, reply: Reply) {
    if to.try_send(reply).is_err() {
        tracing::debug!("a sender no longer waits for its receipt");
    }
}

fn clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
