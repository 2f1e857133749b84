use std::fs;

use sealgate_circuits::value::ColumnType;

use super::*;
use crate::manifest::ShareManifest;
use crate::progress::silent;
use crate::source::{Read, open};

/// The manifest made of a file, and the manifest as it is read.
fn inferred(path: &Path, rows_max: Option<u64>) -> (Inferred, Result<ShareManifest, String>) {
    let (source, encoding_guessed) = spec_of_file(path).unwrap();
    let request = InferRequest {
        path_written: Some(path.to_owned()),
        source,
        encoding_guessed,
        name: "t".into(),
        title: "A \"title\"".into(),
        rows_max,
        progress: silent(),
    };
    let inferred = infer(&request).unwrap();
    let parsed = ShareManifest::parse(&inferred.manifest, Path::new("share.toml")).map_err(|error| error.to_string());
    (inferred, parsed)
}

/// What is made of a text file: its manifest, which must be one, and its types.
fn of_text(name: &str, bytes: &[u8]) -> (Inferred, ShareManifest) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    let (inferred, parsed) = inferred(&path, None);
    let parsed = parsed.unwrap_or_else(|error| panic!("{error}\n{}", inferred.manifest));
    rows(&parsed);
    (inferred, parsed)
}

/// Reads all rows; each must be a record.
fn rows(manifest: &ShareManifest) -> u64 {
    let mut source = open(manifest).unwrap();
    let mut count = 0;
    while let Some(read) = source.next().unwrap() {
        let Read::Row(_) = read else { panic!("{read:?}") };
        count += 1;
    }
    count
}

fn kinds(manifest: &ShareManifest) -> Vec<String> {
    manifest.schema().columns.iter().map(|column| format!("{} {}", column.name, column.kind)).collect()
}

#[test]
fn types_nulls_and_keys_are_seen() {
    let csv = "year;code;id;fee;day;at;open;note;few;other day;local;nearly\n\
        2024;007;11;2.5;2024-01-31;2024-01-16T14:37:35-08:00;true;a;x;31/12/2024;2024-01-16 14:37;1\n\
        2024;008;12;-0.05;-;2024-01-17T14:37:35Z;FALSE;NA;y;01/02/2024;2024-01-16 14:37;2\n\
        NA;008;13;;2024-02-29;;;-;x;;;3\n\
        2023;009;14;0;2024-01-01;2024-01-16T14:37:35Z;false;b;x;13/01/2024;2024-01-16 14:38;x\n";
    let (inferred, manifest) = of_text("t.csv", csv.as_bytes());
    assert_eq!(
        kinds(&manifest),
        [
            "year int",
            "code text",
            "id int",
            "fee decimal(2)",
            "day date",
            "at timestamp",
            "open bool",
            "note text",
            "few text",
            "other day date",
            "local text",
            "nearly text"
        ]
    );
    assert_eq!(inferred.key, ["id"]);
    assert_eq!((inferred.rows, inferred.columns), (4, 12));
    let nulls = |column: usize| manifest.columns()[column].nulls.clone();
    // NA is proven to be null by the years; a dash only where all else are days.
    assert_eq!((nulls(0), nulls(7)), (vec![String::new(), "NA".into()], vec![String::new(), "NA".into()]));
    assert!(nulls(4).contains(&"-".to_owned()));
    assert_eq!(manifest.columns()[9].format.as_deref(), Some("%d/%m/%Y"));
    for expected in [
        "# '-' stands in 1 row; if it means null: null = [\"-\"]",
        "# times without an offset: name the clocks",
        "# null in 1 of 4 rows",
        "title = \"A \\\"title\\\"\"",
        "delimiter = \";\"",
    ] {
        assert!(inferred.manifest.contains(expected), "{expected} is not in\n{}", inferred.manifest);
    }
}

#[test]
fn a_key_of_several_columns_is_found_and_a_missing_one_told() {
    let mut csv = "region,number,kind,value\n".to_owned();
    for at in 0..60 {
        csv.push_str(&format!("{},{},{},1.5\n", ["n", "s"][at % 2], at / 4, ["a", "b"][at / 2 % 2]));
    }
    let (found, manifest) = of_text("t.csv", csv.as_bytes());
    assert_eq!(found.key, ["region", "number", "kind"]);
    assert_eq!(manifest.schema().key, [0, 1, 2]);
    csv.push_str("n,0,a,2\n");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    fs::write(&path, &csv).unwrap();
    let (none, parsed) = inferred(&path, None);
    assert!(none.key.is_empty() && none.manifest.contains("no columns were found that tell all rows apart"));
    assert!(parsed.unwrap_err().contains("the key must name one or more"));
    let (first, parsed) = inferred(&path, Some(60));
    assert!(parsed.is_ok() && first.manifest.contains("from the first 60 rows"), "{}", first.manifest);
}

