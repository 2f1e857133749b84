//! An owner's assets as a whole: `sealgate asset`.

use std::sync::Arc;

use clap::{Args, Subcommand};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::value::Value;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, TxHash};
use sealgate_ledger::tx::{TABLE, TxBody};
use sealgate_ods::table::{DifferenceRequest, SealedTable, compare_versions};
use serde::Serialize;

use super::{DataArg, Failure, Output};
use crate::owner::Owner;
use crate::publishing::spill_folder;

#[derive(Debug, Subcommand)]
pub(super) enum AssetCommand {
    /// Give an asset's contract to another account. Keys and sealed data are handed over apart.
    Transfer(Transfer),
    /// Show what changed between two versions of a table: counts, and keys of some records.
    Diff(Diff),
    /// End an asset: nothing of it is granted or answered any more, and its name stays taken.
    Withdraw(Withdraw),
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
struct AssetResult {
    asset: AssetId,
    transaction: TxHash,
    block: BlockHeight,
}

pub(super) async fn run(command: AssetCommand, output: &Output) -> Result<(), Failure> {
    let (data, name, to) = match command {
        AssetCommand::Diff(args) => return diff(args, output).await,
        AssetCommand::Transfer(args) => (args.data, args.asset, Some(args.to)),
        AssetCommand::Withdraw(args) => (args.data, args.asset, None),
    };
    let owner = Owner::open(&data.data_dir)?;
    let access = owner.access().await?;
    let asset = access.own_asset(owner.account().public(), &name).await?.asset.id;
    let (what, body) = match to {
        Some(to) => ("transferred", TxBody::Transfer { asset, to }),
        None => ("withdrawn", TxBody::Withdraw { asset }),
    };
    let receipt = access.submit(owner.account(), body).await?;
    let result = AssetResult { asset, transaction: receipt.hash, block: receipt.height };
    output
        .result(&result, || format!("{what:11} {asset}\ntransaction {}\nblock       {}", receipt.hash, receipt.height));
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
