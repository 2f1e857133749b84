//! Who can learn what: a grant in plain words, together with what the account has already and with what
//! the budgets still allow.

use std::collections::BTreeSet;

use maud::{Markup, html};
use sealgate_circuits::question::{Operand, Predicate};
use sealgate_circuits::schema::Schema;
use sealgate_ledger::ids::Address;
use sealgate_ledger::state::{AssetView, GrantView};
use sealgate_ledger::tx::{FILE, GrantTerms};

use super::At;
use super::parts::{asset_link, bits, limits, listing, names, terms as terms_list};
use crate::budget::{FieldTold, FieldsTold, cost};
use crate::console::page::{Tone, notice};

/// What an account knows and others know, beside the grant in question.
pub(super) struct Known<'a> {
    pub name: &'a str,
    /// The grant that stands.
    pub before: Option<&'a GrantView>,
    /// What proofs have told of the asset's fields.
    pub told: &'a FieldsTold,
    /// What it was granted on the owner's other assets.
    pub elsewhere: &'a [(AssetView, GrantView)],
    /// How many other accounts have grants on this asset.
    pub others: usize,
}

/// The most that proofs have told an account of one record, by field.
pub(super) fn told_to(told: &FieldsTold, asset: &AssetView, to: &Address) -> Vec<(String, u32)> {
    let most = |(position, field): (&u8, &FieldTold)| {
        Some((asset.schema.at(*position)?.name.clone(), *field.most_by.get(to)?))
    };
    told.iter().filter_map(most).collect()
}

/// Whether the requester chooses constants of it.
fn is_free(predicate: &Predicate) -> bool {
    predicate.comparisons.iter().any(|comparison| comparison.operands.contains(&Operand::Free))
}

/// The panel.
pub(super) fn panel(at: At<'_>, asset: &AssetView, to: &Address, terms: &GrantTerms, known: &Known<'_>) -> Markup {
    let warnings = warnings(at, asset, terms);
    html! { section.card.learning {
        h2 { (at.fill("What {} could learn", "{} 可能获知的内容", &[&known.name])) }
        @if asset.data_type == FILE { p { (at.say("The whole file, as often as its quota allows. A copy cannot be taken back.", "整个文件，次数以配额为限。副本无法收回。")) } }
        @else { (of_a_record(at, asset, terms)) }
        h3 { (at.say("Under these limits", "在以下限制内")) }
        (limits(at.visit.lang, asset, terms, None))
        @if !terms.prove.is_empty() { (allowance(at, asset, to, terms, known)) }
        @if asset.data_type != FILE { (stays_sealed(at, &asset.schema, terms)) }
        (together(at, asset, to, terms, known))
        @if !warnings.is_empty() { (notice(Tone::Warn, html! {
            p { strong { (at.say("Think about this before you grant it", "授权前请考虑")) } }
            ul { @for warning in &warnings { li { (warning) } } }
        })) }
    } }
}

fn of_a_record(at: At<'_>, asset: &AssetView, terms: &GrantTerms) -> Markup {
    let schema = &asset.schema;
    html! {
        @if !terms.whole.is_empty() {
            h3 { (at.say("Of all records at once", "所有记录")) }
            p { (at.fill("Every value of {}, without naming a key.", "{} 的全部字段值，无需指明主键。", &[&names(schema, &terms.whole)])) }
        }
        @if !terms.disclose.is_empty() || !terms.prove.is_empty() || terms.existence {
            h3 { (at.fill("Of a record whose {} it names", "其指明 {} 的记录", &[&names(schema, &schema.key)])) }
            ul {
                li { (at.say("whether there is such a record: every answer shows that", "该记录是否存在：任何应答都会显示")) }
                @if !terms.disclose.is_empty() { li { (at.fill("the value of {}", "{} 的值", &[&names(schema, &terms.disclose)])) } }
                @for predicate in &terms.prove { li {
                    @if is_free(predicate) {
                        code { (predicate.display(schema)) } " " (at.say(
                            "for constants of its own choosing: by asking again and again it narrows the value down, until the budget is told",
                            "常量由其自选：反复查询可逐步缩小取值范围，直至预算用尽"))
                    } @else {
                        (at.say("whether ", "是否 ")) code { (predicate.display(schema)) } (at.say(": true, false or unknown, and no value", "：真、假或未知，不显示字段值"))
                    }
                } }
            }
        }
        @if terms.prove.len() > 1 { p.soft { (at.say("Conditions that are single comparisons may also be joined by AND and OR.", "单个比较构成的条件还可用 AND、OR 组合。")) } }
    }
}

