//! The verifier, on zkcrypto's `bls12_381` and `groth16`: an implementation that shares no code
//! with the prover's. Everything it reads is checked: curve, subgroup, identity, scalars below r.

use bellman::VerificationError;
use bls12_381::{Bls12, G1Affine, G2Affine, Scalar};
use groth16::{PreparedVerifyingKey, Proof, prepare_verifying_key, verify_proof};
use sha2::{Digest as _, Sha256};

use crate::bytes::{DecodeError, ProofBytes, VerifyingKeyDigest};
use crate::record::field_to_bytes;
use crate::statement::{Circuit, Statement};

const G1_BYTES: usize = 48;
const G2_BYTES: usize = 96;
/// Bytes of a circuit's serialised verifying key: alpha in G1; beta, gamma, delta in G2; one point
/// of G1 for the constant and each public input; all compressed in Zcash's format.
pub fn verifying_key_bytes(circuit: Circuit) -> usize {
    G1_BYTES + 3 * G2_BYTES + (circuit.public_inputs() + 1) * G1_BYTES
}

/// Why a proof is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A point of the proof does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The statement is of another circuit than the key.
    #[error("the statement is for circuit '{statement}', the verifying key for '{key}'")]
    Circuit {
        /// The statement's circuit.
        statement: &'static str,
        /// The key's circuit.
        key: &'static str,
    },
    /// The proof does not hold for this statement.
    #[error("the zero-knowledge proof does not hold for this question and these answers")]
    Invalid,
}

/// A verifying key, decoded, checked and prepared.
pub struct VerifyingKey {
    circuit: Circuit,
    bytes: Vec<u8>,
    prepared: PreparedVerifyingKey<Bls12>,
}

impl VerifyingKey {
    /// Decodes the [`verifying_key_bytes`] of a key.
    ///
    /// # Errors
    /// [`DecodeError`] for another length, or a point that is not on the curve, not in the
    /// subgroup, or the identity.
    pub fn from_bytes(circuit: Circuit, bytes: &[u8]) -> Result<Self, DecodeError> {
        let expected = verifying_key_bytes(circuit);
        if bytes.len() != expected {
            let (expected, found) = (format!("{expected} bytes"), format!("{} bytes", bytes.len()));
            return Err(DecodeError::new("verifying key", expected, found));
        }
        let mut reader = Reader { what: "verifying key", rest: bytes };
        let alpha_g1 = reader.g1()?;
        let [beta_g2, gamma_g2, delta_g2] = [reader.g2()?, reader.g2()?, reader.g2()?];
        let ic = (0..=circuit.public_inputs()).map(|_| reader.g1()).collect::<Result<Vec<_>, _>>()?;
        let key = groth16::VerifyingKey::<Bls12> {
            alpha_g1,
            // Only a prover looks at beta and delta in G1; our keys carry them elsewhere.
            beta_g1: G1Affine::identity(),
            beta_g2,
            gamma_g2,
            delta_g1: G1Affine::identity(),
            delta_g2,
            ic,
        };
        Ok(Self { circuit, bytes: bytes.to_vec(), prepared: prepare_verifying_key(&key) })
    }

    /// The circuit it belongs to.
    pub fn circuit(&self) -> Circuit {
        self.circuit
    }

    /// The bytes it was decoded from.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest under which the ledger knows it.
    pub fn digest(&self) -> VerifyingKeyDigest {
        digest(&self.bytes)
    }

    /// Checks a proof of a statement.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, statement: &Statement, proof: &ProofBytes) -> Result<(), ProofError> {
        if statement.circuit != self.circuit {
            return Err(ProofError::Circuit { statement: statement.circuit.name(), key: self.circuit.name() });
        }
        let mut reader = Reader { what: "proof", rest: &proof.0 };
        let proof = Proof::<Bls12> { a: reader.g1()?, b: reader.g2()?, c: reader.g1()? };
        let inputs = statement
            .public_inputs()
            .iter()
            .map(|input| scalar(&field_to_bytes(input)))
            .collect::<Result<Vec<_>, _>>()?;
        verify_proof(&self.prepared, &proof, &inputs).map_err(|error| match error {
            VerificationError::InvalidProof | VerificationError::InvalidVerifyingKey => ProofError::Invalid,
        })
    }
}

/// The digest of a serialised verifying key.
pub fn digest(bytes: &[u8]) -> VerifyingKeyDigest {
    VerifyingKeyDigest(Sha256::digest(bytes).into())
}

/// A scalar of 32 little-endian bytes.
///
/// # Errors
/// [`DecodeError`] at r or above.
fn scalar(bytes: &[u8; 32]) -> Result<Scalar, DecodeError> {
    Option::from(Scalar::from_bytes(bytes))
        .ok_or_else(|| DecodeError::new("public input", "a number below r", hex::encode(bytes)))
}

struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| DecodeError::new(self.what, format!("{N} more bytes"), "the end"))?;
        self.rest = rest;
        Ok(*head)
    }

    fn g1(&mut self) -> Result<G1Affine, DecodeError> {
        let bytes = self.take::<G1_BYTES>()?;
        Option::from(G1Affine::from_compressed(&bytes))
            .filter(|point: &G1Affine| !bool::from(point.is_identity()))
            .ok_or_else(|| DecodeError::new(self.what, "a point of G1 other than the identity", hex::encode(bytes)))
    }

    fn g2(&mut self) -> Result<G2Affine, DecodeError> {
        let bytes = self.take::<G2_BYTES>()?;
        Option::from(G2Affine::from_compressed(&bytes))
            .filter(|point: &G2Affine| !bool::from(point.is_identity()))
            .ok_or_else(|| DecodeError::new(self.what, "a point of G2 other than the identity", hex::encode(bytes)))
    }
}
