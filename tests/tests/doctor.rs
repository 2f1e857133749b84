//! `sealgate doctor` on folders that are in order and on folders that were really damaged: it names what
//! is wrong and what to do, repairs nothing, and works beside a gateway.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sealgate_tests::{
    Server, Table, World, binary, copy_folder, files_under, free_port, sealgate, sealgate_plain, text,
};
use serde_json::Value;

/// The checks of a report with this status: area and what was found, with what to do.
fn found(report: &Value, status: &str) -> Vec<(String, String)> {
    let checks = report["checks"].as_array().unwrap_or_else(|| panic!("no report: {report}"));
    let wanted = checks.iter().filter(|check| check["status"] == status);
    wanted
        .map(|check| {
            let todo = check["todo"].as_str().unwrap_or_default();
            assert!(status == "ok" || !todo.is_empty(), "nothing to do about {check}");
            (text(&check["area"]), format!("{} | {todo}", text(&check["found"])))
        })
        .collect()
}

fn examine(args: &[&str]) -> (i32, Value) {
    let run = sealgate(&[&["doctor"], args].concat());
    assert!(run.stderr.is_empty(), "{run:?}");
    let failures = run.json["failures"].as_u64().unwrap_or_else(|| panic!("{run:?}"));
    assert_eq!(run.code, i32::from(failures > 0), "{run:?}");
    assert_eq!(failures as usize, found(&run.json, "failure").len());
    assert_eq!(run.json["error"].is_string(), failures > 0, "{run:?}");
    (run.code, run.json)
}

/// That the folder has no failure.
fn sound(args: &[&str]) -> Value {
    let (code, report) = examine(args);
    assert_eq!(code, 0, "{:?}", found(&report, "failure"));
    report
}

/// That exactly this area fails, saying all of this.
fn fails(args: &[&str], area: &str, parts: &[&str]) -> Value {
    let (_, report) = examine(args);
    let failures = found(&report, "failure");
    assert!(failures.iter().all(|(other, _)| other == area) && !failures.is_empty(), "{area}: {failures:?}");
    says(&failures, area, parts);
    report
}

fn warns(args: &[&str], area: &str, parts: &[&str]) -> Value {
    let report = sound(args);
    says(&found(&report, "warning"), area, parts);
    report
}

fn says(checks: &[(String, String)], area: &str, parts: &[&str]) {
    let fits = |(other, told): &(String, String)| other == area && parts.iter().all(|part| told.contains(part));
    assert!(checks.iter().any(fits), "nothing of '{area}' says {parts:?}: {checks:?}");
}

