//! An owner's assets as a whole: `sealgate asset`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::value::Value;
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, ChainId, TxHash};
use sealgate_ledger::tx::{EXPIRY_BLOCKS_MAX, TABLE, TxBody};
use sealgate_ods::table::{DifferenceRequest, SealedTable, compare_versions};
use serde::Serialize;

use super::{DataArg, Failure, Output};
use crate::asking::Session;
use crate::client::Client;
use crate::files::{check_writable, read_json, write_json};
use crate::handing::{self, SignedHanding};
use crate::home::Home;
use crate::owner::{Access, Owner};
use crate::publishing::spill_folder;

#[derive(Debug, Subcommand)]
pub(super) enum AssetCommand {
    /// Agree to be given an asset: writes the consent that its owner needs to transfer it.
    Accept(Accept),
    /// Give an asset's contract to another account, with its consent. Keys and sealed data are handed
    /// over apart.
    Transfer(Transfer),
    /// Take over the assets of accounts that this one replaced.
    TakeOver(TakeOver),
    /// Show what changed between two versions of a table: counts, and keys of some records.
    Diff(Diff),
    /// End an asset: nothing of it is granted or answered any more, and its name stays taken.
    Withdraw(Withdraw),
}

/// Who is given something: an owner, or a home on some gateway's ledger.
#[derive(Debug, Args)]
struct Receiver {
    /// Home folder of the account.
    #[arg(long, value_name = "DIR", requires = "gateway", conflicts_with = "data_dir")]
    home: Option<PathBuf>,
    /// Address of a gateway of the ledger.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// An owner's data folder.
    #[arg(long, value_name = "DIR", required_unless_present = "home")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Accept {
    #[command(flatten)]
    receiver: Receiver,
    /// The asset's id.
    #[arg(long, value_name = "ID")]
    asset: AssetId,
    /// How many blocks from now the consent holds for.
    #[arg(long, value_name = "N", default_value_t = EXPIRY_BLOCKS_MAX)]
    blocks: u64,
    /// Where to write the consent, for the owner.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct TakeOver {
    #[command(flatten)]
    receiver: Receiver,
    /// This asset alone.
    #[arg(long, value_name = "ID")]
    asset: Option<AssetId>,
}

