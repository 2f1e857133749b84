//! What this account was granted, and what is left of it.

use futures::stream::{StreamExt as _, TryStreamExt as _};
use maud::{Markup, html};
use sealgate_circuits::schema::Schema;
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::state::GrantView;
use sealgate_ledger::tx::GrantTerms;

use super::super::page::{Check, Page, Tone, card, checklist, count, facts};
use super::super::{Answer, Desk, HomePlace, Visit, explorer, telling};
use super::checks;
use crate::catalogue::{Listed, PAGE_MAX, Search};
use crate::standing::AsOf;

/// Assets that are looked through; of a larger catalogue the rest is said to be left out.
const ASSETS_MAX: usize = 300;
/// Proofs that are asked for at the same time.
const PROOFS_AT_ONCE: usize = 8;

/// What a grant says, in words, with what is left of it.
pub(super) fn told(visit: &Visit, grant: &GrantView, schema: &Schema) -> Markup {
    let (lang, terms) = (visit.lang, &grant.terms);
    let mut all: Vec<(&str, Markup)> = Vec::new();
    if !terms.disclose.is_empty() {
        all.push((lang.say("You may see", "可查看"), html! { (telling::columns(lang, schema, &terms.disclose)) }));
    }
    if !terms.prove.is_empty() {
        all.push((
            lang.say("You may ask whether", "可查询是否"),
            html! {
                ul.plain { @for one in &terms.prove { li { (telling::predicate(lang, one, schema)) } } }
            },
        ));
    }
    if terms.existence {
        all.push((
            lang.say("Existence", "存在性"),
            html! {
                (lang.say("you may ask whether a record exists", "可查询记录是否存在"))
            },
        ));
    }
    if !terms.whole.is_empty() {
        all.push((
            lang.say("You may fetch all of", "可获取整列"),
            html! { (telling::columns(lang, schema, &terms.whole)) },
        ));
    }
    let purpose = if terms.purpose.is_empty() { lang.say("any", "任意") } else { terms.purpose.as_str() };
    all.push((lang.say("Purpose", "用途"), html! { (purpose) }));
    all.push((lang.say("When", "期限"), html! { (telling::window(lang, terms)) }));
    all.push((lang.say("Keys", "配额"), quota(visit, grant)));
    if let Some(bits) = terms.bits {
        all.push((
            lang.say("Your share of bits", "信息量份额"),
            html! {
                (lang.fill("at most {} [bit|bits] of a record's field", "每条记录每个字段至多 {} 比特", &[&bits]))
            },
        ));
    }
    all.push((lang.say("Granted", "授权"), html! {
        (lang.say("block ", "区块 ")) (explorer::block_link(grant.height)) " · " (explorer::transaction_link(&grant.granted_by))
    }));
    facts(&all)
}

fn quota(visit: &Visit, grant: &GrantView) -> Markup {
    let lang = visit.lang;
    let Some(quota) = grant.terms.quota else {
        return html! { (lang.fill("no limit; {} used", "不限；已用 {}", &[&count(grant.used)])) };
    };
    let left = quota.saturating_sub(grant.used);
    let text = lang.fill("{} of {} left", "剩余 {} / {}", &[&count(left), &count(quota)]);
    let percent = (left.min(quota) * 100).checked_div(quota).unwrap_or_default();
    html! { (text) progress.quota max="100" value=(percent) aria-label=(lang.say("left", "剩余")) {} }
}

/// Whether questions can be asked under these terms.
pub(super) fn can_ask(terms: &GrantTerms) -> bool {
    !terms.disclose.is_empty() || !terms.prove.is_empty() || terms.existence
}

struct Mine {
    listed: Listed,
    grant: GrantView,
    as_of: AsOf,
}

