//! Checking a stored version whole: every object, every chunk, and on demand every commitment.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::path::Path;
use rayon::prelude::*;
use sealgate_circuits::schema::Schema;
use sealgate_circuits::value::Value;
use tokio::task::spawn_blocking;

use super::columns::open_cells;
use super::layout::{self, CHUNK_ROWS, Header};
use super::leaves::{BucketEntry, LeafEntry, bucket_of, buckets_per_group, decode_bucket, subtree_of};
use super::read::{open_index, read_manifest};
use super::spill::RowOrder;
use super::version::{SegmentEntry, VersionManifest, VersionRef};
use super::worker::Committer;
use crate::keys::AssetKeys;
use crate::progress::{Phase, Progress, ProgressSink};
use crate::seal::{Sealer, Stream};
use crate::store::{Store, StoreError};

/// Everything that [`verify_objects`] needs.
pub struct VerifyRequest {
    /// Where the sealed objects are.
    pub store: Store,
    /// The asset's keys.
    pub keys: Arc<AssetKeys>,
    /// The public schema.
    pub schema: Schema,
    /// The version.
    pub version: VersionRef,
    /// Where leaves wait to be sorted, when places and commitments are to be computed again from
    /// the records; `None` leaves that out.
    pub recompute_in: Option<PathBuf>,
    /// Is told how far it is.
    pub progress: Arc<dyn ProgressSink>,
}

/// What was checked and found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Objects, the manifest among them.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks opened.
    pub chunks: u64,
    /// Records in the version.
    pub records: u64,
    /// Whether each record's place and commitment were computed again.
    pub recomputed: bool,
}

/// Reads every object of a version back: its length and BLAKE3 digest are compared, each chunk is
/// opened, the tree is computed again from its leaves, and no object may lie there that belongs to
/// nothing. With `recompute_in`, every record's place and commitment are computed again, too.
///
/// # Errors
/// The first damage: [`StoreError::Missing`], [`StoreError::Damaged`] or [`StoreError::Extra`]
/// naming the object and the chunk; [`StoreError::Service`] when the store fails.
pub async fn verify_objects(request: VerifyRequest) -> Result<Report, StoreError> {
    let VerifyRequest { store, keys, schema, version, recompute_in, progress } = request;
    let manifest = read_manifest(&store, &keys, &schema, &version).await?;
    let attempt = version.attempt;
    let objects = manifest.objects(&keys);
    let manifest_path = layout::manifest_path(keys.label(), attempt);
    let known: BTreeSet<Path> = objects.iter().map(|(path, _)| path.clone()).chain([manifest_path.clone()]).collect();
    let mut manifest_bytes = 0;
    for meta in store.list(&layout::attempt_path(keys.label(), attempt)).await? {
        if !known.contains(&meta.location) {
            return Err(StoreError::Extra { object: meta.location.to_string() });
        }
        if meta.location == manifest_path {
            manifest_bytes = meta.size;
        }
    }
    let bytes_total = manifest_bytes + objects.iter().map(|(_, entry)| entry.bytes).sum::<u64>();
    let report = Report {
        objects: known.len() as u64,
        bytes: bytes_total,
        chunks: 0,
        records: manifest.records,
        recomputed: recompute_in.is_some(),
    };
    let segments = manifest.segments.len();
    let order = recompute_in.map(|folder| RowOrder::new(&folder, segments)).transpose()?;
    let committer = Committer::new(&schema, &keys);
    let checker = Checker {
        keys,
        schema,
        manifest,
        committer,
        progress,
        order,
        report,
        bytes_done: manifest_bytes,
        rows_done: 0,
    };
    checker.run(store).await
}

/// What the checks share; moves to a blocking thread for each object's work and back.
struct Checker {
    keys: Arc<AssetKeys>,
    schema: Schema,
    manifest: VersionManifest,
    committer: Committer,
    progress: Arc<dyn ProgressSink>,
    order: Option<RowOrder>,
    report: Report,
    bytes_done: u64,
    rows_done: u64,
}

