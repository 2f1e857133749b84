//! A file, or a range of it, fetched part after part: each is checked and decrypted as it comes, and the
//! command goes on behind the last one that is on the disk (docs/spec/files.md#keys-and-what-is-registered).

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use futures::StreamExt as _;
use sealgate_ledger::ids::{AssetId, BlockHeight, Digest, TxHash};
use sealgate_ledger::tx::{FILE, TxBody};
use sealgate_ods::SegmentKey;
use sealgate_ods::file::{PART_BYTES, check_parts, open_part, parts_of};
use serde::{Deserialize, Serialize};

use super::spool::{OBJECTS_AT_ONCE, Spool, object};
use super::{Obtained, Opening, obtain};
use crate::asking::{AskFailure, Session, is_final};
use crate::client::Client;
use crate::delivery::DeliveredColumn;
use crate::files::{FileError, read_json, write_json};
use crate::home::Home;
use crate::witness::pins::Witnessed;

/// Bytes of a file: from the first to the last, both counted from 0 and both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByteRange {
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: u64,
}

impl FromStr for ByteRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match numbers {
            Some((first, last)) if first <= last && last < u64::MAX => Ok(ByteRange { first, last }),
            _ => Err(format!(
                "'{}' is no range: write for example 0-999 for the first thousand bytes",
                text.escape_debug()
            )),
        }
    }
}

/// What is fetched, and where to.
pub struct FileFetching<'a> {
    /// The asset: its id, or its name as in a question's FROM.
    pub asset: &'a str,
    /// The stated purpose.
    pub purpose: &'a str,
    /// Only these bytes.
    pub range: Option<ByteRange>,
    /// The file to write.
    pub out: &'a Path,
    /// Told how far which work is.
    pub progress: &'a (dyn Fn(&'static str, u64, u64) + Sync),
}

/// What was fetched and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FetchedFile {
    /// The request.
    pub request: TxHash,
    /// The asset.
    pub asset: AssetId,
    /// Its name.
    pub name: String,
    /// The version.
    pub version: u32,
    /// Bytes written.
    pub bytes: u64,
    /// How many parts were opened, of how many.
    pub parts: (u64, u64),
    /// The block that records the delivery.
    pub block: BlockHeight,
    /// What the witnesses that the home pins say of the ledger.
    pub witnessed: Witnessed,
}

/// Fetches a file. What was interrupted goes on where it stopped.
///
/// # Errors
/// [`AskFailure`]; a denial is one of them and stands on the ledger.
pub async fn fetch_file(home: &Home, client: &Client, fetching: &FileFetching<'_>) -> Result<FetchedFile, AskFailure> {
    let account = home.account()?;
    let session = Session::open(home, client).await?;
    let detail = session.asset(fetching.asset).await?;
    let asset = &detail.asset;
    if asset.data_type != FILE {
        let what = format!("'{}' is a {}, not a file: use 'sealgate fetch' for columns", asset.name, asset.data_type);
        return Err(AskFailure::Table(what));
    }
    session.enrol(&account).await?;
    let (purpose, consent) = (fetching.purpose.to_owned(), None);
    let body = TxBody::RequestWhole { asset: asset.id, columns: vec![0], purpose, consent };
    let obtained = obtain(&session, &account, &detail, ("fetch the file", fetching.purpose), body).await?;
    let opening = Opening::check(&obtained, asset, &[0])?;
    let refused = |what: String| AskFailure::Refused(what);
    let content = obtained.delivery.columns.first().ok_or_else(|| refused("it delivers nothing".into()))?;
    check_parts(&opening.label, obtained.delivery.attempt, &content.segments)
        .map_err(|error| refused(error.to_string()))?;
    let mut spool = Spool::open(fetching.out, &obtained.request)?;
    let written = write(&session, &obtained, &opening, content, &mut spool, fetching).await;
    match &written {
        Err(error) if is_final(error) => obtained.kept(home)?,
        _ => {}
    }
    let (bytes, parts) = written?;
    spool.finish(fetching.out)?;
    obtained.kept(home)?;
    Ok(FetchedFile {
        request: obtained.request,
        asset: asset.id,
        name: asset.name.clone(),
        version: obtained.version.number,
        bytes,
        parts: (parts, content.segments.len() as u64),
        block: obtained.block,
        witnessed: obtained.witnessed,
    })
}

