//! A real Chromium, driven through ChromeDriver (W3C WebDriver), as a person would use it: by what
//! links, buttons and fields are called.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use sealgate_tests::{free_port, workspace};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How wide and high a window is.
pub const DESKTOP: (u32, u32) = (1280, 900);
pub const PHONE: (u32, u32) = (360, 740);

pub struct Browser {
    pub client: Client,
    driver: Child,
    _profile: TempDir,
    /// Screenshots begin with this.
    name: String,
}

/// The programs, or `None`, said plainly, where they are absent; under `CI` nothing is skipped.
pub fn installed() -> Option<()> {
    let there = ["chromium", "chromedriver"]
        .iter()
        .all(|program| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "chromium and chromedriver are needed under CI");
        println!("skipped: chromium and chromedriver are absent (Debian: chromium, chromium-driver)");
    }
    there.then_some(())
}

impl Browser {
    /// A new browser with a profile of its own; `languages` as it tells servers.
    pub async fn start(name: &str, languages: &str, (width, height): (u32, u32), is_dark: bool) -> Browser {
        let (port, profile) = (free_port(), tempfile::tempdir().unwrap());
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut args: Vec<String> = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ]
        .map(String::from)
        .to_vec();
        args.push(format!("--user-data-dir={}", profile.path().display()));
        args.push(format!("--window-size={width},{height}"));
        args.extend(is_dark.then(|| "--force-dark-mode".to_owned()));
        let options = json!({
            "args": args,
            "prefs": { "intl.accept_languages": languages, "download.default_directory": profile.path() },
        });
        let Value::Object(capabilities) = json!({ "browserName": "chrome", "goog:chromeOptions": options }) else {
            unreachable!()
        };
        let connector = hyper_util::client::legacy::connect::HttpConnector::new();
        let mut builder = ClientBuilder::new(connector);
        builder.capabilities(capabilities);
        let url = format!("http://127.0.0.1:{port}");
        let client = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                match builder.connect(&url).await {
                    Ok(client) => break client,
                    // It takes a moment until the driver listens.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        })
        .await
        .expect("chromedriver starts a browser");
        let browser = Browser { client, driver, _profile: profile, name: name.to_owned() };
        browser.size((width, height)).await;
        browser
    }

