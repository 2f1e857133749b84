//! Everything that reads bytes from outside, each under a name: reads them, and of what it takes
//! demands that it writes the same bytes again and that whatever is asked of it next is answered,
//! not panicked at. Shared by `decoders.rs` and the fuzz targets under `tests/fuzz`.

use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::{Context, Place, PlaceKey, TreeRoot};
use sealgate_circuits::evidence::{Evidence, Published, verify};
use sealgate_circuits::prover::ProvingKey;
use sealgate_circuits::question::sql::{parse_predicate, parse_question, table_name};
use sealgate_circuits::question::{Predicate, Question, Shape};
use sealgate_circuits::schema::{Column, ColumnUse, Schema};
use sealgate_circuits::statement::Circuit;
use sealgate_circuits::tree::Path;
use sealgate_circuits::value::{ColumnType, Value};
use sealgate_circuits::verifier::VerifyingKey;
use sealgate_gateway::account_file;
use sealgate_gateway::answer_file::AnswerFile;
use sealgate_gateway::budget::{Book, Reader};
use sealgate_gateway::catalogue::Page;
use sealgate_gateway::client::{AssetDetail, HeadResponse, Problem};
use sealgate_gateway::delivery::{FetchRequest, SecretDelivery};
use sealgate_gateway::envelope::{self, Purpose};
use sealgate_gateway::home::Asked;
use sealgate_gateway::messages::{AskRequest, AskResponse, LedgerProofs, SecretAnswer, SecretQuestion};
use sealgate_gateway::naming::{AssetName, Who};
use sealgate_gateway::sampling::SampleDelivery;
use sealgate_gateway::trail::meter::meter;
use sealgate_gateway::trail::{Wanted, export, grouped, spreadsheet};
use sealgate_ledger::account::{AccountPublic, AccountSecret, EncryptionKey, Signature};
use sealgate_ledger::block::{Block, Entry, EntryBody, Header, Outcome};
use sealgate_ledger::checkpoint::SignedCheckpoint;
use sealgate_ledger::codec::{decode, encode};
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{Address, AssetId, BlockHash, BlockHeight, ChainId, Digest, LogRoot, StateRoot, TxHash};
use sealgate_ledger::light::EntryProof;
use sealgate_ledger::member::Policy;
use sealgate_ledger::tx::{SignedTx, Tx, TxBody, VersionInfo};
use sealgate_ods::table::chosen;
use sealgate_ods::table::columns::column_seal;
use sealgate_ods::{AssetLabel, KeyFolder, RootFile, RootKey, ShareManifest};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub mod backups;
pub mod shared;

/// One way in.
pub type Probe = fn(&[u8]);

/// All ways in; the flag says that reading takes long, so that fewer inputs are tried.
pub const PROBES: [(&str, bool, Probe); 29] = [
    ("question", false, question),
    ("shape", false, shape),
    ("predicate", false, predicate),
    ("evidence", false, evidence),
    ("path", false, path),
    ("signed_tx", false, signed_tx),
    ("block", false, block),
    ("genesis", false, genesis),
    ("secrets", false, secrets),
    ("messages", false, messages),
    ("answer_file", false, answer_file),
    ("trail_file", false, trail_file),
    ("checkpoint", false, checkpoint),
    ("names", false, names),
    ("sql", false, sql),
    ("manifest", false, manifest),
    ("account_file", true, account),
    ("key_files", true, key_files),
    ("verifying_key", true, verifying_key),
    ("proving_key", true, proving_key),
    ("envelope", true, sealed),
    ("notes", false, shared::notes),
    ("standing", false, shared::standing),
    ("receipt", false, shared::receipt),
    ("member", false, shared::member),
    ("identity", false, shared::sealed_identity),
    ("handing", false, shared::handing),
    ("stream", false, backups::stream),
    ("backup", true, backups::backup),
];

/// Reads borsh in its one spelling.
fn canonical<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> Option<T> {
    let value: T = decode("fuzz", bytes).ok()?;
    assert_eq!(encode(&value), bytes);
    Some(value)
}

