//! The grant editor: who, what, how much; and before anything is signed, who could learn what by it.

use maud::{Markup, html};
use sealgate_circuits::schema::{Column, Schema};
use sealgate_circuits::value::ColumnType;
use sealgate_ledger::codec::encode;
use sealgate_ledger::ids::{Address, AssetId};
use sealgate_ledger::state::{AssetView, GrantView};
use sealgate_ledger::tx::{FILE, GrantTerms, TxBody};

use super::draft::{Problems, Typed, composed};
use super::parts::{asked, choice, crumbs, grant_path, line};
use super::{At, People, learning};
use crate::console::page::{Page, Tone, hidden, notice, short, tick};
use crate::console::{Answer, Desk, Fault, Reply, telling};

const HERE: &str = "/console/owner/grants/edit";
/// Empty lines for predicates.
const BLANK_PREDICATES: usize = 2;
/// How two things are compared, as SQL has it.
const OPERATORS: [&str; 11] = [">=", "<=", ">", "<", "=", "<>", "BETWEEN", "IN", "IS NULL", "IS NOT NULL", "NOT IN"];

/// Whom and what a grant is for.
struct For {
    asset: AssetView,
    to: Address,
    people: People,
    /// What stands already.
    before: Option<GrantView>,
}

pub(super) async fn answer(at: At<'_>) -> Answer {
    let fields = if at.visit.is_post { &at.visit.form } else { &at.visit.query };
    let (assets, people) = (at.assets().await?, at.people().await?);
    let id: Option<AssetId> = fields.get("asset").parse().ok();
    let asset = assets.iter().find(|asset| Some(asset.id) == id && asset.withdrawn.is_none()).cloned();
    let who = fields.get("to");
    let named = people.named(who);
    let (Some(asset), [to]) = (asset, named.as_slice()) else {
        let problem = match (who.is_empty(), named.len()) {
            (true, _) => None,
            (false, 0) => Some(at.say(
                "the ledger knows no open account of this name; its address always works, enrolled or not",
                "账本中没有此名称的有效账户；可直接填写地址（无论是否已开户）",
            )),
            (false, 1) => None,
            (false, _) => Some(at.say("several accounts are called so: write the address", "多个账户同名：请填写地址")),
        };
        return Ok(choose(at, &assets, &people, problem).into());
    };
    let (asset_id, to) = (asset.id, *to);
    let before = at.read(move |gateway| Ok(gateway.ledger().grant(&asset_id, &to)?)).await?;
    let is_for = For { asset, to, people, before };
    if at.visit.is_post { sent(at, &is_for).await } else { Ok(first(at, &is_for).into()) }
}

/// The first step: which asset, which account.
fn choose(at: At<'_>, assets: &[AssetView], people: &People, problem: Option<&str>) -> Page {
    let query = &at.visit.query;
    let open = assets.iter().filter(|asset| asset.withdrawn.is_none());
    let own = at.own();
    let accounts = people.0.iter().filter(|(address, person)| !person.is_closed && **address != own);
    let title = at.say("New grant", "新建授权");
    let hint = at.say(
        "Its name or its address. Give the address where you can: whoever asked for the grant printed it with 'sealgate account new'.",
        "名称或地址。请尽量使用地址：申请方可由 'sealgate account new' 得到。",
    );
    let body = html! {
        (crumbs(at, &[("/console/owner/grants", at.say("Grants", "授权"))], title))
        section.card { h2 { (at.say("Of which asset, to whom?", "授权哪项资产、授予谁？")) }
            form method="get" action=(HERE) {
                (asked("asset", at.say("Asset", "资产"), None, None, |_| html! {
                    select id="asset" name="asset" required { @for asset in open {
                        (choice(&asset.id.to_string(), &format!("{} – {}", asset.name, asset.title), query.get("asset")))
                    } }
                }))
                (asked("to", at.say("Account", "账户"), Some(hint), problem, |tied| html! {
                    input type="text" id="to" name="to" value=(query.get("to")) list="accounts" required autocomplete="off"
                        spellcheck="false" aria-describedby=[tied.described.as_deref()] aria-invalid=[tied.invalid];
                }))
                datalist id="accounts" { @for (address, _) in accounts.take(500) { option value=(address) { (people.name(address)) } } }
                button type="submit" { (at.say("Next", "下一步")) }
            }
        }
    };
    Page::new(Desk::Owner, title, body)
}

