use sealgate_ledger::block::DenyReason;
use sealgate_ledger::ids::{BlockHeight, TxHash};

use super::*;
use crate::budget::Subject;
use crate::trail::time_text;

/// 2026-03-04, a Wednesday, at noon.
const NOON: u64 = 1_772_625_600_000;

fn line(entry: u64, who: u8, minute: u64, outcome: RequestStatus) -> Line {
    let time_ms = NOON + minute * MINUTE_MS;
    Line {
        request: TxHash([u8::try_from(entry % 256).unwrap(); 32]),
        entry,
        block: BlockHeight(entry),
        time: time_text(time_ms),
        time_ms,
        requester: Address([who; 32]),
        name: format!("account {who}"),
        asset: AssetId([1; 32]),
        asset_name: "shop".into(),
        owner: Address([99; 32]),
        kind: Kind::Question,
        shape: "SELECT name".into(),
        keys: 1,
        purpose: "tax".into(),
        outcome: Became::of(&outcome),
        status: outcome,
        ended: None,
        checked: None,
    }
}

fn granted() -> RequestStatus {
    RequestStatus::Granted { version: 1, deadline: BlockHeight(9) }
}

fn denied() -> RequestStatus {
    RequestStatus::Denied { reason: DenyReason::Field { column: 1 } }
}

fn rules(lines: &[Line]) -> Vec<(Rule, u64, Vec<u64>)> {
    let found = find(lines, &[], &BTreeMap::new(), Hours::default());
    found.into_iter().map(|found| (found.rule, found.measure, found.entries)).collect()
}

#[test]
fn an_ordinary_day_has_nothing() {
    let lines: Vec<Line> = (0..20).map(|at| line(at, 1, at * 10, granted())).collect();
    assert_eq!(rules(&lines), []);
    assert_eq!(rules(&[]), []);
}

#[test]
fn many_keys_within_a_day() {
    let keys = |entry, minute, keys| Line { keys, ..line(entry, 1, minute, granted()) };
    let lines = [keys(1, 0, 60), keys(2, 30, 39)];
    assert_eq!(rules(&lines), []);
    let lines = [keys(1, 0, 60), keys(2, 30, 40)];
    assert_eq!(rules(&lines), [(Rule::ManyKeys, 100, vec![1, 2])]);
    // A day and a minute apart, and of two accounts: nothing.
    let apart = [keys(1, 0, 60), keys(2, 24 * 60 + 1, 40)];
    assert_eq!(rules(&apart), []);
    let others = [keys(1, 0, 60), Line { keys: 40, ..line(2, 2, 1, granted()) }];
    assert_eq!(rules(&others), []);
    // Whole columns and samples ask about no keys, or not about keys of one's choosing.
    let samples = [Line { kind: Kind::Sample, keys: 500, ..line(1, 1, 0, granted()) }];
    assert_eq!(rules(&samples), []);
}

#[test]
fn stretches_that_overlap_are_one_and_others_two() {
    let day = 24 * 60;
    let keys = |entry, minute| Line { keys: 50, ..line(entry, 1, minute, granted()) };
    // Wednesday, Thursday; a week later again.
    let lines = [keys(1, 0), keys(2, day / 2), keys(3, day), keys(4, 7 * day), keys(5, 7 * day + 1)];
    assert_eq!(rules(&lines), [(Rule::ManyKeys, 100, vec![4, 5]), (Rule::ManyKeys, 150, vec![1, 2, 3])]);
}

#[test]
fn many_different_questions() {
    let shape = |entry, of: u64| Line { shape: format!("fee > {of}"), ..line(entry, 1, entry, granted()) };
    let same: Vec<Line> = (0..30).map(|at| shape(at, at % 7)).collect();
    assert_eq!(rules(&same), []);
    let different: Vec<Line> = (0..8).map(|at| shape(at, at)).collect();
    assert_eq!(rules(&different), [(Rule::ManyShapes, 8, (0..8).collect())]);
}

