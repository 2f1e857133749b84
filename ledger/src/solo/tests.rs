//! The engine whole: life of an asset, every denial, every refusal, restarts, concurrency.

use super::*;
use crate::account::Signature;
use crate::audit::{AuditError, Replay, audit_log};
use crate::block::{DenyReason, EntryBody, Outcome, Receipt};
use crate::chain::{INDEX_BAD, INDEX_FOLDER};
use crate::ids::{AssetId, BlockHeight, TxHash};
use crate::index::Index;
use crate::light::{LightError, verify_entry, verify_extension};
use crate::state::execute::genesis_batch;
use crate::state::{Rejection, RequestStatus};
use crate::testing::*;
use crate::tx::{GrantTerms, SignedTx, Tx, TxBody, TxError};
use sealgate_circuits::question::Item;

struct World {
    dir: tempfile::TempDir,
    ledger: Ledger,
    genesis: Genesis,
    owner: AccountSecret,
    asker: AccountSecret,
    asset: AssetId,
    nonce: u64,
}

fn world() -> World {
    world_with(SoloConfig::default())
}

fn world_with(config: SoloConfig) -> World {
    let dir = tempfile::tempdir().unwrap();
    let (genesis, owner) = genesis();
    let ledger = Ledger::create_with(dir.path(), genesis.clone(), owner.clone(), config).unwrap();
    let asset = asset_id(&genesis, &owner.address(), "licences");
    let asker = secret("Bank", 2);
    let mut world = World { dir, ledger, genesis, owner, asker, asset, nonce: 0 };
    world.own(register("licences")).unwrap();
    let account = world.asker.public().clone();
    world.ask(TxBody::OpenAccount { account, identity: vec![] }).unwrap();
    world
}

impl World {
    fn send(&mut self, secret: &AccountSecret, body: TxBody) -> Result<Receipt, SubmitError> {
        self.nonce += 1;
        let expiry = self.ledger.head().height.0 + 100;
        self.ledger.submit(sign(&self.genesis, secret, self.nonce, expiry, body))
    }
    fn own(&mut self, body: TxBody) -> Result<Receipt, SubmitError> {
        let owner = self.owner.clone();
        self.send(&owner, body)
    }
    fn ask(&mut self, body: TxBody) -> Result<Receipt, SubmitError> {
        let asker = self.asker.clone();
        self.send(&asker, body)
    }
    fn grant(&mut self, change: impl FnOnce(&mut GrantTerms)) -> Receipt {
        let mut terms = terms();
        change(&mut terms);
        let (asset, to) = (self.asset, self.asker.address());
        self.own(TxBody::Grant { asset, to, terms }).unwrap()
    }
    fn question(&mut self, items: Vec<Item>) -> Receipt {
        let body = request(self.asset, items);
        self.ask(body).unwrap()
    }
    fn denied(&mut self, items: Vec<Item>) -> DenyReason {
        let receipt = self.question(items);
        let Outcome::Denied { reason } = receipt.outcome else { panic!("{receipt:?}") };
        let view = self.ledger.request(&receipt.hash).unwrap().unwrap();
        assert_eq!(view.status, RequestStatus::Denied { reason });
        assert!(!reason.to_string().is_empty());
        reason
    }
    fn used(&self) -> u64 {
        self.ledger.grant(&self.asset, &self.asker.address()).unwrap().unwrap().used
    }
    fn refused(&mut self, by_owner: bool, body: TxBody) -> Rejection {
        let size = self.ledger.head().tree_size;
        let result = if by_owner { self.own(body) } else { self.ask(body) };
        let Err(SubmitError::Rejected(rejection)) = result else { panic!("{result:?}") };
        assert_eq!(self.ledger.head().tree_size, size, "refused transactions are in no block");
        rejection
    }
}

fn fields() -> Vec<Item> {
    vec![Item::Disclose(1), Item::Prove(fee_at_least(Some(500)))]
}

