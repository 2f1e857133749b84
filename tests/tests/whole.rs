//! Whole records, opened instead of proven; and every operator of the language, composed, over
//! HTTP on real data, against these tests' own reading of the table.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use sealgate_tests::{Run, Table, World, answers, manifest, parse_csv, sealgate, sealgate_plain, shared_data, text};
use serde_json::Value;

const LICENCES: &str = "licences/vancouver_restaurant_licences.csv";

fn ask(world: &World, url: &str, out: &str, sql: &str) -> Run {
    world.ask(url, "requester", "check", out, sql)
}

/// A row of `shop` as an answer shows it.
fn shown(row: &[String]) -> Vec<String> {
    row.iter().map(|cell| if cell.is_empty() { "NULL".into() } else { cell.clone() }).collect()
}

fn values(record: &Value) -> Vec<String> {
    record["result"].as_array().unwrap().iter().map(|line| text(&line["answer"])).collect()
}

fn read(world: &World, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(world.path(file)).unwrap()).unwrap()
}

#[test]
fn a_whole_record_is_opened_as_it_is() {
    let table = Table::shops(60);
    let world = World::with(&table);
    let grant = ["--disclose", "id,name,fee,opened,area", "--purpose", "check", "--prove", "fee >= 100"];
    world.grant("shop", &world.requester, &grant).ok();
    let server = world.serve();
    let url = &server.url;
    let whole = |id: &str, out: &str| ask(&world, url, out, &format!("SELECT * FROM shop WHERE id = {id}"));
    // 7 has no fee, 5 no area, 35 neither.
    for id in [1, 5, 7, 35, 60] {
        let verified = whole(&id.to_string(), "a.json").ok();
        assert_eq!(verified["sql"], format!("SELECT * FROM shop WHERE id = {id}"));
        let row = &table.rows[id - 1];
        let named: Vec<(String, String)> = table.columns.iter().map(|(name, _)| name.clone()).zip(shown(row)).collect();
        assert_eq!(answers(&verified), named);
        assert_eq!(world.verify("requester", "a.json").ok(), verified);
    }
    let file = read(&world, "a.json");
    assert_eq!(file["verifying_key"], Value::Null, "opened without a proof");
    assert!(text(&file["evidence"]).len() < 4000, "an opening is small");
    let plain = sealgate_plain(&["verify", "--home", &world.path("requester"), &world.path("a.json")]);
    assert!(plain.stdout.contains("path and opening: these are all values of the record"), "{}", plain.stdout);
    assert!(!plain.stdout.contains("zero-knowledge"), "nothing was proven:\n{}", plain.stdout);

    // All columns in the table's order are the same; in another order, and fewer, they are proven.
    let spelled = ask(&world, url, "b.json", "SELECT id, name, fee, opened, area FROM shop WHERE id = 60").ok();
    assert_eq!(text(&spelled["sql"]), "SELECT * FROM shop WHERE id = 60");
    for items in ["area, opened, fee, name, id", "id, name, fee, opened", "id, name, fee, opened, area, fee >= 100"] {
        let proven = ask(&world, url, "b.json", &format!("SELECT {items} FROM shop WHERE id = 60")).ok();
        assert_eq!(answers(&proven).len(), items.split(", ").count());
        assert_ne!(read(&world, "b.json")["verifying_key"], Value::Null, "{items}");
        world.verify("requester", "b.json").ok();
    }

    // Whatever is changed in it is refused.
    let original = std::fs::read_to_string(world.path("a.json")).unwrap();
    let refused = |content: String, word: &str| {
        assert_ne!(content, original, "nothing was changed");
        std::fs::write(world.path("t.json"), content).unwrap();
        let error = world.verify("requester", "t.json").error();
        assert!(error.contains("does not verify") && error.contains(word), "'{word}' is not in: {error}");
    };
    refused(
        original.replacen("\"answer\": \"Shop no. 60\"", "\"answer\": \"Shop no. 61\"", 1),
        "not the one it proves",
    );
    refused(original.replacen("\"answer\": \"NULL\"", "\"answer\": \"Sunset\"", 1), "not the one it proves");
    refused(original.replacen("\"verifying_key\": null", "\"verifying_key\": \"AAAA\"", 1), "takes no verifying key");
    refused(original.replacen("SELECT *", "SELECT 1", 1), "");
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let evidence = base64.decode(text(&file["evidence"])).unwrap();
    for at in (0..evidence.len()).step_by(evidence.len() / 60) {
        let mut changed = evidence.clone();
        changed[at] ^= 1;
        refused(original.replace(&text(&file["evidence"]), &base64.encode(&changed)), "");
    }
    // The value changed in result and evidence alike.
    let at = evidence.windows(11).position(|window| window == b"Shop no. 60").unwrap();
    let mut changed = evidence;
    changed[at + 10] = b'1';
    let both = original.replace(&text(&file["evidence"]), &base64.encode(&changed));
    refused(both.replacen("Shop no. 60", "Shop no. 61", 1), "recorded another answer");

    // It cannot be exported, and says why.
    let export = |file: &str| {
        let (home, out, file) = (world.path("requester"), world.path("exported"), world.path(file));
        sealgate(&["export", "--home", &home, "--format", "snarkjs", "--out", &out, &file])
    };
    let error = export("a.json").error();
    assert!(error.contains("opens the whole record") && error.contains("no zero-knowledge proof to export"), "{error}");
    assert!(!std::path::Path::new(&world.path("exported")).exists());

    // No record.
    let absent = whole("99", "c.json").ok();
    assert_eq!((absent["records"][0]["found"].as_bool(), answers(&absent).len()), (Some(false), 0));
    world.verify("requester", "c.json").ok();
    assert!(export("c.json").error().contains("no record has this key"));

    // Many keys.
    std::fs::write(world.path("keys.csv"), "id\n3\n99\n35\n-4\n7\n").unwrap();
    let sql = "SELECT * FROM shop WHERE id = ?";
    let verified = world.ask_keys(url, "requester", "check", "d.json", "keys.csv", sql).ok();
    let records = verified["records"].as_array().unwrap();
    for (record, id) in records.iter().zip([3, 99, 35, -4, 7_i64]) {
        let row = table.rows.iter().find(|row| row[0] == id.to_string());
        assert_eq!(record["key"], serde_json::json!([id.to_string()]));
        assert_eq!(record["found"].as_bool(), Some(row.is_some()));
        assert_eq!(values(record), row.map_or(vec![], |row| shown(row)));
    }
    assert_eq!(world.verify("requester", "d.json").ok(), verified);
    assert!(read(&world, "d.json")["verifying_key"].is_null());
    let many = std::fs::read_to_string(world.path("d.json")).unwrap();
    std::fs::write(
        world.path("t.json"),
        many.replacen("\"answer\": \"Shop no. 35\"", "\"answer\": \"Shop no. 36\"", 1),
    )
    .unwrap();
    let error = world.verify("requester", "t.json").error();
    assert!(error.contains("for the key 35"), "{error}");
    assert!(export("d.json").error().contains("opens the whole record"));

    // The next version, and the answer from the one before.
    let mut next = table.clone();
    next.rows[59][1] = "Renamed".into();
    next.rows[59][4] = "Sunset".into();
    world.publish(&next.write(world.dir.path())).ok();
    let second = whole("60", "e.json").ok();
    assert_eq!((second["version"].as_u64(), values(&second["records"][0])), (Some(2), shown(&next.rows[59])));
    let first = world.verify("requester", "a.json").ok();
    assert_eq!((first["version"].as_u64(), values(&first["records"][0])), (Some(1), shown(&table.rows[59])));

    // A list that lacks one column.
    world.grant("shop", &world.requester, &["--disclose", "id,name,fee,opened", "--purpose", "check"]).ok();
    for id in ["60", "99"] {
        let error = whole(id, "f.json").error();
        assert!(error.starts_with("denied: the grant does not let you see 'area'"), "{error}");
    }
    assert!(world.ask_keys(url, "requester", "check", "f.json", "keys.csv", sql).error().contains("'area'"));
    ask(&world, url, "f.json", "SELECT id, name, fee, opened FROM shop WHERE id = 60").ok();
    // A star stands alone.
    let error = ask(&world, url, "g.json", "SELECT *, fee >= 100 FROM shop WHERE id = 60").error();
    assert!(error.contains("* stands alone"), "{error}");
}

