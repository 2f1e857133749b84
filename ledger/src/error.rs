//! What can go wrong with a ledger on disk, and with a submitted transaction.

use std::path::{Path, PathBuf};

use crate::account::AccountError;
use crate::genesis::GenesisError;
use crate::ids::{Address, BlockHeight};
use crate::index::IndexError;
use crate::state::Rejection;
use crate::tx::TxError;

/// Why a ledger cannot be made, opened or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Another process has the ledger open.
    #[error("the ledger in {} is in use by another process: stop it first", .0.display())]
    InUse(PathBuf),
    /// There is a ledger already where one was to be made.
    #[error("there is a ledger in {} already: open it, or choose another folder", .0.display())]
    Exists(PathBuf),
    /// There is no ledger where one was to be opened.
    #[error("there is no ledger in {}: create one, or correct the path", .0.display())]
    NotFound(PathBuf),
    /// Blocks come faster than a proof of the state can be made.
    #[error("the ledger changes faster than this can be proven: try again in a moment")]
    Changing,
    /// The operating system refused.
    #[error("could not {action} {}: {what}", path.display())]
    Io {
        /// "read", "write", …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        what: String,
    },
    /// The genesis breaks a rule.
    #[error("{0}")]
    Genesis(#[from] GenesisError),
    /// The operator's secret is another account's.
    #[error(
        "genesis.json names {expected} as the ledger's operator, and the key given is {found}'s: one of the two files is damaged or comes from elsewhere; restore it from a copy"
    )]
    WrongOperator {
        /// The operator of the genesis.
        expected: Address,
        /// Whose key was given.
        found: Address,
    },
    /// A ledger of several organisations cannot be run by one.
    #[error(
        "this ledger is shared by a network of members: start the node first ('sealgate serve'), commands reach it there"
    )]
    NotEmbedded,
    /// Stored data is not what was written. Nothing is repaired: restore the file from a copy.
    #[error("{} is damaged at byte {offset}, block {height}: {what}; restore it from a copy", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// The block there.
        height: BlockHeight,
        /// What is wrong.
        what: String,
    },
    /// The index failed.
    #[error("{0}")]
    Index(#[from] IndexError),
    /// No position of that number.
    #[error("the ledger has {size} {what}; {asked} is not among them")]
    OutOfRange {
        /// "entries" or "blocks".
        what: &'static str,
        /// What was asked for.
        asked: u64,
        /// How many there are.
        size: u64,
    },
}

impl LedgerError {
    pub(crate) fn io(action: &'static str, path: &Path, error: &std::io::Error) -> LedgerError {
        LedgerError::Io { action, path: path.to_owned(), what: error.to_string() }
    }
}

/// Why a submitted transaction has no receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The rules refuse it: the caller's to change. It is not on the ledger.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// Too many transactions wait. It is not on the ledger; try again in a moment.
    #[error("the ledger is busy: try again in a moment")]
    Busy,
    /// The account sends faster than this node takes. It is not on the ledger.
    #[error("{0} sends more transactions than this node takes from one account: wait a moment, then submit again")]
    TooFast(Address),
    /// The members have not decided yet, or it was not included before its expiry. Submitting the
    /// same transaction again is safe and returns its receipt if it has one.
    #[error("the members have not ordered the transaction yet: submit the same one again to learn what became of it")]
    Undecided,
    /// The block could not be written and was undone. It is not on the ledger; make room on the
    /// disk and submit it again.
    #[error("the block could not be written and was undone ({0}): make room on the disk and submit again")]
    Undone(String),
    /// The ledger has stopped after a failure. Whether the transaction is on it shows after a
    /// restart: submitting the same transaction again is safe and returns its receipt.
    #[error("the ledger has stopped ({0}): restart it, then submit the same transaction again")]
    Stopped(String),
}

impl From<TxError> for SubmitError {
    fn from(error: TxError) -> Self {
        SubmitError::Rejected(error.into())
    }
}

impl From<AccountError> for SubmitError {
    fn from(error: AccountError) -> Self {
        SubmitError::Rejected(error.into())
    }
}