/// What the budgets leave for what proofs may tell, field by field.
fn allowance(at: At<'_>, asset: &AssetView, to: &Address, terms: &GrantTerms, known: &Known<'_>) -> Markup {
    let columns: BTreeSet<u8> = terms.prove.iter().flat_map(Predicate::columns).collect();
    let row = |position: u8| {
        let column = asset.schema.at(position)?;
        let budget = u32::from(asset.budgets.get(usize::from(position)).copied().unwrap_or_default()) * 1000;
        let share = terms.bits.map_or(budget, |bits| budget.min(u32::from(bits) * 1000));
        let of = |predicate: &&Predicate| predicate.columns().contains(&position);
        let least = terms.prove.iter().filter(of).map(cost).min().unwrap_or(1585);
        let told = known.told.get(&position);
        let own = told.and_then(|told| told.most_by.get(to)).copied().unwrap_or_default();
        let all = told.map_or(0, |told| told.most);
        Some(vec![
            html! { code { (column.name) } },
            html! { (at.fill("{} [bit|bits]", "{} 比特", &[&bits(budget)])) },
            html! { (at.fill("{} [bit|bits]", "{} 比特", &[&bits(share)])) },
            html! { (at.fill("{} [bit|bits]", "{} 比特", &[&bits(own)])) },
            html! { (at.fill("{} [bit|bits]", "{} 比特", &[&bits(all)])) },
            html! { (at.fill("{} [bit|bits]", "{} 比特", &[&bits(budget.saturating_sub(all).min(share.saturating_sub(own)))])) },
            html! { (at.fill("{} [answer|answers] of {} [bit|bits]", "{} 个应答（每个 {} 比特）", &[&share.checked_div(least).unwrap_or_default(), &bits(least)])) },
        ])
    };
    let rows: Vec<_> = columns.into_iter().filter_map(row).collect();
    let headings = [
        at.say("Field", "字段"),
        at.say("Budget of a record", "每条记录预算"),
        at.say("This account's share", "该账户份额"),
        at.say("Told to it so far, at most", "已向其透露（最多）"),
        at.say("Told to all, at most", "已向各方透露（最多）"),
        at.say("Left of the record most was told of, at least", "透露最多的记录至少剩余"),
        at.say("Room for, of a fresh record", "新记录可应答"),
    ];
    html! {
        h3 { (at.say("What the budgets still allow", "预算仍允许的范围")) }
        (listing(at.say("Budgets of the fields that proofs are about", "证明所涉字段的预算"), &headings, &rows, ""))
        p.soft.small { (at.say(
            "The same question on an unchanged record is answered again for nothing. What several accounts are told counts once for all and is never more than the budget.",
            "对未变更记录的相同查询可再次应答且不计费。多个账户获知的内容合并计一次，且绝不超过预算。",
        )) }
    }
}

fn stays_sealed(at: At<'_>, schema: &Schema, terms: &GrantTerms) -> Markup {
    let proven: BTreeSet<u8> = terms.prove.iter().flat_map(Predicate::columns).collect();
    let is_sealed = |position: &u8| {
        !terms.disclose.contains(position)
            && !terms.whole.contains(position)
            && !proven.contains(position)
            && !schema.key.contains(position)
    };
    let positions = 0..u8::try_from(schema.columns.len()).unwrap_or(u8::MAX);
    let sealed: Vec<u8> = positions.filter(is_sealed).collect();
    html! {
        h3 { (at.say("What stays sealed from it", "对其保持密封的内容")) }
        ul {
            @if sealed.is_empty() { li { (at.say("No field: it learns something of each.", "没有：每个字段都会透露部分内容。")) } }
            @else { li { (at.fill("nothing at all is told of {}", "{} 完全不透露", &[&names(schema, &sealed)])) } }
            @if terms.whole.is_empty() { li { (at.say("records whose keys it does not know, and which keys there are", "其不知道主键的记录，以及有哪些主键")) } }
            li { (at.say("what others ask, and what they are told", "其他各方的查询及所获内容")) }
        }
    }
}

