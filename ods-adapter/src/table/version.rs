//! The manifest of a version: every object, every key (docs/spec/store.md#manifest).

use borsh::{BorshDeserialize, BorshSerialize};
use object_store::path::Path;
use sealgate_circuits::bytes::{SchemaDigest, TreeRoot, tagged_hash};

use super::blinding::BlindingSeed;
use super::layout::{self, CHUNK_ROWS, FORMAT};
use crate::keys::{AssetKeys, KeyError, WrappedKey};
use crate::seal::{AttemptId, DataKey, Sealer, SegmentPlace, Stream};
use crate::store::StoreError;
use crate::suite::{CipherSuite, HashAlgorithm};

/// What the ledger and its sealed access information say of a version: enough, with the asset's
/// keys, to find and check everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRef {
    /// Under which its objects lie.
    pub attempt: AttemptId,
    /// Digest of its manifest object.
    pub manifest_digest: [u8; 32],
    /// What it is sealed with.
    pub suite: CipherSuite,
    /// What its objects are hashed with.
    pub hash: HashAlgorithm,
}

impl VersionRef {
    /// What the version's manifest object holds, after comparing it with the digest that was registered.
    pub(crate) fn open<M: BorshDeserialize>(
        &self,
        magic: &[u8],
        object: &Path,
        bytes: &[u8],
        keys: &AssetKeys,
    ) -> Result<M, StoreError> {
        let damaged = |what| StoreError::damaged(object, None, what);
        if manifest_digest(self.hash, bytes) != self.manifest_digest {
            return Err(damaged("it is not the manifest that was registered"));
        }
        let content = keys.open_manifest(self.attempt, magic, bytes)?;
        M::try_from_slice(&content).map_err(|_| damaged("it is of another format"))
    }
}

/// The digest by which a version's manifest is registered.
pub(crate) fn manifest_digest(hash: HashAlgorithm, object: &[u8]) -> [u8; 32] {
    tagged_hash("sealgate/ods/manifest/1", &[&hash.digest(object)])
}

/// First bytes of a manifest object.
const MAGIC: [u8; 8] = *b"SGMANIF2";

/// Length and digest of one stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ObjectEntry {
    pub(crate) bytes: u64,
    pub(crate) digest: [u8; 32],
}

impl ObjectEntry {
    pub(crate) fn of(hash: HashAlgorithm, content: &[u8]) -> Self {
        Self { bytes: content.len() as u64, digest: hash.digest(content) }
    }

    /// Compares a whole object with its entry.
    pub(crate) fn check(&self, hash: HashAlgorithm, object: &Path, content: &[u8]) -> Result<(), StoreError> {
        let found = content.len() as u64;
        if found != self.bytes {
            return Err(StoreError::damaged(object, None, format!("it has {found} bytes instead of {}", self.bytes)));
        }
        match Self::of(hash, content) == *self {
            true => Ok(()),
            false => Err(StoreError::damaged(object, None, format!("its {} digest differs", hash.name()))),
        }
    }
}

/// A run of rows, with one object a column; written by this version's attempt or an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct SegmentEntry {
    pub(crate) attempt: AttemptId,
    pub(crate) segment: u32,
    pub(crate) rows: u32,
    pub(crate) columns: Vec<ObjectEntry>,
}

impl SegmentEntry {
    pub(crate) fn chunks(&self) -> u32 {
        chunks_of(self.rows)
    }
}

/// Chunks of a segment with so many rows.
pub(crate) fn chunks_of(rows: u32) -> u32 {
    rows.div_ceil(CHUNK_ROWS as u32)
}

/// The column keys of one attempt of which the version has segments.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ColumnKeys {
    pub(crate) attempt: AttemptId,
    pub(crate) columns: Vec<WrappedKey>,
}

/// A group of buckets: one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct GroupEntry {
    pub(crate) leaves: u32,
    pub(crate) object: ObjectEntry,
}

/// Everything a version consists of.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct VersionManifest {
    pub(crate) format: u16,
    pub(crate) label: String,
    pub(crate) attempt: AttemptId,
    pub(crate) version: u32,
    pub(crate) suite: CipherSuite,
    pub(crate) hash: HashAlgorithm,
    /// From which the leaf follows that makes each version's root another one.
    pub(crate) blinding: BlindingSeed,
    pub(crate) schema: SchemaDigest,
    pub(crate) column_count: u8,
    pub(crate) records: u64,
    pub(crate) root: TreeRoot,
    pub(crate) column_keys: Vec<ColumnKeys>,
    pub(crate) segments: Vec<SegmentEntry>,
    pub(crate) leaves_key: WrappedKey,
    pub(crate) index_key: WrappedKey,
    /// Bits of a place that choose its bucket; 2^bits buckets in all.
    pub(crate) bucket_bits: u8,
    /// One object for each value of the first min(bits, 8) bits.
    pub(crate) groups: Vec<GroupEntry>,
    pub(crate) index: ObjectEntry,
}

