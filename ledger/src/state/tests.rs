//! The rules about accounts, members and assets, and the state tree, executed in memory.

use sealgate_circuits::question::Item;

use super::execute::{BlockBuilder, genesis_batch};
use super::replay::replay_block;
use super::tree::ContractView;
use super::verify::verify_new;
use super::*;
use crate::account::AccountSecret;
use crate::block::{Block, DenyReason, Header, Outcome, Receipt};
use crate::genesis::{Genesis, Network};
use crate::ids::{Address, AssetId, BlockHeight, Digest, StateRoot};
use crate::index::{Index, MemoryIndex};
use crate::member::{Certificate, Change, Member, MemberError, Policy, ProposalStatus};
use crate::testing::*;
use crate::trie::{self, LeafDigest, StateKey, StatePrefix};
use crate::tx::{Consent, Handing, SealedText, TextContent, TxBody};

mod whole;

struct World {
    genesis: Genesis,
    index: MemoryIndex,
    head: Header,
    blocks: Vec<Block>,
    members: Vec<AccountSecret>,
    nonce: u64,
}

fn member(secret: &AccountSecret) -> Member {
    Member {
        certificate: Certificate(vec![1]),
        peer: "127.0.0.1:1".into(),
        gateway: "http://127.0.0.1:2".into(),
        ..Member::operator(secret.public())
    }
}

fn network() -> World {
    let members: Vec<AccountSecret> = (1..=4).map(|seed| secret("member", seed)).collect();
    let network = Network { authority: Certificate(vec![1]), members: members.iter().map(member).collect() };
    let (genesis, _) = genesis();
    let genesis = Genesis { operator: members[0].public().clone(), network: Some(network), ..genesis };
    genesis.validate().unwrap();
    let index = MemoryIndex::default();
    index.apply(&genesis_batch(&genesis)).unwrap();
    let head = genesis.header();
    World { genesis, index, head, blocks: Vec::new(), members, nonce: 0 }
}

impl World {
    /// One transaction in a block of its own, or the reason why it is refused.
    fn send(&mut self, by: &AccountSecret, body: TxBody) -> Result<Receipt, Rejection> {
        self.nonce += 1;
        let tx = sign(&self.genesis, by, self.nonce, self.head.height.0 + 50, body);
        let verified = match verify_new(&self.genesis.chain_id(), [tx], &self.index).pop().unwrap() {
            Ok(verified) => verified,
            Err(ExecuteError::Rejected(why)) => return Err(why),
            Err(error) => panic!("{error}"),
        };
        let time_ms = self.head.time_ms + 1;
        let mut builder = BlockBuilder::begin(&self.genesis, &self.index, &self.head, time_ms).unwrap();
        let result = builder.add(&verified);
        let (block, batch) = builder.of_batch(Digest([7; 32])).seal(0).unwrap();
        let replayed = replay_block(&self.genesis, &self.index, &self.head, &block, 0).unwrap();
        assert_eq!(replayed.writes, batch.writes);
        self.index.apply(&batch).unwrap();
        self.head = block.header.clone();
        self.blocks.push(block);
        match result {
            Ok(receipt) => Ok(receipt),
            Err(ExecuteError::Rejected(why)) => Err(why),
            Err(error) => panic!("{error}"),
        }
    }

    fn member(&mut self, at: usize, body: TxBody) -> Result<Receipt, Rejection> {
        let by = self.members[at].clone();
        self.send(&by, body)
    }

    /// Proposes by the first member and endorses by the next two.
    fn decide(&mut self, change: Change) {
        self.decide_but(3, change);
    }

    /// The same by all but one of the four.
    fn decide_but(&mut self, without: usize, change: Change) {
        let by: Vec<usize> = (0..4).filter(|at| *at != without).collect();
        let proposal = self.member(by[0], TxBody::Propose { change }).unwrap().hash;
        for at in &by[1..] {
            self.member(*at, TxBody::Endorse { proposal }).unwrap();
        }
        let view = query::proposal(&self.index, &proposal).unwrap().unwrap();
        assert_eq!(view.status, ProposalStatus::Done { height: self.head.height });
    }

    fn asset(&mut self, at: usize, name: &str) -> AssetId {
        self.member(at, register(name)).unwrap();
        asset_id(&self.genesis, &self.members[at].address(), name)
    }

    /// What `to` would agree to who is given the asset as it stands.
    fn handing(&self, asset: AssetId, to: Address) -> Handing {
        let view = query::asset(&self.index, &asset).unwrap().unwrap();
        view.handing(self.genesis.chain_id(), to, BlockHeight(self.head.height.0 + 50))
    }

    /// The asset's transfer as it stands to `to`, who agrees to it.
    fn transfer(&self, asset: AssetId, to: &AccountSecret) -> TxBody {
        let consent = self.handing(asset, to.address()).sign(to);
        TxBody::Transfer { asset, to: to.address(), consent }
    }

