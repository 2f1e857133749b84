//! Partial rounds in sparse form (appendix B of the paper): constants of the lanes that no S-box
//! touches are carried forward, and each dense matrix is split into a sparse one and a block that
//! commutes with the S-box and moves on to the next round. A round costs 2t - 1 products instead
//! of t^2.

#![expect(clippy::indexing_slicing, reason = "square matrices of one size, indices below it by construction")]

use ark_bls12_381::Fr;
use ark_ff::{Field, One, Zero};

use super::{FULL_ROUNDS, partial_rounds, pow5};

type Matrix = Vec<Vec<Fr>>;

struct Round<const T: usize> {
    constant: Fr,
    /// First row: lane 0's new value is its product with the state.
    row: [Fr; T],
    /// First column: lane j gains `column[j]` times the S-box output (entry 0 unused).
    column: [Fr; T],
}

pub(super) struct SparseRounds<const T: usize> {
    rounds: Vec<Round<T>>,
    /// The block that all rounds left behind, applied once at the end.
    last: [[Fr; T]; T],
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
        Self { rounds, last: std::array::from_fn(|i| std::array::from_fn(|j| block[i][j])), carried }
    }

    pub(super) fn apply(&self, state: &mut [Fr; T]) {
        for round in &self.rounds {
            let powered = pow5(state[0] + round.constant);
            state[0] = powered;
            let first = Fr::sum_of_products(&round.row, state);
            for (lane, factor) in state.iter_mut().zip(&round.column).skip(1) {
                *lane += powered * factor;
            }
            state[0] = first;
        }
        *state = self.last.each_ref().map(|row| Fr::sum_of_products(row, state));
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
