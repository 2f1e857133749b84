//! From powers of tau to a circuit's Groth16 key, and phase 2 on it
//! (docs/spec/ceremony.md#specialisation).

use std::collections::{BTreeMap, HashMap};

use ark_bls12_381::{Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, Field};
use ark_poly::domain::DomainCoeff;
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};

use super::contribution::Secret;
use super::points::{Point, Reader, challenge, combine, equal, scale, write};
use super::powers::Powers;
use super::{CeremonyError, Progress};
use crate::bytes::DecodeError;
use crate::circuit;
use crate::r1cs::{Row, Shape};
use crate::statement::Circuit;

const WHAT: &str = "key of a circuit";

/// A circuit of the family, as a ceremony sees it.
#[derive(Debug)]
pub(crate) struct Relation {
    pub(crate) name: String,
    pub(crate) shape: Shape,
}

impl Relation {
    pub(crate) fn of(circuit: Circuit) -> Relation {
        Relation { name: circuit.name().into(), shape: circuit::shape(circuit) }
    }

    /// Places of its domain: one for each constraint and one for each public input, rounded up
    /// to a power of two, as in arkworks' `LibsnarkReduction`.
    pub(crate) fn places(&self) -> usize {
        (self.shape.constraints() + self.inputs()).next_power_of_two()
    }

    /// Public inputs and the constant.
    fn inputs(&self) -> usize {
        self.shape.publics + 1
    }

    fn variables(&self) -> usize {
        self.inputs() + self.shape.witnesses
    }

    fn domain(&self) -> Result<Radix2EvaluationDomain<Fr>, CeremonyError> {
        let domain = Radix2EvaluationDomain::new(self.places());
        domain.ok_or_else(|| self.wrong("the circuit is too large for the field"))
    }

    fn wrong(&self, what: &'static str) -> CeremonyError {
        CeremonyError::Key { circuit: self.name.clone(), what }
    }
}

/// A circuit's proving key, as far as it is not in the powers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) delta_g1: G1Affine,
    pub(crate) delta_g2: G2Affine,
    /// beta·a + alpha·b + c of the constant and each public input, over gamma = 1.
    pub(crate) inputs: Vec<G1Affine>,
    /// The polynomials a of all variables, at tau.
    pub(crate) a: Vec<G1Affine>,
    /// The polynomials b.
    pub(crate) b_g1: Vec<G1Affine>,
    /// The polynomials b.
    pub(crate) b_g2: Vec<G2Affine>,
    /// (tau^n − 1) · tau^i / delta, i < n − 1.
    pub(crate) h: Vec<G1Affine>,
    /// beta·a + alpha·b + c of each witness, over delta.
    pub(crate) l: Vec<G1Affine>,
}

/// The Lagrange polynomials of one domain at tau.
struct Lagrange {
    tau_g1: Vec<G1Affine>,
    tau_g2: Vec<G2Affine>,
    alpha_g1: Vec<G1Affine>,
    beta_g1: Vec<G1Affine>,
}

impl Lagrange {
    fn new(powers: &Powers, domain: Radix2EvaluationDomain<Fr>) -> Lagrange {
        let transform = |points: &[G1Affine]| lagrange(points, domain);
        let ((tau_g1, tau_g2), (alpha_g1, beta_g1)) = rayon::join(
            || (transform(&powers.tau_g1), lagrange(&powers.tau_g2, domain)),
            || (transform(&powers.alpha_g1), transform(&powers.beta_g1)),
        );
        Lagrange { tau_g1, tau_g2, alpha_g1, beta_g1 }
    }
}

/// Place k of the result is sum_i omega^(-ik) · points_i / n: the inverse transform of the powers
/// is the Lagrange basis.
fn lagrange<P: Point>(points: &[P], domain: Radix2EvaluationDomain<Fr>) -> Vec<P>
where
    P::Group: DomainCoeff<Fr>,
{
    let mut points: Vec<P::Group> = points.iter().take(domain.size()).map(|point| (*point).into()).collect();
    domain.ifft_in_place(&mut points);
    P::Group::normalize_batch(&points)
}

/// The keys of all circuits for these powers, with delta = 1. Deterministic.
///
/// # Errors
/// [`CeremonyError::Key`] for a circuit that the field has no domain for.
pub(crate) fn specialise(
    powers: &Powers,
    relations: &[Relation],
    progress: &Progress,
) -> Result<Vec<Key>, CeremonyError> {
    let mut bases = BTreeMap::new();
    let mut keys = Vec::with_capacity(relations.len());
    let total = 2 * relations.len() as u64;
    for relation in relations {
        progress("making keys", 2 * keys.len() as u64, total);
        let domain = relation.domain()?;
        let basis = bases.entry(relation.places()).or_insert_with(|| Lagrange::new(powers, domain));
        progress("making keys", 2 * keys.len() as u64 + 1, total);
        keys.push(Key::new(powers, relation, basis));
    }
    progress("making keys", total, total);
    Ok(keys)
}

