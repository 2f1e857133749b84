//! What people get wrong: each mistake ends with exit code 1 (2 for usage) and one clear line, and
//! the ledger is as it was.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::path::Path;

use sealgate_tests::{
    Table, World, answers, copy_folder, files_under, manifest, sealgate, sealgate_plain, shared_data, text,
};
use serde_json::Value;

/// Runs a command that must fail: for people one line on the error stream and nothing else, for
/// machines one JSON object with the same line.
fn refused(args: &[&str], expected: &[&str]) -> String {
    let plain = sealgate_plain(args);
    assert_eq!(plain.code, 1, "{args:?}: {plain:?}");
    assert_eq!(plain.stdout, "", "{args:?}");
    let line =
        plain.stderr.strip_prefix("error: ").unwrap_or_else(|| panic!("{args:?}: {plain:?}")).trim_end().to_owned();
    assert_eq!(plain.stderr.lines().count(), 1, "{args:?}: {plain:?}");
    assert!(line.len() < 2000, "{args:?}: a line of {} characters", line.len());
    for part in expected {
        assert!(line.contains(part), "{args:?}: '{line}' does not say '{part}'");
    }
    let run = sealgate(args);
    assert!(run.stderr.is_empty(), "{args:?}: {run:?}");
    run.error();
    line
}

/// A world with `shop`, granted to the requester.
fn world() -> World {
    let world = World::with(&Table::shops(20));
    world.grant("shop", &world.requester, &["--disclose", "name,fee", "--prove", "fee >= ?", "--purpose", "p"]).ok();
    world
}

/// Everything that must stay as it was when a command is refused: blocks and stored objects.
fn state(world: &World) -> (u64, Vec<u8>, usize) {
    let log = std::fs::read(world.path("owner/ledger/blocks.log")).unwrap();
    (world.height(), log, files_under(Path::new(&world.path("owner/store"))).len())
}

fn publish_refused(world: &World, manifest: &Path, expected: &[&str]) -> String {
    let before = state(world);
    let line = refused(
        &["publish", "--data-dir", &world.path("owner"), "--manifest", &manifest.display().to_string()],
        expected,
    );
    assert!(state(world) == before, "the ledger or the store changed: {line}");
    line
}

#[test]
fn manifests() {
    let world = world();
    let good = Table { name: "other".into(), ..Table::shops(5) };
    let path = good.write(world.dir.path());
    let file = path.display().to_string();
    for (from, to, expected) in [
        ("name = \"area\"", "name = \"zone\"", &["other.csv has no column 'zone'", "area"][..]),
        ("name = \"area\"", "name = \"name\"", &[&file, "line", "two columns are named 'name'"]),
        ("name = \"area\"", "name = \"NAME\"", &[&file, "line", "two columns are named 'NAME'"]),
        ("name = \"area\"\n", "name = \"area\"\nsource = \"name\"\n", &[&file, "line", "two columns come from 'name'"]),
        ("decimal(2)", "money", &[&file, "line", "column 'fee'", "unknown type 'money'"]),
        ("decimal(2)", "decimal(19)", &[&file, "line", "column 'fee'", "decimal(19)"]),
        ("decimal(2)", "Decimal(2)", &[&file, "column 'fee'"]),
        ("title =", "tilte =", &[&file, "tilte"]),
        ("title = \"Test table other\"\n", "", &[&file, "title"]),
        ("[source]", "[sauce]", &[&file, "sauce"]),
        ("[key]", "[key]\nunique = true", &[&file, "unique"]),
        ("columns = [\"id\"]", "columns = [\"ID\"]", &[&file, "line", "the key names 'ID'"]),
        ("columns = [\"id\"]", "columns = [\"number\"]", &[&file, "line", "the key names 'number'"]),
        ("columns = [\"id\"]", "columns = []", &[&file, "key"]),
        ("columns = [\"id\"]", "columns = [\"id\", \"id\"]", &[&file, "key"]),
        ("kind = \"csv\"", "kind = \"xlsx\"", &[&file, "xlsx", "csv"]),
        ("other.csv", "nowhere.csv", &["nowhere.csv", "No such file"]),
        ("other.csv", ".", &["directory"]),
        ("name = \"other\"", "name = \"an other\"", &[&file, "'an other' cannot name an asset"]),
        ("name = \"other\"", "name = \"\"", &[&file, "cannot name an asset"]),
        ("name = \"other\"", "name = 7", &[&file]),
        ("[asset]", "[asset", &[&file]),
        ("title = \"Test table other\"", "title = \"\"", &["title"]),
        ("title = \"Test table other\"", "title = \"two\\nlines\"", &["title"]),
        ("name = \"area\"\n", "name = \"area\"\nuse = [\"sell\"]\n", &[&file, "column 'area'", "'sell'"]),
        ("[[column]]\nname = \"id\"", "[[column]]\nnull = 3\nname = \"id\"", &[&file]),
    ] {
        let text = good.manifest();
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        publish_refused(&world, &path, expected);
    }
    std::fs::write(&path, b"[asset]\nname = \"\xff\xfe\"").unwrap();
    publish_refused(&world, &path, &[&file]);
    std::fs::write(&path, "").unwrap();
    publish_refused(&world, &path, &[&file]);
    publish_refused(&world, Path::new(&world.path("gone.toml")), &["gone.toml", "No such file"]);
    publish_refused(&world, world.dir.path(), &[&world.path("")[..world.path("").len() - 1]]);
    // After all that, the good one goes.
    world.publish(&good.write(world.dir.path())).ok();
}

