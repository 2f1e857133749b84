//! Whole columns, fetched by the real command from a real gateway: equal to the table, checked
//! against the ledger, resumed after `kill -9`, and nothing else opened.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use sealgate_circuits::value::ColumnType;
use sealgate_gateway::delivery::{SecretDelivery, delivery_purpose};
use sealgate_gateway::messages::AskResponse;
use sealgate_gateway::{account_file, envelope, owner};
use sealgate_ledger::ids::{AssetId, TxHash};
use sealgate_ods::table::columns::open_segment;
use sealgate_ods::{CipherSuite, HashAlgorithm, SegmentKey};
use sealgate_tests::chance::{Chance, count};
use sealgate_tests::{Run, Table, World, binary, files_under, parse_csv, sealgate, sealgate_plain, text};
use serde_json::{Value, json};

#[path = "fetch/proxy.rs"]
mod proxy;

use proxy::Proxy;

const PURPOSE: &str = "land register";

/// `plots`: every type, nulls, and texts that CSV must quote.
fn plots(rows: usize, edition: &str) -> Table {
    let texts = ["plain", "a, b", "say \"hi\"", "two\nlines", "=1+1", "Straße 5", " ends with a space "];
    let empty_or = |empty: bool, text: String| if empty { String::new() } else { text };
    let row = |id: usize| {
        vec![
            (id * 3).to_string(),
            empty_or(id.is_multiple_of(11), format!("{} {edition}", texts[id % texts.len()])),
            empty_or(
                id.is_multiple_of(7),
                format!("{}{}.{:02}", if id.is_multiple_of(2) { "-" } else { "" }, id, id % 100),
            ),
            empty_or(id.is_multiple_of(13), format!("19{:02}-0{}-1{}", id % 100, 1 + id % 9, id % 10)),
            empty_or(
                id.is_multiple_of(17),
                format!("2024-03-0{}T10:00:00.{:06}Z", 1 + id % 9, (id * 7919) % 1_000_000),
            ),
            empty_or(id.is_multiple_of(5), id.is_multiple_of(3).to_string()),
        ]
    };
    let columns = [
        ("id", "int"),
        ("owner", "text"),
        ("area", "decimal(2)"),
        ("since", "date"),
        ("seen", "timestamp"),
        ("built", "bool"),
    ];
    Table::new("plots", &["id"], &columns, (1..=rows).map(row).collect())
}

fn fetch_args(world: &World, url: &str, home: &str, columns: &str, out: &str) -> Vec<String> {
    let args = ["fetch", "--gateway", url, "--home", &world.path(home), "--asset", "plots", "--columns", columns];
    let rest = ["--purpose", PURPOSE, "--out", &world.path(out)];
    args.iter().chain(&rest).map(|arg| (*arg).to_owned()).collect()
}

fn fetch(world: &World, url: &str, home: &str, columns: &str, out: &str) -> Run {
    sealgate(&fetch_args(world, url, home, columns, out))
}

fn world(table: &Table, whole: &str) -> World {
    let world = World::with(table);
    world.grant("plots", &world.requester, &["--whole", whole, "--purpose", PURPOSE]).ok();
    world
}

/// These columns of a table's rows, as people would read them: times in their one spelling.
fn cells(table: &Table, columns: &[usize]) -> Vec<Vec<String>> {
    let spelled = |column: usize, cell: &str| {
        let kind: ColumnType = table.columns[column].1.parse().unwrap();
        match cell {
            "" => String::new(),
            cell => sealgate_circuits::value::Value::parse(cell, kind).unwrap().display(kind),
        }
    };
    let mut rows: Vec<Vec<String>> =
        table.rows.iter().map(|row| columns.iter().map(|column| spelled(*column, &row[*column])).collect()).collect();
    rows.sort();
    rows
}

fn csv_rows(world: &World, out: &str, header: &[&str]) -> Vec<Vec<String>> {
    let mut rows = parse_csv(&std::fs::read_to_string(world.path(out)).unwrap());
    assert_eq!(rows.remove(0), header);
    rows.sort();
    rows
}

