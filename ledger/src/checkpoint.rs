//! Checkpoints: what the members say the ledger is, as a C2SP signed note
//! (<https://c2sp.org/signed-note>, <https://c2sp.org/tlog-checkpoint>,
//! docs/spec/ledger.md#checkpoint).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::account::{NodeSecret, Signature, VerifyKey};
use crate::block::Header;
use crate::ids::{BlockHash, BlockHeight, ChainId, LogRoot};
use crate::member::{MEMBERS_MAX, MemberSet};

/// Longest checkpoint that is read, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// Most signatures that are read: the members' and witnesses'.
pub const SIGNATURES_MAX: usize = MEMBERS_MAX + 32;
/// First word of the line that names the block.
const BLOCK: &str = "block";
/// Type byte of a plain Ed25519 signature in a note.
const ED25519: u8 = 0x01;

/// The ledger's tree up to a block, and that block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Entries in the tree.
    pub size: u64,
    /// Its root.
    pub root: LogRoot,
    /// The last block that is in it.
    pub height: BlockHeight,
    /// The hash of that block's header.
    pub block: BlockHash,
}

/// The text of a signed checkpoint. Believed only through [`SignedCheckpoint::verify`].
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
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
    /// A line of a known witness does not hold.
    #[error("the checkpoint carries a cosignature of '{0}' that is not its")]
    Cosignature(String),
    /// A member's signature is wrong.
    #[error("a signature of the checkpoint is not its signer's: it was altered, or is forged")]
    Signature,
    /// Not enough members have signed.
    #[error("the checkpoint carries the signatures of {found} of the ledger's members; {needed} are needed")]
    Quorum {
        /// How many members have signed.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
}

/// The first line of a ledger's checkpoints, also the name of its members' keys in them.
pub fn origin(chain: &ChainId) -> String {
    format!("sealgate/{chain}")
}

impl Checkpoint {
    /// The checkpoint of the ledger up to the block of `header`.
    pub fn of(header: &Header) -> Checkpoint {
        Checkpoint { size: header.tree_size, root: header.log_root, height: header.height, block: header.hash() }
    }

    /// Signs as a member of `chain`.
    pub fn sign(&self, chain: &ChainId, signer: &NodeSecret) -> SignedCheckpoint {
        self.with(chain, &[(signer.verify_key(), self.signature(chain, signer))])
    }

    /// One member's signature.
    pub fn signature(&self, chain: &ChainId, signer: &NodeSecret) -> Signature {
        signer.sign_raw(self.text(&origin(chain)).as_bytes())
    }

    /// Whether `signature` is that of the node with this key.
    pub fn is_signed(&self, chain: &ChainId, key: &VerifyKey, signature: &Signature) -> bool {
        key.holds(self.text(&origin(chain)).as_bytes(), signature)
    }

    /// The note with these members' signatures, in this order.
    pub fn with(&self, chain: &ChainId, signatures: &[(VerifyKey, Signature)]) -> SignedCheckpoint {
        let origin = origin(chain);
        let mut text = format!("{}\n", self.text(&origin));
        for (key, signature) in signatures {
            let mut bytes = key_hash(&origin, key).to_vec();
            bytes.extend_from_slice(&signature.0);
            text.push_str(&format!("\u{2014} {origin} {}\n", STANDARD.encode(bytes)));
        }
        SignedCheckpoint(text)
    }

    fn text(&self, origin: &str) -> String {
        let (root, block) = (STANDARD.encode(self.root.0), STANDARD.encode(self.block.0));
        format!("{origin}\n{}\n{root}\n{BLOCK} {} {block}\n", self.size, self.height)
    }
}