#[derive(Debug, Args)]
pub(super) struct Transfer {
    #[command(flatten)]
    data: DataArg,
    /// The asset, by id or name.
    #[arg(long, value_name = "ID")]
    asset: String,
    /// Its owner from now on: an enrolled account.
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
    /// That account's consent ('sealgate asset accept').
    #[arg(long, value_name = "FILE")]
    consent: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Withdraw {
    #[command(flatten)]
    data: DataArg,
    /// The asset, by id or name.
    #[arg(long, value_name = "ID")]
    asset: String,
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    #[command(flatten)]
    data: DataArg,
    /// The asset, by id or name.
    #[arg(long, value_name = "ID")]
    asset: String,
    /// The earlier version; the one before the later one unless given.
    #[arg(long, value_name = "VERSION")]
    from: Option<u32>,
    /// The later version; the current one unless given.
    #[arg(long, value_name = "VERSION")]
    to: Option<u32>,
    /// How many keys to name of each kind.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    keys: usize,
}

#[derive(Serialize)]
struct DiffResult {
    asset: AssetId,
    from: u32,
    to: u32,
    unchanged: u64,
    changed: u64,
    added: u64,
    removed: u64,
    changed_keys: Vec<String>,
    added_keys: Vec<String>,
    removed_keys: Vec<String>,
}

#[derive(Serialize)]
struct AcceptResult {
    asset: AssetId,
    from: Address,
    to: Address,
    expiry: BlockHeight,
    written: PathBuf,
}

#[derive(Serialize)]
struct AssetResult {
    asset: AssetId,
    transaction: TxHash,
    block: BlockHeight,
}

pub(super) async fn run(command: AssetCommand, output: &Output) -> Result<(), Failure> {
    let (data, name, consent) = match command {
        AssetCommand::Diff(args) => return diff(args, output).await,
        AssetCommand::Accept(args) => return accept(args, output).await,
        AssetCommand::TakeOver(args) => return take_over(args, output).await,
        AssetCommand::Transfer(args) => (args.data, args.asset, Some((args.to, args.consent))),
        AssetCommand::Withdraw(args) => (args.data, args.asset, None),
    };
    let owner = Owner::open(&data.data_dir)?;
    let access = owner.access().await?;
    let asset = access.own_asset(owner.account().public(), &name).await?.asset;
    let (what, body) = match consent {
        Some((to, file)) => {
            let consent: SignedHanding = read_json(&file)?;
            let chain = access.genesis().await?.chain_id();
            let transfer = consent.transfer(chain, &asset, to);
            ("transferred", transfer.map_err(|error| Failure::new(error.to_string()))?)
        }
        None => ("withdrawn", TxBody::Withdraw { asset: asset.id }),
    };
    let receipt = access.submit(owner.account(), body).await?;
    let result = AssetResult { asset: asset.id, transaction: receipt.hash, block: receipt.height };
    output.result(&result, || result.text(what));
    Ok(())
}

impl AssetResult {
    fn text(&self, what: &str) -> String {
        format!("{what:11} {}\ntransaction {}\nblock       {}", self.asset, self.transaction, self.block)
    }
}

impl Receiver {
    /// The ledger, its id, and the account.
    async fn open(self) -> Result<(Access, ChainId, AccountSecret), Failure> {
        if let Some(data_dir) = self.data_dir {
            let owner = Owner::open(&data_dir)?;
            let access = owner.access().await?;
            let chain = access.genesis().await?.chain_id();
            return Ok((access, chain, owner.account().clone()));
        }
        let (Some(folder), Some(url)) = (self.home, self.gateway) else {
            return Err(Failure::new("name a home and a gateway, or a data folder".into()));
        };
        let (home, client) = (Home::at(&folder), Client::new(&url)?);
        let chain = Session::open(&home, &client).await?.genesis.chain_id();
        Ok((Access::Serving(client), chain, home.account()?))
    }
}

async fn accept(args: Accept, output: &Output) -> Result<(), Failure> {
    check_writable(&args.out)?;
    let (access, chain, account) = args.receiver.open().await?;
    let unknown = || Failure::new(format!("there is no asset {} on this ledger", args.asset));
    let asset = access.asset(&args.asset).await?.ok_or_else(unknown)?.asset;
    let expiry = access.head().await?.plus(args.blocks);
    let consent = SignedHanding::new(chain, &asset, expiry, &account);
    write_json(&args.out, &consent, true)?;
    let (from, to, written) = (asset.owner, account.address(), args.out);
    let result = AcceptResult { asset: asset.id, from, to, expiry, written };
    output.result(&result, || {
        format!(
            "agreed      to be given {} ('{}')\nby          {from}\nuntil       block {expiry}\nwritten to  {}\n\nGive the file to the owner, for 'sealgate asset transfer --to {to} --consent FILE'.",
            asset.id,
            asset.name,
            result.written.display()
        )
    });
    Ok(())
}

async fn take_over(args: TakeOver, output: &Output) -> Result<(), Failure> {
    let (access, _, account) = args.receiver.open().await?;
    let mut assets = handing::inherited(&access, &account.address()).await?;
    assets.retain(|asset| args.asset.is_none_or(|only| asset.id == only));
    let mut results = Vec::new();
    for asset in assets {
        let receipt = handing::take_over(&access, &asset, &account).await?;
        results.push(AssetResult { asset: asset.id, transaction: receipt.hash, block: receipt.height });
    }
    if results.is_empty() {
        return Err(Failure::new(
            "no account that this one replaced owns such an asset: nothing was taken over".into(),
        ));
    }
    output.result(&results, || results.iter().map(|one| one.text("taken over")).collect::<Vec<_>>().join("\n"));
    Ok(())
}

async fn diff(args: Diff, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    let access = owner.access().await?;
    let detail = access.own_asset(owner.account().public(), &args.asset).await?;
    if detail.asset.data_type != TABLE {
        return Err(Failure::new(format!(
            "asset '{}' is a {}: versions of tables are compared",
            args.asset, detail.asset.data_type
        )));
    }
    let to = args.to.unwrap_or(detail.asset.current);
    if detail.asset.current == 1 {
        return Err(Failure::new(format!("'{}' has one version: there is none before it to compare", args.asset)));
    }
    let from = args.from.unwrap_or(to.saturating_sub(1));
    if from == 0 || from >= to {
        return Err(Failure::new(format!(
            "versions {from} and {to} of '{}' are not an earlier and a later one; it has versions 1 to {}",
            args.asset, detail.asset.current
        )));
    }
    let keys = Arc::new(owner.asset_keys(&detail.asset.id)?);
    let open = async |number: u32| -> Result<Arc<SealedTable>, Failure> {
        let version = access.version(&detail, number).await?;
        let reference = owner.kept(&keys, &detail.version, &version).await?.ok_or_else(|| {
            Failure::new(format!(
                "version {number} of '{}' is no longer stored; [versions] in sealgate.toml says how long they are kept",
                args.asset
            ))
        })?;
        let (store, schema) = (owner.store().clone(), detail.asset.schema.clone());
        Ok(Arc::new(SealedTable::open(store, Arc::clone(&keys), schema, &reference).await?))
    };
    let request = DifferenceRequest {
        old: open(from).await?,
        new: open(to).await?,
        spill_dir: spill_folder(owner.folder()),
        keys_max: args.keys,
    };
    let found = compare_versions(request).await?;
    let named =
        |keys: &[Vec<Value>]| -> Vec<String> { keys.iter().map(|key| key_text(&detail.asset.schema, key)).collect() };
    let result = DiffResult {
        asset: detail.asset.id,
        from,
        to,
        unchanged: found.unchanged,
        changed: found.changed,
        added: found.added,
        removed: found.removed,
        changed_keys: named(&found.changed_keys),
        added_keys: named(&found.added_keys),
        removed_keys: named(&found.removed_keys),
    };
    output.result(&result, || {
        let mut text = format!("version {from} to {to}: {} as they were", result.unchanged);
        for (what, count, keys) in [
            ("changed", result.changed, &result.changed_keys),
            ("added", result.added, &result.added_keys),
            ("removed", result.removed, &result.removed_keys),
        ] {
            text.push_str(&format!("\n{what:8} {count}"));
            keys.iter().for_each(|key| text.push_str(&format!("\n  {key}")));
            if count > keys.len() as u64 && !keys.is_empty() {
                text.push_str(&format!("\n  and {} more", count - keys.len() as u64));
            }
        }
        text
    });
    Ok(())
}

fn key_text(schema: &Schema, key: &[Value]) -> String {
    let columns = schema.key.iter().filter_map(|at| schema.at(*at)).zip(key);
    let named = columns.map(|(column, value)| format!("{} = {}", column.name, value.literal(column.kind)));
    named.collect::<Vec<_>>().join(", ")
}
