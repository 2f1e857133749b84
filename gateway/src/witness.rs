//! A witness: cosigns checkpoints of ledgers it does not run, after checking that each extends the
//! one before (docs/spec/witness.md). Its memory of what it cosigned is durable before a cosignature
//! leaves the process; a damaged or missing memory stops it.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sealgate_circuits::bytes::tagged_hash;
use sealgate_ledger::checkpoint::{CHECKPOINT_BYTES_MAX, Checkpoint, CheckpointError, SignedCheckpoint, origin};
use sealgate_ledger::cosign::{Note, WitnessKey, WitnessSecret, attach};
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::ChainId;
use sealgate_ledger::witness::{AddCheckpoint, Refusal, two_histories};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::files::{FileError, create_private_dir, read_bounded, read_json, write_json, write_private};
use crate::home::{Home, HomeError};

pub mod pins;
pub mod pushing;

/// The witness's key in its home.
const KEY_FILE: &str = "witness.key";
const KEY_FORMAT: &str = "sealgate-witness-key/1";
/// Held while a witness serves from the home.
const LOCK_FILE: &str = "witness.lock";
/// In a ledger's folder: its genesis, and the checkpoint cosigned last with its cosignature.
const GENESIS_FILE: &str = "genesis.json";
const COSIGNED_FILE: &str = "cosigned";
/// What stands in [`COSIGNED_FILE`] before anything was cosigned.
const NOTHING: &[u8] = b"nothing cosigned yet\n";
/// Pairs of contradicting checkpoints that are kept of one ledger.
const EVIDENCE_MAX: usize = 16;
/// Beginning of the names of their files.
const EVIDENCE: &str = "two-histories-";

/// Why a witness cannot begin, or cannot cosign.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// A file of its home.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its trust.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Another process serves from the home.
    #[error("another witness runs from {}: a witness has one memory, so stop the other first", .0.display())]
    InUse(PathBuf),
    /// No ledger to follow.
    #[error("{home} follows no ledger: run 'sealgate trust --home {home} FINGERPRINT', then 'sealgate witness follow --home {home} --gateway URL'", home = .0.display())]
    NoLedger(PathBuf),
    /// The witness does not cosign that.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: String,
    name: String,
    seed: String,
    /// The key to hand out.
    key: String,
    /// Hash of all the rest: shows a damaged file.
    checksum: String,
}

impl KeyFile {
    fn sum(&self) -> String {
        let parts = [&self.format, &self.name, &self.seed, &self.key];
        hex::encode(tagged_hash("sealgate/witness-key-file/1", &parts.map(|part| part.as_bytes())))
    }
}

/// Makes a witness's key in `folder`, which must not hold one yet.
///
/// # Errors
/// [`FileError`] when there is one already, for a name that cannot be a key's, or when the folder
/// cannot be written.
pub fn create(folder: &Path, name: &str) -> Result<WitnessKey, FileError> {
    let path = folder.join(KEY_FILE);
    let mut seed = Zeroizing::new([0u8; 32]);
    getrandom::fill(seed.as_mut()).map_err(|error| FileError::content(&path, error))?;
    let wrong = |_| {
        let what = "a witness's name has 1 to 120 bytes and neither blanks nor '+'; by convention it is a host and a path, such as witness.example/1";
        FileError::content(&path, what)
    };
    let secret = WitnessSecret::from_seed(name, *seed).map_err(wrong)?;
    create_private_dir(folder).map_err(FileError::io(folder))?;
    let mut file = KeyFile {
        format: KEY_FORMAT.into(),
        name: name.into(),
        seed: hex::encode(secret.seed()),
        key: secret.public().to_string(),
        checksum: String::new(),
    };
    file.checksum = file.sum();
    write_json(&path, &file, false).map_err(|error| match error {
        FileError::Io { source, path } if source.kind() == std::io::ErrorKind::AlreadyExists => {
            FileError::content(&path, "a witness is here already; choose another folder, or keep using this one")
        }
        other => other,
    })?;
    Ok(secret.public().clone())
}

/// Loads the witness's key in `folder`.
///
/// # Errors
/// [`FileError`], with the way out when there is none.
pub fn load(folder: &Path) -> Result<WitnessSecret, FileError> {
    let path = folder.join(KEY_FILE);
    if !path.exists() {
        let what = "no witness here; make one with 'sealgate witness new', or name the right folder";
        return Err(FileError::content(&path, what));
    }
    let file: KeyFile = read_json(&path)?;
    let damaged = || FileError::content(&path, "the key file is damaged; restore it from a copy");
    if file.format != KEY_FORMAT {
        return Err(FileError::content(&path, format!("format '{}' is not {KEY_FORMAT}", file.format)));
    }
    let mut seed = Zeroizing::new([0u8; 32]);
    hex::decode_to_slice(&file.seed, seed.as_mut()).map_err(|_| damaged())?;
    let secret = WitnessSecret::from_seed(&file.name, *seed).map_err(|_| damaged())?;
    if file.sum() != file.checksum || secret.public().to_string() != file.key {
        return Err(damaged());
    }
    Ok(secret)
}

