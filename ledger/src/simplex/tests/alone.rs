//! One node without a network: the test asks and tells it what the agreement and its peers would,
//! and knows the keys of all of them.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{CheckedSender, LimitedSender, Recipients};
use commonware_runtime::IoBufs;
use tokio::sync::{mpsc, oneshot};

use super::super::batch::{Batch, CLOCK_SKEW_MS, EMPTY_AFTER_MS, digest_of};
use super::super::core::{Core, Parts, Question, Stage};
use super::super::epochs::Epochs;
use super::super::executor::{self, Done};
use super::super::keys::public_key;
use super::super::message::Message;
use super::super::notary::Notary;
use super::super::offers::Offer;
use super::super::store::BatchStore;
use super::super::time::Time;
use super::super::turns::Turn;
use super::harness::World;
use crate::account::AccountSecret;
use crate::block::{Block, EntryBody, Header};
use crate::chain::{GENESIS_FILE, Opening};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::ids::{BlockHeight, ChainId, Digest, StateRoot};
use crate::log::{Disk, HEAD_FILE, LOG_FILE, Log, disk};
use crate::member::Change;
use crate::state::verify::{Unverified, VerifiedTx, verify_new};
use crate::state::{ExecuteError, Rejection, query};
use crate::testing::{register, secret, sign};
use crate::tx::{SignedTx, TxBody};

/// A clock that the test sets.
#[derive(Clone, Default)]
pub(super) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(super) fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

impl Time for Clock {
    fn clock_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn now_ms(&self) -> u64 {
        self.clock_ms()
    }

    fn sleep(&self, _: Duration) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// What the node has said, instead of sending it.
#[derive(Clone, Default)]
pub(super) struct Said(Arc<Mutex<Vec<Vec<u8>>>>);

pub(super) struct Saying<'a>(&'a Said, Vec<PublicKey>);

impl LimitedSender for Said {
    type PublicKey = PublicKey;
    type Checked<'a> = Saying<'a>;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<Saying<'_>, SystemTime> {
        let to = match recipients {
            Recipients::All => vec![],
            Recipients::Some(keys) => keys,
            Recipients::One(key) => vec![key],
        };
        Ok(Saying(self, to))
    }
}

impl CheckedSender for Saying<'_> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.1.clone()
    }

    fn send(self, message: impl Into<IoBufs> + Send, _: bool) -> Unreliable<Feedback> {
        self.0.0.lock().unwrap().push(Vec::from(message.into().coalesce()));
        Unreliable::new(Feedback::Ok)
    }
}

/// A member's node, of which only the core and the executor run.
pub(super) struct Alone {
    pub(super) core: Core<Clock, Said>,
    pub(super) clock: Clock,
    pub(super) said: Said,
    done: mpsc::UnboundedReceiver<Done>,
    stages: mpsc::UnboundedReceiver<Stage>,
    executor: JoinHandle<()>,
    finals: u64,
}

impl Alone {
    pub(super) fn new(world: &World, at: usize) -> Alone {
        Alone::on(&disk(), world, at, &world.path(at))
    }

