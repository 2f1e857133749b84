//! A manifest made from what its source holds: types, keys and nulls, for an owner to edit.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SourceSpec;
use crate::progress::{Phase, Progress, ProgressSink};
use crate::source::{SourceError, Table, open_table};

mod keys;
mod profile;
mod render;
mod sniff;

use keys::{KeySearch, Uniqueness};
use profile::Profile;

/// Rows between two reports of progress.
const REPORT_ROWS: u64 = 8192;

/// Why no manifest could be made.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The file's name does not say what it is.
    #[error("{0}: its name does not say of what kind it is: .csv, .tsv, .txt, .jsonl, .ndjson, .json or .parquet")]
    Kind(PathBuf),
    /// There is nothing to share.
    #[error("{0}: no column with a name of its own")]
    NoColumns(String),
}

/// What is to be looked at, and how it is to be called.
pub struct InferRequest {
    /// The source.
    pub source: SourceSpec,
    /// Its path as the manifest is to have it, where it is a file.
    pub path_written: Option<PathBuf>,
    /// Whether its encoding was guessed.
    pub encoding_guessed: bool,
    /// The asset's name.
    pub name: String,
    /// The asset's title.
    pub title: String,
    /// Only so many rows; all if `None`.
    pub rows_max: Option<u64>,
    /// Where progress goes.
    pub progress: Arc<dyn ProgressSink>,
}

/// A manifest as text, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// The manifest, with comments.
    pub manifest: String,
    /// Rows looked at.
    pub rows: u64,
    /// Columns of the source that are in it.
    pub columns: usize,
    /// The key's columns; empty if none was found, and then nothing can be published yet.
    pub key: Vec<String>,
}

/// Says by its name and beginning what kind of source a file is, and whether its encoding had to be
/// guessed.
///
/// # Errors
/// [`InferError`]: it cannot be read, or its name does not say.
pub fn spec_of_file(path: &Path) -> Result<(SourceSpec, bool), InferError> {
    sniff::of_file(path)
}

/// Reads a source, all of it unless told otherwise, and makes a manifest of what it holds. A second
/// reading looks for keys of several columns where no column is one. Memory is bounded by the
/// columns, and by what keys need (docs/spec/manifest.md#infer).
///
/// # Errors
/// [`InferError`]: the source cannot be read to its end.
pub fn infer(request: &InferRequest) -> Result<Inferred, InferError> {
    let survey = Survey::make(request)?;
    let nulls = survey.null_texts();
    let key = survey.key(request, &nulls)?;
    Ok(render::manifest(request, &survey, &nulls, &key))
}

/// What was seen of a source.
struct Survey {
    columns: Vec<Surveyed>,
    left_out: Vec<LeftOut>,
    rows: u64,
    /// Whether rows were left.
    more: bool,
    /// Rows that are none, and the first.
    faults: u64,
    first_fault: Option<String>,
}

/// A column that cannot be shared, and why.
struct LeftOut {
    name: String,
    why: String,
}

struct Surveyed {
    /// The column, as the source calls it.
    name: String,
    profile: Profile,
    uniqueness: Uniqueness,
}

/// The key chosen, and what else there is to say of keys.
struct Key {
    /// Positions among the columns surveyed.
    columns: Vec<usize>,
    remarks: Vec<String>,
}

impl Survey {
    fn make(request: &InferRequest) -> Result<Self, InferError> {
        let mut table = open_table(&request.source, &[])?;
        let (names, left_out) = usable(&mut *table, &request.source)?;
        if names.is_empty() {
            return Err(InferError::NoColumns(table.name()));
        }
        table.choose(&names)?;
        let columns =
            names.into_iter().map(|name| Surveyed { name, profile: Profile::new(), uniqueness: Uniqueness::default() });
        let mut survey =
            Self { columns: columns.collect(), left_out, rows: 0, more: false, faults: 0, first_fault: None };
        let hasher = RandomState::new();
        while let Some(place) = table.advance()? {
            if request.rows_max == Some(survey.rows) {
                survey.more = true;
                break;
            }
            survey.rows += 1;
            report(request, &*table, survey.rows);
            match place.fault {
                None => survey.add_row(&*table, &hasher),
                Some(what) => {
                    survey.faults += 1;
                    let line = place.line.map(|line| format!(" (line {line})")).unwrap_or_default();
                    survey.first_fault.get_or_insert(format!("row {}{line}: {what}", survey.rows));
                }
            }
        }
        Ok(survey)
    }

