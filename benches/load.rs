//! A gateway under load over HTTP: questions of many requesters beside the proofs alone that they need,
//! catalogue reads beside a bare warp handler that gives the same bytes, how long callers wait, what memory it
//! takes, and that more than it can do is refused instead of slowing everybody down.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealgate_benches::{Cost, Fault, Run, highest_resident_bytes_of, process_time, resident_bytes_of, times};
use sealgate_circuits::bytes::Context;
use sealgate_circuits::prover::ProvingKey;
use sealgate_circuits::question::Item;
use sealgate_circuits::record::{RecordHasher, Salt};
use sealgate_circuits::schema::{Column, ColumnUse, Schema};
use sealgate_circuits::statement::{Circuit, Statement, answers};
use sealgate_circuits::value::{ColumnType, Value};
use sealgate_gateway::account_file;
use sealgate_gateway::asking::{AskFailure, Asking, KeyList, ask};
use sealgate_gateway::client::{Client, ClientError};
use sealgate_gateway::home::Home;
use sealgate_gateway::owner::Owner;
use sealgate_gateway::publishing::{publish, read_manifest};
use sealgate_gateway::serving;
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
/// Names the data folder that a child process serves.
const CHILD: &str = "SEALGATE_BENCH_CHILD";

fn main() -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match std::env::var_os(CHILD) {
        Some(data) => runtime.block_on(serve(Path::new(&data))),
        None => runtime.block_on(measure()),
    }
}

/// Serves until nobody holds the standard input any more.
async fn serve(data: &Path) -> Result<(), Fault> {
    let running = serving::start(Owner::open(data)?, "127.0.0.1:0").await?;
    println!("{}", running.url);
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(running.stop().await?)
}

/// A gateway in a process of its own, so that its time and memory are known; it ends with this.
struct Served {
    process: Child,
    url: String,
}

impl Served {
    fn start(data: &Path) -> Result<Served, Fault> {
        let mut command = Command::new(std::env::current_exe()?);
        let process = command.env(CHILD, data).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut served = Served { process, url: String::new() };
        let output = served.process.stdout.take().ok_or("no output")?;
        BufReader::new(output).read_line(&mut served.url)?;
        served.url.truncate(served.url.trim_end().len());
        if served.url.is_empty() { Err("the gateway does not serve".into()) } else { Ok(served) }
    }

    fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

async fn measure() -> Result<(), Fault> {
    let run = Run::begin("load", 1);
    let requesters = run.size("SEALGATE_BENCH_REQUESTERS", 32, 2);
    let questions = run.size("SEALGATE_BENCH_QUESTIONS", 256, 4);
    let seconds = run.size("SEALGATE_BENCH_SECONDS", 10, 1);
    let folder = tempfile::tempdir()?;
    let scene = Scene::new(folder.path(), requesters).await?;
    let gateway = scene.served.id();
    let before = resident_bytes_of(gateway);

    println!("\nquestions, one after the other");
    // In turns, as machines are faster at one time than at another.
    let (mut prove, rounds) = (tokio::task::block_in_place(proof_alone)?, if run.is_full() { 12 } else { 1 });
    let (mut proof, mut busy, mut asked) = (Cost::default(), Duration::ZERO, Load::default());
    for _ in 0..rounds {
        let alone = tokio::task::block_in_place(|| Cost::of_each(10, &mut prove))?;
        proof = [proof, alone].into_iter().sum();
        let before = process_time(gateway);
        asked = asked.and(scene.questions(10, 1).await?);
        busy += process_time(gateway).saturating_sub(before);
    }
    asked.print("questions");
    let (proof, busy) = (proof.over(rounds), busy.div_f64(asked.each.len().max(1) as f64));
    println!("  CPU time: {:.1} ms of the gateway's a question, {:.1} ms a proof alone", ms(busy), ms(proof.cpu));
    run.ratio(
        "load.adds",
        times(busy, proof.cpu) - 1.0,
        "CPU time that the gateway adds to proving, in units of it; under 0.2 is wanted",
    );
    run.ratio(
        "load.wait",
        asked.quantile(0.5) / proof.wall.as_secs_f64(),
        "from the question to its verified answer, the middle one, in units of a proof's time",
    );

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
    let url = format!("{}/v1/catalogue", scene.served.url);
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
    let grown = highest_resident_bytes_of(gateway).saturating_sub(before);
    run.ratio("load.memory", grown as f64 / before.max(1) as f64, "memory that the gateway took meanwhile / before");
    Ok(())
}

/// What makes one proof of those that the questions need, and does nothing else.
fn proof_alone() -> Result<impl FnMut() -> Result<(), Fault>, Fault> {
    let allowed = ColumnUse { disclose: true, prove: true };
    let kinds = [("id", ColumnType::Int), ("name", ColumnType::Text), ("fee", ColumnType::Decimal(2))];
    let columns = kinds.map(|(name, kind)| Column { name: name.into(), kind, allowed });
    let schema = Schema { columns: columns.into(), key: vec![0] };
    let values = [Value::Int(7), Value::Text("Shop 7".into()), Value::Decimal(750)];
    let (items, salt) = ([Item::Disclose(1)], Salt::derive(&[1; 32], b"key", 1));
    let commitment = RecordHasher::new(&schema).commit(&values, &salt)?;
    let circuit = Circuit::Record15Slots4;
    let answers = answers(&items, &values)?;
    let statement = Statement::new(circuit, &schema, &items, &answers, &commitment, &Context([1; 32]))?;
    let key = ProvingKey::generate_development(circuit)?;
    let prove = move || Ok(key.prove(&schema, &statement, &values, &salt).map(drop)?);
    // The first makes the key ready.
    prove()?;
    Ok(prove)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A gateway, and requesters that were granted something.
struct Scene {
    served: Served,
    homes: Vec<Home>,
}

/// What came of many calls.
#[derive(Default)]
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

    fn and(mut self, more: Load) -> Load {
        self.each.extend(more.each);
        Load::of(self.took + more.took, self.each, self.refused + more.refused)
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
        let scene = Scene { served: Served::start(&data)?, homes };
        // Accounts are enrolled and keys made ready before the clock starts.
        for (at, home) in scene.homes.iter().enumerate() {
            scene.one(home, at + 1).await?;
        }
        Ok(scene)
    }

    async fn one(&self, home: &Home, id: usize) -> Result<(), AskFailure> {
        let sql = format!("SELECT name FROM shop WHERE id = {}", 1 + id % RECORDS);
        let answered = ask(home, &Client::new(&self.served.url)?, PURPOSE, &Asking::one(&sql)).await?;
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
        ask(home, &Client::new(&self.served.url)?, PURPOSE, &asking).await?.kept(home)?;
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
