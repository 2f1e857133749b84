//! `kill -9` at any moment of publishing and of serving, and a disk that fills up: what was
//! acknowledged is there, what was not is there whole or not at all, and the next try succeeds.
//! `SEALGATE_KILLS` sets the number of rounds, `SEALGATE_SEED` repeats a run.

#![allow(missing_docs, unreachable_pub, dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sealgate_gateway::owner::{Owner, signed};
use sealgate_ledger::Ledger;
use sealgate_ledger::tx::{GrantTerms, TxBody};
use sealgate_tests::{Run, Server, World, binary, sealgate, text};
use serde_json::{Value, json};

mod people;
#[path = "lying/wire.rs"]
mod wire;

use wire::{Liar, Sent, Upstream};

const ROWS: u64 = 4000;
const WORDS: &str = "SELECT name, fee >= 500 FROM people WHERE id = 24";

fn rounds() -> u64 {
    std::env::var("SEALGATE_KILLS").map_or(4, |rounds| rounds.parse().expect("SEALGATE_KILLS is a number"))
}

/// xorshift64: moments that a printed seed repeats.
struct Moments(u64);

impl Moments {
    fn new(what: &str) -> Moments {
        let clock = || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()) | 1;
        let seed = std::env::var("SEALGATE_SEED").map_or_else(|_| clock(), |seed| seed.parse().unwrap());
        println!("{what}: SEALGATE_SEED={seed} SEALGATE_KILLS={}", rounds());
        Moments(seed)
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        longest.mul_f64((self.0 >> 11) as f64 / (1u64 << 53) as f64)
    }
}

fn audit_run(world: &World) -> Run {
    sealgate(&["audit", "--data-dir", &world.path("owner")])
}

fn audit(world: &World) -> Value {
    audit_run(world).ok()
}