/// Takes a trusted ledger on: from now on its checkpoints are cosigned, from the first that comes.
///
/// # Errors
/// [`HomeError::NotTrusted`]; [`FileError`]. A ledger that is followed already is left as it is.
pub fn follow(home: &Home, genesis: &Genesis) -> Result<ChainId, WitnessError> {
    let chain = home.admit(genesis)?;
    let folder = home.ledger_folder(&chain);
    let path = folder.join(COSIGNED_FILE);
    // The memory first: a genesis without it is a memory that was lost.
    if !folder.join(GENESIS_FILE).exists() && !path.exists() {
        write_private(&path, NOTHING, false).map_err(FileError::io(&path))?;
    }
    write_json(&folder.join(GENESIS_FILE), genesis, true)?;
    Ok(chain)
}

/// What a witness cosigned last of a ledger.
#[derive(Debug, Clone)]
struct Cosigned {
    /// With the ledger's signatures and this witness's.
    note: SignedCheckpoint,
    checkpoint: Checkpoint,
    time_s: u64,
}

struct Followed {
    genesis: Genesis,
    home: Home,
    folder: PathBuf,
    /// Held while a checkpoint is judged and written.
    last: Mutex<Option<Cosigned>>,
}

/// What a witness knows of one ledger, for its operator.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerStatus {
    /// The ledger.
    pub fingerprint: ChainId,
    /// What it is called.
    pub name: String,
    /// Entries of the checkpoint cosigned last.
    pub size: Option<u64>,
    /// When, in seconds since 1970-01-01 UTC.
    pub time_s: Option<u64>,
    /// Files that each hold two signed checkpoints of one size with different roots.
    pub evidence: Vec<PathBuf>,
}

/// A witness with the ledgers it follows.
pub struct Witness {
    secret: WitnessSecret,
    /// By origin.
    ledgers: HashMap<String, Followed>,
    /// Held by the one process that cosigns.
    lock: Option<File>,
}

impl Witness {
    /// Opens the witness in a home: its key and its memory of every ledger it follows.
    ///
    /// # Errors
    /// [`WitnessError`]; also when a memory is damaged or missing, for a witness that forgets could
    /// cosign a second history.
    pub fn open(home: &Home) -> Result<Witness, WitnessError> {
        load(home.folder())?;
        let path = home.folder().join(LOCK_FILE);
        let lock = File::create(&path).map_err(FileError::io(&path))?;
        if lock.try_lock().is_err() {
            return Err(WitnessError::InUse(home.folder().to_owned()));
        }
        Ok(Witness { lock: Some(lock), ..Witness::look(home)? })
    }

    /// The same to look at only, also while another process cosigns from the home: it cosigns
    /// nothing.
    ///
    /// # Errors
    /// As [`Witness::open`].
    pub fn look(home: &Home) -> Result<Witness, WitnessError> {
        let secret = load(home.folder())?;
        let mut ledgers = HashMap::new();
        for chain in home.trusted()? {
            let folder = home.ledger_folder(&chain);
            if !folder.join(GENESIS_FILE).exists() && !folder.join(COSIGNED_FILE).exists() {
                continue;
            }
            let genesis: Genesis = read_json(&folder.join(GENESIS_FILE))?;
            if genesis.chain_id() != chain {
                let what = "it is another ledger's than its folder says; restore it from a copy";
                return Err(FileError::content(&folder.join(GENESIS_FILE), what).into());
            }
            let last = Mutex::new(read_cosigned(home, &folder, &genesis, secret.public())?);
            ledgers.insert(origin(&chain), Followed { genesis, home: home.clone(), folder, last });
        }
        Ok(Witness { secret, ledgers, lock: None })
    }

    /// The key to hand out.
    pub fn key(&self) -> &WitnessKey {
        self.secret.public()
    }

    /// Every ledger followed.
    pub fn status(&self) -> Vec<LedgerStatus> {
        let status = |followed: &Followed| {
            let last = followed.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            LedgerStatus {
                fingerprint: followed.genesis.chain_id(),
                name: followed.genesis.name.clone(),
                size: last.as_ref().map(|last| last.checkpoint.size),
                time_s: last.as_ref().map(|last| last.time_s),
                evidence: evidence(&followed.folder),
            }
        };
        let mut all: Vec<LedgerStatus> = self.ledgers.values().map(status).collect();
        all.sort_by_key(|one| one.fingerprint);
        all
    }

