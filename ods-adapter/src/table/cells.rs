//! The cells of one column in one chunk (docs/spec/store.md#column-chunks).

use borsh::BorshDeserialize as _;
use object_store::path::Path;
use sealgate_circuits::value::{ColumnType, Value};

use super::layout::CHUNK_ROWS;
use crate::store::StoreError;

/// The content of a chunk with these cells.
pub(crate) fn encode<'a>(cells: impl Iterator<Item = &'a Value>) -> Vec<u8> {
    borsh::to_vec(&cells.collect::<Vec<_>>()).unwrap_or_default()
}

/// Reads a chunk's content back; every cell must be null or of type `kind`.
pub(crate) fn decode(
    object: &Path,
    chunk: u32,
    content: &[u8],
    kind: ColumnType,
    rows: usize,
) -> Result<Vec<Value>, StoreError> {
    let mut cells = Vec::with_capacity(rows);
    decode_into(&mut cells, object, chunk, content, kind, rows)?;
    Ok(cells)
}

/// [`decode`], behind the cells that are there already.
pub(crate) fn decode_into(
    cells: &mut Vec<Value>,
    object: &Path,
    chunk: u32,
    content: &[u8],
    kind: ColumnType,
    rows: usize,
) -> Result<(), StoreError> {
    let mut read = || -> Option<()> {
        let mut rest = content;
        if u32::deserialize(&mut rest).ok()? as usize != rows {
            return None;
        }
        for _ in 0..rows {
            cells.push(Value::deserialize(&mut rest).ok().filter(|cell| cell.fits(kind))?);
        }
        rest.is_empty().then_some(())
    };
    read().ok_or_else(|| {
        StoreError::damaged(object, Some(chunk), format!("it does not hold {rows} values of type {kind}"))
    })
}

/// Rows in chunk `chunk` of a segment of `rows` rows.
pub(crate) fn rows_in_chunk(rows: u32, chunk: u32) -> usize {
    let chunk_rows = CHUNK_ROWS as u32;
    rows.saturating_sub(chunk.saturating_mul(chunk_rows)).min(chunk_rows) as usize
}