/// Attempts that lie in the store.
fn attempts(world: &World) -> u64 {
    let folders = |path: &Path| -> Vec<_> {
        std::fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    folders(world.path("owner/store/assets").as_ref()).iter().map(|asset| folders(asset).len() as u64).sum()
}

/// A line of the list of `people`, if it is there.
fn grant_of(url: &str, to: &str) -> Option<Value> {
    let upstream = Upstream::at(url);
    let asset = text(&upstream.get("/v1/catalogue").json()["assets"][0]["asset"]["id"]);
    let reply = upstream.get(&format!("/v1/assets/{asset}/grants/{to}"));
    (reply.status == 200).then(|| reply.json())
}

fn spawn(args: &[&str]) -> Child {
    Command::new(binary()).arg("--json").args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What the command printed before it was killed, if it was a whole result.
fn killed_after(mut child: Child, moment: Duration) -> Option<Value> {
    std::thread::sleep(moment);
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).ok()?;
    assert!(printed["error"].is_null(), "the command failed by itself: {printed}");
    Some(printed)
}

#[test]
fn a_publish_killed_at_any_moment_leaves_the_old_version_or_the_new_one() {
    let world = people::world(ROWS);
    let mut moments = Moments::new("publish");
    let (owner, manifest) = (world.path("owner"), world.path("people.toml"));
    let publish = ["publish", "--data-dir", &owner, "--manifest", &manifest];
    let started = Instant::now();
    people::write(&world, ROWS, "v2");
    sealgate(&publish).ok();
    let whole = started.elapsed();
    let (mut versions, mut name) = (2, "Person 24 v2".to_owned());
    let (mut acknowledged, mut unnoticed, mut orphans) = (0, 0, 0);
    for round in 0..rounds() {
        people::write(&world, ROWS, &format!("round {round}"));
        let server = (round % 2 == 1).then(|| world.serve());
        let moment = moments.up_to(whole.mul_f64(1.1));
        let printed = killed_after(spawn(&publish), moment);
        drop(server);
        let now = audit(&world)["versions"].as_u64().unwrap();
        match &printed {
            Some(result) => {
                assert_eq!(result["version"].as_u64(), Some(now), "killed after {moment:?}: {result}");
                assert_eq!(now, versions + 1);
                acknowledged += 1;
            }
            None => {
                assert!(now == versions || now == versions + 1, "killed after {moment:?}: {versions} -> {now}");
                unnoticed += u64::from(now > versions);
            }
        }
        orphans += attempts(&world) - now;
        if now > versions {
            name = format!("Person 24 round {round}");
        }
        versions = now;
        let server = world.serve();
        let answer = world
            .ask(&server.url, "requester", &format!("r{round}"), "a.json", "SELECT name FROM people WHERE id = 24")
            .ok();
        assert_eq!(text(&answer["records"][0]["result"][0]["answer"]), name, "killed after {moment:?}");
        assert_eq!(answer["version"].as_u64(), Some(versions));
        world.verify("requester", "a.json").ok();
    }
    // Once for certain in the middle of it.
    let mut child = spawn(&publish);
    while attempts(&world) == versions && child.try_wait().unwrap().is_none() {}
    assert!(killed_after(child, Duration::ZERO).is_none());
    assert_eq!(attempts(&world), versions + 1, "the killed publish left objects behind");
    audit(&world);
    sealgate(&publish).ok();
    assert_eq!(audit(&world)["versions"].as_u64(), Some(versions + 1));
    assert_eq!(attempts(&world), versions + 1, "the next publish removes what killed ones left");
    assert_eq!(std::fs::read_dir(world.path("owner/spill")).unwrap().count(), 0, "and their spills");
    println!(
        "{} kills in up to {whole:?}: {acknowledged} had printed their result, {unnoticed} had registered without printing, {orphans} left objects behind",
        rounds()
    );
}

/// Who asks at once; each has a home of its own, two share one.
const HOMES: [&str; 4] = ["requester", "requester", "second", "third"];

#[test]
fn a_gateway_killed_while_it_answers_loses_nothing_and_asks_nothing_twice() {
    let world = people::world(200);
    let mut moments = Moments::new("serve");
    let account = |home: &str| {
        let account = sealgate(&["account", "new", "--home", &world.path(home), "--name", home]).ok();
        sealgate(&["trust", "--home", &world.path(home), &world.fingerprint]).ok();
        text(&account["address"])
    };
    let addresses = [world.requester.clone(), account("second"), account("third")];
    let asked_by = |address: usize| HOMES.len() as u64 - addresses.len() as u64 + 1 - u64::from(address > 0);
    for (at, address) in addresses.iter().enumerate() {
        let quota = (rounds() * asked_by(at)).to_string();
        world.grant("people", address, &[&people::GRANT[..], &["--quota", &quota]].concat()).ok();
    }
    let owner = world.path("owner");
    let mut granted: Vec<String> = Vec::new();
    let (mut retried, mut failed) = (0, Vec::new());
    for round in 0..rounds() {
        let server = world.serve();
        let url = server.url.clone();
        // Some keys exist, some do not.
        let sql = |at: usize| {
            format!("SELECT name, fee >= 500 FROM people WHERE id = {}", 197 + round as usize % 7 * 10 + at)
        };
        let out = |at: usize| format!("{round}-{at}.json");
        let purpose = format!("round {round}");
        let newcomer = account(&format!("newcomer-{round}"));
        let grant =
            [&["grant", "--data-dir", &owner, "--asset", "people", "--to", &newcomer][..], &people::GRANT].concat();
        let moment = moments.up_to(Duration::from_millis(900));
        let runs: Vec<Run> = std::thread::scope(|scope| {
            let asks: Vec<_> = (0..HOMES.len())
                .map(|at| {
                    let (world, url, purpose) = (&world, &url, &purpose);
                    scope.spawn(move || world.ask(url, HOMES[at], purpose, &out(at), &sql(at)))
                })
                .collect();
            let grant = scope.spawn(|| sealgate(&grant));
            std::thread::sleep(moment);
            server.kill();
            if grant.join().unwrap().code == 0 {
                granted.push(newcomer.clone());
            }
            asks.into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        // The owner looks at the folder as the crash left it.
        let found = audit_run(&world);
        if found.code != 0 {
            failed.push(format!("round {round}, audit after the kill: {}", found.json));
        }
        let server = world.serve();
        for (at, run) in runs.into_iter().enumerate() {
            assert!(run.code == 0 || run.code == 1, "{run:?}");
            assert_eq!(run.code == 0, Path::new(&world.path(&out(at))).exists(), "{run:?}");
            if run.code == 1 {
                retried += 1;
                let again = world.ask(&server.url, HOMES[at], &purpose, &out(at), &sql(at));
                if again.code != 0 {
                    failed.push(format!(
                        "round {round}, killed after {moment:?}: first {}, again {}",
                        run.json, again.json
                    ));
                    world.ask(&server.url, HOMES[at], &purpose, &out(at), &sql(at)).ok();
                }
            }
        }
        for (at, home) in HOMES.iter().enumerate() {
            let (home, file) = (world.path(home), world.path(&out(at)));
            sealgate(&["verify", "--gateway", &server.url, "--home", &home, &file]).ok();
        }
        for address in &granted {
            assert!(grant_of(&server.url, address).is_some(), "the acknowledged grant to {address} is gone");
        }
        for (at, address) in addresses.iter().enumerate() {
            let used = grant_of(&server.url, address).unwrap()["used"].as_u64().unwrap();
            assert_eq!(used, (round + 1) * asked_by(at), "killed after {moment:?}: something was asked twice");
        }
    }
    audit(&world);
    let server = world.serve();
    for home in ["requester", "second", "third", "auditor"] {
        sealgate(&["audit", "--gateway", &server.url, "--home", &world.path(home)]).ok();
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    println!("{} kills: {retried} of {} asks were retried", rounds(), rounds() as usize * HOMES.len());
}

#[test]
fn a_requester_killed_while_it_asks_asks_nothing_twice() {
    let world = people::world(50);
    let mut moments = Moments::new("ask");
    let server = world.serve();
    let home = world.path("requester");
    let (mut longest, mut failed) = (Duration::from_millis(400), Vec::new());
    for round in 0..rounds() {
        let (purpose, out) = (format!("round {round}"), world.path(&format!("{round}.json")));
        let args = ["ask", "--gateway", &server.url, "--home", &home, "--purpose", &purpose, "--out", &out, WORDS];
        let moment = moments.up_to(longest);
        let printed = killed_after(spawn(&args), moment);
        let started = Instant::now();
        if !Path::new(&out).exists() {
            assert!(printed.is_none(), "killed after {moment:?}: it printed an answer that it had not written");
            let again = sealgate(&args);
            if again.code != 0 {
                failed.push(format!("round {round}, killed after {moment:?}, again: {}", again.json));
                std::thread::sleep(Duration::from_millis(300));
                sealgate(&args).ok();
            }
            longest = longest.max(started.elapsed().mul_f64(1.1));
        }
        world.verify("requester", &format!("{round}.json")).ok();
        let used = grant_of(&server.url, &world.requester).unwrap()["used"].as_u64();
        assert_eq!(used, Some(round + 1), "killed after {moment:?}");
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn an_answer_that_could_not_be_written_is_not_asked_for_again() {
    let world = people::world(50);
    let quota = [&people::GRANT[..], &["--quota", "1"]].concat();
    world.grant("people", &world.requester, &quota).ok();
    let server = world.serve();
    std::fs::write(world.path("file"), "").unwrap();
    let error = world.ask(&server.url, "requester", "p", "file/is/no/folder.json", WORDS).error();
    assert!(error.contains("folder.json") || error.contains("file/is/no"), "{error}");
    world.ask(&server.url, "requester", "p", "a.json", WORDS).ok();
    assert_eq!(grant_of(&server.url, &world.requester).unwrap()["used"], json!(1));
}

/// Asks through a gateway that dies as soon as the request is on the ledger.
fn record_without_answer(world: &World) -> Run {
    let server = world.serve();
    let liar = Liar::start(&server.url, |call, upstream| {
        if !call.is("POST", "/v1/asks") {
            return upstream.forward(call).into();
        }
        use base64::Engine as _;
        let tx = text(&call.json()["transaction"]);
        let body = base64::engine::general_purpose::STANDARD.decode(tx).unwrap();
        let recorded = upstream.forward(&wire::Call { method: "POST".into(), path: "/v1/transactions".into(), body });
        assert_eq!(recorded.status, 200);
        Sent::Silence(Duration::ZERO)
    });
    world.ask(&liar.url, "requester", "p", "a.json", WORDS)
}

/// Puts so many grants, one a block, on the ledger of an owner that does not serve.
fn blocks_pass(world: &World, count: u64) {
    let owner = Owner::open(world.path("owner").as_ref()).unwrap();
    let ledger = Ledger::open(&owner.ledger_folder(), owner.account().clone()).unwrap();
    let asset = ledger.assets().unwrap()[0].id;
    let terms = GrantTerms {
        whole: vec![],
        disclose: vec![],
        prove: vec![],
        existence: true,
        purpose: String::new(),
        not_before_ms: None,
        until_ms: None,
        quota: None,
        bits: None,
    };
    for _ in 0..count {
        let body = TxBody::Grant { asset, to: world.auditor.parse().unwrap(), terms: terms.clone() };
        ledger.submit(signed(ledger.genesis(), ledger.head().height, owner.account(), body).unwrap()).unwrap();
    }
}

#[test]
fn a_question_that_became_unanswered_can_be_asked_again_in_the_same_words() {
    let world = people::world(50);
    record_without_answer(&world).error();
    blocks_pass(&world, 1010);
    let server = world.serve();
    let trail = sealgate(&["trail", "--gateway", &server.url, "--home", &world.path("requester")]).ok();
    assert!(trail[0]["status"]["unanswered"].is_object(), "{trail}");
    // Once to learn that it is too late at the most, then it must be asked anew.
    let first = world.ask(&server.url, "requester", "p", "a.json", WORDS);
    if first.code != 0 {
        let error = first.error();
        let second = world.ask(&server.url, "requester", "p", "a.json", WORDS);
        assert_eq!(second.code, 0, "after '{error}' for good: {second:?}");
    }
    assert_eq!(grant_of(&server.url, &world.requester).unwrap()["used"], json!(1));
}

#[test]
fn a_question_whose_grant_was_renewed_meanwhile_can_be_asked_again_in_the_same_words() {
    let world = people::world(50);
    record_without_answer(&world).error();
    world.grant("people", &world.requester, &people::GRANT).ok();
    let server = world.serve();
    let first = world.ask(&server.url, "requester", "p", "a.json", WORDS);
    if first.code != 0 {
        let error = first.error();
        let second = world.ask(&server.url, "requester", "p", "a.json", WORDS);
        assert_eq!(second.code, 0, "after '{error}' for good: {second:?}");
    }
}

#[test]
fn a_question_that_never_arrived_and_expired_can_be_asked_again_in_the_same_words() {
    let world = people::world(50);
    {
        let server = world.serve();
        let liar = Liar::start(&server.url, |call, upstream| {
            if call.is("POST", "/v1/asks") { Sent::Silence(Duration::ZERO) } else { upstream.forward(call).into() }
        });
        world.ask(&liar.url, "requester", "p", "a.json", WORDS).error();
    }
    blocks_pass(&world, 1010);
    let server = world.serve();
    let first = world.ask(&server.url, "requester", "p", "a.json", WORDS);
    if first.code != 0 {
        let error = first.error();
        let second = world.ask(&server.url, "requester", "p", "a.json", WORDS);
        assert_eq!(second.code, 0, "after '{error}' for good: {second:?}");
    }
    assert_eq!(grant_of(&server.url, &world.requester).unwrap()["used"], json!(1));
}

/// A file system of a few MiB on the owner's folder; unmounted when dropped.
struct SmallDisk(String);

impl SmallDisk {
    fn mount(world: &World, mib: u64) -> Option<SmallDisk> {
        let path = world.path("small");
        std::fs::create_dir(&path).unwrap();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs", &path]).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            println!("skipped: a small tmpfs cannot be mounted here (it takes root)");
            return None;
        }
        Some(SmallDisk(path))
    }

    /// Fills it up to so many KiB.
    fn fill(&self, left_kib: u64) {
        let df = Command::new("df").args(["--output=avail", "-k", &self.0]).output().unwrap();
        let free: u64 = String::from_utf8_lossy(&df.stdout).lines().nth(1).unwrap().trim().parse().unwrap();
        let ballast = vec![0u8; 1024 * usize::try_from(free.saturating_sub(left_kib)).unwrap()];
        std::fs::write(format!("{}/ballast", self.0), ballast).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(format!("{}/ballast", self.0)).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_said_plainly_and_nothing_is_lost() {
    let world = people::world(ROWS);
    let Some(disk) = SmallDisk::mount(&world, 64) else { return };
    let owner = format!("{}/owner", disk.0);
    assert!(Command::new("cp").args(["-r", &world.path("owner"), &owner]).status().unwrap().success());
    let manifest = people::write(&world, ROWS, "v2").display().to_string();
    let publish = ["publish", "--data-dir", &owner, "--manifest", &manifest];
    let whole = || sealgate(&["audit", "--data-dir", &owner]);
    let full =
        |error: &str| assert!(error.to_lowercase().contains("no space") || error.contains("make room"), "{error}");
    let mut failed = 0;
    for left_kib in [0, 4, 16, 64, 128, 256] {
        disk.fill(left_kib);
        let before = std::fs::metadata(format!("{owner}/ledger/blocks.log")).unwrap().len();
        let run = sealgate(&publish);
        let error = if run.code == 0 { None } else { Some(run.error()) };
        disk.make_room();
        if let Some(error) = error {
            println!("{left_kib} KiB left: {error}");
            full(&error);
            failed += 1;
            assert_eq!(std::fs::metadata(format!("{owner}/ledger/blocks.log")).unwrap().len(), before);
        }
        whole().ok();
    }
    assert!(failed > 0, "the disk was never full");
    sealgate(&publish).ok();
    let versions = whole().ok()["versions"].as_u64().unwrap();

    // Serving goes on where it can, and answers once there is room.
    let server = Server::start(&owner);
    world.ask(&server.url, "requester", "before", "before.json", WORDS).ok();
    for left_kib in [0, 4, 16] {
        disk.fill(left_kib);
        let purpose = format!("{left_kib} KiB");
        let run = world.ask(&server.url, "requester", &purpose, "a.json", WORDS);
        disk.make_room();
        if run.code != 0 {
            println!("{left_kib} KiB left: {}", run.error());
            world.ask(&server.url, "requester", &purpose, "a.json", WORDS).ok();
        }
    }
    assert_eq!(grant_of(&server.url, &world.requester).unwrap()["used"], json!(4), "something was asked twice");
    world.verify("requester", "before.json").ok();
    whole().ok();
    drop(server);
    assert_eq!(whole().ok()["versions"].as_u64(), Some(versions));
}
