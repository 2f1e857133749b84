//! Sums of points times public scalars, in variable time: signed digits of four bits, and for all
//! points together one chain of doublings (E. Straus, "Addition Chains of Vectors", American
//! Mathematical Monthly 70, 1964).

use bls12_381::{G1Affine, G1Projective};

/// Digits of four bits in 256 bits, and one for the carry.
const DIGITS: usize = 65;
/// Multiples of a point that digits from -8 to 8 need.
const MULTIPLES: usize = 8;

/// A point times 1, 2, .., 8.
pub(super) struct Multiples([G1Affine; MULTIPLES]);

impl Multiples {
    /// The multiples of each point; one inversion for all.
    pub(super) fn of(points: &[G1Projective]) -> Vec<Multiples> {
        let multiples = |point: &G1Projective| {
            std::iter::successors(Some(*point), |last| Some(last + point)).take(MULTIPLES).collect::<Vec<_>>()
        };
        let projective: Vec<G1Projective> = points.iter().flat_map(multiples).collect();
        let mut affine = vec![G1Affine::identity(); projective.len()];
        G1Projective::batch_normalize(&projective, &mut affine);
        affine.as_chunks::<MULTIPLES>().0.iter().map(|multiples| Multiples(*multiples)).collect()
    }

    /// The point itself.
    pub(super) fn once(&self) -> &G1Affine {
        let [once, ..] = &self.0;
        once
    }
}

/// A scalar in signed digits of four bits, lowest first.
pub(super) struct Digits([i8; DIGITS]);

impl Digits {
    /// The digits of a little-endian number.
    pub(super) fn of(bytes: &[u8; 32]) -> Digits {
        let nibbles = bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]).chain([0]);
        let (mut digits, mut carry) = ([0; DIGITS], 0);
        for (digit, nibble) in digits.iter_mut().zip(nibbles) {
            let value = nibble as i8 + carry;
            carry = i8::from(value > MULTIPLES as i8);
            *digit = value - 16 * carry;
        }
        Digits(digits)
    }
}

/// One point with its scalar.
pub(super) struct Term<'a> {
    pub(super) multiples: &'a Multiples,
    pub(super) digits: Digits,
}

/// The sum of all points times their scalars.
pub(super) fn weighted(terms: &[Term]) -> G1Projective {
    let terms: Vec<_> = terms.iter().map(|term| (term.multiples, &term.digits)).collect();
    weighted_pairs(&terms)
}

fn weighted_pairs(terms: &[(&Multiples, &Digits)]) -> G1Projective {
    let mut sum = G1Projective::identity();
    let mut begun = false;
    for position in (0..DIGITS).rev() {
        if begun {
            sum = sum.double().double().double().double();
        }
        for (multiples, digits) in terms {
            let digit = digits.0.get(position).copied().unwrap_or_default();
            let place = usize::from(digit.unsigned_abs()).checked_sub(1);
            let Some(multiple) = place.and_then(|place| multiples.0.get(place)) else { continue };
            begun = true;
            if digit < 0 {
                sum -= multiple;
            } else {
                sum += multiple;
            }
        }
    }
    sum
}

/// The sum of points times scalars.
pub(super) fn sum(points: &[(G1Projective, Digits)]) -> G1Projective {
    let multiples = Multiples::of(&points.iter().map(|(point, _)| *point).collect::<Vec<_>>());
    let terms: Vec<_> = multiples.iter().zip(points.iter().map(|(_, digits)| digits)).collect();
    weighted_pairs(&terms)
}

/// Each point times its scalar.
pub(super) fn products(points: &[(G1Projective, Digits)]) -> Vec<G1Affine> {
    let multiples = Multiples::of(&points.iter().map(|(point, _)| *point).collect::<Vec<_>>());
    let terms = multiples.iter().zip(points.iter().map(|(_, digits)| digits));
    let products: Vec<G1Projective> = terms.map(|term| weighted_pairs(&[term])).collect();
    let mut affine = vec![G1Affine::identity(); products.len()];
    G1Projective::batch_normalize(&products, &mut affine);
    affine
}

#[cfg(test)]
mod tests {
    use super::*;
    use bls12_381::Scalar;

    #[test]
    fn combinations_are_sums_of_products() {
        let scalars = [
            Scalar::zero(),
            Scalar::one(),
            Scalar::from(8),
            Scalar::from(9),
            Scalar::from(u64::MAX),
            -Scalar::one(),
            -Scalar::from(u64::MAX),
            Scalar::from_raw([0x8888_8888_8888_8888; 4]),
            Scalar::from_raw([0x9999_9999_9999_9999, 7, 0, 0]),
        ];
        let point = |i: u64| G1Projective::generator() * Scalar::from(i + 1);
        // The last point is the first's negative: equal and opposite points meet.
        let points: Vec<_> = (0..8).map(point).chain([-point(0)]).collect();
        let digits = |scalar: &Scalar| Digits::of(&scalar.to_bytes());
        let terms: Vec<_> = points.iter().copied().zip(scalars.iter().map(digits)).collect();
        let expected: Vec<_> = points.iter().zip(&scalars).map(|(point, scalar)| point * scalar).collect();
        assert_eq!(sum(&terms), expected.iter().sum());
        for (ours, expected) in products(&terms).iter().zip(&expected) {
            assert_eq!(*ours, G1Affine::from(expected));
        }
        assert_eq!(sum(&[]), G1Projective::identity());
    }
}
