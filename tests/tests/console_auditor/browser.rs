//! A browser, as far as these tests need one: cookies, forms with what they carry, the headers that say
//! where a form is from. It follows no redirection by itself, so that each is seen.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sealgate_tests::{sealgate, text};

pub struct Browser {
    /// The site, `http://host:port`.
    site: String,
    cookies: BTreeMap<String, String>,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Page {
    pub path: String,
    pub status: u16,
    pub text: String,
    /// Where a redirection leads.
    pub location: String,
    pub refresh: String,
    pub disposition: String,
}

impl Browser {
    /// A browser that is signed in nowhere, at the site of this URL.
    pub fn new(url: &str) -> Browser {
        let site = url.trim_end_matches("/console").to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let redirect = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().redirect(redirect).no_proxy().build().unwrap();
        Browser { site, cookies: BTreeMap::new(), runtime, http }
    }

    /// Signs in with the key in a folder: the link that the command prints, and its form.
    pub fn signed_in(url: &str, folder: &[&str]) -> Browser {
        let mut browser = Browser::new(url);
        let site = browser.site.clone();
        let signed = sealgate(&[&["sign-in"], folder, &["--gateway", &site]].concat()).ok();
        let link = text(&signed["link"]);
        let path = link.strip_prefix(&site).unwrap().to_owned();
        let page = browser.get(&path).ok();
        let code = page.values("name=\"code\" value=\"").remove(0);
        browser.send("/console/enter", &format!("code={code}"), Some(&site)).is(303);
        browser
    }

    pub fn get(&mut self, path: &str) -> Page {
        let request = self.http.get(format!("{}{path}", self.site));
        self.exchange(path, request)
    }

    /// The same page in another language, as a browser prefers it that chose none.
    pub fn get_in(&mut self, lang: &str, path: &str) -> Page {
        let request = self.http.get(format!("{}{path}", self.site)).header("accept-language", lang);
        self.exchange(path, request)
    }

    /// Sends a form with these fields and what the page at `from` says that forms carry.
    pub fn post(&mut self, from: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.get(from);
        self.post_from(&page, path, fields)
    }

    /// Sends a form of a page that is at hand.
    pub fn post_from(&mut self, page: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
        let (body, site) = (carried(page, fields), self.site.clone());
        self.send(path, &body, Some(&site))
    }

    /// A form's content, not sent yet.
    pub fn form(&mut self, from: &str, fields: &[(&str, &str)]) -> String {
        let page = self.get(from).ok();
        carried(&page, fields)
    }

    /// Sends content as from a page of `origin`.
    pub fn send(&mut self, path: &str, body: &str, origin: Option<&str>) -> Page {
        let mut request = self
            .http
            .post(format!("{}{path}", self.site))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.to_owned());
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        self.exchange(path, request)
    }

    /// Sends a form that starts a job, and waits for the page of its result.
    pub fn job(&mut self, from: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        let mut page = self.post(from, path, fields);
        assert!(page.is(303).location.starts_with("/console/jobs/"), "{page:?}");
        let (job, started) = (page.location.clone(), Instant::now());
        loop {
            page = self.get(&job);
            if page.status == 303 {
                let result = page.location.clone();
                return self.get(&result).ok();
            }
            assert!(!page.refresh.is_empty(), "the job failed: {}", page.text);
            assert!(started.elapsed() < Duration::from_secs(120), "the job ends: {}", page.text);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Looks at a page until it is as it should be.
    pub fn until(&mut self, path: &str, patience: Duration, is: impl Fn(&Page) -> bool) {
        let started = Instant::now();
        loop {
            let page = self.get(path);
            if is(&page) {
                return;
            }
            assert!(started.elapsed() < patience, "{path} is never as it should be: {}", page.text);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn exchange(&mut self, path: &str, request: reqwest::RequestBuilder) -> Page {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = self.runtime.block_on(async move {
            let response = request.header("cookie", cookies.join("; ")).send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            (status, headers, response.text().await.unwrap())
        });
        let (status, headers, text) = response;
        for cookie in headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let policy = headers.get("content-security-policy").map(|policy| policy.to_str().unwrap());
        let policy = policy.unwrap_or_else(|| panic!("{path} is no page: {status}, {text}"));
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let (location, refresh) = (header("location"), header("refresh"));
        Page { path: path.to_owned(), status, text, location, refresh, disposition: header("content-disposition") }
    }
}

fn carried(page: &Page, fields: &[(&str, &str)]) -> String {
    let carried = |name: &str| {
        let value = page.values(&format!("name=\"{name}\" value=\"")).pop();
        (name.to_owned(), value.unwrap_or_else(|| panic!("{} has no form: {}", page.path, page.text)))
    };
    let own = ["form_token", "form_number"].map(carried);
    let given = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let pairs = own.into_iter().chain(given).map(|(name, value)| format!("{name}={}", encoded(&value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    let one = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.as_bytes().iter().map(one).collect()
}

impl Page {
    /// A page that must be there.
    pub fn ok(self) -> Page {
        self.is(200);
        self
    }

    pub fn is(&self, status: u16) -> &Page {
        assert_eq!(self.status, status, "{}: {}", self.path, self.text);
        self
    }

    /// All of these stand on it, as HTML.
    pub fn has(&self, all: &[&str]) -> &Page {
        for one in all {
            assert!(self.text.contains(one), "{} has no '{one}': {}", self.path, self.text);
        }
        self
    }

    /// A text that stands on it, however its quotes are written.
    pub fn has_text(&self, text: &str) {
        let plain = |text: &str| text.replace("&#x27;", "'").replace("&#39;", "'");
        assert!(plain(&self.text).contains(&plain(text)), "{} has no '{text}': {}", self.path, self.text);
    }

    /// None of these does.
    pub fn lacks(&self, none: &[&str]) -> &Page {
        for one in none {
            assert!(!self.text.contains(one), "{} has '{one}': {}", self.path, self.text);
        }
        self
    }

    /// What stands between each of these beginnings and the next quote.
    pub fn values(&self, start: &str) -> Vec<String> {
        self.text.split(start).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    }

    /// Links that begin so.
    pub fn links(&self, start: &str) -> Vec<String> {
        self.values(&format!("href=\"{start}")).into_iter().map(|rest| format!("{start}{rest}")).collect()
    }
}
