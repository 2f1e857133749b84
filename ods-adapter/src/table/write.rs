//! Sealing a version of a table: one pass over the rows, one over the leaves, then the manifest.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use object_store::path::Path;
use sealgate_circuits::bytes::TreeRoot;
use sealgate_circuits::schema::{Schema, SchemaError};
use sealgate_circuits::value::ValueError;
use tokio::task::spawn_blocking;

use super::layout::{self, FORMAT};
use super::leaves::{GROUP_BITS, RowPlace, TreeTop};
use super::remove_attempt;
use super::version::{ColumnKeys, GroupEntry, ObjectEntry, SegmentEntry, VersionManifest};
use super::worker::{GroupFault, RowWorker, Sorter};
use super::{cells, layout::CHUNK_ROWS};
use crate::keys::{AssetKeys, KeyError};
use crate::progress::ProgressSink;
use crate::seal::{AttemptId, DataKey, KeyCommitment, Sealer, Stream};
use crate::source::{Source, SourceError};
use crate::store::{Store, StoreError};

/// Objects written at the same time.
const PUTS_AT_ONCE: usize = 8;

/// Everything that [`seal_table`] needs.
pub struct SealRequest {
    /// The rows, of `schema`.
    pub source: Box<dyn Source>,
    /// The public schema.
    pub schema: Schema,
    /// The asset's keys.
    pub keys: Arc<AssetKeys>,
    /// Where sealed objects go.
    pub store: Store,
    /// Where leaves wait on disk to be sorted; on the same machine, best in the data folder.
    pub spill_dir: PathBuf,
    /// The version's number; part of every record's salt.
    pub version: u32,
    /// Is told how far it is.
    pub progress: Arc<dyn ProgressSink>,
}

/// What is registered of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnSeal {
    /// Tagged hash over the BLAKE3 digests of its segments in order.
    pub ciphertext_digest: [u8; 32],
    /// Commitment to its key.
    pub key_commitment: KeyCommitment,
}

/// A version that lies durably in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedVersion {
    /// Under which its objects lie.
    pub attempt: AttemptId,
    /// Its number.
    pub version: u32,
    /// Records in it, exactly.
    pub records: u64,
    /// Root of its prefix tree.
    pub root: TreeRoot,
    /// Digest of its manifest object.
    pub manifest_digest: [u8; 32],
    /// One a column, in the schema's order.
    pub columns: Vec<ColumnSeal>,
    /// Bytes written, all objects together.
    pub bytes_sealed: u64,
}

/// Why a table was not sealed. Nothing of the attempt is left, unless the store failed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The source gives no rows, or wrong ones.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The schema breaks a rule.
    #[error("schema: {0}")]
    Schema(#[from] SchemaError),
    /// A source gave a row that does not fit the schema.
    #[error("{file}, row {row}: {source}")]
    Row {
        /// The source.
        file: String,
        /// The data row, from 1.
        row: u64,
        /// What does not fit.
        source: ValueError,
    },
    /// Two rows have the same key.
    #[error(
        "{file}: rows {first} and {second} have the same key {key}; a key must be unique. Remove one, or add a column to the key"
    )]
    DuplicateKey {
        /// The source.
        file: String,
        /// The earlier data row, from 1.
        first: u64,
        /// The later one.
        second: u64,
        /// The key columns with their values.
        key: String,
    },
    /// More segments or rows than the format counts.
    #[error("{file} has more rows than one version holds; share it as several assets")]
    TooLarge {
        /// The source.
        file: String,
    },
    /// A key could not be drawn or wrapped.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The store or the spill folder failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller gave up.
    #[error("sealing was cancelled")]
    Cancelled,
}

/// Seals every row of the source as a new version: columns, leaves, index and last the manifest,
/// all durable when this returns. Memory is bounded by one segment's rows, a 256th of the leaves
/// and the index (about 2 bytes a record), whatever the number of rows. Runs on a tokio runtime;
/// dropping the future cancels the work, and what it wrote is removed in the background.
///
/// # Errors
/// [`SealError`]; what the attempt wrote is removed before this returns.
pub async fn seal_table(request: SealRequest) -> Result<SealedVersion, SealError> {
    let cancel = Arc::new(AtomicBool::new(false));
    let _guard = CancelOnDrop(Arc::clone(&cancel));
    let run = async move {
        request.schema.validate()?;
        let (store, keys, attempt) = (request.store.clone(), Arc::clone(&request.keys), AttemptId::generate()?);
        let sealed = seal_attempt(request, attempt, &cancel).await;
        // What cannot be removed now shows up in `list_attempts`.
        if sealed.is_err() || cancel.load(Ordering::Relaxed) {
            let _ = remove_attempt(&store, keys.label(), attempt).await;
        }
        sealed
    };
    tokio::spawn(run).await.map_err(|error| StoreError::Internal(error.to_string()))?
}

