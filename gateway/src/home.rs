//! A requester's or auditor's home folder: its account, the ledgers it trusts, what it has seen of
//! them, and what it asked.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sealgate_circuits::bytes::TreeRoot;
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{AssetId, BlockHeight, ChainId, LogRoot, TxHash};
use sealgate_ledger::light::{LightError, verify_extension};
use sealgate_ledger::merkle::NodeHash;
use sealgate_ledger::standing::StandingError;
use serde::{Deserialize, Serialize};

use crate::account_file;
use crate::files::{FileError, create_private_dir, read_bounded, read_json, write_json, write_private};
use crate::messages::Nonce;

/// Why a home does not let a command go on.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file of the home.
    #[error(transparent)]
    File(#[from] FileError),
    /// No ledger, or another one, is trusted.
    #[error("ledger {chain} is not trusted by {home}: compare the fingerprint with its operator by another way, then run 'sealgate trust --home {home} {chain}'", home = home.display())]
    NotTrusted {
        /// The ledger that was shown.
        chain: ChainId,
        /// The home.
        home: PathBuf,
    },
    /// The genesis shown is not the one with the fingerprint.
    #[error("the genesis shown has fingerprint {found}, not {expected}")]
    Genesis {
        /// What was asked for.
        expected: ChainId,
        /// What was shown.
        found: ChainId,
    },
    /// The checkpoint's signature or form.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint contradicts what was seen.
    #[error("this ledger contradicts what {home} has seen of it: {source}", home = home.display())]
    Contradiction {
        /// The home.
        home: PathBuf,
        /// How.
        source: LightError,
    },
    /// One version with two roots.
    #[error(
        "version {version} of {asset} was shown to this home with another root before: the owner registered two; keep both answers as evidence"
    )]
    TwoRoots {
        /// The asset.
        asset: AssetId,
        /// The version.
        version: u32,
    },
    /// Members of another time signed.
    #[error(
        "the checkpoint of block {height} is signed by members whose time that block is not in, as far as this home has followed them"
    )]
    WrongEpoch {
        /// The block.
        height: BlockHeight,
    },
    /// The members did not hand the ledger over like that.
    #[error("a change of the ledger's members does not hold: {0}")]
    Handover(#[from] StandingError),
    /// The members handed the ledger over twice.
    #[error("this ledger's members handed it over to two different sets of epoch {epoch}: keep what you were shown and {home}'s folder as evidence", home = home.display())]
    TwoSuccessions {
        /// The epoch that both begin.
        epoch: u64,
        /// The home.
        home: PathBuf,
    },
    /// The home asks for more witnesses than have cosigned.
    #[error("the checkpoint of {size} entries is cosigned by {found} of the {required} witnesses that {home} requires; missing: {missing}. Try again in a moment, or ask its operator whether the witness is reached", home = home.display())]
    NotWitnessed {
        /// Size of the checkpoint.
        size: u64,
        /// How many pinned witnesses cosigned.
        found: usize,
        /// How many must.
        required: usize,
        /// Who did not, separated by commas.
        missing: String,
        /// The home.
        home: PathBuf,
    },
    /// The checkpoint cannot be compared without the gateway's help.
    #[error("the checkpoint (of {size} entries) is not one that {home} has seen: name the ledger's gateway with --gateway URL, so that it can be shown to extend the {highest} entries seen", home = home.display())]
    Unconnected {
        /// Size of the checkpoint.
        size: u64,
        /// Highest size seen.
        highest: u64,
        /// The home.
        home: PathBuf,
    },
}

/// What was asked and not yet, or already, answered: kept before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The question as written.
    pub sql: String,
    /// The stated purpose.
    pub purpose: String,
    /// The asset.
    pub asset: AssetId,
    /// Hides the question.
    pub nonce: Nonce,
    /// The signed request, borsh in base64.
    pub transaction: String,
    /// Whether the ledger has decided and, if granted, the answer is here.
    pub done: bool,
}

/// Locked, shared, by whatever changes a home, and by a restore alone.
pub(crate) const HELD_FILE: &str = "home.lock";

/// A home folder.
#[derive(Debug, Clone)]
pub struct Home {
    folder: PathBuf,
    /// Keeps a backup from taking the folder's place, from the first change on.
    held: Arc<OnceLock<File>>,
}

/// How a checkpoint relates to those seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The first of this ledger.
    First,
    /// Seen before.
    Known,
    /// Newer than the highest seen, of this size.
    Newer(u64),
    /// Not seen, and older than the highest seen, of this size.
    Older(u64),
}

