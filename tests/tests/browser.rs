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
