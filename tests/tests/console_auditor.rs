//! The desks of auditor and operator, driven over HTTP as a browser would: real processes, real ledgers,
//! forms and cookies by hand.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use sealgate_circuits::question::{Item, Shape};
use sealgate_gateway::account_file;
use sealgate_gateway::owner::{Owner, signed};
use sealgate_ledger::Ledger;
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::ids::{AssetId, BlockHeight, Digest};
use sealgate_ledger::tx::TxBody;
use sealgate_tests::{Server, Table, World, parse_csv, sealgate, terms, text};

#[path = "console_auditor/browser.rs"]
mod browser;
#[path = "console_auditor/operator.rs"]
mod operator;

use browser::Browser;

const REAL_NAME: &str = "Bank of Dalian & Sons <Ltd>";
const FORMULA: &str = "=HYPERLINK(\"http://evil\",\"click\")";
/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

struct Scene {
    world: World,
    pseudonym: String,
    /// The block that granted the pseudonym something, and the one that took it back.
    stood: (u64, u64),
}

/// A ledger with an auditor: a requester with answers, a pseudonym that tries what it may not, an owner
/// who leaves a request unanswered.
fn scene() -> Scene {
    let world = World::audited_with(&Table::shops(20));
    let pseudonym = world.account("pseudonym");
    let (owner, public) = (world.path("owner"), world.path("pseudonym/account.public"));
    sealgate(&["account", "enrol", "--data-dir", &owner, &public, "--real-name", REAL_NAME]).ok();
    let granted = ["--disclose", "name", "--prove", "fee >= 100", "--purpose", "tax"];
    world.grant("shop", &world.requester, &granted).ok();

    let opened = Owner::open(owner.as_ref()).unwrap();
    let ledger = Ledger::open(&opened.ledger_folder(), opened.account().clone()).unwrap();
    let submit = |account: &AccountSecret, body: TxBody| {
        ledger.submit(signed(ledger.genesis(), ledger.head().height, account, body).unwrap()).unwrap()
    };
    let asset = ledger.assets().unwrap()[0].id;
    let account = account_file::load(world.path("pseudonym").as_ref()).unwrap();
    let ask = |asset: AssetId, column: u8, purpose: &str, keys: u16| TxBody::Request {
        asset,
        shape: Shape { items: vec![Item::Disclose(column)], keys },
        purpose: purpose.into(),
        commitment: Digest([column; 32]),
        consent: None,
    };
    let given = submit(opened.account(), TxBody::Grant { asset, to: account.address(), terms: terms(vec![1]) });
    submit(&account, ask(asset, 1, FORMULA, 120));
    for column in [2, 3, 4] {
        submit(&account, ask(asset, column, "tax", 1));
    }
    let taken = submit(opened.account(), TxBody::Revoke { asset, to: account.address() });
    for _ in 0..10 {
        submit(&account, ask(asset, 1, "tax", 1));
    }
    Scene { world, pseudonym, stood: (given.height.0, taken.height.0) }
}

/// The auditor's console beside a serving owner.
struct Stage {
    scene: Scene,
    gateway: Server,
    console: Server,
}

impl Stage {
    fn new() -> Stage {
        let scene = scene();
        let gateway = scene.world.serve();
        let console = console_of(&scene.world, &gateway, "auditor");
        Stage { scene, gateway, console }
    }

    fn browser(&self) -> Browser {
        Browser::signed_in(&self.console.url, &["--home", &self.scene.world.path("auditor")])
    }

    fn auditor(&self, command: &[&str], more: &[&str]) -> sealgate_tests::Run {
        let home = self.scene.world.path("auditor");
        let base = ["--gateway", &self.gateway.url, "--home", &home];
        sealgate(&[command, &base, more].concat())
    }
}

fn console_of(world: &World, gateway: &Server, home: &str) -> Server {
    let home = world.path(home);
    Server::run(&["console", "--home", &home, "--gateway", &gateway.url, "--listen", "127.0.0.1:0"], &[])
}

