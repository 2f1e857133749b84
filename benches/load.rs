//! A gateway under load over HTTP: questions of many requesters beside the proofs alone that they need,
//! catalogue reads beside a bare warp handler that gives the same bytes, how long callers wait, what memory it
//! takes, and that more than it can do is refused instead of slowing everybody down.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealgate_benches::{Fault, Run, highest_resident_bytes, resident_bytes};
use sealgate_gateway::account_file;
use sealgate_gateway::asking::{AskFailure, Asking, KeyList, ask};
use sealgate_gateway::client::{Client, ClientError};
use sealgate_gateway::home::Home;
use sealgate_gateway::owner::Owner;
use sealgate_gateway::publishing::{publish, read_manifest};
use sealgate_gateway::serving::{self, Running};
use sealgate_ledger::ids::ChainId;
use sealgate_ledger::tx::{GrantTerms, TxBody};
use sealgate_ods::keys::{RootFile, RootKey};
use sealgate_ods::silent;
use warp::Filter as _;

const MANIFEST: &str = "[asset]\nname = \"shop\"\ntitle = \"Shops\"\n\n[source]\nkind = \"csv\"\npath = \"shop.csv\"\n\n\
    [key]\ncolumns = [\"id\"]\n\n[[column]]\nname = \"id\"\ntype = \"int\"\n\n[[column]]\nname = \"name\"\ntype = \"text\"\n\n\
    [[column]]\nname = \"fee\"\ntype = \"decimal(2)\"\n";
const PURPOSE: &str = "load";
/// Records of the table.
const RECORDS: usize = 1000;
/// Callers that read at the same time.
const READERS: usize = 64;

fn main() -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<(), Fault> {
    let run = Run::begin("load", 1);
    let requesters = run.size("SEALGATE_BENCH_REQUESTERS", 32, 2);
    let questions = run.size("SEALGATE_BENCH_QUESTIONS", 256, 4);
    let seconds = run.size("SEALGATE_BENCH_SECONDS", 10, 1);
    let folder = tempfile::tempdir()?;
    let scene = Scene::new(folder.path(), requesters).await?;
    let before = resident_bytes();

    println!("\nquestions, {requesters} requesters at once, each verifying what it gets on this machine");
    let alone = scene.proofs_alone(questions.min(RECORDS / 2)).await?;
    let asked = scene.questions(questions, requesters).await?;
    asked.print("questions");
    run.ratio(
        "load.questions",
        asked.per_second() / alone,
        "questions a second / proofs a second in one question about many keys",
    );
    run.ratio(
        "load.questions.p99_of_p50",
        asked.quantile(0.99) / asked.quantile(0.5),
        "slowest of a hundred / the middle one",
    );

    println!("\ncatalogue reads, {READERS} readers at once");
    let time = Duration::from_secs(seconds as u64);
    let url = format!("{}/v1/catalogue", scene.running.url);
    let bytes = reqwest::get(&url).await?.bytes().await?;
    let (bare, stop) = bare_warp(bytes);
    let peer = reads(&bare, time).await?;
    let ours = reads(&url, time).await?;
    let _ = stop.send(());
    ours.print("ours");
    peer.print("bare warp");
    run.ratio(
        "load.reads",
        ours.per_second() / peer.per_second(),
        "reads a second / a bare warp handler's that gives the same bytes",
    );
    run.ratio("load.reads.p99", ours.quantile(0.99) / peer.quantile(0.99), "slowest of a hundred / the bare handler's");

    println!("\nmore questions than are taken");
    let flood = run.size("SEALGATE_BENCH_FLOOD", 256, 80);
    let flooded = scene.questions(flood, flood).await?;
    flooded.print("flooded");
    run.ratio(
        "load.refused",
        flooded.refused as f64 / flood as f64,
        "refused, to come again, of all that were sent at once",
    );
    run.ratio(
        "load.flooded.p50",
        flooded.quantile(0.5) / asked.quantile(0.5),
        "time to an answer among those / before",
    );
    let grown = highest_resident_bytes().saturating_sub(before);
    run.ratio("load.memory", grown as f64 / before.max(1) as f64, "memory taken meanwhile, callers' included / before");
    scene.running.stop().await?;
    Ok(())
}

/// A gateway, and requesters that were granted something.
struct Scene {
    running: Running,
    homes: Vec<Home>,
}

/// What came of many calls.
struct Load {
    took: Duration,
    /// Seconds of each that was answered, sorted.
    each: Vec<f64>,
    refused: u64,
}

impl Load {
    fn of(took: Duration, mut each: Vec<f64>, refused: u64) -> Load {
        each.sort_by(f64::total_cmp);
        Load { took, each, refused }
    }

    fn per_second(&self) -> f64 {
        self.each.len() as f64 / self.took.as_secs_f64()
    }

