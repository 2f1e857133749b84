//! What a version is made of: the rows of the source compared with the last version, so that only
//! what is new or has changed is committed and sealed (docs/spec/store.md#sync).

use std::collections::BTreeSet;
use std::path::PathBuf;

use borsh::BorshDeserialize as _;
use futures::future::try_join_all;
use rayon::prelude::*;
use sealgate_circuits::schema::Schema;
use sealgate_circuits::value::Value;
use tokio::runtime::Handle;

use super::blinding::BlindingSeed;
use super::columns::open_cells;
use super::layout::{self, FORMAT, SEGMENT_ROWS, SEGMENT_VALUE_BYTES};
use super::leaves::{LeafEntry, RowPlace, TAG_BYTES, Tags, TreeTop, buckets_per_group, decode_bucket};
use super::spill::{PARTITIONS, RowOrder, Spill};
use super::version::{ColumnKeys, SegmentEntry, VersionManifest};
use super::worker::{Attempt, Committer, Pending, PendingLeaf, SegmentWriter};
use super::write::{Changes, RejectedSink, SealError};
use crate::keys::{AssetKeys, KeyError, WrappedKey};
use crate::progress::Phase;
use crate::seal::{AttemptId, DataKey, Sealer, Stream};
use crate::source::{Read, Rejected, Source};
use crate::store::{Store, StoreError};

/// Rows whose tags are computed in one step.
const BATCH_ROWS: usize = 1024;
/// Objects of the last version that are read in one step.
const READS_AT_ONCE: usize = 8;
/// Most bytes of waiting rows whose key tags begin with the same byte.
const PARTITION_BYTES_MAX: usize = 1 << 30;
/// Bytes of a waiting row before its values: tags, number, length.
const ROW_HEAD_BYTES: usize = 2 * TAG_BYTES + 8 + 4;
/// Segments with fewer rows and bytes join others when something is written anyway.
const SMALL_ROWS: usize = SEGMENT_ROWS / 2;
const SMALL_BYTES: usize = SEGMENT_VALUE_BYTES / 8;

/// The last version, whose unchanged records stay.
pub(crate) struct Previous {
    pub(crate) manifest: VersionManifest,
    pub(crate) store: Store,
    pub(crate) runtime: Handle,
}

/// Makes one version. Runs where it may block.
pub(crate) struct Build {
    pub(crate) attempt: Attempt,
    pub(crate) schema: Schema,
    /// The rows; `None` seals those of the last version anew.
    pub(crate) source: Option<Box<dyn Source>>,
    pub(crate) previous: Option<Previous>,
    pub(crate) spill_dir: PathBuf,
    /// Takes rows that are set aside; without it the first of them is an error.
    pub(crate) rejected: Option<RejectedSink>,
}

/// The keys of one attempt, drawn for it alone.
struct AttemptKeys {
    columns: Vec<DataKey>,
    leaves: DataKey,
    index: DataKey,
}

impl AttemptKeys {
    fn draw(columns: usize) -> Result<Self, KeyError> {
        let columns = std::iter::repeat_with(DataKey::generate).take(columns).collect::<Result<_, _>>()?;
        Ok(Self { columns, leaves: DataKey::generate()?, index: DataKey::generate()? })
    }
}

/// The rows of the source, by the first byte of their key tags.
struct Waiting {
    rows: Spill,
    count: u64,
    /// Bytes of each partition, one of which must fit into memory.
    bytes: Vec<usize>,
}

/// What a comparison leaves to be done: live rows of the last version by segment, and their number.
struct Standing {
    order: RowOrder,
    live: Vec<u32>,
}

