//! How the nodes are: the own one from within, the others as their gateways say.

use maud::{Markup, html};
use sealgate_ledger::account::VerifyKey;
use sealgate_ledger::member::Member;

use super::Office;
use crate::client::health::{Health, PATIENCE};
use crate::console::page::{Tone, badge, card, count, facts, table, time};
use crate::console::{Answer, in_turn};
use crate::nodes::{Disk, ask_all};
use crate::owner::clock_ms;

/// Blocks behind which a node is said to lag.
const LAG_BLOCKS: u64 = 5;
/// Clocks that differ by more are told: validators refuse blocks too far from their clock.
const CLOCK_MS: u64 = 5_000;

pub(super) async fn show(office: &Office<'_>) -> Answer {
    let visit = office.visit;
    let folder = office.gateway.owner().ledger_folder();
    let disk = in_turn(office.gateway, move || Ok(Disk::of(&folder))).await?;
    let own = own(office, disk.map_err(|error| error.to_string()));
    let others: Vec<&Member> =
        office.governance.members.members.iter().filter(|member| member.address() != office.own()).collect();
    let asked = ask_all(&others).await;
    let body = html! {
        (card(visit.say("This node", "本节点"), own))
        @if office.is_network() {
            (card(visit.say("The other members' nodes", "其他成员的节点"), theirs(office, &asked)))
            p.small.soft { (visit.lang.fill(
                "Each gateway was asked for its health just now, and had {} seconds to answer. That is what they say: what counts is the ledger.",
                "刚刚向各网关查询了健康状况，应答时限 {} 秒。结果为对方自述，应以账本为准。",
                &[&PATIENCE.as_secs()],
            )) }
        } @else {
            (office.embedded("There are no other nodes.", "没有其他节点。"))
        }
    };
    Ok(office.page(visit.say("Nodes", "节点"), body).into())
}

fn own(office: &Office<'_>, disk: Result<Disk, String>) -> Markup {
    let visit = office.visit;
    let (gateway, node) = (office.gateway, office.gateway.node());
    let head = gateway.ledger().head();
    let age_s = clock_ms().saturating_sub(head.time_ms) / 1000;
    let stopped = node.stopped();
    let peers = node.peers();
    let connected = peers.iter().filter(|(_, is)| *is).count();
    let engine = if office.is_network() {
        visit.say("Simplex: Byzantine agreement of the members", "Simplex：成员间的拜占庭共识")
    } else {
        visit.say("solo: this process orders and signs alone", "solo：由本进程独自排序并签名")
    };
    let mut list = vec![
        (
            visit.say("State", "状态"),
            match &stopped {
                Some(why) => html! { (badge(Tone::Bad, visit.say("stopped", "已停止"))) " " (why) },
                None => badge(Tone::Good, visit.say("running", "运行中")),
            },
        ),
        (visit.say("Engine", "引擎"), html! { (engine) }),
        (visit.say("Height", "高度"), html! { (count(head.height.0)) }),
        (
            visit.say("Last block", "最新区块"),
            html! { (time(head.time_ms)) " · " (visit.lang.fill("{} s ago", "{} 秒前", &[&count(age_s)])) },
        ),
    ];
    if let Some(executed) = node.executed() {
        list.push((
            visit.say("Executed", "已执行"),
            html! { (visit.lang.fill("up to block {}", "至区块 {}", &[&count(executed.0)])) },
        ));
    }
    if office.is_network() {
        let tone = if connected == peers.len() { Tone::Good } else { Tone::Warn };
        list.push((visit.say("Connected nodes", "已连接节点"), badge(tone, &format!("{connected} / {}", peers.len()))));
    }
    match disk {
        Ok(disk) => {
            let percent = disk.free_bytes.saturating_mul(100) / disk.total_bytes.max(1);
            let tone = if percent < 10 { Tone::Warn } else { Tone::Good };
            list.push((visit.say("Block log", "区块日志"), html! { (bytes(disk.log_bytes)) }));
            list.push((visit.say("Free on its disk", "磁盘可用空间"), html! { (bytes(disk.free_bytes)) " / " (bytes(disk.total_bytes)) " " (badge(tone, &format!("{percent} %"))) }));
        }
        Err(why) => list.push((
            visit.say("Disk", "磁盘"),
            html! { (badge(Tone::Bad, visit.say("cannot be read", "无法读取"))) " " (why) },
        )),
    }
    list.push((visit.say("Version", "版本"), html! { "Sealgate " (env!("CARGO_PKG_VERSION")) }));
    list.push((visit.say("Folder", "目录"), html! { code { (gateway.owner().folder().display()) } }));
    facts(&list)
}

