//! Sealing a file: several parts are on their way at once, each in a buffer of its own, in which it is read,
//! sealed and hashed and from which it is written; last comes the manifest.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::join_all;
use tokio::task::spawn_blocking;

use super::buffer::PartBuffer;
use super::content::{FileContent, Parts};
use super::manifest::{FORMAT, FileManifest};
use super::parts;
use crate::cancel::Cancel;
use crate::keys::{AssetKeys, AssetLabel, KeyError};
use crate::progress::{Phase, Progress, ProgressSink};
use crate::seal::{AttemptId, DataKey, Sealer, SegmentPlace, Stream};
use crate::store::{Store, StoreError};
use crate::suite::{CipherSuite, HashAlgorithm};
use crate::table::columns::{ColumnSeal, column_seal};
use crate::table::layout;
use crate::table::remove_attempt;
use crate::table::version::{ObjectEntry, VersionRef, manifest_digest};

/// Parts on their way at the same time, at most; each is in memory once.
const PARTS_AT_ONCE_MAX: usize = 8;
/// As many again as there are processors wait for the disk while others are sealed.
const PARTS_A_PROCESSOR: usize = 2;

/// Everything that [`seal_file`] needs.
pub struct FileRequest {
    /// The file.
    pub content: FileContent,
    /// What it is called in errors.
    pub name: String,
    /// The asset's keys.
    pub keys: Arc<AssetKeys>,
    /// Where sealed objects go.
    pub store: Store,
    /// The version's number.
    pub version: u32,
    /// What it is sealed with.
    pub suite: CipherSuite,
    /// What its objects are hashed with.
    pub hash: HashAlgorithm,
    /// Is told how far it is.
    pub progress: Arc<dyn ProgressSink>,
}

/// A version of a file that lies durably in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileVersion {
    /// Where it is found.
    pub reference: VersionRef,
    /// Its number.
    pub version: u32,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Parts it was sealed into.
    pub parts: u32,
    /// What is registered of its content, as of a column.
    pub content: ColumnSeal,
    /// Bytes written, all objects together.
    pub bytes_sealed: u64,
}

/// Why a file was not sealed. Nothing of the attempt is left, unless the store failed.
#[derive(Debug, thiserror::Error)]
pub enum SealFileError {
    /// The file cannot be read to its end.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// More parts than the format counts.
    #[error("{0} is longer than one file asset holds (2^32 parts of 16 MB): share it as several")]
    TooLarge(String),
    /// A key could not be drawn or wrapped.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller gave up.
    #[error("sealing was cancelled")]
    Cancelled,
}

/// Seals a file as a new version, all durable when this returns. Memory is bounded by a few parts,
/// whatever the size of the file, and about 100 bytes a part. Runs on a tokio runtime; dropping the future
/// cancels the work, and what it wrote is removed in the background.
///
/// # Errors
/// [`SealFileError`]; what the attempt wrote is removed before this returns.
pub async fn seal_file(request: FileRequest) -> Result<FileVersion, SealFileError> {
    let cancel = Cancel::default();
    let _guard = cancel.on_drop();
    let run = async move {
        let (store, keys, attempt) = (request.store.clone(), Arc::clone(&request.keys), AttemptId::generate()?);
        let sealed = seal_attempt(request, attempt, &cancel).await;
        // What cannot be removed now shows up in `list_attempts`.
        if sealed.is_err() || cancel.is_wanted() {
            let _ = remove_attempt(&store, keys.label(), attempt).await;
        }
        sealed
    };
    tokio::spawn(run).await.map_err(|error| StoreError::Internal(error.to_string()))?
}

async fn seal_attempt(request: FileRequest, attempt: AttemptId, cancel: &Cancel) -> Result<FileVersion, SealFileError> {
    let FileRequest { content, name, keys, store, version, suite, hash, progress } = request;
    let key = DataKey::generate()?;
    let wrapped = keys.wrap(&key, attempt, Stream::File)?;
    let sealing = Sealing {
        parts: Parts::of(content, name),
        with: PartSealer { key, label: keys.label().clone(), attempt, suite, hash },
        store: store.clone(),
        stored: Mutex::new(0),
        progress,
        cancel: cancel.clone(),
    };
    let (parts, file_bytes) = Arc::new(sealing).run().await?;
    if cancel.is_wanted() {
        return Err(SealFileError::Cancelled);
    }
    let label = keys.label().as_str().to_owned();
    let manifest =
        FileManifest { format: FORMAT, label, attempt, version, suite, hash, file_bytes, key: wrapped, parts };
    write_manifest(&store, &keys, &manifest).await
}

