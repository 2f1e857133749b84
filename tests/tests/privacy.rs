//! What the ledger tells, measured on a real one: docs/spec/privacy.md has a line for every field of
//! the blocks, and what it says of contents, lengths and repetitions holds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sealgate_circuits::record::Salt;
use sealgate_circuits::value::Value as Cell;
use sealgate_gateway::account_file;
use sealgate_gateway::owner::{Owner, signed};
use sealgate_ledger::Ledger;
use sealgate_ledger::account::{AccountSecret, NodeSecret};
use sealgate_ledger::block::{Block, DenyReason, EntryBody, Outcome};
use sealgate_ledger::checkpoint::Checkpoint;
use sealgate_ledger::codec::encode;
use sealgate_ledger::genesis::{Genesis, Network};
use sealgate_ledger::ids::{Address, BlockHeight, Digest, SampleSeed, TxHash};
use sealgate_ledger::member::{Certificate, Change, Member};
use sealgate_ledger::tx::{Damage, DeclineReason, GrantTerms, SampleOutcome, TextContent, TxBody};
use sealgate_tests::page::{fields, named_in_the_page};
use sealgate_tests::{Table, World, sealgate, terms, text};
use serde_json::Value;

const PURPOSE: &str = "licence check";
/// Who stands behind the pseudonym, and what stands in the text for one reader.
const REAL_NAME: &str = "Kriminalamt Graz-Süd";
const SEALED_TEXT: &str = "Aktenzahl Ä-7714 liegt bei Dr. Novak";
const PUBLIC_TEXT: &str = "Wartung jeden Dienstag ab 19 Uhr";
/// Constants that the grant fixes, so that they are public.
const FIXED: i64 = 5_121_212_121_212_121;

/// A table whose every cell can be told from chance, wherever it stands.
fn table(edition: &str) -> Table {
    let row = |i: i64| {
        vec![
            format!("KEY-{i:04}-{}", 8_200_000_000_000_007 + i * 1_000_003),
            if i == 6 { String::new() } else { format!("Wert-Ä{i:04}-{edition}-Zollamt") },
            if i == 6 { String::new() } else { (9_100_000_000_000_000_i64 + i * 7_000_001).to_string() },
            format!("{}.25", 80_000_000_000_000_i64 + i * 3_000_017),
        ]
    };
    let columns = [("k", "text"), ("v", "text"), ("n", "int"), ("d", "decimal(2)")];
    Table::new("register", &["k"], &columns, (0..24).map(row).collect()).budget("n", 2)
}

/// The same cells under another name, for assets that change hands or end.
fn named_table(name: &str) -> Table {
    Table { name: name.into(), ..table("eins") }
}

/// The whole job, told by its parties; what is left is a ledger that nobody serves.
struct Job {
    world: World,
    /// Three requests of one shape: a record with values, one of nulls, none; and the first again.
    alike: Vec<String>,
    /// Two of another shape with many keys: all there, none there.
    batches: Vec<String>,
    /// Everything that must not be on the ledger.
    secrets: Vec<Secret>,
}

#[derive(Debug, Clone)]
enum Secret {
    Text(String),
    Number(i64),
    Bytes(Vec<u8>),
}

