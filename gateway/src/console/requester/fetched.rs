//! Whole columns and files: fetched into the home's folder `fetched`, checked against the ledger on the way.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use maud::{Markup, html};
use sealgate_circuits::bytes::tagged_hash;
use sealgate_ledger::ids::{AssetId, BlockHeight, TxHash};
use sealgate_ledger::state::{ContractView, GrantView};
use sealgate_ledger::tx::{FILE, PURPOSE_BYTES_MAX};
use serde::{Deserialize, Serialize};

use super::super::page::{Page, card, command, count, hidden, table, tick};
use super::super::{Answer, Console, Desk, Fault, HomePlace, Reply, Visit, blocking, explorer, telling};
use super::asset::{self, Seen};
use super::{aside, checks};
use crate::asking::AskFailure;
use crate::client::Client;
use crate::fetching::file::{FileFetching, fetch_file};
use crate::fetching::{Fetching, Format, fetch};
use crate::files::{FileError, check_writable, create_private_dir, read_bounded, read_json, write_json};
use crate::home::Home;

/// The folder in a home.
const FOLDER: &str = "fetched";
/// Ending of the file beside each that says what it is.
const ABOUT: &str = ".about.json";
/// Largest file that is handed to a browser, in bytes; a larger one is on this machine already.
const DOWNLOAD_BYTES_MAX: u64 = 64 << 20;
/// Files that are listed.
const LISTED_MAX: usize = 500;

/// What a fetched file is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    asset: AssetId,
    name: String,
    version: u32,
    /// Columns of a table; none of a file.
    columns: Vec<String>,
    /// Rows of a table, bytes of a file.
    size: u64,
    request: TxHash,
    block: BlockHeight,
}

/// What is to be fetched.
struct Wish {
    asset: String,
    /// None for a file.
    columns: Option<Vec<String>>,
    format: Format,
    purpose: String,
    out: PathBuf,
}

/// The form on an asset's page, with the command that does the same.
pub(super) fn form(place: &HomePlace, visit: &Visit, contract: &ContractView, grant: &GrantView) -> Markup {
    let (asset, terms) = (&contract.asset, &grant.terms);
    let is_file = asset.data_type == FILE;
    let names: Vec<String> = terms.whole.iter().map(|at| telling::column(&asset.schema, *at)).collect();
    let what = if is_file { "file get".to_owned() } else { "fetch".to_owned() };
    let columns = if is_file { String::new() } else { format!(" --columns '{}'", names.join(",")) };
    let purpose = if terms.purpose.is_empty() { "TEXT" } else { &terms.purpose };
    let ending = if is_file { "" } else { ".csv" };
    html! {
        form method="post" action=(format!("/console/requester/fetch/{}", asset.id)) {
            (hidden(visit))
            @if !is_file {
                fieldset {
                    legend { (visit.say("Fetch whole columns", "获取整列")) }
                    @for (at, name) in terms.whole.iter().zip(&names) { (tick("column", &at.to_string(), html! { (name) }, true)) }
                }
            }
            @if terms.purpose.is_empty() {
                div.field {
                    label for="fetch-purpose" { (visit.say("Purpose", "用途")) }
                    input type="text" id="fetch-purpose" name="purpose" maxlength=(PURPOSE_BYTES_MAX) required;
                }
            }
            p.actions {
                @if is_file { button type="submit" { (visit.say("Fetch the file", "获取文件")) } }
                @else {
                    button type="submit" name="format" value="csv" { (visit.say("Fetch as CSV", "获取为 CSV")) }
                    button.plain type="submit" name="format" value="parquet" { (visit.say("Fetch as Parquet", "获取为 Parquet")) }
                }
            }
        }
        details {
            summary { (visit.say("With the command line", "使用命令行")) }
            (command(&format!(
                "sealgate {what} --gateway {} --home {} \\\n  --asset {}{columns} \\\n  --purpose '{}' --out {}{ending}",
                place.client.url(),
                place.home.folder().display(),
                asset.id,
                purpose.replace('\'', "'\\''"),
                asset.name,
            )))
        }
    }
}

