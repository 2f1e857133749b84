//! How an asset came from the account that registered it to its owner
//! (docs/spec/messages.md#answer-files): each step is a transaction of the owner before.

use sealgate_ledger::block::{EntryBody, Outcome};
use sealgate_ledger::checkpoint::Checkpoint;
use sealgate_ledger::ids::{Address, AssetId, ChainId};
use sealgate_ledger::light::{EntryProof, LightError, verify_entry};
use sealgate_ledger::tx::TxBody;
use serde::{Deserialize, Serialize};

use crate::answer_file::PartyKeys;

/// One step: the owner before, and its transfer or replacement of its account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handed {
    /// Public keys of the owner before.
    pub by: PartyKeys,
    /// Its transaction.
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

/// Checks the steps under a checkpoint that is believed, and gives the owner after the last one.
///
/// # Errors
/// [`HandedError`] of the first step that does not hold.
pub fn owner_after(
    chain: &ChainId,
    asset: &AssetId,
    registrant: Address,
    steps: &[Handed],
    checkpoint: &Checkpoint,
) -> Result<Address, HandedError> {
    let mut owner = registrant;
    let mut last = None;
    for step in steps {
        verify_entry(&step.entry, checkpoint)?;
        if last.is_some_and(|last| step.entry.entry_index <= last) {
            return Err(HandedError::Step("the steps do not follow each other in time"));
        }
        last = Some(step.entry.entry_index);
        let EntryBody::Transaction { tx, outcome: Outcome::Accepted } = &step.entry.entry.body else {
            return Err(HandedError::Step("the ledger did not accept it"));
        };
        let by = step.by.account();
        if tx.tx.chain != *chain || tx.tx.sender != owner || tx.validate().is_err() || tx.verify(&by).is_err() {
            return Err(HandedError::Step("it is not by the owner before"));
        }
        owner = match &tx.tx.body {
            TxBody::Transfer { asset: given, to } if given == asset => *to,
            TxBody::ReplaceAccount { successor } => successor.address(),
            _ => return Err(HandedError::Step("it gives away something else")),
        };
    }
    Ok(owner)
}
