//! The budget of bits: what many questions tell together about one record's field stays within it,
//! whoever asks, in whatever order, through restarts, crashes and new versions; and whoever keeps
//! the account wrongly is found. `SEALGATE_KILLS` sets the number of rounds of the crash test,
//! `SEALGATE_SEED` repeats a run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealgate_tests::{
    Exchange, Run, Table, Wire, World, answers, block_sizes, http, sealgate, sealgate_plain, text, unnamed,
};
use serde_json::Value;

#[path = "budget/forged.rs"]
mod forged;

/// What an answer that is true, false or null tells, in thousandths of a bit.
const THREE: u64 = 1585;
/// What one that is true or false tells.
const TWO: u64 = 1000;
/// Values of the hidden fee.
const RANGE: i64 = 4096;
/// Bits of its budget: enough for four answers and not for a fifth.
const BITS: u16 = 7;

/// `pay (id, name, fee, bonus)`; every ninth record has no bonus.
fn pay(count: i64) -> Table {
    let row = |id: i64| {
        let bonus = if id % 9 == 0 { String::new() } else { (id % 7).to_string() };
        vec![id.to_string(), format!("Person {id}"), fee(id).to_string(), bonus]
    };
    let columns = [("id", "int"), ("name", "text"), ("fee", "int"), ("bonus", "int")];
    Table::new("pay", &["id"], &columns, (1..=count).map(row).collect())
}

fn fee(id: i64) -> i64 {
    id * 1237 % RANGE
}

fn ask(world: &World, url: &str, home: &str, out: &str, sql: &str) -> Run {
    world.ask(url, home, "study", out, sql)
}

/// Millibits told of each column, all records of all tables together.
fn told(budget: &Value) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in budget["spent"].as_array().unwrap() {
        *sums.entry(text(&line["column"])).or_default() += line["millibits"].as_u64().unwrap();
        assert!(line["millibits"].as_u64() <= line["budget_millibits"].as_u64(), "over its budget: {line}");
    }
    sums
}

/// What was told by the owner's book and the auditor's, which must agree.
fn both_books(world: &World, url: &str) -> Value {
    let owners = world.budget_owner().ok();
    assert_eq!(owners, world.budget_gateway(url, "auditor").ok(), "owner and auditor read the book differently");
    owners
}

fn declined(error: &str) {
    assert!(error.starts_with("declined: "), "{error}");
    for word in ["budget", "does not count against the quota", "can be asked again"] {
        assert!(error.contains(word), "'{word}' is not in: {error}");
    }
}

/// The request that an error names.
fn request_in(error: &str) -> String {
    error.split(|c: char| !c.is_ascii_hexdigit()).find(|word| word.len() == 64).expect("a request is named").to_owned()
}

/// Somebody who narrows a hidden fee down.
struct Guesser {
    low: i64,
    high: i64,
    answers: u64,
}

impl Guesser {
    fn middle(&self) -> i64 {
        (self.low + self.high + 1) / 2
    }

    /// Learns from an answer to `fee >= cut`; `false` when it was declined.
    fn learn(&mut self, cut: i64, run: Run, truth: i64) -> bool {
        if run.code != 0 {
            declined(&run.error());
            return false;
        }
        let verified = run.ok();
        let answer = answers(&verified)[0].1.clone();
        assert_eq!(answer, (truth >= cut).to_string(), "fee >= {cut}");
        if answer == "true" {
            self.low = self.low.max(cut)
        } else {
            self.high = self.high.min(cut - 1)
        }
        self.answers += 1;
        true
    }
}

const COLLUDERS: [&str; 5] = ["requester", "second", "third", "fourth", "fifth"];