#[test]
fn the_trail_is_filtered_opened_and_written() {
    let stage = Stage::new();
    let world = &stage.scene.world;
    let mut browser = stage.browser();
    world.ask(&stage.gateway.url, "requester", "tax", "answer.json", "SELECT fee >= 100 FROM shop WHERE id = 3").ok();

    let overview = browser.get("/console/auditor").ok();
    overview.has(&["verified", "replayed from the genesis", "Requests over time", "<svg", "No witness is pinned"]);
    let trail = browser.get("/console/auditor/trail").ok();
    trail.has(&["15 requests", "pseudonym", "fee &gt;= 100", "denied", "answered", "The same as a table"]);
    trail.lacks(&["Bank of Dalian", "<script"]);
    trail.has(&[&format!("href=\"/console/explorer/accounts/{}\"", world.requester)]);

    // Filters: by outcome, account, asset, purpose and time.
    browser.get("/console/auditor/trail?outcome=answered").ok().has(&["1 request<"]);
    browser.get("/console/auditor/trail?outcome=denied").ok().has(&["13 requests", "this field is not granted"]);
    let by = |who: &str| format!("/console/auditor/trail?who={who}");
    browser.get(&by(&world.requester)).ok().has(&["1 request<"]);
    browser.get(&by("pseudonym")).ok().has(&["14 requests"]);
    browser
        .get("/console/auditor/trail?purpose=tax&asset=shop&outcome=open")
        .ok()
        .has(&["0 requests", "Nobody has asked"]);
    browser
        .get("/console/auditor/trail?from=2100-01-01T00%3A00")
        .ok()
        .has(&["0 requests", "value=\"2100-01-01T00:00\""]);
    browser.get("/console/auditor/trail?until=2100-01-01T00%3A00").ok().has(&["15 requests"]);
    // What cannot be is told, beside what was typed.
    for (query, why) in [
        ("asset=ships", "the ledger has no asset 'ships'"),
        ("asset=shpo", "the ledger has no asset 'shpo': did you mean 'shop'?"),
        ("who=nobody", "the ledger has no account 'nobody'"),
        ("outcome=perhaps", "an outcome is one of"),
        ("from=yesterday", "'yesterday' is no time"),
    ] {
        let page = browser.get(&format!("/console/auditor/trail?{query}&purpose=kept")).ok();
        page.has_text(why);
        page.has(&["value=\"kept\""]);
    }

    // A name behind a pseudonym is found where it is opened, and that is recorded.
    browser.get(&by("Bank+of+Dalian+%26+Sons+%3CLtd%3E")).ok().has(&["no account"]);
    let opened = browser.get(&format!("{}&names=open", by("Bank+of+Dalian+%26+Sons+%3CLtd%3E"))).ok();
    opened.has(&["14 requests", "Bank of Dalian &amp; Sons &lt;Ltd&gt;", "A file carries no opened names"]);
    browser.get("/console/auditor/reads").ok().has(&[
        "pseudonym opened",
        &stage.scene.pseudonym,
        "chained without a gap",
    ]);

    // One entry, whole.
    let entry = trail.links("/console/auditor/trail/")[0].clone();
    let page = browser.get(&entry).ok();
    page.has(&["What was asked", "What became of it", "Answer", "Sealed answer", "still stands", "have proven"]);
    browser.get("/console/auditor/trail/00").is(404);
    browser.get(&format!("/console/auditor/trail/{}", "0".repeat(64))).is(404);

    // The files: one that anybody can compare with the ledger, and one that no spreadsheet computes.
    let file = browser.get("/console/auditor/trail.json?outcome=denied").ok();
    assert!(file.disposition.contains("attachment"), "{}", file.disposition);
    std::fs::write(world.path("trail.json"), &file.text).unwrap();
    let (path, home) = (world.path("trail.json"), world.path("requester"));
    let verify = ["trail", "--verify", &path, "--home", &home, "--gateway", &stage.gateway.url];
    let verified = sealgate(&verify).ok();
    assert_eq!((verified["lines"].as_u64(), verified["exporter"].as_str()), (Some(13), Some(world.auditor.as_str())));
    let csv = browser.get("/console/auditor/trail.csv").ok();
    let rows = parse_csv(&csv.text);
    assert_eq!(rows.len(), 16);
    assert!(rows.iter().flatten().any(|cell| *cell == format!("'{FORMULA}")), "{}", csv.text);

    // The other language.
    browser.get("/console/set?lang=zh&back=/console/auditor/trail").is(303);
    browser.get("/console/auditor/trail").ok().has(&[
        "访问轨迹",
        "15 个请求",
        "已拒绝",
        "未授权该字段",
        "lang=\"zh-Hans\"",
    ]);
    browser.get(&entry).ok().has(&["结果", "当时的授权"]);
    browser.get("/console/auditor").ok().has(&["已在本机验证至区块"]);
}

