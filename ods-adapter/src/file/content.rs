//! What is sealed as a file, and how its parts come to their buffers.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::buffer::{PartBuffer, SealedPart};
use super::parts::{CHUNK_BYTES, PART_BYTES, bytes_of, part_count};
use super::read::SealedFile;
use super::write::{PartSealer, SealFileError};
use crate::seal::Scratch;

/// What is sealed. It is read once.
pub enum FileContent {
    /// A file of this length, of which several places are read at the same time. That it became shorter
    /// meanwhile is an error; any other change is for the caller to notice.
    File(File, u64),
    /// What comes from somewhere, to its end.
    Stream(Box<dyn Read + Send>),
    /// What was sealed before: opened part by part, each checked.
    Sealed(Box<SealedFile>),
}

/// The parts of a content, handed out in order.
pub(crate) struct Parts {
    content: Content,
    /// What it is called in errors.
    file: String,
    next: AtomicU64,
}

enum Content {
    File(File, u64),
    Stream(Mutex<Stream>),
    Sealed(Box<SealedFile>),
}

/// A stream shows only when it is read where it ends.
struct Stream {
    reader: Box<dyn Read + Send>,
    ended: bool,
}

/// The part whose turn it is.
pub(crate) enum Turn {
    /// Bytes of a content whose length is known, and the object that holds them if they are sealed.
    Part(u32, Range<u64>, Option<Bytes>),
    /// Whatever the stream gives next.
    Rest,
}

impl Parts {
    pub(crate) fn of(content: FileContent, file: String) -> Self {
        let content = match content {
            FileContent::File(file, bytes) => Content::File(file, bytes),
            FileContent::Stream(reader) => Content::Stream(Mutex::new(Stream { reader, ended: false })),
            FileContent::Sealed(sealed) => Content::Sealed(sealed),
        };
        Self { content, file, next: AtomicU64::new(0) }
    }

    /// Bytes of the content where that is known.
    pub(crate) fn bytes(&self) -> Option<u64> {
        match &self.content {
            Content::File(_, bytes) => Some(*bytes),
            Content::Stream(_) => None,
            Content::Sealed(sealed) => Some(sealed.file_bytes()),
        }
    }

    /// The next part; none behind the last one.
    pub(crate) async fn next(&self) -> Result<Option<Turn>, SealFileError> {
        let Some(bytes) = self.bytes() else { return Ok(Some(Turn::Rest)) };
        let part = self.next.fetch_add(1, Ordering::Relaxed);
        if part >= part_count(bytes) {
            return Ok(None);
        }
        let number = self.number(part)?;
        let sealed = match &self.content {
            Content::Sealed(sealed) => Some(sealed.read_object(number).await?),
            _ => None,
        };
        Ok(Some(Turn::Part(number, bytes_of(part, bytes), sealed)))
    }

    /// Seals a part; none when the stream turns out to be at its end. Gives its number and its bytes.
    pub(crate) fn seal(
        &self,
        turn: Turn,
        mut buffer: PartBuffer,
        with: &PartSealer,
    ) -> Result<Option<(u32, u64, SealedPart)>, SealFileError> {
        let (number, range, object) = match (turn, &self.content) {
            (Turn::Part(number, range, object), _) => (number, range, object),
            (Turn::Rest, Content::Stream(stream)) => match self.read(stream, &mut buffer)? {
                Some((number, bytes)) => (number, 0..bytes, None),
                None => return Ok(None),
            },
            (Turn::Rest, _) => return Ok(None),
        };
        let bytes = range.end - range.start;
        let room = usize::try_from(bytes).map_err(|_| SealFileError::TooLarge(self.file.clone()))?;
        let (sealer, hash) = (with.sealer(number), with.hash);
        let at = |chunk: u32| range.start + u64::from(chunk) * CHUNK_BYTES as u64;
        let sealed = match (&self.content, object) {
            (Content::File(file, _), _) => buffer.seal(&sealer, room, hash, |chunk, room| {
                file.read_exact_at(room, at(chunk)).map_err(|error| self.failed(error))
            }),
            (Content::Sealed(before), Some(object)) => {
                let (opener, mut scratch) = (before.opener(number)?, Scratch::default());
                let whole = opener.whole(&object)?;
                buffer
                    .seal(&sealer, room, hash, |chunk, room| Ok(opener.open_into(&whole, chunk, &mut scratch, room)?))
            }
            _ => buffer.seal(&sealer, room, hash, |_, _| Ok(())),
        }?;
        Ok(Some((number, bytes, sealed)))
    }

    /// Reads the next part of a stream; gives its number and its bytes. Only an empty stream has an empty
    /// part.
    fn read(&self, stream: &Mutex<Stream>, buffer: &mut PartBuffer) -> Result<Option<(u32, u64)>, SealFileError> {
        let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        if stream.ended {
            return Ok(None);
        }
        // Behind an error nothing more is read.
        stream.ended = true;
        let bytes = buffer.read(&mut *stream.reader).map_err(|error| self.failed(error))? as u64;
        let part = self.next.load(Ordering::Relaxed);
        if bytes == 0 && part > 0 {
            return Ok(None);
        }
        self.next.store(part + 1, Ordering::Relaxed);
        stream.ended = bytes < PART_BYTES;
        Ok(Some((self.number(part)?, bytes)))
    }

    fn number(&self, part: u64) -> Result<u32, SealFileError> {
        u32::try_from(part).map_err(|_| SealFileError::TooLarge(self.file.clone()))
    }

    fn failed(&self, source: io::Error) -> SealFileError {
        let source = match source.kind() {
            ErrorKind::UnexpectedEof => io::Error::other("it became shorter while it was read; do it again"),
            _ => source,
        };
        SealFileError::Read { file: self.file.clone(), source }
    }
}
