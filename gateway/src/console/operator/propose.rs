//! Proposing: a form for each kind of change, then what it would do, then the transaction.

use maud::{Markup, html};
use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::block::Receipt;
use sealgate_ledger::ids::{Address, AssetId};
use sealgate_ledger::member::{ANSWER_WINDOW_BLOCKS_MAX, Change, Member, Policy};
use sealgate_ledger::tx::TxBody;
use serde::de::DeserializeOwned;

use super::{Office, changes};
use crate::console::page::{Page, Tone, card, field, hidden, notice};
use crate::console::{Answer, Fault, Fields, Reply, errors};
use crate::owner::signed;

const KINDS: [&str; 5] = ["policy", "join", "replace", "leave", "withdraw"];
/// Fields of the forms that are carried on to the page that asks for confirmation.
const CARRIED: [&str; 8] =
    ["enrolment", "window", "denials", "auditor", "auditor_account", "member", "account", "asset"];

pub(super) fn show(office: &Office<'_>, kind: &str) -> Answer {
    check(office, kind)?;
    Ok(form(office, kind, None, &Fields::default()).into())
}

fn check(office: &Office<'_>, kind: &str) -> Result<(), Fault> {
    let applies = office.is_network() || ["policy", "withdraw"].contains(&kind);
    if KINDS.contains(&kind) && applies && office.is_member() { Ok(()) } else { Err(Fault::NotFound) }
}

pub(super) async fn send(office: &Office<'_>, kind: &str) -> Answer {
    check(office, kind)?;
    let typed = &office.visit.form;
    let change = match change(office, kind, typed) {
        Ok(change) => change,
        Err(why) => return Ok(form(office, kind, Some(&why), typed).into()),
    };
    if typed.has("edit") {
        return Ok(form(office, kind, None, typed).into());
    }
    if typed.get("confirmed") != "yes" {
        return Ok(confirm(office, kind, &change).into());
    }
    match submit(office, TxBody::Propose { change }).await {
        Ok(receipt) => Ok(Reply::SeeOther(format!("/console/operator/proposals/{}", receipt.hash))),
        Err(why) => Ok(form(office, kind, Some(&why), typed).into()),
    }
}

/// Signs and submits as this member; the error is for whoever sent the form.
pub(super) async fn submit(office: &Office<'_>, body: TxBody) -> Result<Receipt, String> {
    let ledger = office.gateway.ledger();
    let tx = signed(ledger.genesis(), ledger.head().height, office.gateway.owner().account(), body);
    let tx = tx.map_err(|error| error.to_string())?;
    office.gateway.submit(tx).await.map_err(|error| errors::submit(office.visit.lang, &error))
}

/// What a form asks for; the error is for whoever filled it in.
fn change(office: &Office<'_>, kind: &str, typed: &Fields) -> Result<Change, String> {
    let visit = office.visit;
    let account = || {
        let account: Address =
            typed.get("account").parse().map_err(|_| visit.say("Choose a member.", "请选择成员。").to_owned())?;
        match office.governance.members.member(&account) {
            Some(_) => Ok(account),
            None => Err(visit.say("That account is no member.", "该账户不是成员。").to_owned()),
        }
    };
    let member = || {
        let what = visit.say("the certified member", "已认证的成员文件");
        let member: Member = pasted(office, typed.get("member"), what)?;
        member.validate().map_err(|error| error.to_string())?;
        Ok::<Member, String>(member)
    };
    let change = match kind {
        "join" => Change::Join(member()?),
        "replace" => Change::Replace { account: account()?, member: member()? },
        "leave" => Change::Leave { account: account()? },
        "withdraw" => {
            let asset: AssetId =
                typed.get("asset").parse().map_err(|_| visit.say("Choose an asset.", "请选择资产。").to_owned())?;
            Change::Withdraw { asset }
        }
        _ => Change::Policy(policy(office, typed)?),
    };
    office.governance.members.after(&change).map_err(|error| error.to_string())?;
    Ok(change)
}

