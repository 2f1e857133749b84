//! The whole story, with the real binary over HTTP: every answer is compared with the table it
//! came from, by these tests' own reading of that table.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use sealgate_tests::{Table, World, answers, manifest, parse_csv, sealgate, sealgate_plain, shared_data, text};
use serde_json::Value;

const LICENCES: &str = "licences/vancouver_restaurant_licences.csv";

/// Days since 1970-01-01 of a civil date (Howard Hinnant's days_from_civil).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `2024-01-16T14:37:35-08:00` in UTC as `2024-01-16T22:37:35Z`.
fn in_utc(text: &str) -> String {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let local = days(number(0..4), number(5..7), number(8..10)) * 86_400
        + number(11..13) * 3600
        + number(14..16) * 60
        + number(17..19);
    assert_eq!(text.len(), 25, "{text}");
    let offset = (number(20..22) * 60 + number(23..25)) * 60 * if &text[19..20] == "-" { -1 } else { 1 };
    let utc = local - offset;
    let day = utc.div_euclid(86_400);
    let year = (1970..2100).rev().find(|year| days(*year, 1, 1) <= day).unwrap();
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= day).unwrap();
    let second = utc.rem_euclid(86_400);
    format!(
        "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}Z",
        day - days(year, month, 1) + 1,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// A decimal's digits at a scale, as a number of its smallest unit.
fn unscaled(text: &str, scale: usize) -> i64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction:0<scale$}");
    digits.parse().unwrap()
}

/// A cell as an answer shows it.
fn shown(cell: &str, kind: &str) -> String {
    match kind {
        _ if cell.is_empty() => "NULL".into(),
        "int" => cell.parse::<i64>().unwrap().to_string(),
        "timestamp" => in_utc(cell),
        "decimal(1)" => format!("{}.{}", unscaled(cell, 1) / 10, unscaled(cell, 1) % 10),
        "decimal(2)" => format!("{}.{:02}", unscaled(cell, 2) / 100, unscaled(cell, 2) % 100),
        _ => cell.into(),
    }
}

fn truth(cell: &str, test: impl Fn(&str) -> bool) -> String {
    if cell.is_empty() { "NULL".into() } else { test(cell).to_string() }
}

/// Column names and types, read from the manifest's text.
fn columns_of(manifest: &str) -> Vec<(String, String)> {
    let quoted = |line: &str| line.split('"').nth(1).unwrap().to_owned();
    let mut columns = Vec::new();
    for block in manifest.split("[[column]]").skip(1) {
        let line = |key: &str| quoted(block.lines().find(|line| line.starts_with(key)).unwrap());
        columns.push((line("name"), line("type")));
    }
    columns
}

#[test]
fn the_tests_own_arithmetic_is_right() {
    assert_eq!(days(1970, 1, 1), 0);
    assert_eq!(in_utc("2024-01-16T14:37:35-08:00"), "2024-01-16T22:37:35Z");
    assert_eq!(in_utc("2023-12-31T23:30:00-07:00"), "2024-01-01T06:30:00Z");
    assert_eq!(in_utc("2024-03-01T00:10:00+01:00"), "2024-02-29T23:10:00Z");
    assert_eq!(shown("43.0", "decimal(1)"), "43.0");
    assert_eq!(shown("1234.5", "decimal(2)"), "1234.50");
}

