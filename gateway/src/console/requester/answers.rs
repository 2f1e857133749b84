//! One answer: what it says, and what was verified of it, on this machine, each time it is opened.

use maud::{Markup, html};
use sealgate_circuits::question::Item;
use sealgate_circuits::question::sql::parse_question;
use sealgate_circuits::schema::Schema;
use sealgate_circuits::value::ColumnType;
use sealgate_ledger::block::{DenyReason, EntryBody};
use sealgate_ledger::ids::{Address, BlockHeight, TxHash};
use sealgate_ledger::tx::TxBody;

use super::super::page::{Page, Tone, badge, card, checklist, command, count, facts, notice, time};
use super::super::words::Lang;
use super::super::{Answer, Desk, Fault, HomePlace, Reply, Visit, blocking, explorer, telling};
use super::checks;
use crate::answer_file::{AnswerError, AnswerFile, RecordAnswer, ResultLine, Verified, parse_key};
use crate::answers::{End, Kept};
use crate::home::Home;
use crate::interchange::{self, SNARKJS_FILES};
use crate::receipt;
use crate::verifying::{self, VerifyFailure};

/// Verifies an answer of this home, or of an account that its account has replaced, without any gateway.
fn verified(home: &Home, me: &Address, bytes: &[u8]) -> Result<(AnswerFile, Verified), VerifyFailure> {
    let result = verifying::answer_offline(home, me, bytes);
    if !matches!(result, Err(VerifyFailure::Answer(AnswerError::Requester { .. }))) {
        return result;
    }
    for earlier in home.earlier_accounts()? {
        let other = verifying::answer_offline(home, &earlier.address(), bytes);
        if !matches!(other, Err(VerifyFailure::Answer(AnswerError::Requester { .. }))) {
            return other;
        }
    }
    result
}

/// A kept answer, verified now.
enum Held {
    Good(Box<(AnswerFile, Verified)>),
    Bad(String),
    Gone,
}

async fn held(place: &HomePlace, request: &TxHash) -> Result<Held, Fault> {
    let (home, me, request) = (place.home.clone(), place.account.address(), *request);
    blocking(move || {
        let bytes = home.kept_answer(&request).map_err(|error| Fault::Internal(error.to_string()))?;
        let Some(bytes) = bytes else { return Ok(Held::Gone) };
        Ok(match verified(&home, &me, &bytes) {
            Ok(both) if both.1.request == request => Held::Good(Box::new(both)),
            Ok(_) => Held::Bad("it is the answer to another request".into()),
            Err(error) => Held::Bad(error.to_string()),
        })
    })
    .await
}

fn hash_of(request: &str) -> Result<TxHash, Fault> {
    request.parse().map_err(|_| Fault::NotFound)
}

/// The page of a request.
pub(super) async fn page(place: &HomePlace, visit: &Visit, request: &str) -> Answer {
    let request = hash_of(request)?;
    let internal = |error: crate::files::FileError| Fault::Internal(error.to_string());
    let Some(kept) = place.home.kept(&request).map_err(internal)? else {
        return elsewhere(place, visit, &request);
    };
    let body = match &kept.end {
        End::Answered { .. } => match held(place, &request).await? {
            Held::Good(both) => html! {
                (notice(Tone::Good, html! { p { strong { (visit.say("Answered, and verified on this machine just now.", "已获应答，并刚在本机完成验证。")) } } }))
                (answer(visit, &both.0, &both.1))
                (keep(visit, &both.1))
            },
            Held::Bad(why) => notice(
                Tone::Bad,
                html! {
                    p { strong { (visit.say("The kept answer does not verify; nothing of it is shown.", "已保存的应答未通过验证，因此不予显示。")) } " " (why) }
                },
            ),
            Held::Gone => notice(
                Tone::Warn,
                html! { p { (visit.say(
                    "The answer's file is no longer in this home's folder 'answers'.",
                    "应答文件已不在本机目录 answers 中。",
                )) } },
            ),
        },
        End::Denied { block, reason, why } => denied(visit, (*block, reason, why)),
        End::Declined { block, reason } => notice(
            Tone::Warn,
            html! {
                p { strong { (visit.say("The owner declined to answer.", "数据提供方未予应答。")) } }
                p { (telling::declined(visit.lang, reason)) }
                p.soft { (visit.say("It does not count against your quota. ", "不计入您的配额。")) (visit.say("Block ", "区块 ")) (explorer::block_link(*block)) }
            },
        ),
    };
    let body = html! {
        p.crumbs { a href="/console/requester/answers" { (visit.say("My answers", "我的应答")) } " › " (time(kept.time_ms)) }
        (body)
        (asked(visit, &kept))
        p.actions { a.button.plain href=(format!("/console/requester/ask/{}", kept.asset)) { (visit.say("Ask another question", "再次查询")) } }
    };
    Ok(Page::new(Desk::Requester, title(visit, &kept), body).into())
}

