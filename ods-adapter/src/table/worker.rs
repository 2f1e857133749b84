//! The processor's part of sealing: rows to sealed columns and leaves, leaves to sealed buckets.

use std::path::Path;
use std::sync::Arc;

use object_store::path::Path as ObjectPath;
use rayon::prelude::*;
use sealgate_circuits::bytes::Place;
use sealgate_circuits::place::PlaceSecret;
use sealgate_circuits::record::{RecordCommitment, RecordHasher, Salt};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::tree::{Leaf, Subtree};
use sealgate_circuits::value::{Value, ValueError};
use tokio::sync::mpsc::Sender;

use super::cells;
use super::layout::{CHUNK_ROWS, SEGMENT_ROWS, SEGMENT_VALUE_BYTES, object_path, seal_object};
use super::leaves::{
    BucketEntry, GROUP_BITS, INDEX_BUCKETS, LeafEntry, RowPlace, TAG_BYTES, Tags, bucket_bits, encode_bucket, groups,
    split_group, subtree_of,
};
use super::spill::{PARTITIONS, Spill};
use super::version::{GroupEntry, ObjectEntry, SegmentEntry};
use super::write::SealError;
use crate::cancel::Cancel;
use crate::keys::{AssetKeys, KeyError};
use crate::progress::{Phase, Progress, ProgressSink};
use crate::seal::{AttemptId, DataKey, Sealer, SegmentPlace, Stream};
use crate::secret::{NotOpened, Secret};
use crate::suite::{CipherSuite, HashAlgorithm};

/// Rows committed between two looks at whether to go on.
const BATCH_ROWS: usize = 1024;
/// Groups that are sorted and sealed in one step.
const GROUPS_AT_ONCE: u32 = 1 << (GROUP_BITS / 2 - 1);
/// Marks a segment that this attempt writes, while it is not known how many it keeps.
const WRITTEN_NOW: u32 = 1 << 31;

/// Commits to records of one asset.
pub(crate) struct Committer {
    schema: Schema,
    hasher: RecordHasher,
    place_secret: PlaceSecret,
    keys: Arc<AssetKeys>,
    key_tags: Secret,
    row_tags: Secret,
}

impl Committer {
    pub(crate) fn new(schema: &Schema, keys: &Arc<AssetKeys>) -> Self {
        let commitment_key = Secret::from_bytes(*keys.commitment_key());
        Self {
            schema: schema.clone(),
            hasher: RecordHasher::new(schema),
            place_secret: PlaceSecret::from_seed(*keys.place_seed()),
            keys: Arc::clone(keys),
            key_tags: commitment_key.derive("sealgate/ods/key-tag/1", &[]),
            row_tags: commitment_key.derive("sealgate/ods/row-tag/1", &[]),
        }
    }

    pub(crate) fn place_secret(&self) -> &PlaceSecret {
        &self.place_secret
    }

    /// The bytes of a record's key.
    pub(crate) fn key_bytes(&self, values: &[Value]) -> Result<Vec<u8>, ValueError> {
        let key: Vec<Value> = self.schema.key.iter().filter_map(|i| values.get(usize::from(*i)).cloned()).collect();
        self.schema.key_bytes(&key)
    }

    /// The salt of the record with this key, and its leaf's commitment.
    pub(crate) fn commit(
        &self,
        values: &[Value],
        key_bytes: &[u8],
        version: u32,
    ) -> Result<(Salt, RecordCommitment), ValueError> {
        let salt = Salt::derive(self.keys.commitment_key(), key_bytes, version);
        let commitment = self.hasher.commit(values, &salt)?;
        Ok((salt, commitment))
    }

    /// The leaf of a record, whose place may be known already.
    pub(crate) fn leaf(&self, values: &[Value], place: Option<Place>, version: u32) -> Result<Leaf, ValueError> {
        let key_bytes = self.key_bytes(values)?;
        let (_, commitment) = self.commit(values, &key_bytes, version)?;
        let place = place.unwrap_or_else(|| self.place_secret.place(&key_bytes));
        Ok(Leaf { place, commitment })
    }

    /// What a sync knows the record by (docs/spec/store.md#sync).
    pub(crate) fn tags(&self, values: &[Value], encoded: &[u8]) -> Result<Tags, ValueError> {
        let key_bytes = self.key_bytes(values)?;
        Ok(Tags { key: tag(&self.key_tags, &key_bytes), row: tag(&self.row_tags, encoded) })
    }
}