    /// In this folder, all that it writes but the index by way of `disk`.
    pub(super) fn on(disk: &Disk, world: &World, at: usize, dir: &Path) -> Alone {
        let exists = dir.join(GENESIS_FILE).exists();
        let opened = if exists { Opening::open(dir) } else { Opening::create(dir, world.genesis.clone()) };
        let mut chain = opened.unwrap().chain;
        let file = |name| disk(File::options().read(true).write(true).open(dir.join(name)).unwrap());
        chain.log = Log::over(file(LOG_FILE), file(HEAD_FILE), chain.log.length());
        let (ledger, folder) = (chain.core().clone(), dir.join("consensus"));
        std::fs::create_dir_all(&folder).unwrap();
        let (jobs, work) = mpsc::unbounded_channel();
        let (finished, done) = mpsc::unbounded_channel();
        let (stage, stages) = mpsc::unbounded_channel();
        let (clock, said) = (Clock::default(), Said::default());
        clock.set(1_000_000);
        let mut notary = Notary::open(&folder, disk).unwrap();
        if let Some((height, note)) = notary.last(ledger.head().height) {
            ledger.certify(ledger.block(height).unwrap().header, note);
            notary.resume(height);
        }
        let mut core = Core::new(Parts {
            clock: clock.clone(),
            net: said.clone(),
            gossip: said.clone(),
            ledger: ledger.clone(),
            idle_ms: 500,
            secret: world.parties[at].node.clone(),
            members: query::members(&ledger.index).unwrap(),
            epochs: Epochs::open(&folder.join("epochs"), &ledger.genesis, disk).unwrap(),
            store: BatchStore::open(&folder.join("batches"), disk.clone()).unwrap(),
            notary,
            jobs,
            stage,
        });
        let executor = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(executor::run(chain, work, finished));
        });
        core.begin();
        Alone { core, clock, said, done, stages, executor, finals: 0 }
    }

    /// Ends it; its folder can be opened again.
    pub(super) fn end(self) {
        drop(self.core);
        self.executor.join().unwrap();
    }

    /// Lets the executor finish.
    pub(super) fn work(&mut self) {
        while self.core.busy {
            let done = self.done.blocking_recv().unwrap();
            self.core.done(done);
        }
    }

    pub(super) fn height(&self) -> u64 {
        self.core.head.height.0
    }

    /// The batch that comes next.
    pub(super) fn batch(&self, txs: Vec<SignedTx>) -> Batch {
        let head = &self.core.head;
        let (epoch, time_ms) = (self.core.members.epoch, head.time_ms + EMPTY_AFTER_MS);
        Batch { chain: head.chain, epoch, height: head.height.next(), parent: head.batch, time_ms, txs }
    }

    fn hold(&mut self, batch: Batch) -> Digest {
        let bytes = batch.encode();
        self.core.store.put(Arc::new(batch), &bytes).unwrap()
    }

    /// A batch is final; returns the head that executing it gave.
    pub(super) fn finish(&mut self, batch: Batch) -> Header {
        let epoch = batch.epoch;
        let digest = self.hold(batch);
        self.finalize(epoch, digest);
        self.core.head.clone()
    }

    /// The agreement says that this batch is final.
    pub(super) fn finalize(&mut self, epoch: u64, digest: Digest) {
        self.finals += 1;
        self.core.target = Some((epoch, self.finals, digest));
        self.core.advance();
        self.work();
    }

    fn block(&self, height: u64) -> Block {
        self.core.ledger.block(BlockHeight(height)).unwrap()
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        (1..=self.height()).map(|height| self.block(height)).collect()
    }

    /// What this node answers when it is to vote for a batch of `from`.
    pub(super) fn judge(&mut self, from: &PublicKey, parent: Digest, batch: &Batch) -> Option<bool> {
        let bytes = batch.encode();
        let digest = digest_of(&bytes);
        self.core.offers.put(from, digest, Offer { batch: Arc::new(batch.clone()), bytes: Arc::new(bytes) });
        let (response, mut verdict) = oneshot::channel();
        self.core.questions.push(Question { epoch: self.core.members.epoch, parent, batch: digest, response });
        self.core.judge_all();
        self.core.questions.clear();
        verdict.try_recv().ok()
    }

    /// The peer says it is ahead, and sends this when it is asked.
    fn offered(&mut self, by: &PublicKey, blocks: Vec<Block>, note: SignedCheckpoint) {
        let height = blocks.last().unwrap().header.height;
        // Long after whoever was asked before.
        self.clock.set(self.core.now_ms() + 11_000);
        self.core.status(by, self.core.members.epoch, height, Some(&note));
        self.core.catch_up(self.core.now_ms());
        let asked = Message::WantBlocks(self.core.head.height.next()).encode();
        assert!(self.said.0.lock().unwrap().drain(..).any(|said| said == asked), "nobody was asked");
        self.core.take_blocks(by, blocks, Some(note), 1_000);
        self.work();
    }

    /// Who was shut out since the last time.
    fn shut_out(&mut self) -> Vec<PublicKey> {
        let mut out = Vec::new();
        while let Ok(stage) = self.stages.try_recv() {
            if let Stage::ShutOut(peer) = stage {
                out.push(peer);
            }
        }
        out
    }

    fn verified(&self, tx: SignedTx) -> VerifiedTx {
        verify_new(&self.core.head.chain, [tx], &self.core.ledger.index).pop().unwrap().unwrap()
    }

    /// What it proposes on `parent` when its turn comes.
    fn turn(&mut self, parent: Digest) -> Option<Digest> {
        let (response, _asked) = oneshot::channel();
        let until_ms = self.core.now_ms() + 500;
        self.core.propose(&Turn { epoch: self.core.members.epoch, parent, until_ms, response })
    }

    fn waits(&self) -> bool {
        self.core.pool.has_more(&HashSet::new())
    }
}

pub(super) fn key(world: &World, at: usize) -> PublicKey {
    public_key(&world.parties[at].node.verify_key()).unwrap()
}

