//! The trail: filters, past states, signed files, spreadsheets, metering, and the catalogue, against
//! a ledger whose every transaction these tests made themselves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

use sealgate_circuits::question::{Item, Shape};
use sealgate_gateway::account_file;
use sealgate_gateway::owner::{Owner, signed};
use sealgate_gateway::trail::export;
use sealgate_ledger::Ledger;
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::block::{Outcome, Receipt};
use sealgate_ledger::ids::{AssetId, Digest, TxHash};
use sealgate_ledger::tx::{DeclineReason, TxBody};
use sealgate_tests::{Plain, Run, Server, Table, World, http, parse_csv, sealgate, sealgate_plain, terms, text};
use serde_json::{Value, json};

const FORMULA: &str = "=HYPERLINK(\"http://evil\",\"click\")";

/// One request and what these tests know of it.
#[derive(Debug, Clone)]
struct Known {
    hash: String,
    who: &'static str,
    purpose: &'static str,
    keys: u64,
    outcome: &'static str,
    reason: &'static str,
    bytes: u64,
    block: u64,
    /// Block in which it ended, if it did otherwise than by a denial.
    ended: Option<u64>,
}

struct Scene {
    world: World,
    stranger: String,
    asset: AssetId,
    known: Vec<Known>,
    /// Heights: second asset registered, stranger granted, stranger revoked.
    heights: [u64; 3],
}

/// A ledger opened in this process, and whose accounts act on it.
struct Hand {
    ledger: Ledger,
    owner: AccountSecret,
    requester: AccountSecret,
    stranger: AccountSecret,
}

impl Hand {
    fn open(world: &World) -> Hand {
        let owner = Owner::open(world.path("owner").as_ref()).unwrap();
        let load = |home: &str| account_file::load(world.path(home).as_ref()).unwrap();
        Hand {
            ledger: Ledger::open(&owner.ledger_folder(), owner.account().clone()).unwrap(),
            owner: owner.account().clone(),
            requester: load("requester"),
            stranger: load("stranger"),
        }
    }

    fn submit(&self, account: &AccountSecret, body: TxBody) -> Receipt {
        let tx = signed(self.ledger.genesis(), self.ledger.head().height, account, body).unwrap();
        self.ledger.submit(tx).unwrap()
    }

    fn own(&self, body: TxBody) -> Receipt {
        self.submit(&self.owner, body)
    }

    fn request(&self, who: &'static str, asset: AssetId, item: Item, purpose: &'static str, keys: u16) -> Known {
        let account = if who == "requester" { &self.requester } else { &self.stranger };
        let shape = Shape { items: vec![item], keys };
        let commitment = Digest([keys as u8; 32]);
        let receipt =
            self.submit(account, TxBody::Request { asset, shape, purpose: purpose.into(), commitment, consent: None });
        let outcome = if matches!(receipt.outcome, Outcome::Denied { .. }) { "denied" } else { "open" };
        Known {
            hash: receipt.hash.to_string(),
            who,
            purpose,
            keys: u64::from(keys),
            outcome,
            reason: "",
            bytes: 0,
            block: receipt.height.0,
            ended: None,
        }
    }

    fn answer(&self, known: &mut Known, bytes: u32) {
        let (request, digest) = (known.hash.parse::<TxHash>().unwrap(), Digest([1; 32]));
        let body = TxBody::Answer { request, version: 1, binding: digest, sealed: digest, bytes, charges: vec![] };
        let receipt = self.own(body);
        (known.outcome, known.bytes, known.ended) = ("answered", u64::from(bytes), Some(receipt.height.0));
    }
}

