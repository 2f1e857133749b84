//! What stands out in a trail: fixed rules with fixed thresholds, the same for whoever looks
//! (docs/spec/console.md#anomalies). A finding is a reason to ask, and no proof of anything.

use std::collections::{BTreeMap, HashMap};

use sealgate_ledger::ids::{Address, AssetId};
use sealgate_ledger::state::RequestStatus;
use serde::Serialize;

use super::{Became, Kind, Line, deny_word};
use crate::budget::Spent;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// One account asks one asset about many keys within a day.
    ManyKeys,
    /// One account asks one asset many different questions within a day.
    ManyShapes,
    /// One account is denied several different questions or purposes at one asset within an hour.
    TriedDenials,
    /// Many denials of one account within minutes.
    DenialBurst,
    /// A record's field has told most of what its budget allows.
    BudgetNearlyUsed,
    /// Several requests of one account outside of working hours within a day.
    OddHours,
    /// Requests that were granted and not answered in time.
    Unanswered,
    /// One holder asks one asset from several addresses within a week.
    SeveralAddresses,
}

impl Rule {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Rule; 8] = [
        Rule::ManyKeys,
        Rule::ManyShapes,
        Rule::TriedDenials,
        Rule::DenialBurst,
        Rule::BudgetNearlyUsed,
        Rule::OddHours,
        Rule::Unanswered,
        Rule::SeveralAddresses,
    ];

    /// From which measure on there is a finding: keys, questions, denials, percent, requests,
    /// addresses.
    pub fn threshold(self) -> u64 {
        match self {
            Rule::ManyKeys => 100,
            Rule::ManyShapes => 8,
            Rule::TriedDenials | Rule::OddHours => 3,
            Rule::DenialBurst => 10,
            Rule::BudgetNearlyUsed => 80,
            Rule::Unanswered => 1,
            Rule::SeveralAddresses => 2,
        }
    }

    /// Within which time, where the rule looks at one.
    pub fn window_ms(self) -> Option<u64> {
        match self {
            Rule::ManyKeys | Rule::ManyShapes | Rule::OddHours => Some(DAY_MS),
            Rule::TriedDenials => Some(HOUR_MS),
            Rule::DenialBurst => Some(10 * MINUTE_MS),
            Rule::SeveralAddresses => Some(7 * DAY_MS),
            Rule::BudgetNearlyUsed | Rule::Unanswered => None,
        }
    }
}

/// When people work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hours {
    /// First hour of the day, 0 to 23.
    pub from: u8,
    /// The hour at which it ends, 1 to 24.
    pub until: u8,
    /// Minutes by which the clock is ahead of UTC.
    pub offset_minutes: i32,
}

impl Default for Hours {
    fn default() -> Self {
        Hours { from: 7, until: 20, offset_minutes: 0 }
    }
}

impl Hours {
    /// Whether a time lies outside of them: before, after, or on a Saturday or Sunday.
    pub fn is_odd(&self, time_ms: u64) -> bool {
        let offset = i64::from(self.offset_minutes) * 60_000;
        let local = u64::try_from(i64::try_from(time_ms).unwrap_or(i64::MAX).saturating_add(offset)).unwrap_or(0);
        let hour = (local / HOUR_MS) % 24;
        // 1970-01-01 was a Thursday.
        let is_weekend = matches!((local / DAY_MS) % 7, 2 | 3);
        is_weekend || hour < u64::from(self.from) || hour >= u64::from(self.until)
    }
}

/// Something that stands out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// By which rule.
    pub rule: Rule,
    /// Whose requests; none where it is the owner who did not act.
    pub requesters: Vec<Address>,
    /// At which asset; none where it is about all.
    pub asset: Option<AssetId>,
    /// What the asset is called.
    pub asset_name: String,
    /// Time of the first request behind it.
    pub from_ms: u64,
    /// Time of the last.
    pub until_ms: u64,
    /// What was counted, at least the rule's threshold.
    pub measure: u64,
    /// Entries of the requests behind it, in order.
    pub entries: Vec<u64>,
    /// What else there is to say: the field, the record.
    pub detail: String,
}