    fn quantile(&self, share: f64) -> f64 {
        let at = (self.each.len() as f64 * share) as usize;
        self.each.get(at.min(self.each.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }

    fn print(&self, name: &str) {
        let [half, most, all] = [0.5, 0.95, 0.99].map(|share| self.quantile(share) * 1e3);
        let rate = self.per_second();
        println!(
            "  {name}: {rate:.1} a second, p50 {half:.1} ms, p95 {most:.1} ms, p99 {all:.1} ms, {} refused",
            self.refused
        );
    }
}

impl Scene {
    async fn new(folder: &Path, requesters: usize) -> Result<Scene, Fault> {
        let rows: String = (1..=RECORDS).map(|id| format!("{id},Shop {id},{id}.50\n")).collect();
        std::fs::write(folder.join("shop.csv"), format!("id,name,fee\n{rows}"))?;
        std::fs::write(folder.join("shop.toml"), MANIFEST)?;
        let data = folder.join("owner");
        let (owner, genesis) = tokio::task::block_in_place(|| {
            let root = RootFile::Key(RootKey::generate()?);
            Owner::init(&data, "Bench", None, None, &root)
        })?;
        let published = publish(&owner, &read_manifest(&folder.join("shop.toml"), None)?, false, silent()).await?;
        let mut homes = Vec::new();
        for at in 0..requesters {
            let home = requester(folder, at, &genesis.chain_id())?;
            let terms = GrantTerms {
                whole: vec![],
                disclose: vec![1],
                prove: vec![],
                existence: false,
                purpose: PURPOSE.into(),
                not_before_ms: None,
                until_ms: None,
                quota: None,
                bits: None,
            };
            let body = TxBody::Grant { asset: published.asset, to: home.account()?.address(), terms };
            owner.access().await?.submit(owner.account(), body).await?;
            homes.push(home);
        }
        drop(owner);
        let running = serving::start(Owner::open(&data)?, "127.0.0.1:0").await?;
        let scene = Scene { running, homes };
        // Accounts are enrolled and keys made ready before the clock starts.
        for (at, home) in scene.homes.iter().enumerate() {
            scene.one(home, at + 1).await?;
        }
        Ok(scene)
    }

    async fn one(&self, home: &Home, id: usize) -> Result<(), AskFailure> {
        let sql = format!("SELECT name FROM shop WHERE id = {}", 1 + id % RECORDS);
        let answered = ask(home, &Client::new(&self.running.url)?, PURPOSE, &Asking::one(&sql)).await?;
        answered.kept(home)?;
        Ok(())
    }

    /// Proofs a second where one question asks for all of them.
    async fn proofs_alone(&self, many: usize) -> Result<f64, Fault> {
        let home = self.homes.first().ok_or("no requester")?;
        let lines = (1..=many as u64).map(|id| (id, vec![id.to_string()])).collect();
        let keys = KeyList { source: "keys".into(), columns: vec!["id".into()], lines };
        let asking = Asking { sql: "SELECT name FROM shop WHERE id = ?", keys: Some(&keys), progress: &|_, _| {} };
        let begun = Instant::now();
        ask(home, &Client::new(&self.running.url)?, PURPOSE, &asking).await?.kept(home)?;
        let rate = many as f64 / begun.elapsed().as_secs_f64();
        println!("  one question about {many} keys: {rate:.1} proofs a second");
        Ok(rate)
    }

    /// So many questions, so many of them at the same time; who is refused does not come again.
    async fn questions(&self, many: usize, at_once: usize) -> Result<Load, Fault> {
        let (next, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        let begun = Instant::now();
        let askers = (0..at_once).map(|at| {
            let (next, refused) = (&next, &refused);
            let home = self.homes.get(at % self.homes.len().max(1));
            async move {
                let (mut each, Some(home)) = (Vec::new(), home) else { return Ok(Vec::new()) };
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed) as usize;
                    if number >= many {
                        return Ok::<_, AskFailure>(each);
                    }
                    let begun = Instant::now();
                    match self.one(home, number).await {
                        Ok(()) => each.push(begun.elapsed().as_secs_f64()),
                        Err(
                            AskFailure::NotTaken(ClientError::Problem(problem))
                            | AskFailure::Client(ClientError::Problem(problem)),
                        ) if problem.is_busy() => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        });
        let each: Vec<Vec<f64>> = futures::future::try_join_all(askers).await?;
        Ok(Load::of(begun.elapsed(), each.into_iter().flatten().collect(), refused.into_inner()))
    }
}

fn requester(folder: &Path, at: usize, ledger: &ChainId) -> Result<Home, Fault> {
    let home = Home::at(&folder.join(format!("requester-{at}")));
    account_file::create(home.folder(), &format!("Requester {at}"))?;
    home.trust(ledger)?;
    Ok(home)
}

/// A warp handler that gives these bytes and does nothing else.
fn bare_warp(bytes: warp::hyper::body::Bytes) -> (String, tokio::sync::oneshot::Sender<()>) {
    let bytes = Arc::new(bytes);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let given = warp::path!("v1" / "catalogue")
        .map(move || warp::http::Response::builder().header("content-type", "application/json").body(bytes.to_vec()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    });
    let Ok(listener) = listener else { return (String::new(), stop) };
    let url = listener.local_addr().map(|address| format!("http://{address}/v1/catalogue")).unwrap_or_default();
    tokio::spawn(warp::serve(given).incoming(listener).graceful(async { drop(stopped.await) }).run());
    (url, stop)
}

/// Reads an address again and again from many connections.
async fn reads(url: &str, time: Duration) -> Result<Load, Fault> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let refused = AtomicU64::new(0);
    let begun = Instant::now();
    let readers = (0..READERS).map(|_| async {
        let mut each = Vec::new();
        while begun.elapsed() < time {
            let begun = Instant::now();
            let answer = client.get(url).send().await?;
            let status = answer.status();
            answer.bytes().await?;
            if status.is_success() {
                each.push(begun.elapsed().as_secs_f64());
            } else {
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok::<_, reqwest::Error>(each)
    });
    let each: Vec<Vec<f64>> = futures::future::try_join_all(readers).await?;
    Ok(Load::of(begun.elapsed(), each.into_iter().flatten().collect(), refused.into_inner()))
}
