//! The desk's first page, and the page of an asset.

use std::collections::BTreeMap;

use maud::{Markup, html};
use sealgate_circuits::schema::{Column, Schema};
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::state::{AssetView, GrantView, RequestView, VersionView};
use sealgate_ledger::tx::{FILE, TABLE};

use super::parts::{self, bits, crumbs, listing, person};
use super::requests::{self, Search};
use super::{At, People};
use crate::budget::FieldsTold;
use crate::console::page::{Page, Tone, badge, card, count, facts, figures, notice, short, time};
use crate::console::{Answer, Desk, telling};
use crate::owner::clock_ms;

const DAY_MS: u64 = 86_400_000;
/// Requests that are counted at most.
const COUNTED_MAX: usize = 10_000;
/// Versions and requests on an asset's page.
const VERSIONS_SHOWN: u32 = 20;
const REQUESTS_SHOWN: usize = 10;

/// What the first page says of an asset.
struct Row {
    asset: AssetView,
    records: u64,
    published_ms: u64,
    grants: usize,
}

pub(super) async fn overview(at: At<'_>) -> Answer {
    let assets = at.assets().await?;
    let own: Vec<AssetView> = assets.clone();
    let since_ms = clock_ms().saturating_sub(DAY_MS);
    let (rows, lately) = at
        .read(move |gateway| {
            let ledger = gateway.ledger();
            let mut rows = Vec::new();
            for asset in own {
                let version = ledger.version(&asset.id, asset.current)?;
                let published_ms = match &version {
                    Some(version) => ledger.block(version.height)?.header.time_ms,
                    None => 0,
                };
                let grants = ledger.grants(&asset.id)?.len();
                let records = version.map_or(0, |version| version.info.records_rounded);
                rows.push(Row { asset, records, published_ms, grants });
            }
            let is_own = |request: &RequestView| rows.iter().any(|row| row.asset.id == request.asset);
            let search = Search { since_ms, most: COUNTED_MAX, ..Search::default() };
            let mut lately: BTreeMap<AssetId, usize> = BTreeMap::new();
            for request in requests::newest(ledger, search, is_own)?.0 {
                *lately.entry(request.asset).or_default() += 1;
            }
            Ok((rows, lately))
        })
        .await?;
    let body = html! {
        (at.done().await?)
        @if rows.is_empty() { (first_steps(at)) } @else {
            (figures(&[
                (rows.iter().filter(|row| row.asset.withdrawn.is_none()).count() as u64, at.say("[asset|assets]", "资产")),
                (rows.iter().map(|row| row.grants).sum::<usize>() as u64, at.say("[grant|grants]", "授权")),
                (lately.values().sum::<usize>() as u64, at.say("[request|requests] in the last day", "近一日请求")),
            ]))
            section.card {
                h2 { (at.say("Published", "已发布")) }
                (overview_table(at, &rows, &lately))
                div.actions { a.button href="/console/owner/publish" { (at.say("Publish a table", "发布数据表")) }
                    a.button.plain href="/console/owner/grants/edit" { (at.say("New grant", "新建授权")) } }
            }
        }
    };
    Ok(Page::new(Desk::Owner, at.say("Assets", "资产"), body).into())
}

fn first_steps(at: At<'_>) -> Markup {
    html! {
        p.lead { (at.say("Nothing has been published yet. Three steps lead to the first answer:", "尚未发布任何资产。三步即可完成首次应答：")) }
        ol.plain-list {
            li { a href="/console/owner/publish" { (at.say("Publish a table", "发布数据表")) } ": "
                (at.say("you see beforehand what becomes public, and what stays sealed on this machine.", "可预先查看哪些内容将公开、哪些内容仍密封在本机。")) }
            li { a href="/console/owner/grants/edit" { (at.say("Grant", "授权")) } ": "
                (at.say("say who may ask what of it, and see what they could learn.", "指定谁可以查询什么，并查看其可能获知的内容。")) }
            li { a href="/console/owner/requests" { (at.say("Watch the requests", "查看请求")) } ": "
                (at.say("every one is on the ledger, granted or denied.", "每个请求无论获准与否都记入账本。")) }
        }
        p { a.button href="/console/owner/publish" { (at.say("Publish a table", "发布数据表")) } }
    }
}