fn job() -> Job {
    let world = World::audited_with(&table("eins"));
    let stranger = world.account("stranger");
    let prove = format!("n <= {FIXED}");
    let grant = [
        "--disclose",
        "v",
        "--prove",
        "n >= ?",
        "--prove",
        "v = ?",
        "--prove",
        &prove,
        "--purpose",
        PURPOSE,
        "--until",
        "2199-12-31T23:59:59Z",
        "--quota",
        "500",
        "--bits",
        "4096",
    ];
    world.grant("register", &world.requester, &grant).ok();
    let whole = world.account("whole");
    world.grant("register", &whole, &["--disclose", "k,v,n,d", "--existence", "--purpose", ""]).ok();
    let server = world.serve();
    let key = |row: usize| table("eins").rows[row][0].clone();
    let ask = |home: &str, out: &str, sql: &str| world.ask(&server.url, home, PURPOSE, out, sql);
    let request = |run: sealgate_tests::Run| text(&run.ok()["request"]);
    let mut secrets = vec![Secret::Text("Konstante-Ö-Geheim".into()), Secret::Number(7_777_123_412_341_234)];

    // One shape: values, nulls, nothing, and the first again under other words.
    let sql = |key: &str| format!("SELECT v, n <= {FIXED}, v = 'Konstante-Ö-Geheim' FROM register WHERE k = '{key}'");
    let mut alike = Vec::new();
    for (number, key) in [key(3), key(6), "KEY-0404-NOBODY".into(), key(3)].iter().enumerate() {
        alike.push(request(ask("requester", &format!("{number}.json"), &sql(key))));
        secrets.push(Secret::Text(key.clone()));
    }
    // Many keys at once.
    let mut batches = Vec::new();
    for (name, keys) in
        [("there", (0..20).map(key).collect::<Vec<_>>()), ("gone", (0..20).map(|i| format!("NO-KEY-{i:08}")).collect())]
    {
        std::fs::write(world.path("keys.csv"), format!("k\n{}\n", keys.join("\n"))).unwrap();
        let run = world.ask_keys(
            &server.url,
            "requester",
            PURPOSE,
            &format!("{name}.json"),
            "keys.csv",
            "SELECT v FROM register WHERE k = ?",
        );
        batches.push(request(run));
        secrets.extend(keys.into_iter().map(Secret::Text));
    }
    // A whole record, opened with its salt; whether one exists.
    ask("whole", "whole.json", &format!("SELECT * FROM register WHERE k = '{}'", key(5))).ok();
    ask("whole", "exists.json", &format!("SELECT 1 FROM register WHERE k = '{}'", key(8))).ok();
    // Until the budget ends.
    for limit in [7_777_123_412_341_234_i64, 7_777_123_412_341_235, 7_777_123_412_341_236, 7_777_123_412_341_237] {
        ask("requester", "until.json", &format!("SELECT n >= {limit} FROM register WHERE k = '{}'", key(9)));
        secrets.push(Secret::Number(limit));
    }
    // What is denied.
    for (home, item) in
        [("stranger", "v"), ("requester", "k"), ("requester", "d >= 12345678901234.5"), ("requester", "1")]
    {
        ask(home, "denied.json", &format!("SELECT {item} FROM register WHERE k = '{}'", key(10))).error();
    }
    secrets.push(Secret::Number(1_234_567_890_123_450));
    world.revoke("register", &whole).ok();
    world.publish(&table("zwei").write(world.dir.path())).ok();
    let after = ask("requester", "second.json", &sql(&key(3))).ok();
    assert_eq!(after["version"], 2);
    people(&world, &server.url);
    holdings(&world, &server.url);
    secrets.extend([REAL_NAME, SEALED_TEXT].map(|text| Secret::Text(text.into())));
    drop(server);
    delivered(&world);
    unanswered(&world, &stranger);
    secrets.extend(cells());
    secrets.extend(keys_and_salts(&world));
    Job { world, alike, batches, secrets }
}

/// A pseudonym is enrolled, gets other keys and ends; the rules change.
fn people(world: &World, url: &str) {
    let (owner, pseudonym) = (world.path("owner"), world.path("pseudonym"));
    world.account("pseudonym");
    let (public, party) = (world.path("pseudonym/account.public"), world.path("whole/account.public"));
    let enrol = ["account", "enrol", "--data-dir", &owner, &public, "--real-name", REAL_NAME, "--also", party.as_str()];
    sealgate(&enrol).ok();
    let successor = sealgate(&["account", "replace", "--home", &pseudonym, "--gateway", url]).ok();
    for (reader, known) in [("auditor", true), ("whole", true), ("stranger", false)] {
        let home = world.path(reader);
        let who = ["account", "identity", "--home", &home, "--gateway", url, successor["address"].as_str().unwrap()];
        assert_eq!(sealgate(&who).code == 0, known, "{reader}");
    }
    sealgate(&["account", "close", "--home", &pseudonym, "--gateway", url]).ok();
    sealgate(&["member", "propose", "--data-dir", &owner, "policy", "--denials-a-day", "900"]).ok();
}