fn first(at: At<'_>, is_for: &For) -> Page {
    let typed = match &is_for.before {
        Some(grant) => Typed::of_grant(&is_for.asset.schema, grant),
        None => Typed::default(),
    };
    editor(at, is_for, &typed, &Problems::default(), None)
}

async fn sent(at: At<'_>, is_for: &For) -> Answer {
    let form = &at.visit.form;
    let mut typed = Typed::of_form(form);
    // A constant that is left in its field was meant to become a condition, whichever button was pressed.
    if form.get("do") == "add" || !form.get("constant").is_empty() {
        if let Some((_, column)) = is_for.asset.schema.column(form.get("column")) {
            typed.prove.push(composed(column, form.get("operator"), form.get("constant")));
        }
        return Ok(editor(at, is_for, &typed, &Problems::default(), None).into());
    }
    let terms = match typed.terms(at.visit.lang, &is_for.asset) {
        Ok(terms) => terms,
        Err(problems) => return Ok(editor(at, is_for, &typed, &problems, None).into()),
    };
    let seen = seen(&is_for.asset.id, &is_for.to, &terms);
    let mut problems = Problems::default();
    if form.get("do") == "grant" {
        if form.get("seen") == seen {
            let body = TxBody::Grant { asset: is_for.asset.id, to: is_for.to, terms: terms.clone() };
            match at.submit(body).await {
                Ok(receipt) => {
                    return Ok(Reply::SeeOther(format!(
                        "{}?done={}",
                        grant_path(&is_for.asset.id, &is_for.to),
                        receipt.hash
                    )));
                }
                Err(why) => problems.add("", why),
            }
        } else {
            problems.add("", at.say(
                "You changed something after you looked: see once more what this account could learn, then grant it.",
                "查看之后内容有改动：请再次确认该账户可获知的内容后授权。",
            ));
        }
    }
    let panel = learning_panel(at, is_for, &terms).await?;
    Ok(editor(at, is_for, &typed, &problems, Some((panel, seen))).into())
}

/// What was looked at: only that is granted.
fn seen(asset: &AssetId, to: &Address, terms: &GrantTerms) -> String {
    blake3::hash(&encode(&(*asset, *to, terms.clone()))).to_hex().to_string()
}

async fn learning_panel(at: At<'_>, is_for: &For, terms: &GrantTerms) -> Result<Markup, Fault> {
    let told = at.gateway.told(&is_for.asset.id).await;
    let assets = at.assets().await?;
    let (to, asset) = (is_for.to, is_for.asset.id);
    let other = at
        .read(move |gateway| {
            let mut other = Vec::new();
            for one in assets.into_iter().filter(|one| one.id != asset && one.withdrawn.is_none()) {
                other.extend(gateway.ledger().grant(&one.id, &to)?.map(|grant| (one, grant)));
            }
            let others = gateway.ledger().grants(&asset)?.iter().filter(|grant| grant.to != to).count();
            Ok((other, others))
        })
        .await?;
    let name = is_for.people.name(&to);
    let known = learning::Known {
        name: &name,
        before: is_for.before.as_ref(),
        told: &told,
        elsewhere: &other.0,
        others: other.1,
    };
    Ok(learning::panel(at, &is_for.asset, &to, terms, &known))
}

