//! Four nodes agree, execute, sign; one stops and comes back.

use super::harness::{LONG, World, eventually};
use crate::account::AccountSecret;
use crate::error::SubmitError;
use crate::ids::BlockHeight;
use crate::state::Rejection;
use crate::testing::{register, secret, sign};
use crate::tx::TxBody;

fn open_account(account: &AccountSecret) -> TxBody {
    TxBody::OpenAccount { account: account.public().clone(), identity: vec![] }
}

#[test]
fn four_members_agree_and_each_can_be_asked() {
    let world = World::running(4);
    let mut last = BlockHeight(0);
    for at in 0..4 {
        let receipt = world.submit(at, at, register(&format!("asset-{at}"))).unwrap();
        assert!(receipt.height > last, "{receipt:?} after {last}");
        last = receipt.height;
        // Whoever was acknowledged is seen where it asked, under a checkpoint of a quorum.
        let (header, checkpoint) = world.node(at).signed_head();
        assert!(header.height >= receipt.height);
        let signed = checkpoint.verify(&header.chain, &world.genesis.members()).unwrap();
        assert_eq!((signed.height, signed.block), (header.height, header.hash()));
        assert_eq!(world.node(at).assets().unwrap().len(), at + 1);
    }
    world.await_height(&[0, 1, 2, 3], last);
    assert_eq!(world.agree(&[0, 1, 2, 3]), last);
    for number in 1..=last.0 {
        let header = world.node(0).block(BlockHeight(number)).unwrap().header;
        assert_ne!(header.batch.0, [0; 32]);
        assert_eq!(header.epoch, 0);
    }
}

#[test]
fn the_same_transaction_again_has_the_same_receipt_everywhere() {
    let world = World::running(4);
    let tx = world.tx(0, 100, register("once"));
    let receipt = world.node(0).submit(tx.clone()).unwrap();
    for at in 0..4 {
        assert_eq!(world.node(at).submit(tx.clone()).unwrap(), receipt);
    }
    assert_eq!(world.node(0).head().tree_size, 1);
    let refused = world.submit(1, 0, register("once"));
    assert!(matches!(refused, Err(SubmitError::Rejected(Rejection::AssetExists { .. }))), "{refused:?}");
    let stranger = secret("Stranger", 77);
    let unknown = world.node(1).submit(sign(&world.genesis, &stranger, 1, 100, register("x")));
    assert!(matches!(unknown, Err(SubmitError::Rejected(Rejection::UnknownSender(_)))), "{unknown:?}");
    // What was refused left nothing behind: the next block is the first's successor.
    let next = world.submit(1, 1, register("next")).unwrap();
    assert_eq!(next.height, receipt.height.next());
    world.await_height(&[0, 1, 2, 3], next.height);
    assert_eq!(world.agree(&[0, 1, 2, 3]), next.height);
    assert!((0..4).all(|at| world.node(at).head().tree_size == 2));
}

#[test]
fn many_at_once_go_into_few_blocks() {
    let world = World::running(4);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .flat_map(|at| (0..8).map(move |n| (at, n)))
            .map(|(at, n)| {
                let world = &world;
                scope.spawn(move || world.submit(at, at, register(&format!("a-{at}-{n}"))).unwrap())
            })
            .collect();
        let mut entries: Vec<u64> = senders.into_iter().map(|sender| sender.join().unwrap().entry_index).collect();
        entries.sort_unstable();
        assert_eq!(entries, (0..32).collect::<Vec<_>>());
    });
    let height = world.node(0).head().height.0;
    assert!(height < 20, "{height} blocks for 32 transactions");
    world.await_height(&[0, 1, 2, 3], BlockHeight(height));
    world.agree(&[0, 1, 2, 3]);
}

#[test]
fn three_of_four_go_on_and_the_fourth_catches_up() {
    let mut world = World::running(4);
    world.submit(0, 0, register("before")).unwrap();
    world.stop(3);
    for n in 0..6 {
        world.submit(n % 3, 0, register(&format!("without-{n}"))).unwrap();
    }
    let height = world.node(0).head().height;
    world.start(3);
    world.await_height(&[3], height);
    world.agree(&[0, 1, 2, 3]);
    // It votes again: with another one down, three are left.
    world.stop(0);
    let receipt = world.submit(3, 3, register("after")).unwrap();
    world.await_height(&[1, 2, 3], receipt.height);
    world.agree(&[1, 2, 3]);
}

#[test]
fn two_of_four_decide_nothing_and_go_on_when_a_third_is_back() {
    let mut world = World::running(4);
    world.submit(0, 0, register("before")).unwrap();
    world.stop(2);
    world.stop(3);
    let (tx, ledger, head) = (world.tx(0, 500, register("waits")), world.node(0).clone(), world.node(0).head().height);
    let waiting = std::thread::spawn(move || ledger.submit(tx));
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(!waiting.is_finished());
    assert_eq!((world.node(0).head().height, world.node(1).head().height), (head, head));
    world.start(3);
    let receipt = waiting.join().unwrap().unwrap();
    world.await_height(&[0, 1, 3], receipt.height);
    world.agree(&[0, 1, 3]);
}

#[test]
fn all_stop_and_start_again_with_everything() {
    let mut world = World::running(4);
    let account = secret("Bank", 60);
    world.submit(0, 0, open_account(&account)).unwrap();
    let receipt = world.submit(1, 1, register("kept")).unwrap();
    world.await_height(&[0, 1, 2, 3], receipt.height);
    for at in 0..4 {
        world.stop(at);
    }
    for at in [2, 0, 3, 1] {
        world.start(at);
    }
    // What was acknowledged is there at once, and under a checkpoint.
    for at in 0..4 {
        assert_eq!(world.node(at).receipt(&receipt.hash).unwrap(), Some(receipt));
        assert!(eventually(LONG, || world.node(at).head().height >= receipt.height));
    }
    let after = world.submit(2, 2, register("after")).unwrap();
    world.await_height(&[0, 1, 2, 3], after.height);
    world.agree(&[0, 1, 2, 3]);
}

#[test]
fn whoever_watches_sees_peers_heads_and_stops() {
    let mut world = World::running(4);
    let receipt = world.submit(1, 1, register("seen")).unwrap();
    world.stop(0);
    world.stop(3);
    let (ledger, status) = super::super::open_watched(&world.path(0), world.config(0)).unwrap();
    assert!(eventually(LONG, || status.peers().iter().filter(|(_, connected)| *connected).count() == 2));
    assert_eq!(status.peers().len(), 3);
    assert!(eventually(LONG, || status.executed() >= receipt.height && ledger.head().height >= receipt.height));
    assert_eq!((status.is_member(), status.stopped()), (Ok(true), None));
    let down = status.peers().into_iter().find(|(_, connected)| !connected).unwrap();
    assert_eq!(down.0, world.parties[3].member.node_key);
}
