//! Finding one record of a sealed table, with the path that proves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use borsh::BorshDeserialize as _;
use bytes::Bytes;
use futures::future::try_join_all;
use object_store::path::Path as ObjectPath;
use sealgate_circuits::bytes::{Place, PlaceKey, PlaceProof, TreeRoot, tagged_hash};
use sealgate_circuits::record::{RecordCommitment, Salt};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::tree::{Leaf, Path, PathEnd, Subtree, branch, path_within};
use sealgate_circuits::value::Value;

use super::cells;
use super::layout::{self, CHUNK_ROWS, Header};
use super::leaves::{
    BucketEntry, LeafEntry, RowPlace, TreeTop, buckets_per_group, decode_bucket, leaves_of, subtree_of,
};
use super::version::{SegmentEntry, VersionManifest, VersionRef};
use super::worker::Committer;
use crate::keys::AssetKeys;
use crate::seal::{AttemptId, DataKey, Scratch, Sealer, Stream};
use crate::store::{Store, StoreError};

/// A record as it was committed.
#[derive(Clone)]
pub struct Record {
    /// One value a column, in the schema's order.
    pub values: Vec<Value>,
    /// What hides it in its commitment.
    pub salt: Salt,
    /// The commitment in its leaf, which the values and the salt open.
    pub commitment: RecordCommitment,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("commitment", &self.commitment).finish_non_exhaustive()
    }
}

/// What the table holds at a key.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The key's place.
    pub place: Place,
    /// The proof that this is its place.
    pub place_proof: PlaceProof,
    /// The path to the place; verified against the version's root.
    pub path: Path,
    /// The record; `None` when the path proves that there is none.
    pub record: Option<Record>,
}

/// A version of a table, open for lookups. Safe to share between threads.
pub struct SealedTable {
    store: Store,
    keys: Arc<AssetKeys>,
    schema: Schema,
    committer: Committer,
    manifest: VersionManifest,
    column_keys: BTreeMap<AttemptId, Vec<DataKey>>,
    leaves_key: DataKey,
    buckets: Vec<BucketEntry>,
    top: TreeTop,
}

impl SealedTable {
    /// Opens a version, if its manifest is the one registered.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Damaged`] naming the manifest or the index,
    /// [`StoreError::Keys`] when the asset's keys open neither.
    pub async fn open(
        store: Store,
        keys: Arc<AssetKeys>,
        schema: Schema,
        version: &VersionRef,
    ) -> Result<Self, StoreError> {
        let manifest = read_manifest(&store, &keys, &schema, version).await?;
        let index_path = layout::object_path(&manifest.own_place(&keys, Stream::Index, 0));
        let (buckets, top) = open_index(&manifest, &keys, &index_path, &store.read(&index_path).await?)?;
        let mut column_keys = BTreeMap::new();
        for known in &manifest.column_keys {
            let columns = (0u8..).take(schema.columns.len());
            let of_attempt = columns.map(|column| manifest.column_key(&keys, known.attempt, column));
            column_keys.insert(known.attempt, of_attempt.collect::<Result<Vec<_>, _>>()?);
        }
        let leaves_key = manifest.leaves_key(&keys)?;
        let committer = Committer::new(&schema, &keys);
        Ok(Self { store, keys, schema, committer, manifest, column_keys, leaves_key, buckets, top })
    }

    pub(crate) fn manifest(&self) -> &VersionManifest {
        &self.manifest
    }

