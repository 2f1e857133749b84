//! An owner's assets as a whole: `sealgate asset`.

use clap::{Args, Subcommand};
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, TxHash};
use sealgate_ledger::tx::TxBody;
use serde::Serialize;

use super::{DataArg, Failure, Output};
use crate::owner::Owner;

#[derive(Debug, Subcommand)]
pub(super) enum AssetCommand {
    /// Give an asset's contract to another account. Keys and sealed data are handed over apart.
    Transfer(Transfer),
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

#[derive(Serialize)]
struct AssetResult {
    asset: AssetId,
    transaction: TxHash,
    block: BlockHeight,
}

pub(super) async fn run(command: AssetCommand, output: &Output) -> Result<(), Failure> {
    let (data, name, to) = match command {
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
