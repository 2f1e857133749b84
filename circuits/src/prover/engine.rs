//! Groth16's proof from an assignment, with the key's bases as [`Multiples`]. For the same
//! randomness the proof is byte for byte the one that `ark_groth16` makes.

use ark_bls12_381::{Bls12_381, Fq, Fr, G1Projective, G2Projective, g1, g2};
use ark_ec::CurveGroup as _;
use ark_ec::short_weierstrass::{Projective, SWCurveConfig};
use ark_ff::{AdditiveGroup as _, FftField as _, Field as _};
use ark_groth16::{Proof, ProvingKey};
use ark_poly::{EvaluationDomain as _, Radix2EvaluationDomain};
use ark_relations::gr1cs::SynthesisError;

#[cfg(target_arch = "x86_64")]
use super::lanes::Ifma;
use super::lanes::{Lanes, Plain, Quadratic};
use super::multiples::{Base, Multiples};
use crate::r1cs::{Row, Shape};

/// [`Multiples`] of whatever lanes.
trait Sums<P: SWCurveConfig>: Send + Sync {
    fn multiply(&self, scalars: &[&[Fr]]) -> Vec<Projective<P>>;
}

impl<P: SWCurveConfig<ScalarField = Fr>, L: Lanes<Exact = P::BaseField>> Sums<P> for Multiples<P, L> {
    fn multiply(&self, scalars: &[&[Fr]]) -> Vec<Projective<P>> {
        self.multiply(scalars)
    }
}

/// A proving key made ready: the multiples of its bases.
pub(super) struct Engine {
    /// Three sums: h and l with delta; a with delta; b with delta.
    g1: Box<dyn Sums<g1::Config>>,
    /// b with delta.
    g2: Box<dyn Sums<g2::Config>>,
}

impl Engine {
    /// Computes the multiples: about a second of processor time, some ten megabytes.
    pub(super) fn derive(key: &ProvingKey<Bls12_381>, shape: &Shape) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(lanes) = Ifma::detect() {
            return Self::with(lanes, Quadratic(lanes), key, shape);
        }
        Self::plain(key, shape)
    }

    /// On arkworks' arithmetic, which every machine has.
    pub(super) fn plain(key: &ProvingKey<Bls12_381>, shape: &Shape) -> Self {
        Self::with(Plain::<Fq>::new(), Plain::new(), key, shape)
    }

    fn with<L1, L2>(g1: L1, g2: L2, key: &ProvingKey<Bls12_381>, shape: &Shape) -> Self
    where
        L1: Lanes<Exact = Fq> + 'static,
        L2: Lanes<Exact = ark_bls12_381::Fq2> + 'static,
    {
        let bits = bits(shape);
        let publics = shape.publics + 1;
        let full = |points: &[_]| points.iter().map(|point| (*point, false)).collect::<Vec<Base<g1::Config>>>();
        let delta = [(key.delta_g1, false)];
        let l = key.l_query.iter().copied().zip(bits.iter().skip(publics).copied());
        let hl = full(&key.h_query).into_iter().chain(l).chain(delta).collect();
        let of_variables =
            |points: &[_]| points.iter().copied().zip(bits.iter().copied()).chain(delta).collect::<Vec<_>>();
        let (a, b) = (of_variables(&key.a_query), of_variables(&key.b_g1_query));
        let b_g2: Vec<Base<g2::Config>> =
            key.b_g2_query.iter().copied().zip(bits.iter().copied()).chain([(key.vk.delta_g2, false)]).collect();
        Self { g1: Box::new(Multiples::derive(g1, vec![hl, a, b])), g2: Box::new(Multiples::derive(g2, vec![b_g2])) }
    }

    /// The proof of an assignment under randomness r, s.
    ///
    /// # Errors
    /// [`SynthesisError`] for a circuit larger than the field's roots of unity reach.
    pub(super) fn prove(
        &self,
        key: &ProvingKey<Bls12_381>,
        shape: &Shape,
        assignment: &[Fr],
        r: Fr,
        s: Fr,
    ) -> Result<Proof<Bls12_381>, SynthesisError> {
        let with = |scalar: Fr| [assignment, &[scalar]].concat();
        let (a_scalars, b_scalars) = (with(r), with(s));
        let g1 = || -> Result<Vec<G1Projective>, SynthesisError> {
            let mut hl = quotient(shape, assignment)?;
            hl.truncate(key.h_query.len());
            hl.extend(assignment.iter().skip(shape.publics + 1));
            hl.push(-(r * s));
            Ok(self.g1.multiply(&[&hl, &a_scalars, &b_scalars]))
        };
        let (sums, b_g2) = rayon::join(g1, || self.g2.multiply(&[&b_scalars]));
        let mut sums = sums?.into_iter();
        let mut sum = || sums.next().unwrap_or_default();
        let hl: G1Projective = sum();
        let a = sum() + key.vk.alpha_g1;
        let b_g1 = sum() + key.beta_g1;
        let b_g2 = b_g2.into_iter().next().unwrap_or_default() + key.vk.beta_g2;
        let (sa, rb) = rayon::join(|| a * s, || b_g1 * r);
        let c = hl + sa + rb;
        let g1 = G1Projective::normalize_batch(&[a, c]);
        let mut g1 = g1.into_iter();
        let b: ark_bls12_381::G2Affine = G2Projective::into_affine(b_g2);
        Ok(Proof { a: g1.next().unwrap_or_default(), b, c: g1.next().unwrap_or_default() })
    }
}

