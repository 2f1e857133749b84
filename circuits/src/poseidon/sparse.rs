//! Partial rounds in sparse form (appendix B of the paper): constants of the lanes that no S-box
//! touches are carried forward, and each dense matrix is split into a sparse one and a block that
//! commutes with the S-box and moves on to the next round. A round costs 2t - 1 products instead
//! of t^2.

#![expect(clippy::indexing_slicing, reason = "square matrices of one size, indices below it by construction")]

use ark_bls12_381::Fr;
use ark_ff::{Field, One, Zero};

use super::dot::Sum;
use super::{FULL_ROUNDS, partial_rounds, pow5};

type Matrix = Vec<Vec<Fr>>;

/// A partial round in sparse form.
pub(crate) struct Round<const T: usize> {
    pub(crate) constant: Fr,
    /// First row: lane 0's new value is its product with the state.
    pub(crate) row: [Fr; T],
    /// First column: lane j gains `column[j]` times the S-box output (entry 0 unused).
    pub(crate) column: [Fr; T],
}

/// Rounds after which the lanes without S-box are brought up to date together.
const GROUP: usize = 8;

/// Rounds of which only lane 0 is followed. With p_i the S-box outputs and lanes 1.. as they stood
/// before the first round, round k's lane 0 is row_k · (p_k, lanes) + sum over i < k of
/// (row_k · column_i) p_i; afterwards each lane gains its column · p in one sum.
struct Group<const T: usize> {
    /// For each round its constant, its row, and its row's products with the columns before it.
    rounds: Vec<(Fr, [Fr; T], Vec<Fr>)>,
    /// For each lane its factors in all rounds.
    columns: [Vec<Fr>; T],
}

pub(super) struct SparseRounds<const T: usize> {
    pub(super) rounds: Vec<Round<T>>,
    groups: Vec<Group<T>>,
    /// The block that all rounds left behind, applied once at the end.
    pub(super) last: [[Fr; T]; T],
    /// What the carried constants add to the first full round that follows.
    pub(super) carried: [Fr; T],
}

impl<const T: usize> SparseRounds<T> {
    pub(super) fn derive(constants: &[[Fr; T]], mds: &[[Fr; T]; T]) -> Self {
        let dense: Matrix = mds.iter().map(|row| row.to_vec()).collect();
        let mut carried = [Fr::zero(); T];
        let mut current = dense.clone();
        let mut block = identity(T);
        let mut rounds = Vec::new();
        for round in constants.iter().skip(FULL_ROUNDS / 2).take(partial_rounds(T)) {
            // s -> M S(s + c) = M S(s + c_0) + M (0, c_1 ..)
            let sum: [Fr; T] = std::array::from_fn(|i| round[i] + carried[i]);
            carried = std::array::from_fn(|i| (1..T).map(|j| mds[i][j] * sum[j]).sum());
            // current = block' * sparse, where block' fixes lane 0.
            let inner: Matrix = current[1..].iter().map(|row| row[1..].to_vec()).collect();
            let inverse = invert(&inner);
            let mut column = [Fr::one(); T];
            for i in 1..T {
                column[i] = (1..T).map(|j| inverse[i - 1][j - 1] * current[j][0]).sum();
            }
            rounds.push(Round { constant: sum[0], row: std::array::from_fn(|j| current[0][j]), column });
            block = identity(T);
            for i in 1..T {
                block[i][1..].copy_from_slice(&inner[i - 1]);
            }
            current = multiply(&dense, &block);
        }
        let groups = rounds.chunks(GROUP).map(Group::of).collect();
        Self { rounds, groups, last: std::array::from_fn(|i| std::array::from_fn(|j| block[i][j])), carried }
    }

    pub(super) fn apply(&self, state: &mut [Fr; T]) {
        for group in &self.groups {
            group.apply(state);
        }
        // The block fixes lane 0.
        let before = *state;
        for (lane, row) in state.iter_mut().zip(&self.last).skip(1) {
            *lane = Sum::of(row.iter().zip(&before).skip(1)).reduced();
        }
    }
}

impl<const T: usize> Group<T> {
    fn of(rounds: &[Round<T>]) -> Self {
        let product = |row: &[Fr; T], column: &[Fr; T]| (1..T).map(|j| row[j] * column[j]).sum();
        let earlier = |k: usize| rounds[..k].iter().map(|round| product(&rounds[k].row, &round.column)).collect();
        Self {
            rounds: rounds.iter().enumerate().map(|(k, round)| (round.constant, round.row, earlier(k))).collect(),
            columns: std::array::from_fn(|j| rounds.iter().map(|round| round.column[j]).collect()),
        }
    }

    fn apply(&self, state: &mut [Fr; T]) {
        let mut powered = [Fr::zero(); GROUP];
        for (k, (constant, row, earlier)) in self.rounds.iter().enumerate() {
            state[0] = pow5(state[0] + constant);
            powered[k] = state[0];
            let mut sum = Sum::of(row.iter().zip(state.iter()));
            sum.add(earlier.iter().zip(&powered));
            state[0] = sum.reduced();
        }
        for (lane, column) in state.iter_mut().zip(&self.columns).skip(1) {
            *lane += Sum::of(column.iter().zip(&powered)).reduced();
        }
    }
}

fn identity(n: usize) -> Matrix {
    (0..n).map(|i| (0..n).map(|j| if i == j { Fr::one() } else { Fr::zero() }).collect()).collect()
}

fn multiply(a: &Matrix, b: &Matrix) -> Matrix {
    let n = a.len();
    (0..n).map(|i| (0..n).map(|j| (0..n).map(|k| a[i][k] * b[k][j]).sum()).collect()).collect()
}

/// Gauss-Jordan. The blocks of a Cauchy matrix are invertible; a singular matrix, which no
/// published instance has, would give a wrong permutation that the tests against plain rounds see.
fn invert(matrix: &Matrix) -> Matrix {
    let n = matrix.len();
    let mut left = matrix.clone();
    let mut right = identity(n);
    for pivot in 0..n {
        if let Some(swap) = (pivot..n).find(|row| !left[*row][pivot].is_zero()) {
            left.swap(pivot, swap);
            right.swap(pivot, swap);
        }
        let scale = left[pivot][pivot].inverse().unwrap_or_default();
        for j in 0..n {
            left[pivot][j] *= scale;
            right[pivot][j] *= scale;
        }
        for row in (0..n).filter(|row| *row != pivot) {
            let factor = left[row][pivot];
            for j in 0..n {
                let (from_left, from_right) = (left[pivot][j], right[pivot][j]);
                left[row][j] -= factor * from_left;
                right[row][j] -= factor * from_right;
            }
        }
    }
    right
}
