//! The prover, on arkworks: Groth16 over BLS12-381, with values generated without synthesis and
//! the constraint matrices kept (docs/spec/parameters.md).

use ark_bls12_381::{Bls12_381, Fr};
use std::sync::{Arc, OnceLock};

use ark_ff::UniformRand;
use ark_groth16::Groth16;
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystemRef, LinearCombination, SynthesisError, Variable};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use rand08::rngs::OsRng;

use self::engine::Engine;
use crate::bytes::{DecodeError, ProofBytes, ShapeDigest};
use crate::circuit;
use crate::r1cs::{Row, Shape};
use crate::record::{RecordHasher, Salt};
use crate::schema::Schema;
use crate::statement::reference::{self, Violation};
use crate::statement::{Circuit, Statement};
use crate::value::{Value, ValueError};

/// First bytes of a serialised proving key.
const MAGIC: &[u8; 16] = b"sealgate-pk/1\0\0\0";

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The statement is false; nothing is ever proven about it.
    #[error("the statement does not hold for this record: {0}")]
    False(#[from] Violation),
    /// The record's values do not fit its schema.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The statement is of another circuit than the key.
    #[error("the statement is for circuit '{0}', which is not this key's")]
    Circuit(&'static str),
    /// The proof system refused.
    #[error("the proof system failed: {0}")]
    Synthesis(SynthesisError),
}

/// A proving key, and what goes with it.
pub struct ProvingKey {
    circuit: Circuit,
    parts: Arc<Parts>,
}

/// What a thread that makes the key ready shares with the key.
struct Parts {
    key: ark_groth16::ProvingKey<Bls12_381>,
    shape: Shape,
    engine: OnceLock<Engine>,
}

impl Parts {
    fn engine(&self) -> &Engine {
        self.engine.get_or_init(|| derive_apart(&self.key, &self.shape))
    }
}

impl ProvingKey {
    /// Draws a key whose secret this process knew for a moment: for development ledgers only,
    /// whose genesis says so. Takes about a second.
    ///
    /// # Errors
    /// [`ProveError::Synthesis`] should the proof system refuse the circuit.
    pub fn generate_development(circuit: Circuit) -> Result<Self, ProveError> {
        let shape = circuit::shape(circuit);
        let synthesis = Synthesis { shape: &shape, assignment: &[] };
        let key = Groth16::<Bls12_381>::generate_random_parameters_with_reduction(synthesis, &mut OsRng)
            .map_err(ProveError::Synthesis)?;
        Ok(Self::new(circuit, key, shape))
    }

    fn new(circuit: Circuit, key: ark_groth16::ProvingKey<Bls12_381>, shape: Shape) -> Self {
        Self { circuit, parts: Arc::new(Parts { key, shape, engine: OnceLock::new() }) }
    }

    /// Makes the key ready in a thread of its own: computes the multiples of its points
    /// (docs/spec/parameters.md#multiples). Otherwise the first proof does, and waits for them.
    pub fn prepare_in_background(&self) {
        let parts = Arc::clone(&self.parts);
        std::thread::spawn(move || {
            parts.engine();
        });
    }

    /// Serialises the key: magic, BLAKE3 of what follows, uncompressed points.
    ///
    /// # Errors
    /// [`DecodeError`] never in practice: memory is written to.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DecodeError> {
        let mut body = Vec::with_capacity(self.parts.key.uncompressed_size());
        self.parts
            .key
            .serialize_uncompressed(&mut body)
            .map_err(|error| Self::bad("to serialise", error.to_string()))?;
        let mut out = MAGIC.to_vec();
        out.extend(blake3::hash(&body).as_bytes());
        out.extend(body);
        Ok(out)
    }

    /// Reads a key written by [`ProvingKey::to_bytes`]. The digest in front shows damage; the
    /// points themselves are not checked again, since a wrong key only makes proofs that fail.
    ///
    /// # Errors
    /// [`DecodeError`] for damage.
    pub fn from_bytes(circuit: Circuit, bytes: &[u8]) -> Result<Self, DecodeError> {
        let body = bytes
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.split_first_chunk::<32>())
            .filter(|(digest, body)| blake3::hash(body).as_bytes() == *digest)
            .map(|(_, body)| body)
            .ok_or_else(|| Self::bad("an intact proving key", "a damaged or foreign file".into()))?;
        let key = CanonicalDeserialize::deserialize_uncompressed_unchecked(body)
            .map_err(|error| Self::bad("points", error.to_string()))?;
        Ok(Self::new(circuit, key, circuit::shape(circuit)))
    }

    fn bad(expected: &'static str, found: String) -> DecodeError {
        DecodeError::new("proving key", expected, found)
    }

    /// The circuit it belongs to.
    pub fn circuit(&self) -> Circuit {
        self.circuit
    }

    /// Digest of the circuit's constraint system.
    pub fn shape_digest(&self) -> ShapeDigest {
        self.parts.shape.digest()
    }

    /// The verifying key, as [`crate::verifier::VerifyingKey::from_bytes`] reads it.
    ///
    /// # Errors
    /// [`DecodeError`] never in practice: memory is written to.
    pub fn verifying_key_bytes(&self) -> Result<Vec<u8>, DecodeError> {
        let vk = &self.parts.key.vk;
        let mut out = Vec::with_capacity(crate::verifier::verifying_key_bytes(self.circuit));
        let mut write = || -> Result<(), ark_serialize::SerializationError> {
            vk.alpha_g1.serialize_compressed(&mut out)?;
            for point in [&vk.beta_g2, &vk.gamma_g2, &vk.delta_g2] {
                point.serialize_compressed(&mut out)?;
            }
            vk.gamma_abc_g1.iter().try_for_each(|point| point.serialize_compressed(&mut out))
        };
        write().map_err(|error| Self::bad("to serialise", error.to_string()))?;
        Ok(out)
    }

    /// Proves a statement about a record. Whatever is false is refused before any proving.
    ///
    /// # Errors
    /// [`ProveError`].
    pub fn prove(
        &self,
        schema: &Schema,
        statement: &Statement,
        values: &[Value],
        salt: &Salt,
    ) -> Result<ProofBytes, ProveError> {
        if statement.circuit != self.circuit {
            return Err(ProveError::Circuit(statement.circuit.name()));
        }
        let elements = RecordHasher::new(schema).elements(values)?;
        reference::check(statement, &elements, salt.to_field())?;
        let assignment = circuit::assignment(statement, &elements, salt.to_field());
        self.prove_assignment(&assignment)
    }

    /// Proves knowledge of an assignment, with fresh randomness.
    fn prove_assignment(&self, assignment: &[Fr]) -> Result<ProofBytes, ProveError> {
        let (r, s) = (Fr::rand(&mut OsRng), Fr::rand(&mut OsRng));
        let parts = &self.parts;
        let proof = parts.engine().prove(&parts.key, &parts.shape, assignment, r, s).map_err(ProveError::Synthesis)?;
        let mut out = [0u8; 192];
        proof
            .serialize_compressed(out.as_mut_slice())
            .map_err(|_| ProveError::Synthesis(SynthesisError::AssignmentMissing))?;
        Ok(ProofBytes(out))
    }
}