/// The checkpoint of a block with the signatures of these parties.
pub(super) fn note(world: &World, header: &Header, by: &[usize]) -> SignedCheckpoint {
    let (checkpoint, chain): (_, ChainId) = (Checkpoint::of(header), header.chain);
    let nodes = by.iter().map(|at| &world.parties[*at].node);
    let signatures: Vec<_> = nodes.map(|node| (node.verify_key(), checkpoint.signature(&chain, node))).collect();
    checkpoint.with(&chain, &signatures)
}

/// A node that has executed three blocks of two transactions each.
fn author(world: &World) -> Alone {
    let mut author = Alone::new(world, 0);
    for n in 0..3 {
        let txs = (0..2).map(|half| world.tx(0, 500, register(&format!("asset-{n}-{half}")))).collect();
        author.finish(author.batch(txs));
    }
    author
}

fn rename(block: &mut Block) {
    let EntryBody::Transaction { tx, .. } = &mut block.entries[1].body else { panic!() };
    let TxBody::RegisterAsset { title, .. } = &mut tx.tx.body else { panic!() };
    title.push('!');
}

#[test]
fn a_peer_that_alters_entries_under_true_headers_is_shut_out_and_stops_nobody() {
    let world = World::new(4, 0);
    let author = author(&world);
    let genuine = author.blocks();
    let signed = note(&world, &author.core.head, &[0, 1, 2]);
    type Alter = fn(&mut Vec<Block>);
    let alterations: [(&str, Alter); 6] = [
        ("an altered field", |blocks| rename(&mut blocks[1])),
        ("another signature", |blocks| {
            let EntryBody::Transaction { tx, .. } = &mut blocks[2].entries[0].body else { panic!() };
            tx.signature.0[7] ^= 1;
        }),
        ("one entry less", |blocks| drop(blocks[0].entries.pop())),
        ("one entry more", |blocks| {
            let again = blocks[0].entries[0].clone();
            blocks[0].entries.push(again);
        }),
        ("another order", |blocks| blocks[1].entries.reverse()),
        ("an entry of another block", |blocks| blocks[2].entries[0] = blocks[0].entries[0].clone()),
    ];
    let mut node = Alone::new(&world, 3);
    for (what, alter) in alterations {
        let mut altered = genuine.clone();
        alter(&mut altered);
        node.offered(&key(&world, 2), altered, signed.clone());
        assert!(!node.core.stopped, "{what}");
        node.core.ledger.check_running().unwrap();
        assert_eq!((node.height(), node.core.ledger.head().height.0), (0, 0), "{what}");
        assert_eq!(node.shut_out(), [key(&world, 2)], "{what}");
        // Nor is it asked again.
        node.core.catch_up(node.core.now_ms());
        assert!(node.said.0.lock().unwrap().is_empty(), "{what}");
    }
    node.offered(&key(&world, 1), genuine.clone(), signed);
    assert_eq!(node.blocks(), genuine);
    assert_eq!(node.shut_out(), []);
    assert_eq!(node.core.notary.certain(), Some(BlockHeight(3)));
}

#[test]
fn what_a_quorum_signed_and_the_rules_refuse_stops_the_node() {
    let world = World::new(4, 0);
    let author = author(&world);
    let mut blocks = author.blocks();
    // The entries are those of the root; only executing them shows that the state is another.
    let last = blocks.last_mut().unwrap();
    last.header.state_root = StateRoot([7; 32]);
    let signed = note(&world, &last.header, &[1, 2, 3]);
    let mut node = Alone::new(&world, 3);
    node.offered(&key(&world, 1), blocks, signed);
    assert!(node.core.stopped);
    assert!(node.core.ledger.check_running().unwrap_err().to_string().contains("rules refuse"));
    assert_eq!(node.shut_out(), []);
}

#[test]
fn old_checkpoints_and_too_few_signatures_move_nothing() {
    let world = World::new(4, 0);
    let author = author(&world);
    let genuine = author.blocks();
    let mut node = Alone::new(&world, 3);
    let last = &genuine[2].header;
    // A true one of an older block; two members of four; one member three times.
    let thrice = note(&world, last, &[2, 2, 2]);
    for bad in [note(&world, &genuine[1].header, &[0, 1, 2]), note(&world, last, &[1, 2]), thrice] {
        node.offered(&key(&world, 2), genuine.clone(), bad);
        assert_eq!((node.height(), node.core.stopped), (0, false));
    }
    // Blocks that do not follow: one left out, an older one again.
    let signed = note(&world, last, &[0, 1, 2]);
    node.offered(&key(&world, 2), genuine[1..].to_vec(), signed.clone());
    node.offered(&key(&world, 2), [&genuine[..2], &genuine[1..]].concat(), signed.clone());
    assert_eq!((node.height(), node.core.stopped), (0, false));
    node.offered(&key(&world, 1), genuine.clone(), signed);
    assert_eq!((node.height(), node.core.notary.certain()), (3, Some(BlockHeight(3))));
    // What was certain before is no news.
    let old = note(&world, &genuine[0].header, &[0, 1, 2]);
    node.core.status(&key(&world, 2), 0, BlockHeight(9), Some(&old));
    assert_eq!((node.height(), node.core.notary.certain()), (3, Some(BlockHeight(3))));
    assert_eq!(node.core.ledger.certified().header, *last);
}