fn editor(at: At<'_>, is_for: &For, typed: &Typed, problems: &Problems, panel: Option<(Markup, String)>) -> Page {
    let For { asset, to, people, before } = is_for;
    let name = people.name(to);
    let title = match before {
        Some(_) => at.fill("Change the grant of {} on {}", "修改 {} 对 {} 的授权", &[&name, &asset.name]),
        None => at.fill("Grant {} something of {}", "授予 {} 对 {} 的权限", &[&name, &asset.name]),
    };
    let is_file = asset.data_type == FILE;
    let body = html! {
        (crumbs(at, &[("/console/owner/grants", at.say("Grants", "授权"))], &title))
        p.lead { @if people.0.contains_key(to) { (name) " · " (short(&to.to_string())) } @else { (at.say(
            "This account is not enrolled yet: the grant holds as soon as it is.", "该账户尚未开户：开户后授权即生效。")) } }
        @if let Some(why) = problems.of("") { (notice(Tone::Bad, html! { p { (why) } })) }
        @else if !problems.0.is_empty() { (notice(Tone::Bad, html! { p { (at.say("Something is not right yet: see the fields below.", "尚有问题，请见下方字段。")) } })) }
        @if before.is_some() && panel.is_none() { (notice(Tone::Info, html! { p { (at.say(
            "A new grant replaces the one that stands, and its count of keys begins anew.", "新授权将取代现有授权，主键计数重新开始。")) } })) }
        form.editor method="post" action=(super::grants::edit_path(&asset.id, to)) {
            (hidden(at.visit))
            input type="hidden" name="asset" value=(asset.id);
            input type="hidden" name="to" value=(to);
            // The button that Enter presses comes first.
            button.unseen type="submit" name="do" value="preview" tabindex="-1" aria-hidden="true" { (preview_word(at)) }
            @if let Some((panel, seen)) = &panel {
                (panel)
                input type="hidden" name="seen" value=(seen);
                div.actions.lower { button type="submit" name="do" value="grant" { @if before.is_some() { (at.say("Replace the grant", "替换授权")) } @else { (at.say("Grant it", "确认授权")) } }
                    span.soft { (at.say("or change it below and look again", "或在下方修改后重新查看")) } }
            }
            @if is_file { p { (at.say("A file is fetched whole.", "文件只能整体获取。")) } }
            @else {
                (values(at, &asset.schema, typed, problems))
                (proofs(at, &asset.schema, typed, problems))
                (whole(at, &asset.schema, typed, problems))
            }
            (limits(at, typed, problems, is_file))
            div.actions {
                button type="submit" name="do" value="preview" { (preview_word(at)) }
                a.button.plain href="/console/owner/grants" { (at.say("Cancel", "取消")) }
            }
        }
    };
    Page::new(Desk::Owner, title.clone(), body)
}

fn preview_word<'a>(at: At<'a>) -> &'a str {
    at.say("See who can learn what", "查看谁能获知什么")
}

fn values(at: At<'_>, schema: &Schema, typed: &Typed, problems: &Problems) -> Markup {
    let never: Vec<&str> =
        schema.columns.iter().filter(|column| !column.allowed.disclose).map(|column| column.name.as_str()).collect();
    html! { fieldset {
        legend { (at.say("Values it may see", "可查看的字段值")) }
        p.hint { (at.say("Of a record whose key it names. The answer proves that the value is the published one.", "针对其指明主键的记录；应答证明该值与已发布的一致。")) }
        div.choices { @for column in schema.columns.iter().filter(|column| column.allowed.disclose) {
            (tick("disclose", &column.name, html! { code { (column.name) } " " span.soft { (telling::kind(at.visit.lang, column.kind)) } }, typed.disclose.contains(&column.name)))
        } }
        @if !never.is_empty() { p.hint { (at.fill("Never disclosed, as published: {}", "按发布规定从不披露：{}", &[&never.join(", ")])) } }
        @if let Some(why) = problems.of("disclose") { p.problem { (why) } }
        (tick("existence", "yes", html! { (at.say("It may ask merely whether a record with a key exists", "可仅查询某主键的记录是否存在")) }, typed.existence))
    } }
}

fn proofs(at: At<'_>, schema: &Schema, typed: &Typed, problems: &Problems) -> Markup {
    let provable: Vec<&Column> = schema.columns.iter().filter(|column| column.allowed.prove).collect();
    let form = &at.visit.form;
    html! { fieldset {
        legend { (at.say("Proofs it may ask for", "可请求的证明")) }
        p.hint { (at.say(
            "A condition in SQL, constants included: the answer proves whether it is true, and shows no value. ‘?’ leaves the constant to the requester, who can then narrow a value down by asking again and again.",
            "SQL 条件，含常量：应答证明其真假而不显示字段值。‘?’ 将常量留给使用方选择，使用方可借反复查询逐步缩小取值范围。",
        )) }
        @for (number, text) in typed.prove.iter().map(String::as_str).chain(std::iter::repeat_n("", BLANK_PREDICATES)).enumerate() {
            @let (id, problem) = (format!("prove-{number}"), problems.of(&format!("prove-{number}")));
            div.field {
                label.unseen for=(id) { (at.fill("Condition {}", "条件 {}", &[&(number + 1)])) }
                input type="text" id=(id) name="prove" value=(text) autocomplete="off" spellcheck="false"
                    placeholder=[(number == 0 && text.is_empty()).then(|| example(schema, &provable))]
                    aria-invalid=[problem.map(|_| "true")] aria-describedby=[problem.map(|_| format!("{id}-problem"))];
                @if let Some(why) = problem { p.problem id=(format!("{id}-problem")) { (why) } }
            }
        }
        @if let Some(why) = problems.of("prove") { p.problem { (why) } }
        details open[form.get("do") == "add"] {
            summary { (at.say("Put a condition together", "组合一个条件")) }
            div.row {
                div.field { label for="column" { (at.say("Field", "字段")) } select id="column" name="column" {
                    @for column in &provable { (choice(&column.name, &format!("{} ({})", column.name, telling::kind(at.visit.lang, column.kind)), form.get("column"))) }
                } }
                div.field { label for="operator" { (at.say("is", "满足")) } select id="operator" name="operator" {
                    @for operator in OPERATORS { (choice(operator, operator, form.get("operator"))) }
                } }
                div.field { label for="constant" { (at.say("Constant", "常量")) }
                    input type="text" id="constant" name="constant" autocomplete="off" placeholder=(at.say("? for any", "? 表示任意")); }
                button.plain type="submit" name="do" value="add" { (at.say("Add", "添加")) }
            }
            p.hint { (at.say("Several constants (IN, BETWEEN) with commas between them. Conditions may be joined by AND and OR in the lines above.", "多个常量（IN、BETWEEN）以逗号分隔。上方各行可用 AND、OR 组合条件。")) }
        }
    } }
}

