//! The block log: the truth of the ledger (docs/spec/ledger.md#block-log).

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
#[cfg(feature = "simplex")]
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::block::{Block, Header};
use crate::codec::encode;
use crate::error::LedgerError;
use crate::ids::{BlockHash, BlockHeight};

mod scan;

pub(crate) use scan::{Scanner, Step, read_block};

/// Name of the log.
pub const LOG_FILE: &str = "blocks.log";
/// Name of the file that says what has been acknowledged.
pub const HEAD_FILE: &str = "head";
/// First bytes of the log; the last is the format's version.
pub const LOG_MAGIC: [u8; 16] = *b"sealgate blocks\x01";
/// Offset of the first record.
pub const FIRST_RECORD: u64 = 16;
/// Bytes of a record before its payload: length (4, little-endian) and check (8).
pub const RECORD_HEADER: u64 = 12;
/// First bytes of the head file.
const HEAD_MAGIC: [u8; 8] = *b"sg head\x01";

/// The check of a record: the first 8 bytes of SHA-256 over its length field and payload.
pub(crate) fn check(length: [u8; 4], payload: &[u8]) -> [u8; 8] {
    let digest = Sha256::new().chain_update(length).chain_update(payload).finalize();
    let mut out = [0u8; 8];
    out.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    out
}

/// A block as it stands in the log.
pub(crate) fn record(block: &Block) -> Vec<u8> {
    let payload = encode(block);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut record = Vec::with_capacity(payload.len() + 12);
    record.extend_from_slice(&length);
    record.extend_from_slice(&check(length, &payload));
    record.extend_from_slice(&payload);
    record
}

/// What has been acknowledged: the content of the head file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadMark {
    pub(crate) height: BlockHeight,
    pub(crate) hash: BlockHash,
    /// Length of the log up to and including that block.
    pub(crate) length: u64,
}

impl HeadMark {
    fn of(header: &Header, length: u64) -> HeadMark {
        HeadMark { height: header.height, hash: header.hash(), length }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = HEAD_MAGIC.to_vec();
        bytes.extend_from_slice(&self.height.0.to_le_bytes());
        bytes.extend_from_slice(&self.hash.0);
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&check([0; 4], &bytes));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<HeadMark> {
        let (content, found) = bytes.split_last_chunk::<8>()?;
        let rest = content.strip_prefix(&HEAD_MAGIC)?;
        let (height, rest) = rest.split_first_chunk::<8>()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let length: [u8; 8] = rest.try_into().ok()?;
        (check([0; 4], content) == *found).then_some(HeadMark {
            height: BlockHeight(u64::from_le_bytes(*height)),
            hash: BlockHash(*hash),
            length: u64::from_le_bytes(length),
        })
    }

    /// Reads the head file of `dir`; `None` when it is missing or torn.
    pub(crate) fn read(dir: &Path) -> Result<Option<HeadMark>, LedgerError> {
        let path = dir.join(HEAD_FILE);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let mark = HeadMark::decode(&bytes);
                if mark.is_none() {
                    tracing::warn!(file = %path.display(), "the head file is damaged; the index alone says what was acknowledged");
                }
                Ok(mark)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LedgerError::io("read", &path, &error)),
        }
    }
}

/// The bytes of the head file in the folder `dir` and the block it names: what has been acknowledged
/// there. `None` when it is missing, torn, or being written at this moment.
///
/// # Errors
/// [`LedgerError::Io`].
pub fn acknowledged(dir: &Path) -> Result<Option<(Vec<u8>, BlockHeight)>, LedgerError> {
    let mark = HeadMark::read(dir)?;
    Ok(mark.map(|mark| (mark.encode(), mark.height)))
}

/// Where bytes go. `write_at` may leave any prefix of the bytes behind when it fails; what
/// `sync` has returned for is durable.
pub(crate) trait Medium: Send {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// How a file that grows is written. There is one way; tests have others, that fail.
#[cfg(feature = "simplex")]
pub(crate) type Disk = Arc<dyn Fn(File) -> Box<dyn Medium> + Send + Sync>;

/// The file itself.
#[cfg(feature = "simplex")]
pub(crate) fn disk() -> Disk {
    Arc::new(|file| Box::new(file))
}

impl Medium for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Why a block was not appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The log is as it was before; it may be used on.
    Undone(String),
    /// The log's state is unknown until it is opened again.
    Broken(String),
}

/// The log, open for appending.
pub(crate) struct Log {
    blocks: Box<dyn Medium>,
    head: Box<dyn Medium>,
    length: u64,
}

impl Log {
    /// A log over these files, the first `length` bytes of which are good.
    pub(crate) fn over(blocks: Box<dyn Medium>, head: Box<dyn Medium>, length: u64) -> Log {
        Log { blocks, head, length }
    }

    /// Writes a new log with block 0 and its head file, durably.
    pub(crate) fn create(dir: &Path, genesis: &Header) -> Result<(), LedgerError> {
        let path = dir.join(LOG_FILE);
        let mut bytes = LOG_MAGIC.to_vec();
        bytes.extend(record(&Block { header: genesis.clone(), entries: Vec::new() }));
        write_durably(&path, &bytes)?;
        let mark = HeadMark::of(genesis, bytes.len() as u64);
        write_durably(&dir.join(HEAD_FILE), &mark.encode())?;
        sync_folder(dir)
    }

