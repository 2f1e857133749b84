//! Four nodes in the library's deterministic simulator: lossy links, a partition, a crash, a wrong
//! clock, a full disk, restarts; one seed gives one history.

use std::fs::File;
use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{Config, Link, Network, Oracle};
use commonware_runtime::{Clock, Handle, Quota, Runner, Spawner, Supervisor, deterministic};
use commonware_utils::probability;
use rand_core::Rng;
use tokio::sync::mpsc;

use super::super::batch::CLOCK_SKEW_MS;
use super::super::core::{Core, Parts, Queues, Stage};
use super::super::epochs::Epochs;
use super::super::events::Mailbox;
use super::super::frame::MESSAGE_BYTES_MAX;
use super::super::gate::Gate;
use super::super::gossip::Gossip;
use super::super::keys::{namespace, private_key, public_key};
use super::super::notary::Notary;
use super::super::pool::{Rate, Rates};
use super::super::store::BatchStore;
use super::super::time::Time;
use super::super::{agreement, executor};
use super::harness::{World, timeouts};
use crate::account::NodeSecret;
use crate::block::{Header, Receipt};
use crate::chain::{self, Opening};
use crate::codec::encode;
use crate::engine::{Reply, Submission};
use crate::ids::{BlockHash, BlockHeight};
use crate::log::{Disk, HEAD_FILE, LOG_FILE, Log, Medium};
use crate::state::query;
use crate::state::verify::verify_new;
use crate::testing::register;

/// A clock that is wrong by so many milliseconds.
struct Skewed(deterministic::Context, Arc<Mutex<i64>>);

impl Time for Skewed {
    fn clock_ms(&self) -> u64 {
        self.now_ms().saturating_add_signed(*self.1.lock().unwrap())
    }

    fn now_ms(&self) -> u64 {
        let since = self.0.current().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(since.as_millis()).unwrap()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        Clock::sleep(&self.0, duration)
    }
}

/// A file on a disk that is full while so told.
struct Limited(File, Arc<AtomicBool>);

impl Medium for Limited {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) {
            // Some of it still fits.
            self.0.write_at(offset, &bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
}

type Net = Oracle<PublicKey, deterministic::Context>;

/// A node's tasks and its ends.
struct Node {
    tasks: Vec<Handle<()>>,
    submissions: mpsc::Sender<Submission>,
    ledger: Arc<chain::Core>,
}

impl Node {
    /// As [`super::super::node`] does it, on the simulator.
    async fn start(
        context: deterministic::Context,
        oracle: &Net,
        dir: &Path,
        secret: &NodeSecret,
        skew: Arc<Mutex<i64>>,
        full: Arc<AtomicBool>,
    ) -> Node {
        let disk: Disk = Arc::new(move |file| Box::new(Limited(file, full.clone())));
        let mut chain = Opening::open(dir).unwrap().chain;
        let file = |name| disk(File::options().write(true).open(dir.join(name)).unwrap());
        chain.log = Log::over(file(LOG_FILE), file(HEAD_FILE), chain.log.length());
        let ledger = chain.core().clone();
        let folder = dir.join("consensus");
        std::fs::create_dir_all(&folder).unwrap();
        let me = public_key(&secret.verify_key()).unwrap();
        let control = oracle.control(me);
        let quota = Quota::per_second(NonZeroU32::new(1_024).unwrap());
        let (jobs, work) = mpsc::unbounded_channel();
        let (finished, done) = mpsc::unbounded_channel();
        let (events, asked) = mpsc::unbounded_channel();
        let (stage, mut stages) = mpsc::unbounded_channel();
        let (to_core, arrivals) = mpsc::channel(32);
        let (submissions, waiting) = mpsc::channel(1024);
        let (net, receiver) = control.register(3, quota).await.unwrap();
        let (gossip, heard) = control.register(4, quota).await.unwrap();
        let (to_pool, transactions) = mpsc::channel(32);
        let channels = [
            control.register(0, quota).await.unwrap(),
            control.register(1, quota).await.unwrap(),
            control.register(2, quota).await.unwrap(),
        ];
        let mut notary = Notary::open(&folder, &disk).unwrap();
        if let Some((height, note)) = notary.last(ledger.head().height) {
            ledger.certify(ledger.block(height).unwrap().header, note);
            notary.resume(height);
        }
        let gate = Gate::new(Skewed(context.child("clock"), skew.clone()), ledger.clone());
        let rates = Rates::new(Rate::default(), Rate::default());
        let passed_on =
            Gossip::new(Skewed(context.child("clock"), skew.clone()), ledger.clone(), control.clone(), rates);
        let core = Core::new(Parts {
            clock: Skewed(context.child("clock"), skew),
            net,
            gossip,
            ledger: ledger.clone(),
            idle_ms: 500,
            secret: secret.clone(),
            members: query::members(&ledger.index).unwrap(),
            epochs: Epochs::open(&folder.join("epochs"), &ledger.genesis, &disk).unwrap(),
            store: BatchStore::open(&folder.join("batches"), disk).unwrap(),
            notary,
            jobs,
            stage,
        });
        let queues = Queues { events: asked, submissions: waiting, arrivals, transactions, done };
        let mut tasks = vec![
            context.child("executor").spawn(move |_| executor::run(chain, work, finished)),
            context.child("gate").spawn(move |_| gate.run(receiver, to_core)),
            context.child("gossip").spawn(move |_| passed_on.run(heard, to_pool)),
            context.child("core").spawn(move |_| core.run(queues)),
        ];
        let Some(Stage::Peers(_)) = stages.recv().await else { panic!("no peers") };
        let Some(Stage::Agree(start)) = stages.recv().await else { panic!("no agreement") };
        let agreed = agreement::start(
            context.child("agreement"),
            &start,
            private_key(secret).unwrap(),
            &namespace(&ledger.head().chain),
            timeouts(),
            Mailbox { epoch: 0, events },
            control,
            channels,
            format!("{}-epoch-0", secret.verify_key()),
        );
        tasks.push(agreed.unwrap());
        Node { tasks, submissions, ledger }
    }

