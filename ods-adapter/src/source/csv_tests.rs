use std::fs;
use std::path::Path;

use sealgate_circuits::value::Value;

use super::{Quotes, quotes_of};
use crate::manifest::ShareManifest;
use crate::source::{Read, Row, SourceError, open};

/// Columns "name:type", the first of which is the key.
fn manifest(folder: &Path, csv: &[u8], columns: &[&str], source: &str) -> ShareManifest {
    fs::write(folder.join("t.csv"), csv).unwrap();
    let mut text =
        format!("[asset]\nname = \"t\"\ntitle = \"T\"\n[source]\nkind = \"csv\"\npath = \"t.csv\"\n{source}\n");
    for (index, column) in columns.iter().enumerate() {
        let (name, kind) = column.rsplit_once(':').unwrap();
        if index == 0 {
            text.push_str(&format!("[key]\ncolumns = [{name:?}]\n"));
        }
        text.push_str(&format!("[[column]]\nname = {name:?}\ntype = {kind:?}\n"));
    }
    ShareManifest::parse(&text, &folder.join("share.toml")).unwrap()
}

fn rows_of(manifest: &ShareManifest) -> Result<Vec<Row>, SourceError> {
    let mut source = open(manifest)?;
    let mut rows = Vec::new();
    while let Some(read) = source.next()? {
        let Read::Row(row) = read else { panic!("{read:?}") };
        rows.push(row);
    }
    let (done, total) = source.size_hint().unwrap();
    assert_eq!(done, total);
    Ok(rows)
}

