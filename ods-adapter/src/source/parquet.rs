//! Apache Parquet files: flat columns, read row group by row group, a batch of rows at a time.

use std::borrow::Cow;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::column::reader::ColumnReader;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::schema::types::SchemaDescPtr;

use super::batch::BatchSize;
use super::{Place, SourceError, Table, find};

mod cells;

use cells::{Cell, Kind};

/// Rows read at once, at most.
const BATCH_ROWS: usize = 1024;

/// The rows of one Parquet file. Columns of groups are named with dots between.
pub(super) struct ParquetTable {
    path: PathBuf,
    reader: SerializedFileReader<File>,
    schema: SchemaDescPtr,
    chosen: Vec<Chosen>,
    file_bytes: u64,
    /// Rows of the file, and of those how many were read.
    rows: u64,
    rows_read: u64,
    next_group: usize,
    /// Rows of the current row group that no batch holds yet.
    group_left: usize,
    batch_rows: usize,
    next_batch: BatchSize,
    /// The current row in the batch, from 1.
    at: usize,
}

struct Chosen {
    leaf: usize,
    kind: Kind,
    /// The definition level of values that are not null.
    level: i16,
    reader: Option<ColumnReader>,
    cells: Vec<Cell>,
}

impl ParquetTable {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let failed = |source| SourceError::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let file_bytes = file.metadata().map_err(failed)?.len();
        let reader = guarded(|| SerializedFileReader::new(file)).map_err(|what| {
            SourceError::damaged(path, &format!("not a whole Parquet file; it may have been cut: {what}"))
        })?;
        let metadata = reader.metadata().file_metadata();
        Ok(Self {
            path: path.to_owned(),
            schema: metadata.schema_descr_ptr(),
            rows: u64::try_from(metadata.num_rows()).unwrap_or_default(),
            reader,
            chosen: Vec::new(),
            file_bytes,
            rows_read: 0,
            next_group: 0,
            group_left: 0,
            batch_rows: 0,
            next_batch: BatchSize::up_to(BATCH_ROWS),
            at: 0,
        })
    }

    fn damaged(&self, what: &str) -> SourceError {
        SourceError::damaged(&self.path, &format!("row {} or after: {what}", self.rows_read + 1))
    }

    /// Opens the next row group that has rows; false behind the last.
    fn open_group(&mut self) -> Result<bool, SourceError> {
        while self.group_left == 0 {
            if self.next_group == self.reader.num_row_groups() {
                return Ok(false);
            }
            let opened = guarded(|| {
                let group = self.reader.get_row_group(self.next_group)?;
                self.group_left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
                for chosen in &mut self.chosen {
                    chosen.reader = Some(group.get_column_reader(chosen.leaf)?);
                }
                Ok(())
            });
            opened.map_err(|what| self.damaged(&what))?;
            self.next_group += 1;
        }
        Ok(true)
    }

    fn read_batch(&mut self) -> Result<bool, SourceError> {
        if !self.open_group()? {
            return Ok(false);
        }
        let rows = self.group_left.min(self.next_batch.rows());
        for chosen in &mut self.chosen {
            let Some(reader) = &mut chosen.reader else { continue };
            let read = guarded(|| chosen.kind.read(reader, chosen.level, rows, &mut chosen.cells));
            let what = match read {
                Ok(()) if chosen.cells.len() == rows => continue,
                Ok(()) => "a column has fewer values than its row group has rows".to_owned(),
                Err(what) => what,
            };
            let column = self.schema.column(chosen.leaf).path().string();
            return Err(self.damaged(&format!("column '{column}': {what}")));
        }
        let bytes = |cell: &Cell| cell.as_ref().map_or(0, |text| text.as_ref().map_or(0, String::len));
        self.next_batch.had(rows, self.chosen.iter().flat_map(|chosen| &chosen.cells).map(bytes).sum());
        self.group_left -= rows;
        self.batch_rows = rows;
        self.at = 0;
        Ok(true)
    }
}

impl Table for ParquetTable {
    fn columns(&mut self) -> Result<Vec<String>, SourceError> {
        Ok(self.schema.columns().iter().map(|column| column.path().parts().join(".")).collect())
    }

    fn choose(&mut self, names: &[String]) -> Result<(), SourceError> {
        let all = self.columns()?;
        for (leaf, name) in find(&self.name(), &all, names)?.into_iter().zip(names) {
            let kind = Kind::of(&self.schema.column(leaf)).map_err(|what| SourceError::Column {
                name: self.name(),
                column: name.clone(),
                what: format!("{what}; leave it out of the manifest, or write the file with a column of another type"),
            })?;
            let level = self.schema.column(leaf).max_def_level();
            self.chosen.push(Chosen { leaf, kind, level, reader: None, cells: Vec::new() });
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Place>, SourceError> {
        if self.at == self.batch_rows && !self.read_batch()? {
            if self.rows_read != self.rows {
                let what = format!("{} rows where the file says {}", self.rows_read, self.rows);
                return Err(SourceError::damaged(&self.path, &what));
            }
            return Ok(None);
        }
        self.at += 1;
        self.rows_read += 1;
        Ok(Some(Place { line: None, fault: None }))
    }

    fn cell(&self, chosen: usize) -> Result<Option<Cow<'_, str>>, String> {
        let cell = self.chosen.get(chosen).and_then(|chosen| chosen.cells.get(self.at.wrapping_sub(1)));
        match cell {
            Some(Ok(text)) => Ok(text.as_deref().map(Cow::Borrowed)),
            Some(Err(what)) => Err(what.clone()),
            None => Err("not there".into()),
        }
    }

    /// A share of the file by rows: a row group's columns lie one after the other.
    fn size_hint(&self) -> Option<(u64, u64)> {
        let done = u128::from(self.file_bytes) * u128::from(self.rows_read) / u128::from(self.rows.max(1));
        let done = if self.rows_read == self.rows { self.file_bytes } else { u64::try_from(done).ok()? };
        Some((done, self.file_bytes))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// Runs what reads the file. On some damaged metadata the library panics instead of failing.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("its metadata contradict themselves".into()),
    }
}