/// Reads JSON; what is read is written in a form that reads as the same.
fn json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let again: T = serde_json::from_slice(&serde_json::to_vec(&value).unwrap()).unwrap();
    assert_eq!(again, value);
    Some(value)
}

/// A schema with a column of each type, keyed by its first two.
pub fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let column = |(name, kind): (&str, ColumnType)| Column {
            name: name.into(),
            kind,
            allowed: ColumnUse { disclose: true, prove: true },
        };
        let kinds = [
            ("id", ColumnType::Int),
            ("fee", ColumnType::Decimal(2)),
            ("name", ColumnType::Text),
            ("Until day", ColumnType::Date),
            ("active", ColumnType::Bool),
            ("at", ColumnType::Timestamp),
        ];
        Schema { columns: kinds.into_iter().map(column).collect(), key: vec![0] }
    });
    &SCHEMA
}

fn question(bytes: &[u8]) {
    let Some(question) = canonical::<Question>(bytes) else { return };
    let valid = question.validate(schema()).is_ok();
    let shown = question.display(schema(), "t");
    let _ = (question.items(), question.filled(), question.shape.form(schema()), question.shaped_for(&[]));
    if valid {
        // Whoever reads the canonical spelling asks the same question, if it can be spelled at all:
        // days and instants beyond the calendar cannot.
        let keys = if question.keys.len() == 1 { Vec::new() } else { question.keys.clone() };
        if let Ok(read) = parse_question(&shown, schema(), keys) {
            assert_eq!(read.display(schema(), "t"), shown);
        }
        assert!(question.reshaped(&question.shape).is_some());
    }
}

fn shape(bytes: &[u8]) {
    let Some(shape) = canonical::<Shape>(bytes) else { return };
    let _ = (shape.validate(schema()), shape.form(schema()), shape.display(schema()));
}

fn predicate(bytes: &[u8]) {
    let Some(predicate) = canonical::<Predicate>(bytes) else { return };
    let _ = (predicate.display(schema()), predicate.freed(), predicate.columns());
    assert!(predicate.allowed_by(std::slice::from_ref(&predicate)));
    if predicate.validate(schema()).is_ok() {
        // Free constants are spelled `?`, and so is this one.
        let shown = predicate.display(schema());
        if let Ok(read) = parse_predicate(&shown, schema()) {
            assert_eq!(read, predicate, "{shown}");
        }
    }
}

fn evidence(bytes: &[u8]) {
    let Some(evidence) = canonical::<Vec<Evidence>>(bytes) else { return };
    let (place_key, root) = (PlaceKey([3; 32]), TreeRoot([4; 32]));
    let published = Published { schema: schema(), place_key: &place_key, root: &root };
    for question in ["SELECT * FROM t WHERE id = 1", "SELECT 1 FROM t WHERE id = 1"] {
        let question = parse_question(question, schema(), Vec::new()).unwrap();
        assert!(verify(&evidence, &published, None, &question, &Context([0; 32])).is_err());
    }
    for one in evidence {
        let _ = one.path.verify(&root, &Place([0; 32]));
    }
}

fn path(bytes: &[u8]) {
    let Some(path) = canonical::<Path>(bytes) else { return };
    assert!(path.verify(&TreeRoot([0; 32]), &Place([5; 32])).is_err());
}

fn signed_tx(bytes: &[u8]) {
    let Ok(tx) = SignedTx::decode(bytes) else { return };
    assert_eq!(tx.encode(), bytes);
    let again: SignedTx = serde_json::from_slice(&serde_json::to_vec(&tx).unwrap()).unwrap();
    assert_eq!(again, tx);
    let _ = (tx.hash(), tx.verify(account_secret().public()));
}

