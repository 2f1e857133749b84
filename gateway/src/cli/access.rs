//! An owner's authorization lists: grant, revoke.

use clap::Args;
use sealgate_circuits::schema::Schema;
use sealgate_ledger::block::Receipt;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, TxHash};
use sealgate_ledger::tx::{GrantTerms, TxBody};
use serde::Serialize;

use super::{DataArg, Failure, Output};
use crate::granting::{Wanted, first_moment, last_moment};
use crate::owner::Owner;

#[derive(Debug, Args)]
pub(super) struct Grant {
    #[command(flatten)]
    data: DataArg,
    /// The asset, by id or name.
    #[arg(long, value_name = "ID")]
    asset: String,
    /// Who may ask: the address that 'sealgate account new' printed.
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
    /// Fields that may be disclosed, separated by commas.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    disclose: Vec<String>,
    /// Columns that may be fetched whole, separated by commas: every value of theirs, without
    /// asking for a key. Of a file its one column: content.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    whole: Vec<String>,
    /// A predicate that may be proven, constants included ('FeePaid >= 500'); '?' leaves a
    /// constant to the requester. May be given several times.
    #[arg(long, value_name = "PREDICATE")]
    prove: Vec<String>,
    /// Allow to ask whether a record exists at all (SELECT 1).
    #[arg(long)]
    existence: bool,
    /// The purpose that requests must state.
    #[arg(long)]
    purpose: String,
    /// First moment: a day, a day and a time in UTC, or RFC 3339.
    #[arg(long, value_name = "T", value_parser = first_moment)]
    from: Option<jiff::Timestamp>,
    /// Last moment (2026-12-31T23:59:59Z); of a day alone (2026-12-31) its last second.
    #[arg(long, value_name = "T", value_parser = last_moment)]
    until: Option<jiff::Timestamp>,
    /// How many keys may be asked about, each time counted; fetching whole columns counts one.
    #[arg(long, value_name = "N")]
    quota: Option<u64>,
    /// The most bits that predicates may tell this account of one record's field; the field's
    /// whole budget unless given.
    #[arg(long, value_name = "N")]
    bits: Option<u16>,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    data: DataArg,
    /// The asset, by id or name.
    #[arg(long, value_name = "ID")]
    asset: String,
    /// Who may no longer ask.
    #[arg(long, value_name = "ADDRESS")]
    to: Address,
}

#[derive(Serialize)]
struct AccessResult {
    asset: AssetId,
    to: Address,
    transaction: TxHash,
    block: BlockHeight,
}

fn show(output: &Output, what: &str, asset: AssetId, to: Address, receipt: &Receipt) {
    let result = AccessResult { asset, to, transaction: receipt.hash, block: receipt.height };
    output.result(&result, || {
        format!("{what:11} {to}\nasset       {asset}\ntransaction {}\nblock       {}", receipt.hash, receipt.height)
    });
}

pub(super) async fn grant(args: Grant, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    let access = owner.access().await?;
    let detail = access.own_asset(owner.account().public(), &args.asset).await?;
    let terms = terms(&args, &detail.asset.schema)?;
    let body = TxBody::Grant { asset: detail.asset.id, to: args.to, terms };
    let receipt = access.submit(owner.account(), body).await?;
    show(output, "granted", detail.asset.id, args.to, &receipt);
    Ok(())
}

fn terms(args: &Grant, schema: &Schema) -> Result<GrantTerms, Failure> {
    let wanted = Wanted {
        disclose: args.disclose.clone(),
        whole: args.whole.clone(),
        prove: args.prove.clone(),
        existence: args.existence,
        purpose: args.purpose.clone(),
        from: args.from,
        until: args.until,
        quota: args.quota,
        bits: args.bits,
    };
    wanted.terms(schema).map_err(|error| Failure::new(format!("--{error}")))
}

pub(super) async fn revoke(args: Revoke, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    let access = owner.access().await?;
    let detail = access.own_asset(owner.account().public(), &args.asset).await?;
    let body = TxBody::Revoke { asset: detail.asset.id, to: args.to };
    let receipt = access.submit(owner.account(), body).await?;
    show(output, "revoked", detail.asset.id, args.to, &receipt);
    Ok(())
}
