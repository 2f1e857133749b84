//! Publishing a table in three steps: its manifest, what becomes public, the publish itself.

use std::path::{Path, PathBuf};

use maud::{Markup, html};
use sealgate_ledger::ids::AssetId;
use sealgate_ods::manifest::{ManifestError, ShareManifest};
use serde::{Deserialize, Serialize};

use super::At;
use super::parts::{asked, asset_path, line};
use super::preview::{self, Preview};
use super::reach::{Beyond, Reach};
use crate::console::jobs::State;
use crate::console::page::{Page, Tone, card, count, facts, hidden, notice, tick};
use crate::console::words::Lang;
use crate::console::{Answer, Desk, Fault, Reply, errors, in_turn};
use crate::files::{FileError, create_private_dir, read_bounded, read_json, write_json};
use crate::inferring::{LookedAt, infer_manifest};
use crate::publishing::{Published, check_existing, publish};

const HERE: &str = "/console/owner/publish";
/// Largest manifest, in bytes.
const MANIFEST_BYTES_MAX: u64 = 256 << 10;

/// A manifest that is being written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Draft {
    pub text: String,
    /// Where relative paths in it start.
    pub folder: String,
}

/// What is wrong with a form, by its field.
type Problem = (&'static str, String);

pub(super) async fn answer(at: At<'_>, rest: &[&str]) -> Answer {
    match (rest, at.visit.is_post) {
        ([], false) => form(at),
        (["open"], true) => open(at).await,
        (["infer"], true) => infer(at),
        (["preview"], true) => look(at).await,
        // What was sent there is gone when the page is loaded again.
        (["open" | "infer" | "preview"], false) => Ok(Reply::SeeOther(HERE.into())),
        (["preview", job], false) => preview::page(at, job).await,
        (["preview", job], true) => start(at, job),
        (["manifest", job], false) => {
            let content = draft(at, job)?.text.into_bytes();
            Ok(Reply::Download { name: "manifest.toml".into(), kind: "application/toml; charset=utf-8", content })
        }
        (["result", job], false) => result(at, job),
        _ => Err(Fault::NotFound),
    }
}

/// The manifest that a job of this visitor's left.
fn draft(at: At<'_>, job: &str) -> Result<Draft, Fault> {
    let inferred = at.job_with::<Draft>(job).ok().and_then(|job| job.kept::<Draft>().cloned());
    let looked_at = || at.job_with::<Preview>(job).ok().and_then(|job| job.kept::<Preview>().map(|p| p.draft.clone()));
    inferred.or_else(looked_at).ok_or(Fault::NotFound)
}

/// Where one is among the three steps.
pub(super) fn steps(at: At<'_>, step: usize) -> Markup {
    let steps = [
        at.say("Write the manifest", "编写清单"),
        at.say("See what becomes public", "查看将公开的内容"),
        at.say("Publish", "发布"),
    ];
    html! { ol.steps { @for (number, name) in steps.iter().enumerate() {
        li aria-current=[(number + 1 == step).then_some("step")] { (name) }
    } } }
}

fn form(at: At<'_>) -> Answer {
    let query = at.visit.query.get("draft");
    let of = at.visit.query.get("asset").parse::<AssetId>().ok();
    let draft = match of {
        Some(asset) if query.is_empty() => kept(at, &asset),
        _ if query.is_empty() => fresh(at),
        _ => draft(at, query)?,
    };
    let inferred = at.job_with::<Draft>(query).is_ok_and(|job| matches!(job.state(), State::Done(_)));
    Ok(written(at, &draft, &[], inferred).into())
}

/// Where the manifest is kept that an asset was last published with from here, for its next version.
fn kept_path(folder: &Path, asset: &AssetId) -> PathBuf {
    folder.join("manifests").join(format!("{asset}.json"))
}

fn keep(folder: &Path, asset: &AssetId, draft: &Draft) -> Result<(), FileError> {
    let manifests = folder.join("manifests");
    create_private_dir(&manifests).map_err(FileError::io(&manifests))?;
    write_json(&kept_path(folder, asset), draft, true)
}

fn kept(at: At<'_>, asset: &AssetId) -> Draft {
    read_json(&kept_path(at.gateway.owner().folder(), asset)).unwrap_or_else(|_| fresh(at))
}

fn fresh(at: At<'_>) -> Draft {
    Draft { text: String::new(), folder: at.folder().display().to_string() }
}

/// The page with the manifest as it is written so far.
fn written(at: At<'_>, draft: &Draft, problems: &[Problem], is_inferred: bool) -> Page {
    let problem = |name: &str| problems.iter().find(|(of, _)| *of == name).map(|(_, what)| what.as_str());
    let has_text = !draft.text.is_empty() || problem("manifest").is_some();
    let body = html! {
        (steps(at, 1))
        @if is_inferred { (notice(Tone::Good, html! { p { (at.say(
            "This is what the source holds. Read it: take out columns that are nobody's business, correct types and key, say what each column may be used for and how many bits proofs may tell of it.",
            "以下为数据源的内容。请检查：删去不应共享的字段，更正类型与主键，注明每个字段的用途及证明可透露的比特数。",
        )) } })) }
        @if !problems.is_empty() { (notice(Tone::Bad, html! { p { (at.say("Something is not right yet: see below.", "尚有问题，请见下方。")) } })) }
        @if has_text { (manifest_form(at, draft, problem("manifest"), problem("folder"))) (starts(at, &problem)) }
        @else { (starts(at, &problem)) (manifest_form(at, draft, None, None)) }
    };
    Page::new(Desk::Owner, at.say("Publish a table", "发布数据表"), body)
}

fn manifest_form(at: At<'_>, draft: &Draft, problem: Option<&str>, folder_problem: Option<&str>) -> Markup {
    let hint = at.say(
        "Which source, which key, which columns with types and uses. Nothing is published before you have seen what becomes public.",
        "指明数据源、主键、字段及其类型与用途。在您查看将公开的内容之前，不会发布任何内容。",
    );
    card(
        at.say("The manifest", "清单"),
        html! { form.wide method="post" action="/console/owner/publish/preview" {
            (hidden(at.visit))
            (asked("manifest", at.say("Manifest (TOML)", "清单（TOML）"), Some(hint), problem, |tied| html! {
                textarea id="manifest" name="manifest" rows="18" spellcheck="false" required
                    aria-describedby=[tied.described.as_deref()] aria-invalid=[tied.invalid] { "\n" (draft.text) }
            }))
            (line("folder", at.say("Folder in which relative paths start", "相对路径的起始目录"),
                Some(at.say("On the gateway's machine.", "位于网关所在机器。")), folder_problem, &draft.folder))
            details {
                summary { (at.say("For repairs", "修复选项")) }
                (tick("anew", "yes", html! { (at.say(
                    "Seal every record as if it were new, because stored objects of the last version are damaged or missing",
                    "将每条记录视为新记录重新密封（上一版本的存储对象损坏或缺失时使用）",
                )) }, at.visit.form.has("anew")))
            }
            button type="submit" { (at.say("See what becomes public", "查看将公开的内容")) }
        } },
    )
}

/// The ways to a first manifest.
fn starts<'p>(at: At<'_>, problem: &impl Fn(&str) -> Option<&'p str>) -> Markup {
    let typed = if at.visit.is_post { &at.visit.form } else { &at.visit.query };
    let database = ["table", "query", "password_file", "ca"].iter().any(|name| !typed.get(name).is_empty());
    html! { div.grid {
        section.card {
            h2 { (at.say("Begin with a source", "从数据源开始")) }
            p { (at.say("The gateway looks at the rows and writes a manifest for you to correct.", "网关读取数据并生成清单，供您修改。")) }
            form method="post" action="/console/owner/publish/infer" {
                (hidden(at.visit))
                (line("source", at.say("File or database", "文件或数据库"), Some(at.say(
                    "A path on the gateway's machine (.csv, .tsv, .jsonl, .json, .parquet), or postgres://USER@HOST:PORT/DATABASE",
                    "网关机器上的路径（.csv、.tsv、.jsonl、.json、.parquet），或 postgres://USER@HOST:PORT/DATABASE",
                )), problem("source"), typed.get("source")))
                details open[database] {
                    summary { (at.say("Of a database", "数据库选项")) }
                    (line("table", at.say("Table", "表"), Some(at.say("TABLE or SCHEMA.TABLE", "TABLE 或 SCHEMA.TABLE")), None, typed.get("table")))
                    (line("query", at.say("or a query", "或查询语句"), None, None, typed.get("query")))
                    (line("password_file", at.say("File with the password", "口令文件"), None, None, typed.get("password_file")))
                    (line("ca", at.say("File of the certificate's authority (PEM)", "证书颁发机构文件（PEM）"), None, None, typed.get("ca")))
                    (tick("tls_off", "yes", html! { (at.say("Talk to the database in the clear", "以明文连接数据库")) }, typed.has("tls_off")))
                }
                button type="submit" { (at.say("Look at the source", "读取数据源")) }
            }
        }
        section.card {
            h2 { (at.say("Or open a manifest that there is", "或打开已有清单")) }
            form method="post" action="/console/owner/publish/open" {
                (hidden(at.visit))
                (line("path", at.say("Path on the gateway's machine", "网关机器上的路径"),
                    Some(at.say("For the next version of an asset, the manifest it was published with.", "发布下一版本时，使用原有清单。")), problem("path"), typed.get("path")))
                button.plain type="submit" { (at.say("Open", "打开")) }
            }
            @let schedules = &at.gateway.owner().config().sync;
            @if !schedules.is_empty() {
                p.soft { (at.say("Those of the schedules: ", "同步计划所用清单：")) }
                ul.plain-list { @for schedule in schedules { li.mono.small { (schedule.manifest.display()) } } }
            }
        }
    } }
}