impl SignedCheckpoint {
    /// Reads the checkpoint of `chain` and checks that more than two thirds of `members` signed
    /// it. Signatures of other keys (witnesses) are read and not judged.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify(&self, chain: &ChainId, members: &MemberSet) -> Result<Checkpoint, CheckpointError> {
        let (checkpoint, signers) = self.signers(chain, members)?;
        let (found, needed) = (signers.len(), members.quorum());
        if found >= needed { Ok(checkpoint) } else { Err(CheckpointError::Quorum { found, needed }) }
    }

    /// Reads the checkpoint of `chain` and says which of `members` signed it, by their nodes' keys, each
    /// once and in the order of the note; how many there must be is not judged.
    ///
    /// # Errors
    /// [`CheckpointError`], but for [`CheckpointError::Quorum`].
    pub fn signers(
        &self,
        chain: &ChainId,
        members: &MemberSet,
    ) -> Result<(Checkpoint, Vec<VerifyKey>), CheckpointError> {
        if self.0.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError::Form("it is too long"));
        }
        let (body, signatures) =
            self.0.split_once("\n\n").ok_or(CheckpointError::Form("it has no blank line before its signatures"))?;
        let origin = origin(chain);
        let (checkpoint, text) = read_body(body, &origin)?;
        let keys: Vec<([u8; 4], VerifyKey)> =
            members.members.iter().map(|member| (key_hash(&origin, &member.node_key), member.node_key)).collect();
        let mut signed: Vec<VerifyKey> = Vec::new();
        for (count, line) in read_lines(signatures)?.enumerate() {
            if count >= SIGNATURES_MAX {
                return Err(CheckpointError::Form("it has too many signatures"));
            }
            let (name, bytes) = read_signature(line)?;
            let Some((hash, signature)) = bytes.split_first_chunk::<4>() else {
                return Err(CheckpointError::Form("a signature is too short"));
            };
            let mut known = keys.iter().filter(|(known, _)| known == hash && name == origin).peekable();
            if known.peek().is_none() {
                continue;
            }
            let signature = Signature(signature.try_into().map_err(|_| CheckpointError::Signature)?);
            let key = known.map(|(_, key)| *key).find(|key| key.holds(text.as_bytes(), &signature));
            let key = key.ok_or(CheckpointError::Signature)?;
            if !signed.contains(&key) {
                signed.push(key);
            }
        }
        Ok((checkpoint, signed))
    }
}

/// Reads the four lines before the blank one; returns also the signed text.
fn read_body(body: &str, expected: &str) -> Result<(Checkpoint, String), CheckpointError> {
    let mut lines = body.split('\n');
    let (Some(origin), Some(size), Some(root), Some(last), None) =
        (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(CheckpointError::Form("it has not four lines: origin, size, root, block"));
    };
    if origin != expected {
        return Err(CheckpointError::Origin {
            found: origin.escape_debug().take(120).collect(),
            expected: expected.to_owned(),
        });
    }
    let size: u64 = size.parse().map_err(|_| CheckpointError::Form("its size is no number"))?;
    let root = read_hash(root).ok_or(CheckpointError::Form("its root is not base64 of 32 bytes"))?;
    let block = last.strip_prefix(BLOCK).and_then(|rest| rest.strip_prefix(' ')).and_then(|rest| rest.split_once(' '));
    let (height, block) = block
        .and_then(|(height, block)| Some((height.parse().ok()?, read_hash(block)?)))
        .ok_or(CheckpointError::Form("its fourth line is not 'block', a height and base64 of 32 bytes"))?;
    let checkpoint = Checkpoint { size, root: LogRoot(root), height: BlockHeight(height), block: BlockHash(block) };
    let text = checkpoint.text(origin);
    if text.strip_suffix('\n') != Some(body) {
        return Err(CheckpointError::Form("it is another spelling of the same content"));
    }
    Ok((checkpoint, text))
}

