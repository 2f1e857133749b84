//! Samples of what owners store: having chance choose records, and what was found.

use std::sync::Arc;

use maud::{Markup, html};
use sealgate_ledger::ids::TxHash;
use sealgate_ledger::tx::{SAMPLE_RECORDS_MAX, SampleOutcome, TABLE};

use super::{Study, spoken, told, too_many, trail::entry_link};
use crate::console::page::{Page, Tone, badge, count, facts, field, hidden, notice, short, table, time};
use crate::console::{Answer, Console, Fault, Fields, HomePlace, Place, Reply, Visit};
use crate::files::read_json;
use crate::journal::{Journal, What};
use crate::sampling::{SampleReport, sample};
use crate::trail::{Kind, Line};

/// The page with its form; `why` says what was wrong with what was sent.
pub(super) fn show(study: &Study<'_>, why: Option<&str>, typed: &Fields) -> Page {
    let visit = study.visit;
    let tables: Vec<_> =
        study.ledger.assets().iter().filter(|asset| asset.data_type == TABLE && asset.withdrawn.is_none()).collect();
    let number = if typed.get("records").is_empty() { "8" } else { typed.get("records") };
    let body = html! {
        section.card {
            h2 { (visit.say("Sample an owner's records", "抽查数据提供方的记录")) }
            @if let Some(why) = why { (notice(Tone::Bad, html! { p { (why) } })) }
            p { (visit.say(
                "Chance chooses records that nobody can foresee. Their owner has to show them with ciphertext, openings and paths; all of it is checked here, and what was found is recorded on the ledger under your name. You see that it is whole, not what the records say.",
                "由无人可预知的随机数选取记录。数据提供方须出示其密文、打开值与路径；全部在本机核对，结果以您的名义记入账本。您将得知存储是否完好，而不会看到记录内容。",
            )) }
            @if tables.is_empty() { p.empty { (visit.say("No table is published.", "没有已发布的数据表。")) } }
            @else {
                form method="post" action="/console/auditor/samples" {
                    (hidden(visit))
                    div.row {
                        (field("asset", visit.say("Asset", "资产"), None, html! { select id="asset" name="asset" {
                            @for asset in &tables { option value=(asset.id) selected[typed.get("asset") == asset.id.to_string()] { (asset.name) " · " (asset.title) } }
                        } }))
                        (field("records", visit.say("Records", "记录数"), None, html! {
                            input type="number" id="records" name="records" min="1" max=(SAMPLE_RECORDS_MAX) value=(number);
                        }))
                        button type="submit" { (visit.say("Sample", "抽样")) }
                    }
                }
            }
        }
        section.card { h2 { (visit.say("Samples so far", "已有抽样")) } (list(study)) }
    };
    study.page(visit.say("Samples", "抽样"), &body)
}

fn list(study: &Study<'_>) -> Markup {
    let visit = study.visit;
    let headings = [
        visit.say("Time", "时间"),
        visit.say("Asset", "资产"),
        visit.say("Records", "记录数"),
        visit.say("Outcome", "结果"),
        visit.say("Found", "发现"),
        visit.say("Report", "报告"),
    ];
    let row = |line: &Line| {
        let (word, tone) = spoken::outcome(visit.lang, line.outcome);
        vec![
            html! { a.nowrap href=(entry_link(line)) { (time(line.time_ms)) } },
            html! { (line.asset_name) },
            html! { (line.keys) },
            badge(tone, word),
            html! { @match line.checked { Some(checked) => (found(visit, &checked.outcome)), None => "—" } },
            html! { @if line.checked.is_some() { a href=(format!("/console/auditor/samples/{}", line.request)) { (short(&line.request.to_string())) } } },
        ]
    };
    let rows: Vec<_> = study.ledger.lines.iter().rev().filter(|line| line.kind == Kind::Sample).map(row).collect();
    table(&headings, &rows, visit.say("No sample has been drawn yet.", "尚无抽样。"))
}

fn found(visit: &Visit, outcome: &SampleOutcome) -> Markup {
    match outcome {
        SampleOutcome::Whole => badge(Tone::Good, visit.say("whole", "完好")),
        SampleOutcome::Damaged { .. } => badge(Tone::Bad, &outcome.to_string()),
    }
}

