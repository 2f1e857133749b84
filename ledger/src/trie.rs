//! The state tree: a path-compressed binary prefix tree over what light clients ask about, so
//! that one checkpoint proves what stands on the ledger and what does not (docs/spec/state.md).

use borsh::BorshSerialize;
use sealgate_circuits::byte_newtype;
use sealgate_circuits::bytes::tagged_hash;

use crate::codec::encode;
use crate::ids::{Address, AssetId, StateRoot};
use crate::index::{IndexError, Read, Write, load};
use crate::state::keys;

mod node;
mod proof;

use node::{Inner, Label, Link};
pub use proof::{
    PREFIX_LEAVES_MAX, PREFIX_PROOF_BYTES_MAX, PrefixProof, STATE_PROOF_BYTES_MAX, StateProof, StateProofError, verify,
    verify_prefix,
};

byte_newtype!(
    /// Place of a value in the state tree: 512 bits, the highest of the first byte is the first
    /// branch.
    StateKey, 64, "state key"
);
byte_newtype!(
    /// The first half of a state key: what belongs together has it in common.
    StatePrefix, 32, "state prefix"
);
byte_newtype!(
    /// Hash of a value of the state.
    LeafDigest, 32, "leaf digest"
);

impl StatePrefix {
    /// An asset: its contract and its whole authorization list.
    pub fn asset(asset: &AssetId) -> StatePrefix {
        StatePrefix(asset.0)
    }

    /// All accounts.
    pub fn accounts() -> StatePrefix {
        StatePrefix(tagged_hash("sealgate/state/accounts/1", &[]))
    }

    /// All small texts.
    pub fn texts() -> StatePrefix {
        StatePrefix(tagged_hash("sealgate/state/texts/1", &[]))
    }

    fn members() -> StatePrefix {
        StatePrefix(tagged_hash("sealgate/state/members/1", &[]))
    }

    fn policy() -> StatePrefix {
        StatePrefix(tagged_hash("sealgate/state/policy/1", &[]))
    }

    /// The key that ends in `rest`.
    fn with(self, rest: [u8; 32]) -> StateKey {
        let mut key = [0; 64];
        key.iter_mut().zip(self.0.iter().chain(&rest)).for_each(|(to, from)| *to = *from);
        StateKey(key)
    }
}

impl StateKey {
    /// An asset's contract.
    pub fn contract(asset: &AssetId) -> StateKey {
        StatePrefix::asset(asset).with([0; 32])
    }

    /// What an asset's owner granted to an address. The address is hashed because a grant may
    /// name any 32 bytes, the contract's zeros included.
    pub fn grant(asset: &AssetId, to: &Address) -> StateKey {
        StatePrefix::asset(asset).with(tagged_hash("sealgate/state/grant/1", &[&to.0]))
    }

    /// An account.
    pub fn account(address: &Address) -> StateKey {
        StatePrefix::accounts().with(address.0)
    }

    /// A small text.
    pub fn text(id: &AssetId) -> StateKey {
        StatePrefix::texts().with(id.0)
    }

    /// The set of members.
    pub fn members() -> StateKey {
        StatePrefix::members().with([0; 32])
    }

    /// The ledger's policy and parameters.
    pub fn policy() -> StateKey {
        StatePrefix::policy().with([0; 32])
    }
}

impl LeafDigest {
    /// The digest of a value.
    pub fn of<T: BorshSerialize + ?Sized>(value: &T) -> LeafDigest {
        LeafDigest(tagged_hash("sealgate/state/value/1", &[&encode(value)]))
    }
}

/// Root of the tree without leaves.
pub fn empty_root() -> StateRoot {
    StateRoot(tagged_hash("sealgate/state/empty/1", &[]))
}

/// Root of the tree in `state`.
///
/// # Errors
/// [`IndexError`].
pub fn root<R: Read + ?Sized>(state: &R) -> Result<StateRoot, IndexError> {
    Ok(top(state)?.map_or_else(empty_root, |link| StateRoot(link.hash.0)))
}

/// Sets the leaf at `key`, or removes it. Reads and writes one node a level of the tree; the
/// root depends on the leaves only, not on how they came.
///
/// # Errors
/// [`IndexError`]; then nothing has been written.
pub fn put<S: Write + ?Sized>(state: &mut S, key: &StateKey, value: Option<LeafDigest>) -> Result<(), IndexError> {
    let target = Label::of_key(key);
    let (above, end) = descend(state, &target)?;
    let mut child = match (end, value) {
        (None, None) => return Ok(()),
        (Some(end), None) if end.label != target => return Ok(()),
        (Some(_), None) => {
            state.write(target.index_key(), None);
            None
        }
        (end, Some(digest)) => {
            let leaf = Link { label: target, hash: node::leaf_hash(&target, &digest) };
            state.write(target.index_key(), Some(encode(&digest)));
            match end.filter(|end| end.label != target) {
                Some(end) => Some(branch(state, leaf, end)),
                None => Some(leaf),
            }
        }
    };
    for (label, inner) in above.into_iter().rev() {
        let right = target.bit(label.bits());
        child = Some(match child {
            Some(link) => write_inner(state, label, inner.with(right, link)),
            None => {
                // A node that has lost a child is no branch: its other child takes its place.
                state.write(label.index_key(), None);
                inner.child(!right)
            }
        });
    }
    state.write(keys::state_root(), child.map(|link| encode(&link)));
    Ok(())
}