/// Assets change hands and end; small texts are put.
fn holdings(world: &World, url: &str) {
    let owner = world.path("owner");
    let [spare, _] =
        ["spare", "ended"].map(|name| text(&world.publish(&named_table(name).write(world.dir.path())).ok()["asset"]));
    let given = world.transfer(url, &spare, "whole").ok();
    sealgate(&["member", "propose", "--data-dir", &owner, "withdraw", given["asset"].as_str().unwrap()]).ok();
    sealgate(&["asset", "withdraw", "--data-dir", &owner, "--asset", "ended"]).ok();
    let sql = format!("SELECT v FROM ended WHERE k = '{}'", table("eins").rows[3][0]);
    assert!(world.ask(url, "requester", PURPOSE, "ended.json", &sql).error().contains("withdrawn"));
    let reader = world.path("requester/account.public");
    for (name, text, to) in
        [("notice", PUBLIC_TEXT, vec!["--public"]), ("memo", SEALED_TEXT, vec!["--to", reader.as_str()])]
    {
        let file = world.path("text.txt");
        std::fs::write(&file, text).unwrap();
        let put = ["text", "put", "--data-dir", &owner, "--name", name, "--title", "Ein Text", "--file", &file];
        sealgate(&[put.as_slice(), &to].concat()).ok();
    }
}

/// What cannot happen on an embedded ledger: the bodies, and the genesis, of a ledger of several
/// organisations.
fn of_networks(genesis: &Genesis) -> (Vec<TxBody>, Genesis) {
    let member = Member {
        certificate: Certificate(vec![0x30, 0x82]),
        peer: "10.0.0.7:7101".into(),
        gateway: "https://ledger.example".into(),
        ..Member::operator(AccountSecret::generate("Member").unwrap().public())
    };
    let account: Address = member.account.address();
    let changes =
        [Change::Join(member.clone()), Change::Leave { account }, Change::Replace { account, member: member.clone() }];
    let mut bodies: Vec<TxBody> = changes.into_iter().map(|change| TxBody::Propose { change }).collect();
    bodies.push(TxBody::Endorse { proposal: TxHash([7; 32]) });
    let network = Network { authority: Certificate(vec![0x30, 0x82]), members: vec![member] };
    (bodies, Genesis { network: Some(network), ..genesis.clone() })
}

/// Every cell of both versions.
fn cells() -> Vec<Secret> {
    let mut secrets = Vec::new();
    for row in ["eins", "zwei"].into_iter().flat_map(|edition| table(edition).rows) {
        secrets.extend(row.iter().filter(|cell| !cell.is_empty()).cloned().map(Secret::Text));
        let digits = |cell: &str| cell.replace('.', "").parse::<i64>().ok().map(Secret::Number);
        secrets.extend(row[2..].iter().filter_map(|cell| digits(cell)));
    }
    secrets
}

/// Salts, nonces and secret keys of all parties.
fn keys_and_salts(world: &World) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let owner = Owner::open(world.path("owner").as_ref()).unwrap();
    let ledger = Ledger::open(&owner.ledger_folder(), owner.account().clone()).unwrap();
    let asset = ledger.assets().unwrap().into_iter().find(|asset| asset.name == "register").unwrap();
    let keys = owner.asset_keys(&asset.id).unwrap();
    secrets.extend([keys.commitment_key(), keys.place_seed()].map(|key| Secret::Bytes(key.to_vec())));
    for (row, version) in table("eins").rows.iter().flat_map(|row| [(row.clone(), 1), (row.clone(), 2)]) {
        let key = asset.schema.key_bytes(&[Cell::Text(row[0].clone())]).unwrap();
        let salt = Salt::derive(keys.commitment_key(), &key, version);
        secrets.push(Secret::Bytes(encode(&salt)));
    }
    let mut accounts: Vec<AccountSecret> = ["owner", "requester", "auditor", "stranger", "whole", "pseudonym"]
        .map(|home| account_file::load(world.path(home).as_ref()).unwrap())
        .into();
    accounts.extend(account_file::load_earlier(world.path("pseudonym").as_ref()).unwrap());
    assert_eq!(accounts.len(), 7, "the pseudonym's first keys are kept");
    for account in accounts {
        secrets.extend([account.signing_seed(), account.encryption_secret()].map(|key| Secret::Bytes(key.to_vec())));
    }
    for file in sealgate_tests::files_under(world.path("requester/asked").as_ref()) {
        let asked: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        secrets.push(Secret::Bytes(unhex(asked["nonce"].as_str().unwrap())));
    }
    secrets
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Whole columns and samples: asked for, denied, delivered, reported on.
fn delivered(world: &World) {
    let owner = Owner::open(world.path("owner").as_ref()).unwrap();
    let ledger = Ledger::open(&owner.ledger_folder(), owner.account().clone()).unwrap();
    let asset = ledger.assets().unwrap().into_iter().find(|asset| asset.name == "register").unwrap();
    let submit = |account: &AccountSecret, body: TxBody| {
        ledger.submit(signed(ledger.genesis(), ledger.head().height, account, body).unwrap()).unwrap()
    };
    let [whole, auditor] = ["whole", "auditor"].map(|home| account_file::load(world.path(home).as_ref()).unwrap());
    let terms = GrantTerms { whole: vec![1, 2], ..terms(vec![]) };
    submit(owner.account(), TxBody::Grant { asset: asset.id, to: whole.address(), terms });
    let deliver =
        |request: TxHash| TxBody::Deliver { request, version: asset.current, sealed: Digest([11; 32]), bytes: 1 << 16 };
    for columns in [vec![0], vec![1, 2]] {
        let body = TxBody::RequestWhole { asset: asset.id, columns, purpose: PURPOSE.into(), consent: None };
        let asked = submit(&whole, body);
        if let Outcome::Granted { .. } = asked.outcome {
            submit(owner.account(), deliver(asked.hash));
        }
    }
    if ledger.account(&auditor.address()).unwrap().is_none() {
        submit(&auditor, TxBody::OpenAccount { account: auditor.public().clone(), identity: vec![] });
    }
    for (seed, outcome) in [(1, SampleOutcome::Whole), (2, SampleOutcome::Damaged { what: Damage::Ciphertext })] {
        let body = TxBody::RequestSample { asset: asset.id, seed: SampleSeed([seed; 32]), records: 3 };
        let request = submit(&auditor, body).hash;
        submit(owner.account(), deliver(request));
        submit(&auditor, TxBody::SampleResult { request, outcome, report: Digest([12; 32]) });
    }
}

