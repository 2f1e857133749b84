use super::*;
use std::fs;

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
    let mut source = CsvSource::open(manifest)?;
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
    ] {
        let message = read(csv, &columns, "").unwrap_err().to_string();
        assert!(message.contains("t.csv") && message.contains(expected), "{message} should contain {expected}");
    }
    assert_eq!(read(b"id,note\n1,6\" pipe\n", &columns, "").unwrap()[0].values[1], text("6\" pipe"));
    let dir = tempfile::tempdir().unwrap();
    let gone = manifest(dir.path(), b"", &columns, "").with_source(&dir.path().join("gone.csv"));
    assert!(CsvSource::open(&gone).err().unwrap().to_string().contains("gone.csv"));
}

#[test]
fn bad_rows_are_set_aside_where_the_manifest_says_so() {
    let csv = format!("id,note\n1,a\n{},b\n3\n,c\n5,\u{ff}\n6,d\n", "x".repeat(100_000));
    let csv: Vec<u8> = csv.chars().map(|c| c as u8).collect();
    let dir = tempfile::tempdir().unwrap();
    let manifest = manifest(dir.path(), &csv, &["id:int", "note:text"], "on_bad_row = \"set_aside\"");
    let mut source = CsvSource::open(&manifest).unwrap();
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

#[test]
fn windows_1252_is_refused_with_its_place() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/encodings/vancouver_cp1252.csv");
    let Ok(bytes) = fs::read(&path) else {
        eprintln!("skipped: {} is not here", path.display());
        return;
    };
    let line = String::from_utf8_lossy(&bytes).lines().next().unwrap().to_owned();
    let delimiter = if line.contains(';') { ";" } else { "," };
    let columns: Vec<_> = line.split(delimiter).map(|name| format!("{}:text", name.trim_matches('"'))).collect();
    let columns: Vec<_> = columns.iter().map(String::as_str).collect();
    let result = read(&bytes, &columns, &format!("delimiter = {delimiter:?}\nnull = []"));
    let message = result.unwrap_err().to_string();
    assert!(message.contains("row ") && message.contains("not UTF-8 at byte"), "{message}");
}