    /// The leaf that the head's state root proves under the key.
    fn proven(&self, key: StateKey) -> Option<LeafDigest> {
        let proof = trie::prove(&self.index, &key).unwrap();
        trie::verify(&self.head.state_root, &key, &proof).unwrap()
    }
}

#[test]
fn members_decide_by_more_than_two_thirds() {
    let mut w = network();
    let fifth = secret("member", 5);
    let join = Change::Join(member(&fifth));
    assert_eq!(
        w.send(&fifth, TxBody::Propose { change: join.clone() }),
        Err(Rejection::UnknownSender(fifth.address()))
    );
    let proposal = w.member(0, TxBody::Propose { change: join.clone() }).unwrap().hash;
    assert_eq!(
        w.member(0, TxBody::Endorse { proposal }),
        Err(Rejection::Endorsed { proposal, member: w.members[0].address() })
    );
    w.member(1, TxBody::Endorse { proposal }).unwrap();
    assert_eq!(query::members(&w.index).unwrap().members.len(), 4);
    assert_eq!(w.head.epoch, 0);
    w.member(3, TxBody::Endorse { proposal }).unwrap();
    // The block that changes the members still belongs to those before; the next to those after.
    assert_eq!(w.head.epoch, 0);
    let members = query::members(&w.index).unwrap();
    assert_eq!((members.epoch, members.members.len(), members.quorum()), (1, 5, 4));
    assert_eq!(w.member(2, TxBody::Endorse { proposal }), Err(Rejection::NoOpenProposal(proposal)));
    assert_eq!(w.member(0, TxBody::Propose { change: join }), Err(Rejection::Change(MemberError::Members)));
    // The new member is enrolled and counts; three of five are no longer enough.
    let leave = Change::Leave { account: w.members[3].address() };
    let proposal = w.send(&fifth, TxBody::Propose { change: leave }).unwrap().hash;
    assert_eq!(w.head.epoch, 1);
    w.member(0, TxBody::Endorse { proposal }).unwrap();
    w.member(1, TxBody::Endorse { proposal }).unwrap();
    assert_eq!(query::members(&w.index).unwrap().epoch, 1);
    w.member(3, TxBody::Endorse { proposal }).unwrap();
    assert_eq!(query::members(&w.index).unwrap().epoch, 2);
    let change = Change::Leave { account: fifth.address() };
    assert_eq!(w.member(3, TxBody::Propose { change }), Err(Rejection::NotMember(w.members[3].address())));
    assert_eq!(w.proven(StateKey::members()), Some(LeafDigest::of(&query::members(&w.index).unwrap())));
}

#[test]
fn an_endorsement_of_who_left_does_not_count() {
    let mut w = network();
    let policy = Policy { open_enrolment: false, ..w.genesis.policy.clone() };
    let proposal = w.member(3, TxBody::Propose { change: Change::Policy(policy.clone()) }).unwrap().hash;
    w.decide(Change::Leave { account: w.members[3].address() });
    w.member(0, TxBody::Endorse { proposal }).unwrap();
    w.member(1, TxBody::Endorse { proposal }).unwrap();
    assert!(query::policy(&w.index).unwrap().open_enrolment, "two of three members are not enough");
    w.member(2, TxBody::Endorse { proposal }).unwrap();
    assert_eq!(query::policy(&w.index).unwrap(), policy);
    assert_eq!(w.proven(StateKey::policy()), Some(LeafDigest::of(&policy)));
    let account = secret("x", 9);
    let open = TxBody::OpenAccount { account: account.public().clone(), identity: vec![] };
    assert_eq!(w.send(&account, open.clone()), Err(Rejection::EnrolmentClosed));
    w.member(1, open).unwrap();
}

#[test]
fn an_embedded_ledger_has_one_member_for_good() {
    let (genesis, operator) = genesis();
    let index = MemoryIndex::default();
    index.apply(&genesis_batch(&genesis)).unwrap();
    let head = genesis.header();
    let mut w = World { genesis, index, head, blocks: Vec::new(), members: vec![operator], nonce: 0 };
    let join = Change::Join(member(&secret("m", 2)));
    assert_eq!(w.member(0, TxBody::Propose { change: join }), Err(Rejection::Embedded));
    let policy = Policy { denials_a_day: 1, ..w.genesis.policy.clone() };
    w.member(0, TxBody::Propose { change: Change::Policy(policy.clone()) }).unwrap();
    assert_eq!(query::policy(&w.index).unwrap(), policy);
}

