//! The tree's leaves in buckets, and the index that is its top (docs/spec/store.md#leaves).

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::{Place, TreeRoot};
use sealgate_circuits::tree::{Leaf, NodeHash, Subtree, branch, build};

/// Bytes of one entry.
pub(crate) const ENTRY_BYTES: usize = 108;
/// A bucket holds on average so many leaves to twice as many.
pub(crate) const BUCKET_LEAVES: u64 = 64;
/// Most bits that choose a group of buckets.
pub(crate) const GROUP_BITS: u8 = 8;
/// Most bits that choose a bucket.
const BUCKET_BITS_MAX: u8 = 30;
/// Buckets in one chunk of the index.
pub(crate) const INDEX_BUCKETS: usize = 1024;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(crate) struct RowPlace {
    /// Position in the version's list of segments.
    pub(crate) segment: u32,
    /// Row within the segment.
    pub(crate) index: u32,
}

impl RowPlace {
    /// Of the leaf that belongs to no record.
    pub(crate) const NONE: RowPlace = RowPlace { segment: u32::MAX, index: u32::MAX };
}

/// By what a sync knows a record again without opening it: keyed hashes of its key and of its
/// values (docs/spec/store.md#sync).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(crate) struct Tags {
    pub(crate) key: [u8; TAG_BYTES],
    pub(crate) row: [u8; TAG_BYTES],
}

/// Bytes of one tag.
pub(crate) const TAG_BYTES: usize = 16;

/// A leaf, where its record lies, which version last wrote it, and the record's tags: in borsh, the entry of
/// a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct LeafEntry {
    pub(crate) leaf: Leaf,
    pub(crate) row: RowPlace,
    pub(crate) written_version: u32,
    pub(crate) tags: Tags,
}

impl LeafEntry {
    /// Writes its [`ENTRY_BYTES`] behind what is there.
    pub(crate) fn encode_to(&self, bytes: &mut Vec<u8>) {
        // Memory takes everything.
        let _ = borsh::to_writer(bytes, self);
    }
}

/// Encodes a bucket's entries, one after the other.
pub(crate) fn encode_bucket(entries: &[LeafEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    entries.iter().for_each(|entry| entry.encode_to(&mut bytes));
    bytes
}

/// Reads entries back; `None` unless there are only whole ones.
pub(crate) fn decode_entries(bytes: &[u8]) -> Option<Vec<LeafEntry>> {
    let (entries, []) = bytes.as_chunks::<ENTRY_BYTES>() else { return None };
    entries.iter().map(|entry| LeafEntry::try_from_slice(entry).ok()).collect()
}

/// Reads a bucket back; `None` unless it is whole entries in strictly ascending places.
pub(crate) fn decode_bucket(bytes: &[u8]) -> Option<Vec<LeafEntry>> {
    decode_entries(bytes).filter(|entries| entries.is_sorted_by(|a, b| a.leaf.place < b.leaf.place))
}

/// The leaves of entries, in their order.
pub(crate) fn leaves_of(entries: &[LeafEntry]) -> Vec<Leaf> {
    entries.iter().map(|entry| entry.leaf).collect()
}

/// Bits that choose a bucket when there are so many records.
pub(crate) fn bucket_bits(records: u64) -> u8 {
    let bits = (records / BUCKET_LEAVES).checked_ilog2().unwrap_or(0);
    u8::try_from(bits).unwrap_or(u8::MAX).min(BUCKET_BITS_MAX)
}

/// The bucket of a place: its first `bits` bits, at most 32.
pub(crate) fn bucket_of(place: &Place, bits: u8) -> u32 {
    (0..usize::from(bits)).fold(0, |number, depth| (number << 1) | u32::from(branch(place, depth)))
}

/// What the index says of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct BucketEntry {
    pub(crate) subtree: Subtree,
    pub(crate) leaves: u32,
    /// Offset of its chunk in its group's object.
    pub(crate) offset: u64,
    /// Bytes of its chunk.
    pub(crate) bytes: u32,
}

