//! A ceremony of several contributors through files, and a ledger that uses its keys.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::path::Path;

use sealgate_circuits::prover::ProvingKey;
use sealgate_circuits::statement::Circuit;
use sealgate_tests::{Table, World, answers, copy_folder, sealgate, text};
use serde_json::Value;

/// Two contributors, or three with `SEALGATE_CONTRIBUTORS=3`.
fn contributors() -> &'static [&'static str] {
    match std::env::var("SEALGATE_CONTRIBUTORS").as_deref() {
        Ok("3") => &["alice", "bob", "carol"],
        _ => &["alice", "bob"],
    }
}

/// Every contributor in turn; the digests they announced and the last file.
fn round(path: &dyn Fn(&str) -> String, mut file: String, phase: u64) -> (Vec<String>, String) {
    let mut digests = Vec::new();
    for (index, who) in contributors().iter().enumerate() {
        let out = path(&format!("phase-{phase}-after-{who}"));
        let made = sealgate(&["ceremony", "contribute", "--home", &path(who), &file, "--out", &out]).ok();
        assert_eq!((made["phase"].as_u64(), made["number"].as_u64()), (Some(phase), Some(index as u64 + 1)));
        assert_eq!(made["name"], *who);
        digests.push(text(&made["digest"]));
        file = out;
    }
    (digests, file)
}

/// A copy of a file with some bytes in it replaced by as many others.
fn forged(file: &str, from: &[u8], to: &[u8]) -> String {
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + from.len()].copy_from_slice(to);
    let forged = format!("{file}.forged");
    std::fs::write(&forged, bytes).unwrap();
    forged
}

fn notes(verified: &Value) -> String {
    verified["notes"].as_array().unwrap().iter().map(text).collect::<Vec<_>>().join("\n")
}

#[test]
fn several_parties_make_parameters_and_a_ledger_uses_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    for who in contributors() {
        sealgate(&["account", "new", "--home", &path(who), "--name", who]).ok();
    }
    let start = path("start");
    let begun = sealgate(&["ceremony", "start", "--name", "Members of the register", "--out", &start]).ok();
    assert_eq!(begun["circuits"].as_array().unwrap().len(), Circuit::ALL.len());

    // Phase 1, its end, phase 2; nothing goes ahead of its turn and no file is replaced.
    let early = sealgate(&["ceremony", "advance", &start, "--out", &path("early")]).error();
    assert!(early.contains("phase 1 has no contribution yet"), "{early}");
    let (mut digests, file) = round(&path, start.clone(), 1);
    let again = ["ceremony", "contribute", "--home", &path("alice"), &start, "--out", &file];
    assert!(sealgate(&again).error().contains("is there already"));
    let unready = sealgate(&["ceremony", "finish", &file, "--out", &path("unready")]).error();
    assert!(unready.contains("phase 2 has no contribution yet"), "{unready}");
    let opened = path("opened");
    let state = sealgate(&["ceremony", "advance", &file, "--out", &opened]).ok();
    assert_eq!(
        (state["phase"].as_u64(), state["contributions"][0].as_u64()),
        (Some(2), Some(contributors().len() as u64))
    );
    let (second, file) = round(&path, opened, 2);
    digests.extend(second);

    // Anybody can check it, and sees what was announced.
    let verified = sealgate(&["ceremony", "verify", &file]).ok();
    let listed = verified["listed"].as_array().unwrap();
    assert_eq!(listed.iter().map(|made| text(&made["digest"])).collect::<Vec<_>>(), digests);
    assert_eq!(listed.iter().map(|made| text(&made["name"])).collect::<Vec<_>>(), contributors().repeat(2));
    assert_eq!(verified["digest"], *digests.last().unwrap());
    let renamed = sealgate(&["ceremony", "verify", &forged(&file, b"\x03\0\0\0bob", b"\x03\0\0\0eve")]).error();
    assert!(renamed.contains("phase 1, contribution 2: its signature"), "{renamed}");

    let parameters = path("parameters");
    let finished = sealgate(&["ceremony", "finish", &file, "--out", &parameters]).ok();
    assert_eq!(finished["digest"], verified["digest"]);
    keys_of_others_are_refused(dir.path(), &parameters);
    let world = ledger_with(dir, &parameters, finished["digest"].as_str().unwrap());
    the_ledger_answers(&world, &file, finished["digest"].as_str().unwrap());
}

