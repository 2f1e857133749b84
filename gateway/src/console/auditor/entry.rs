//! One request with everything that the ledger says of it.

use maud::{Markup, html};
use sealgate_ledger::ids::TxHash;
use sealgate_ledger::state::{Asked, RequestStatus, RequestView};

use super::grants::terms;
use super::{Study, spoken};
use crate::console::explorer::{account_path, in_block};
use crate::console::page::{Tone, badge, card, count, facts, time};
use crate::console::{Answer, Fault, telling};
use crate::journal::What;
use crate::trail::Line;

pub(super) fn show(study: &Study<'_>, hash: &str) -> Answer {
    let visit = study.visit;
    let hash: TxHash = hash.parse().map_err(|_| Fault::NotFound)?;
    let (request, line) = study.ledger.request(&hash).ok_or(Fault::NotFound)?;
    study.note(What::Entry, &hash.to_string())?;
    // One entry that is looked at is looked at whole.
    let names = study.open_names(std::iter::once(&line.requester))?;
    let (word, tone) = spoken::outcome(visit.lang, line.outcome);
    let enrolled = study.ledger.accounts.get(&line.requester);
    let mut asked = vec![
        (visit.say("Who", "账户"), study.who(&line.requester, &names)),
        (visit.say("Address", "地址"), html! { a.mono href=(account_path(&line.requester)) { (line.requester) } }),
        (
            visit.say("Enrolled by", "注册方"),
            html! {
                @if let Some(view) = enrolled { (study.who(&view.enrolled_by, &names)) " · " (in_block(visit.lang, view.height)) }
                @else { "—" }
            },
        ),
        (visit.say("Asset", "资产"), html! { (line.asset_name) " " span.mono { (line.asset) } }),
        (visit.say("Owner", "数据提供方"), study.who(&line.owner, &names)),
        (visit.say("Kind", "类型"), html! { (spoken::kind(visit.lang, line.kind)) }),
        (visit.say("Asked for", "查询内容"), html! { code { (line.shape) } }),
        (visit.say("Keys", "主键数"), html! { (line.keys) }),
        (visit.say("Purpose", "用途"), html! { (line.purpose) }),
        (
            visit.say("Consent", "同意书引用"),
            html! { @match request.consent { Some(consent) => span.mono { (consent) }, None => (visit.say("none stated", "未注明")) } },
        ),
    ];
    asked.push((visit.say("Recorded", "记录于"), html! {
        (time(line.time_ms)) " · " (in_block(visit.lang, line.block)) (visit.lang.fill(", entry {}", "，条目 {}", &[&line.entry]))
    }));
    asked.push((
        visit.say("Request", "请求"),
        html! { a.mono href=(format!("/console/explorer/transactions/{}", line.request)) { (line.request) } },
    ));
    let body = html! {
        p { (badge(tone, word)) @if let Some(reason) = spoken::reason(visit.lang, line) { " " (reason) } }
        (card(visit.say("What was asked", "查询"), facts(&asked)))
        (card(visit.say("What became of it", "结果"), facts(&ended(study, request, line))))
        (grant(study, request, line))
        (card(visit.say("What the ledger does not show", "账本未显示的内容"), html! { p { (visit.say(
            "The key and the free constants are committed to, and were sealed to the owner; the answer was sealed to the requester. Neither is on the ledger. An answer that the requester hands you can be checked under Verify.",
            "主键与自由常量仅以承诺形式上链，并密封给数据提供方；应答密封给数据使用方。二者均不在账本上。数据使用方交给您的应答可在“验证”页核验。",
        )) } }))
    };
    Ok(study.page(visit.say("Request", "请求"), &body).into())
}