#[test]
fn a_question_is_granted_answered_and_proven() {
    let mut w = world();
    w.grant(|_| {});
    let old = w.ledger.checkpoint().verify(&w.genesis.chain_id(), &w.genesis.members()).unwrap();
    let asked = w.question(fields());
    assert!(matches!(asked.outcome, Outcome::Granted { version: 1, deadline } if deadline == asked.height.plus(3)));
    let answered = w.own(answer(asked.hash, 1)).unwrap();
    let view = w.ledger.request(&asked.hash).unwrap().unwrap();
    assert!(matches!(view.status, RequestStatus::Answered { version: 1, answer, .. } if answer == answered.hash));
    assert_eq!(w.ledger.requests(None, None, 10).unwrap(), vec![view.clone()]);
    assert_eq!(w.ledger.requests(Some(&w.asset), None, 10).unwrap(), vec![view.clone()]);
    assert!(w.ledger.requests(Some(&w.asset), Some(view.entry_index), 10).unwrap().is_empty());
    let json = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<crate::state::RequestView>(&json).unwrap(), view);

    let new = w.ledger.checkpoint().verify(&w.genesis.chain_id(), &w.genesis.members()).unwrap();
    for index in 0..new.size {
        let proof = w.ledger.prove_entry(index, new.size).unwrap();
        verify_entry(&proof, &new).unwrap();
        let mut other = proof.clone();
        other.entry.height = other.entry.height.next();
        assert!(matches!(verify_entry(&other, &new), Err(LightError::NotIncluded { .. })));
        assert_eq!(verify_entry(&proof, &old).is_ok(), new.size == old.size);
    }
    let proof = w.ledger.prove_consistency(old.size, new.size).unwrap();
    verify_extension(&old, &new, &proof).unwrap();
    assert!(matches!(verify_extension(&new, &old, &[]), Err(LightError::Older { .. })));
    let mut two = new;
    two.root.0[0] ^= 1;
    assert!(matches!(verify_extension(&new, &two, &[]), Err(LightError::Contradiction { .. })));
    assert!(matches!(verify_extension(&old, &two, &proof), Err(LightError::NotExtended { .. })));
    assert!(w.ledger.prove_entry(new.size, new.size).is_err());
    assert!(w.ledger.prove_entry(0, new.size + 1).is_err());
    assert!(w.ledger.prove_consistency(0, new.size + 1).is_err());
    assert!(w.ledger.block(BlockHeight(99)).is_err());
    assert!(w.ledger.audit().unwrap().index_compared);
}

#[test]
fn each_reason_to_deny() {
    let mut w = world();
    assert_eq!(w.denied(fields()), DenyReason::NoGrant);
    w.grant(|_| {});
    assert_eq!(w.denied(vec![Item::Disclose(0)]), DenyReason::Field { column: 0 });
    assert_eq!(
        w.denied(vec![Item::Disclose(1), Item::Prove(fee_at_least(Some(501)))]),
        DenyReason::Predicate { item: 1 }
    );
    assert_eq!(w.denied(vec![Item::Prove(fee_at_least(None))]), DenyReason::Predicate { item: 0 });
    assert_eq!(w.denied(vec![]), DenyReason::Existence);
    w.grant(|terms| terms.purpose = "another".into());
    assert_eq!(w.denied(fields()), DenyReason::Purpose);
    w.grant(|terms| terms.not_before_ms = Some(u64::MAX));
    assert_eq!(w.denied(fields()), DenyReason::NotYet);
    w.grant(|terms| terms.until_ms = Some(1));
    assert_eq!(w.denied(fields()), DenyReason::Expired);
    w.grant(|terms| terms.quota = Some(1));
    assert!(matches!(w.question(fields()).outcome, Outcome::Granted { .. }));
    assert_eq!(w.denied(fields()), DenyReason::QuotaUsed);
    w.grant(|terms| {
        terms.existence = true;
        terms.purpose = "test".into();
    });
    assert!(matches!(w.question(vec![]).outcome, Outcome::Granted { .. }));
}

