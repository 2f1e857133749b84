//! Questions held against a plain SQL engine: SQLite gives the answer that ours must be, in SQL's
//! three truth values, over random tables and over the real ones; and what is answered about the
//! real ones is proven, and verified by each implementation there is.
//! `SEALGATE_SEED` repeats a run, `SEALGATE_ORACLE_TABLES` and `SEALGATE_ORACLE_QUESTIONS` set the
//! number of cases.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};
use sealgate_circuits::bytes::Context;
use sealgate_circuits::evidence::{Evidence, Shown, verify};
use sealgate_circuits::prover::stock;
use sealgate_circuits::question::sql::parse_question;
use sealgate_circuits::question::{Item, Predicate, Question, QuestionError, SlotAnswer, quoted};
use sealgate_circuits::schema::{Column, ColumnUse, Schema};
use sealgate_circuits::snarkjs::{Proof, VerificationKey, public_signals};
use sealgate_circuits::statement::{Circuit, answers};
use sealgate_circuits::value::{ColumnType, Value};
use sealgate_ods::{Read, ShareManifest, source};
use sealgate_tests::chance::{Chance, count};
use sealgate_tests::{manifest, shared_data, snarkjs};
use serde_json::json;

use proving::{Sealed, key_of, keys};
use questions::{Asker, Condition, Language, Wish, literal, name, value};

mod proving;
mod questions;

/// A table in SQLite: columns `c0`, `c1`, … of their storage classes, text compared byte by byte.
struct Oracle(Connection);

impl Oracle {
    fn new(schema: &Schema, records: &[Vec<Value>]) -> Oracle {
        let connection = Connection::open_in_memory().unwrap();
        let column = |(i, column): (usize, &Column)| match column.kind {
            ColumnType::Text => format!("c{i} TEXT COLLATE BINARY"),
            _ => format!("c{i} INTEGER"),
        };
        let columns: Vec<String> = schema.columns.iter().enumerate().map(column).collect();
        let keys: Vec<String> = schema.key.iter().map(|position| format!("c{position}")).collect();
        let table = format!("CREATE TABLE t ({}, UNIQUE ({})) STRICT", columns.join(", "), keys.join(", "));
        connection.execute(&table, []).unwrap();
        let marks = vec!["?"; schema.columns.len()].join(", ");
        connection.execute_batch("BEGIN").unwrap();
        {
            let mut insert = connection.prepare(&format!("INSERT INTO t VALUES ({marks})")).unwrap();
            for record in records {
                insert.execute(params_from_iter(record.iter().map(stored))).unwrap();
            }
        }
        connection.execute_batch("COMMIT").unwrap();
        Oracle(connection)
    }

    /// What SQLite says to the items about the record with a key; `None` where there is none.
    fn answers(&self, sql: &str) -> Option<Vec<rusqlite::types::Value>> {
        let mut statement = self.0.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let row = rows.next().unwrap()?;
        let found = (0..columns).map(|i| row.get_ref(i).unwrap()).map(owned).collect();
        assert!(rows.next().unwrap().is_none(), "a key is one record's: {sql}");
        Some(found)
    }
}

fn owned(value: ValueRef<'_>) -> rusqlite::types::Value {
    value.try_into().unwrap()
}

/// A value as SQLite keeps it.
fn stored(value: &Value) -> rusqlite::types::Value {
    use rusqlite::types::Value as Stored;
    match value {
        Value::Null => Stored::Null,
        Value::Int(n) | Value::Decimal(n) | Value::Date(n) | Value::Timestamp(n) => Stored::Integer(*n),
        Value::Bool(truth) => Stored::Integer(i64::from(*truth)),
        Value::Text(text) => Stored::Text(text.clone()),
    }
}

fn stored_answer(answer: &SlotAnswer) -> rusqlite::types::Value {
    match answer {
        SlotAnswer::Value(value) => stored(value),
        SlotAnswer::Truth(truth) => truth.map_or(rusqlite::types::Value::Null, |truth| i64::from(truth).into()),
    }
}

/// WHERE, in SQLite's words.
fn where_key(schema: &Schema, key: &[Value]) -> String {
    let part = |(position, value): (&u8, &Value)| format!("c{position} = {}", literal(value));
    schema.key.iter().zip(key).map(part).collect::<Vec<_>>().join(" AND ")
}

/// A question in both languages, about one record or, by a key of one column, about several.
struct Twice {
    ours: String,
    /// One for each key.
    sqlite: Vec<String>,
    keys: Vec<Vec<Value>>,
}