#[test]
fn a_checkpoint_is_certain_by_the_quorum_of_its_own_epoch() {
    let world = World::new(4, 1);
    let mut node = Alone::new(&world, 0);
    let joins = world.tx(0, 500, TxBody::Propose { change: Change::Join(world.parties[4].member.clone()) });
    let proposal = joins.hash();
    node.finish(node.batch(vec![joins]));
    let endorsed = (1..3).map(|at| world.tx(at, 500, TxBody::Endorse { proposal })).collect();
    let ends = node.finish(node.batch(endorsed));
    assert_eq!((ends.epoch, node.core.members.epoch), (0, 1));
    node.core.certified(note(&world, &ends, &[0, 1, 2]));
    assert_eq!(node.core.notary.certain(), Some(BlockHeight(2)));
    // Of five members four are needed; three are a quorum of those before.
    let next = node.finish(node.batch(vec![world.tx(1, 500, register("after"))]));
    assert_eq!(next.epoch, 1);
    node.core.certified(note(&world, &next, &[0, 1, 2]));
    assert_eq!(node.core.notary.certain(), Some(BlockHeight(2)));
    assert_eq!(node.core.ledger.certified().header.height, BlockHeight(2));
    node.core.certified(note(&world, &next, &[0, 1, 2, 4]));
    assert_eq!(node.core.notary.certain(), Some(BlockHeight(3)));
}

#[test]
fn a_batch_that_does_not_follow_gets_no_vote_and_is_not_kept() {
    let world = World::new(4, 0);
    let mut node = author(&world);
    let (liar, head) = (key(&world, 3), node.core.head.clone());
    node.clock.set(head.time_ms + EMPTY_AFTER_MS);
    let good = node.batch(vec![world.tx(3, 500, register("next"))]);
    let height = |by: u64| Batch { height: BlockHeight(head.height.0 + by), ..good.clone() };
    let time = |time_ms: u64| Batch { time_ms, ..good.clone() };
    for (bad, verdict) in [
        (height(0), Some(false)),
        (height(2), Some(false)),
        (height(99), Some(false)),
        (Batch { epoch: 1, ..good.clone() }, Some(false)),
        (Batch { chain: ChainId([9; 32]), txs: vec![], ..good.clone() }, Some(false)),
        (Batch { parent: Digest([9; 32]), ..good.clone() }, Some(false)),
        (time(head.time_ms), Some(false)),
        (time(1), Some(false)),
        (Batch { txs: vec![], ..time(head.time_ms + EMPTY_AFTER_MS - 1) }, Some(false)),
        // A clock that is as wrong as this may also be this node's: it waits.
        (time(head.time_ms + EMPTY_AFTER_MS + CLOCK_SKEW_MS + 1), None),
    ] {
        assert_eq!(node.judge(&liar, head.batch, &bad), verdict, "{bad:?}");
        assert_eq!(node.core.store.meta(&bad.digest()), None);
        assert_eq!(node.core.head, head);
    }
    assert_eq!(node.judge(&liar, head.batch, &good), Some(true));
    assert!(node.core.store.meta(&good.digest()).is_some(), "durable before the vote");
    node.finish(good);
    assert_eq!(node.height(), head.height.0 + 1);
}

#[test]
fn a_transaction_that_was_executed_before_changes_nothing() {
    let world = World::new(4, 0);
    let mut node = author(&world);
    let before = node.core.head.clone();
    let EntryBody::Transaction { tx: old, .. } = node.block(1).entries[0].body.clone() else { panic!() };
    let receipt = query::receipt(&node.core.ledger.index, &old.hash()).unwrap();
    let after = node.finish(node.batch(vec![(*old).clone()]));
    assert_eq!((after.tree_size, after.log_root), (before.tree_size, before.log_root));
    assert_eq!(query::receipt(&node.core.ledger.index, &old.hash()).unwrap(), receipt);
    let fresh = world.tx(1, 500, register("fresh"));
    node.finish(node.batch(vec![(*old).clone(), fresh.clone()]));
    let entries = node.block(5).entries;
    assert_eq!(entries.len(), 1);
    assert!(matches!(&entries[0].body, EntryBody::Transaction { tx, .. } if **tx == fresh));
    assert!(!node.core.stopped);
}

