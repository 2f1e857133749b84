//! Fetched columns as a file: CSV or Parquet (docs/spec/delivery.md#files).

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use sealgate_circuits::value::{ColumnType, Value};

use crate::files::FileError;

/// Rows of a Parquet row group, about, and their texts' bytes.
const GROUP_ROWS: usize = 65_536;
const GROUP_BYTES: usize = 32 << 20;
/// Digits and bytes of a decimal: every 64-bit integer fits.
const DECIMAL_DIGITS: i32 = 19;
const DECIMAL_BYTES: i32 = 9;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values (RFC 4180).
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// By a file's extension.
    pub fn of(path: &Path) -> Option<Format> {
        path.extension()?.to_str()?.to_lowercase().parse().ok()
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "csv" => Ok(Format::Csv),
            "parquet" => Ok(Format::Parquet),
            other => Err(format!("'{other}' is no format here: csv or parquet")),
        }
    }
}

/// A file in the making.
pub(crate) trait TableFile {
    /// Appends rows, given as columns of the same length.
    fn write(&mut self, columns: &[Vec<Value>]) -> Result<(), FileError>;
    /// Ends the file; it is on the disk then.
    fn finish(self: Box<Self>) -> Result<(), FileError>;
}

/// Begins a file with these columns.
pub(crate) fn create(
    path: &Path,
    format: Format,
    fields: &[(String, ColumnType)],
) -> Result<Box<dyn TableFile>, FileError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let options = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
    let file = options.map_err(FileError::io(path))?;
    Ok(match format {
        Format::Csv => Box::new(CsvFile::new(path, file, fields)?),
        Format::Parquet => Box::new(ParquetFile::new(path, file, fields)?),
    })
}

struct CsvFile {
    path: PathBuf,
    out: BufWriter<File>,
    kinds: Vec<ColumnType>,
}

impl CsvFile {
    fn new(path: &Path, file: File, fields: &[(String, ColumnType)]) -> Result<CsvFile, FileError> {
        let kinds = fields.iter().map(|(_, kind)| *kind).collect();
        let mut csv = CsvFile { path: path.to_owned(), out: BufWriter::with_capacity(1 << 20, file), kinds };
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        csv.line(names.iter().map(|name| quoted(name)))?;
        Ok(csv)
    }

    fn line(&mut self, cells: impl Iterator<Item = String>) -> Result<(), FileError> {
        let mut line = cells.collect::<Vec<_>>().join(",");
        // A line of one column without anything in it would be no line to many readers.
        if line.is_empty() {
            line.push_str("\"\"");
        }
        line.push_str("\r\n");
        self.out.write_all(line.as_bytes()).map_err(FileError::io(&self.path))
    }
}

/// A text as a cell. An empty one is quoted: without quotes it is a null.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty() && text.trim() == text && !text.contains([',', '"', '\r', '\n']);
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

impl TableFile for CsvFile {
    fn write(&mut self, columns: &[Vec<Value>]) -> Result<(), FileError> {
        let kinds = self.kinds.clone();
        let cell = |(values, kind): (&Vec<Value>, &ColumnType), row: usize| match values.get(row) {
            None | Some(Value::Null) => String::new(),
            Some(Value::Text(text)) => quoted(text),
            Some(value) => value.display(*kind),
        };
        for row in 0..columns.first().map_or(0, Vec::len) {
            self.line(columns.iter().zip(&kinds).map(|column| cell(column, row)))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), FileError> {
        let path = self.path;
        let file = self.out.into_inner().map_err(|error| FileError::io(&path)(error.into_error()))?;
        file.sync_all().map_err(FileError::io(&path))
    }
}

struct ParquetFile {
    path: PathBuf,
    out: SerializedFileWriter<File>,
    kinds: Vec<ColumnType>,
    /// Of the row group that is being gathered.
    group: Vec<Vec<Value>>,
    bytes: usize,
}

fn field(name: &str, kind: ColumnType) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match kind {
        ColumnType::Int => (Physical::INT64, None),
        ColumnType::Decimal(_) => (Physical::FIXED_LEN_BYTE_ARRAY, None),
        ColumnType::Date => (Physical::INT32, Some(LogicalType::Date)),
        ColumnType::Timestamp => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        ColumnType::Bool => (Physical::BOOLEAN, None),
        ColumnType::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    let builder = match kind {
        ColumnType::Decimal(scale) => builder
            .with_length(DECIMAL_BYTES)
            .with_logical_type(Some(LogicalType::decimal(i32::from(scale), DECIMAL_DIGITS)))
            .with_precision(DECIMAL_DIGITS)
            .with_scale(i32::from(scale)),
        _ => builder.with_logical_type(logical),
    };
    builder.build().map(Arc::new)
}

impl ParquetFile {
    fn new(path: &Path, file: File, fields: &[(String, ColumnType)]) -> Result<ParquetFile, FileError> {
        let begin = || {
            let columns = fields.iter().map(|(name, kind)| field(name, *kind)).collect::<Result<Vec<_>, _>>()?;
            let schema = Arc::new(Type::group_type_builder("table").with_fields(columns).build()?);
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .set_created_by(format!("sealgate {}", env!("CARGO_PKG_VERSION")))
                .build();
            SerializedFileWriter::new(file, schema, Arc::new(properties))
        };
        let out = begin().map_err(|error| FileError::content(path, error))?;
        let kinds: Vec<ColumnType> = fields.iter().map(|(_, kind)| *kind).collect();
        Ok(ParquetFile { path: path.to_owned(), out, group: vec![Vec::new(); kinds.len()], kinds, bytes: 0 })
    }