#[test]
fn what_cannot_be_shared_as_it_stands_is_said() {
    let long = format!("id,a\u{301} \"name\",note,note,,{}\n1,x,2,3,4,5\n", "n".repeat(200));
    let (inferred, manifest) = of_text("t.txt", long.as_bytes());
    let schema = manifest.schema();
    assert_eq!(schema.columns[1].name, "a\u{301} \"name\"");
    assert_eq!((schema.columns.len(), schema.columns[2].name.len()), (3, 128));
    assert_eq!(manifest.columns()[2].name.len(), 200);
    for expected in ["# left out: 'note': several columns have this name", "# left out: '': it has no name"] {
        assert!(inferred.manifest.contains(expected), "{}", inferred.manifest);
    }
    // Forty columns, the key the last of them.
    let names: Vec<_> = (0..39).map(|at| format!("c{at}")).collect();
    let wide = format!("{},id\n{}\n{}\n", names.join("\t"), "x\t".repeat(39) + "1", "x\t".repeat(39) + "2");
    let (inferred, manifest) = of_text("t.tsv", wide.replace(",id", "\tid").as_bytes());
    assert_eq!((inferred.key.as_slice(), inferred.columns), (&["id".to_owned()][..], 31));
    assert_eq!(manifest.schema().columns.len(), 31);
    assert_eq!(inferred.manifest.matches("this column is one too many").count(), 9);
    // Rows that are none.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("t.csv"), "id,note\n1,a\n2\n3,b\n").unwrap();
    let (inferred, parsed) = super::tests::inferred(&dir.path().join("t.csv"), None);
    assert!(parsed.is_ok(), "{parsed:?}");
    assert!(inferred.manifest.contains("# 1 row is no record; row 2 (line 3): 1 cells where the header has 2"));
    let unknown = dir.path().join("t.xlsx");
    assert!(spec_of_file(&unknown).unwrap_err().to_string().contains("t.xlsx: its name does not say"));
    fs::write(dir.path().join("e.csv"), "").unwrap();
    assert!(spec_of_file(&dir.path().join("e.csv")).is_ok());
}

#[test]
fn json_and_encodings_are_seen() {
    let json = "[{\"id\": 1, \"fee\": 2.50, \"tags\": [1]}, {\"id\": 2, \"fee\": null, \"open\": true}]";
    let (_, manifest) = of_text("t.json", json.as_bytes());
    assert_eq!(kinds(&manifest), ["id int", "fee decimal(2)", "tags text", "open bool"]);
    let lines = "{\"id\": \"a\", \"note\": \"\"}\n{\"id\": \"b\", \"note\": null}\n";
    let (_, manifest) = of_text("t.ndjson", lines.as_bytes());
    assert_eq!(kinds(&manifest), ["id text", "note text"]);
    let (inferred, manifest) = of_text("t.csv", b"id,name\n1,Caf\xe9 d\xe9j\xe0 vu\n2,cr\xe8me br\xfbl\xe9e\n");
    assert!(inferred.manifest.contains("encoding = \"windows-1252\"   # guessed"), "{}", inferred.manifest);
    assert_eq!(manifest.schema().columns[1].kind, ColumnType::Text);
    let utf16: Vec<u8> = "\u{feff}id\tname\n1\té\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (inferred, _) = of_text("t.tab", &utf16);
    assert!(inferred.manifest.contains("encoding = \"utf-16le\"\n"), "{}", inferred.manifest);
}

