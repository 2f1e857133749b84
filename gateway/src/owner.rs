//! An owner's data folder: account, root key, ledger, parameters, sealed objects, stored answers.
//! Its commands work whether or not a gateway serves from the same folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealgate_ledger::account::{AccountPublic, AccountSecret};
use sealgate_ledger::block::Receipt;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, TxHash};
use sealgate_ledger::member::Policy;
use sealgate_ledger::state::{AccountView, AssetView, VersionView};
use sealgate_ledger::tx::{EXPIRY_BLOCKS_MAX, SignedTx, Tx, TxBody};
use sealgate_ledger::{Ledger, LedgerError, SubmitError};
use sealgate_ods::keys::{AssetKeys, AssetLabel, KeyError, KeyFolder, KeyVault, RootFile, RootKey};
use sealgate_ods::seal::AttemptId;
use sealgate_ods::store::{Store, StoreError};
use sealgate_ods::suite::UnknownAlgorithm;
use sealgate_ods::table::{VersionRef, is_retired};
use serde::{Deserialize, Serialize};

use crate::account_file::{self, ACCOUNT_FILE};
use crate::catalogue::Search;
use crate::ceremony::Finished;
use crate::client::{AssetDetail, Client, ClientError, Governance};
use crate::config::{CONFIG_FILE, Config, ConfigError, TEMPLATE};
use crate::files::{FileError, create_private_dir, read_json, write_private};
use crate::naming::{AssetName, Who, near};
use crate::nodes::OwnNode;
use crate::parameters::{ParameterError, Parameters};
use crate::passphrase;

/// The root key's file in a data folder.
pub(crate) const ROOT_KEY_FILE: &str = "root.key";
/// Stands in a data folder while `init` is at work in it.
pub(crate) const UNFINISHED: &str = "init.unfinished";
/// Blocks within which a request must be answered.
pub(crate) const ANSWER_WINDOW_BLOCKS: u64 = 1000;
/// Denied requests of one account that are recorded in a day.
pub(crate) const DENIALS_A_DAY: u32 = 1000;
/// How often a command submits its transaction again where the gateway is busy, and after how long.
const SUBMIT_TRIES: u32 = 20;
const SUBMIT_PAUSE: Duration = Duration::from_secs(1);
/// How long a transaction may wait to be included.
const EXPIRY_BLOCKS: u64 = EXPIRY_BLOCKS_MAX / 10;

