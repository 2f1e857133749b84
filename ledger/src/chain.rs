//! A ledger in a folder: the block log, the index that follows it, and the one writer of both.
//! Who orders the transactions is an engine's matter (docs/spec/ledger.md).

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::mpsc;

use crate::block::{Block, Header, Receipt};
use crate::checkpoint::SignedCheckpoint;
use crate::engine::{Engine, Reply};
use crate::error::{LedgerError, SubmitError};
use crate::genesis::Genesis;
#[cfg(feature = "simplex")]
use crate::index::Overlay;
use crate::index::{Batch, Index, IndexError, SledIndex, TrailingIndex, head};
use crate::log::{AppendError, LOG_FILE, Log, Opened, Scanner, Step, read_block, sync_folder, write_durably};
#[cfg(feature = "simplex")]
use crate::merkle;
use crate::state::execute::{BlockBuilder, genesis_batch};
#[cfg(feature = "simplex")]
use crate::state::replay::ReplayError;
use crate::state::verify::Unverified;
use crate::state::{ExecuteError, query, replay::replay_block};
use crate::tx::SignedTx;
use crate::verifier::Verifier;

mod proofs;
mod reads;

pub use proofs::HANDOVERS_PAGE_MAX;
pub use reads::REQUESTS_PAGE_MAX;

/// Name of the genesis file. It is written last: its presence makes the ledger exist.
pub const GENESIS_FILE: &str = "genesis.json";
/// Name of the lock file.
pub const LOCK_FILE: &str = "lock";
/// Name of the index's folder.
pub const INDEX_FOLDER: &str = "index";
/// Its presence says that the index failed and is to be rebuilt.
pub(crate) const INDEX_BAD: &str = "index.bad";

/// A ledger that is open in this process. Clones share it; when the last is dropped, the engine
/// ends, the index is flushed and the lock released.
#[derive(Clone)]
pub struct Ledger {
    handle: Arc<Handle>,
}

/// What readers and the writer share.
pub(crate) struct Core {
    pub(crate) dir: PathBuf,
    pub(crate) genesis: Genesis,
    pub(crate) index: TrailingIndex,
    head: RwLock<Arc<Head>>,
    certified: RwLock<Arc<Certified>>,
    /// Held by the writer while log and index differ.
    pub(crate) gate: Mutex<()>,
    /// Why the ledger takes no more transactions, if it does not.
    stopped: RwLock<Option<String>>,
    reader: Mutex<File>,
}

/// The last block executed.
type Head = Header;

/// The last block whose checkpoint carries the signatures it needs.
pub(crate) struct Certified {
    pub(crate) header: Header,
    pub(crate) checkpoint: SignedCheckpoint,
}

struct Handle {
    core: Arc<Core>,
    verifier: Option<Verifier>,
    engine: Option<Arc<dyn Engine>>,
    _lock: File,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.verifier = None;
        self.engine = None;
        if let Err(error) = self.core.index.flush() {
            self.core.stop(&error);
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({})", self.handle.core.dir.display())
    }
}

impl Ledger {
    /// Submits a transaction and waits until it is durable. Submitting the same one again
    /// returns the receipt it has. Not for a task of a runtime: that awaits [`Ledger::begin`]'s.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn submit(&self, tx: SignedTx) -> Result<Receipt, SubmitError> {
        self.begin(tx)?.wait()
    }

    /// Takes a transaction that is to be submitted, without waiting for its block. It reads the index.
    ///
    /// # Errors
    /// [`SubmitError`] where that is certain already.
    pub fn begin(&self, tx: SignedTx) -> Result<Pending, SubmitError> {
        let core = &self.handle.core;
        core.check_running()?;
        let chain = core.head().chain;
        let unverified = Unverified::new(&chain, tx, &core.index).map_err(|error| core.refuse(error))?;
        match query::receipt(&core.index, &unverified.hash()).map_err(|error| core.stop(&error))? {
            Some(receipt) if receipt.height <= core.certified().header.height => {
                return Ok(Pending(Waits::Over(receipt)));
            }
            Some(_) => {}
            None => unverified.admit(core.head().height, &core.index).map_err(|error| core.refuse(error))?,
        }
        let (reply, answer) = mpsc::channel(1);
        let stopped = || SubmitError::Stopped(core.why_stopped());
        self.handle.verifier.as_ref().ok_or_else(stopped)?.submit(unverified, reply)?;
        Ok(Pending(Waits::For(answer, core.clone())))
    }

    pub(crate) fn core(&self) -> &Core {
        &self.handle.core
    }
}

