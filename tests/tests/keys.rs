//! Root keys from a file, a passphrase and the environment, changed at any moment; destroyed keys;
//! backups that another machine restores and that make no folder forget. `SEALGATE_KILLS` sets the
//! number of rounds of `kill -9`.

#![allow(missing_docs, unreachable_pub, dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgate_ods::keys::{AssetLabel, KeyFolder, RootFile};
use sealgate_tests::chance::{Chance, count};
use sealgate_tests::{Run, Server, World, binary, copy_folder, files_under, sealgate, sealgate_plain, text};
use serde_json::Value;

mod people;

const ROWS: u64 = 40;
const PASSPHRASE: &str = "correct horse battery staple";
const ANOTHER: &str = "four other words entirely";

fn rounds() -> usize {
    count("SEALGATE_KILLS", 4)
}

/// `sealgate --json` with variables in its environment, and no terminal to ask at.
fn run_in(environment: &[(&str, &str)], args: &[&str]) -> Run {
    let output = Command::new(binary())
        .arg("--json")
        .args(args)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    Run { code: output.status.code().unwrap_or(-1), json, stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// Runs a command and kills it after a while; whether it had ended by itself.
fn killed_after(wait: Duration, environment: &[(&str, &str)], args: &[&str]) -> bool {
    let mut command = Command::new(binary());
    command.arg("--json").args(args).envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(wait);
    let ended = child.try_wait().unwrap().is_some();
    if !ended {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    ended
}

fn asked(world: &World, url: &str, id: u64) -> Run {
    let sql = format!("SELECT name, fee >= 500 FROM people WHERE id = {id}");
    world.ask(url, "requester", "", &format!("answer{id}.json"), &sql)
}

#[test]
fn root_keys_come_from_a_file_a_passphrase_or_the_environment() {
    let world = people::world(ROWS);
    let owner = world.path("owner");
    let list = |environment: &[(&str, &str)]| run_in(environment, &["keys", "list", "--data-dir", &owner]);
    let first = list(&[]).ok();
    assert_eq!((&first["root"], &first["keys"][0]["name"]), (&"file".into(), &"people".into()));

    // To a passphrase: short ones and none are refused, and change nothing.
    let rotate = ["keys", "rotate-root", "--data-dir", &owner, "--to", "passphrase"];
    assert!(run_in(&[("SEALGATE_NEW_PASSPHRASE", "short")], &rotate).error().contains("at least 12 characters"));
    assert!(run_in(&[], &rotate).error().contains("SEALGATE_NEW_PASSPHRASE_FILE"));
    assert_eq!(list(&[]).ok(), first);
    {
        let _server = world.serve();
        let busy = run_in(&[("SEALGATE_NEW_PASSPHRASE", PASSPHRASE)], &rotate).error();
        assert!(busy.contains("in use") && busy.contains(&owner), "{busy}");
    }
    let rotated = run_in(&[("SEALGATE_NEW_PASSPHRASE", PASSPHRASE)], &rotate).ok();
    assert_eq!((&rotated["root"], &rotated["assets"]), (&"passphrase".into(), &1.into()));
    let root_file = Path::new(&owner).join("root.key");
    assert_eq!(std::fs::metadata(&root_file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&root_file).unwrap().contains("file "));

    // Who needs no key is not asked; who does is told how to give it.
    world.grant("people", &world.auditor, &people::GRANT).ok();
    let untold = list(&[]).error();
    assert!(untold.contains("SEALGATE_PASSPHRASE") && untold.contains("terminal"), "{untold}");
    assert!(list(&[("SEALGATE_PASSPHRASE", ANOTHER)]).error().contains("is not the one that belongs to"));
    let listed = list(&[("SEALGATE_PASSPHRASE", PASSPHRASE)]).ok();
    assert_ne!(listed["commitment"], first["commitment"]);
    assert_eq!(listed["keys"][0]["other_roots"], 0);
    let file = world.path("passphrase");
    std::fs::write(&file, format!("{PASSPHRASE}\n")).unwrap();
    {
        let server = Server::start_in(&owner, &[("SEALGATE_PASSPHRASE_FILE", &file)]);
        asked(&world, &server.url, 24).ok();
    }

    // To the environment.
    let key = "0123456789abcdef".repeat(4);
    let rotate = ["keys", "rotate-root", "--data-dir", &owner, "--to", "environment"];
    let with = |new: &'static str| [("SEALGATE_PASSPHRASE", PASSPHRASE), ("SEALGATE_NEW_ROOT_KEY", new)];
    assert!(run_in(&with("0123"), &rotate).error().contains("64 hexadecimal digits"));
    let environment = [("SEALGATE_PASSPHRASE", PASSPHRASE), ("SEALGATE_NEW_ROOT_KEY", key.as_str())];
    assert_eq!(run_in(&environment, &rotate).ok()["root"], "environment");
    assert!(list(&[("SEALGATE_PASSPHRASE", PASSPHRASE)]).error().contains("SEALGATE_ROOT_KEY"));
    assert!(list(&[("SEALGATE_ROOT_KEY", &key.replace('0', "1"))]).error().contains("is not the one that belongs to"));
    {
        let server = Server::start_in(&owner, &[("SEALGATE_ROOT_KEY", &key)]);
        asked(&world, &server.url, 25).ok();
    }
    // And from the start.
    let fresh = world.path("fresh");
    let init = ["init", "--data-dir", &fresh, "--name", "Fresh", "--root-key", "environment"];
    run_in(&[("SEALGATE_NEW_ROOT_KEY", &key)], &init).ok();
    assert!(!std::fs::read_to_string(Path::new(&fresh).join("root.key")).unwrap().contains(&key));
}

/// Enough key files that a change of root keys takes a while, killed in it again and again: the
/// root key that the folder names opens all of them every time.
#[test]
fn a_change_of_root_keys_that_is_killed_at_any_moment_loses_no_key() {
    let world = people::world(ROWS);
    let owner = world.path("owner");
    let root_file = Path::new(&owner).join("root.key");
    let folder = || {
        let RootFile::Key(root) = RootFile::load(&root_file).unwrap() else { panic!("a key in the file") };
        KeyFolder::new(&Path::new(&owner).join("keys"), Arc::new(root))
    };
    let labels: Vec<_> = (0..150).map(|at| AssetLabel::new(&format!("asset {at}")).unwrap()).collect();
    let seeds: Vec<_> = labels.iter().map(|label| *folder().create_asset(label).unwrap().place_seed()).collect();
    let rotate = ["keys", "rotate-root", "--data-dir", &owner];
    let start = Instant::now();
    sealgate(&rotate).ok();
    let whole = start.elapsed();
    let before = folder().root();
    let mut chance = Chance::of_run("root keys");
    for round in 0..rounds() {
        killed_after(whole.mul_f64(chance.below(1_100) as f64 / 1_000.0), &[], &rotate);
        let folder = folder();
        for (label, seed) in labels.iter().zip(&seeds) {
            assert_eq!(folder.asset(label).unwrap().place_seed(), seed, "round {round}");
        }
        assert_eq!(world.audit_owner().ok()["versions"], 1, "round {round}");
    }
    sealgate(&rotate).ok();
    assert_ne!(folder().root(), before);
    assert!(labels.iter().all(|label| folder().other_roots(label).unwrap() == 0));
    let left: Vec<_> = files_under(&Path::new(&owner).join("keys"));
    assert!(left.len() <= 151 + rounds(), "at most one unfinished file a kill: {}", left.len());
}

#[test]
fn destroyed_keys_open_nothing_and_are_not_destroyed_by_mistake() {
    let world = people::world(ROWS);
    let owner = world.path("owner");
    let destroy = |more: &[&str]| {
        let mut args = vec!["keys", "destroy", "--data-dir", owner.as_str(), "--asset", "people"];
        args.extend(more);
        sealgate(&args)
    };
    for refused in [destroy(&[]), destroy(&["--confirm", "yes"])] {
        assert!(refused.error().contains("--confirm 'people'"));
    }
    {
        let server = world.serve();
        assert!(destroy(&["--confirm", "people"]).error().contains("in use"));
        asked(&world, &server.url, 24).ok();
    }
    destroy(&["--confirm", "people"]).ok();
    assert!(destroy(&["--confirm", "people"]).error().contains("does not exist"));
    assert!(files_under(&Path::new(&owner).join("keys")).is_empty());
    // The old answer still holds; new ones cannot be had, and no new keys are drawn by the way.
    world.verify("requester", "answer24.json").ok();
    let server = world.serve();
    asked(&world, &server.url, 25).error();
    drop(server);
    assert!(world.publish(Path::new(&world.path("people.toml"))).error().contains("does not exist"));
}

fn backup(kind: &str, folder: &str, out: &str, more: &[&str]) -> Run {
    let mut args = vec!["backup", kind, folder, "--out", out];
    args.extend(more);
    run_in(&[("SEALGATE_BACKUP_PASSPHRASE", PASSPHRASE)], &args)
}

fn restore(from: &str, kind: &str, folder: &str) -> Run {
    run_in(&[("SEALGATE_BACKUP_PASSPHRASE", PASSPHRASE)], &["restore", "--from", from, kind, folder])
}

/// What a folder holds, but for what a running process or the index keeps there.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let name = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
    let transient = |name: &str| {
        name.starts_with("ledger/index") || name.ends_with("lock") || name == "serving.json" || name == "backup.json"
    };
    let files = files_under(folder).into_iter().map(|path| (name(&path), std::fs::read(path).unwrap()));
    files.filter(|(name, _)| !transient(name)).collect()
}

#[test]
fn an_owner_is_restored_on_another_machine() {
    let world = people::world(ROWS);
    let (owner, file) = (world.path("owner"), world.path("owner.backup"));
    // While the gateway serves.
    let server = world.serve();
    asked(&world, &server.url, 24).ok();
    let made = backup("--data-dir", &owner, &file, &[]).ok();
    assert_eq!((&made["objects"], made["needed_beside"].as_array().unwrap().len()), (&true.into(), 0));
    let height = made["ledgers"][0]["seen"].as_u64().unwrap();
    assert!(height > 2, "{made}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(backup("--data-dir", &owner, &file, &[]).error().contains("already"));
    assert!(backup("--data-dir", &owner, &format!("{owner}/x"), &[]).error().contains("outside"));
    drop(server);

    // Nothing is made of another passphrase, a cut or a changed file, or the wrong kind.
    let elsewhere = world.path("elsewhere/owner");
    std::fs::create_dir(world.path("elsewhere")).unwrap();
    let wrong = [("SEALGATE_BACKUP_PASSPHRASE", ANOTHER)];
    let args = ["restore", "--from", &file, "--data-dir", &elsewhere];
    assert!(run_in(&wrong, &args).error().contains("the passphrase is not the one"));
    assert!(restore(&file, "--home", &elsewhere).error().contains("give --data-dir"));
    let whole = std::fs::read(&file).unwrap();
    let spoiled = world.path("spoiled.backup");
    for at in [60, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&spoiled, &whole[..at]).unwrap();
        assert!(restore(&spoiled, "--data-dir", &elsewhere).error().contains("spoiled.backup"), "cut at {at}");
        let mut changed = whole.clone();
        changed[at] ^= 4;
        std::fs::write(&spoiled, &changed).unwrap();
        assert!(restore(&spoiled, "--data-dir", &elsewhere).error().contains("spoiled.backup"), "changed at {at}");
    }
    assert_eq!(files_under(Path::new(&world.path("elsewhere"))).len(), 0);

    let restored = restore(&file, "--data-dir", &elsewhere).ok();
    assert_eq!(restored["ledgers"], made["ledgers"]);
    assert!(
        files_under(Path::new(&elsewhere))
            .iter()
            .all(|file| { std::fs::metadata(file).unwrap().permissions().mode() & 0o777 == 0o600 })
    );
    assert_eq!(sealgate(&["audit", "--data-dir", &elsewhere]).ok()["versions"], 1);
    // The machine is lost; the other goes on where it stood.
    std::fs::remove_dir_all(&owner).unwrap();
    let server = Server::start(&elsewhere);
    asked(&world, &server.url, 25).ok();
    world.verify("requester", "answer24.json").ok();
    drop(server);

    // The restored folder has moved on: the backup would forget that.
    let before = content(Path::new(&elsewhere));
    let lowered = restore(&file, "--data-dir", &elsewhere).error();
    let head = sealgate(&["audit", "--data-dir", &elsewhere]).ok()["height"].as_u64().unwrap();
    assert!(lowered.contains(&format!("block {head}, and the backup only {height}")), "{lowered}");
    assert_eq!(content(Path::new(&elsewhere)), before);
}

#[test]
fn a_folder_is_brought_forward_and_keeps_its_objects() {
    let world = people::world(ROWS);
    let (owner, file, old) = (world.path("owner"), world.path("owner.backup"), world.path("old"));
    copy_folder(Path::new(&owner), Path::new(&old));
    {
        let server = world.serve();
        asked(&world, &server.url, 24).ok();
    }
    let made = backup("--data-dir", &owner, &file, &["--without-objects"]).ok();
    assert_eq!(made["objects"], false);
    assert!(text(&made["needed_beside"][0]).contains("the sealed objects in file:"));
    // Not over another account's folder, and not while a gateway serves.
    let strange = restore(&file, "--data-dir", &world.path("requester")).error();
    assert!(strange.contains("belongs to account"), "{strange}");
    {
        let _server = Server::start(&old);
        assert!(restore(&file, "--data-dir", &old).error().contains("in use"));
    }
    let restored = restore(&file, "--data-dir", &old).ok();
    assert_eq!(content(Path::new(&old)), content(Path::new(&owner)));
    let replaced = text(&restored["replaced"]);
    assert!(Path::new(&replaced).join("account.key").exists());
    std::fs::remove_dir_all(&replaced).unwrap();
    let server = Server::start(&old);
    asked(&world, &server.url, 25).ok();
}

#[test]
fn a_home_never_forgets_what_it_has_seen() {
    let world = people::world(ROWS);
    let home = world.path("requester");
    let server = world.serve();
    asked(&world, &server.url, 24).ok();
    let (early, late) = (world.path("early.backup"), world.path("late.backup"));
    let first = backup("--home", &home, &early, &[]).ok();
    let copy = world.path("copy");
    copy_folder(Path::new(&home), Path::new(&copy));
    asked(&world, &server.url, 25).ok();
    let second = backup("--home", &home, &late, &[]).ok();
    let size = |made: &Value| made["ledgers"][0]["seen"].as_u64().unwrap();
    assert!(size(&second) > size(&first));
    let lowered = restore(&early, "--home", &home).error();
    assert!(
        lowered.contains(&format!("a checkpoint of size {}, and the backup only {}", size(&second), size(&first))),
        "{lowered}"
    );
    // A ledger that was pinned and never seen stays pinned.
    let (fresh, pinned, again) = (world.path("fresh"), world.path("fresh.backup"), world.path("again"));
    sealgate(&["account", "new", "--home", &fresh, "--name", "Fresh"]).ok();
    sealgate(&["trust", "--home", &fresh, &world.fingerprint]).ok();
    backup("--home", &fresh, &pinned, &[]).ok();
    restore(&pinned, "--home", &again).ok();
    assert!(Path::new(&again).join("ledgers").join(&world.fingerprint).is_dir());
    // The same state again, and forward.
    // While a command is at work with it, it is not replaced, nor the other way round.
    let lock = || std::fs::File::create(Path::new(&home).join("home.lock")).unwrap();
    let at_work = lock();
    at_work.lock_shared().unwrap();
    let busy = restore(&late, "--home", &home).error();
    assert!(busy.contains("is in use (a command is at work with it)"), "{busy}");
    sealgate(&["trust", "--home", &home, &world.fingerprint]).ok();
    drop(at_work);
    let restoring = lock();
    restoring.lock().unwrap();
    let busy = sealgate(&["trust", "--home", &home, &world.fingerprint]).error();
    assert!(busy.contains("is being restored from a backup"), "{busy}");
    drop(restoring);
    restore(&late, "--home", &home).ok();
    restore(&late, "--home", &copy).ok();
    assert_eq!(content(Path::new(&copy)), content(Path::new(&home)));
    asked(&world, &server.url, 26).ok();
    assert!(backup("--home", &world.path("nowhere"), &world.path("x"), &[]).error().contains("nowhere"));
}

#[test]
fn a_restore_that_is_killed_at_any_moment_leaves_the_old_folder_or_the_new_one() {
    let world = people::world(ROWS);
    let (owner, file, old) = (world.path("owner"), world.path("owner.backup"), world.path("old"));
    copy_folder(Path::new(&owner), Path::new(&old));
    {
        let server = world.serve();
        asked(&world, &server.url, 24).ok();
    }
    backup("--data-dir", &owner, &file, &[]).ok();
    let (before, after) = (content(Path::new(&old)), content(Path::new(&owner)));
    assert_ne!(before, after);
    let start = Instant::now();
    restore(&file, "--data-dir", &world.path("timed")).ok();
    let whole = start.elapsed();
    let passphrase = [("SEALGATE_BACKUP_PASSPHRASE", PASSPHRASE)];
    let mut chance = Chance::of_run("restoring");
    for round in 0..rounds() {
        let wait = whole.mul_f64(chance.below(1_100) as f64 / 1_000.0);
        killed_after(wait, &passphrase, &["restore", "--from", &file, "--data-dir", &old]);
        let now = content(Path::new(&old));
        assert!(now == before || now == after, "round {round}: neither old nor new");
        assert_eq!(sealgate(&["audit", "--data-dir", &old]).ok()["versions"], 1, "round {round}");
    }
    restore(&file, "--data-dir", &old).ok();
    assert_eq!(content(Path::new(&old)), after);
    assert_eq!(sealgate(&["audit", "--data-dir", &old]).ok()["versions"], 1);
}

#[test]
fn people_read_what_to_do() {
    let world = World::new();
    let owner = world.path("owner");
    let list = sealgate_plain(&["keys", "list", "--data-dir", &owner]);
    assert!(list.stdout.starts_with("root key    in root.key ("), "{list:?}");
    std::fs::write(Path::new(&owner).join("sealgate.toml"), "[store]\nurl = \"ftp://x\"\n").unwrap();
    let wrong = sealgate_plain(&["keys", "list", "--data-dir", &owner]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("sealgate.toml, line 2: 'ftp://x'"), "{wrong:?}");
    // A passphrase never stands among the arguments.
    let help = sealgate_plain(&["backup", "--help"]).stdout;
    assert!(help.contains("--passphrase-file") && !help.contains("--passphrase "), "{help}");
}
