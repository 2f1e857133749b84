//! Checking a ledger from its blocks alone: every signature, decision, time and root is made
//! again and compared (docs/spec/ledger.md#audit).

use std::path::Path;
use std::sync::PoisonError;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::block::{Block, EntryBody, Header, Outcome};
use crate::chain::{INDEX_FOLDER, Ledger, read_genesis, take_lock};
use crate::checkpoint::Checkpoint;
use crate::error::LedgerError;
use crate::genesis::{Genesis, GenesisError};
use crate::ids::{Address, AssetId, BlockHeight, LogRoot, TxHash};
use crate::index::{Index, IndexError, MemoryIndex, SledIndex};
use crate::log::{FIRST_RECORD, HeadMark, LOG_FILE, Scanner, Step, record};
use crate::member::{MemberSet, Policy, ProposalView};
use crate::state::execute::genesis_batch;
use crate::state::replay::replay_block;
use crate::state::{AccountView, AssetView, GrantView, RequestView, VersionView, keys, query};
use crate::tx::TxBody;

pub use crate::state::replay::ReplayError;

/// Pairs compared at a time.
const PAGE: usize = 1024;

/// Why an audit fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The genesis is not one.
    #[error("{0}")]
    Genesis(#[from] GenesisError),
    /// A block is not what the rules make of the one before.
    #[error("{0}")]
    Replay(#[from] ReplayError),
    /// The ledger's files cannot be read, or are damaged.
    #[error("{0}")]
    Ledger(#[from] LedgerError),
    /// The index does not hold what the blocks give.
    #[error(
        "the index differs from the block log at {key}: {what}; the log is right, delete the folder '{INDEX_FOLDER}' to rebuild it"
    )]
    IndexDiffers {
        /// The first key that differs, readable.
        key: String,
        /// How.
        what: &'static str,
    },
    /// The ledger is not the one of the checkpoint.
    #[error("at {size} entries the ledger has another root than the checkpoint: it is not the ledger you saw before")]
    Checkpoint {
        /// Size of the checkpoint.
        size: u64,
    },
}

impl From<IndexError> for AuditError {
    fn from(error: IndexError) -> Self {
        AuditError::Ledger(error.into())
    }
}

/// What a ledger holds, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Summary {
    /// Blocks, the first included.
    pub blocks: u64,
    /// Entries.
    pub entries: u64,
    /// Accounts opened by transaction.
    pub accounts: u64,
    /// Assets registered.
    pub assets: u64,
    /// Versions published, first ones included.
    pub versions: u64,
    /// Grants given.
    pub grants: u64,
    /// Grants revoked.
    pub revocations: u64,
    /// Requests that were granted.
    pub granted: u64,
    /// Requests that were denied.
    pub denied: u64,
    /// Answers.
    pub answers: u64,
    /// Deliveries of whole columns, files and samples.
    pub deliveries: u64,
    /// Samples asked for by the auditor, who needs no grant.
    pub samples: u64,
    /// What was found in samples.
    pub sample_results: u64,
    /// Requests that were declined for want of budget.
    pub declined: u64,
    /// Requests that were not answered in time.
    pub unanswered: u64,
    /// Texts put on the ledger.
    pub texts: u64,
    /// Transfers, withdrawals, closed accounts, proposals and endorsements.
    pub governance: u64,
}

/// A replay of a ledger from its genesis.
#[derive(Debug)]
pub struct Replay {
    genesis: Genesis,
    index: MemoryIndex,
    head: Header,
    next_offset: u64,
    summary: Summary,
}

impl Replay {
    /// Begins with block 0, which the genesis determines.
    ///
    /// # Errors
    /// [`AuditError::Genesis`].
    pub fn new(genesis: Genesis) -> Result<Replay, AuditError> {
        genesis.validate()?;
        let (index, head) = (MemoryIndex::default(), genesis.header());
        index.apply(&genesis_batch(&genesis))?;
        let first = Block { header: head.clone(), entries: Vec::new() };
        let next_offset = FIRST_RECORD + record(&first).len() as u64;
        Ok(Replay { genesis, index, head, next_offset, summary: Summary { blocks: 1, ..Summary::default() } })
    }

    /// Executes the next block and compares all it says. After an error the replay stands where
    /// it stood.
    ///
    /// # Errors
    /// [`AuditError::Replay`] naming block and entry.
    pub fn apply(&mut self, block: &Block) -> Result<(), AuditError> {
        let batch = replay_block(&self.genesis, &self.index, &self.head, block, self.next_offset)?;
        self.index.apply(&batch)?;
        self.next_offset += record(block).len() as u64;
        self.head = block.header.clone();
        self.count(block);
        Ok(())
    }

    /// The last block's header.
    pub fn head(&self) -> &Header {
        &self.head
    }

