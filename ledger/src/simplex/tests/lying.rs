//! One member of four lies in every way that our messages allow; the others agree and go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use commonware_codec::{DecodeExt, Encode};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Finalize, Notarize, Proposal, Vote};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_consensus::{Viewable, simplex::types::Attributable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_cryptography::sha256;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_utils::ordered::Set;

use super::super::batch::{Batch, digest_of};
use super::super::frame::Channel;
use super::super::keys::{digest, namespace, payload, private_key, public_key};
use super::super::link::{self, LinkSender};
use super::super::message::{Message, Transactions};
use super::super::tls::{Allowed, Tls};
use super::super::transport::{PeerAddress, Transport};
use super::harness::{LONG, World, eventually};
use crate::block::{Block, Header};
use crate::checkpoint::Checkpoint;
use crate::codec::encode;
use crate::ids::{BlockHash, BlockHeight, Digest};
use crate::testing::{register, sign};
use crate::tx::SignedTx;

type LiarsVote = Vote<Scheme, sha256::Digest>;

/// Speaks for the party `at` of the world, which has no node.
struct Liar {
    header: Header,
    scheme: Scheme,
    keys: Vec<PublicKey>,
    me: usize,
    votes: LinkSender,
    ledger: LinkSender,
    gossip: LinkSender,
    heights: BTreeMap<[u8; 32], u64>,
    done: u64,
    txs: Vec<SignedTx>,
    secret: crate::account::NodeSecret,
    contradictions: Arc<AtomicU64>,
    /// Whether it contradicts itself, for which it is shut out, or proposes what nobody may accept.
    contradicts: bool,
    falsehoods: Arc<AtomicU64>,
    /// One of the first transactions that others had ordered.
    executed: Option<SignedTx>,
}

impl Liar {
    fn spread(&mut self, message: &Message) {
        self.ledger.send(Recipients::All, message.encode(), false);
    }

    /// A batch that breaks a rule, or holds a transaction that was executed before, proposed in this
    /// member's own view.
    fn propose_false(&mut self, view: u64, parent: Digest) {
        let Some(height) = self.heights.get(&parent.0).copied() else { return };
        let time_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let (Some(fresh), old) = (self.txs.pop(), self.executed.clone()) else { return };
        let (chain, good) = (self.header.chain, BlockHeight(height + 1));
        let batch = Batch { chain, epoch: 0, height: good, parent, time_ms, txs: vec![fresh] };
        let batch = match (view / 4) % 6 {
            0 => Batch { height: BlockHeight(height + 2), ..batch },
            1 => Batch { height: BlockHeight(height), ..batch },
            2 => Batch { time_ms: 1, ..batch },
            3 => Batch { time_ms: time_ms + 3_600_000, ..batch },
            4 => Batch { epoch: 1, ..batch },
            _ => Batch { txs: old.into_iter().collect(), ..batch },
        };
        self.heights.insert(batch.digest().0, batch.height.0);
        self.spread(&Message::Batch(batch.encode()));
        let round = Round::new(Epoch::new(0), View::new(view));
        let proposal = Proposal::new(round, View::new(view - 1), payload(&batch.digest()));
        let vote = LiarsVote::Notarize(Notarize::sign(&self.scheme, proposal.clone()).unwrap());
        self.votes.send(Recipients::All, vote.encode(), true);
        let vote = LiarsVote::Finalize(Finalize::sign(&self.scheme, proposal).unwrap());
        self.votes.send(Recipients::All, vote.encode(), true);
        self.falsehoods.fetch_add(1, Ordering::SeqCst);
    }

    /// Two batches for one view: one to the first of the others, the other one to the rest.
    fn contradict(&mut self, view: u64, parent: Digest) {
        let Some(height) = self.heights.get(&parent.0).copied() else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let mut proposals = Vec::new();
        for half in 0..2 {
            let Some(tx) = self.txs.pop() else { return };
            let batch = Batch {
                chain: self.header.chain,
                epoch: 0,
                height: BlockHeight(height + 1),
                parent,
                time_ms: now + half,
                txs: vec![tx],
            };
            self.heights.insert(batch.digest().0, height + 1);
            self.spread(&Message::Batch(batch.encode()));
            let round = Round::new(Epoch::new(0), View::new(view));
            proposals.push(Proposal::new(round, View::new(view - 1), payload(&batch.digest())));
        }
        self.contradictions.fetch_add(1, Ordering::SeqCst);
        let others: Vec<PublicKey> =
            self.keys.iter().enumerate().filter(|(at, _)| *at != self.me).map(|(_, key)| key.clone()).collect();
        for (at, key) in others.into_iter().enumerate() {
            let proposal = proposals[usize::from(at > 0)].clone();
            let vote = LiarsVote::Notarize(Notarize::sign(&self.scheme, proposal.clone()).unwrap());
            self.votes.send(Recipients::One(key.clone()), vote.encode(), true);
            let vote = LiarsVote::Finalize(Finalize::sign(&self.scheme, proposal).unwrap());
            self.votes.send(Recipients::One(key), vote.encode(), true);
        }
    }

