//! Requests over time, as bars and as a table for who does not see them.

use maud::{Markup, html};

use crate::console::page::{count, table, time};
use crate::console::words::Lang;
use crate::trail::{Became, Line};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Most bars of a chart.
const BARS_MAX: u64 = 92;
/// Size of the drawing, in its own units.
const WIDTH: u64 = 920;
const HEIGHT: u64 = 180;
/// Room for times below, and for numbers at the left.
const FOOT: u64 = 20;
const LEFT: u64 = 36;

/// Numbers of one stretch of time: answered, open, without an answer, denied.
type Bar = [u64; 4];

/// Lines by what became of them over time.
pub(super) fn chart(lines: &[&Line], lang: Lang) -> Markup {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
        return html! { p.empty { (lang.say("No requests.", "没有请求。")) } };
    };
    let step = step(last.time_ms.saturating_sub(first.time_ms));
    let (from, bars) = bars(lines, step);
    let most = bars.iter().map(|bar| bar.iter().sum::<u64>()).max().unwrap_or(1).max(1);
    html! {
        div.scroll tabindex="0" { (drawing(&bars, from, step, most, lang)) }
        ul.legend {
            li.answered { (lang.say("answered or delivered", "已应答或已交付")) }
            li.open { (lang.say("open", "待应答")) }
            li.granted { (lang.say("granted, ended without an answer", "已授权，未获应答")) }
            li.denied { (lang.say("denied", "已拒绝")) }
        }
        details.chart-table {
            summary { (lang.say("The same as a table", "以表格显示")) }
            (as_table(&bars, from, step, lang))
        }
    }
}

/// The shortest usual stretch with which a span has not too many bars.
fn step(span_ms: u64) -> u64 {
    let steps = [HOUR_MS, DAY_MS, 7 * DAY_MS, 28 * DAY_MS, 364 * DAY_MS];
    steps.into_iter().find(|step| span_ms / step < BARS_MAX - 1).unwrap_or(3640 * DAY_MS)
}

fn bars(lines: &[&Line], step: u64) -> (u64, Vec<Bar>) {
    let from = lines.iter().map(|line| line.time_ms).min().unwrap_or(0) / step;
    let until = lines.iter().map(|line| line.time_ms).max().unwrap_or(0) / step;
    let mut bars: Vec<Bar> = (from..=until).map(|_| Bar::default()).collect();
    for line in lines {
        let at = usize::try_from((line.time_ms / step).saturating_sub(from)).unwrap_or(usize::MAX);
        let part = match line.outcome {
            Became::Answered | Became::Delivered => 0,
            Became::Open => 1,
            Became::Declined | Became::Unanswered => 2,
            Became::Denied => 3,
        };
        if let Some(number) = bars.get_mut(at).and_then(|bar| bar.get_mut(part)) {
            *number += 1;
        }
    }
    (from.saturating_mul(step), bars)
}

const CLASSES: [&str; 4] = ["answered", "open", "granted", "denied"];

fn drawing(bars: &[Bar], from: u64, step: u64, most: u64, lang: Lang) -> Markup {
    let ground = HEIGHT - FOOT;
    // No bar is wider than a few would make it.
    let pitch = ((WIDTH - LEFT) / (bars.len() as u64).max(1)).clamp(1, 60);
    let width = (pitch * 4 / 5).max(1);
    let label = |at: usize| short_time(from.saturating_add(step.saturating_mul(at as u64)), step);
    let marks = (bars.len() / 6).max(1);
    let words = lang.fill("Requests over time, at most {} in one bar", "请求随时间的变化，单柱最多 {}", &[&most]);
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(words) {
            line x1=(LEFT) y1=(ground) x2=(WIDTH) y2=(ground) {}
            line x1=(LEFT) y1="10" x2=(WIDTH) y2="10" {}
            text x="0" y="14" { (count(most)) }
            text x="0" y=(ground) { "0" }
            @for (at, bar) in bars.iter().enumerate() {
                @let x = LEFT + at as u64 * pitch;
                @for (class, y, height) in stack(bar, most, ground) {
                    rect class=(class) x=(x) y=(y) width=(width) height=(height) {}
                }
                @if at.is_multiple_of(marks) { text x=(x) y=(HEIGHT - 4) { (label(at)) } }
            }
        }
    }
}

/// The parts of a bar from below, with their tops and heights; what is there at all can be seen.
fn stack(bar: &Bar, most: u64, ground: u64) -> Vec<(&'static str, u64, u64)> {
    let room = ground - 10;
    let mut top = ground;
    let part = |(number, class): (&u64, &&'static str)| {
        let height = (number.saturating_mul(room) / most.max(1)).max(u64::from(*number > 0) * 2).min(top);
        top = top.saturating_sub(height);
        (height > 0).then_some((*class, top, height))
    };
    bar.iter().zip(&CLASSES).filter_map(part).collect()
}

fn short_time(ms: u64, step: u64) -> String {
    let text = time(ms);
    let (start, end) = if step < DAY_MS { (5, 16) } else { (0, 10) };
    text.get(start..end).unwrap_or_default().to_owned()
}

fn as_table(bars: &[Bar], from: u64, step: u64, lang: Lang) -> Markup {
    let headings = [
        lang.say("From (UTC)", "起始（UTC）"),
        lang.say("Answered", "已应答"),
        lang.say("Open", "待应答"),
        lang.say("Without an answer", "未获应答"),
        lang.say("Denied", "已拒绝"),
    ];
    let row = |(at, bar): (usize, &Bar)| {
        let start = time(from.saturating_add(step.saturating_mul(at as u64)));
        let start = start.get(..16).unwrap_or_default().to_owned();
        std::iter::once(html! { (start) }).chain(bar.iter().map(|number| html! { (count(*number)) })).collect()
    };
    let shown = bars.iter().enumerate().filter(|(_, bar)| bar.iter().any(|number| *number > 0));
    let rows: Vec<Vec<Markup>> = shown.map(row).collect();
    table(&headings, &rows, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_never_too_many_and_parts_fill_them() {
        for span in [0, 1, HOUR_MS, 5 * DAY_MS, 90 * DAY_MS, 400 * DAY_MS, 50 * 365 * DAY_MS] {
            let step = step(span);
            assert!(span / step < BARS_MAX, "{span}");
        }
        assert_eq!((step(DAY_MS), step(10 * DAY_MS), step(100 * DAY_MS)), (HOUR_MS, DAY_MS, 7 * DAY_MS));
        let parts = stack(&[5, 0, 3, 2], 10, 160);
        assert_eq!(parts, [("answered", 85, 75), ("granted", 40, 45), ("denied", 10, 30)]);
        // One of many is seen all the same.
        assert_eq!(stack(&[0, 0, 0, 1], 100_000, 160), [("denied", 158, 2)]);
        assert!(stack(&[0; 4], 1, 160).is_empty());
        assert_eq!(chart(&[], Lang::En).into_string(), "<p class=\"empty\">No requests.</p>");
    }
}