fn overview_table(at: At<'_>, rows: &[Row], lately: &BTreeMap<AssetId, usize>) -> Markup {
    let row = |row: &Row| {
        let asset = &row.asset;
        vec![
            html! { (parts::asset_link(asset)) br; span.small.soft { (asset.title) } },
            html! { (count(u64::from(asset.current))) },
            html! { @if asset.data_type == TABLE { (at.say("up to ", "不超过 ")) (count(row.records)) } @else { (parts::kind(at.visit.lang, asset)) } },
            html! { (time(row.published_ms)) },
            html! { a href=(format!("/console/owner/grants?asset={}", asset.id)) { (row.grants) } },
            html! { a href=(format!("/console/owner/requests?asset={}", asset.id)) { (lately.get(&asset.id).copied().unwrap_or_default()) } },
            state(at, asset),
        ]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    let headings = [
        at.say("Asset", "资产"),
        at.say("Version", "版本"),
        at.say("Records", "记录数"),
        at.say("Last published", "最近发布"),
        at.say("Grants", "授权"),
        at.say("Requests in the last day", "近一日请求"),
        at.say("State", "状态"),
    ];
    listing(at.say("Published assets", "已发布资产"), &headings, &rows, "")
}

fn state(at: At<'_>, asset: &AssetView) -> Markup {
    match asset.withdrawn {
        Some(_) => badge(Tone::Warn, at.say("withdrawn", "已撤回")),
        None => badge(Tone::Good, at.say("published", "已发布")),
    }
}

pub(super) async fn one(at: At<'_>, id: &str) -> Answer {
    let detail = at.asset(id).await?;
    let (asset, people) = (detail.asset, at.people().await?);
    let of = asset.clone();
    let (versions, grants, (found, _), now_ms) = at
        .read(move |gateway| {
            let ledger = gateway.ledger();
            let first = of.current.saturating_sub(VERSIONS_SHOWN - 1).max(1);
            let mut versions = Vec::new();
            for number in (first..=of.current).rev() {
                if let Some(version) = ledger.version(&of.id, number)? {
                    let time_ms = ledger.block(version.height)?.header.time_ms;
                    versions.push((version, time_ms));
                }
            }
            let search = Search { asset: Some(&of.id), most: REQUESTS_SHOWN, ..Search::default() };
            let found = requests::newest(ledger, search, |_| true)?;
            Ok((versions, ledger.grants(&of.id)?, found, ledger.head().time_ms))
        })
        .await?;
    let told = at.gateway.told(&asset.id).await;
    let nobody = at.say("Nobody has asked anything of it yet.", "尚无任何查询请求。");
    let body = html! {
        (crumbs(at, &[("/console/owner", at.say("Assets", "资产"))], &asset.name))
        (at.done().await?)
        @if let Some(height) = asset.withdrawn { (notice(Tone::Warn, html! { p {
            (at.say("This asset was withdrawn in block ", "该资产已撤回，区块 ")) (parts::block(height)) (at.say(
                ": nothing of it is granted or answered any more.", "：不再授权、不再应答。")) } })) }
        @if !asset.description.is_empty() { p.lead { (asset.description) } }
        (card(at.say("Who may ask", "谁可以查询"), html! {
            (grants_table(at, &asset, &grants, &people, now_ms))
            @if asset.withdrawn.is_none() {
                div.actions { a.button href=(format!("/console/owner/grants/edit?asset={}", asset.id)) { (at.say("New grant", "新建授权")) } }
            }
        }))
        @if asset.data_type == TABLE { (card(at.say("Columns", "字段"), html! {
            (columns_table(at, &asset.schema, &asset.budgets, Some(&told)))
            p.soft { (at.say(
                "Names, types, uses and budgets of the columns are public. Their values are sealed: they are disclosed, or told something of, by grants alone.",
                "字段的名称、类型、用途与预算是公开的；字段值是密封的，仅可依授权披露或证明。",
            )) " " a href=(format!("/console/owner/budgets?asset={}", asset.id)) { (at.say("Budgets in detail", "预算详情")) } }
        })) }
        (card(at.say("Newest requests", "最新请求"), html! {
            (requests::table(at, &found, std::slice::from_ref(&asset), &people, nobody))
            @if !found.is_empty() { p { a href=(format!("/console/owner/requests?asset={}", asset.id)) { (at.say("All requests", "全部请求")) } } }
        }))
        (card(at.say("Versions", "版本"), versions_table(at, &asset, &versions)))
        (card(at.say("On the ledger", "账本信息"), html! {
            (facts(&[
                (at.say("Title", "标题"), html! { (asset.title) }),
                (at.say("Kind", "类型"), html! { (parts::kind(at.visit.lang, &asset)) }),
                (at.say("Asset id", "资产标识"), short(&asset.id.to_string())),
                (at.say("Registered in block", "注册区块"), parts::block(asset.height)),
            ]))
            @if asset.withdrawn.is_none() { (ends(at, &asset)) }
        }))
    };
    Ok(Page::new(Desk::Owner, asset.name.clone(), body).into())
}

fn ends(at: At<'_>, asset: &AssetView) -> Markup {
    let path = parts::asset_path(&asset.id);
    html! { div.actions {
        @if asset.data_type != FILE { a.button.plain href=(format!("/console/owner/publish?asset={}", asset.id)) { (at.say("Publish the next version", "发布下一版本")) } }
        a.button.plain href=(format!("/console/owner/keys/{}/rotate", asset.id)) { (at.say("Change its key", "更换密钥")) }
        a.button.plain href=(format!("{path}/transfer")) { (at.say("Transfer", "转让")) }
        a.button.plain href=(format!("{path}/withdraw")) { (at.say("Withdraw", "撤回")) }
    } }
}

fn grants_table(at: At<'_>, asset: &AssetView, grants: &[GrantView], people: &People, now_ms: u64) -> Markup {
    let lang = at.visit.lang;
    let row = |grant: &GrantView| {
        let (tone, word) = parts::standing(lang, &grant.terms, grant.used, now_ms);
        vec![
            html! { a href=(parts::grant_path(&asset.id, &grant.to)) { (person(at, people, &grant.to)) } },
            parts::terms(lang, asset, &grant.terms),
            parts::limits(lang, asset, &grant.terms, Some(grant.used)),
            badge(tone, word),
        ]
    };
    let rows: Vec<_> = grants.iter().map(row).collect();
    let headings =
        [at.say("Account", "账户"), at.say("May learn", "可获知"), at.say("Limits", "限制"), at.say("State", "状态")];
    let empty = at.say("Nobody: no grant stands on this asset.", "没有任何账户：该资产没有授权。");
    listing(at.say("Grants", "授权"), &headings, &rows, empty)
}

/// What a column may be used for, in words.
pub(super) fn uses(at: At<'_>, column: &Column) -> &'static str {
    let lang = at.visit.lang;
    match (column.allowed.disclose, column.allowed.prove) {
        (true, true) => lang.say("value or proof", "披露或证明"),
        (true, false) => lang.say("value alone", "仅披露"),
        (false, true) => lang.say("proof alone", "仅证明"),
        (false, false) => lang.say("nothing", "均不可"),
    }
}

/// The columns of a table; with what was told of them where that is asked for.
pub(super) fn columns_table(at: At<'_>, schema: &Schema, budgets: &[u16], told: Option<&FieldsTold>) -> Markup {
    let row = |(position, (column, budget)): (usize, (&Column, &u16))| {
        let is_key = schema.key.iter().any(|key| usize::from(*key) == position);
        let mut cells = vec![
            html! { code { (column.name) } @if is_key { " " (badge(Tone::Info, at.say("key", "主键"))) } },
            html! { (telling::kind(at.visit.lang, column.kind)) },
            html! { (uses(at, column)) },
            html! { @if column.allowed.prove { (at.fill("{} [bit|bits]", "{} 比特", &[budget])) } @else { "—" } },
        ];
        if let Some(told) = told {
            let most = u8::try_from(position).ok().and_then(|position| told.get(&position)).map(|field| field.most);
            cells.push(
                html! { @if let Some(most) = most { (at.fill("{} [bit|bits]", "{} 比特", &[&bits(most)])) } @else { "—" } },
            );
        }
        cells
    };
    let rows: Vec<_> = schema.columns.iter().zip(budgets).enumerate().map(row).collect();
    let mut headings = vec![
        at.say("Column", "字段"),
        at.say("Type", "类型"),
        at.say("Grants may allow", "可授权"),
        at.say("Budget of a record", "每条记录预算"),
    ];
    if told.is_some() {
        headings.push(at.say("Most told of a record", "单条记录最多已透露"));
    }
    listing(at.say("Columns", "字段"), &headings, &rows, "")
}

fn versions_table(at: At<'_>, asset: &AssetView, versions: &[(VersionView, u64)]) -> Markup {
    let row = |(version, time_ms): &(VersionView, u64)| {
        vec![
            html! { (version.info.number) @if version.info.number == asset.current { " " (badge(Tone::Good, at.say("current", "当前"))) } },
            html! { (time(*time_ms)) },
            html! { @if asset.data_type == TABLE { (at.say("up to ", "不超过 ")) (count(version.info.records_rounded)) } @else { "—" } },
            parts::block(version.height),
            html! { (version.info.cipher_suite) ", " (version.info.hash_algorithm) },
        ]
    };
    let rows: Vec<_> = versions.iter().map(row).collect();
    let headings = [
        at.say("Version", "版本"),
        at.say("Published", "发布时间"),
        at.say("Records", "记录数"),
        at.say("Block", "区块"),
        at.say("Sealed with", "密封算法"),
    ];
    html! {
        (listing(at.say("Versions", "版本"), &headings, &rows, ""))
        @if asset.current > VERSIONS_SHOWN { p.soft { (at.fill("The newest {} of {} versions.", "仅显示最新 {} 个版本，共 {} 个。", &[&VERSIONS_SHOWN, &asset.current])) } }
    }
}
