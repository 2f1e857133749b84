//! Sealing a version of a table: the processor's work on one thread, the store's beside it, and last
//! the manifest.

use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use object_store::path::Path;
use sealgate_circuits::bytes::TreeRoot;
use sealgate_circuits::schema::{Schema, SchemaError};
use sealgate_circuits::value::ValueError;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::spawn_blocking;

use super::columns::{ColumnSeal, column_seal};
use super::layout;
use super::read::read_manifest;
use super::remove_attempt;
use super::sync::{Build, Previous};
use super::version::{VersionManifest, VersionRef, manifest_digest};
use super::worker::{Attempt, Objects};
use crate::cancel::Cancel;
use crate::keys::{AssetKeys, KeyError};
use crate::progress::ProgressSink;
use crate::seal::AttemptId;
use crate::source::{Rejected, Source, SourceError};
use crate::store::{Store, StoreError};
use crate::suite::{CipherSuite, HashAlgorithm};

/// Objects written at the same time.
const PUTS_AT_ONCE: usize = 8;

/// Takes rows that are set aside; must return at once.
pub type RejectedSink = Arc<dyn Fn(&Rejected) + Send + Sync>;

/// Everything that [`seal_table`] needs.
pub struct SealRequest {
    /// The rows, of `schema`. `None` seals the records of `previous` anew under keys of their own,
    /// as after a change of the asset's key.
    pub source: Option<Box<dyn Source>>,
    /// The last version, if there is one: what has not changed since then is not committed again.
    pub previous: Option<VersionRef>,
    /// The public schema.
    pub schema: Schema,
    /// What it is sealed with.
    pub suite: CipherSuite,
    /// What its objects are hashed with.
    pub hash: HashAlgorithm,
    /// The asset's keys.
    pub keys: Arc<AssetKeys>,
    /// Where sealed objects go.
    pub store: Store,
    /// Where rows and leaves wait on disk, sealed, to be sorted; best in the data folder.
    pub spill_dir: PathBuf,
    /// The version's number; part of the salt of every record that it writes.
    pub version: u32,
    /// Takes rows that are set aside: bad ones, and all of those that have one key. Without it the
    /// first of them is an error.
    pub rejected: Option<RejectedSink>,
    /// Is told how far it is.
    pub progress: Arc<dyn ProgressSink>,
}

/// What a version changes, for the owner's eyes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Records as they were.
    pub unchanged: u64,
    /// Records with a known key and other values.
    pub changed: u64,
    /// Records with a new key.
    pub added: u64,
    /// Records that are no more.
    pub removed: u64,
    /// Rows of the source that are in no record.
    pub set_aside: u64,
    /// Unchanged records that were sealed again, because they lay with others that changed.
    pub moved: u64,
    /// Segments written.
    pub segments_written: u64,
}

/// A version that lies durably in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedVersion {
    /// Where it is found.
    pub reference: VersionRef,
    /// Its number.
    pub version: u32,
    /// Records in it, exactly.
    pub records: u64,
    /// Root of its prefix tree.
    pub root: TreeRoot,
    /// One a column, in the schema's order.
    pub columns: Vec<ColumnSeal>,
    /// Bytes written by this attempt, all objects together.
    pub bytes_written: u64,
    /// What it changes.
    pub changes: Changes,
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
    /// Far too many rows have the same key, or there are too many rows for one asset.
    #[error(
        "{file}: at row {row}, a 256th of the table by its keys is larger than 1 GiB. Many rows have the same key, or \
         the table is larger than 256 GiB: check the key in the manifest, or share it as several assets"
    )]
    Crowded {
        /// The source.
        file: String,
        /// The data row, from 1, at which it was too much.
        row: u64,
    },
    /// Two keys have one place, which a random function does not give.
    #[error("two keys of the table have the same place; the asset's place seed is damaged")]
    SamePlace,
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

impl SealError {
    /// As [`SourceError::quotes_rows`].
    pub fn quotes_rows(&self) -> bool {
        match self {
            Self::Source(error) => error.quotes_rows(),
            Self::Row { .. } | Self::DuplicateKey { .. } => true,
            _ => false,
        }
    }
}

