//! What an auditor has looked at: a journal in the auditor's own home, one line for each read, chained
//! by hashes and never rewritten (docs/spec/console.md#journal-of-reads). A line is durable before what
//! it speaks of is shown.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sealgate_circuits::bytes::tagged_hash;
use sealgate_ledger::block::{Block, EntryBody, Outcome, Receipt};
use sealgate_ledger::ids::{Address, BlockHeight, ChainId, Digest};
use sealgate_ledger::tx::{TextContent, TxBody};
use serde::{Deserialize, Serialize};

use crate::asking::{AskFailure, Session};
use crate::files::{FileError, create_private_dir, read_bounded};
use crate::home::Home;
use crate::owner::{clock_ms, signed};

/// The file in a ledger's folder of the home.
const FILE: &str = "reads";
/// Largest journal that is read, in bytes.
const BYTES_MAX: u64 = 1 << 30;
/// Longest argument, in characters; what is longer is cut.
const ABOUT_MAX: usize = 500;
/// A line is no longer than this, in bytes.
const LINE_BYTES_MAX: u64 = 16 << 10;
const DOMAIN: &str = "sealgate/journal/1";
/// The name of the text by which an auditor anchors its journal on the ledger.
pub const ANCHOR_NAME: &str = "reads-journal";
const ANCHOR_FORM: &str = "sealgate-journal/1 ";

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Lines of the trail.
    Trail,
    /// One request with everything known of it.
    Entry,
    /// Who stands behind a pseudonym.
    Pseudonym,
    /// Who may ask, or could.
    Grants,
    /// What each account used.
    Meter,
    /// What answers have told of records.
    Budget,
    /// What stands out.
    Anomalies,
    /// An answer that somebody handed over.
    Answer,
    /// Records chosen by chance.
    Sample,
    /// A signed file of the trail.
    Export,
    /// A spreadsheet.
    Spreadsheet,
}

/// One read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// Counted from 1.
    pub number: u64,
    /// When, by the auditor's clock, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
    /// What.
    pub what: What,
    /// Which: the filter, the request, the account.
    pub about: String,
    /// Random, so that the hashes tell nobody what was read.
    salt: Digest,
    /// Hash of the line before; of the first, of the ledger's fingerprint.
    before: Digest,
    /// Hash of all that.
    pub hash: Digest,
}

impl Read {
    fn hash(&self) -> Digest {
        let what = serde_json::to_vec(&self.what).unwrap_or_default();
        let (number, time) = (self.number.to_le_bytes(), self.time_ms.to_le_bytes());
        let parts: [&[u8]; 6] = [&number, &time, &what, self.about.as_bytes(), &self.salt.0, &self.before.0];
        Digest(tagged_hash(DOMAIN, &parts))
    }

    /// Why a line is none, or not the one that follows `before`.
    fn parse(line: &str, number: u64, before: &Digest) -> Result<Read, &'static str> {
        let read: Read = serde_json::from_str(line).map_err(|_| "it is not a line of a journal")?;
        if serde_json::to_string(&read).map_err(|_| "it cannot be read")? != line {
            return Err("it is in another spelling");
        }
        if read.number != number || read.before != *before {
            return Err("it does not follow the line before it: lines were removed, added or exchanged");
        }
        if read.hash != read.hash() {
            return Err("its content was changed");
        }
        Ok(read)
    }
}

/// Why a read could not be recorded; it is not shown then.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its last line.
    #[error(
        "the journal of reads {} is damaged at its end ({what}), and nothing is shown that cannot be recorded: put a copy of it back, or move it away to begin another one, which whoever compares it with the ledger will see",
        .path.display()
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Randomness,
}

/// Where a journal is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

/// A journal that was read back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// The reads, as far as their chain holds.
    pub reads: Vec<Read>,
    /// Where it does not.
    pub damage: Option<Damage>,
}

/// What the ledger says of a journal: its newest hash at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Anchor {
    /// The hash.
    pub hash: Digest,
    /// The block that says so.
    pub block: BlockHeight,
    /// Its time, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
}

