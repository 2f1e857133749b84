//! Values of Parquet's types as texts (<https://github.com/apache/parquet-format>, LogicalTypes.md).

use jiff::tz::TimeZone;
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{DataType, Int96};
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::ColumnDescriptor;

/// A cell: null, a text, or what is wrong with it.
pub(super) type Cell = std::result::Result<Option<String>, String>;

/// The Julian day of 1970-01-01, from which timestamps of type INT96 count.
const JULIAN_EPOCH: i128 = 2_440_588;
const NANOS_A_DAY: i128 = 86_400_000_000_000;

/// What a column's values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As the physical type says.
    Plain,
    /// An integer without sign.
    Unsigned,
    /// An unscaled integer, in so many digits behind the point.
    Decimal(u32),
    /// Days since 1970-01-01.
    Date,
    /// Time since 1970-01-01T00:00:00 in units of so many nanoseconds, UTC or of unknown clocks.
    Timestamp { unit_ns: i128, utc: bool },
    /// UTF-8.
    Text,
    /// Sixteen bytes.
    Uuid,
}

impl Kind {
    /// What the values of `column` mean; else what stands in the way.
    pub(super) fn of(column: &ColumnDescriptor) -> std::result::Result<Self, String> {
        if column.max_rep_level() > 0 {
            return Err("a list or map, and a field holds one value".into());
        }
        let unsupported = || match column.logical_type_ref() {
            Some(kind) => Err(format!("of Parquet's type {kind:?}, which no type here holds")),
            None => Err(format!("of Parquet's type {}, which no type here holds", column.converted_type())),
        };
        Ok(match column.logical_type_ref() {
            Some(LogicalType::String | LogicalType::Enum | LogicalType::Json) => Kind::Text,
            Some(LogicalType::Decimal(decimal)) => Kind::decimal(decimal.scale)?,
            Some(LogicalType::Date) => Kind::Date,
            Some(LogicalType::Timestamp(timestamp)) => {
                let unit_ns = match timestamp.unit {
                    TimeUnit::MILLIS => 1_000_000,
                    TimeUnit::MICROS => 1_000,
                    TimeUnit::NANOS => 1,
                };
                Kind::Timestamp { unit_ns, utc: timestamp.is_adjusted_to_u_t_c }
            }
            Some(LogicalType::Integer(integer)) if integer.is_signed => Kind::Plain,
            Some(LogicalType::Integer(_)) => Kind::Unsigned,
            Some(LogicalType::Uuid) => Kind::Uuid,
            Some(_) => return unsupported(),
            None => match column.converted_type() {
                ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON => Kind::Text,
                ConvertedType::DECIMAL => Kind::decimal(column.type_scale())?,
                ConvertedType::DATE => Kind::Date,
                ConvertedType::TIMESTAMP_MILLIS => Kind::Timestamp { unit_ns: 1_000_000, utc: true },
                ConvertedType::TIMESTAMP_MICROS => Kind::Timestamp { unit_ns: 1_000, utc: true },
                ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64 => {
                    Kind::Unsigned
                }
                ConvertedType::INT_8 | ConvertedType::INT_16 | ConvertedType::INT_32 | ConvertedType::INT_64 => {
                    Kind::Plain
                }
                ConvertedType::NONE => match column.physical_type() {
                    // Old writers do not mark texts.
                    Type::BYTE_ARRAY => Kind::Text,
                    // By Hive, Impala and Spark; of which clocks is not said.
                    Type::INT96 => Kind::Timestamp { unit_ns: 1, utc: false },
                    Type::FIXED_LEN_BYTE_ARRAY => return Err("bytes, which no type here holds".into()),
                    _ => Kind::Plain,
                },
                _ => return unsupported(),
            },
        })
    }

    fn decimal(scale: i32) -> std::result::Result<Self, String> {
        u32::try_from(scale)
            .ok()
            .filter(|scale| *scale <= 38)
            .map(Kind::Decimal)
            .ok_or_else(|| format!("a decimal of scale {scale}"))
    }

