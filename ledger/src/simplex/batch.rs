//! Batches: what the members agree on. An ordered batch is executed by every node, with the same
//! result (docs/spec/network.md#batches).

use std::io::{Error, ErrorKind, Read};

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::{DecodeError, tagged_hash};

use crate::block::{BLOCK_TX_BYTES_MAX, BLOCK_TXS_MAX};
use crate::codec::{decode, encode};
use crate::ids::{BlockHeight, ChainId, Digest};
use crate::tx::{SignedTx, TX_BYTES_MAX, TxError};

/// Most bytes of one encoded batch: its transactions, the last of which may overshoot, and the
/// fields before them.
pub const BATCH_BYTES_MAX: usize = BLOCK_TX_BYTES_MAX + TX_BYTES_MAX + 128;
/// How far a batch's time may lie from a validator's clock when it votes, in milliseconds.
pub const CLOCK_SKEW_MS: u64 = 10_000;
/// An empty batch may follow the one before after so many milliseconds: it lets deadlines pass.
pub const EMPTY_AFTER_MS: u64 = 2_000;

/// Transactions in the order in which every node executes them.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct Batch {
    /// The ledger.
    pub chain: ChainId,
    /// How often the members have changed before.
    pub epoch: u64,
    /// The block that it becomes.
    pub height: BlockHeight,
    /// Digest of the batch before; zeros for the first.
    pub parent: Digest,
    /// The block's time, in milliseconds since 1970-01-01 UTC; after that of the batch before.
    pub time_ms: u64,
    /// The transactions, each once.
    pub txs: Vec<SignedTx>,
}

impl BorshDeserialize for Batch {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let (chain, epoch, height, parent, time_ms) = BorshDeserialize::deserialize_reader(reader)?;
        let count = u32::deserialize_reader(reader)?;
        // Refused before anything is read into memory for them.
        if usize::try_from(count).map_or(true, |count| count > BLOCK_TXS_MAX) {
            return Err(Error::new(ErrorKind::InvalidData, format!("{count} transactions")));
        }
        let txs = (0..count).map(|_| SignedTx::deserialize_reader(reader)).collect::<std::io::Result<_>>()?;
        Ok(Batch { chain, epoch, height, parent, time_ms, txs })
    }
}

/// Why bytes are no batch, whatever comes before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Too large.
    #[error("a batch of {0} bytes: at most {BATCH_BYTES_MAX} are read")]
    Size(usize),
    /// Not canonical borsh of a batch.
    #[error("{0}")]
    Encoding(#[from] DecodeError),
    /// Its transactions are more than a block holds.
    #[error("a batch holds at most {BLOCK_TXS_MAX} transactions of {BLOCK_TX_BYTES_MAX} bytes before the last")]
    Full,
    /// A transaction breaks a bound.
    #[error("its transaction {at}: {source}")]
    Transaction {
        /// Its position.
        at: usize,
        /// The bound.
        source: TxError,
    },
    /// A transaction is for another ledger.
    #[error("its transaction {at} is for another ledger")]
    OtherChain {
        /// Its position.
        at: usize,
    },
    /// A transaction is in it twice.
    #[error("its transaction {at} is in it before")]
    Twice {
        /// Its position.
        at: usize,
    },
}

impl Batch {
    /// What validators vote for.
    pub fn digest(&self) -> Digest {
        digest_of(&encode(self))
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads canonical bytes and checks every bound that needs neither state nor the batch before.
    /// Signatures are checked in execution: a transaction that is refused there is in no block.
    ///
    /// # Errors
    /// [`BatchError`].
    pub fn decode(bytes: &[u8]) -> Result<Batch, BatchError> {
        if bytes.len() > BATCH_BYTES_MAX {
            return Err(BatchError::Size(bytes.len()));
        }
        let batch: Batch = decode("batch", bytes)?;
        let mut before = 0usize;
        let mut seen = std::collections::BTreeSet::new();
        for (at, tx) in batch.txs.iter().enumerate() {
            if before >= BLOCK_TX_BYTES_MAX {
                return Err(BatchError::Full);
            }
            before += borsh::object_length(tx).unwrap_or(usize::MAX);
            tx.validate().map_err(|source| BatchError::Transaction { at, source })?;
            if tx.tx.chain != batch.chain {
                return Err(BatchError::OtherChain { at });
            }
            if !seen.insert(tx.hash()) {
                return Err(BatchError::Twice { at });
            }
        }
        Ok(batch)
    }
}

/// The digest of an encoded batch.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest(tagged_hash("sealgate/batch/1", &[bytes]))
}