/// Starts to fetch.
pub(super) async fn sent(console: &Arc<Console>, place: &HomePlace, visit: &Visit, id: &str) -> Answer {
    let seen = asset::seen(place, visit, id).await?;
    let lang = visit.lang;
    let wish = wish(place, visit, &seen)?;
    let session = visit.session()?;
    let (home, client) = (place.home.clone(), place.client.clone());
    let title = lang.fill("Fetching {}", "正在获取 {}", &[&seen.contract.asset.name]);
    let back = format!("/console/requester/assets/{}", seen.contract.asset.id);
    let job = console.jobs.start(session.address, title, &back, |job| {
        aside(move || async move {
            let progress = |what: &'static str, done: u64, total: u64| job.count(what, done, Some(total));
            let about = run(&home, &client, &wish, &progress).await.map_err(|error| checks::failure(lang, &error))?;
            let path = beside(&wish.out);
            write_json(&path, &about, true).map_err(|error| error.to_string())?;
            Ok("/console/requester/fetched".into())
        })
    });
    let busy =
        visit.say("Too much is being done already: wait until something is over.", "正在进行的任务过多，请稍候再试。");
    let job = job.ok_or_else(|| Fault::Refused(busy.into()))?;
    Ok(Reply::SeeOther(format!("/console/jobs/{}", job.id)))
}

fn wish(place: &HomePlace, visit: &Visit, seen: &Seen) -> Result<Wish, Fault> {
    let asset = &seen.contract.asset;
    let refused = |en: &str, zh: &str| Fault::Refused(visit.say(en, zh).to_owned());
    let grant = seen.grant.as_ref().filter(|grant| !grant.terms.whole.is_empty());
    let terms = &grant
        .ok_or_else(|| refused("you were granted nothing whole of this asset", "您未获准获取此资产的整列或文件"))?
        .terms;
    let purpose = if terms.purpose.is_empty() { visit.form.get("purpose") } else { &terms.purpose };
    if purpose.is_empty() {
        return Err(refused("say why you fetch it", "请填写用途"));
    }
    let format: Format = visit.form.get("format").parse().unwrap_or(Format::Csv);
    let (columns, ending) = if asset.data_type == FILE {
        (None, "bin")
    } else {
        let wanted: Vec<u8> =
            visit.form.all("column").filter_map(|at| at.parse().ok()).filter(|at| terms.whole.contains(at)).collect();
        let names: Vec<String> = wanted.iter().map(|at| telling::column(&asset.schema, *at)).collect();
        if names.is_empty() {
            return Err(refused("tick at least one column", "请至少勾选一个字段"));
        }
        (Some(names), if format == Format::Parquet { "parquet" } else { "csv" })
    };
    // The same wish has the same name, so that what was interrupted goes on.
    let which = tagged_hash("sealgate/fetched-name/1", &[asset.id.as_bytes(), format!("{columns:?}").as_bytes()]);
    let which = hex::encode(which);
    let name = format!("{}-v{}-{}.{ending}", asset.name, asset.current, which.get(..8).unwrap_or_default());
    let out = place.home.folder().join(FOLDER).join(name);
    Ok(Wish { asset: asset.id.to_string(), columns, format, purpose: purpose.to_owned(), out })
}