/// Tables that nobody prepared: what is inferred is read without one row refused.
#[test]
fn real_tables_are_read_by_what_is_inferred_of_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    for (file, key, some) in [
        ("planes/planes.csv", &["tailnum"][..], &["year int", "speed int", "engine text"][..]),
        ("dotgov/current-full.csv", &["Domain name"], &["State text"]),
        (
            "licences/vancouver_restaurant_licences.csv",
            &["LicenceRSN"],
            &["IssuedDate timestamp", "ExpiredDate date", "LicenceRSN int"],
        ),
        ("communes/communes.json", &["code", "type"], &["population int", "code text", "codesPostaux text"]),
        ("encodings/vancouver_cp1252.csv", &[], &["IssuedDate timestamp", "FOLDERYEAR int", "Geom text"]),
        ("licences/raw/business-licences.csv", &[], &["IssuedDate timestamp", "FOLDERYEAR int", "Geom text"]),
    ] {
        let path = folder.join(file);
        if !path.exists() {
            eprintln!("skipped: {} is not here", path.display());
            continue;
        }
        let (inferred, parsed) = inferred(&path, None);
        if key.is_empty() {
            assert!(inferred.manifest.contains("'LicenceRSN' would be a key, but for 1 repeated text"), "{file}");
        } else {
            assert_eq!(inferred.key, key, "{file}: {}", inferred.manifest);
        }
        // Where a register repeats its key, that is for the owner to settle.
        let manifest = parsed.unwrap_or_else(|_| {
            let text = inferred.manifest.replace("columns = []", "columns = [\"LicenceRSN\"]");
            ShareManifest::parse(&text, Path::new("share.toml")).unwrap()
        });
        assert_eq!(rows(&manifest), inferred.rows, "{file}");
        for kind in some {
            assert!(kinds(&manifest).iter().any(|found| found == kind), "{file}: {:?}", kinds(&manifest));
        }
    }
}

#[test]
fn exports_as_offices_make_them() {
    let csv = "Gemeinden;;\r\nStand: 31.12.2024\r\n\r\nid;fl\u{e4}che;stand\r\n1;12,50;31.12.2024\r\n2;-0,5;01.02.2024\r\n\
               3;1007;13.01.2024\r\n4;;\r\n5;3;\r\n6;4,125;\r\n7;1;\r\n8;1;\r\n9;1;\r\n10;1;\r\n11;1;\r\n12;1;\r\n";
    let bytes: Vec<u8> = csv.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let (inferred, manifest) = of_text("t.csv", &bytes);
    assert_eq!(kinds(&manifest), ["id int", "fl\u{e4}che decimal(3)", "stand date"], "{}", inferred.manifest);
    assert!(inferred.manifest.contains("skip_lines = 3   # before the header"), "{}", inferred.manifest);
    assert!(manifest.columns()[1].decimal_comma);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    fs::write(&path, &bytes).unwrap();
    let mut source = open(&manifest.with_source(&path).unwrap()).unwrap();
    let Some(Read::Row(row)) = source.next().unwrap() else { panic!("no row") };
    assert_eq!((row.line, &row.values[1]), (Some(5), &sealgate_circuits::value::Value::Decimal(12_500)));
    // A line that names the delimiter; thousands are no decimals.
    let (_, manifest) = of_text("t.csv", b"sep=;\nid;total\n1;1.234,50\n2;2,50\n");
    assert_eq!(kinds(&manifest), ["id int", "total text"]);
}

/// One thousand, or little more than one? Where nothing tells, nobody guesses.
#[test]
fn thousands_are_not_taken_for_decimals() {
    for (csv, kind, comma, asked) in [
        ("1,234;56,789;999", "text", false, true),
        ("-1,234;-56,789;0", "text", false, true),
        ("1.234;56.789;", "text", false, true),
        ("1,234;5678", "text", false, true),
        // One of these shows what the others are.
        ("1,234;0,500", "decimal(3)", true, false),
        ("1.234;-0.001", "decimal(3)", false, false),
        ("1,234;1234,567", "decimal(3)", true, false),
        ("1.234;1.5", "decimal(3)", false, false),
        ("1.2345;1.234", "decimal(4)", false, false),
        ("1,23;999", "decimal(2)", true, false),
        // Two separators are no decimal's.
        ("1,234,567;1,234", "text", false, false),
        ("1.234,00;1.234", "text", false, false),
    ] {
        let rows = csv.split(';').enumerate().map(|(at, cell)| format!("{at}\t\"{cell}\"\n"));
        let (inferred, manifest) = of_text("t.tsv", format!("id\ttotal\n{}", rows.collect::<String>()).as_bytes());
        assert_eq!(kinds(&manifest), ["id int", &format!("total {kind}")], "{csv}");
        assert_eq!(manifest.columns()[1].decimal_comma, comma, "{csv}");
        let remark = inferred.manifest.contains("# are these thousands, or decimals? Every ");
        assert_eq!(remark, asked, "{csv}: {}", inferred.manifest);
    }
    let (inferred, _) = of_text("t.csv", b"id;total\n1;1,234\n2;999\n");
    assert!(inferred.manifest.contains("type = \"decimal(3)\" and decimal_comma = true"), "{}", inferred.manifest);
}
