//! Who may ask what, and who could at any time before.

use maud::{Markup, html};
use sealgate_circuits::schema::Schema;
use sealgate_ledger::ids::BlockHeight;
use sealgate_ledger::state::AssetView;
use sealgate_ledger::tx::GrantTerms;

use super::{Names, Study};
use crate::console::explorer::in_block;
use crate::console::page::{Tone, badge, count, field, notice, table, text_field, tick, time};
use crate::console::{Answer, Visit};
use crate::journal::What;
use crate::naming::AssetName;
use crate::trail::following::Stint;

pub(super) fn show(study: &Study<'_>) -> Answer {
    let visit = study.visit;
    let title = visit.say("Grants", "授权");
    let at = match as_of(study) {
        Ok(at) => at,
        Err(why) => {
            let body = html! { (notice(Tone::Bad, html! { p { (why) } })) (form(study)) };
            return Ok(study.page(title, &body).into());
        }
    };
    let wanted: Option<AssetName> = Some(visit.query.get("asset"))
        .filter(|name| !name.is_empty())
        .map(|name| name.parse().unwrap_or_else(|never| match never {}));
    let is_wanted = |asset: &&AssetView| {
        let owner = study.ledger.accounts.get(&asset.owner).map(|view| &view.account);
        asset.height <= at && wanted.as_ref().is_none_or(|wanted| wanted.fits(&asset.id, &asset.name, owner))
    };
    let assets: Vec<&AssetView> = study.ledger.assets().iter().filter(is_wanted).collect();
    study.note(What::Grants, &format!("as of block {at} {}", visit.query.get("asset")))?;
    let stood = |asset: &AssetView| -> Vec<&Stint> {
        study.ledger.stints.iter().filter(|stint| stint.grant.asset == asset.id && stint.stood(at)).collect()
    };
    let listed: Vec<(&AssetView, Vec<&Stint>)> = assets.iter().map(|asset| (*asset, stood(asset))).collect();
    let names = match visit.query.has("names") {
        true => study.open_names(listed.iter().flat_map(|(_, stints)| stints).map(|stint| &stint.grant.to))?,
        false => Names::default(),
    };
    let block_time = study.ledger.time_of(at).unwrap_or_default();
    let body = html! {
        (form(study))
        p.lead { (visit.lang.fill("As it stood when block {} of {} was the last.", "截至区块 {}（{}）时的状态。", &[&count(at.0), &time(block_time)])) }
        @if listed.is_empty() { p.empty { (visit.say("No asset was registered then.", "当时没有已注册的资产。")) } }
        @for (asset, stints) in &listed { (list(study, asset, stints, at, block_time, &names)) }
    };
    Ok(study.page(title, &body).into())
}

/// The block that is asked for: by its height, or as the last one at some time.
fn as_of(study: &Study<'_>) -> Result<BlockHeight, String> {
    let (visit, head) = (study.visit, study.ledger.head.height);
    let block = visit.query.get("block");
    if block.is_empty() {
        let until = super::trail::moment(visit, "at", true)?;
        return Ok(until.map_or(head, |until| study.ledger.block_at(until)));
    }
    let height = block.parse().ok().map(BlockHeight).filter(|height| *height <= head);
    height.ok_or_else(|| {
        visit.lang.fill(
            "There is no such block: the ledger stands at block {}.",
            "没有该区块：账本当前高度为 {}。",
            &[&head],
        )
    })
}

fn form(study: &Study<'_>) -> Markup {
    let visit = study.visit;
    let query = &visit.query;
    html! { form.card method="get" action="/console/auditor/grants" {
        h2 { (visit.say("As of", "截至")) }
        div.row {
            (field("at", visit.say("Date and time (UTC)", "日期与时间（UTC）"), None, html! {
                input type="datetime-local" id="at" name="at" value=(query.get("at"));
            }))
            (field("block", visit.say("or block", "或区块"), None, html! {
                input type="number" id="block" name="block" min="0" value=(query.get("block"));
            }))
            (text_field("asset", visit.say("Asset: name or id", "资产：名称或标识"), None, query.get("asset")))
        }
        (tick("names", "open", html! { (visit.say("Open pseudonyms: each one is recorded", "打开假名：每次打开都会被记录")) }, query.has("names")))
        div.actions {
            button type="submit" { (visit.say("Show", "显示")) }
            a.button.plain href="/console/auditor/grants" { (visit.say("Now", "当前")) }
        }
    } }
}

