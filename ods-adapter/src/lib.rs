//! The front-end machine's store: reads a department's table through a share manifest, seals it
//! column by column, keeps its keys, and finds one record with the path that proves it
//! (docs/spec/store.md). Knows nothing of ledgers, gateways or provers; see ARCHITECTURE.md.

mod cancel;
pub mod file;
mod file_state;
pub mod keys;
pub mod manifest;
pub mod probe;
pub mod progress;
pub mod rehash;
pub mod seal;
pub mod sealed_stream;
mod secret;
pub mod source;
pub mod store;
pub mod suite;
pub mod table;
#[cfg(test)]
mod testing;

pub use file_state::FileState;
pub use keys::{AssetKeys, AssetLabel, KeyError, KeyFolder, KeyVault, RootFile, RootKey};
pub use manifest::{ManifestError, ShareManifest};
pub use progress::{Phase, Progress, ProgressSink, silent};
pub use seal::{AttemptId, ChunkKey, DataKey, KeyCommitment, SegmentKey};
pub use secret::{create_private_dir, write_private};
pub use source::{Read, Rejected, Row, Source, SourceError};
pub use store::{Store, StoreError};
pub use suite::{CipherSuite, HashAlgorithm, UnknownAlgorithm};
pub use table::{
    Changes, ColumnSeal, ColumnSegment, Lookup, Record, Report, SealError, SealRequest, SealedTable, SealedVersion,
    VerifyRequest, VersionRef, list_attempts, remove_attempt, remove_stale_spills, seal_table, verify_objects,
};
