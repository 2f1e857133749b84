use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::node::{PREFIX_BITS, build, inner_hash, leaf_hash};
use super::proof::{Shown, Step};
use super::*;
use crate::index::{MemoryIndex, Overlay};

type Leaves = BTreeMap<StateKey, LeafDigest>;

#[derive(Default)]
struct Memory {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    reads: Cell<usize>,
    writes: usize,
}

impl Read for Memory {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.map.get(key).cloned())
    }
}

impl Write for Memory {
    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.writes += 1;
        match value {
            Some(value) => self.map.insert(key, value),
            None => self.map.remove(&key),
        };
    }
}

impl Memory {
    fn of(leaves: &Leaves) -> Memory {
        let mut memory = Memory::default();
        leaves.iter().for_each(|(key, digest)| put(&mut memory, key, Some(*digest)).unwrap());
        memory
    }

    fn root(&self) -> StateRoot {
        root(self).unwrap()
    }

    fn prove(&self, key: &StateKey) -> StateProof {
        prove(self, key).unwrap()
    }

    fn list(&self, prefix: &StatePrefix) -> PrefixProof {
        prove_prefix(self, prefix).unwrap().unwrap()
    }
}

/// The definition, bit by bit, written without any code of the tree but its two hashes.
fn naive(leaves: &[(StateKey, LeafDigest)], depth: u16) -> [u8; 32] {
    let bit = |key: &StateKey| key.0[usize::from(depth / 8)] >> (7 - depth % 8) & 1 == 1;
    match leaves {
        [] => tagged_hash("sealgate/state/empty/1", &[]),
        [(key, digest)] => tagged_hash("sealgate/state/leaf/1", &[&key.0, &digest.0]),
        [(first, _), ..] => {
            let (left, right): (Vec<_>, Vec<_>) = leaves.iter().copied().partition(|(key, _)| !bit(key));
            if left.is_empty() || right.is_empty() {
                return naive(leaves, depth + 1);
            }
            let mut label = depth.to_le_bytes().to_vec();
            for at in 0..depth.div_ceil(8) {
                let kept = (depth - 8 * at).min(8);
                label.push(first.0[usize::from(at)] & !(0xffu16 >> kept) as u8);
            }
            let (left, right) = (naive(&left, depth + 1), naive(&right, depth + 1));
            tagged_hash("sealgate/state/branch/1", &[&label, &left, &right])
        }
    }
}

fn naive_root(leaves: &Leaves) -> StateRoot {
    StateRoot(naive(&leaves.iter().map(|(key, digest)| (*key, *digest)).collect::<Vec<_>>(), 0))
}

/// Keys that often share long prefixes: three patterns in front, then few differing bytes.
fn any_key() -> impl Strategy<Value = StateKey> {
    let sparse = (0u8..3, 0usize..64, any::<u8>(), 60usize..64, 0u8..4).prop_map(|(fill, at, byte, last, low)| {
        let mut key = [[0, 0x55, 0xff][usize::from(fill)]; 64];
        key[at] = byte;
        key[last] ^= low;
        StateKey(key)
    });
    prop_oneof![3 => sparse, 1 => any::<[u8; 64]>().prop_map(StateKey)]
}

fn any_digest() -> impl Strategy<Value = LeafDigest> {
    any::<[u8; 32]>().prop_map(LeafDigest)
}

fn any_leaves() -> impl Strategy<Value = Leaves> {
    prop::collection::btree_map(any_key(), any_digest(), 0..24)
}

/// A small tree of two assets, three accounts, the members and the policy.
fn sample() -> Leaves {
    let (one, two) = (AssetId([1; 32]), AssetId([2; 32]));
    let mut keys = vec![StateKey::members(), StateKey::policy(), StateKey::contract(&one), StateKey::contract(&two)];
    keys.extend((0..3).map(|i| StateKey::account(&Address([i; 32]))));
    keys.extend((0..5).map(|i| StateKey::grant(&one, &Address([i; 32]))));
    keys.into_iter().zip(0u64..).map(|(key, value)| (key, LeafDigest::of(&value))).collect()
}

