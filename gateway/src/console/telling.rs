//! What grants, predicates and refusals say, in plain words of both languages.

use sealgate_circuits::question::{Comparison, Connective, Item, Operand, Operator, Predicate, Shape};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::value::{ColumnType, Value};
use sealgate_ledger::block::DenyReason;
use sealgate_ledger::tx::{DeclineReason, FILE, GrantTerms, TABLE};

use super::page::time;
use super::words::Lang;

/// What a column's type is called.
pub fn kind(lang: Lang, kind: ColumnType) -> String {
    match kind {
        ColumnType::Int => lang.say("whole number", "整数").into(),
        ColumnType::Decimal(scale) => lang.fill("number with {} decimals", "{} 位小数", &[&scale]),
        ColumnType::Date => lang.say("date", "日期").into(),
        ColumnType::Timestamp => lang.say("date and time", "日期时间").into(),
        ColumnType::Bool => lang.say("yes or no", "是/否").into(),
        ColumnType::Text => lang.say("text", "文本").into(),
    }
}

/// What a kind of data is called.
pub fn data_type(lang: Lang, name: &str) -> &str {
    match name {
        TABLE => lang.say("table", "数据表"),
        FILE => lang.say("file", "文件"),
        other => other,
    }
}

/// The name of the column at a position.
pub fn column(schema: &Schema, position: u8) -> String {
    schema.at(position).map_or_else(|| format!("#{}", u16::from(position) + 1), |column| column.name.clone())
}

/// So many keys.
pub fn keys(lang: Lang, count: u64) -> String {
    lang.fill("{} [key|keys]", "{} 个主键", &[&super::page::count(count)])
}

/// The names of columns, separated as the language does.
pub fn columns(lang: Lang, schema: &Schema, positions: &[u8]) -> String {
    let names: Vec<String> = positions.iter().map(|position| column(schema, *position)).collect();
    names.join(lang.say(", ", "、"))
}

/// A constant as people write it; what is left free is for the requester to fill in.
fn constant(lang: Lang, schema: &Schema, position: u8, operand: &Operand) -> String {
    let kind = schema.at(position).map_or(ColumnType::Text, |column| column.kind);
    match operand {
        Operand::Fixed(value @ Value::Text(_)) => format!("“{}”", value.display(kind)),
        Operand::Fixed(value) => value.display(kind),
        Operand::Free => lang.say("a value you choose", "您填写的值").into(),
    }
}

/// One comparison in words.
pub fn comparison(lang: Lang, comparison: &Comparison, schema: &Schema) -> String {
    let name = column(schema, comparison.column);
    let mut constants: Vec<String> =
        comparison.operands.iter().map(|operand| constant(lang, schema, comparison.column, operand)).collect();
    // A free set would say the same as often as it has members.
    constants.dedup();
    let all = constants.join(lang.say(", ", "、"));
    let mut pair = comparison.operands.iter().map(|operand| constant(lang, schema, comparison.column, operand));
    let (low, high) = (pair.next().unwrap_or_default(), pair.next().unwrap_or_default());
    let one = |en: &str, zh: &str| lang.fill(en, zh, &[&name, &all]);
    let kind = schema.at(comparison.column).map(|column| column.kind);
    let is_time = matches!(kind, Some(ColumnType::Date | ColumnType::Timestamp));
    match comparison.operator {
        Operator::Eq => one("{} is {}", "{} 等于 {}"),
        Operator::Ne => one("{} is not {}", "{} 不等于 {}"),
        Operator::Lt if is_time => one("{} is before {}", "{} 早于 {}"),
        Operator::Le if is_time => one("{} is not after {}", "{} 不晚于 {}"),
        Operator::Gt if is_time => one("{} is after {}", "{} 晚于 {}"),
        Operator::Ge if is_time => one("{} is not before {}", "{} 不早于 {}"),
        Operator::Lt => one("{} is less than {}", "{} 小于 {}"),
        Operator::Le => one("{} is at most {}", "{} 不大于 {}"),
        Operator::Gt => one("{} is more than {}", "{} 大于 {}"),
        Operator::Ge => one("{} is at least {}", "{} 不小于 {}"),
        Operator::Between => lang.fill("{} is from {} to {}", "{} 介于 {} 与 {} 之间（含两端）", &[&name, &low, &high]),
        Operator::NotBetween => lang.fill("{} is not from {} to {}", "{} 不介于 {} 与 {} 之间", &[&name, &low, &high]),
        Operator::In => one("{} is one of: {}", "{} 属于：{}"),
        Operator::NotIn => one("{} is none of: {}", "{} 不属于：{}"),
        Operator::IsNull => lang.fill("{} is empty", "{} 为空", &[&name]),
        Operator::IsNotNull => lang.fill("{} is filled in", "{} 不为空", &[&name]),
    }
}