/// A number of bytes in the unit that fits.
fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let at = units.len().saturating_sub(1).min(usize::try_from(bytes.max(1).ilog2() / 10).unwrap_or(0));
    let unit = units.get(at).unwrap_or(&"B");
    let whole = bytes >> (10 * at);
    let tenth = ((bytes.saturating_mul(10)) >> (10 * at)) % 10;
    if at == 0 { format!("{bytes} B") } else { format!("{whole}.{tenth} {unit}") }
}

fn theirs(office: &Office<'_>, asked: &[(&Member, Result<Health, String>)]) -> Markup {
    let visit = office.visit;
    let own = office.gateway.ledger().head().height.0;
    let peers = office.gateway.node().peers();
    let headings = [
        visit.say("Member", "成员"),
        visit.say("Gateway", "网关"),
        visit.say("Health", "健康状况"),
        visit.say("Height", "高度"),
        visit.say("Clock", "时钟"),
        visit.say("Node connected", "节点连接"),
        visit.say("Version", "版本"),
    ];
    let row = |(member, health): &(&Member, Result<Health, String>)| {
        let start = vec![html! { (member.account.name) }, html! { code { (member.gateway) } }];
        let connected = connection(office, &peers, &member.node_key);
        let rest = match health {
            Ok(health) => vec![
                html! { (badge(Tone::Good, visit.say("answers", "有应答"))) " " span.soft { (health.took.as_millis()) " ms" } },
                height(office, health.height, own),
                clock(office, health.clock_ahead_ms),
                connected,
                html! { (health.version) },
            ],
            Err(why) => vec![
                html! { (badge(Tone::Bad, visit.say("no answer", "无应答"))) details { summary { (visit.say("why", "原因")) } p.small { (why) } } },
                html! { "—" },
                html! { "—" },
                connected,
                html! { "—" },
            ],
        };
        start.into_iter().chain(rest).collect()
    };
    let rows: Vec<Vec<Markup>> = asked.iter().map(row).collect();
    table(&headings, &rows, visit.say("There are none.", "没有其他节点。"))
}

fn connection(office: &Office<'_>, peers: &[(VerifyKey, bool)], key: &VerifyKey) -> Markup {
    let visit = office.visit;
    match peers.iter().find(|(known, _)| known == key) {
        Some((_, true)) => badge(Tone::Good, visit.say("yes", "是")),
        Some((_, false)) => badge(Tone::Warn, visit.say("no", "否")),
        None => html! { "—" },
    }
}

fn height(office: &Office<'_>, height: u64, own: u64) -> Markup {
    let behind = own.saturating_sub(height);
    html! { (count(height)) @if behind > LAG_BLOCKS { " " (badge(Tone::Warn, &office.visit.lang.fill("{} behind", "落后 {}", &[&count(behind)]))) } }
}

fn clock(office: &Office<'_>, ahead_ms: Option<i64>) -> Markup {
    let visit = office.visit;
    let Some(ahead) = ahead_ms else { return html! { "—" } };
    if ahead.unsigned_abs() <= CLOCK_MS {
        return badge(Tone::Good, visit.say("agrees", "一致"));
    }
    let seconds = ahead.unsigned_abs() / 1000;
    let text = if ahead > 0 {
        visit.lang.fill("{} s ahead", "快 {} 秒", &[&seconds])
    } else {
        visit.lang.fill("{} s behind", "慢 {} 秒", &[&seconds])
    };
    badge(Tone::Warn, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_unit_that_fits() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
            (3 << 50, "3072.0 TiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }
}
