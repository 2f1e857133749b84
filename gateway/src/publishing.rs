//! Publishing: a table is read, sealed and committed, and last registered on the ledger. A crash
//! before the registration leaves the old version; what it wrote is removed by the next publish.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sealgate_ledger::SubmitError;
use sealgate_ledger::block::Receipt;
use sealgate_ledger::ids::{AssetId, Digest};
use sealgate_ledger::state::{AssetView, Rejection};
use sealgate_ledger::tx::{ColumnSeal, TABLE, TxBody, VersionInfo};
use sealgate_ods::keys::{AssetKeys, KeyError};
use sealgate_ods::manifest::{ManifestError, OnBadRow, ShareManifest};
use sealgate_ods::progress::ProgressSink;
use sealgate_ods::seal::AttemptId;
use sealgate_ods::source::{self, Rejected, SourceError};
use sealgate_ods::store::StoreError;
use sealgate_ods::table::{
    AttemptState, Changes, RejectedSink, SealError, SealRequest, SealedVersion, attempt_state, is_retired,
    remove_attempt, remove_stale_spills, retire_versions, seal_table, stored_attempts,
};

use crate::client::AssetDetail;
use crate::files::FileError;
use crate::owner::{Access, Owner, OwnerError, label};
use crate::set_aside::Report;

/// How often is looked whether a data folder is free.
const LOOKED_AGAIN: Duration = Duration::from_millis(500);

/// Why a table was not published. The ledger is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The share manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Reading, sealing or storing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The ledger, the keys or the folder.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The asset exists with another schema.
    #[error(
        "asset '{0}' is published with another schema, which cannot change: publish under another name in the manifest"
    )]
    Schema(String),
    /// The asset exists with another budget.
    #[error(
        "asset '{asset}' is published with {registered} bits for column '{column}', and the manifest has budget_bits = \
         {found}: what was registered stands for all versions, write it back"
    )]
    Budget {
        /// The asset's name.
        asset: String,
        /// The column.
        column: String,
        /// Its budget on the ledger, in bits.
        registered: u16,
        /// The manifest's.
        found: u16,
    },
    /// Another publish runs on this folder.
    #[error("another publish is running on this data folder; wait until it is done")]
    Busy,
    /// The asset has another version than when this one was sealed, or its keys or objects were changed.
    #[error(
        "asset '{0}' was published or its key changed while a version of it waited for its time: that version is left out"
    )]
    Overtaken(String),
}

impl PublishError {
    /// As [`SourceError::quotes_rows`].
    pub fn quotes_rows(&self) -> bool {
        match self {
            Self::Source(error) => error.quotes_rows(),
            Self::Seal(error) => error.quotes_rows(),
            _ => false,
        }
    }
}

/// What was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// The asset.
    pub asset: AssetId,
    /// Its name.
    pub name: String,
    /// The version.
    pub version: u32,
    /// Records in it.
    pub records: u64,
    /// Bytes written, all objects together.
    pub bytes_written: u64,
    /// What it changes.
    pub changes: Changes,
    /// Where the rows that were set aside are told, if there were any.
    pub report: Option<PathBuf>,
    /// The transaction's receipt.
    pub receipt: Receipt,
}

/// Publishes the table that a manifest describes, as the asset's first or next version. With `anew`
/// nothing of the last version is used, which need not be whole then: every record is committed and sealed
/// as if it were new.
///
/// # Errors
/// [`PublishError`]; nothing on the ledger has changed then.
pub async fn publish(
    owner: &Owner,
    manifest: &ShareManifest,
    anew: bool,
    progress: Arc<dyn ProgressSink>,
) -> Result<Published, PublishError> {
    let _lock = publish_lock(owner.folder())?;
    let access = owner.access().await?;
    let prepared = prepare(owner, &access, manifest, anew, progress).await?;
    let existing = access.asset(&prepared.asset).await?;
    finish(owner, &access, prepared, existing).await
}

