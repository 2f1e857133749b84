//! The prefix tree over a version's record commitments (docs/spec/tree.md). A key has one place;
//! a leaf stands at the shallowest depth at which it is alone, so that a path ends either in the
//! key's leaf (present), in an empty place, or in another key's leaf (absent).

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::byte_newtype;
use crate::bytes::{Place, TreeRoot};
use crate::record::RecordCommitment;

/// Longest path: places have 256 bits.
pub const DEPTH_MAX: usize = 256;

const EMPTY: u8 = 0x00;
const LEAF: u8 = 0x01;
const INNER: u8 = 0x02;
const DOMAIN: &[u8] = b"sealgate/tree/1";

byte_newtype!(
    /// The hash of a node of the tree.
    NodeHash, 32, "node hash"
);

/// One record's leaf.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
pub struct Leaf {
    /// The place of its key.
    pub place: Place,
    /// The commitment to the record.
    pub commitment: RecordCommitment,
}

/// What stands at a node: nothing, one leaf, or at least two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Subtree {
    /// No record has this prefix.
    Empty,
    /// Exactly one; its leaf's hash.
    Leaf([u8; 32]),
    /// Two or more; the node's hash.
    Inner([u8; 32]),
}

impl Subtree {
    /// The subtree of one leaf.
    pub fn of_leaf(leaf: &Leaf) -> Subtree {
        let hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update([LEAF])
            .chain_update(leaf.place.0)
            .chain_update(leaf.commitment.0);
        Subtree::Leaf(hash.finalize().into())
    }

    /// The node above two: a lone leaf moves up.
    pub fn combine(left: Subtree, right: Subtree) -> Subtree {
        match (left, right) {
            (Subtree::Empty, Subtree::Empty) => Subtree::Empty,
            (Subtree::Leaf(hash), Subtree::Empty) | (Subtree::Empty, Subtree::Leaf(hash)) => Subtree::Leaf(hash),
            _ => Subtree::Inner(inner_hash(&left.hash(), &right.hash())),
        }
    }

    /// The node's hash; kinds are domain-separated.
    pub fn hash(&self) -> [u8; 32] {
        match self {
            Subtree::Empty => Sha256::new().chain_update(DOMAIN).chain_update([EMPTY]).finalize().into(),
            Subtree::Leaf(hash) | Subtree::Inner(hash) => *hash,
        }
    }

    /// This node's hash as the root of a version's tree.
    pub fn root(&self) -> TreeRoot {
        TreeRoot(self.hash())
    }
}

fn inner_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(DOMAIN).chain_update([INNER]).chain_update(left).chain_update(right);
    hash.finalize().into()
}

/// The branch that `place` takes at `depth`; 0 is the left one.
pub fn branch(place: &Place, depth: usize) -> bool {
    place.0.get(depth / 8).is_some_and(|byte| (byte >> (7 - depth % 8)) & 1 == 1)
}

fn split(sorted: &[Leaf], depth: usize) -> (&[Leaf], &[Leaf]) {
    sorted.split_at(sorted.partition_point(|leaf| !branch(&leaf.place, depth)))
}

/// The subtree of leaves sorted by place that share their first `depth` bits. Places are distinct;
/// of equal ones the first alone is kept.
pub fn build(sorted: &[Leaf], depth: usize) -> Subtree {
    match sorted {
        [] => Subtree::Empty,
        [only] => Subtree::of_leaf(only),
        [first, ..] if depth >= DEPTH_MAX => Subtree::of_leaf(first),
        several => {
            let (left, right) = split(several, depth);
            Subtree::combine(build(left, depth + 1), build(right, depth + 1))
        }
    }
}

/// Where a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub enum PathEnd {
    /// Nothing has this prefix.
    Empty,
    /// A leaf stands here: the key's own, or another's.
    Leaf(Leaf),
}

/// The way from the root to a key's place.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Path {
    /// Hash of the other child at each depth, from the root down; at most [`DEPTH_MAX`].
    pub siblings: Vec<NodeHash>,
    /// What stands at the end.
    pub end: PathEnd,
}

/// Why a path proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// More siblings than a place has bits.
    #[error("the path is {0} nodes long; a place has {DEPTH_MAX} bits")]
    TooLong(usize),
    /// The leaf at the end belongs elsewhere.
    #[error("the leaf at the end of the path does not belong on it")]
    Misplaced,
    /// The path leads to another root.
    #[error("the path leads to root {found}, not to the registered root {expected}")]
    Root {
        /// The root the ledger has.
        expected: TreeRoot,
        /// The root the path gives.
        found: TreeRoot,
    },
}

