//! Signing in and out, language and colours, and the pages of jobs.

use std::sync::Arc;

use maud::html;

use super::jobs::State;
use super::page::{Page, Tone, command, hidden, notice, short};
use super::words::Lang;
use super::{Answer, Console, Desk, Fault, Place, Reply, Visit};

/// How long a browser keeps language and colours, in seconds.
const CHOICE_AGE_S: u32 = 365 * 86_400;

pub(super) fn answer(console: &Arc<Console>, visit: &Visit) -> Answer {
    match (visit.parts().as_slice(), visit.is_post) {
        (["sign-in"], false) => Ok(sign_in(console, visit).into()),
        (["enter"], false) => enter(console, visit),
        (["enter"], true) => {
            let token = console.sessions.enter(visit.form.get("code")).map_err(Fault::refused)?;
            Ok(Reply::Entered(token))
        }
        (["leave"], true) => {
            console.sessions.close(visit.token.as_deref().unwrap_or_default());
            Ok(Reply::SeeOther("/console".into()))
        }
        (["set"], false) => Ok(Reply::SeeOther(own_address(visit.query.get("back")))),
        _ => Err(Fault::NotFound),
    }
}

/// An address of the console; whatever else is named leads to its start.
fn own_address(back: &str) -> String {
    let own = back == "/console" || back.starts_with("/console/") || back.starts_with("/console?");
    let plain = back.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    if own && plain && !back.contains("..") { back.to_owned() } else { "/console".to_owned() }
}

fn sign_in(console: &Console, visit: &Visit) -> Page {
    let is_gateway = matches!(console.place, Place::Gateway(_));
    let folder = if is_gateway { "--data-dir" } else { "--home" };
    let run = format!("sealgate sign-in {folder} DIR --gateway {}", url(visit));
    let body = html! {
        p.lead { (visit.say(
            "You sign in with your account's own key, which never leaves your machine: no password is stored here.",
            "使用账户自己的密钥登录，密钥不会离开您的机器：此处不保存任何口令。",
        )) }
        section.card {
            h2 { (visit.say("On the machine that holds your account's key, run", "在保存账户密钥的机器上运行")) }
            (command(&run))
            p { (visit.say(
                "with your own folder where DIR stands. It signs a challenge and prints a link that signs this browser in, once, within two minutes.",
                "其中 DIR 为您的目录。该命令对挑战进行签名，并给出一个链接：两分钟内有效，仅可使用一次，用于本浏览器登录。",
            )) }
        }
        @if is_gateway { section.card {
            h2 { (visit.say("You are a requester or an auditor?", "您是数据使用方或审计方？")) }
            p { (elsewhere(visit)) }
            (command(&own_console(visit)))
        } }
    };
    Page::new(Desk::Start, visit.say("Sign in", "登录"), body)
}

/// The address of this page's site, as its visitor calls it.
fn url(visit: &Visit) -> String {
    format!("{}://{}", if visit.is_secure { "https" } else { "http" }, visit.host)
}

/// Where requesters and auditors work.
pub(super) fn elsewhere(visit: &Visit) -> &'static str {
    visit.lang.say(
        "This is a department's gateway: its desks are for the department. As a requester or auditor you work at a console of your own, which checks everything on your own machine. It prints a link that signs your browser in:",
        "这是某部门的网关，其工作台供该部门使用。数据使用方和审计方应使用自己的控制台，由其在本机完成全部验证。以下命令会给出登录链接：",
    )
}

/// The command that begins a console of one's own.
pub(super) fn own_console(visit: &Visit) -> String {
    format!("sealgate console --home DIR --gateway {}", url(visit))
}

fn enter(console: &Console, visit: &Visit) -> Answer {
    let code = visit.query.get("code");
    let Some(account) = console.sessions.holder(code) else {
        let text = visit.say(
            "This link has been used, or is older than two minutes. Run 'sealgate sign-in' again.",
            "此链接已被使用，或已超过两分钟。请重新运行 'sealgate sign-in'。",
        );
        let body = html! { (notice(Tone::Warn, html! { p { (text) } })) };
        return Ok(Page::new(Desk::Start, visit.say("The link is no longer good", "链接已失效"), body).into());
    };
    let body = html! {
        section.card {
            p { (visit.say("This browser will act as", "此浏览器将以下列账户身份操作")) " " strong { (account.name) } " (" (short(&account.address().to_string())) ")." }
            p.soft { (visit.say("The session ends after 15 minutes without use, or when you sign out.", "闲置 15 分钟或退出后，会话即结束。")) }
            form method="post" action="/console/enter" {
                (hidden(visit))
                input type="hidden" name="code" value=(code);
                button type="submit" { (visit.lang.fill("Continue as {}", "以 {} 的身份继续", &[&account.name])) }
            }
        }
    };
    Ok(Page::new(Desk::Start, visit.say("Sign in", "登录"), body).into())
}

