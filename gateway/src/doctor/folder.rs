//! What a folder is, what its configuration says, and who may read it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Report;
use crate::account_file::ACCOUNT_FILE;
use crate::config::{CONFIG_FILE, Config};
use crate::owner::{ROOT_KEY_FILE, UNFINISHED};

/// Whether it is an owner's data folder; nothing more can be looked at where it is not.
pub(super) fn is_owners(folder: &Path, report: &mut Report) -> bool {
    let shown = folder.display();
    if !folder.is_dir() {
        let todo = format!("name the right folder, or make one with 'sealgate init --data-dir {shown} --name NAME'");
        report.fail("files", format!("there is no folder {shown}"), todo);
    } else if folder.join(UNFINISHED).exists() {
        let todo = format!("run 'sealgate init --data-dir {shown} --name NAME' again");
        report.fail("files", format!("an 'init' of {shown} was cut short"), todo);
    } else if let Some(error) = folder.join("ledger").metadata().err().filter(is_denied) {
        let todo = "run this as the user whose folder it is ('sudo -u sealgate', where a service has it)";
        report.fail("files", format!("{shown} cannot be looked into: {error}"), todo);
    } else if !folder.join("ledger").is_dir() {
        let home = folder.join("ledgers").is_dir() || folder.join(ACCOUNT_FILE).is_file();
        let todo = match home {
            true => format!("it looks like a home: run 'sealgate doctor --home {shown}'"),
            false => "name the right folder, or restore it with 'sealgate restore'".into(),
        };
        report.fail("files", format!("{shown} has no ledger: it is no owner's data folder"), todo);
    } else {
        return true;
    }
    false
}

fn is_denied(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// Reads the configuration, and whether the manifests it names can be read.
pub(super) fn configuration(folder: &Path, report: &mut Report) -> Option<Config> {
    let config = match Config::read(folder) {
        Ok(config) => config,
        Err(error) => {
            let path = folder.join(CONFIG_FILE);
            let todo = format!("correct {}; without the file the defaults hold", path.display());
            report.fail("configuration", error.to_string(), todo);
            return None;
        }
    };
    let file = if folder.join(CONFIG_FILE).exists() { CONFIG_FILE } else { "no file, the defaults" };
    report.ok("configuration", format!("{file}: objects in {}, {} tables to sync", config.store, config.sync.len()));
    for schedule in &config.sync {
        if let Err(error) = sealgate_ods::ShareManifest::read(&schedule.manifest) {
            report.fail("configuration", error.to_string(), "correct the manifest, or its path under [[sync]]");
        }
    }
    Some(config)
}

/// That nobody else may read keys, and that they are ours.
pub(super) fn permissions(folder: &Path, report: &mut Report) {
    let (mut open, mut foreign, mut count) = (Vec::new(), Vec::new(), 0);
    let own = own_user(folder);
    for path in secrets(folder) {
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        count += 1;
        if metadata.mode() & 0o077 != 0 {
            open.push(path.clone());
        }
        if own.is_some_and(|own| own != metadata.uid()) {
            foreign.push(path);
        }
    }
    let listed = |paths: &[PathBuf]| {
        let shown: Vec<String> = paths.iter().take(3).map(|path| path.display().to_string()).collect();
        let more = paths.len().saturating_sub(3);
        format!("{}{}", shown.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
    };
    if !open.is_empty() {
        let todo = format!("chmod -R go= {}; if others could read them, change the keys", folder.display());
        report.fail("files", format!("others than the owner may read {}", listed(&open)), todo);
    }
    if !foreign.is_empty() {
        let todo = format!(
            "run commands as the user whose files these are, or give them to one: chown -R USER {}",
            folder.display()
        );
        report.warn("files", format!("of another user than who runs this: {}", listed(&foreign)), todo);
    }
    let reachable = |metadata: &Metadata| metadata.mode() & 0o077 != 0;
    if std::fs::metadata(folder).is_ok_and(|metadata| reachable(&metadata)) {
        let shown = folder.display();
        report.warn("files", format!("others may look into {shown}"), format!("chmod 700 {shown}"));
    }
    if open.is_empty() && foreign.is_empty() {
        report.ok("files", format!("secrets can be read by their user alone ({count} looked at)"));
    }
}

/// The files that nobody else may read.
fn secrets(folder: &Path) -> Vec<PathBuf> {
    let below = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_key = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "key");
    let mut paths: Vec<PathBuf> = below(folder.to_owned()).filter(is_key).collect();
    paths.extend(below(folder.join("keys")));
    paths.extend(
        [ROOT_KEY_FILE, "serving.json"].map(|name| folder.join(name)).into_iter().filter(|path| path.is_file()),
    );
    paths.sort();
    paths.dedup();
    paths
}

/// The user as whom this process writes files.
fn own_user(folder: &Path) -> Option<u32> {
    let probe = tempfile::Builder::new().prefix(".doctor.").tempfile_in(folder).ok()?;
    Some(probe.as_file().metadata().ok()?.uid())
}
