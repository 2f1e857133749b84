//! An index on disk behind a layer in memory: what is applied is seen at once, and a thread of
//! its own brings it to the disk, many blocks in one batch. The block log is durable before
//! anything comes here, so what a crash loses of it is replayed.

use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use super::filter::Filter;
use super::{Batch, Index, IndexError, Pair, Read, SledIndex};
use crate::state::keys;

/// So many bytes wait in memory at most (twice: those that are being brought to the disk, too);
/// who applies more waits.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a pair costs beside its bytes, about.
const PAIR_BYTES: usize = 96;
/// Fewest pairs read from the disk at a time.
const PAGE: usize = 64;
/// How many pairs that were read from the disk are kept.
const KEPT_MAX: usize = 16 * 1024;
/// Most bytes of a value that is kept.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// Writes that the disk has not.
type Layer = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A [`SledIndex`] that trails what has been applied.
#[derive(Debug)]
pub struct TrailingIndex {
    shared: Arc<Shared>,
    applier: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    disk: SledIndex,
    layers: RwLock<Layers>,
    work: Mutex<Work>,
    /// Told when there is work, and when some is done.
    changed: Condvar,
}

/// What memory knows, the newest first.
#[derive(Debug, Default)]
struct Layers {
    waiting: Layer,
    applying: Arc<Layer>,
    /// How often something has reached the disk.
    arrivals: u64,
    /// All receipts there are: nearly every transaction that is looked up is new.
    receipts: Filter,
    /// What was read from the disk, as it is there now; the layers come before it.
    kept: RwLock<HashMap<Vec<u8>, Option<Vec<u8>>>>,
}

#[derive(Debug, Default)]
struct Work {
    waiting_bytes: usize,
    applying: bool,
    closing: bool,
    failure: Option<IndexError>,
}

impl TrailingIndex {
    /// Puts the layer in front of `disk`.
    ///
    /// # Errors
    /// [`IndexError::Storage`] when there is no thread to be had.
    pub fn over(disk: SledIndex) -> Result<TrailingIndex, IndexError> {
        let layers = RwLock::new(Layers { receipts: receipts(&disk)?, ..Layers::default() });
        let shared = Arc::new(Shared { disk, layers, work: Mutex::default(), changed: Condvar::new() });
        let applied = shared.clone();
        let applier = std::thread::Builder::new()
            .name("sealgate-index".into())
            .spawn(move || applied.run())
            .map_err(|error| IndexError::Storage(format!("no thread for it: {error}")))?;
        Ok(TrailingIndex { shared, applier: Some(applier) })
    }

