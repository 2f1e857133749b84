//! Executing a block again and comparing: how an index is rebuilt, and how an auditor checks.

use super::execute::BlockBuilder;
use super::rejection::ExecuteError;
use super::verify::{VerifiedTx, verify_new};
use crate::block::{Block, Entry, EntryBody, Header};
use crate::genesis::Genesis;
use crate::ids::BlockHeight;
use crate::index::{Batch, Index, IndexError};

/// Why a block is not what the ledger's rules make of the one before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The header does not follow the one before.
    #[error("block {height}: {what}")]
    Header {
        /// The block, by its place.
        height: BlockHeight,
        /// What is wrong.
        what: String,
    },
    /// A transaction is in the block that the rules refuse.
    #[error("block {height}, entry {entry_index}: {source}")]
    Transaction {
        /// The block.
        height: BlockHeight,
        /// The entry.
        entry_index: u64,
        /// Why the rules refuse it.
        source: Box<ExecuteError>,
    },
    /// An entry is not what executing it gives.
    #[error("block {height}, entry {entry_index}: {what}")]
    Entry {
        /// The block.
        height: BlockHeight,
        /// The entry.
        entry_index: u64,
        /// What is wrong.
        what: String,
    },
    /// The index failed.
    #[error("{0}")]
    Index(#[from] IndexError),
}

/// Executes `block` on `index`, which stands at `previous`, and compares everything the block
/// says with what comes out. Returns the writes, not yet applied.
pub(crate) fn replay_block<I: Index + ?Sized>(
    genesis: &Genesis,
    index: &I,
    previous: &Header,
    block: &Block,
    offset: u64,
) -> Result<Batch, ReplayError> {
    let height = previous.height.next();
    check_link(previous, &block.header)?;
    let mut builder = BlockBuilder::begin(genesis, index, previous, block.header.time_ms)?.of_batch(block.header.batch);
    let swept = builder.entries().len();
    if block.entries.get(..swept) != Some(builder.entries()) {
        let what = "does not begin with the requests that became unanswered".to_owned();
        return Err(ReplayError::Entry { height, entry_index: previous.tree_size, what });
    }
    let txs = block.entries.iter().filter_map(|entry| match &entry.body {
        EntryBody::Transaction { tx, .. } => Some((**tx).clone()),
        EntryBody::Unanswered { .. } => None,
    });
    // A sender enrolled by this very block is not in the index yet: signatures are checked
    // against accounts of blocks before, as when the transaction was submitted.
    let mut verified = verify_new(&previous.chain, txs, index).into_iter();
    for (entry_index, entry) in (previous.tree_size..).zip(&block.entries).skip(swept) {
        replay_entry(&mut builder, &mut verified, height, entry_index, entry)?;
    }
    let (made, batch) = builder.seal(offset)?;
    if made.header != block.header {
        let what = if made.header.log_root == block.header.log_root {
            format!(
                "its entries give state root {} in epoch {}, its header says {} and {}",
                made.header.state_root, made.header.epoch, block.header.state_root, block.header.epoch
            )
        } else {
            format!(
                "its entries give tree size {} and root {}, its header says {} and {}",
                made.header.tree_size, made.header.log_root, block.header.tree_size, block.header.log_root
            )
        };
        return Err(ReplayError::Header { height, what });
    }
    Ok(batch)
}

/// Checks that `header` follows `previous`: ledger, height, hash, time, first entry.
pub(crate) fn check_link(previous: &Header, header: &Header) -> Result<(), ReplayError> {
    let height = previous.height.next();
    let fail = |what: String| Err(ReplayError::Header { height, what });
    if header.chain != previous.chain {
        return fail(format!("is of ledger {}, not of {}", header.chain, previous.chain));
    }
    if header.height != height {
        return fail(format!("says it is block {}", header.height));
    }
    if header.previous != previous.hash() {
        return fail(format!("follows {}, but the block before is {}", header.previous, previous.hash()));
    }
    if header.time_ms <= previous.time_ms {
        return fail(format!("its time {} ms is not after {} ms", header.time_ms, previous.time_ms));
    }
    if header.first_entry != previous.tree_size {
        return fail(format!("begins at entry {}, not at {}", header.first_entry, previous.tree_size));
    }
    Ok(())
}

fn replay_entry<I: Index + ?Sized>(
    builder: &mut BlockBuilder<'_, I>,
    verified: &mut impl Iterator<Item = Result<VerifiedTx, ExecuteError>>,
    height: BlockHeight,
    entry_index: u64,
    entry: &Entry,
) -> Result<(), ReplayError> {
    let fail = |what: &str| Err(ReplayError::Entry { height, entry_index, what: what.to_owned() });
    let EntryBody::Transaction { .. } = &entry.body else {
        return fail("says that a request is unanswered which is not");
    };
    if !builder.has_room() {
        return fail("is one more than a block may hold");
    }
    let Some(verified) = verified.next() else {
        return fail("was not verified");
    };
    verified.and_then(|verified| builder.add(&verified)).map_err(|source| ReplayError::Transaction {
        height,
        entry_index,
        source: Box::new(source),
    })?;
    if builder.entries().last() == Some(entry) {
        Ok(())
    } else {
        fail("records another outcome than its execution has")
    }
}
