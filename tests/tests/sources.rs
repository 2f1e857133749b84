//! Tables where departments keep them: a real PostgreSQL, and files that nobody prepared.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sealgate_circuits::value::{ColumnType, Value};
use sealgate_ods::source::{self, Read};
use sealgate_ods::{Rejected, ShareManifest};
use sealgate_tests::chance::Chance;
use sealgate_tests::postgres::{PASSWORD, Postgres};
use sealgate_tests::{World, manifest, sealgate, shared_data};

/// The columns of a manifest's text, from its `[key]` on, after a `[source]` on this server.
fn manifest_text(server: &Postgres, folder: &Path, source: &str, rest: &str) -> String {
    let password = folder.join("password");
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        "[asset]\nname = \"t\"\ntitle = \"T\"\n[source]\nkind = \"postgres\"\nhost = \"localhost\"\nport = {}\n\
         database = \"register\"\nuser = \"reader\"\npassword_file = \"password\"\nca = \"{}\"\n{source}\n{rest}",
        server.port,
        server.ca().display()
    )
}

fn columns(columns: &[(&str, &str)]) -> String {
    let mut text = format!("[key]\ncolumns = ['{}']\n", columns[0].0);
    for (name, kind) in columns {
        text.push_str(&format!("[[column]]\nname = '{name}'\ntype = '{kind}'\n"));
    }
    text
}

type Rows = Vec<Vec<Value>>;

fn read(text: &str, folder: &Path) -> Result<(Rows, Vec<Rejected>), String> {
    let manifest = ShareManifest::parse(text, &folder.join("share.toml")).unwrap();
    let mut source = source::open(&manifest).map_err(|error| error.to_string())?;
    let (mut rows, mut rejected) = (Vec::new(), Vec::new());
    while let Some(read) = source.next().map_err(|error| error.to_string())? {
        match read {
            Read::Row(row) => rows.push(row.values),
            Read::Rejected(row) => rejected.push(row),
        }
    }
    assert_eq!(source.next().unwrap(), None);
    Ok((rows, rejected))
}

#[test]
fn a_database_gives_what_it_holds() {
    let Some(server) = Postgres::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    every_type(&server, folder.path());
    hidden_rows(&server, folder.path());
    the_same_as_a_file(&server, folder.path());
    one_snapshot(&server, folder.path());
    what_is_wrong(&server, folder.path());
    who_may_connect(&server, folder.path());
}