#[test]
fn five_colluding_guessers_learn_no_more_than_the_budget() {
    let table = pay(40).budget("fee", BITS);
    let world = World::audited_with(&table);
    let mut addresses = vec![world.requester.clone()];
    addresses.extend(COLLUDERS[1..].iter().map(|home| world.account(home)));
    let grant = ["--prove", "fee >= ?", "--prove", "fee IS NULL", "--purpose", "study", "--quota", "30"];
    for address in &addresses {
        world.grant("pay", address, &grant).ok();
    }
    let (id, truth) = (10, fee(10));
    let sql = |cut: i64| format!("SELECT fee >= {cut} FROM pay WHERE id = {id}");
    let mut guesser = Guesser { low: 0, high: RANGE - 1, answers: 0 };

    // One after another; between them a power cut, an orderly restart, and a version in which
    // this record stays as it is and others change.
    let server = world.serve();
    let first_cut = guesser.middle();
    assert!(guesser.learn(first_cut, ask(&world, &server.url, COLLUDERS[0], "0.json", &sql(first_cut)), truth));
    server.kill();
    let server = world.serve();
    let cut = guesser.middle();
    assert!(guesser.learn(cut, ask(&world, &server.url, COLLUDERS[1], "1.json", &sql(cut)), truth));
    drop(server);
    let mut next = table.clone();
    next.rows[20][2] = "5".into();
    next.rows.pop();
    assert_eq!(world.publish(&next.write(world.dir.path())).ok()["version"], 2);
    let server = world.serve();

    // All at once, each with another cut: what is left is enough for two of them.
    let step = (guesser.high - guesser.low) / 6;
    let cuts: Vec<i64> = (1..=5).map(|i| guesser.low + i * step).collect();
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let asks: Vec<_> = COLLUDERS
            .iter()
            .zip(&cuts)
            .map(|(home, cut)| {
                let (world, url, sql) = (&world, &server.url, sql(*cut));
                scope.spawn(move || ask(world, url, home, &format!("{home}.json"), &sql))
            })
            .collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    let mut refused = Vec::new();
    for (run, cut) in runs.into_iter().zip(&cuts) {
        let error = run.json["error"].as_str().map(str::to_owned);
        if !guesser.learn(*cut, run, truth) {
            refused.push(request_in(&error.unwrap()));
        }
    }
    assert_eq!((guesser.answers, refused.len()), (4, 3), "four answers of log2(3) bits fit into {BITS}");
    // Nothing more for anybody, now and after a restart and a version.
    server.kill();
    let server = world.serve();
    for home in COLLUDERS {
        let cut = guesser.middle();
        let run = ask(&world, &server.url, home, "no.json", &sql(cut));
        refused.push(request_in(run.json["error"].as_str().unwrap()));
        assert!(!guesser.learn(cut, run, truth));
        assert!(!std::path::Path::new(&world.path("no.json")).exists(), "something was written");
    }

    // (a) the account.
    let budget = both_books(&world, &server.url);
    assert_eq!(told(&budget), BTreeMap::from([("fee".to_owned(), guesser.answers * THREE)]));
    assert!(guesser.answers * THREE <= u64::from(BITS) * 1000);
    assert_eq!(budget["answers_checked"], guesser.answers);
    assert_eq!(budget["spent"].as_array().unwrap().len(), 1, "one record, one field: {budget}");
    // (b) what they know: the fee lies among at least so many values.
    let possible = guesser.high - guesser.low + 1;
    assert!((guesser.low..=guesser.high).contains(&truth));
    assert!(possible >= RANGE >> BITS, "{possible} candidates are left of {RANGE} by {BITS} bits");
    println!("{} answers, {} refusals, {possible} of {RANGE} values still possible", guesser.answers, refused.len());
    // (c) the ledger has the refusals, and the quota was returned.
    let trail = world.trail(&server.url, "auditor");
    let in_trail: Vec<String> =
        trail.iter().filter(|line| line["status"]["declined"].is_object()).map(|line| text(&line["request"])).collect();
    assert_eq!(in_trail.len(), refused.len());
    assert!(refused.iter().all(|request| in_trail.contains(request)));
    let used: u64 = addresses.iter().map(|address| world.used(&server.url, "pay", address)).sum();
    assert_eq!(used, guesser.answers, "what was declined counts against a quota");
    let audit = world.audit_gateway(&server.url, "auditor").ok();
    assert_eq!((audit["summary"]["declined"].as_u64(), audit["summary"]["answers"].as_u64()), (Some(8), Some(4)));

    // What was answered before is answered afresh, for nothing, to whom it was answered; to another
    // the answer would tell that somebody had asked.
    let before: Value = serde_json::from_slice(&std::fs::read(world.path("0.json")).unwrap()).unwrap();
    let again = ask(&world, &server.url, "requester", "again.json", &sql(first_cut)).ok();
    assert_eq!(answers(&again)[0].1, (truth >= first_cut).to_string());
    world.verify("requester", "again.json").ok();
    let after: Value = serde_json::from_slice(&std::fs::read(world.path("again.json")).unwrap()).unwrap();
    for part in ["evidence", "nonce", "request", "answer"] {
        assert_ne!(before[part], after[part], "{part} is the same as before");
    }
    declined(&ask(&world, &server.url, "second", "no.json", &sql(first_cut)).error());
    assert_eq!(told(&both_books(&world, &server.url)), BTreeMap::from([("fee".to_owned(), guesser.answers * THREE)]));
    // And other records are as unknown as they were.
    ask(&world, &server.url, "third", "other.json", "SELECT fee >= 7 FROM pay WHERE id = 11").ok();
}