/// What it has already, and what others have.
fn together(at: At<'_>, asset: &AssetView, to: &Address, terms: &GrantTerms, known: &Known<'_>) -> Markup {
    let lang = at.visit.lang;
    let told = told_to(known.told, asset, to);
    html! {
        h3 { (at.say("Together with what there is already", "与已有内容合并")) }
        @match known.before {
            None => { p { (at.say("It has no grant on this asset now.", "该账户目前没有此资产的授权。")) } }
            Some(before) if before.terms == *terms => { p { (at.say("It has just this grant now; granting it again starts its count of keys anew.", "该账户已有完全相同的授权；再次授权将使主键计数重新开始。")) } }
            Some(before) => {
                p { (at.fill("This replaces what stands, of which {} [key|keys] were used. What it was answered stays with it.", "将取代现有授权（已用 {} 个主键）。已获应答仍由其持有。", &[&before.used])) }
                div.grid {
                    div { strong { (at.say("Now", "现有")) } (terms_list(lang, asset, &before.terms)) }
                    div { strong { (at.say("From then on", "此后")) } (terms_list(lang, asset, terms)) }
                }
            }
        }
        @if !told.is_empty() { p { (at.say("Proofs have told it already, of one record at most: ", "证明已向其透露（单条记录最多）："))
            @for (number, (column, most)) in told.iter().enumerate() { @if number > 0 { ", " } code { (column) } " " (at.fill("{} [bit|bits]", "{} 比特", &[&bits(*most)])) } } }
        @if !known.elsewhere.is_empty() {
            p { (at.say("It also has grants on other assets of yours. Where records have the same key, it can put both together:", "该账户还有您其他资产的授权。若记录主键相同，可将两者合并：")) }
            @for (other, grant) in known.elsewhere { div { (asset_link(other)) (terms_list(lang, other, &grant.terms)) } }
        }
        @if known.others > 0 { p { (at.fill(
            "Other accounts with grants on this asset: {}. Values that are disclosed can be passed on and put together; proofs told to all of them count against one budget.",
            "拥有此资产授权的其他账户：{} 个。已披露的字段值可被转交并合并；对各方的证明计入同一预算。", &[&known.others])) } }
    }
}

fn warnings(at: At<'_>, asset: &AssetView, terms: &GrantTerms) -> Vec<String> {
    let mut warnings = Vec::new();
    if asset.data_type != FILE && !terms.whole.is_empty() {
        let columns = names(&asset.schema, &terms.whole);
        warnings.push(at.fill(
            "{} leaves this machine whole: every record, for ever.",
            "{} 将整列离开本机：包括所有记录，且永久有效。",
            &[&columns],
        ));
    }
    if terms.prove.iter().any(is_free) {
        warnings.push(at.say("With constants of its own choosing a patient requester gets as much as the budget allows. Fixed constants tell only what you wrote.", "若常量可自选，有耐心的使用方可获取预算允许的全部信息。固定常量只透露您写明的内容。").into());
    }
    if terms.purpose.is_empty() {
        warnings.push(
            at.say(
                "Any purpose will do: the trail will not say what the requests were for.",
                "允许任何用途：访问轨迹将无法说明请求目的。",
            )
            .into(),
        );
    }
    if terms.until_ms.is_none() {
        warnings
            .push(at.say("It has no end: it holds until you revoke it.", "没有截止时间：在您撤销前一直有效。").into());
    }
    if terms.quota.is_none() && asset.data_type != FILE {
        warnings.push(
            at.say(
                "It may ask about any number of keys, and so find out which keys there are by trying.",
                "可查询任意数量的主键，因此可通过尝试得知存在哪些主键。",
            )
            .into(),
        );
    }
    let proven: BTreeSet<u8> = terms.prove.iter().flat_map(Predicate::columns).collect();
    for position in &proven {
        let Some(column) = asset.schema.at(*position) else { continue };
        if asset.budgets.get(usize::from(*position)).copied().unwrap_or_default() == 0 {
            warnings.push(at.fill(
                "{} has a budget of 0 bits: no condition on it is ever answered.",
                "{} 的预算为 0 比特：任何相关条件都不会应答。",
                &[&column.name],
            ));
        }
        if terms.disclose.contains(position) || terms.whole.contains(position) {
            warnings.push(at.fill(
                "{} is shown anyway: a proof about it tells nothing more.",
                "{} 的值本已可见：对其证明不会透露更多。",
                &[&column.name],
            ));
        }
    }
    warnings
}
