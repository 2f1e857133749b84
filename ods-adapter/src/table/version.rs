//! The manifest of a version: every object, every key (docs/spec/store.md#manifest).

use borsh::{BorshDeserialize, BorshSerialize};
use object_store::path::Path;
use sealgate_circuits::bytes::{SchemaDigest, TreeRoot, tagged_hash};

use super::layout::{self, CHUNK_ROWS, FORMAT, Header};
use crate::keys::{AssetKeys, KeyError, WrappedKey};
use crate::seal::{AttemptId, PAD_BYTES, Sealer, Stream};
use crate::store::StoreError;

/// First bytes of a manifest object.
const MAGIC: [u8; 8] = *b"SGMANIF1";

/// Length and digest of one stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ObjectEntry {
    pub(crate) bytes: u64,
    pub(crate) blake3: [u8; 32],
}

impl ObjectEntry {
    pub(crate) fn of(content: &[u8]) -> Self {
        Self { bytes: content.len() as u64, blake3: blake3::hash(content).into() }
    }

    /// Compares a whole object with its entry.
    pub(crate) fn check(&self, object: &Path, content: &[u8]) -> Result<(), StoreError> {
        let found = content.len() as u64;
        if found != self.bytes {
            return Err(StoreError::damaged(object, None, format!("it has {found} bytes instead of {}", self.bytes)));
        }
        match Self::of(content) == *self {
            true => Ok(()),
            false => Err(StoreError::damaged(object, None, "its BLAKE3 digest differs")),
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
        self.rows.div_ceil(CHUNK_ROWS as u32)
    }

    pub(crate) fn header(&self, sealer: &Sealer) -> Header {
        Header::of(sealer, self.segment, self.rows, self.chunks())
    }
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
    pub(crate) schema: SchemaDigest,
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
        let content = borsh::to_vec(self).unwrap_or_default();
        let mut sealed = (content.len() as u64).to_le_bytes().to_vec();
        sealed.extend(content);
        sealed.resize(sealed.len().next_multiple_of(PAD_BYTES), 0);
        keys.seal_manifest(self.attempt, &MAGIC, &mut sealed)?;
        Ok([MAGIC.as_slice(), &sealed].concat())
    }

    /// Opens a manifest object after comparing it with the digest that was registered.
    pub(crate) fn open(
        object: &Path,
        bytes: &[u8],
        keys: &AssetKeys,
        attempt: AttemptId,
        digest: &[u8; 32],
    ) -> Result<Self, StoreError> {
        let damaged = |what| StoreError::damaged(object, None, what);
        if Self::digest(bytes) != *digest {
            return Err(damaged("it is not the manifest that was registered"));
        }
        let sealed = bytes.strip_prefix(&MAGIC).ok_or_else(|| damaged("it is not a manifest"))?;
        let opened = keys.open_manifest(attempt, &MAGIC, sealed)?;
        let content = opened
            .split_first_chunk::<8>()
            .and_then(|(length, rest)| rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?));
        let manifest = content.and_then(|content| Self::try_from_slice(content).ok());
        let manifest = manifest.ok_or_else(|| damaged("it is of another format"))?;
        if manifest.format != FORMAT || manifest.label != keys.label().as_str() || manifest.attempt != attempt {
            return Err(damaged("it describes another version"));
        }
        Ok(manifest)
    }

    /// The digest by which a version's manifest is registered.
    pub(crate) fn digest(object: &[u8]) -> [u8; 32] {
        tagged_hash("sealgate/ods/manifest/1", &[blake3::hash(object).as_bytes()])
    }

    /// The digest of a column's ciphertext over its segments in order.
    pub(crate) fn column_digest(&self, column: usize) -> [u8; 32] {
        let digests: Vec<&[u8]> =
            self.segments.iter().filter_map(|s| s.columns.get(column)).map(|entry| entry.blake3.as_slice()).collect();
        tagged_hash("sealgate/ods/column/1", &digests)
    }

    /// What opens column `column` of the segments that `attempt` wrote.
    pub(crate) fn column_sealer(&self, keys: &AssetKeys, attempt: AttemptId, column: u8) -> Result<Sealer, StoreError> {
        let stream = Stream::Column(column);
        let of_attempt = self.column_keys.iter().find(|known| known.attempt == attempt);
        let wrapped = of_attempt.and_then(|known| known.columns.get(usize::from(column)));
        let wrapped = wrapped.ok_or_else(|| {
            let object = layout::manifest_path(keys.label(), self.attempt);
            StoreError::damaged(&object, None, format!("it has no key for column {column} of attempt {attempt}"))
        })?;
        Ok(keys.unwrap_key(wrapped, attempt, stream)?.sealer(keys.label(), attempt, stream))
    }

    /// What opens the leaves.
    pub(crate) fn leaves_sealer(&self, keys: &AssetKeys) -> Result<Sealer, StoreError> {
        let key = keys.unwrap_key(&self.leaves_key, self.attempt, Stream::Leaves)?;
        Ok(key.sealer(keys.label(), self.attempt, Stream::Leaves))
    }

    /// What opens the index.
    pub(crate) fn index_sealer(&self, keys: &AssetKeys) -> Result<Sealer, StoreError> {
        let key = keys.unwrap_key(&self.index_key, self.attempt, Stream::Index)?;
        Ok(key.sealer(keys.label(), self.attempt, Stream::Index))
    }

    /// The objects of this attempt and of earlier ones, with their entries, but for the manifest.
    pub(crate) fn objects(&self, keys: &AssetKeys) -> Vec<(Path, ObjectEntry)> {
        let label = keys.label();
        let path = |attempt, stream, segment| layout::object_path(label, attempt, stream, segment);
        let mut objects = vec![(path(self.attempt, Stream::Index, 0), self.index)];
        for (group, entry) in (0u32..).zip(&self.groups) {
            objects.push((path(self.attempt, Stream::Leaves, group), entry.object));
        }
        for segment in &self.segments {
            for (column, entry) in (0u8..).zip(&segment.columns) {
                objects.push((path(segment.attempt, Stream::Column(column), segment.segment), *entry));
            }
        }
        objects
    }
}
