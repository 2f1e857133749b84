//! What stands out, with the requests behind it.

use std::collections::BTreeMap;

use maud::{Markup, html};
use sealgate_ledger::ids::Address;

use super::{Names, Study, spoken, trail};
use crate::console::page::{Tone, badge, count, field, table, tick, time};
use crate::console::{Answer, Visit};
use crate::identity::first_of;
use crate::journal::What;
use crate::trail::Line;
use crate::trail::anomalies::{Finding, Hours, Rule, find};

/// Lines shown behind one finding.
const LINES_SHOWN: usize = 20;
/// Findings shown of one rule.
const FINDINGS_SHOWN: usize = 50;

pub(super) fn show(study: &Study<'_>) -> Answer {
    let visit = study.visit;
    let hours = hours(visit);
    study.note(
        What::Anomalies,
        &format!("hours {} to {}, {} minutes ahead of UTC", hours.from, hours.until, hours.offset_minutes),
    )?;
    let opens = visit.query.has("names");
    let names = if opens { study.open_names(study.ledger.accounts.keys())? } else { Names::default() };
    let found = find(&study.ledger.lines, &study.ledger.spent, &holders(study, &names), hours);
    let (shown, silent): (Vec<&Rule>, Vec<&Rule>) =
        Rule::ALL.iter().partition(|rule| found.iter().any(|found| found.rule == **rule));
    let body = html! {
        p.lead { (visit.say(
            "Fixed rules over the whole trail. A finding is a reason to ask, and no proof of anything.",
            "对整个访问轨迹应用的固定规则。发现仅供进一步核查，并不证明任何事实。",
        )) }
        (settings(visit, hours))
        @for rule in shown { (of_rule(study, *rule, &found, &names)) }
        @if !silent.is_empty() { section.card {
            h2 { (visit.say("Looked for, and not found", "已检查，未发现")) }
            ul.checks { @for rule in silent { @let (title, meaning) = spoken::rule(visit.lang, *rule);
                li { strong { (title) } span.soft { " · " (meaning) } } } }
        } }
    };
    Ok(study.page(visit.say("Anomalies", "异常"), &body).into())
}

/// Working hours as the form sets them.
fn hours(visit: &Visit) -> Hours {
    let usual = Hours::default();
    let number = |name: &str| visit.query.get(name).parse::<i32>().ok();
    let hour = |name: &str, usual: u8| {
        number(name).and_then(|hour| u8::try_from(hour).ok()).filter(|hour| *hour <= 24).unwrap_or(usual)
    };
    Hours {
        from: hour("from", usual.from),
        until: hour("until", usual.until),
        offset_minutes: number("offset").map_or(usual.offset_minutes, |offset| offset.clamp(-14 * 60, 14 * 60)),
    }
}

/// Who stands behind whom: as far as names were opened, and through accounts that replaced others.
fn holders(study: &Study<'_>, names: &Names) -> BTreeMap<Address, String> {
    let accounts = &study.ledger.accounts;
    let opened = names.0.iter().filter_map(|(address, real)| Some((*address, real.as_ref().ok()?.clone())));
    let succeeded = accounts.values().filter_map(|view| view.successor);
    let chains = succeeded.flat_map(|address| {
        let first = first_of(accounts.values(), address);
        let name = accounts.get(&first).map_or_else(|| first.to_string(), |view| view.account.name.clone());
        [(address, name.clone()), (first, name)]
    });
    chains.chain(opened).collect()
}

fn settings(visit: &Visit, hours: Hours) -> Markup {
    let number = |name: &str, label: &str, min: i32, max: i32, value: i32| {
        field(name, label, None, html! { input type="number" id=(name) name=(name) min=(min) max=(max) value=(value); })
    };
    html! { form.card method="get" action="/console/auditor/anomalies" {
        h2 { (visit.say("Working hours, Monday to Friday", "工作时间（周一至周五）")) }
        div.row {
            (number("from", visit.say("From hour", "起始时刻"), 0, 24, hours.from.into()))
            (number("until", visit.say("Until hour", "结束时刻"), 0, 24, hours.until.into()))
            (number("offset", visit.say("Minutes ahead of UTC", "比 UTC 提前的分钟数"), -840, 840, hours.offset_minutes))
            button type="submit" { (visit.say("Look again", "重新查看")) }
        }
        (tick("names", "open", html! { (visit.say(
            "Open all pseudonyms, to see who uses several addresses: each one is recorded",
            "打开全部假名，以查看谁使用多个地址：每次打开都会被记录",
        )) }, visit.query.has("names")))
    } }
}

