//! What the owner seals to a requester of whole columns, and the words of the calls about it
//! (docs/spec/delivery.md).

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use sealgate_circuits::bytes::tagged_hash;
use sealgate_ledger::ids::{Digest, TxHash};
use sealgate_ods::AttemptId;
use sealgate_ods::table::columns::ColumnSegment;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::envelope::Purpose;

pub mod release;
pub(crate) mod whole;

/// Most bytes of a stored object that are given in one response.
pub const RANGE_BYTES_MAX: u64 = 4 << 20;

/// The body of `POST /v1/deliveries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FetchRequest {
    /// The signed request transaction, borsh in base64.
    pub transaction: String,
    /// Size of the requester's checkpoint; the response proves consistency with it. 0 for none.
    pub seen: u64,
}

/// 256 random bits that a requester shows to be given the ciphertext.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Token([u8; 32]);

impl Token {
    /// Draws one.
    ///
    /// # Errors
    /// What the operating system says when it gives no random bytes.
    pub fn generate() -> Result<Token, getrandom::Error> {
        let mut token = Token([0; 32]);
        getrandom::fill(&mut token.0)?;
        Ok(token)
    }

    /// As it stands behind `Bearer`.
    pub fn text(&self) -> String {
        hex::encode(self.0)
    }

    /// By which the gateway knows it again.
    pub fn digest(text: &str) -> Digest {
        Digest(tagged_hash("sealgate/delivery-token/1", &[text.as_bytes()]))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The key of one segment, as it lies in a sealed delivery.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SealedKey(pub [u8; 32]);

impl Drop for SealedKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedKey(…)")
    }
}

/// One column: its objects and what opens them.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DeliveredColumn {
    /// Its position in the schema.
    pub column: u8,
    /// Its segments in the version's order.
    pub segments: Vec<ColumnSegment>,
    /// A key for each of them.
    pub keys: Vec<SealedKey>,
}

/// What the owner seals to the requester.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SecretDelivery {
    /// The request it answers.
    pub request: TxHash,
    /// The version it is from.
    pub version: u32,
    /// The version's own attempt, which the registered digests cover.
    pub attempt: AttemptId,
    /// What the gateway gives ciphertext for.
    pub token: Token,
    /// The columns asked for, in the order of the request.
    pub columns: Vec<DeliveredColumn>,
}

/// What is sealed to whoever asked, in answer to a request.
pub trait Delivered: BorshSerialize + BorshDeserialize {
    /// The request, and the version that was bound to it.
    fn of(&self) -> (TxHash, u32);
    /// Bytes of all ciphertext that it opens.
    fn bytes(&self) -> u64;
}

impl Delivered for SecretDelivery {
    fn of(&self) -> (TxHash, u32) {
        (self.request, self.version)
    }

    fn bytes(&self) -> u64 {
        self.columns.iter().flat_map(|column| &column.segments).map(|segment| segment.bytes).sum()
    }
}

/// A number of bytes as the ledger records it: rounded up to a power of two.
pub fn rounded(bytes: u64) -> u64 {
    if bytes == 0 { 0 } else { bytes.checked_next_power_of_two().unwrap_or(1 << 63) }
}

/// The purpose of a delivery's envelope.
pub fn delivery_purpose(request: &TxHash) -> Purpose<'_> {
    Purpose { info: "sealgate/delivery/1", associated: &request.0 }
}

/// Hash of a sealed delivery, as the ledger records it.
pub fn delivery_digest(envelope: &[u8]) -> Digest {
    Digest(tagged_hash("sealgate/sealed-delivery/1", &[envelope]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_as_the_ledger_wants_them() {
        for (bytes, expected) in [(0, 0), (1, 1), (3, 4), (4, 4), ((1 << 20) + 1, 1 << 21), (u64::MAX, 1 << 63)] {
            assert_eq!(rounded(bytes), expected);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let token = Token::generate().unwrap();
        assert!(!format!("{token:?} {:?}", SealedKey([7; 32])).contains(&token.text()[..6]));
        assert_ne!(token, Token::generate().unwrap());
        assert_ne!(Token::digest(&token.text()), Token::digest("another"));
    }
}