/// Why something in a data folder cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// A file of the folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger refused a transaction.
    #[error("the ledger refused: {0}")]
    Submit(#[from] SubmitError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The sealed objects.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The proving keys.
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// The gateway that serves this folder.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Something uses the folder that must stand still.
    #[error("{folder} is in use ({by}): stop that first, or wait until it is done, then run the command again", folder = .folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// By what.
        by: &'static str,
    },
    /// The node could not be started.
    #[error("the node did not start: {0}")]
    Node(String),
    /// This program was built without networks.
    #[error(
        "this ledger is shared by a network of members, and this program was built without them: build it with 'cargo build --release --features simplex'"
    )]
    NoNetworks,
    /// The folder is not an owner's.
    #[error("{folder} is no data folder of an owner: make one with 'sealgate init --data-dir {folder} --name NAME'", folder = .0.display())]
    NotInitialised(PathBuf),
    /// The ledger has no such asset of this owner.
    #[error("this owner has published no asset '{0}': 'sealgate catalogue' lists what there is")]
    NoAsset(String),
    /// The ledger has no such asset of this owner, and one of nearly the same name.
    #[error("this owner has published no asset '{name}': did you mean '{near}'?")]
    NoAssetBut {
        /// The name that was given.
        name: String,
        /// The name that there is.
        near: String,
    },
    /// The folder is a home.
    #[error("{folder} is no data folder of an owner, but a requester's or auditor's home: name the data folder with --data-dir, or make one with 'sealgate init'", folder = .0.display())]
    IsHome(PathBuf),
    /// The address noted in the folder belongs to another gateway.
    #[error(
        "the ledger is in use, and the gateway at {0} serves another one: stop what uses this folder, then try again"
    )]
    OtherLedger(String),
    /// A version was sealed or hashed with what this program does not know.
    #[error("a version cannot be read: {0}")]
    Suite(#[from] UnknownAlgorithm),
    /// The account book of what answers told does not add up.
    #[error("the ledger's account of what answers have told: {0}")]
    Budget(#[from] crate::budget::BudgetError),
    /// An earlier 'init' was cut short.
    #[error("an 'init' of {folder} was cut short: run 'sealgate init --data-dir {folder}' again", folder = .0.display())]
    Unfinished(PathBuf),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Randomness(String),
}

/// Paths and keys of a data folder.
pub struct Owner {
    folder: PathBuf,
    account: AccountSecret,
    root: RootFile,
    /// Opened when first needed: a passphrase is not asked of who needs no key.
    keys: OnceLock<KeyFolder>,
    config: Config,
    store: Store,
}

/// What there is of an asset's keys in a folder.
#[derive(Debug, Clone)]
pub struct ListedKeys {
    /// The asset, as its keys are kept.
    pub label: AssetLabel,
    /// KEKs of earlier rotations that are kept.
    pub former: usize,
    /// Root keys beside the folder's that open these keys.
    pub other_roots: usize,
}

/// How a serving gateway can be reached by the owner's own commands.
#[derive(Serialize, Deserialize)]
pub struct Serving {
    /// Its address, `http://host:port` or `https://host:port`.
    pub url: String,
    /// What the owner's own commands show.
    pub token: String,
    /// Where the certificate lies under which it serves, if it does.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
}

impl Serving {
    /// A client of the gateway that serves here, which believes its certificate alone.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn client(&self) -> Result<Client, ClientError> {
        match &self.certificate {
            Some(certificate) => Client::pinned(&self.url, certificate),
            None => Client::new(&self.url),
        }
    }
}