#[test]
fn every_column_of_real_licences_is_answered_as_the_table_has_it() {
    let Some(csv) = shared_data(LICENCES) else { return };
    let rows = parse_csv(&std::fs::read_to_string(csv).unwrap());
    let (header, rows) = rows.split_first().unwrap();
    let columns = columns_of(&std::fs::read_to_string(manifest("licences.toml")).unwrap());
    assert_eq!(header.iter().collect::<Vec<_>>(), columns.iter().map(|(name, _)| name).collect::<Vec<_>>());
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (key, fee, area, expired, staff) =
        (at("LicenceRSN"), at("FeePaid"), at("LocalArea"), at("ExpiredDate"), at("NumberofEmployees"));

    let world = World::new();
    let published = world.publish(&manifest("licences.toml")).ok();
    assert_eq!((published["records"].as_u64(), published["version"].as_u64()), (Some(rows.len() as u64), Some(1)));
    assert_eq!(rows.len(), 3260);
    world
        .grant(
            "licences",
            &world.requester,
            &[
                "--disclose",
                &header.join(","),
                "--prove",
                "FeePaid >= 500",
                "--prove",
                "FeePaid < ?",
                "--prove",
                "LocalArea = 'Downtown'",
                "--prove",
                "ExpiredDate BETWEEN '2024-01-01' AND '2024-12-31'",
                "--prove",
                "NumberofEmployees <> 3",
                "--prove",
                "NumberofEmployees NOT BETWEEN ? AND ?",
                "--purpose",
                "inspection",
            ],
        )
        .ok();
    let server = world.serve();
    let ask = |sql: &str| world.ask(&server.url, "requester", "inspection", "answer.json", sql).ok();
    let mut asked = 0;

    // Whole records: first, last, one without a fee, one with nearly everything empty.
    let empty = |row: &Vec<String>| row.iter().filter(|cell| cell.is_empty()).count();
    let most_empty = rows.iter().max_by_key(|row| empty(row)).unwrap();
    let fullest = rows.iter().min_by_key(|row| empty(row)).unwrap();
    let no_fee = rows.iter().find(|row| row[fee].is_empty()).unwrap();
    for row in [&rows[0], rows.last().unwrap(), no_fee, most_empty, fullest] {
        for (chunk, names) in columns.chunks(4).enumerate() {
            let list = names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            let verified = ask(&format!("SELECT {list} FROM licences WHERE LicenceRSN = {}", row[key]));
            asked += 1;
            assert_eq!(verified["records"][0]["found"], true);
            let expected: Vec<(String, String)> = names
                .iter()
                .enumerate()
                .map(|(i, (name, kind))| (name.clone(), shown(&row[4 * chunk + i], kind)))
                .collect();
            assert_eq!(answers(&verified), expected, "record {}", row[key]);
        }
    }
    // Predicates over many records, null fees among them.
    let with_fees = rows.iter().filter(|row| !row[fee].is_empty()).step_by(180);
    let without = rows.iter().filter(|row| row[fee].is_empty()).step_by(500);
    for (index, row) in with_fees.chain(without).enumerate() {
        let limit = 100 * (index as i64 + 1);
        let first = ask(&format!(
            "SELECT FeePaid, FeePaid >= 500, FeePaid < {limit}, LocalArea = 'Downtown' FROM licences WHERE LicenceRSN = {}",
            row[key]
        ));
        let expected = [
            shown(&row[fee], "decimal(2)"),
            truth(&row[fee], |fee| unscaled(fee, 2) >= 50_000),
            truth(&row[fee], |fee| unscaled(fee, 2) < limit * 100),
            truth(&row[area], |area| area == "Downtown"),
        ];
        assert_eq!(answers(&first).into_iter().map(|(_, answer)| answer).collect::<Vec<_>>(), expected, "{row:?}");
        let second = ask(&format!(
            "SELECT ExpiredDate BETWEEN '2024-01-01' AND '2024-12-31', NumberofEmployees <> 3, NumberofEmployees NOT BETWEEN 2 AND {} FROM licences WHERE LicenceRSN = {}",
            index + 3,
            row[key]
        ));
        let expected = [
            truth(&row[expired], |date| ("2024-01-01"..="2024-12-31").contains(&date)),
            truth(&row[staff], |staff| unscaled(staff, 1) != 30),
            truth(&row[staff], |staff| !(20..=(index as i64 + 3) * 10).contains(&unscaled(staff, 1))),
        ];
        assert_eq!(answers(&second).into_iter().map(|(_, answer)| answer).collect::<Vec<_>>(), expected, "{row:?}");
        asked += 2;
    }
    // Absent keys.
    for absent in ["1", "0", "-5", "9223372036854775807", "-9223372036854775808"] {
        assert!(rows.iter().all(|row| row[key] != absent));
        let verified = ask(&format!("SELECT Status, FeePaid >= 500 FROM licences WHERE LicenceRSN = {absent}"));
        assert_eq!((&verified["records"][0]["found"], answers(&verified).len()), (&Value::Bool(false), 0));
        world.verify("requester", "answer.json").ok();
        asked += 1;
    }
    let trail = world.trail(&server.url, "auditor");
    assert_eq!(trail.len(), asked);
    assert!(
        trail.iter().all(|line| line["status"].to_string().contains("answered") && line["purpose"] == "inspection")
    );
    let audit = world.audit_gateway(&server.url, "auditor").ok();
    assert_eq!(audit["summary"]["answers"].as_u64(), Some(asked as u64));
    let own = world.audit_owner().ok();
    assert_eq!(own["records"].as_u64(), Some(3260));
    drop(server);
    let own = sealgate(&["audit", "--recompute", "--data-dir", &world.path("owner")]).ok();
    assert_eq!((own["records"].as_u64(), own["recomputed"].as_bool()), (Some(3260), Some(true)));
}

