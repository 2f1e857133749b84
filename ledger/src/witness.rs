//! What a witness asks of a checkpoint before it cosigns it, and how it is asked
//! (<https://c2sp.org/tlog-witness>, docs/spec/witness.md#the-rule).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{CHECKPOINT_BYTES_MAX, Checkpoint, SignedCheckpoint};
use crate::ids::BlockHeight;
use crate::merkle::{NodeHash, ProofError, empty_root, verify_consistency};

/// Most hashes in a request's proof.
pub const PROOF_LINES_MAX: usize = 63;
/// Largest request that is read, in bytes: two lines, the proof, and the checkpoint.
pub const REQUEST_BYTES_MAX: usize = 64 + 45 * PROOF_LINES_MAX + CHECKPOINT_BYTES_MAX;

/// A request to cosign a checkpoint: the body of `POST /add-checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint that the witness cosigned last, as the log believes.
    pub old: u64,
    /// Proof that the new one extends it.
    pub proof: Vec<NodeHash>,
    /// The new checkpoint.
    pub checkpoint: SignedCheckpoint,
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request cannot be read.
    #[error("the request is malformed: {0}")]
    Malformed(&'static str),
    /// The ledger is not one that this witness follows.
    #[error("this witness does not follow that ledger")]
    Unknown,
    /// The ledger's signature is missing or wrong.
    #[error("the checkpoint does not carry the signature of a ledger that this witness follows")]
    Unsigned,
    /// The old size is larger than the checkpoint's.
    #[error("the old size {old} is larger than the checkpoint's, {new}")]
    Backwards {
        /// The old size named.
        old: u64,
        /// The checkpoint's size.
        new: u64,
    },
    /// The checkpoint cosigned last has another size.
    #[error("the checkpoint cosigned last has {size} entries")]
    Conflict {
        /// Its size.
        size: u64,
    },
    /// The checkpoint names a block that does not follow the one cosigned last.
    #[error("the checkpoint names block {height}, which does not follow what was cosigned last: {what}")]
    Block {
        /// The height it names.
        height: BlockHeight,
        /// How.
        what: &'static str,
    },
    /// The checkpoint does not extend the one cosigned last.
    #[error("the checkpoint does not extend the one of {size} entries that was cosigned last: {source}")]
    NotExtended {
        /// Size of that one.
        size: u64,
        /// Why.
        source: ProofError,
    },
}