#[test]
fn the_sample_is_pinned() {
    assert_eq!(
        Memory::of(&sample()).root().to_string(),
        "6fe2af705e74d61223c63454568ede343449012553843c2aa000effd6e408423"
    );
    assert_eq!(Memory::default().root(), empty_root());
    assert_eq!(empty_root().to_string(), "7e74a7757fe121cf5421ef9f3fb7b23f1619e3b8ea52181fd303f59d45522a96");
}

#[test]
fn keys_of_different_kinds_differ() {
    // A grant may name any 32 bytes; none makes it the contract's place or an account's.
    let asset = AssetId([1; 32]);
    let mut keys = vec![StateKey::members(), StateKey::policy(), StateKey::contract(&asset)];
    for bytes in [[0; 32], [1; 32], StateKey::contract(&asset).0[32..].try_into().unwrap()] {
        keys.extend([StateKey::grant(&asset, &Address(bytes)), StateKey::account(&Address(bytes))]);
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3 + 2 * 2);
    assert_ne!(StateKey::grant(&asset, &Address([0; 32])), StateKey::contract(&asset));
}

#[test]
fn an_overlay_holds_a_tree() {
    let index = MemoryIndex::default();
    let mut overlay = Overlay::new(&index);
    let leaves = sample();
    for (key, digest) in &leaves {
        put(&mut overlay, key, Some(*digest)).unwrap();
        overlay.keep();
        put(&mut overlay, key, None).unwrap();
        overlay.forget();
    }
    assert_eq!(root(&overlay).unwrap(), naive_root(&leaves));
}

#[test]
fn a_change_touches_one_path() {
    let mut memory = Memory::default();
    for i in 0u64..5_000 {
        let key = StateKey::account(&Address(LeafDigest::of(&i).0));
        (memory.reads, memory.writes) = (Cell::new(0), 0);
        put(&mut memory, &key, Some(LeafDigest::of(&i))).unwrap();
        // Random keys: the depth stays near log2(5000) = 12.3.
        assert!(memory.reads.get() <= 40 && memory.writes <= 40, "{i}: {} reads", memory.reads.get());
    }
}

#[test]
fn damage_of_the_index_is_reported() {
    let leaves = sample();
    let whole = Memory::of(&leaves);
    for key in whole.map.keys().filter(|key| **key != keys::state_root()) {
        let mut broken = Memory { map: whole.map.clone(), ..Memory::default() };
        broken.map.remove(key);
        assert!(leaves.keys().any(|key| prove(&broken, key).is_err()), "{}", key.escape_ascii());
    }
    // A branch in another's place is noticed, so that no walk turns in circles.
    let inner: Vec<_> = whole.map.iter().filter(|(_, value)| value.len() > 32 + 66).collect();
    for ((one, _), (_, other)) in inner.iter().zip(inner.iter().skip(1)) {
        let mut broken = Memory { map: whole.map.clone(), ..Memory::default() };
        broken.map.insert((*one).clone(), (*other).clone());
        assert!(leaves.keys().any(|key| prove(&broken, key).is_err() || broken.prove(key) != whole.prove(key)));
    }
}

#[test]
fn every_bit_of_a_proof_counts() {
    let leaves = sample();
    let tree = Memory::of(&leaves);
    let root = tree.root();
    let absent = [StateKey([0; 64]), StateKey([0xff; 64]), StateKey::contract(&AssetId([3; 32]))];
    for key in leaves.keys().chain(&absent) {
        let bytes = tree.prove(key).encode();
        assert_eq!(verify(&root, key, &StateProof::decode(&bytes).unwrap()).unwrap(), leaves.get(key).copied());
        for_every_flip(&bytes, |altered, bit| {
            let refused = StateProof::decode(altered).map_or(true, |proof| verify(&root, key, &proof).is_err());
            assert!(refused, "bit {bit} of the proof of {key}");
        });
    }
    let prefixes = [AssetId([1; 32]), AssetId([2; 32]), AssetId([9; 32])].map(|id| StatePrefix::asset(&id));
    for prefix in prefixes.iter().chain([&StatePrefix::accounts(), &StatePrefix::members()]) {
        let bytes = tree.list(prefix).encode();
        let listed = verify_prefix(&root, prefix, &PrefixProof::decode(&bytes).unwrap()).unwrap();
        assert_eq!(listed, under(&leaves, prefix));
        for_every_flip(&bytes, |altered, bit| {
            let refused =
                PrefixProof::decode(altered).map_or(true, |proof| verify_prefix(&root, prefix, &proof).is_err());
            assert!(refused, "bit {bit} of the list of {prefix}");
        });
    }
}

