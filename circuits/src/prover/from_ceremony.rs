//! A proving key from what a ceremony ended with (docs/spec/ceremony.md#specialisation).

use ark_bls12_381::{Bls12_381, G2Affine};
use ark_ec::AffineRepr;

use super::ProvingKey;
use crate::ceremony::{Key, Powers};
use crate::circuit;
use crate::statement::Circuit;

impl ProvingKey {
    /// The key of a circuit for these powers, with gamma = 1.
    pub(crate) fn from_ceremony(circuit: Circuit, powers: &Powers, key: &Key) -> ProvingKey {
        ProvingKey::new(circuit, assemble(powers, key), circuit::shape(circuit))
    }
}

fn assemble(powers: &Powers, key: &Key) -> ark_groth16::ProvingKey<Bls12_381> {
    let [_, alpha_g1, beta_g1] = powers.head();
    ark_groth16::ProvingKey {
        vk: ark_groth16::VerifyingKey {
            alpha_g1,
            beta_g2: powers.beta_g2,
            gamma_g2: G2Affine::generator(),
            delta_g2: key.delta_g2,
            gamma_abc_g1: key.inputs.clone(),
        },
        beta_g1,
        delta_g1: key.delta_g1,
        a_query: key.a.clone(),
        b_g1_query: key.b_g1.clone(),
        b_g2_query: key.b_g2.clone(),
        h_query: key.h.clone(),
        l_query: key.l.clone(),
    }
}

#[cfg(test)]
mod tests {
    use ark_bls12_381::{Fr, G1Projective, G2Projective};
    use ark_ec::PrimeGroup;
    use ark_ff::UniformRand;
    use ark_groth16::Groth16;
    use ark_poly::{EvaluationDomain, GeneralEvaluationDomain};
    use rand08::SeedableRng;
    use rand08::rngs::StdRng;

    use super::*;
    use crate::ceremony::{Relation, Secret, specialise};
    use crate::prover::Synthesis;

    /// The keys of powers and delta made here, and arkworks' own for the same secrets. One circuit
    /// stands for all: nothing depends on which it is.
    #[test]
    fn keys_are_point_for_point_those_of_arkworks_for_the_same_secrets() {
        let relation = Relation::of(Circuit::Record15Slots4);
        let mut rng = StdRng::seed_from_u64(7);
        let [alpha, beta, delta] = [(); 3].map(|()| Fr::rand(&mut rng));
        // arkworks draws tau itself, first of all: the same generator gives it away.
        let domain = GeneralEvaluationDomain::<Fr>::new(relation.places()).unwrap();
        let tau = domain.sample_element_outside_domain(&mut rng.clone());

        let mut powers = Powers::start(relation.places());
        powers.update(&[tau, alpha, beta].map(Secret), &|_, _, _| ());
        let mut keys = specialise(&powers, std::slice::from_ref(&relation), &|_, _, _| ()).unwrap();
        keys[0].update(&Secret(delta));

        let stock = Groth16::<Bls12_381>::generate_parameters_with_qap(
            Synthesis { shape: &relation.shape, assignment: &[] },
            alpha,
            beta,
            Fr::from(1u64),
            delta,
            G1Projective::generator(),
            G2Projective::generator(),
            &mut rng,
        )
        .unwrap();
        assert!(assemble(&powers, &keys[0]) == stock);
    }
}
