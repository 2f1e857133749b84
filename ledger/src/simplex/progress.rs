//! From what is final to what is executed, and to whoever waits for it.

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Sender;

use super::core::{Core, Sent};
use super::executor::{Done, Job};
use super::store::Meta;
use super::time::Time;
use crate::block::Header;
use crate::engine::Reply;
use crate::ids::{BlockHeight, Digest, TxHash};
use crate::member::MemberSet;

/// How long execution pauses when the disk is full.
const PAUSE_MS: u64 = 1_000;
/// Executed batches of which the digest is remembered.
const REMEMBERED: usize = 4096;

impl<E: Time, S: Sender<PublicKey = PublicKey>> Core<E, S> {
    /// Has the next final batch executed, if there is one and nothing is being executed.
    pub(super) fn advance(&mut self) {
        let Some((epoch, _, target)) = self.target else { return };
        if self.busy || epoch != self.members.epoch || target == self.head.batch || self.now_ms() < self.pause_until_ms
        {
            return;
        }
        let (mut at, mut next) = (target, None);
        while at != self.head.batch {
            let Some(meta) = self.meta(&at) else {
                self.want(at);
                return;
            };
            if meta.height <= self.head.height {
                // Behind the head: either long executed, or another history than ours.
                if next.is_some() {
                    self.stop(&format!(
                        "the members agreed on batch {} for block {}, and this node has executed another one there",
                        at.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
                        meta.height
                    ));
                }
                self.target = None;
                return;
            }
            next = Some(at);
            at = meta.parent;
        }
        let Some(next) = next else { return };
        if !self.hold(&next) {
            return;
        }
        match self.store.batch(&next) {
            Ok(Some(batch)) => {
                let verified = batch.txs.iter().map(|tx| self.pool.verified(tx)).collect();
                self.busy = true;
                let _ = self.jobs.send(Job::Execute { digest: next, batch, verified });
            }
            Ok(None) => self.want(next),
            Err(error) => tracing::error!(%error, "a batch could not be read"),
        }
    }

    pub(super) fn done(&mut self, done: Done) {
        self.busy = false;
        match done {
            Done::Executed { header, members, results } => {
                for (hash, reply) in results {
                    self.settle(&hash, reply);
                }
                self.moved(header, members);
            }
            Done::Adopted { header, members, checkpoint } => {
                let waiting: Vec<TxHash> = self.sent.keys().copied().collect();
                for hash in waiting {
                    if let Some(receipt) = self.receipt_of(&hash) {
                        self.settle(&hash, Ok(receipt));
                    }
                }
                self.moved(header, members);
                self.certified(checkpoint);
            }
            Done::Forged(from) => self.forged(from),
            Done::Void => {}
            Done::Later(what) => {
                tracing::error!(
                    what,
                    "a block could not be written: make room on the disk; this node waits until then"
                );
                self.pause_until_ms = self.now_ms().saturating_add(PAUSE_MS);
            }
            Done::Failed(why) => self.stop(&why),
        }
    }

    pub(super) fn settle(&mut self, hash: &TxHash, reply: Reply) {
        self.pool.remove(hash);
        for sent in self.sent.remove(hash).unwrap_or_default() {
            match &reply {
                Ok(receipt) => self.reply_when_certified(receipt.height, sent, reply.clone()),
                Err(_) => sent.answer(reply.clone()),
            }
        }
    }

    pub(super) fn reply_when_certified(&mut self, height: BlockHeight, to: Sent, reply: Reply) {
        if height <= self.ledger.certified().header.height {
            to.answer(reply);
        } else {
            self.receipts.entry(height).or_default().push((to, reply));
        }
    }

    /// The ledger has another head.
    pub(super) fn moved(&mut self, header: Header, members: MemberSet) {
        self.remember(&header);
        self.store.executed(header.height);
        let changed = members.epoch != self.members.epoch;
        self.head = header;
        self.members = members;
        self.catchup.moved();
        for hash in self.pool.expire(self.head.height) {
            self.give_up(&hash);
        }
        if changed {
            self.members_changed();
        }
        self.sign_head(false);
    }

    pub(super) fn remember(&mut self, header: &Header) {
        let meta =
            Meta { height: header.height, epoch: header.epoch, time_ms: header.time_ms, parent: Digest([0; 32]) };
        if self.executed.insert(header.batch, meta).is_none() {
            self.order.push_back(header.batch);
        }
        while self.order.len() > REMEMBERED {
            if let Some(old) = self.order.pop_front() {
                self.executed.remove(&old);
            }
        }
    }
}
