//! Search: by height, hash, address, id or name.

use std::sync::Arc;

use maud::{Markup, html};
use sealgate_ledger::ids::{Address, AssetId, BlockHash, BlockHeight, TxHash};

use super::super::page::{Page, Tone, card, encoded, notice, table};
use super::super::{Answer, Console, Desk, Fault, Reply, Visit};
use super::source::Source;
use super::{account_link, accounts, asset_link, checked, page};
use crate::catalogue::{SEARCH_BYTES_MAX, Search};
use crate::naming::Who;

/// Blocks that are looked through for a block's hash.
const HASH_BLOCKS: u64 = 512;
/// Assets that are shown.
const FOUND_MAX: usize = 50;
/// Accounts that are looked through for a name at once, and how often.
const ACCOUNTS_AT_ONCE: usize = 500;
const ACCOUNT_PAGES_MAX: usize = 20;

/// The field to search in.
pub(super) fn field(visit: &Visit, value: &str) -> Markup {
    html! {
        form.search method="get" action="/console/explorer/search" role="search" {
            label for="q" { (visit.say("Search", "搜索")) }
            input type="search" id="q" name="q" value=(value) autocomplete="off"
                placeholder=(visit.say("height, hash, address, asset or name", "区块高度、哈希、地址、资产或名称"));
            button type="submit" { (visit.say("Find", "查找")) }
        }
    }
}

/// Finds what was typed, or says what can be found.
pub(super) async fn answer(console: &Arc<Console>, visit: &Visit) -> Answer {
    let wanted = visit.query.get("q");
    if wanted.is_empty() {
        return Ok(Reply::SeeOther("/console/explorer".into()));
    }
    if wanted.len() > SEARCH_BYTES_MAX {
        return Ok(nothing(visit, &wanted.chars().take(100).collect::<String>()).into());
    }
    let lang = visit.lang;
    let source = Source::open(console, lang).await?;
    let lower = wanted.to_lowercase();
    if lower.parse::<Address>().is_ok() {
        return Ok(Reply::SeeOther(format!("/console/explorer/accounts/{lower}")));
    }
    if lower.parse::<AssetId>().is_ok() {
        return Ok(Reply::SeeOther(format!("/console/explorer/assets/{lower}")));
    }
    if let Ok(hash) = lower.parse::<TxHash>() {
        if let Some(height) = block_with(&source, visit, BlockHash(hash.0)).await? {
            return Ok(Reply::SeeOther(format!("/console/explorer/blocks/{height}")));
        }
        return Ok(Reply::SeeOther(format!("/console/explorer/transactions/{lower}")));
    }
    let digits: String = wanted.chars().filter(|c| !matches!(c, ' ' | ',' | '\u{202f}' | '\u{a0}')).collect();
    if let Ok(height) = digits.parse::<u64>()
        && height <= source.head().height.0
    {
        return Ok(Reply::SeeOther(format!("/console/explorer/blocks/{height}")));
    }
    by_name(&source, visit, wanted).await
}

/// The height of one of the newest blocks with this hash.
async fn block_with(source: &Source<'_>, visit: &Visit, hash: BlockHash) -> Result<Option<BlockHeight>, Fault> {
    let head = source.head().height.0;
    let from = head.saturating_sub(HASH_BLOCKS - 1);
    let look = source.look_through(visit.lang, BlockHeight(from), head - from + 1, move |block, found| {
        found.extend((block.header.hash() == hash).then_some(block.header.height));
    });
    Ok(look.await?.kept.into_iter().next())
}

async fn by_name(source: &Source<'_>, visit: &Visit, wanted: &str) -> Answer {
    let lang = visit.lang;
    let search = Search { search: Some(wanted.to_owned()), ..Search::default() };
    let assets = source.catalogue(lang, &search, None, FOUND_MAX).await?.assets;
    let who: Who = wanted.parse().unwrap_or_else(|never| match never {});
    let lower = wanted.to_lowercase();
    let mut found = Vec::new();
    let mut after = None;
    for _ in 0..ACCOUNT_PAGES_MAX {
        let page = source.accounts(lang, after, ACCOUNTS_AT_ONCE).await?;
        after = page.last().map(|last| last.address);
        let full = page.len() == ACCOUNTS_AT_ONCE;
        let named = |account: &sealgate_ledger::account::AccountPublic| {
            who.is(account) || account.name.to_lowercase().contains(&lower)
        };
        found.extend(page.into_iter().filter(|view| named(&view.account)));
        if !full || found.len() >= FOUND_MAX {
            break;
        }
    }
    if assets.is_empty() && found.is_empty() {
        return Ok(nothing(visit, wanted).into());
    }
    let people: Vec<Vec<Markup>> = found
        .iter()
        .take(FOUND_MAX)
        .map(|view| vec![html! { (view.account.name) }, account_link(&view.address)])
        .collect();
    let things: Vec<Vec<Markup>> = assets
        .iter()
        .map(|one| {
            vec![
                html! { (one.asset.name) },
                html! { (one.asset.title) },
                html! { (one.owner.name) },
                asset_link(&one.asset.id),
            ]
        })
        .collect();
    let mut checks = source.ground(lang);
    checks.extend(accounts::said(source, lang));
    let (name, title) = (visit.say("Name", "名称"), visit.say("Title", "标题"));
    let body = html! {
        @if !things.is_empty() {
            (card(visit.say("Assets", "资产"), table(&[name, title, visit.say("Owner", "数据提供方"), visit.say("Asset", "资产")], &things, "")))
        }
        @if !people.is_empty() {
            (card(visit.say("Accounts", "账户"), table(&[name, visit.say("Address", "地址")], &people, "")))
        }
        (checked(visit, &checks))
    };
    Ok(page(visit, lang.fill("Found for “{}”", "“{}”的搜索结果", &[&wanted]), body).into())
}

/// That nothing was found, and what can be.
pub(super) fn nothing(visit: &Visit, wanted: &str) -> Page {
    let body = html! {
        (field(visit, wanted))
        (notice(Tone::Warn, html! { p { (visit.lang.fill(
            "Nothing on this ledger is found by “{}”.",
            "账本上未找到“{}”。",
            &[&wanted],
        )) } }))
        section.card {
            h2 { (visit.say("What can be looked for", "可搜索的内容")) }
            ul {
                li { (visit.say("a block by its height: ", "区块高度：")) code { "0" } }
                li { (visit.say("a transaction by its hash, or one of the newest 512 blocks by its own: 64 digits and letters a–f", "交易哈希，或最近 512 个区块的哈希：64 位十六进制字符")) }
                li { (visit.say("an account by its address, DID or name: ", "账户的地址、DID 或名称：")) code { "sg1…" } " " code { "did:key:…" } }
                li { (visit.say("an asset by its id, or words of its name, title, description or columns: ", "资产编号，或其名称、标题、说明、字段中的词语：")) code { "asset1…" } }
            }
            p.soft { (visit.say(
                "A transaction is on the ledger only once a block holds it. What was refused before that is not recorded, and is not found.",
                "只有被区块收录的交易才在账本上；此前被拒收的交易不会被记录，也无法找到。",
            )) }
            p { a href=(format!("/console/explorer/search?q={}", encoded(wanted))) { (visit.say("Look again", "重新查找")) } }
        }
    };
    Page::new(Desk::Explorer, visit.say("Nothing found", "未找到"), body)
}
