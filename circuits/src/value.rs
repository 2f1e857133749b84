//! Values of a record: what they are, how they are read and written, and which field element
//! stands for each (docs/spec/record.md#values).

use std::sync::LazyLock;

use ark_bls12_381::Fr;
use ark_ff::PrimeField;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::bytes::tagged_hash;

/// Longest text a field may hold, in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 65_536;
/// Largest scale of a decimal: 18 digits behind the point still fit a 64-bit integer.
pub const SCALE_MAX: u8 = 18;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum ColumnType {
    /// A 64-bit signed integer.
    Int,
    /// An exact decimal with so many digits behind the point, at most [`SCALE_MAX`].
    Decimal(u8),
    /// A day of the Gregorian calendar.
    Date,
    /// An instant, to the microsecond, kept in UTC.
    Timestamp,
    /// True or false.
    Bool,
    /// UTF-8 text, compared byte by byte; equality only.
    Text,
}

impl ColumnType {
    /// Whether `< <= > >= BETWEEN` make sense.
    pub fn is_ordered(self) -> bool {
        !matches!(self, ColumnType::Bool | ColumnType::Text)
    }
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ColumnType::Int => f.write_str("int"),
            ColumnType::Decimal(scale) => write!(f, "decimal({scale})"),
            ColumnType::Date => f.write_str("date"),
            ColumnType::Timestamp => f.write_str("timestamp"),
            ColumnType::Bool => f.write_str("bool"),
            ColumnType::Text => f.write_str("text"),
        }
    }
}

impl std::str::FromStr for ColumnType {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        Ok(match text {
            "int" => ColumnType::Int,
            "date" => ColumnType::Date,
            "timestamp" => ColumnType::Timestamp,
            "bool" => ColumnType::Bool,
            "text" => ColumnType::Text,
            _ => text
                .strip_prefix("decimal(")
                .and_then(|rest| rest.strip_suffix(')'))
                .and_then(|scale| scale.parse::<u8>().ok())
                .filter(|scale| *scale <= SCALE_MAX)
                .map(ColumnType::Decimal)
                .ok_or_else(|| ValueError::UnknownType(clip(text)))?,
        })
    }
}

impl Serialize for ColumnType {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl schemars::JsonSchema for ColumnType {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ColumnType".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let pattern = r"^(int|date|timestamp|bool|text|decimal\([0-9]{1,2}\))$";
        schemars::json_schema!({ "type": "string", "description": "A column's type.", "pattern": pattern })
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <String as Deserialize>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One value. Numbers are kept as the integer that is compared: a decimal as its unscaled
/// integer, a date as days and a timestamp as microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Value {
    /// SQL's NULL.
    Null,
    /// Of a column of type int.
    Int(i64),
    /// Unscaled: 12.50 of a `decimal(2)` is 1250.
    Decimal(i64),
    /// Days since 1970-01-01.
    Date(i64),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// True or false.
    Bool(bool),
    /// UTF-8.
    Text(String),
}

/// Why a text is not a value of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The type's name is not one of ours.
    #[error("unknown type '{0}': expected int, decimal(0..18), date, timestamp, bool or text")]
    UnknownType(String),
    /// The text does not spell a value of the type.
    #[error("'{text}' is not {article} {kind}{hint}", article = article(*kind))]
    NotOfType {
        /// The text, cut to a readable length.
        text: String,
        /// The declared type.
        kind: ColumnType,
        /// What would be accepted.
        hint: &'static str,
    },
    /// The text is longer than a field may hold.
    #[error("a text of {bytes} bytes is longer than the {TEXT_BYTES_MAX} a field may hold")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A value of another type stands where the column's type is required.
    #[error("a value of another type stands in a column of type {kind}")]
    WrongKind {
        /// The column's type.
        kind: ColumnType,
    },
}

fn article(kind: ColumnType) -> &'static str {
    if kind == ColumnType::Int { "an" } else { "a" }
}

fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(60).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}