/// Publishes as [`publish`] does, in two steps between which nobody is kept waiting: the version is sealed
/// now and registered when `time`, which is told when it is sealed, has come. `turn` is held during each step.
///
/// # Errors
/// [`PublishError`]; [`PublishError::Overtaken`] when something else was published in between.
pub(crate) async fn publish_at(
    owner: &Owner,
    manifest: &ShareManifest,
    turn: &tokio::sync::Mutex<()>,
    time: impl AsyncFnOnce(),
    progress: Arc<dyn ProgressSink>,
) -> Result<Published, PublishError> {
    let prepared = {
        let _turn = turn.lock().await;
        let _lock = free_lock(owner.folder()).await?;
        prepare(owner, &owner.access().await?, manifest, false, progress).await?
    };
    time().await;
    let _turn = turn.lock().await;
    let _lock = free_lock(owner.folder()).await?;
    let access = owner.access().await?;
    let existing = access.asset(&prepared.asset).await?;
    let next = existing.as_ref().map_or(1, |detail| detail.asset.current + 1);
    let keys = owner.asset_keys(&prepared.asset).map_err(OwnerError::from)?;
    let stored = attempt_state(owner.store(), &keys, prepared.sealed.reference.attempt).await;
    // Whoever published in between has removed what the ledger did not know.
    if next != prepared.sealed.version || stored.map_err(OwnerError::from)? != AttemptState::Finished(next) {
        return Err(PublishError::Overtaken(prepared.manifest.asset_name().into()));
    }
    finish(owner, &access, prepared, existing).await
}

/// A version that lies in the store and is not registered yet.
struct Prepared {
    manifest: ShareManifest,
    asset: AssetId,
    keys: Arc<AssetKeys>,
    sealed: SealedVersion,
    report: Option<PathBuf>,
}

async fn prepare(
    owner: &Owner,
    access: &Access,
    manifest: &ShareManifest,
    anew: bool,
    progress: Arc<dyn ProgressSink>,
) -> Result<Prepared, PublishError> {
    let schema = manifest.schema();
    let (asset, existing) = named(owner, access, manifest.asset_name()).await?;
    if let Some(detail) = &existing {
        check_existing(manifest, &detail.asset)?;
    }
    // A database may take its time to answer; a gateway that syncs answers others meanwhile.
    let opened = manifest.clone();
    let source = tokio::task::spawn_blocking(move || source::open(&opened)).await;
    let source = source.map_err(|error| OwnerError::Store(StoreError::Internal(error.to_string())))??;
    // A published asset whose keys are lost must not get new ones: they open nothing.
    let keys = if existing.is_some() { owner.asset_keys(&asset) } else { owner.asset_keys_or_new(&asset) };
    let keys = Arc::new(keys.map_err(OwnerError::from)?);
    remove_orphans(owner, access, &asset, &keys, existing.as_ref()).await?;
    let number = existing.as_ref().map_or(1, |detail| detail.asset.current + 1);
    let last = existing.as_ref().filter(|_| !anew);
    let previous = last.map(|detail| owner.version_ref(&keys, &detail.version)).transpose()?;
    let report = match manifest.on_bad_row() {
        OnBadRow::Stop => None,
        OnBadRow::SetAside => Some(Arc::new(Report::new(owner.folder(), manifest.asset_name(), number))),
    };
    let sealed = seal_table(SealRequest {
        source: Some(source),
        previous,
        suite: manifest.suite(),
        hash: manifest.hash(),
        rejected: report.clone().map(|report| -> RejectedSink { Arc::new(move |row: &Rejected| report.add(row)) }),
        schema: schema.clone(),
        keys: Arc::clone(&keys),
        store: owner.store().clone(),
        spill_dir: spill_folder(owner.folder()),
        version: number,
        progress,
    })
    .await?;
    let report = report.map(|report| report.finish()).transpose().map_err(OwnerError::from)?.flatten();
    Ok(Prepared { manifest: manifest.clone(), asset, keys, sealed, report })
}

/// What the owner publishes under a name: the asset's id, and the asset if it has a version. One that was
/// given to this owner keeps its id.
///
/// # Errors
/// [`OwnerError::Submit`] where the owner registered one of this name that is another's now, as the ledger
/// would say.
pub(crate) async fn named(
    owner: &Owner,
    access: &Access,
    name: &str,
) -> Result<(AssetId, Option<AssetDetail>), OwnerError> {
    let own = owner.account().address();
    if let Some(detail) = access.owned(&own, name).await? {
        return Ok((detail.asset.id, Some(detail)));
    }
    let asset = AssetId::of(&access.genesis().await?.chain_id(), &own, name);
    match access.asset(&asset).await? {
        None => Ok((asset, None)),
        Some(detail) => {
            let owner = detail.asset.owner;
            Err(SubmitError::from(Rejection::NotOwner { asset, owner, sender: own }).into())
        }
    }
}

