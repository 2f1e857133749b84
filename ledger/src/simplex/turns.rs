//! This node's turns to propose.

use std::collections::HashSet;
use std::sync::Arc;

use commonware_cryptography::ed25519::PublicKey;
use commonware_cryptography::sha256;
use commonware_p2p::Sender;
use tokio::sync::oneshot;

use super::batch::{Batch, EMPTY_AFTER_MS};
use super::core::Core;
use super::keys::payload;
use super::time::Time;
use crate::engine::Reply;
use crate::error::SubmitError;
use crate::ids::{BlockHeight, Digest, TxHash};
use crate::index::IndexError;
use crate::state::execute::BlockBuilder;
use crate::state::verify::VerifiedTx;
use crate::state::{ExecuteError, query};
use crate::tx::SignedTx;

/// A leader's turn.
pub(super) struct Turn {
    pub(super) epoch: u64,
    pub(super) parent: Digest,
    pub(super) until_ms: u64,
    pub(super) response: oneshot::Sender<sha256::Digest>,
}

/// What a leader has to propose.
enum Waiting {
    Txs(Vec<SignedTx>),
    /// Nothing; whether there was something, which the rules refuse.
    Nothing {
        refused: bool,
    },
    /// What is on its way must be executed before that can be said.
    Unclear,
}

impl Waiting {
    fn of(txs: Vec<VerifiedTx>) -> Waiting {
        Waiting::Txs(txs.into_iter().map(VerifiedTx::into_signed).collect())
    }
}

impl<E: Time, S: Sender<PublicKey = PublicKey>> Core<E, S> {
    pub(super) fn take_turns(&mut self) {
        for turn in std::mem::take(&mut self.turns) {
            if turn.response.is_closed() {
                continue;
            }
            match self.propose(&turn) {
                Some(digest) => drop(turn.response.send(payload(&digest))),
                None => self.turns.push(turn),
            }
        }
    }

    /// A batch on the turn's parent; the parent again when nothing waits; nothing yet.
    pub(super) fn propose(&mut self, turn: &Turn) -> Option<Digest> {
        if turn.epoch != self.members.epoch {
            // The members have changed: what would be ordered now is void.
            return Some(turn.parent);
        }
        let Some(parent) = self.meta(&turn.parent) else {
            self.want(turn.parent);
            return None;
        };
        let taken = self.in_flight(&turn.parent)?;
        let clock = self.clock.clock_ms();
        let time_ms = clock.max(parent.time_ms.saturating_add(1));
        let waiting = self.waiting(&turn.parent, &taken, time_ms);
        self.flight = Some((turn.parent, self.head.batch, taken));
        let over = self.now_ms() >= turn.until_ms;
        let txs = match waiting {
            Waiting::Txs(txs) => txs,
            Waiting::Unclear => return over.then_some(turn.parent),
            Waiting::Nothing { refused } => {
                let due = clock >= parent.time_ms.saturating_add(EMPTY_AFTER_MS) && self.awaits_answers();
                if !due {
                    // Whoever sent what was refused hears of it from its own node, at that one's turn.
                    return (refused || over).then_some(turn.parent);
                }
                Vec::new()
            }
        };
        let batch = Batch {
            chain: self.head.chain,
            epoch: turn.epoch,
            height: parent.height.next(),
            parent: turn.parent,
            time_ms,
            txs,
        };
        let bytes = batch.encode();
        match self.store.put(Arc::new(batch), &bytes) {
            Ok(digest) => Some(digest),
            Err(error) => {
                self.not_stored(&error);
                Some(turn.parent)
            }
        }
    }

    /// What waits and is worth a block. On the head's own state it is certain what the rules refuse:
    /// if they refuse everything, all of it is answered and forgotten. Behind batches that are not
    /// executed yet it is not; then transactions are taken as good, but not behind an empty block,
    /// so that refused ones never make blocks by themselves for long.
    fn waiting(&mut self, parent: &Digest, taken: &HashSet<TxHash>, time_ms: u64) -> Waiting {
        if !self.pool.has_more(taken) {
            return Waiting::Nothing { refused: false };
        }
        let txs = self.pool.next(taken);
        if *parent != self.head.batch || self.busy {
            let empty = self.head.height != BlockHeight(0) && self.head.tree_size == self.head.first_entry;
            return if empty { Waiting::Unclear } else { Waiting::of(txs) };
        }
        match self.all_refused(&txs, time_ms) {
            Ok(None) => Waiting::of(txs),
            Ok(Some(replies)) => {
                replies.into_iter().for_each(|(hash, reply)| self.settle(&hash, reply));
                Waiting::Nothing { refused: true }
            }
            Err(error) => {
                let _ = self.ledger.stop(&error);
                self.stop(&error.to_string());
                Waiting::Unclear
            }
        }
    }

    /// What becomes of these transactions in the block after the head, if nothing would be in it.
    fn all_refused(&self, txs: &[VerifiedTx], time_ms: u64) -> Result<Option<Vec<(TxHash, Reply)>>, IndexError> {
        let mut builder = BlockBuilder::begin(&self.ledger.genesis, &self.ledger.index, &self.head, time_ms)?;
        if !builder.entries().is_empty() {
            return Ok(None);
        }
        let mut replies = Vec::with_capacity(txs.len());
        for tx in txs {
            let reply = match builder.receipt(&tx.hash())? {
                Some(receipt) => Ok(receipt),
                None => match builder.add(tx) {
                    Ok(_) => return Ok(None),
                    Err(ExecuteError::Rejected(rejection)) => Err(SubmitError::Rejected(rejection)),
                    Err(ExecuteError::Index(error)) => return Err(error),
                },
            };
            replies.push((tx.hash(), reply));
        }
        Ok(Some(replies))
    }

    pub(super) fn awaits_answers(&mut self) -> bool {
        query::has_open_requests(&self.ledger.index).unwrap_or_else(|error| {
            let _ = self.ledger.stop(&error);
            self.stop(&error.to_string());
            false
        })
    }

    /// The transactions of batches from `parent` back to the head, which are not executed yet.
    pub(super) fn in_flight(&mut self, parent: &Digest) -> Option<HashSet<TxHash>> {
        let head = self.head.batch;
        if let Some((.., taken)) = self.flight.take_if(|(of, at, _)| of == parent && *at == head) {
            return Some(taken);
        }
        let (mut taken, mut at) = (HashSet::new(), *parent);
        while at != self.head.batch {
            let meta = self.meta(&at)?;
            if meta.height <= self.head.height {
                break;
            }
            match self.store.batch(&at) {
                Ok(Some(batch)) => taken.extend(batch.txs.iter().map(SignedTx::hash)),
                Ok(None) => match self.offers.peek(&at) {
                    Some(offer) => taken.extend(offer.batch.txs.iter().map(SignedTx::hash)),
                    None => {
                        self.want(at);
                        return None;
                    }
                },
                Err(error) => {
                    tracing::error!(%error, "a batch could not be read");
                    return None;
                }
            }
            at = meta.parent;
        }
        Some(taken)
    }
}
