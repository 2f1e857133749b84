//! Files as assets.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealgate_ledger::ids::{AssetId, BlockHeight, TxHash};
use sealgate_ods::{CipherSuite, HashAlgorithm};
use serde::Serialize;

use super::output::printable;
use super::requester::witness_lines;
use super::{DataArg, Failure, GatewayArg, HomeArg, Output};
use crate::client::Client;
use crate::fetching::file::{ByteRange, FileFetching, fetch_file};
use crate::files::check_writable;
use crate::filing::{Filing, publish_file};
use crate::home::Home;
use crate::owner::Owner;

#[derive(Debug, Subcommand)]
pub(super) enum FileCommand {
    /// Seal a file and publish it as a new asset, or as an asset's next version.
    Publish(Publish),
    /// Fetch a file that you were granted, or a range of it; every part is checked against the ledger.
    Get(Get),
}

#[derive(Debug, Args)]
pub(super) struct Publish {
    #[command(flatten)]
    data: DataArg,
    /// The asset's name: a letter or underscore, then letters, digits, '_' and '-'.
    #[arg(long)]
    name: String,
    /// A title for the catalogue.
    #[arg(long)]
    title: String,
    /// What the file holds.
    #[arg(long, default_value = "")]
    description: String,
    /// What it is sealed with: AES-256-GCM or SM4-GCM.
    #[arg(long, value_name = "NAME", default_value = CipherSuite::default().name())]
    suite: CipherSuite,
    /// What its sealed parts are hashed with: BLAKE3, SHA-256, SHA3-256 or SM3.
    #[arg(long, value_name = "NAME", default_value = HashAlgorithm::default().name())]
    hash: HashAlgorithm,
    /// The file.
    #[arg(value_name = "FILE")]
    path: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Get {
    #[command(flatten)]
    gateway: GatewayArg,
    #[command(flatten)]
    home: HomeArg,
    /// The asset: its id, its name, or its owner's DID, a slash and its name.
    #[arg(long, value_name = "NAME")]
    asset: String,
    /// Why you fetch it; must be the purpose you were granted.
    #[arg(long)]
    purpose: String,
    /// Only these bytes, first and last one, counted from 0: 0-999 are the first thousand.
    #[arg(long, value_name = "A-B")]
    range: Option<ByteRange>,
    /// The file to write. Beside it, FILE.part keeps what has come so far.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Serialize)]
struct PublishResult {
    asset: AssetId,
    name: String,
    version: u32,
    bytes: u64,
    suite: &'static str,
    hash: &'static str,
    transaction: TxHash,
    block: BlockHeight,
}

pub(super) async fn run(command: FileCommand, output: &Output) -> Result<(), Failure> {
    match command {
        FileCommand::Publish(args) => publish(args, output).await,
        FileCommand::Get(args) => get(args, output).await,
    }
}

async fn publish(args: Publish, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    let bar = output.progress();
    let filing = Filing {
        name: &args.name,
        title: &args.title,
        description: &args.description,
        path: &args.path,
        suite: args.suite,
        hash: args.hash,
        progress: bar.clone(),
    };
    let filed = publish_file(&owner, filing).await;
    bar.finish();
    let filed = filed?;
    let result = PublishResult {
        asset: filed.asset,
        name: args.name,
        version: filed.version.version,
        bytes: filed.version.file_bytes,
        suite: args.suite.name(),
        hash: args.hash.name(),
        transaction: filed.receipt.hash,
        block: filed.receipt.height,
    };
    output.result(&result, || {
        format!(
            "published   file {} version {} ({} bytes, {}, {})\nasset       {}\ntransaction {}\nblock       {}\n\n\
             Let somebody have it with 'sealgate grant --asset {} --to ADDRESS --whole content --purpose TEXT'.",
            result.name,
            result.version,
            result.bytes,
            result.suite,
            result.hash,
            result.asset,
            result.transaction,
            result.block,
            result.asset,
        )
    });
    Ok(())
}

async fn get(args: Get, output: &Output) -> Result<(), Failure> {
    if args.out.is_dir() {
        return Err(Failure::new(format!("{} is a folder; --out names a file", args.out.display())));
    }
    // It counts against the quota: nothing is asked for that cannot be kept.
    check_writable(&args.out)?;
    let (home, client) = (Home::at(&args.home.home), Client::new(&args.gateway.gateway)?);
    let bar = output.progress();
    let progress = |what, done, total| bar.count(what, done, total);
    let fetching = FileFetching {
        asset: &args.asset,
        purpose: &args.purpose,
        range: args.range,
        out: &args.out,
        progress: &progress,
    };
    let fetched = fetch_file(&home, &client, &fetching).await;
    bar.finish();
    let fetched = fetched?;
    let genesis = client.genesis().await?;
    output.result(&fetched, || {
        let (parts, all) = fetched.parts;
        printable(&format!(
            "ok    file '{}', version {}: as registered on the ledger\n\
             ok    the delivery is recorded in block {}; every part fetched has its registered digest\n\
             ok    {} bytes, {parts} of {all} parts{}\n\nwritten to {}",
            fetched.name,
            fetched.version,
            fetched.block,
            fetched.bytes,
            witness_lines(&genesis, &fetched.witnessed),
            args.out.display(),
        ))
    });
    Ok(())
}
