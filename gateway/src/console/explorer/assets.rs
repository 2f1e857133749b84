//! Assets: a list, and one with its list of grants, which everybody may read.

use std::sync::Arc;

use maud::{Markup, html};
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::state::{ContractView, GrantView};
use sealgate_ledger::tx::TABLE;

use super::super::page::{Tone, card, count, facts, next_page, notice, short, table};
use super::super::telling;
use super::super::{Answer, Console, Fault, Visit};
use super::accounts::said;
use super::source::{Source, Stands, proven};
use super::{account_link, acts, asset_link, block_link, checked, page, search, transaction_link};
use crate::catalogue::{Search, sort};

/// Assets on one page.
const ASSETS_SHOWN: usize = 50;
/// Lines of a list of grants that are shown.
const GRANTS_SHOWN: usize = 100;

/// Assets by id, each page by name.
pub(super) async fn list(console: &Arc<Console>, visit: &Visit) -> Answer {
    let lang = visit.lang;
    let source = Source::open(console, lang).await?;
    let after = visit.query.get("after").parse::<AssetId>().ok();
    let found = source.catalogue(lang, &Search::default(), after, ASSETS_SHOWN).await?;
    let next = found.next.map(|next| format!("/console/explorer/assets?after={next}"));
    let mut assets = found.assets;
    sort(&mut assets);
    let rows: Vec<Vec<Markup>> = assets
        .iter()
        .map(|listed| {
            let asset = &listed.asset;
            vec![
                html! { a href=(format!("/console/explorer/assets/{}", asset.id)) { (asset.name) } },
                html! { (asset.title) },
                html! { (listed.owner.name) " " (account_link(&asset.owner)) },
                html! { (asset.current) },
                asset_link(&asset.id),
            ]
        })
        .collect();
    let headings = [
        visit.say("Name", "名称"),
        visit.say("Title", "标题"),
        visit.say("Owner", "数据提供方"),
        visit.say("Version", "版本"),
        visit.say("Asset", "资产"),
    ];
    let mut checks = source.ground(lang);
    checks.extend(said(&source, lang));
    let list = html! {
        (table(&headings, &rows, visit.say("No assets.", "没有资产。")))
        (next_page(lang, next.as_deref()))
    };
    let body = html! { (card(visit.say("Registered assets", "已登记资产"), list)) (checked(visit, &checks)) };
    Ok(page(visit, visit.say("Assets", "资产"), body).into())
}

/// One asset.
pub(super) async fn page_of(console: &Arc<Console>, visit: &Visit, id: &AssetId) -> Result<Option<super::Page>, Fault> {
    let lang = visit.lang;
    let source = Source::open(console, lang).await?;
    let Stands { value, as_of } = source.contract(lang, id).await?;
    let Some((contract, grants)) = value else { return Ok(None) };
    let owner = source.name(lang, &contract.asset.owner).await.map(|account| account.name);
    let mut checks = source.ground(lang);
    checks.extend(proven(lang, as_of.as_ref()));
    let body = html! {
        @if contract.asset.withdrawn.is_some() {
            (notice(Tone::Warn, html! { p { (visit.say("This asset was withdrawn.", "该资产已被撤下。")) } }))
        }
        (card(visit.say("Contract", "合约"), contract_told(visit, &contract, owner.as_deref())))
        @if contract.asset.data_type == TABLE { (card(visit.say("Columns", "字段"), columns(visit, &contract))) }
        (card(visit.say("Who may ask what", "授权列表"), list_of(visit, &contract, &grants)))
        (checked(visit, &checks))
    };
    Ok(Some(page(visit, contract.asset.name.clone(), body)))
}

/// One asset, or what else to look for.
pub(super) async fn page_or_not(console: &Arc<Console>, visit: &Visit, id: &str) -> Answer {
    let parsed: AssetId = id.parse().map_err(|_| Fault::NotFound)?;
    match page_of(console, visit, &parsed).await? {
        Some(page) => Ok(page.into()),
        None => Ok(search::nothing(visit, id).into()),
    }
}