fn of_rule(study: &Study<'_>, rule: Rule, found: &[Finding], names: &Names) -> Markup {
    let visit = study.visit;
    let (title, meaning) = spoken::rule(visit.lang, rule);
    let found: Vec<&Finding> = found.iter().filter(|found| found.rule == rule).collect();
    html! { section.card {
        h2 { (title) " " (badge(Tone::Warn, &count(found.len() as u64))) }
        p.soft { (meaning) }
        @for found in found.iter().take(FINDINGS_SHOWN) { (one(study, found, names)) }
        @if found.len() > FINDINGS_SHOWN { p { (visit.lang.fill("… and {} more", "……另有 {} 项", &[&(found.len() - FINDINGS_SHOWN)])) } }
    } }
}

fn one(study: &Study<'_>, found: &Finding, names: &Names) -> Markup {
    let visit = study.visit;
    let lines: Vec<&Line> = found.entries.iter().filter_map(|entry| study.ledger.line(*entry)).collect();
    html! { details.finding {
        summary {
            (measure(visit, found))
            @if !found.asset_name.is_empty() { " · " (found.asset_name) }
            @for who in found.requesters.iter().take(3) { " · " (study.unlinked(who, names)) }
            @if found.until_ms > 0 { span.soft { " · " (time(found.from_ms)) @if found.until_ms != found.from_ms { " – " (time(found.until_ms)) } } }
        }
        @if found.rule == Rule::BudgetNearlyUsed { (told(study, found, names)) }
        @else { (trail::rows(study, lines.get(..LINES_SHOWN).unwrap_or(&lines), names)) }
        @if lines.len() > LINES_SHOWN { p.soft { (visit.lang.fill("… and {} more requests", "……另有 {} 个请求", &[&(lines.len() - LINES_SHOWN)])) } }
    } }
}

fn measure(visit: &Visit, found: &Finding) -> String {
    let number = count(found.measure);
    match found.rule {
        Rule::ManyKeys => visit.lang.fill("{} [key|keys]", "{} 个主键", &[&number]),
        Rule::ManyShapes => visit.lang.fill("{} different questions", "{} 种不同查询", &[&number]),
        Rule::TriedDenials => visit.lang.fill("{} different denials", "{} 种不同的被拒查询", &[&number]),
        Rule::DenialBurst => visit.lang.fill("{} denials", "{} 次被拒", &[&number]),
        Rule::BudgetNearlyUsed => visit.lang.fill("{} % told: {}", "已透露 {} %：{}", &[&number, &found.detail]),
        Rule::OddHours => visit.lang.fill("{} [request|requests]", "{} 个请求", &[&number]),
        Rule::Unanswered => visit.lang.fill("{} [request|requests] without an answer", "{} 个请求未获应答", &[&number]),
        Rule::SeveralAddresses => {
            visit.lang.fill("{} addresses of {}", "{} 个地址，属于 {}", &[&number, &found.detail])
        }
    }
}

/// Who was told of a record whose budget is nearly used, with links to their requests.
fn told(study: &Study<'_>, found: &Finding, names: &Names) -> Markup {
    let visit = study.visit;
    let row = |who: &Address| {
        let asset = found.asset.map(|asset| asset.to_string()).unwrap_or_default();
        let link = format!("/console/auditor/trail?who={who}&asset={asset}");
        vec![study.who(who, names), html! { a href=(link) { (visit.say("requests", "请求")) } }]
    };
    let rows: Vec<_> = found.requesters.iter().map(row).collect();
    table(&[visit.say("Told to", "透露给"), visit.say("Its requests", "其请求")], &rows, "")
}
