//! The auditor's desk: who asked what, whether it is complete and unaltered, and what stands out
//! (docs/spec/console.md#auditor). It shows what a replay on this very machine says, and records in the
//! auditor's journal what was looked at before it is shown.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use maud::{Markup, html};
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::ids::Address;
use sealgate_ledger::state::AccountView;

use super::explorer::account_link;
use super::page::{Page, Tone, badge, count, figures, notice, short, time};
use super::{Answer, Console, Desk, Fault, Fields, HomePlace, Place, Reply, Visit};
use crate::asking::Session;
use crate::identity::{IdentityError, open_with};
use crate::journal::{Journal, What};
use crate::trail::following::{Eyes, Followed};

mod anomalies;
mod chart;
mod entry;
mod grants;
mod metering;
mod reads;
mod samples;
mod spoken;
mod trail;
mod verify;

pub(super) const PAGES: &[(&str, &str, &str)] = &[
    ("/console/auditor", "Overview", "概览"),
    ("/console/auditor/trail", "Trail", "访问轨迹"),
    ("/console/auditor/anomalies", "Anomalies", "异常"),
    ("/console/auditor/grants", "Grants", "授权"),
    ("/console/auditor/metering", "Metering", "用量"),
    ("/console/auditor/budgets", "Budgets", "信息预算"),
    ("/console/auditor/verify", "Verify", "验证"),
    ("/console/auditor/samples", "Samples", "抽样"),
    ("/console/auditor/reads", "My reads", "我的查阅"),
];

/// Blocks that are replayed while a page is waited for; more are a job's.
const BLOCKS_AT_ONCE: u64 = 1_000;

/// What the last check of everything found.
#[derive(Default)]
pub struct LastCheck(Mutex<Option<Arc<verify::Report>>>);

impl LastCheck {
    fn last(&self) -> Option<Arc<verify::Report>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, report: verify::Report) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(report));
    }
}

pub(super) async fn answer(console: &Arc<Console>, place: &HomePlace, visit: &Visit) -> Answer {
    let parts = visit.parts();
    if visit.is_post {
        return match parts.as_slice() {
            ["auditor", "verify"] => verify::start(console, place, visit),
            ["auditor", "verify", "answer"] => verify::answer_file(place, visit).await,
            ["auditor", "samples"] => samples::start(console, place, visit).await,
            ["auditor", "reads"] => reads::anchor_now(place).await,
            _ => Err(Fault::NotFound),
        };
    }
    if parts.as_slice() == ["auditor", "reads"] {
        // The journal is shown also where the ledger cannot be.
        return reads::show(console, place, visit).await;
    }
    let study = match Study::open(console, place, visit).await? {
        Ok(study) => study,
        Err(job) => return Ok(Reply::SeeOther(job)),
    };
    match parts.as_slice() {
        ["auditor"] => Ok(overview(&study).into()),
        ["auditor", "trail"] => trail::show(&study),
        ["auditor", "trail.csv"] => trail::spreadsheet(&study),
        ["auditor", "trail.json"] => trail::export(&study),
        ["auditor", "trail", hash] => entry::show(&study, hash),
        ["auditor", "anomalies"] => anomalies::show(&study),
        ["auditor", "grants"] => grants::show(&study),
        ["auditor", "metering"] => metering::show(&study),
        ["auditor", "metering.csv"] => metering::spreadsheet(&study),
        ["auditor", "budgets"] => metering::budgets(&study),
        ["auditor", "verify"] => Ok(verify::show(&study).into()),
        ["auditor", "samples"] => Ok(samples::show(&study, None, &Fields::default()).into()),
        ["auditor", "samples", hash] => samples::report(&study, hash),
        _ => Err(Fault::NotFound),
    }
}

/// What a page of this desk is made from: the ledger as replayed here up to the gateway's signed head.
struct Study<'a> {
    place: &'a HomePlace,
    visit: &'a Visit,
    session: Session<'a>,
    ledger: Arc<Followed>,
}

