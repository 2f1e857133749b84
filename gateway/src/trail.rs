//! The trail: who asked what, when, why, and what became of it, from a ledger replayed on this
//! machine (docs/spec/trail.md). Nothing here believes a gateway.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::audit::{AuditError, Replay};
use sealgate_ledger::block::{Block, DenyReason, EntryBody, Outcome};
use sealgate_ledger::checkpoint::Checkpoint;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, ChainId, TxHash};
use sealgate_ledger::state::{Asked, AssetView, RequestStatus, RequestView, SampleCheck};
use sealgate_ledger::tx::{DeclineReason, FILE, TxBody};
use serde::{Deserialize, Serialize};

use crate::asking::Session;
use crate::auditing::{AuditFailure, replay_at};
use crate::naming::{AssetName, Unknown, Who};

pub mod anomalies;
pub mod export;
pub mod following;
pub mod meter;
pub mod spreadsheet;

/// Requests read at a time.
const PAGE: usize = 1000;

/// What became of a request, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// The contract denied it.
    Denied,
    /// The contract granted it, and the answer is awaited.
    Open,
    /// It was answered.
    Answered,
    /// What it asks for was delivered.
    Delivered,
    /// The owner declined it.
    Declined,
    /// It was not answered in time.
    Unanswered,
}

impl Became {
    /// Of this status.
    pub fn of(status: &RequestStatus) -> Became {
        match status {
            RequestStatus::Denied { .. } => Became::Denied,
            RequestStatus::Granted { .. } => Became::Open,
            RequestStatus::Answered { .. } => Became::Answered,
            RequestStatus::Delivered { .. } => Became::Delivered,
            RequestStatus::Declined { .. } => Became::Declined,
            RequestStatus::Unanswered { .. } => Became::Unanswered,
        }
    }
}

/// What kind of thing was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An answer to a question.
    Question,
    /// Whole columns.
    Columns,
    /// A file.
    File,
    /// Records of the auditor's choosing.
    Sample,
}

impl Kind {
    fn of(asked: &Asked, asset: &AssetView) -> Kind {
        match asked {
            Asked::Question { .. } => Kind::Question,
            Asked::Whole { .. } if asset.data_type == FILE => Kind::File,
            Asked::Whole { .. } => Kind::Columns,
            Asked::Sample { .. } => Kind::Sample,
        }
    }

    /// Its word, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Question => "question",
            Kind::Columns => "columns",
            Kind::File => "file",
            Kind::Sample => "sample",
        }
    }
}

/// The entry that ended a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Its position in the ledger's tree.
    pub entry: u64,
    /// The transaction of the answer, delivery or refusal; none where the deadline passed.
    pub transaction: Option<TxHash>,
    /// Its block.
    pub block: BlockHeight,
    /// That block's time, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
}

/// One request of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The request's transaction.
    pub request: TxHash,
    /// Its position in the ledger's tree.
    pub entry: u64,
    /// The block that recorded it.
    pub block: BlockHeight,
    /// That block's time, RFC 3339.
    pub time: String,
    /// The same in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
    /// Who asked.
    pub requester: Address,
    /// What that account calls itself.
    pub name: String,
    /// The asset.
    pub asset: AssetId,
    /// Its name.
    pub asset_name: String,
    /// Its owner.
    pub owner: Address,
    /// What kind of thing was asked for.
    pub kind: Kind,
    /// The question without its keys and free constants, or what else was asked for, in words.
    pub shape: String,
    /// About how many keys; how many records of a sample.
    pub keys: u16,
    /// Why it was asked.
    pub purpose: String,
    /// What became of it.
    pub outcome: Became,
    /// The same with all that the ledger says.
    pub status: RequestStatus,
    /// What ended it, if something did.
    pub ended: Option<Ended>,
    /// What the auditor found in a sample.
    pub checked: Option<SampleCheck>,
}

impl Line {
    fn of(request: &RequestView, asset: &AssetView, name: String, ended: Option<Ended>) -> Line {
        Line {
            request: request.hash,
            entry: request.entry_index,
            block: request.height,
            time: time_text(request.time_ms),
            time_ms: request.time_ms,
            requester: request.sender,
            name,
            asset: asset.id,
            asset_name: asset.name.clone(),
            owner: asset.owner,
            kind: Kind::of(&request.asked, asset),
            shape: request.asked.display(&asset.schema),
            keys: request.asked.keys(),
            purpose: request.purpose.clone(),
            outcome: Became::of(&request.status),
            status: request.status,
            ended,
            checked: request.checked,
        }
    }

