//! Nodes cut off, killed, lying: two honest nodes never disagree, nothing acknowledged is lost,
//! and the network goes on when three of four are back.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::super::{NodeError, open};
use super::harness::{LONG, Party, World, eventually};
use crate::audit::Replay;
use crate::block::Receipt;
use crate::chain::{Opening, read_genesis};
use crate::codec::encode;
use crate::error::SubmitError;
use crate::ids::{BlockHeight, TxHash};
use crate::state::Rejection;
use crate::testing::{register, secret, sign};
use crate::tx::TxBody;

#[test]
fn one_cut_off_does_not_delay_the_others_and_catches_up() {
    let world = World::gated(4);
    world.submit(0, 0, register("before")).unwrap();
    world.connect(&[3], &[0, 1, 2], false);
    for n in 0..5 {
        world.submit(n % 3, 0, register(&format!("without-{n}"))).unwrap();
    }
    let head = world.node(3).head().height;
    assert!(head < world.node(0).head().height);
    world.connect(&[3], &[0, 1, 2], true);
    world.await_height(&[3], world.node(0).head().height);
    world.agree(&[0, 1, 2, 3]);
    world.submit(3, 3, register("back")).unwrap();
}

#[test]
fn halves_decide_nothing_and_agree_when_they_meet() {
    let world = World::gated(4);
    world.submit(0, 0, register("before")).unwrap();
    world.connect(&[0, 1], &[2, 3], false);
    std::thread::sleep(Duration::from_millis(500));
    let heads: Vec<_> = (0..4).map(|at| world.node(at).head().height).collect();
    let waiting: Vec<_> = [0, 2]
        .into_iter()
        .map(|at| {
            let (ledger, tx) = (world.node(at).clone(), world.tx(at, 500, register(&format!("half-{at}"))));
            std::thread::spawn(move || ledger.submit(tx))
        })
        .collect();
    std::thread::sleep(Duration::from_secs(4));
    // A block that was final before the cut may still have been executed; nothing new is decided.
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    assert!((0..4).all(|at| world.node(at).head().height.0 <= heads.iter().max().unwrap().0));
    world.connect(&[0, 1], &[2, 3], true);
    let receipts: Vec<Receipt> = waiting.into_iter().map(|waiting| waiting.join().unwrap().unwrap()).collect();
    let last = receipts.iter().map(|receipt| receipt.height).max().unwrap();
    world.await_height(&[0, 1, 2, 3], last);
    world.agree(&[0, 1, 2, 3]);
}

#[test]
fn one_that_is_slow_delays_nobody_and_follows() {
    let world = World::gated(4);
    world.submit(0, 0, register("before")).unwrap();
    for ((dialler, listener), gate) in &world.gates {
        if *dialler == 3 || *listener == 3 {
            gate.delay_ms.store(150, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let begun = std::time::Instant::now();
    for n in 0..8 {
        world.submit(n % 3, 0, register(&format!("slow-{n}"))).unwrap();
    }
    let height = world.node(0).head().height;
    assert!(begun.elapsed() < LONG / 4, "{:?}", begun.elapsed());
    world.await_height(&[1, 2, 3], height);
    world.agree(&[0, 1, 2, 3]);
}

#[test]
fn strangers_cost_a_closed_network_no_block() {
    let mut world = World::new(4, 0);
    world.genesis.policy.open_enrolment = false;
    (0..4).for_each(|at| world.start(at));
    let receipt = world.submit(0, 0, register("first")).unwrap();
    world.await_height(&[0, 1, 2, 3], receipt.height);
    for seed in 0..12 {
        let stranger = secret("Stranger", 40 + seed);
        let body = TxBody::OpenAccount { account: stranger.public().clone(), identity: vec![] };
        let refused = world.node(usize::from(seed) % 4).submit(sign(&world.genesis, &stranger, 0, 500, body));
        assert!(matches!(refused, Err(SubmitError::Rejected(Rejection::EnrolmentClosed))), "{refused:?}");
    }
    // Nor do those that have an account by what the rules refuse.
    for n in 0..4 {
        let refused = world.submit(n, 0, register("first"));
        assert!(matches!(refused, Err(SubmitError::Rejected(Rejection::AssetExists { .. }))), "{refused:?}");
    }
    let next = world.submit(1, 1, register("second")).unwrap();
    assert_eq!(next.height, receipt.height.next());
}

#[test]
fn a_node_without_its_votes_does_not_start() {
    let mut world = World::running(4);
    let receipt = world.submit(0, 0, register("before")).unwrap();
    world.await_height(&[2], receipt.height);
    world.stop(2);
    std::fs::remove_dir_all(world.path(2).join(super::super::CONSENSUS_FOLDER)).unwrap();
    assert!(matches!(world.try_start(2), Err(NodeError::VotesLost(_))));
}

/// A member's node in a process of its own.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(world: &World, at: usize) -> Process {
        let path = world.path(at);
        if !path.exists() {
            // Made by this process, run by the other.
            drop(super::super::create(&path, world.genesis.clone(), world.config(at)).unwrap());
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "simplex::tests::faults::node_process", "--nocapture"])
            .env("SEALGATE_TEST_NODE", format!("{at}"))
            .env("SEALGATE_TEST_DIR", &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut process = Process { child, input, output };
        process.line("ready");
        process
    }

    /// The next line that begins with `word`, without it.
    fn line(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the process ended before it said '{word}'");
            // The test runner writes its own text before the first line.
            if let Some(at) = line.find(&format!("node:{word} ")) {
                return line[at + 6 + word.len()..].trim().to_owned();
            }
        }
    }

    fn ask(&mut self, command: &str, word: &str) -> String {
        writeln!(self.input, "{command}").unwrap();
        self.input.flush().unwrap();
        self.line(word)
    }

    fn height(&mut self) -> u64 {
        self.ask("head", "head").parse().unwrap()
    }

    fn kill(mut self) -> Vec<(TxHash, u64)> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut lines = Vec::new();
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some(rest) = line.trim().strip_prefix("node:done ")
                && let Some((hash, height)) = rest.split_once(' ')
            {
                lines.push((hash.parse().unwrap(), height.parse().unwrap()));
            }
            line.clear();
        }
        lines
    }
}

