//! The block explorer, for everybody: blocks, transactions, accounts.

use std::sync::Arc;

use maud::html;
use sealgate_ledger::block::Block;
use sealgate_ledger::ids::BlockHeight;

use super::page::{Page, card, count, short, table, time};
use super::{Answer, Console, Desk, Fault, Place, Visit, blocking};

pub(super) const PAGES: &[(&str, &str, &str)] = &[("/console/explorer", "Blocks", "区块")];

/// Blocks on one page.
const BLOCKS_SHOWN: u64 = 25;

pub(super) async fn answer(console: &Arc<Console>, visit: &Visit) -> Answer {
    match (visit.parts().as_slice(), visit.is_post) {
        (["explorer"], false) => newest(console, visit).await,
        _ => Err(Fault::NotFound),
    }
}

async fn newest(console: &Arc<Console>, visit: &Visit) -> Answer {
    let blocks = blocks(console).await?;
    let rows: Vec<_> = blocks
        .iter()
        .rev()
        .map(|block| {
            vec![
                html! { (count(block.header.height.0)) },
                html! { (time(block.header.time_ms)) },
                html! { (block.entries.len()) },
                short(&block.header.hash().to_string()),
            ]
        })
        .collect();
    let headings = [
        visit.say("Height", "高度"),
        visit.say("Time", "时间"),
        visit.say("Entries", "条目"),
        visit.say("Hash", "哈希"),
    ];
    let list = table(&headings, &rows, visit.say("No blocks.", "没有区块。"));
    Ok(Page::new(Desk::Explorer, visit.say("Blocks", "区块"), card(visit.say("Newest blocks", "最新区块"), list))
        .into())
}

async fn blocks(console: &Arc<Console>) -> Result<Vec<Block>, Fault> {
    match &console.place {
        Place::Gateway(gateway) => {
            let gateway = gateway.clone();
            blocking(move || {
                let head = gateway.ledger().head().height.0;
                let heights = head.saturating_sub(BLOCKS_SHOWN - 1)..=head;
                Ok(heights.map(|h| gateway.ledger().block(BlockHeight(h))).collect::<Result<_, _>>()?)
            })
            .await
        }
        Place::Home(place) => {
            let head = place.client.head().await.map_err(Fault::failed)?.header.height.0;
            let from = BlockHeight(head.saturating_sub(BLOCKS_SHOWN - 1));
            place.client.blocks(from).await.map_err(Fault::failed)
        }
    }
}
