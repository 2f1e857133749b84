//! What a verification returned, as a checklist in plain words of both languages; and why one failed.
//!
//! The verification's own lines are what is shown: each is recognised by its wording and said in the
//! visitor's language. One that is not recognised stands there as it is, so that nothing is left out.

use maud::{Markup, html};
use sealgate_ledger::genesis::Genesis;

use super::super::page::{Check, Tone};
use super::super::words::Lang;
use super::super::{Fault, HomePlace, errors};
use crate::answer_file::Verified;
use crate::answers::KeepError;
use crate::asking::{AskFailure, Session};
use crate::client::ClientError;
use crate::home::HomeError;
use crate::receipt::Shown;
use crate::standing::AsOf;
use crate::witness::pins::Witnessed;

/// A line of a verification: its wording, and what it is called and says.
struct Known {
    /// The wording; `{}` stands for what differs.
    wording: &'static str,
    /// In a few words, English and Chinese.
    title: (&'static str, &'static str),
    /// All of it in Chinese, with what differs in the same order.
    zh: &'static str,
}

const fn known(wording: &'static str, title: (&'static str, &'static str), zh: &'static str) -> Known {
    Known { wording, title, zh }
}

/// What holds. Of two that fit, the first counts.
const CHECKS: &[Known] = &[
    known(
        "ledger '{}': its fingerprint is trusted here, and the checkpoint over {} entries is signed by {}",
        ("It is the ledger you trust", "这是您信任的账本"),
        "账本“{}”的指纹受本机信任，覆盖 {} 个条目的检查点由{}签名",
    ),
    known(
        "asset '{}', version {}: registered and signed by {}",
        ("What was published is registered", "发布内容已登记"),
        "资产“{}”版本 {} 由 {} 登记并签名",
    ),
    known(
        "request: signed by {}, granted in block {} for purpose '{}'; it commits to this question",
        ("Your question is on the ledger, and was granted", "您的查询已记入账本并获准许"),
        "请求由 {} 签名，在区块 {} 获准，用途“{}”；其承诺与本查询一致",
    ),
    known(
        "answer: signed by the owner, recorded in block {}, and it is this one",
        ("This very answer is on the ledger", "账本记载的正是此应答"),
        "应答由数据提供方签名，记录在区块 {}，与此应答一致",
    ),
    known(
        "place: the key has exactly one place in the published tree, proven (RFC 9381)",
        ("The key has one place, and no other", "主键的位置唯一"),
        "已证明该主键在已发布的树中只有唯一位置（RFC 9381）",
    ),
    known(
        "path and zero-knowledge proof: the record published at that place gives these answers",
        ("The zero-knowledge proof holds", "零知识证明成立"),
        "路径与零知识证明：该位置上发布的记录给出上述应答",
    ),
    known(
        "path and opening: these are all values of the record published at that place",
        ("The whole record opens", "整条记录已打开"),
        "路径与打开：这些就是该位置上所发布记录的全部字段值",
    ),
    known(
        "path: nothing is published at that place, so no record has this key",
        ("There is no such record", "没有此记录"),
        "路径：该位置没有发布任何内容，因此没有记录使用该主键",
    ),
    known(
        "{} keys: {} found, {} without a record",
        ("Every key was answered", "每个主键均已应答"),
        "共 {} 个主键：{} 个有记录，{} 个无记录",
    ),
    known(
        "witnessed by {} at {}, in a later checkpoint of {} entries that extends this one",
        ("A witness you trust has seen the ledger", "您信任的见证方已见证账本"),
        "见证方 {} 于 {} 在延续本检查点的后续检查点（{} 个条目）中联署",
    ),
    known(
        "witnessed by {} at {}",
        ("A witness you trust has seen the ledger", "您信任的见证方已见证账本"),
        "见证方 {} 于 {} 联署",
    ),
    known(
        "state: proven under block {} of {}, which the members signed",
        ("It stands on the ledger now", "当前确在账本上"),
        "已在区块 {}（{}）的状态下得到证明，该区块由账本成员签名",
    ),
    known(
        "head: not older than any that this home has seen, and it extends them",
        ("The ledger only grew", "账本只增不减"),
        "不早于本机见过的任何区块，且与之前后一致",
    ),
    known(
        "inclusion: the transaction and its outcome are entry {} of the ledger, in block {}",
        ("The transaction is on the ledger", "交易确在账本上"),
        "该交易及其结果是账本的第 {} 个条目，位于区块 {}",
    ),
    known(
        "signature: {} signed the transaction for this ledger",
        ("Its sender signed it", "由发送方签名"),
        "{} 为本账本签署了该交易",
    ),
    known(
        "time: the block's header is the one that the checkpoint's block builds on",
        ("The time is its block's", "时间为所在区块的时间"),
        "区块头正是检查点所在区块所延续的区块头",
    ),
    known(
        "time: that of the checkpoint's block, which came later",
        ("The time is a later block's", "时间为后续区块的时间"),
        "时间取自检查点所在区块，不早于该交易",
    ),
];

