//! What a home asked and what came of it, kept in its folder `answers` (docs/spec/console.md#answers):
//! `REQUEST.json` is the answer file, as `sealgate ask --out` writes it, and `REQUEST.asked.json` says
//! what was asked, when, and how it ended, also where it ended with a refusal.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use sealgate_circuits::question::sql::table_name;
use sealgate_ledger::block::DenyReason;
use sealgate_ledger::ids::{AssetId, BlockHeight, TxHash};
use sealgate_ledger::tx::DeclineReason;
use serde::{Deserialize, Serialize};

use crate::answer_file::{ANSWER_BYTES_MAX, AnswerError};
use crate::asking::{AskFailure, Asking, ask};
use crate::client::Client;
use crate::files::{FileError, check_writable, create_private_dir, read_bounded, read_json, write_json, write_private};
use crate::home::{Asked, Home};

/// The folder in a home.
const FOLDER: &str = "answers";
/// Most of what was asked that is looked through.
const KEPT_MAX: usize = 20_000;

/// A question of this home, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The request.
    pub request: TxHash,
    /// When its end was kept, in milliseconds since 1970-01-01 UTC, by this machine's clock.
    pub time_ms: u64,
    /// The asset.
    pub asset: AssetId,
    /// What the question calls it.
    pub table: String,
    /// Why it was asked.
    pub purpose: String,
    /// The question, as written.
    pub sql: String,
    /// About how many keys.
    pub keys: usize,
    /// How it ended.
    pub end: End,
}

/// How a question ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With an answer, which was verified before it was kept.
    Answered {
        /// The block that recorded it.
        block: BlockHeight,
    },
    /// The contract denied it.
    Denied {
        /// The block that says so.
        block: BlockHeight,
        /// Why.
        reason: DenyReason,
        /// Why, with the names of fields and items.
        why: String,
    },
    /// The owner declined it.
    Declined {
        /// The block that says so.
        block: BlockHeight,
        /// Why.
        reason: DeclineReason,
    },
}

/// Why a question was not asked, or its end not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Asking.
    #[error(transparent)]
    Ask(#[from] AskFailure),
    /// The folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// The answer file.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

/// One line of what a home asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Kept here.
    Kept(Box<Kept>),
    /// Asked by the command line: its answer is where `--out` said.
    Elsewhere {
        /// The request.
        request: TxHash,
        /// What was asked.
        asked: Box<Asked>,
        /// When it was asked, in milliseconds since 1970-01-01 UTC, by the file's time.
        time_ms: u64,
    },
}

impl Line {
    /// The request.
    pub fn request(&self) -> TxHash {
        match self {
            Line::Kept(kept) => kept.request,
            Line::Elsewhere { request, .. } => *request,
        }
    }

    /// When it ended, or was asked.
    pub fn time_ms(&self) -> u64 {
        match self {
            Line::Kept(kept) => kept.time_ms,
            Line::Elsewhere { time_ms, .. } => *time_ms,
        }
    }
}

/// Asks a question and keeps how it ended; a denial and a refusal are ends too. Nothing is asked that
/// could not be kept: a question counts against the quota.
///
/// # Errors
/// [`KeepError`]: nothing came, or nothing that is to be believed. The same words take the same
/// request up again.
pub async fn ask_and_keep(home: &Home, client: &Client, purpose: &str, asking: &Asking<'_>) -> Result<Kept, KeepError> {
    let folder = home.folder().join(FOLDER);
    create_private_dir(&folder).map_err(FileError::io(&folder))?;
    check_writable(&folder.join("answer.json"))?;
    let result = ask(home, client, purpose, asking).await;
    let keys = asking.keys.map_or(1, |keys| keys.lines.len());
    let kept = |request: TxHash, end: End| -> Result<Kept, KeepError> {
        let asked = home.asked(&request)?;
        let asset = asked.as_ref().map_or(AssetId([0; 32]), |asked| asked.asset);
        let table = table_name(asking.sql).unwrap_or_default();
        let (sql, purpose) = (asking.sql.to_owned(), purpose.to_owned());
        let kept = Kept { request, time_ms: now_ms(), asset, table, purpose, sql, keys, end };
        write_json(&home.kept_path(&request, "asked.json"), &kept, true)?;
        Ok(kept)
    };
    match result {
        Ok(answered) => {
            let request = answered.verified.request;
            let path = home.kept_path(&request, "json");
            write_private(&path, &answered.file.to_bytes()?, true).map_err(FileError::io(&path))?;
            let end = kept(request, End::Answered { block: answered.verified.answer_block })?;
            answered.kept(home)?;
            Ok(end)
        }
        Err(AskFailure::Denied { reason, why, request, block }) => kept(request, End::Denied { block, reason, why }),
        Err(AskFailure::Declined { reason, request, block }) => kept(request, End::Declined { block, reason }),
        Err(other) => Err(other.into()),
    }
}

