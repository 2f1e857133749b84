//! Whole columns: what the owner hands to a requester who may have them, and how the requester opens
//! them without any key of the asset (docs/spec/store.md#whole-columns).

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use object_store::path::Path;
use sealgate_circuits::bytes::tagged_hash;
use sealgate_circuits::value::{ColumnType, Value};

use super::cells;
use super::layout::{self, SEGMENT_ROWS};
use super::read::SealedTable;
use super::version::{ObjectEntry, SegmentEntry, VersionManifest, chunks_of};
use crate::keys::{AssetKeys, AssetLabel};
use crate::seal::{AttemptId, KeyCommitment, Sealer, SegmentKey, SegmentPlace, Stream};
use crate::store::StoreError;
use crate::suite::{CipherSuite, HashAlgorithm};

/// What is registered of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnSeal {
    /// Hash over the version's attempt and the digests of the column's segments in order.
    pub ciphertext_digest: [u8; 32],
    /// Hash over the version's attempt and the commitments to the segments' keys in order.
    pub key_commitment: KeyCommitment,
}

/// One segment of one column, in the version's order.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ColumnSegment {
    /// The attempt that wrote it: the version's own or an earlier one.
    pub attempt: AttemptId,
    /// Its number within that attempt.
    pub segment: u32,
    /// Rows in it, every one of the version.
    pub rows: u32,
    /// Bytes of the object.
    pub bytes: u64,
    /// Digest of the object.
    pub digest: [u8; 32],
    /// Commitment to its key.
    pub key_commitment: KeyCommitment,
}

/// What the ledger registers of a column of the version that `attempt` wrote, from its segments.
pub fn column_seal(attempt: AttemptId, segments: &[ColumnSegment]) -> ColumnSeal {
    let over = |purpose: &str, each: fn(&ColumnSegment) -> &[u8; 32]| {
        let parts: Vec<&[u8]> =
            [attempt.as_bytes().as_slice()].into_iter().chain(segments.iter().map(|s| each(s).as_slice())).collect();
        tagged_hash(purpose, &parts)
    };
    ColumnSeal {
        ciphertext_digest: over("sealgate/ods/column/2", |segment| &segment.digest),
        key_commitment: KeyCommitment(over("sealgate/ods/column-keys/1", |segment| &segment.key_commitment.0)),
    }
}

/// Opens one segment of a column of type `kind` with its key alone. `object` is what the owner
/// stores; its length, digest, header and every chunk are checked.
///
/// # Errors
/// [`StoreError::Damaged`] naming the object and the chunk, [`StoreError::Keys`] when the key is not
/// the one committed to.
#[expect(clippy::too_many_arguments, reason = "each says what the bytes must be")]
pub fn open_segment(
    label: &AssetLabel,
    suite: CipherSuite,
    hash: HashAlgorithm,
    column: u8,
    kind: ColumnType,
    segment: &ColumnSegment,
    key: &SegmentKey,
    object: &[u8],
) -> Result<Vec<Value>, StoreError> {
    let place = place(label, column, segment);
    let name = layout::object_path(&place);
    key.check(&segment.key_commitment)?;
    ObjectEntry { bytes: segment.bytes, digest: segment.digest }.check(hash, &name, object)?;
    open_cells(&Sealer::new(place, suite, key.clone()), kind, segment.rows, &name, object)
}

/// The cells of a whole segment object.
pub(crate) fn open_cells(
    sealer: &Sealer,
    kind: ColumnType,
    rows: u32,
    name: &Path,
    object: &[u8],
) -> Result<Vec<Value>, StoreError> {
    if rows as usize > SEGMENT_ROWS {
        return Err(StoreError::damaged(name, None, format!("a segment has at most {SEGMENT_ROWS} rows")));
    }
    let mut values = Vec::with_capacity(rows as usize);
    layout::open_object(sealer, rows, chunks_of(rows), name, object, |chunk, content| {
        cells::decode_into(&mut values, name, chunk, content, kind, cells::rows_in_chunk(rows, chunk))
    })?;
    Ok(values)
}

fn place(label: &AssetLabel, column: u8, segment: &ColumnSegment) -> SegmentPlace {
    let (label, stream) = (label.clone(), Stream::Column(column));
    SegmentPlace { label, attempt: segment.attempt, stream, segment: segment.segment }
}

impl VersionManifest {
    /// The segments of a column with their keys, in order.
    pub(crate) fn column(&self, keys: &AssetKeys, column: u8) -> Result<Vec<(ColumnSegment, SegmentKey)>, StoreError> {
        let mut known: Option<(AttemptId, crate::seal::DataKey)> = None;
        let mut with_key = |entry: &SegmentEntry| {
            let key = match &known {
                Some((attempt, key)) if *attempt == entry.attempt => key.clone(),
                _ => self.column_key(keys, entry.attempt, column)?,
            };
            known = Some((entry.attempt, key.clone()));
            let object = entry.columns.get(usize::from(column)).copied().ok_or_else(|| {
                let manifest = layout::manifest_path(keys.label(), self.attempt);
                StoreError::damaged(&manifest, None, format!("it has no column {column}"))
            })?;
            let key = key.segment_key(entry.segment);
            let segment = ColumnSegment {
                attempt: entry.attempt,
                segment: entry.segment,
                rows: entry.rows,
                bytes: object.bytes,
                digest: object.digest,
                key_commitment: key.commitment(),
            };
            Ok((segment, key))
        };
        self.segments.iter().map(&mut with_key).collect()
    }
}

impl SealedTable {
    /// The segments of a column in order.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the manifest has no such column, [`StoreError::Keys`].
    pub fn column_segments(&self, column: u8) -> Result<Vec<ColumnSegment>, StoreError> {
        let column = self.manifest().column(self.keys(), column)?;
        Ok(column.into_iter().map(|(segment, _)| segment).collect())
    }

    /// The keys of a column's segments in order: they open that column of this version's rows and
    /// nothing else.
    ///
    /// # Errors
    /// As [`SealedTable::column_segments`].
    pub fn segment_keys(&self, column: u8) -> Result<Vec<SegmentKey>, StoreError> {
        let column = self.manifest().column(self.keys(), column)?;
        Ok(column.into_iter().map(|(_, key)| key).collect())
    }

    /// `length` bytes from `start` of the object of a column's segment, as stored; `position` counts
    /// the column's segments in order.
    ///
    /// # Errors
    /// [`StoreError::Lookup`] never; [`StoreError::Missing`], [`StoreError::Damaged`] when there is no
    /// such segment or it is too short, [`StoreError::Service`].
    pub async fn read_segment(
        &self,
        column: u8,
        position: usize,
        start: u64,
        length: u64,
    ) -> Result<Bytes, StoreError> {
        let manifest = layout::manifest_path(self.keys().label(), self.attempt());
        let none = || StoreError::damaged(&manifest, None, format!("it has no segment {position} of column {column}"));
        let entry = self.manifest().segments.get(position).filter(|entry| usize::from(column) < entry.columns.len());
        let place = self.manifest().segment_place(self.keys(), entry.ok_or_else(none)?, column);
        self.store().read_range(&layout::object_path(&place), start, length).await
    }
}
