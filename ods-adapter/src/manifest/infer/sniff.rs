//! How a file is written: its kind by its name, of CSV also encoding, delimiter.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};

use super::InferError;
use crate::manifest::{CsvSpec, SourceSpec};
use crate::source::{SourceError, mark_of};

/// How much of a file shows its delimiter.
const SAMPLE_BYTES: usize = 1 << 20;
/// Records that are counted.
const SAMPLE_RECORDS: usize = 200;
/// What may stand between cells; of those that fit equally well the first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A file's kind and options; whether the encoding was guessed.
pub(super) fn of_file(path: &Path) -> Result<(SourceSpec, bool), InferError> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let path = path.to_owned();
    match extension.as_deref() {
        Some("csv" | "tsv" | "tab" | "txt") => {
            let (encoding, guessed) = encoding(&path)?;
            let (delimiter, skip_lines) = delimiter(&path, encoding)?;
            Ok((SourceSpec::Csv(CsvSpec { path, delimiter, quote: Some(b'"'), encoding, skip_lines }), guessed))
        }
        Some("jsonl" | "ndjson") => Ok((SourceSpec::JsonL(path), false)),
        Some("json" | "geojson") => Ok((SourceSpec::Json(path), false)),
        Some("parquet" | "pq") => Ok((SourceSpec::Parquet(path), false)),
        _ => Err(InferError::Kind(path)),
    }
}

/// UTF-8 if the whole file is; else by its mark; else what its bytes look like.
fn encoding(path: &Path) -> Result<(&'static Encoding, bool), InferError> {
    let failed = |source| SourceError::File { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let mut decoder = UTF_8.new_decoder_without_bom_handling();
    let (mut buffer, mut text, mut is_utf8, mut first) = (vec![0; 1 << 16], vec![0; 1 << 18], true, true);
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if let Some((marked, _)) = mark_of(bytes).filter(|_| first) {
            return Ok((marked, false));
        }
        first = false;
        detector.feed(bytes, read == 0);
        if is_utf8 {
            let (result, ..) = decoder.decode_to_utf8_without_replacement(bytes, &mut text, read == 0);
            is_utf8 = !matches!(result, encoding_rs::DecoderResult::Malformed(..));
        }
        if read == 0 {
            break;
        }
    }
    if is_utf8 { Ok((UTF_8, false)) } else { Ok((detector.guess(None, Utf8Detection::Deny), true)) }
}

/// The delimiter that gives most records the same number of cells, and the most cells; and how many
/// lines with another number come before them.
fn delimiter(path: &Path, encoding: &'static Encoding) -> Result<(u8, u32), InferError> {
    let failed = |source| SourceError::File { path: path.to_owned(), source };
    let mut sample = Vec::new();
    File::open(path).map_err(failed)?.take(SAMPLE_BYTES as u64).read_to_end(&mut sample).map_err(failed)?;
    let (text, ..) = encoding.decode(&sample);
    if let Some([delimiter, b'\r' | b'\n', ..]) = text.strip_prefix("sep=").map(str::as_bytes) {
        return Ok((*delimiter, 0));
    }
    let shape = |delimiter: &u8| {
        let records = first_records(&text, *delimiter);
        // One cell a record says nothing.
        let often = |cells: usize| records.iter().filter(|record| cells > 1 && record.cells == cells).count();
        let cells = records.iter().map(|record| record.cells).max_by_key(|cells| (often(*cells), *cells)).unwrap_or(0);
        (1000 * often(cells) / records.len().max(1), cells, records)
    };
    let shapes = DELIMITERS.iter().rev().map(|delimiter| (*delimiter, shape(delimiter)));
    let best = shapes.max_by_key(|(_, (often, cells, _))| (*often, *cells));
    let Some((delimiter, (often, cells, records))) = best.filter(|(_, (often, ..))| *often > 0) else {
        return Ok((b',', 0));
    };
    // A title and the like above a table; where rows vary in width anyway, nothing is sure.
    let is_header = |record: &&Record| record.cells == cells && (record.full > 1 || cells == 2);
    let first = records.iter().find(is_header).map_or(1, |record| record.line);
    let skip = if often >= 800 { first - 1 } else { 0 };
    Ok((delimiter, u32::try_from(skip).unwrap_or_default()))
}

struct Record {
    line: u64,
    cells: usize,
    /// Cells that are not empty.
    full: usize,
}

fn first_records(text: &str, delimiter: u8) -> Vec<Record> {
    let mut builder = csv::ReaderBuilder::new();
    let mut reader = builder.delimiter(delimiter).flexible(true).has_headers(false).from_reader(text.as_bytes());
    let mut record = csv::ByteRecord::new();
    let (mut records, mut line, mut rest) = (Vec::new(), 1, text);
    while records.len() < SAMPLE_RECORDS && reader.read_byte_record(&mut record).unwrap_or(false) {
        // A record's position comes before the line ends and empty lines that it skips.
        let from = record.position().map_or(0, csv::Position::byte);
        let done = usize::try_from(from).unwrap_or_default().saturating_sub(text.len() - rest.len());
        let (before, behind) = rest.split_at_checked(done).unwrap_or((rest, ""));
        let solid = behind.trim_start_matches(['\r', '\n']);
        let skipped = behind.get(..behind.len() - solid.len()).unwrap_or_default();
        line += before.matches('\n').chain(skipped.matches('\n')).count() as u64;
        rest = solid;
        records.push(Record { line, cells: record.len(), full: record.iter().filter(|cell| !cell.is_empty()).count() });
    }
    records
}
