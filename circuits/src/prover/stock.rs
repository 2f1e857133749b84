//! What a user of `ark_groth16` would do with the same key and statement: full synthesis, stock
//! prover, stock verifier. Tests hold our proofs against it, benchmarks our times.

use ark_bls12_381::{Bls12_381, Fr};
use ark_ff::UniformRand;
use ark_groth16::{Groth16, PreparedVerifyingKey, Proof};
use ark_serialize::CanonicalDeserialize;
use rand08::rngs::OsRng;

use super::{ProveError, ProvingKey, Synthesis};
use crate::bytes::ProofBytes;
use crate::circuit;
use crate::record::{RecordHasher, Salt};
use crate::schema::Schema;
use crate::statement::Statement;
use crate::value::Value;

/// Proves with `create_random_proof_with_reduction`.
///
/// # Errors
/// [`ProveError`].
pub fn prove(
    key: &ProvingKey,
    schema: &Schema,
    statement: &Statement,
    values: &[Value],
    salt: &Salt,
) -> Result<Proof<Bls12_381>, ProveError> {
    let elements = RecordHasher::new(schema).elements(values)?;
    let assignment = circuit::assignment(statement, &elements, salt.to_field());
    let synthesis = Synthesis { shape: &key.parts.shape, assignment: &assignment };
    let (r, s) = (Fr::rand(&mut OsRng), Fr::rand(&mut OsRng));
    Groth16::<Bls12_381>::create_proof_with_reduction(synthesis, &key.parts.key, r, s).map_err(ProveError::Synthesis)
}

/// Prepares arkworks' own verifying key.
pub fn prepare(key: &ProvingKey) -> PreparedVerifyingKey<Bls12_381> {
    ark_groth16::prepare_verifying_key(&key.parts.key.vk)
}

/// Verifies proof bytes with arkworks; false for whatever does not decode.
pub fn verify(prepared: &PreparedVerifyingKey<Bls12_381>, statement: &Statement, proof: &ProofBytes) -> bool {
    Proof::<Bls12_381>::deserialize_compressed(proof.0.as_slice()).is_ok_and(|proof| {
        Groth16::<Bls12_381>::verify_proof(prepared, &proof, &statement.public_inputs()).unwrap_or(false)
    })
}
