//! Reading a sealed file by range, and handing its parts to a requester.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;

use super::manifest::FileManifest;
use super::parts::{self, CHUNK_BYTES, SEALED_CHUNK_BYTES, bytes_of, offset_of, parts_of};
use crate::keys::AssetKeys;
use crate::seal::{AttemptId, DataKey, Scratch, Sealer, SegmentKey};
use crate::store::{Store, StoreError};
use crate::suite::HashAlgorithm;
use crate::table::columns::ColumnSegment;
use crate::table::layout::{self, WholeObject};
use crate::table::version::{ObjectEntry, VersionRef};

/// A version of a file, open for reading. Safe to share between threads.
pub struct SealedFile {
    store: Store,
    keys: Arc<AssetKeys>,
    manifest: FileManifest,
    key: DataKey,
}

impl SealedFile {
    /// Opens a version, if its manifest is the one registered.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Damaged`] naming the manifest, [`StoreError::Keys`] when
    /// the asset's keys do not open it.
    pub async fn open(store: Store, keys: Arc<AssetKeys>, version: &VersionRef) -> Result<Self, StoreError> {
        let manifest = FileManifest::read(&store, &keys, version).await?;
        let key = manifest.data_key(&keys)?;
        Ok(Self { store, keys, manifest, key })
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.manifest.file_bytes
    }

    /// The attempt that sealed it.
    pub fn attempt(&self) -> AttemptId {
        self.manifest.attempt
    }

    /// The version's number.
    pub fn version(&self) -> u32 {
        self.manifest.version
    }

    /// The bytes of the file in `range`, cut at its end. Reads the chunks they lie in and no others.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Damaged`] naming part and chunk, [`StoreError::Service`].
    pub async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let range = range.start..range.end.min(self.manifest.file_bytes);
        let mut content = Vec::new();
        for part in parts_of(&range) {
            let within = bytes_of(part, self.manifest.file_bytes);
            let from = range.start.max(within.start) - within.start;
            let to = range.end.min(within.end) - within.start;
            content.extend(self.read_within(u32::try_from(part).unwrap_or(u32::MAX), from, to).await?);
        }
        Ok(content)
    }

    /// Bytes `from..to` of a part's content.
    async fn read_within(&self, part: u32, from: u64, to: u64) -> Result<Vec<u8>, StoreError> {
        let chunk_bytes = CHUNK_BYTES as u64;
        let chunks = self.manifest.chunks(part);
        let first = u32::try_from(from / chunk_bytes).unwrap_or(u32::MAX);
        let end = u32::try_from(to.div_ceil(chunk_bytes)).unwrap_or(u32::MAX);
        let PartOpener { sealer, name: object, entry, .. } = self.opener(part)?;
        let start = offset_of(first, chunks);
        let stop = if end == chunks { entry.bytes } else { offset_of(end, chunks) };
        let sealed = self.store.read_range(&object, start, stop.saturating_sub(start)).await?;
        let (mut content, mut scratch) = (Vec::with_capacity(sealed.len()), Scratch::default());
        for (chunk, sealed) in (first..).zip(sealed.chunks(SEALED_CHUNK_BYTES)) {
            content.extend_from_slice(layout::open_chunk(&sealer, chunks, &object, chunk, sealed, &mut scratch)?);
        }
        let skip = usize::try_from(from - u64::from(first) * chunk_bytes).unwrap_or(usize::MAX);
        let wanted = usize::try_from(to - from).unwrap_or(usize::MAX);
        match content.get(skip..skip.saturating_add(wanted)) {
            Some(wanted) => Ok(wanted.to_vec()),
            None => Err(StoreError::damaged(&object, Some(first), "its chunks are shorter than they must be")),
        }
    }

    /// A part's whole object, unchecked.
    pub(crate) async fn read_object(&self, part: u32) -> Result<Bytes, StoreError> {
        self.store.read(&self.manifest.object(&self.keys, part)).await
    }

    /// What opens the chunks of a part.
    pub(crate) fn opener(&self, part: u32) -> Result<PartOpener, StoreError> {
        let place = parts::place(self.keys.label(), self.manifest.attempt, part);
        let name = layout::object_path(&place);
        let entry = usize::try_from(part).ok().and_then(|part| self.manifest.parts.get(part));
        let entry = *entry.ok_or_else(|| StoreError::damaged(&name, None, "the manifest does not know it"))?;
        let sealer = Sealer::new(place, self.manifest.suite, self.key.segment_key(part));
        Ok(PartOpener { sealer, name, entry, hash: self.manifest.hash, chunks: self.manifest.chunks(part) })
    }

    /// The parts in order, in the form of a column's segments: `rows` are their chunks.
    ///
    /// # Errors
    /// [`StoreError::Keys`].
    pub fn parts(&self) -> Result<Vec<ColumnSegment>, StoreError> {
        Ok(self.manifest.segments(&self.keys)?.into_iter().map(|(part, _)| part).collect())
    }

    /// The keys of the parts in order: they open this version's content and nothing else.
    ///
    /// # Errors
    /// [`StoreError::Keys`].
    pub fn part_keys(&self) -> Result<Vec<SegmentKey>, StoreError> {
        Ok(self.manifest.segments(&self.keys)?.into_iter().map(|(_, key)| key).collect())
    }

    /// `length` bytes from `start` of a part's object, as stored.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`] when there is no such part or it is too short,
    /// [`StoreError::Service`].
    pub async fn read_part(&self, position: usize, start: u64, length: u64) -> Result<Bytes, StoreError> {
        let part = u32::try_from(position).unwrap_or(u32::MAX);
        let object = self.manifest.object(&self.keys, part);
        if position >= self.manifest.parts.len() {
            return Err(StoreError::damaged(&object, None, "the manifest does not know it"));
        }
        self.store.read_range(&object, start, length).await
    }
}

/// What opens the chunks of one part.
pub(crate) struct PartOpener {
    sealer: Sealer,
    name: Path,
    entry: ObjectEntry,
    hash: HashAlgorithm,
    chunks: u32,
}

impl PartOpener {
    /// The part's object, if length, digest and header are right.
    pub(crate) fn whole<'o>(&'o self, object: &'o [u8]) -> Result<WholeObject<'o>, StoreError> {
        self.entry.check(self.hash, &self.name, object)?;
        WholeObject::of(&self.sealer, self.chunks, self.chunks, &self.name, object)
    }

    /// Opens a chunk whose content must be as long as `room`.
    pub(crate) fn open_into(
        &self,
        whole: &WholeObject<'_>,
        chunk: u32,
        scratch: &mut Scratch,
        room: &mut [u8],
    ) -> Result<(), StoreError> {
        let content = whole.open(chunk, scratch)?;
        if content.len() != room.len() {
            return Err(StoreError::damaged(&self.name, Some(chunk), "it is not as long as it must be"));
        }
        room.copy_from_slice(content);
        Ok(())
    }
}
