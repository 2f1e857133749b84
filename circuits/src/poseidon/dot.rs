//! Sums of products with one reduction: products of 512 bits are added up and reduced once. A
//! Montgomery product is half multiplication and half reduction, so long sums cost half.

#![expect(clippy::indexing_slicing, reason = "arrays of fixed sizes, indices below them by construction")]

use ark_bls12_381::Fr;
use ark_ff::{BigInt, BigInteger as _, PrimeField};

const LIMBS: usize = 4;
const R: [u64; LIMBS] = Fr::MODULUS.0;
/// -1/r modulo 2^64.
const R_INVERSE: u64 = {
    // Newton's iteration doubles the bits that are right; r itself is right to three.
    let (mut inverse, mut round) = (R[0], 0);
    while round < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(R[0].wrapping_mul(inverse)));
        round += 1;
    }
    inverse.wrapping_neg()
};

/// A sum of products, not yet reduced. Holds 2^60 of them.
pub(super) struct Sum([u64; 2 * LIMBS + 1]);

impl Sum {
    /// The sum of these pairs' products.
    #[inline(always)]
    pub(super) fn of<'a>(pairs: impl Iterator<Item = (&'a Fr, &'a Fr)>) -> Sum {
        let mut sum = Sum([0; 2 * LIMBS + 1]);
        sum.add(pairs);
        sum
    }

    /// Adds more.
    #[inline(always)]
    pub(super) fn add<'a>(&mut self, pairs: impl Iterator<Item = (&'a Fr, &'a Fr)>) {
        let t = &mut self.0;
        for (a, b) in pairs {
            let (a, b) = ((a.0).0, (b.0).0);
            let mut product = [0; 2 * LIMBS];
            for i in 0..LIMBS {
                let mut carry = 0;
                for j in 0..LIMBS {
                    (product[i + j], carry) = a[i].carrying_mul_add(b[j], product[i + j], carry);
                }
                product[i + LIMBS] = carry;
            }
            let mut carry = false;
            for i in 0..2 * LIMBS {
                (t[i], carry) = t[i].carrying_add(product[i], carry);
            }
            t[2 * LIMBS] += u64::from(carry);
        }
    }

    /// The sum modulo r (Montgomery's reduction).
    #[inline(always)]
    pub(super) fn reduced(self) -> Fr {
        let mut t = self.0;
        let mut above = 0;
        for i in 0..LIMBS {
            let q = t[i].wrapping_mul(R_INVERSE);
            let mut carry = 0;
            for j in 0..LIMBS {
                (t[i + j], carry) = q.carrying_mul_add(R[j], t[i + j], carry);
            }
            let (sum, over) = t[i + LIMBS].carrying_add(carry, false);
            let (sum, over2) = sum.carrying_add(above, false);
            t[i + LIMBS] = sum;
            above = u64::from(over) + u64::from(over2);
        }
        t[2 * LIMBS] += above;
        // Below (n r / 2^256 + 1) r after n products: some subtractions, for a few dozen products.
        let mut number = BigInt([t[4], t[5], t[6], t[7]]);
        let mut top = t[8];
        while top > 0 || number >= Fr::MODULUS {
            top -= u64::from(number.sub_with_borrow(&Fr::MODULUS));
        }
        Fr::new_unchecked(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::{AdditiveGroup as _, Field as _};

    #[test]
    fn sums_are_those_of_single_products() {
        let mut x = Fr::from(0x1234_5678_9abc_def1u64);
        let mut next = || {
            x = x.square() + Fr::from(7u64);
            x
        };
        for length in [0, 1, 2, 17, 25, 60] {
            let random: Vec<(Fr, Fr)> = (0..length).map(|_| (next(), next())).collect();
            // The largest representations there are: r - 1 in Montgomery form.
            let large = Fr::new_unchecked(BigInt(std::array::from_fn(|i| R[i] - u64::from(i == 0))));
            for pairs in [random, vec![(large, large); length], vec![(Fr::ZERO, large); length]] {
                let expected: Fr = pairs.iter().map(|(a, b)| *a * b).sum();
                assert_eq!(Sum::of(pairs.iter().map(|(a, b)| (a, b))).reduced(), expected);
            }
        }
    }
}
