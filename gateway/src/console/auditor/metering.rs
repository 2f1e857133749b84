//! What each account asked and got; what answers have told of records.

use maud::{Markup, html};

use super::{Names, Study};
use crate::budget::Spent;
use crate::console::page::{Tone, card, count, field, figures, notice, short, table, tick};
use crate::console::{Answer, Fault, Reply};
use crate::journal::What;
use crate::trail::meter::{Counts, Metered, meter};
use crate::trail::{Filter, Line, spreadsheet as sheets};

/// Rows on one page.
const ROWS_SHOWN: usize = 500;

fn filter(study: &Study<'_>) -> Result<Filter, String> {
    Ok(Filter {
        from_ms: super::trail::moment(study.visit, "from", false)?,
        until_ms: super::trail::moment(study.visit, "until", true)?,
        ..Filter::default()
    })
}

fn metered(study: &Study<'_>) -> Result<(Vec<Metered>, Counts), String> {
    let lines = study.ledger.find(&filter(study)?).map_err(|error| error.to_string())?;
    let lines: Vec<Line> = lines.into_iter().cloned().collect();
    Ok(meter(&lines))
}

fn about(study: &Study<'_>) -> String {
    match (study.visit.query.get("from"), study.visit.query.get("until")) {
        ("", "") => "everything".to_owned(),
        (from, "") => format!("from {from}"),
        ("", until) => format!("until {until}"),
        (from, until) => format!("from {from} until {until}"),
    }
}

pub(super) fn show(study: &Study<'_>) -> Answer {
    let visit = study.visit;
    let title = visit.say("Metering", "用量");
    let (rows, total) = match metered(study) {
        Ok(found) => found,
        Err(why) => {
            let body = html! { (notice(Tone::Bad, html! { p { (why) } })) (form(study)) };
            return Ok(study.page(title, &body).into());
        }
    };
    study.note(What::Meter, &about(study))?;
    let names = match visit.query.has("names") {
        true => study.open_names(rows.iter().map(|row| &row.requester))?,
        false => Names::default(),
    };
    let numbers = [
        (total.requests, visit.say("[request|requests]", "请求")),
        (total.granted, visit.say("granted", "已授权")),
        (total.denied, visit.say("denied", "已拒绝")),
        (total.keys, visit.say("[key|keys] answered", "已应答主键")),
        (total.bytes, visit.say("[byte|bytes]", "字节")),
    ];
    let link = format!("/console/auditor/metering.csv?{}", visit.query.encoded());
    let body = html! {
        (form(study))
        (figures(&numbers))
        (card(visit.say("By account, asset and purpose", "按账户、资产与用途"), html! {
            (by(study, &rows, &names))
            div.actions { a.button.plain href=(link) { (visit.say("Spreadsheet (CSV)", "电子表格（CSV）")) } }
        }))
    };
    Ok(study.page(title, &body).into())
}

fn form(study: &Study<'_>) -> Markup {
    let visit = study.visit;
    let time_field = |name: &str, label: &str| {
        field(
            name,
            label,
            None,
            html! { input type="datetime-local" id=(name) name=(name) value=(visit.query.get(name)); },
        )
    };
    html! { form.card method="get" action="/console/auditor/metering" {
        h2 { (visit.say("Time", "时间范围")) }
        div.row {
            (time_field("from", visit.say("From (UTC)", "起始（UTC）")))
            (time_field("until", visit.say("Until (UTC)", "截止（UTC）")))
            button type="submit" { (visit.say("Count", "统计")) }
        }
        (tick("names", "open", html! { (visit.say("Open pseudonyms: each one is recorded", "打开假名：每次打开都会被记录")) }, visit.query.has("names")))
    } }
}