    /// All at once and in the middle of whatever it did.
    async fn crash(self) {
        self.tasks.iter().for_each(Handle::abort);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

struct Simulation {
    world: World,
    keys: Vec<PublicKey>,
    dirs: Vec<PathBuf>,
    oracle: Net,
    nodes: Vec<Option<Node>>,
    skews: Vec<Arc<Mutex<i64>>>,
    full: Vec<Arc<AtomicBool>>,
    waiting: Vec<(usize, mpsc::Receiver<Reply>)>,
    acknowledged: Vec<Receipt>,
    /// The highest block seen so far.
    newest: BlockHeight,
}

impl Simulation {
    async fn new(context: &deterministic::Context) -> Simulation {
        let mut world = World::new(4, 0);
        // Addresses are the system's to give; here nobody listens, and they are part of the history.
        for member in &mut world.genesis.network.as_mut().unwrap().members {
            member.peer = "simulated:1".into();
        }
        let keys: Vec<PublicKey> =
            world.parties.iter().map(|party| public_key(&party.node.verify_key()).unwrap()).collect();
        let config = Config {
            max_size: u32::try_from(MESSAGE_BYTES_MAX).unwrap(),
            max_peers_per_set: NonZeroUsize::new(8).unwrap(),
            disconnect_on_block: true,
            tracked_peer_sets: NonZeroUsize::MIN,
        };
        let (network, oracle) = Network::new_with_peers(context.child("network"), config, keys.clone()).await;
        network.start();
        let dirs: Vec<PathBuf> = (0..4).map(|at| world.path(at)).collect();
        for dir in &dirs {
            drop(Opening::create(dir, world.genesis.clone()).unwrap());
        }
        let skews = (0..4).map(|_| Arc::default()).collect();
        let full = (0..4).map(|_| Arc::default()).collect();
        let nodes = (0..4).map(|_| None).collect();
        let (waiting, acknowledged, newest) = (vec![], vec![], BlockHeight(0));
        Simulation { world, keys, dirs, oracle, nodes, skews, full, waiting, acknowledged, newest }
    }

    async fn link(&mut self, one: &[usize], other: &[usize], open: bool) {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b) {
            for (from, to) in [(a, b), (b, a)] {
                let (from, to) = (self.keys[from].clone(), self.keys[to].clone());
                let _ = self.oracle.remove_link(from.clone(), to.clone()).await;
                if open {
                    let (latency, jitter) = (Duration::from_millis(30), Duration::from_millis(20));
                    let link = Link { latency, jitter, success_rate: probability!(0.9) };
                    self.oracle.add_link(from, to, link).await.unwrap();
                }
            }
        }
    }

    async fn start(&mut self, context: &deterministic::Context, at: usize, life: u64) {
        let context = context.child("node").with_attribute("at", at).with_attribute("life", life);
        let (dir, secret) = (self.dirs[at].clone(), self.world.parties[at].node.clone());
        let (skew, full) = (self.skews[at].clone(), self.full[at].clone());
        self.nodes[at] = Some(Node::start(context, &self.oracle, &dir, &secret, skew, full).await);
    }

    fn submit(&mut self, at: usize, name: &str) {
        let Some(node) = &self.nodes[at] else { return };
        let signed = self.world.tx(at, 5_000, register(name));
        let tx = verify_new(&node.ledger.head().chain, [signed], &node.ledger.index).pop().unwrap().unwrap();
        let (reply, answer) = mpsc::channel(1);
        if node.submissions.try_send(Submission { tx, reply }).is_ok() {
            self.waiting.push((at, answer));
        }
    }

    /// Collects replies; those of a crashed node never come.
    fn collect(&mut self) {
        let acknowledged = &mut self.acknowledged;
        self.waiting.retain_mut(|(_, answer)| match answer.try_recv() {
            Ok(Ok(receipt)) => {
                acknowledged.push(receipt);
                false
            }
            Ok(Err(_)) | Err(mpsc::error::TryRecvError::Disconnected) => false,
            Err(mpsc::error::TryRecvError::Empty) => true,
        });
    }

    /// The time of a new block is that of honest clocks, give or take, whatever one clock says: it
    /// was so when they voted, and no block is long on its way.
    fn check_time(&mut self, context: &deterministic::Context) {
        let now = u64::try_from(context.current().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        let heads = self.nodes.iter().flatten().map(|node| node.ledger.head());
        let newest = heads.max_by_key(|head| head.height).unwrap();
        if newest.height > self.newest {
            self.newest = newest.height;
            let time = newest.time_ms;
            assert!(time <= now + CLOCK_SKEW_MS && now <= time + 2 * CLOCK_SKEW_MS, "a block of {time} ms at {now} ms");
        }
    }

    /// Waits until all nodes that run have what one of them has, and nobody waits for an answer.
    async fn settle(&mut self, context: &deterministic::Context) {
        let goal = self.heights().into_iter().max().unwrap();
        for _ in 0..600 {
            self.collect();
            if self.heights().iter().all(|height| *height >= goal) && self.waiting.is_empty() {
                break;
            }
            Clock::sleep(context, Duration::from_millis(200)).await;
        }
        assert!(self.heights().iter().all(|height| *height >= goal), "{:?} of {goal}", self.heights());
        // Whoever contradicts itself is shut out by the others.
        assert!(self.oracle.blocked().await.unwrap().is_empty());
    }

    fn executed(&self) -> Vec<u64> {
        self.nodes.iter().flatten().map(|node| node.ledger.head().height.0).collect()
    }

    fn heights(&self) -> Vec<u64> {
        self.nodes.iter().flatten().map(|node| node.ledger.certified().header.height.0).collect()
    }
}

/// Runs for a simulated minute and more; returns the last block, its height, and how many
/// transactions were acknowledged.
fn simulate(seed: u64) -> (BlockHash, u64, usize) {
    let config = deterministic::Config::new().with_seed(seed).with_timeout(Some(Duration::from_secs(600)));
    deterministic::Runner::new(config).start(|mut context| async move {
        let mut simulation = Simulation::new(&context).await;
        let all = [0, 1, 2, 3];
        simulation.link(&all, &all, true).await;
        for at in 0..4 {
            simulation.start(&context, at, 0).await;
        }
        let faulty = usize::try_from(seed % 4).unwrap();
        let mut at = |from: u64| from + context.next_u64() % 20;
        let (cut, joined, crashed, back) = (at(15), at(60), at(100), at(140));
        let (wrong, right) = (at(180), at(220));
        let (full, room) = (at(260), at(300));
        let hour = if seed.is_multiple_of(2) { 3_600_000 } else { -3_600_000 };
        let mut before = Vec::new();
        for step in 0u64..360 {
            if step == cut {
                simulation.link(&[faulty], &all, false).await;
            } else if step == joined {
                simulation.link(&[faulty], &all, true).await;
            } else if step == crashed {
                simulation.nodes[faulty].take().unwrap().crash().await;
            } else if step == back {
                simulation.start(&context, faulty, 1).await;
            } else if step == wrong {
                *simulation.skews[faulty].lock().unwrap() = hour;
            } else if step == right {
                // Which is an hour back, or forward, at once.
                *simulation.skews[faulty].lock().unwrap() = 0;
            } else if step == full {
                simulation.full[faulty].store(true, Ordering::SeqCst);
                before = simulation.executed();
            } else if step == room {
                // Without room it executes nothing; the others go on.
                let now = simulation.executed();
                assert!((0..4).all(|at| (now[at] > before[at]) == (at != faulty)), "{before:?} and {now:?}");
                simulation.full[faulty].store(false, Ordering::SeqCst);
            }
            let at = usize::try_from(context.next_u64() % 4).unwrap();
            if step % 3 == 0 {
                simulation.submit(at, &format!("s-{step}"));
            }
            Clock::sleep(&context, Duration::from_millis(200)).await;
            simulation.collect();
            simulation.check_time(&context);
        }
        simulation.settle(&context).await;
        check(&simulation)
    })
}

/// Nodes crash by chance, up to all of them, and start again in any order; returns as [`simulate`].
fn restart(seed: u64) -> (BlockHash, u64, usize) {
    let config = deterministic::Config::new().with_seed(seed).with_timeout(Some(Duration::from_secs(900)));
    deterministic::Runner::new(config).start(|mut context| async move {
        let mut simulation = Simulation::new(&context).await;
        simulation.link(&[0, 1, 2, 3], &[0, 1, 2, 3], true).await;
        for at in 0..4 {
            simulation.start(&context, at, 0).await;
        }
        for life in 1..7 {
            let mut order: Vec<usize> = (0..4).collect();
            for at in (1..4usize).rev() {
                order.swap(at, usize::try_from(context.next_u64() % (at as u64 + 1)).unwrap());
            }
            // In the last round all of them.
            let crashes = if life == 6 { 4 } else { 1 + usize::try_from(context.next_u64() % 4).unwrap() };
            for step in 0..10 {
                let at = usize::try_from(context.next_u64() % 4).unwrap();
                simulation.submit(at, &format!("r-{life}-{step}"));
                let pause_ms = 50 + context.next_u64() % 200;
                Clock::sleep(&context, Duration::from_millis(pause_ms)).await;
                simulation.collect();
            }
            for at in &order[..crashes] {
                simulation.nodes[*at].take().unwrap().crash().await;
                let pause_ms = context.next_u64() % 300;
                Clock::sleep(&context, Duration::from_millis(pause_ms)).await;
            }
            order[..crashes].reverse();
            order[..crashes].rotate_left(usize::try_from(context.next_u64()).unwrap_or_default() % crashes);
            for at in order[..crashes].iter().copied() {
                simulation.start(&context, at, life).await;
                let pause_ms = context.next_u64() % 1_500;
                Clock::sleep(&context, Duration::from_millis(pause_ms)).await;
            }
        }
        // It goes on.
        let before = simulation.acknowledged.len();
        (0..4).for_each(|at| simulation.submit(at, &format!("last-{at}")));
        for _ in 0..600 {
            simulation.collect();
            if simulation.waiting.is_empty() {
                break;
            }
            Clock::sleep(&context, Duration::from_millis(200)).await;
        }
        assert!(simulation.acknowledged.len() >= before + 4, "{} after {before}", simulation.acknowledged.len());
        simulation.settle(&context).await;
        check(&simulation)
    })
}

/// All nodes have the same blocks, and everything acknowledged is in them once.
fn check(simulation: &Simulation) -> (BlockHash, u64, usize) {
    let height = simulation.heights().into_iter().min().unwrap();
    let read = |node: &Node, height| encode(&node.ledger.block(BlockHeight(height)).unwrap());
    let nodes: Vec<&Node> = simulation.nodes.iter().flatten().collect();
    let blocks: Vec<Vec<u8>> = (0..=height).map(|height| read(nodes[0], height)).collect();
    for node in &nodes {
        assert!((0..=height).all(|height| read(node, height) == blocks[usize::try_from(height).unwrap()]));
        for receipt in &simulation.acknowledged {
            assert_eq!(query::receipt(&node.ledger.index, &receipt.hash).unwrap().as_ref(), Some(receipt));
        }
    }
    let headers: Vec<Header> =
        (0..=height).map(|height| nodes[0].ledger.block(BlockHeight(height)).unwrap().header).collect();
    assert!(headers.windows(2).all(|two| two[0].time_ms < two[1].time_ms), "time goes back");
    let last = headers.last().unwrap();
    (last.hash(), height, simulation.acknowledged.len())
}

#[test]
fn lossy_links_a_partition_a_crash_a_wrong_clock_and_a_full_disk() {
    // Another node is the faulty one each time; the fourth below.
    for seed in 0..3 {
        let (_, blocks, acknowledged) = simulate(seed);
        assert!(blocks > 20 && acknowledged > 40, "seed {seed}: {blocks} blocks, {acknowledged} transactions");
    }
}

#[test]
#[ignore = "the same for longer: run it by hand"]
fn many_seeds() {
    for seed in 4..36 {
        println!("seed {seed}: {:?}", simulate(seed));
    }
}

#[test]
fn restarts_in_any_order_lose_nothing() {
    for seed in 100..103 {
        let (_, blocks, acknowledged) = restart(seed);
        assert!(blocks > 8 && acknowledged > 10, "seed {seed}: {blocks} blocks, {acknowledged} transactions");
    }
}

#[test]
fn one_seed_gives_one_history() {
    assert_eq!(simulate(3), simulate(3));
}
