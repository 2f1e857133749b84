//! Lists, absences and handovers of real ledgers, and everything that differs from them.

use super::*;
use crate::account::{AccountSecret, NodeSecret};
use crate::chain::{Chain, Opening};
use crate::engine::{Engine, Submission};
use crate::error::{LedgerError, SubmitError};
use crate::genesis::{Genesis, Network};
use crate::ids::Address;
use crate::member::{Certificate, Change, Member};
use crate::state::verify::verify_new;
use crate::state::{ExecuteError, Rejection};
use crate::testing::*;
use crate::tx::{SignedTx, TxBody};
use crate::{Ledger, SoloConfig};

struct World {
    _dir: tempfile::TempDir,
    ledger: Ledger,
    genesis: Genesis,
    owner: AccountSecret,
    asset: AssetId,
    nonce: u64,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let (genesis, owner) = genesis();
        let ledger = Ledger::create_with(dir.path(), genesis.clone(), owner.clone(), SoloConfig::default()).unwrap();
        let asset = asset_id(&genesis, &owner.address(), "licences");
        let mut world = World { _dir: dir, ledger, genesis, owner, asset, nonce: 0 };
        world.send(register("licences"));
        world
    }

    fn send(&mut self, body: TxBody) {
        self.nonce += 1;
        let expiry = self.ledger.head().height.0 + 100;
        self.ledger.submit(sign(&self.genesis, &self.owner, self.nonce, expiry, body)).unwrap();
    }

    fn grant(&mut self, to: Address) {
        let (asset, terms) = (self.asset, terms());
        self.send(TxBody::Grant { asset, to, terms });
    }

    /// The list, under a head that the members signed.
    fn list(&self, asset: &AssetId) -> AssetStanding {
        let standing = self.ledger.prove_asset(asset).unwrap();
        standing.head.verify(&self.genesis.chain_id(), &self.genesis.members()).unwrap();
        assert_eq!(standing.head.header, self.ledger.head());
        standing
    }
}

#[test]
fn the_list_is_the_whole_list_and_the_newest() {
    let mut world = World::new();
    let asset = world.asset;
    let empty = world.list(&asset);
    empty.verify(&asset).unwrap();
    assert!(empty.contract.is_some() && empty.grants.is_empty());
    let addresses: Vec<Address> = (1..=5).map(|byte| Address([byte; 32])).collect();
    for to in &addresses {
        world.grant(*to);
    }
    let five = world.list(&asset);
    five.verify(&asset).unwrap();
    assert_eq!(five.grants.iter().map(|grant| grant.to).collect::<Vec<_>>(), addresses);
    let revoked = addresses[2];
    world.send(TxBody::Revoke { asset, to: revoked });
    let four = world.list(&asset);
    four.verify(&asset).unwrap();
    assert_eq!(four.grants.len(), 4);
    // The older list does not pass under the newer head.
    AssetStanding { head: four.head.clone(), ..five.clone() }.verify(&asset).unwrap_err();
    AssetStanding { head: five.head.clone(), ..four.clone() }.verify(&asset).unwrap_err();

    let differs = |what: &str, change: &dyn Fn(&mut AssetStanding)| {
        let mut other = four.clone();
        change(&mut other);
        assert!(other.verify(&asset).is_err(), "{what}");
    };
    differs("one left out", &|list| drop(list.grants.remove(1)));
    differs("the revoked one", &|list| list.grants.push(five.grants[2].clone()));
    differs("one twice", &|list| list.grants.push(list.grants[0].clone()));
    differs("other terms", &|list| list.grants[0].terms.existence = true);
    differs("another's", &|list| list.grants[0].to = revoked);
    differs("used", &|list| list.grants[0].used = 1);
    differs("no contract", &|list| list.contract = None);
    differs("another title", &|list| list.contract.as_mut().unwrap().asset.title.push('!'));
    differs("another version", &|list| list.contract.as_mut().unwrap().version.info.records_rounded *= 2);
    differs("an older proof", &|list| list.proof = five.proof.clone());
    differs("nothing's proof", &|list| list.proof = empty.proof.clone());
    assert!(four.verify(&AssetId([7; 32])).is_err());
    // The order in which it is listed says nothing.
    let mut turned = four.clone();
    turned.grants.reverse();
    turned.verify(&asset).unwrap();

    // No such asset, proven.
    let absent = AssetId([9; 32]);
    let nothing = world.list(&absent);
    nothing.verify(&absent).unwrap();
    assert!(nothing.contract.is_none() && nothing.grants.is_empty());
    assert!(nothing.verify(&asset).is_err());

    // What is used of a grant is not proven and not told.
    let json = serde_json::to_string(&four).unwrap();
    assert_eq!(serde_json::from_str::<AssetStanding>(&json).unwrap(), four);
}