    fn vote(&mut self, vote: &LiarsVote) {
        let LiarsVote::Notarize(notarize) = vote else { return };
        let view = notarize.view().get();
        let leader = view % 4;
        if u64::from(notarize.signer().get()) == leader && (view + 1) % 4 == self.me as u64 && view >= self.done {
            self.done = view + 1;
            let parent = digest(&notarize.proposal.payload);
            if self.contradicts {
                self.contradict(view + 1, parent);
            } else {
                self.propose_false(view + 1, parent);
            }
        }
    }

    /// Everything else that is untrue.
    fn lie(&mut self, message: &Message) {
        match message {
            Message::Batch(bytes) => {
                let batch = Batch::decode(bytes).unwrap();
                self.heights.insert(digest_of(bytes).0, batch.height.0);
                self.executed = self.executed.take().or_else(|| batch.txs.first().cloned());
                // The same with another parent, height, time; and no batch at all.
                self.spread(&Message::Batch(Batch { parent: Digest([9; 32]), ..batch.clone() }.encode()));
                self.spread(&Message::Batch(Batch { height: BlockHeight(99), ..batch.clone() }.encode()));
                self.spread(&Message::Batch(Batch { time_ms: 1, ..batch.clone() }.encode()));
                self.spread(&Message::Batch(bytes[1..].to_vec()));
                let again = Transactions(batch.txs.iter().map(SignedTx::encode).collect());
                self.gossip.send(Recipients::All, again.encode(), false);
            }
            Message::Signature { checkpoint, signature, .. } => {
                let false_one = Checkpoint { block: BlockHash([8; 32]), ..*checkpoint };
                let mine = false_one.signature(&self.header.chain, &self.secret);
                self.spread(&Message::Signature { checkpoint: false_one, signature: mine, again: true });
                self.spread(&Message::Signature { checkpoint: *checkpoint, signature: *signature, again: true });
            }
            Message::Status { .. } => {
                let far = Header { height: BlockHeight(1_000), ..self.header.clone() };
                let note = Checkpoint::of(&far).sign(&far.chain, &self.secret);
                let status = Message::Status { epoch: 7, height: far.height, checkpoint: Some(note) };
                self.spread(&status);
                self.ledger.send(Recipients::All, vec![0xff; 1000], false);
            }
            Message::WantBlocks(height) => {
                let header = Header { height: *height, ..self.header.clone() };
                let note = Checkpoint::of(&header).sign(&header.chain, &self.secret);
                let block = encode(&Block { header, entries: vec![] });
                self.spread(&Message::Blocks { blocks: vec![block], checkpoint: Some(note) });
            }
            Message::WantBatch(_) => self.spread(&Message::Batch(vec![1; 100])),
            _ => {}
        }
    }
}

async fn run(world: WorldView) {
    let WorldView { genesis, members, node, certificate, listen, txs, at, contradicts, contradictions, falsehoods } =
        world;
    let allowed = Allowed::default();
    let authority = genesis.network.as_ref().unwrap().authority.clone();
    let tls = Tls::new(&authority, &certificate, &node, allowed.clone()).unwrap();
    let listener = tokio::net::TcpListener::bind(&listen).await.unwrap();
    let transport = Transport::start(genesis.chain_id(), node.verify_key(), tls, allowed, listener);
    let (votes, mut heard) = link::open(&transport, Channel::Votes, 0);
    let (gossip, _heard) = link::open(&transport, Channel::Gossip, 0);
    let (ledger, mut told) = link::open(&transport, Channel::Ledger, 0);
    transport.set_peers(&members);
    let keys = Set::from_iter_dedup(members.iter().map(|peer| public_key(&peer.key).unwrap()));
    let scheme = Scheme::signer(&namespace(&genesis.chain_id()), keys.clone(), private_key(&node).unwrap()).unwrap();
    let keys: Vec<PublicKey> = keys.iter().cloned().collect();
    let own = public_key(&members[at].key).unwrap();
    let me = keys.iter().position(|key| *key == own).unwrap();
    let heights = BTreeMap::from([([0; 32], 0)]);
    let header = genesis.header();
    let mut liar = Liar {
        header,
        scheme,
        keys,
        me,
        votes,
        ledger,
        gossip,
        heights,
        done: 0,
        txs,
        secret: node,
        contradictions,
        contradicts,
        falsehoods,
        executed: None,
    };
    loop {
        tokio::select! {
            biased;
            message = told.recv() => {
                let Ok((_, bytes)) = message else { return };
                liar.lie(&Message::decode(bytes.as_ref()).unwrap());
            }
            vote = heard.recv() => {
                let Ok((_, bytes)) = vote else { return };
                liar.vote(&LiarsVote::decode(bytes.as_ref().to_vec()).unwrap());
            }
        }
    }
}