/// One more granted request, for which nobody is there until its deadline has passed.
fn unanswered(world: &World, stranger: &str) {
    let owner = Owner::open(world.path("owner").as_ref()).unwrap();
    let ledger = Ledger::open(&owner.ledger_folder(), owner.account().clone()).unwrap();
    let asset = ledger.assets().unwrap().into_iter().find(|asset| asset.name == "register").unwrap().id;
    let submit = |account: &AccountSecret, body: TxBody| {
        ledger.submit(signed(ledger.genesis(), ledger.head().height, account, body).unwrap()).unwrap()
    };
    let requester = account_file::load(world.path("requester").as_ref()).unwrap();
    let blocks = (0..=ledger.head().height.0).map(|height| ledger.block(BlockHeight(height)).unwrap());
    let body = blocks
        .flat_map(|block| block.entries)
        .find_map(|entry| match entry.body {
            EntryBody::Transaction { tx, outcome: Outcome::Granted { .. } } if tx.tx.sender == requester.address() => {
                Some(tx.tx.body)
            }
            _ => None,
        })
        .unwrap();
    submit(&requester, body);
    let terms = GrantTerms {
        whole: vec![],
        disclose: vec![1],
        prove: vec![],
        existence: false,
        purpose: String::new(),
        not_before_ms: Some(4_000_000_000_000),
        until_ms: None,
        quota: None,
        bits: None,
    };
    for _ in 0..1001 {
        submit(owner.account(), TxBody::Grant { asset, to: stranger.parse().unwrap(), terms: terms.clone() });
    }
}

/// The blocks of a ledger, its genesis and checkpoint as JSON and text.
struct Seen {
    blocks: Vec<Block>,
    json: Vec<Value>,
    genesis: Value,
    checkpoint: String,
    /// All of it as bytes: log file, borsh, JSON, texts.
    bytes: Vec<u8>,
}

fn seen(world: &World) -> Seen {
    let owner = Owner::open(world.path("owner").as_ref()).unwrap();
    let ledger = Ledger::open(&owner.ledger_folder(), owner.account().clone()).unwrap();
    let blocks: Vec<Block> =
        (0..=ledger.head().height.0).map(|height| ledger.block(BlockHeight(height)).unwrap()).collect();
    let json: Vec<Value> = blocks.iter().map(|block| serde_json::to_value(block).unwrap()).collect();
    let genesis = serde_json::to_value(ledger.genesis()).unwrap();
    let checkpoint = ledger.checkpoint().0;
    let mut bytes = std::fs::read(world.path("owner/ledger/blocks.log")).unwrap();
    bytes.extend(encode(&blocks));
    for text in [serde_json::to_string(&json).unwrap(), genesis.to_string(), checkpoint.clone()] {
        bytes.extend(text.into_bytes());
    }
    Seen { blocks, json, genesis, checkpoint, bytes }
}

