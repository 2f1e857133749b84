//! The owner's desk: what was published, who may ask what of it, and who asked.

use std::sync::Arc;

use maud::html;

use super::page::{Page, card, count, short, table};
use super::{Answer, Console, Desk, Fault, Visit, blocking};
use crate::gateway::Gateway;

pub(super) const PAGES: &[(&str, &str, &str)] = &[("/console/owner", "Assets", "资产")];

pub(super) async fn answer(_console: &Arc<Console>, gateway: &Arc<Gateway>, visit: &Visit) -> Answer {
    match (visit.parts().as_slice(), visit.is_post) {
        (["owner"], false) => assets(gateway, visit).await,
        _ => Err(Fault::NotFound),
    }
}

async fn assets(gateway: &Arc<Gateway>, visit: &Visit) -> Answer {
    let state = gateway.clone();
    let assets = blocking(move || Ok(state.ledger().assets()?)).await?;
    let own = gateway.owner().account().address();
    let rows: Vec<_> = assets
        .iter()
        .filter(|asset| asset.owner == own)
        .map(|asset| {
            vec![html! { (asset.name) }, html! { (count(u64::from(asset.current))) }, short(&asset.id.to_string())]
        })
        .collect();
    let headings = [visit.say("Name", "名称"), visit.say("Version", "版本"), visit.say("Asset", "资产")];
    let list = table(&headings, &rows, visit.say("Nothing has been published yet.", "尚未发布任何资产。"));
    Ok(Page::new(Desk::Owner, visit.say("Assets", "资产"), card(visit.say("Published", "已发布"), list)).into())
}
