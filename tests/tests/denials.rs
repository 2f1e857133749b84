//! Refusals: each with its reason, on the ledger, and the same whether or not the record exists.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::time::Duration;

use sealgate_tests::{
    Exchange, Run, Server, Table, Wire, World, answers, block_sizes, manifest, sealgate, shared_data, text, unnamed,
};
use serde_json::Value;

fn ask(world: &World, server: &Server, sql: &str) -> Run {
    world.ask(&server.url, "requester", "tax", "refused.json", sql)
}

/// The last line of the trail, which must be the denied request of this error.
fn last_is_denied(world: &World, server: &Server, error: &str, reason: &str) {
    let trail = world.trail(&server.url, "auditor");
    let last = trail.last().unwrap();
    assert!(error.contains(&text(&last["request"])), "{error} is not {last}");
    assert!(last["status"].to_string().contains("denied") && last["status"].to_string().contains(reason), "{last}");
    let block = format!("block {})", last["block"]);
    assert!(error.ends_with(&block), "{error} does not end with {block}");
}

#[test]
fn what_is_not_granted_is_denied_with_its_reason_and_recorded() {
    let world = World::with(&Table::shops(30));
    let grant = ["--disclose", "name", "--prove", "fee >= 100", "--prove", "fee BETWEEN 10 AND 20", "--purpose", "tax"];
    world.grant("shop", &world.requester, &grant).ok();
    let server = world.serve();
    let mut denied = 0;
    for (item, reason) in [
        ("area", "field"),
        ("name, area", "field"),
        ("id", "field"),
        ("fee", "field"),
        ("fee >= 100.01", "predicate"),
        ("fee >= 99", "predicate"),
        ("fee > 100", "predicate"),
        ("fee < 100", "predicate"),
        ("fee = 100", "predicate"),
        ("NOT fee >= 100", "predicate"),
        ("fee BETWEEN 10 AND 21", "predicate"),
        ("fee NOT BETWEEN 10 AND 20", "predicate"),
        ("name = 'Shop no. 3'", "predicate"),
        ("name, fee >= 100, fee >= 101", "predicate"),
        ("1", "existence"),
    ] {
        for id in [3, 7, 31] {
            let out = world.path("refused.json");
            let error = ask(&world, &server, &format!("SELECT {item} FROM shop WHERE id = {id}")).error();
            assert!(error.starts_with("denied: the grant does not "), "{item}: {error}");
            last_is_denied(&world, &server, &error, reason);
            assert!(!std::path::Path::new(&out).exists(), "{item}: something was written");
            denied += 1;
        }
    }
    // The granted ones go, in every spelling that means the same.
    for item in ["name", "fee >= 100", "fee >= 100.00", "NOT fee < 100", "(fee >= 100)", "FEE between 10 and 20.0"] {
        ask(&world, &server, &format!("SELECT {item} FROM shop WHERE id = 3")).ok();
    }
    let audit = world.audit_gateway(&server.url, "auditor").ok();
    assert_eq!((audit["summary"]["denied"].as_u64(), audit["summary"]["granted"].as_u64()), (Some(denied), Some(6)));
    assert_eq!(world.trail(&server.url, "auditor").len() as u64, denied + 6);
}

#[test]
fn a_file_that_was_there_stays_as_it_was() {
    let world = World::with(&Table::shops(5));
    let server = world.serve();
    std::fs::write(world.path("refused.json"), "mine").unwrap();
    ask(&world, &server, "SELECT name FROM shop WHERE id = 1").error();
    assert_eq!(std::fs::read_to_string(world.path("refused.json")).unwrap(), "mine");
}

