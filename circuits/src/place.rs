//! The place of a key in an asset's prefix tree, by a verifiable random function: RFC 9381,
//! ECVRF-EDWARDS25519-SHA512-TAI, from `akd_core` (docs/spec/tree.md#places).

use akd_core::ecvrf::{Proof, VRFExpandedPrivateKey, VRFPrivateKey, VRFPublicKey};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::IsIdentity as _;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroize;

use crate::bytes::{Place, PlaceKey, PlaceProof};

/// Why a place is not proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The public key is no point, or one of small order, which has no unique outputs
    /// (RFC 9381, section 5.6.1).
    #[error("the asset's place key {0} is not a valid VRF public key")]
    Key(PlaceKey),
    /// The proof does not decode, is not in canonical form, or does not hold.
    #[error("the proof of the key's place does not hold under the asset's place key")]
    Proof,
}

/// The owner's secret from which every place of an asset follows.
pub struct PlaceSecret {
    expanded: VRFExpandedPrivateKey,
    public: VRFPublicKey,
    scalar: Scalar,
}

impl Drop for PlaceSecret {
    fn drop(&mut self) {
        self.scalar.zeroize();
    }
}

impl std::fmt::Debug for PlaceSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlaceSecret(…)")
    }
}

impl PlaceSecret {
    /// The secret of a 32-byte seed.
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        #[expect(clippy::expect_used, reason = "fails only for another length than 32 bytes")]
        let private = VRFPrivateKey::try_from(seed.as_slice()).expect("32 bytes");
        let mut hash: [u8; 64] = Sha512::digest(seed).into();
        let mut lower = [0u8; 32];
        lower.iter_mut().zip(&hash).for_each(|(to, from)| *to = *from);
        let scalar = Scalar::from_bytes_mod_order(clamp_integer(lower));
        seed.zeroize();
        hash.zeroize();
        lower.zeroize();
        Self { expanded: VRFExpandedPrivateKey::from(&private), public: VRFPublicKey::from(&private), scalar }
    }

    /// The key under which requesters check places.
    pub fn public(&self) -> PlaceKey {
        PlaceKey(*self.public.as_bytes())
    }

    /// The place of a key (the bytes of [`crate::schema::Schema::key_bytes`]): the one that
    /// [`PlaceSecret::prove`] gives, at less than half the work, which counts when a table is sealed.
    pub fn place(&self, key_bytes: &[u8]) -> Place {
        place_at(self.encode_to_curve(key_bytes) * self.scalar)
    }

    /// RFC 9381, section 5.4.1.1: the first hash with a counter that is a point, without its
    /// part of small order.
    fn encode_to_curve(&self, key_bytes: &[u8]) -> EdwardsPoint {
        let common = Sha512::new().chain_update([0x03, 0x01]).chain_update(self.public.as_bytes());
        let common = common.chain_update(key_bytes);
        let attempt = |counter: u8| {
            let hash = common.clone().chain_update([counter, 0x00]).finalize();
            let point = CompressedEdwardsY(*hash.first_chunk::<32>()?);
            let reduced = is_reduced(&point).then(|| point.decompress()).flatten()?;
            Some(reduced.mul_by_cofactor()).filter(|point| !point.is_identity())
        };
        // Each counter fails with probability one half; the RFC's loop has no end either.
        (0..=u8::MAX).cycle().find_map(attempt).unwrap_or_default()
    }

    /// The place of a key, and the proof of it.
    pub fn prove(&self, key_bytes: &[u8]) -> (Place, PlaceProof) {
        let proof = PlaceProof(self.expanded.prove(&self.public, key_bytes).to_bytes());
        // The point was just computed, so it decodes.
        (place_of(&proof).unwrap_or(Place([0; 32])), proof)
    }
}

