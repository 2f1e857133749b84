//! Text files as UTF-8, whatever encoding they are in.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::SourceError;

/// How much is read from a file at once.
pub(super) const BUFFER_BYTES: usize = 1 << 16;
/// Longest record; what is longer is most likely a quote that was never closed.
pub(super) const RECORD_BYTES_MAX: usize = 64 << 20;
/// What stands for bytes that are not of the file's encoding: it is in no UTF-8 text, so whoever
/// reads the cell finds it there.
const MALFORMED: u8 = 0xff;
/// Longest byte order mark.
const MARK_BYTES: usize = 3;

/// A file as UTF-8, behind its byte order mark.
pub(super) struct TextFile {
    file: File,
    done_bytes: u64,
    total_bytes: u64,
    decoding: Option<Decoding>,
}

struct Decoding {
    decoder: Decoder,
    raw: Vec<u8>,
    raw_at: usize,
    decoded: Vec<u8>,
    decoded_at: usize,
    /// The file's last bytes went to the decoder.
    last: bool,
    ended: bool,
}

impl TextFile {
    /// Opens `path`, which is in `encoding`.
    pub(super) fn open(path: &Path, encoding: &'static Encoding) -> Result<Self, SourceError> {
        let failed = |source| SourceError::File { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let total_bytes = file.metadata().map_err(failed)?.len();
        let mut start = Vec::with_capacity(MARK_BYTES);
        file.by_ref().take(MARK_BYTES as u64).read_to_end(&mut start).map_err(failed)?;
        let mark = mark_of(&start);
        if let Some((marked, _)) = mark.filter(|(marked, _)| *marked != encoding) {
            let (found, said) = (marked.name(), encoding.name());
            return Err(SourceError::Encoding {
                path: path.to_owned(),
                what: format!(
                    "line 1: the file begins with the mark of {found}, but should be {said}; say encoding = \"{}\" in the manifest, or convert the file",
                    found.to_lowercase()
                ),
            });
        }
        let done_bytes = mark.map_or(0, |(_, bytes)| bytes);
        file.seek(SeekFrom::Start(done_bytes)).map_err(failed)?;
        let decoding = (encoding != UTF_8).then(|| Decoding {
            decoder: encoding.new_decoder_without_bom_handling(),
            raw: Vec::new(),
            raw_at: 0,
            decoded: Vec::new(),
            decoded_at: 0,
            last: false,
            ended: false,
        });
        Ok(Self { file, done_bytes, total_bytes, decoding })
    }

    /// Passes over the first lines.
    pub(super) fn skip_lines(&mut self, lines: u32) -> io::Result<()> {
        let (mut left, mut byte) = (lines, [0]);
        while left > 0 && self.read(&mut byte)? > 0 {
            left -= u32::from(byte == *b"\n");
        }
        Ok(())
    }

    /// Bytes of the file read so far and in all.
    pub(super) fn size_hint(&self) -> (u64, u64) {
        (self.done_bytes, self.total_bytes.max(self.done_bytes))
    }
}

/// Which encoding's mark the file begins with, and its length.
pub(crate) fn mark_of(start: &[u8]) -> Option<(&'static Encoding, u64)> {
    match start {
        [0xef, 0xbb, 0xbf, ..] => Some((UTF_8, 3)),
        [0xff, 0xfe, ..] => Some((UTF_16LE, 2)),
        [0xfe, 0xff, ..] => Some((UTF_16BE, 2)),
        _ => None,
    }
}

impl Read for TextFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(decoding) = &mut self.decoding else {
            let read = self.file.read(buffer)?;
            self.done_bytes += read as u64;
            return Ok(read);
        };
        while decoding.decoded_at == decoding.decoded.len() && !decoding.ended {
            if decoding.raw_at == decoding.raw.len() && !decoding.last {
                decoding.raw.resize(BUFFER_BYTES, 0);
                let read = self.file.read(&mut decoding.raw)?;
                self.done_bytes += read as u64;
                decoding.raw.truncate(read);
                decoding.raw_at = 0;
                decoding.last = read == 0;
            }
            decoding.decode();
        }
        let ready = decoding.decoded.get(decoding.decoded_at..).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(ready) {
            *to = *from;
        }
        decoding.decoded_at += count;
        Ok(count)
    }
}

impl Decoding {
    /// Decodes what is there of the raw bytes, up to the next that are not of the encoding.
    fn decode(&mut self) {
        // No byte becomes more than three.
        self.decoded.resize(3 * BUFFER_BYTES, 0);
        self.decoded_at = 0;
        let raw = self.raw.get(self.raw_at..).unwrap_or_default();
        let (result, read, written) =
            self.decoder.decode_to_utf8_without_replacement(raw, &mut self.decoded, self.last);
        self.raw_at += read;
        self.decoded.truncate(written);
        match result {
            DecoderResult::Malformed(..) => self.decoded.push(MALFORMED),
            DecoderResult::InputEmpty => self.ended = self.last,
            DecoderResult::OutputFull => {}
        }
    }
}

/// What is wrong with a cell that is not UTF-8 once decoded.
pub(super) fn not_text(encoding: &'static Encoding, bytes: &[u8], valid_up_to: usize) -> String {
    if encoding == UTF_8 {
        return format!(
            "not UTF-8 at byte {valid_up_to} of the cell; convert the file, or say its encoding in the manifest, \
             such as encoding = \"windows-1252\""
        );
    }
    let before = bytes.get(..valid_up_to).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    format!("not {} behind {} characters of the cell", encoding.name(), before.chars().count())
}