    /// Waits until the disk has everything, and everything is durable there.
    ///
    /// # Errors
    /// [`IndexError::Storage`]; then the index is to be rebuilt.
    pub fn flush(&self) -> Result<(), IndexError> {
        let mut work = self.shared.work();
        while work.failure.is_none() && (work.applying || work.waiting_bytes > 0) {
            work = self.shared.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        work.check()?;
        drop(work);
        self.shared.disk.flush()
    }
}

impl Drop for TrailingIndex {
    fn drop(&mut self) {
        self.shared.work().closing = true;
        self.shared.changed.notify_all();
        if let Some(applier) = self.applier.take()
            && applier.join().is_err()
        {
            tracing::error!("the index's thread had panicked");
        }
    }
}

impl Shared {
    fn work(&self) -> std::sync::MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn layers(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn layers_mut(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings to the disk what waits, until there is nothing and the index is closed.
    fn run(&self) {
        while self.await_work() {
            let layer = {
                let mut layers = self.layers_mut();
                layers.applying = Arc::new(std::mem::take(&mut layers.waiting));
                layers.applying.clone()
            };
            let applied = self.disk.write_all(layer.iter().map(|(key, value)| (key.as_slice(), value.as_deref())));
            if applied.is_ok() {
                self.layers_mut().arrived();
            }
            let mut work = self.work();
            work.applying = false;
            work.failure = applied.err();
            drop(work);
            self.changed.notify_all();
        }
    }

    /// Waits for work and takes it on; false when there will be none.
    fn await_work(&self) -> bool {
        let mut work = self.work();
        while work.waiting_bytes == 0 && !work.closing {
            work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        if work.waiting_bytes == 0 || work.failure.is_some() {
            return false;
        }
        work.waiting_bytes = 0;
        work.applying = true;
        drop(work);
        self.changed.notify_all();
        true
    }
}

impl Layers {
    /// What the layers, or what was kept, say of a key.
    fn look(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        if let Some(value) = self.waiting.get(key).or_else(|| self.applying.get(key)) {
            return Some(value.clone());
        }
        if key.strip_prefix(keys::RECEIPTS).is_some_and(|hash| !self.receipts.may_have(hash)) {
            return Some(None);
        }
        self.kept.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Keeps what was read from the disk, unless the disk has changed since.
    fn keep(&self, key: &[u8], value: Option<&[u8]>, arrivals: u64) {
        if self.arrivals != arrivals || value.is_some_and(|value| value.len() > KEPT_BYTES_MAX) {
            return;
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key.to_vec(), value.map(<[u8]>::to_vec));
    }

    /// Takes writes in.
    fn take(&mut self, pairs: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        pairs.iter().filter_map(|(key, _)| key.strip_prefix(keys::RECEIPTS)).for_each(|hash| self.receipts.add(hash));
        self.waiting.extend(pairs);
    }

    /// What was being brought to the disk is there.
    fn arrived(&mut self) {
        let layer = std::mem::take(&mut self.applying);
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in layer.iter() {
            if let Some(old) = kept.get_mut(key) {
                old.clone_from(value);
            }
        }
        self.arrivals += 1;
    }
}

/// The filter of the receipts on the disk.
fn receipts(disk: &SledIndex) -> Result<Filter, IndexError> {
    let mut filter = Filter::default();
    disk.each_key(keys::RECEIPTS, |key| filter.add(key.strip_prefix(keys::RECEIPTS).unwrap_or_default()))?;
    Ok(filter)
}

impl Work {
    fn check(&self) -> Result<(), IndexError> {
        self.failure.clone().map_or(Ok(()), Err)
    }
}

impl Read for TrailingIndex {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let arrivals = {
            let layers = self.shared.layers();
            if let Some(found) = layers.look(key) {
                return Ok(found);
            }
            layers.arrivals
        };
        let value = self.shared.disk.read(key)?;
        self.shared.layers().keep(key, value.as_deref(), arrivals);
        Ok(value)
    }
}

impl Index for TrailingIndex {
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, IndexError> {
        // The layers stay while the disk is read, so that nothing is seen in neither.
        let layers = self.shared.layers();
        let mut found = Vec::new();
        let mut after = after.filter(|after| *after >= prefix).map(<[u8]>::to_vec);
        loop {
            let start = after.as_deref().map_or(Bound::Included(prefix), Bound::Excluded);
            let page = (limit - found.len()).max(PAGE);
            let disk = self.shared.disk.scan(prefix, after.as_deref(), page)?;
            // Past the page's end the disk may have more, which is not known yet.
            let end = disk.last().filter(|_| disk.len() >= page).map(|(key, _)| key.clone());
            let below = disk.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())));
            let merged = Newest::of(part(&layers.waiting, prefix, start), part(&layers.applying, prefix, start));
            for (key, value) in Newest::of(merged, below) {
                if found.len() >= limit || end.as_deref().is_some_and(|end| key > end) {
                    break;
                }
                found.extend(value.map(|value| (key.to_vec(), value.to_vec())));
            }
            if end.is_none() || found.len() >= limit {
                return Ok(found);
            }
            after = end;
        }
    }

