//! Errors in the visitor's language. English is what the errors say themselves. In Chinese those of the
//! question parser and of the ledger's contract are said anew; of the others what kind of fault it is, by the
//! codes that scripts rely on too (docs/command-line.md#codes), with the error's own words behind it.

use std::error::Error;

use sealgate_circuits::question::{KEYS_MAX, QuestionError};
use sealgate_ledger::SubmitError;
use sealgate_ledger::state::Rejection;

use super::words::Lang;
use crate::cli::Failure;

/// Why something was not done, for the visitor.
pub(super) fn told(lang: Lang, error: impl Error + 'static) -> String {
    if lang == Lang::Zh {
        let mut next: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(cause) = next {
            if let Some(said) = cause.downcast_ref().and_then(submit_zh) {
                return said;
            }
            next = cause.source();
        }
    }
    let failure = Failure::from(error);
    match (lang, kind_zh(failure.code())) {
        (Lang::Zh, Some(kind)) => format!("{kind}（{}）", failure.text()),
        _ => failure.into_text(),
    }
}

/// Why a question or a predicate cannot be read.
pub(super) fn question(lang: Lang, error: &QuestionError) -> String {
    use QuestionError as Q;
    let zh = |zh: &str, values: &[&dyn std::fmt::Display]| lang.fill("", zh, values);
    if lang == Lang::En {
        return error.to_string();
    }
    match error {
        Q::TooLong(bytes) => zh("查询过长（{} 字节）：{}", &[bytes, error]),
        Q::Syntax(what) => zh("查询不是 SQL：{}", &[what]),
        Q::Unsupported { found, reason } => zh("“{}”无法证明：{}", &[found, reason]),
        Q::NoSuchColumn(name) => zh("数据表没有字段“{}”", &[name]),
        Q::NoSuchPosition(position) => zh("数据表没有位置为 {} 的字段", &[position]),
        Q::TooManyTerms(terms) => {
            zh("查询包含 {} 项，超出单次证明的上限：请拆分为多个查询，或用 SELECT * 查询整条记录", &[terms])
        }
        Q::TooLarge { comparisons, levels } => {
            zh("谓词过大，无法一次证明：{} 个比较，AND 与 OR 嵌套 {} 层", &[comparisons, levels])
        }
        Q::Joints => zh("谓词中的比较未按规范形式连接", &[]),
        Q::Keys(keys) => zh("查询指明了 {} 个主键；每次可查询 1 至 {} 个", &[keys, &KEYS_MAX]),
        Q::RepeatedKey { key } => zh("主键 {} 重复", &[key]),
        Q::NotOrdered { column, kind } => {
            zh("字段“{}”的类型 {} 没有次序：只能证明 =、<>、IN 与 IS NULL", &[column, kind])
        }
        Q::Constant { column, error } => zh("字段“{}”的常量不符：{}", &[column, error]),
        Q::ConstantType { column, kind } => zh("与字段“{}”比较的常量不是 {} 类型", &[column, kind]),
        Q::NullConstant { column } => zh("字段“{}”与 NULL 比较的结果总是 NULL：请与具体值比较", &[column]),
        Q::Operands { column } => zh("字段“{}”上的谓词常量个数不对、混用固定与自由常量，或集合未按升序排列", &[column]),
        Q::FreeConstants => zh("查询的常量与其形式不符：请给出每个常量，? 仅用于主键", &[]),
        Q::Key { columns } => zh("须以完整主键指明记录：WHERE {}", &[columns]),
    }
}

/// Why the ledger did not take a transaction.
pub(super) fn submit(lang: Lang, error: &SubmitError) -> String {
    let zh = (lang == Lang::Zh).then(|| submit_zh(error)).flatten();
    zh.unwrap_or_else(|| error.to_string())
}

fn submit_zh(error: &SubmitError) -> Option<String> {
    Some(match error {
        SubmitError::Rejected(why) => rejection_zh(why),
        SubmitError::Busy | SubmitError::TooFast(_) => "账本繁忙：请稍后重试".into(),
        SubmitError::Undecided => "成员尚未对该交易排序：请再次提交以获知结果".into(),
        SubmitError::Undone(_) | SubmitError::Stopped(_) => return None,
    })
}

