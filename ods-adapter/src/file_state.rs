//! Whether a file on the disk is still what it was when its reading began.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Length, time of change and identity of a file. Two states differ when the file was written to in between,
/// or another one took its place; writing within the same tick of the file system's clock (milliseconds)
/// that leaves the length as it was cannot be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    length: u64,
    modified: (i64, i64),
    identity: (u64, u64),
}

impl FileState {
    /// The state of an open file.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|meta| Self::from_metadata(&meta))
    }

    /// The state of a file's metadata.
    pub fn from_metadata(meta: &Metadata) -> Self {
        Self { length: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()), identity: (meta.dev(), meta.ino()) }
    }

    /// Whether the file at `path` has this state now; one that is gone has not.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn is_still_at(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(path) {
            Ok(meta) => Ok(Self::from_metadata(&meta) == *self),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