/// Seals a version: its new and changed records, leaves, index and last the manifest, all durable
/// when this returns. Memory is bounded by one segment's rows, a 256th of the rows and leaves and the
/// index (about 2 bytes a record), whatever the number of rows. Runs on a tokio runtime; dropping the
/// future cancels the work, and what it wrote is removed in the background.
///
/// # Errors
/// [`SealError`]; what the attempt wrote is removed before this returns.
pub async fn seal_table(request: SealRequest) -> Result<SealedVersion, SealError> {
    let cancel = Cancel::default();
    let _guard = cancel.on_drop();
    let run = async move {
        request.schema.validate()?;
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

async fn seal_attempt(request: SealRequest, id: AttemptId, cancel: &Cancel) -> Result<SealedVersion, SealError> {
    let SealRequest { source, previous, schema, suite, hash, keys, store, spill_dir, version, rejected, progress } =
        request;
    let previous = match previous {
        None => None,
        Some(reference) => {
            let manifest = read_manifest(&store, &keys, &schema, &reference).await?;
            Some(Previous { manifest, store: store.clone(), runtime: Handle::current() })
        }
    };
    // One batch of objects is on its way while the next is being made and another one waits.
    let (outbox, inbox) = channel(1);
    let name = source.as_ref().map_or_else(|| "the last version".into(), |source| source.name());
    let (keys, cancelled) = (Arc::clone(&keys), cancel.clone());
    let attempt = Attempt {
        keys: Arc::clone(&keys),
        id,
        suite,
        hash,
        version,
        source: name,
        progress,
        cancel: cancelled,
        outbox,
    };
    let build = Build { attempt, schema, source, previous, spill_dir, rejected };
    let building = spawn_blocking(move || build.run());
    let (built, put) = futures::join!(building, put_all(&store, inbox, cancel));
    let bytes = put?;
    let (manifest, changes) = built.map_err(|error| StoreError::Internal(error.to_string()))??;
    finish(&store, &keys, &manifest, changes, bytes).await
}

/// Writes the manifest, which makes the attempt a version.
async fn finish(
    store: &Store,
    keys: &AssetKeys,
    manifest: &VersionManifest,
    changes: Changes,
    bytes: u64,
) -> Result<SealedVersion, SealError> {
    let object = manifest.seal(keys)?;
    let (attempt, suite, hash) = (manifest.attempt, manifest.suite, manifest.hash);
    let manifest_digest = manifest_digest(hash, &object);
    let bytes_written = bytes + object.len() as u64;
    let mut columns = Vec::with_capacity(manifest.columns());
    for column in (0u8..).take(manifest.columns()) {
        let segments: Vec<_> = manifest.column(keys, column)?.into_iter().map(|(segment, _)| segment).collect();
        columns.push(column_seal(attempt, &segments));
    }
    store.put(&layout::manifest_path(keys.label(), attempt), object).await?;
    Ok(SealedVersion {
        reference: VersionRef { attempt, manifest_digest, suite, hash },
        version: manifest.version,
        records: manifest.records,
        root: manifest.root,
        columns,
        bytes_written,
        changes,
    })
}

/// Puts what comes until no more does, and returns how many bytes that were. After a failure the
/// work is told to stop, and everything under way is awaited: nothing may be written later.
async fn put_all(store: &Store, mut inbox: Receiver<Objects>, cancel: &Cancel) -> Result<u64, StoreError> {
    let (mut bytes, mut failure) = (0, None);
    while let Some(objects) = inbox.recv().await {
        if failure.is_some() {
            continue;
        }
        let put = |(path, object): (Path, Vec<u8>)| async move {
            let length = object.len() as u64;
            store.put(&path, object).await.map(|()| length)
        };
        let outcomes: Vec<_> = futures::stream::iter(objects).map(put).buffer_unordered(PUTS_AT_ONCE).collect().await;
        for outcome in outcomes {
            match outcome {
                Ok(length) => bytes += length,
                Err(error) => failure = Some(error),
            }
        }
        if failure.is_some() {
            cancel.want();
        }
    }
    failure.map_or(Ok(bytes), Err)
}