    /// Checks the whole log, cuts a torn tail, and opens it for appending. `indexed` is the
    /// height the index has followed to: blocks up to it, and up to the head file's, have been
    /// acknowledged and are never cut.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] naming file, offset and height; [`LedgerError::Io`].
    pub(crate) fn open(
        dir: &Path,
        genesis: &Header,
        indexed: Option<BlockHeight>,
    ) -> Result<(Log, Opened), LedgerError> {
        let path = dir.join(LOG_FILE);
        let mark = HeadMark::read(dir)?;
        let protected = mark.map(|mark| mark.height).max(indexed).unwrap_or(BlockHeight(0));
        let mut scanner = Scanner::open(&path, genesis)?;
        let mut opened = Opened { head: genesis.clone(), indexed: None };
        let cut = loop {
            match scanner.step()? {
                Step::Block { block, end, .. } => {
                    let header = block.header;
                    check_mark(&path, mark, &header, end)?;
                    if Some(header.height) == indexed {
                        opened.indexed = Some(header.clone());
                    }
                    opened.head = header;
                }
                Step::End => break false,
                Step::Bad(bad) => {
                    scanner.judge(&bad, protected)?;
                    tracing::warn!(file = %path.display(), offset = bad.offset, height = bad.height.0, what = bad.what,
                        "cutting a block that was being written when the machine stopped; it was never acknowledged");
                    break true;
                }
            }
        };
        let length = scanner.offset();
        if opened.head.height < protected {
            let (height, head) = (opened.head.height.next(), opened.head.height);
            let what = format!("it ends at block {head}, but block {protected} had been acknowledged");
            return Err(LedgerError::Damaged { file: path, offset: length, height, what });
        }
        let log = Log::take(dir, &path, length, cut, &opened.head)?;
        Ok((log, opened))
    }

    fn take(dir: &Path, path: &Path, length: u64, cut: bool, head: &Header) -> Result<Log, LedgerError> {
        let open = |path: &PathBuf| {
            let file = File::options().write(true).create(true).truncate(false).open(path);
            file.map_err(|error| LedgerError::io("open", path, &error))
        };
        let file = open(&path.to_owned())?;
        if cut {
            file.set_len(length).map_err(|error| LedgerError::io("cut", path, &error))?;
        }
        // A record may have survived in memory only (the process died, the machine did not).
        file.sync_data().map_err(|error| LedgerError::io("sync", path, &error))?;
        let head_path = dir.join(HEAD_FILE);
        let mut head_file = open(&head_path)?;
        let mark = HeadMark::of(head, length).encode();
        let written = head_file.write_at(0, &mark).and_then(|()| head_file.set_len(mark.len() as u64));
        written.map_err(|error| LedgerError::io("write", &head_path, &error))?;
        Ok(Log::over(Box::new(file), Box::new(head_file), length))
    }

    /// Where the next block goes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends a block: durable, and noted in the head file, when this returns.
    pub(crate) fn append(&mut self, block: &Block) -> Result<(), AppendError> {
        let record = record(block);
        if let Err(error) = self.blocks.write_at(self.length, &record) {
            let what = format!("writing {LOG_FILE}: {error}");
            let undone = self.blocks.truncate(self.length).and_then(|()| self.blocks.sync());
            return Err(match undone {
                Ok(()) => AppendError::Undone(what),
                Err(error) => AppendError::Broken(format!("{what}; cutting it back: {error}")),
            });
        }
        let length = self.length + record.len() as u64;
        let mark = HeadMark::of(&block.header, length).encode();
        let done = self
            .blocks
            .sync()
            .map_err(|error| format!("syncing {LOG_FILE}: {error}"))
            .and_then(|()| self.head.write_at(0, &mark).map_err(|error| format!("writing {HEAD_FILE}: {error}")));
        if let Err(what) = done {
            // After a failed sync nobody knows what the disk holds: the block stays as it is, not
            // acknowledged, and the next opening decides.
            return Err(AppendError::Broken(what));
        }
        self.length = length;
        Ok(())
    }
}

/// What opening the log found.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The last good block.
    pub(crate) head: Header,
    /// The block at the index's height, if the log has one.
    pub(crate) indexed: Option<Header>,
}

fn check_mark(path: &Path, mark: Option<HeadMark>, header: &Header, end: u64) -> Result<(), LedgerError> {
    match mark {
        Some(mark) if mark.height == header.height && mark != HeadMark::of(header, end) => Err(LedgerError::Damaged {
            file: path.to_owned(),
            offset: end,
            height: header.height,
            what: "the block is not the one that had been acknowledged".into(),
        }),
        _ => Ok(()),
    }
}

/// Writes a small file so that it is there whole or not at all.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| LedgerError::io("write", path, &error))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(dir: &Path) -> Result<(), LedgerError> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(|error| LedgerError::io("sync", dir, &error))
}

#[cfg(test)]
mod tests;
