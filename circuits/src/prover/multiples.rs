//! Multi-scalar multiplication over bases that never change: a proving key's.
//!
//! Of each base P the multiples 2^(c j) P are kept. A scalar is cut into signed digits of c bits;
//! digit d at position j puts the j-th multiple into bucket |d|. So there is one set of buckets
//! for all positions and not one doubling, and the result is the sum over d of d times bucket d
//! (E. Brickell, D. Gordon, K. McCurley, D. Wilson, "Fast Exponentiation with Precomputation",
//! Eurocrypt 1992). Half of a circuit's variables are bits: they enter one bucket once, and of
//! their bases only the base itself is kept.
//!
//! Scalars are secret and the time depends on them, here as in arkworks.

use ark_bls12_381::Fr;
use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use ark_ec::{AdditiveGroup as _, CurveGroup, PrimeGroup as _};
use ark_ff::{BigInteger as _, PrimeField, Zero as _};
use rayon::prelude::*;

use super::buckets::{Buckets, Entry, Point, Sum, sums};
use super::lanes::Lanes;

/// Bits of a scalar's smaller representative, itself or its negative, and one for the last carry.
const SCALAR_BITS: usize = 255;
/// Lists of buckets longer than this are folded; shorter ones are summed one by one.
const FOLD: usize = 8;

/// A base, and whether its scalar is known to be 0 or 1.
pub(super) type Base<P> = (Affine<P>, bool);

/// The multiples of one or several sums' bases.
pub(super) struct Multiples<P: SWCurveConfig, L: Lanes<Exact = P::BaseField>> {
    lanes: L,
    points: Vec<Point<L::Stored>>,
    sums: Vec<Bases<P>>,
}

/// The bases of one sum.
struct Bases<P: SWCurveConfig> {
    /// Bits of a digit.
    window: usize,
    /// The place of each base's first multiple and how many there are: none of the identity.
    places: Vec<(u32, u8)>,
    bases: Vec<Affine<P>>,
}

impl<P: SWCurveConfig<ScalarField = Fr>, L: Lanes<Exact = P::BaseField>> Multiples<P, L> {
    /// Computes the multiples; about a second of processor time for a circuit.
    pub(super) fn derive(lanes: L, sums: Vec<Vec<Base<P>>>) -> Self {
        let mut made = Self { lanes, points: Vec::new(), sums: Vec::new() };
        for bases in sums {
            let window = window(bases.iter().filter(|(_, is_bit)| !is_bit).count());
            let positions = |is_bit: bool| if is_bit { 1 } else { SCALAR_BITS.div_ceil(window) };
            let multiples = |(base, is_bit): &Base<P>| -> Vec<Point<L::Stored>> {
                let next = |point: &Projective<P>| Some((0..window).fold(*point, |point, _| point.double()));
                let multiples: Vec<_> =
                    std::iter::successors(Some(Projective::from(*base)), next).take(positions(*is_bit)).collect();
                // A base of prime order has no multiple that vanishes: all of them or none.
                CurveGroup::normalize_batch(&multiples).iter().filter_map(|point| Point::store(lanes, point)).collect()
            };
            let points: Vec<Vec<_>> = bases.par_iter().map(multiples).collect();
            let mut places = Vec::with_capacity(bases.len());
            for points in points {
                places.push((made.points.len() as u32, points.len() as u8));
                made.points.extend(points);
            }
            made.sums.push(Bases { window, places, bases: bases.into_iter().map(|(base, _)| base).collect() });
        }
        made.points.shrink_to_fit();
        made
    }

    /// Each sum of its bases times its scalars. Scalars that are missing are zero.
    pub(super) fn multiply(&self, scalars: &[&[Fr]]) -> Vec<Projective<P>> {
        let mut buckets = Buckets::default();
        let mut aside = Vec::new();
        let mut lengths = Vec::new();
        for (sum, scalars) in self.sums.iter().zip(scalars) {
            let (filled, rest) = sum.fill(scalars);
            lengths.push(filled.len());
            buckets.append(filled);
            aside.push(rest);
        }
        let filled = sums::<P, L>(self.lanes, &self.points, &buckets);
        let mut lists = Vec::new();
        let mut rest = filled.as_slice();
        for length in lengths {
            let (list, after) = rest.split_at(length);
            lists.push(list.to_vec());
            rest = after;
        }
        self.weigh(lists).into_iter().zip(aside).map(|(sum, aside)| sum + aside).collect()
    }

