//! Fixed-size byte strings that say what they are, and the one way this project hashes.

use sha2::{Digest as _, Sha256};

/// A byte string that could not be read: what was expected and what came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected}, found {found}")]
pub struct DecodeError {
    /// The thing that was being read.
    pub what: &'static str,
    /// What it should look like.
    pub expected: String,
    /// What was there instead.
    pub found: String,
}

impl DecodeError {
    /// Builds the error from its three parts.
    pub fn new(what: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what, expected: expected.into(), found: found.into() }
    }
}

/// SHA-256 over a domain string and length-prefixed parts, so that no two calls with different
/// domains or different splits of the same bytes ever hash the same input (docs/spec/encoding.md).
pub fn tagged_hash(domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let mut absorb = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    absorb(domain.as_bytes());
    for part in parts {
        absorb(part);
    }
    hasher.finalize().into()
}

/// Declares a newtype over `[u8; N]`: hexadecimal in text and JSON, raw in borsh.
#[macro_export]
macro_rules! byte_newtype {
    ($(#[$doc:meta])* $name:ident, $len:expr, $what:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, borsh::BorshSerialize, borsh::BorshDeserialize)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::bytes::DecodeError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let error = || $crate::bytes::DecodeError::new(
                    $what,
                    format!("{} lowercase hexadecimal digits", 2 * $len),
                    format!("'{}'", text.chars().take(100).collect::<String>()),
                );
                let mut out = [0u8; $len];
                hex::decode_to_slice(text, &mut out).map_err(|_| error())?;
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(error());
                }
                Ok(Self(out))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl $crate::schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut $crate::schemars::SchemaGenerator) -> $crate::schemars::Schema {
                let pattern = format!("^[0-9a-f]{{{}}}$", 2 * $len);
                $crate::schemars::json_schema!({ "type": "string", "description": $what, "pattern": pattern })
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

byte_newtype!(
    /// Digest of a public schema: names and types of the fields, in order.
    SchemaDigest, 32, "schema digest"
);
byte_newtype!(
    /// The place of a key in an asset's prefix tree: 256 bits, the most significant bit of the
    /// first byte is the first branch.
    Place, 32, "place"
);
byte_newtype!(
    /// Root of a version's prefix tree.
    TreeRoot, 32, "tree root"
);
byte_newtype!(
    /// Public key of an asset's verifiable random function (RFC 9381, ECVRF-EDWARDS25519-SHA512-TAI).
    PlaceKey, 32, "place key"
);
byte_newtype!(
    /// What a proof is bound to beside its statement: the request it answers.
    Context, 32, "context"
);
byte_newtype!(
    /// A Groth16 proof on BLS12-381: A, B, C compressed in Zcash's format.
    ProofBytes, 192, "proof"
);
byte_newtype!(
    /// A proof of the verifiable random function: the point, the challenge, the response.
    PlaceProof, 80, "place proof"
);
byte_newtype!(
    /// SHA-256 of a serialised verifying key, under which it is known everywhere.
    VerifyingKeyDigest, 32, "verifying key digest"
);
byte_newtype!(
    /// SHA-256 of a circuit's constraint system (docs/spec/statement.md#pinned-shape).
    ShapeDigest, 32, "circuit shape digest"
);
byte_newtype!(
    /// Digest of a ceremony's transcript up to some contribution (docs/spec/ceremony.md#digests).
    CeremonyDigest, 32, "ceremony digest"
);
