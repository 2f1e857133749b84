//! One question about many keys: one request and one answer on the ledger, every value the
//! table's, and refusals that say what is wrong with the file of keys. `SEALGATE_KEYS` sets how
//! many keys the large test asks about.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sealgate_tests::{Run, Server, Table, World, binary, http, sealgate, sealgate_plain, text};
use serde_json::Value;

/// `visits (person, nr, day, note, amount)` with a key of two columns, one of them Chinese text.
fn visits(people: usize) -> Table {
    let mut rows = Vec::new();
    for who in 0..people {
        for nr in 1..=4 {
            let note =
                if (who + nr) % 5 == 0 { String::new() } else { format!("来访, no. {nr} of \"{}\"", name(who)) };
            let amount = if (who + nr) % 6 == 0 { String::new() } else { format!("{}.25", who * 10 + nr) };
            rows.push(vec![name(who), nr.to_string(), format!("2024-0{}-1{nr}", 1 + who % 9), note, amount]);
        }
    }
    let columns = [("person", "text"), ("nr", "int"), ("day", "date"), ("note", "text"), ("amount", "decimal(2)")];
    Table::new("visits", &["person", "nr"], &columns, rows)
}

fn name(who: usize) -> String {
    let family = ["王", "李", "张", "刘", "陈", "Müller", "O'Neil, Jr."][who % 7];
    format!("{family}{who}")
}

const GRANT: [&str; 8] =
    ["--disclose", "note,amount", "--prove", "amount >= ?", "--existence", "--purpose", "count", "--quota"];

fn world(people: usize, quota: &str) -> World {
    let world = World::audited_with(&visits(people));
    world.grant("visits", &world.requester, &[&GRANT[..], &[quota]].concat()).ok();
    world
}

const SQL: &str = "SELECT note, amount, amount >= 100 FROM visits WHERE nr = ? AND person = ?";

fn ask(world: &World, url: &str, out: &str, sql: &str) -> Run {
    world.ask_keys(url, "requester", "count", out, "keys.csv", sql)
}

/// Keys as a CSV in another order than the table's, with a column that means nothing.
fn keys_csv(keys: &[(String, usize)]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut csv = String::from("\u{feff} NR ,remark,Person\r\n");
    for (who, nr) in keys {
        csv.push_str(&format!("{nr},\"a, b\",{}\r\n", quoted(who)));
    }
    csv
}

/// What the table says: found, note, amount, and whether it is 100 or more.
fn expected(table: &Table, who: &str, nr: usize) -> Option<[String; 3]> {
    let row = table.rows.iter().find(|row| row[0] == who && row[1] == nr.to_string())?;
    let null = |cell: &str| if cell.is_empty() { "NULL".to_owned() } else { cell.to_owned() };
    let large = if row[4].is_empty() { "NULL".into() } else { (row[4].parse::<f64>().unwrap() >= 100.0).to_string() };
    Some([null(&row[3]), null(&row[4]), large])
}

/// So many keys, present and absent ones mixed.
fn mixed(count: usize) -> Vec<(String, usize)> {
    (0..count).map(|i| if i % 6 == 5 { (format!("无{i}"), 1) } else { (name(i / 4), 1 + i % 4) }).collect()
}

