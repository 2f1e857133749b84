//! The console: server-rendered pages for owner, requester, auditor and operator, and the block
//! explorer for everybody (docs/spec/console.md). Only `console/visiting` and `api` name HTTP types;
//! desks see a [`Visit`] and give a [`Reply`].
//!
//! Pages hold no script. What changes something is a form of the own session, sent once; what takes
//! long is a job with a page of its own.

use std::sync::{Arc, LazyLock};

use maud::{Markup, html};
use sealgate_ledger::LedgerError;
use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::Address;
use subtle::ConstantTimeEq as _;

use crate::client::Client;
use crate::gateway::Gateway;
use crate::home::Home;
use crate::sessions::{Session, Sessions};
use crate::trail::following::Follower;
use crate::turns::NoTurn;

pub mod auditor;
mod entering;
mod errors;
mod explorer;
pub mod jobs;
mod operator;
pub mod own;
mod owner;
pub mod page;
mod requester;
pub mod table;
pub mod telling;
mod visiting;
pub mod words;

pub use visiting::routes;

use jobs::Jobs;
use page::{Page, Tone, notice};
use words::Lang;

/// Fields of a form or an address that are read.
const FIELDS_MAX: usize = 2_000;

const STYLE: &str = include_str!("console/style.css");
/// Where the stylesheet is; another version of it is at another place, so it can be kept for long.
static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    let digest = blake3::hash(STYLE.as_bytes()).to_hex();
    format!("/console/style.css?v={}", digest.get(..16).unwrap_or_default())
});

/// What the console is a part of.
pub enum Place {
    /// A department's gateway: its owner and operator work here.
    Gateway(Arc<Gateway>),
    /// A requester's or auditor's own machine.
    Home(Box<HomePlace>),
}

/// A home folder and the gateway through which its ledger is reached. Nothing that the gateway says
/// is shown before the home's own checks have passed.
pub struct HomePlace {
    /// The home.
    pub home: Home,
    /// Its account's public part.
    pub account: AccountPublic,
    /// The gateway.
    pub client: Client,
    /// Whether the ledger names this account as its auditor.
    pub is_auditor: bool,
    /// The ledger as replayed here so far.
    pub follower: Arc<Follower>,
    /// What the last check of everything found.
    pub last_check: auditor::LastCheck,
}

/// The console of one process.
pub struct Console {
    /// Where it is.
    pub place: Place,
    /// The ledger's genesis.
    pub genesis: Genesis,
    /// Who is signed in.
    pub sessions: Arc<Sessions>,
    /// What is at work.
    pub jobs: Jobs,
    /// How this process is called.
    pub names: Names,
}

impl Console {
    /// The console of a gateway that is called so.
    ///
    /// # Errors
    /// [`SessionError::Randomness`](crate::sessions::SessionError::Randomness).
    pub fn of_gateway(gateway: Arc<Gateway>, names: Names) -> Result<Console, crate::sessions::SessionError> {
        let genesis = gateway.ledger().genesis().clone();
        let sessions = Arc::new(Sessions::new(genesis.chain_id())?);
        Ok(Console { place: Place::Gateway(gateway), genesis, sessions, jobs: Jobs::default(), names })
    }
}

/// The names, `host:port`, that are a process' own: a page or a signature for another name is refused, so
/// that neither a foreign site (DNS rebinding) nor another gateway can use this one.
#[derive(Debug, Clone)]
pub struct Names {
    names: Vec<String>,
    port: u16,
}

impl Names {
    /// Those of a process that listens on an address, and `more` that its configuration names.
    pub fn of(address: std::net::SocketAddr, more: &[String]) -> Names {
        let port = address.port();
        let mut names = vec![address.to_string()];
        if address.ip().is_loopback() || address.ip().is_unspecified() {
            names.extend(["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}")));
        }
        names.extend(more.iter().map(|name| name.to_lowercase()));
        Names { names, port }
    }

    /// Whether `name` is one of them.
    pub fn contains(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.names.contains(&name)
    }

    /// Cookies are not told apart by port, so their names are. Over an encrypted connection the name has the
    /// prefix by which browsers take a cookie over nothing else, and for this very host (RFC 6265bis).
    fn cookie(&self, what: &str, is_secure: bool) -> String {
        let prefix = if is_secure { "__Host-" } else { "" };
        format!("{prefix}sealgate-{what}-{}", self.port)
    }
}

