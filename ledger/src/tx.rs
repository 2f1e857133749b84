//! Transactions: the only way anything on the ledger changes (docs/spec/ledger.md#transactions).

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use sealgate_circuits::bytes::{DecodeError, PlaceKey, TreeRoot, tagged_hash};
use sealgate_circuits::question::{Predicate, Shape};
use sealgate_circuits::schema::{Column, ColumnUse, Schema};
use sealgate_circuits::value::ColumnType;
use serde::{Deserialize, Serialize};

use crate::account::{AccountError, AccountPublic, AccountSecret, Signature};
use crate::codec::{decode, encode};
use crate::ids::{Address, AssetId, BlockHeight, ChainId, Digest, SampleSeed, TxHash};
use crate::member::Change;

mod bounds;
mod consent;

pub use bounds::{
    ACCESS_BYTES_MAX, ASSET_NAME_BYTES_MAX, BUDGET_BITS_MAX, CHARGES_BYTES_MAX, CIPHER_SUITES, DESCRIPTION_BYTES_MAX,
    FILE, HASH_ALGORITHMS, IDENTITY_BYTES_MAX, PREDICATES_MAX, PURPOSE_BYTES_MAX, SAMPLE_RECORDS_MAX, SEALED_BYTES_MAX,
    SEALED_BYTES_MIN, SEALED_OVERHEAD_BYTES, TABLE, TEXT_BYTES_MAX, TEXT_COPIES_MAX, TITLE_BYTES_MAX, TxError,
};
pub(crate) use bounds::{check_columns, check_terms, check_version};
pub use consent::{Consent, Handing};

/// Largest signed transaction, in bytes of its canonical encoding.
pub const TX_BYTES_MAX: usize = 384 * 1024;
/// How many blocks past the head a transaction's expiry may lie.
pub const EXPIRY_BLOCKS_MAX: u64 = 10_000;
/// Domain of a transaction's hash and signature.
const DOMAIN: &str = "sealgate/tx/1";

/// What a sender wants done.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tx {
    /// The ledger it is for.
    pub chain: ChainId,
    /// Whose signature it carries.
    pub sender: Address,
    /// Makes otherwise equal transactions differ. Not a sequence: replay is prevented by the
    /// ledger never including a hash twice and by the expiry, so that two processes of one
    /// account (the gateway that answers, the command that grants) need not take turns.
    pub nonce: u64,
    /// The last block that may include it, at most [`EXPIRY_BLOCKS_MAX`] past the head.
    pub expiry: BlockHeight,
    /// The change.
    pub body: TxBody,
}

