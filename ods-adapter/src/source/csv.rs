//! Comma-separated values (RFC 4180, and what is found in practice: BOM, CRLF, other delimiters,
//! quotes and encodings).

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use csv::{ByteRecord, Position, Reader, ReaderBuilder};
use encoding_rs::Encoding;

use super::text::{BUFFER_BYTES, RECORD_BYTES_MAX, TextFile, not_text};
use super::{Place, SourceError, Table, find};
use crate::manifest::CsvSpec;

/// The rows of one CSV file.
pub(super) struct CsvTable {
    path: PathBuf,
    reader: Reader<Tee<TextFile>>,
    record: ByteRecord,
    header: Vec<String>,
    /// The header's names as [`plain`] has them, in the order of the alphabet.
    names: Vec<String>,
    /// Cells of the columns chosen.
    chosen: Vec<usize>,
    rows_read: u64,
    delimiter: u8,
    quote: Option<u8>,
    encoding: &'static Encoding,
    /// Where the record read last begins, line ends before it included.
    last: Position,
    /// The line of its first cell.
    line: u64,
    /// Lines before the first that the CSV reader sees.
    lines_before: u64,
    quotes: Quotes,
}

impl CsvTable {
    /// Opens a file and reads its header.
    pub(super) fn open(spec: &CsvSpec) -> Result<Self, SourceError> {
        let mut file = TextFile::open(&spec.path, spec.encoding)?;
        let skipped = file.skip_lines(spec.skip_lines);
        skipped.map_err(|source| SourceError::File { path: spec.path.clone(), source })?;
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(spec.delimiter).buffer_capacity(BUFFER_BYTES);
        match spec.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        let mut table = Self {
            path: spec.path.clone(),
            reader: builder.from_reader(Tee { inner: file, kept: Vec::new(), kept_from: 0 }),
            record: ByteRecord::new(),
            header: Vec::new(),
            names: Vec::new(),
            chosen: Vec::new(),
            rows_read: 0,
            delimiter: spec.delimiter,
            quote: spec.quote,
            encoding: spec.encoding,
            last: Position::new(),
            line: 1,
            lines_before: u64::from(spec.skip_lines),
            quotes: Quotes::Closed,
        };
        table.read_header()?;
        Ok(table)
    }

    fn read_header(&mut self) -> Result<(), SourceError> {
        if !self.read_record()? {
            return Err(SourceError::NoHeader { path: self.path.clone() });
        }
        // Some programs name the delimiter in a line before the header.
        let mut cells = self.record.iter();
        if cells.next().is_some_and(|cell| cell.starts_with(b"sep=")) && cells.all(<[u8]>::is_empty) {
            return match self.read_record()? {
                true => self.read_names(),
                false => Err(SourceError::NoHeader { path: self.path.clone() }),
            };
        }
        self.read_names()
    }

    fn read_names(&mut self) -> Result<(), SourceError> {
        for (index, cell) in self.record.iter().enumerate() {
            let name = std::str::from_utf8(cell).map_err(|error| SourceError::Encoding {
                path: self.path.clone(),
                what: format!("header, cell {}: {}", index + 1, not_text(self.encoding, cell, error.valid_up_to())),
            })?;
            self.header.push(name.to_owned());
        }
        self.names = self.header.iter().map(|name| plain(name)).collect();
        self.names.sort();
        Ok(())
    }

    /// Reads one record; false at the end of the file.
    fn read_record(&mut self) -> Result<bool, SourceError> {
        let failed = |source: io::Error| SourceError::File { path: self.path.clone(), source };
        let read = self.reader.read_byte_record(&mut self.record);
        if self.reader.get_ref().is_full() {
            return Err(SourceError::damaged(
                &self.path,
                &format!(
                    "row {} (behind line {}): longer than {} MiB; a quote may not have been closed, or quote = \"\" be missing in the manifest",
                    self.rows_read + 1,
                    self.lines_before + self.last.line(),
                    RECORD_BYTES_MAX >> 20
                ),
            ));
        }
        if !read.map_err(|error| failed(error.into()))? {
            // The csv crate takes a file cut inside quotes for whole; the last record tells.
            let last = self.reader.get_ref().after(self.last.byte());
            if quotes_of(last, self.delimiter, self.quote) == Quotes::Open {
                return Err(SourceError::OpenQuote { path: self.path.clone(), row: self.rows_read, line: self.line });
            }
            return Ok(false);
        }
        if let Some(position) = self.record.position() {
            self.last = position.clone();
        }
        // A record's position comes before the line ends and empty lines that it skips.
        let raw = self.reader.get_ref().between(self.last.byte(), self.reader.position().byte());
        let skipped =
            raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n').count();
        self.line = self.lines_before + self.last.line() + skipped as u64;
        self.quotes = quotes_of(raw, self.delimiter, self.quote);
        self.reader.get_mut().forget_before(self.last.byte());
        Ok(true)
    }
}

