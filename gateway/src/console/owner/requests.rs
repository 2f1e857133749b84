//! Requests on the owner's assets, the newest first, fetched again by itself.

use maud::{Markup, html};
use sealgate_circuits::schema::Schema;
use sealgate_ledger::Ledger;
use sealgate_ledger::ids::{Address, AssetId, TxHash};
use sealgate_ledger::state::{AssetView, RequestStatus, RequestView};

use super::parts::{self, choice, listing, outcome, person};
use super::{At, People};
use crate::console::page::{Page, Tone, card, facts, next_page, notice, short, time};
use crate::console::{Answer, Desk, Fault, Fields};
use crate::owner::clock_ms;
use crate::trail::Became;

/// Requests on one page.
const SHOWN: usize = 50;
/// Entries that are looked through first, going back from the newest; then ever more.
const WINDOW: u64 = 2_000;
/// Entries whose requests are held at the same time, at most.
const WINDOW_MAX: u64 = 32_000;
/// Entries that are looked through at most for one page.
const LOOKED_AT_MAX: u64 = 500_000;
/// Seconds between two looks.
const REFRESH_S: u32 = 15;

const OUTCOMES: [(&str, &str, &str); 6] = [
    ("denied", "denied", "已拒绝"),
    ("open", "open", "待应答"),
    ("answered", "answered", "已应答"),
    ("delivered", "delivered", "已交付"),
    ("declined", "declined", "已谢绝"),
    ("unanswered", "unanswered", "超时未答"),
];

pub(super) async fn answer(at: At<'_>, rest: &[&str]) -> Answer {
    match rest {
        [] => list(at).await,
        [hash] => one(at, hash).await,
        _ => Err(Fault::NotFound),
    }
}

/// Which requests are looked for.
#[derive(Default, Clone, Copy)]
pub(super) struct Search<'a> {
    /// Of one asset.
    pub asset: Option<&'a AssetId>,
    /// Before this entry.
    pub before: Option<u64>,
    /// From this time on.
    pub since_ms: u64,
    /// At most so many.
    pub most: usize,
}

/// The newest requests of a search that `wanted` takes, and the entry before which the next page
/// begins, if older ones may be left.
pub(super) fn newest(
    ledger: &Ledger,
    search: Search<'_>,
    wanted: impl Fn(&RequestView) -> bool,
) -> Result<(Vec<RequestView>, Option<u64>), Fault> {
    let Search { asset, before, since_ms, most } = search;
    let mut end = before.unwrap_or(ledger.head().tree_size).min(ledger.head().tree_size);
    let (mut found, mut window, mut looked_at) = (Vec::new(), WINDOW, 0);
    while end > 0 && looked_at < LOOKED_AT_MAX {
        let start = end.saturating_sub(window);
        let mut part = between(ledger, asset, start, end)?;
        part.reverse();
        for request in part {
            if request.time_ms < since_ms {
                return Ok((found, None));
            }
            if wanted(&request) {
                if found.len() == most {
                    let last = found.last().map(|last: &RequestView| last.entry_index);
                    return Ok((found, last));
                }
                found.push(request);
            }
        }
        looked_at += end - start;
        (end, window) = (start, window.saturating_mul(4).min(WINDOW_MAX));
    }
    Ok((found, (end > 0).then_some(end)))
}

/// The requests whose entries lie from `start` up to but not at `end`.
fn between(ledger: &Ledger, asset: Option<&AssetId>, start: u64, end: u64) -> Result<Vec<RequestView>, Fault> {
    let (mut found, mut after) = (Vec::new(), start.checked_sub(1));
    loop {
        let part = ledger.requests(asset, after, sealgate_ledger::chain::REQUESTS_PAGE_MAX)?;
        let full = part.len() == sealgate_ledger::chain::REQUESTS_PAGE_MAX;
        after = part.last().map(|last| last.entry_index);
        let is_over = part.last().is_none_or(|last| last.entry_index >= end);
        found.extend(part.into_iter().filter(|request| request.entry_index < end));
        if is_over || !full {
            return Ok(found);
        }
    }
}

/// What is looked for.
#[derive(Clone)]
struct Filter {
    asset: Option<AssetId>,
    outcome: String,
    who: Option<Vec<Address>>,
    before: Option<u64>,
}

