//! Behind a proxy on the same machine, as docs/production.md sets it up, and where nothing is said of one.

use std::process::{Child, Command, Stdio};

use reqwest::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use sealgate_tests::{free_port, sealgate, text, workspace};
use tempfile::TempDir;

use super::{Api, secure};

const HSTS: &str = "strict-transport-security";
const FORM: &str = "application/x-www-form-urlencoded";
/// Where Debian has it, which is not where everybody's shell looks.
const NGINX: &str = "/usr/sbin/nginx";

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
    let entered = browser
        .post(format!("{}/console/enter", api.server.url))
        .body(format!("code={code}"))
        .header("x-forwarded-for", "198.51.100.3")
        .header(HOST, name)
        .header(ORIGIN, format!("https://{name}"))
        .header("content-type", FORM)
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

/// An nginx of Debian's package, with the page's own file.
struct Nginx {
    process: Child,
    _folder: TempDir,
}

impl Nginx {
    /// `None`, said plainly, where it is not installed; under `CI` nothing is skipped.
    fn installed() -> Option<()> {
        let there = std::path::Path::new(NGINX).exists();
        if !there {
            assert!(std::env::var_os("CI").is_none(), "nginx is needed under CI");
            println!("skipped: nginx is absent (Debian: nginx-light)");
        }
        there.then_some(())
    }

    fn start(server: &str, folder: TempDir) -> Nginx {
        let at = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {at}/{what};\n"))
            .concat();
        let conf = folder.path().join("nginx.conf");
        let whole = format!(
            "daemon off; pid {at}/pid; error_log {at}/error.log;\nevents {{}}\nhttp {{ access_log off;\n{temporary}{server}}}\n"
        );
        std::fs::write(&conf, whole).unwrap();
        let process = Command::new(NGINX).arg("-c").arg(&conf).stderr(Stdio::null()).spawn().unwrap();
        Nginx { process, _folder: folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it when it is asked to, and would stay if it were killed.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_nginx_passes_on_questions_and_who_asks_them() {
    let Some(()) = Nginx::installed() else { return };
    let (page, outside) = ("docs/production.md", free_port());
    let name = format!("127.0.0.1:{outside}");
    let config = block(page, "is told that a proxy encrypts").replace("gateway.example.org", &name);
    let config: String =
        config.lines().filter(|line| !line.starts_with("listen")).map(|line| format!("{line}\n")).collect();
    let api = Api::configured(&format!("{config}\n[limits]\nrequests_per_second = 1\nburst = 20"));
    let folder = tempfile::tempdir().unwrap();
    let authority = secure::certify(folder.path(), "authority");
    let at = folder.path().display().to_string();
    let server = block(page, "and nginx, as a file")
        .replace("listen 443", &format!("listen 127.0.0.1:{outside}"))
        .replace("listen [::]:443 ssl;", "")
        .replace("/etc/letsencrypt/live/gateway.example.org/fullchain.pem", &format!("{at}/chain.pem"))
        .replace("/etc/letsencrypt/live/gateway.example.org/privkey.pem", &format!("{at}/key.pem"))
        .replace("http://127.0.0.1:8080", &api.server.url);
    let root = reqwest::Certificate::from_pem(&std::fs::read(&authority).unwrap()).unwrap();
    let _nginx = Nginx::start(&server, folder);
    let url = format!("https://{name}");
    // A caller with an address of its own: this machine has 127.0.0.0/8.
    let caller = |last: u8| {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        client
            .local_address(std::net::IpAddr::from([127, 0, 0, last]))
            .add_root_certificate(root.clone())
            .build()
            .unwrap()
    };
    let one = caller(11);
    for _ in 0..200 {
        if one.get(&url).send().await.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    // A question through it, signed for the name by which it is called.
    secure::ask(&api.world, &url, "proxied.json", &["--gateway-ca", &authority]).ok();

    // What a caller says of itself counts for nothing, and each has its own rate.
    let mut refused = 0;
    for last in 0..60 {
        let asked = one.get(format!("{url}/health")).header("x-forwarded-for", format!("198.51.100.{last}"));
        refused += u32::from(asked.send().await.unwrap().status() == 429);
    }
    assert!(refused > 0);
    let other = caller(12);
    assert_eq!(other.get(format!("{url}/health")).send().await.unwrap().status(), 200);
    assert_eq!(other.get(format!("{url}/metrics")).send().await.unwrap().status(), 404);

    // A browser signs in, and is told to come back encrypted only.
    let owner = api.world.path("owner");
    let signing = ["sign-in", "--data-dir", &owner, "--gateway", &url, "--gateway-ca", &authority];
    let link = text(&sealgate(&signing).ok()["link"]);
    let code = link.strip_prefix(&format!("{url}/console/enter?code=")).unwrap_or_else(|| panic!("{link}"));
    let entering = other.post(format!("{url}/console/enter")).header(ORIGIN, &url).body(format!("code={code}"));
    let entered = entering.header("content-type", FORM).send().await.unwrap();
    assert_eq!(entered.headers()[HSTS], "max-age=31536000");
    let cookie = entered.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    let session = cookie.split(';').next().unwrap();
    let desk = other.get(format!("{url}/console/owner")).header(COOKIE, session).send().await.unwrap();
    assert_eq!(desk.status(), 200);
}
