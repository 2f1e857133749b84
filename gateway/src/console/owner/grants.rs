//! Who may ask what: all grants, one grant, and taking one back.

use maud::{Markup, html};
use sealgate_ledger::ids::{Address, AssetId};
use sealgate_ledger::state::{AssetView, GrantView, RequestStatus, RequestView};
use sealgate_ledger::tx::TxBody;

use super::At;
use super::parts::{self, asset_path, choice, crumbs, grant_path, listing, person};
use super::requests::{self, Search};
use crate::console::page::{Page, Tone, badge, card, count, facts, hidden, notice, short};
use crate::console::{Answer, Desk, Fault, Reply};

/// Requests of an account that are counted for what a revocation ends.
const COUNTED_MAX: usize = 10_000;
/// Requests on a grant's page.
const SHOWN: usize = 20;

pub(super) async fn answer(at: At<'_>, rest: &[&str]) -> Answer {
    match (rest, at.visit.is_post) {
        ([], false) => list(at).await,
        ([asset, to], false) => one(at, &Named::of(at, asset, to).await?).await,
        ([asset, to, "revoke"], _) => revoke(at, &Named::of(at, asset, to).await?).await,
        _ => Err(Fault::NotFound),
    }
}

/// A grant that an address names.
struct Named {
    asset: AssetView,
    to: Address,
    /// None if it does not stand (any more).
    grant: Option<GrantView>,
    now_ms: u64,
}

impl Named {
    async fn of(at: At<'_>, asset: &str, to: &str) -> Result<Named, Fault> {
        let asset = at.asset(asset).await?.asset;
        let to: Address = to.parse().map_err(|_| Fault::NotFound)?;
        let id = asset.id;
        let read = at.read(move |gateway| {
            let ledger = gateway.ledger();
            Ok((ledger.grant(&id, &to)?, ledger.head().time_ms))
        });
        let (grant, now_ms) = read.await?;
        Ok(Named { asset, to, grant, now_ms })
    }
}

async fn list(at: At<'_>) -> Answer {
    let (assets, people, lang) = (at.assets().await?, at.people().await?, at.visit.lang);
    let wanted: Option<AssetId> = at.visit.query.get("asset").parse().ok();
    let who = at.visit.query.get("who");
    let who = (!who.is_empty()).then(|| people.named(who));
    let ids: Vec<AssetId> = assets.iter().map(|asset| asset.id).filter(|id| wanted.is_none_or(|w| w == *id)).collect();
    let (grants, now_ms) = at
        .read(move |gateway| {
            let ledger = gateway.ledger();
            let mut grants = Vec::new();
            for id in ids {
                grants.extend(ledger.grants(&id)?);
            }
            Ok((grants, ledger.head().time_ms))
        })
        .await?;
    let shown = grants.iter().filter(|grant| who.as_ref().is_none_or(|who| who.contains(&grant.to)));
    let row = |grant: &GrantView| {
        let asset = assets.iter().find(|asset| asset.id == grant.asset)?;
        let (tone, word) = parts::standing(lang, &grant.terms, grant.used, now_ms);
        let path = grant_path(&grant.asset, &grant.to);
        Some(vec![
            html! { a href=(path) { (person(at, &people, &grant.to)) } },
            parts::asset_link(asset),
            parts::terms(lang, asset, &grant.terms),
            parts::limits(lang, asset, &grant.terms, Some(grant.used)),
            badge(tone, word),
            html! { a href=(edit_path(&grant.asset, &grant.to)) { (at.say("Edit", "修改")) } br;
            a href=(format!("{path}/revoke")) { (at.say("Revoke", "撤销")) } },
        ])
    };
    let rows: Vec<_> = shown.filter_map(row).collect();
    let headings = [
        at.say("Account", "账户"),
        at.say("Asset", "资产"),
        at.say("May learn", "可获知"),
        at.say("Limits", "限制"),
        at.say("State", "状态"),
        at.say("Change", "变更"),
    ];
    let empty = at.say("No grant of this kind stands: nobody may ask.", "没有此类授权：任何人都不能查询。");
    let query = &at.visit.query;
    let body = html! {
        (at.done().await?)
        section.card { form.row method="get" action="/console/owner/grants" {
            div.field { label for="asset" { (at.say("Asset", "资产")) } select id="asset" name="asset" {
                (choice("", at.say("all", "全部"), query.get("asset")))
                @for asset in &assets { (choice(&asset.id.to_string(), &asset.name, query.get("asset"))) }
            } }
            div.field { label for="who" { (at.say("Account (name or address)", "账户（名称或地址）")) }
                input type="text" id="who" name="who" value=(query.get("who")) autocomplete="off"; }
            button type="submit" { (at.say("Filter", "筛选")) }
        } }
        (card(at.say("Who may ask what", "谁可以查询什么"), html! {
            (listing(at.say("Grants", "授权"), &headings, &rows, empty))
            div.actions { a.button href="/console/owner/grants/edit" { (at.say("New grant", "新建授权")) } }
        }))
    };
    Ok(Page::new(Desk::Owner, at.say("Grants", "授权"), body).into())
}

