//! Syncs: only what changed is done anew, whatever happened in between; and an asset's key is changed.
//! `SEALGATE_KILLS` sets the number of kills.

#![allow(missing_docs, unreachable_pub, dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sealgate_gateway::owner::Owner;
use sealgate_ledger::Ledger;
use sealgate_tests::chance::{Chance, count};
use sealgate_tests::postgres::{PASSWORD, Postgres};
use sealgate_tests::{Server, Table, World, binary, files_under, http, manifest, sealgate, shared_data, text};
use serde_json::{Value, json};

mod people;

/// The manifest of the licences, with its rows from a table of this server.
fn in_postgres(world: &World, server: &Postgres) -> PathBuf {
    let password = world.path("password");
    std::fs::write(&password, PASSWORD).unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let original = std::fs::read_to_string(manifest("licences.toml")).unwrap();
    let (head, rest) = original.split_once("[source]").unwrap();
    let columns = &rest[rest.find("[key]").unwrap()..];
    let source = format!(
        "[source]\nkind = \"postgres\"\nhost = \"localhost\"\nport = {}\ndatabase = \"register\"\nuser = \"reader\"\n\
         password_file = \"password\"\nca = \"{}\"\ntable = \"licences\"\n",
        server.port,
        server.ca().display()
    );
    let path = world.path("licences.toml");
    std::fs::write(&path, format!("{head}{source}\n{columns}")).unwrap();
    path.into()
}

/// All columns of the licences as text, as the register's file has them.
fn load(server: &Postgres, csv: &Path) -> String {
    let header = std::fs::read_to_string(csv).unwrap();
    let header = header.trim_start_matches('\u{feff}').lines().next().unwrap().to_owned();
    let columns: Vec<String> = header.split(',').map(|name| format!("\"{name}\"")).collect();
    let table: Vec<String> = columns.iter().map(|name| format!("{name} text")).collect();
    let copy = server.socket().join("licences.csv");
    std::fs::copy(csv, &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644)).unwrap();
    server.sql(&format!(
        "CREATE TABLE licences ({}); COPY licences FROM '{}' WITH (FORMAT csv, HEADER true, NULL ''); GRANT SELECT ON licences TO reader",
        table.join(", "),
        copy.display()
    ));
    server.sql("SELECT string_agg(\"LicenceRSN\", ',') FROM (SELECT \"LicenceRSN\" FROM licences ORDER BY \"LicenceRSN\" LIMIT 11) t")
}

#[test]
fn ten_changed_rows_of_a_database_are_little_more_than_ten_records_work() {
    let Some(csv) = shared_data("licences/vancouver_restaurant_licences.csv") else { return };
    let Some(server) = Postgres::start() else { return };
    let world = World::new();
    let keys = load(&server, &csv);
    let keys: Vec<&str> = keys.trim().split(',').collect();
    let share = in_postgres(&world, &server);
    let first = world.publish(&share).ok();
    assert_eq!(
        (&first["version"], &first["records"], &first["changes"]["added"]),
        (&json!(1), &json!(3260), &json!(3260))
    );
    world.grant("licences", &world.requester, &["--disclose", "Status", "--existence", "--purpose", ""]).ok();
    let gateway = world.serve();
    let ask = |out: &str, key: &str| {
        let sql = format!("SELECT Status FROM licences WHERE LicenceRSN = {key}");
        let answer = world.ask(&gateway.url, "requester", out, out, &sql).ok();
        (answer["version"].as_u64().unwrap(), answer["records"][0].clone())
    };
    let (version, before) = ask("before.json", keys[0]);
    assert_eq!(version, 1);
    server.sql(&format!(
        "UPDATE licences SET \"Status\" = 'Changed' WHERE \"LicenceRSN\" IN ('{}')",
        keys[..5].join("','")
    ));
    server.sql(&format!("DELETE FROM licences WHERE \"LicenceRSN\" IN ('{}')", keys[5..7].join("','")));
    server.sql(&format!(
        "INSERT INTO licences SELECT * FROM licences WHERE \"LicenceRSN\" IN ('{}'); ",
        keys[7..10].join("','")
    ));
    // The same keys twice: nothing is published, and both rows are named.
    let refused = world.publish(&share).error();
    assert!(refused.contains("have the same key LicenceRSN = ") && refused.contains("rows "), "{refused}");
    server.sql(&format!(
        "WITH twice AS (SELECT min(ctid::text)::tid AS at, \"LicenceRSN\" AS key, row_number() OVER () AS n FROM licences \
         WHERE \"LicenceRSN\" IN ('{}') GROUP BY \"LicenceRSN\") \
         UPDATE licences SET \"LicenceRSN\" = (900000000 + n)::text FROM twice WHERE licences.ctid = twice.at",
        keys[7..10].join("','")
    ));
    let second = world.publish(&share).ok();
    let changes = json!({"unchanged": 3253, "changed": 5, "added": 3, "removed": 2, "set_aside": 0});
    assert_eq!((&second["version"], &second["records"], &second["changes"]), (&json!(2), &json!(3261), &changes));
    let diff = sealgate(&["asset", "diff", "--data-dir", &world.path("owner"), "--asset", "licences"]).ok();
    let named = |kind: &str| -> Vec<String> { diff[kind].as_array().unwrap().iter().map(text).collect() };
    let expected = |keys: &[&str]| {
        let mut keys: Vec<u64> = keys.iter().map(|key| key.parse().unwrap()).collect();
        keys.sort();
        keys.iter().map(|key| format!("LicenceRSN = {key}")).collect::<Vec<_>>()
    };
    assert_eq!(named("changed_keys"), expected(&keys[..5]));
    assert_eq!(named("removed_keys"), expected(&keys[5..7]));
    assert_eq!(named("added_keys").len(), 3);
    // The old answer is the old version's, and still verifies; a new one is the new version's.
    let verified = world.verify("requester", "before.json").ok();
    assert_eq!(verified["version"], 1);
    let (version, after) = ask("after.json", keys[0]);
    assert_eq!((version, text(&after["result"][0]["answer"])), (2, "Changed".into()));
    assert_ne!(before, after);
    let (_, gone) = ask("gone.json", keys[5]);
    assert_eq!(gone["found"], false, "{gone}");
    world.verify("requester", "after.json").ok();
    drop(gateway);
    world.audit_owner().ok();
    sealgate(&["audit", "--data-dir", &world.path("owner"), "--recompute"]).ok();
}