/// Tells the work to stop when nobody waits for it any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The keys of one attempt, drawn for it alone.
struct AttemptSealers {
    columns: Vec<Sealer>,
    column_keys: ColumnKeys,
    leaves: Sealer,
    leaves_key: crate::keys::WrappedKey,
    index: Sealer,
    index_key: crate::keys::WrappedKey,
}

impl AttemptSealers {
    fn draw(keys: &AssetKeys, attempt: AttemptId, columns: usize) -> Result<Self, KeyError> {
        let draw = |stream| -> Result<_, KeyError> {
            let key = DataKey::generate()?;
            Ok((key.sealer(keys.label(), attempt, stream), keys.wrap(&key, attempt, stream)?))
        };
        let mut sealers = Vec::with_capacity(columns);
        let mut wrapped = Vec::with_capacity(columns);
        for column in (0u8..).take(columns) {
            let (sealer, key) = draw(Stream::Column(column))?;
            sealers.push(sealer);
            wrapped.push(key);
        }
        let ((leaves, leaves_key), (index, index_key)) = (draw(Stream::Leaves)?, draw(Stream::Index)?);
        let column_keys = ColumnKeys { attempt, columns: wrapped };
        Ok(Self { columns: sealers, column_keys, leaves, leaves_key, index, index_key })
    }
}

async fn seal_attempt(
    request: SealRequest,
    attempt: AttemptId,
    cancel: &Arc<AtomicBool>,
) -> Result<SealedVersion, SealError> {
    let SealRequest { source, schema, keys, store, spill_dir, version, progress } = request;
    let file = source.name();
    let sealers = AttemptSealers::draw(&keys, attempt, schema.columns.len())?;
    let columns = Arc::new(sealers.columns);
    let writer = Writer { store, keys: Arc::clone(&keys), attempt };
    let worker = RowWorker::new(
        source,
        &schema,
        &keys,
        Arc::clone(&columns),
        &spill_dir,
        version,
        progress,
        Arc::clone(cancel),
    )?;
    let (worker, segments) = writer.write_segments(worker).await?;
    let records = worker.rows();
    let sorter = worker.into_sorter(sealers.leaves);
    let (sorter, groups) = match writer.write_groups(sorter).await {
        Ok(done) => done,
        Err(GroupFault::Other(error)) => return Err(error),
        Err(GroupFault::Duplicate(a, b)) => {
            return Err(writer.duplicate(file, &schema, &columns, &segments, a, b).await);
        }
    };
    let bucket_bits = sorter.bits();
    let (index_object, buckets) = sorter.seal_index(&sealers.index)?;
    let index = ObjectEntry::of(&index_object);
    writer.store.put(&layout::object_path(keys.label(), attempt, Stream::Index, 0), index_object).await?;
    let manifest = VersionManifest {
        format: FORMAT,
        label: keys.label().as_str().to_owned(),
        attempt,
        version,
        schema: schema.digest(),
        records,
        root: TreeTop::new(buckets).root(),
        column_keys: vec![sealers.column_keys],
        segments,
        leaves_key: sealers.leaves_key,
        index_key: sealers.index_key,
        bucket_bits,
        groups,
        index,
    };
    if cancel.load(Ordering::Relaxed) {
        return Err(SealError::Cancelled);
    }
    writer.write_manifest(&manifest, &columns).await
}

/// Puts the objects of one attempt while the next ones are being made.
struct Writer {
    store: Store,
    keys: Arc<AssetKeys>,
    attempt: AttemptId,
}

impl Writer {
    async fn write_segments(&self, mut worker: RowWorker) -> Result<(RowWorker, Vec<SegmentEntry>), SealError> {
        let mut segments = Vec::new();
        let mut objects: Vec<(Path, Vec<u8>)> = Vec::new();
        loop {
            let step = blocking(move || worker.next_segment().map(|segment| (worker, segment)));
            // Both are awaited to their end: nothing may still be written after an error.
            let (stepped, written) = futures::join!(step, self.put_all(std::mem::take(&mut objects)));
            written?;
            let (stepped_worker, segment) = stepped??;
            worker = stepped_worker;
            let Some(segment) = segment else { return Ok((worker, segments)) };
            let columns = segment.objects.iter().map(|object| ObjectEntry::of(object)).collect();
            let number = u32::try_from(segments.len()).unwrap_or(u32::MAX);
            segments.push(SegmentEntry { attempt: self.attempt, segment: number, rows: segment.rows, columns });
            let path = |column| layout::object_path(self.keys.label(), self.attempt, Stream::Column(column), number);
            objects = (0u8..).map(path).zip(segment.objects).collect();
        }
    }

