//! The door: what peers send is decoded, bounded and checked here before the core sees it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::time::Time;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Receiver;
use tokio::sync::mpsc;

use super::batch::Batch;
use super::message::{BLOCKS_MAX, Message, TXS_MAX};
use super::pool::Rates;
use crate::account::Signature;
use crate::block::Block;
use crate::chain;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::codec::decode;
use crate::ids::{BlockHeight, Digest, TxHash};
use crate::state::query;
use crate::state::verify::{Unverified, VerifiedTx, verify_all};
use crate::tx::SignedTx;

/// Transactions whose hash is remembered, so that none is checked twice.
const REMEMBERED: usize = 64 * 1024;

/// What a peer has sent, as far as it can be checked without the core's state.
pub(crate) enum Arrival {
    /// Transactions with good signatures, within their senders' rates, on no block yet.
    Transactions(Vec<VerifiedTx>),
    /// A batch within its bounds.
    Batch { batch: Batch, bytes: Vec<u8> },
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

pub(crate) struct Gate<E> {
    clock: E,
    ledger: Arc<chain::Core>,
    rates: Rates,
    seen: HashSet<TxHash>,
    order: VecDeque<TxHash>,
}

impl<E: Time> Gate<E> {
    pub(crate) fn new(clock: E, ledger: Arc<chain::Core>, rates: Rates) -> Gate<E> {
        Gate { clock, ledger, rates, seen: HashSet::new(), order: VecDeque::new() }
    }

    /// Works until the connections are closed. What the core is too busy for is dropped.
    pub(crate) async fn run<R>(mut self, mut receiver: R, arrivals: mpsc::Sender<(PublicKey, Arrival)>)
    where
        R: Receiver<PublicKey = PublicKey>,
    {
        while let Ok((from, bytes)) = receiver.recv().await {
            let Some(arrival) = self.admit(&from, bytes.as_ref()) else { continue };
            if let Err(error) = arrivals.try_send((from, arrival)) {
                if matches!(error, mpsc::error::TrySendError::Closed(_)) {
                    return;
                }
                tracing::debug!("a message was dropped: the node is busy");
            }
        }
    }

    fn admit(&mut self, from: &PublicKey, bytes: &[u8]) -> Option<Arrival> {
        let refuse = |what: &dyn std::fmt::Display| tracing::warn!(peer = %from, "a message is refused: {what}");
        match Message::decode(bytes).inspect_err(|error| refuse(error)).ok()? {
            Message::Transactions(txs) if txs.len() <= TXS_MAX => {
                let unverified: Vec<_> = txs.iter().filter_map(|bytes| self.unseen(bytes)).collect();
                let verified = verify_all(unverified).into_iter().filter_map(Result::ok);
                let good: Vec<VerifiedTx> = verified.filter(|tx| self.take(tx)).collect();
                (!good.is_empty()).then_some(Arrival::Transactions(good))
            }
            Message::Transactions(_) => None,
            Message::Batch(bytes) => match Batch::decode(&bytes) {
                Ok(batch) if batch.chain == self.ledger.head().chain => Some(Arrival::Batch { batch, bytes }),
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

    /// A transaction that a peer passes on, if it is new here.
    fn unseen(&self, bytes: &[u8]) -> Option<Unverified> {
        let signed = SignedTx::decode(bytes).ok()?;
        let unverified = Unverified::new(&self.ledger.head().chain, signed, &self.ledger.index).ok()?;
        let hash = unverified.hash();
        let known = self.seen.contains(&hash) || query::receipt(&self.ledger.index, &hash).ok()?.is_some();
        (!known).then_some(unverified)
    }

    /// Whether it is taken: the sender's rate holds here as it does where the transaction was
    /// submitted.
    fn take(&mut self, tx: &VerifiedTx) -> bool {
        let hash = tx.hash();
        if self.seen.contains(&hash) || !self.rates.admit(tx.signed(), self.clock.now_ms()) {
            return false;
        }
        self.seen.insert(hash);
        self.order.push_back(hash);
        if self.order.len() > REMEMBERED {
            self.order.pop_front().inspect(|oldest| _ = self.seen.remove(oldest));
        }
        true
    }
}
