//! Receipts: fetching and verifying them.

use std::path::PathBuf;

use clap::Args;
use sealgate_ledger::ids::TxHash;

use super::failure::NOT_VERIFIED;
use super::output::printable;
use super::{Failure, GatewayArg, HomeArg, Output};
use crate::asking::Session;
use crate::client::Client;
use crate::files::{FileError, check_writable, read_bounded, write_private};
use crate::home::Home;
use crate::receipt::{RECEIPT_BYTES_MAX, Shown, fetch};
use crate::verifying;

#[derive(Debug, Args)]
pub(super) struct Fetch {
    /// The transaction.
    hash: TxHash,
    #[command(flatten)]
    gateway: GatewayArg,
    #[command(flatten)]
    home: HomeArg,
    /// Where to write the receipt.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) async fn receipt(args: Fetch, output: &Output) -> Result<(), Failure> {
    check_writable(&args.out)?;
    let home = Home::at(&args.home.home);
    let client = Client::new(&args.gateway.gateway)?;
    let session = Session::open(&home, &client).await?;
    let (receipt, shown) = fetch(&session, &args.hash).await?;
    write_private(&args.out, &receipt.to_bytes()?, true).map_err(FileError::io(&args.out))?;
    output.result(&shown, || format!("{}\n\nwritten to {}", report(&shown), args.out.display()));
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    home: HomeArg,
    /// Gateway of the ledger, asked only whether the receipt's checkpoint and those that this home
    /// has seen are of one history.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// The receipt.
    file: PathBuf,
}

pub(super) async fn verify(args: Verify, output: &Output) -> Result<(), Failure> {
    let home = Home::at(&args.home.home);
    let shown = verify_file(&home, &args)
        .await
        .map_err(|failure| failure.about(format!("{} does not verify", args.file.display())).or_code(NOT_VERIFIED))?;
    output.result(&shown, || report(&shown));
    Ok(())
}

async fn verify_file(home: &Home, args: &Verify) -> Result<Shown, Failure> {
    let client = args.gateway.as_deref().map(Client::new).transpose()?;
    let bytes = read_bounded(&args.file, RECEIPT_BYTES_MAX)?;
    Ok(verifying::receipt(home, client.as_ref(), &bytes).await?)
}

/// A receipt as people read it.
fn report(shown: &Shown) -> String {
    let mut lines =
        vec![format!("transaction {}", shown.transaction), format!("who         {} ({})", shown.sender, shown.did)];
    for (at, line) in shown.action.iter().enumerate() {
        lines.push(format!("{}{line}", if at == 0 { "what        " } else { "            " }));
    }
    let not_later = if shown.time_exact { "at" } else { "not later than" };
    lines.push(format!("when        block {}, {not_later} {}", shown.block, shown.time));
    lines.push(format!("outcome     {}", shown.outcome));
    lines.push(format!("where       '{}' ({}), entry {}", shown.ledger, shown.fingerprint, shown.entry_index));
    lines.push("\nverified:".into());
    lines.extend(shown.checks.iter().map(|check| format!("  ok    {check}")));
    lines.extend(shown.notes.iter().map(|note| format!("  note  {note}")));
    printable(&lines.join("\n"))
}
