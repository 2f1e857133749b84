//! Changing an asset's key: a new one is drawn, the current version's records, or its file, are sealed again
//! under it as the next version, and the old key goes with the versions that it opened. No record is
//! committed anew: answers do not change.

use std::sync::Arc;
use std::time::Duration;

use sealgate_ledger::block::Receipt;
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::tx::{FILE, TABLE, TxBody, VersionInfo};
use sealgate_ods::file::{FileContent, FileRequest, SealFileError, SealedFile, seal_file};
use sealgate_ods::keys::AssetKeys;
use sealgate_ods::progress::ProgressSink;
use sealgate_ods::table::{SealRequest, remove_attempt, seal_table};
use sealgate_ods::{AttemptId, VersionRef};

use crate::client::AssetDetail;
use crate::filing;
use crate::owner::{Owner, OwnerError};
use crate::publishing::{
    PublishError, certainly_refused, publish_lock, remove_orphans, retire_old, spill_folder, version_info,
};

/// Why an asset's key was not changed. Whatever was sealed before still opens.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// What publishing of any kind needs.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The ledger, the keys or the store.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The stored file, or sealing it again.
    #[error(transparent)]
    File(#[from] SealFileError),
    /// It is neither a table nor a file.
    #[error("asset '{name}' is a {data_type}, which this version of sealgate cannot seal again: use a newer one")]
    Unknown {
        /// Its name.
        name: String,
        /// What it is.
        data_type: String,
    },
}

/// What was done.
#[derive(Debug, Clone)]
pub struct Rotated {
    /// The asset.
    pub asset: AssetId,
    /// Its name.
    pub name: String,
    /// The version that was sealed under the new key.
    pub version: u32,
    /// What is in it.
    pub content: Resealed,
    /// The transaction's receipt.
    pub receipt: Receipt,
}

/// What was sealed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resealed {
    /// So many records of a table.
    Records(u64),
    /// So many bytes of a file.
    Bytes(u64),
}

/// Changes the key of the owner's asset `name`. After a crash or an error the old key still opens what
/// it opened; the command is given again. Requests that older versions have not answered yet lapse.
///
/// # Errors
/// [`RotateError`].
pub async fn rotate(owner: &Owner, name: &str, progress: Arc<dyn ProgressSink>) -> Result<Rotated, RotateError> {
    let _lock = publish_lock(owner.folder())?;
    let access = owner.access().await?;
    let detail = access.own_asset(owner.account().public(), name).await?;
    let asset = detail.asset.id;
    let old = owner.asset_keys(&asset).map_err(OwnerError::from)?;
    remove_orphans(owner, &access, &asset, &old, Some(&detail)).await?;
    // A key that an interrupted rotation drew is used by what was published since: it stays.
    let interrupted = old.former_count() > 0;
    let keys = if interrupted { old } else { old.rotate().map_err(OwnerError::from)? };
    owner.keys().and_then(|folder| folder.replace(&keys)).map_err(OwnerError::from)?;
    let keys = Arc::new(keys);
    let previous = owner.version_ref(&keys, &detail.version)?;
    let sealed = match detail.asset.data_type.as_str() {
        TABLE => reseal_table(owner, &detail, &keys, previous, progress).await?,
        FILE => reseal_file(owner, &detail, &keys, previous, progress).await?,
        other => {
            let (name, data_type) = (detail.asset.name.clone(), other.to_owned());
            return Err(RotateError::Unknown { name, data_type });
        }
    };
    let version = sealed.info.number;
    let receipt = match access.submit(owner.account(), TxBody::PublishVersion { asset, version: sealed.info }).await {
        Ok(receipt) => receipt,
        Err(error) => {
            if certainly_refused(&error) {
                let removed = remove_attempt(owner.store(), keys.label(), sealed.attempt).await;
                removed.map_err(OwnerError::from)?;
            }
            return Err(error.into());
        }
    };
    // First the objects, then the key that opens them: a crash in between leaves a key too many.
    retire_old(owner, &access, &asset, &keys, Duration::ZERO).await?;
    owner.keys().and_then(|folder| folder.replace(&keys.retire_former())).map_err(OwnerError::from)?;
    Ok(Rotated { asset, name: detail.asset.name, version, content: sealed.content, receipt })
}

/// A version under the new key that lies in the store and is not registered yet.
struct Sealed {
    attempt: AttemptId,
    info: VersionInfo,
    content: Resealed,
}

async fn reseal_table(
    owner: &Owner,
    detail: &AssetDetail,
    keys: &Arc<AssetKeys>,
    previous: VersionRef,
    progress: Arc<dyn ProgressSink>,
) -> Result<Sealed, RotateError> {
    let sealed = seal_table(SealRequest {
        source: None,
        previous: Some(previous),
        schema: detail.asset.schema.clone(),
        suite: previous.suite,
        hash: previous.hash,
        keys: Arc::clone(keys),
        store: owner.store().clone(),
        spill_dir: spill_folder(owner.folder()),
        version: detail.asset.current + 1,
        rejected: None,
        progress,
    })
    .await
    .map_err(PublishError::from)?;
    let (attempt, content) = (sealed.reference.attempt, Resealed::Records(sealed.records));
    Ok(Sealed { attempt, info: version_info(keys, &sealed)?, content })
}

/// Each part is read back, compared with what is registered, opened and sealed again: the file is never on
/// the disk in clear.
async fn reseal_file(
    owner: &Owner,
    detail: &AssetDetail,
    keys: &Arc<AssetKeys>,
    previous: VersionRef,
    progress: Arc<dyn ProgressSink>,
) -> Result<Sealed, RotateError> {
    let file = SealedFile::open(owner.store().clone(), Arc::clone(keys), &previous).await.map_err(OwnerError::from)?;
    let sealed = seal_file(FileRequest {
        content: FileContent::Sealed(Box::new(file)),
        name: detail.asset.name.clone(),
        keys: Arc::clone(keys),
        store: owner.store().clone(),
        version: detail.asset.current + 1,
        suite: previous.suite,
        hash: previous.hash,
        progress,
    })
    .await?;
    let (attempt, content) = (sealed.reference.attempt, Resealed::Bytes(sealed.file_bytes));
    Ok(Sealed { attempt, info: filing::version_info(keys, &sealed)?, content })
}
