//! A member's node: the ledger in its folder, the connections to other nodes, the agreement.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use commonware_cryptography::ed25519::PrivateKey;
use commonware_runtime::{Runner, tokio as runtime};
use tokio::sync::mpsc;

use super::agreement::Timeouts;
use super::epochs::Epochs;
use super::keys::{private_key, verify_key};
use super::notary::Notary;
use super::pool::{Rate, Rates};
use super::running;
use super::store::BatchStore;
use super::time::{Machine, Time};
use super::tls::{Allowed, Tls};
use super::transport::Transport;
use crate::account::{NodeSecret, VerifyKey};
use crate::chain::{self, Chain, Ledger, Opening};
use crate::engine::{Engine, Submission};
use crate::error::{LedgerError, SubmitError};
use crate::genesis::Genesis;
use crate::ids::BlockHeight;
use crate::log::{disk, write_durably};
use crate::member::Certificate;
use crate::state::query;

/// Folder of what belongs to the agreement.
pub const CONSENSUS_FOLDER: &str = "consensus";
/// Its presence says that the folder has been there from the node's beginning.
const COMPLETE: &str = "complete";
/// Submissions that may wait before [`SubmitError::Busy`].
const QUEUE: usize = 8192;

/// What a member's node is run with.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Where it listens for other nodes.
    pub listen: SocketAddr,
    /// The node's key.
    pub secret: NodeSecret,
    /// The consortium's certificate for it.
    pub certificate: Certificate,
    /// How long the agreement waits.
    pub timeouts: Timeouts,
    /// How fast each account may send transactions.
    pub rate: Rate,
    /// How fast all who open accounts for themselves may do so together.
    pub strangers: Rate,
    /// Other addresses for some nodes than the members' records say, as seen from this machine.
    pub addresses: Vec<(VerifyKey, String)>,
    /// Nodes to connect to besides the members known here: for a node so far behind that it knows
    /// none of today's.
    pub others: Vec<(VerifyKey, String)>,
}

impl NodeConfig {
    /// The usual settings.
    pub fn new(listen: SocketAddr, secret: NodeSecret, certificate: Certificate) -> NodeConfig {
        NodeConfig {
            listen,
            secret,
            certificate,
            timeouts: Timeouts::default(),
            rate: Rate::default(),
            strangers: Rate { per_second: 50, burst: 500 },
            addresses: Vec::new(),
            others: Vec::new(),
        }
    }

    pub(super) fn rates(&self) -> Rates {
        Rates::new(self.rate, self.strangers)
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The ledger cannot be opened.
    #[error("{0}")]
    Ledger(#[from] LedgerError),
    /// The ledger is an embedded one.
    #[error("this ledger is run by its operator alone: it has no network of members")]
    Embedded,
    /// The certificates or the key do not fit.
    #[error("the node's certificate cannot be used: {0}")]
    Certificate(String),
    /// The address is taken, or not this machine's.
    #[error("the node cannot listen on {address}: {what}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        what: String,
    },
    /// The votes of this node are gone.
    #[error(
        "{} is missing or incomplete, and this ledger has blocks: the node cannot know what it has voted for. Have the members replace its node key (sealgate member propose), and start it with the new key after removing that folder",
        .0.display()
    )]
    VotesLost(PathBuf),
    /// The operating system refused.
    #[error("could not use {}: {what}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        what: String,
    },
}

/// Makes a member's copy of the ledger in the folder `dir`, from the genesis, and starts its node.
///
/// # Errors
/// [`NodeError`].
pub fn create(dir: &Path, genesis: Genesis, config: NodeConfig) -> Result<Ledger, NodeError> {
    start_on(Opening::create(dir, genesis)?, dir, config)
}

/// Starts the node of the ledger in the folder `dir`. The handle is the same as an embedded
/// ledger's; dropping the last one ends the node.
///
/// # Errors
/// [`NodeError`].
pub fn open(dir: &Path, config: NodeConfig) -> Result<Ledger, NodeError> {
    start_on(Opening::open(dir)?, dir, config)
}

/// [`open`], and a view of the node for whoever watches over it.
///
/// # Errors
/// [`NodeError`].
pub fn open_watched(dir: &Path, config: NodeConfig) -> Result<(Ledger, NodeStatus), NodeError> {
    let opening = Opening::open(dir)?;
    let status =
        NodeStatus { ledger: opening.chain.core().clone(), me: config.secret.verify_key(), transport: Arc::default() };
    let shown = status.transport.clone();
    let ledger = opening
        .with(|chain| Ok::<_, NodeError>(Box::new(Node::start(chain, dir, config, shown)?) as Box<dyn Engine>))?;
    Ok((ledger, status))
}

fn start_on(opening: Opening, dir: &Path, config: NodeConfig) -> Result<Ledger, NodeError> {
    opening.with(|chain| Ok(Box::new(Node::start(chain, dir, config, Arc::default())?) as Box<dyn Engine>))
}

/// What a running node can be asked by whoever watches over it.
#[derive(Clone)]
pub struct NodeStatus {
    ledger: Arc<chain::Core>,
    me: VerifyKey,
    transport: Arc<OnceLock<Transport>>,
}