/// A transaction on its way into a block. Dropping it leaves open whether it comes there.
#[must_use = "only its receipt says that it is durable"]
pub struct Pending(Waits);

enum Waits {
    Over(Receipt),
    For(mpsc::Receiver<Reply>, Arc<Core>),
}

impl Pending {
    /// Waits until it is durable, on a thread that may wait.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn wait(self) -> Result<Receipt, SubmitError> {
        match self.0 {
            Waits::Over(receipt) => Ok(receipt),
            Waits::For(mut answer, core) => came(answer.blocking_recv(), &core),
        }
    }

    /// The same for a task.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn receipt(self) -> Result<Receipt, SubmitError> {
        match self.0 {
            Waits::Over(receipt) => Ok(receipt),
            Waits::For(mut answer, core) => came(answer.recv().await, &core),
        }
    }
}

fn came(reply: Option<Reply>, core: &Core) -> Result<Receipt, SubmitError> {
    reply.unwrap_or_else(|| Err(SubmitError::Stopped(core.why_stopped())))
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Waits::Over(receipt) => write!(f, "Pending({receipt:?})"),
            Waits::For(..) => f.write_str("Pending"),
        }
    }
}

/// A ledger's folder, opened and checked: what an engine is started on.
pub(crate) struct Opening {
    pub(crate) chain: Chain,
    lock: File,
}

impl Opening {
    /// Makes a ledger in the folder `dir`.
    ///
    /// # Errors
    /// [`LedgerError::Exists`], [`LedgerError::Genesis`], [`LedgerError::InUse`],
    /// [`LedgerError::Io`].
    pub(crate) fn create(dir: &Path, genesis: Genesis) -> Result<Opening, LedgerError> {
        genesis.validate()?;
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
        Opening::start(dir, genesis, lock)
    }

    /// Opens the ledger in `dir`: checks the whole log, cuts a torn tail that was never
    /// acknowledged, brings the index up to it or rebuilds it.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`], [`LedgerError::InUse`], [`LedgerError::Damaged`] naming file,
    /// offset and block, [`LedgerError::Io`].
    pub(crate) fn open(dir: &Path) -> Result<Opening, LedgerError> {
        let genesis = read_genesis(dir)?;
        let lock = take_lock(dir)?;
        Opening::start(dir, genesis, lock)
    }

    fn start(dir: &Path, genesis: Genesis, lock: File) -> Result<Opening, LedgerError> {
        let header = genesis.header();
        let index = open_index(dir)?;
        let indexed = head(&index).ok().flatten();
        let (log, opened) = Log::open(dir, &header, indexed.as_ref().map(|indexed| indexed.height))?;
        let index = TrailingIndex::over(follow(dir, &genesis, index, indexed, &opened)?)?;
        let path = dir.join(LOG_FILE);
        let reader = File::open(&path).map_err(|error| LedgerError::io("read", &path, &error))?;
        let nothing = Certified { header: header.clone(), checkpoint: SignedCheckpoint(String::new()) };
        let core = Arc::new(Core {
            dir: dir.to_owned(),
            head: RwLock::new(Arc::new(opened.head)),
            certified: RwLock::new(Arc::new(nothing)),
            genesis,
            index,
            gate: Mutex::new(()),
            stopped: RwLock::new(None),
            reader: Mutex::new(reader),
        });
        Ok(Opening { chain: Chain { core, log }, lock })
    }

    /// The ledger's genesis.
    pub(crate) fn genesis(&self) -> &Genesis {
        &self.chain.core.genesis
    }

    /// Hands the chain to an engine. The engine has certified a head before it returns.
    ///
    /// # Errors
    /// What starting the engine gives; [`LedgerError::Io`] when there are no threads to be had.
    pub(crate) fn with<E: From<LedgerError>>(
        self,
        start: impl FnOnce(Chain) -> Result<Box<dyn Engine>, E>,
    ) -> Result<Ledger, E> {
        let core = self.chain.core.clone();
        let engine: Arc<dyn Engine> = start(self.chain)?.into();
        let verifier = Verifier::start(&engine)
            .map_err(|error| LedgerError::io("start the threads of the ledger in", &core.dir, &error))?;
        let handle = Handle { core, verifier: Some(verifier), engine: Some(engine), _lock: self.lock };
        Ok(Ledger { handle: Arc::new(handle) })
    }
}

