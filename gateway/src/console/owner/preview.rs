//! What a publish makes public, what stays sealed, and what requesters could ever learn: shown before it.

use std::sync::Arc;

use maud::{Markup, html};
use sealgate_circuits::schema::Column;
use sealgate_circuits::value::ColumnType;
use sealgate_ods::manifest::{OnBadRow, ShareManifest, SourceSpec};
use sealgate_ods::source::{self, Read};

use super::parts::{crumbs, listing};
use super::publish::{Draft, steps};
use super::{At, assets};
use crate::console::page::{Page, Tone, card, facts, hidden, notice};
use crate::console::words::Lang;
use crate::console::{Answer, Desk, Fault, errors};
use crate::gateway::Gateway;

/// Rows that the owner is shown.
const ROWS_SHOWN: usize = 5;
/// Rows that are looked through for them: many may be set aside.
const ROWS_READ_MAX: usize = 200;

/// A manifest that was read, with what there is to say of it.
pub(super) struct Preview {
    pub draft: Draft,
    pub manifest: ShareManifest,
    /// Whether every record is sealed as if it were new.
    pub anew: bool,
    /// The first rows, for the owner's eyes.
    rows: Vec<Vec<String>>,
    /// Rows among them that are no records, and why.
    rejected: Vec<String>,
    /// The version and the grants that there are already.
    existing: Option<(u32, usize)>,
}