/// The `shop` table, checked against its own rows.
#[test]
fn a_small_table_is_answered_as_it_is_while_everything_else_goes_on() {
    let table = Table::shops(60);
    let world = World::with(&table);
    let grant = ["--disclose", "id,name,fee,opened,area", "--prove", "fee >= 100", "--purpose", "check"];
    world.grant("shop", &world.requester, &grant).ok();
    let before = world.height();
    let server = world.serve();
    let ask = |home: &str, out: &str, sql: &str| world.ask(&server.url, home, "check", out, sql);
    for row in table.rows.iter().step_by(6).chain(table.rows.iter().filter(|row| row[2].is_empty()).take(3)) {
        let verified =
            ask("requester", "a.json", &format!("SELECT name, fee, area, fee >= 100 FROM shop WHERE id = {}", row[0]))
                .ok();
        let expected: Vec<String> = vec![
            row[1].clone(),
            shown(&row[2], "decimal(2)"),
            shown(&row[4], "text"),
            truth(&row[2], |fee| unscaled(fee, 2) >= 10_000),
        ];
        assert_eq!(answers(&verified).into_iter().map(|line| line.1).collect::<Vec<_>>(), expected);
        assert_eq!((&verified["purpose"], &verified["requester"]), (&"check".into(), &world.requester.clone().into()));
        assert_eq!(world.verify("requester", "a.json").ok(), verified);
    }
    // The auditor names whose answer it is; without, the answer is somebody else's.
    let (auditor, file) = (world.path("auditor"), world.path("a.json"));
    let error = world.verify("auditor", "a.json").error();
    assert!(error.contains("--requester") && error.contains(&world.requester), "{error}");
    let as_auditor = ["verify", "--home", &auditor, "--requester", &world.requester, &file];
    let error = sealgate(&as_auditor[..5]).code;
    assert_eq!(error, 2, "a missing file argument is a usage error");
    sealgate(&as_auditor).ok();
    // Older and newer answers than the auditor has seen: connected through the gateway.
    ask("requester", "b.json", "SELECT name FROM shop WHERE id = 2").ok();
    let file_b = world.path("b.json");
    let unconnected = sealgate(&["verify", "--home", &auditor, "--requester", &world.requester, &file_b]).error();
    assert!(unconnected.contains("--gateway"), "{unconnected}");
    sealgate(&["verify", "--home", &auditor, "--gateway", &server.url, "--requester", &world.requester, &file_b]).ok();
    sealgate(&["verify", "--home", &auditor, "--requester", &world.requester, &file_b]).ok();
    world.audit_gateway(&server.url, "auditor").ok();
    sealgate(&as_auditor).ok();

    // Grant, revoke, publish and audit while serving.
    let other = world.account("other");
    let error = ask("other", "c.json", "SELECT name FROM shop WHERE id = 3").error();
    assert!(error.starts_with("denied: "), "{error}");
    world.grant("shop", &other, &["--disclose", "name", "--purpose", "check"]).ok();
    ask("other", "c.json", "SELECT name FROM shop WHERE id = 3").ok();
    world.revoke("shop", &other).ok();
    let error = ask("other", "d.json", "SELECT name FROM shop WHERE id = 3").error();
    assert!(error.starts_with("denied: "), "{error}");
    world.verify("other", "c.json").ok();

    let mut next = table.clone();
    next.rows[1][1] = "Renamed".into();
    next.rows.remove(4);
    next.rows.push(vec!["61".into(), "New".into(), "1".into(), "2025-01-01".into(), String::new()]);
    let published = world.publish(&next.write(world.dir.path())).ok();
    assert_eq!((published["version"].as_u64(), published["records"].as_u64()), (Some(2), Some(60)));
    let second = ask("requester", "e.json", "SELECT name FROM shop WHERE id = 2").ok();
    assert_eq!((second["version"].as_u64(), answers(&second)[0].1.as_str()), (Some(2), "Renamed"));
    let old = world.verify("requester", "b.json").ok();
    assert_eq!((old["version"].as_u64(), answers(&old)[0].1.as_str()), (Some(1), "Shop no. 2"));
    assert_eq!(ask("requester", "f.json", "SELECT name FROM shop WHERE id = 5").ok()["records"][0]["found"], false);
    assert_eq!(answers(&ask("requester", "g.json", "SELECT fee FROM shop WHERE id = 61").ok())[0].1, "1.00");
    world.verify("requester", "e.json").ok();
    let trail = world.trail(&server.url, "requester");
    assert_eq!(trail, world.trail(&server.url, "auditor"));
    let denied = trail.iter().filter(|line| line["status"].to_string().contains("denied")).count();
    assert_eq!(denied, 2);
    let while_serving = world.audit_owner().ok();
    let seen = world.audit_gateway(&server.url, "auditor").ok();
    assert_eq!((&seen["height"], &seen["checkpoint"]), (&while_serving["height"], &while_serving["checkpoint"]));
    assert!(while_serving["height"].as_u64().unwrap() > before);
    drop(server);

    // The same, not serving.
    let audit = world.audit_owner().ok();
    assert_eq!(audit["versions"].as_u64(), Some(2));
    assert_eq!(audit["checkpoint"], while_serving["checkpoint"]);
    world.grant("shop", &other, &["--disclose", "area", "--purpose", "check"]).ok();
    world.revoke("shop", &world.requester).ok();
    assert_eq!(world.publish(&next.write(world.dir.path())).ok()["version"].as_u64(), Some(3));
    world.verify("requester", "b.json").ok();
    let server = world.serve();
    let verified = world.ask(&server.url, "other", "check", "h.json", "SELECT area FROM shop WHERE id = 1").ok();
    assert_eq!(verified["version"].as_u64(), Some(3));
    let error = world.ask(&server.url, "requester", "check", "i.json", "SELECT area FROM shop WHERE id = 1").error();
    assert!(error.starts_with("denied: "), "{error}");
    let audit = sealgate(&["audit", "--recompute", "--data-dir", &world.path("owner")]).ok();
    assert_eq!((audit["versions"].as_u64(), audit["recomputed"].as_bool()), (Some(3), Some(true)));
}

