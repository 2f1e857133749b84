//! Whatever reads bytes from outside, fed with real samples that were damaged and with noise: it
//! never panics, takes no more time and memory than its input is worth, and what it takes it writes
//! the same again (`decoding/mod.rs`). `SEALGATE_SEED` repeats a run, `SEALGATE_DECODER_CASES` sets
//! the number of inputs for each decoder; `SEALGATE_FUZZ_CORPUS` names a folder into which the real
//! samples are written, for the fuzz targets under `tests/fuzz`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use sealgate_circuits::bytes::{Place, PlaceProof};
use sealgate_circuits::evidence::{Evidence, Present, Shown};
use sealgate_circuits::question::sql::{parse_predicate, parse_question};
use sealgate_circuits::question::{Item, Operand};
use sealgate_circuits::record::{RecordCommitment, Salt};
use sealgate_circuits::tree::{Leaf, NodeHash, Path as TreePath, PathEnd};
use sealgate_gateway::account_file;
use sealgate_gateway::answer_file::AnswerFile;
use sealgate_gateway::backup::{Kind, backup};
use sealgate_gateway::client::Governance;
use sealgate_gateway::delivery::{DeliveredColumn, SealedKey, SecretDelivery, Token};
use sealgate_gateway::identity;
use sealgate_gateway::messages::{Nonce, SecretAnswer, SecretQuestion};
use sealgate_gateway::receipt::Receipt;
use sealgate_gateway::sampling::SampleDelivery;
use sealgate_gateway::witness::pins::Pins;
use sealgate_ledger::Ledger;
use sealgate_ledger::block::EntryBody;
use sealgate_ledger::checkpoint::SignedCheckpoint;
use sealgate_ledger::codec::{decode, encode};
use sealgate_ledger::cosign::attach;
use sealgate_ledger::ids::{Address, BlockHeight, TxHash};
use sealgate_ledger::member::{Change, Member, MemberSet};
use sealgate_ledger::standing::{AssetStanding, Handover};
use sealgate_ledger::tx::Damage;
use sealgate_ledger::witness::AddCheckpoint;
use sealgate_ods::sealed_stream::StreamReader;
use sealgate_ods::table::columns::ColumnSegment;
use sealgate_ods::table::{Sample, SampledLeaf, SampledRecord};
use sealgate_ods::{AttemptId, KeyCommitment};
use sealgate_tests::chance::{Chance, count};
use sealgate_tests::{World, files_under, manifest, sealgate};
use serde_json::{Value, json};

mod decoding;
mod people;

/// Longest that reading one input may take, unoptimised and on a machine that does other things
/// beside; the largest inputs have a MiB.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of the backup that is taken as a sample.
const PASSPHRASE: &str = "a passphrase for tests";
/// Most resident memory of the whole run, in KiB.
const MEMORY_KIB_MAX: u64 = 1 << 20;