    /// The size of the page's window.
    pub async fn size(&self, (width, height): (u32, u32)) {
        // The window's own frame is none in a headless browser, but its least width is 500: a phone is
        // emulated.
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics).await;
    }

    async fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let session = self.client.session_id().await.unwrap().unwrap();
        let call = Devtools { session, body: json!({ "cmd": command, "params": parameters }) };
        self.client.issue_cmd(call).await.unwrap()
    }

    pub async fn go(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    pub async fn address(&self) -> String {
        self.client.current_url().await.unwrap().to_string()
    }

    /// The visible text of the page; none while another one is being loaded.
    pub async fn text(&self) -> String {
        let text = self.client.execute("return document.body ? document.body.innerText : ''", vec![]).await;
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The page shows all of these texts within some seconds.
    pub async fn see(&self, texts: &[&str]) {
        let mut shown = String::new();
        for _ in 0..300 {
            shown = self.text().await;
            if texts.iter().all(|text| shown.contains(text)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let missing: Vec<_> = texts.iter().filter(|text| !shown.contains(**text)).collect();
        panic!("{missing:?} not seen at {}:\n{shown}", self.address().await);
    }

    /// The first element to be seen that one of these finds, the earlier ones first; a page may be on its way.
    async fn find(&self, what: &str, xpaths: &[String]) -> Element {
        for _ in 0..100 {
            for xpath in xpaths {
                for element in self.client.find_all(Locator::XPath(xpath)).await.unwrap_or_default() {
                    if element.is_displayed().await.unwrap_or(false) {
                        return element;
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no {what} at {}:\n{}", self.address().await, self.text().await)
    }

    /// Clicks the link or button that is called so, in the page's own part if it is there.
    pub async fn click(&self, name: &str) {
        let (is, has) =
            (format!("normalize-space(.)={}", quoted(name)), format!("contains(normalize-space(.), {})", quoted(name)));
        let called = |place: &str, how: &str| {
            format!("({place}//button[{how} and not(@aria-hidden)] | {place}//a[{how}] | {place}//summary[{how}])")
        };
        let xpaths = [called("//main", &is), called("", &is), called("//main", &has), called("", &has)];
        self.find(&format!("link or button '{name}'"), &xpaths).await.click().await.unwrap();
    }

    /// Writes into the field with this label.
    pub async fn fill(&self, label: &str, value: &str) {
        let element = self.labelled(label).await;
        element.clear().await.unwrap();
        element.send_keys(value).await.unwrap();
    }

    /// The field with this label holds this text.
    pub async fn holds(&self, label: &str, text: &str) {
        let value = self.labelled(label).await.prop("value").await.unwrap().unwrap_or_default();
        assert!(value.contains(text), "'{text}' is not in '{label}': {value}");
    }

    /// Chooses by its text in the list with this label.
    pub async fn choose(&self, label: &str, option: &str) {
        self.labelled(label).await.select_by_label(option).await.unwrap();
    }

    /// Ticks, or no longer ticks, the box with this label.
    pub async fn tick(&self, label: &str) {
        self.labelled(label).await.click().await.unwrap();
    }

    /// The field whose label is this text, or else begins with it, or has it.
    async fn labelled(&self, label: &str) -> Element {
        let text = quoted(label);
        let hows = [
            format!("normalize-space(.)={text}"),
            format!("starts-with(normalize-space(.), {text})"),
            format!("contains(normalize-space(.), {text})"),
        ];
        let xpaths = hows.map(|how| format!("//label[{how}]//input | //*[@id = //label[{how}]/@for]"));
        self.find(&format!("field '{label}'"), &xpaths).await
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        for value in keys.chars() {
            let actions = KeyActions::new("keyboard".into());
            let pressed = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
            self.client.perform_actions(pressed).await.unwrap();
        }
    }

    /// Moves the focus with the tabulator to the link, button or field that is called so. Wherever it stops on
    /// the way can be told from its surroundings.
    pub async fn tab_to(&self, name: &str) {
        let focused = "const e = document.activeElement;
            const called = e.labels && e.labels.length ? e.labels[0].innerText : e.innerText || e.ariaLabel || '';
            const style = getComputedStyle(e);
            const seen = style.outlineStyle !== 'none' || style.boxShadow !== 'none';
            return [called.trim().replace(/\\s+/g, ' '), seen];";
        let mut stops = Vec::new();
        while stops.len() < 200 {
            self.press(&Key::Tab.to_string()).await;
            let stop = self.run(focused).await;
            let called = stop[0].as_str().unwrap().to_owned();
            assert!(stop[1] == true || stop[0] == "", "the focus on '{called}' is not seen");
            if called == name || called.starts_with(&format!("{name} ")) {
                return;
            }
            stops.push(called);
        }
        panic!("no '{name}' among what the focus stops at: {stops:?}");
    }

    /// Moves the focus there and presses Enter.
    pub async fn enter(&self, name: &str) {
        self.tab_to(name).await;
        self.press(&Key::Enter.to_string()).await;
    }

    /// A picture of the whole page, `target/screens/NAME-WHAT.png`.
    pub async fn shot(&self, what: &str) {
        let folder = workspace().join("target/screens");
        std::fs::create_dir_all(&folder).unwrap();
        let parameters = json!({ "captureBeyondViewport": true, "format": "png" });
        let picture = self.devtools("Page.captureScreenshot", &parameters).await;
        use base64::Engine as _;
        let png = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(folder.join(format!("{}-{what}.png", self.name)), png).unwrap();
    }

    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap()
    }

    /// Nothing is wider than the window, so nobody scrolls sideways.
    pub async fn fits(&self) {
        let [page, window] = ["document.documentElement.scrollWidth", "document.documentElement.clientWidth"];
        let (page, window) =
            (self.run(&format!("return {page}")).await.as_u64(), self.run(&format!("return {window}")).await.as_u64());
        assert!(page <= window, "{page:?} is wider than {window:?} at {}", self.address().await);
    }

    /// What axe-core (Deque's rules for WCAG 2 A and AA) finds wrong with the page: nothing.
    pub async fn is_accessible(&self, axe: &str) {
        self.client.execute(axe, vec![]).await.unwrap();
        let run = "const done = arguments[arguments.length - 1];
            axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })
                .then(r => done(r.violations.map(v => v.id + ': ' + v.help + ' ' + v.nodes.map(n => n.html).slice(0, 3).join(' '))))
                .catch(e => done([String(e)]));";
        let found = self.client.execute_async(run, vec![]).await.unwrap();
        assert_eq!(found, json!([]), "at {}", self.address().await);
    }

    pub async fn close(mut self) {
        self.client.clone().close().await.unwrap();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // With the driver end the browsers that it started.
        let _ = Command::new("pkill").args(["-P", &self.driver.id().to_string()]).status();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A text in XPath, which knows no escapes.
fn quoted(text: &str) -> String {
    if text.contains('\'') { format!("\"{text}\"") } else { format!("'{text}'") }
}

/// Chromium's own commands, through the driver.
#[derive(Debug)]
struct Devtools {
    session: String,
    body: Value,
}

impl fantoccini::wd::WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &url::Url, _session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", self.session))
    }

    fn method_and_body(&self, _url: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