/// Writes the parts in which the range lies; gives the bytes written and how many parts that were.
async fn write(
    session: &Session<'_>,
    obtained: &Obtained,
    opening: &Opening,
    content: &DeliveredColumn,
    spool: &mut Spool,
    fetching: &FileFetching<'_>,
) -> Result<(u64, u64), AskFailure> {
    let all = content.segments.len() as u64;
    let range = match fetching.range {
        Some(range) => range.first..range.last + 1,
        None => 0..all * PART_BYTES,
    };
    let wanted = parts_of(&range);
    let wanted = wanted.start..wanted.end.min(all);
    let beyond = || AskFailure::Key(format!("--range begins at byte {}, behind the end of the file", range.start));
    if wanted.is_empty() {
        return Err(beyond());
    }
    let mut result = Growing::resume(spool, fetching.range)?;
    let begin = wanted.start + result.at.parts;
    (fetching.progress)("fetching and decrypting", result.at.parts, wanted.end - wanted.start);
    let numbered = |part: u64| usize::try_from(part).unwrap_or(usize::MAX);
    let objects = futures::stream::iter(begin..wanted.end)
        .map(|part| async move {
            let position = numbered(part);
            let described = content.segments.get(position).zip(content.keys.get(position));
            let (segment, key) = described.ok_or_else(|| AskFailure::Refused("a part has vanished".into()))?;
            let stored = object(session, obtained, (0, position), segment, opening.hash).await?;
            let (key, Opening { label, suite, hash }) = (SegmentKey::from_bytes(key.0), opening);
            let opened = open_part(label, *suite, *hash, segment, &key, &stored);
            let opened = opened.map_err(|error| AskFailure::Refused(format!("the ciphertext: {error}")))?;
            if part + 1 < all && opened.len() as u64 != PART_BYTES {
                return Err(AskFailure::Refused(format!("part {part} of the file is shorter than it must be")));
            }
            Ok((part, opened))
        })
        .buffered(OBJECTS_AT_ONCE);
    let mut objects = std::pin::pin!(objects);
    while let Some(next) = objects.next().await {
        let (part, opened) = next?;
        let within = within(&range, part, opened.len() as u64);
        let bytes = opened.get(numbered(within.start)..numbered(within.end)).unwrap_or_default();
        if bytes.is_empty() && fetching.range.is_some() && part == wanted.start {
            return Err(beyond());
        }
        result.append(bytes)?;
        (fetching.progress)("fetching and decrypting", result.at.parts, wanted.end - wanted.start);
    }
    Ok((result.at.bytes, wanted.end - wanted.start))
}

/// Which bytes of a part's content, which has `length`, lie in a range of the file.
fn within(range: &Range<u64>, part: u64, length: u64) -> Range<u64> {
    let start = part * PART_BYTES;
    let cut = |at: u64| at.saturating_sub(start).min(length);
    cut(range.start)..cut(range.end)
}

/// How far the file is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    range: Option<ByteRange>,
    parts: u64,
    bytes: u64,
    /// BLAKE3 of those bytes.
    digest: Digest,
}

impl At {
    /// The beginning of a file or range.
    fn nothing(range: Option<ByteRange>) -> At {
        At { range, parts: 0, bytes: 0, digest: digest_of(&blake3::Hasher::new()) }
    }
}

fn digest_of(hasher: &blake3::Hasher) -> Digest {
    Digest(hasher.finalize().into())
}

/// The file in the making. Its note follows it: whatever stops the command, what the note says is on the
/// disk, and what is behind that is cut off. What is there is read again before anything goes on behind it:
/// nothing else compares it with what was opened once the parts are gone.
struct Growing {
    at: At,
    hasher: blake3::Hasher,
    note: PathBuf,
    path: PathBuf,
    file: File,
}

