//! The console in a real browser: each desk's whole story, in both languages, light and dark, on a wide
//! window and on a phone, by mouse and by keyboard. Pictures of it go to `target/screens/`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fantoccini::key::Key;
use sealgate_tests::{Server, Table, World, npm, sealgate, text};

#[path = "browser/driver.rs"]
mod driver;

use driver::{Browser, DESKTOP, PHONE};

/// The rules of accessibility, as a script; `None`, said plainly, where browser or npm is absent.
fn tools() -> Option<String> {
    driver::installed()?;
    let folder = npm::installed("browser", &[], env!("CARGO_TARGET_TMPDIR"))?;
    Some(std::fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).unwrap())
}

/// A link that signs a browser in.
fn owners_link(world: &World) -> String {
    text(&sealgate(&["sign-in", "--data-dir", &world.path("owner")]).ok()["link"])
}

/// A requester's or auditor's own console, and the link with which it begins.
fn own_console(world: &World, home: &str, gateway: &str) -> (Server, String) {
    let home = world.path(home);
    let server = Server::run(&["console", "--home", &home, "--gateway", gateway, "--listen", "127.0.0.1:0"], &[]);
    let url = server.url.trim_end_matches("/console").to_owned();
    let link = text(&sealgate(&["sign-in", "--home", &home, "--gateway", &url]).ok()["link"]);
    (server, link)
}

