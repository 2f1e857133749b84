//! Whether a gateway can do its work: what monitoring and load balancers ask (docs/spec/api.md#health).

use std::path::Path;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Mutex;

use super::problem::ApiError;
use crate::gateway::Gateway;
use crate::owner::clock_ms;

/// How long an outcome is told again before it is looked at again: whoever asks may be anybody.
const FRESH: Duration = Duration::from_secs(5);
/// How long a store may take to say whether an object is there.
const STORE: Duration = Duration::from_secs(5);
/// Room below which the disk counts as full, in bytes.
const ROOM_MIN: u64 = 256 << 20;

/// A gateway that can do its work.
#[derive(Clone, Serialize, JsonSchema)]
pub(super) struct Ready {
    status: &'static str,
    /// What was looked at.
    checked: Vec<&'static str>,
}

/// The last outcome, and when it was.
#[derive(Default)]
pub(super) struct Readiness {
    last: Mutex<Option<(Instant, Vec<&'static str>)>>,
}

const CHECKED: [&str; 5] = ["ledger", "store", "parameters", "disk", "syncs"];

impl Readiness {
    /// Looks at everything, at most every [`FRESH`].
    ///
    /// # Errors
    /// [`ApiError::NotReady`] with all that is wrong.
    pub(super) async fn check(&self, gateway: &Gateway) -> Result<Ready, ApiError> {
        let mut last = self.last.lock().await;
        let wrong = match &*last {
            Some((at, wrong)) if at.elapsed() < FRESH => wrong.clone(),
            _ => {
                let wrong = wrong_with(gateway).await;
                *last = Some((Instant::now(), wrong.clone()));
                wrong
            }
        };
        if wrong.is_empty() {
            Ok(Ready { status: "ready", checked: CHECKED.into() })
        } else {
            Err(ApiError::NotReady(wrong.join("; ")))
        }
    }
}

/// What is wrong, in words that tell nothing of the inside.
async fn wrong_with(gateway: &Gateway) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    let note = |wrong: &mut Vec<&'static str>, what: &'static str, why: &dyn std::fmt::Display| {
        tracing::warn!(%why, "not ready: {what}");
        wrong.push(what);
    };
    if let Err(error) = gateway.ledger().policy() {
        note(&mut wrong, "the ledger cannot be read", &error);
    }
    match tokio::time::timeout(STORE, gateway.owner().store().reach()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => note(&mut wrong, "the store cannot be reached", &error),
        Err(_) => note(&mut wrong, "the store does not answer", &"it took too long"),
    }
    if !gateway.has_parameters() {
        note(&mut wrong, "parameters are missing", &"no proving keys are loaded");
    }
    match room(gateway.owner().folder()) {
        Ok(bytes) if bytes >= ROOM_MIN => {}
        Ok(bytes) => note(&mut wrong, "the disk is full", &format!("{bytes} bytes are left")),
        Err(error) => note(&mut wrong, "the disk cannot be looked at", &error),
    }
    if let Some(manifest) = overdue(gateway) {
        note(&mut wrong, "a scheduled sync is overdue", &manifest);
    }
    wrong
}

/// Bytes that may still be written where a folder is.
fn room(folder: &Path) -> std::io::Result<u64> {
    let space = rustix::fs::statvfs(folder)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// A table whose last version is older than two of its syncs: they fail.
fn overdue(gateway: &Gateway) -> Option<String> {
    let (owner, ledger) = (gateway.owner(), gateway.ledger());
    let schedules = owner.config().sync.iter();
    let late = schedules.filter(|schedule| {
        let last_ms = crate::syncing::last_version_ms(owner, ledger, &schedule.manifest);
        let every = u64::try_from(schedule.every.as_millis()).unwrap_or(u64::MAX);
        last_ms
            .is_none_or(|last_ms| clock_ms().saturating_sub(last_ms) > every.saturating_mul(2).saturating_add(60_000))
    });
    late.map(|schedule| schedule.manifest.display().to_string()).next()
}