/// Every way in which bytes may stand somewhere: as they are, turned round, in hexadecimal, in base64
/// at each of its three offsets.
fn spellings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let turned: Vec<u8> = bytes.iter().rev().copied().collect();
    let mut all = Vec::new();
    for form in [bytes.to_vec(), turned] {
        let hex: String = form.iter().map(|byte| format!("{byte:02x}")).collect();
        all.extend([hex.to_uppercase().into_bytes(), hex.into_bytes()]);
        for offset in 0..3 {
            let shifted = [vec![0; offset], form.clone()].concat();
            for text in [STANDARD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
                // Only whole groups of three bytes are spelled alike wherever they stand.
                let text = text.trim_end_matches('=');
                let (from, to) = (if offset == 0 { 0 } else { 4 }, text.len() - text.len() % 4);
                if to >= from + 8 {
                    all.push(text.as_bytes()[from..to].to_vec());
                }
            }
        }
        all.push(form);
    }
    all
}

impl Secret {
    fn spellings(&self) -> Vec<Vec<u8>> {
        match self {
            Secret::Bytes(bytes) => spellings(bytes),
            Secret::Text(text) => {
                let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                // What stands for a text in a commitment could be guessed, so it is a secret as well.
                let hash = sealgate_circuits::bytes::tagged_hash("sealgate/text/1", &[text.as_bytes()]);
                [text.as_bytes(), &wide, &hash[..16], &hash[16..], blake3::hash(text.as_bytes()).as_bytes()]
                    .into_iter()
                    .flat_map(spellings)
                    .collect()
            }
            Secret::Number(number) => {
                let element = number.cast_unsigned() ^ (1 << 63);
                let decimal = number.to_string();
                [&number.to_le_bytes()[..], &element.to_le_bytes(), decimal.as_bytes()]
                    .into_iter()
                    .flat_map(spellings)
                    .collect()
            }
        }
    }
}

/// The first of these that stands in `bytes`.
fn first_found(bytes: &[u8], needles: &BTreeMap<Vec<u8>, usize>) -> Option<usize> {
    // By their first six bytes: thousands of needles in one pass.
    let mut starts: BTreeMap<[u8; 6], Vec<(&Vec<u8>, usize)>> = BTreeMap::new();
    for (needle, whose) in needles {
        starts
            .entry(*needle.first_chunk().expect("long enough to be told from chance"))
            .or_default()
            .push((needle, *whose));
    }
    let starts: std::collections::HashMap<_, _> = starts.into_iter().collect();
    (0..bytes.len().saturating_sub(6)).find_map(|at| {
        let candidates = starts.get::<[u8; 6]>(bytes[at..at + 6].try_into().unwrap())?;
        candidates.iter().find(|(needle, _)| bytes[at..].starts_with(needle)).map(|(_, whose)| *whose)
    })
}

fn found<'a>(seen: &Seen, secrets: &'a [Secret]) -> Option<&'a Secret> {
    let mut needles = BTreeMap::new();
    for (index, secret) in secrets.iter().enumerate() {
        needles.extend(secret.spellings().into_iter().map(|spelling| (spelling, index)));
    }
    first_found(&seen.bytes, &needles).map(|index| &secrets[index])
}