/// A predicate in words, with brackets where AND and OR are nested.
pub fn predicate(lang: Lang, predicate: &Predicate, schema: &Schema) -> String {
    joined(lang, &predicate.comparisons, &predicate.joints, schema)
}

fn joined(lang: Lang, comparisons: &[Comparison], joints: &[u8], schema: &Schema) -> String {
    let Some(top) = joints.iter().copied().max() else {
        return comparisons.first().map(|one| comparison(lang, one, schema)).unwrap_or_default();
    };
    let mut members = Vec::new();
    let mut from = 0;
    for at in 0..comparisons.len() {
        if joints.get(at).is_some_and(|level| *level != top) {
            continue;
        }
        let inner = comparisons.get(from..=at).unwrap_or_default();
        let text = joined(lang, inner, joints.get(from..at).unwrap_or_default(), schema);
        members.push(if inner.len() > 1 { format!("({text})") } else { text });
        from = at + 1;
    }
    let word = match Connective::of(top) {
        Connective::And => lang.say(", and ", "，且 "),
        Connective::Or => lang.say(", or ", "，或 "),
    };
    members.join(word)
}

/// From when until when a grant holds, if that is bounded.
pub fn window(lang: Lang, terms: &GrantTerms) -> String {
    match (terms.not_before_ms, terms.until_ms) {
        (None, None) => lang.say("no end", "无期限").into(),
        (Some(from), None) => lang.fill("from {}", "自 {} 起", &[&time(from)]),
        (None, Some(until)) => lang.fill("until {}", "至 {} 止", &[&time(until)]),
        (Some(from), Some(until)) => lang.fill("from {} until {}", "自 {} 至 {}", &[&time(from), &time(until)]),
    }
}

/// Why the contract denied a request, with the names of what was asked.
pub fn denied(lang: Lang, reason: &DenyReason, shape: Option<&Shape>, schema: Option<&Schema>) -> String {
    let name = |position: u8| match schema {
        Some(schema) => column(schema, position),
        None => format!("#{}", u16::from(position) + 1),
    };
    match reason {
        DenyReason::NoGrant => lang.say("the asset's owner has granted you nothing", "数据提供方未向您授权").into(),
        DenyReason::Field { column } => {
            lang.fill("the grant does not let you see '{}'", "授权不允许您查看字段“{}”", &[&name(*column)])
        }
        DenyReason::Predicate { item } => {
            let item = shape.and_then(|shape| shape.items.get(usize::from(*item)));
            let text = match (item, schema) {
                (Some(Item::Prove(asked)), Some(schema)) => predicate(lang, asked, schema),
                _ => return lang.say("the grant does not name this predicate", "授权中没有此谓词（条件）").into(),
            };
            lang.fill("the grant does not let you ask whether {}", "授权不允许您查询是否满足“{}”", &[&text])
        }
        DenyReason::Existence => {
            lang.say("the grant does not let you ask whether a record exists", "授权不允许您查询记录是否存在").into()
        }
        DenyReason::Purpose => lang.say("the grant is for another purpose", "授权的用途与所填用途不同").into(),
        DenyReason::NotYet => lang.say("the grant's time has not begun", "授权尚未生效").into(),
        DenyReason::Expired => lang.say("the grant's time is over", "授权已到期").into(),
        DenyReason::QuotaUsed => lang.say("the grant's quota is used up", "授权的配额已用完").into(),
        DenyReason::Withdrawn => lang.say("the asset was withdrawn", "资产已被撤下").into(),
        DenyReason::Whole { column } => {
            lang.fill("the grant does not let you fetch all of '{}'", "授权不允许您获取整列“{}”", &[&name(*column)])
        }
    }
}

/// The same for whoever looks on: it was not the reader who asked.
pub fn denied_to_somebody(lang: Lang, reason: &DenyReason, shape: Option<&Shape>, schema: Option<&Schema>) -> String {
    // The Chinese texts say "you" as well; elsewhere "the sender" stands in its place.
    denied(lang, reason, shape, schema)
        .replace("let you ", "let the sender ")
        .replace("granted you ", "granted the sender ")
        .replace("您", "发送方")
}

