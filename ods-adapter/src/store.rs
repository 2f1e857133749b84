//! Where sealed objects lie: anything `object_store` reaches, with durability on local disks.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, PutPayload};
use sealgate_circuits::value::ValueError;
use tokio::sync::Semaphore;

use crate::keys::KeyError;
use crate::secret::{create_private_dir, way_out};

mod patience;

use patience::{Patience, UPLOAD_BYTES};

/// Why the store does not give what was put there. `Damaged`, `Missing` and `Extra` are the stored
/// data's fault, `Service` and `Folder` the machine's, `Lookup` the caller's.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An object is gone.
    #[error(
        "stored object {object} is missing: restore it from a backup, or publish the asset with 'sealgate publish --anew'"
    )]
    Missing {
        /// The object.
        object: String,
    },
    /// An object is not what was written.
    #[error("stored object {object}{} is damaged: {what}. Restore it from a backup, or publish the asset with 'sealgate publish --anew'", at_chunk(*chunk))]
    Damaged {
        /// The object.
        object: String,
        /// The chunk of it, where one is to blame.
        chunk: Option<u32>,
        /// What does not hold.
        what: String,
    },
    /// An object lies where none was written.
    #[error("stored object {object} belongs to nothing: find out who put it there, then remove it")]
    Extra {
        /// The object.
        object: String,
    },
    /// The store failed.
    #[error("store, object {object}: {source}")]
    Service {
        /// The object.
        object: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// There is no room.
    #[error("{place} is full, writing {object}: make room and try again; the version before is unchanged")]
    Full {
        /// The folder or service.
        place: String,
        /// The object.
        object: String,
    },
    /// A local folder or file could not be used.
    #[error("{path}: {source}{hint}", hint = way_out(source))]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A key does not open what lies here.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The values looked up are not a key of the table.
    #[error("not a key of this table: {0}")]
    Lookup(#[source] ValueError),
    /// The work was abandoned by a part of itself.
    #[error("internal fault: {0}")]
    Internal(String),
}

fn at_chunk(chunk: Option<u32>) -> String {
    chunk.map_or_else(String::new, |chunk| format!(", chunk {chunk},"))
}

impl StoreError {
    /// The object whose content is at fault, where one is.
    pub fn object(&self) -> Option<&str> {
        match self {
            Self::Missing { object } | Self::Damaged { object, .. } | Self::Extra { object } => Some(object),
            _ => None,
        }
    }

    pub(crate) fn damaged(object: &Path, chunk: Option<u32>, what: impl Into<String>) -> Self {
        Self::Damaged { object: object.to_string(), chunk, what: what.into() }
    }

    fn of(object: &Path, source: object_store::Error) -> Self {
        match source {
            object_store::Error::NotFound { .. } => Self::Missing { object: object.to_string() },
            source => Self::Service { object: object.to_string(), source },
        }
    }
}

/// What a URL of a store must look like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no place for objects: write \"file:FOLDER\" or \"s3://BUCKET/PREFIX\"")]
pub struct StoreUrlError(String);

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A folder on this machine, `file:FOLDER`.
    Folder(PathBuf),
    /// A bucket of an S3 service, `s3://BUCKET/PREFIX`; its address and credentials come from the
    /// environment.
    S3 {
        /// The bucket.
        bucket: String,
        /// What the names of all objects start with; may be empty.
        prefix: String,
    },
}

impl StoreUrl {
    /// Reads a URL; a relative folder starts in `base`.
    ///
    /// # Errors
    /// [`StoreUrlError`].
    pub fn parse(url: &str, base: &FilePath) -> Result<Self, StoreUrlError> {
        let wrong = || StoreUrlError(url.escape_debug().take(80).collect());
        if let Some(folder) = url.strip_prefix("file:").filter(|folder| !folder.is_empty()) {
            // Of "file:///folder" the authority is empty.
            return Ok(Self::Folder(base.join(folder.strip_prefix("//").unwrap_or(folder))));
        }
        let (bucket, prefix) =
            url.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, ""))).ok_or_else(wrong)?;
        let prefix = prefix.trim_end_matches('/');
        let sound = !bucket.is_empty() && bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        match sound && (prefix.is_empty() || Path::parse(prefix).is_ok_and(|path| path.as_ref() == prefix)) {
            true => Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() }),
            false => Err(wrong()),
        }
    }
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreUrl::Folder(folder) => write!(f, "file:{}", folder.display()),
            StoreUrl::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            StoreUrl::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// The unit in which objects on their way to a store are counted, in bytes.
