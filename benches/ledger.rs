//! Access requests through the embedded ledger: signed, executed and durable, from many threads;
//! beside verifying the same signatures alone on all cores, singly and in batches, beside an
//! fdatasynced log that takes the same bytes in batches of the same size and does nothing else, and
//! beside the same rows in PostgreSQL. Then a ledger that grows, and its replay.

#[path = "ledger/growth.rs"]
mod growth;
#[path = "ledger/postgres.rs"]
mod postgres;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use ed25519_dalek::{Signature, VerifyingKey};
use ed25519_zebra::{VerificationKeyBytes, batch};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use rayon::prelude::*;
use sealgate_benches::sample::schema;
use sealgate_benches::{Cost, Fault, Run, times};
use sealgate_circuits::bytes::{PlaceKey, TreeRoot};
use sealgate_circuits::question::{Item, Operand, Operator, Predicate, Shape};
use sealgate_circuits::value::Value;
use sealgate_ledger::Ledger;
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{AssetId, ChainId, Digest};
use sealgate_ledger::member::Policy;
use sealgate_ledger::tx::{ColumnSeal, EXPIRY_BLOCKS_MAX, GrantTerms, SignedTx, Tx, TxBody, VersionInfo};

use postgres::Server;

/// Signatures checked together.
const TOGETHER: usize = 256;
/// Columns of the asset.
const COLUMNS: u8 = 15;

fn main() -> Result<(), Fault> {
    let run = Run::begin("ledger", 5);
    let count = run.size("SEALGATE_BENCH_TXS", 20_000, 40);
    let threads = run.size("SEALGATE_BENCH_THREADS", 512, 4).clamp(1, count);
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
                let cost = submit_all(&world.ledger, &txs.borrow(), threads)?;
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
    growth::run(&run, folder.path(), threads, requesters)
}

/// A ledger with one asset and accounts that may ask it.
struct World {
    ledger: Ledger,
    genesis: Genesis,
    owner: AccountSecret,
    chain: ChainId,
    asset: AssetId,
    requesters: Vec<AccountSecret>,
    nonce: Cell<u64>,
}

impl World {
    fn new(folder: &Path, requesters: usize) -> Result<World, Fault> {
        let owner = AccountSecret::generate("Owner")?;
        let genesis = Genesis {
            name: "bench".into(),
            operator: owner.public().clone(),
            development: true,
            ceremony: None,
            network: None,
            circuits: vec![],
            policy: Policy {
                open_enrolment: true,
                answer_window_blocks: EXPIRY_BLOCKS_MAX,
                denials_a_day: 1_000,
                auditor: None,
            },
            created_ms: 1_000,
        };
        let chain = genesis.chain_id();
        let asset = AssetId::of(&chain, &owner.address(), "asset");
        let ledger = Ledger::create(folder, genesis.clone(), owner.clone())?;
        let requesters = (0..requesters).map(|i| AccountSecret::generate(&format!("Requester {i}")));
        let requesters = requesters.collect::<Result<_, _>>()?;
        let world = World { ledger, genesis, owner: owner.clone(), chain, asset, requesters, nonce: Cell::new(1) };
        world.ledger.submit(world.sign(&owner, 0, register()))?;
        for requester in &world.requesters {
            let account = requester.public().clone();
            world.ledger.submit(world.sign(requester, 0, TxBody::OpenAccount { account, identity: vec![] }))?;
            let grant = TxBody::Grant { asset, to: requester.address(), terms: terms() };
            world.ledger.submit(world.sign(&owner, 0, grant))?;
        }
        Ok(world)
    }

    fn sign(&self, sender: &AccountSecret, nonce: u64, body: TxBody) -> SignedTx {
        let expiry = self.ledger.head().height.plus(EXPIRY_BLOCKS_MAX);
        Tx { chain: self.chain, sender: sender.address(), nonce, expiry, body }.sign(sender)
    }

    /// Granted requests of the requesters in turn.
    fn requests(&self, count: usize) -> Vec<SignedTx> {
        let first = self.nonce.replace(self.nonce.get() + count as u64);
        let senders = self.requesters.iter().cycle();
        (first..)
            .zip(senders)
            .take(count)
            .map(|(nonce, sender)| self.sign(sender, nonce, request(self.asset)))
            .collect()
    }
}