#[test]
fn the_same_question_is_free_until_the_record_changes() {
    let table = pay(12).budget("fee", 4);
    let world = World::audited_with(&table);
    let grant = ["--prove", "fee >= ?", "--purpose", "study", "--quota", "50"];
    world.grant("pay", &world.requester, &grant).ok();
    let server = world.serve();
    let url = &server.url;
    let asked = |id: i64, cut: i64| {
        ask(&world, url, "requester", "a.json", &format!("SELECT fee >= {cut} FROM pay WHERE id = {id}"))
    };
    let total = || told(&both_books(&world, url)).get("fee").copied().unwrap_or(0);
    // A record that stays and is exhausted, one that changes, and a key without a record.
    for (id, cut) in [(1, 5), (1, 6), (2, 5), (99, 5)] {
        asked(id, cut).ok();
    }
    declined(&asked(1, 7).error());
    assert_eq!(total(), 4 * THREE);
    let mut requests = std::collections::BTreeSet::new();
    for (id, cut) in [(1, 5), (1, 6), (2, 5), (99, 5), (1, 5)] {
        assert!(requests.insert(text(&asked(id, cut).ok()["request"])), "another request stands on the ledger");
    }
    assert_eq!(total(), 4 * THREE);

    let mut next = table.clone();
    next.rows[1][2] = "1".into();
    assert_eq!(world.publish(&next.write(world.dir.path())).ok()["version"], 2);
    for (id, cut) in [(1, 5), (1, 6), (99, 5)] {
        let verified = asked(id, cut).ok();
        assert_eq!(verified["version"], 2);
        world.verify("requester", "a.json").ok();
    }
    assert_eq!(total(), 4 * THREE, "an unchanged record costs nothing in a new version");
    declined(&asked(1, 7).error());
    // Record 2 changed: the same words are another question, and the version refilled nothing.
    assert_eq!(answers(&asked(2, 5).ok())[0].1, "false");
    assert_eq!(total(), 5 * THREE, "a changed record costs again");
    declined(&asked(2, 6).error());
    asked(2, 5).ok();
    // Record 99 appears, and then it is another one, too.
    next.rows.push(vec!["99".into(), "New".into(), "9".into(), "1".into()]);
    world.publish(&next.write(world.dir.path())).ok();
    asked(99, 5).ok();
    assert_eq!(total(), 6 * THREE, "a record that appeared costs again");
    let lines = both_books(&world, url);
    assert_eq!(lines["spent"].as_array().unwrap().len(), 3, "three records: {lines}");
    // A manifest with other budgets does not change what was registered.
    let mut more = next.clone();
    more.budgets[0].1 = 40;
    let error = world.publish(&more.write(world.dir.path())).error();
    assert!(error.contains("budget_bits") && error.contains("'fee'") && error.contains('4'), "{error}");
    declined(&asked(1, 8).error());
}