fn list(
    study: &Study<'_>,
    asset: &AssetView,
    stints: &[&Stint],
    at: BlockHeight,
    time_ms: u64,
    names: &Names,
) -> Markup {
    let visit = study.visit;
    let headings = [
        visit.say("Who", "账户"),
        visit.say("May ask", "可查询内容"),
        visit.say("Purpose", "用途"),
        visit.say("When", "时限"),
        visit.say("Stood since", "生效区块"),
        visit.say("Ended", "终止"),
    ];
    let row = |stint: &&Stint| {
        let grant = &stint.grant;
        vec![
            study.who(&grant.to, names),
            terms(visit, &grant.terms, &asset.schema),
            html! { @if grant.terms.purpose.is_empty() { (visit.say("any", "任意")) } @else { (grant.terms.purpose) } },
            window(visit, &grant.terms, time_ms),
            in_block(visit.lang, stint.from),
            html! { @match stint.until { Some(until) => (in_block(visit.lang, until)), None => "—" } },
        ]
    };
    let rows: Vec<_> = stints.iter().map(row).collect();
    let owner = study.ledger.owner_at(&asset.id, at).unwrap_or(asset.owner);
    let gone = asset.withdrawn.filter(|height| *height <= at);
    html! { section.card {
        h2 { (asset.name) @if gone.is_some() { " " (badge(Tone::Bad, visit.say("withdrawn", "已撤回"))) } }
        p.soft { (visit.say("Owner: ", "数据提供方：")) (study.who(&owner, names)) }
        @if gone.is_some() { p { (visit.say("Nothing of it is granted any more.", "该资产不再接受任何查询。")) } }
        (table(&headings, &rows, visit.say("Nobody could ask.", "当时无人可查询。")))
    } }
}

fn window(visit: &Visit, terms: &GrantTerms, at_ms: u64) -> Markup {
    html! {
        @if let Some(from) = terms.not_before_ms { div { (visit.say("from ", "自 ")) (time(from)) @if at_ms < from { " " (badge(Tone::Warn, visit.say("not begun", "尚未开始"))) } } }
        @if let Some(until) = terms.until_ms { div { (visit.say("until ", "至 ")) (time(until)) @if at_ms > until { " " (badge(Tone::Warn, visit.say("over", "已过期"))) } } }
        @if terms.not_before_ms.is_none() && terms.until_ms.is_none() { (visit.say("always", "不限")) }
    }
}

/// What a grant lets its holder ask.
pub(super) fn terms(visit: &Visit, terms: &GrantTerms, schema: &Schema) -> Markup {
    let names = |columns: &[u8]| -> String {
        let name = |column: &u8| schema.at(*column).map_or_else(|| column.to_string(), |column| column.name.clone());
        columns.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    html! { ul.plain {
        @if !terms.disclose.is_empty() { li { (visit.say("see ", "查看 ")) code { (names(&terms.disclose)) } } }
        @if !terms.whole.is_empty() { li { (visit.say("fetch all of ", "获取整列 ")) code { (names(&terms.whole)) } } }
        @for predicate in &terms.prove { li { (visit.say("have proven ", "证明 ")) code { (predicate.display(schema)) } } }
        @if terms.existence { li { (visit.say("ask whether records exist", "查询记录是否存在")) } }
        @if let Some(quota) = terms.quota { li { (visit.lang.fill("about {} [key|keys] at most", "至多 {} 个主键", &[&count(quota)])) } }
        @if let Some(bits) = terms.bits { li { (visit.lang.fill("be told {} [bit|bits] of a field at most", "每字段至多 {} 比特", &[&bits])) } }
    } }
}
