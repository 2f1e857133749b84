//! Leaves on their way from row order to place order: an external sort by partition.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::leaves::{ENTRY_BYTES, LeafEntry};
use crate::secret::create_private_dir;
use crate::store::StoreError;

/// Partitions of a spill; one of them must fit into memory.
pub(crate) const PARTITIONS: usize = 256;
/// A partition's entries are written out when so many bytes have gathered.
const GATHERED_BYTES: usize = 64 << 10;
/// What the names of spill folders start with.
const PREFIX: &str = "spill-";

/// Up to 256 files of leaf entries in a folder of mode 0700 that vanishes with the value. It holds
/// no record values: places and commitments tell nothing without the asset's keys.
pub(crate) struct Spill {
    folder: TempDir,
    gathered: Vec<Vec<u8>>,
}

impl Spill {
    pub(crate) fn new(parent: &Path) -> Result<Self, StoreError> {
        let make = || -> io::Result<TempDir> {
            create_private_dir(parent)?;
            tempfile::Builder::new().prefix(PREFIX).permissions(fs::Permissions::from_mode(0o700)).tempdir_in(parent)
        };
        let folder = make().map_err(|source| StoreError::Folder { path: parent.to_owned(), source })?;
        Ok(Self { folder, gathered: vec![Vec::new(); PARTITIONS] })
    }

    /// Adds an entry to a partition below [`PARTITIONS`].
    pub(crate) fn add(&mut self, partition: usize, entry: &LeafEntry) -> Result<(), StoreError> {
        let full = match self.gathered.get_mut(partition) {
            None => return Err(StoreError::Internal(format!("partition {partition} of {PARTITIONS}"))),
            Some(gathered) => {
                gathered.extend_from_slice(&entry.encode());
                gathered.len() >= GATHERED_BYTES
            }
        };
        if full { self.write_out(partition) } else { Ok(()) }
    }

    /// Takes back every entry of a partition, in the order of adding.
    pub(crate) fn take(&mut self, partition: usize) -> Result<Vec<LeafEntry>, StoreError> {
        let path = self.path(partition);
        let mut bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(|source| StoreError::Folder { path: path.clone(), source })?,
        };
        bytes.append(self.gathered.get_mut(partition).unwrap_or(&mut Vec::new()));
        let _ = fs::remove_file(&path);
        let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
        match rest {
            [] => Ok(entries.iter().map(LeafEntry::decode).collect()),
            _ => Err(StoreError::Folder { path, source: io::Error::other("the spill file was cut") }),
        }
    }

    fn write_out(&mut self, partition: usize) -> Result<(), StoreError> {
        let path = self.path(partition);
        let Some(gathered) = self.gathered.get_mut(partition) else { return Ok(()) };
        let append = || -> io::Result<()> {
            OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?.write_all(gathered)
        };
        append().map_err(|source| StoreError::Folder { path: path.clone(), source })?;
        gathered.clear();
        Ok(())
    }

    fn path(&self, partition: usize) -> PathBuf {
        self.folder.path().join(format!("p{partition}"))
    }
}

/// Removes spill folders that a crash left in `parent`. Call it only while nothing is being sealed.
///
/// # Errors
/// [`StoreError::Folder`] when one cannot be removed.
pub fn remove_stale_spills(parent: &Path) -> Result<(), StoreError> {
    let failed = |path: &Path, source| StoreError::Folder { path: path.to_owned(), source };
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|source| failed(parent, source))?,
    };
    for entry in entries {
        let path = entry.map_err(|source| failed(parent, source))?.path();
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if ours && path.is_dir() {
            fs::remove_dir_all(&path).map_err(|source| failed(&path, source))?;
        }
    }
    Ok(())
}
