//! Evidence that an answer agrees with what was published: for each key its place, the path to it,
//! and what shows the record that stands there: a zero-knowledge proof, or where every field may be
//! seen the opening of its commitment. What a requester checks for itself
//! (docs/spec/statement.md#evidence).

use borsh::{BorshDeserialize, BorshSerialize};

use crate::bytes::{Context, DecodeError, PlaceKey, PlaceProof, ProofBytes, TreeRoot};
use crate::place::{PlaceError, verify_place};
use crate::question::{Item, Question, QuestionError, SlotAnswer};
use crate::record::{RecordCommitment, RecordHasher, Salt};
use crate::schema::Schema;
use crate::statement::{Circuit, Statement, StatementError};
use crate::tree::{Path, PathError};
use crate::value::{Value, ValueError};
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

/// The answer about one key and everything that proves it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Evidence {
    /// Proof of the key's place.
    pub place_proof: PlaceProof,
    /// The path to it.
    pub path: Path,
    /// The answers and what shows them, or `None` when no record has this key.
    pub present: Option<Present>,
}

/// What is said of a record that is there.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Present {
    /// One answer for each item of the question.
    pub answers: Vec<SlotAnswer>,
    /// What shows that the committed record gives these answers.
    pub shown: Shown,
}

/// What shows that a committed record gives the answers.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Shown {
    /// A zero-knowledge proof.
    Proof(ProofBytes),
    /// The record's salt: with it and the answers, which are all the record's values, the
    /// commitment is computed again.
    Opening(Salt),
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
    /// A proof stands where the record is to be opened, or the other way round.
    #[error("the answer is not shown as its question demands: a whole record by opening it, all else by a proof")]
    Form,
    /// The values of an opened record do not fit the schema.
    #[error("opening: {0}")]
    Values(#[from] ValueError),
    /// An opening that is no field element.
    #[error("opening: {0}")]
    Salt(#[from] DecodeError),
    /// Values and salt give another commitment.
    #[error("opening: these values and salt do not give the commitment that was published")]
    Opening,
}

/// The key whose evidence fails, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{error}", which(*.number, *.of))]
pub struct Unproven {
    /// Which key of the question, from 1; 0 for the question as a whole.
    pub number: usize,
    /// How many keys it has.
    pub of: usize,
    /// What fails.
    pub error: EvidenceError,
}

fn which(number: usize, of: usize) -> String {
    if number == 0 || of <= 1 { String::new() } else { format!("key {number} of {of}: ") }
}

/// What was shown of the question's keys, all of them at once.
///
/// `key` is the verifying key of the question's circuit, `None` where records are opened;
/// `context` the request's. The proofs are verified as one batch. Returns for each proof the number
/// of its key, from 1, and the statement that it proves.
///
/// # Errors
/// [`Unproven`] naming the key and the part that fails.
pub fn verify(
    evidence: &[Evidence],
    published: &Published<'_>,
    key: Option<&VerifyingKey>,
    question: &Question,
    context: &Context,
) -> Result<Vec<(usize, Statement, ProofBytes)>, Unproven> {
    let of = question.keys.len();
    let at = |number: usize| move |error: EvidenceError| Unproven { number, of, error };
    let whole = at(0);
    question.validate(published.schema).map_err(|error| whole(error.into()))?;
    let form = question.shape.form(published.schema).map_err(|error| whole(error.into()))?;
    let circuit = Circuit::for_question(published.schema, form);
    if evidence.len() != of || circuit != key.map(VerifyingKey::circuit) {
        return Err(whole(EvidenceError::Form));
    }
    let items = question.items().map_err(|error| whole(error.into()))?;
    let asked = Asked { published, items: &items, circuit, context };
    let mut claims = Vec::new();
    for (number, (one, record_key)) in (1..).zip(evidence.iter().zip(&question.keys)) {
        let claim = one.claim(&asked, record_key).map_err(at(number))?;
        claims.extend(claim.map(|(statement, proof)| (number, statement, proof)));
    }
    if let Some(key) = key {
        proofs_hold(key, &claims).map_err(|(number, error)| at(number)(error.into()))?;
    }
    Ok(claims)
}

/// Verifies all proofs, several as one batch; names the key of the first that fails.
fn proofs_hold(key: &VerifyingKey, claims: &[(usize, Statement, ProofBytes)]) -> Result<(), (usize, ProofError)> {
    if let [(number, statement, proof)] = claims {
        return key.verify(statement, proof).map_err(|error| (*number, error));
    }
    let batch: Vec<(Statement, ProofBytes)> =
        claims.iter().map(|(_, statement, proof)| (statement.clone(), *proof)).collect();
    key.verify_batch(&batch).map_err(|error| match error {
        ProofError::InBatch { index, error } => (claims.get(index).map_or(0, |(number, ..)| *number), *error),
        other => (0, other),
    })
}

/// What all keys of a question have in common.
struct Asked<'a> {
    published: &'a Published<'a>,
    items: &'a [Item<Value>],
    circuit: Option<Circuit>,
    context: &'a Context,
}

impl Evidence {
    /// Checks everything but the proof, which it returns with the statement it should prove;
    /// `None` where there is none to check, because nothing stands there or the record was opened.
    fn claim(&self, asked: &Asked<'_>, key: &[Value]) -> Result<Option<(Statement, ProofBytes)>, EvidenceError> {
        let Published { schema, place_key, root } = asked.published;
        let key_bytes =
            schema.key_bytes(key).map_err(|_| QuestionError::Key { columns: crate::question::key_names(schema) })?;
        let place = verify_place(place_key, &key_bytes, &self.place_proof)?;
        let (commitment, present) = match (self.path.verify(root, &place)?, &self.present) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(EvidenceError::HiddenRecord),
            (None, Some(_)) => return Err(EvidenceError::InventedRecord),
            (Some(commitment), Some(present)) => (commitment, present),
        };
        match (asked.circuit, &present.shown) {
            (Some(circuit), Shown::Proof(proof)) => {
                let answers = &present.answers;
                let statement = Statement::new(circuit, schema, asked.items, answers, &commitment, asked.context)?;
                Ok(Some((statement, *proof)))
            }
            (None, Shown::Opening(salt)) => {
                opened(schema, &present.answers, salt, &commitment)?;
                Ok(None)
            }
            _ => Err(EvidenceError::Form),
        }
    }
}

/// Computes the commitment of an opened record again (docs/spec/statement.md#openings).
fn opened(
    schema: &Schema,
    answers: &[SlotAnswer],
    salt: &Salt,
    commitment: &RecordCommitment,
) -> Result<(), EvidenceError> {
    let value = |(number, answer): (usize, &SlotAnswer)| match answer {
        SlotAnswer::Value(value) => Ok(value.clone()),
        SlotAnswer::Truth(_) => Err(StatementError::Kind(number)),
    };
    let values = (1..).zip(answers).map(value).collect::<Result<Vec<_>, _>>()?;
    salt.check()?;
    if RecordHasher::new(schema).commit(&values, salt)? == *commitment { Ok(()) } else { Err(EvidenceError::Opening) }
}