const UPLOAD_UNIT: usize = 1 << 20;

/// Bytes that are written at once. For a longer write the page cache looks for long runs of free memory, which a
/// virtual machine may first have to ask its host for.
const PIECE_BYTES: usize = 256 << 10;

fn in_pieces(mut content: Bytes) -> PutPayload {
    let count = content.len().div_ceil(PIECE_BYTES);
    (0..count).map(|_| content.split_to(PIECE_BYTES.min(content.len()))).collect()
}

/// Whether an error means, somewhere beneath, that there is no room.
fn is_full(error: &object_store::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// A place for objects. What was put is whole and durable when it returns: on a local disk by
/// fsync of the file and its folders, elsewhere by the promise of the service. An object is there
/// entirely or not at all; putting the same object again is harmless.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    root: Option<PathBuf>,
    /// What may be on its way at once, in [`UPLOAD_UNIT`]s.
    uploads: Arc<Semaphore>,
    failures: Arc<AtomicU64>,
}

impl Store {
    /// The store at `url`. For a bucket, address and credentials are taken from the variables
    /// `AWS_ENDPOINT`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and their like;
    /// nothing is asked of the service yet.
    ///
    /// # Errors
    /// [`StoreError::Folder`]; [`StoreError::Service`] when the variables do not make sense.
    pub fn open(url: &StoreUrl) -> Result<Self, StoreError> {
        match url {
            StoreUrl::Folder(folder) => Self::local(folder),
            StoreUrl::S3 { bucket, prefix } => Self::s3(AmazonS3Builder::from_env(), bucket, prefix, Patience::USUAL),
        }
    }

    fn s3(builder: AmazonS3Builder, bucket: &str, prefix: &str, patience: Patience) -> Result<Self, StoreError> {
        let builder = builder.with_bucket_name(bucket).with_retry(patience.retry());
        let built = builder.with_http_connector(patience).build();
        let service = built.map_err(|source| StoreError::Service { object: format!("s3://{bucket}"), source })?;
        Ok(match prefix.is_empty() {
            true => Self::remote(Arc::new(service)),
            false => Self::remote(Arc::new(PrefixStore::new(service, prefix))),
        })
    }

    /// The memory of this process, for tests: nothing outlives it.
    pub fn memory() -> Self {
        Self::remote(Arc::new(InMemory::new()))
    }