#[test]
fn each_reason_to_refuse() {
    let mut w = world();
    let (asset, asker) = (w.asset, w.asker.address());
    let nowhere = AssetId([0; 32]);
    let account = w.asker.public().clone();
    assert!(matches!(
        w.refused(false, TxBody::OpenAccount { account, identity: vec![] }),
        Rejection::AlreadyEnrolled(_)
    ));
    let account = secret("x", 9).public().clone();
    assert!(matches!(
        w.refused(false, TxBody::OpenAccount { account, identity: vec![] }),
        Rejection::NotOwnAccount { .. }
    ));
    assert!(matches!(w.refused(true, register("licences")), Rejection::AssetExists { .. }));
    assert!(matches!(w.refused(true, register("1x")), Rejection::Malformed(TxError::AssetName(_))));
    assert!(matches!(
        w.refused(true, TxBody::PublishVersion { asset, version: version(3) }),
        Rejection::VersionNumber { expected: 2, .. }
    ));
    assert!(matches!(
        w.refused(false, TxBody::PublishVersion { asset, version: version(2) }),
        Rejection::NotOwner { .. }
    ));
    assert!(matches!(
        w.refused(true, TxBody::PublishVersion { asset: nowhere, version: version(2) }),
        Rejection::UnknownAsset(_)
    ));
    assert!(matches!(w.refused(false, TxBody::Grant { asset, to: asker, terms: terms() }), Rejection::NotOwner { .. }));
    let bad = GrantTerms { disclose: vec![2], ..terms() };
    assert!(matches!(
        w.refused(true, TxBody::Grant { asset, to: asker, terms: bad }),
        Rejection::Malformed(TxError::Use { column: 2, .. })
    ));
    for bad in
        [GrantTerms { disclose: vec![1, 1], ..terms() }, GrantTerms { disclose: vec![], prove: vec![], ..terms() }]
    {
        assert!(matches!(w.refused(true, TxBody::Grant { asset, to: asker, terms: bad }), Rejection::Malformed(_)));
    }
    assert!(matches!(w.refused(true, TxBody::Revoke { asset, to: asker }), Rejection::NoSuchGrant { .. }));
    assert!(matches!(w.refused(false, request(nowhere, vec![])), Rejection::UnknownAsset(_)));
    assert!(matches!(
        w.refused(false, request(asset, vec![Item::Disclose(9)])),
        Rejection::Malformed(TxError::Question(_))
    ));
    assert!(matches!(w.refused(true, answer(TxHash([0; 32]), 1)), Rejection::UnknownRequest(_)));
    let denied = w.question(fields()).hash;
    assert!(matches!(w.refused(true, answer(denied, 1)), Rejection::NotGranted(_)));
    w.grant(|_| {});
    let asked = w.question(fields()).hash;
    w.own(TxBody::PublishVersion { asset, version: version(2) }).unwrap();
    assert!(matches!(w.refused(false, answer(asked, 1)), Rejection::NotOwner { .. }));
    assert!(matches!(w.refused(true, answer(asked, 2)), Rejection::WrongVersion { bound: 1, .. }));
    for bad in [0, 48, 4096 + 48, 8192, 8239, 8241, (8 << 20) + 47, (16 << 20) + 48, u32::MAX] {
        let mut body = answer(asked, 1);
        if let TxBody::Answer { bytes, .. } = &mut body {
            *bytes = bad;
        }
        assert!(matches!(w.refused(true, body), Rejection::Malformed(TxError::Sealed(found)) if found == bad));
    }
    w.own(answer(asked, 1)).unwrap();
    assert!(matches!(w.refused(true, answer(asked, 1)), Rejection::AlreadyAnswered { .. }));
    let asked = w.question(fields()).hash;
    w.grant(|_| {});
    assert!(matches!(w.refused(true, answer(asked, 2)), Rejection::GrantGone { what: "was replaced", .. }));
    w.own(TxBody::Revoke { asset, to: asker }).unwrap();
    assert!(matches!(w.refused(true, answer(asked, 2)), Rejection::GrantGone { what: "was revoked", .. }));
    w.ledger.audit().unwrap();
}