/// The one writer of a ledger's log and index.
pub(crate) struct Chain {
    core: Arc<Core>,
    pub(crate) log: Log,
}

impl Chain {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Begins the block after the head.
    pub(crate) fn begin<'a>(
        &self,
        core: &'a Core,
        head: &'a Header,
        time_ms: u64,
    ) -> Result<BlockBuilder<'a, TrailingIndex>, SubmitError> {
        BlockBuilder::begin(&core.genesis, &core.index, head, time_ms).map_err(|error| core.stop(&error))
    }

    /// Seals the block that was begun on the head and commits it: durable in the log and visible
    /// in the index when this returns.
    ///
    /// # Errors
    /// [`SubmitError::Undone`]: nothing of the block remains. [`SubmitError::Stopped`]: the ledger
    /// takes nothing more, and the next opening decides what became of the block.
    pub(crate) fn commit(&mut self, builder: BlockBuilder<'_, TrailingIndex>) -> Result<Header, SubmitError> {
        let (block, batch) = builder.seal(self.log.length()).map_err(|error| self.core.stop(&error))?;
        self.append(&block, &batch)?;
        Ok(block.header)
    }

    /// Whether blocks behind the head hold the very entries that their headers' roots are over.
    /// Headers may be true and signed, and what came with them altered on the way.
    #[cfg(feature = "simplex")]
    pub(crate) fn covers(&self, blocks: &[Block]) -> Result<bool, IndexError> {
        let (mut tree, mut size) = (Overlay::new(&self.core.index), self.core.head().tree_size);
        for Block { header, entries } in blocks {
            for entry in entries {
                merkle::append(&mut tree, size, entry.leaf())?;
                size += 1;
            }
            if header.tree_size != size || header.log_root != merkle::root(&tree, size)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Executes a block that was made elsewhere, compares all it says, and commits it.
    ///
    /// # Errors
    /// [`AdoptError::Replay`]: the block is not what the rules make of the head; nothing has
    /// changed. [`AdoptError::Submit`] as [`Chain::commit`].
    #[cfg(feature = "simplex")]
    pub(crate) fn adopt(&mut self, block: &Block) -> Result<(), AdoptError> {
        let core = self.core.clone();
        let head = core.head();
        let batch = replay_block(&core.genesis, &core.index, &head, block, self.log.length())?;
        self.append(block, &batch).map_err(AdoptError::Submit)
    }

    fn append(&mut self, block: &Block, batch: &Batch) -> Result<(), SubmitError> {
        let core = &self.core;
        let _gate = core.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.log.append(block).map_err(|error| match error {
            AppendError::Undone(what) => {
                tracing::error!(what, height = block.header.height.0, "a block could not be written and was undone");
                SubmitError::Undone(what)
            }
            AppendError::Broken(what) => core.stop_for(what),
        })?;
        core.index.apply(batch).map_err(|error| core.stop(&error))?;
        *core.head.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(block.header.clone());
        Ok(())
    }
}

/// Why a block made elsewhere is not adopted.
#[cfg(feature = "simplex")]
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    /// It breaks the rules.
    #[error("{0}")]
    Replay(#[from] ReplayError),
    /// It could not be kept.
    #[error("{0}")]
    Submit(SubmitError),
}

impl Core {
    pub(crate) fn check_running(&self) -> Result<(), SubmitError> {
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

    /// The last block executed.
    pub(crate) fn head(&self) -> Arc<Header> {
        self.head.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last block whose checkpoint is signed, and that checkpoint.
    pub(crate) fn certified(&self) -> Arc<Certified> {
        self.certified.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records the signed checkpoint of the block `header`.
    pub(crate) fn certify(&self, header: Header, checkpoint: SignedCheckpoint) {
        let certified = Certified { header, checkpoint };
        self.keep_handover(&certified);
        *self.certified.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
    }
}

/// Makes the folder of a ledger that another process will open.
///
/// # Errors
/// [`LedgerError::Exists`], [`LedgerError::Genesis`], [`LedgerError::InUse`], [`LedgerError::Io`].
pub fn make(dir: &Path, genesis: Genesis) -> Result<(), LedgerError> {
    Opening::create(dir, genesis).map(drop)
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
