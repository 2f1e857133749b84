//! Sealing of chunks: each under a key of its own, which follows from a data key that belongs to
//! one stream of one attempt (docs/spec/store.md#chunks).

use borsh::{BorshDeserialize, BorshSerialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::keys::{AssetLabel, KeyError};
use crate::secret::{NONCE_BYTES, NotOpened, Secret, TAG_BYTES, random};
use crate::suite::CipherSuite;

/// Plaintexts are padded to a multiple of this, so that their length says little.
pub const PAD_BYTES: usize = 256;
/// Zeros at the start of every chunk's plaintext: GCM does not commit to its key, and without them two
/// keys could be found that open one chunk to different contents (Albertini et al., "How to Abuse and
/// Fix Authenticated Encryption Without Key Commitment", USENIX Security 2022, the padding fix).
const COMMITTING_BYTES: usize = 32;
/// Bytes of the length that stands before the content inside a chunk.
const LENGTH_BYTES: usize = 4;
/// Where in a chunk's plaintext its content begins.
pub(crate) const CONTENT_AT: usize = COMMITTING_BYTES + LENGTH_BYTES;

sealgate_circuits::byte_newtype!(
    /// One attempt at sealing a version, drawn at random: what it wrote lies under its name.
    AttemptId, 16, "attempt id"
);
sealgate_circuits::byte_newtype!(
    /// Binds to one data key, which GCM alone does not.
    KeyCommitment, 32, "key commitment"
);

impl AttemptId {
    /// Draws one at random.
    ///
    /// # Errors
    /// [`KeyError::Random`] when the operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        random().map(Self).map_err(KeyError::Random)
    }
}

/// What a data key seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Stream {
    /// The column at this position of the schema.
    Column(u8),
    /// The leaves of the tree, in buckets.
    Leaves,
    /// The roots and offsets of the buckets.
    Index,
    /// The content of a file, in parts.
    File,
}

/// A key for one stream of one attempt, from which the keys of its segments follow.
#[derive(Clone, Debug)]
pub struct DataKey(Secret);

impl DataKey {
    /// Draws one at random.
    ///
    /// # Errors
    /// [`KeyError::Random`] when the operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        Secret::generate().map(Self).map_err(KeyError::Random)
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// What stands beside the wrapped key (docs/spec/store.md#keys).
    pub(crate) fn commitment(&self) -> KeyCommitment {
        commitment(&self.0)
    }

    /// Compares the key with a commitment, in constant time.
    ///
    /// # Errors
    /// [`KeyError::Commitment`] when it is another key.
    pub(crate) fn check(&self, commitment: &KeyCommitment) -> Result<(), KeyError> {
        same(&self.commitment(), commitment)
    }

    /// The key of one segment.
    pub fn segment_key(&self, segment: u32) -> SegmentKey {
        SegmentKey(self.0.derive("sealgate/ods/segment-key/1", &[&segment.to_le_bytes()]))
    }
}

/// The key of one segment of a stream. Whoever holds a column's reads that segment of that column
/// and nothing else.
#[derive(Clone, Debug)]
pub struct SegmentKey(Secret);

impl SegmentKey {
    /// A key received from its owner; compare [`SegmentKey::check`] before use.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    /// The key itself, to be handed to a requester under a grant for the whole column.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// What the segment's header and the ledger record of the key (docs/spec/store.md#keys).
    pub fn commitment(&self) -> KeyCommitment {
        commitment(&self.0)
    }

    /// Compares the key with a commitment, in constant time.
    ///
    /// # Errors
    /// [`KeyError::Commitment`] when it is another key.
    pub fn check(&self, commitment: &KeyCommitment) -> Result<(), KeyError> {
        same(&self.commitment(), commitment)
    }

    /// The key of one chunk. A keyed BLAKE3, because a large table has a great many.
    pub fn chunk_key(&self, chunk: u32) -> ChunkKey {
        ChunkKey(Secret::from_bytes(blake3::keyed_hash(self.0.expose(), &chunk.to_le_bytes()).into()))
    }
}

/// The key that seals one chunk.
#[derive(Clone, Debug)]
pub struct ChunkKey(Secret);

impl ChunkKey {
    /// A key received from its owner.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    /// The key itself, to be shown to an auditor who samples a record.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

fn commitment(key: &Secret) -> KeyCommitment {
    KeyCommitment(*key.derive("sealgate/ods/key-commitment/1", &[]).expose())
}

fn same(found: &KeyCommitment, expected: &KeyCommitment) -> Result<(), KeyError> {
    match bool::from(found.0.ct_eq(&expected.0)) {
        true => Ok(()),
        false => Err(KeyError::Commitment),
    }
}

/// Which segment: part of all associated data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentPlace {
    pub(crate) label: AssetLabel,
    pub(crate) attempt: AttemptId,
    pub(crate) stream: Stream,
    pub(crate) segment: u32,
}