fn scene() -> Scene {
    let world = World::with(&Table::shops(8));
    let stranger = world.account("stranger");
    let hand = Hand::open(&world);
    for account in [&hand.requester, &hand.stranger] {
        hand.submit(account, TxBody::OpenAccount { account: account.public().clone(), identity: vec![] });
    }
    let shop = hand.ledger.assets().unwrap()[0].clone();
    let (asset, name, area) = (shop.id, Item::Disclose(1), Item::Disclose(4));
    hand.own(TxBody::Grant { asset, to: hand.requester.address(), terms: terms(vec![1]) });

    let mut known = Vec::new();
    let mut one = hand.request("requester", asset, name.clone(), "tax", 1);
    hand.answer(&mut one, 8192 + 48);
    known.push(one);
    let mut one = hand.request("requester", asset, name.clone(), FORMULA, 3);
    hand.answer(&mut one, 16384 + 48);
    known.push(one);
    let mut one = hand.request("requester", asset, name.clone(), "tax", 2);
    let request = one.hash.parse().unwrap();
    let declined = hand.own(TxBody::Decline { request, reason: DeclineReason::Budget });
    (one.outcome, one.reason, one.ended) = ("declined", "budget", Some(declined.height.0));
    known.push(one);
    let mut waiting = hand.request("requester", asset, name.clone(), "tax", 1);
    for _ in 0..5 {
        known.push(Known { reason: "no_grant", ..hand.request("stranger", asset, name.clone(), "tax", 1) });
    }
    // Somebody else's asset of the same name.
    let version = hand.ledger.version(&asset, 1).unwrap().unwrap().info;
    let registered = hand.submit(
        &hand.requester,
        TxBody::RegisterAsset {
            name: "shop".into(),
            title: "Ships, not shops".into(),
            description: "Another's".into(),
            data_type: "table".into(),
            schema: shop.schema.clone(),
            place_key: shop.place_key,
            budgets: shop.budgets.clone(),
            version,
        },
    );
    let granted = hand.own(TxBody::Grant { asset, to: hand.stranger.address(), terms: terms(vec![1, 2]) });
    for _ in 0..2 {
        known.push(Known { reason: "field", ..hand.request("requester", asset, area.clone(), "audit", 1) });
    }
    let revoked = hand.own(TxBody::Revoke { asset, to: hand.stranger.address() });
    known.push(Known { reason: "no_grant", ..hand.request("stranger", asset, name.clone(), "other", 4) });
    // The deadline passes.
    for _ in 0..1001 {
        hand.own(TxBody::Grant { asset, to: world.auditor.parse().unwrap(), terms: terms(vec![1]) });
    }
    (waiting.outcome, waiting.ended) = ("unanswered", Some(waiting.block + 1001));
    known.push(waiting);
    known.push(hand.request("requester", asset, name, "tax", 1));
    known.sort_by_key(|known| known.block);
    let heights = [registered.height.0, granted.height.0, revoked.height.0];
    Scene { world, stranger, asset, known, heights }
}

impl Scene {
    fn args<'a>(&self, command: &'a str, url: &'a str, home: &'a str, more: &[&'a str]) -> Vec<String> {
        let home = self.world.path(home);
        let base = [command, "--gateway", url, "--home", &home];
        base.into_iter().chain(more.iter().copied()).map(str::to_owned).collect()
    }

    fn trail(&self, url: &str, more: &[&str]) -> Vec<Value> {
        sealgate(&self.args("trail", url, "auditor", more)).ok().as_array().unwrap().clone()
    }

    fn plain(&self, command: &str, url: &str, more: &[&str]) -> Plain {
        let plain = sealgate_plain(&self.args(command, url, "auditor", more));
        assert_eq!(plain.code, 0, "{plain:?}");
        plain
    }

