//! Everything this home asked, and how it ended.

use maud::{Markup, html};

use super::super::page::{Page, Tone, badge, card, count, next_page, table, time};
use super::super::{Answer, Desk, Fault, HomePlace, Visit, blocking};
use crate::answers::{End, Line};

/// Lines on one page.
const SHOWN: usize = 50;
/// Characters of a question that are shown.
const SQL_SHOWN: usize = 140;

pub(super) async fn page(place: &HomePlace, visit: &Visit) -> Answer {
    let home = place.home.clone();
    let lines = blocking(move || home.history().map_err(|error| Fault::Internal(error.to_string()))).await?;
    let from: usize = visit.query.get("from").parse().unwrap_or(0);
    let rows: Vec<Vec<Markup>> = lines.iter().skip(from).take(SHOWN).map(|line| row(visit, line)).collect();
    let to = from.saturating_add(SHOWN);
    let next = (to < lines.len()).then(|| format!("/console/requester/answers?from={to}"));
    let headings = [
        visit.say("When", "时间"),
        visit.say("Question", "查询"),
        visit.say("Keys", "主键数"),
        visit.say("Purpose", "用途"),
        visit.say("Result", "结果"),
    ];
    let empty = visit
        .say("Nothing was asked yet: choose an asset in the catalogue.", "尚未提出查询：请先在资源目录中选择资产。");
    let folder = place.home.folder().join("answers");
    let body = html! {
        p.lead { (visit.say("Everything you asked, and how it ended.", "您提出的全部查询及其结果。")) }
        (card(visit.say("Newest first", "按时间倒序"), html! { (table(&headings, &rows, empty)) (next_page(visit.lang, next.as_deref())) }))
        p.soft.small { (visit.say("Answers are kept on this machine alone, in ", "应答仅保存在本机：")) code { (folder.display()) } }
    };
    Ok(Page::new(Desk::Requester, visit.say("My answers", "我的应答"), body).into())
}

fn row(visit: &Visit, line: &Line) -> Vec<Markup> {
    let (sql, purpose) = match line {
        Line::Kept(kept) => (&kept.sql, &kept.purpose),
        Line::Elsewhere { asked, .. } => (&asked.sql, &asked.purpose),
    };
    let keys = match line {
        Line::Kept(kept) => count(kept.keys as u64),
        Line::Elsewhere { .. } => "—".into(),
    };
    let mut shown: String = sql.chars().take(SQL_SHOWN).collect();
    if shown.len() < sql.len() {
        shown.push('…');
    }
    vec![
        html! { (time(line.time_ms())) },
        html! { a.question href=(format!("/console/requester/answers/{}", line.request())) { code { (shown) } } },
        html! { (keys) },
        html! { (purpose) },
        result(visit, line),
    ]
}

fn result(visit: &Visit, line: &Line) -> Markup {
    match line {
        Line::Kept(kept) => match kept.end {
            End::Answered { .. } => badge(Tone::Good, visit.say("answered", "已应答")),
            End::Denied { .. } => badge(Tone::Bad, visit.say("denied", "已拒绝")),
            End::Declined { .. } => badge(Tone::Warn, visit.say("declined", "未获应答")),
        },
        Line::Elsewhere { asked, .. } if asked.done => {
            badge(Tone::Info, visit.say("by the command line", "由命令行提出"))
        }
        Line::Elsewhere { .. } => badge(Tone::Warn, visit.say("no answer yet", "尚无应答")),
    }
}