    /// A folder on this machine; made with mode 0700 when it is not there. Every write is followed
    /// by fsync of the file and of each folder that changed.
    ///
    /// # Errors
    /// [`StoreError::Folder`] when the folder cannot be made or opened.
    pub fn local(root: &FilePath) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Folder { path: root.to_owned(), source };
        create_private_dir(root).map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        let inner = LocalFileSystem::new_with_prefix(&root).map_err(|error| failed(error.into()))?;
        let inner = inner.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self { root: Some(root), ..Self::remote(Arc::new(inner)) })
    }

    /// Any other object store; durability is what it promises for `put`.
    pub fn remote(inner: Arc<dyn ObjectStore>) -> Self {
        let uploads = Arc::new(Semaphore::new(UPLOAD_BYTES / UPLOAD_UNIT));
        Self { inner, root: None, uploads, failures: Arc::default() }
    }

    /// How many operations the store has failed since it was opened: it gave no answer, refused, or was full.
    /// That an object is not there, or is not what was written, is no failure of the store.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The error of an operation on an object, counted if it is the store's.
    fn failed(&self, object: &Path, source: object_store::Error) -> StoreError {
        let error = StoreError::of(object, source);
        if matches!(error, StoreError::Service { .. }) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        error
    }

    pub(crate) async fn put(&self, object: &Path, content: impl Into<Bytes>) -> Result<(), StoreError> {
        let content = in_pieces(content.into());
        let units = content.content_length().div_ceil(UPLOAD_UNIT).clamp(1, UPLOAD_BYTES / UPLOAD_UNIT);
        let turn = self.uploads.acquire_many(u32::try_from(units).unwrap_or(u32::MAX)).await;
        let _turn = turn.map_err(|error| StoreError::Internal(error.to_string()))?;
        match self.inner.put(object, content).await {
            Ok(_) => Ok(()),
            Err(error) if is_full(&error) => {
                let place =
                    self.root.as_ref().map_or_else(|| self.inner.to_string(), |root| root.display().to_string());
                self.failures.fetch_add(1, Ordering::Relaxed);
                Err(StoreError::Full { place, object: object.to_string() })
            }
            Err(error) => Err(self.failed(object, error)),
        }
    }

    pub(crate) async fn read(&self, object: &Path) -> Result<Bytes, StoreError> {
        let failed = |error| self.failed(object, error);
        self.inner.get(object).await.map_err(failed)?.bytes().await.map_err(failed)
    }

    /// `length` bytes from `start`; an object too short for them is damaged.
    pub(crate) async fn read_range(&self, object: &Path, start: u64, length: u64) -> Result<Bytes, StoreError> {
        let range = start..start.saturating_add(length);
        let cut = || StoreError::damaged(object, None, format!("it ends before byte {}", range.end));
        match self.inner.get_range(object, range.clone()).await {
            Ok(bytes) if bytes.len() as u64 == length => Ok(bytes),
            Ok(_) => Err(cut()),
            Err(object_store::Error::NotFound { .. }) => Err(StoreError::Missing { object: object.to_string() }),
            Err(error) => match self.inner.head(object).await {
                Ok(meta) if meta.size < range.end => Err(cut()),
                _ => Err(self.failed(object, error)),
            },
        }
    }

    /// Asks the service for an object that is not there: whether it answers.
    ///
    /// # Errors
    /// [`StoreError`] as it gives it.
    pub async fn reach(&self) -> Result<(), StoreError> {
        self.exists(&Path::from("reach")).await.map(|_| ())
    }

    /// Whether there is such an object.
    pub(crate) async fn exists(&self, object: &Path) -> Result<bool, StoreError> {
        match self.inner.head(object).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed(object, error)),
        }
    }

    /// Removes an object; one that is gone already is no error.
    pub(crate) async fn remove(&self, object: &Path) -> Result<(), StoreError> {
        match self.inner.delete(object).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(object, error)),
        }
    }

    /// Every object under `prefix`.
    pub(crate) async fn list(&self, prefix: &Path) -> Result<Vec<ObjectMeta>, StoreError> {
        self.inner.list(Some(prefix)).try_collect().await.map_err(|error| self.failed(prefix, error))
    }

    /// The folders directly under `prefix`.
    pub(crate) async fn folders(&self, prefix: &Path) -> Result<Vec<Path>, StoreError> {
        match self.inner.list_with_delimiter(Some(prefix)).await {
            Ok(listing) => Ok(listing.common_prefixes),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(self.failed(prefix, error)),
        }
    }

    /// Removes every object under `prefix`; one that is gone already is no error. On a local disk
    /// also what a crash left half written.
    pub(crate) async fn remove_all(&self, prefix: &Path) -> Result<(), StoreError> {
        for meta in self.list(prefix).await? {
            self.remove(&meta.location).await?;
        }
        if let Some(root) = &self.root {
            let folder = root.join(prefix.as_ref());
            match tokio::fs::remove_dir_all(&folder).await {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::Folder { path: folder, source });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
