//! What differs between two versions of a table, for its owner's eyes only.

use std::path::PathBuf;
use std::sync::Arc;

use sealgate_circuits::value::Value;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::leaves::LeafEntry;
use super::read::SealedTable;
use super::spill::{PARTITIONS, Spill};
use super::sync::each_leaf;
use crate::store::StoreError;

/// Everything that [`compare_versions`] needs.
pub struct DifferenceRequest {
    /// The earlier version.
    pub old: Arc<SealedTable>,
    /// The later one, of the same asset.
    pub new: Arc<SealedTable>,
    /// Where leaves wait on disk, sealed, to be sorted.
    pub spill_dir: PathBuf,
    /// How many keys are named at most of each kind.
    pub keys_max: usize,
}

/// What differs between two versions. Keys have their values in the order of the schema's key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Records that are in both as they were.
    pub unchanged: u64,
    /// Records that are in both with other values.
    pub changed: u64,
    /// Records of the later version alone.
    pub added: u64,
    /// Records of the earlier version alone.
    pub removed: u64,
    /// Keys of some of the changed ones.
    pub changed_keys: Vec<Vec<Value>>,
    /// Keys of some of the added ones.
    pub added_keys: Vec<Vec<Value>>,
    /// Keys of some of the removed ones.
    pub removed_keys: Vec<Vec<Value>>,
}

/// Compares two versions by the tags in their leaves; memory holds a 256th of the leaves.
///
/// # Errors
/// [`StoreError`], naming the object that is missing or damaged.
pub async fn compare_versions(request: DifferenceRequest) -> Result<Difference, StoreError> {
    let DifferenceRequest { old, new, spill_dir, keys_max } = request;
    let (earlier, later, runtime) = (Arc::clone(&old), Arc::clone(&new), Handle::current());
    let sorted = spawn_blocking(move || {
        let sort = |table: &SealedTable| -> Result<Spill, StoreError> {
            let mut spill = Spill::new(&spill_dir)?;
            each_leaf(
                table.manifest(),
                table.store(),
                &runtime,
                table.keys(),
                || Ok(()),
                |entry| {
                    let partition = entry.tags.key.first().copied().map_or(0, usize::from);
                    spill.add_leaf(partition, entry)
                },
            )?;
            Ok(spill)
        };
        compare(sort(&earlier)?, sort(&later)?, keys_max)
    });
    let (mut difference, named) = sorted.await.map_err(|error| StoreError::Internal(error.to_string()))??;
    difference.changed_keys = keys(&new, &named.changed).await?;
    difference.added_keys = keys(&new, &named.added).await?;
    difference.removed_keys = keys(&old, &named.removed).await?;
    Ok(difference)
}

/// The leaves whose keys are named.
#[derive(Default)]
struct Named {
    changed: Vec<LeafEntry>,
    added: Vec<LeafEntry>,
    removed: Vec<LeafEntry>,
}

fn compare(mut old: Spill, mut new: Spill, keys_max: usize) -> Result<(Difference, Named), StoreError> {
    let (mut difference, mut named) = (Difference::default(), Named::default());
    let note = |list: &mut Vec<LeafEntry>, count: &mut u64, entry: &LeafEntry| {
        *count += 1;
        if list.len() < keys_max {
            list.push(*entry);
        }
    };
    for partition in 0..PARTITIONS {
        let (mut before, mut after) = (old.take_leaves(partition)?, new.take_leaves(partition)?);
        before.sort_unstable_by_key(|entry| entry.tags);
        after.sort_unstable_by_key(|entry| entry.tags);
        let (mut a, mut b) = (before.iter().peekable(), after.iter().peekable());
        loop {
            match (a.peek(), b.peek()) {
                (Some(was), Some(is)) if was.tags.key == is.tags.key => {
                    match was.tags == is.tags {
                        true => difference.unchanged += 1,
                        false => note(&mut named.changed, &mut difference.changed, is),
                    }
                    a.next();
                    b.next();
                }
                (Some(was), is) if is.is_none_or(|is| was.tags.key < is.tags.key) => {
                    note(&mut named.removed, &mut difference.removed, was);
                    a.next();
                }
                (_, Some(is)) => {
                    note(&mut named.added, &mut difference.added, is);
                    b.next();
                }
                _ => break,
            }
        }
    }
    Ok((difference, named))
}

async fn keys(table: &SealedTable, entries: &[LeafEntry]) -> Result<Vec<Vec<Value>>, StoreError> {
    let mut keys = Vec::with_capacity(entries.len());
    for entry in entries {
        let (values, ..) = table.open_entry(entry).await?;
        let key = table.schema().key.iter().filter_map(|at| values.get(usize::from(*at)).cloned());
        keys.push(key.collect());
    }
    keys.sort();
    Ok(keys)
}
