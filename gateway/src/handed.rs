//! How an asset came from the account that registered it to its owner
//! (docs/spec/messages.md#answer-files): each step is a transfer that its receiver agreed to.

use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::block::{EntryBody, Outcome};
use sealgate_ledger::checkpoint::Checkpoint;
use sealgate_ledger::ids::{Address, AssetId, ChainId};
use sealgate_ledger::light::{EntryProof, LightError, verify_entry};
use sealgate_ledger::tx::{Handing, TxBody};
use serde::{Deserialize, Serialize};

use crate::answer_file::PartyKeys;

/// One step: the owner before, and the transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handed {
    /// Public keys of the owner before.
    pub by: PartyKeys,
    /// The transaction: that owner's, or the receiver's who succeeds its closed account.
    pub entry: EntryProof,
}

/// Why the steps do not lead from one owner to the next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandedError {
    /// A step is not on the ledger.
    #[error("a transfer of the asset: {0}")]
    Entry(#[from] LightError),
    /// A step is something else, or somebody else's.
    #[error("a transfer of the asset: {0}")]
    Step(&'static str),
}

/// Checks the steps under a checkpoint that is believed, and gives the owner after the last one, which
/// is `last` if there are steps. That a successor is one is what the ledger accepted.
///
/// # Errors
/// [`HandedError`] of the first step that does not hold.
pub fn owner_after(
    chain: &ChainId,
    asset: &AssetId,
    registrant: Address,
    steps: &[Handed],
    last: &AccountPublic,
    checkpoint: &Checkpoint,
) -> Result<Address, HandedError> {
    let mut owner = registrant;
    let mut before = None;
    let receivers = steps.iter().skip(1).map(|next| next.by.account()).chain([last.clone()]);
    for ((handed, step), receiver) in (0..).zip(steps).zip(receivers) {
        verify_entry(&step.entry, checkpoint)?;
        if before.is_some_and(|before| step.entry.entry_index <= before) {
            return Err(HandedError::Step("the steps do not follow each other in time"));
        }
        before = Some(step.entry.entry_index);
        let EntryBody::Transaction { tx, outcome: Outcome::Accepted } = &step.entry.entry.body else {
            return Err(HandedError::Step("the ledger did not accept it"));
        };
        let TxBody::Transfer { asset: given, to, consent } = &tx.tx.body else {
            return Err(HandedError::Step("it gives nothing away"));
        };
        if given != asset {
            return Err(HandedError::Step("it gives away something else"));
        }
        let by = step.by.account();
        let signer = if tx.tx.sender == *to { &receiver } else { &by };
        let is_owner_s = by.address() == owner && tx.tx.chain == *chain;
        if !is_owner_s || tx.validate().is_err() || tx.verify(signer).is_err() {
            return Err(HandedError::Step("it is not by the owner before, nor by who succeeds it"));
        }
        let handing = Handing { chain: *chain, asset: *asset, from: owner, to: *to, handed, expiry: consent.expiry };
        if step.entry.entry.height > consent.expiry || handing.verify(&receiver, &consent.signature).is_err() {
            return Err(HandedError::Step("who was given it has not agreed to it"));
        }
        owner = *to;
    }
    Ok(owner)
}