/// Calls with each bit flipped, each byte cut off behind, and one too many.
fn for_every_flip(bytes: &[u8], mut check: impl FnMut(&[u8], usize)) {
    let mut altered = bytes.to_vec();
    for bit in 0..8 * bytes.len() {
        altered[bit / 8] ^= 1 << (bit % 8);
        check(&altered, bit);
        altered[bit / 8] ^= 1 << (bit % 8);
    }
    (0..bytes.len()).for_each(|length| check(&bytes[..length], 8 * length));
    altered.push(0);
    check(&altered, 8 * bytes.len());
}

fn under(leaves: &Leaves, prefix: &StatePrefix) -> Vec<(StateKey, LeafDigest)> {
    leaves.iter().filter(|(key, _)| key.0.starts_with(&prefix.0)).map(|(key, digest)| (*key, *digest)).collect()
}

#[test]
fn json_is_the_hexadecimal_of_the_bytes() {
    let tree = Memory::of(&sample());
    let proof = tree.prove(&StateKey::policy());
    let list = tree.list(&StatePrefix::accounts());
    let json = serde_json::to_string(&proof).unwrap();
    assert_eq!(json, format!("\"{}\"", hex::encode(proof.encode())));
    assert_eq!(serde_json::from_str::<StateProof>(&json).unwrap(), proof);
    assert_eq!(serde_json::from_str::<PrefixProof>(&serde_json::to_string(&list).unwrap()).unwrap(), list);
    assert!(serde_json::from_str::<StateProof>(&json.to_uppercase()).is_err());
    assert!(serde_json::from_str::<StateProof>(&json.replacen('"', "\"00", 1)).is_err());
    let long = format!("\"{}\"", "00".repeat(STATE_PROOF_BYTES_MAX + 1));
    assert!(serde_json::from_str::<StateProof>(&long).unwrap_err().to_string().contains("at most"));
}

#[test]
fn sizes_are_bounded_before_anything_is_read() {
    let long = vec![0; PREFIX_PROOF_BYTES_MAX + 1];
    assert!(matches!(StateProof::decode(&long[..=STATE_PROOF_BYTES_MAX]), Err(StateProofError::Form(_))));
    assert!(matches!(PrefixProof::decode(&long), Err(StateProofError::Form(_))));
    // 513 branches; 65,537 leaves; 2^32 - 1 of them with nothing behind.
    assert!(StateProof::decode(&[&[1, 2][..], &[0; 513 * 34 + 1]].concat()).is_err());
    let leaves = |count: u32| [&[0, 0, 1][..], &count.to_le_bytes(), &[0; 64]].concat();
    assert!(PrefixProof::decode(&leaves(1)).is_ok());
    assert!(PrefixProof::decode(&leaves(65_537)).unwrap_err().to_string().contains("more leaves"));
    assert!(PrefixProof::decode(&leaves(u32::MAX)).unwrap_err().to_string().contains("more leaves"));
    // A label of 513 bits, and one with a bit past its end.
    let inner = |label: &[u8]| [&[0, 0, 1, 1][..], label, &[0; 64]].concat();
    assert!(StateProof::decode(&inner(&[4, 0, 0x50])).is_ok());
    assert!(StateProof::decode(&inner(&[4, 0, 0x58])).is_err());
    assert!(StateProof::decode(&inner(&[&[1, 2][..], &[0; 65]].concat())).is_err());
    // The largest of each kind are within the bounds stated for them.
    let steps = || (0..512).map(|bits| Step { bits, sibling: node::NodeHash([0; 32]) }).collect();
    let label = Label::of_key(&StateKey([0; 64]));
    let end = Shown::Inner { label, left: node::NodeHash([0; 32]), right: node::NodeHash([0; 32]) };
    let proof = StateProof::new(steps(), Some(end)).encode();
    assert!(proof.len() <= STATE_PROOF_BYTES_MAX && proof.len() + 8 > STATE_PROOF_BYTES_MAX);
}

