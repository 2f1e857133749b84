//! Blocks: the newest, and one.

use std::sync::Arc;

use maud::{Markup, html};
use sealgate_ledger::block::{Block, Entry, EntryBody, Header};
use sealgate_ledger::ids::BlockHeight;
use sealgate_ledger::member::Member;

use super::super::page::{Check, Tone, badge, card, count, facts, next_page, short, table, time};
use super::super::words::Lang;
use super::super::{Answer, Console, Fault, Visit};
use super::source::{Kept, Source, lie};
use super::{account_link, acts, block_link, checked, page, transaction_link};

/// Blocks on one page.
const BLOCKS_SHOWN: u64 = 25;
/// Entries on one page.
const ENTRIES_SHOWN: u64 = 25;

/// The newest blocks, or those before a height.
pub(super) async fn newest(console: &Arc<Console>, visit: &Visit) -> Answer {
    let lang = visit.lang;
    let source = Source::open(console, lang).await?;
    let head = source.head().height.0;
    let before = visit.query.get("before").parse().unwrap_or(u64::MAX).min(head + 1);
    let from = before.saturating_sub(BLOCKS_SHOWN);
    let look = source.look_through(lang, BlockHeight(from), before - from, |block, rows| rows.push_front(row(&block)));
    let Kept { kept: rows, is_chained } = look.await?;
    let rows = Vec::from(rows);
    let headings = [
        visit.say("Height", "高度"),
        visit.say("Time", "时间"),
        visit.say("Entries", "条目"),
        visit.say("Hash", "哈希"),
    ];
    let older = (from > 0).then(|| format!("/console/explorer?before={from}"));
    let list = html! {
        (table(&headings, &rows, visit.say("No blocks.", "没有区块。")))
        (next_page(lang, older.as_deref()))
    };
    let mut checks = source.ground(lang);
    checks.extend(chained(&source, lang, is_chained));
    let title = if before > head { visit.say("Newest blocks", "最新区块") } else { visit.say("Blocks", "区块") };
    let body = html! { (card(visit.say("Newest first", "按时间倒序"), list)) (checked(visit, &checks)) };
    Ok(page(visit, title, body).into())
}

fn row(block: &Block) -> Vec<Markup> {
    let header = &block.header;
    vec![
        block_link(header.height),
        html! { (time(header.time_ms)) },
        html! { (block.entries.len()) },
        short(&header.hash().to_string()),
    ]
}

/// Whether a home has checked headers, in words; a gateway's own need no such check.
pub(super) fn chained(source: &Source<'_>, lang: Lang, is_chained: bool) -> Option<Check> {
    if source.is_own() {
        return None;
    }
    Some(match is_chained {
        true => Check {
            tone: Tone::Good,
            text: html! { (lang.say(
                "Each header names the hash of the one before, up to the signed head: heights, times and roots are the ledger's.",
                "每个区块头都记载前一区块的哈希，直至已签名的最新区块：高度、时间与根哈希均属于该账本。",
            )) },
        },
        false => Check {
            tone: Tone::Warn,
            text: html! { (lang.say(
                "Headers this far back are the gateway's word: there are too many blocks up to the signed head to check them for one page. 'sealgate audit --gateway' checks every block.",
                "此处较早的区块头仅为网关所述：距已签名的最新区块过远，未逐一核查。“sealgate audit --gateway”会核查全部区块。",
            )) },
        },
    })
}

/// One block.
pub(super) async fn block(console: &Arc<Console>, visit: &Visit, height: &str) -> Answer {
    let lang = visit.lang;
    let height = BlockHeight(height.parse().map_err(|_| Fault::NotFound)?);
    let source = Source::open(console, lang).await?;
    let look = source.look_through(lang, height, 1, |block, kept| kept.push_back(block));
    let Kept { kept, is_chained } = look.await?;
    let block = kept.into_iter().next().ok_or(Fault::NotFound)?;
    let header = &block.header;
    let from = visit.query.get("from").parse().unwrap_or(0u64).min(block.entries.len() as u64);
    let to = (from + ENTRIES_SHOWN).min(block.entries.len() as u64);
    let shown: Vec<&Entry> = block.entries.iter().skip(usize_of(from)).take(usize_of(to - from)).collect();
    let mut checks = source.ground(lang);
    checks.extend(chained(&source, lang, is_chained));
    if !source.is_own() && !shown.is_empty() {
        let proofs = source.proofs(lang, header.first_entry + from..header.first_entry + to).await?;
        if proofs.len() != shown.len() || proofs.iter().zip(&shown).any(|(proof, entry)| proof.entry != **entry) {
            return Err(lie(lang, &format!("block {height} has other entries than those it proves")));
        }
        let text = lang.say(
            "Every entry shown is in the tree of the signed checkpoint (inclusion proof).",
            "所显示的条目均有包含证明，确在已签名检查点的默克尔树中。",
        );
        checks.push(Check { tone: Tone::Good, text: html! { (text) } });
    }
    let more = (to < block.entries.len() as u64).then(|| format!("/console/explorer/blocks/{height}?from={to}"));
    let rows: Vec<Vec<Markup>> = shown
        .iter()
        .enumerate()
        .map(|(at, entry)| entry_row(lang, header.first_entry + from + at as u64, entry))
        .collect();
    let headings = [
        visit.say("Entry", "条目"),
        visit.say("What", "内容"),
        visit.say("Outcome", "结果"),
        visit.say("Sender", "发送方"),
        visit.say("Transaction", "交易"),
    ];
    let empty = visit.say("This block has no entries.", "此区块没有条目。");
    let body = html! {
        (around(visit, height, source.head().height))
        (card(visit.say("Entries", "条目"), html! { (table(&headings, &rows, empty)) (next_page(lang, more.as_deref())) }))
        (card(visit.say("Who signed it", "签名成员"), signed(visit, source.signers(header).await?.as_deref())))
        (card(visit.say("Header", "区块头"), explained(visit, header)))
        (checked(visit, &checks))
    };
    Ok(page(visit, lang.fill("Block {}", "区块 {}", &[&count(height.0)]), body).into())
}