    /// Length of the sealed answer, or of all ciphertext that was delivered, in bytes; 0 if there is
    /// neither.
    pub fn bytes(&self) -> u64 {
        match self.status {
            RequestStatus::Answered { bytes, .. } => bytes.into(),
            RequestStatus::Delivered { bytes, .. } => bytes,
            _ => 0,
        }
    }
}

/// A block time as RFC 3339 in UTC.
pub fn time_text(time_ms: u64) -> String {
    let time = i64::try_from(time_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// A kind of outcome that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Granted by the contract, whatever came of it then.
    Granted,
    /// One of the ends, or waiting for one.
    Became(Became),
    /// Denied for this reason.
    DeniedFor(String),
    /// Declined for this reason.
    DeclinedFor(String),
}

/// The words for reasons to deny, as they stand in the ledger's JSON.
const DENY_REASONS: [&str; 10] = [
    "no_grant",
    "field",
    "predicate",
    "existence",
    "purpose",
    "not_yet",
    "expired",
    "quota_used",
    "withdrawn",
    "whole",
];
/// The same for reasons to decline.
const DECLINE_REASONS: [&str; 2] = ["budget", "too_large"];

/// The word for a reason to deny.
pub fn deny_word(reason: &DenyReason) -> &'static str {
    match reason {
        DenyReason::NoGrant => "no_grant",
        DenyReason::Field { .. } => "field",
        DenyReason::Predicate { .. } => "predicate",
        DenyReason::Existence => "existence",
        DenyReason::Purpose => "purpose",
        DenyReason::NotYet => "not_yet",
        DenyReason::Expired => "expired",
        DenyReason::QuotaUsed => "quota_used",
        DenyReason::Withdrawn => "withdrawn",
        DenyReason::Whole { .. } => "whole",
    }
}

/// The word for a reason to decline.
pub fn decline_word(reason: &DeclineReason) -> &'static str {
    match reason {
        DeclineReason::Budget => "budget",
        DeclineReason::TooLarge => "too_large",
    }
}

