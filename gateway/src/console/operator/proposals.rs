//! What members decide: the proposals, one of them, and endorsing it.

use maud::{Markup, html};
use sealgate_ledger::ids::TxHash;
use sealgate_ledger::member::{PROPOSAL_BLOCKS, ProposalStatus, ProposalView};
use sealgate_ledger::tx::TxBody;

use super::{Office, changes, propose};
use crate::console::page::{Page, Tone, badge, card, count, facts, hidden, notice, table};
use crate::console::{Answer, Fault, Reply, explorer};

pub(super) fn list(office: &Office<'_>) -> Page {
    let visit = office.visit;
    let mut all: Vec<&ProposalView> = office.governance.proposals.iter().collect();
    all.sort_by_key(|proposal| std::cmp::Reverse((proposal.height, proposal.hash)));
    let (open, done): (Vec<_>, Vec<_>) = all.into_iter().partition(|proposal| proposal.status == ProposalStatus::Open);
    let body = html! {
        (office.embedded(
            "You are its only member, so what you propose is done at once.",
            "您是唯一成员，因此您的提案立即生效。",
        ))
        (card(visit.say("Awaiting endorsements", "等待背书"), rows(office, &open, visit.say("No proposal is open.", "没有待决提案。"))))
        @if office.is_member() { section.card {
            h2 { (visit.say("Propose", "提案")) }
            div.actions {
                a.button href="/console/operator/proposals/new/policy" { (visit.say("Other rules", "更改规则")) }
                a.button.plain href="/console/operator/proposals/new/withdraw" { (visit.say("Withdraw an asset", "撤回资产")) }
                @if office.is_network() {
                    a.button.plain href="/console/operator/proposals/new/join" { (visit.say("A new member", "新成员")) }
                    a.button.plain href="/console/operator/proposals/new/replace" { (visit.say("Other keys or addresses", "更换密钥或地址")) }
                    a.button.plain href="/console/operator/proposals/new/leave" { (visit.say("A member leaves", "成员退出")) }
                }
            }
        } }
        (card(visit.say("Done", "已执行"), rows(office, &done, visit.say("Nothing was proposed and done yet.", "尚无已执行的提案。"))))
    };
    office.page(visit.say("Proposals", "提案"), body)
}

fn rows(office: &Office<'_>, proposals: &[&ProposalView], empty: &str) -> Markup {
    let visit = office.visit;
    let headings = [
        visit.say("What", "内容"),
        visit.say("Proposed by", "提案方"),
        visit.say("Proposed in", "提出区块"),
        visit.say("State", "状态"),
    ];
    let row = |proposal: &&ProposalView| {
        vec![
            html! { a href=(format!("/console/operator/proposals/{}", proposal.hash)) { (changes::title(office, &proposal.change)) } },
            html! { @if let Some(by) = proposal.endorsed.first() { (office.name_of(by)) } },
            explorer::block_link(proposal.height),
            state(office, proposal),
        ]
    };
    let rows: Vec<_> = proposals.iter().map(row).collect();
    table(&headings, &rows, empty)
}

/// How many of today's members stand behind a proposal.
fn behind(office: &Office<'_>, proposal: &ProposalView) -> usize {
    proposal.endorsed.iter().filter(|by| office.governance.members.member(by).is_some()).count()
}

fn state(office: &Office<'_>, proposal: &ProposalView) -> Markup {
    let visit = office.visit;
    let quorum = office.governance.members.quorum();
    match proposal.status {
        ProposalStatus::Open => badge(
            Tone::Info,
            &visit.lang.fill("{} of {} endorsements", "背书 {} / {}", &[&behind(office, proposal), &quorum]),
        ),
        ProposalStatus::Done { height } => {
            badge(Tone::Good, &visit.lang.fill("done in block {}", "已于区块 {} 执行", &[&height]))
        }
    }
}

fn find<'a>(office: &'a Office<'_>, hash: &str) -> Result<&'a ProposalView, Fault> {
    let hash: TxHash = hash.parse().map_err(|_| Fault::NotFound)?;
    office.governance.proposals.iter().find(|proposal| proposal.hash == hash).ok_or(Fault::NotFound)
}

