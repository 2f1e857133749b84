//! Words of the trail in the visitor's language.

use sealgate_ledger::state::RequestStatus;

use crate::console::page::Tone;
use crate::console::words::Lang;
use crate::journal::What;
use crate::trail::anomalies::Rule;
use crate::trail::{Became, Kind, Line, decline_word, deny_word};

/// What became of a request.
pub(super) fn outcome(lang: Lang, outcome: Became) -> (&'static str, Tone) {
    match outcome {
        Became::Denied => (lang.say("denied", "已拒绝"), Tone::Bad),
        Became::Open => (lang.say("open", "待应答"), Tone::Info),
        Became::Answered => (lang.say("answered", "已应答"), Tone::Good),
        Became::Delivered => (lang.say("delivered", "已交付"), Tone::Good),
        Became::Declined => (lang.say("declined", "已谢绝"), Tone::Warn),
        Became::Unanswered => (lang.say("unanswered", "逾期未应答"), Tone::Warn),
    }
}

/// Why it was denied or declined.
pub(super) fn reason(lang: Lang, line: &Line) -> Option<String> {
    let word = match &line.status {
        RequestStatus::Denied { reason } => deny_word(reason),
        RequestStatus::Declined { reason, .. } => decline_word(reason),
        _ => return None,
    };
    Some(reason_word(lang, word).to_owned())
}

/// A reason by its word in the ledger's JSON.
pub(super) fn reason_word(lang: Lang, word: &str) -> &str {
    match word {
        "no_grant" => lang.say("nothing is granted", "未获授权"),
        "field" => lang.say("this field is not granted", "未授权该字段"),
        "predicate" => lang.say("this predicate is not granted", "未授权该谓词"),
        "existence" => lang.say("existence is not granted", "未授权存在性查询"),
        "purpose" => lang.say("another purpose", "用途不符"),
        "not_yet" => lang.say("the grant has not begun", "授权尚未生效"),
        "expired" => lang.say("the grant is over", "授权已过期"),
        "quota_used" => lang.say("the quota is used up", "配额已用尽"),
        "withdrawn" => lang.say("the asset was withdrawn", "资产已撤回"),
        "whole" => lang.say("this column may not be fetched whole", "未授权整列获取"),
        "budget" => lang.say("the information budget does not reach", "信息预算不足"),
        "too_large" => lang.say("too large", "过大"),
        other => other,
    }
}

/// What kind of thing was asked for.
pub(super) fn kind(lang: Lang, kind: Kind) -> &'static str {
    match kind {
        Kind::Question => lang.say("question", "查询"),
        Kind::Columns => lang.say("whole columns", "整列"),
        Kind::File => lang.say("file", "文件"),
        Kind::Sample => lang.say("sample", "抽样"),
    }
}

/// A rule by which something stands out, and what it means.
pub(super) fn rule(lang: Lang, rule: Rule) -> (&'static str, &'static str) {
    match rule {
        Rule::ManyKeys => (
            lang.say("Many keys", "大量主键"),
            lang.say("one account asked one asset about 100 keys or more within 24 hours", "同一账户在 24 小时内就同一资产查询了 100 个或更多主键"),
        ),
        Rule::ManyShapes => (
            lang.say("Many different questions", "大量不同查询"),
            lang.say("one account asked one asset 8 different questions or more within 24 hours", "同一账户在 24 小时内就同一资产提出了 8 种或更多不同查询"),
        ),
        Rule::TriedDenials => (
            lang.say("Feeling for what is allowed", "试探权限边界"),
            lang.say("one account was denied 3 different questions or purposes at one asset within an hour", "同一账户在 1 小时内就同一资产有 3 种不同查询或用途被拒"),
        ),
        Rule::DenialBurst => (
            lang.say("Burst of denials", "集中被拒"),
            lang.say("one account was denied 10 times or more within 10 minutes", "同一账户在 10 分钟内被拒 10 次或更多"),
        ),
        Rule::BudgetNearlyUsed => (
            lang.say("Budget nearly used", "预算将尽"),
            lang.say("answers have told 80 % or more of what one field of one record may tell", "应答已透露某条记录某字段信息预算的 80 % 或更多"),
        ),
        Rule::OddHours => (
            lang.say("Odd hours", "非常规时间"),
            lang.say("one account asked 3 times or more within 24 hours outside of the working hours set above", "同一账户在 24 小时内于上方设定的工作时间之外查询 3 次或更多"),
        ),
        Rule::Unanswered => (
            lang.say("Not answered", "未应答"),
            lang.say("requests were granted, and the asset's owner let their deadline pass", "请求已获授权，但数据提供方逾期未应答"),
        ),
        Rule::SeveralAddresses => (
            lang.say("Several addresses of one holder", "同一主体使用多个地址"),
            lang.say("one holder asked one asset from 2 addresses or more within 7 days; holders are known where pseudonyms are opened, and where an account replaced another", "同一主体在 7 天内用 2 个或更多地址查询同一资产；仅在打开假名后或账户更替时可知主体"),
        ),
    }
}