#[test]
fn denials_that_feel_their_way_and_bursts() {
    let tried = |entry, of: u64| Line { shape: format!("column {of}"), ..line(entry, 1, entry, denied()) };
    assert_eq!(rules(&[tried(1, 1), tried(2, 2), tried(3, 2)]), [], "two different ones");
    assert_eq!(rules(&[tried(1, 1), tried(2, 2), tried(3, 3)]), [(Rule::TriedDenials, 3, vec![1, 2, 3])]);
    // A quota that is used up is no feeling one's way, however often.
    let quota = |entry| line(entry, 1, 0, RequestStatus::Denied { reason: DenyReason::QuotaUsed });
    let nine: Vec<Line> = (0..9).map(quota).collect();
    assert_eq!(rules(&nine), []);
    let ten: Vec<Line> = (0..10).map(quota).collect();
    assert_eq!(rules(&ten), [(Rule::DenialBurst, 10, (0..10).collect())]);
    let slow: Vec<Line> = (0..10).map(|at| Line { time_ms: NOON + at * 2 * MINUTE_MS, ..quota(at) }).collect();
    assert_eq!(rules(&slow), []);
}

#[test]
fn odd_hours_follow_the_clock_that_is_set() {
    let hours = Hours { from: 9, until: 17, offset_minutes: 8 * 60 };
    // 12:00 UTC is 20:00 there.
    assert!(hours.is_odd(NOON) && !Hours { offset_minutes: 0, ..hours }.is_odd(NOON));
    assert!(!hours.is_odd(NOON - 11 * HOUR_MS), "09:00");
    assert!(hours.is_odd(NOON - 11 * HOUR_MS - 1) && hours.is_odd(NOON - 3 * HOUR_MS), "08:59, and 17:00");
    assert!(hours.is_odd(NOON - 8 * HOUR_MS + 3 * DAY_MS), "a Saturday at noon");
    assert!(!hours.is_odd(NOON - 8 * HOUR_MS + 5 * DAY_MS), "a Monday at noon");
    let night: Vec<Line> = (0..3).map(|at| line(at, 1, 10 * 60 + at, granted())).collect();
    assert_eq!(rules(&night), [(Rule::OddHours, 3, vec![0, 1, 2])]);
    assert_eq!(rules(&night[..2]), []);
}

#[test]
fn unanswered_requests_are_their_owners() {
    let left = RequestStatus::Unanswered { height: BlockHeight(7) };
    let lines = [line(1, 1, 0, left), line(2, 2, 9, left)];
    let found = find(&lines, &[], &BTreeMap::new(), Hours::default());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].rule, found[0].measure, &found[0].entries), (Rule::Unanswered, 2, &vec![1, 2]));
    assert!(found[0].requesters.is_empty());
}

#[test]
fn budgets_that_are_nearly_used() {
    let spent = |millibits| Spent {
        asset: "shop".into(),
        asset_id: AssetId([1; 32]),
        subject: Subject([5; 16]),
        column: "fee".into(),
        millibits,
        budget_millibits: 10_000,
        requesters: vec![(Address([1; 32]), millibits)],
    };
    let found = |millibits| find(&[], &[spent(millibits)], &BTreeMap::new(), Hours::default());
    assert!(found(7_999).is_empty());
    assert_eq!((found(8_000)[0].measure, found(8_000)[0].requesters.len()), (80, 1));
    assert!(find(&[], &[Spent { budget_millibits: 0, ..spent(0) }], &BTreeMap::new(), Hours::default()).is_empty());
}

#[test]
fn one_holder_with_several_addresses() {
    let lines = [line(1, 1, 0, granted()), line(2, 2, 60, granted()), line(3, 3, 90, granted())];
    let holder = |who: u8, name: &str| (Address([who; 32]), name.to_owned());
    let holders: BTreeMap<_, _> = [holder(1, "Bank"), holder(2, "Bank"), holder(3, "Other")].into();
    let found = find(&lines, &[], &holders, Hours::default());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].rule, found[0].measure, found[0].detail.as_str()), (Rule::SeveralAddresses, 2, "Bank"));
    assert_eq!(found[0].entries, [1, 2]);
    assert!(find(&lines, &[], &BTreeMap::new(), Hours::default()).is_empty(), "nobody is known");
}

#[test]
fn the_order_of_lines_and_whatever_else_stays_does_not_matter() {
    let mut lines: Vec<Line> = (0..30).map(|at| Line { keys: 10, ..line(at, 1, at, denied()) }).collect();
    let forward = find(&lines, &[], &BTreeMap::new(), Hours::default());
    lines.reverse();
    assert_eq!(find(&lines, &[], &BTreeMap::new(), Hours::default()), forward);
    assert!(!forward.is_empty());
}
