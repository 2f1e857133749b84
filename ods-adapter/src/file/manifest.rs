//! The manifest of a sealed file: its key and every part (docs/spec/files.md#file-manifest).

use borsh::{BorshDeserialize, BorshSerialize};
use object_store::path::Path;

use super::parts::{self, part_count};
use crate::keys::{AssetKeys, KeyError, WrappedKey};
use crate::seal::{AttemptId, DataKey, SegmentKey, Stream};
use crate::store::{Store, StoreError};
use crate::suite::{CipherSuite, HashAlgorithm};
use crate::table::columns::ColumnSegment;
use crate::table::layout;
use crate::table::version::{ObjectEntry, VersionRef};

/// First bytes of a file's manifest object.
const MAGIC: [u8; 8] = *b"SGFILEM1";
/// The format's number.
pub(crate) const FORMAT: u16 = 1;

/// Everything a version of a file consists of.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct FileManifest {
    pub(crate) format: u16,
    pub(crate) label: String,
    pub(crate) attempt: AttemptId,
    pub(crate) version: u32,
    pub(crate) suite: CipherSuite,
    pub(crate) hash: HashAlgorithm,
    /// Of the file itself.
    pub(crate) file_bytes: u64,
    pub(crate) key: WrappedKey,
    pub(crate) parts: Vec<ObjectEntry>,
}

impl FileManifest {
    /// The sealed object: magic and the padded manifest under its own key, which seals it alone.
    pub(crate) fn seal(&self, keys: &AssetKeys) -> Result<Vec<u8>, KeyError> {
        keys.seal_manifest(self.attempt, &MAGIC, &borsh::to_vec(self).unwrap_or_default())
    }

    /// Reads and opens the manifest object after comparing it with the digest that was registered.
    pub(crate) async fn read(store: &Store, keys: &AssetKeys, version: &VersionRef) -> Result<Self, StoreError> {
        let object = layout::manifest_path(keys.label(), version.attempt);
        Self::open(&object, &store.read(&object).await?, keys, version)
    }

    fn open(object: &Path, bytes: &[u8], keys: &AssetKeys, version: &VersionRef) -> Result<Self, StoreError> {
        let manifest: Self = version.open(&MAGIC, object, bytes, keys)?;
        let same = manifest.label == keys.label().as_str()
            && (manifest.attempt, manifest.suite, manifest.hash) == (version.attempt, version.suite, version.hash);
        match manifest.format == FORMAT && same && manifest.parts.len() as u64 == part_count(manifest.file_bytes) {
            true => Ok(manifest),
            false => Err(StoreError::damaged(object, None, "it describes another version")),
        }
    }

    /// The number of the version that an object describes, if it is a file's manifest of `attempt`.
    pub(crate) fn number(keys: &AssetKeys, attempt: AttemptId, object: &[u8]) -> Option<u32> {
        let content = keys.open_manifest(attempt, &MAGIC, object).ok()?;
        Self::try_from_slice(&content).ok().map(|manifest| manifest.version)
    }

    /// The key of the file, from which the keys of its parts follow.
    pub(crate) fn data_key(&self, keys: &AssetKeys) -> Result<DataKey, StoreError> {
        Ok(keys.unwrap_key(&self.key, self.attempt, Stream::File)?)
    }

    /// The parts with their keys, in order.
    pub(crate) fn segments(&self, keys: &AssetKeys) -> Result<Vec<(ColumnSegment, SegmentKey)>, StoreError> {
        let data_key = self.data_key(keys)?;
        let with_key = |(number, entry): (u32, &ObjectEntry)| {
            let key = data_key.segment_key(number);
            let part = ColumnSegment {
                attempt: self.attempt,
                segment: number,
                rows: self.chunks(number),
                bytes: entry.bytes,
                digest: entry.digest,
                key_commitment: key.commitment(),
            };
            (part, key)
        };
        Ok((0u32..).zip(&self.parts).map(with_key).collect())
    }

    /// Chunks in part `part`.
    pub(crate) fn chunks(&self, part: u32) -> u32 {
        let bytes = parts::bytes_of(part.into(), self.file_bytes);
        parts::chunk_count(bytes.end - bytes.start)
    }

    /// The object of part `part`.
    pub(crate) fn object(&self, keys: &AssetKeys, part: u32) -> Path {
        layout::object_path(&parts::place(keys.label(), self.attempt, part))
    }

    /// The objects of this version with their entries, but for the manifest.
    pub(crate) fn objects(&self, keys: &AssetKeys) -> Vec<(Path, ObjectEntry)> {
        (0u32..).zip(&self.parts).map(|(part, entry)| (self.object(keys, part), *entry)).collect()
    }
}

/// The objects of a version but for its manifest, which is opened and compared with what is registered.
pub(crate) async fn file_objects(
    store: &Store,
    keys: &AssetKeys,
    version: &VersionRef,
) -> Result<Vec<(Path, ObjectEntry)>, StoreError> {
    Ok(FileManifest::read(store, keys, version).await?.objects(keys))
}