async fn write_manifest(
    store: &Store,
    keys: &AssetKeys,
    manifest: &FileManifest,
) -> Result<FileVersion, SealFileError> {
    let object = manifest.seal(keys)?;
    let segments: Vec<_> = manifest.segments(keys)?.into_iter().map(|(segment, _)| segment).collect();
    let (attempt, suite, hash) = (manifest.attempt, manifest.suite, manifest.hash);
    let manifest_digest = manifest_digest(hash, &object);
    let sealed = FileVersion {
        reference: VersionRef { attempt, manifest_digest, suite, hash },
        version: manifest.version,
        file_bytes: manifest.file_bytes,
        parts: u32::try_from(manifest.parts.len()).unwrap_or(u32::MAX),
        content: column_seal(attempt, &segments),
        bytes_sealed: manifest.parts.iter().map(|part| part.bytes).sum::<u64>() + object.len() as u64,
    };
    store.put(&layout::manifest_path(keys.label(), attempt), object).await?;
    Ok(sealed)
}

/// What the parts on their way share.
struct Sealing {
    parts: Parts,
    with: PartSealer,
    store: Store,
    /// Bytes that have been stored; told under the lock, so that they never go back.
    stored: Mutex<u64>,
    progress: Arc<dyn ProgressSink>,
    /// The caller's wish, or a part's that failed.
    cancel: Cancel,
}

/// What a part is sealed with.
pub(crate) struct PartSealer {
    key: DataKey,
    label: AssetLabel,
    attempt: AttemptId,
    suite: CipherSuite,
    pub(crate) hash: HashAlgorithm,
}

impl PartSealer {
    pub(crate) fn sealer(&self, part: u32) -> Sealer {
        Sealer::new(self.place(part), self.suite, self.key.segment_key(part))
    }

    fn place(&self, part: u32) -> SegmentPlace {
        parts::place(&self.label, self.attempt, part)
    }
}

/// One part that lies in the store.
struct StoredPart {
    number: u32,
    entry: ObjectEntry,
    content_bytes: u64,
}

impl Sealing {
    /// Seals all parts; gives their entries in order and the bytes of the file.
    async fn run(self: Arc<Self>) -> Result<(Vec<ObjectEntry>, u64), SealFileError> {
        let lanes =
            (std::thread::available_parallelism().map_or(1, usize::from) * PARTS_A_PROCESSOR).min(PARTS_AT_ONCE_MAX);
        // All are awaited to their end: nothing may still be written after an error.
        let outcomes = join_all((0..lanes).map(|_| Arc::clone(&self).lane())).await;
        let (mut stored, mut failed) = (Vec::new(), None);
        for outcome in outcomes {
            match outcome {
                Ok(parts) => stored.extend(parts),
                // The others stopped because of the one that failed.
                Err(error) if matches!(failed, None | Some(SealFileError::Cancelled)) => failed = Some(error),
                Err(_) => {}
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        stored.sort_unstable_by_key(|part| part.number);
        let file_bytes = stored.iter().map(|part| part.content_bytes).sum();
        Ok((stored.into_iter().map(|part| part.entry).collect(), file_bytes))
    }

    /// Takes part after part through one buffer, as long as there are any.
    async fn lane(self: Arc<Self>) -> Result<Vec<StoredPart>, SealFileError> {
        let (mut stored, mut buffer) = (Vec::new(), None);
        loop {
            let next = Arc::clone(&self).store_next(buffer).await.inspect_err(|_| self.cancel.want())?;
            let Some((part, used)) = next else { return Ok(stored) };
            self.tell(part.content_bytes);
            stored.push(part);
            buffer = Some(used);
        }
    }

    /// Seals and stores the next part; none when there is no other. Gives the buffer back.
    async fn store_next(
        self: Arc<Self>,
        buffer: Option<PartBuffer>,
    ) -> Result<Option<(StoredPart, PartBuffer)>, SealFileError> {
        if self.cancel.is_wanted() {
            return Err(SealFileError::Cancelled);
        }
        let Some(turn) = self.parts.next().await? else { return Ok(None) };
        let sealing = Arc::clone(&self);
        let seal = move || sealing.parts.seal(turn, buffer.unwrap_or_else(PartBuffer::new), &sealing.with);
        let sealed = spawn_blocking(seal).await.map_err(|error| StoreError::Internal(error.to_string()))??;
        let Some((number, content_bytes, sealed)) = sealed else { return Ok(None) };
        self.store.put(&layout::object_path(&self.with.place(number)), sealed.object.clone()).await?;
        let part = StoredPart { number, entry: sealed.entry, content_bytes };
        Ok(Some((part, sealed.into_buffer())))
    }

    fn tell(&self, stored_bytes: u64) {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        *stored += stored_bytes;
        self.progress.report(Progress {
            phase: Phase::Sealing,
            rows_done: 0,
            rows_total: None,
            bytes_done: *stored,
            bytes_total: self.parts.bytes(),
        });
    }
}