async fn run(
    home: &Home,
    client: &Client,
    wish: &Wish,
    progress: &(dyn Fn(&'static str, u64, u64) + Sync),
) -> Result<About, AskFailure> {
    let folder = home.folder().join(FOLDER);
    create_private_dir(&folder).map_err(FileError::io(&folder))?;
    // It counts against the quota: nothing is asked for that cannot be kept.
    check_writable(&wish.out)?;
    let (asset, purpose, out) = (wish.asset.as_str(), wish.purpose.as_str(), wish.out.as_path());
    match &wish.columns {
        Some(columns) => {
            let fetching = Fetching { asset, columns, purpose, out, format: wish.format, progress };
            let done = fetch(home, client, &fetching).await?;
            let (columns, size) = (done.columns, done.rows);
            Ok(About {
                asset: done.asset,
                name: done.name,
                version: done.version,
                columns,
                size,
                request: done.request,
                block: done.block,
            })
        }
        None => {
            let done = fetch_file(home, client, &FileFetching { asset, purpose, range: None, out, progress }).await?;
            let columns = Vec::new();
            Ok(About {
                asset: done.asset,
                name: done.name,
                version: done.version,
                columns,
                size: done.bytes,
                request: done.request,
                block: done.block,
            })
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ABOUT);
    name.into()
}

/// What was fetched.
pub(super) async fn page(place: &HomePlace, visit: &Visit) -> Answer {
    let folder = place.home.folder().join(FOLDER);
    let listed = folder.clone();
    let files = blocking(move || Ok(list(&listed))).await?;
    let rows: Vec<Vec<Markup>> = files.iter().map(|(name, about, bytes)| row(visit, name, about, *bytes)).collect();
    let headings = [
        visit.say("File", "文件"),
        visit.say("Asset", "资产"),
        visit.say("Columns", "字段"),
        visit.say("Rows", "行数"),
        visit.say("Delivered", "交付"),
    ];
    let empty = visit.say(
        "Nothing was fetched yet. Where a grant allows it, an asset's page offers it.",
        "尚未获取任何文件。授权允许时，可在资产详情页获取。",
    );
    let body = html! {
        p.lead { (visit.say("Whole columns and files that your grants let you have.", "授权允许您获取的整列与文件。")) }
        (card(visit.say("Fetched and checked", "已获取并核查"), table(&headings, &rows, empty)))
        @if !rows.is_empty() { p.soft.small { (visit.say(
            "Every object had its registered digest when it was fetched. The files are in the clear now, on this machine: ",
            "获取时每个对象均与登记的摘要一致。文件现以明文保存在本机：",
        )) code { (folder.display()) } } }
    };
    Ok(Page::new(Desk::Requester, visit.say("Fetched files", "已获取文件"), body).into())
}

fn list(folder: &Path) -> Vec<(String, About, u64)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<(String, About, u64)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().strip_suffix(ABOUT)?.to_owned();
            let about = read_json(&entry.path()).ok()?;
            let bytes = std::fs::metadata(folder.join(&name)).ok()?.len();
            Some((name, about, bytes))
        })
        .take(LISTED_MAX)
        .collect();
    files.sort_by(|a, b| (b.1.block, &a.0).cmp(&(a.1.block, &b.0)));
    files
}

fn row(visit: &Visit, name: &str, about: &About, bytes: u64) -> Vec<Markup> {
    let shown = match bytes <= DOWNLOAD_BYTES_MAX {
        true => html! { a href=(format!("/console/requester/fetched/{name}")) { (name) } },
        false => html! { (name) },
    };
    let size = if about.columns.is_empty() { "—".to_owned() } else { count(about.size) };
    vec![
        html! { (shown) " " span.soft.small { (count(bytes)) " B" } },
        html! { (about.name) " · " (visit.lang.fill("version {}", "版本 {}", &[&about.version])) },
        html! { (about.columns.join(visit.say(", ", "、"))) },
        html! { (size) },
        html! { (visit.say("block ", "区块 ")) (explorer::block_link(about.block)) " · " (explorer::transaction_link(&about.request)) },
    ]
}

/// One of them, for the browser.
pub(super) async fn file(place: &HomePlace, visit: &Visit, name: &str) -> Answer {
    let folder = place.home.folder().join(FOLDER);
    let wanted = name.to_owned();
    let large = visit
        .say(
            "This file is too large for a browser: it is in the home's folder 'fetched'.",
            "文件过大，无法经浏览器下载：请在本机目录 fetched 中查看。",
        )
        .to_owned();
    blocking(move || {
        // Only what is listed: no name leads out of the folder.
        let (name, _, bytes) = list(&folder).into_iter().find(|(name, ..)| *name == wanted).ok_or(Fault::NotFound)?;
        if bytes > DOWNLOAD_BYTES_MAX {
            return Err(Fault::Refused(large));
        }
        let content = read_bounded(&folder.join(&name), DOWNLOAD_BYTES_MAX)
            .map_err(|error| Fault::Internal(error.to_string()))?;
        Ok(Reply::Download { name, kind: "application/octet-stream", content })
    })
    .await
}
