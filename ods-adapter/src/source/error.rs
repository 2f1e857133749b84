//! Why a source gives no rows.

use std::path::PathBuf;

use super::{Rejected, quoted};

/// Most names of columns that a message lists.
const NAMES_LISTED: usize = 60;
/// Longest text of another's that a message repeats, in characters.
const WHAT_CHARS_MAX: usize = 600;

/// Why a source gives no rows. Every message names the source and where in it.
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
    /// A column that the manifest names is not there.
    #[error(
        "{name} has no column '{column}'; its columns are: {present}. Correct the name, or give 'source' in the manifest"
    )]
    MissingColumn {
        /// The source.
        name: String,
        /// The column as the source should call it.
        column: String,
        /// What it has instead.
        present: String,
    },
    /// A column that the manifest names is there more than once.
    #[error("{name} has {times} columns '{column}': rename all but one")]
    RepeatedColumn {
        /// The source.
        name: String,
        /// The column.
        column: String,
        /// How often it is there.
        times: usize,
    },
    /// A column holds what no type of ours does.
    #[error("{name}, column '{column}': {what}")]
    Column {
        /// The source.
        name: String,
        /// The column, as the source calls it.
        column: String,
        /// What it holds, and what to do.
        what: String,
    },
    /// A row is no record, and the manifest says to stop at such rows.
    #[error("{name}, {row}")]
    Row {
        /// The source.
        name: String,
        /// Where, and what is wrong.
        row: Rejected,
    },
    /// The file is not in the encoding that it should be in.
    #[error("{path}, {what}")]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Where, and what to do.
        what: String,
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
    /// The file is not of its kind, or was damaged.
    #[error("{path}, {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, and what is wrong.
        what: String,
    },
    /// The file became another one, or was written to, while it was read.
    #[error(
        "{path} was changed while it was read, so its rows are of no one state: try again when nothing writes to it, or share a copy"
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A database stopped giving rows.
    #[error("{name}: behind row {rows}: {what}")]
    Rows {
        /// The source.
        name: String,
        /// How many it had given.
        rows: u64,
        /// What it said.
        what: String,
    },
    /// A database could not be reached or refused.
    #[error("{name}: {what}")]
    Database {
        /// The source.
        name: String,
        /// What it said, or what is missing.
        what: String,
    },
}

impl SourceError {
    /// A database's refusal, its text bounded.
    pub(super) fn database(name: &str, what: &str) -> Self {
        Self::Database { name: name.into(), what: what.chars().take(WHAT_CHARS_MAX).collect() }
    }

    /// A database's last word behind so many rows, its text bounded.
    pub(super) fn rows(name: &str, rows: u64, what: &str) -> Self {
        Self::Rows { name: name.into(), rows, what: what.chars().take(WHAT_CHARS_MAX).collect() }
    }

    /// Whether the message may quote rows: then it is for the owner's eyes, and for no log.
    pub fn quotes_rows(&self) -> bool {
        matches!(self, Self::Row { .. } | Self::Encoding { .. } | Self::Damaged { .. } | Self::Rows { .. })
    }

    /// A damaged file, the text bounded.
    pub(super) fn damaged(path: &std::path::Path, what: &str) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.chars().take(WHAT_CHARS_MAX).collect() }
    }

    /// A column that is not among those of the source.
    pub(super) fn missing(name: &str, column: &str, present: &[String]) -> Self {
        let listed: Vec<_> = present.iter().take(NAMES_LISTED).map(|name| format!("'{}'", quoted(name))).collect();
        let mut listed = listed.join(", ");
        if present.len() > NAMES_LISTED {
            listed.push_str(&format!(" and {} more", present.len() - NAMES_LISTED));
        }
        Self::MissingColumn { name: name.into(), column: column.into(), present: listed }
    }
}