/// What a journal says was read.
pub(super) fn what(lang: Lang, what: What) -> &'static str {
    match what {
        What::Trail => lang.say("trail", "访问轨迹"),
        What::Entry => lang.say("entry", "单条请求"),
        What::Pseudonym => lang.say("pseudonym opened", "打开假名"),
        What::Grants => lang.say("grants", "授权"),
        What::Meter => lang.say("metering", "用量"),
        What::Budget => lang.say("budgets", "信息预算"),
        What::Anomalies => lang.say("anomalies", "异常"),
        What::Answer => lang.say("answer checked", "核验应答"),
        What::Sample => lang.say("sample", "抽样"),
        What::Export => lang.say("signed export", "签名导出"),
        What::Spreadsheet => lang.say("spreadsheet", "电子表格"),
    }
}

/// Which of it, as the journal says it: the program's own words in the visitor's language, and what is named as it
/// is.
pub(super) fn about(lang: Lang, about: &str) -> String {
    let known = |word: &str| match word {
        "everything" => Some("全部"),
        "what answers have told" => Some("应答已透露的内容"),
        _ => None,
    };
    if lang == Lang::En {
        return about.to_owned();
    }
    if let Some(known) = known(about) {
        return known.to_owned();
    }
    if let Some(rest) = about.strip_prefix("metering ") {
        return format!("用量：{}", self::about(lang, rest));
    }
    if let Some((block, asset)) = about.strip_prefix("as of block ").and_then(|rest| rest.split_once(' ')) {
        return format!("截至区块 {block} {asset}").trim_end().to_owned();
    }
    let hours = || {
        let (hours, ahead) = about.strip_prefix("hours ")?.split_once(", ")?;
        let (from, until) = hours.split_once(" to ")?;
        let minutes = ahead.strip_suffix(" minutes ahead of UTC")?;
        Some(format!("工作时间 {from} 至 {until} 时，比 UTC 早 {minutes} 分钟"))
    };
    let window = || match (about.strip_prefix("from "), about.strip_prefix("until ")) {
        (Some(rest), _) => Some(match rest.split_once(" until ") {
            Some((from, until)) => format!("自 {from} 至 {until}"),
            None => format!("自 {rest} 起"),
        }),
        (None, Some(until)) => Some(format!("至 {until}")),
        (None, None) => None,
    };
    hours().or_else(window).unwrap_or_else(|| about.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_journal_names_is_said_in_both_languages() {
        for (written, zh) in [
            ("everything", "全部"),
            ("metering everything", "用量：全部"),
            ("as of block 7 ", "截至区块 7"),
            ("as of block 7 asset1x", "截至区块 7 asset1x"),
            ("hours 7 to 20, 0 minutes ahead of UTC", "工作时间 7 至 20 时，比 UTC 早 0 分钟"),
            ("from 2027-01-01", "自 2027-01-01 起"),
            ("from 2027-01-01 until 2027-02-01", "自 2027-01-01 至 2027-02-01"),
            ("until 2027-02-01", "至 2027-02-01"),
            ("purpose=until", "purpose=until"),
        ] {
            assert_eq!((about(Lang::Zh, written).as_str(), about(Lang::En, written).as_str()), (zh, written));
        }
    }
}
