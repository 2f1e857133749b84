//! The trail: filtered, over time, a page at a time; as a signed file and as a spreadsheet.

use maud::{Markup, html};
use sealgate_ledger::ids::Address;

use super::{Names, Study, chart, spoken, with};
use crate::console::page::{Tone, badge, count, field, notice, table, text_field, tick, time};
use crate::console::{Answer, Fault, Reply, Visit};
use crate::journal::What;
use crate::naming::Who;
use crate::trail::{self, Filter, Kind, Line, TrailFailure};

/// Lines on one page.
const LINES_SHOWN: usize = 50;

/// What the address asks for.
struct Wanted<'a> {
    filter: Filter,
    /// Who is looked for by the name behind a pseudonym.
    real: Option<&'a str>,
    /// Whether pseudonyms are opened.
    opens: bool,
}

impl<'a> Wanted<'a> {
    /// Reads the form; the error is for whoever filled it in.
    fn read(visit: &'a Visit) -> Result<Wanted<'a>, String> {
        let query = &visit.query;
        let given = |name: &str| Some(query.get(name)).filter(|text| !text.is_empty()).map(str::to_owned);
        let outcomes = match query.get("outcome") {
            "" => Vec::new(),
            word => vec![word.parse().map_err(|error: String| error)?],
        };
        let opens = query.has("names");
        // With pseudonyms opened a name is looked for behind them too; an address is an address.
        let who = given("who").map(|who| who.parse::<Who>().unwrap_or_else(|never| match never {}));
        let (requester, real) = match who {
            Some(Who::Name(_)) if opens => (None, Some(query.get("who"))),
            who => (who, None),
        };
        let filter = Filter {
            asset: given("asset").map(|name| name.parse().unwrap_or_else(|never| match never {})),
            requester,
            purpose: given("purpose"),
            outcomes,
            from_ms: moment(visit, "from", false)?,
            until_ms: moment(visit, "until", true)?,
        };
        Ok(Wanted { filter, real, opens })
    }

    /// The lines, and the names that were opened for them.
    fn lines<'b>(&self, study: &'b Study<'_>) -> Result<(Vec<&'b Line>, Names), Found> {
        let mut lines =
            study.ledger.find(&self.filter).map_err(|error| Found::Nothing(nothing(study.visit, &error)))?;
        let Some(real) = self.real else {
            return Ok((lines, Names::default()));
        };
        let asked: std::collections::BTreeSet<&Address> = lines.iter().map(|line| &line.requester).collect();
        let names = study.open_names(asked.into_iter()).map_err(Found::Fault)?;
        let behind = names.called(real);
        lines.retain(|line| line.name == real || behind.contains(&line.requester));
        Ok((lines, names))
    }
}

/// What the ledger does not have, for whoever looked for it.
fn nothing(visit: &Visit, error: &TrailFailure) -> String {
    let (said, unknown) = match error {
        TrailFailure::NoAsset(unknown) => {
            (visit.lang.fill("the ledger has no asset '{}'", "账本上没有资产“{}”", &[&unknown.name]), unknown)
        }
        TrailFailure::NoAccount(unknown) => {
            (visit.lang.fill("the ledger has no account '{}'", "账本上没有账户“{}”", &[&unknown.name]), unknown)
        }
        TrailFailure::Audit(error) => return error.to_string(),
    };
    match &unknown.near {
        Some(near) => said + &visit.lang.fill(": did you mean '{}'?", "：是否指“{}”？", &[near]),
        None => said,
    }
}

/// Why there are no lines.
enum Found {
    /// The ledger has no such asset or account.
    Nothing(String),
    Fault(Fault),
}

/// A time of a form (`datetime-local`, in UTC), with the whole of its minute at the end.
pub(super) fn moment(visit: &Visit, name: &str, is_end: bool) -> Result<Option<u64>, String> {
    let text = visit.query.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        visit.lang.fill(
            "'{}' is no time: write it as 2026-01-31T08:00",
            "“{}”不是有效时间：请写成 2026-01-31T08:00 的形式",
            &[&text.chars().take(40).collect::<String>()],
        )
    };
    let local: jiff::civil::DateTime = text.parse().map_err(|_| wrong())?;
    let ms = local.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?.timestamp().as_millisecond();
    let ms = u64::try_from(ms).map_err(|_| wrong())?;
    Ok(Some(if is_end { ms.saturating_add(59_999) } else { ms }))
}

