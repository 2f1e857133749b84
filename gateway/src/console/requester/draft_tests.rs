use sealgate_circuits::question::sql::parse_predicate;
use sealgate_circuits::schema::{Column, ColumnUse};
use sealgate_circuits::value::ColumnType;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, TxHash};

use super::*;

fn schema() -> Schema {
    let allowed = ColumnUse { disclose: true, prove: true };
    let column = |name: &str, kind| Column { name: name.into(), kind, allowed };
    let columns = vec![
        column("id", ColumnType::Int),
        column("part", ColumnType::Text),
        column("fee", ColumnType::Decimal(2)),
        column("Area", ColumnType::Text),
    ];
    Schema { columns, key: vec![0, 1] }
}

fn grant() -> GrantView {
    let schema = schema();
    let prove = ["fee >= ?", "fee BETWEEN ? AND ?", "\"Area\" IN (?, ?, ?)", "fee >= 500"];
    let prove = prove.iter().map(|text| parse_predicate(text, &schema).unwrap()).collect();
    let terms = GrantTerms {
        disclose: vec![2],
        whole: vec![],
        prove,
        existence: true,
        purpose: "check".into(),
        not_before_ms: Some(10),
        until_ms: Some(20),
        quota: Some(3),
        bits: None,
    };
    let (asset, to, granted_by) = (AssetId([1; 32]), Address([2; 32]), TxHash([3; 32]));
    GrantView { asset, to, terms, used: 1, granted_by, height: BlockHeight(1) }
}

fn form(encoded: &str) -> Draft {
    Draft::read(&Fields::read(encoded.as_bytes()), &schema(), &grant().terms)
}

fn composed(encoded: &str) -> Result<Ready, Wrong> {
    form(encoded).composed(Lang::En, "shop", &schema(), &grant().terms)
}

#[test]
fn what_is_ticked_becomes_sql() {
    for (encoded, sql) in [
        ("see=2&k-0=7&k-1=a%27b", "SELECT fee FROM shop WHERE id = 7 AND part = 'a''b'"),
        (
            "see=2&prove=0&c-0-0-0=12.5&prove=3&k-0=7&k-1=x",
            "SELECT fee, fee >= 12.50, fee >= 500.00 FROM shop WHERE id = 7 AND part = 'x'",
        ),
        (
            "prove=1&c-1-0-0=1&c-1-0-1=2&k-0=7&k-1=x",
            "SELECT fee BETWEEN 1.00 AND 2.00 FROM shop WHERE id = 7 AND part = 'x'",
        ),
        ("prove=2&c-2-0-0=B%0D%0AA&k-0=7&k-1=x", "SELECT Area IN ('B', 'A') FROM shop WHERE id = 7 AND part = 'x'"),
        ("exists=1&k-0=7&k-1=x", "SELECT 1 FROM shop WHERE id = 7 AND part = 'x'"),
        ("see=2&many=id,part%0D%0A1,a%0D%0A2,%22b,c%22", "SELECT fee FROM shop WHERE id = ? AND part = ?"),
    ] {
        let ready = composed(encoded).unwrap_or_else(|wrong| panic!("{encoded}: {wrong:?}"));
        assert_eq!(ready.sql, sql);
        assert_eq!(foreseen(&ready.question, "check", &grant(), 15), None, "{sql}");
    }
    let ready = composed("see=2&many=1,a%0A2,%22b,c%22").unwrap();
    assert_eq!(ready.keys.unwrap().lines, [(1, vec!["1".into(), "a".into()]), (2, vec!["2".into(), "b,c".into()])]);
}

#[test]
fn what_is_wrong_is_told_beside_its_field() {
    for (encoded, field) in [
        ("k-0=7&k-1=x", "see"),
        ("see=2", "k-0"),
        ("see=2&k-0=x&k-1=x", "k-0"),
        ("see=2&k-0=7", "k-1"),
        ("prove=0&k-0=7&k-1=x", "c-0-0-0"),
        ("prove=0&c-0-0-0=many&k-0=7&k-1=x", "c-0-0-0"),
        ("prove=1&c-1-0-0=1&k-0=7&k-1=x", "c-1-0-1"),
        ("prove=2&c-2-0-0=a%0Ab%0Ac%0Ad&k-0=7&k-1=x", "c-2-0-0"),
        ("see=2&k-0=7&k-1=x&many=1,a", "many"),
        ("see=2&many=1", "many"),
        ("see=2&many=1,a%0A1,a", "many"),
    ] {
        let wrong = composed(encoded).unwrap_err();
        assert!(!wrong.beside(field).into_string().is_empty(), "{encoded}: {wrong:?}");
    }
    // What was not granted cannot be ticked.
    assert_eq!(form("see=3&prove=9&see=x").see, [0u8; 0]);
}

#[test]
fn denials_are_foreseen() {
    let ask = |sql: &str| parse_question(sql, &schema(), Vec::new()).unwrap();
    let why = |sql: &str| foreseen(&ask(sql), "check", &grant(), 15);
    let key = "WHERE id = 1 AND part = 'x'";
    assert_eq!(why(&format!("SELECT \"Area\" FROM shop {key}")), Some(DenyReason::Field { column: 3 }));
    assert_eq!(why(&format!("SELECT fee, fee < 5 FROM shop {key}")), Some(DenyReason::Predicate { item: 1 }));
    let good = ask(&format!("SELECT fee FROM shop {key}"));
    assert_eq!(foreseen(&good, "other", &grant(), 15), Some(DenyReason::Purpose));
    assert_eq!(foreseen(&good, "check", &grant(), 5), Some(DenyReason::NotYet));
    assert_eq!(foreseen(&good, "check", &grant(), 25), Some(DenyReason::Expired));
    let used = GrantView { used: 3, ..grant() };
    assert_eq!(foreseen(&good, "check", &used, 15), Some(DenyReason::QuotaUsed));
}