#[test]
fn many_keys_are_one_request_and_every_value_is_the_tables() {
    let count = std::env::var("SEALGATE_KEYS").map_or(60, |count| count.parse().expect("SEALGATE_KEYS is a number"));
    let table = visits(count / 4 + 1);
    let world = world(count / 4 + 1, &(count + 3).to_string());
    // Threads with a small stack: proving must not nest deeper the more keys there are.
    let server = Server::start_in(&world.path("owner"), &[("RUST_MIN_STACK", "600000")]);
    let keys = mixed(count);
    std::fs::write(world.path("keys.csv"), keys_csv(&keys)).unwrap();
    let started = Instant::now();
    let verified = ask(&world, &server.url, "a.json", SQL).ok();
    let took = started.elapsed();

    let records = verified["records"].as_array().unwrap();
    assert_eq!(records.len(), count);
    for (record, (who, nr)) in records.iter().zip(&keys) {
        assert_eq!(record["key"], serde_json::json!([who, nr.to_string()]));
        let result: Vec<String> =
            record["result"].as_array().unwrap().iter().map(|line| text(&line["answer"])).collect();
        match expected(&table, who, *nr) {
            Some(expected) => assert_eq!((record["found"].as_bool(), &result[..]), (Some(true), &expected[..])),
            None => assert_eq!((record["found"].as_bool(), result.len()), (Some(false), 0)),
        }
    }
    let trail = world.trail(&server.url, "auditor");
    assert_eq!(trail.len(), 1, "one request");
    assert_eq!(trail[0]["shape"], "note, amount, amount >= ?");
    assert_eq!(trail[0]["keys"].as_u64(), Some(count as u64), "the trail says of how many keys: {}", trail[0]);
    let audit = world.audit_gateway(&server.url, "auditor").ok();
    assert_eq!((audit["summary"]["granted"].as_u64(), audit["summary"]["answers"].as_u64()), (Some(1), Some(1)));
    assert_eq!(world.used(&server.url, "visits", &world.requester), count as u64);
    let budget = world.budget_gateway(&server.url, "auditor").ok();
    assert_eq!(budget["spent"].as_array().unwrap().len(), count, "absent keys are charged like present ones");
    // The quota counts keys: what is left is too little for four more, and enough for three.
    std::fs::write(world.path("keys.csv"), keys_csv(&mixed(4))).unwrap();
    let error = ask(&world, &server.url, "b.json", SQL).error();
    assert!(error.starts_with("denied: ") && error.contains("quota"), "{error}");
    assert_eq!(world.used(&server.url, "visits", &world.requester), count as u64);
    std::fs::write(world.path("keys.csv"), keys_csv(&mixed(3))).unwrap();
    ask(&world, &server.url, "b.json", SQL).ok();
    assert_eq!(world.used(&server.url, "visits", &world.requester), count as u64 + 3);
    drop(server);

    let started = Instant::now();
    assert_eq!(world.verify("requester", "a.json").ok(), verified);
    println!("{count} keys: asked in {took:?}, verified offline in {:?}", started.elapsed());
    let plain = sealgate_plain(&["verify", "--home", &world.path("requester"), &world.path("a.json")]);
    let absent = keys.iter().filter(|(who, _)| who.starts_with('无')).count();
    let counted = format!("{count} keys: {} found, {absent} without a record", count - absent);
    for part in [counted.as_str(), "  王0, 1  ", "  amount >= 100", "NULL", "(no record)"] {
        assert!(plain.stdout.contains(part), "'{part}' is not in:\n{}", plain.stdout);
    }
}

#[test]
fn tampering_with_one_record_of_many_is_found_and_named() {
    let world = world(3, "100");
    let server = world.serve();
    std::fs::write(world.path("keys.csv"), keys_csv(&mixed(6))).unwrap();
    ask(&world, &server.url, "a.json", SQL).ok();
    drop(server);
    let whole: Value = serde_json::from_slice(&std::fs::read(world.path("a.json")).unwrap()).unwrap();
    let text_of = std::fs::read_to_string(world.path("a.json")).unwrap();
    let refused = |content: &str, words: &[&str]| {
        assert_ne!(content, text_of, "nothing was tampered with: {words:?}");
        std::fs::write(world.path("t.json"), content).unwrap();
        let error = world.verify("requester", "t.json").error();
        for word in words {
            assert!(error.contains(word), "'{word}' is not in: {error}");
        }
    };
    let replaced = |nth: usize, from: &str, to: &str| {
        let (at, _) = text_of.match_indices(from).nth(nth).unwrap_or_else(|| panic!("no {nth}th {from}"));
        format!("{}{to}{}", &text_of[..at], &text_of[at + from.len()..])
    };
    let third = text(&whole["records"][2]["result"][1]["answer"]);
    refused(
        &replaced(0, &format!("\"answer\": \"{third}\""), "\"answer\": \"9.99\""),
        &["王0, 3", "not the one it proves"],
    );
    refused(&replaced(1, "\"found\": true", "\"found\": false"), &["王0, 2", "not the one it proves"]);
    refused(&replaced(0, "\"found\": false", "\"found\": true"), &["无5, 1", "not the one it proves"]);
    // A key, two keys exchanged, and a key too few: another question than was committed to.
    refused(&replaced(0, "\"王0\"", "\"王9\""), &["commitment"]);
    refused(&replaced(0, "\"无5\"", "\"无6\""), &["commitment"]);

    // The evidence of one key: bytes in the middle of each proof.
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let evidence = base64.decode(text(&whole["evidence"])).unwrap();
    let mut named = std::collections::BTreeSet::new();
    for at in (100..evidence.len()).step_by(evidence.len() / 40) {
        let mut changed = evidence.clone();
        changed[at] ^= 1;
        let content = text_of.replace(&text(&whole["evidence"]), &base64.encode(&changed));
        std::fs::write(world.path("t.json"), &content).unwrap();
        let error = world.verify("requester", "t.json").error();
        assert!(error.contains("does not verify"), "{error}");
        if let Some((_, key)) = error.split_once("(the key is ") {
            named.insert(key.to_owned());
        }
    }
    println!("named: {named:?}");
    assert!(named.len() >= 5, "changes in the evidence of five keys or more are named: {named:?}");
    assert!(named.iter().any(|key| key.contains("person = '王0' AND nr = 1")), "{named:?}");
}

