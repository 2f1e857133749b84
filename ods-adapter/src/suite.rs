//! What sealed data are encrypted and hashed with, by the names that the ledger carries
//! (docs/spec/store.md#suites).

use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest, Sha256};
use sha3::Sha3_256;
use sm3::Sm3;

/// A name that is no cipher suite or hash algorithm here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' is unknown here: {what} is {known}")]
pub struct UnknownAlgorithm {
    name: String,
    what: &'static str,
    known: String,
}

/// An authenticated cipher with a 96-bit nonce and a 128-bit tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub enum CipherSuite {
    /// AES-256 in Galois/Counter Mode (NIST SP 800-38D).
    #[default]
    Aes256Gcm,
    /// SM4 (GB/T 32907-2016) in Galois/Counter Mode (RFC 8998), with 128-bit keys.
    Sm4Gcm,
}

impl CipherSuite {
    /// All of them, the default first.
    pub const ALL: [Self; 2] = [Self::Aes256Gcm, Self::Sm4Gcm];

    /// Its name on the ledger and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            CipherSuite::Aes256Gcm => "AES-256-GCM",
            CipherSuite::Sm4Gcm => "SM4-GCM",
        }
    }
}

impl FromStr for CipherSuite {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        named(&Self::ALL, Self::name, "a cipher suite", text)
    }
}

/// A hash function with 32 bytes of output, for the integrity of stored objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub enum HashAlgorithm {
    /// BLAKE3.
    #[default]
    Blake3,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA3-256 (FIPS 202).
    Sha3,
    /// SM3 (GB/T 32905-2016).
    Sm3,
}

impl HashAlgorithm {
    /// All of them, the default first.
    pub const ALL: [Self; 4] = [Self::Blake3, Self::Sha256, Self::Sha3, Self::Sm3];

    /// Its name on the ledger and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            HashAlgorithm::Blake3 => "BLAKE3",
            HashAlgorithm::Sha256 => "SHA-256",
            HashAlgorithm::Sha3 => "SHA3-256",
            HashAlgorithm::Sm3 => "SM3",
        }
    }

    /// The digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> [u8; 32] {
        match self {
            HashAlgorithm::Blake3 => blake3::hash(bytes).into(),
            HashAlgorithm::Sha256 => Sha256::digest(bytes).into(),
            HashAlgorithm::Sha3 => Sha3_256::digest(bytes).into(),
            HashAlgorithm::Sm3 => Sm3::digest(bytes).into(),
        }
    }

    /// What takes the bytes piece by piece.
    pub(crate) fn hasher(self) -> Hasher {
        match self {
            HashAlgorithm::Blake3 => Hasher::Blake3(Box::default()),
            HashAlgorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            HashAlgorithm::Sha3 => Hasher::Sha3(Box::new(Sha3_256::new())),
            HashAlgorithm::Sm3 => Hasher::Sm3(Sm3::new()),
        }
    }
}

/// A digest in the making.
pub(crate) enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(Sha256),
    Sha3(Box<Sha3_256>),
    Sm3(Sm3),
}

impl Hasher {
    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Blake3(hasher) => _ = hasher.update(bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Sha3(hasher) => hasher.update(bytes),
            Hasher::Sm3(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all that was taken.
    pub(crate) fn finish(self) -> [u8; 32] {
        match self {
            Hasher::Blake3(hasher) => hasher.finalize().into(),
            Hasher::Sha256(hasher) => hasher.finalize().into(),
            Hasher::Sha3(hasher) => (*hasher).finalize().into(),
            Hasher::Sm3(hasher) => hasher.finalize().into(),
        }
    }
}

impl FromStr for HashAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        named(&Self::ALL, Self::name, "a hash algorithm", text)
    }
}

