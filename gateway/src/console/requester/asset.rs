//! One asset: what it is, how fresh, and what this account may ask of it.

use maud::{Markup, html};
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::state::{ContractView, GrantView};
use sealgate_ledger::tx::TABLE;

use super::super::explorer::{self, source::Source};
use super::super::page::{Page, Tone, card, checklist, command, count, facts, notice, time};
use super::super::{Answer, Desk, Fault, HomePlace, Visit};
use super::{checks, fetched, grants};
use crate::standing::AsOf;

/// An asset as it stands, proven, and what this account was granted of it.
pub(super) struct Seen {
    /// Its contract.
    pub(super) contract: ContractView,
    /// What was granted; how much of it is used is the gateway's word.
    pub(super) grant: Option<GrantView>,
    /// Under which proof.
    pub(super) as_of: AsOf,
    /// What its owner calls itself.
    pub(super) owner: String,
    /// Time of the block that published its version, and whether that was checked.
    pub(super) published: Option<(u64, bool)>,
    /// How a question names it.
    pub(super) table: String,
}

/// Reads an asset and proves it.
///
/// # Errors
/// [`Fault::NotFound`] where the ledger has none of this id; [`Fault::Failed`].
pub(super) async fn seen(place: &HomePlace, visit: &Visit, id: &str) -> Result<Seen, Fault> {
    let lang = visit.lang;
    let id: AssetId = id.parse().map_err(|_| Fault::NotFound)?;
    let session = checks::session(lang, place).await?;
    let me = place.account.address();
    let told = |error: crate::client::ClientError| checks::fault(lang, &error.into());
    let used = session.client.grant(&id, &me).await.map_err(told)?.map_or(0, |grant| grant.used);
    let predecessors = session.predecessors(&me).await.map_err(|error| checks::fault(lang, &error))?;
    let operator = session.genesis.operator.address();
    let source = Source::Far(Box::new(session));
    let stands = source.contract(lang, &id).await?;
    let (Some((contract, list)), Some(as_of)) = (stands.value, stands.as_of) else { return Err(Fault::NotFound) };
    let holds = std::iter::once(&me).chain(&predecessors).find_map(|to| list.iter().find(|grant| grant.to == *to));
    let grant = holds.map(|grant| GrantView { used, ..grant.clone() });
    let owner = source.name(lang, &contract.asset.owner).await.map_or_else(String::new, |account| account.name);
    let header = source.header(lang, contract.version.height).await?;
    let published = header.map(|(header, is_checked)| (header.time_ms, is_checked));
    // A bare name is the ledger's operator's asset; others are named by their id.
    let table = if contract.asset.owner == operator { contract.asset.name.clone() } else { id.to_string() };
    Ok(Seen { contract, grant, as_of, owner, published, table })
}

/// The page of an asset.
pub(super) async fn page(place: &HomePlace, visit: &Visit, id: &str) -> Answer {
    let seen = seen(place, visit, id).await?;
    let asset = &seen.contract.asset;
    let body = html! {
        p.crumbs { a href="/console/requester" { (visit.say("Catalogue", "资源目录")) } " › " (asset.name) }
        @if asset.withdrawn.is_some() {
            (notice(Tone::Warn, html! { p { (visit.say(
                "This asset was withdrawn: nothing of it can be asked any more.",
                "该资产已被撤下，不再接受任何查询。",
            )) } }))
        }
        @if !asset.description.is_empty() { p.lead { (asset.description) } }
        div.grid {
            (card(visit.say("What it is", "基本信息"), what_it_is(visit, &seen)))
            (card(visit.say("What you may ask", "您可以查询"), granted(place, visit, &seen)))
        }
        @if asset.data_type == TABLE { (card(visit.say("Columns", "字段"), explorer::columns(visit, &seen.contract))) }
        (card(visit.say("What was checked", "已核查的内容"), checklist(&checks::standing(visit.lang, &seen.as_of))))
    };
    let title = if asset.title.is_empty() { asset.name.clone() } else { asset.title.clone() };
    Ok(Page::new(Desk::Requester, title, body).into())
}

fn what_it_is(visit: &Visit, seen: &Seen) -> Markup {
    let (asset, version) = (&seen.contract.asset, &seen.contract.version);
    let lang = visit.lang;
    let fresh = seen.published.map(|(ms, is_checked)| {
        html! {
            (time(ms))
            @if !is_checked { " " span.soft.small { (visit.say("(the gateway's word)", "（网关所述）")) } }
        }
    });
    let mut all = vec![
        (visit.say("Name in questions", "查询中的名称"), html! { code { (seen.table) } }),
        (visit.say("Owner", "数据提供方"), html! { (seen.owner) " " (explorer::account_link(&asset.owner)) }),
        (
            visit.say("Version", "版本"),
            html! {
                (asset.current) " · " (visit.say("published in block ", "发布于区块 ")) (explorer::block_link(version.height))
            },
        ),
    ];
    if let Some(fresh) = fresh {
        all.push((visit.say("Published", "发布时间"), fresh));
    }
    if asset.data_type == TABLE {
        let up_to = lang.fill("up to {}, rounded up", "至多 {}（向上取整）", &[&count(version.info.records_rounded)]);
        all.push((visit.say("Records", "记录数"), html! { (up_to) }));
    }
    all.push((visit.say("On the ledger", "账本"), html! { (explorer::asset_link(&asset.id)) }));
    facts(&all)
}

fn granted(place: &HomePlace, visit: &Visit, seen: &Seen) -> Markup {
    let asset = &seen.contract.asset;
    let Some(grant) = &seen.grant else { return ask_for_a_grant(place, visit, &asset.name) };
    let is_open = asset.withdrawn.is_none();
    html! {
        (grants::told(visit, grant, &asset.schema))
        @if is_open && grants::can_ask(&grant.terms) {
            p.actions { a.button href=(format!("/console/requester/ask/{}", asset.id)) { (visit.say("Ask a question", "提出查询")) } }
        }
        @if is_open && !grant.terms.whole.is_empty() { (fetched::form(place, visit, &seen.contract, grant)) }
    }
}

/// What to send to the owner.
fn ask_for_a_grant(place: &HomePlace, visit: &Visit, name: &str) -> Markup {
    let address = place.account.address();
    html! {
        p { strong { (visit.say("You have been granted nothing of this asset.", "您未获得此资产的任何授权。")) } }
        p { (visit.say(
            "Ask its owner, by letter or mail, and give your address. The owner then runs, with what you agreed:",
            "请通过公函或邮件联系数据提供方，并提供您的地址。数据提供方按约定内容运行：",
        )) }
        (command(&format!("sealgate grant --data-dir DIR --asset {name} \\\n  --to {address} \\\n  --disclose COLUMNS --prove 'COLUMN >= ?' --purpose TEXT")))
    }
}