#[test]
fn the_ledger_sees_neither_keys_nor_values_nor_free_constants() {
    let rows =
        (0..40).map(|i| vec![format!("KEY-{i:04}-UNTOLD"), format!("VALUE-{i:04}-UNTOLD"), (1000 + i).to_string()]);
    let table = Table::new("hidden", &["k"], &[("k", "text"), ("v", "text"), ("n", "int")], rows.collect());
    let world = World::with(&table);
    let grant = ["--disclose", "v", "--prove", "n >= ?", "--prove", "v = ?", "--prove", "n < 1020", "--purpose", "p"];
    world.grant("hidden", &world.requester, &grant).ok();
    let server = world.serve();
    let sql = "SELECT v, n >= 987654321, v = 'CONSTANT-UNTOLD', n < 1020 FROM hidden WHERE k = 'KEY-0007-UNTOLD'";
    let verified = world.ask(&server.url, "requester", "p", "a.json", sql).ok();
    let expected = ["VALUE-0007-UNTOLD", "false", "false", "true"].map(str::to_owned);
    assert_eq!(answers(&verified).into_iter().map(|line| line.1).collect::<Vec<_>>(), expected);
    let error = world.ask(&server.url, "requester", "p", "b.json", "SELECT k FROM hidden WHERE k = 'KEY-0008-UNTOLD'");
    assert!(error.error().starts_with("denied: "));
    let trail = world.trail(&server.url, "auditor");
    assert_eq!(text(&trail[0]["shape"]), "v, n >= ?, v = ?, n < 1020");
    let shown = serde_json::to_string(&trail).unwrap();
    drop(server);
    let mut bytes = Vec::new();
    for file in sealgate_tests::files_under(&world.dir.path().join("owner")) {
        bytes.extend(std::fs::read(file).unwrap());
    }
    bytes.extend(shown.into_bytes());
    for secret in ["UNTOLD", "KEY-0007", "987654321"] {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "'{secret}' stands in the owner's folder or the trail");
    }
    let number = 987_654_321_i64.to_le_bytes();
    assert!(!bytes.windows(8).any(|window| window == number), "a free constant stands in the owner's folder");
}

