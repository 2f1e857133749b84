//! The rules of the ledger: those that members can change, and those of its genesis.

use maud::html;

use super::Office;
use crate::console::page::{Page, Tone, badge, card, count, facts, short, table, time};

pub(super) fn show(office: &Office<'_>) -> Page {
    let visit = office.visit;
    let policy = &office.governance.policy;
    let genesis = office.gateway.ledger().genesis();
    let rules = facts(&[
        (
            visit.say("Who may open accounts", "谁可开立账户"),
            html! { (if policy.open_enrolment { visit.say("anybody", "任何人") } else { visit.say("members, for others", "仅由成员代为开立") }) },
        ),
        (
            visit.say("A granted request is answered within", "已授权请求的应答时限"),
            html! { (visit.lang.fill("{} [block|blocks]", "{} 个区块", &[&count(policy.answer_window_blocks)])) },
        ),
        (
            visit.say("Denials of an account that are recorded in a day", "每账户每日记录的拒绝次数"),
            html! { (count(policy.denials_a_day.into())) },
        ),
        (
            visit.say("Auditor", "审计方"),
            html! { @match &policy.auditor {
                Some(auditor) => { (auditor.name) " " span.mono { (auditor.address()) } }
                None => (visit.say("none: pseudonyms and charges are sealed to nobody else", "无：假名与记账不向其他人密封")),
            } },
        ),
    ]);
    let parameters = match &genesis.ceremony {
        Some(digest) => {
            html! { (badge(Tone::Good, visit.say("from a ceremony", "来自参数仪式"))) " " span.mono { (digest) } }
        }
        None => {
            html! { (badge(Tone::Warn, visit.say("development parameters", "开发参数"))) " " (visit.say("whoever made them could forge answers: not for real data", "其生成者可伪造应答：不得用于真实数据")) }
        }
    };
    let fixed = facts(&[
        (visit.say("Ledger", "账本"), html! { (genesis.name) }),
        (visit.say("Fingerprint", "指纹"), html! { span.mono { (genesis.chain_id()) } }),
        (
            visit.say("Kind", "类型"),
            html! { (if office.is_network() { visit.say("shared by its members", "成员共享") } else { visit.say("embedded: run by its operator alone", "嵌入式：由运维方独自运行") }) },
        ),
        (
            visit.say("Made by", "创建方"),
            html! { (genesis.operator.name) " " span.mono { (genesis.operator.address()) } },
        ),
        (visit.say("Made", "创建时间"), html! { (time(genesis.created_ms)) }),
        (visit.say("Parameters of proofs", "证明参数"), parameters),
    ]);
    let rows: Vec<_> = genesis
        .circuits
        .iter()
        .map(|circuit| vec![html! { code { (circuit.circuit) } }, short(&circuit.verifying_key.to_string())])
        .collect();
    let headings = [visit.say("Circuit", "电路"), visit.say("Digest of its verifying key", "验证密钥摘要")];
    let body = html! {
        (card(visit.say("What members can change", "成员可更改的规则"), html! {
            (rules)
            @if office.is_member() { div.actions { a.button href="/console/operator/proposals/new/policy" { (visit.say("Propose other rules", "提议更改规则")) } } }
        }))
        (card(visit.say("What never changes", "不可更改的设定"), html! { (fixed) (table(&headings, &rows, "")) }))
    };
    office.page(visit.say("Rules", "规则"), body)
}
