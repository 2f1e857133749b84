//! Letting go of versions that nobody needs any more (docs/spec/store.md#retired-versions).

use std::collections::BTreeSet;

use object_store::path::Path;
use sealgate_circuits::schema::Schema;

use super::layout;
use super::read::read_manifest;
use super::version::VersionRef;
use crate::keys::AssetKeys;
use crate::seal::AttemptId;
use crate::store::{Store, StoreError};

/// Removes the objects of the attempts `retired` but for those that a version of `kept` uses. Each
/// gets a mark first, so that what is missing then is known to have been let go. Can be called again
/// after a crash.
///
/// # Errors
/// [`StoreError`] when a kept version's manifest cannot be read or the store fails; nothing of a kept
/// version is touched.
pub async fn retire_versions(
    store: &Store,
    keys: &AssetKeys,
    schema: &Schema,
    kept: &[VersionRef],
    retired: &[AttemptId],
) -> Result<(), StoreError> {
    let mut used: BTreeSet<Path> = BTreeSet::new();
    for version in kept {
        let manifest = read_manifest(store, keys, schema, version).await?;
        used.extend(manifest.objects(keys).into_iter().map(|(path, _)| path));
    }
    let label = keys.label();
    for attempt in retired.iter().filter(|attempt| kept.iter().all(|version| version.attempt != **attempt)) {
        let mark = layout::retired_path(label, *attempt);
        if !store.exists(&mark).await? {
            store.put(&mark, Vec::new()).await?;
        }
        for meta in store.list(&layout::attempt_path(label, *attempt)).await? {
            if meta.location != mark && !used.contains(&meta.location) {
                store.remove(&meta.location).await?;
            }
        }
    }
    Ok(())
}

/// Whether an attempt's version has been let go of.
///
/// # Errors
/// [`StoreError::Service`].
pub async fn is_retired(store: &Store, keys: &AssetKeys, attempt: AttemptId) -> Result<bool, StoreError> {
    store.exists(&layout::retired_path(keys.label(), attempt)).await
}