#[test]
fn what_could_be_asked_what_stands_out_and_what_was_used() {
    let stage = Stage::new();
    let world = &stage.scene.world;
    let mut browser = stage.browser();
    world.ask(&stage.gateway.url, "requester", "tax", "answer.json", "SELECT fee >= 100 FROM shop WHERE id = 3").ok();

    // Grants now, then, and before.
    let (given, taken) = stage.scene.stood;
    let grants = |browser: &mut Browser, query: &str| browser.get(&format!("/console/auditor/grants?{query}")).ok();
    let now = grants(&mut browser, "");
    now.has(&["requester", "have proven", "fee &gt;= 100"]);
    now.lacks(&["pseudonym</", &stage.scene.pseudonym]);
    for height in [given, taken - 1] {
        let page = grants(&mut browser, &format!("block={height}"));
        page.has(&[
            &format!("As it stood when block {height} "),
            &stage.scene.pseudonym,
            &format!("/console/explorer/blocks/{taken}\""),
        ]);
    }
    for height in [given - 1, taken] {
        grants(&mut browser, &format!("block={height}")).lacks(&[&stage.scene.pseudonym]);
    }
    grants(&mut browser, "block=0").has(&["No asset was registered then"]);
    grants(&mut browser, "block=99999").has(&["There is no such block"]);
    grants(&mut browser, "at=2000-01-01T00%3A00").has(&["No asset was registered then"]);
    grants(&mut browser, "at=2100-01-01T00%3A00").has(&["have proven"]);
    grants(&mut browser, &format!("block={given}&names=open")).has(&["Bank of Dalian &amp; Sons &lt;Ltd&gt;"]);
    // The same as the command's own replay says.
    for height in [given - 1, given, taken - 1, taken] {
        let height = height.to_string();
        let listed = stage.auditor(&["grants"], &["--asset", "shop", "--as-of", &height]).ok();
        let listed =
            listed["grants"].as_array().unwrap().iter().any(|grant| grant["to"] == stage.scene.pseudonym.as_str());
        assert_eq!(listed, grants(&mut browser, &format!("block={height}")).text.contains(&stage.scene.pseudonym));
    }

    // Anomalies: 120 keys at once, three different denials, ten denials in a row; nothing else.
    let found = browser.get("/console/auditor/anomalies?from=0&until=24").ok();
    found.has(&["120 keys", "4 different denials", "13 denials", "Many keys", "Burst of denials"]);
    let entries = found.links("/console/auditor/trail/");
    assert!(entries.len() > 13, "each finding leads to its requests: {}", entries.len());
    browser.get(&entries[0]).ok();
    let zh = browser.get_in("zh", "/console/auditor/anomalies").ok();
    zh.has(&["大量主键", "120 个主键", "集中被拒"]);

    // Metering and budgets.
    let meter = browser.get("/console/auditor/metering").ok();
    meter.has(&["By account, asset and purpose", "requester", "pseudonym"]);
    let csv = parse_csv(&browser.get("/console/auditor/metering.csv").ok().text);
    let listed = stage.auditor(&["meter"], &[]).ok();
    assert_eq!(csv.len() - 1, listed["lines"].as_array().unwrap().len());
    assert!(csv.iter().flatten().any(|cell| *cell == format!("'{FORMULA}")));
    browser.get("/console/auditor/metering?from=bad").ok().has(&["is no time"]);
    let budgets = browser.get("/console/auditor/budgets").ok();
    budgets.has(&["The charges of 1 answer were opened and computed again", "1.585", "<code>fee</code>"]);
}

