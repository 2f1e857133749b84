//! What a transaction does, and what came of it.

use maud::{Markup, html};
use sealgate_circuits::schema::Schema;
use sealgate_ledger::block::{DenyReason, Outcome};
use sealgate_ledger::member::Change;
use sealgate_ledger::tx::{DeclineReason, GrantTerms, TABLE, TextContent, TxBody, VersionInfo};

use super::super::page::{Tone, badge, count};
use super::super::telling;
use super::super::words::Lang;
use super::{account_link, asset_link, transaction_link};

/// What kind of transaction it is.
pub(super) fn kind(lang: Lang, body: &TxBody) -> &'static str {
    match body {
        TxBody::OpenAccount { .. } => lang.say("opens an account", "开立账户"),
        TxBody::RegisterAsset { .. } => lang.say("registers an asset", "登记资产"),
        TxBody::PublishVersion { .. } => lang.say("publishes a version", "发布版本"),
        TxBody::Grant { .. } => lang.say("grants", "授权"),
        TxBody::Revoke { .. } => lang.say("revokes", "撤销授权"),
        TxBody::Request { .. } => lang.say("asks a question", "提出查询"),
        TxBody::Answer { .. } => lang.say("answers", "应答"),
        TxBody::Decline { .. } => lang.say("declines to answer", "拒绝应答"),
        TxBody::Transfer { .. } => lang.say("transfers an asset", "转让资产"),
        TxBody::Withdraw { .. } => lang.say("withdraws an asset", "撤下资产"),
        TxBody::ReplaceAccount { .. } => lang.say("replaces an account", "更换账户"),
        TxBody::CloseAccount { .. } => lang.say("closes an account", "关闭账户"),
        TxBody::Propose { .. } => lang.say("proposes", "提出提案"),
        TxBody::Endorse { .. } => lang.say("endorses", "背书"),
        TxBody::PutText { .. } => lang.say("puts a text on the ledger", "写入文本"),
        TxBody::RequestWhole { .. } => lang.say("asks for whole columns or a file", "请求整列或文件"),
        TxBody::Deliver { .. } => lang.say("delivers", "交付"),
        TxBody::RequestSample { .. } => lang.say("asks for a sample", "请求抽查"),
        TxBody::SampleResult { .. } => lang.say("records a sample's result", "记录抽查结果"),
    }
}

/// What came of it, on a coloured ground.
pub(super) fn outcome(lang: Lang, outcome: &Outcome) -> Markup {
    match outcome {
        Outcome::Accepted => badge(Tone::Good, lang.say("accepted", "已接受")),
        Outcome::Granted { .. } => badge(Tone::Good, lang.say("granted", "已准许")),
        Outcome::Denied { .. } => badge(Tone::Bad, lang.say("denied", "已拒绝")),
    }
}

/// The same with its particulars.
pub(super) fn outcome_told(lang: Lang, outcome: &Outcome, body: &TxBody, schema: Option<&Schema>) -> Markup {
    let shown = self::outcome(lang, outcome);
    let more = match outcome {
        Outcome::Accepted => String::new(),
        Outcome::Granted { version, deadline } => lang.fill(
            "bound to version {}, to be answered by block {}",
            "绑定版本 {}，至迟在区块 {} 应答",
            &[version, deadline],
        ),
        Outcome::Denied { reason } => denied(lang, reason, body, schema),
    };
    html! { (shown) " " (more) }
}

fn denied(lang: Lang, reason: &DenyReason, body: &TxBody, schema: Option<&Schema>) -> String {
    let shape = match body {
        TxBody::Request { shape, .. } => Some(shape),
        _ => None,
    };
    telling::denied_to_somebody(lang, reason, shape, schema)
}

