//! Everything checked again from the first block, and answers that somebody handed the auditor.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use maud::{Markup, html};
use sealgate_circuits::bytes::tagged_hash;
use sealgate_ledger::ids::Address;

use super::{Study, names_of, told, too_many};
use crate::answer_file::{ANSWER_BYTES_MAX, Verified};
use crate::asking::Session;
use crate::auditing::replay_each;
use crate::budget::{Book, Checked, Reader};
use crate::console::jobs::Job;
use crate::console::page::{Check, Page, Tone, badge, checklist, count, facts, hidden, notice, text_field, time};
use crate::console::words::Lang;
use crate::console::{Answer, Console, Desk, Fault, HomePlace, Place, Reply, Visit};
use crate::files::{FileError, create_private_dir, read_bounded, write_private};
use crate::journal::{Journal, What, anchors_in};
use crate::owner::clock_ms;
use crate::trail::following::Eyes;
use crate::verifying::{self, VerifyFailure};

/// Folder of the home with the answers that were handed over.
const HANDED: &str = "handed";
/// Answers of that folder that are checked.
const HANDED_MAX: usize = 1_000;

/// What a check of everything found.
pub(super) struct Report {
    finished_ms: u64,
    checks: Vec<Found>,
}

/// One check, in both languages: whoever looks later may read the other one.
struct Found {
    tone: Tone,
    en: String,
    zh: String,
}

impl Report {
    fn add(&mut self, tone: Tone, en: &str, zh: &str, values: &[&dyn std::fmt::Display]) {
        self.checks.push(Found { tone, en: Lang::En.fill(en, zh, values), zh: Lang::Zh.fill(en, zh, values) });
    }
}

pub(super) fn show(study: &Study<'_>) -> Page {
    let visit = study.visit;
    let body = html! {
        section.card {
            h2 { (visit.say("The whole ledger", "整个账本")) }
            p { (visit.say(
                "Downloads every block again and makes every signature, decision, time and root again on this machine, apart from what is kept for these pages; opens what every answer told and computes its charges again; checks your journal and its anchors, and the answers that you were handed.",
                "重新下载全部区块，在本机重新核对每个签名、决定、时间与根（与本页面已保留的状态相互独立）；打开每个应答透露的信息并重新计算记账；检查您的日志及其锚点，以及他人交给您的应答。",
            )) }
            form method="post" action="/console/auditor/verify" {
                (hidden(visit))
                button type="submit" { (visit.say("Verify everything", "全部验证")) }
            }
            @if let Some(report) = study.place.last_check.last() { (shown(visit, &report)) }
        }
        (paste(visit, "", "", None))
    };
    study.page(visit.say("Verify", "验证"), &body)
}

fn shown(visit: &Visit, report: &Arc<Report>) -> Markup {
    let bad = report.checks.iter().any(|check| check.tone == Tone::Bad);
    let word = if bad {
        visit.say("something is wrong", "存在问题")
    } else {
        visit.say("all of it holds", "全部成立")
    };
    let check = |found: &Found| Check { tone: found.tone, text: html! { (visit.say(&found.en, &found.zh)) } };
    html! {
        h3 { (visit.say("The last check", "最近一次验证")) " · " (time(report.finished_ms)) " " (badge(if bad { Tone::Bad } else { Tone::Good }, word)) }
        (checklist(&report.checks.iter().map(check).collect::<Vec<_>>()))
    }
}

pub(super) fn start(console: &Arc<Console>, place: &HomePlace, visit: &Visit) -> Answer {
    let (state, address) = (console.clone(), place.account.address());
    let (title, back) = (visit.say("Verifying everything", "正在验证全部内容"), "/console/auditor/verify");
    let job = console.jobs.start(address, title.into(), back, |job| async move {
        let Place::Home(place) = &state.place else { return Err("this is no home".into()) };
        let report = everything(place, &job).await?;
        place.last_check.set(report);
        Ok(back.to_owned())
    });
    let job = job.ok_or_else(|| Fault::Refused(too_many(visit)))?;
    Ok(Reply::SeeOther(format!("/console/jobs/{}", job.id)))
}

