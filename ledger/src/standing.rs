//! What stands on the ledger, proven by the state root of a signed block; and how the members
//! changed (docs/spec/state.md, docs/spec/receipt.md#handovers).

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::block::Header;
use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::ids::{AssetId, ChainId};
use crate::member::{MemberError, MemberSet};
use crate::state::{ContractView, GrantView};
use crate::trie::{self, LeafDigest, PrefixProof, StateKey, StatePrefix, StateProof, StateProofError};

/// A block's header and the checkpoint that names it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// The header.
    pub header: Header,
    /// Its checkpoint.
    pub checkpoint: SignedCheckpoint,
}

/// An asset's contract and its whole authorization list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetStanding {
    /// Under which block.
    pub head: SignedHead,
    /// The contract; none if there is no such asset.
    pub contract: Option<ContractView>,
    /// Everything granted. How much of it is used is not proven, and 0 here.
    pub grants: Vec<GrantView>,
    /// Shows both, and that nothing else is there.
    pub proof: PrefixProof,
}

/// One value of the state, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StandingOf{T}")]
pub struct Standing<T> {
    /// Under which block.
    pub head: SignedHead,
    /// The value.
    pub value: Option<T>,
    /// Shows it, or that there is none.
    pub proof: StateProof,
}

/// The members of an epoch sign the block that ends it, whose state names those of the next.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// The epoch's last block, signed by its members.
    pub head: SignedHead,
    /// The members from then on.
    pub members: MemberSet,
    /// That the block's state names them.
    pub proof: StateProof,
}

/// Why something is not shown to stand on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StandingError {
    /// The checkpoint.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint names another block than the header's.
    #[error("the checkpoint names another block than the one shown")]
    Head,
    /// The proof.
    #[error("{0}")]
    Proof(#[from] StateProofError),
    /// The proof is of something else than what is shown.
    #[error("what is shown is not what stands on the ledger: {0}")]
    Other(&'static str),
    /// The members cannot be.
    #[error("{0}")]
    Members(#[from] MemberError),
}

impl SignedHead {
    /// Checks that enough of `members` have signed this block.
    ///
    /// # Errors
    /// [`StandingError::Checkpoint`], [`StandingError::Head`].
    pub fn verify(&self, chain: &ChainId, members: &MemberSet) -> Result<Checkpoint, StandingError> {
        let checkpoint = self.checkpoint.verify(chain, members)?;
        if Checkpoint::of(&self.header) == checkpoint { Ok(checkpoint) } else { Err(StandingError::Head) }
    }
}

impl AssetStanding {
    /// Checks contract and list against the header, which the caller believes.
    ///
    /// # Errors
    /// [`StandingError::Proof`], [`StandingError::Other`].
    pub fn verify(&self, asset: &AssetId) -> Result<(), StandingError> {
        let prefix = StatePrefix::asset(asset);
        let proven = trie::verify_prefix(&self.head.header.state_root, &prefix, &self.proof)?;
        let mut shown: Vec<(StateKey, LeafDigest)> = Vec::with_capacity(self.grants.len() + 1);
        if let Some(contract) = &self.contract {
            if contract.asset.id != *asset {
                return Err(StandingError::Other("the contract is another asset's"));
            }
            shown.push((StateKey::contract(asset), contract.leaf()));
        }
        for grant in &self.grants {
            if grant.asset != *asset || grant.used != 0 {
                return Err(StandingError::Other("a grant is another asset's, or says what is not proven"));
            }
            shown.push((StateKey::grant(asset, &grant.to), grant.leaf()));
        }
        shown.sort();
        if shown == proven { Ok(()) } else { Err(StandingError::Other("contract or list differ from the proven ones")) }
    }
}

impl<T> Standing<T> {
    /// Checks that the value at `key` is the one shown, whose digest is `leaf`, or that there is
    /// none, against the header, which the caller believes.
    ///
    /// # Errors
    /// [`StandingError::Proof`], [`StandingError::Other`].
    pub fn verify(&self, key: &StateKey, leaf: impl FnOnce(&T) -> LeafDigest) -> Result<(), StandingError> {
        let proven = trie::verify(&self.head.header.state_root, key, &self.proof)?;
        let shown = self.value.as_ref().map(leaf);
        if shown == proven { Ok(()) } else { Err(StandingError::Other("the value differs from the proven one")) }
    }
}

impl Handover {
    /// Checks that `before` handed the ledger over to the members here.
    ///
    /// # Errors
    /// [`StandingError`].
    pub fn verify(&self, chain: &ChainId, before: &MemberSet) -> Result<(), StandingError> {
        self.head.verify(chain, before)?;
        if self.head.header.chain != *chain || self.head.header.epoch != before.epoch {
            return Err(StandingError::Other("the block is not of the members' epoch"));
        }
        if before.epoch.checked_add(1) != Some(self.members.epoch) {
            return Err(StandingError::Other("the members are not of the next epoch"));
        }
        self.members.validate()?;
        let proven = trie::verify(&self.head.header.state_root, &StateKey::members(), &self.proof)?;
        if proven == Some(LeafDigest::of(&self.members)) {
            Ok(())
        } else {
            Err(StandingError::Other("the block's state names other members"))
        }
    }
}

/// Walks from one set of members over handovers, each to the next epoch; those of epochs before are
/// passed over.
///
/// # Errors
/// [`StandingError`] of the first that does not hold.
pub fn walk(chain: &ChainId, from: &MemberSet, handovers: &[Handover]) -> Result<MemberSet, StandingError> {
    let mut members = from.clone();
    for handover in handovers.iter().filter(|handover| handover.members.epoch > from.epoch) {
        handover.verify(chain, &members)?;
        members = handover.members.clone();
    }
    Ok(members)
}

#[cfg(test)]
mod tests;