impl Reading {
    /// Hash of the last line.
    pub fn head(&self) -> Option<Digest> {
        self.reads.last().map(|read| read.hash)
    }

    /// Of each anchor the number of the read that it names; none where this journal has no such line,
    /// or not behind the one of the anchor before: it was rewritten or cut.
    pub fn anchored(&self, anchors: &[Anchor]) -> Vec<(Anchor, Option<u64>)> {
        let numbers: HashMap<Digest, u64> = self.reads.iter().map(|read| (read.hash, read.number)).collect();
        let mut last = 0;
        let place = |anchor: &Anchor| {
            let number = numbers.get(&anchor.hash).copied().filter(|number| *number >= last);
            last = number.unwrap_or(last);
            (*anchor, number)
        };
        anchors.iter().map(place).collect()
    }
}

/// The content of the text that anchors a journal with this last line.
pub fn anchor_text(head: &Digest) -> String {
    format!("{ANCHOR_FORM}{head}\n")
}

/// The anchors in a block: texts of that name by one of these accounts.
pub fn anchors_in(block: &Block, of: &[Address]) -> Vec<Anchor> {
    let anchor = |body: &EntryBody| {
        let EntryBody::Transaction { tx, outcome: Outcome::Accepted } = body else { return None };
        let TxBody::PutText { name, content: TextContent::Public(text), .. } = &tx.tx.body else { return None };
        if name != ANCHOR_NAME || !of.contains(&tx.tx.sender) {
            return None;
        }
        let hash = text.strip_prefix(ANCHOR_FORM)?.strip_suffix('\n')?.parse().ok()?;
        Some(Anchor { hash, block: block.header.height, time_ms: block.header.time_ms })
    };
    block.entries.iter().filter_map(|entry| anchor(&entry.body)).collect()
}

/// The journal of a home about one ledger.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
    first: Digest,
}

impl Journal {
    /// That of a home about the ledger `chain`.
    pub fn of(home: &Home, chain: &ChainId) -> Journal {
        let first = Digest(tagged_hash(DOMAIN, &[&chain.0]));
        Journal { path: home.ledger_folder(chain).join(FILE), first }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a read; it is durable when this returns.
    ///
    /// # Errors
    /// [`JournalError`]: then nothing may be shown.
    pub fn note(&self, what: What, about: &str) -> Result<Read, JournalError> {
        let io = |error| JournalError::from(FileError::io(&self.path)(error));
        if let Some(folder) = self.path.parent() {
            create_private_dir(folder).map_err(io)?;
        }
        let is_new = !self.path.exists();
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path).map_err(io)?;
        // One process, and one page, at a time.
        file.lock().map_err(io)?;
        let (number, before) = match self.last(&mut file)? {
            Some(last) => (last.number.saturating_add(1), last.hash),
            None => (1, self.first),
        };
        let mut salt = Digest([0; 32]);
        getrandom::fill(&mut salt.0).map_err(|_| JournalError::Randomness)?;
        let about = about.chars().take(ABOUT_MAX).collect();
        let mut read = Read { number, time_ms: clock_ms(), what, about, salt, before, hash: salt };
        read.hash = read.hash();
        let line = serde_json::to_string(&read).map_err(|error| FileError::content(&self.path, error))?;
        file.write_all(format!("{line}\n").as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        if let Some(folder) = self.path.parent().filter(|_| is_new) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        Ok(read)
    }

    /// The last line. One that a crash cut short is removed: what it speaks of was never shown.
    fn last(&self, file: &mut File) -> Result<Option<Read>, JournalError> {
        let io = |error| JournalError::from(FileError::io(&self.path)(error));
        let damaged = |what| JournalError::Damaged { path: self.path.clone(), what };
        let length = file.metadata().map_err(io)?.len();
        let start = length.saturating_sub(2 * LINE_BYTES_MAX);
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail).map_err(io)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn = (tail.len() - whole) as u64;
        if torn > 0 {
            if torn > LINE_BYTES_MAX {
                return Err(damaged("its last line has no end"));
            }
            file.set_len(length.saturating_sub(torn)).map_err(io)?;
        }
        let lines = tail.get(..whole).unwrap_or_default();
        let Some(lines) = lines.strip_suffix(b"\n") else { return Ok(None) };
        let line = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = std::str::from_utf8(line).map_err(|_| damaged("its last line is no text"))?;
        let read: Read = serde_json::from_str(line).map_err(|_| damaged("its last line is none"))?;
        Read::parse(line, read.number, &read.before).map_err(|_| damaged("its last line was changed"))?;
        Ok(Some(read))
    }