type Samples = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// What a real owner and a real requester have on disk and say to each other.
fn samples() -> Samples {
    let world = people::world(12);
    let server = world.serve();
    let questions = [
        "SELECT name, fee >= 500, level >= 3 FROM people WHERE id = 4",
        "SELECT id, name, status, fee, level FROM people WHERE id = 5",
        "SELECT 1 FROM people WHERE id = 99",
    ];
    let mut samples = Samples::new();
    let mut add = |probe: &'static str, sample: Vec<u8>| samples.entry(probe).or_default().push(sample);
    for (i, question) in questions.iter().enumerate() {
        let out = format!("answer{i}.json");
        let run = world.ask(&server.url, "requester", "", &out, question);
        if run.code != 0 {
            continue; // the grant does not disclose the key
        }
        let bytes = std::fs::read(world.path(&out)).unwrap();
        let file = AnswerFile::read(&bytes).unwrap();
        add("checkpoint", file.checkpoint.0.clone().into_bytes());
        add("messages", serde_json::to_vec(&file.request).unwrap());
        let evidence = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &file.evidence).unwrap();
        let shown: Vec<Evidence> = decode("evidence", &evidence).unwrap();
        add("path", encode(&shown[0].path));
        add("secrets", encode(&SecretAnswer { request: TxHash([1; 32]), version: 1, evidence: shown.clone() }));
        let mut opened = shown;
        for one in opened.iter_mut().filter(|one| one.present.is_some()) {
            let salt = borsh::from_slice(&[7; 32]).unwrap();
            let answers = one.present.as_ref().unwrap().answers.clone();
            one.present = Some(Present { answers, shown: Shown::Opening(salt) });
        }
        add("evidence", encode(&opened));
        add("evidence", evidence);
        add("answer_file", bytes);
        decoding::GENESIS.get_or_init(|| file.genesis.clone());
    }
    for call in ["head", "catalogue"] {
        let said = get(&format!("{}/v1/{call}", server.url));
        add("messages", serde_json::to_vec(&said).unwrap());
    }
    shared_ledger(&world, &server.url, &mut add);
    let (home, trail) = (world.path("auditor"), world.path("trail.json"));
    sealgate(&["trail", "--gateway", &server.url, "--home", &home, "--export", &trail]).ok();
    add("trail_file", std::fs::read(trail).unwrap());
    drop(server);
    let owner = world.dir.path().join("owner");
    let ledger = Ledger::open(&owner.join("ledger"), account_file::load(&owner).unwrap()).unwrap();
    for height in 0.. {
        let Ok(block) = ledger.block(BlockHeight(height)) else { break };
        for entry in &block.entries {
            if let EntryBody::Transaction { tx, .. } = &entry.body {
                add("signed_tx", tx.encode());
            }
        }
        add("block", encode(&block));
    }
    add("genesis", encode(ledger.genesis()));
    add("genesis", serde_json::to_vec(ledger.genesis()).unwrap());
    add("genesis", serde_json::to_vec(account_file::load(&owner).unwrap().public()).unwrap());
    drop(ledger);
    add("account_file", std::fs::read(owner.join(account_file::ACCOUNT_FILE)).unwrap());
    for file in files_under(&owner).into_iter().chain(files_under(&world.dir.path().join("requester"))) {
        let name = file.to_string_lossy().into_owned();
        let read = |file: &Path| std::fs::read(file).unwrap();
        match () {
            () if name.contains("/asked/") => add("messages", read(&file)),
            () if name.contains("/parameters/") && name.contains("record-15-slots-4") => {
                let bytes = read(&file);
                add(if bytes.len() > 100_000 { "proving_key" } else { "verifying_key" }, bytes);
            }
            () if name.contains("/keys/") || name.ends_with("root.key") => {
                let mut bytes = read(&file);
                add("key_files", bytes.clone());
                bytes.truncate(bytes.len().saturating_sub(32));
                add("key_files", bytes);
            }
            () => {}
        }
    }
    let (home, file) = (world.dir.path().join("auditor"), world.dir.path().join("auditor.backup"));
    backup(Kind::Home, &home, &file, true, PASSPHRASE, &|_, _| {}).unwrap();
    let mut content = Vec::new();
    StreamReader::new(File::open(file).unwrap(), PASSPHRASE).unwrap().read_to_end(&mut content).unwrap();
    add("backup", content);
    for name in ["people.toml", "flights.toml"] {
        let path = if name == "people.toml" { world.dir.path().join(name) } else { manifest(name) };
        add("manifest", std::fs::read(path).unwrap());
    }
    spoken(&mut samples);
    samples
}

