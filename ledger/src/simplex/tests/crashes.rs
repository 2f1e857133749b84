//! Every write of a node's life fails once, in every way; what comes back is checked against the whole
//! history.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::super::batch::Batch;
use super::alone::{Alone, key, note};
use super::harness::World;
use crate::audit::Replay;
use crate::block::{Block, EntryBody, Receipt};
use crate::checkpoint::SignedCheckpoint;
use crate::ids::{BlockHeight, Digest};
use crate::log::{Disk, Medium, disk};
use crate::member::Change;
use crate::state::query;
use crate::testing::register;
use crate::tx::TxBody;

/// How a write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing of it is done.
    Dropped,
    /// Half of it is done.
    Torn,
    /// All of it is done, and reported as failed.
    Kept,
}

/// What comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Nothing is written any more: the process has died.
    Dies,
    /// The same, and what was never synced is gone: the machine has lost its power.
    LosesPower,
    /// The next write succeeds.
    Lives,
}

/// What is known of a node's files.
#[derive(Default)]
struct Fate {
    /// Writes, syncs and cuts so far.
    calls: u32,
    fault: Option<(u32, Fault, Then)>,
    dead: bool,
    files: u32,
    /// What the files held where it was written since they were last synced, oldest first.
    unsynced: Vec<Undo>,
}

struct Undo {
    number: u32,
    file: File,
    offset: u64,
    old: Vec<u8>,
    length: u64,
}

/// A file under a fate.
struct Mortal {
    fate: Arc<Mutex<Fate>>,
    file: File,
    number: u32,
}

fn mortal(fate: &Arc<Mutex<Fate>>) -> Disk {
    let fate = fate.clone();
    Arc::new(move |file| {
        let number = {
            let mut fate = fate.lock().unwrap();
            fate.files += 1;
            fate.files
        };
        Box::new(Mortal { fate: fate.clone(), file, number })
    })
}

impl Mortal {
    /// How the next call fails, if it does.
    fn fails(&self) -> Option<Fault> {
        let mut fate = self.fate.lock().unwrap();
        if fate.dead {
            return Some(Fault::Dropped);
        }
        fate.calls += 1;
        let (_, fault, then) = fate.fault.filter(|(at, ..)| *at == fate.calls)?;
        fate.dead = then != Then::Lives;
        Some(fault)
    }

    /// Remembers what is about to be written over, or cut off.
    fn remember(&self, offset: u64, bytes: usize) {
        let length = self.file.metadata().unwrap().len();
        let mut old = vec![0; bytes.min(usize::try_from(length.saturating_sub(offset)).unwrap())];
        self.file.read_exact_at(&mut old, offset).unwrap();
        let file = self.file.try_clone().unwrap();
        self.fate.lock().unwrap().unsynced.push(Undo { number: self.number, file, offset, old, length });
    }
}

fn failed(fault: Option<Fault>) -> io::Result<()> {
    fault.map_or(Ok(()), |_| Err(io::ErrorKind::StorageFull.into()))
}

impl Medium for Mortal {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let fault = self.fails();
        let done = match fault {
            None | Some(Fault::Kept) => bytes.len(),
            Some(Fault::Torn) => bytes.len() / 2,
            Some(Fault::Dropped) => 0,
        };
        self.remember(offset, done);
        self.file.write_all_at(&bytes[..done], offset)?;
        failed(fault)
    }

    fn sync(&mut self) -> io::Result<()> {
        let fault = self.fails();
        if fault.is_none_or(|fault| fault == Fault::Kept) {
            self.fate.lock().unwrap().unsynced.retain(|undo| undo.number != self.number);
        }
        failed(fault)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let fault = self.fails();
        if fault.is_none_or(|fault| fault == Fault::Kept) {
            self.remember(length, usize::MAX);
            self.file.set_len(length)?;
        }
        failed(fault)
    }
}

impl Fate {
    fn lose_power(&mut self) {
        while let Some(undo) = self.unsynced.pop() {
            undo.file.write_all_at(&undo.old, undo.offset).unwrap();
            undo.file.set_len(undo.length).unwrap();
        }
    }
}

/// What the members agreed on, and what they signed: two blocks of registrations, a new member, and
/// one block of the new epoch.
struct History {
    batches: Vec<Batch>,
    blocks: Vec<Block>,
    notes: Vec<SignedCheckpoint>,
}

fn history(world: &World) -> History {
    let mut author = Alone::new(world, 1);
    let mut history = History { batches: vec![], blocks: vec![], notes: vec![] };
    let joins = world.tx(0, 500, TxBody::Propose { change: Change::Join(world.parties[4].member.clone()) });
    let proposal = joins.hash();
    let rounds = [
        vec![world.tx(0, 500, register("one")), world.tx(1, 500, register("two"))],
        vec![world.tx(1, 500, register("three")), joins],
        (1..3).map(|at| world.tx(at, 500, TxBody::Endorse { proposal })).collect(),
        vec![world.tx(2, 500, register("four"))],
    ];
    for txs in rounds {
        let batch = author.batch(txs);
        history.batches.push(batch.clone());
        let header = author.finish(batch);
        // Of four members three, of five four.
        let note = note(world, &header, &[0, 1, 2, 3]);
        author.core.certified(note.clone());
        history.notes.push(note);
    }
    assert_eq!(author.core.members.epoch, 1);
    history.blocks = author.blocks();
    author.end();
    history
}

