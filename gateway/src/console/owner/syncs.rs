//! Tables that are published on a schedule, and the reports of rows that were set aside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use maud::{Markup, html};
use sealgate_ods::manifest::ShareManifest;

use super::At;
use super::parts::{ago, listing};
use crate::config::{CONFIG_FILE, SyncSchedule};
use crate::console::page::{Page, Tone, badge, card, hidden, time};
use crate::console::words::Lang;
use crate::console::{Answer, Desk, Fault, Reply, errors, in_turn};
use crate::files::read_bounded;
use crate::owner::clock_ms;
use crate::publishing::{publish, read_manifest};

/// Where a publish puts its reports, in the data folder.
const REPORTS: &str = "reports";
/// Largest report that is downloaded, in bytes.
const REPORT_BYTES_MAX: u64 = 256 << 20;
const REPORTS_SHOWN: usize = 100;

pub(super) async fn answer(at: At<'_>, rest: &[&str]) -> Answer {
    match (rest, at.visit.is_post) {
        ([], false) => page(at).await,
        (["now", number], true) => now(at, number),
        (["now", _], false) => Ok(Reply::SeeOther("/console/owner/syncs".into())),
        (["reports", name], false) => report(at, name).await,
        _ => Err(Fault::NotFound),
    }
}

async fn page(at: At<'_>) -> Answer {
    let schedules = at.gateway.owner().config().sync.clone();
    let folder = at.gateway.owner().folder().join(REPORTS);
    let reports = in_turn(at.gateway, move || reports(&folder)).await?;
    let rows: Vec<_> = schedules.iter().enumerate().map(|(number, schedule)| row(at, number, schedule)).collect();
    let headings = [
        at.say("Manifest", "清单"),
        at.say("Every", "周期"),
        at.say("Last result since the gateway started", "网关启动以来的最近结果"),
        at.say("Now", "立即"),
    ];
    let none = at.say("No table is published on a schedule.", "没有按计划发布的数据表。");
    let report_row = |(name, bytes, at_ms): &(String, u64, u64)| {
        vec![
            html! { a href=(format!("/console/owner/syncs/reports/{}", crate::console::page::encoded(name).replace('+', "%20"))) { (name) } },
            html! { (time(*at_ms)) },
            html! { (at.fill("{} bytes", "{} 字节", &[bytes])) },
        ]
    };
    let report_rows: Vec<_> = reports.iter().take(REPORTS_SHOWN).map(report_row).collect();
    let report_headings = [at.say("Report", "报告"), at.say("Written", "写入时间"), at.say("Size", "大小")];
    let no_reports = at.say("No row has been set aside.", "没有被搁置的行。");
    let body = html! {
        (card(at.say("Schedules", "同步计划"), html! {
            (listing(at.say("Schedules", "同步计划"), &headings, &rows, none))
            p.soft { (at.say(
                "Schedules stand in the data folder's configuration, one [[sync]] section each; the gateway reads it when it starts:",
                "同步计划写在数据目录的配置中，每项一个 [[sync]] 段；网关启动时读取：",
            )) }
            pre tabindex="0" { code { "# " (at.folder().join(CONFIG_FILE).display()) "\n[[sync]]\nmanifest = \"licences.toml\"\nevery = \"1h\"" } }
        }))
        (card(at.say("Rows that were set aside", "被搁置的行"), html! {
            p.soft { (at.say(
                "A manifest with on_bad_row = \"set_aside\" publishes the good rows and reports the others here. Reports quote the source: they are for your eyes.",
                "清单中设 on_bad_row = \"set_aside\" 时，合格的行照常发布，其余在此报告。报告会引用源数据，仅供您查看。",
            )) }
            (listing(at.say("Reports", "报告"), &report_headings, &report_rows, no_reports))
        }))
    };
    Ok(Page::new(Desk::Owner, at.say("Syncs and reports", "同步与报告"), body).into())
}