/// What lies in a folder, byte for byte; the index apart, which opening writes to.
fn content(folder: &str) -> Vec<(String, Vec<u8>)> {
    let files = files_under(Path::new(folder)).into_iter().map(|path| path.display().to_string());
    let files = files.filter(|path| !path.contains("/ledger/index/"));
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn folders_in_order_are_sound_and_stay_as_they_are_also_beside_a_gateway() {
    let world = World::with(&Table::shops(20));
    let (owner, home) = (world.path("owner"), world.path("requester"));
    let before = (content(&owner), content(&home));
    let report = sound(&["--data-dir", &owner]);
    let ok = found(&report, "ok");
    for (area, part) in [
        ("configuration", "sealgate.toml"),
        ("files", "by their user alone"),
        ("disk", "free"),
        ("disk", "a block waits"),
        ("ledger", "checked and linked up to block"),
        ("ledger", "the index follows the log"),
        ("clock", "after the ledger's last block"),
        ("keys", "opens the keys of 1 of 1 assets"),
        ("parameters", "are the genesis's"),
        ("serving", "no gateway serves"),
        ("store", "takes, gives and removes"),
        ("store", "are what was written"),
    ] {
        says(&ok, area, &[part]);
    }
    says(&found(&report, "warning"), "parameters", &["DEVELOPMENT", "ceremony"]);
    says(&found(&sound(&["--home", &home]), "ok"), "trust", &[&world.fingerprint, "0 entries seen"]);
    assert!(before == (content(&owner), content(&home)), "something was changed");

    let server = world.serve();
    let report = sound(&["--data-dir", &owner, "--gateway", &server.url]);
    let ok = found(&report, "ok");
    says(&ok, "serving", &["a gateway serves at", &server.url]);
    says(&ok, "serving", &["its version is this program's"]);
    says(&ok, "clock", &["agrees with the gateway's"]);
    says(&ok, "store", &["are what was written"]);
    says(&ok, "gateway", &[&world.fingerprint]);
    says(&found(&sound(&["--home", &home, "--gateway", &server.url]), "ok"), "trust", &["no fewer than were seen"]);
    sound(&["--gateway", &server.url]);
    // The gateway still takes what it took before.
    world.grant("shop", &world.requester, &["--disclose", "name", "--purpose", "p"]).ok();
    drop(server);
    let plain = sealgate_plain(&["doctor", "--data-dir", &owner]);
    assert!(plain.code == 0 && plain.stdout.contains("no failure") && plain.stderr.is_empty(), "{plain:?}");
}

#[test]
fn folders_that_are_none_and_gateways_that_are_none() {
    let world = World::new();
    let (owner, home, none) = (world.path("owner"), world.path("requester"), world.path("none"));
    fails(&["--data-dir", &none], "files", &["there is no folder", "sealgate init"]);
    fails(&["--home", &none], "files", &["there is no folder", "sealgate account new"]);
    fails(&["--data-dir", &home], "files", &["no owner's data folder", "sealgate doctor --home"]);
    fails(&["--home", &owner], "files", &["owner's data folder", "sealgate doctor --data-dir"]);
    fails(&["--gateway", "http://127.0.0.1:9"], "gateway", &["cannot be reached", "sealgate doctor"]);
    fails(&["--home", &home, "--gateway", "nonsense"], "gateway", &["is no gateway's address"]);
    assert_eq!(sealgate(&["doctor"]).code, 2);
    let failed = sealgate(&["doctor", "--data-dir", &none]).json;
    assert_eq!((text(&failed["code"]).as_str(), failed["failures"].as_u64()), ("unhealthy", Some(1)));
    let plain = sealgate_plain(&["doctor", "--data-dir", &none]);
    assert!(plain.code == 1 && plain.stdout.contains("FAILURE") && plain.stderr.starts_with("error: "), "{plain:?}");
    fs::write(world.path("owner/init.unfinished"), "").unwrap();
    fails(&["--data-dir", &owner], "files", &["cut short", "again"]);
}

#[test]
fn configuration_and_permissions() {
    let world = World::with(&Table::shops(3));
    let owner = world.path("owner");
    let config = world.path("owner/sealgate.toml");
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, "[store]\nuri = \"file:store\"\n").unwrap();
    let report = fails(&["--data-dir", &owner], "configuration", &["line 2", "correct"]);
    says(&found(&report, "ok"), "ledger", &["checked and linked"]);
    says(&found(&report, "warning"), "store", &["not looked at"]);
    fs::write(&config, format!("{good}\n[[sync]]\nmanifest = \"gone.toml\"\nevery = \"1h\"\n")).unwrap();
    fails(&["--data-dir", &owner], "configuration", &["gone.toml", "[[sync]]"]);
    let manifest = world.path("shop.toml");
    fs::write(&config, format!("{good}\n[[sync]]\nmanifest = {manifest:?}\nevery = \"1h\"\n")).unwrap();
    warns(&["--data-dir", &owner], "schedules", &["shop.toml", "while a gateway serves", "sealgate sync"]);
    fs::write(&config, good).unwrap();

    let key = world.path("owner/account.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    fails(&["--data-dir", &owner], "files", &[&key, "chmod"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&owner, fs::Permissions::from_mode(0o755)).unwrap();
    warns(&["--data-dir", &owner], "files", &["others may look into", "chmod 700"]);
    fs::set_permissions(&owner, fs::Permissions::from_mode(0o700)).unwrap();
    sound(&["--data-dir", &owner]);
}

#[test]
fn keys_that_are_gone_changed_or_not_given() {
    let world = World::with(&Table::shops(3));
    let owner = world.path("owner");
    let arguments = ["--data-dir", owner.as_str()];
    let key = files_under(Path::new(&world.path("owner/keys"))).remove(0);
    let good = fs::read(&key).unwrap();
    flip(&key, good.len() / 2);
    fails(&arguments, "keys", &["damaged", "backup"]);
    fs::remove_file(&key).unwrap();
    fails(&arguments, "keys", &["the keys of 1 published assets are gone", "backup"]);
    fs::write(&key, &good).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    sound(&arguments);

    let root = world.path("owner/root.key");
    let good = fs::read(&root).unwrap();
    fs::remove_file(&root).unwrap();
    fails(&arguments, "keys", &["root.key", "backup"]);
    let other = World::new();
    fs::copy(other.path("owner/root.key"), &root).unwrap();
    fails(&arguments, "keys", &["another root key", "root.key here is another folder's", "backup"]);
    let serving = sealgate(&["serve", "--data-dir", &owner, "--listen", "127.0.0.1:0"]).error();
    assert!(serving.contains("another root key"), "{serving}");
    fs::write(&root, good).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o600)).unwrap();
    let account = world.path("owner/account.key");
    let good = fs::read(&account).unwrap();
    flip(Path::new(&account), good.len() / 2);
    fails(&arguments, "keys", &["account.key"]);
    fs::copy(other.path("owner/account.key"), &account).unwrap();
    fails(&arguments, "keys", &["operator", "restore account.key"]);
    fs::remove_file(&account).unwrap();
    let report = fails(&arguments, "keys", &["account.key", "not there", "backup"]);
    assert!(!report.to_string().contains("account new"), "{report}");
    fs::write(&account, good).unwrap();
    fs::set_permissions(&account, fs::Permissions::from_mode(0o600)).unwrap();

    fs::create_dir(world.path("owner.replaced.1700000000000")).unwrap();
    warns(&arguments, "keys", &["owner.replaced.1700000000000", "remove it"]);

    let sealed = world.path("sealed");
    let run = |args: &[&str], variable: &str, value: &str| {
        let output = Command::new(binary()).arg("--json").args(args).env(variable, value).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let init = ["init", "--data-dir", &sealed, "--name", "x", "--root-key", "passphrase"];
    let made = run(&init, "SEALGATE_NEW_PASSPHRASE", "correct horse battery staple");
    assert!(made["error"].is_null(), "{made}");
    warns(&["--data-dir", &sealed], "keys", &["not looked at", "SEALGATE_PASSPHRASE_FILE"]);
    let doctor = ["doctor", "--data-dir", &sealed];
    let given = run(&doctor, "SEALGATE_PASSPHRASE", "correct horse battery staple");
    says(&found(&given, "ok"), "keys", &["the root key (passphrase) opens"]);
    let other = run(&doctor, "SEALGATE_PASSPHRASE", "another horse battery staple");
    says(&found(&other, "failure"), "keys", &["is not the one that belongs to"]);
}