#[test]
fn single_values_are_there_or_not() {
    let mut world = World::new();
    let asset = world.asset;
    let (there, absent) = (Address([1; 32]), Address([2; 32]));
    world.grant(there);
    let ledger = &world.ledger;
    for (to, listed) in [(there, true), (absent, false)] {
        let key = StateKey::grant(&asset, &to);
        let standing = ledger.prove_grant(&asset, &to).unwrap();
        standing.verify(&key, GrantView::leaf).unwrap();
        assert_eq!(standing.value.is_some(), listed);
        let other = StateKey::grant(&asset, if listed { &absent } else { &there });
        assert!(standing.verify(&other, GrantView::leaf).is_err());
        // Neither hidden nor made up.
        let swapped = if listed { None } else { ledger.prove_grant(&asset, &there).unwrap().value };
        assert!(Standing { value: swapped, ..standing }.verify(&key, GrantView::leaf).is_err());
    }
    let owner = world.owner.address();
    let account = ledger.prove_account(&owner).unwrap();
    account.verify(&StateKey::account(&owner), crate::state::AccountView::leaf).unwrap();
    assert_eq!(account.value.unwrap().account, *world.owner.public());
    assert_eq!(ledger.prove_account(&absent).unwrap().value, None);
    let members = ledger.prove_members().unwrap();
    members.verify(&StateKey::members(), LeafDigest::of).unwrap();
    assert_eq!(members.value, Some(world.genesis.members()));
    let policy = ledger.prove_policy().unwrap();
    policy.verify(&StateKey::policy(), LeafDigest::of).unwrap();
    assert_eq!(policy.value.as_ref(), Some(&world.genesis.policy));
    let other = crate::member::Policy { denials_a_day: 7, ..world.genesis.policy.clone() };
    assert!(Standing { value: Some(other), ..policy }.verify(&StateKey::policy(), LeafDigest::of).is_err());
    assert_eq!(ledger.handovers(0).unwrap(), []);
}