fn parquet_rows(world: &World, out: &str) -> Vec<Vec<String>> {
    let reader = SerializedFileReader::new(std::fs::File::open(world.path(out)).unwrap()).unwrap();
    let cell = |field: &Field| match field {
        Field::Null => String::new(),
        Field::TimestampMicros(us) => sealgate_circuits::value::Value::Timestamp(*us).display(ColumnType::Timestamp),
        Field::Date(days) => sealgate_circuits::value::Value::Date(i64::from(*days)).display(ColumnType::Date),
        Field::Str(text) => text.clone(),
        Field::Long(v) => v.to_string(),
        Field::Bool(v) => v.to_string(),
        Field::Decimal(v) => {
            let bytes = v.data();
            let unscaled = bytes.iter().fold(if bytes[0] > 127 { -1i128 } else { 0 }, |n, b| (n << 8) | i128::from(*b));
            sealgate_circuits::value::Value::Decimal(i64::try_from(unscaled).unwrap()).display(ColumnType::Decimal(2))
        }
        other => panic!("{other:?}"),
    };
    let row = |row: parquet::record::Row| row.get_column_iter().map(|(_, field)| cell(field)).collect();
    let mut rows: Vec<Vec<String>> = reader.get_row_iter(None).unwrap().map(|one| row(one.unwrap())).collect();
    rows.sort();
    rows
}

fn stopped(args: &[String], after: Duration) {
    let mut child = Command::new(binary()).arg("--json").args(args).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Two segments a column, in both formats; then killed and resumed, over a new version, and revoked.
#[test]
fn columns_equal_the_table_and_a_killed_fetch_goes_on() {
    let table = plots(16_500, "v1");
    let world = world(&table, "id,owner,area,since,seen,built");
    let server = world.serve();
    let fetched = fetch(&world, &server.url, "requester", "owner, id,seen", "out.csv").ok();
    assert_eq!((&fetched["rows"], &fetched["version"]), (&json!(16_500), &json!(1)));
    assert_eq!(csv_rows(&world, "out.csv", &["owner", "id", "seen"]), cells(&table, &[1, 0, 4]));
    let all = "id,owner,area,since,seen,built";
    fetch(&world, &server.url, "requester", all, "out.parquet").ok();
    assert_eq!(parquet_rows(&world, "out.parquet"), cells(&table, &[0, 1, 2, 3, 4, 5]));
    assert!(!Path::new(&world.path("out.csv.part")).exists() && !Path::new(&world.path("out.parquet.part")).exists());

    // Killed when the third object is on its way.
    let given = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = given.clone();
    let slow = Proxy::start(&server.url, move |path, _| {
        if path.contains("/segments/") && counted.fetch_add(1, Ordering::SeqCst) >= 2 {
            std::thread::sleep(Duration::from_secs(60));
        }
    });
    let args = |url: &str| fetch_args(&world, url, "requester", "id,owner", "resumed.csv");
    let mut child = Command::new(binary()).arg("--json").args(args(&slow.url)).stdout(Stdio::null()).spawn().unwrap();
    let spooled = || std::fs::metadata(world.path("resumed.csv.part/column-0")).map_or(0, |meta| meta.len());
    let begun = std::time::Instant::now();
    while spooled() == 0 || given.load(Ordering::SeqCst) < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing came");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!Path::new(&world.path("resumed.csv")).exists());
    // A version comes out in between; what is gone on with is the version of the request.
    world.publish(&plots(16_500, "v2").write(world.dir.path())).ok();
    let mut chance = Chance::from_seed(11);
    let late = Proxy::start(&server.url, |path, _| {
        if path.contains("/segments/") {
            std::thread::sleep(Duration::from_millis(400));
        }
    });
    for _ in 0..4 {
        stopped(&args(&late.url), Duration::from_millis(chance.below(400) as u64));
    }
    let counting = Proxy::start(&server.url, |_, _| ());
    let resumed = sealgate(&args(&counting.url)).ok();
    assert_eq!(resumed["version"], 1);
    assert_eq!(csv_rows(&world, "resumed.csv", &["id", "owner"]), cells(&table, &[0, 1]));
    assert!(counting.count("/segments/") < 4, "{} objects were fetched again", counting.count("/segments/"));
    // Asked anew, it is the new one.
    let again = sealgate(&args(&server.url)).ok();
    assert_eq!(again["version"], 2);
    assert_eq!(csv_rows(&world, "resumed.csv", &["id", "owner"]), cells(&plots(16_500, "v2"), &[0, 1]));

    // Each was one request, whatever was killed; the ledger holds.
    let trail = sealgate(&["trail", "--gateway", &server.url, "--home", &world.path("requester")]).ok();
    let lines = trail.as_array().unwrap();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines.iter().all(|line| line["outcome"] == "delivered" && line["kind"] == "columns"));
    assert_eq!(lines[2]["shape"], "all of id, owner");
    let bytes = lines[0]["status"]["delivered"]["bytes"].as_u64().unwrap();
    assert!(bytes.is_power_of_two() && bytes >= fetched["bytes"].as_u64().unwrap());
    world.audit_gateway(&server.url, "auditor").ok();

    // Killed at any moment: the whole file or none.
    let now = cells(&plots(16_500, "v2"), &[3]);
    for _ in 0..count("SEALGATE_KILLS", 8) {
        let args = fetch_args(&world, &server.url, "requester", "since", "any.csv");
        stopped(&args, Duration::from_millis(chance.below(700) as u64));
        if Path::new(&world.path("any.csv")).exists() {
            assert_eq!(csv_rows(&world, "any.csv", &["since"]), now);
            std::fs::remove_file(world.path("any.csv")).unwrap();
        }
    }
    fetch(&world, &server.url, "requester", "since", "any.csv").ok();
    assert_eq!(csv_rows(&world, "any.csv", &["since"]), now);
}