    /// Size and root of the tree.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::of(&self.head)
    }

    /// Checks that the replayed ledger contains one that was seen earlier: its first `size` entries
    /// have that root.
    ///
    /// # Errors
    /// [`AuditError::Checkpoint`] when it does not, or is shorter.
    pub fn check_root(&self, size: u64, root: &LogRoot) -> Result<(), AuditError> {
        let differs = AuditError::Checkpoint { size };
        if size > self.head.tree_size {
            return Err(differs);
        }
        let found = crate::merkle::root(&query::IndexTiles(&self.index), size)?;
        if found == *root { Ok(()) } else { Err(differs) }
    }

    /// What has been replayed, counted.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// All accounts.
    ///
    /// # Errors
    /// None in practice: the state is in memory.
    pub fn accounts(&self) -> Result<Vec<AccountView>, AuditError> {
        Ok(query::all(&self.index, keys::ACCOUNTS)?)
    }

    /// An account.
    ///
    /// # Errors
    /// As above.
    pub fn account(&self, address: &Address) -> Result<Option<AccountView>, AuditError> {
        Ok(query::account(&self.index, address)?)
    }

    /// All assets.
    ///
    /// # Errors
    /// As above.
    pub fn assets(&self) -> Result<Vec<AssetView>, AuditError> {
        Ok(query::all(&self.index, keys::ASSETS)?)
    }

    /// An asset.
    ///
    /// # Errors
    /// As above.
    pub fn asset(&self, id: &AssetId) -> Result<Option<AssetView>, AuditError> {
        Ok(query::asset(&self.index, id)?)
    }

    /// A version of an asset.
    ///
    /// # Errors
    /// As above.
    pub fn version(&self, asset: &AssetId, number: u32) -> Result<Option<VersionView>, AuditError> {
        Ok(query::version(&self.index, asset, number)?)
    }

    /// What holds for an account on an asset: what it was granted itself, or else an account that it
    /// succeeds.
    ///
    /// # Errors
    /// As above.
    pub fn grant(&self, asset: &AssetId, account: &Address) -> Result<Option<GrantView>, AuditError> {
        Ok(query::holding(&self.index, asset, account)?)
    }

    /// An asset's list.
    ///
    /// # Errors
    /// As above.
    pub fn grants(&self, asset: &AssetId) -> Result<Vec<GrantView>, AuditError> {
        Ok(query::all(&self.index, &keys::grants(asset))?)
    }

    /// The members as of the last block.
    ///
    /// # Errors
    /// As above.
    pub fn members(&self) -> Result<MemberSet, AuditError> {
        Ok(query::members(&self.index)?)
    }

    /// The rules as of the last block.
    ///
    /// # Errors
    /// As above.
    pub fn policy(&self) -> Result<Policy, AuditError> {
        Ok(query::policy(&self.index)?)
    }

    /// All proposals, by hash.
    ///
    /// # Errors
    /// As above.
    pub fn proposals(&self) -> Result<Vec<ProposalView>, AuditError> {
        Ok(query::all(&self.index, keys::PROPOSALS)?)
    }

    /// A request.
    ///
    /// # Errors
    /// As above.
    pub fn request(&self, hash: &TxHash) -> Result<Option<RequestView>, AuditError> {
        Ok(query::request(&self.index, hash)?)
    }

    /// Requests in the order of their entries, up to `limit` behind the entry `after`.
    ///
    /// # Errors
    /// As above.
    pub fn requests(
        &self,
        asset: Option<&AssetId>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<RequestView>, AuditError> {
        Ok(query::requests(&self.index, asset, after, limit)?)
    }

    fn count(&mut self, block: &Block) {
        let summary = &mut self.summary;
        summary.blocks += 1;
        for entry in &block.entries {
            summary.entries += 1;
            let EntryBody::Transaction { tx, outcome } = &entry.body else {
                summary.unanswered += 1;
                continue;
            };
            match &tx.tx.body {
                TxBody::OpenAccount { .. } => summary.accounts += 1,
                TxBody::RegisterAsset { .. } => {
                    summary.assets += 1;
                    summary.versions += 1;
                }
                TxBody::PublishVersion { .. } => summary.versions += 1,
                TxBody::Grant { .. } => summary.grants += 1,
                TxBody::Revoke { .. } => summary.revocations += 1,
                TxBody::Request { .. } | TxBody::RequestWhole { .. } if matches!(outcome, Outcome::Denied { .. }) => {
                    summary.denied += 1;
                }
                TxBody::Request { .. } | TxBody::RequestWhole { .. } => summary.granted += 1,
                TxBody::Answer { .. } => summary.answers += 1,
                TxBody::RequestSample { .. } => summary.samples += 1,
                TxBody::SampleResult { .. } => summary.sample_results += 1,
                TxBody::Deliver { .. } => summary.deliveries += 1,
                TxBody::Decline { .. } => summary.declined += 1,
                TxBody::ReplaceAccount { .. } => summary.accounts += 1,
                TxBody::Transfer { .. }
                | TxBody::Withdraw { .. }
                | TxBody::CloseAccount { .. }
                | TxBody::Propose { .. }
                | TxBody::Endorse { .. } => summary.governance += 1,
                TxBody::PutText { .. } => summary.texts += 1,
            }
        }
    }

    /// Replays the log of `dir` from where this stands, up to `length` bytes of it if given.
    fn read_log(&mut self, dir: &Path, length: Option<u64>) -> Result<(), AuditError> {
        let (path, first) = (dir.join(LOG_FILE), self.genesis.header());
        let mut scanner = if self.head.height == BlockHeight(0) {
            Scanner::open(&path, &first)?
        } else {
            Scanner::resume(&path, &first, Some(self.head.clone()), self.next_offset)?
        };
        if let Some(length) = length {
            scanner.limit(length);
        }
        loop {
            match scanner.step()? {
                Step::Block { block, .. } if block.header.height == BlockHeight(0) => {}
                Step::Block { block, .. } => self.apply(&block)?,
                Step::Bad(bad) => return Err(bad.damaged(&path).into()),
                Step::End => return Ok(()),
            }
        }
    }

    /// Reads up to the acknowledged head, and checks that it is there.
    fn read_acknowledged(&mut self, dir: &Path) -> Result<(), AuditError> {
        let mark = HeadMark::read(dir)?;
        self.read_log(dir, mark.map(|mark| mark.length))?;
        match mark {
            Some(mark) if mark.hash != self.head.hash() || mark.length != self.next_offset => {
                Err(AuditError::Ledger(LedgerError::Damaged {
                    file: dir.join(LOG_FILE),
                    offset: self.next_offset,
                    height: self.head.height.next(),
                    what: format!("its last block is not block {}, which had been acknowledged", mark.height),
                }))
            }
            _ => Ok(()),
        }
    }

    /// Compares the replayed state with another, key by key.
    fn compare(&self, other: &impl Index) -> Result<(), AuditError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let ours = self.index.scan(b"", after.as_deref(), PAGE)?;
            let theirs = other.scan(b"", after.as_deref(), PAGE)?;
            for (our, their) in ours.iter().zip(&theirs) {
                if our != their {
                    let what = if our.0 == their.0 { "another value" } else { "a key is missing or extra" };
                    return Err(differs(our.0.as_slice().min(their.0.as_slice()), what));
                }
            }
            if ours.len() != theirs.len() {
                let longer = if ours.len() > theirs.len() { &ours } else { &theirs };
                let key = longer.get(ours.len().min(theirs.len())).map(|pair| pair.0.clone()).unwrap_or_default();
                return Err(differs(&key, "a key is missing or extra"));
            }
            match ours.into_iter().next_back() {
                Some((key, _)) => after = Some(key),
                None => return Ok(()),
            }
        }
    }
}

