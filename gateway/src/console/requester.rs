//! The requester's desk: what can be asked, questions, and answers that were verified here.

use std::sync::Arc;

use maud::html;

use super::page::{Page, card, short, table};
use super::{Answer, Console, Desk, Fault, HomePlace, Visit};
use crate::catalogue::Search;

pub(super) const PAGES: &[(&str, &str, &str)] = &[("/console/requester", "Catalogue", "资源目录")];

pub(super) async fn answer(_console: &Arc<Console>, place: &HomePlace, visit: &Visit) -> Answer {
    match (visit.parts().as_slice(), visit.is_post) {
        (["requester"], false) => catalogue(place, visit).await,
        _ => Err(Fault::NotFound),
    }
}

async fn catalogue(place: &HomePlace, visit: &Visit) -> Answer {
    let (listed, _) = place.client.catalogue(&Search::default()).await.map_err(Fault::failed)?;
    let rows: Vec<_> =
        listed.iter().map(|listed| vec![html! { (listed.asset.name) }, short(&listed.asset.id.to_string())]).collect();
    let headings = [visit.say("Name", "名称"), visit.say("Asset", "资产")];
    let list = table(&headings, &rows, visit.say("No asset matches.", "没有匹配的资产。"));
    Ok(Page::new(Desk::Requester, visit.say("Catalogue", "资源目录"), card(visit.say("Assets", "资产"), list)).into())
}