fn row(at: At<'_>, number: usize, schedule: &SyncSchedule) -> Vec<Markup> {
    let lang = at.visit.lang;
    let name = ShareManifest::read(&schedule.manifest).map(|manifest| manifest.asset_name().to_owned());
    let last = at.gateway.syncs().of(&schedule.manifest);
    vec![
        html! { @if let Ok(name) = &name { strong { (name) } br; } span.mono.small { (schedule.manifest.display()) }
        @if let Err(error) = &name { br; span.problem { (error) } } },
        html! { (every(lang, schedule.every)) },
        html! { @match last {
            None => { (badge(Tone::Info, at.say("none yet", "尚无"))) }
            Some(last) => {
                @match &last.outcome {
                    Ok(version) => { (badge(Tone::Good, &at.fill("version {}", "版本 {}", &[version]))) }
                    Err(why) => { (badge(Tone::Bad, at.say("failed", "失败"))) " " (why) }
                }
                " " span.soft { (ago(lang, clock_ms(), last.at_ms)) }
            }
        } },
        html! { form method="post" action=(format!("/console/owner/syncs/now/{number}")) { (hidden(at.visit))
        button.plain type="submit" { (at.say("Sync", "同步")) } } },
    ]
}

fn every(lang: Lang, every: Duration) -> String {
    let s = every.as_secs();
    for (unit, en, zh) in [(86_400, "{} d", "{} 天"), (3_600, "{} h", "{} 小时"), (60, "{} min", "{} 分钟")] {
        if s >= unit && s.is_multiple_of(unit) {
            return lang.fill(en, zh, &[&(s / unit)]);
        }
    }
    lang.fill("{} s", "{} 秒", &[&s])
}

/// Publishes the table of a schedule now.
fn now(at: At<'_>, number: &str) -> Answer {
    let number: usize = number.parse().map_err(|_| Fault::NotFound)?;
    let schedule = at.gateway.owner().config().sync.get(number).ok_or(Fault::NotFound)?.clone();
    let gateway = at.gateway.clone();
    let title = at.fill("Publishing {}", "正在发布 {}", &[&schedule.manifest.display()]);
    let lang = at.visit.lang;
    at.job(title, "/console/owner/syncs", move |job| async move {
        let manifest = read_manifest(&schedule.manifest, None).map_err(|error| errors::told(lang, error))?;
        let done = publish(gateway.owner(), &manifest, false, job.clone()).await;
        job.keep(done.map_err(|error| errors::told(lang, error))?);
        Ok(format!("/console/owner/publish/result/{}", job.id))
    })
}

/// Names, lengths and times of the reports, the newest first.
fn reports(folder: &Path) -> Result<Vec<(String, u64, u64)>, Fault> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Fault::Internal(error.to_string()))?,
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let (Ok(name), Ok(about)) = (entry.file_name().into_string(), entry.metadata()) else { continue };
        if !about.is_file() {
            continue;
        }
        let written = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let at_ms = written.and_then(|at| u64::try_from(at.as_millis()).ok()).unwrap_or_default();
        found.push((name, about.len(), at_ms));
    }
    found.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
    Ok(found)
}

/// A report, if the folder lists one of just this name: an address never becomes a path.
async fn report(at: At<'_>, name: &str) -> Answer {
    let (folder, name) = (at.gateway.owner().folder().join(REPORTS), name.to_owned());
    let found = in_turn(at.gateway, move || {
        let listed = reports(&folder)?.into_iter().find(|(listed, ..)| *listed == name);
        let (name, ..) = listed.ok_or(Fault::NotFound)?;
        let path: PathBuf = folder.join(&name);
        let content = read_bounded(&path, REPORT_BYTES_MAX).map_err(Fault::refused)?;
        Ok((name, content))
    });
    let (name, content) = found.await?;
    Ok(Reply::Download { name, kind: "text/csv; charset=utf-8", content })
}