#[test]
fn what_was_not_granted_is_not_given() {
    let world = world(&plots(300, "v1"), "owner,area");
    let server = world.serve();
    let denied = fetch(&world, &server.url, "requester", "owner,since", "no.csv").error();
    assert!(denied.contains("does not let you fetch all of 'since'"), "{denied}");
    assert!(!Path::new(&world.path("no.csv")).exists());
    let unknown = fetch(&world, &server.url, "requester", "owner,nothing", "no.csv").error();
    assert!(unknown.contains("no column 'nothing'"), "{unknown}");
    let neither = fetch(&world, &server.url, "requester", "owner", "no.txt").error();
    assert!(neither.contains("--format"), "{neither}");
    // The quota counts fetches.
    world.grant("plots", &world.requester, &["--whole", "owner", "--quota", "1", "--purpose", PURPOSE]).ok();
    fetch(&world, &server.url, "requester", "owner", "one.csv").ok();
    assert_eq!(world.used(&server.url, "plots", &world.requester), 1);
    let used = fetch(&world, &server.url, "requester", "owner", "two.csv").error();
    assert!(used.contains("quota is used up"), "{used}");
    // The trail, the meter and a receipt know what it was.
    let home = world.path("requester");
    let lines = |filter: &[&str]| {
        let args = ["trail", "--gateway", &server.url, "--home", &home];
        sealgate(&[&args[..], filter].concat()).ok().as_array().unwrap().clone()
    };
    assert_eq!(lines(&["--outcome", "denied:whole"]).len(), 1);
    assert_eq!(lines(&["--outcome", "denied:quota_used"]).len(), 1);
    let [line] = &lines(&["--outcome", "delivered"])[..] else { panic!("{:?}", lines(&[])) };
    assert_eq!((&line["shape"], &line["kind"], &line["keys"]), (&json!("all of owner"), &json!("columns"), &json!(0)));
    let meter = sealgate(&["meter", "--gateway", &server.url, "--home", &home]).ok();
    let total = &meter["total"];
    assert_eq!((&total["delivered"], &total["denied"], &total["keys_asked"]), (&json!(1), &json!(2), &json!(0)));
    assert_eq!(total["bytes"], line["status"]["delivered"]["bytes"]);
    let people = sealgate_plain(&["trail", "--gateway", &server.url, "--home", &home]).stdout;
    assert!(people.contains("asked    all of owner FROM plots for 'land register'"), "{people}");
    assert!(people.contains("delivered from version 1 in block"), "{people}");
    let (out, hash) = (world.path("receipt.json"), text(&line["ended"]["transaction"]));
    sealgate(&["receipt", &hash, "--gateway", &server.url, "--home", &home, "--out", &out]).ok();
    let shown = sealgate_plain(&["verify-receipt", "--home", &home, &out]).stdout;
    assert!(shown.contains("delivered what the request"), "{shown}");
    // A question is another right.
    let question =
        world.ask(&server.url, "requester", PURPOSE, "a.json", "SELECT owner FROM plots WHERE id = 3").error();
    assert!(question.contains("does not let you see 'owner'"), "{question}");
}

