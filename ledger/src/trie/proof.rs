//! Proofs of what stands in the state tree (docs/spec/state.md#proofs).

use std::fmt;
use std::io;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::node::{self, KEY_BITS, Label, NodeHash};
use super::{LeafDigest, StateKey, StatePrefix, empty_root};
use crate::codec::{decode, encode};
use crate::ids::StateRoot;

/// Most leaves that one proof lists.
pub const PREFIX_LEAVES_MAX: usize = 65_536;
/// Bytes of one step.
const STEP_BYTES: usize = 2 + 32;
/// Bytes of the largest node that ends a walk: that there is one, its mark, a label, two hashes.
const SHOWN_BYTES_MAX: usize = 1 + 1 + (2 + 64) + 2 * 32;
/// Most bytes of an encoded [`StateProof`].
pub const STATE_PROOF_BYTES_MAX: usize = 2 + KEY_BITS as usize * STEP_BYTES + SHOWN_BYTES_MAX;
/// Most bytes of an encoded [`PrefixProof`].
pub const PREFIX_PROOF_BYTES_MAX: usize = STATE_PROOF_BYTES_MAX + 5 + 64 * PREFIX_LEAVES_MAX;

/// Why a proof about the state does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateProofError {
    /// Not the bytes of a proof.
    #[error("this is no proof about the state: {0}")]
    Form(String),
    /// The proof is about something else than was asked.
    #[error("the proof does not answer what was asked: {0}")]
    Place(&'static str),
    /// The proof leads to another root.
    #[error("the proof leads to another state root: it is of another time, or of another ledger")]
    Root,
}

/// A branch that was passed on the way down: how many bits its label has, which are those of
/// what was asked, and the hash of the child not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Step {
    pub(super) bits: u16,
    pub(super) sibling: NodeHash,
}

/// The branches passed, from the root down.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Steps(Vec<Step>);

/// A node with everything that its hash covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Shown {
    Leaf { key: StateKey, digest: LeafDigest },
    Inner { label: Label, left: NodeHash, right: NodeHash },
}

/// What stands at one key, or that nothing does: the branches on the way there, and the node at
/// which it ends; none in an empty tree.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StateProof {
    steps: Steps,
    end: Option<Shown>,
}

/// The complete list of what stands under one prefix.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PrefixProof {
    steps: Steps,
    end: PrefixEnd,
}

#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
enum PrefixEnd {
    /// Nothing: the node at which the walk ends shows it.
    Nothing(Option<Shown>),
    /// These.
    Leaves(Listed),
}

/// Leaves under a prefix: what their keys have after it, ascending, and their digests.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed(Vec<([u8; 32], LeafDigest)>);

/// Checks that `proof` tells what stands at `key` in the tree of `root`: the digest there, or
/// that there is nothing.
///
/// # Errors
/// [`StateProofError::Place`], [`StateProofError::Root`].
pub fn verify(root: &StateRoot, key: &StateKey, proof: &StateProof) -> Result<Option<LeafDigest>, StateProofError> {
    let target = Label::of_key(key);
    match proof.end {
        Some(Shown::Leaf { key: found, digest }) if found == *key => {
            proof.steps.lead(root, &target, &target, node::leaf_hash(&target, &digest))?;
            Ok(Some(digest))
        }
        end => verify_nothing(root, &target, &proof.steps, end.as_ref()).map(|()| None),
    }
}

/// Checks that `proof` lists everything that stands under `prefix` in the tree of `root`, and
/// returns it in the order of the keys.
///
/// # Errors
/// [`StateProofError::Place`], [`StateProofError::Root`].
pub fn verify_prefix(
    root: &StateRoot,
    prefix: &StatePrefix,
    proof: &PrefixProof,
) -> Result<Vec<(StateKey, LeafDigest)>, StateProofError> {
    let target = Label::of_prefix(prefix);
    let listed = match &proof.end {
        PrefixEnd::Nothing(end) => {
            return verify_nothing(root, &target, &proof.steps, end.as_ref()).map(|()| Vec::new());
        }
        PrefixEnd::Leaves(listed) => &listed.0,
    };
    let ascending = listed.iter().zip(listed.iter().skip(1)).all(|((one, _), (next, _))| one < next);
    if listed.is_empty() || listed.len() > PREFIX_LEAVES_MAX || !ascending {
        return Err(StateProofError::Place("its leaves are none, too many, or not in order"));
    }
    let leaves: Vec<_> = listed.iter().map(|(rest, digest)| (prefix.with(*rest), *digest)).collect();
    let link = node::build(&leaves).ok_or(StateProofError::Place("its leaves are none"))?;
    proof.steps.lead(root, &target, &link.label, link.hash)?;
    Ok(leaves)
}

/// Checks that nothing stands under `target`: the walk ends at a node that keeps it from
/// standing anywhere.
fn verify_nothing(root: &StateRoot, target: &Label, steps: &Steps, end: Option<&Shown>) -> Result<(), StateProofError> {
    let Some(end) = end else {
        let place = StateProofError::Place("nothing is below a branch");
        return match (steps.0.is_empty(), *root == empty_root()) {
            (true, true) => Ok(()),
            (true, false) => Err(StateProofError::Root),
            (false, _) => Err(place),
        };
    };
    let (label, hash) = match end {
        Shown::Leaf { key, digest } => {
            let label = Label::of_key(key);
            (label, node::leaf_hash(&label, digest))
        }
        Shown::Inner { label, left, right } => (*label, node::inner_hash(label, left, right)),
    };
    if label.is_above(target) || label.starts_with(target) {
        return Err(StateProofError::Place("it ends at a node that may have below it what was asked"));
    }
    steps.lead(root, target, &label, hash)
}

