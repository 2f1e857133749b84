//! Batches: which of them this node holds, and which it asks its peers for.

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Recipients, Sender};

use super::core::Core;
use super::keys::public_key;
use super::message::Message;
use super::store::Meta;
use super::time::Time;
use crate::ids::Digest;

/// How long a batch is asked for at one peer before the next is asked.
const ASK_AGAIN_MS: u64 = 300;
/// Nobody wants a batch any more that was not found for so long.
const WANTED_MS: u64 = 60_000;
/// Most batches that are asked for at one time.
const WANTED_MAX: usize = 256;

/// A batch that is asked for.
pub(super) struct Wanted {
    since_ms: u64,
    asked_ms: u64,
    asked: usize,
}

impl<E: Time, S: Sender<PublicKey = PublicKey>> Core<E, S> {
    /// What is known of a batch: stored, executed, offered, or the epoch's beginning.
    pub(super) fn meta(&self, digest: &Digest) -> Option<Meta> {
        self.store
            .meta(digest)
            .or_else(|| self.executed.get(digest).copied())
            .or_else(|| self.offers.peek(digest).map(|offer| Meta::of(&offer.batch)))
    }

    /// Whether this node holds a batch durably, or its block; stores it if a peer has sent it, and
    /// asks for it otherwise.
    pub(super) fn hold(&mut self, digest: &Digest) -> bool {
        if self.store.meta(digest).is_some() || self.executed.contains_key(digest) {
            return true;
        }
        let Some(offer) = self.offers.peek(digest).cloned() else {
            self.want(*digest);
            return false;
        };
        match self.store.put(offer.batch, &offer.bytes) {
            Ok(_) => {
                self.offers.remove(digest);
                true
            }
            Err(error) => {
                self.not_stored(&error);
                false
            }
        }
    }

    /// Without room on the disk the node does not vote, and goes on when there is some; after a
    /// failed sync it stops.
    pub(super) fn not_stored(&mut self, error: &std::io::Error) {
        if self.store.is_broken() {
            self.stop(&format!("a batch could not be made durable: {error}"));
        } else {
            tracing::error!(%error, "a batch could not be stored: make room on the disk; this node does not vote until then");
        }
    }

    pub(super) fn want(&mut self, digest: Digest) {
        if self.wanted.contains_key(&digest) || self.wanted.len() >= WANTED_MAX {
            return;
        }
        let now = self.now_ms();
        self.wanted.insert(digest, Wanted { since_ms: now, asked_ms: 0, asked: 0 });
        self.ask(now);
    }

    pub(super) fn ask(&mut self, now: u64) {
        self.wanted.retain(|_, wanted| now.saturating_sub(wanted.since_ms) < WANTED_MS);
        let peers = self.peers();
        let mut asks = Vec::new();
        for (digest, wanted) in &mut self.wanted {
            // A proposal travels with its vote: it is given a moment before it is asked for.
            let due =
                if wanted.asked == 0 { wanted.since_ms + ASK_AGAIN_MS / 3 } else { wanted.asked_ms + ASK_AGAIN_MS };
            if due <= now && !peers.is_empty() {
                let start = usize::from(digest.0.first().copied().unwrap_or_default());
                if let Some(peer) = peers.get((start + wanted.asked) % peers.len()) {
                    asks.push((peer.clone(), *digest));
                }
                (wanted.asked_ms, wanted.asked) = (now, wanted.asked + 1);
            }
        }
        for (peer, digest) in asks {
            self.send(Recipients::One(peer), &Message::WantBatch(digest), false);
        }
    }

    /// The other members.
    pub(super) fn peers(&self) -> Vec<PublicKey> {
        let me = self.secret.verify_key();
        let others = self.members.members.iter().filter(|member| member.node_key != me);
        others.filter_map(|member| public_key(&member.node_key)).collect()
    }

    pub(super) fn send(&mut self, to: Recipients<PublicKey>, message: &Message, urgent: bool) {
        drop(self.net.send(to, message.encode(), urgent));
    }
}