#[test]
fn purpose_identity_time_and_revocation() {
    let world = World::with(&Table::shops(30));
    let stranger = world.account("stranger");
    let server = world.serve();
    let sql = |id: u32| format!("SELECT name FROM shop WHERE id = {id}");
    let as_whom = |home: &str, purpose: &str, id: u32| world.ask(&server.url, home, purpose, "x.json", &sql(id));

    // Nobody has a grant. Unknown accounts are enrolled, and their requests stand on the ledger.
    let accounts = |()| world.audit_gateway(&server.url, "auditor").ok()["summary"]["accounts"].as_u64().unwrap();
    let before = accounts(());
    for id in [1, 99] {
        let error = as_whom("stranger", "tax", id).error();
        last_is_denied(&world, &server, &error, "no_grant");
    }
    assert_eq!(accounts(()), before + 1, "a stranger is enrolled once");
    assert_eq!(world.trail(&server.url, "auditor").last().unwrap()["requester"], Value::String(stranger.clone()));
    assert_eq!(world.trail(&server.url, "auditor").last().unwrap()["name"], "stranger");

    // Purposes are equal letter by letter.
    world.grant("shop", &world.requester, &["--disclose", "name", "--purpose", "tax"]).ok();
    for purpose in ["Tax", "tax ", "", "taxes", "audit"] {
        for id in [1, 99] {
            let error = as_whom("requester", purpose, id).error();
            last_is_denied(&world, &server, &error, "purpose");
        }
    }
    as_whom("requester", "tax", 1).ok();
    assert!(as_whom("stranger", "tax", 1).error().contains("granted the sender nothing"));

    // Time.
    world.grant("shop", &stranger, &["--disclose", "name", "--purpose", "tax", "--until", "2020-01-01T00:00:00Z"]).ok();
    for id in [1, 99] {
        let error = as_whom("stranger", "tax", id).error();
        last_is_denied(&world, &server, &error, "expired");
    }
    let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 4;
    let until = format!("{}", Utc(soon));
    world.grant("shop", &stranger, &["--disclose", "name", "--purpose", "tax", "--until", &until]).ok();
    as_whom("stranger", "tax", 1).ok();
    std::thread::sleep(Duration::from_millis(4500));
    let error = as_whom("stranger", "tax", 1).error();
    last_is_denied(&world, &server, &error, "expired");

    // Revocation, of one and not of the other.
    world.grant("shop", &stranger, &["--disclose", "name", "--purpose", "tax"]).ok();
    as_whom("stranger", "tax", 1).ok();
    world.revoke("shop", &stranger).ok();
    for id in [1, 99] {
        let error = as_whom("stranger", "tax", id).error();
        last_is_denied(&world, &server, &error, "no_grant");
    }
    as_whom("requester", "tax", 2).ok();
    // A new grant replaces the old one whole.
    world.grant("shop", &world.requester, &["--disclose", "area", "--purpose", "tax"]).ok();
    let error = as_whom("requester", "tax", 2).error();
    last_is_denied(&world, &server, &error, "field");
}