    fn add_row(&mut self, table: &dyn Table, hasher: &RandomState) {
        for (at, column) in self.columns.iter_mut().enumerate() {
            let cell = table.cell(at);
            let text = cell.as_ref().map(|cell| cell.as_deref()).map_err(Clone::clone);
            let hash = text.as_ref().map_or(0, |text| hasher.hash_one(text));
            if let Ok(Some(_)) = text {
                column.uniqueness.add(self.rows, hash);
            }
            column.profile.add(self.rows, text, hash);
        }
        keys::within_bounds(&mut self.columns);
    }

    /// The texts that mean null, column by column.
    fn null_texts(&self) -> Vec<BTreeSet<&'static str>> {
        let proven: BTreeSet<_> = self.columns.iter().flat_map(|column| column.profile.proven_nulls()).collect();
        // Where the source knows null, an empty text is one.
        let knows_null = self.columns.iter().any(|column| column.profile.nulls > 0);
        self.columns.iter().map(|column| column.profile.null_texts(&proven, !knows_null)).collect()
    }

    /// The key: one column, else two or three that are unique together.
    fn key(&self, request: &InferRequest, nulls: &[BTreeSet<&'static str>]) -> Result<Key, InferError> {
        let single = keys::single(&self.columns, nulls, self.rows);
        if !single.columns.is_empty() || self.rows == 0 {
            return Ok(single);
        }
        let Some(mut search) = KeySearch::over(&self.columns, nulls) else { return Ok(single) };
        let names: Vec<String> = search.names(&self.columns);
        let mut table = open_table(&request.source, &[])?;
        table.choose(&names)?;
        let hasher = RandomState::new();
        let mut rows = 0;
        while rows < self.rows && table.advance()?.is_some() && search.goes_on() {
            rows += 1;
            report(request, &*table, rows);
            let hash = |at: usize| table.cell(at).ok().flatten().map(|text| hasher.hash_one(&*text));
            let row: Vec<u64> = (0..names.len()).map(|at| hash(at).unwrap_or_default()).collect();
            search.add(&row);
        }
        Ok(Key { columns: search.found(), remarks: single.remarks })
    }
}

/// The columns that can be shared, and those that cannot, with the reason.
fn usable(table: &mut dyn Table, source: &SourceSpec) -> Result<(Vec<String>, Vec<LeftOut>), InferError> {
    let all = table.columns()?;
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for name in &all {
        *times.entry(name).or_default() += 1;
    }
    let (mut usable, mut left_out) = (Vec::new(), Vec::new());
    for name in &all {
        let several = times.get(name.as_str()).copied().unwrap_or_default() > 1;
        let why = if name.trim().is_empty() {
            Some("it has no name".to_owned())
        } else if several {
            Some("several columns have this name".to_owned())
        } else {
            held(source, name)?
        };
        match why {
            None => usable.push(name.clone()),
            Some(why) if !left_out.iter().any(|known: &LeftOut| known.name == *name) => {
                left_out.push(LeftOut { name: name.clone(), why });
            }
            Some(_) => {}
        }
    }
    Ok((usable, left_out))
}

/// A number of things, in words.
fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Why no type of ours holds a column of a file that has types of its own.
fn held(source: &SourceSpec, name: &String) -> Result<Option<String>, InferError> {
    if !matches!(source, SourceSpec::Parquet(_)) {
        return Ok(None);
    }
    match open_table(source, &[])?.choose(std::slice::from_ref(name)) {
        Ok(()) => Ok(None),
        Err(SourceError::Column { what, .. }) => Ok(Some(what)),
        Err(error) => Err(error.into()),
    }
}

fn report(request: &InferRequest, table: &dyn Table, rows: u64) {
    if rows.is_multiple_of(REPORT_ROWS) {
        let (bytes_done, bytes_total) = table.size_hint().unzip();
        request.progress.report(Progress {
            phase: Phase::Inferring,
            rows_done: rows,
            rows_total: None,
            bytes_done: bytes_done.unwrap_or_default(),
            bytes_total,
        });
    }
}

#[cfg(test)]
mod tests;
