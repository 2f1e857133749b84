//! One suite for every source: the same table gives the same rows, and what is wrong with it is
//! refused with its place.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::{option, sample};
use sealgate_circuits::value::Value;
use serde_json::{Value as Json, json};

use crate::manifest::ShareManifest;
use crate::source::{Read, Rejected, SourceError, open};

/// A table as texts; `None` is null. The first column is the key.
struct Case<'a> {
    columns: &'a [(&'a str, &'a str)],
    header: &'a [&'a str],
    rows: &'a [&'a [Option<&'a str>]],
}

type Outcome = Result<(Vec<Vec<Value>>, Vec<Rejected>), SourceError>;

const FILES: [&str; 4] = ["csv", "jsonl", "json", "parquet"];

/// Writes the table as `kind` has it, every cell as text, and reads it.
fn through(kind: &str, case: &Case<'_>, options: &str) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t");
    write(kind, &path, case);
    read(kind, &path, case.columns, options)
}

fn opened(
    kind: &str,
    path: &Path,
    columns: &[(&str, &str)],
    options: &str,
) -> Result<Box<dyn super::Source>, SourceError> {
    // What is null: JSON and Parquet know; CSV has a text for it.
    let nulls = if kind == "csv" { "null = ['NULL']" } else { "" };
    let mut text = format!(
        "[asset]\nname='t'\ntitle='T'\n[source]\nkind='{kind}'\npath='{}'\n{nulls}\n{options}\n[key]\ncolumns=['{}']\n",
        path.display(),
        columns[0].0
    );
    for (name, kind) in columns {
        text.push_str(&format!("[[column]]\nname='{name}'\ntype='{kind}'\n"));
    }
    open(&ShareManifest::parse(&text, Path::new("share.toml")).unwrap())
}

fn read(kind: &str, path: &Path, columns: &[(&str, &str)], options: &str) -> Outcome {
    let mut source = opened(kind, path, columns, options)?;
    let (mut rows, mut rejected) = (Vec::new(), Vec::new());
    while let Some(read) = source.next()? {
        match read {
            Read::Row(row) => rows.push(row.values),
            Read::Rejected(row) => rejected.push(row),
        }
    }
    let (done, total) = source.size_hint().unwrap();
    assert_eq!(done, total, "{kind}");
    assert_eq!(source.next().unwrap(), None, "{kind}: behind the last row");
    Ok((rows, rejected))
}

fn write(kind: &str, path: &Path, case: &Case<'_>) {
    match kind {
        "csv" => {
            let mut writer = csv::Writer::from_path(path).unwrap();
            writer.write_record(case.header).unwrap();
            for row in case.rows {
                writer.write_record(row.iter().map(|cell| cell.unwrap_or("NULL"))).unwrap();
            }
            writer.flush().unwrap();
        }
        "parquet" => write_parquet(path, case),
        json => {
            let objects = case.rows.iter().map(|row| {
                let cells = case.header.iter().zip(row.iter());
                let cells = cells.map(|(name, cell)| format!("{}: {}", json!(name), json!(cell)));
                format!("{{{}}}", cells.collect::<Vec<_>>().join(", "))
            });
            let objects: Vec<_> = objects.collect();
            let text = if json == "json" { format!("[{}]", objects.join(",\n")) } else { objects.join("\n") + "\n" };
            fs::write(path, text).unwrap();
        }
    }
}