fn rejection_zh(why: &Rejection) -> String {
    use Rejection as R;
    let zh = |zh: &str, values: &[&dyn std::fmt::Display]| Lang::Zh.fill("", zh, values);
    match why {
        R::Expired { .. } | R::ExpiryTooFar { .. } => "该交易已过期或期限过长：请重新生成".into(),
        R::Replayed(hash) => zh("交易 {} 已在账本上", &[hash]),
        R::UnknownSender(account) => zh("{} 在本账本上没有账户", &[account]),
        R::AlreadyEnrolled(account) => zh("{} 在本账本上已有账户", &[account]),
        R::EnrolmentClosed => "本账本的账户仅由成员注册：请将您的公钥交给任一成员".into(),
        R::NotOwnAccount { account, .. } => zh("账户 {} 只能由其本人或成员开立、关闭", &[account]),
        R::AccountClosed { account, height, .. } => zh("账户 {} 已于区块 {} 关闭", &[account, height]),
        R::TooManyOwners { asset, handed } => zh("{} 已移交 {} 次，达到上限：请撤回后作为新资产发布", &[asset, handed]),
        R::NoConsent { to, asset, .. } => {
            zh("{} 未同意接收 {}：请向接收方另取同意书（sealgate asset accept）", &[to, asset])
        }
        R::ConsentExpired { expiry, .. } => zh("接收方的同意书已于区块 {} 过期：请另取", &[expiry]),
        R::NameTaken { name, to } => zh("{} 已有名为“{}”的资产或文本，不能再接收同名者", &[to, name]),
        R::MemberAccount(account) => zh("{} 是成员账户：须由成员提案更换或关闭", &[account]),
        R::NotMember(account) => zh("{} 不是本账本的成员：仅成员可提案与附议", &[account]),
        R::Embedded => "本账本始终只有运维方一个成员".into(),
        R::MembersChanged(height) => zh("区块 {} 已变更成员，每个区块仅可变更一次：请在下一区块重试", &[height]),
        R::NoOpenProposal(hash) => zh("没有待决提案 {}：已执行、已逾期或从未提出", &[hash]),
        R::Endorsed { member, proposal } => zh("{} 已附议提案 {}", &[member, proposal]),
        R::TooManyDenials { account, limit } => {
            zh("{} 今日已有 {} 个请求被拒绝：此后将被拒绝的请求不再记录", &[account, limit])
        }
        R::Withdrawn { asset, height } => zh("{} 已于区块 {} 撤回", &[asset, height]),
        R::UnknownAsset(asset) => zh("本账本上没有资产 {}", &[asset]),
        R::AssetExists { name, asset } => zh("您已有名为“{}”的资产（{}）：请发布其新版本，或另选名称", &[name, asset]),
        R::NotOwner { asset, owner, .. } => zh("{} 属于 {}：他人不得更改或应答", &[asset, owner]),
        R::VersionNumber { asset, expected, found } => zh("{} 的下一版本应为 {}，而不是 {}", &[asset, expected, found]),
        R::NoSuchGrant { to, asset } => zh("{} 不在 {} 的授权列表上", &[to, asset]),
        other => zh("账本规则拒绝该交易：{}", &[other]),
    }
}

/// What kind of fault a code stands for.
fn kind_zh(code: Option<&str>) -> Option<&'static str> {
    Some(match code? {
        "unreachable" | "unreadable" => "无法连接网关，或其回复无法读取",
        "busy" => "等待处理的任务过多：请稍后重试",
        "not-found" => "没有此名称或标识所指的对象",
        "no-folder" | "no-file" => "指定的文件或目录不存在",
        "no-key" => "缺少密钥文件：请从备份恢复",
        "permission" => "操作系统拒绝访问",
        "disk-full" => "磁盘或存储空间不足：请腾出空间后重试",
        "in-use" => "另有命令或网关正在使用该目录：请待其完成后重试",
        "configuration" => "sealgate.toml 的内容有误",
        "manifest" => "清单的内容有误",
        "source" => "数据源无法读取",
        "content" => "文件内容不符合要求",
        "damaged" => "已存储的数据损坏或缺失：请从备份恢复，或选择重新密封后发布",
        "store" => "密封对象的存储服务无应答或拒绝操作",
        "secret-needed" | "wrong-secret" | "weak-secret" => "未提供口令或根密钥，或其不正确",
        "question" => "查询无法读取，或与数据表不符",
        "refused" => "规则不允许此操作",
        "not-trusted" => "本机未信任此账本",
        "not-verified" => "内容未通过验证",
        "contradiction" => "账本自相矛盾：请保留本机目录作为证据",
        "not-witnessed" => "见证方签名不足",
        "not-for-us" => "内容密封给了他人",
        "stopped" => "账本已因故障停止：请重新启动",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sealgate_ledger::ids::{Address, AssetId};
    use sealgate_ods::store::StoreError;

    use super::*;
    use crate::owner::OwnerError;
    use crate::publishing::PublishError;

    #[test]
    fn each_language_is_spoken_and_details_are_kept() {
        let (asset, owner) = (AssetId([1; 32]), Address([2; 32]));
        let refused = || SubmitError::from(Rejection::NotOwner { asset, owner, sender: Address([3; 32]) });
        let wrapped = || PublishError::Owner(OwnerError::Submit(refused()));
        assert!(told(Lang::En, wrapped()).contains("may not change or answer for it"));
        for said in [told(Lang::Zh, wrapped()), submit(Lang::Zh, &refused())] {
            assert!(said.contains("属于") && said.contains(&owner.to_string()), "{said}");
        }
        let gone = || PublishError::Owner(OwnerError::Store(StoreError::Missing { object: "a/b".into() }));
        assert!(told(Lang::En, gone()).starts_with("stored object a/b is missing"));
        let said = told(Lang::Zh, gone());
        assert!(said.starts_with("已存储的数据损坏或缺失") && said.contains("stored object a/b is missing"), "{said}");
        let column = QuestionError::NoSuchColumn("fees".into());
        assert_eq!(question(Lang::Zh, &column), "数据表没有字段“fees”");
        assert_eq!(question(Lang::En, &column), column.to_string());
    }
}
