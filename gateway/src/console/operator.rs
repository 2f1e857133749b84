//! The operator's desk: the ledger's members and what they decide, its nodes, rules and contracts
//! (docs/spec/console.md#operator). A member's own account is its operator.

use std::sync::Arc;

use maud::{Markup, html};
use sealgate_ledger::ids::Address;
use sealgate_ledger::member::{Member, ProposalStatus};

use super::page::{Page, Tone, badge, card, facts, figures, notice, short};
use super::{Answer, Console, Desk, Fault, Visit, in_turn};
use crate::client::Governance;
use crate::gateway::Gateway;
use crate::nodes::CertificateView;

mod changes;
mod consensus;
mod contracts;
mod nodes;
mod proposals;
mod propose;
mod rules;
mod witnesses;

pub(super) const PAGES: &[(&str, &str, &str)] = &[
    ("/console/operator", "Members", "成员"),
    ("/console/operator/proposals", "Proposals", "提案"),
    ("/console/operator/nodes", "Nodes", "节点"),
    ("/console/operator/rules", "Rules", "规则"),
    ("/console/operator/consensus", "Consensus", "共识"),
    ("/console/operator/contracts", "Contracts", "合约"),
    ("/console/operator/witnesses", "Witnesses", "见证方"),
];

pub(super) async fn answer(_console: &Arc<Console>, gateway: &Arc<Gateway>, visit: &Visit) -> Answer {
    let governance = governance(gateway).await?;
    let office = Office { gateway, governance, visit };
    match (visit.parts().as_slice(), visit.is_post) {
        (["operator"], false) => Ok(members(&office).into()),
        (["operator", "proposals"], false) => Ok(proposals::list(&office).into()),
        (["operator", "proposals", hash], false) => proposals::one(&office, hash),
        (["operator", "proposals", hash, "endorse"], false) => proposals::confirm(&office, hash, None),
        (["operator", "proposals", hash, "endorse"], true) => proposals::endorse(&office, hash).await,
        (["operator", "proposals", "new", kind], false) => propose::show(&office, kind),
        (["operator", "proposals", "new", kind], true) => propose::send(&office, kind).await,
        (["operator", "nodes"], false) => nodes::show(&office).await,
        (["operator", "rules"], false) => Ok(rules::show(&office).into()),
        (["operator", "consensus"], false) => consensus::show(&office).await,
        (["operator", "contracts"], false) => contracts::show(&office).await,
        (["operator", "witnesses"], false) => Ok(witnesses::show(&office).into()),
        _ => Err(Fault::NotFound),
    }
}

async fn governance(gateway: &Arc<Gateway>) -> Result<Governance, Fault> {
    let state = gateway.clone();
    in_turn(gateway, move || Ok(Governance::of(state.ledger())?)).await
}

/// What a page of this desk is made from.
struct Office<'a> {
    gateway: &'a Arc<Gateway>,
    governance: Governance,
    visit: &'a Visit,
}

impl Office<'_> {
    /// Whether the ledger is shared; else its operator runs it alone.
    fn is_network(&self) -> bool {
        self.gateway.ledger().genesis().network.is_some()
    }

    fn own(&self) -> Address {
        self.gateway.owner().account().address()
    }

    /// Whether this account is one of the members of today.
    fn is_member(&self) -> bool {
        self.governance.members.member(&self.own()).is_some()
    }

    /// What a member is called; its address for who is none any more.
    fn name_of(&self, address: &Address) -> Markup {
        match self.governance.members.member(address) {
            Some(member) => html! { (member.account.name) },
            None => short(&address.to_string()),
        }
    }

    fn page(&self, title: &str, body: Markup) -> Page {
        Page::new(Desk::Operator, title, body)
    }

    /// Says what an embedded ledger has none of.
    fn embedded(&self, en: &str, zh: &str) -> Markup {
        html! { @if !self.is_network() {
            (notice(Tone::Info, html! { p {
                (self.visit.say(
                    "This is an embedded ledger: its operator runs it alone, in this process. ",
                    "这是嵌入式账本：由其运维方在本进程中独自运行。",
                ))
                (self.visit.say(en, zh))
            } }))
        } }
    }
}

