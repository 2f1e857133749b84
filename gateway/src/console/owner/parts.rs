//! What several pages of the desk show alike: accounts, terms, outcomes, times.

use maud::{Markup, html};
use sealgate_circuits::schema::Schema;
use sealgate_ledger::block::DenyReason;
use sealgate_ledger::ids::{Address, AssetId};
use sealgate_ledger::state::{Asked, AssetView, RequestStatus};
use sealgate_ledger::tx::{DeclineReason, FILE, GrantTerms};

use super::{At, People};
pub(super) use crate::console::explorer::{block_link as block, transaction_link as transaction};
use crate::console::page::{Tone, badge, count, head_and_body, short, time};
use crate::console::telling;
use crate::console::words::Lang;

/// A table with a caption, read aloud as its name, whose rows are stacked on a narrow screen.
pub(super) fn listing(caption: &str, headings: &[&str], rows: &[Vec<Markup>], empty: &str) -> Markup {
    if rows.is_empty() {
        return html! { p.empty { (empty) } };
    }
    html! { div.scroll tabindex="0" role="region" aria-label=(caption) { table.stacked {
        caption.unseen { (caption) }
        (head_and_body(headings, rows))
    } } }
}

/// A field of a form with what is wrong beside it; `input` is given the attributes that tie them together.
pub(super) fn asked(
    name: &str,
    label: &str,
    hint: Option<&str>,
    problem: Option<&str>,
    input: impl FnOnce(&Tied) -> Markup,
) -> Markup {
    let described = hint.map(|_| format!("{name}-hint")).into_iter().chain(problem.map(|_| format!("{name}-problem")));
    let described = described.collect::<Vec<_>>().join(" ");
    let tied = Tied { described: (!described.is_empty()).then_some(described), invalid: problem.map(|_| "true") };
    html! { div.field {
        label for=(name) { (label) }
        (input(&tied))
        @if let Some(hint) = hint { p.hint id=(format!("{name}-hint")) { (hint) } }
        @if let Some(problem) = problem { p.problem id=(format!("{name}-problem")) { (problem) } }
    } }
}

/// What ties an input to its hint and to what is wrong with it.
pub(super) struct Tied {
    pub described: Option<String>,
    pub invalid: Option<&'static str>,
}

/// A line of text.
pub(super) fn line(name: &str, label: &str, hint: Option<&str>, problem: Option<&str>, value: &str) -> Markup {
    asked(name, label, hint, problem, |tied| {
        html! {
            input type="text" id=(name) name=(name) value=(value) autocomplete="off" spellcheck="false"
                aria-describedby=[tied.described.as_deref()] aria-invalid=[tied.invalid];
        }
    })
}

/// Where one is, from the desk's start.
pub(super) fn crumbs(at: At<'_>, before: &[(&str, &str)], here: &str) -> Markup {
    html! { nav.crumbs aria-label=(at.say("Path", "路径")) {
        @for (href, name) in before { a href=(href) { (name) } " › " }
        span aria-current="page" { (here) }
    } }
}

/// A choice of a select.
pub(super) fn choice(value: &str, name: &str, chosen: &str) -> Markup {
    html! { option value=(value) selected[value == chosen] { (name) } }
}

/// An account, with whoever stands behind it where that may be known.
pub(super) fn person(at: At<'_>, people: &People, address: &Address) -> Markup {
    let Some(person) = people.0.get(address) else {
        return html! { (short(&address.to_string())) " " (badge(Tone::Info, at.say("not enrolled yet", "尚未开户"))) };
    };
    html! {
        span title=(address.to_string()) { (person.account.name) }
        @if let Some(real) = &person.real { " = " strong { (real) } }
        @else if person.is_pseudonym { " " (badge(Tone::Info, at.say("pseudonym", "化名"))) }
        @if person.is_closed { " " (badge(Tone::Warn, at.say("closed", "已销户"))) }
    }
}

pub(super) fn asset_path(id: &AssetId) -> String {
    format!("/console/owner/assets/{id}")
}

pub(super) fn grant_path(asset: &AssetId, to: &Address) -> String {
    format!("/console/owner/grants/{asset}/{to}")
}

pub(super) fn asset_link(asset: &AssetView) -> Markup {
    html! { a href=(asset_path(&asset.id)) { (asset.name) } }
}

/// What an asset is, in one word.
pub(super) fn kind(lang: Lang, asset: &AssetView) -> &str {
    telling::data_type(lang, &asset.data_type)
}

/// How long ago something was.
pub(super) fn ago(lang: Lang, now_ms: u64, then_ms: u64) -> String {
    let s = now_ms.saturating_sub(then_ms) / 1000;
    match s {
        0..=59 => lang.fill("{} s ago", "{} 秒前", &[&s]),
        60..=3_599 => lang.fill("{} min ago", "{} 分钟前", &[&(s / 60)]),
        3_600..=172_799 => lang.fill("{} h ago", "{} 小时前", &[&(s / 3_600)]),
        _ => lang.fill("{} days ago", "{} 天前", &[&(s / 86_400)]),
    }
}