#[test]
fn what_a_replaced_account_was_granted_holds_for_its_successor_which_takes_over_its_assets() {
    let mut w = network();
    let (owner, new) = (secret("Licences", 21), secret("Licences", 22));
    w.send(&owner, TxBody::OpenAccount { account: owner.public().clone(), identity: vec![4, 2] }).unwrap();
    w.send(&owner, register("licences")).unwrap();
    w.send(&owner, register("ended")).unwrap();
    let [asset, ended] = ["licences", "ended"].map(|name| asset_id(&w.genesis, &owner.address(), name));
    w.send(&owner, TxBody::Withdraw { asset: ended }).unwrap();
    let others = w.asset(0, "villages");
    w.member(0, TxBody::Grant { asset: others, to: owner.address(), terms: terms() }).unwrap();
    w.send(&owner, TxBody::ReplaceAccount { successor: new.public().clone() }).unwrap();
    let view = query::account(&w.index, &new.address()).unwrap().unwrap();
    assert_eq!(
        (view.enrolled_by, view.identity.clone(), view.succeeds),
        (owner.address(), vec![4, 2], Some(owner.address()))
    );
    assert_eq!(w.proven(StateKey::account(&new.address())), Some(view.leaf()));
    let closed =
        Rejection::AccountClosed { account: owner.address(), height: w.head.height, successor: Some(new.address()) };
    let revoke = TxBody::Revoke { asset, to: owner.address() };
    assert_eq!(w.send(&owner, revoke.clone()), Err(closed));
    // The grant stands where it stood.
    let grant = query::holding(&w.index, &others, &new.address()).unwrap().unwrap();
    assert_eq!(grant.to, owner.address());
    assert_eq!(w.proven(StateKey::grant(&others, &owner.address())), Some(grant.leaf()));
    assert_eq!(w.proven(StateKey::grant(&others, &new.address())), None);
    let asked = w.send(&new, request(others, vec![Item::Disclose(1)])).unwrap();
    assert!(matches!(asked.outcome, Outcome::Granted { .. }));
    assert_eq!(query::grant(&w.index, &others, &owner.address()).unwrap().unwrap().used, 1);
    // So do the assets, until the successor takes them over: nobody else does, and to nobody else.
    let stranger = w.members[3].clone();
    assert!(matches!(w.send(&new, revoke.clone()), Err(Rejection::NotOwner { .. })));
    for (by, to) in [(&stranger, &new), (&stranger, &stranger), (&new, &stranger)] {
        assert!(matches!(w.send(by, w.transfer(asset, to)), Err(Rejection::NotOwner { .. })));
    }
    w.send(&new, w.transfer(asset, &new)).unwrap();
    let view = query::asset(&w.index, &asset).unwrap().unwrap();
    assert_eq!((view.owner, view.handed.len()), (new.address(), 1));
    assert_eq!(w.send(&new, revoke), Err(Rejection::NoSuchGrant { asset, to: owner.address() }));
    // What was withdrawn stays.
    assert!(matches!(w.send(&new, w.transfer(ended, &new)), Err(Rejection::Withdrawn { .. })));
    let member_account = w.members[1].address();
    assert_eq!(
        w.member(1, TxBody::ReplaceAccount { successor: secret("x", 30).public().clone() }),
        Err(Rejection::MemberAccount(member_account))
    );
}

#[test]
fn nobody_can_keep_an_account_from_being_replaced() {
    let mut w = network();
    let mut victim = secret("Victim", 20);
    w.member(1, TxBody::OpenAccount { account: victim.public().clone(), identity: vec![] }).unwrap();
    // Grants and assets without end, which nobody asked for.
    let attacker = w.members[0].clone();
    for round in 0..3 {
        let names: Vec<String> = (0..100).map(|i| format!("a{round}_{i}")).collect();
        let registered: Vec<_> = names.iter().map(|name| (&attacker, register(name))).collect();
        w.send_all(&registered);
        let grant = |name: &String| {
            let asset = asset_id(&w.genesis, &attacker.address(), name);
            (&attacker, TxBody::Grant { asset, to: victim.address(), terms: terms() })
        };
        let granted: Vec<_> = names.iter().map(grant).collect();
        w.send_all(&granted);
    }
    let asset = asset_id(&w.genesis, &attacker.address(), "a0_0");
    let (from, to) = (attacker.address(), victim.address());
    let consent = w.handing(asset, to).sign(&attacker);
    let forced = TxBody::Transfer { asset, to, consent };
    assert_eq!(w.send(&attacker, forced), Err(Rejection::NoConsent { asset, from, to, handed: 0 }));
    // Every grant holds for sixteen successors, and is the first one's all the time.
    for seed in 21..=37 {
        let next = secret("Victim", seed);
        w.send(&victim, TxBody::ReplaceAccount { successor: next.public().clone() }).unwrap();
        let holds = query::holding(&w.index, &asset, &next.address()).unwrap();
        assert_eq!(holds.is_some(), seed < 37, "{seed}");
        victim = next;
    }
    let denied = w.send(&victim, request(asset, vec![Item::Disclose(1)])).unwrap();
    assert_eq!(denied.outcome, Outcome::Denied { reason: DenyReason::NoGrant });
}