#[test]
fn tables() {
    let world = world();
    let good = Table { name: "other".into(), ..Table::shops(9) };
    let path = good.write(world.dir.path());
    let csv = world.path("other.csv");
    let text = good.csv();
    let lines: Vec<&str> = text.lines().collect();
    let with = |line: usize, new: &str| {
        let mut lines = lines.clone();
        lines[line - 1] = new;
        lines.join("\n") + "\n"
    };
    for (content, expected) in [
        (with(6, "2,Twin,1,2024-01-01,x"), &["other.csv", "rows 2 and 5", "2", "unique"][..]),
        (
            with(5, "4,Shop,abc,2024-01-01,x"),
            &["other.csv", "row 4 (line 5)", "column 'fee'", "'abc' is not a decimal(2)"],
        ),
        (with(5, "4,Shop,1.005,2024-01-01,x"), &["row 4 (line 5)", "column 'fee'", "'1.005'"]),
        (with(5, "4,Shop,1e3,2024-01-01,x"), &["row 4 (line 5)", "column 'fee'"]),
        (with(5, "4,Shop,99999999999999999999,2024-01-01,x"), &["row 4 (line 5)", "column 'fee'"]),
        (with(3, "two,Shop,1,2024-01-01,x"), &["row 2 (line 3)", "column 'id'", "'two' is not an int"]),
        (with(3, "9223372036854775808,Shop,1,2024-01-01,x"), &["row 2 (line 3)", "column 'id'"]),
        (with(3, " 2,Shop,1,2024-01-01,x"), &["row 2 (line 3)", "column 'id'", "' 2'"]),
        (with(3, "2,Shop,1,2023-02-29,x"), &["row 2 (line 3)", "column 'opened'", "'2023-02-29' is not a date"]),
        (with(3, "2,Shop,1,01/02/2023,x"), &["row 2 (line 3)", "column 'opened'"]),
        (with(4, ",Shop,1,2024-01-01,x"), &["other.csv", "row 3 (line 4)", "column 'id'", "key"]),
        (with(4, "3,Shop,1,2024-01-01"), &["other.csv", "row 3 (line 4)", "4 cells", "5"]),
        (with(4, "3,Shop,1,2024-01-01,x,y"), &["row 3 (line 4)", "6 cells", "5"]),
        (with(4, "3,\"two\nlines\",1,2024-01-01,x\n4,Shop,zzz,2024-01-01,x"), &["row 4 (line 6)", "column 'fee'"]),
        (with(10, "9,\"Shop,1,2024-01-01,x"), &["other.csv", "row 9 (line 10)"]),
        (with(10, "9,Shop,1,2024-01-01,\"x"), &["other.csv", "row 9 (line 10)", "inside a quoted cell"]),
        (with(1, "id,name,fee,opened"), &["other.csv", "no column 'area'"]),
        (with(1, "id,name,fee,opened,area,area"), &["other.csv", "2 columns 'area'"]),
        (with(1, "id;name;fee;opened;area"), &["other.csv", "no column 'id'"]),
        (String::new(), &["other.csv", "empty"]),
    ] {
        std::fs::write(&csv, content).unwrap();
        publish_refused(&world, &path, expected);
    }
    let mut bytes = text.clone().into_bytes();
    let at = text.find("Shop no. 7").unwrap();
    bytes[at + 2] = 0xe9;
    std::fs::write(&csv, &bytes).unwrap();
    publish_refused(&world, &path, &["other.csv", "row 7 (line 8)", "column 'name'", "UTF-8"]);
    let mut bytes = text.clone().into_bytes();
    bytes[1] = 0xff;
    std::fs::write(&csv, &bytes).unwrap();
    publish_refused(&world, &path, &["other.csv", "header", "UTF-8"]);
    std::fs::write(&csv, format!("{text}\n10,{},1,2024-01-01,x\n", "x".repeat(70_000))).unwrap();
    publish_refused(&world, &path, &["row 10", "column 'name'", "70000"]);
    std::fs::remove_file(&csv).unwrap();
    publish_refused(&world, &path, &["other.csv", "No such file"]);
    // What is only unusual goes: a byte order mark, CRLF, empty lines, no line end at the end.
    let odd = format!("\u{feff}{}", text.trim_end().replace('\n', "\r\n"));
    std::fs::write(&csv, odd).unwrap();
    assert_eq!(world.publish(&path).ok()["records"].as_u64(), Some(9));
}