fn title(visit: &Visit, kept: &Kept) -> String {
    match kept.end {
        End::Answered { .. } => visit.say("Answer", "应答").to_owned(),
        End::Denied { .. } => visit.say("Denied", "已拒绝").to_owned(),
        End::Declined { .. } => visit.say("Declined", "未获应答").to_owned(),
    }
}

/// A question that the command line asked.
fn elsewhere(place: &HomePlace, visit: &Visit, request: &TxHash) -> Answer {
    let asked = place.home.asked(request).map_err(|error| Fault::Internal(error.to_string()))?;
    let asked = asked.ok_or(Fault::NotFound)?;
    let text = if asked.done {
        visit.say(
            "This was asked with the command line: its answer is where --out said. 'Verify a file' checks it here.",
            "此查询由命令行提出：应答在 --out 指定的位置。可在“验证文件”中核查。",
        )
    } else {
        visit.say(
            "No answer has come back yet. Ask the same question in the same words: this request is taken up again, and not counted twice.",
            "尚未收到应答。请以完全相同的内容再次查询：将继续此请求，不会重复计数。",
        )
    };
    let body = html! {
        (card(visit.say("What was asked", "查询内容"), facts(&[
            (visit.say("Question", "查询"), html! { code { (asked.sql) } }),
            (visit.say("Purpose", "用途"), html! { (asked.purpose) }),
            (visit.say("Request", "请求"), explorer::transaction_link(request)),
        ])))
        (notice(Tone::Info, html! { p { (text) } }))
    };
    Ok(Page::new(Desk::Requester, visit.say("Question", "查询"), body).into())
}

fn asked(visit: &Visit, kept: &Kept) -> Markup {
    card(
        visit.say("What was asked", "查询内容"),
        facts(&[
            (visit.say("Question", "查询"), html! { code { (kept.sql) } }),
            (visit.say("Keys", "主键数"), html! { (count(kept.keys as u64)) }),
            (visit.say("Purpose", "用途"), html! { (kept.purpose) }),
            (visit.say("Request", "请求"), explorer::transaction_link(&kept.request)),
        ]),
    )
}

fn denied(visit: &Visit, (block, reason, why): (BlockHeight, &DenyReason, &str)) -> Markup {
    // Why, as it was told when the schema was at hand, names the field.
    let named = why.split('\'').nth(1).unwrap_or_default();
    let text = match (visit.lang, reason) {
        (Lang::En, _) => why.to_owned(),
        (Lang::Zh, DenyReason::Field { column } | DenyReason::Whole { column }) if !named.is_empty() => {
            let number = format!("#{}", u16::from(*column) + 1);
            telling::denied(visit.lang, reason, None, None).replace(&number, named)
        }
        (Lang::Zh, DenyReason::Predicate { .. }) if !named.is_empty() => {
            format!("{}：{named}", telling::denied(visit.lang, reason, None, None))
        }
        (Lang::Zh, _) => telling::denied(visit.lang, reason, None, None),
    };
    notice(
        Tone::Bad,
        html! {
            p { strong { (visit.say("The contract denied it: ", "合约拒绝了此查询：")) } (text) (visit.say(".", "。")) }
            p { (telling::after_denial(visit.lang, reason)) }
            p.soft { (visit.say("The denial is recorded in block ", "此次拒绝记录在区块 ")) (explorer::block_link(block)) (visit.say(
                "; it says nothing about whether a record exists.",
                "；这与记录是否存在无关。",
            )) }
        },
    )
}