#[test]
fn what_holds_for_a_successor_is_taken_back_whole() {
    let mut w = network();
    let asset = w.asset(0, "licences");
    let (first, second, third) = (secret("x", 21), secret("x", 22), secret("x", 23));
    let grant = |to: &AccountSecret| TxBody::Grant { asset, to: to.address(), terms: terms() };
    let holds = |w: &World, account: &AccountSecret| {
        query::holding(&w.index, &asset, &account.address()).unwrap().map(|grant| grant.to)
    };
    w.send(&first, TxBody::OpenAccount { account: first.public().clone(), identity: vec![] }).unwrap();
    w.member(0, grant(&first)).unwrap();
    w.member(0, grant(&second)).unwrap();
    w.send(&first, TxBody::ReplaceAccount { successor: second.public().clone() }).unwrap();
    w.send(&second, TxBody::ReplaceAccount { successor: third.public().clone() }).unwrap();
    assert_eq!(holds(&w, &third), Some(second.address()), "the nearest holds");
    // A new grant takes the place of all, and nothing older comes to light when it ends.
    w.member(0, grant(&third)).unwrap();
    assert_eq!((holds(&w, &third), holds(&w, &second)), (Some(third.address()), None));
    let revoke = TxBody::Revoke { asset, to: third.address() };
    w.member(0, revoke.clone()).unwrap();
    assert_eq!(holds(&w, &third), None);
    assert_eq!(w.member(0, revoke.clone()), Err(Rejection::NoSuchGrant { asset, to: third.address() }));
    // What an account was granted can be taken from its successor by either's address.
    for named in [&first, &third] {
        w.member(0, grant(&first)).unwrap();
        assert_eq!(holds(&w, &third), Some(first.address()));
        w.member(0, TxBody::Revoke { asset, to: named.address() }).unwrap();
        assert_eq!(holds(&w, &third), None);
    }
    // A request under the grant before is not answered, nor is its quota given to another.
    w.member(0, grant(&first)).unwrap();
    let asked = w.send(&third, request(asset, vec![Item::Disclose(1)])).unwrap();
    w.member(0, grant(&third)).unwrap();
    let gone = Rejection::GrantGone { request: asked.hash, what: "was replaced" };
    assert_eq!(w.member(0, answer(asked.hash, 1)), Err(gone));
    let again = w.send(&third, request(asset, vec![Item::Disclose(1)])).unwrap();
    w.member(0, answer(again.hash, 1)).unwrap();
    assert_eq!(query::grant(&w.index, &asset, &third.address()).unwrap().unwrap().used, 1);
}

#[test]
fn an_account_that_members_replace_ends_and_its_successor_takes_over() {
    let mut w = network();
    let (lost, next, third) = (w.members[3].clone(), secret("member", 9), secret("member", 10));
    let asset = w.asset(3, "licences");
    // Whoever has the keys cannot make the decision too much work.
    let many: Vec<_> = (0..300).map(|i| (&lost, register(&format!("a{i}")))).collect();
    w.send_all(&many);
    let others = w.asset(0, "villages");
    w.member(0, TxBody::Grant { asset: others, to: lost.address(), terms: terms() }).unwrap();
    let enrolled = secret("Bank", 40);
    w.member(3, TxBody::OpenAccount { account: enrolled.public().clone(), identity: vec![] }).unwrap();
    // Other keys for the node alone end nothing.
    let node_key = secret("node", 77).public().verify_key;
    w.decide(Change::Replace { account: lost.address(), member: Member { node_key, ..member(&lost) } });
    w.member(3, register("more")).unwrap();
    for (old, new) in [(&lost, &next), (&next, &third)] {
        w.decide(Change::Replace { account: old.address(), member: member(new) });
        let height = w.head.height;
        let view = query::account(&w.index, &old.address()).unwrap().unwrap();
        assert_eq!((view.closed, view.successor), (Some(height), Some(new.address())));
        assert_eq!(w.proven(StateKey::account(&old.address())), Some(view.leaf()));
        let closed = Rejection::AccountClosed { account: old.address(), height, successor: Some(new.address()) };
        assert_eq!(w.send(old, register("stolen")), Err(closed));
    }
    // Over two decisions, one asset at a time; what its owners granted is not the members' to pass on.
    w.send(&third, w.transfer(asset, &third)).unwrap();
    assert_eq!(query::asset(&w.index, &asset).unwrap().unwrap().owner, third.address());
    assert_eq!(query::holding(&w.index, &others, &third.address()).unwrap(), None);
    // Whom the replaced account enrolled, its successor may close.
    assert!(matches!(
        w.member(0, TxBody::CloseAccount { account: enrolled.address() }),
        Err(Rejection::NotOwnAccount { .. })
    ));
    w.send(&third, TxBody::CloseAccount { account: enrolled.address() }).unwrap();
}