fn named<T: Copy>(
    all: &[T],
    name: fn(T) -> &'static str,
    what: &'static str,
    text: &str,
) -> Result<T, UnknownAlgorithm> {
    all.iter().copied().find(|one| name(*one) == text).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|one| format!("\"{}\"", name(*one))).collect();
        UnknownAlgorithm { name: text.escape_debug().take(40).collect(), what, known: known.join(" or ") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::vectors;

    fn hex(bytes: [u8; 32]) -> String {
        hex::encode(bytes)
    }

    #[test]
    fn names_come_back_and_others_are_refused() {
        for suite in CipherSuite::ALL {
            assert_eq!(suite.name().parse(), Ok(suite));
        }
        for hash in HashAlgorithm::ALL {
            assert_eq!(hash.name().parse(), Ok(hash));
        }
        let refused = "sm4-gcm\n".parse::<CipherSuite>().unwrap_err().to_string();
        assert_eq!(refused, r#"'sm4-gcm\n' is unknown here: a cipher suite is "AES-256-GCM" or "SM4-GCM""#);
        let refused = "MD5".parse::<HashAlgorithm>().unwrap_err().to_string();
        assert!(refused.contains(r#""BLAKE3" or "SHA-256" or "SHA3-256" or "SM3""#), "{refused}");
    }

    /// FIPS 180-4 and FIPS 202 examples, BLAKE3's own, GB/T 32905-2016 A.1.
    #[test]
    fn published_digests() {
        for (hash, digest) in [
            (HashAlgorithm::Blake3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
            (HashAlgorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (HashAlgorithm::Sha3, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
            (HashAlgorithm::Sm3, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
        ] {
            assert_eq!(hex(hash.digest(b"abc")), digest, "{}", hash.name());
            let mut pieces = hash.hasher();
            [b"a".as_slice(), b"", b"bc"].into_iter().for_each(|piece| pieces.update(piece));
            assert_eq!(hex(pieces.finish()), digest, "{}", hash.name());
        }
    }

    #[test]
    fn oscca_sm3() {
        let Some(text) = vectors("sm3/oscca.txt") else { return };
        let mut seen = 0;
        for case in text.split("Len = ").skip(1) {
            let field = |name: &str| {
                let line = case.lines().find(|line| line.starts_with(name)).unwrap();
                hex::decode(line.split_once('=').unwrap().1.trim()).unwrap()
            };
            let bits: usize = case.lines().next().unwrap().trim().parse().unwrap();
            assert_eq!(HashAlgorithm::Sm3.digest(&field("Msg")[..bits / 8]).as_slice(), field("MD"));
            seen += 1;
        }
        assert!(seen >= 6, "{seen}");
    }

    /// HMAC (RFC 2104) out of the digest alone, so that messages of all lengths pass through it.
    #[test]
    fn wycheproof_hmac_sm3() {
        let Some(text) = vectors("wycheproof/hmac_sm3_test.json") else { return };
        let sm3 = |bytes: &[u8]| HashAlgorithm::Sm3.digest(bytes);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let (mut valid, mut invalid) = (0, 0);
        for group in json["testGroups"].as_array().unwrap() {
            let tag_bytes = group["tagSize"].as_u64().unwrap() as usize / 8;
            for test in group["tests"].as_array().unwrap() {
                let bytes = |name: &str| hex::decode(test[name].as_str().unwrap()).unwrap();
                let mut key = bytes("key");
                if key.len() > 64 {
                    key = sm3(&key).to_vec();
                }
                key.resize(64, 0);
                let pad = |with: u8| key.iter().map(|byte| byte ^ with).collect::<Vec<_>>();
                let inner = sm3(&[pad(0x36), bytes("msg")].concat());
                let tag = sm3(&[pad(0x5c), inner.to_vec()].concat());
                let fits = tag[..tag_bytes] == bytes("tag");
                assert_eq!(fits, test["result"] == "valid", "test {}", test["tcId"]);
                if fits { valid += 1 } else { invalid += 1 }
            }
        }
        assert!(valid > 50 && invalid > 50, "{valid} {invalid}");
    }
}