    fn flush(&mut self) -> Result<(), FileError> {
        let mut flush = || {
            let mut group = self.out.next_row_group()?;
            for (values, kind) in self.group.iter().zip(&self.kinds) {
                column(&mut group, values, *kind)?;
            }
            group.close().map(drop)
        };
        flush().map_err(|error: ParquetError| FileError::content(&self.path, error))?;
        self.group.iter_mut().for_each(Vec::clear);
        self.bytes = 0;
        Ok(())
    }
}

/// Writes the next column of a row group.
fn column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[Value],
    kind: ColumnType,
) -> Result<(), ParquetError> {
    match kind {
        ColumnType::Int | ColumnType::Timestamp => typed::<Int64Type>(group, values, |value| match value {
            Value::Int(v) | Value::Timestamp(v) => Some(*v),
            _ => None,
        }),
        ColumnType::Date => typed::<Int32Type>(group, values, |value| match value {
            Value::Date(days) => i32::try_from(*days).ok(),
            _ => None,
        }),
        ColumnType::Bool => typed::<BoolType>(group, values, |value| match value {
            Value::Bool(v) => Some(*v),
            _ => None,
        }),
        ColumnType::Text => typed::<ByteArrayType>(group, values, |value| match value {
            Value::Text(text) => Some(ByteArray::from(text.as_str())),
            _ => None,
        }),
        ColumnType::Decimal(_) => typed::<FixedLenByteArrayType>(group, values, |value| match value {
            Value::Decimal(unscaled) => {
                // Big-endian two's complement; the ninth byte is the sign again.
                let sign = if *unscaled < 0 { 0xff } else { 0 };
                let bytes: Vec<u8> = std::iter::once(sign).chain(unscaled.to_be_bytes()).collect();
                Some(FixedLenByteArray::from(bytes))
            }
            _ => None,
        }),
    }
}

fn typed<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[Value],
    of: impl Fn(&Value) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("a column too many".into()))?;
    let (mut present, mut levels) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
    for value in values {
        let one = of(value);
        if one.is_none() && *value != Value::Null {
            return Err(ParquetError::General("a value is of another type than its column".into()));
        }
        levels.push(i16::from(one.is_some()));
        present.extend(one);
    }
    column.typed::<T>().write_batch(&present, Some(&levels), None)?;
    column.close()
}

impl TableFile for ParquetFile {
    fn write(&mut self, columns: &[Vec<Value>]) -> Result<(), FileError> {
        for (group, values) in self.group.iter_mut().zip(columns) {
            let texts = values.iter().map(|value| if let Value::Text(text) = value { text.len() } else { 0 });
            self.bytes += texts.sum::<usize>();
            group.extend_from_slice(values);
        }
        if self.bytes >= GROUP_BYTES || self.group.first().map_or(0, Vec::len) >= GROUP_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), FileError> {
        if self.group.first().is_some_and(|values| !values.is_empty()) {
            self.flush()?;
        }
        let path = self.path;
        let file = self.out.into_inner().map_err(|error| FileError::content(&path, error))?;
        file.sync_all().map_err(FileError::io(&path))
    }
}