#[test]
fn a_real_table_in_another_encoding_is_refused_and_so_is_one_with_two_equal_keys() {
    let Some(csv) = shared_data("licences/vancouver_restaurant_licences.csv") else { return };
    let world = world();
    let copy = world.path("copy.csv");
    let text = std::fs::read_to_string(csv).unwrap();
    let line = text.lines().nth(1).unwrap();
    std::fs::write(&copy, format!("{}\n{line}\n", text.trim_end())).unwrap();
    let (owner, manifest) = (world.path("owner"), manifest("licences.toml").display().to_string());
    let before = state(&world);
    refused(
        &["publish", "--data-dir", &owner, "--manifest", &manifest, "--source", &copy],
        &["rows 1 and 3261", "4528701"],
    );
    std::fs::write(&copy, text.replacen(",Issued,", ",Issu\u{fffd}d,", 1)).unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    let at = bytes.windows(3).position(|window| window == "\u{fffd}".as_bytes()).unwrap();
    bytes.splice(at..at + 3, [0xe9]);
    std::fs::write(&copy, bytes).unwrap();
    refused(
        &["publish", "--data-dir", &owner, "--manifest", &manifest, "--source", &copy],
        &["copy.csv", "row 1 (line 2)", "column 'Status'", "UTF-8"],
    );
    assert!(state(&world) == before);
}

#[test]
fn tables_wider_than_the_circuits_and_changed_schemas() {
    let world = world();
    let wide = |columns: usize| Table {
        name: "wide".into(),
        key: vec!["c0".into()],
        columns: (0..columns).map(|i| (format!("c{i}"), "int".into())).collect(),
        rows: vec![(0..columns).map(|i| i.to_string()).collect()],
        budgets: vec![],
    };
    publish_refused(&world, &wide(32).write(world.dir.path()), &["wide.toml", "32", "31"]);
    publish_refused(&world, &wide(200).write(world.dir.path()), &["wide.toml", "200", "31"]);
    publish_refused(&world, &wide(0).write(world.dir.path()), &["wide.toml"]);
    let good = Table::shops(20);
    let mut narrower = good.clone();
    narrower.columns.pop();
    narrower.rows.iter_mut().for_each(|row| row.truncate(4));
    let mut retyped = good.clone();
    retyped.columns[1].1 = "text".into();
    retyped.columns[2].1 = "decimal(3)".into();
    let mut swapped = good.clone();
    swapped.columns.swap(1, 4);
    swapped.rows.iter_mut().for_each(|row| row.swap(1, 4));
    let rekeyed = Table { key: vec!["id".into(), "opened".into()], ..good.clone() };
    for changed in [narrower, retyped, swapped, rekeyed] {
        publish_refused(&world, &changed.write(world.dir.path()), &["'shop'", "schema"]);
    }
    world.publish(&good.write(world.dir.path())).ok();
}

