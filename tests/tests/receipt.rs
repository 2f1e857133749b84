//! Receipts of every kind of transaction, anybody's, verified offline; and nothing else taken for
//! one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;

use sealgate_gateway::home::Home;
use sealgate_gateway::receipt::{RECEIPT_BYTES_MAX, Receipt};
use sealgate_ledger::checkpoint::SignedCheckpoint;
use sealgate_ledger::cosign::{WitnessSecret, attach};
use sealgate_tests::{Run, Server, Table, World, copy_folder, http, sealgate, sealgate_plain, text};
use serde_json::Value;

const SQL: &str = "SELECT name, fee FROM shop WHERE id = 3";

struct Published {
    world: World,
    server: Server,
    /// The grant's transaction.
    grant: String,
}

impl Published {
    fn new() -> Published {
        let world = World::with(&Table::shops(20));
        let terms = ["--disclose", "name,fee", "--purpose", "test", "--quota", "9", "--until", "2999-01-01T00:00:00Z"];
        let grant = text(&world.grant("shop", &world.requester, &terms).ok()["transaction"]);
        let server = world.serve();
        Published { world, server, grant }
    }

    fn fetch(&self, home: &str, hash: &str, out: &str) -> Run {
        let (home, out) = (self.world.path(home), self.world.path(out));
        sealgate(&["receipt", hash, "--gateway", &self.server.url, "--home", &home, "--out", &out])
    }

    fn verify(&self, home: &str, file: &str) -> Run {
        sealgate(&["verify-receipt", "--home", &self.world.path(home), &self.world.path(file)])
    }

    fn home(&self, name: &str) -> Home {
        Home::at(Path::new(&self.world.path(name)))
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.world.path(file)).unwrap()
    }

    /// The entries of the ledger: transactions with their outcomes.
    fn transactions(&self) -> Vec<(String, Value)> {
        let height = self.get("/health")["height"].as_u64().unwrap();
        let mut found = Vec::new();
        for block in 1..=height {
            for entry in self.get(&format!("/v1/blocks/{block}"))["entries"].as_array().unwrap() {
                let body = &entry["body"]["transaction"]["tx"]["tx"]["body"];
                let kind = body.as_object().unwrap().keys().next().unwrap().clone();
                found.push((kind, entry["body"]["transaction"]["outcome"].clone()));
            }
        }
        found
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = http(&self.server.url, &format!("GET {path} HTTP/1.1"), b"");
        assert_eq!(status, 200, "{path}");
        serde_json::from_slice(&body).unwrap()
    }
}

fn lines(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(text).collect()
}

/// A receipt's verification as the command does it, without the process.
fn holds(home: &Home, bytes: &[u8]) -> bool {
    let Ok(receipt) = Receipt::read(bytes) else { return false };
    receipt.verify(home).is_ok() && home.relation(&receipt.genesis, &receipt.checkpoint).is_ok()
}

