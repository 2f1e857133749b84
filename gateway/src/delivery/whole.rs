//! What can be fetched whole: columns of a table's version, or a file's content, in one form.

use std::sync::Arc;

use bytes::Bytes;
use sealgate_ledger::state::AssetView;
use sealgate_ledger::tx::FILE;
use sealgate_ods::file::SealedFile;
use sealgate_ods::store::StoreError;
use sealgate_ods::table::{ColumnSegment, SealedTable};
use sealgate_ods::{AttemptId, SegmentKey};

use crate::gateway::{AskError, Gateway, internal};
use crate::owner::OwnerError;

/// A version of an asset, open.
pub(crate) enum Whole {
    /// A table, fetched by columns.
    Table(Arc<SealedTable>),
    /// A file: its parts are the segments of column 0.
    File(Arc<SealedFile>),
}

impl Whole {
    /// The version's own attempt.
    pub(crate) fn attempt(&self) -> AttemptId {
        match self {
            Whole::Table(table) => table.attempt(),
            Whole::File(file) => file.attempt(),
        }
    }

    /// The segments of a column, and a key for each.
    pub(crate) fn column(&self, column: u8) -> Result<(Vec<ColumnSegment>, Vec<SegmentKey>), StoreError> {
        match self {
            Whole::Table(table) => Ok((table.column_segments(column)?, table.segment_keys(column)?)),
            Whole::File(file) => Ok((file.parts()?, file.part_keys()?)),
        }
    }

    /// A piece of a segment's object, as stored.
    pub(crate) async fn read(&self, column: u8, position: usize, start: u64, length: u64) -> Result<Bytes, StoreError> {
        match self {
            Whole::Table(table) => table.read_segment(column, position, start, length).await,
            Whole::File(file) => file.read_part(position, start, length).await,
        }
    }
}

/// What is said of a version whose objects are no longer kept.
pub(super) fn let_go_of(asset: &AssetView, version: u32) -> AskError {
    AskError::TooLate(format!(
        "version {version} of '{}' has been let go of by its owner: ask again, for version {}",
        asset.name, asset.current
    ))
}

impl Gateway {
    /// Why nothing of a version can be given: it has been let go of, or something failed here.
    pub(crate) async fn not_given(&self, asset: &AssetView, version: u32, error: impl std::fmt::Display) -> AskError {
        match self.is_kept(asset, version).await {
            Ok(false) => let_go_of(asset, version),
            Ok(true) | Err(_) => internal(error),
        }
    }

    /// Whether a version has not been let go of.
    pub(super) async fn is_kept(&self, asset: &AssetView, version: u32) -> Result<bool, OwnerError> {
        let (current, version) =
            (self.ledger().version(&asset.id, asset.current)?, self.ledger().version(&asset.id, version)?);
        let Some((current, version)) = current.zip(version) else { return Ok(true) };
        let keys = self.owner().asset_keys(&asset.id)?;
        Ok(self.owner().kept(&keys, &current, &version).await?.is_some())
    }

    /// A version of an asset, to be fetched.
    pub(crate) async fn whole(&self, asset: &AssetView, version: u32) -> Result<Whole, OwnerError> {
        if asset.data_type != FILE {
            return Ok(Whole::Table(self.table(asset, version).await?));
        }
        let keys = self.key_path(&asset.id)?;
        let open = async || {
            let (keys, version_ref) = self.keys_and_ref(asset, version)?;
            Ok::<_, OwnerError>(SealedFile::open(self.owner().store().clone(), Arc::new(keys), &version_ref).await?)
        };
        self.deliveries().files.get((asset.id, version), keys, open).await.map(Whole::File)
    }
}
