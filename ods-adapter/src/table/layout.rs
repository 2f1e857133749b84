//! Names of objects and the bytes around their chunks (docs/spec/store.md#segment-objects).

use object_store::path::Path;

use crate::keys::AssetLabel;
use crate::seal::{
    AttemptId, CONTENT_AT, ChunkPlace, KeyCommitment, Scratch, Sealer, SegmentPlace, Stream, sealed_bytes,
};
use crate::secret::NotOpened;
use crate::store::StoreError;

/// Most rows in a segment.
pub(crate) const SEGMENT_ROWS: usize = 16_384;
/// A segment ends early when its values reach this size, so that memory stays bounded.
pub(crate) const SEGMENT_VALUE_BYTES: usize = 32 << 20;
/// Rows in a chunk.
pub(crate) const CHUNK_ROWS: usize = 64;
/// The format's number.
pub(crate) const FORMAT: u16 = 2;

const MAGIC: [u8; 8] = *b"SGSEGMNT";
const FORMAT_AT: usize = 8;
const STREAM_AT: usize = 10;
const SEGMENT_AT: usize = 12;
const ATTEMPT_AT: usize = 16;
const COMMITMENT_AT: usize = 32;
const ITEMS_AT: usize = 64;
const CHUNKS_AT: usize = 68;
/// Bytes before the table of chunk lengths.
pub(crate) const HEADER_BYTES: usize = 72;
/// Bytes of one entry of the table of chunk lengths.
pub(crate) const LENGTH_BYTES: usize = 4;

const STREAM_FILE: u16 = 0xfffd;
const STREAM_LEAVES: u16 = 0xfffe;
const STREAM_INDEX: u16 = 0xffff;

/// `assets/<label>/`.
pub(crate) fn asset_path(label: &AssetLabel) -> Path {
    Path::from_iter(["assets", &label.hex()])
}

/// `assets/<label>/<attempt>/`.
pub(crate) fn attempt_path(label: &AssetLabel, attempt: AttemptId) -> Path {
    asset_path(label).join(attempt.to_string())
}

/// The object of one segment of a stream.
pub(crate) fn object_path(place: &SegmentPlace) -> Path {
    let folder = attempt_path(&place.label, place.attempt);
    match place.stream {
        Stream::Column(column) => folder.join(format!("c{column}")).join(format!("s{}", place.segment)),
        Stream::Leaves => folder.join("leaves").join(format!("g{}", place.segment)),
        Stream::Index => folder.join("index"),
        Stream::File => folder.join("parts").join(format!("p{}", place.segment)),
    }
}

/// The object that lists all others.
pub(crate) fn manifest_path(label: &AssetLabel, attempt: AttemptId) -> Path {
    attempt_path(label, attempt).join("manifest")
}

/// The empty object that tells that an attempt's version has been let go of.
pub(crate) fn retired_path(label: &AssetLabel, attempt: AttemptId) -> Path {
    attempt_path(label, attempt).join("retired")
}

/// What stands before a segment's chunks; known to the reader beforehand, and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) stream: Stream,
    pub(crate) segment: u32,
    pub(crate) attempt: AttemptId,
    pub(crate) commitment: KeyCommitment,
    /// Rows, leaves or buckets in the segment.
    pub(crate) items: u32,
    pub(crate) chunks: u32,
}

impl Header {
    pub(crate) fn of(place: &SegmentPlace, commitment: KeyCommitment, items: u32, chunks: u32) -> Self {
        let SegmentPlace { stream, attempt, segment, .. } = *place;
        Self { stream, segment, attempt, commitment, items, chunks }
    }

    /// Bytes before the first chunk.
    pub(crate) fn chunks_at(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.chunks) * LENGTH_BYTES as u64
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let stream = match self.stream {
            Stream::Column(column) => u16::from(column),
            Stream::Leaves => STREAM_LEAVES,
            Stream::Index => STREAM_INDEX,
            Stream::File => STREAM_FILE,
        };
        let mut bytes = [0u8; HEADER_BYTES];
        let mut put = |at: usize, field: &[u8]| {
            for (to, from) in bytes.iter_mut().skip(at).zip(field) {
                *to = *from;
            }
        };
        put(0, &MAGIC);
        put(FORMAT_AT, &FORMAT.to_le_bytes());
        put(STREAM_AT, &stream.to_le_bytes());
        put(SEGMENT_AT, &self.segment.to_le_bytes());
        put(ATTEMPT_AT, self.attempt.as_bytes());
        put(COMMITMENT_AT, self.commitment.as_bytes());
        put(ITEMS_AT, &self.items.to_le_bytes());
        put(CHUNKS_AT, &self.chunks.to_le_bytes());
        bytes
    }

    /// Checks the header at the start of `bytes` and returns (offset, length) of each chunk.
    pub(crate) fn chunk_ranges(&self, object: &Path, bytes: &[u8]) -> Result<Vec<(u64, u64)>, StoreError> {
        let damaged = |what| StoreError::damaged(object, None, what);
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(damaged("it is shorter than its header"));
        };
        if *header != self.encode() {
            return Err(damaged("its header is not the one that was written"));
        }
        let chunks = usize::try_from(self.chunks).unwrap_or(usize::MAX);
        let table = chunks.checked_mul(LENGTH_BYTES).and_then(|length| rest.get(..length));
        let table = table.ok_or_else(|| damaged("it ends within the table of chunk lengths"))?;
        let mut offset = self.chunks_at();
        let mut ranges = Vec::with_capacity(chunks);
        for entry in table.as_chunks::<LENGTH_BYTES>().0 {
            let length = u64::from(u32::from_le_bytes(*entry));
            ranges.push((offset, length));
            offset += length;
        }
        Ok(ranges)
    }
}

