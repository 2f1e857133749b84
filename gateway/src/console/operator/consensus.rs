//! How the ledger agrees: epoch, quorum, who signed its head, its last blocks.

use maud::html;
use sealgate_ledger::block::Header;
use sealgate_ledger::ids::BlockHeight;

use super::Office;
use crate::console::page::{Tone, badge, card, count, facts, short, table, time};
use crate::console::{Answer, explorer, in_turn};

/// Blocks that are shown.
const BLOCKS_SHOWN: u64 = 20;

pub(super) async fn show(office: &Office<'_>) -> Answer {
    let visit = office.visit;
    let set = &office.governance.members;
    let state = office.gateway.clone();
    let (header, signed) = office.gateway.ledger().signed_head();
    let headers: Vec<Header> = in_turn(office.gateway, move || {
        let head = state.ledger().head().height.0;
        let heights = head.saturating_sub(BLOCKS_SHOWN - 1)..=head;
        Ok(heights
            .rev()
            .map(|at| state.ledger().block(BlockHeight(at)).map(|block| block.header))
            .collect::<Result<_, _>>()?)
    })
    .await?;
    let faults = (set.members.len().saturating_sub(1)) / 3;
    // A new network has signed nothing yet; after a change of members its head may be the ones' before.
    let signers = signed.signers(&header.chain, set).map(|(_, signers)| signers).unwrap_or_default();
    let list = facts(&[
        (visit.say("Engine", "引擎"), html! { (if office.is_network() { "simplex" } else { "solo" }) }),
        (visit.say("Epoch", "纪元"), html! { (count(set.epoch)) }),
        (visit.say("Members", "成员"), html! { (set.members.len()) }),
        (visit.say("Signatures that make a block final", "区块终局所需签名数"), html! { (set.quorum()) }),
        (
            visit.say("Faults of any kind that it survives", "可容忍的任意故障数"),
            html! { (faults)
            @if office.is_network() && faults == 0 { " " (badge(Tone::Warn, visit.say("with fewer than four members one node that fails stops the ledger", "成员少于四个时，任一节点故障即会使账本停止"))) } },
        ),
    ]);
    let by = set.members.iter().map(|member| {
        let signed = signers.contains(&member.node_key);
        let (tone, word) = if signed {
            (Tone::Good, visit.say("signed", "已签名"))
        } else {
            (Tone::Info, visit.say("not needed", "未采用"))
        };
        vec![html! { (member.account.name) }, short(&member.node_key.to_string()), badge(tone, word)]
    });
    let by: Vec<_> = by.collect();
    let headings = [visit.say("Member", "成员"), visit.say("Node key", "节点密钥"), visit.say("Its signature", "签名")];
    let blocks: Vec<_> = headers
        .iter()
        .map(|header| {
            vec![
                explorer::block_link(header.height),
                html! { span.nowrap { (time(header.time_ms)) } },
                html! { (header.tree_size.saturating_sub(header.first_entry)) },
                html! { (header.epoch) },
                short(&header.hash().to_string()),
            ]
        })
        .collect();
    let columns = [
        visit.say("Height", "高度"),
        visit.say("Time", "时间"),
        visit.say("Entries", "条目"),
        visit.say("Epoch", "纪元"),
        visit.say("Hash", "哈希"),
    ];
    let body = html! {
        (office.embedded("It agrees with nobody: its operator's signature alone makes a block final.", "无需与他人达成一致：仅凭运维方的签名区块即为终局。"))
        (card(visit.say("Agreement", "共识"), list))
        (card(&visit.lang.fill("Who signed block {}", "区块 {} 的签名者", &[&count(header.height.0)]), html! {
            p.soft { (visit.say("A quorum's signatures are kept, the first that came: who is missing here may be well.", "仅保留最先到达的法定数量签名：未列出者不一定有故障。")) }
            (table(&headings, &by, ""))
        }))
        (card(visit.say("Last blocks", "最新区块"), table(&columns, &blocks, "")))
    };
    Ok(office.page(visit.say("Consensus", "共识"), body).into())
}
