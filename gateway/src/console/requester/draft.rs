//! A question as it is ticked and typed, and the SQL it makes: only what is granted can be ticked.

use std::collections::BTreeMap;

use sealgate_circuits::question::sql::parse_question;
use sealgate_circuits::question::{Comparison, Item, KEYS_MAX, Operand, Predicate, Question, key_literal, quoted};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::value::Value;
use sealgate_ledger::block::DenyReason;
use sealgate_ledger::state::GrantView;
use sealgate_ledger::tx::GrantTerms;

use super::super::words::Lang;
use super::super::{Fields, errors};
use super::form::{self, Wrong};
use crate::answer_file::parse_key;
use crate::asking::KeyList;

/// What stands in the form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Draft {
    /// Positions of the fields to see.
    pub(super) see: Vec<u8>,
    /// Which of the granted predicates are asked.
    pub(super) prove: Vec<usize>,
    /// What was typed for free constants, by the field's name.
    pub(super) constants: BTreeMap<String, String>,
    /// Whether only existence is asked about.
    pub(super) exists: bool,
    /// One key, a text for each of its columns.
    pub(super) key: Vec<String>,
    /// Several keys, one a line.
    pub(super) many: String,
    /// Why it is asked.
    pub(super) purpose: String,
    /// The SQL, where it was shown and perhaps changed.
    pub(super) sql: String,
}

/// A question ready to be asked.
#[derive(Debug)]
pub(super) struct Ready {
    /// In SQL.
    pub(super) sql: String,
    /// The keys that it leaves open.
    pub(super) keys: Option<KeyList>,
    /// The same, read.
    pub(super) question: Question,
}

/// Name of the field for a free constant: of which predicate, comparison and operand.
pub(super) fn constant_name(predicate: usize, comparison: usize, operand: usize) -> String {
    format!("c-{predicate}-{comparison}-{operand}")
}

/// Name of the field for a part of the key.
pub(super) fn key_name(part: usize) -> String {
    format!("k-{part}")
}

impl Draft {
    /// What a form holds.
    pub(super) fn read(form: &Fields, schema: &Schema, terms: &GrantTerms) -> Draft {
        let mut constants = BTreeMap::new();
        for (at, predicate) in terms.prove.iter().enumerate() {
            for (number, comparison) in predicate.comparisons.iter().enumerate() {
                for operand in 0..comparison.operands.len() {
                    let name = constant_name(at, number, operand);
                    constants.insert(name.clone(), form.get(&name).to_owned());
                }
            }
        }
        Draft {
            see: form.all("see").filter_map(|at| at.parse().ok()).filter(|at| terms.disclose.contains(at)).collect(),
            prove: form.all("prove").filter_map(|at| at.parse().ok()).filter(|at| *at < terms.prove.len()).collect(),
            constants,
            exists: form.has("exists"),
            key: (0..schema.key.len()).map(|part| form.get(&key_name(part)).to_owned()).collect(),
            many: form.get("many").replace("\r\n", "\n"),
            purpose: if terms.purpose.is_empty() { form.get("purpose").to_owned() } else { terms.purpose.clone() },
            sql: form.get("sql").replace("\r\n", "\n"),
        }
    }

    /// The question that was ticked.
    pub(super) fn composed(
        &self,
        lang: Lang,
        table: &str,
        schema: &Schema,
        terms: &GrantTerms,
    ) -> Result<Ready, Wrong> {
        let mut wrong = Wrong::default();
        let mut items: Vec<String> = Vec::new();
        for position in &self.see {
            items.extend(schema.at(*position).map(|column| quoted(&column.name)));
        }
        for at in &self.prove {
            let predicate =
                terms.prove.get(*at).and_then(|granted| self.filled(lang, *at, granted, schema, &mut wrong));
            items.extend(predicate.map(|predicate| predicate.display(schema)));
        }
        if items.is_empty() && wrong.is_empty() {
            if self.exists {
                items.push("1".into());
            } else {
                wrong.note("see", lang.say("tick at least one thing to ask", "请至少勾选一项查询内容"));
            }
        }
        let keys = self.keys(lang, schema, &mut wrong);
        self.check_purpose(lang, &mut wrong);
        let (Some(keys), true) = (keys, wrong.is_empty()) else { return Err(wrong) };
        let place = match &keys {
            Keys::One(key) => key_literal(schema, key),
            Keys::Many(..) => {
                schema.key_columns().map(|c| format!("{} = ?", quoted(&c.name))).collect::<Vec<_>>().join(" AND ")
            }
        };
        let sql = format!("SELECT {} FROM {} WHERE {place}", items.join(", "), quoted(table));
        ready(lang, sql, keys, schema, "see")
    }

