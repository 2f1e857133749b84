//! The commands `catalogue` and `grants`: what there is, and who may ask what of it.

use clap::Args;
use sealgate_ledger::audit::{AuditError, Replay};
use sealgate_ledger::ids::{Address, BlockHeight};
use sealgate_ledger::state::{AssetView, GrantView, VersionView};
use sealgate_ledger::tx::TABLE;
use serde::Serialize;

use super::output::printable;
use super::{Failure, GatewayArg, HomeArg, Output};
use crate::asking::Session;
use crate::auditing::replay_at;
use crate::catalogue::{Listed, Search, sort};
use crate::client::Client;
use crate::home::Home;
use crate::journal::{Journal, What};
use crate::naming::{AssetName, Unknown, Who, full_name};
use crate::trail::time_text;

#[derive(Debug, Args)]
pub(super) struct Catalogue {
    #[command(flatten)]
    gateway: GatewayArg,
    /// Home folder: replay the ledger on this machine instead of believing the gateway.
    #[arg(long, value_name = "DIR")]
    home: Option<std::path::PathBuf>,
    /// Only assets with all these words in name, title, description or column names; case does not
    /// count.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only assets of this owner: name, address or DID.
    #[arg(long, value_name = "OWNER")]
    owner: Option<Who>,
    /// Only assets with a column of this name.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// Only assets with a column of this type (int, decimal, date, timestamp, bool, text); with
    /// --column, of that column.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only assets of this data type: table or file.
    #[arg(long, value_name = "TYPE")]
    data_type: Option<String>,
    /// Only assets that the home's account owns, or may ask about.
    #[arg(long, requires = "home")]
    mine: bool,
    /// As it stood when this block was the last.
    #[arg(long, value_name = "HEIGHT", requires = "home")]
    as_of: Option<u64>,
    /// How many are shown.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// An asset as it is shown.
#[derive(Serialize)]
struct Shown {
    /// The owner's DID, a slash and the asset's name.
    full_name: String,
    owner_name: String,
    asset: AssetView,
    version: VersionView,
    /// With --mine: what the home's account may ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<GrantView>,
}

/// What was found, of how many, and whether this machine replayed it.
struct Found {
    assets: Vec<(Listed, Option<GrantView>)>,
    of: u64,
    as_of: Option<(BlockHeight, u64)>,
}

pub(super) async fn catalogue(args: Catalogue, output: &Output) -> Result<(), Failure> {
    let search = Search {
        search: args.search.clone(),
        owner: args.owner.clone(),
        column: args.column.clone(),
        kind: args.kind.clone(),
        data_type: args.data_type.clone(),
    };
    if !search.in_bounds() {
        return Err(Failure::new("what is searched for is too long".into()));
    }
    let client = Client::new(&args.gateway.gateway)?;
    let found = match &args.home {
        Some(home) => replayed(&Home::at(home), &client, &search, &args, output).await?,
        None => {
            let (assets, of) = client.catalogue(&search).await?;
            Found { assets: assets.into_iter().map(|listed| (listed, None)).collect(), of, as_of: None }
        }
    };
    let matching = found.assets.len();
    let shown: Vec<Shown> = found
        .assets
        .into_iter()
        .take(if output.is_json() { usize::MAX } else { args.limit })
        .map(|(Listed { asset, version, owner }, grant)| Shown {
            full_name: full_name(&owner, &asset.name),
            owner_name: owner.name,
            asset,
            version,
            grant,
        })
        .collect();
    output.result(&shown, || text(&shown, matching, found.of, found.as_of));
    Ok(())
}

/// The catalogue from a replay of the ledger.
async fn replayed(
    home: &Home,
    client: &Client,
    search: &Search,
    args: &Catalogue,
    output: &Output,
) -> Result<Found, Failure> {
    let me = if args.mine { Some(home.account()?.address()) } else { None };
    let session = Session::open(home, client).await?;
    let bar = output.progress();
    let progress = |done, total| bar.count("replaying blocks", done, total);
    let take = |replay: &Replay| found(replay, search, me.as_ref());
    let taken = replay_at(&session, args.as_of.map(BlockHeight), progress, |_| {}, take).await;
    bar.finish();
    Ok(taken?.1)
}

fn found(replay: &Replay, search: &Search, me: Option<&Address>) -> Result<Found, AuditError> {
    let (mut assets, mut of) = (Vec::new(), 0);
    for asset in replay.assets()? {
        of += 1;
        let (version, owner) = (replay.version(&asset.id, asset.current)?, replay.account(&asset.owner)?);
        let (Some(version), Some(owner)) = (version, owner) else { continue };
        let listed = Listed { asset, version, owner: owner.account };
        let grant = match me {
            Some(me) => replay.grant(&listed.asset.id, me)?,
            None => None,
        };
        let mine = me.is_none_or(|me| grant.is_some() || listed.asset.owner == *me);
        if mine && search.finds(&listed) {
            assets.push((listed, grant));
        }
    }
    let mut listed: Vec<Listed> = assets.iter().map(|(listed, _)| listed.clone()).collect();
    sort(&mut listed);
    let place = |listed_at: &Listed| listed.iter().position(|other| other.asset.id == listed_at.asset.id);
    assets.sort_by_key(|(one, _)| place(one));
    let head = replay.head();
    Ok(Found { assets, of, as_of: Some((head.height, head.time_ms)) })
}

fn text(shown: &[Shown], matching: usize, of: u64, as_of: Option<(BlockHeight, u64)>) -> String {
    let describe = |one: &Shown| {
        let asset = &one.asset;
        let columns: Vec<String> = asset.schema.columns.iter().map(|c| format!("{} {}", c.name, c.kind)).collect();
        let keys: Vec<&str> = asset.schema.key_columns().map(|c| c.name.as_str()).collect();
        let content = match asset.data_type.as_str() {
            TABLE => format!("key      {}\n  columns  {}", keys.join(", "), columns.join(", ")),
            other => format!("type     {other}"),
        };
        let grant = one.grant.as_ref().map(|grant| format!("\n  granted  {}", terms(grant, asset))).unwrap_or_default();
        format!(
            "{}  {}\n  asset    {}\n  name     {}\n  owner    {} ({})\n  version  {} (up to {} records)\n  {content}{grant}",
            asset.name,
            asset.title,
            asset.id,
            one.full_name,
            one.owner_name,
            asset.owner,
            asset.current,
            one.version.info.records_rounded,
        )
    };
    let mut parts: Vec<String> = shown.iter().map(describe).collect();
    let mut last = match (matching, of) {
        (_, 0) => "nothing is published yet".to_owned(),
        (1, 1) => "1 asset".to_owned(),
        (matching, of) if matching as u64 == of => format!("{of} assets"),
        (matching, of) => format!("{matching} of {of} assets match"),
    };
    if matching > shown.len() {
        last.push_str(&format!("; {} more are left out (--limit)", matching - shown.len()));
    }
    match as_of {
        Some((height, time_ms)) => last.push_str(&format!(", as of block {height}, {}", time_text(time_ms))),
        None => last.push_str(", as the gateway says; with --home the ledger is replayed here"),
    }
    parts.push(last);
    printable(&parts.join("\n\n"))
}

/// What a grant allows, in a line.
fn terms(grant: &GrantView, asset: &AssetView) -> String {
    let terms = &grant.terms;
    let named = |column: &u8| asset.schema.at(*column).map_or_else(String::new, |column| column.name.clone());
    let mut parts: Vec<String> = Vec::new();
    if !terms.disclose.is_empty() {
        parts.push(format!("disclose {}", terms.disclose.iter().map(named).collect::<Vec<_>>().join(", ")));
    }
    if !terms.whole.is_empty() {
        parts.push(format!("fetch all of {}", terms.whole.iter().map(named).collect::<Vec<_>>().join(", ")));
    }
    parts.extend(terms.prove.iter().map(|predicate| format!("prove {}", predicate.display(&asset.schema))));
    if terms.existence {
        parts.push("existence".into());
    }
    parts.push(if terms.purpose.is_empty() { "any purpose".into() } else { format!("purpose '{}'", terms.purpose) });
    parts.extend(terms.not_before_ms.map(|ms| format!("from {}", time_text(ms))));
    parts.extend(terms.until_ms.map(|ms| format!("until {}", time_text(ms))));
    parts.push(match terms.quota {
        Some(quota) => format!("{} of {quota} keys used", grant.used),
        None => format!("{} keys used", grant.used),
    });
    parts.extend(terms.bits.map(|bits| format!("at most {bits} bits a field")));
    parts.join("; ")
}

#[derive(Debug, Args)]
pub(super) struct Grants {
    #[command(flatten)]
    gateway: GatewayArg,
    #[command(flatten)]
    home: HomeArg,
    /// The asset: its id, its name, or its owner's DID, a slash and its name.
    #[arg(long, value_name = "ID")]
    asset: AssetName,
    /// As it stood when this block was the last.
    #[arg(long, value_name = "HEIGHT")]
    as_of: Option<u64>,
}

#[derive(Serialize)]
struct GrantsResult {
    height: BlockHeight,
    time: String,
    asset: AssetView,
    full_name: String,
    grants: Vec<GrantLine>,
}

#[derive(Serialize)]
struct GrantLine {
    /// What the account calls itself, if it is enrolled.
    name: Option<String>,
    #[serde(flatten)]
    grant: GrantView,
}

pub(super) async fn grants(args: Grants, output: &Output) -> Result<(), Failure> {
    let (home, client) = (Home::at(&args.home.home), Client::new(&args.gateway.gateway)?);
    let session = Session::open(&home, &client).await?;
    let bar = output.progress();
    let progress = |done, total| bar.count("replaying blocks", done, total);
    let take = |replay: &Replay| lists(replay, &args.asset);
    let taken = replay_at(&session, args.as_of.map(BlockHeight), progress, |_| {}, take).await;
    bar.finish();
    let (replay, mut lists) = taken?;
    let result = match (lists.pop(), lists.len()) {
        (None, _) => {
            let assets = replay.assets()?;
            let unknown = Unknown::among(&args.asset, assets.iter().map(|asset| asset.name.as_str()));
            return Err(Failure::new(format!("the ledger has no asset {unknown}")));
        }
        (Some(one), 0) => one,
        (Some(_), others) => {
            let what =
                format!("{} assets are called '{}': name one by its id or its owner's DID", others + 1, args.asset);
            return Err(Failure::new(what));
        }
    };
    Journal::of(&home, &session.genesis.chain_id()).note(What::Grants, &args.asset.to_string())?;
    output.result(&result, || {
        let line = |line: &GrantLine| {
            let name = line.name.as_deref().unwrap_or("not enrolled");
            format!(
                "{} ({name})\n  since    block {}\n  may ask  {}",
                line.grant.to,
                line.grant.height,
                terms(&line.grant, &result.asset)
            )
        };
        let mut parts = vec![format!("{}\n  asset    {}", result.full_name, result.asset.id)];
        parts.extend(result.grants.iter().map(line));
        let accounts = if result.grants.len() == 1 { "account" } else { "accounts" };
        let count = result.grants.len();
        parts.push(format!("{count} {accounts} may ask, as of block {}, {}", result.height, result.time));
        printable(&parts.join("\n\n"))
    });
    Ok(())
}

fn lists(replay: &Replay, name: &AssetName) -> Result<Vec<GrantsResult>, AuditError> {
    let mut found = Vec::new();
    for asset in replay.assets()? {
        let Some(owner) = replay.account(&asset.owner)?.filter(|owner| name.is(&asset, &owner.account)) else {
            continue;
        };
        let mut grants = Vec::new();
        for grant in replay.grants(&asset.id)? {
            grants.push(GrantLine { name: replay.account(&grant.to)?.map(|account| account.account.name), grant });
        }
        let head = replay.head();
        found.push(GrantsResult {
            height: head.height,
            time: time_text(head.time_ms),
            full_name: full_name(&owner.account, &asset.name),
            asset,
            grants,
        });
    }
    Ok(found)
}
