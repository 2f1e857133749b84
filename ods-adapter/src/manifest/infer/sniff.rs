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
            let delimiter = delimiter(&path, encoding)?;
            Ok((SourceSpec::Csv(CsvSpec { path, delimiter, quote: Some(b'"'), encoding }), guessed))
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

/// The delimiter that gives most records the same number of cells, and the most cells.
fn delimiter(path: &Path, encoding: &'static Encoding) -> Result<u8, InferError> {
    let failed = |source| SourceError::File { path: path.to_owned(), source };
    let mut sample = Vec::new();
    File::open(path).map_err(failed)?.take(SAMPLE_BYTES as u64).read_to_end(&mut sample).map_err(failed)?;
    let (text, ..) = encoding.decode(&sample);
    let fits = |delimiter: u8| {
        let mut builder = csv::ReaderBuilder::new();
        let mut reader = builder.delimiter(delimiter).flexible(true).has_headers(false).from_reader(text.as_bytes());
        let widths: Vec<usize> =
            reader.byte_records().take(SAMPLE_RECORDS).flatten().map(|record| record.len()).collect();
        let header = widths.first().copied().unwrap_or_default();
        let same = widths.iter().filter(|width| **width == header).count();
        // One cell a record says nothing.
        if header < 2 { (0, 0) } else { (1000 * same / widths.len().max(1), header) }
    };
    let best = DELIMITERS.iter().rev().max_by_key(|delimiter| fits(**delimiter));
    Ok(best.copied().filter(|best| fits(*best).1 > 0).unwrap_or(b','))
}