/// The place of `key_bytes` under `key`, if `proof` proves it.
///
/// # Errors
/// [`PlaceError`].
pub fn verify_place(key: &PlaceKey, key_bytes: &[u8], proof: &PlaceProof) -> Result<Place, PlaceError> {
    let public = VRFPublicKey::try_from(key.0.as_slice()).map_err(|_| PlaceError::Key(*key))?;
    let decoded = Proof::try_from(proof.0.as_slice()).map_err(|_| PlaceError::Proof)?;
    // The decoder reduces scalars and accepts unreduced points: one spelling only.
    if decoded.to_bytes() != proof.0 {
        return Err(PlaceError::Proof);
    }
    public.verify(&decoded, key_bytes).map_err(|_| PlaceError::Proof)?;
    place_of(proof).ok_or(PlaceError::Proof)
}

/// RFC 9381, section 5.2 (proof to hash), cut to 256 bits.
fn place_of(proof: &PlaceProof) -> Option<Place> {
    let (gamma, _) = proof.0.split_first_chunk::<32>()?;
    CompressedEdwardsY(*gamma).decompress().map(place_at)
}

fn place_at(gamma: EdwardsPoint) -> Place {
    let beta = Sha512::new()
        .chain_update([0x03, 0x03])
        .chain_update(gamma.mul_by_cofactor().compress().as_bytes())
        .chain_update([0x00])
        .finalize();
    Place(beta.first_chunk::<32>().copied().unwrap_or_default())
}

/// Whether a point's coordinate is below 2^255 - 19, as RFC 8032, section 5.1.3, asks.
fn is_reduced(point: &CompressedEdwardsY) -> bool {
    let [low, middle @ .., high] = point.0;
    !(high & 0x7f == 0x7f && middle.iter().all(|byte| *byte == 0xff) && low >= 0xed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9381, appendix B.3, example 16.
    #[test]
    fn agrees_with_the_rfc() {
        let mut seed = [0u8; 32];
        hex::decode_to_slice("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", &mut seed).unwrap();
        let (place, proof) = PlaceSecret::from_seed(seed).prove(b"");
        assert_eq!(
            proof.to_string(),
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f26f8a57ccaed74ee1b190bed1f479d97\
             27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805"
                .replace(' ', "")
        );
        assert_eq!(PlaceSecret::from_seed(seed).place(b""), place);
        assert_eq!(place.to_string(), "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff");
    }

    #[test]
    fn places_without_proofs_are_those_with_them() {
        for seed in 0..8u8 {
            let secret = PlaceSecret::from_seed([seed; 32]);
            for length in 0..64usize {
                let key: Vec<u8> = (0..length).map(|byte| (byte as u8).wrapping_mul(31) ^ seed).collect();
                assert_eq!(secret.place(&key), secret.prove(&key).0, "seed {seed}, key of {length} bytes");
            }
        }
    }

    #[test]
    fn coordinates_above_the_field_are_no_points() {
        let at = |low: u8, high: u8| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            is_reduced(&CompressedEdwardsY(bytes))
        };
        assert!(at(0xec, 0x7f) && at(0xec, 0xff) && at(0xff, 0x7e));
        assert!(!at(0xed, 0x7f) && !at(0xed, 0xff) && !at(0xff, 0x7f));
    }

    #[test]
    fn only_the_right_proof_for_the_right_key_holds() {
        let secret = PlaceSecret::from_seed([3; 32]);
        let (place, proof) = secret.prove(b"key");
        let key = secret.public();
        assert_eq!(verify_place(&key, b"key", &proof), Ok(place));
        assert_eq!(verify_place(&key, b"kez", &proof), Err(PlaceError::Proof));
        assert!(verify_place(&PlaceSecret::from_seed([4; 32]).public(), b"key", &proof).is_err());
        for bit in 0..80 * 8 {
            let mut flipped = proof;
            flipped.0[bit / 8] ^= 1 << (bit % 8);
            assert!(verify_place(&key, b"key", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        let proof = PlaceSecret::from_seed([3; 32]).prove(b"key").1;
        for point in curve25519_dalek::constants::EIGHT_TORSION {
            let key = PlaceKey(point.compress().to_bytes());
            assert_eq!(verify_place(&key, b"key", &proof), Err(PlaceError::Key(key)));
        }
    }
}