/// What is not shown. Those with an exclamation mark matter to everybody.
const NOTES: &[(Tone, Known)] = &[
    (
        Tone::Warn,
        known(
            "DEVELOPMENT PARAMETERS: whoever made this ledger's proving keys could forge answers",
            ("Development parameters", "开发参数"),
            "开发参数：制作此账本证明密钥的人可以伪造应答，不得用于正式业务",
        ),
    ),
    (
        Tone::Warn,
        known(
            "owner-operated ledger: no witness besides its operator has signed this checkpoint",
            ("Owner-operated ledger", "由数据提供方自行运营的账本"),
            "除运维方外，没有见证方为此检查点签名",
        ),
    ),
    (
        Tone::Warn,
        known(
            "no witness besides the ledger's members has signed this checkpoint",
            ("No outside witness", "无外部见证方"),
            "除账本成员外，没有见证方为此检查点签名",
        ),
    ),
    (
        Tone::Warn,
        known(
            "owner-operated ledger: not witnessed by {}, which you trust and which has not cosigned this checkpoint or a later one seen here",
            ("A witness is missing", "缺少见证"),
            "由数据提供方自行运营的账本：您信任的见证方 {} 尚未联署此检查点或其后续检查点",
        ),
    ),
    (
        Tone::Warn,
        known(
            "not witnessed by {}, which you trust and which has not cosigned this checkpoint or a later one seen here",
            ("A witness is missing", "缺少见证"),
            "您信任的见证方 {} 尚未联署此检查点或其后续检查点",
        ),
    ),
    (
        Tone::Info,
        known(
            "the ledger's proving keys are from the ceremony with transcript {}: 'sealgate ceremony verify' shows who contributed",
            ("Parameters from a ceremony", "参数来自多方仪式"),
            "证明密钥来自记录为 {} 的多方仪式：“sealgate ceremony verify”可查看贡献者",
        ),
    ),
    (
        Tone::Info,
        known(
            "that the contract's rules were kept rests on {} until 'sealgate audit --gateway' has replayed them",
            ("Not checked: that the rules were kept", "未核查：规则是否得到遵守"),
            "合约规则是否得到遵守有赖于{}，直至用“sealgate audit --gateway”重放核查",
        ),
    ),
    (
        Tone::Info,
        known(
            "that the ledger's rules were kept rests on {} until 'sealgate audit --gateway' has replayed them",
            ("Not checked: that the rules were kept", "未核查：规则是否得到遵守"),
            "账本规则是否得到遵守有赖于{}，直至用“sealgate audit --gateway”重放核查",
        ),
    ),
    (
        Tone::Info,
        known(
            "agreement with what was published is shown, not that what was published is true",
            ("Not shown: that the data are true", "不证明：数据本身是否真实"),
            "证明的是与已发布内容一致，而不是已发布内容本身真实",
        ),
    ),
    (
        Tone::Info,
        known(
            "changes after {} are not shown: a gateway can hold back newer blocks, not alter these",
            ("As of that time", "截至该时间"),
            "{} 之后的变更未显示：网关可以扣留更新的区块，但无法篡改这些内容",
        ),
    ),
    (
        Tone::Info,
        known(
            "what became of it later is not shown: a grant may have been revoked since, an asset withdrawn",
            ("Not shown: what came later", "不证明：此后的变化"),
            "此后的变化未显示：授权可能已撤销，资产可能已撤下",
        ),
    ),
    (
        Tone::Info,
        known(
            "who the sender is beyond its keys is not shown, and not that what it says is true",
            ("Not shown: who stands behind the keys", "不证明：密钥背后的身份"),
            "除密钥外，发送方的身份以及所述内容是否真实均未证明",
        ),
    ),
    (
        Tone::Info,
        known(
            "the receipt's checkpoint was not compared with the {} entries that this home has seen: name the ledger's gateway with --gateway to rule out a second history",
            ("Not compared with what was seen", "未与所见账本比对"),
            "回执的检查点未与本机见过的 {} 个条目比对：请通过网关排除另一份历史",
        ),
    ),
    (
        Tone::Info,
        known(
            "cosigned by {}, which this home does not pin",
            ("Cosigned by somebody else", "另有他方联署"),
            "由本机未指定的见证方 {} 联署",
        ),
    ),
];

