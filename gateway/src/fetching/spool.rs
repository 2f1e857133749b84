//! Ciphertext on its way: a folder beside the file that is to be, in which every byte is checked by
//! its digest before anything goes on. So it needs no journal: what is there and whole is used,
//! whatever stopped the command before.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use sealgate_ledger::ids::TxHash;
use sealgate_ods::HashAlgorithm;
use sealgate_ods::table::columns::ColumnSegment;

use super::{Obtained, is_passing};
use crate::asking::{AskFailure, Session};
use crate::client::ClientError;
use crate::delivery::release::Wanted;
use crate::delivery::{Delivered as _, DeliveredColumn, RANGE_BYTES_MAX};
use crate::files::{FileError, create_private_dir, write_private};

/// Objects that are asked for at the same time.
pub(super) const OBJECTS_AT_ONCE: usize = 4;
/// How often a call is made again when the gateway does not answer, and after how long.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// How long another node of a shared ledger may lag behind.
const LAG: Duration = Duration::from_secs(15);

/// The folder beside a file that is being fetched.
pub struct Spool {
    folder: PathBuf,
    /// Held as long as one command uses the folder.
    _lock: File,
}

/// Whether a fetch puts a file of this name into its folder.
fn is_ours(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        // What is being written whole has a name of its own until it is.
        let name = name.strip_prefix('.').and_then(|name| name.split('.').next()).unwrap_or(name);
        matches!(name, "lock" | "request" | "result" | "written") || name.starts_with("column-")
    })
}

impl Spool {
    /// Opens the folder of `out`, and empties it if it is of another request.
    ///
    /// # Errors
    /// [`FileError`]; also while another command fetches to the same file.
    pub fn open(out: &Path, request: &TxHash) -> Result<Spool, FileError> {
        let mut folder = out.as_os_str().to_owned();
        folder.push(".part");
        let folder = PathBuf::from(folder);
        create_private_dir(&folder).map_err(FileError::io(&folder))?;
        let entries = std::fs::read_dir(&folder).map_err(FileError::io(&folder))?;
        if let Some(other) = entries.flatten().map(|entry| entry.file_name()).find(|name| !is_ours(name)) {
            let what = format!("holds '{}', which no fetch put there: fetch to another file", other.to_string_lossy());
            return Err(FileError::content(&folder, what));
        }
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(FileError::io(&path))?;
        if lock.try_lock().is_err() {
            return Err(FileError::content(
                &folder,
                "another command is fetching to this file; wait until it has ended",
            ));
        }
        let (path, text) = (folder.join("request"), format!("{request}\n"));
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            for entry in std::fs::read_dir(&folder).map_err(FileError::io(&folder))?.flatten() {
                if entry.file_name() != "lock" {
                    std::fs::remove_file(entry.path()).map_err(FileError::io(&entry.path()))?;
                }
            }
            write_private(&path, text.as_bytes(), true).map_err(FileError::io(&path))?;
        }
        Ok(Spool { folder, _lock: lock })
    }

    /// Where the file is written before it takes its name.
    pub fn result(&self) -> PathBuf {
        self.folder.join("result")
    }

    /// Where a file that is written as it comes notes how far it is.
    pub fn note(&self) -> PathBuf {
        self.folder.join("written")
    }

    /// Gives the written file its name, and removes the folder.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn finish(&mut self, out: &Path) -> Result<(), FileError> {
        std::fs::rename(self.result(), out).map_err(FileError::io(out))?;
        let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(FileError::io(parent))?;
        std::fs::remove_dir_all(&self.folder).map_err(FileError::io(&self.folder))
    }

    fn path(&self, column: u8) -> PathBuf {
        self.folder.join(format!("column-{column}"))
    }

    /// Bytes of a column's file.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read(&self, column: u8, start: u64, length: u64) -> Result<Vec<u8>, FileError> {
        let path = self.path(column);
        let read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(start))?;
            let mut content = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            file.read_exact(&mut content)?;
            Ok(content)
        };
        read().map_err(FileError::io(&path))
    }

    /// Brings all ciphertext here, each object checked and on the disk before the next.
    ///
    /// # Errors
    /// [`AskFailure`]; what is here by then stays here.
    pub async fn fill(
        &mut self,
        session: &Session<'_>,
        obtained: &Obtained,
        hash: HashAlgorithm,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), AskFailure> {
        let total = obtained.delivery.bytes();
        let mut done = 0;
        for one in &obtained.delivery.columns {
            let (mut file, begin) = self.resume(one, hash)?;
            done += one.segments.iter().take(begin).map(|segment| segment.bytes).sum::<u64>();
            progress(done, total);
            let objects = futures::stream::iter((begin..).zip(one.segments.iter().skip(begin)))
                .map(|(position, segment)| object(session, obtained, (one.column, position), segment, hash))
                .buffered(OBJECTS_AT_ONCE);
            let mut objects = std::pin::pin!(objects);
            while let Some(object) = objects.next().await {
                let object = object?;
                let path = self.path(one.column);
                file.write_all(&object).and_then(|()| file.sync_data()).map_err(FileError::io(&path))?;
                done += object.len() as u64;
                progress(done, total);
            }
        }
        Ok(())
    }

    /// A column's file, cut behind the last object that is there and whole, and how many are.
    fn resume(&self, one: &DeliveredColumn, hash: HashAlgorithm) -> Result<(File, usize), FileError> {
        let path = self.path(one.column);
        let io = |error| FileError::io(&path)(error);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut reader = BufReader::new(&file);
        let (mut whole, mut end) = (0, 0u64);
        for segment in &one.segments {
            if end.saturating_add(segment.bytes) > length {
                break;
            }
            let mut content = vec![0; usize::try_from(segment.bytes).unwrap_or(usize::MAX)];
            reader.read_exact(&mut content).map_err(io)?;
            if hash.digest(&content) != segment.digest {
                break;
            }
            whole += 1;
            end += segment.bytes;
        }
        drop(reader);
        file.set_len(end).map_err(io)?;
        let mut file = file;
        file.seek(SeekFrom::Start(end)).map_err(io)?;
        Ok((file, whole))
    }
}