impl Checker {
    async fn run(self, store: Store) -> Result<Report, StoreError> {
        let mut checker = self;
        let index_path = checker.own(Stream::Index, 0);
        let index = store.read(&index_path).await?;
        let (buckets, _) = open_index(&checker.manifest, &checker.keys, &index_path, &index)?;
        checker.count(index.len(), buckets.len().div_ceil(super::leaves::INDEX_BUCKETS));
        let buckets = Arc::new(buckets);
        for group in (0u32..).take(checker.manifest.groups.len()) {
            let object = checker.own(Stream::Leaves, group);
            let (bytes, buckets) = (store.read(&object).await?, Arc::clone(&buckets));
            checker = checker.step(move |checker| checker.check_group(group, &object, &bytes, &buckets)).await?;
        }
        for position in 0..checker.manifest.segments.len() {
            let Some(segment) = checker.manifest.segments.get(position).cloned() else { break };
            let mut columns = Vec::with_capacity(segment.columns.len());
            for column in (0u8..).take(segment.columns.len()) {
                let object = layout::object_path(&checker.manifest.segment_place(&checker.keys, &segment, column));
                let bytes = store.read(&object).await?;
                columns.push((object, bytes));
            }
            let here = checker.order.as_mut().map(|order| order.take(position)).transpose()?;
            checker = checker.step(move |checker| checker.check_segment(position, &segment, &columns, here)).await?;
        }
        Ok(checker.report)
    }

    async fn step(
        mut self,
        work: impl FnOnce(&mut Self) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let done = spawn_blocking(move || work(&mut self).map(|()| self)).await;
        done.map_err(|error| StoreError::Internal(error.to_string()))?
    }

    fn own(&self, stream: Stream, segment: u32) -> Path {
        layout::object_path(&self.manifest.own_place(&self.keys, stream, segment))
    }

    fn count(&mut self, bytes: usize, chunks: usize) {
        self.bytes_done += bytes as u64;
        self.report.chunks += chunks as u64;
        self.tell(Phase::Checking);
    }

    fn tell(&self, phase: Phase) {
        self.progress.report(Progress {
            phase,
            rows_done: self.rows_done,
            rows_total: Some(self.report.records),
            bytes_done: self.bytes_done,
            bytes_total: Some(self.report.bytes),
        });
    }

    fn check_group(
        &mut self,
        group: u32,
        object: &Path,
        bytes: &[u8],
        buckets: &[BucketEntry],
    ) -> Result<(), StoreError> {
        let bits = self.manifest.bucket_bits;
        let per_group = buckets_per_group(bits);
        let entry = usize::try_from(group).ok().and_then(|group| self.manifest.groups.get(group));
        let entry = *entry.ok_or_else(|| StoreError::damaged(object, None, "the manifest does not know it"))?;
        entry.object.check(self.manifest.hash, object, bytes)?;
        let key = self.manifest.leaves_key(&self.keys)?.segment_key(group);
        let sealer = Sealer::new(self.manifest.own_place(&self.keys, Stream::Leaves, group), self.manifest.suite, key);
        let header = Header::of(&sealer.place, sealer.commitment, entry.leaves, per_group);
        let ranges = header.chunk_ranges(object, bytes)?;
        let mut known = buckets.iter().skip((group * per_group) as usize).zip(ranges);
        let chunks = layout::open_object(&sealer, entry.leaves, per_group, object, bytes, |chunk, content| {
            let bucket = group * per_group + chunk;
            let indexed = known.next();
            let as_indexed = |entries: &Vec<LeafEntry>| {
                indexed.is_some_and(|(known, range)| {
                    entries.len() as u64 == u64::from(known.leaves)
                        && range == (known.offset, u64::from(known.bytes))
                        && entries.iter().all(|entry| bucket_of(&entry.leaf.place, bits) == bucket)
                        && subtree_of(entries, bits) == known.subtree
                })
            };
            let entries = decode_bucket(content).filter(as_indexed);
            let entries = entries
                .ok_or_else(|| StoreError::damaged(object, Some(chunk), "its leaves are not those of the index"))?;
            self.check_rows(&entries, object, chunk)
        })?;
        self.count(bytes.len(), chunks as usize);
        Ok(())
    }

