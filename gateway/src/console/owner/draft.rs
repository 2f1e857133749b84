//! What is typed into the grant editor, what is wrong with it, and the terms that it means.

use sealgate_circuits::question::quoted;
use sealgate_circuits::question::sql::parse_predicate;
use sealgate_circuits::schema::{Column, Schema};
use sealgate_circuits::value::ColumnType;
use sealgate_ledger::state::{AssetView, GrantView};
use sealgate_ledger::tx::{BUDGET_BITS_MAX, FILE, GrantTerms, PREDICATES_MAX, PURPOSE_BYTES_MAX};

use crate::console::words::Lang;
use crate::console::{Fields, errors};
use crate::granting::{GrantError, NoMoment, Part, Wanted, first_moment, last_moment};

/// The editor's fields, as they are typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Typed {
    pub disclose: Vec<String>,
    pub whole: Vec<String>,
    pub prove: Vec<String>,
    pub existence: bool,
    pub purpose: String,
    pub any_purpose: bool,
    pub from: String,
    pub until: String,
    pub quota: String,
    pub bits: String,
}

/// What is wrong, by field: `prove-0` is the first predicate's; an empty name is the whole form's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Problems(pub Vec<(String, String)>);

impl Problems {
    pub(super) fn of(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, what)| what.as_str())
    }

    pub(super) fn add(&mut self, name: impl Into<String>, what: impl Into<String>) {
        self.0.push((name.into(), what.into()));
    }
}

