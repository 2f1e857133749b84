//! Accounts, assets and texts from beginning to end, on an embedded ledger whose one member is its
//! operator: enrolment and pseudonyms, other keys, the end; assets that change hands or are
//! withdrawn; texts for everybody and for one reader; an auditor with other keys.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use sealgate_gateway::account_file;
use sealgate_ledger::ids::{Address, AssetId};
use sealgate_ledger::tx::TxBody;
use sealgate_tests::{Run, Table, World, answers, copy_folder, http, sealgate, sealgate_plain, terms, text};
use serde_json::Value;

mod given;

use given::{plans, submit, transfer};

const REAL_NAME: &str = "Kriminalamt Graz-Süd";
const GRANT: [&str; 4] = ["--disclose", "name", "--purpose", "tax"];

fn public(world: &World, home: &str) -> String {
    world.path(&format!("{home}/account.public"))
}

fn enrol(world: &World, home: &str, more: &[&str]) -> Run {
    let (owner, public) = (world.path("owner"), public(world, home));
    sealgate(&[&["account", "enrol", "--data-dir", &owner, &public], more].concat())
}

fn identity(world: &World, url: &str, reader: &str, address: &str) -> Run {
    sealgate(&["account", "identity", "--home", &world.path(reader), "--gateway", url, address])
}

fn replace(world: &World, url: &str, home: &str) -> Run {
    sealgate(&["account", "replace", "--home", &world.path(home), "--gateway", url])
}

fn policy(world: &World, change: &[&str]) {
    let owner = world.path("owner");
    let decided = sealgate(&[&["member", "propose", "--data-dir", &owner, "policy"], change].concat()).ok();
    assert_eq!((&decided["done"], &decided["needed"]), (&Value::Bool(true), &Value::from(1)), "one member decides");
}

fn asset(world: &World, command: &str, name: &str, more: &[&str]) -> Run {
    let owner = world.path("owner");
    sealgate(&[&["asset", command, "--data-dir", &owner, "--asset", name], more].concat())
}

fn ask(world: &World, url: &str, home: &str, id: u32) -> Run {
    world.ask(url, home, "tax", "answer.json", &format!("SELECT name FROM shop WHERE id = {id}"))
}

fn entries(url: &str) -> u64 {
    let (_, body) = http(url, "GET /v1/checkpoint HTTP/1.1", b"");
    serde_json::from_slice::<Value>(&body).unwrap()["header"]["tree_size"].as_u64().unwrap()
}

/// The id of the owner's asset.
fn shop(world: &World) -> AssetId {
    let owner = account_file::load(world.path("owner").as_ref()).unwrap().address();
    AssetId::of(&world.fingerprint.parse().unwrap(), &owner, "shop")
}

