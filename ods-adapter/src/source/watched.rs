//! A file that is watched while it is read: half of one state and half of another is no table that anybody
//! had.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Place, SourceError, Table};
use crate::file_state::FileState;

/// A table in a file, whose state is compared behind the last row, and at one that cannot be read or is none: the
/// change may be the reason.
pub(super) struct Watched<T> {
    table: T,
    path: PathBuf,
    /// None for what is no file on a disk, as a pipe, which has no state to compare.
    begun: Option<FileState>,
}

impl<T: Table> Watched<T> {
    /// Opens the file at `path`, whose state is taken before.
    pub(super) fn open(path: &Path, open: impl FnOnce(&Path) -> Result<T, SourceError>) -> Result<Self, SourceError> {
        let meta = fs::metadata(path).map_err(|source| SourceError::File { path: path.to_owned(), source })?;
        let begun = meta.is_file().then(|| FileState::from_metadata(&meta));
        Ok(Self { table: open(path)?, path: path.to_owned(), begun })
    }

    fn check(&self) -> Result<(), SourceError> {
        let Some(begun) = &self.begun else { return Ok(()) };
        let still = begun.is_still_at(&self.path);
        match still.map_err(|source| SourceError::File { path: self.path.clone(), source })? {
            true => Ok(()),
            false => Err(SourceError::Changed { path: self.path.clone() }),
        }
    }
}

impl<T: Table> Table for Watched<T> {
    fn columns(&mut self) -> Result<Vec<String>, SourceError> {
        self.table.columns()
    }

    fn choose(&mut self, names: &[String]) -> Result<(), SourceError> {
        self.table.choose(names)
    }

    fn advance(&mut self) -> Result<Option<Place>, SourceError> {
        let place = self.table.advance();
        if !matches!(&place, Ok(Some(place)) if place.fault.is_none()) {
            self.check()?;
        }
        place
    }

    fn cell(&self, chosen: usize) -> Result<Option<Cow<'_, str>>, String> {
        self.table.cell(chosen)
    }

    fn size_hint(&self) -> Option<(u64, u64)> {
        self.table.size_hint()
    }

    fn name(&self) -> String {
        self.table.name()
    }
}
