//! A folder from a backup. It is made beside its place and takes it whole, in one step.

use super::*;

/// Stands in a folder that is not yet whole.
pub(super) const MARKER: &str = "restore.unfinished";

/// What was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Whose it is and how far it goes.
    pub summary: Summary,
    /// Files in it.
    pub files: u64,
    /// Where the folder lies that was there before.
    pub replaced: Option<PathBuf>,
}

/// Makes `folder` from the backup `from`. The folder is not there, empty, or an older state of the
/// same account; killed at any moment it is as before or as the backup, and this can be run again.
///
/// # Errors
/// [`BackupError`]; the folder is as before.
pub fn restore(
    kind: Kind,
    from: &Path,
    folder: &Path,
    passphrase: &str,
    progress: &dyn Fn(u64, u64),
) -> Result<Restored, BackupError> {
    let file = File::open(from).map_err(FileError::io(from))?;
    let total = file.metadata().map_err(FileError::io(from))?.len();
    let reader = StreamReader::new(BufReader::new(file), passphrase);
    let reader = reader.map_err(|source| BackupError::Stream { path: from.to_owned(), source })?;
    restore_content(kind, (from, total), reader, folder, progress)
}

/// [`restore`] of what the container gives: the content of the backup `from`, whose file has `total` bytes.
///
/// # Errors
/// As [`restore`].
pub fn restore_content(
    kind: Kind,
    (from, total): (&Path, u64),
    mut reader: impl Read,
    folder: &Path,
    progress: &dyn Fn(u64, u64),
) -> Result<Restored, BackupError> {
    let stream = |source| BackupError::Stream { path: from.to_owned(), source };
    let summary = Summary::deserialize_reader(&mut reader).map_err(|error| stream(error.into()))?;
    if summary.kind != kind {
        let what = match summary.kind {
            Kind::Data => "it is of an owner's data folder: give --data-dir instead of --home",
            Kind::Home => "it is of a home: give --home instead of --data-dir",
        };
        return Err(BackupError::Content { path: from.to_owned(), what: what.into() });
    }
    let folder = std::path::absolute(folder).map_err(FileError::io(folder))?;
    let present = Present::of(&folder, &summary)?;
    let staging = beside(&folder, "restoring")?;
    clear(&staging)?;
    create_private_dir(&staging).map_err(FileError::io(&staging))?;
    let marker = staging.join(MARKER);
    File::create(&marker).map_err(FileError::io(&marker))?;
    let unpacking = Unpacking { from, staging: &staging, progress, total };
    let filled = unpacking.unpack(&mut reader).and_then(|files| {
        check(&summary, &staging)?;
        if present.is_some() && !summary.objects {
            keep_objects(&folder, &staging)?;
        }
        sync_tree(&staging)?;
        Ok(files)
    });
    let files = match filled {
        Ok(files) => files,
        Err(error) => {
            clear(&staging)?;
            return Err(error);
        }
    };
    fs::remove_file(&marker).map_err(FileError::io(&marker))?;
    sync_folder(&staging)?;
    let replaced = put_in_place(&staging, &folder, present.is_some())?;
    Ok(Restored { summary, files, replaced })
}

/// The folder that is there already, held still.
struct Present {
    _still: Option<Still>,
    _home: Option<File>,
}

impl Present {
    fn of(folder: &Path, saved: &Summary) -> Result<Option<Present>, BackupError> {
        match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::io(folder)(error).into()),
            Ok(true) => return Ok(None),
            Ok(false) => {}
        }
        let not_ours = |what: String| BackupError::NotOurs { folder: folder.to_owned(), what };
        let account = account_file::load(folder).map_err(|error| not_ours(format!("has no account ({error})")))?;
        if !saved.accounts.contains(&account.address()) {
            let saved = saved.accounts.first().map_or_else(String::new, ToString::to_string);
            return Err(not_ours(format!("belongs to account {}, the backup to {saved}", account.address())));
        }
        let (mut still, mut home) = (None, None);
        let (seen, what) = match saved.kind {
            Kind::Data => {
                still = Some(Still::hold(folder)?);
                let (chain, height, _) = head(folder)?;
                (BTreeMap::from([(chain, height)]), "block")
            }
            Kind::Home => {
                home = Some(take(folder, &folder.join(HELD_FILE), "a command is at work with it")?);
                (seen_by_home(folder)?, "a checkpoint of size")
            }
        };
        for (chain, present) in seen {
            let saved = saved.seen.get(&chain).copied();
            if saved.is_none_or(|saved| saved < present) {
                let (what, saved) = (format!("of ledger {chain} {what}"), saved.unwrap_or(0));
                return Err(BackupError::Lowered { folder: folder.to_owned(), what, present, saved });
            }
        }
        Ok(Some(Present { _still: still, _home: home }))
    }
}

struct Unpacking<'a> {
    from: &'a Path,
    staging: &'a Path,
    progress: &'a dyn Fn(u64, u64),
    total: u64,
}