#[test]
fn envelopes_are_checked() {
    let w = world();
    let head = w.ledger.head().height.0;
    let body = || TxBody::Revoke { asset: w.asset, to: w.asker.address() };
    let refused = |tx: SignedTx| match w.ledger.submit(tx) {
        Err(SubmitError::Rejected(rejection)) => rejection,
        other => panic!("{other:?}"),
    };
    let good = sign(&w.genesis, &w.owner, 0, head + 1, body());
    let mut forged = good.clone();
    forged.signature = Signature([1; 64]);
    assert!(matches!(refused(forged), Rejection::Signature(_)));
    let mut moved = good.clone();
    moved.tx.nonce = 1;
    assert!(matches!(refused(moved), Rejection::Signature(_)));
    assert!(matches!(refused(sign(&w.genesis, &w.owner, 0, head, body())), Rejection::Expired { .. }));
    assert!(matches!(refused(sign(&w.genesis, &w.owner, 0, head + 10_001, body())), Rejection::ExpiryTooFar { .. }));
    assert!(matches!(refused(sign(&w.genesis, &secret("x", 9), 0, head + 1, body())), Rejection::UnknownSender(_)));
    let mut other = w.genesis.clone();
    other.name = "other".into();
    assert!(matches!(refused(sign(&other, &w.owner, 0, head + 1, body())), Rejection::WrongChain { .. }));
    let by_other = Tx { sender: w.owner.address(), ..good.tx.clone() }.sign(&w.asker);
    assert!(matches!(refused(by_other), Rejection::Signature(_)));
    let bytes = good.encode();
    assert_eq!(SignedTx::decode(&bytes).unwrap(), good);
    for end in 0..bytes.len() {
        assert!(SignedTx::decode(&bytes[..end]).is_err());
    }
    assert!(SignedTx::decode(&[bytes, vec![0]].concat()).is_err());
}

#[test]
fn resubmitting_returns_the_receipt_and_changes_nothing() {
    let mut w = world();
    w.grant(|_| {});
    let tx = sign(&w.genesis, &w.asker, 77, 50, request(w.asset, fields()));
    let receipt = w.ledger.submit(tx.clone()).unwrap();
    let head = w.ledger.head();
    assert_eq!(w.ledger.submit(tx).unwrap(), receipt);
    assert_eq!(w.ledger.head(), head);
    assert_eq!(w.used(), 1);
}

#[test]
fn an_unanswered_request_gives_its_quota_back_by_itself() {
    let mut w = world_with(SoloConfig { tick: Duration::from_millis(20), ..SoloConfig::default() });
    w.grant(|terms| terms.quota = Some(1));
    let asked = w.question(fields());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    // The state shows a block a moment before its checkpoint is signed.
    while w.used() != 0 || w.ledger.head().height < asked.height.plus(4) {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    let view = w.ledger.request(&asked.hash).unwrap().unwrap();
    assert_eq!(view.status, RequestStatus::Unanswered { height: asked.height.plus(4) });
    let last = w.ledger.entry(w.ledger.head().tree_size - 1).unwrap();
    assert_eq!(last.body, EntryBody::Unanswered { request: asked.hash });
    assert!(matches!(w.refused(true, answer(asked.hash, 1)), Rejection::Unanswered { .. }));
    let audit = w.ledger.audit().unwrap();
    assert_eq!((audit.replay.summary().granted, audit.replay.summary().unanswered), (1, 1));
}

#[test]
fn a_replaced_grant_gets_no_quota_back() {
    let mut w = world();
    w.grant(|terms| terms.quota = Some(1));
    let first = w.question(fields());
    w.grant(|terms| terms.quota = Some(5));
    for number in 2..4 {
        w.own(TxBody::PublishVersion { asset: w.asset, version: version(number) }).unwrap();
    }
    w.question(fields());
    let view = w.ledger.request(&first.hash).unwrap().unwrap();
    assert_eq!(view.status, RequestStatus::Unanswered { height: first.height.plus(4) });
    assert_eq!(w.used(), 1);
    w.ledger.audit().unwrap();
}

#[test]
fn closed_enrolment_is_the_operators() {
    let dir = tempfile::tempdir().unwrap();
    let (mut genesis, operator) = genesis();
    genesis.policy.open_enrolment = false;
    let ledger = Ledger::create(dir.path(), genesis.clone(), operator.clone()).unwrap();
    let asker = secret("x", 2);
    let body = TxBody::OpenAccount { account: asker.public().clone(), identity: vec![] };
    let refused = ledger.submit(sign(&genesis, &asker, 0, 5, body.clone())).unwrap_err();
    assert!(matches!(refused, SubmitError::Rejected(Rejection::EnrolmentClosed)));
    ledger.submit(sign(&genesis, &operator, 0, 5, body)).unwrap();
    assert_eq!(ledger.accounts().unwrap().len(), 2);
}

#[test]
fn a_damaged_missing_or_foreign_index_is_rebuilt() {
    let mut w = world();
    w.grant(|_| {});
    let asked = w.question(fields());
    w.own(answer(asked.hash, 1)).unwrap();
    let (head, view) = (w.ledger.head(), w.ledger.request(&asked.hash).unwrap());
    let World { dir, ledger, owner, .. } = w;
    drop(ledger);
    let index = dir.path().join(INDEX_FOLDER);
    let check = || {
        let ledger = Ledger::open(dir.path(), owner.clone()).unwrap();
        assert_eq!(ledger.head(), head);
        assert_eq!(ledger.request(&asked.hash).unwrap(), view);
        ledger.audit().unwrap();
        drop(ledger);
        assert!(audit_log(dir.path()).unwrap().index_compared);
    };
    check();
    std::fs::remove_dir_all(&index).unwrap();
    check();
    for keep in [0, 1, 100, 3000] {
        for file in ["db", "conf"] {
            let path = index.join(file);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..keep.min(bytes.len())]).unwrap();
            check();
        }
    }
    std::fs::remove_dir_all(&index).unwrap();
    std::fs::write(&index, b"a file").unwrap();
    check();
    std::fs::write(dir.path().join(INDEX_BAD), b"").unwrap();
    check();
    assert!(!dir.path().join(INDEX_BAD).exists());
}

