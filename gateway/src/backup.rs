//! Backups: all of a folder that cannot be rebuilt, in one file sealed under a passphrase, and the
//! way back (docs/spec/backup.md).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_ledger::ids::{Address, ChainId};
use sealgate_ods::keys::RootFile;
use sealgate_ods::sealed_stream::{StreamError, StreamReader, StreamWriter};
use sealgate_ods::store::StoreUrl;
use serde::{Deserialize, Serialize};

use crate::account_file;
use crate::config::{Config, ConfigError};
use crate::files::{FileError, create_private_dir, read_json, write_json};
use crate::home::{HELD_FILE, Home, HomeError};
use crate::owner::{OwnerError, ROOT_KEY_FILE, Still, clock_ms, take};

mod restoring;

pub use restoring::{Restored, restore, restore_content};

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 16;
/// How often a head file is read again that is just being written.
const HEAD_TRIES: u32 = 100;
/// A witness's key: its folder is not for backups.
const WITNESS_KEY_FILE: &str = "witness.key";

/// Why a backup was not written or not restored. What was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The owner's folder.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The sealed stream.
    #[error("backup {path}: {source}", path = .path.display())]
    Stream {
        /// The backup.
        path: PathBuf,
        /// What is wrong.
        source: StreamError,
    },
    /// The backup holds what no backup of this program does.
    #[error("backup {path}: {what}", path = .path.display())]
    Content {
        /// The backup.
        path: PathBuf,
        /// What.
        what: String,
    },
    /// The folder cannot be backed up.
    #[error("{folder}: {what}", folder = .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not, and the way out.
        what: String,
    },
    /// The folder has something else in it.
    #[error("{folder} is not empty and {what}: restore into another folder, or move this one away first", folder = .folder.display())]
    NotOurs {
        /// The folder.
        folder: PathBuf,
        /// How it differs.
        what: String,
    },
    /// The folder has seen more than the backup.
    #[error(
        "{folder} has seen {what} {present}, and the backup only {saved}: restoring it would forget what was seen since. \
         Keep the folder, or take a newer backup", folder = .folder.display()
    )]
    Lowered {
        /// The folder.
        folder: PathBuf,
        /// What is counted, and of which ledger.
        what: String,
        /// How far the folder is.
        present: u64,
        /// How far the backup is.
        saved: u64,
    },
}

/// What says in a data folder when its last backup was made.
const MARK_FILE: &str = "backup.json";

/// The last backup of a data folder, as far as the folder knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub made_ms: u64,
    /// Whether the sealed objects are in it.
    pub objects: bool,
}

impl Mark {
    /// That of a folder; none where no backup was made of it, or the mark cannot be read.
    pub fn of(folder: &Path) -> Option<Mark> {
        read_json(&folder.join(MARK_FILE)).ok()
    }
}

/// Whose folder it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Kind {
    /// An owner's or member's data folder.
    Data,
    /// A requester's or auditor's home.
    Home,
}

/// A backup's first item: whose it is and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Summary {
    /// Whose folder.
    pub kind: Kind,
    /// The account, and those that it has replaced.
    pub accounts: Vec<Address>,
    /// A data folder's block height, or the size of the highest checkpoint that a home has seen, by
    /// ledger.
    pub seen: BTreeMap<ChainId, u64>,
    /// Milliseconds since 1970-01-01 UTC.
    pub made_ms: u64,
    /// Where the sealed objects lie in the folder, if they are in the backup.
    pub objects: bool,
}

/// What follows the summary.
#[derive(BorshSerialize, BorshDeserialize)]
enum Item {
    /// A file, followed by its bytes.
    File { path: String, bytes: u64 },
    /// A folder, which may say something though it is empty: that a ledger is trusted.
    Folder { path: String },
    /// The end, with the number of files.
    End(u64),
}

/// What was written.
#[derive(Debug, Clone)]
pub struct Written {
    /// Whose it is and how far it goes.
    pub summary: Summary,
    /// Files in it.
    pub files: u64,
    /// Bytes of the backup.
    pub bytes: u64,
    /// What is needed beside it to restore.
    pub beside: Vec<String>,
}