/// A part of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desk {
    /// Where everybody starts.
    Start,
    /// Assets, grants, requests, budgets, keys.
    Owner,
    /// Members, nodes, rules.
    Operator,
    /// Catalogue, questions, answers.
    Requester,
    /// Trail, checks, anomalies.
    Auditor,
    /// Blocks and what is in them.
    Explorer,
}

impl Desk {
    /// All of them.
    pub const ALL: [Desk; 6] =
        [Desk::Start, Desk::Owner, Desk::Operator, Desk::Requester, Desk::Auditor, Desk::Explorer];

    /// Where it begins.
    pub fn path(self) -> &'static str {
        match self {
            Desk::Start => "/console",
            Desk::Owner => "/console/owner",
            Desk::Operator => "/console/operator",
            Desk::Requester => "/console/requester",
            Desk::Auditor => "/console/auditor",
            Desk::Explorer => "/console/explorer",
        }
    }

    /// What it is called.
    pub fn title(self, lang: Lang) -> &'static str {
        match self {
            Desk::Start => lang.say("Start", "首页"),
            Desk::Owner => lang.say("Data owner", "数据提供方"),
            Desk::Operator => lang.say("Operator", "运维方"),
            Desk::Requester => lang.say("Requester", "数据使用方"),
            Desk::Auditor => lang.say("Auditor", "审计方"),
            Desk::Explorer => lang.say("Explorer", "区块浏览器"),
        }
    }

    /// Its pages: address, and name in English and Chinese.
    fn pages(self) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Desk::Start => &[],
            Desk::Owner => owner::PAGES,
            Desk::Operator => operator::PAGES,
            Desk::Requester => requester::PAGES,
            Desk::Auditor => auditor::PAGES,
            Desk::Explorer => explorer::PAGES,
        }
    }
}

/// Named values of an address or a form, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    fn read(encoded: &[u8]) -> Fields {
        let mut fields: Vec<(String, String)> = serde_urlencoded::from_bytes(encoded).unwrap_or_default();
        fields.truncate(FIELDS_MAX);
        Fields(fields)
    }

    /// The first value of this name, without blanks around it; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.trim())
    }

    /// Whether there is one.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| found == name)
    }

    /// All values of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Sets the one value of this name.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(found, _)| found != name);
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// All of them in an address' form.
    pub fn encoded(&self) -> String {
        serde_urlencoded::to_string(&self.0).unwrap_or_default()
    }
}

/// One visit of a page.
#[derive(Debug, Clone)]
pub struct Visit {
    /// Whether a form was sent; else a page is looked at.
    pub is_post: bool,
    /// The address' parts behind `/console`.
    pub path: Vec<String>,
    /// What stands behind `?`.
    pub query: Fields,
    /// The form.
    pub form: Fields,
    /// The language.
    pub lang: Lang,
    /// `light` or `dark`, where somebody chose.
    pub theme: Option<String>,
    /// Who is signed in.
    pub session: Option<Session>,
    /// Whether the browser's connection is encrypted, here or by a proxy on this machine.
    pub is_secure: bool,
    /// How the browser calls this process, `host:port`.
    pub host: String,
    token: Option<String>,
}

impl Visit {
    /// The address, with what stands behind `?`.
    pub fn address(&self) -> String {
        let path: Vec<String> = self.path.iter().map(|part| page::encoded(part).replace('+', "%20")).collect();
        let mut address = ["/console".to_owned()].into_iter().chain(path).collect::<Vec<_>>().join("/");
        if !self.query.0.is_empty() {
            address = format!("{address}?{}", self.query.encoded());
        }
        address
    }

    /// The address' parts.
    pub fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// A text in the visitor's language.
    pub fn say<'a>(&self, en: &'a str, zh: &'a str) -> &'a str {
        self.lang.say(en, zh)
    }

