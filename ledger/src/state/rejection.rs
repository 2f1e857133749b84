//! Why a transaction is refused. A refused transaction is never in a block.

use crate::account::AccountError;
use crate::ids::{Address, AssetId, BlockHeight, ChainId, TxHash};
use crate::index::IndexError;
use crate::tx::DeclineReason;
use crate::tx::{EXPIRY_BLOCKS_MAX, TxError};

/// Why the ledger refuses a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It breaks a bound, or does not fit the asset's schema.
    #[error("{0}")]
    Malformed(#[from] TxError),
    /// It is for another ledger.
    #[error("the transaction is for ledger {found}; this is {expected}")]
    WrongChain {
        /// The ledger it names.
        found: ChainId,
        /// This ledger.
        expected: ChainId,
    },
    /// The signature is not the sender's.
    #[error("{0}")]
    Signature(#[from] AccountError),
    /// Its expiry is past.
    #[error("the transaction expired at block {expiry}; the next block is {height}: make a new one")]
    Expired {
        /// Its expiry.
        expiry: BlockHeight,
        /// The next block.
        height: BlockHeight,
    },
    /// Its expiry is too far ahead.
    #[error("the transaction's expiry, block {expiry}, is more than {EXPIRY_BLOCKS_MAX} blocks past the head {head}")]
    ExpiryTooFar {
        /// Its expiry.
        expiry: BlockHeight,
        /// The head.
        head: BlockHeight,
    },
    /// It is on the ledger already. Who submits it again gets its receipt instead.
    #[error("transaction {0} is on the ledger already")]
    Replayed(TxHash),
    /// The sender has no account here.
    #[error("{0} has no account on this ledger: open one first")]
    UnknownSender(Address),
    /// The account is enrolled already.
    #[error("{0} has an account on this ledger already")]
    AlreadyEnrolled(Address),
    /// Enrolment is not open.
    #[error("only the operator {operator} enrols accounts on this ledger: send it yours")]
    EnrolmentClosed {
        /// The operator.
        operator: Address,
    },
    /// The account to open is another's.
    #[error("{sender} cannot open the account {account}: an account is opened by itself or by the operator")]
    NotOwnAccount {
        /// Who signed.
        sender: Address,
        /// Whose account it is.
        account: Address,
    },
    /// There is no such asset.
    #[error("there is no asset {0} on this ledger")]
    UnknownAsset(AssetId),
    /// The owner has an asset of that name.
    #[error("you have an asset named '{name}' already ({asset}): publish a new version of it, or choose another name")]
    AssetExists {
        /// The name.
        name: String,
        /// The asset.
        asset: AssetId,
    },
    /// Only the owner may do that.
    #[error("{asset} belongs to {owner}; {sender} may not change or answer for it")]
    NotOwner {
        /// The asset.
        asset: AssetId,
        /// Its owner.
        owner: Address,
        /// Who tried.
        sender: Address,
    },
    /// Versions are numbered without gaps.
    #[error("the next version of {asset} is {expected}, not {found}")]
    VersionNumber {
        /// The asset.
        asset: AssetId,
        /// The number it must have.
        expected: u32,
        /// The number it has.
        found: u32,
    },
    /// There is nothing to revoke.
    #[error("{to} is not on the list of {asset}")]
    NoSuchGrant {
        /// The asset.
        asset: AssetId,
        /// Whose grant was to be revoked.
        to: Address,
    },
    /// There is no such request.
    #[error("there is no request {0} on this ledger")]
    UnknownRequest(TxHash),
    /// A denied request has no answer.
    #[error("request {0} was denied; it cannot be answered")]
    NotGranted(TxHash),
    /// One answer a request.
    #[error("request {request} is answered already, by {answer}")]
    AlreadyAnswered {
        /// The request.
        request: TxHash,
        /// Its answer.
        answer: TxHash,
    },
    /// The window has passed.
    #[error(
        "request {request} was to be answered by block {deadline} and counts as unanswered: it must be asked again"
    )]
    Unanswered {
        /// The request.
        request: TxHash,
        /// The last block that could hold its answer.
        deadline: BlockHeight,
    },
    /// The answer is from another version than the contract bound.
    #[error("request {request} is bound to version {bound}; the answer is from version {found}")]
    WrongVersion {
        /// The request.
        request: TxHash,
        /// The bound version.
        bound: u32,
        /// The answer's.
        found: u32,
    },
    /// The owner has declined the request.
    #[error("request {request} was declined: {reason}")]
    Declined {
        /// The request.
        request: TxHash,
        /// Why.
        reason: DeclineReason,
    },
    /// The grant was revoked, replaced, or its time is over.
    #[error("the grant under which {request} was asked {what}: it may no longer be answered")]
    GrantGone {
        /// The request.
        request: TxHash,
        /// "was revoked", "was replaced" or "is over".
        what: &'static str,
    },
}

/// Why a transaction was not executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// It is refused.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// The index failed.
    #[error("{0}")]
    Index(#[from] IndexError),
}

impl From<TxError> for ExecuteError {
    fn from(error: TxError) -> Self {
        ExecuteError::Rejected(error.into())
    }
}

impl From<AccountError> for ExecuteError {
    fn from(error: AccountError) -> Self {
        ExecuteError::Rejected(error.into())
    }
}