fn policy(office: &Office<'_>, typed: &Fields) -> Result<Policy, String> {
    let (visit, now) = (office.visit, &office.governance.policy);
    let auditor = match typed.get("auditor") {
        "none" => None,
        "other" => {
            let account: AccountPublic = pasted(
                office,
                typed.get("auditor_account"),
                visit.say("the auditor's account.public", "审计方的 account.public"),
            )?;
            account.validate().map_err(|error| error.to_string())?;
            Some(account)
        }
        _ => now.auditor.clone(),
    };
    let window = typed.get("window").parse().ok().filter(|window| (1..=ANSWER_WINDOW_BLOCKS_MAX).contains(window));
    let window = window.ok_or_else(|| {
        visit.lang.fill(
            "Blocks to answer within: a number from 1 to {}.",
            "应答时限：1 至 {} 之间的区块数。",
            &[&ANSWER_WINDOW_BLOCKS_MAX],
        )
    })?;
    let denials = typed.get("denials").parse().map_err(|_| {
        visit.say("Denials a day: a number, 0 for none.", "每日拒绝次数：请填写数字，0 表示不记录。").to_owned()
    })?;
    let next = Policy {
        open_enrolment: typed.get("enrolment") == "open",
        answer_window_blocks: window,
        denials_a_day: denials,
        auditor,
    };
    if next == *now {
        return Err(visit
            .say("These are the rules of today: change something.", "与当前规则相同：请作出更改。")
            .into());
    }
    Ok(next)
}

fn pasted<T: DeserializeOwned>(office: &Office<'_>, text: &str, what: &str) -> Result<T, String> {
    let visit = office.visit;
    if text.is_empty() {
        return Err(visit.lang.fill("Paste {}: the JSON of that file.", "请粘贴{}的 JSON 内容。", &[&what]));
    }
    serde_json::from_str(text)
        .map_err(|error| visit.lang.fill("This is not {}: {}.", "这不是{}：{}。", &[&what, &error]))
}

fn title<'a>(office: &'a Office<'_>, kind: &str) -> &'a str {
    let visit = office.visit;
    match kind {
        "join" => visit.say("Propose a new member", "提议新成员"),
        "replace" => visit.say("Propose other keys or addresses", "提议更换密钥或地址"),
        "leave" => visit.say("Propose that a member leaves", "提议成员退出"),
        "withdraw" => visit.say("Propose to withdraw an asset", "提议撤回资产"),
        _ => visit.say("Propose other rules", "提议更改规则"),
    }
}

fn form(office: &Office<'_>, kind: &str, why: Option<&str>, typed: &Fields) -> Page {
    let visit = office.visit;
    let fields = match kind {
        "join" => member_field(office, typed),
        "replace" => html! { (account_field(office, typed)) (member_field(office, typed)) },
        "leave" => account_field(office, typed),
        "withdraw" => asset_field(office, typed),
        _ => policy_fields(office, typed),
    };
    let body = html! {
        (office.embedded("What you propose is done at once.", "您的提案立即生效。"))
        @if let Some(why) = why { (notice(Tone::Bad, html! { p { (why) } })) }
        form.card method="post" action=(format!("/console/operator/proposals/new/{kind}")) {
            (hidden(visit))
            (fields)
            div.actions {
                button type="submit" { (visit.say("See what would change", "查看变更内容")) }
                a.button.plain href="/console/operator/proposals" { (visit.say("Cancel", "取消")) }
            }
        }
    };
    office.page(title(office, kind), body)
}

fn member_field(office: &Office<'_>, typed: &Fields) -> Markup {
    let visit = office.visit;
    field("member", visit.say("The certified member", "已认证的成员"), Some(visit.say(
        "The file that 'sealgate network certify' wrote, as the organisation gave it to you. Make sure by another way that it is theirs.",
        "'sealgate network certify' 生成的文件，由该机构提供给您。请通过其他途径确认其来源。",
    )), html! { textarea id="member" name="member" spellcheck="false" { (typed.get("member")) } })
}

fn account_field(office: &Office<'_>, typed: &Fields) -> Markup {
    let visit = office.visit;
    field(
        "account",
        visit.say("Member", "成员"),
        None,
        html! { select id="account" name="account" {
            @for member in &office.governance.members.members {
                @let address = member.address().to_string();
                option value=(address) selected[typed.get("account") == address] { (member.account.name) }
            }
        } },
    )
}