#[test]
fn a_list_has_an_end() {
    let tree = Memory::of(&sample());
    let (_, top) = descend(&tree, &Label::of_prefix(&StatePrefix::asset(&AssetId([1; 32])))).unwrap();
    assert_eq!(leaves(&tree, top.unwrap(), 5).unwrap(), None);
    assert_eq!(leaves(&tree, top.unwrap(), 6).unwrap().map(|leaves| leaves.len()), Some(6));
    let many: Vec<_> = (0..=PREFIX_LEAVES_MAX as u64)
        .map(|i| (StateKey([[0; 56].as_slice(), &i.to_be_bytes()].concat().try_into().unwrap()), LeafDigest([0; 32])))
        .collect();
    let too_many = PrefixProof::listing(vec![], &many);
    let link = build(&many).unwrap();
    assert!(verify_prefix(&StateRoot(link.hash.0), &StatePrefix([0; 32]), &too_many).is_err());
    assert!(PrefixProof::decode(&too_many.encode()).is_err());
    let most = PrefixProof::decode(&PrefixProof::listing(vec![], &many[1..]).encode()).unwrap();
    let root = StateRoot(build(&many[1..]).unwrap().hash.0);
    assert_eq!(verify_prefix(&root, &StatePrefix([0; 32]), &most).unwrap().len(), PREFIX_LEAVES_MAX);
}

/// Every node of the tree, to build false proofs from.
fn all_nodes(tree: &Memory) -> Vec<(Shown, node::NodeHash)> {
    let mut nodes = Vec::new();
    let mut waiting: Vec<Link> = top(tree).unwrap().into_iter().collect();
    while let Some(link) = waiting.pop() {
        nodes.push((shown(tree, &link).unwrap(), link.hash));
        if link.label.key().is_none() {
            let inner = read_inner(tree, &link.label).unwrap();
            waiting.extend([inner.left, inner.right]);
        }
    }
    nodes
}

/// The honest branches down to `target`, and every beginning of them.
fn beginnings(tree: &Memory, target: &Label) -> Vec<Vec<Step>> {
    let steps = steps(target, &descend(tree, target).unwrap().0);
    (0..=steps.len()).map(|count| steps[..count].to_vec()).collect()
}

#[test]
fn no_absence_is_shown_of_what_is_there() {
    let leaves = sample();
    let tree = Memory::of(&leaves);
    let (root, nodes) = (tree.root(), all_nodes(&tree));
    for (key, digest) in &leaves {
        let target = Label::of_key(key);
        let prefix = StatePrefix(*key.0.first_chunk().unwrap());
        let ends: Vec<_> = nodes.iter().map(|(shown, _)| Some(*shown)).chain([None]).collect();
        for begun in beginnings(&tree, &target) {
            for end in &ends {
                // Each branch also with another length of label, and any one left out or doubled.
                for altered in alterations(&begun) {
                    let found = verify(&root, key, &StateProof::new(altered, *end));
                    assert!(found.is_err() || found == Ok(Some(*digest)), "{key}");
                }
                let nothing = PrefixProof::nothing(begun.clone(), *end);
                assert!(verify_prefix(&root, &prefix, &nothing).is_err(), "{prefix}");
            }
        }
    }
}

fn alterations(steps: &[Step]) -> Vec<Vec<Step>> {
    let mut all = vec![steps.to_vec()];
    for at in 0..steps.len() {
        for bits in [0, 1, 255, 256, 511, 512, u16::MAX, steps[at].bits + 1, steps[at].bits.wrapping_sub(1)] {
            let mut altered = steps.to_vec();
            altered[at].bits = bits;
            all.push(altered);
        }
        let (mut without, mut doubled) = (steps.to_vec(), steps.to_vec());
        without.remove(at);
        doubled.insert(at, steps[at]);
        all.extend([without, doubled]);
    }
    all
}