    /// Whoever is signed in.
    ///
    /// # Errors
    /// [`Fault::SignIn`].
    pub fn session(&self) -> Result<&Session, Fault> {
        self.session.as_ref().ok_or(Fault::SignIn)
    }
}

/// What a visit gets.
pub enum Reply {
    /// A page.
    Page(Box<Page>),
    /// Another address; what a form ends with.
    SeeOther(String),
    /// The start, with this token of a new session in a cookie.
    Entered(String),
    /// A file to keep.
    Download {
        /// What it is called.
        name: String,
        /// Its media type.
        kind: &'static str,
        /// Its content.
        content: Vec<u8>,
    },
}

impl From<Page> for Reply {
    fn from(page: Page) -> Reply {
        Reply::Page(Box::new(page))
    }
}

/// Why a visit gets no page.
#[derive(Debug)]
pub enum Fault {
    /// Nothing there, or not for this visitor.
    NotFound,
    /// Whoever it is has to sign in first.
    SignIn,
    /// What was asked for cannot be: the words are for the visitor, and say the way out.
    Refused(String),
    /// A gateway elsewhere, or the ledger, failed or lied: the words are for the visitor.
    Failed(String),
    /// Too many pages are being made: come back in a few seconds.
    Busy,
    /// A fault of ours; the text is logged, not shown.
    Internal(String),
}

impl From<NoTurn> for Fault {
    fn from(error: NoTurn) -> Fault {
        match error {
            NoTurn::Full => Fault::Busy,
            NoTurn::Broken(what) => Fault::Internal(what),
        }
    }
}

impl Fault {
    /// A use case's error for the visitor, with its causes, in one line.
    pub fn refused(error: impl std::error::Error + 'static) -> Fault {
        Fault::Refused(crate::cli::Failure::from(error).into_text())
    }

    /// The same of something that is not the visitor's doing.
    pub fn failed(error: impl std::error::Error + 'static) -> Fault {
        Fault::Failed(crate::cli::Failure::from(error).into_text())
    }
}

impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Fault {
        match error {
            LedgerError::OutOfRange { .. } => Fault::NotFound,
            other => Fault::Internal(other.to_string()),
        }
    }
}

/// What a desk gives.
pub type Answer = Result<Reply, Fault>;

/// What the frame around a page shows.
struct Shown<'a> {
    visit: &'a Visit,
    desks: Vec<Desk>,
    ledger_name: &'a str,
    fingerprint: String,
}

/// Reads a gateway's ledger, files or keys off the async threads, in the turns that its API's reads take too:
/// who looks at pages may be anybody.
///
/// # Errors
/// The work's own; [`Fault::Busy`] when too many wait, [`Fault::Internal`] when it broke off.
pub async fn in_turn<T: Send + 'static>(
    gateway: &Gateway,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    gateway.reads().take(work).await?
}

/// Runs what blocks off the async threads, where nobody but the machine's own user is served.
///
/// # Errors
/// The work's own, or [`Fault::Internal`] when it broke off.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Fault::Internal(error.to_string())))
}

impl Console {
    /// Whose desks are whose: this visitor's.
    pub fn desks(&self, visitor: Option<&Address>) -> Vec<Desk> {
        let mut desks = vec![Desk::Start];
        match &self.place {
            Place::Gateway(gateway) if visitor == Some(&gateway.owner().account().address()) => {
                desks.extend([Desk::Owner, Desk::Operator]);
            }
            Place::Home(place) if visitor == Some(&place.account.address()) => {
                desks.push(Desk::Requester);
                desks.extend(place.is_auditor.then_some(Desk::Auditor));
            }
            Place::Gateway(_) | Place::Home(_) => {}
        }
        desks.push(Desk::Explorer);
        desks
    }

    /// The open account with this address, as far as this place knows: who may sign in. The gateway's own may
    /// before its ledger knows it, and no longer than it is open.
    pub fn account(&self, address: &Address) -> Option<AccountPublic> {
        match &self.place {
            Place::Gateway(gateway) => match gateway.ledger().account(address).ok()? {
                Some(view) => view.closed.is_none().then_some(view.account),
                None => {
                    let own = gateway.owner().account().public();
                    (own.address() == *address).then(|| own.clone())
                }
            },
            Place::Home(place) => (place.account.address() == *address).then(|| place.account.clone()),
        }
    }