/// Whatever page is looked at: it fits, and nothing is wrong with it.
async fn look(browser: &Browser, axe: &str, name: &str) {
    browser.fits().await;
    browser.is_accessible(axe).await;
    browser.shot(name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_finds_their_way_in_and_out() {
    let Some(axe) = tools() else { return };
    let world = World::with(&Table::shops(40));
    let server = world.serve();
    let url = format!("{}/console", server.url);
    let browser = Browser::start("frame", "en-GB,en", DESKTOP, false).await;
    browser.go(&url).await;
    browser.see(&["Share data without giving it away", "You are not signed in", "Explorer"]).await;
    look(&browser, &axe, "start").await;
    // What needs a sign-in leads there.
    browser.go(&format!("{url}/owner")).await;
    browser.see(&["sealgate sign-in --data-dir DIR"]).await;
    look(&browser, &axe, "sign-in").await;

    let link = owners_link(&world);
    browser.go(&link).await;
    browser.see(&["This browser will act as", "Test owner"]).await;
    look(&browser, &axe, "enter").await;
    browser.click("Continue as Test owner").await;
    browser.see(&["Data owner", "Operator", "Sign out"]).await;
    look(&browser, &axe, "signed-in").await;
    // The link was good once.
    browser.go(&link).await;
    browser.see(&["has been used"]).await;

    // Languages and colours stay chosen; a phone shows the same.
    browser.go(&url).await;
    browser.click("中文").await;
    browser.see(&["共享数据，而不交出数据", "数据提供方", "退出"]).await;
    browser.click("深色").await;
    browser.size(PHONE).await;
    browser.go(&format!("{url}/explorer")).await;
    browser.see(&["区块"]).await;
    look(&browser, &axe, "phone-dark-zh").await;
    browser.click("English").await;
    browser.size(DESKTOP).await;

    // By keyboard alone: the first stop skips to the content.
    browser.go(&url).await;
    let body = browser.client.active_element().await.unwrap();
    body.send_keys(&Key::Tab.to_string()).await.unwrap();
    let first = browser.client.active_element().await.unwrap();
    assert_eq!(first.text().await.unwrap(), "Skip to the content");
    first.send_keys(&Key::Enter.to_string()).await.unwrap();
    assert!(browser.address().await.ends_with("#main"));

    browser.click("Sign out").await;
    browser.see(&["You are not signed in"]).await;
    browser.go(&format!("{url}/owner")).await;
    browser.see(&["sealgate sign-in"]).await;
    browser.close().await;
}

/// How pages are looked at beside a wide window in English: language, colours, window, and what pictures end with.
const WAYS: [(&str, &str, (u32, u32), &str); 4] = [
    ("zh", "dark", PHONE, "-phone-zh"),
    ("en", "light", PHONE, "-phone"),
    ("zh", "light", DESKTOP, "-zh"),
    ("en", "dark", DESKTOP, "-dark"),
];

/// Pages of a desk: on a wide window in English, and then in the other ways.
async fn leaf_through(browser: &Browser, axe: &str, base: &str, desk: &str, pages: &[&str]) {
    let named: Vec<(String, String)> =
        pages.iter().map(|page| (page.replace(['/', '?', '='], "-"), (*page).to_owned())).collect();
    leaf_through_named(browser, axe, base, desk, &named).await;
}

/// The same of pages with names for their pictures.
async fn leaf_through_named(browser: &Browser, axe: &str, base: &str, desk: &str, pages: &[(String, String)]) {
    let at = |page: &str| format!("{base}/console/{desk}{page}");
    for (name, page) in pages {
        browser.go(&at(page)).await;
        look(browser, axe, &format!("{desk}{name}")).await;
    }
    for (lang, theme, size, ending) in WAYS {
        browser.go(&format!("{base}/console/set?lang={lang}&back=/console")).await;
        browser.go(&format!("{base}/console/set?theme={theme}&back=/console")).await;
        browser.size(size).await;
        for (name, page) in pages {
            browser.go(&at(page)).await;
            browser.fits().await;
            // What is wrong with a page is so in every language: colours and stacked tables differ.
            if theme == "dark" {
                browser.is_accessible(axe).await;
            }
            browser.shot(&format!("{desk}{name}{ending}")).await;
        }
    }
    browser.size(DESKTOP).await;
    browser.go(&format!("{base}/console/set?theme=auto&back=/console")).await;
    browser.go(&format!("{base}/console/set?lang=en&back=/console")).await;
}

/// The explorer: its lists, one of each thing, what is found and what is not, and what is not there.
async fn explore(browser: &Browser, axe: &str, base: &str, world: &World, request: &str) {
    let pages = [
        ("", String::new()),
        ("-accounts", "/accounts".into()),
        ("-assets", "/assets".into()),
        ("-block", "/blocks/3".into()),
        ("-transaction", format!("/transactions/{request}")),
        ("-account", format!("/accounts/{}", world.requester)),
        ("-search", "/search?q=shop".into()),
        ("-search-none", "/search?q=nothing-like-this".into()),
        ("-error", "/nowhere".into()),
    ];
    leaf_through_named(browser, axe, base, "explorer", &pages.map(|(name, page)| (name.to_owned(), page))).await;
}

/// The owner publishes the table of a CSV file, whose path is all that is typed.
async fn publish(browser: &Browser, axe: &str, csv: &str) {
    browser.click("Publish").await;
    browser.fill("File or database", csv).await;
    browser.click("Look at the source").await;
    browser.see(&["This is what the source holds", "Manifest (TOML)"]).await;
    look(browser, axe, "owner-manifest").await;
    browser.click("See what becomes public").await;
    browser.see(&["Everybody on the ledger sees", "Stays sealed on this machine", "Publish it?"]).await;
    look(browser, axe, "owner-preview").await;
    browser.click("Publish").await;
    browser.see(&["version 1 is published", "Download the receipt"]).await;
    look(browser, axe, "owner-published").await;
}

/// The owner grants a field and a condition, after looking at who can learn what.
async fn grant(browser: &Browser, axe: &str, to: &str) {
    browser.click("Say who may ask").await;
    browser.fill("Account", to).await;
    browser.click("Next").await;
    browser.tick("name").await;
    browser.click("Put a condition together").await;
    browser.choose("Field", "fee (number with 2 decimals)").await;
    browser.choose("is", ">=").await;
    browser.fill("Constant", "300").await;
    browser.click("Add").await;
    browser.fill("Purpose", "fee check").await;
    browser.fill("How many keys", "5").await;
    browser.click("See who can learn what").await;
    browser.see(&["could learn", "Grant it"]).await;
    look(browser, axe, "owner-learning").await;
    browser.click("Grant it").await;
    browser.see(&["Done: the ledger has recorded it", "0 of 5 keys used"]).await;
}

/// The requester finds the asset, asks what it was granted, and sees what was verified.
async fn ask(browser: &Browser, axe: &str, url: &str) {
    browser.go(&format!("{url}/console/requester")).await;
    browser.fill("Words", "shop").await;
    browser.click("Search").await;
    browser.click("shop").await;
    look(browser, axe, "requester-asset").await;
    browser.click("Ask a question").await;
    browser.see(&["What to ask", "Which record", "fee check"]).await;
    browser.tick("name").await;
    browser.tick("fee").await;
    browser.fill("id", "40").await;
    browser.click("Show the SQL").await;
    browser.holds("SQL", "WHERE id = 40").await;
    look(browser, axe, "requester-question").await;
    browser.click("Ask").await;
    browser.see(&["Shop no. 40", "Download answer.json"]).await;
    look(browser, axe, "requester-answer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_requester_auditor_and_operator_do_their_jobs() {
    let Some(axe) = tools() else { return };
    let world = World::audited();
    std::fs::write(world.path("shop.csv"), Table::shops(60).csv()).unwrap();
    let config = world.path("owner/sealgate.toml");
    let usual = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{usual}\n[console]\nfolders = [\"..\"]\n")).unwrap();
    let server = world.serve();
    let owner = Browser::start("department", "en", DESKTOP, false).await;
    owner.go(&owners_link(&world)).await;
    owner.click("Continue as Test owner").await;
    owner.click("Data owner").await;
    owner.see(&["Nothing has been published yet"]).await;
    publish(&owner, &axe, &world.path("shop.csv")).await;
    grant(&owner, &axe, &world.requester).await;

    let (console, link) = own_console(&world, "requester", &server.url);
    let url = console.url.trim_end_matches("/console");
    let requester = Browser::start("bank", "en", DESKTOP, false).await;
    requester.go(&link).await;
    requester.click("Continue as requester").await;
    ask(&requester, &axe, url).await;
    leaf_through(&requester, &axe, url, "requester", &["", "/grants", "/answers", "/fetched", "/verify"]).await;
    let request = text(&world.trail(&server.url, "auditor")[0]["request"]);
    explore(&requester, &axe, url, &world, &request).await;
    requester.close().await;

    let pages = ["", "/publish", "/grants", "/grants/edit", "/requests", "/budgets", "/syncs", "/keys"];
    leaf_through(&owner, &axe, &server.url, "owner", &pages).await;
    owner.go(&format!("{}/console/owner/requests", server.url)).await;
    owner.see(&["fee check", "answered"]).await;
    let pages = ["", "/proposals", "/nodes", "/rules", "/consensus", "/contracts", "/witnesses"];
    leaf_through(&owner, &axe, &server.url, "operator", &pages).await;
    explore(&owner, &axe, &server.url, &world, &request).await;
    owner.go(&format!("{}/console/owner/grants", server.url)).await;
    owner.click("Revoke").await;
    owner.see(&["From the next block on it can no longer ask"]).await;
    look(&owner, &axe, "owner-revoke").await;
    owner.click("Revoke the grant").await;
    owner.see(&["No grant stands"]).await;

    let (console, link) = own_console(&world, "auditor", &server.url);
    let url = console.url.trim_end_matches("/console");
    let auditor = Browser::start("office", "en", DESKTOP, false).await;
    auditor.go(&link).await;
    auditor.click("Continue as auditor").await;
    auditor.go(&format!("{url}/console/auditor/verify")).await;
    auditor.click("Verify everything").await;
    auditor.see(&["all of it holds"]).await;
    look(&auditor, &axe, "auditor-verified").await;
    let pages = ["", "/trail", "/anomalies", "/grants", "/metering", "/budgets", "/verify", "/samples", "/reads"];
    leaf_through(&auditor, &axe, url, "auditor", &pages).await;
    auditor.go(&format!("{url}/console/auditor/trail")).await;
    auditor.see(&["fee check", "answered"]).await;
    auditor.close().await;
    owner.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_made_by_keyboard_alone() {
    if tools().is_none() {
        return;
    }
    let world = World::with(&Table::shops(40));
    let server = world.serve();
    let browser = Browser::start("keyboard", "en", DESKTOP, false).await;
    browser.go(&owners_link(&world)).await;
    browser.enter("Continue as Test owner").await;
    browser.see(&["Sign out"]).await;
    browser.enter("Data owner").await;
    browser.see(&["New grant"]).await;
    browser.enter("shop").await;
    browser.see(&["Budgets in detail"]).await;
    browser.enter("New grant").await;
    browser.see(&["Next"]).await;
    browser.tab_to("Account").await;
    browser.press(&world.requester).await;
    browser.enter("Next").await;
    browser.see(&["See who can learn what"]).await;
    browser.tab_to("name").await;
    browser.press(" ").await;
    browser.tab_to("Purpose").await;
    browser.press("fee check").await;
    browser.enter("See who can learn what").await;
    browser.see(&["could learn", "Grant it"]).await;
    browser.shot("learning").await;
    browser.enter("Grant it").await;
    browser.see(&["Done: the ledger has recorded it"]).await;
    browser.close().await;
    let sql = "SELECT name FROM shop WHERE id = 3";
    world.ask(&server.url, "requester", "fee check", "answer.json", sql).ok();
    world.ask(&server.url, "requester", "fee check", "none.json", "SELECT fee FROM shop WHERE id = 3").error();
}