#[test]
fn grants() {
    let world = world();
    let before = state(&world);
    let (owner, to) = (world.path("owner"), world.requester.clone());
    let grant = |asset: &str, more: &[&str], expected: &[&str]| {
        let mut args = vec!["grant", "--data-dir", &owner, "--asset", asset, "--to", &to, "--purpose", "p"];
        args.extend(more);
        refused(&args, expected);
    };
    grant("shop", &["--disclose", "name,nome"], &["'nome'", "id, name, fee"]);
    grant("shop", &["--prove", "nome >= 3"], &["nome >= 3", "'nome'"]);
    grant("shop", &["--prove", "fee >= 'much'"], &["fee >= 'much'"]);
    grant("shop", &["--prove", "fee >="], &["fee >="]);
    grant("shop", &["--prove", "name > 'a'"], &["'name'", "order"]);
    grant("shop", &["--prove", "fee = NULL"], &["NULL"]);
    grant("shop", &["--prove", "fee BETWEEN 1 AND ?"], &["fee"]);
    grant("shop", &["--prove", "fee >= 1.005"], &["1.005"]);
    grant("shop", &["--prove", "fee IN (SELECT 1)"], &["only ="]);
    grant("shop", &["--prove", ""], &["--prove"]);
    grant("shop", &[], &["allows nothing"]);
    grant("shop", &["--disclose", "name", "--until", "1960-01-01T00:00:00Z"], &["1970"]);
    grant("shops", &["--disclose", "name"], &["no asset 'shops'"]);
    grant("", &["--disclose", "name"], &["no asset"]);
    let long = "x".repeat(201);
    let purpose = |purpose: &str, expected: &[&str]| {
        refused(
            &[
                "grant",
                "--data-dir",
                &owner,
                "--asset",
                "shop",
                "--to",
                &to,
                "--disclose",
                "name",
                "--purpose",
                purpose,
            ],
            expected,
        );
    };
    purpose(&long, &["purpose", "200"]);
    purpose("two\nlines", &["purpose"]);
    let many: Vec<String> = (0..65).map(|i| format!("fee >= {i}")).collect();
    let many: Vec<&str> = many.iter().flat_map(|text| ["--prove", text]).collect();
    grant("shop", &many, &["64", "65"]);
    refused(
        &["revoke", "--data-dir", &owner, "--asset", "shop", "--to", &world.auditor],
        &[&world.auditor, "not on the list"],
    );
    refused(&["revoke", "--data-dir", &owner, "--asset", "shap", "--to", &to], &["no asset 'shap'"]);
    // What the manifest does not allow cannot be granted.
    let table = Table { name: "limited".into(), ..Table::shops(3) };
    let path = table.write(world.dir.path());
    let text = table.manifest().replace("name = \"fee\"\n", "name = \"fee\"\nuse = [\"prove\"]\n");
    std::fs::write(&path, text.replace("name = \"area\"\n", "name = \"area\"\nuse = []\n")).unwrap();
    assert!(state(&world) == before);
    world.publish(&path).ok();
    let before = state(&world);
    grant("limited", &["--disclose", "fee"], &["fee", "disclosed"]);
    grant("limited", &["--disclose", "area"], &["area", "disclosed"]);
    grant("limited", &["--prove", "area = 'x'"], &["area", "proven"]);
    // Usage: 2, and it says which argument.
    let usage = |args: &[&str], part: &str| {
        let plain = sealgate_plain(args);
        assert!(plain.code == 2 && plain.stdout.is_empty() && plain.stderr.contains(part), "{args:?}: {plain:?}");
    };
    let base = ["grant", "--data-dir", &owner, "--asset", "shop", "--purpose", "p", "--disclose", "name", "--to"];
    let with = |more: &[&str], part: &str| usage(&[&base[..], more].concat(), part);
    let mut typo = to.clone();
    typo.replace_range(10..11, if &to[10..11] == "q" { "p" } else { "q" });
    for wrong in ["", "sg1", "alice", &typo, &to.to_uppercase(), &to[..60], &world.fingerprint] {
        with(&[wrong], "--to");
    }
    with(&[&to, "--until", "tomorrow"], "--until");
    with(&[&to, "--until", "2026-13-01T00:00:00Z"], "--until");
    with(&[&to, "--quota", "-1"], "-1");
    with(&[&to, "--quota", "many"], "--quota");
    with(&[&to, "--quota", "18446744073709551616"], "--quota");
    assert!(state(&world) == before);
}

