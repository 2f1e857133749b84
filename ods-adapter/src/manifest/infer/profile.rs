//! What the cells of one column look like.

use std::collections::{BTreeMap, BTreeSet};

use jiff::fmt::strtime::BrokenDownTime;
use sealgate_circuits::value::{ColumnType, SCALE_MAX, TEXT_BYTES_MAX, Value};

use super::count;

/// Texts that often mean null. Those of [`NULLS_ALWAYS`] mean nothing else.
const NULLS: [&str; 22] = [
    "", "NA", "N/A", "n/a", "na", "NULL", "null", "Null", "None", "none", "nil", "NaN", "nan", "#N/A", "\\N", "-",
    "--", ".", "?", "(blank)", "(null)", "(none)",
];
const NULLS_ALWAYS: [&str; 6] = ["NULL", "null", "#N/A", "\\N", "(blank)", "(null)"];
/// How days are written where not as ISO 8601 has it.
const DAY_FORMATS: [&str; 6] = ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d"];
/// Most different values that are kept to be shown.
const SET_MAX: usize = 12;
/// Smallest hashes kept, from which the number of different values is estimated.
const SKETCH: usize = 256;
/// Shortest and longest day, as in 1/2/2024.
const DAY_BYTES_MIN: usize = 8;
const DAY_BYTES_MAX: usize = 10;

/// The types that a text can have beside text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    Int,
    Decimal,
    /// A decimal with a comma for the point.
    Comma,
    Date,
    Timestamp,
    /// A time without an offset.
    Civil,
    Bool,
}

const LOOKS: [Looks; 7] =
    [Looks::Int, Looks::Decimal, Looks::Comma, Looks::Date, Looks::Timestamp, Looks::Civil, Looks::Bool];

/// How many values look so, and the first that does not.
#[derive(Debug, Clone, Default)]
struct Count {
    values: u64,
    first_other: Option<(u64, String)>,
}

/// What was seen of one column.
#[derive(Debug, Clone, Default)]
pub(super) struct Profile {
    /// Cells that the source itself says are null.
    pub(super) nulls: u64,
    /// How often texts that often mean null were there.
    pub(super) tokens: BTreeMap<&'static str, u64>,
    /// Cells with another text.
    pub(super) values: u64,
    /// Cells that are no text, and the first.
    pub(super) faults: u64,
    pub(super) first_fault: Option<(u64, String)>,
    /// Texts that are longer than a field.
    pub(super) too_long: u64,
    counts: [Count; LOOKS.len()],
    scale: u8,
    whole_digits: usize,
    /// Whether a point or comma was seen that cannot set thousands apart.
    shows_decimals: bool,
    formats: [u64; DAY_FORMATS.len()],
    /// The different values while they are few.
    set: Option<BTreeSet<String>>,
    sketch: BTreeSet<u64>,
}

/// What a column should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) kind: ColumnType,
    pub(super) format: Option<&'static str>,
    pub(super) decimal_comma: bool,
    /// What an owner should look at.
    pub(super) remarks: Vec<String>,
}

impl Profile {
    pub(super) fn new() -> Self {
        Self { set: Some(BTreeSet::new()), ..Self::default() }
    }

    /// Adds a cell of the row `row`; `hash` is of its text.
    pub(super) fn add(&mut self, row: u64, cell: Result<Option<&str>, String>, hash: u64) {
        let text = match cell {
            Ok(Some(text)) => text,
            Ok(None) => {
                self.nulls += 1;
                return;
            }
            Err(what) => {
                self.faults += 1;
                self.first_fault.get_or_insert((row, what));
                return;
            }
        };
        self.sketch.insert(hash);
        if self.sketch.len() > SKETCH {
            self.sketch.pop_last();
        }
        if let Some(token) = NULLS.iter().find(|token| **token == text) {
            *self.tokens.entry(token).or_default() += 1;
            return;
        }
        self.values += 1;
        self.too_long += u64::from(text.len() > TEXT_BYTES_MAX);
        if let Some(set) = &mut self.set {
            if !set.contains(text) {
                set.insert(text.to_owned());
            }
            if set.len() > SET_MAX || text.len() > 40 {
                self.set = None;
            }
        }
        let comma = decimal_places(text, ',');
        let decimal = decimal_places(text, '.').or(comma);
        if let Some((whole, scale)) = decimal {
            self.scale = self.scale.max(u8::try_from(scale).unwrap_or(u8::MAX));
            self.whole_digits = self.whole_digits.max(whole);
            self.shows_decimals |= scale > 0 && !could_be_thousands(text, whole, scale);
        }
        for (looks, count) in LOOKS.iter().zip(&mut self.counts) {
            if looks.fit(text, decimal, comma) {
                count.values += 1;
            } else if count.first_other.is_none() {
                count.first_other = Some((row, text.chars().take(40).collect()));
            }
        }
        if (DAY_BYTES_MIN..=DAY_BYTES_MAX).contains(&text.len()) && text.contains(['/', '.', '-']) {
            for (format, count) in DAY_FORMATS.iter().zip(&mut self.formats) {
                let day = BrokenDownTime::parse(format, text).and_then(|parsed| parsed.to_date());
                *count += u64::from(day.is_ok());
            }
        }
    }

