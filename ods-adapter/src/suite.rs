//! What sealed data are encrypted and hashed with, by the names that the ledger carries
//! (docs/spec/store.md#suites).

use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

/// A name that is no cipher suite or hash algorithm here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is unknown here: {1}")]
pub struct UnknownAlgorithm(String, &'static str);

/// An authenticated cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub enum CipherSuite {
    /// AES-256 in Galois/Counter Mode (NIST SP 800-38D).
    #[default]
    Aes256Gcm,
}

impl CipherSuite {
    /// Its name on the ledger and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            CipherSuite::Aes256Gcm => "AES-256-GCM",
        }
    }
}

impl FromStr for CipherSuite {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        match text {
            "AES-256-GCM" => Ok(CipherSuite::Aes256Gcm),
            other => Err(UnknownAlgorithm(other.chars().take(40).collect(), "a cipher suite is \"AES-256-GCM\"")),
        }
    }
}

/// A hash function with 32 bytes of output, for the integrity of stored objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub enum HashAlgorithm {
    /// BLAKE3.
    #[default]
    Blake3,
}

impl HashAlgorithm {
    /// Its name on the ledger and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            HashAlgorithm::Blake3 => "BLAKE3",
        }
    }

    /// The digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> [u8; 32] {
        match self {
            HashAlgorithm::Blake3 => blake3::hash(bytes).into(),
        }
    }
}

impl FromStr for HashAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        match text {
            "BLAKE3" => Ok(HashAlgorithm::Blake3),
            other => Err(UnknownAlgorithm(other.chars().take(40).collect(), "a hash algorithm is \"BLAKE3\"")),
        }
    }
}