#[test]
fn receipts_of_every_kind_convince_offline() {
    let published = Published::new();
    let world = &published.world;
    let answer = world.ask(&published.server.url, "requester", "test", "answer.json", SQL).ok();
    world.account("stranger");
    let denied = world.ask(&published.server.url, "stranger", "test", "denied.json", SQL).error();
    let denied = denied.split("request ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let revoked = text(&world.revoke("shop", &world.requester).ok()["transaction"]);

    // The auditor is no party to any of these.
    let fetch = |hash: &str| published.fetch("auditor", hash, &format!("{hash}.json")).ok();
    let grant = fetch(&published.grant);
    assert_eq!(lines(&grant["action"])[0].split(" ask ").next(), Some(format!("let {}", world.requester).as_str()));
    assert!(lines(&grant["action"]).contains(&"until 2999-01-01T00:00:00Z".to_owned()), "{grant}");
    assert_eq!(
        (grant["outcome"].as_str(), grant["transaction"].as_str()),
        (Some("accepted"), Some(published.grant.as_str()))
    );
    let request = fetch(&text(&answer["request"]));
    assert!(text(&request["outcome"]).starts_with("granted, bound to version 1"), "{request}");
    assert_eq!((&request["sender"], &request["block"]), (&answer["requester"], &answer["request_block"]));
    let recorded = fetch(&text(&answer["answer"]));
    assert!(lines(&recorded["action"])[0].contains(&text(&answer["request"])), "{recorded}");
    assert_eq!((&recorded["sender"], &recorded["block"]), (&answer["owner"], &answer["answer_block"]));
    let denial = fetch(&denied);
    assert_eq!(denial["outcome"], "denied: the asset's owner has granted the sender nothing");
    let revocation = fetch(&revoked);
    assert!(lines(&revocation["action"])[0].starts_with(&format!("took {} off the list", world.requester)));
    assert!(text(&grant["did"]).starts_with("did:key:z6Mk"));
    assert!(text(&denial["did"]) != text(&grant["did"]));

    // Times are those of the blocks.
    for shown in [&grant, &request, &recorded, &denial, &revocation] {
        let block = published.get(&format!("/v1/blocks/{}", shown["block"]));
        let seconds = block["header"]["time_ms"].as_u64().unwrap() / 1000;
        assert_eq!((text(&shown["time"]), shown["time_exact"].as_bool()), (in_utc(seconds), Some(true)));
    }
    let kinds: Vec<String> = published.transactions().into_iter().map(|(kind, _)| kind).collect();
    for kind in ["OpenAccount", "RegisterAsset", "Grant", "Revoke", "Request", "Answer"] {
        assert!(kinds.iter().any(|found| found == kind), "{kind} in {kinds:?}");
    }

    // Everything on the ledger has a receipt that holds.
    for index in 0..kinds.len() {
        let entry = published.get(&format!("/v1/entries/{index}"));
        let tx: sealgate_ledger::tx::SignedTx =
            serde_json::from_value(entry["entry"]["body"]["transaction"]["tx"].clone()).unwrap();
        let shown = published.fetch("auditor", &tx.hash().to_string(), "any.json").ok();
        assert_eq!(shown["entry_index"].as_u64(), Some(index as u64));
    }

    // Offline, with a home that has never met the gateway, and with one that has.
    drop(published.server);
    world.account("offline");
    for home in ["offline", "requester", "auditor"] {
        let path = world.path(&format!("{}.json", published.grant));
        let shown = sealgate(&["verify-receipt", "--home", &world.path(home), &path]).ok();
        assert_eq!((&shown["action"], &shown["time"]), (&grant["action"], &grant["time"]));
        assert!(lines(&shown["notes"]).iter().any(|note| note.starts_with("owner-operated ledger")));
    }
    let plain =
        sealgate_plain(&["verify-receipt", "--home", &world.path("offline"), &world.path(&format!("{denied}.json"))]);
    for line in [
        "transaction ",
        "who         sg1",
        "what        asked asset1",
        "when        block ",
        "outcome     denied: ",
        "\n  note  what became of it later",
    ] {
        assert!(plain.stdout.contains(line), "{line}: {}", plain.stdout);
    }
}

/// Seconds since 1970 as RFC 3339 (Howard Hinnant's civil_from_days).
fn in_utc(seconds: u64) -> String {
    let (days, rest) = ((seconds / 86_400) as i64 + 719_468, seconds % 86_400);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Every bit of a receipt: genesis, checkpoint, cosignature, headers, keys, entry, path.
#[test]
fn no_altered_bit_is_accepted() {
    let published = Published::new();
    published.fetch("auditor", &published.grant, "receipt.json").ok();
    // A cosignature by a witness that nobody here pins is checked all the same.
    let mut receipt = Receipt::read(&published.bytes("receipt.json")).unwrap();
    let witness = WitnessSecret::from_seed("witness.example/1", [7; 32]).unwrap();
    let line = witness.cosign(&receipt.checkpoint, 1_800_000_000).unwrap();
    receipt.checkpoint = attach(&receipt.checkpoint, [line.as_str()]);
    receipt.witnesses.push(witness.public().clone());
    assert!(receipt.headers.len() == 1 && !receipt.entry.path.is_empty());
    let bytes = receipt.to_bytes().unwrap();
    let home = published.home("auditor");
    assert!(holds(&home, &bytes));
    let mut altered = bytes.clone();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            altered[at] ^= 1 << bit;
            assert!(!holds(&home, &altered), "byte {at}, bit {bit}: {}", String::from_utf8_lossy(&altered));
            altered[at] ^= 1 << bit;
        }
        assert!(at % 9 > 0 || !holds(&home, &bytes[..at]), "{at} bytes of it");
    }
    println!("{} bytes, {} bits", bytes.len(), 8 * bytes.len());
}

