//! Crashes and damage: the log at every byte.

use std::sync::{Arc, Mutex};

use super::*;
use crate::audit::audit_log;
use crate::chain::{GENESIS_FILE, INDEX_FOLDER, Ledger};
use crate::testing::{fee_at_least, genesis, register, request, secret, sign, terms};
use crate::tx::TxBody;
use sealgate_circuits::question::Item;

/// A ledger of a few blocks, closed; returns its folder and the offset of its last record.
fn small() -> (tempfile::TempDir, u64) {
    let dir = tempfile::tempdir().unwrap();
    let (genesis, operator) = genesis();
    let ledger = Ledger::create(dir.path(), genesis.clone(), operator.clone()).unwrap();
    ledger.submit(sign(&genesis, &operator, 0, 10, register("a"))).unwrap();
    let asset = ledger.assets().unwrap()[0].id;
    let to = secret("b", 2).address();
    ledger.submit(sign(&genesis, &operator, 0, 10, TxBody::Grant { asset, to, terms: terms() })).unwrap();
    let items = vec![Item::Prove(fee_at_least(None))];
    ledger.submit(sign(&genesis, &operator, 0, 10, request(asset, items))).unwrap();
    let height = ledger.head().height;
    let last = crate::state::query::place(&ledger.core().index, height).unwrap().unwrap().offset;
    drop(ledger);
    (dir, last)
}

/// A copy without index; `mark` is what the head file says, nothing if `None`.
fn copy(from: &Path, log: &[u8], mark: Option<&[u8]>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(from.join(GENESIS_FILE), dir.path().join(GENESIS_FILE)).unwrap();
    std::fs::write(dir.path().join(LOG_FILE), log).unwrap();
    if let Some(mark) = mark {
        std::fs::write(dir.path().join(HEAD_FILE), mark).unwrap();
    }
    dir
}

fn scan(dir: &Path) -> Result<(Opened, u64), LedgerError> {
    Log::open(dir, &genesis().0.header(), None).map(|(log, opened)| (opened, log.length()))
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_if_unacknowledged_and_damage_otherwise() {
    let (dir, last) = small();
    let log = std::fs::read(dir.path().join(LOG_FILE)).unwrap();
    let acknowledged = std::fs::read(dir.path().join(HEAD_FILE)).unwrap();
    let (opened, length) = scan(copy(dir.path(), &log[..last as usize], None).path()).unwrap();
    assert_eq!((opened.head.height, length), (BlockHeight(2), last));
    let before = HeadMark::of(&opened.head, last).encode();
    for end in last as usize..log.len() {
        let torn = copy(dir.path(), &log[..end], Some(&before));
        assert_eq!(scan(torn.path()).unwrap().0.head.height, BlockHeight(2));
        assert_eq!(std::fs::read(torn.path().join(LOG_FILE)).unwrap().len() as u64, last, "cut");
        let lost = copy(dir.path(), &log[..end], Some(&acknowledged));
        let error = scan(lost.path()).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { height: BlockHeight(3), .. }), "{error}");
        // The length came but not the bytes: what a machine that loses power may leave.
        let mut zeros = log.clone();
        zeros[end..].fill(0);
        if zeros != log {
            assert_eq!(scan(copy(dir.path(), &zeros, Some(&before)).path()).unwrap().0.head.height, BlockHeight(2));
            assert!(scan(copy(dir.path(), &zeros, Some(&acknowledged)).path()).is_err());
        }
    }
    // Whole, but not noted in the head file: kept.
    assert_eq!(scan(copy(dir.path(), &log, Some(&before)).path()).unwrap().0.head.height, BlockHeight(3));
}

/// Anybody's transaction may hold bytes that look like a record.
#[test]
fn a_tail_torn_behind_crafted_bytes_is_torn_and_no_damage() {
    let (dir, _) = small();
    let log = std::fs::read(dir.path().join(LOG_FILE)).unwrap();
    let (genesis, operator) = genesis();
    let chain = genesis.chain_id().0;
    let sealed = |payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        [&length[..], &check(length, payload), payload].concat()
    };
    // No block at all, and a true one of before.
    let junk = sealed(&[&chain[..], b"is no block"].concat());
    let zeroth = record(&Block { header: genesis.header(), entries: vec![] });
    for (seed, crafted) in [(40, junk), (41, zeroth)] {
        let whole = copy(dir.path(), &log, None);
        let ledger = Ledger::open(whole.path(), operator.clone()).unwrap();
        let stranger = secret("Stranger", seed);
        let body = TxBody::OpenAccount { account: stranger.public().clone(), identity: crafted.clone() };
        ledger.submit(sign(&genesis, &stranger, 0, 100, body)).unwrap();
        drop(ledger);
        let longer = std::fs::read(whole.path().join(LOG_FILE)).unwrap();
        let behind = longer.windows(crafted.len()).rposition(|window| window == crafted).unwrap() + crafted.len();
        assert!(behind > log.len());
        let torn = copy(dir.path(), &longer[..behind + 1], None);
        assert_eq!(scan(torn.path()).unwrap().0.head.height, BlockHeight(3));
        assert_eq!(std::fs::read(torn.path().join(LOG_FILE)).unwrap(), log);
    }
}