pub(super) async fn start(console: &Arc<Console>, place: &HomePlace, visit: &Visit) -> Answer {
    let (asset, records) = (visit.form.get("asset").to_owned(), visit.form.get("records"));
    let Some(records) = records.parse::<u16>().ok().filter(|records| (1..=SAMPLE_RECORDS_MAX).contains(records)) else {
        let why = visit.lang.fill(
            "Name a number of records from 1 to {}.",
            "请填写 1 至 {} 之间的记录数。",
            &[&SAMPLE_RECORDS_MAX],
        );
        return match Study::open(console, place, visit).await? {
            Ok(study) => Ok(show(&study, Some(&why), &visit.form).into()),
            Err(job) => Ok(Reply::SeeOther(job)),
        };
    };
    let chain = place.client.genesis().await.map_err(Fault::failed)?.chain_id();
    place.home.trusts(&chain).map_err(Fault::failed)?;
    let journal = Journal::of(&place.home, &chain);
    let about = format!("{records} records of {asset}");
    tokio::task::block_in_place(|| journal.note(What::Sample, &about)).map_err(Fault::failed)?;
    let (state, owner) = (console.clone(), place.account.address());
    let title = visit.say("Sampling records", "正在抽样");
    let job = console.jobs.start(owner, title.into(), "/console/auditor/samples", |job| async move {
        let Place::Home(place) = &state.place else { return Err("this is no home".into()) };
        let progress = |what, done, total| job.count(what, done, Some(total));
        let sampled = sample(&place.home, &place.client, &asset, records, &progress).await.map_err(told)?;
        Ok(format!("/console/auditor/samples/{}", sampled.report.request))
    });
    let job = job.ok_or_else(|| Fault::Refused(too_many(visit)))?;
    Ok(Reply::SeeOther(format!("/console/jobs/{}", job.id)))
}

/// The report of one sample, as this home keeps it.
pub(super) fn report(study: &Study<'_>, hash: &str) -> Answer {
    let visit = study.visit;
    let hash: TxHash = hash.parse().map_err(|_| Fault::NotFound)?;
    let (_, line) = study.ledger.request(&hash).filter(|(_, line)| line.kind == Kind::Sample).ok_or(Fault::NotFound)?;
    study.note(What::Sample, &hash.to_string())?;
    let path = study.place.home.folder().join("samples").join(format!("{hash}.json"));
    let report: Option<SampleReport> =
        if path.exists() { Some(read_json(&path).map_err(Fault::failed)?) } else { None };
    let outcome = line.checked.map(|checked| checked.outcome);
    let body = html! {
        @match outcome {
            Some(SampleOutcome::Whole) => (notice(Tone::Good, html! { p { (visit.say(
                "Every record that chance chose is stored as it was registered: its path leads to the registered root, its values open its commitment, and its cells open from ciphertext with the registered digests.",
                "随机选中的每条记录均按注册内容存储：路径通向已注册的根，取值与承诺相符，单元格可由摘要相符的密文解开。",
            )) } })),
            Some(SampleOutcome::Damaged { .. }) => (notice(Tone::Bad, html! { p { (visit.say("What is stored is not what was registered.", "存储内容与注册内容不符。")) }
                @if let Some(finding) = report.as_ref().and_then(|report| report.finding.as_ref()) { p { (finding) } } })),
            None => (notice(Tone::Warn, html! { p { (visit.say("Nothing was recorded of this sample yet.", "此抽样尚无记录结果。")) } })),
        }
        (facts(&of_report(visit, line, report.as_ref())))
        p { a.button.plain href="/console/auditor/samples" { (visit.say("All samples", "全部抽样")) } }
    };
    Ok(study.page(visit.say("Sample", "抽样"), &body).into())
}

fn of_report<'a>(visit: &'a Visit, line: &Line, report: Option<&SampleReport>) -> Vec<(&'a str, Markup)> {
    let mut list = vec![
        (visit.say("Asset", "资产"), html! { (line.asset_name) }),
        (
            visit.say("Asked for", "抽取"),
            html! { (visit.lang.fill("{} [record|records]", "{} 条记录", &[&line.keys])) },
        ),
    ];
    if let Some(report) = report {
        list.push((visit.say("Version", "版本"), html! { (report.version) }));
        list.push((visit.say("Different records", "不同记录"), html! { (count(report.distinct)) }));
        list.push((
            visit.say("Ciphertext read", "读取密文"),
            html! { (visit.lang.fill("{} bytes", "{} 字节", &[&count(report.bytes)])) },
        ));
    }
    if let Some(checked) = line.checked {
        list.push((visit.say("Recorded in block", "记录区块"), html! { (count(checked.height.0)) }));
        list.push((visit.say("Hash of the report", "报告哈希"), html! { span.mono { (checked.report) } }));
    }
    list.push((visit.say("Request", "请求"), html! { a href=(entry_link(line)) { span.mono { (line.request) } } }));
    list
}
