//! Sealing of chunks: AES-256-GCM under a data key that belongs to one stream of one attempt
//! (docs/spec/store.md#chunks).

use borsh::{BorshDeserialize, BorshSerialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::keys::{AssetLabel, KeyError};
use crate::secret::{Cipher, NONCE_BYTES, NotOpened, Secret, TAG_BYTES, random};
use crate::suite::CipherSuite;

/// Plaintexts are padded to a multiple of this, so that their length says little.
pub const PAD_BYTES: usize = 256;
/// Bytes of the length that stands before the content inside a chunk.
const LENGTH_BYTES: usize = 4;

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
}

/// A key for one stream of one attempt. Whoever holds a column's key reads that column of that
/// attempt and nothing else.
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

    /// A key received from its owner; compare [`DataKey::check`] before use.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    /// The key itself, to be handed to a requester under a grant for the whole column.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// What the ledger records of the key (docs/spec/store.md#keys).
    pub fn commitment(&self) -> KeyCommitment {
        KeyCommitment(*self.0.derive("sealgate/ods/key-commitment/1", &[]).expose())
    }

    /// Compares the key with a commitment, in constant time.
    ///
    /// # Errors
    /// [`KeyError::Commitment`] when it is another key.
    pub fn check(&self, commitment: &KeyCommitment) -> Result<(), KeyError> {
        match bool::from(self.commitment().0.ct_eq(&commitment.0)) {
            true => Ok(()),
            false => Err(KeyError::Commitment),
        }
    }

    /// What seals and opens the chunks of `stream` as `attempt` wrote it.
    pub(crate) fn sealer(&self, label: &AssetLabel, attempt: AttemptId, stream: Stream) -> Sealer {
        let cipher = self.0.derive("sealgate/ods/chunk-key/1", &[]).cipher(CipherSuite::Aes256Gcm);
        Sealer { cipher, label: label.clone(), attempt, stream, commitment: self.commitment() }
    }
}

/// Seals and opens the chunks of one stream. Nonces are counters: within one attempt every
/// (segment, chunk) is sealed once, and a key never outlives its attempt.
pub(crate) struct Sealer {
    cipher: Cipher,
    label: AssetLabel,
    pub(crate) attempt: AttemptId,
    pub(crate) stream: Stream,
    pub(crate) commitment: KeyCommitment,
}

/// Where a chunk belongs: part of its nonce and all of its associated data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub(crate) segment: u32,
    pub(crate) chunk: u32,
    /// Whether no chunk of the segment follows.
    pub(crate) last: bool,
}

impl Sealer {
    /// Length, content and zeros up to a multiple of [`PAD_BYTES`], sealed.
    pub(crate) fn seal(&self, place: ChunkPlace, content: &[u8]) -> Result<Vec<u8>, NotOpened> {
        let length = u32::try_from(content.len()).map_err(|_| NotOpened)?;
        let padded = padded_bytes(content.len());
        let mut buffer = Vec::with_capacity(padded + TAG_BYTES);
        buffer.extend_from_slice(&length.to_le_bytes());
        buffer.extend_from_slice(content);
        buffer.resize(padded, 0);
        self.cipher.seal(nonce(place), &self.aad(place), &mut buffer)?;
        Ok(buffer)
    }

    /// The content of a sealed chunk, if it belongs here and is unchanged.
    pub(crate) fn open(&self, place: ChunkPlace, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        let mut buffer = Zeroizing::new(sealed.to_vec());
        self.cipher.open(nonce(place), &self.aad(place), &mut buffer)?;
        unframe(&buffer).map(|content| Zeroizing::new(content.to_vec())).ok_or(NotOpened)
    }

    fn aad(&self, place: ChunkPlace) -> Vec<u8> {
        let named = ("sealgate/ods/chunk/1", self.label.as_str(), self.attempt, self.stream);
        let position = (place.segment, place.chunk, place.last);
        borsh::to_vec(&(named, position)).unwrap_or_default()
    }
}

/// Bytes of a chunk's plaintext for so many bytes of content.
pub(crate) fn padded_bytes(content_bytes: usize) -> usize {
    (content_bytes + LENGTH_BYTES).next_multiple_of(PAD_BYTES)
}

fn unframe(framed: &[u8]) -> Option<&[u8]> {
    let (length, rest) = framed.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (content, padding) = rest.split_at_checked(length)?;
    let canonical = framed.len() == padded_bytes(length) && padding.iter().all(|byte| *byte == 0);
    canonical.then_some(content)
}

fn nonce(place: ChunkPlace) -> [u8; NONCE_BYTES] {
    let mut nonce = [0u8; NONCE_BYTES];
    let counters = place.segment.to_be_bytes().into_iter().chain([0; 4]).chain(place.chunk.to_be_bytes());
    for (to, from) in nonce.iter_mut().zip(counters) {
        *to = from;
    }
    nonce
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