fn block(bytes: &[u8]) {
    let Some(block) = canonical::<Block>(bytes) else { return };
    let _ = (block.header.hash(), block.header.next_time_ms(0));
    let mut valid = true;
    for entry in &block.entries {
        let _ = entry.leaf();
        if let EntryBody::Transaction { tx, outcome } = &entry.body {
            valid &= tx.validate().is_ok();
            let _ = serde_json::to_string(outcome).unwrap();
        }
    }
    // JSON knows bounds that borsh leaves to validation, as a decimal's scale.
    let again = serde_json::from_slice::<Block>(&serde_json::to_vec(&block).unwrap());
    assert!(!valid || again.unwrap() == block);
    let reader = Reader { account: account_secret(), earlier: &[], auditor: true };
    let _ = Book::default().read(&fixed_genesis(), &reader, &block);
}

fn genesis(bytes: &[u8]) {
    for genesis in [canonical::<Genesis>(bytes), json(bytes)].into_iter().flatten() {
        let _ = (genesis.validate(), genesis.chain_id(), genesis.header());
    }
    if let Some(account) = json::<AccountPublic>(bytes) {
        let _ = (account.validate(), account.address(), account.did());
    }
}

/// What requester and owner seal to each other.
fn secrets(bytes: &[u8]) {
    if let Some(secret) = canonical::<SecretQuestion>(bytes) {
        let _ = secret.commitment();
    }
    if let Some(delivery) = canonical::<SecretDelivery>(bytes) {
        for one in &delivery.columns {
            let _ = column_seal(delivery.attempt, &one.segments);
        }
    }
    if let Some(delivery) = canonical::<SampleDelivery>(bytes) {
        for sample in delivery.samples.iter().flatten() {
            let _ = chosen(&sample.path, &TreeRoot([2; 32]), &Place([1; 32]));
        }
        for segments in &delivery.columns {
            let _ = column_seal(delivery.attempt, segments);
        }
    }
    if let Some(answer) = canonical::<SecretAnswer>(bytes) {
        let question = parse_question("SELECT 1 FROM t WHERE id = 1", schema(), Vec::new()).unwrap();
        let nonce = sealgate_gateway::messages::Nonce([0; 32]);
        let _ = answer.binding(&SecretQuestion { nonce, question });
    }
}

/// What the HTTP API carries, and the requester's memory.
fn messages(bytes: &[u8]) {
    json::<AskRequest>(bytes);
    json::<FetchRequest>(bytes);
    json::<AskResponse>(bytes);
    json::<LedgerProofs>(bytes);
    json::<EntryProof>(bytes);
    json::<HeadResponse>(bytes);
    json::<AssetDetail>(bytes);
    json::<Page>(bytes);
    json::<Problem>(bytes);
    json::<Asked>(bytes);
}

fn answer_file(bytes: &[u8]) {
    let Ok(file) = AnswerFile::read(bytes) else { return };
    assert_eq!(file.to_bytes().unwrap(), bytes);
    // Under any checkpoint whatever, and under its own.
    let requester = file.request.entry.body.clone();
    let EntryBody::Transaction { tx, .. } = requester else { return };
    if let Ok(checkpoint) = file.checkpoint.verify(&file.genesis.chain_id(), &file.genesis.members()) {
        let _ = file.verify(&checkpoint, &tx.tx.sender);
    }
}

fn trail_file(bytes: &[u8]) {
    let Ok(statement) = export::verify(bytes) else { return };
    let _ = (meter(&statement.lines), grouped(&statement.lines).len());
    spreadsheet::of_trail(&statement.lines).unwrap();
}

fn checkpoint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let genesis = GENESIS.get().cloned().unwrap_or_else(fixed_genesis);
    let _ = SignedCheckpoint(text.to_owned()).verify(&genesis.chain_id(), &genesis.members());
}

/// The ledger whose checkpoints are read, where a test has a real one.
pub static GENESIS: OnceLock<Genesis> = OnceLock::new();