#[test]
fn questions() {
    let world = world();
    let server = world.serve();
    let height =
        || sealgate(&["audit", "--gateway", &server.url, "--home", &world.path("auditor")]).ok()["height"].as_u64();
    world.ask(&server.url, "requester", "p", "good.json", "SELECT name FROM shop WHERE id = 1").ok();
    let before = height();
    let (home, out) = (world.path("requester"), world.path("x.json"));
    let long = format!("SELECT name FROM shop WHERE id = {}1", " ".repeat(70_000));
    let deep = format!("SELECT name FROM shop WHERE id = {}1{}", "(".repeat(200), ")".repeat(200));
    for (sql, expected) in [
        ("", &["question"][..]),
        ("nonsense", &["not SQL"]),
        ("SELECT", &["not SQL"]),
        ("SELECT name FROM shop", &["whole key", "id"]),
        ("SELECT name FROM shop WHERE id = 'one'", &["id", "int"]),
        ("SELECT name FROM shop WHERE id = 1.5", &["id"]),
        ("SELECT name FROM shop WHERE id = 9223372036854775808", &["id"]),
        ("SELECT name FROM shop WHERE id = NULL", &["NULL"]),
        ("SELECT name FROM shop WHERE id = ?", &["--keys"]),
        ("SELECT name FROM shop WHERE id = 1 OR id = 2", &["id"]),
        ("SELECT name FROM shop WHERE id = 1 AND id = 2", &["id"]),
        ("SELECT name FROM shop WHERE id <> 1", &["id"]),
        ("SELECT name FROM shop WHERE id NOT IN (1)", &["id"]),
        ("SELECT name FROM shop WHERE name = 'x'", &["id"]),
        ("SELECT name FROM shop WHERE id = 1 AND name = 'x'", &["id"]),
        ("SELECT nome FROM shop WHERE id = 1", &["no column 'nome'"]),
        ("SELECT nome >= 1 FROM shop WHERE id = 1", &["no column 'nome'"]),
        ("SELECT name FROM shop WHERE nome = 1", &["nome"]),
        ("SELECT *, name FROM shop WHERE id = 1", &["* stands alone"]),
        ("SELECT * EXCEPT (name) FROM shop WHERE id = 1", &["* stands alone"]),
        ("SELECT name AS n FROM shop WHERE id = 1", &["alias"]),
        ("SELECT COUNT(*) FROM shop WHERE id = 1", &["COUNT"]),
        ("SELECT name FROM shop s WHERE id = 1", &["shop"]),
        ("SELECT name FROM shop, flat WHERE id = 1", &["one table"]),
        ("SELECT name FROM shop JOIN flat ON 1 = 1 WHERE id = 1", &["table"]),
        ("SELECT name FROM shop WHERE id = 1 ORDER BY id", &["SELECT"]),
        ("SELECT name FROM shop WHERE id = 1; SELECT name FROM shop WHERE id = 2", &["SELECT"]),
        (
            "SELECT fee > 1, fee > 2, fee > 3, fee > 4, fee > 5, fee > 6, fee > 7, fee > 8, fee > 9 FROM shop WHERE id = 1",
            &["9 terms", "8"],
        ),
        ("SELECT fee IN (SELECT 1) FROM shop WHERE id = 1", &["only ="]),
        ("SELECT fee IS TRUE FROM shop WHERE id = 1", &["only ="]),
        ("SELECT fee AND fee < 3 FROM shop WHERE id = 1", &["type bool"]),
        ("SELECT fee >= id FROM shop WHERE id = 1", &["two columns"]),
        ("SELECT fee + 1 FROM shop WHERE id = 1", &["fee + 1"]),
        ("SELECT fee >= 1.005 FROM shop WHERE id = 1", &["1.005"]),
        ("SELECT name < 'x' FROM shop WHERE id = 1", &["order"]),
        ("SELECT 1, name FROM shop WHERE id = 1", &["alone"]),
        ("DELETE FROM shop WHERE id = 1", &["SELECT"]),
        ("SELECT name FROM (SELECT * FROM shop) WHERE id = 1", &["table"]),
        ("SELECT name FROM shop WHERE id = 1 -- \n; DROP TABLE shop", &["DROP"]),
        ("SELECT name\nFROM shop\nWHERE\nid ==\n1 1", &["question"]),
        ("SELECT name FROM shap WHERE id = 1", &["no asset 'shap'", "catalogue"]),
        ("SELECT name FROM Shop WHERE id = 1", &["no asset 'Shop'"]),
        ("SELECT name FROM \"asset1qqqq\" WHERE id = 1", &["asset1qqqq"]),
        (&long, &["bytes", "65536"]),
        (&deep, &["question"]),
    ] {
        refused(&["ask", "--gateway", &server.url, "--home", &home, "--purpose", "p", "--out", &out, sql], expected);
    }
    let good = "SELECT name FROM shop WHERE id = 1";
    let ask = |home: &str, purpose: &str, out: &str, expected: &[&str]| {
        refused(&["ask", "--gateway", &server.url, "--home", home, "--purpose", purpose, "--out", out, good], expected);
    };
    ask(&home, &"x".repeat(201), &out, &["purpose", "200"]);
    ask(&home, "two\nlines", &out, &["purpose"]);
    ask(&world.path("nobody"), "p", &out, &["nobody", "account new"]);
    ask(&home, "p", &world.path(""), &["is a folder"]);
    refused(&["trail", "--gateway", &server.url, "--home", &home, "--asset", "shap"], &["no asset 'shap'"]);
    assert_eq!(height(), before);
    assert!(!Path::new(&out).exists() && !Path::new(&world.path("nobody")).exists());
}

/// An answer that cannot be kept must not be asked for: it would cost the grant's quota.
#[test]
fn a_question_whose_answer_cannot_be_written_is_not_asked() {
    let world = world();
    let server = world.serve();
    let home = world.path("requester");
    let before = world.trail(&server.url, "auditor").len();
    std::fs::write(world.path("a-file"), "x").unwrap();
    let out = world.path("a-file/x.json");
    let sql = "SELECT name FROM shop WHERE id = 1";
    refused(&["ask", "--gateway", &server.url, "--home", &home, "--purpose", "p", "--out", &out, sql], &["a-file"]);
    assert_eq!(world.trail(&server.url, "auditor").len(), before, "the question was asked and its answer lost");
}