fn tag(key: &Secret, bytes: &[u8]) -> [u8; TAG_BYTES] {
    let hash: [u8; 32] = blake3::keyed_hash(key.expose(), bytes).into();
    *hash.first_chunk().unwrap_or(&[0; TAG_BYTES])
}

/// Objects on their way to the store, some at a time.
pub(crate) type Objects = Vec<(ObjectPath, Vec<u8>)>;

/// What every step of an attempt needs.
pub(crate) struct Attempt {
    pub(crate) keys: Arc<AssetKeys>,
    pub(crate) id: AttemptId,
    pub(crate) suite: CipherSuite,
    pub(crate) hash: HashAlgorithm,
    pub(crate) version: u32,
    pub(crate) source: String,
    pub(crate) progress: Arc<dyn ProgressSink>,
    pub(crate) cancel: Cancel,
    pub(crate) outbox: Sender<Objects>,
}

impl Attempt {
    pub(crate) fn stop_if_cancelled(&self) -> Result<(), SealError> {
        if self.cancel.is_wanted() { Err(SealError::Cancelled) } else { Ok(()) }
    }

    /// Hands objects to be put; waits while others are on their way.
    pub(crate) fn put(&self, objects: Objects) -> Result<(), SealError> {
        self.outbox.blocking_send(objects).map_err(|_| SealError::Cancelled)
    }

    pub(crate) fn place(&self, stream: Stream, segment: u32) -> SegmentPlace {
        SegmentPlace { label: self.keys.label().clone(), attempt: self.id, stream, segment }
    }

    fn sealer(&self, key: &DataKey, stream: Stream, segment: u32) -> Sealer {
        Sealer::new(self.place(stream, segment), self.suite, key.segment_key(segment))
    }

    pub(crate) fn tell(&self, phase: Phase, rows_done: u64, rows_total: Option<u64>, bytes: Option<(u64, u64)>) {
        let (bytes_done, bytes_total) = bytes.unzip();
        let bytes_done = bytes_done.unwrap_or_default();
        self.progress.report(Progress { phase, rows_done, rows_total, bytes_done, bytes_total });
    }
}

/// A record on its way into a segment of this attempt.
pub(crate) struct Pending {
    pub(crate) values: Vec<Value>,
    pub(crate) tags: Tags,
    /// The data row that it is in the source, from 1; 0 if it is from the last version.
    pub(crate) number: u64,
    pub(crate) leaf: PendingLeaf,
}

/// What is known of a record's leaf.
pub(crate) enum PendingLeaf {
    /// Nothing: the record is new.
    New,
    /// Its place: the record has changed.
    At(Place),
    /// All of it: the record is as the version with this number wrote it.
    Same(Leaf, u32),
}

/// Seals records into segments, and passes their leaves on to be sorted.
pub(crate) struct SegmentWriter {
    pub(crate) committer: Committer,
    keys: Vec<DataKey>,
    leaves: Spill,
    pending: Vec<Pending>,
    pending_bytes: usize,
    written: Vec<SegmentEntry>,
    done: u64,
}

impl SegmentWriter {
    pub(crate) fn new(committer: Committer, keys: Vec<DataKey>, spill_dir: &Path) -> Result<Self, SealError> {
        let leaves = Spill::new(spill_dir)?;
        Ok(Self { committer, keys, leaves, pending: Vec::new(), pending_bytes: 0, written: Vec::new(), done: 0 })
    }

    /// Whether any record goes into a segment of this attempt.
    pub(crate) fn writes(&self) -> bool {
        !self.pending.is_empty() || !self.written.is_empty()
    }

    /// A record whose segment stays as it is, as `position` of the segments that do.
    pub(crate) fn keep(&mut self, entry: &LeafEntry, position: u32) -> Result<(), SealError> {
        let row = RowPlace { segment: position, index: entry.row.index };
        self.sort_in(&LeafEntry { row, ..*entry })
    }

    /// A record that goes into a segment of this attempt.
    pub(crate) fn write(&mut self, attempt: &Attempt, record: Pending) -> Result<(), SealError> {
        self.pending_bytes += record.values.iter().map(value_bytes).sum::<usize>();
        self.pending.push(record);
        if self.pending.len() >= SEGMENT_ROWS || self.pending_bytes >= SEGMENT_VALUE_BYTES {
            self.flush(attempt)?;
        }
        Ok(())
    }

