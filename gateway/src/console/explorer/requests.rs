//! What became of a request.

use maud::{Markup, html};
use sealgate_ledger::state::RequestStatus;
use sealgate_ledger::tx::DeclineReason;

use super::super::page::{Tone, badge};
use super::super::telling;
use super::super::words::Lang;
use super::{block_link, transaction_link};

/// How a request stands, in a line.
pub(super) fn status(lang: Lang, status: &RequestStatus) -> Markup {
    let block = lang.say("block ", "区块 ");
    match status {
        RequestStatus::Denied { reason } => html! { p {
            (badge(Tone::Bad, lang.say("denied", "已拒绝"))) " " (telling::denied_to_somebody(lang, reason, None, None))
        } },
        RequestStatus::Granted { deadline, .. } => html! { p {
            (badge(Tone::Info, lang.say("awaiting its answer", "等待应答"))) " "
            (lang.fill("until block {}", "截止区块 {}", &[deadline]))
        } },
        RequestStatus::Answered { answer, height, .. } => html! { p {
            (badge(Tone::Good, lang.say("answered", "已应答"))) " " (transaction_link(answer)) " · " (block) (block_link(*height))
        } },
        RequestStatus::Delivered { delivery, height, .. } => html! { p {
            (badge(Tone::Good, lang.say("delivered", "已交付"))) " " (transaction_link(delivery)) " · " (block) (block_link(*height))
        } },
        RequestStatus::Declined { reason, height, .. } => html! { p {
            (badge(Tone::Warn, lang.say("declined", "未获应答（数据提供方拒绝）"))) " "
            (match reason {
                DeclineReason::Budget => lang.say("the information budget is used up", "信息预算已用尽"),
                DeclineReason::TooLarge => lang.say("the answer is too large", "应答过大"),
            })
            " · " (block) (block_link(*height))
        } },
        RequestStatus::Unanswered { height } => html! { p {
            (badge(Tone::Warn, lang.say("unanswered", "未应答"))) " " (block) (block_link(*height))
        } },
    }
}