#[test]
fn everything_is_verified_and_answers_and_samples_are_checked() {
    let stage = Stage::new();
    let world = &stage.scene.world;
    let mut browser = stage.browser();
    world
        .ask(&stage.gateway.url, "requester", "tax", "answer.json", "SELECT name, fee >= 100 FROM shop WHERE id = 3")
        .ok();
    let answer = std::fs::read_to_string(world.path("answer.json")).unwrap();
    let page = "/console/auditor/verify";

    // An answer that was handed over; one that was changed; nothing at all.
    let hand = |browser: &mut Browser, requester: &str, answer: &str| {
        browser.post(page, "/console/auditor/verify/answer", &[("requester", requester), ("answer", answer)]).ok()
    };
    let good = hand(&mut browser, &world.requester, &answer.replace('\n', "\r\n"));
    good.has(&["This answer holds.", "SELECT name, fee &gt;= 100", "Shop no. 3"]);
    let changed = answer.replacen("Shop no. 3", "Shop no. 4", 1);
    assert_ne!(changed, answer, "the answer file has the value in it");
    let bad = hand(&mut browser, &world.requester, &changed);
    bad.lacks(&["This answer holds."]);
    bad.has(&["does not verify", &format!("value=\"{}\"", world.requester), "<textarea"]);
    hand(&mut browser, &stage.scene.pseudonym, &answer).has(&["was given to"]);
    hand(&mut browser, "me", &answer).has(&["Name the requester by its address"]);
    hand(&mut browser, &world.requester, "").has(&["Paste the answer"]);

    // Everything, as a job with a checklist.
    let done = browser.job(page, "/console/auditor/verify", &[]);
    done.has(&[
        "all of it holds",
        "were replayed here from the first",
        "The charges of 1 answer are what their questions cost",
        "Of the answers that were handed to you 1 of 1 holds",
        "Your journal of",
        "is not anchored on the ledger yet",
        "No witness is pinned in this home",
    ]);
    browser.get_in("zh", page).ok().has(&["全部成立", "已核验成立 1 个"]);

    // A sample, and a form that cannot be.
    let samples = "/console/auditor/samples";
    let asset = browser.get(samples).ok().values("<option value=\"asset1").remove(0);
    let asset = format!("asset1{asset}");
    let none = browser.post(samples, samples, &[("asset", &asset), ("records", "0")]).ok();
    none.has(&["Name a number of records from 1 to"]);
    let report = browser.job(samples, samples, &[("asset", &asset), ("records", "3")]);
    report.has(&["stored as it was registered", "Ciphertext read", "Hash of the report"]);
    browser.get(samples).ok().has(&["whole", "delivered"]);
    browser.get("/console/auditor/reads").ok().has(&["sample", "answer checked", "3 records of asset1"]);

    // A gateway that is gone: said, and nothing old is shown as if it were new.
    drop(stage.gateway);
    let gone = browser.get("/console/auditor/trail");
    gone.is(502).has(&["cannot be reached"]);
    browser.get("/console/auditor/reads").ok().has(&["The ledger could not be read", "chained without a gap"]);
}