pub(super) fn edit_path(asset: &AssetId, to: &Address) -> String {
    format!("/console/owner/grants/edit?asset={asset}&to={to}")
}

async fn one(at: At<'_>, named: &Named) -> Answer {
    let Named { asset, to, grant, now_ms } = named;
    let (people, lang) = (at.people().await?, at.visit.lang);
    let (id, sender) = (asset.id, *to);
    let (found, _) = at
        .read(move |gateway| {
            let search = Search { asset: Some(&id), most: SHOWN, ..Search::default() };
            requests::newest(gateway.ledger(), search, |request| request.sender == sender)
        })
        .await?;
    let told = super::learning::told_to(&at.gateway.told(&asset.id).await, asset, to);
    let title = at.fill("{} on {}", "{} 对 {} 的授权", &[&people.name(to), &asset.name]);
    let path = grant_path(&asset.id, to);
    let nothing = at.say("It has asked nothing yet.", "尚无查询请求。");
    let body = html! {
        (crumbs(at, &[("/console/owner/grants", at.say("Grants", "授权"))], &title))
        (at.done().await?)
        @match grant {
            None => { (notice(Tone::Info, html! { p { (at.say("No grant stands: this account may ask nothing of the asset.", "没有授权：该账户不能查询此资产。")) } })) }
            Some(grant) => {
                @let (tone, word) = parts::standing(lang, &grant.terms, grant.used, *now_ms);
                (card(at.say("What it may learn", "可获知内容"), html! {
                    p { (badge(tone, word)) }
                    (parts::terms(lang, asset, &grant.terms))
                    (parts::limits(lang, asset, &grant.terms, Some(grant.used)))
                    (facts(&[
                        (at.say("Account", "账户"), html! { (person(at, &people, to)) " " (short(&to.to_string())) }),
                        (at.say("Asset", "资产"), parts::asset_link(asset)),
                        (at.say("Granted in block", "授权区块"), parts::block(grant.height)),
                        (at.say("Transaction", "交易"), parts::transaction(&grant.granted_by)),
                    ]))
                    div.actions {
                        a.button href=(edit_path(&asset.id, to)) { (at.say("Edit", "修改")) }
                        a.button.plain href=(format!("{path}/revoke")) { (at.say("Revoke", "撤销授权")) }
                        a.button.plain href=(format!("/console/owner/receipts/{}", grant.granted_by)) { (at.say("Download the receipt", "下载回执")) }
                    }
                }))
            }
        }
        (card(at.say("What proofs have told it", "证明已向其透露"), told_list(at, &told)))
        (card(at.say("Its newest requests", "其最新请求"), requests::table(at, &found, std::slice::from_ref(asset), &people, nothing)))
        @if grant.is_none() && asset.withdrawn.is_none() { p { a.button href=(edit_path(&asset.id, to)) { (at.say("Grant it something", "予以授权")) } } }
    };
    Ok(Page::new(Desk::Owner, title.clone(), body).into())
}

