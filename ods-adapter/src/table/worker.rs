//! The processor's part of sealing: rows to sealed columns and leaves, leaves to sealed buckets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use sealgate_circuits::place::PlaceSecret;
use sealgate_circuits::record::{RecordHasher, Salt};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::tree::{Leaf, Subtree};
use sealgate_circuits::value::{Value, ValueError};

use super::cells;
use super::layout::{CHUNK_ROWS, SEGMENT_ROWS, SEGMENT_VALUE_BYTES, seal_object};
use super::leaves::{
    BucketEntry, INDEX_BUCKETS, LeafEntry, RowPlace, bucket_bits, encode_bucket, groups, split_group, subtree_of,
};
use super::spill::{PARTITIONS, Spill};
use super::write::{GROUPS_AT_ONCE, SealError};
use crate::keys::{AssetKeys, KeyError};
use crate::progress::{Phase, Progress, ProgressSink};
use crate::seal::Sealer;
use crate::secret::NotOpened;
use crate::source::Source;
use crate::store::StoreError;

/// Rows committed between two reports of progress.
const BATCH_ROWS: usize = 1024;

/// One segment, sealed: an object a column.
pub(crate) struct SegmentOut {
    pub(crate) rows: u32,
    pub(crate) objects: Vec<Vec<u8>>,
}

/// Commits to records of one asset.
pub(crate) struct Committer {
    schema: Schema,
    hasher: RecordHasher,
    place_secret: PlaceSecret,
    keys: Arc<AssetKeys>,
}

impl Committer {
    pub(crate) fn new(schema: &Schema, keys: &Arc<AssetKeys>) -> Self {
        Self {
            schema: schema.clone(),
            hasher: RecordHasher::new(schema),
            place_secret: PlaceSecret::from_seed(*keys.place_seed()),
            keys: Arc::clone(keys),
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
    ) -> Result<(Salt, sealgate_circuits::record::RecordCommitment), ValueError> {
        let salt = Salt::derive(self.keys.commitment_key(), key_bytes, version);
        let commitment = self.hasher.commit(values, &salt)?;
        Ok((salt, commitment))
    }

    /// The leaf of a record.
    pub(crate) fn leaf(&self, values: &[Value], version: u32) -> Result<Leaf, ValueError> {
        let key_bytes = self.key_bytes(values)?;
        let (_, commitment) = self.commit(values, &key_bytes, version)?;
        Ok(Leaf { place: self.place_secret.place(&key_bytes), commitment })
    }
}

/// Reads, commits and seals rows, a segment at a time.
pub(crate) struct RowWorker {
    source: Box<dyn Source>,
    committer: Committer,
    columns: Arc<Vec<Sealer>>,
    spill: Spill,
    version: u32,
    rows: u64,
    segments: u32,
    progress: Arc<dyn ProgressSink>,
    cancel: Arc<AtomicBool>,
}

impl RowWorker {
    #[expect(clippy::too_many_arguments, reason = "called once, with what a request holds")]
    pub(crate) fn new(
        source: Box<dyn Source>,
        schema: &Schema,
        keys: &Arc<AssetKeys>,
        columns: Arc<Vec<Sealer>>,
        spill_dir: &Path,
        version: u32,
        progress: Arc<dyn ProgressSink>,
        cancel: Arc<AtomicBool>,
    ) -> Result<Self, SealError> {
        let (committer, spill) = (Committer::new(schema, keys), Spill::new(spill_dir)?);
        Ok(Self { source, committer, columns, spill, version, rows: 0, segments: 0, progress, cancel })
    }

    /// Rows read so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The next segment; `None` when the source is at its end.
    pub(crate) fn next_segment(&mut self) -> Result<Option<SegmentOut>, SealError> {
        let rows = self.read_rows()?;
        if rows.is_empty() {
            return Ok(None);
        }
        self.commit_rows(&rows)?;
        let objects = self.seal_columns(&rows)?;
        let too_large = || SealError::TooLarge { file: self.source.name() };
        self.segments = self.segments.checked_add(1).ok_or_else(too_large)?;
        Ok(Some(SegmentOut { rows: u32::try_from(rows.len()).map_err(|_| too_large())?, objects }))
    }

    fn read_rows(&mut self) -> Result<Vec<Vec<Value>>, SealError> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < SEGMENT_ROWS && bytes < SEGMENT_VALUE_BYTES {
            let Some(row) = self.source.next()? else { break };
            bytes += row.values.iter().map(value_bytes).sum::<usize>();
            rows.push(row.values);
            if rows.len() % BATCH_ROWS == 0 {
                stop_if(&self.cancel)?;
            }
        }
        Ok(rows)
    }

    fn commit_rows(&mut self, rows: &[Vec<Value>]) -> Result<(), SealError> {
        let mut index = 0u32;
        for batch in rows.chunks(BATCH_ROWS) {
            stop_if(&self.cancel)?;
            let leaves: Vec<_> = batch.par_iter().map(|values| self.committer.leaf(values, self.version)).collect();
            for leaf in leaves {
                self.rows += 1;
                let leaf =
                    leaf.map_err(|source| SealError::Row { file: self.source.name(), row: self.rows, source })?;
                let row = RowPlace { segment: self.segments, index };
                let partition = leaf.place.0.first().copied().map_or(0, usize::from);
                self.spill.add(partition, &LeafEntry { leaf, row, written_version: self.version })?;
                index += 1;
            }
            let (bytes_done, bytes_total) = self.source.size_hint().unzip();
            self.progress.report(Progress {
                phase: Phase::Sealing,
                rows_done: self.rows,
                rows_total: None,
                bytes_done: bytes_done.unwrap_or_default(),
                bytes_total,
            });
        }
        Ok(())
    }

