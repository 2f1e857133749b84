//! One transaction: what it did, what came of it, and the receipt that shows it to others.

use std::sync::Arc;

use maud::{Markup, html};
use sealgate_circuits::schema::Schema;
use sealgate_ledger::block::{EntryBody, Outcome};
use sealgate_ledger::ids::TxHash;
use sealgate_ledger::state::RequestView;
use sealgate_ledger::tx::{SignedTx, TxBody};

use super::super::page::{Check, Page, Tone, card, count, facts, notice, time};
use super::super::requester::checks;
use super::super::{Answer, Console, Fault, Reply, Visit, in_turn};
use super::source::Source;
use super::{account_link, acts, block_link, checked, page, search};
use crate::receipt::{Receipt, ReceiptError, fetch, of_ledger};

/// A transaction's receipt, checked where this is a home.
struct Held {
    receipt: Receipt,
    checks: Vec<Check>,
}

async fn held(source: &Source<'_>, visit: &Visit, hash: &TxHash) -> Result<Option<Held>, Fault> {
    match source {
        Source::Own(gateway) => {
            let (ledger, hash) = (gateway.ledger().clone(), *hash);
            let receipt = in_turn(gateway, move || Ok(of_ledger(&ledger, &hash)?)).await?;
            Ok(receipt.map(|receipt| Held { receipt, checks: Vec::new() }))
        }
        Source::Far(session) => match fetch(session, hash).await {
            Ok((receipt, shown)) => Ok(Some(Held { receipt, checks: checks::receipt(visit.lang, &shown) })),
            Err(ReceiptError::Unknown(_)) => Ok(None),
            Err(ReceiptError::Session(error)) => Err(checks::fault(visit.lang, &error)),
            Err(ReceiptError::Client(error)) => Err(checks::fault(visit.lang, &error.into())),
            Err(error) => Err(super::source::lie(visit.lang, &error)),
        },
    }
}

/// The page of a transaction.
pub(super) async fn page_of(console: &Arc<Console>, visit: &Visit, hash: &TxHash) -> Result<Option<Page>, Fault> {
    let lang = visit.lang;
    let source = Source::open(console, lang).await?;
    let Some(Held { receipt, checks }) = held(&source, visit, hash).await? else { return Ok(None) };
    let EntryBody::Transaction { tx, outcome } = &receipt.entry.entry.body else { return Err(Fault::NotFound) };
    let height = receipt.entry.entry.height;
    let exact = receipt.headers.first().filter(|header| header.height == height);
    let when = match exact {
        Some(header) => time(header.time_ms),
        None => receipt
            .headers
            .last()
            .map_or_else(String::new, |header| lang.fill("not later than {}", "不晚于 {}", &[&time(header.time_ms)])),
    };
    let schema = schema_of(&source, visit, &tx.tx.body).await;
    let what = facts(&[
        (visit.say("What", "内容"), html! { strong { (acts::kind(lang, &tx.tx.body)) } }),
        (visit.say("Outcome", "结果"), acts::outcome_told(lang, outcome, &tx.tx.body, schema.as_ref())),
        (visit.say("Sender", "发送方"), sender(&source, visit, tx).await),
        (visit.say("Block", "区块"), html! { (block_link(height)) " · " (when) }),
        (visit.say("Entry", "条目"), html! { (count(receipt.entry.entry_index)) }),
        (visit.say("Hash", "哈希"), html! { span.mono { (hash) } }),
    ]);
    let mut all = source.ground(lang);
    all.extend(checks);
    let body = html! {
        (card(visit.say("Transaction", "交易"), what))
        (card(visit.say("Particulars", "详细内容"), facts(&acts::particulars(lang, &tx.tx.body, schema.as_ref()))))
        (became(&source, visit, hash, (&tx.tx.body, outcome)).await?)
        (card(visit.say("Receipt", "回执"), receipt_told(visit, hash, &receipt)))
        (checked(visit, &all))
    };
    Ok(Some(page(visit, visit.say("Transaction", "交易"), body)))
}

/// The page of a transaction, or what else to look for.
pub(super) async fn page_or_not(console: &Arc<Console>, visit: &Visit, hash: &str) -> Answer {
    let hash: TxHash = hash.parse().map_err(|_| Fault::NotFound)?;
    match page_of(console, visit, &hash).await? {
        Some(page) => Ok(page.into()),
        None => Ok(search::nothing(visit, &hash.to_string()).into()),
    }
}

