//! Comma-separated values (RFC 4180, and what is found in practice: BOM, CRLF, other delimiters).

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Position, Reader, ReaderBuilder};
use sealgate_circuits::schema::Column;
use sealgate_circuits::value::Value;

use super::{Read, Rejected, Row, Source, SourceError};
use crate::manifest::{ColumnSource, OnBadRow, ShareManifest};

/// UTF-8's byte order mark.
const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];
/// How much is read from the file at once.
const BUFFER_BYTES: usize = 1 << 16;
/// Most names of a header that a message lists.
const NAMES_LISTED: usize = 60;

/// The rows of one CSV file, as a share manifest sees them.
pub struct CsvSource {
    path: PathBuf,
    reader: Reader<Tee<File>>,
    record: ByteRecord,
    columns: Vec<CellColumn>,
    header_cells: usize,
    on_bad_row: OnBadRow,
    rows_read: u64,
    delimiter: u8,
    /// Bytes before the first that the CSV reader sees.
    skipped_bytes: u64,
    total_bytes: u64,
    /// Where the record read last begins, line ends before it included.
    last: Position,
    /// The line of its first cell.
    line: u64,
}

struct CellColumn {
    column: Column,
    source: ColumnSource,
    is_key: bool,
    cell: usize,
}

impl CsvSource {
    /// Opens the manifest's source and finds its columns in the header.
    ///
    /// # Errors
    /// [`SourceError`]: the file cannot be read, has no header, misses or repeats a named column,
    /// or the header is not UTF-8.
    pub fn open(manifest: &ShareManifest) -> Result<Self, SourceError> {
        let path = manifest.source_path().to_owned();
        let (file, skipped_bytes, total_bytes) =
            open_after_bom(&path).map_err(|source| SourceError::File { path: path.clone(), source })?;
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(manifest.delimiter())
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(Tee { inner: file, kept: Vec::new(), kept_from: 0 });
        let mut source = Self {
            path,
            reader,
            record: ByteRecord::new(),
            columns: Vec::new(),
            header_cells: 0,
            on_bad_row: manifest.on_bad_row(),
            rows_read: 0,
            delimiter: manifest.delimiter(),
            skipped_bytes,
            total_bytes,
            last: Position::new(),
            line: 1,
        };
        source.read_header(manifest)?;
        Ok(source)
    }

    fn read_header(&mut self, manifest: &ShareManifest) -> Result<(), SourceError> {
        if !self.advance()? {
            return Err(SourceError::NoHeader { path: self.path.clone() });
        }
        let mut names = Vec::with_capacity(self.record.len());
        for (index, cell) in self.record.iter().enumerate() {
            let name = std::str::from_utf8(cell).map_err(|error| SourceError::Encoding {
                path: self.path.clone(),
                cell: index + 1,
                byte: error.valid_up_to(),
            })?;
            names.push(name.to_owned());
        }
        let schema = manifest.schema();
        for (position, (column, source)) in schema.columns.iter().zip(manifest.columns()).enumerate() {
            let mut cells = names.iter().enumerate().filter(|(_, name)| **name == source.name).map(|(cell, _)| cell);
            let cell = cells.next().ok_or_else(|| SourceError::MissingColumn {
                path: self.path.clone(),
                column: source.name.clone(),
                present: list(&names),
            })?;
            let more = cells.count();
            if more > 0 {
                return Err(SourceError::RepeatedColumn {
                    path: self.path.clone(),
                    column: source.name.clone(),
                    times: more + 1,
                });
            }
            let is_key = schema.key.iter().any(|key| usize::from(*key) == position);
            self.columns.push(CellColumn { column: column.clone(), source: source.clone(), is_key, cell });
        }
        self.header_cells = names.len();
        Ok(())
    }

    /// Reads one record; false at the end of the file.
    fn advance(&mut self) -> Result<bool, SourceError> {
        let failed = |source: io::Error| SourceError::File { path: self.path.clone(), source };
        let more = self.reader.read_byte_record(&mut self.record).map_err(|error| failed(error.into()))?;
        if !more {
            // The csv crate takes a file cut inside quotes for whole; the last record tells.
            if ends_in_quotes(self.reader.get_ref().after(self.last.byte()), self.delimiter) {
                return Err(SourceError::OpenQuote { path: self.path.clone(), row: self.rows_read, line: self.line });
            }
            return Ok(false);
        }
        if let Some(position) = self.record.position() {
            self.last = position.clone();
        }
        // A record's position comes before the line ends and empty lines that it skips.
        let raw = self.reader.get_ref().after(self.last.byte());
        let skipped =
            raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n').count();
        self.line = self.last.line() + skipped as u64;
        self.reader.get_mut().forget_before(self.last.byte());
        Ok(true)
    }