#[test]
fn one_identity_stops_at_its_share_while_others_go_on() {
    let world = World::audited_with(&pay(12).budget("fee", 10));
    let other = world.account("other");
    let grant = ["--prove", "fee >= ?", "--purpose", "study", "--quota", "50"];
    world.grant("pay", &world.requester, &[&grant[..], &["--bits", "4"]].concat()).ok();
    world.grant("pay", &other, &grant).ok();
    let server = world.serve();
    let asked = |home: &str, cut: i64| {
        ask(&world, &server.url, home, "a.json", &format!("SELECT fee >= {cut} FROM pay WHERE id = 3"))
    };
    asked("requester", 100).ok();
    asked("requester", 200).ok();
    declined(&asked("requester", 300).error());
    // What it knows already it may hear again; what others were told it still has to pay for.
    asked("requester", 100).ok();
    asked("other", 300).ok();
    declined(&asked("requester", 300).error());
    // The other's share is not touched by what the first one asked, and costs the pool nothing.
    asked("other", 100).ok();
    let line = both_books(&world, &server.url)["spent"][0].clone();
    assert_eq!((line["millibits"].as_u64(), line["budget_millibits"].as_u64()), (Some(3 * THREE), Some(10_000)));
    let requesters: BTreeMap<String, u64> =
        line["requesters"].as_array().unwrap().iter().map(|pair| (text(&pair[0]), pair[1].as_u64().unwrap())).collect();
    assert_eq!(requesters, BTreeMap::from([(world.requester.clone(), 2 * THREE), (other.clone(), 2 * THREE)]));
    // A new grant is not a new share.
    world.grant("pay", &world.requester, &[&grant[..], &["--bits", "4"]].concat()).ok();
    declined(&asked("requester", 400).error());
    world.grant("pay", &world.requester, &[&grant[..], &["--bits", "5"]].concat()).ok();
    asked("requester", 400).ok();
    for cut in [500, 600] {
        asked("other", cut).ok();
    }
    declined(&asked("other", 700).error());
    // A share that shrinks below what was told stops what costs, and nothing else.
    let smaller = ["--disclose", "name", "--bits", "1"];
    world.grant("pay", &world.requester, &[&grant[..], &smaller].concat()).ok();
    declined(&asked("requester", 300).error());
    asked("requester", 100).ok();
    let disclosed = ask(&world, &server.url, "requester", "a.json", "SELECT name FROM pay WHERE id = 3").ok();
    assert_eq!(answers(&disclosed)[0].1, "Person 3");
    both_books(&world, &server.url);
}