#[test]
fn a_ledger_that_is_damaged_is_named_and_left_as_it_is() {
    let world = World::with(&Table::shops(3));
    let owner = world.path("owner");
    let arguments = ["--data-dir", owner.as_str()];
    let log = world.path("owner/ledger/blocks.log");
    let good = fs::read(&log).unwrap();

    // A write that was interrupted: a part of a block behind the last one.
    let torn = [&good[..], &good[16..100]].concat();
    fs::write(&log, &torn).unwrap();
    warns(&arguments, "ledger", &["never acknowledged", "the next start cuts them"]);
    assert!(fs::read(&log).unwrap() == torn, "the torn end was cut");

    flip(Path::new(&log), good.len() / 2);
    let damaged = fs::read(&log).unwrap();
    let report = fails(&arguments, "ledger", &["blocks.log is damaged at byte", "backup"]);
    says(&found(&report, "ok"), "store", &["takes, gives and removes"]);
    assert!(fs::read(&log).unwrap() == damaged);
    // The last block had been acknowledged: a log without it is not one that was merely torn.
    fs::write(&log, &good[..good.len() - 10]).unwrap();
    fails(&arguments, "ledger", &["had been acknowledged"]);
    fs::remove_file(&log).unwrap();
    fails(&arguments, "ledger", &["blocks.log"]);
    fs::write(&log, &good).unwrap();

    fs::remove_file(world.path("owner/ledger/head")).unwrap();
    warns(&arguments, "ledger", &["'head' is missing"]);
    fs::remove_dir_all(world.path("owner/ledger/index")).unwrap();
    warns(&arguments, "ledger", &["the index is not there", "rebuilds it"]);
    let report = sound(&arguments);
    says(&found(&report, "ok"), "ledger", &["the index follows the log"]);
    assert!(fs::read(&log).unwrap() == good);

    let pk = files_under(Path::new(&world.path("owner/parameters")))
        .into_iter()
        .find(|path| path.extension().unwrap() == "pk");
    let pk = pk.unwrap();
    let bytes = fs::read(&pk).unwrap();
    fs::write(&pk, &bytes[..bytes.len() / 2]).unwrap();
    fails(&arguments, "parameters", &[&pk.display().to_string(), "another member"]);
}

