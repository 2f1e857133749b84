//! The door: what peers send is decoded, bounded and checked here before the core sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::time::Time;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Receiver;
use tokio::sync::mpsc;

use super::batch::{Batch, digest_of};
use super::message::{BLOCKS_MAX, Message};
use crate::account::Signature;
use crate::block::Block;
use crate::chain;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::codec::decode;
use crate::ids::{BlockHeight, Digest};

/// What a peer has sent, as far as it can be checked without the core's state.
pub(crate) enum Arrival {
    /// A batch within its bounds.
    Batch { digest: Digest, batch: Batch, bytes: Vec<u8> },
    /// Asks for a batch.
    WantBatch(Digest),
    /// A signature of a checkpoint, not yet checked.
    Signature { checkpoint: Checkpoint, signature: Signature, again: bool },
    /// Where the peer says it stands.
    Status { epoch: u64, height: BlockHeight, checkpoint: Option<SignedCheckpoint> },
    /// Asks for blocks.
    WantBlocks(BlockHeight),
    /// Blocks, decoded.
    Blocks { blocks: Vec<Block>, checkpoint: Option<SignedCheckpoint>, bytes: usize },
}

/// How many messages of a kind are taken from a peer in a second; four times as many at once.
const BATCHES: u64 = 50;
const ASKED_BATCHES: u64 = 100;
const ASKED_BLOCKS: u64 = 5;
const SIGNATURES: u64 = 500;
const STATUSES: u64 = 5;
const BLOCKS: u64 = 20;

/// What a message costs whoever takes it, as the share of a second that its kind has.
fn kind(message: &Message) -> (usize, u64) {
    match message {
        Message::Batch(_) => (0, BATCHES),
        Message::WantBatch(_) => (1, ASKED_BATCHES),
        Message::WantBlocks(_) => (2, ASKED_BLOCKS),
        Message::Signature { .. } => (3, SIGNATURES),
        Message::Status { .. } => (4, STATUSES),
        Message::Blocks { .. } => (5, BLOCKS),
    }
}

pub(crate) struct Gate<E> {
    clock: E,
    ledger: Arc<chain::Core>,
    /// Thousandths of messages that are left to each peer of each kind, and when that was.
    shares: BTreeMap<(PublicKey, usize), (u64, u64)>,
}

impl<E: Time> Gate<E> {
    pub(crate) fn new(clock: E, ledger: Arc<chain::Core>) -> Gate<E> {
        Gate { clock, ledger, shares: BTreeMap::new() }
    }

    /// Whether the peer may send another message of this kind.
    fn has_share(&mut self, from: &PublicKey, (kind, per_second): (usize, u64)) -> bool {
        let (now, full) = (self.clock.now_ms(), per_second * 4_000);
        let (left, at) = self.shares.get(&(from.clone(), kind)).copied().unwrap_or((full, now));
        let left = left.saturating_add(now.saturating_sub(at).saturating_mul(per_second)).min(full);
        let rest = left.checked_sub(1_000);
        self.shares.insert((from.clone(), kind), (rest.unwrap_or(left), now));
        rest.is_some()
    }

    /// Works until the connections are closed. While the core is busy it waits, and what peers send
    /// meanwhile is dropped where it arrives, each peer's own.
    pub(crate) async fn run<R>(mut self, mut receiver: R, arrivals: mpsc::Sender<(PublicKey, Arrival)>)
    where
        R: Receiver<PublicKey = PublicKey>,
    {
        while let Ok((from, bytes)) = receiver.recv().await {
            let Some(arrival) = self.admit(&from, bytes.as_ref()) else { continue };
            if arrivals.send((from, arrival)).await.is_err() {
                return;
            }
        }
    }

    fn admit(&mut self, from: &PublicKey, bytes: &[u8]) -> Option<Arrival> {
        let refuse = |what: &dyn std::fmt::Display| tracing::warn!(peer = %from, "a message is refused: {what}");
        let message = Message::decode(bytes).inspect_err(|error| refuse(error)).ok()?;
        if !self.has_share(from, kind(&message)) {
            tracing::debug!(peer = %from, "a message is dropped: the peer sends too many of its kind");
            return None;
        }
        match message {
            Message::Batch(bytes) => match Batch::decode(&bytes) {
                Ok(batch) if batch.chain == self.ledger.head().chain => {
                    Some(Arrival::Batch { digest: digest_of(&bytes), batch, bytes })
                }
                Ok(_) => None,
                Err(error) => {
                    refuse(&error);
                    None
                }
            },
            Message::WantBatch(digest) => Some(Arrival::WantBatch(digest)),
            Message::Signature { checkpoint, signature, again } => {
                Some(Arrival::Signature { checkpoint, signature, again })
            }
            Message::Status { epoch, height, checkpoint } => Some(Arrival::Status { epoch, height, checkpoint }),
            Message::WantBlocks(height) => Some(Arrival::WantBlocks(height)),
            Message::Blocks { blocks, checkpoint } if blocks.len() <= BLOCKS_MAX => {
                let size = bytes.len();
                let blocks: Result<Vec<Block>, _> = blocks.iter().map(|bytes| decode("block", bytes)).collect();
                let blocks = blocks.inspect_err(|error| refuse(error)).ok()?;
                Some(Arrival::Blocks { blocks, checkpoint, bytes: size })
            }
            Message::Blocks { .. } => None,
        }
    }
}