/// Reads a manifest that lies on the gateway's machine, within the console's reach.
async fn open(at: At<'_>) -> Answer {
    let (found, lang) = (PathBuf::from(at.visit.form.get("path")), at.visit.lang);
    let path =
        absolute(&found).and_then(|path| Reach::of(at.gateway.owner()).find(&path).map_err(|file| beyond(at, &file)));
    let read = match path {
        Ok(path) => in_turn(at.gateway, move || Ok(read_text(lang, &path).map(|text| (text, path)))).await?,
        Err(why) => Err(why),
    };
    let page = match read {
        Ok((text, path)) => {
            let folder = path.parent().unwrap_or(Path::new("/")).display().to_string();
            written(at, &Draft { text, folder }, &[], false)
        }
        Err(why) => written(at, &fresh(at), &[("path", why)], false),
    };
    Ok(page.into())
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    Err(format!("'{}' is not a path from the machine's root: begin with '/'", path.display()))
}

/// Why a file is not read, and the way out.
fn beyond(at: At<'_>, file: &Beyond) -> String {
    at.fill(
        "{} is not where this console reads: {}. Put it there, name its folder in [console] folders of sealgate.toml, or use the command 'sealgate publish'",
        "{} 不在本控制台可读取的目录中：{}。请将文件移至其中，或在 sealgate.toml 的 [console] folders 中列出其目录，或使用命令 'sealgate publish'",
        &[&file.path(), &Reach::of(at.gateway.owner()).folders()],
    )
}

