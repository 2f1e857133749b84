//! Sealed tables (docs/spec/store.md): written once by [`seal_table`], read record by record
//! through [`SealedTable`], checked whole by [`verify_objects`].

mod blinding;
mod cells;
pub mod columns;
mod diff;
pub(crate) mod layout;
mod leaves;
mod read;
mod retire;
mod sample;
mod spill;
mod sync;
mod verify;
pub(crate) mod version;
mod worker;
mod write;

pub use blinding::BlindingSeed;
pub use columns::{ColumnSeal, ColumnSegment, column_seal, open_segment};
pub use diff::{Difference, DifferenceRequest, compare_versions};
pub(crate) use read::read_manifest;
pub use read::{Lookup, Record, SealedTable};
pub use retire::{AttemptState, StoredAttempt, attempt_state, is_retired, retire_versions, stored_attempts};
pub use sample::{CellOpening, ChoiceError, Sample, SampledLeaf, SampledRecord, chosen, open_cell};
pub use spill::remove_stale_spills;
pub use verify::{Report, VerifyRequest, verify_objects};
pub use version::VersionRef;
pub use write::{Changes, RejectedSink, SealError, SealRequest, SealedVersion, seal_table};

use object_store::path::Path;

use crate::keys::AssetLabel;
use crate::seal::AttemptId;
use crate::store::{Store, StoreError};

/// The attempts of an asset that have left anything in the store, finished or not. Those that the
/// ledger does not know are orphans of a crash, to be removed.
///
/// # Errors
/// [`StoreError::Service`] when the store cannot be listed.
pub async fn list_attempts(store: &Store, label: &AssetLabel) -> Result<Vec<AttemptId>, StoreError> {
    let folders = store.folders(&layout::asset_path(label)).await?;
    let mut attempts: Vec<AttemptId> = folders.iter().filter_map(|folder| folder.filename()?.parse().ok()).collect();
    attempts.sort();
    Ok(attempts)
}

/// Removes everything an attempt wrote; nothing there is no error.
///
/// # Errors
/// [`StoreError::Service`] or [`StoreError::Folder`] when something cannot be removed; call again.
pub async fn remove_attempt(store: &Store, label: &AssetLabel, attempt: AttemptId) -> Result<(), StoreError> {
    let prefix: Path = layout::attempt_path(label, attempt);
    store.remove_all(&prefix).await
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