/// What is proven to stand on a ledger, who its members are, and notes with their cosignatures.
fn shared_ledger(world: &World, url: &str, add: &mut impl FnMut(&'static str, Vec<u8>)) {
    let said = |path: &str| get(&format!("{url}/v1/{path}"));
    let bytes = |value: &Value| serde_json::to_vec(value).unwrap();
    let asset = said("catalogue")["assets"][0]["asset"]["id"].as_str().unwrap().to_owned();
    let (requester, auditor) = (&world.requester, &world.auditor);
    for path in [
        format!("state/assets/{asset}"),
        format!("state/assets/{asset}/grants/{requester}"),
        format!("state/assets/{asset}/grants/{auditor}"),
        format!("state/accounts/{requester}"),
        "state/members".into(),
        "state/policy".into(),
        "handovers?epoch=0".into(),
    ] {
        add("standing", bytes(&said(&path)));
    }
    serde_json::from_value::<AssetStanding>(said(&format!("state/assets/{asset}"))).unwrap();
    // A ledger of one member has no handovers; this one is of the right form.
    let members = said("state/members");
    let handover = json!({"head": members["head"], "members": members["value"], "proof": members["proof"]});
    add("standing", bytes(&json!([handover])));
    add("standing", encode(&serde_json::from_value::<Handover>(handover).unwrap()));
    add("standing", bytes(&members["head"]));

    let governance = said("governance");
    serde_json::from_value::<Governance>(governance.clone()).unwrap();
    add("member", bytes(&governance));
    add("member", bytes(&governance["members"]));
    add("member", bytes(&governance["policy"]));
    let mut member: Member = serde_json::from_value(governance["members"]["members"][0].clone()).unwrap();
    add("member", serde_json::to_vec_pretty(&member).unwrap());
    (member.peer, member.gateway) = ("10.0.0.7:7101".into(), "http://10.0.0.7:7201".into());
    member.certificate.0 = vec![0x30; 300];
    add("member", encode(&member));
    add("member", serde_json::to_vec(&member).unwrap());
    add("member", encode(&MemberSet { epoch: 3, members: vec![member.clone()] }));
    add("member", encode(&Change::Join(member.clone())));
    add("member", serde_json::to_vec(&Change::Leave { account: member.address() }).unwrap());

    let checkpoint = SignedCheckpoint(said("checkpoint")["checkpoint"].as_str().unwrap().to_owned());
    let witness = decoding::shared::witness_secret();
    let line = witness.cosign(&checkpoint, 1_800_000_000).unwrap();
    let cosigned = attach(&checkpoint, [line.as_str()]);
    assert_eq!(witness.public().cosigned(&cosigned).unwrap(), Some(1_800_000_000));
    let proof = vec![sealgate_ledger::merkle::NodeHash([5; 32]); 3];
    add("notes", AddCheckpoint { old: 2, proof, checkpoint: cosigned.clone() }.to_text().into_bytes());
    add("notes", cosigned.0.into_bytes());
    add("notes", line.into_bytes());
    add("notes", witness.public().to_string().into_bytes());
    add("notes", serde_json::to_vec(&Pins { required: 1, witnesses: vec![witness.public().clone()] }).unwrap());

    let reader = decoding::account_secret().public().clone();
    for others in [0, 1, 8] {
        let readers = vec![reader.clone(); others + 1];
        add("identity", identity::seal("Bank of Dalian", &Address([7; 32]), &readers).unwrap());
    }
    let hash = said("trail")["requests"][0]["hash"].as_str().unwrap().to_owned();
    let (home, out) = (world.path("requester"), world.path("receipt.json"));
    sealgate(&["receipt", &hash, "--gateway", url, "--home", &home, "--out", &out]).ok();
    let receipt = std::fs::read(out).unwrap();
    assert!(Receipt::read(&receipt).is_ok());
    add("receipt", receipt);
}

fn get(url: &str) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { serde_json::from_str(&reqwest::get(url).await.unwrap().text().await.unwrap()).unwrap() })
}