#[test]
fn gateways() {
    let world = world();
    let home = world.path("requester");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{free}");
    for (url, expected) in [
        (nobody.as_str(), &[nobody.as_str(), "cannot be reached", "sealgate serve"][..]),
        ("http://no-such-host.invalid:80", &["no-such-host.invalid", "cannot be reached"]),
        ("http://127.0.0.1:99999", &["127.0.0.1:99999"]),
        ("http://", &["http://"]),
        ("127.0.0.1:8080", &["http://host:port"]),
        ("ftp://127.0.0.1", &["http://host:port"]),
        ("", &["http://host:port"]),
    ] {
        let out = world.path("x.json");
        refused(&["catalogue", "--gateway", url], expected);
        refused(&["audit", "--gateway", url, "--home", &home], expected);
        let sql = "SELECT name FROM shop WHERE id = 1";
        refused(&["ask", "--gateway", url, "--home", &home, "--purpose", "p", "--out", &out, sql], expected);
    }
    // An address that is none got no answer: the message must not say that it did.
    let line = refused(&["catalogue", "--gateway", "ftp://127.0.0.1"], &[]);
    assert!(!line.contains("gave an answer"), "{line}");
    // Something else listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n<html></html");
        }
    });
    refused(&["catalogue", "--gateway", &other], &[&other, "cannot be read"]);
    refused(&["audit", "--gateway", &other, "--home", &home], &[&other, "cannot be read"]);
}

#[test]
fn other_ledgers() {
    let (world, foreign) = (world(), world());
    let (server, foreign_server) = (world.serve(), foreign.serve());
    let sql = "SELECT name FROM shop WHERE id = 1";
    world.ask(&server.url, "requester", "p", "a.json", sql).ok();
    foreign.ask(&foreign_server.url, "requester", "p", "a.json", sql).ok();
    let (home, out) = (world.path("requester"), world.path("x.json"));
    let (mine, theirs) = (world.path("a.json"), foreign.path("a.json"));
    let distrust = [foreign.fingerprint.as_str(), "not trusted", "sealgate trust"];
    refused(
        &["ask", "--gateway", &foreign_server.url, "--home", &home, "--purpose", "p", "--out", &out, sql],
        &distrust,
    );
    refused(&["audit", "--gateway", &foreign_server.url, "--home", &home], &distrust);
    refused(&["trail", "--gateway", &foreign_server.url, "--home", &home], &distrust);
    refused(&["verify", "--home", &home, &theirs], &distrust);
    for wrong in ["", "chain1", "x", &world.requester, &world.fingerprint[..62], &world.fingerprint.to_uppercase()] {
        refused(&["trust", "--home", &home, wrong], &["fingerprint", "chain1"]);
    }
    // A home that trusts nothing.
    let naked = world.path("naked");
    sealgate(&["account", "new", "--home", &naked, "--name", "n"]).ok();
    refused(&["audit", "--gateway", &server.url, "--home", &naked], &["not trusted", &world.fingerprint]);
    refused(&["verify", "--home", &naked, "--requester", &world.requester, &mine], &["not trusted"]);
    // Trusted both, the parts of one in the other still do not fit.
    sealgate(&["trust", "--home", &home, &foreign.fingerprint]).ok();
    let parts = |path: &str| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    let (mine_json, theirs_json) = (std::fs::read_to_string(&mine).unwrap(), parts(&theirs));
    for field in ["checkpoint", "nonce", "evidence", "verifying_key"] {
        let own = serde_json::to_string(&parts(&mine)[field]).unwrap();
        let other = serde_json::to_string(&theirs_json[field]).unwrap();
        assert!(mine_json.contains(&own));
        std::fs::write(&out, mine_json.replace(&own, &other)).unwrap();
        refused(&["verify", "--home", &home, &out], &["x.json", "does not verify"]);
    }
    let error = world.verify("requester", "a.json").ok();
    assert_eq!(answers(&error)[0].1, "Shop no. 1");
    // Somebody else's account at the right ledger, and the right account's other answer.
    let error = sealgate(&["verify", "--home", &home, "--requester", &foreign.requester, &mine]).error();
    assert!(error.contains(&world.requester), "{error}");
}