    async fn write_groups(&self, mut sorter: Sorter) -> Result<(Sorter, Vec<GroupEntry>), GroupFault> {
        let mut entries = Vec::new();
        let mut objects: Vec<(Path, Vec<u8>)> = Vec::new();
        loop {
            let step = blocking(move || sorter.next_groups().map(|groups| (sorter, groups)));
            let (stepped, written) = futures::join!(step, self.put_all(std::mem::take(&mut objects)));
            written.map_err(|error| GroupFault::Other(error.into()))?;
            let (stepped_sorter, groups) = stepped.map_err(|error| GroupFault::Other(error.into()))??;
            sorter = stepped_sorter;
            if groups.is_empty() {
                return Ok((sorter, entries));
            }
            for group in groups {
                let number = u32::try_from(entries.len()).unwrap_or(u32::MAX);
                entries.push(GroupEntry { leaves: group.leaves, object: ObjectEntry::of(&group.object) });
                let path = layout::object_path(self.keys.label(), self.attempt, Stream::Leaves, number);
                objects.push((path, group.object));
            }
        }
    }

    async fn write_manifest(&self, manifest: &VersionManifest, columns: &[Sealer]) -> Result<SealedVersion, SealError> {
        let object = manifest.seal(&self.keys)?;
        let manifest_digest = VersionManifest::digest(&object);
        let others: u64 = manifest.objects(&self.keys).iter().map(|(_, entry)| entry.bytes).sum();
        let bytes_sealed = others + object.len() as u64;
        self.store.put(&layout::manifest_path(self.keys.label(), self.attempt), object).await?;
        let seal = |(column, sealer): (usize, &Sealer)| ColumnSeal {
            ciphertext_digest: manifest.column_digest(column),
            key_commitment: sealer.commitment,
        };
        Ok(SealedVersion {
            attempt: self.attempt,
            version: manifest.version,
            records: manifest.records,
            root: manifest.root,
            manifest_digest,
            columns: columns.iter().enumerate().map(seal).collect(),
            bytes_sealed,
        })
    }

    async fn put_all(&self, objects: Vec<(Path, Vec<u8>)>) -> Result<(), StoreError> {
        let puts = objects.into_iter().map(|(path, object)| async move { self.store.put(&path, object).await });
        let outcomes: Vec<Result<(), StoreError>> =
            futures::stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).collect().await;
        outcomes.into_iter().collect()
    }

    /// The error that names both rows and their key, which is read back from the sealed columns.
    async fn duplicate(
        &self,
        file: String,
        schema: &Schema,
        columns: &[Sealer],
        segments: &[SegmentEntry],
        a: RowPlace,
        b: RowPlace,
    ) -> SealError {
        let (first, second) = (a.min(b), a.max(b));
        let number = |row: RowPlace| {
            let before: u64 = segments.iter().take(row.segment as usize).map(|s| u64::from(s.rows)).sum();
            before + u64::from(row.index) + 1
        };
        let mut key = Vec::new();
        for position in &schema.key {
            match self.read_cell(schema, columns, segments, first, *position).await {
                Ok(text) => key.push(text),
                Err(error) => return error.into(),
            }
        }
        SealError::DuplicateKey { file, first: number(first), second: number(second), key: key.join(", ") }
    }

    async fn read_cell(
        &self,
        schema: &Schema,
        columns: &[Sealer],
        segments: &[SegmentEntry],
        row: RowPlace,
        position: u8,
    ) -> Result<String, StoreError> {
        let gone = || StoreError::Internal(format!("row {row:?} is in no segment"));
        let segment = segments.get(row.segment as usize).ok_or_else(gone)?;
        let sealer = columns.get(usize::from(position)).ok_or_else(gone)?;
        let column = schema.at(position).ok_or_else(gone)?;
        let object = layout::object_path(self.keys.label(), self.attempt, sealer.stream, segment.segment);
        let bytes = self.store.read(&object).await?;
        let chunks = layout::open_object(sealer, &segment.header(sealer), &object, &bytes)?;
        let chunk = row.index / CHUNK_ROWS as u32;
        let content = chunks.get(chunk as usize).ok_or_else(gone)?;
        let rows = cells::rows_in_chunk(segment.rows, chunk);
        let values = cells::decode(&object, chunk, content, column.kind, rows)?;
        let value = values.get(row.index as usize % CHUNK_ROWS).ok_or_else(gone)?;
        Ok(format!("{} = {}", column.name, value.literal(column.kind)))
    }
}

/// Runs work for the processor where it holds up no one.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    spawn_blocking(work).await.map_err(|error| StoreError::Internal(error.to_string()))
}

/// Groups that are sorted and sealed in one step.
pub(crate) const GROUPS_AT_ONCE: u32 = 1 << (GROUP_BITS / 2 - 1);