/// Of a table in several segments, what changed is committed anew, what lies in one segment with it is sealed
/// anew, and all else stays where it is.
#[test]
fn a_changed_row_is_one_segments_work() {
    const ROWS: usize = 45_000;
    let row = |id: usize| vec![id.to_string(), format!("{id:>8} {}", "words that take up room ".repeat(8))];
    let rows: Vec<_> = (0..ROWS).map(row).collect();
    let mut table = Table::new("notes", &["id"], &[("id", "int"), ("note", "text")], rows);
    let world = World::new();
    let share = table.write(world.dir.path());
    let number = |done: &Value, name: &str| done[name].as_u64().unwrap_or_else(|| panic!("no {name}: {done}"));
    let first = world.publish(&share).ok();
    assert_eq!((number(&first, "segments_written"), number(&first, "moved")), (3, 0));
    // Nothing changed: nothing is sealed but leaves and index.
    let same = world.publish(&share).ok();
    assert_eq!((number(&same, "segments_written"), number(&same, "moved")), (0, 0));
    table.rows[1_000][1] = "changed".into();
    table.write(world.dir.path());
    let second = world.publish(&share).ok();
    let changes = json!({"unchanged": ROWS - 1, "changed": 1, "added": 0, "removed": 0, "set_aside": 0});
    assert_eq!((&second["changes"], number(&second, "segments_written")), (&changes, 1));
    assert!((1..16_384).contains(&number(&second, "moved")), "{second}");
    let bytes = [&first, &same, &second].map(|done| number(done, "bytes_written"));
    assert!(bytes[1] < bytes[2] && bytes[2] * 10 < bytes[0] * 7, "{bytes:?}");
    world.audit_owner().ok();
}