/// One object from the gateway, checked against its digest.
pub(super) async fn object(
    session: &Session<'_>,
    obtained: &Obtained,
    (column, position): (u8, usize),
    segment: &ColumnSegment,
    hash: HashAlgorithm,
) -> Result<Vec<u8>, AskFailure> {
    let token = obtained.delivery.token.text();
    let content = download(session, (obtained.request, &token), (column, position), segment).await?;
    if hash.digest(&content) != segment.digest {
        return Err(AskFailure::Refused(format!(
            "object {position} of column {} is not the one registered on the ledger",
            u16::from(column) + 1
        )));
    }
    Ok(content)
}

/// One object from the gateway, part after part, as it comes: of the length it must have.
pub(crate) async fn download(
    session: &Session<'_>,
    (request, token): (TxHash, &str),
    (column, position): (u8, usize),
    segment: &ColumnSegment,
) -> Result<Vec<u8>, AskFailure> {
    let mut content = Vec::with_capacity(usize::try_from(segment.bytes).unwrap_or_default());
    while (content.len() as u64) < segment.bytes {
        let start = content.len() as u64;
        let length = (segment.bytes - start).min(RANGE_BYTES_MAX);
        let part = part(session, &Wanted { request, column, position, start, length, token }).await?;
        if part.total != segment.bytes {
            return Err(AskFailure::Refused(format!(
                "an object has {} bytes instead of {}",
                part.total, segment.bytes
            )));
        }
        content.extend_from_slice(&part.content);
    }
    Ok(content)
}

/// One part, asked for again when the gateway is away for a moment.
async fn part(session: &Session<'_>, wanted: &Wanted<'_>) -> Result<crate::delivery::release::Part, AskFailure> {
    let (begun, mut tries) = (Instant::now(), 0);
    loop {
        match session.client.segment(wanted).await {
            Ok(Some(part)) => return Ok(part),
            // Another node may not have seen the delivery on the ledger yet.
            Ok(None) if session.genesis.network.is_some() && begun.elapsed() < LAG => {}
            Ok(None) => return Err(AskFailure::Refused("it does not have the ciphertext that it delivered".into())),
            Err(error) if is_passing(&error) && tries < TRIES => tries += 1,
            Err(ClientError::Problem(problem)) => return Err(AskFailure::NotTaken(ClientError::Problem(problem))),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