impl Preview {
    /// Opens the source and reads its first rows.
    pub(super) async fn make(
        lang: Lang,
        gateway: Arc<Gateway>,
        manifest: ShareManifest,
        draft: Draft,
        anew: bool,
    ) -> Result<Preview, String> {
        let work = move || {
            let ledger = gateway.ledger();
            let own = gateway.owner().account().address();
            let failed = |error: sealgate_ledger::LedgerError| errors::told(lang, error);
            let existing = match ledger.asset_owned(&own, manifest.asset_name()).map_err(failed)? {
                Some(asset) => Some((asset.current, ledger.grants(&asset.id).map_err(failed)?.len())),
                None => None,
            };
            let (rows, rejected) = first_rows(lang, &manifest)?;
            Ok(Preview { draft, manifest, anew, rows, rejected, existing })
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

fn first_rows(lang: Lang, manifest: &ShareManifest) -> Result<(Vec<Vec<String>>, Vec<String>), String> {
    let mut source = source::open(manifest).map_err(|error| errors::told(lang, error))?;
    let kinds: Vec<_> = manifest.schema().columns.iter().map(|column| column.kind).collect();
    let (mut rows, mut rejected) = (Vec::new(), Vec::new());
    for _ in 0..ROWS_READ_MAX {
        match source.next().map_err(|error| errors::told(lang, error))? {
            None => break,
            Some(Read::Rejected(row)) => rejected.push(row.to_string()),
            Some(Read::Row(row)) => {
                rows.push(row.values.iter().zip(&kinds).map(|(value, kind)| value.display(*kind)).collect());
            }
        }
        if rows.len() == ROWS_SHOWN {
            break;
        }
    }
    Ok((rows, rejected))
}

pub(super) async fn page(at: At<'_>, number: &str) -> Answer {
    let job = at.job_with::<Preview>(number)?;
    let preview = job.kept::<Preview>().ok_or(Fault::NotFound)?;
    let manifest = &preview.manifest;
    let edit = format!("/console/owner/publish?draft={number}");
    let title = at.fill("What becomes public of {}", "{} 将公开的内容", &[&manifest.asset_name()]);
    let body = html! {
        (crumbs(at, &[(&edit, at.say("Publish a table", "发布数据表"))], &title))
        (steps(at, 2))
        (standing(at, preview))
        (public(at, manifest))
        (sealed(at, manifest))
        (card(at.say("What requesters could ever learn", "使用方最多能获知的内容"), ever_learned(at, manifest)))
        (rows(at, preview))
        section.card {
            h2 { (at.say("Publish it?", "是否发布？")) }
            p { (at.say(
                "All of the source is read, sealed on this machine and committed to; then the ledger is told. What is on the ledger cannot be taken back.",
                "将读取整个数据源，在本机密封并作出承诺，然后写入账本。写入账本的内容无法收回。",
            )) }
            form method="post" action=(format!("/console/owner/publish/preview/{number}")) {
                (hidden(at.visit))
                div.actions {
                    button type="submit" { (at.say("Publish", "发布")) }
                    a.button.plain href=(edit) { (at.say("Back to the manifest", "返回清单")) }
                    a.button.plain href=(format!("/console/owner/publish/manifest/{number}")) { (at.say("Download the manifest", "下载清单")) }
                }
            }
        }
    };
    Ok(Page::new(Desk::Owner, title.clone(), body).into())
}

/// Whether it is a new asset or the next version of one.
fn standing(at: At<'_>, preview: &Preview) -> Markup {
    let name = preview.manifest.asset_name();
    match preview.existing {
        None => notice(
            Tone::Info,
            html! { p { (at.fill(
                "{} is a new asset. Name, columns, uses and budgets are registered with its first version and cannot be changed afterwards.",
                "{} 是新资产。名称、字段、用途与预算随首个版本注册，之后不可更改。",
                &[&name],
            )) } },
        ),
        Some((current, grants)) => notice(
            Tone::Info,
            html! { p { (at.fill(
                "This becomes version {} of {}. Grants that stand go on, and are answered from it: {}.",
                "将成为版本 {}（资产 {}）。现有授权继续有效，并由新版本应答：{} 项。",
                &[&(current + 1), &name, &grants],
            )) } },
        ),
    }
}

fn public(at: At<'_>, manifest: &ShareManifest) -> Markup {
    let owner = at.gateway.owner().account().public().name.clone();
    let description = manifest.description();
    card(
        at.say("Everybody on the ledger sees", "账本上所有人可见"),
        html! {
            (facts(&[
                (at.say("Name", "名称"), html! { strong { (manifest.asset_name()) } }),
                (at.say("Title", "标题"), html! { (manifest.title()) }),
                (at.say("Description", "说明"), html! { @if description.is_empty() { "—" } @else { (description) } }),
                (at.say("Owner", "数据提供方"), html! { (owner) }),
                (at.say("Number of records", "记录数"), html! { (at.say(
                    "“up to”, rounded up to a power of two: a table of 3 000 records, for example, would be shown as “up to 4 096”",
                    "以“不超过”显示，向上取整到 2 的幂：例如 3 000 条记录的表会显示为“不超过 4 096”",
                )) }),
                (at.say("Also", "另有"), html! { (at.say(
                    "when each version was published; a root that commits to the records; hashes of what is stored, sealed; with what it is sealed: ",
                    "各版本的发布时间；对记录作出承诺的根；密封存储内容的哈希；所用算法：",
                )) (manifest.suite().name()) ", " (manifest.hash().name()) }),
            ]))
            h3 { (at.say("Columns", "字段")) }
            (assets::columns_table(at, &manifest.schema(), manifest.budgets(), None))
        },
    )
}

fn sealed(at: At<'_>, manifest: &ShareManifest) -> Markup {
    let origin = match manifest.source() {
        SourceSpec::Postgres(spec) => format!("{}:{}/{}", spec.host, spec.port, spec.database),
        file => file.path().map(|path| path.display().to_string()).unwrap_or_default(),
    };
    card(
        at.say("Stays sealed on this machine", "密封保留在本机"),
        html! { ul {
            li { (at.say("every value of every record, the keys of records among them", "每条记录的每个字段值，包括主键")) }
            li { (at.say("which keys there are, and how many records exactly", "有哪些主键，以及确切的记录数")) }
            li { (at.say("what changed from one version to the next", "各版本之间的变化")) }
            li { (at.say("columns of the source that the manifest does not name", "清单未列出的源字段")) }
            li { (at.say("where the rows come from: ", "数据来源：")) span.mono { (origin) } }
        } },
    )
}

/// What grants could allow at most, column by column.
fn ever_learned(at: At<'_>, manifest: &ShareManifest) -> Markup {
    let schema = manifest.schema();
    // Columns of which the same could be learned are one line.
    let mut alike: Vec<(String, Vec<&str>)> = Vec::new();
    for (column, budget) in schema.columns.iter().zip(manifest.budgets()) {
        let what = at_most(at, column, *budget);
        match alike.iter_mut().find(|(known, _)| *known == what) {
            Some((_, names)) => names.push(&column.name),
            None => alike.push((what, vec![&column.name])),
        }
    }
    html! {
        p { (at.say("Nothing at all until you grant it. And whatever you grant, of one record at most:", "在您授权之前，什么都不会透露。无论如何授权，对单条记录最多透露：")) }
        ul.plain-list { @for (what, names) in alike { li {
            @for (number, name) in names.iter().enumerate() { @if number > 0 { ", " } code { (name) } } ": " (what)
        } } }
        p.soft { (at.say(
            "A bit halves what it could be. For example, after 8 bits one of a million possible values is one of four thousand.",
            "每个比特使可能范围减半。例如 8 比特后，一百万种可能缩小为约四千种。",
        )) }
    }
}

/// The most that could be learned of a column of one record.
fn at_most(at: At<'_>, column: &Column, budget: u16) -> String {
    match (column.allowed.disclose, column.allowed.prove, budget) {
        (true, true, bits) => at.fill(
            "the value, to those to whom you disclose it; to others proofs that tell {} [bit|bits], all of them together",
            "向获准披露者透露其值；对其余各方合计最多以证明透露 {} 比特",
            &[&bits],
        ),
        (true, false, _) => at
            .say(
                "the value, to those to whom you disclose it; nothing is proven of it",
                "向获准披露者透露其值；不作证明",
            )
            .into(),
        (false, true, 0) | (false, false, _) => at.say("nothing, whatever is granted", "无论如何授权均不透露").into(),
        (false, true, bits) => at.fill(
            "never the value; proofs that tell {} [bit|bits], all requesters together",
            "绝不透露其值；所有使用方合计最多以证明透露 {} 比特",
            &[&bits],
        ),
    }
}

fn rows(at: At<'_>, preview: &Preview) -> Markup {
    let schema = preview.manifest.schema();
    let headings: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    // A text may be broken anywhere; a date or a number would read as two, and a time of a day may stand below it.
    let shown = |(cell, column): (&String, &Column)| match column.kind {
        ColumnType::Text => html! { (cell) },
        _ => html! { @for part in cell.split_inclusive('T') { span.nowrap { (part) } wbr; } },
    };
    let rows: Vec<Vec<Markup>> =
        preview.rows.iter().map(|row| row.iter().zip(&schema.columns).map(shown).collect()).collect();
    let caption = at.say("The first rows, as the gateway reads them", "网关读取的前几行");
    card(
        caption,
        html! {
            p.soft { (at.say("For your eyes alone: look whether types, dates and empty cells came out right.", "仅供您查看：请检查类型、日期与空值是否正确。")) }
            @if !preview.rejected.is_empty() { (notice(Tone::Warn, html! {
                p { (at.say("Rows that are no records and would be set aside:", "以下行不构成记录，将被搁置：")) }
                ul { @for row in preview.rejected.iter().take(ROWS_SHOWN) { li { (row) } } }
            })) }
            @if preview.manifest.on_bad_row() == OnBadRow::Stop { p.soft { (at.say(
                "A row further down that is no record stops the publish, and nothing changes then.",
                "后续若有不构成记录的行，发布将停止且不产生任何更改。",
            )) } }
            (listing(caption, &headings, &rows, at.say("The source has no rows.", "数据源没有任何行。")))
        },
    )
}