impl Home {
    /// The home in `folder`.
    pub fn at(folder: &Path) -> Home {
        Home { folder: folder.to_owned(), held: Arc::default() }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its account.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn account(&self) -> Result<AccountSecret, FileError> {
        account_file::load(&self.folder)
    }

    /// The accounts that its account has replaced.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn earlier_accounts(&self) -> Result<Vec<AccountSecret>, FileError> {
        account_file::load_earlier(&self.folder)
    }

    /// Keeps a restore away as long as this home is in use; called before anything in it is changed.
    ///
    /// # Errors
    /// [`FileError`] while it is being restored.
    pub(crate) fn hold(&self) -> Result<(), FileError> {
        use std::os::unix::fs::MetadataExt as _;
        let path = self.folder.join(HELD_FILE);
        while self.held.get().is_none() {
            let open = File::options().write(true).create(true).truncate(false).open(&path);
            let file = open.map_err(FileError::io(&path))?;
            file.try_lock_shared().map_err(|_| {
                FileError::content(&self.folder, "this home is being restored from a backup; do it again after that")
            })?;
            // A restored folder may have taken this one's place in between.
            let here = file.metadata().and_then(|meta| Ok((meta, std::fs::metadata(&path)?)));
            match here {
                Ok((held, here)) if (held.dev(), held.ino()) == (here.dev(), here.ino()) => _ = self.held.set(file),
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(FileError::io(&path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Where what concerns a ledger is kept.
    pub(crate) fn ledger_folder(&self, chain: &ChainId) -> PathBuf {
        self.folder.join("ledgers").join(chain.to_string())
    }

    /// Pins a ledger by its fingerprint.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn trust(&self, chain: &ChainId) -> Result<(), FileError> {
        let folder = self.ledger_folder(chain);
        for part in [self.folder.as_path(), folder.parent().unwrap_or(&self.folder), &folder] {
            create_private_dir(part).map_err(FileError::io(part))?;
            self.hold()?;
        }
        Ok(())
    }

    /// Every ledger pinned.
    ///
    /// # Errors
    /// [`FileError`] for a folder among them that is no ledger's.
    pub fn trusted(&self) -> Result<Vec<ChainId>, FileError> {
        let folder = self.folder.join("ledgers");
        let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
        let chain = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.parse().map_err(|_| FileError::content(&entry.path(), "this is no ledger's folder; move it away"))
        };
        entries.flatten().map(chain).collect()
    }

    /// Refuses a fingerprint that is not pinned.
    ///
    /// # Errors
    /// [`HomeError::NotTrusted`].
    pub fn trusts(&self, chain: &ChainId) -> Result<(), HomeError> {
        if self.ledger_folder(chain).is_dir() {
            return Ok(());
        }
        Err(HomeError::NotTrusted { chain: *chain, home: self.folder.clone() })
    }

    /// Refuses a ledger that is not pinned.
    ///
    /// # Errors
    /// [`HomeError::NotTrusted`], [`HomeError::File`].
    pub fn admit(&self, genesis: &Genesis) -> Result<ChainId, HomeError> {
        let chain = genesis.chain_id();
        self.trusts(&chain).map(|()| chain)
    }

    /// The highest checkpoint seen of a ledger.
    ///
    /// # Errors
    /// [`HomeError`] when it is damaged: the memory of what was seen must not be lost silently.
    pub fn highest(&self, genesis: &Genesis) -> Result<Option<Checkpoint>, HomeError> {
        let path = self.ledger_folder(&genesis.chain_id()).join("checkpoint");
        if !path.exists() {
            let seen = self.ledger_folder(&genesis.chain_id()).join("seen");
            if seen.exists() {
                return Err(FileError::content(&path, "missing, though 'seen' is there; restore it from a copy").into());
            }
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&read_bounded(&path, 1 << 16)?).into_owned();
        let checkpoint = self
            .read(genesis, &SignedCheckpoint(text))
            .map_err(|error| FileError::content(&path, format!("damaged: {error}; restore it from a copy")))?;
        Ok(Some(checkpoint))
    }

    /// Checks a checkpoint's form and signatures.
    ///
    /// # Errors
    /// [`HomeError::Checkpoint`].
    pub fn read(&self, genesis: &Genesis, signed: &SignedCheckpoint) -> Result<Checkpoint, HomeError> {
        self.signers(genesis, signed).map(|(checkpoint, _)| checkpoint)
    }

    /// Sizes and roots of every checkpoint accepted so far.
    fn seen(&self, chain: &ChainId) -> Result<String, HomeError> {
        let path = self.ledger_folder(chain).join("seen");
        if !path.exists() {
            return Ok(String::new());
        }
        Ok(String::from_utf8_lossy(&read_bounded(&path, 1 << 26)?).into_owned())
    }

    /// Size and root of every checkpoint accepted so far.
    ///
    /// # Errors
    /// [`HomeError::File`] when the list is damaged.
    pub fn seen_checkpoints(&self, genesis: &Genesis) -> Result<Vec<(u64, LogRoot)>, HomeError> {
        let chain = genesis.chain_id();
        let parse = |line: &str| {
            let (size, root) = line.split_once(' ')?;
            Some((size.parse().ok()?, root.parse().ok()?))
        };
        let damaged =
            || FileError::content(&self.ledger_folder(&chain).join("seen"), "damaged; restore it from a copy");
        self.seen(&chain)?.lines().map(|line| parse(line).ok_or_else(|| damaged().into())).collect()
    }

    /// Size of the highest checkpoint seen of a ledger, 0 when none was, without checking it.
    ///
    /// # Errors
    /// [`HomeError::File`] when what was seen cannot be read.
    pub fn highest_size(&self, chain: &ChainId) -> Result<u64, HomeError> {
        let damaged =
            |file: &str| FileError::content(&self.ledger_folder(chain).join(file), "damaged; restore it from a copy");
        let mut highest = 0;
        for line in self.seen(chain)?.lines() {
            let size = line.split(' ').next().and_then(|size| size.parse().ok());
            highest = highest.max(size.ok_or_else(|| damaged("seen"))?);
        }
        let path = self.ledger_folder(chain).join("checkpoint");
        if path.exists() {
            let note = String::from_utf8_lossy(&read_bounded(&path, 1 << 16)?).into_owned();
            // A note's second line is the size of the tree (C2SP tlog-checkpoint).
            let size = note.lines().nth(1).and_then(|size| size.parse().ok());
            highest = highest.max(size.ok_or_else(|| damaged("checkpoint"))?);
        }
        Ok(highest)
    }

    /// How a signed checkpoint relates to those seen.
    ///
    /// # Errors
    /// [`HomeError::Checkpoint`]; [`HomeError::Contradiction`] for another root of the same size.
    pub fn relation(&self, genesis: &Genesis, signed: &SignedCheckpoint) -> Result<(Checkpoint, Relation), HomeError> {
        let chain = self.admit(genesis)?;
        let checkpoint = self.read(genesis, signed)?;
        let contradiction = |source| HomeError::Contradiction { home: self.folder.clone(), source };
        let line = seen_line(&checkpoint);
        let size = format!("{} ", checkpoint.size);
        if let Some(known) = self.seen(&chain)?.lines().find(|known| known.starts_with(&size)) {
            if known != line {
                return Err(contradiction(LightError::Contradiction { size: checkpoint.size }));
            }
            return Ok((checkpoint, Relation::Known));
        }
        let relation = match self.highest(genesis)? {
            None => Relation::First,
            Some(highest) if (highest.size, highest.root) == (checkpoint.size, checkpoint.root) => Relation::Known,
            Some(highest) if checkpoint.size > highest.size => Relation::Newer(highest.size),
            Some(highest) if checkpoint.size < highest.size => Relation::Older(highest.size),
            Some(highest) => return Err(contradiction(LightError::Contradiction { size: highest.size })),
        };
        Ok((checkpoint, relation))
    }

    /// Accepts a checkpoint that is the first or extends the highest seen, of size `from`, and
    /// keeps it. `Ok(false)` when another process has accepted one meanwhile: compare again.
    ///
    /// # Errors
    /// [`HomeError::Contradiction`] when `consistency` does not show the extension.
    pub fn accept(
        &self,
        genesis: &Genesis,
        signed: &SignedCheckpoint,
        from: u64,
        consistency: &[NodeHash],
    ) -> Result<bool, HomeError> {
        let chain = self.admit(genesis)?;
        let _lock = self.lock(&chain)?;
        let checkpoint = self.read(genesis, signed)?;
        let highest = self.highest(genesis)?;
        if highest.map_or(0, |highest| highest.size) != from {
            return Ok(false);
        }
        if let Some(highest) = highest {
            self.extends(&highest, &checkpoint, consistency)?;
        }
        // The checkpoint first: after a crash in between it counts as known all the same.
        let path = self.ledger_folder(&chain).join("checkpoint");
        write_private(&path, signed.0.as_bytes(), true).map_err(FileError::io(&path))?;
        self.remember(&chain, &checkpoint)?;
        Ok(true)
    }

    /// Accepts a checkpoint older than the highest seen, which must extend it.
    ///
    /// # Errors
    /// [`HomeError::Contradiction`] when `consistency` does not show that.
    pub fn accept_older(
        &self,
        genesis: &Genesis,
        older: &Checkpoint,
        highest: u64,
        consistency: &[NodeHash],
    ) -> Result<bool, HomeError> {
        let chain = self.admit(genesis)?;
        let _lock = self.lock(&chain)?;
        let Some(newer) = self.highest(genesis)?.filter(|newer| newer.size == highest) else { return Ok(false) };
        self.extends(older, &newer, consistency)?;
        self.remember(&chain, older)?;
        Ok(true)
    }

    /// That one checkpoint extends another, or how it contradicts it.
    ///
    /// # Errors
    /// [`HomeError::Contradiction`].
    pub fn extends(&self, old: &Checkpoint, new: &Checkpoint, consistency: &[NodeHash]) -> Result<(), HomeError> {
        verify_extension(old, new, consistency)
            .map_err(|source| HomeError::Contradiction { home: self.folder.clone(), source })
    }

    /// One process at a time changes what was seen of a ledger.
    pub(crate) fn lock(&self, chain: &ChainId) -> Result<File, HomeError> {
        self.hold()?;
        let path = self.ledger_folder(chain).join("lock");
        let file = File::create(&path).map_err(FileError::io(&path))?;
        file.lock().map_err(FileError::io(&path))?;
        Ok(file)
    }

    /// Holds a version's root against the one this home was shown before, and keeps it: an owner
    /// who runs the ledger could register two.
    ///
    /// # Errors
    /// [`HomeError::TwoRoots`], [`HomeError::File`].
    pub fn same_version(
        &self,
        chain: &ChainId,
        asset: &AssetId,
        version: u32,
        root: &TreeRoot,
    ) -> Result<(), HomeError> {
        let _lock = self.lock(chain)?;
        let path = self.ledger_folder(chain).join("versions");
        let mut known = if path.exists() {
            String::from_utf8_lossy(&read_bounded(&path, 1 << 26)?).into_owned()
        } else {
            String::new()
        };
        let name = format!("{asset} {version} ");
        let line = format!("{name}{root}");
        match known.lines().find(|known| known.starts_with(&name)) {
            Some(before) if before == line => Ok(()),
            Some(_) => Err(HomeError::TwoRoots { asset: *asset, version }),
            None => {
                known.push_str(&line);
                known.push('\n');
                Ok(write_private(&path, known.as_bytes(), true).map_err(FileError::io(&path))?)
            }
        }
    }

    fn remember(&self, chain: &ChainId, checkpoint: &Checkpoint) -> Result<(), HomeError> {
        let path = self.ledger_folder(chain).join("seen");
        let mut seen = self.seen(chain)?;
        seen.push_str(&seen_line(checkpoint));
        seen.push('\n');
        Ok(write_private(&path, seen.as_bytes(), true).map_err(FileError::io(&path))?)
    }

    fn asked_path(&self, request: &TxHash) -> PathBuf {
        self.folder.join("asked").join(format!("{request}.json"))
    }

    /// Keeps a question, before it is sent or when it is done.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn keep_asked(&self, request: &TxHash, asked: &Asked) -> Result<(), FileError> {
        self.hold()?;
        let folder = self.folder.join("asked");
        create_private_dir(&folder).map_err(FileError::io(&folder))?;
        write_json(&self.asked_path(request), asked, true)
    }

    /// The question of a request, if this home asked it.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn asked(&self, request: &TxHash) -> Result<Option<Asked>, FileError> {
        let path = self.asked_path(request);
        if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
    }

    /// A question that was sent and never came back, in the same words to the same asset.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn unfinished(&self, asset: &AssetId, sql: &str, purpose: &str) -> Result<Option<Asked>, FileError> {
        let folder = self.folder.join("asked");
        let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(None) };
        for entry in entries.flatten() {
            if entry.path().extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let asked: Asked = read_json(&entry.path())?;
            if !asked.done && asked.asset == *asset && asked.sql == sql && asked.purpose == purpose {
                return Ok(Some(asked));
            }
        }
        Ok(None)
    }
}

fn seen_line(checkpoint: &Checkpoint) -> String {
    format!("{} {}", checkpoint.size, checkpoint.root)
}