/// Which variables a constraint x (x - 1) = 0 makes bits.
fn bits(shape: &Shape) -> Vec<bool> {
    let mut bits = vec![false; 1 + shape.publics + shape.witnesses];
    for ((a, b), c) in shape.a.iter().zip(&shape.b).zip(&shape.c) {
        if let ([(one, x)], [(minus, 0), (also_one, y)], []) = (a.as_slice(), b.as_slice(), c.as_slice())
            && x == y
            && [*one, *also_one, -*minus] == [Fr::ONE; 3]
            && let Some(bit) = bits.get_mut(*x)
        {
            *bit = true;
        }
    }
    bits
}

/// The coefficients of h in a · b - c = h · (x^n - 1), for an assignment that meets every
/// constraint.
///
/// On the n-th roots of unity c equals a · b, so c needs no evaluation: with a · b = low +
/// x^n high, the product modulo x^n - 1 is low + high, and on the coset g, where x^n = g^n, it
/// is low + g^n high. h is high, their difference over g^n - 1. Six transforms instead of the
/// seven of the usual way.
fn quotient(shape: &Shape, assignment: &[Fr]) -> Result<Vec<Fr>, SynthesisError> {
    let large = SynthesisError::PolynomialDegreeTooLarge;
    let rows = shape.constraints();
    let domain = Radix2EvaluationDomain::<Fr>::new(rows + shape.publics + 1).ok_or(large)?;
    let coset = domain.get_coset(Fr::GENERATOR).ok_or(large)?;
    let evaluate = |matrix: &[Row]| -> Vec<Fr> { matrix.iter().map(|row| dot(row, assignment)).collect() };
    let (mut a, mut b) = rayon::join(|| evaluate(&shape.a), || evaluate(&shape.b));
    // Behind the constraints stand the public inputs, as in libsnark's reduction.
    a.extend(assignment.iter().take(shape.publics + 1));
    for vector in [&mut a, &mut b] {
        vector.resize(domain.size(), Fr::ZERO);
    }
    let mut product: Vec<Fr> = a.iter().zip(&b).map(|(a, b)| *a * b).collect();
    let to_coset = |vector: &mut Vec<Fr>| {
        domain.ifft_in_place(vector);
        coset.fft_in_place(vector);
    };
    rayon::join(|| domain.ifft_in_place(&mut product), || rayon::join(|| to_coset(&mut a), || to_coset(&mut b)));
    for (a, b) in a.iter_mut().zip(&b) {
        *a *= b;
    }
    coset.ifft_in_place(&mut a);
    let scale = (coset.coset_offset_pow_size() - Fr::ONE).inverse().unwrap_or_default();
    for (a, product) in a.iter_mut().zip(&product) {
        *a = (*a - product) * scale;
    }
    Ok(a)
}

/// A row's value.
fn dot(row: &Row, assignment: &[Fr]) -> Fr {
    let value = |i: &usize| assignment.get(*i).copied().unwrap_or_default();
    row.iter().map(|(factor, i)| if *factor == Fr::ONE { value(i) } else { *factor * value(i) }).sum()
}