#[test]
fn a_pseudonym_is_opened_by_auditor_and_parties_and_by_nobody_else() {
    let world = World::audited_with(&Table::shops(10));
    policy(&world, &["--open-enrolment", "false"]);
    let [pseudonym, party, stranger] = ["pseudonym", "party", "stranger"].map(|home| world.account(home));
    let server = world.serve();
    let url = server.url.as_str();

    // Strangers come to nothing, however they try.
    let before = entries(url);
    for home in ["stranger", "requester"] {
        let error = ask(&world, url, home, 1).error();
        assert!(error.contains("only members enrol accounts"), "{error}");
    }
    let error =
        sealgate(&["account", "enrol", "--data-dir", &world.path("stranger"), &public(&world, "stranger")]).error();
    assert!(error.contains("no data folder of an owner"), "{error}");
    assert_eq!(entries(url), before, "something was recorded");

    enrol(&world, "requester", &[]).ok();
    let known = public(&world, "party");
    let enrolled = enrol(&world, "pseudonym", &["--real-name", REAL_NAME, "--also", &known]).ok();
    assert_eq!(enrolled["address"], pseudonym.as_str());
    for (reader, knows) in
        [("auditor", true), ("party", true), ("stranger", false), ("requester", false), ("pseudonym", false)]
    {
        let run = identity(&world, url, reader, &pseudonym);
        if knows {
            let seen = run.ok();
            assert_eq!((&seen["real_name"], &seen["name"]), (&REAL_NAME.into(), &"pseudonym".into()), "{reader}");
        } else {
            let error = run.error();
            assert!(error.contains("sealed to others") && !error.contains("Graz"), "{reader}: {error}");
        }
    }
    // Who goes by its own name has nothing sealed; who is not there is no pseudonym.
    assert_eq!(identity(&world, url, "auditor", &world.requester).ok()["real_name"], Value::Null);
    assert!(identity(&world, url, "auditor", &party).error().contains("has no account on this ledger"));
    assert!(identity(&world, url, "auditor", &stranger).error().contains("has no account on this ledger"));
    assert!(enrol(&world, "pseudonym", &[]).error().contains("has an account on this ledger already"));

    // It asks under its pseudonym, and nothing that the gateway shows holds the name.
    world.grant("shop", &pseudonym, &GRANT).ok();
    ask(&world, url, "pseudonym", 3).ok();
    for path in ["/v1/accounts", &format!("/v1/accounts/{pseudonym}"), "/v1/trail", "/v1/blocks?from=0"] {
        let (status, body) = http(url, &format!("GET {path} HTTP/1.1"), b"");
        let shown = String::from_utf8_lossy(&body);
        assert!(status == 200 && !shown.contains("Kriminalamt"), "{path}");
    }

    // With other keys it is the same pseudonym, also to a reader that has other keys itself.
    let first = text(&replace(&world, url, "pseudonym").ok()["address"]);
    let second = text(&replace(&world, url, "pseudonym").ok()["address"]);
    assert_eq!(text(&replace(&world, url, "auditor").ok()["address"]).len(), second.len());
    for address in [&pseudonym, &first, &second] {
        for reader in ["auditor", "party"] {
            assert_eq!(identity(&world, url, reader, address).ok()["real_name"], REAL_NAME, "{reader} of {address}");
        }
        identity(&world, url, "stranger", address).error();
    }
    ask(&world, url, "pseudonym", 4).ok();

    // Whoever enrolled it ends it, whatever its keys are by now.
    let owner = world.path("owner");
    let request = text(&ask(&world, url, "pseudonym", 6).ok()["request"]);
    let answer = || http(url, &format!("GET /v1/answers/{request}?seen=0 HTTP/1.1"), b"").0;
    assert_eq!(answer(), 200);
    sealgate(&["account", "close", "--data-dir", &owner, &second]).ok();
    assert!(ask(&world, url, "pseudonym", 5).error().contains("was closed in block"));
    // Its keys may be in other hands: what it was told is not told again.
    assert_eq!(answer(), 404);
    world.audit_gateway(url, "auditor").ok();
}

#[test]
fn a_real_name_needs_somebody_who_may_know_it() {
    let world = World::new();
    world.account("pseudonym");
    let error = enrol(&world, "pseudonym", &["--real-name", REAL_NAME]).error();
    assert!(error.contains("names no auditor") && error.contains("--also"), "{error}");
    for name in ["", &"x".repeat(101)] {
        let reader = public(&world, "auditor");
        let error = enrol(&world, "pseudonym", &["--real-name", name, "--also", &reader]).error();
        assert!(error.contains("1 to 100 bytes"), "{error}");
    }
    let server = world.serve();
    assert_eq!(entries(&server.url), 0, "something was recorded");
}

