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
use crate::ids::{Digest, TxHash};
use crate::state::query;
use crate::tx::SignedTx;

/// A leader's turn.
pub(super) struct Turn {
    pub(super) epoch: u64,
    pub(super) parent: Digest,
    pub(super) until_ms: u64,
    pub(super) response: oneshot::Sender<sha256::Digest>,
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
        let txs = if self.pool.has_more(&taken) { self.pool.next(&taken) } else { Vec::new() };
        let due = txs.is_empty() && clock >= parent.time_ms.saturating_add(EMPTY_AFTER_MS) && self.awaits_answers();
        self.flight = Some((turn.parent, self.head.batch, taken));
        if txs.is_empty() && !due {
            return (self.now_ms() >= turn.until_ms).then_some(turn.parent);
        }
        let batch = Batch {
            chain: self.head.chain,
            epoch: turn.epoch,
            height: parent.height.next(),
            parent: turn.parent,
            time_ms: clock.max(parent.time_ms.saturating_add(1)),
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
