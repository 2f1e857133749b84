//! The batches that this node has voted for, durable before the vote
//! (docs/spec/network.md#what-is-durable-when).

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{Batch, digest_of};
use super::journal::{Journal, Place};
use crate::ids::{BlockHeight, Digest};
use crate::log::{Disk, sync_folder};

/// A segment that has grown to this many bytes is followed by another.
const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;
/// Batches of so many executed blocks are kept for peers that are a little behind.
const KEPT_BLOCKS: u64 = 256;

/// What a child must know of its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) height: BlockHeight,
    pub(crate) epoch: u64,
    pub(crate) time_ms: u64,
    pub(crate) parent: Digest,
}

impl Meta {
    pub(crate) fn of(batch: &Batch) -> Meta {
        Meta { height: batch.height, epoch: batch.epoch, time_ms: batch.time_ms, parent: batch.parent }
    }
}

struct Stored {
    meta: Meta,
    segment: u64,
    place: Place,
    /// Present until the batch is executed.
    batch: Option<Arc<Batch>>,
}

struct Segment {
    journal: Journal,
    highest: BlockHeight,
}

pub(crate) struct BatchStore {
    dir: PathBuf,
    disk: Disk,
    segments: BTreeMap<u64, Segment>,
    batches: HashMap<Digest, Stored>,
    /// A sync failed: nothing is known of what the disk holds.
    broken: bool,
}

impl BatchStore {
    /// Opens the batches in the folder `dir`, which is made if it is missing.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(dir: &Path, disk: Disk) -> std::io::Result<BatchStore> {
        std::fs::create_dir_all(dir)?;
        let mut store =
            BatchStore { dir: dir.to_owned(), disk, segments: BTreeMap::new(), batches: HashMap::new(), broken: false };
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let name = entry?.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_suffix(".batches")).and_then(|n| n.parse::<u64>().ok());
            numbers.extend(number);
        }
        for number in numbers {
            store.open_segment(number)?;
        }
        Ok(store)
    }

    fn open_segment(&mut self, number: u64) -> std::io::Result<()> {
        let (batches, mut highest) = (&mut self.batches, BlockHeight(0));
        let journal =
            Journal::open(
                &self.dir.join(format!("{number}.batches")),
                &self.disk,
                |bytes, place| match Batch::decode(bytes) {
                    Ok(batch) => {
                        highest = highest.max(batch.height);
                        let meta = Meta::of(&batch);
                        batches.insert(digest_of(bytes), Stored { meta, segment: number, place, batch: None });
                    }
                    Err(error) => tracing::warn!(%error, "a stored batch cannot be read"),
                },
            )?;
        self.segments.insert(number, Segment { journal, highest });
        Ok(())
    }

    /// Whether writing failed in such a way that the node must not go on.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(crate) fn meta(&self, digest: &Digest) -> Option<Meta> {
        self.batches.get(digest).map(|stored| stored.meta)
    }

    /// The batch, from memory or from the disk.
    ///
    /// # Errors
    /// Those of the file system, and damage.
    pub(crate) fn batch(&mut self, digest: &Digest) -> std::io::Result<Option<Arc<Batch>>> {
        if let Some(batch) = self.batches.get(digest).and_then(|stored| stored.batch.clone()) {
            return Ok(Some(batch));
        }
        let Some(bytes) = self.bytes(digest)? else { return Ok(None) };
        let batch = Arc::new(Batch::decode(&bytes).map_err(std::io::Error::other)?);
        if let Some(stored) = self.batches.get_mut(digest) {
            stored.batch = Some(batch.clone());
        }
        Ok(Some(batch))
    }

    /// The batch, encoded.
    ///
    /// # Errors
    /// Those of the file system, and damage.
    pub(crate) fn bytes(&mut self, digest: &Digest) -> std::io::Result<Option<Vec<u8>>> {
        let Some(stored) = self.batches.get(digest) else { return Ok(None) };
        let Some(segment) = self.segments.get_mut(&stored.segment) else { return Ok(None) };
        segment.journal.read(stored.place).map(Some)
    }

    /// Stores a batch; durable when this returns.
    ///
    /// # Errors
    /// Those of the file system; the batch must not be voted for.
    pub(crate) fn put(&mut self, batch: Arc<Batch>, bytes: &[u8]) -> std::io::Result<Digest> {
        let digest = digest_of(bytes);
        if self.batches.contains_key(&digest) {
            return Ok(digest);
        }
        let last = self.segments.last_key_value().map(|(number, segment)| (*number, segment.journal.bytes()));
        let number = match last {
            Some((number, bytes)) if bytes < SEGMENT_BYTES => number,
            other => {
                let number = other.map_or(0, |(number, _)| number + 1);
                self.open_segment(number)?;
                sync_folder(&self.dir).map_err(std::io::Error::other)?;
                number
            }
        };
        let segment = self.segments.get_mut(&number).ok_or_else(|| std::io::Error::other("no segment"))?;
        let place = segment.journal.append(bytes)?;
        segment.journal.sync().inspect_err(|_| self.broken = true)?;
        segment.highest = segment.highest.max(batch.height);
        let stored = Stored { meta: Meta::of(&batch), segment: number, place, batch: Some(batch) };
        self.batches.insert(digest, stored);
        Ok(digest)
    }

    /// Everything up to `height` has been executed: frees memory, and removes old segments.
    pub(crate) fn executed(&mut self, height: BlockHeight) {
        self.batches.values_mut().filter(|stored| stored.meta.height <= height).for_each(|stored| stored.batch = None);
        let newest = self.segments.last_key_value().map(|(number, _)| *number);
        let old: Vec<u64> = self
            .segments
            .iter()
            .filter(|(number, segment)| {
                Some(**number) != newest && segment.highest.0.saturating_add(KEPT_BLOCKS) < height.0
            })
            .map(|(number, _)| *number)
            .collect();
        for number in old {
            self.segments.remove(&number);
            self.batches.retain(|_, stored| stored.segment != number);
            if let Err(error) = std::fs::remove_file(self.dir.join(format!("{number}.batches"))) {
                tracing::warn!(%error, "old batches could not be removed");
            }
        }
    }
}