impl Typed {
    pub(super) fn of_form(form: &Fields) -> Typed {
        let all =
            |name| form.all(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect();
        let mut typed = Typed {
            disclose: all("disclose"),
            whole: all("whole"),
            prove: all("prove"),
            existence: form.has("existence"),
            purpose: form.get("purpose").to_owned(),
            any_purpose: form.has("any_purpose"),
            from: form.get("from").to_owned(),
            until: form.get("until").to_owned(),
            quota: form.get("quota").to_owned(),
            bits: form.get("bits").to_owned(),
        };
        typed.prove.truncate(PREDICATES_MAX);
        typed
    }

    /// As a grant that stands has it.
    pub(super) fn of_grant(schema: &Schema, grant: &GrantView) -> Typed {
        let terms = &grant.terms;
        let names = |columns: &[u8]| columns.iter().filter_map(|at| schema.at(*at)).map(|c| c.name.clone()).collect();
        Typed {
            disclose: names(&terms.disclose),
            whole: names(&terms.whole),
            prove: terms.prove.iter().map(|predicate| predicate.display(schema)).collect(),
            existence: terms.existence,
            purpose: terms.purpose.clone(),
            any_purpose: terms.purpose.is_empty(),
            from: terms.not_before_ms.map(typed_moment).unwrap_or_default(),
            until: terms.until_ms.map(typed_moment).unwrap_or_default(),
            quota: terms.quota.map(|quota| quota.to_string()).unwrap_or_default(),
            bits: terms.bits.map(|bits| bits.to_string()).unwrap_or_default(),
        }
    }

    /// The terms, or all that is wrong.
    pub(super) fn terms(&self, lang: Lang, asset: &AssetView) -> Result<GrantTerms, Problems> {
        let mut problems = Problems::default();
        let schema = &asset.schema;
        let is_file = asset.data_type == FILE;
        let number = |name: &str, text: &str, max: u64, problems: &mut Problems| {
            let number =
                if text.is_empty() { None } else { Some(text.parse::<u64>().ok().filter(|n| (1..=max).contains(n))) };
            if number == Some(None) {
                problems.add(
                    name,
                    lang.fill("a whole number from 1 to {}, or nothing", "请填写 1 至 {} 的整数，或留空", &[&max]),
                );
            }
            number.flatten()
        };
        let quota = number("quota", &self.quota, u64::MAX, &mut problems);
        let bits = number("bits", &self.bits, BUDGET_BITS_MAX.into(), &mut problems);
        let bits = bits.and_then(|bits| u16::try_from(bits).ok());
        if self.purpose.is_empty() && !self.any_purpose {
            problems.add(
                "purpose",
                lang.say("say what for, or tick that any purpose will do", "请填写用途，或勾选允许任何用途"),
            );
        }
        if self.purpose.len() > PURPOSE_BYTES_MAX {
            problems.add("purpose", lang.fill("at most {} bytes", "最多 {} 字节", &[&PURPOSE_BYTES_MAX]));
        }
        let mut moment = |name: &str, text: &str, read: fn(&str) -> Result<jiff::Timestamp, NoMoment>| match read(text)
        {
            Ok(moment) => Some(moment),
            Err(NoMoment) if text.is_empty() => None,
            Err(NoMoment) => {
                problems.add(
                    name,
                    lang.say(
                        "a day, or a day and a time in UTC: 2026-12-31 or 2026-12-31T23:59",
                        "请填写日期，或日期与 UTC 时间：2026-12-31 或 2026-12-31T23:59",
                    ),
                );
                None
            }
        };
        let (from, until) = (moment("from", &self.from, first_moment), moment("until", &self.until, last_moment));
        if let (Some(from), Some(until)) = (from, until)
            && until < from
        {
            problems.add("until", lang.say("lies before the first moment", "早于起始时间"));
        }
        self.check_predicates(lang, schema, &mut problems);
        let nothing = self.disclose.is_empty() && self.whole.is_empty() && self.prove.is_empty() && !self.existence;
        if nothing && !is_file {
            problems.add("", lang.say("choose something that it may learn", "请至少选择一项可获知的内容"));
        }
        if !problems.0.is_empty() {
            return Err(problems);
        }
        let whole = if is_file {
            schema.columns.iter().map(|column| column.name.clone()).collect()
        } else {
            self.whole.clone()
        };
        let purpose = if self.any_purpose { String::new() } else { self.purpose.clone() };
        let (disclose, prove) = (self.disclose.clone(), self.prove.clone());
        let wanted = Wanted { disclose, whole, prove, existence: self.existence, purpose, from, until, quota, bits };
        wanted.terms(schema).map_err(|error| {
            let name = match &error {
                GrantError::Column { part, .. } | GrantError::Moment(part) => part.to_string(),
                GrantError::Predicate { .. } => Part::Prove.to_string(),
            };
            let said = match &error {
                GrantError::Predicate { text, source } => format!("{text}: {}", errors::question(lang, source)),
                _ => error.to_string(),
            };
            Problems(vec![(name, said)])
        })
    }

    fn check_predicates(&self, lang: Lang, schema: &Schema, problems: &mut Problems) {
        for (at, text) in self.prove.iter().enumerate() {
            match parse_predicate(text, schema) {
                Err(error) => problems.add(format!("prove-{at}"), errors::question(lang, &error)),
                Ok(predicate) => {
                    let columns = predicate.columns();
                    let columns = columns.iter().filter_map(|column| schema.at(*column));
                    if let Some(column) = columns.into_iter().find(|column| !column.allowed.prove) {
                        problems.add(
                            format!("prove-{at}"),
                            lang.fill(
                                "the asset was published so that nothing is ever proven of '{}'",
                                "该资产发布时规定不得对 '{}' 作任何证明",
                                &[&column.name],
                            ),
                        );
                    }
                }
            }
        }
    }
}

/// A comparison put together from a column, an operator and a constant.
pub(super) fn composed(column: &Column, operator: &str, constant: &str) -> String {
    let name = quoted(&column.name);
    let text = |constant: &str| match column.kind {
        ColumnType::Int | ColumnType::Decimal(_) | ColumnType::Bool => constant.to_owned(),
        ColumnType::Text | ColumnType::Date | ColumnType::Timestamp => format!("'{}'", constant.replace('\'', "''")),
    };
    let one = |constant: &str| match constant.trim() {
        "" | "?" => "?".to_owned(),
        constant => text(constant),
    };
    match operator {
        "IS NULL" | "IS NOT NULL" => format!("{name} {operator}"),
        "IN" => format!("{name} IN ({})", constant.split([',', '，']).map(one).collect::<Vec<_>>().join(", ")),
        "BETWEEN" => {
            let ends = constant.split([',', '，']).map(one).collect::<Vec<_>>();
            let ends = if ends.len() == 1 && constant.trim().is_empty() { vec!["?".into(), "?".into()] } else { ends };
            format!("{name} BETWEEN {}", ends.join(" AND "))
        }
        operator => format!("{name} {operator} {}", one(constant)),
    }
}

/// A moment as a form has it: minutes, UTC.
fn typed_moment(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use sealgate_circuits::schema::ColumnUse;

    use super::*;

    fn column(kind: ColumnType) -> Column {
        Column { name: "fee paid".into(), kind, allowed: ColumnUse { disclose: true, prove: true } }
    }

    #[test]
    fn comparisons_are_put_together_as_they_are_read() {
        for (kind, operator, constant, text) in [
            (ColumnType::Decimal(2), ">=", "500", "\"fee paid\" >= 500"),
            (ColumnType::Int, "=", "", "\"fee paid\" = ?"),
            (ColumnType::Text, "=", "O'Hare", "\"fee paid\" = 'O''Hare'"),
            (ColumnType::Text, "IN", "a, b", "\"fee paid\" IN ('a', 'b')"),
            (
                ColumnType::Date,
                "BETWEEN",
                "2026-01-01, 2026-06-30",
                "\"fee paid\" BETWEEN '2026-01-01' AND '2026-06-30'",
            ),
            (ColumnType::Int, "BETWEEN", "", "\"fee paid\" BETWEEN ? AND ?"),
            (ColumnType::Bool, "IS NULL", "x", "\"fee paid\" IS NULL"),
        ] {
            let column = column(kind);
            let written = composed(&column, operator, constant);
            assert_eq!(written, text);
            let schema = Schema { columns: vec![column], key: vec![0] };
            let predicate = parse_predicate(&written, &schema).unwrap();
            assert_eq!(parse_predicate(&predicate.display(&schema), &schema), Ok(predicate));
        }
    }

    #[test]
    fn a_moment_in_a_form_is_read_as_it_was_written() {
        let ms = 1_798_761_599_000;
        assert_eq!(last_moment(&typed_moment(ms)).unwrap().as_millisecond(), 1_798_761_599_000);
    }
}