    /// The row just read as the schema's values, or what is wrong with it and in which column.
    fn values(&self) -> Result<Vec<Value>, (Option<String>, String)> {
        if self.record.len() != self.header_cells {
            let what = format!("{} cells where the header has {}", self.record.len(), self.header_cells);
            return Err((None, what));
        }
        let named = |column: &CellColumn| {
            let cell = self.record.get(column.cell).unwrap_or_default();
            value(cell, column).map_err(|what| (Some(column.column.name.clone()), what))
        };
        self.columns.iter().map(named).collect()
    }
}

fn value(cell: &[u8], column: &CellColumn) -> Result<Value, String> {
    let text = std::str::from_utf8(cell).map_err(|error| {
        format!("not UTF-8 at byte {} of the cell. Convert the file to UTF-8 first", error.valid_up_to())
    })?;
    if !column.source.nulls.iter().any(|null| null == text) {
        return Value::parse(text, column.column.kind).map_err(|error| error.to_string());
    }
    if column.is_key {
        return Err("null in a key column; each record needs a key".into());
    }
    Ok(Value::Null)
}

impl Source for CsvSource {
    fn next(&mut self) -> Result<Option<Read>, SourceError> {
        if !self.advance()? {
            return Ok(None);
        }
        self.rows_read += 1;
        let (number, line) = (self.rows_read, Some(self.line));
        match self.values() {
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
        Some((self.skipped_bytes + self.reader.position().byte(), self.total_bytes))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

fn list(names: &[String]) -> String {
    let mut text =
        names.iter().take(NAMES_LISTED).map(|name| format!("'{}'", name.escape_debug())).collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_LISTED {
        text.push_str(&format!(" and {} more", names.len() - NAMES_LISTED));
    }
    text
}

/// The file behind its byte order mark, the mark's length and the file's.
fn open_after_bom(path: &Path) -> io::Result<(File, u64, u64)> {
    let mut file = File::open(path)?;
    let total = file.metadata()?.len();
    let mut start = Vec::with_capacity(BOM.len());
    file.by_ref().take(BOM.len() as u64).read_to_end(&mut start)?;
    let skipped = if start == BOM { BOM.len() as u64 } else { 0 };
    file.seek(SeekFrom::Start(skipped))?;
    Ok((file, skipped, total))
}

/// Passes bytes on and keeps those from the current record onward.
struct Tee<R> {
    inner: R,
    kept: Vec<u8>,
    /// Offset of the first byte kept.
    kept_from: u64,
}

impl<R: io::Read> io::Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl<R> Tee<R> {
    /// What was read from `offset` on.
    fn after(&self, offset: u64) -> &[u8] {
        let skip = usize::try_from(offset.saturating_sub(self.kept_from)).unwrap_or(usize::MAX);
        self.kept.get(skip..).unwrap_or_default()
    }

    /// Lets go of what lies before `offset`, once that is worth the move.
    fn forget_before(&mut self, offset: u64) {
        let old = usize::try_from(offset.saturating_sub(self.kept_from)).unwrap_or(0);
        if old >= BUFFER_BYTES && old <= self.kept.len() {
            self.kept.drain(..old);
            self.kept_from = offset;
        }
    }
}

/// Whether a record that is cut here is still inside quotes.
fn ends_in_quotes(raw: &[u8], delimiter: u8) -> bool {
    #[derive(PartialEq)]
    enum State {
        CellStart,
        Plain,
        Quoted,
        QuoteInQuoted,
    }
    let mut state = State::CellStart;
    for byte in raw {
        let ends_cell = *byte == delimiter || matches!(byte, b'\n' | b'\r');
        state = match state {
            State::Quoted if *byte == b'"' => State::QuoteInQuoted,
            State::Quoted => State::Quoted,
            State::CellStart | State::QuoteInQuoted if *byte == b'"' => State::Quoted,
            _ if ends_cell => State::CellStart,
            _ => State::Plain,
        };
    }
    state == State::Quoted
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
