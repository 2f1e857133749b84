//! Whole columns into a file.

use std::path::PathBuf;

use clap::Args;
use sealgate_ledger::tx::TABLE;

use super::output::printable;
use super::requester::witness_lines;
use super::{Failure, GatewayArg, HomeArg, Output};
use crate::client::Client;
use crate::fetching::{Fetching, Format, fetch as fetch_columns};
use crate::files::check_writable;
use crate::home::Home;

#[derive(Debug, Args)]
pub(super) struct Fetch {
    #[command(flatten)]
    gateway: GatewayArg,
    #[command(flatten)]
    home: HomeArg,
    /// The asset: its id, its name, or its owner's DID, a slash and its name.
    #[arg(long, value_name = "NAME")]
    asset: String,
    /// The columns, separated by commas, in the order in which the file has them.
    #[arg(long, value_name = "A,B", value_delimiter = ',', required = true)]
    columns: Vec<String>,
    /// Why you fetch them; must be the purpose you were granted.
    #[arg(long)]
    purpose: String,
    /// The file to write. Beside it, FILE.part keeps what has come so far.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Its format, csv or parquet; what the file's name ends in unless given.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

pub(super) async fn fetch(args: Fetch, output: &Output) -> Result<(), Failure> {
    if args.out.is_dir() {
        return Err(Failure::new(format!("{} is a folder; --out names a file", args.out.display())));
    }
    let format = args.format.or_else(|| Format::of(&args.out)).ok_or_else(|| {
        let out = args.out.display();
        Failure::new(format!("{out} ends in neither .csv nor .parquet: say which it is with --format"))
    })?;
    // It counts against the quota: nothing is asked for that cannot be kept.
    check_writable(&args.out)?;
    let home = Home::at(&args.home.home);
    let client = Client::new(&args.gateway.gateway)?;
    let bar = output.progress();
    let progress = |what, done, total| bar.count(what, done, total);
    let columns: Vec<String> = args.columns.iter().map(|name| name.trim().to_owned()).collect();
    let fetching = Fetching {
        asset: &args.asset,
        columns: &columns,
        purpose: &args.purpose,
        out: &args.out,
        format,
        progress: &progress,
    };
    let fetched = fetch_columns(&home, &client, &fetching).await;
    bar.finish();
    let fetched = fetched?;
    let genesis = client.genesis().await?;
    output.result(&fetched, || {
        printable(&format!(
            "ok    {TABLE} '{}', version {}: {} as registered on the ledger\n\
             ok    the delivery is recorded in block {}; every object has its registered digest\n\
             ok    {} rows, {} bytes of ciphertext{}\n\nwritten to {}",
            fetched.name,
            fetched.version,
            fetched.columns.join(", "),
            fetched.block,
            fetched.rows,
            fetched.bytes,
            witness_lines(&genesis, &fetched.witnessed),
            args.out.display(),
        ))
    });
    Ok(())
}