pub(super) fn show(study: &Study<'_>) -> Answer {
    let visit = study.visit;
    let title = visit.say("Trail", "访问轨迹");
    let looked = Wanted::read(visit).and_then(|wanted| match wanted.lines(study) {
        Ok(found) => Ok(Ok((wanted, found))),
        Err(Found::Nothing(why)) => Err(why),
        Err(Found::Fault(fault)) => Ok(Err(fault)),
    });
    let (wanted, (lines, mut names)) = match looked {
        Ok(found) => found?,
        Err(why) => {
            let body = html! { (notice(Tone::Bad, html! { p { (why) } })) (form(study)) };
            return Ok(study.page(title, &body).into());
        }
    };
    let page: usize = visit.query.get("page").parse().unwrap_or(1).max(1);
    // The newest first.
    let from = page.saturating_sub(1).saturating_mul(LINES_SHOWN);
    let shown: Vec<&Line> = lines.iter().rev().skip(from).take(LINES_SHOWN).copied().collect();
    study.note(What::Trail, &about(visit))?;
    if wanted.opens {
        let opened =
            study.open_names(shown.iter().map(|line| &line.requester).filter(|who| !names.0.contains_key(*who)))?;
        names.0.extend(opened.0);
    }
    let pages = lines.len().div_ceil(LINES_SHOWN).max(1);
    let body = html! {
        (form(study))
        section.card {
            h2 { (visit.say("Over time", "随时间的变化")) }
            (chart::chart(&lines, visit.lang))
        }
        section.card {
            h2 { (visit.lang.fill("{} [request|requests]", "{} 个请求", &[&count(lines.len() as u64)])) }
            (rows(study, &shown, &names))
            (pager(visit, page, pages))
            (downloads(visit, &wanted))
        }
    };
    Ok(study.page(title, &body).into())
}

/// What the journal says of it: the filter as it was set.
fn about(visit: &Visit) -> String {
    let set = visit.query.0.iter().filter(|(_, value)| !value.trim().is_empty());
    let set: Vec<String> = set.map(|(name, value)| format!("{name}={}", value.trim())).collect();
    if set.is_empty() { "everything".into() } else { set.join(" ") }
}

fn form(study: &Study<'_>) -> Markup {
    let visit = study.visit;
    let query = &visit.query;
    let outcomes = [
        ("", visit.say("all", "全部")),
        ("granted", visit.say("granted", "已授权")),
        ("answered", visit.say("answered", "已应答")),
        ("delivered", visit.say("delivered", "已交付")),
        ("open", visit.say("open", "待应答")),
        ("denied", visit.say("denied", "已拒绝")),
        ("declined", visit.say("declined", "已谢绝")),
        ("unanswered", visit.say("unanswered", "逾期未应答")),
    ];
    let time_field = |name: &str, label: &str| {
        field(name, label, None, html! { input type="datetime-local" id=(name) name=(name) value=(query.get(name)); })
    };
    html! {
        form.card method="get" action="/console/auditor/trail" {
            h2 { (visit.say("Filter", "筛选")) }
            div.row {
                (field("asset", visit.say("Asset", "资产"), None, html! {
                    input type="text" id="asset" name="asset" value=(query.get("asset")) list="assets" autocomplete="off";
                    datalist #assets { @for asset in study.ledger.assets() { option value=(asset.id) { (asset.name) } } }
                }))
                (text_field("who", visit.say("Account: address, DID or name", "账户：地址、DID 或名称"), None, query.get("who")))
                (text_field("purpose", visit.say("Purpose, exactly", "用途（完全一致）"), None, query.get("purpose")))
            }
            div.row {
                (field("outcome", visit.say("Outcome", "结果"), None, html! {
                    select id="outcome" name="outcome" { @for (value, word) in outcomes {
                        option value=(value) selected[query.get("outcome") == value] { (word) }
                    } }
                }))
                (time_field("from", visit.say("From (UTC)", "起始（UTC）")))
                (time_field("until", visit.say("Until (UTC)", "截止（UTC）")))
            }
            (tick("names", "open", html! { (visit.say(
                "Open pseudonyms, and look for the name behind them: each one that is opened is recorded",
                "打开假名，并按其背后的名称查找：每次打开都会被记录",
            )) }, query.has("names")))
            div.actions {
                button type="submit" { (visit.say("Show", "显示")) }
                a.button.plain href="/console/auditor/trail" { (visit.say("Clear", "清除")) }
            }
        }
    }
}

