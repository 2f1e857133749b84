//! What an owner stores: files published and fetched, every stored object read back, records sampled by an
//! auditor; by the real command, over a real gateway.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sealgate_ledger::tx::{CIPHER_SUITES, HASH_ALGORITHMS};
use sealgate_ods::{CipherSuite, HashAlgorithm};
use sealgate_tests::chance::{Chance, count};
use sealgate_tests::{Run, Table, World, binary, files_under, sealgate, text};
use serde_json::{Value, json};

const PURPOSE: &str = "building permit";
/// A part of a file (docs/spec/files.md#parts).
const PART: usize = sealgate_ods::file::PART_BYTES as usize;

/// Bytes that do not repeat.
fn content(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut content = Vec::with_capacity(bytes + 8);
    while content.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        content.extend_from_slice(&(state ^ (state >> 31)).to_le_bytes());
    }
    content.truncate(bytes);
    content
}

fn publish(world: &World, name: &str, file: &str, more: &[&str]) -> Run {
    let (owner, file) = (world.path("owner"), world.path(file));
    let args = ["file", "publish", "--data-dir", &owner, "--name", name, "--title", "Plans of the town", &file];
    sealgate(&[&args[..], more].concat())
}

fn get_args(world: &World, url: &str, out: &str, more: &[&str]) -> Vec<String> {
    let (home, out) = (world.path("requester"), world.path(out));
    let args = ["file", "get", "--gateway", url, "--home", &home, "--asset", "plans", "--purpose", PURPOSE];
    args.iter().chain(&["--out", &out]).chain(more).map(|arg| (*arg).to_owned()).collect()
}

fn get(world: &World, url: &str, out: &str, more: &[&str]) -> Run {
    sealgate(&get_args(world, url, out, more))
}

fn stored(world: &World, ends: &str) -> PathBuf {
    let files = files_under(world.path("owner/store").as_ref());
    files.into_iter().find(|file| file.ends_with(ends)).unwrap_or_else(|| panic!("no object {ends}"))
}