fn register() -> TxBody {
    let seal = ColumnSeal { ciphertext: Digest([1; 32]), key_commitment: Digest([2; 32]) };
    let version = VersionInfo {
        number: 1,
        root: TreeRoot([1; 32]),
        records_rounded: 1024,
        cipher_suite: "AES-256-GCM".into(),
        hash_algorithm: "BLAKE3".into(),
        columns: vec![seal; usize::from(COLUMNS)],
        manifest: Digest([3; 32]),
        access: vec![],
    };
    TxBody::RegisterAsset {
        name: "asset".into(),
        title: "Asset".into(),
        description: String::new(),
        data_type: "table".into(),
        schema: schema(COLUMNS),
        place_key: PlaceKey([9; 32]),
        budgets: vec![8; usize::from(COLUMNS)],
        version,
    }
}

fn predicate() -> Predicate {
    Predicate::compare(2, Operator::Ge, vec![Operand::Fixed(Value::Int(500))])
}

fn terms() -> GrantTerms {
    GrantTerms {
        disclose: vec![1],
        prove: vec![predicate()],
        existence: false,
        purpose: String::new(),
        not_before_ms: None,
        until_ms: None,
        quota: None,
        bits: None,
    }
}

fn request(asset: AssetId) -> TxBody {
    let items = vec![Item::Disclose(1), Item::Prove(predicate())];
    TxBody::Request {
        asset,
        shape: Shape { items, keys: 1 },
        purpose: "checking licences".into(),
        commitment: Digest([5; 32]),
        consent: None,
    }
}

/// Each thread submits its share, one after the other, and waits for every receipt.
fn submit_all(ledger: &Ledger, txs: &[SignedTx], threads: usize) -> Result<Cost, Fault> {
    let shares: Vec<Vec<SignedTx>> = txs.chunks(txs.len().div_ceil(threads)).map(<[_]>::to_vec).collect();
    Cost::of(|| {
        std::thread::scope(|scope| {
            let submit = |share: Vec<SignedTx>| {
                scope.spawn(move || share.into_iter().try_for_each(|tx| ledger.submit(tx).map(drop)))
            };
            let running: Vec<_> = shares.into_iter().map(submit).collect();
            running
                .into_iter()
                .try_for_each(|thread| Ok(thread.join().map_err(|_| "a submitting thread panicked")??))
        })
    })
}

/// `verify_strict` of each signature over the transaction's hash, which is what is signed.
fn verify_all(txs: &[SignedTx], senders: &[AccountSecret]) -> Result<Cost, Fault> {
    let keys = senders.iter().map(|sender| VerifyingKey::from_bytes(&sender.public().verify_key.0));
    let keys: Vec<VerifyingKey> = keys.collect::<Result<_, _>>()?;
    let prepared = txs.iter().zip(keys.iter().cycle());
    let prepared: Vec<_> =
        prepared.map(|(tx, key)| (key, tx.hash().0, Signature::from_bytes(&tx.signature.0))).collect();
    Cost::of(|| Ok(prepared.par_iter().try_for_each(|(key, hash, signature)| key.verify_strict(hash, signature))?))
}

/// The rule of the ledger over the same signatures, in batches.
fn verify_together(txs: &[SignedTx], senders: &[AccountSecret]) -> Result<Cost, Fault> {
    let keys = senders.iter().map(|sender| VerificationKeyBytes::from(sender.public().verify_key.0));
    let keys: Vec<VerificationKeyBytes> = keys.collect();
    let prepared: Vec<_> =
        txs.iter().zip(keys.iter().cycle()).map(|(tx, key)| (*key, tx.hash().0, tx.signature.0)).collect();
    Cost::of(|| {
        Ok(prepared.par_chunks(TOGETHER).try_for_each(|batch| {
            let mut verifier = batch::Verifier::new();
            for (key, hash, signature) in batch {
                verifier.queue((*key, ed25519_zebra::Signature::from_bytes(signature), hash));
            }
            verifier.verify(UnwrapErr(SysRng)).map_err(|error| format!("{error:?}"))
        })?)
    })
}

fn append_all(path: &Path, txs: &[SignedTx], batch: usize) -> Result<Cost, Fault> {
    let bytes: Vec<Vec<u8>> = txs.iter().map(SignedTx::encode).collect();
    let mut file = File::create(path)?;
    Cost::of(|| {
        for batch in bytes.chunks(batch) {
            file.write_all(&batch.concat())?;
            file.sync_data()?;
        }
        Ok(())
    })
}
