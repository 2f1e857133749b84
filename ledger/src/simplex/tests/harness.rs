//! What the tests share: a network whose nodes are started, stopped and cut off one by one.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::{Authority, NodeConfig, NodeError, Timeouts, create, open};
use crate::account::{AccountSecret, NodeSecret};
use crate::block::Receipt;
use crate::chain::{GENESIS_FILE, Ledger};
use crate::codec::encode;
use crate::error::SubmitError;
use crate::genesis::{Genesis, Network};
use crate::ids::BlockHeight;
use crate::member::Member;
use crate::testing::{genesis, secret, sign};
use crate::tx::{SignedTx, TxBody};

/// Longer than anything takes on a loaded machine; nothing waits for it that goes well.
pub(super) const LONG: Duration = Duration::from_secs(120);

/// An organisation: its account, its node's key and certificate, where it listens.
pub(super) struct Party {
    pub(super) account: AccountSecret,
    pub(super) node: NodeSecret,
    pub(super) member: Member,
    listen: SocketAddr,
}

pub(super) struct World {
    // Before their folders: fields are dropped in this order.
    pub(super) nodes: Vec<Option<Ledger>>,
    pub(super) dir: tempfile::TempDir,
    pub(super) genesis: Genesis,
    pub(super) parties: Vec<Party>,
    /// Between which parties connections go through a gate, and the gates: (dialler, listener).
    pub(super) gates: BTreeMap<(usize, usize), Arc<Gate>>,
    nonce: AtomicU64,
}

pub(super) fn timeouts() -> Timeouts {
    Timeouts {
        leader: Duration::from_millis(1_000),
        view: Duration::from_millis(2_000),
        retry: Duration::from_millis(1_500),
        skip: Duration::from_millis(4_000),
    }
}

/// An address that stays free until a node listens there: another one for each call of this process,
/// and none of those (32,768 and up) that the system gives to outgoing connections.
fn free_address() -> SocketAddr {
    const PORTS: std::ops::Range<u16> = 30_200..32_700;
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 25).unwrap() * 100;
    let ports = PORTS.end - PORTS.start;
    (0..ports)
        .map(|_| PORTS.start + (own + TAKEN.fetch_add(1, Ordering::Relaxed)) % ports)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("free ports")
}

pub(super) fn authority() -> Authority {
    Authority::new("Consortium", NodeSecret::from_seed(&[200; 32]))
}

impl Party {
    pub(super) fn new(number: usize) -> Party {
        let seed = u8::try_from(number).unwrap() + 1;
        let account = secret(&format!("Office {number}"), seed);
        let node = NodeSecret::from_seed(&[100 + seed; 32]);
        let certificate = authority().issue(&account.public().name, &node.verify_key()).unwrap();
        let listen = free_address();
        let member = Member {
            account: account.public().clone(),
            node_key: node.verify_key(),
            certificate,
            peer: listen.to_string(),
            gateway: "http://127.0.0.1:1".into(),
        };
        Party { account, node, member, listen }
    }
}

impl World {
    /// `members` founding members and `others` who are none yet; nobody runs.
    pub(super) fn new(members: usize, others: usize) -> World {
        let parties: Vec<Party> = (0..members + others).map(Party::new).collect();
        let mut genesis = genesis().0;
        genesis.operator = parties[0].account.public().clone();
        let founders = parties[..members].iter().map(|party| party.member.clone()).collect();
        genesis.network = Some(Network { authority: authority().certificate().unwrap(), members: founders });
        let nodes = parties.iter().map(|_| None).collect();
        let dir = tempfile::tempdir().unwrap();
        World { dir, genesis, parties, nodes, gates: BTreeMap::new(), nonce: AtomicU64::new(0) }
    }

    /// All members run.
    pub(super) fn running(members: usize) -> World {
        let mut world = World::new(members, 0);
        (0..members).for_each(|at| world.start(at));
        world
    }

    /// The same with a gate between every two, so that they can be cut off from each other.
    pub(super) fn gated(members: usize) -> World {
        let mut world = World::new(members, 0);
        for dialler in 0..members {
            for listener in 0..members {
                if dialler != listener {
                    let gate = Gate::new(world.parties[listener].listen);
                    world.gates.insert((dialler, listener), gate);
                }
            }
        }
        (0..members).for_each(|at| world.start(at));
        world
    }

    pub(super) fn config(&self, at: usize) -> NodeConfig {
        let party = &self.parties[at];
        let mut config = NodeConfig::new(party.listen, party.node.clone(), party.member.certificate.clone());
        config.timeouts = timeouts();
        for ((_, listener), gate) in self.gates.iter().filter(|((dialler, _), _)| *dialler == at) {
            config.addresses.push((self.parties[*listener].member.node_key, gate.address.to_string()));
        }
        config
    }