impl Wanted {
    fn is(&self, status: &RequestStatus) -> bool {
        match self {
            Wanted::Granted => !matches!(status, RequestStatus::Denied { .. }),
            Wanted::Became(became) => Became::of(status) == *became,
            Wanted::DeniedFor(word) => {
                matches!(status, RequestStatus::Denied { reason } if deny_word(reason) == word)
            }
            Wanted::DeclinedFor(word) => {
                matches!(status, RequestStatus::Declined { reason, .. } if decline_word(reason) == word)
            }
        }
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let reason = |word: &str, known: &[&str]| known.contains(&word).then(|| word.to_owned());
        let wanted = match text.split_once(':') {
            Some(("denied", word)) => reason(word, &DENY_REASONS).map(Wanted::DeniedFor),
            Some(("declined", word)) => reason(word, &DECLINE_REASONS).map(Wanted::DeclinedFor),
            Some(_) => None,
            None => match text {
                "granted" => Some(Wanted::Granted),
                "answered" => Some(Wanted::Became(Became::Answered)),
                "delivered" => Some(Wanted::Became(Became::Delivered)),
                "denied" => Some(Wanted::Became(Became::Denied)),
                "declined" => Some(Wanted::Became(Became::Declined)),
                "unanswered" => Some(Wanted::Became(Became::Unanswered)),
                "open" => Some(Wanted::Became(Became::Open)),
                _ => None,
            },
        };
        wanted.ok_or_else(|| {
            format!(
                "an outcome is one of granted, answered, delivered, denied, declined, unanswered, open; or denied:REASON with {}; \
                 or declined:REASON with {}",
                DENY_REASONS.join(", "),
                DECLINE_REASONS.join(", ")
            )
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Granted => f.write_str("granted"),
            Wanted::Became(Became::Denied) => f.write_str("denied"),
            Wanted::Became(Became::Open) => f.write_str("open"),
            Wanted::Became(Became::Answered) => f.write_str("answered"),
            Wanted::Became(Became::Delivered) => f.write_str("delivered"),
            Wanted::Became(Became::Declined) => f.write_str("declined"),
            Wanted::Became(Became::Unanswered) => f.write_str("unanswered"),
            Wanted::DeniedFor(word) => write!(f, "denied:{word}"),
            Wanted::DeclinedFor(word) => write!(f, "declined:{word}"),
        }
    }
}

impl Serialize for Wanted {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <String as Deserialize>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which lines are wanted: everything that is given must apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Requests to this asset; by its bare name alone, to each asset of that name.
    pub asset: Option<AssetName>,
    /// Requests of this account.
    pub requester: Option<Who>,
    /// Requests for this purpose, letter by letter.
    pub purpose: Option<String>,
    /// Requests with one of these outcomes; none: with any.
    pub outcomes: Vec<Wanted>,
    /// From this block time on, in milliseconds since 1970-01-01 UTC.
    pub from_ms: Option<u64>,
    /// Until and including this block time.
    pub until_ms: Option<u64>,
}

impl Filter {
    /// What a journal says of it: what was given, as the console's journal has it.
    pub fn words(&self) -> String {
        let outcomes: Vec<String> = self.outcomes.iter().map(ToString::to_string).collect();
        let given = [
            ("asset", self.asset.as_ref().map(ToString::to_string)),
            ("who", self.requester.as_ref().map(ToString::to_string)),
            ("purpose", self.purpose.clone()),
            ("outcome", Some(outcomes.join(",")).filter(|outcomes| !outcomes.is_empty())),
            ("from", self.from_ms.map(time_text)),
            ("until", self.until_ms.map(time_text)),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        match given.collect::<Vec<_>>().join(" ") {
            none if none.is_empty() => "everything".into(),
            given => given,
        }
    }

    fn keeps(&self, request: &RequestView, requester: Option<&AccountPublic>) -> bool {
        let asked_by = |who: &Who| requester.is_some_and(|account| who.is(account));
        self.requester.as_ref().is_none_or(asked_by)
            && self.purpose.as_ref().is_none_or(|purpose| request.purpose == *purpose)
            && (self.outcomes.is_empty() || self.outcomes.iter().any(|wanted| wanted.is(&request.status)))
            && self.from_ms.is_none_or(|from| request.time_ms >= from)
            && self.until_ms.is_none_or(|until| request.time_ms <= until)
    }
}

/// Why there is no trail.
#[derive(Debug, thiserror::Error)]
pub enum TrailFailure {
    /// The ledger.
    #[error("{0}")]
    Audit(Box<AuditFailure>),
    /// Nothing has the name that was given.
    #[error("the ledger has no asset {0}")]
    NoAsset(Unknown),
    /// Nobody has it.
    #[error("the ledger has no account {0}")]
    NoAccount(Unknown),
}

impl From<AuditFailure> for TrailFailure {
    fn from(error: AuditFailure) -> Self {
        TrailFailure::Audit(Box::new(error))
    }
}

/// Lines of the trail, and as of when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    /// The ledger.
    pub chain: ChainId,
    /// As of this block.
    pub height: BlockHeight,
    /// Its time, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
    /// Size and root of the ledger's tree then.
    pub checkpoint: Checkpoint,
    /// The lines, in the order of their entries.
    pub lines: Vec<Line>,
}

/// The state as of a block, as far as the trail needs it.
struct State {
    height: BlockHeight,
    time_ms: u64,
    checkpoint: Checkpoint,
    accounts: BTreeMap<Address, AccountPublic>,
    assets: Vec<AssetView>,
    requests: Vec<RequestView>,
}

impl State {
    fn take(replay: &Replay) -> Result<State, AuditError> {
        let accounts = replay.accounts()?.into_iter().map(|view| (view.address, view.account)).collect();
        let mut requests: Vec<RequestView> = Vec::new();
        loop {
            let page = replay.requests(None, requests.last().map(|request| request.entry_index), PAGE)?;
            if page.is_empty() {
                break;
            }
            requests.extend(page);
        }
        Ok(State {
            height: replay.head().height,
            time_ms: replay.head().time_ms,
            checkpoint: replay.checkpoint(),
            accounts,
            assets: replay.assets()?,
            requests,
        })
    }

