//! Batches that peers sent and nobody has voted for yet.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use commonware_cryptography::ed25519::PublicKey;

use super::batch::Batch;
use crate::ids::Digest;

/// Most batches kept of one peer, and most bytes.
const PEER_BATCHES: usize = 16;
const PEER_BYTES: usize = 24 * 1024 * 1024;

/// A batch and its encoding.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) batch: Arc<Batch>,
    pub(crate) bytes: Arc<Vec<u8>>,
}

/// The last batches of each peer: who sends more loses its own.
#[derive(Default)]
pub(crate) struct Offers {
    offers: HashMap<Digest, (PublicKey, Offer)>,
    peers: HashMap<PublicKey, VecDeque<Digest>>,
}

impl Offers {
    pub(crate) fn put(&mut self, from: &PublicKey, digest: Digest, offer: Offer) {
        if self.offers.contains_key(&digest) {
            return;
        }
        let queue = self.peers.entry(from.clone()).or_default();
        queue.push_back(digest);
        self.offers.insert(digest, (from.clone(), offer));
        let mut bytes: usize = queue.iter().filter_map(|of| self.offers.get(of)).map(|(_, of)| of.bytes.len()).sum();
        while queue.len() > PEER_BATCHES || bytes > PEER_BYTES && queue.len() > 1 {
            let Some((_, dropped)) = queue.pop_front().and_then(|oldest| self.offers.remove(&oldest)) else { continue };
            bytes -= dropped.bytes.len();
        }
    }

    pub(crate) fn peek(&self, digest: &Digest) -> Option<&Offer> {
        self.offers.get(digest).map(|(_, offer)| offer)
    }

    pub(crate) fn remove(&mut self, digest: &Digest) -> Option<Offer> {
        let (from, offer) = self.offers.remove(digest)?;
        if let Some(queue) = self.peers.get_mut(&from) {
            queue.retain(|of| of != digest);
        }
        Some(offer)
    }
}
