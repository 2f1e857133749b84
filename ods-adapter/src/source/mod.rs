//! Sources: where the rows of a shared table come from.

pub mod csv;

use std::path::PathBuf;

use sealgate_circuits::value::{Value, ValueError};

/// One row of a source, typed by the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number among the data rows, from 1, without gaps.
    pub number: u64,
    /// The line on which it starts, from 1.
    pub line: u64,
    /// One value a column, in the schema's order, each null or of its column's type.
    pub values: Vec<Value>,
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
    /// A row has more or fewer cells than the header.
    #[error("{path}, row {row} (line {line}): {found} cells where the header has {expected}")]
    Cells {
        /// The file.
        path: PathBuf,
        /// The data row, from 1.
        row: u64,
        /// The line on which it starts.
        line: u64,
        /// Cells in the row.
        found: usize,
        /// Cells in the header.
        expected: usize,
    },
    /// A cell is not UTF-8.
    #[error("{path}, {place}: not UTF-8 at byte {byte} of the cell. Convert the file to UTF-8 first")]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Row, line and column, or the header.
        place: String,
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
    /// A cell is not a value of its column's type.
    #[error("{path}, row {row} (line {line}), column '{column}': {source}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The data row, from 1.
        row: u64,
        /// The line on which it starts.
        line: u64,
        /// The column, as the schema calls it.
        column: String,
        /// What is wrong with the cell.
        source: ValueError,
    },
    /// A key column is null.
    #[error("{path}, row {row} (line {line}), column '{column}': null in a key column; each record needs a key")]
    NullKey {
        /// The file.
        path: PathBuf,
        /// The data row, from 1.
        row: u64,
        /// The line on which it starts.
        line: u64,
        /// The column, as the schema calls it.
        column: String,
    },
}

/// Rows of a table, one after the other, in an order that does not change while the source does
/// not. After an error nothing more may be asked.
pub trait Source: Send {
    /// The next row; `None` after the last. Values fit the manifest's schema and no key is null.
    ///
    /// # Errors
    /// [`SourceError`], naming file, row and column.
    fn next(&mut self) -> Result<Option<Row>, SourceError>;

    /// Bytes read so far and in all, where that is known.
    fn size_hint(&self) -> Option<(u64, u64)>;

    /// What messages call the source: a path, a table.
    fn name(&self) -> String;
}