/// Derives the engine in threads of its own. Many proofs of one pool may wait for it at once, and a
/// pool whose threads all wait could not derive it; nor may a thread that derives take up a proof
/// that waits for the same thing.
fn derive_apart(key: &ark_groth16::ProvingKey<Bls12_381>, shape: &Shape) -> Engine {
    let derive = || Engine::derive(key, shape);
    let apart = std::thread::scope(|scope| {
        let work = || rayon::ThreadPoolBuilder::new().build().map(|pool| pool.install(derive));
        scope.spawn(work).join()
    });
    match apart {
        Ok(Ok(engine)) => engine,
        // No threads to be had: this one does it alone.
        _ => derive(),
    }
}

/// Hands a shape to arkworks, variable for variable, with the values of an assignment; without
/// them (an empty assignment) for a setup.
struct Synthesis<'a> {
    shape: &'a Shape,
    assignment: &'a [Fr],
}

impl ConstraintSynthesizer<Fr> for Synthesis<'_> {
    fn generate_constraints(self, cs: ConstraintSystemRef<Fr>) -> Result<(), SynthesisError> {
        let Shape { publics, witnesses, a, b, c } = self.shape;
        let mut variables = vec![Variable::One];
        for i in 1..=publics + witnesses {
            let value = || Ok(self.assignment.get(i).copied().unwrap_or_default());
            variables.push(if i <= *publics { cs.new_input_variable(value)? } else { cs.new_witness_variable(value)? });
        }
        let combination = |row: &Row| -> LinearCombination<Fr> {
            let terms = row.iter().filter_map(|(factor, i)| variables.get(*i).map(|variable| (*factor, *variable)));
            terms.fold(LinearCombination::zero(), |sum, term| sum + term)
        };
        for ((a, b), c) in a.iter().zip(b).zip(c) {
            cs.enforce_r1cs_constraint(|| combination(a), || combination(b), || combination(c))?;
        }
        Ok(())
    }
}

mod buckets;
mod engine;
mod from_ceremony;
mod lanes;
mod multiples;

/// Stock arkworks on the same key, for benchmarks and cross-checks.
pub mod stock;

#[cfg(test)]
mod tests;