    fn verify(&self, file: &str, more: &[&str]) -> Run {
        let (home, file) = (self.world.path("requester"), self.world.path(file));
        let base = ["trail", "--verify", &file, "--home", &home];
        sealgate(&base.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    }

    fn full_name(&self, home: &str) -> String {
        let account = account_file::load(self.world.path(home).as_ref()).unwrap();
        format!("{}/shop", account.public().did())
    }
}

/// The outcome that a line of JSON has, from its status alone.
fn outcome(line: &Value) -> String {
    let status = line["status"].as_object().unwrap().keys().next().unwrap().clone();
    if status == "granted" { "open".into() } else { status }
}

#[test]
fn the_trail_is_what_happened_and_filters_let_through_what_they_say() {
    let scene = scene();
    let server = scene.world.serve();
    let url = server.url.as_str();
    let all = scene.trail(url, &[]);
    assert_eq!(all.len(), scene.known.len());
    let mut entries = Vec::new();
    for (line, known) in all.iter().zip(&scene.known) {
        let seen = (text(&line["request"]), outcome(line), text(&line["outcome"]), line["block"].as_u64());
        assert_eq!(seen, (known.hash.clone(), known.outcome.into(), known.outcome.into(), Some(known.block)), "{line}");
        assert_eq!((line["keys"].as_u64(), text(&line["purpose"])), (Some(known.keys), known.purpose.into()));
        assert_eq!(line["ended"]["block"].as_u64(), known.ended, "{line}");
        // The entries are where the line says they are.
        for (entry, hash) in
            [(&line["entry"], &line["request"]), (&line["ended"]["entry"], &line["ended"]["transaction"])]
        {
            let Some(index) = entry.as_u64() else { continue };
            let (_, body) = http(url, &format!("GET /v1/entries/{index} HTTP/1.1"), b"");
            let proof: Value = serde_json::from_slice(&body).unwrap();
            if hash.is_null() {
                assert_eq!(proof["entry"]["body"]["unanswered"]["request"], line["request"]);
            } else {
                let (_, body) = http(url, &format!("GET /v1/transactions/{} HTTP/1.1", text(hash)), b"");
                assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["entry_index"], *entry);
            }
            entries.push(index);
        }
    }
    assert_eq!(all.iter().filter(|line| line["ended"].is_object()).count(), 4);
    let (requester, stranger) = (scene.world.requester.clone(), scene.stranger.clone());
    let did = account_file::load(scene.world.path("stranger").as_ref()).unwrap().public().did();
    let asset = scene.asset.to_string();
    let (owners, others) = (scene.full_name("owner"), scene.full_name("requester"));
    let middle = text(&all[6]["time"]);
    type Test<'a> = Box<dyn Fn(&Known) -> bool + 'a>;
    let at = scene.known[6].block;
    let cases: Vec<(Vec<&str>, Test<'_>)> = vec![
        (vec!["--outcome", "denied"], Box::new(|k| k.outcome == "denied")),
        (vec!["--outcome", "denied:no_grant"], Box::new(|k| k.reason == "no_grant")),
        (vec!["--outcome", "denied:field"], Box::new(|k| k.reason == "field")),
        (vec!["--outcome", "denied:expired"], Box::new(|_| false)),
        (vec!["--outcome", "declined"], Box::new(|k| k.outcome == "declined")),
        (vec!["--outcome", "declined:too_large"], Box::new(|_| false)),
        (vec!["--outcome", "unanswered"], Box::new(|k| k.outcome == "unanswered")),
        (vec!["--outcome", "open,answered"], Box::new(|k| k.outcome == "open" || k.outcome == "answered")),
        (vec!["--outcome", "granted"], Box::new(|k| k.outcome != "denied")),
        (vec!["--purpose", "tax"], Box::new(|k| k.purpose == "tax")),
        (vec!["--purpose", "Tax"], Box::new(|_| false)),
        (vec!["--address", &requester], Box::new(|k| k.who == "requester")),
        (vec!["--address", &stranger], Box::new(|k| k.who == "stranger")),
        (vec!["--address", &did], Box::new(|k| k.who == "stranger")),
        (
            vec!["--address", "stranger", "--outcome", "denied", "--purpose", "other"],
            Box::new(|k| k.purpose == "other"),
        ),
        (vec!["--asset", "shop"], Box::new(|_| true)),
        (vec!["--asset", &asset], Box::new(|_| true)),
        (vec!["--asset", &owners], Box::new(|_| true)),
        (vec!["--asset", &others], Box::new(|_| false)),
        (vec!["--from", &middle], Box::new(move |k| k.block >= at)),
        (vec!["--until", &middle], Box::new(move |k| k.block <= at)),
        (vec!["--from", &middle, "--until", &middle], Box::new(move |k| k.block == at)),
        (vec!["--until", "1999-01-01T00:00:00Z"], Box::new(|_| false)),
    ];
    for (filter, test) in &cases {
        let expected: Vec<&Value> =
            all.iter().zip(&scene.known).filter(|(_, k)| test(k)).map(|(line, _)| line).collect();
        assert_eq!(scene.trail(url, filter).iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
    for (bad, code) in [
        (["--outcome", "perhaps"], 2),
        (["--outcome", "denied:because"], 2),
        (["--from", "yesterday"], 2),
        (["--from", "1950-01-01T00:00:00Z"], 1),
        (["--asset", "ship"], 1),
        (["--asset", "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp/shop"], 1),
        (["--address", "nobody"], 1),
        (["--as-of", "99999999"], 1),
    ] {
        assert_eq!(sealgate(&scene.args("trail", url, "auditor", &bad)).code, code, "{bad:?}");
    }

    // People see repeated denials as one.
    let plain = scene.plain("trail", url, &[]).stdout;
    assert_eq!(plain.matches("\n  asked ").count(), scene.known.len() - 5 - 1, "{plain}");
    assert!(
        plain.contains("asked    6 times about 9 keys") && plain.contains("asked    2 times about 2 keys"),
        "{plain}"
    );
    assert!(plain.contains("UNANSWERED") && plain.contains("answer awaited until block"), "{plain}");
    let first = scene.known.iter().find(|known| known.reason == "no_grant").unwrap();
    assert!(plain.contains(&format!("requests {} and 5 more", first.hash)), "{plain}");
    let each = scene.plain("trail", url, &["--each"]).stdout;
    assert!(scene.known.iter().all(|known| each.contains(&known.hash)));
    metering(&scene, url);
}

fn metering(scene: &Scene, url: &str) {
    let csv = scene.world.path("meter.csv");
    let report = sealgate(&scene.args("meter", url, "auditor", &["--csv", &csv])).ok();
    let mut expected: BTreeMap<(String, String), [u64; 9]> = BTreeMap::new();
    for known in &scene.known {
        let who = if known.who == "requester" { &scene.world.requester } else { &scene.stranger };
        let counts = expected.entry((who.clone(), known.purpose.into())).or_default();
        let is = |outcome: &str| u64::from(known.outcome == outcome);
        let answered = is("answered");
        let add = [
            1,
            1 - is("denied"),
            answered,
            is("denied"),
            is("declined"),
            is("unanswered"),
            known.keys,
            known.keys * answered,
            known.bytes,
        ];
        counts.iter_mut().zip(add).for_each(|(to, count)| *to += count);
    }
    let fields = ["requests", "granted", "answered", "denied", "declined", "unanswered", "keys_asked", "keys", "bytes"];
    let counts = |line: &Value| fields.map(|field| line[field].as_u64().unwrap());
    let lines = report["lines"].as_array().unwrap();
    let found: BTreeMap<_, _> =
        lines.iter().map(|line| ((text(&line["requester"]), text(&line["purpose"])), counts(line))).collect();
    assert_eq!((found.len(), &found), (lines.len(), &expected));
    let total = (0..9).map(|i| expected.values().map(|counts| counts[i]).sum()).collect::<Vec<u64>>();
    assert_eq!(counts(&report["total"]).to_vec(), total);
    assert_eq!(report["total"]["bytes"], 8240 + 16432);
    let only = sealgate(&scene.args("meter", url, "auditor", &["--outcome", "answered", "--purpose", "tax"])).ok();
    assert_eq!((only["total"]["requests"].as_u64(), only["total"]["bytes"].as_u64()), (Some(1), Some(8240)));
    assert_eq!(parse_csv(&std::fs::read_to_string(csv).unwrap()).len(), lines.len() + 1);
    let plain = scene.plain("meter", url, &[]).stdout;
    assert!(plain.contains("unanswered") && plain.contains("24672"), "{plain}");
}

#[test]
fn every_past_state_is_the_one_that_was() {
    let scene = scene();
    let server = scene.world.serve();
    let url = server.url.as_str();
    let [registered, granted, revoked] = scene.heights;
    let ends = scene.known.iter().filter_map(|known| known.ended);
    let mut heights: Vec<u64> = scene.known.iter().map(|known| known.block).chain(ends).chain(scene.heights).collect();
    heights.extend(heights.clone().iter().map(|height| height - 1));
    heights.extend([0, 1]);
    heights.sort_unstable();
    heights.dedup();
    let whole = scene.trail(url, &[]);
    for height in heights {
        let then = scene.trail(url, &["--as-of", &height.to_string()]);
        let expected: Vec<&Known> = scene.known.iter().filter(|known| known.block <= height).collect();
        assert_eq!(then.len(), expected.len(), "as of {height}");
        for (line, known) in then.iter().zip(expected) {
            let ended = known.ended.is_none_or(|block| block <= height);
            let became = if ended { known.outcome } else { "open" };
            assert_eq!((text(&line["request"]), outcome(line)), (known.hash.clone(), became.into()), "as of {height}");
            assert_eq!(line["ended"].is_object(), ended && known.ended.is_some());
            if ended {
                assert!(whole.contains(line), "as of {height}: {line}");
            }
        }
    }
    let catalogue = |height: u64| {
        let run = sealgate(&scene.args("catalogue", url, "auditor", &["--as-of", &height.to_string()])).ok();
        run.as_array().unwrap().len()
    };
    assert_eq!([0, registered - 1, registered].map(catalogue), [0, 1, 2]);
    let name = scene.asset.to_string();
    let list = |height: u64| {
        let run = sealgate(&scene.args("grants", url, "auditor", &["--asset", &name, "--as-of", &height.to_string()]));
        let grants = run.ok()["grants"].as_array().unwrap().clone();
        grants.iter().any(|grant| grant["to"] == json!(scene.stranger) && grant["terms"]["disclose"] == json!([1, 2]))
    };
    assert_eq!([granted - 1, granted, revoked - 1, revoked].map(list), [false, true, true, false]);
    let ambiguous = sealgate(&scene.args("grants", url, "auditor", &["--asset", "shop"])).error();
    assert!(ambiguous.contains("2 assets are called 'shop'"), "{ambiguous}");
    let plain = scene.plain("grants", url, &["--asset", &scene.full_name("owner")]).stdout;
    assert!(plain.contains("disclose name; any purpose; ") && plain.contains("keys used"), "{plain}");
}

#[test]
fn exports_are_their_makers_word_and_the_ledgers() {
    let scene = scene();
    let server = scene.world.serve();
    let url = server.url.as_str();
    let [file, csv] = ["trail.json", "trail.csv"].map(|name| scene.world.path(name));
    let filter = ["--address", "requester", "--outcome", "granted", "--as-of", "30"];
    let lines = scene.trail(url, &[&filter[..], &["--export", &file, "--csv", &csv]].concat());
    assert!(!lines.is_empty());
    let bytes = std::fs::read(&file).unwrap();
    let parsed: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&parsed["trail"]["lines"], &parsed["trail"]["height"]), (&json!(lines), &json!(30)));
    assert_eq!(parsed["trail"]["filter"]["outcomes"], json!(["granted"]));