#[test]
fn a_block_changes_the_members_once() {
    let mut w = network();
    let (members, fifth) = (w.members.clone(), secret("member", 5));
    let propose = |change| TxBody::Propose { change };
    let endorse = |proposal| TxBody::Endorse { proposal };
    let leave = Change::Leave { account: members[3].address() };
    let join = Change::Join(member(&fifth));
    let proposed = w.send_all(&[(&members[0], propose(leave)), (&members[1], propose(join))]);
    let [first, second] = [proposed[0].hash, proposed[1].hash];
    w.send_all(&[(&members[1], endorse(first)), (&members[0], endorse(second))]);
    let policy = Change::Policy(Policy { denials_a_day: 9, ..w.genesis.policy.clone() });
    let rules = w.member(0, propose(policy)).unwrap().hash;
    w.member(1, endorse(rules)).unwrap();
    // Three of four decide, and so do three of three: all would be done in this block. The rules may change
    // beside the members.
    let results = w.try_all(&[
        (&members[2], endorse(first)),
        (&members[2], endorse(second)),
        (&members[2], endorse(rules)),
        (&members[3], register("other")),
    ]);
    let height = w.head.height;
    assert_eq!(results[1], Err(Rejection::MembersChanged(height)));
    assert!(results[0].is_ok() && results[2].is_ok() && results[3].is_ok());
    assert!(Rejection::MembersChanged(height).to_string().contains("endorse again"));
    let set = query::members(&w.index).unwrap();
    assert_eq!((set.epoch, set.members.len()), (1, 3));
    assert_eq!(query::policy(&w.index).unwrap().denials_a_day, 9);
    // Nothing of it is recorded, and the next block takes the same.
    let view = query::proposal(&w.index, &second).unwrap().unwrap();
    assert_eq!((view.endorsed.len(), view.status), (2, ProposalStatus::Open));
    w.member(2, endorse(second)).unwrap();
    let set = query::members(&w.index).unwrap();
    assert_eq!((set.epoch, set.members.len()), (2, 4));
}

#[test]
fn accounts_are_closed_by_themselves_or_by_the_member_that_enrolled_them() {
    let mut w = network();
    let account = secret("Bank", 21);
    w.member(1, TxBody::OpenAccount { account: account.public().clone(), identity: vec![] }).unwrap();
    let close = TxBody::CloseAccount { account: account.address() };
    let refused = Rejection::NotOwnAccount { sender: w.members[0].address(), account: account.address() };
    assert_eq!(w.member(0, close.clone()), Err(refused));
    // Other keys are no way out of it, however often.
    let mut last = secret("Lost", 31);
    w.member(1, TxBody::OpenAccount { account: last.public().clone(), identity: vec![] }).unwrap();
    for seed in [32, 33] {
        let next = secret("Lost", seed);
        w.send(&last, TxBody::ReplaceAccount { successor: next.public().clone() }).unwrap();
        last = next;
    }
    w.member(1, TxBody::CloseAccount { account: last.address() }).unwrap();
    assert!(matches!(w.send(&last, register("x")), Err(Rejection::AccountClosed { .. })));
    w.member(1, close.clone()).unwrap();
    assert!(matches!(w.send(&account, register("x")), Err(Rejection::AccountClosed { successor: None, .. })));
    assert!(matches!(w.member(1, close), Err(Rejection::AccountClosed { .. })));
    let again = TxBody::OpenAccount { account: account.public().clone(), identity: vec![] };
    assert_eq!(w.member(1, again), Err(Rejection::AlreadyEnrolled(account.address())));
    let other = secret("Other", 22);
    w.send(&other, TxBody::OpenAccount { account: other.public().clone(), identity: vec![] }).unwrap();
    w.send(&other, TxBody::CloseAccount { account: other.address() }).unwrap();
}

#[test]
fn assets_are_given_away_by_their_owner_and_withdrawn_also_by_members() {
    let mut w = network();
    let asset = w.asset(0, "licences");
    let to = w.members[1].address();
    let receiver = w.members[1].clone();
    let refused = Rejection::NotOwner { asset, owner: w.members[0].address(), sender: to };
    let transfer = w.transfer(asset, &receiver);
    assert_eq!(w.member(1, transfer.clone()), Err(refused));
    let nobody = secret("x", 40);
    assert_eq!(w.member(0, w.transfer(asset, &nobody)), Err(Rejection::UnknownSender(nobody.address())));
    w.member(0, transfer).unwrap();
    assert!(matches!(w.member(0, TxBody::Withdraw { asset }), Err(Rejection::NotOwner { .. })));
    w.member(1, TxBody::Grant { asset, to: w.members[2].address(), terms: terms() }).unwrap();
    let view = query::asset(&w.index, &asset).unwrap().unwrap();
    let version = query::version(&w.index, &asset, 1).unwrap().unwrap();
    assert_eq!(w.proven(StateKey::contract(&asset)), Some(ContractView { asset: view, version }.leaf()));
    let asked = w.member(2, request(asset, vec![Item::Disclose(1)])).unwrap();
    w.decide(Change::Withdraw { asset });
    let height = w.head.height;
    for body in [
        w.transfer(asset, &receiver),
        TxBody::PublishVersion { asset, version: version_of(2) },
        TxBody::Grant { asset, to, terms: terms() },
        TxBody::Withdraw { asset },
        answer(asked.hash, 1),
    ] {
        assert_eq!(w.member(1, body), Err(Rejection::Withdrawn { asset, height }));
    }
    let denied = w.member(2, request(asset, vec![Item::Disclose(1)])).unwrap();
    assert_eq!(denied.outcome, Outcome::Denied { reason: DenyReason::Withdrawn });
}