fn members(office: &Office<'_>) -> Page {
    let visit = office.visit;
    let set = &office.governance.members;
    let open = office.governance.proposals.iter().filter(|proposal| proposal.status == ProposalStatus::Open).count();
    let numbers = [
        (set.members.len() as u64, visit.say("[member|members]", "成员")),
        (set.quorum() as u64, visit.say("[member decides|members decide together]", "表决门槛")),
        (set.epoch, visit.say("[change|changes] of members (epoch)", "纪元（成员变更次数）")),
        (open as u64, visit.say("open [proposal|proposals]", "待决提案")),
    ];
    let body = html! {
        (office.embedded(
            "It has one member and no certificates; other organisations join a ledger that 'sealgate network' makes.",
            "它只有一个成员，没有证书；多机构账本由 'sealgate network' 创建。",
        ))
        (figures(&numbers))
        @for member in &set.members { (card(&member.account.name, one(office, member))) }
        @if office.is_network() && office.is_member() { div.actions {
            a.button href="/console/operator/proposals/new/join" { (visit.say("Propose a new member", "提议新成员")) }
            a.button.plain href="/console/operator/proposals/new/replace" { (visit.say("Propose other keys or addresses", "提议更换密钥或地址")) }
            a.button.plain href="/console/operator/proposals/new/leave" { (visit.say("Propose that a member leaves", "提议成员退出")) }
        } }
    };
    office.page(visit.say("Members", "成员"), body)
}

fn one(office: &Office<'_>, member: &Member) -> Markup {
    let visit = office.visit;
    let mut list = vec![
        (
            visit.say("Account", "账户"),
            html! { span.mono { (member.address()) }
            @if member.address() == office.own() { " " (badge(Tone::Info, visit.say("this gateway", "本网关"))) } },
        ),
        (visit.say("Node key", "节点密钥"), html! { span.mono { (member.node_key) } }),
    ];
    if !member.peer.is_empty() {
        list.push((visit.say("Node", "节点"), html! { code { (member.peer) } }));
        list.push((visit.say("Gateway", "网关"), html! { code { (member.gateway) } }));
    }
    list.extend(certificate(visit, member));
    facts(&list)
}

/// What a member's certificate says.
fn certificate<'a>(visit: &'a Visit, member: &Member) -> Vec<(&'a str, Markup)> {
    if member.certificate.0.is_empty() {
        return Vec::new();
    }
    let label = visit.say("Certificate", "证书");
    let Some(view) = CertificateView::of(&member.certificate) else {
        return vec![(label, badge(Tone::Bad, visit.say("it cannot be read", "无法读取")))];
    };
    let now_s = crate::owner::clock_ms() / 1000;
    let ends = match view.ends_s {
        None => html! { (visit.say("no end: membership ends on the ledger", "无到期日：成员资格以账本为准")) },
        Some(ends) => {
            let (tone, word) = match ends.checked_sub(now_s) {
                None => (Tone::Bad, visit.say("over", "已过期")),
                Some(left) if left < 30 * 86_400 => (Tone::Warn, visit.say("ends soon", "即将到期")),
                Some(_) => (Tone::Good, visit.say("good", "有效")),
            };
            html! { (super::page::time(ends.saturating_mul(1000))) " " (badge(tone, word)) }
        }
    };
    vec![
        (label, html! { (view.subject) span.soft { " · " (visit.say("issued by ", "签发者 ")) (view.issuer) } }),
        (visit.say("Valid until", "有效期至"), ends),
        (visit.say("Fingerprint (SHA-256)", "指纹（SHA-256）"), html! { span.mono { (view.fingerprint) } }),
    ]
}
