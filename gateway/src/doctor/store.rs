//! The sealed objects, and what happens to them on schedule.

use std::time::Duration;

use sealgate_ledger::LedgerError;
use sealgate_ledger::ids::BlockHeight;
use sealgate_ledger::inspect::Inspection;
use sealgate_ods::probe::probe;
use sealgate_ods::store::{Store, StoreError};

use super::{Report, bytes, span};
use crate::config::{Config, SyncSchedule};
use crate::owner::{Access, Owner, OwnerError, clock_ms};
use crate::rehashing::{RehashFailure, last_pass, look_at_some};

/// Stored objects that are read back.
const OBJECTS: usize = 8;
/// A schedule is late when it has been missed by so much.
const LATE: Duration = Duration::from_secs(600);

/// A folder that could be opened.
pub(super) struct Open<'a> {
    pub(super) owner: &'a Owner,
    pub(super) config: &'a Config,
    pub(super) inspection: &'a Inspection,
    /// Whether the keys of all assets open.
    pub(super) keys: bool,
}

/// Whether the store takes and gives objects, some of those it holds, and the schedules.
pub(super) async fn look(open: &Open<'_>, report: &mut Report) {
    if !probed(open.owner.store(), report).await {
        return;
    }
    if open.keys {
        some_objects(open, report).await;
    } else {
        let what = "stored objects were not compared: their manifests need the keys";
        report.warn("store", what, "see above, under keys");
    }
    schedules(open, report).await;
}

/// Whether the store of a configuration takes and gives objects, where the folder cannot be opened.
pub(super) async fn probe_alone(config: &Config, report: &mut Report) {
    match Store::open(&config.store) {
        Ok(store) => {
            probed(&store, report).await;
        }
        Err(error) => failed(&error, report),
    }
}

/// What the store says, and what to do about it.
pub(super) fn failed(error: &StoreError, report: &mut Report) {
    let todo = match error {
        StoreError::Service { .. } => {
            "is the service up, and are AWS_ENDPOINT, AWS_REGION and its credentials those of this bucket?"
        }
        StoreError::Full { .. } => "make room",
        _ => "make the folder of [store] in sealgate.toml writable for the user who runs this",
    };
    report.fail("store", error.to_string(), todo);
}

async fn probed(store: &Store, report: &mut Report) -> bool {
    match probe(store).await {
        Ok(probed) => {
            let (put, read) = (span(probed.put), span(probed.read));
            report.ok("store", format!("it takes, gives and removes objects: put in {put}, read in {read}"));
            true
        }
        Err(error) => {
            failed(&error, report);
            false
        }
    }
}

async fn some_objects(open: &Open<'_>, report: &mut Report) {
    let seen = match look_at_some(open.owner, OBJECTS).await {
        Ok(seen) => seen,
        Err(RehashFailure::Owner(OwnerError::Ledger(LedgerError::NotEmbedded))) => {
            report.ok("store", "objects are compared while the node runs: it knows which there are");
            return;
        }
        Err(RehashFailure::Owner(OwnerError::Ledger(error @ LedgerError::WrongOperator { .. }))) => {
            report.fail("keys", error.to_string(), "restore account.key from a backup of this folder");
            return;
        }
        Err(error) => {
            report.fail("store", error.to_string(), "run 'sealgate audit --data-dir DIR', which says more");
            return;
        }
    };
    let todo = "run 'sealgate audit --rehash --data-dir DIR' to see all that is wrong; restore objects from a backup, or publish with --anew";
    for finding in seen.findings.iter().take(OBJECTS) {
        report.fail("store", finding.clone(), todo);
    }
    if seen.damaged == 0 {
        let count = seen.objects.min(OBJECTS as u64);
        report.ok(
            "store",
            format!(
                "{count} of {} objects ({}), chosen by chance, are what was written",
                seen.objects,
                bytes(seen.bytes)
            ),
        );
    }
    if seen.without_keys > 0 {
        let what =
            format!("the keys of {} published assets are gone: nothing of them can be answered", seen.without_keys);
        let todo = "restore the folder 'keys' from a backup; if they were destroyed on purpose, end the asset with 'sealgate asset withdraw'";
        report.fail("keys", what, todo);
    }
}

async fn schedules(open: &Open<'_>, report: &mut Report) {
    let serves = open.inspection.in_use;
    for schedule in &open.config.sync {
        let shown = schedule.manifest.display();
        if !serves {
            let todo = "start the gateway, or run 'sealgate sync' yourself";
            report.warn(
                "schedules",
                format!("{shown} is synced every {}, while a gateway serves", span(schedule.every)),
                todo,
            );
            continue;
        }
        match since_last(open.owner, schedule).await {
            Ok(Some(since)) if since > schedule.every + LATE => {
                let what =
                    format!("{shown} was last synced {} ago, and is to be every {}", span(since), span(schedule.every));
                report.fail(
                    "schedules",
                    what,
                    "the gateway's log says why; 'sealgate sync --data-dir DIR' tries it now",
                );
            }
            Ok(Some(since)) => report.ok("schedules", format!("{shown} was synced {} ago", span(since))),
            Ok(None) => {
                let todo = "the gateway's log says why; 'sealgate sync --data-dir DIR' tries it now";
                report.fail("schedules", format!("{shown} has never been synced"), todo);
            }
            Err(error) => report.warn("schedules", format!("{shown}: {error}"), "run 'sealgate sync --data-dir DIR'"),
        }
    }
    let (finished, suspects) = last_pass(open.owner.folder());
    if !suspects.is_empty() {
        let what =
            format!("the check of stored objects under way has found {} that are not as written", suspects.len());
        report.fail("schedules", what, "run 'sealgate audit --rehash --data-dir DIR' to see them named");
    }
    let Some(rehash) = open.config.rehash else { return };
    let since = finished.map(|at| Duration::from_millis(clock_ms().saturating_sub(at)));
    match since {
        Some(since) if since > rehash.every * 2 => {
            let what = format!(
                "stored objects were last all compared {} ago, and are to be every {}",
                span(since),
                span(rehash.every)
            );
            report.warn(
                "schedules",
                what,
                "give [rehash] a higher rate, or see in the gateway's log why it does not end",
            );
        }
        Some(since) => report.ok("schedules", format!("stored objects were all compared {} ago", span(since))),
        None => report.ok("schedules", "stored objects are being compared for the first time, or will be"),
    }
}

/// How long ago the last version of a schedule's table was published.
async fn since_last(owner: &Owner, schedule: &SyncSchedule) -> Result<Option<Duration>, OwnerError> {
    let Ok(manifest) = sealgate_ods::ShareManifest::read(&schedule.manifest) else { return Ok(None) };
    let access: Access = owner.access().await?;
    let Some(detail) = access.owned(&owner.account().address(), manifest.asset_name()).await? else { return Ok(None) };
    let height: BlockHeight = detail.version.height;
    let at = access.time_ms(height).await?;
    Ok(Some(Duration::from_millis(clock_ms().saturating_sub(at))))
}
