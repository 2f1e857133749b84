//! The tree over all entries: RFC 6962 hashing, RFC 9162 proofs, stored in tiles so that
//! appending and proving touch O(log n) of them (docs/spec/ledger.md#merkle-tree).

use sealgate_circuits::byte_newtype;
use sha2::{Digest as _, Sha256};

use crate::ids::LogRoot;

/// Hashes in a full tile. A tile at level `t` holds the hashes of complete subtrees of
/// `TILE_WIDTH`^t leaves.
pub const TILE_WIDTH: u64 = 16;
/// Levels of the tree that one level of tiles spans.
const TILE_HEIGHT: u32 = 4;
/// Longest proof there can be: one hash a level of a tree of 2^64 leaves, and the start.
pub const PROOF_HASHES_MAX: usize = 65;

byte_newtype!(
    /// Hash of a leaf or node of the tree.
    NodeHash, 32, "tree hash"
);

/// Where the tiles are kept.
pub trait Tiles {
    /// What can go wrong when reading or writing.
    type Error;

    /// The hashes of tile `index` at level `level`, in order; none when it was never written.
    ///
    /// # Errors
    /// Whatever the storage reports.
    fn tile(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, Self::Error>;

    /// Reports that the tiles lack what a tree of the stated size must have.
    fn missing(&self, level: u8, index: u64) -> Self::Error;
}

/// Tiles that can be written.
pub trait TilesMut: Tiles {
    /// Replaces a tile.
    fn put_tile(&mut self, level: u8, index: u64, hashes: &[NodeHash]);
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The position or size asked about lies outside the tree.
    #[error("the tree has {size} entries; {asked} is not among them")]
    OutOfRange {
        /// What was asked for.
        asked: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The proof has too few or too many hashes.
    #[error("the proof has {found} hashes, which no proof in this tree has")]
    Length {
        /// How many there are.
        found: usize,
    },
    /// The proof leads to another root.
    #[error("the proof leads to another root: what it speaks of is not in that tree")]
    Root,
}

/// Root of the tree without leaves: SHA-256 of nothing (RFC 9162, section 2.1.1).
pub fn empty_root() -> LogRoot {
    LogRoot(Sha256::digest([]).into())
}

/// Hash of a leaf (RFC 9162, section 2.1.1).
pub fn leaf_hash(bytes: &[u8]) -> NodeHash {
    NodeHash(Sha256::new().chain_update([0]).chain_update(bytes).finalize().into())
}

fn node_hash(left: &NodeHash, right: &NodeHash) -> NodeHash {
    NodeHash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// Appends one leaf to a tree of `size` leaves.
///
/// # Errors
/// What the tiles report.
pub fn append<T: TilesMut>(tiles: &mut T, size: u64, leaf: NodeHash) -> Result<(), T::Error> {
    let (mut hash, mut position, mut level) = (leaf, size, 0u8);
    loop {
        let index = position / TILE_WIDTH;
        let mut tile = tiles.tile(level, index)?;
        if tile.len() as u64 != position % TILE_WIDTH {
            return Err(tiles.missing(level, index));
        }
        tile.push(hash);
        tiles.put_tile(level, index, &tile);
        if tile.len() as u64 != TILE_WIDTH {
            return Ok(());
        }
        hash = fold_complete(tile).ok_or_else(|| tiles.missing(level, index))?;
        position = index;
        level += 1;
    }
}

/// Root of the first `size` leaves.
///
/// # Errors
/// What the tiles report.
pub fn root<T: Tiles>(tiles: &T, size: u64) -> Result<LogRoot, T::Error> {
    if size == 0 {
        return Ok(empty_root());
    }
    range(tiles, 0, size).map(|hash| LogRoot(hash.0))
}

/// The path that proves leaf `index` in the tree of the first `size` leaves (RFC 9162, section
/// 2.1.3.1); `None` when `index` is outside.
///
/// # Errors
/// What the tiles report.
pub fn prove_inclusion<T: Tiles>(tiles: &T, index: u64, size: u64) -> Result<Option<Vec<NodeHash>>, T::Error> {
    if index >= size {
        return Ok(None);
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range(tiles, middle, end)?);
            end = middle;
        } else {
            path.push(range(tiles, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// The proof that the tree of `old` leaves is a prefix of the tree of `new` (RFC 9162, section
/// 2.1.4.1). Empty when `old` is 0 or equals `new`; `None` when `old` is larger.
///
/// # Errors
/// What the tiles report.
pub fn prove_consistency<T: Tiles>(tiles: &T, old: u64, new: u64) -> Result<Option<Vec<NodeHash>>, T::Error> {
    if old > new {
        return Ok(None);
    }
    let (mut start, mut end) = (0, new);
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(Some(proof));
    }
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(range(tiles, middle, end)?);
            end = middle;
        } else {
            proof.push(range(tiles, start, middle)?);
            start = middle;
        }
    }
    if start != 0 {
        proof.push(range(tiles, start, end)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// Checks that `leaf` stands at `index` in the tree with `size` leaves and `root`
/// (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    leaf: NodeHash,
    index: u64,
    size: u64,
    path: &[NodeHash],
    root: &LogRoot,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { asked: index, size });
    }
    let (mut fnode, mut snode, mut hash) = (index, size - 1, leaf);
    for step in path {
        if snode == 0 {
            return Err(ProofError::Length { found: path.len() });
        }
        if fnode & 1 == 1 || fnode == snode {
            hash = node_hash(step, &hash);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    if snode != 0 {
        return Err(ProofError::Length { found: path.len() });
    }
    if hash.0 == root.0 { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree (`old`, `old_root`) is a prefix of the tree (`new`, `new_root`)
/// (RFC 9162, section 2.1.4.2; the empty tree is a prefix of every tree).
///
/// # Errors
/// [`ProofError`].
pub fn verify_consistency(
    old: u64,
    old_root: &LogRoot,
    new: u64,
    new_root: &LogRoot,
    proof: &[NodeHash],
) -> Result<(), ProofError> {
    let length = ProofError::Length { found: proof.len() };
    if old > new {
        return Err(ProofError::OutOfRange { asked: old, size: new });
    }
    if old == 0 || old == new {
        let same = if old == 0 { *old_root == empty_root() } else { old_root == new_root };
        return match (proof.is_empty(), same) {
            (false, _) => Err(length),
            (true, true) => Ok(()),
            (true, false) => Err(ProofError::Root),
        };
    }
    let old_node = NodeHash(old_root.0);
    let mut steps = proof.iter();
    let first = if old.is_power_of_two() { &old_node } else { steps.next().ok_or(length)? };
    let (mut fnode, mut snode) = (old - 1, new - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for step in steps {
        if snode == 0 {
            return Err(length);
        }
        if fnode & 1 == 1 || fnode == snode {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    if snode != 0 {
        return Err(length);
    }
    if old_hash.0 == old_root.0 && new_hash.0 == new_root.0 { Ok(()) } else { Err(ProofError::Root) }
}

/// The largest power of two smaller than `n`, for n > 1.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// Hash of the leaves from `start` to before `end`, a range as the RFC's recursion cuts them:
/// `start` is a multiple of the power of two that holds the range.
fn range<T: Tiles>(tiles: &T, start: u64, end: u64) -> Result<NodeHash, T::Error> {
    let n = end - start;
    if n.is_power_of_two() {
        return complete(tiles, n.trailing_zeros(), start);
    }
    let middle = start + split(n);
    Ok(node_hash(&range(tiles, start, middle)?, &range(tiles, middle, end)?))
}

/// Hash of the complete subtree of 2^`height` leaves that begins at leaf `start`.
fn complete<T: Tiles>(tiles: &T, height: u32, start: u64) -> Result<NodeHash, T::Error> {
    let level = u8::try_from(height / TILE_HEIGHT).unwrap_or(u8::MAX);
    let first = start >> (height - height % TILE_HEIGHT);
    let count = 1usize << (height % TILE_HEIGHT);
    let tile = tiles.tile(level, first / TILE_WIDTH)?;
    let skip = usize::try_from(first % TILE_WIDTH).unwrap_or(usize::MAX);
    let hashes: Vec<NodeHash> = tile.into_iter().skip(skip).take(count).collect();
    let found = hashes.len();
    fold_complete(hashes).filter(|_| found == count).ok_or_else(|| tiles.missing(level, first / TILE_WIDTH))
}

/// Root over a power of two of hashes; `None` when there are none.
fn fold_complete(mut hashes: Vec<NodeHash>) -> Option<NodeHash> {
    while hashes.len() > 1 {
        hashes = hashes
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                _ => None,
            })
            .collect();
    }
    hashes.pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Memory(BTreeMap<(u8, u64), Vec<NodeHash>>);

    impl Tiles for Memory {
        type Error = String;
        fn tile(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, String> {
            Ok(self.0.get(&(level, index)).cloned().unwrap_or_default())
        }
        fn missing(&self, level: u8, index: u64) -> String {
            format!("tile {level}/{index}")
        }
    }

    impl TilesMut for Memory {
        fn put_tile(&mut self, level: u8, index: u64, hashes: &[NodeHash]) {
            self.0.insert((level, index), hashes.to_vec());
        }
    }

    fn naive(leaves: &[NodeHash]) -> NodeHash {
        match leaves {
            [] => NodeHash(empty_root().0),
            [one] => *one,
            more => {
                let mut k = 1;
                while k * 2 < more.len() {
                    k *= 2;
                }
                node_hash(&naive(&more[..k]), &naive(&more[k..]))
            }
        }
    }

    fn naive_path(m: usize, leaves: &[NodeHash]) -> Vec<NodeHash> {
        if leaves.len() <= 1 {
            return vec![];
        }
        let mut k = 1;
        while k * 2 < leaves.len() {
            k *= 2;
        }
        let (mut path, other) = if m < k {
            (naive_path(m, &leaves[..k]), naive(&leaves[k..]))
        } else {
            (naive_path(m - k, &leaves[k..]), naive(&leaves[..k]))
        };
        path.push(other);
        path
    }

    fn naive_subproof(m: usize, leaves: &[NodeHash], whole: bool) -> Vec<NodeHash> {
        if m == leaves.len() {
            return if whole { vec![] } else { vec![naive(leaves)] };
        }
        let mut k = 1;
        while k * 2 < leaves.len() {
            k *= 2;
        }
        let (mut proof, other) = if m <= k {
            (naive_subproof(m, &leaves[..k], whole), naive(&leaves[k..]))
        } else {
            (naive_subproof(m - k, &leaves[k..], false), naive(&leaves[..k]))
        };
        proof.push(other);
        proof
    }

    fn tree(n: u64) -> (Memory, Vec<NodeHash>) {
        let mut tiles = Memory::default();
        let leaves: Vec<NodeHash> = (0..n).map(|i| leaf_hash(&i.to_le_bytes())).collect();
        for (i, leaf) in leaves.iter().enumerate() {
            append(&mut tiles, i as u64, *leaf).unwrap();
        }
        (tiles, leaves)
    }

    #[test]
    fn certificate_transparency_vectors() {
        let leaves =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tiles = Memory::default();
        assert_eq!(
            root(&tiles, 0).unwrap().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for (i, (leaf, expected)) in leaves.iter().zip(roots).enumerate() {
            append(&mut tiles, i as u64, leaf_hash(&hex::decode(leaf).unwrap())).unwrap();
            assert_eq!(root(&tiles, i as u64 + 1).unwrap().to_string(), expected);
        }
        for (i, expected) in roots.iter().enumerate() {
            assert_eq!(root(&tiles, i as u64 + 1).unwrap().to_string(), *expected);
        }
    }

    #[test]
    fn every_small_tree_agrees_with_the_definition() {
        let (tiles, leaves) = tree(70);
        for size in 1..=70usize {
            let root = root(&tiles, size as u64).unwrap();
            assert_eq!(root.0, naive(&leaves[..size]).0);
            for index in 0..size {
                let path = prove_inclusion(&tiles, index as u64, size as u64).unwrap().unwrap();
                assert_eq!(path, naive_path(index, &leaves[..size]));
                verify_inclusion(leaves[index], index as u64, size as u64, &path, &root).unwrap();
            }
            for old in 1..size {
                let proof = prove_consistency(&tiles, old as u64, size as u64).unwrap().unwrap();
                assert_eq!(proof, naive_subproof(old, &leaves[..size], true));
                let old_root = LogRoot(naive(&leaves[..old]).0);
                verify_consistency(old as u64, &old_root, size as u64, &root, &proof).unwrap();
            }
        }
        assert_eq!(prove_inclusion(&tiles, 70, 70).unwrap(), None);
        assert_eq!(prove_consistency(&tiles, 71, 70).unwrap(), None);
        assert!(root(&tiles, 71).is_err());
    }

    /// Every proof that differs in one bit of its encoding, as far as it can be read.
    fn altered(proof: &[NodeHash]) -> impl Iterator<Item = Vec<NodeHash>> {
        let bytes = crate::codec::encode(&proof.to_vec());
        (0..bytes.len() * 8).filter_map(move |bit| {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            crate::codec::decode::<Vec<NodeHash>>("proof", &bytes).ok()
        })
    }

    #[test]
    fn no_altered_bit_of_a_proof_of_a_small_tree_holds() {
        let (tiles, leaves) = tree(11);
        let mut read = 0;
        for size in 1..=11u64 {
            let root = root(&tiles, size).unwrap();
            for index in 0..size {
                let leaf = leaves[index as usize];
                let path = prove_inclusion(&tiles, index, size).unwrap().unwrap();
                verify_inclusion(leaf, index, size, &path, &root).unwrap();
                for other in altered(&path) {
                    read += 1;
                    assert!(verify_inclusion(leaf, index, size, &other, &root).is_err(), "{index} of {size}");
                }
            }
            for old in 1..size {
                let old_root = LogRoot(naive(&leaves[..old as usize]).0);
                let proof = prove_consistency(&tiles, old, size).unwrap().unwrap();
                verify_consistency(old, &old_root, size, &root, &proof).unwrap();
                for other in altered(&proof) {
                    read += 1;
                    assert!(verify_consistency(old, &old_root, size, &root, &other).is_err(), "{old} in {size}");
                }
            }
        }
        // All bits of all hashes; none of a length, which then is another than what follows.
        assert!(read > 50_000 && read % 256 == 0, "{read} alterations decode");
    }

    proptest! {
        #[test]
        fn larger_trees_agree_and_altered_proofs_fail(n in 2u64..700, a in any::<u64>(), bit in any::<u16>()) {
            let (tiles, leaves) = tree(n);
            let root = root(&tiles, n).unwrap();
            prop_assert_eq!(root.0, naive(&leaves).0);
            let index = a % n;
            let leaf = leaves[index as usize];
            let path = prove_inclusion(&tiles, index, n).unwrap().unwrap();
            verify_inclusion(leaf, index, n, &path, &root).unwrap();
            let mut altered = path.clone();
            let at = usize::from(bit) % altered.len();
            altered[at].0[usize::from(bit >> 8) % 32] ^= 1 << (bit % 8);
            prop_assert_eq!(verify_inclusion(leaf, index, n, &altered, &root), Err(ProofError::Root));
            prop_assert!(verify_inclusion(leaf, (index + 1) % n, n, &path, &root).is_err());
            prop_assert!(verify_inclusion(leaf, index, n, &path[1..], &root).is_err());
            let longer: Vec<NodeHash> = path.iter().copied().chain([leaf]).collect();
            prop_assert!(verify_inclusion(leaf, index, n, &longer, &root).is_err());

            let old = 1 + a % (n - 1);
            let old_root = LogRoot(naive(&leaves[..old as usize]).0);
            let proof = prove_consistency(&tiles, old, n).unwrap().unwrap();
            verify_consistency(old, &old_root, n, &root, &proof).unwrap();
            let mut altered = proof.clone();
            let at = usize::from(bit) % altered.len();
            altered[at].0[usize::from(bit >> 8) % 32] ^= 1 << (bit % 8);
            prop_assert!(verify_consistency(old, &old_root, n, &root, &altered).is_err());
            prop_assert!(verify_consistency(old, &root, n, &root, &proof).is_err());
            prop_assert!(verify_consistency(old, &old_root, n, &root, &proof[1..]).is_err());
        }
    }
}
