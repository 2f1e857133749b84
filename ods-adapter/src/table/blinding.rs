//! The leaf of no record (docs/spec/store.md#blinding-leaf). Every version has one, drawn anew, so
//! that a version in which nothing changed has another root all the same.

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::{Place, tagged_hash};
use sealgate_circuits::record::RecordCommitment;
use sealgate_circuits::tree::Leaf;

use super::leaves::{LeafEntry, RowPlace, TAG_BYTES, Tags};
use crate::keys::KeyError;
use crate::secret::random;

/// What the leaf follows from. Whoever is shown it sees that no record hides behind the leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlindingSeed(pub [u8; 32]);

impl BlindingSeed {
    pub(crate) fn generate() -> Result<Self, KeyError> {
        random().map(Self).map_err(KeyError::Random)
    }

    /// The leaf. No key's place is there but with negligible probability, as places are the outputs
    /// of a random function.
    pub fn leaf(&self) -> Leaf {
        let mut commitment = tagged_hash("sealgate/ods/blinding-commitment/1", &[&self.0]);
        // Little-endian and below 2^254: a scalar like any other commitment.
        if let Some(highest) = commitment.last_mut() {
            *highest &= 0x3f;
        }
        Leaf {
            place: Place(tagged_hash("sealgate/ods/blinding-place/1", &[&self.0])),
            commitment: RecordCommitment(commitment),
        }
    }

    pub(crate) fn entry(&self) -> LeafEntry {
        let tags = Tags { key: [0; TAG_BYTES], row: [0; TAG_BYTES] };
        LeafEntry { leaf: self.leaf(), row: RowPlace::NONE, written_version: 0, tags }
    }
}