async fn everything(place: &HomePlace, job: &Job) -> Result<Report, String> {
    let session = Session::open(&place.home, &place.client).await.map_err(told)?;
    let eyes = Eyes::of(&session).map_err(told)?;
    let own: Vec<Address> = eyes.all().map(|account| account.address()).collect();
    let reader = Reader { account: &eyes.account, earlier: &eyes.earlier, auditor: true };
    let (mut book, mut checked, mut anchors) = (Book::default(), Checked::default(), Vec::new());
    let progress = |done, total| job.count("replaying blocks", done, Some(total));
    let replayed = replay_each(&session, progress, |block| {
        checked.add(book.read(&session.genesis, &reader, block));
        anchors.extend(anchors_in(block, &own));
    });
    let summary = replayed.await.map_err(told)?.summary();
    let mut report = Report { finished_ms: 0, checks: Vec::new() };
    report.add(
        Tone::Good,
        "The ledger is the one whose fingerprint this home trusts, and its head is signed by its members (block {}).",
        "账本即本机所信任指纹对应的账本，其最新检查点由成员签名（区块 {}）。",
        &[&count(session.head.0)],
    );
    report.add(
        Tone::Good,
        "{} [block|blocks] with {} [entry|entries] were replayed here from the first: every signature, decision, time, hash and root is what the rules make of it.",
        "已在本机自首个区块起重放 {} 个区块、{} 条记录：每个签名、决定、时间、哈希与根均符合规则。",
        &[&count(summary.blocks), &count(summary.entries)],
    );
    report.add(
        Tone::Good,
        "The replay leads exactly to the signed head and contains every checkpoint that this home has ever seen: nothing was removed or altered since.",
        "重放结果与签名检查点完全一致，并包含本机见过的全部检查点：此后没有内容被删除或篡改。",
        &[],
    );
    witnesses(&session, &mut report);
    charges(&checked, &mut report);
    journal(place, &session, &anchors, &mut report)?;
    answers(place, job, &mut report).await?;
    report.finished_ms = clock_ms();
    Ok(report)
}

fn witnesses(session: &Session<'_>, report: &mut Report) {
    let said = &session.witnessed;
    if said.is_unpinned() {
        report.add(
            Tone::Warn,
            "No witness is pinned in this home: that everybody is shown the same ledger rests on its members alone.",
            "本机未固定任何见证方：能否确保所有人看到同一账本仅取决于其成员。",
            &[],
        );
    }
    let by: Vec<&str> = said.by.iter().map(|by| by.name.as_str()).collect();
    if !by.is_empty() {
        report.add(Tone::Good, "Cosigned by the witnesses {}.", "见证方 {} 已共同签名。", &[&names_of(&by)]);
    }
    if !said.missing.is_empty() {
        let missing = said.missing.join(", ");
        report.add(Tone::Warn, "Not cosigned by {}.", "见证方 {} 尚未共同签名。", &[&missing]);
    }
}

fn charges(checked: &Checked, report: &mut Report) {
    report.add(
        Tone::Good,
        "The charges of {} [answer|answers] are what their questions cost, and within budgets and shares.",
        "{} 个应答的记账与其查询的代价一致，且未超出预算与份额。",
        &[&count(checked.answers)],
    );
    for (_, error) in checked.wrong.iter().take(20) {
        report.add(Tone::Bad, "Wrong charges: {}.", "记账有误：{}。", &[error]);
    }
    if checked.wrong.len() > 20 {
        report.add(Tone::Bad, "… and {} more.", "……另有 {} 项。", &[&(checked.wrong.len() - 20)]);
    }
}