/// Short texts: identifiers, digests, types, values.
fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    fn same<T: std::str::FromStr + std::fmt::Display>(text: &str) {
        if let Ok(read) = text.parse::<T>() {
            assert_eq!(read.to_string(), text);
        }
    }
    same::<Address>(text);
    same::<AssetId>(text);
    same::<ChainId>(text);
    same::<TxHash>(text);
    same::<Signature>(text);
    same::<EncryptionKey>(text);
    same::<TreeRoot>(text);
    same::<Who>(text);
    same::<AssetName>(text);
    same::<Wanted>(text);
    let _ = text.parse::<ColumnType>();
    for column in &schema().columns {
        if let Ok(value) = Value::parse(text, column.kind) {
            assert!(value.fits(column.kind));
            assert_eq!(Value::parse(&value.display(column.kind), column.kind).as_ref(), Ok(&value), "{text}");
        }
    }
}

fn sql(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = table_name(&text);
    if let Ok(question) = parse_question(&text, schema(), Vec::new()) {
        let shown = question.display(schema(), "t");
        let keys = if question.keys.len() == 1 { Vec::new() } else { question.keys.clone() };
        assert_eq!(parse_question(&shown, schema(), keys).as_ref(), Ok(&question), "{text}");
    }
    if let Ok(predicate) = parse_predicate(&text, schema()) {
        let shown = predicate.display(schema());
        assert_eq!(parse_predicate(&shown, schema()).as_ref(), Ok(&predicate), "{text}");
    }
}

fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(manifest) = ShareManifest::parse(text, FilePath::new("/nowhere/share.toml")) {
        manifest.schema().validate().unwrap();
        assert_eq!(manifest.columns().len(), manifest.budgets().len());
    }
}

/// A folder of this process for what is only read from files.
fn folder() -> &'static FilePath {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = std::env::temp_dir().join(format!("sealgate-decoding-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    });
    &FOLDER
}

/// Ends the folder; for tests that are done with it.
#[allow(dead_code, reason = "fuzz targets never end")]
pub fn clean_up() {
    let _ = std::fs::remove_dir_all(folder());
}

fn account(bytes: &[u8]) {
    let home = folder().join("home");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join(account_file::ACCOUNT_FILE), bytes).unwrap();
    let _ = account_file::load(&home);
}

fn key_files(bytes: &[u8]) {
    let root = folder().join("root.key");
    std::fs::write(&root, bytes).unwrap();
    let _ = RootFile::load(&root);
    let vault = KeyFolder::new(&folder().join("vault"), Arc::new(RootKey::from_bytes([8; 32])));
    let label = AssetLabel::new("a").unwrap();
    std::fs::create_dir_all(folder().join("vault")).unwrap();
    // As it is, and with a checksum that fits.
    let mut summed = bytes.to_vec();
    summed.extend(sealgate_circuits::bytes::tagged_hash("sealgate/ods/asset-file/1", &[bytes]));
    for file in [bytes, &summed] {
        std::fs::write(vault.path(&label), file).unwrap();
        assert!(vault.asset(&label).is_err(), "no key is sealed under this root");
    }
}

fn verifying_key(bytes: &[u8]) {
    for circuit in Circuit::ALL {
        if let Ok(key) = VerifyingKey::from_bytes(circuit, bytes) {
            assert_eq!(key.as_bytes(), bytes);
        }
    }
}

fn proving_key(bytes: &[u8]) {
    let circuit = Circuit::Record15Slots4;
    if let Ok(key) = ProvingKey::from_bytes(circuit, bytes) {
        assert_eq!(key.to_bytes().unwrap(), bytes);
    }
    // The same body with a digest that fits: what a foreign tool might have written.
    if let Some((head, body)) = bytes.split_at_checked(48) {
        let summed = [&head[..16], blake3::hash(body).as_bytes(), body].concat();
        if let Ok(key) = ProvingKey::from_bytes(circuit, &summed) {
            let _ = key.verifying_key_bytes();
        }
    }
}

/// An account whose keys everybody knows.
pub fn account_secret() -> &'static AccountSecret {
    static SECRET: LazyLock<AccountSecret> = LazyLock::new(|| {
        // The public key of the X25519 secret of ones (RFC 7748).
        let key = curve25519_dalek::montgomery::MontgomeryPoint::mul_base_clamped([1; 32]).to_bytes();
        AccountSecret::from_parts("known", [1; 32], [1; 32], EncryptionKey(key)).unwrap()
    });
    &SECRET
}

