//! The requester's desk and the explorer, as a browser meets them: real processes, real forms, a gateway
//! that lies.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealgate_tests::{World, binary, parse_csv, sealgate, text};
use serde_json::{Value, json};

mod people;
#[path = "lying/wire.rs"]
mod wire;

use wire::{Liar, Reply};

/// The console of a home, as 'sealgate console' runs it.
struct Console {
    child: Child,
    /// `http://host:port`.
    url: String,
    /// The link that it prints.
    link: String,
}

impl Console {
    fn of(world: &World, home: &str, gateway: &str) -> Console {
        let home = world.path(home);
        let mut child = Command::new(binary())
            .args(["--json", "console", "--home", &home, "--gateway", gateway, "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("console printed '{line}'"));
        let url = text(&started["url"]).trim_end_matches("/console").to_owned();
        Console { child, url, link: text(&started["link"]) }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a browser got.
#[derive(Debug, Clone)]
struct Shown {
    status: u16,
    location: String,
    refreshes: bool,
    body: Vec<u8>,
}

impl Shown {
    /// The page as people read it: tags away, entities read, blanks joined.
    fn text(&self) -> String {
        let html = self.html();
        let html = html.split_once("<main").map_or(html.as_str(), |(_, main)| main);
        let mut text = String::new();
        let mut inside = true;
        for c in html.chars() {
            match c {
                '<' => {
                    inside = true;
                    text.push(' ');
                }
                '>' if inside => inside = false,
                c if !inside => text.push(c),
                _ => {}
            }
        }
        let read = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
        let text = read.iter().fold(text, |text, (entity, c)| text.replace(entity, c));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn html(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    fn has(&self, parts: &[&str]) {
        assert_eq!(self.status, 200, "{}", self.text());
        let text = self.text();
        for part in parts {
            assert!(text.contains(part), "'{part}' is not in: {text}");
        }
    }

    #[track_caller]
    fn has_not(&self, parts: &[&str]) {
        let text = self.text();
        for part in parts {
            assert!(!text.contains(part), "'{part}' is in: {text}");
        }
    }
}

/// A browser with its cookies.
struct Browser {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    url: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new(url: &str) -> Browser {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Browser { runtime, http, url: url.to_owned(), cookies: BTreeMap::new() }
    }

    /// Signed in through the link that the console printed.
    fn signed_in(console: &Console) -> Browser {
        let mut browser = Browser::new(&console.url);
        let path = console.link.strip_prefix(&console.url).unwrap().to_owned();
        let page = browser.get(&path);
        page.has(&["This browser will act as", "requester"]);
        let code = path.split_once("code=").unwrap().1.to_owned();
        let entered = browser.send("/console/enter", &[("code", &code)], &[("origin", &console.url)]);
        assert_eq!((entered.status, entered.location.as_str()), (303, "/console"));
        browser
    }

    fn call(&mut self, request: reqwest::RequestBuilder) -> Shown {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let (shown, set) = self.runtime.block_on(async {
            let response = request.header("cookie", cookies).send().await.unwrap();
            let header = |name: &str| {
                response.headers().get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
            };
            let set: Vec<String> = response
                .headers()
                .get_all("set-cookie")
                .iter()
                .map(|value| value.to_str().unwrap().to_owned())
                .collect();
            let (status, location) = (response.status().as_u16(), header("location"));
            let refreshes = !header("refresh").is_empty();
            (Shown { status, location, refreshes, body: response.bytes().await.unwrap().to_vec() }, set)
        });
        for cookie in set {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        shown
    }

    fn get(&mut self, path: &str) -> Shown {
        let request = self.http.get(format!("{}{path}", self.url));
        self.call(request)
    }

    fn send(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Shown {
        let mut request = self.http.post(format!("{}{path}", self.url)).body(encoded(fields));
        request = request.header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request)
    }

    /// The two hidden fields of the form with this action on a page.
    fn hidden(page: &Shown, action: &str) -> [String; 2] {
        let html = page.html();
        let form = html.split(&format!("action=\"{action}\"")).nth(1).unwrap_or_else(|| panic!("no form {action}"));
        ["form_token", "form_number"].map(|name| {
            let value = form.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
            value.split('"').next().unwrap().to_owned()
        })
    }

    /// Fills in the form with this action, and sends it as a browser does.
    fn fill(&mut self, page: &Shown, action: &str, fields: &[(&str, &str)]) -> Shown {
        let [token, number] = Browser::hidden(page, action);
        let all = [&[("form_token", token.as_str()), ("form_number", number.as_str())], fields].concat();
        let origin = self.url.clone();
        self.send(action, &all, &[("origin", &origin), ("sec-fetch-site", "same-origin")])
    }

    /// Waits for a job that a form started; the page that it ends with.
    fn job(&mut self, started: &Shown) -> Shown {
        assert_eq!(started.status, 303, "{}", started.text());
        assert!(started.location.starts_with("/console/jobs/"), "{}", started.location);
        loop {
            let page = self.get(&started.location);
            if page.status == 303 {
                return self.get(&page.location);
            }
            if !page.refreshes {
                return page;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn speak(&mut self, lang: &str) {
        assert_eq!(self.get(&format!("/console/set?lang={lang}&back=/console")).status, 303);
    }
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let encode = |text: &str| {
        text.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect::<String>()
    };
    fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// `people`, of which the requester may see name and fee, ask two predicates and existence, for one
/// purpose, about five keys.
fn world() -> World {
    let world = people::world(40);
    let terms = [
        "--disclose",
        "name,fee",
        "--prove",
        "fee >= 500",
        "--prove",
        "level >= ?",
        "--existence",
        "--whole",
        "status",
        "--purpose",
        "licence check",
        "--quota",
        "5",
    ];
    world.grant("people", &world.requester, &terms).ok();
    world
}

fn asset_of(url: &str) -> String {
    text(&wire::Upstream::at(url).get("/v1/catalogue").json()["assets"][0]["asset"]["id"])
}

fn height(url: &str) -> u64 {
    wire::Upstream::at(url).get("/v1/checkpoint").json()["header"]["height"].as_u64().unwrap()
}

#[test]
fn a_requester_searches_asks_and_keeps_the_answer() {
    let world = world();
    let server = world.serve();
    let asset = asset_of(&server.url);
    let console = Console::of(&world, "requester", &server.url);
    let mut browser = Browser::signed_in(&console);

    // The catalogue, searched.
    let page = browser.get("/console/requester");
    page.has(&["Catalogue", "people", "People", "Test owner"]);
    browser.get("/console/requester?column=fee&type=decimal&owner=Test+owner&data_type=table").has(&["people", "≤ 64"]);
    for nothing in ["search=companies", "column=fee&type=int", "owner=Nobody", "data_type=file"] {
        browser.get(&format!("/console/requester?{nothing}")).has(&["No asset matches."]);
    }

    // The asset and what was granted of it, proven.
    let page = browser.get(&format!("/console/requester/assets/{asset}"));
    page.has(&["up to 64", "You may see name, fee", "fee is at least 500.00", "level is at least a value you choose"]);
    page.has(&["licence check", "5 of 5 left", "It stands on the ledger now", "The ledger only grew"]);
    browser.get("/console/requester/grants").has(&["people", "Proven against the checkpoint of block", "5 of 5 left"]);

    // The form offers what is granted, keeps what was typed, and says what is wrong beside it.
    let ask = format!("/console/requester/ask/{asset}");
    let page = browser.get(&ask);
    page.has(&["See these fields", "fee is at least 500.00", "whether a record with this key exists", "licence check"]);
    assert!(!page.html().contains("<span>status"), "'status' was not granted");
    let wrong = browser.fill(&page, &ask, &[("k-0", "20"), ("do", "ask")]);
    wrong.has(&["Nothing was asked yet", "tick at least one thing to ask"]);
    assert!(wrong.html().contains("value=\"20\""), "what was typed is still there");
    let wrong = browser.fill(&wrong, &ask, &[("see", "1"), ("prove", "1"), ("c-1-0-0", "three"), ("do", "ask")]);
    wrong.has(&["write a whole number", "fill in the key"]);
    let sql = browser.fill(&wrong, &ask, &[("see", "1"), ("prove", "0"), ("k-0", "20"), ("do", "show")]);
    sql.has(&["SELECT name, fee >= 500.00 FROM people WHERE id = 20"]);

    // One question.
    let asked = [("see", "1"), ("prove", "0"), ("prove", "1"), ("c-1-0-0", "3"), ("k-0", "20"), ("do", "ask")];
    let started = browser.fill(&sql, &ask, &asked);
    let answer = browser.job(&started);
    answer.has(&[
        "Answered, and verified on this machine just now",
        "Person 20 v1",
        "fee is at least 500.00 yes",
        "level is at least 3 no",
    ]);
    answer.has(&[
        "It is the ledger you trust",
        "What was published is registered",
        "Your question is on the ledger, and was granted",
        "This very answer is on the ledger",
        "The key has one place, and no other",
        "The zero-knowledge proof holds",
        "Development parameters",
        "Owner-operated ledger",
    ]);
    let [request] = &answers_in(&world)[..] else { panic!("one answer is kept") };
    let at = format!("/console/requester/answers/{request}");
    browser.speak("zh");
    let chinese = browser.get(&at);
    chinese.has(&[
        "零知识证明成立",
        "您的查询已记入账本并获准许",
        "主键的位置唯一",
        "开发参数",
        "由数据提供方自行运营的账本",
    ]);
    chinese.has(&["Person 20 v1", "fee 不小于 500.00 是", "level 不小于 3 否"]);
    chinese.has_not(&["registered and signed by", "signed by the owner", "could forge", "rests on"]);
    browser.get("/console/requester").has(&["资源目录", "关键词"]);
    browser.get(&ask).has(&["fee 不小于 500.00", "level 不小于 您填写的值"]);
    browser.get("/console/requester/grants").has(&["剩余 4 / 5", "已对照区块"]);
    browser.speak("en");

    // Files to keep: what is downloaded verifies by itself.
    let file = world.path(&format!("requester/answers/{request}.json"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let downloaded = browser.get(&format!("{at}/answer.json"));
    assert_eq!(downloaded.body, std::fs::read(&file).unwrap());
    std::fs::write(world.path("downloaded.json"), &downloaded.body).unwrap();
    let verified = world.verify("requester", "downloaded.json").ok();
    assert_eq!(verified["records"][0]["result"][0]["answer"], "Person 20 v1");
    std::fs::write(world.path("receipt.json"), browser.get(&format!("{at}/receipt.json")).body).unwrap();
    let receipt = ["verify-receipt", "--home", &world.path("auditor"), &world.path("receipt.json")];
    assert_eq!(text(&sealgate(&receipt).ok()["transaction"]), *request);
    let proof: Value = serde_json::from_slice(&browser.get(&format!("{at}/snarkjs/proof.json")).body).unwrap();
    assert_eq!((&proof["protocol"], &proof["curve"]), (&json!("groth16"), &json!("bls12381")));
    assert_eq!(browser.get(&format!("{at}/snarkjs/account.key")).status, 404);

    // Pasted files.
    let page = browser.get("/console/requester/verify");
    let pasted = String::from_utf8(downloaded.body.clone()).unwrap().replace('\n', "\r\n");
    let shown = browser.fill(&page, "/console/requester/verify", &[("file", &pasted)]);
    shown.has(&["It verifies.", "Person 20 v1", "The zero-knowledge proof holds"]);
    let changed = pasted.replace("\"answer\": \"Person 20 v1\"", "\"answer\": \"Person 21 v1\"");
    let shown = browser.fill(&shown, "/console/requester/verify", &[("file", &changed)]);
    shown.has(&[
        "It does not verify: the file is not a canonical answer file: the result it shows is not the one it proves",
    ]);
    let receipt = std::fs::read_to_string(world.path("receipt.json")).unwrap();
    let shown = browser.fill(&shown, "/console/requester/verify", &[("file", &receipt)]);
    shown.has(&["It verifies.", "The transaction is on the ledger"]);
    let shown = browser.fill(&shown, "/console/requester/verify", &[("file", "{}")]);
    shown.has(&["this is neither an answer.json nor a receipt"]);

    // Several keys: NULL is one thing, no record another.
    let page = browser.get(&ask);
    let many = [("see", "3"), ("prove", "1"), ("c-1-0-0", "3"), ("many", "id\r\n21\r\n99"), ("do", "ask")];
    let started = browser.fill(&page, &ask, &many);
    let answer = browser.job(&started);
    answer.has(&["21 525.50 unknown: a compared field is empty (NULL)", "99 no record has this key"]);
    answer.has(&["Every key was answered", "There is no such record"]);
    browser.get("/console/requester/grants").has(&["2 of 5 left"]);
    browser.get("/console/requester/answers").has(&["SELECT name, fee >= 500.00", "WHERE id = ?", "answered"]);

    // A whole column, checked while it comes.
    let page = browser.get(&format!("/console/requester/assets/{asset}"));
    page.has(&["You may fetch all of status", "sealgate fetch --gateway"]);
    let fetch = format!("/console/requester/fetch/{asset}");
    let refused = browser.fill(&page, &fetch, &[("column", "1"), ("format", "csv")]);
    assert_eq!(refused.status, 422, "'name' may not be fetched whole");
    let page = browser.get(&format!("/console/requester/assets/{asset}"));
    let started = browser.fill(&page, &fetch, &[("column", "2"), ("format", "csv")]);
    let fetched = browser.job(&started);
    fetched.has(&["Fetched and checked", "people · version 1", "status"]);
    let link = fetched.html().split("href=\"/console/requester/fetched/").nth(1).unwrap().to_owned();
    let file_name = link.split('"').next().unwrap().to_owned();
    let column = browser.get(&format!("/console/requester/fetched/{file_name}"));
    let rows = parse_csv(&String::from_utf8(column.body).unwrap());
    assert_eq!((rows.len(), rows[0][0].as_str()), (41, "status"));
    assert_eq!(rows.iter().filter(|row| row[0] == "active").count(), 20);
    browser.get("/console/requester/grants").has(&["1 of 5 left"]);

    // A kept answer that somebody changed is not shown.
    std::fs::write(&file, changed.replace("\r\n", "\n")).unwrap();
    let page = browser.get(&at);
    page.has(&["does not verify; nothing of it is shown"]);
    page.has_not(&["Person 2", "The zero-knowledge proof holds"]);
}

/// Requests whose answers are kept.
fn answers_in(world: &World) -> Vec<String> {
    let folder = std::fs::read_dir(world.path("requester/answers")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".asked.json").map(str::to_owned)).collect()
}

#[test]
fn a_denial_is_foreseen_and_if_it_is_asked_for_explained() {
    let world = world();
    let server = world.serve();
    let asset = asset_of(&server.url);
    let console = Console::of(&world, "requester", &server.url);
    let mut browser = Browser::signed_in(&console);
    let ask = format!("/console/requester/ask/{asset}");
    let page = browser.get(&ask);
    let sql = ("sql", "SELECT status FROM people WHERE id = 7");
    let before = height(&server.url);
    let warned = browser.fill(&page, &ask, &[sql, ("do", "ask-sql")]);
    warned.has(&["This would be denied: the grant does not let you see 'status'.", "It was not sent."]);
    assert_eq!(height(&server.url), before, "nothing was sent");
    let unreadable = browser.fill(&warned, &ask, &[("sql", "DROP TABLE people"), ("do", "ask-sql")]);
    unreadable.has(&["Nothing was asked yet"]);
    let started = browser.fill(&unreadable, &ask, &[sql, ("anyway", "1"), ("do", "ask-sql")]);
    let denied = browser.job(&started);
    denied.has(&["The contract denied it: the grant does not let you see 'status'.", "it says nothing about whether"]);
    browser.speak("zh");
    let [request] = &answers_in(&world)[..] else { panic!("the denial is kept") };
    browser
        .get(&format!("/console/requester/answers/{request}"))
        .has(&["合约拒绝了此查询： 授权不允许您查看字段“status”"]);
    let trail = world.trail(&server.url, "requester");
    assert_eq!(trail.len(), 1, "{trail:?}");
}

#[test]
fn forms_are_taken_from_the_own_session_once_and_the_desk_is_the_homes_alone() {
    let world = world();
    let server = world.serve();
    let asset = asset_of(&server.url);
    let console = Console::of(&world, "requester", &server.url);
    let pages = ["", "/grants", "/answers", "/verify", "/fetched", "/answers/00"];
    let mut nobody = Browser::new(&console.url);
    for page in pages {
        let shown = nobody.get(&format!("/console/requester{page}"));
        assert_eq!(shown.status, 303, "{page}");
        assert!(shown.location.starts_with("/console/sign-in?back="), "{}", shown.location);
    }
    let mut browser = Browser::signed_in(&console);
    // The link is good once.
    let path = console.link.strip_prefix(&console.url).unwrap();
    nobody.get(path).has(&["The link is no longer good"]);
    // Another's token in one's own session, none, and a foreign page.
    let ask = format!("/console/requester/ask/{asset}");
    let page = browser.get(&ask);
    let [token, number] = Browser::hidden(&page, &ask);
    let fields = [("see", "1"), ("k-0", "20"), ("do", "show")];
    let own = [("origin", console.url.as_str())];
    let with = |token: &str, number: &str| {
        let mut all: Vec<(String, String)> =
            vec![("form_token".into(), token.into()), ("form_number".into(), number.into())];
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        all
    };
    let mut send = |token: &str, number: &str, headers: &[(&str, &str)]| {
        let all = with(token, number);
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.send(&ask, &all, headers)
    };
    for foreign in [&[("origin", "http://evil.example")][..], &[("sec-fetch-site", "cross-site")], &[]] {
        assert_eq!(send(&token, &number, foreign).status, 403);
    }
    assert_eq!(send("", &number, &own).status, 422);
    assert_eq!(send("AAAA", &number, &own).status, 422);
    assert_eq!(send(&token, &number, &own).status, 200);
    let again = send(&token, &number, &own);
    assert_eq!(again.status, 422);
    assert!(again.text().contains("this form was sent before"));
    // What is not this home's is not there; nor does a name lead out of its folders.
    for hidden in
        ["/console/owner", "/console/operator", "/console/auditor", "/console/requester/fetched/..%2Faccount.key"]
    {
        assert_eq!(browser.get(hidden).status, 404, "{hidden}");
    }
    assert_eq!(browser.get(&format!("/console/requester/answers/{}", "0".repeat(64))).status, 404);
    assert_eq!(browser.get("/console/requester/answers/..%2F..%2Faccount").status, 404);
    // Nor is there a requester's desk at the owner's gateway.
    assert_eq!(Browser::new(&server.url).get("/console/requester").status, 404);
}

#[test]
fn everybody_browses_the_ledger_and_a_home_checks_what_it_shows() {
    let world = world();
    let server = world.serve();
    world.ask(&server.url, "requester", "licence check", "a.json", "SELECT name FROM people WHERE id = 3").ok();
    let asset = asset_of(&server.url);
    let console = Console::of(&world, "requester", &server.url);
    let request = text(&world.trail(&server.url, "requester")[0]["request"]);
    for (url, own) in [(&server.url, true), (&console.url, false)] {
        let mut browser = Browser::new(url);
        let ground =
            if own { "This gateway reads its own ledger" } else { "extends every head that this home has seen" };
        let page = browser.get("/console/explorer");
        page.has(&["Newest blocks", ground]);
        assert_eq!(page.text().contains("Each header names the hash of the one before"), !own);
        // By height, hash, address, id and name.
        let mut found = |wanted: &str| {
            let shown = browser.get(&format!("/console/explorer/search?{}", encoded(&[("q", wanted)])));
            if shown.status == 303 { browser.get(&shown.location) } else { shown }
        };
        let block = found("1");
        block.has(&["Block 1", "Header", "Log root", "accepted"]);
        assert_eq!(block.text().contains("is in the tree of the signed checkpoint (inclusion proof)"), !own);
        block.has(&["Who signed it", "whose signatures are not kept"]);
        let head = height(&server.url).to_string();
        found(&head).has(&["Who signed it", "Test owner", "A quorum's signatures are kept"]);
        let hash = block.html().split("Hash</dt>").nth(1).unwrap().split("mono\">").nth(1).unwrap()[..64].to_owned();
        found(&hash).has(&["Block 1"]);
        let transaction = found(&request);
        transaction.has(&["asks a question", "granted", "licence check", "answered", "Inclusion proof"]);
        assert_eq!(transaction.text().contains("The transaction is on the ledger"), !own);
        let account = found(&world.requester);
        account.has(&["requester", "did:key:", "Enrolled by itself", "asks a question"]);
        found("requester").has(&["Accounts", "requester"]);
        let shown = found(&asset);
        shown.has(&["people", "Who may ask what", "May see name, fee", "fee is at least 500.00"]);
        found("PEOPLE").has(&["Assets", "people"]);
        found("nothing like that").has(&["Nothing on this ledger is found by", "What can be looked for"]);
        found(&"0".repeat(64)).has(&["Nothing on this ledger is found by"]);
        browser.get("/console/explorer/accounts").has(&["Address", "requester", "Test owner", "open"]);
        browser.get("/console/explorer/assets").has(&["people", "People", "Test owner"]);
        for nowhere in ["blocks/999999", "blocks/x", "transactions/x", "accounts/x", "assets/x", "else"] {
            assert_eq!(browser.get(&format!("/console/explorer/{nowhere}")).status, 404, "{nowhere}");
        }
        browser.speak("zh");
        browser.get(&format!("/console/explorer/transactions/{request}")).has(&["提出查询", "已准许", "用途"]);
        // The receipt convinces whoever trusts the ledger.
        let receipt = browser.get(&format!("/console/explorer/transactions/{request}/receipt.json"));
        std::fs::write(world.path("receipt.json"), &receipt.body).unwrap();
        let verify = ["verify-receipt", "--home", &world.path("auditor"), &world.path("receipt.json")];
        assert_eq!(text(&sealgate(&verify).ok()["transaction"]), request);
    }
}

fn flip(base64: &Value) -> Value {
    let mut bytes = BASE64.decode(base64.as_str().unwrap()).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    json!(BASE64.encode(bytes))
}

/// Which lie is told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    /// The sealed answer is changed.
    Flipped,
    /// The answer to an earlier question is given.
    Replayed,
    /// Another name stands in the account.
    Account,
    /// Another purpose stands in the entry.
    Entry,
    /// The list names more than is granted.
    List,
}

#[test]
fn nothing_of_a_lying_gateway_is_shown() {
    let world = world();
    let server = world.serve();
    let asset = asset_of(&server.url);
    let lie = Arc::new(Mutex::new(Lie::None));
    let told = lie.clone();
    let earlier: Mutex<Option<Reply>> = Mutex::new(None);
    let liar = Liar::start(&server.url, move |call, upstream| {
        let mut reply = upstream.forward(call);
        let mut change = |alter: &dyn Fn(&mut Value)| {
            let mut value = reply.json();
            alter(&mut value);
            reply = Reply { status: reply.status, body: serde_json::to_vec(&value).unwrap() };
        };
        match *told.lock().unwrap() {
            Lie::None if call.is("POST", "/v1/asks") => *earlier.lock().unwrap() = Some(reply.clone()),
            Lie::Flipped if call.is("POST", "/v1/asks") => change(&|value| value["sealed"] = flip(&value["sealed"])),
            Lie::Replayed if call.is("POST", "/v1/asks") => return earlier.lock().unwrap().clone().unwrap().into(),
            Lie::Account if call.is("GET", "/v1/state/accounts/") => {
                change(&|value| value["value"]["account"]["name"] = json!("Somebody else"));
            }
            Lie::Entry if call.is("GET", "/v1/entries/") => change(&|value| value["entry"]["height"] = json!(1)),
            Lie::List if call.is("GET", "/v1/state/assets/") => {
                change(&|value| {
                    if value["grants"][0].is_object() {
                        value["grants"][0]["terms"]["disclose"] = json!([1, 2, 3]);
                    }
                });
            }
            _ => {}
        }
        reply.into()
    });
    let console = Console::of(&world, "requester", &liar.url);
    let mut browser = Browser::signed_in(&console);
    let ask = format!("/console/requester/ask/{asset}");
    let question = |browser: &mut Browser, key: &str| {
        let page = browser.get(&ask);
        let started = browser.fill(&page, &ask, &[("see", "1"), ("k-0", key), ("do", "ask")]);
        browser.job(&started)
    };
    question(&mut browser, "2").has(&["Person 2 v1"]);
    let flipped = "What the gateway gave does not check. Nothing of it is shown or kept.";
    let replayed = "The ledger contradicts what this home has seen.";
    for (told, key, why) in [(Lie::Flipped, "4", flipped), (Lie::Replayed, "5", replayed)] {
        *lie.lock().unwrap() = told;
        let page = question(&mut browser, key);
        page.has(&[why]);
        page.has_not(&["Person", "verified"]);
    }
    assert_eq!(answers_in(&world).len(), 1, "what does not check is not kept");
    browser.get("/console/requester/answers").has(&["no answer yet"]);
    // The truth afterwards takes the same request up again: it does not count twice.
    *lie.lock().unwrap() = Lie::None;
    question(&mut browser, "4").has(&["Person 4 v1"]);
    browser.get("/console/requester/grants").has(&["2 of 5 left"]);

    let request = &answers_in(&world)[0];
    for (told, path, shown) in [
        (Lie::Account, format!("/console/explorer/accounts/{}", world.requester), "Somebody else"),
        (Lie::Entry, format!("/console/explorer/transactions/{request}"), "licence check"),
        (Lie::Entry, "/console/explorer/blocks/2".to_owned(), "Log root"),
        (Lie::List, format!("/console/requester/assets/{asset}"), "status"),
    ] {
        *lie.lock().unwrap() = told;
        let page = browser.get(&path);
        assert_eq!(page.status, 502, "{told:?}: {}", page.text());
        assert!(page.text().contains("does not check"), "{told:?}: {}", page.text());
        page.has_not(&[shown]);
        *lie.lock().unwrap() = Lie::None;
        browser.get(&path).has(&[]);
    }
}