    fn apply(&self, batch: &Batch) -> Result<(), IndexError> {
        let pairs: Vec<_> = batch.all().collect();
        let size =
            |(key, value): &(Vec<u8>, Option<Vec<u8>>)| PAIR_BYTES + key.len() + value.as_ref().map_or(0, Vec::len);
        let bytes = pairs.iter().map(size).sum::<usize>();
        let mut work = self.shared.work();
        while work.failure.is_none() && work.waiting_bytes > WAITING_BYTES_MAX {
            work = self.shared.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        work.check()?;
        self.shared.layers_mut().take(pairs);
        work.waiting_bytes += bytes;
        drop(work);
        self.shared.changed.notify_all();
        Ok(())
    }
}

/// A key and its value, or that it is removed.
type Seen<'a> = (&'a [u8], Option<&'a [u8]>);

fn part<'a>(layer: &'a Layer, prefix: &'a [u8], start: Bound<&[u8]>) -> impl Iterator<Item = Seen<'a>> + use<'a> {
    let pairs = layer.range::<[u8], _>((start, Bound::Unbounded));
    pairs.take_while(move |(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.as_slice(), value.as_deref()))
}

/// Two ascending sequences as one; where both have a key, the newer's counts.
struct Newest<A: Iterator, B: Iterator> {
    newer: Peekable<A>,
    older: Peekable<B>,
}

impl<'a, A: Iterator<Item = Seen<'a>>, B: Iterator<Item = Seen<'a>>> Newest<A, B> {
    fn of(newer: A, older: B) -> Newest<A, B> {
        Newest { newer: newer.peekable(), older: older.peekable() }
    }
}

