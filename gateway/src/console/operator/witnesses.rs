//! Witnesses: those outside the ledger who cosign its checkpoints.

use maud::html;

use super::Office;
use crate::console::page::{Page, Tone, badge, card, count, notice, table};

pub(super) fn show(office: &Office<'_>) -> Page {
    let visit = office.visit;
    let reported = office.gateway.cosigned().reported();
    let size = office.gateway.ledger().head().tree_size;
    let headings = [visit.say("Witness", "见证方"), visit.say("Address", "地址"), visit.say("State", "状态")];
    let rows: Vec<_> = reported
        .iter()
        .map(|witness| {
            let state = match (&witness.failing, witness.cosigned) {
                (Some(why), _) => html! { (badge(Tone::Bad, visit.say("does not cosign", "未共同签名"))) " " (visit.say("it ", "")) (why) },
                (None, Some(signed)) if signed == size => badge(Tone::Good, visit.say("has cosigned the head", "已共同签名最新检查点")),
                (None, Some(signed)) => html! { (badge(Tone::Info, visit.lang.fill("has cosigned {} of {} [entry|entries]", "已共同签名 {} / {} 条", &[&count(signed), &count(size)]).as_str())) },
                (None, None) => badge(Tone::Info, visit.say("was not asked yet", "尚未请求")),
            };
            vec![html! { (witness.name) }, html! { code { (witness.url) } }, state]
        })
        .collect();
    let body = html! {
        p.lead { (visit.say(
            "A witness keeps the newest checkpoint it has seen, and cosigns another one only if that extends it. Whoever pins one sees the same ledger as everybody else who does.",
            "见证方保存其见过的最新检查点，仅当新检查点延续旧检查点时才共同签名。固定同一见证方的人所见账本必然相同。",
        )) }
        @if reported.is_empty() {
            (notice(Tone::Warn, html! { p { (visit.say(
                "This gateway reports to no witness, or has not yet: verification says so to everybody who asks here. Name some with 'sealgate serve --witness URL=KEY'.",
                "本网关未向任何见证方报告（或尚未报告）：在此查询者的验证结果会注明这一点。请使用 'sealgate serve --witness URL=KEY' 指定。",
            )) } }))
        } @else {
            (card(visit.say("Witnesses that this gateway reports to", "本网关报告的见证方"), table(&headings, &rows, "")))
        }
    };
    office.page(visit.say("Witnesses", "见证方"), body)
}