#[test]
fn proofs_are_made_while_blocks_come() {
    let mut world = World::new();
    let (ledger, asset) = (world.ledger.clone(), world.asset);
    let (chain, members) = (world.genesis.chain_id(), world.genesis.members());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut made, mut last) = (0, 0);
            while !done.load(std::sync::atomic::Ordering::Relaxed) || made == 0 {
                match ledger.prove_asset(&asset) {
                    Ok(standing) => {
                        standing.head.verify(&chain, &members).unwrap();
                        standing.verify(&asset).unwrap();
                        assert!(standing.head.header.height.0 >= last, "a head went back");
                        last = standing.head.header.height.0;
                        made += 1;
                    }
                    Err(error) => assert_eq!(error, LedgerError::Changing),
                }
            }
            made
        });
        for byte in 0..40 {
            world.grant(Address([byte; 32]));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

/// An engine that orders nothing.
struct Idle;

impl Engine for Idle {
    fn submit(&self, _: Submission) -> Result<(), SubmitError> {
        Err(SubmitError::Busy)
    }
}

fn member(seed: u8) -> Member {
    Member {
        certificate: Certificate(vec![1]),
        peer: "127.0.0.1:1".into(),
        gateway: "http://127.0.0.1:2".into(),
        ..Member::operator(secret("member", seed).public())
    }
}

/// Executes transactions as the next block, and says which are refused.
fn block(chain: &mut Chain, txs: Vec<SignedTx>) -> (Header, Vec<Rejection>) {
    let core = chain.core().clone();
    let head = core.head();
    let verified = verify_new(&core.genesis.chain_id(), txs, &core.index);
    let mut builder = chain.begin(&core, &head, head.time_ms + 1).unwrap();
    let mut refused = Vec::new();
    for tx in verified {
        match builder.add(&tx.unwrap()) {
            Err(ExecuteError::Rejected(why)) => refused.push(why),
            other => drop(other.unwrap()),
        }
    }
    (chain.commit(builder).unwrap(), refused)
}

/// Executes one transaction as the next block, signed by `nodes`.
fn certified(chain: &mut Chain, tx: SignedTx, nodes: &[&AccountSecret]) {
    let (header, refused) = block(chain, vec![tx]);
    assert_eq!(refused, []);
    certify(chain, header, nodes);
}

/// Records the checkpoint of a block, signed by `nodes`.
fn certify(chain: &Chain, header: Header, nodes: &[&AccountSecret]) {
    let id = header.chain;
    let signatures: Vec<_> = nodes
        .iter()
        .map(|node| NodeSecret::of(node))
        .map(|node| (node.verify_key(), Checkpoint::of(&header).signature(&id, &node)))
        .collect();
    let note = Checkpoint::of(&header).with(&id, &signatures);
    chain.core().certify(header, note);
}

/// A ledger of one member, with the blocks that `make` makes.
fn of_one_member(make: impl FnOnce(&Genesis, &mut Chain)) -> (tempfile::TempDir, Genesis, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let network = Network { authority: Certificate(vec![1]), members: vec![member(1)] };
    let operator = secret("member", 1).public().clone();
    let genesis = Genesis { operator, network: Some(network), ..genesis().0 };
    let opening = Opening::create(dir.path(), genesis.clone()).unwrap();
    let ledger = opening.with(|mut chain| {
        make(&genesis, &mut chain);
        Ok::<_, LedgerError>(Box::new(Idle) as Box<dyn Engine>)
    });
    (dir, genesis, ledger.unwrap())
}

/// A ledger of one member, which takes in a second and leaves: its handovers.
fn handovers() -> (tempfile::TempDir, Genesis, Vec<Handover>) {
    let (first, second) = (&secret("member", 1), &secret("member", 2));
    let (dir, genesis, ledger) = of_one_member(|genesis, chain| {
        let join = TxBody::Propose { change: Change::Join(member(2)) };
        certified(chain, sign(genesis, first, 1, 50, join), &[first]);
        // A block in between ends nothing.
        let body = TxBody::OpenAccount { account: secret("x", 9).public().clone(), identity: vec![] };
        certified(chain, sign(genesis, first, 2, 50, body), &[first, second]);
        let leave = TxBody::Propose { change: Change::Leave { account: first.address() } };
        let proposed = sign(genesis, first, 3, 50, leave);
        let proposal = proposed.hash();
        certified(chain, proposed, &[first, second]);
        let endorse = sign(genesis, second, 4, 50, TxBody::Endorse { proposal });
        certified(chain, endorse, &[first, second]);
    });
    let found = ledger.handovers(0).unwrap();
    assert_eq!(ledger.handovers(1).unwrap(), found[1..]);
    assert_eq!(ledger.handovers(2).unwrap(), []);
    (dir, genesis, found)
}

#[test]
fn changes_that_come_together_are_followed_one_by_one() {
    let first = &secret("member", 1);
    let nodes = [2, 3].map(|seed| secret("node", seed));
    let with_node = |at: usize| Member { node_key: nodes[at].public().verify_key, ..member(1) };
    let (_dir, genesis, ledger) = of_one_member(|genesis, chain| {
        let replace = |at: usize| {
            let change = Change::Replace { account: first.address(), member: with_node(at) };
            sign(genesis, first, 1 + at as u64, 50, TxBody::Propose { change })
        };
        // Either is done with the only member's word.
        let (header, refused) = block(chain, vec![replace(0), replace(1)]);
        assert_eq!(refused, [Rejection::MembersChanged(header.height)]);
        certify(chain, header, &[first]);
        // The very transaction that was refused, in a block that the node between signs.
        certified(chain, replace(1), &[&nodes[0]]);
    });
    let found = ledger.handovers(0).unwrap();
    let last = walk(&genesis.chain_id(), &genesis.members(), &found).unwrap();
    assert_eq!((last.epoch, last.members), (2, vec![with_node(1)]));
    assert_eq!(ledger.members().unwrap().epoch, last.epoch);
}

#[test]
fn members_hand_the_ledger_over() {
    let (_dir, genesis, found) = handovers();
    let (chain, first) = (genesis.chain_id(), genesis.members());
    assert_eq!(found.len(), 2);
    let last = walk(&chain, &first, &found).unwrap();
    assert_eq!((last.epoch, last.members.as_slice()), (2, &[member(2)][..]));
    // Who has followed some of the way goes on from there.
    assert_eq!(walk(&chain, &found[0].members, &found).unwrap(), last);
    assert_eq!(walk(&chain, &last, &found).unwrap(), last);
    assert_eq!(walk(&chain, &first, &[]).unwrap(), first);
    // None is left out, and none comes in from elsewhere.
    assert!(walk(&chain, &first, &found[1..]).is_err());
    assert!(walk(&ChainId([1; 32]), &first, &found).is_err());
    let turned: Vec<Handover> = found.iter().rev().cloned().collect();
    assert!(walk(&chain, &first, &turned).is_err());
    let mut forged = found[0].clone();
    forged.members.members.push(member(3));
    assert!(matches!(forged.verify(&chain, &first), Err(StandingError::Other(_))));
    let mut skipped = found[0].clone();
    skipped.members.epoch = 2;
    assert!(skipped.verify(&chain, &first).is_err());
    // Signed by those who come instead of those who go.
    let header = found[0].head.header.clone();
    let by_new = Checkpoint::of(&header).sign(&chain, &NodeSecret::of(&secret("member", 2)));
    let usurped = Handover { head: SignedHead { header, checkpoint: by_new }, ..found[0].clone() };
    assert!(matches!(usurped.verify(&chain, &first), Err(StandingError::Checkpoint(_))));
}

#[test]
fn no_altered_bit_hands_over() {
    let (_dir, genesis, found) = handovers();
    let (chain, first) = (genesis.chain_id(), genesis.members());
    let bytes = crate::codec::encode(&found[0]);
    let mut read = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << bit;
            if let Ok(handover) = crate::codec::decode::<Handover>("handover", &altered) {
                read += 1;
                assert!(handover.verify(&chain, &first).is_err(), "byte {at}, bit {bit}");
            }
        }
    }
    assert!(read > 1000, "only {read} alterations decode");
}
