//! Publishing a file: it is sealed in parts and registered as an asset of its own, or as an asset's next
//! version (docs/spec/files.md). A crash before the registration leaves the old version.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use sealgate_circuits::bytes::{PlaceKey, TreeRoot};
use sealgate_ledger::block::Receipt;
use sealgate_ledger::ids::{AssetId, Digest};
use sealgate_ledger::tx::{ColumnSeal, FILE, TxBody, VersionInfo, file_schema};
use sealgate_ods::file::{FileContent, FileRequest, FileVersion, SealFileError, seal_file};
use sealgate_ods::keys::AssetKeys;
use sealgate_ods::progress::ProgressSink;
use sealgate_ods::table::remove_attempt;
use sealgate_ods::{CipherSuite, FileState, HashAlgorithm};

use crate::files::FileError;
use crate::owner::{Owner, OwnerError};
use crate::publishing::{PublishError, certainly_refused, named, publish_lock, remove_orphans, retire_old};

/// Why a file was not published. The ledger is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum FilingError {
    /// The file, the store or the keys.
    #[error(transparent)]
    Seal(#[from] SealFileError),
    /// The ledger, the keys or the folder.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// What publishing of any kind needs.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The asset exists and is no file.
    #[error("asset '{name}' is published as a {data_type}, which cannot change: publish the file under another name")]
    NotFile {
        /// Its name.
        name: String,
        /// What it is.
        data_type: String,
    },
}

impl From<FileError> for FilingError {
    fn from(error: FileError) -> Self {
        FilingError::Owner(error.into())
    }
}

/// What is published.
pub struct Filing<'a> {
    /// The asset's name, unique for the owner.
    pub name: &'a str,
    /// A title for the catalogue; an asset that is registered already keeps its own.
    pub title: &'a str,
    /// What it holds.
    pub description: &'a str,
    /// The file.
    pub path: &'a Path,
    /// What it is sealed with.
    pub suite: CipherSuite,
    /// What its objects are hashed with.
    pub hash: HashAlgorithm,
    /// Is told how far it is.
    pub progress: Arc<dyn ProgressSink>,
}

/// What was published.
#[derive(Debug, Clone)]
pub struct Filed {
    /// The asset.
    pub asset: AssetId,
    /// The version.
    pub version: FileVersion,
    /// The transaction's receipt.
    pub receipt: Receipt,
}

/// Seals a file and registers it.
///
/// # Errors
/// [`FilingError`]; nothing on the ledger has changed then.
pub async fn publish_file(owner: &Owner, filing: Filing<'_>) -> Result<Filed, FilingError> {
    let file = File::open(filing.path).map_err(FileError::io(filing.path))?;
    let meta = file.metadata().map_err(FileError::io(filing.path))?;
    if !meta.is_file() {
        return Err(
            FileError::content(filing.path, "it is no file; name one file, or pack a folder into an archive").into()
        );
    }
    let begun = FileState::from_metadata(&meta);
    let _lock = publish_lock(owner.folder())?;
    let access = owner.access().await?;
    let (asset, existing) = named(owner, &access, filing.name).await?;
    if let Some(detail) = existing.as_ref().filter(|detail| detail.asset.data_type != FILE) {
        let data_type = detail.asset.data_type.clone();
        return Err(FilingError::NotFile { name: filing.name.to_owned(), data_type });
    }
    // A published asset whose keys are lost must not get new ones: they open nothing.
    let keys = if existing.is_some() { owner.asset_keys(&asset) } else { owner.asset_keys_or_new(&asset) };
    let keys = Arc::new(keys.map_err(OwnerError::from)?);
    remove_orphans(owner, &access, &asset, &keys, existing.as_ref()).await?;
    let sealed = seal_file(FileRequest {
        content: FileContent::File(file, meta.len()),
        name: filing.path.display().to_string(),
        keys: Arc::clone(&keys),
        store: owner.store().clone(),
        version: existing.as_ref().map_or(1, |detail| detail.asset.current + 1),
        suite: filing.suite,
        hash: filing.hash,
        progress: Arc::clone(&filing.progress),
    })
    .await?;
    // Half of one state and half of another is no file that anybody had.
    if !begun.is_still_at(filing.path).map_err(FileError::io(filing.path))? {
        remove_attempt(owner.store(), keys.label(), sealed.reference.attempt).await.map_err(OwnerError::from)?;
        let what = "it was changed while it was read; nothing was published, do it again";
        return Err(FileError::content(filing.path, what).into());
    }
    let version = version_info(&keys, &sealed)?;
    let body = match existing {
        Some(_) => TxBody::PublishVersion { asset, version },
        None => TxBody::RegisterAsset {
            name: filing.name.to_owned(),
            title: filing.title.to_owned(),
            description: filing.description.to_owned(),
            data_type: FILE.into(),
            schema: file_schema(),
            budgets: vec![0],
            place_key: PlaceKey([0; 32]),
            version,
        },
    };
    let registered = access.submit(owner.account(), body).await;
    // As when a table is published: what may be registered stays, what was refused goes.
    if registered.as_ref().is_err_and(certainly_refused)
        && let Err(error) = remove_attempt(owner.store(), keys.label(), sealed.reference.attempt).await
    {
        tracing::warn!(%error, "what the refused version wrote is left to the next publish");
    }
    let receipt = registered?;
    if let Err(error) = retire_old(owner, &access, &asset, &keys, owner.config().keep).await {
        tracing::warn!(%error, "old versions are left to the next publish");
    }
    Ok(Filed { asset, version: sealed, receipt })
}

/// What the ledger is told of a version: one seal, and in the place of a tree's root the content's digest,
/// as a file has no tree.
pub(crate) fn version_info(keys: &AssetKeys, sealed: &FileVersion) -> Result<VersionInfo, OwnerError> {
    Ok(VersionInfo {
        number: sealed.version,
        root: TreeRoot(sealed.content.ciphertext_digest),
        records_rounded: 1,
        cipher_suite: sealed.reference.suite.name().into(),
        hash_algorithm: sealed.reference.hash.name().into(),
        columns: vec![ColumnSeal {
            ciphertext: Digest(sealed.content.ciphertext_digest),
            key_commitment: Digest(sealed.content.key_commitment.0),
        }],
        manifest: Digest(sealed.reference.manifest_digest),
        access: keys.seal_access(sealed.reference.attempt.as_bytes())?,
    })
}