fn read_hash(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
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
fn key_hash(name: &str, key: &VerifyKey) -> [u8; 4] {
    let digest =
        Sha256::new().chain_update(name.as_bytes()).chain_update([b'\n', ED25519]).chain_update(key.0).finalize();
    let mut out = [0u8; 4];
    out.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountSecret;
    use crate::member::Member;
    use crate::testing::{genesis, secret};

    fn checkpoint() -> Checkpoint {
        Checkpoint { size: 42, root: LogRoot([7; 32]), height: BlockHeight(6), block: BlockHash([9; 32]) }
    }

    fn four() -> (MemberSet, Vec<NodeSecret>) {
        let accounts: Vec<AccountSecret> = (1..=4).map(|seed| secret("m", seed)).collect();
        let members = accounts.iter().map(|account| Member::operator(account.public())).collect();
        (MemberSet { epoch: 0, members }, accounts.iter().map(NodeSecret::of).collect())
    }

    #[test]
    fn signed_and_read_back() {
        let (genesis, operator) = genesis();
        let (chain, members) = (genesis.chain_id(), genesis.members());
        let signed = checkpoint().sign(&chain, &NodeSecret::of(&operator));
        assert_eq!(signed.verify(&chain, &members).unwrap(), checkpoint());
        let cosigned = SignedCheckpoint(format!("{signed}\u{2014} witness.example AAAAAAAA\n"));
        assert_eq!(cosigned.verify(&chain, &members).unwrap(), checkpoint());
    }

    #[test]
    fn more_than_two_thirds_of_the_members_sign() {
        let chain = genesis().0.chain_id();
        let (members, nodes) = four();
        let by = |signers: &[usize]| {
            let signatures: Vec<_> = signers
                .iter()
                .map(|at| (nodes[*at].verify_key(), checkpoint().signature(&chain, &nodes[*at])))
                .collect();
            checkpoint().with(&chain, &signatures).verify(&chain, &members)
        };
        for good in [&[0, 1, 2][..], &[3, 1, 0], &[0, 1, 2, 3], &[0, 0, 1, 2]] {
            assert_eq!(by(good).unwrap(), checkpoint(), "{good:?}");
        }
        for (bad, found) in [(&[][..], 0), (&[0, 1], 2), (&[0, 0, 0, 1], 2)] {
            let expected = CheckpointError::Quorum { found, needed: 3 };
            let found = by(bad).unwrap_err();
            assert!(found == expected || bad.is_empty(), "{bad:?}: {found}");
        }
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let chain = genesis().0.chain_id();
        let (members, nodes) = four();
        let signatures: Vec<_> =
            nodes.iter().map(|node| (node.verify_key(), checkpoint().signature(&chain, node))).collect();
        // Three of four: one signature less is one too few.
        let signed = checkpoint().with(&chain, &signatures[..3]).0;
        for at in 0..signed.len() {
            for bit in 0..8 {
                let mut bytes = signed.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                if let Ok(text) = String::from_utf8(bytes) {
                    assert!(SignedCheckpoint(text).verify(&chain, &members).is_err(), "byte {at}, bit {bit}");
                }
            }
            let cut = signed.is_char_boundary(at).then(|| SignedCheckpoint(signed[..at].to_owned()));
            assert!(cut.is_none_or(|cut| cut.verify(&chain, &members).is_err()));
        }
        for (from, to) in [
            ("\n42\n", "\n042\n"),
            ("\n42\n", "\n+42\n"),
            ("\n42\n", "\n42\n\n"),
            ("\n42\n", "\n42\nx\n"),
            ("block 6", "block 06"),
            ("block 6", "block  6"),
        ] {
            assert!(SignedCheckpoint(signed.replacen(from, to, 1)).verify(&chain, &members).is_err());
        }
    }

    #[test]
    fn another_ledger_and_another_operator_are_told_apart() {
        let (genesis, operator) = genesis();
        let mut other = genesis.clone();
        other.name = "another".into();
        let (chain, members) = (genesis.chain_id(), genesis.members());
        let foreign = checkpoint().sign(&other.chain_id(), &NodeSecret::of(&operator));
        assert!(matches!(foreign.verify(&chain, &members), Err(CheckpointError::Origin { .. })));
        let stranger = checkpoint().sign(&chain, &NodeSecret::generate().unwrap());
        let quorum = CheckpointError::Quorum { found: 0, needed: 1 };
        assert_eq!(stranger.verify(&chain, &members), Err(quorum));
    }
}
