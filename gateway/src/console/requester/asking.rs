//! The question builder: what was granted can be ticked, and the SQL that it makes can be looked at and
//! changed. Asking is a job.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use maud::{Markup, html};
use sealgate_circuits::question::{Comparison, Operand, Operator};
use sealgate_ledger::block::DenyReason;
use sealgate_ledger::state::GrantView;
use sealgate_ledger::tx::PURPOSE_BYTES_MAX;

use super::super::page::{Page, Tone, badge, card, hidden, notice, tick};
use super::super::words::Lang;
use super::super::{Answer, Console, Desk, Fault, HomePlace, Reply, Visit, telling};
use super::asset::{self, Seen};
use super::draft::{Draft, Ready, constant_name, foreseen, key_name};
use super::form::{self, Wrong};
use super::{aside, checks, grants};
use crate::answers::ask_and_keep;
use crate::asking::Asking;

/// What a form is shown with besides what was typed.
#[derive(Default)]
struct Told {
    wrong: Wrong,
    /// Whether the SQL is shown.
    shows_sql: bool,
    /// Why it would be denied.
    foreseen: Option<DenyReason>,
    /// The question that would be.
    shape: Option<sealgate_circuits::question::Shape>,
}

/// The empty form.
pub(super) async fn page(place: &HomePlace, visit: &Visit, id: &str) -> Answer {
    let seen = asset::seen(place, visit, id).await?;
    let grant = grant(visit, &seen)?;
    let draft = Draft::read(&visit.query, &seen.contract.asset.schema, &grant.terms);
    Ok(shown(visit, &seen, grant, &draft, &Told::default()).into())
}

fn grant<'a>(visit: &Visit, seen: &'a Seen) -> Result<&'a GrantView, Fault> {
    let grant = seen.grant.as_ref().filter(|grant| grants::can_ask(&grant.terms));
    let text = visit.say(
        "You have been granted no question about this asset: its page says how to get a grant.",
        "您未获准查询此资产：其详情页说明了如何申请授权。",
    );
    grant.ok_or_else(|| Fault::Refused(text.into()))
}

