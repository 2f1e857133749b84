//! Points in bulk: reading with every check, scaling by powers, random linear combinations.

use ark_bls12_381::{Bls12_381, Fr, G1Affine, G2Affine, g1, g2};
use ark_ec::pairing::Pairing;
use ark_ec::short_weierstrass::Affine;
use ark_ec::{AffineRepr, CurveGroup, VariableBaseMSM};
use ark_ff::{Field, UniformRand};
use rand08::rngs::OsRng;
use rayon::prelude::*;
use zeroize::Zeroize;

use super::Progress;
use crate::bytes::DecodeError;

/// Points handled between two reports of progress, and scaled from one power of the factor.
const BATCH: usize = 512;

/// A point in Zcash's compressed format (docs/spec/encoding.md).
pub(crate) trait Point: AffineRepr<ScalarField = Fr, Group: CurveGroup<Affine = Self>> {
    /// Bytes of a compressed point.
    const BYTES: usize;
    /// Its group, in errors.
    const GROUP: &'static str;

    /// Its compressed bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::BYTES);
        // Memory takes what is written to it.
        let _ = self.serialize_compressed(&mut out);
        out
    }
}

impl Point for Affine<g1::Config> {
    const BYTES: usize = 48;
    const GROUP: &'static str = "G1";
}

impl Point for Affine<g2::Config> {
    const BYTES: usize = 96;
    const GROUP: &'static str = "G2";
}

/// Takes a transcript's bytes apart.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
    progress: &'a Progress<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], progress: &'a Progress<'a>) -> Self {
        Self { rest: bytes, total: bytes.len(), progress }
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, what: &'static str, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or_else(|| {
            DecodeError::new(what, format!("{count} more bytes"), format!("the end after {}", self.rest.len()))
        })?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let short = |_| DecodeError::new(what, format!("{N} bytes"), "fewer");
        self.take(what, N)?.try_into().map_err(short)
    }

    /// A number of at most `max`.
    pub(crate) fn number(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        let number = u32::from_le_bytes(self.array(what)?);
        let fits = usize::try_from(number).ok().filter(|number| *number <= max);
        fits.ok_or_else(|| DecodeError::new(what, format!("a number up to {max}"), number.to_string()))
    }

    /// A byte string of at most `max` bytes with its length in front.
    pub(crate) fn string(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.number(what, max)?;
        self.take(what, length)
    }

    /// One point, not the identity.
    pub(crate) fn point<P: Point>(&mut self, what: &'static str) -> Result<P, DecodeError> {
        read(what, 0, self.take(what, P::BYTES)?, false)
    }

    /// `count` points; the identity only where it is `allowed`.
    pub(crate) fn points<P: Point>(
        &mut self,
        what: &'static str,
        count: usize,
        allowed: bool,
    ) -> Result<Vec<P>, DecodeError> {
        let mut points = Vec::with_capacity(count.min(self.rest.len() / P::BYTES));
        while points.len() < count {
            let first = points.len();
            let bytes = self.take(what, P::BYTES * BATCH.min(count - first))?;
            let batch = bytes.par_chunks_exact(P::BYTES).enumerate();
            let batch: Result<Vec<P>, _> = batch.map(|(i, bytes)| read(what, first + i, bytes, allowed)).collect();
            points.extend(batch?);
            (self.progress)("reading points", (self.total - self.rest.len()) as u64, self.total as u64);
        }
        Ok(points)
    }

    /// That nothing is left.
    pub(crate) fn end(&self, what: &'static str) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::new(what, "the end", format!("{} more bytes", self.rest.len())))
    }
}

/// One point: on the curve, in the subgroup, and not the identity unless that is `allowed`.
fn read<P: Point>(what: &'static str, number: usize, bytes: &[u8], allowed: bool) -> Result<P, DecodeError> {
    let point = P::deserialize_compressed(bytes).ok().filter(|point| allowed || !point.is_zero());
    point.ok_or_else(|| {
        let other = if allowed { "" } else { ", not the identity" };
        let expected = format!("a point of {}'s subgroup{other}", P::GROUP);
        DecodeError::new(what, expected, format!("number {number}: {}", hex::encode(bytes)))
    })
}

/// Appends compressed points.
pub(crate) fn write<P: Point>(out: &mut Vec<u8>, points: &[P]) {
    for point in points {
        out.extend(point.to_bytes());
    }
}

/// Scales point i by `first` · `ratio`^i. The running power is wiped; time depends on the scalars.
pub(crate) fn scale<P: Point>(points: &mut [P], first: Fr, ratio: Fr) {
    points.par_chunks_mut(BATCH).enumerate().for_each(|(batch, points)| {
        let mut factor = first * ratio.pow([(batch * BATCH) as u64]);
        let scaled: Vec<P::Group> = points
            .iter()
            .map(|point| {
                let scaled = *point * factor;
                factor *= ratio;
                scaled
            })
            .collect();
        factor.zeroize();
        points.copy_from_slice(&P::Group::normalize_batch(&scaled));
    });
}

/// The sum of points scaled by these numbers, as far as both go.
pub(crate) fn combine<P: Point>(points: &[P], factors: &[Fr]) -> P::Group {
    P::Group::msm_unchecked(points, factors)
}

/// 1, z, z², …: coefficients of a random linear combination, where z is drawn by whoever checks.
/// Two different vectors of `count` points have the same combination for fewer than `count` of all
/// 2^255 z.
pub(crate) fn challenge(count: usize) -> Vec<Fr> {
    let z = Fr::rand(&mut OsRng);
    std::iter::successors(Some(Fr::ONE), |power| Some(*power * z)).take(count).collect()
}

/// e(a, b) = e(c, d).
pub(crate) fn equal(a: impl Into<G1Affine>, b: G2Affine, c: impl Into<G1Affine>, d: G2Affine) -> bool {
    use ark_ff::Zero as _;
    Bls12_381::multi_pairing([a.into(), -c.into()], [b, d]).is_zero()
}