    /// Seals what is pending, if anything.
    pub(crate) fn flush(&mut self, attempt: &Attempt) -> Result<(), SealError> {
        let mut records = std::mem::take(&mut self.pending);
        // Changed, new and moved records lie in one order: where a record lies does not tell which it is.
        records.sort_unstable_by_key(|record| record.tags.key);
        self.pending_bytes = 0;
        if records.is_empty() {
            return Ok(());
        }
        let too_large = || SealError::TooLarge { file: attempt.source.clone() };
        let number = u32::try_from(self.written.len()).ok().filter(|n| *n < WRITTEN_NOW - 1).ok_or_else(too_large)?;
        let rows = u32::try_from(records.len()).map_err(|_| too_large())?;
        let mut index = 0;
        for batch in records.chunks(BATCH_ROWS) {
            attempt.stop_if_cancelled()?;
            let leaves: Vec<_> = batch.par_iter().map(|record| self.leaf(attempt, record)).collect();
            for (record, leaf) in batch.iter().zip(leaves) {
                let (leaf, written_version) = leaf.map_err(|source| {
                    let (file, row) = (attempt.source.clone(), record.number);
                    SealError::Row { file, row, source }
                })?;
                let row = RowPlace { segment: number | WRITTEN_NOW, index };
                self.sort_in(&LeafEntry { leaf, row, written_version, tags: record.tags })?;
                index += 1;
            }
            self.done += batch.len() as u64;
            attempt.tell(Phase::Sealing, self.done, None, None);
        }
        let objects = self.seal_columns(attempt, number, rows, &records)?;
        let columns = objects.iter().map(|(_, object)| ObjectEntry::of(attempt.hash, object)).collect();
        self.written.push(SegmentEntry { attempt: attempt.id, segment: number, rows, columns });
        attempt.put(objects)
    }

    fn leaf(&self, attempt: &Attempt, record: &Pending) -> Result<(Leaf, u32), ValueError> {
        let place = match &record.leaf {
            PendingLeaf::Same(leaf, version) => return Ok((*leaf, *version)),
            PendingLeaf::At(place) => Some(*place),
            PendingLeaf::New => None,
        };
        Ok((self.committer.leaf(&record.values, place, attempt.version)?, attempt.version))
    }

    fn sort_in(&mut self, entry: &LeafEntry) -> Result<(), SealError> {
        let partition = entry.leaf.place.0.first().copied().map_or(0, usize::from);
        Ok(self.leaves.add_leaf(partition, entry)?)
    }

    fn seal_columns(
        &self,
        attempt: &Attempt,
        segment: u32,
        rows: u32,
        records: &[Pending],
    ) -> Result<Objects, SealError> {
        let seal = |(column, key): (usize, &DataKey)| {
            let number = u8::try_from(column).map_err(|_| NotOpened)?;
            let sealer = attempt.sealer(key, Stream::Column(number), segment);
            let contents: Vec<_> = records
                .chunks(CHUNK_ROWS)
                .map(|chunk| cells::encode(chunk.iter().filter_map(|record| record.values.get(column))))
                .collect();
            seal_object(&sealer, rows, &contents).map(|(object, _)| (object_path(&sealer.place), object))
        };
        let objects: Result<Vec<_>, NotOpened> = self.keys.par_iter().enumerate().map(seal).collect();
        objects.map_err(|_| KeyError::NotOpened("a column").into())
    }

    /// What sorts all leaves of a version of so many records in which `kept` segments stay, and the
    /// segments that this attempt wrote.
    pub(crate) fn into_sorter(self, kept: usize, records: u64, key: DataKey) -> (Sorter, Vec<SegmentEntry>) {
        let (kept, bits) = (u32::try_from(kept).unwrap_or(u32::MAX), bucket_bits(records));
        let Self { leaves, written, .. } = self;
        let sorter = Sorter {
            leaves,
            kept,
            key,
            bits,
            next_group: 0,
            buckets: Vec::new(),
            groups: Vec::new(),
            records,
            done: 0,
        };
        (sorter, written)
    }
}

fn value_bytes(value: &Value) -> usize {
    let text = if let Value::Text(text) = value { text.len() } else { 0 };
    size_of::<Value>() + text
}

/// One group of buckets, sealed.
struct GroupOut {
    leaves: u32,
    path: ObjectPath,
    object: Vec<u8>,
    buckets: Vec<BucketEntry>,
}

/// Sorts leaves by place and seals them in buckets, some groups at a time.
pub(crate) struct Sorter {
    leaves: Spill,
    kept: u32,
    key: DataKey,
    bits: u8,
    next_group: u32,
    buckets: Vec<BucketEntry>,
    groups: Vec<GroupEntry>,
    records: u64,
    done: u64,
}

