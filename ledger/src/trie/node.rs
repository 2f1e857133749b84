//! Nodes of the state tree: labels, links, hashes (docs/spec/state.md#nodes).

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::byte_newtype;
use sealgate_circuits::bytes::tagged_hash;

use super::{LeafDigest, StateKey, StatePrefix};
use crate::codec::encode;
use crate::state::keys;

/// Bits of a key.
pub(super) const KEY_BITS: u16 = 512;
/// Bits of a prefix that can be listed.
pub(super) const PREFIX_BITS: u16 = 256;

byte_newtype!(
    /// Hash of a node of the state tree.
    NodeHash, 32, "state tree hash"
);

/// The first bits of keys: what all keys below a node have in common. A leaf's are its whole key.
/// Bits past the end are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    bits: u16,
    bytes: [u8; 64],
}

impl Label {
    pub(super) fn of_key(key: &StateKey) -> Label {
        Label { bits: KEY_BITS, bytes: key.0 }
    }

    pub(super) fn of_prefix(prefix: &StatePrefix) -> Label {
        Label { bits: PREFIX_BITS, bytes: prefix.with([0; 32]).0 }
    }

    /// How many bits it has.
    pub(super) fn bits(&self) -> u16 {
        self.bits
    }

    /// The key, if it is a whole one.
    pub(super) fn key(&self) -> Option<StateKey> {
        (self.bits == KEY_BITS).then_some(StateKey(self.bytes))
    }

    /// Bit `at`; zero past the end.
    pub(super) fn bit(&self, at: u16) -> bool {
        self.bytes.get(usize::from(at / 8)).is_some_and(|byte| byte << (at % 8) & 0x80 != 0)
    }

    /// The first `bits` bits, all of them if there are no more.
    pub(super) fn first(&self, bits: u16) -> Label {
        let mut label = Label { bits: bits.min(self.bits), bytes: self.bytes };
        for (at, byte) in (0u16..).step_by(8).zip(&mut label.bytes) {
            let kept = label.bits.saturating_sub(at).min(8);
            *byte &= u8::try_from(0xff00u16 >> kept & 0xff).unwrap_or_default();
        }
        label
    }

    /// The longest label that both begin with.
    pub(super) fn shared(&self, other: &Label) -> Label {
        let pairs = self.bytes.iter().zip(&other.bytes);
        let differing = pairs.zip((0u16..).step_by(8)).find(|((one, other), _)| one != other);
        let equal = differing.map_or(KEY_BITS, |((one, other), at)| {
            at + u16::try_from((one ^ other).leading_zeros()).unwrap_or_default()
        });
        self.first(equal.min(other.bits))
    }

    /// Whether it begins with all of `start`.
    pub(super) fn starts_with(&self, start: &Label) -> bool {
        self.shared(start).bits == start.bits
    }

    /// Whether a node with this label is a branch on the way to `target`.
    pub(super) fn is_above(&self, target: &Label) -> bool {
        self.bits < target.bits && target.starts_with(self)
    }

    /// Where the node is kept in the index.
    pub(super) fn index_key(&self) -> Vec<u8> {
        keys::state_node(self.bits, self.used())
    }

    /// The bytes that hold its bits.
    fn used(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.bits.div_ceil(8))).unwrap_or(&self.bytes)
    }
}

impl BorshSerialize for Label {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        self.bits.serialize(writer)?;
        writer.write_all(self.used())
    }
}

impl BorshDeserialize for Label {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Label> {
        let bits = u16::deserialize_reader(reader)?;
        let mut bytes = [0; 64];
        let used = bytes
            .get_mut(..usize::from(bits.div_ceil(8)))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a label of more bits than a key"))?;
        reader.read_exact(used)?;
        let label = Label { bits, bytes };
        if label.first(bits) == label {
            Ok(label)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a label with bits past its end"))
        }
    }
}

/// A node as the one above it knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Link {
    pub(super) label: Label,
    pub(super) hash: NodeHash,
}

/// A branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Inner {
    pub(super) left: Link,
    pub(super) right: Link,
}

impl Inner {
    pub(super) fn child(&self, right: bool) -> Link {
        if right { self.right } else { self.left }
    }

    pub(super) fn with(self, right: bool, link: Link) -> Inner {
        if right { Inner { right: link, ..self } } else { Inner { left: link, ..self } }
    }

    pub(super) fn hash(&self, label: &Label) -> NodeHash {
        inner_hash(label, &self.left.hash, &self.right.hash)
    }

    /// Whether both children belong below `label`, each on its side.
    pub(super) fn is_below(&self, label: &Label) -> bool {
        let belongs = |link: &Link, right| label.is_above(&link.label) && link.label.bit(label.bits) == right;
        belongs(&self.left, false) && belongs(&self.right, true)
    }
}

/// Hash of the leaf at `key`, a label of all bits.
pub(super) fn leaf_hash(key: &Label, digest: &LeafDigest) -> NodeHash {
    NodeHash(tagged_hash("sealgate/state/leaf/1", &[&key.bytes, &digest.0]))
}

/// Hash of the branch at `label`.
pub(super) fn inner_hash(label: &Label, left: &NodeHash, right: &NodeHash) -> NodeHash {
    NodeHash(tagged_hash("sealgate/state/branch/1", &[&encode(label), &left.0, &right.0]))
}

/// The node over leaves of strictly ascending keys, computed from nothing else; `None` over none.
pub(super) fn build(leaves: &[(StateKey, LeafDigest)]) -> Option<Link> {
    let (first, last) = (leaves.first()?, leaves.last()?);
    let label = Label::of_key(&first.0).shared(&Label::of_key(&last.0));
    if label.bits == KEY_BITS {
        return Some(Link { label, hash: leaf_hash(&label, &first.1) });
    }
    let right = leaves.partition_point(|(key, _)| !Label::of_key(key).bit(label.bits));
    let (left, right) = leaves.split_at_checked(right)?;
    let (left, right) = (build(left)?, build(right)?);
    Some(Link { label, hash: inner_hash(&label, &left.hash, &right.hash) })
}
