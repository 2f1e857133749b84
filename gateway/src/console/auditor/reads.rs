//! What this auditor has looked at, as the journal says, and its anchors on the ledger.

use std::sync::Arc;

use maud::{Markup, html};

use super::{BLOCKS_AT_ONCE, catch_up, spoken};
use crate::asking::Session;
use crate::console::page::{Page, Tone, badge, card, count, facts, hidden, notice, short, table, time};
use crate::console::{Answer, Console, Desk, Fault, HomePlace, Reply, Visit};
use crate::journal::{Anchor, Journal, Reading, anchor};

/// Reads on one page.
const READS_SHOWN: usize = 100;

pub(super) async fn show(console: &Arc<Console>, place: &HomePlace, visit: &Visit) -> Answer {
    // Damage is told without the ledger too.
    let ledger = match Session::open(&place.home, &place.client).await {
        Ok(session) if place.follower.behind(&session) > BLOCKS_AT_ONCE => {
            return catch_up(console, visit).map(Reply::SeeOther);
        }
        Ok(session) => place.follower.follow(&session, |_, _| {}).await.map_err(Fault::failed),
        Err(error) => Err(Fault::failed(error)),
    };
    let chain = match &ledger {
        Ok(ledger) => ledger.chain,
        Err(_) => console.genesis.chain_id(),
    };
    let journal = Journal::of(&place.home, &chain);
    let reading = tokio::task::block_in_place(|| journal.read()).map_err(Fault::failed)?;
    let anchors = ledger.as_ref().map(|ledger| ledger.anchors.clone()).unwrap_or_default();
    let body = html! {
        p.lead { (visit.say(
            "Each of your reads is recorded here before it is shown, by these pages and by the commands; each line holds the hash of the one before.",
            "您的每次查阅在显示之前（无论经由本页面还是命令行）都会记录于此；每行包含前一行的哈希。",
        )) }
        (state(visit, &reading, &anchors))
        @if let Err(Fault::Failed(why)) = &ledger { (notice(Tone::Warn, html! { p { (visit.say("The ledger could not be read, so anchors are not shown: ", "无法读取账本，因此未显示锚点：")) (why) } })) }
        (card(visit.say("Anchored on the ledger", "账本上的锚点"), anchored(visit, &reading, &anchors)))
        (card(visit.say("Reads, the newest first", "查阅记录（最新在前）"), reads(visit, &reading)))
        p.small.soft { (visit.say("The journal is the file ", "日志文件：")) code { (journal.path().display()) } }
    };
    Ok(Page::new(Desk::Auditor, visit.say("My reads", "我的查阅"), body).into())
}

fn state(visit: &Visit, reading: &Reading, anchors: &[Anchor]) -> Markup {
    let number = count(reading.reads.len() as u64);
    let lost = reading.anchored(anchors).into_iter().find(|(_, number)| number.is_none());
    match (&reading.damage, lost) {
        (Some(damage), _) => notice(
            Tone::Bad,
            html! { p { (visit.lang.fill(
                "The journal is damaged in line {}: {}. The {} [read|reads] before it hold. Put a copy of it back; until then nothing more may be recorded, and what cannot be recorded is not shown.",
                "日志第 {} 行已损坏：{}。此前的 {} 条查阅记录完好。请恢复其副本；在此之前可能无法继续记录，无法记录的内容不会显示。",
                &[&damage.line, &damage.what, &number],
            )) } },
        ),
        (None, Some((anchor, _))) => notice(
            Tone::Bad,
            html! { p { (visit.lang.fill(
                "The journal was rewritten or cut: block {} of {} anchors a read that is not in it.",
                "日志曾被改写或截断：区块 {}（{}）锚定的一次查阅不在其中。",
                &[&anchor.block, &time(anchor.time_ms)],
            )) } },
        ),
        (None, None) => notice(
            Tone::Good,
            html! { p { (visit.lang.fill("{} [read|reads], chained without a gap.", "共 {} 条查阅记录，链接完整。", &[&number])) } },
        ),
    }
}

