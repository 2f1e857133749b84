//! Blocks: entries in order under a header that chains to the one before
//! (docs/spec/ledger.md#blocks).

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use sealgate_circuits::bytes::tagged_hash;
use serde::{Deserialize, Serialize};

use crate::codec::encode;
use crate::ids::{BlockHash, BlockHeight, ChainId, Digest, LogRoot, StateRoot, TxHash};
use crate::merkle::{NodeHash, leaf_hash};
use crate::tx::SignedTx;

/// Most transactions in one block.
pub const BLOCK_TXS_MAX: usize = 1024;
/// Most bytes of transactions in one block (one more is added while below).
pub const BLOCK_TX_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most requests that become unanswered in one block; more wait for the next.
pub const BLOCK_UNANSWERED_MAX: usize = 4096;
/// Most bytes of one encoded block: transactions, the last of which may overshoot, and the rest.
pub const BLOCK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What came of an included transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Accepted,
    /// The contract granted the request.
    Granted {
        /// The version the answer must be from.
        version: u32,
        /// The last block that may include the answer.
        deadline: BlockHeight,
    },
    /// The contract denied the request.
    Denied {
        /// Why.
        reason: DenyReason,
    },
}

/// Why the contract denied a request; the first of these that applies, in the order of checking.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DenyReason {
    /// The sender is not on the asset's list.
    NoGrant,
    /// The field may not be disclosed to the sender.
    Field {
        /// Its position in the schema.
        column: u8,
    },
    /// The predicate may not be proven to the sender.
    Predicate {
        /// Position of the item in the question.
        item: u8,
    },
    /// The sender may not ask whether records exist.
    Existence,
    /// The grant is for another purpose.
    Purpose,
    /// The grant's window has not begun.
    NotYet,
    /// The grant's window is over.
    Expired,
    /// The grant's quota is used up.
    QuotaUsed,
    /// The asset was withdrawn.
    Withdrawn,
    /// The column may not be fetched whole by the sender.
    Whole {
        /// Its position in the schema.
        column: u8,
    },
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DenyReason::NoGrant => f.write_str("the asset's owner has granted the sender nothing"),
            DenyReason::Field { column } => {
                write!(f, "the grant does not let the sender see field {} of the schema", u16::from(*column) + 1)
            }
            DenyReason::Predicate { item } => {
                write!(
                    f,
                    "the grant does not name the predicate that item {} of the question asks",
                    u16::from(*item) + 1
                )
            }
            DenyReason::Existence => f.write_str("the grant does not let the sender ask whether a record exists"),
            DenyReason::Purpose => f.write_str("the grant is for another purpose than the request states"),
            DenyReason::NotYet => f.write_str("the grant's time has not begun"),
            DenyReason::Expired => f.write_str("the grant's time is over"),
            DenyReason::QuotaUsed => f.write_str("the grant's quota is used up"),
            DenyReason::Withdrawn => f.write_str("the asset was withdrawn"),
            DenyReason::Whole { column } => {
                write!(f, "the grant does not let the sender fetch all of column {}", u16::from(*column) + 1)
            }
        }
    }
}

/// One line of the ledger: a leaf of its tree.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The block that holds it.
    pub height: BlockHeight,
    /// What happened.
    pub body: EntryBody,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryBody {
    /// A transaction was executed.
    Transaction {
        /// The transaction.
        tx: Box<SignedTx>,
        /// What came of it.
        outcome: Outcome,
    },
    /// A granted request was not answered in time.
    Unanswered {
        /// The request.
        request: TxHash,
    },
}

impl Entry {
    /// Its hash as a leaf of the tree.
    pub fn leaf(&self) -> NodeHash {
        leaf_hash(&encode(self))
    }
}

/// What a block says about itself and all before it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The ledger.
    pub chain: ChainId,
    /// Its position.
    pub height: BlockHeight,
    /// When it was made, in milliseconds since 1970-01-01 UTC; strictly increasing.
    pub time_ms: u64,
    /// Hash of the header before; zeros for the first.
    pub previous: BlockHash,
    /// Position of its first entry in the tree.
    pub first_entry: u64,
    /// Entries in the tree, this block's included.
    pub tree_size: u64,
    /// Root of the tree over them.
    pub log_root: LogRoot,
    /// How often the members had changed before this block; those of this epoch sign it.
    pub epoch: u64,
    /// Digest of the ordered transactions that members agreed on; zeros on an embedded ledger.
    pub batch: Digest,
    /// Root of the state tree after this block (docs/spec/state.md).
    pub state_root: StateRoot,
}

impl Header {
    /// The block's hash. It covers the entries through the root.
    pub fn hash(&self) -> BlockHash {
        BlockHash(tagged_hash("sealgate/block/1", &[&encode(self)]))
    }

    /// The time of a block that follows this one when the clock says `clock_ms`. A clock that
    /// runs behind stops nothing: the ledger's time then advances by a millisecond a block.
    pub fn next_time_ms(&self, clock_ms: u64) -> u64 {
        clock_ms.max(self.time_ms.saturating_add(1))
    }
}

/// A header and the entries it adds.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// The entries, at positions `first_entry..tree_size`.
    pub entries: Vec<Entry>,
}

/// What a sender gets for a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The transaction.
    pub hash: TxHash,
    /// The block that includes it.
    pub height: BlockHeight,
    /// Its entry's position in the tree.
    pub entry_index: u64,
    /// What came of it.
    pub outcome: Outcome,
}
