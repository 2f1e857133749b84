//! Syncs: the tables of the configuration, published now or on their schedule. A scheduled sync publishes
//! whether or not something changed, and at a time that does not depend on how long its work took, so that a
//! new version says nothing about a single event (docs/spec/privacy.md#when-versions-appear).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealgate_ledger::Ledger;
use sealgate_ods::manifest::ShareManifest;
use sealgate_ods::progress::{ProgressSink, silent};

use crate::config::SyncSchedule;
use crate::gateway::Gateway;
use crate::owner::{Owner, clock_ms};
use crate::publishing::{PublishError, Published, publish, publish_at, read_manifest};

/// How long a sync that failed waits before it is tried again, at most.
const RETRY: Duration = Duration::from_secs(60);
/// How often the clock is looked at while it is waited for: it may be set.
const CLOCK_READ: Duration = Duration::from_secs(60);
/// Into how many steps a period is divided, at whose ends versions are registered.
const STEPS: u64 = 10;
/// Longest step, in milliseconds.
const STEP_MS_MAX: u64 = 60 * 60 * 1000;

/// What a log has of an error that quotes rows.
const UNTOLD: &str = "its source cannot be read whole; where and why is shown by 'sealgate sync' and on the console";

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

/// Publishes the tables of the configuration on their schedules, as long as it is awaited; of tables that are
/// due at the same time one after the other.
pub async fn keep_in_sync(gateway: Arc<Gateway>) {
    let turn = tokio::sync::Mutex::new(());
    let each = gateway.owner().config().sync.iter().map(|schedule| keep_one(&gateway, schedule, &turn));
    futures::future::join_all(each).await;
}

async fn keep_one(gateway: &Gateway, schedule: &SyncSchedule, turn: &tokio::sync::Mutex<()>) {
    let (name, grid) = (schedule.manifest.display(), Grid::of(schedule.every));
    // The beginning of the period whose sync has ended.
    let mut done_ms = None;
    loop {
        let period_ms = grid.period(clock_ms());
        let last_ms = last_version_ms(gateway.owner(), gateway.ledger(), &schedule.manifest);
        if last_ms.max(done_ms).is_some_and(|last_ms| last_ms >= period_ms) {
            sleep_until(grid.next(period_ms)).await;
            continue;
        }
        // A first version is an event by itself, and is awaited.
        let time = async || {
            if last_ms.is_some() {
                sleep_until(grid.registration(period_ms, clock_ms())).await;
            }
        };
        let outcome = match read_manifest(&schedule.manifest, None) {
            Ok(manifest) => publish_at(gateway.owner(), &manifest, turn, time, silent()).await,
            Err(error) => Err(error.into()),
        };
        gateway.syncs().note(&schedule.manifest, &outcome);
        match outcome {
            Ok(done) => {
                tracing::info!(manifest = %name, asset = done.name, version = done.version, "synced");
                done_ms = Some(period_ms);
            }
            Err(error) => {
                let error = if error.quotes_rows() { UNTOLD.into() } else { error.to_string() };
                tracing::error!(manifest = %name, error, "the scheduled sync failed; the last version stands");
                tokio::time::sleep(schedule.every.min(RETRY)).await;
            }
        }
    }
}

/// When a schedule's work begins and when its versions are registered, by the clock and the configuration
/// alone: periods are counted from 1970-01-01 UTC, and a version is registered at the end of that step of its
/// period in which it was ready. So the interval between two versions tells neither how much was changed nor
/// how long something failed, but in whole steps.
#[derive(Debug, Clone, Copy)]
struct Grid {
    every_ms: u64,
}

impl Grid {
    fn of(every: Duration) -> Self {
        Self { every_ms: u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1) }
    }

    /// The beginning of the period that this moment is in.
    fn period(self, at_ms: u64) -> u64 {
        at_ms - at_ms % self.every_ms
    }

    /// The beginning of the period after that which begins here.
    fn next(self, period_ms: u64) -> u64 {
        period_ms.saturating_add(self.every_ms)
    }

    /// When what was begun in a period and was ready at this moment is registered.
    fn registration(self, period_ms: u64, ready_ms: u64) -> u64 {
        let step_ms = (self.every_ms / STEPS).clamp(1, STEP_MS_MAX);
        let steps = ready_ms.saturating_sub(period_ms) / step_ms + 1;
        period_ms.saturating_add(steps.saturating_mul(step_ms))
    }
}

/// Sleeps until the clock shows this.
async fn sleep_until(at_ms: u64) {
    loop {
        match at_ms.saturating_sub(clock_ms()) {
            0 => return,
            left_ms => tokio::time::sleep(Duration::from_millis(left_ms).min(CLOCK_READ)).await,
        }
    }
}

/// When the last version of a manifest's table was recorded; none where that cannot be told.
pub(crate) fn last_version_ms(owner: &Owner, ledger: &Ledger, manifest: &Path) -> Option<u64> {
    let manifest = ShareManifest::read(manifest).ok()?;
    let asset = ledger.asset_owned(&owner.account().address(), manifest.asset_name()).ok()??;
    let height = ledger.version(&asset.id, asset.current).ok()??.height;
    Some(ledger.block(height).ok()?.header.time_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    #[test]
    fn times_do_not_depend_on_how_long_the_work_took() {
        let grid = Grid::of(Duration::from_secs(3600));
        let hour_ms = 60 * MINUTE_MS;
        let begun_ms = 500_000 * hour_ms;
        for at_ms in [begun_ms, begun_ms + 1, begun_ms + hour_ms - 1] {
            assert_eq!(grid.period(at_ms), begun_ms);
            assert_eq!(grid.next(grid.period(at_ms)), begun_ms + hour_ms);
        }
        // Whatever took less than a tenth of the period comes at its end; what took longer, at that of another.
        for (took_ms, at) in [(0, 6), (1, 6), (6 * MINUTE_MS - 1, 6), (6 * MINUTE_MS, 12), (59 * MINUTE_MS, 60)] {
            assert_eq!(grid.registration(begun_ms, begun_ms + took_ms), begun_ms + at * MINUTE_MS, "{took_ms}");
        }
        // A step is an hour at most, and a millisecond at least.
        let week = Grid::of(Duration::from_secs(7 * 86_400));
        assert_eq!(week.registration(week.period(begun_ms), week.period(begun_ms)) - week.period(begun_ms), hour_ms);
        let tiny = Grid::of(Duration::from_millis(3));
        assert_eq!(tiny.registration(9, 10), 11);
    }
}
