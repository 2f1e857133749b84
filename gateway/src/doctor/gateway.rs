//! A gateway, as anybody sees it.

use std::time::Duration;

use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::BlockHeight;
use sealgate_ledger::inspect::Inspection;

use super::machine::compare_clock;
use super::{Report, client};
use crate::owner::clock_ms;

/// How far two clocks may differ: a gateway tells the second only, and an answer takes a moment.
const CLOCKS: Duration = Duration::from_secs(10);

/// What a gateway shows.
pub(super) struct Seen {
    genesis: Genesis,
    height: BlockHeight,
}

/// Whether it answers, with which software, which ledger, and whether its clock agrees with this machine's.
pub(super) async fn look(url: &str, report: &mut Report) -> Option<Seen> {
    let client = client(url, report)?;
    let health = match client.health().await {
        Ok(health) => health,
        Err(error) => {
            let todo =
                "is it running, is a firewall in between? Its operator runs 'sealgate doctor --data-dir DIR' there";
            report.fail("gateway", error.to_string(), todo);
            return None;
        }
    };
    report.ok("gateway", format!("{} answers, block {}", client.url(), health.height));
    version("gateway", &health.version, report);
    if let Some(ahead_ms) = health.clock_ahead_ms {
        let ours = clock_ms();
        compare_clock("the gateway's", ours.saturating_add_signed(ahead_ms), ours, CLOCKS, report);
    }
    match client.genesis().await {
        Ok(genesis) => match genesis.validate() {
            Ok(()) => {
                report.ok("gateway", format!("it shows ledger '{}' ({})", genesis.name, genesis.chain_id()));
                return Some(Seen { genesis, height: BlockHeight(health.height) });
            }
            Err(error) => report.fail("gateway", error.to_string(), "tell its operator: its ledger is none"),
        },
        Err(error) => report.fail("gateway", error.to_string(), "tell its operator: it does not show its ledger"),
    }
    None
}

/// How a gateway's ledger goes with the one in a data folder.
pub(super) fn compare(seen: &Seen, found: &Inspection, report: &mut Report) {
    let (theirs, ours) = (seen.height, found.head.height);
    if seen.genesis.chain_id() != found.genesis.chain_id() {
        let what = format!("the gateway serves another ledger than the folder's, {}", found.genesis.chain_id());
        report.fail("gateway", what, "name the gateway of this folder's ledger");
    } else if found.genesis.network.is_some() {
        report.ok("gateway", format!("it stands at block {theirs}, this folder at {ours}; nodes that run catch up"));
    } else if theirs > ours && !found.in_use {
        let what = format!(
            "the gateway stands at block {theirs}, this folder at {ours}: it is an older copy of what is served elsewhere"
        );
        report.fail("gateway", what, "do not serve from it: blocks made here would be a second history");
    } else {
        report.ok("gateway", "it serves the ledger of this folder");
    }
}

/// Whether a gateway's software is this one.
pub(super) fn version(area: &'static str, theirs: &str, report: &mut Report) {
    let ours = env!("CARGO_PKG_VERSION");
    if theirs == ours {
        report.ok(area, format!("its version is this program's, {ours}"));
    } else {
        let shown: String = theirs.chars().take(40).collect();
        let todo = "use the same version on both sides; after an upgrade, start the gateway again";
        report.warn(area, format!("its version is {shown}, this program's {ours}"), todo);
    }
}
