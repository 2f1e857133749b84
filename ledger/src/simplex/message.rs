//! What nodes tell each other besides the agreement's own messages
//! (docs/spec/network.md#messages).

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::DecodeError;

use crate::account::Signature;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::codec::{decode, encode};
use crate::ids::{BlockHeight, Digest};

/// Most bytes of transactions in one message.
pub(crate) const TXS_BYTES: usize = 128 * 1024;
/// Most transactions in one message.
pub(crate) const TXS_MAX: usize = 512;
/// Most blocks in one message.
pub(crate) const BLOCKS_MAX: usize = 256;
/// A message of blocks is closed when it reaches this many bytes.
pub(crate) const BLOCKS_BYTES: usize = 4 * 1024 * 1024;

/// A message on the ledger's channel.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Message {
    /// A batch, encoded: pushed by its proposer, or asked for.
    Batch(Vec<u8>),
    /// Asks for a batch.
    WantBatch(Digest),
    /// The sender's signature of the checkpoint that its copy of the ledger has there.
    Signature {
        /// What it signed.
        checkpoint: Checkpoint,
        /// Its signature.
        signature: Signature,
        /// Whether it was said before: whoever has the checkpoint already sends it.
        again: bool,
    },
    /// The sender's last checkpoint that a quorum signed, and the epoch of its head.
    Status {
        /// How often the members had changed by the sender's head.
        epoch: u64,
        /// The height of that head.
        height: BlockHeight,
        /// The checkpoint; none before the first block.
        checkpoint: Option<SignedCheckpoint>,
    },
    /// Asks for blocks from this height on.
    WantBlocks(BlockHeight),
    /// Consecutive blocks of one epoch, encoded, and the checkpoint of the last.
    Blocks {
        /// The blocks.
        blocks: Vec<Vec<u8>>,
        /// The last one's checkpoint; none if it is so far on that another message has it.
        checkpoint: Option<SignedCheckpoint>,
    },
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// # Errors
    /// [`DecodeError`]. The frame has bounded the size.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
        decode("message between nodes", bytes)
    }
}

/// Transactions to be ordered, each as [`SignedTx::encode`](crate::tx::SignedTx::encode) writes it:
/// the only message on the channel of transactions.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Transactions(pub(crate) Vec<Vec<u8>>);

impl Transactions {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// # Errors
    /// [`DecodeError`]. The frame has bounded the size.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Transactions, DecodeError> {
        decode("transactions from a node", bytes)
    }
}