#[test]
fn a_ledger_that_was_rolled_back_or_forked_is_refused() {
    let world = world();
    let twin = world.twin();
    let server = world.serve();
    let sql = |id: u32| format!("SELECT name FROM shop WHERE id = {id}");
    world.ask(&server.url, "requester", "p", "a.json", &sql(1)).ok();
    world.audit_gateway(&server.url, "auditor").ok();
    let twin_server = twin.serve();
    let (home, auditor, out) = (world.path("requester"), world.path("auditor"), world.path("x.json"));
    // The twin has not seen the question: an old copy.
    refused(&["audit", "--gateway", &twin_server.url, "--home", &auditor], &["rolled back"]);
    refused(
        &["ask", "--gateway", &twin_server.url, "--home", &home, "--purpose", "p", "--out", &out, &sql(2)],
        &["rolled back"],
    );
    // It grows as long, and then longer, with another content.
    for id in 2..5 {
        twin.ask(&twin_server.url, "requester", "p", "a.json", &sql(id)).ok();
        refused(&["audit", "--gateway", &twin_server.url, "--home", &auditor], &["contradicts", "auditor"]);
        refused(&["trail", "--gateway", &twin_server.url, "--home", &auditor], &["contradicts"]);
        refused(
            &["ask", "--gateway", &twin_server.url, "--home", &home, "--purpose", "p", "--out", &out, &sql(2)],
            &["contradicts"],
        );
        refused(
            &[
                "verify",
                "--home",
                &auditor,
                "--gateway",
                &twin_server.url,
                "--requester",
                &world.requester,
                &twin.path("a.json"),
            ],
            &["does not verify"],
        );
    }
    world.audit_gateway(&server.url, "auditor").ok();
}

#[test]
fn answer_files_in_another_spelling() {
    let world = world();
    let server = world.serve();
    world.ask(&server.url, "requester", "p", "a.json", "SELECT name, fee >= 20 FROM shop WHERE id = 3").ok();
    let text = std::fs::read_to_string(world.path("a.json")).unwrap();
    let home = world.path("requester");
    let path = world.path("x.json");
    let check = |content: &[u8], expected: &[&str]| {
        std::fs::write(&path, content).unwrap();
        refused(&["verify", "--home", &home, &path], &[&["x.json"], expected].concat());
    };
    let value: Value = serde_json::from_str(&text).unwrap();
    let other = "not a canonical answer file";
    check(&serde_json::to_vec(&value).unwrap(), &[other]);
    check(&serde_json::to_vec_pretty(&value).unwrap(), &[other]);
    check(format!("{text}\n").as_bytes(), &[other]);
    check(text.trim_end().as_bytes(), &[other]);
    check(format!(" {text}").as_bytes(), &[other]);
    check(format!("\u{feff}{text}").as_bytes(), &[other]);
    check(text.replace('\n', "\r\n").as_bytes(), &[other]);
    check(text.replace("  \"", "\t\"").as_bytes(), &[other]);
    check(text.replacen("\"found\": true,\n", "", 1).as_bytes(), &[other, "found"]);
    check(text.replacen("  \"found\": true,\n", "  \"found\": true,\n  \"found\": true,\n", 1).as_bytes(), &[other]);
    check(
        text.replacen("  \"found\": true,\n", "  \"found\": true,\n  \"extra\": 1,\n", 1).as_bytes(),
        &[other, "extra"],
    );
    check(text.replacen("SELECT", "S\\u0045LECT", 1).as_bytes(), &[other]);
    check(text.replacen("sealgate-answer/2", "sealgate-answer/3", 1).as_bytes(), &[other, "sealgate-answer/3"]);
    check(text.replacen("\"found\": true", "\"found\": false", 1).as_bytes(), &["does not verify"]);
    check(text.replacen("Shop no. 3", "Shop no. 4", 1).as_bytes(), &["does not verify"]);
    check(text.replacen("WHERE id = 3", "WHERE id = 4", 1).as_bytes(), &["does not verify"]);
    check(text.replacen("fee >= 20", "fee >= 21", 1).as_bytes(), &["does not verify"]);
    for (name, content) in [("", ""), ("", "{}"), ("", "[]"), ("", "null"), ("", "sealgate"), ("", "\0\0\0\0")] {
        check(content.as_bytes(), &[other, name]);
    }
    check(&[b'['; 200_000], &[other]);
    check(&vec![b' '; 33 << 20], &["34603008 bytes"]);
    check(&text.as_bytes()[..text.len() / 2], &[other]);
    refused(&["verify", "--home", &home, &world.path("gone.json")], &["gone.json", "No such file"]);
    refused(&["verify", "--home", &home, &home], &[&home]);
    world.verify("requester", "a.json").ok();
}

/// The question in the file must be the one that was answered, the table's name included: an
/// auditor reads nothing else of it.
#[test]
fn an_answer_file_that_names_another_table_is_refused() {
    let world = world();
    world.publish(&Table { name: "snop".into(), ..Table::shops(4) }.write(world.dir.path())).ok();
    let server = world.serve();
    world.ask(&server.url, "requester", "p", "a.json", "SELECT name FROM shop WHERE id = 3").ok();
    world.audit_gateway(&server.url, "auditor").ok();
    let text = std::fs::read_to_string(world.path("a.json")).unwrap();
    let (auditor, path) = (world.path("auditor"), world.path("x.json"));
    for table in ["snop", "nothing", "\\\"another table\\\""] {
        std::fs::write(&path, text.replacen("FROM shop", &format!("FROM {table}"), 1)).unwrap();
        refused(
            &["verify", "--home", &auditor, "--requester", &world.requester, &path],
            &["x.json", "does not verify"],
        );
    }
}

