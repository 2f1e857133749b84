//! Access requests through the embedded ledger: signed, executed and durable, many at a time;
//! beside verifying the same signatures alone on all cores, singly and in batches, beside an
//! fdatasynced log that takes the same bytes in batches of the same size and does nothing else, and
//! beside the same rows in PostgreSQL. Then a ledger that grows, and its replay.

#[path = "ledger/growth.rs"]
mod growth;
#[path = "ledger/postgres.rs"]
mod postgres;
#[path = "ledger/world.rs"]
mod world;

use std::cell::{Cell, RefCell};

use sealgate_benches::{Cost, Fault, Run, times};
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::tx::SignedTx;

use postgres::Server;
use world::{World, append_all, submit_all, verify_all, verify_together};

fn main() -> Result<(), Fault> {
    let run = Run::begin("ledger", 5);
    let count = run.size("SEALGATE_BENCH_TXS", 20_000, 40);
    let waiting = run.size("SEALGATE_BENCH_WAITING", 512, 4).clamp(1, count);
    let requesters = run.size("SEALGATE_BENCH_REQUESTERS", 16, 2).max(1);
    let folder = tempfile::tempdir()?;
    println!("# in {}", folder.path().display());
    let txs: RefCell<Vec<SignedTx>> = RefCell::default();
    let senders: RefCell<Vec<AccountSecret>> = RefCell::default();
    let (blocks, round) = (Cell::new(1), Cell::new(0));

    println!("\nall {count} transactions");
    let server = Server::start(folder.path())?;
    if server.is_none() {
        println!("  PostgreSQL: skipped, it is not installed");
    }
    let clients = run.size("SEALGATE_BENCH_POSTGRES_CLIENTS", 64, 2);
    let [ours, verify, together, log, postgres] = run.race([
        (
            "ledger",
            Box::new(|| {
                round.set(round.get() + 1);
                let world = World::new(&folder.path().join(format!("ledger{}", round.get())), requesters)?;
                txs.replace(world.requests(count));
                let before = world.ledger.head().height.0;
                let cost = submit_all(std::slice::from_ref(&world.ledger), &txs.borrow(), waiting)?;
                blocks.set(usize::try_from(world.ledger.head().height.0 - before)?);
                senders.replace(world.requesters);
                Ok(cost)
            }),
        ),
        ("verify_strict alone, all cores", Box::new(|| verify_all(&txs.borrow(), &senders.borrow()))),
        ("batches of 256 alone, all cores", Box::new(|| verify_together(&txs.borrow(), &senders.borrow()))),
        (
            "fdatasynced log",
            Box::new(|| append_all(&folder.path().join("log"), &txs.borrow(), count.div_ceil(blocks.get()))),
        ),
        (
            "PostgreSQL, synchronous commit",
            Box::new(|| match &server {
                Some(server) => server.insert_all(&txs.borrow(), clients),
                None => Ok(Cost::default()),
            }),
        ),
    ])?;
    let a_second = |cost: &Cost| count as f64 / cost.wall.as_secs_f64();
    println!(
        "  {:.0} transactions a second in {} blocks of {} on average; signatures alone {:.0} ({:.0} in \
         batches), log alone {:.0}, PostgreSQL {:.0}",
        a_second(&ours),
        blocks.get(),
        count / blocks.get(),
        a_second(&verify),
        a_second(&together),
        a_second(&log),
        if server.is_some() { a_second(&postgres) } else { 0.0 }
    );
    run.ratio("ledger.of_25000", a_second(&ours) / 25_000.0, "transactions a second in units of 25,000; 1 is wanted");
    run.ratio(
        "ledger.of_verification",
        times(verify.wall, ours.wall),
        "speed in units of verification's, one by one; 0.6 is wanted",
    );
    run.ratio("ledger.of_batches", times(together.wall, ours.wall), "speed in units of verification's in batches");
    run.ratio("ledger.of_verification_cpu", times(verify.cpu, ours.cpu), "the same in CPU time");
    run.ratio("ledger.of_log", times(log.wall, ours.wall), "speed in units of the log's");
    if server.is_some() {
        run.ratio("ledger.of_postgres", times(postgres.wall, ours.wall), "speed in units of PostgreSQL's");
    }
    drop(server);
    growth::run(&run, folder.path(), waiting, requesters)
}
