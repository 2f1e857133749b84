//! The index in memory: what replay and audit build.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use super::{Batch, Index, IndexError, Pair, Read};

/// A sorted map behind a lock.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    map: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Read for MemoryIndex {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.map.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }
}

impl Index for MemoryIndex {
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        Ok(map
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn apply(&self, batch: &Batch) -> Result<(), IndexError> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch.all() {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }
}
