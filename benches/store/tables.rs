//! The tables: two real ones, and one of any size that is never in memory whole.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sealgate_benches::Fault;
use sealgate_circuits::value::Value;
use sealgate_ods::{Read, Row, ShareManifest, Source, SourceError};

/// Columns of the generated table.
const GENERATED: [(&str, &str); 15] = [
    ("Id", "int"),
    ("Licence", "text"),
    ("Status", "text"),
    ("Trade", "text"),
    ("House", "int"),
    ("Street", "text"),
    ("Area", "text"),
    ("City", "text"),
    ("Fee", "decimal(2)"),
    ("Employees", "int"),
    ("Active", "bool"),
    ("Issued", "date"),
    ("Expires", "date"),
    ("Updated", "timestamp"),
    ("Remark", "text"),
];
const VILLAGES: [(&str, &str); 6] = [
    ("code", "int"),
    ("name", "text"),
    ("streetCode", "int"),
    ("provinceCode", "int"),
    ("cityCode", "int"),
    ("areaCode", "int"),
];
const FLIGHTS: [(&str, &str); 19] = [
    ("year", "int"),
    ("month", "int"),
    ("day", "int"),
    ("dep_time", "int"),
    ("sched_dep_time", "int"),
    ("dep_delay", "int"),
    ("arr_time", "int"),
    ("sched_arr_time", "int"),
    ("arr_delay", "int"),
    ("carrier", "text"),
    ("flight", "int"),
    ("tailnum", "text"),
    ("origin", "text"),
    ("dest", "text"),
    ("air_time", "int"),
    ("distance", "int"),
    ("hour", "int"),
    ("minute", "int"),
    ("time_hour", "timestamp"),
];

/// A table to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Table {
    /// 620,573 divisions of China, 6 columns.
    Villages,
    /// 336,776 flights, 19 columns, a key of three.
    Flights,
    /// So many rows of 15 columns.
    Generated(usize),
}

impl Table {
    /// Its name on the command line of a child, and back.
    pub(crate) fn word(&self) -> String {
        match self {
            Table::Villages => "villages".into(),
            Table::Flights => "flights".into(),
            Table::Generated(rows) => format!("generated{rows}"),
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Table> {
        match word {
            "villages" => Some(Table::Villages),
            "flights" => Some(Table::Flights),
            other => other.strip_prefix("generated").and_then(|rows| rows.parse().ok()).map(Table::Generated),
        }
    }

    /// Where a real one lies.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        match self {
            Table::Villages => Some(data.join("villages/villages.csv")),
            Table::Flights => Some(data.join("flights/flights.csv")),
            Table::Generated(_) => None,
        }
    }

    /// A column that is text, for whole columns and for changes.
    pub(crate) fn text_column(&self) -> u8 {
        match self {
            Table::Villages => 1,
            Table::Flights => 13,
            Table::Generated(_) => 14,
        }
    }

    pub(crate) fn manifest(&self) -> Result<ShareManifest, Fault> {
        let (columns, key): (&[_], _) = match self {
            Table::Villages => (&VILLAGES, "'code'"),
            Table::Flights => (&FLIGHTS, "'time_hour', 'carrier', 'flight'"),
            Table::Generated(_) => (&GENERATED, "'Id'"),
        };
        let path = self.file().unwrap_or_else(|| "generated.csv".into());
        let mut text = "[asset]\nname='bench'\ntitle='Bench'\n[source]\nkind='csv'\n".to_owned();
        let _ = writeln!(text, "path={:?}\nnull=['NA', '']\n[key]\ncolumns=[{key}]", path.display().to_string());
        for (name, kind) in columns {
            let _ = writeln!(text, "[[column]]\nname='{name}'\ntype='{kind}'");
        }
        Ok(ShareManifest::parse(&text, Path::new("share.toml"))?)
    }

    pub(crate) fn open(&self) -> Result<Box<dyn Source>, Fault> {
        match self {
            Table::Generated(rows) => Ok(Box::new(Generated { next: 0, rows: *rows })),
            _ => Ok(sealgate_ods::source::open(&self.manifest()?)?),
        }
    }
}

/// Rows that are made when they are asked for.
struct Generated {
    next: usize,
    rows: usize,
}

impl Source for Generated {
    fn next(&mut self) -> Result<Option<Read>, SourceError> {
        let i = self.next;
        if i == self.rows {
            return Ok(None);
        }
        self.next += 1;
        let text = |text: String| Value::Text(text);
        let int = |value: usize| Value::Int(i64::try_from(value).unwrap_or(i64::MAX));
        let day = 19_700 + i64::try_from(i % 365).unwrap_or_default();
        let values = vec![
            int(i),
            text(format!("25-{i:08}")),
            text(format!("status {}", i % 5)),
            text(format!("Trade number {}", i % 300)),
            int(i % 9000),
            text(format!("{} Street, West", i % 700)),
            text(format!("Area {}", i * 7 % 24)),
            text("Vancouver".into()),
            Value::Decimal(i64::try_from(i % 400_000).unwrap_or_default()),
            int(i % 60),
            Value::Bool(i.is_multiple_of(3)),
            Value::Date(day),
            Value::Date(day + 365),
            Value::Timestamp(1_700_000_000_000_000 + i64::try_from(i).unwrap_or_default() * 1_000_000),
            text(format!("Remark {i} of the clerk")),
        ];
        Ok(Some(Read::Row(Row { number: self.next as u64, line: None, values })))
    }

    fn size_hint(&self) -> Option<(u64, u64)> {
        None
    }

    fn name(&self) -> String {
        "generated".into()
    }
}

/// A source of which every `each`-th row has another text in `column`.
pub(crate) struct Changed {
    pub(crate) source: Box<dyn Source>,
    pub(crate) column: u8,
    pub(crate) each: u64,
}

impl Source for Changed {
    fn next(&mut self) -> Result<Option<Read>, SourceError> {
        let mut read = self.source.next()?;
        if let Some(Read::Row(row)) = &mut read
            && row.number % self.each == 1
            && let Some(value) = row.values.get_mut(usize::from(self.column))
        {
            *value = Value::Text(format!("changed in row {}", row.number));
        }
        Ok(read)
    }

    fn size_hint(&self) -> Option<(u64, u64)> {
        self.source.size_hint()
    }

    fn name(&self) -> String {
        self.source.name()
    }
}