    /// Judges a request to cosign (the body of `add-checkpoint`) at a time in seconds since
    /// 1970-01-01 UTC; the cosignature line, once what it says is durable.
    ///
    /// # Errors
    /// [`WitnessError::Refused`]; [`WitnessError::File`] when the memory cannot be written: nothing
    /// is cosigned then.
    pub fn add_checkpoint(&self, body: &[u8], now_s: u64) -> Result<String, WitnessError> {
        let request = AddCheckpoint::read(body)?;
        if self.lock.is_none() {
            return Err(Refusal::Unknown.into());
        }
        let followed = self.ledgers.get(request.origin()).ok_or(Refusal::Unknown)?;
        let checkpoint = followed.read(&request.checkpoint)?;
        let mut last = followed.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| two_histories(&last.checkpoint, &checkpoint)) {
            followed.keep_evidence(&last.note, &request.checkpoint, &checkpoint);
        }
        request.judge(&checkpoint, last.as_ref().map(|last| &last.checkpoint))?;
        // A clock that was set back must not make the larger tree the earlier one.
        let time_s = last.as_ref().map_or(0, |last| last.time_s).max(now_s).max(1);
        let malformed = |_| Refusal::Malformed("the checkpoint is no note");
        let line = self.secret.cosign(&request.checkpoint, time_s).map_err(malformed)?;
        let note = followed.own_lines(&request.checkpoint, &line)?;
        let path = followed.folder.join(COSIGNED_FILE);
        write_private(&path, note.0.as_bytes(), true).map_err(FileError::io(&path))?;
        *last = Some(Cosigned { note, checkpoint, time_s });
        Ok(line)
    }

    /// The checkpoint cosigned last of the ledger whose origin has this SHA-256 in hexadecimal.
    pub fn checkpoint(&self, origin_hash: &str) -> Option<SignedCheckpoint> {
        let (_, followed) =
            self.ledgers.iter().find(|(origin, _)| hex::encode(Sha256::digest(origin.as_bytes())) == origin_hash)?;
        followed.last.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|last| last.note.clone())
    }
}

impl Followed {
    /// A checkpoint that the ledger's members of its time signed, as far as the home has followed
    /// them ('sealgate witness follow' leads on, also while this process runs).
    fn read(&self, signed: &SignedCheckpoint) -> Result<Checkpoint, WitnessError> {
        self.home.read(&self.genesis, signed).map_err(|error| match error {
            HomeError::Checkpoint(CheckpointError::Form(what)) => Refusal::Malformed(what).into(),
            HomeError::Checkpoint(CheckpointError::Origin { .. }) => Refusal::Unknown.into(),
            HomeError::Checkpoint(_) | HomeError::WrongEpoch { .. } => Refusal::Unsigned.into(),
            other => WitnessError::Home(other),
        })
    }

    /// The checkpoint as it is kept: with the lines in the ledger's name, whose signatures hold, and
    /// this witness's, without what others may have added.
    fn own_lines(&self, signed: &SignedCheckpoint, line: &str) -> Result<SignedCheckpoint, WitnessError> {
        let note = Note::read(&signed.0).map_err(|_| Refusal::Malformed("the checkpoint is no note"))?;
        let ours = origin(&self.genesis.chain_id());
        let lines = note.lines.iter().filter(|line| line.name == ours).map(|line| line.line);
        let bare = SignedCheckpoint(format!("{}\n", note.text));
        let kept = attach(&bare, lines.chain([line]));
        self.read(&kept)?;
        Ok(kept)
    }

    /// Keeps two checkpoints that the ledger signed and that cannot both be true.
    fn keep_evidence(&self, cosigned: &SignedCheckpoint, other: &SignedCheckpoint, checkpoint: &Checkpoint) {
        let root: String = checkpoint.root.to_string().chars().take(16).collect();
        let path = self.folder.join(format!("{EVIDENCE}{}-{root}.json", checkpoint.size));
        // Whoever has both can show them again and again.
        if path.exists() || evidence(&self.folder).len() >= EVIDENCE_MAX {
            return;
        }
        tracing::error!(size = checkpoint.size, kept = %path.display(), "a ledger signed two histories");
        let pair = serde_json::json!({ "cosigned": cosigned, "other": other });
        if let Err(error) = write_json(&path, &pair, false) {
            tracing::error!(%error, "evidence of two histories could not be kept");
        }
    }
}

fn evidence(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(EVIDENCE));
    let mut found: Vec<PathBuf> = entries.filter(named).collect();
    found.sort();
    found
}

/// Reads a witness's memory of a ledger and checks it: signed by the ledger, cosigned by itself.
fn read_cosigned(
    home: &Home,
    folder: &Path,
    genesis: &Genesis,
    key: &WitnessKey,
) -> Result<Option<Cosigned>, FileError> {
    let path = folder.join(COSIGNED_FILE);
    if !path.exists() {
        let what = "what was cosigned last is missing; restore it from a copy that is not older, or retire this \
                    witness's key: a witness that forgets could cosign a second history";
        return Err(FileError::content(&path, what));
    }
    let bytes = read_bounded(&path, 2 * CHECKPOINT_BYTES_MAX as u64)?;
    if bytes == NOTHING {
        return Ok(None);
    }
    let damaged = |what: String| FileError::content(&path, format!("damaged: {what}; restore it from a copy"));
    let note = SignedCheckpoint(String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?);
    let checkpoint = home.read(genesis, &note).map_err(|error| damaged(error.to_string()))?;
    let time_s = key.cosigned(&note).map_err(|error| damaged(error.to_string()))?;
    let time_s = time_s.ok_or_else(|| damaged("this witness has not cosigned it".into()))?;
    Ok(Some(Cosigned { note, checkpoint, time_s }))
}

#[cfg(test)]
mod tests;