    /// Reads the next `rows` cells, or as many as there are; those of a lower definition level than
    /// `level` are null.
    pub(super) fn read(self, reader: &mut ColumnReader, level: i16, rows: usize, cells: &mut Vec<Cell>) -> Result<()> {
        cells.clear();
        match reader {
            ColumnReader::BoolColumnReader(reader) => read(reader, level, rows, cells, |v| Ok(v.to_string())),
            ColumnReader::Int32ColumnReader(reader) => read(reader, level, rows, cells, |v| match self {
                Kind::Unsigned => Ok(v.cast_unsigned().to_string()),
                _ => self.integer(i128::from(*v)),
            }),
            ColumnReader::Int64ColumnReader(reader) => read(reader, level, rows, cells, |v| match self {
                Kind::Unsigned => Ok(v.cast_unsigned().to_string()),
                _ => self.integer(i128::from(*v)),
            }),
            ColumnReader::Int96ColumnReader(reader) => read(reader, level, rows, cells, |v| self.integer(nanos(v))),
            ColumnReader::FloatColumnReader(reader) => read(reader, level, rows, cells, |v| Ok(v.to_string())),
            ColumnReader::DoubleColumnReader(reader) => read(reader, level, rows, cells, |v| Ok(v.to_string())),
            ColumnReader::ByteArrayColumnReader(reader) => read(reader, level, rows, cells, |v| self.bytes(v.data())),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                read(reader, level, rows, cells, |v| self.bytes(v.data()))
            }
        }
    }

    fn integer(self, value: i128) -> std::result::Result<String, String> {
        let out_of_range = || format!("{value} is out of range");
        match self {
            Kind::Decimal(scale) => Ok(decimal(value, scale)),
            Kind::Date => {
                let days = i64::try_from(value).map_err(|_| out_of_range())?;
                let span = jiff::Span::new().try_days(days).map_err(|_| out_of_range())?;
                let date = jiff::civil::date(1970, 1, 1).checked_add(span);
                date.map(|date| date.to_string()).map_err(|_| out_of_range())
            }
            Kind::Timestamp { unit_ns, utc } => {
                let instant = jiff::Timestamp::from_nanosecond(value * unit_ns).map_err(|_| out_of_range())?;
                Ok(if utc { instant.to_string() } else { instant.to_zoned(TimeZone::UTC).datetime().to_string() })
            }
            _ => Ok(value.to_string()),
        }
    }

    fn bytes(self, bytes: &[u8]) -> std::result::Result<String, String> {
        match self {
            Kind::Decimal(scale) => big_endian(bytes)
                .map(|value| decimal(value, scale))
                .ok_or_else(|| "a decimal of more than 16 bytes".into()),
            Kind::Uuid => {
                let hex = hex::encode(bytes);
                let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
                Ok(parts.join("-"))
            }
            _ => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(text.to_owned()),
                Err(error) => Err(format!("not UTF-8 at byte {} of the cell", error.valid_up_to())),
            },
        }
    }
}

/// Reads values and puts nulls where the definition levels say that there are none.
fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    full_level: i16,
    rows: usize,
    cells: &mut Vec<Cell>,
    text: impl Fn(&T::T) -> std::result::Result<String, String>,
) -> Result<()> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    while cells.len() < rows {
        values.clear();
        levels.clear();
        let left = rows - cells.len();
        let (records, _, _) = reader.read_records(left, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        let mut values = values.iter().map(|value| text(value).map(Some));
        if full_level == 0 {
            cells.extend(values);
            continue;
        }
        for level in &levels {
            let value = if *level == full_level { values.next() } else { Some(Ok(None)) };
            cells.push(value.ok_or_else(|| ParquetError::General("fewer values than levels".into()))?);
        }
    }
    Ok(())
}

fn nanos(value: &Int96) -> i128 {
    let &[low, high, day] = value.data() else { return 0 };
    let of_day = (i128::from(high) << 32) | i128::from(low);
    (i128::from(day) - JULIAN_EPOCH) * NANOS_A_DAY + of_day
}

fn big_endian(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first()? & 0x80 != 0;
    if bytes.len() > size_of::<i128>() {
        return None;
    }
    let start = if negative { -1 } else { 0 };
    Some(bytes.iter().fold(start, |value, byte| (value << 8) | i128::from(*byte)))
}

fn decimal(unscaled: i128, scale: u32) -> String {
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let sign = if unscaled < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}