impl<'a> Study<'a> {
    /// Replays what is new; the address of a job instead where that takes long.
    async fn open(
        console: &Arc<Console>,
        place: &'a HomePlace,
        visit: &'a Visit,
    ) -> Result<Result<Study<'a>, String>, Fault> {
        let session = Session::open(&place.home, &place.client).await.map_err(Fault::failed)?;
        if place.follower.behind(&session) > BLOCKS_AT_ONCE {
            return catch_up(console, visit).map(Err);
        }
        let ledger = place.follower.follow(&session, |_, _| {}).await.map_err(Fault::failed)?;
        Ok(Ok(Study { place, visit, session, ledger }))
    }

    /// Records what is about to be shown. What cannot be recorded is not shown.
    fn note(&self, what: What, about: &str) -> Result<(), Fault> {
        let journal = Journal::of(&self.place.home, &self.ledger.chain);
        tokio::task::block_in_place(|| journal.note(what, about)).map_err(Fault::failed)?;
        Ok(())
    }

    /// The names behind these accounts, as far as they are sealed to this auditor; each is recorded.
    fn open_names<'b>(&self, accounts: impl Iterator<Item = &'b Address>) -> Result<Names, Fault> {
        let readers = self.readers()?;
        let mut names = Names::default();
        for address in accounts {
            let Some(view) = self.ledger.accounts.get(address).filter(|view| !view.identity.is_empty()) else {
                continue;
            };
            if names.0.contains_key(address) {
                continue;
            }
            self.note(What::Pseudonym, &address.to_string())?;
            names.0.insert(*address, self.opened(view, &readers));
        }
        Ok(names)
    }

    fn readers(&self) -> Result<Vec<AccountSecret>, Fault> {
        Ok(Eyes::of(&self.session).map_err(Fault::failed)?.all().cloned().collect())
    }

    fn opened(&self, view: &AccountView, readers: &[AccountSecret]) -> Result<String, IdentityError> {
        Ok(open_with(view, self.ledger.accounts.values(), readers)?.unwrap_or_default())
    }

    /// An account by what it calls itself, by who it is if that was opened, and by its address, which leads to
    /// its page.
    fn who(&self, address: &Address, names: &Names) -> Markup {
        self.named(address, names, &account_link(address))
    }

    /// The same without a link, for what is a button itself.
    fn unlinked(&self, address: &Address, names: &Names) -> Markup {
        self.named(address, names, &short(&address.to_string()))
    }

    fn named(&self, address: &Address, names: &Names, shown: &Markup) -> Markup {
        let view = self.ledger.accounts.get(address);
        html! {
            @if let Some(Ok(real)) = names.0.get(address) { strong { (real) } " · " }
            @if let Some(view) = view { (view.account.name) } @else { (self.visit.say("not enrolled", "未注册")) }
            " " (shown)
            @if let Some(Err(error)) = names.0.get(address) { " " (badge(Tone::Warn, &error.to_string())) }
            @else if view.is_some_and(|view| !view.identity.is_empty()) && !names.0.contains_key(address) {
                " " (badge(Tone::Info, self.visit.say("pseudonym", "假名")))
            }
        }
    }

    /// A page of this desk, which says up to where the ledger was verified.
    fn page(&self, title: &str, body: &Markup) -> Page {
        Page::new(Desk::Auditor, title, html! { (self.verified()) (body) })
    }

    fn verified(&self) -> Markup {
        let (visit, head) = (self.visit, &self.ledger.head);
        let said = &self.session.witnessed;
        html! {
            p.verified-to {
                (badge(Tone::Good, visit.say("verified", "已验证"))) " "
                (visit.lang.fill(
                    "on this machine up to block {} of {}: {} [entry|entries] replayed from the genesis to the members' signed checkpoint, which extends all that this home has seen.",
                    "已在本机验证至区块 {}（{}）：从创世区块重放 {} 条记录，直至成员签名的检查点，且该检查点延续本机此前见过的全部检查点。",
                    &[&count(head.height.0), &time(head.time_ms), &count(self.ledger.checkpoint.size)],
                ))
                " "
                @if said.is_unpinned() {
                    (visit.say("No witness is pinned in this home.", "本机未固定任何见证方。"))
                } @else if said.missing.is_empty() {
                    (visit.lang.fill("Cosigned by {}.", "见证方 {} 已共同签名。", &[&names_of(&said.by.iter().map(|by| by.name.as_str()).collect::<Vec<_>>())]))
                } @else {
                    (visit.lang.fill("Not cosigned by {}.", "见证方 {} 尚未共同签名。", &[&said.missing.join(", ")]))
                }
            }
        }
    }
}

fn names_of(names: &[&str]) -> String {
    names.join(", ")
}

/// Names behind pseudonyms that were opened for one page.
#[derive(Default)]
struct Names(BTreeMap<Address, Result<String, IdentityError>>);