/// Registers what was prepared, and lets go of what is old.
async fn finish(
    owner: &Owner,
    access: &Access,
    prepared: Prepared,
    existing: Option<AssetDetail>,
) -> Result<Published, PublishError> {
    let Prepared { manifest, asset, keys, sealed, report } = prepared;
    let registered = register(owner, access, &manifest, &keys, &sealed, existing.as_ref()).await;
    if let Err(error) = &registered {
        let label = label(&asset).map_err(OwnerError::from)?;
        if certainly_refused(error)
            && let Err(error) = remove_attempt(owner.store(), &label, sealed.reference.attempt).await
        {
            tracing::warn!(%error, "what the refused version wrote is left to the next publish");
        }
    }
    let receipt = registered?;
    // The version is published; that older ones take up space is no reason to say otherwise.
    if let Err(error) = retire_old(owner, access, &asset, &keys, owner.config().keep).await {
        tracing::warn!(%error, "old versions are left to the next publish");
    }
    Ok(Published {
        asset,
        name: manifest.asset_name().into(),
        version: sealed.version,
        records: sealed.records,
        bytes_written: sealed.bytes_written,
        changes: sealed.changes,
        receipt,
        report,
    })
}

/// That a manifest describes the next version of an asset that is published already.
///
/// # Errors
/// [`PublishError::Schema`], [`PublishError::Budget`].
pub fn check_existing(manifest: &ShareManifest, asset: &AssetView) -> Result<(), PublishError> {
    if asset.schema != manifest.schema() {
        return Err(PublishError::Schema(manifest.asset_name().into()));
    }
    same_budgets(manifest, &asset.budgets)
}

/// That the manifest promises what the ledger keeps to.
fn same_budgets(manifest: &ShareManifest, registered: &[u16]) -> Result<(), PublishError> {
    let schema = manifest.schema();
    let columns = schema.columns.iter().zip(manifest.budgets().iter().zip(registered));
    for (column, (found, registered)) in columns {
        if found != registered {
            let (asset, column) = (manifest.asset_name().to_owned(), column.name.clone());
            return Err(PublishError::Budget { asset, column, registered: *registered, found: *found });
        }
    }
    Ok(())
}

/// Reads a manifest, perhaps with another source than it names.
///
/// # Errors
/// [`ManifestError`].
pub fn read_manifest(path: &Path, source: Option<&Path>) -> Result<ShareManifest, ManifestError> {
    let manifest = ShareManifest::read(path)?;
    match source {
        Some(source) => manifest.with_source(source),
        None => Ok(manifest),
    }
}

pub(crate) fn spill_folder(folder: &Path) -> std::path::PathBuf {
    folder.join("spill")
}

/// One publish at a time on a data folder.
pub(crate) fn publish_lock(folder: &Path) -> Result<File, PublishError> {
    let path = folder.join("publish.lock");
    let file = File::create(&path).map_err(FileError::io(&path)).map_err(OwnerError::from)?;
    file.try_lock().map_err(|_| PublishError::Busy)?;
    Ok(file)
}

/// The lock, as soon as nobody else holds it: a backup, or a publish by hand.
async fn free_lock(folder: &Path) -> Result<File, PublishError> {
    loop {
        match publish_lock(folder) {
            Err(PublishError::Busy) => tokio::time::sleep(LOOKED_AGAIN).await,
            other => return other,
        }
    }
}

/// What the ledger is told of a sealed version.
pub(crate) fn version_info(keys: &AssetKeys, sealed: &SealedVersion) -> Result<VersionInfo, OwnerError> {
    let columns = sealed.columns.iter().map(|column| ColumnSeal {
        ciphertext: Digest(column.ciphertext_digest),
        key_commitment: Digest(column.key_commitment.0),
    });
    Ok(VersionInfo {
        number: sealed.version,
        root: sealed.root,
        records_rounded: sealed.records.max(1).next_power_of_two(),
        cipher_suite: sealed.reference.suite.name().into(),
        hash_algorithm: sealed.reference.hash.name().into(),
        columns: columns.collect(),
        manifest: Digest(sealed.reference.manifest_digest),
        access: keys.seal_access(sealed.reference.attempt.as_bytes())?,
    })
}

/// Whether the ledger certainly has not taken a version whose registration failed: then its objects
/// may go. After a lost connection, or when the ledger stopped, it may have, and the next publish tells.
pub(crate) fn certainly_refused(error: &OwnerError) -> bool {
    use SubmitError::{Busy, Rejected, Undone};
    matches!(error, OwnerError::Submit(Rejected(_) | Busy | Undone(_)))
}