fn contract_told(visit: &Visit, contract: &ContractView, owner: Option<&str>) -> Markup {
    let (asset, version) = (&contract.asset, &contract.version);
    let up_to = visit.lang.fill("up to {}", "至多 {}", &[&count(version.info.records_rounded)]);
    let mut all = vec![
        (visit.say("Title", "标题"), html! { (asset.title) }),
        (visit.say("Description", "说明"), html! { (asset.description) }),
        (
            visit.say("Owner", "数据提供方"),
            html! { @if let Some(owner) = owner { (owner) " " } (account_link(&asset.owner)) },
        ),
        (visit.say("Asset", "资产"), html! { span.mono { (asset.id) } }),
        (visit.say("Data type", "数据类型"), html! { (telling::data_type(visit.lang, &asset.data_type)) }),
        (visit.say("Registered", "登记"), html! { (visit.say("block ", "区块 ")) (block_link(asset.height)) }),
        (
            visit.say("Version", "版本"),
            html! { (asset.current) " · " (visit.say("block ", "区块 ")) (block_link(version.height)) },
        ),
        (visit.say("Root", "树根"), html! { span.mono { (version.info.root) } }),
    ];
    if asset.data_type == TABLE {
        all.push((visit.say("Records", "记录"), html! { (up_to) }));
    }
    if !asset.handed.is_empty() {
        all.push((
            visit.say("Handed on", "转让"),
            html! { (visit.lang.fill("{} [time|times]", "{} 次", &[&asset.handed.len()])) },
        ));
    }
    facts(&all)
}

/// The columns of a table.
pub(crate) fn columns(visit: &Visit, contract: &ContractView) -> Markup {
    let lang = visit.lang;
    let schema = &contract.asset.schema;
    let yes = |is: bool| {
        if is {
            html! { (lang.say("yes", "是")) }
        } else {
            html! { "—" }
        }
    };
    let rows: Vec<Vec<Markup>> = schema
        .columns
        .iter()
        .zip(0u8..)
        .map(|(column, at)| {
            let budget = contract.asset.budgets.get(usize::from(at)).map_or_else(|| "—".into(), ToString::to_string);
            vec![
                html! { (column.name) @if schema.key.contains(&at) { " " span.badge.info { (lang.say("key", "主键")) } } },
                html! { (telling::kind(lang, column.kind)) },
                yes(column.allowed.disclose),
                yes(column.allowed.prove),
                html! { (budget) },
            ]
        })
        .collect();
    let headings = [
        lang.say("Column", "字段"),
        lang.say("Type", "类型"),
        lang.say("Shown", "可披露"),
        lang.say("Proven about", "可证明"),
        lang.say("Budget, bits", "预算（比特）"),
    ];
    table(&headings, &rows, "")
}

fn list_of(visit: &Visit, contract: &ContractView, grants: &[GrantView]) -> Markup {
    let lang = visit.lang;
    html! {
        @if grants.is_empty() { p.empty { (visit.say("Nobody may ask.", "无人获得授权。")) } }
        @for grant in grants.iter().take(GRANTS_SHOWN) {
            details {
                summary {
                    (short(&grant.to.to_string())) " · " (visit.say("since block ", "自区块 ")) (grant.height)
                }
                p { (account_link(&grant.to)) " · " (visit.say("granted by ", "授权交易 ")) (transaction_link(&grant.granted_by)) }
                (facts(&acts::terms_told(lang, &grant.terms, Some(&contract.asset.schema))))
            }
        }
        @if grants.len() > GRANTS_SHOWN {
            p.soft { (lang.fill("{} more are not shown here.", "另有 {} 条未显示。", &[&(grants.len() - GRANTS_SHOWN)])) }
        }
    }
}