fn read(csv: &[u8], columns: &[&str], source: &str) -> Result<Vec<Row>, SourceError> {
    let dir = tempfile::tempdir().unwrap();
    rows_of(&manifest(dir.path(), csv, columns, source))
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn quotes_are_followed_through_whole_records() {
    for (raw, expected) in [
        ("", Quotes::Closed),
        ("a,b", Quotes::Closed),
        ("\n\r\n\"a\n\",\"\"\r\n", Quotes::Closed),
        ("\"a\"\"b\"", Quotes::Closed),
        ("6\" pipe,\"\"", Quotes::Closed),
        ("\"a\"\"", Quotes::Open),
        ("a,\"", Quotes::Open),
        ("\"a\" ,b", Quotes::Stray),
        ("\"a\"b,\"", Quotes::Open),
    ] {
        assert_eq!(quotes_of(raw.as_bytes(), b',', Some(b'"')), expected, "{raw}");
        assert_eq!(quotes_of(raw.as_bytes(), b',', None), Quotes::Closed, "{raw}");
    }
}

#[test]
fn csv_spectrum() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/vectors/csv-spectrum");
    let Ok(entries) = fs::read_dir(folder.join("csvs")) else {
        eprintln!("skipped: {} is not here", folder.display());
        return;
    };
    let mut seen = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        let expected = fs::read_to_string(folder.join("json").join(format!("{stem}.json"))).unwrap_or_default();
        let Ok(serde_json::Value::Array(expected)) = serde_json::from_str(&expected) else { continue };
        let header: Vec<_> =
            String::from_utf8_lossy(&bytes).lines().next().unwrap().split(',').map(|n| format!("{n}:text")).collect();
        let columns: Vec<_> = header.iter().map(String::as_str).collect();
        let rows = read(&bytes, &columns, "null = []");
        if stem == "location_coordinates" && std::str::from_utf8(&bytes).is_err() {
            let message = rows.unwrap_err().to_string();
            assert!(
                message.contains("row 1 (line 2), column 'Location Coordinates': not UTF-8 at byte 2"),
                "{message}"
            );
            seen += 1;
            continue;
        }
        let rows = rows.unwrap();
        assert_eq!(rows.len(), expected.len(), "{stem}");
        for (row, expected) in rows.iter().zip(&expected) {
            for (value, column) in row.values.iter().zip(&columns) {
                let expected = expected[column.strip_suffix(":text").unwrap()].as_str().unwrap();
                let Value::Text(found) = value else { panic!("{stem}: {value:?}") };
                assert_eq!(found.replace("\r\n", "\n"), expected.replace("\r\n", "\n"), "{stem}");
            }
        }
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn rows_are_typed_and_placed() {
    let csv = b"\xef\xbb\xbfid;\"fee\";day;on;note;extra\r\n1;2.5;2024-01-31;true;\"a;\r\n\"\"b\"\"\";x\r\n2;NA;;FALSE;NA;y\r\n";
    let rows = read(
        csv,
        &["id:int", "fee:decimal(2)", "day:date", "on:bool", "note:text"],
        "delimiter = \";\"\nnull = [\"\", \"NA\"]",
    )
    .unwrap();
    let expected = vec![
        Value::Int(1),
        Value::Decimal(250),
        Value::parse("2024-01-31", sealgate_circuits::value::ColumnType::Date).unwrap(),
        Value::Bool(true),
        text("a;\r\n\"b\""),
    ];
    assert_eq!(rows[0], Row { number: 1, line: Some(2), values: expected });
    assert_eq!((rows[1].number, rows[1].line), (2, Some(4)));
    assert_eq!(rows[1].values, [Value::Int(2), Value::Null, Value::Null, Value::Bool(false), Value::Null]);
    assert_eq!(read(b"id\n", &["id:int"], "").unwrap(), []);
    // Empty lines are skipped but counted; long files outgrow the reader's buffer.
    let long = format!(
        "\nid,note\r\n\r\n\n1,a\n2,\"x\ny\"\r\n{}",
        (3..30_000).map(|i| format!("{i},{i}\r\n")).collect::<String>()
    );
    let rows = read(long.as_bytes(), &["id:int", "note:text"], "").unwrap();
    assert_eq!(rows.iter().take(3).map(|row| row.line).collect::<Vec<_>>(), [Some(5), Some(6), Some(8)]);
    assert_eq!(rows.last().map(|row| (row.number, row.line)), Some((29_999, Some(30_004))));
}

#[test]
fn each_kind_of_bad_input_names_its_place() {
    let columns = ["id:int", "note:text"];
    for (csv, expected) in [
        (&b""[..], "is empty: a header line"),
        (b"id,other\n1,a\n", "has no column 'note'; its columns are: 'id', 'other'"),
        (b"id,note,note\n1,a,b\n", "has 2 columns 'note'"),
        (b"id,not\xffe\n1,a\n", "header, cell 2: not UTF-8 at byte 3"),
        (b"id,note\n1,a\n2\n", "row 2 (line 3): 1 cells where the header has 2"),
        (b"id,note\n1,a,b\n", "row 1 (line 2): 3 cells where the header has 2"),
        (b"id,note\n1,\"x\ny\"\n2,\xe9t\xe9\n", "row 2 (line 4), column 'note': not UTF-8 at byte 0"),
        (b"id,note\nx,a\n", "row 1 (line 2), column 'id': 'x' is not an int"),
        (b"id,note\n1,a\n,a\n", "row 2 (line 3), column 'id': null in a key column"),
        (b"id,note\n1,a\n2,\"cut he", "row 2 (line 3): the file ends inside a quoted cell"),
        (b"id,\"note\n1,a\n2,", "has no column 'note'"),
        (b"id,note\n1,\"a\" b\n", "row 1 (line 2): a cell goes on behind its closing quote"),
        (b"id,note\r\n1,\"a\"b\"\r\n", "row 1 (line 2): a cell goes on behind its closing quote"),
        (b"id,note\n1,a\nid,note\n2,b\n", "row 2 (line 3): the header once more"),
    ] {
        let message = read(csv, &columns, "").unwrap_err().to_string();
        assert!(message.contains("t.csv") && message.contains(expected), "{message} should contain {expected}");
    }
    assert_eq!(read(b"id,note\n1,6\" pipe\n", &columns, "").unwrap()[0].values[1], text("6\" pipe"));
    let dir = tempfile::tempdir().unwrap();
    let gone = manifest(dir.path(), b"", &columns, "").with_source(&dir.path().join("gone.csv")).unwrap();
    assert!(open(&gone).err().unwrap().to_string().contains("gone.csv"));
}

/// Exports that were put together: the second one's header is no record, however it is written.
#[test]
fn a_header_among_the_rows_is_no_record() {
    let columns = ["name:text", "town:text"];
    for header in ["\u{feff}name,town", "\u{feff}\"name\",\"town\"", "Name,TOWN", " name, town ", "\"name\",town"] {
        let csv = format!("name,town\nAnn,Gap\n{header}\nBob,Die\n");
        let message = read(csv.as_bytes(), &columns, "").unwrap_err().to_string();
        assert!(message.contains("row 2 (line 3): the header once more"), "{header}: {message}");
        let dir = tempfile::tempdir().unwrap();
        let aside = manifest(dir.path(), csv.as_bytes(), &columns, "on_bad_row = \"set_aside\"");
        let mut source = open(&aside).unwrap();
        let mut rows = Vec::new();
        while let Some(read) = source.next().unwrap() {
            rows.push(matches!(read, Read::Row(_)));
        }
        assert_eq!(rows, [true, false, true], "{header}");
    }
    // What follows has its columns in another order: that is not to be set aside.
    let csv = b"name,town\nAnn,Gap\n\xef\xbb\xbfTown,name\nDie,Bob\n";
    let dir = tempfile::tempdir().unwrap();
    for rule in ["stop", "set_aside"] {
        let bad = manifest(dir.path(), csv, &columns, &format!("on_bad_row = \"{rule}\""));
        let mut source = open(&bad).unwrap();
        assert!(matches!(source.next(), Ok(Some(Read::Row(_)))));
        let message = source.next().unwrap_err().to_string();
        assert!(
            message.contains("row 2 (line 3): the header once more with its columns in another order"),
            "{message}"
        );
    }
    // A file without its header is seen by its mark.
    let message = read(b"name,town\nAnn,Gap\n\xef\xbb\xbfBob,Die\n", &columns, "").unwrap_err().to_string();
    assert!(message.contains("row 2 (line 3): a byte order mark"), "{message}");
    // Rows that share a name with the header, or have one of its names twice, are records.
    let rows = read(b"name,town\nname,Gap\nname,name\ntown,town\n", &columns, "").unwrap();
    assert_eq!(rows.len(), 3);
}

#[test]
fn bad_rows_are_set_aside_where_the_manifest_says_so() {
    let csv = format!("id,note\n1,a\n{},b\n3\n,c\n5,\u{ff}\n6,d\n", "x".repeat(100_000));
    let csv: Vec<u8> = csv.chars().map(|c| c as u8).collect();
    let dir = tempfile::tempdir().unwrap();
    let manifest = manifest(dir.path(), &csv, &["id:int", "note:text"], "on_bad_row = \"set_aside\"");
    let mut source = open(&manifest).unwrap();
    let (mut rows, mut rejected) = (Vec::new(), Vec::new());
    while let Some(read) = source.next().unwrap() {
        match read {
            Read::Row(row) => rows.push(row.number),
            Read::Rejected(row) => rejected.push(row),
        }
    }
    assert_eq!(rows, [1, 6]);
    let places: Vec<_> = rejected.iter().map(|r| (r.row, r.line.unwrap(), r.column.as_deref())).collect();
    assert_eq!(places, [(2, 3, Some("id")), (3, 4, None), (4, 5, Some("id")), (5, 6, Some("note"))]);
    assert!(rejected.iter().all(|row| row.to_string().len() < 400), "{rejected:?}");
}

const VANCOUVER: &str = "../../shared/data/encodings/vancouver_cp1252.csv";
const PUBLISHED: &str = "../../shared/data/licences/raw/business-licences.csv";

/// All columns of a register as texts, keyed by its running number.
fn register(path: &Path, encoding: &str) -> Option<Result<Vec<Row>, SourceError>> {
    let Ok(bytes) = fs::read(path) else {
        eprintln!("skipped: {} is not here", path.display());
        return None;
    };
    let line = String::from_utf8_lossy(&bytes).lines().next().unwrap().trim_start_matches('\u{feff}').to_owned();
    let columns: Vec<_> = line.trim_end().split(';').map(|name| format!("{name}:text")).collect();
    let columns: Vec<_> = columns.iter().map(String::as_str).collect();
    Some(read(&bytes, &columns, &format!("delimiter = \";\"\nnull = []\n{encoding}")))
}

#[test]
fn a_file_is_read_in_the_encoding_that_is_declared() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(undeclared) = register(&folder.join(VANCOUVER), "") else { return };
    let message = undeclared.unwrap_err().to_string();
    assert!(message.contains("row ") && message.contains("not UTF-8 at byte"), "{message}");
    assert!(message.contains("encoding = \"windows-1252\""), "{message}");
    let declared = register(&folder.join(VANCOUVER), "encoding = \"windows-1252\"").unwrap().unwrap();
    let published = register(&folder.join(PUBLISHED), "").unwrap().unwrap();
    assert_eq!(declared.len(), 3385);
    let differ = declared.iter().zip(&published).filter(|(a, b)| a.values != b.values).count();
    assert_eq!(differ, 0);
}

