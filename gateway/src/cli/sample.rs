//! An auditor's samples of what an owner stores.

use clap::Args;
use sealgate_ledger::tx::{SAMPLE_RECORDS_MAX, SampleOutcome};

use super::output::printable;
use super::requester::witness_lines;
use super::{Failure, GatewayArg, HomeArg, Output};
use crate::client::Client;
use crate::home::Home;
use crate::journal::{Journal, What};
use crate::sampling;

#[derive(Debug, Args)]
pub(super) struct Sample {
    #[command(flatten)]
    gateway: GatewayArg,
    #[command(flatten)]
    home: HomeArg,
    /// The asset: its id, its name, or its owner's DID, a slash and its name.
    #[arg(long, value_name = "NAME")]
    asset: String,
    /// How many records chance is to choose.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(SAMPLE_RECORDS_MAX)))]
    records: u16,
}

pub(super) async fn sample(args: Sample, output: &Output) -> Result<(), Failure> {
    let (home, client) = (Home::at(&args.home.home), Client::new(&args.gateway.gateway)?);
    let chain = client.genesis().await?.chain_id();
    home.trusts(&chain)?;
    Journal::of(&home, &chain).note(What::Sample, &format!("{} records of {}", args.records, args.asset))?;
    let bar = output.progress();
    let progress = |what, done, total| bar.count(what, done, total);
    let sampled = sampling::sample(&home, &client, &args.asset, args.records, &progress).await;
    bar.finish();
    let sampled = sampled?;
    let genesis = client.genesis().await?;
    let report = &sampled.report;
    if let SampleOutcome::Damaged { .. } = report.outcome {
        let finding = report.finding.as_deref().unwrap_or_default();
        return Err(Failure::new(printable(&format!(
            "'{}' version {} is not stored as registered: {} ({finding}). Recorded in block {}; the report is {}",
            report.name,
            report.version,
            report.outcome,
            sampled.block,
            sampled.path.display(),
        ))));
    }
    output.result(&sampled, || {
        printable(&format!(
            "ok    '{}' version {}: {} samples led to {} different records, each proven to be the one that chance chose\n\
             ok    their values open their commitments, whose paths lead to the registered root\n\
             ok    their cells open from ciphertext ({} bytes) with the registered digests{}\n\n\
             recorded in block {}; report in {}",
            report.name,
            report.version,
            report.records,
            report.distinct,
            report.bytes,
            witness_lines(&genesis, &sampled.witnessed),
            sampled.block,
            sampled.path.display(),
        ))
    });
    Ok(())
}