impl Filter {
    fn of(query: &Fields, people: &People) -> Filter {
        let who = query.get("who");
        Filter {
            asset: query.get("asset").parse().ok(),
            outcome: query.get("outcome").to_owned(),
            who: (!who.is_empty()).then(|| people.named(who)),
            before: query.get("before").parse().ok(),
        }
    }

    fn takes(&self, request: &RequestView, own: &[AssetView]) -> bool {
        own.iter().any(|asset| asset.id == request.asset)
            && (self.outcome.is_empty() || word(&request.status) == self.outcome)
            && self.who.as_ref().is_none_or(|who| who.contains(&request.sender))
    }
}

fn word(status: &RequestStatus) -> &'static str {
    match Became::of(status) {
        Became::Denied => "denied",
        Became::Open => "open",
        Became::Answered => "answered",
        Became::Delivered => "delivered",
        Became::Declined => "declined",
        Became::Unanswered => "unanswered",
    }
}

async fn list(at: At<'_>) -> Answer {
    let (assets, people) = (at.assets().await?, at.people().await?);
    let query = &at.visit.query;
    let filter = Filter::of(query, &people);
    let (wanted, own) = (filter.clone(), assets.clone());
    let (found, next) = at
        .read(move |gateway| {
            let takes = |request: &RequestView| wanted.takes(request, &own);
            let search =
                Search { asset: wanted.asset.as_ref(), before: wanted.before, most: SHOWN, ..Search::default() };
            newest(gateway.ledger(), search, takes)
        })
        .await?;
    let is_live = filter.before.is_none() && query.get("live") != "off";
    let next = next.map(|before| format!("/console/owner/requests?{}", with(query, "before", &before.to_string())));
    let nothing = at.say("Nobody has asked anything of this kind.", "没有此类查询请求。");
    let body = html! {
        (form(at, &assets))
        p.soft role="status" {
            @if is_live {
                (at.fill("This page looks again every {} seconds. ", "本页每 {} 秒自动更新。", &[&REFRESH_S]))
                a href=(format!("/console/owner/requests?{}", with(query, "live", "off"))) { (at.say("Hold it still", "暂停更新")) }
            } @else {
                (at.say("This page stands still. ", "本页已停止更新。"))
                a href=(format!("/console/owner/requests?{}", without(query, &["live", "before"]))) { (at.say("Show the newest as they come", "显示最新请求")) }
            }
        }
        section.card {
            h2 { (at.say("Newest first", "最新在前")) }
            (table(at, &found, &assets, &people, nothing))
            (next_page(at.visit.lang, next.as_deref()))
        }
    };
    let page = Page::new(Desk::Owner, at.say("Requests", "查询请求"), body);
    Ok(if is_live { page.refreshed(REFRESH_S) } else { page }.into())
}

fn without(query: &Fields, names: &[&str]) -> String {
    let known = ["asset", "outcome", "who", "live", "before"];
    let kept = known.iter().filter(|name| !names.contains(name) && !query.get(name).is_empty());
    let pairs: Vec<(&str, &str)> = kept.map(|name| (*name, query.get(name))).collect();
    serde_urlencoded::to_string(pairs).unwrap_or_default()
}

fn with(query: &Fields, name: &str, value: &str) -> String {
    let rest = without(query, &[name]);
    format!("{rest}{}{name}={value}", if rest.is_empty() { "" } else { "&" })
}

fn form(at: At<'_>, assets: &[AssetView]) -> Markup {
    let query = &at.visit.query;
    html! { section.card { form.row method="get" action="/console/owner/requests" {
        div.field { label for="asset" { (at.say("Asset", "资产")) } select id="asset" name="asset" {
            (choice("", at.say("all", "全部"), query.get("asset")))
            @for asset in assets { (choice(&asset.id.to_string(), &asset.name, query.get("asset"))) }
        } }
        div.field { label for="outcome" { (at.say("Outcome", "结果")) } select id="outcome" name="outcome" {
            (choice("", at.say("all", "全部"), query.get("outcome")))
            @for (word, en, zh) in OUTCOMES { (choice(word, at.say(en, zh), query.get("outcome"))) }
        } }
        div.field { label for="who" { (at.say("Account (name or address)", "账户（名称或地址）")) }
            input type="text" id="who" name="who" value=(query.get("who")) autocomplete="off"; }
        button type="submit" { (at.say("Filter", "筛选")) }
    } } }
}

