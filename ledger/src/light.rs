//! What a client checks without the ledger: that an entry is in it, and that it only grew
//! (docs/spec/ledger.md#what-a-client-checks).

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::block::Entry;
use crate::checkpoint::Checkpoint;
use crate::merkle::{NodeHash, PROOF_HASHES_MAX, ProofError, verify_consistency, verify_inclusion};

/// An entry and the path from it to the root of a tree.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryProof {
    /// The entry.
    pub entry: Entry,
    /// Its position in the tree.
    pub entry_index: u64,
    /// The path, from the leaf up.
    pub path: Vec<NodeHash>,
}

/// Why a client must not believe what it was shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LightError {
    /// The checkpoint is older than the entry.
    #[error("entry {entry_index} came after the checkpoint, which covers {size} entries: fetch a newer checkpoint")]
    TooOld {
        /// The entry.
        entry_index: u64,
        /// What the checkpoint covers.
        size: u64,
    },
    /// The path does not lead to the checkpoint's root.
    #[error("entry {entry_index} is not in the ledger of this checkpoint: {source}")]
    NotIncluded {
        /// The entry.
        entry_index: u64,
        /// Why.
        source: ProofError,
    },
    /// Two checkpoints of one size with different roots: the operator signed two histories.
    #[error(
        "two checkpoints of {size} entries have different roots: the operator showed two histories; keep both as evidence"
    )]
    Contradiction {
        /// Their size.
        size: u64,
    },
    /// The new checkpoint is older than one already seen.
    #[error(
        "the checkpoint covers {new} entries, one seen before {old}: the ledger was rolled back, or this is an old copy"
    )]
    Older {
        /// What was seen before.
        old: u64,
        /// What is shown now.
        new: u64,
    },
    /// The new ledger does not contain the old one.
    #[error("the ledger of {new} entries does not extend the one of {old} entries seen before: {source}")]
    NotExtended {
        /// What was seen before.
        old: u64,
        /// What is shown now.
        new: u64,
        /// Why.
        source: ProofError,
    },
}

/// Checks that the entry is in the ledger at the checkpoint.
///
/// # Errors
/// [`LightError::TooOld`], [`LightError::NotIncluded`].
pub fn verify_entry(proof: &EntryProof, checkpoint: &Checkpoint) -> Result<(), LightError> {
    let entry_index = proof.entry_index;
    if entry_index >= checkpoint.size {
        return Err(LightError::TooOld { entry_index, size: checkpoint.size });
    }
    let not_included = |source| LightError::NotIncluded { entry_index, source };
    if proof.path.len() > PROOF_HASHES_MAX {
        return Err(not_included(ProofError::Length { found: proof.path.len() }));
    }
    verify_inclusion(proof.entry.leaf(), entry_index, checkpoint.size, &proof.path, &checkpoint.root)
        .map_err(not_included)
}

/// Checks that the ledger at `new` is the ledger at `old` with entries added, or none.
///
/// # Errors
/// [`LightError::Contradiction`], [`LightError::Older`], [`LightError::NotExtended`].
pub fn verify_extension(old: &Checkpoint, new: &Checkpoint, proof: &[NodeHash]) -> Result<(), LightError> {
    if new.size < old.size {
        return Err(LightError::Older { old: old.size, new: new.size });
    }
    if new.size == old.size {
        let same = new.root == old.root;
        return if same { Ok(()) } else { Err(LightError::Contradiction { size: new.size }) };
    }
    let not_extended = |source| LightError::NotExtended { old: old.size, new: new.size, source };
    if proof.len() > PROOF_HASHES_MAX {
        return Err(not_extended(ProofError::Length { found: proof.len() }));
    }
    verify_consistency(old.size, &old.root, new.size, &new.root, proof).map_err(not_extended)
}
