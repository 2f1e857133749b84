//! Sealing a file: parts are read, sealed and written at the same time; last comes the manifest.

use std::io::Read;
use std::sync::Arc;

use futures::StreamExt as _;
use object_store::path::Path;
use rayon::prelude::*;
use tokio::task::spawn_blocking;

use super::manifest::{FORMAT, FileManifest};
use super::parts::{self, PART_BYTES};
use crate::cancel::Cancel;
use crate::keys::{AssetKeys, KeyError};
use crate::progress::{Phase, Progress, ProgressSink};
use crate::seal::{AttemptId, DataKey, Sealer, Stream};
use crate::store::{Store, StoreError};
use crate::suite::{CipherSuite, HashAlgorithm};
use crate::table::columns::{ColumnSeal, column_seal};
use crate::table::layout;
use crate::table::remove_attempt;
use crate::table::version::{ObjectEntry, VersionRef};

/// Parts sealed at the same time, at most: each of them is in memory up to three times, being read,
/// sealed and written.
const PARTS_AT_ONCE_MAX: usize = 4;

/// Everything that [`seal_file`] needs.
pub struct FileRequest {
    /// The file; read once, to its end.
    pub reader: Box<dyn Read + Send>,
    /// What it is called in errors.
    pub name: String,
    /// Its size in bytes where that is known; only for progress.
    pub bytes: Option<u64>,
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
    let FileRequest { reader, name, bytes, keys, store, version, suite, hash, progress } = request;
    let key = DataKey::generate()?;
    let wrapped = keys.wrap(&key, attempt, Stream::File)?;
    let batch = rayon::current_num_threads().clamp(1, PARTS_AT_ONCE_MAX);
    let mut worker = Worker {
        reader: Parts { reader, name: name.clone(), ended: false },
        batch,
        seal: PartSealer { key, keys: Arc::clone(&keys), attempt, suite, hash, name, next: 0 },
        read: Vec::new(),
    };
    let (mut entries, mut sealed_parts, mut file_bytes) = (Vec::new(), Vec::new(), 0);
    loop {
        let step = spawn_blocking(move || worker.step().map(|done| (worker, done)));
        // Both are awaited to their end: nothing may still be written after an error.
        let (stepped, written) = futures::join!(step, put_all(&store, std::mem::take(&mut sealed_parts)));
        written?;
        let (stepped, sealed) = stepped.map_err(|error| StoreError::Internal(error.to_string()))??;
        worker = stepped;
        if cancel.is_wanted() {
            return Err(SealFileError::Cancelled);
        }
        for part in sealed {
            file_bytes += part.content_bytes;
            entries.push(part.entry);
            sealed_parts.push((part.path, part.object));
        }
        let rows_total = None;
        progress.report(Progress {
            phase: Phase::Sealing,
            rows_done: 0,
            rows_total,
            bytes_done: file_bytes,
            bytes_total: bytes,
        });
        if sealed_parts.is_empty() && worker.is_done() {
            break;
        }
    }
    let manifest = FileManifest {
        format: FORMAT,
        label: keys.label().as_str().to_owned(),
        attempt,
        version,
        suite,
        hash,
        file_bytes,
        key: wrapped,
        parts: entries,
    };
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
    let manifest_digest = FileManifest::digest(hash, &object);
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

async fn put_all(store: &Store, objects: Vec<(Path, Vec<u8>)>) -> Result<(), StoreError> {
    let at_once = objects.len().max(1);
    let puts = objects.into_iter().map(|(path, object)| async move { store.put(&path, object).await });
    let outcomes: Vec<Result<(), StoreError>> = futures::stream::iter(puts).buffer_unordered(at_once).collect().await;
    outcomes.into_iter().collect()
}

/// Reads the next parts while those read before are sealed.
struct Worker {
    reader: Parts,
    batch: usize,
    seal: PartSealer,
    read: Vec<Vec<u8>>,
}

impl Worker {
    /// The parts that were read in the step before, sealed; none in the first step.
    fn step(&mut self) -> Result<Vec<SealedPart>, SealFileError> {
        let (parts, batch) = (std::mem::take(&mut self.read), self.batch);
        let (reader, seal) = (&mut self.reader, &mut self.seal);
        let (read, sealed) = rayon::join(|| reader.next_batch(batch), || seal.seal(&parts));
        self.read = read?;
        sealed
    }

    fn is_done(&self) -> bool {
        self.reader.ended && self.read.is_empty()
    }
}

/// The file, cut into parts.
struct Parts {
    reader: Box<dyn Read + Send>,
    name: String,
    ended: bool,
}

impl Parts {
    fn next_batch(&mut self, count: usize) -> Result<Vec<Vec<u8>>, SealFileError> {
        let mut batch = Vec::with_capacity(count);
        while batch.len() < count && !self.ended {
            batch.push(self.next()?);
        }
        Ok(batch)
    }

    /// The next part; the last one when it is not full. A file whose length is a multiple of a
    /// part's would end with an empty one: that is dropped by [`PartSealer::seal`].
    fn next(&mut self) -> Result<Vec<u8>, SealFileError> {
        let mut part = Vec::with_capacity(usize::try_from(PART_BYTES).unwrap_or(usize::MAX));
        let read = (&mut self.reader).take(PART_BYTES).read_to_end(&mut part);
        read.map_err(|source| SealFileError::Read { file: self.name.clone(), source })?;
        self.ended = (part.len() as u64) < PART_BYTES;
        Ok(part)
    }
}

/// Seals part after part.
struct PartSealer {
    key: DataKey,
    keys: Arc<AssetKeys>,
    attempt: AttemptId,
    suite: CipherSuite,
    hash: HashAlgorithm,
    name: String,
    next: u32,
}

struct SealedPart {
    path: Path,
    object: Vec<u8>,
    entry: ObjectEntry,
    content_bytes: u64,
}

impl PartSealer {
    fn seal(&mut self, parts: &[Vec<u8>]) -> Result<Vec<SealedPart>, SealFileError> {
        let first = self.next;
        let parts: Vec<(u32, &Vec<u8>)> =
            (first..=u32::MAX).zip(parts).filter(|(number, part)| *number == 0 || !part.is_empty()).collect();
        let sealed: Vec<SealedPart> =
            parts.par_iter().map(|(number, part)| self.seal_part(*number, part)).collect::<Result<_, _>>()?;
        let count = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        self.next = first.checked_add(count).ok_or_else(|| SealFileError::TooLarge(self.name.clone()))?;
        Ok(sealed)
    }

    fn seal_part(&self, number: u32, content: &[u8]) -> Result<SealedPart, SealFileError> {
        let place = parts::place(self.keys.label(), self.attempt, number);
        let path = layout::object_path(&place);
        let sealer = Sealer::new(place, self.suite, self.key.segment_key(number));
        let object = parts::seal(&sealer, content).map_err(|_| KeyError::NotOpened("a part of the file"))?;
        let entry = ObjectEntry::of(self.hash, &object);
        Ok(SealedPart { path, object, entry, content_bytes: content.len() as u64 })
    }
}