impl AddCheckpoint {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn read(body: &[u8]) -> Result<AddCheckpoint, Refusal> {
        let malformed = Refusal::Malformed;
        if body.len() > REQUEST_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let body = std::str::from_utf8(body).map_err(|_| malformed("it is no UTF-8"))?;
        let (head, checkpoint) = body.split_once("\n\n").ok_or(malformed("it has no empty line"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old = old.ok_or(malformed("its first line is not 'old' and a size"))?;
        let proof = lines.map(hash).collect::<Option<Vec<_>>>();
        let proof = proof.ok_or(malformed("a line of its proof is not base64 of 32 bytes"))?;
        if proof.len() > PROOF_LINES_MAX {
            return Err(malformed("its proof has more than 63 hashes"));
        }
        Ok(AddCheckpoint { old, proof, checkpoint: SignedCheckpoint(checkpoint.to_owned()) })
    }

    /// The body of the request.
    pub fn to_text(&self) -> String {
        let proof: String = self.proof.iter().map(|hash| STANDARD.encode(hash.0) + "\n").collect();
        format!("old {}\n{proof}\n{}", self.old, self.checkpoint)
    }

    /// The first line of the checkpoint, which says of which ledger it is; not yet believed.
    pub fn origin(&self) -> &str {
        self.checkpoint.0.split('\n').next().unwrap_or_default()
    }

    /// Whether the checkpoint, whose signatures hold and which says `new`, is to be cosigned after
    /// `last`. The caller then makes it durable before the cosignature leaves the process.
    ///
    /// # Errors
    /// [`Refusal::Backwards`], [`Refusal::Conflict`], [`Refusal::NotExtended`]; and, which C2SP does
    /// not ask for, [`Refusal::Block`].
    pub fn judge(&self, new: &Checkpoint, last: Option<&Checkpoint>) -> Result<(), Refusal> {
        let (size, root) = last.map_or((0, empty_root()), |last| (last.size, last.root));
        if self.old > new.size {
            return Err(Refusal::Backwards { old: self.old, new: new.size });
        }
        if self.old != size {
            return Err(Refusal::Conflict { size });
        }
        // Every tree extends the empty one, of which there is only one.
        let shown = if new.size == 0 && new.root != empty_root() {
            Err(ProofError::Root)
        } else {
            verify_consistency(size, &root, new.size, &new.root, &self.proof)
        };
        shown.map_err(|source| Refusal::NotExtended { size, source })?;
        match last {
            Some(last) => follows(new, last).map_err(|what| Refusal::Block { height: new.height, what }),
            None => Ok(()),
        }
    }
}

/// Whether two checkpoints of one ledger, signed by it, are evidence that it has two histories.
pub fn two_histories(one: &Checkpoint, other: &Checkpoint) -> bool {
    (one.size == other.size && one.root != other.root) || (one.height == other.height && one.block != other.block)
}

/// What can be told of two blocks without those between them.
fn follows(new: &Checkpoint, last: &Checkpoint) -> Result<(), &'static str> {
    if new.height < last.height {
        return Err("its height is lower");
    }
    if new.height == last.height && new.block != last.block {
        return Err("its height is the same, its hash another");
    }
    if new.height == last.height && new.size != last.size {
        return Err("its height is the same, its number of entries another");
    }
    Ok(())
}

/// A number in its one spelling.
pub fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

fn hash(line: &str) -> Option<NodeHash> {
    STANDARD.decode(line).ok()?.try_into().ok().map(NodeHash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{BlockHash, LogRoot};
    use crate::merkle::{Tiles, TilesMut, append, leaf_hash, prove_consistency, root};
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

    /// A tree whose leaves differ from `fork` on.
    fn tree(size: u64, fork: u64) -> Memory {
        let mut tiles = Memory::default();
        for index in 0..size {
            let text = if index < fork { format!("{index}") } else { format!("other {index}") };
            append(&mut tiles, index, leaf_hash(text.as_bytes())).unwrap();
        }
        tiles
    }

    fn at(tiles: &Memory, size: u64) -> Checkpoint {
        let root = root(tiles, size).unwrap();
        // One entry a block; the block's hash says what is in it.
        Checkpoint { size, root, height: BlockHeight(size), block: BlockHash(root.0) }
    }

    fn request(tiles: &Memory, old: u64, new: u64) -> AddCheckpoint {
        let proof = prove_consistency(tiles, old, new).unwrap().unwrap_or_default();
        AddCheckpoint { old, proof, checkpoint: SignedCheckpoint("text\n\n\u{2014} a AAAAAAAA\n".into()) }
    }

    #[test]
    fn only_extensions_are_cosigned() {
        let (tiles, forked) = (tree(40, u64::MAX), tree(40, 11));
        let last = at(&tiles, 17);
        for new in 17..=40 {
            request(&tiles, 17, new).judge(&at(&tiles, new), Some(&last)).unwrap();
            let fork = request(&forked, 17, new).judge(&at(&forked, new), Some(&last));
            assert!(matches!(fork, Err(Refusal::NotExtended { size: 17, .. })), "{new}");
        }
        assert!(two_histories(&last, &at(&forked, 17)) && !two_histories(&last, &at(&tiles, 17)));
        assert!(!two_histories(&last, &at(&forked, 18)));
        // Rolled back, or simply behind: the witness names the size it has.
        for new in 0..17 {
            let back = request(&tiles, new, new).judge(&at(&tiles, new), Some(&last));
            assert_eq!(back, Err(Refusal::Conflict { size: 17 }));
        }
        let wrong = request(&tiles, 17, 17).judge(&at(&tiles, 16), Some(&last));
        assert_eq!(wrong, Err(Refusal::Backwards { old: 17, new: 16 }));
        // A proof from another size, a longer and a shorter one.
        let mut long = request(&tiles, 17, 40);
        long.proof.push(NodeHash([0; 32]));
        assert!(long.judge(&at(&tiles, 40), Some(&last)).is_err());
        long.proof.truncate(1);
        assert!(long.judge(&at(&tiles, 40), Some(&last)).is_err());
        let other = AddCheckpoint { old: 17, ..request(&tiles, 16, 40) };
        assert!(other.judge(&at(&tiles, 40), Some(&last)).is_err());
    }

    #[test]
    fn the_first_checkpoint_is_taken_without_proof() {
        let tiles = tree(9, u64::MAX);
        request(&tiles, 0, 9).judge(&at(&tiles, 9), None).unwrap();
        request(&tiles, 0, 0).judge(&at(&tiles, 0), None).unwrap();
        request(&tiles, 0, 9).judge(&at(&tiles, 9), Some(&at(&tiles, 0))).unwrap();
        let proof = AddCheckpoint { proof: vec![NodeHash([1; 32])], ..request(&tiles, 0, 9) };
        assert!(matches!(proof.judge(&at(&tiles, 9), None), Err(Refusal::NotExtended { .. })));
        let nothing = Checkpoint { root: LogRoot([1; 32]), ..at(&tiles, 0) };
        assert!(matches!(request(&tiles, 0, 0).judge(&nothing, None), Err(Refusal::NotExtended { .. })));
        let conflict = request(&tiles, 5, 9).judge(&at(&tiles, 9), None);
        assert_eq!(conflict, Err(Refusal::Conflict { size: 0 }));
    }

    #[test]
    fn blocks_only_follow() {
        let tiles = tree(9, u64::MAX);
        let last = at(&tiles, 7);
        let judge = |old, new: Checkpoint| request(&tiles, old, new.size).judge(&new, Some(&last));
        // An empty block adds no entry.
        judge(7, Checkpoint { height: BlockHeight(8), block: BlockHash([1; 32]), ..last }).unwrap();
        let other = Checkpoint { block: BlockHash([1; 32]), ..last };
        assert!(matches!(judge(7, other), Err(Refusal::Block { height: BlockHeight(7), .. })));
        assert!(two_histories(&last, &other));
        for wrong in [
            Checkpoint { height: BlockHeight(6), ..last },
            Checkpoint { height: BlockHeight(7), ..at(&tiles, 9) },
            Checkpoint { height: BlockHeight(6), ..at(&tiles, 9) },
            Checkpoint { height: last.height, block: last.block, ..at(&tiles, 9) },
        ] {
            assert!(matches!(judge(7, wrong), Err(Refusal::Block { .. })), "{wrong:?}");
        }
    }

    /// The request of the example in c2sp.org/tlog-witness.
    #[test]
    fn the_published_request_is_read() {
        let text = "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
        let request = AddCheckpoint::read(text.as_bytes()).unwrap();
        assert_eq!((request.old, request.proof.len()), (20_852_014, 4));
        assert_eq!(request.origin(), "example.com/behind-the-sofa");
        assert_eq!(request.to_text(), text);
        crate::cosign::Note::read(&request.checkpoint.0).unwrap();
    }

    #[test]
    fn malformed_requests_are_refused() {
        let rest = "\n\norigin\n1\nAAAA\n\n\u{2014} a AAAAAAAA\n";
        for head in [
            "",
            "old",
            "old ",
            "old  1",
            "old 01",
            "old +1",
            "old -1",
            "old 1 ",
            "Old 1",
            "old 18446744073709551616",
            "old 1\nx",
            "old 1\nAAAA",
            "old 1\n\u{2014}",
            "new 1",
        ] {
            let body = format!("{head}{rest}");
            assert!(matches!(AddCheckpoint::read(body.as_bytes()), Err(Refusal::Malformed(_))), "{head:?}");
        }
        let line = "\n".to_owned() + &STANDARD.encode([7; 32]);
        let many = |count: usize| format!("old 1{}{rest}", line.repeat(count));
        AddCheckpoint::read(many(63).as_bytes()).unwrap();
        assert!(AddCheckpoint::read(many(64).as_bytes()).is_err());
        assert!(AddCheckpoint::read(b"old 1\n").is_err());
        assert!(AddCheckpoint::read(b"old 1\n\n\xff").is_err());
        assert!(AddCheckpoint::read(&vec![b'a'; REQUEST_BYTES_MAX + 1]).is_err());
    }
}