/// What a requester was given, opened with its own keys.
fn delivered(world: &World, url: &str, request: &TxHash) -> SecretDelivery {
    let asked = std::fs::read(world.path(&format!("requester/asked/{request}.json"))).unwrap();
    let asked: Value = serde_json::from_slice(&asked).unwrap();
    let body = json!({ "transaction": asked["transaction"], "seen": 0 });
    let (status, body) = sealgate_tests::http(url, "POST /v1/deliveries HTTP/1.1", &serde_json::to_vec(&body).unwrap());
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let response: AskResponse = serde_json::from_slice(&body).unwrap();
    let account = account_file::load(world.path("requester").as_ref()).unwrap();
    let sealed = BASE64.decode(response.sealed.unwrap()).unwrap();
    let opened = envelope::open(&account, delivery_purpose(request), &sealed).unwrap();
    sealgate_ledger::codec::decode("delivery", &opened).unwrap()
}

#[tokio::test]
async fn what_was_delivered_opens_nothing_else_and_ends_with_the_grant() {
    let world = world(&plots(300, "v1"), "owner,area");
    let server = world.serve();
    let fetched = fetch(&world, &server.url, "requester", "owner", "out.csv").ok();
    let request: TxHash = text(&fetched["request"]).parse().unwrap();
    let delivery = delivered(&world, &server.url, &request);
    assert_eq!(delivery.columns.len(), 1);
    let (one, token) = (&delivery.columns[0], delivery.token.text());

    let http = reqwest::Client::new();
    let call = |column: u8, position: usize, range: Option<&str>, token: Option<&str>| {
        let url = format!("{}/v1/deliveries/{request}/columns/{column}/segments/{position}", server.url);
        let call = range.into_iter().fold(http.get(url), |call, range| call.header("range", range));
        token.into_iter().fold(call, |call, token| call.bearer_auth(token)).send()
    };
    let all = format!("bytes=0-{}", one.segments[0].bytes - 1);
    let given = call(1, 0, Some(&all), Some(&token)).await.unwrap();
    assert_eq!(given.status(), 206);
    let object = given.bytes().await.unwrap();
    // No token, another's, another column, another segment, another request: nothing there.
    let other = "0".repeat(64);
    for (column, position, token) in [
        (1, 0, None),
        (1, 0, Some(other.as_str())),
        (2, 0, Some(&*token)),
        (0, 0, Some(&*token)),
        (1, 1, Some(&*token)),
    ] {
        assert_eq!(call(column, position, Some(&all), token).await.unwrap().status(), 404, "{column} {position}");
    }
    let beyond = format!("bytes=1-{}", one.segments[0].bytes);
    for range in [None, Some("bytes=5-4"), Some("bytes=0-"), Some(beyond.as_str())] {
        assert_eq!(call(1, 0, range, Some(&token)).await.unwrap().status(), 400, "{range:?}");
    }

    // Whoever holds all of the owner's objects opens this column with these keys and no other.
    let asset: AssetId = text(&fetched["asset"]).parse().unwrap();
    let label = owner::label(&asset).unwrap();
    let open = |column: u8, kind, object: &[u8], segment: &_| {
        let key = SegmentKey::from_bytes(one.keys[0].0);
        open_segment(&label, CipherSuite::Aes256Gcm, HashAlgorithm::Blake3, column, kind, segment, &key, object)
    };
    assert_eq!(open(1, ColumnType::Text, &object, &one.segments[0]).unwrap().len(), 300);
    let mut others = 0;
    for file in files_under(world.path("owner/store").as_ref()) {
        let bytes = std::fs::read(&file).unwrap();
        if bytes == object {
            continue;
        }
        others += 1;
        let mut segment = one.segments[0].clone();
        (segment.bytes, segment.digest) = (bytes.len() as u64, HashAlgorithm::Blake3.digest(&bytes));
        for column in 0..6 {
            assert!(open(column, ColumnType::Text, &bytes, &segment).is_err(), "{} opens", file.display());
        }
    }
    assert!(others >= 5, "{others}");

    // Revoked: nothing more is released, neither the delivery nor ciphertext.
    world.revoke("plots", &world.requester).ok();
    assert_eq!(call(1, 0, Some(&all), Some(&token)).await.unwrap().status(), 409);
    assert_eq!(call(1, 0, Some(&all), Some(&other)).await.unwrap().status(), 404);
    let denied = fetch(&world, &server.url, "requester", "owner", "again.csv").error();
    assert!(denied.contains("granted the sender nothing"), "{denied}");
}

