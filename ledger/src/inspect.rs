//! A look at a ledger's folder that repairs nothing: also while another process has it open, and
//! when it is damaged.

use std::path::Path;

use crate::block::Header;
use crate::chain::{INDEX_BAD, INDEX_FOLDER, read_genesis, take_lock};
use crate::error::LedgerError;
use crate::genesis::Genesis;
use crate::ids::BlockHeight;
use crate::index::{SledIndex, head};
use crate::log::{HeadMark, LOG_FILE, Scanner, Step};

/// How often the head file is read again while it may just be being written.
const MARK_TRIES: usize = 20;
const MARK_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// How a ledger's folder was found.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The genesis.
    pub genesis: Genesis,
    /// The last good block.
    pub head: Header,
    /// The block that had been acknowledged last; `None` when the head file is missing or torn.
    pub acknowledged: Option<BlockHeight>,
    /// Bytes behind the last good block, left by a write that was interrupted: opening cuts them.
    pub torn_bytes: u64,
    /// Whether another process has the ledger open.
    pub in_use: bool,
    /// How the index was found.
    pub index: IndexFound,
}

/// How the index of a ledger was found. It is always rebuilt from the log when it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexFound {
    /// The state as of this block of the log.
    Follows(BlockHeight),
    /// It is not there.
    Missing,
    /// It cannot be used, and why.
    Unusable(String),
    /// Another process has it open.
    InUse,
}

/// Reads the log from one end to the other, up to what has been acknowledged while another process
/// writes it: every block's check and its link to the one before. Signatures and outcomes are for
/// [`crate::audit::audit_log`].
///
/// # Errors
/// [`LedgerError::NotFound`], [`LedgerError::Damaged`] naming file, offset and block, [`LedgerError::Io`].
pub fn inspect(dir: &Path) -> Result<Inspection, LedgerError> {
    let genesis = read_genesis(dir)?;
    let lock = match take_lock(dir) {
        Ok(lock) => Some(lock),
        Err(LedgerError::InUse(_)) => None,
        Err(error) => return Err(error),
    };
    let in_use = lock.is_none();
    let mark = read_mark(dir, in_use)?;
    let (mut index, indexed) = if in_use { (IndexFound::InUse, None) } else { look_at_index(dir) };

    let path = dir.join(LOG_FILE);
    let mut scanner = Scanner::open(&path, &genesis.header())?;
    if let Some(mark) = mark.filter(|_| in_use) {
        scanner.limit(mark.length);
    }
    let (mut last, mut at_index, mut torn_bytes) = (genesis.header(), None, 0);
    let protected = mark.map(|mark| mark.height).max(indexed.as_ref().map(|header| header.height));
    loop {
        match scanner.step()? {
            Step::End => break,
            Step::Block { block, .. } => {
                last = block.header;
                if indexed.as_ref().is_some_and(|indexed| indexed.height == last.height) {
                    at_index = Some(last.clone());
                }
            }
            Step::Bad(bad) if in_use => return Err(bad.damaged(&path)),
            Step::Bad(bad) => {
                scanner.judge(&bad, protected.unwrap_or(BlockHeight(0)))?;
                torn_bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len()).saturating_sub(bad.offset);
                break;
            }
        }
    }
    if let Some(protected) = protected.filter(|protected| last.height < *protected) {
        let what = format!("it ends at block {}, but block {protected} had been acknowledged", last.height);
        let (offset, height) = (scanner.offset(), last.height.next());
        return Err(LedgerError::Damaged { file: path, offset, height, what });
    }
    if indexed.is_some() && indexed != at_index {
        index = IndexFound::Unusable("it is not a state of this block log".into());
    }
    let acknowledged = mark.map(|mark| mark.height);
    Ok(Inspection { genesis, head: last, acknowledged, torn_bytes, in_use, index })
}

/// The head file; one that another process is writing at this moment looks torn.
fn read_mark(dir: &Path, in_use: bool) -> Result<Option<HeadMark>, LedgerError> {
    for _ in 0..MARK_TRIES {
        match HeadMark::read(dir)? {
            None if in_use => std::thread::sleep(MARK_PAUSE),
            mark => return Ok(mark),
        }
    }
    Ok(None)
}

/// How far the index has followed. Nobody else has it open.
fn look_at_index(dir: &Path) -> (IndexFound, Option<Header>) {
    let folder = dir.join(INDEX_FOLDER);
    if dir.join(INDEX_BAD).exists() {
        return (IndexFound::Unusable("it failed, and is to be rebuilt".into()), None);
    }
    if !folder.exists() {
        return (IndexFound::Missing, None);
    }
    match SledIndex::open(&folder).and_then(|index| head(&index)) {
        Ok(Some(header)) => (IndexFound::Follows(header.height), Some(header)),
        Ok(None) => (IndexFound::Unusable("it is empty".into()), None),
        Err(error) => (IndexFound::Unusable(error.to_string()), None),
    }
}