#[test]
fn nobody_is_given_an_asset_without_agreeing_to_just_that() {
    let mut w = network();
    let asset = w.asset(0, "licences");
    let (owner, receiver) = (w.members[0].clone(), w.members[1].clone());
    let (from, to) = (owner.address(), receiver.address());
    let good = w.handing(asset, to);
    let given = |consent| TxBody::Transfer { asset, to, consent };
    let expiry = good.expiry;
    let none = Rejection::NoConsent { asset, from, to, handed: 0 };
    for (what, other) in [
        ("chain", Handing { chain: crate::ids::ChainId([1; 32]), ..good.clone() }),
        ("asset", Handing { asset: AssetId([1; 32]), ..good.clone() }),
        ("owner", Handing { from: to, ..good.clone() }),
        ("receiver", Handing { to: from, ..good.clone() }),
        ("count", Handing { handed: 1, ..good.clone() }),
        ("expiry", Handing { expiry: expiry.next(), ..good.clone() }),
    ] {
        let consent = Consent { expiry, ..other.sign(&receiver) };
        assert_eq!(w.member(0, given(consent)), Err(none.clone()), "{what}");
    }
    assert_eq!(w.member(0, given(good.sign(&owner))), Err(none));
    let height = w.head.height.next();
    let past = Handing { expiry: w.head.height, ..good.clone() };
    let late = Rejection::ConsentExpired { expiry: past.expiry, height };
    assert_eq!(w.member(0, given(past.sign(&receiver))), Err(late));
    let consent = good.sign(&receiver);
    w.member(0, given(consent.clone())).unwrap();
    // Each is used once: when the asset has come back, another is needed.
    w.member(1, w.transfer(asset, &owner)).unwrap();
    assert_eq!(w.member(0, given(consent)), Err(Rejection::NoConsent { asset, from, to, handed: 2 }));
    w.send(
        &receiver,
        TxBody::PutText { name: "x".into(), title: "t".into(), content: TextContent::Public("x".into()) },
    )
    .unwrap();
}

#[test]
fn an_owner_has_one_thing_of_a_name() {
    let mut w = network();
    let (asset, own) = (w.asset(0, "licences"), w.asset(1, "villages"));
    let (first, second) = (w.members[0].clone(), w.members[1].clone());
    let notice = |text: &str| TxBody::PutText {
        name: "licences".into(),
        title: "t".into(),
        content: TextContent::Public(text.into()),
    };
    // A text of that name stands in the way.
    w.member(2, notice("one")).unwrap();
    let third = w.members[2].clone();
    let taken = |to: &AccountSecret| Err(Rejection::NameTaken { name: "licences".into(), to: to.address() });
    assert_eq!(w.member(0, w.transfer(asset, &third)), taken(&third));
    w.member(0, w.transfer(asset, &second)).unwrap();
    assert_eq!(query::owned(&w.index, &second.address(), "licences").unwrap(), Some(asset));
    assert_eq!(query::owned(&w.index, &first.address(), "licences").unwrap(), None);
    assert_eq!(query::owned(&w.index, &second.address(), "villages").unwrap(), Some(own));
    // So does what was given, also to the names of texts; and the id of what was given away stays taken.
    let exists = Rejection::AssetExists { name: "licences".into(), asset };
    for at in [0, 1] {
        assert_eq!(w.member(at, register("licences")), Err(exists.clone()));
        assert_eq!(w.member(at, notice("x")), Err(exists.clone()));
    }
    let other = w.asset(3, "licences");
    assert_eq!(w.member(3, w.transfer(other, &second)), taken(&second));
    w.member(1, TxBody::Withdraw { asset }).unwrap();
    assert_eq!(w.member(3, w.transfer(other, &second)), taken(&second), "the name of what ended stays taken");
}

#[test]
fn an_asset_is_given_away_so_often_and_taken_over_all_the_same() {
    let mut w = network();
    let asset = w.asset(0, "licences");
    for turn in 0..OWNERS_MAX {
        let to = w.members[(turn + 1) % 2].clone();
        w.member(turn % 2, w.transfer(asset, &to)).unwrap();
    }
    let too_many = Rejection::TooManyOwners { asset, handed: OWNERS_MAX };
    let (owner, next) = (w.members[0].clone(), secret("member", 9));
    assert_eq!(w.member(0, w.transfer(asset, &w.members[1].clone())), Err(too_many));
    w.decide_but(0, Change::Replace { account: owner.address(), member: member(&next) });
    w.send(&next, w.transfer(asset, &next)).unwrap();
    assert_eq!(query::asset(&w.index, &asset).unwrap().unwrap().handed.len(), OWNERS_MAX + 1);
}