/// Seals `contents`, one chunk each, into a whole object. Also returns each chunk's sealed length.
pub(crate) fn seal_object<C: AsRef<[u8]>>(
    sealer: &Sealer,
    items: u32,
    contents: &[C],
) -> Result<(Vec<u8>, Vec<u32>), NotOpened> {
    let count = u32::try_from(contents.len()).map_err(|_| NotOpened)?;
    let length = |content: &C| u32::try_from(sealed_bytes(content.as_ref().len()));
    let lengths: Vec<u32> = contents.iter().map(length).collect::<Result<_, _>>().map_err(|_| NotOpened)?;
    let body_bytes: usize = lengths.iter().map(|length| *length as usize).sum();
    let mut object = Vec::with_capacity(HEADER_BYTES + lengths.len() * LENGTH_BYTES + body_bytes);
    object.extend_from_slice(&Header::of(&sealer.place, sealer.commitment, items, count).encode());
    object.extend(lengths.iter().flat_map(|length| length.to_le_bytes()));
    for ((chunk, content), length) in (0..count).zip(contents).zip(&lengths) {
        let (start, content) = (object.len(), content.as_ref());
        object.extend_from_slice(&[0; CONTENT_AT]);
        object.extend_from_slice(content);
        object.resize(start + *length as usize, 0);
        let frame = object.get_mut(start..).ok_or(NotOpened)?;
        sealer.seal(ChunkPlace { chunk, last: chunk + 1 == count }, frame, content.len())?;
    }
    Ok((object, lengths))
}

/// Opens every chunk of a whole object of so many items and shows each, with its number, to `each`; nothing
/// may follow the last one. Gives the number of chunks.
pub(crate) fn open_object(
    sealer: &Sealer,
    items: u32,
    chunks: u32,
    object: &Path,
    bytes: &[u8],
    mut each: impl FnMut(u32, &[u8]) -> Result<(), StoreError>,
) -> Result<u32, StoreError> {
    let object = WholeObject::of(sealer, items, chunks, object, bytes)?;
    let mut scratch = Scratch::default();
    for chunk in 0..chunks {
        each(chunk, object.open(chunk, &mut scratch)?)?;
    }
    Ok(chunks)
}

/// An object whose header and lengths are right, chunk by chunk.
pub(crate) struct WholeObject<'o> {
    sealer: &'o Sealer,
    chunks: u32,
    object: &'o Path,
    bytes: &'o [u8],
    ranges: Vec<(u64, u64)>,
}

impl<'o> WholeObject<'o> {
    /// Compares the header; nothing may follow the last chunk.
    pub(crate) fn of(
        sealer: &'o Sealer,
        items: u32,
        chunks: u32,
        object: &'o Path,
        bytes: &'o [u8],
    ) -> Result<Self, StoreError> {
        let header = Header::of(&sealer.place, sealer.commitment, items, chunks);
        let ranges = header.chunk_ranges(object, bytes)?;
        let end = ranges.last().map_or(header.chunks_at(), |(offset, length)| offset + length);
        match end == bytes.len() as u64 {
            true => Ok(Self { sealer, chunks, object, bytes, ranges }),
            false => Err(StoreError::damaged(object, None, "its length is not the sum of its chunks")),
        }
    }

    /// The content of one chunk, opened in `scratch`.
    pub(crate) fn open<'s>(&self, chunk: u32, scratch: &'s mut Scratch) -> Result<&'s [u8], StoreError> {
        let range = usize::try_from(chunk)
            .ok()
            .and_then(|chunk| self.ranges.get(chunk))
            .and_then(|(offset, length)| Some(usize::try_from(*offset).ok()?..usize::try_from(offset + length).ok()?));
        let sealed = range.and_then(|range| self.bytes.get(range)).unwrap_or_default();
        open_chunk(self.sealer, self.chunks, self.object, chunk, sealed, scratch)
    }
}

/// Opens one of the chunks of a segment in `scratch`.
pub(crate) fn open_chunk<'s>(
    sealer: &Sealer,
    chunks: u32,
    object: &Path,
    chunk: u32,
    sealed: &[u8],
    scratch: &'s mut Scratch,
) -> Result<&'s [u8], StoreError> {
    let at = ChunkPlace { chunk, last: chunk + 1 == chunks };
    sealer
        .open(at, sealed, scratch)
        .map_err(|_| StoreError::damaged(object, Some(chunk), "it does not open with its key"))
}
