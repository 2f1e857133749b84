//! Many lies in one world: every one is tried, then all that went wrong is told.

use sealgate_tests::Run;

/// What went wrong so far.
#[derive(Default)]
pub struct Cases(Vec<String>);

impl Cases {
    /// The command must have refused with exit code 1, and its one line must hold each of `reasons`.
    pub fn refused(&mut self, name: &str, run: Run, reasons: &[&str]) {
        let error = run.json["error"].as_str().unwrap_or_default();
        if run.code != 1 || error.is_empty() || error.contains('\n') {
            self.0.push(format!("{name}: not refused in one line: {run:?}"));
        } else if !reasons.iter().all(|reason| error.contains(reason)) {
            self.0.push(format!("{name}: expected {reasons:?}, got '{error}'"));
        } else {
            println!("{name}: {error}");
        }
    }

    /// Something else that must hold.
    pub fn holds(&mut self, name: &str, holds: bool, otherwise: impl std::fmt::Debug) {
        if !holds {
            self.0.push(format!("{name}: {otherwise:?}"));
        }
    }

    /// Fails if anything went wrong.
    pub fn finish(self) {
        assert!(self.0.is_empty(), "{} of the lies:\n{}", self.0.len(), self.0.join("\n"));
    }
}