/// All that this account was granted.
pub(super) async fn page(place: &HomePlace, visit: &Visit) -> Answer {
    let lang = visit.lang;
    let session = checks::session(lang, place).await?;
    let me = place.account.address();
    let predecessors = &session.predecessors(&me).await.map_err(|error| checks::fault(lang, &error))?;
    let (assets, is_whole) = assets(place, visit).await?;
    let looked = assets.len();
    let mine: Vec<Option<Mine>> = futures::stream::iter(assets.into_iter().map(|listed| {
        let session = &session;
        async move {
            let id = listed.asset.id;
            let (grant, as_of) = session.holding(&id, &me, predecessors).await?;
            let Some(grant) = grant else { return Ok(None) };
            // The schema, which names the columns, is the registered one.
            let asset = session.asset(&id.to_string()).await?.asset;
            let used = session.client.grant(&id, &me).await?.map_or(0, |grant| grant.used);
            let grant = GrantView { used, ..grant };
            Ok(Some(Mine { listed: Listed { asset, ..listed }, grant, as_of }))
        }
    }))
    .buffered(PROOFS_AT_ONCE)
    .try_collect()
    .await
    .map_err(|error| checks::fault(lang, &error))?;
    let mut mine: Vec<Mine> = mine.into_iter().flatten().collect();
    mine.sort_by(|a, b| a.listed.asset.name.cmp(&b.listed.asset.name));
    let body = html! {
        p.lead { (visit.say(
            "What the owners of assets let you ask, and what is left of it.",
            "各数据提供方授权您查询的内容及剩余配额。",
        )) }
        @if mine.is_empty() {
            section.card { p.empty { (visit.say("Nobody has granted you anything yet.", "尚无任何授权。")) } }
        }
        @for one in &mine { (of_asset(visit, one)) }
        (card(visit.say("What was checked", "已核查的内容"), checklist(&checked(visit, &mine, looked, is_whole))))
    };
    Ok(Page::new(Desk::Requester, visit.say("My grants", "我的授权"), body).into())
}

/// The catalogue's assets, and whether these are all of them.
async fn assets(place: &HomePlace, visit: &Visit) -> Result<(Vec<Listed>, bool), super::Fault> {
    let (mut found, mut after): (Vec<Listed>, Option<AssetId>) = (Vec::new(), None);
    while found.len() < ASSETS_MAX {
        let page = place.client.catalogue_page(&Search::default(), after.as_ref(), PAGE_MAX).await;
        let page = page.map_err(|error| checks::fault(visit.lang, &error.into()))?;
        found.extend(page.assets);
        match page.next.filter(|next| Some(*next) > after) {
            None => return Ok((found, true)),
            next => after = next,
        }
    }
    Ok((found, false))
}

fn of_asset(visit: &Visit, one: &Mine) -> Markup {
    let asset = &one.listed.asset;
    let ask = asset.withdrawn.is_none() && can_ask(&one.grant.terms);
    html! { section.card {
        h2 { a href=(format!("/console/requester/assets/{}", asset.id)) { (asset.name) } }
        p.soft { (asset.title) " · " (one.listed.owner.name) }
        (told(visit, &one.grant, &asset.schema))
        p.soft.small { (visit.lang.fill(
            "Proven against the checkpoint of block {} ({}).",
            "已对照区块 {}（{}）的检查点证明。",
            &[&one.as_of.block, &one.as_of.time],
        )) }
        p.actions {
            @if ask { a.button href=(format!("/console/requester/ask/{}", asset.id)) { (visit.say("Ask a question", "提出查询")) } }
            @if !one.grant.terms.whole.is_empty() {
                a.button.plain href=(format!("/console/requester/assets/{}", asset.id)) { (visit.say("Fetch", "获取")) }
            }
        }
    } }
}

fn checked(visit: &Visit, mine: &[Mine], looked: usize, is_whole: bool) -> Vec<Check> {
    let say = |tone: Tone, text: String| Check { tone, text: html! { (text) } };
    let mut all = mine.first().map_or_else(Vec::new, |one| checks::standing(visit.lang, &one.as_of));
    all.push(say(Tone::Good, visit.lang.fill(
        "Of every asset looked at ({}) the ledger's state proves what you were granted, or that you were granted nothing.",
        "对 {} 项资产，账本状态逐一证明了您获得的授权，或证明未向您授权。",
        &[&looked],
    )));
    all.push(say(
        Tone::Info,
        visit
            .say(
                "How much of a quota is used is the gateway's count: it is not part of the state that is proven.",
                "已用配额为网关的统计，不属于可证明的状态。",
            )
            .to_owned(),
    ));
    let rest = match is_whole {
        true => visit.say(
            "Which assets there are is the gateway's word: it could leave one out.",
            "资产清单为网关所述，可能有遗漏。",
        ),
        false => visit.say(
            "The catalogue is larger than was looked through here: look at an asset's own page for what you may ask of it.",
            "目录中的资产多于此处所查：其余资产的授权请查看其详情页。",
        ),
    };
    all.push(say(if is_whole { Tone::Info } else { Tone::Warn }, rest.to_owned()));
    all
}