/// Questions in all their forms, and other short texts.
fn spoken(samples: &mut Samples) {
    let mut add = |probe: &'static str, sample: Vec<u8>| samples.entry(probe).or_default().push(sample);
    let (stream, handing) = (decoding::backups::sealed_content(), decoding::shared::signed_handing());
    assert_eq!(decoding::backups::opened(&stream).as_deref(), Some(b"content".as_slice()));
    let account = decoding::account_secret().public();
    assert!(handing.handing.verify(account, &handing.signature).is_ok());
    add("stream", stream);
    add("handing", serde_json::to_vec(&handing).unwrap());
    for text in [
        "SELECT name, fee >= 5, NOT (active OR \"Until day\" < DATE '2024-01-01') FROM t WHERE id = 1",
        "SELECT * FROM t WHERE id IN (1, 2, 3);",
        "SELECT 1 FROM \"t\" WHERE (id) = (-9223372036854775808)",
        "SELECT name NOT IN ('a', 'it''s', '多'), at BETWEEN '2024-01-01T00:00:00Z' AND '2024-06-01T00:00:00+02:00' FROM t WHERE id = 7",
        "SELECT (name = 'a' OR (fee > 1 AND (active OR (fee IS NULL AND name <> 'b')))), at IS NOT NULL FROM t WHERE id = 7",
    ] {
        add("sql", text.into());
        let question = parse_question(text, decoding::schema(), Vec::new()).unwrap();
        add("shape", encode(&question.shape));
        add("question", encode(&question));
        let nonce = Nonce([1; 32]);
        let mut free = question.shape.clone();
        for item in &mut free.items {
            if let Item::Prove(predicate) = item {
                add("predicate", encode(predicate));
                *predicate = predicate.freed();
                add("predicate", encode(predicate));
            }
        }
        let free = question.reshaped(&free).unwrap();
        add("question", encode(&free));
        add("secrets", encode(&SecretQuestion { nonce, question: free }));
    }
    for text in ["fee >= ?", "name IN (?, ?, ?) OR active", "NOT \"Until day\" BETWEEN ? AND ?"] {
        let predicate = parse_predicate(text, decoding::schema()).unwrap();
        assert!(predicate.comparisons.iter().any(|comparison| comparison.operands.contains(&Operand::Free)));
        add("predicate", encode(&predicate));
        add("sql", text.into());
    }
    let segment = ColumnSegment {
        attempt: AttemptId([2; 16]),
        segment: 1,
        rows: 9,
        bytes: 400,
        digest: [3; 32],
        key_commitment: KeyCommitment([4; 32]),
    };
    let record = SampledRecord {
        place_proof: PlaceProof([6; 80]),
        values: vec![sealgate_circuits::value::Value::Int(7), sealgate_circuits::value::Value::Null],
        salt: Salt::derive(&[8; 32], b"key", 1),
        segment: 0,
        row: 3,
        chunk_keys: vec![[9; 32]; 2],
    };
    let leaf = Leaf { place: Place([1; 32]), commitment: RecordCommitment([2; 32]) };
    let path = TreePath { siblings: vec![NodeHash([3; 32]); 2], end: PathEnd::Leaf(leaf) };
    let sample = Sample { path, leaf: SampledLeaf::Record(Box::new(record)) };
    let delivery = SampleDelivery {
        request: TxHash([1; 32]),
        version: 1,
        attempt: AttemptId([2; 16]),
        token: Token::generate().unwrap(),
        columns: vec![vec![segment.clone(); 2]; 2],
        samples: vec![Ok(sample), Err(Damage::Missing)],
    };
    add("secrets", encode(&delivery));
    let column = DeliveredColumn { column: 1, segments: vec![segment; 2], keys: vec![SealedKey([5; 32]); 2] };
    let delivery = SecretDelivery {
        request: TxHash([1; 32]),
        version: 1,
        attempt: AttemptId([2; 16]),
        token: Token::generate().unwrap(),
        columns: vec![column],
    };
    add("secrets", encode(&delivery));
    let account = decoding::account_secret();
    add("names", account.address().to_string().into());
    add("names", NodeHash([0xab; 32]).to_string().into());
    for name in ["2024-02-29", "-12.50", "2024-01-16T14:37:35-08:00", "true", "decimal(18)", "9223372036854775807"] {
        add("names", name.into());
    }
    let purpose = sealgate_gateway::envelope::Purpose { info: "fuzz", associated: b"" };
    add("envelope", sealgate_gateway::envelope::seal(&account.public().encryption_key, purpose, b"hello").unwrap());
    add("envelope", encode(&(vec![1u8; 60], Some(vec![2u8; 60]))));
    add("envelope", vec![0; 8192]);
}

/// One change of a sample.
#[derive(Debug, Clone)]
enum Edit {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    /// A length, perhaps, said to be another.
    Length(Index, u32),
    Cut(Index),
    /// A number in digits, or a word, said to be another.
    Word(Index, &'static str),
}

const WORDS: [&str; 24] = [
    "-1",
    "0",
    "18446744073709551616",
    "1e999",
    "null",
    "true",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
    "\\u0000",
    "\\ud800",
    "\"\"",
    "''",
    "NOT ",
    "((((",
    " AND ",
    " OR ",
    "--",
    "/*/*",
    "$$",
    "\u{feff}",
    "𝟙",
    "IN (",
    "\n\n",
    "[[column]]\n",
];

fn edit() -> impl Strategy<Value = Edit> {
    let lengths = prop_oneof![Just(u32::MAX), Just(i32::MAX as u32), Just(1 << 20), Just(257), any::<u32>()];
    prop_oneof![
        4 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        2 => (any::<Index>(), prop_oneof![Just(0), Just(1), Just(0x7f), Just(0xff), any::<u8>()]).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (any::<Index>(), 1usize..64).prop_map(|(at, many)| Edit::Remove(at, many)),
        1 => (any::<Index>(), 1usize..200).prop_map(|(at, many)| Edit::Repeat(at, many)),
        3 => (any::<Index>(), lengths).prop_map(|(at, length)| Edit::Length(at, length)),
        1 => any::<Index>().prop_map(Edit::Cut),
        2 => (any::<Index>(), prop::sample::select(&WORDS[..])).prop_map(|(at, word)| Edit::Word(at, word)),
    ]
}

fn edited(sample: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match edit {
            Edit::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Edit::Set(at, byte) => bytes[at.index(length)] = *byte,
            Edit::Insert(at, more) => {
                let at = at.index(length);
                bytes.splice(at..at, more.iter().copied());
            }
            Edit::Remove(at, many) => {
                let at = at.index(length);
                bytes.drain(at..(at + many).min(length));
            }
            Edit::Repeat(at, many) => {
                let at = at.index(length);
                let part = bytes[at..(at + many).min(length)].to_vec();
                bytes.splice(at..at, part);
            }
            Edit::Length(at, number) => {
                let at = at.index(length);
                for (byte, new) in bytes[at..].iter_mut().zip(number.to_le_bytes()) {
                    *byte = new;
                }
            }
            Edit::Cut(at) => bytes.truncate(at.index(length)),
            Edit::Word(at, word) => {
                let at = at.index(length);
                bytes.splice(at..at, word.bytes());
            }
        }
    }
    bytes
}