#[test]
fn no_list_lacks_a_leaf_or_has_one_more() {
    let leaves = sample();
    let tree = Memory::of(&leaves);
    let (root, asset) = (tree.root(), StatePrefix::asset(&AssetId([1; 32])));
    let honest = under(&leaves, &asset);
    let stranger = (asset.with([9; 32]), LeafDigest([9; 32]));
    let mut lists = vec![Vec::new(), vec![stranger]];
    for at in 0..honest.len() {
        let (mut without, mut doubled, mut swapped, mut altered) =
            (honest.clone(), honest.clone(), honest.clone(), honest.clone());
        without.remove(at);
        doubled.insert(at, honest[at]);
        swapped.swap(at, (at + 1) % honest.len());
        altered[at].1 = LeafDigest([9; 32]);
        lists.extend([without, doubled, swapped, altered, honest[at..=at].to_vec()]);
    }
    lists.extend((1..honest.len()).flat_map(|at| [honest[at..].to_vec(), honest[..at].to_vec()]));
    let mut more = honest.clone();
    more.push(stranger);
    more.sort();
    lists.push(more);
    for begun in beginnings(&tree, &Label::of_prefix(&asset)) {
        for list in &lists {
            assert!(verify_prefix(&root, &asset, &PrefixProof::listing(begun.clone(), list)).is_err());
        }
    }
    // A branch below the prefix is no branch on the way to it: half a list is none.
    let depth = beginnings(&tree, &Label::of_prefix(&asset)).len() - 1;
    for deeper in beginnings(&tree, &Label::of_key(&honest[0].0)).into_iter().skip(depth + 1) {
        for half in (1..=honest.len()).map(|n| &honest[..n]) {
            let proof = PrefixProof::listing(deeper.clone(), half);
            assert!(matches!(verify_prefix(&root, &asset, &proof), Err(StateProofError::Place(_))));
        }
    }
    assert_eq!(verify_prefix(&root, &asset, &tree.list(&asset)).unwrap(), honest);
}

#[test]
fn a_branch_is_no_leaf_and_a_node_no_empty_tree() {
    // One leaf whose digest is the hash of a branch, and a root taken for the empty tree's.
    let leaves = sample();
    let tree = Memory::of(&leaves);
    let key = StateKey([7; 64]);
    for (shown, hash) in all_nodes(&tree) {
        let posing = Shown::Leaf { key, digest: LeafDigest(hash.0) };
        assert!(verify(&StateRoot(hash.0), &key, &StateProof::new(vec![], Some(posing))).is_err());
        if let Shown::Inner { label, left, right } = shown {
            assert_ne!(inner_hash(&label, &right, &left), hash);
            let shorter = label.first(label.bits().saturating_sub(1));
            assert!(label.bits() == 0 || inner_hash(&shorter, &left, &right) != hash);
        }
        assert_eq!(
            verify(&StateRoot(hash.0), &key, &StateProof::new(vec![], None)),
            Err(StateProofError::Root),
            "only the empty tree has nothing"
        );
    }
    assert_eq!(verify(&empty_root(), &key, &StateProof::new(vec![], None)), Ok(None));
    let step = Step { bits: 0, sibling: node::NodeHash([0; 32]) };
    assert!(verify(&empty_root(), &key, &StateProof::new(vec![step], None)).is_err());
    assert_ne!(leaf_hash(&Label::of_key(&key), &LeafDigest([0; 32])).0, empty_root().0);
}

#[derive(Debug, Clone)]
enum Change {
    Put(StateKey, LeafDigest),
    Remove(StateKey),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => (any_key(), any_digest()).prop_map(|(key, digest)| Change::Put(key, digest)),
        1 => any_key().prop_map(Change::Remove),
    ]
}