impl<'a, A: Iterator<Item = Seen<'a>>, B: Iterator<Item = Seen<'a>>> Iterator for Newest<A, B> {
    type Item = Seen<'a>;

    fn next(&mut self) -> Option<Seen<'a>> {
        let Some((newer, _)) = self.newer.peek() else { return self.older.next() };
        match self.older.peek() {
            Some((older, _)) if older < newer => self.older.next(),
            Some((older, _)) if older == newer => {
                self.older.next();
                self.newer.next()
            }
            _ => self.newer.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::{HEAD_KEY, MemoryIndex, load};
    use crate::testing::genesis;

    fn batch(writes: Layer) -> Batch {
        Batch { head: genesis().0.header(), writes }
    }

    fn open() -> (tempfile::TempDir, TrailingIndex) {
        let folder = tempfile::tempdir().unwrap();
        let index = TrailingIndex::over(SledIndex::open(folder.path()).unwrap()).unwrap();
        (folder, index)
    }

    #[test]
    fn what_is_applied_is_seen_and_reaches_the_disk() {
        let (folder, index) = open();
        for i in 0u32..200 {
            let key = |i: u32| i.to_be_bytes().to_vec();
            let writes = [(key(i), Some(key(i))), (key(i.wrapping_sub(100)), None)].into_iter().collect();
            index.apply(&batch(writes)).unwrap();
            assert_eq!(index.read(&key(i)).unwrap(), Some(key(i)));
            assert_eq!(index.read(&key(i.wrapping_sub(100))).unwrap(), None);
            assert_eq!(index.scan(&[0], None, 1_000).unwrap().len(), 100.min(i as usize + 1));
        }
        assert!(load::<crate::block::Header, _>(&index, HEAD_KEY).unwrap().is_some());
        let all = index.scan(&[], None, 1_000).unwrap();
        index.flush().unwrap();
        assert_eq!(index.shared.disk.scan(&[], None, 1_000).unwrap(), all);
        drop(index);
        assert_eq!(SledIndex::open(folder.path()).unwrap().scan(&[], None, 1_000).unwrap(), all);
    }

    #[test]
    fn what_is_kept_is_never_old() {
        let (folder, index) = open();
        let memory = MemoryIndex::default();
        // Keys of receipts among them, which the filter answers for.
        let keys: Vec<Vec<u8>> = (0u8..40).map(|i| [[b"a", b"t"][usize::from(i % 2)], &[i; 32][..]].concat()).collect();
        let mut index = Some(index);
        for round in 0u32..2_000 {
            if round % 700 == 0 {
                drop(index.take());
                index = Some(TrailingIndex::over(SledIndex::open(folder.path()).unwrap()).unwrap());
            }
            let index = index.as_ref().unwrap();
            let number = round.wrapping_mul(2_654_435_761) >> 7;
            let key = &keys[number as usize % keys.len()];
            let value = (number % 5 != 0).then(|| round.to_be_bytes().to_vec());
            for index in [index as &dyn Index, &memory] {
                index.apply(&batch([(key.clone(), value.clone())].into_iter().collect())).unwrap();
            }
            if round % 300 == 0 {
                index.flush().unwrap();
            }
            for key in keys.iter().skip(number as usize % 7).step_by(7) {
                assert_eq!(index.read(key).unwrap(), memory.read(key).unwrap());
            }
        }
    }

    #[test]
    fn closing_waits_for_what_was_applied() {
        let (folder, index) = open();
        let value = vec![7; 100_000];
        for i in 0u32..100 {
            index.apply(&batch([(i.to_be_bytes().to_vec(), Some(value.clone()))].into_iter().collect())).unwrap();
        }
        drop(index);
        assert_eq!(SledIndex::open(folder.path()).unwrap().scan(&[0], None, 1_000).unwrap().len(), 100);
    }

    #[test]
    fn who_applies_more_than_may_wait_waits() {
        let (_folder, index) = open();
        let value = vec![7; WAITING_BYTES_MAX / 4];
        for i in 0u32..12 {
            index.apply(&batch([(i.to_be_bytes().to_vec(), Some(value.clone()))].into_iter().collect())).unwrap();
            assert!(index.shared.work().waiting_bytes <= 2 * WAITING_BYTES_MAX);
        }
        index.flush().unwrap();
        assert_eq!(index.shared.disk.scan(&[0], None, 1_000).unwrap().len(), 12);
    }

    #[test]
    fn after_a_failure_nothing_is_taken() {
        let (_folder, index) = open();
        let failure = IndexError::Storage("full".into());
        index.shared.work().failure = Some(failure.clone());
        assert_eq!(index.apply(&batch(Layer::new())), Err(failure.clone()));
        assert_eq!(index.flush(), Err(failure));
    }

    fn any_layer() -> impl Strategy<Value = Layer> {
        prop::collection::btree_map(
            prop::collection::vec(0u8..3, 0..4),
            prop::option::of(prop::collection::vec(any::<u8>(), 0..2)),
            0..20,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn three_layers_read_like_one_map(
            layers in prop::collection::vec(any_layer(), 3),
            prefix in prop::collection::vec(0u8..3, 0..2),
            after in prop::option::of(prop::collection::vec(0u8..3, 0..3)),
            limit in 0usize..12,
        ) {
            let (_folder, index) = open();
            let memory = MemoryIndex::default();
            layers.iter().for_each(|layer| memory.apply(&batch(layer.clone())).unwrap());
            let pairs = |layer: &Layer| layer.clone().into_iter().filter(|(key, _)| key != HEAD_KEY).collect::<Layer>();
            let disk = pairs(&layers[0]);
            index.shared.disk.write_all(disk.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))).unwrap();
            index.shared.disk.write_all([(HEAD_KEY, memory.read(HEAD_KEY).unwrap().as_deref())].into_iter()).unwrap();
            let (applying, waiting) = (Arc::new(pairs(&layers[1])), pairs(&layers[2]));
            *index.shared.layers_mut() = Layers { applying, waiting, ..Layers::default() };
            let after = after.as_deref();
            prop_assert_eq!(index.scan(&prefix, after, limit).unwrap(), memory.scan(&prefix, after, limit).unwrap());
            for key in layers.iter().flat_map(Layer::keys) {
                prop_assert_eq!(index.read(key).unwrap(), memory.read(key).unwrap());
            }
        }
    }
}
