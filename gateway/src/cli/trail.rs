//! The command `trail`: who asked what, as lines, as a signed file, as a spreadsheet; and the check
//! of such a file.

use std::path::{Path, PathBuf};

use clap::Args;
use sealgate_ledger::ids::{Address, BlockHeight, ChainId, Digest};
use sealgate_ledger::state::RequestStatus;
use sealgate_ledger::tx::DeclineReason;
use serde::Serialize;

use super::failure::NOT_VERIFIED;
use super::output::printable;
use super::{Failure, HomeArg, Output};
use crate::asking::Session;
use crate::client::Client;
use crate::files::{FileError, check_writable, read_bounded, write_private};
use crate::home::Home;
use crate::journal::{Journal, What};
use crate::naming::{AssetName, Who};
use crate::trail::export::{self, EXPORT_BYTES_MAX, Statement};
use crate::trail::{Filter, Group, Kind, Line, Trail, Wanted, grouped, read, spreadsheet, time_text};

/// Which requests, and as of when.
#[derive(Debug, Args)]
pub(super) struct FilterArgs {
    /// Only requests to this asset: its id, its name, or its owner's DID, a slash and its name.
    #[arg(long, value_name = "ID")]
    asset: Option<AssetName>,
    /// Only requests from this block time on, RFC 3339 (2026-01-01T00:00:00Z).
    #[arg(long, value_name = "T")]
    from: Option<jiff::Timestamp>,
    /// Only requests until this block time, included.
    #[arg(long, value_name = "T")]
    until: Option<jiff::Timestamp>,
    /// Only requests of this account: its address, DID or name.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<Who>,
    /// Only requests with this outcome: granted, answered, denied, denied:REASON, declined,
    /// declined:REASON, unanswered or open. Several are separated by commas.
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',')]
    outcome: Vec<Wanted>,
    /// Only requests for this purpose, letter by letter.
    #[arg(long, value_name = "TEXT")]
    purpose: Option<String>,
    /// As it stood when this block was the last.
    #[arg(long, value_name = "HEIGHT")]
    as_of: Option<u64>,
}

impl FilterArgs {
    pub(super) fn as_of(&self) -> Option<BlockHeight> {
        self.as_of.map(BlockHeight)
    }