impl VersionManifest {
    /// The sealed object: magic and the padded manifest under its own key, which seals it alone.
    pub(crate) fn seal(&self, keys: &AssetKeys) -> Result<Vec<u8>, KeyError> {
        keys.seal_manifest(self.attempt, &MAGIC, &borsh::to_vec(self).unwrap_or_default())
    }

    /// Opens a manifest object after comparing it with the digest that was registered.
    pub(crate) fn open(
        object: &Path,
        bytes: &[u8],
        keys: &AssetKeys,
        version: &VersionRef,
    ) -> Result<Self, StoreError> {
        let manifest: Self = version.open(&MAGIC, object, bytes, keys)?;
        let same = manifest.label == keys.label().as_str()
            && (manifest.attempt, manifest.suite, manifest.hash) == (version.attempt, version.suite, version.hash);
        match manifest.format == FORMAT && same {
            true => Ok(manifest),
            false => Err(StoreError::damaged(object, None, "it describes another version")),
        }
    }

    /// The number of the version that an object describes, if it is a table's manifest of `attempt`.
    pub(crate) fn number(keys: &AssetKeys, attempt: AttemptId, object: &[u8]) -> Option<u32> {
        let content = keys.open_manifest(attempt, &MAGIC, object).ok()?;
        Self::try_from_slice(&content).ok().map(|manifest| manifest.version)
    }

    /// How many columns its schema has.
    pub(crate) fn columns(&self) -> usize {
        self.column_count.into()
    }

    /// The key of column `column` in the segments that `attempt` wrote.
    pub(crate) fn column_key(&self, keys: &AssetKeys, attempt: AttemptId, column: u8) -> Result<DataKey, StoreError> {
        let of_attempt = self.column_keys.iter().find(|known| known.attempt == attempt);
        let wrapped = of_attempt.and_then(|known| known.columns.get(usize::from(column)));
        let wrapped = wrapped.ok_or_else(|| {
            let object = layout::manifest_path(keys.label(), self.attempt);
            StoreError::damaged(&object, None, format!("it has no key for column {column} of attempt {attempt}"))
        })?;
        Ok(keys.unwrap_key(wrapped, attempt, Stream::Column(column))?)
    }

    /// Where column `column` of a segment lies.
    pub(crate) fn segment_place(&self, keys: &AssetKeys, segment: &SegmentEntry, column: u8) -> SegmentPlace {
        let (label, stream) = (keys.label().clone(), Stream::Column(column));
        SegmentPlace { label, attempt: segment.attempt, stream, segment: segment.segment }
    }

    /// Where a segment of one of this attempt's own streams lies.
    pub(crate) fn own_place(&self, keys: &AssetKeys, stream: Stream, segment: u32) -> SegmentPlace {
        SegmentPlace { label: keys.label().clone(), attempt: self.attempt, stream, segment }
    }

    /// The key of the leaves.
    pub(crate) fn leaves_key(&self, keys: &AssetKeys) -> Result<DataKey, StoreError> {
        Ok(keys.unwrap_key(&self.leaves_key, self.attempt, Stream::Leaves)?)
    }

    /// What opens the index.
    pub(crate) fn index_sealer(&self, keys: &AssetKeys) -> Result<Sealer, StoreError> {
        let key = keys.unwrap_key(&self.index_key, self.attempt, Stream::Index)?;
        Ok(Sealer::new(self.own_place(keys, Stream::Index, 0), self.suite, key.segment_key(0)))
    }

    /// The objects of this attempt and of earlier ones, with their entries, but for the manifest.
    pub(crate) fn objects(&self, keys: &AssetKeys) -> Vec<(Path, ObjectEntry)> {
        let own = |stream, segment| layout::object_path(&self.own_place(keys, stream, segment));
        let mut objects = vec![(own(Stream::Index, 0), self.index)];
        for (group, entry) in (0u32..).zip(&self.groups) {
            objects.push((own(Stream::Leaves, group), entry.object));
        }
        for segment in &self.segments {
            for (column, entry) in (0u8..).zip(&segment.columns) {
                objects.push((layout::object_path(&self.segment_place(keys, segment, column)), *entry));
            }
        }
        objects
    }
}
