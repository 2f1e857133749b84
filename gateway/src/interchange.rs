//! An answer's proof in the form of another program, after it has been verified here
//! (docs/spec/interchange.md).

use sealgate_circuits::snarkjs;
use sealgate_circuits::verifier::VerifyingKey;

use crate::answer_file::{Proven, Verified};

/// What is written for snarkjs, in the order of its own arguments.
pub const SNARKJS_FILES: [&str; 3] = ["verification_key.json", "public.json", "proof.json"];

/// Why there is nothing to export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Not so many keys were asked about.
    #[error("is about {0} keys: there is no --record {1}")]
    NoRecord(usize, usize),
    /// Whole records are opened.
    #[error("opens the whole record: its commitment is computed again, and there is no zero-knowledge proof to export")]
    Opened,
    /// There is no record.
    #[error(
        "says that no record has this key: a path in the published tree shows that, and there is no zero-knowledge proof to export"
    )]
    Absent,
    /// Key or proof cannot be written.
    #[error("{0}")]
    Form(String),
}

/// The proof about one of the keys asked about, counted from 1.
///
/// # Errors
/// [`ExportError::NoRecord`], [`ExportError::Opened`], [`ExportError::Absent`].
pub fn proof_of(verified: &Verified, number: usize) -> Result<&Proven, ExportError> {
    let record = number.checked_sub(1).and_then(|index| verified.records.get(index));
    let proven = verified.proofs.iter().find(|proof| proof.number == number);
    proven.ok_or(match record {
        None => ExportError::NoRecord(verified.records.len(), number),
        Some(record) if record.found => ExportError::Opened,
        Some(_) => ExportError::Absent,
    })
}

/// The contents of [`SNARKJS_FILES`].
///
/// # Errors
/// [`ExportError::Form`].
pub fn snarkjs(proven: &Proven) -> Result<[serde_json::Value; 3], ExportError> {
    let form = |error: &dyn std::fmt::Display| ExportError::Form(error.to_string());
    let key = VerifyingKey::from_bytes(proven.statement.circuit, &proven.verifying_key).map_err(|e| form(&e))?;
    let key = snarkjs::VerificationKey::new(&key).map_err(|error| form(&error))?;
    let public = snarkjs::public_signals(&proven.statement.public_inputs());
    let proof = snarkjs::Proof::new(&proven.proof).map_err(|error| form(&error))?;
    Ok([
        serde_json::to_value(key).map_err(|error| form(&error))?,
        serde_json::to_value(public).map_err(|error| form(&error))?,
        serde_json::to_value(proof).map_err(|error| form(&error))?,
    ])
}