impl Home {
    fn kept_path(&self, request: &TxHash, ending: &str) -> PathBuf {
        self.folder().join(FOLDER).join(format!("{request}.{ending}"))
    }

    /// How a request ended, if it is kept in `answers`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn kept(&self, request: &TxHash) -> Result<Option<Kept>, FileError> {
        let path = self.kept_path(request, "asked.json");
        if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
    }

    /// The bytes of an answer file that is kept in `answers`. They may have been changed since: verify
    /// them before anything of them is shown.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn kept_answer(&self, request: &TxHash) -> Result<Option<Vec<u8>>, FileError> {
        let path = self.kept_path(request, "json");
        if path.exists() { read_bounded(&path, ANSWER_BYTES_MAX).map(Some) } else { Ok(None) }
    }

    /// Everything this home asked, the newest first.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn history(&self) -> Result<Vec<Line>, FileError> {
        let mut lines = Vec::new();
        for (request, path) in requests_in(&self.folder().join(FOLDER), ".asked.json") {
            let kept: Kept = read_json(&path)?;
            if kept.request == request {
                lines.push(Line::Kept(Box::new(kept)));
            }
        }
        let known: std::collections::BTreeSet<TxHash> = lines.iter().map(Line::request).collect();
        for (request, path) in requests_in(&self.folder().join("asked"), ".json") {
            if known.contains(&request) {
                continue;
            }
            let modified = std::fs::metadata(&path).and_then(|data| data.modified()).ok();
            let asked = Box::new(read_json(&path)?);
            lines.push(Line::Elsewhere { request, asked, time_ms: modified.map_or(0, ms) });
        }
        lines.sort_by_key(|line| std::cmp::Reverse((line.time_ms(), line.request())));
        Ok(lines)
    }
}

/// Files of a folder that are named after a request.
fn requests_in(folder: &std::path::Path, ending: &str) -> Vec<(TxHash, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let named = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Some((name.strip_suffix(ending)?.parse().ok()?, entry.path()))
    });
    named.take(KEPT_MAX).collect()
}

fn now_ms() -> u64 {
    ms(SystemTime::now())
}

fn ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found_again_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        assert!(home.history().unwrap().is_empty());
        create_private_dir(&dir.path().join(FOLDER)).unwrap();
        let kept = |n: u8, time_ms| Kept {
            request: TxHash([n; 32]),
            time_ms,
            asset: AssetId([1; 32]),
            table: "shop".into(),
            purpose: "p".into(),
            sql: "SELECT 1".into(),
            keys: 1,
            end: End::Denied { block: BlockHeight(3), reason: DenyReason::NoGrant, why: "no".into() },
        };
        for one in [kept(1, 5), kept(2, 9), kept(3, 7)] {
            write_json(&home.kept_path(&one.request, "asked.json"), &one, true).unwrap();
        }
        std::fs::write(dir.path().join(FOLDER).join("notes.txt"), "mine").unwrap();
        let times: Vec<u64> = home.history().unwrap().iter().map(Line::time_ms).collect();
        assert_eq!(times, [9, 7, 5]);
        assert_eq!(home.kept(&TxHash([2; 32])).unwrap(), Some(kept(2, 9)));
        assert_eq!(home.kept(&TxHash([4; 32])).unwrap(), None);
        assert_eq!(home.kept_answer(&TxHash([2; 32])).unwrap(), None);
    }
}