#[test]
fn the_auditors_own_reads_are_recorded_and_no_change_of_them_stays_unseen() {
    let stage = Stage::new();
    let world = &stage.scene.world;
    let mut browser = stage.browser();
    let reads = || stage.auditor(&["reads"], &[]);
    let number = |run: sealgate_tests::Run| run.ok()["reads"].as_array().unwrap().len();
    assert_eq!(number(reads()), 0);
    assert!(stage.auditor(&["reads"], &["--anchor"]).error().contains("nothing was read yet"));

    // Each command that shows something of somebody adds to it, and so does each page.
    let csv = world.path("t.csv");
    stage.auditor(&["trail"], &[]).ok();
    assert_eq!(number(reads()), 1);
    stage.auditor(&["trail"], &["--csv", &csv, "--export", &world.path("t.json")]).ok();
    assert_eq!(number(reads()), 4);
    stage.auditor(&["meter"], &["--from", "2020-01-01T00:00:00Z", "--purpose", "tax"]).ok();
    stage.auditor(&["budget"], &[]).ok();
    stage.auditor(&["grants"], &["--asset", "shop"]).ok();
    stage.auditor(&["account", "identity"], &[&stage.scene.pseudonym]).ok();
    assert_eq!(number(reads()), 8);
    for path in ["trail", "anomalies", "grants", "metering", "budgets", "trail.csv", "trail.json"] {
        browser.get(&format!("/console/auditor/{path}")).ok();
    }
    assert_eq!(number(reads()), 15);
    let listed = reads().ok();
    let what: Vec<&str> =
        listed["reads"].as_array().unwrap().iter().map(|read| read["what"].as_str().unwrap()).collect();
    assert_eq!(&what[..8], ["trail", "export", "spreadsheet", "trail", "meter", "budget", "grants", "pseudonym"]);
    let about = |at: usize| text(&listed["reads"][at]["about"]);
    assert_eq!((about(0), about(4)), ("everything".into(), "purpose=tax from=2020-01-01T00:00:00Z".into()));

    // Anchored by the page and by the command; others find it on the ledger, and nothing of what was read.
    let path = "/console/auditor/reads";
    browser.get(path).ok().has(&["not anchored yet"]);
    browser.post(path, path, &[]).is(303);
    browser.get(path).ok().has(&["reads 1 to 15; 0 came after it"]);
    stage.auditor(&["trail"], &[]).ok();
    stage.auditor(&["reads"], &["--anchor"]).ok();
    let page = browser.get(path).ok();
    page.has(&["reads 1 to 16; 0 came after it", "chained without a gap"]);
    browser.get_in("zh", path).ok().has(&["链接完整", "第 1 至 16 条"]);

    // One that was cut behind the first anchor, one with a changed line, one written anew.
    let journal = std::fs::read_dir(Path::new(&world.path("auditor")).join("ledgers")).unwrap().next().unwrap();
    let journal = journal.unwrap().path().join("reads");
    let whole = std::fs::read_to_string(&journal).unwrap();
    let cut: String = whole.split_inclusive('\n').take(15).collect();
    std::fs::write(&journal, &cut).unwrap();
    assert!(reads().error().contains("was rewritten or cut"));
    browser.get(path).ok().has(&["The journal was rewritten or cut"]);
    std::fs::write(&journal, whole.replacen("\"trail\"", "\"meter\"", 1)).unwrap();
    assert!(reads().error().contains("damaged in line 1"));
    browser.get(path).ok().has(&["damaged in line 1", "its content was changed"]).lacks(&["Anchor now"]);
    let done = browser.job("/console/auditor/verify", "/console/auditor/verify", &[]);
    done.has(&["something is wrong", "Your journal of reads is damaged in line 1"]);
    // Where nothing can be recorded nothing is shown.
    let last = whole.trim_end().rfind('\n').unwrap();
    std::fs::write(&journal, format!("{}\n{{}}\n", &whole[..last])).unwrap();
    browser.get("/console/auditor/trail").is(502).has(&["nothing is shown that cannot be recorded"]).lacks(&["denied"]);
    assert!(stage.auditor(&["trail"], &[]).error().contains("nothing is shown that cannot be recorded"));
    std::fs::write(&journal, &whole).unwrap();
    browser.get("/console/auditor/trail").ok();
    std::fs::remove_file(&journal).unwrap();
    stage.auditor(&["trail"], &[]).ok();
    assert!(reads().error().contains("was rewritten or cut"));
}

