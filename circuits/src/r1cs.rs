//! A rank-1 constraint system written once and run twice: once for its shape (matrices), once for
//! each proof for its values alone. Keeps the circuits free of any proof system's types.

use ark_bls12_381::Fr;
use ark_ff::{AdditiveGroup, Field};
use sha2::{Digest as _, Sha256};

use crate::bytes::ShapeDigest;
use crate::record::field_to_bytes;

/// What a circuit is written against. A `Num` is a linear combination of variables.
pub(crate) trait Backend {
    type Num: Clone;

    /// A constant.
    fn constant(&self, value: Fr) -> Self::Num;
    /// The next public input. All of them come before the first witness.
    fn public(&mut self, value: Fr) -> Self::Num;
    /// A new witness variable.
    fn witness(&mut self, value: Fr) -> Self::Num;
    /// Adds `factor` times `num` to `to`.
    fn add_scaled(&self, to: &mut Self::Num, factor: Fr, num: &Self::Num);
    /// The number's value (meaningless while only the shape is wanted).
    fn value(&self, num: &Self::Num) -> Fr;
    /// Demands a · b = c.
    fn enforce(&mut self, a: &Self::Num, b: &Self::Num, c: &Self::Num);

    /// The sum of scaled numbers.
    fn sum(&self, terms: &[(Fr, &Self::Num)]) -> Self::Num {
        let mut total = self.constant(Fr::ZERO);
        for (factor, num) in terms {
            self.add_scaled(&mut total, *factor, num);
        }
        total
    }

    /// a - b.
    fn difference(&self, a: &Self::Num, b: &Self::Num) -> Self::Num {
        self.sum(&[(Fr::ONE, a), (-Fr::ONE, b)])
    }

    /// A new witness equal to a · b.
    fn product(&mut self, a: &Self::Num, b: &Self::Num) -> Self::Num {
        let product = self.witness(self.value(a) * self.value(b));
        self.enforce(a, b, &product);
        product
    }
}

/// Collects values only: the assignment of all variables.
pub(crate) struct Assignment {
    pub(crate) values: Vec<Fr>,
}

impl Assignment {
    pub(crate) fn new() -> Self {
        Self { values: vec![Fr::ONE] }
    }
}

impl Backend for Assignment {
    type Num = Fr;
    fn constant(&self, value: Fr) -> Fr {
        value
    }
    fn public(&mut self, value: Fr) -> Fr {
        self.values.push(value);
        value
    }
    fn witness(&mut self, value: Fr) -> Fr {
        self.values.push(value);
        value
    }
    fn add_scaled(&self, to: &mut Fr, factor: Fr, num: &Fr) {
        *to += factor * num;
    }
    fn value(&self, num: &Fr) -> Fr {
        *num
    }
    fn enforce(&mut self, _: &Fr, _: &Fr, _: &Fr) {}
}

/// A sparse row: coefficients by variable. Variable 0 is the constant one, then the public inputs.
pub(crate) type Row = Vec<(Fr, usize)>;

/// The three matrices of a circuit.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    pub(crate) publics: usize,
    pub(crate) witnesses: usize,
    pub(crate) a: Vec<Row>,
    pub(crate) b: Vec<Row>,
    pub(crate) c: Vec<Row>,
}

impl Shape {
    pub(crate) fn constraints(&self) -> usize {
        self.a.len()
    }

    /// SHA-256 over the numbers of variables and every entry of every row in order.
    pub(crate) fn digest(&self) -> ShapeDigest {
        let mut hasher = Sha256::new();
        hasher.update(b"sealgate/r1cs/1");
        for number in [self.publics, self.witnesses, self.constraints()] {
            hasher.update((number as u64).to_le_bytes());
        }
        for row in self.a.iter().zip(&self.b).zip(&self.c).flat_map(|((a, b), c)| [a, b, c]) {
            hasher.update((row.len() as u64).to_le_bytes());
            for (factor, variable) in row {
                hasher.update((*variable as u64).to_le_bytes());
                hasher.update(field_to_bytes(factor));
            }
        }
        ShapeDigest(hasher.finalize().into())
    }

    /// The first constraint that the assignment breaks.
    #[cfg(test)]
    pub(crate) fn violated(&self, assignment: &[Fr]) -> Option<usize> {
        (0..self.constraints()).find(|row| !self.holds(*row, assignment))
    }

    /// Whether the assignment satisfies one constraint.
    #[cfg(test)]
    pub(crate) fn holds(&self, row: usize, assignment: &[Fr]) -> bool {
        let dot = |row: &Row| -> Fr { row.iter().map(|(factor, i)| *factor * assignment[*i]).sum() };
        dot(&self.a[row]) * dot(&self.b[row]) == dot(&self.c[row])
    }

    /// The constraints in which a variable occurs.
    #[cfg(test)]
    pub(crate) fn touches(&self, variable: usize) -> impl Iterator<Item = usize> + '_ {
        let occurs = move |row: &Row| row.binary_search_by_key(&variable, |(_, i)| *i).is_ok();
        (0..self.constraints()).filter(move |i| occurs(&self.a[*i]) || occurs(&self.b[*i]) || occurs(&self.c[*i]))
    }
}

/// Terms that are added up in a dense vector rather than merged one after the other.
const DENSE_SUM: usize = 5;

impl Backend for Shape {
    /// Coefficients by ascending variable, some perhaps zero.
    type Num = Row;

    fn constant(&self, value: Fr) -> Self::Num {
        vec![(value, 0)]
    }
    fn public(&mut self, _: Fr) -> Self::Num {
        debug_assert_eq!(self.witnesses, 0, "public inputs come first");
        self.publics += 1;
        vec![(Fr::ONE, self.publics)]
    }
    fn witness(&mut self, _: Fr) -> Self::Num {
        self.witnesses += 1;
        vec![(Fr::ONE, self.publics + self.witnesses)]
    }
    fn add_scaled(&self, to: &mut Self::Num, factor: Fr, num: &Self::Num) {
        let mut from = 0;
        for (coefficient, variable) in num {
            // Both ascend: what is before the last place found is behind us.
            let ahead = to.get(from..).unwrap_or_default();
            from += ahead.partition_point(|(_, other)| other < variable);
            match to.get_mut(from) {
                Some((sum, other)) if other == variable => *sum += factor * coefficient,
                _ => to.insert(from, (factor * coefficient, *variable)),
            }
        }
    }
    fn sum(&self, terms: &[(Fr, &Self::Num)]) -> Self::Num {
        if terms.len() < DENSE_SUM {
            let mut total = Row::new();
            for (factor, num) in terms {
                self.add_scaled(&mut total, *factor, num);
            }
            return total;
        }
        let mut dense = vec![Fr::ZERO; 1 + self.publics + self.witnesses];
        for (factor, num) in terms {
            for (coefficient, variable) in *num {
                if let Some(sum) = dense.get_mut(*variable) {
                    *sum += *factor * coefficient;
                }
            }
        }
        dense.into_iter().zip(0..).filter(|(sum, _)| *sum != Fr::ZERO).collect()
    }
    fn value(&self, _: &Self::Num) -> Fr {
        Fr::ZERO
    }
    fn enforce(&mut self, a: &Self::Num, b: &Self::Num, c: &Self::Num) {
        let row = |num: &Self::Num| -> Row { num.iter().filter(|(factor, _)| *factor != Fr::ZERO).copied().collect() };
        self.a.push(row(a));
        self.b.push(row(b));
        self.c.push(row(c));
    }
}
