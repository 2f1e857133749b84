//! What answers have told of the owner's records: by field, and by record without its key.

use std::collections::BTreeSet;

use maud::{Markup, html};
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::state::AssetView;
use sealgate_ledger::tx::TABLE;

use super::parts::{self, bits, choice, crumbs, listing};
use super::{At, People};
use crate::auditing::read_book_each;
use crate::budget::{Checked, FieldTold, FieldsTold, NEARLY_PERCENT, Reader, Spent};
use crate::console::page::{Check, Page, Tone, badge, card, checklist, count, hidden};
use crate::console::{Answer, Desk, Fault, Reply};

/// Records that are listed.
const RECORDS_SHOWN: usize = 25;
/// Wrong entries that are named.
const WRONG_SHOWN: usize = 20;

pub(super) async fn answer(at: At<'_>, rest: &[&str]) -> Answer {
    match (rest, at.visit.is_post) {
        ([], false) => page(at).await,
        (["check"], true) => check(at),
        (["check"], false) => Ok(Reply::SeeOther("/console/owner/budgets".into())),
        (["checked", job], false) => checked(at, job).await,
        _ => Err(Fault::NotFound),
    }
}

async fn page(at: At<'_>) -> Answer {
    let mut assets = at.assets().await?;
    assets.retain(|asset| asset.data_type == TABLE);
    let wanted: Option<AssetId> = at.visit.query.get("asset").parse().ok();
    let people = at.people().await?;
    let shown: Vec<&AssetView> = assets.iter().filter(|asset| wanted.is_none_or(|id| id == asset.id)).collect();
    let ids: BTreeSet<AssetId> = shown.iter().map(|asset| asset.id).collect();
    let (most, of) = at.gateway.most_told(|id| ids.contains(id), RECORDS_SHOWN).await;
    let nothing = at.say("No table has been published yet.", "尚未发布任何数据表。");
    let mut rows = Vec::new();
    for asset in shown {
        rows.extend(fields(at, asset, &at.gateway.told(&asset.id).await));
    }
    let headings = [
        at.say("Asset", "资产"),
        at.say("Field", "字段"),
        at.say("Budget of a record", "每条记录预算"),
        at.say("Records told of", "涉及记录"),
        at.say("Most told of one", "单条最多已透露"),
        at.say("Left of that one", "该条剩余"),
        at.say("Nearly or all told", "接近或已用尽"),
    ];
    let body = html! {
        p.lead { (at.say(
            "A proof tells a little of a value each time: true, false or unknown. Each field of each record has a budget of bits for that, for all requesters together and over all versions; when it is told, nothing more is proven of it. Values that a grant discloses need no budget.",
            "每次证明都会透露少量信息：真、假或未知。每条记录的每个字段为此设有比特预算，由所有使用方在所有版本中共用；用尽后不再对其作证明。依授权披露的字段值不占用预算。",
        )) }
        section.card { form.row method="get" action="/console/owner/budgets" {
            div.field { label for="asset" { (at.say("Asset", "资产")) } select id="asset" name="asset" {
                (choice("", at.say("all", "全部"), at.visit.query.get("asset")))
                @for asset in &assets { (choice(&asset.id.to_string(), &asset.name, at.visit.query.get("asset"))) }
            } }
            button type="submit" { (at.say("Filter", "筛选")) }
        } }
        (card(at.say("By field", "按字段"), listing(at.say("Budgets by field", "各字段预算"), &headings, &rows, nothing)))
        (card(at.say("Records most was told of", "透露最多的记录"), records(at, &most, of, &people)))
        (card(at.say("Check against the ledger", "与账本核对"), html! {
            p { (at.say(
                "Reads the account of what was told back from every block, and checks that each charge is what its question costs and within budget and share.",
                "从每个区块重新读取透露账目，核对每笔是否与查询成本相符，且未超出预算与份额。",
            )) }
            form method="post" action="/console/owner/budgets/check" { (hidden(at.visit)) button type="submit" { (at.say("Check now", "立即核对")) } }
        }))
    };
    Ok(Page::new(Desk::Owner, at.say("Budgets", "信息预算"), body).into())
}

/// A line for each field of which something can be proven.
fn fields(at: At<'_>, asset: &AssetView, told: &FieldsTold) -> Vec<Vec<Markup>> {
    let columns = (0u8..).zip(asset.schema.columns.iter().zip(&asset.budgets));
    let columns = columns.filter(|(_, (column, _))| column.allowed.prove);
    let line = |(position, (column, budget)): (u8, (&sealgate_circuits::schema::Column, &u16))| {
        let FieldTold { records, nearly, most, .. } = told.get(&position).cloned().unwrap_or_default();
        let budget_millibits = u32::from(*budget) * 1000;
        vec![
            parts::asset_link(asset),
            html! { code { (column.name) } },
            html! { (at.fill("{} [bit|bits]", "{} 比特", &[budget])) },
            html! { (count(records)) },
            html! { (at.fill("{} [bit|bits]", "{} 比特", &[&bits(most)])) (meter(at, most, budget_millibits)) },
            html! { (at.fill("{} [bit|bits]", "{} 比特", &[&bits(budget_millibits.saturating_sub(most))])) },
            html! { @if nearly > 0 { (badge(Tone::Warn, &count(nearly))) } @else { "—" } },
        ]
    };
    columns.map(line).collect()
}

