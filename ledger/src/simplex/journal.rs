//! A file of checked records that only grows (docs/spec/network.md#files). A torn record at its
//! end is cut; what cannot be read further up is left out and said aloud, since peers have it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::log::{Disk, Medium};

/// Bytes before a record: its length (4, little-endian) and a check (8).
const HEADER: u64 = 12;
/// No record is longer.
const RECORD_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    offset: u64,
    length: u32,
}

pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// The same file, for writing.
    out: Box<dyn Medium>,
    end: u64,
}

impl Journal {
    /// Opens or makes the file, and shows each record with its place.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(path: &Path, disk: &Disk, mut show: impl FnMut(&[u8], Place)) -> std::io::Result<Journal> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let size = file.metadata()?.len();
        let out = disk(file.try_clone()?);
        let mut journal = Journal { path: path.to_owned(), file, out, end: 0 };
        while let Some(length) = journal.length_at(journal.end, size)? {
            let place = Place { offset: journal.end, length };
            match journal.read(place) {
                Ok(payload) => show(&payload, place),
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    if journal.end + HEADER + u64::from(length) == size {
                        break;
                    }
                    tracing::error!(%error, "a record is left out");
                }
                Err(error) => return Err(error),
            }
            journal.end += HEADER + u64::from(length);
        }
        if journal.end < size {
            tracing::warn!(file = %path.display(), at = journal.end, bytes = size - journal.end, "the end of the file is not readable and is cut");
            journal.file.set_len(journal.end)?;
            journal.file.sync_all()?;
        }
        Ok(journal)
    }

    fn length_at(&mut self, offset: u64, size: u64) -> std::io::Result<Option<u32>> {
        if size.saturating_sub(offset) < HEADER {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(offset))?;
        let mut bytes = [0; 4];
        self.file.read_exact(&mut bytes)?;
        let length = u32::from_le_bytes(bytes);
        let fits = length <= RECORD_BYTES_MAX && offset + HEADER + u64::from(length) <= size;
        Ok(fits.then_some(length))
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`InvalidData`](std::io::ErrorKind::InvalidData) when it does not check, and those of the
    /// file system.
    pub(crate) fn read(&mut self, place: Place) -> std::io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(place.offset + 4))?;
        let mut found = [0; 8];
        self.file.read_exact(&mut found)?;
        let mut payload = vec![0; usize::try_from(place.length).unwrap_or(usize::MAX)];
        self.file.read_exact(&mut payload)?;
        if found != check(place.length, &payload) {
            let what = format!("{} is damaged at byte {}", self.path.display(), place.offset);
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
        }
        Ok(payload)
    }

    /// Appends a record. On an error nothing of it remains, or the next opening cuts it.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn append(&mut self, payload: &[u8]) -> std::io::Result<Place> {
        let length = u32::try_from(payload.len()).ok().filter(|length| *length <= RECORD_BYTES_MAX);
        let length = length.ok_or_else(|| std::io::Error::other("the record is too long"))?;
        let mut record = length.to_le_bytes().to_vec();
        record.extend_from_slice(&check(length, payload));
        record.extend_from_slice(payload);
        if let Err(error) = self.out.write_at(self.end, &record) {
            let _ = self.out.truncate(self.end);
            return Err(error);
        }
        let place = Place { offset: self.end, length };
        self.end += HEADER + u64::from(length);
        Ok(place)
    }

    /// Makes what was appended durable.
    ///
    /// # Errors
    /// Those of the file system; nothing is known of the file after one.
    pub(crate) fn sync(&mut self) -> std::io::Result<()> {
        self.out.sync()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.end
    }
}

fn check(length: u32, payload: &[u8]) -> [u8; 8] {
    let digest = Sha256::new().chain_update(length.to_le_bytes()).chain_update(payload).finalize();
    let mut out = [0; 8];
    out.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    out
}