/// The siblings from `depth` downward, and the end, for `place` among leaves sorted by place that
/// share their first `depth` bits with it.
pub fn path_within(sorted: &[Leaf], mut depth: usize, place: &Place) -> (Vec<NodeHash>, PathEnd) {
    let mut siblings = Vec::new();
    let mut here = sorted;
    loop {
        match here {
            [] => return (siblings, PathEnd::Empty),
            [only] => return (siblings, PathEnd::Leaf(*only)),
            several => {
                let (left, right) = split(several, depth);
                depth += 1;
                let (next, other) = if branch(place, depth - 1) { (right, left) } else { (left, right) };
                siblings.push(NodeHash(build(other, depth).hash()));
                here = next;
            }
        }
    }
}

impl Path {
    /// Checks that this is the path of `place` in the tree with `root`. Returns the commitment at
    /// the place, or `None` when the path proves that no record is there.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn verify(&self, root: &TreeRoot, place: &Place) -> Result<Option<RecordCommitment>, PathError> {
        if self.siblings.len() > DEPTH_MAX {
            return Err(PathError::TooLong(self.siblings.len()));
        }
        let (mut hash, found) = match &self.end {
            PathEnd::Empty => (Subtree::Empty.hash(), None),
            PathEnd::Leaf(leaf) => {
                let shares = (0..self.siblings.len()).all(|depth| branch(&leaf.place, depth) == branch(place, depth));
                if !shares {
                    return Err(PathError::Misplaced);
                }
                (Subtree::of_leaf(leaf).hash(), (leaf.place == *place).then_some(leaf.commitment))
            }
        };
        for (depth, sibling) in self.siblings.iter().enumerate().rev() {
            hash = if branch(place, depth) { inner_hash(&sibling.0, &hash) } else { inner_hash(&hash, &sibling.0) };
        }
        if hash == root.0 { Ok(found) } else { Err(PathError::Root { expected: *root, found: TreeRoot(hash) }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::tagged_hash;
    use proptest::prelude::*;

    fn leaves(n: u64) -> Vec<Leaf> {
        let leaf = |i: u64| Leaf {
            place: Place(tagged_hash("test place", &[&i.to_le_bytes()])),
            commitment: RecordCommitment(tagged_hash("test commitment", &[&i.to_le_bytes()])),
        };
        let mut leaves: Vec<Leaf> = (0..n).map(leaf).collect();
        leaves.sort();
        leaves
    }

    fn path(leaves: &[Leaf], place: &Place) -> Path {
        let (siblings, end) = path_within(leaves, 0, place);
        Path { siblings, end }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn presence_and_absence_are_both_proven(n in 0u64..200, probe in any::<u64>()) {
            let leaves = leaves(n);
            let root = build(&leaves, 0).root();
            for leaf in &leaves {
                prop_assert_eq!(path(&leaves, &leaf.place).verify(&root, &leaf.place), Ok(Some(leaf.commitment)));
            }
            let absent = Place(tagged_hash("absent", &[&probe.to_le_bytes()]));
            prop_assert_eq!(path(&leaves, &absent).verify(&root, &absent), Ok(None));
        }

        #[test]
        fn a_lie_about_one_key_needs_another_root(n in 2u64..100, pick in any::<prop::sample::Index>()) {
            let leaves = leaves(n);
            let root = build(&leaves, 0).root();
            let leaf = leaves[pick.index(leaves.len())];
            let mut without = leaves.clone();
            without.retain(|l| *l != leaf);
            // Absence shown from a tree without the record, presence from one with another commitment.
            let lie = path(&without, &leaf.place).verify(&root, &leaf.place);
            let another_root = matches!(lie, Err(PathError::Root { .. }));
            prop_assert!(another_root);
            let mut honest = path(&leaves, &leaf.place);
            honest.end = PathEnd::Empty;
            prop_assert!(honest.verify(&root, &leaf.place).is_err());
            // Every shorter path, which would stop at an inner node.
            let mut short = path(&leaves, &leaf.place);
            while short.siblings.pop().is_some() {
                prop_assert!(short.verify(&root, &leaf.place).is_err());
            }
            // Another key's leaf cannot stand where it does not belong.
            for other in leaves.iter().filter(|l| **l != leaf) {
                let path = Path { end: PathEnd::Leaf(*other), ..path(&leaves, &leaf.place) };
                prop_assert!(path.verify(&root, &leaf.place).is_err());
            }
        }
    }

    #[test]
    fn too_long_a_path_is_refused() {
        let place = Place([0; 32]);
        let path = Path { siblings: vec![NodeHash([0; 32]); 257], end: PathEnd::Empty };
        assert_eq!(path.verify(&TreeRoot([0; 32]), &place), Err(PathError::TooLong(257)));
    }

    #[test]
    fn subtrees_combine_as_the_whole_builds() {
        let leaves = leaves(50);
        let (left, right) = split(&leaves, 0);
        assert_eq!(Subtree::combine(build(left, 1), build(right, 1)), build(&leaves, 0));
    }
}
