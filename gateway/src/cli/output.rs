//! What a command shows: lines for people, or one JSON object for machines; one clear line on
//! error; progress on the error stream when it is a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealgate_ods::progress::{Progress, ProgressSink};
use serde::Serialize;

use super::Failure;

/// How often a sign of life moves.
const TICK: std::time::Duration = std::time::Duration::from_millis(120);

/// Text that others had a hand in, safe for a terminal: control characters other than line ends,
/// and characters that are invisible or turn the direction of writing, are made visible.
pub(crate) fn printable(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|c| if hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Where a command's results go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// For people, or for machines.
    pub fn new(json: bool) -> Output {
        Output { json }
    }

    /// Whether it is for machines.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Shows a result: `text` to people, `value` to machines.
    pub fn result<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) {
        let line = if self.json { serde_json::to_string(value).unwrap_or_default() } else { text() };
        // A closed pipe is the reader's choice, not an error of ours.
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    /// A line for people only.
    pub fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
        }
    }

    /// The one line of a failure.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            let _ = writeln!(std::io::stdout(), "{}", failure.to_json());
        } else {
            let _ = writeln!(std::io::stderr(), "error: {}", printable(failure.text()));
        }
    }

    /// A sign of life during work whose end cannot be told, drawn when people look on.
    pub fn busy(&self, what: &'static str) -> Arc<Bar> {
        let bar = self.progress();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
            bar.bar.set_style(style);
        }
        bar.bar.set_message(what);
        bar.bar.enable_steady_tick(TICK);
        bar
    }

    /// A progress bar for long work, drawn when people look on.
    pub fn progress(&self) -> Arc<Bar> {
        let target = if self.json || !std::io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(8)
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template("{msg:22} {bar:30} {percent:>3} %  {prefix}  {eta} left") {
            bar.set_style(style);
        }
        Arc::new(Bar { bar })
    }
}

/// A progress bar that follows sealing, checking and replaying.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// How far a count has come.
    pub fn count(&self, what: &'static str, done: u64, total: u64) {
        self.bar.set_message(what);
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl ProgressSink for Bar {
    fn report(&self, progress: Progress) {
        let (done, total) = match (progress.bytes_total, progress.rows_total) {
            (Some(total), _) => (progress.bytes_done, total),
            (None, Some(total)) => (progress.rows_done, total),
            (None, None) => (0, 0),
        };
        self.bar.set_prefix(format!("{} records", progress.rows_done));
        self.count(progress.phase.words(), done, total);
    }
}
