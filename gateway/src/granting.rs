//! The terms of a grant from what an owner writes: names of columns, predicates as SQL, moments.

use std::fmt;

use sealgate_circuits::question::QuestionError;
use sealgate_circuits::question::sql::parse_predicate;
use sealgate_circuits::schema::Schema;
use sealgate_ledger::tx::GrantTerms;

/// What an owner wants to grant, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Columns that may be disclosed.
    pub disclose: Vec<String>,
    /// Columns that may be fetched whole.
    pub whole: Vec<String>,
    /// Predicates that may be proven.
    pub prove: Vec<String>,
    /// Whether it may be asked if a record exists at all.
    pub existence: bool,
    /// The purpose that requests must state.
    pub purpose: String,
    /// First moment.
    pub from: Option<jiff::Timestamp>,
    /// Last moment.
    pub until: Option<jiff::Timestamp>,
    /// How many keys may be asked about.
    pub quota: Option<u64>,
    /// The most bits that predicates may tell this account of one record's field.
    pub bits: Option<u16>,
}

/// A part of a grant, called as the command line's option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Columns that may be disclosed.
    Disclose,
    /// Columns that may be fetched whole.
    Whole,
    /// Predicates.
    Prove,
    /// First moment.
    From,
    /// Last moment.
    Until,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Disclose => "disclose",
            Part::Whole => "whole",
            Part::Prove => "prove",
            Part::From => "from",
            Part::Until => "until",
        })
    }
}

/// Why something cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A name that is no column.
    #[error("{part}: the table has no column '{name}'; it has {known}")]
    Column {
        /// Where it was named.
        part: Part,
        /// The name.
        name: String,
        /// The columns there are.
        known: String,
    },
    /// A predicate that cannot be proven.
    #[error("prove '{text}': {source}")]
    Predicate {
        /// As it was written.
        text: String,
        /// What is wrong.
        source: QuestionError,
    },
    /// A moment that the ledger cannot name.
    #[error("{0} lies before 1970")]
    Moment(Part),
}

impl Wanted {
    /// The terms that the ledger is told.
    ///
    /// # Errors
    /// [`GrantError`], the first.
    pub fn terms(&self, schema: &Schema) -> Result<GrantTerms, GrantError> {
        let mut prove = Vec::new();
        for text in &self.prove {
            let predicate =
                parse_predicate(text, schema).map_err(|source| GrantError::Predicate { text: text.clone(), source })?;
            if !prove.contains(&predicate) {
                prove.push(predicate);
            }
        }
        Ok(GrantTerms {
            disclose: positions(Part::Disclose, &self.disclose, schema)?,
            whole: positions(Part::Whole, &self.whole, schema)?,
            prove,
            existence: self.existence,
            purpose: self.purpose.clone(),
            not_before_ms: moment(Part::From, self.from)?,
            until_ms: moment(Part::Until, self.until)?,
            quota: self.quota,
            bits: self.bits,
        })
    }
}

/// Positions of the columns with these names, ascending, each once.
fn positions(part: Part, names: &[String], schema: &Schema) -> Result<Vec<u8>, GrantError> {
    let mut positions = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let known = || schema.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
        let unknown = || GrantError::Column { part, name: name.into(), known: known() };
        positions.push(schema.column(name).ok_or_else(unknown)?.0);
    }
    positions.sort_unstable();
    positions.dedup();
    Ok(positions)
}

fn moment(part: Part, at: Option<jiff::Timestamp>) -> Result<Option<u64>, GrantError> {
    at.map(|at| u64::try_from(at.as_millisecond()).map_err(|_| GrantError::Moment(part))).transpose()
}

/// What is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a day, a day and a time in UTC, or a moment of RFC 3339: 2026-12-31, 2026-12-31T23:59 or 2026-12-31T23:59:59Z"
)]
pub struct NoMoment;

/// Reads a first moment; a day alone is its beginning.
///
/// # Errors
/// [`NoMoment`].
pub fn first_moment(text: &str) -> Result<jiff::Timestamp, NoMoment> {
    moment_of(text, jiff::civil::Time::midnight())
}

/// Reads a last moment; a day alone is its last second.
///
/// # Errors
/// [`NoMoment`].
pub fn last_moment(text: &str) -> Result<jiff::Timestamp, NoMoment> {
    moment_of(text, jiff::civil::time(23, 59, 59, 0))
}

fn moment_of(text: &str, of_day: jiff::civil::Time) -> Result<jiff::Timestamp, NoMoment> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment);
    }
    let time = match text.parse::<jiff::civil::Date>() {
        Ok(day) if !text.contains(['T', ' ', ':']) => day.to_datetime(of_day),
        _ => text.parse::<jiff::civil::DateTime>().map_err(|_| NoMoment)?,
    };
    Ok(time.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| NoMoment)?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let first = |text| first_moment(text).map(|at| at.to_string());
        let last = |text| last_moment(text).map(|at| at.to_string());
        assert_eq!(first("2026-12-31"), Ok("2026-12-31T00:00:00Z".into()));
        assert_eq!(last("2026-12-31"), Ok("2026-12-31T23:59:59Z".into()));
        assert_eq!(last("2026-12-31T08:30"), Ok("2026-12-31T08:30:00Z".into()));
        assert_eq!(last("2026-12-31T08:30:00+08:00"), Ok("2026-12-31T00:30:00Z".into()));
        for wrong in ["", "x", "2026-13-01", "31.12.2026", "2026-12-31T"] {
            assert_eq!(last(wrong), Err(NoMoment), "{wrong}");
        }
    }
}