fn anchored(visit: &Visit, reading: &Reading, anchors: &[Anchor]) -> Markup {
    let last = reading.anchored(anchors).into_iter().next_back();
    let behind = |number: u64| (reading.reads.len() as u64).saturating_sub(number);
    html! {
        p { (visit.say(
            "An anchor puts the newest line's hash on the ledger, as a small text of your account. From then on nobody, you included, can change or remove what was read until then without its being seen. It tells others when you anchored, and nothing of what you read.",
            "锚定会将最新一行的哈希以您账户的短文本写入账本。此后包括您在内的任何人都无法悄悄更改或删除此前的查阅记录。他人只能得知锚定的时间，无法得知查阅内容。",
        )) }
        @if let Some((anchor, number)) = last {
            (facts(&[
                (visit.say("Anchors", "锚点数"), html! { (anchors.len()) }),
                (visit.say("The last", "最近一次"), html! { (visit.lang.fill("block {}", "区块 {}", &[&anchor.block])) " · " (time(anchor.time_ms)) }),
                (visit.say("It covers", "覆盖"), html! { @match number {
                    Some(number) => (visit.lang.fill("reads 1 to {}; {} came after it", "第 1 至 {} 条；其后另有 {} 条", &[&count(number), &count(behind(number))])),
                    None => (badge(Tone::Bad, visit.say("a read that is not in the journal", "日志中不存在的查阅"))),
                } }),
            ]))
        } @else { p { (badge(Tone::Warn, visit.say("not anchored yet", "尚未锚定"))) } }
        @if !reading.reads.is_empty() && reading.damage.is_none() {
            form method="post" action="/console/auditor/reads" {
                (hidden(visit))
                button type="submit" { (visit.say("Anchor now", "立即锚定")) }
            }
        }
    }
}

fn reads(visit: &Visit, reading: &Reading) -> Markup {
    let page: usize = visit.query.get("page").parse().unwrap_or(1).max(1);
    let from = page.saturating_sub(1).saturating_mul(READS_SHOWN);
    let headings = [
        visit.say("No.", "序号"),
        visit.say("Time", "时间"),
        visit.say("What", "类别"),
        visit.say("Which", "内容"),
        visit.say("Hash", "哈希"),
    ];
    let shown = reading.reads.iter().rev().skip(from).take(READS_SHOWN);
    let rows: Vec<_> = shown
        .map(|read| {
            vec![
                html! { (count(read.number)) },
                html! { span.nowrap { (time(read.time_ms)) } },
                html! { (spoken::what(visit.lang, read.what)) },
                html! { span.wrap { (spoken::about(visit.lang, &read.about)) } },
                short(&read.hash.to_string()),
            ]
        })
        .collect();
    let pages = reading.reads.len().div_ceil(READS_SHOWN).max(1);
    html! {
        (table(&headings, &rows, visit.say("Nothing was read yet.", "尚无查阅记录。")))
        @if pages > 1 { nav.pager aria-label=(visit.say("Pages", "分页")) {
            @if page > 1 { a.button.plain href=(super::with(visit, "page", &(page - 1).to_string())) rel="prev" { (visit.say("Newer", "较新")) } }
            span.soft { (visit.lang.fill("page {} of {}", "第 {} 页，共 {} 页", &[&page, &pages])) }
            @if page < pages { a.button.plain href=(super::with(visit, "page", &(page + 1).to_string())) rel="next" { (visit.say("Older", "较旧")) } }
        } }
    }
}

pub(super) async fn anchor_now(place: &HomePlace) -> Answer {
    let session = Session::open(&place.home, &place.client).await.map_err(Fault::failed)?;
    anchor(&session).await.map_err(Fault::refused)?;
    Ok(Reply::SeeOther("/console/auditor/reads".into()))
}