/// A folder whose verifying or proving key is not the transcript's makes no ledger.
fn keys_of_others_are_refused(dir: &Path, parameters: &str) {
    let other = ProvingKey::generate_development(Circuit::Record15Slots4).unwrap();
    let name = Circuit::Record15Slots4.name();
    for (file, bytes) in [
        (format!("{name}.vk"), other.verifying_key_bytes().unwrap()),
        (format!("{name}.pk"), other.to_bytes().unwrap()),
    ] {
        let swapped = dir.join(format!("swapped-{file}"));
        copy_folder(Path::new(parameters), &swapped);
        std::fs::write(swapped.join(&file), bytes).unwrap();
        let (data, swapped) = (dir.join("swapped-owner").display().to_string(), swapped.display().to_string());
        let error = sealgate(&["init", "--data-dir", &data, "--name", "x", "--parameters", &swapped]).error();
        assert!(error.contains(&file) && error.contains("ceremony.transcript leads to"), "{error}");
        assert!(!Path::new(&data).exists(), "nothing was made");
    }
}

/// A world whose owner uses a ceremony's parameters.
fn ledger_with(dir: tempfile::TempDir, parameters: &str, digest: &str) -> World {
    let path = |name: &str| dir.path().join(name).display().to_string();
    let args = ["init", "--data-dir", &path("owner"), "--name", "Owner", "--parameters", parameters];
    let init = sealgate(&args).ok();
    assert_eq!((&init["development"], &init["ceremony"]), (&Value::Bool(false), &Value::String(digest.into())));
    let fingerprint = text(&init["fingerprint"]);
    let mut world = World { fingerprint, requester: String::new(), auditor: String::new(), dir };
    world.requester = world.account("requester");
    world.auditor = world.account("auditor");
    world
}

fn the_ledger_answers(world: &World, file: &str, digest: &str) {
    world.publish(&Table::shops(20).write(world.dir.path())).ok();
    world.grant("shop", &world.requester, &["--disclose", "fee", "--prove", "fee >= 50", "--purpose", "p"]).ok();
    let server = world.serve();
    let sql = "SELECT fee, fee >= 50 FROM shop WHERE id = 6";
    let asked = world.ask(&server.url, "requester", "p", "answer.json", sql).ok();
    let verified = world.verify("requester", "answer.json").ok();
    assert_eq!(answers(&asked), answers(&verified));
    assert_eq!(answers(&verified)[0].1, "60.50");
    for notes in [notes(&asked), notes(&verified)] {
        assert!(!notes.contains("DEVELOPMENT"), "{notes}");
        assert!(notes.contains(digest), "{notes}");
    }

    // The transcript is held against the ledger, by its file or through its gateway.
    let genesis = world.path("owner/ledger/genesis.json");
    let held = sealgate(&["ceremony", "verify", file, "--genesis", &genesis]).ok();
    assert_eq!(held["ledger"], world.fingerprint.as_str());
    let home = world.path("requester");
    let held = sealgate(&["ceremony", "verify", file, "--gateway", &server.url, "--home", &home]).ok();
    assert_eq!(held["ledger"], world.fingerprint.as_str());
    let unfinished = world.path("phase-2-after-alice");
    let error = sealgate(&["ceremony", "verify", &unfinished, "--genesis", &genesis]).error();
    assert!(error.contains("its genesis names the transcript"), "{error}");
    let other = World::new();
    let error = sealgate(&["ceremony", "verify", file, "--genesis", &other.path("owner/ledger/genesis.json")]).error();
    assert!(error.contains("parameters are for development"), "{error}");
    drop(server);

    // A gateway does not serve with a key that is not the ledger's.
    let key = ProvingKey::generate_development(Circuit::Record15Slots4).unwrap().verifying_key_bytes().unwrap();
    std::fs::write(world.path("owner/parameters/record-15-slots-4.vk"), key).unwrap();
    let error = sealgate(&["serve", "--data-dir", &world.path("owner"), "--listen", "127.0.0.1:0"]).error();
    assert!(error.contains("the genesis names"), "{error}");
}
