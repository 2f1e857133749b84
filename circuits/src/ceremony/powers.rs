//! Phase 1: powers of tau, the same for every circuit (docs/spec/ceremony.md#phase-1).

use ark_bls12_381::{Fr, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::Field;

use super::contribution::Secret;
use super::points::{Point, Reader, challenge, combine, equal, scale, write};
use super::{CeremonyError, Progress};
use crate::bytes::DecodeError;

const WHAT: &str = "powers of tau";
/// What a contribution of phase 1 multiplies, in this order.
pub(crate) const FACTORS: [&str; 3] = ["tau", "alpha", "beta"];

/// Powers for domains of up to n places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Powers {
    /// tau^i, i < 2n − 1.
    pub(crate) tau_g1: Vec<G1Affine>,
    /// tau^i, i < n.
    pub(crate) tau_g2: Vec<G2Affine>,
    /// alpha · tau^i, i < n.
    pub(crate) alpha_g1: Vec<G1Affine>,
    /// beta · tau^i, i < n.
    pub(crate) beta_g1: Vec<G1Affine>,
    /// beta.
    pub(crate) beta_g2: G2Affine,
}

impl Powers {
    /// All secrets one: where every ceremony begins.
    pub(crate) fn start(n: usize) -> Powers {
        let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
        Powers {
            tau_g1: vec![g1; (2 * n).saturating_sub(1)],
            tau_g2: vec![g2; n],
            alpha_g1: vec![g1; n],
            beta_g1: vec![g1; n],
            beta_g2: g2,
        }
    }

    /// tau, alpha and beta in G1: what contributions are chained by.
    pub(crate) fn head(&self) -> [G1Affine; 3] {
        let at = |points: &[G1Affine], i: usize| points.get(i).copied().unwrap_or_else(G1Affine::identity);
        [at(&self.tau_g1, 1), at(&self.alpha_g1, 0), at(&self.beta_g1, 0)]
    }

    /// Multiplies tau, alpha and beta.
    pub(crate) fn update(&mut self, [tau, alpha, beta]: &[Secret; 3], progress: &Progress) {
        let total = (5 * self.tau_g2.len()) as u64;
        let done = |share: u64| progress("multiplying powers", share * total / 5, total);
        done(0);
        scale(&mut self.tau_g1, Fr::ONE, tau.0);
        done(2);
        scale(&mut self.alpha_g1, alpha.0, tau.0);
        done(3);
        scale(&mut self.beta_g1, beta.0, tau.0);
        done(4);
        scale(&mut self.tau_g2, Fr::ONE, tau.0);
        self.beta_g2 = (self.beta_g2 * beta.0).into_affine();
        done(5);
    }

    /// That these are the powers that `head` determines, point for point: each ratio of neighbours
    /// is tau (docs/spec/ceremony.md#what-is-checked).
    ///
    /// # Errors
    /// [`CeremonyError::Powers`] naming what is not.
    pub(crate) fn check(&self, head: [G1Affine; 3], progress: &Progress) -> Result<(), CeremonyError> {
        let wrong = |what| Err(CeremonyError::Powers(what));
        let done = |share| progress("checking powers", share, 4);
        let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
        if self.tau_g1.first() != Some(&g1) || self.tau_g2.first() != Some(&g2) {
            return wrong("they do not begin with the generators");
        }
        if self.head() != head {
            return wrong("they are not those after the last contribution");
        }
        let Some(tau_g2) = self.tau_g2.get(1).copied() else { return wrong("there are too few") };
        let factors = challenge(self.tau_g1.len());
        done(0);
        for (points, what) in [
            (&self.tau_g1, "those of tau in G1 have another ratio than tau"),
            (&self.alpha_g1, "those of alpha have another ratio than tau"),
            (&self.beta_g1, "those of beta have another ratio than tau"),
        ] {
            let (low, high) = shifted(points, &factors);
            if !equal(high, g2, low, tau_g2) {
                return wrong(what);
            }
        }
        done(2);
        let (low, high) = shifted(&self.tau_g2, &factors);
        let [tau_g1, _, beta_g1] = head;
        if !equal(g1, high.into_affine(), tau_g1, low.into_affine()) {
            return wrong("those of tau in G2 have another ratio than tau");
        }
        if !equal(beta_g1, g2, g1, self.beta_g2) {
            return wrong("beta in G2 is not beta in G1");
        }
        done(4);
        Ok(())
    }

    /// Appends the bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        write(out, &self.tau_g1);
        write(out, &self.tau_g2);
        write(out, &self.alpha_g1);
        write(out, &self.beta_g1);
        write(out, &[self.beta_g2]);
    }

    /// Reads powers for n places.
    ///
    /// # Errors
    /// [`DecodeError`] for a point that is none, or the identity.
    pub(crate) fn read(reader: &mut Reader, n: usize) -> Result<Powers, DecodeError> {
        Ok(Powers {
            tau_g1: reader.points(WHAT, (2 * n).saturating_sub(1), false)?,
            tau_g2: reader.points(WHAT, n, false)?,
            alpha_g1: reader.points(WHAT, n, false)?,
            beta_g1: reader.points(WHAT, n, false)?,
            beta_g2: reader.point(WHAT)?,
        })
    }
}

/// One random combination of all points but the last, and of all but the first.
fn shifted<P: Point>(points: &[P], factors: &[Fr]) -> (P::Group, P::Group) {
    let low = points.split_last().map_or(points, |(_, low)| low);
    let high = points.split_first().map_or(points, |(_, high)| high);
    (combine(low, factors), combine(high, factors))
}