    fn seal_columns(&self, rows: &[Vec<Value>]) -> Result<Vec<Vec<u8>>, SealError> {
        let (count, segment) = (u32::try_from(rows.len()).unwrap_or(u32::MAX), self.segments);
        let seal = |(column, sealer): (usize, &Sealer)| {
            let contents: Vec<_> = rows.chunks(CHUNK_ROWS).map(|chunk| cells::encode(chunk, column)).collect();
            seal_object(sealer, segment, count, &contents).map(|(object, _)| object)
        };
        let objects: Result<Vec<_>, NotOpened> = self.columns.par_iter().enumerate().map(seal).collect();
        objects.map_err(|_| KeyError::NotOpened("a column").into())
    }

    /// What sorts the leaves of all rows read.
    pub(crate) fn into_sorter(self, sealer: Sealer) -> Sorter {
        let bits = bucket_bits(self.rows);
        let Self { spill, rows, progress, cancel, .. } = self;
        Sorter { spill, sealer, bits, next_group: 0, buckets: Vec::new(), rows, rows_done: 0, progress, cancel }
    }
}

fn value_bytes(value: &Value) -> usize {
    let text = if let Value::Text(text) = value { text.len() } else { 0 };
    size_of::<Value>() + text
}

fn stop_if(cancel: &AtomicBool) -> Result<(), SealError> {
    if cancel.load(Ordering::Relaxed) { Err(SealError::Cancelled) } else { Ok(()) }
}

/// One group of buckets, sealed.
pub(crate) struct GroupOut {
    pub(crate) leaves: u32,
    pub(crate) object: Vec<u8>,
    buckets: Vec<BucketEntry>,
}

/// Why a group was not sealed.
pub(crate) enum GroupFault {
    /// Two rows have the same place, hence the same key.
    Duplicate(RowPlace, RowPlace),
    /// Anything else.
    Other(SealError),
}

/// Sorts leaves by place and seals them in buckets, some groups at a time.
pub(crate) struct Sorter {
    spill: Spill,
    sealer: Sealer,
    bits: u8,
    next_group: u32,
    buckets: Vec<BucketEntry>,
    rows: u64,
    rows_done: u64,
    progress: Arc<dyn ProgressSink>,
    cancel: Arc<AtomicBool>,
}

impl Sorter {
    /// Bits of a place that choose its bucket.
    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }

    /// The next groups in order; none when all are done.
    pub(crate) fn next_groups(&mut self) -> Result<Vec<GroupOut>, GroupFault> {
        let other = |error: StoreError| GroupFault::Other(error.into());
        stop_if(&self.cancel).map_err(GroupFault::Other)?;
        let all = groups(self.bits);
        let per_group = PARTITIONS / all as usize;
        let mut loaded = Vec::new();
        for group in self.next_group..all.min(self.next_group + GROUPS_AT_ONCE) {
            let mut entries = Vec::new();
            for partition in (group as usize * per_group..).take(per_group) {
                entries.append(&mut self.spill.take(partition).map_err(other)?);
            }
            loaded.push((group, entries));
        }
        self.next_group = all.min(self.next_group + GROUPS_AT_ONCE);
        let done: Vec<GroupOut> =
            loaded.into_par_iter().map(|(group, entries)| self.seal_group(group, entries)).collect::<Result<_, _>>()?;
        for group in &done {
            self.buckets.extend(&group.buckets);
            self.rows_done += u64::from(group.leaves);
        }
        self.progress.report(Progress {
            phase: Phase::Sorting,
            rows_done: self.rows_done,
            rows_total: Some(self.rows),
            bytes_done: 0,
            bytes_total: None,
        });
        Ok(done)
    }

    fn seal_group(&self, group: u32, mut entries: Vec<LeafEntry>) -> Result<GroupOut, GroupFault> {
        let failed = || GroupFault::Other(KeyError::NotOpened("a bucket of leaves").into());
        entries.sort_unstable_by_key(|entry| (entry.leaf.place, entry.row));
        if let Some([a, b]) = entries.array_windows::<2>().find(|[a, b]| a.leaf.place == b.leaf.place) {
            return Err(GroupFault::Duplicate(a.row, b.row));
        }
        let parts = split_group(&entries, group, self.bits);
        let contents: Vec<_> = parts.iter().map(|part| encode_bucket(part)).collect();
        let leaves = u32::try_from(entries.len()).map_err(|_| failed())?;
        let (object, lengths) = seal_object(&self.sealer, group, leaves, &contents).map_err(|_| failed())?;
        let chunks: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        let mut offset = object.len() as u64 - chunks;
        let mut buckets = Vec::with_capacity(parts.len());
        for (part, bytes) in parts.iter().zip(lengths) {
            let leaves = u32::try_from(part.len()).map_err(|_| failed())?;
            buckets.push(BucketEntry { subtree: subtree_of(part, self.bits), leaves, offset, bytes });
            offset += u64::from(bytes);
        }
        Ok(GroupOut { leaves, object, buckets })
    }

    /// Seals the index once every group is done; also returns the buckets' subtrees.
    pub(crate) fn seal_index(self, sealer: &Sealer) -> Result<(Vec<u8>, Vec<Subtree>), SealError> {
        let contents: Vec<_> =
            self.buckets.chunks(INDEX_BUCKETS).map(|part| borsh::to_vec(part).unwrap_or_default()).collect();
        let count = u32::try_from(self.buckets.len()).unwrap_or(u32::MAX);
        let (object, _) = seal_object(sealer, 0, count, &contents).map_err(|_| KeyError::NotOpened("the index"))?;
        Ok((object, self.buckets.iter().map(|bucket| bucket.subtree).collect()))
    }
}
