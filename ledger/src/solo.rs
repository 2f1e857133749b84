//! The embedded engine: one process orders, executes and keeps the ledger.
//!
//! [`Ledger`] is the seam for other ordering engines: whoever orders transactions hands each
//! agreed batch to the same block builder and log; everything that reads goes through the index
//! and stays as it is.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::account::AccountSecret;
use crate::block::{Header, Receipt};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::error::{LedgerError, SubmitError};
use crate::genesis::Genesis;
use crate::index::{Index, IndexError, SledIndex, head};
use crate::log::{LOG_FILE, Log, Opened, Scanner, Step, read_block, sync_folder, write_durably};
use crate::state::execute::{VerifiedTx, genesis_batch};
use crate::state::{ExecuteError, query, replay::replay_block};
use crate::tx::SignedTx;

mod committer;
mod reads;

use committer::{Committer, Submission};

pub use reads::REQUESTS_PAGE_MAX;

/// Name of the genesis file. It is written last: its presence makes the ledger exist.
pub const GENESIS_FILE: &str = "genesis.json";
/// Name of the lock file.
pub const LOCK_FILE: &str = "lock";
/// Name of the index's folder.
pub const INDEX_FOLDER: &str = "index";
/// Its presence says that the index failed and is to be rebuilt.
const INDEX_BAD: &str = "index.bad";

/// What can be set without changing what the ledger is.
#[derive(Debug, Clone, Copy)]
pub struct SoloConfig {
    /// How often an empty block is made while a granted request waits for its answer, so that
    /// its deadline passes.
    pub tick: Duration,
    /// How many submissions may wait before [`SubmitError::Busy`].
    pub queue: usize,
}

impl Default for SoloConfig {
    fn default() -> Self {
        SoloConfig { tick: Duration::from_secs(2), queue: 8192 }
    }
}

/// A ledger that this process runs. Clones share it; when the last is dropped, the committer
/// finishes what is queued, the index is flushed and the lock released.
#[derive(Clone)]
pub struct Ledger {
    handle: Arc<Handle>,
}

/// What readers and the committer share.
pub(crate) struct Core {
    pub(crate) dir: PathBuf,
    pub(crate) genesis: Genesis,
    pub(crate) operator: AccountSecret,
    pub(crate) index: SledIndex,
    pub(crate) head: RwLock<Arc<Head>>,
    /// Held by the committer while log and index differ.
    pub(crate) gate: Mutex<()>,
    /// Why the ledger takes no more transactions, if it does not.
    pub(crate) stopped: RwLock<Option<String>>,
    reader: Mutex<File>,
}

/// The head and its checkpoint.
pub(crate) struct Head {
    pub(crate) header: Header,
    pub(crate) checkpoint: SignedCheckpoint,
}

struct Handle {
    core: Arc<Core>,
    queue: Option<SyncSender<Submission>>,
    committer: Option<JoinHandle<()>>,
    _lock: File,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the ledger's committer had panicked");
        }
        if let Err(error) = self.core.index.flush() {
            tracing::warn!(%error, "the index was not flushed; the next opening catches up from the log");
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({})", self.handle.core.dir.display())
    }
}

impl Ledger {
    /// Makes a ledger in the folder `dir` and opens it.
    ///
    /// # Errors
    /// [`LedgerError::Exists`], [`LedgerError::Genesis`], [`LedgerError::WrongOperator`],
    /// [`LedgerError::InUse`], [`LedgerError::Io`].
    pub fn create(dir: &Path, genesis: Genesis, operator: AccountSecret) -> Result<Ledger, LedgerError> {
        Ledger::create_with(dir, genesis, operator, SoloConfig::default())
    }

    /// [`Ledger::create`] with settings.
    ///
    /// # Errors
    /// As there.
    pub fn create_with(
        dir: &Path,
        genesis: Genesis,
        operator: AccountSecret,
        config: SoloConfig,
    ) -> Result<Ledger, LedgerError> {
        genesis.validate()?;
        check_operator(&genesis, &operator)?;
        std::fs::create_dir_all(dir).map_err(|error| LedgerError::io("make", dir, &error))?;
        let lock = take_lock(dir)?;
        let path = dir.join(GENESIS_FILE);
        if path.exists() || dir.join(LOG_FILE).exists() && log_has_blocks(dir) {
            return Err(LedgerError::Exists(dir.to_owned()));
        }
        wipe_index(dir)?;
        Log::create(dir, &genesis.header())?;
        let json = serde_json::to_vec_pretty(&genesis).unwrap_or_default();
        write_durably(&path, &json)?;
        sync_folder(dir)?;
        start(dir, genesis, operator, config, lock)
    }

    /// Opens the ledger in `dir`: checks the whole log, cuts a torn tail that was never
    /// acknowledged, brings the index up to it or rebuilds it.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`], [`LedgerError::InUse`], [`LedgerError::WrongOperator`],
    /// [`LedgerError::Damaged`] naming file, offset and block, [`LedgerError::Io`].
    pub fn open(dir: &Path, operator: AccountSecret) -> Result<Ledger, LedgerError> {
        Ledger::open_with(dir, operator, SoloConfig::default())
    }