fn read_text(lang: Lang, path: &Path) -> Result<String, String> {
    let bytes = read_bounded(path, MANIFEST_BYTES_MAX).map_err(|error| errors::told(lang, error))?;
    String::from_utf8(bytes).map_err(|_| format!("{} is no UTF-8 text", path.display()))
}

fn infer(at: At<'_>) -> Answer {
    let form = &at.visit.form;
    let given = |name: &str| Some(form.get(name).to_owned()).filter(|value| !value.is_empty());
    let source = form.get("source").to_owned();
    let is_database = source.contains("://");
    if !is_database && let Err(why) = absolute(Path::new(&source)) {
        return Ok(written(at, &fresh(at), &[("source", why)], false).into());
    }
    if is_database && given("table").is_none() && given("query").is_none() {
        let why = at.say("say which table of the database, or a query", "请指明数据库的表或查询语句").to_owned();
        return Ok(written(at, &fresh(at), &[("source", why)], false).into());
    }
    let files = [("source", Some(PathBuf::from(&source)).filter(|_| !is_database))].into_iter();
    let files = files.chain(["password_file", "ca"].map(|name| (name, given(name).map(PathBuf::from))));
    let reach = Reach::of(at.gateway.owner());
    for (name, path) in files.filter_map(|(name, path)| Some((name, path?))) {
        let found = absolute(&path).and_then(|path| reach.find(&path).map_err(|file| beyond(at, &file)));
        if let Err(why) = found {
            let name = if is_database { "source" } else { name };
            return Ok(written(at, &fresh(at), &[(name, why)], false).into());
        }
    }
    let folder = at.folder();
    let looked_at = LookedAt {
        source,
        table: given("table"),
        query: given("query").filter(|_| given("table").is_none()),
        ca: given("ca").map(PathBuf::from),
        tls_off: form.has("tls_off"),
        password_file: given("password_file").map(PathBuf::from),
        folder: Some(folder.clone()),
        ..LookedAt::default()
    };
    let title = at.say("Looking at the source", "正在读取数据源").to_owned();
    let typed = ["source", "table", "query", "ca", "password_file"].map(|name| (name, form.get(name)));
    let back = format!("{HERE}?{}", serde_urlencoded::to_string(typed).unwrap_or_default());
    let lang = at.visit.lang;
    at.job(title, &back, move |job| async move {
        let inferred = infer_manifest(looked_at, job.clone()).await.map_err(|error| errors::told(lang, error))?;
        job.keep(Draft { text: inferred.manifest, folder: folder.display().to_string() });
        Ok(format!("{HERE}?draft={}", job.id))
    })
}

