//! A gateway, as anybody sees it.

use std::time::Duration;

use super::machine::compare_clock;
use super::{Report, client};
use crate::owner::clock_ms;

/// How far two clocks may differ: a gateway tells the second only, and an answer takes a moment.
const CLOCKS: Duration = Duration::from_secs(10);

/// Whether it answers, with which software, which ledger, and whether its clock agrees with this machine's.
pub(super) async fn look(url: &str, report: &mut Report) {
    let Some(client) = client(url, report) else { return };
    let health = match client.health().await {
        Ok(health) => health,
        Err(error) => {
            let todo =
                "is it running, is a firewall in between? Its operator runs 'sealgate doctor --data-dir DIR' there";
            report.fail("gateway", error.to_string(), todo);
            return;
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
            Ok(()) => report.ok("gateway", format!("it shows ledger '{}' ({})", genesis.name, genesis.chain_id())),
            Err(error) => report.fail("gateway", error.to_string(), "tell its operator: its ledger is none"),
        },
        Err(error) => report.fail("gateway", error.to_string(), "tell its operator: it does not show its ledger"),
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
