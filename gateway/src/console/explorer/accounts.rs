//! Accounts: a list, and one with what it did lately.

use std::collections::VecDeque;
use std::sync::Arc;

use maud::{Markup, html};
use sealgate_ledger::block::{Block, EntryBody};
use sealgate_ledger::ids::{Address, BlockHeight};
use sealgate_ledger::state::AccountView;

use super::super::page::{Check, Tone, badge, card, count, facts, next_page, table, time};
use super::super::words::Lang;
use super::super::{Answer, Console, Fault, Visit};
use super::source::{Kept, Source, Stands, proven};
use super::{account_link, acts, asset_link, block_link, blocks, checked, page, search, transaction_link};
use crate::catalogue::Search;
use crate::naming::Who;

/// Accounts on one page.
const ACCOUNTS_SHOWN: usize = 50;
/// Blocks that are looked through for an account's transactions at once.
const BLOCKS_LOOKED: u64 = 256;
/// Transactions of an account on one page, and what more the last of its blocks has.
const ACTS_SHOWN: usize = 100;
/// Assets of an account that are shown.
const ASSETS_SHOWN: usize = 50;

/// Accounts by address.
pub(super) async fn list(console: &Arc<Console>, visit: &Visit) -> Answer {
    let lang = visit.lang;
    let source = Source::open(console, lang).await?;
    let after = visit.query.get("after").parse::<Address>().ok();
    let mut accounts = source.accounts(lang, after, ACCOUNTS_SHOWN + 1).await?;
    let more = accounts.len() > ACCOUNTS_SHOWN;
    accounts.truncate(ACCOUNTS_SHOWN);
    let next =
        accounts.last().filter(|_| more).map(|last| format!("/console/explorer/accounts?after={}", last.address));
    let rows: Vec<Vec<Markup>> = accounts
        .iter()
        .map(|view| {
            vec![
                html! { a href=(format!("/console/explorer/accounts/{}", view.address)) { (view.account.name) } },
                account_link(&view.address),
                block_link(view.height),
                state(lang, view),
            ]
        })
        .collect();
    let headings = [
        visit.say("Name", "名称"),
        visit.say("Address", "地址"),
        visit.say("Enrolled in block", "开立区块"),
        visit.say("State", "状态"),
    ];
    let mut checks = source.ground(lang);
    checks.extend(said(&source, lang));
    let list = html! {
        (table(&headings, &rows, visit.say("No accounts.", "没有账户。")))
        (next_page(lang, next.as_deref()))
    };
    let body = html! { (card(visit.say("By address", "按地址排序"), list)) (checked(visit, &checks)) };
    Ok(page(visit, visit.say("Accounts", "账户"), body).into())
}

/// That a list is the gateway's word.
pub(super) fn said(source: &Source<'_>, lang: Lang) -> Option<Check> {
    let text = lang.say(
        "This list is the gateway's word: it could leave something out. Each page behind it is checked by itself.",
        "此列表为网关所述，可能有遗漏；各详情页会单独核查。",
    );
    (!source.is_own()).then(|| Check { tone: Tone::Info, text: html! { (text) } })
}

fn state(lang: Lang, view: &AccountView) -> Markup {
    match view.closed {
        None => badge(Tone::Good, lang.say("open", "有效")),
        Some(_) if view.successor.is_some() => badge(Tone::Warn, lang.say("replaced", "已更换")),
        Some(_) => badge(Tone::Warn, lang.say("closed", "已关闭")),
    }
}