proptest! {
    #[test]
    fn the_root_is_the_definitions_after_every_change(changes in prop::collection::vec(any_change(), 0..40)) {
        let (mut tree, mut leaves) = (Memory::default(), Leaves::new());
        for change in changes {
            match change {
                Change::Put(key, digest) => {
                    put(&mut tree, &key, Some(digest)).unwrap();
                    leaves.insert(key, digest);
                }
                Change::Remove(key) => {
                    put(&mut tree, &key, None).unwrap();
                    leaves.remove(&key);
                }
            }
            prop_assert_eq!(tree.root(), naive_root(&leaves));
            let sorted: Vec<_> = leaves.iter().map(|(key, digest)| (*key, *digest)).collect();
            prop_assert_eq!(build(&sorted), top(&tree).unwrap());
        }
        // What the index holds depends on the leaves only, too.
        prop_assert_eq!(&tree.map, &Memory::of(&leaves).map);
        for key in leaves.keys() {
            put(&mut tree, key, None).unwrap();
        }
        prop_assert_eq!(tree.root(), empty_root());
        prop_assert!(tree.map.is_empty());
    }

    #[test]
    fn the_order_of_changes_does_not_matter(
        (leaves, order) in any_leaves().prop_flat_map(|leaves| {
            let order: Vec<_> = leaves.clone().into_iter().collect();
            (Just(leaves), Just(order).prop_shuffle())
        }),
        passing in any_leaves(),
    ) {
        let mut tree = Memory::of(&passing);
        order.iter().for_each(|(key, digest)| put(&mut tree, key, Some(*digest)).unwrap());
        passing.keys().filter(|key| !leaves.contains_key(key)).for_each(|key| put(&mut tree, key, None).unwrap());
        prop_assert_eq!(tree.map, Memory::of(&leaves).map);
    }

    #[test]
    fn what_stands_is_proven_and_what_does_not(leaves in any_leaves(), others in prop::collection::vec(any_key(), 6)) {
        let tree = Memory::of(&leaves);
        let root = tree.root();
        for key in leaves.keys().chain(&others) {
            let proof = tree.prove(key);
            prop_assert_eq!(verify(&root, key, &proof), Ok(leaves.get(key).copied()));
            prop_assert_eq!(StateProof::decode(&proof.encode()), Ok(proof.clone()));
            prop_assert!(verify(&StateRoot([1; 32]), key, &proof).is_err());
            // For another key the proof says nothing false: at most that it is absent too.
            for other in leaves.keys().chain(&others).filter(|other| *other != key) {
                let found = verify(&root, other, &proof);
                prop_assert!(found.is_err() || found == Ok(leaves.get(other).copied()), "{} for {}", key, other);
            }
        }
    }

    #[test]
    fn lists_are_complete(leaves in any_leaves(), other in any::<[u8; 32]>()) {
        let tree = Memory::of(&leaves);
        let root = tree.root();
        let prefixes = leaves.keys().map(|key| StatePrefix(*key.0.first_chunk().unwrap())).chain([StatePrefix(other)]);
        for prefix in prefixes {
            let proof = tree.list(&prefix);
            prop_assert_eq!(verify_prefix(&root, &prefix, &proof), Ok(under(&leaves, &prefix)));
            prop_assert_eq!(PrefixProof::decode(&proof.encode()), Ok(proof.clone()));
            prop_assert!(verify_prefix(&StateRoot([1; 32]), &prefix, &proof).is_err());
        }
    }

    #[test]
    fn labels_are_what_their_bits_say(one in any_key(), other in any_key(), bits in 0u16..=512) {
        let (a, b) = (Label::of_key(&one), Label::of_key(&other));
        let equal = (0..512).find(|at| a.bit(*at) != b.bit(*at)).unwrap_or(512);
        prop_assert_eq!(a.shared(&b).bits(), equal);
        let first = a.first(bits);
        prop_assert!((0..512).all(|at| first.bit(at) == (at < bits && a.bit(at))));
        prop_assert_eq!(a.starts_with(&first), true);
        prop_assert_eq!(b.starts_with(&first), equal >= bits);
        prop_assert_eq!(crate::codec::decode::<Label>("label", &encode(&first)).unwrap(), first);
        prop_assert_eq!(Label::of_prefix(&StatePrefix([3; 32])).bits(), PREFIX_BITS);
    }
}
