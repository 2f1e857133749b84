//! What all pages share: the frame around them, and the parts they are made of.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::words::{Lang, agreed};
use super::{Desk, Shown};

/// A page, without its frame.
pub struct Page {
    /// Which desk it belongs to.
    pub desk: Desk,
    /// What it is called.
    pub title: String,
    /// Its content below the title.
    pub body: Markup,
    /// After how many seconds, if at all, it is fetched again.
    pub refresh_s: Option<u32>,
}

impl Page {
    /// A page of a desk.
    pub fn new(desk: Desk, title: impl Into<String>, body: Markup) -> Page {
        Page { desk, title: title.into(), body, refresh_s: None }
    }

    /// The same, fetched again after so many seconds.
    #[must_use]
    pub fn refreshed(mut self, seconds: u32) -> Page {
        self.refresh_s = Some(seconds);
        self
    }
}

/// The mark of the project: a sealed gate.
const MARK: &str = r##"<svg viewBox="0 0 32 32" aria-hidden="true"><path d="M5 28V14a11 11 0 0 1 22 0v14h-6V15a5 5 0 0 0-10 0v13z" fill="#2c62d6"/><circle cx="16" cy="20" r="3.2" fill="#e0a526"/><path d="M14.9 21h2.2l.9 6h-4z" fill="#e0a526"/></svg>"##;

/// The same as a picture of its own, for tabs and bookmarks.
pub(super) fn icon() -> String {
    MARK.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1)
}

/// The whole document.
pub(super) fn document(page: &Page, shown: &Shown<'_>) -> String {
    let lang = shown.visit.lang;
    let theme = shown.visit.theme.as_deref();
    let markup = html! {
        (DOCTYPE)
        html lang=(lang.html()) data-theme=[theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (page.title) " · Sealgate" }
                link rel="stylesheet" href=(super::STYLE_PATH.as_str());
                link rel="icon" href="/console/icon.svg" type="image/svg+xml";
            }
            body {
                a.skip href="#main" { (lang.say("Skip to the content", "跳到正文")) }
                header.top {
                    div.top-row {
                        a.brand href="/console" { (PreEscaped(MARK)) "Sealgate" }
                        (desks(page.desk, shown))
                        (side(shown))
                    }
                    @if !page.desk.pages().is_empty() {
                        div.sub { (sub_pages(page.desk, shown)) }
                    }
                }
                main #main {
                    h1 { (page.title) }
                    (page.body)
                }
                footer { div {
                    span { (lang.say("Ledger ", "账本 ")) (shown.ledger_name) }
                    span.mono title=(lang.say("The ledger's fingerprint", "账本指纹")) { (shown.fingerprint) }
                    span { "Sealgate " (env!("CARGO_PKG_VERSION")) }
                } }
            }
        }
    };
    markup.into_string()
}

fn desks(current: Desk, shown: &Shown<'_>) -> Markup {
    let lang = shown.visit.lang;
    html! { nav.nav aria-label=(lang.say("Desks", "工作台")) {
        @for desk in &shown.desks {
            a href=(desk.path()) aria-current=[(*desk == current).then_some("page")] { (desk.title(lang)) }
        }
    } }
}

fn sub_pages(desk: Desk, shown: &Shown<'_>) -> Markup {
    let lang = shown.visit.lang;
    let here = shown.visit.address();
    // The longest that the address begins with.
    let current = desk.pages().iter().map(|page| page.0).filter(|path| is_under(&here, path)).max_by_key(|p| p.len());
    html! { nav.nav aria-label=(desk.title(lang)) {
        @for (path, en, zh) in desk.pages() {
            a href=(path) aria-current=[(current == Some(path)).then_some("page")] { (lang.say(en, zh)) }
        }
    } }
}

fn is_under(here: &str, path: &str) -> bool {
    here.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

fn side(shown: &Shown<'_>) -> Markup {
    let visit = shown.visit;
    let lang = visit.lang;
    html! { div.side {
        @if let Some(session) = &visit.session {
            span.who { (session.name) }
            form method="post" action="/console/leave" {
                (hidden(shown.visit))
                button.link type="submit" { (lang.say("Sign out", "退出")) }
            }
        } @else {
            a href="/console/sign-in" { (lang.say("Sign in", "登录")) }
        }
        span { @for (other, name) in Lang::ALL { @if other != lang {
            a href=(format!("/console/set?lang={}&back={}", other.tag(), encoded(&visit.address()))) lang=(other.html()) { (name) }
        } } }
        span { @let (tag, name) = match visit.theme.as_deref() {
            None => ("dark", lang.say("Dark", "深色")),
            Some("dark") => ("light", lang.say("Light", "浅色")),
            Some(_) => ("auto", lang.say("Colours of the system", "跟随系统")),
        };
            a href=(format!("/console/set?theme={tag}&back={}", encoded(&visit.address()))) { (name) }
        }
    } }
}

/// A text as part of an address.
pub fn encoded(text: &str) -> String {
    serde_urlencoded::to_string([("", text)]).unwrap_or_default().trim_start_matches('=').to_owned()
}

/// What every form carries: that it is this session's, and its own number.
pub fn hidden(visit: &super::Visit) -> Markup {
    let token = visit.session.as_ref().map_or("", |session| session.form_token.as_str());
    html! {
        input type="hidden" name="form_token" value=(token);
        input type="hidden" name="form_number" value=(crate::sessions::form_number().unwrap_or_default());
    }
}

/// How a notice or a badge is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Neither good nor bad.
    Info,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Tone::Info => "info",
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
        }
    }
}

