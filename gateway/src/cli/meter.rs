//! The command `meter`: what each account asked and got, counted.

use std::path::PathBuf;

use clap::Args;
use sealgate_ledger::ids::BlockHeight;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::output::printable;
use super::trail::{FilterArgs, replayed};
use super::{Failure, GatewayArg, HomeArg, Output};
use crate::client::Client;
use crate::files::{FileError, check_writable, write_private};
use crate::home::Home;
use crate::journal::{Journal, What};
use crate::trail::meter::{Counts, Metered, meter as count};
use crate::trail::{spreadsheet, time_text};

/// Lines that people are shown.
const LINES_MAX: usize = 200;
/// Widest column of texts that others have chosen.
const TEXT_MAX: usize = 32;

#[derive(Debug, Args)]
pub(super) struct Meter {
    #[command(flatten)]
    gateway: GatewayArg,
    #[command(flatten)]
    home: HomeArg,
    #[command(flatten)]
    filter: FilterArgs,
    /// Also write it to this file as CSV, for spreadsheets.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

#[derive(Serialize)]
struct MeterResult {
    height: BlockHeight,
    time: String,
    lines: Vec<Metered>,
    total: Counts,
}

pub(super) async fn meter(args: Meter, output: &Output) -> Result<(), Failure> {
    if let Some(file) = &args.csv {
        check_writable(file)?;
    }
    let (home, client) = (Home::at(&args.home.home), Client::new(&args.gateway.gateway)?);
    let filter = args.filter.filter()?;
    let trail = replayed(&home, &client, args.filter.as_of(), &filter, output).await?;
    Journal::of(&home, &trail.chain).note(What::Meter, &filter.words())?;
    let (lines, total) = count(&trail.lines);
    if let Some(file) = &args.csv {
        write_private(file, &spreadsheet::of_meter(&lines)?, true).map_err(FileError::io(file))?;
    }
    let result = MeterResult { height: trail.height, time: time_text(trail.time_ms), lines, total };
    output.result(&result, || text(&result));
    Ok(())
}

fn text(result: &MeterResult) -> String {
    let header = ["requests", "granted", "answered", "denied", "declined", "unanswered", "open", "keys", "bytes"]
        .map(String::from);
    let numbers = |counts: &Counts| {
        [
            counts.requests,
            counts.granted,
            counts.answered,
            counts.denied,
            counts.declined,
            counts.unanswered,
            counts.open,
            counts.keys,
            counts.bytes,
        ]
        .map(|number| number.to_string())
    };
    let mut rows = vec![(String::new(), header)];
    let shown = result.lines.get(..LINES_MAX).unwrap_or(&result.lines);
    for line in shown {
        rows.push((
            format!("{} for '{}'", shortened(&line.asset_name), shortened(&line.purpose)),
            numbers(&line.counts),
        ));
    }
    rows.push(("all".into(), numbers(&result.total)));
    let label = rows.iter().map(|(label, _)| label.width()).max().unwrap_or(0);
    let mut widths = [0; 9];
    for (_, cells) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.len().max(*width);
        }
    }
    let row = |(text, cells): &(String, [String; 9])| {
        let numbers: String = cells.iter().zip(widths).map(|(cell, width)| format!("  {cell:>width$}")).collect();
        format!("{text}{}{numbers}", " ".repeat(label - text.width()))
    };
    let mut lines = Vec::new();
    let mut before = None;
    for (index, cells) in rows.iter().enumerate() {
        let whose = index.checked_sub(1).and_then(|index| shown.get(index));
        if let Some(line) = whose.filter(|line| before != Some(line.requester)) {
            before = Some(line.requester);
            lines.push(format!("\n{} ({})", line.name, line.requester));
        }
        if index > shown.len() {
            lines.push(String::new());
        }
        lines.push(row(cells));
    }
    if result.lines.len() > shown.len() {
        lines.push(format!("… with {} more lines; --json and --csv have all", result.lines.len() - shown.len()));
    }
    lines.push(format!("\nas of block {}, {}; keys are those of answered requests", result.height, result.time));
    printable(&lines.join("\n"))
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= TEXT_MAX {
        return text.to_owned();
    }
    text.chars().take(TEXT_MAX - 1).chain(['…']).collect()
}
