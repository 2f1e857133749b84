//! The one rule by which signatures hold, singly and in batches alike
//! (docs/spec/ledger.md#signatures).

use std::collections::BTreeMap;
use std::convert::Infallible;

use ed25519_dalek::VerifyingKey;
use ed25519_zebra::{VerificationKey, VerificationKeyBytes, batch};
use rand_core::{TryCryptoRng, TryRng};

use crate::account::{Signature, VerifyKey};

/// A signature, what it is said to be over, and whose it is said to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) key: &'a VerifyKey,
    pub(crate) message: &'a [u8],
    pub(crate) signature: &'a Signature,
}

impl Claim<'_> {
    /// Whether the signature holds: the key is not of small order, and key, signature and message
    /// fulfil ZIP 215.
    pub(crate) fn holds(&self) -> bool {
        is_usable(self.key)
            && VerificationKey::try_from(self.key.0).is_ok_and(|key| {
                key.verify(&ed25519_zebra::Signature::from_bytes(&self.signature.0), self.message).is_ok()
            })
    }
}

/// Whether a key is a point of the curve, and not of small order: for one of those, anybody can
/// make signatures.
pub(crate) fn is_usable(key: &VerifyKey) -> bool {
    VerifyingKey::from_bytes(&key.0).is_ok_and(|key| !key.is_weak())
}

/// Whether all of the signatures hold: true exactly when [`Claim::holds`] says so of each, but for
/// a chance of 2^-128, and several times as fast. Also false when the operating system gives no
/// randomness; then nothing is known of any.
pub(crate) fn all_hold(claims: &[Claim<'_>]) -> bool {
    let Some(randomness) = Randomness::draw(claims.len()) else { return false };
    let mut usable = BTreeMap::new();
    let mut verifier = batch::Verifier::new();
    for claim in claims {
        if !*usable.entry(claim.key).or_insert_with(|| is_usable(claim.key)) {
            return false;
        }
        let signature = ed25519_zebra::Signature::from_bytes(&claim.signature.0);
        verifier.queue((VerificationKeyBytes::from(claim.key.0), signature, claim.message));
    }
    verifier.verify(randomness).is_ok()
}

/// Bytes drawn beforehand: the batch takes 16 a signature, one by one, and the operating system
/// gives them all in one call.
struct Randomness {
    bytes: Vec<u8>,
}

impl Randomness {
    fn draw(signatures: usize) -> Option<Randomness> {
        let mut bytes = vec![0; signatures.saturating_mul(16)];
        getrandom::fill(&mut bytes).ok()?;
        Some(Randomness { bytes })
    }
}

impl TryRng for Randomness {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        while self.bytes.len() < bytes.len() {
            // Never with what batches take; a call that asks for more waits for the system.
            let mut more = vec![0; bytes.len()];
            if getrandom::fill(&mut more).is_ok() {
                self.bytes.extend(more);
            }
        }
        let taken = self.bytes.split_off(self.bytes.len() - bytes.len());
        bytes.copy_from_slice(&taken);
        Ok(())
    }
}

