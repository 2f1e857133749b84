//! Checkpoints: what the operator says the ledger is, as a C2SP signed note
//! (<https://c2sp.org/signed-note>, <https://c2sp.org/tlog-checkpoint>,
//! docs/spec/ledger.md#checkpoint).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::account::{AccountPublic, AccountSecret, Signature};
use crate::genesis::Genesis;
use crate::ids::{ChainId, LogRoot};

/// Longest checkpoint that is read, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 16 * 1024;
/// Most signatures that are read: the operator's and witnesses'.
pub const SIGNATURES_MAX: usize = 32;
/// Type byte of a plain Ed25519 signature in a note.
const ED25519: u8 = 0x01;

/// Size and root of the ledger's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Entries in the tree.
    pub size: u64,
    /// Its root.
    pub root: LogRoot,
}

/// The text of a signed checkpoint. Believed only through [`SignedCheckpoint::verify`].
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedCheckpoint(pub String);

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a checkpoint of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not the form of a checkpoint, or another spelling of it.
    #[error("this is no checkpoint: {0}")]
    Form(&'static str),
    /// A checkpoint of another ledger.
    #[error("the checkpoint is of '{found}', not of '{expected}': compare the fingerprint with the one you trust")]
    Origin {
        /// The origin it names.
        found: String,
        /// The origin of the trusted genesis.
        expected: String,
    },
    /// The operator's signature is missing or wrong.
    #[error("the checkpoint does not carry the signature of the ledger's operator")]
    Signature,
}

/// The first line of a ledger's checkpoints, also the name of its operator's key.
pub fn origin(chain: &ChainId) -> String {
    format!("sealgate/{chain}")
}

impl Checkpoint {
    /// Signs as the operator of `chain`.
    pub fn sign(&self, chain: &ChainId, operator: &AccountSecret) -> SignedCheckpoint {
        let origin = origin(chain);
        let text = self.text(&origin);
        let signature = operator.sign_raw(text.as_bytes());
        let mut bytes = key_hash(&origin, operator.public()).to_vec();
        bytes.extend_from_slice(&signature.0);
        SignedCheckpoint(format!("{text}\n\u{2014} {origin} {}\n", STANDARD.encode(bytes)))
    }

    fn text(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root.0))
    }
}

impl SignedCheckpoint {
    /// Reads the checkpoint and checks that the operator named by `genesis` signed it.
    /// Signatures of other keys (witnesses) are read and not judged.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify(&self, genesis: &Genesis) -> Result<Checkpoint, CheckpointError> {
        if self.0.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError::Form("it is too long"));
        }
        let (body, signatures) =
            self.0.split_once("\n\n").ok_or(CheckpointError::Form("it has no blank line before its signatures"))?;
        let expected = origin(&genesis.chain_id());
        let (checkpoint, text) = read_body(body, &expected)?;
        let hash = key_hash(&expected, &genesis.operator);
        let mut signed = false;
        for (count, line) in read_lines(signatures)?.enumerate() {
            if count >= SIGNATURES_MAX {
                return Err(CheckpointError::Form("it has too many signatures"));
            }
            let (name, bytes) = read_signature(line)?;
            let Some((found, signature)) = bytes.split_first_chunk::<4>() else {
                return Err(CheckpointError::Form("a signature is too short"));
            };
            if name != expected || *found != hash {
                continue;
            }
            let signature: [u8; 64] = signature.try_into().map_err(|_| CheckpointError::Signature)?;
            genesis
                .operator
                .verify_raw(text.as_bytes(), &Signature(signature))
                .map_err(|_| CheckpointError::Signature)?;
            signed = true;
        }
        if signed { Ok(checkpoint) } else { Err(CheckpointError::Signature) }
    }
}