fn flip(path: &Path, from_end: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() - 1 - from_end;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// A world with a published file of two parts, granted to the requester.
fn world(bytes: &[u8]) -> World {
    let world = World::new();
    std::fs::write(world.path("plans.pdf"), bytes).unwrap();
    publish(&world, "plans", "plans.pdf", &[]).ok();
    world.grant("plans", &world.requester, &["--whole", "content", "--purpose", PURPOSE]).ok();
    world
}

#[test]
fn a_file_is_fetched_whole_by_range_and_after_being_killed() {
    let first = content(PART + 70_000, 1);
    let world = world(&first);
    let server = world.serve();
    let got = get(&world, &server.url, "out.pdf", &[]).ok();
    assert_eq!((&got["bytes"], &got["parts"], &got["version"]), (&json!(first.len()), &json!([2, 2]), &json!(1)));
    assert!(std::fs::read(world.path("out.pdf")).unwrap() == first);
    let range = format!("{}-{}", PART - 10, PART + 9);
    let got = get(&world, &server.url, "middle", &["--range", &range]).ok();
    assert_eq!((&got["bytes"], &got["parts"]), (&json!(20), &json!([2, 2])));
    assert!(std::fs::read(world.path("middle")).unwrap() == first[PART - 10..PART + 10]);
    let got = get(&world, &server.url, "end", &["--range", &format!("{}-99999999999", first.len() - 5)]).ok();
    assert_eq!((&got["bytes"], &got["parts"]), (&json!(5), &json!([1, 2])));
    assert!(std::fs::read(world.path("end")).unwrap() == first[first.len() - 5..]);
    for range in [format!("{}-{}", first.len(), first.len()), format!("{}-{}", 9 * PART, 9 * PART)] {
        let error = get(&world, &server.url, "behind", &["--range", &range]).error();
        assert!(error.contains("behind the end of the file"), "{error}");
        assert!(!Path::new(&world.path("behind")).exists());
    }
    let mut left = files_under(world.dir.path()).into_iter().filter(|path| path.to_string_lossy().contains(".part/"));
    assert!(left.all(|path| path.to_string_lossy().contains("behind.part")));

    // Killed at any moment: the whole file or none.
    let begun = Instant::now();
    get(&world, &server.url, "timed.pdf", &[]).ok();
    let longest = begun.elapsed();
    let mut chance = Chance::of_run("get a file");
    for _ in 0..count("SEALGATE_KILLS", 8) {
        let args = get_args(&world, &server.url, "any", &[]);
        let mut child = Command::new(binary()).arg("--json").args(args).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(longest.mul_f64(chance.below(1_100) as f64 / 1_000.0));
        child.kill().unwrap();
        child.wait().unwrap();
        if Path::new(&world.path("any")).exists() {
            assert!(std::fs::read(world.path("any")).unwrap() == first);
            std::fs::remove_file(world.path("any")).unwrap();
        }
        world.audit_gateway(&server.url, "auditor").ok();
    }
    get(&world, &server.url, "any", &[]).ok();
    assert!(std::fs::read(world.path("any")).unwrap() == first);

    // A new version, sealed and hashed otherwise.
    let second = content(5_000, 2);
    std::fs::write(world.path("plans.pdf"), &second).unwrap();
    let published = publish(&world, "plans", "plans.pdf", &["--suite", "SM4-GCM", "--hash", "SM3"]).ok();
    assert_eq!((&published["version"], &published["bytes"]), (&json!(2), &json!(5_000)));
    let got = get(&world, &server.url, "out.pdf", &[]).ok();
    assert_eq!(got["version"], 2);
    assert!(std::fs::read(world.path("out.pdf")).unwrap() == second);
    let audit = sealgate(&["audit", "--gateway", &server.url, "--home", &world.path("auditor")]).ok();
    assert!(audit["summary"]["blocks"].as_u64().unwrap() > 0);
    let owner = world.path("owner");
    let audit = sealgate(&["audit", "--data-dir", &owner]).ok();
    assert_eq!((&audit["versions"], &audit["objects"]), (&json!(2), &json!(5)));

    let (asset, to) = ("plans", world.requester.clone());
    sealgate(&["revoke", "--data-dir", &owner, "--asset", asset, "--to", &to]).ok();
    let error = get(&world, &server.url, "late.pdf", &[]).error();
    assert!(!Path::new(&world.path("late.pdf")).exists(), "{error}");
}

fn rotate_args(world: &World) -> [String; 6] {
    ["keys", "rotate", "--data-dir", &world.path("owner"), "--asset", "plans"].map(str::to_owned)
}

/// Former keys that the owner's folder holds.
fn former_keys(world: &World) -> u64 {
    let listed = sealgate(&["keys", "list", "--data-dir", &world.path("owner")]).ok();
    listed["keys"][0]["former"].as_u64().unwrap()
}

#[test]
fn the_key_of_a_file_is_changed_while_the_gateway_serves() {
    let first = content(PART + 70_000, 11);
    let world = world(&first);
    let server = world.serve();
    get(&world, &server.url, "before.pdf", &[]).ok();
    let stored_before = files_under(world.path("owner/store").as_ref());
    let old_key: Vec<_> =
        files_under(world.path("owner/keys").as_ref()).iter().map(|f| std::fs::read(f).unwrap()).collect();
    let rotated = sealgate(&rotate_args(&world)).ok();
    assert_eq!((&rotated["version"], &rotated["bytes"]), (&json!(2), &json!(first.len())));
    assert!(rotated.get("records").is_none(), "{rotated}");
    assert_eq!(former_keys(&world), 0);
    // What the old key opened is gone, but for the mark of the version that was let go of.
    let left = stored_before.iter().filter(|file| file.exists()).count();
    assert_eq!(left, 0);
    let got = get(&world, &server.url, "after.pdf", &[]).ok();
    assert_eq!(got["version"], 2);
    assert!(std::fs::read(world.path("after.pdf")).unwrap() == first);
    let owner = world.path("owner");
    let audit = sealgate(&["audit", "--data-dir", &owner]).ok();
    assert_eq!((&audit["versions"], &audit["objects"]), (&json!(1), &json!(3)), "{audit}");
    sealgate(&["audit", "--rehash", "--data-dir", &owner]).ok();
    drop(server);
    // A damaged file is not sealed again as if it were whole, and the version stays as it is.
    let part = stored(&world, "parts/p1");
    flip(&part, 20);
    let error = sealgate(&rotate_args(&world)).error();
    assert!(error.contains("parts/p1") && error.contains("damaged"), "{error}");
    flip(&part, 20);
    let again = sealgate(&rotate_args(&world)).ok();
    assert_eq!((&again["version"], former_keys(&world)), (&json!(3), 0));
    // The key from before opens nothing any more.
    for (path, old) in files_under(world.path("owner/keys").as_ref()).iter().zip(&old_key) {
        std::fs::write(path, old).unwrap();
    }
    let error = sealgate(&["audit", "--data-dir", &owner]).error();
    assert!(error.contains("does not open with this asset's keys") || error.contains("is missing"), "{error}");
}

#[test]
fn a_change_of_a_files_key_that_is_killed_leaves_the_old_version_or_the_new_one() {
    let whole = content(2 * PART + 70_000, 12);
    let world = world(&whole);
    let begun = Instant::now();
    sealgate(&rotate_args(&world)).ok();
    let longest = begun.elapsed();
    let (mut chance, mut current, mut finished) = (Chance::of_run("rotate a file"), 2, 0);
    for round in 0..count("SEALGATE_KILLS", 6) {
        let server = (round % 2 == 1).then(|| world.serve());
        let mut child = Command::new(binary())
            .args(rotate_args(&world))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(longest.mul_f64(chance.below(1_100) as f64 / 1_000.0));
        let _ = child.kill();
        child.wait().unwrap();
        sealgate(&["audit", "--data-dir", &world.path("owner")]).ok();
        let server = server.unwrap_or_else(|| world.serve());
        let got = get(&world, &server.url, "out.pdf", &[]).ok();
        let version = got["version"].as_u64().unwrap();
        assert!(version == current || version == current + 1, "{current} -> {version}");
        finished += version - current;
        assert!(std::fs::read(world.path("out.pdf")).unwrap() == whole);
        drop(server);
        // Given again it comes to its end, and nothing of the killed one is left.
        let rotated = sealgate(&rotate_args(&world)).ok();
        current = rotated["version"].as_u64().unwrap();
        assert_eq!((current, former_keys(&world)), (version + 1, 0));
        let parts = files_under(world.path("owner/store").as_ref());
        let parts = parts.iter().filter(|file| file.to_string_lossy().contains("/parts/")).count();
        assert_eq!(parts, 3, "only the current version's");
    }
    println!("{finished} kills came after the new version had been published");
}

#[test]
fn the_ledger_knows_what_the_store_seals_and_hashes_with() {
    assert_eq!(CipherSuite::ALL.map(CipherSuite::name), CIPHER_SUITES);
    assert_eq!(HashAlgorithm::ALL.map(HashAlgorithm::name), HASH_ALGORITHMS);
}

#[test]
fn files_and_tables_are_not_taken_for_each_other() {
    let world = world(b"plan");
    world.publish(&Table::shops(5).write(world.dir.path())).ok();
    let error = publish(&world, "shop", "plans.pdf", &[]).error();
    assert!(error.contains("'shop' is published as a table"), "{error}");
    std::fs::create_dir(world.path("folder")).unwrap();
    let error = publish(&world, "other", "folder", &[]).error();
    assert!(error.contains("it is no file"), "{error}");
    let error = publish(&world, "other", "nothing.pdf", &[]).error();
    assert!(error.contains("nothing.pdf"), "{error}");
    let run = publish(&world, "other", "plans.pdf", &["--hash", "MD5"]);
    assert!(run.code == 2 && run.stderr.contains("a hash algorithm is"), "{run:?}");
    let server = world.serve();
    let error =
        world.ask(&server.url, "requester", PURPOSE, "a.json", "SELECT content FROM plans WHERE content = 'x'").error();
    assert!(!error.is_empty());
    let (home, out) = (world.path("requester"), world.path("out.csv"));
    let fetch = ["fetch", "--gateway", &server.url, "--home", &home, "--asset", "plans", "--columns", "content"];
    let error = sealgate(&[&fetch[..], &["--purpose", PURPOSE, "--out", &out]].concat()).error();
    assert!(error.contains("is a file, not a table"), "{error}");
    let error = sealgate(&[
        "file",
        "get",
        "--gateway",
        &server.url,
        "--home",
        &home,
        "--asset",
        "shop",
        "--purpose",
        PURPOSE,
        "--out",
        &out,
    ])
    .error();
    assert!(error.contains("is a table, not a file"), "{error}");
}

#[test]
fn what_is_stored_is_read_back_and_damage_is_named() {
    let world = world(&content(100_000, 3));
    world.publish(&Table::shops(200).write(world.dir.path())).ok();
    let owner = world.path("owner");
    let rehash = |more: &[&str]| sealgate(&[&["audit", "--rehash", "--data-dir", &owner][..], more].concat());
    let whole = rehash(&[]).ok();
    assert_eq!((&whole["damaged"], &whole["resumed"]), (&json!(0), &json!(false)));
    let objects = whole["objects"].as_u64().unwrap();
    let files = files_under(world.path("owner/store").as_ref());
    assert_eq!(objects, files.len() as u64);
    let name = |file: &Path| {
        file.strip_prefix(Path::new(&world.path("owner/store")).canonicalize().unwrap_or_default())
            .or_else(|_| file.strip_prefix(world.path("owner/store")))
            .unwrap()
            .display()
            .to_string()
    };
    for file in &files {
        let good = std::fs::read(file).unwrap();
        flip(file, good.len() / 2);
        let error = rehash(&[]).error();
        assert!(error.contains(&name(file)), "{}: {error}", name(file));
        std::fs::remove_file(file).unwrap();
        let error = rehash(&[]).error();
        assert!(error.contains(&name(file)) && error.contains("missing"), "{}: {error}", name(file));
        std::fs::write(file, good).unwrap();
    }
    rehash(&[]).ok();
    // A requester is not given what is not registered.
    let server = world.serve();
    let part = stored(&world, "parts/p0");
    flip(&part, 20);
    let error = get(&world, &server.url, "out.pdf", &[]).error();
    assert!(error.contains("not the one registered on the ledger"), "{error}");
    assert!(!Path::new(&world.path("out.pdf")).exists());
    // While a gateway serves, it can be checked too.
    assert!(rehash(&["--rate", "100MB/s"]).error().contains(&name(&part)));
    flip(&part, 20);
    get(&world, &server.url, "out.pdf", &[]).ok();
    let wrong = rehash(&["--rate", "fast"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("20MB/s"), "{wrong:?}");
}

#[test]
fn an_interrupted_check_goes_on_and_remembers_what_it_found() {
    let world = world(&content(100_000, 4));
    world.publish(&Table::shops(3_000).write(world.dir.path())).ok();
    let owner = world.path("owner");
    let all = sealgate(&["audit", "--rehash", "--data-dir", &owner]).ok();
    // The first object in the order of names is damaged, and the pass is stopped behind it.
    let mut files = files_under(world.path("owner/store").as_ref());
    files.retain(|file| !file.ends_with("manifest"));
    files.sort();
    flip(&files[0], 7);
    let position = || -> Value {
        std::fs::read(world.path("owner/rehash.json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    };
    let args = ["audit", "--rehash", "--data-dir", &owner, "--rate", "100kB/s"];
    let mut child = Command::new(binary()).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while position()["suspects"].as_array().is_none_or(Vec::is_empty) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", position());
        std::thread::sleep(Duration::from_millis(20));
    }
    // A second check does not run beside it.
    assert!(sealgate(&["audit", "--rehash", "--data-dir", &owner]).error().contains("checked already"));
    child.kill().unwrap();
    child.wait().unwrap();
    let error = sealgate(&["audit", "--rehash", "--data-dir", &owner]).error();
    assert!(error.starts_with("1 of "), "{error}");
    flip(&files[0], 7);
    let whole = sealgate(&["audit", "--rehash", "--data-dir", &owner]).ok();
    assert_eq!(
        (&whole["resumed"], &whole["objects"], &whole["bytes"]),
        (&json!(false), &all["objects"], &all["bytes"])
    );
}

#[test]
fn a_serving_gateway_checks_what_is_stored_by_its_schedule() {
    let world = world(&content(10_000, 5));
    let config = world.path("owner/sealgate.toml");
    let text = std::fs::read_to_string(&config).unwrap() + "\n[rehash]\nevery = \"1s\"\nrate = \"1GB/s\"\n";
    std::fs::write(&config, text).unwrap();
    let _server = world.serve();
    let finished = || {
        let text = std::fs::read(world.path("owner/rehash.json")).unwrap_or_default();
        let position: Value = serde_json::from_slice(&text).unwrap_or_default();
        position["finished_ms"].as_u64().unwrap_or_default()
    };
    let (begun, mut passes, mut last) = (Instant::now(), 0, 0);
    while passes < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{passes} passes");
        let now = finished();
        passes += usize::from(now != last && now != 0);
        last = now.max(last);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_auditor_samples_what_is_stored() {
    let world = World::audited_with(&Table::shops(2_560));
    let server = world.serve();
    let sample = |home: &str, records: &str| {
        let home = world.path(home);
        sealgate(&[
            "audit",
            "sample",
            "--gateway",
            &server.url,
            "--home",
            &home,
            "--asset",
            "shop",
            "--records",
            records,
        ])
    };
    let whole = sample("auditor", "20").ok();
    assert_eq!((&whole["records"], &whole["outcome"], &whole["finding"]), (&json!(20), &json!("whole"), &Value::Null));
    assert!(whole["distinct"].as_u64().unwrap() >= 15 && whole["bytes"].as_u64().unwrap() > 0, "{whole}");
    assert!(Path::new(&text(&whole["path"])).is_file());
    // Another sample is of other records; each is a request of its own.
    let again = sample("auditor", "20").ok();
    assert_ne!(again["request"], whole["request"]);
    let refused = sample("requester", "3").error();
    assert!(refused.contains("auditor"), "{refused}");

    // A flipped bit anywhere in an object that holds a sampled cell: the last chunk holds a fortieth of the
    // records, whose cells the gateway itself would not find.
    flip(&stored(&world, "c1/s0"), 3);
    let tries = ["1", "2", "3"].map(|records| sample("auditor", records).error());
    let found = tries.iter().find(|error| error.contains("is not stored as registered"));
    let found = found.unwrap_or_else(|| panic!("{tries:?}"));
    assert!(found.contains("DAMAGED: ciphertext is not what was registered"), "{found}");
    let trail = sealgate(&["trail", "--gateway", &server.url, "--home", &world.path("auditor")]).ok();
    let lines = trail.as_array().unwrap().iter().filter(|line| line.to_string().contains("sample")).count();
    assert!(lines >= 3, "{trail}");
    let refused = sample("auditor", "0");
    assert_eq!(refused.code, 2, "{refused:?}");
}

/// Damage that keeps the owner from showing a sample is recorded, and the next sample is another one.
#[test]
fn a_sample_that_cannot_be_shown_is_recorded_as_damaged() {
    let world = World::audited_with(&Table::shops(500));
    let home = world.path("auditor");
    let sample = |url: &str| {
        sealgate(&["audit", "sample", "--gateway", url, "--home", &home, "--asset", "shop", "--records", "12"])
    };
    let damaged = |url: &str| -> Vec<String> {
        let lines = world.trail(url, "auditor").into_iter().map(|line| line.to_string());
        lines.filter(|line| line.contains("\"sample\"") && line.contains("damaged")).collect()
    };
    let (unread, missing) = ("ciphertext is not what was registered", "something was not handed over");
    // A column's object cut in half, one that lost its end, one that is gone, and the version's manifest. Which cells
    // chance chooses decides who finds the lost end: the owner, or the auditor who is not given the object.
    for (round, (name, left, expected)) in
        [("c1/s0", 50, unread), ("c2/s0", 99, ""), ("c0/s0", 0, missing), ("manifest", 50, unread)]
            .into_iter()
            .enumerate()
    {
        let object = stored(&world, name);
        let good = std::fs::read(&object).unwrap();
        match left {
            0 => std::fs::remove_file(&object).unwrap(),
            99 => std::fs::write(&object, &good[..good.len() - 1]).unwrap(),
            _ => std::fs::write(&object, &good[..good.len() * left / 100]).unwrap(),
        }
        let server = world.serve();
        let error = sample(&server.url).error();
        assert!(error.contains("is not stored as registered") && error.contains(expected), "{name}: {error}");
        assert!(expected.is_empty() || error.contains("its owner cannot read it either"), "{name}: {error}");
        let recorded = damaged(&server.url);
        assert_eq!(recorded.len(), round + 1, "{recorded:?}");
        std::fs::write(&object, good).unwrap();
        drop(server);
        // Once it is whole again, another sample shows that.
        let server = world.serve();
        let whole = sample(&server.url).ok();
        assert_eq!(whole["outcome"], "whole", "{whole}");
    }
    world.audit_owner().ok();
}

/// An owner that has destroyed an asset's keys can show nothing of it any more: that is what a sample finds.
#[test]
fn a_sample_finds_that_the_keys_were_destroyed() {
    let world = World::audited_with(&Table::shops(50));
    sealgate(&["keys", "destroy", "--data-dir", &world.path("owner"), "--asset", "shop", "--confirm", "shop"]).ok();
    let (server, home) = (world.serve(), world.path("auditor"));
    let sample = ["audit", "sample", "--gateway", &server.url, "--home", &home, "--asset", "shop", "--records", "3"];
    let error = sealgate(&sample).error();
    assert!(error.contains("DAMAGED: a key is gone") && error.contains("no longer has the keys"), "{error}");
    let found = world.trail(&server.url, "auditor").into_iter().map(|line| line.to_string());
    let found: Vec<_> = found.filter(|line| line.contains("\"sample\"") && line.contains("damaged")).collect();
    assert!(found.len() == 1 && found[0].contains("\"key\""), "{found:?}");
}