/// The leaves of a version, sealed.
pub(crate) struct Sorted {
    pub(crate) bucket_bits: u8,
    pub(crate) groups: Vec<GroupEntry>,
    pub(crate) index: ObjectEntry,
    pub(crate) buckets: Vec<Subtree>,
}

impl Sorter {
    /// Seals all groups, then the index.
    pub(crate) fn run(mut self, attempt: &Attempt, blinding: &LeafEntry, index: &DataKey) -> Result<Sorted, SealError> {
        let partition = blinding.leaf.place.0.first().copied().map_or(0, usize::from);
        self.leaves.add_leaf(partition, blinding)?;
        while self.next_group < groups(self.bits) {
            attempt.stop_if_cancelled()?;
            self.next_groups(attempt)?;
        }
        let contents: Vec<_> =
            self.buckets.chunks(INDEX_BUCKETS).map(|part| borsh::to_vec(part).unwrap_or_default()).collect();
        let count = u32::try_from(self.buckets.len()).unwrap_or(u32::MAX);
        let sealer = attempt.sealer(index, Stream::Index, 0);
        let (object, _) = seal_object(&sealer, count, &contents).map_err(|_| KeyError::NotOpened("the index"))?;
        let index = ObjectEntry::of(attempt.hash, &object);
        attempt.put(vec![(object_path(&sealer.place), object)])?;
        let buckets = self.buckets.iter().map(|bucket| bucket.subtree).collect();
        Ok(Sorted { bucket_bits: self.bits, groups: self.groups, index, buckets })
    }

    fn next_groups(&mut self, attempt: &Attempt) -> Result<(), SealError> {
        let all = groups(self.bits);
        let per_group = PARTITIONS / all as usize;
        let mut loaded = Vec::new();
        let until = all.min(self.next_group + GROUPS_AT_ONCE);
        for group in self.next_group..until {
            let mut entries = Vec::new();
            for partition in (group as usize * per_group..).take(per_group) {
                entries.append(&mut self.leaves.take_leaves(partition)?);
            }
            loaded.push((group, entries));
        }
        self.next_group = until;
        let sealed: Vec<GroupOut> = loaded
            .into_par_iter()
            .map(|(group, entries)| self.seal_group(attempt, group, entries))
            .collect::<Result<_, _>>()?;
        let mut objects = Vec::with_capacity(sealed.len());
        for group in sealed {
            self.buckets.extend(group.buckets);
            self.done += u64::from(group.leaves);
            self.groups.push(GroupEntry { leaves: group.leaves, object: ObjectEntry::of(attempt.hash, &group.object) });
            objects.push((group.path, group.object));
        }
        attempt.tell(Phase::Sorting, self.done.min(self.records), Some(self.records), None);
        attempt.put(objects)
    }

    fn seal_group(&self, attempt: &Attempt, group: u32, mut entries: Vec<LeafEntry>) -> Result<GroupOut, SealError> {
        let failed = || SealError::from(KeyError::NotOpened("a bucket of leaves"));
        for entry in &mut entries {
            // Segments written now come behind those that stay; the leaf of no record has none.
            if entry.row != RowPlace::NONE && entry.row.segment & WRITTEN_NOW != 0 {
                entry.row.segment = self.kept + (entry.row.segment & !WRITTEN_NOW);
            }
        }
        entries.sort_unstable_by_key(|entry| entry.leaf.place);
        if entries.array_windows::<2>().any(|[a, b]| a.leaf.place == b.leaf.place) {
            return Err(SealError::SamePlace);
        }
        let parts = split_group(&entries, group, self.bits);
        let contents: Vec<_> = parts.iter().map(|part| encode_bucket(part)).collect();
        let leaves = u32::try_from(entries.len()).map_err(|_| failed())?;
        let sealer = attempt.sealer(&self.key, Stream::Leaves, group);
        let (object, lengths) = seal_object(&sealer, leaves, &contents).map_err(|_| failed())?;
        let chunks: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        let mut offset = object.len() as u64 - chunks;
        let mut buckets = Vec::with_capacity(parts.len());
        for (part, bytes) in parts.iter().zip(lengths) {
            let leaves = u32::try_from(part.len()).map_err(|_| failed())?;
            buckets.push(BucketEntry { subtree: subtree_of(part, self.bits), leaves, offset, bytes });
            offset += u64::from(bytes);
        }
        Ok(GroupOut { leaves, path: object_path(&sealer.place), object, buckets })
    }
}