/// The particulars of a transaction, by name. `schema` is that of its asset, where it is known.
pub(super) fn particulars(lang: Lang, body: &TxBody, schema: Option<&Schema>) -> Vec<(&'static str, Markup)> {
    let asset = lang.say("Asset", "资产");
    let account = lang.say("Account", "账户");
    let request = lang.say("Request", "请求");
    let text = |text: &str| html! { (text) };
    match body {
        TxBody::OpenAccount { account: opened, identity } => vec![
            (account, account_link(&opened.address())),
            (lang.say("Name", "名称"), text(&opened.name)),
            (
                lang.say("Behind the name", "真实身份"),
                text(match identity.is_empty() {
                    true => lang.say("the name is the real one", "名称即真实名称"),
                    false => lang.say("sealed to the auditor", "已密封给审计方"),
                }),
            ),
        ],
        TxBody::RegisterAsset { name, title, description, data_type, schema, version, .. } => {
            let mut all = vec![
                (lang.say("Name", "名称"), text(name)),
                (lang.say("Title", "标题"), text(title)),
                (lang.say("Description", "说明"), text(description)),
                (lang.say("Data type", "数据类型"), text(telling::data_type(lang, data_type))),
            ];
            if data_type == TABLE {
                let names: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
                all.push((lang.say("Columns", "字段"), text(&names.join(lang.say(", ", "、")))));
            }
            all.extend(version_told(lang, version));
            all
        }
        TxBody::PublishVersion { asset: id, version } => {
            std::iter::once((asset, asset_link(id))).chain(version_told(lang, version)).collect()
        }
        TxBody::Grant { asset: id, to, terms } => {
            let mut all = vec![(asset, asset_link(id)), (lang.say("To", "授予"), account_link(to))];
            all.extend(terms_told(lang, terms, schema));
            all
        }
        TxBody::Revoke { asset: id, to } => {
            vec![(asset, asset_link(id)), (lang.say("From", "被撤销方"), account_link(to))]
        }
        TxBody::Request { asset: id, shape, purpose, commitment, .. } => {
            let mut all = vec![(asset, asset_link(id)), (lang.say("Purpose", "用途"), text(purpose))];
            if let Some(schema) = schema {
                all.push((lang.say("Asks for", "查询内容"), html! { code { (shape.display(schema)) } }));
            }
            all.push((lang.say("About", "涉及"), text(&telling::keys(lang, u64::from(shape.keys)))));
            all.push((lang.say("Hidden", "隐藏部分"), html! {
                (lang.say("key and constants are in the commitment ", "主键与常量隐藏在承诺中 ")) span.mono { (commitment) }
            }));
            all
        }
        TxBody::RequestWhole { asset: id, columns, purpose, .. } => {
            let columns = match schema {
                Some(schema) => telling::columns(lang, schema, columns),
                None => numbers(columns),
            };
            vec![
                (asset, asset_link(id)),
                (lang.say("Purpose", "用途"), text(purpose)),
                (lang.say("Asks for all of", "请求整列"), text(&columns)),
            ]
        }
        TxBody::RequestSample { asset: id, seed, records } => vec![
            (asset, asset_link(id)),
            (lang.say("Records", "记录"), html! { (records) }),
            (lang.say("Chosen by", "选取依据"), html! { span.mono { (seed) } }),
        ],
        TxBody::Answer { request: of, version, binding, sealed, bytes, .. } => vec![
            (request, transaction_link(of)),
            (lang.say("From version", "来自版本"), html! { (version) }),
            (
                lang.say("Question and answer", "查询与应答"),
                html! {
                    (lang.say("hidden in ", "隐藏在 ")) span.mono { (binding) }
                },
            ),
            (
                lang.say("Sealed answer", "密封应答"),
                html! { span.mono { (sealed) } " · " (count(u64::from(*bytes))) " B" },
            ),
        ],
        TxBody::Deliver { request: of, version, sealed, bytes } => vec![
            (request, transaction_link(of)),
            (lang.say("From version", "来自版本"), html! { (version) }),
            (
                lang.say("Sealed delivery", "密封交付"),
                html! {
                    span.mono { (sealed) } " · " (lang.fill("opens up to {} bytes", "可打开至多 {} 字节", &[&count(*bytes)]))
                },
            ),
        ],
        TxBody::SampleResult { request: of, outcome, report } => vec![
            (request, transaction_link(of)),
            (lang.say("Found", "结果"), html! { (outcome) }),
            (lang.say("Report", "报告"), html! { span.mono { (report) } }),
        ],
        TxBody::Decline { request: of, reason } => vec![
            (request, transaction_link(of)),
            (
                lang.say("Why", "原因"),
                text(match reason {
                    DeclineReason::Budget => lang.say("the information budget is used up", "信息预算已用尽"),
                    DeclineReason::TooLarge => lang.say("the answer is too large", "应答过大"),
                }),
            ),
        ],
        TxBody::Transfer { asset: id, to, .. } => {
            vec![(asset, asset_link(id)), (lang.say("New owner", "新的数据提供方"), account_link(to))]
        }
        TxBody::Withdraw { asset: id } => vec![(asset, asset_link(id))],
        TxBody::ReplaceAccount { successor } => {
            vec![
                (lang.say("By", "更换为"), account_link(&successor.address())),
                (lang.say("Name", "名称"), text(&successor.name)),
            ]
        }
        TxBody::CloseAccount { account: closed } => vec![(account, account_link(closed))],
        TxBody::Propose { change: what } => vec![(lang.say("Proposal", "提案"), change(lang, what))],
        TxBody::Endorse { proposal } => vec![(lang.say("Proposal", "提案"), transaction_link(proposal))],
        TxBody::PutText { name, title, content } => vec![
            (lang.say("Name", "名称"), text(name)),
            (lang.say("Title", "标题"), text(title)),
            (
                lang.say("Text", "文本"),
                match content {
                    TextContent::Public(content) => html! { pre { (content) } },
                    TextContent::Sealed(copies) => {
                        text(&lang.fill("sealed to {} [account|accounts]", "已密封给 {} 个账户", &[&copies.len()]))
                    }
                },
            ),
        ],
    }
}