/// What an answer says and what was verified.
pub(super) fn answer(visit: &Visit, file: &AnswerFile, verified: &Verified) -> Markup {
    let lang = visit.lang;
    let items = items(lang, file, verified);
    let result = match verified.records.as_slice() {
        [record] => single(lang, record, &items),
        records => many(lang, records, &items),
    };
    html! {
        (card(visit.say("Answer", "应答"), result))
        (card(visit.say("What was verified", "已验证的内容"), html! {
            (checklist(&checks::answer(lang, verified)))
            details {
                summary { (visit.say("Numbers and hashes", "编号与哈希")) }
                (facts(&[
                    (visit.say("Asset", "资产"), html! { (verified.name) " " (explorer::asset_link(&verified.asset)) }),
                    (visit.say("Owner", "数据提供方"), explorer::account_link(&verified.owner)),
                    (visit.say("Version", "版本"), html! { (verified.version) }),
                    (visit.say("Root", "树根"), html! { span.mono { (verified.root) } }),
                    (visit.say("Requester", "数据使用方"), explorer::account_link(&verified.requester)),
                    (visit.say("Request", "请求"), html! { (explorer::transaction_link(&verified.request)) " · " (visit.say("block ", "区块 ")) (explorer::block_link(verified.request_block)) }),
                    (visit.say("Answer", "应答"), html! { (explorer::transaction_link(&verified.answer)) " · " (visit.say("block ", "区块 ")) (explorer::block_link(verified.answer_block)) }),
                    (visit.say("Checkpoint", "检查点"), html! { (lang.fill("{} [entry|entries]", "{} 个条目", &[&count(verified.checkpoint_size)])) }),
                ]))
            }
        }))
    }
}

/// The schema in the registration, which the verification has checked.
fn schema(file: &AnswerFile) -> Option<&Schema> {
    match &file.registration.entry.body {
        EntryBody::Transaction { tx, .. } => match &tx.tx.body {
            TxBody::RegisterAsset { schema, .. } => Some(schema),
            _ => None,
        },
        EntryBody::Unanswered { .. } => None,
    }
}

/// An item of a question, for people.
struct Asked {
    /// What was asked, in words.
    text: String,
    /// Type of the field that it discloses; none where it is a predicate.
    disclosed: Option<ColumnType>,
}

/// The items of the question that was verified, in their order.
fn items(lang: Lang, file: &AnswerFile, verified: &Verified) -> Vec<Asked> {
    let Some(schema) = schema(file) else { return Vec::new() };
    let keys = match verified.records.as_slice() {
        [_] => Vec::new(),
        records => records.iter().filter_map(|record| parse_key(schema, &record.key).ok()).collect(),
    };
    let Ok(question) = parse_question(&verified.sql, schema, keys) else { return Vec::new() };
    let told = |item: &Item| match item {
        Item::Disclose(position) => Asked {
            text: telling::column(schema, *position),
            disclosed: schema.at(*position).map(|column| column.kind),
        },
        Item::Prove(predicate) => Asked { text: telling::predicate(lang, predicate, schema), disclosed: None },
    };
    question.shape.items.iter().map(told).collect()
}

fn single(lang: Lang, record: &RecordAnswer, items: &[Asked]) -> Markup {
    let key = html! { p.soft { (lang.say("Key: ", "主键：")) code { (record.key.join(", ")) } } };
    if !record.found {
        return html! { p.big { (absent(lang)) } (key) };
    }
    html! {
        @if record.result.is_empty() {
            p.big { (badge(Tone::Good, lang.say("a record with this key exists", "存在使用该主键的记录"))) }
        } @else {
            dl.facts.result { @for (line, item) in with(&record.result, items) {
                dt { (item.map_or(line.item.as_str(), |item| item.text.as_str())) }
                dd { (value(lang, line, item)) }
            } }
        }
        (key)
    }
}

/// Answers, each with its item.
fn with<'a>(lines: &'a [ResultLine], items: &'a [Asked]) -> impl Iterator<Item = (&'a ResultLine, Option<&'a Asked>)> {
    lines.iter().enumerate().map(|(at, line)| (line, items.get(at)))
}

fn absent(lang: Lang) -> Markup {
    badge(Tone::Warn, lang.say("no record has this key", "没有记录使用该主键"))
}

/// An answer for people: truth, a value, or SQL's NULL, which is neither and is never mistaken for an
/// absent record.
fn value(lang: Lang, line: &ResultLine, item: Option<&Asked>) -> Markup {
    let kind = item.and_then(|item| item.disclosed);
    let is_truth = kind.is_none_or(|kind| kind == ColumnType::Bool);
    match line.answer.as_str() {
        "NULL" if kind.is_some() => badge(Tone::Info, lang.say("empty (NULL)", "空（NULL）")),
        "NULL" => {
            badge(Tone::Info, lang.say("unknown: a compared field is empty (NULL)", "未知：所比较的字段为空（NULL）"))
        }
        "true" if is_truth => badge(Tone::Good, lang.say("yes", "是")),
        "false" if is_truth => badge(Tone::Bad, lang.say("no", "否")),
        text => html! { strong { (text) } },
    }
}

