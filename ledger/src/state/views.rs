//! What the state holds, as it is stored and shown.

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use sealgate_circuits::bytes::PlaceKey;
use sealgate_circuits::question::Shape;
use sealgate_circuits::schema::Schema;
use serde::{Deserialize, Serialize};

use super::rejection::Rejection;
use crate::account::AccountPublic;
use crate::block::DenyReason;
use crate::ids::{Address, AssetId, BlockHeight, ChainId, Digest, SampleSeed, TxHash};
use crate::tx::{DeclineReason, GrantTerms, Handing, SampleOutcome, TextContent, VersionInfo};

/// An enrolled account.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountView {
    /// Its address.
    pub address: Address,
    /// Its keys and name.
    pub account: AccountPublic,
    /// The block that enrolled it; 0 for the first members.
    pub height: BlockHeight,
    /// Who enrolled it: itself or a member; a successor's is that of the account it succeeded.
    pub enrolled_by: Address,
    /// Who stands behind the name, sealed; empty if the name is the real one.
    #[serde(with = "crate::codec::hex_bytes")]
    #[schemars(with = "crate::codec::HexText")]
    pub identity: Vec<u8>,
    /// The block that closed it, if one did.
    pub closed: Option<BlockHeight>,
    /// The account that replaced it, if one did: by its own word, or by its members' decision.
    pub successor: Option<Address>,
    /// The account that it replaced by that account's word: what that one was granted holds for it.
    pub succeeds: Option<Address>,
}

impl AccountView {
    /// An account enrolled in the block `height` under its own name.
    pub(crate) fn enrolled(account: &AccountPublic, height: BlockHeight, enrolled_by: Address) -> AccountView {
        AccountView {
            address: account.address(),
            account: account.clone(),
            height,
            enrolled_by,
            identity: Vec::new(),
            closed: None,
            successor: None,
            succeeds: None,
        }
    }

    /// Whether it may still act.
    pub(crate) fn check_open(&self) -> Result<(), Rejection> {
        match self.closed {
            Some(height) => Err(Rejection::AccountClosed { account: self.address, height, successor: self.successor }),
            None => Ok(()),
        }
    }
}

/// An asset's contract.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetView {
    /// Its id.
    pub id: AssetId,
    /// Who may change it.
    pub owner: Address,
    /// Its name, unique for the owner among assets and texts.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What it holds.
    pub description: String,
    /// [`TABLE`](crate::tx::TABLE) or [`FILE`](crate::tx::FILE).
    pub data_type: String,
    /// Its fields.
    pub schema: Schema,
    /// Public key of the function that gives keys their places.
    pub place_key: PlaceKey,
    /// For each column the most bits that predicates may tell of it about one record.
    pub budgets: Vec<u16>,
    /// Number of the current version.
    pub current: u32,
    /// The block that withdrew it, if one did.
    pub withdrawn: Option<BlockHeight>,
    /// Entries of the transfers that handed it from one owner to the next, at most
    /// [`HANDED_MAX`](super::HANDED_MAX).
    pub handed: Vec<u64>,
    /// The block that registered it.
    pub height: BlockHeight,
    /// The registration's entry.
    pub entry_index: u64,
}

impl AssetView {
    /// What `to` agrees to who is to be given the asset as it stands, up to the block `expiry`.
    pub fn handing(&self, chain: ChainId, to: Address, expiry: BlockHeight) -> Handing {
        // At most HANDED_MAX.
        let handed = u32::try_from(self.handed.len()).unwrap_or(u32::MAX);
        Handing { chain, asset: self.id, from: self.owner, to, handed, expiry }
    }

    /// Whether anything may still be done to it.
    pub(crate) fn check_stands(&self) -> Result<(), Rejection> {
        match self.withdrawn {
            Some(height) => Err(Rejection::Withdrawn { asset: self.id, height }),
            None => Ok(()),
        }
    }
}

/// A published version.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionView {
    /// The asset.
    pub asset: AssetId,
    /// What was published.
    pub info: VersionInfo,
    /// The block that published it.
    pub height: BlockHeight,
    /// The entry that published it.
    pub entry_index: u64,
}

/// A small text on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextView {
    /// Its id, made as an asset's.
    pub id: AssetId,
    /// Who may replace it.
    pub owner: Address,
    /// Its name, unique for the owner among texts and assets.
    pub name: String,
    /// Its title.
    pub title: String,
    /// The text.
    pub content: TextContent,
    /// The block that put it.
    pub height: BlockHeight,
    /// Its entry.
    pub entry_index: u64,
}