fn version_of(number: u32) -> crate::tx::VersionInfo {
    version(number)
}

#[test]
fn small_texts_are_put_and_replaced_by_their_owner_under_names_of_their_own() {
    let mut w = network();
    w.asset(0, "licences");
    let put = |name: &str, text: &str| TxBody::PutText {
        name: name.into(),
        title: "Notice".into(),
        content: TextContent::Public(text.into()),
    };
    assert!(matches!(w.member(0, put("licences", "x")), Err(Rejection::AssetExists { .. })));
    w.member(0, put("notice", "one")).unwrap();
    let id = asset_id(&w.genesis, &w.members[0].address(), "notice");
    w.member(1, put("notice", "another's")).unwrap();
    w.member(0, put("notice", "two")).unwrap();
    let view = query::text(&w.index, &id).unwrap().unwrap();
    assert_eq!((view.content.clone(), view.owner), (TextContent::Public("two".into()), w.members[0].address()));
    assert_eq!(w.proven(StateKey::text(&id)), Some(LeafDigest::of(&view)));
    assert!(matches!(w.member(0, register("notice")), Err(Rejection::AssetExists { .. })));
    let too_long = put("long", &"x".repeat(4097));
    assert!(matches!(w.member(0, too_long), Err(Rejection::Malformed(_))));
    for copies in [vec![], vec![SealedText { to: w.members[1].address(), envelope: vec![0; 100] }]] {
        let content = TextContent::Sealed(copies);
        let sealed = TxBody::PutText { name: "sealed".into(), title: "t".into(), content };
        assert!(matches!(w.member(0, sealed), Err(Rejection::Malformed(_))));
    }
}

#[test]
fn denials_beyond_a_days_limit_are_refused_and_change_nothing() {
    let mut w = network();
    let asset = w.asset(0, "licences");
    w.decide(Change::Policy(Policy { denials_a_day: 3, ..w.genesis.policy.clone() }));
    for _ in 0..3 {
        let denied = w.member(1, request(asset, vec![])).unwrap();
        assert_eq!(denied.outcome, Outcome::Denied { reason: DenyReason::NoGrant });
    }
    let entries = w.head.tree_size;
    let refused = Rejection::TooManyDenials { account: w.members[1].address(), limit: 3 };
    assert_eq!(w.member(1, request(asset, vec![])), Err(refused));
    assert_eq!(w.head.tree_size, entries);
    // Others, and what is granted, are not concerned; the next day begins anew.
    w.member(2, request(asset, vec![])).unwrap();
    w.member(0, TxBody::Grant { asset, to: w.members[1].address(), terms: terms() }).unwrap();
    let granted = w.member(1, request(asset, vec![Item::Disclose(1)])).unwrap();
    assert!(matches!(granted.outcome, Outcome::Granted { .. }));
    w.head.time_ms += 24 * 3600 * 1000;
    w.member(1, request(asset, vec![])).unwrap();
}

#[test]
fn one_path_proves_an_assets_whole_list() {
    let mut w = network();
    let asset = w.asset(0, "licences");
    w.asset(0, "others");
    let listed: Vec<_> = (1..4).map(|at| w.members[at].address()).collect();
    for to in &listed {
        w.member(0, TxBody::Grant { asset, to: *to, terms: terms() }).unwrap();
    }
    let list = |w: &World| {
        let prefix = StatePrefix::asset(&asset);
        let proof = trie::prove_prefix(&w.index, &prefix).unwrap().unwrap();
        trie::verify_prefix(&w.head.state_root, &prefix, &proof).unwrap()
    };
    let before = list(&w);
    assert_eq!(before.len(), 4);
    let root = w.head.state_root;
    // A request uses quota, and leaves the tree as it is.
    w.member(1, request(asset, vec![Item::Disclose(1)])).unwrap();
    assert_eq!((w.head.state_root, list(&w)), (root, before));
    w.member(0, TxBody::Revoke { asset, to: listed[0] }).unwrap();
    assert_eq!(list(&w).len(), 3);
    assert_eq!(w.proven(StateKey::grant(&asset, &listed[0])), None);
}

#[test]
fn the_same_blocks_give_the_same_state_root_on_every_replay() {
    let mut w = network();
    let asset = w.asset(0, "licences");
    for at in 1..4 {
        w.member(0, TxBody::Grant { asset, to: w.members[at].address(), terms: terms() }).unwrap();
        w.member(at, request(asset, vec![Item::Disclose(1)])).unwrap();
    }
    w.decide(Change::Leave { account: w.members[3].address() });
    for _ in 0..2 {
        let (index, mut head) = (MemoryIndex::default(), w.genesis.header());
        index.apply(&genesis_batch(&w.genesis)).unwrap();
        for block in &w.blocks {
            let batch = replay_block(&w.genesis, &index, &head, block, 0).unwrap();
            index.apply(&batch).unwrap();
            head = block.header.clone();
        }
        assert_eq!(trie::root(&index).unwrap(), w.head.state_root);
        assert_eq!(head.height, BlockHeight(w.blocks.len() as u64));
    }
    // Another root, epoch or batch in a header is noticed.
    let (index, head) = (MemoryIndex::default(), w.genesis.header());
    index.apply(&genesis_batch(&w.genesis)).unwrap();
    for change in
        [(|header: &mut Header| header.state_root = StateRoot([1; 32])) as fn(&mut Header), |header| header.epoch += 1]
    {
        let mut block = w.blocks[0].clone();
        change(&mut block.header);
        assert!(replay_block(&w.genesis, &index, &head, &block, 0).is_err());
    }
}

