//! Keys, proofs and public inputs as snarkjs 0.7 writes them, so that a third implementation can
//! check a proof (docs/spec/interchange.md). Only decoded from the bytes that our own verifier
//! reads, never read back: what is verified here stays the one canonical form.

use ark_bls12_381::Fr;
use ark_ff::{BigInt, PrimeField as _};
use bls12_381::{G1Affine, G2Affine};
use serde::Serialize;

use crate::bytes::{DecodeError, ProofBytes};
use crate::verifier::VerifyingKey;

/// snarkjs's name of the proof system.
const PROTOCOL: &str = "groth16";
/// snarkjs's name of the curve.
const CURVE: &str = "bls12381";
/// Bytes of a coordinate.
const COORDINATE_BYTES: usize = 48;

/// A number below the base field's or the scalar field's modulus, in decimal.
pub type Decimal = String;
/// A point of G1, projective: x, y, z, with z = 1.
pub type G1 = [Decimal; 3];
/// A point of G2, projective: x, y, z, each c0 and c1 of c0 + c1·u, with z = 1.
pub type G2 = [[Decimal; 2]; 3];

/// `verification_key.json`. Without `vk_alphabeta_12`, the pairing of alpha and beta, which
/// snarkjs writes and does not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerificationKey {
    protocol: &'static str,
    curve: &'static str,
    #[serde(rename = "nPublic")]
    public_inputs: usize,
    vk_alpha_1: G1,
    vk_beta_2: G2,
    vk_gamma_2: G2,
    vk_delta_2: G2,
    #[serde(rename = "IC")]
    ic: Vec<G1>,
}

impl VerificationKey {
    /// Writes a verifying key, whatever number of public inputs it is for.
    ///
    /// # Errors
    /// [`DecodeError`] never in practice: the key has been decoded before.
    pub fn new(key: &VerifyingKey) -> Result<Self, DecodeError> {
        Self::from_bytes(key.as_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut points = Points { what: "verifying key", rest: bytes };
        let vk_alpha_1 = points.g1()?;
        let [vk_beta_2, vk_gamma_2, vk_delta_2] = [points.g2()?, points.g2()?, points.g2()?];
        // The first is the constant's; one for each public input follows.
        let mut ic = vec![points.g1()?];
        while !points.rest.is_empty() {
            ic.push(points.g1()?);
        }
        let public_inputs = ic.len() - 1;
        Ok(Self { protocol: PROTOCOL, curve: CURVE, public_inputs, vk_alpha_1, vk_beta_2, vk_gamma_2, vk_delta_2, ic })
    }

    /// How many public inputs its proofs have.
    pub fn public_inputs(&self) -> usize {
        self.public_inputs
    }
}

/// `proof.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    pi_a: G1,
    pi_b: G2,
    pi_c: G1,
    protocol: &'static str,
    curve: &'static str,
}

impl Proof {
    /// Writes a proof. Points are checked for curve, subgroup and identity, which snarkjs leaves
    /// out in part; whether the proof holds is not.
    ///
    /// # Errors
    /// [`DecodeError`] for a point that is none.
    pub fn new(proof: &ProofBytes) -> Result<Self, DecodeError> {
        let mut points = Points { what: "proof", rest: &proof.0 };
        Ok(Self { pi_a: points.g1()?, pi_b: points.g2()?, pi_c: points.g1()?, protocol: PROTOCOL, curve: CURVE })
    }
}

/// `public.json`: the public inputs in their pinned order, of [`crate::statement::Statement`].
pub fn public_signals(inputs: &[Fr]) -> Vec<Decimal> {
    inputs.iter().map(|input| input.into_bigint().to_string()).collect()
}

/// Reads compressed points off the front.
struct Points<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl Points<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| DecodeError::new(self.what, format!("{N} more bytes"), format!("{}", self.rest.len())))?;
        self.rest = rest;
        Ok(*head)
    }

    fn g1(&mut self) -> Result<G1, DecodeError> {
        let bytes = self.take::<COORDINATE_BYTES>()?;
        let point = Option::from(G1Affine::from_compressed(&bytes))
            .filter(|point: &G1Affine| !bool::from(point.is_identity()))
            .ok_or_else(|| DecodeError::new(self.what, "a point of G1 other than the identity", hex::encode(bytes)))?;
        let uncompressed = point.to_uncompressed();
        let (x, y) = uncompressed.split_at(COORDINATE_BYTES);
        Ok([decimal(x), decimal(y), "1".into()])
    }

    fn g2(&mut self) -> Result<G2, DecodeError> {
        let bytes = self.take::<{ 2 * COORDINATE_BYTES }>()?;
        let point = Option::from(G2Affine::from_compressed(&bytes))
            .filter(|point: &G2Affine| !bool::from(point.is_identity()))
            .ok_or_else(|| DecodeError::new(self.what, "a point of G2 other than the identity", hex::encode(bytes)))?;
        let uncompressed = point.to_uncompressed();
        let (x, y) = uncompressed.split_at(2 * COORDINATE_BYTES);
        // Zcash's format has c1 in front, snarkjs c0.
        let element = |bytes: &[u8]| {
            let (c1, c0) = bytes.split_at(COORDINATE_BYTES);
            [decimal(c0), decimal(c1)]
        };
        Ok([element(x), element(y), ["1".into(), "0".into()]])
    }
}

