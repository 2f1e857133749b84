//! The trail and the meter as CSV for spreadsheets (docs/spec/trail.md#spreadsheets). Names and
//! purposes are others' texts: no cell begins with what a spreadsheet takes for a formula.

use sealgate_ledger::state::RequestStatus;

use super::meter::Metered;
use super::{Line, Wanted, decline_word, deny_word, time_text};

/// A cell that no spreadsheet computes: one that begins like a formula gets an apostrophe in front.
pub fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    if formula { format!("'{text}") } else { text.to_owned() }
}

/// Writes rows under their header (RFC 4180).
fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row.map(|text| cell(&text)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// The lines of a trail.
///
/// # Errors
/// None in practice: it is written to memory.
pub fn of_trail(lines: &[Line]) -> Result<Vec<u8>, csv::Error> {
    let header = [
        "entry",
        "block",
        "time",
        "requester",
        "name",
        "asset",
        "asset name",
        "owner",
        "kind",
        "question",
        "keys",
        "purpose",
        "outcome",
        "reason",
        "bytes",
        "request",
        "ended by",
        "ended in block",
        "ended at",
        "sample",
    ];
    let row = |line: &Line| {
        let reason = match &line.status {
            RequestStatus::Denied { reason } => deny_word(reason),
            RequestStatus::Declined { reason, .. } => decline_word(reason),
            _ => "",
        };
        [
            line.entry.to_string(),
            line.block.to_string(),
            line.time.clone(),
            line.requester.to_string(),
            line.name.clone(),
            line.asset.to_string(),
            line.asset_name.clone(),
            line.owner.to_string(),
            line.kind.word().to_owned(),
            line.shape.clone(),
            line.keys.to_string(),
            line.purpose.clone(),
            Wanted::Became(line.outcome).to_string(),
            reason.to_owned(),
            line.bytes().to_string(),
            line.request.to_string(),
            line.ended.and_then(|ended| ended.transaction).map(|hash| hash.to_string()).unwrap_or_default(),
            line.ended.map(|ended| ended.block.to_string()).unwrap_or_default(),
            line.ended.map(|ended| time_text(ended.time_ms)).unwrap_or_default(),
            line.checked.map(|checked| checked.outcome.to_string()).unwrap_or_default(),
        ]
    };
    table(header, lines.iter().map(row))
}

/// The lines of a meter.
///
/// # Errors
/// As above.
pub fn of_meter(lines: &[Metered]) -> Result<Vec<u8>, csv::Error> {
    let header = [
        "requester",
        "name",
        "asset",
        "asset name",
        "owner",
        "purpose",
        "requests",
        "granted",
        "answered",
        "delivered",
        "denied",
        "declined",
        "unanswered",
        "open",
        "keys asked",
        "keys answered",
        "bytes",
    ];
    let row = |line: &Metered| {
        let counts = &line.counts;
        [
            line.requester.to_string(),
            line.name.clone(),
            line.asset.to_string(),
            line.asset_name.clone(),
            line.owner.to_string(),
            line.purpose.clone(),
            counts.requests.to_string(),
            counts.granted.to_string(),
            counts.answered.to_string(),
            counts.delivered.to_string(),
            counts.denied.to_string(),
            counts.declined.to_string(),
            counts.unanswered.to_string(),
            counts.open.to_string(),
            counts.keys_asked.to_string(),
            counts.keys.to_string(),
            counts.bytes.to_string(),
        ]
    };
    table(header, lines.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_begins_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        for text in ["", "tax", "1", "a=b", "'", " =1"] {
            assert_eq!(cell(text), text);
        }
        let table = table(["a", "b"], std::iter::once(["=x,\"y\"".to_owned(), "2".to_owned()])).unwrap();
        assert_eq!(String::from_utf8(table).unwrap(), "a,b\r\n\"'=x,\"\"y\"\"\",2\r\n");
    }
}
