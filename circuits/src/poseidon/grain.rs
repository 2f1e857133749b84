//! The Grain LFSR that draws Poseidon's constants (appendix E of the paper; reference
//! implementation `generate_params_poseidon.sage`).

use std::collections::VecDeque;

use ark_bls12_381::Fr;
use ark_ff::{BigInteger, BigInteger256, Field, PrimeField};

/// Bits of the field's modulus.
const FIELD_BITS: usize = 255;

pub(super) struct Grain {
    state: VecDeque<bool>,
}

impl Grain {
    /// Seeds the register with the instance's description and discards the first 160 bits.
    pub(super) fn new(width: usize, full_rounds: usize, partial_rounds: usize) -> Self {
        let mut state = VecDeque::with_capacity(80);
        let mut push = |value: usize, bits: u32| {
            state.extend((0..bits).rev().map(|i| (value >> i) & 1 == 1));
        };
        push(1, 2); // a prime field
        push(0, 4); // S-box x^alpha
        push(FIELD_BITS, 12);
        push(width, 12);
        push(full_rounds, 10);
        push(partial_rounds, 10);
        push((1 << 30) - 1, 30);
        let mut grain = Self { state };
        for _ in 0..160 {
            grain.raw_bit();
        }
        grain
    }

    fn raw_bit(&mut self) -> bool {
        let taps = [62, 51, 38, 23, 13, 0];
        let bit = taps.iter().fold(false, |acc, tap| acc ^ self.state.get(*tap).copied().unwrap_or(false));
        self.state.pop_front();
        self.state.push_back(bit);
        bit
    }

    /// One bit of the self-shrinking output: of each pair, the second where the first is set.
    fn bit(&mut self) -> bool {
        loop {
            let (keep, bit) = (self.raw_bit(), self.raw_bit());
            if keep {
                return bit;
            }
        }
    }

    fn integer(&mut self) -> BigInteger256 {
        let bits: Vec<bool> = (0..FIELD_BITS).map(|_| self.bit()).collect();
        BigInteger256::from_bits_be(&bits)
    }

    /// A field element, by rejection.
    pub(super) fn field_element(&mut self) -> Fr {
        loop {
            if let Some(element) = Fr::from_bigint(self.integer()) {
                return element;
            }
        }
    }

    /// A Cauchy matrix 1/(x_i + y_j) of distinct x and y, these reduced rather than rejected.
    pub(super) fn cauchy_matrix<const T: usize>(&mut self) -> [[Fr; T]; T] {
        loop {
            let drawn: Vec<BigInteger256> = (0..2 * T).map(|_| self.integer()).collect();
            let distinct: std::collections::BTreeSet<_> = drawn.iter().collect();
            if distinct.len() != drawn.len() {
                continue;
            }
            let elements: Vec<Fr> =
                drawn.iter().map(|integer| Fr::from_le_bytes_mod_order(&integer.to_bytes_le())).collect();
            let (xs, ys) = elements.split_at(T);
            let entry = |i: usize, j: usize| -> Option<Fr> { (*xs.get(i)? + ys.get(j)?).inverse() };
            let invertible = (0..T).all(|i| (0..T).all(|j| entry(i, j).is_some()));
            if invertible {
                return std::array::from_fn(|i| std::array::from_fn(|j| entry(i, j).unwrap_or_default()));
            }
        }
    }
}