#[test]
fn a_store_that_lost_objects_or_takes_none() {
    let world = World::with(&Table::shops(20));
    let owner = world.path("owner");
    let arguments = ["--data-dir", owner.as_str()];
    let objects = files_under(Path::new(&world.path("owner/store")));
    let kept: Vec<_> = objects.iter().map(|path| fs::read(path).unwrap()).collect();
    objects.iter().for_each(|path| flip(path, 5));
    fails(&arguments, "store", &["is damaged", "--rehash"]);
    objects.iter().for_each(|path| fs::remove_file(path).unwrap());
    fails(&arguments, "store", &["is missing"]);
    objects.iter().zip(kept).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    sound(&arguments);
    fs::rename(world.path("owner/store"), world.path("elsewhere")).unwrap();
    fs::write(world.path("owner/store"), "a file where the folder was").unwrap();
    fails(&arguments, "store", &["File exists", "[store] in sealgate.toml"]);
}

#[test]
fn a_gateway_that_was_killed_a_port_that_is_taken_a_ledger_that_is_held() {
    let world = World::with(&Table::shops(3));
    let owner = world.path("owner");
    let arguments = ["--data-dir", owner.as_str()];
    world.serve().kill();
    warns(&arguments, "serving", &["was not stopped in order", "start it again"]);
    let lock = fs::File::options().write(true).open(world.path("owner/ledger/lock")).unwrap();
    lock.lock().unwrap();
    let (_, report) = examine(&arguments);
    says(&found(&report, "failure"), "serving", &["the ledger is in use", "does not answer"]);
    fs::remove_file(world.path("owner/serving.json")).unwrap();
    let (_, report) = examine(&arguments);
    says(&found(&report, "warning"), "serving", &["another command is at work"]);
    drop(lock);

    let port = free_port();
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let node = format!("{{\"peer_listen\": \"127.0.0.1:1\", \"http_listen\": \"127.0.0.1:{port}\"}}");
    fs::write(world.path("owner/node.json"), node).unwrap();
    warns(&arguments, "serving", &[&format!("127.0.0.1:{port} is not free"), "--listen"]);
    drop(taken);
    says(&found(&sound(&arguments), "ok"), "serving", &[&format!("127.0.0.1:{port} is free")]);
}