    /// That the leaves name rows that exist; noted for the comparison with the rows.
    fn check_rows(&mut self, entries: &[LeafEntry], object: &Path, chunk: u32) -> Result<(), StoreError> {
        let blinding = self.manifest.blinding.entry();
        for entry in entries.iter().filter(|entry| **entry != blinding) {
            let rows = self.manifest.segments.get(entry.row.segment as usize).map_or(0, |segment| segment.rows);
            if entry.row.index >= rows {
                return Err(StoreError::damaged(object, Some(chunk), "a leaf names a row that does not exist"));
            }
            if let Some(order) = &mut self.order {
                order.add(entry)?;
            }
        }
        Ok(())
    }

    fn check_segment(
        &mut self,
        position: usize,
        segment: &SegmentEntry,
        objects: &[(Path, bytes::Bytes)],
        entries: Option<Vec<LeafEntry>>,
    ) -> Result<(), StoreError> {
        let open = |column: usize, (object, bytes): &(Path, bytes::Bytes)| -> Result<Vec<Value>, StoreError> {
            let unknown = || StoreError::damaged(object, None, "the manifest does not know it");
            segment.columns.get(column).ok_or_else(unknown)?.check(self.manifest.hash, object, bytes)?;
            let number = u8::try_from(column).map_err(|_| unknown())?;
            let kind = self.schema.at(number).ok_or_else(unknown)?.kind;
            let key = self.manifest.column_key(&self.keys, segment.attempt, number)?.segment_key(segment.segment);
            let place = self.manifest.segment_place(&self.keys, segment, number);
            open_cells(&Sealer::new(place, self.manifest.suite, key), kind, segment.rows, object, bytes)
        };
        let columns: Vec<Vec<Value>> =
            objects.par_iter().enumerate().map(|(column, object)| open(column, object)).collect::<Result<_, _>>()?;
        let bytes = objects.iter().map(|(_, bytes)| bytes.len()).sum();
        self.count(bytes, segment.chunks() as usize * columns.len());
        self.rows_done += u64::from(segment.rows);
        let (Some(entries), Some((first, _))) = (entries, objects.first()) else { return Ok(()) };
        self.recompute(position, segment, first, columns, &entries)?;
        self.tell(Phase::Recomputing);
        Ok(())
    }

    /// Compares each row's place and commitment with its leaf.
    fn recompute(
        &self,
        position: usize,
        segment: &SegmentEntry,
        object: &Path,
        columns: Vec<Vec<Value>>,
        entries: &[LeafEntry],
    ) -> Result<(), StoreError> {
        if entries.len() as u64 != u64::from(segment.rows) {
            let what = format!("{} leaves for its {} rows", entries.len(), segment.rows);
            return Err(StoreError::damaged(object, None, what));
        }
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        let rows: Vec<Vec<Value>> =
            entries.iter().map(|_| columns.iter_mut().filter_map(Iterator::next).collect()).collect();
        let check = |(index, (values, entry)): (usize, (&Vec<Value>, &LeafEntry))| {
            let in_place = entry.row.segment as usize == position && entry.row.index as usize == index;
            let leaf = self.committer.leaf(values, None, entry.written_version);
            let tags = self.committer.tags(values, &borsh::to_vec(values).unwrap_or_default());
            let same = leaf.is_ok_and(|leaf| leaf == entry.leaf) && tags.is_ok_and(|tags| tags == entry.tags);
            match in_place && same {
                true => Ok(()),
                false => {
                    let chunk = u32::try_from(index / CHUNK_ROWS).ok();
                    Err(StoreError::damaged(
                        object,
                        chunk,
                        format!("row {index} of the segment does not match its leaf"),
                    ))
                }
            }
        };
        rows.par_iter().zip(entries).enumerate().try_for_each(check)
    }
}