fn fixed_genesis() -> Genesis {
    Genesis {
        ceremony: None,
        name: "fuzz".into(),
        operator: account_secret().public().clone(),
        development: true,
        network: None,
        circuits: Vec::new(),
        policy: Policy {
            open_enrolment: true,
            answer_window_blocks: 10,
            denials_a_day: 1_000,
            auditor: Some(account_secret().public().clone()),
        },
        created_ms: 1,
    }
}

/// As an envelope, and as what is in one that opens: a message, and an answer's charges.
fn sealed(bytes: &[u8]) {
    let (account, purpose) = (account_secret(), Purpose { info: "fuzz", associated: b"" });
    let _ = (envelope::open(account, purpose, bytes), envelope::open_unpadded(account, purpose, bytes));
    let to = &account.public().encryption_key;
    let inside = envelope::seal_unpadded(to, purpose, bytes).unwrap();
    assert_eq!(envelope::open_unpadded(account, purpose, &inside).unwrap().as_slice(), bytes);
    let _ = envelope::open(account, purpose, &inside);
    if let Ok(padded) = envelope::seal(to, purpose, bytes) {
        assert_eq!(envelope::open(account, purpose, &padded).unwrap().as_slice(), bytes);
    }
    charged(|_| bytes.to_vec());
    charged(|request| {
        let purpose = Purpose { info: "sealgate/charges/1", associated: &request.0 };
        let copy = envelope::seal_unpadded(to, purpose, bytes).unwrap();
        encode(&(copy.clone(), Some(copy)))
    });
}

/// A block whose answer carries charges.
fn charged(charges: impl Fn(&TxHash) -> Vec<u8>) {
    let (account, genesis) = (account_secret(), fixed_genesis());
    let asset = AssetId::of(&genesis.chain_id(), &account.address(), "t");
    let item = parse_predicate("fee >= ? OR active", schema()).unwrap();
    let shape = Shape { items: vec![sealgate_circuits::question::Item::Prove(item)], keys: 1 };
    let zero = Digest([0; 32]);
    let sign = |body: TxBody| SignedTx {
        tx: Tx { chain: genesis.chain_id(), sender: account.address(), nonce: 1, expiry: BlockHeight(9), body },
        signature: Signature([0; 64]),
    };
    let request = sign(TxBody::Request { asset, shape, purpose: String::new(), commitment: zero, consent: None });
    let hash = request.hash();
    let version = VersionInfo {
        number: 1,
        root: TreeRoot([0; 32]),
        records_rounded: 1,
        cipher_suite: String::new(),
        hash_algorithm: String::new(),
        columns: Vec::new(),
        manifest: zero,
        access: Vec::new(),
    };
    let register = sign(TxBody::RegisterAsset {
        name: "t".into(),
        title: String::new(),
        description: String::new(),
        data_type: "table".into(),
        schema: schema().clone(),
        place_key: PlaceKey([0; 32]),
        budgets: vec![8; 6],
        version,
    });
    let answer = sign(TxBody::Answer {
        request: hash,
        version: 1,
        binding: zero,
        sealed: zero,
        bytes: 8240,
        charges: charges(&hash),
    });
    let entry =
        |tx, outcome| Entry { height: BlockHeight(1), body: EntryBody::Transaction { tx: Box::new(tx), outcome } };
    let granted = Outcome::Granted { version: 1, deadline: BlockHeight(9) };
    let entries = vec![entry(register, Outcome::Accepted), entry(request, granted), entry(answer, Outcome::Accepted)];
    let header = Header {
        chain: genesis.chain_id(),
        height: BlockHeight(1),
        time_ms: 1,
        previous: BlockHash([0; 32]),
        first_entry: 0,
        tree_size: 3,
        log_root: LogRoot([0; 32]),
        epoch: 0,
        batch: Digest([0; 32]),
        state_root: StateRoot([0; 32]),
    };
    let block = Block { header, entries };
    for auditor in [false, true] {
        let _ = Book::default().read(&genesis, &Reader { account, earlier: &[], auditor }, &block);
    }
}