/// Reads the three lines before the blank one; returns also the signed text.
fn read_body(body: &str, expected: &str) -> Result<(Checkpoint, String), CheckpointError> {
    let mut lines = body.split('\n');
    let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next()) else {
        return Err(CheckpointError::Form("it has not three lines: origin, size, root"));
    };
    if origin != expected {
        return Err(CheckpointError::Origin {
            found: origin.escape_debug().take(120).collect(),
            expected: expected.to_owned(),
        });
    }
    let size: u64 = size.parse().map_err(|_| CheckpointError::Form("its size is no number"))?;
    let root = STANDARD
        .decode(root)
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .ok_or(CheckpointError::Form("its root is not base64 of 32 bytes"))?;
    let checkpoint = Checkpoint { size, root: LogRoot(root) };
    let text = checkpoint.text(origin);
    if text.strip_suffix('\n') != Some(body) {
        return Err(CheckpointError::Form("it is another spelling of the same content"));
    }
    Ok((checkpoint, text))
}

fn read_lines(text: &str) -> Result<std::str::Split<'_, char>, CheckpointError> {
    Ok(text.strip_suffix('\n').ok_or(CheckpointError::Form("its last line has no end"))?.split('\n'))
}

fn read_signature(line: &str) -> Result<(&str, Vec<u8>), CheckpointError> {
    let (name, encoded) = line
        .strip_prefix("\u{2014} ")
        .and_then(|rest| rest.split_once(' '))
        .filter(|(name, _)| !name.is_empty())
        .ok_or(CheckpointError::Form("a signature line is not '— name base64'"))?;
    let bytes = STANDARD.decode(encoded).map_err(|_| CheckpointError::Form("a signature is not base64"))?;
    Ok((name, bytes))
}

/// The key's id in notes: the first four bytes of SHA-256(name ‖ newline ‖ type ‖ key).
fn key_hash(name: &str, key: &AccountPublic) -> [u8; 4] {
    let digest = Sha256::new()
        .chain_update(name.as_bytes())
        .chain_update([b'\n', ED25519])
        .chain_update(key.verify_key.0)
        .finalize();
    let mut out = [0u8; 4];
    out.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::genesis;

    #[test]
    fn signed_and_read_back() {
        let (genesis, operator) = genesis();
        let checkpoint = Checkpoint { size: 42, root: LogRoot([7; 32]) };
        let signed = checkpoint.sign(&genesis.chain_id(), &operator);
        assert_eq!(signed.verify(&genesis).unwrap(), checkpoint);
        let cosigned = SignedCheckpoint(format!("{signed}\u{2014} witness.example AAAAAAAA\n"));
        assert_eq!(cosigned.verify(&genesis).unwrap(), checkpoint);
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let (genesis, operator) = genesis();
        let signed = Checkpoint { size: 42, root: LogRoot([7; 32]) }.sign(&genesis.chain_id(), &operator).0;
        for at in 0..signed.len() {
            for bit in 0..8 {
                let mut bytes = signed.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                if let Ok(text) = String::from_utf8(bytes) {
                    assert!(SignedCheckpoint(text).verify(&genesis).is_err(), "byte {at}, bit {bit}");
                }
            }
            assert!(
                !signed.is_char_boundary(at) || SignedCheckpoint(signed[..at].to_owned()).verify(&genesis).is_err()
            );
        }
        for (from, to) in
            [("\n42\n", "\n042\n"), ("\n42\n", "\n+42\n"), ("\n42\n", "\n42\n\n"), ("\n42\n", "\n42\nx\n")]
        {
            assert!(SignedCheckpoint(signed.replacen(from, to, 1)).verify(&genesis).is_err());
        }
    }

    #[test]
    fn another_ledger_and_another_operator_are_told_apart() {
        let (genesis, operator) = genesis();
        let mut other = genesis.clone();
        other.name = "another".into();
        let checkpoint = Checkpoint { size: 1, root: LogRoot([7; 32]) };
        let foreign = checkpoint.sign(&other.chain_id(), &operator);
        assert!(matches!(foreign.verify(&genesis), Err(CheckpointError::Origin { .. })));
        let stranger = AccountSecret::generate("stranger").unwrap();
        assert_eq!(checkpoint.sign(&genesis.chain_id(), &stranger).verify(&genesis), Err(CheckpointError::Signature));
    }
}