#[test]
fn an_index_that_says_something_else_fails_the_audit() {
    let w = world();
    let mut batch = genesis_batch(&w.genesis);
    batch.head = w.ledger.head();
    batch.writes.insert(b"gextra".to_vec(), Some(vec![1]));
    w.ledger.core().index.apply(&batch).unwrap();
    assert!(matches!(w.ledger.audit(), Err(AuditError::IndexDiffers { .. })));
}

#[test]
fn one_process_one_operator_one_folder() {
    let w = world();
    let path = w.dir.path();
    assert!(matches!(Ledger::open(path, w.owner.clone()), Err(LedgerError::InUse(_))));
    assert!(!audit_log(path).unwrap().index_compared);
    let World { dir, ledger, genesis, owner, asker, .. } = w;
    let head = ledger.head();
    drop(ledger);
    assert!(matches!(Ledger::create(dir.path(), genesis, owner.clone()), Err(LedgerError::Exists(_))));
    assert!(matches!(Ledger::open(dir.path(), asker), Err(LedgerError::WrongOperator { .. })));
    assert!(matches!(Ledger::open(&dir.path().join("x"), owner.clone()), Err(LedgerError::NotFound(_))));
    assert_eq!(Ledger::open(dir.path(), owner).unwrap().head(), head);
}

