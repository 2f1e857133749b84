//! One contribution: the factors that somebody multiplied in, each with a proof that its maker
//! knows it (docs/spec/ceremony.md#contributions).

use ark_bls12_381::{Fr, G1Affine, G1Projective, G2Affine, g1};
use ark_ec::hashing::HashToCurve;
use ark_ec::hashing::curve_maps::wb::WBMap;
use ark_ec::hashing::map_to_curve_hasher::MapToCurveBasedHasher;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::field_hashers::DefaultFieldHasher;
use ark_ff::{PrimeField, Zero};
use rand08::RngCore;
use rand08::rngs::OsRng;
use sha2_for_ark::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::points::{Point, Reader, equal};
use crate::bytes::{CeremonyDigest, DecodeError, tagged_hash};

/// Bytes of a factor.
pub(crate) const FACTOR_BYTES: usize = 3 * G1Affine::BYTES + G2Affine::BYTES;
/// Longest description of a contributor, in bytes.
pub const CONTRIBUTOR_BYTES_MAX: usize = 1024;
/// Domain of hashing to G1 (RFC 9380, section 3.1).
const HASH_DOMAIN: &[u8] = b"SEALGATE-CEREMONY-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";
const WHAT: &str = "contribution";

/// A secret factor, wiped when dropped.
pub(crate) struct Secret(pub(crate) Fr);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Where secret factors come from: the operating system's random numbers, mixed with whatever else
/// the contributor likes to add. Good as long as either is. Wiped when dropped.
pub struct Randomness {
    drawn: Zeroizing<[u8; 64]>,
    extra: Zeroizing<Vec<u8>>,
}

impl Randomness {
    /// Draws 64 bytes, and keeps `extra` beside them.
    ///
    /// # Errors
    /// A sentence when the operating system gives none.
    pub fn draw(extra: Zeroizing<Vec<u8>>) -> Result<Randomness, String> {
        let mut drawn = Zeroizing::new([0u8; 64]);
        OsRng.try_fill_bytes(drawn.as_mut_slice()).map_err(|error| error.to_string())?;
        Ok(Randomness { drawn, extra })
    }

    /// The secret factor of this name: 512 bits of hash modulo r, never zero.
    pub(crate) fn secret(&self, name: &str) -> Secret {
        let mut wide = Zeroizing::new([0u8; 64]);
        for round in 0u64.. {
            for (half, bytes) in wide.chunks_exact_mut(32).enumerate() {
                let position = [round.to_le_bytes(), (half as u64).to_le_bytes()].concat();
                let parts: [&[u8]; 4] = [self.drawn.as_slice(), &self.extra, name.as_bytes(), &position];
                bytes.copy_from_slice(Zeroizing::new(tagged_hash("sealgate/ceremony/secret/1", &parts)).as_slice());
            }
            let secret = Fr::from_le_bytes_mod_order(wide.as_slice());
            if !secret.is_zero() {
                return Secret(secret);
            }
        }
        Secret(Fr::from(1u64))
    }
}

/// What is wrong with a contribution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The proof of knowledge is not one for this factor, by this contributor, at this place.
    #[error(
        "its proof of knowledge of {0} does not hold here: forged, altered, by somebody else, or made for another place in the transcript"
    )]
    Knowledge(String),
    /// The factor differs between the groups.
    #[error("its factor of {0} in G1 is not that in G2")]
    Groups(String),
    /// The value after it is not the value before times the factor.
    #[error("it does not follow from the one before it: {0} after is not {0} before times its factor")]
    Step(String),
    /// The signature.
    #[error("its signature: {0}")]
    Signature(String),
}

/// One secret multiplied in: the value afterwards, the factor, and the proof that it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Factor {
    pub(crate) after: G1Affine,
    pub(crate) factor_g1: G1Affine,
    pub(crate) factor_g2: G2Affine,
    pub(crate) proof: G1Affine,
}

/// Where in the transcript a contribution stands, and whose it is.
#[derive(Clone, Copy)]
pub(crate) struct Standing<'a> {
    pub(crate) previous: &'a CeremonyDigest,
    pub(crate) contributor: &'a [u8],
}

impl Factor {
    pub(crate) fn new(standing: Standing, name: &str, before: G1Affine, secret: &Secret) -> Factor {
        let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
        let (factor_g1, factor_g2) = ((g1 * secret.0).into_affine(), (g2 * secret.0).into_affine());
        let base = knowledge_base(standing, name, &factor_g1, &factor_g2);
        let [after, proof] = [before, base].map(|point| (point * secret.0).into_affine());
        Factor { after, factor_g1, factor_g2, proof }
    }

    /// Checks that the value `before` was multiplied by a factor that the contributor knows.
    ///
    /// # Errors
    /// [`Fault`].
    pub(crate) fn check(&self, standing: Standing, name: &str, before: G1Affine) -> Result<(), Fault> {
        let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
        if !equal(self.factor_g1, g2, g1, self.factor_g2) {
            return Err(Fault::Groups(name.into()));
        }
        let base = knowledge_base(standing, name, &self.factor_g1, &self.factor_g2);
        if !equal(self.proof, g2, base, self.factor_g2) {
            return Err(Fault::Knowledge(name.into()));
        }
        if !equal(self.after, g2, before, self.factor_g2) {
            return Err(Fault::Step(name.into()));
        }
        Ok(())
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.after.to_bytes());
        out.extend(self.factor_g1.to_bytes());
        out.extend(self.factor_g2.to_bytes());
        out.extend(self.proof.to_bytes());
    }

    fn read(reader: &mut Reader) -> Result<Factor, DecodeError> {
        Ok(Factor {
            after: reader.point(WHAT)?,
            factor_g1: reader.point(WHAT)?,
            factor_g2: reader.point(WHAT)?,
            proof: reader.point(WHAT)?,
        })
    }
}