#[test]
fn existence_is_told_only_where_it_is_granted() {
    let world = World::with(&Table::shops(20));
    let other = world.account("other");
    world.grant("shop", &world.requester, &["--existence", "--purpose", "p"]).ok();
    world.grant("shop", &other, &["--disclose", "name", "--purpose", "p"]).ok();
    let server = world.serve();
    for (id, found) in [(3, true), (21, false), (20, true), (0, false)] {
        let sql = format!("SELECT 1 FROM shop WHERE id = {id}");
        let verified = world.ask(&server.url, "requester", "p", "a.json", &sql).ok();
        assert_eq!((verified["records"][0]["found"].as_bool(), answers(&verified).len()), (Some(found), 0));
        assert_eq!(world.verify("requester", "a.json").ok(), verified);
        let error = world.ask(&server.url, "other", "p", "b.json", &sql).error();
        assert!(error.contains("exists"), "{error}");
    }
    let error = world.ask(&server.url, "requester", "p", "b.json", "SELECT name FROM shop WHERE id = 3").error();
    assert!(error.starts_with("denied: "), "{error}");
}

#[test]
fn keys_of_several_columns_name_one_record() {
    let mut rows = Vec::new();
    for region in ["A", "B", "AB", "a", "it's"] {
        for day in 1..=4 {
            for number in [-1, 0, 7] {
                rows.push(vec![
                    region.into(),
                    format!("2024-02-{:02}", 26 + day),
                    number.to_string(),
                    format!("{region}/{day}/{number}"),
                ]);
            }
        }
    }
    rows.retain(|row| row[1] != "2024-02-30");
    let columns = [("region", "text"), ("day", "date"), ("number", "int"), ("what", "text")];
    let world = World::with(&Table::new("visits", &["day", "region", "number"], &columns, rows.clone()));
    world.grant("visits", &world.requester, &["--disclose", "what,day", "--purpose", "p"]).ok();
    let server = world.serve();
    let ask = |sql: &str| world.ask(&server.url, "requester", "p", "a.json", sql).ok();
    for row in rows.iter().step_by(8) {
        let region = row[0].replace('\'', "''");
        let key = [format!("region = '{region}'"), format!("day = '{}'", row[1]), format!("number = {}", row[2])];
        for order in [[0, 1, 2], [2, 1, 0]] {
            let conditions = order.map(|i| key[i].clone()).join(" AND ");
            let verified = ask(&format!("SELECT what, day FROM visits WHERE {conditions}"));
            assert_eq!(answers(&verified), [("what".into(), row[3].clone()), ("day".into(), row[1].clone())]);
        }
    }
    let absent = ask("SELECT what FROM visits WHERE region = 'b' AND day = '2024-02-27' AND number = 7");
    assert_eq!(absent["records"][0]["found"], false);
    let error =
        world.ask(&server.url, "requester", "p", "b.json", "SELECT what FROM visits WHERE region = 'A'").error();
    assert!(error.contains("day") && error.contains("number"), "{error}");
}