/// Reads the manifest and, as a job, the source's first rows; what becomes public is shown then.
async fn look(at: At<'_>) -> Answer {
    let form = &at.visit.form;
    // Browsers send line ends as CR LF.
    let text = form.get("manifest").replace("\r\n", "\n") + "\n";
    let draft = Draft { text, folder: form.get("folder").to_owned() };
    let manifest = match read(at, &draft).await? {
        Ok(manifest) => manifest,
        Err(problem) => return Ok(written(at, &draft, &[problem], false).into()),
    };
    let (gateway, anew) = (at.gateway.clone(), form.has("anew"));
    let title = at.fill("Looking at {}", "正在查看 {}", &[&manifest.asset_name()]);
    let lang = at.visit.lang;
    at.job(title, &format!("{HERE}?draft={{job}}"), move |job| async move {
        match Preview::make(lang, gateway, manifest, draft.clone(), anew).await {
            Ok(preview) => job.keep(preview),
            Err(why) => {
                // The way back is to the text as it was typed.
                job.keep(draft);
                return Err(why);
            }
        }
        Ok(format!("{HERE}/preview/{}", job.id))
    })
}

/// The manifest, checked by itself and against what is published under its name.
async fn read(at: At<'_>, draft: &Draft) -> Result<Result<ShareManifest, Problem>, Fault> {
    if draft.text.len() as u64 > MANIFEST_BYTES_MAX {
        let what = at.fill("at most {} bytes are read", "最多读取 {} 字节", &[&count(MANIFEST_BYTES_MAX)]);
        return Ok(Err(("manifest", what)));
    }
    let folder = match absolute(Path::new(&draft.folder)) {
        Ok(folder) => folder,
        Err(why) => return Ok(Err(("folder", why))),
    };
    let manifest = match ShareManifest::parse(&draft.text, &folder.join("manifest.toml")) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(Err(("manifest", plainly(at, &error)))),
    };
    if let Err(file) = Reach::of(at.gateway.owner()).allows(manifest.source()) {
        return Ok(Err(("manifest", beyond(at, &file))));
    }
    let (own, name) = (at.own(), manifest.asset_name().to_owned());
    let existing = at.read(move |gateway| Ok(gateway.ledger().asset_owned(&own, &name)?)).await?;
    if let Some(asset) = existing
        && let Err(error) = check_existing(&manifest, &asset)
    {
        return Ok(Err(("manifest", error.to_string())));
    }
    Ok(Ok(manifest))
}