    /// Whose session a token is, while the account is open.
    pub fn session(&self, token: &str) -> Option<Session> {
        let session = self.sessions.session(token)?;
        if self.account(&session.address).is_none() {
            self.sessions.close(token);
            return None;
        }
        Some(session)
    }

    async fn answer(self: &Arc<Self>, visit: &Visit) -> Answer {
        if visit.is_post {
            self.admit(visit)?;
        }
        let parts = visit.parts();
        let visitor = visit.session.as_ref().map(|session| session.address);
        let desks = self.desks(visitor.as_ref());
        // What is hidden from somebody is not there for them.
        let desk = |desk: Desk| match &visitor {
            _ if desks.contains(&desk) => Ok(()),
            Some(_) => Err(Fault::NotFound),
            None => Err(Fault::SignIn),
        };
        let of = Desk::ALL.into_iter().find(|of| parts.first().copied() == of.path().strip_prefix("/console/"));
        match (of, &self.place) {
            (Some(of @ (Desk::Owner | Desk::Operator)), Place::Gateway(_)) => desk(of)?,
            (Some(of @ (Desk::Requester | Desk::Auditor)), Place::Home(_)) => desk(of)?,
            _ => {}
        }
        // Nothing is answered that the table does not have.
        let route = table::at(&visit.path, visit.is_post).ok_or(Fault::NotFound)?;
        match (route.desk, &self.place) {
            (Desk::Start, _) => match parts.as_slice() {
                [] => Ok(self.start(visit).into()),
                ["jobs", ..] => entering::job(self, visit),
                _ => entering::answer(self, visit),
            },
            (Desk::Explorer, _) => explorer::answer(self, visit).await,
            (Desk::Owner, Place::Gateway(gateway)) => owner::answer(self, gateway, visit).await,
            (Desk::Operator, Place::Gateway(gateway)) => operator::answer(self, gateway, visit).await,
            (Desk::Requester, Place::Home(place)) => requester::answer(self, place, visit).await,
            (Desk::Auditor, Place::Home(place)) => auditor::answer(self, place, visit).await,
            _ => Err(Fault::NotFound),
        }
    }

    /// A form is taken from the own session's pages alone, and once.
    fn admit(&self, visit: &Visit) -> Result<(), Fault> {
        if visit.path == ["enter"] {
            return Ok(());
        }
        let session = visit.session()?;
        let shown = visit.form.get("form_token");
        if !bool::from(shown.as_bytes().ct_eq(session.form_token.as_bytes())) {
            let text = visit.say(
                "this form is not from your session: go back, load the page again and send it from there",
                "此表单不属于当前会话：请返回并重新载入页面后再提交",
            );
            return Err(Fault::Refused(text.into()));
        }
        let token = visit.token.as_deref().unwrap_or_default();
        if !self.sessions.is_first(token, visit.form.get("form_number")) {
            let text = visit.say(
                "this form was sent before, and it is done once: look at the page for what it did",
                "此表单已提交过，不会重复执行：请在页面上查看其结果",
            );
            return Err(Fault::Refused(text.into()));
        }
        Ok(())
    }

    fn start(&self, visit: &Visit) -> Page {
        let desks = self.desks(visit.session.as_ref().map(|session| &session.address));
        let title = visit.say("Share data without giving it away", "共享数据，而不交出数据");
        let body = html! {
            p.lead { (visit.say(
                "Records stay sealed on their department's machine. The ledger holds what was published, who may ask what, and who asked; an answer comes with a proof.",
                "记录始终密封保存在所属部门的机器上。账本记载发布了什么、谁可以查询什么、谁查询过；每个应答都附有证明。",
            )) }
            @if visit.session.is_none() {
                (notice(Tone::Info, html! { p { (visit.say(
                    "You are not signed in: the explorer is open to everybody, desks are for the accounts they belong to. ",
                    "您尚未登录：区块浏览器对所有人开放，工作台仅供相应账户使用。",
                )) a href="/console/sign-in" { (visit.say("Sign in", "登录")) } } }))
            } @else if desks.len() <= 2 {
                (notice(Tone::Info, html! {
                    p { (entering::elsewhere(visit)) }
                    (page::command(&entering::own_console(visit)))
                }))
            }
            div.grid { @for desk in desks.iter().filter(|desk| **desk != Desk::Start) {
                section.card { h2 { a href=(desk.path()) { (desk.title(visit.lang)) } } p.soft { (about(*desk, visit.lang)) } }
            } }
        };
        Page::new(Desk::Start, title, body)
    }

