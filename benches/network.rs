//! Access requests through four validators on one machine, submitted to all of them: signed, agreed
//! on, executed and durable on each; beside the embedded ledger with the same load, beside verifying
//! the same signatures alone, one by one and in batches, beside an fdatasynced log that takes the same
//! bytes in batches of the same size and does nothing else, and beside the same rows in PostgreSQL.

#[path = "ledger/postgres.rs"]
mod postgres;
#[path = "ledger/world.rs"]
mod world;

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use sealgate_benches::{Cost, Fault, Run, times};
use sealgate_ledger::Ledger;
use sealgate_ledger::account::{AccountSecret, NodeSecret};
use sealgate_ledger::genesis::{Genesis, Network};
use sealgate_ledger::member::Member;
use sealgate_ledger::simplex::{Authority, NodeConfig, Rate, create};
use sealgate_ledger::tx::SignedTx;

use postgres::Server;
use world::{World, append_all, genesis, submit_all, verify_all, verify_together};

/// Validators.
const NODES: usize = 4;
/// How long they may take to find each other.
const START: Duration = Duration::from_secs(60);

fn main() -> Result<(), Fault> {
    let run = Run::begin("network", 3);
    let count = run.size("SEALGATE_BENCH_TXS", 20_000, 40);
    let waiting = run.size("SEALGATE_BENCH_WAITING", 512, 4).clamp(1, count);
    let requesters = run.size("SEALGATE_BENCH_REQUESTERS", 64, 2).max(1);
    let folder = tempfile::tempdir()?;
    println!("# in {}", folder.path().display());
    let (txs, senders): (RefCell<Vec<SignedTx>>, RefCell<Vec<AccountSecret>>) =
        (RefCell::default(), RefCell::default());
    let (blocks, round) = (Cell::new(1), Cell::new(0));
    let server = Server::start(folder.path())?;
    if server.is_none() {
        println!("  PostgreSQL: skipped, it is not installed");
    }
    let clients = run.size("SEALGATE_BENCH_POSTGRES_CLIENTS", 64, 2);
    let next = || {
        round.set(round.get() + 1);
        folder.path().join(round.get().to_string())
    };

    println!("\nall {count} transactions");
    let [network, embedded, verify, together, log, postgres] = run.race([
        (
            "four validators",
            Box::new(|| {
                let (ledgers, world) = network(&next(), requesters)?;
                txs.replace(world.requests(count));
                let before = world.ledger.head().height.0;
                let cost = submit_all(&ledgers, &txs.borrow(), waiting)?;
                blocks.set(usize::try_from(world.ledger.head().height.0 - before)?.max(1));
                senders.replace(world.requesters);
                Ok(cost)
            }),
        ),
        (
            "embedded ledger",
            Box::new(|| {
                let world = World::new(&next(), requesters)?;
                submit_all(std::slice::from_ref(&world.ledger), &world.requests(count), waiting)
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
        "  {:.0} transactions a second by four validators in {} blocks, {:.0} embedded; signatures alone {:.0} ({:.0} \
         in batches), log alone {:.0}, PostgreSQL {:.0}",
        a_second(&network),
        blocks.get(),
        a_second(&embedded),
        a_second(&verify),
        a_second(&together),
        a_second(&log),
        if server.is_some() { a_second(&postgres) } else { 0.0 }
    );
    run.ratio("network.of_25000", a_second(&network) / 25_000.0, "transactions a second in units of 25,000");
    run.ratio("network.of_embedded", times(embedded.wall, network.wall), "speed in units of the embedded ledger's");
    run.ratio(
        "network.of_embedded_cpu",
        times(embedded.cpu, network.cpu),
        "the same in CPU time; a quarter is its share",
    );
    run.ratio("network.of_verification", times(verify.wall, network.wall), "speed in units of verification's");
    run.ratio("network.of_batches", times(together.wall, network.wall), "speed in units of verification's in batches");
    run.ratio("network.of_log", times(log.wall, network.wall), "speed in units of the log's");
    if server.is_some() {
        run.ratio("network.of_postgres", times(postgres.wall, network.wall), "speed in units of PostgreSQL's");
    }
    run.ratio(
        "network.of_four_verifications_cpu",
        times(verify.cpu * NODES as u32, network.cpu),
        "CPU time in units of verifying each signature on each validator",
    );
    Ok(())
}

/// Four validators that listen on this machine, and a world on the first.
fn network(folder: &Path, requesters: usize) -> Result<(Vec<Ledger>, World), Fault> {
    let authority = Authority::new("Consortium", NodeSecret::generate()?);
    let mut parties = Vec::new();
    for at in 0..NODES {
        let (account, node) = (AccountSecret::generate(&format!("Member {at}"))?, NodeSecret::generate()?);
        let certificate = authority.issue(&account.public().name, &node.verify_key())?;
        let listen: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let member = Member {
            node_key: node.verify_key(),
            certificate,
            peer: listen.to_string(),
            gateway: "http://127.0.0.1:1".into(),
            ..Member::operator(account.public())
        };
        parties.push((account, node, member, listen));
    }
    let (owner, ..) = parties.first().ok_or("no members")?;
    let owner = owner.clone();
    let members = parties.iter().map(|(.., member, _)| member.clone()).collect();
    let network = Network { authority: authority.certificate()?, members };
    let genesis = Genesis { network: Some(network), ..genesis(&owner) };
    let mut ledgers = Vec::new();
    for (at, (_, node, member, listen)) in parties.into_iter().enumerate() {
        let mut config = NodeConfig::new(listen, node, member.certificate);
        config.rate = Rate { per_second: 100_000, burst: 100_000 };
        ledgers.push(create(&folder.join(at.to_string()), genesis.clone(), config)?);
    }
    let first = ledgers.first().ok_or("no nodes")?.clone();
    let begun = Instant::now();
    while first.checkpoint().0.is_empty() {
        if begun.elapsed() > START {
            return Err("the validators have not found each other".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let world = World::on(first, &genesis, &owner, requesters)?;
    Ok((ledgers, world))
}