/// A line of an asset's list.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantView {
    /// The asset.
    pub asset: AssetId,
    /// Who may ask.
    pub to: Address,
    /// What may be asked.
    pub terms: GrantTerms,
    /// How many keys count against the quota: of requests granted, and answered or still open.
    pub used: u64,
    /// The transaction that granted it.
    pub granted_by: TxHash,
    /// The block that granted it.
    pub height: BlockHeight,
}

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestView {
    /// The transaction.
    pub hash: TxHash,
    /// The asset.
    pub asset: AssetId,
    /// Who asked.
    pub sender: Address,
    /// What was asked for.
    pub asked: Asked,
    /// Why it was asked; nothing for a sample.
    pub purpose: String,
    /// Reference to a consent.
    pub consent: Option<Digest>,
    /// The transaction of the grant that stood when it was asked, if any did.
    pub grant: Option<TxHash>,
    /// The block that recorded it.
    pub height: BlockHeight,
    /// That block's time.
    pub time_ms: u64,
    /// Its entry.
    pub entry_index: u64,
    /// What became of it.
    pub status: RequestStatus,
    /// What the auditor found in a delivered sample.
    pub checked: Option<SampleCheck>,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// An answer to a question.
    Question {
        /// The question without its key and free constants.
        #[serde(with = "crate::codec::borsh_hex")]
        #[schemars(with = "crate::codec::HexText")]
        shape: Shape,
        /// Commitment to the rest of the question.
        commitment: Digest,
    },
    /// Whole columns, or a file.
    Whole {
        /// Their positions.
        columns: Vec<u8>,
    },
    /// Records of the auditor's choosing.
    Sample {
        /// What they are chosen by.
        seed: SampleSeed,
        /// How many.
        records: u16,
    },
}

impl Asked {
    /// About how many keys, or for how many records by choice; none for whole columns.
    pub fn keys(&self) -> u16 {
        match self {
            Asked::Question { shape, .. } => shape.keys,
            Asked::Whole { .. } => 0,
            Asked::Sample { records, .. } => *records,
        }
    }

    /// What it takes from a grant's quota: a question its keys, whole columns together one.
    pub fn counts(&self) -> u64 {
        match self {
            Asked::Question { shape, .. } => u64::from(shape.keys),
            Asked::Whole { .. } => 1,
            Asked::Sample { .. } => 0,
        }
    }

    /// What was asked for, in words; a question as its shape.
    pub fn display(&self, schema: &Schema) -> String {
        match self {
            Asked::Question { shape, .. } => shape.display(schema),
            Asked::Whole { columns } => {
                let name = |column: &u8| schema.at(*column).map_or_else(|| column.to_string(), |c| c.name.clone());
                let names: Vec<String> = columns.iter().map(name).collect();
                format!("all of {}", names.join(", "))
            }
            Asked::Sample { records, .. } => format!("a sample of {records} records"),
        }
    }
}

/// What the auditor recorded of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleCheck {
    /// What was found.
    pub outcome: SampleOutcome,
    /// Hash of the report.
    pub report: Digest,
    /// The transaction.
    pub result: TxHash,
    /// The block that recorded it.
    pub height: BlockHeight,
    /// Its entry.
    pub entry_index: u64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestStatus {
    /// The contract denied it.
    Denied {
        /// Why.
        reason: DenyReason,
    },
    /// The contract granted it; the answer is awaited.
    Granted {
        /// The version it is bound to.
        version: u32,
        /// The last block that may include the answer.
        deadline: BlockHeight,
    },
    /// It was answered.
    Answered {
        /// The version the answer is from.
        version: u32,
        /// The transaction.
        answer: TxHash,
        /// The block that recorded the answer.
        height: BlockHeight,
        /// Hash over nonce, request, version, question and answers.
        binding: Digest,
        /// Hash of the sealed answer.
        sealed: Digest,
        /// Length of the sealed answer.
        bytes: u32,
        /// The answer's entry.
        entry_index: u64,
    },
    /// What it asks for was delivered: whole columns, a file or a sample.
    Delivered {
        /// The version it is from.
        version: u32,
        /// The transaction.
        delivery: TxHash,
        /// The block that recorded the delivery.
        height: BlockHeight,
        /// Hash of the sealed delivery.
        sealed: Digest,
        /// Bytes of all ciphertext that it opens, rounded up to a power of two.
        bytes: u64,
        /// The delivery's entry.
        entry_index: u64,
    },
    /// The owner declined it.
    Declined {
        /// Why.
        reason: DeclineReason,
        /// The block that says so.
        height: BlockHeight,
        /// The entry that says so.
        entry_index: u64,
    },
    /// It was not answered in time.
    Unanswered {
        /// The block that says so.
        height: BlockHeight,
    },
}