/// SQL's three-valued AND and OR, written down once more.
fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    and(a.map(|a| !a), b.map(|b| !b)).map(|c| !c)
}

/// A row with names.
struct Row<'a> {
    header: &'a [String],
    cells: &'a [String],
}

impl Row<'_> {
    fn cell(&self, name: &str) -> &str {
        &self.cells[self.header.iter().position(|column| column == name).unwrap()]
    }

    fn text(&self, name: &str, test: impl Fn(&str) -> bool) -> Option<bool> {
        let cell = self.cell(name);
        (!cell.is_empty()).then(|| test(cell))
    }

    fn number(&self, name: &str, test: impl Fn(f64) -> bool) -> Option<bool> {
        self.text(name, |cell| test(cell.parse().unwrap()))
    }
}

/// What is asked, and what it is by the table.
type Truth = fn(&Row<'_>) -> Option<bool>;

const GRANTED: [&str; 13] = [
    "LocalArea IN ('Downtown', 'Kitsilano', 'West End')",
    "LocalArea NOT IN ('Downtown', 'Sunset')",
    "Street IN (?, ?, ?)",
    "City NOT IN (?, ?)",
    "BusinessTradeName IS NULL",
    "FeePaid IS NOT NULL",
    "FeePaid >= 500",
    "FeePaid < 2000",
    "NumberofEmployees > ?",
    "(Status = 'Issued' AND NumberofEmployees >= ?) OR FeePaid > 3000",
    "ExpiredDate BETWEEN '2024-01-01' AND '2024-12-31'",
    "BusinessName <> ?",
    "Province = 'BC'",
];

fn one_of(row: &Row<'_>, column: &str, list: &[&str]) -> Option<bool> {
    row.text(column, |cell| list.contains(&cell))
}

/// Each in another spelling than it is granted in where there is one. No field is asked more often
/// than its default budget of eight bits allows.
fn questions() -> Vec<(&'static str, Truth)> {
    vec![
        ("LocalArea IN ('West End', 'Downtown', 'Kitsilano')", |row| {
            one_of(row, "LocalArea", &["Downtown", "Kitsilano", "West End"])
        }),
        ("NOT LocalArea IN ('Sunset', 'Downtown')", |row| {
            one_of(row, "LocalArea", &["Downtown", "Sunset"]).map(|found| !found)
        }),
        ("Street IN ('GRANVILLE ST', 'ROBSON ST')", |row| one_of(row, "Street", &["GRANVILLE ST", "ROBSON ST"])),
        ("Street = 'SECRET ROAD'", |row| one_of(row, "Street", &["SECRET ROAD"])),
        ("City NOT IN ('Burnaby', 'Richmond')", |row| {
            one_of(row, "City", &["Burnaby", "Richmond"]).map(|found| !found)
        }),
        ("BusinessTradeName IS NULL", |row| Some(row.cell("BusinessTradeName").is_empty())),
        ("FeePaid >= 500.00 AND FeePaid < 2000", |row| {
            and(row.number("FeePaid", |fee| fee >= 500.0), row.number("FeePaid", |fee| fee < 2000.0))
        }),
        (
            "(NumberofEmployees > 10 OR LocalArea IN ('Downtown', 'Kitsilano', 'West End')) AND FeePaid IS NOT NULL",
            |row| {
                let area = one_of(row, "LocalArea", &["Downtown", "Kitsilano", "West End"]);
                and(or(row.number("NumberofEmployees", |n| n > 10.0), area), Some(!row.cell("FeePaid").is_empty()))
            },
        ),
        ("FeePaid >= 500 OR Province = 'BC' OR NumberofEmployees > 54321.5", |row| {
            let fee = row.number("FeePaid", |fee| fee >= 500.0);
            or(or(fee, row.text("Province", |p| p == "BC")), row.number("NumberofEmployees", |n| n > 54321.5))
        }),
        ("(Status = 'Issued' AND NumberofEmployees >= 7.5) OR FeePaid > 3000", |row| {
            let large = row.number("NumberofEmployees", |n| n >= 7.5);
            or(and(row.text("Status", |status| status == "Issued"), large), row.number("FeePaid", |fee| fee > 3000.0))
        }),
        ("ExpiredDate BETWEEN '2024-01-01' AND '2024-12-31' AND BusinessName <> 'Nuba Restaurant Group Inc'", |row| {
            let date = row.text("ExpiredDate", |date| ("2024-01-01"..="2024-12-31").contains(&date));
            and(date, row.text("BusinessName", |name| name != "Nuba Restaurant Group Inc"))
        }),
    ]
}

/// What no grant names, and what of it the ledger may show.
const DENIED: [(&str, &str); 11] = [
    ("FeePaid >= 500 AND FeePaid < 1999.99", "FeePaid >= 500.00 AND FeePaid < ?"),
    ("FeePaid > 3000", "FeePaid > ?"),
    ("Status = 'Issued'", "Status = ?"),
    ("Status = 'SECRET' AND Province = 'BC'", "Status = ? AND Province = 'BC'"),
    ("LocalArea IN ('Downtown', 'SECRET')", "LocalArea IN (?, ?)"),
    ("Street IN ('SECRET A', 'SECRET B', 'SECRET C', 'SECRET D')", "Street IN (?, ?, ?, ?)"),
    ("Street NOT IN ('SECRET ROAD', 'SECRET LANE')", "Street NOT IN (?, ?)"),
    ("BusinessTradeName IS NOT NULL", "BusinessTradeName IS NOT NULL"),
    ("FeePaid IS NULL OR FeePaid < 2000", "FeePaid IS NULL OR FeePaid < 2000.00"),
    ("FeePaid >= 500 OR NumberofEmployees < 77777.7", "FeePaid >= 500.00 OR NumberofEmployees < ?"),
    ("NOT (FeePaid >= 500 AND Province = 'BC')", "FeePaid < ? OR Province <> ?"),
];

#[test]
fn every_operator_on_real_licences_as_granted_and_composed() {
    let Some(csv) = shared_data(LICENCES) else { return };
    let rows = parse_csv(&std::fs::read_to_string(csv).unwrap());
    let (header, rows) = rows.split_first().unwrap();
    let row = |cells| Row { header, cells };
    let world = World::audited();
    world.publish(&manifest("licences.toml")).ok();
    let mut grant = vec!["--purpose", "check"];
    GRANTED.iter().for_each(|predicate| grant.extend(["--prove", predicate]));
    world.grant("licences", &world.requester, &grant).ok();

    // Records that differ in what is null, and in what is asked.
    let first = |test: &dyn Fn(&Row<'_>) -> bool| rows.iter().find(|cells| test(&row(cells)));
    let picked: Vec<&Vec<String>> = [
        first(&|row| row.cell("FeePaid").is_empty()),
        first(&|row| row.number("FeePaid", |fee| fee > 3000.0) == Some(true)),
        first(&|row| row.number("FeePaid", |fee| (500.0..2000.0).contains(&fee)) == Some(true)),
        first(&|row| row.cell("BusinessTradeName").is_empty() && row.cell("LocalArea") == "Sunset"),
        first(&|row| row.cell("NumberofEmployees").is_empty()),
        first(&|row| row.cell("Street") == "ROBSON ST" && !row.cell("FeePaid").is_empty()),
        first(&|row| row.cell("Province") != "BC"),
        first(&|row| row.cell("City") == "Burnaby" || row.cell("City").is_empty()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut keys: Vec<String> = picked.iter().map(|cells| row(cells).cell("LicenceRSN").to_owned()).collect();
    keys.push("1".into());
    keys.sort();
    keys.dedup();
    std::fs::write(world.path("keys.csv"), format!("LicenceRSN\n{}\n", keys.join("\n"))).unwrap();

    let server = world.serve();
    let mut seen = std::collections::BTreeMap::new();
    for (items, truth) in questions() {
        let sql = format!("SELECT {items} FROM licences WHERE LicenceRSN = ?");
        let verified = world.ask_keys(&server.url, "requester", "check", "a.json", "keys.csv", &sql).ok();
        let records = verified["records"].as_array().unwrap();
        assert_eq!(records.len(), keys.len());
        for (record, key) in records.iter().zip(&keys) {
            let Some(cells) = rows.iter().find(|cells| row(cells).cell("LicenceRSN") == key) else {
                assert_eq!(record["found"], false);
                continue;
            };
            let expected = truth(&row(cells)).map_or("NULL".to_owned(), |truth| truth.to_string());
            assert_eq!(values(record), std::slice::from_ref(&expected), "{items} of record {key}");
            *seen.entry(expected).or_insert(0) += 1;
        }
    }
    world.verify("requester", "a.json").ok();
    println!("{} keys, {} questions: {seen:?}", keys.len(), questions().len());
    assert!(["true", "false", "NULL"].iter().all(|truth| seen.contains_key(*truth)), "{seen:?}");

    let before = world.used(&server.url, "licences", &world.requester);
    for (items, shape) in DENIED {
        for key in [keys[1].as_str(), "1"] {
            let sql = format!("SELECT {items} FROM licences WHERE LicenceRSN = {key}");
            let error = ask(&world, &server.url, "d.json", &sql).error();
            assert!(error.starts_with("denied: the grant does not name the predicate"), "{error}");
            assert!(error.contains(&format!("'{shape}'")), "{shape} is not in: {error}");
            assert_eq!(world.trail(&server.url, "auditor").last().unwrap()["shape"], shape);
        }
    }
    assert_eq!(world.used(&server.url, "licences", &world.requester), before);
    world.budget_gateway(&server.url, "auditor").ok();
    drop(server);

    // What no grant names, and what it leaves free, is not in the blocks.
    let blocks = std::fs::read(world.path("owner/ledger/blocks.log")).unwrap();
    let holds = |bytes: &[u8]| blocks.windows(bytes.len()).any(|window| window == bytes);
    for text in ["SECRET", "GRANVILLE", "ROBSON", "Burnaby", "Nuba"] {
        assert!(!holds(text.as_bytes()), "'{text}' stands in the blocks");
    }
    // Not smaller ones: a byte of a hash and a short number behind it look the same.
    for number in [199_999_i64, 777_777, 543_215] {
        assert!(!holds(&number.to_le_bytes()), "{number} stands in the blocks");
    }
    // While what the grant names does, so that this looks where it should.
    assert!(holds(b"Kitsilano") && holds(&300_000_i64.to_le_bytes()) && holds(b"Sunset"));
}