#[test]
fn the_narrowest_and_the_widest_records_are_answered() {
    let kinds = ["int", "text", "decimal(3)", "date", "timestamp", "bool"];
    let cell = |row: usize, column: usize| -> String {
        if column > 0 && (row + column).is_multiple_of(9) {
            return String::new();
        }
        match kinds[column % 6] {
            "int" => format!("{}", row * 100 + column),
            "text" => format!("ünï {row}, \"{column}\"\nsecond line"),
            "decimal(3)" => format!("-{row}.{column:03}"),
            "date" => format!("19{:02}-12-0{}", 10 + row, 1 + column % 9),
            "timestamp" => format!("2024-0{}-16T22:37:35.123456Z", 1 + row % 9),
            _ => row.is_multiple_of(2).to_string(),
        }
    };
    let world = World::new();
    let server = world.serve();
    for width in [1, 2, 14, 15, 16, 30, 31] {
        let names: Vec<(String, String)> =
            (0..width).map(|column| (format!("c{column}"), kinds[column % 6].to_owned())).collect();
        let rows: Vec<Vec<String>> = (0..12).map(|row| (0..width).map(|column| cell(row, column)).collect()).collect();
        let name = format!("wide{width}");
        let table = Table {
            name: name.clone(),
            key: vec!["c0".into()],
            columns: names.clone(),
            rows: rows.clone(),
            budgets: Default::default(),
        };
        world.publish(&table.write(world.dir.path())).ok();
        let all = names.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(",");
        world.grant(&name, &world.requester, &["--disclose", &all, "--purpose", "p"]).ok();
        let row = &rows[width % 12];
        let positions: Vec<usize> = (0..width).collect();
        let chosen =
            if width > 16 { vec![&positions[..4], &positions[width - 4..]] } else { positions.chunks(4).collect() };
        for chunk in chosen {
            let items = chunk.iter().map(|column| names[*column].0.clone()).collect::<Vec<_>>().join(", ");
            let sql = format!("SELECT {items} FROM {name} WHERE c0 = {}", row[0]);
            let verified = world.ask(&server.url, "requester", "p", "a.json", &sql).ok();
            let expected: Vec<String> = chunk
                .iter()
                .map(|column| if row[*column].is_empty() { "NULL".into() } else { row[*column].clone() })
                .collect();
            assert_eq!(
                answers(&verified).into_iter().map(|line| line.1).collect::<Vec<_>>(),
                expected,
                "{width}: {sql}"
            );
        }
    }
    world.audit_owner().ok();
}

#[test]
fn a_table_of_no_record_and_of_one() {
    let world = World::new();
    let mut table = Table::shops(1);
    world.publish(&table.write(world.dir.path())).ok();
    world.grant("shop", &world.requester, &["--disclose", "name", "--existence", "--purpose", "p"]).ok();
    let server = world.serve();
    let ask = |id: u32| {
        world.ask(&server.url, "requester", "p", "a.json", &format!("SELECT name FROM shop WHERE id = {id}")).ok()
    };
    assert_eq!(answers(&ask(1))[0].1, "Shop no. 1");
    assert_eq!(ask(2)["records"][0]["found"], false);
    table.rows.clear();
    assert_eq!(world.publish(&table.write(world.dir.path())).ok()["records"].as_u64(), Some(0));
    assert_eq!(ask(1)["records"][0]["found"], false);
    world.audit_owner().ok();
}