/// The point whose multiple proves knowledge of a factor: nobody knows its logarithm, and it is
/// another one for each place in a transcript, contributor, name and factor (RFC 9380).
fn knowledge_base(standing: Standing, name: &str, factor_g1: &G1Affine, factor_g2: &G2Affine) -> G1Affine {
    let Standing { previous, contributor } = standing;
    let parts: [&[u8]; 5] = [&previous.0, contributor, name.as_bytes(), &factor_g1.to_bytes(), &factor_g2.to_bytes()];
    let message = tagged_hash("sealgate/ceremony/knowledge/1", &parts);
    hash_to_g1(HASH_DOMAIN, &message)
}

/// `hash_to_curve` of the suite `BLS12381G1_XMD:SHA-256_SSWU_RO_` (RFC 9380, section 8.8.1).
fn hash_to_g1(domain: &[u8], message: &[u8]) -> G1Affine {
    type Hasher = MapToCurveBasedHasher<G1Projective, DefaultFieldHasher<Sha256, 128>, WBMap<g1::Config>>;
    // The map is total for this curve; the identity, which no proof equals, stands for "never".
    Hasher::new(domain).and_then(|hasher| hasher.hash(message)).unwrap_or_else(|_| G1Affine::identity())
}

/// A contribution as the transcript keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contribution {
    /// Who made it, in the caller's own bytes.
    pub(crate) contributor: Vec<u8>,
    pub(crate) factors: Vec<Factor>,
    /// The contributor's signature over the digest.
    pub(crate) signature: [u8; 64],
}

impl Contribution {
    /// Multiplies in one fresh secret for each name: the contribution, unsigned, and the secrets.
    pub(crate) fn new(
        standing: Standing,
        names: &[String],
        before: &[G1Affine],
        randomness: &Randomness,
    ) -> (Contribution, Vec<Secret>) {
        let secrets: Vec<Secret> = names.iter().map(|name| randomness.secret(name)).collect();
        let made = names.iter().zip(before).zip(&secrets);
        let factors = made.map(|((name, before), secret)| Factor::new(standing, name, *before, secret)).collect();
        (Contribution { contributor: standing.contributor.to_vec(), factors, signature: [0; 64] }, secrets)
    }

    /// Checks every factor, and takes the values `before` it to those after it.
    ///
    /// # Errors
    /// [`Fault`].
    pub(crate) fn check(
        &self,
        previous: &CeremonyDigest,
        names: &[String],
        before: &mut [G1Affine],
    ) -> Result<(), Fault> {
        let standing = Standing { previous, contributor: &self.contributor };
        for ((factor, name), before) in self.factors.iter().zip(names).zip(before) {
            factor.check(standing, name, *before)?;
            *before = factor.after;
        }
        Ok(())
    }

    /// The digest of the transcript up to here, which the contributor signs and announces.
    pub(crate) fn digest(&self, previous: &CeremonyDigest) -> CeremonyDigest {
        let mut factors = Vec::with_capacity(self.factors.len() * FACTOR_BYTES);
        self.factors.iter().for_each(|factor| factor.write(&mut factors));
        let parts: [&[u8]; 3] = [&previous.0, &self.contributor, &factors];
        CeremonyDigest(tagged_hash("sealgate/ceremony/contribution/1", &parts))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.contributor.len() as u32).to_le_bytes());
        out.extend(&self.contributor);
        self.factors.iter().for_each(|factor| factor.write(out));
        out.extend(self.signature);
    }

    pub(crate) fn read(reader: &mut Reader, factors: usize) -> Result<Contribution, DecodeError> {
        Ok(Contribution {
            contributor: reader.string(WHAT, CONTRIBUTOR_BYTES_MAX)?.to_vec(),
            factors: (0..factors).map(|_| Factor::read(reader)).collect::<Result<_, _>>()?,
            signature: reader.array(WHAT)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashing_to_the_curve_is_that_of_rfc_9380() {
        // Appendix J.9.1, message "".
        let domain = b"QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";
        let x = "052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1";
        let mut bytes = hash_to_g1(domain, b"").to_bytes();
        bytes[0] &= 0x1f;
        assert_eq!(hex::encode(bytes), x);
    }

    #[test]
    fn secrets_come_from_both_sources_and_differ_by_name() {
        let randomness = |drawn: u8, extra: &[u8]| Randomness {
            drawn: Zeroizing::new([drawn; 64]),
            extra: Zeroizing::new(extra.to_vec()),
        };
        let base = randomness(1, b"dice").secret("tau").0;
        assert_eq!(base, randomness(1, b"dice").secret("tau").0);
        assert_ne!(base, randomness(1, b"dice").secret("alpha").0);
        assert_ne!(base, randomness(1, b"").secret("tau").0);
        assert_ne!(base, randomness(2, b"dice").secret("tau").0);
        let drawn = || Randomness::draw(Zeroizing::new(Vec::new())).unwrap().secret("tau").0;
        assert_ne!(drawn(), drawn());
    }
}
