//! Ours held against `groth16::verify_proof` on the same key, good and bad proofs, without a
//! prover: the key's secret is known here, so proofs of anything are made from it.

use groth16::{Proof, prepare_verifying_key, verify_proof};

use super::*;
use crate::statement::Term;
use ark_bls12_381::Fr;

/// A key with trapdoors alpha, beta, gamma, delta and ic_j = (j + 11) G.
struct Forger {
    key: VerifyingKey,
    stock: groth16::VerifyingKey<Bls12>,
}

const ALPHA: u64 = 3;
const BETA: u64 = 5;
const GAMMA: u64 = 7;
/// One, so that C is what the equation leaves.
const DELTA: u64 = 1;

fn g1(scalar: Scalar) -> G1Affine {
    G1Affine::from(G1Affine::generator() * scalar)
}

fn g2(scalar: Scalar) -> G2Affine {
    G2Affine::from(G2Affine::generator() * scalar)
}

fn forger(circuit: Circuit) -> Forger {
    let at = |i: u64| g1(Scalar::from(i));
    let ic: Vec<G1Affine> = (0..=circuit.public_inputs() as u64).map(|j| at(j + 11)).collect();
    let [beta_g2, gamma_g2, delta_g2] = [BETA, GAMMA, DELTA].map(|i| g2(Scalar::from(i)));
    let stock = groth16::VerifyingKey::<Bls12> {
        alpha_g1: at(ALPHA),
        beta_g1: at(BETA),
        beta_g2,
        gamma_g2,
        delta_g1: at(DELTA),
        delta_g2,
        ic,
    };
    let mut bytes = stock.alpha_g1.to_compressed().to_vec();
    for point in [beta_g2, gamma_g2, delta_g2] {
        bytes.extend(point.to_compressed());
    }
    for point in &stock.ic {
        bytes.extend(point.to_compressed());
    }
    Forger { key: VerifyingKey::from_bytes(circuit, &bytes).unwrap(), stock }
}

impl Forger {
    /// A = a G, B = G, and C what the equation leaves, moved by `off`.
    fn prove(&self, statement: &Statement, a: u64, off: Scalar) -> ProofBytes {
        let inputs = self.key.inputs(statement).unwrap();
        let ic = inputs.iter().zip(12..).fold(Scalar::from(11), |sum, (x, j)| sum + x * Scalar::from(j));
        let c = Scalar::from(a) - Scalar::from(ALPHA * BETA) - ic * Scalar::from(GAMMA) + off;
        let mut out = [0; 192];
        out[..48].copy_from_slice(&g1(Scalar::from(a)).to_compressed());
        out[48..144].copy_from_slice(&g2(Scalar::one()).to_compressed());
        out[144..].copy_from_slice(&g1(c).to_compressed());
        ProofBytes(out)
    }

    fn stock_accepts(&self, statement: &Statement, proof: &ProofBytes) -> bool {
        let Points { a, b, c } = points(proof).unwrap();
        let inputs = self.key.inputs(statement).unwrap();
        verify_proof(&prepare_verifying_key(&self.stock), &Proof { a, b, c }, &inputs).is_ok()
    }
}

fn statement(circuit: Circuit, n: u64) -> Statement {
    // Some inputs equal, some zero, some of full size.
    let mut constants = vec![Fr::from(n); circuit.constants()];
    constants[0] = -Fr::from(n % 3);
    let mut terms = vec![Term { constants, ..Term::unused(circuit) }; circuit.terms()];
    terms[0] = Term::unused(circuit);
    Statement { circuit, commitment: -Fr::from(n), tag: Fr::from(77u64), context: Fr::from(n * n), terms }
}

#[test]
fn ours_agrees_with_stock_on_good_and_bad_proofs() {
    for circuit in Circuit::ALL {
        let forger = forger(circuit);
        for n in 0..12 {
            let statement = statement(circuit, n);
            let (good, bad) =
                (forger.prove(&statement, n + 2, Scalar::zero()), forger.prove(&statement, n + 2, Scalar::one()));
            assert_eq!(forger.key.verify(&statement, &good), Ok(()));
            assert!(forger.stock_accepts(&statement, &good));
            assert_eq!(forger.key.verify(&statement, &bad), Err(ProofError::Invalid));
            assert!(!forger.stock_accepts(&statement, &bad));
            assert_eq!(forger.key.verify_stock(&statement, &good), Ok(()));
            assert_eq!(forger.key.verify_stock(&statement, &bad), Err(ProofError::Invalid));
        }
    }
}

#[test]
fn batches_hold_if_all_proofs_do_and_name_the_first_that_does_not() {
    let forger = forger(Circuit::Record15Slots4);
    let mut batch: Vec<_> = (0..20)
        .map(|n| {
            let statement = statement(Circuit::Record15Slots4, n);
            let proof = forger.prove(&statement, n + 2, Scalar::zero());
            (statement, proof)
        })
        .collect();
    forger.key.verify_batch(&[]).unwrap();
    forger.key.verify_batch(&batch[..1]).unwrap();
    forger.key.verify_batch(&batch).unwrap();
    assert!(forger.key.hold_together(&batch));

    // Two errors that cancel without random powers.
    batch[7].1 = forger.prove(&batch[7].0, 9, Scalar::from(5));
    batch[9].1 = forger.prove(&batch[9].0, 11, Scalar::zero());
    let mut opposite = batch.clone();
    opposite[9].1 = forger.prove(&opposite[9].0, 11, -Scalar::from(5));
    let culprit = |error| Err(ProofError::InBatch { index: 7, error: Box::new(error) });
    assert_eq!(forger.key.verify_batch(&batch), culprit(ProofError::Invalid));
    assert_eq!(forger.key.verify_batch(&opposite), culprit(ProofError::Invalid));

    // What does not decode, and a statement of another circuit.
    batch[7].1.0[0] = 0;
    assert!(
        matches!(forger.key.verify_batch(&batch), Err(ProofError::InBatch { index: 7, error }) if matches!(*error, ProofError::Decode(_)))
    );
    batch[2].0.circuit = Circuit::Record31Slots4;
    assert!(
        matches!(forger.key.verify_batch(&batch), Err(ProofError::InBatch { index: 2, error }) if matches!(*error, ProofError::Circuit { .. }))
    );
}