#[test]
fn files_of_keys_that_cannot_be_asked_about_are_refused_before_anything_is_recorded() {
    let world = world(3, "100000");
    let server = world.serve();
    ask_one(&world, &server);
    let height = || {
        let (status, body) = http(&server.url, "GET /v1/checkpoint HTTP/1.1", b"");
        assert_eq!(status, 200);
        serde_json::from_slice::<Value>(&body).unwrap()["header"]["height"].as_u64().unwrap()
    };
    let before = height();
    let long: String =
        std::iter::once("person,nr\n".to_owned()).chain((0..1001).map(|i| format!("王,{i}\n"))).collect();
    let many: String =
        std::iter::once("person,nr\n".to_owned()).chain((0..200_000).map(|i| format!("王王王王王,{i}\n"))).collect();
    let cases: Vec<(&str, &str, &[&str])> = vec![
        ("person,nr\n王0,1\n李1,2\n王0,1\n", SQL, &["keys.csv", "line 4", "王0, 1", "after line 2"]),
        ("person,nr\n王0,1\n王0,01\n", SQL, &["keys.csv", "line 3", "again"]),
        ("person,nr\n王0,1\n王0,two\n", SQL, &["keys.csv", "line 3", "'nr'", "two"]),
        ("person,nr\n王0,1\n王0,1.5\n", SQL, &["line 3", "'nr'", "1.5"]),
        ("person,nr\n王0,1\n王0,\n", SQL, &["line 3", "'nr'"]),
        ("person,nr\n王0,1\n王0\n", SQL, &["keys.csv", "line: 3", "1 fields"]),
        (&long, SQL, &["keys.csv", "more than the 1000 keys", "split"]),
        (&many, SQL, &["keys.csv"]),
        ("", SQL, &["keys.csv", "is empty", "first line"]),
        ("person,nr\n", SQL, &["keys.csv", "no keys under its header"]),
        ("person\n王0\n", SQL, &["keys.csv", "first line does not name the key column 'nr'"]),
        ("nr,persons\n1,王0\n", SQL, &["keys.csv", "'person'"]),
        (
            "person,nr\n王0,1\n",
            "SELECT note FROM visits WHERE person = '王0' AND nr = 1",
            &["keys are given beside the question", "?"],
        ),
        ("person,nr\n王0,1\n", "SELECT note FROM visits WHERE person = '王0' AND nr = ?", &["whole key", "?"]),
        ("person,nr\n王0,1\n", "SELECT note FROM visits WHERE person = ?", &["whole key", "nr"]),
        ("person,nr\n王0,1\n", "SELECT note FROM nowhere WHERE person = ? AND nr = ?", &["no asset 'nowhere'"]),
        ("person,nr\n王0,1\n", "SELECT nothing FROM visits WHERE person = ? AND nr = ?", &["no column 'nothing'"]),
    ];
    for (csv, sql, words) in cases {
        std::fs::write(world.path("keys.csv"), csv).unwrap();
        let error = ask(&world, &server.url, "refused.json", sql).error();
        println!("{error}");
        for word in words {
            assert!(error.contains(word), "'{word}' is not in: {error}");
        }
        assert!(!error.contains('\n') && error.len() < 400, "{error}");
    }
    std::fs::write(world.path("keys.csv"), b"person,nr\n\xff\xfe,1\n").unwrap();
    let error = ask(&world, &server.url, "refused.json", SQL).error();
    assert!(error.contains("keys.csv") && error.to_lowercase().contains("utf-8"), "{error}");
    std::fs::remove_file(world.path("keys.csv")).unwrap();
    let error = ask(&world, &server.url, "refused.json", SQL).error();
    assert!(error.contains("keys.csv"), "{error}");
    let error = world.ask(&server.url, "requester", "count", "refused.json", SQL).error();
    assert!(error.contains("--keys"), "{error}");
    assert_eq!(height(), before, "something was recorded");
    assert!(!std::path::Path::new(&world.path("refused.json")).exists(), "something was written");
}