fn told_list(at: At<'_>, told: &[(String, u32)]) -> Markup {
    html! {
        @if told.is_empty() { p.empty { (at.say("Nothing yet.", "尚无。")) } }
        ul.plain-list { @for (column, most) in told { li {
            code { (column) } ": " (at.fill("at most {} [bit|bits] of one record", "单条记录最多 {} 比特", &[&parts::bits(*most)]))
        } } }
    }
}

/// What a revocation ends, and what it does not.
struct Effect {
    answered: usize,
    open: usize,
    delivered: usize,
}

async fn effect(at: At<'_>, named: &Named) -> Result<Effect, Fault> {
    let (id, sender) = (named.asset.id, named.to);
    let (found, _) = at
        .read(move |gateway| {
            let search = Search { asset: Some(&id), most: COUNTED_MAX, ..Search::default() };
            requests::newest(gateway.ledger(), search, |request| request.sender == sender)
        })
        .await?;
    let of = |wanted: fn(&RequestStatus) -> bool| found.iter().filter(|r: &&RequestView| wanted(&r.status)).count();
    Ok(Effect {
        answered: of(|status| matches!(status, RequestStatus::Answered { .. })),
        open: of(|status| matches!(status, RequestStatus::Granted { .. })),
        delivered: of(|status| matches!(status, RequestStatus::Delivered { .. })),
    })
}

async fn revoke(at: At<'_>, named: &Named) -> Answer {
    let Named { asset, to, .. } = named;
    let path = grant_path(&asset.id, to);
    let Some(grant) = &named.grant else { return Ok(Reply::SeeOther(path)) };
    let mut problem = None;
    if at.visit.is_post {
        match at.submit(TxBody::Revoke { asset: asset.id, to: *to }).await {
            Ok(receipt) => return Ok(Reply::SeeOther(format!("{path}?done={}", receipt.hash))),
            Err(why) => problem = Some(why),
        }
    }
    let (people, effect, lang) = (at.people().await?, effect(at, named).await?, at.visit.lang);
    let name = people.name(to);
    let title = at.fill("Revoke the grant of {}", "撤销 {} 的授权", &[&name]);
    let body = html! {
        (crumbs(at, &[("/console/owner/grants", at.say("Grants", "授权")), (&path, &name)], &title))
        @if let Some(why) = &problem { (notice(Tone::Bad, html! { p { (why) } })) }
        div.grid {
            (card(at.say("From the next block on it can no longer ask", "自下一区块起不能再查询"), html! {
                p { (at.fill("Of {}:", "资产 {}：", &[&asset.name])) }
                (parts::terms(lang, asset, &grant.terms))
                @if effect.open > 0 { p { (at.fill(
                    "Requests that were granted and get no answer any more: {}.",
                    "已获准但不再应答的请求：{} 个。", &[&count(effect.open as u64)])) } }
                @if effect.delivered > 0 || !grant.terms.whole.is_empty() { p { (at.say(
                    "Deliveries stop where they are: parts of columns or files that it has not fetched yet are no longer given.",
                    "交付立即中止：尚未取走的整列或文件部分不再提供。")) } }
            }))
            (card(at.say("What it has stays with it", "已获得的内容仍由其持有"), html! {
                p { (at.fill(
                    "What it was given cannot be taken back, and it can show it to others. Answers: {}; deliveries: {}.",
                    "已获得的内容无法收回，并可出示给他人。应答：{} 个；交付：{} 次。",
                    &[&count(effect.answered as u64), &count(effect.delivered as u64)])) }
                p.soft { (at.say(
                    "What proofs told stays charged to the budgets. A later grant begins with its quota unused.",
                    "证明已透露的内容仍计入预算。之后重新授权时配额从零计起。")) }
            }))
        }
        section.card { form method="post" action=(format!("{path}/revoke")) {
            (hidden(at.visit))
            div.actions {
                button.danger type="submit" { (at.say("Revoke the grant", "撤销授权")) }
                a.button.plain href=(asset_path(&asset.id)) { (at.say("Leave it as it is", "保持不变")) }
            }
        } }
    };
    Ok(Page::new(Desk::Owner, title.clone(), body).into())
}
