//! A browser by hand: cookies, forms, redirects and jobs, as the console's pages need them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Method, StatusCode};
use sealgate_tests::{sealgate, text};

/// How long a job may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Somebody with a browser.
#[derive(Clone)]
pub struct Visitor {
    client: reqwest::Client,
    url: String,
    cookies: BTreeMap<String, String>,
}

/// What was shown.
#[derive(Debug)]
pub struct Shown {
    pub status: StatusCode,
    /// Where the redirects led.
    pub path: String,
    pub body: String,
    /// After how many seconds it is fetched again.
    pub refresh: Option<String>,
}

impl Shown {
    /// That all of these texts are on the page.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) -> &Shown {
        for text in texts {
            assert!(self.body.contains(text), "no '{text}' at {} ({}):\n{}", self.path, self.status, self.words());
        }
        self
    }

    /// That none of these is.
    #[track_caller]
    pub fn lacks(&self, texts: &[&str]) -> &Shown {
        for text in texts {
            assert!(!self.body.contains(text), "'{text}' at {}:\n{}", self.path, self.words());
        }
        self
    }

    /// What is read on the page, without tags.
    pub fn words(&self) -> String {
        let mut words = String::new();
        let mut in_tag = false;
        for c in self.body.chars() {
            match c {
                '<' => in_tag = true,
                '>' => {
                    in_tag = false;
                    words.push(' ');
                }
                c if !in_tag => words.push(c),
                _ => {}
            }
        }
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The value of the last input of this name.
    pub fn input(&self, name: &str) -> String {
        let at = self.body.rfind(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("no {name}: {self:?}"));
        self.body[at..].split('"').nth(3).unwrap().to_owned()
    }
}

impl Visitor {
    /// Somebody who is not signed in.
    pub fn stranger(url: &str) -> Visitor {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Visitor { client: client.build().unwrap(), url: url.to_owned(), cookies: BTreeMap::new() }
    }

    /// Signed in by `sealgate sign-in` with these arguments, and the link that it prints.
    pub async fn signed_in(url: &str, whose: &[&str]) -> Visitor {
        let mut args = vec!["sign-in", "--gateway", url];
        args.extend(whose);
        let link = text(&sealgate(&args).ok()["link"]);
        let mut visitor = Visitor::stranger(url);
        let path = link.strip_prefix(url).unwrap().to_owned();
        let enter = visitor.get(&path).await;
        let code = enter.input("code");
        let entered = visitor.post(&enter, "/console/enter", &[("code", &code)]).await;
        assert_eq!((entered.status, entered.path.as_str()), (StatusCode::OK, "/console"), "{}", entered.words());
        visitor
    }

    /// Follows a link.
    pub async fn get(&mut self, path: &str) -> Shown {
        self.go(Method::GET, path, None, true).await
    }

    /// Sends a form of the page `from`.
    pub async fn post(&mut self, from: &Shown, path: &str, fields: &[(&str, &str)]) -> Shown {
        let (token, number) = (from.input("form_token"), from.input("form_number"));
        let mut all = vec![("form_token", token.as_str()), ("form_number", number.as_str())];
        all.extend(fields);
        self.send(path, &all).await
    }

    /// Sends just these fields.
    pub async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        self.go(Method::POST, path, Some(fields), true).await
    }

    /// The same, whatever it leads to.
    #[allow(dead_code, reason = "not every test's")]
    pub async fn once_sent(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        self.once(Method::POST, path, Some(fields), true).await.0
    }

    /// The same from a page of another site.
    pub async fn send_from_elsewhere(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        self.go(Method::POST, path, Some(fields), false).await
    }

    async fn go(&mut self, method: Method, path: &str, form: Option<&[(&str, &str)]>, is_here: bool) -> Shown {
        let mut shown = self.once(method, path, form, is_here).await;
        let started = Instant::now();
        loop {
            let next = match shown.1 {
                Some(next) => next,
                // A job's page shows the next when it is done.
                None if shown.0.path.starts_with("/console/jobs/") && shown.0.refresh.is_some() => {
                    assert!(started.elapsed() < PATIENCE, "the job does not end: {}", shown.0.words());
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    shown.0.path.clone()
                }
                None => return shown.0,
            };
            shown = self.once(Method::GET, &next, None, true).await;
        }
    }

    async fn once(
        &mut self,
        method: Method,
        path: &str,
        form: Option<&[(&str, &str)]>,
        is_here: bool,
    ) -> (Shown, Option<String>) {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        request = request.header(COOKIE, cookies.join("; ")).header(ACCEPT_LANGUAGE, "en");
        if let Some(form) = form {
            let kind = "application/x-www-form-urlencoded";
            request = request.header(CONTENT_TYPE, kind).body(encoded(form));
            let origin = if is_here { self.url.as_str() } else { "https://evil.example" };
            request = request.header(ORIGIN, origin);
        }
        let response = request.send().await.unwrap();
        let headers = response.headers().clone();
        for cookie in headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let next = (response.status() == StatusCode::SEE_OTHER).then(|| header(LOCATION.as_str()).unwrap());
        let (status, refresh) = (response.status(), header("refresh"));
        let body = response.text().await.unwrap();
        (Shown { status, path: path.to_owned(), body, refresh }, next)
    }
}

/// Fields as a browser sends them.
fn encoded(fields: &[(&str, &str)]) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    let text = |text: &str| text.bytes().map(byte).collect::<String>();
    fields.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect::<Vec<_>>().join("&")
}
