//! What every ordering engine keeps, one suite for all: `suite!(Stand)` makes its tests.

use sealgate_circuits::question::Item;

use crate::account::AccountSecret;
use crate::audit::Replay;
use crate::block::{DenyReason, EntryBody, Outcome, Receipt};
use crate::chain::Ledger;
use crate::error::SubmitError;
use crate::genesis::Genesis;
use crate::ids::BlockHeight;
use crate::light::{verify_entry, verify_extension};
use crate::state::{Rejection, RequestStatus};
use crate::testing::{asset_id, deliver, register, request, request_whole, sign, terms};
use crate::tx::{GrantTerms, SignedTx, TxBody};

/// A ledger under one engine.
pub(crate) trait Stand {
    /// A fresh one.
    fn new() -> Self;
    fn genesis(&self) -> &Genesis;
    /// An account that is enrolled from the start.
    fn account(&self) -> AccountSecret;
    /// Where transactions are submitted.
    fn ledger(&self) -> Ledger;
    /// Somewhere else where the ledger can be read; the same place if there is only one.
    fn elsewhere(&self) -> Ledger;
    /// Stops everything and starts it again.
    fn restart(&mut self);
}

fn tx<S: Stand>(stand: &S, nonce: u64, body: TxBody) -> SignedTx {
    sign(stand.genesis(), &stand.account(), nonce, 1_000, body)
}

fn named(nonce: u64) -> TxBody {
    register(&format!("asset-{nonce}"))
}

fn submit<S: Stand>(stand: &S, nonce: u64, body: TxBody) -> Receipt {
    stand.ledger().submit(tx(stand, nonce, body)).unwrap()
}

fn until(mut holds: impl FnMut() -> bool) -> bool {
    (0..3_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        holds()
    })
}

/// An acknowledged transaction is in the state, in its block, and under a checkpoint of a quorum.
pub(crate) fn acknowledged_is_seen<S: Stand>() {
    let stand = S::new();
    for nonce in 0..3 {
        let receipt = submit(&stand, nonce, named(nonce));
        let ledger = stand.ledger();
        let (header, note) = ledger.signed_head();
        let checkpoint = note.verify(&header.chain, &ledger.members().unwrap()).unwrap();
        assert!(checkpoint.size > receipt.entry_index && checkpoint.height >= receipt.height);
        assert_eq!(
            (checkpoint.height, checkpoint.block, checkpoint.root),
            (header.height, header.hash(), header.log_root)
        );
        assert_eq!(ledger.receipt(&receipt.hash).unwrap(), Some(receipt));
        let proof = ledger.prove_entry(receipt.entry_index, checkpoint.size).unwrap();
        verify_entry(&proof, &checkpoint).unwrap();
        assert!(matches!(&proof.entry.body, EntryBody::Transaction { tx, .. } if tx.hash() == receipt.hash));
        assert!(until(|| stand.elsewhere().receipt(&receipt.hash).unwrap() == Some(receipt)));
    }
}

/// The same transaction again has the receipt it has, at once, later, and after a restart.
pub(crate) fn again_is_the_same<S: Stand>() {
    let mut stand = S::new();
    let once = tx(&stand, 1, named(1));
    let receipt = stand.ledger().submit(once.clone()).unwrap();
    assert_eq!(stand.ledger().submit(once.clone()).unwrap(), receipt);
    assert_eq!(stand.elsewhere().submit(once.clone()).unwrap(), receipt);
    stand.restart();
    assert_eq!(stand.ledger().submit(once).unwrap(), receipt);
    assert_eq!(stand.ledger().head().tree_size, 1);
}