fn twice(chance: &mut Chance, schema: &Schema, wishes: &[Wish], keys: Vec<Vec<Value>>) -> Twice {
    let list = |language| wishes.iter().map(|wish| wish.written(language, schema)).collect::<Vec<_>>().join(", ");
    let (items, theirs) = match wishes {
        [] if chance.one_in(2) => ("*".to_owned(), "*".to_owned()),
        [] => ("1".to_owned(), "1".to_owned()),
        _ => (list(Language::Ours), list(Language::Sqlite)),
    };
    let kind = |position: &u8| schema.columns[usize::from(*position)].kind;
    let part = |(position, value): (&u8, &Value)| {
        format!("{} = {}", name(Language::Ours, schema, usize::from(*position)), value.literal(kind(position)))
    };
    let condition = match (keys.as_slice(), schema.key.as_slice()) {
        ([key], _) => {
            let mut parts: Vec<String> = schema.key.iter().zip(key).map(part).collect();
            let turned = chance.below(parts.len());
            parts.rotate_left(turned);
            parts.join(" AND ")
        }
        (several, [position]) => {
            let several: Vec<String> = several.iter().map(|key| key[0].literal(kind(position))).collect();
            format!("{} IN ({})", name(Language::Ours, schema, usize::from(*position)), several.join(", "))
        }
        _ => panic!("several keys of several columns are given beside the question"),
    };
    let ours = format!("SELECT {items} FROM t WHERE {condition}");
    let sqlite = keys.iter().map(|key| format!("SELECT {theirs} FROM t WHERE {}", where_key(schema, key))).collect();
    Twice { ours, sqlite, keys }
}

/// Reads the question; `None` when it is too large for a proof, as our own count of terms says too.
fn read(schema: &Schema, wishes: &[Wish], asked: &Twice) -> Option<Question> {
    let terms = |wish: &Wish| match wish {
        Wish::Column(_) => 1,
        Wish::Holds(condition) => condition.terms(),
    };
    let terms: usize = wishes.iter().map(terms).sum();
    match parse_question(&asked.ours, schema, Vec::new()) {
        Ok(question) => {
            let whole = question.shape.items.len() == schema.columns.len();
            assert!(terms <= 8 || whole, "{terms} terms were read: {}", asked.ours);
            Some(question)
        }
        Err(QuestionError::TooManyTerms(found)) => {
            assert_eq!(found, terms, "{}", asked.ours);
            None
        }
        // AND and OR may be nested deeper than the levels go.
        Err(QuestionError::TooLarge { .. }) => None,
        Err(QuestionError::TooLong(_)) if asked.ours.len() > 3000 => None,
        Err(error) => panic!("{error}: {}", asked.ours),
    }
}

/// Our answers about a record, and that they are SQLite's.
fn compare(oracle: &Oracle, question: &Question, asked: &Twice, records: &[Vec<Value>], schema: &Schema) {
    assert_eq!(question.keys, asked.keys, "{}", asked.ours);
    let items = question.items().unwrap();
    for (key, sql) in asked.keys.iter().zip(&asked.sqlite) {
        let record = records.iter().find(|record| key_of(schema, record) == *key);
        let ours = record.map(|record| {
            let ours: Vec<_> = answers(&items, record).unwrap().iter().map(stored_answer).collect();
            // 1 alone asks for no item.
            if ours.is_empty() { vec![1.into()] } else { ours }
        });
        assert_eq!(ours, oracle.answers(sql), "\nours   {}\nSQLite {sql}\nrecord {record:?}", asked.ours);
    }
}

/// Names that columns have, some of them awkward: words of SQL, quotes, spaces, other scripts.
const NAMES: [&str; 47] = [
    "id",
    "Status",
    "fee_paid",
    "Domain name",
    "名称",
    "Größe",
    "1st",
    "a\"b",
    "it's",
    "x.y",
    "_",
    "?",
    "--",
    "a;b",
    "from",
    "select",
    "where",
    "not",
    "null",
    "true",
    "and",
    "or",
    "in",
    "is",
    "between",
    "case",
    "end",
    "date",
    "timestamp",
    "interval",
    "cast",
    "exists",
    "order",
    "group",
    "table",
    "all",
    "distinct",
    "year",
    "type",
    "name",
    "limit",
    "like",
    "array",
    "top",
    "m²",
    "x٣",
    "Ⅷ",
];