impl Key {
    fn new(powers: &Powers, relation: &Relation, basis: &Lagrange) -> Key {
        let n = relation.places();
        let rows = Rows::new(relation);
        let [in_a, in_b, in_c] = &rows.at;
        let [a, b_g1] = [in_a, in_b].map(|at| rows.evaluate(&rows.gather(&basis.tau_g1, at)));
        let b_g2 = rows.evaluate(&rows.gather(&basis.tau_g2, in_b));
        let mut mixed = rows.gather(&basis.tau_g1, in_c);
        for (other, at) in [(&basis.beta_g1, in_a), (&basis.alpha_g1, in_b)] {
            mixed.iter_mut().zip(rows.gather(other, at)).for_each(|(sum, point)| *sum += point);
        }
        let mut inputs: Vec<G1Affine> = rows.evaluate(&mixed);
        let l = inputs.split_off(relation.inputs());
        let low = powers.tau_g1.iter().take(n.saturating_sub(1));
        let h: Vec<G1Projective> = low.zip(powers.tau_g1.iter().skip(n)).map(|(low, high)| *high - *low).collect();
        Key {
            delta_g1: G1Affine::generator(),
            delta_g2: G2Affine::generator(),
            inputs,
            a,
            b_g1,
            b_g2,
            h: G1Projective::normalize_batch(&h),
            l,
        }
    }

    /// Multiplies delta.
    pub(crate) fn update(&mut self, delta: &Secret) {
        let inverse = Secret(delta.0.inverse().unwrap_or(Fr::ZERO));
        self.delta_g1 = (self.delta_g1 * delta.0).into_affine();
        self.delta_g2 = (self.delta_g2 * delta.0).into_affine();
        scale(&mut self.h, inverse.0, Fr::ONE);
        scale(&mut self.l, inverse.0, Fr::ONE);
    }

    /// That this is the key of this circuit, these powers and this delta, point for point: a
    /// random combination of each of its vectors is compared with the same combination of the
    /// circuit's polynomials, evaluated from the powers (docs/spec/ceremony.md#what-is-checked).
    ///
    /// # Errors
    /// [`CeremonyError::Key`] naming what is not.
    pub(crate) fn check(&self, powers: &Powers, relation: &Relation, delta: G1Affine) -> Result<(), CeremonyError> {
        let require = |holds: bool, what| if holds { Ok(()) } else { Err(relation.wrong(what)) };
        let g2 = G2Affine::generator();
        require(self.delta_g1 == delta, "its delta is not that after the last contribution")?;
        require(equal(self.delta_g1, g2, G1Affine::generator(), self.delta_g2), "its delta in G2 is not that in G1")?;
        let factors = challenge(relation.variables().max(relation.places()));
        let sums = Combined::new(relation, &factors, |_| true)?;
        require(combine(&self.a, &factors) == combine(&powers.tau_g1, &sums.a), "its query a is not the circuit's")?;
        let b = combine(&powers.tau_g1, &sums.b);
        require(combine(&self.b_g1, &factors) == b, "its query b in G1 is not the circuit's")?;
        let b = combine(&powers.tau_g2, &sums.b);
        require(combine(&self.b_g2, &factors) == b, "its query b in G2 is not the circuit's")?;

        let inputs = Combined::new(relation, &factors, |variable| variable < relation.inputs())?.mixed(powers);
        require(combine(&self.inputs, &factors) == inputs, "its public inputs are not the circuit's")?;
        let witnesses = Combined::new(relation, &factors, |variable| variable >= relation.inputs())?.mixed(powers);
        let rest = factors.get(relation.inputs()..).unwrap_or_default();
        let l = combine(&self.l, rest);
        require(equal(l, self.delta_g2, witnesses, g2), "its query l is not the circuit's over delta")?;

        let n = relation.places();
        let short = factors.get(..n.saturating_sub(1)).unwrap_or_default();
        let high = combine(powers.tau_g1.get(n..).unwrap_or_default(), short);
        let expected = high - combine(&powers.tau_g1, short);
        let h = combine(&self.h, short);
        require(equal(h, self.delta_g2, expected, g2), "its query h is not the domain's over delta")
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        write(out, &[self.delta_g1]);
        write(out, &[self.delta_g2]);
        write(out, &self.inputs);
        write(out, &self.a);
        write(out, &self.b_g1);
        write(out, &self.b_g2);
        write(out, &self.h);
        write(out, &self.l);
    }

