//! The keys of an owner's folder: its account, where its root key comes from, and whether that opens
//! the keys of its assets.

use std::path::Path;
use std::sync::Arc;

use sealgate_ledger::account::AccountPublic;
use sealgate_ods::keys::{AssetLabel, KeyError, KeyFolder, RootFile};

use super::Report;
use crate::account_file::{self, NEXT_FILE, PUBLIC_FILE};
use crate::files::read_json;
use crate::owner::ROOT_KEY_FILE;
use crate::passphrase;

/// What to do about a key file that is no more what it was.
const RESTORE: &str = "restore it from a backup ('sealgate restore'): it cannot be made again";

fn way_out(error: &KeyError) -> &'static str {
    match error {
        KeyError::File { .. } => "run this as the user whose folder it is",
        KeyError::WrongRoot { .. } => {
            "root.key here is another folder's, or an old one: restore it from a backup of this folder"
        }
        _ => RESTORE,
    }
}

/// Looks at the keys; whether the root key could be had, so that sealed objects can be looked at.
pub(super) fn look(folder: &Path, report: &mut Report) -> bool {
    account(folder, report);
    leftovers(folder, report);
    let path = folder.join(ROOT_KEY_FILE);
    let file = match RootFile::load(&path) {
        Ok(file) => file,
        Err(error) => {
            report.fail("keys", error.to_string(), way_out(&error));
            return false;
        }
    };
    let root = match passphrase::root_key(&file, &path) {
        Ok(root) => root,
        Err(error @ KeyError::NotGiven(_)) => {
            report.warn("keys", format!("not looked at: {error}"), "give it, and run this again");
            return false;
        }
        Err(error) => {
            report.fail("keys", error.to_string(), "give the one that the folder was made with");
            return false;
        }
    };
    let keys = KeyFolder::new(&folder.join("keys"), Arc::new(root));
    let labels = match keys.list() {
        Ok(labels) => labels,
        Err(error) => {
            report.fail("keys", error.to_string(), "make the folder readable, or restore it from a backup");
            return false;
        }
    };
    let (mut opened, mut halfway) = (0, 0);
    for label in &labels {
        match open(&keys, label) {
            Ok(other_roots) => {
                opened += 1;
                halfway += usize::from(other_roots > 0);
            }
            Err(error) => report.fail("keys", error.to_string(), way_out(&error)),
        }
    }
    report.ok("keys", format!("the root key ({}) opens the keys of {opened} of {} assets", file.kind(), labels.len()));
    if halfway > 0 {
        let what = format!("a change of root keys was cut short: {halfway} assets' keys open with an old one too");
        report.warn("keys", what, "stop the gateway and run 'sealgate keys rotate-root' again");
    }
    opened == labels.len()
}

fn open(keys: &KeyFolder, label: &AssetLabel) -> Result<usize, KeyError> {
    keys.asset(label)?;
    keys.other_roots(label)
}

/// The party's own keys.
pub(super) fn account(folder: &Path, report: &mut Report) {
    let account = match account_file::load_owners(folder) {
        Ok(account) => account,
        Err(error) => {
            report.fail(
                "keys",
                error.to_string(),
                "restore it from a backup: whoever has it is the party, nobody else",
            );
            return;
        }
    };
    report.ok("keys", format!("account '{}' {}", account.public().name, account.address()));
    let path = folder.join(PUBLIC_FILE);
    let public = read_json::<AccountPublic>(&path);
    if !public.is_ok_and(|public| public.address() == account.address()) {
        let what = format!("{} is not there, or is another account's", path.display());
        report.warn("keys", what, "do not hand it out; take the file from a backup");
    }
    if folder.join(NEXT_FILE).exists() {
        let what = "an 'account replace' was cut short: the successor's keys are here and not yet in use";
        report.warn("keys", what, "run 'sealgate account replace' again");
    }
}

/// Folders that hold keys and are no longer needed.
pub(super) fn leftovers(folder: &Path, report: &mut Report) {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name().and_then(|name| name.to_str())) else {
        return;
    };
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let other = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = other.strip_prefix(name).filter(|_| entry.path().is_dir()) else { continue };
        if rest.starts_with(".replaced.") {
            let todo = "if all is well with what was restored, remove it: its keys are the same";
            report.warn("keys", format!("{} is what was here before a restore", entry.path().display()), todo);
        } else if rest.starts_with(".restoring") {
            let todo = "run 'sealgate restore' again, or remove it";
            report.warn("keys", format!("{} is from a restore that was cut short", entry.path().display()), todo);
        }
    }
}