#[test]
fn a_certificate_that_is_over() {
    let world = World::new();
    let owner = world.path("owner");
    let mut parameters = rcgen::CertificateParams::new(vec!["gateway.example".into()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let certificate = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    fs::write(world.path("owner/serving.pem"), certificate.pem()).unwrap();
    fails(&["--data-dir", &owner], "certificate", &["serving.pem is over since 2021-01-01", "renew"]);
}

#[test]
fn a_schedule_is_told_while_the_gateway_keeps_it() {
    let world = World::with(&Table::shops(3));
    let owner = world.path("owner");
    let config = world.path("owner/sealgate.toml");
    let good = fs::read_to_string(&config).unwrap();
    let rest = format!(
        "\n[[sync]]\nmanifest = {:?}\nevery = \"1h\"\n\n[rehash]\nevery = \"7d\"\nrate = \"20MB/s\"\n",
        world.path("shop.toml")
    );
    fs::write(&config, good + &rest).unwrap();
    let _server = world.serve();
    let ok = found(&sound(&["--data-dir", &owner]), "ok");
    says(&ok, "schedules", &["shop.toml was synced"]);
    says(&ok, "schedules", &["stored objects"]);
}

#[test]
fn a_home_that_has_seen_more_than_it_is_shown() {
    let world = World::with(&Table::shops(3));
    let (owner, home) = (world.path("owner"), world.path("requester"));
    let earlier = world.path("earlier");
    copy_folder(Path::new(&owner), Path::new(&earlier));
    world.grant("shop", &world.requester, &["--disclose", "name", "--purpose", "p"]).ok();
    let server = world.serve();
    world.audit_gateway(&server.url, "requester").ok();
    // A copy that does not know the last block must not serve; the folder that serves may.
    fails(&["--data-dir", &earlier, "--gateway", &server.url], "gateway", &["an older copy", "do not serve from it"]);
    says(
        &found(&sound(&["--data-dir", &owner, "--gateway", &server.url]), "ok"),
        "gateway",
        &["the ledger of this folder"],
    );
    let other = World::new();
    fails(&["--data-dir", &other.path("owner"), "--gateway", &server.url], "gateway", &["another ledger"]);
    drop(server);
    let server = Server::start(&earlier);
    fails(&["--home", &home, "--gateway", &server.url], "trust", &["this home has seen", "second history"]);
    let stranger = world.path("stranger");
    sealgate(&["account", "new", "--home", &stranger, "--name", "s"]).ok();
    warns(&["--home", &stranger], "trust", &["no ledger is trusted", "sealgate trust"]);
    fails(&["--home", &stranger, "--gateway", &server.url], "trust", &["is not trusted"]);

    let seen = world.path(&format!("requester/ledgers/{}/seen", world.fingerprint));
    fs::write(&seen, "nonsense\n").unwrap();
    fails(&["--home", &home], "trust", &["damaged", "backup"]);
    let key = world.path("stranger/account.key");
    fs::write(&key, "{}").unwrap();
    fails(&["--home", &stranger], "keys", &["account.key"]);
}

/// A gateway of another version, whose clock is an hour late.
#[test]
fn a_gateway_of_another_version_and_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let body = "{\"status\":\"ok\",\"height\":7,\"version\":\"9.9.9\"}";
            let head = "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2015 00:00:00 GMT\r\ncontent-type: application/json\r\nconnection: close";
            let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    let (_, report) = examine(&["--gateway", &url]);
    says(&found(&report, "warning"), "gateway", &["its version is 9.9.9", "same version"]);
    says(&found(&report, "failure"), "clock", &["ahead of the gateway's", "NTP"]);
}

/// On a file system of one megabyte that is full, made for this test alone.
#[test]
fn a_disk_that_is_full() {
    let world = World::new();
    let (home, small) = (world.path("requester"), world.path("small"));
    fs::create_dir(&small).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=1m none {small} && cp -r {home} {small}/home && \
         {{ head -c 2000000 /dev/zero > {small}/fill 2>/dev/null || true; }} && \
         {} --json doctor --home {small}/home",
        binary().display()
    );
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output();
    let Ok(output) = output else { return println!("skipped: there is no 'unshare'") };
    let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else {
        return println!("skipped: a file system cannot be mounted here: {}", String::from_utf8_lossy(&output.stderr));
    };
    let failures = found(&report, "failure");
    says(&failures, "disk", &["free", "make room"]);
    says(&failures, "disk", &["cannot be written", "make room"]);
}