#[test]
fn encodings_marks_and_bytes_that_are_none() {
    let columns = ["id:int", "note:text"];
    let note = |encoding: &'static encoding_rs::Encoding, text: &str| encoding.encode(text).0.into_owned();
    let rows = |bytes: &[u8], encoding: &str| read(bytes, &columns, &format!("encoding = {encoding:?}"));
    let whole = |rows: Vec<Row>| rows.into_iter().map(|row| row.values[1].clone()).collect::<Vec<_>>();
    // Trailing bytes that are a backslash or a vertical bar in ASCII, and a text longer than buffers.
    let shift_jis = note(encoding_rs::SHIFT_JIS, &format!("id,note\n1,表示\n2,{}\n", "ポ".repeat(60_000 / 3)));
    assert_eq!(whole(rows(&shift_jis, "shift_jis").unwrap()), [text("表示"), text(&"ポ".repeat(20_000))]);
    let mut bad = note(encoding_rs::SHIFT_JIS, "id,note\n1,表\n2,表x");
    bad.extend(b"\x81\n3,c\n");
    let message = rows(&bad, "shift_jis").unwrap_err().to_string();
    assert!(message.contains("row 2 (line 3), column 'note': not Shift_JIS behind 2 characters"), "{message}");
    let gb = note(encoding_rs::GB18030, "id,note\n1,多福巷社区居委会\n");
    assert_eq!(whole(rows(&gb, "gb18030").unwrap()), [text("多福巷社区居委会")]);
    // UTF-16, with a mark and without, and cut in the middle of a character.
    let utf16: Vec<u8> = "id,note\n1,é😀\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked: Vec<u8> = [0xff, 0xfe].into_iter().chain(utf16.iter().copied()).collect();
    assert_eq!(whole(rows(&utf16, "utf-16le").unwrap()), [text("é😀")]);
    assert_eq!(whole(rows(&marked, "utf-16le").unwrap()), [text("é😀")]);
    let message = rows(&utf16[..utf16.len() - 3], "utf-16le").unwrap_err().to_string();
    assert!(message.contains("row 1 (line 2), column 'note': not UTF-16LE behind 1 characters"), "{message}");
    for (bytes, encoding, expected) in [
        (&marked[..], "utf-8", "begins with the mark of UTF-16LE, but should be UTF-8"),
        (b"\xef\xbb\xbfid,note\n", "windows-1252", "begins with the mark of UTF-8, but should be windows-1252"),
    ] {
        let message = rows(bytes, encoding).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn quotes_and_delimiters_as_declared() {
    let columns = ["id:int", "note:text"];
    let rows = |csv: &str, options: &str| read(csv.as_bytes(), &columns, options);
    let single = rows("id|note\n'1'|'a|''b''\nc'\n2|\"d\"\n", "delimiter = \"|\"\nquote = \"'\"").unwrap();
    assert_eq!(single.iter().map(|row| row.values[1].clone()).collect::<Vec<_>>(), [text("a|'b'\nc"), text("\"d\"")]);
    let none = rows("id,note\n1,\"a\n2,b\"\n", "quote = \"\"").unwrap();
    assert_eq!(none.iter().map(|row| row.values[1].clone()).collect::<Vec<_>>(), [text("\"a"), text("b\"")]);
    let cut = rows("id,note\n1,'a\n2,b\n", "quote = \"'\"").unwrap_err().to_string();
    assert!(cut.contains("ends inside a quoted cell"), "{cut}");
    let mut open = "id,note\n1,a\n2,\"b\n".to_owned();
    open.push_str(&"3,c\n".repeat(17 << 20));
    let endless = rows(&open, "").unwrap_err().to_string();
    assert!(
        endless.contains("row 2 (behind line 2): longer than 64 MiB; a quote may not have been closed"),
        "{endless}"
    );
}

#[test]
fn days_and_times_in_formats_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("t.csv"), "id,day,at\n1,31.12.2024,12/31/2024 11:59 PM\n2,13.13.2024,\n").unwrap();
    let toml = "[asset]\nname='t'\ntitle='T'\n[source]\nkind='csv'\npath='t.csv'\ntime_zone='UTC'\n\
        on_bad_row='set_aside'\n[key]\ncolumns=['id']\n[[column]]\nname='id'\ntype='int'\n\
        [[column]]\nname='day'\ntype='date'\nformat='%d.%m.%Y'\n\
        [[column]]\nname='at'\ntype='timestamp'\nformat='%m/%d/%Y %I:%M %p'\n";
    let manifest = ShareManifest::parse(toml, &dir.path().join("share.toml")).unwrap();
    let mut source = open(&manifest).unwrap();
    let Some(Read::Row(row)) = source.next().unwrap() else { panic!("no row") };
    let parse = |text, kind| Value::parse(text, kind).unwrap();
    use sealgate_circuits::value::ColumnType::{Date, Timestamp};
    assert_eq!(row.values, [Value::Int(1), parse("2024-12-31", Date), parse("2024-12-31T23:59:00Z", Timestamp)]);
    let Some(Read::Rejected(row)) = source.next().unwrap() else { panic!("a row") };
    assert_eq!(row.what, "'13.13.2024' is no date as the column's format has it (%d.%m.%Y)");
}

