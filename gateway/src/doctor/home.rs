//! A requester's or auditor's home: its account, what it trusts, what it has seen and asked.

use std::path::Path;

use super::keys::{account, leftovers};
use super::{Report, client};
use crate::account_file::ACCOUNT_FILE;
use crate::files::read_json;
use crate::home::{Asked, Home, HomeError, Relation};
use crate::owner::ROOT_KEY_FILE;

/// Whether it is a home.
pub(super) fn is_home(folder: &Path, report: &mut Report) -> bool {
    let shown = folder.display();
    if !folder.is_dir() {
        let todo = format!("name the right folder, or make one with 'sealgate account new --home {shown} --name NAME'");
        report.fail("files", format!("there is no folder {shown}"), todo);
    } else if folder.join(ROOT_KEY_FILE).exists() {
        let todo = format!("run 'sealgate doctor --data-dir {shown}'");
        report.fail("files", format!("{shown} is an owner's data folder, and no home"), todo);
    } else if !folder.join(ACCOUNT_FILE).exists() && !folder.join("ledgers").is_dir() {
        let todo =
            format!("name the right folder, or make an account: 'sealgate account new --home {shown} --name NAME'");
        report.fail("files", format!("{shown} holds neither an account nor a trusted ledger"), todo);
    } else {
        return true;
    }
    false
}

/// What is in it.
pub(super) fn look(folder: &Path, report: &mut Report) {
    let home = Home::at(folder);
    if folder.join(ACCOUNT_FILE).exists() {
        account(folder, report);
    } else {
        report.warn(
            "keys",
            "there is no account here: ledgers can be checked, nothing can be asked",
            format!("make one with 'sealgate account new --home {} --name NAME'", folder.display()),
        );
    }
    leftovers(folder, report);
    match home.trusted() {
        Ok(chains) if chains.is_empty() => {
            let todo = format!(
                "compare its fingerprint with its operator, then 'sealgate trust --home {} FINGERPRINT'",
                folder.display()
            );
            report.warn("trust", "no ledger is trusted", todo);
        }
        Ok(chains) => {
            for chain in &chains {
                match (home.highest_size(chain), home.pins(chain)) {
                    (Ok(size), Ok(pins)) => {
                        let witnesses = pins.witnesses.len();
                        report.ok("trust", format!("{chain}: {size} entries seen, {witnesses} witnesses pinned"));
                    }
                    (Err(error), _) => report.fail("trust", error.to_string(), MEMORY),
                    (_, Err(error)) => report.fail("trust", error.to_string(), MEMORY),
                }
            }
        }
        Err(error) => report.fail("trust", error.to_string(), MEMORY),
    }
    asked(folder, report);
}

/// What to do about a memory that is damaged.
const MEMORY: &str = "restore the home from a backup: what was seen is what shows a second history";

/// Questions that never came back.
fn asked(folder: &Path, report: &mut Report) {
    let entries = std::fs::read_dir(folder.join("asked")).into_iter().flatten().flatten().map(|entry| entry.path());
    let (mut open, mut count) = (0, 0);
    for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        count += 1;
        match read_json::<Asked>(&path) {
            Ok(asked) => open += usize::from(!asked.done),
            Err(error) => report.fail("trust", error.to_string(), "restore the file from a backup"),
        }
    }
    if open > 0 {
        let what = format!("{open} of {count} questions were sent and never came back");
        report.warn("trust", what, "ask them again in the same words: they are taken up where they stopped");
    }
}

/// Whether what a gateway shows goes with what the home has seen.
pub(super) async fn compare(folder: &Path, url: &str, report: &mut Report) {
    let Some(client) = client(url, report) else { return };
    let home = Home::at(folder);
    let shown = async {
        let genesis = client.genesis().await?;
        Ok::<_, crate::client::ClientError>((genesis, client.head().await?))
    };
    let (genesis, head) = match shown.await {
        Ok(shown) => shown,
        Err(error) => return report.fail("gateway", error.to_string(), "try again, or tell its operator"),
    };
    match home.relation(&genesis, &head.checkpoint) {
        Ok((checkpoint, Relation::Older(highest))) => {
            let what = format!("the gateway shows {} entries, and this home has seen {highest}", checkpoint.size);
            report.fail(
                "trust",
                what,
                "ask its operator: a gateway that lags is waited for, a ledger that went back is a second history",
            );
        }
        Ok((checkpoint, _)) => {
            let what = format!("the gateway's {} entries are signed, and no fewer than were seen", checkpoint.size);
            report.ok("trust", format!("{what}; 'sealgate audit' replays them"));
        }
        Err(error @ HomeError::NotTrusted { .. }) => {
            let todo = "compare the fingerprint with its operator by another way, then trust it";
            report.fail("trust", error.to_string(), todo);
        }
        Err(HomeError::WrongEpoch { .. }) => {
            report.ok("trust", "the ledger's members have changed; the next command follows them");
        }
        Err(error) => {
            report.fail("trust", error.to_string(), "keep the home as it is: it is evidence; ask the ledger's operator")
        }
    }
}
