use super::*;

const GOOD: &str = r#"
[asset]
name = "licences"
title = "Business licences"
[source]
kind = "csv"
path = "licences.csv"
[key]
columns = ["LicenceRSN"]
[[column]]
name = "LicenceRSN"
type = "int"
[[column]]
name = "FeePaid"
type = "decimal(2)"
budget_bits = 3
use = ["prove"]
source = "Fee Paid"
null = ["NA"]
[[column]]
name = "Notes"
type = "text"
use = []
"#;

fn parse(text: &str) -> Result<ShareManifest, ManifestError> {
    ShareManifest::parse(text, Path::new("/data/share.toml"))
}

#[test]
fn a_manifest_says_what_is_shared() {
    let manifest = parse(GOOD).unwrap();
    assert_eq!(
        (manifest.asset_name(), manifest.title(), manifest.description()),
        ("licences", "Business licences", "")
    );
    let SourceSpec::Csv(csv) = manifest.source() else { panic!("{manifest:?}") };
    assert_eq!((csv.path.as_path(), csv.delimiter, csv.quote), (Path::new("/data/licences.csv"), b',', Some(b'"')));
    assert_eq!(csv.encoding, encoding_rs::UTF_8);
    let schema = manifest.schema();
    assert_eq!(manifest.budgets(), [BUDGET_BITS, 3, BUDGET_BITS]);
    assert_eq!(schema.key, [0]);
    let uses: Vec<_> = schema.columns.iter().map(|c| (c.allowed.disclose, c.allowed.prove)).collect();
    assert_eq!(uses, [(true, true), (false, true), (false, false)]);
    assert_eq!(
        manifest.columns()[1],
        ColumnSource { name: "Fee Paid".into(), nulls: vec!["NA".into()], format: None, decimal_comma: false }
    );
    assert_eq!(manifest.columns()[2].nulls, [""]);
    assert_eq!(manifest.with_source(Path::new("other.csv")).unwrap().source().path(), Some(Path::new("other.csv")));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (from, to, expected) in [
        ("\"licences\"", "\"1x\"", "line 3: '1x' cannot name an asset"),
        ("\"licences\"", "\"a/b\"", "line 3: 'a/b' cannot name an asset"),
        ("title", "tittle", "line 4"),
        ("\"csv\"", "\"xml\"", "line 6"),
        ("\"csv\"", "\"csv\"\non_bad_row = \"skip\"", "line 7"),
        ("\"licences.csv\"", "\"x\"\ndelimiter = \";;\"", "line 8: ';;' cannot delimit"),
        ("[\"LicenceRSN\"]", "[\"Nope\"]", "line 9: the key names 'Nope'"),
        ("[\"LicenceRSN\"]", "[]", "the key must name one or more"),
        ("\"int\"", "\"integer\"", "line 12: column 'LicenceRSN': unknown type 'integer'"),
        ("\"decimal(2)\"", "\"decimal(30)\"", "line 15: column 'FeePaid': unknown type"),
        ("[\"prove\"]", "[\"show\"]", "line 17: column 'FeePaid': 'show' is not a use"),
        ("budget_bits = 3", "budget_bits = 5000", "line 16: a budget has 0 to 4096 bits"),
        ("\"Notes\"", "\"feepaid\"", "line 21: two columns are named 'feepaid'"),
        ("\"Fee Paid\"", "\"LicenceRSN\"", "line 18: two columns come from 'LicenceRSN'"),
        ("[key]", "[[key", "line 8"),
    ] {
        let message = parse(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(message.starts_with("share manifest /data/share.toml"), "{message}");
        assert!(message.contains(expected), "{message} should contain {expected}");
    }
    let gone = ShareManifest::read(Path::new("/nowhere/share.toml")).unwrap_err().to_string();
    assert!(gone.contains("/nowhere/share.toml"), "{gone}");
}

const POSTGRES: &str = r#"
[asset]
name = "t"
title = "T"
suite = "AES-256-GCM"
hash = "BLAKE3"
[source]
kind = "postgres"
host = "db.example.org"
database = "register"
user = "reader"
table = "public.Licences"
ca = "ca.pem"
password_file = "/etc/sealgate/password"
time_zone = "UTC"
[key]
columns = ["a"]
[[column]]
name = "a"
type = "timestamp"
format = "%Y"
"#;

#[test]
fn a_database_is_named_with_all_that_it_takes() {
    let manifest = parse(POSTGRES).unwrap();
    let SourceSpec::Postgres(spec) = manifest.source() else { panic!("{manifest:?}") };
    let expected = PostgresSpec {
        host: "db.example.org".into(),
        port: 5432,
        database: "register".into(),
        user: "reader".into(),
        relation: Relation::Table(vec!["public".into(), "Licences".into()]),
        tls: Tls::VerifyFull(Some("/data/ca.pem".into())),
        password_file: Some("/etc/sealgate/password".into()),
    };
    assert_eq!(*spec, expected);
    assert_eq!((manifest.suite().name(), manifest.hash().name()), ("AES-256-GCM", "BLAKE3"));
    assert_eq!(manifest.columns()[0].nulls, Vec::<String>::new());
    assert_eq!(manifest.columns()[0].format.as_deref(), Some("%Y"));
    let refused = manifest.with_source(Path::new("x.csv")).unwrap_err().to_string();
    assert!(refused.contains("its rows come from a database"), "{refused}");
    let query = parse(&POSTGRES.replace("table = \"public.Licences\"", "query = \" SELECT 1 -- one ;\\n; \"")).unwrap();
    let SourceSpec::Postgres(spec) = query.source() else { panic!("{query:?}") };
    assert_eq!(spec.relation, Relation::Query("SELECT 1 -- one".into()));
}

#[test]
fn options_of_other_kinds_and_bad_ones_are_refused_with_their_line() {
    let line = |text: &str, from: &str, to: &str, expected: &str| {
        let message = parse(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message} should contain {expected}");
    };
    for (from, to, expected) in [
        ("\"AES-256-GCM\"", "\"ROT13\"", "line 5: 'ROT13' is unknown here"),
        ("\"BLAKE3\"", "\"MD5\"", "line 6: 'MD5' is unknown here"),
        ("kind = \"postgres\"", "kind = \"parquet\"\npath = \"x\"", "line 10: 'host' is no option of a parquet source"),
        ("time_zone", "delimiter = \";\"\ntime_zone", "line 15: 'delimiter' is no option of a postgres source"),
        ("host = \"db.example.org\"\n", "", "line 8: a postgres source needs 'host'"),
        ("table = \"public.Licences\"\n", "", "line 8: a postgres source needs 'table' or 'query'"),
        ("time_zone", "query = \"SELECT 1\"\ntime_zone", "line 15: give 'table' or 'query', not both"),
        ("public.Licences", "a.b.c", "line 12: a table is written as"),
        ("time_zone", "tls = \"off\"\ntime_zone", "line 13: 'ca' has no meaning with tls = \"off\""),
        ("time_zone", "tls = \"prefer\"\ntime_zone", "line 15: tls is \"verify-full\""),
        ("\"db.example.org\"", "\"/run/postgresql\"", "line 9: a socket's connection has no TLS"),
        ("\"UTC\"", "\"Mars/Olympus\"", "line 15: 'Mars/Olympus' is no time zone here"),
        ("\"%Y\"", "\"%!\"", "line 21: column 'a': "),
        ("format = \"%Y\"", "decimal_comma = true", "line 21: column 'a': only decimals have a decimal comma"),
        ("\"timestamp\"", "\"text\"", "line 21: column 'a': only dates and timestamps have a format"),
    ] {
        line(POSTGRES, from, to, expected);
    }
    for (from, to, expected) in [
        ("path = \"licences.csv\"\n", "", "line 6: a csv source needs 'path'"),
        ("[key]", "encoding = \"klingon\"\n[key]", "line 8: 'klingon' is no encoding known here"),
        ("[key]", "quote = \"ab\"\n[key]", "line 8: 'ab' cannot quote cells"),
        ("[key]", "quote = \",\"\n[key]", "line 8: the same character cannot quote and delimit"),
        ("\"csv\"", "\"jsonl\"\nquote = \"'\"", "line 7: 'quote' is no option of a jsonl source"),
        ("[key]", "port = 1\n[key]", "line 8: 'port' is no option of a csv source"),
        ("[key]", "colour = 1\n[key]", "line 8"),
    ] {
        line(GOOD, from, to, expected);
    }
}