#[test]
fn every_kind_of_question_costs_what_it_tells() {
    let world = World::audited_with(&pay(30).budget("fee", 60).budget("bonus", 60));
    let mut grant = vec!["--disclose", "id,name,fee,bonus", "--existence", "--purpose", "study"];
    for predicate in ["fee >= ?", "fee <= ?", "fee IN (?, ?, ?)", "fee IS NULL", "fee IS NOT NULL", "bonus < ?"] {
        grant.extend(["--prove", predicate]);
    }
    grant.extend(["--prove", "bonus IS NULL", "--prove", "fee BETWEEN ? AND ?"]);
    world.grant("pay", &world.requester, &grant).ok();
    let server = world.serve();
    let total = || {
        let sums = told(&world.budget_owner().ok());
        ["fee", "bonus"].map(|column| sums.get(column).copied().unwrap_or(0))
    };
    // Record 9 has no bonus; there is no record 99: both are charged like any other.
    let mut before = total();
    for id in [4, 9, 99] {
        for (items, fee, bonus) in [
            ("name, fee", 0, 0),
            ("*", 0, 0),
            ("1", 0, 0),
            ("fee IS NULL", TWO, 0),
            ("fee IS NOT NULL AND bonus IS NULL", TWO, TWO),
            ("fee >= 10", THREE, 0),
            ("fee >= 10, name", 0, 0),
            ("fee >= 11, bonus < 5", THREE, THREE),
            ("fee >= 12 AND bonus < 5", THREE, THREE),
            ("fee >= 13 OR fee <= 4", THREE, 0),
            ("fee IS NULL OR fee >= 14", THREE, 0),
            ("fee IN (1, 2, 3)", THREE, 0),
            ("fee BETWEEN 10 AND 20", THREE, 0),
            ("fee >= 15, fee >= 16", 2 * THREE, 0),
            ("NOT fee >= 17", THREE, 0),
        ] {
            let sql = format!("SELECT {items} FROM pay WHERE id = {id}");
            let run = ask(&world, &server.url, "requester", "a.json", &sql);
            if items.starts_with("NOT") {
                assert!(run.error().starts_with("denied: "), "not granted");
                assert_eq!(total(), before);
                continue;
            }
            run.ok();
            let after = total();
            assert_eq!([after[0] - before[0], after[1] - before[1]], [fee, bonus], "{items} of record {id}");
            before = after;
        }
    }
    let budget = both_books(&world, &server.url);
    assert_eq!(budget["answers_checked"], 3 * 14);

    // Many keys: each is charged, and all of it or nothing.
    std::fs::write(world.path("keys.csv"), "id\n4\n21\n22\n98\n").unwrap();
    let keys = |sql: &str| world.ask_keys(&server.url, "requester", "study", "b.json", "keys.csv", sql);
    let before = total();
    keys("SELECT fee >= 1000, bonus < 2 FROM pay WHERE id = ?").ok();
    let after = total();
    assert_eq!([after[0] - before[0], after[1] - before[1]], [4 * THREE, 4 * THREE]);
    // Record 4's budget is used up by single questions; then the four together get nothing.
    let mut cut = 2000;
    while ask(
        &world,
        &server.url,
        "requester",
        "a.json",
        &format!(
            "SELECT fee >= {cut}, fee >= {}, fee >= {}, fee >= {} FROM pay WHERE id = 4",
            cut + 1,
            cut + 2,
            cut + 3
        ),
    )
    .code
        == 0
    {
        cut += 4;
    }
    while ask(&world, &server.url, "requester", "a.json", &format!("SELECT fee >= {cut} FROM pay WHERE id = 4")).code
        == 0
    {
        cut += 1;
    }
    let (before, used) = (both_books(&world, &server.url), world.used(&server.url, "pay", &world.requester));
    declined(&keys("SELECT fee >= 3000 FROM pay WHERE id = ?").error());
    assert_eq!(both_books(&world, &server.url), before, "a declined batch charges no key");
    assert_eq!(world.used(&server.url, "pay", &world.requester), used, "and counts against no quota");
    keys("SELECT fee >= 1000 FROM pay WHERE id = ?").ok();
    std::fs::write(world.path("keys.csv"), "id\n21\n22\n98\n").unwrap();
    keys("SELECT fee >= 3000 FROM pay WHERE id = ?").ok();

    // What people see.
    let plain = sealgate_plain(&["budget", "--data-dir", &world.path("owner"), "--asset", "pay"]);
    assert_eq!(plain.code, 0);
    for part in ["the charges of ", "pay fee  record ", " of 60.000 bits", &world.requester] {
        assert!(plain.stdout.contains(part), "'{part}' is not in:\n{}", plain.stdout);
    }
    let error = sealgate(&["budget", "--data-dir", &world.path("owner"), "--asset", "pax"]).error();
    assert!(error.contains("no asset 'pax'"), "{error}");

    // Who may look.
    let error = world.budget_gateway(&server.url, "requester").error();
    assert!(error.contains("auditor") && error.contains("Only the owner"), "{error}");
    let error = sealgate(&["budget", "--data-dir", &world.path("requester")]).error();
    assert!(error.contains("no data folder of an owner"), "{error}");
}

#[test]
fn a_ledger_without_an_auditor_says_so() {
    let world = World::with(&pay(3));
    world.grant("pay", &world.requester, &["--prove", "fee >= ?", "--purpose", "study"]).ok();
    let server = world.serve();
    ask(&world, &server.url, "requester", "a.json", "SELECT fee >= 5 FROM pay WHERE id = 1").ok();
    for home in ["auditor", "requester"] {
        let error = world.budget_gateway(&server.url, home).error();
        assert!(error.contains("names no auditor"), "{error}");
    }
    assert_eq!(told(&world.budget_owner().ok()), BTreeMap::from([("fee".to_owned(), THREE)]));
}