/// The changes there are.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum TxBody {
    /// Enrols an account. Sent by the account itself where enrolment is open, or by a member.
    OpenAccount {
        /// The account.
        account: AccountPublic,
        /// Who stands behind the account's name, sealed to the auditor and perhaps to others
        /// (docs/spec/members.md#pseudonyms); empty if the name is the real one. At most
        /// [`IDENTITY_BYTES_MAX`] bytes.
        #[serde(with = "crate::codec::hex_bytes")]
        #[schemars(with = "crate::codec::HexText")]
        identity: Vec<u8>,
    },
    /// Deploys an asset's contract; the sender becomes its owner.
    RegisterAsset {
        /// Its name, unique for the owner: `[A-Za-z_][A-Za-z0-9_-]*`, at most 64 characters.
        name: String,
        /// A title for the catalogue.
        title: String,
        /// What it holds.
        description: String,
        /// [`TABLE`] or [`FILE`].
        data_type: String,
        /// Its fields; of a file [`file_schema`].
        schema: Schema,
        /// Public key of the function that gives keys their places; of a file zeros.
        place_key: PlaceKey,
        /// For each column the most bits that predicates may tell of it about one record, all
        /// requesters together, over all versions (docs/spec/budget.md). At most
        /// [`BUDGET_BITS_MAX`].
        budgets: Vec<u16>,
        /// Version 1.
        version: VersionInfo,
    },
    /// Publishes an asset's next version. Owner only.
    PublishVersion {
        /// The asset.
        asset: AssetId,
        /// The version; its number is the current one plus one.
        version: VersionInfo,
    },
    /// Puts an account on an asset's list, or replaces what it was granted and restarts its
    /// count. Owner only; the account need not be enrolled yet.
    Grant {
        /// The asset.
        asset: AssetId,
        /// Who may ask.
        to: Address,
        /// What may be asked.
        terms: GrantTerms,
    },
    /// Takes an account off an asset's list. Owner only.
    Revoke {
        /// The asset.
        asset: AssetId,
        /// Who may no longer ask.
        to: Address,
    },
    /// Asks a question; the contract decides and the decision is recorded either way.
    Request {
        /// The asset.
        asset: AssetId,
        /// The question without its key and free constants.
        #[serde(with = "crate::codec::borsh_hex")]
        #[schemars(with = "crate::codec::HexText")]
        shape: Shape,
        /// Why it is asked, at most [`PURPOSE_BYTES_MAX`] bytes.
        purpose: String,
        /// Commitment to the rest of the question.
        commitment: Digest,
        /// Reference to the consent of whom the record is about, if there is one.
        consent: Option<Digest>,
    },
    /// Records that a granted request has been answered. Owner only, once, for the bound version.
    Answer {
        /// The request.
        request: TxHash,
        /// The version the answer is from.
        version: u32,
        /// Hash over nonce, request, version, question and answers.
        binding: Digest,
        /// Hash of the sealed answer.
        sealed: Digest,
        /// Length of the sealed answer, which its padding makes one of a few: [`SEALED_OVERHEAD_BYTES`]
        /// more than a power of two from [`SEALED_BYTES_MIN`] to [`SEALED_BYTES_MAX`].
        bytes: u32,
        /// What the answer tells of which record's fields, sealed to owner and auditor; its size
        /// follows from the request's shape. At most [`CHARGES_BYTES_MAX`] bytes.
        #[serde(with = "crate::codec::hex_bytes")]
        #[schemars(with = "crate::codec::HexText")]
        charges: Vec<u8>,
    },
    /// Records that a granted request is not answered, and why. Owner only; the request's quota
    /// returns.
    Decline {
        /// The request.
        request: TxHash,
        /// Why.
        reason: DeclineReason,
    },
    /// Gives an asset to another account, which has agreed to it. By its owner; or by an account that
    /// succeeds a closed owner's, to itself.
    Transfer {
        /// The asset.
        asset: AssetId,
        /// Its owner from now on.
        to: Address,
        /// That account's word.
        consent: Consent,
    },
    /// Ends an asset: nothing of it is granted or answered any more, its name stays taken. Owner
    /// only.
    Withdraw {
        /// The asset.
        asset: AssetId,
    },
    /// Replaces the sender's account by another, with other keys: what it was granted holds for the
    /// successor, who may take its assets over, and the sender may send nothing more.
    ReplaceAccount {
        /// The account from now on; not enrolled yet.
        successor: AccountPublic,
    },
    /// Ends an account: it may send nothing more. Sent by itself, or by the member that enrolled
    /// it.
    CloseAccount {
        /// The account.
        account: Address,
    },
    /// Proposes what members decide together, and endorses it. Members only.
    Propose {
        /// What is proposed.
        change: Change,
    },
    /// Endorses a proposal; it is done once more than two thirds of the members have. Members
    /// only.
    Endorse {
        /// The proposal.
        proposal: TxHash,
    },
    /// Puts a small text on the ledger, or replaces the sender's text of that name.
    PutText {
        /// Its name, in the same space as the names of the sender's assets.
        name: String,
        /// A title for people.
        title: String,
        /// The text.
        content: TextContent,
    },
    /// Asks for whole columns of a table, or for a file; decided and recorded as [`TxBody::Request`].
    RequestWhole {
        /// The asset.
        asset: AssetId,
        /// Positions of the columns, ascending; of a file its one column, 0.
        columns: Vec<u8>,
        /// Why it is asked, at most [`PURPOSE_BYTES_MAX`] bytes.
        purpose: String,
        /// Reference to the consent of whom the records are about, if there is one.
        consent: Option<Digest>,
    },
    /// Records that whole columns, a file or a sample have been released. Owner only, once, for the
    /// bound version.
    Deliver {
        /// The request.
        request: TxHash,
        /// The version it is from.
        version: u32,
        /// Hash of the sealed delivery.
        sealed: Digest,
        /// Bytes of all ciphertext that it opens, rounded up to a power of two; 0 for none.
        bytes: u64,
    },
    /// Asks for records of the sender's choosing, with ciphertext, openings and paths: a check of
    /// what the owner stores. Only by the auditor whom the rules name.
    RequestSample {
        /// The asset, a table.
        asset: AssetId,
        /// What the records are chosen by.
        seed: SampleSeed,
        /// How many, at most [`SAMPLE_RECORDS_MAX`].
        records: u16,
    },
    /// What the auditor found in a sample that was delivered. By whoever asked for it, once.
    SampleResult {
        /// The request.
        request: TxHash,
        /// What was found.
        outcome: SampleOutcome,
        /// Hash of the auditor's report.
        report: Digest,
    },
}

