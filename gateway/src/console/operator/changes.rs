//! What a proposal would change, in plain words.

use maud::{Markup, html};
use sealgate_ledger::ids::Address;
use sealgate_ledger::member::{Change, Member, Policy};

use super::{Office, certificate};
use crate::console::page::{Tone, badge, count, facts, table};

/// In a few words.
pub(super) fn title(office: &Office<'_>, change: &Change) -> String {
    let lang = office.visit.lang;
    let name = |address: &Address| match office.governance.members.member(address) {
        Some(member) => member.account.name.clone(),
        None => address.to_string(),
    };
    match change {
        Change::Join(member) => lang.fill("'{}' joins", "“{}”加入", &[&member.account.name]),
        Change::Leave { account } => lang.fill("'{}' leaves", "“{}”退出", &[&name(account)]),
        Change::Replace { account, .. } => {
            lang.fill("'{}' gets other keys or addresses", "“{}”更换密钥或地址", &[&name(account)])
        }
        Change::Policy(_) => lang.say("other rules", "更改规则").to_owned(),
        Change::Withdraw { asset } => {
            let known = office.gateway.ledger().asset(asset).ok().flatten();
            let called = known.map_or_else(|| asset.to_string(), |view| view.name);
            lang.fill("the asset '{}' is withdrawn", "撤回资产“{}”", &[&called])
        }
    }
}

/// All of it; against the rules of today while it is open.
pub(super) fn details(office: &Office<'_>, change: &Change, is_open: bool) -> Markup {
    let visit = office.visit;
    let set = &office.governance.members;
    let after = set.after(change).ok().flatten().filter(|_| is_open);
    let effect = after.map(|after| {
        html! { p { (visit.lang.fill(
            "Members: {} today, {} then. Of them decide: {} today, {} then. Epoch: {}.",
            "成员数：当前 {}，变更后 {}；表决门槛：当前 {}，变更后 {}；纪元：{}。",
            &[&set.members.len(), &after.members.len(), &set.quorum(), &after.quorum(), &after.epoch],
        )) } }
    });
    let what = match change {
        Change::Join(joining) => html! {
            p { (visit.say("This organisation becomes a member: its node takes part in the agreement, and it may propose and endorse.", "该机构将成为成员：其节点参与共识，并可提案与背书。")) }
            (member(office, joining))
        },
        Change::Leave { account } => html! {
            p { (visit.say("This organisation is no member any more: its node takes no part in the agreement, and its assets stay its own.", "该机构不再是成员：其节点不再参与共识，其资产仍归其所有。")) }
            p { (office.name_of(account)) " " span.mono { (account) } }
        },
        Change::Replace { account, member: next } => replaced(office, account, next),
        Change::Policy(next) => policy(office, next, is_open),
        Change::Withdraw { asset } => html! {
            p { (visit.say(
                "Nothing of this asset is granted or answered any more, against its owner's will; its name stays taken and what was recorded stays. This cannot be undone.",
                "无论其数据提供方是否同意，该资产不再授权或应答；名称仍被占用，已有记录保留。此操作不可撤销。",
            )) }
            p { span.mono { (asset) } }
        },
    };
    html! { (what) @if let Some(effect) = effect { (effect) } }
}

fn member(office: &Office<'_>, member: &Member) -> Markup {
    let visit = office.visit;
    let mut list = vec![
        (visit.say("Name", "名称"), html! { (member.account.name) }),
        (visit.say("Account", "账户"), html! { span.mono { (member.address()) } }),
        (visit.say("Node key", "节点密钥"), html! { span.mono { (member.node_key) } }),
        (visit.say("Node", "节点"), html! { code { (member.peer) } }),
        (visit.say("Gateway", "网关"), html! { code { (member.gateway) } }),
    ];
    list.extend(certificate(visit, member));
    facts(&list)
}