/// One account.
pub(super) async fn page_of(
    console: &Arc<Console>,
    visit: &Visit,
    address: &Address,
) -> Result<Option<super::Page>, Fault> {
    let lang = visit.lang;
    let source = Source::open(console, lang).await?;
    let Stands { value, as_of } = source.account(lang, address).await?;
    let Some(view) = value else { return Ok(None) };
    let mut checks = source.ground(lang);
    checks.extend(proven(lang, as_of.as_ref()));
    let search = Search { owner: Some(Who::Address(*address)), ..Search::default() };
    let assets = source.catalogue(lang, &search, None, ASSETS_SHOWN).await?.assets;
    let owned: Vec<Vec<Markup>> = assets
        .iter()
        .map(|listed| {
            let asset = &listed.asset;
            vec![html! { (asset.name) }, html! { (asset.title) }, asset_link(&asset.id)]
        })
        .collect();
    let head = source.head().height.0;
    let before = visit.query.get("before").parse().unwrap_or(u64::MAX).min(head + 1);
    let from = before.saturating_sub(BLOCKS_LOOKED);
    let sender = *address;
    let look = source.look_through(lang, BlockHeight(from), before - from, move |block, acts| {
        acted(lang, &block, &sender, acts);
    });
    let Kept { kept, is_chained } = look.await?;
    checks.extend(blocks::chained(&source, lang, is_chained));
    // Where there were more than are shown, the next page begins where this one ends.
    let from = kept.back().filter(|_| kept.len() >= ACTS_SHOWN).map_or(from, |(height, _)| height.0);
    let acted: Vec<Vec<Markup>> = kept.into_iter().map(|(_, row)| row).collect();
    if !source.is_own() && !acted.is_empty() {
        checks.push(Check {
            tone: Tone::Info,
            text: html! { (visit.say(
                "The lines of 'What it did' were not proven one by one; the page of each transaction proves it.",
                "“近期交易”各行未逐条证明；每笔交易的页面会给出证明。",
            )) },
        });
    }
    let headings = [
        visit.say("Block", "区块"),
        visit.say("Time", "时间"),
        visit.say("What", "内容"),
        visit.say("Outcome", "结果"),
        visit.say("Transaction", "交易"),
    ];
    let older = (from > 0).then(|| format!("/console/explorer/accounts/{address}?before={from}"));
    let looked = lang.fill(
        "Looked for in blocks {} to {}.",
        "查找范围：区块 {} 至 {}。",
        &[&count(from), &count(before.saturating_sub(1))],
    );
    let body = html! {
        (card(visit.say("Account", "账户"), told(visit, &view)))
        @if !owned.is_empty() {
            (card(visit.say("Its assets", "其资产"), table(&[visit.say("Name", "名称"), visit.say("Title", "标题"), visit.say("Asset", "资产")], &owned, "")))
        }
        (card(visit.say("What it did", "近期交易"), html! {
            (table(&headings, &acted, visit.say("Nothing in these blocks.", "这些区块中没有其交易。")))
            p.soft.small { (looked) }
            @if let Some(older) = older { p { a.button.plain href=(older) { (visit.say("Look in older blocks", "在更早的区块中查找")) } } }
        }))
        (checked(visit, &checks))
    };
    Ok(Some(page(visit, view.account.name.clone(), body)))
}

/// Lines for what an account did in a block, before those of older blocks. Of blocks before the newest ones that
/// fill a page nothing is kept; a block's lines stay together.
fn acted(lang: Lang, block: &Block, sender: &Address, acts: &mut VecDeque<(BlockHeight, Vec<Markup>)>) {
    let height = block.header.height;
    for entry in &block.entries {
        let EntryBody::Transaction { tx, outcome } = &entry.body else { continue };
        if tx.tx.sender == *sender {
            let row = vec![
                block_link(height),
                html! { (time(block.header.time_ms)) },
                html! { (acts::kind(lang, &tx.tx.body)) },
                acts::outcome(lang, outcome),
                transaction_link(&tx.hash()),
            ];
            acts.push_front((height, row));
        }
    }
    while let Some((oldest, _)) = acts.back() {
        let oldest = *oldest;
        let newer = acts.iter().filter(|(height, _)| *height != oldest).count();
        if newer < ACTS_SHOWN {
            break;
        }
        acts.truncate(newer);
    }
}

/// One account, or what else to look for.
pub(super) async fn page_or_not(console: &Arc<Console>, visit: &Visit, address: &str) -> Answer {
    let parsed: Address = address.parse().map_err(|_| Fault::NotFound)?;
    match page_of(console, visit, &parsed).await? {
        Some(page) => Ok(page.into()),
        None => Ok(search::nothing(visit, address).into()),
    }
}

fn told(visit: &Visit, view: &AccountView) -> Markup {
    let lang = visit.lang;
    let enrolled = match view.enrolled_by == view.address {
        true => html! { (visit.say("itself", "自行开立")) },
        false => html! { (visit.say("the member ", "成员 ")) (account_link(&view.enrolled_by)) },
    };
    let mut all = vec![
        (
            visit.say("Name", "名称"),
            html! { (view.account.name) " " (state(lang, view)) p.hint.soft.small { (visit.say(
                "an account's name is its own word; the address is what counts",
                "名称由账户自行填写，以地址为准",
            )) } },
        ),
        (visit.say("Address", "地址"), html! { span.mono { (view.address) } }),
        (visit.say("DID", "DID"), html! { span.mono { (view.account.did()) } }),
        (visit.say("Verifies signatures", "签名公钥"), html! { span.mono { (view.account.verify_key) } }),
        (visit.say("Encrypts to it", "加密公钥"), html! { span.mono { (view.account.encryption_key) } }),
        (
            visit.say("Enrolled by", "开立者"),
            html! { (enrolled) " · " (visit.say("block ", "区块 ")) (block_link(view.height)) },
        ),
        (
            visit.say("Behind the name", "真实身份"),
            html! { (match view.identity.is_empty() {
                true => visit.say("the name is the real one", "名称即真实名称"),
                false => visit.say("sealed to the auditor", "已密封给审计方"),
            }) },
        ),
    ];
    if let Some(closed) = view.closed {
        all.push((visit.say("Closed", "关闭"), html! { (visit.say("block ", "区块 ")) (block_link(closed)) }));
    }
    if let Some(successor) = &view.successor {
        all.push((visit.say("Successor", "继任账户"), account_link(successor)));
    }
    facts(&all)
}