impl NodeStatus {
    /// The other nodes that it knows, and whether it is connected to them.
    pub fn peers(&self) -> Vec<(VerifyKey, bool)> {
        let Some(transport) = self.transport.get() else { return Vec::new() };
        let connected = transport.connected();
        let peers = transport.peers().into_iter();
        peers.filter_map(|key| Some((verify_key(&key)?, connected.contains(&key)))).collect()
    }

    /// The last block executed here; [`Ledger::head`] is the last that a quorum has signed.
    pub fn executed(&self) -> BlockHeight {
        self.ledger.head().height
    }

    /// Whether the node is a member's, as of the last block executed here.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn is_member(&self) -> Result<bool, LedgerError> {
        Ok(query::members(&self.ledger.index)?.node(&self.me).is_some())
    }

    /// Why the node takes nothing more, if it does not.
    pub fn stopped(&self) -> Option<String> {
        self.ledger.check_running().err().map(|error| error.to_string())
    }
}

impl std::fmt::Debug for NodeStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeStatus({})", self.me)
    }
}

/// The engine behind the ledger's handle.
struct Node {
    submissions: Option<mpsc::Sender<Submission>>,
    ledger: Arc<chain::Core>,
    rates: Mutex<Rates>,
    time: Machine,
    thread: Option<JoinHandle<()>>,
}

impl Engine for Node {
    fn submit(&self, submission: Submission) -> Result<(), SubmitError> {
        let tx = submission.tx.signed();
        if !self.rates.lock().unwrap_or_else(PoisonError::into_inner).admit(tx, self.time.now_ms()) {
            return Err(SubmitError::TooFast(tx.tx.sender));
        }
        let stopped = || SubmitError::Stopped("the node has ended".into());
        match self.submissions.as_ref().ok_or_else(stopped)?.try_send(submission) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(SubmitError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(self.ledger.check_running().err().unwrap_or_else(stopped)),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The core ends when nobody can submit any more.
        self.submissions = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the node had panicked");
        }
    }
}

/// Stops the ledger when the node's thread panics, which the library does when its own files fail.
struct Watch(Arc<chain::Core>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.stop_for("the node has panicked: see the log".into());
        }
    }
}

/// What is opened before the threads start, so that starting can fail.
pub(super) struct Opened {
    pub(super) chain: Chain,
    pub(super) epochs: Epochs,
    pub(super) store: BatchStore,
    pub(super) notary: Notary,
    pub(super) tls: Tls,
    pub(super) allowed: Allowed,
    pub(super) listener: std::net::TcpListener,
    pub(super) key: PrivateKey,
    pub(super) dir: PathBuf,
    pub(super) config: NodeConfig,
}

impl Node {
    fn start(chain: Chain, dir: &Path, config: NodeConfig, shown: Arc<OnceLock<Transport>>) -> Result<Node, NodeError> {
        let opened = Opened::open(chain, dir, config)?;
        let ledger = opened.chain.core().clone();
        let rates = Mutex::new(opened.config.rates());
        let (submissions, waiting) = mpsc::channel(QUEUE);
        let watched = Watch(ledger.clone());
        let thread = std::thread::Builder::new().name("sealgate-node".into()).spawn(move || {
            let _watched = watched;
            let settings = runtime::Config::new().with_worker_threads(2).with_storage_directory(opened.dir.clone());
            runtime::Runner::new(settings).start(|context| running::run(opened, context, waiting, shown));
        });
        let thread = thread.map_err(|error| NodeError::Io { path: dir.to_owned(), what: error.to_string() })?;
        Ok(Node { submissions: Some(submissions), ledger, rates, time: Machine::new(), thread: Some(thread) })
    }
}

impl Opened {
    fn open(chain: Chain, dir: &Path, config: NodeConfig) -> Result<Opened, NodeError> {
        let core = chain.core().clone();
        let network = core.genesis.network.as_ref().ok_or(NodeError::Embedded)?;
        let dir = dir.join(CONSENSUS_FOLDER);
        let io = |error: std::io::Error| NodeError::Io { path: dir.clone(), what: error.to_string() };
        let marker = dir.join(COMPLETE);
        if !marker.exists() {
            if core.head().height != BlockHeight(0) {
                return Err(NodeError::VotesLost(dir));
            }
            std::fs::create_dir_all(&dir).map_err(io)?;
            write_durably(&marker, b"")?;
        }
        let disk = disk();
        let epochs = Epochs::open(&dir.join("epochs"), &core.genesis, &disk).map_err(io)?;
        let store = BatchStore::open(&dir.join("batches"), disk.clone()).map_err(io)?;
        let mut notary = Notary::open(&dir, &disk).map_err(io)?;
        if let Some((height, note)) = notary.last(core.head().height) {
            core.certify(core.block(height)?.header, note);
            notary.resume(height);
        }
        let allowed = Allowed::default();
        let certificate = |what: String| NodeError::Certificate(what);
        let tls = Tls::new(&network.authority, &config.certificate, &config.secret, allowed.clone())
            .map_err(|error| certificate(error.to_string()))?;
        let key = private_key(&config.secret).ok_or_else(|| certificate("the node's key is none".into()))?;
        let listen = |error: std::io::Error| NodeError::Listen { address: config.listen, what: error.to_string() };
        let listener = std::net::TcpListener::bind(config.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        Ok(Opened { chain, epochs, store, notary, tls, allowed, listener, key, dir, config })
    }
}
