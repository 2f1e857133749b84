//! Names of things on the ledger: never bare bytes, each with one spelling
//! (docs/spec/ledger.md#identifiers).

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use sealgate_circuits::byte_newtype;
use sealgate_circuits::bytes::{DecodeError, tagged_hash};
use serde::{Deserialize, Serialize};

use crate::account::{EncryptionKey, VerifyKey};

/// Declares a 32-byte identifier whose text is bech32m (BIP 350) under its own prefix.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $hrp:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            const HRP: Hrp = Hrp::parse_unchecked($hrp);

            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = bech32::encode_lower::<Bech32m>(Self::HRP, &self.0).map_err(|_| fmt::Error)?;
                f.write_str(&text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = DecodeError;

            fn from_str(text: &str) -> Result<Self, DecodeError> {
                read_bech32(text, Self::HRP)
                    .map(Self)
                    .filter(|id| id.to_string() == text)
                    .ok_or_else(|| DecodeError::new(
                        $what,
                        concat!("bech32m in lower case that begins with '", $hrp, "1', none of it mistyped"),
                        format!("'{}'", text.chars().take(100).collect::<String>()),
                    ))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let pattern = concat!("^", $hrp, "1[02-9ac-hj-np-z]{58}$");
                schemars::json_schema!({ "type": "string", "description": $what, "pattern": pattern })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                <String as Deserialize>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// An account: the hash of its two public keys. Text `sg1…`.
    Address, "sg", "address"
);
text_id!(
    /// An asset's contract: the hash of ledger, owner and name. Text `asset1…`.
    AssetId, "asset", "asset id"
);
text_id!(
    /// A ledger: the hash of its genesis. Its text, `chain1…`, is the fingerprint that people pin.
    ChainId, "chain", "chain id"
);

impl Address {
    /// The address of the account with these keys.
    pub fn of(verify_key: &VerifyKey, encryption_key: &EncryptionKey) -> Address {
        Address(tagged_hash("sealgate/address/1", &[&verify_key.0, &encryption_key.0]))
    }
}

impl AssetId {
    /// The id of the asset that `owner` calls `name` on ledger `chain`.
    pub fn of(chain: &ChainId, owner: &Address, name: &str) -> AssetId {
        AssetId(tagged_hash("sealgate/asset/1", &[&chain.0, &owner.0, name.as_bytes()]))
    }
}

fn read_bech32(text: &str, hrp: Hrp) -> Option<[u8; 32]> {
    let checked = CheckedHrpstring::new::<Bech32m>(text).ok()?;
    if checked.hrp() != hrp {
        return None;
    }
    let bytes: Vec<u8> = checked.byte_iter().take(33).collect();
    bytes.try_into().ok()
}

byte_newtype!(
    /// Identity of a transaction: the tagged hash of its content, signature excluded.
    TxHash, 32, "transaction hash"
);
byte_newtype!(
    /// Hash of a block's header.
    BlockHash, 32, "block hash"
);
byte_newtype!(
    /// Root of the RFC 9162 tree over all entries of the ledger.
    LogRoot, 32, "log root"
);
byte_newtype!(
    /// Root of the state tree: what stands on the ledger after a block.
    StateRoot, 32, "state root"
);
byte_newtype!(
    /// Hash of a ciphertext, or a commitment, made elsewhere and only carried here.
    Digest, 32, "digest"
);
byte_newtype!(
    /// What an auditor's records are chosen by: drawn at random for each sample.
    SampleSeed, 32, "sample seed"
);

/// Position of a block; the genesis block is 0.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct BlockHeight(pub u64);

impl BlockHeight {
    /// The next height (saturating: at one block a microsecond, the end is half a million years away).
    #[must_use]
    pub fn next(self) -> BlockHeight {
        self.plus(1)
    }

    /// So many blocks later.
    #[must_use]
    pub fn plus(self, blocks: u64) -> BlockHeight {
        BlockHeight(self.0.saturating_add(blocks))
    }
}

impl fmt::Display for BlockHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_spellings_are_refused() {
        let id = Address([7; 32]);
        let text = id.to_string();
        assert!(text.starts_with("sg1"));
        assert!(text.to_uppercase().parse::<Address>().is_err());
        assert!(text.parse::<AssetId>().is_err());
        assert!(text[..text.len() - 1].parse::<Address>().is_err());
        assert!(format!("{text} ").parse::<Address>().is_err());
        assert!("".parse::<Address>().is_err());
        let bech32 = bech32::encode::<bech32::Bech32>(Address::HRP, &[7; 32]).unwrap();
        assert!(bech32.parse::<Address>().is_err());
        let long = bech32::encode::<Bech32m>(Address::HRP, &[7; 33]).unwrap();
        assert!(long.parse::<Address>().is_err());
    }

    proptest! {
        #[test]
        fn text_and_json_survive(bytes in any::<[u8; 32]>()) {
            let chain = ChainId(bytes);
            prop_assert_eq!(chain.to_string().parse::<ChainId>().unwrap(), chain);
            let json = serde_json::to_string(&AssetId(bytes)).unwrap();
            prop_assert_eq!(serde_json::from_str::<AssetId>(&json).unwrap(), AssetId(bytes));
        }
    }
}