/// What others may rely on.
#[derive(Default)]
struct Promises {
    voted: Vec<(Digest, Vec<u8>)>,
    acknowledged: Vec<Receipt>,
}

/// The node votes for, executes and certifies what comes next, until it stops or has everything.
fn live(node: &mut Alone, world: &World, history: &History, promises: &mut Promises) {
    if let Some(at) = node.height().checked_sub(1) {
        node.core.certified(history.notes[usize::try_from(at).unwrap()].clone());
    }
    for (batch, note) in history.batches.iter().zip(&history.notes).skip(usize::try_from(node.height()).unwrap()) {
        node.clock.set(batch.time_ms);
        if node.judge(&key(world, 0), batch.parent, batch) == Some(true) {
            promises.voted.push((batch.digest(), batch.encode()));
        }
        // Room on the disk is looked for again and again.
        for _ in 0..3 {
            if !node.core.stopped && node.height() < batch.height.0 {
                node.finalize(batch.epoch, batch.digest());
                node.clock.set(batch.time_ms + 2_000);
            }
        }
        node.core.certified(note.clone());
        if node.core.stopped || node.core.ledger.certified().header.height < batch.height {
            return;
        }
        for entry in node.core.ledger.block(batch.height).unwrap().entries {
            let EntryBody::Transaction { tx, .. } = entry.body else { continue };
            promises.acknowledged.extend(query::receipt(&node.core.ledger.index, &tx.hash()).unwrap());
        }
    }
}

/// What is there after a restart is the beginning of the one history, with everything promised in it.
fn check(node: &mut Alone, world: &World, history: &History, promises: &Promises) {
    let blocks = node.blocks();
    assert!(history.blocks.starts_with(&blocks), "another history");
    for receipt in &promises.acknowledged {
        assert_eq!(query::receipt(&node.core.ledger.index, &receipt.hash).unwrap().as_ref(), Some(receipt), "lost");
    }
    for (digest, bytes) in &promises.voted {
        assert_eq!(node.core.store.bytes(digest).unwrap().as_ref(), Some(bytes), "voted for and forgotten");
    }
    let mut replay = Replay::new(world.genesis.clone()).unwrap();
    blocks.iter().for_each(|block| replay.apply(block).unwrap());
    assert_eq!((replay.head(), &node.core.members), (&node.core.head, &replay.members().unwrap()));
    assert!(!node.core.stopped);
}

/// One life with this fault, and the next without; how many calls the first one made.
fn lives(world: &World, history: &History, dir: &Path, fault: Option<(u32, Fault, Then)>) -> u32 {
    let fate: Arc<Mutex<Fate>> = Arc::default();
    let mut promises = Promises::default();
    let mut node = Alone::on(&mortal(&fate), world, 0, dir);
    {
        let mut fate = fate.lock().unwrap();
        fate.calls = 0;
        fate.fault = fault;
    }
    live(&mut node, world, history, &mut promises);
    node.end();
    let calls = {
        let mut fate = fate.lock().unwrap();
        if fault.is_some_and(|(.., then)| then == Then::LosesPower) {
            fate.lose_power();
        }
        fate.calls
    };
    let mut node = Alone::on(&disk(), world, 0, dir);
    check(&mut node, world, history, &promises);
    live(&mut node, world, history, &mut promises);
    check(&mut node, world, history, &promises);
    assert_eq!(node.blocks(), history.blocks);
    assert_eq!(node.core.notary.certain(), Some(BlockHeight(history.blocks.len() as u64)));
    node.end();
    calls
}

/// Every call of a life fails once.
fn every_call_fails(fault: Fault, then: Then) {
    let world = World::new(4, 1);
    let history = history(&world);
    let calls = lives(&world, &history, &world.dir.path().join("whole"), None);
    assert!(calls > 20, "{calls}");
    for at in 1..=calls {
        let dir = world.dir.path().join(format!("{at}"));
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            lives(&world, &history, &dir, Some((at, fault, then)));
        }));
        assert!(told.is_ok(), "call {at} of {calls}, {fault:?}, {then:?}");
    }
}

#[test]
fn killed_at_a_write_that_was_torn() {
    every_call_fails(Fault::Torn, Then::Dies);
}

#[test]
fn killed_at_a_write_that_was_kept() {
    every_call_fails(Fault::Kept, Then::Dies);
}

#[test]
fn power_lost_at_a_write_that_was_dropped() {
    every_call_fails(Fault::Dropped, Then::LosesPower);
}

#[test]
fn a_write_reported_as_failed_that_was_not_done() {
    every_call_fails(Fault::Torn, Then::Lives);
}

#[test]
fn a_write_reported_as_failed_that_was_done() {
    every_call_fails(Fault::Kept, Then::Lives);
}