fn asset_field(office: &Office<'_>, typed: &Fields) -> Markup {
    let visit = office.visit;
    let assets = office.gateway.ledger().assets().unwrap_or_default();
    field(
        "asset",
        visit.say("Asset", "资产"),
        None,
        html! { select id="asset" name="asset" {
            @for asset in assets.iter().filter(|asset| asset.withdrawn.is_none()) {
                @let id = asset.id.to_string();
                option value=(id) selected[typed.get("asset") == id] { (asset.name) " · " (asset.title) }
            }
        } },
    )
}

fn policy_fields(office: &Office<'_>, typed: &Fields) -> Markup {
    let (visit, now) = (office.visit, &office.governance.policy);
    let or = |name: &str, now: String| if typed.has(name) { typed.get(name).to_owned() } else { now };
    let enrolment = or("enrolment", if now.open_enrolment { "open".into() } else { "members".into() });
    let auditor = or("auditor", "keep".into());
    let choice = |group: &str, value: &str, chosen: &str, text: &str| {
        html! { label.choice { input type="radio" name=(group) value=(value) checked[value == chosen]; span { (text) } } }
    };
    let kept = match &now.auditor {
        Some(auditor) => visit.lang.fill("as now: {}", "保持不变：{}", &[&auditor.name]),
        None => visit.say("as now: none", "保持不变：无").to_owned(),
    };
    html! {
        fieldset {
            legend { (visit.say("Who may open accounts", "谁可开立账户")) }
            (choice("enrolment", "open", &enrolment, visit.say("anybody", "任何人")))
            (choice("enrolment", "members", &enrolment, visit.say("members, for others", "仅由成员代为开立")))
        }
        (field("window", visit.say("Blocks within which a granted request is answered", "已授权请求的应答时限（区块数）"), None, html! {
            input type="number" id="window" name="window" min="1" max=(ANSWER_WINDOW_BLOCKS_MAX) value=(or("window", now.answer_window_blocks.to_string()));
        }))
        (field("denials", visit.say("Denials of one account that are recorded in a day", "每账户每日记录的拒绝次数"), Some(visit.say(
            "What exceeds them is refused and not recorded.", "超出部分直接拒绝，不再记录。",
        )), html! {
            input type="number" id="denials" name="denials" min="0" value=(or("denials", now.denials_a_day.to_string()));
        }))
        fieldset {
            legend { (visit.say("Auditor", "审计方")) }
            (choice("auditor", "keep", &auditor, &kept))
            (choice("auditor", "other", &auditor, visit.say("this one:", "改为：")))
            (field("auditor_account", visit.say("The auditor's account.public", "审计方的 account.public"), None, html! {
                textarea.short id="auditor_account" name="auditor_account" spellcheck="false" { (typed.get("auditor_account")) }
            }))
            (choice("auditor", "none", &auditor, visit.say("none any more", "不再设审计方")))
        }
    }
}

fn confirm(office: &Office<'_>, kind: &str, change: &Change) -> Page {
    let (visit, typed) = (office.visit, &office.visit.form);
    let set = &office.governance.members;
    let needed = set.quorum();
    let body = html! {
        (notice(if needed == 1 { Tone::Warn } else { Tone::Info }, html! { p {
            @if needed == 1 { (visit.say("This is done as soon as you propose it.", "提案一经提出立即生效。")) }
            @else { (visit.lang.fill(
                "Your proposal is your endorsement too: {} of {} [member|members] must endorse it.",
                "您的提案即视为背书：共需 {} / {} 个成员背书。",
                &[&needed, &set.members.len()],
            )) }
        } }))
        (card(&changes::title(office, change), changes::details(office, change, true)))
        form method="post" action=(format!("/console/operator/proposals/new/{kind}")) {
            (hidden(visit))
            @for name in CARRIED { @if typed.has(name) { input type="hidden" name=(name) value=(typed.get(name)); } }
            input type="hidden" name="confirmed" value="yes";
            div.actions {
                button type="submit" { (visit.say("Propose this", "确认提案")) }
                button.plain type="submit" name="edit" value="yes" { (visit.say("Change it", "修改")) }
            }
        }
    };
    office.page(visit.say("Propose this?", "确认提案？"), body)
}