impl World {
    /// Transactions of one block, all accepted.
    fn send_all(&mut self, txs: &[(&AccountSecret, TxBody)]) -> Vec<Receipt> {
        self.try_all(txs).into_iter().map(Result::unwrap).collect()
    }

    /// Transactions of one block, and why those that are not in it are refused.
    fn try_all(&mut self, txs: &[(&AccountSecret, TxBody)]) -> Vec<Result<Receipt, Rejection>> {
        let signed: Vec<_> = txs
            .iter()
            .map(|(by, body)| {
                self.nonce += 1;
                sign(&self.genesis, by, self.nonce, self.head.height.0 + 50, body.clone())
            })
            .collect();
        let time_ms = self.head.time_ms + 1;
        let mut builder = BlockBuilder::begin(&self.genesis, &self.index, &self.head, time_ms).unwrap();
        let verified = verify_new(&self.genesis.chain_id(), signed, &self.index);
        let added = |tx: Result<_, _>| match builder.add(&tx.unwrap()) {
            Err(ExecuteError::Rejected(why)) => Err(why),
            other => Ok(other.unwrap()),
        };
        let receipts = verified.into_iter().map(added).collect();
        let (block, batch) = builder.seal(0).unwrap();
        assert_eq!(replay_block(&self.genesis, &self.index, &self.head, &block, 0).unwrap().writes, batch.writes);
        self.index.apply(&batch).unwrap();
        self.head = block.header.clone();
        self.blocks.push(block);
        receipts
    }
}

#[test]
fn requests_of_one_block_are_listed_answered_and_swept_each_by_itself() {
    let mut world = network();
    let owner = world.members[0].clone();
    let (one, two) = (world.asset(0, "one"), world.asset(0, "two"));
    for asset in [one, two] {
        let grant = TxBody::Grant { asset, to: owner.address(), terms: terms() };
        world.send_all(&[(&owner, grant)]);
    }
    let ask = |asset| (&owner, request(asset, vec![Item::Disclose(1)]));
    let first = world.send_all(&[ask(one), ask(two), ask(one), ask(two), ask(one)]);
    let second = world.send_all(&[ask(one), ask(one)]);
    let of_one: Vec<u64> =
        [&first[0], &first[2], &first[4], &second[0], &second[1]].map(|receipt| receipt.entry_index).to_vec();
    let listed = |after, limit| -> Vec<u64> {
        let found = query::requests(&world.index, Some(&one), after, limit).unwrap();
        found.iter().map(|view| view.entry_index).collect()
    };
    assert_eq!(listed(None, 10), of_one);
    for (at, entry) in of_one.iter().enumerate() {
        assert_eq!(listed(Some(*entry), 10), of_one[at + 1..]);
        assert_eq!(listed(Some(*entry), 2), of_one[at + 1..].iter().copied().take(2).collect::<Vec<_>>());
    }
    assert_eq!(listed(Some(1_000), 10), [0; 0]);
    // One is answered; the others wait until the deadline has passed, in order.
    world.send_all(&[(&owner, answer(first[2].hash, 1))]);
    let Outcome::Granted { deadline, .. } = first[0].outcome else { panic!("{:?}", first[0]) };
    while world.head.height <= deadline.next() {
        assert!(query::has_open_requests(&world.index).unwrap());
        world.send_all(&[]);
    }
    assert!(!query::has_open_requests(&world.index).unwrap());
    let swept = |block: &Block| -> Vec<_> {
        let unanswered = |entry: &crate::block::Entry| match &entry.body {
            crate::block::EntryBody::Unanswered { request } => Some(*request),
            crate::block::EntryBody::Transaction { .. } => None,
        };
        block.entries.iter().filter_map(unanswered).collect()
    };
    let blocks: Vec<_> = world.blocks.iter().rev().take(2).map(swept).collect();
    assert_eq!(blocks[1], [0, 1, 3, 4].map(|at: usize| first[at].hash));
    assert_eq!(blocks[0], second.iter().map(|receipt| receipt.hash).collect::<Vec<_>>());
    let statuses = first.iter().map(|receipt| query::request_at(&world.index, receipt.entry_index).unwrap().unwrap());
    let answered: Vec<bool> = statuses.map(|view| matches!(view.status, RequestStatus::Answered { .. })).collect();
    assert_eq!(answered, [false, false, true, false, false]);
}
