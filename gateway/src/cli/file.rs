//! Files as assets.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealgate_ledger::ids::{AssetId, BlockHeight, TxHash};
use sealgate_ods::{CipherSuite, HashAlgorithm};
use serde::Serialize;

use super::{DataArg, Failure, Output};
use crate::filing::{Filing, publish_file};
use crate::owner::Owner;

#[derive(Debug, Subcommand)]
pub(super) enum FileCommand {
    /// Seal a file and publish it as a new asset, or as an asset's next version.
    Publish(Publish),
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