/// Everything that stands out, in the order of rules, the newest first. `holders` says who is known to
/// stand behind an account; one that it does not name stands for itself.
pub fn find(lines: &[Line], spent: &[Spent], holders: &BTreeMap<Address, String>, hours: Hours) -> Vec<Finding> {
    let asked: Vec<&Line> = lines.iter().filter(|line| line.kind != Kind::Sample).collect();
    let mut findings = Vec::new();
    let by_asset = |line: &Line| (line.requester, Some(line.asset));
    let denied = |line: &Line| line.outcome == Became::Denied;

    let keys = |line: &Line| Event { weight: u64::from(line.keys), label: String::new() };
    spells(Rule::ManyKeys, &asked, by_asset, |line| (line.kind == Kind::Question).then(|| keys(line)), &mut findings);
    spells(Rule::ManyShapes, &asked, by_asset, |line| Some(Event::named(line.shape.clone())), &mut findings);
    let tried = |line: &Line| {
        let RequestStatus::Denied { reason } = &line.status else { return None };
        matches!(deny_word(reason), "field" | "predicate" | "existence" | "purpose" | "whole" | "no_grant")
            .then(|| Event::named(format!("{}\u{0}{}", line.shape, line.purpose)))
    };
    spells(Rule::TriedDenials, &asked, by_asset, tried, &mut findings);
    let each = |line: &Line| Event { weight: 1, label: line.entry.to_string() };
    let by_account = |line: &Line| (line.requester, None::<AssetId>);
    spells(Rule::DenialBurst, &asked, by_account, |line| denied(line).then(|| each(line)), &mut findings);
    findings.extend(spent.iter().filter_map(nearly_used));
    let odd = |line: &Line| hours.is_odd(line.time_ms).then(|| each(line));
    spells(Rule::OddHours, &asked, by_account, odd, &mut findings);
    findings.extend(unanswered(&asked));
    several_addresses(&asked, holders, &mut findings);

    findings.sort_by(|a, b| {
        (a.rule, std::cmp::Reverse(a.until_ms), &a.entries).cmp(&(b.rule, std::cmp::Reverse(b.until_ms), &b.entries))
    });
    findings
}

/// What a line adds to a rule's measure: a weight, or a label of which each counts once.
struct Event {
    weight: u64,
    label: String,
}

impl Event {
    fn named(label: String) -> Event {
        Event { weight: 0, label }
    }
}

/// A window that slides over the events of one group.
#[derive(Default)]
struct Window {
    sum: u64,
    labels: HashMap<String, u64>,
}

impl Window {
    fn add(&mut self, event: &Event) {
        self.sum += event.weight;
        *self.labels.entry(event.label.clone()).or_default() += 1;
    }

    fn remove(&mut self, event: &Event) {
        self.sum = self.sum.saturating_sub(event.weight);
        if let Some(count) = self.labels.get_mut(&event.label) {
            *count -= 1;
            if *count == 0 {
                self.labels.remove(&event.label);
            }
        }
    }

    fn measure(&self, is_sum: bool) -> u64 {
        if is_sum { self.sum } else { self.labels.len() as u64 }
    }
}