#[test]
#[ignore = "run by the tests that kill it"]
fn node_process() {
    let Ok(number) = std::env::var("SEALGATE_TEST_NODE") else { return };
    let (number, dir) = (number.parse().unwrap(), std::env::var("SEALGATE_TEST_DIR").unwrap());
    let (genesis, party) = (read_genesis(dir.as_ref()).unwrap(), Party::new(number));
    let member = genesis.network.as_ref().unwrap().members[number].clone();
    let mut config =
        super::super::NodeConfig::new(member.peer.parse().unwrap(), party.node.clone(), member.certificate.clone());
    config.timeouts = super::harness::timeouts();
    let ledger = open(dir.as_ref(), config).unwrap();
    println!("\nnode:ready .");
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "head" => println!("\nnode:head {}", ledger.head().height),
            "load" => {
                let (ledger, genesis, account) = (ledger.clone(), genesis.clone(), party.account.clone());
                std::thread::spawn(move || {
                    let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
                    for n in 0u64.. {
                        let name = format!("n{number}-{}-{n}", begun.as_millis());
                        let tx = sign(&genesis, &account, n, ledger.head().height.0 + 1_000, register(&name));
                        if let Ok(receipt) = ledger.submit(tx) {
                            println!("\nnode:done {} {}", receipt.hash, receipt.height.0);
                        }
                    }
                });
                println!("\nnode:loading .");
            }
            _ => break,
        }
    }
}

/// Opens the ledgers of processes that have ended, without a network.
fn read_back(world: &World) -> Vec<Vec<Vec<u8>>> {
    (0..4)
        .map(|at| {
            let opening = Opening::open(&world.path(at)).unwrap();
            let core = opening.chain.core().clone();
            let mut replay = Replay::new(world.genesis.clone()).unwrap();
            let read = |height| {
                let block = core.block(BlockHeight(height)).unwrap();
                if height > 0 {
                    replay.apply(&block).unwrap();
                }
                encode(&block)
            };
            (0..=core.head().height.0).map(read).collect()
        })
        .collect()
}

#[test]
fn killed_under_load_again_and_again_nothing_acknowledged_is_lost() {
    let world = World::new(4, 0);
    let mut processes: Vec<Option<Process>> = (0..4).map(|at| Some(Process::start(&world, at))).collect();
    let mut acknowledged: Vec<(TxHash, u64)> = Vec::new();
    processes.iter_mut().flatten().for_each(|process| drop(process.ask("load", "loading")));
    let mut reached = 0;
    for round in 0..4 {
        let victim = round % 4;
        std::thread::sleep(Duration::from_millis(1_500));
        acknowledged.extend(processes[victim].take().unwrap().kill());
        // The other three go on.
        let other = (victim + 1) % 4;
        let before = processes[other].as_mut().unwrap().height();
        let goes_on = || processes[other].as_mut().unwrap().height() > before + 3;
        assert!(eventually(LONG, goes_on), "nothing went on without node {victim}");
        reached = processes[other].as_mut().unwrap().height();
        let mut process = Process::start(&world, victim);
        assert!(eventually(LONG, || process.height() >= reached), "node {victim} did not catch up");
        process.ask("load", "loading");
        processes[victim] = Some(process);
    }
    // All at once.
    std::thread::sleep(Duration::from_millis(500));
    for process in &mut processes {
        acknowledged.extend(process.take().unwrap().kill());
    }
    let mut again: Vec<Process> = (0..4).map(|at| Process::start(&world, at)).collect();
    let highest = acknowledged.iter().map(|(_, height)| *height).max().unwrap().max(reached);
    for process in &mut again {
        assert!(eventually(LONG, || process.height() >= highest), "{highest} was not reached");
    }
    again.into_iter().for_each(|process| drop(process.kill()));
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    let logs = read_back(&world);
    let shortest = logs.iter().map(Vec::len).min().unwrap();
    assert!(shortest as u64 > highest);
    assert!(logs.iter().all(|log| log[..shortest] == logs[0][..shortest]), "two nodes disagree");
    let mut found = std::collections::BTreeMap::new();
    for bytes in &logs[0] {
        let block: crate::block::Block = crate::codec::decode("block", bytes).unwrap();
        for entry in block.entries {
            if let crate::block::EntryBody::Transaction { tx, .. } = entry.body {
                assert_eq!(found.insert(tx.hash(), block.header.height), None, "a transaction is there twice");
            }
        }
    }
    for (hash, height) in acknowledged {
        assert_eq!(found.get(&hash), Some(&BlockHeight(height)), "{hash} was acknowledged and is gone");
    }
}