/// The members whose signatures of a block are kept.
fn signed(visit: &Visit, signers: Option<&[Member]>) -> Markup {
    let Some(signers) = signers else {
        return html! { p.soft { (visit.say(
            "A quorum of its epoch's members, whose signatures are not kept: those of the newest block, and of each that ended an epoch, are. Blocks before are named by them through the hashes.",
            "本纪元达到法定数量的成员；其签名未予保留。仅保留最新区块及各纪元末区块的签名，较早区块由其哈希链确认。",
        )) } };
    };
    html! {
        ul.plain-list { @for member in signers { li {
            (member.account.name) " " (account_link(&member.account.address())) " " (badge(Tone::Good, visit.say("signed", "已签名")))
        } } }
        p.soft { (visit.say(
            "A quorum's signatures are kept, the first that came: who is missing here may be well.",
            "仅保留最先到达的法定数量签名：未列出者不一定有故障。",
        )) }
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Links to the blocks before and after.
fn around(visit: &Visit, height: BlockHeight, head: BlockHeight) -> Markup {
    let link = |height: u64, text: &str| html! { a.button.plain href=(format!("/console/explorer/blocks/{height}")) { (text) } };
    html! { p.actions {
        @if let Some(before) = height.0.checked_sub(1) { (link(before, visit.say("Block before", "上一区块"))) }
        @if height < head { (link(height.0 + 1, visit.say("Next block", "下一区块"))) }
    } }
}

/// A line for an entry.
pub(super) fn entry_row(lang: Lang, index: u64, entry: &Entry) -> Vec<Markup> {
    match &entry.body {
        EntryBody::Transaction { tx, outcome } => vec![
            html! { (count(index)) },
            html! { (acts::kind(lang, &tx.tx.body)) },
            acts::outcome(lang, outcome),
            account_link(&tx.tx.sender),
            transaction_link(&tx.hash()),
        ],
        EntryBody::Unanswered { request } => vec![
            html! { (count(index)) },
            html! { (lang.say("A request was not answered in time; its quota returns", "有请求逾期未获应答，配额已退回")) },
            badge(Tone::Warn, lang.say("unanswered", "未应答")),
            html! { "—" },
            transaction_link(request),
        ],
    }
}

/// A header's fields with what they mean.
fn explained(visit: &Visit, header: &Header) -> Markup {
    let with = |value: Markup, what: &str| html! { (value) p.hint.soft.small { (what) } };
    let mono = |text: String| html! { span.mono { (text) } };
    let epoch = html! { (header.epoch) };
    let entries = html! { (count(header.first_entry)) " – " (count(header.tree_size)) };
    facts(&[
        (
            visit.say("Hash", "哈希"),
            with(
                mono(header.hash().to_string()),
                visit.say("of the whole header; the next block names it", "整个区块头的哈希，下一区块会记载它"),
            ),
        ),
        (
            visit.say("Time", "时间"),
            with(
                html! { (time(header.time_ms)) },
                visit.say("when it was made; strictly increasing from block to block", "出块时间，逐块严格递增"),
            ),
        ),
        (
            visit.say("Previous", "前一区块"),
            with(
                mono(header.previous.to_string()),
                visit.say("hash of the header before; zeros for the first", "前一区块头的哈希，首个区块为零"),
            ),
        ),
        (
            visit.say("Entries", "条目"),
            with(
                entries,
                visit.say(
                    "its first entry's number, and how many the ledger has with this block",
                    "本区块首个条目的序号，以及截至本区块的条目总数",
                ),
            ),
        ),
        (
            visit.say("Log root", "日志根"),
            with(
                mono(header.log_root.to_string()),
                visit.say(
                    "of the tree over all entries so far (RFC 9162): receipts lead to it",
                    "截至本区块全部条目的默克尔树根（RFC 9162），回执据此验证",
                ),
            ),
        ),
        (
            visit.say("State root", "状态根"),
            with(
                mono(header.state_root.to_string()),
                visit.say(
                    "of what stands after this block: assets, grants, accounts, members",
                    "本区块之后的状态根：资产、授权、账户、成员",
                ),
            ),
        ),
        (
            visit.say("Epoch", "纪元"),
            with(
                epoch,
                visit.say(
                    "how often the members had changed; those of this epoch sign it",
                    "成员变更的次数，由本纪元的成员签名",
                ),
            ),
        ),
        (
            visit.say("Batch", "批次"),
            with(
                mono(header.batch.to_string()),
                visit.say(
                    "digest of what members agreed to order; zeros on an embedded ledger",
                    "成员共识排序内容的摘要，嵌入式账本为零",
                ),
            ),
        ),
    ])
}