    let checked = scene.verify("trail.json", &[]).ok();
    assert_eq!((&checked["exporter"], &checked["replayed"]), (&json!(scene.world.auditor), &json!(false)));
    let checked = scene.verify("trail.json", &["--gateway", url, "--exporter", &scene.world.auditor]).ok();
    assert_eq!((&checked["lines"], &checked["replayed"]), (&json!(lines.len()), &json!(true)));
    let error = scene.verify("trail.json", &["--exporter", &scene.world.requester]).error();
    assert!(error.contains("it is signed by"), "{error}");

    // Every bit, and every cut.
    export::verify(&bytes).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(export::verify(&changed).is_err(), "byte {at}, bit {bit}");
        }
        assert!(export::verify(&bytes[..at]).is_err(), "cut at {at}");
    }
    assert!(export::verify(&[&bytes[..], b"\n"].concat()).is_err());
    assert!(export::verify(&[&b" "[..], &bytes].concat()).is_err());
    std::fs::write(scene.world.path("spelled.json"), serde_json::to_vec_pretty(&parsed).unwrap()).unwrap();
    let error = scene.verify("spelled.json", &[]).error();
    assert!(error.contains("one spelling"), "{error}");

    // Somebody signs what the ledger does not give.
    let account = account_file::load(scene.world.path("stranger").as_ref()).unwrap();
    let truth = export::verify(&bytes).unwrap();
    type Lie =
        (&'static str, fn(&mut sealgate_gateway::trail::Trail, &mut sealgate_gateway::trail::Filter), &'static str);
    let lies: [Lie; 8] = [
        ("nothing", |_, _| (), ""),
        ("a line left out", |trail, _| drop(trail.lines.remove(1)), "line 2"),
        ("the last left out", |trail, _| drop(trail.lines.pop()), "number of lines"),
        ("a purpose", |trail, _| trail.lines[0].purpose = "spying".into(), "line 1"),
        ("an entry", |trail, _| trail.lines[2].entry += 1, "line 3"),
        ("a time", |trail, _| trail.time_ms += 1, "time"),
        ("a root", |trail, _| trail.checkpoint.root.0[0] ^= 1, "checkpoint"),
        ("another filter", |_, filter| filter.outcomes.clear(), "number of lines"),
    ];
    for (name, lie, reason) in lies {
        let mut trail = sealgate_gateway::trail::Trail {
            chain: truth.chain,
            height: truth.height,
            time_ms: truth.time_ms,
            checkpoint: truth.checkpoint,
            lines: truth.lines.clone(),
        };
        let mut filter = truth.filter.clone();
        lie(&mut trail, &mut filter);
        std::fs::write(scene.world.path("lie.json"), export::sign(trail, filter, &account).unwrap()).unwrap();
        assert_eq!(scene.verify("lie.json", &[]).ok()["exporter"], json!(scene.stranger));
        let run = scene.verify("lie.json", &["--gateway", url]);
        if reason.is_empty() {
            run.ok();
        } else {
            let error = run.error();
            assert!(error.contains(&format!("another {reason}")), "{name}: {error}");
        }
    }

    // A home that does not trust the ledger.
    sealgate(&["account", "new", "--home", &scene.world.path("far"), "--name", "far"]).ok();
    let error = sealgate(&["trail", "--verify", &file, "--home", &scene.world.path("far")]).error();
    assert!(error.contains("is not trusted"), "{error}");

    // The spreadsheet.
    let rows = parse_csv(&std::fs::read_to_string(&csv).unwrap());
    assert_eq!(rows.len(), lines.len() + 1);
    for (row, line) in rows[1..].iter().zip(&lines) {
        assert_eq!(
            (row[0].parse().ok(), row[15].as_str()),
            (line["entry"].as_u64(), line["request"].as_str().unwrap())
        );
        assert!(row.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r'])), "{row:?}");
    }
    assert!(rows.iter().any(|row| row[11] == format!("'{FORMULA}")));
}

