//! Verifying an answer or a receipt that somebody sent.

use maud::{Markup, html};
use sealgate_ledger::ids::Address;
use serde::Deserialize;

use super::super::page::{Page, Tone, card, checklist, command, facts, hidden, notice, text_field};
use super::super::{Answer, Desk, HomePlace, Visit, explorer};
use super::form::{self, Wrong};
use super::{answers, checks};
use crate::receipt::Shown;
use crate::verifying::{self, VerifyFailure};

/// What tells an answer from a receipt.
#[derive(Deserialize)]
struct Kind {
    format: String,
}

/// The empty form.
pub(super) fn page(place: &HomePlace, visit: &Visit) -> Page {
    shown(place, visit, &Wrong::default(), html! {})
}

/// Verifies what was pasted.
pub(super) async fn sent(place: &HomePlace, visit: &Visit) -> Answer {
    let lang = visit.lang;
    let mut wrong = Wrong::default();
    // Browsers end lines otherwise than files do, and the frame takes blanks off the end.
    let text = format!("{}\n", visit.form.get("file").replace("\r\n", "\n"));
    let whose = match visit.form.get("requester") {
        "" => Ok(place.account.address()),
        other => other.parse::<Address>().map_err(|error| error.to_string()),
    };
    let whose = match whose {
        Ok(whose) => whose,
        Err(what) => {
            wrong.note("requester", what);
            return Ok(shown(place, visit, &wrong, html! {}).into());
        }
    };
    let format = serde_json::from_str::<Kind>(&text).map(|kind| kind.format).unwrap_or_default();
    let result = if format.starts_with("sealgate-receipt/") {
        verifying::receipt(&place.home, Some(&place.client), text.as_bytes()).await.map(|found| receipt(visit, &found))
    } else if format.starts_with("sealgate-answer/") {
        let verified = verifying::answer(&place.home, Some(&place.client), &whose, text.as_bytes()).await;
        verified.map(|(file, verified)| answers::answer(visit, &file, &verified))
    } else {
        wrong.note(
            "file",
            lang.say(
                "this is neither an answer.json nor a receipt of this software",
                "这既不是 answer.json，也不是本软件的回执",
            ),
        );
        return Ok(shown(place, visit, &wrong, html! {}).into());
    };
    let outcome = match result {
        Ok(found) => html! {
            (notice(Tone::Good, html! { p { strong { (visit.say("It verifies.", "验证通过。")) } } }))
            (found)
        },
        Err(error) => notice(
            Tone::Bad,
            html! { p { strong { (visit.say("It does not verify: ", "验证未通过：")) } (why(visit, &error)) } },
        ),
    };
    Ok(shown(place, visit, &wrong, outcome).into())
}

fn why(visit: &Visit, error: &VerifyFailure) -> String {
    match error {
        VerifyFailure::Unconnected(error) => checks::failure(visit.lang, error),
        other => other.to_string(),
    }
}

fn shown(place: &HomePlace, visit: &Visit, wrong: &Wrong, outcome: Markup) -> Page {
    let home = place.home.folder().display();
    let form = html! {
        form method="post" action="/console/requester/verify" {
            (hidden(visit))
            (form::lines("file", visit.say("Content of answer.json or of a receipt", "answer.json 或回执的内容"), visit.say(
                "Open the file in a text editor, mark all of it and paste it here.",
                "用文本编辑器打开文件，全选后粘贴到此处。",
            ), visit.form.get("file"), wrong))
            (text_field("requester", visit.say("Whose answer it should be", "应为谁的应答"), Some(visit.say(
                "an address sg1…; your own account if left empty; a receipt needs none",
                "地址 sg1…；留空则为您自己的账户；回执无需填写",
            )), visit.form.get("requester")))
            (wrong.beside("requester"))
            p.actions { button type="submit" { (visit.say("Verify", "验证")) } }
        }
        p.soft.small { (visit.say("Larger files than fit here, about half a megabyte:", "超过约半兆字节的文件请使用命令：")) }
        (command(&format!("sealgate verify --home {home} --gateway {} FILE\nsealgate verify-receipt --home {home} FILE", place.client.url())))
    };
    let lead = visit.say(
        "Whether an answer or a receipt that somebody sent you holds, against what this machine trusts.",
        "核查他人发给您的应答或回执是否成立，以本机所信任的内容为准。",
    );
    let body = html! { p.lead { (lead) } (outcome) (card(visit.say("File", "文件"), form)) };
    Page::new(Desk::Requester, visit.say("Verify a file", "验证文件"), body)
}

fn receipt(visit: &Visit, shown: &Shown) -> Markup {
    let when = if shown.time_exact { "" } else { visit.say("not later than ", "不晚于 ") };
    html! {
        (card(visit.say("What the receipt shows", "回执所示"), facts(&[
            (visit.say("Transaction", "交易"), explorer::transaction_link(&shown.transaction)),
            (visit.say("Sender", "发送方"), explorer::account_link(&shown.sender)),
            (visit.say("What", "内容"), html! { @for line in &shown.action { span.detail { (line) } } }),
            (visit.say("Outcome", "结果"), html! { (shown.outcome) }),
            (visit.say("When", "时间"), html! { (visit.say("block ", "区块 ")) (explorer::block_link(shown.block)) " · " (when) (shown.time) }),
        ])))
        (card(visit.say("What was verified", "已验证的内容"), checklist(&checks::receipt(visit.lang, shown))))
    }
}