#[test]
fn what_is_put_together_from_several_is_refused() {
    let published = Published::new();
    let world = &published.world;
    let other =
        text(&world.grant("shop", &world.auditor, &["--disclose", "fee", "--purpose", "other"]).ok()["transaction"]);
    world.grant("shop", &world.auditor, &["--disclose", "name", "--purpose", "third"]).ok();
    published.fetch("auditor", &published.grant, "one.json").ok();
    published.fetch("auditor", &other, "two.json").ok();
    let home = published.home("auditor");
    let read = |file: &str| Receipt::read(&published.bytes(file)).unwrap();
    let (one, two) = (read("one.json"), read("two.json"));
    let refused = |what: &str, receipt: Receipt| {
        let error = receipt.verify(&home).err();
        error.unwrap_or_else(|| panic!("{what} is accepted")).to_string()
    };
    assert_eq!(one.checkpoint, two.checkpoint);
    assert!(one.headers.len() == 3 && two.headers.len() == 2);
    // Another's entry, headers, keys.
    assert!(
        refused(
            "a path",
            Receipt {
                entry: sealgate_ledger::light::EntryProof { path: two.entry.path.clone(), ..one.entry.clone() },
                ..one.clone()
            }
        )
        .contains("is not in the ledger")
    );
    assert!(refused("headers", Receipt { headers: two.headers.clone(), ..one.clone() }).contains("do not begin at"));
    assert!(refused("more headers", Receipt { headers: one.headers.clone(), ..two.clone() }).contains("headers"));
    let mut gap = one.clone();
    gap.headers.remove(1);
    assert!(refused("a gap", gap).contains("do not follow"));
    let mut none = one.clone();
    none.headers.clear();
    assert!(refused("no headers", none).contains("none"));
    // The checkpoint's header alone says no more than "not later than".
    let late = Receipt { headers: one.headers[2..].to_vec(), ..one.clone() };
    let shown = late.verify(&home).unwrap();
    assert!(!shown.time_exact && shown.time >= one.verify(&home).unwrap().time);
    std::fs::write(world.path("late.json"), late.to_bytes().unwrap()).unwrap();
    let plain = sealgate_plain(&["verify-receipt", "--home", &world.path("auditor"), &world.path("late.json")]);
    assert!(plain.stdout.contains(", not later than 20"), "{}", plain.stdout);

    // Lines that nobody vouches for.
    let junk = attach(&one.checkpoint, ["\u{2014} witness.example/1 AAAAAAAA"]);
    assert!(refused("a stray line", Receipt { checkpoint: junk, ..one.clone() }).contains("cosignature"));
    let line = one.checkpoint.0.lines().last().unwrap().to_owned();
    let twice = attach(&one.checkpoint, [line.as_str()]);
    assert!(refused("a line twice", Receipt { checkpoint: twice, ..one.clone() }).contains("twice"));
    let witness = WitnessSecret::from_seed("witness.example/1", [7; 32]).unwrap();
    let named = Receipt { witnesses: vec![witness.public().clone()], ..one.clone() };
    assert!(refused("a witness without its line", named).contains("cosignature"));
    let unsigned = one.checkpoint.0.split_once("\n\n").unwrap().0.to_owned()
        + "\n\n"
        + &witness.cosign(&one.checkpoint, 1).unwrap()
        + "\n";
    let unsigned =
        Receipt { checkpoint: SignedCheckpoint(unsigned), witnesses: vec![witness.public().clone()], ..one.clone() };
    assert!(refused("a witness in the operator's place", unsigned).contains("0 of the ledger's members"));
}