fn catalogue(server: &Server, args: &[&str]) -> Vec<String> {
    let base = ["catalogue", "--gateway", &server.url];
    let run = sealgate(&base.into_iter().chain(args.iter().copied()).collect::<Vec<_>>());
    run.ok().as_array().unwrap().iter().map(|line| text(&line["full_name"])).collect()
}

#[test]
fn the_catalogue_is_searched_in_pages_and_names_are_under_their_owners() {
    let world = World::with(&Table::shops(8));
    world.account("stranger");
    world.grant("shop", &world.requester, &["--disclose", "name", "--purpose", ""]).ok();
    let hand = Hand::open(&world);
    hand.submit(&hand.requester, TxBody::OpenAccount { account: hand.requester.public().clone(), identity: vec![] });
    let shop = hand.ledger.assets().unwrap()[0].clone();
    let version = hand.ledger.version(&shop.id, 1).unwrap().unwrap().info;
    for number in 0..230 {
        let mut schema = shop.schema.clone();
        schema.columns[1].name = format!("field_{number}");
        hand.submit(
            &hand.requester,
            TxBody::RegisterAsset {
                name: if number == 0 { "shop".into() } else { format!("asset{number}") },
                title: format!("Register of {}", if number % 2 == 0 { "ÄPFEL" } else { "Birnen" }),
                description: format!("Kept since {number}"),
                data_type: "table".into(),
                schema,
                place_key: shop.place_key,
                budgets: shop.budgets.clone(),
                version: version.clone(),
            },
        );
    }
    let dids = ["owner", "requester"].map(|home| account_file::load(world.path(home).as_ref()).unwrap().public().did());
    drop(hand);
    let server = world.serve();
    let requester = world.requester.clone();
    for (args, count) in [
        (vec![], 231),
        (vec!["--search", "äpfel"], 115),
        (vec!["--search", "REGISTER birnen"], 115),
        (vec!["--search", "birnen äpfel"], 0),
        (vec!["--search", "FIELD_17"], 11),
        (vec!["--owner", "Test owner"], 1),
        (vec!["--owner", &requester], 230),
        (vec!["--owner", &dids[0]], 1),
        (vec!["--owner", "test owner"], 0),
        (vec!["--column", "FIELD_7"], 1),
        (vec!["--column", "fee", "--type", "decimal"], 231),
        (vec!["--column", "fee", "--type", "DECIMAL(2)"], 231),
        (vec!["--column", "fee", "--type", "text"], 0),
        (vec!["--type", "bool"], 0),
        (vec!["--search", "shop", "--owner", &dids[1]], 1),
    ] {
        let found = catalogue(&server, &args);
        assert_eq!(found.len(), count, "{args:?}");
        let home = world.path("auditor");
        let home = [&args[..], &["--home", &home]].concat();
        assert_eq!(catalogue(&server, &home), found, "a replay finds the same: {args:?}");
    }
    let mine = catalogue(&server, &["--mine", "--home", &world.path("stranger")]);
    assert_eq!(mine.len(), 0);
    let mine = catalogue(&server, &["--mine", "--search", "shop", "--home", &world.path("requester")]);
    assert_eq!(mine.len(), 2, "one that it owns, one that it may ask about");
    assert!(dids.iter().all(|did| mine.contains(&format!("{did}/shop"))));
    let plain = sealgate_plain(&["catalogue", "--gateway", &server.url, "--search", "äpfel", "--limit", "3"]);
    assert!(plain.stdout.contains("115 of 231 assets match; 112 more are left out"), "{}", plain.stdout);

    // Pages, of whatever size: the same assets in the same order, each once.
    let page = |query: &str| -> Value {
        let (status, body) = http(&server.url, &format!("GET /v1/catalogue{query} HTTP/1.1"), b"");
        assert_eq!(status, 200);
        serde_json::from_slice(&body).unwrap()
    };
    let mut orders = Vec::new();
    for limit in [7, 100, 100_000] {
        let (mut ids, mut after) = (Vec::new(), String::new());
        loop {
            let page = page(&format!("?limit={limit}{after}"));
            let some = page["assets"].as_array().unwrap();
            assert!(some.len() <= limit.min(100));
            ids.extend(some.iter().map(|listed| text(&listed["asset"]["id"])));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        orders.push(ids);
    }
    assert_eq!((orders[0].len(), orders[0] == orders[1], orders[1] == orders[2]), (231, true, true));

    // The owner's name for it, wherever an asset is named.
    let full = format!("{}/shop", dids[0]);
    let sql = |table: &str| format!("SELECT name FROM \"{table}\" WHERE id = 3");
    let answer = world.ask(&server.url, "requester", "p", "a.json", &sql(&full)).ok();
    assert_eq!(answer["asset"], json!(shop.id.to_string()));
    world.verify("requester", "a.json").ok();
    let by_address = format!("{}/shop", shop.owner);
    world.ask(&server.url, "requester", "p", "b.json", &sql(&by_address)).ok();
    for nothing in [format!("{}/shup", dids[0]), format!("{}/shop", dids[0].replace("did:key:z6Mk", "did:key:z6Ml"))] {
        let error = world.ask(&server.url, "requester", "p", "c.json", &sql(&nothing)).error();
        assert!(error.contains("the ledger has no asset"), "{error}");
    }
    world.grant(&full, &world.auditor, &["--disclose", "name", "--purpose", "p"]).ok();
    world.revoke(&full, &world.auditor).ok();
    let budget = |asset: &str| sealgate(&["budget", "--data-dir", &world.path("owner"), "--asset", asset]);
    assert_eq!(budget(&full).ok()["spent"], json!([]));
    assert!(budget(&format!("{}/shop", dids[1])).error().contains("the ledger has no asset"));
    let error = world.revoke(&format!("{}/shop", dids[1]), &world.auditor).error();
    assert!(error.contains("this owner has published no asset"), "{error}");
}