fn ended<'a>(study: &'a Study<'_>, request: &RequestView, line: &Line) -> Vec<(&'a str, Markup)> {
    let visit = study.visit;
    let hash = |text: String| html! { span.mono { (text) } };
    let mut list = Vec::new();
    match &request.status {
        RequestStatus::Denied { reason } => {
            let shape = match &request.asked {
                Asked::Question { shape, .. } => Some(shape),
                _ => None,
            };
            let schema = study.ledger.asset(&line.asset).map(|asset| &asset.schema);
            let why = telling::denied_to_somebody(visit.lang, reason, shape, schema);
            list.push((visit.say("Why", "原因"), html! { (why) }));
        }
        RequestStatus::Granted { version, deadline } => {
            list.push((visit.say("Version", "版本"), html! { (version) }));
            list.push((visit.say("Answer awaited until block", "应答截止区块"), html! { (count(deadline.0)) }));
        }
        RequestStatus::Answered { version, answer, binding, sealed, bytes, .. } => {
            list.push((visit.say("Version", "版本"), html! { (version) }));
            list.push((visit.say("Answer", "应答"), hash(answer.to_string())));
            list.push((visit.say("Binding", "绑定哈希"), hash(binding.to_string())));
            list.push((visit.say("Sealed answer", "密封应答"), html! { span.mono { (sealed) } " · " (visit.lang.fill("{} bytes", "{} 字节", &[&count((*bytes).into())])) }));
        }
        RequestStatus::Delivered { version, delivery, sealed, bytes, .. } => {
            list.push((visit.say("Version", "版本"), html! { (version) }));
            list.push((visit.say("Delivery", "交付"), hash(delivery.to_string())));
            list.push((visit.say("Sealed delivery", "密封交付"), html! { span.mono { (sealed) } " · " (visit.lang.fill("up to {} bytes of ciphertext", "密文至多 {} 字节", &[&count(*bytes)])) }));
        }
        RequestStatus::Declined { .. } => {
            list.push((visit.say("Why", "原因"), html! { (spoken::reason(visit.lang, line).unwrap_or_default()) }));
        }
        RequestStatus::Unanswered { .. } => {
            list.push((visit.say("Why", "原因"), html! { (visit.say("the owner let the deadline pass; the quota returned", "数据提供方逾期未应答；配额已退回")) }));
        }
    }
    if let Some(end) = line.ended {
        let took = end.time_ms.saturating_sub(line.time_ms) / 1000;
        list.push((visit.say("Ended", "结束于"), html! {
            (time(end.time_ms)) " · " (in_block(visit.lang, end.block)) (visit.lang.fill(", entry {}, after {} s", "，条目 {}，历时 {} 秒", &[&end.entry, &took]))
        }));
    }
    if let Some(checked) = line.checked {
        list.push((
            visit.say("Found in the sample", "抽样结果"),
            html! { (checked.outcome.to_string()) " · " (in_block(visit.lang, checked.height)) },
        ));
    }
    list
}

/// The grant under which it was decided.
fn grant(study: &Study<'_>, request: &RequestView, line: &Line) -> Markup {
    let visit = study.visit;
    let stint = request.grant.and_then(|by| study.ledger.stints.iter().find(|stint| stint.grant.granted_by == by));
    let asset = study.ledger.asset(&line.asset);
    let content = match (stint, asset) {
        (Some(stint), Some(asset)) => html! {
            p { (visit.lang.fill("Given in block {}.", "于区块 {} 授予。", &[&stint.grant.height])) " "
                @if let Some(until) = stint.until { (visit.lang.fill("It ended in block {}.", "于区块 {} 终止。", &[&until])) }
                @else { (badge(Tone::Good, visit.say("still stands", "仍然有效"))) } }
            @if !stint.grant.terms.purpose.is_empty() { p { (visit.lang.fill("For the purpose '{}':", "用途“{}”：", &[&stint.grant.terms.purpose])) } }
            (terms(visit, &stint.grant.terms, &asset.schema))
        },
        _ => html! { p { (visit.say("None stood for this account when it asked.", "查询时该账户没有任何授权。")) } },
    };
    html! { (card(visit.say("The grant that stood", "当时的授权"), content)) }
}
