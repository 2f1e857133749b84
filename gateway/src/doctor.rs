//! `sealgate doctor`: looks whether a folder, the machine it lies on and its gateway are in order,
//! and says what to do about what is not. It works beside a gateway that serves from the folder, and
//! when things are broken. It writes probes, which it removes, and opens ledger and store as every
//! other command does, unless they are damaged.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::api::tls::GENERATED_CERTIFICATE;
use crate::client::Client;
use crate::config::{Config, Tls};
use crate::owner::{Owner, OwnerError};

mod certificate;
mod folder;
mod gateway;
mod home;
mod keys;
mod ledger;
mod machine;
mod serving;
mod store;

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In order.
    Ok,
    /// It works, and will not for long, or not as well as it should.
    Warning,
    /// It does not work.
    Failure,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it belongs to: `configuration`, `files`, `clock`, `disk`, `keys`, `ledger`, `parameters`,
    /// `store`, `schedules`, `serving`, `certificate`, `trust`, `gateway`.
    pub area: &'static str,
    /// How it was found.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which it was.
    pub checks: Vec<Check>,
}

impl Report {
    /// How many things were found so.
    pub fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }

    fn ok(&mut self, area: &'static str, found: impl Into<String>) {
        self.checks.push(Check { area, status: Status::Ok, found: found.into(), todo: None });
    }

    fn warn(&mut self, area: &'static str, found: impl Into<String>, todo: impl Into<String>) {
        self.checks.push(Check { area, status: Status::Warning, found: found.into(), todo: Some(todo.into()) });
    }

    fn fail(&mut self, area: &'static str, found: impl Into<String>, todo: impl Into<String>) {
        self.checks.push(Check { area, status: Status::Failure, found: found.into(), todo: Some(todo.into()) });
    }

    /// Whether nothing of an area failed.
    fn is_sound(&self, area: &str) -> bool {
        self.checks.iter().all(|check| check.area != area || check.status != Status::Failure)
    }
}

/// Looks at an owner's or member's data folder, and at a gateway of its ledger where one is named.
pub async fn owner(folder: &Path, url: Option<&str>) -> Report {
    let mut report = Report::default();
    if !folder::is_owners(folder, &mut report) {
        return report;
    }
    let config = folder::configuration(folder, &mut report);
    folder::permissions(folder, &mut report);
    machine::disk(folder, &mut report);
    machine::clock_is_kept(&mut report);
    let inspection = ledger::look(folder, &mut report);
    let keys = keys::look(folder, &mut report);
    if let Some(inspection) = &inspection {
        ledger::parameters(folder, &inspection.genesis, &mut report);
        let listen = config.as_ref().and_then(|config| config.serve.listen.as_deref());
        serving::look(folder, listen, inspection, &mut report).await;
    }
    if let Some(config) = &config {
        serving::exposure(config, &mut report);
    }
    match config.as_ref().map(|config| &config.serve.tls) {
        Some(Tls::Files { certificate, .. }) => certificate::look(certificate, &mut report),
        // Made when it is first served; what an earlier configuration left is looked at too.
        _ => {
            let generated = folder.join(GENERATED_CERTIFICATE);
            if generated.exists() {
                certificate::look(&generated, &mut report);
            }
        }
    }
    let sound = ["configuration", "ledger", "keys"].iter().all(|area| report.is_sound(area));
    // Opening the ledger would cut a torn end off: that is for the next start, after somebody has looked.
    let whole = inspection.as_ref().is_some_and(|inspection| inspection.torn_bytes == 0);
    match (config, &inspection) {
        (Some(config), Some(inspection)) if sound && whole => match Owner::open(folder) {
            Ok(owner) => {
                let open = store::Open { owner: &owner, config: &config, inspection, keys };
                store::look(&open, &mut report).await;
            }
            Err(OwnerError::Store(error)) => store::failed(&error, &mut report),
            Err(error) => report.fail("files", error.to_string(), "mend the folder, then run this again"),
        },
        (config, _) => {
            let config: Option<Config> = config;
            if let Some(config) = config {
                store::probe_alone(&config, &mut report).await;
            }
            let what =
                "stored objects and schedules were not looked at: that needs configuration, ledger and keys in order";
            report.warn("store", what, "see to those first, then run this again");
        }
    }
    if let Some(url) = url
        && let (Some(seen), Some(inspection)) = (gateway::look(url, &mut report).await, &inspection)
    {
        gateway::compare(&seen, inspection, &mut report);
    }
    report
}

/// Looks at a requester's or auditor's home, and at a gateway of a ledger that it trusts where one is
/// named.
pub async fn home(folder: &Path, url: Option<&str>) -> Report {
    let mut report = Report::default();
    if !home::is_home(folder, &mut report) {
        return report;
    }
    folder::permissions(folder, &mut report);
    machine::disk(folder, &mut report);
    machine::clock_is_kept(&mut report);
    home::look(folder, &mut report);
    if let Some(url) = url {
        gateway::look(url, &mut report).await;
        if report.is_sound("gateway") {
            home::compare(folder, url, &mut report).await;
        }
    }
    report
}

/// Looks at a gateway alone: a service's check of its own health.
pub async fn gateway(url: &str) -> Report {
    let mut report = Report::default();
    gateway::look(url, &mut report).await;
    report
}

/// A client of the gateway at `url`, or why there is none.
fn client(url: &str, report: &mut Report) -> Option<Client> {
    match Client::new(url) {
        Ok(client) => Some(client),
        Err(error) => {
            report.fail("gateway", error.to_string(), "write its address as its operator gave it to you");
            None
        }
    }
}

/// A span of time as people say it.
fn span(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{:.1} ms", time.as_secs_f64() * 1000.0),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A number of bytes as people say it.
fn bytes(count: u64) -> String {
    let (divisor, unit) = match count {
        0..=999_999 => (1_000.0, "kB"),
        1_000_000..=999_999_999 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    format!("{:.1} {unit}", count as f64 / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_what_it_holds_and_knows_what_is_sound() {
        let mut report = Report::default();
        report.ok("disk", "room");
        report.warn("keys", "leftovers", "remove them");
        report.fail("ledger", "damaged", "restore it");
        assert_eq!([Status::Ok, Status::Warning, Status::Failure].map(|status| report.count(status)), [1, 1, 1]);
        assert!(report.is_sound("keys") && !report.is_sound("ledger"));
    }

    #[test]
    fn amounts_are_readable() {
        assert_eq!(span(Duration::from_micros(1500)), "1.5 ms");
        assert_eq!(
            [90, 600, 10_000, 200_000].map(|s| span(Duration::from_secs(s))),
            ["90 s", "10 min", "2 h", "2 days"]
        );
        assert_eq!([1_500, 2_500_000, 3_000_000_000].map(bytes), ["1.5 kB", "2.5 MB", "3.0 GB"]);
    }
}