#[test]
fn what_the_rules_refuse_makes_no_block_by_itself() {
    let world = World::new(4, 0);
    let mut node = author(&world);
    let twice = |nonce| sign(&world.genesis, &world.parties[0].account, nonce, 500, register("asset-0-0"));
    let (parent, height) = (node.core.head.batch, node.height());
    // Nothing waits: the turn is held. Only what is refused waits: it passes at once, and no trace is
    // left.
    assert_eq!(node.turn(parent), None);
    for nonce in 900..910 {
        let refused = node.verified(twice(nonce));
        node.core.pool.offer(&refused);
    }
    assert_eq!(node.turn(parent), Some(parent));
    assert!(!node.waits());
    assert_eq!(node.turn(parent), None);
    // Beside something good it comes along and is refused in execution.
    let (refused, good) = (node.verified(twice(911)), node.verified(world.tx(0, 500, register("good"))));
    node.core.pool.offer(&refused);
    node.core.pool.offer(&good);
    let proposed = node.turn(parent).unwrap();
    assert_ne!(proposed, parent);
    // Behind a batch that is not executed yet it is taken as good; but not behind an empty block.
    let more = node.verified(twice(912));
    node.core.pool.offer(&more);
    assert_ne!(node.turn(proposed).unwrap(), proposed);
    let batch = (*node.core.store.batch(&proposed).unwrap().unwrap()).clone();
    node.finish(batch);
    assert_eq!((node.height(), node.block(height + 1).entries.len()), (height + 1, 1));
    let empty = node.finish(node.batch(vec![]));
    let flying = node.batch(vec![world.tx(0, 500, register("flying"))]);
    let flying = node.hold(flying);
    assert!(node.waits());
    assert_eq!(node.turn(flying), None);
    assert_eq!(node.turn(empty.batch), Some(empty.batch));
    assert!(!node.waits());
    assert_eq!(node.height(), height + 2);
}

#[test]
fn what_execution_would_refuse_whatever_comes_is_not_admitted() {
    let mut world = World::new(4, 0);
    world.genesis.policy.open_enrolment = false;
    let mut node = author(&world);
    let stranger = secret("Stranger", 77);
    let opens = |who: &AccountSecret| TxBody::OpenAccount { account: who.public().clone(), identity: vec![] };
    let admit = |node: &Alone, tx: SignedTx| -> Result<(), Rejection> {
        let state = &node.core.ledger.index;
        let unverified = Unverified::new(&node.core.head.chain, tx, state);
        match unverified.and_then(|unverified| unverified.admit(node.core.head.height, state)) {
            Err(ExecuteError::Rejected(rejection)) => Err(rejection),
            Ok(()) => Ok(()),
            Err(ExecuteError::Index(error)) => panic!("{error}"),
        }
    };
    let own = sign(&world.genesis, &stranger, 1, 500, opens(&stranger));
    assert_eq!(admit(&node, own.clone()), Err(Rejection::EnrolmentClosed));
    // A member may enrol them, once.
    let enrolled = world.tx(1, 500, opens(&stranger));
    assert_eq!(admit(&node, enrolled.clone()), Ok(()));
    node.finish(node.batch(vec![enrolled]));
    assert_eq!(admit(&node, own), Err(Rejection::EnrolmentClosed));
    let again = world.tx(0, 500, opens(&world.parties[0].account));
    assert!(matches!(admit(&node, again), Err(Rejection::AlreadyEnrolled(_))));
    // What has expired, and an account that is closed.
    let late = world.tx(1, node.height(), register("late"));
    assert!(matches!(admit(&node, late), Err(Rejection::Expired { .. })));
    let next = sign(&world.genesis, &stranger, 2, node.height() + 1, register("next"));
    assert_eq!(admit(&node, next.clone()), Ok(()));
    let account = stranger.address();
    node.finish(node.batch(vec![world.tx(1, 500, TxBody::CloseAccount { account })]));
    let more = sign(&world.genesis, &stranger, 3, 500, register("more"));
    assert!(matches!(admit(&node, more), Err(Rejection::AccountClosed { .. })));
    node.end();
}
