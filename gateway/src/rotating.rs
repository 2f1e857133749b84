//! Changing an asset's key: a new one is drawn, the current version's records are sealed again under it
//! as the next version, and the old key goes with the versions that it opened. No record is committed
//! anew: answers do not change.

use std::sync::Arc;
use std::time::Duration;

use sealgate_ledger::block::Receipt;
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::tx::TxBody;
use sealgate_ods::progress::ProgressSink;
use sealgate_ods::table::{SealRequest, SealedVersion, remove_attempt, seal_table};

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
    /// It is no table.
    #[error(
        "asset '{name}' is a {data_type}, whose key is not changed in place: publish it under another name, then \
         destroy this one's keys with 'sealgate keys destroy'"
    )]
    NotTable {
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
    pub version: SealedVersion,
    /// The transaction's receipt.
    pub receipt: Receipt,
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
    if detail.asset.data_type != sealgate_ledger::tx::TABLE {
        let (name, data_type) = (detail.asset.name, detail.asset.data_type);
        return Err(RotateError::NotTable { name, data_type });
    }
    let old = owner.asset_keys(&asset).map_err(OwnerError::from)?;
    remove_orphans(owner, &access, &asset, &old, Some(&detail)).await?;
    // A key that an interrupted rotation drew is used by what was published since: it stays.
    let interrupted = old.former_count() > 0;
    let keys = if interrupted { old } else { old.rotate().map_err(OwnerError::from)? };
    owner.keys().and_then(|folder| folder.replace(&keys)).map_err(OwnerError::from)?;
    let keys = Arc::new(keys);
    let previous = owner.version_ref(&keys, &detail.version)?;
    let sealed = seal_table(SealRequest {
        source: None,
        previous: Some(previous),
        schema: detail.asset.schema.clone(),
        suite: previous.suite,
        hash: previous.hash,
        keys: Arc::clone(&keys),
        store: owner.store().clone(),
        spill_dir: spill_folder(owner.folder()),
        version: detail.asset.current + 1,
        rejected: None,
        progress,
    })
    .await
    .map_err(PublishError::from)?;
    let body = TxBody::PublishVersion { asset, version: version_info(&keys, &sealed)? };
    let receipt = match access.submit(owner.account(), body).await {
        Ok(receipt) => receipt,
        Err(error) => {
            if certainly_refused(&error) {
                let removed = remove_attempt(owner.store(), keys.label(), sealed.reference.attempt).await;
                removed.map_err(OwnerError::from)?;
            }
            return Err(error.into());
        }
    };
    // First the objects, then the key that opens them: a crash in between leaves a key too many.
    retire_old(owner, &access, &asset, &keys, Duration::ZERO).await?;
    owner.keys().and_then(|folder| folder.replace(&keys.retire_former())).map_err(OwnerError::from)?;
    Ok(Rotated { asset, name: detail.asset.name, version: sealed, receipt })
}