    pub(crate) fn keys(&self) -> &AssetKeys {
        &self.keys
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Records in the version.
    pub fn records(&self) -> u64 {
        self.manifest.records
    }

    /// The version's number.
    pub fn version(&self) -> u32 {
        self.manifest.version
    }

    /// The attempt that wrote it.
    pub fn attempt(&self) -> AttemptId {
        self.manifest.attempt
    }

    /// Root of its prefix tree.
    pub fn root(&self) -> TreeRoot {
        self.manifest.root
    }

    /// The public key under which its places are checked.
    pub fn place_key(&self) -> PlaceKey {
        self.committer.place_secret().public()
    }

    /// Looks up a key, values in the order of [`Schema::key`]. Reads one bucket of leaves and one
    /// chunk a column, present or not, and checks everything it returns: the path leads to the
    /// version's root, and the values open the leaf's commitment.
    ///
    /// # Errors
    /// [`StoreError::Lookup`] when the values are no key of the table, [`StoreError::Missing`] and
    /// [`StoreError::Damaged`] naming the object, [`StoreError::Service`].
    pub async fn lookup(&self, key: &[Value]) -> Result<Lookup, StoreError> {
        let key_bytes = self.schema.key_bytes(key).map_err(StoreError::Lookup)?;
        let (place, place_proof) = self.committer.place_secret().prove(&key_bytes);
        let (path, entry, leaves_object) = self.find(&place).await?;
        // When there is no such record, another one is read: the work tells nothing.
        let row = entry.as_ref().map_or_else(|| self.decoy(&place), |entry| self.locate(entry.row));
        let Some((segment, index)) = row else {
            return match entry {
                None => Ok(Lookup { place, place_proof, path, record: None }),
                Some(_) => Err(StoreError::damaged(&leaves_object, None, "a leaf names a row that does not exist")),
            };
        };
        let values = self.read_row(segment, index).await?;
        let version = entry.as_ref().map_or(self.manifest.version, |entry| entry.written_version);
        let object = layout::object_path(&self.manifest.segment_place(&self.keys, segment, 0));
        let wrong =
            |_| StoreError::damaged(&object, Some(index / CHUNK_ROWS as u32), "its row does not fit the schema");
        let row_key = self.committer.key_bytes(&values).map_err(wrong)?;
        let (salt, commitment) = self.committer.commit(&values, &row_key, version).map_err(wrong)?;
        let record = match entry {
            None => None,
            Some(entry) if row_key == key_bytes && commitment == entry.leaf.commitment => {
                Some(Record { values, salt, commitment })
            }
            Some(_) => {
                let what =
                    format!("row {index} of segment {} does not open the commitment in its leaf", segment.segment);
                return Err(StoreError::damaged(&leaves_object, None, what));
            }
        };
        Ok(Lookup { place, place_proof, path, record })
    }

    /// The record of a leaf, with its opening and the proof of its place; it opens the leaf.
    pub(crate) async fn open_entry(&self, entry: &LeafEntry) -> Result<(Vec<Value>, Salt, PlaceProof), StoreError> {
        let leaves = layout::object_path(&self.manifest.own_place(&self.keys, Stream::Leaves, 0));
        let none = || StoreError::damaged(&leaves, None, "a leaf names a row that does not exist");
        let (segment, index) = self.locate(entry.row).ok_or_else(none)?;
        let values = self.read_row(segment, index).await?;
        let object = layout::object_path(&self.manifest.segment_place(&self.keys, segment, 0));
        let wrong = || StoreError::damaged(&object, Some(index / CHUNK_ROWS as u32), "its row does not open its leaf");
        let key_bytes = self.committer.key_bytes(&values).map_err(|_| wrong())?;
        let opened = self.committer.commit(&values, &key_bytes, entry.written_version).map_err(|_| wrong())?;
        let (place, place_proof) = self.committer.place_secret().prove(&key_bytes);
        match (place, opened.1) == (entry.leaf.place, entry.leaf.commitment) {
            true => Ok((values, opened.0, place_proof)),
            false => Err(wrong()),
        }
    }

    /// The leaf to which one comes from the root by the target's branches, or by the other one where
    /// that side is empty, with its verified path. `None` when the tree is empty.
    pub(crate) async fn find_nearest(&self, target: &Place) -> Result<(Path, Option<LeafEntry>), StoreError> {
        let bucket = self.top.nearest(target);
        let (_, entries) = self.read_bucket(bucket).await?;
        let depth = usize::from(self.manifest.bucket_bits);
        let Some(nearest) = nearest_within(&leaves_of(&entries), depth, target) else {
            let (path, _, _) = self.find(target).await?;
            return Ok((path, None));
        };
        let (path, entry, _) = self.find(&nearest).await?;
        Ok((path, entry))
    }

    /// The verified path to a place, and the leaf there.
    async fn find(&self, place: &Place) -> Result<(Path, Option<LeafEntry>, ObjectPath), StoreError> {
        let walk = self.top.walk(place);
        let (object, entries) = self.read_bucket(walk.bucket).await?;
        let leaves = leaves_of(&entries);
        let mut siblings = walk.siblings;
        let end = match walk.end {
            Some(Subtree::Empty) => PathEnd::Empty,
            Some(_) => leaves.first().map_or(PathEnd::Empty, |leaf| PathEnd::Leaf(*leaf)),
            None => {
                let (below, end) = path_within(&leaves, usize::from(self.manifest.bucket_bits), place);
                siblings.extend(below);
                end
            }
        };
        let path = Path { siblings, end };
        let found = path
            .verify(&self.manifest.root, place)
            .map_err(|error| StoreError::damaged(&object, None, error.to_string()))?;
        let entry = entries.into_iter().find(|entry| entry.leaf.place == *place);
        if entry.map(|entry| entry.leaf.commitment) != found {
            return Err(StoreError::damaged(&object, None, "its leaves and the path disagree"));
        }
        Ok((path, entry, object))
    }

    async fn read_bucket(&self, bucket: u32) -> Result<(ObjectPath, Vec<LeafEntry>), StoreError> {
        let bits = self.manifest.bucket_bits;
        let (group, chunk) = (bucket / buckets_per_group(bits), bucket % buckets_per_group(bits));
        let place = self.manifest.own_place(&self.keys, Stream::Leaves, group);
        let object = layout::object_path(&place);
        let known = usize::try_from(bucket).ok().and_then(|at| self.buckets.get(at));
        let known = known.ok_or_else(|| StoreError::damaged(&object, None, "the index does not know it"))?;
        let sealer = Sealer::new(place, self.manifest.suite, self.leaves_key.segment_key(group));
        let sealed = self.store.read_range(&object, known.offset, u64::from(known.bytes)).await?;
        let mut scratch = Scratch::default();
        let content = layout::open_chunk(&sealer, buckets_per_group(bits), &object, chunk, &sealed, &mut scratch)?;
        let entries = decode_bucket(content).filter(|entries| subtree_of(entries, bits) == known.subtree);
        let entries = entries
            .ok_or_else(|| StoreError::damaged(&object, Some(chunk), "its leaves are not those of the index"))?;
        Ok((object, entries))
    }

    fn locate(&self, row: RowPlace) -> Option<(&SegmentEntry, u32)> {
        let segment = self.manifest.segments.get(usize::try_from(row.segment).ok()?)?;
        (row.index < segment.rows).then_some((segment, row.index))
    }

    /// Some row that follows from the place; `None` only when the table is empty.
    fn decoy(&self, place: &Place) -> Option<(&SegmentEntry, u32)> {
        let hash = tagged_hash("sealgate/ods/decoy/1", &[self.keys.place_seed(), place.as_bytes()]);
        let draw = u64::from_le_bytes(*hash.first_chunk()?);
        let mut row = draw.checked_rem(self.manifest.records)?;
        for segment in &self.manifest.segments {
            match row.checked_sub(u64::from(segment.rows)) {
                None => return Some((segment, u32::try_from(row).ok()?)),
                Some(rest) => row = rest,
            }
        }
        None
    }

    async fn read_row(&self, segment: &SegmentEntry, index: u32) -> Result<Vec<Value>, StoreError> {
        let keys = self.column_keys.get(&segment.attempt).map_or(&[][..], Vec::as_slice);
        let cells = (0u8..).zip(self.schema.columns.iter().zip(keys));
        let values = try_join_all(cells.map(|(number, (column, key))| async move {
            let place = self.manifest.segment_place(&self.keys, segment, number);
            let object = layout::object_path(&place);
            let chunk = index / CHUNK_ROWS as u32;
            let sealer = Sealer::new(place, self.manifest.suite, key.segment_key(segment.segment));
            let sealed = self.read_chunk(&object, &sealer, segment, chunk).await?;
            let mut scratch = Scratch::default();
            let content = layout::open_chunk(&sealer, segment.chunks(), &object, chunk, &sealed, &mut scratch)?;
            let rows = cells::rows_in_chunk(segment.rows, chunk);
            let values = cells::decode(&object, chunk, content, column.kind, rows)?;
            let value = values.into_iter().nth(index as usize % CHUNK_ROWS);
            value.ok_or_else(|| StoreError::damaged(&object, Some(chunk), format!("it has no row {index}")))
        }));
        values.await
    }

    /// Reads one sealed chunk by range: first the header and the table of lengths, then the chunk.
    async fn read_chunk(
        &self,
        object: &ObjectPath,
        sealer: &Sealer,
        segment: &SegmentEntry,
        chunk: u32,
    ) -> Result<Bytes, StoreError> {
        let header = Header::of(&sealer.place, sealer.commitment, segment.rows, segment.chunks());
        let head = self.store.read_range(object, 0, header.chunks_at()).await?;
        let ranges = header.chunk_ranges(object, &head)?;
        let range = usize::try_from(chunk).ok().and_then(|chunk| ranges.get(chunk));
        let (offset, length) =
            *range.ok_or_else(|| StoreError::damaged(object, Some(chunk), "it has no such chunk"))?;
        self.store.read_range(object, offset, length).await
    }
}

/// Among leaves sorted by place that share their first `depth` bits, the place to which one comes by
/// the target's branches, or by the other one where that side is empty.
fn nearest_within(sorted: &[Leaf], depth: usize, target: &Place) -> Option<Place> {
    match sorted {
        [] => None,
        [only] => Some(only.place),
        several => {
            let (left, right) = several.split_at(several.partition_point(|leaf| !branch(&leaf.place, depth)));
            let (towards, other) = if branch(target, depth) { (right, left) } else { (left, right) };
            nearest_within(if towards.is_empty() { other } else { towards }, depth + 1, target)
        }
    }
}

/// Reads and opens a manifest and compares it with the schema.
pub(crate) async fn read_manifest(
    store: &Store,
    keys: &AssetKeys,
    schema: &Schema,
    version: &VersionRef,
) -> Result<VersionManifest, StoreError> {
    let object = layout::manifest_path(keys.label(), version.attempt);
    let manifest = VersionManifest::open(&object, &store.read(&object).await?, keys, version)?;
    let columns = schema.columns.len();
    let whole = manifest.segments.iter().all(|segment| segment.columns.len() == columns)
        && manifest.column_keys.iter().all(|known| known.columns.len() == columns);
    if manifest.schema != schema.digest() || manifest.columns() != columns || !whole {
        return Err(StoreError::damaged(&object, None, "it was sealed under another schema"));
    }
    Ok(manifest)
}

/// Opens the index and computes the tree above the buckets, whose root must be the version's.
pub(crate) fn open_index(
    manifest: &VersionManifest,
    keys: &AssetKeys,
    object: &ObjectPath,
    bytes: &[u8],
) -> Result<(Vec<BucketEntry>, TreeTop), StoreError> {
    manifest.index.check(manifest.hash, object, bytes)?;
    let sealer = manifest.index_sealer(keys)?;
    let count = 1u32.checked_shl(u32::from(manifest.bucket_bits)).unwrap_or_default();
    let chunks = count.div_ceil(super::leaves::INDEX_BUCKETS as u32);
    let mut buckets: Vec<BucketEntry> = Vec::new();
    layout::open_object(&sealer, count, chunks, object, bytes, |chunk, content| {
        let part = Vec::<BucketEntry>::try_from_slice(content)
            .map_err(|error| StoreError::damaged(object, Some(chunk), error.to_string()))?;
        buckets.extend(part);
        Ok(())
    })?;
    let leaves: u64 = buckets.iter().map(|bucket| u64::from(bucket.leaves)).sum();
    let top = TreeTop::new(buckets.iter().map(|bucket| bucket.subtree).collect());
    if buckets.len() as u64 != u64::from(count) || leaves != manifest.records + 1 || top.root() != manifest.root {
        return Err(StoreError::damaged(object, None, "its buckets are not those of the registered root"));
    }
    Ok((buckets, top))
}
