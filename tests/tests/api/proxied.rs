//! Behind a proxy on the same machine, as docs/production.md sets it up, and where nothing is said of one.

use reqwest::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use sealgate_tests::{sealgate, text, workspace};

use super::Api;

const HSTS: &str = "strict-transport-security";

impl Api {
    fn passed_on(&self, path: &str, header: &str, client: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.server.url)).header(header, client)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_passes_on_is_nobodys_of_this_machine_though_nothing_is_configured() {
    let api = Api::configured("[limits]\nrequests_per_second = 1\nburst = 20");
    assert_eq!(api.get("/metrics").await.status, 200);
    for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        assert_eq!(api.passed_on("/metrics", header, "198.51.100.7").send().await.unwrap().status(), 404, "{header}");
    }
    // All of them are one client, which has a rate.
    let mut refused = 0;
    for at in 0..60 {
        let answer = api.passed_on("/health", "x-forwarded-for", &format!("198.51.100.{at}")).send().await.unwrap();
        refused += u32::from(answer.status() == 429);
    }
    assert!(refused > 0, "a proxy's callers have no rate");
    for _ in 0..60 {
        assert_eq!(api.get("/health").await.status, 200);
    }
}

/// The block of a page that begins behind a line with these words.
fn block(page: &str, behind: &str) -> String {
    let text = std::fs::read_to_string(workspace().join(page)).unwrap();
    let rest = text.split_once(behind).unwrap_or_else(|| panic!("{page} does not say: {behind}")).1;
    rest.split("```").nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_proxy_makes_for_secure_cookies_and_clients_of_their_own() {
    let page = "docs/production.md";
    let config = block(page, "is told that a proxy encrypts");
    let nginx = block(page, "and nginx, as a file");
    for line in [
        "proxy_pass http://127.0.0.1:8080;",
        "proxy_set_header Host $http_host;",
        "proxy_set_header X-Forwarded-For $remote_addr;",
    ] {
        assert!(nginx.contains(line), "{line}");
    }
    // A free port instead of that one.
    let config: String =
        config.lines().filter(|line| !line.starts_with("listen")).map(|line| format!("{line}\n")).collect();
    let api = Api::configured(&format!("{config}\n[limits]\nrequests_per_second = 1\nburst = 20"));
    let name = "gateway.example.org";
    let visit = |path: &str, client: &str| api.passed_on(path, "x-forwarded-for", client).header(HOST, name);

    // Each client has its own rate.
    let mut refused = 0;
    for _ in 0..60 {
        refused += u32::from(visit("/health", "198.51.100.1").send().await.unwrap().status() == 429);
    }
    assert!(refused > 0);
    assert_eq!(visit("/metrics", "198.51.100.2").send().await.unwrap().status(), 404);

    // The page says how it is called, and that it is never to be called otherwise.
    let page = visit("/console/sign-in", "198.51.100.2").send().await.unwrap();
    assert_eq!(page.headers()[HSTS], "max-age=31536000");
    assert!(page.text().await.unwrap().contains("--gateway https://gateway.example.org<"));

    // The cookie of a session is sent over encrypted connections alone.
    let link = text(&sealgate(&["sign-in", "--data-dir", &api.world.path("owner")]).ok()["link"]);
    let code = link.split_once("code=").unwrap().1.to_owned();
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let kind = "application/x-www-form-urlencoded";
    let entered = browser
        .post(format!("{}/console/enter", api.server.url))
        .body(format!("code={code}"))
        .header("x-forwarded-for", "198.51.100.3")
        .header(HOST, name)
        .header(ORIGIN, format!("https://{name}"))
        .header("content-type", kind)
        .send()
        .await
        .unwrap();
    let cookie = entered.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-sealgate-session-") && cookie.contains("; Secure"), "{cookie}");
    let session = cookie.split(';').next().unwrap();
    let desk = visit("/console/owner", "198.51.100.3").header(COOKIE, session).send().await.unwrap();
    assert_eq!(desk.status(), 200);

    // Who comes past the proxy, from this machine, is told of no encryption.
    let plain = api.http.get(format!("{}/console", api.server.url)).send().await.unwrap();
    assert!(!plain.headers().contains_key(HSTS) && plain.status() == 200);
    assert_eq!(api.get("/metrics").await.status, 200);
}