    /// Reads a circuit's key. A variable that is in no a, or in no b, has the identity there; no
    /// other point may be the identity.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub(crate) fn read(reader: &mut Reader, relation: &Relation) -> Result<Key, DecodeError> {
        Ok(Key {
            delta_g1: reader.point(WHAT)?,
            delta_g2: reader.point(WHAT)?,
            inputs: reader.points(WHAT, relation.inputs(), false)?,
            a: reader.points(WHAT, relation.variables(), true)?,
            b_g1: reader.points(WHAT, relation.variables(), true)?,
            b_g2: reader.points(WHAT, relation.variables(), true)?,
            h: reader.points(WHAT, relation.places().saturating_sub(1), false)?,
            l: reader.points(WHAT, relation.shape.witnesses, false)?,
        })
    }
}

/// The matrices' different rows, each once: the same linear combination stands in several places (a
/// fifth power has its base in three), and only sums over places depend on which.
struct Rows {
    /// For each variable, coefficients by row.
    columns: Vec<Row>,
    count: usize,
    /// For each matrix, the row at each place.
    at: [Vec<usize>; 3],
}

impl Rows {
    fn new(relation: &Relation) -> Rows {
        let Shape { a, b, c, .. } = &relation.shape;
        // The reduction's rows for the constant and the public inputs, which keep them apart from
        // every other variable: one place each behind the constraints, in a alone.
        let units: Vec<Row> = (0..relation.inputs()).map(|input| vec![(Fr::ONE, input)]).collect();
        let mut known: HashMap<&Row, usize> = HashMap::new();
        let mut columns = vec![Row::new(); relation.variables()];
        let mut number = |row| {
            let next = known.len();
            *known.entry(row).or_insert_with(|| {
                for (coefficient, variable) in row {
                    if let Some(column) = columns.get_mut(*variable) {
                        column.push((*coefficient, next));
                    }
                }
                next
            })
        };
        let at = [
            a.iter().chain(&units).map(&mut number).collect(),
            b.iter().map(&mut number).collect(),
            c.iter().map(&mut number).collect(),
        ];
        Rows { count: known.len(), columns, at }
    }

    /// For each row, the sum of a basis over the places where it stands.
    fn gather<P: Point>(&self, basis: &[P], at: &[usize]) -> Vec<P::Group> {
        let mut sums = vec![P::Group::ZERO; self.count];
        for (row, point) in at.iter().zip(basis) {
            if let Some(sum) = sums.get_mut(*row) {
                *sum += *point;
            }
        }
        sums
    }

    /// Each variable's polynomial, from the sums of [`Rows::gather`]. Long columns are summed in
    /// parallel inside; columns themselves go in turn, since nested parallel sums would pile up on
    /// one stack.
    fn evaluate<P: Point>(&self, sums: &[P::Group]) -> Vec<P> {
        let sums = P::Group::normalize_batch(sums);
        let points: Vec<P::Group> = self.columns.iter().map(|column| evaluate(&sums, column)).collect();
        P::Group::normalize_batch(&points)
    }
}

/// The sum of points scaled by a column's coefficients.
fn evaluate<P: Point>(sums: &[P], column: &Row) -> P::Group {
    let mut total = P::Group::ZERO;
    let (mut points, mut factors) = (Vec::new(), Vec::new());
    for (coefficient, row) in column {
        let Some(point) = sums.get(*row).filter(|point| !point.is_zero()) else { continue };
        if *coefficient == Fr::ONE {
            total += *point;
        } else if *coefficient == -Fr::ONE {
            total -= *point;
        } else {
            points.push(*point);
            factors.push(*coefficient);
        }
    }
    if points.len() < 4 {
        return points.iter().zip(factors).fold(total, |total, (point, factor)| total + *point * factor);
    }
    total + combine(&points, &factors)
}

/// One combination of all variables' polynomials, as coefficients by power of tau.
struct Combined {
    a: Vec<Fr>,
    b: Vec<Fr>,
    c: Vec<Fr>,
}

impl Combined {
    /// Sums `factors` times the polynomials of the variables that are `wanted`. Their values on
    /// the domain are the rows of the matrices, so an inverse transform gives the coefficients.
    fn new(relation: &Relation, factors: &[Fr], wanted: impl Fn(usize) -> bool) -> Result<Combined, CeremonyError> {
        let (shape, domain) = (&relation.shape, relation.domain()?);
        let factor = |variable: usize| factors.get(variable).copied().filter(|_| wanted(variable)).unwrap_or(Fr::ZERO);
        let values = |rows: &[Row]| -> Vec<Fr> {
            let value = |row: &Row| row.iter().map(|(coefficient, variable)| factor(*variable) * coefficient).sum();
            rows.iter().map(value).collect()
        };
        let mut a = values(&shape.a);
        a.extend((0..relation.inputs()).map(factor));
        Ok(Combined { a: domain.ifft(&a), b: domain.ifft(&values(&shape.b)), c: domain.ifft(&values(&shape.c)) })
    }

    /// beta·a + alpha·b + c at tau.
    fn mixed(&self, powers: &Powers) -> G1Projective {
        combine(&powers.beta_g1, &self.a) + combine(&powers.alpha_g1, &self.b) + combine(&powers.tau_g1, &self.c)
    }
}