fn version_told(lang: Lang, version: &VersionInfo) -> Vec<(&'static str, Markup)> {
    vec![
        (lang.say("Version", "版本"), html! { (version.number) }),
        (lang.say("Records", "记录"), html! { (lang.fill("up to {}", "至多 {}", &[&count(version.records_rounded)])) }),
        (lang.say("Root", "树根"), html! { span.mono { (version.root) } }),
    ]
}

/// What a grant allows, by name.
pub(super) fn terms_told(lang: Lang, terms: &GrantTerms, schema: Option<&Schema>) -> Vec<(&'static str, Markup)> {
    let named = |positions: &[u8]| match schema {
        Some(schema) => telling::columns(lang, schema, positions),
        None => numbers(positions),
    };
    let mut all: Vec<(&'static str, Markup)> = Vec::new();
    if !terms.disclose.is_empty() {
        all.push((lang.say("May see", "可查看"), html! { (named(&terms.disclose)) }));
    }
    if !terms.prove.is_empty() {
        all.push((
            lang.say("May ask whether", "可查询是否"),
            match schema {
                Some(schema) => {
                    html! { ul.plain-list { @for one in &terms.prove { li { (telling::predicate(lang, one, schema)) } } } }
                }
                None => html! { (lang.fill("{} predicates", "{} 个谓词（条件）", &[&terms.prove.len()])) },
            },
        ));
    }
    if terms.existence {
        all.push((
            lang.say("Existence", "存在性"),
            html! { (lang.say("may ask whether a record exists", "可查询记录是否存在")) },
        ));
    }
    if !terms.whole.is_empty() {
        all.push((lang.say("May fetch all of", "可获取整列"), html! { (named(&terms.whole)) }));
    }
    let purpose = if terms.purpose.is_empty() { lang.say("any", "任意") } else { terms.purpose.as_str() };
    all.push((lang.say("Purpose", "用途"), html! { (purpose) }));
    all.push((lang.say("When", "期限"), html! { (telling::window(lang, terms)) }));
    if let Some(quota) = terms.quota {
        all.push((lang.say("Quota", "配额"), html! { (telling::keys(lang, quota)) }));
    }
    if let Some(bits) = terms.bits {
        all.push((
            lang.say("Bits", "信息量"),
            html! {
                (lang.fill("at most {} [bit|bits] of a record's field", "每条记录每个字段至多 {} 比特", &[&bits]))
            },
        ));
    }
    all
}

fn numbers(positions: &[u8]) -> String {
    positions.iter().map(|position| format!("#{}", u16::from(*position) + 1)).collect::<Vec<_>>().join(", ")
}

fn change(lang: Lang, change: &Change) -> Markup {
    match change {
        Change::Join(member) => {
            html! { (lang.say("joins: ", "加入：")) (member.account.name) " " (account_link(&member.address())) }
        }
        Change::Leave { account } => html! { (lang.say("leaves: ", "退出：")) (account_link(account)) },
        Change::Replace { account, member } => html! {
            (lang.say("replaced: ", "更换：")) (account_link(account)) " → " (member.account.name) " " (account_link(&member.address()))
        },
        Change::Policy(policy) => html! { (lang.fill(
            "other rules: {} [block|blocks] to answer, {} denials a day",
            "更改规则：应答期限 {} 个区块，每日至多 {} 次拒绝",
            &[&policy.answer_window_blocks, &policy.denials_a_day],
        )) },
        Change::Withdraw { asset } => html! { (lang.say("withdraw the asset ", "撤下资产 ")) (asset_link(asset)) },
    }
}