impl Value {
    /// Reads `text` as a value of type `kind`. Never returns `Null`: what stands for null is the
    /// caller's to decide.
    ///
    /// # Errors
    /// [`ValueError::NotOfType`] when it does not fit, [`ValueError::TooLong`] for long texts.
    pub fn parse(text: &str, kind: ColumnType) -> Result<Value, ValueError> {
        let fail = |hint| ValueError::NotOfType { text: clip(text), kind, hint };
        match kind {
            ColumnType::Int => text.parse().map(Value::Int).map_err(|_| fail(" (64-bit signed)")),
            ColumnType::Decimal(scale) => parse_decimal(text, scale).map(Value::Decimal).ok_or_else(|| fail("")),
            ColumnType::Date => text
                .parse::<jiff::civil::Date>()
                .ok()
                .filter(|_| text.len() == 10)
                .and_then(|date| {
                    let epoch = jiff::civil::date(1970, 1, 1);
                    date.since((jiff::Unit::Day, epoch)).ok()
                })
                .map(|span| Value::Date(i64::from(span.get_days())))
                .ok_or_else(|| fail(" (YYYY-MM-DD)")),
            ColumnType::Timestamp => {
                let hint = " (RFC 3339 with an offset, to the microsecond)";
                let instant: jiff::Timestamp = text.parse().map_err(|_| fail(hint))?;
                if instant.as_nanosecond() % 1000 != 0 {
                    return Err(fail(hint));
                }
                Ok(Value::Timestamp(instant.as_microsecond()))
            }
            ColumnType::Bool => match text {
                "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
                "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
                _ => Err(fail(" (true or false)")),
            },
            ColumnType::Text if text.len() > TEXT_BYTES_MAX => Err(ValueError::TooLong { bytes: text.len() }),
            ColumnType::Text => Ok(Value::Text(text.to_owned())),
        }
    }

    /// Whether this is null or of type `kind`.
    pub fn fits(&self, kind: ColumnType) -> bool {
        matches!(
            (self, kind),
            (Value::Null, _)
                | (Value::Int(_), ColumnType::Int)
                | (Value::Decimal(_), ColumnType::Decimal(_))
                | (Value::Date(_), ColumnType::Date)
                | (Value::Timestamp(_), ColumnType::Timestamp)
                | (Value::Bool(_), ColumnType::Bool)
        ) || matches!((self, kind), (Value::Text(text), ColumnType::Text) if text.len() <= TEXT_BYTES_MAX)
    }

    /// The integer by which values of an ordered type are compared: the value plus 2^63.
    /// `None` for null, bool and text.
    pub fn ordinal(&self) -> Option<u64> {
        match self {
            Value::Int(v) | Value::Decimal(v) | Value::Date(v) | Value::Timestamp(v) => Some((*v as u64) ^ (1 << 63)),
            Value::Null | Value::Bool(_) | Value::Text(_) => None,
        }
    }

    /// The field element that stands for this value in a commitment. Injective over all values
    /// of one type and null: ordered types in [0, 2^64), bool in {0, 1}, text in
    /// [2^248, 2^249) by a 248-bit hash, null at 2^250.
    pub fn to_field(&self) -> Fr {
        match self {
            Value::Null => null_field(),
            Value::Bool(b) => Fr::from(*b),
            Value::Text(text) => hash_to_field("sealgate/text/1", &[text.as_bytes()]) + *TEXT_START,
            ordered => Fr::from(ordered.ordinal().unwrap_or_default()),
        }
    }

    /// How the value is written in SQL and on a terminal, given its column's type.
    pub fn display(&self, kind: ColumnType) -> String {
        match (self, kind) {
            (Value::Null, _) => "NULL".into(),
            (Value::Int(v), _) => v.to_string(),
            (Value::Decimal(v), ColumnType::Decimal(scale)) => format_decimal(*v, scale),
            (Value::Decimal(v), _) => v.to_string(),
            (Value::Date(days), _) => i32::try_from(*days)
                .ok()
                .and_then(|days| jiff::Span::new().try_days(days).ok())
                .and_then(|span| jiff::civil::date(1970, 1, 1).checked_add(span).ok())
                .map_or_else(|| format!("day {days}"), |date| date.to_string()),
            // By nanoseconds: by microseconds jiff refuses the fractions of its last second.
            (Value::Timestamp(us), _) => jiff::Timestamp::from_nanosecond(i128::from(*us) * 1000)
                .map_or_else(|_| format!("{us} µs"), |t| t.to_string()),
            (Value::Bool(b), _) => b.to_string(),
            (Value::Text(text), _) => text.clone(),
        }
    }

    /// How the value is written as an SQL literal.
    pub fn literal(&self, kind: ColumnType) -> String {
        match self {
            Value::Text(_) | Value::Date(_) | Value::Timestamp(_) => {
                format!("'{}'", self.display(kind).replace('\'', "''"))
            }
            _ => self.display(kind),
        }
    }
}

/// Where texts' elements begin.
static TEXT_START: LazyLock<Fr> = LazyLock::new(|| power_of_two(248));
static NULL: LazyLock<Fr> = LazyLock::new(|| power_of_two(250));