#[test]
fn eight_threads_lose_nothing() {
    let mut w = world();
    w.grant(|_| {});
    let receipts: Vec<Receipt> = std::thread::scope(|scope| {
        let work: Vec<_> = (0..8u64)
            .map(|thread| {
                let (ledger, genesis, asker, asset) = (w.ledger.clone(), &w.genesis, &w.asker, w.asset);
                scope.spawn(move || {
                    let send =
                        |i| ledger.submit(sign(genesis, asker, thread * 1000 + i, 1000, request(asset, fields())));
                    (0..40).map(|i| send(i).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        work.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let distinct: std::collections::BTreeSet<u64> = receipts.iter().map(|receipt| receipt.entry_index).collect();
    assert_eq!(distinct.len(), 320);
    let asked = w.ledger.audit().unwrap().replay.summary();
    assert_eq!(asked.granted, 320);
    let found = w.ledger.requests(None, None, 1000).unwrap();
    assert_eq!(found.len(), 320);
    assert!(found.is_sorted_by(|a, b| a.entry_index < b.entry_index));
    let World { dir, ledger, owner, .. } = w;
    drop(ledger);
    let ledger = Ledger::open(dir.path(), owner).unwrap();
    receipts.iter().for_each(|receipt| assert_eq!(ledger.receipt(&receipt.hash).unwrap(), Some(*receipt)));
}

#[test]
fn a_block_that_was_tampered_with_fails_the_replay() {
    let mut w = world();
    w.grant(|_| {});
    w.question(fields());
    let head = w.ledger.head().height.0;
    let blocks: Vec<_> = (1..=head).map(|height| w.ledger.block(BlockHeight(height)).unwrap()).collect();
    let mut replay = Replay::new(w.genesis.clone()).unwrap();
    blocks.iter().for_each(|block| replay.apply(block).unwrap());
    assert_eq!(replay.head(), &w.ledger.head());
    let seen = w.ledger.checkpoint().verify(&w.genesis.chain_id(), &w.genesis.members()).unwrap();
    replay.check_root(seen.size, &seen.root).unwrap();
    assert_eq!(replay.checkpoint(), seen);
    let tampered: [&dyn Fn(&mut crate::block::Block); 7] = [
        &|block| block.header.time_ms = 1,
        &|block| block.header.height = BlockHeight(9),
        &|block| block.header.previous.0[0] ^= 1,
        &|block| block.header.log_root.0[0] ^= 1,
        &|block| block.entries.clear(),
        &|block| {
            if let EntryBody::Transaction { outcome, .. } = &mut block.entries[0].body {
                *outcome = Outcome::Denied { reason: DenyReason::Purpose };
            }
        },
        &|block| {
            if let EntryBody::Transaction { tx, .. } = &mut block.entries[0].body {
                tx.signature.0[40] ^= 1;
            }
        },
    ];
    for tamper in tampered {
        let mut replay = Replay::new(w.genesis.clone()).unwrap();
        for (at, block) in blocks.iter().enumerate() {
            let mut changed = block.clone();
            tamper(&mut changed);
            let error = replay.apply(&changed).unwrap_err();
            assert!(error.to_string().contains(&format!("block {}", at + 1)), "{error}");
            replay.apply(block).unwrap();
        }
    }
}

#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    const WEEK_MS: u64 = 7 * 24 * 3600 * 1000;
    let (dir, (mut genesis, owner)) = (tempfile::tempdir().unwrap(), genesis());
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // The last block is of next week: as if the clock had been right then.
    genesis.created_ms = u64::try_from(clock.as_millis()).unwrap() + WEEK_MS;
    let config = SoloConfig { tick: Duration::from_millis(20), ..SoloConfig::default() };
    let mut ledger = Ledger::create_with(dir.path(), genesis.clone(), owner.clone(), config).unwrap();
    let (asset, to) = (asset_id(&genesis, &owner.address(), "a"), owner.address());
    ledger.submit(sign(&genesis, &owner, 0, 500, register("a"))).unwrap();
    let granted = sign(&genesis, &owner, 1, 500, TxBody::Grant { asset, to, terms: terms() });
    let receipt = ledger.submit(granted.clone()).unwrap();
    drop(ledger);
    ledger = Ledger::open_with(dir.path(), owner.clone(), config).unwrap();
    assert_eq!(ledger.submit(granted).unwrap(), receipt);
    let asked = ledger.submit(sign(&genesis, &owner, 2, 500, request(asset, fields()))).unwrap();
    // Deadlines count blocks, and pass.
    let status = || ledger.request(&asked.hash).unwrap().unwrap().status;
    let passed = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        matches!(status(), RequestStatus::Unanswered { .. })
    });
    assert!(passed, "{:?}", status());
    // Time advances by a millisecond a block.
    let head = ledger.head();
    let times: Vec<u64> = (0..=head.height.0).map(|at| ledger.block(BlockHeight(at)).unwrap().header.time_ms).collect();
    assert!(times.iter().zip(genesis.created_ms..).all(|(time, expected)| *time == expected), "{times:?}");
}
