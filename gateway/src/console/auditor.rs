//! The auditor's desk: who asked what, whether it is complete and unaltered, and what stands out.

use std::sync::Arc;

use maud::html;

use super::page::{Page, card, facts};
use super::{Answer, Console, Desk, Fault, HomePlace, Visit};

pub(super) const PAGES: &[(&str, &str, &str)] = &[("/console/auditor", "Overview", "概览")];

pub(super) async fn answer(_console: &Arc<Console>, place: &HomePlace, visit: &Visit) -> Answer {
    match (visit.parts().as_slice(), visit.is_post) {
        (["auditor"], false) => overview(place, visit).await,
        _ => Err(Fault::NotFound),
    }
}

async fn overview(place: &HomePlace, visit: &Visit) -> Answer {
    let head = place.client.head().await.map_err(Fault::failed)?;
    let list = facts(&[(visit.say("Height", "高度"), html! { (head.header.height.0) })]);
    Ok(Page::new(Desk::Auditor, visit.say("Overview", "概览"), card(visit.say("Ledger", "账本"), list)).into())
}