fn random_schema(chance: &mut Chance) -> Schema {
    let width = match chance.below(4) {
        0 => 1 + chance.below(31),
        _ => 2 + chance.below(8),
    };
    let mut names: BTreeSet<&str> = BTreeSet::new();
    while names.len() < width {
        names.insert(chance.pick(&NAMES));
    }
    let mut column = |name: &&str| {
        let kind = match chance.below(6) {
            0 => ColumnType::Int,
            1 => ColumnType::Decimal(chance.pick(&[0, 1, 2, 9, 18])),
            2 => ColumnType::Date,
            3 => ColumnType::Timestamp,
            4 => ColumnType::Bool,
            _ => ColumnType::Text,
        };
        Column { name: (*name).into(), kind, allowed: ColumnUse { disclose: true, prove: true } }
    };
    let columns: Vec<Column> = names.iter().map(&mut column).collect();
    let mut key: Vec<u8> = (0..columns.len() as u8).collect();
    let turned = chance.below(key.len());
    key.rotate_left(turned);
    key.truncate(1 + chance.below(2));
    let schema = Schema { columns, key };
    schema.validate().unwrap();
    schema
}

fn random_records(chance: &mut Chance, schema: &Schema) -> Vec<Vec<Value>> {
    let mut records: Vec<Vec<Value>> = Vec::new();
    for _ in 0..2 + chance.below(6) {
        let field = |(position, column): (usize, &Column)| {
            let is_key = schema.key.contains(&(position as u8));
            if !is_key && chance.one_in(4) { Value::Null } else { value(chance, column.kind) }
        };
        let record: Vec<Value> = schema.columns.iter().enumerate().map(field).collect();
        if records.iter().all(|other| key_of(schema, other) != key_of(schema, &record)) {
            records.push(record);
        }
    }
    records
}