#[test]
fn a_replaced_account_keeps_what_it_was_granted_and_its_old_key_opens_nothing() {
    let world = World::with(&Table::shops(10));
    world.grant("shop", &world.requester, &[&GRANT[..], &["--quota", "4"]].concat()).ok();
    let server = world.serve();
    let url = server.url.as_str();
    ask(&world, url, "requester", 1).ok();
    copy_folder(world.path("requester").as_ref(), world.path("thief").as_ref());
    copy_folder(world.path("requester").as_ref(), world.path("cut-short").as_ref());

    let successor = text(&replace(&world, url, "requester").ok()["address"]);
    assert_ne!(successor, world.requester);
    ask(&world, url, "requester", 2).ok();
    assert_eq!(world.used(url, "shop", &successor), 2, "the count goes over with the grant");
    let (status, body) = http(url, &format!("GET /v1/accounts/{} HTTP/1.1", world.requester), b"");
    let old: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &old["successor"]), (200, &Value::from(successor.as_str())));
    assert!(old["closed"].is_u64(), "{old}");
    // What was asked before is verified with the file alone, under the new keys too.
    let kept = world.path(&format!("requester/account.{}.key", world.requester));
    assert!(Path::new(&kept).exists(), "the keys before are kept");

    let closed = |run: Run| {
        let error = run.error();
        assert!(error.contains("was closed in block") && error.contains(&successor), "{error}");
    };
    let before = entries(url);
    closed(ask(&world, url, "thief", 3));
    closed(replace(&world, url, "thief"));
    assert_eq!(entries(url), before);

    // Killed after the ledger had recorded it, before the keys were in their place.
    std::fs::copy(world.path("requester/account.key"), world.path("cut-short/account.next.key")).unwrap();
    let taken_up = replace(&world, url, "cut-short").ok();
    assert_eq!(taken_up["address"], successor.as_str());
    assert_eq!(entries(url), before, "it is recorded once");
    assert!(!Path::new(&world.path("cut-short/account.next.key")).exists());
    ask(&world, url, "cut-short", 3).ok();
    // Killed before that: the keys that were made are the ones that are taken.
    let prepared = account_file::prepare_successor(world.path("cut-short").as_ref(), "requester").unwrap();
    assert_eq!(text(&replace(&world, url, "cut-short").ok()["address"]), prepared.address().to_string());
    ask(&world, url, "cut-short", 4).ok();
    assert!(ask(&world, url, "cut-short", 5).error().contains("quota"));
    assert!(ask(&world, url, "requester", 5).error().contains("was closed in block"));
    world.audit_gateway(url, "auditor").ok();
    drop(server);
    world.audit_owner().ok();
}

#[test]
fn an_asset_of_a_name_of_its_own_is_found_under_its_owner_and_goes_over_to_its_successor() {
    let world = World::with(&Table::shops(10));
    let (giver, taker) = (world.account("giver"), world.account("taker"));
    let [giver, taker] = [giver, taker].map(|address| address.parse::<Address>().unwrap());
    for home in ["giver", "taker"] {
        enrol(&world, home, &[]).ok();
    }
    let server = world.serve();
    let url = server.url.as_str();
    let id = shop(&world);
    world.transfer(url, &id.to_string(), "giver").ok();
    let listed =
        |name: String| sealgate(&["grants", "--home", &world.path("auditor"), "--gateway", url, "--asset", &name]);
    assert!(listed(format!("{giver}/shop")).ok().to_string().contains(&id.to_string()));
    // From home to home: the owner's software is a data folder's, so the transfer is made here.
    drop(server);
    let [of_giver, of_taker] = ["giver", "taker"].map(|home| account_file::load(world.path(home).as_ref()).unwrap());
    submit(&world, &of_giver, transfer(&world, id, &of_taker)).unwrap();
    let server = world.serve();
    let url = server.url.as_str();
    let successor = text(&replace(&world, url, "taker").ok()["address"]);
    let owner = || {
        let (_, body) = http(url, &format!("GET /v1/assets/{id} HTTP/1.1"), b"");
        let detail: Value = serde_json::from_slice(&body).unwrap();
        (text(&detail["asset"]["owner"]), detail["asset"]["handed"].as_array().unwrap().len())
    };
    assert_eq!(owner(), (successor.clone(), 3));
    assert_ne!(successor, taker.to_string());
    let again = sealgate(&["asset", "take-over", "--home", &world.path("taker"), "--gateway", url]);
    assert!(again.error().contains("nothing was taken over"));
    // A home finds it under its owner's DID, and proves the three steps that led there.
    let did = account_file::load(world.path("taker").as_ref()).unwrap().public().did();
    for name in [format!("{did}/shop"), format!("{successor}/shop"), id.to_string(), "shop".into()] {
        let sql = format!("SELECT name FROM \"{name}\" WHERE id = 1");
        let error = world.ask(url, "requester", "tax", "x.json", &sql).error();
        assert!(error.contains("answers for no asset"), "{name}: {error}");
    }
    let gone = world.ask(url, "requester", "tax", "x.json", &format!("SELECT name FROM \"{did}/shap\" WHERE id = 1"));
    assert!(gone.error().contains("has no asset"));
    world.audit_gateway(url, "auditor").ok();
    drop(server);
    world.audit_owner().ok();
}