    /// The question as the SQL says.
    pub(super) fn written(&self, lang: Lang, schema: &Schema) -> Result<Ready, Wrong> {
        let mut wrong = Wrong::default();
        self.check_purpose(lang, &mut wrong);
        let keys = match self.many.trim().is_empty() {
            true => Some(Keys::One(Vec::new())),
            false => self.many_keys(lang, schema, &mut wrong),
        };
        let (Some(keys), true) = (keys, wrong.is_empty()) else { return Err(wrong) };
        ready(lang, self.sql.clone(), keys, schema, "sql")
    }

    fn check_purpose(&self, lang: Lang, wrong: &mut Wrong) {
        if self.purpose.is_empty() {
            wrong.note("purpose", lang.say("say why you ask", "请填写用途"));
        }
    }

    /// A granted predicate with its free constants filled in.
    fn filled(
        &self,
        lang: Lang,
        at: usize,
        granted: &Predicate,
        schema: &Schema,
        wrong: &mut Wrong,
    ) -> Option<Predicate> {
        let mut number = 0;
        let constants = |comparison: &Comparison| {
            let known = self.operands(lang, (at, number), comparison, schema, wrong);
            number += 1;
            known.ok_or(())
        };
        granted.try_map(constants).ok()
    }

    fn operands(
        &self,
        lang: Lang,
        (at, number): (usize, usize),
        comparison: &Comparison,
        schema: &Schema,
        wrong: &mut Wrong,
    ) -> Option<Vec<Operand>> {
        let kind = schema.at(comparison.column)?.kind;
        let typed = |operand: usize| {
            let name = constant_name(at, number, operand);
            (self.constants.get(&name).map_or("", String::as_str), name)
        };
        let mut parse = |text: &str, name: &str| {
            if text.is_empty() {
                wrong.note(name, lang.say("fill in a value", "请填写一个值"));
                return None;
            }
            match Value::parse(text, kind) {
                Ok(value) => Some(Operand::Fixed(value)),
                Err(_) => {
                    wrong.note(name, form::expected(lang, kind));
                    None
                }
            }
        };
        if comparison.operator.is_set() && comparison.operands.contains(&Operand::Free) {
            let (text, name) = typed(0);
            let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            if lines.len() > comparison.operands.len() {
                let most = comparison.operands.len();
                wrong.note(&name, lang.fill("at most {} values", "至多 {} 个值", &[&most]));
                return None;
            }
            return if lines.is_empty() {
                parse("", &name).map(|one| vec![one])
            } else {
                lines.into_iter().map(|line| parse(line, &name)).collect()
            };
        }
        let fill = |(operand, given): (usize, &Operand)| match given {
            Operand::Fixed(_) => Some(given.clone()),
            Operand::Free => {
                let (text, name) = typed(operand);
                parse(text, &name)
            }
        };
        // All of them are looked at, so that each wrong one is told.
        let all: Vec<Option<Operand>> = comparison.operands.iter().enumerate().map(fill).collect();
        all.into_iter().collect()
    }

    fn keys(&self, lang: Lang, schema: &Schema, wrong: &mut Wrong) -> Option<Keys> {
        let one = self.key.iter().any(|part| !part.is_empty());
        match (one, self.many.trim().is_empty()) {
            (true, false) => {
                let text = lang.say(
                    "give one key above, or several here, not both",
                    "请在上方填写一个主键，或在此填写多个，不可同时填写",
                );
                wrong.note("many", text);
                None
            }
            (false, false) => self.many_keys(lang, schema, wrong),
            _ => {
                let mut key = Vec::new();
                for (part, (column, text)) in schema.key_columns().zip(&self.key).enumerate() {
                    match Value::parse(text, column.kind) {
                        _ if text.is_empty() => wrong.note(&key_name(part), lang.say("fill in the key", "请填写主键")),
                        Ok(value) => key.push(value),
                        Err(_) => wrong.note(&key_name(part), form::expected(lang, column.kind)),
                    }
                }
                (key.len() == schema.key.len()).then_some(Keys::One(key))
            }
        }
    }