    /// [`Ledger::open`] with settings.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(dir: &Path, operator: AccountSecret, config: SoloConfig) -> Result<Ledger, LedgerError> {
        let genesis = read_genesis(dir)?;
        let lock = take_lock(dir)?;
        check_operator(&genesis, &operator)?;
        start(dir, genesis, operator, config, lock)
    }

    /// Submits a transaction and waits until it is durable. Submitting the same one again
    /// returns the receipt it has.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn submit(&self, tx: SignedTx) -> Result<Receipt, SubmitError> {
        let core = &self.handle.core;
        core.check_running()?;
        let verified =
            VerifiedTx::new(&core.genesis.chain_id(), tx, &core.index).map_err(|error| core.refuse(error))?;
        if let Some(receipt) = query::receipt(&core.index, &verified.hash()).map_err(|error| core.stop(&error))? {
            return Ok(receipt);
        }
        let (reply, answer) = sync_channel(1);
        let stopped = || SubmitError::Stopped(core.why_stopped());
        let queue = self.handle.queue.as_ref().ok_or_else(stopped)?;
        match queue.try_send(Submission { tx: verified, reply }) {
            Ok(()) => answer.recv().map_err(|_| stopped())?,
            Err(TrySendError::Full(_)) => Err(SubmitError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(stopped()),
        }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.handle.core
    }
}

impl Core {
    fn check_running(&self) -> Result<(), SubmitError> {
        match &*self.stopped.read().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => Err(SubmitError::Stopped(why.clone())),
            None => Ok(()),
        }
    }

    fn why_stopped(&self) -> String {
        let why = self.stopped.read().unwrap_or_else(PoisonError::into_inner);
        why.clone().unwrap_or_else(|| "its committer ended".into())
    }

    /// Takes no more transactions: the index failed and is to be rebuilt by the next opening.
    pub(crate) fn stop(&self, error: &IndexError) -> SubmitError {
        if let Err(error) = write_durably(&self.dir.join(INDEX_BAD), b"") {
            tracing::error!(%error, "could not note that the index failed");
        }
        self.stop_for(error.to_string())
    }

    /// What a sender is told; a failure of the index stops the ledger.
    pub(crate) fn refuse(&self, error: ExecuteError) -> SubmitError {
        match error {
            ExecuteError::Rejected(rejection) => SubmitError::Rejected(rejection),
            ExecuteError::Index(error) => self.stop(&error),
        }
    }

    /// Takes no more transactions.
    pub(crate) fn stop_for(&self, why: String) -> SubmitError {
        tracing::error!(why, "the ledger stops");
        *self.stopped.write().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
        SubmitError::Stopped(why)
    }

    pub(crate) fn head(&self) -> Arc<Head> {
        self.head.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_head(&self, header: Header) {
        let head = Arc::new(Head::new(header, &self.operator));
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = head;
    }
}

impl Head {
    fn new(header: Header, operator: &AccountSecret) -> Head {
        let checkpoint = Checkpoint { size: header.tree_size, root: header.log_root }.sign(&header.chain, operator);
        Head { header, checkpoint }
    }
}

/// Reads and checks the genesis of the ledger in `dir`.
///
/// # Errors
/// [`LedgerError::NotFound`], [`LedgerError::Damaged`], [`LedgerError::Genesis`], [`LedgerError::Io`].
pub fn read_genesis(dir: &Path) -> Result<Genesis, LedgerError> {
    let path = dir.join(GENESIS_FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(LedgerError::NotFound(dir.to_owned()));
        }
        Err(error) => return Err(LedgerError::io("read", &path, &error)),
    };
    let damaged =
        |what: String| LedgerError::Damaged { file: path.clone(), offset: 0, height: crate::ids::BlockHeight(0), what };
    let genesis: Genesis = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    genesis.validate().map_err(|error| damaged(error.to_string()))?;
    Ok(genesis)
}

fn check_operator(genesis: &Genesis, operator: &AccountSecret) -> Result<(), LedgerError> {
    let (expected, found) = (genesis.operator.address(), operator.address());
    if expected == found { Ok(()) } else { Err(LedgerError::WrongOperator { expected, found }) }
}

