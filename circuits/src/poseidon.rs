//! Poseidon (Grassi, Khovratovich, Rechberger, Roy, Schofnegger, USENIX Security 2021,
//! <https://eprint.iacr.org/2019/458>) over the scalar field of BLS12-381, S-box x^5, 128-bit
//! security. See docs/spec/poseidon.md for round numbers, generator and checks.

use ark_bls12_381::Fr;
use ark_ff::{Field, Zero};

mod dot;
mod grain;
mod sparse;

use dot::Sum;
use sparse::{Round, SparseRounds};

/// Full rounds, half before and half after the partial ones.
pub(crate) const FULL_ROUNDS: usize = 8;

/// Partial rounds at width `t`: the smallest number that the paper's inequalities allow at 128 bits
/// with its security margin of 7.5 %, rounded up to a multiple of `t` as the reference
/// implementation's published instances are (57 at width 3, 60 at width 5, 68 at width 17).
pub(crate) const fn partial_rounds(t: usize) -> usize {
    // Interpolation attack, the binding inequality for x^5 at these widths:
    // R_F + R_P >= 1 + ceil(128 log_5 2) + ceil(log_5 t), with R_F = 6 before the margin.
    let log5_t = if t <= 5 { 1 } else { 2 };
    let minimum: usize = 1 + 56 + log5_t - 6;
    (minimum * 1075).div_ceil(1000).div_ceil(t) * t
}

/// The permutation at width `T`, at most 25.
pub(crate) struct Poseidon<const T: usize> {
    /// One row of round constants for each round.
    pub(crate) constants: Vec<[Fr; T]>,
    /// The Cauchy matrix of the linear layer.
    pub(crate) mds: [[Fr; T]; T],
    sparse: SparseRounds<T>,
}

impl<const T: usize> Poseidon<T> {
    /// Generates the constants with the Grain LFSR of the paper's appendix E.
    pub(crate) fn generate() -> Self {
        let mut grain = grain::Grain::new(T, FULL_ROUNDS, partial_rounds(T));
        let rounds = FULL_ROUNDS + partial_rounds(T);
        let constants: Vec<[Fr; T]> = (0..rounds).map(|_| std::array::from_fn(|_| grain.field_element())).collect();
        let mds = grain.cauchy_matrix();
        let sparse = SparseRounds::derive(&constants, &mds);
        Self { constants, mds, sparse }
    }

    /// Applies the permutation in place, its partial rounds in their sparse form.
    pub(crate) fn permute(&self, state: &mut [Fr; T]) {
        self.all_but_last_layer(state);
        self.mix(state);
    }

    /// The permutation's lane 1, where a sponge's output stands: the last linear layer need not
    /// give the others.
    pub(crate) fn squeeze(&self, state: &mut [Fr; T]) -> Fr {
        self.all_but_last_layer(state);
        self.mds.get(1).map(|row| Sum::of(row.iter().zip(state.iter())).reduced()).unwrap_or_default()
    }

    /// The partial rounds in sparse form, and the block to be applied behind them.
    pub(crate) fn sparse_rounds(&self) -> (&[Round<T>], &[[Fr; T]; T]) {
        (&self.sparse.rounds, &self.sparse.last)
    }

    /// The constants of the full rounds: those in front of the partial rounds, and those behind
    /// their sparse form, the first of which takes what that carried forward.
    pub(crate) fn full_rounds(&self) -> (impl Iterator<Item = [Fr; T]>, impl Iterator<Item = [Fr; T]>) {
        let half = FULL_ROUNDS / 2;
        let behind = self.constants.iter().skip(half + partial_rounds(T)).enumerate().map(|(number, constants)| {
            let mut constants = *constants;
            for (constant, carried) in constants.iter_mut().zip(&self.sparse.carried).filter(|_| number == 0) {
                *constant += carried;
            }
            constants
        });
        (self.constants.iter().take(half).copied(), behind)
    }

    fn all_but_last_layer(&self, state: &mut [Fr; T]) {
        let (front, behind) = self.full_rounds();
        for constants in front {
            Self::substitute(state, &constants);
            self.mix(state);
        }
        self.sparse.apply(state);
        for (number, constants) in behind.enumerate() {
            if number > 0 {
                self.mix(state);
            }
            Self::substitute(state, &constants);
        }
    }

    fn substitute(state: &mut [Fr; T], constants: &[Fr; T]) {
        for (lane, constant) in state.iter_mut().zip(constants) {
            *lane = pow5(*lane + constant);
        }
    }

    fn mix(&self, state: &mut [Fr; T]) {
        *state = self.mds.each_ref().map(|row| Sum::of(row.iter().zip(state.iter())).reduced());
    }

    /// The permutation as the paper writes it, round by round: what [`Poseidon::permute`] and the
    /// circuit are checked against.
    #[cfg(test)]
    pub(crate) fn permute_plain(&self, state: &mut [Fr; T]) {
        for (round, constants) in self.constants.iter().enumerate() {
            for (lane, constant) in state.iter_mut().zip(constants) {
                *lane += constant;
            }
            let partial = (FULL_ROUNDS / 2..FULL_ROUNDS / 2 + partial_rounds(T)).contains(&round);
            let powered = if partial { 1 } else { T };
            for lane in state.iter_mut().take(powered) {
                *lane = pow5(*lane);
            }
            *state = self.mds.each_ref().map(|row| row.iter().zip(state.iter()).map(|(m, s)| *m * s).sum());
        }
    }
}

/// x^5.
pub(crate) fn pow5(x: Fr) -> Fr {
    x.square().square() * x
}