/// Which kinds of things a block holds. Whoever adds one adds it here, to the job above, and to the
/// page.
fn kinds(block: &Block) -> BTreeSet<&'static str> {
    let mut kinds = BTreeSet::new();
    for entry in &block.entries {
        let (tx, outcome) = match &entry.body {
            EntryBody::Unanswered { .. } => {
                kinds.insert("unanswered");
                continue;
            }
            EntryBody::Transaction { tx, outcome } => (tx, outcome),
        };
        kinds.insert(match outcome {
            Outcome::Accepted => "accepted",
            Outcome::Granted { .. } => "granted",
            Outcome::Denied { reason } => match reason {
                DenyReason::NoGrant
                | DenyReason::Existence
                | DenyReason::Purpose
                | DenyReason::NotYet
                | DenyReason::Expired
                | DenyReason::QuotaUsed
                | DenyReason::Withdrawn => "denied in a word",
                DenyReason::Field { .. } => "denied for a field",
                DenyReason::Predicate { .. } => "denied for a predicate",
                DenyReason::Whole { .. } => "denied for a column",
            },
        });
        kinds.insert(match &tx.tx.body {
            TxBody::OpenAccount { .. } => "OpenAccount",
            TxBody::RegisterAsset { .. } => "RegisterAsset",
            TxBody::PublishVersion { .. } => "PublishVersion",
            TxBody::Grant { .. } => "Grant",
            TxBody::Revoke { .. } => "Revoke",
            TxBody::Request { .. } => "Request",
            TxBody::Answer { .. } => "Answer",
            TxBody::Decline { reason: DeclineReason::Budget | DeclineReason::TooLarge, .. } => "Decline",
            TxBody::RequestWhole { .. } => "RequestWhole",
            TxBody::RequestSample { .. } => "RequestSample",
            TxBody::Deliver { .. } => "Deliver",
            TxBody::SampleResult { outcome: SampleOutcome::Whole, .. } => "SampleResult whole",
            TxBody::SampleResult { outcome: SampleOutcome::Damaged { .. }, .. } => "SampleResult damaged",
            TxBody::Transfer { .. } => "Transfer",
            TxBody::Withdraw { .. } => "Withdraw",
            TxBody::ReplaceAccount { .. } => "ReplaceAccount",
            TxBody::CloseAccount { .. } => "CloseAccount",
            TxBody::Propose { change } => changed(change),
            TxBody::Endorse { .. } => "Endorse",
            TxBody::PutText { content: TextContent::Public(_), .. } => "PutText public",
            TxBody::PutText { content: TextContent::Sealed(_), .. } => "PutText sealed",
        });
    }
    kinds
}

fn changed(change: &Change) -> &'static str {
    match change {
        Change::Join(_) => "Propose join",
        Change::Leave { .. } => "Propose leave",
        Change::Replace { .. } => "Propose replace",
        Change::Policy(_) => "Propose policy",
        Change::Withdraw { .. } => "Propose withdraw",
    }
}

/// All but `Endorse` and the changes of members, which an embedded ledger cannot see
/// ([`of_networks`]).
const KINDS: [&str; 28] = [
    "Answer",
    "CloseAccount",
    "Decline",
    "Deliver",
    "Grant",
    "OpenAccount",
    "Propose policy",
    "Propose withdraw",
    "PublishVersion",
    "PutText public",
    "PutText sealed",
    "RegisterAsset",
    "ReplaceAccount",
    "Request",
    "RequestSample",
    "RequestWhole",
    "Revoke",
    "SampleResult damaged",
    "SampleResult whole",
    "Transfer",
    "Withdraw",
    "accepted",
    "denied for a column",
    "denied for a field",
    "denied for a predicate",
    "denied in a word",
    "granted",
    "unanswered",
];

#[test]
fn the_ledger_tells_what_the_page_says_and_no_more() {
    let job = job();
    let seen = seen(&job.world);
    let kinds: BTreeSet<_> = seen.blocks.iter().flat_map(kinds).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), KINDS, "the job shows every kind of thing");

    // Every field has its line, every line its field.
    let mut names = BTreeSet::new();
    seen.json.iter().for_each(|block| fields(block, "", &mut names));
    fields(&seen.genesis, "genesis", &mut names);
    let (bodies, genesis) = of_networks(&serde_json::from_value(seen.genesis.clone()).unwrap());
    for body in &bodies {
        fields(&serde_json::to_value(body).unwrap(), ".entries.body.transaction.tx.tx.body", &mut names);
    }
    fields(&serde_json::to_value(&genesis).unwrap(), "genesis", &mut names);
    names.extend(["genesis.operator", "policy.auditor"].map(str::to_owned));
    let lines: Vec<&str> = seen.checkpoint.lines().collect();
    assert!(lines.len() == 6 && lines[0].starts_with("sealgate/") && lines[4].is_empty(), "{}", seen.checkpoint);
    assert!(lines[3].starts_with("block "), "{}", seen.checkpoint);
    signed_by_several(&lines, seen.blocks.last().unwrap());
    names.extend(["origin", "size", "root", "block", "signature"].map(|field| format!("checkpoint.{field}")));
    let page = named_in_the_page();
    let (missing, idle): (Vec<_>, Vec<_>) = (names.difference(&page).collect(), page.difference(&names).collect());
    assert!(missing.is_empty() && idle.is_empty(), "without a line: {missing:?}; lines without a field: {idle:?}");

    contents(&job, &seen);
    lengths(&job, &seen);
    repetitions(&job, &seen);
}

