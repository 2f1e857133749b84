//! The index on disk, in sled 0.34. Sled may panic on damaged files, and may come back with
//! less than it had; so every call is guarded, and a sum over all pairs, kept in the same batch
//! as the writes, is checked on opening. Whoever finds it wanting wipes it and replays.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::{Batch, Index, IndexError, Pair, Read};

/// Key of the sum; not part of the state.
const SUM_KEY: &[u8] = b"!sum";
/// Memory sled may use for its cache.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// How long the lock of an index that is being closed is waited for, and how often it is looked at.
const CLOSING: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// XOR over all pairs of SHA-256(key length ‖ key ‖ value): finds damage, not malice. Who can
/// write these files can write the log too.
type Sum = [u8; 32];

/// A sled tree.
#[derive(Debug)]
pub struct SledIndex {
    db: sled::Db,
}

/// Opens the folder as soon as it is let go of: sled's threads keep its lock for a moment after an index
/// was closed, and one that is rebuilt for that alone would be work for nothing.
fn unlocked(folder: &Path) -> sled::Result<sled::Db> {
    let began = Instant::now();
    loop {
        match sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock") && began.elapsed() < CLOSING =>
            {
                std::thread::sleep(PAUSE);
            }
            opened => return opened,
        }
    }
}

impl SledIndex {
    /// Opens the folder, or makes it, and checks every pair against the sum.
    ///
    /// # Errors
    /// [`IndexError::Storage`] when sled fails or panics, or the content is not what was written:
    /// then the folder is to be removed and the index rebuilt.
    pub fn open(folder: &Path) -> Result<SledIndex, IndexError> {
        let index = guarded(|| unlocked(folder)).map(|db| SledIndex { db })?;
        let (mut sum, mut stored) = ([0u8; 32], None);
        guarded(|| {
            for pair in index.db.iter() {
                let (key, value) = pair?;
                if key.as_ref() == SUM_KEY {
                    stored = Some(value.to_vec());
                } else {
                    add(&mut sum, &key, &value);
                }
            }
            Ok(())
        })?;
        if stored.unwrap_or_else(|| vec![0; 32]) != sum {
            return Err(IndexError::Storage("its content is not what was written to it".into()));
        }
        Ok(index)
    }

    /// Writes all pairs as one batch, each key once; none is visible without the others.
    ///
    /// # Errors
    /// [`IndexError::Storage`].
    pub(super) fn write_all<'a>(
        &self,
        pairs: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), IndexError> {
        guarded(|| {
            let mut writes = sled::Batch::default();
            let mut sum = [0u8; 32];
            if let Some(stored) = self.db.get(SUM_KEY)? {
                sum.iter_mut().zip(stored.iter()).for_each(|(to, from)| *to = *from);
            }
            for (key, value) in pairs {
                if let Some(old) = self.db.get(key)? {
                    add(&mut sum, key, &old);
                }
                match value {
                    Some(value) => {
                        add(&mut sum, key, value);
                        writes.insert(key, value);
                    }
                    None => writes.remove(key),
                }
            }
            writes.insert(SUM_KEY, &sum);
            self.db.apply_batch(writes)
        })
    }

    /// Calls with every key that begins with `prefix`.
    ///
    /// # Errors
    /// [`IndexError::Storage`].
    pub(super) fn each_key(&self, prefix: &[u8], mut call: impl FnMut(&[u8])) -> Result<(), IndexError> {
        guarded(|| self.db.scan_prefix(prefix).keys().try_for_each(|key| key.map(|key| call(&key))))
    }

    /// Waits until everything is on disk.
    ///
    /// # Errors
    /// [`IndexError::Storage`].
    pub fn flush(&self) -> Result<(), IndexError> {
        guarded(|| self.db.flush()).map(|_| ())
    }
}

impl Read for SledIndex {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        guarded(|| self.db.get(key)).map(|value| value.map(|bytes| bytes.to_vec()))
    }
}

impl Index for SledIndex {
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        guarded(|| {
            let mut found = Vec::new();
            for pair in self.db.range::<&[u8], _>((start, Bound::Unbounded)) {
                let (key, value) = pair?;
                if found.len() >= limit || !key.starts_with(prefix) {
                    break;
                }
                if key.as_ref() != SUM_KEY {
                    found.push((key.to_vec(), value.to_vec()));
                }
            }
            Ok(found)
        })
    }

    fn apply(&self, batch: &Batch) -> Result<(), IndexError> {
        let pairs: Vec<_> = batch.all().collect();
        self.write_all(pairs.iter().map(|(key, value)| (key.as_slice(), value.as_deref())))
    }
}

/// Adds a pair to the sum, or takes it away: the same.
fn add(sum: &mut Sum, key: &[u8], value: &[u8]) {
    let digest = Sha256::new().chain_update((key.len() as u64).to_le_bytes()).chain_update(key).chain_update(value);
    sum.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to ^= from);
}

/// Runs a call of sled; a panic becomes an error.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(IndexError::Storage(error.to_string())),
        Err(_) => Err(IndexError::Storage("sled panicked on its files".into())),
    }
}