/// What is wrong with a manifest, without the name of a file that there is not.
fn plainly(at: At<'_>, error: &ManifestError) -> String {
    match error {
        ManifestError::Content { line, what, .. } => at.fill("line {}: {}", "第 {} 行：{}", &[line, what]),
        ManifestError::Syntax { source, .. } => source.to_string(),
        ManifestError::Schema { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

fn start(at: At<'_>, job: &str) -> Answer {
    let looked_at = at.job_with::<Preview>(job)?;
    let preview = looked_at.kept::<Preview>().ok_or(Fault::NotFound)?;
    let (gateway, manifest, anew) = (at.gateway.clone(), preview.manifest.clone(), preview.anew);
    let draft = preview.draft.clone();
    let title = at.fill("Publishing {}", "正在发布 {}", &[&manifest.asset_name()]);
    let lang = at.visit.lang;
    at.job(title, &format!("{HERE}?draft={job}"), move |job| async move {
        let done = publish(gateway.owner(), &manifest, anew, job.clone()).await;
        let done = done.map_err(|error| errors::told(lang, error))?;
        if let Err(error) = keep(gateway.owner().folder(), &done.asset, &draft) {
            tracing::warn!(%error, "the manifest is not kept for the next version");
        }
        job.keep(done);
        Ok(format!("{HERE}/result/{}", job.id))
    })
}

fn result(at: At<'_>, job: &str) -> Answer {
    let job = at.job_with::<Published>(job)?;
    let done = job.kept::<Published>().ok_or(Fault::NotFound)?;
    let changes = &done.changes;
    let mut list = vec![
        (at.say("Version", "版本"), html! { (done.version) }),
        (
            at.say("Records", "记录数"),
            html! { (count(done.records)) " " span.soft { (at.fill(
            "(public: up to {})", "（公开：不超过 {}）", &[&count(done.records.max(1).next_power_of_two())])) } },
        ),
    ];
    if done.version > 1 {
        list.push((
            at.say("Changes", "变更"),
            html! { (at.fill(
                "{} added, {} changed, {} removed, {} as they were",
                "新增 {}，更改 {}，删除 {}，未变 {}",
                &[&count(changes.added), &count(changes.changed), &count(changes.removed), &count(changes.unchanged)],
            )) },
        ));
    }
    let body = html! {
        (steps(at, 3))
        (notice(Tone::Good, html! { p { (at.fill("{} version {} is published.", "{} 版本 {} 已发布。", &[&done.name, &done.version])) } }))
        @if let Some(report) = &done.report { (notice(Tone::Warn, html! { p {
            (at.fill("Rows set aside, in no record: {}.", "被搁置、未进入任何记录的行：{}。", &[&count(changes.set_aside)])) " "
            @if let Some(name) = report.file_name().and_then(|name| name.to_str()) {
                a href=(format!("/console/owner/syncs/reports/{name}")) { (at.say("Download the report", "下载报告")) }
            }
        } })) }
        (card(at.say("What was published", "发布内容"), facts(&list)))
        (super::keys::recorded(at, &done.receipt))
        div.actions {
            a.button href=(format!("/console/owner/grants/edit?asset={}", done.asset)) { (at.say("Say who may ask", "指定谁可以查询")) }
            a.button.plain href=(asset_path(&done.asset)) { (at.say("To the asset", "查看资产")) }
        }
    };
    Ok(Page::new(Desk::Owner, at.fill("{} is published", "{} 已发布", &[&done.name]), body).into())
}
