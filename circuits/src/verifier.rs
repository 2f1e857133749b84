//! The verifier, on zkcrypto's `bls12_381` and `groth16` (which is `bellman`'s): curve, field and
//! pairing share no code with the prover's. Everything it reads is checked: curve, subgroup, identity, scalars below r.
//!
//! A proof (A, B, C) of inputs x holds if e(A, B) = e(alpha, beta) · e(IC(x), gamma) · e(C, delta)
//! with IC(x) = ic_0 + sum of x_j ic_j (Groth16, section 3.2).

use std::sync::OnceLock;

use bellman::VerificationError;
use bls12_381::{Bls12, G1Affine, G1Projective, G2Affine, G2Prepared, Gt, MillerLoopResult, Scalar};
use sha2::{Digest as _, Sha256};

use crate::bytes::{DecodeError, ProofBytes, VerifyingKeyDigest};
use crate::record::field_to_bytes;
use crate::statement::{Circuit, Statement};

mod combination;

use self::combination::{Digits, Multiples, Term};

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
    /// A proof of a batch is not accepted, and it is the first.
    #[error("proof {index} of the batch: {error}")]
    InBatch {
        /// Its place in the batch, from 0.
        index: usize,
        /// What is wrong with it.
        error: Box<ProofError>,
    },
}

/// A verifying key, decoded, checked and prepared.
pub struct VerifyingKey {
    circuit: Circuit,
    bytes: Vec<u8>,
    /// The key as zkcrypto's own verifier takes it.
    stock: groth16::VerifyingKey<Bls12>,
    /// The same, prepared when it is first needed.
    stock_prepared: OnceLock<groth16::PreparedVerifyingKey<Bls12>>,
    alpha: G1Affine,
    alpha_beta: Gt,
    neg_beta: G2Prepared,
    neg_gamma: G2Prepared,
    neg_delta: G2Prepared,
    /// The constant's point.
    constant: G1Affine,
    /// One point for each public input, with its multiples.
    inputs: Vec<Multiples>,
}

/// A proof's points: each on the curve, in the subgroup, not the identity.
struct Points {
    a: G1Affine,
    b: G2Affine,
    c: G1Affine,
}

impl VerifyingKey {
    /// Decodes the [`verifying_key_bytes`] of a key.
    ///
    /// # Errors
    /// [`DecodeError`] for another length, or a point that is not on the curve, not in the
    /// subgroup, or the identity.
    pub fn from_bytes(circuit: Circuit, bytes: &[u8]) -> Result<Self, DecodeError> {
        let wanted = verifying_key_bytes(circuit);
        if bytes.len() != wanted {
            let (expected, found) = (format!("{wanted} bytes"), format!("{} bytes", bytes.len()));
            return Err(DecodeError::new("verifying key", expected, found));
        }
        let mut reader = Reader { what: "verifying key", rest: bytes };
        let alpha = reader.g1()?;
        let [beta, gamma, delta] = [reader.g2()?, reader.g2()?, reader.g2()?];
        let constant = reader.g1()?;
        let inputs = (0..circuit.public_inputs()).map(|_| reader.g1()).collect::<Result<Vec<_>, DecodeError>>()?;
        let stock = groth16::VerifyingKey {
            alpha_g1: alpha,
            // Only a prover looks at beta and delta in G1; our keys carry them elsewhere.
            beta_g1: G1Affine::identity(),
            beta_g2: beta,
            gamma_g2: gamma,
            delta_g1: G1Affine::identity(),
            delta_g2: delta,
            ic: std::iter::once(constant).chain(inputs.iter().copied()).collect(),
        };
        let inputs: Vec<G1Projective> = inputs.iter().map(G1Projective::from).collect();
        Ok(Self {
            circuit,
            bytes: bytes.to_vec(),
            stock,
            stock_prepared: OnceLock::new(),
            alpha,
            alpha_beta: bls12_381::pairing(&alpha, &beta),
            neg_beta: G2Prepared::from(-beta),
            neg_gamma: G2Prepared::from(-gamma),
            neg_delta: G2Prepared::from(-delta),
            constant,
            inputs: Multiples::of(&inputs),
        })
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
        let inputs = self.inputs(statement)?;
        let Points { a, b, c } = points(proof)?;
        let ic = G1Affine::from(self.weigh(&inputs) + self.constant);
        // e(A, B) e(IC, -gamma) e(C, -delta) = e(alpha, beta), with one final exponentiation.
        let left =
            bls12_381::multi_miller_loop(&[(&a, &G2Prepared::from(b)), (&ic, &self.neg_gamma), (&c, &self.neg_delta)]);
        if left.final_exponentiation() == self.alpha_beta { Ok(()) } else { Err(ProofError::Invalid) }
    }

