//! What this node answers when it is asked whether a batch may follow another.

use std::sync::Arc;

use super::time::Time;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;

use super::batch::{Batch, CLOCK_SKEW_MS, EMPTY_AFTER_MS};
use super::core::{Core, Question};
use super::store::Meta;

impl<E: Time, S: Sender<PublicKey = PublicKey>> Core<E, S> {
    pub(super) fn judge_all(&mut self) {
        for question in std::mem::take(&mut self.questions) {
            if question.response.is_closed() {
                continue;
            }
            match self.judge(&question) {
                Some(verdict) => drop(question.response.send(verdict)),
                None => self.questions.push(question),
            }
        }
    }

    /// Accepted and durable, refused for good, or not yet to be said.
    fn judge(&mut self, question: &Question) -> Option<bool> {
        if question.batch == question.parent {
            // The leader's turn passed without transactions.
            return self.hold(&question.parent).then_some(true);
        }
        let Some(batch) = self.look(&question.batch) else {
            self.want(question.batch);
            return None;
        };
        if batch.epoch != question.epoch || batch.chain != self.head.chain || batch.parent != question.parent {
            return Some(false);
        }
        let Some(parent) = self.meta(&question.parent) else {
            self.want(question.parent);
            return None;
        };
        if !follows(&batch, &parent) {
            return Some(false);
        }
        // Others may be right about the time; this node does not vote until its clock agrees.
        if batch.time_ms.abs_diff(self.clock.clock_ms()) > CLOCK_SKEW_MS {
            return None;
        }
        self.hold(&question.batch).then_some(true)
    }

    fn look(&mut self, digest: &crate::ids::Digest) -> Option<Arc<Batch>> {
        if let Some(offer) = self.offers.peek(digest) {
            return Some(offer.batch.clone());
        }
        self.store.batch(digest).inspect_err(|error| tracing::error!(%error, "a batch could not be read")).ok()?
    }
}

/// Whether a batch may stand behind that parent: the same answer on every node.
fn follows(batch: &Batch, parent: &Meta) -> bool {
    let after = if batch.txs.is_empty() { EMPTY_AFTER_MS } else { 1 };
    batch.height == parent.height.next() && batch.time_ms >= parent.time_ms.saturating_add(after)
}