    /// About how many different texts there are.
    pub(super) fn distinct(&self) -> u64 {
        match self.sketch.last() {
            Some(last) if self.sketch.len() == SKETCH && *last > 0 => {
                let estimate = (SKETCH as u128 - 1) * (1u128 << 64) / u128::from(*last);
                u64::try_from(estimate).unwrap_or(u64::MAX)
            }
            _ => self.sketch.len() as u64,
        }
    }

    /// The type of the values, those that often mean null aside.
    fn looks(&self) -> Option<Looks> {
        let all = |(looks, count): (&Looks, &Count)| {
            let fits = self.values > 0 && count.values == self.values;
            let holds = !matches!(looks, Looks::Decimal | Looks::Comma)
                || self.whole_digits + usize::from(self.scale) <= usize::from(SCALE_MAX);
            (fits && holds && self.scale <= SCALE_MAX).then_some(*looks)
        };
        LOOKS.iter().zip(&self.counts).find_map(all)
    }

    fn day_format(&self) -> Vec<&'static str> {
        let fits = DAY_FORMATS.iter().zip(self.formats).filter(|(_, count)| self.values > 0 && *count == self.values);
        fits.map(|(format, _)| *format).collect()
    }

    /// The texts here that must mean null, since all others are of a type that they are not.
    pub(super) fn proven_nulls(&self) -> impl Iterator<Item = &'static str> {
        let typed = self.looks().is_some_and(|looks| looks != Looks::Civil) || self.day_format().len() == 1;
        self.tokens.keys().copied().filter(move |_| typed)
    }

    /// The texts here that mean null, if those of `proven` do in other columns.
    pub(super) fn null_texts(&self, proven: &BTreeSet<&'static str>, empty_is_null: bool) -> BTreeSet<&'static str> {
        let own: BTreeSet<_> = self.proven_nulls().collect();
        let means_null = |token: &&'static str| match *token {
            "" if empty_is_null => true,
            token if own.contains(token) || NULLS_ALWAYS.contains(&token) => true,
            token => proven.contains(token) && !is_mark(token),
        };
        self.tokens.keys().copied().filter(means_null).collect()
    }

    /// Rows without a value, if those texts mean null.
    pub(super) fn rows_null(&self, null_texts: &BTreeSet<&'static str>) -> u64 {
        self.nulls
            + self.tokens.iter().filter(|(token, _)| null_texts.contains(*token)).map(|(_, count)| count).sum::<u64>()
    }

    /// What the column should be, if those texts mean null in it.
    pub(super) fn guess(&self, null_texts: &BTreeSet<&'static str>) -> Guess {
        let mut remarks = Vec::new();
        let formats = self.day_format();
        let (kind, format) = match (self.looks(), formats.as_slice()) {
            (Some(Looks::Int), _) => (ColumnType::Int, None),
            (Some(looks @ (Looks::Decimal | Looks::Comma)), _) if self.may_be_thousands() => {
                remarks.push(thousands_or_decimals(looks).to_owned());
                (ColumnType::Text, None)
            }
            (Some(Looks::Decimal | Looks::Comma), _) => (ColumnType::Decimal(self.scale), None),
            (Some(Looks::Date), _) => (ColumnType::Date, None),
            (Some(Looks::Timestamp), _) => (ColumnType::Timestamp, None),
            (Some(Looks::Bool), _) => (ColumnType::Bool, None),
            (Some(Looks::Civil), _) => {
                remarks.push(
                    "times without an offset: name the clocks they were read from as time_zone in [source], \
                     then make this a timestamp"
                        .to_owned(),
                );
                (ColumnType::Text, None)
            }
            (None, [format]) => (ColumnType::Date, Some(*format)),
            (None, [one, other, ..]) => {
                remarks.push(format!("days, but of {one} or {other}? Then: type = \"date\", format = \"…\""));
                (ColumnType::Text, None)
            }
            (None, []) => {
                remarks.extend(self.nearly());
                (ColumnType::Text, None)
            }
        };
        for (token, times) in self.tokens.iter().filter(|(token, _)| !null_texts.contains(*token)) {
            let rows = count(*times, "row");
            remarks
                .push(format!("'{token}' stands in {rows}; if it means null: null = [\"{}\"]", token.escape_default()));
        }
        if let (Some((row, what)), faults) = (&self.first_fault, &self.faults) {
            remarks.push(format!("no text in {}, first in row {row}: {what}", count(*faults, "row")));
        }
        if self.too_long > 0 {
            remarks.push(format!(
                "a text longer than the {TEXT_BYTES_MAX} bytes of a field in {}",
                count(self.too_long, "row")
            ));
        }
        let decimal_comma = kind != ColumnType::Text && self.looks() == Some(Looks::Comma);
        Guess { kind, format, decimal_comma, remarks }
    }

    /// Whether every point or comma here may set thousands apart as well as decimals: 1,234 is one
    /// thousand to one writer and little more than one to another, and nothing tells which.
    fn may_be_thousands(&self) -> bool {
        self.scale > 0 && !self.shows_decimals
    }

    /// Which type nearly all values have, and what stands in the way.
    fn nearly(&self) -> Option<String> {
        let (looks, count) = LOOKS.iter().zip(&self.counts).max_by_key(|(_, count)| count.values)?;
        let others = self.values - count.values;
        let (row, text) = count.first_other.as_ref()?;
        let many = count.values > 0 && others.saturating_mul(20) < self.values;
        many.then(|| {
            let (name, text) = (looks.name(), text.escape_debug());
            format!(
                "all but {others} of {} values are of type {name}; the first that is not is '{text}' in row {row}",
                self.values
            )
        })
    }

    /// The different values, where they are few and repeat.
    pub(super) fn set(&self) -> Option<&BTreeSet<String>> {
        self.set.as_ref().filter(|set| (set.len() as u64) * 4 <= self.values)
    }
}