/// A block that stands out. Read aloud at once when it is bad.
pub fn notice(tone: Tone, content: Markup) -> Markup {
    let role = if tone == Tone::Bad { "alert" } else { "status" };
    html! { div class={ "notice " (tone.class()) } role=(role) { (content) } }
}

/// A word on a coloured ground.
pub fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (word) } }
}

/// A block with a heading.
pub fn card(heading: &str, content: Markup) -> Markup {
    html! { section.card { h2 { (heading) } (content) } }
}

/// Numbers with what they count; of `[key|keys]` the word that agrees with the number.
pub fn figures(figures: &[(u64, &str)]) -> Markup {
    html! { div.figures { @for (number, what) in figures {
        div.figure { b { (count(*number)) } span { (agreed(what, *number == 1)) } }
    } } }
}

/// Commands as they are typed, one a line; a long one is broken before an option, and elsewhere only where an
/// option alone is longer than the line.
pub fn command(text: &str) -> Markup {
    html! { pre tabindex="0" { code { @for (number, line) in text.lines().enumerate() {
        @if number > 0 { "\n" }
        @for (number, part) in line.split(" --").enumerate() {
            @if number > 0 { " " span.whole { "--" (part) } } @else { span.whole { (part) } }
        }
    } } } }
}

/// Names and values.
pub fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (name, value) in facts { dt { (name) } dd { (value) } } } }
}

/// A table, whose rows are stacked on a narrow screen; `empty` stands there when it has no rows.
pub fn table(headings: &[&str], rows: &[Vec<Markup>], empty: &str) -> Markup {
    if rows.is_empty() {
        return html! { p.empty { (empty) } };
    }
    html! { div.scroll tabindex="0" { table.stacked { (head_and_body(headings, rows)) } } }
}

/// A table's head, and its rows with each cell's heading, which stands beside it where rows are stacked.
pub fn head_and_body(headings: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        thead { tr { @for heading in headings { th scope="col" { (heading) } } } }
        tbody { @for row in rows { tr { @for (at, cell) in row.iter().enumerate() {
            td data-heading=[headings.get(at)] { (cell) }
        } } } }
    }
}

/// One check of a checklist.
pub struct Check {
    /// How it came out.
    pub tone: Tone,
    /// What was checked.
    pub text: Markup,
}

/// What was checked, and how it came out.
pub fn checklist(checks: &[Check]) -> Markup {
    html! { ul.checks { @for check in checks { li class=(check.tone.class()) { (check.text) } } } }
}

/// A long identifier: its beginning and end, the whole of it for whoever points at it.
pub fn short(id: &str) -> Markup {
    let characters = id.chars().count();
    if characters <= 20 {
        return html! { span.mono { (id) } };
    }
    let head: String = id.chars().take(10).collect();
    let tail: String = id.chars().skip(characters - 6).collect();
    html! { span.mono title=(id) { (head) "…" (tail) } }
}

/// A time of the ledger, to the second, in UTC.
pub fn time(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "—".into(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A number with its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A field of a form with its label; `input` has the id `name`.
pub fn field(name: &str, label: &str, hint: Option<&str>, input: Markup) -> Markup {
    html! { div.field { label for=(name) { (label) } (input) @if let Some(hint) = hint { p.hint { (hint) } } } }
}

/// A text field.
pub fn text_field(name: &str, label: &str, hint: Option<&str>, value: &str) -> Markup {
    field(name, label, hint, html! { input type="text" id=(name) name=(name) value=(value) autocomplete="off"; })
}

/// A box to tick.
pub fn tick(name: &str, value: &str, label: Markup, is_ticked: bool) -> Markup {
    html! { label.choice { input type="checkbox" name=(name) value=(value) checked[is_ticked]; span { (label) } } }
}

/// A link to the next page of a list, if there is one.
pub fn next_page(lang: Lang, href: Option<&str>) -> Markup {
    html! { @if let Some(href) = href { p { a.button.plain href=(href) rel="next" { (lang.say("Next page", "下一页")) } } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_text() {
        let evil = "<script>alert(1)</script>\"'&";
        let table = table(&[evil], &[vec![html! { (evil) }]], "").into_string();
        let field = text_field("name", evil, Some(evil), evil).into_string();
        let all = format!("{table}{field}{}{}", short(evil).into_string(), badge(Tone::Bad, evil).into_string());
        assert!(!all.contains("<script") && !all.contains("\"'&") && all.contains("&lt;script&gt;"));
    }

    #[test]
    fn numbers_and_identifiers_are_shown_short() {
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((count(0), count(999)), ("0".into(), "999".into()));
        assert_eq!(short("abc").into_string(), "<span class=\"mono\">abc</span>");
        assert!(short(&"é".repeat(30)).into_string().contains("…"));
        assert_eq!(time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(time(u64::MAX), "—");
    }

    #[test]
    fn commands_stay_what_is_typed() {
        let shown = command("a b --c D --e 'F'\na --g").into_string();
        let parts = ["<span class=\"whole\">", "</span>", "<code>", "</code>", "</pre>"];
        let typed = parts.iter().fold(shown, |text, part| text.replace(part, ""));
        assert_eq!(typed, "<pre tabindex=\"0\">a b --c D --e 'F'\na --g");
    }

    #[test]
    fn addresses_are_encoded() {
        assert_eq!(encoded("/console/x?a=b&c=ü d"), "%2Fconsole%2Fx%3Fa%3Db%26c%3D%C3%BC+d");
        assert!(
            is_under("/console/owner/grants?x", "/console/owner/grants")
                && !is_under("/console/owners", "/console/owner")
        );
    }
}
