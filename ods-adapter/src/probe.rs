//! Whether a store takes, gives and lets go of objects.

use std::time::{Duration, Instant};

use object_store::path::Path;

use crate::secret::random;
use crate::store::{Store, StoreError};

/// Where probes lie: no asset is called so.
const FOLDER: &str = "probe";
/// Size of a probe, in bytes.
const BYTES: usize = 64 << 10;

/// How long a store took.
#[derive(Debug, Clone, Copy)]
pub struct Probed {
    /// To put an object, durably.
    pub put: Duration,
    /// To read it back.
    pub read: Duration,
}

/// Puts an object of chance bytes under a chance name, reads it back, compares it and removes it.
///
/// # Errors
/// [`StoreError`]: what the store does not do; [`StoreError::Damaged`] when it gives back something
/// else.
pub async fn probe(store: &Store) -> Result<Probed, StoreError> {
    let chance = |error: std::io::Error| StoreError::Internal(error.to_string());
    let name = Path::from(format!("{FOLDER}/{}", hex::encode(random::<16>().map_err(chance)?)));
    let content = random::<32>().map_err(chance)?.repeat(BYTES / 32);
    let begun = Instant::now();
    store.put(&name, content.clone()).await?;
    let put = begun.elapsed();
    let begun = Instant::now();
    let found = store.read(&name).await;
    let read = begun.elapsed();
    store.remove(&name).await?;
    if found? != content {
        return Err(StoreError::damaged(&name, None, "it is not what was put there a moment ago"));
    }
    Ok(Probed { put, read })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::local(dir.path()).unwrap();
        probe(&store).await.unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(store.list(&Path::from(FOLDER)).await.unwrap().is_empty());
        std::fs::remove_dir(dir.path()).unwrap();
        std::fs::write(dir.path(), b"a file where the folder was").unwrap();
        assert!(probe(&store).await.is_err());
    }
}
