//! Sources: where the rows of a shared table come from (docs/spec/manifest.md#source).

mod batch;
mod csv;
mod error;
mod json;
mod parquet;
mod postgres;
mod text;
mod typed;
mod watched;

#[cfg(test)]
mod conformance;

use std::borrow::Cow;

use sealgate_circuits::value::Value;

pub use error::SourceError;
pub(crate) use text::mark_of;

use self::watched::Watched;
use crate::manifest::{ShareManifest, SourceSpec};

/// What a source says of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// It is a record.
    Row(Row),
    /// It is not, and the manifest says to set such rows aside.
    Rejected(Rejected),
}

/// One row of a source, typed by the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number among the data rows, from 1; rejected rows count too.
    pub number: u64,
    /// The line on which it starts, from 1, where the source has lines.
    pub line: Option<u64>,
    /// One value a column, in the schema's order, each null or of its column's type.
    pub values: Vec<Value>,
}

/// Why one row is no record. It may quote the row: for the owner's eyes only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The row's number among the data rows, from 1.
    pub row: u64,
    /// The line on which it starts, from 1, where the source has lines.
    pub line: Option<u64>,
    /// The column at fault, as the schema calls it, where it is one.
    pub column: Option<String>,
    /// What is wrong; a few hundred bytes at most, whatever the row holds.
    pub what: String,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "row {}", self.row)?;
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column '{column}'")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Rows of a table, one after the other, in an order that does not change while the source does
/// not. What changes while it is read gives an error in the place of the end: a database's rows are of one
/// snapshot, a file's state is compared. After an error nothing more may be asked.
pub trait Source: Send {
    /// The next row; `None` after the last, however often it is asked. Values fit the manifest's schema and no key is null.
    ///
    /// # Errors
    /// [`SourceError`], naming source, row and column. A row that is no record is an error or
    /// [`Read::Rejected`], as the manifest says.
    fn next(&mut self) -> Result<Option<Read>, SourceError>;

    /// Bytes read so far and in all, where that is known.
    fn size_hint(&self) -> Option<(u64, u64)>;

    /// What messages call the source: a path, a table.
    fn name(&self) -> String;
}

/// Opens the source of a manifest and finds the manifest's columns in it.
///
/// # Errors
/// [`SourceError`]: it cannot be reached or read, or misses or repeats a column.
pub fn open(manifest: &ShareManifest) -> Result<Box<dyn Source>, SourceError> {
    let schema = manifest.schema();
    let key = schema.key.iter().filter_map(|at| manifest.columns().get(usize::from(*at)));
    let key: Vec<String> = key.map(|column| column.name.clone()).collect();
    let table = open_table(manifest.source(), &key)?;
    Ok(Box::new(typed::Typed::new(manifest, table)?))
}

/// Opens a source as cells without types. A database gives its rows in the order of `key`.
pub(crate) fn open_table(spec: &SourceSpec, key: &[String]) -> Result<Box<dyn Table>, SourceError> {
    Ok(match spec {
        SourceSpec::Csv(spec) => Box::new(Watched::open(&spec.path, |_| csv::CsvTable::open(spec))?),
        SourceSpec::JsonL(path) => {
            Box::new(Watched::open(path, |path| json::JsonTable::open(path, json::Form::Lines))?)
        }
        SourceSpec::Json(path) => Box::new(Watched::open(path, |path| json::JsonTable::open(path, json::Form::Array))?),
        SourceSpec::Parquet(path) => Box::new(Watched::open(path, parquet::ParquetTable::open)?),
        SourceSpec::Postgres(spec) => Box::new(postgres::PostgresTable::open(spec, key)?),
    })
}

/// A table as its source has it: named columns of texts. First [`Table::choose`], then row after
/// row.
pub(crate) trait Table: Send {
    /// The names of all columns in order. May read the whole source; not after `choose`.
    fn columns(&mut self) -> Result<Vec<String>, SourceError>;

    /// Says which columns the rows are to have. Each must be there once.
    fn choose(&mut self, names: &[String]) -> Result<(), SourceError>;

    /// Goes to the next row; `None` after the last, however often it is asked.
    fn advance(&mut self) -> Result<Option<Place>, SourceError>;

    /// The cell of the row in the column chosen at this position: null, a text, or what is wrong.
    fn cell(&self, chosen: usize) -> Result<Option<Cow<'_, str>>, String>;

    /// As [`Source::size_hint`].
    fn size_hint(&self) -> Option<(u64, u64)>;

    /// As [`Source::name`].
    fn name(&self) -> String;
}

/// Where a row is, and whether it is one.
pub(crate) struct Place {
    /// The line on which it starts, where the source has lines.
    pub(crate) line: Option<u64>,
    /// What is wrong with the row as a whole; then it has no cells.
    pub(crate) fault: Option<String>,
}

/// Where the chosen columns are among all.
fn find(name: &str, all: &[String], chosen: &[String]) -> Result<Vec<usize>, SourceError> {
    let place_of = |column: &String| {
        let mut places = all.iter().enumerate().filter(|(_, other)| *other == column).map(|(place, _)| place);
        let Some(place) = places.next() else {
            return Err(SourceError::missing(name, column, all));
        };
        match places.count() {
            0 => Ok(place),
            more => Err(SourceError::RepeatedColumn { name: name.into(), column: column.clone(), times: more + 1 }),
        }
    };
    chosen.iter().map(place_of).collect()
}

/// At most so many characters of a text that a message quotes.
const QUOTED_CHARS: usize = 60;

/// A text as messages quote it: cut, and without control characters.
fn quoted(text: &str) -> String {
    let mut cut: String = text.chars().take(QUOTED_CHARS).collect();
    let whole = cut.len() == text.len();
    cut = cut.escape_debug().collect();
    if !whole {
        cut.push('…');
    }
    cut
}