pub(crate) fn take_lock(dir: &Path) -> Result<File, LedgerError> {
    let path = dir.join(LOCK_FILE);
    let open = File::options().write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(|error| LedgerError::io("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(LedgerError::io("lock", &path, &error)),
    }
}

/// Whether the log holds more than the block 0 that an interrupted creation leaves behind.
fn log_has_blocks(dir: &Path) -> bool {
    let path = dir.join(LOG_FILE);
    let Ok(mut file) = File::open(&path) else { return false };
    let Ok((_, end)) = read_block(&mut file, &path, crate::log::FIRST_RECORD, crate::ids::BlockHeight(0)) else {
        return true;
    };
    file.metadata().map_or(true, |metadata| metadata.len() > end)
}

fn start(
    dir: &Path,
    genesis: Genesis,
    operator: AccountSecret,
    config: SoloConfig,
    lock: File,
) -> Result<Ledger, LedgerError> {
    let header = genesis.header();
    let index = open_index(dir)?;
    let indexed = head(&index).ok().flatten();
    let (log, opened) = Log::open(dir, &header, indexed.as_ref().map(|indexed| indexed.height))?;
    let index = follow(dir, &genesis, index, indexed, &opened)?;
    let path = dir.join(LOG_FILE);
    let reader = File::open(&path).map_err(|error| LedgerError::io("read", &path, &error))?;
    let core = Arc::new(Core {
        dir: dir.to_owned(),
        head: RwLock::new(Arc::new(Head::new(opened.head, &operator))),
        genesis,
        operator,
        index,
        gate: Mutex::new(()),
        stopped: RwLock::new(None),
        reader: Mutex::new(reader),
    });
    let (queue, submissions) = sync_channel(config.queue.max(1));
    let committer = Committer::new(core.clone(), log, config.tick);
    let committer = std::thread::Builder::new()
        .name("sealgate-ledger".into())
        .spawn(move || committer.run(&submissions))
        .map_err(|error| LedgerError::io("start the committer of", dir, &error))?;
    let handle = Handle { core, queue: Some(queue), committer: Some(committer), _lock: lock };
    Ok(Ledger { handle: Arc::new(handle) })
}

/// Opens the index, or an empty one in its place when it is unusable.
fn open_index(dir: &Path) -> Result<SledIndex, LedgerError> {
    if dir.join(INDEX_BAD).exists() {
        wipe_index(dir)?;
    }
    let opened = SledIndex::open(&dir.join(INDEX_FOLDER)).and_then(|index| head(&index).map(|_| index));
    match opened {
        Ok(index) => Ok(index),
        Err(error) => {
            tracing::info!(%error, "rebuilding the index from the block log");
            wipe_index(dir)?;
            Ok(SledIndex::open(&dir.join(INDEX_FOLDER))?)
        }
    }
}

fn wipe_index(dir: &Path) -> Result<(), LedgerError> {
    let folder = dir.join(INDEX_FOLDER);
    let gone = |result: std::io::Result<()>, path: &Path| match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LedgerError::io("remove", path, &error)),
        _ => Ok(()),
    };
    let removed = if folder.is_file() { std::fs::remove_file(&folder) } else { std::fs::remove_dir_all(&folder) };
    gone(removed, &folder)?;
    let marker = dir.join(INDEX_BAD);
    gone(std::fs::remove_file(&marker), &marker)
}

/// Brings the index up to the log's head; begins anew when it is not a state of this log.
fn follow(
    dir: &Path,
    genesis: &Genesis,
    index: SledIndex,
    indexed: Option<Header>,
    opened: &Opened,
) -> Result<SledIndex, LedgerError> {
    // An index that comes back empty is not filled again but made anew: sled reads past a damaged
    // first segment, and would lose what is written behind it every time.
    if indexed.is_some() && indexed == opened.indexed {
        match catch_up(dir, genesis, &index, indexed) {
            Ok(()) => return Ok(index),
            Err(error) => tracing::info!(%error, "the index could not follow the block log"),
        }
    }
    tracing::info!("the index is not a state of this block log; rebuilding it");
    drop(index);
    wipe_index(dir)?;
    let index = SledIndex::open(&dir.join(INDEX_FOLDER))?;
    catch_up(dir, genesis, &index, None)?;
    Ok(index)
}

fn catch_up(dir: &Path, genesis: &Genesis, index: &SledIndex, indexed: Option<Header>) -> Result<(), LedgerError> {
    let (path, first) = (dir.join(LOG_FILE), genesis.header());
    let mut previous = match indexed {
        Some(header) => header,
        None => {
            index.apply(&genesis_batch(genesis))?;
            first.clone()
        }
    };
    let place = query::place(index, previous.height)?;
    let place = place.ok_or_else(|| IndexError::Storage("it does not know where its head lies in the log".into()))?;
    let mut file = File::open(&path).map_err(|error| LedgerError::io("read", &path, &error))?;
    let (_, end) = read_block(&mut file, &path, place.offset, previous.height)?;
    let mut scanner = Scanner::resume(&path, &first, Some(previous.clone()), end)?;
    loop {
        match scanner.step()? {
            Step::End => return Ok(()),
            Step::Bad(bad) => return Err(bad.damaged(&path)),
            Step::Block { block, offset, .. } => {
                let batch =
                    replay_block(genesis, index, &previous, &block, offset).map_err(|error| LedgerError::Damaged {
                        file: path.clone(),
                        offset,
                        height: block.header.height,
                        what: error.to_string(),
                    })?;
                index.apply(&batch)?;
                previous = block.header;
            }
        }
    }
}

#[cfg(test)]
mod tests;