impl Build {
    /// Everything but the manifest's object, which makes the rest a version.
    pub(crate) fn run(mut self) -> Result<(VersionManifest, Changes), SealError> {
        let keys = AttemptKeys::draw(self.schema.columns.len())?;
        let committer = Committer::new(&self.schema, &self.attempt.keys);
        let mut writer = SegmentWriter::new(committer, keys.columns.clone(), &self.spill_dir)?;
        let anew = self.source.is_none();
        let (mut changes, mut standing) = match self.source.take() {
            Some(source) => self.compare(source, &mut writer)?,
            None => self.take_all()?,
        };
        let kept = self.carry_over(anew, &mut standing, &mut writer, &mut changes)?;
        writer.flush(&self.attempt)?;
        let records = changes.unchanged + changes.changed + changes.added;
        let (sorter, written) = writer.into_sorter(kept.len(), records, keys.leaves.clone());
        let blinding = BlindingSeed::generate()?;
        let sorted = sorter.run(&self.attempt, &blinding.entry(), &keys.index)?;
        changes.segments_written = written.len() as u64;
        let wrap = |key, stream| self.attempt.keys.wrap(key, self.attempt.id, stream);
        let manifest = VersionManifest {
            format: FORMAT,
            label: self.attempt.keys.label().as_str().to_owned(),
            attempt: self.attempt.id,
            version: self.attempt.version,
            suite: self.attempt.suite,
            hash: self.attempt.hash,
            blinding,
            schema: self.schema.digest(),
            column_count: u8::try_from(self.schema.columns.len()).unwrap_or(u8::MAX),
            records,
            root: TreeTop::new(sorted.buckets).root(),
            column_keys: self.column_keys(&kept, &written, &keys.columns)?,
            segments: kept.into_iter().chain(written).collect(),
            leaves_key: wrap(&keys.leaves, Stream::Leaves)?,
            index_key: wrap(&keys.index, Stream::Index)?,
            bucket_bits: sorted.bucket_bits,
            groups: sorted.groups,
            index: sorted.index,
        };
        self.attempt.stop_if_cancelled()?;
        Ok((manifest, changes))
    }

    /// Goes through the source and tells what is new, what has changed and what is gone.
    fn compare(&self, source: Box<dyn Source>, writer: &mut SegmentWriter) -> Result<(Changes, Standing), SealError> {
        let mut known = self.known_by_key()?;
        let mut changes = Changes::default();
        let mut waiting = self.read_source(source, &writer.committer, &mut changes)?;
        let mut standing = self.nothing_standing()?;
        let mut compared = 0;
        for partition in 0..PARTITIONS {
            self.attempt.stop_if_cancelled()?;
            let mut old = known.take_leaves(partition)?;
            old.sort_unstable_by_key(|entry| entry.tags);
            let bytes = waiting.rows.take(partition)?;
            let mut rows = split_rows(&bytes)?;
            rows.sort_unstable_by_key(|row| (row.tags.key, row.number));
            let (found, before) = (rows.len() as u64, old.len() as u64);
            let mut matched = 0;
            for same_key in rows.chunk_by(|a, b| a.tags.key == b.tags.key) {
                let [row] = same_key else {
                    self.same_key(same_key, &mut changes)?;
                    continue;
                };
                let at = old.binary_search_by_key(&row.tags.key, |entry| entry.tags.key).ok();
                let entry = at.and_then(|at| old.get(at));
                matched += u64::from(entry.is_some());
                match entry {
                    Some(entry) if entry.tags == row.tags => {
                        changes.unchanged += 1;
                        standing.add(entry)?;
                    }
                    Some(entry) => {
                        changes.changed += 1;
                        writer.write(&self.attempt, row.pending(PendingLeaf::At(entry.leaf.place))?)?;
                    }
                    None => {
                        changes.added += 1;
                        writer.write(&self.attempt, row.pending(PendingLeaf::New)?)?;
                    }
                }
            }
            changes.removed += before - matched;
            compared += found;
            self.attempt.tell(Phase::Sealing, compared, Some(waiting.count), None);
        }
        Ok((changes, standing))
    }

    /// All rows of the last version stand; they are sealed anew.
    fn take_all(&self) -> Result<(Changes, Standing), SealError> {
        let mut standing = self.nothing_standing()?;
        let mut changes = Changes::default();
        self.each_known(|entry| {
            changes.unchanged += 1;
            Ok(standing.add(entry)?)
        })?;
        Ok((changes, standing))
    }

    fn nothing_standing(&self) -> Result<Standing, SealError> {
        let segments = self.previous.as_ref().map_or(0, |previous| previous.manifest.segments.len());
        Ok(Standing { order: RowOrder::new(&self.spill_dir, segments)?, live: vec![0; segments] })
    }

    /// The last version's leaves by the first byte of their key tags.
    fn known_by_key(&self) -> Result<Spill, SealError> {
        let mut known = Spill::new(&self.spill_dir)?;
        self.each_known(|entry| Ok(known.add_leaf(usize::from(first(&entry.tags.key)), entry)?))?;
        Ok(known)
    }