/// A coordinate of 48 big-endian bytes in decimal. Uncompressed and not the identity, so none of
/// the three flag bits above it is set.
fn decimal(coordinate: &[u8]) -> Decimal {
    let mut limbs = [0u64; COORDINATE_BYTES / 8];
    for (limb, bytes) in limbs.iter_mut().zip(coordinate.rchunks(8)) {
        *limb = bytes.iter().fold(0, |limb, byte| (limb << 8) | u64::from(*byte));
    }
    BigInt::new(limbs).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The generators of the curve, as its definition gives them in decimal
    /// (<https://github.com/zkcrypto/pairing/tree/master/src/bls12_381#g1>).
    const G1_X: &str = "3685416753713387016781088315183077757961620795782546409894578378688607592378376318836054947676345821548104185464507";
    const G1_Y: &str = "1339506544944476473020471379941921221584933875938349620426543736416511423956333506472724655353366534992391756441569";
    const G2_X: [&str; 2] = [
        "352701069587466618187139116011060144890029952792775240219908644239793785735715026873347600343865175952761926303160",
        "3059144344244213709971259814753781636986470325476647558659373206291635324768958432433509563104347017837885763365758",
    ];
    const G2_Y: [&str; 2] = [
        "1985150602287291935568054521177171638300868978215655730859378665066344726373823718423869104263333984641494340347905",
        "927553665492332455747201965776037880757740193453592970025027978793976877002675564980949289727957565575433344219582",
    ];

    fn g1() -> [u8; 48] {
        G1Affine::generator().to_compressed()
    }

    fn g2() -> [u8; 96] {
        G2Affine::generator().to_compressed()
    }

    fn key(public_inputs: usize) -> Vec<u8> {
        let mut bytes = g1().to_vec();
        (0..3).for_each(|_| bytes.extend(g2()));
        (0..=public_inputs).for_each(|_| bytes.extend(g1()));
        bytes
    }

    fn proof(a: [u8; 48], b: [u8; 96], c: [u8; 48]) -> ProofBytes {
        ProofBytes([&a[..], &b, &c].concat().try_into().unwrap())
    }

    #[test]
    fn coordinates_are_the_published_ones() {
        let proof = Proof::new(&proof(g1(), g2(), g1())).unwrap();
        assert_eq!(proof.pi_a, [G1_X, G1_Y, "1"]);
        assert_eq!(proof.pi_b, [G2_X, G2_Y, ["1", "0"]]);
        assert_eq!(proof.pi_c, proof.pi_a);
    }

    #[test]
    fn a_key_may_have_any_number_of_public_inputs() {
        for public_inputs in [0, 1, 12, 260] {
            let key = VerificationKey::from_bytes(&key(public_inputs)).unwrap();
            assert_eq!((key.public_inputs(), key.ic.len()), (public_inputs, public_inputs + 1));
            let json = serde_json::to_value(&key).unwrap();
            assert_eq!(json["nPublic"], public_inputs);
            assert_eq!((&json["protocol"], &json["curve"]), (&"groth16".into(), &"bls12381".into()));
            assert_eq!(json["IC"].as_array().unwrap().len(), public_inputs + 1);
            assert_eq!(json["vk_gamma_2"][1][1], G2_Y[1]);
        }
    }

    #[test]
    fn what_is_no_point_or_no_key_is_refused() {
        let good = key(3);
        for length in [0, 47, 48, 48 + 3 * 96, good.len() - 1] {
            assert!(VerificationKey::from_bytes(&good[..length]).is_err(), "{length} bytes");
        }
        let identity = G1Affine::identity().to_compressed();
        let identity_g2 = G2Affine::identity().to_compressed();
        // x = 4 is on the curve and not in the subgroup; which y does not matter.
        let mut outside = [0u8; 48];
        (outside[0], outside[47]) = (0x80, 4);
        assert!(bool::from(G1Affine::from_compressed_unchecked(&outside).is_some()));
        for (a, b, c) in [
            (identity, g2(), g1()),
            (g1(), identity_g2, g1()),
            (g1(), g2(), identity),
            (outside, g2(), g1()),
            (g1(), g2(), [0; 48]),
            (g1(), [0xff; 96], g1()),
        ] {
            assert!(Proof::new(&proof(a, b, c)).is_err());
        }
    }

    #[test]
    fn public_inputs_are_decimal() {
        let inputs = [Fr::from(0u64), Fr::from(u64::MAX), -Fr::from(1u64)];
        let minus_one = "52435875175126190479447740508185965837690552500527637822603658699938581184512";
        assert_eq!(public_signals(&inputs), ["0", "18446744073709551615", minus_one]);
    }
}
