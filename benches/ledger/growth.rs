//! What a transaction costs in a ledger that holds a thousand, a hundred thousand and, if asked
//! for, a million already; and what it costs to replay them.

use std::path::Path;

use sealgate_benches::{Cost, Fault, Run, times};
use sealgate_ledger::Ledger;
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::genesis::Genesis;

use super::world::{World, genesis, submit_all};

/// Sizes at which the cost is taken.
const MARKS: [usize; 3] = [1_000, 100_000, 1_000_000];
/// Transactions signed at a time.
const CHUNK: usize = 20_000;
/// Transactions of which the cost is taken.
const PROBE: usize = 5_000;

pub(crate) fn run(run: &Run, folder: &Path, waiting: usize, requesters: usize) -> Result<(), Fault> {
    let most = run.size("SEALGATE_BENCH_GROWTH", 100_000, 60);
    let owner = AccountSecret::generate("Owner")?;
    let genesis = genesis(&owner);
    let ledger = Ledger::create(&folder.join("growth"), genesis.clone(), owner.clone())?;
    let mut world = World::on(ledger, &genesis, &owner, requesters)?;
    let (mut held, mut first) = (0, None);
    println!("\na ledger that grows");
    for mark in MARKS.map(|mark| mark.min(most)) {
        if mark <= held {
            break;
        }
        while held < mark {
            let count = CHUNK.min(mark - held);
            submit_all(std::slice::from_ref(&world.ledger), &world.requests(count), waiting)?;
            held += count;
        }
        let probe = PROBE.min(mark);
        let txs = world.requests(probe);
        let each = submit_all(std::slice::from_ref(&world.ledger), &txs, waiting)?.over(probe);
        held += probe;
        let replay = replay(&mut world, folder, &genesis, &owner)?.over(held);
        println!(
            "  at {mark}: {:.1} us wall, {:.1} us CPU a transaction; replayed in {:.1} us wall, {:.1} us CPU each",
            micros(each.wall),
            micros(each.cpu),
            micros(replay.wall),
            micros(replay.cpu)
        );
        let (smallest, smallest_replay) = *first.get_or_insert((each, replay));
        run.ratio(
            &format!("ledger.growth.{mark}"),
            times(each.cpu, smallest.cpu),
            "a transaction's CPU time / at 1,000",
        );
        run.ratio(
            &format!("ledger.replay.{mark}"),
            times(replay.cpu, smallest_replay.cpu),
            "the CPU time of replaying one / at 1,000",
        );
        run.ratio(
            &format!("ledger.replay_of_commit.{mark}"),
            times(replay.wall, each.wall),
            "time to replay one / time to commit one",
        );
    }
    Ok(())
}

/// Opens the ledger with its index gone: every block is read, verified and executed again.
fn replay(world: &mut World, folder: &Path, genesis: &Genesis, owner: &AccountSecret) -> Result<Cost, Fault> {
    let dir = folder.join("growth");
    world.ledger = Ledger::create(&tempfile::tempdir_in(folder)?.keep(), genesis.clone(), owner.clone())?;
    std::fs::remove_dir_all(dir.join("index"))?;
    let mut opened = None;
    let cost = Cost::of(|| {
        opened = Some(Ledger::open(&dir, owner.clone())?);
        Ok(())
    })?;
    world.ledger = opened.ok_or("the ledger was not opened")?;
    Ok(cost)
}

fn micros(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