/// A condition that could be granted of this very table: of a number that is no key.
fn example(schema: &Schema, provable: &[&Column]) -> String {
    let is_number = |column: &&&Column| matches!(column.kind, ColumnType::Int | ColumnType::Decimal(_));
    let is_key = |column: &Column| schema.key_columns().any(|key| key.name == column.name);
    let number = provable.iter().find(|column| is_number(column) && !is_key(column));
    number.map_or_else(String::new, |column| composed(column, ">=", "500"))
}

fn whole(at: At<'_>, schema: &Schema, typed: &Typed, problems: &Problems) -> Markup {
    html! { fieldset {
        legend { (at.say("Whole columns", "整列")) }
        details open[!typed.whole.is_empty() || problems.of("whole").is_some()] {
            summary { (at.say("Give columns away whole", "整列提供")) }
            p.hint { (at.say("Every value of every record at once, without naming a key. Copies of it cannot be taken back.", "一次性提供所有记录的全部字段值，无需指明主键。副本无法收回。")) }
            div.choices { @for column in schema.columns.iter().filter(|column| column.allowed.disclose) {
                (tick("whole", &column.name, html! { code { (column.name) } }, typed.whole.contains(&column.name)))
            } }
        }
        @if let Some(why) = problems.of("whole") { p.problem { (why) } }
    } }
}

fn limits(at: At<'_>, typed: &Typed, problems: &Problems, is_file: bool) -> Markup {
    let day = at.say(
        "A day, or a day and time in UTC: 2026-12-31 or 2026-12-31T23:59. Empty: no limit.",
        "日期，或日期与 UTC 时间：2026-12-31 或 2026-12-31T23:59。留空表示不限。",
    );
    html! { fieldset {
        legend { (at.say("Limits", "限制")) }
        (line("purpose", at.say("Purpose", "用途"), Some(at.say(
            "Requests must state exactly this. It is public: no names, no case numbers.", "请求须填写完全一致的用途。用途是公开的：请勿填写姓名或案号。")), problems.of("purpose"), &typed.purpose))
        (tick("any_purpose", "yes", html! { (at.say("Any purpose will do", "允许任何用途")) }, typed.any_purpose))
        div.row.from-top {
            (line("from", at.say("From", "起始"), Some(day), problems.of("from"), &typed.from))
            (line("until", at.say("Until", "截止"), Some(day), problems.of("until"), &typed.until))
        }
        div.row.from-top {
            (line("quota", at.say("How many keys", "主键数量"), Some(at.say("Each key counts each time it is asked about. Empty: no limit.", "每次查询每个主键都计数。留空表示不限。")), problems.of("quota"), &typed.quota))
            @if !is_file { (line("bits", at.say("Share of the budgets, in bits", "预算份额（比特）"), Some(at.say(
                "The most that proofs may tell this account of one record's field. Empty: the field's whole budget.", "证明可向该账户透露的单条记录单个字段的上限。留空表示该字段的全部预算。")), problems.of("bits"), &typed.bits)) }
        }
    } }
}
