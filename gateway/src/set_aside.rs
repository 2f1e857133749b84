//! The report of rows that a publish set aside: a CSV file for the owner, in the folder `reports`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealgate_ods::source::Rejected;

use crate::files::{FileError, create_private_dir};
use crate::trail::spreadsheet::cell;

/// A report while it is being written. There is no file while nothing is set aside.
pub struct Report {
    path: PathBuf,
    state: Mutex<Result<Option<csv::Writer<File>>, FileError>>,
}

impl Report {
    /// The report of a version of the asset with this name.
    pub fn new(folder: &Path, asset: &str, version: u32) -> Report {
        let path = folder.join("reports").join(format!("{asset}-version-{version}.csv"));
        Report { path, state: Mutex::new(Ok(None)) }
    }

    /// Adds a row. What goes wrong is told by [`Report::finish`].
    pub fn add(&self, rejected: &Rejected) {
        let mut state = self.state();
        let Ok(file) = &mut *state else { return };
        let written = match file {
            Some(file) => line(file, rejected),
            None => self.start().and_then(|mut new| {
                line(&mut new, rejected)?;
                *file = Some(new);
                Ok(())
            }),
        };
        if let Err(error) = written {
            *state = Err(FileError::io(&self.path)(error));
        }
    }

    /// Makes the report durable; returns its path if any row was set aside.
    ///
    /// # Errors
    /// [`FileError`] when it could not be written.
    pub fn finish(&self) -> Result<Option<PathBuf>, FileError> {
        let state = std::mem::replace(&mut *self.state(), Ok(None))?;
        let Some(file) = state else { return Ok(None) };
        let kept = file.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all());
        kept.map_err(FileError::io(&self.path))?;
        Ok(Some(self.path.clone()))
    }

    fn start(&self) -> std::io::Result<csv::Writer<File>> {
        if let Some(folder) = self.path.parent() {
            create_private_dir(folder)?;
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        let mut file = csv::Writer::from_writer(file);
        file.write_record(["row", "line", "column", "what is wrong"])?;
        Ok(file)
    }

    fn state(&self) -> MutexGuard<'_, Result<Option<csv::Writer<File>>, FileError>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(file: &mut csv::Writer<File>, rejected: &Rejected) -> std::io::Result<()> {
    let line = rejected.line.map(|line| line.to_string()).unwrap_or_default();
    let column = cell(rejected.column.as_deref().unwrap_or_default());
    Ok(file.write_record([rejected.row.to_string(), line, column, cell(&rejected.what)])?)
}