/// Punctuation means null only in columns that show it.
fn is_mark(token: &str) -> bool {
    !token.chars().any(char::is_alphanumeric)
}

impl Looks {
    fn name(self) -> &'static str {
        match self {
            Looks::Int => "int",
            Looks::Decimal | Looks::Comma => "decimal",
            Looks::Date => "date",
            Looks::Timestamp | Looks::Civil => "timestamp",
            Looks::Bool => "bool",
        }
    }

    fn fit(self, text: &str, decimal: Option<(usize, usize)>, comma: Option<(usize, usize)>) -> bool {
        let parses = |kind| Value::parse(text, kind).is_ok();
        match self {
            Looks::Int => {
                decimal.is_some_and(|(_, scale)| scale == 0) && !text.contains(['.', ',']) && parses(ColumnType::Int)
            }
            Looks::Decimal => decimal.is_some() && !text.contains(','),
            Looks::Comma => comma.is_some(),
            Looks::Date => text.len() == DAY_BYTES_MAX && parses(ColumnType::Date),
            Looks::Timestamp => text.contains(':') && parses(ColumnType::Timestamp),
            Looks::Civil => {
                text.contains(':') && !parses(ColumnType::Timestamp) && text.parse::<jiff::civil::DateTime>().is_ok()
            }
            Looks::Bool => parses(ColumnType::Bool),
        }
    }
}

/// Whether the point or comma of a number with so many digits before and behind it may set thousands apart.
fn could_be_thousands(text: &str, whole: usize, scale: usize) -> bool {
    scale == 3 && whole <= 3 && !text.trim_start_matches('-').starts_with('0')
}

/// What an owner is asked about such a column.
fn thousands_or_decimals(looks: Looks) -> &'static str {
    match looks {
        Looks::Comma => {
            "are these thousands, or decimals? Every comma has three digits behind it. If decimals:              type = \"decimal(3)\" and decimal_comma = true; if thousands: have the source leave the commas out, \
             then type = \"int\""
        }
        _ => {
            "are these thousands, or decimals? Every point has three digits behind it. If decimals: \
             type = \"decimal(3)\"; if thousands: have the source leave the points out, then type = \"int\""
        }
    }
}

/// Digits before and behind the point of a number without leading zeros or plus sign: with those it
/// is a code, and would be another text when it comes back.
fn decimal_places(text: &str, point: char) -> Option<(usize, usize)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once(point).unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let pointless = digits.contains(point) && fraction.is_empty();
    let coded = whole.is_empty() || (whole.len() > 1 && whole.starts_with('0'));
    (all_digits(whole) && all_digits(fraction) && !coded && !pointless).then_some((whole.len(), fraction.len()))
}