impl Names {
    /// Accounts behind which somebody of this name stands.
    fn called(&self, name: &str) -> Vec<Address> {
        let name = name.to_lowercase();
        let is = |real: &Result<String, IdentityError>| real.as_ref().is_ok_and(|real| real.to_lowercase() == name);
        self.0.iter().filter(|(_, real)| is(real)).map(|(address, _)| *address).collect()
    }
}

/// Starts the replay of many blocks; it ends at the page that was asked for.
fn catch_up(console: &Arc<Console>, visit: &Visit) -> Result<String, Fault> {
    let (address, state, back) = (visit.session()?.address, console.clone(), visit.address());
    let title = visit.say("Replaying the ledger", "正在重放账本");
    let job = console.jobs.start(address, title.into(), "/console", |job| async move {
        let Place::Home(place) = &state.place else { return Err("this is no home".into()) };
        let session = Session::open(&place.home, &place.client).await.map_err(told)?;
        let progress = |done, total| job.count("replaying blocks", done, Some(total));
        place.follower.follow(&session, progress).await.map_err(told)?;
        Ok(back)
    });
    let job = job.ok_or_else(|| Fault::Refused(too_many(visit)))?;
    Ok(format!("/console/jobs/{}", job.id))
}

/// An error for whoever waits for a job.
fn told(error: impl std::error::Error + 'static) -> String {
    crate::cli::Failure::from(error).into_text()
}

fn too_many(visit: &Visit) -> String {
    visit
        .say("too much is at work already: wait until something has ended", "正在进行的任务过多：请等待其中之一结束")
        .into()
}

/// The same address with one field set to another value.
fn with(visit: &Visit, name: &str, value: &str) -> String {
    let others = visit.query.0.iter().filter(|(found, _)| found != name).cloned();
    let fields = Fields(others.chain([(name.to_owned(), value.to_owned())]).collect());
    let path = visit.address();
    let path = path.split('?').next().unwrap_or_default();
    format!("{path}?{}", fields.encoded())
}

fn overview(study: &Study<'_>) -> Page {
    let (visit, ledger) = (study.visit, &study.ledger);
    let summary = ledger.summary;
    let numbers = [
        (summary.granted + summary.denied + summary.samples, visit.say("[request|requests]", "查询请求")),
        (summary.denied, visit.say("denied", "被拒绝")),
        (summary.answers, visit.say("answered", "已应答")),
        (summary.unanswered, visit.say("not answered in time", "逾期未应答")),
        (summary.assets, visit.say("[asset|assets]", "资产")),
        (ledger.accounts.len() as u64, visit.say("[account|accounts]", "账户")),
    ];
    let lines: Vec<_> = ledger.lines.iter().collect();
    let wrong = &ledger.charges.1;
    let body = html! {
        (figures(&numbers))
        @if !wrong.is_empty() {
            (notice(Tone::Bad, html! { p { (visit.lang.fill(
                "The charges of {} [answer|answers] are wrong: see Budgets.",
                "{} 个应答的预算记账有误：请查看“信息预算”。",
                &[&wrong.len()],
            )) " " a href="/console/auditor/budgets" { (visit.say("Budgets", "信息预算")) } } }))
        }
        section.card {
            h2 { (visit.say("Requests over time", "请求随时间的变化")) }
            (chart::chart(&lines, visit.lang))
        }
        div.grid {
            section.card { h2 { a href="/console/auditor/trail" { (visit.say("Who asked what", "谁查询过什么")) } }
                p.soft { (visit.say("Every request with its purpose and what became of it, filtered, and as a signed file.", "每个请求及其用途与结果，可筛选，可导出签名文件。")) } }
            section.card { h2 { a href="/console/auditor/anomalies" { (visit.say("What stands out", "有何异常")) } }
                p.soft { (visit.say("Probing, bursts of denials, odd hours, budgets nearly used.", "试探、集中被拒、非常规时间、预算将尽。")) } }
            section.card { h2 { a href="/console/auditor/verify" { (visit.say("Check everything again", "重新验证全部")) } }
                p.soft { (visit.say("The whole ledger from its first block, and answers that somebody handed you.", "从首个区块起验证整个账本，以及他人交给您的应答。")) } }
        }
        p.soft { (visit.say(
            "What you look at here is recorded in your own journal before it is shown.",
            "您在此查阅的内容在显示之前已记入您自己的日志。",
        )) " " a href="/console/auditor/reads" { (visit.say("My reads", "我的查阅")) } }
    };
    study.page(visit.say("Overview", "概览"), &body)
}