    /// The assets that a filter lets through.
    fn assets(&self, filter: &Filter) -> Result<BTreeMap<AssetId, &AssetView>, TrailFailure> {
        let wanted = |asset: &&AssetView| match (&filter.asset, self.accounts.get(&asset.owner)) {
            (None, _) => true,
            (Some(name), Some(owner)) => name.is(asset, owner),
            (Some(_), None) => false,
        };
        let assets: BTreeMap<_, _> = self.assets.iter().filter(wanted).map(|asset| (asset.id, asset)).collect();
        match &filter.asset {
            Some(name) if assets.is_empty() => {
                let names = self.assets.iter().map(|asset| asset.name.as_str());
                Err(TrailFailure::NoAsset(Unknown::among(name, names)))
            }
            _ => Ok(assets),
        }
    }

    /// Refuses a filter for an account that there is not.
    fn knows(&self, filter: &Filter) -> Result<(), TrailFailure> {
        match &filter.requester {
            Some(who) if !self.accounts.values().any(|account| who.is(account)) => {
                let names = self.accounts.values().map(|account| account.name.as_str());
                Err(TrailFailure::NoAccount(Unknown::among(who, names)))
            }
            _ => Ok(()),
        }
    }

    fn lines(&self, filter: &Filter, ends: &HashMap<TxHash, Ended>) -> Result<Vec<Line>, TrailFailure> {
        let assets = self.assets(filter)?;
        self.knows(filter)?;
        let line = |request: &RequestView| {
            let (asset, account) = (assets.get(&request.asset)?, self.accounts.get(&request.sender));
            let name = account.map(|account| account.name.clone()).unwrap_or_default();
            let ended = ends.get(&request.hash).copied();
            filter.keeps(request, account).then(|| Line::of(request, asset, name, ended))
        };
        Ok(self.requests.iter().filter_map(line).collect())
    }
}

/// What the entries of a block ended.
fn note_ends(block: &Block, ends: &mut HashMap<TxHash, Ended>) {
    for (entry, line) in (block.header.first_entry..).zip(&block.entries) {
        let (request, transaction) = match &line.body {
            EntryBody::Unanswered { request } => (*request, None),
            EntryBody::Transaction { tx, outcome: Outcome::Accepted } => match &tx.tx.body {
                TxBody::Answer { request, .. } | TxBody::Decline { request, .. } | TxBody::Deliver { request, .. } => {
                    (*request, Some(tx.hash()))
                }
                _ => continue,
            },
            EntryBody::Transaction { .. } => continue,
        };
        ends.insert(request, Ended { entry, transaction, block: block.header.height, time_ms: block.header.time_ms });
    }
}

/// Replays the whole ledger and reads the trail as of a block, or as of the last one.
///
/// # Errors
/// [`TrailFailure`].
pub async fn read(
    session: &Session<'_>,
    as_of: Option<BlockHeight>,
    filter: &Filter,
    progress: impl Fn(u64, u64),
) -> Result<Trail, TrailFailure> {
    let mut ends = HashMap::new();
    let (_, state) = replay_at(session, as_of, progress, |block| note_ends(block, &mut ends), State::take).await?;
    Ok(Trail {
        chain: session.genesis.chain_id(),
        height: state.height,
        time_ms: state.time_ms,
        checkpoint: state.checkpoint,
        lines: state.lines(filter, &ends)?,
    })
}

/// Lines that people are shown as one: one by itself, or denials of one account at one asset for
/// one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group<'a> {
    /// The first.
    pub first: &'a Line,
    /// The last; the first, if it is alone.
    pub last: &'a Line,
    /// How many.
    pub count: u64,
    /// About how many keys they were.
    pub keys: u64,
    /// Whether all had the first one's question and purpose.
    pub alike: bool,
}

/// Draws repeated denials together, each group at the place of its first line.
pub fn grouped(lines: &[Line]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places: HashMap<(Address, AssetId, DenyReason), usize> = HashMap::new();
    for line in lines {
        let alone = Group { first: line, last: line, count: 1, keys: u64::from(line.keys), alike: true };
        let RequestStatus::Denied { reason } = &line.status else {
            groups.push(alone);
            continue;
        };
        let place = *places.entry((line.requester, line.asset, *reason)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => {
                group.last = line;
                group.count += 1;
                group.keys += u64::from(line.keys);
                group.alike &= (&group.first.shape, &group.first.purpose) == (&line.shape, &line.purpose);
            }
            None => groups.push(alone),
        }
    }
    groups
}