#[test]
fn absent_records_are_declined_like_present_ones() {
    let world = World::audited_with(&pay(60).budget("fee", 4));
    world.grant("pay", &world.requester, &["--prove", "fee >= ?", "--purpose", "study", "--quota", "40"]).ok();
    std::fs::write(world.path("keys.csv"), "id\n10\n11\n").unwrap();
    let twin = world.twin();
    std::fs::write(twin.path("keys.csv"), "id\n98\n99\n").unwrap();
    let (server, twin_server) = (world.serve(), twin.serve());
    let (wire, twin_wire) = (Wire::to(&server.url), Wire::to(&twin_server.url));
    for (round, (cut, keys, answered)) in [
        (10, false, true),
        (11, false, true),
        (12, false, false),
        (12, true, false),
        (10, true, true),
        (13, false, false),
    ]
    .into_iter()
    .enumerate()
    {
        let asked = |world: &World, url: &str, id: i64| {
            if keys {
                let sql = format!("SELECT fee >= {cut} FROM pay WHERE id = ?");
                return world.ask_keys(url, "requester", "study", "a.json", "keys.csv", &sql);
            }
            ask(world, url, "requester", "a.json", &format!("SELECT fee >= {cut} FROM pay WHERE id = {id}"))
        };
        let (here, there) = (asked(&world, &wire.url, 10), asked(&twin, &twin_wire.url, 99));
        assert_eq!((here.code == 0, there.code == 0), (answered, answered), "{round}: {here:?} {there:?}");
        // How often progress was asked for is a matter of time.
        let seen = |wire: &Wire| -> Vec<_> {
            wire.take().iter().filter(|e| !e.call.ends_with("/progress")).map(Exchange::measured).collect()
        };
        assert_eq!(seen(&wire), seen(&twin_wire), "question {round}");
        if !answered {
            let (here, there) = (here.error(), there.error());
            declined(&here);
            assert_eq!(unnamed(&here), unnamed(&there));
        }
    }
    let sums = |world: &World, url: &str| {
        let mut sums: Vec<u64> = both_books(world, url)["spent"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["millibits"].as_u64().unwrap())
            .collect();
        sums.sort_unstable();
        sums
    };
    assert_eq!(sums(&world, &server.url), sums(&twin, &twin_server.url));
    assert_eq!(sums(&world, &server.url), [THREE, 2 * THREE]);
    let (here, there) = (block_sizes(&server.url), block_sizes(&twin_server.url));
    assert!(here.len() > 10, "{here:?}");
    assert_eq!(here, there, "the blocks have the same sizes");
}

fn rounds() -> u64 {
    std::env::var("SEALGATE_KILLS").map_or(4, |rounds| rounds.parse().expect("SEALGATE_KILLS is a number"))
}