#[test]
fn an_owner_finds_an_asset_that_it_was_given_by_its_name() {
    let world = World::with(&Table::shops(10));
    let owner = world.path("owner");
    world.account("giver");
    let (id, manifest) = plans(&world);
    let config = world.path("owner/sealgate.toml");
    let usual = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{usual}\n[[sync]]\nmanifest = {manifest:?}\nevery = \"7d\"\n")).unwrap();
    {
        let server = world.serve();
        let url = server.url.as_str();
        let told = sealgate(&["doctor", "--data-dir", &owner]).json.to_string();
        assert!(told.contains("plans.toml was synced"), "{told}");
        let list = |name: &str| sealgate_plain(&["list", name, "--gateway", url, "--home", &world.path("auditor")]);
        let (found, slip) = (list("plans").stdout, list("plns").stdout);
        assert!(found.starts_with("plans  Plans") && found.contains(&id.to_string()), "{found}");
        assert!(slip.starts_with("the ledger's operator has no asset 'plns'"), "{slip}");
        assert!(slip.contains("(did you mean 'plans'?)"), "{slip}");
        // It has a version: the schedule has nothing to do yet.
        let (_, body) = http(url, &format!("GET /v1/assets/{id} HTTP/1.1"), b"");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["asset"]["current"], 1);
    }
    let keys = || sealgate(&["keys", "list", "--data-dir", &owner]).ok()["keys"].clone();
    assert_eq!(keys().as_array().unwrap().len(), 2);
    let destroy = |name: &str| sealgate(&["keys", "destroy", "--data-dir", &owner, "--asset", name, "--confirm", name]);
    assert!(destroy("plns").error().contains("did you mean 'plans'?"));
    assert_eq!(destroy("plans").ok()["destroyed"], id.to_string());
    assert_eq!((keys().as_array().unwrap().len(), &keys()[0]["name"]), (1, &Value::from("shop")));
    // What was the owner's and is another's now is not published again under its name.
    let [own, giver] = [owner.clone(), world.path("giver")].map(|folder| account_file::load(folder.as_ref()).unwrap());
    submit(&world, &own, transfer(&world, shop(&world), &giver)).unwrap();
    let shop = Table::shops(10).write(world.dir.path());
    assert!(world.publish(&shop).error().contains("belongs to"));
}

#[test]
fn one_pseudonym_asks_under_two_grants() {
    let world = World::audited_with(&Table::shops(10));
    let other = Table { name: "fees".into(), ..Table::shops(10) };
    world.publish(&other.write(world.dir.path())).ok();
    let pseudonym = world.account("pseudonym");
    enrol(&world, "pseudonym", &["--real-name", REAL_NAME]).ok();
    for asset in ["shop", "fees"] {
        world.grant(asset, &pseudonym, &GRANT).ok();
    }
    let server = world.serve();
    let url = server.url.as_str();
    for asset in ["shop", "fees"] {
        let sql = format!("SELECT name FROM {asset} WHERE id = 1");
        world.ask(url, "pseudonym", "tax", "answer.json", &sql).ok();
    }
    // Whoever reads the ledger sees that it is one party, and the auditor who.
    let trail = world.trail(url, "auditor");
    let by: Vec<String> = trail.iter().map(|line| text(&line["requester"])).collect();
    assert_eq!(by, [pseudonym.clone(), pseudonym.clone()]);
    assert_eq!(identity(&world, url, "auditor", &pseudonym).ok()["real_name"], REAL_NAME);
    // Its successor is the same to both owners' lists.
    let successor = text(&replace(&world, url, "pseudonym").ok()["address"]);
    for asset in ["shop", "fees"] {
        let sql = format!("SELECT name FROM {asset} WHERE id = 2");
        world.ask(url, "pseudonym", "tax", "answer.json", &sql).ok();
        let args = ["list", asset, "--gateway", url, "--home", &world.path("auditor"), "--address", &successor];
        assert_eq!(sealgate(&args).ok()["grants"][0]["to"], pseudonym.as_str());
    }
    world.revoke("shop", &successor).ok();
    assert!(ask(&world, url, "pseudonym", 3).error().contains("granted the sender nothing"));
}