async fn register(
    owner: &Owner,
    access: &Access,
    manifest: &ShareManifest,
    keys: &AssetKeys,
    sealed: &SealedVersion,
    existing: Option<&AssetDetail>,
) -> Result<Receipt, OwnerError> {
    let version = version_info(keys, sealed)?;
    let body = match existing {
        Some(detail) => TxBody::PublishVersion { asset: detail.asset.id, version },
        None => TxBody::RegisterAsset {
            name: manifest.asset_name().into(),
            title: manifest.title().into(),
            description: manifest.description().into(),
            data_type: "table".into(),
            schema: manifest.schema(),
            budgets: manifest.budgets().to_vec(),
            place_key: sealgate_circuits::place::PlaceSecret::from_seed(*keys.place_seed()).public(),
            version,
        },
    };
    access.submit(owner.account(), body).await
}

/// Removes what attempts left that the ledger does not know: of a crash, or of a publish whose
/// registration was refused.
pub(crate) async fn remove_orphans(
    owner: &Owner,
    access: &Access,
    asset: &AssetId,
    keys: &AssetKeys,
    existing: Option<&AssetDetail>,
) -> Result<(), OwnerError> {
    let spill = spill_folder(owner.folder());
    crate::files::create_private_dir(&spill).map_err(FileError::io(&spill))?;
    remove_stale_spills(&spill)?;
    let label = label(asset)?;
    // What was let go of is marked, so the marks say where the versions end whose attempts matter here.
    let mut unknown: BTreeSet<AttemptId> = stored_attempts(owner.store(), &label)
        .await?
        .into_iter()
        .filter_map(|(attempt, stored)| (!stored.retired).then_some(attempt))
        .collect();
    let current = existing.map_or(0, |detail| detail.asset.current);
    for number in (1..=current).rev() {
        let Some(detail) = existing.filter(|_| !unknown.is_empty()) else { break };
        match owner.version_ref(keys, &access.version(detail, number).await?) {
            // Let go of, with its key, and so were all before; the current one's key is there, or nothing is
            // removed.
            Err(OwnerError::Keys(KeyError::NotOpened(_))) if number < current => break,
            Ok(reference) if !unknown.remove(&reference.attempt) => {
                if is_retired(owner.store(), keys, reference.attempt).await? {
                    break;
                }
            }
            other => _ = other?,
        }
    }
    // A shared ledger may yet order what it had not decided: a whole version whose turn has not passed
    // stays, as nothing would answer for it otherwise.
    let undecided = access.genesis().await?.network.is_some();
    for attempt in unknown {
        let orphan = match (attempt_state(owner.store(), keys, attempt).await?, existing) {
            (AttemptState::Unfinished, _) => true,
            (AttemptState::Finished(number), Some(detail)) if (1..=current).contains(&number) => {
                owner.version_ref(keys, &access.version(detail, number).await?)?.attempt != attempt
            }
            (AttemptState::Finished(_) | AttemptState::Unreadable, _) => !undecided,
        };
        if orphan {
            remove_attempt(owner.store(), &label, attempt).await?;
        }
    }
    Ok(())
}

/// Lets go of versions that were superseded at least `keep` ago, by the ledger's time: nobody asks them
/// anything, and what was asked of them has long been answered or has lapsed.
pub(crate) async fn retire_old(
    owner: &Owner,
    access: &Access,
    asset: &AssetId,
    keys: &AssetKeys,
    keep: Duration,
) -> Result<(), OwnerError> {
    let Some(detail) = access.asset(asset).await? else { return Ok(()) };
    let now_ms = access.time_ms(access.head().await?).await?;
    let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let stored = stored_attempts(owner.store(), &label(asset)?).await?;
    let mut superseded_at = detail.version.height;
    let (mut kept, mut retired) = (vec![owner.version_ref(keys, &detail.version)?], Vec::new());
    for number in (1..detail.asset.current).rev() {
        let version = access.version(&detail, number).await?;
        let reference = match owner.version_ref(keys, &version) {
            // Let go of, with its key, and so was all before it.
            Err(OwnerError::Keys(KeyError::NotOpened(_))) => break,
            other => other?,
        };
        // All before a version that was let go of were let go of too, the oldest first.
        if stored.get(&reference.attempt).is_some_and(|stored| stored.retired) {
            break;
        }
        match access.time_ms(superseded_at).await?.saturating_add(keep_ms) <= now_ms {
            true => retired.push(reference.attempt),
            false => kept.push(reference),
        }
        superseded_at = version.height;
    }
    // What a kept version still used of those that were let go of before may be free by now.
    retired
        .extend(stored.iter().filter(|(_, stored)| stored.retired && stored.has_objects).map(|(attempt, _)| *attempt));
    retired.reverse();
    if !retired.is_empty() {
        let schema = (detail.asset.data_type == TABLE).then_some(&detail.asset.schema);
        retire_versions(owner.store(), keys, schema, &kept, &retired).await?;
    }
    Ok(())
}