/// What a sample showed of a version as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SampleOutcome {
    /// Everything was there and as registered.
    Whole,
    /// Something was not.
    Damaged {
        /// The first thing.
        what: Damage,
    },
}

/// What is wrong with a stored version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// Something was not handed over.
    Missing,
    /// Ciphertext is not what was registered.
    Ciphertext,
    /// A key is gone, is not the registered one, or does not open what it should.
    Key,
    /// Values do not open the record's commitment.
    Record,
    /// A path does not lead to the registered root, or is not that of the chosen place.
    Path,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Damage::Missing => "something was not handed over",
            Damage::Ciphertext => "ciphertext is not what was registered",
            Damage::Key => "a key is gone, is not the registered one, or does not open what it should",
            Damage::Record => "values do not open their record's commitment",
            Damage::Path => "a path does not lead from the chosen place to the registered root",
        })
    }
}

impl std::fmt::Display for SampleOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SampleOutcome::Whole => f.write_str("whole, as registered"),
            SampleOutcome::Damaged { what } => write!(f, "DAMAGED: {what}"),
        }
    }
}

/// The schema of every file: one column that may be fetched whole, and no key. Contracts know no
/// other for [`FILE`].
pub fn file_schema() -> Schema {
    let allowed = ColumnUse { disclose: true, prove: false };
    Schema { columns: vec![Column { name: "content".into(), kind: ColumnType::Text, allowed }], key: Vec::new() }
}

/// A small text on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextContent {
    /// For everybody, at most [`TEXT_BYTES_MAX`] bytes.
    Public(String),
    /// Sealed to each of these, at most [`TEXT_COPIES_MAX`].
    Sealed(Vec<SealedText>),
}

/// A text sealed to one account.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SealedText {
    /// Who can read it.
    pub to: Address,
    /// The envelope (docs/spec/messages.md#envelopes); all have the same length, whatever the text.
    #[serde(with = "crate::codec::hex_bytes")]
    #[schemars(with = "crate::codec::HexText")]
    pub envelope: Vec<u8>,
}

/// Why an owner does not answer a granted request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeclineReason {
    /// The answer would tell more of a record than its budget leaves.
    Budget,
    /// The answer is larger than an envelope holds.
    TooLarge,
}

impl std::fmt::Display for DeclineReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DeclineReason::Budget => {
                "the answer would tell more of a record than its budget leaves; what you were answered before about \
                 fields that have not changed can be asked again"
            }
            DeclineReason::TooLarge => "the answer is larger than an envelope holds: ask about fewer keys at once",
        })
    }
}

/// One column of a version as sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnSeal {
    /// Hash of the column's ciphertext.
    pub ciphertext: Digest,
    /// Commitment to the column's key.
    pub key_commitment: Digest,
}

