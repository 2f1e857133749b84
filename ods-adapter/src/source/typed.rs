//! Cells of any source as the values of a schema.

use std::borrow::Cow;

use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use sealgate_circuits::schema::Column;
use sealgate_circuits::value::{ColumnType, Value};

use super::{Place, Read, Rejected, Row, Source, SourceError, Table, quoted};
use crate::manifest::{ColumnSource, OnBadRow, ShareManifest};

/// The rows of a table as a manifest sees them.
pub(super) struct Typed {
    table: Box<dyn Table>,
    columns: Vec<TypedColumn>,
    time_zone: Option<TimeZone>,
    on_bad_row: OnBadRow,
    rows_read: u64,
}

struct TypedColumn {
    column: Column,
    source: ColumnSource,
    is_key: bool,
}

impl Typed {
    pub(super) fn new(manifest: &ShareManifest, mut table: Box<dyn Table>) -> Result<Self, SourceError> {
        let names: Vec<String> = manifest.columns().iter().map(|column| column.name.clone()).collect();
        table.choose(&names)?;
        let schema = manifest.schema();
        let is_key = |position: usize| schema.key.iter().any(|key| usize::from(*key) == position);
        let columns = schema.columns.iter().zip(manifest.columns()).enumerate().map(|(position, (column, source))| {
            TypedColumn { column: column.clone(), source: source.clone(), is_key: is_key(position) }
        });
        Ok(Self {
            table,
            columns: columns.collect(),
            time_zone: manifest.time_zone().cloned(),
            on_bad_row: manifest.on_bad_row(),
            rows_read: 0,
        })
    }

    /// The row just read as the schema's values, or what is wrong with it and in which column.
    fn values(&self, fault: Option<String>) -> Result<Vec<Value>, (Option<String>, String)> {
        if let Some(what) = fault {
            return Err((None, what));
        }
        let value = |(at, column): (usize, &TypedColumn)| {
            let cell = self.table.cell(at);
            let value = cell.and_then(|cell| column.value(cell, self.time_zone.as_ref()));
            value.map_err(|what| (Some(column.column.name.clone()), what))
        };
        self.columns.iter().enumerate().map(value).collect()
    }
}

impl Source for Typed {
    fn next(&mut self) -> Result<Option<Read>, SourceError> {
        let Some(Place { line, fault }) = self.table.advance()? else { return Ok(None) };
        self.rows_read += 1;
        let number = self.rows_read;
        match self.values(fault) {
            Ok(values) => Ok(Some(Read::Row(Row { number, line, values }))),
            Err((column, what)) => {
                let row = Rejected { row: number, line, column, what };
                match self.on_bad_row {
                    OnBadRow::Stop => Err(SourceError::Row { name: self.name(), row }),
                    OnBadRow::SetAside => Ok(Some(Read::Rejected(row))),
                }
            }
        }
    }

    fn size_hint(&self) -> Option<(u64, u64)> {
        self.table.size_hint()
    }

    fn name(&self) -> String {
        self.table.name()
    }
}

impl TypedColumn {
    fn value(&self, cell: Option<Cow<'_, str>>, zone: Option<&TimeZone>) -> Result<Value, String> {
        match cell {
            Some(text) if !self.source.nulls.iter().any(|null| *null == text) => {
                let text = if self.source.decimal_comma { with_point(&text)? } else { text };
                parse(&text, self.column.kind, self.source.format.as_deref(), zone)
            }
            _ if self.is_key => Err("null in a key column; each record needs a key".into()),
            _ => Ok(Value::Null),
        }
    }
}

/// A number with a point for its comma. With both, or several, one is no number's comma.
fn with_point(text: &str) -> Result<Cow<'static, str>, String> {
    let marks = text.bytes().filter(|byte| matches!(byte, b',' | b'.')).count();
    match text.contains('.') || marks > 1 {
        true => Err(format!("'{}' is no decimal with a comma for the point", quoted(text))),
        false => Ok(Cow::Owned(text.replace(',', "."))),
    }
}

/// Reads a text as a value of `kind`. Times without an offset are of the zone `zone`.
pub(crate) fn parse(
    text: &str,
    kind: ColumnType,
    format: Option<&str>,
    zone: Option<&TimeZone>,
) -> Result<Value, String> {
    if let Some(format) = format {
        return by_format(text, kind, format, zone);
    }
    Value::parse(text, kind).or_else(|error| {
        let civil = if kind == ColumnType::Timestamp { text.parse::<jiff::civil::DateTime>().ok() } else { None };
        // A day alone reads as its midnight, which is more than it says.
        match civil.filter(|_| text.contains(':')) {
            Some(civil) => in_zone(text, civil, zone),
            None => Err(error.to_string()),
        }
    })
}

fn by_format(text: &str, kind: ColumnType, format: &str, zone: Option<&TimeZone>) -> Result<Value, String> {
    let unfit = || format!("'{}' is no {kind} as the column's format has it ({format})", quoted(text));
    let parsed = BrokenDownTime::parse(format, text).map_err(|_| unfit())?;
    if kind == ColumnType::Date {
        let date = parsed.to_date().map_err(|_| unfit())?;
        return Value::parse(&date.to_string(), kind).map_err(|error| error.to_string());
    }
    if let Ok(instant) = parsed.to_timestamp() {
        return Value::parse(&instant.to_string(), kind).map_err(|error| error.to_string());
    }
    in_zone(text, parsed.to_datetime().map_err(|_| unfit())?, zone)
}

/// The instant at which clocks in `zone` showed a time.
fn in_zone(text: &str, civil: jiff::civil::DateTime, zone: Option<&TimeZone>) -> Result<Value, String> {
    let text = quoted(text);
    let zone = zone.ok_or_else(|| {
        format!("'{text}' has no offset: say in [source] which clocks it was read from, such as time_zone = \"UTC\"")
    })?;
    let name = zone.iana_name().unwrap_or("that zone");
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    if ambiguous.is_ambiguous() {
        return Err(format!("clocks in {name} showed '{text}' twice or never: its offset must be written beside it"));
    }
    let instant = ambiguous.compatible().map_err(|_| format!("'{text}' is out of range"))?;
    Value::parse(&instant.to_string(), ColumnType::Timestamp).map_err(|error| error.to_string())
}