/// The receipt as a file, which 'sealgate verify-receipt' checks anywhere.
pub(super) async fn receipt(console: &Arc<Console>, visit: &Visit, hash: &str) -> Answer {
    let hash: TxHash = hash.parse().map_err(|_| Fault::NotFound)?;
    let source = Source::open(console, visit.lang).await?;
    let held = held(&source, visit, &hash).await?.ok_or(Fault::NotFound)?;
    let content = held.receipt.to_bytes().map_err(Fault::failed)?;
    let name = format!("receipt-{}.json", hash.to_string().get(..12).unwrap_or_default());
    Ok(Reply::Download { name, kind: "application/json", content })
}

/// The schema of the asset that a transaction is about, to name its columns. Names of columns only:
/// what was checked says whose word they are.
async fn schema_of(source: &Source<'_>, visit: &Visit, body: &TxBody) -> Option<Schema> {
    let id = match body {
        TxBody::Grant { asset, .. } | TxBody::Request { asset, .. } | TxBody::RequestWhole { asset, .. } => asset,
        _ => return None,
    };
    // Proven at a home, where it can be had.
    source.contract(visit.lang, id).await.ok()?.value.map(|(contract, _)| contract.asset.schema)
}

async fn sender(source: &Source<'_>, visit: &Visit, tx: &SignedTx) -> Markup {
    let name = source.name(visit.lang, &tx.tx.sender).await.map(|account| account.name);
    html! { @if let Some(name) = name { (name) " " } (account_link(&tx.tx.sender)) }
}

/// What became of a request.
async fn became(
    source: &Source<'_>,
    visit: &Visit,
    hash: &TxHash,
    (body, outcome): (&TxBody, &Outcome),
) -> Result<Markup, Fault> {
    let is_request =
        matches!(body, TxBody::Request { .. } | TxBody::RequestWhole { .. } | TxBody::RequestSample { .. });
    // Of a denial nothing more came.
    if !is_request || matches!(outcome, Outcome::Denied { .. }) {
        return Ok(html! {});
    }
    let view: Option<RequestView> = match source {
        Source::Own(gateway) => {
            let (ledger, hash) = (gateway.ledger().clone(), *hash);
            in_turn(gateway, move || Ok(ledger.request(&hash)?)).await?
        }
        Source::Far(session) => {
            session.client.request(hash).await.map_err(|error| checks::fault(visit.lang, &error.into()))?
        }
    };
    let Some(view) = view else { return Ok(html! {}) };
    let word = if source.is_own() {
        html! {}
    } else {
        html! {
            p.hint.soft.small { (visit.say(
                "This line is the gateway's word; the transaction that it names can be checked by itself.",
                "此项为网关所述；其中所列交易可单独核查。",
            )) }
        }
    };
    Ok(card(
        visit.say("What became of it", "后续结果"),
        html! { (super::requests::status(visit.lang, &view.status)) (word) },
    ))
}

fn receipt_told(visit: &Visit, hash: &TxHash, receipt: &Receipt) -> Markup {
    let size = receipt.headers.last().map_or(0, |header| header.tree_size);
    html! {
        p { (visit.say(
            "A receipt shows anybody, offline, that this transaction and its outcome stand on the ledger.",
            "回执可离线向任何人证明该交易及其结果确在账本上。",
        )) }
        p.actions {
            a.button href=(format!("/console/explorer/transactions/{hash}/receipt.json")) { (visit.say("Download the receipt", "下载回执")) }
        }
        p.soft.small { (visit.say("Whoever gets it runs", "收到者运行")) " " code { "sealgate verify-receipt --home DIR FILE" } }
        details {
            summary { (visit.say("Inclusion proof", "包含证明")) }
            (facts(&[
                (visit.say("Leaf", "叶"), html! { span.mono { (receipt.entry.entry.leaf()) } }),
                (visit.say("Position", "位置"), html! { (count(receipt.entry.entry_index)) " / " (count(size)) }),
                (visit.say("Path, from the leaf up", "路径（自叶向上）"), html! {
                    ol.plain-list { @for node in &receipt.entry.path { li.mono { (node) } } }
                }),
            ]))
        }
        @if receipt.headers.first().is_some_and(|header| header.height != receipt.entry.entry.height) {
            (notice(Tone::Info, html! { p { (visit.say(
                "The transaction is old: its receipt holds the newest header alone, and shows that it is not later than that.",
                "该交易较早：其回执仅含最新区块头，只能表明交易不晚于该时间。",
            )) } }))
        }
    }
}