/// Lines as a table.
pub(super) fn rows(study: &Study<'_>, lines: &[&Line], names: &Names) -> Markup {
    let visit = study.visit;
    let headings = [
        visit.say("Time", "时间"),
        visit.say("Who", "账户"),
        visit.say("Asset", "资产"),
        visit.say("Asked for", "查询内容"),
        visit.say("Purpose", "用途"),
        visit.say("Outcome", "结果"),
    ];
    let row = |line: &&Line| {
        let (word, tone) = spoken::outcome(visit.lang, line.outcome);
        vec![
            html! { a.nowrap href=(entry_link(line)) { (time(line.time_ms).trim_end_matches(" UTC")) } },
            study.who(&line.requester, names),
            html! { (line.asset_name) },
            html! { code { (line.shape) } @if line.kind == Kind::Question && line.keys > 1 { " · " (visit.lang.fill("{} [key|keys]", "{} 个主键", &[&line.keys])) } },
            html! { (line.purpose) },
            html! { (badge(tone, word)) @if let Some(reason) = spoken::reason(visit.lang, line) { span.small.soft { " " (reason) } } },
        ]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    table(&headings, &rows, visit.say("Nobody has asked anything of this kind.", "没有此类请求。"))
}

/// Where everything about a line is.
pub(super) fn entry_link(line: &Line) -> String {
    format!("/console/auditor/trail/{}", line.request)
}

fn pager(visit: &Visit, page: usize, pages: usize) -> Markup {
    html! { @if pages > 1 { nav.pager aria-label=(visit.say("Pages", "分页")) {
        @if page > 1 { a.button.plain href=(with(visit, "page", &(page - 1).to_string())) rel="prev" { (visit.say("Newer", "较新")) } }
        span.soft { (visit.lang.fill("page {} of {}", "第 {} 页，共 {} 页", &[&page, &pages])) }
        @if page < pages { a.button.plain href=(with(visit, "page", &(page + 1).to_string())) rel="next" { (visit.say("Older", "较旧")) } }
    } } }
}

fn downloads(visit: &Visit, wanted: &Wanted<'_>) -> Markup {
    let query = visit.query.encoded();
    html! {
        @if wanted.real.is_some() {
            p.soft { (visit.say(
                "A file carries no opened names: look for an address to write one.",
                "导出文件不含已打开的名称：请按地址筛选后再导出。",
            )) }
        } @else {
            div.actions {
                a.button href=(format!("/console/auditor/trail.json?{query}")) { (visit.say("Signed file", "签名文件")) }
                a.button.plain href=(format!("/console/auditor/trail.csv?{query}")) { (visit.say("Spreadsheet (CSV)", "电子表格（CSV）")) }
            }
            p.small.soft { (visit.say(
                "The signed file carries your signature; anybody can compare it with the ledger: sealgate trail --verify FILE --gateway URL. A spreadsheet proves nothing.",
                "签名文件带有您的签名；任何人都可将其与账本比对：sealgate trail --verify FILE --gateway URL。电子表格不具证明效力。",
            )) }
        }
    }
}

fn file_of(study: &Study<'_>) -> Result<(Filter, trail::Trail), Fault> {
    let wanted = Wanted::read(study.visit).map_err(Fault::Refused)?;
    if wanted.real.is_some() {
        let text = study
            .visit
            .say("a file carries no opened names: look for an address", "导出文件不含已打开的名称：请按地址筛选");
        return Err(Fault::Refused(text.into()));
    }
    let trail = study.ledger.trail(&wanted.filter).map_err(Fault::refused)?;
    Ok((wanted.filter, trail))
}

pub(super) fn export(study: &Study<'_>) -> Answer {
    let (filter, trail) = file_of(study)?;
    let account = study.place.home.account().map_err(Fault::failed)?;
    study.note(What::Export, &about(study.visit))?;
    let name = format!("trail-{}.json", trail.height);
    let content = trail::export::sign(trail, filter, &account).map_err(Fault::refused)?;
    Ok(Reply::Download { name, kind: "application/json", content })
}

pub(super) fn spreadsheet(study: &Study<'_>) -> Answer {
    let (_, trail) = file_of(study)?;
    study.note(What::Spreadsheet, &about(study.visit))?;
    let content = trail::spreadsheet::of_trail(&trail.lines).map_err(Fault::refused)?;
    Ok(Reply::Download { name: format!("trail-{}.csv", trail.height), kind: "text/csv; charset=utf-8", content })
}