impl Steps {
    /// Checks that the branches, all above `target`, lead from `root` to the node `label` with
    /// this hash.
    fn lead(&self, root: &StateRoot, target: &Label, label: &Label, mut hash: NodeHash) -> Result<(), StateProofError> {
        let mut depth = target.bits();
        if let Some(last) = self.0.last()
            && (last.bits >= label.bits() || !label.starts_with(&target.first(last.bits.saturating_add(1))))
        {
            return Err(StateProofError::Place("the node at its end does not belong there"));
        }
        for step in self.0.iter().rev() {
            if step.bits >= depth {
                return Err(StateProofError::Place("its branches are not in order"));
            }
            depth = step.bits;
            let branch = target.first(step.bits);
            hash = if target.bit(step.bits) {
                node::inner_hash(&branch, &step.sibling, &hash)
            } else {
                node::inner_hash(&branch, &hash, &step.sibling)
            };
        }
        if hash.0 == root.0 { Ok(()) } else { Err(StateProofError::Root) }
    }
}

impl StateProof {
    pub(super) fn new(steps: Vec<Step>, end: Option<Shown>) -> StateProof {
        StateProof { steps: Steps(steps), end }
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads canonical bytes, at most [`STATE_PROOF_BYTES_MAX`].
    ///
    /// # Errors
    /// [`StateProofError::Form`].
    pub fn decode(bytes: &[u8]) -> Result<StateProof, StateProofError> {
        read("proof of a key", bytes, STATE_PROOF_BYTES_MAX)
    }
}

impl PrefixProof {
    pub(super) fn nothing(steps: Vec<Step>, end: Option<Shown>) -> PrefixProof {
        PrefixProof { steps: Steps(steps), end: PrefixEnd::Nothing(end) }
    }

    pub(super) fn listing(steps: Vec<Step>, leaves: &[(StateKey, LeafDigest)]) -> PrefixProof {
        let rest = |(key, digest): &(StateKey, LeafDigest)| (key.0.last_chunk().copied().unwrap_or_default(), *digest);
        PrefixProof { steps: Steps(steps), end: PrefixEnd::Leaves(Listed(leaves.iter().map(rest).collect())) }
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads canonical bytes, at most [`PREFIX_PROOF_BYTES_MAX`].
    ///
    /// # Errors
    /// [`StateProofError::Form`].
    pub fn decode(bytes: &[u8]) -> Result<PrefixProof, StateProofError> {
        read("proof of a list", bytes, PREFIX_PROOF_BYTES_MAX)
    }
}

fn read<T: BorshSerialize + BorshDeserialize>(
    what: &'static str,
    bytes: &[u8],
    most: usize,
) -> Result<T, StateProofError> {
    if bytes.len() > most {
        return Err(StateProofError::Form(format!("it has {} bytes, more than {most}", bytes.len())));
    }
    decode(what, bytes).map_err(|error| StateProofError::Form(error.to_string()))
}

impl BorshSerialize for Steps {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        let count = u16::try_from(self.0.len()).map_err(|_| invalid("too many branches"))?;
        BorshSerialize::serialize(&count, writer)?;
        self.0.iter().try_for_each(|step| step.serialize(writer))
    }
}

impl BorshDeserialize for Steps {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Steps> {
        let count = u16::deserialize_reader(reader)?;
        if count > KEY_BITS {
            return Err(invalid("more branches than a key has bits"));
        }
        (0..count).map(|_| Step::deserialize_reader(reader)).collect::<io::Result<_>>().map(Steps)
    }
}

impl BorshSerialize for Listed {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        BorshSerialize::serialize(&self.0, writer)
    }
}

impl BorshDeserialize for Listed {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Listed> {
        let count = u32::deserialize_reader(reader)?;
        if usize::try_from(count).map_or(true, |count| count > PREFIX_LEAVES_MAX) {
            return Err(invalid("more leaves than a list may have"));
        }
        (0..count).map(|_| BorshDeserialize::deserialize_reader(reader)).collect::<io::Result<_>>().map(Listed)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Hexadecimal of the canonical bytes, in texts of bounded length.
macro_rules! text_form {
    ($name:ident, $most:expr) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&hex::encode(self.encode()))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <crate::codec::HexText as schemars::JsonSchema>::json_schema(generator)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let bytes = d.deserialize_str(Hexadecimal { most: $most })?;
                $name::decode(&bytes).map_err(D::Error::custom)
            }
        }
    };
}

text_form!(StateProof, STATE_PROOF_BYTES_MAX);
text_form!(PrefixProof, PREFIX_PROOF_BYTES_MAX);

/// Reads lower-case hexadecimal of at most so many bytes.
struct Hexadecimal {
    most: usize,
}

impl Visitor<'_> for Hexadecimal {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lower-case hexadecimal of at most {} bytes", self.most)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        let unexpected = || E::custom(format_args!("expected lower-case hexadecimal of at most {} bytes", self.most));
        if text.len() / 2 > self.most || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(unexpected());
        }
        hex::decode(text).map_err(|_| unexpected())
    }
}