/// Enrols the requester.
fn ask_one(world: &World, server: &Server) {
    std::fs::write(world.path("keys.csv"), "person,nr\n王0,1\n").unwrap();
    let verified = ask(world, &server.url, "one.json", SQL).ok();
    assert_eq!(verified["records"].as_array().unwrap().len(), 1);
    // One key of a file and the same key spelled out are the same question to everybody else.
    assert!(text(&verified["sql"]).ends_with("WHERE person = '王0' AND nr = 1"), "{}", verified["sql"]);
    world.verify("requester", "one.json").ok();
}

fn spawn_ask(world: &World, url: &str, out: &str) -> Child {
    let (home, out, keys) = (world.path("requester"), world.path(out), world.path("keys.csv"));
    Command::new(binary())
        .args(["--json", "ask", "--gateway", url, "--home", &home, "--purpose", "count", "--out", &out])
        .args(["--keys", &keys, SQL])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The request that stands last on the trail, as soon as one does.
fn request_on_trail(url: &str, after: usize) -> String {
    for _ in 0..600 {
        let (_, body) = http(url, "GET /v1/trail HTTP/1.1", b"");
        let lines: Value = serde_json::from_slice(&body).unwrap();
        if let Some(line) = lines["requests"].as_array().unwrap().get(after) {
            return text(&line["hash"]);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no request arrived");
}

fn progress(url: &str, session: &str, request: &str) -> Option<(u64, u64)> {
    let (status, body) = http(url, &format!("GET /v1/requests/{request}/progress HTTP/1.1{session}"), b"");
    let body: Value = serde_json::from_slice(&body).unwrap();
    (status == 200).then(|| (body["done"].as_u64().unwrap(), body["total"].as_u64().unwrap()))
}

/// Waits until an answer is in the making, so many keys of it done; how far it then is.
fn in_the_making(world: &World, url: &str, request: &str, done: u64) -> (u64, u64) {
    let session = world.signed_in("requester", url);
    for _ in 0..1500 {
        if let Some(at) = progress(url, &session, request).filter(|at| at.0 >= done) {
            return at;
        }
        std::thread::sleep(Duration::from_millis(4));
    }
    panic!("no progress was shown");
}

#[test]
fn killed_in_between_and_asked_again_the_same_request_is_taken_up() {
    const COUNT: u64 = 48;
    let world = world(12, &COUNT.to_string());
    std::fs::write(world.path("keys.csv"), keys_csv(&mixed(COUNT as usize))).unwrap();
    // The gateway dies while it proves.
    let server = world.serve();
    let asking = spawn_ask(&world, &server.url, "a.json");
    let request = request_on_trail(&server.url, 0);
    let at = in_the_making(&world, &server.url, &request, 2);
    assert_eq!(at.1, COUNT);
    server.kill();
    let output = asking.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!std::path::Path::new(&world.path("a.json")).exists());
    // Then the requester dies while it waits; the answer is finished without it.
    let server = world.serve();
    let mut asking = spawn_ask(&world, &server.url, "a.json");
    let session = world.signed_in("requester", &server.url);
    let (mut done, total) = in_the_making(&world, &server.url, &request, 1);
    assert_eq!(total, COUNT);
    asking.kill().unwrap();
    asking.wait().unwrap();
    while let Some((now, total)) = progress(&server.url, &session, &request) {
        assert!(now >= done && now <= total && total == COUNT, "progress goes forward: {done}, {now} of {total}");
        done = now;
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(progress(&server.url, &session, &"0".repeat(64)), None, "what is not made has no progress");
    // Other keys in the meantime would be another request, and there is no quota for one.
    std::fs::write(world.path("keys.csv"), keys_csv(&mixed(2))).unwrap();
    assert!(ask(&world, &server.url, "b.json", SQL).error().contains("quota"));
    std::fs::write(world.path("keys.csv"), keys_csv(&mixed(COUNT as usize))).unwrap();
    let verified = ask(&world, &server.url, "a.json", SQL).ok();
    assert_eq!(text(&verified["request"]), request, "the same request was taken up");
    assert_eq!(world.used(&server.url, "visits", &world.requester), COUNT);
    let trail = world.trail(&server.url, "auditor");
    assert_eq!(trail.iter().filter(|line| line["status"]["answered"].is_object()).count(), 1);
    world.verify("requester", "a.json").ok();
    world.budget_gateway(&server.url, "auditor").ok();
}

#[test]
fn a_terminal_is_shown_how_far_the_answer_is() {
    if !Command::new("script").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no 'script' that gives a command a terminal");
        return;
    }
    let world = world(20, "1000");
    let server = world.serve();
    std::fs::write(world.path("keys.csv"), keys_csv(&mixed(60))).unwrap();
    let (home, out, keys) = (world.path("requester"), world.path("a.json"), world.path("keys.csv"));
    let command = format!(
        "{} ask --gateway {} --home {home} --purpose count --out {out} --keys {keys} '{SQL}'",
        binary().display(),
        server.url
    );
    let output = Command::new("script").args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    for part in ["keys answered", " %", "60 keys: 50 found, 10 without a record", "written to"] {
        assert!(shown.contains(part), "'{part}' is not in:\n{shown}");
    }
    // And nothing of it where nobody looks on.
    let plain = sealgate_plain(&[
        "ask",
        "--gateway",
        &server.url,
        "--home",
        &home,
        "--purpose",
        "count",
        "--out",
        &out,
        "--keys",
        &keys,
        SQL,
    ]);
    assert_eq!((plain.code, plain.stderr.as_str()), (0, ""));
    sealgate(&["audit", "--data-dir", &world.path("owner")]).ok();
}

#[test]
fn what_happens_while_an_answer_is_being_proven_decides_about_it() {
    const COUNT: usize = 80;
    let (world, table) = (world(COUNT / 4 + 1, "1000"), visits(COUNT / 4 + 1));
    let server = world.serve();
    std::fs::write(world.path("keys.csv"), keys_csv(&mixed(COUNT))).unwrap();
    // A doctored version is published meanwhile: the answer is the bound version's all the same.
    let mut doctored = table.clone();
    doctored.rows.iter_mut().for_each(|row| row[3] = "doctored".into());
    let manifest = doctored.write(world.dir.path());
    let asking = spawn_ask(&world, &server.url, "a.json");
    in_the_making(&world, &server.url, &request_on_trail(&server.url, 0), 2);
    let published = world.publish(&manifest).ok();
    assert_eq!(published["version"], 2);
    assert!(asking.wait_with_output().unwrap().status.success());
    let file = std::fs::read_to_string(world.path("a.json")).unwrap();
    assert!(file.contains("来访") && !file.contains("doctored"));
    assert_eq!(world.verify("requester", "a.json").ok()["version"], 1);

    // The grant is revoked meanwhile: nothing is released, and nothing is on the ledger.
    let asking = spawn_ask(&world, &server.url, "b.json");
    let request = request_on_trail(&server.url, 1);
    in_the_making(&world, &server.url, &request, 2);
    world.revoke("visits", &world.requester).ok();
    let session = world.signed_in("requester", &server.url);
    assert!(progress(&server.url, &session, &request).is_some(), "it was still being proven");
    let output = asking.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("not released"), "{said}");
    assert!(!std::path::Path::new(&world.path("b.json")).exists());
    let (status, _) = http(&server.url, &format!("GET /v1/answers/{request} HTTP/1.1"), b"");
    assert_eq!(status, 404);
    let (_, view) = http(&server.url, &format!("GET /v1/requests/{request} HTTP/1.1"), b"");
    let view: Value = serde_json::from_slice(&view).unwrap();
    assert!(view["status"]["granted"].is_object(), "{view}");
}