    /// Calls `each` with every leaf of a record of the last version.
    fn each_known(&self, each: impl FnMut(&LeafEntry) -> Result<(), SealError>) -> Result<(), SealError> {
        let Some(Previous { manifest, store, runtime }) = &self.previous else { return Ok(()) };
        each_leaf(manifest, store, runtime, &self.attempt.keys, || self.attempt.stop_if_cancelled(), each)
    }

    /// Takes every row of the source, with its tags.
    fn read_source(
        &self,
        mut source: Box<dyn Source>,
        committer: &Committer,
        changes: &mut Changes,
    ) -> Result<Waiting, SealError> {
        let mut waiting = Waiting { rows: Spill::new(&self.spill_dir)?, count: 0, bytes: vec![0; PARTITIONS] };
        let mut at_end = false;
        while !at_end {
            self.attempt.stop_if_cancelled()?;
            let mut batch = Vec::with_capacity(BATCH_ROWS);
            while batch.len() < BATCH_ROWS && !at_end {
                match source.next()? {
                    Some(Read::Row(row)) => batch.push(row),
                    Some(Read::Rejected(rejected)) => self.set_aside(&rejected, changes)?,
                    None => at_end = true,
                }
            }
            let tagged: Vec<_> = batch
                .par_iter()
                .map(|row| {
                    let encoded = borsh::to_vec(&row.values).unwrap_or_default();
                    committer.tags(&row.values, &encoded).map(|tags| (tags, encoded))
                })
                .collect();
            for (row, tagged) in batch.iter().zip(tagged) {
                let (tags, encoded) = tagged.map_err(|source| SealError::Row {
                    file: self.attempt.source.clone(),
                    row: row.number,
                    source,
                })?;
                let length = u32::try_from(encoded.len())
                    .map_err(|_| SealError::TooLarge { file: self.attempt.source.clone() })?;
                let mut bytes = Vec::with_capacity(ROW_HEAD_BYTES + encoded.len());
                bytes.extend_from_slice(&tags.key);
                bytes.extend_from_slice(&tags.row);
                bytes.extend_from_slice(&row.number.to_le_bytes());
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(&encoded);
                let partition = usize::from(first(&tags.key));
                let gathered = waiting.bytes.get_mut(partition);
                if gathered.is_some_and(|gathered| {
                    *gathered += bytes.len();
                    *gathered > PARTITION_BYTES_MAX
                }) {
                    return Err(SealError::Crowded { file: self.attempt.source.clone(), row: row.number });
                }
                waiting.rows.add(partition, &bytes)?;
                waiting.count += 1;
            }
            self.attempt.tell(Phase::Reading, waiting.count, None, source.size_hint());
        }
        Ok(waiting)
    }

    fn set_aside(&self, rejected: &Rejected, changes: &mut Changes) -> Result<(), SealError> {
        let sink = self.rejected.as_ref().ok_or_else(|| StoreError::Internal(rejected.what.clone()))?;
        changes.set_aside += 1;
        sink(rejected);
        Ok(())
    }