#[test]
fn other_files_spellings_and_ledgers_are_refused() {
    let published = Published::new();
    let world = &published.world;
    published.fetch("auditor", &published.grant, "receipt.json").ok();
    let whole = String::from_utf8(published.bytes("receipt.json")).unwrap();
    let try_with = |content: &str| {
        std::fs::write(world.path("try.json"), content).unwrap();
        published.verify("auditor", "try.json").error()
    };
    let value: Value = serde_json::from_str(&whole).unwrap();
    for other in [
        serde_json::to_string(&value).unwrap(),
        whole.trim_end().to_owned(),
        format!("{whole}\n"),
        format!(" {whole}"),
        whole.replacen("{\n", "{\n  \"more\": 1,\n", 1),
        whole.replacen("sealgate-receipt/1", "sealgate-receipt/2", 1),
        "{}".into(),
        String::new(),
    ] {
        assert!(try_with(&other).contains("is not a canonical receipt"), "{other}");
    }
    world.ask(&published.server.url, "requester", "test", "answer.json", SQL).ok();
    assert!(published.verify("auditor", "answer.json").error().contains("is not a canonical receipt"));
    assert!(
        sealgate(&["verify", "--home", &world.path("auditor"), &world.path("receipt.json")])
            .error()
            .contains("canonical answer file")
    );
    let large = std::fs::File::create(world.path("large.json")).unwrap();
    large.set_len(RECEIPT_BYTES_MAX + 1).unwrap();
    assert!(published.verify("auditor", "large.json").error().contains("are more than"));

    // Nobody trusts it unasked, and an unknown transaction has none.
    let blank = world.path("blank");
    let error = sealgate(&["verify-receipt", "--home", &blank, &world.path("receipt.json")]).error();
    assert!(error.contains("is not trusted"), "{error}");
    let error = published.fetch("auditor", &"0".repeat(64), "none.json").error();
    assert!(error.contains("has no transaction"), "{error}");
    assert!(!Path::new(&world.path("none.json")).exists());
    let plain = sealgate_plain(&["receipt", "zz", "--gateway", &published.server.url, "--home", &blank, "--out", "x"]);
    assert_eq!(plain.code, 2);
    let error = published.fetch("auditor", &published.grant, "no/such/folder.json").error();
    assert!(error.contains("No such file"), "{error}");
}

#[test]
fn a_receipt_from_a_second_history_is_noticed() {
    let published = Published::new();
    let world = &published.world;
    copy_folder(world.path("owner").as_ref(), world.path("fork").as_ref());
    let grown =
        text(&world.grant("shop", &world.auditor, &["--disclose", "fee", "--purpose", "a"]).ok()["transaction"]);
    published.fetch("requester", &grown, "one.json").ok();
    let fork = Server::start(&world.path("fork"));
    let forked = sealgate(&[
        "grant",
        "--data-dir",
        &world.path("fork"),
        "--asset",
        "shop",
        "--to",
        &world.auditor,
        "--disclose",
        "name",
        "--purpose",
        "b",
    ])
    .ok();
    let out = world.path("fork.json");
    sealgate(&[
        "receipt",
        &text(&forked["transaction"]),
        "--gateway",
        &fork.url,
        "--home",
        &world.path("auditor"),
        "--out",
        &out,
    ])
    .ok();
    // Of one size: plain from the two files.
    assert!(published.verify("requester", "fork.json").error().contains("two histories"));
    // Further on: not told offline, which it says; told with the gateway's help.
    sealgate(&[
        "grant",
        "--data-dir",
        &world.path("fork"),
        "--asset",
        "shop",
        "--to",
        &world.requester,
        "--disclose",
        "name",
        "--purpose",
        "c",
    ])
    .ok();
    sealgate(&[
        "receipt",
        &text(&forked["transaction"]),
        "--gateway",
        &fork.url,
        "--home",
        &world.path("auditor"),
        "--out",
        &out,
    ])
    .ok();
    let shown = published.verify("requester", "fork.json").ok();
    assert!(lines(&shown["notes"]).iter().any(|note| note.contains("was not compared")), "{shown}");
    for url in [&published.server.url, &fork.url] {
        let error = sealgate(&["verify-receipt", "--home", &world.path("requester"), "--gateway", url, &out]).error();
        assert!(error.contains("does not verify"), "{error}");
    }
    // One's own, of the first history, still holds; and connects.
    published.verify("requester", "one.json").ok();
    world.grant("shop", &world.auditor, &["--disclose", "fee", "--purpose", "d"]).ok();
    let later =
        text(&world.grant("shop", &world.auditor, &["--disclose", "fee", "--purpose", "e"]).ok()["transaction"]);
    world.account("third");
    published.fetch("third", &later, "later.json").ok();
    let shown = sealgate(&[
        "verify-receipt",
        "--home",
        &world.path("requester"),
        "--gateway",
        &published.server.url,
        &world.path("later.json"),
    ])
    .ok();
    assert!(!lines(&shown["notes"]).iter().any(|note| note.contains("was not compared")), "{shown}");
}
