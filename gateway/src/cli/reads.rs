//! The command `reads`: what was read of the trail with a home, as its journal says.

use clap::Args;
use sealgate_ledger::ids::BlockHeight;
use serde::Serialize;

use super::output::printable;
use super::{Failure, GatewayArg, HomeArg, Output};
use crate::asking::Session;
use crate::auditing;
use crate::client::Client;
use crate::home::Home;
use crate::journal::{Anchor, Journal, Read, anchor, anchors_in};
use crate::trail::following::Eyes;
use crate::trail::time_text;

/// Lines that people are shown.
const LINES_MAX: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Reads {
    #[command(flatten)]
    gateway: GatewayArg,
    #[command(flatten)]
    home: HomeArg,
    /// Put the journal's newest hash on the ledger, as a small text of the home's account: from then on
    /// nobody can rewrite what was read until now without its being seen.
    #[arg(long)]
    anchor: bool,
}

#[derive(Serialize)]
struct ReadsResult {
    reads: Vec<Read>,
    anchors: Vec<Anchor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchored_in: Option<BlockHeight>,
}

pub(super) async fn reads(args: Reads, output: &Output) -> Result<(), Failure> {
    let (home, client) = (Home::at(&args.home.home), Client::new(&args.gateway.gateway)?);
    let mut anchored_in = None;
    if args.anchor {
        anchored_in = Some(anchor(&Session::open(&home, &client).await?).await?.height);
    }
    let session = Session::open(&home, &client).await?;
    let own: Vec<_> = Eyes::of(&session)?.all().map(|account| account.address()).collect();
    let (mut anchors, bar) = (Vec::new(), output.progress());
    let replayed = auditing::replay_each(
        &session,
        |done, total| bar.count("replaying blocks", done, total),
        |block| anchors.extend(anchors_in(block, &own)),
    )
    .await;
    bar.finish();
    replayed?;
    let journal = Journal::of(&home, &session.genesis.chain_id());
    let reading = journal.read()?;
    let path = journal.path().display();
    if let Some(damage) = reading.damage {
        return Err(Failure::new(format!("the journal {path} is damaged in line {}: {}", damage.line, damage.what)));
    }
    if let Some((lost, _)) = reading.anchored(&anchors).into_iter().find(|(_, number)| number.is_none()) {
        return Err(Failure::new(format!(
            "the journal {path} was rewritten or cut: block {} of {} anchors a read that is not in it",
            lost.block,
            time_text(lost.time_ms)
        )));
    }
    let result = ReadsResult { reads: reading.reads, anchors, anchored_in };
    output.result(&result, || text(&result));
    Ok(())
}

fn text(result: &ReadsResult) -> String {
    let line = |read: &Read| {
        let what = serde_json::to_string(&read.what).unwrap_or_default();
        format!("{:>6}  {}  {:<12} {}", read.number, time_text(read.time_ms), what.trim_matches('"'), read.about)
    };
    let skipped = result.reads.len().saturating_sub(LINES_MAX);
    let mut lines: Vec<String> = Vec::new();
    if skipped > 0 {
        lines.push(format!("… {skipped} earlier ones; --json shows all"));
    }
    lines.extend(result.reads.iter().skip(skipped).map(line));
    lines.push(format!("\nok    {} reads, each chained to the one before", result.reads.len()));
    lines.push(match result.anchors.last() {
        Some(anchor) => format!(
            "ok    {} anchors on the ledger are in it, the last in block {} of {}",
            result.anchors.len(),
            anchor.block,
            time_text(anchor.time_ms)
        ),
        None => "note  not anchored on the ledger yet: --anchor does that".into(),
    });
    printable(&lines.join("\n"))
}
