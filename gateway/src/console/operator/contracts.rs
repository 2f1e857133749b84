//! The contracts: every asset on the ledger, whose it is and how it stands.

use maud::html;
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::state::AssetView;

use super::Office;
use crate::console::page::{Tone, badge, card, next_page, table};
use crate::console::{Answer, explorer, in_turn, telling};

/// Contracts on one page.
const SHOWN: usize = 100;

pub(super) async fn show(office: &Office<'_>) -> Answer {
    let visit = office.visit;
    let after: Option<AssetId> = visit.query.get("after").parse().ok();
    let state = office.gateway.clone();
    let assets: Vec<(AssetView, String)> = in_turn(office.gateway, move || {
        let assets = state.ledger().assets_after(after.as_ref(), SHOWN)?;
        let owned = |asset: AssetView| {
            let owner = state.ledger().account(&asset.owner)?;
            Ok((asset, owner.map(|view| view.account.name).unwrap_or_default()))
        };
        assets.into_iter().map(owned).collect()
    })
    .await?;
    let headings = [
        visit.say("Name", "名称"),
        visit.say("Title", "标题"),
        visit.say("Owner", "数据提供方"),
        visit.say("Type", "类型"),
        visit.say("Version", "版本"),
        visit.say("Registered in", "注册区块"),
        visit.say("State", "状态"),
        visit.say("Id", "标识"),
    ];
    let row = |(asset, owner): &(AssetView, String)| {
        let state = match asset.withdrawn {
            Some(height) => badge(Tone::Bad, &visit.lang.fill("withdrawn in block {}", "已于区块 {} 撤回", &[&height])),
            None => badge(Tone::Good, visit.say("in force", "有效")),
        };
        vec![
            html! { (asset.name) },
            html! { (asset.title) },
            html! { (owner) " " (explorer::account_link(&asset.owner)) },
            html! { (telling::data_type(visit.lang, &asset.data_type)) },
            html! { (asset.current) },
            explorer::block_link(asset.height),
            state,
            explorer::asset_link(&asset.id),
        ]
    };
    let rows: Vec<_> = assets.iter().map(row).collect();
    let last = assets.last().filter(|_| assets.len() == SHOWN);
    let next = last.map(|(asset, _)| format!("/console/operator/contracts?after={}", asset.id));
    let body = html! {
        (card(visit.say("Assets on the ledger", "账本上的资产"), html! {
            (table(&headings, &rows, visit.say("Nothing is published yet.", "尚未发布任何资产。")))
            (next_page(visit.lang, next.as_deref()))
        }))
        @if office.is_member() { p { a.button.plain href="/console/operator/proposals/new/withdraw" { (visit.say("Propose to withdraw one", "提议撤回资产")) } } }
    };
    Ok(office.page(visit.say("Contracts", "合约"), body).into())
}