/// Writes a backup of `folder` to the new file `out`. A gateway may serve meanwhile: the backup is
/// then as of a block between start and end.
///
/// # Errors
/// [`BackupError`]; no file is left then.
pub fn backup(
    kind: Kind,
    folder: &Path,
    out: &Path,
    with_objects: bool,
    passphrase: &str,
    progress: &dyn Fn(u64, u64),
) -> Result<Written, BackupError> {
    let plan = Plan::of(kind, folder, with_objects)?;
    if out.exists() {
        let source = io::Error::new(io::ErrorKind::AlreadyExists, "the file is there already; choose another name");
        return Err(FileError::io(out)(source).into());
    }
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let inside = parent.canonicalize().and_then(|parent| Ok(parent.starts_with(folder.canonicalize()?)));
    if inside.map_err(FileError::io(parent))? {
        let what = "it would be part of the next backup; write it outside of the folder";
        return Err(FileError::content(out, what).into());
    }
    let temporary = tempfile::Builder::new().prefix(".backup.").tempfile_in(parent).map_err(FileError::io(out))?;
    let stream = |source| BackupError::Stream { path: out.to_owned(), source };
    let mut writer = StreamWriter::new(BufWriter::new(temporary.as_file()), passphrase).map_err(stream)?;
    let files = plan.write(&mut writer, out, progress)?;
    let failed = FileError::io(out);
    let flushed = writer.finish().and_then(|buffered| buffered.into_inner().map_err(io::IntoInnerError::into_error));
    flushed.and_then(File::sync_all).map_err(&failed)?;
    let bytes = temporary.as_file().metadata().map_err(&failed)?.len();
    temporary.persist_noclobber(out).map_err(|error| failed(error.error))?;
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(FileError::io(parent))?;
    if kind == Kind::Data {
        let mark = Mark { made_ms: plan.summary.made_ms, objects: plan.summary.objects };
        // The backup is whole, whether or not the folder takes a note of it.
        if let Err(error) = write_json(&folder.join(MARK_FILE), &mark, true) {
            tracing::warn!(%error, "the folder has no note of this backup");
        }
    }
    Ok(Written { summary: plan.summary, files, bytes, beside: plan.beside })
}

/// What goes into a backup.
struct Plan {
    folder: PathBuf,
    summary: Summary,
    /// The ledger's head file as it was before anything else was read: the blocks it names are
    /// in the log then, and what they speak of is in the folder.
    head: Option<Vec<u8>>,
    /// The log, then all else, relative to the folder.
    files: Vec<(PathBuf, u64)>,
    folders: Vec<PathBuf>,
    beside: Vec<String>,
    /// Nothing is published meanwhile.
    _lock: Option<File>,
}

impl Plan {
    fn of(kind: Kind, folder: &Path, with_objects: bool) -> Result<Plan, BackupError> {
        let accounts = accounts(folder)?;
        if folder.join(WITNESS_KEY_FILE).exists() {
            let what = "this is a witness's home, and a witness that is restored has forgotten what it cosigned: \
                        give a lost one a new key instead"
                .into();
            return Err(BackupError::Folder { folder: folder.to_owned(), what });
        }
        let mut plan = Plan {
            folder: folder.to_owned(),
            summary: Summary { kind, accounts, seen: BTreeMap::new(), made_ms: clock_ms(), objects: false },
            head: None,
            files: Vec::new(),
            folders: Vec::new(),
            beside: Vec::new(),
            _lock: None,
        };
        let mut skip = Vec::new();
        match kind {
            Kind::Home => plan.summary.seen = seen_by_home(folder)?,
            Kind::Data => {
                plan._lock = Some(Still::publishing(folder)?);
                let (chain, height, head) = head(folder)?;
                plan.summary.seen.insert(chain, height);
                plan.head = Some(head);
                skip = plan.decide_objects(with_objects)?;
                plan.name_root_key()?;
            }
        }
        plan.collect(Path::new(""), &skip)?;
        // Answers and keys are there before the block that speaks of them: blocks are read first.
        plan.files.sort_by_key(|(path, _)| (!path.starts_with("ledger"), path.clone()));
        Ok(plan)
    }

    /// Whether the sealed objects are taken along; what to leave out if not.
    fn decide_objects(&mut self, with_objects: bool) -> Result<Vec<PathBuf>, BackupError> {
        let url = Config::read(&self.folder)?.store;
        let inside = match &url {
            StoreUrl::Folder(store) => store.strip_prefix(&self.folder).ok().map(Path::to_owned),
            StoreUrl::S3 { .. } => None,
        };
        self.summary.objects = with_objects && inside.is_some();
        if !self.summary.objects {
            self.beside.push(format!("the sealed objects in {url}"));
        }
        Ok(inside.filter(|_| !with_objects).into_iter().collect())
    }

    fn name_root_key(&mut self) -> Result<(), BackupError> {
        match RootFile::load(&self.folder.join(ROOT_KEY_FILE)).map_err(OwnerError::from)? {
            RootFile::Key(_) => {}
            RootFile::Passphrase(..) => self.beside.push("the passphrase of the root key".into()),
            RootFile::Environment(_) => self.beside.push("the root key from the environment".into()),
        }
        Ok(())
    }