/// What can be done after a denial.
pub fn after_denial(lang: Lang, reason: &DenyReason) -> &'static str {
    match reason {
        DenyReason::Purpose => {
            lang.say("Ask again with the purpose that your grant names.", "请使用授权中载明的用途重新查询。")
        }
        DenyReason::NotYet => lang.say("Ask again when the grant's time has begun.", "请在授权生效后再查询。"),
        DenyReason::QuotaUsed | DenyReason::Expired => lang.say(
            "Ask the asset's owner for a new grant if you still need answers.",
            "如仍需查询，请向数据提供方申请新的授权。",
        ),
        DenyReason::Withdrawn => lang.say("Nothing of it can be asked any more.", "该资产不再接受任何查询。"),
        _ => lang.say(
            "Ask for what your grant names, or ask the asset's owner to grant you this.",
            "请只查询授权范围内的内容，或请数据提供方增加此项授权。",
        ),
    }
}

/// Why the owner declined a granted request.
pub fn declined(lang: Lang, reason: &DeclineReason) -> &'static str {
    match reason {
        DeclineReason::Budget => lang.say(
            "The answer would tell more of this record than its information budget leaves. That says nothing about the value. What you were answered before about fields that have not changed can be asked again at no cost.",
            "此应答所透露的信息会超出该记录剩余的信息预算。这与字段的值无关。对未变更字段此前已应答过的查询，可以再次提出，不消耗预算。",
        ),
        DeclineReason::TooLarge => lang.say(
            "The answer is larger than one answer can be. Ask about fewer keys at once.",
            "应答超过单次应答的大小上限。请减少一次查询的主键数量。",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealgate_circuits::question::sql::parse_predicate;
    use sealgate_circuits::schema::{Column, ColumnUse};

    fn schema() -> Schema {
        let allowed = ColumnUse { disclose: true, prove: true };
        let column = |name: &str, kind| Column { name: name.into(), kind, allowed };
        let columns = vec![
            column("id", ColumnType::Int),
            column("fee", ColumnType::Decimal(2)),
            column("opened", ColumnType::Date),
            column("area", ColumnType::Text),
        ];
        Schema { columns, key: vec![0] }
    }

    #[test]
    fn predicates_are_told_in_words() {
        let schema = schema();
        for (sql, en, zh) in [
            ("fee >= 500", "fee is at least 500.00", "fee 不小于 500.00"),
            ("fee >= ?", "fee is at least a value you choose", "fee 不小于 您填写的值"),
            ("area = 'A'", "area is “A”", "area 等于 “A”"),
            ("fee BETWEEN 1 AND 2", "fee is from 1.00 to 2.00", "fee 介于 1.00 与 2.00 之间（含两端）"),
            ("area IN (?, ?, ?)", "area is one of: a value you choose", "area 属于：您填写的值"),
            ("fee IS NULL", "fee is empty", "fee 为空"),
            ("opened < '2024-02-01'", "opened is before 2024-02-01", "opened 早于 2024-02-01"),
            (
                "(fee > 1 AND fee < 5) OR area = 'A'",
                "(fee is more than 1.00, and fee is less than 5.00), or area is “A”",
                "(fee 大于 1.00，且 fee 小于 5.00)，或 area 等于 “A”",
            ),
            (
                "area = 'A' AND (fee > 1 OR fee IS NULL)",
                "area is “A”, and (fee is more than 1.00, or fee is empty)",
                "area 等于 “A”，且 (fee 大于 1.00，或 fee 为空)",
            ),
        ] {
            let parsed = parse_predicate(sql, &schema).unwrap();
            assert_eq!(predicate(Lang::En, &parsed, &schema), en);
            assert_eq!(predicate(Lang::Zh, &parsed, &schema), zh);
        }
    }

    #[test]
    fn denials_name_what_was_asked() {
        let schema = schema();
        let reason = DenyReason::Field { column: 3 };
        assert_eq!(denied(Lang::En, &reason, None, Some(&schema)), "the grant does not let you see 'area'");
        assert_eq!(denied(Lang::Zh, &reason, None, None), "授权不允许您查看字段“#4”");
        let shape = Shape { items: vec![Item::Prove(parse_predicate("fee >= ?", &schema).unwrap())], keys: 1 };
        let reason = DenyReason::Predicate { item: 0 };
        assert!(denied(Lang::En, &reason, Some(&shape), Some(&schema)).contains("fee is at least"));
        assert!(denied(Lang::En, &reason, None, Some(&schema)).contains("does not name"));
    }
}