fn many(lang: Lang, records: &[RecordAnswer], items: &[Asked]) -> Markup {
    html! { div.scroll tabindex="0" { table {
        thead { tr {
            th scope="col" { (lang.say("Key", "主键")) }
            @for item in items { th scope="col" { (item.text) } }
            @if items.is_empty() { th scope="col" { (lang.say("Record", "记录")) } }
        } }
        tbody { @for record in records { tr {
            th scope="row" { code { (record.key.join(", ")) } }
            @if !record.found { td colspan=(items.len().max(1)) { (absent(lang)) } }
            @else if record.result.is_empty() { td { (badge(Tone::Good, lang.say("exists", "存在"))) } }
            @else { @for (line, item) in with(&record.result, items) { td { (value(lang, line, item)) } } }
        } } }
    } } }
}

/// What can be done with an answer.
fn keep(visit: &Visit, verified: &Verified) -> Markup {
    let at = format!("/console/requester/answers/{}", verified.request);
    let proofs: Vec<usize> = verified.proofs.iter().map(|proof| proof.number).take(10).collect();
    card(
        visit.say("Keep it, show it to others", "保存与出示"),
        html! {
            p.actions {
                a.button href=(format!("{at}/answer.json")) { (visit.say("Download answer.json", "下载 answer.json")) }
                a.button.plain href=(format!("{at}/receipt.json")) { (visit.say("Download the request's receipt", "下载请求的回执")) }
                a.button.plain href=(at) { (visit.say("Verify again", "重新验证")) }
            }
            p.soft.small { (visit.say(
                "answer.json convinces whoever trusts this ledger, offline:",
                "answer.json 可离线说服任何信任此账本的人：",
            )) }
            (command(&format!("sealgate verify --home DIR --requester {} answer.json", verified.requester)))
            @if !proofs.is_empty() {
                details {
                    summary { (visit.say("For snarkjs", "导出为 snarkjs 格式")) }
                    p.soft.small { (visit.say(
                        "Whoever runs snarkjs on these learns that the proof holds for these public inputs, and nothing about where they come from.",
                        "用 snarkjs 验证这些文件只能得知证明对这些公开输入成立，无法得知其来源。",
                    )) }
                    ul { @for number in &proofs {
                        li {
                            @if verified.records.len() > 1 { (visit.lang.fill("key {}: ", "主键 {}：", &[number])) }
                            @for name in SNARKJS_FILES { a href=(format!("{at}/snarkjs/{name}?record={number}")) { (name) } " " }
                        }
                    } }
                }
            }
        },
    )
}

/// A file of an answer.
pub(super) async fn file(place: &HomePlace, visit: &Visit, request: &str, wanted: &[&str]) -> Answer {
    let request = hash_of(request)?;
    let short = request.to_string().get(..12).unwrap_or_default().to_owned();
    let kind = "application/json";
    match wanted {
        ["answer.json"] => {
            let bytes = place.home.kept_answer(&request).map_err(|error| Fault::Internal(error.to_string()))?;
            Ok(Reply::Download { name: format!("answer-{short}.json"), kind, content: bytes.ok_or(Fault::NotFound)? })
        }
        ["receipt.json"] => {
            place.home.asked(&request).map_err(|error| Fault::Internal(error.to_string()))?.ok_or(Fault::NotFound)?;
            let session = checks::session(visit.lang, place).await?;
            let (receipt, _) = receipt::fetch(&session, &request).await.map_err(Fault::failed)?;
            let content = receipt.to_bytes().map_err(Fault::failed)?;
            Ok(Reply::Download { name: format!("receipt-{short}.json"), kind, content })
        }
        ["snarkjs", name] => {
            let at = SNARKJS_FILES.iter().position(|known| known == name).ok_or(Fault::NotFound)?;
            let number = visit.query.get("record").parse().unwrap_or(1);
            let Held::Good(both) = held(place, &request).await? else { return Err(Fault::NotFound) };
            let proven = interchange::proof_of(&both.1, number).map_err(|_| Fault::NotFound)?;
            let files = interchange::snarkjs(proven).map_err(Fault::failed)?;
            let value = files.get(at).ok_or(Fault::NotFound)?;
            let content = serde_json::to_vec_pretty(value).map_err(|error| Fault::Internal(error.to_string()))?;
            Ok(Reply::Download { name: (*name).to_owned(), kind, content })
        }
        _ => Err(Fault::NotFound),
    }
}