/// Whether this member can still endorse it.
fn can_endorse(office: &Office<'_>, proposal: &ProposalView) -> bool {
    proposal.status == ProposalStatus::Open && office.is_member() && !proposal.endorsed.contains(&office.own())
}

pub(super) fn one(office: &Office<'_>, hash: &str) -> Answer {
    let visit = office.visit;
    let proposal = find(office, hash)?;
    let is_open = proposal.status == ProposalStatus::Open;
    let missing =
        office.governance.members.members.iter().filter(|member| !proposal.endorsed.contains(&member.address()));
    let missing: Vec<&str> = missing.map(|member| member.account.name.as_str()).collect();
    let list = facts(&[
        (visit.say("State", "状态"), state(office, proposal)),
        (
            visit.say("Endorsed by", "已背书"),
            html! { @for (at, by) in proposal.endorsed.iter().enumerate() { @if at > 0 { ", " } (office.name_of(by)) } },
        ),
        (visit.say("Not by", "未背书"), html! { @if missing.is_empty() { "—" } @else { (missing.join(", ")) } }),
        (
            visit.say("Proposed in", "提出区块"),
            html! { (visit.lang.fill("block {}; it lapses after block {}", "区块 {}；区块 {} 之后失效", &[&count(proposal.height.0), &count(proposal.height.0.saturating_add(PROPOSAL_BLOCKS))])) },
        ),
        (visit.say("Proposal", "提案"), html! { span.mono { (proposal.hash) } }),
    ]);
    let body = html! {
        (card(visit.say("What would change", "变更内容"), changes::details(office, &proposal.change, is_open)))
        (card(visit.say("Who stands behind it", "背书情况"), list))
        div.actions {
            @if can_endorse(office, proposal) {
                a.button href=(format!("/console/operator/proposals/{}/endorse", proposal.hash)) { (visit.say("Endorse…", "背书……")) }
            } @else if is_open {
                span.soft { (if office.is_member() { visit.say("You have endorsed it; others give theirs at their own gateways.", "您已背书；其他成员在各自的网关背书。") } else { visit.say("Only members endorse.", "仅成员可背书。") }) }
            }
            a.button.plain href="/console/operator/proposals" { (visit.say("All proposals", "全部提案")) }
        }
    };
    Ok(office.page(&changes::title(office, &proposal.change), body).into())
}

pub(super) fn confirm(office: &Office<'_>, hash: &str, why: Option<&str>) -> Answer {
    let visit = office.visit;
    let proposal = find(office, hash)?;
    let address = format!("/console/operator/proposals/{}", proposal.hash);
    if why.is_none() && !can_endorse(office, proposal) {
        return Ok(Reply::SeeOther(address));
    }
    let quorum = office.governance.members.quorum();
    let is_last = behind(office, proposal) + 1 >= quorum;
    let body = html! {
        @if let Some(why) = why { (notice(Tone::Bad, html! { p { (why) } })) }
        (notice(if is_last { Tone::Warn } else { Tone::Info }, html! { p {
            @if is_last { (visit.say(
                "Yours is the last endorsement that is needed: the change is made in the block that records it.",
                "您的背书达到表决门槛：变更将在记录该背书的区块中生效。",
            )) } @else { (visit.lang.fill(
                "With yours there are {} of {} endorsements. An endorsement cannot be taken back.",
                "加上您的背书共 {} / {}。背书不可撤回。",
                &[&(behind(office, proposal) + 1), &quorum],
            )) }
        } }))
        (card(&changes::title(office, &proposal.change), changes::details(office, &proposal.change, true)))
        form method="post" action=(format!("{address}/endorse")) {
            (hidden(visit))
            div.actions {
                button type="submit" { (visit.say("Endorse this", "确认背书")) }
                a.button.plain href=(address) { (visit.say("Back", "返回")) }
            }
        }
    };
    Ok(office.page(visit.say("Endorse?", "确认背书？"), body).into())
}

pub(super) async fn endorse(office: &Office<'_>, hash: &str) -> Answer {
    let proposal = find(office, hash)?.hash;
    match propose::submit(office, TxBody::Endorse { proposal }).await {
        Ok(_) => Ok(Reply::SeeOther(format!("/console/operator/proposals/{proposal}"))),
        Err(why) => confirm(office, hash, Some(&why)),
    }
}