impl Owner {
    /// Makes a data folder: keys, an embedded ledger, and the parameters of a finished ceremony, or
    /// new ones for development.
    ///
    /// # Errors
    /// [`OwnerError`]; a folder that holds an account already is refused.
    pub fn init(
        folder: &Path,
        name: &str,
        auditor: Option<AccountPublic>,
        ceremony: Option<Finished>,
        root: &RootFile,
    ) -> Result<(Owner, Genesis), OwnerError> {
        let marker = folder.join(UNFINISHED);
        let used = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if used && !marker.exists() {
            let what = "the folder is not empty; choose another, or keep using the owner in it";
            return Err(FileError::content(folder, what).into());
        }
        // A name that cannot be one is refused before anything is made.
        AccountSecret::generate(name).map_err(|error| FileError::content(folder, error))?;
        create_private_dir(folder).map_err(FileError::io(folder))?;
        let notice = std::fs::File::create(&marker).map_err(FileError::io(&marker))?;
        if notice.try_lock().is_err() {
            return Err(FileError::content(folder, "another 'init' is at work in this folder").into());
        }
        // What an 'init' that was cut short left behind belongs to nobody yet.
        for file in [ACCOUNT_FILE, ROOT_KEY_FILE, CONFIG_FILE] {
            remove(&folder.join(file), |path| std::fs::remove_file(path))?;
        }
        for part in ["parameters", "ledger"] {
            remove(&folder.join(part), |path| std::fs::remove_dir_all(path))?;
        }
        let genesis = Self::fill(folder, name, auditor, ceremony, root)?;
        std::fs::remove_file(&marker).map_err(FileError::io(&marker))?;
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::io(folder))?;
        Ok((Self::open(folder)?, genesis))
    }

    /// Makes the keys of an owner's folder: its account and the root of its data keys.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub(crate) fn make_keys(folder: &Path, name: &str, root: &RootFile) -> Result<AccountSecret, OwnerError> {
        create_private_dir(folder).map_err(FileError::io(folder))?;
        let account = account_file::create(folder, name)?;
        root.save(&folder.join(ROOT_KEY_FILE), false)?;
        let config = folder.join(CONFIG_FILE);
        write_private(&config, TEMPLATE.as_bytes(), false).map_err(FileError::io(&config))?;
        Ok(account)
    }

    fn fill(
        folder: &Path,
        name: &str,
        auditor: Option<AccountPublic>,
        ceremony: Option<Finished>,
        root: &RootFile,
    ) -> Result<Genesis, OwnerError> {
        let account = Self::make_keys(folder, name, root)?;
        let parameters = Parameters::in_folder(&folder.join("parameters"));
        let genesis = Genesis {
            name: name.to_owned(),
            operator: account.public().clone(),
            network: None,
            development: ceremony.is_none(),
            ceremony: ceremony.as_ref().map(|ceremony| ceremony.digest),
            circuits: match ceremony {
                Some(ceremony) => parameters.adopt(ceremony)?,
                None => parameters.generate_development()?,
            },
            policy: Policy {
                open_enrolment: true,
                answer_window_blocks: ANSWER_WINDOW_BLOCKS,
                denials_a_day: DENIALS_A_DAY,
                auditor,
            },
            created_ms: clock_ms(),
        };
        drop(Ledger::create(&folder.join("ledger"), genesis.clone(), account)?);
        Ok(genesis)
    }

    /// Opens a data folder.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub fn open(folder: &Path) -> Result<Owner, OwnerError> {
        if folder.join(UNFINISHED).exists() {
            return Err(OwnerError::Unfinished(folder.to_owned()));
        }
        let ledger = folder.join("ledger");
        if let Err(error) = ledger.metadata()
            && error.kind() == std::io::ErrorKind::PermissionDenied
        {
            return Err(FileError::io(&ledger)(error).into());
        }
        if !ledger.is_dir() {
            let home = folder.join("ledgers").is_dir() || folder.join(ACCOUNT_FILE).is_file();
            if home && !folder.join(ROOT_KEY_FILE).exists() {
                return Err(OwnerError::IsHome(folder.to_owned()));
            }
            return Err(OwnerError::NotInitialised(folder.to_owned()));
        }
        for part in ["keys", "answers"] {
            let part = folder.join(part);
            create_private_dir(&part).map_err(FileError::io(&part))?;
        }
        let config = Config::read(folder)?;
        Ok(Owner {
            folder: folder.to_owned(),
            account: account_file::load_owners(folder)?,
            root: RootFile::load(&folder.join(ROOT_KEY_FILE))?,
            keys: OnceLock::new(),
            store: Store::open(&config.store)?,
            config,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The owner's account.
    pub fn account(&self) -> &AccountSecret {
        &self.account
    }

    /// What the folder's configuration says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The keys of all assets; who has to say the passphrase is asked for it the first time.
    ///
    /// # Errors
    /// [`KeyError`] when the root key is not given, or is another one.
    pub fn keys(&self) -> Result<&KeyFolder, KeyError> {
        if let Some(keys) = self.keys.get() {
            return Ok(keys);
        }
        let root = passphrase::root_key(&self.root, &self.folder.join(ROOT_KEY_FILE))?;
        Ok(self.keys.get_or_init(|| KeyFolder::new(&self.folder.join("keys"), Arc::new(root))))
    }

    /// The keys of all assets in the folder.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn listed_keys(&self) -> Result<Vec<ListedKeys>, KeyError> {
        let keys = self.keys()?;
        let listed = |label: AssetLabel| {
            let (former, other_roots) = (keys.asset(&label)?.former_count(), keys.other_roots(&label)?);
            Ok(ListedKeys { label, former, other_roots })
        };
        keys.list()?.into_iter().map(listed).collect()
    }

    /// What the root key's file says.
    pub fn root(&self) -> &RootFile {
        &self.root
    }

    /// Puts all keys under another root key and its file in the place of the old one. Cut short at
    /// any moment, the folder opens with the old root key or with the new one, and this can be run
    /// again. How many assets' keys there are.
    ///
    /// # Errors
    /// [`OwnerError::InUse`] while a gateway serves or a publish runs; [`KeyError`].
    pub fn rotate_root(&self, next: Arc<dyn KeyVault>, file: &RootFile) -> Result<usize, OwnerError> {
        let _still = Still::hold(&self.folder)?;
        let keys = self.keys()?;
        keys.admit(next.as_ref())?;
        file.save(&self.folder.join(ROOT_KEY_FILE), true)?;
        let keys = KeyFolder::new(&self.folder.join("keys"), next);
        keys.expel_others()?;
        Ok(keys.list()?.len())
    }

    /// Destroys the keys of an asset: nothing that was sealed of it opens again.
    ///
    /// # Errors
    /// [`OwnerError::InUse`] while a gateway serves or a publish runs; [`KeyError`].
    pub fn destroy_keys(&self, asset: &AssetId) -> Result<(), OwnerError> {
        let _still = Still::hold(&self.folder)?;
        Ok(KeyFolder::new(&self.folder.join("keys"), Arc::new(RootKey::generate()?)).destroy(&label(asset)?)?)
    }

    /// The sealed objects.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The proving keys.
    pub fn parameters(&self) -> Parameters {
        Parameters::in_folder(&self.folder.join("parameters"))
    }

    /// Where the ledger is.
    pub fn ledger_folder(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// Where a serving gateway says how it is reached.
    pub fn serving_path(&self) -> PathBuf {
        self.folder.join("serving.json")
    }

    /// The keys of an asset.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn asset_keys(&self, asset: &AssetId) -> Result<AssetKeys, KeyError> {
        self.keys()?.asset(&label(asset)?)
    }

    /// The keys of an asset, drawn now if it has none.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn asset_keys_or_new(&self, asset: &AssetId) -> Result<AssetKeys, KeyError> {
        let label = label(asset)?;
        let keys = self.keys()?;
        if keys.path(&label).exists() { keys.asset(&label) } else { keys.create_asset(&label) }
    }

    /// Where a version is found in the store.
    ///
    /// # Errors
    /// [`OwnerError::Keys`] when the access information is another asset's, [`OwnerError::Suite`]
    /// when it is sealed or hashed with what this program does not know.
    pub fn version_ref(&self, keys: &AssetKeys, version: &VersionView) -> Result<VersionRef, OwnerError> {
        let access = keys.open_access(&version.info.access)?;
        let attempt: [u8; 16] = access.try_into().map_err(|_| KeyError::NotOpened("access information"))?;
        Ok(VersionRef {
            attempt: AttemptId(attempt),
            manifest_digest: version.info.manifest.0,
            suite: version.info.cipher_suite.parse()?,
            hash: version.info.hash_algorithm.parse()?,
        })
    }

    /// Where a version is found in the store; `None` if it has been let go of, perhaps together with
    /// its key. `current` is the asset's current version, which never is.
    ///
    /// # Errors
    /// [`OwnerError`], also when the keys do not open the current version.
    pub async fn kept(
        &self,
        keys: &AssetKeys,
        current: &VersionView,
        version: &VersionView,
    ) -> Result<Option<VersionRef>, OwnerError> {
        let reference = match self.version_ref(keys, version) {
            Err(OwnerError::Keys(KeyError::NotOpened(_))) if version.info.number < current.info.number => {
                return self.version_ref(keys, current).map(|_| None);
            }
            other => other?,
        };
        let retired = is_retired(&self.store, keys, reference.attempt).await?;
        Ok((!retired).then_some(reference))
    }

    /// Opens the ledger to run it: an embedded one, or this member's node of a network, which can be
    /// watched.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub fn run_ledger(&self) -> Result<(Ledger, OwnNode), OwnerError> {
        let folder = self.ledger_folder();
        if sealgate_ledger::chain::read_genesis(&folder)?.network.is_none() {
            return Ok((Ledger::open(&folder, self.account.clone())?, OwnNode::default()));
        }
        #[cfg(feature = "simplex")]
        return crate::network::run(&self.folder, &folder);
        #[cfg(not(feature = "simplex"))]
        Err(OwnerError::NoNetworks)
    }

    /// Opens the ledger, or reaches the gateway that has it open.
    ///
    /// # Errors
    /// [`OwnerError::Ledger`] when another process has it open that cannot be reached.
    pub async fn access(&self) -> Result<Access, OwnerError> {
        match Ledger::open(&self.ledger_folder(), self.account.clone()) {
            Ok(ledger) => Ok(Access::Local(ledger)),
            Err(LedgerError::InUse(path)) => {
                let serving: Serving = read_json(&self.serving_path()).map_err(|_| LedgerError::InUse(path))?;
                let chain = sealgate_ledger::chain::read_genesis(&self.ledger_folder())?.chain_id();
                let client = serving.client()?;
                if client.genesis().await?.chain_id() != chain {
                    return Err(OwnerError::OtherLedger(serving.url));
                }
                Ok(Access::Serving(client.with_token(serving.token)))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Held while a data folder must stand still: no gateway serves from it, and nothing publishes.
pub(crate) struct Still {
    _locks: [std::fs::File; 2],
}

impl Still {
    /// Takes hold of a data folder.
    ///
    /// # Errors
    /// [`OwnerError::InUse`].
    pub(crate) fn hold(folder: &Path) -> Result<Still, OwnerError> {
        let ledger = folder.join("ledger").join(sealgate_ledger::chain::LOCK_FILE);
        let ledger = take(folder, &ledger, "a gateway serves from it, or another command is at work")?;
        Ok(Still { _locks: [ledger, Self::publishing(folder)?] })
    }

    /// Keeps others from publishing; a gateway may serve.
    ///
    /// # Errors
    /// [`OwnerError::InUse`].
    pub(crate) fn publishing(folder: &Path) -> Result<std::fs::File, OwnerError> {
        take(folder, &folder.join("publish.lock"), "something is being published")
    }
}

/// Locks a file of a folder for this process alone; `by` says who else may have it.
///
/// # Errors
/// [`OwnerError::InUse`].
pub(crate) fn take(folder: &Path, path: &Path, by: &'static str) -> Result<std::fs::File, OwnerError> {
    let open = std::fs::File::options().write(true).create(true).truncate(false).open(path);
    let file = open.map_err(FileError::io(path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(OwnerError::InUse { folder: folder.to_owned(), by }),
    }
}

/// Removes what may not be there.
fn remove(path: &Path, how: impl Fn(&Path) -> std::io::Result<()>) -> Result<(), FileError> {
    match how(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::io(path)(error)),
        _ => Ok(()),
    }
}

/// The name under which an asset's keys and objects are kept.
///
/// # Errors
/// [`KeyError`] never for an asset id.
pub fn label(asset: &AssetId) -> Result<AssetLabel, KeyError> {
    AssetLabel::new(&asset.to_string())
}

/// Milliseconds since 1970-01-01 UTC by this machine's clock; 0 if it stands before.
pub fn clock_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// Signs a transaction for a ledger whose head is at `head`.
///
/// # Errors
/// [`OwnerError::Randomness`].
pub fn signed(
    genesis: &Genesis,
    head: BlockHeight,
    account: &AccountSecret,
    body: TxBody,
) -> Result<SignedTx, OwnerError> {
    let mut nonce = [0u8; 8];
    getrandom::fill(&mut nonce).map_err(|error| OwnerError::Randomness(error.to_string()))?;
    let tx = Tx {
        chain: genesis.chain_id(),
        sender: account.address(),
        nonce: u64::from_le_bytes(nonce),
        expiry: head.plus(EXPIRY_BLOCKS),
        body,
    };
    Ok(tx.sign(account))
}

/// The owner's ledger: in this process, or in the gateway that serves it.
pub enum Access {
    /// Open here.
    Local(Ledger),
    /// Through the serving gateway.
    Serving(Client),
}

impl Access {
    /// The genesis.
    ///
    /// # Errors
    /// [`OwnerError::Client`].
    pub async fn genesis(&self) -> Result<Genesis, OwnerError> {
        match self {
            Access::Local(ledger) => Ok(ledger.genesis().clone()),
            Access::Serving(client) => Ok(client.genesis().await?),
        }
    }

    /// Members, rules and proposals.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub async fn governance(&self) -> Result<Governance, OwnerError> {
        match self {
            Access::Local(ledger) => Ok(Governance::of(ledger)?),
            Access::Serving(client) => Ok(client.governance().await?),
        }
    }

    /// Height of the last block.
    ///
    /// # Errors
    /// [`OwnerError::Client`].
    pub async fn head(&self) -> Result<BlockHeight, OwnerError> {
        match self {
            Access::Local(ledger) => Ok(ledger.head().height),
            Access::Serving(client) => Ok(client.head().await?.header.height),
        }
    }

    /// An asset with its current version.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub async fn asset(&self, id: &AssetId) -> Result<Option<AssetDetail>, OwnerError> {
        match self {
            Access::Local(ledger) => match ledger.asset(id)? {
                Some(asset) => Ok(detail(ledger, asset)?),
                None => Ok(None),
            },
            Access::Serving(client) => Ok(client.asset(id).await?),
        }
    }

    /// A version of an asset.
    ///
    /// # Errors
    /// [`OwnerError::NoAsset`] when there is none with this number.
    pub async fn version(&self, detail: &AssetDetail, number: u32) -> Result<VersionView, OwnerError> {
        if number == detail.asset.current {
            return Ok(detail.version.clone());
        }
        let found = match self {
            Access::Local(ledger) => ledger.version(&detail.asset.id, number)?,
            Access::Serving(client) => client.version(&detail.asset.id, number).await?,
        };
        found.ok_or_else(|| OwnerError::NoAsset(format!("{} version {number}", detail.asset.name)))
    }

    /// The time of a block, in milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub async fn time_ms(&self, height: BlockHeight) -> Result<u64, OwnerError> {
        match self {
            Access::Local(ledger) => Ok(ledger.block(height)?.header.time_ms),
            Access::Serving(client) => Ok(client.block(height).await?.header.time_ms),
        }
    }

    /// The owner's asset with this id or name, or with the owner's DID or address before its name.
    ///
    /// # Errors
    /// [`OwnerError::NoAsset`], [`OwnerError::NoAssetBut`].
    pub async fn own_asset(&self, owner: &AccountPublic, name: &str) -> Result<AssetDetail, OwnerError> {
        let address = owner.address();
        let found = match name.parse().unwrap_or_else(|never| match never {}) {
            AssetName::Id(id) => self.asset(&id).await?.filter(|detail| detail.asset.owner == address),
            AssetName::Of(who, name) if who.is(owner) => self.owned(&address, &name).await?,
            AssetName::Of(..) => None,
            AssetName::Bare(name) => self.owned(&address, &name).await?,
        };
        if let Some(found) = found {
            return Ok(found);
        }
        // For a hint, no more.
        let owned = self.assets(Some(&address)).await.unwrap_or_default();
        let names: Vec<String> = owned.into_iter().map(|asset| asset.name).collect();
        let (near, name) = (near(name, names.iter().map(String::as_str)), name.chars().take(120).collect());
        Err(match near {
            Some(near) => OwnerError::NoAssetBut { name, near: near.to_owned() },
            None => OwnerError::NoAsset(name),
        })
    }

    /// The asset that has this name among its owner's: one that it registered, or that it was given.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub async fn owned(&self, owner: &Address, name: &str) -> Result<Option<AssetDetail>, OwnerError> {
        let client = match self {
            Access::Local(ledger) => {
                let found = ledger.asset_owned(owner, name)?;
                return Ok(found.map(|asset| detail(ledger, asset)).transpose()?.flatten());
            }
            Access::Serving(client) => client,
        };
        let registered = AssetId::of(&self.genesis().await?.chain_id(), owner, name);
        let registered = client.asset(&registered).await?.filter(|detail| detail.asset.owner == *owner);
        if registered.is_some() {
            return Ok(registered);
        }
        match self.assets(Some(owner)).await?.into_iter().find(|asset| asset.name == name) {
            Some(given) => self.asset(&given.id).await,
            None => Ok(None),
        }
    }

    /// All assets, or all of one owner.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub async fn assets(&self, owner: Option<&Address>) -> Result<Vec<AssetView>, OwnerError> {
        match self {
            Access::Local(ledger) => {
                let mut assets = ledger.assets()?;
                assets.retain(|asset| owner.is_none_or(|owner| asset.owner == *owner));
                Ok(assets)
            }
            Access::Serving(client) => {
                let search = Search { owner: owner.copied().map(Who::Address), ..Search::default() };
                Ok(client.catalogue(&search).await?.0.into_iter().map(|listed| listed.asset).collect())
            }
        }
    }

    /// An account.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub async fn account(&self, address: &Address) -> Result<Option<AccountView>, OwnerError> {
        match self {
            Access::Local(ledger) => Ok(ledger.account(address)?),
            Access::Serving(client) => Ok(client.account(address).await?),
        }
    }

    /// The last block that may hold what is signed now.
    ///
    /// # Errors
    /// [`OwnerError`].
    pub async fn expiry(&self) -> Result<BlockHeight, OwnerError> {
        Ok(self.head().await?.plus(EXPIRY_BLOCKS))
    }

    /// Signs and submits a transaction of the owner's; durable when this returns.
    ///
    /// # Errors
    /// [`OwnerError::Submit`] or [`OwnerError::Client`] when the ledger refuses.
    pub async fn submit(&self, account: &AccountSecret, body: TxBody) -> Result<Receipt, OwnerError> {
        let tx = signed(&self.genesis().await?, self.head().await?, account, body)?;
        let client = match self {
            Access::Local(ledger) => return Ok(ledger.begin(tx)?.receipt().await?),
            Access::Serving(client) => client,
        };
        let mut tries = 0;
        loop {
            match client.submit(&tx).await {
                // The same transaction again: a new one could do the same twice.
                Err(ClientError::Problem(problem)) if problem.is_busy() && tries < SUBMIT_TRIES => {
                    tries += 1;
                    tokio::time::sleep(SUBMIT_PAUSE).await;
                }
                other => return Ok(other?),
            }
        }
    }
}

impl Governance {
    /// As of the ledger's last block.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn of(ledger: &Ledger) -> Result<Governance, LedgerError> {
        let (members, policy, proposals) = (ledger.members()?, ledger.policy()?, ledger.proposals()?);
        Ok(Governance { members, policy, proposals, next: None })
    }

    /// The same with a page of the proposals alone.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn page(ledger: &Ledger, after: Option<&TxHash>, limit: usize) -> Result<Governance, LedgerError> {
        let proposals = ledger.proposals_after(after, limit)?;
        let next = limit.checked_sub(1).and_then(|last| proposals.get(last)).map(|last| last.hash);
        Ok(Governance { members: ledger.members()?, policy: ledger.policy()?, proposals, next })
    }
}

/// An asset with its current version.
///
/// # Errors
/// [`LedgerError`].
pub fn detail(ledger: &Ledger, asset: AssetView) -> Result<Option<AssetDetail>, LedgerError> {
    Ok(ledger.version(&asset.id, asset.current)?.map(|version| AssetDetail { asset, version }))
}