#[test]
fn a_scheduled_sync_publishes_whether_or_not_something_changed() {
    let world = people::world(30);
    let config = world.path("owner/sealgate.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    let none = sealgate(&["sync", "--data-dir", &world.path("owner")]).error();
    assert!(none.contains("names no table to sync: add a [[sync]] section"), "{none}");
    text.push_str(&format!("\n[[sync]]\nmanifest = \"{}\"\nevery = \"1s\"\n", world.path("people.toml")));
    std::fs::write(&config, &text).unwrap();
    let now = sealgate(&["sync", "--data-dir", &world.path("owner")]).ok();
    assert_eq!((&now["synced"][0]["version"], &now["synced"][0]["changes"]["unchanged"]), (&json!(2), &json!(30)));
    let server = world.serve();
    let current = || {
        let (status, body) = http(&server.url, "GET /v1/catalogue HTTP/1.1", b"");
        assert_eq!(status, 200);
        serde_json::from_slice::<Value>(&body).unwrap()["assets"][0].clone()
    };
    let version = |asset: &Value| asset["asset"]["current"].as_u64().unwrap();
    let begun = Instant::now();
    while version(&current()) < 4 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", current());
        std::thread::sleep(Duration::from_millis(200));
    }
    let answer = world.ask(&server.url, "requester", "p", "a.json", "SELECT name FROM people WHERE id = 7").ok();
    assert!(answer["version"].as_u64().unwrap() >= 4);
    // A source that cannot be read does not end the schedule.
    std::fs::rename(world.path("people.csv"), world.path("away.csv")).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let stopped = version(&current());
    std::fs::rename(world.path("away.csv"), world.path("people.csv")).unwrap();
    while version(&current()) <= stopped {
        assert!(begun.elapsed() < Duration::from_secs(120), "{}", current());
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(server);
    world.audit_owner().ok();
}

/// Two tables that are due at the same moments, in a folder that is busy for a while: neither fails, each waits
/// its turn, and versions are registered when a step of the period has passed.
#[test]
fn schedules_take_turns_and_keep_to_their_times() {
    const EVERY_MS: u64 = 5_000;
    let world = people::world(30);
    let shops = Table::shops(40);
    world.publish(&shops.write(world.dir.path())).ok();
    let owner = world.path("owner");
    let busy = std::fs::File::create(world.path("owner/publish.lock")).unwrap();
    busy.lock().unwrap();
    let config = world.path("owner/sealgate.toml");
    let mut config_text = std::fs::read_to_string(&config).unwrap();
    let manifests = ["people.toml".to_owned(), shops.write(world.dir.path()).display().to_string()];
    for manifest in &manifests {
        let manifest = world.dir.path().join(manifest);
        let section = format!("\n[[sync]]\nmanifest = \"{}\"\nevery = \"5s\"\n", manifest.display());
        config_text.push_str(&section);
    }
    std::fs::write(&config, config_text).unwrap();
    let log = world.dir.path().join("log");
    let server = Server::logging(&owner, "info", &log);
    // Longer than a period, so both are due.
    std::thread::sleep(Duration::from_millis(EVERY_MS + 1_500));
    let current = || -> Vec<u64> {
        let (status, body) = http(&server.url, "GET /v1/catalogue HTTP/1.1", b"");
        assert_eq!(status, 200);
        let listed = serde_json::from_slice::<Value>(&body).unwrap();
        let assets = listed["assets"].as_array().unwrap().iter();
        assets.map(|asset| asset["asset"]["current"].as_u64().unwrap()).collect()
    };
    assert_eq!(current(), [1, 1]);
    drop(busy);
    let begun = Instant::now();
    while current().iter().any(|version| *version < 3) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", current());
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(server);
    let logged = std::fs::read_to_string(log).unwrap();
    assert!(logged.contains("synced") && !logged.contains("the scheduled sync failed"), "{logged}");
    let opened = Owner::open(Path::new(&owner)).unwrap();
    let ledger = Ledger::open(&opened.ledger_folder(), opened.account().clone()).unwrap();
    for asset in ledger.assets().unwrap() {
        for version in 2..=asset.current {
            let height = ledger.version(&asset.id, version).unwrap().unwrap().height;
            let time_ms = ledger.block(height).unwrap().header.time_ms;
            // However quickly it was sealed, never in the first step. A block's time may lie a little before the clock's.
            let into_ms = time_ms % EVERY_MS;
            assert!(into_ms + 50 >= EVERY_MS / 10, "version {version}: {into_ms} ms");
        }
    }
}

fn rotate(world: &World) -> Vec<String> {
    ["keys", "rotate", "--data-dir", &world.path("owner"), "--asset", "people"].map(str::to_owned).to_vec()
}

#[test]
fn a_new_key_seals_the_same_records_and_the_old_one_is_gone() {
    let world = people::world(300);
    people::write(&world, 300, "v2");
    world.publish(&PathBuf::from(world.path("people.toml"))).ok();
    let server = world.serve();
    let sql = "SELECT name, fee >= 500 FROM people WHERE id = 24";
    world.ask(&server.url, "requester", "p", "old.json", sql).ok();
    let before = files_under(world.path("owner/store").as_ref());
    let old_key = files_under(world.path("owner/keys").as_ref());
    let old_key: Vec<Vec<u8>> = old_key.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let rotated = sealgate(&rotate(&world)).ok();
    assert_eq!((&rotated["version"], &rotated["records"]), (&json!(3), &json!(300)));
    let kept: Vec<PathBuf> = before.into_iter().filter(|path| path.exists() && !path.ends_with("retired")).collect();
    assert_eq!(kept, Vec::<PathBuf>::new());
    let listed = sealgate(&["keys", "list", "--data-dir", &world.path("owner")]).ok();
    assert_eq!(listed["keys"][0]["former"], 0, "{listed}");
    // The same question costs nothing and is answered from what is sealed now.
    let answer = world.ask(&server.url, "requester", "p", "new.json", sql).ok();
    assert_eq!(
        (&answer["version"], text(&answer["records"][0]["result"][0]["answer"])),
        (&json!(3), "Person 24 v2".into())
    );
    world.verify("requester", "old.json").ok();
    world.verify("requester", "new.json").ok();
    world.audit_owner().ok();
    // Another sync, and another rotation while the gateway serves.
    people::write(&world, 301, "v2");
    let synced = world.publish(&PathBuf::from(world.path("people.toml"))).ok();
    assert_eq!((&synced["changes"]["unchanged"], &synced["changes"]["added"]), (&json!(300), &json!(1)));
    sealgate(&rotate(&world)).ok();
    sealgate(&["audit", "--data-dir", &world.path("owner"), "--recompute"]).ok();
    // The key file from before opens nothing any more.
    drop(server);
    let keys = files_under(world.path("owner/keys").as_ref());
    for (path, old) in keys.iter().zip(&old_key) {
        std::fs::write(path, old).unwrap();
    }
    let error = world.audit_owner().error();
    assert!(error.contains("does not open with this asset's keys") || error.contains("is missing"), "{error}");
}

#[test]
fn killed_at_any_moment_it_is_the_old_version_or_the_new_one() {
    let world = people::world(2_000);
    let mut chance = Chance::of_run("sync and rotate");
    let manifest = world.path("people.toml");
    let mut current = 1;
    let publish = ["publish", "--data-dir", &world.path("owner"), "--manifest", &manifest].map(str::to_owned).to_vec();
    let time = |args: &[String]| {
        let started = Instant::now();
        sealgate(args).ok();
        started.elapsed()
    };
    let longest = [time(&publish), time(&rotate(&world))];
    current += 2;
    let (mut finished, rounds) = (0, count("SEALGATE_KILLS", 4));
    for round in 0..rounds {
        // Ten records more each time, and a new name for all of them now and then.
        let rows = 2_000 + 10 * (round as u64 + 1);
        let edition = format!("v{}", round / 5);
        people::write(&world, rows, &edition);
        let server = (round % 2 == 1).then(|| world.serve());
        for (args, longest) in [(publish.clone(), longest[0]), (rotate(&world), longest[1])] {
            let mut child =
                Command::new(binary()).args(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(longest.mul_f64(chance.below(1_100) as f64 / 1_000.0));
            let _ = child.kill();
            child.wait().unwrap();
            // Whole before anything is done again: of each version that is kept every object is there.
            let audit = world.audit_owner().ok();
            assert!(audit["versions"].as_u64().unwrap() >= 1, "{audit}");
        }
        drop(server);
        let done = world.publish(Path::new(&manifest)).ok();
        let version = done["version"].as_u64().unwrap();
        assert!(version > current && version <= current + 3, "{current} -> {version}");
        finished += version - current - 1;
        current = version;
        assert_eq!(done["records"].as_u64(), Some(rows));
        let server = world.serve();
        let sql = "SELECT name FROM people WHERE id = 24";
        let answer = world.ask(&server.url, "requester", &format!("r{round}"), "a.json", sql).ok();
        assert_eq!(text(&answer["records"][0]["result"][0]["answer"]), format!("Person 24 {edition}"));
        world.verify("requester", "a.json").ok();
        drop(server);
        sealgate(&rotate(&world)).ok();
        current += 1;
        let listed = sealgate(&["keys", "list", "--data-dir", &world.path("owner")]).ok();
        assert_eq!(listed["keys"][0]["former"], 0, "{listed}");
        world.audit_owner().ok();
    }
    sealgate(&["audit", "--data-dir", &world.path("owner"), "--recompute"]).ok();
    println!("{} kills, {finished} came after the new version had been published", 2 * rounds);
}
