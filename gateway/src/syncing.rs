//! Syncs: the tables of the configuration, published now or on their schedule. A scheduled sync publishes
//! whether or not something changed, so that a new version says nothing about a single event.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealgate_ledger::Ledger;
use sealgate_ledger::ids::AssetId;
use sealgate_ods::manifest::ShareManifest;
use sealgate_ods::progress::{ProgressSink, silent};

use crate::config::SyncSchedule;
use crate::gateway::Gateway;
use crate::owner::{Owner, clock_ms};
use crate::publishing::{PublishError, Published, publish, read_manifest};

/// How long a sync that failed waits before it is tried again, at most.
const RETRY: Duration = Duration::from_secs(60);

/// What became of one table of the configuration.
pub struct Synced {
    /// Its manifest.
    pub manifest: PathBuf,
    /// The new version.
    pub outcome: Result<Published, PublishError>,
}

/// What became of a scheduled sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSync {
    /// When it ended, in milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// The version it published, or why it did not.
    pub outcome: Result<u32, String>,
}

/// The last of each schedule's syncs since the gateway started.
#[derive(Default)]
pub struct LastSyncs(Mutex<BTreeMap<PathBuf, LastSync>>);

impl LastSyncs {
    /// That of the schedule with this manifest, if there was one.
    pub fn of(&self, manifest: &Path) -> Option<LastSync> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(manifest).cloned()
    }

    fn note(&self, manifest: &Path, outcome: &Result<Published, PublishError>) {
        let outcome = outcome.as_ref().map(|done| done.version).map_err(ToString::to_string);
        let last = LastSync { at_ms: clock_ms(), outcome };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(manifest.to_owned(), last);
    }
}

/// Publishes every table of the configuration, one after the other; one that fails does not keep the
/// others.
pub async fn sync_all(owner: &Owner, progress: Arc<dyn ProgressSink>) -> Vec<Synced> {
    let mut all = Vec::new();
    for SyncSchedule { manifest, .. } in &owner.config().sync {
        let outcome = sync(owner, manifest, Arc::clone(&progress)).await;
        all.push(Synced { manifest: manifest.clone(), outcome });
    }
    all
}

async fn sync(owner: &Owner, path: &Path, progress: Arc<dyn ProgressSink>) -> Result<Published, PublishError> {
    publish(owner, &read_manifest(path, None)?, false, progress).await
}

/// Publishes the tables of the configuration on their schedules, as long as it is awaited.
pub async fn keep_in_sync(gateway: Arc<Gateway>) {
    let each = gateway.owner().config().sync.iter().map(|schedule| keep_one(&gateway, schedule));
    futures::future::join_all(each).await;
}

async fn keep_one(gateway: &Gateway, schedule: &SyncSchedule) {
    let name = schedule.manifest.display();
    loop {
        tokio::time::sleep(due_in(gateway, schedule)).await;
        let outcome = sync(gateway.owner(), &schedule.manifest, silent()).await;
        gateway.syncs().note(&schedule.manifest, &outcome);
        match outcome {
            Ok(done) => {
                tracing::info!(manifest = %name, asset = done.name, version = done.version, "synced");
                // The block's time may lie a little before this machine's.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => {
                tracing::error!(manifest = %name, %error, "the scheduled sync failed; the last version stands");
                tokio::time::sleep(schedule.every.min(RETRY)).await;
            }
        }
    }
}

/// When the last version of a manifest's table was recorded; none where that cannot be told.
pub(crate) fn last_version_ms(owner: &Owner, ledger: &Ledger, manifest: &Path) -> Option<u64> {
    let manifest = ShareManifest::read(manifest).ok()?;
    let asset = AssetId::of(&ledger.genesis().chain_id(), &owner.account().address(), manifest.asset_name());
    let current = ledger.asset(&asset).ok()??.current;
    let height = ledger.version(&asset, current).ok()??.height;
    Some(ledger.block(height).ok()?.header.time_ms)
}

/// How long until the next sync: the time of the last version plus the schedule's. What cannot be told,
/// as a manifest that cannot be read, is due at once and fails with its reason.
fn due_in(gateway: &Gateway, schedule: &SyncSchedule) -> Duration {
    let (owner, ledger) = (gateway.owner(), gateway.ledger());
    last_version_ms(owner, ledger, &schedule.manifest).map_or(Duration::ZERO, |last_ms| {
        let since = Duration::from_millis(clock_ms().saturating_sub(last_ms));
        schedule.every.saturating_sub(since)
    })
}
