//! The block explorer, for everybody: blocks, transactions, accounts, assets
//! (docs/spec/console.md#explorer). Nothing is shown but what is on the ledger anyway.

use std::sync::Arc;

use maud::{Markup, html};

use super::page::{Check, Page, card, checklist};
use super::{Answer, Console, Desk, Fault, Visit};

mod accounts;
mod acts;
mod assets;
mod blocks;
mod requests;
mod search;
pub(super) mod source;
mod transactions;

pub(super) use assets::columns;

pub(super) const PAGES: &[(&str, &str, &str)] = &[
    ("/console/explorer", "Blocks", "区块"),
    ("/console/explorer/accounts", "Accounts", "账户"),
    ("/console/explorer/assets", "Assets", "资产"),
];

pub(super) async fn answer(console: &Arc<Console>, visit: &Visit) -> Answer {
    if visit.is_post {
        return Err(Fault::NotFound);
    }
    match visit.parts().as_slice() {
        ["explorer"] => blocks::newest(console, visit).await,
        ["explorer", "blocks", height] => blocks::block(console, visit, height).await,
        ["explorer", "transactions", hash] => transactions::page_or_not(console, visit, hash).await,
        ["explorer", "transactions", hash, "receipt.json"] => transactions::receipt(console, visit, hash).await,
        ["explorer", "accounts"] => accounts::list(console, visit).await,
        ["explorer", "accounts", address] => accounts::page_or_not(console, visit, address).await,
        ["explorer", "assets"] => assets::list(console, visit).await,
        ["explorer", "assets", id] => assets::page_or_not(console, visit, id).await,
        ["explorer", "search"] => search::answer(console, visit).await,
        _ => Err(Fault::NotFound),
    }
}

/// A page of the explorer: above everything the field to search in.
fn page(visit: &Visit, title: impl Into<String>, body: Markup) -> Page {
    let body = html! { (search::field(visit, "")) (body) };
    Page::new(Desk::Explorer, title, body)
}

/// What was checked of a page, and what was not.
fn checked(visit: &Visit, checks: &[Check]) -> Markup {
    card(visit.say("What was checked", "已核查的内容"), checklist(checks))
}

/// A link to a block.
pub(super) fn block_link(height: sealgate_ledger::ids::BlockHeight) -> Markup {
    html! { a href=(format!("/console/explorer/blocks/{height}")) { (super::page::count(height.0)) } }
}

/// A block, named and linked to.
pub(super) fn in_block(lang: super::words::Lang, height: sealgate_ledger::ids::BlockHeight) -> Markup {
    html! { (lang.say("block ", "区块 ")) (block_link(height)) }
}

/// A link to a transaction.
pub(super) fn transaction_link(hash: &sealgate_ledger::ids::TxHash) -> Markup {
    html! { a href=(format!("/console/explorer/transactions/{hash}")) { (super::page::short(&hash.to_string())) } }
}

/// Where an account is shown.
pub(super) fn account_path(address: &sealgate_ledger::ids::Address) -> String {
    format!("/console/explorer/accounts/{address}")
}

/// A link to an account.
pub(super) fn account_link(address: &sealgate_ledger::ids::Address) -> Markup {
    html! { a href=(account_path(address)) { (super::page::short(&address.to_string())) } }
}

/// A link to an asset.
pub(super) fn asset_link(id: &sealgate_ledger::ids::AssetId) -> Markup {
    html! { a href=(format!("/console/explorer/assets/{id}")) { (super::page::short(&id.to_string())) } }
}
