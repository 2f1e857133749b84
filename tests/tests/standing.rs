//! The light client: an asset's contract and whole list, proven, and never an older one than seen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use sealgate_gateway::home::Home;
use sealgate_ledger::checkpoint::Checkpoint;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::standing::AssetStanding;
use sealgate_tests::{Run, Server, Table, World, copy_folder, http, sealgate, sealgate_plain, text};
use serde_json::Value;

fn list(world: &World, url: &str, home: &str, more: &[&str]) -> Run {
    let home = world.path(home);
    let mut args = vec!["list", "--gateway", url, "--home", &home];
    args.extend(more);
    sealgate(&args)
}

fn addresses(list: &Value) -> Vec<String> {
    list["grants"].as_array().unwrap().iter().map(|grant| text(&grant["to"])).collect()
}

fn get(url: &str, path: &str) -> Vec<u8> {
    let (status, body) = http(url, &format!("GET {path} HTTP/1.1"), b"");
    assert_eq!(status, 200, "{path}");
    body
}

/// A gateway on the way that alters what GETs bring back. It lives as long as the test.
fn altering(gateway: &str, alter: impl Fn(&str, Vec<u8>) -> Vec<u8> + Send + 'static) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway = gateway.to_owned();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            let Some(Ok(first)) = lines.next() else { continue };
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
            let (status, body) = http(&gateway, &format!("GET {path} HTTP/1.1"), b"");
            let body = alter(&path, body);
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(&body));
        }
    });
    url
}

#[test]
fn the_list_follows_grants_and_revocations() {
    let world = World::with(&Table::shops(10));
    let server = world.serve();
    let asset = text(&list(&world, &server.url, "requester", &["shop"]).ok()["asset"]);
    let empty = list(&world, &server.url, "requester", &[&asset]).ok();
    assert_eq!((addresses(&empty).len(), &empty["complete"]), (0, &Value::Bool(true)));
    assert_eq!(empty["contract"]["asset"]["name"], "shop");
    world
        .grant(
            "shop",
            &world.requester,
            &["--disclose", "name,fee", "--prove", "fee >= 500", "--purpose", "inspection", "--quota", "7"],
        )
        .ok();
    world.grant("shop", &world.auditor, &["--existence", "--purpose", "audit"]).ok();
    let two = list(&world, &server.url, "requester", &["shop"]).ok();
    let mut expected = vec![world.requester.clone(), world.auditor.clone()];
    expected.sort();
    let mut found = addresses(&two);
    found.sort();
    assert_eq!(found, expected);
    let plain = sealgate_plain(&["list", "shop", "--gateway", &server.url, "--home", &world.path("requester")]);
    for line in [
        "list     2 on it",
        "      disclose name, fee\n",
        "      prove    fee >= 500",
        "      quota    7 keys",
        "      whether records exist\n",
        "nobody else is on it",
        "note  owner-operated ledger",
    ] {
        assert!(plain.stdout.contains(line), "{line}: {}", plain.stdout);
    }
    // Asking does not change what stands; revoking does.
    world.ask(&server.url, "requester", "inspection", "answer.json", "SELECT name FROM shop WHERE id = 3").ok();
    let asked = list(&world, &server.url, "requester", &["shop"]).ok();
    assert_eq!(asked["grants"], two["grants"]);
    assert!(asked["as_of"]["block"].as_u64() > two["as_of"]["block"].as_u64());
    world.revoke("shop", &world.requester).ok();
    let one = list(&world, &server.url, "requester", &["shop"]).ok();
    assert_eq!(addresses(&one), std::slice::from_ref(&world.auditor));
    // One address, there or not.
    let there = list(&world, &server.url, "requester", &["shop", "--address", &world.auditor]).ok();
    assert_eq!((addresses(&there), &there["complete"]), (vec![world.auditor.clone()], &Value::Bool(false)));
    let gone = list(&world, &server.url, "requester", &["shop", "--address", &world.requester]).ok();
    assert!(addresses(&gone).is_empty());
    let plain = sealgate_plain(&[
        "list",
        "shop",
        "--address",
        &world.requester,
        "--gateway",
        &server.url,
        "--home",
        &world.path("auditor"),
    ]);
    assert!(plain.stdout.starts_with(&format!("{} is not on the list of asset1", world.requester)), "{}", plain.stdout);
    // What is not there is proven not to be.
    let plain = sealgate_plain(&["list", "nothing", "--gateway", &server.url, "--home", &world.path("auditor")]);
    assert!(
        plain.code == 0 && plain.stdout.starts_with("the ledger's operator has no asset 'nothing'"),
        "{}",
        plain.stdout
    );
    assert!(plain.stdout.contains("has no contract of this id") && !plain.stdout.contains("nobody else is on it"));
    // Only who trusts the ledger.
    let error = list(&world, &server.url, "blank", &["shop"]).error();
    assert!(error.contains("is not trusted"), "{error}");
}

