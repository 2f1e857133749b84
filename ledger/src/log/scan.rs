//! Reading the log from one end to the other, and judging a record that is not good.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{FIRST_RECORD, LOG_MAGIC, RECORD_HEADER, check};
use crate::block::{BLOCK_BYTES_MAX, Block, Header};
use crate::codec::decode;
use crate::error::LedgerError;
use crate::ids::BlockHeight;
use crate::state::replay::check_link;

/// What the scanner found next.
pub(crate) enum Step {
    /// A block that follows the one before.
    Block { block: Box<Block>, offset: u64, end: u64 },
    /// The end of the file.
    End,
    /// Bytes that are no block, or not the next one.
    Bad(Bad),
}

/// Bytes that are no block.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) offset: u64,
    pub(crate) height: BlockHeight,
    pub(crate) what: String,
    /// Whether an interrupted write can look like this.
    torn: bool,
}

/// Reads blocks in order, checking each record and its link to the one before.
pub(crate) struct Scanner {
    path: PathBuf,
    reader: BufReader<File>,
    offset: u64,
    length: u64,
    genesis: Header,
    previous: Option<Header>,
}

impl Scanner {
    /// Opens the log at its beginning.
    pub(crate) fn open(path: &Path, genesis: &Header) -> Result<Scanner, LedgerError> {
        let mut scanner = Scanner::resume(path, genesis, None, 0)?;
        let mut magic = [0u8; 16];
        let read = scanner.reader.read_exact(&mut magic);
        if read.is_err() || magic != LOG_MAGIC {
            let what = "it does not begin like a block log of this version".into();
            return Err(LedgerError::Damaged { file: path.to_owned(), offset: 0, height: BlockHeight(0), what });
        }
        scanner.offset = FIRST_RECORD;
        Ok(scanner)
    }

    /// Opens the log behind the block `previous`, which ends at `offset`.
    pub(crate) fn resume(
        path: &Path,
        genesis: &Header,
        previous: Option<Header>,
        offset: u64,
    ) -> Result<Scanner, LedgerError> {
        let open = || -> io::Result<(File, u64)> {
            let mut file = File::open(path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(offset))?;
            Ok((file, length))
        };
        let (file, length) = open().map_err(|error| LedgerError::io("read", path, &error))?;
        let reader = BufReader::with_capacity(1 << 20, file);
        Ok(Scanner { path: path.to_owned(), reader, offset, length, genesis: genesis.clone(), previous })
    }

    /// Treats the file as if it ended at `length`.
    pub(crate) fn limit(&mut self, length: u64) {
        self.length = self.length.min(length);
    }

    /// The end of the last good block.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next block.
    pub(crate) fn step(&mut self) -> Result<Step, LedgerError> {
        let remaining = self.length.saturating_sub(self.offset);
        if remaining == 0 {
            return Ok(Step::End);
        }
        if remaining < RECORD_HEADER {
            return Ok(self.bad(true, format!("{remaining} bytes are too few for a block")));
        }
        let mut head = [0u8; RECORD_HEADER as usize];
        self.read(&mut head)?;
        let (size, found) = split(&head);
        let bytes = u32::from_le_bytes(size);
        let room = remaining - RECORD_HEADER;
        if u64::from(bytes) > room.min(BLOCK_BYTES_MAX as u64) {
            return Ok(self.bad(true, format!("a block of {bytes} bytes does not fit where {room} are left")));
        }
        let mut payload = vec![0u8; bytes as usize];
        self.read(&mut payload)?;
        if check(size, &payload) != found {
            return Ok(self.bad(true, "its bytes do not match their check".into()));
        }
        let block: Block = match decode("block", &payload) {
            Ok(block) => block,
            Err(error) => return Ok(self.bad(false, error.to_string())),
        };
        if let Err(what) = self.check_place(&block) {
            return Ok(self.bad(false, what));
        }
        let offset = self.offset;
        self.offset += RECORD_HEADER + u64::from(bytes);
        self.previous = Some(block.header.clone());
        Ok(Step::Block { block: Box::new(block), offset, end: self.offset })
    }