fn journal(
    place: &HomePlace,
    session: &Session<'_>,
    anchors: &[crate::journal::Anchor],
    report: &mut Report,
) -> Result<(), String> {
    let reading = Journal::of(&place.home, &session.genesis.chain_id()).read().map_err(told)?;
    match &reading.damage {
        Some(damage) => report.add(
            Tone::Bad,
            "Your journal of reads is damaged in line {}: {}.",
            "您的查阅日志第 {} 行已损坏：{}。",
            &[&damage.line, &damage.what],
        ),
        None => report.add(
            Tone::Good,
            "Your journal of {} [read|reads] is chained without a gap.",
            "您的查阅日志（{} 条）链接完整。",
            &[&count(reading.reads.len() as u64)],
        ),
    }
    let lost = reading.anchored(anchors).into_iter().find(|(_, number)| number.is_none());
    match (lost, anchors.len()) {
        (Some((anchor, _)), _) => report.add(
            Tone::Bad,
            "Block {} anchors a read that your journal does not have: it was rewritten or cut.",
            "区块 {} 锚定的一次查阅不在您的日志中：日志曾被改写或截断。",
            &[&anchor.block],
        ),
        (None, 0) => {
            report.add(Tone::Warn, "Your journal is not anchored on the ledger yet.", "您的日志尚未锚定到账本。", &[])
        }
        (None, number) => report.add(
            Tone::Good,
            "All {} anchors of your journal on the ledger are in it.",
            "账本上的 {} 个锚点均与您的日志相符。",
            &[&number],
        ),
    }
    Ok(())
}

/// The answers in the folder, by whom they were given to.
async fn answers(place: &HomePlace, job: &Job, report: &mut Report) -> Result<(), String> {
    let folder = place.home.folder().join(HANDED);
    let files: Vec<(PathBuf, Address)> = std::fs::read_dir(&folder)
        .map(|entries| entries.flatten().filter_map(|entry| Some((entry.path(), whose(&entry.path())?))).collect())
        .unwrap_or_default();
    let (mut good, total) = (0u64, files.len().min(HANDED_MAX));
    for (at, (path, requester)) in files.iter().take(HANDED_MAX).enumerate() {
        job.count("verifying answers", at as u64, Some(total as u64));
        let verified = match read_bounded(path, ANSWER_BYTES_MAX) {
            Ok(bytes) => verify(place, requester, &bytes).await,
            Err(error) => Err(error.into()),
        };
        match verified {
            Ok(_) => good += 1,
            Err(error) => {
                report.add(Tone::Bad, "{} does not verify: {}", "{} 未通过验证：{}", &[&path.display(), &told(error)])
            }
        }
    }
    match files.len() {
        0 => report.add(
            Tone::Warn,
            "No answer was handed to you, so none was verified: requesters keep their own.",
            "没有人向您提交应答，因此未核验任何应答：应答由数据使用方保存。",
            &[],
        ),
        all => report.add(
            Tone::Good,
            "Of the answers that were handed to you {} of {} [holds|hold]: proof, place, root, request and answer on this ledger.",
            "已核验成立 {} 个（共 {} 个他人交给您的应答）：证明、位置、根以及账本上的请求与应答。",
            &[&good, &all],
        ),
    }
    Ok(())
}

/// Whose answer a file is: its name begins with the address and a hyphen.
fn whose(path: &Path) -> Option<Address> {
    path.file_name()?.to_str()?.strip_suffix(".json")?.split_once('-')?.0.parse().ok()
}

fn paste(visit: &Visit, requester: &str, text: &str, result: Option<Result<&Verified, &str>>) -> Markup {
    html! {
        section.card {
            h2 { (visit.say("An answer that you were handed", "他人交给您的应答")) }
            @match result {
                Some(Err(why)) => (notice(Tone::Bad, html! { p { (why) } })),
                Some(Ok(verified)) => (answered(visit, verified)),
                None => p { (visit.say(
                    "Paste the file that a requester keeps (answer.json). It is checked as the requester checked it, kept in your home, and checked again with everything.",
                    "粘贴数据使用方保存的文件（answer.json）。将按数据使用方的方式核验，保存在本机，并在全部验证时再次核验。",
                )) },
            }
            form method="post" action="/console/auditor/verify/answer" {
                (hidden(visit))
                (text_field("requester", visit.say("Whose answer: the requester's address", "应答归属：数据使用方地址"), None, requester))
                div.field {
                    label for="answer" { (visit.say("The answer file's text", "应答文件内容")) }
                    textarea id="answer" name="answer" spellcheck="false" { (text) }
                }
                button type="submit" { (visit.say("Verify this answer", "核验此应答")) }
            }
        }
    }
}

