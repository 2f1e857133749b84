//! What stands on a ledger now: `sealgate list`.

use clap::Args;
use sealgate_circuits::schema::Schema;
use sealgate_ledger::ids::{Address, AssetId};
use sealgate_ledger::standing::AssetStanding;
use sealgate_ledger::state::{ContractView, GrantView};
use serde::Serialize;

use super::output::printable;
use super::{Failure, GatewayArg, HomeArg, Output};
use crate::asking::{AskFailure, Session};
use crate::client::Client;
use crate::home::Home;
use crate::naming::AssetName;
use crate::standing::AsOf;
use crate::witness::pins::time;

#[derive(Debug, Args)]
pub(super) struct List {
    /// The asset: its id, the name of one of the ledger's operator's, or its owner's DID, a slash and its name.
    asset: String,
    #[command(flatten)]
    gateway: GatewayArg,
    #[command(flatten)]
    home: HomeArg,
    /// Only whether this address is on the list, which needs no whole list.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<Address>,
}

#[derive(Serialize)]
struct ListResult<'a> {
    asset: AssetId,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<&'a ContractView>,
    grants: Vec<&'a GrantView>,
    /// Whether `grants` is everything that stands on the list.
    complete: bool,
    as_of: &'a AsOf,
    checks: Vec<String>,
    notes: Vec<String>,
}

pub(super) async fn list(args: List, output: &Output) -> Result<(), Failure> {
    let home = Home::at(&args.home.home);
    let client = Client::new(&args.gateway.gateway)?;
    let session = Session::open(&home, &client).await?;
    let (asset, meant) = named(&session, &args.asset).await?;
    if let Some(address) = args.address {
        let predecessors = session.predecessors(&address).await?;
        let (value, as_of) = session.holding(&asset, &address, &predecessors).await?;
        let result = result(asset, None, value.iter().collect(), false, &as_of);
        output.result(&result, || {
            let says = match &value {
                Some(grant) => lines(grant, None).join("\n"),
                None => format!("{address} is not on the list of {asset}{meant}"),
            };
            text(&says, &result)
        });
        return Ok(());
    }
    let (standing, as_of) = session.list(&asset).await?;
    let AssetStanding { contract, grants, .. } = &standing;
    let result = result(asset, contract.as_ref(), grants.iter().collect(), true, &as_of);
    output.result(&result, || {
        let says = match contract {
            Some(contract) => describe(contract, grants),
            None => absent(&args.asset, &asset, &meant),
        };
        text(&says, &result)
    });
    Ok(())
}

/// The asset's id. Where the ledger's operator has none of a name it is the one that it would have, so that
/// this is proven, with the name that may have been meant.
async fn named(session: &Session<'_>, name: &str) -> Result<(AssetId, String), Failure> {
    let parsed: AssetName = name.parse().unwrap_or_else(|never| match never {});
    let found = match parsed {
        AssetName::Id(id) => return Ok((id, String::new())),
        AssetName::Of(..) | AssetName::Bare(_) => session.asset(name).await,
    };
    match (found, parsed) {
        (Err(AskFailure::Table(_)), AssetName::Bare(name)) => {
            let (chain, operator) = (session.genesis.chain_id(), session.genesis.operator.address());
            Ok((AssetId::of(&chain, &operator, &name), session.meant(&name).await))
        }
        (found, _) => Ok((found?.asset.id, String::new())),
    }
}

fn result<'a>(
    asset: AssetId,
    contract: Option<&'a ContractView>,
    grants: Vec<&'a GrantView>,
    complete: bool,
    as_of: &'a AsOf,
) -> ListResult<'a> {
    let mut checks = as_of.checks();
    match contract {
        Some(_) => checks.push("list: this is the contract and the whole list, nobody else is on it".into()),
        None if complete => checks.push("list: the ledger has no contract of this id".into()),
        None => {}
    }
    let mut notes = as_of.notes();
    notes.push("how much of a quota is used is not part of the state that is proven".into());
    ListResult { asset, contract, grants, complete, as_of, checks, notes }
}

fn text(says: &str, result: &ListResult<'_>) -> String {
    let mut lines = vec![says.to_owned(), "\nverified:".into()];
    lines.extend(result.checks.iter().map(|check| format!("  ok    {check}")));
    lines.extend(result.notes.iter().map(|note| format!("  note  {note}")));
    printable(&lines.join("\n"))
}

/// That there is none, under the name that was typed, with the one that may have been meant.
fn absent(typed: &str, asset: &AssetId, meant: &str) -> String {
    let id = asset.to_string();
    match typed == id {
        true => format!("there is no asset {id}"),
        false => format!("the ledger's operator has no asset '{typed}', whose id would be {id}{meant}"),
    }
}

fn describe(contract: &ContractView, grants: &[GrantView]) -> String {
    let ContractView { asset: view, version } = contract;
    let mut all = vec![
        format!("{}  {}", view.name, view.title),
        format!("  asset    {}", view.id),
        format!("  owner    {}", view.owner),
        format!(
            "  version  {} (up to {} records), root {}",
            view.current, version.info.records_rounded, version.info.root
        ),
    ];
    if let Some(height) = view.withdrawn {
        all.push(format!("  WITHDRAWN in block {height}"));
    }
    all.push(match grants.len() {
        0 => "  list     empty: nobody may ask".into(),
        count => format!("  list     {count} on it"),
    });
    for grant in grants {
        all.extend(lines(grant, Some(&view.schema)).into_iter().map(|line| format!("    {line}")));
    }
    all.join("\n")
}

/// A line of the list: who, and what it may ask.
fn lines(grant: &GrantView, schema: Option<&Schema>) -> Vec<String> {
    let terms = &grant.terms;
    let mut all = vec![format!("{}, since block {}", grant.to, grant.height)];
    let field = |column: &u8| match schema.and_then(|schema| schema.at(*column)) {
        Some(column) => column.name.clone(),
        None => format!("field {}", u16::from(*column) + 1),
    };
    if !terms.disclose.is_empty() {
        all.push(format!("  disclose {}", terms.disclose.iter().map(field).collect::<Vec<_>>().join(", ")));
    }
    if !terms.whole.is_empty() {
        all.push(format!("  fetch    all of {}", terms.whole.iter().map(field).collect::<Vec<_>>().join(", ")));
    }
    match schema {
        Some(schema) => all.extend(terms.prove.iter().map(|one| format!("  prove    {}", one.display(schema)))),
        None if terms.prove.is_empty() => {}
        None => all.push(format!("  prove    {} predicates", terms.prove.len())),
    }
    if terms.existence {
        all.push("  whether records exist".into());
    }
    if !terms.purpose.is_empty() {
        all.push(format!("  purpose  {}", terms.purpose));
    }
    let bounds = [
        terms.not_before_ms.map(|ms| format!("  from     {}", time(ms / 1000))),
        terms.until_ms.map(|ms| format!("  until    {}", time(ms / 1000))),
        terms.quota.map(|quota| format!("  quota    {quota} keys")),
        terms.bits.map(|bits| format!("  bits     {bits} of a record's field")),
    ];
    all.extend(bounds.into_iter().flatten());
    all
}