/// Requests as a table.
pub(super) fn table(at: At<'_>, found: &[RequestView], assets: &[AssetView], people: &People, empty: &str) -> Markup {
    let lang = at.visit.lang;
    let now_ms = clock_ms();
    // On the page of one asset it need not be said which.
    let has_assets = assets.len() != 1;
    let row = |request: &RequestView| {
        let asset = assets.iter().find(|asset| asset.id == request.asset);
        let none = Schema { columns: Vec::new(), key: Vec::new() };
        let schema = asset.map_or(&none, |asset| &asset.schema);
        let keys = request.asked.keys();
        let mut cells = vec![
            html! { a.nowrap href=(format!("/console/owner/requests/{}", request.hash)) { (parts::ago(lang, now_ms, request.time_ms)) }
            br; span.small.soft.nowrap { (at.say("block ", "区块 ")) (parts::block(request.height)) } },
            html! { (person(at, people, &request.sender)) },
            html! { (parts::question(lang, schema, &request.asked))
            @if keys > 1 { br; span.small.soft { (at.fill("{} [key|keys]", "{} 个主键", &[&keys])) } } },
            html! { (request.purpose) },
            html! { (outcome(lang, &request.status))
            @if let Some(why) = parts::explained(lang, schema, &request.asked, &request.status) { br; span.small { (why) } } },
        ];
        if has_assets {
            cells.insert(2, html! { @if let Some(asset) = asset { (parts::asset_link(asset)) } });
        }
        cells
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let mut headings = vec![
        at.say("When", "时间"),
        at.say("Who", "账户"),
        at.say("Asked", "查询内容"),
        at.say("Purpose", "用途"),
        at.say("Outcome", "结果"),
    ];
    if has_assets {
        headings.insert(2, at.say("Asset", "资产"));
    }
    listing(at.say("Requests", "查询请求"), &headings, &rows, empty)
}

async fn one(at: At<'_>, hash: &str) -> Answer {
    let hash: TxHash = hash.parse().map_err(|_| Fault::NotFound)?;
    let request = at.read(move |gateway| Ok(gateway.ledger().request(&hash)?)).await?.ok_or(Fault::NotFound)?;
    let asset = at.asset(&request.asset.to_string()).await?.asset;
    let (people, lang) = (at.people().await?, at.visit.lang);
    let why = parts::explained(lang, &asset.schema, &request.asked, &request.status);
    let is_denied = matches!(request.status, RequestStatus::Denied { .. });
    let edit = format!("/console/owner/grants/edit?asset={}&to={}", asset.id, request.sender);
    let list = facts(&[
        (
            at.say("Asked by", "请求方"),
            html! { (person(at, &people, &request.sender)) " " (short(&request.sender.to_string())) },
        ),
        (at.say("Of", "资产"), parts::asset_link(&asset)),
        (at.say("Asked", "查询内容"), parts::question(lang, &asset.schema, &request.asked)),
        (at.say("About how many keys", "主键数"), html! { (request.asked.keys()) }),
        (at.say("Purpose stated", "所述用途"), html! { (request.purpose) }),
        (at.say("When", "时间"), html! { (time(request.time_ms)) }),
        (at.say("Block", "区块"), parts::block(request.height)),
        (at.say("Transaction", "交易"), parts::transaction(&request.hash)),
        (at.say("Outcome", "结果"), outcome(lang, &request.status)),
    ]);
    let body = html! {
        (parts::crumbs(at, &[("/console/owner/requests", at.say("Requests", "查询请求"))], at.say("One request", "单个请求")))
        @if let Some(why) = why { (notice(if is_denied { Tone::Warn } else { Tone::Info }, html! { p { (why) } })) }
        (card(at.say("What the ledger says", "账本记载"), html! {
            (list)
            p.soft { (at.say(
                "The key that was asked about and constants of the requester's own choosing are not on the ledger.",
                "所查询的主键以及使用方自选的常量不会写入账本。",
            )) }
            div.actions {
                @if asset.withdrawn.is_none() {
                    a.button.plain href=(edit) { @if is_denied { (at.say("Grant it", "予以授权")) } @else { (at.say("Change the grant", "修改授权")) } }
                }
                a.button.plain href=(format!("/console/owner/receipts/{}", request.hash)) { (at.say("Download the receipt", "下载回执")) }
            }
        }))
    };
    Ok(Page::new(Desk::Owner, at.say("Request", "查询请求"), body).into())
}
