//! Versions that are kept open, so that not every answer reads a manifest and an index.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealgate_ledger::ids::AssetId;
use sealgate_ods::FileState;
use tokio::sync::OnceCell;

/// How long a key that was changed stays in memory, at most.
const LOOKED_AFTER: Duration = Duration::from_secs(5);

/// Open versions by asset and number.
type Versions<T> = HashMap<(AssetId, u32), Arc<Slot<T>>>;

/// Versions that are open. While one is being opened the others are given out all the same, and those who
/// want the same one wait for it together.
pub(crate) struct Opened<T> {
    versions: Mutex<Versions<T>>,
    most: usize,
}

struct Slot<T> {
    /// Where the asset's keys are, and what that file was when they were read: under other keys the version
    /// is opened anew, and the old ones are forgotten.
    keys: (PathBuf, Option<FileState>),
    version: OnceCell<Arc<T>>,
}

impl<T> Opened<T> {
    /// Keeps so many, then begins anew.
    pub(crate) fn new(most: usize) -> Self {
        Self { versions: Mutex::default(), most }
    }

    /// A version of an asset whose keys are in the file `keys`, opened by `open` if it is not yet.
    ///
    /// # Errors
    /// What `open` fails with; the next call tries again.
    pub(crate) async fn get<E>(
        &self,
        version: (AssetId, u32),
        keys: PathBuf,
        open: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let slot = self.slot(version, keys);
        let opened = slot.version.get_or_try_init(async || open().await.map(Arc::new)).await;
        opened.map(Arc::clone)
    }

    fn slot(&self, version: (AssetId, u32), keys: PathBuf) -> Arc<Slot<T>> {
        let state = state_of(&keys);
        let mut versions = self.versions();
        if let Some(slot) = versions.get(&version).filter(|slot| slot.keys.1 == state) {
            return Arc::clone(slot);
        }
        if versions.len() >= self.most {
            versions.clear();
        }
        let slot = Arc::new(Slot { keys: (keys, state), version: OnceCell::new() });
        versions.insert(version, Arc::clone(&slot));
        slot
    }

    /// Lets go of what was opened with keys that have been changed or destroyed since.
    pub(crate) fn forget_changed(&self) {
        self.versions().retain(|_, slot| state_of(&slot.keys.0) == slot.keys.1);
    }

    fn versions(&self) -> MutexGuard<'_, Versions<T>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls `forget` every few seconds, as long as it is awaited: keys are changed by another process.
pub(crate) async fn look_after(forget: impl Fn()) {
    loop {
        tokio::time::sleep(LOOKED_AFTER).await;
        forget();
    }
}

fn state_of(keys: &PathBuf) -> Option<FileState> {
    std::fs::metadata(keys).ok().map(|meta| FileState::from_metadata(&meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: (AssetId, u32) = (AssetId([1; 32]), 1);

    async fn get(opened: &Opened<&'static str>, keys: &std::path::Path, value: &'static str) -> &'static str {
        *opened.get(VERSION, keys.to_owned(), async || Ok::<_, ()>(value)).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_opened_with_other_keys_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        std::fs::write(&keys, "old").unwrap();
        let opened = Opened::new(4);
        assert_eq!(get(&opened, &keys, "first").await, "first");
        assert_eq!(get(&opened, &keys, "again").await, "first");
        opened.forget_changed();
        assert_eq!(get(&opened, &keys, "again").await, "first");
        let weak = Arc::downgrade(opened.versions().get(&VERSION).unwrap());
        std::fs::write(&keys, "newer").unwrap();
        opened.forget_changed();
        assert!(weak.upgrade().is_none());
        assert_eq!(get(&opened, &keys, "second").await, "second");
        // Also where nobody has looked after it in between.
        std::fs::remove_file(&keys).unwrap();
        assert_eq!(get(&opened, &keys, "third").await, "third");
    }

    #[tokio::test]
    async fn a_version_that_takes_long_to_open_holds_up_no_other() {
        let (opened, keys) = (Opened::new(4), PathBuf::from("/nowhere"));
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let slow = opened.get(VERSION, keys.clone(), async || {
            wait.await.unwrap();
            Ok::<_, ()>(1)
        });
        let other = async {
            let other = opened.get((AssetId([2; 32]), 1), keys.clone(), async || Ok::<_, ()>(2)).await.unwrap();
            go.send(()).unwrap();
            other
        };
        let (slow, other) = futures::join!(slow, other);
        assert_eq!((*slow.unwrap(), *other), (1, 2));
        // What failed is tried again.
        let third = (AssetId([3; 32]), 1);
        assert_eq!(opened.get(third, keys.clone(), async || Err::<i32, _>("no")).await, Err("no"));
        assert_eq!(opened.get(third, keys, async || Ok::<_, &str>(3)).await.as_deref(), Ok(&3));
    }
}