#[test]
fn accounts_end_by_their_own_word_or_by_their_member_s() {
    let world = World::with(&Table::shops(10));
    let [own, lost] = ["own", "lost"].map(|home| world.account(home));
    for address in [&world.requester, &own, &lost] {
        world.grant("shop", address, &GRANT).ok();
    }
    enrol(&world, "lost", &[]).ok();
    let server = world.serve();
    let url = server.url.as_str();
    for home in ["requester", "own", "lost"] {
        ask(&world, url, home, 1).ok();
    }
    let by_member = |address: &str| sealgate(&["account", "close", "--data-dir", &world.path("owner"), address]);
    let error = by_member(&own).error();
    assert!(error.contains("cannot open or close"), "it enrolled itself: {error}");
    by_member(&lost).ok();
    sealgate(&["account", "close", "--home", &world.path("own"), "--gateway", url]).ok();
    for home in ["own", "lost"] {
        for again in [ask(&world, url, home, 2), replace(&world, url, home)] {
            let error = again.error();
            assert!(error.contains("was closed in block"), "{home}: {error}");
        }
    }
    for address in [&own, &lost] {
        assert!(by_member(address).error().contains("was closed in block"));
    }
    let operator = account_file::load(world.path("owner").as_ref()).unwrap().address().to_string();
    assert!(by_member(&operator).error().contains("member's account"));
    ask(&world, url, "requester", 2).ok();
    world.audit_gateway(url, "auditor").ok();
}

#[test]
fn who_gave_an_asset_away_can_do_nothing_to_it_any_more() {
    let world = World::with(&Table::shops(10));
    world.grant("shop", &world.requester, &GRANT).ok();
    let stranger = world.account("stranger");
    let server = world.serve();
    ask(&world, &server.url, "requester", 1).ok();
    let id = shop(&world).to_string();
    let error = world.transfer(&server.url, &id, "stranger").error();
    assert!(error.contains("has no account on this ledger"), "{error}");
    enrol(&world, "stranger", &[]).ok();
    // What another agreed to, or to be given another asset, is no consent.
    let consent = world.path("consent.json");
    let wrong = |to: &str| {
        let error = asset(&world, "transfer", "shop", &["--to", to, "--consent", &consent]).error();
        assert!(error.contains("ask the receiver for another"), "{error}");
    };
    wrong(&world.requester);
    let written = std::fs::read_to_string(&consent).unwrap();
    std::fs::write(&consent, written.replace("\"handed\": 0", "\"handed\": 1")).unwrap();
    wrong(&stranger);
    world.transfer(&server.url, &id, "stranger").ok();
    for run in [
        world.grant("shop", &stranger, &GRANT),
        world.revoke("shop", &world.requester),
        asset(&world, "withdraw", "shop", &[]),
        world.transfer(&server.url, &id, "requester"),
    ] {
        let error = run.error();
        assert!(error.contains("has published no asset"), "{error}");
    }
    let error = world.publish(&Table::shops(11).write(world.dir.path())).error();
    assert!(error.contains("belongs to"), "{error}");
    // Neither does its gateway answer for it.
    let sql = format!("SELECT name FROM \"{id}\" WHERE id = 1");
    let error = world.ask(&server.url, "requester", "tax", "x.json", &sql).error();
    assert!(error.contains("answers for no asset"), "{error}");
    world.audit_gateway(&server.url, "auditor").ok();
    drop(server);

    // The ledger says so too, to software that does not ask itself; the new owner is heard.
    let [operator, owner] = ["owner", "stranger"].map(|home| account_file::load(world.path(home).as_ref()).unwrap());
    let terms = terms(vec![1]);
    let (asset, to) = (id.parse().unwrap(), world.requester.parse().unwrap());
    for body in [
        TxBody::Grant { asset, to, terms: terms.clone() },
        TxBody::Revoke { asset, to },
        TxBody::Withdraw { asset },
        transfer(&world, asset, &operator),
    ] {
        let error = submit(&world, &operator, body.clone()).unwrap_err().to_string();
        assert!(error.contains(&format!("belongs to {}", owner.address())), "{body:?}: {error}");
    }
    for body in [TxBody::Grant { asset, to, terms }, TxBody::Revoke { asset, to }, TxBody::Withdraw { asset }] {
        submit(&world, &owner, body).unwrap();
    }
    let error = submit(&world, &owner, transfer(&world, asset, &operator)).unwrap_err().to_string();
    assert!(error.contains("was withdrawn in block"), "{error}");
    world.audit_owner().ok();
}