/// Words that stand where a line differs.
const WORDS: &[(&str, &str)] = &[
    ("more than two thirds of its members", "超过三分之二的成员"),
    ("its operator", "其运维方"),
    ("its members", "其成员"),
    ("the operator", "运维方"),
    ("the members", "成员"),
];

/// What a line has where its wording has `{}`; nothing if it is another line.
fn matched<'a>(wording: &str, line: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = wording.split("{}");
    let mut rest = line.strip_prefix(parts.next()?)?;
    let mut found = Vec::new();
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        // The last stretches to the end.
        let at = match (part.is_empty(), parts.peek()) {
            (true, None) => rest.len(),
            (_, None) => rest.len().checked_sub(part.len()).filter(|_| rest.ends_with(part))?,
            _ => rest.find(part)?,
        };
        found.push(rest.get(..at)?);
        rest = rest.get(at + part.len()..)?;
    }
    rest.is_empty().then_some(found)
}

fn told(lang: Lang, known: &Known, line: &str, values: &[&str]) -> Markup {
    let (en, zh) = known.title;
    let text = match lang {
        Lang::En => line.to_owned(),
        Lang::Zh => {
            let say = |value: &&str| WORDS.iter().find(|(en, _)| en == value).map_or(*value, |(_, zh)| zh).to_owned();
            let values: Vec<String> = values.iter().map(say).collect();
            let values: Vec<&dyn std::fmt::Display> = values.iter().map(|value| value as _).collect();
            lang.fill("", known.zh, &values)
        }
    };
    html! { strong { (lang.say(en, zh)) } span.detail { (text) } }
}

/// A line that holds.
pub(crate) fn check(lang: Lang, line: &str) -> Check {
    let found = CHECKS.iter().find_map(|known| Some((known, matched(known.wording, line)?)));
    let text = found.map_or_else(|| html! { (line) }, |(known, values)| told(lang, known, line, &values));
    Check { tone: Tone::Good, text }
}

/// A line about what is not shown.
pub(crate) fn note(lang: Lang, line: &str) -> Check {
    let found = NOTES.iter().find_map(|(tone, known)| Some((*tone, known, matched(known.wording, line)?)));
    match found {
        Some((tone, known, values)) => Check { tone, text: told(lang, known, line, &values) },
        None => Check { tone: Tone::Warn, text: html! { (line) } },
    }
}

fn all(lang: Lang, checks: &[String], notes: &[String]) -> Vec<Check> {
    let checks = checks.iter().map(|line| check(lang, line));
    checks.chain(notes.iter().map(|line| note(lang, line))).collect()
}

/// What the verification of an answer returned.
pub(crate) fn answer(lang: Lang, verified: &Verified) -> Vec<Check> {
    all(lang, &verified.checks, &verified.notes)
}

/// What the verification of a receipt returned.
pub(crate) fn receipt(lang: Lang, shown: &Shown) -> Vec<Check> {
    all(lang, &shown.checks, &shown.notes)
}

/// What was proven of a head.
pub(crate) fn standing(lang: Lang, as_of: &AsOf) -> Vec<Check> {
    all(lang, &as_of.checks(), &as_of.notes())
}

/// What witnesses say of a head.
pub(crate) fn witnesses(lang: Lang, said: &Witnessed, genesis: &Genesis) -> Vec<Check> {
    let mut notes = said.notes();
    if said.is_unpinned() {
        notes.push(crate::answer_file::unwitnessed(genesis).into());
    }
    all(lang, &said.checks(), &notes)
}