/// The field element of null: outside every type's range.
pub fn null_field() -> Fr {
    *NULL
}

/// 2^n as a field element, n < 255.
pub(crate) fn power_of_two(n: u32) -> Fr {
    let mut acc = Fr::from(1u64);
    for _ in 0..n {
        acc += acc;
    }
    acc
}

/// The first 31 bytes of a tagged hash, read little-endian: 248 bits, always below r.
pub(crate) fn hash_to_field(domain: &str, parts: &[&[u8]]) -> Fr {
    let digest = tagged_hash(domain, parts);
    let mut low = [0u8; 32];
    for (to, from) in low.iter_mut().zip(digest.iter().take(31)) {
        *to = *from;
    }
    Fr::from_le_bytes_mod_order(&low)
}

/// Reads `[-+]digits[.digits]` exactly; extra fraction digits must be zero.
fn parse_decimal(text: &str, scale: u8) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || (digits.contains('.') && fraction.is_empty()) {
        return None;
    }
    let mut unscaled: i128 = 0;
    for byte in whole.bytes() {
        unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(digit(byte)?))?;
    }
    let mut fraction_digits = fraction.bytes();
    for _ in 0..scale {
        let next = fraction_digits.next().map_or(Some(0), digit)?;
        unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(next))?;
    }
    if fraction_digits.any(|byte| byte != b'0') {
        return None;
    }
    i64::try_from(if negative { -unscaled } else { unscaled }).ok()
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

fn format_decimal(unscaled: i64, scale: u8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let power = 10u64.pow(u32::from(scale.min(SCALE_MAX)));
    let magnitude = unscaled.unsigned_abs();
    if scale == 0 {
        return format!("{sign}{magnitude}");
    }
    format!("{sign}{}.{:0width$}", magnitude / power, magnitude % power, width = usize::from(scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_type_reads_what_it_writes() {
        for (text, kind) in [
            ("-9223372036854775808", ColumnType::Int),
            ("43.00", ColumnType::Decimal(2)),
            ("-0.05", ColumnType::Decimal(2)),
            ("2024-02-29", ColumnType::Date),
            ("1899-12-31", ColumnType::Date),
            ("2024-01-16T22:37:35Z", ColumnType::Timestamp),
            ("9999-12-30T22:00:00.999999Z", ColumnType::Timestamp),
            ("-009999-01-02T01:59:59Z", ColumnType::Timestamp),
            ("0000-01-01", ColumnType::Date),
            ("9999-12-31", ColumnType::Date),
            ("true", ColumnType::Bool),
            ("多福巷社区居委会", ColumnType::Text),
        ] {
            let value = Value::parse(text, kind).unwrap();
            assert_eq!(value.display(kind), text);
            assert!(value.fits(kind));
        }
        assert_eq!(
            Value::parse("2024-01-16T14:37:35-08:00", ColumnType::Timestamp).unwrap(),
            Value::parse("2024-01-16T22:37:35Z", ColumnType::Timestamp).unwrap(),
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (text, kind) in [
            ("9223372036854775808", ColumnType::Int),
            ("4.5", ColumnType::Int),
            ("", ColumnType::Int),
            ("1.005", ColumnType::Decimal(2)),
            ("1.", ColumnType::Decimal(2)),
            (".5", ColumnType::Decimal(2)),
            ("1e5", ColumnType::Decimal(2)),
            ("92233720368547758.08", ColumnType::Decimal(2)),
            ("2023-02-29", ColumnType::Date),
            ("2023-02-20T00:00:00", ColumnType::Date),
            ("2024-01-16T14:37:35", ColumnType::Timestamp),
            ("yes", ColumnType::Bool),
        ] {
            assert!(Value::parse(text, kind).is_err(), "{text} as {kind}");
        }
        assert!("decimal(19)".parse::<ColumnType>().is_err());
        assert!(Value::parse(&"x".repeat(TEXT_BYTES_MAX + 1), ColumnType::Text).is_err());
    }

    proptest! {
        #[test]
        fn decimals_survive_the_round_trip(v in any::<i64>(), scale in 0u8..=SCALE_MAX) {
            prop_assert_eq!(parse_decimal(&format_decimal(v, scale), scale), Some(v));
        }

        #[test]
        fn ordinals_keep_the_order(a in any::<i64>(), b in any::<i64>()) {
            prop_assert_eq!(a.cmp(&b), Value::Int(a).ordinal().cmp(&Value::Int(b).ordinal()));
        }
    }
}