    /// Whether a bad record may be cut as the torn tail of an interrupted write: only above what
    /// has been acknowledged, and only if nothing good follows.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] when it may not.
    pub(crate) fn judge(&mut self, bad: &Bad, protected: BlockHeight) -> Result<(), LedgerError> {
        let damaged = |what: String| LedgerError::Damaged {
            file: self.path.clone(),
            offset: bad.offset,
            height: bad.height,
            what,
        };
        let left = self.length.saturating_sub(bad.offset);
        let refusal = if bad.height <= protected {
            Some("the block had been acknowledged")
        } else if !bad.torn {
            Some("no interrupted write leaves this")
        } else if left > BLOCK_BYTES_MAX as u64 + RECORD_HEADER {
            Some("more follows than one block can hold")
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return Err(damaged(format!("{} ({refusal})", bad.what)));
        }
        let error = damaged(format!("{} (a good block follows)", bad.what));
        let mut tail = vec![0u8; usize::try_from(left).unwrap_or(0)];
        self.reader.seek(SeekFrom::Start(bad.offset)).map_err(|error| LedgerError::io("read", &self.path, &error))?;
        self.read(&mut tail)?;
        if self.holds_a_later_block(&tail, bad.height) { Err(error) } else { Ok(()) }
    }

    /// Whether the record of a block above `height` stands anywhere in `tail`: every block begins with
    /// the chain id. Bytes that merely check may be part of what was being written, as anybody's
    /// transaction can hold them.
    fn holds_a_later_block(&self, tail: &[u8], height: BlockHeight) -> bool {
        let chain = self.genesis.chain.0;
        tail.windows(chain.len()).enumerate().skip(RECORD_HEADER as usize).filter(|(_, window)| *window == chain).any(
            |(at, _)| {
                let Some(head) = at.checked_sub(RECORD_HEADER as usize).and_then(|start| tail.get(start..at)) else {
                    return false;
                };
                let Ok(head) = head.try_into() else { return false };
                let (size, found) = split(head);
                let payload = tail.get(at..).and_then(|rest| rest.get(..u32::from_le_bytes(size) as usize));
                payload.filter(|payload| check(size, payload) == found).is_some_and(|payload| {
                    decode::<Block>("block", payload).is_ok_and(|block| block.header.height > height)
                })
            },
        )
    }

    fn check_place(&self, block: &Block) -> Result<(), String> {
        let header = &block.header;
        match &self.previous {
            None if *header != self.genesis => return Err("it is not the first block of this ledger's genesis".into()),
            None => {}
            Some(previous) => check_link(previous, header).map_err(|error| error.to_string())?,
        }
        let count = header.tree_size.checked_sub(header.first_entry);
        if count != Some(block.entries.len() as u64) || block.entries.iter().any(|entry| entry.height != header.height)
        {
            return Err("its entries are not those its header announces".into());
        }
        Ok(())
    }

    fn bad(&self, torn: bool, what: String) -> Step {
        let height = self.previous.as_ref().map_or(BlockHeight(0), |previous| previous.height.next());
        Step::Bad(Bad { offset: self.offset, height, what, torn })
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), LedgerError> {
        self.reader.read_exact(into).map_err(|error| LedgerError::io("read", &self.path, &error))
    }
}

impl Bad {
    /// The error of a reader that cuts nothing.
    pub(crate) fn damaged(self, file: &Path) -> LedgerError {
        LedgerError::Damaged { file: file.to_owned(), offset: self.offset, height: self.height, what: self.what }
    }
}

fn split(head: &[u8; RECORD_HEADER as usize]) -> ([u8; 4], [u8; 8]) {
    let (mut size, mut found) = ([0u8; 4], [0u8; 8]);
    size.iter_mut().chain(found.iter_mut()).zip(head).for_each(|(to, from)| *to = *from);
    (size, found)
}

/// Reads the block at `offset`, which must be the one at `height`; returns also its end.
///
/// # Errors
/// [`LedgerError::Damaged`] when another or none stands there; [`LedgerError::Io`].
pub(crate) fn read_block(
    file: &mut File,
    path: &Path,
    offset: u64,
    height: BlockHeight,
) -> Result<(Block, u64), LedgerError> {
    let io_error = |error: io::Error| LedgerError::io("read", path, &error);
    let damaged = |what: String| LedgerError::Damaged { file: path.to_owned(), offset, height, what };
    let mut head = [0u8; RECORD_HEADER as usize];
    file.seek(SeekFrom::Start(offset)).map_err(io_error)?;
    file.read_exact(&mut head).map_err(io_error)?;
    let (size, found) = split(&head);
    let bytes = u32::from_le_bytes(size);
    if bytes as usize > BLOCK_BYTES_MAX {
        return Err(damaged(format!("a block of {bytes} bytes is too large")));
    }
    let mut payload = vec![0u8; bytes as usize];
    file.read_exact(&mut payload).map_err(io_error)?;
    if check(size, &payload) != found {
        return Err(damaged("its bytes do not match their check".into()));
    }
    let block: Block = decode("block", &payload).map_err(|error| damaged(error.to_string()))?;
    if block.header.height != height {
        return Err(damaged(format!("block {} stands there", block.header.height)));
    }
    Ok((block, offset + RECORD_HEADER + u64::from(bytes)))
}