#[test]
fn a_gateway_killed_at_any_moment_never_tells_more_than_the_budget() {
    let homes = ["requester", "second", "third"];
    // Enough for two of three answers about a record.
    let world = World::audited_with(&pay(200).budget("fee", 4));
    for home in homes {
        let address = if home == "requester" { world.requester.clone() } else { world.account(home) };
        world.grant("pay", &address, &["--prove", "fee >= ?", "--purpose", "study"]).ok();
    }
    let clock = || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()) | 1;
    let mut seed = std::env::var("SEALGATE_SEED").map_or_else(|_| clock(), |seed| seed.parse().unwrap());
    println!("SEALGATE_SEED={seed} SEALGATE_KILLS={}", rounds());
    let (mut retried, mut kept) = (0, 0);
    for round in 0..rounds() {
        // Every third record does not exist.
        let id = if round % 3 == 2 { 1000 + round } else { 1 + round };
        let sql = |at: usize| format!("SELECT fee >= {} FROM pay WHERE id = {id}", 100 * (at + 1));
        let out = |at: usize| format!("{round}-{at}.json");
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let moment = Duration::from_millis(seed % 900);
        let server = world.serve();
        let url = server.url.clone();
        let runs: Vec<Run> = std::thread::scope(|scope| {
            let asks: Vec<_> = (0..homes.len())
                .map(|at| {
                    let (world, url) = (&world, &url);
                    scope.spawn(move || ask(world, url, homes[at], &out(at), &sql(at)))
                })
                .collect();
            std::thread::sleep(moment);
            server.kill();
            asks.into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        // As the crash left it, and by a gateway that starts upon it.
        let found = world.budget_owner().ok();
        told(&found);
        let server = world.serve();
        assert_eq!(both_books(&world, &server.url), found, "killed after {moment:?}");
        let mut answered = 0;
        for (at, run) in runs.into_iter().enumerate() {
            let run = if run.code == 0 || run.json["error"].as_str().unwrap().starts_with("declined") {
                kept += 1;
                run
            } else {
                retried += 1;
                ask(&world, &server.url, homes[at], &out(at), &sql(at))
            };
            if run.code == 0 {
                answered += 1;
            } else {
                declined(&run.error());
            }
        }
        assert_eq!(answered, 2, "killed after {moment:?}: four bits are two answers");
        let budget = both_books(&world, &server.url);
        assert_eq!(told(&budget)["fee"], 2 * THREE * (round + 1), "killed after {moment:?}");
    }
    println!("{} kills: {retried} asks were retried, {kept} had come to their end", rounds());
    world.audit_owner().ok();
}

#[test]
fn a_dishonest_account_is_found_by_the_auditor() {
    let world = World::audited_with(&pay(8).budget("fee", 4).budget("bonus", 4));
    world.grant("pay", &world.requester, &["--prove", "fee >= ?", "--prove", "bonus < ?", "--purpose", "study"]).ok();
    let server = world.serve();
    ask(&world, &server.url, "requester", "a.json", "SELECT fee >= 5 FROM pay WHERE id = 1").ok();
    drop(server);
    for case in forged::cases() {
        let twin = world.twin();
        if let Some(bits) = case.share {
            let grant = ["--prove", "fee >= ?", "--prove", "bonus < ?", "--purpose", "study", "--bits", bits];
            twin.grant("pay", &twin.requester, &grant).ok();
        }
        let forged = forged::Forged::open(&twin);
        let request = forged.answer(&case);
        let run = twin.budget_gateway(&forged.url, "auditor");
        match case.found {
            None => assert_eq!(run.ok()["answers_checked"], 1 + case.answers.len(), "{}", case.name),
            Some(words) => {
                let error = run.error();
                println!("{}: {error}", case.name);
                assert!(error.contains(&request) && error.contains(words), "{}: {error}", case.name);
                // The rules of the ledger itself were kept: this is found only by who may read.
                twin.audit_gateway(&forged.url, "auditor").ok();
                let requester = twin.budget_gateway(&forged.url, "requester").error();
                assert!(!requester.contains(&request), "{}: {requester}", case.name);
            }
        }
    }
}

#[test]
fn charges_on_the_ledger_have_one_size_and_show_no_record() {
    let world = World::audited_with(&pay(20));
    world.grant("pay", &world.requester, &["--prove", "fee >= ?", "--disclose", "name", "--purpose", "study"]).ok();
    let server = world.serve();
    // Asked for the first time, again, about another record, about none; and nothing to charge.
    for (item, id) in [("fee >= 5", 1), ("fee >= 5", 1), ("fee >= 77", 2), ("fee >= 5", 99), ("name", 1)] {
        ask(&world, &server.url, "requester", "a.json", &format!("SELECT {item} FROM pay WHERE id = {id}")).ok();
    }
    let height = world.trail(&server.url, "auditor").last().unwrap()["status"]["answered"]["height"].as_u64().unwrap();
    let mut charges = Vec::new();
    for block in 1..=height {
        let (status, body) = http(&server.url, &format!("GET /v1/blocks/{block} HTTP/1.1"), b"");
        assert_eq!(status, 200);
        let block: Value = serde_json::from_slice(&body).unwrap();
        let found = block.to_string();
        for part in found.split("\"charges\":\"").skip(1) {
            charges.push(part.split('"').next().unwrap().to_owned());
        }
    }
    let sizes: Vec<usize> = charges.iter().map(String::len).collect();
    assert!(sizes[0] > 0 && sizes[..4].iter().all(|size| *size == sizes[0]), "{sizes:?}");
    assert_eq!(sizes[4..], [0], "a disclosure is not charged");
    assert_ne!(charges[0], charges[1]);
    let subjects: Vec<String> =
        world.budget_owner().ok()["spent"].as_array().unwrap().iter().map(|line| text(&line["subject"])).collect();
    let log = std::fs::read(world.path("owner/ledger/blocks.log")).unwrap();
    for subject in subjects {
        let bytes: Vec<u8> = (0..16).map(|i| u8::from_str_radix(&subject[2 * i..2 * i + 2], 16).unwrap()).collect();
        assert!(!log.windows(16).any(|window| window == bytes), "{subject} stands on the ledger");
    }
}