#[test]
fn a_decimal_comma_and_lines_before_the_header() {
    let dir = tempfile::tempdir().unwrap();
    let csv = "\"A title, on\nlines before\n\nid;fee\n1;2,5\n2;1.234,5\n3;1,2,3\n4;2.5\n5;-7\n";
    fs::write(dir.path().join("t.csv"), csv).unwrap();
    let toml = "[asset]\nname='t'\ntitle='T'\n[source]\nkind='csv'\npath='t.csv'\ndelimiter=';'\nskip_lines=3\n\
        on_bad_row='set_aside'\n[key]\ncolumns=['id']\n[[column]]\nname='id'\ntype='int'\n\
        [[column]]\nname='fee'\ntype='decimal(2)'\ndecimal_comma=true\n";
    let manifest = ShareManifest::parse(toml, &dir.path().join("share.toml")).unwrap();
    let mut source = open(&manifest).unwrap();
    let mut seen = Vec::new();
    while let Some(read) = source.next().unwrap() {
        seen.push(match read {
            Read::Row(row) => format!("{} {:?}", row.line.unwrap(), row.values[1]),
            Read::Rejected(row) => row.to_string(),
        });
    }
    let refused = |row: u32, text: &str| {
        format!("row {row} (line {}), column 'fee': '{text}' is no decimal with a comma for the point", row + 4)
    };
    let expected = [
        "5 Decimal(250)".into(),
        refused(2, "1.234,5"),
        refused(3, "1,2,3"),
        refused(4, "2.5"),
        "9 Decimal(-700)".into(),
    ];
    assert_eq!(seen, expected);
    let beyond = ShareManifest::parse(&toml.replace("=3", "=30"), &dir.path().join("share.toml")).unwrap();
    assert!(open(&beyond).err().unwrap().to_string().contains("a header line with the columns' names is needed"));
}
