//! The operator's desk: the ledger's members, what they decide, and how nodes are.

use std::sync::Arc;

use maud::html;

use super::page::{Page, card, short, table};
use super::{Answer, Console, Desk, Fault, Visit, blocking};
use crate::client::Governance;
use crate::gateway::Gateway;

pub(super) const PAGES: &[(&str, &str, &str)] = &[("/console/operator", "Members", "成员")];

pub(super) async fn answer(_console: &Arc<Console>, gateway: &Arc<Gateway>, visit: &Visit) -> Answer {
    match (visit.parts().as_slice(), visit.is_post) {
        (["operator"], false) => members(gateway, visit).await,
        _ => Err(Fault::NotFound),
    }
}

async fn members(gateway: &Arc<Gateway>, visit: &Visit) -> Answer {
    let state = gateway.clone();
    let governance = blocking(move || Ok(Governance::of(state.ledger())?)).await?;
    let rows: Vec<_> = governance
        .members
        .members
        .iter()
        .map(|member| vec![html! { (member.account.name) }, short(&member.account.address().to_string())])
        .collect();
    let headings = [visit.say("Name", "名称"), visit.say("Operator", "运维账户")];
    let list = table(&headings, &rows, visit.say("No members.", "没有成员。"));
    Ok(Page::new(
        Desk::Operator,
        visit.say("Members", "成员"),
        card(visit.say("Members of the ledger", "账本成员"), list),
    )
    .into())
}