#[test]
fn nothing_of_a_withdrawn_asset_is_answered() {
    let world = World::with(&Table::shops(60));
    let grant = ["--disclose", "name", "--prove", "fee >= ?", "--purpose", "tax", "--quota", "100"];
    world.grant("shop", &world.requester, &grant).ok();
    let keys: Vec<String> = (1..=40).map(|id| id.to_string()).collect();
    std::fs::write(world.path("keys.csv"), format!("id\n{}\n", keys.join("\n"))).unwrap();
    let server = world.serve();
    let url = server.url.as_str();
    ask(&world, url, "requester", 1).ok();
    let hash_of_last = || world.trail(url, "auditor").last().map(|line| text(&line["request"])).unwrap();
    let first = hash_of_last();
    let session = world.signed_in("requester", url);
    let released = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            world.ask_keys(url, "requester", "tax", "many.json", "keys.csv", "SELECT fee >= 100 FROM shop WHERE id = ?")
        });
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < Duration::from_secs(60), "the answer is not being made");
            let hash = hash_of_last();
            if hash != first && http(url, &format!("GET /v1/requests/{hash}/progress HTTP/1.1{session}"), b"").0 == 200
            {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        asset(&world, "withdraw", "shop", &[]).ok();
        asked.join().unwrap()
    });
    let error = released.error();
    assert!(error.contains("not released") && error.contains("withdrawn"), "{error}");
    assert!(!Path::new(&world.path("many.json")).exists());
    let hash = hash_of_last();
    assert_eq!(http(url, &format!("GET /v1/answers/{hash} HTTP/1.1"), b"").0, 404);

    let error = ask(&world, url, "requester", 2).error();
    assert!(error.starts_with("denied: ") && error.contains("withdrawn"), "{error}");
    let last = world.trail(url, "auditor").pop().unwrap();
    assert!(last["status"].to_string().contains("withdrawn"), "{last}");
    // Nothing brings it back: no grant, no version, no other asset of that name.
    assert!(world.grant("shop", &world.requester, &GRANT).error().contains("withdrawn"));
    assert!(asset(&world, "withdraw", "shop", &[]).error().contains("withdrawn"));
    world.publish(&Table::shops(9).write(world.dir.path())).error();
    // What was answered before stays verifiable.
    assert!(!answers(&world.verify("requester", "answer.json").ok()).is_empty());
    world.audit_gateway(url, "auditor").ok();
    drop(server);
    world.audit_owner().ok();
}