struct WorldView {
    genesis: crate::genesis::Genesis,
    members: Vec<PeerAddress>,
    node: crate::account::NodeSecret,
    certificate: crate::member::Certificate,
    listen: String,
    txs: Vec<SignedTx>,
    at: usize,
    contradicts: bool,
    contradictions: Arc<AtomicU64>,
    falsehoods: Arc<AtomicU64>,
}

#[test]
fn a_member_that_contradicts_itself_and_forges_everything_stops_nothing() {
    let (contradictions, _) = beside_a_liar(true);
    assert!(contradictions > 0);
}

#[test]
fn a_member_that_proposes_what_breaks_the_rules_changes_nothing() {
    let (_, falsehoods) = beside_a_liar(false);
    assert!(falsehoods > 1);
}

/// Three nodes go on beside a liar, and agree; returns how often it contradicted itself, and how often
/// it proposed what breaks the rules.
fn beside_a_liar(contradicts: bool) -> (u64, u64) {
    let mut world = World::new(4, 0);
    (0..3).for_each(|at| world.start(at));
    let party = &world.parties[3];
    let txs = (0..400).map(|n| sign(&world.genesis, &party.account, n, 900, register(&format!("lie-{n}")))).collect();
    let members = world.parties.iter().map(|party| &party.member);
    let members = members.map(|member| PeerAddress { key: member.node_key, address: member.peer.clone() }).collect();
    let (contradictions, falsehoods) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let view = WorldView {
        genesis: world.genesis.clone(),
        members,
        node: party.node.clone(),
        certificate: party.member.certificate.clone(),
        listen: party.member.peer.clone(),
        txs,
        at: 3,
        contradicts,
        contradictions: contradictions.clone(),
        falsehoods: falsehoods.clone(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let liar = runtime.spawn(run(view));
    let mut submitted = std::collections::BTreeSet::new();
    for n in 0..12 {
        let receipt = world.submit(n % 3, n % 3, register(&format!("true-{n}"))).unwrap();
        assert!(submitted.insert(receipt.hash));
        world.await_height(&[0, 1, 2], receipt.height);
        std::thread::sleep(std::time::Duration::from_millis(150));
    }
    assert!(!liar.is_finished(), "the liar itself failed");
    let height = world.agree(&[0, 1, 2]);
    assert!(height.0 >= 4);
    if !contradicts {
        // Nothing that the liar proposed is on the ledger, and nothing is there twice.
        let blocks = (1..=height.0).map(|height| world.node(0).block(BlockHeight(height)).unwrap());
        let entries: Vec<_> = blocks.flat_map(|block| block.entries).collect();
        assert_eq!(entries.len(), submitted.len());
    }
    let (header, note) = world.node(0).signed_head();
    note.verify(&header.chain, &world.genesis.members()).unwrap();
    runtime.shutdown_background();
    (contradictions.load(Ordering::SeqCst), falsehoods.load(Ordering::SeqCst))
}

#[test]
fn whoever_passes_on_a_forged_transaction_is_shut_out() {
    let mut world = World::new(4, 0);
    (0..3).for_each(|at| world.start(at));
    let party = &world.parties[3];
    let members = world.parties.iter().map(|party| &party.member);
    let members: Vec<PeerAddress> =
        members.map(|member| PeerAddress { key: member.node_key, address: member.peer.clone() }).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (transport, mut gossip) = runtime.block_on(async {
        let allowed = Allowed::default();
        let authority = world.genesis.network.as_ref().unwrap().authority.clone();
        let tls = Tls::new(&authority, &party.member.certificate, &party.node, allowed.clone()).unwrap();
        let listener = tokio::net::TcpListener::bind(&party.member.peer).await.unwrap();
        let key = party.node.verify_key();
        let transport = Transport::start(world.genesis.chain_id(), key, tls, allowed, listener);
        transport.set_peers(&members);
        let (gossip, _) = link::open(&transport, Channel::Gossip, 0);
        (transport, gossip)
    });
    assert!(eventually(LONG, || transport.connected().len() == 3));
    // What is true is no offence, however often it comes.
    let good = world.tx(0, 500, register("good"));
    for _ in 0..3 {
        gossip.send(Recipients::All, Transactions(vec![good.encode()]).encode(), false);
    }
    assert!(eventually(LONG, || world.node(1).receipt(&good.hash()).unwrap().is_some()));
    assert_eq!(transport.connected().len(), 3);
    let mut forged = world.tx(0, 500, register("forged"));
    forged.signature.0[3] ^= 1;
    gossip.send(Recipients::All, Transactions(vec![forged.encode()]).encode(), false);
    assert!(eventually(LONG, || transport.connected().is_empty()), "{:?}", transport.connected());
    world.submit(0, 0, register("without")).unwrap();
    assert_eq!(world.node(0).receipt(&forged.hash()).unwrap(), None);
    transport.close();
    runtime.shutdown_background();
}