    pub(super) fn path(&self, at: usize) -> std::path::PathBuf {
        self.dir.path().join(format!("node-{at}"))
    }

    pub(super) fn try_start(&mut self, at: usize) -> Result<(), NodeError> {
        let (path, config) = (self.path(at), self.config(at));
        let ledger = if path.join(GENESIS_FILE).exists() {
            open(&path, config)?
        } else {
            create(&path, self.genesis.clone(), config)?
        };
        self.nodes[at] = Some(ledger);
        Ok(())
    }

    pub(super) fn start(&mut self, at: usize) {
        self.try_start(at).unwrap();
    }

    pub(super) fn stop(&mut self, at: usize) {
        self.nodes[at] = None;
    }

    pub(super) fn node(&self, at: usize) -> &Ledger {
        self.nodes[at].as_ref().unwrap()
    }

    /// Lets or cuts all connections between two groups.
    pub(super) fn connect(&self, one: &[usize], other: &[usize], open: bool) {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            for pair in [(a, b), (b, a)] {
                if let Some(gate) = self.gates.get(&pair) {
                    gate.set(open);
                }
            }
        }
    }

    pub(super) fn tx(&self, by: usize, expiry: u64, body: TxBody) -> SignedTx {
        let nonce = self.nonce.fetch_add(1, Ordering::SeqCst);
        sign(&self.genesis, &self.parties[by].account, nonce, expiry, body)
    }

    /// Submits a transaction of party `by` at the node `at`.
    pub(super) fn submit(&self, at: usize, by: usize, body: TxBody) -> Result<Receipt, SubmitError> {
        let expiry = self.node(at).head().height.0 + 1_000;
        self.node(at).submit(self.tx(by, expiry, body))
    }

    /// Waits until these nodes' certified heads are at least at `height`.
    pub(super) fn await_height(&self, nodes: &[usize], height: BlockHeight) {
        let reached = || nodes.iter().all(|at| self.node(*at).head().height >= height);
        let heights = || nodes.iter().map(|at| self.node(*at).head().height.0).collect::<Vec<_>>();
        assert!(eventually(LONG, reached), "{height} was not reached: {:?}", heights());
    }

    /// Checks that these nodes have the same blocks, byte by byte, and certified checkpoints.
    pub(super) fn agree(&self, nodes: &[usize]) -> BlockHeight {
        let height = nodes.iter().map(|at| self.node(*at).head().height).min().unwrap();
        for number in 0..=height.0 {
            let blocks: Vec<Vec<u8>> =
                nodes.iter().map(|at| encode(&self.node(*at).block(BlockHeight(number)).unwrap())).collect();
            assert!(blocks.windows(2).all(|two| two[0] == two[1]), "block {number} differs");
        }
        height
    }
}

pub(super) fn eventually(within: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < within {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    holds()
}

/// A relay of TCP connections that can be shut.
pub(super) struct Gate {
    pub(super) address: SocketAddr,
    open: AtomicBool,
    pub(super) delay_ms: AtomicU64,
}

impl Gate {
    pub(super) fn new(to: SocketAddr) -> Arc<Gate> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Arc::new(Gate {
            address: listener.local_addr().unwrap(),
            open: AtomicBool::new(true),
            delay_ms: AtomicU64::new(0),
        });
        let relay = gate.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(inward) = stream else { continue };
                let Ok(outward) = std::net::TcpStream::connect(to) else { continue };
                for (from, into) in [(&inward, &outward), (&outward, &inward)] {
                    let (from, into, gate) = (from.try_clone().unwrap(), into.try_clone().unwrap(), relay.clone());
                    std::thread::spawn(move || gate.pump(from, into));
                }
            }
        });
        gate
    }

    /// A shut gate loses what it is given, as a broken cable does.
    pub(super) fn set(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }

    fn pump(&self, mut from: std::net::TcpStream, mut into: std::net::TcpStream) {
        use std::io::{Read, Write};
        let mut buffer = vec![0; 64 * 1024];
        let mut broken = false;
        while let Ok(count) = from.read(&mut buffer) {
            broken |= !self.open.load(Ordering::SeqCst);
            // Once bytes were lost the connection is of no use: when the gate opens it is reset.
            if count == 0 || broken && self.open.load(Ordering::SeqCst) {
                break;
            }
            std::thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::SeqCst)));
            if !broken && into.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(std::net::Shutdown::Both), into.shutdown(std::net::Shutdown::Both));
    }
}