/// On a ledger of several members there are more lines of the last kind and nothing else.
fn signed_by_several(lines: &[&str], head: &Block) {
    let (checkpoint, chain) = (Checkpoint::of(&head.header), head.header.chain);
    let nodes: Vec<NodeSecret> = (1..=4).map(|seed| NodeSecret::from_seed(&[seed; 32])).collect();
    let signed: Vec<_> = nodes.iter().map(|node| (node.verify_key(), checkpoint.signature(&chain, node))).collect();
    let note = checkpoint.with(&chain, &signed).0;
    let several: Vec<&str> = note.lines().collect();
    assert_eq!(several[..5], lines[..5]);
    let name = lines[5].rsplit_once(' ').unwrap().0;
    assert!(several.len() == 9 && several[5..].iter().all(|line| line.starts_with(name)), "{note}");
}

fn contents(job: &Job, seen: &Seen) {
    assert!(job.secrets.len() > 200, "{}", job.secrets.len());
    if let Some(secret) = found(seen, &job.secrets) {
        panic!("{secret:?} stands on the ledger");
    }
    // The search finds what is public, in each kind of spelling.
    let address = account_file::load(job.world.path("requester").as_ref()).unwrap().public().verify_key;
    for public in [
        Secret::Text(PURPOSE.into()),
        Secret::Text("register".into()),
        Secret::Text(PUBLIC_TEXT.into()),
        Secret::Number(FIXED),
        Secret::Bytes(address.0.to_vec()),
    ] {
        assert!(found(seen, std::slice::from_ref(&public)).is_some(), "{public:?} is not found");
    }
    for (hidden, spelled) in [
        ("Zollamt Wien", "Wm9sbGFtdCBXaWVu"),
        ("Zollamt Wien", "xxWm9sbGFtdCBXaWVuyy"),
        ("Zollamt Wien!", "AFpvbGxhbXQgV2llbiEA"),
    ] {
        let needles = spellings(hidden.as_bytes()).into_iter().map(|spelling| (spelling, 0)).collect();
        assert_eq!(first_found(spelled.as_bytes(), &needles), Some(0), "{hidden} in {spelled}");
    }
}

/// A request's and its answer's transactions.
fn pair(seen: &Seen, request: &str) -> (Value, Value, usize, usize) {
    let mut pair = (Value::Null, Value::Null, 0, 0);
    for entry in seen.blocks.iter().flat_map(|block| &block.entries) {
        let EntryBody::Transaction { tx, .. } = &entry.body else { continue };
        let json = serde_json::to_value(&tx.tx.body).unwrap();
        if tx.hash().to_string() == request {
            (pair.0, pair.2) = (json["Request"].clone(), tx.encode().len());
        } else if json["Answer"]["request"] == request {
            (pair.1, pair.3) = (json["Answer"].clone(), tx.encode().len());
        }
    }
    assert!(pair.0.is_object() && pair.1.is_object(), "{request} and its answer are there");
    pair
}