    /// Reads the whole journal back and checks its chain.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be read; damage is told in what is returned.
    pub fn read(&self) -> Result<Reading, FileError> {
        if !self.path.exists() {
            return Ok(Reading::default());
        }
        let bytes = read_bounded(&self.path, BYTES_MAX)?;
        let (mut reading, mut before) = (Reading::default(), self.first);
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = bytes.get(..whole).unwrap_or_default();
        for (line, number) in lines.split_inclusive(|byte| *byte == b'\n').zip(1u64..) {
            let line = std::str::from_utf8(line.strip_suffix(b"\n").unwrap_or(line)).unwrap_or_default();
            match Read::parse(line, number, &before) {
                Ok(read) => {
                    before = read.hash;
                    reading.reads.push(read);
                }
                Err(what) => {
                    reading.damage = Some(Damage { line: number, what });
                    break;
                }
            }
        }
        Ok(reading)
    }
}

/// Puts the hash of a journal's last line on the ledger, as a small text of the home's account, in place
/// of the one before. Whoever replays the ledger finds all of them.
///
/// # Errors
/// [`AskFailure`]; when nothing has been read yet, or the journal is damaged.
pub async fn anchor(session: &Session<'_>) -> Result<Receipt, AskFailure> {
    let journal = Journal::of(session.home, &session.genesis.chain_id());
    let refused = |what: &str| AskFailure::from(FileError::content(journal.path(), what));
    let reading = journal.read()?;
    if reading.damage.is_some() {
        return Err(refused("it is damaged: put a copy of it back before it is anchored"));
    }
    let head = reading.head().ok_or_else(|| refused("nothing was read yet, so there is nothing to anchor"))?;
    let account = session.home.account()?;
    session.enrol(&account).await?;
    let body = TxBody::PutText {
        name: ANCHOR_NAME.into(),
        title: "Head of a journal of reads".into(),
        content: TextContent::Public(anchor_text(&head)),
    };
    Ok(session.client.submit(&signed(&session.genesis, session.head, &account, body)?).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: ChainId = ChainId([3; 32]);

    fn journal() -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::of(&Home::at(dir.path()), &CHAIN);
        (dir, journal)
    }

    #[test]
    fn reads_are_chained_and_survive() {
        let (_dir, journal) = journal();
        assert_eq!(journal.read().unwrap(), Reading::default());
        let notes = [(What::Trail, "asset=shop"), (What::Entry, "<&\"\n"), (What::Pseudonym, "")];
        let hashes: Vec<Digest> = notes.iter().map(|(what, about)| journal.note(*what, about).unwrap().hash).collect();
        let reading = journal.read().unwrap();
        assert_eq!(reading.damage, None);
        assert_eq!(reading.reads.iter().map(|read| read.hash).collect::<Vec<_>>(), hashes);
        let shown: Vec<_> = reading.reads.iter().map(|read| (read.what, read.about.as_str())).collect();
        assert_eq!(shown, notes);
        assert_eq!(reading.head(), Some(hashes[2]));
        // The same read twice has another hash: nobody guesses from an anchor what was read.
        assert_ne!(journal.note(What::Trail, "x").unwrap().hash, journal.note(What::Trail, "x").unwrap().hash);
        let other = Journal { first: Digest([9; 32]), ..journal.clone() };
        assert_eq!(other.read().unwrap().damage.unwrap().line, 1, "another ledger's journal");
        assert!(journal.note(What::Trail, &"é".repeat(9_000)).unwrap().about.len() <= 2 * ABOUT_MAX);
        assert_eq!(journal.read().unwrap().damage, None);
    }

    #[test]
    fn every_change_is_found() {
        let (_dir, journal) = journal();
        for number in 0..4 {
            journal.note(What::Entry, &number.to_string()).unwrap();
        }
        let bytes = std::fs::read(journal.path()).unwrap();
        let damage = |bytes: &[u8]| {
            std::fs::write(journal.path(), bytes).unwrap();
            let reading = journal.read().unwrap();
            (reading.damage.is_some(), reading.reads.len())
        };
        for at in 0..bytes.len() - 1 {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let (found, left) = damage(&changed);
            assert!(found || left < 4, "byte {at}");
        }
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        assert!(damage(&[lines[0], lines[2], lines[3]].concat()).0, "one removed");
        assert!(damage(&[lines[0], lines[2], lines[1], lines[3]].concat()).0, "two exchanged");
        assert!(damage(&lines[1..].concat()).0, "the first removed");
        // Cutting the end is not seen by the chain, but by an anchor.
        std::fs::write(journal.path(), lines[..2].concat()).unwrap();
        let reading = journal.read().unwrap();
        assert_eq!((reading.damage.is_none(), reading.reads.len()), (true, 2));
    }

    #[test]
    fn what_a_crash_cut_short_is_removed_and_damage_stops_the_reads() {
        let (_dir, journal) = journal();
        journal.note(What::Trail, "a").unwrap();
        let whole = std::fs::read(journal.path()).unwrap();
        for cut in 1..whole.len() {
            std::fs::write(journal.path(), [&whole[..], &whole[..cut.min(whole.len() - 1)]].concat()).unwrap();
            assert_eq!(journal.read().unwrap().reads.len(), 1);
            assert_eq!(journal.note(What::Trail, "b").unwrap().number, 2);
            assert_eq!(journal.read().unwrap().damage, None);
        }
        let mut changed = whole.clone();
        changed[20] ^= 1;
        std::fs::write(journal.path(), &changed).unwrap();
        let error = journal.note(What::Trail, "c").unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
        assert_eq!(std::fs::read(journal.path()).unwrap(), changed, "nothing was written");
    }

    #[test]
    fn anchors_show_a_journal_that_was_cut_or_rewritten() {
        let (_dir, journal) = journal();
        let hashes: Vec<Digest> = (0..3).map(|_| journal.note(What::Trail, "a").unwrap().hash).collect();
        let anchor = |at: usize, block| Anchor { hash: hashes[at], block: BlockHeight(block), time_ms: block };
        let anchors = [anchor(0, 5), anchor(2, 9)];
        let numbers = |reading: &Reading, anchors: &[Anchor]| -> Vec<Option<u64>> {
            reading.anchored(anchors).into_iter().map(|(_, number)| number).collect()
        };
        let reading = journal.read().unwrap();
        assert_eq!(numbers(&reading, &anchors), [Some(1), Some(3)]);
        assert_eq!(numbers(&reading, &[anchors[1], anchors[0]]), [Some(3), None], "not in the ledger's order");
        let cut = Reading { reads: reading.reads[..2].to_vec(), damage: None };
        assert_eq!(numbers(&cut, &anchors), [Some(1), None]);
        std::fs::remove_file(journal.path()).unwrap();
        (0..3).for_each(|_| drop(journal.note(What::Trail, "a").unwrap()));
        assert_eq!(numbers(&journal.read().unwrap(), &anchors), [None, None]);
    }

    #[test]
    fn processes_take_turns() {
        let (_dir, journal) = journal();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| drop(journal.note(What::Meter, "").unwrap())));
            }
        });
        let reading = journal.read().unwrap();
        assert_eq!((reading.reads.len(), reading.damage), (40, None));
    }
}