#[test]
fn every_flipped_bit_is_found_and_named() {
    let (dir, last) = small();
    let log = std::fs::read(dir.path().join(LOG_FILE)).unwrap();
    let mark = std::fs::read(dir.path().join(HEAD_FILE)).unwrap();
    let work = copy(dir.path(), &log, Some(&mark));
    for at in 0..log.len() {
        for bit in 0..8 {
            let mut bad = log.clone();
            bad[at] ^= 1 << bit;
            std::fs::write(work.path().join(LOG_FILE), &bad).unwrap();
            let error = scan(work.path()).unwrap_err();
            let LedgerError::Damaged { height, .. } = &error else { panic!("{error}") };
            assert_eq!(*height == BlockHeight(3), at as u64 >= last, "{error}");
            assert_eq!(std::fs::read(work.path().join(LOG_FILE)).unwrap(), bad, "nothing may be repaired");
        }
    }
    for at in (0..log.len()).step_by(7) {
        let mut bad = log.clone();
        bad[at] ^= 1;
        std::fs::write(work.path().join(LOG_FILE), &bad).unwrap();
        assert!(audit_log(work.path()).is_err());
    }
    // Without a head file, damage before the last block is still seen by the good block behind.
    std::fs::remove_file(work.path().join(HEAD_FILE)).unwrap();
    for at in (FIRST_RECORD..last).step_by(11) {
        let mut bad = log.clone();
        bad[at as usize] ^= 1;
        std::fs::write(work.path().join(LOG_FILE), &bad).unwrap();
        assert!(matches!(scan(work.path()), Err(LedgerError::Damaged { .. })), "byte {at}");
    }
}

#[test]
fn a_head_file_reads_back_and_no_altered_one_does() {
    let mark = HeadMark { height: BlockHeight(7), hash: BlockHash([3; 32]), length: 99 };
    let bytes = mark.encode();
    assert_eq!(HeadMark::decode(&bytes), Some(mark));
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert_eq!(HeadMark::decode(&bad), None);
        assert_eq!(HeadMark::decode(&bytes[..at]), None);
    }
}

#[test]
fn the_index_protects_what_the_head_file_has_lost() {
    let (dir, last) = small();
    let log = std::fs::read(dir.path().join(LOG_FILE)).unwrap();
    std::fs::remove_file(dir.path().join(HEAD_FILE)).unwrap();
    std::fs::write(dir.path().join(LOG_FILE), &log[..last as usize + 5]).unwrap();
    assert!(dir.path().join(INDEX_FOLDER).exists());
    let error = Ledger::open(dir.path(), genesis().1).unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { height: BlockHeight(3), .. }), "{error}");
    std::fs::write(dir.path().join(LOG_FILE), &log).unwrap();
    assert_eq!(Ledger::open(dir.path(), genesis().1).unwrap().head().height, BlockHeight(3));
}

/// A medium in memory that fails when told: at a call, having done some of it.
#[derive(Clone, Default)]
struct Faulty(Arc<Mutex<FaultyState>>);

/// What is stored; the fault: after so many calls, having written so much; whether it stays.
type FaultyState = (Vec<u8>, Option<(u32, usize)>, bool);

impl Faulty {
    fn fails(&self) -> Option<usize> {
        let mut state = self.0.lock().unwrap();
        match state.1 {
            Some((0, partial)) => {
                if !state.2 {
                    state.1 = None;
                }
                Some(partial)
            }
            Some((n, partial)) => {
                state.1 = Some((n - 1, partial));
                None
            }
            None => None,
        }
    }
}

impl Medium for Faulty {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let failed = self.fails();
        let mut state = self.0.lock().unwrap();
        state.0.truncate(offset as usize);
        state.0.extend_from_slice(&bytes[..failed.unwrap_or(bytes.len()).min(bytes.len())]);
        failed.map_or(Ok(()), |_| Err(io::ErrorKind::StorageFull.into()))
    }
    fn sync(&mut self) -> io::Result<()> {
        self.fails().map_or(Ok(()), |_| Err(io::ErrorKind::Other.into()))
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if self.fails().is_some() {
            return Err(io::ErrorKind::Other.into());
        }
        self.0.lock().unwrap().0.truncate(length as usize);
        Ok(())
    }
}

#[test]
fn a_failed_append_is_undone_or_ends_the_log() {
    let block = Block { header: genesis().0.header(), entries: vec![] };
    let whole = record(&block).len();
    for partial in [0, 1, 11, 12, whole - 1, whole] {
        let (blocks, head) = (Faulty::default(), Faulty::default());
        let mut log = Log::over(Box::new(blocks.clone()), Box::new(head.clone()), 0);
        blocks.0.lock().unwrap().1 = Some((0, partial));
        assert!(matches!(log.append(&block), Err(AppendError::Undone(_))));
        assert_eq!(blocks.0.lock().unwrap().0.len(), 0, "nothing half-written remains");
        assert_eq!(head.0.lock().unwrap().0.len(), 0);
        log.append(&block).unwrap();
        assert_eq!((blocks.0.lock().unwrap().0.len(), log.length()), (whole, whole as u64));
        // The disk refuses to be cut back as well.
        blocks.0.lock().unwrap().1 = Some((0, partial));
        blocks.0.lock().unwrap().2 = true;
        assert!(matches!(log.append(&block), Err(AppendError::Broken(_))));
        assert_eq!(log.length(), whole as u64);
    }
    for (blocks_fault, head_fault) in [(Some((1, 0)), None), (None, Some((0, 0))), (None, Some((0, 20)))] {
        let (blocks, head) = (Faulty::default(), Faulty::default());
        let mut log = Log::over(Box::new(blocks.clone()), Box::new(head.clone()), 0);
        blocks.0.lock().unwrap().1 = blocks_fault;
        head.0.lock().unwrap().1 = head_fault;
        assert!(matches!(log.append(&block), Err(AppendError::Broken(_))));
        assert_eq!(log.length(), 0);
    }
}