/// Seconds since 1970 as RFC 3339.
struct Utc(u64);

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mut day, second, mut year) = (self.0 / 86_400, self.0 % 86_400, 1970);
        let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        while day >= 365 + u64::from(leap(year)) {
            day -= 365 + u64::from(leap(year));
            year += 1;
        }
        let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut month = 0;
        while day >= lengths[month] {
            day -= lengths[month];
            month += 1;
        }
        write!(
            f,
            "{year}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            month + 1,
            day + 1,
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

#[test]
fn a_quota_counts_every_granted_question_absent_records_too() {
    let world = World::with(&Table::shops(30));
    world.grant("shop", &world.requester, &["--disclose", "name", "--purpose", "tax", "--quota", "3"]).ok();
    let server = world.serve();
    let sql = |id: u32| format!("SELECT name FROM shop WHERE id = {id}");
    // Denials do not count.
    ask(&world, &server, "SELECT fee FROM shop WHERE id = 1").error();
    assert_eq!(ask(&world, &server, &sql(1)).ok()["records"][0]["found"], true);
    assert_eq!(ask(&world, &server, &sql(99)).ok()["records"][0]["found"], false);
    assert_eq!(ask(&world, &server, &sql(99)).ok()["records"][0]["found"], false);
    std::fs::remove_file(world.path("refused.json")).unwrap();
    for id in [1, 2, 99, 100] {
        let error = ask(&world, &server, &sql(id)).error();
        assert!(error.contains("quota"), "{error}");
        last_is_denied(&world, &server, &error, "quota_used");
        assert!(!std::path::Path::new(&world.path("refused.json")).exists());
    }
    // A restart forgets nothing; a new version refills nothing; a new grant begins anew.
    drop(server);
    world.publish(&Table::shops(31).write(world.dir.path())).ok();
    let server = world.serve();
    assert!(ask(&world, &server, &sql(3)).error().contains("quota"));
    world.grant("shop", &world.requester, &["--disclose", "name", "--purpose", "tax", "--quota", "1"]).ok();
    ask(&world, &server, &sql(3)).ok();
    assert!(ask(&world, &server, &sql(3)).error().contains("quota"));
}

/// Two worlds in the very same state; in one the record exists, in the other it does not.
fn onlookers_see_the_same(
    world: &World,
    table: &str,
    key: &str,
    present: &str,
    absent: &str,
    items: &[(&str, &str, bool)],
) {
    let twin = world.twin();
    let (server, twin_server) = (world.serve(), twin.serve());
    let (wire, twin_wire) = (Wire::to(&server.url), Wire::to(&twin_server.url));
    for (purpose, item, granted) in items {
        let sql = |id: &str| format!("SELECT {item} FROM {table} WHERE {key} = {id}");
        let here = world.ask(&wire.url, "requester", purpose, "a.json", &sql(present));
        let there = twin.ask(&twin_wire.url, "requester", purpose, "a.json", &sql(absent));
        // How often progress was asked for is a matter of time.
        let taken = |wire: &Wire| -> Vec<Exchange> {
            wire.take().into_iter().filter(|exchange| !exchange.call.ends_with("/progress")).collect()
        };
        let (seen, seen_there) = (taken(&wire), taken(&twin_wire));
        assert!(seen.iter().any(|exchange| exchange.call == "POST /v1/asks"), "{seen:?}");
        for (one, other) in seen.iter().zip(&seen_there) {
            assert_eq!(one.measured(), other.measured(), "{purpose}: {item}");
        }
        assert_eq!(seen.len(), seen_there.len(), "{purpose}: {item}");
        if *granted {
            let (here, there) = (here.ok(), there.ok());
            assert_eq!(
                (&here["records"][0]["found"], &there["records"][0]["found"]),
                (&Value::Bool(true), &Value::Bool(false))
            );
            assert!(!answers(&here).is_empty());
        } else {
            assert_eq!(unnamed(&here.error()), unnamed(&there.error()), "{item}");
        }
        let bare = |world: &World, url: &str| {
            let line = world.trail(url, "auditor").pop().unwrap();
            (
                line["shape"].clone(),
                line["purpose"].clone(),
                line["status"].to_string().split(|c: char| c.is_ascii_hexdigit()).collect::<String>(),
            )
        };
        assert_eq!(bare(world, &server.url), bare(&twin, &twin_server.url));
    }
    let size = |world: &World, url: &str| {
        let answers = sealgate_tests::files_under(std::path::Path::new(&world.path("owner/answers")));
        // Their names are random; their sizes follow from the questions.
        let mut sizes: Vec<u64> = answers.iter().map(|path| std::fs::metadata(path).unwrap().len()).collect();
        sizes.sort_unstable();
        (block_sizes(url), sizes)
    };
    assert_eq!(
        size(world, &server.url),
        size(&twin, &twin_server.url),
        "blocks and stored answers have the same sizes"
    );
}

#[test]
fn refusals_and_answers_look_the_same_whether_or_not_the_record_exists() {
    let world = World::with(&Table::shops(300));
    let grant = ["--disclose", "name,area,fee", "--prove", "fee >= 100", "--purpose", "tax", "--quota", "4"];
    world.grant("shop", &world.requester, &grant).ok();
    let items = [
        ("tax", "opened", false),
        ("tax", "fee >= 101", false),
        ("tax", "1", false),
        ("other", "name", false),
        ("tax", "name, area, fee, fee >= 100", true),
        ("tax", "name, area, fee, fee >= 100", true),
        ("tax", "name", true),
        ("tax", "fee >= 100", true),
        ("tax", "name", false),
        ("tax", "opened", false),
    ];
    // Record 35 has neither fee nor area.
    onlookers_see_the_same(
        &world,
        "shop",
        "id",
        "35",
        "99",
        &items[4..5].iter().map(|_| ("nothing", "name", false)).collect::<Vec<_>>(),
    );
    onlookers_see_the_same(&world, "shop", "id", "035", "999", &items);
}

#[test]
fn refusals_on_real_licences_look_the_same_whether_or_not_the_record_exists() {
    if shared_data("licences/vancouver_restaurant_licences.csv").is_none() {
        return;
    }
    let world = World::new();
    world.publish(&manifest("licences.toml")).ok();
    let grant = ["--disclose", "Status,BusinessName", "--prove", "FeePaid >= 500", "--purpose", "tax", "--quota", "2"];
    world.grant("licences", &world.requester, &grant).ok();
    let items = [
        ("tax", "FeePaid", false),
        ("tax", "FeePaid >= 499", false),
        ("tax", "Status, BusinessName, FeePaid >= 500", true),
        ("tax", "Status", true),
        ("tax", "Status", false),
        ("nosy", "Status", false),
    ];
    onlookers_see_the_same(&world, "licences", "LicenceRSN", "4528701", "4528700", &items);
}

#[test]
fn nobody_without_the_owner_s_folder_changes_a_list() {
    let world = World::with(&Table::shops(5));
    let server = world.serve();
    // A requester's home is no owner's folder.
    let home = world.path("requester");
    for command in ["grant", "revoke"] {
        let mut args = vec![command, "--data-dir", &home, "--asset", "shop", "--to", &world.requester];
        if command == "grant" {
            args.extend(["--disclose", "name", "--purpose", "tax"]);
        }
        let error = sealgate(&args).error();
        assert!(error.contains("no data folder of an owner"), "{error}");
    }
    // Another owner's asset of the same name is another asset.
    let other = world.path("other-owner");
    sealgate(&["init", "--data-dir", &other, "--name", "Other"]).ok();
    let error = sealgate(&[
        "grant",
        "--data-dir",
        &other,
        "--asset",
        "shop",
        "--to",
        &world.requester,
        "--disclose",
        "name",
        "--purpose",
        "tax",
    ])
    .error();
    assert!(error.contains("no asset 'shop'"), "{error}");
    assert!(ask(&world, &server, "SELECT name FROM shop WHERE id = 1").error().contains("granted the sender nothing"));
}