#[test]
fn a_text_is_everybody_s_or_its_reader_s() {
    let world = World::new();
    let server = world.serve();
    let url = server.url.as_str();
    world.account("stranger");
    let put = |name: &str, content: &str, to: &[&str]| {
        let (owner, file) = (world.path("owner"), world.path("text.txt"));
        std::fs::write(&file, content).unwrap();
        let args = ["text", "put", "--data-dir", &owner, "--name", name, "--title", "Notiz", "--file", &file];
        sealgate(&[&args[..], to].concat())
    };
    let show = |home: &str, id: &str| sealgate(&["text", "show", "--home", &world.path(home), "--gateway", url, id]);
    let readers = ["requester", "auditor"].map(|home| public(&world, home));

    let notice = text(&put("notice", "Wartung ab 19 Uhr", &["--public"]).ok()["text"]);
    let memo = text(&put("memo", "Aktenzahl Ä-7714", &["--to", &readers[0]]).ok()["text"]);
    for home in ["requester", "auditor", "stranger"] {
        let shown = show(home, &notice).ok();
        assert_eq!((&shown["content"], &shown["title"]), (&"Wartung ab 19 Uhr".into(), &"Notiz".into()));
    }
    assert_eq!(show("requester", &memo).ok()["content"], "Aktenzahl Ä-7714");
    for home in ["auditor", "stranger"] {
        assert!(show(home, &memo).error().contains("sealed to others"), "{home}");
    }
    // Replaced: for other readers, then for everybody; the id stays.
    assert_eq!(text(&put("memo", "neu", &["--to", &readers[1]]).ok()["text"]), memo);
    assert_eq!(show("auditor", &memo).ok()["content"], "neu");
    assert!(show("requester", &memo).error().contains("sealed to others"));
    assert_eq!(text(&put("memo", "offen", &["--public"]).ok()["text"]), memo);
    assert_eq!(show("stranger", &memo).ok()["content"], "offen");
    let listed = serde_json::from_slice::<Value>(&http(url, "GET /v1/texts HTTP/1.1", b"").1).unwrap();
    assert_eq!(listed["texts"].as_array().unwrap().len(), 2);

    // Bounds, and one space of names with the assets.
    let before = entries(url);
    assert_eq!(put("long", &"x".repeat(4096), &["--public"]).code, 0);
    assert!(put("long", &"x".repeat(4097), &["--public"]).error().contains("4"));
    assert!(put("no name", "x", &["--public"]).error().contains("name"));
    assert_eq!(entries(url), before + 1);
    world.publish(&Table::shops(3).write(world.dir.path())).ok();
    assert!(put("shop", "x", &["--public"]).error().contains("shop"));
    world.audit_gateway(url, "auditor").ok();
}

#[test]
fn an_auditor_with_other_keys_reads_the_old_charges_and_the_new() {
    let world = World::audited_with(&Table::shops(20));
    world.grant("shop", &world.requester, &["--prove", "fee >= ?", "--purpose", "tax"]).ok();
    let server = world.serve();
    let url = server.url.as_str();
    let ask = |id: u32, limit: u32| {
        world.ask(url, "requester", "tax", "a.json", &format!("SELECT fee >= {limit} FROM shop WHERE id = {id}")).ok();
    };
    let both = |answers: u64| {
        let (owners, auditors) = (world.budget_owner().ok(), world.budget_gateway(url, "auditor").ok());
        assert_eq!(owners, auditors);
        assert_eq!(owners["answers_checked"], answers);
    };
    ask(1, 5);
    both(1);
    // It is named by the rules and has no account: its keys are replaced in its home alone.
    let before = entries(url);
    let address = text(&replace(&world, url, "auditor").ok()["address"]);
    assert_ne!(address, world.auditor);
    assert_eq!(entries(url), before);
    both(1);
    // Until the members name the new keys, charges are sealed to the old ones, which it has kept.
    ask(2, 5);
    both(2);
    policy(&world, &["--auditor", &public(&world, "auditor")]);
    ask(2, 6);
    ask(3, 7);
    both(4);
    // Somebody else is the auditor from now on, and reads nothing of before.
    world.account("next");
    policy(&world, &["--auditor", &public(&world, "next")]);
    ask(4, 8);
    let error = world.budget_gateway(url, "next").error();
    assert!(error.contains("account of what was told is wrong"), "{error}");
    world.budget_gateway(url, "requester").error();
    assert_eq!(world.budget_owner().ok()["answers_checked"], 5);
}