/// Splits sorted entries of one group into its buckets.
pub(crate) fn split_group(sorted: &[LeafEntry], group: u32, bits: u8) -> Vec<&[LeafEntry]> {
    let per_group = buckets_per_group(bits);
    let first = group * per_group;
    let mut rest = sorted;
    let mut buckets = Vec::new();
    for bucket in first..first + per_group {
        let (here, after) = rest.split_at(rest.partition_point(|e| bucket_of(&e.leaf.place, bits) <= bucket));
        buckets.push(here);
        rest = after;
    }
    buckets
}

/// Buckets in each group's object.
pub(crate) fn buckets_per_group(bits: u8) -> u32 {
    1 << (bits - bits.min(GROUP_BITS))
}

/// Groups in all.
pub(crate) fn groups(bits: u8) -> u32 {
    1 << bits.min(GROUP_BITS)
}

/// The subtree of one bucket.
pub(crate) fn subtree_of(entries: &[LeafEntry], bits: u8) -> Subtree {
    build(&leaves_of(entries), usize::from(bits))
}

/// The tree above the buckets: `levels[d]` holds the 2^d nodes at depth d.
pub(crate) struct TreeTop {
    levels: Vec<Vec<Subtree>>,
}

/// Where a walk from the root ends, within the top or at a bucket.
pub(crate) struct TopPath {
    /// Siblings from the root down.
    pub(crate) siblings: Vec<NodeHash>,
    /// The bucket to be read: the place's own, or the one that holds the lone leaf at the end.
    pub(crate) bucket: u32,
    /// The node at which the walk ended above the buckets.
    pub(crate) end: Option<Subtree>,
}

impl TreeTop {
    /// Computes every level above the buckets' subtrees, of which there are a power of two.
    pub(crate) fn new(buckets: Vec<Subtree>) -> Self {
        let mut levels = vec![buckets];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let (pairs, _) = below.as_chunks::<2>();
            levels.push(pairs.iter().map(|[left, right]| Subtree::combine(*left, *right)).collect());
        }
        levels.reverse();
        Self { levels }
    }

    pub(crate) fn root(&self) -> TreeRoot {
        self.node(0, 0).root()
    }

    /// Walks towards `place`.
    pub(crate) fn walk(&self, place: &Place) -> TopPath {
        let bits = u8::try_from(self.levels.len().saturating_sub(1)).unwrap_or(u8::MAX);
        let own = bucket_of(place, bits);
        let mut siblings = Vec::new();
        for depth in 0..bits {
            let node = own >> (bits - depth);
            let subtree = self.node(depth, node);
            match subtree {
                Subtree::Inner(_) => {
                    siblings.push(NodeHash(self.node(depth + 1, (own >> (bits - depth - 1)) ^ 1).hash()))
                }
                Subtree::Empty => return TopPath { siblings, bucket: own, end: Some(subtree) },
                Subtree::Leaf(_) => {
                    return TopPath { siblings, bucket: self.lone_bucket(depth, node, bits), end: Some(subtree) };
                }
            }
        }
        TopPath { siblings, bucket: own, end: None }
    }

    /// The bucket to which one comes by the target's branches, or by the other one where that side is
    /// empty.
    pub(crate) fn nearest(&self, target: &Place) -> u32 {
        let bits = u8::try_from(self.levels.len().saturating_sub(1)).unwrap_or(u8::MAX);
        (0..bits).fold(0, |node, depth| {
            let towards = (node << 1) | u32::from(branch(target, usize::from(depth)));
            if self.node(depth + 1, towards) == Subtree::Empty { towards ^ 1 } else { towards }
        })
    }

    /// The one bucket under a node that is not empty.
    fn lone_bucket(&self, depth: u8, node: u32, bits: u8) -> u32 {
        (depth..bits).fold(node, |node, depth| {
            let left = node << 1;
            left | u32::from(self.node(depth + 1, left) == Subtree::Empty)
        })
    }

    fn node(&self, depth: u8, node: u32) -> Subtree {
        let level = self.levels.get(usize::from(depth));
        let found = usize::try_from(node).ok().and_then(|node| level?.get(node));
        found.copied().unwrap_or(Subtree::Empty)
    }
}
