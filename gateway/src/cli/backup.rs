//! `sealgate backup` and `sealgate restore`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Failure, Output};
use crate::backup::{self, Kind, Summary};
use crate::files::FileError;
use crate::passphrase::{BACKUP_PASSPHRASE, Prompt};

/// Which folder: an owner's or a home.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Folder {
    /// An owner's or member's data folder.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A requester's or auditor's home.
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
}

impl Folder {
    fn take(self) -> (Kind, PathBuf) {
        match (self.data_dir, self.home) {
            (Some(folder), _) => (Kind::Data, folder),
            (None, folder) => (Kind::Home, folder.unwrap_or_default()),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Backup {
    #[command(flatten)]
    folder: Folder,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Leave out the sealed objects, which are backed up apart or published again.
    #[arg(long)]
    without_objects: bool,
    /// A file that holds the passphrase, for example /dev/fd/3; else it is taken from
    /// SEALGATE_BACKUP_PASSPHRASE, or asked for.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    folder: Folder,
    /// A file that holds the passphrase, for example /dev/fd/3; else it is taken from
    /// SEALGATE_BACKUP_PASSPHRASE, or asked for.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct BackupResult {
    account: String,
    ledgers: Vec<Seen>,
    files: u64,
    bytes: u64,
    objects: bool,
    needed_beside: Vec<String>,
}

#[derive(Serialize)]
struct RestoreResult {
    account: String,
    ledgers: Vec<Seen>,
    files: u64,
    objects: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<PathBuf>,
}

#[derive(Serialize)]
struct Seen {
    fingerprint: String,
    /// Height of a data folder's ledger, size of a home's highest checkpoint.
    seen: u64,
}

fn seen(summary: &Summary) -> Vec<Seen> {
    summary.seen.iter().map(|(chain, seen)| Seen { fingerprint: chain.to_string(), seen: *seen }).collect()
}

fn account(summary: &Summary) -> String {
    summary.accounts.first().map_or_else(String::new, ToString::to_string)
}

fn described(summary: &Summary) -> String {
    let what = match summary.kind {
        Kind::Data => "up to block",
        Kind::Home => "checkpoints up to size",
    };
    let ledgers = summary.seen.iter().map(|(chain, seen)| format!("\nledger      {chain}, {what} {seen}"));
    format!("account     {}{}", account(summary), ledgers.collect::<String>())
}

fn passphrase(file: Option<PathBuf>, prompt: Prompt) -> Result<Zeroizing<String>, Failure> {
    Ok(match file {
        Some(file) => BACKUP_PASSPHRASE.read_file(&file)?,
        None => BACKUP_PASSPHRASE.read(prompt)?,
    })
}

pub(super) fn backup(args: Backup, output: &Output) -> Result<(), Failure> {
    let (kind, folder) = args.folder.take();
    let passphrase = passphrase(args.passphrase_file, Prompt::Twice)?;
    let bar = output.progress();
    let progress = |done, total| bar.count("writing the backup", done, total);
    let written = backup::backup(kind, &folder, &args.out, !args.without_objects, &passphrase, &progress);
    bar.finish();
    let written = written?;
    let result = BackupResult {
        account: account(&written.summary),
        ledgers: seen(&written.summary),
        files: written.files,
        bytes: written.bytes,
        objects: written.summary.objects,
        needed_beside: written.beside,
    };
    output.result(&result, || {
        let beside: String = result.needed_beside.iter().map(|what| format!("\nneeded too  {what}")).collect();
        format!(
            "backup      {} ({} files, {} bytes)\n{}{beside}",
            args.out.display(),
            result.files,
            result.bytes,
            described(&written.summary)
        )
    });
    Ok(())
}

pub(super) fn restore(args: Restore, output: &Output) -> Result<(), Failure> {
    let (kind, folder) = args.folder.take();
    // Before anybody is asked for its passphrase.
    std::fs::File::open(&args.from).map_err(FileError::io(&args.from))?;
    let passphrase = passphrase(args.passphrase_file, Prompt::Once)?;
    let bar = output.progress();
    let progress = |done, total| bar.count("restoring", done, total);
    let restored = backup::restore(kind, &args.from, &folder, &passphrase, &progress);
    bar.finish();
    let restored = restored?;
    let result = RestoreResult {
        account: account(&restored.summary),
        ledgers: seen(&restored.summary),
        files: restored.files,
        objects: restored.summary.objects,
        replaced: restored.replaced,
    };
    output.result(&result, || {
        let replaced = result.replaced.as_ref().map_or_else(String::new, |old| {
            format!("\nbefore      what was there is in {}; remove it when all is well", old.display())
        });
        format!("restored    {} ({} files)\n{}{replaced}", folder.display(), result.files, described(&restored.summary))
    });
    Ok(())
}
