//! Fields of forms with what is wrong beside them.

use std::collections::BTreeMap;

use maud::{Markup, html};
use sealgate_circuits::value::ColumnType;

use super::super::words::Lang;

/// What is wrong, by the field it is wrong in.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Wrong(BTreeMap<String, String>);

impl Wrong {
    /// Notes what is wrong with a field; the first counts.
    pub(super) fn note(&mut self, field: &str, what: impl Into<String>) {
        self.0.entry(field.to_owned()).or_insert_with(|| what.into());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The message of a field, below it.
    pub(super) fn beside(&self, field: &str) -> Markup {
        html! { @if let Some(what) = self.0.get(field) { p.wrong id=(format!("{field}-wrong")) { (what) } } }
    }

    fn id(&self, field: &str) -> Option<String> {
        self.0.contains_key(field).then(|| format!("{field}-wrong"))
    }
}

/// How a value of a type is typed.
pub(super) fn hint(lang: Lang, kind: ColumnType) -> Option<&'static str> {
    match kind {
        ColumnType::Timestamp => Some(lang.say("like 2026-03-31T12:00:00Z", "例如 2026-03-31T12:00:00Z")),
        ColumnType::Int | ColumnType::Decimal(_) | ColumnType::Date | ColumnType::Bool | ColumnType::Text => None,
    }
}

/// What should have been typed.
pub(super) fn expected(lang: Lang, kind: ColumnType) -> String {
    match kind {
        ColumnType::Int => lang.say("write a whole number", "请填写整数").into(),
        ColumnType::Decimal(scale) => {
            lang.fill("write a number with at most {} decimals", "请填写数字，至多 {} 位小数", &[&scale])
        }
        ColumnType::Date => lang.say("write a date, like 2026-03-31", "请填写日期，例如 2026-03-31").into(),
        ColumnType::Timestamp => lang
            .say("write date and time, like 2026-03-31T12:00:00Z", "请填写日期时间，例如 2026-03-31T12:00:00Z")
            .into(),
        ColumnType::Bool => lang.say("choose yes or no", "请选择是或否").into(),
        ColumnType::Text => lang.say("this text is too long", "文本过长").into(),
    }
}

/// A field for a value of a column's type.
pub(super) fn value(lang: Lang, name: &str, label: &str, kind: ColumnType, typed: &str, wrong: &Wrong) -> Markup {
    let described = wrong.id(name);
    let invalid = described.as_ref().map(|_| "true");
    html! { div.field {
        label for=(name) { (label) }
        @match kind {
            ColumnType::Bool => select id=(name) name=(name) aria-invalid=[invalid] aria-describedby=[&described] {
                option value="" selected[typed.is_empty()] { "—" }
                option value="true" selected[typed == "true"] { (lang.say("yes", "是")) }
                option value="false" selected[typed == "false"] { (lang.say("no", "否")) }
            },
            ColumnType::Date => input type="date" id=(name) name=(name) value=(typed) aria-invalid=[invalid] aria-describedby=[&described];,
            _ => input type="text" id=(name) name=(name) value=(typed) autocomplete="off"
                inputmode=[mode(kind)] aria-invalid=[invalid] aria-describedby=[&described];,
        }
        @if let Some(hint) = hint(lang, kind) { p.hint { (hint) } }
        (wrong.beside(name))
    } }
}

fn mode(kind: ColumnType) -> Option<&'static str> {
    match kind {
        ColumnType::Decimal(_) => Some("decimal"),
        _ => None,
    }
}

/// A field for several lines.
pub(super) fn lines(name: &str, label: &str, hint: &str, typed: &str, wrong: &Wrong) -> Markup {
    let described = wrong.id(name);
    let invalid = described.as_ref().map(|_| "true");
    html! { div.field {
        label for=(name) { (label) }
        textarea id=(name) name=(name) rows="4" spellcheck="false" aria-invalid=[invalid] aria-describedby=[&described] { "\n" (typed) }
        p.hint { (hint) }
        (wrong.beside(name))
    } }
}