fn by(study: &Study<'_>, rows: &[Metered], names: &Names) -> Markup {
    let visit = study.visit;
    let headings = [
        visit.say("Account", "账户"),
        visit.say("Asset", "资产"),
        visit.say("Purpose", "用途"),
        visit.say("Requests", "请求"),
        visit.say("Granted", "已授权"),
        visit.say("Answered", "已应答"),
        visit.say("Denied", "已拒绝"),
        visit.say("Keys", "主键"),
        visit.say("Bytes", "字节"),
    ];
    let row = |row: &Metered| {
        let counts = &row.counts;
        let numbers = [
            counts.requests,
            counts.granted,
            counts.answered + counts.delivered,
            counts.denied,
            counts.keys,
            counts.bytes,
        ];
        let texts = [study.who(&row.requester, names), html! { (row.asset_name) }, html! { (row.purpose) }];
        texts.into_iter().chain(numbers.map(|number| html! { (count(number)) })).collect()
    };
    let shown: Vec<Vec<Markup>> = rows.iter().take(ROWS_SHOWN).map(row).collect();
    html! {
        (table(&headings, &shown, visit.say("Nobody asked anything.", "没有请求。")))
        @if rows.len() > ROWS_SHOWN { p.soft { (visit.lang.fill("… and {} more; the spreadsheet has all", "……另有 {} 行；电子表格包含全部", &[&(rows.len() - ROWS_SHOWN)])) } }
    }
}

pub(super) fn spreadsheet(study: &Study<'_>) -> Answer {
    let (rows, _) = metered(study).map_err(Fault::Refused)?;
    study.note(What::Spreadsheet, &format!("metering {}", about(study)))?;
    let content = sheets::of_meter(&rows).map_err(Fault::refused)?;
    let name = format!("metering-{}.csv", study.ledger.head.height);
    Ok(Reply::Download { name, kind: "text/csv; charset=utf-8", content })
}

pub(super) fn budgets(study: &Study<'_>) -> Answer {
    let visit = study.visit;
    study.note(What::Budget, "what answers have told")?;
    let (right, wrong) = &study.ledger.charges;
    let body = html! {
        p.lead { (visit.say(
            "What answers have told of each record's fields. A record is named by a hash of its key that only the owner can make.",
            "应答就每条记录的各字段透露的信息量。记录以其主键的哈希表示，该哈希只有数据提供方能够计算。",
        )) }
        @if wrong.is_empty() {
            (notice(Tone::Good, html! { p { (visit.lang.fill(
                "The charges of {} [answer|answers] were opened and computed again: they are what their questions cost, and within the budgets.",
                "已打开并重新计算 {} 个应答的记账：均与其查询的代价一致，且未超出预算。",
                &[&count(*right)],
            )) } }))
        } @else {
            (notice(Tone::Bad, html! {
                p { (visit.lang.fill("The charges of {} [answer|answers] are wrong.", "{} 个应答的记账有误。", &[&wrong.len()])) }
                ul { @for (asset, error) in wrong.iter().take(20) { li { (study.ledger.asset(asset).map_or("", |asset| &asset.name)) ": " (error) } } }
            }))
        }
        (card(visit.say("Told so far, most first", "已透露信息（由多到少）"), told(study)))
    };
    Ok(study.page(visit.say("Budgets", "信息预算"), &body).into())
}

fn told(study: &Study<'_>) -> Markup {
    let visit = study.visit;
    let headings = [
        visit.say("Asset", "资产"),
        visit.say("Field", "字段"),
        visit.say("Record", "记录"),
        visit.say("Told, in bits", "已透露（比特）"),
        visit.say("Budget", "预算"),
        visit.say("Of the budget", "占预算比例"),
        visit.say("Told to", "透露给"),
    ];
    let bits = |millibits: u32| format!("{:.3}", f64::from(millibits) / 1000.0);
    let row = |spent: &Spent| {
        let percent = u64::from(spent.millibits) * 100 / u64::from(spent.budget_millibits.max(1));
        vec![
            html! { (spent.asset) },
            html! { code { (spent.column) } },
            short(&spent.subject.to_string()),
            html! { (bits(spent.millibits)) },
            html! { (bits(spent.budget_millibits)) },
            html! { meter min="0" max="100" high="80" value=(percent.min(100)) { (percent) " %" } " " (percent) " %" },
            html! { @for (who, told) in &spent.requesters { div { (study.who(who, &Names::default())) ": " (visit.lang.fill("{} [bit|bits]", "{} 比特", &[&bits(*told)])) } } },
        ]
    };
    let rows: Vec<_> = study.ledger.spent.iter().take(ROWS_SHOWN).map(row).collect();
    table(&headings, &rows, visit.say("No predicate has told anything yet.", "尚无谓词透露任何信息。"))
}