impl TryCryptoRng for Randomness {}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as B, EIGHT_TORSION};
    use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
    use curve25519_dalek::scalar::Scalar;
    use sha2::{Digest as _, Sha512};

    use super::*;
    use crate::account::{AccountSecret, NodeSecret};
    use crate::testing::secret;

    const MESSAGE: &[u8] = b"Zcash";

    fn sign(secret: &AccountSecret, message: &[u8]) -> Signature {
        NodeSecret::of(secret).sign_raw(message)
    }

    fn signature(r: [u8; 32], s: [u8; 32]) -> Signature {
        Signature([r, s].concat().try_into().unwrap())
    }

    /// The scalar that binds R, key and message.
    fn challenge(r: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
        let hash = Sha512::new().chain_update(r).chain_update(key).chain_update(message).finalize();
        Scalar::from_bytes_mod_order_wide(&hash.as_slice().try_into().unwrap())
    }

    /// Whether the claim holds; asserts that it holds or not in batches of all kinds, too.
    fn agreed(key: &[u8; 32], signature: &Signature) -> bool {
        let key = VerifyKey(*key);
        let claim = Claim { key: &key, message: MESSAGE, signature };
        let single = claim.holds();
        let honest = secret("honest", 3);
        let (honest_key, good) = (honest.public().verify_key, sign(&honest, MESSAGE));
        let other = Claim { key: &honest_key, message: MESSAGE, signature: &good };
        for batch in [&[claim][..], &[claim, claim], &[claim, other], &[other, claim, other]] {
            assert_eq!(all_hold(batch), single, "{key} {signature} in a batch of {}", batch.len());
        }
        single
    }

    /// All 14 encodings of the points of small order, as in the test vectors of ZIP 215: those of
    /// the eight points, and the six others that are read as one of them.
    fn small_order() -> Vec<[u8; 32]> {
        let mut all: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
        let mut one = [0; 32];
        one[0] = 1;
        let mut minus_one = [0xff; 32];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        for (low, start) in [(one[0], one), (minus_one[0], minus_one), (0xed, minus_one), (0xee, minus_one)] {
            for sign in [0, 0x80] {
                let mut bytes = start;
                bytes[0] = low;
                bytes[31] |= sign;
                all.push(bytes);
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    #[test]
    fn keys_of_small_order_sign_nothing() {
        let encodings = small_order();
        assert_eq!(encodings.len(), 14);
        for bytes in &encodings {
            let point = CompressedEdwardsY(*bytes).decompress().unwrap();
            assert!(point.is_small_order() && !is_usable(&VerifyKey(*bytes)));
            for r in &encodings {
                // ZIP 215 alone lets all of these pass.
                let signature = signature(*r, [0; 32]);
                let zebra = VerificationKey::try_from(*bytes).unwrap();
                zebra.verify(&ed25519_zebra::Signature::from_bytes(&signature.0), MESSAGE).unwrap();
                assert!(!agreed(bytes, &signature));
            }
        }
        assert!(!agreed(&[2; 32], &signature([0; 32], [0; 32])), "no point of the curve");
    }

    #[test]
    fn crafted_signatures_hold_singly_as_in_batches() {
        let (secret, nonce) = (Scalar::from(0xdead_beef_u64), Scalar::from(0x1234_5678_u64));
        let mut only_with_cofactor = 0;
        for on_key in EIGHT_TORSION {
            for on_nonce in EIGHT_TORSION {
                let key = (secret * B + on_key).compress().to_bytes();
                let r = (nonce * B + on_nonce).compress().to_bytes();
                let s = nonce + challenge(&r, &key, MESSAGE) * secret;
                let crafted = signature(r, s.to_bytes());
                assert!(agreed(&key, &crafted));
                let strict = VerifyingKey::from_bytes(&key).unwrap();
                let dalek = ed25519_dalek::Signature::from_bytes(&crafted.0);
                only_with_cofactor += usize::from(strict.verify_strict(MESSAGE, &dalek).is_err());
                // Another scalar of the same residue, and another scalar.
                let mut over = s.to_bytes();
                let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
                let mut carry = 0u16;
                for (byte, add) in over.iter_mut().zip(&order) {
                    carry += u16::from(*byte) + u16::from(*add);
                    *byte = carry as u8;
                    carry >>= 8;
                }
                assert!(!agreed(&key, &signature(r, over)));
                assert!(!agreed(&key, &signature(r, (s + Scalar::ONE).to_bytes())));
            }
        }
        assert!(only_with_cofactor > 32, "{only_with_cofactor}");
        // R of small order in a spelling that is not canonical, under an honest key.
        let key = (secret * B).compress().to_bytes();
        for r in small_order() {
            assert!(agreed(&key, &signature(r, (challenge(&r, &key, MESSAGE) * secret).to_bytes())));
        }
        assert!(!agreed(&key, &signature([2; 32], [1; 32])), "R is no point of the curve");
        assert_eq!(EdwardsPoint::default().compress().to_bytes()[0], 1);
    }

    #[test]
    fn one_bad_signature_spoils_a_batch() {
        let signers: Vec<_> = (1..40).map(|seed| secret("x", seed % 7)).collect();
        let messages: Vec<_> = (0u64..39).map(|i| i.to_le_bytes()).collect();
        let keys: Vec<_> = signers.iter().map(|signer| signer.public().verify_key).collect();
        let good: Vec<_> = signers.iter().zip(&messages).map(|(signer, message)| sign(signer, message)).collect();
        let claims = |signatures: &[Signature]| -> bool {
            let parts = keys.iter().zip(&messages).zip(signatures);
            let claims: Vec<_> = parts.map(|((key, message), signature)| Claim { key, message, signature }).collect();
            assert_eq!(claims.iter().all(Claim::holds), all_hold(&claims));
            all_hold(&claims)
        };
        assert!(claims(&good));
        assert!(all_hold(&[]));
        for at in [0, 17, 38] {
            for byte in [0, 31, 32, 63] {
                let mut bad = good.clone();
                bad[at].0[byte] ^= 1;
                assert!(!claims(&bad));
            }
        }
        let mut swapped = good.clone();
        swapped.swap(1, 8);
        assert!(!claims(&swapped), "the same signer's signatures of each other's messages");
    }

    #[test]
    fn randomness_does_not_run_out() {
        let mut randomness = Randomness::draw(1).unwrap();
        let drawn: Vec<_> = (0..5).map(|_| randomness.try_next_u64().unwrap()).collect();
        let distinct: std::collections::BTreeSet<_> = drawn.iter().collect();
        assert_eq!(distinct.len(), 5);
    }
}
