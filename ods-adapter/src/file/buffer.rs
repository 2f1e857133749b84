//! A part in the making: its content comes to where it will lie in the object, and is sealed there.

use std::io::{self, ErrorKind, Read};

use bytes::{Bytes, BytesMut};

use super::parts::{CHUNK_BYTES, PART_CHUNKS, SEALED_CHUNK_BYTES, chunk_count};
use super::write::SealFileError;
use crate::keys::KeyError;
use crate::seal::{CONTENT_AT, ChunkPlace, Sealer, sealed_bytes};
use crate::secret::NotOpened;
use crate::suite::HashAlgorithm;
use crate::table::layout::{HEADER_BYTES, Header, LENGTH_BYTES};
use crate::table::version::ObjectEntry;

/// Where the first chunk lies. A part of fewer chunks has a shorter table of lengths before it and so
/// begins later in the buffer, for how many there are is known only when they have been read.
const CHUNKS_AT: usize = HEADER_BYTES + PART_CHUNKS as usize * LENGTH_BYTES;
/// Bytes of the longest object.
const BUFFER_BYTES: usize = CHUNKS_AT + PART_CHUNKS as usize * SEALED_CHUNK_BYTES;
/// What a digest is given at once: BLAKE3 is fast on pieces whose length is a power of two, and what was
/// just sealed is near.
const HASHED_AT_ONCE: usize = 64 << 10;

/// Room for one part's object. It is used again for part after part: fresh memory costs as much as reading.
pub(crate) struct PartBuffer(BytesMut);

/// A part as it is stored.
pub(crate) struct SealedPart {
    pub(crate) object: Bytes,
    pub(crate) entry: ObjectEntry,
    /// The buffer that `object` is a piece of.
    buffer: Bytes,
}

impl SealedPart {
    /// The buffer, if nobody holds the object any more; otherwise a new one.
    pub(crate) fn into_buffer(self) -> PartBuffer {
        let Self { object, buffer, .. } = self;
        drop(object);
        buffer.try_into_mut().map_or_else(|_| PartBuffer::new(), PartBuffer)
    }
}

impl PartBuffer {
    pub(crate) fn new() -> Self {
        Self(BytesMut::zeroed(BUFFER_BYTES))
    }

    /// Reads a part to its place; gives its bytes, fewer than a part has only at the reader's end.
    pub(crate) fn read(&mut self, reader: &mut dyn Read) -> io::Result<usize> {
        let mut read = 0;
        for frame in self.0.get_mut(CHUNKS_AT..).unwrap_or_default().chunks_exact_mut(SEALED_CHUNK_BYTES) {
            let chunk = read_full(reader, frame.get_mut(CONTENT_AT..CONTENT_AT + CHUNK_BYTES).unwrap_or_default())?;
            read += chunk;
            if chunk < CHUNK_BYTES {
                break;
            }
        }
        Ok(read)
    }

    /// Seals a part of so many bytes. Chunk after chunk is filled by `fill`, or has been by
    /// [`PartBuffer::read`], is sealed, and is hashed while it is near.
    pub(crate) fn seal(
        mut self,
        sealer: &Sealer,
        content_bytes: usize,
        hash: HashAlgorithm,
        mut fill: impl FnMut(u32, &mut [u8]) -> Result<(), SealFileError>,
    ) -> Result<SealedPart, SealFileError> {
        let none = |NotOpened| KeyError::NotOpened("a part of the file");
        let count = chunk_count(content_bytes as u64);
        let lengths = (0..count as usize).map(|chunk| chunk_bytes(chunk, content_bytes));
        let start = CHUNKS_AT - HEADER_BYTES - count as usize * LENGTH_BYTES;
        let header = Header::of(&sealer.place, sealer.commitment, count, count).encode();
        let table = lengths.clone().flat_map(|length| (sealed_bytes(length) as u32).to_le_bytes());
        for (to, from) in self.0.iter_mut().skip(start).zip(header.into_iter().chain(table)) {
            *to = from;
        }
        let (mut hasher, mut hashed, mut end) = (hash.hasher(), start, CHUNKS_AT);
        for (chunk, length) in (0..count).zip(lengths) {
            let frame = self.0.get_mut(end..end + sealed_bytes(length)).ok_or(NotOpened).map_err(none)?;
            fill(chunk, frame.get_mut(CONTENT_AT..CONTENT_AT + length).unwrap_or_default())?;
            sealer.seal(ChunkPlace { chunk, last: chunk + 1 == count }, frame, length).map_err(none)?;
            end += sealed_bytes(length);
            let whole = end - (end - start) % HASHED_AT_ONCE;
            hasher.update(self.0.get(hashed..whole).unwrap_or_default());
            hashed = whole;
        }
        hasher.update(self.0.get(hashed..end).unwrap_or_default());
        let buffer = self.0.freeze();
        let object = buffer.slice(start..end);
        let entry = ObjectEntry { bytes: object.len() as u64, digest: hasher.finish() };
        Ok(SealedPart { object, entry, buffer })
    }
}

/// Bytes of the content that lie in `chunk`.
fn chunk_bytes(chunk: usize, content_bytes: usize) -> usize {
    content_bytes.saturating_sub(chunk * CHUNK_BYTES).min(CHUNK_BYTES)
}

/// Reads until the room is full or the reader at its end.
fn read_full(reader: &mut dyn Read, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