#[test]
fn desks_are_their_accounts_alone_and_forms_their_sessions() {
    let stage = Stage::new();
    let world = &stage.scene.world;
    let auditors = ["auditor", "auditor/trail", "auditor/reads", "auditor/trail.json", "auditor/samples"];
    let operators = ["operator", "operator/proposals", "operator/nodes", "operator/proposals/new/policy"];
    // Nobody: sent to sign in. Others: nothing there.
    let mut nobody = Browser::new(&stage.console.url);
    let mut nobody_there = Browser::new(&stage.gateway.url);
    let requesters = console_of(world, &stage.gateway, "requester");
    let mut requester = Browser::signed_in(&requesters.url, &["--home", &world.path("requester")]);
    // Enrolled, and no owner: the gateway knows it, and hides its desks from it.
    world.ask(&stage.gateway.url, "requester", "tax", "answer.json", "SELECT name FROM shop WHERE id = 3").ok();
    let mut guest = Browser::signed_in(&stage.gateway.url, &["--home", &world.path("requester")]);
    for path in auditors {
        let page = nobody.get(&format!("/console/{path}"));
        assert!(page.is(303).location.starts_with("/console/sign-in?back="), "{path}: {}", page.location);
        requester.get(&format!("/console/{path}")).is(404);
        guest.get(&format!("/console/{path}")).is(404);
    }
    for path in operators {
        assert!(nobody_there.get(&format!("/console/{path}")).is(303).location.starts_with("/console/sign-in"));
        guest.get(&format!("/console/{path}")).is(404);
        requester.get(&format!("/console/{path}")).is(404);
    }

    // Forms: from elsewhere, of no session, sent again, and by somebody else.
    let mut browser = stage.browser();
    let path = "/console/auditor/reads";
    browser.get("/console/auditor/trail").ok();
    let fields = browser.form(path, &[]);
    browser.send(path, &fields, Some("http://evil.example")).is(403);
    browser.send(path, &fields, None).is(403);
    let own = stage.console.url.trim_end_matches("/console").to_owned();
    browser.send(path, "form_token=x", Some(&own)).is(422).has(&["not from your session"]);
    requester.send(path, &fields, Some(requesters.url.trim_end_matches("/console"))).is(422);
    browser.send(path, &fields, Some(&own)).is(303);
    browser.send(path, &fields, Some(&own)).is(422).has(&["this form was sent before"]);
    browser.get(path).ok().has(&["reads 1 to 1;"]);
    // Signed out: the form is worth nothing.
    let fields = browser.form(path, &[]);
    let out = browser.form("/console/auditor/reads", &[]);
    browser.send("/console/leave", &out, Some(&own)).is(303);
    assert!(browser.send(path, &fields, Some(&own)).is(303).location.starts_with("/console/sign-in"));
}

#[test]
fn a_ledger_is_followed_block_by_block() {
    // Many blocks first: a job replays them, and the page comes after it.
    let world = World::audited_with(&Table::shops(4));
    let opened = Owner::open(world.path("owner").as_ref()).unwrap();
    let ledger = Ledger::open(&opened.ledger_folder(), opened.account().clone()).unwrap();
    let asset = ledger.assets().unwrap()[0].id;
    let to = world.requester.parse().unwrap();
    for _ in 0..1_050 {
        let body = TxBody::Grant { asset, to, terms: terms(vec![1]) };
        ledger.submit(signed(ledger.genesis(), ledger.head().height, opened.account(), body).unwrap()).unwrap();
    }
    assert!(ledger.head().height > BlockHeight(1_000));
    drop((ledger, opened));
    let gateway = world.serve();
    let console = console_of(&world, &gateway, "auditor");
    let mut browser = Browser::signed_in(&console.url, &["--home", &world.path("auditor")]);
    let first = browser.get("/console/auditor/grants?asset=shop");
    assert!(first.is(303).location.starts_with("/console/jobs/"), "{}", first.location);
    let started = Instant::now();
    let mut page = first;
    while page.status == 303 || !page.refresh.is_empty() {
        assert!(started.elapsed() < PATIENCE, "the job ends");
        let next = if page.status == 303 { page.location.clone() } else { page.path.clone() };
        page = browser.get(&next);
    }
    page.is(200).has(&["As it stood when block", "requester"]);
    assert_eq!(page.path, "/console/auditor/grants?asset=shop");
    // What is new is there at once.
    sealgate(&["revoke", "--data-dir", &world.path("owner"), "--asset", "shop", "--to", &world.requester]).ok();
    browser.get("/console/auditor/grants?asset=shop").ok().has(&["Nobody could ask."]);
}
