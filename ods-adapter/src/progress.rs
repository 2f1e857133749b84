//! How long work tells how far it is.

use std::sync::Arc;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Rows are looked at, to make a manifest.
    Inferring,
    /// Rows are read from the source.
    Reading,
    /// Rows are compared with the last version; new and changed ones are committed and sealed.
    Sealing,
    /// Leaves are sorted by place and sealed.
    Sorting,
    /// Stored objects are read back, compared with their digests and opened.
    Checking,
    /// Places and commitments are computed again from the stored records.
    Recomputing,
}

impl Phase {
    /// What is being done, in a few words for people.
    pub fn words(self) -> &'static str {
        match self {
            Phase::Reading => "reading the source",
            Phase::Inferring => "looking at rows",
            Phase::Sealing => "sealing and committing",
            Phase::Sorting => "building the tree",
            Phase::Checking => "reading objects back",
            Phase::Recomputing => "recomputing records",
        }
    }
}

/// How far it is. `rows_done` and `bytes_done` never go back within a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Rows finished in this phase.
    pub rows_done: u64,
    /// Rows in all, where that is known.
    pub rows_total: Option<u64>,
    /// Bytes of the source or of stored objects finished in this phase.
    pub bytes_done: u64,
    /// Bytes in all, where that is known.
    pub bytes_total: Option<u64>,
}

/// Receives progress, from any thread; must return at once.
pub trait ProgressSink: Send + Sync {
    /// Takes one report.
    fn report(&self, progress: Progress);
}

impl<F: Fn(Progress) + Send + Sync> ProgressSink for F {
    fn report(&self, progress: Progress) {
        self(progress);
    }
}

/// A sink that ignores every report.
pub fn silent() -> Arc<dyn ProgressSink> {
    Arc::new(|_: Progress| {})
}
