//! What an auditor is shown of a record that chance has chosen (docs/spec/store.md#samples): the
//! record with its opening and path, and the key of each chunk that holds one of its cells.

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::{Place, PlaceProof, TreeRoot};
use sealgate_circuits::record::Salt;
use sealgate_circuits::tree::{Path, PathEnd, Subtree, branch};
use sealgate_circuits::value::{ColumnType, Value};
use zeroize::Zeroize as _;

use super::blinding::BlindingSeed;
use super::cells;
use super::columns::ColumnSegment;
use super::layout::{self, CHUNK_ROWS, Header};
use super::leaves::RowPlace;
use super::read::SealedTable;
use super::version::chunks_of;
use crate::keys::AssetLabel;
use crate::seal::{ChunkKey, ChunkPlace, Scratch, SegmentPlace, Stream};
use crate::store::StoreError;
use crate::suite::{CipherSuite, HashAlgorithm};

/// The leaf that chance has chosen, and what is behind it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Sample {
    /// The path to the leaf.
    pub path: Path,
    /// What the leaf is.
    pub leaf: SampledLeaf,
}

/// What stands at a sampled leaf.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SampledLeaf {
    /// Nothing at all: the table has no records and chance chose an empty place.
    Empty,
    /// The leaf of no record, which follows from this seed.
    Blinding(BlindingSeed),
    /// A record.
    Record(Box<SampledRecord>),
}

/// A record as it was committed, and where it is stored.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SampledRecord {
    /// That its key has the leaf's place.
    pub place_proof: PlaceProof,
    /// One value a column, in the schema's order.
    pub values: Vec<Value>,
    /// What hides them in the leaf's commitment.
    pub salt: Salt,
    /// Position of its segment among each column's.
    pub segment: u32,
    /// Its row in that segment.
    pub row: u32,
    /// For each column the key of the chunk that holds its cell.
    pub chunk_keys: Vec<[u8; 32]>,
}

impl Drop for SampledRecord {
    fn drop(&mut self) {
        self.chunk_keys.zeroize();
    }
}

impl std::fmt::Debug for SampledRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SampledRecord").field("segment", &self.segment).field("row", &self.row).finish_non_exhaustive()
    }
}

/// Why a path does not lead where chance pointed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// It is not a path of the registered tree.
    #[error("the path does not lead to the registered root")]
    Path,
    /// At this depth it leaves the direction of the target although there is something that way.
    #[error("the path turns away from the target at depth {0}, where the other side is not empty")]
    Turned(usize),
}

/// The place of the leaf that a path proves to be the target's: from the root, the target's branch is
/// taken, and the other one only where that side is empty. `None` when the tree is empty there.
///
/// # Errors
/// [`ChoiceError`].
pub fn chosen(path: &Path, root: &TreeRoot, target: &Place) -> Result<Option<Place>, ChoiceError> {
    let place = match &path.end {
        PathEnd::Leaf(leaf) => leaf.place,
        PathEnd::Empty => *target,
    };
    path.verify(root, &place).map_err(|_| ChoiceError::Path)?;
    let empty = Subtree::Empty.hash();
    for (depth, sibling) in path.siblings.iter().enumerate() {
        if branch(&place, depth) != branch(target, depth) && sibling.0 != empty {
            return Err(ChoiceError::Turned(depth));
        }
    }
    match &path.end {
        PathEnd::Leaf(_) => Ok(Some(place)),
        // Only the empty tree has an empty place that is nobody's neighbour.
        PathEnd::Empty if path.siblings.is_empty() => Ok(None),
        PathEnd::Empty => Err(ChoiceError::Turned(path.siblings.len())),
    }
}

/// The value of one cell in a whole segment object that is the registered one, opened with the key of
/// its chunk alone.
///
/// # Errors
/// [`StoreError::Damaged`] naming the object and the chunk.
pub fn open_cell(opening: &CellOpening<'_>, object: &[u8]) -> Result<Value, StoreError> {
    let CellOpening { label, suite, hash, column, kind, segment, row, key } = *opening;
    let (label, stream) = (label.clone(), Stream::Column(column));
    let place = SegmentPlace { label, attempt: segment.attempt, stream, segment: segment.segment };
    let name = layout::object_path(&place);
    super::version::ObjectEntry { bytes: segment.bytes, digest: segment.digest }.check(hash, &name, object)?;
    let chunks = chunks_of(segment.rows);
    let header = Header::of(&place, segment.key_commitment, segment.rows, chunks);
    let chunk = row / CHUNK_ROWS as u32;
    let none = || StoreError::damaged(&name, Some(chunk), format!("it has no row {row}"));
    let ranges = header.chunk_ranges(&name, object)?;
    let (start, length) = *usize::try_from(chunk).ok().and_then(|at| ranges.get(at)).ok_or_else(none)?;
    let range = usize::try_from(start).ok().zip(usize::try_from(start + length).ok());
    let sealed = range.and_then(|(start, end)| object.get(start..end)).ok_or_else(none)?;
    let at = ChunkPlace { chunk, last: chunk + 1 == chunks };
    let mut scratch = Scratch::default();
    let content = place
        .open(suite, key, at, sealed, &mut scratch)
        .map_err(|_| StoreError::damaged(&name, Some(chunk), "it does not open with the key that was shown"))?;
    let values = cells::decode(&name, chunk, content, kind, cells::rows_in_chunk(segment.rows, chunk))?;
    values.into_iter().nth(row as usize % CHUNK_ROWS).ok_or_else(none)
}

/// What says where a cell is, and opens it.
#[derive(Clone, Copy)]
pub struct CellOpening<'a> {
    /// The asset's label.
    pub label: &'a AssetLabel,
    /// What it is sealed with.
    pub suite: CipherSuite,
    /// What its objects are hashed with.
    pub hash: HashAlgorithm,
    /// The column's position.
    pub column: u8,
    /// Its type.
    pub kind: ColumnType,
    /// The segment.
    pub segment: &'a ColumnSegment,
    /// The row in it.
    pub row: u32,
    /// The key of the row's chunk.
    pub key: &'a ChunkKey,
}

impl SealedTable {
    /// The leaf at which one arrives from the root by the target's branches, taking the other branch
    /// where the target's side is empty, with everything that an auditor checks of it.
    ///
    /// # Errors
    /// As [`SealedTable::lookup`].
    pub async fn sample(&self, target: &Place) -> Result<Sample, StoreError> {
        let (path, entry) = self.find_nearest(target).await?;
        let Some(entry) = entry else { return Ok(Sample { path, leaf: SampledLeaf::Empty }) };
        if entry.row == RowPlace::NONE {
            return Ok(Sample { path, leaf: SampledLeaf::Blinding(self.manifest().blinding) });
        }
        let (values, salt, place_proof) = self.open_entry(&entry).await?;
        let segment = self.manifest().segments.get(entry.row.segment as usize);
        let attempt = segment.map_or(self.attempt(), |segment| segment.attempt);
        let chunk = entry.row.index / CHUNK_ROWS as u32;
        let mut chunk_keys = Vec::with_capacity(values.len());
        for column in (0u8..).take(values.len()) {
            let key = self.manifest().column_key(self.keys(), attempt, column)?;
            let number = segment.map_or(0, |segment| segment.segment);
            chunk_keys.push(*key.segment_key(number).chunk_key(chunk).expose());
        }
        let (segment, row) = (entry.row.segment, entry.row.index);
        let record = SampledRecord { place_proof, values, salt, segment, row, chunk_keys };
        Ok(Sample { path, leaf: SampledLeaf::Record(Box::new(record)) })
    }
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
