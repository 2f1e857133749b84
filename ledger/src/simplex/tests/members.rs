//! Members join, leave and are replaced while the network runs.

use super::super::CONSENSUS_FOLDER;
use super::harness::{LONG, World, eventually};
use crate::block::Receipt;
use crate::ids::{BlockHeight, TxHash};
use crate::member::Change;
use crate::testing::register;
use crate::tx::TxBody;

impl World {
    /// Has these members propose and endorse a change; each asks its own node.
    fn decide(&self, by: &[usize], change: Change) -> Receipt {
        let (first, rest) = by.split_first().unwrap();
        let proposed = self.submit(*first, *first, TxBody::Propose { change }).unwrap();
        let proposal: TxHash = proposed.hash;
        let mut last = proposed;
        for at in rest {
            last = self.submit(*at, *at, TxBody::Endorse { proposal }).unwrap();
        }
        last
    }

    fn await_epoch(&self, nodes: &[usize], epoch: u64) {
        let reached = || nodes.iter().all(|at| self.node(*at).members().unwrap().epoch == epoch);
        assert!(eventually(LONG, reached), "epoch {epoch} was not reached");
    }
}

#[test]
fn a_member_joins_votes_and_leaves_while_the_network_runs() {
    let mut world = World::new(4, 1);
    (0..4).for_each(|at| world.start(at));
    world.submit(0, 0, register("before")).unwrap();
    let joined = world.decide(&[0, 1, 2], Change::Join(world.parties[4].member.clone()));
    world.await_epoch(&[0, 1, 2, 3], 1);
    // The block that changed the members still belongs to the old ones; the next to the new.
    assert_eq!(world.node(0).block(joined.height).unwrap().header.epoch, 0);
    let next = world.submit(1, 1, register("after")).unwrap();
    assert_eq!(world.node(1).block(next.height).unwrap().header.epoch, 1);

    // The new member starts from the genesis alone, and verifies everything.
    world.start(4);
    world.await_height(&[0, 1, 2, 3, 4], next.height);
    world.agree(&[0, 1, 2, 3, 4]);
    let (header, note) = world.node(4).signed_head();
    note.verify(&header.chain, &world.node(4).members().unwrap()).unwrap();
    // Its account was enrolled with it; its vote counts: of five, four are needed.
    world.stop(0);
    let own = world.submit(4, 4, register("mine")).unwrap();
    world.await_height(&[1, 2, 3, 4], own.height);
    world.start(0);
    world.await_height(&[0], own.height);

    // It leaves again.
    let left = world.decide(&[0, 1, 2, 3], Change::Leave { account: world.parties[4].account.address() });
    world.await_epoch(&[0, 1, 2, 3], 2);
    world.stop(4);
    let after = world.submit(2, 2, register("without")).unwrap();
    assert!(after.height > left.height);
    // The journal of the epoch before the last is of no use to anybody.
    let journals =
        || [0, 1, 2].map(|epoch| world.path(2).join(CONSENSUS_FOLDER).join(format!("epoch-{epoch}")).exists());
    assert!(eventually(LONG, || journals() == [false, true, true]), "{:?}", journals());
    world.await_height(&[0, 1, 2, 3], after.height);
    world.agree(&[0, 1, 2, 3]);
}

#[test]
fn whoever_slept_through_two_epochs_catches_up_and_votes() {
    let mut world = World::new(4, 1);
    (0..4).for_each(|at| world.start(at));
    world.submit(0, 0, register("before")).unwrap();
    world.stop(3);
    world.decide(&[0, 1, 2], Change::Join(world.parties[4].member.clone()));
    world.await_epoch(&[0, 1, 2], 1);
    world.start(4);
    world.decide(&[0, 1, 2, 4], Change::Leave { account: world.parties[4].account.address() });
    world.await_epoch(&[0, 1, 2], 2);
    world.stop(4);
    let last = world.submit(0, 0, register("later")).unwrap();
    world.start(3);
    world.await_height(&[3], last.height);
    world.agree(&[0, 1, 2, 3]);
    world.stop(1);
    let receipt = world.submit(3, 3, register("awake")).unwrap();
    assert_eq!(world.node(3).block(receipt.height).unwrap().header.epoch, 2);
    assert!(receipt.height > last.height);
}

#[test]
fn all_stop_right_behind_a_change_and_go_on() {
    let mut world = World::new(4, 1);
    (0..4).for_each(|at| world.start(at));
    world.decide(&[0, 1, 2], Change::Join(world.parties[4].member.clone()));
    // Some may have executed the change, others not yet.
    (0..4).for_each(|at| world.stop(at));
    (0..5).for_each(|at| world.start(at));
    world.await_epoch(&[0, 1, 2, 3, 4], 1);
    let receipt = world.submit(4, 4, register("fifth")).unwrap();
    assert!(receipt.height > BlockHeight(2));
    world.await_height(&[0, 1, 2, 3, 4], receipt.height);
    world.agree(&[0, 1, 2, 3, 4]);
}