fn every_type(server: &Postgres, folder: &Path) {
    server.sql(
        "CREATE SCHEMA \"Odd\"; CREATE TYPE mood AS ENUM ('glad'); CREATE TABLE \"Odd\".\"T \"\"1\" (
           \"Id\" bigint, small int2, fee numeric(10,2), ratio float8, share float4, day date, at timestamptz,
           local timestamp, open bool, note text, code char(5), who uuid, doc jsonb, raw bytea, list int[], mood mood)",
    );
    server.sql(
        "INSERT INTO \"Odd\".\"T \"\"1\" VALUES
         (3, 7, 12.5, 0.1, 2.25, '2024-01-31', '2024-01-16 14:37:35.000001-08', '2024-07-01 10:00:00', true, E'a\"\\n多福巷',
          'ab', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"k\": [1]}', '\\x00ff', '{1,2}', 'glad'),
         (-9223372036854775808, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
         (2, -7, -0.05, 1e15, 0.5, '1899-12-31', '1969-12-31 23:59:59Z', '2024-01-01', false, '', '', NULL, '1', '', '{}', 'glad')",
    );
    let kinds = [
        ("Id", "int"),
        ("small", "int"),
        ("fee", "decimal(2)"),
        ("ratio", "text"),
        ("share", "decimal(3)"),
        ("day", "date"),
        ("at", "timestamp"),
        ("local", "timestamp"),
        ("open", "bool"),
        ("note", "text"),
        ("code", "text"),
        ("who", "text"),
        ("doc", "text"),
        ("raw", "text"),
        ("list", "text"),
        ("mood", "text"),
    ];
    let text = manifest_text(server, folder, "table = 'Odd.T \"1'\ntime_zone = 'UTC'", &columns(&kinds));
    let (rows, _) = read(&text, folder).unwrap();
    let full = [
        "3",
        "7",
        "12.50",
        "0.1",
        "2.250",
        "2024-01-31",
        "2024-01-16T22:37:35.000001Z",
        "2024-07-01T10:00:00Z",
        "true",
        "a\"\n多福巷",
        "ab",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "{\"k\": [1]}",
        "\\x00ff",
        "{1,2}",
        "glad",
    ];
    let kinds: Vec<ColumnType> = kinds.iter().map(|(_, kind)| kind.parse().unwrap()).collect();
    let shown = |row: &Vec<Value>| row.iter().zip(&kinds).map(|(v, k)| v.display(*k)).collect::<Vec<_>>();
    // In the order of the key.
    let keys: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(keys, [Value::Int(i64::MIN), Value::Int(2), Value::Int(3)]);
    assert_eq!(rows[0][1..], vec![Value::Null; 15]);
    assert_eq!(shown(&rows[2]), full);
    assert_eq!((&rows[1][3], &rows[1][9]), (&Value::Text("1e+15".into()), &Value::Text(String::new())));
    // The same with a query, a comment at its end, and bad rows set aside.
    let query = "query = 'SELECT \"Id\" AS id, note, ratio::numeric / 0.1 AS tenth FROM \"Odd\".\"T \"\"1\" -- all'";
    let odd = [("id", "int"), ("tenth", "decimal(0)"), ("note", "text")];
    let text =
        manifest_text(server, folder, &format!("{query}\non_bad_row = 'set_aside'\nnull = ['']"), &columns(&odd));
    let (rows, rejected) = read(&text, folder).unwrap();
    assert_eq!(rows.len(), 3, "{rejected:?}");
    assert_eq!(rows[1], [Value::Int(2), Value::Decimal(10_000_000_000_000_000), Value::Null]);
    server.sql("INSERT INTO \"Odd\".\"T \"\"1\" (\"Id\", day, at, fee) VALUES (5, 'infinity', '-infinity', 'NaN'), (NULL, NULL, NULL, NULL)");
    for (column, kind, expected) in [
        ("day", "date", "row 4, column 'day': 'infinity' is not a date"),
        ("at", "timestamp", "row 4, column 'at': '-infinity' is not a timestamp"),
        ("fee", "decimal(2)", "row 4, column 'fee': 'NaN' is not a decimal(2)"),
        ("fee", "decimal(1)", "row 2, column 'fee': '-0.05' is not a decimal(1)"),
        ("note", "text", "row 5, column 'Id': null in a key column"),
        ("local", "timestamp", "row 2, column 'local': '2024-01-01 00:00:00' has no offset"),
    ] {
        let text = manifest_text(server, folder, "table = 'Odd.T \"1'", &columns(&[("Id", "int"), (column, kind)]));
        let error = read(&text, folder).unwrap_err();
        assert!(error.contains(expected) && error.contains("database register on localhost"), "{error}");
    }
}

/// What others write while rows are read does not show; memory does not hold the table.
fn one_snapshot(server: &Postgres, folder: &Path) {
    server.sql("CREATE TABLE many AS SELECT id, repeat('x', 200) AS note FROM generate_series(1, 50000) AS id");
    let text = manifest_text(server, folder, "table = 'many'", &columns(&[("id", "int"), ("note", "text")]));
    let manifest = ShareManifest::parse(&text, &folder.join("share.toml")).unwrap();
    let mut source = source::open(&manifest).unwrap();
    let mut rows = 0;
    while let Some(Read::Row(row)) = source.next().unwrap() {
        rows += 1;
        assert_eq!(row.values[0], Value::Int(rows));
        if rows == 1 {
            server.sql("UPDATE many SET note = 'changed'; DELETE FROM many WHERE id > 40000; INSERT INTO many VALUES (60000, '')");
        }
        assert_eq!(row.values[1], Value::Text("x".repeat(200)));
    }
    assert_eq!(rows, 50_000);
    // A server that goes away in the middle is no end of the table.
    let mut source = source::open(&manifest).unwrap();
    assert!(source.next().unwrap().is_some());
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sealgate'");
    let ended = loop {
        match source.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the table seems to end"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(ended.contains("table many: behind row ") && ended.contains("connection"), "{ended}");
    // Who stops reading leaves nothing running.
    let slow = "query = 'SELECT id, pg_sleep(30)::text AS note FROM generate_series(1, 2) AS id'";
    let slow = manifest_text(server, folder, slow, &columns(&[("id", "int"), ("note", "text")]));
    let manifest = ShareManifest::parse(&slow, &folder.join("share.toml")).unwrap();
    // Before the query has begun, and while it runs.
    for pause_ms in [0, 0, 300, 0] {
        let source = source::open(&manifest).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
        drop(source);
    }
    let begun = std::time::Instant::now();
    while server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sealgate'") != "0" {
        assert!(begun.elapsed().as_secs() < 20, "a connection stays open");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn what_is_wrong(server: &Postgres, folder: &Path) {
    server.sql("CREATE SEQUENCE s; CREATE TABLE plain (id int, note text); INSERT INTO plain VALUES (1, 'a'); GRANT ALL ON plain, s TO reader");
    let both = columns(&[("id", "int"), ("note", "text")]);
    for (source, rest, expected) in [
        ("table = 'nowhere'", &both, "relation \"nowhere\" does not exist"),
        (
            "table = 'plain'",
            &columns(&[("id", "int"), ("Note", "text")]),
            "no column 'Note'; its columns are: 'id', 'note'",
        ),
        ("query = 'SELECT 1 AS id, 2 AS note, 3 AS note'", &both, "has 2 columns 'note'"),
        ("query = 'DELETE FROM plain'", &both, "syntax error"),
        ("query = 'SELECT 1) AS q; DELETE FROM plain; --'", &both, "syntax error"),
        ("query = 'SELECT id, note FROM plain WHERE id = $1'", &both, "has parameters"),
        (
            "query = \"SELECT nextval('s') AS id, 'x' AS note\"",
            &both,
            "cannot execute nextval() in a read-only transaction",
        ),
        ("query = 'SELECT 1 / (id - id) AS id, note FROM plain'", &both, "behind row 0: division by zero"),
    ] {
        let error = read(&manifest_text(server, folder, source, rest), folder).unwrap_err();
        assert!(error.contains(expected), "{error} should contain {expected}");
    }
    assert_eq!(server.sql("SELECT count(*) FROM plain"), "1");
}

/// The same tables, all of whose cells are text, in the database and in a file of JSON lines: the same rows, the
/// same rows set aside for the same reason, an empty one, and the same columns missing.
fn the_same_as_a_file(server: &Postgres, folder: &Path) {
    let kinds = [
        ("id", "int"),
        ("fee", "decimal(2)"),
        ("day", "date"),
        ("at", "timestamp"),
        ("open", "bool"),
        ("note", "text"),
    ];
    let note = "a,\"b\"\r\nc — 多福巷 \\ {[]} 'q' $1";
    let whole = [
        vec![
            Some("1"),
            Some("2.5"),
            Some("2024-01-31"),
            Some("2024-01-16T14:37:35.000001-08:00"),
            Some("true"),
            Some(note),
        ],
        vec![Some("-9223372036854775808"), None, None, None, None, None],
        vec![Some("3"), Some("-0.05"), Some("1899-12-31"), Some("1969-12-31T23:59:59Z"), Some("false"), Some("")],
    ];
    let bad = [
        vec![Some("9223372036854775808"), None, None, None, None, None],
        vec![Some("5"), Some("0.005"), None, None, None, None],
        vec![Some("6"), None, Some("2024-02-30"), None, None, None],
        vec![Some("7"), None, None, Some("2024-01-01 00:00:00"), None, None],
        vec![Some("8"), None, None, None, Some("yes"), None],
        vec![None, None, None, None, None, Some("no key")],
    ];
    let both = [whole.to_vec(), bad.to_vec()].concat();
    for (rows, good) in [(&whole[..], 3), (&both, 3), (&[], 0)] {
        assert_eq!(same(server, folder, &kinds, rows, ""), (good, rows.len() - good));
    }
    // A time without an offset, of no zone, of one, and where a zone has it twice or never.
    let times = ["2024-01-16 14:37:35", "2024-11-03 01:30:00", "2024-03-10 02:30:00"];
    let times = ["1", "2", "3"].into_iter().zip(times).map(|(id, time)| vec![Some(id), Some(time)]).collect::<Vec<_>>();
    for (zone, good) in [("", 0), ("time_zone = 'UTC'", 3), ("time_zone = 'America/Vancouver'", 1)] {
        assert_eq!(
            same(server, folder, &[("id", "int"), ("at", "timestamp")], &times, zone),
            (good, 3 - good),
            "{zone}"
        );
    }
    // Any texts, of which a database holds all but those with a zero byte; one is longer than any field.
    let mut chance = Chance::of_run("texts");
    let odd = [
        "\"",
        "'",
        ",",
        "\r\n",
        "\\",
        "$1",
        "{",
        "null",
        "NULL",
        "\u{feff}",
        "",
        " ",
        "é",
        "\u{1}",
        "\u{10ffff}",
        "多",
    ];
    let mut text = || (0..chance.below(5)).map(|_| odd[chance.below(odd.len())]).collect::<String>();
    let texts: Vec<(String, String)> = (0..60).map(|id: u32| (id.to_string(), text())).collect();
    let long = "x".repeat(100_000);
    let mut texts: Vec<_> = texts.iter().map(|(id, text)| vec![Some(id.as_str()), Some(text.as_str())]).collect();
    texts.push(vec![Some("60"), Some(&long)]);
    assert_eq!(same(server, folder, &[("id", "int"), ("note", "text")], &texts, ""), (60, 1));
}

/// How many rows come from a table in the database and how many are set aside: the same ones as from a file.
fn same(
    server: &Postgres,
    folder: &Path,
    kinds: &[(&str, &str)],
    rows: &[Vec<Option<&str>>],
    options: &str,
) -> (usize, usize) {
    let literal = |cell: &Option<&str>| cell.map_or("NULL".into(), |text| format!("'{}'", text.replace('\'', "''")));
    let texts: Vec<String> = kinds.iter().map(|(name, _)| format!("{name} text")).collect();
    let texts = texts.join(", ");
    server.sql(&format!("DROP TABLE IF EXISTS same; CREATE TABLE same ({texts}); GRANT SELECT ON same TO reader"));
    let mut lines = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().map(literal).collect();
        server.sql(&format!("INSERT INTO same VALUES ({})", cells.join(", ")));
        let object: serde_json::Map<_, _> =
            kinds.iter().zip(row).map(|((name, _), cell)| ((*name).to_owned(), serde_json::json!(cell))).collect();
        lines.push_str(&format!("{}\n", serde_json::Value::Object(object)));
    }
    fs::write(folder.join("same.jsonl"), lines).unwrap();
    let options = format!("on_bad_row = 'set_aside'\n{options}");
    let table = format!("table = 'same'\n{options}");
    let in_database = read(&manifest_text(server, folder, &table, &columns(kinds)), folder).unwrap();
    let file = format!(
        "[asset]\nname = 't'\ntitle = 'T'\n[source]\nkind = 'jsonl'\npath = 'same.jsonl'\n{options}\n{}",
        columns(kinds)
    );
    // The database gives them in the order of the key, as it sorts texts.
    let sorted = |(rows, rejected): (Rows, Vec<Rejected>)| {
        let mut rows: Vec<_> = rows.iter().map(|row| format!("{row:?}")).collect();
        let mut rejected: Vec<_> = rejected.into_iter().map(|row| (row.column, row.what)).collect();
        rows.sort();
        rejected.sort();
        (rows, rejected)
    };
    let (in_database, in_file) = (sorted(in_database), sorted(read(&file, folder).unwrap()));
    assert_eq!(in_database, in_file);
    if !rows.is_empty() {
        let other = columns(&[("id", "int"), ("nowhere", "text")]);
        let last = kinds.last().unwrap().0;
        let missing = [
            read(&manifest_text(server, folder, &table, &other), folder),
            read(&file.replacen(&format!("name = '{last}'"), "name = 'nowhere'", 1), folder),
        ];
        for error in missing {
            assert!(error.unwrap_err().contains("has no column 'nowhere'"));
        }
    }
    (in_file.0.len(), in_file.1.len())
}

/// A policy that hides rows from the reader: the server refuses, where a part of the table would look whole.
fn hidden_rows(server: &Postgres, folder: &Path) {
    server.sql(
        "CREATE TABLE guarded (id int PRIMARY KEY, town text); INSERT INTO guarded VALUES (1, 'a'), (2, 'b'); \
         GRANT SELECT ON guarded TO reader; CREATE VIEW guarded_view AS SELECT id, town FROM guarded; \
         GRANT SELECT ON guarded_view TO reader",
    );
    let both = columns(&[("id", "int"), ("town", "text")]);
    let table = manifest_text(server, folder, "table = 'guarded'", &both);
    assert_eq!(read(&table, folder).unwrap().0.len(), 2);
    server.sql("ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON guarded USING (town = 'a')");
    let query = manifest_text(server, folder, "query = 'SELECT id, town FROM guarded'", &both);
    for text in [&table, &query] {
        let error = read(text, folder).unwrap_err();
        assert!(error.contains("would be affected by row-level security policy"), "{error}");
    }
    // A view is read with its owner's rights, whom the policy does not bind.
    let view = manifest_text(server, folder, "table = 'guarded_view'", &both);
    assert_eq!(read(&view, folder).unwrap().0.len(), 2);
}

fn who_may_connect(server: &Postgres, folder: &Path) {
    let good = manifest_text(server, folder, "table = 'plain'", &columns(&[("id", "int"), ("note", "text")]));
    assert_eq!(read(&good, folder).unwrap().0.len(), 1);
    let (ca, other) = (server.ca().display().to_string(), server.other_ca().display().to_string());
    let line = format!("ca = \"{ca}\"\n");
    fs::write(folder.join("empty.pem"), "").unwrap();
    let reset = |from: &str, to: &str| read(&good.replacen(from, to, 1), folder).unwrap_err();
    for (error, expected) in [
        (reset(&ca, &other), "the server's certificate was refused"),
        (reset(&line, ""), "the server's certificate was refused"),
        (reset("\"localhost\"", "\"127.0.0.1\""), "'host' the name that it is for"),
        (reset(&line, "tls = \"off\"\n"), "no pg_hba.conf entry"),
        (reset(&ca, "empty.pem"), "empty.pem: no certificate in it"),
        (reset(&ca, "gone.pem"), "gone.pem"),
        (reset("user = \"reader\"", "user = \"nobody\""), "no connection as 'nobody'"),
        (reset("database = \"register\"", "database = \"registry\""), "database \"registry\" does not exist"),
        (reset(&server.port.to_string(), "1"), "no connection as 'reader'"),
    ] {
        assert!(error.contains(expected), "{error} should contain {expected}");
        assert!(!error.contains("pass:word"), "{error}");
    }
    // The wrong password, and none.
    fs::write(folder.join("password"), "guess:word\n").unwrap();
    let wrong = read(&good, folder).unwrap_err();
    assert!(wrong.contains("password authentication failed") && !wrong.contains("guess"), "{wrong}");
    fs::set_permissions(folder.join("password"), fs::Permissions::from_mode(0o644)).unwrap();
    let open = read(&good, folder).unwrap_err();
    assert!(open.contains("chmod 600") && !open.contains("guess"), "{open}");
}

/// The register in a database is the register in a file; published over TLS, changed, published
/// again.
#[test]
fn the_licences_are_published_from_a_database() {
    let Some(csv) = shared_data("licences/vancouver_restaurant_licences.csv") else { return };
    let Some(server) = Postgres::start() else { return };
    let from_csv = manifest("licences.toml");
    let parsed = ShareManifest::read(&from_csv).unwrap().with_source(&csv).unwrap();
    let sql_type = |kind| match kind {
        ColumnType::Int => "bigint".to_owned(),
        ColumnType::Decimal(scale) => format!("numeric(18, {scale})"),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Timestamp => "timestamptz".to_owned(),
        ColumnType::Bool => "boolean".to_owned(),
        ColumnType::Text => "text".to_owned(),
    };
    let schema = parsed.schema();
    let columns: Vec<_> =
        schema.columns.iter().map(|column| format!("\"{}\" {}", column.name, sql_type(column.kind))).collect();
    server.sql(&format!("CREATE TABLE licences ({}, PRIMARY KEY (\"LicenceRSN\"))", columns.join(", ")));
    server.sql(&format!("\\copy licences FROM '{}' WITH (FORMAT csv, HEADER)", csv.display()));
    let world = World::new();
    let text = fs::read_to_string(&from_csv).unwrap();
    let (_, rest) = text.split_once("[key]").unwrap();
    let text = manifest_text(&server, world.dir.path(), "table = \"licences\"", &format!("[key]{rest}"));
    // Cell by cell the same as through the file.
    let (in_database, _) = read(&text, world.dir.path()).unwrap();
    let mut in_file = Vec::new();
    let mut source = source::open(&parsed).unwrap();
    while let Some(Read::Row(row)) = source.next().unwrap() {
        in_file.push(row.values);
    }
    in_file.sort_by_key(|row| row[usize::from(schema.key[0])].clone());
    assert_eq!(in_file.len(), 3260);
    assert!(in_file == in_database, "a row differs");
    // What is inferred of the table is the manifest's, but for columns that are null or whole throughout.
    let password = world.path("password");
    let url = format!("postgres://reader@localhost:{}/register", server.port);
    let ca = server.ca().display().to_string();
    let infer = ["manifest", "infer", &url, "--table", "licences", "--ca", &ca, "--password-file", &password];
    let inferred = sealgate(&infer).ok();
    assert_eq!((inferred["key"][0].as_str(), inferred["rows"].as_u64()), (Some("LicenceRSN"), Some(3260)));
    let inferred = inferred["manifest"].as_str().unwrap();
    assert!(inferred.contains("name = \"IssuedDate\"\ntype = \"timestamp\""), "{inferred}");
    assert_eq!(read(inferred, world.dir.path()).unwrap().0.len(), 3260);
    for (url, expected) in [
        (format!("postgres://reader:secret@localhost:{}/register", server.port), "no password in it"),
        ("postgres://localhost/register".into(), "the user is missing"),
    ] {
        let refused = sealgate(&["manifest", "infer", &url, "--table", "licences"]).error();
        assert!(refused.contains(expected) && !refused.contains("secret"), "{refused}");
    }
    let path = world.dir.path().join("share.toml");
    // The wrong authority: nothing is published, and the error says what to do.
    fs::write(&path, text.replacen(&server.ca().display().to_string(), &server.other_ca().display().to_string(), 1))
        .unwrap();
    let refused = world.publish(&path).error();
    assert!(refused.contains("the server's certificate was refused"), "{refused}");
    fs::write(&path, &text).unwrap();
    let published = world.publish(&path).ok();
    assert_eq!((published["version"].as_u64(), published["records"].as_u64()), (Some(1), Some(3260)));
    server.sql("UPDATE licences SET \"Status\" = 'Revoked' WHERE \"LicenceRSN\" IN (SELECT \"LicenceRSN\" FROM licences LIMIT 10)");
    server.sql("DELETE FROM licences WHERE \"LicenceRSN\" IN (SELECT \"LicenceRSN\" FROM licences WHERE \"Status\" <> 'Revoked' LIMIT 1)");
    let again = world.publish(&path).ok();
    assert_eq!((again["version"].as_u64(), again["records"].as_u64()), (Some(2), Some(3259)));
    let audited = sealgate(&["audit", "--data-dir", &world.path("owner")]);
    assert_eq!(audited.code, 0, "{audited:?}");
}

/// From a table that nobody prepared to an asset: inferred, published; what cannot be is refused
/// with its place.
#[test]
fn tables_are_published_by_the_manifests_inferred_of_them() {
    let (Some(planes), Some(register), Some(encoded)) = (
        shared_data("planes/planes.csv"),
        shared_data("licences/raw/business-licences.csv"),
        shared_data("encodings/vancouver_cp1252.csv"),
    ) else {
        return;
    };
    let world = World::new();
    let infer = |source: &Path, name: &str| {
        let out = world.dir.path().join(format!("{name}.toml"));
        let (source, out_text) = (source.display().to_string(), out.display().to_string());
        let inferred = sealgate(&["manifest", "infer", &source, "--name", name, "--out", &out_text]).ok();
        assert_eq!(inferred["file"].as_str(), Some(out_text.as_str()));
        // What was edited is not written over.
        let again = sealgate(&["manifest", "infer", &source, "--out", &out_text]).error();
        assert!(again.contains(&out_text), "{again}");
        (out, inferred)
    };
    let (path, inferred) = infer(&planes, "planes");
    assert_eq!((inferred["rows"].as_u64(), inferred["key"][0].as_str()), (Some(3322), Some("tailnum")));
    assert_eq!(world.publish(&path).ok()["records"].as_u64(), Some(3322));
    // The register as it was published names one licence twice: with its number as the key it is refused,
    // with both rows, and where such rows are set aside both are.
    let (path, inferred) = infer(&register, "register");
    assert_eq!(inferred["columns"].as_u64(), Some(25));
    let text = fs::read_to_string(&path).unwrap();
    let key = text.lines().find(|line| line.starts_with("columns = ")).unwrap();
    fs::write(&path, text.replace(key, "columns = [\"LicenceRSN\"]")).unwrap();
    let twice = world.publish(&path).error();
    assert!(twice.contains("2545"), "{twice}");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[source]\n", "[source]\non_bad_row = \"set_aside\"\n")).unwrap();
    let others = world.publish(&path).ok();
    assert_eq!(
        (others["records"].as_u64(), others["changes"]["set_aside"].as_u64()),
        (Some(3383), Some(2)),
        "{others}"
    );
    let report = fs::read_to_string(others["set_aside"].as_str().unwrap()).unwrap();
    assert!(report.lines().count() == 3 && report.contains("\n2545,"), "{report}");
    // The same register in another encoding: it is seen, and taken back it is refused with its place.
    let (path, _) = infer(&encoded, "encoded");
    let text = fs::read_to_string(&path).unwrap();
    let line = text.lines().find(|line| line.starts_with("encoding = \"windows-1252\"")).unwrap();
    fs::write(&path, text.replace(line, "")).unwrap();
    let undeclared = world.publish(&path).error();
    assert!(undeclared.contains("vancouver_cp1252.csv, row ") && undeclared.contains("not UTF-8"), "{undeclared}");
}
