//! One canonical encoding: borsh that consumes all input and writes the same bytes again.

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::DecodeError;

/// The canonical bytes of `value`. Writing to memory fails only past 4 GiB, which the bounds of
/// every type here exclude.
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).unwrap_or_default()
}

/// Reads `bytes` as a `T`, all of them, and only in the spelling that [`encode`] writes.
///
/// # Errors
/// [`DecodeError`] naming `what`.
pub fn decode<T: BorshSerialize + BorshDeserialize>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    let value: T = borsh::from_slice(bytes).map_err(|error| {
        DecodeError::new(what, "canonical borsh", format!("{} bytes that are not ({error})", bytes.len()))
    })?;
    if encode(&value) != bytes {
        return Err(DecodeError::new(what, "canonical borsh", "another spelling of the same content"));
    }
    Ok(value)
}

/// How such bytes are described: lowercase hexadecimal.
pub(crate) struct HexText;

impl schemars::JsonSchema for HexText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hexadecimal".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "Bytes in lowercase hexadecimal.", "pattern": "^([0-9a-f]{2})*$" })
    }
}

/// Bytes as lowercase hexadecimal in JSON.
pub(crate) mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(<String as Deserialize>::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// A value of `circuits` that has only a canonical byte form, as hexadecimal of that form in JSON.
pub(crate) mod borsh_hex {
    use borsh::{BorshDeserialize, BorshSerialize};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<T: BorshSerialize, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(super::encode(value)))
    }

    pub(crate) fn deserialize<'de, T, D>(d: D) -> Result<T, D::Error>
    where
        T: BorshSerialize + BorshDeserialize,
        D: Deserializer<'de>,
    {
        let bytes = hex::decode(<String as Deserialize>::deserialize(d)?).map_err(serde::de::Error::custom)?;
        super::decode("borsh in hexadecimal", &bytes).map_err(serde::de::Error::custom)
    }
}