fn answered(visit: &Visit, verified: &Verified) -> Markup {
    let check = |text: &String| Check { tone: Tone::Good, text: html! { (text) } };
    let note = |text: &String| Check { tone: Tone::Warn, text: html! { (text) } };
    let checks: Vec<Check> = verified.checks.iter().map(check).chain(verified.notes.iter().map(note)).collect();
    let list = facts(&[
        (visit.say("Question", "查询"), html! { code { (verified.sql) } }),
        (visit.say("Purpose", "用途"), html! { (verified.purpose) }),
        (
            visit.say("Request", "请求"),
            html! { a href=(format!("/console/auditor/trail/{}", verified.request)) { span.mono { (verified.request) } } },
        ),
    ]);
    html! {
        (notice(Tone::Good, html! { p { (visit.say("This answer holds.", "此应答成立。")) } }))
        (list)
        @for record in &verified.records {
            p { strong { (record.key.join(", ")) } ": "
                @if record.found { @for line in &record.result { code { (line.item) } " → " strong { (line.answer) } "; " } }
                @else { (visit.say("no record has this key", "没有该主键的记录")) }
            }
        }
        (checklist(&checks))
    }
}

pub(super) async fn answer_file(place: &HomePlace, visit: &Visit) -> Answer {
    let (requester, text) = (visit.form.get("requester"), visit.form.get("answer"));
    let outcome = keep_and_verify(place, visit, requester, text).await;
    let (requester, kept) = if outcome.is_ok() { ("", "") } else { (requester, text) };
    let shown = outcome.as_ref().map_err(String::as_str);
    let body = html! {
        (paste(visit, requester, kept, Some(shown)))
        p { a.button.plain href="/console/auditor/verify" { (visit.say("Back", "返回")) } }
    };
    Ok(Page::new(Desk::Auditor, visit.say("Verify", "验证"), body).into())
}

async fn keep_and_verify(place: &HomePlace, visit: &Visit, requester: &str, text: &str) -> Result<Verified, String> {
    let address: Address = requester.parse().map_err(|_| {
        visit
            .say(
                "Name the requester by its address, sg1…: it stands in the trail.",
                "请填写数据使用方地址（sg1…），见访问轨迹。",
            )
            .to_owned()
    })?;
    if text.is_empty() {
        return Err(visit.say("Paste the answer file's text.", "请粘贴应答文件内容。").into());
    }
    // A browser writes line ends in its own way; the file has one, at its end.
    let bytes = format!("{}\n", text.replace("\r\n", "\n").trim_end()).into_bytes();
    let digest = hex::encode(tagged_hash("sealgate/handed/1", &[&bytes]));
    let chain = place.client.genesis().await.map_err(told)?.chain_id();
    let journal = Journal::of(&place.home, &chain);
    tokio::task::block_in_place(|| journal.note(What::Answer, &format!("{address} {digest}"))).map_err(told)?;
    // What does not hold is the sender's to explain; it is not kept among what does.
    let verified = verify(place, &address, &bytes)
        .await
        .map_err(|error| visit.lang.fill("It does not verify: {}", "未通过验证：{}", &[&told(error)]))?;
    let folder = place.home.folder().join(HANDED);
    create_private_dir(&folder).map_err(|error| told(FileError::io(&folder)(error)))?;
    let path = folder.join(format!("{address}-{}.json", digest.get(..16).unwrap_or_default()));
    write_private(&path, &bytes, true).map_err(|error| told(FileError::io(&path)(error)))?;
    Ok(verified)
}

async fn verify(place: &HomePlace, requester: &Address, bytes: &[u8]) -> Result<Verified, VerifyFailure> {
    verifying::answer(&place.home, Some(&place.client), requester, bytes).await.map(|(_, verified)| verified)
}