    /// Several rows with one key: an error, or all of them set aside, as nothing tells which is right.
    fn same_key(&self, rows: &[WaitingRow<'_>], changes: &mut Changes) -> Result<(), SealError> {
        let [first, second, ..] = rows else { return Ok(()) };
        let key = self.key_text(first)?;
        if self.rejected.is_none() {
            let (file, first, second) = (self.attempt.source.clone(), first.number, second.number);
            return Err(SealError::DuplicateKey { file, first, second, key });
        }
        for row in rows {
            let other = if row.number == first.number { second } else { first };
            let what = format!("row {} has the same key {key}", other.number);
            self.set_aside(&Rejected { row: row.number, line: None, column: None, what }, changes)?;
        }
        Ok(())
    }

    fn key_text(&self, row: &WaitingRow<'_>) -> Result<String, SealError> {
        let values = row.values()?;
        let columns =
            self.schema.key.iter().filter_map(|at| Some((self.schema.at(*at)?, values.get(usize::from(*at))?)));
        let named = columns.map(|(column, value)| format!("{} = {}", column.name, value.literal(column.kind)));
        Ok(named.collect::<Vec<_>>().join(", "))
    }

    /// Leaves segments alone in which every row stands, and seals what stands in others anew. Returns
    /// those that stay.
    fn carry_over(
        &self,
        anew: bool,
        standing: &mut Standing,
        writer: &mut SegmentWriter,
        changes: &mut Changes,
    ) -> Result<Vec<SegmentEntry>, SealError> {
        let Some(previous) = &self.previous else { return Ok(Vec::new()) };
        let segments = &previous.manifest.segments;
        let whole = |segment: &SegmentEntry, live: u32| live == segment.rows;
        // Another suite seals all of it anew; so does what is asked for without a source.
        let anew = anew || self.other_suite(previous);
        let writes = writer.writes() || segments.iter().zip(&standing.live).any(|(s, live)| !whole(s, *live));
        let mut kept: Vec<SegmentEntry> = Vec::new();
        for (position, (segment, live)) in segments.iter().zip(&standing.live).enumerate() {
            self.attempt.stop_if_cancelled()?;
            let entries = standing.order.take(position)?;
            if whole(segment, *live) && !anew && !(writes && is_small(segment)) {
                let at = u32::try_from(kept.len()).unwrap_or(u32::MAX);
                entries.iter().try_for_each(|entry| writer.keep(entry, at))?;
                kept.push(segment.clone());
            } else if !entries.is_empty() {
                changes.moved += entries.len() as u64;
                self.move_rows(previous, segment, &entries, writer)?;
            }
        }
        Ok(kept)
    }

    fn other_suite(&self, previous: &Previous) -> bool {
        (previous.manifest.suite, previous.manifest.hash) != (self.attempt.suite, self.attempt.hash)
    }

    /// Reads a segment of the last version and writes those of its rows that stand.
    fn move_rows(
        &self,
        previous: &Previous,
        segment: &SegmentEntry,
        entries: &[LeafEntry],
        writer: &mut SegmentWriter,
    ) -> Result<(), SealError> {
        let Previous { manifest, store, runtime } = previous;
        let keys = &self.attempt.keys;
        let places: Vec<_> =
            (0u8..).take(segment.columns.len()).map(|column| manifest.segment_place(keys, segment, column)).collect();
        let names: Vec<_> = places.iter().map(layout::object_path).collect();
        let objects = runtime.block_on(try_join_all(names.iter().map(|name| store.read(name))))?;
        let mut sealers = Vec::with_capacity(places.len());
        for (column, place) in (0u8..).zip(places) {
            let key = manifest.column_key(keys, segment.attempt, column)?.segment_key(segment.segment);
            sealers.push(Sealer::new(place, manifest.suite, key));
        }
        let work: Vec<_> = self
            .schema
            .columns
            .iter()
            .zip(&segment.columns)
            .zip(sealers.iter().zip(names.iter().zip(&objects)))
            .collect();
        let columns: Vec<Vec<Value>> = work
            .into_par_iter()
            .map(|((column, entry), (sealer, (name, object)))| {
                entry.check(manifest.hash, name, object)?;
                open_cells(sealer, column.kind, segment.rows, name, object)
            })
            .collect::<Result<_, StoreError>>()?;
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        let mut entries = entries.iter().peekable();
        for index in 0..segment.rows {
            let values: Vec<Value> = columns.iter_mut().filter_map(Iterator::next).collect();
            let Some(entry) = entries.next_if(|entry| entry.row.index == index) else { continue };
            let leaf = PendingLeaf::Same(entry.leaf, entry.written_version);
            writer.write(&self.attempt, Pending { values, tags: entry.tags, number: 0, leaf })?;
        }
        Ok(())
    }

    /// The wrapped column keys of every attempt of which the version has segments.
    fn column_keys(
        &self,
        kept: &[SegmentEntry],
        written: &[SegmentEntry],
        own: &[DataKey],
    ) -> Result<Vec<ColumnKeys>, SealError> {
        let keys = &self.attempt.keys;
        let wrap_all = |attempt, columns: &[DataKey]| -> Result<ColumnKeys, SealError> {
            let wrap = |(column, key): (u8, &DataKey)| keys.wrap(key, attempt, Stream::Column(column));
            let columns = (0u8..).zip(columns).map(wrap).collect::<Result<Vec<WrappedKey>, _>>()?;
            Ok(ColumnKeys { attempt, columns })
        };
        let mut all = Vec::new();
        if let Some(previous) = &self.previous {
            let attempts: BTreeSet<AttemptId> = kept.iter().map(|segment| segment.attempt).collect();
            for attempt in attempts {
                let columns = (0u8..).take(own.len()).map(|column| previous.manifest.column_key(keys, attempt, column));
                all.push(wrap_all(attempt, &columns.collect::<Result<Vec<_>, _>>()?)?);
            }
        }
        if !written.is_empty() {
            all.push(wrap_all(self.attempt.id, own)?);
        }
        Ok(all)
    }
}

impl Standing {
    fn add(&mut self, entry: &LeafEntry) -> Result<(), StoreError> {
        let live = self.live.get_mut(entry.row.segment as usize);
        let live = live.ok_or_else(|| StoreError::Internal("a leaf names a segment that does not exist".into()))?;
        *live += 1;
        self.order.add(entry)
    }
}

/// Calls `each` with the leaf of every record of a version, and `go_on` between two groups. Blocks.
pub(crate) fn each_leaf<E: From<StoreError> + Send>(
    manifest: &VersionManifest,
    store: &Store,
    runtime: &Handle,
    keys: &AssetKeys,
    go_on: impl Fn() -> Result<(), E>,
    mut each: impl FnMut(&LeafEntry) -> Result<(), E>,
) -> Result<(), E> {
    let per_group = buckets_per_group(manifest.bucket_bits);
    let key = manifest.leaves_key(keys)?;
    let numbered: Vec<_> = (0u32..).zip(&manifest.groups).collect();
    for groups in numbered.chunks(READS_AT_ONCE) {
        go_on()?;
        let places: Vec<_> = groups.iter().map(|(group, _)| manifest.own_place(keys, Stream::Leaves, *group)).collect();
        let names: Vec<_> = places.iter().map(layout::object_path).collect();
        let objects = runtime.block_on(try_join_all(names.iter().map(|name| store.read(name))))?;
        let work: Vec<_> = groups.iter().zip(places).zip(names.iter().zip(&objects)).collect();
        let opened: Vec<Vec<LeafEntry>> = work
            .into_par_iter()
            .map(|(((group, entry), place), (name, object))| {
                entry.object.check(manifest.hash, name, object)?;
                let sealer = Sealer::new(place, manifest.suite, key.segment_key(*group));
                leaves_in(&sealer, entry.leaves, per_group, name, object)
            })
            .collect::<Result<_, StoreError>>()?;
        for entry in opened.iter().flatten().filter(|entry| entry.row != RowPlace::NONE) {
            each(entry)?;
        }
    }
    Ok(())
}

/// All leaves of a group's object.
fn leaves_in(
    sealer: &Sealer,
    leaves: u32,
    buckets: u32,
    name: &object_store::path::Path,
    object: &[u8],
) -> Result<Vec<LeafEntry>, StoreError> {
    let mut entries = Vec::with_capacity(leaves as usize);
    layout::open_object(sealer, leaves, buckets, name, object, |chunk, content| {
        let wrong = || StoreError::damaged(name, Some(chunk), "it does not hold leaves in order");
        entries.extend(decode_bucket(content).ok_or_else(wrong)?);
        Ok(())
    })?;
    Ok(entries)
}

fn is_small(segment: &SegmentEntry) -> bool {
    let bytes: u64 = segment.columns.iter().map(|object| object.bytes).sum();
    (segment.rows as usize) < SMALL_ROWS && bytes < SMALL_BYTES as u64
}

fn first(tag: &[u8; TAG_BYTES]) -> u8 {
    tag.first().copied().unwrap_or_default()
}

/// A row of the source as it waits.
struct WaitingRow<'a> {
    tags: Tags,
    number: u64,
    encoded: &'a [u8],
}

impl WaitingRow<'_> {
    fn values(&self) -> Result<Vec<Value>, StoreError> {
        Vec::<Value>::try_from_slice(self.encoded).map_err(|error| StoreError::Internal(error.to_string()))
    }

    fn pending(&self, leaf: PendingLeaf) -> Result<Pending, StoreError> {
        Ok(Pending { values: self.values()?, tags: self.tags, number: self.number, leaf })
    }
}

fn split_rows(mut bytes: &[u8]) -> Result<Vec<WaitingRow<'_>>, StoreError> {
    let cut = || StoreError::Internal("a spill of rows was cut".into());
    let mut rows = Vec::new();
    while !bytes.is_empty() {
        let (key, rest) = bytes.split_first_chunk::<TAG_BYTES>().ok_or_else(cut)?;
        let (row, rest) = rest.split_first_chunk::<TAG_BYTES>().ok_or_else(cut)?;
        let (number, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?;
        let (encoded, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
        rows.push(WaitingRow { tags: Tags { key: *key, row: *row }, number: u64::from_le_bytes(*number), encoded });
        bytes = rest;
    }
    Ok(rows)
}

#[cfg(test)]
#[path = "sync_tests.rs"]
mod tests;