    fn render(&self, visit: &Visit, page: &Page) -> String {
        let visitor = visit.session.as_ref().map(|session| &session.address);
        let fingerprint = self.genesis.chain_id().to_string();
        let shown = Shown { visit, desks: self.desks(visitor), ledger_name: &self.genesis.name, fingerprint };
        page::document(page, &shown)
    }
}

fn about(desk: Desk, lang: Lang) -> &'static str {
    match desk {
        Desk::Start => "",
        Desk::Owner => lang.say(
            "Publish tables, decide who may ask what, see who asked, revoke.",
            "发布数据表，决定谁可以查询什么，查看谁查询过，撤销授权。",
        ),
        Desk::Operator => lang.say(
            "Members of the ledger and what they decide, nodes and their health.",
            "账本成员及其决策，节点及其健康状况。",
        ),
        Desk::Requester => lang.say(
            "Find assets, ask questions, keep answers that convince others.",
            "查找资产，提出查询，保存可供他人验证的应答。",
        ),
        Desk::Auditor => lang.say(
            "Who asked what, whether it is complete and unaltered, and what stands out.",
            "谁查询过什么，记录是否完整未被篡改，有何异常。",
        ),
        Desk::Explorer => lang.say("Blocks, transactions and accounts of the ledger.", "账本的区块、交易与账户。"),
    }
}

fn back_link(visit: &Visit) -> Markup {
    let back = if visit.is_post { visit.address() } else { "/console".into() };
    html! { p { a.button.plain href=(back) { (visit.say("Back", "返回")) } } }
}

fn fault_page(visit: &Visit, why: Option<&str>) -> Page {
    let why = why.unwrap_or_else(|| visit.say("the console failed; its log says why", "控制台发生故障，原因见日志"));
    let body = html! { (notice(Tone::Bad, html! { p { (why) } })) (back_link(visit)) };
    Page::new(Desk::Start, visit.say("That did not work", "操作未成功"), body)
}

fn busy_page(visit: &Visit) -> Page {
    let text = visit.say(
        "Too many pages are being made just now: load this one again in a few seconds.",
        "目前正在生成的页面过多：请数秒后重新载入本页。",
    );
    Page::new(Desk::Start, visit.say("Come back in a moment", "请稍后再来"), notice(Tone::Warn, html! { p { (text) } }))
}

fn not_found_page(visit: &Visit) -> Page {
    let text = visit.say("There is nothing at this address.", "此地址没有内容。");
    Page::new(Desk::Start, visit.say("Not found", "未找到"), html! { p { (text) } (back_link(visit)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_names() {
        let names = Names::of("127.0.0.1:8080".parse().unwrap(), &["Gate.Example:443".into()]);
        for name in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080", "gate.example:443"] {
            assert!(names.contains(name), "{name}");
        }
        for name in ["", "localhost", "127.0.0.1:8081", "evil.example:8080", "gate.example"] {
            assert!(!names.contains(name), "{name}");
        }
        assert_eq!(names.cookie("session", true), "__Host-sealgate-session-8080");
        assert_eq!(names.cookie("session", false), "sealgate-session-8080");
        let outside = Names::of("192.0.2.1:80".parse().unwrap(), &[]);
        assert!(outside.contains("192.0.2.1:80") && !outside.contains("localhost:80"));
    }

    #[test]
    fn fields_are_read() {
        let fields = Fields::read(b"a=1&b=+x+&a=2&c");
        assert_eq!((fields.get("a"), fields.get("b"), fields.get("c"), fields.get("d")), ("1", "x", "", ""));
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert!(fields.has("c") && !fields.has("d"));
    }
}