/// What of a member would be otherwise.
fn replaced(office: &Office<'_>, account: &Address, next: &Member) -> Markup {
    let visit = office.visit;
    let Some(now) = office.governance.members.member(account) else {
        return html! {
            p { (visit.say("This account is no member any more, so this cannot be done.", "该账户已不是成员，因此无法执行。")) }
            (member(office, next))
        };
    };
    let pairs = [
        (visit.say("Name", "名称"), now.account.name.clone(), next.account.name.clone()),
        (visit.say("Account", "账户"), now.address().to_string(), next.address().to_string()),
        (visit.say("Node key", "节点密钥"), now.node_key.to_string(), next.node_key.to_string()),
        (visit.say("Node", "节点"), now.peer.clone(), next.peer.clone()),
        (visit.say("Gateway", "网关"), now.gateway.clone(), next.gateway.clone()),
    ];
    html! {
        p { (office.name_of(account)) }
        (differences(office, &pairs))
        @if now.certificate != next.certificate {
            h3 { (visit.say("The new certificate", "新证书")) }
            (facts(&certificate(visit, next)))
        }
    }
}

fn policy(office: &Office<'_>, next: &Policy, is_open: bool) -> Markup {
    let visit = office.visit;
    // What was done is compared with nothing: the rules may have changed again.
    let now = if is_open { &office.governance.policy } else { next };
    let texts = |policy: &Policy| {
        let enrolment = if policy.open_enrolment {
            visit.say("anybody", "任何人")
        } else {
            visit.say("members only", "仅限成员")
        };
        let auditor = policy.auditor.as_ref();
        [
            enrolment.to_owned(),
            count(policy.answer_window_blocks),
            count(policy.denials_a_day.into()),
            auditor.map_or_else(
                || visit.say("none", "无").to_owned(),
                |auditor| format!("{} {}", auditor.name, auditor.address()),
            ),
        ]
    };
    let names = [
        visit.say("Who may open accounts", "谁可开立账户"),
        visit.say("Blocks within which a request is answered", "请求的应答时限（区块数）"),
        visit.say("Denials of an account that are recorded in a day", "每账户每日记录的拒绝次数上限"),
        visit.say("Auditor", "审计方"),
    ];
    if !is_open {
        let list: Vec<_> = names.into_iter().zip(texts(next)).map(|(name, text)| (name, html! { (text) })).collect();
        return facts(&list);
    }
    let pairs: Vec<_> =
        names.into_iter().zip(texts(now)).zip(texts(next)).map(|((name, now), next)| (name, now, next)).collect();
    let auditor_changes = now.auditor.as_ref().map(|a| a.address()) != next.auditor.as_ref().map(|a| a.address());
    html! {
        (differences(office, &pairs))
        @if auditor_changes { p { (badge(Tone::Warn, visit.say("the auditor changes", "审计方变更"))) " "
            @if next.auditor.is_some() { (visit.say(
                "The new one opens what is sealed from then on; what was sealed before stays the one before's.",
                "新审计方可打开此后密封的内容；此前密封的内容仍归原审计方。",
            )) } @else { (visit.say(
                "From then on nobody is named to whom pseudonyms and charges are sealed, and nobody may sample what owners store.",
                "此后假名与记账不再向任何指定方密封，也无人可抽查存储内容。",
            )) }
        } }
    }
}

/// What is now and what would be; what stays is left out.
fn differences(office: &Office<'_>, pairs: &[(&str, String, String)]) -> Markup {
    let visit = office.visit;
    let changed = pairs.iter().filter(|(_, now, next)| now != next);
    let rows: Vec<_> = changed
        .map(|(name, now, next)| {
            vec![html! { (name) }, html! { span.wrap { (now) } }, html! { strong.wrap { (next) } }]
        })
        .collect();
    let headings = [visit.say("What", "项目"), visit.say("Now", "当前"), visit.say("Then", "变更后")];
    table(&headings, &rows, visit.say("Nothing of it would be otherwise than today.", "与当前相比没有变化。"))
}
