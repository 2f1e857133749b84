//! Small files of a party: read with the path in every error, written whole or not at all.

use std::io;
use std::path::{Path, PathBuf};

pub use sealgate_ods::{create_private_dir, write_private};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Bytes that are set aside for what is written as JSON.
const JSON_BYTES: usize = 4096;

/// Why a file of ours could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system says no.
    #[error("{path}: {source}{hint}", path = path.display(), hint = hint(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// The content is not what belongs there.
    #[error("{path}: {what}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull => ": make room and try again; nothing was changed",
        io::ErrorKind::PermissionDenied => ": run as the user who owns the folder",
        io::ErrorKind::AlreadyExists => ": choose another name, or remove it first",
        _ => "",
    }
}

impl FileError {
    /// An [`FileError::Io`] about `path`.
    pub fn io(path: &Path) -> impl Fn(io::Error) -> FileError + use<> {
        let path = path.to_owned();
        move |source| FileError::Io { path: path.clone(), source }
    }

    /// A [`FileError::Content`] about `path`.
    pub fn content(path: &Path, what: impl ToString) -> FileError {
        FileError::Content { path: path.to_owned(), what: what.to_string() }
    }
}

/// Reads a file of at most `bytes_max` bytes.
///
/// # Errors
/// [`FileError`]; a longer file is refused.
pub fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let length = std::fs::metadata(path).map_err(FileError::io(path))?.len();
    if length > bytes_max {
        return Err(FileError::content(path, format!("{length} bytes are more than the {bytes_max} that belong here")));
    }
    std::fs::read(path).map_err(FileError::io(path))
}

/// Checks that a file can be written at `path`, whose folder must be there; leaves nothing behind.
///
/// # Errors
/// [`FileError`].
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    let mut probe = path.as_os_str().to_owned();
    probe.push(format!(".{}.probe", std::process::id()));
    let probe = PathBuf::from(probe);
    std::fs::File::create_new(&probe).map_err(FileError::io(path))?;
    std::fs::remove_file(&probe).map_err(FileError::io(&probe))
}

/// Reads JSON of at most 1 MiB.
///
/// # Errors
/// [`FileError`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    // Accounts are among these files: no copy of a secret stays in memory.
    let text = Zeroizing::new(read_bounded(path, 1 << 20)?);
    serde_json::from_slice(&text).map_err(|error| FileError::content(path, error))
}

/// Writes readable JSON, for the owner's eyes only, whole and durable.
///
/// # Errors
/// [`FileError`].
pub fn write_json<T: Serialize>(path: &Path, value: &T, replace: bool) -> Result<(), FileError> {
    // Enough for an account at once: a buffer that grows leaves what it held behind.
    let mut text = Zeroizing::new(Vec::with_capacity(JSON_BYTES));
    serde_json::to_writer_pretty(&mut *text, value).map_err(|error| FileError::content(path, error))?;
    text.push(b'\n');
    write_private(path, &text, replace).map_err(FileError::io(path))
}
