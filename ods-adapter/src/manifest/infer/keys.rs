//! Which columns tell rows apart.

use std::collections::{BTreeSet, HashSet};

use sealgate_circuits::value::ColumnType;

use super::{Key, Surveyed, count};

/// Hashes of texts kept in all; beyond that the columns that are least likely keys are given up.
const HASHES_MAX: usize = 24 << 20;
/// A column with more rows that repeat another's text is no key, nor nearly one.
const REPEATS_MAX: usize = 16;
/// Columns of which keys of several are made, and how many make one.
const SEARCHED: usize = 10;
const TOGETHER_MAX: usize = 3;

/// Whether a column's texts are all different, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Uniqueness {
    hashes: HashSet<u64>,
    /// The first rows that repeat a text.
    repeats: Vec<u64>,
    given_up: bool,
}

impl Uniqueness {
    pub(super) fn add(&mut self, row: u64, hash: u64) {
        if !self.given_up && !self.hashes.insert(hash) {
            self.repeats.push(row);
            if self.repeats.len() > REPEATS_MAX {
                self.give_up();
            }
        }
    }

    fn give_up(&mut self) {
        self.given_up = true;
        self.hashes = HashSet::new();
    }
}

/// Gives up columns from the last on while there are too many hashes.
pub(super) fn within_bounds(columns: &mut [Surveyed]) {
    let mut all: usize = columns.iter().map(|column| column.uniqueness.hashes.len()).sum();
    for column in columns.iter_mut().rev() {
        if all <= HASHES_MAX {
            return;
        }
        all -= column.uniqueness.hashes.len();
        column.uniqueness.give_up();
    }
}

/// How well a column with values of this type would do as a key.
fn rank(kind: ColumnType) -> u8 {
    match kind {
        ColumnType::Int | ColumnType::Text => 0,
        ColumnType::Date | ColumnType::Timestamp => 1,
        ColumnType::Decimal(_) | ColumnType::Bool => 2,
    }
}

/// The first column whose texts are all there and all different; and what comes near.
pub(super) fn single(columns: &[Surveyed], nulls: &[BTreeSet<&'static str>], rows: u64) -> Key {
    let mut unique: Vec<(u8, usize)> = Vec::new();
    let mut remarks = Vec::new();
    for (at, (column, nulls)) in columns.iter().zip(nulls).enumerate() {
        let missing = column.profile.rows_null(nulls);
        if column.uniqueness.given_up || column.profile.faults > 0 || rows == 0 {
            continue;
        }
        match (column.uniqueness.repeats.as_slice(), missing) {
            ([], 0) => unique.push((rank(column.profile.guess(nulls).kind), at)),
            ([first, ..], 0) => remarks.push(format!(
                "'{}' would be a key, but for {}, first row {first}",
                column.name,
                count(column.uniqueness.repeats.len() as u64, "repeated text")
            )),
            _ => {}
        }
    }
    unique.sort_unstable();
    let names = unique.iter().skip(1).filter_map(|(_, at)| columns.get(*at)).map(|column| format!("'{}'", column.name));
    let others: Vec<_> = names.take(8).collect();
    if !others.is_empty() {
        remarks = vec![format!("just as unique: {}", others.join(", "))];
    } else if !unique.is_empty() {
        remarks.clear();
    }
    Key { columns: unique.first().map(|(_, at)| *at).into_iter().collect(), remarks }
}

/// Looks for columns that are unique together.
pub(super) struct KeySearch {
    /// Positions among the columns surveyed.
    searched: Vec<usize>,
    /// Positions in `searched`, and the hashes of the rows so far.
    candidates: Vec<(Vec<usize>, HashSet<u64>)>,
}

impl KeySearch {
    /// Over the columns without nulls that have most different texts; `None` if there are not two.
    pub(super) fn over(columns: &[Surveyed], nulls: &[BTreeSet<&'static str>]) -> Option<Self> {
        let whole = columns.iter().zip(nulls).enumerate().filter(|(_, (column, nulls))| {
            let profile = &column.profile;
            profile.rows_null(nulls) == 0 && profile.faults == 0 && rank(profile.guess(nulls).kind) < 2
        });
        let mut searched: Vec<(u64, usize)> = whole.map(|(at, (column, _))| (column.profile.distinct(), at)).collect();
        searched.sort_unstable_by_key(|(distinct, at)| (std::cmp::Reverse(*distinct), *at));
        searched.truncate(SEARCHED);
        let mut searched: Vec<usize> = searched.into_iter().map(|(_, at)| at).collect();
        searched.sort_unstable();
        let mut candidates = Vec::new();
        for size in 2..=TOGETHER_MAX.min(searched.len()) {
            combinations(searched.len(), size, &mut Vec::new(), &mut candidates);
        }
        let candidates: Vec<_> = candidates.into_iter().map(|columns| (columns, HashSet::new())).collect();
        (!candidates.is_empty()).then_some(Self { searched, candidates })
    }

    pub(super) fn names(&self, columns: &[Surveyed]) -> Vec<String> {
        self.searched.iter().filter_map(|at| columns.get(*at)).map(|column| column.name.clone()).collect()
    }

    /// Whether a candidate is left.
    pub(super) fn goes_on(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Adds a row by its texts' hashes.
    pub(super) fn add(&mut self, row: &[u64]) {
        self.candidates.retain_mut(|(columns, seen)| {
            let together = columns.iter().filter_map(|at| row.get(*at));
            seen.insert(together.fold(0, |all, hash| all.rotate_left(21).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ hash))
        });
        // The later ones are larger, or of columns further behind.
        while self.candidates.iter().map(|(_, seen)| seen.len()).sum::<usize>() > HASHES_MAX
            && self.candidates.len() > 1
        {
            self.candidates.pop();
        }
    }

    /// The first that no row contradicts, fewest columns first.
    pub(super) fn found(self) -> Vec<usize> {
        let first = self.candidates.into_iter().next().map(|(columns, _)| columns).unwrap_or_default();
        first.into_iter().filter_map(|at| self.searched.get(at).copied()).collect()
    }
}

fn combinations(of: usize, size: usize, begun: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    if begun.len() == size {
        found.push(begun.clone());
        return;
    }
    for next in begun.last().map_or(0, |last| last + 1)..of {
        begun.push(next);
        combinations(of, size, begun, found);
        begun.pop();
    }
}