#[test]
fn folders() {
    let world = world();
    let before = state(&world);
    let (owner, requester, nowhere) = (world.path("owner"), world.path("requester"), world.path("nowhere"));
    let shop = world.path("shop.toml");
    refused(&["init", "--data-dir", &owner, "--name", "Again"], &[&owner, "choose another"]);
    refused(&["init", "--data-dir", &requester, "--name", "Again"], &[&requester, "choose another"]);
    refused(&["account", "new", "--home", &requester, "--name", "again"], &["requester/account.key", "already"]);
    refused(&["account", "new", "--home", &owner, "--name", "again"], &["owner/account.key", "already"]);
    for name in ["", &"x".repeat(101), "two\nlines", "\u{1b}[31mred"] {
        refused(&["init", "--data-dir", &nowhere, "--name", name], &["name"]);
        refused(&["account", "new", "--home", &nowhere, "--name", name], &["name"]);
        assert!(!Path::new(&nowhere).exists(), "a refused name leaves no folder");
    }
    for folder in [&nowhere, &requester, &shop] {
        let none = [folder.as_str(), "no data folder of an owner", "sealgate init"];
        refused(&["serve", "--data-dir", folder, "--listen", "127.0.0.1:0"], &none);
        refused(&["publish", "--data-dir", folder, "--manifest", &shop], &none);
        refused(&["audit", "--data-dir", folder], &none);
        refused(&["grant", "--data-dir", folder, "--asset", "shop", "--to", &world.requester, "--purpose", "p"], &none);
        refused(&["revoke", "--data-dir", folder, "--asset", "shop", "--to", &world.requester], &none);
    }
    assert!(!Path::new(&nowhere).exists(), "reading makes no folder");
    let file = world.path("a-file");
    std::fs::write(&file, "x").unwrap();
    refused(&["init", "--data-dir", &format!("{file}/o"), "--name", "n"], &["a-file"]);
    refused(&["account", "new", "--home", &format!("{file}/h"), "--name", "n"], &["a-file"]);
    refused(&["trust", "--home", &file, &world.fingerprint], &["a-file"]);
    assert!(state(&world) == before);
}

#[test]
fn serving_twice_and_where_somebody_listens() {
    let world = world();
    let before = state(&world);
    let owner = world.path("owner");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&["serve", "--data-dir", &owner, "--listen", &address], &[&address, "in use", "--listen"]);
    for wrong in ["", "nowhere", "127.0.0.1", "127.0.0.1:99999", "300.1.1.1:80", "http://127.0.0.1:80"] {
        refused(&["serve", "--data-dir", &owner, "--listen", wrong], &["cannot listen on", wrong]);
    }
    assert!(state(&world) == before);
    let server = world.serve();
    refused(&["serve", "--data-dir", &owner, "--listen", "127.0.0.1:0"], &["in use by another process"]);
    world.ask(&server.url, "requester", "p", "a.json", "SELECT name FROM shop WHERE id = 1").ok();
    // The refused one has not taken the owner's commands away from the running one.
    world.grant("shop", &world.auditor, &["--existence", "--purpose", "p"]).ok();
    world.audit_owner().ok();
    drop(server);
    // A copy of the folder, taken while nothing runs, serves as well.
    copy_folder(Path::new(&owner), Path::new(&world.path("copy")));
    let server = sealgate_tests::Server::start(&world.path("copy"));
    world.ask(&server.url, "requester", "p", "a.json", "SELECT name FROM shop WHERE id = 1").ok();
}

/// A crash leaves the notice of serving behind; the owner's commands still work.
#[test]
fn a_stale_notice_of_serving_misleads_nobody() {
    let world = world();
    let server = world.serve();
    world.ask(&server.url, "requester", "p", "a.json", "SELECT name FROM shop WHERE id = 1").ok();
    server.kill();
    assert!(Path::new(&world.path("owner/serving.json")).exists());
    world.grant("shop", &world.auditor, &["--existence", "--purpose", "p"]).ok();
    world.audit_owner().ok();
    let server = world.serve();
    world.ask(&server.url, "auditor", "p", "b.json", "SELECT 1 FROM shop WHERE id = 1").ok();
    assert_eq!(text(&world.trail(&server.url, "auditor")[0]["name"]), "requester");
}