fn differs(key: &[u8], what: &'static str) -> AuditError {
    AuditError::IndexDiffers { key: key.escape_ascii().to_string(), what }
}

/// What an audit of a ledger's files found, all of it good.
#[derive(Debug)]
pub struct LogAudit {
    /// The replay, for further questions.
    pub replay: Replay,
    /// Whether the index was compared too; not when another process holds the ledger.
    pub index_compared: bool,
}

/// Replays the log in `dir` up to what has been acknowledged, and compares the index with the
/// result unless another process holds the ledger.
///
/// # Errors
/// [`AuditError`] naming the first thing that is wrong.
pub fn audit_log(dir: &Path) -> Result<LogAudit, AuditError> {
    let mut replay = Replay::new(read_genesis(dir)?)?;
    let lock = match take_lock(dir) {
        Ok(lock) => Some(lock),
        Err(LedgerError::InUse(_)) => None,
        Err(error) => return Err(error.into()),
    };
    replay.read_acknowledged(dir)?;
    let index_compared = lock.is_some() && dir.join(INDEX_FOLDER).exists();
    if index_compared {
        replay.compare(&SledIndex::open(&dir.join(INDEX_FOLDER))?)?;
    }
    Ok(LogAudit { replay, index_compared })
}

impl Ledger {
    /// Replays this ledger's log and compares the index with the result. Blocks go on being made
    /// meanwhile; they wait only for the last part.
    ///
    /// # Errors
    /// [`AuditError`] naming the first thing that is wrong.
    pub fn audit(&self) -> Result<LogAudit, AuditError> {
        let core = self.core();
        let mut replay = Replay::new(core.genesis.clone())?;
        replay.read_acknowledged(&core.dir)?;
        let _gate = core.gate.lock().unwrap_or_else(PoisonError::into_inner);
        replay.read_acknowledged(&core.dir)?;
        core.index.flush()?;
        replay.compare(&core.index)?;
        Ok(LogAudit { replay, index_compared: true })
    }
}
