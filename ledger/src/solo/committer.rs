//! The one thread that writes: it gathers what waits into a block, makes it durable, then
//! answers.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Core;
use crate::block::{Block, Receipt};
use crate::error::SubmitError;
use crate::index::{Batch, Index};
use crate::log::{AppendError, Log};
use crate::state::execute::{BlockBuilder, VerifiedTx};
use crate::state::{ExecuteError, query};

type Reply = Result<Receipt, SubmitError>;

/// A transaction and where its sender waits.
pub(crate) struct Submission {
    pub(crate) tx: VerifiedTx,
    pub(crate) reply: SyncSender<Reply>,
}

pub(crate) struct Committer {
    core: Arc<Core>,
    log: Log,
    tick: Duration,
    last_block: Instant,
}

/// A clock behind the last block by more than this is worth a warning.
const CLOCK_LAG_MS: u64 = 24 * 3600 * 1000;

impl Committer {
    pub(crate) fn new(core: Arc<Core>, log: Log, tick: Duration) -> Committer {
        let (last, clock) = (core.head().header.time_ms, clock_ms());
        if clock.saturating_add(CLOCK_LAG_MS) < last {
            tracing::warn!(
                last_block_ms = last,
                clock_ms = clock,
                "the clock is more than a day behind the last block; block time advances by a millisecond a block"
            );
        }
        Committer { core, log, tick, last_block: Instant::now() }
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
        self.core.check_running().is_ok()
            && query::has_open_requests(&self.core.index).unwrap_or_else(|error| {
                self.core.stop(&error);
                false
            })
    }

    /// Makes one block of `first` and what else waits; an empty one when its time has come.
    fn round(&mut self, first: Option<Submission>, queue: &Receiver<Submission>) {
        if let Err(error) = self.core.check_running() {
            first.into_iter().for_each(|submission| answer(&submission.reply, Err(error.clone())));
            return;
        }
        let core = self.core.clone();
        let head = core.head();
        let time_ms = head.header.next_time_ms(clock_ms());
        let mut replies: Vec<(SyncSender<Reply>, Reply)> = Vec::new();
        let begun = BlockBuilder::begin(&core.genesis, &core.index, &head.header, time_ms);
        let mut builder = match begun {
            Ok(builder) => builder,
            Err(error) => {
                let stopped = core.stop(&error);
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
            match builder.seal(self.log.length()) {
                Ok((block, batch)) => self.commit(&block, &batch).err(),
                Err(error) => Some(core.stop(&error)),
            }
        } else {
            None
        };
        for (to, reply) in replies {
            // After a failure even a refusal may have rested on what was undone.
            answer(&to, failure.clone().map_or(reply, Err));
        }
    }

    fn commit(&mut self, block: &Block, batch: &Batch) -> Result<(), SubmitError> {
        let core = &self.core;
        let _gate = core.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.last_block = Instant::now();
        self.log.append(block).map_err(|error| match error {
            AppendError::Undone(what) => {
                tracing::error!(what, height = block.header.height.0, "a block could not be written and was undone");
                SubmitError::Undone(what)
            }
            AppendError::Broken(what) => core.stop_for(what),
        })?;
        core.index.apply(batch).map_err(|error| core.stop(&error))?;
        core.set_head(block.header.clone());
        Ok(())
    }
}

fn execute<I: Index>(builder: &mut BlockBuilder<'_, I>, tx: &VerifiedTx) -> Result<Receipt, ExecuteError> {
    match builder.receipt(&tx.hash())? {
        Some(receipt) => Ok(receipt),
        None => builder.add(tx),
    }
}

/// Whoever has stopped waiting finds the receipt by the transaction's hash.
fn answer(to: &SyncSender<Reply>, reply: Reply) {
    if to.try_send(reply).is_err() {
        tracing::debug!("a sender no longer waits for its receipt");
    }
}

fn clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