/// Inputs that are large or deep on purpose.
fn extremes() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![Vec::new(), vec![0xff; 64], vec![0xff; 1 << 20], vec![0; 1 << 20], vec![1; 4096]];
    for part in ["(", "[", "{\"a\":", "NOT ", "a AND ", "/*", "'", "[[column]]\n", "a.", "-", "x = [", "多", "1,"] {
        all.push(part.repeat(20_000).into_bytes());
        all.push(format!("SELECT {} FROM t WHERE id = 1", part.repeat(60)).into_bytes());
    }
    // A length of four thousand million elements, and nothing behind it.
    for at in 0..12 {
        let mut bytes = vec![0; 40];
        bytes[at..at + 4].fill(0xff);
        all.push(bytes);
    }
    all
}

fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())
}

#[test]
fn no_input_stops_a_decoder() {
    let samples = samples();
    keep(&samples);
    let mut chance = Chance::of_run("decoders");
    let cases = count("SEALGATE_DECODER_CASES", 10_000);
    for (name, slow, probe) in decoding::PROBES {
        let known = samples.get(name).unwrap_or_else(|| panic!("no sample for {name}"));
        let run = |bytes: &[u8]| {
            let started = Instant::now();
            probe(bytes);
            assert!(started.elapsed() < PATIENCE, "{name} took {:?} over {} bytes", started.elapsed(), bytes.len());
        };
        known.iter().for_each(|sample| run(sample));
        extremes().iter().for_each(|bytes| run(bytes));
        let large = known.iter().any(|sample| sample.len() > 100_000);
        let cases = if large {
            cases / 200
        } else if slow {
            cases / 40
        } else {
            cases
        };
        let config = Config { cases: cases.max(8) as u32, failure_persistence: None, ..Config::default() };
        let seed: Vec<u8> = (0..4).flat_map(|_| chance.bits().to_le_bytes()).collect();
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
        let damaged = (any::<Index>(), prop::collection::vec(edit(), 1..6))
            .prop_map(|(sample, edits)| edited(&known[sample.index(known.len())], &edits));
        let noise = prop::collection::vec(any::<u8>(), 0..300);
        let started = Instant::now();
        let result = runner.run(&prop_oneof![8 => damaged, 1 => noise], |bytes| {
            // A panic inside is a failed case, which is then made as small as it can be.
            run(&bytes);
            Ok::<(), TestCaseError>(())
        });
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
        println!("{name}: {} samples, {cases} more inputs, {:.1?}", known.len(), started.elapsed());
    }
    decoding::clean_up();
    if let Some(peak) = peak_memory_kib() {
        println!("peak memory {peak} KiB");
        assert!(peak < MEMORY_KIB_MAX, "reading took {peak} KiB");
    }
}

/// Writes the samples where the fuzz targets begin.
fn keep(samples: &Samples) {
    let Some(folder) = std::env::var_os("SEALGATE_FUZZ_CORPUS") else { return };
    for (name, samples) in samples {
        let folder = Path::new(&folder).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (i, sample) in samples.iter().enumerate() {
            std::fs::write(folder.join(format!("sample-{i}")), sample).unwrap();
        }
    }
}