impl Growing {
    fn resume(spool: &Spool, range: Option<ByteRange>) -> Result<Growing, FileError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let (path, note) = (spool.result(), spool.note());
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = open.map_err(FileError::io(&path))?;
        let known: Option<At> = read_json(&note).ok().filter(|at: &At| at.range == range);
        let mut hasher = blake3::Hasher::new();
        if let Some(at) = &known {
            std::io::copy(&mut (&file).take(at.bytes), &mut hasher).map_err(FileError::io(&path))?;
        }
        let at = known.filter(|at| hasher.count() == at.bytes && digest_of(&hasher) == at.digest);
        let at = at.unwrap_or_else(|| {
            hasher.reset();
            At::nothing(range)
        });
        let cut = file.set_len(at.bytes).and_then(|()| file.seek(SeekFrom::End(0)));
        cut.map_err(FileError::io(&path))?;
        Ok(Growing { at, hasher, note, path, file })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        written.map_err(FileError::io(&self.path))?;
        self.at.parts += 1;
        self.at.bytes += bytes.len() as u64;
        self.at.digest = digest_of(self.hasher.update(bytes));
        write_json(&self.note, &self.at, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_nonsense_is_not() {
        assert_eq!("0-0".parse(), Ok(ByteRange { first: 0, last: 0 }));
        assert_eq!("5-70000000".parse(), Ok(ByteRange { first: 5, last: 70_000_000 }));
        for text in ["", "5", "5-", "-5", "6-5", "0-18446744073709551615", "a-b", "1-2-3"] {
            assert!(text.parse::<ByteRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_bytes_of_a_range_are_found_in_its_parts() {
        let last = 10;
        assert_eq!(within(&(0..u64::MAX), 0, PART_BYTES), 0..PART_BYTES);
        assert_eq!(within(&(5..PART_BYTES + 3), 0, PART_BYTES), 5..PART_BYTES);
        assert_eq!(within(&(5..PART_BYTES + 3), 1, last), 0..3);
        assert_eq!(within(&(5..PART_BYTES + 300), 1, last), 0..last);
        assert!(within(&(PART_BYTES + 50..PART_BYTES + 60), 1, last).is_empty());
    }

    #[test]
    fn what_the_note_does_not_cover_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("plans.pdf");
        let spool = Spool::open(&out, &TxHash([1; 32])).unwrap();
        let mut file = Growing::resume(&spool, None).unwrap();
        file.append(b"first").unwrap();
        file.append(b"second").unwrap();
        // The third was under way.
        file.file.write_all(b"thi").unwrap();
        drop(file);
        let mut file = Growing::resume(&spool, None).unwrap();
        assert_eq!((file.at.parts, file.at.bytes), (2, 11));
        file.append(b"third").unwrap();
        assert_eq!(std::fs::read(spool.result()).unwrap(), b"firstsecondthird");
        // Another range begins anew, and so does a file that has lost bytes.
        let range = Some(ByteRange { first: 0, last: 1 });
        assert_eq!(Growing::resume(&spool, range).unwrap().at.parts, 0);
        let mut file = Growing::resume(&spool, None).unwrap();
        file.append(b"first").unwrap();
        std::fs::write(spool.result(), b"fi").unwrap();
        assert_eq!(Growing::resume(&spool, None).unwrap().at, At::nothing(None));
        // And one of which a byte is another than was written, whatever its length.
        let mut file = Growing::resume(&spool, None).unwrap();
        file.append(b"first").unwrap();
        file.append(b"second").unwrap();
        drop(file);
        std::fs::write(spool.result(), b"firstsecOnd").unwrap();
        let mut file = Growing::resume(&spool, None).unwrap();
        assert_eq!(file.at, At::nothing(None));
        file.append(b"first").unwrap();
        assert_eq!(std::fs::read(spool.result()).unwrap(), b"first");
        assert_eq!(Growing::resume(&spool, None).unwrap().at.bytes, 5);
    }
}