    /// For each list the sum of its points, each times its place in the list. Long lists become
    /// two, of rows and of columns: place = row · 2^k + column.
    fn weigh(&self, lists: Vec<Vec<Sum<L::Stored>>>) -> Vec<Projective<P>> {
        if lists.iter().all(|list| list.len() <= FOLD) {
            return lists.iter().map(|list| self.weigh_short(list)).collect();
        }
        let mut points = Vec::new();
        let mut numbered = Vec::new();
        let mut count = 0;
        let mut shapes = Vec::new();
        for list in &lists {
            let bits = list.len().next_power_of_two().ilog2() / 2;
            let (rows, columns) = (list.len().div_ceil(1 << bits), 1usize << bits);
            for (place, (point, negative)) in list.iter().enumerate().filter_map(|(i, sum)| Some((i, (*sum)?))) {
                let entry = Entry::new(points.len() as u32, negative);
                points.push(point);
                // Row 0 and column 0 weigh nothing.
                let (row, column) = (place >> bits, place & (columns - 1));
                numbered.extend((row > 0).then_some(((count + row) as u32, entry)));
                numbered.extend((column > 0).then_some(((count + rows + column) as u32, entry)));
            }
            count += rows + columns;
            shapes.push((bits, rows, columns));
        }
        let mut sums = sums::<P, L>(self.lanes, &points, &Buckets::sort(count, &numbered)).into_iter();
        let halves = shapes.iter().flat_map(|(_, rows, columns)| [*rows, *columns]);
        let halves: Vec<Vec<_>> = halves.map(|length| sums.by_ref().take(length).collect()).collect();
        let mut weighed = self.weigh(halves).into_iter();
        let mut whole = |(bits, _, _): &(u32, usize, usize)| {
            let rows = (0..*bits).fold(weighed.next().unwrap_or_default(), |sum, _| sum.double());
            rows + weighed.next().unwrap_or_default()
        };
        shapes.iter().map(&mut whole).collect()
    }

    fn weigh_short(&self, list: &[Sum<L::Stored>]) -> Projective<P> {
        let (mut running, mut total) = (Projective::zero(), Projective::zero());
        for sum in list.iter().skip(1).rev() {
            if let Some((point, negative)) = sum {
                let point: Affine<P> = point.exact(self.lanes);
                running += if *negative { -point } else { point };
            }
            total += running;
        }
        total
    }
}

impl<P: SWCurveConfig<ScalarField = Fr>> Bases<P> {
    /// The buckets, from 0 (empty) up, and the sum of what does not go into any.
    fn fill(&self, scalars: &[Fr]) -> (Buckets, Projective<P>) {
        let half = 1usize << (self.window - 1);
        let mut numbered = Vec::with_capacity(4 * scalars.len());
        let mut aside = Projective::zero();
        for (((first, count), base), scalar) in self.places.iter().zip(&self.bases).zip(scalars) {
            if scalar.is_zero() || *count == 0 {
                continue;
            }
            let (mut number, mut negative) = (scalar.into_bigint(), false);
            if number > Fr::MODULUS_MINUS_ONE_DIV_TWO {
                (number, negative) = ((-*scalar).into_bigint(), true);
            }
            if *count == 1 && number.num_bits() > 1 {
                // A bit that is none: only a false assignment has it.
                aside += Projective::from(*base).mul_bigint(scalar.into_bigint());
                continue;
            }
            let mut carry = 0;
            for (position, digit) in digits(&number, self.window).enumerate() {
                let digit = digit + carry;
                carry = usize::from(digit > half);
                let (size, opposite) = if digit > half { ((half << 1) - digit, true) } else { (digit, false) };
                if size > 0 && position < usize::from(*count) {
                    numbered.push((size as u32, Entry::new(first + position as u32, negative != opposite)));
                }
            }
        }
        (Buckets::sort(half + 1, &numbered), aside)
    }
}

/// A number's unsigned digits of so many bits, lowest first, as many as a scalar has.
fn digits(number: &<Fr as PrimeField>::BigInt, window: usize) -> impl Iterator<Item = usize> {
    let words = number.0;
    (0..SCALAR_BITS.div_ceil(window)).map(move |position| {
        let at = position * window;
        let word = |i: usize| words.get(i).copied().unwrap_or_default();
        let low = word(at / 64) >> (at % 64);
        let high = word(at / 64 + 1).checked_shl(64 - (at % 64) as u32).unwrap_or_default();
        ((low | high) & ((1 << window) - 1)) as usize
    })
}

/// The digits' bits at which so many full scalars cost the fewest additions: one a digit, and two a
/// bucket in the end.
fn window(scalars: usize) -> usize {
    (4..16).min_by_key(|window| scalars * SCALAR_BITS.div_ceil(*window) + (2 << (window - 1))).unwrap_or(8)
}

#[cfg(test)]
mod tests;