impl CsvTable {
    /// What is wrong with the record as a whole.
    fn fault(&self, again: Option<Again>) -> Option<String> {
        let (found, expected) = (self.record.len(), self.header.len());
        if found != expected {
            return Some(format!("{found} cells where the header has {expected}"));
        }
        if self.quotes == Quotes::Stray {
            return Some("a cell goes on behind its closing quote; a quote inside quotes is written twice".into());
        }
        match again {
            Some(Again::Header) => Some("the header once more; were several files put together?".into()),
            None if self.record.iter().next().is_some_and(|cell| cell.starts_with(MARK.as_bytes())) => {
                Some("a byte order mark, with which a file begins; were several files put together?".into())
            }
            Some(Again::OtherOrder) | None => None,
        }
    }

    /// Whether the record is the header once more, as another program may write it: behind a byte order mark,
    /// in other letters, with blanks around its names, or with its columns in another order.
    fn again(&self) -> Option<Again> {
        let first = std::str::from_utf8(self.record.iter().next()?).ok().map(plain)?;
        // Most records say by their first cell that they are none.
        if self.record.len() != self.header.len() || self.names.binary_search(&first).is_err() {
            return None;
        }
        let cells: Option<Vec<String>> =
            self.record.iter().map(|cell| std::str::from_utf8(cell).ok().map(plain)).collect();
        let mut sorted = cells?;
        let in_order = sorted.iter().zip(&self.header).all(|(cell, name)| *cell == plain(name));
        sorted.sort();
        (sorted == self.names).then_some(if in_order { Again::Header } else { Again::OtherOrder })
    }
}

/// A header among the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// With its columns in the same order.
    Header,
    /// What follows has its columns in another order than what came before.
    OtherOrder,
}

/// What a file begins with that says how it is encoded.
const MARK: &str = "\u{feff}";

/// A name without what programs write differently. Behind a byte order mark a quote is no quote to the reader.
fn plain(name: &str) -> String {
    let bare = match name.strip_prefix(MARK) {
        Some(rest) => rest.trim_matches(['"', '\'']),
        None => name,
    };
    bare.trim().to_lowercase()
}

impl Table for CsvTable {
    fn columns(&mut self) -> Result<Vec<String>, SourceError> {
        Ok(self.header.clone())
    }

    fn choose(&mut self, names: &[String]) -> Result<(), SourceError> {
        self.chosen = find(&self.name(), &self.header, names)?;
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Place>, SourceError> {
        if !self.read_record()? {
            return Ok(None);
        }
        self.rows_read += 1;
        let again = self.again();
        if again == Some(Again::OtherOrder) {
            // Not for setting aside: the rows behind it would be published under each other's names.
            return Err(SourceError::damaged(
                &self.path,
                &format!(
                    "row {} (line {}): the header once more with its columns in another order: several files were put \
                     together whose columns do not match; share them one by one, or write them in one order",
                    self.rows_read, self.line
                ),
            ));
        }
        Ok(Some(Place { line: Some(self.line), fault: self.fault(again) }))
    }

    fn cell(&self, chosen: usize) -> Result<Option<Cow<'_, str>>, String> {
        let cell = self.chosen.get(chosen).and_then(|cell| self.record.get(*cell)).unwrap_or_default();
        let text = std::str::from_utf8(cell).map_err(|error| not_text(self.encoding, cell, error.valid_up_to()))?;
        Ok(Some(Cow::Borrowed(text)))
    }

    fn size_hint(&self) -> Option<(u64, u64)> {
        Some(self.reader.get_ref().inner.size_hint())
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
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
        if self.is_full() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let read = self.inner.read(buffer)?;
        self.kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl<R> Tee<R> {
    /// Whether one record is longer than any should be.
    fn is_full(&self) -> bool {
        self.kept.len() > RECORD_BYTES_MAX
    }

    /// What was read from `offset` on.
    fn after(&self, offset: u64) -> &[u8] {
        let skip = usize::try_from(offset.saturating_sub(self.kept_from)).unwrap_or(usize::MAX);
        self.kept.get(skip..).unwrap_or_default()
    }

    /// What was read from `offset` on, up to `end`.
    fn between(&self, offset: u64, end: u64) -> &[u8] {
        let raw = self.after(offset);
        let length = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        raw.get(..length).unwrap_or(raw)
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

/// How a record's quotes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// Each one that was opened is closed, and then a cell ends.
    Closed,
    /// One is open.
    Open,
    /// A closed one has something behind it, so it is not clear where the cell ends.
    Stray,
}

/// How the quotes of a record end, if it ends here.
fn quotes_of(raw: &[u8], delimiter: u8, quote: Option<u8>) -> Quotes {
    #[derive(PartialEq)]
    enum State {
        CellStart,
        Plain,
        Quoted,
        QuoteInQuoted,
    }
    let Some(quote) = quote.filter(|quote| raw.contains(quote)) else { return Quotes::Closed };
    let (mut state, mut stray) = (State::CellStart, false);
    for byte in raw {
        let ends_cell = *byte == delimiter || matches!(byte, b'\n' | b'\r');
        state = match state {
            State::Quoted if *byte == quote => State::QuoteInQuoted,
            State::Quoted => State::Quoted,
            State::CellStart | State::QuoteInQuoted if *byte == quote => State::Quoted,
            _ if ends_cell => State::CellStart,
            State::QuoteInQuoted => {
                stray = true;
                State::Plain
            }
            _ => State::Plain,
        };
    }
    match (stray, state) {
        (_, State::Quoted) => Quotes::Open,
        (true, _) => Quotes::Stray,
        (false, _) => Quotes::Closed,
    }
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