/// Thousandths of a bit as bits.
pub(super) fn bits(millibits: u32) -> String {
    let whole = millibits.checked_rem(1000) == Some(0);
    if whole { (millibits / 1000).to_string() } else { format!("{:.3}", f64::from(millibits) / 1000.0) }
}

/// Names of columns at these positions.
pub(super) fn names(schema: &Schema, columns: &[u8]) -> String {
    let names: Vec<&str> = columns.iter().filter_map(|at| schema.at(*at)).map(|c| c.name.as_str()).collect();
    names.join(", ")
}

/// What a grant allows, as a list in plain words.
pub(super) fn terms(lang: Lang, asset: &AssetView, terms: &GrantTerms) -> Markup {
    let schema = &asset.schema;
    html! { ul.plain-list {
        @if !terms.disclose.is_empty() {
            li { (lang.say("Values: ", "字段值：")) code { (names(schema, &terms.disclose)) } }
        }
        @if !terms.whole.is_empty() {
            li { @if asset.data_type == FILE { (lang.say("The whole file", "整个文件")) } @else {
                (lang.say("Whole columns: ", "整列：")) code { (names(schema, &terms.whole)) }
            } }
        }
        @for predicate in &terms.prove {
            li { (lang.say("Proof whether ", "证明是否 ")) code { (predicate.display(schema)) } }
        }
        @if terms.existence { li { (lang.say("Whether a record exists", "记录是否存在")) } }
    } }
}

/// The limits of a grant: purpose, window, quota, share.
pub(super) fn limits(lang: Lang, asset: &AssetView, terms: &GrantTerms, used: Option<u64>) -> Markup {
    let window = match (terms.not_before_ms, terms.until_ms) {
        (None, None) => lang.say("no end", "无期限").to_owned(),
        (Some(from), None) => lang.fill("from {}", "自 {} 起", &[&time(from)]),
        (None, Some(until)) => lang.fill("until {}", "至 {}", &[&time(until)]),
        (Some(from), Some(until)) => lang.fill("{} to {}", "{} 至 {}", &[&time(from), &time(until)]),
    };
    let quota = if asset.data_type == FILE { fetches(lang, terms.quota, used) } else { keys(lang, terms.quota, used) };
    html! { ul.plain-list {
        li { @if terms.purpose.is_empty() { (lang.say("Any purpose", "任何用途")) } @else {
            (lang.say("Purpose: ", "用途：")) q { (terms.purpose) }
        } }
        li { (window) }
        li { (quota) }
        @if let Some(share) = terms.bits {
            li { (lang.fill("at most {} [bit|bits] of a record's field", "每条记录每个字段最多 {} 比特", &[&share])) }
        }
    } }
}

/// How many keys may be asked about.
fn keys(lang: Lang, quota: Option<u64>, used: Option<u64>) -> String {
    match (quota, used) {
        (None, None) => lang.say("any number of keys", "主键数量不限").to_owned(),
        (None, Some(used)) => lang.fill("{} [key|keys] used, no limit", "已用 {} 个主键，不限量", &[&count(used)]),
        (Some(quota), None) => lang.fill("at most {} [key|keys]", "最多 {} 个主键", &[&count(quota)]),
        (Some(quota), Some(used)) => {
            lang.fill("{} of {} [key|keys] used", "已用 {} / {} 个主键", &[&count(used), &count(quota)])
        }
    }
}

/// How often a file may be fetched.
fn fetches(lang: Lang, quota: Option<u64>, used: Option<u64>) -> String {
    match (quota, used) {
        (None, None) => lang.say("any number of fetches", "获取次数不限").to_owned(),
        (None, Some(used)) => lang.fill("{} [fetch|fetches] used, no limit", "已获取 {} 次，不限量", &[&count(used)]),
        (Some(quota), None) => lang.fill("at most {} [fetch|fetches]", "最多获取 {} 次", &[&count(quota)]),
        (Some(quota), Some(used)) => {
            lang.fill("{} of {} [fetch|fetches] used", "已获取 {} / {} 次", &[&count(used), &count(quota)])
        }
    }
}

/// Whether a grant is in force at a block's time, in a word.
pub(super) fn standing(lang: Lang, terms: &GrantTerms, used: u64, now_ms: u64) -> (Tone, &'static str) {
    if terms.not_before_ms.is_some_and(|from| now_ms < from) {
        (Tone::Info, lang.say("not yet", "未生效"))
    } else if terms.until_ms.is_some_and(|until| now_ms > until) {
        (Tone::Warn, lang.say("expired", "已过期"))
    } else if terms.quota.is_some_and(|quota| used >= quota) {
        (Tone::Warn, lang.say("quota used up", "配额用尽"))
    } else {
        (Tone::Good, lang.say("in force", "有效"))
    }
}