    fn collect(&mut self, below: &Path, skip: &[PathBuf]) -> Result<(), BackupError> {
        let folder = self.folder.join(below);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(FileError::io(&folder))?,
        };
        for entry in entries {
            let path = below.join(entry.map_err(FileError::io(&folder))?.file_name());
            if skip.contains(&path) || is_transient(&path) {
                continue;
            }
            let full = self.folder.join(&path);
            let metadata = match fs::symlink_metadata(&full) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(FileError::io(&full))?,
            };
            if path.to_str().is_some() && metadata.is_dir() {
                self.collect(&path, skip)?;
                self.folders.push(path);
            } else if path.to_str().is_some() && metadata.is_file() {
                self.files.push((path, metadata.len()));
            } else {
                let what = "neither a file nor a folder, or its name is not UTF-8; move it out of the folder";
                return Err(FileError::content(&full, what).into());
            }
        }
        Ok(())
    }

    fn write(&self, out: &mut impl Write, name: &Path, progress: &dyn Fn(u64, u64)) -> Result<u64, BackupError> {
        let failed = FileError::io(name);
        let total = self.files.iter().map(|(_, bytes)| bytes).sum();
        self.summary.serialize(out).map_err(&failed)?;
        for path in &self.folders {
            Item::Folder { path: path.to_string_lossy().into_owned() }.serialize(out).map_err(&failed)?;
        }
        let (mut files, mut done) = (0, 0);
        for (path, _) in &self.files {
            let full = self.folder.join(path);
            let mut open = match self.open(path, &full) {
                // Replaced or removed since the folder was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(FileError::io(&full))?,
            };
            let item = Item::File { path: path.to_string_lossy().into_owned(), bytes: open.1 };
            item.serialize(out).map_err(&failed)?;
            let copied = copy(&mut open.0, out, &failed, &FileError::io(&full), &mut |bytes| {
                done += bytes;
                progress(done, total);
            })?;
            if copied != open.1 {
                return Err(
                    FileError::content(&full, "it became shorter while it was read; run the backup again").into()
                );
            }
            files += 1;
        }
        Item::End(files).serialize(out).map_err(&failed)?;
        Ok(files)
    }

    /// What is read of a file, and how much: of one that grows, what it has now.
    fn open(&self, path: &Path, full: &Path) -> io::Result<(Box<dyn Read>, u64)> {
        if let Some(head) = self.head.as_ref().filter(|_| path == Path::new("ledger/head")) {
            return Ok((Box::new(io::Cursor::new(head.clone())), head.len() as u64));
        }
        let file = File::open(full)?;
        let bytes = file.metadata()?.len();
        Ok((Box::new(file.take(bytes)), bytes))
    }
}

/// What is rebuilt, belongs to a running process, or must never be restored: a node's votes.
fn is_transient(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let rebuilt = [
        "ledger/index",
        "ledger/index.bad",
        "ledger/consensus",
        "spill",
        "serving.json",
        "rehash.json",
        MARK_FILE,
        "init.unfinished",
    ];
    rebuilt.iter().any(|known| path.starts_with(known))
        || name == "lock"
        || name.ends_with(".lock")
        || name.ends_with(".probe")
        || (name.starts_with('.') && name.ends_with(".tmp"))
        || name == restoring::MARKER
}

/// The ledger of a data folder: its id, the height acknowledged, and the head file that says so.
fn head(folder: &Path) -> Result<(ChainId, u64, Vec<u8>), BackupError> {
    let ledger = folder.join("ledger");
    let chain = sealgate_ledger::chain::read_genesis(&ledger).map_err(OwnerError::from)?.chain_id();
    for _ in 0..HEAD_TRIES {
        if let Some((bytes, height)) = sealgate_ledger::log::acknowledged(&ledger).map_err(OwnerError::from)? {
            return Ok((chain, height.0, bytes));
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let what = "its head file cannot be read: start and stop 'sealgate serve' once, which repairs it".into();
    Err(BackupError::Folder { folder: ledger, what })
}

fn seen_by_home(folder: &Path) -> Result<BTreeMap<ChainId, u64>, BackupError> {
    let home = Home::at(folder);
    let chains = home.trusted()?;
    Ok(chains.into_iter().map(|chain| Ok((chain, home.highest_size(&chain)?))).collect::<Result<_, HomeError>>()?)
}

/// The account in a folder and those it has replaced.
fn accounts(folder: &Path) -> Result<Vec<Address>, BackupError> {
    let earlier = account_file::load_earlier(folder)?;
    let accounts = std::iter::once(account_file::load(folder)?).chain(earlier);
    Ok(accounts.map(|account| account.address()).collect())
}

/// Copies to the end; how much it was.
fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    write_failed: &dyn Fn(io::Error) -> FileError,
    read_failed: &dyn Fn(io::Error) -> FileError,
    copied: &mut dyn FnMut(u64),
) -> Result<u64, FileError> {
    let mut buffer = zeroize::Zeroizing::new(vec![0; COPY_BYTES]);
    let mut total = 0;
    loop {
        let count = from.read(&mut buffer).map_err(read_failed)?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { return Ok(total) };
        to.write_all(part).map_err(write_failed)?;
        total += count as u64;
        copied(count as u64);
    }
}