/// The form was sent: to look at the SQL, or to ask.
pub(super) async fn sent(console: &Arc<Console>, place: &HomePlace, visit: &Visit, id: &str) -> Answer {
    let lang = visit.lang;
    let seen = asset::seen(place, visit, id).await?;
    let grant = grant(visit, &seen)?;
    let schema = &seen.contract.asset.schema;
    let mut draft = Draft::read(&visit.form, schema, &grant.terms);
    let wish = visit.form.get("do");
    let ready = match wish {
        "ask-sql" => draft.written(lang, schema),
        _ => draft.composed(lang, &seen.table, schema, &grant.terms),
    };
    let ready = match ready {
        Ok(ready) => ready,
        Err(wrong) => {
            let told = Told { wrong, shows_sql: wish == "ask-sql", ..Told::default() };
            return Ok(shown(visit, &seen, grant, &draft, &told).into());
        }
    };
    if wish == "show" {
        draft.sql = ready.sql;
        let told = Told { shows_sql: true, ..Told::default() };
        return Ok(shown(visit, &seen, grant, &draft, &told).into());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let now = now.and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or(0);
    let reason = foreseen(&ready.question, &draft.purpose, grant, now);
    if let Some(reason) = reason.filter(|_| !visit.form.has("anyway")) {
        let shape = Some(ready.question.shaped_for(&grant.terms.prove).shape);
        draft.sql = ready.sql;
        let told = Told { shows_sql: true, foreseen: Some(reason), shape, ..Told::default() };
        return Ok(shown(visit, &seen, grant, &draft, &told).into());
    }
    start(console, place, visit, &seen, draft.purpose, ready)
}

/// Starts the job that asks, and keeps what comes.
fn start(console: &Console, place: &HomePlace, visit: &Visit, seen: &Seen, purpose: String, ready: Ready) -> Answer {
    let lang = visit.lang;
    let session = visit.session()?;
    let (home, client) = (place.home.clone(), place.client.clone());
    let back = format!("/console/requester/ask/{}", seen.contract.asset.id);
    let title = lang.fill("Asking {}", "正在查询 {}", &[&seen.contract.asset.name]);
    let Ready { sql, keys, .. } = ready;
    let job = console.jobs.start(session.address, title, &back, |job| {
        aside(move || async move {
            job.count("waiting for the answer and its proof", 0, None);
            let progress = |done: u64, total: u64| job.count("keys answered", done, Some(total));
            let asking = Asking { sql: &sql, keys: keys.as_ref(), progress: &progress };
            let kept = ask_and_keep(&home, &client, &purpose, &asking).await;
            let kept = kept.map_err(|error| checks::keeping(lang, &error))?;
            Ok(format!("/console/requester/answers/{}", kept.request))
        })
    });
    let busy =
        visit.say("Too much is being done already: wait until something is over.", "正在进行的任务过多，请稍候再试。");
    let job = job.ok_or_else(|| Fault::Refused(busy.into()))?;
    Ok(Reply::SeeOther(format!("/console/jobs/{}", job.id)))
}

fn shown(visit: &Visit, seen: &Seen, grant: &GrantView, draft: &Draft, told: &Told) -> Page {
    let lang = visit.lang;
    let asset = &seen.contract.asset;
    let body = html! {
        p.crumbs {
            a href="/console/requester" { (visit.say("Catalogue", "资源目录")) } " › "
            a href=(format!("/console/requester/assets/{}", asset.id)) { (asset.name) } " › "
            (visit.say("Question", "查询"))
        }
        @if !told.wrong.is_empty() {
            (notice(Tone::Bad, html! { p { (visit.say(
                "Nothing was asked yet: something is missing or wrong, as said beside it.",
                "尚未提交查询：有内容缺失或有误，见相应位置的说明。",
            )) } }))
        }
        @if let Some(reason) = &told.foreseen { (warning(visit, seen, told, reason)) }
        form.builder method="post" action=(format!("/console/requester/ask/{}", asset.id)) {
            (hidden(visit))
            div.grid {
                (card(visit.say("1 · What to ask", "1 · 查询内容"), items(visit, seen, grant, draft, &told.wrong)))
                div {
                    (card(visit.say("2 · Which record", "2 · 查询哪条记录"), keys(visit, seen, draft, &told.wrong)))
                    (card(visit.say("3 · Why", "3 · 用途"), purpose(visit, grant, draft, &told.wrong)))
                }
            }
            section.card {
                p.actions {
                    button type="submit" name="do" value="ask" { (visit.say("Ask", "提交查询")) }
                    button.plain type="submit" name="do" value="show" formaction=(format!("/console/requester/ask/{}#sql", asset.id)) { (visit.say("Show the SQL", "查看 SQL")) }
                }
                p.soft.small { (visit.say(
                    "The question goes sealed to the asset's owner. The ledger records that you asked, the fields and predicates, and your purpose; never the key, nor values that you fill in.",
                    "查询以密封方式发送给数据提供方。账本记录您提出了查询、所查字段与谓词以及用途，绝不记录主键或您填写的值。",
                )) }
                (sql(visit, draft, told))
            }
        }
    };
    Page::new(Desk::Requester, lang.fill("Ask {}", "查询 {}", &[&asset.name]), body)
}

fn warning(visit: &Visit, seen: &Seen, told: &Told, reason: &DenyReason) -> Markup {
    let schema = &seen.contract.asset.schema;
    let why = telling::denied(visit.lang, reason, told.shape.as_ref(), Some(schema));
    notice(
        Tone::Warn,
        html! {
            p { strong { (visit.say("This would be denied: ", "此查询会被拒绝：")) } (why) (visit.say(".", "。")) }
            p { (visit.say(
                "It was not sent. The ledger records denials, and every auditor sees them. If you ask all the same, tick the box below the SQL.",
                "尚未发送。账本会记录被拒绝的查询，审计方可以看到。如仍要查询，请勾选 SQL 下方的选项。",
            )) " " a href="#sql" { (visit.say("To the SQL", "转到 SQL")) } }
        },
    )
}

fn items(visit: &Visit, seen: &Seen, grant: &GrantView, draft: &Draft, wrong: &Wrong) -> Markup {
    let (lang, schema, terms) = (visit.lang, &seen.contract.asset.schema, &grant.terms);
    html! {
        (wrong.beside("see"))
        @if !terms.disclose.is_empty() {
            fieldset {
                legend { (lang.say("See these fields", "查看字段")) }
                @for position in &terms.disclose {
                    @let kind = schema.at(*position).map(|column| telling::kind(lang, column.kind)).unwrap_or_default();
                    (tick("see", &position.to_string(), html! { (telling::column(schema, *position)) " " span.soft.small { (kind) } }, draft.see.contains(position)))
                }
            }
        }
        @if !terms.prove.is_empty() {
            fieldset {
                legend { (lang.say("Only whether", "仅查询是否满足")) }
                p.hint { (lang.say(
                    "You learn yes or no, with a proof, and not the value.",
                    "您只会得知“是”或“否”并获得证明，不会得知具体值。",
                )) }
                @for (at, predicate) in terms.prove.iter().enumerate() {
                    div.predicate {
                        (tick("prove", &at.to_string(), html! { (telling::predicate(lang, predicate, schema)) }, draft.prove.contains(&at)))
                        @for (number, comparison) in predicate.comparisons.iter().enumerate() {
                            (constants(lang, seen, (at, number), comparison, draft, wrong))
                        }
                    }
                }
            }
        }
        @if terms.existence {
            fieldset {
                legend { (lang.say("Nothing else but", "仅此一项")) }
                (tick("exists", "1", html! { (lang.say("whether a record with this key exists", "是否存在使用该主键的记录")) }, draft.exists))
            }
        }
    }
}

/// Fields for the constants that a granted comparison leaves free.
fn constants(
    lang: Lang,
    seen: &Seen,
    (at, number): (usize, usize),
    comparison: &Comparison,
    draft: &Draft,
    wrong: &Wrong,
) -> Markup {
    let schema = &seen.contract.asset.schema;
    let Some(column) = schema.at(comparison.column) else { return html! {} };
    let typed = |name: &str| draft.constants.get(name).map_or("", String::as_str).to_owned();
    let free = comparison.operands.contains(&Operand::Free);
    if free && comparison.operator.is_set() {
        let name = constant_name(at, number, 0);
        let hint = lang.fill("up to {} values, one a line", "至多 {} 个值，每行一个", &[&comparison.operands.len()]);
        let label = lang.fill("Values for {}", "{} 的取值", &[&column.name]);
        return form::lines(&name, &label, &hint, &typed(&name), wrong);
    }
    html! {
        @for (operand, given) in comparison.operands.iter().enumerate() {
            @if *given == Operand::Free {
                @let name = constant_name(at, number, operand);
                @let label = label(lang, comparison.operator, operand, &column.name);
                (form::value(lang, &name, &label, column.kind, &typed(&name), wrong))
            }
        }
    }
}

fn label(lang: Lang, operator: Operator, operand: usize, column: &str) -> String {
    match (operator, operand) {
        (Operator::Between | Operator::NotBetween, 0) => lang.fill("{} from", "{} 起", &[&column]),
        (Operator::Between | Operator::NotBetween, _) => lang.fill("{} to", "{} 止", &[&column]),
        _ => lang.fill("Value for {}", "{} 的取值", &[&column]),
    }
}

fn keys(visit: &Visit, seen: &Seen, draft: &Draft, wrong: &Wrong) -> Markup {
    let (lang, schema) = (visit.lang, &seen.contract.asset.schema);
    let names: Vec<&str> = schema.key_columns().map(|column| column.name.as_str()).collect();
    let hint = match names.as_slice() {
        [name] => lang.fill("one {} a line, up to 1000", "每行一个 {}，至多 1000 个", &[name]),
        _ => lang.fill("one key a line, up to 1000: {}", "每行一个主键，至多 1000 个：{}", &[&names.join(",")]),
    };
    let is_open = !draft.many.is_empty();
    html! {
        @for (part, column) in schema.key_columns().enumerate() {
            @let typed = draft.key.get(part).map_or("", String::as_str);
            (form::value(lang, &key_name(part), &column.name, column.kind, typed, wrong))
        }
        details open[is_open] {
            summary { (lang.say("Several at once", "批量查询")) }
            (form::lines("many", lang.say("Keys", "主键"), &hint, &draft.many, wrong))
        }
    }
}

fn purpose(visit: &Visit, grant: &GrantView, draft: &Draft, wrong: &Wrong) -> Markup {
    html! {
        @if grant.terms.purpose.is_empty() {
            div.field {
                label for="purpose" { (visit.say("Purpose", "用途")) }
                input type="text" id="purpose" name="purpose" value=(draft.purpose) maxlength=(PURPOSE_BYTES_MAX) required;
                p.hint { (visit.say("Public on the ledger: no names, no keys.", "将公开记录在账本上：请勿填写姓名或主键。")) }
                (wrong.beside("purpose"))
            }
        } @else {
            p { (badge(Tone::Info, &grant.terms.purpose)) " " span.soft { (visit.say("as your grant says", "由授权指定")) } }
        }
    }
}

fn sql(visit: &Visit, draft: &Draft, told: &Told) -> Markup {
    html! {
        details open[told.shows_sql || !draft.sql.is_empty()] {
            summary { (visit.say("SQL, for experts", "SQL（专家模式）")) }
            p.soft.small { (visit.say(
                "'Show the SQL' writes here what is ticked above. You may change it, and ask it as it stands here.",
                "“查看 SQL”会在此写出上方勾选的查询。您可以修改后按此处内容提交。",
            )) }
            (form::lines("sql", "SQL", visit.say(
                "SELECT columns and predicates FROM table WHERE key = value; with ? for several keys",
                "SELECT 字段与谓词 FROM 表 WHERE 主键 = 值；批量查询时以 ? 代替主键",
            ), &draft.sql, &told.wrong))
            @if told.foreseen.is_some() {
                (tick("anyway", "1", html! { (visit.say("Ask although it will be denied", "明知会被拒绝仍要查询")) }, false))
            }
            p.actions { button.plain type="submit" name="do" value="ask-sql" { (visit.say("Ask what the SQL says", "按 SQL 提交")) } }
        }
    }
}