/// What was asked for: a question as its shape.
pub(super) fn question(lang: Lang, schema: &Schema, asked: &Asked) -> Markup {
    html! { @match asked {
        Asked::Question { .. } => { code { (asked.display(schema)) } }
        Asked::Whole { columns } => { (lang.say("Whole: ", "整列：")) code { (names(schema, columns)) } }
        Asked::Sample { records, .. } => { (lang.fill("The auditor's sample of {} [record|records]", "审计方抽样 {} 条记录", &[records])) }
    } }
}

/// What became of a request, in a word.
pub(super) fn outcome(lang: Lang, status: &RequestStatus) -> Markup {
    let (tone, word) = match status {
        RequestStatus::Denied { .. } => (Tone::Bad, lang.say("denied", "已拒绝")),
        RequestStatus::Granted { .. } => (Tone::Info, lang.say("open", "待应答")),
        RequestStatus::Answered { .. } => (Tone::Good, lang.say("answered", "已应答")),
        RequestStatus::Delivered { .. } => (Tone::Good, lang.say("delivered", "已交付")),
        RequestStatus::Declined { .. } => (Tone::Warn, lang.say("declined", "已谢绝")),
        RequestStatus::Unanswered { .. } => (Tone::Bad, lang.say("unanswered", "超时未答")),
    };
    badge(tone, word)
}

/// Why a request got no answer and what the owner could do about it; nothing where it got one.
pub(super) fn explained(lang: Lang, schema: &Schema, asked: &Asked, status: &RequestStatus) -> Option<String> {
    match status {
        RequestStatus::Denied { reason } => Some(denied(lang, schema, asked, reason)),
        RequestStatus::Declined { reason: DeclineReason::Budget, .. } => Some(
            lang.say(
                "The answer would have told more of a record than its field's budget, or this account's share, leaves.",
                "应答将透露的信息超出该记录字段的剩余预算或该账户的份额。",
            )
            .into(),
        ),
        RequestStatus::Declined { reason: DeclineReason::TooLarge, .. } => Some(
            lang.say(
                "The answer was too large to be sealed: fewer keys at once.",
                "应答过大，无法密封：请减少一次查询的主键数。",
            )
            .into(),
        ),
        RequestStatus::Unanswered { .. } => Some(
            lang.say(
                "This gateway gave no answer in time; the quota has returned, and it may be asked again.",
                "本网关未在期限内应答；配额已退回，可重新查询。",
            )
            .into(),
        ),
        RequestStatus::Granted { deadline, .. } => {
            Some(lang.fill("The answer is awaited until block {}.", "应答截止区块 {}。", &[&count(deadline.0)]))
        }
        RequestStatus::Answered { .. } | RequestStatus::Delivered { .. } => None,
    }
}

fn denied(lang: Lang, schema: &Schema, asked: &Asked, reason: &DenyReason) -> String {
    let column = |at: &u8| schema.at(*at).map_or_else(|| at.to_string(), |column| column.name.clone());
    let item = |at: &u8| match asked {
        Asked::Question { shape, .. } => shape.items.get(usize::from(*at)).map(|item| item.display(schema)),
        _ => None,
    };
    match reason {
        DenyReason::NoGrant => lang.say("This account has no grant on the asset.", "该账户没有此资产的授权。").into(),
        DenyReason::Field { column: at } => {
            lang.fill("The grant does not disclose the field {}.", "授权未包含披露字段 {}。", &[&column(at)])
        }
        DenyReason::Whole { column: at } => {
            lang.fill("The grant does not give the column {} whole.", "授权未包含整列 {}。", &[&column(at)])
        }
        DenyReason::Predicate { item: at } => lang.fill(
            "The grant does not name the predicate {}.",
            "授权未包含谓词 {}。",
            &[&item(at).unwrap_or_default()],
        ),
        DenyReason::Existence => {
            lang.say("The grant does not let it ask whether a record exists.", "授权不允许查询记录是否存在。").into()
        }
        DenyReason::Purpose => {
            lang.say("It stated another purpose than the grant's.", "所述用途与授权用途不符。").into()
        }
        DenyReason::NotYet => lang.say("The grant's time had not begun.", "授权尚未生效。").into(),
        DenyReason::Expired => lang.say("The grant's time was over.", "授权已过期。").into(),
        DenyReason::QuotaUsed => lang.say("The grant's quota was used up.", "授权配额已用尽。").into(),
        DenyReason::Withdrawn => lang.say("The asset was withdrawn.", "资产已撤回。").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_ages_are_read_at_a_glance() {
        assert_eq!((bits(0), bits(8000), bits(1585)), ("0".into(), "8".into(), "1.585".into()));
        let ages = [0, 59_000, 61_000, 7_200_000, 200_000_000].map(|ms| ago(Lang::En, ms, 0));
        assert_eq!(ages, ["0 s ago", "59 s ago", "1 min ago", "2 h ago", "2 days ago"]);
        assert_eq!(ago(Lang::Zh, 5_000, 10_000), "0 秒前", "clocks may differ");
    }
}