    /// Checks a proof with zkcrypto's own verifier, the crate `groth16`: two to three times as slow,
    /// for it multiplies once for each public input in constant time. The second opinion, and the
    /// last word on a batch that fails.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify_stock(&self, statement: &Statement, proof: &ProofBytes) -> Result<(), ProofError> {
        let inputs = self.inputs(statement)?;
        let Points { a, b, c } = points(proof)?;
        let prepared = self.stock_prepared.get_or_init(|| groth16::prepare_verifying_key(&self.stock));
        groth16::verify_proof(prepared, &groth16::Proof { a, b, c }, &inputs).map_err(|error| match error {
            VerificationError::InvalidProof | VerificationError::InvalidVerifyingKey => ProofError::Invalid,
        })
    }

    /// Checks many proofs together, at a fraction of the cost of checking each.
    ///
    /// The proofs' equations are raised to random 128-bit powers and multiplied (M. Bellare,
    /// J. Garay, T. Rabin, "Fast Batch Verification for Modular Exponentiation and Digital
    /// Signatures", Eurocrypt 1998, the small exponents test). All points are in groups of prime
    /// order r, so a batch with a wrong proof passes for at most one in 2^128 choices of any one
    /// power, and these come from the operating system after the proofs are fixed. Should it have
    /// none to give, or the batch fail, each proof is checked by itself, by the slower verifier.
    ///
    /// # Errors
    /// [`ProofError::InBatch`] naming the first proof that is not accepted.
    pub fn verify_batch(&self, batch: &[(Statement, ProofBytes)]) -> Result<(), ProofError> {
        if self.hold_together(batch) {
            return Ok(());
        }
        batch.iter().enumerate().try_for_each(|(index, (statement, proof))| {
            self.verify_stock(statement, proof).map_err(|error| ProofError::InBatch { index, error: Box::new(error) })
        })
    }

    /// Whether all decode and their random combination holds: the product over all proofs of
    /// (e(A, B) e(-alpha, beta) e(IC, -gamma) e(C, -delta))^power is one.
    fn hold_together(&self, batch: &[(Statement, ProofBytes)]) -> bool {
        let mut random = vec![0u8; 16 * batch.len()];
        if getrandom::fill(&mut random).is_err() {
            return false;
        }
        let (powers, _) = random.as_chunks::<16>();
        let mut of_alpha = Scalar::zero();
        let mut of_inputs = vec![Scalar::zero(); self.inputs.len()];
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        for ((statement, proof), power) in batch.iter().zip(powers) {
            let (Ok(inputs), Ok(points)) = (self.inputs(statement), points(proof)) else { return false };
            let mut bytes = [0; 32];
            if let Some(low) = bytes.first_chunk_mut() {
                *low = *power;
            }
            let Some(scalar) = Option::<Scalar>::from(Scalar::from_bytes(&bytes)) else { return false };
            of_alpha += scalar;
            for (sum, input) in of_inputs.iter_mut().zip(&inputs) {
                *sum += scalar * input;
            }
            a.push((G1Projective::from(points.a), Digits::of(&bytes)));
            b.push(points.b);
            c.push((G1Projective::from(points.c), Digits::of(&bytes)));
        }
        let a = combination::products(&a);
        let c = G1Affine::from(combination::sum(&c));
        let ic = G1Affine::from(self.weigh(&of_inputs) + self.constant * of_alpha);
        let alpha = G1Affine::from(self.alpha * of_alpha);
        let mut product =
            bls12_381::multi_miller_loop(&[(&alpha, &self.neg_beta), (&ic, &self.neg_gamma), (&c, &self.neg_delta)]);
        // Prepared points are 20 kB each: some at a time.
        for (a, b) in a.chunks(16).zip(b.chunks(16)) {
            let prepared: Vec<G2Prepared> = b.iter().map(|b| G2Prepared::from(*b)).collect();
            let terms: Vec<(&G1Affine, &G2Prepared)> = a.iter().zip(&prepared).collect();
            product += bls12_381::multi_miller_loop(&terms);
        }
        MillerLoopResult::final_exponentiation(&product) == Gt::identity()
    }

    /// The statement's public inputs, as scalars.
    fn inputs(&self, statement: &Statement) -> Result<Vec<Scalar>, ProofError> {
        if statement.circuit != self.circuit {
            return Err(ProofError::Circuit { statement: statement.circuit.name(), key: self.circuit.name() });
        }
        let inputs = statement
            .public_inputs()
            .iter()
            .map(|input| scalar(&field_to_bytes(input)))
            .collect::<Result<Vec<_>, _>>()?;
        // Circuits fix the number; a key with another would leave inputs unchecked.
        if inputs.len() == self.inputs.len() { Ok(inputs) } else { Err(ProofError::Invalid) }
    }

    /// The key's points, each times its input. The inputs are public: time may depend on them.
    fn weigh(&self, inputs: &[Scalar]) -> G1Projective {
        let bytes: Vec<[u8; 32]> = inputs.iter().map(Scalar::to_bytes).collect();
        // Equal inputs, of which large statements have many, are one scalar for one point.
        let mut order: Vec<(&[u8; 32], &Multiples)> =
            bytes.iter().zip(&self.inputs).filter(|(bytes, _)| **bytes != [0; 32]).collect();
        order.sort_by_key(|(bytes, _)| **bytes);
        let equal: Vec<_> = order.chunk_by(|(left, _), (right, _)| left == right).collect();
        let sums: Vec<G1Projective> = equal
            .iter()
            .filter(|group| group.len() > 1)
            .map(|group| group.iter().fold(G1Projective::identity(), |sum, (_, point)| sum + point.once()))
            .collect();
        let sums = Multiples::of(&sums);
        let mut sums = sums.iter();
        let terms = equal.iter().filter_map(|group| {
            let (bytes, multiples) = group.first()?;
            let multiples = if group.len() > 1 { sums.next()? } else { *multiples };
            Some(Term { multiples, digits: Digits::of(bytes) })
        });
        combination::weighted(&terms.collect::<Vec<_>>())
    }
}

/// Decodes a proof.
fn points(proof: &ProofBytes) -> Result<Points, DecodeError> {
    let mut reader = Reader { what: "proof", rest: &proof.0 };
    Ok(Points { a: reader.g1()?, b: reader.g2()?, c: reader.g1()? })
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

#[cfg(test)]
mod tests;