    pub(super) fn filter(&self) -> Result<Filter, Failure> {
        let ms = |name: &str, time: jiff::Timestamp, up: bool| {
            let ms = time.as_millisecond() + i64::from(up && time.subsec_nanosecond() % 1_000_000 > 0);
            u64::try_from(ms).map_err(|_| Failure::new(format!("--{name} lies before 1970")))
        };
        Ok(Filter {
            asset: self.asset.clone(),
            requester: self.address.clone(),
            purpose: self.purpose.clone(),
            outcomes: self.outcome.clone(),
            from_ms: self.from.map(|time| ms("from", time, true)).transpose()?,
            until_ms: self.until.map(|time| ms("until", time, false)).transpose()?,
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct TrailArgs {
    /// Address of the gateway, http://host:port; with --verify, the one whose ledger the file is
    /// compared with.
    #[arg(long, value_name = "URL", required_unless_present = "verify")]
    gateway: Option<String>,
    #[command(flatten)]
    home: HomeArg,
    #[command(flatten)]
    filter: FilterArgs,
    /// Show each of repeated denials by itself.
    #[arg(long)]
    each: bool,
    /// Also write it to this file, signed with the home's account.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Also write it to this file as CSV, for spreadsheets.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Check a file that --export wrote: spelling and signature; with --gateway, also that a replay
    /// of the ledger gives the same.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "export", "csv", "each", "asset", "from", "until", "address", "outcome", "purpose", "as_of",
    ])]
    verify: Option<PathBuf>,
    /// With --verify: who must have signed it.
    #[arg(long, value_name = "ADDRESS", requires = "verify")]
    exporter: Option<Address>,
}

pub(super) async fn trail(args: TrailArgs, output: &Output) -> Result<(), Failure> {
    let home = Home::at(&args.home.home);
    let client = args.gateway.as_deref().map(Client::new).transpose()?;
    match (&args.verify, client) {
        (Some(file), client) => verify(&home, client.as_ref(), file, args.exporter.as_ref(), output).await,
        (None, Some(client)) => show(&args, &home, &client, output).await,
        (None, None) => Err(Failure::new("name a gateway".into())),
    }
}

async fn show(args: &TrailArgs, home: &Home, client: &Client, output: &Output) -> Result<(), Failure> {
    for file in [&args.export, &args.csv].into_iter().flatten() {
        check_writable(file)?;
    }
    let exporter = args.export.as_ref().map(|_| home.account()).transpose()?;
    let filter = args.filter.filter()?;
    let trail = replayed(home, client, args.filter.as_of(), &filter, output).await?;
    // What is read is in the journal before it is shown or written.
    let journal = Journal::of(home, &trail.chain);
    let files = [(&args.export, What::Export), (&args.csv, What::Spreadsheet)];
    for (what, about) in files.iter().filter_map(|(file, what)| Some((what, file.as_ref()?.display()))) {
        journal.note(*what, &about.to_string())?;
    }
    journal.note(What::Trail, &filter.words())?;
    let mut written = Vec::new();
    if let Some(file) = &args.csv {
        write_private(file, &spreadsheet::of_trail(&trail.lines)?, true).map_err(FileError::io(file))?;
        written.push(format!("written to {}", file.display()));
    }
    if let (Some(file), Some(account)) = (&args.export, exporter) {
        let bytes = export::sign(trail.clone(), filter, &account)?;
        write_private(file, &bytes, true).map_err(FileError::io(file))?;
        written.push(format!("signed as {} and written to {}", account.address(), file.display()));
    }
    output.result(&trail.lines, || {
        let text = trail_text(&trail.lines, args.each);
        let stands = format!("as of block {}, {}", trail.height, time_text(trail.time_ms));
        std::iter::once(format!("{text}\n\n{stands}")).chain(written).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

/// The trail from a replay of the whole ledger.
pub(crate) async fn replayed(
    home: &Home,
    client: &Client,
    as_of: Option<BlockHeight>,
    filter: &Filter,
    output: &Output,
) -> Result<Trail, Failure> {
    let session = Session::open(home, client).await?;
    let bar = output.progress();
    let trail = read(&session, as_of, filter, |done, total| bar.count("replaying blocks", done, total)).await;
    bar.finish();
    Ok(trail?)
}

/// The trail as people read it; repeated denials are one, unless `each` is wanted.
pub(crate) fn trail_text(lines: &[Line], each: bool) -> String {
    if lines.is_empty() {
        return "nobody has asked anything of this kind".into();
    }
    let alone = |line| Group { first: line, last: line, count: 1, keys: 0, alike: true };
    let groups = if each { lines.iter().map(alone).collect() } else { grouped(lines) };
    let describe = |group: &Group<'_>| if group.count == 1 { one(group.first) } else { several(group) };
    printable(&groups.iter().map(describe).collect::<Vec<_>>().join("\n"))
}

fn outcome(line: &Line) -> String {
    match &line.status {
        RequestStatus::Denied { reason } => format!("DENIED: {reason}"),
        RequestStatus::Granted { deadline, .. } => format!("granted, answer awaited until block {deadline}"),
        RequestStatus::Answered { version, height, bytes, .. } => {
            format!("answered from version {version} in block {height}, {bytes} bytes")
        }
        RequestStatus::Delivered { version, height, bytes, .. } => {
            let checked =
                line.checked.map(|checked| format!("; found {} in block {}", checked.outcome, checked.height));
            format!(
                "delivered from version {version} in block {height}, up to {bytes} bytes{}",
                checked.unwrap_or_default()
            )
        }
        RequestStatus::Declined { reason: DeclineReason::Budget, height, .. } => {
            format!("DECLINED for want of budget in block {height}")
        }
        RequestStatus::Declined { reason: DeclineReason::TooLarge, height, .. } => {
            format!("DECLINED as too large in block {height}")
        }
        RequestStatus::Unanswered { height } => format!("UNANSWERED, says block {height}"),
    }
}

fn asked(line: &Line) -> String {
    let many = line.kind == Kind::Question && line.keys > 1;
    let keys = if many { format!(", {} keys,", line.keys) } else { String::new() };
    if line.kind == Kind::Sample {
        return format!("{} FROM {}, as the auditor", line.shape, line.asset_name);
    }
    format!("{} FROM {}{keys} for '{}'", line.shape, line.asset_name, line.purpose)
}

fn one(line: &Line) -> String {
    format!(
        "block {:<5} {}  {} ({})\n  asked    {}\n  outcome  {}\n  request  {}",
        line.block.to_string(),
        line.time,
        line.name,
        line.requester,
        asked(line),
        outcome(line),
        line.request,
    )
}

fn several(group: &Group<'_>) -> String {
    let Group { first, last, count, keys, alike } = group;
    let others = if *alike { "all alike" } else { "and other questions or purposes" };
    format!(
        "block {:<5} {}  {} ({})\n  asked    {} times about {keys} keys, until block {}, {}\n  \
         first    {}; {others}\n  outcome  {}\n  requests {} and {} more (--each shows them)",
        first.block.to_string(),
        first.time,
        first.name,
        first.requester,
        count,
        last.block,
        last.time,
        asked(first),
        outcome(first),
        first.request,
        count - 1,
    )
}

#[derive(Serialize)]
struct Checked {
    chain: ChainId,
    height: BlockHeight,
    time: String,
    lines: u64,
    exporter: Address,
    did: String,
    name: String,
    digest: Digest,
    /// Whether a replay of the ledger gave the same.
    replayed: bool,
}

async fn verify(
    home: &Home,
    client: Option<&Client>,
    file: &Path,
    exporter: Option<&Address>,
    output: &Output,
) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(format!("{} does not verify: {error}", file.display())).or_code(NOT_VERIFIED)
    };
    let bytes = read_bounded(file, EXPORT_BYTES_MAX)?;
    let statement = export::verify(&bytes).map_err(|error| refused(&error))?;
    home.trusts(&statement.chain).map_err(|error| refused(&error))?;
    let signer = statement.exporter.address();
    if let Some(expected) = exporter.filter(|expected| **expected != signer) {
        return Err(refused(&format!("it is signed by {signer}, not by {expected}")));
    }
    if let Some(client) = client {
        let trail = replayed(home, client, Some(statement.height), &statement.filter, output).await?;
        statement.matches(&trail).map_err(|error| refused(&error))?;
    }
    let checked = Checked {
        chain: statement.chain,
        height: statement.height,
        time: statement.time.clone(),
        lines: statement.count,
        exporter: signer,
        did: statement.exporter.did(),
        name: statement.exporter.name.clone(),
        digest: export::digest(&bytes),
        replayed: client.is_some(),
    };
    output.result(&checked, || printable(&checked_text(&checked, &statement)));
    Ok(())
}

fn checked_text(checked: &Checked, statement: &Statement) -> String {
    let replayed = if checked.replayed {
        "ok    a replay of the ledger on this machine gives exactly these lines"
    } else {
        "note  not compared with the ledger: --gateway does that"
    };
    let filter = serde_json::to_string(&statement.filter).unwrap_or_default();
    format!(
        "ok    spelling and signature: {} ({}) says so\n{replayed}\nledger   {}\nas of    block {}, {}\nfilter   {filter}\n\
         lines    {}\ndigest   {}",
        checked.name, checked.exporter, checked.chain, checked.height, checked.time, checked.lines, checked.digest,
    )
}