fn meter(at: At<'_>, told: u32, budget: u32) -> Markup {
    html! { meter min="0" max=(budget.max(1)) value=(told) high=(u64::from(budget) * NEARLY_PERCENT / 100) aria-label=(at.say("told of the budget", "已用预算")) {} }
}

fn records(at: At<'_>, most: &[Spent], of: usize, people: &People) -> Markup {
    let row = |line: &Spent| {
        let (told, of) = (bits(line.millibits), bits(line.budget_millibits));
        vec![
            html! { a href=(parts::asset_path(&line.asset_id)) { (line.asset) } },
            html! { code { (line.column) } },
            html! { span.mono title=(line.subject) { (line.subject.to_string().chars().take(12).collect::<String>()) "…" } },
            html! { (at.fill("{} of {} [bit|bits]", "{} / {} 比特", &[&told, &of])) (meter(at, line.millibits, line.budget_millibits)) },
            html! { ul.plain-list { @for (who, own) in &line.requesters { li {
                (parts::person(at, people, who)) ": " (at.fill("{} [bit|bits]", "{} 比特", &[&bits(*own)]))
            } } } },
        ]
    };
    let rows: Vec<_> = most.iter().map(row).collect();
    let headings = [
        at.say("Asset", "资产"),
        at.say("Field", "字段"),
        at.say("Record", "记录"),
        at.say("Told", "已透露"),
        at.say("To whom", "透露给"),
    ];
    let empty = at.say("No proof has told anything yet.", "尚无证明透露任何信息。");
    html! {
        (listing(at.say("Records most was told of", "透露最多的记录"), &headings, &rows, empty))
        @if !rows.is_empty() { p.soft.small { (at.say(
            "A record is named by a hash of its key that only your asset's key can make. What several accounts were told counts once.",
            "记录以其主键的哈希标识，仅可由您的资产密钥生成。多个账户获知的相同内容只计一次。",
        )) @if of > rows.len() { " " (at.fill("The first {} of {}.", "仅显示前 {} 项，共 {} 项。", &[&rows.len(), &of])) } } }
    }
}

/// What a check of the account book came to.
struct BookChecked {
    answers: u64,
    wrong: Vec<(String, String)>,
    /// Whether the balances that the gateway goes by are those of the ledger.
    is_same: bool,
    height: u64,
}

fn check(at: At<'_>) -> Answer {
    let gateway = at.gateway.clone();
    let title = at.say("Checking what was told", "正在核对透露账目").to_owned();
    at.job(title, "/console/owner/budgets", move |job| async move {
        let (state, sink) = (gateway.clone(), job.clone());
        let read = move || {
            let reader = Reader { account: state.owner().account(), earlier: &[], auditor: false };
            let height = state.ledger().head().height.0;
            let progress = |done, total| sink.count("reading blocks", done, Some(total));
            Ok((read_book_each(state.ledger(), &reader, progress)?, height))
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?;
        let ((book, Checked { answers, wrong }), height) =
            read.map_err(|error: crate::owner::OwnerError| error.to_string())?;
        // Answers that were recorded meanwhile are in the one and not in the other.
        let is_same = gateway.ledger().head().height.0 != height || gateway.agrees_with(&book).await;
        let name = |id: &AssetId| book.name(id).unwrap_or_default().to_owned();
        let wrong = wrong.iter().map(|(id, error)| (name(id), error.to_string())).collect();
        job.keep(BookChecked { answers, wrong, is_same, height });
        Ok(format!("/console/owner/budgets/checked/{}", job.id))
    })
}

async fn checked(at: At<'_>, job: &str) -> Answer {
    let job = at.job_with::<BookChecked>(job)?;
    let found = job.kept::<BookChecked>().ok_or(Fault::NotFound)?;
    let mut checks = vec![Check {
        tone: Tone::Good,
        text: html! { (at.fill(
            "Answers whose charges are what their questions cost, and within budgets and shares: {}, up to block {}.",
            "账目与查询成本相符且未超出预算与份额的应答：{} 个，截至区块 {}。",
            &[&count(found.answers), &count(found.height)],
        )) },
    }];
    checks.push(if found.is_same {
        let text =
            at.say("The balances that this gateway goes by are those of the ledger.", "本网关所用余额与账本一致。");
        Check { tone: Tone::Good, text: html! { (text) } }
    } else {
        let text = at.say(
            "The balances that this gateway goes by differ from the ledger's: restart it, so that it reads them anew.",
            "本网关所用余额与账本不一致：请重启网关以重新读取。",
        );
        Check { tone: Tone::Bad, text: html! { (text) } }
    });
    for (asset, error) in found.wrong.iter().take(WRONG_SHOWN) {
        checks.push(Check { tone: Tone::Bad, text: html! { (asset) ": " (error) } });
    }
    let title = at.say("What was told, checked against the ledger", "透露账目核对结果");
    let body = html! {
        (crumbs(at, &[("/console/owner/budgets", at.say("Budgets", "信息预算"))], title))
        (card(at.say("Result", "结果"), checklist(&checks)))
        @if found.wrong.len() > WRONG_SHOWN { p { (at.fill("And {} more.", "另有 {} 项。", &[&(found.wrong.len() - WRONG_SHOWN)])) } }
    };
    Ok(Page::new(Desk::Owner, title, body).into())
}
