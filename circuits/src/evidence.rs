//! Evidence that an answer agrees with what was published: the key's place, the path to it, and
//! the proof about the record that stands there. What a requester checks for itself
//! (docs/spec/statement.md#evidence).

use borsh::{BorshDeserialize, BorshSerialize};

use crate::bytes::{Context, PlaceKey, PlaceProof, ProofBytes, TreeRoot};
use crate::place::{PlaceError, verify_place};
use crate::question::{Question, QuestionError, SlotAnswer};
use crate::schema::Schema;
use crate::statement::{Statement, StatementError};
use crate::tree::{Path, PathError};
use crate::verifier::{ProofError, VerifyingKey};

/// What the ledger says about the version that was asked.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// The registered schema.
    pub schema: &'a Schema,
    /// The asset's place key.
    pub place_key: &'a PlaceKey,
    /// Root of the version's prefix tree.
    pub root: &'a TreeRoot,
}

/// An answer and everything that proves it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Evidence {
    /// Proof of the key's place.
    pub place_proof: PlaceProof,
    /// The path to it.
    pub path: Path,
    /// The answers and their proof, or `None` when no record has this key.
    pub present: Option<Present>,
}

/// What is said of a record that is there.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Present {
    /// One answer for each item of the question.
    pub answers: Vec<SlotAnswer>,
    /// The zero-knowledge proof.
    pub proof: ProofBytes,
}

/// Which part of the evidence fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The question does not fit the schema.
    #[error("question: {0}")]
    Question(#[from] QuestionError),
    /// The place is not the key's.
    #[error("place: {0}")]
    Place(#[from] PlaceError),
    /// The path does not lead from the registered root to the place.
    #[error("path: {0}")]
    Path(#[from] PathError),
    /// A record stands at the key's place, and the answer says there is none.
    #[error("the answer says that no record has this key, but the path shows one")]
    HiddenRecord,
    /// No record stands at the key's place, and the answer is about one.
    #[error("the answer is about a record, but the path shows that none has this key")]
    InventedRecord,
    /// Question and answers do not fit each other.
    #[error("answers: {0}")]
    Statement(#[from] StatementError),
    /// The proof fails.
    #[error("proof: {0}")]
    Proof(#[from] ProofError),
}

impl Evidence {
    /// Checks the evidence against one's own question and what the ledger has registered. `key`
    /// is the verifying key of the schema's circuit, `context` the request's.
    ///
    /// # Errors
    /// [`EvidenceError`] naming the part that fails.
    pub fn verify(
        &self,
        published: &Published<'_>,
        key: &VerifyingKey,
        question: &Question,
        context: &Context,
    ) -> Result<(), EvidenceError> {
        question.validate(published.schema)?;
        let key_bytes = published
            .schema
            .key_bytes(&question.key)
            .map_err(|_| QuestionError::Key { columns: crate::question::key_names(published.schema) })?;
        let place = verify_place(published.place_key, &key_bytes, &self.place_proof)?;
        match (self.path.verify(published.root, &place)?, &self.present) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(EvidenceError::HiddenRecord),
            (None, Some(_)) => Err(EvidenceError::InventedRecord),
            (Some(commitment), Some(present)) => {
                let items = question.items()?;
                let statement = Statement::new(published.schema, &items, &present.answers, &commitment, context)?;
                Ok(key.verify(&statement, &present.proof)?)
            }
        }
    }
}
