//! Sources: where the rows of a shared table come from.

pub mod csv;

use std::path::PathBuf;

use sealgate_circuits::value::Value;

use crate::manifest::{ShareManifest, SourceKind};

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

/// Opens the source of a manifest and finds the manifest's columns in it.
///
/// # Errors
/// [`SourceError`]: it cannot be reached or read, or misses or repeats a column.
pub fn open(manifest: &ShareManifest) -> Result<Box<dyn Source>, SourceError> {
    Ok(match manifest.source_kind() {
        SourceKind::Csv => Box::new(csv::CsvSource::open(manifest)?),
    })
}

/// Why a source gives no rows. Every message names the file and where in it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file could not be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file has no header.
    #[error("{path} is empty: a header line with the columns' names is needed")]
    NoHeader {
        /// The file.
        path: PathBuf,
    },
    /// A column that the manifest names is not in the header.
    #[error(
        "{path} has no column '{column}'; its columns are: {present}. Correct the name, or give 'source' in the manifest"
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column as the source should call it.
        column: String,
        /// What the header names instead.
        present: String,
    },
    /// A column that the manifest names is in the header more than once.
    #[error("{path} has {times} columns '{column}': rename all but one")]
    RepeatedColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// How often it is there.
        times: usize,
    },
    /// A row is no record, and the manifest says to stop at such rows.
    #[error("{name}, {row}")]
    Row {
        /// The source.
        name: String,
        /// Where, and what is wrong.
        row: Rejected,
    },
    /// The header is not UTF-8.
    #[error("{path}, header, cell {cell}: not UTF-8 at byte {byte} of the cell. Convert the file to UTF-8 first")]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The cell, from 1.
        cell: usize,
        /// Offset of the first bad byte in the cell.
        byte: usize,
    },
    /// The file ends inside a quoted cell.
    #[error("{path}, row {row} (line {line}): the file ends inside a quoted cell; it may have been cut")]
    OpenQuote {
        /// The file.
        path: PathBuf,
        /// The data row, from 1; 0 is the header.
        row: u64,
        /// The line on which it starts.
        line: u64,
    },
}

/// Rows of a table, one after the other, in an order that does not change while the source does
/// not. After an error nothing more may be asked.
pub trait Source: Send {
    /// The next row; `None` after the last. Values fit the manifest's schema and no key is null.
    ///
    /// # Errors
    /// [`SourceError`], naming file, row and column. A row that is no record is an error or
    /// [`Read::Rejected`], as the manifest says.
    fn next(&mut self) -> Result<Option<Read>, SourceError>;

    /// Bytes read so far and in all, where that is known.
    fn size_hint(&self) -> Option<(u64, u64)>;

    /// What messages call the source: a path, a table.
    fn name(&self) -> String;
}
