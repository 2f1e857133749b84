//! The ledger of a data folder, and the parameters that its genesis names.

use std::path::Path;
use std::time::Duration;

use sealgate_circuits::statement::Circuit;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::inspect::{IndexFound, Inspection, inspect};
use sealgate_ledger::{LedgerError, ids::BlockHeight};

use super::machine::compare_clock;
use super::{Report, bytes, span};
use crate::owner::clock_ms;
use crate::parameters::Parameters;
use crate::trail::time_text;

/// How far a ledger's last block may lie in the future: members' clocks differ a little.
const AHEAD: Duration = Duration::from_secs(10);

/// Reads the log from one end to the other and looks at what follows it.
pub(super) fn look(folder: &Path, report: &mut Report) -> Option<Inspection> {
    let dir = folder.join("ledger");
    let found = match tokio::task::block_in_place(|| inspect(&dir)) {
        Ok(found) => found,
        Err(error) => {
            let todo = match &error {
                LedgerError::Damaged { .. } => {
                    "keep the folder as it is, and restore it from a backup; a member's node takes the log of another member: docs/running-a-network.md"
                }
                LedgerError::NotFound(_) => "restore the folder from a backup ('sealgate restore')",
                _ => "restore from a backup what is missing, and run this as the user whose folder it is",
            };
            report.fail("ledger", error.to_string(), todo);
            return None;
        }
    };
    let head = &found.head;
    let told = format!("checked and linked up to block {}, of {}", head.height, time_text(head.time_ms));
    report.ok("ledger", told);
    if found.torn_bytes > 0 {
        let what = format!("{} of a block that was never acknowledged stand at the end", bytes(found.torn_bytes));
        report.warn("ledger", what, "nothing to do: the next start cuts them. Find out why the machine stopped");
    }
    if found.acknowledged.is_none() && !found.in_use {
        let what = "the file 'head' is missing or torn: what was acknowledged last is told by the index alone";
        report.warn("ledger", what, "nothing to do: the next start writes it anew. Find out why it is gone");
    }
    index(&found, report);
    let now = clock_ms();
    if head.time_ms > now {
        compare_clock("the ledger's last block", head.time_ms, now, AHEAD, report);
    } else {
        let since = Duration::from_millis(now - head.time_ms);
        report.ok("clock", format!("it is after the ledger's last block, by {}", span(since)));
    }
    if found.genesis.development {
        let what = "DEVELOPMENT PARAMETERS: whoever drew them could forge answers";
        report.warn(
            "parameters",
            what,
            "for real use make a ledger with parameters of a ceremony: docs/spec/ceremony.md",
        );
    }
    Some(found)
}

fn index(found: &Inspection, report: &mut Report) {
    let rebuilt = "nothing to do: the next start rebuilds it from the log, which takes a while";
    match &found.index {
        IndexFound::Follows(height) if *height == found.head.height => {
            report.ok("ledger", "the index follows the log to its end");
        }
        IndexFound::Follows(height) => {
            let what = format!("the index stands at block {height} of {}", found.head.height);
            report.warn("ledger", what, "nothing to do: the next start brings it up to the log");
        }
        IndexFound::Missing if found.head.height == BlockHeight(0) => {}
        IndexFound::Missing => report.warn("ledger", "the index is not there", rebuilt),
        IndexFound::Unusable(why) => report.warn("ledger", format!("the index: {why}"), rebuilt),
        IndexFound::InUse => {}
    }
}

/// That proving and verifying keys are the ones that the genesis names.
pub(super) fn parameters(folder: &Path, genesis: &Genesis, report: &mut Report) {
    let parameters = Parameters::in_folder(&folder.join("parameters"));
    let wrong = tokio::task::block_in_place(|| {
        let errors = Circuit::ALL.into_iter().filter_map(|circuit| parameters.load(circuit, genesis).err());
        errors.map(|error| error.to_string()).collect::<Vec<_>>()
    });
    let todo = "restore the folder 'parameters' from a backup, or take it from another member: the genesis tells whether it is the right one";
    for error in &wrong {
        report.fail("parameters", error.clone(), todo);
    }
    if wrong.is_empty() {
        report.ok("parameters", format!("the keys of {} circuits are the genesis's", Circuit::ALL.len()));
    }
}