/// Finds, for each group, the longest stretches in which every window's measure reaches the rule's
/// threshold; the largest measure is told.
fn spells<K: Ord>(
    rule: Rule,
    lines: &[&Line],
    group: impl Fn(&Line) -> K,
    event: impl Fn(&Line) -> Option<Event>,
    findings: &mut Vec<Finding>,
) {
    let mut groups: BTreeMap<K, Vec<(&Line, Event)>> = BTreeMap::new();
    for line in lines {
        if let Some(event) = event(line) {
            groups.entry(group(line)).or_default().push((line, event));
        }
    }
    let (width, is_sum) = (rule.window_ms().unwrap_or(u64::MAX), rule == Rule::ManyKeys);
    for events in groups.values_mut() {
        // Block times increase with entries, so this changes nothing that a ledger holds.
        events.sort_by_key(|(line, _)| (line.time_ms, line.entry));
        let (mut window, mut first) = (Window::default(), 0);
        let mut open: Option<(usize, usize, u64)> = None;
        for (last, (line, event)) in events.iter().enumerate() {
            window.add(event);
            let gone = |(oldest, _): &&(&Line, Event)| line.time_ms.saturating_sub(oldest.time_ms) > width;
            while let Some((_, gone)) = events.get(first).filter(gone) {
                window.remove(gone);
                first += 1;
            }
            let measure = window.measure(is_sum);
            if measure < rule.threshold() {
                continue;
            }
            open = match open {
                Some((from, until, most)) if first <= until => Some((from, last, most.max(measure))),
                before => {
                    findings.extend(before.and_then(|spell| finding(rule, events, spell)));
                    Some((first, last, measure))
                }
            };
        }
        findings.extend(open.and_then(|spell| finding(rule, events, spell)));
    }
}

fn finding(rule: Rule, events: &[(&Line, Event)], (from, until, measure): (usize, usize, u64)) -> Option<Finding> {
    let events = events.get(from..=until)?;
    let (first, last) = (events.first()?.0, events.last()?.0);
    let mut requesters: Vec<Address> = events.iter().map(|(line, _)| line.requester).collect();
    requesters.sort_unstable();
    requesters.dedup();
    let is_one_asset = events.iter().all(|(line, _)| line.asset == first.asset);
    Some(Finding {
        rule,
        requesters,
        asset: is_one_asset.then_some(first.asset),
        asset_name: if is_one_asset { first.asset_name.clone() } else { String::new() },
        from_ms: first.time_ms,
        until_ms: last.time_ms,
        measure,
        entries: events.iter().map(|(line, _)| line.entry).collect(),
        detail: String::new(),
    })
}

fn nearly_used(spent: &Spent) -> Option<Finding> {
    let percent = u64::from(spent.millibits) * 100 / u64::from(spent.budget_millibits.max(1));
    (percent >= Rule::BudgetNearlyUsed.threshold()).then(|| Finding {
        rule: Rule::BudgetNearlyUsed,
        requesters: spent.requesters.iter().map(|(who, _)| *who).collect(),
        asset: Some(spent.asset_id),
        asset_name: spent.asset.clone(),
        from_ms: 0,
        until_ms: 0,
        measure: percent,
        entries: Vec::new(),
        detail: format!("{}, {}", spent.column, spent.subject),
    })
}

/// One finding an asset: it is its owner who did not answer.
fn unanswered(lines: &[&Line]) -> Vec<Finding> {
    let mut by: BTreeMap<AssetId, Vec<(&Line, Event)>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.outcome == Became::Unanswered) {
        by.entry(line.asset).or_default().push((line, Event::named(String::new())));
    }
    let one = |events: &Vec<(&Line, Event)>| {
        finding(Rule::Unanswered, events, (0, events.len().saturating_sub(1), events.len() as u64))
    };
    by.values().filter_map(one).map(|found| Finding { requesters: Vec::new(), ..found }).collect()
}

fn several_addresses(lines: &[&Line], holders: &BTreeMap<Address, String>, findings: &mut Vec<Finding>) {
    let known: Vec<&Line> = lines.iter().filter(|line| holders.contains_key(&line.requester)).copied().collect();
    let group = |line: &Line| (holders.get(&line.requester).cloned().unwrap_or_default(), line.asset);
    let event = |line: &Line| Some(Event::named(line.requester.to_string()));
    let before = findings.len();
    spells(Rule::SeveralAddresses, &known, group, event, findings);
    for found in findings.iter_mut().skip(before) {
        let holder = found.requesters.first().and_then(|who| holders.get(who));
        found.detail = holder.cloned().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests;