fn lengths(job: &Job, seen: &Seen) {
    for requests in [&job.alike, &job.batches] {
        let pairs: Vec<_> = requests.iter().map(|request| pair(seen, request)).collect();
        let measured = |(request, answer, asked, answered): &(Value, Value, usize, usize)| {
            let charges = answer["charges"].as_str().unwrap().len();
            (request["shape"].clone(), *asked, *answered, charges, answer["bytes"].as_u64())
        };
        let first = measured(&pairs[0]);
        assert!(first.4.is_some_and(|bytes| (bytes - 48).is_power_of_two()), "{first:?}");
        assert!(pairs.iter().all(|pair| measured(pair) == first), "there, null or absent: {pairs:?}");
    }
    let charged = pair(seen, &job.alike[0]).1["charges"].as_str().unwrap().len() / 2;
    // One key, two predicates on a column each, for owner and auditor (budget.md).
    assert_eq!(charged, 2 * (4 + 48 + 4 + 20 + 2 * (12 + 9)) + 1);
    let access = |body: &Value| body["version"]["access"].as_str().map(|access| access.len() / 2);
    let bodies = seen.json.iter().flat_map(|block| block["entries"].as_array().unwrap());
    let bodies: Vec<&Value> = bodies.map(|entry| &entry["body"]["transaction"]["tx"]["tx"]["body"]).collect();
    let lengths: Vec<usize> =
        bodies.iter().filter_map(|body| access(&body["RegisterAsset"]).or(access(&body["PublishVersion"]))).collect();
    assert_eq!(lengths, [44; 4]);
    // A sealed identity and a sealed text have the length of any other for as many readers.
    let field = |body: &Value, at: &[&str]| at.iter().fold(body.clone(), |value, name| value[name].clone());
    let sealed = |at: &[&str]| -> Vec<usize> {
        let values = bodies.iter().filter_map(|body| field(body, at).as_str().map(str::len));
        values.filter(|length| *length > 0).map(|length| length / 2).collect()
    };
    let party = AccountSecret::generate("party").unwrap().public().clone();
    let short = sealgate_gateway::identity::seal("X", &party.address(), &[party.clone(), party.clone()]).unwrap();
    assert_eq!(sealed(&["OpenAccount", "identity"]), [short.len()]);
    let copies: Vec<usize> = bodies
        .iter()
        .filter_map(|body| body["PutText"]["content"]["sealed"].as_array())
        .flat_map(|copies| copies.iter().map(|copy| copy["envelope"].as_str().unwrap().len() / 2))
        .collect();
    assert_eq!(copies, [8192 + 48]);
}

fn repetitions(job: &Job, seen: &Seen) {
    // Whatever looks random is never there twice, the same question and the same table included.
    let mut times: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut versions = Vec::new();
    for entry in seen.json.iter().flat_map(|block| block["entries"].as_array().unwrap()) {
        let body = &entry["body"]["transaction"]["tx"]["tx"]["body"];
        for field in ["binding", "sealed", "charges"] {
            times.entry(field.into()).or_default().extend(body["Answer"][field].as_str().map(str::to_owned));
        }
        times.entry("commitment".into()).or_default().extend(body["Request"]["commitment"].as_str().map(str::to_owned));
        for version in [&body["RegisterAsset"]["version"], &body["PublishVersion"]["version"]] {
            if version.is_object() && (version["number"] == 2 || body["RegisterAsset"]["name"] == "register") {
                versions.push(version.clone());
            }
        }
    }
    for (field, values) in &mut times {
        values.retain(|value| !value.is_empty());
        assert!(values.len() >= 6, "{field}: {}", values.len());
        // One request was sent once more, letter by letter, by these tests and not by its software.
        let distinct: BTreeSet<_> = values.iter().collect();
        let copies = usize::from(field == "commitment");
        assert_eq!(distinct.len() + copies, values.len(), "{field} repeats");
    }
    let (first, again) = (pair(seen, &job.alike[0]), pair(seen, &job.alike[3]));
    assert_eq!(first.0["shape"], again.0["shape"]);
    assert_ne!(first.0["commitment"], again.0["commitment"]);
    assert_ne!(first.1["binding"], again.1["binding"]);
    assert_eq!(versions.len(), 2);
    for field in ["root", "manifest", "access"] {
        assert_ne!(versions[0][field], versions[1][field], "{field}");
    }
    let seals = |version: &Value| version["columns"].as_array().unwrap().clone();
    for (one, other) in seals(&versions[0]).iter().zip(seals(&versions[1])) {
        for field in ["ciphertext", "key_commitment"] {
            assert_ne!(one[field], other[field], "{field}");
        }
    }
}

#[test]
fn publishing_an_unchanged_table_again_looks_like_publishing_another() {
    let world = World::with(&table("eins"));
    world.publish(&table("eins").write(world.dir.path())).ok();
    let shown = |number: u32| {
        let server = world.serve();
        let id = text(&sealgate(&["catalogue", "--gateway", &server.url]).ok()[0]["asset"]["id"]);
        let (_, body) =
            sealgate_tests::http(&server.url, &format!("GET /v1/assets/{id}/versions/{number} HTTP/1.1"), b"");
        serde_json::from_slice::<Value>(&body).unwrap()["info"].clone()
    };
    let (one, two) = (shown(1), shown(2));
    for field in ["root", "manifest", "access"] {
        assert_ne!(one[field], two[field], "{field}");
    }
    for column in 0..4 {
        assert_ne!(one["columns"][column], two["columns"][column]);
    }
    assert_eq!(one["records_rounded"], two["records_rounded"]);
}