#[test]
fn an_older_list_than_seen_is_refused() {
    let world = World::with(&Table::shops(10));
    world.grant("shop", &world.requester, &["--disclose", "name", "--purpose", "p"]).ok();
    copy_folder(world.path("owner").as_ref(), world.path("old").as_ref());
    let server = world.serve();
    world.revoke("shop", &world.requester).ok();
    assert!(addresses(&list(&world, &server.url, "auditor", &["shop"]).ok()).is_empty());
    let old = Server::start(&world.path("old"));
    for more in [&["shop"][..], &["shop", "--address", &world.requester]] {
        let error = list(&world, &old.url, "auditor", more).error();
        assert!(error.contains("contradicts"), "{error}");
    }
    // A gateway that shows the new head and the old list.
    let old_url = old.url.clone();
    let mixed = altering(
        &server.url,
        move |path, body| {
            if path.starts_with("/v1/state/") { get(&old_url, path) } else { body }
        },
    );
    let error = list(&world, &mixed, "auditor", &["shop"]).error();
    assert!(error.contains("contradicts") && error.contains("rolled back"), "{error}");
    // Or the old list under the new head.
    let (old_url, new_url) = (old.url.clone(), server.url.clone());
    let grafted = altering(&server.url, move |path, body| {
        if !path.starts_with("/v1/state/") {
            return body;
        }
        let mut standing: Value = serde_json::from_slice(&get(&old_url, path)).unwrap();
        let new: Value = serde_json::from_slice(&get(&new_url, path)).unwrap();
        standing["head"] = new["head"].clone();
        serde_json::to_vec(&standing).unwrap()
    });
    for more in [&["shop"][..], &["shop", "--address", &world.requester]] {
        let error = list(&world, &grafted, "auditor", more).error();
        assert!(error.contains("is refused"), "{error}");
    }
    // One that leaves somebody out.
    world.grant("shop", &world.auditor, &["--disclose", "name", "--purpose", "p"]).ok();
    let leaving_out = altering(&server.url, |path, body| {
        if !path.starts_with("/v1/state/assets/") {
            return body;
        }
        let mut standing: Value = serde_json::from_slice(&body).unwrap();
        standing["grants"] = Value::Array(vec![]);
        serde_json::to_vec(&standing).unwrap()
    });
    let error = list(&world, &leaving_out, "auditor", &["shop"]).error();
    assert!(error.contains("differ from the proven ones"), "{error}");
    let listed = addresses(&list(&world, &server.url, "auditor", &["shop"]).ok());
    assert_eq!(listed, std::slice::from_ref(&world.auditor));
}

#[test]
fn no_altered_bit_of_a_list_is_accepted() {
    let world = World::with(&Table::new("t", &["id"], &[("id", "int")], vec![vec!["1".into()]]));
    world.grant("t", &world.requester, &["--existence", "--purpose", "p"]).ok();
    let server = world.serve();
    let asset = text(&list(&world, &server.url, "auditor", &["t"]).ok()["asset"]);
    let body = get(&server.url, &format!("/v1/state/assets/{asset}"));
    let genesis: Genesis = serde_json::from_slice(&get(&server.url, "/v1/genesis")).unwrap();
    let home = Home::at(Path::new(&world.path("auditor")));
    let asset: AssetId = asset.parse().unwrap();
    let whole: AssetStanding = serde_json::from_slice(&body).unwrap();
    // (Hexadecimal may be read in either case: that alters nothing.)
    let holds = |bytes: &[u8], altered: bool| {
        let Ok(standing) = serde_json::from_slice::<AssetStanding>(bytes) else { return false };
        if altered && standing == whole {
            return false;
        }
        let Ok(checkpoint) = home.read(&genesis, &standing.head.checkpoint) else { return false };
        Checkpoint::of(&standing.head.header) == checkpoint && standing.verify(&asset).is_ok()
    };
    assert!(holds(&body, false));
    let mut altered = body.clone();
    for at in 0..body.len() {
        for bit in 0..8 {
            altered[at] ^= 1 << bit;
            assert!(!holds(&altered, true), "byte {at}, bit {bit}: {}", String::from_utf8_lossy(&altered));
            altered[at] ^= 1 << bit;
        }
    }
    println!("{} bits", 8 * body.len());
}

#[test]
fn accounts_members_and_rules_have_proofs_too() {
    use sealgate_ledger::standing::Standing;
    use sealgate_ledger::trie::{LeafDigest, StateKey};
    let world = World::with(&Table::shops(5));
    let server = world.serve();
    let genesis: Genesis = serde_json::from_slice(&get(&server.url, "/v1/genesis")).unwrap();
    let members: Standing<sealgate_ledger::member::MemberSet> =
        serde_json::from_slice(&get(&server.url, "/v1/state/members")).unwrap();
    members.head.verify(&genesis.chain_id(), &genesis.members()).unwrap();
    members.verify(&StateKey::members(), LeafDigest::of).unwrap();
    assert_eq!(members.value, Some(genesis.members()));
    let policy: Standing<sealgate_ledger::member::Policy> =
        serde_json::from_slice(&get(&server.url, "/v1/state/policy")).unwrap();
    policy.verify(&StateKey::policy(), LeafDigest::of).unwrap();
    assert_eq!(policy.value, Some(genesis.policy.clone()));
    for (address, there) in [(genesis.operator.address().to_string(), true), (world.requester.clone(), false)] {
        let account: Standing<sealgate_ledger::state::AccountView> =
            serde_json::from_slice(&get(&server.url, &format!("/v1/state/accounts/{address}"))).unwrap();
        account.verify(&StateKey::account(&address.parse().unwrap()), LeafDigest::of).unwrap();
        assert_eq!(account.value.is_some(), there);
    }
    assert_eq!(get(&server.url, "/v1/handovers?epoch=0"), b"[]");
    for path in ["/v1/state", "/v1/state/nothing", "/v1/state/assets/x", "/v1/state/accounts/x", "/v1/state/members/x"]
    {
        assert_eq!(http(&server.url, &format!("GET {path} HTTP/1.1"), b"").0, 404, "{path}");
    }
    assert_eq!(http(&server.url, "GET /v1/handovers HTTP/1.1", b"").0, 400);
}
