use ark_bls12_381::{Fq, Fq2, g1, g2};
use ark_ec::AffineRepr as _;
use ark_ff::{Field as _, UniformRand as _};

use super::*;
#[cfg(target_arch = "x86_64")]
use crate::prover::lanes::Ifma;
use crate::prover::lanes::{Plain, Quadratic};

/// Sums over bases that are equal, opposite, the identity and bits, with scalars that bring equal
/// and opposite points together in a bucket, beside the plain definition.
fn agrees_with_the_definition<P: SWCurveConfig<ScalarField = Fr>, L: Lanes<Exact = P::BaseField>>(lanes: L) {
    let rng = &mut rand08::rngs::OsRng;
    let generator = Affine::<P>::generator();
    let times = |base: Affine<P>, factor: u64| (base * Fr::from(factor)).into_affine();
    let mut bases: Vec<Base<P>> = vec![
        (generator, false),
        (generator, false),
        (-generator, false),
        (times(generator, 2), false),
        (Affine::identity(), false),
        (Affine::identity(), true),
        (generator, true),
        (-generator, true),
    ];
    bases.extend((0..300u64).map(|i| (times(generator, i / 3 + 5), i % 3 == 2)));
    let full = Fr::rand(rng);
    let alike = vec![full; bases.len()];
    let zeros = vec![Fr::from(0u64); bases.len()];
    let ones = vec![Fr::from(1u64); bases.len()];
    let edges =
        [-Fr::from(1u64), Fr::from(2u64), Fr::from(2u64).inverse().unwrap(), -Fr::from(2u64).inverse().unwrap()];
    let edges: Vec<Fr> = edges.iter().cycle().take(bases.len()).copied().collect();
    let random: Vec<Fr> = (0..bases.len()).map(|_| Fr::rand(rng)).collect();
    let few = random[..5].to_vec();
    // The last ones have fewer scalars than bases: the rest are zero. Scalars of bits that are none
    // go another way.
    let all = [alike, zeros, ones, edges, random, few, Vec::new()];
    let multiples = Multiples::derive(lanes, vec![bases.clone(); all.len()]);
    let sums = multiples.multiply(&all.iter().map(Vec::as_slice).collect::<Vec<_>>());
    for (number, (sum, scalars)) in sums.iter().zip(&all).enumerate() {
        let expected: Projective<P> = bases.iter().zip(scalars).map(|((base, _), scalar)| *base * scalar).sum();
        assert_eq!(*sum, expected, "sum {number}");
    }
}

#[test]
fn sums_agree_with_the_definition_on_every_kind_of_lanes() {
    agrees_with_the_definition::<g1::Config, _>(Plain::<Fq>::new());
    agrees_with_the_definition::<g2::Config, _>(Plain::<Fq2>::new());
    agrees_with_the_definition::<g2::Config, _>(Quadratic(Plain::<Fq>::new()));
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = Ifma::detect() {
        agrees_with_the_definition::<g1::Config, _>(lanes);
        agrees_with_the_definition::<g2::Config, _>(Quadratic(lanes));
    }
}

#[test]
fn digits_are_those_of_the_number() {
    let number = Fr::MODULUS;
    for window in 4..16 {
        let sum = digits(&number, window).collect::<Vec<_>>().iter().rev().fold(num(0), |sum, digit| {
            let mut shifted = sum << window as u32;
            shifted.add_with_carry(&num(*digit as u64));
            shifted
        });
        assert_eq!(sum, number);
    }
}

fn num(word: u64) -> <Fr as PrimeField>::BigInt {
    word.into()
}
