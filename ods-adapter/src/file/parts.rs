//! The parts of a file and their chunks: where each byte lies, and what opens it.

use std::ops::Range;

use object_store::path::Path;

use crate::keys::AssetLabel;
use crate::seal::{AttemptId, Sealer, SegmentKey, SegmentPlace, Stream, sealed_bytes};
use crate::store::StoreError;
use crate::suite::{CipherSuite, HashAlgorithm};
use crate::table::columns::ColumnSegment;
use crate::table::layout::{self, HEADER_BYTES, LENGTH_BYTES};
use crate::table::version::ObjectEntry;

/// Bytes of the file in a chunk; with what stands before them, 64 KiB.
pub const CHUNK_BYTES: usize = 65_500;
/// Chunks in a part. Only the last part has fewer.
pub const PART_CHUNKS: u32 = 256;
/// Bytes of the file in a part; only the last one has fewer.
pub const PART_BYTES: u64 = CHUNK_BYTES as u64 * PART_CHUNKS as u64;

/// Bytes of a full chunk as stored.
pub(crate) const SEALED_CHUNK_BYTES: usize = sealed_bytes(CHUNK_BYTES);

/// The numbers of the parts in which these bytes of a file lie.
pub fn parts_of(bytes: &Range<u64>) -> Range<u64> {
    match bytes.is_empty() {
        true => 0..0,
        false => bytes.start / PART_BYTES..bytes.end.div_ceil(PART_BYTES),
    }
}

/// How many parts a file of so many bytes has: an empty file has one, which is empty.
pub(crate) fn part_count(file_bytes: u64) -> u64 {
    file_bytes.div_ceil(PART_BYTES).max(1)
}

/// How many chunks hold so many bytes of a part: at least one.
pub(crate) fn chunk_count(content_bytes: u64) -> u32 {
    u32::try_from(content_bytes.div_ceil(CHUNK_BYTES as u64).max(1)).unwrap_or(u32::MAX)
}

/// The bytes of a file of `file_bytes` that lie in part `part`.
pub(crate) fn bytes_of(part: u64, file_bytes: u64) -> Range<u64> {
    let start = part.saturating_mul(PART_BYTES).min(file_bytes);
    start..start.saturating_add(PART_BYTES).min(file_bytes)
}

/// Where full chunks of a part that has `chunks` of them begin and end within its object; its last
/// chunk may be shorter.
pub(crate) fn offset_of(chunk: u32, chunks: u32) -> u64 {
    HEADER_BYTES as u64 + u64::from(chunks) * LENGTH_BYTES as u64 + u64::from(chunk) * SEALED_CHUNK_BYTES as u64
}

pub(crate) fn place(label: &AssetLabel, attempt: AttemptId, part: u32) -> SegmentPlace {
    SegmentPlace { label: label.clone(), attempt, stream: Stream::File, segment: part }
}

/// The content of a part's whole object.
pub(crate) fn open(sealer: &Sealer, chunks: u32, name: &Path, object: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut content = Vec::with_capacity(object.len());
    open_each(sealer, chunks, name, object, |opened| content.extend_from_slice(opened))?;
    Ok(content)
}

/// Shows the content of each chunk of a part's whole object in order.
pub(crate) fn open_each(
    sealer: &Sealer,
    chunks: u32,
    name: &Path,
    object: &[u8],
    mut each: impl FnMut(&[u8]),
) -> Result<(), StoreError> {
    let mut full = true;
    layout::open_object(sealer, chunks, chunks, name, object, |chunk, opened| {
        if !full {
            return Err(StoreError::damaged(name, Some(chunk.saturating_sub(1)), "it is shorter than it must be"));
        }
        full = opened.len() == CHUNK_BYTES;
        each(opened);
        Ok(())
    })?;
    Ok(())
}

/// Opens one part of a file with its key alone. `object` is what the owner stores; its length, digest,
/// header and every chunk are checked. Which parts make up the file is [`check_parts`]'.
///
/// # Errors
/// [`StoreError::Damaged`] naming the object and the chunk, [`StoreError::Keys`] when the key is not
/// the one committed to.
pub fn open_part(
    label: &AssetLabel,
    suite: CipherSuite,
    hash: HashAlgorithm,
    part: &ColumnSegment,
    key: &SegmentKey,
    object: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let place = place(label, part.attempt, part.segment);
    let name = layout::object_path(&place);
    key.check(&part.key_commitment)?;
    ObjectEntry { bytes: part.bytes, digest: part.digest }.check(hash, &name, object)?;
    open(&Sealer::new(place, suite, key.clone()), part.rows, &name, object)
}

/// That these are the parts of the file that `attempt` sealed, each once and in order. That they are the
/// registered ones is what [`crate::table::columns::column_seal`] tells.
///
/// # Errors
/// [`StoreError::Damaged`] naming the first part that is not what it must be.
pub fn check_parts(label: &AssetLabel, attempt: AttemptId, parts: &[ColumnSegment]) -> Result<(), StoreError> {
    let wrong = |number: u32, what: &str| {
        Err(StoreError::damaged(&layout::object_path(&place(label, attempt, number)), None, what))
    };
    let Some((last, others)) = parts.split_last() else { return wrong(0, "a file without parts") };
    for (number, part) in (0u32..).zip(parts) {
        if part.attempt != attempt || part.segment != number {
            return wrong(number, "another part stands in its place");
        }
    }
    for (number, part) in (0u32..).zip(others) {
        if part.rows != PART_CHUNKS {
            return wrong(number, "it is shorter than a part that others follow");
        }
    }
    match (1..=PART_CHUNKS).contains(&last.rows) {
        true => Ok(()),
        false => wrong(last.segment, "it has more chunks than a part holds, or none"),
    }
}