/// Opens the gateway's ledger, checked against the home.
///
/// # Errors
/// [`Fault::Failed`], [`Fault::Refused`], in words for the visitor.
pub(crate) async fn session(lang: Lang, place: &HomePlace) -> Result<Session<'_>, Fault> {
    Session::open(&place.home, &place.client).await.map_err(|error| fault(lang, &error))
}

/// Why something was not asked or shown, in words for the visitor.
pub(crate) fn failure(lang: Lang, error: &AskFailure) -> String {
    let lead = match error {
        AskFailure::Client(ClientError::Unreachable { .. }) | AskFailure::NotTaken(ClientError::Unreachable { .. }) => {
            lang.say("The gateway cannot be reached.", "无法连接网关。")
        }
        AskFailure::Client(ClientError::Problem(_)) | AskFailure::NotTaken(ClientError::Problem(_)) => {
            lang.say("The gateway refused.", "网关拒绝了请求。")
        }
        AskFailure::Refused(_)
        | AskFailure::Answer(_)
        | AskFailure::Envelope(_)
        | AskFailure::Client(_)
        | AskFailure::NotTaken(_) => lang.say(
            "What the gateway gave does not check. Nothing of it is shown or kept.",
            "网关给出的内容未通过本机验证，因此不予显示，也未保存。",
        ),
        AskFailure::Home(
            HomeError::Contradiction { .. } | HomeError::TwoRoots { .. } | HomeError::TwoSuccessions { .. },
        ) => lang.say(
            "The ledger contradicts what this home has seen. Keep this message and tell your auditor.",
            "账本与本机此前所见相矛盾。请保留此信息并告知审计方。",
        ),
        AskFailure::Home(HomeError::NotTrusted { .. }) => {
            lang.say("This is not the ledger you trust.", "这不是您信任的账本。")
        }
        AskFailure::Home(HomeError::NotWitnessed { .. }) => {
            lang.say("Too few witnesses have signed.", "见证方签名不足。")
        }
        AskFailure::Question(_) | AskFailure::Key(_) | AskFailure::Table(_) => {
            lang.say("The question cannot be asked like this.", "无法这样提出查询。")
        }
        _ => "",
    };
    let text = match error {
        AskFailure::Question(error) => errors::question(lang, error),
        other => other.to_string(),
    };
    if lead.is_empty() { text } else { format!("{lead} {text}") }
}

/// The same as a page's fault.
pub(crate) fn fault(lang: Lang, error: &AskFailure) -> Fault {
    let text = failure(lang, error);
    match error {
        AskFailure::Question(_) | AskFailure::Key(_) | AskFailure::Table(_) => Fault::Refused(text),
        _ => Fault::Failed(text),
    }
}

/// Why an answer was not kept, in words for the visitor.
pub(crate) fn keeping(lang: Lang, error: &KeepError) -> String {
    match error {
        KeepError::Ask(error) => failure(lang, error),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_recognised_with_what_differs() {
        let line = "request: signed by sg1x, granted in block 7 for purpose 'in block 3'; it commits to this question";
        let found = CHECKS.iter().find_map(|known| matched(known.wording, line)).unwrap();
        assert_eq!(found, ["sg1x", "7", "in block 3"]);
        assert_eq!(matched("{} keys: {} found", "3 keys: 2 found"), Some(vec!["3", "2"]));
        assert_eq!(matched("{} keys: {} found", "3 keys: 2 found or so"), None);
        assert_eq!(matched("signed by {}", "signed by a and b"), Some(vec!["a and b"]));
        assert_eq!(matched("a", "b"), None);
    }

    #[test]
    fn each_line_has_as_many_blanks_in_both_languages() {
        let all = CHECKS.iter().chain(NOTES.iter().map(|(_, known)| known));
        for known in all {
            let blanks = |text: &str| text.matches("{}").count();
            assert_eq!(blanks(known.wording), blanks(known.zh), "{}", known.wording);
        }
    }

    #[test]
    fn what_is_not_recognised_is_shown_as_it_is() {
        let shown = check(Lang::Zh, "something <new>").text.into_string();
        assert_eq!(shown, "something &lt;new&gt;");
        let shown = note(
            Lang::Zh,
            "that the contract's rules were kept rests on the operator until 'sealgate audit --gateway' has replayed them",
        );
        assert!(shown.text.into_string().contains("有赖于运维方"));
    }
}
