//! What waits on disk while it is sorted: an external sort by partition, sealed under a key that
//! only this process has.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use zeroize::Zeroizing;

use super::leaves::{LeafEntry, decode_entries};
use crate::secret::{Cipher, NONCE_BYTES, Secret, TAG_BYTES, create_private_dir};
use crate::store::StoreError;
use crate::suite::CipherSuite;

/// Partitions of a spill; one of them must fit into memory.
pub(crate) const PARTITIONS: usize = 256;
/// What gathers for a partition is written out when it has so many bytes.
const GATHERED_BYTES: usize = 16 << 10;
/// What the names of spill folders start with.
const PREFIX: &str = "spill-";
/// Bytes of the length before a sealed block.
const LENGTH_BYTES: usize = 4;

/// Up to 256 files in a folder of mode 0700 that vanishes with the value; nothing is written while
/// little has gathered.
pub(crate) struct Spill {
    folder: TempDir,
    cipher: Cipher,
    blocks: u64,
    gathered: Vec<Zeroizing<Vec<u8>>>,
}

impl Spill {
    pub(crate) fn new(parent: &Path) -> Result<Self, StoreError> {
        let make = || -> io::Result<(TempDir, Secret)> {
            create_private_dir(parent)?;
            let mode = fs::Permissions::from_mode(0o700);
            let folder = tempfile::Builder::new().prefix(PREFIX).permissions(mode).tempdir_in(parent)?;
            Ok((folder, Secret::generate()?))
        };
        let (folder, key) = make().map_err(|source| StoreError::Folder { path: parent.to_owned(), source })?;
        let gathered = std::iter::repeat_with(Zeroizing::default).take(PARTITIONS).collect();
        Ok(Self { folder, cipher: key.cipher(CipherSuite::Aes256Gcm), blocks: 0, gathered })
    }

    /// Adds bytes to a partition below [`PARTITIONS`].
    pub(crate) fn add(&mut self, partition: usize, bytes: &[u8]) -> Result<(), StoreError> {
        self.gather(partition, |gathered| gathered.extend_from_slice(bytes))
    }

    /// Adds a leaf.
    pub(crate) fn add_leaf(&mut self, partition: usize, entry: &LeafEntry) -> Result<(), StoreError> {
        self.gather(partition, |gathered| entry.encode_to(gathered))
    }

    fn gather(&mut self, partition: usize, add: impl FnOnce(&mut Vec<u8>)) -> Result<(), StoreError> {
        let gathered = self.gathered.get_mut(partition);
        let gathered =
            gathered.ok_or_else(|| StoreError::Internal(format!("partition {partition} of {PARTITIONS}")))?;
        add(gathered);
        if gathered.len() < GATHERED_BYTES {
            return Ok(());
        }
        let mut nonce = [0u8; NONCE_BYTES];
        for (to, from) in nonce.iter_mut().zip(self.blocks.to_le_bytes()) {
            *to = from;
        }
        self.blocks += 1;
        let failed = || StoreError::Internal("a block of a spill does not seal".into());
        self.cipher.seal(nonce, &partition.to_le_bytes(), gathered).map_err(|_| failed())?;
        write_out(&path(&self.folder, partition), nonce, gathered)?;
        gathered.clear();
        Ok(())
    }

    /// Takes back everything in a partition, in the order of adding.
    pub(crate) fn take(&mut self, partition: usize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let path = path(&self.folder, partition);
        let file = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(|source| StoreError::Folder { path: path.clone(), source })?,
        };
        let cut = || StoreError::Folder { path: path.clone(), source: io::Error::other("the spill file was changed") };
        let gathered = self.gathered.get_mut(partition).map(std::mem::take).unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(file.len() + gathered.len()));
        let mut rest = file.as_slice();
        while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_BYTES>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?;
            let (block, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
            let (nonce, sealed) = block.split_first_chunk::<NONCE_BYTES>().ok_or_else(cut)?;
            let (sealed, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or_else(cut)?;
            let start = bytes.len();
            bytes.extend_from_slice(sealed);
            let here = bytes.get_mut(start..).ok_or_else(cut)?;
            self.cipher.open_detached(*nonce, &partition.to_le_bytes(), here, *tag).map_err(|_| cut())?;
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(cut());
        }
        bytes.extend_from_slice(&gathered);
        let _ = fs::remove_file(&path);
        Ok(bytes)
    }

    /// Takes back every leaf of a partition, in the order of adding.
    pub(crate) fn take_leaves(&mut self, partition: usize) -> Result<Vec<LeafEntry>, StoreError> {
        let wrong = || StoreError::Internal("a spill of leaves holds something else".into());
        decode_entries(&self.take(partition)?).ok_or_else(wrong)
    }
}

fn path(folder: &TempDir, partition: usize) -> PathBuf {
    folder.path().join(format!("p{partition}"))
}

/// Appends a sealed block to its partition: its length, a nonce that counts, the ciphertext.
fn write_out(path: &Path, nonce: [u8; NONCE_BYTES], block: &[u8]) -> Result<(), StoreError> {
    let append = || -> io::Result<()> {
        let length = u32::try_from(NONCE_BYTES + block.len()).map_err(io::Error::other)?;
        let sealed = [length.to_le_bytes().as_slice(), &nonce, block].concat();
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)?.write_all(&sealed)
    };
    append().map_err(|source| StoreError::Folder { path: path.to_owned(), source })
}

/// Leaves on their way to the order of a version's segments and rows.
pub(crate) struct RowOrder {
    spill: Spill,
    segments: usize,
    pending: Vec<LeafEntry>,
    loaded: usize,
}

impl RowOrder {
    /// For a version of so many segments.
    pub(crate) fn new(parent: &Path, segments: usize) -> Result<Self, StoreError> {
        Ok(Self { spill: Spill::new(parent)?, segments, pending: Vec::new(), loaded: 0 })
    }

    pub(crate) fn add(&mut self, entry: &LeafEntry) -> Result<(), StoreError> {
        self.spill.add_leaf(self.partition(entry.row.segment as usize), entry)
    }

    /// The leaves of the next segment in row order; segments are asked for one after the other.
    pub(crate) fn take(&mut self, segment: usize) -> Result<Vec<LeafEntry>, StoreError> {
        while self.loaded <= self.partition(segment) {
            let mut entries = self.spill.take_leaves(self.loaded)?;
            entries.sort_unstable_by_key(|entry| entry.row);
            self.pending.append(&mut entries);
            self.loaded += 1;
        }
        let mine = self.pending.partition_point(|entry| entry.row.segment as usize <= segment);
        let rest = self.pending.split_off(mine);
        Ok(std::mem::replace(&mut self.pending, rest))
    }

    /// Segments in order, evenly spread.
    fn partition(&self, segment: usize) -> usize {
        segment.min(self.segments.saturating_sub(1)) * PARTITIONS / self.segments.max(1)
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