fn write_parquet(path: &Path, case: &Case<'_>) {
    let fields: Vec<_> = case.header.iter().map(|name| format!("optional binary {name} (STRING);")).collect();
    let schema = parquet::schema::parser::parse_message_type(&format!("message t {{ {} }}", fields.join(" "))).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), Arc::new(schema), Arc::new(properties)).unwrap();
    // Several row groups, the last of which is short.
    for rows in case.rows.chunks(2) {
        let mut group = writer.next_row_group().unwrap();
        for at in 0..case.header.len() {
            let cells: Vec<_> = rows.iter().map(|row| row[at]).collect();
            let values: Vec<_> = cells.iter().flatten().map(|text| ByteArray::from(*text)).collect();
            let levels: Vec<_> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

const COLUMNS: [(&str, &str); 6] =
    [("id", "int"), ("fee", "decimal(2)"), ("day", "date"), ("at", "timestamp"), ("open", "bool"), ("note", "text")];
const HEADER: [&str; 6] = ["note", "id", "fee", "day", "at", "open"];

#[test]
fn the_same_table_gives_the_same_rows() {
    let note = "a,\"b\"\r\nc — 多福巷 \\ {[]}";
    let case = Case {
        columns: &COLUMNS,
        header: &HEADER,
        rows: &[
            &[
                Some(note),
                Some("1"),
                Some("2.5"),
                Some("2024-01-31"),
                Some("2024-01-16T14:37:35.000001-08:00"),
                Some("true"),
            ],
            &[None, Some("-9223372036854775808"), None, None, None, None],
            &[Some(""), Some("3"), Some("-0.05"), Some("1899-12-31"), Some("1969-12-31T23:59:59Z"), Some("false")],
        ],
    };
    let at = |text| Value::parse(text, sealgate_circuits::value::ColumnType::Timestamp).unwrap();
    let day = |text| Value::parse(text, sealgate_circuits::value::ColumnType::Date).unwrap();
    let expected = vec![
        vec![
            Value::Int(1),
            Value::Decimal(250),
            day("2024-01-31"),
            at("2024-01-16T22:37:35.000001Z"),
            Value::Bool(true),
            Value::Text(note.into()),
        ],
        vec![Value::Int(i64::MIN), Value::Null, Value::Null, Value::Null, Value::Null, Value::Null],
        vec![
            Value::Int(3),
            Value::Decimal(-5),
            day("1899-12-31"),
            at("1969-12-31T23:59:59Z"),
            Value::Bool(false),
            Value::Text(String::new()),
        ],
    ];
    for kind in FILES {
        let (rows, rejected) = through(kind, &case, "").unwrap();
        assert_eq!((&rows, rejected.len()), (&expected, 0), "{kind}");
        // A source that is written in no order of ours has no rows in another.
        assert_eq!(through(kind, &Case { rows: &[], ..case }, "").unwrap().0, Vec::<Vec<Value>>::new(), "{kind}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let columns: &[(&str, &str)] = &[("id", "int"), ("note", "text")];
    let good: &[Option<&str>] = &[Some("1"), Some("a")];
    let long = "x".repeat(100_000);
    for kind in FILES {
        let refused = |header: &[&str], rows: &[&[Option<&str>]]| {
            let message = through(kind, &Case { columns, header, rows }, "").unwrap_err().to_string();
            assert!(message.len() < 1000, "{kind}: {} bytes", message.len());
            message
        };
        for (cell, expected) in
            [(Some("x"), "'x' is not an int"), (None, "null in a key column"), (Some(&*long), "xxx…' is not")]
        {
            let message = refused(&["id", "note"], &[good, &[cell, Some("b")]]);
            assert!(
                message.contains("/t, row 2") && message.contains("column 'id': ") && message.contains(expected),
                "{kind}: {message}"
            );
        }
        let message = refused(&["id", "notes"], &[good]);
        assert!(message.contains("no column 'note'; its columns are: 'id', 'notes'"), "{kind}: {message}");
        let message = refused(&["id", "note", "note"], &[&[Some("1"), Some("a"), Some("b")]]);
        let twice = if kind.starts_with("json") {
            "row 1 (line 1), column 'note': stands twice"
        } else {
            "has 2 columns 'note'"
        };
        assert!(message.contains(twice), "{kind}: {message}");
        // A text longer than any field.
        let message = refused(&["id", "note"], &[&[Some("1"), Some(&long)]]);
        assert!(message.contains("row 1") && message.contains("100000 bytes is longer"), "{kind}: {message}");
    }
}

#[test]
fn bad_rows_are_set_aside_and_counted() {
    let columns: &[(&str, &str)] = &[("id", "int"), ("note", "text")];
    let rows: &[&[Option<&str>]] = &[
        &[Some("1"), Some("a")],
        &[Some("x"), Some("b")],
        &[None, Some("c")],
        &[Some("4"), None],
        &[Some("5.5"), Some("e")],
    ];
    for kind in FILES {
        let case = Case { columns, header: &["id", "note"], rows };
        let (rows, rejected) = through(kind, &case, "on_bad_row = 'set_aside'").unwrap();
        assert_eq!(rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), [Value::Int(1), Value::Int(4)], "{kind}");
        let places: Vec<_> = rejected.iter().map(|row| (row.row, row.column.as_deref())).collect();
        assert_eq!(places, [(2, Some("id")), (3, Some("id")), (5, Some("id"))], "{kind}");
    }
}

/// Cut anywhere, a file is refused, or gives rows of the whole one. A CSV or JSON lines file that
/// ends with a row cannot know that more were to come, and the last cell of a CSV file without a
/// line end may have been longer.
#[test]
fn a_file_that_was_cut_gives_no_other_rows() {
    let columns: &[(&str, &str)] = &[("id", "int"), ("note", "text")];
    let rows: &[&[Option<&str>]] =
        &[&[Some("11"), Some("\"a\"\nb")], &[Some("12"), Some("c,d")], &[Some("13"), Some("\"e\"")]];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t");
    for kind in FILES {
        write(kind, &path, &Case { columns, header: &["id", "note"], rows });
        let whole = fs::read(&path).unwrap();
        let (expected, _) = read(kind, &path, columns, "").unwrap();
        for length in 0..whole.len() - 1 {
            fs::write(&path, &whole[..length]).unwrap();
            match read(kind, &path, columns, "") {
                Err(_) => {}
                Ok((rows, _)) => {
                    assert!(matches!(kind, "csv" | "jsonl"), "{kind} cut at {length}");
                    let cut_cell = usize::from(kind == "csv" && whole[length - 1] != b'\n');
                    let complete = rows.len().saturating_sub(cut_cell);
                    assert!(rows[..complete] == expected[..complete], "{kind} cut at {length}: {rows:?}");
                }
            }
        }
    }
}

/// Written to, touched, cut, replaced by another of the same content, or removed behind the first row.
#[test]
fn a_file_that_changes_while_it_is_read_is_no_table() {
    let columns = [("id", "int"), ("note", "text")];
    let ids: Vec<String> = (0..5_000).map(|id| id.to_string()).collect();
    let note = "something of the clerk's, so that the file is longer than what is read at once";
    let rows: Vec<[Option<&str>; 2]> = ids.iter().map(|id| [Some(id.as_str()), Some(note)]).collect();
    let rows: Vec<&[Option<&str>]> = rows.iter().map(<[_; 2]>::as_slice).collect();
    let case = Case { columns: &columns, header: &["id", "note"], rows: &rows };
    let later = || std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    let change_file = |path: &Path, how: &str| match how {
        "written" => {
            let mut bytes = fs::read(path).unwrap();
            let at = bytes.len() - 300;
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
            File::options().write(true).open(path).unwrap().set_modified(later()).unwrap();
        }
        "touched" => File::options().write(true).open(path).unwrap().set_modified(later()).unwrap(),
        "cut" => {
            File::options().write(true).open(path).unwrap().set_len(fs::metadata(path).unwrap().len() / 2).unwrap()
        }
        "replaced" => {
            let other = path.with_extension("other");
            fs::copy(path, &other).unwrap();
            let modified = fs::metadata(path).unwrap().modified().unwrap();
            File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
            fs::rename(&other, path).unwrap();
        }
        _ => fs::remove_file(path).unwrap(),
    };
    for kind in FILES {
        for how in ["written", "touched", "cut", "replaced", "removed", ""] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("t");
            write(kind, &path, &case);
            let mut source = opened(kind, &path, &columns, "").unwrap();
            assert!(matches!(source.next(), Ok(Some(Read::Row(_)))), "{kind}");
            if !how.is_empty() {
                change_file(&path, how);
            }
            let mut read = 1;
            let outcome = loop {
                match source.next() {
                    Ok(Some(_)) => read += 1,
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            match outcome {
                None => assert_eq!((how, read), ("", 5_000), "{kind}"),
                Some(SourceError::Changed { path: named }) => assert!(named == path && !how.is_empty(), "{kind}"),
                Some(other) => panic!("{kind}, {how}: {other}"),
            }
        }
    }
}

#[test]
fn times_without_offset_are_of_the_zone_that_is_named() {
    let columns: &[(&str, &str)] = &[("id", "int"), ("at", "timestamp")];
    let winter = "2024-01-16 14:37:35";
    let case = |at: &'static str| [Some("1"), Some(at)];
    for kind in FILES {
        let one = |at: &'static str, options: &str| {
            through(kind, &Case { columns, header: &["id", "at"], rows: &[&case(at)] }, options)
        };
        let refused = one(winter, "").unwrap_err().to_string();
        assert!(refused.contains("row 1") && refused.contains("time_zone = \"UTC\""), "{refused}");
        let at = |text| Value::parse(text, sealgate_circuits::value::ColumnType::Timestamp).unwrap();
        let (rows, _) = one(winter, "time_zone = 'UTC'").unwrap();
        assert_eq!(rows[0][1], at("2024-01-16T14:37:35Z"));
        if jiff::tz::TimeZone::get("America/Vancouver").is_err() {
            eprintln!("skipped: this system knows no time zones");
            return;
        }
        let (rows, _) = one(winter, "time_zone = 'America/Vancouver'").unwrap();
        assert_eq!(rows[0][1], at("2024-01-16T22:37:35Z"));
        for twice_or_never in ["2024-11-03 01:30:00", "2024-03-10 02:30:00"] {
            let refused = one(twice_or_never, "time_zone = 'America/Vancouver'").unwrap_err().to_string();
            assert!(refused.contains("twice or never"), "{refused}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Any texts at all, in any number of row groups and lines.
    #[test]
    fn any_texts_come_through_every_kind_of_file(cells in vec((any::<i64>(), option::of(any_text()), option::of(any_text())), 0..20)) {
        let columns: &[(&str, &str)] = &[("id", "int"), ("a", "text"), ("b", "text")];
        let ids: Vec<String> = cells.iter().map(|(id, _, _)| id.to_string()).collect();
        let rows: Vec<[Option<&str>; 3]> =
            cells.iter().zip(&ids).map(|((_, a, b), id)| [a.as_deref(), Some(id.as_str()), b.as_deref()]).collect();
        let rows: Vec<&[Option<&str>]> = rows.iter().map(<[_; 3]>::as_slice).collect();
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
        let expected: Vec<_> = cells.iter().map(|(id, a, b)| vec![Value::Int(*id), text(a), text(b)]).collect();
        for kind in FILES {
            let case = Case { columns, header: &["a", "id", "b"], rows: &rows };
            prop_assert_eq!(&through(kind, &case, "").unwrap().0, &expected, "{}", kind);
        }
    }
}

/// Texts with what means something to a format, and with anything else.
fn any_text() -> impl Strategy<Value = String> {
    let odd = sample::select(vec![
        "\"", "\"\"", ",", "\r", "\n", "\r\n", "\\", "[", "}", "null", "\u{feff}", "", " ", "é", "\0",
    ]);
    let part = prop_oneof![odd.prop_map(str::to_owned), any::<String>()];
    // CSV's spelling of null is no text of a cell, and a mark that begins a record is another file's.
    let plain = |text: &String| text != "NULL" && !text.starts_with('\u{feff}');
    vec(part, 0..4).prop_map(|parts| parts.concat()).prop_filter("null or mark", plain)
}

/// Numbers and objects as JSON has them, absent keys, what is no object.
#[test]
fn json_as_it_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t");
    let columns: &[(&str, &str)] = &[("id", "int"), ("fee", "decimal(2)"), ("on", "bool"), ("more", "text")];
    let lines = concat!(
        "\u{feff}{\"id\": 1, \"fee\": 12.50, \"on\": true, \"more\": [\"0 1\", {\"a\" : null}]}\n",
        "\r\n   \n",
        "{\"id\": 2, \"fee\": null}\r\n",
        "[3]\n",
        "{\"id\": 4, \"fee\": 1e2, \"more\": \"x\"}\n",
        "{\"id\": 5, \"more\": \"\\ud800\"}\n",
        "{\"id\": 6\n",
        "\"7\"\n",
        "{\"id\": 8, \"more\": \"\\u00e9\\\"\"}"
    );
    fs::write(&path, lines).unwrap();
    let (rows, rejected) = read("jsonl", &path, columns, "on_bad_row = 'set_aside'").unwrap();
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(
        rows,
        [
            vec![Value::Int(1), Value::Decimal(1250), Value::Bool(true), text("[\"0 1\",{\"a\":null}]")],
            vec![Value::Int(2), Value::Null, Value::Null, Value::Null],
            vec![Value::Int(8), Value::Null, Value::Null, text("é\"")],
        ]
    );
    let found: Vec<_> = rejected.iter().map(ToString::to_string).collect();
    for (found, expected) in found.iter().zip([
        "row 3 (line 5): an array where an object is needed; for one array of objects write kind = \"json\"",
        "row 4 (line 6), column 'fee': '1e2' is not a decimal(2)",
        "row 5 (line 7), column 'more': not a text: half a surrogate pair",
        "row 6 (line 8): not JSON: EOF while parsing an object",
        "row 7 (line 9): not a JSON object",
    ]) {
        assert!(found.starts_with(expected), "{found} should begin with {expected}");
    }
    assert_eq!(found.len(), 5);
    for (array, expected) in [
        ("", "the file ends inside its array"),
        ("{\"id\": 1}", "write kind = \"jsonl\""),
        ("[{\"id\": 1}", "the file ends inside its array"),
        ("[{\"id\": 1}]\n]", "there is something behind the array"),
        ("[{\"id\": 1} {\"id\": 2}]", "'{' where it should not be"),
        ("[,]", "',' where it should not be"),
        ("[{\"id\": 1},]", "']' where it should not be"),
        ("[1, {\"id\": 1}]", "row 1 (line 1): not a JSON object"),
        ("[\n\n{\"id\": \"1]\"}]", "row 1 (line 3), column 'id': '1]' is not an int"),
    ] {
        fs::write(&path, array).unwrap();
        let message = read("json", &path, columns, "").unwrap_err().to_string();
        assert!(message.contains(expected), "{array}: {message}");
    }
    fs::write(&path, " [ ] ").unwrap();
    assert!(read("json", &path, columns, "").unwrap().0.is_empty());
}

/// A column that comes after hundreds of others, and one that is in the last object only, are there.
#[test]
fn json_objects_of_many_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t");
    let many: Vec<_> = (0..400).map(|at| format!("\"k{at}\": {at}")).collect();
    let first = format!("{{{}, \"id\": 1}}\n", many.join(", "));
    fs::write(&path, format!("{first}{{\"id\": 2, \"note\": \"a\"}}\n")).unwrap();
    let (rows, _) = read("jsonl", &path, &[("id", "int"), ("note", "text")], "").unwrap();
    assert_eq!(rows, [[Value::Int(1), Value::Null], [Value::Int(2), Value::Text("a".into())]]);
    let missing = read("jsonl", &path, &[("id", "int"), ("other", "text")], "").unwrap_err().to_string();
    assert!(missing.contains("has no column 'other'"), "{missing}");
}

/// Parquet's own types, codecs, and what no column here holds.
#[test]
fn parquet_as_it_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t");
    let schema = "message t {
        required int64 id; required int64 fee (DECIMAL(12, 2)); required int64 day; required int64 at (TIMESTAMP(MILLIS, true));
        required int64 local (TIMESTAMP(NANOS, false)); required int64 big (INTEGER(64, false));
        required group where { required int64 floor; } optional group many (LIST) { repeated group list { required int64 element; } }
        required int64 clock (TIME(MICROS, true)); }";
    let ids: Vec<i64> = (1..=3000).collect();
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
    ] {
        let message = parquet::schema::parser::parse_message_type(schema).unwrap();
        let properties = WriterProperties::builder().set_compression(codec).set_data_page_row_count_limit(700).build();
        let mut writer =
            SerializedFileWriter::new(File::create(&path).unwrap(), Arc::new(message), Arc::new(properties)).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = 0;
        while let Some(mut next) = group.next_column().unwrap() {
            let levels = vec![0i16; ids.len()];
            let values: Vec<i64> = match column {
                5 => vec![-1; ids.len()],
                _ => ids.clone(),
            };
            match column {
                // The lists are null.
                7 => next.typed::<Int64Type>().write_batch(&[], Some(&levels), Some(&levels)).unwrap(),
                _ => next.typed::<Int64Type>().write_batch(&values, None, None).unwrap(),
            };
            next.close().unwrap();
            column += 1;
        }
        group.close().unwrap();
        writer.close().unwrap();
        let columns: &[(&str, &str)] =
            &[("id", "int"), ("fee", "decimal(2)"), ("at", "timestamp"), ("where.floor", "text"), ("big", "text")];
        let (rows, _) = read("parquet", &path, columns, "").unwrap();
        assert_eq!(rows.len(), ids.len());
        for (row, id) in rows.iter().zip(&ids) {
            let text = |text: String| Value::Text(text);
            let expected = [
                Value::Int(*id),
                Value::Decimal(*id),
                Value::Timestamp(id * 1000),
                text(id.to_string()),
                text(u64::MAX.to_string()),
            ];
            assert_eq!(*row, expected);
        }
    }
    for (columns, options, expected) in [
        (&[("id", "int"), ("many.list.element", "text")][..], "", "column 'many.list.element': a list or map"),
        (&[("id", "int"), ("clock", "int")], "", "column 'clock': of Parquet's type Time"),
        (
            &[("id", "int"), ("local", "timestamp")],
            "",
            "row 1, column 'local': '1970-01-01T00:00:00.000000001' has no offset",
        ),
        (&[("id", "int"), ("local", "timestamp")], "time_zone = 'UTC'", "to the microsecond"),
        (&[("id", "int"), ("big", "int")], "", "row 1, column 'big': '18446744073709551615' is not an int"),
    ] {
        let message = read("parquet", &path, columns, options).unwrap_err().to_string();
        assert!(message.contains(expected), "{message} should contain {expected}");
    }
}

/// Whatever byte of a file was damaged, there are rows or an error. (Without checksums, which
/// most writers leave out, a file does not tell that a value was changed.)
#[test]
fn a_damaged_file_is_an_error_at_worst() {
    let columns: &[(&str, &str)] = &[("id", "int"), ("note", "text")];
    let rows: &[&[Option<&str>]] =
        &[&[Some("11"), Some("\"a\"\nb")], &[Some("12"), None], &[Some("13"), Some("\"e\"")]];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t");
    for kind in FILES {
        write(kind, &path, &Case { columns, header: &["id", "note"], rows });
        let whole = fs::read(&path).unwrap();
        let mut errors = 0;
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            fs::write(&path, &damaged).unwrap();
            match read(kind, &path, columns, "") {
                Ok((rows, _)) => assert!(rows.len() <= 4, "{kind}"),
                Err(error) => {
                    assert!(error.to_string().contains("/t, ") || error.to_string().contains("/t has "), "{error}");
                    errors += 1;
                }
            }
        }
        assert!(errors > whole.len() / 3, "{kind}: {errors} of {}", whole.len());
    }
}

/// A register of 37,590 objects in one array, some without some of the keys.
#[test]
fn the_communes_are_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/communes/communes.json");
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not here", path.display());
        return;
    };
    let columns: &[(&str, &str)] =
        &[("code", "text"), ("type", "text"), ("nom", "text"), ("population", "int"), ("codesPostaux", "text")];
    let (rows, _) = read("json", &path, columns, "").unwrap();
    let expected: Vec<Json> = serde_json::from_str(&text).unwrap();
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(&expected) {
        let cell = |name: &str| match &expected[name] {
            Json::Null => Value::Null,
            Json::String(text) => Value::Text(text.clone()),
            Json::Number(number) => Value::Int(number.as_i64().unwrap()),
            other => Value::Text(other.to_string()),
        };
        let expected: Vec<_> = columns.iter().map(|(name, _)| cell(name)).collect();
        assert_eq!(*row, expected);
    }
}
