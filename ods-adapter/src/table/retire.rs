//! Letting go of versions that nobody needs any more (docs/spec/store.md#retired-versions).

use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path;
use sealgate_circuits::schema::Schema;

use super::layout;
use super::list_attempts;
use super::read::read_manifest;
use super::version::{VersionManifest, VersionRef};
use crate::file::FileManifest;
use crate::keys::{AssetKeys, AssetLabel};
use crate::seal::AttemptId;
use crate::store::{Store, StoreError};

/// What lies in the store of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredAttempt {
    /// Whether its version has been let go of.
    pub retired: bool,
    /// Whether there is anything but the mark that says so.
    pub has_objects: bool,
}

/// Every attempt of an asset of which anything lies in the store, from one listing.
///
/// # Errors
/// [`StoreError::Service`].
pub async fn stored_attempts(
    store: &Store,
    label: &AssetLabel,
) -> Result<BTreeMap<AttemptId, StoredAttempt>, StoreError> {
    let mut attempts: BTreeMap<AttemptId, StoredAttempt> = BTreeMap::new();
    // An attempt that a crash left without any object has a folder all the same.
    for attempt in list_attempts(store, label).await? {
        attempts.insert(attempt, StoredAttempt::default());
    }
    for meta in store.list(&layout::asset_path(label)).await? {
        let Some(attempt) = attempt_of(&meta.location) else { continue };
        let stored = attempts.entry(attempt).or_default();
        match meta.location == layout::retired_path(label, attempt) {
            true => stored.retired = true,
            false => stored.has_objects = true,
        }
    }
    Ok(attempts)
}

/// The attempt under whose name an object lies.
fn attempt_of(object: &Path) -> Option<AttemptId> {
    object.parts().nth(2).and_then(|part| part.as_ref().parse().ok())
}

/// Removes the objects of the attempts `retired`, oldest first, but for those that a version of `kept` uses;
/// `schema` is that of a table, and files share no objects. All get their marks first, in this order, so that
/// what is missing then is known to have been let go, and so that whatever stops this, all versions before a
/// marked one are marked. Can be called again with the same and more, as after a crash.
///
/// # Errors
/// [`StoreError`] when a kept version's manifest cannot be read or the store fails; nothing of a kept
/// version is touched.
pub async fn retire_versions(
    store: &Store,
    keys: &AssetKeys,
    schema: Option<&Schema>,
    kept: &[VersionRef],
    retired: &[AttemptId],
) -> Result<(), StoreError> {
    let mut used: BTreeSet<Path> = BTreeSet::new();
    for version in schema.iter().flat_map(|_| kept) {
        if let Some(schema) = schema {
            let manifest = read_manifest(store, keys, schema, version).await?;
            used.extend(manifest.objects(keys).into_iter().map(|(path, _)| path));
        }
    }
    let label = keys.label();
    let (mut stored, wanted) = (BTreeMap::<AttemptId, Vec<Path>>::new(), BTreeSet::from_iter(retired));
    for meta in store.list(&layout::asset_path(label)).await? {
        if let Some(attempt) = attempt_of(&meta.location).filter(|attempt| wanted.contains(attempt)) {
            stored.entry(attempt).or_default().push(meta.location);
        }
    }
    stored.retain(|attempt, _| kept.iter().all(|version| version.attempt != *attempt));
    for (attempt, objects) in retired.iter().filter_map(|attempt| stored.get(attempt).map(|objects| (attempt, objects)))
    {
        let mark = layout::retired_path(label, *attempt);
        if !objects.contains(&mark) {
            store.put(&mark, Vec::new()).await?;
        }
    }
    for (attempt, objects) in stored {
        let mark = layout::retired_path(label, attempt);
        for object in objects.iter().filter(|object| **object != mark && !used.contains(*object)) {
            store.remove(object).await?;
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

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptState {
    /// It has no manifest: it never became a version.
    Unfinished,
    /// It is whole, and was to be the version with this number.
    Finished(u32),
    /// It has a manifest that these keys do not open.
    Unreadable,
}

/// How far an attempt came of which the ledger says nothing.
///
/// # Errors
/// [`StoreError::Service`].
pub async fn attempt_state(store: &Store, keys: &AssetKeys, attempt: AttemptId) -> Result<AttemptState, StoreError> {
    match store.read(&layout::manifest_path(keys.label(), attempt)).await {
        Err(StoreError::Missing { .. }) => Ok(AttemptState::Unfinished),
        Err(error) => Err(error),
        Ok(object) => {
            let table = VersionManifest::number(keys, attempt, &object);
            let number = table.or_else(|| FileManifest::number(keys, attempt, &object));
            Ok(number.map_or(AttemptState::Unreadable, AttemptState::Finished))
        }
    }
}