/// A few keys of a table, or of none of its records.
fn random_keys(chance: &mut Chance, schema: &Schema, records: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let several = schema.key.len() == 1 && chance.one_in(6);
    let mut keys: Vec<Vec<Value>> = Vec::new();
    for _ in 0..if several { 4 } else { 1 } {
        let absent = chance.one_in(12);
        let key = match absent {
            true => schema.key.iter().map(|p| value(chance, schema.columns[usize::from(*p)].kind)).collect(),
            false => key_of(schema, &chance.pick(records)),
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

#[test]
fn every_answer_about_random_records_is_sqlites() {
    let mut chance = Chance::of_run("random tables");
    let (tables, mut read_whole, mut too_large) = (count("SEALGATE_ORACLE_TABLES", 200), 0, 0);
    for _ in 0..tables {
        let schema = random_schema(&mut chance);
        let records = random_records(&mut chance, &schema);
        let oracle = Oracle::new(&schema, &records);
        for _ in 0..10 {
            let mut asker = Asker { chance: &mut chance, schema: &schema, records: &records };
            let wishes = if asker.chance.one_in(20) { Vec::new() } else { asker.wishes() };
            let keys = random_keys(&mut chance, &schema, &records);
            let asked = twice(&mut chance, &schema, &wishes, keys);
            let Some(question) = read(&schema, &wishes, &asked) else {
                too_large += 1;
                continue;
            };
            read_whole += 1;
            compare(&oracle, &question, &asked, &records, &schema);
            canonical(&question, &schema);
        }
    }
    println!("{read_whole} questions about {tables} random tables, {too_large} more too large for one proof");
    assert!(read_whole > 5 * too_large, "{read_whole} read, {too_large} too large");
}

/// The canonical spelling is read as the same question, and spelled the same again.
fn canonical(question: &Question, schema: &Schema) {
    let shown = question.display(schema, "a table");
    let keys = if question.keys.len() == 1 { Vec::new() } else { question.keys.clone() };
    let again = parse_question(&shown, schema, keys).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert_eq!(again, *question, "{shown}");
    assert_eq!(again.display(schema, "a table"), shown);
}

fn predicate(condition: &Condition, schema: &Schema) -> Result<Predicate, QuestionError> {
    let text = condition.written(Language::Ours, schema);
    let key = schema.key_columns().map(|column| format!("{} = ?", quoted(&column.name))).collect::<Vec<_>>();
    let key_value = vec![schema.key.iter().map(|p| any_value(schema.columns[usize::from(*p)].kind)).collect()];
    let question = parse_question(&format!("SELECT {text} FROM t WHERE {}", key.join(" AND ")), schema, key_value)?;
    match question.shape.items.as_slice() {
        [Item::Prove(predicate)] => Ok(predicate.clone()),
        other => panic!("{text} was read as {other:?}"),
    }
}

fn any_value(kind: ColumnType) -> Value {
    value(&mut Chance::from_seed(1), kind)
}

/// NOT turns true and false and leaves NULL; twice it says nothing; De Morgan's laws hold to the
/// letter, since negation goes down to the comparisons.
#[test]
fn negation_follows_the_laws() {
    let mut chance = Chance::of_run("negation");
    let mut held = 0;
    for _ in 0..count("SEALGATE_ORACLE_TABLES", 200) {
        let schema = random_schema(&mut chance);
        let records = random_records(&mut chance, &schema);
        let mut asker = Asker { chance: &mut chance, schema: &schema, records: &records };
        // In parentheses, so that a column of type bool by itself is a condition here too.
        let (a, b) = (asker.condition(1, 3), asker.condition(1, 3));
        let all = Condition::All(vec![a.clone().nested(), b.clone().nested()]);
        let any = Condition::Any(vec![a.clone().nested(), b.clone().nested()]);
        let Ok(plain) = predicate(&all, &schema) else { continue };
        let (Ok(either), Ok(negated)) = (predicate(&any, &schema), predicate(&all.clone().not(), &schema)) else {
            continue;
        };
        assert_eq!(predicate(&all.clone().not().not(), &schema).unwrap(), plain);
        let one_by_one = |group: fn(Vec<Condition>) -> Condition| {
            predicate(&group(vec![a.clone().not().nested(), b.clone().not().nested()]), &schema).unwrap()
        };
        assert_eq!(negated, one_by_one(Condition::Any));
        assert_eq!(predicate(&any.not(), &schema).unwrap(), one_by_one(Condition::All));
        let truth = |predicate: &Predicate, record: &[Value]| {
            let question = Question {
                shape: sealgate_circuits::question::Shape { items: vec![Item::Prove(predicate.clone())], keys: 1 },
                constants: vec![],
                keys: vec![],
            };
            match answers(&question.items().unwrap(), record).unwrap().as_slice() {
                [SlotAnswer::Truth(truth)] => *truth,
                other => panic!("{other:?}"),
            }
        };
        for record in &records {
            assert_eq!(truth(&negated, record), truth(&plain, record).map(|truth| !truth));
            // AND is never more than OR.
            let rank = |truth: Option<bool>| truth.map_or(1, |truth| if truth { 2 } else { 0 });
            assert!(rank(truth(&plain, record)) <= rank(truth(&either, record)));
        }
        held += 1;
    }
    assert!(held * 2 > count("SEALGATE_ORACLE_TABLES", 200), "only {held} cases");
}

/// A sample of a real table: all of it where it is small.
fn sample(chance: &mut Chance, table: &str, file: &str) -> Option<(Schema, Vec<Vec<Value>>)> {
    let path = shared_data(file)?;
    let manifest = ShareManifest::read(&manifest(&format!("{table}.toml"))).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (header, rows) = lines.split_first().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut from = path;
    if rows.len() > 5000 {
        let whole = |line: &&str| line.matches('"').count().is_multiple_of(2);
        assert!(lines.iter().all(whole), "a line of {table} is no row of its own");
        let mut chosen: BTreeSet<usize> = BTreeSet::new();
        while chosen.len() < 3000 {
            chosen.insert(chance.below(rows.len()));
        }
        let mut part: Vec<&str> = vec![header];
        part.extend(chosen.iter().map(|row| rows[*row]));
        from = folder.path().join("sample.csv");
        std::fs::write(&from, part.join("\n") + "\n").unwrap();
    }
    let mut source = source::open(&manifest.clone().with_source(&from).unwrap()).unwrap();
    let mut records = Vec::new();
    while let Some(Read::Row(row)) = source.next().unwrap() {
        records.push(row.values);
    }
    println!("{table}: {} of {} records", records.len(), rows.len());
    Some((manifest.schema(), records))
}

/// A proof that was made, for snarkjs.
struct Made {
    circuit: Circuit,
    case: serde_json::Value,
}

#[test]
fn every_answer_about_real_tables_is_sqlites_and_proven() {
    let mut chance = Chance::of_run("real tables");
    let questions = count("SEALGATE_ORACLE_QUESTIONS", 16);
    let mut made = Vec::new();
    for (table, file) in [
        ("licences", "licences/vancouver_restaurant_licences.csv"),
        ("villages", "villages/villages.csv"),
        ("flights", "flights/flights.csv"),
    ] {
        let Some((schema, records)) = sample(&mut chance, table, file) else { return };
        let oracle = Oracle::new(&schema, &records);
        let sealed = Sealed::new(&schema, records, 1);
        let mut proven = 0;
        while proven < questions {
            let mut asker = Asker { chance: &mut chance, schema: &schema, records: &sealed.records };
            // Mostly small questions, so that both kinds of circuits have their share.
            let wishes: Vec<Wish> = match proven % 8 {
                0 => Vec::new(),
                1..4 => (0..4).map(|_| Wish::Holds(asker.condition(0, 1))).collect(),
                _ => asker.wishes(),
            };
            let keys = random_keys(&mut chance, &schema, &sealed.records);
            let asked = twice(&mut chance, &schema, &wishes, keys);
            let Some(question) = read(&schema, &wishes, &asked) else { continue };
            compare(&oracle, &question, &asked, &sealed.records, &schema);
            canonical(&question, &schema);
            let context = Context([proven as u8; 32]);
            made.extend(prove(&sealed, &question, &context));
            proven += 1;
        }
    }
    let circuits: BTreeSet<Circuit> = made.iter().map(|made| made.circuit).collect();
    println!("{} proofs of {} circuits, each verified by two implementations", made.len(), circuits.len());
    assert_eq!(circuits.len(), 4, "every circuit has its questions");
    third_opinion(&made);
}

/// Proves the answers, verifies them by zkcrypto and by arkworks, and sees both refuse a lie.
fn prove(sealed: &Sealed, question: &Question, context: &Context) -> Vec<Made> {
    let evidence = sealed.evidence(question, context);
    let circuit = sealed.circuit(question);
    let verifying = circuit.map(|circuit| &keys(circuit).verifying);
    let claims = verify(&evidence, &sealed.published(), verifying, question, context).unwrap();
    let present = evidence.iter().filter(|one| one.present.is_some()).count();
    assert_eq!(claims.len(), if circuit.is_some() { present } else { 0 });
    let lies: Vec<Evidence> = evidence.iter().map(lie).collect();
    if lies != evidence {
        verify(&lies, &sealed.published(), verifying, question, context).unwrap_err();
    }
    let Some(circuit) = circuit else { return Vec::new() };
    let keys = keys(circuit);
    let prepared = stock::prepare(&keys.proving);
    let made = |(_, statement, proof): (usize, _, _)| {
        keys.verifying.verify(&statement, &proof).unwrap();
        assert!(stock::verify(&prepared, &statement, &proof));
        let case = json!({
            "key": VerificationKey::new(&keys.verifying).unwrap(),
            "public": public_signals(&statement.public_inputs()),
            "proof": Proof::new(&proof).unwrap(),
        });
        Made { circuit, case }
    };
    claims.into_iter().map(made).collect()
}

/// The same evidence with one answer changed.
fn lie(evidence: &Evidence) -> Evidence {
    let mut lie = evidence.clone();
    let Some(present) = &mut lie.present else { return lie };
    match (present.answers.last_mut(), &present.shown) {
        (Some(SlotAnswer::Truth(truth)), Shown::Proof(_)) => {
            *truth = match truth {
                Some(true) => Some(false),
                Some(false) => None,
                None => Some(true),
            }
        }
        (Some(SlotAnswer::Value(value)), _) if *value != Value::Null => *value = Value::Null,
        _ => {}
    }
    lie
}

/// All proofs before snarkjs, and a lie beside each.
fn third_opinion(made: &[Made]) {
    let Some(snarkjs) = snarkjs::installed(env!("CARGO_TARGET_TMPDIR")) else { return };
    let mut cases = Vec::new();
    for made in made {
        let mut lie = made.case.clone();
        let last = lie["public"][3].as_str().unwrap().to_owned();
        lie["public"][3] = if last == "1" { "2" } else { "1" }.into();
        cases.extend([made.case.clone(), lie]);
    }
    let expected: Vec<bool> = (0..cases.len()).map(|i| i % 2 == 0).collect();
    assert_eq!(snarkjs::verdicts(Path::new(snarkjs), &cases), expected, "snarkjs agrees");
    println!("snarkjs agrees on {} proofs and refuses as many lies", made.len());
}
