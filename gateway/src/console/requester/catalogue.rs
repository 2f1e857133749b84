//! The catalogue: searched, filtered, in pages.

use maud::{Markup, html};
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::tx::{FILE, TABLE};

use super::super::page::{Page, Tone, card, count, next_page, notice, table, text_field};
use super::super::{Answer, Desk, Fault, HomePlace, Visit, telling};
use super::checks;
use crate::catalogue::{Listed, Search, sort};

/// Assets on one page.
const SHOWN: usize = 50;
/// Pages of the gateway's that are asked for to fill one: a search may find few in each.
const CALLS_MAX: usize = 20;

/// What there is.
pub(super) async fn page(place: &HomePlace, visit: &Visit) -> Answer {
    let search = wanted(visit);
    if !search.in_bounds() {
        let text = visit.say("What is searched for is too long.", "搜索内容过长。");
        return Err(Fault::Refused(text.into()));
    }
    let (mut found, mut after) = (Vec::new(), visit.query.get("after").parse::<AssetId>().ok());
    for _ in 0..CALLS_MAX {
        let page = place.client.catalogue_page(&search, after.as_ref(), SHOWN - found.len()).await;
        let page = page.map_err(|error| checks::fault(visit.lang, &error.into()))?;
        found.extend(page.assets);
        // A gateway whose pages do not go on is not followed.
        after = page.next.filter(|next| Some(*next) > after);
        if after.is_none() || found.len() >= SHOWN {
            break;
        }
    }
    sort(&mut found);
    let next = after.map(|after| {
        let mut query = visit.query.clone();
        query.set("after", &after.to_string());
        format!("/console/requester?{}", query.encoded())
    });
    let rows: Vec<Vec<Markup>> = found.iter().map(|listed| row(visit, listed)).collect();
    let headings = [
        visit.say("Name", "名称"),
        visit.say("What it holds", "内容"),
        visit.say("Owner", "数据提供方"),
        visit.say("Type", "类型"),
        visit.say("Columns", "字段数"),
        visit.say("Records", "记录数"),
        visit.say("Version", "版本"),
    ];
    let list = html! {
        (table(&headings, &rows, visit.say("No asset matches.", "没有匹配的资产。")))
        (next_page(visit.lang, next.as_deref()))
    };
    let body = html! {
        p.lead { (visit.say(
            "What departments share on this ledger. Choose an asset to see what you may ask of it.",
            "各部门在此账本上共享的内容。选择一项资产，查看您可以查询什么。",
        )) }
        (filters(visit))
        (card(visit.say("Assets", "资产"), list))
        (notice(Tone::Info, html! { p { (visit.say(
            "This list is the gateway's word: it could leave something out. Each asset's own page is checked against the ledger.",
            "此列表为网关所述，可能有遗漏；每项资产的详情页均会对照账本核查。",
        )) } }))
    };
    Ok(Page::new(Desk::Requester, visit.say("Catalogue", "资源目录"), body).into())
}

fn wanted(visit: &Visit) -> Search {
    let given = |name: &str| Some(visit.query.get(name).to_owned()).filter(|text| !text.is_empty());
    Search {
        search: given("search"),
        owner: given("owner").map(|owner| owner.parse().unwrap_or_else(|never| match never {})),
        column: given("column"),
        kind: given("type"),
        data_type: given("data_type"),
    }
}

fn filters(visit: &Visit) -> Markup {
    let typed = |name: &str| visit.query.get(name).to_owned();
    let select = |name: &str, label: &str, options: &[(&str, &str)]| {
        let chosen = typed(name);
        html! { div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { (visit.say("any", "不限")) }
                @for (value, text) in options { option value=(value) selected[chosen == *value] { (text) } }
            }
        } }
    };
    let kinds = [
        ("int", visit.say("whole number", "整数")),
        ("decimal", visit.say("decimal number", "小数")),
        ("date", visit.say("date", "日期")),
        ("timestamp", visit.say("date and time", "日期时间")),
        ("bool", visit.say("yes or no", "是/否")),
        ("text", visit.say("text", "文本")),
    ];
    let data_types = [(TABLE, visit.say("table", "数据表")), (FILE, visit.say("file", "文件"))];
    html! {
        form.card method="get" action="/console/requester" role="search" {
            div.row {
                (text_field("search", visit.say("Words", "关键词"), None, &typed("search")))
                (text_field("owner", visit.say("Owner", "数据提供方"), None, &typed("owner")))
                (text_field("column", visit.say("Column", "字段"), None, &typed("column")))
                (select("type", visit.say("Column type", "字段类型"), &kinds))
                (select("data_type", visit.say("Data type", "数据类型"), &data_types))
                button type="submit" { (visit.say("Search", "搜索")) }
            }
            @if !visit.query.encoded().is_empty() { p { a href="/console/requester" { (visit.say("Clear", "清除条件")) } } }
        }
    }
}

fn row(visit: &Visit, listed: &Listed) -> Vec<Markup> {
    let (asset, version) = (&listed.asset, &listed.version);
    let is_table = asset.data_type == TABLE;
    vec![
        html! {
            a href=(format!("/console/requester/assets/{}", asset.id)) { (asset.name) }
            @if asset.withdrawn.is_some() { " " span.badge.warn { (visit.say("withdrawn", "已撤下")) } }
        },
        html! { (asset.title) },
        html! { (listed.owner.name) },
        html! { (telling::data_type(visit.lang, &asset.data_type)) },
        html! { @if is_table { (asset.schema.columns.len()) } @else { "—" } },
        html! { @if is_table { "≤ " (count(version.info.records_rounded)) } @else { "—" } },
        html! { (asset.current) },
    ]
}