/// Proves what stands at `key`, or that nothing does.
///
/// # Errors
/// [`IndexError`].
pub fn prove<R: Read + ?Sized>(state: &R, key: &StateKey) -> Result<StateProof, IndexError> {
    let target = Label::of_key(key);
    let (above, end) = descend(state, &target)?;
    let end = end.map(|link| shown(state, &link)).transpose()?;
    Ok(StateProof::new(steps(&target, &above), end))
}

/// Proves everything that stands under `prefix`; `None` when that is more than
/// [`PREFIX_LEAVES_MAX`] leaves.
///
/// # Errors
/// [`IndexError`].
pub fn prove_prefix<R: Read + ?Sized>(state: &R, prefix: &StatePrefix) -> Result<Option<PrefixProof>, IndexError> {
    let target = Label::of_prefix(prefix);
    let (above, end) = descend(state, &target)?;
    let steps = steps(&target, &above);
    match end {
        Some(link) if link.label.starts_with(&target) => {
            Ok(leaves(state, link, PREFIX_LEAVES_MAX)?.map(|leaves| PrefixProof::listing(steps, &leaves)))
        }
        end => Ok(Some(PrefixProof::nothing(steps, end.map(|link| shown(state, &link)).transpose()?))),
    }
}

/// An inner node and its label.
type Passed = (Label, Inner);

/// The nodes above `target`, from the root down, and where the walk ends: at a node that is not
/// above it, or at once in an empty tree.
fn descend<R: Read + ?Sized>(state: &R, target: &Label) -> Result<(Vec<Passed>, Option<Link>), IndexError> {
    let (mut above, mut at) = (Vec::new(), top(state)?);
    while let Some(link) = at
        && link.label.is_above(target)
    {
        let inner = read_inner(state, &link.label)?;
        above.push((link.label, inner));
        at = Some(inner.child(target.bit(link.label.bits())));
    }
    Ok((above, at))
}

/// A key and what stands there.
type Leaf = (StateKey, LeafDigest);

/// The leaves below a link, in order; `None` when there are more than `most`.
fn leaves<R: Read + ?Sized>(state: &R, from: Link, most: usize) -> Result<Option<Vec<Leaf>>, IndexError> {
    let (mut found, mut waiting) = (Vec::new(), vec![from]);
    while let Some(link) = waiting.pop() {
        if found.len() + waiting.len() >= most {
            return Ok(None);
        }
        match link.label.key() {
            Some(key) => found.push((key, read_leaf(state, &link.label)?)),
            None => {
                let inner = read_inner(state, &link.label)?;
                waiting.extend([inner.child(true), inner.child(false)]);
            }
        }
    }
    Ok(Some(found))
}

/// Puts the branch between two nodes, neither above the other.
fn branch<S: Write + ?Sized>(state: &mut S, one: Link, other: Link) -> Link {
    let label = one.label.shared(&other.label);
    let (left, right) = if one.label.bit(label.bits()) { (other, one) } else { (one, other) };
    write_inner(state, label, Inner { left, right })
}

fn write_inner<S: Write + ?Sized>(state: &mut S, label: Label, inner: Inner) -> Link {
    state.write(label.index_key(), Some(encode(&inner)));
    Link { label, hash: inner.hash(&label) }
}

fn top<R: Read + ?Sized>(state: &R) -> Result<Option<Link>, IndexError> {
    load(state, &keys::state_root())
}

fn read_leaf<R: Read + ?Sized>(state: &R, label: &Label) -> Result<LeafDigest, IndexError> {
    let key = label.index_key();
    load(state, &key)?.ok_or_else(|| IndexError::value(&key, "a leaf of the state tree is missing"))
}

fn read_inner<R: Read + ?Sized>(state: &R, label: &Label) -> Result<Inner, IndexError> {
    let key = label.index_key();
    load::<Inner, R>(state, &key)?
        .filter(|inner| inner.is_below(label))
        .ok_or_else(|| IndexError::value(&key, "a node of the state tree is missing or out of place"))
}

/// The node at the end of a walk, as a proof shows it.
fn shown<R: Read + ?Sized>(state: &R, link: &Link) -> Result<proof::Shown, IndexError> {
    Ok(match link.label.key() {
        Some(key) => proof::Shown::Leaf { key, digest: read_leaf(state, &link.label)? },
        None => {
            let inner = read_inner(state, &link.label)?;
            proof::Shown::Inner { label: link.label, left: inner.left.hash, right: inner.right.hash }
        }
    })
}

fn steps(target: &Label, above: &[Passed]) -> Vec<proof::Step> {
    let step = |(label, inner): &Passed| {
        let bits = label.bits();
        proof::Step { bits, sibling: inner.child(!target.bit(bits)).hash }
    };
    above.iter().map(step).collect()
}

#[cfg(test)]
mod tests;
