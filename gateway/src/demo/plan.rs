//! Chooses what the demo asks about a table it has not seen before: its first fitting columns.

use sealgate_circuits::question::quoted;
use sealgate_circuits::question::sql::parse_question;
use sealgate_circuits::schema::{Column, Schema};
use sealgate_circuits::value::{ColumnType, Value};
use sealgate_ods::manifest::ShareManifest;
use sealgate_ods::source::{self, Read};

use crate::cli::Failure;

/// Rows that are looked at to find one to ask about.
const ROWS: usize = 200;

/// What is granted and asked.
pub(super) struct Plan {
    pub(super) schema: Schema,
    /// Position of the field that is granted for disclosure.
    pub(super) disclose: u8,
    pub(super) disclosed_name: String,
    /// The predicate that is granted.
    pub(super) predicate: String,
    pub(super) question: String,
    pub(super) absent_question: String,
    pub(super) forbidden_question: String,
}

impl Plan {
    /// Reads the table's first rows and chooses.
    pub(super) fn make(manifest: &ShareManifest) -> Result<Plan, Failure> {
        let schema = manifest.schema();
        schema.validate()?;
        let mut source = source::open(manifest)?;
        let mut rows: Vec<Vec<Value>> = Vec::new();
        while rows.len() < ROWS {
            let Some(Read::Row(row)) = source.next()? else { break };
            rows.push(row.values);
        }
        let unfit = |what: &str| Failure::new(format!("{}: the demo needs {what}", manifest.path().display()));
        let others =
            || schema.columns.iter().enumerate().filter(|(i, _)| !schema.key.iter().any(|k| usize::from(*k) == *i));
        let prefer_text = |(_, column): &(usize, &Column)| column.kind == ColumnType::Text;
        let (shown, shown_column) = others()
            .filter(|(_, column)| column.allowed.disclose)
            .filter(|(i, _)| few_values(&rows, *i))
            .find(prefer_text)
            .or_else(|| others().find(|(_, column)| column.allowed.disclose))
            .ok_or_else(|| unfit("a column beside the key that may be disclosed"))?;
        let (row, predicate) = others()
            .filter(|(i, column)| column.allowed.prove && *i != shown)
            .min_by_key(|(_, column)| !column.kind.is_ordered())
            .and_then(|(i, column)| predicate(&rows, i, column))
            .ok_or_else(|| unfit("a second column, with a value, on which predicates may be proven"))?;
        let forbidden = others().find(|(i, column)| *i != shown && column.allowed.disclose);
        let forbidden = forbidden.map_or_else(|| quoted(&shown_column.name), |(_, column)| quoted(&column.name));
        let table = quoted(manifest.asset_name());
        let values = rows.get(row).ok_or_else(|| unfit("a row"))?;
        let ask = |items: &str, key: &str| format!("SELECT {items} FROM {table} WHERE {key}");
        let key = key_of(&schema, values, false);
        let items = format!("{}, {predicate}", quoted(&shown_column.name));
        let plan = Plan {
            disclose: u8::try_from(shown).map_err(|_| unfit("fewer columns"))?,
            disclosed_name: quoted(&shown_column.name),
            question: ask(&items, &key),
            absent_question: ask(&items, &key_of(&schema, values, true)),
            forbidden_question: ask(&forbidden, &key),
            predicate,
            schema: schema.clone(),
        };
        parse_question(&plan.question, &schema, Vec::new())?;
        Ok(plan)
    }
}

/// Whether a column looks like a small set: the kind of field one would disclose.
fn few_values(rows: &[Vec<Value>], column: usize) -> bool {
    let distinct: std::collections::BTreeSet<&Value> = rows.iter().filter_map(|row| row.get(column)).collect();
    distinct.len() > 1 && distinct.len() <= rows.len() / 4
}

/// A comparison with the middle of the column's values, and a row that has one.
fn predicate(rows: &[Vec<Value>], index: usize, column: &Column) -> Option<(usize, String)> {
    let mut values: Vec<(&Value, usize)> = rows
        .iter()
        .enumerate()
        .filter_map(|(row, values)| values.get(index).map(|value| (value, row)))
        .filter(|(value, _)| **value != Value::Null)
        .collect();
    values.sort();
    let (middle, _) = values.get(values.len() / 2)?;
    let (_, row) = values.get(values.len() * 3 / 4)?;
    let sign = if column.kind.is_ordered() { ">=" } else { "=" };
    Some((*row, format!("{} {sign} {}", quoted(&column.name), middle.literal(column.kind))))
}

/// The key of a row in SQL; `absent` moves its last column to a value that no row has.
fn key_of(schema: &Schema, values: &[Value], absent: bool) -> String {
    let last = schema.key.len().saturating_sub(1);
    let part = |(i, position): (usize, &u8)| {
        let column = schema.at(*position)?;
        let value = values.get(usize::from(*position))?;
        let value = if absent && i == last { elsewhere(value) } else { value.clone() };
        Some(format!("{} = {}", quoted(&column.name), value.literal(column.kind)))
    };
    schema.key.iter().enumerate().filter_map(part).collect::<Vec<_>>().join(" AND ")
}

fn elsewhere(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(format!("{text} - nobody")),
        Value::Int(v) => Value::Int(v.wrapping_neg().wrapping_sub(1)),
        Value::Decimal(v) => Value::Decimal(v.wrapping_neg().wrapping_sub(1)),
        Value::Date(v) => Value::Date(v - 100_000),
        Value::Timestamp(v) => Value::Timestamp(v - 100 * 365 * 86_400_000_000),
        Value::Bool(v) => Value::Bool(!v),
        Value::Null => Value::Null,
    }
}