/// The cookies that an answer sets.
pub(super) fn cookies(console: &Console, visit: &Visit, answer: &Answer) -> Vec<String> {
    let secure = if visit.is_secure { "; Secure" } else { "" };
    let cookie = |what: &str, value: &str, age: &str| {
        format!(
            "{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}",
            console.names.cookie(what, visit.is_secure)
        )
    };
    if let Ok(Reply::Entered(token)) = answer {
        return vec![cookie("session", token, "")];
    }
    if !matches!(answer, Ok(Reply::SeeOther(_))) {
        return Vec::new();
    }
    match visit.parts().as_slice() {
        ["leave"] => vec![cookie("session", "", "; Max-Age=0")],
        ["set"] => {
            let age = format!("; Max-Age={CHOICE_AGE_S}");
            let lang = Lang::of_tag(visit.query.get("lang")).map(|lang| cookie("lang", lang.tag(), &age));
            let theme = match visit.query.get("theme") {
                theme @ ("light" | "dark") => Some(cookie("theme", theme, &age)),
                "auto" => Some(cookie("theme", "", "; Max-Age=0")),
                _ => None,
            };
            lang.into_iter().chain(theme).collect()
        }
        _ => Vec::new(),
    }
}

/// The page of a job of this visitor.
pub(super) fn job(console: &Console, visit: &Visit) -> Answer {
    let session = visit.session()?;
    let parts = visit.parts();
    let ["jobs", id] = parts.as_slice() else { return Err(Fault::NotFound) };
    let id = id.parse().map_err(|_| Fault::NotFound)?;
    let job = console.jobs.of(&session.address, id).ok_or(Fault::NotFound)?;
    let page = match job.state() {
        State::Done(page) => return Ok(Reply::SeeOther(page)),
        State::Running { what, done, total } => {
            let percent = total.filter(|total| *total > 0).map(|total| (done.min(total) * 100) / total);
            let body = html! {
                section.card aria-live="polite" {
                    p { (working(what, visit.lang)) @if let Some(percent) = percent { " · " (percent) " %" } }
                    progress max="100" value=[percent] { @if let Some(percent) = percent { (percent) " %" } }
                    p.soft { (visit.say(
                        "This page follows the work by itself. You may leave it; the work goes on.",
                        "本页会自动更新进度。您可以离开，工作仍会继续。",
                    )) }
                }
            };
            Page::new(Desk::Start, job.title.clone(), body).refreshed(1)
        }
        State::Failed(why) => {
            let body = html! {
                (notice(Tone::Bad, html! { p { (why) } }))
                p { a.button.plain href=(job.back) { (visit.say("Back", "返回")) } }
            };
            Page::new(Desk::Start, job.title.clone(), body)
        }
    };
    Ok(page.into())
}

/// What a job is at, in the visitor's language.
fn working(what: &'static str, lang: Lang) -> &'static str {
    match what {
        "starting" => lang.say("starting", "正在开始"),
        "reading the source" => lang.say("reading the source", "正在读取数据源"),
        "looking at rows" => lang.say("looking at rows", "正在查看各行"),
        "sealing and committing" => lang.say("sealing and committing", "正在密封并承诺"),
        "building the tree" => lang.say("building the tree", "正在构建承诺树"),
        "reading objects back" => lang.say("reading objects back", "正在回读对象"),
        "reading blocks" => lang.say("reading blocks", "正在读取区块"),
        "replaying blocks" => lang.say("replaying blocks", "正在重放区块"),
        "verifying answers" => lang.say("verifying answers", "正在核验应答"),
        "reading ciphertext" => lang.say("reading ciphertext", "正在读取密文"),
        "recomputing records" => lang.say("recomputing records", "正在重新计算记录"),
        "waiting for the answer and its proof" => {
            lang.say("waiting for the answer and its proof", "正在等待应答及其证明")
        }
        "keys answered" => lang.say("keys answered", "已应答的主键"),
        "fetching ciphertext" => lang.say("fetching ciphertext", "正在获取密文"),
        "fetching and decrypting" => lang.say("fetching and decrypting", "正在获取并解密"),
        "decrypting and writing" => lang.say("decrypting and writing", "正在解密并写入"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_addresses_are_gone_back_to() {
        for own in ["/console", "/console/owner", "/console?x=1", "/console/a?b=%2F"] {
            assert_eq!(own_address(own), own);
        }
        for other in [
            "",
            "//evil.example",
            "https://evil.example",
            "/console\\evil",
            "/consoles",
            "/console/\n",
            "/console/../v1",
        ] {
            assert_eq!(own_address(other), "/console", "{other}");
        }
    }
}