/// What the ledger knows of a version.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionInfo {
    /// 1 for the first.
    pub number: u32,
    /// Root of its prefix tree.
    pub root: TreeRoot,
    /// How many records it has, rounded up to a power of two.
    pub records_rounded: u64,
    /// What it is sealed with, one of [`CIPHER_SUITES`].
    pub cipher_suite: String,
    /// What its ciphertexts are hashed with, one of [`HASH_ALGORITHMS`].
    pub hash_algorithm: String,
    /// One per column of the schema, in order.
    pub columns: Vec<ColumnSeal>,
    /// Hash of its manifest.
    pub manifest: Digest,
    /// Sealed access information, at most [`ACCESS_BYTES_MAX`] bytes.
    #[serde(with = "crate::codec::hex_bytes")]
    #[schemars(with = "crate::codec::HexText")]
    pub access: Vec<u8>,
}

/// What a grant allows.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantTerms {
    /// Positions of the columns that may be disclosed, ascending, each allowed by the schema.
    pub disclose: Vec<u8>,
    /// Positions of the columns that may be fetched whole, ascending, each allowed to be disclosed
    /// by the schema; of a file its one column, 0.
    pub whole: Vec<u8>,
    /// Predicates that may be proven, constants included, at most [`PREDICATES_MAX`].
    #[serde(with = "crate::codec::borsh_hex")]
    #[schemars(with = "crate::codec::HexText")]
    pub prove: Vec<Predicate>,
    /// Whether it may be asked if a record exists at all.
    pub existence: bool,
    /// The purpose a request must state, letter by letter; empty allows every purpose.
    pub purpose: String,
    /// From this block time on.
    pub not_before_ms: Option<u64>,
    /// Until and including this block time.
    pub until_ms: Option<u64>,
    /// How many keys may be asked about, a key counting each time it is asked about.
    pub quota: Option<u64>,
    /// The most bits that predicates may tell this account of one record's field; none leaves it
    /// the whole budget.
    pub bits: Option<u16>,
}

/// A transaction and its sender's signature.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedTx {
    /// What is signed.
    pub tx: Tx,
    /// Ed25519 over the tagged hash.
    pub signature: Signature,
}

impl Tx {
    /// The transaction's identity. The signature is no part of it.
    pub fn hash(&self) -> TxHash {
        TxHash(tagged_hash(DOMAIN, &[&encode(self)]))
    }

    /// Signs with the sender's key.
    pub fn sign(self, secret: &AccountSecret) -> SignedTx {
        let signature = secret.sign(DOMAIN, &encode(&self));
        SignedTx { tx: self, signature }
    }
}

impl SignedTx {
    /// The transaction's identity; see [`Tx::hash`].
    pub fn hash(&self) -> TxHash {
        self.tx.hash()
    }

    /// [`SignedTx::hash`] when the canonical bytes of the content are at hand.
    pub(crate) fn hash_of(&self, content: &[u8]) -> TxHash {
        TxHash(tagged_hash(DOMAIN, &[content]))
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads canonical bytes and checks every bound that needs no state.
    ///
    /// # Errors
    /// [`TxError`].
    pub fn decode(bytes: &[u8]) -> Result<SignedTx, TxError> {
        if bytes.len() > TX_BYTES_MAX {
            return Err(TxError::Size(bytes.len()));
        }
        let tx: SignedTx = decode("signed transaction", bytes)?;
        tx.validate()?;
        Ok(tx)
    }

    /// Checks every bound that needs no state.
    ///
    /// # Errors
    /// [`TxError`] naming the bound and what was found.
    pub fn validate(&self) -> Result<(), TxError> {
        let size = borsh::object_length(self).unwrap_or(usize::MAX);
        if size > TX_BYTES_MAX {
            return Err(TxError::Size(size));
        }
        bounds::check_body(&self.tx.body)
    }

    /// Checks the signature against the sender's account.
    ///
    /// # Errors
    /// [`AccountError`] when it is another account, or not its signature.
    pub fn verify(&self, sender: &AccountPublic) -> Result<(), AccountError> {
        if sender.address() != self.tx.sender {
            return Err(AccountError::Signature(self.tx.sender));
        }
        sender.verify(DOMAIN, &encode(&self.tx), &self.signature)
    }
}

impl From<DecodeError> for TxError {
    fn from(error: DecodeError) -> Self {
        TxError::Encoding(error)
    }
}