impl Unpacking<'_> {
    fn unpack(&self, reader: &mut impl Read) -> Result<u64, BackupError> {
        let stream = |source: io::Error| BackupError::Stream { path: self.from.to_owned(), source: source.into() };
        let wrong = |what: &str| BackupError::Content { path: self.from.to_owned(), what: what.into() };
        let (mut files, mut done) = (0, 0);
        loop {
            let (path, bytes) = match Item::deserialize_reader(reader).map_err(stream)? {
                Item::File { path, bytes } => (PathBuf::from(path), Some(bytes)),
                Item::Folder { path } => (PathBuf::from(path), None),
                Item::End(expected) if expected == files => break,
                Item::End(_) => return Err(wrong("it does not hold as many files as it says")),
            };
            let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
            if !inside || path.as_os_str().is_empty() || is_transient(&path) {
                return Err(wrong(&format!("'{}' is no file of a backup", path.display())));
            }
            let full = self.staging.join(&path);
            let Some(bytes) = bytes else {
                create_private_dir(&full).map_err(FileError::io(&full))?;
                continue;
            };
            let mut file = create(&full).map_err(FileError::io(&full))?;
            let mut part = reader.take(bytes);
            let read_failed = |source: io::Error| FileError::content(self.from, source);
            let copied = copy(&mut part, &mut file, &FileError::io(&full), &read_failed, &mut |bytes| {
                done += bytes;
                (self.progress)(done, self.total);
            })?;
            if copied != bytes {
                return Err(wrong("it ends in the middle of a file"));
            }
            file.sync_all().map_err(FileError::io(&full))?;
            files += 1;
        }
        match reader.read(&mut [0]).map_err(stream)? {
            0 => Ok(files),
            _ => Err(wrong("something follows its end")),
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(parent) = path.parent() {
        create_private_dir(parent)?;
    }
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// That the folder is what the backup says, before it takes anything's place.
fn check(summary: &Summary, staging: &Path) -> Result<(), BackupError> {
    let wrong = |what: &str| BackupError::Folder { folder: staging.to_owned(), what: what.into() };
    if accounts(staging)? != summary.accounts {
        return Err(wrong("the backup's account is not the one that it names"));
    }
    let seen = match summary.kind {
        Kind::Home => seen_by_home(staging)?,
        Kind::Data => {
            RootFile::load(&staging.join(ROOT_KEY_FILE)).map_err(OwnerError::from)?;
            let (chain, height, _) = head(staging)?;
            BTreeMap::from([(chain, height)])
        }
    };
    match seen.iter().all(|(chain, seen)| summary.seen.get(chain).is_some_and(|named| named <= seen))
        && summary.seen.keys().all(|chain| seen.contains_key(chain))
    {
        true => Ok(()),
        false => Err(wrong("the backup's ledgers are not those that it names")),
    }
}

/// The objects of the folder that is there, under second names: objects never change.
fn keep_objects(folder: &Path, staging: &Path) -> Result<(), BackupError> {
    let inside = |folder: &Path| -> Result<Option<PathBuf>, BackupError> {
        Ok(match Config::read(folder)?.store {
            StoreUrl::Folder(store) => store.strip_prefix(folder).ok().map(Path::to_owned),
            StoreUrl::S3 { .. } => None,
        })
    };
    match (inside(folder)?, inside(staging)?) {
        (Some(from), Some(to)) if folder.join(&from).is_dir() => link_tree(&folder.join(from), &staging.join(to)),
        _ => Ok(()),
    }
}

fn link_tree(from: &Path, to: &Path) -> Result<(), BackupError> {
    create_private_dir(to).map_err(FileError::io(to))?;
    for entry in fs::read_dir(from).map_err(FileError::io(from))? {
        let entry = entry.map_err(FileError::io(from))?;
        let (old, new) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(FileError::io(&old))?.is_dir() {
            link_tree(&old, &new)?;
        } else {
            fs::hard_link(&old, &new).map_err(FileError::io(&new))?;
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::io(folder))
}

/// Makes the names in all folders durable; the files' content is already.
fn sync_tree(folder: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(folder).map_err(FileError::io(folder))? {
        let entry = entry.map_err(FileError::io(folder))?;
        if entry.file_type().map_err(FileError::io(folder))?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    Ok(sync_folder(folder)?)
}

/// A name beside the folder.
fn beside(folder: &Path, what: &str) -> Result<PathBuf, BackupError> {
    let name = folder.file_name().ok_or_else(|| BackupError::Folder {
        folder: folder.to_owned(),
        what: "it cannot be restored into; name a folder in another one".into(),
    })?;
    let mut beside = name.to_owned();
    beside.push(format!(".{what}"));
    Ok(folder.with_file_name(beside))
}

/// Frees the name where a folder is made: what is not whole goes, what is whole is set aside.
fn clear(staging: &Path) -> Result<(), BackupError> {
    if !staging.exists() {
        return Ok(());
    }
    if staging.join(MARKER).exists() || fs::read_dir(staging).is_ok_and(|mut entries| entries.next().is_none()) {
        return Ok(fs::remove_dir_all(staging).map_err(FileError::io(staging))?);
    }
    let aside = beside(staging, &clock_ms().to_string())?;
    Ok(fs::rename(staging, &aside).map_err(FileError::io(staging))?)
}

/// Puts the finished folder in its place. Where one is already, the two are exchanged in one step.
fn put_in_place(staging: &Path, folder: &Path, present: bool) -> Result<Option<PathBuf>, BackupError> {
    let parent = folder.parent().unwrap_or(Path::new("/"));
    if !present {
        fs::rename(staging, folder).map_err(FileError::io(folder))?;
        sync_folder(parent)?;
        return Ok(None);
    }
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, staging, CWD, folder, RenameFlags::EXCHANGE).map_err(|error| BackupError::Folder {
        folder: folder.to_owned(),
        what: format!("its file system cannot exchange two folders ({error}): move the folder away and restore again"),
    })?;
    sync_folder(parent)?;
    let replaced = beside(folder, &format!("replaced.{}", clock_ms()))?;
    fs::rename(staging, &replaced).map_err(FileError::io(&replaced))?;
    sync_folder(parent)?;
    Ok(Some(replaced))
}