/// A sponge's state before its first block: the capacity lane holds the domain tag.
pub(crate) fn initial_state<const T: usize>(tag: Fr) -> [Fr; T] {
    let mut state = [Fr::zero(); T];
    if let Some(capacity) = state.first_mut() {
        *capacity = tag;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_crypto_primitives::sponge::poseidon::find_poseidon_ark_and_mds;
    use ark_ff::PrimeField;

    fn counting<const T: usize>() -> [Fr; T] {
        std::array::from_fn(|i| Fr::from(i as u64))
    }

    /// hadeshash, `test_vectors.txt`: the permutation of 0, 1, 2 ..
    const X5_255_3: [&str; 3] = [
        "28ce19420fc246a05553ad1e8c98f5c9d67166be2c18e9e4cb4b4e317dd2a78a",
        "51f3e312c95343a896cfd8945ea82ba956c1118ce9b9859b6ea56637b4b1ddc4",
        "3b2b69139b235626a0bfb56c9527ae66a7bf486ad8c11c14d1da0c69bbe0f79a",
    ];
    const X5_255_5: [&str; 5] = [
        "2a918b9c9f9bd7bb509331c81e297b5707f6fc7393dcee1b13901a0b22202e18",
        "65ebf8671739eeb11fb217f2d5c5bf4a0c3f210e3f3cd3b08b5db75675d797f7",
        "2cc176fc26bc70737a696a9dfd1b636ce360ee76926d182390cdb7459cf585ce",
        "4dc4e29d283afd2a491fe6aef122b9a968e74eff05341f3cc23fda1781dcb566",
        "03ff622da276830b9451b88b85e6184fd6ae15c8ab3ee25a5667be8592cce3b1",
    ];

    fn agrees_with_published<const T: usize>(published: [&str; T]) {
        let poseidon = Poseidon::<T>::generate();
        let expected = published.map(|word| Fr::from_be_bytes_mod_order(&hex::decode(word).unwrap()));
        let (mut fast, mut plain) = (counting::<T>(), counting::<T>());
        poseidon.permute(&mut fast);
        poseidon.permute_plain(&mut plain);
        assert_eq!(fast, expected);
        assert_eq!(plain, expected);
    }

    #[test]
    fn round_numbers_are_those_of_the_published_instances() {
        assert_eq!([partial_rounds(3), partial_rounds(5), partial_rounds(17)], [57, 60, 68]);
    }

    #[test]
    fn widths_3_and_5_give_the_published_vectors() {
        agrees_with_published(X5_255_3);
        agrees_with_published(X5_255_5);
    }

    #[test]
    fn width_17_agrees_with_an_independent_generator() {
        let ours = Poseidon::<17>::generate();
        let (constants, mds) =
            find_poseidon_ark_and_mds::<Fr>(255, 16, FULL_ROUNDS as u64, partial_rounds(17) as u64, 0);
        assert_eq!(ours.constants.iter().map(|r| r.to_vec()).collect::<Vec<_>>(), constants);
        assert_eq!(ours.mds.iter().map(|r| r.to_vec()).collect::<Vec<_>>(), mds);
    }

    #[test]
    fn sparse_rounds_equal_plain_rounds() {
        let poseidon = Poseidon::<17>::generate();
        let mut fast = counting::<17>();
        let mut plain = fast;
        for _ in 0..3 {
            poseidon.permute(&mut fast);
            let mut squeezed = plain;
            poseidon.permute_plain(&mut plain);
            assert_eq!(fast, plain);
            assert_eq!(poseidon.squeeze(&mut squeezed), plain[1]);
        }
    }

    /// No infinitely long subspace trail through the partial rounds (Grassi, Rechberger,
    /// Schofnegger, <https://eprint.iacr.org/2020/500>). A trail U, MU, M^2 U .. of period l either
    /// keeps lane 0 inactive for ever, which needs a vector that e_0^T M^i annihilates for all i;
    /// or holds e_0 at some step, and then all of e_0, M^l e_0, M^2l e_0 .., so that it is no trail
    /// when these span everything. Both are ranks; l runs to 4t as in the reference script.
    #[test]
    fn width_17_matrix_has_no_subspace_trail() {
        const T: usize = 17;
        let mds = Poseidon::<T>::generate().mds;
        let step = |v: &[Fr], transposed: bool| -> Vec<Fr> {
            let entry = |i: usize, j: usize| if transposed { mds[j][i] } else { mds[i][j] };
            (0..T).map(|i| (0..T).map(|j| entry(i, j) * v[j]).sum()).collect()
        };
        let orbit = |period: usize, transposed: bool| -> Vec<Vec<Fr>> {
            let mut v = vec![Fr::zero(); T];
            v[0] = Fr::from(1u64);
            let next = |v: &Vec<Fr>| Some((0..period).fold(v.clone(), |v, _| step(&v, transposed)));
            std::iter::successors(Some(v), next).take(T).collect()
        };
        assert_eq!(rank(orbit(1, true)), T);
        for period in 1..=4 * T {
            assert_eq!(rank(orbit(period, false)), T, "period {period}");
        }
        assert_eq!(rank(vec![vec![Fr::from(2u64), Fr::from(4u64)], vec![Fr::from(1u64), Fr::from(2u64)]]), 1);
    }

    fn rank(mut rows: Vec<Vec<Fr>>) -> usize {
        let mut rank = 0;
        for column in 0..rows[0].len() {
            let Some(pivot) = (rank..rows.len()).find(|row| !rows[*row][column].is_zero()) else { continue };
            rows.swap(rank, pivot);
            let inverse = rows[rank][column].inverse().unwrap();
            let top = rows[rank].clone();
            for row in rows.iter_mut().skip(rank + 1) {
                let factor = row[column] * inverse;
                for (entry, above) in row.iter_mut().zip(&top) {
                    *entry -= factor * above;
                }
            }
            rank += 1;
        }
        rank
    }
}