#[test]
fn a_fetch_of_a_version_that_is_let_go_of_begins_anew() {
    let table = plots(300, "v1");
    let world = world(&table, "owner,area");
    let server = world.serve();
    stopped_before_ciphertext(&world, &server.url);
    // With a new key of the asset, what the former one sealed goes at once.
    sealgate(&["keys", "rotate", "--data-dir", &world.path("owner"), "--asset", "plots"]).ok();
    let gone = fetch(&world, &server.url, "requester", "owner", "out.csv").error();
    assert!(gone.contains("version 1 of 'plots' has been let go of"), "{gone}");
    assert_eq!(fetch(&world, &server.url, "requester", "owner", "out.csv").ok()["version"], 2);
    assert_eq!(csv_rows(&world, "out.csv", &["owner"]), cells(&table, &[1]));
}

/// A fetch that is killed when it has its delivery and no ciphertext yet.
fn stopped_before_ciphertext(world: &World, url: &str) {
    let keep = Proxy::start(url, |path, _| {
        if path.contains("/segments/") {
            std::thread::sleep(Duration::from_secs(60));
        }
    });
    let args = fetch_args(world, &keep.url, "requester", "owner", "out.csv");
    let mut child = Command::new(binary()).arg("--json").args(args).stdout(Stdio::null()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while keep.count("/segments/") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing came");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_fetch_that_is_revoked_on_the_way_ends() {
    let world = world(&plots(300, "v1"), "owner,area");
    let server = world.serve();
    stopped_before_ciphertext(&world, &server.url);
    world.revoke("plots", &world.requester).ok();
    let gone = fetch(&world, &server.url, "requester", "owner", "out.csv").error();
    assert!(gone.contains("nothing is released any more"), "{gone}");
    assert!(!Path::new(&world.path("out.csv")).exists());
}

#[test]
fn a_closed_account_is_given_nothing_of_what_it_was_granted() {
    let world = world(&plots(300, "v1"), "owner,area");
    let server = world.serve();
    // While it is open, what was stopped goes on.
    stopped_before_ciphertext(&world, &server.url);
    fetch(&world, &server.url, "requester", "owner", "out.csv").ok();
    std::fs::remove_file(world.path("out.csv")).unwrap();
    stopped_before_ciphertext(&world, &server.url);
    sealgate(&["account", "close", "--home", &world.path("requester"), "--gateway", &server.url]).ok();
    let gone = fetch(&world, &server.url, "requester", "owner", "out.csv").error();
    assert!(gone.contains("closed"), "{gone}");
    assert!(!Path::new(&world.path("out.csv")).exists());
}

#[test]
fn a_gateway_that_tampers_is_refused() {
    let world = world(&plots(300, "v1"), "owner,area");
    let server = world.serve();
    fn json(body: &mut Vec<u8>, change: impl Fn(&mut Value)) {
        let mut value: Value = serde_json::from_slice(body).unwrap();
        change(&mut value);
        *body = serde_json::to_vec(&value).unwrap();
    }
    fn flip(value: &mut Value) {
        let mut bytes = BASE64.decode(value.as_str().unwrap()).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        *value = BASE64.encode(bytes).into();
    }
    type Lie = fn(&str, &mut Vec<u8>);
    let lies: [(&str, Lie, &str); 8] = [
        (
            "a bit of the ciphertext",
            |path, body| {
                if path.contains("/segments/") {
                    body[200] ^= 1
                }
            },
            "is not the one registered",
        ),
        (
            "another length",
            |path, body| {
                if path.contains("/segments/") {
                    body.truncate(100)
                }
            },
            "another part",
        ),
        (
            "a bit of the delivery",
            |path, body| {
                if path == "/v1/deliveries" {
                    json(body, |value| flip(&mut value["sealed"]))
                }
            },
            "not the one recorded",
        ),
        (
            "no delivery",
            |path, body| {
                if path == "/v1/deliveries" {
                    json(body, |value| value["sealed"] = Value::Null)
                }
            },
            "neither granted nor denied",
        ),
        (
            "a denial that is none",
            |path, body| {
                if path == "/v1/deliveries" {
                    json(body, |value| {
                        let request = value["proofs"]["entries"][2].clone();
                        (value["proofs"]["entries"], value["sealed"]) = (json!([request]), Value::Null);
                    });
                }
            },
            "the ledger does not",
        ),
        (
            "entries in another order",
            |path, body| {
                if path == "/v1/deliveries" {
                    json(body, |value| value["proofs"]["entries"].as_array_mut().unwrap().swap(2, 3));
                }
            },
            "refused",
        ),
        (
            "another number of bytes",
            |path, body| {
                if path == "/v1/deliveries" {
                    json(body, |value| {
                        let deliver =
                            value["proofs"]["entries"][3].pointer_mut("/entry/body/transaction/tx/tx/body/Deliver");
                        deliver.unwrap()["bytes"] = json!(1);
                    });
                }
            },
            "the delivery",
        ),
        (
            "a registration with another column",
            |path, body| {
                if path == "/v1/deliveries" {
                    json(body, |value| {
                        let at = "/entry/body/transaction/tx/tx/body/RegisterAsset/version/columns/1/ciphertext";
                        for entry in 0..2 {
                            *value["proofs"]["entries"][entry].pointer_mut(at).unwrap() = json!("0".repeat(64));
                        }
                    });
                }
            },
            "the registration",
        ),
    ];
    for (name, lie, reason) in lies {
        let liar = Proxy::start(&server.url, lie);
        let error = fetch(&world, &liar.url, "requester", "owner", "out.csv").error();
        println!("{name}: {error}");
        assert!(error.contains(reason) && !error.contains('\n'), "{name}: {error}");
        assert!(!Path::new(&world.path("out.csv")).exists(), "{name}");
    }
    // What came meanwhile was thrown away, and the same request is brought to its end.
    fetch(&world, &server.url, "requester", "owner", "out.csv").ok();
    assert_eq!(csv_rows(&world, "out.csv", &["owner"]), cells(&plots(300, "v1"), &[1]));
    let trail = sealgate(&["trail", "--gateway", &server.url, "--home", &world.path("requester")]).ok();
    assert_eq!(trail.as_array().unwrap().len(), 1);
}