    /// One key a line, its parts separated as CSV; a first line that names the columns is passed over.
    fn many_keys(&self, lang: Lang, schema: &Schema, wrong: &mut Wrong) -> Option<Keys> {
        let columns: Vec<String> = schema.key_columns().map(|column| column.name.clone()).collect();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(self.many.as_bytes());
        let (mut lines, mut values) = (Vec::new(), Vec::new());
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    wrong.note("many", error.to_string());
                    return None;
                }
            };
            let cells: Vec<String> = record.iter().map(str::to_owned).collect();
            let line = record.position().map_or(0, csv::Position::line);
            let is_header =
                lines.is_empty() && cells.iter().map(|c| c.to_lowercase()).eq(columns.iter().map(|c| c.to_lowercase()));
            if is_header {
                continue;
            }
            match parse_key(schema, &cells) {
                Ok(key) => values.push(key),
                Err(error) => {
                    wrong.note("many", lang.fill("line {}: {}", "第 {} 行：{}", &[&line, &error]));
                    return None;
                }
            }
            lines.push((line, cells));
        }
        if lines.is_empty() || lines.len() > usize::from(KEYS_MAX) {
            wrong.note(
                "many",
                lang.fill("give 1 to {} [key|keys], one a line", "请填写 1 至 {} 个主键，每行一个", &[&KEYS_MAX]),
            );
            return None;
        }
        Some(Keys::Many(KeyList { source: lang.say("keys", "主键").into(), columns, lines }, values))
    }
}

enum Keys {
    One(Vec<Value>),
    Many(KeyList, Vec<Vec<Value>>),
}

fn ready(lang: Lang, sql: String, keys: Keys, schema: &Schema, field: &str) -> Result<Ready, Wrong> {
    let (list, values) = match keys {
        Keys::One(_) => (None, Vec::new()),
        Keys::Many(list, values) => (Some(list), values),
    };
    let is_many = list.is_some();
    parse_question(&sql, schema, values).map(|question| Ready { sql, keys: list, question }).map_err(|error| {
        let mut wrong = Wrong::default();
        use sealgate_circuits::question::QuestionError::{Keys, RepeatedKey};
        let field = if is_many && matches!(error, Keys(_) | RepeatedKey { .. }) { "many" } else { field };
        wrong.note(field, errors::question(lang, &error));
        wrong
    })
}

/// Why the contract would deny this question now, as far as this grant tells: so that nothing is sent
/// whose denial is foreseeable without the requester's knowing.
pub(super) fn foreseen(question: &Question, purpose: &str, grant: &GrantView, now_ms: u64) -> Option<DenyReason> {
    let terms = &grant.terms;
    let shape = question.shaped_for(&terms.prove).shape;
    for (item, number) in shape.items.iter().zip(0u8..) {
        match item {
            Item::Disclose(column) if !terms.disclose.contains(column) => {
                return Some(DenyReason::Field { column: *column });
            }
            Item::Prove(predicate) if !predicate.allowed_by(&terms.prove) => {
                return Some(DenyReason::Predicate { item: number });
            }
            Item::Disclose(_) | Item::Prove(_) => {}
        }
    }
    let over = |quota: u64| grant.used.saturating_add(u64::from(shape.keys)) > quota;
    if shape.items.is_empty() && !terms.existence {
        Some(DenyReason::Existence)
    } else if !terms.purpose.is_empty() && terms.purpose != purpose {
        Some(DenyReason::Purpose)
    } else if terms.not_before_ms.is_some_and(|from| now_ms < from) {
        Some(DenyReason::NotYet)
    } else if terms.until_ms.is_some_and(|until| now_ms > until) {
        Some(DenyReason::Expired)
    } else if terms.quota.is_some_and(over) {
        Some(DenyReason::QuotaUsed)
    } else {
        None
    }
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