/// Every command, for machines and for people: JSON that parses, or text; nothing on the error
/// stream; exit code 0.
#[test]
fn every_command_speaks_to_machines_and_to_people() {
    let world = World::new();
    let shop = Table::shops(12).write(world.dir.path()).display().to_string();
    let p = |name: &str| world.path(name);
    let server = world.serve();
    let url = server.url.clone();
    let (owner, requester, auditor) = (p("owner"), p("requester"), p("auditor"));
    let (one, two) = (p("one.json"), p("two.json"));
    let sql = "SELECT name, fee >= 30 FROM shop WHERE id = 4";
    type Command = Vec<String>;
    let command = |args: &[&str]| -> Command { args.iter().map(|arg| (*arg).to_owned()).collect() };
    let new = |suffix: &str| {
        vec![
            command(&["init", "--data-dir", &p(&format!("o{suffix}")), "--name", "Ö wner"]),
            command(&["account", "new", "--home", &p(&format!("h{suffix}")), "--name", "someone"]),
            command(&["trust", "--home", &p(&format!("h{suffix}")), &world.fingerprint]),
            command(&["publish", "--data-dir", &owner, "--manifest", &shop]),
            command(&[
                "grant",
                "--data-dir",
                &owner,
                "--asset",
                "shop",
                "--to",
                &world.requester,
                "--disclose",
                "name",
                "--prove",
                "fee >= ?",
                "--purpose",
                "p",
            ]),
            command(&[
                "grant",
                "--data-dir",
                &owner,
                "--asset",
                "shop",
                "--to",
                &world.auditor,
                "--existence",
                "--purpose",
                "p",
                "--until",
                "2999-12-31T23:59:59Z",
                "--quota",
                "9",
            ]),
            command(&["catalogue", "--gateway", &url]),
            command(&["ask", "--gateway", &url, "--home", &requester, "--purpose", "p", "--out", &one, sql]),
            command(&[
                "ask",
                "--gateway",
                &url,
                "--home",
                &requester,
                "--purpose",
                "p",
                "--out",
                &two,
                "SELECT name FROM shop WHERE id = 99",
            ]),
            command(&["verify", "--home", &requester, &one]),
            command(&["verify", "--home", &auditor, "--gateway", &url, "--requester", &world.requester, &two]),
            command(&["trail", "--gateway", &url, "--home", &auditor]),
            command(&["trail", "--gateway", &url, "--home", &auditor, "--asset", "shop"]),
            command(&["audit", "--gateway", &url, "--home", &auditor]),
            command(&["audit", "--data-dir", &owner]),
            command(&["revoke", "--data-dir", &owner, "--asset", "shop", "--to", &world.auditor]),
        ]
    };
    for args in new("1") {
        let run = sealgate(&args);
        assert!(run.code == 0 && run.stderr.is_empty() && !run.json.is_string(), "{args:?}: {run:?}");
    }
    for args in new("2") {
        let run = sealgate_plain(&args);
        assert!(run.code == 0 && run.stderr.is_empty() && !run.stdout.trim().is_empty(), "{args:?}: {run:?}");
        assert!(serde_json::from_str::<Value>(&run.stdout).is_err(), "{args:?} printed JSON to people");
    }
    let ids = sealgate(&["catalogue", "--gateway", &url]).ok();
    let id = text(&ids[0]["asset"]["id"]);
    let by_id = sealgate(&["trail", "--gateway", &url, "--home", &auditor, "--asset", &id]).ok();
    assert_eq!(by_id.as_array().unwrap().len(), 4);
    let verified =
        world.ask(&url, "requester", "p", "one.json", &format!("SELECT name FROM \"{id}\" WHERE id = 4")).ok();
    assert_eq!(verified["asset"], Value::String(id));
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(p(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("one.json"), mode("owner/root.key"), mode("requester/account.key")), (0o600, 0o600, 0o600));
    // Failures: 1, one JSON object with the reason; usage: 2.
    let failed = world.ask(&url, "requester", "q", "x.json", sql);
    assert!(failed.stderr.is_empty(), "{failed:?}");
    failed.error();
    for usage in
        [vec!["nonsense"], vec!["ask"], vec!["audit"], vec![], vec!["verify", "--home", "x", "--requester", "sg1", "y"]]
    {
        assert_eq!(sealgate(&usage).code, 2, "{usage:?}");
    }
    for help in [vec!["--help"], vec!["--version"], vec!["ask", "--help"]] {
        assert_eq!(sealgate_plain(&help).code, 0, "{help:?}");
    }
}