impl SegmentPlace {
    /// Seals a chunk where it lies: `frame` is as long as the sealed chunk and has the content at
    /// [`CONTENT_AT`]. What else is in it does not matter: zeros, length, padding and tag are written here.
    fn seal(
        &self,
        suite: CipherSuite,
        key: &ChunkKey,
        at: ChunkPlace,
        frame: &mut [u8],
        content_bytes: usize,
    ) -> Result<(), NotOpened> {
        let length = u32::try_from(content_bytes).map_err(|_| NotOpened)?;
        let (framed, tag) = frame.split_last_chunk_mut::<TAG_BYTES>().ok_or(NotOpened)?;
        if framed.len() != padded_bytes(content_bytes) {
            return Err(NotOpened);
        }
        let (zeros, rest) = framed.split_first_chunk_mut::<COMMITTING_BYTES>().ok_or(NotOpened)?;
        *zeros = [0; COMMITTING_BYTES];
        let (written, rest) = rest.split_first_chunk_mut::<LENGTH_BYTES>().ok_or(NotOpened)?;
        *written = length.to_le_bytes();
        rest.get_mut(content_bytes..).ok_or(NotOpened)?.fill(0);
        *tag = key.0.cipher(suite).seal_detached(self.nonce(at), &self.aad(at), framed)?;
        Ok(())
    }

    /// The content of a sealed chunk, if it belongs here and is unchanged; it is opened in `scratch`.
    pub(crate) fn open<'s>(
        &self,
        suite: CipherSuite,
        key: &ChunkKey,
        at: ChunkPlace,
        sealed: &[u8],
        scratch: &'s mut Scratch,
    ) -> Result<&'s [u8], NotOpened> {
        let (framed, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(NotOpened)?;
        let framed = scratch.with(framed);
        key.0.cipher(suite).open_detached(self.nonce(at), &self.aad(at), framed, *tag)?;
        content_of(framed).and_then(|content| framed.get(content)).ok_or(NotOpened)
    }

    fn aad(&self, at: ChunkPlace) -> Vec<u8> {
        let named = ("sealgate/ods/chunk/2", self.label.as_str(), self.attempt, self.stream);
        borsh::to_vec(&(named, (self.segment, at.chunk, at.last))).unwrap_or_default()
    }

    /// Each chunk has a key of its own; that its nonce is its position too costs nothing.
    fn nonce(&self, at: ChunkPlace) -> [u8; NONCE_BYTES] {
        let mut nonce = [0u8; NONCE_BYTES];
        let counters = self.segment.to_be_bytes().into_iter().chain([0; 4]).chain(at.chunk.to_be_bytes());
        for (to, from) in nonce.iter_mut().zip(counters) {
            *to = from;
        }
        nonce
    }
}

/// Seals and opens the chunks of one segment. Within one attempt every (segment, chunk) is sealed
/// once, and a key never outlives its attempt.
pub(crate) struct Sealer {
    pub(crate) place: SegmentPlace,
    pub(crate) commitment: KeyCommitment,
    suite: CipherSuite,
    key: SegmentKey,
}

/// Where in its segment a chunk belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub(crate) chunk: u32,
    /// Whether no chunk of the segment follows.
    pub(crate) last: bool,
}

impl Sealer {
    pub(crate) fn new(place: SegmentPlace, suite: CipherSuite, key: SegmentKey) -> Self {
        Self { place, commitment: key.commitment(), suite, key }
    }

    /// Seals a chunk whose content lies at [`CONTENT_AT`] of `frame`, which is as long as the sealed chunk
    /// ([`sealed_bytes`]).
    pub(crate) fn seal(&self, at: ChunkPlace, frame: &mut [u8], content_bytes: usize) -> Result<(), NotOpened> {
        self.place.seal(self.suite, &self.key.chunk_key(at.chunk), at, frame, content_bytes)
    }

    /// The content of a sealed chunk, opened in `scratch`.
    pub(crate) fn open<'s>(
        &self,
        at: ChunkPlace,
        sealed: &[u8],
        scratch: &'s mut Scratch,
    ) -> Result<&'s [u8], NotOpened> {
        self.place.open(self.suite, &self.key.chunk_key(at.chunk), at, sealed, scratch)
    }
}

/// Memory in which chunks are opened, one after the other. It is wiped when it is dropped, and when a chunk
/// needs more: wiping after every chunk costs more than opening it.
#[derive(Default)]
pub(crate) struct Scratch(Zeroizing<Vec<u8>>);

impl Scratch {
    /// Holds these bytes and nothing else.
    fn with(&mut self, bytes: &[u8]) -> &mut [u8] {
        if self.0.capacity() < bytes.len() {
            self.0 = Zeroizing::new(Vec::with_capacity(bytes.len().next_power_of_two()));
        }
        self.0.clear();
        self.0.extend_from_slice(bytes);
        &mut self.0
    }
}

/// Bytes of a sealed chunk for so many bytes of content.
pub(crate) const fn sealed_bytes(content_bytes: usize) -> usize {
    padded_bytes(content_bytes) + TAG_BYTES
}

/// Bytes of a chunk's plaintext for so many bytes of content.
const fn padded_bytes(content_bytes: usize) -> usize {
    (content_bytes + CONTENT_AT).next_multiple_of(PAD_BYTES)
}

/// Where in a framed plaintext its content is.
fn content_of(framed: &[u8]) -> Option<std::ops::Range<usize>> {
    let (zeros, rest) = framed.split_first_chunk::<COMMITTING_BYTES>()?;
    let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let padding = rest.get(length..)?;
    let canonical = *zeros == [0; COMMITTING_BYTES]
        && framed.len() == padded_bytes(length)
        && padding.iter().all(|byte| *byte == 0);
    canonical.then_some(CONTENT_AT..CONTENT_AT + length)
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
