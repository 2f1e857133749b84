//! Why a transaction is refused. A refused transaction is never in a block.

use crate::account::AccountError;
use crate::ids::{Address, AssetId, BlockHeight, ChainId, TxHash};
use crate::index::IndexError;
use crate::member::MemberError;
use crate::tx::{DeclineReason, EXPIRY_BLOCKS_MAX, TxError};

/// Through how many successions what was an account's is its successors'.
pub const SUCCESSIONS_MAX: usize = 16;

/// How often an asset is given away at most: each time is shown with every answer.
pub const OWNERS_MAX: usize = 32;

/// How often an asset is handed over at most, given away or taken over by a successor. What lies between
/// is for successors alone, so that nobody else uses it up.
pub const HANDED_MAX: usize = 2 * OWNERS_MAX;

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
    #[error("only members enrol accounts on this ledger: send yours to one of them")]
    EnrolmentClosed,
    /// The account to open or close is another's.
    #[error("{sender} cannot open or close the account {account}: that is for itself and for members")]
    NotOwnAccount {
        /// Who signed.
        sender: Address,
        /// Whose account it is.
        account: Address,
    },
    /// The sender's account was closed or replaced.
    #[error("the account {account} was closed in block {height}{}", succeeded(.successor))]
    AccountClosed {
        /// The account.
        account: Address,
        /// The block that closed it.
        height: BlockHeight,
        /// Who replaced it, if anybody did.
        successor: Option<Address>,
    },
    /// An asset has had too many owners.
    #[error(
        "{asset} has changed hands {handed} times, and that is the most: withdraw it, and publish it as a new asset"
    )]
    TooManyOwners {
        /// The asset.
        asset: AssetId,
        /// How often.
        handed: usize,
    },
    /// The receiver has not agreed to this transfer.
    #[error(
        "{to} has not agreed to be given {asset} by {from}: a consent is for one asset, owner and handing over, here number {handed}; ask for another ('sealgate asset accept')"
    )]
    NoConsent {
        /// The asset.
        asset: AssetId,
        /// Its owner.
        from: Address,
        /// Who was to have it.
        to: Address,
        /// How often it was handed over before.
        handed: u32,
    },
    /// The receiver's consent is past.
    #[error("the receiver's consent expired at block {expiry}; the next block is {height}: ask for another")]
    ConsentExpired {
        /// Its last block.
        expiry: BlockHeight,
        /// The next block.
        height: BlockHeight,
    },
    /// The receiver has something of that name already.
    #[error(
        "{to} has an asset or a text named '{name}' already, and a name is one thing's: it cannot be given another"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Who was to have it.
        to: Address,
    },
    /// A member's account is replaced by proposal, not by itself.
    #[error("{0} is a member's account: members replace and close it by proposal")]
    MemberAccount(Address),
    /// Only members propose and endorse.
    #[error("{0} is no member of this ledger: members propose and endorse")]
    NotMember(Address),
    /// An embedded ledger has no members to decide about.
    #[error("this ledger has one member for good: its operator; make a network to share one")]
    Embedded,
    /// One change of members a block: the members of each epoch sign its last block, whose state names
    /// those of the next.
    #[error(
        "block {0} changes the members already, and a block changes them once: nothing of this is recorded; endorse again, or propose again, for the next block"
    )]
    MembersChanged(BlockHeight),
    /// The change does not fit the members there are.
    #[error("{0}; compare with 'sealgate member list'")]
    Change(#[from] MemberError),
    /// There is no such proposal, or it is not open.
    #[error("there is no open proposal {0}: it is done, has waited too long, or was never made")]
    NoOpenProposal(TxHash),
    /// One endorsement a member.
    #[error("{member} has endorsed {proposal} already")]
    Endorsed {
        /// The proposal.
        proposal: TxHash,
        /// Who.
        member: Address,
    },
    /// Too many denied requests.
    #[error(
        "{account} had {limit} requests denied today: the next that would be denied is not recorded; correct the question, or ask the owner for a grant"
    )]
    TooManyDenials {
        /// Who asked.
        account: Address,
        /// The most in a day.
        limit: u32,
    },
    /// The asset was withdrawn.
    #[error("{asset} was withdrawn in block {height}")]
    Withdrawn {
        /// The asset.
        asset: AssetId,
        /// The block.
        height: BlockHeight,
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
    /// Answers are for questions, deliveries for whole columns, files and samples.
    #[error("request {request} asks for {asked}: record {needs} for it")]
    OtherKind {
        /// The request.
        request: TxHash,
        /// "an answer" or "a delivery".
        asked: &'static str,
        /// The transaction that it needs.
        needs: &'static str,
    },
    /// Only the auditor whom the rules name takes samples.
    #[error("{0} is not the auditor whom this ledger's rules name: only that account takes samples")]
    NotAuditor(Address),
    /// There is no delivered sample to report on.
    #[error("request {0} is no sample of yours that was delivered and awaits its result")]
    NoSample(TxHash),
    /// One answer a request.
    #[error("request {request} is answered already, by {answer}")]
    AlreadyAnswered {
        /// The request.
        request: TxHash,
        /// Its answer or delivery.
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
    /// The grant was revoked, replaced, or its time is over, or the account that has it was closed.
    #[error("the grant under which {request} was asked {what}: it may no longer be answered")]
    GrantGone {
        /// The request.
        request: TxHash,
        /// "was revoked", "was replaced", "is over", "is of an account that was closed", or "is no longer
        /// the auditor's".
        what: &'static str,
    },
}

fn succeeded(successor: &Option<Address>) -> String {
    successor.map_or_else(String::new, |successor| format!("; its successor is {successor}"))
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