/// What one sender sends in turn is in that order; what many send at once is there once each.
pub(crate) fn order_is_one<S: Stand>() {
    let stand = S::new();
    let receipts: Vec<Receipt> = (0..4).map(|nonce| submit(&stand, nonce, named(nonce))).collect();
    assert!(receipts.windows(2).all(|two| two[0].entry_index < two[1].entry_index));
    let mut entries: Vec<u64> = std::thread::scope(|scope| {
        let senders: Vec<_> = (4..20)
            .map(|nonce| (nonce, &stand))
            .map(|(nonce, stand)| {
                let (ledger, tx) = (stand.ledger(), tx(stand, nonce, named(nonce)));
                scope.spawn(move || ledger.submit(tx).unwrap().entry_index)
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    entries.sort_unstable();
    assert_eq!(entries, (4..20).collect::<Vec<_>>());
}

/// What the rules refuse is in no block, and the sender is told why.
pub(crate) fn refused_is_nowhere<S: Stand>() {
    let stand = S::new();
    submit(&stand, 0, named(0));
    let twice = stand.ledger().submit(tx(&stand, 1, named(0)));
    assert!(matches!(twice, Err(SubmitError::Rejected(Rejection::AssetExists { .. }))), "{twice:?}");
    let mut forged = tx(&stand, 2, named(2));
    forged.signature.0[0] ^= 1;
    assert!(matches!(stand.ledger().submit(forged), Err(SubmitError::Rejected(_))));
    let late = sign(stand.genesis(), &stand.account(), 3, 0, named(3));
    assert!(matches!(stand.ledger().submit(late), Err(SubmitError::Rejected(_))));
    submit(&stand, 4, named(4));
    // Nor does it make a block: deadlines count them.
    let head = stand.ledger().head();
    assert_eq!((head.tree_size, head.height), (2, BlockHeight(2)));
}

/// A restart keeps every block and a checkpoint that extends the one before.
pub(crate) fn restart_keeps_all<S: Stand>() {
    let mut stand = S::new();
    let receipts: Vec<Receipt> = (0..5).map(|nonce| submit(&stand, nonce, named(nonce))).collect();
    let read = |ledger: &Ledger, height: u64| {
        (0..=height).map(|at| ledger.block(BlockHeight(at)).unwrap()).collect::<Vec<_>>()
    };
    let (header, note) = stand.ledger().signed_head();
    let before = read(&stand.ledger(), header.height.0);
    let old = note.verify(&header.chain, &stand.genesis().members()).unwrap();
    stand.restart();
    let ledger = stand.ledger();
    assert!(ledger.head().height >= header.height, "{} after {}", ledger.head().height, header.height);
    assert_eq!(read(&ledger, header.height.0), before);
    for receipt in receipts {
        assert_eq!(ledger.receipt(&receipt.hash).unwrap(), Some(receipt));
    }
    submit(&stand, 9, named(9));
    let (header, note) = ledger.signed_head();
    let new = note.verify(&header.chain, &ledger.members().unwrap()).unwrap();
    verify_extension(&old, &new, &ledger.prove_consistency(old.size, new.size).unwrap()).unwrap();
    let mut replay = Replay::new(stand.genesis().clone()).unwrap();
    read(&ledger, header.height.0).iter().skip(1).for_each(|block| replay.apply(block).unwrap());
    assert_eq!(replay.checkpoint().root, new.root);
}

/// Whole columns are asked for, delivered and counted everywhere as on the node that was told.
pub(crate) fn deliveries_are_seen<S: Stand>() {
    let mut stand = S::new();
    submit(&stand, 0, named(0));
    let (asset, to) = (asset_id(stand.genesis(), &stand.account().address(), "asset-0"), stand.account().address());
    submit(&stand, 1, TxBody::Grant { asset, to, terms: GrantTerms { whole: vec![1], ..terms() } });
    let denied = submit(&stand, 2, request_whole(asset, vec![0, 1]));
    assert_eq!(denied.outcome, Outcome::Denied { reason: DenyReason::Whole { column: 0 } });
    let asked = submit(&stand, 3, request_whole(asset, vec![1]));
    assert!(matches!(asked.outcome, Outcome::Granted { version: 1, .. }), "{asked:?}");
    let delivered = submit(&stand, 4, deliver(asked.hash, 1));
    let seen = |ledger: &Ledger| {
        let view = ledger.request(&asked.hash).unwrap();
        view.is_some_and(
            |view| matches!(view.status, RequestStatus::Delivered { delivery, .. } if delivery == delivered.hash),
        )
    };
    assert!(seen(&stand.ledger()));
    assert!(until(|| seen(&stand.elsewhere())));
    stand.restart();
    assert!(seen(&stand.ledger()));
    let again = stand.ledger().submit(tx(&stand, 5, deliver(asked.hash, 1)));
    assert!(matches!(again, Err(SubmitError::Rejected(Rejection::AlreadyAnswered { .. }))), "{again:?}");
}

/// Deadlines pass although nobody sends anything.
pub(crate) fn deadlines_pass<S: Stand>() {
    let stand = S::new();
    submit(&stand, 0, named(0));
    let (asset, to) = (asset_id(stand.genesis(), &stand.account().address(), "asset-0"), stand.account().address());
    submit(&stand, 1, TxBody::Grant { asset, to, terms: terms() });
    let asked = submit(&stand, 2, request(asset, vec![Item::Disclose(1)]));
    let Outcome::Granted { deadline, .. } = asked.outcome else { panic!("{asked:?}") };
    let status = || stand.ledger().request(&asked.hash).unwrap().unwrap().status;
    assert!(until(|| matches!(status(), RequestStatus::Unanswered { .. })), "{:?}", status());
    assert!(until(|| stand.ledger().head().height > deadline));
    // Then it is quiet: no empty blocks pile up.
    let height = stand.ledger().head().height;
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(stand.ledger().head().height, height);
}

macro_rules! suite {
    ($stand:ty: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                crate::conformance::$name::<$stand>();
            }
        )*
    };
    ($stand:ty) => {
        crate::conformance::suite!(
            $stand: acknowledged_is_seen again_is_the_same order_is_one refused_is_nowhere restart_keeps_all
                deliveries_are_seen deadlines_pass
        );
    };
}
pub(crate) use suite;

mod embedded {
    use super::*;

    /// The embedded engine.
    struct Embedded {
        dir: tempfile::TempDir,
        genesis: Genesis,
        account: AccountSecret,
        ledger: Option<Ledger>,
    }

    impl Stand for Embedded {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (genesis, account) = crate::testing::genesis();
            let ledger = Some(Ledger::create(dir.path(), genesis.clone(), account.clone()).unwrap());
            Embedded { dir, genesis, account, ledger }
        }

        fn genesis(&self) -> &Genesis {
            &self.genesis
        }

        fn account(&self) -> AccountSecret {
            self.account.clone()
        }

        fn ledger(&self) -> Ledger {
            self.ledger.clone().unwrap()
        }

        fn elsewhere(&self) -> Ledger {
            self.ledger()
        }

        fn restart(&mut self) {
            self.ledger = None;
            self.ledger = Some(Ledger::open(self.dir.path(), self.account.clone()).unwrap());
        }
    }

    suite!(Embedded);
}
