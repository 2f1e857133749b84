//! Checking a stored file whole: every object, every chunk.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::path::Path;
use tokio::task::spawn_blocking;

use super::manifest::FileManifest;
use super::parts;
use crate::keys::AssetKeys;
use crate::progress::{Phase, Progress, ProgressSink};
use crate::seal::Sealer;
use crate::store::{Store, StoreError};
use crate::table::Report;
use crate::table::layout;
use crate::table::version::VersionRef;

/// Everything that [`verify_file`] needs.
pub struct VerifyFile {
    /// Where the sealed objects are.
    pub store: Store,
    /// The asset's keys.
    pub keys: Arc<AssetKeys>,
    /// The version.
    pub version: VersionRef,
    /// Is told how far it is.
    pub progress: Arc<dyn ProgressSink>,
}

/// Reads every object of a file's version back: its length and digest are compared, each chunk is opened,
/// the file is as long as it was, and no object may lie there that belongs to nothing.
///
/// # Errors
/// The first damage: [`StoreError::Missing`], [`StoreError::Damaged`] or [`StoreError::Extra`]
/// naming the object and the chunk; [`StoreError::Service`] when the store fails.
pub async fn verify_file(request: VerifyFile) -> Result<Report, StoreError> {
    let VerifyFile { store, keys, version, progress } = request;
    let manifest = FileManifest::read(&store, &keys, &version).await?;
    let objects = manifest.objects(&keys);
    let manifest_path = layout::manifest_path(keys.label(), version.attempt);
    let known: BTreeSet<&Path> = objects.iter().map(|(path, _)| path).chain([&manifest_path]).collect();
    let mut manifest_bytes = 0;
    for meta in store.list(&layout::attempt_path(keys.label(), version.attempt)).await? {
        if !known.contains(&meta.location) {
            return Err(StoreError::Extra { object: meta.location.to_string() });
        }
        if meta.location == manifest_path {
            manifest_bytes = meta.size;
        }
    }
    let bytes = manifest_bytes + objects.iter().map(|(_, entry)| entry.bytes).sum::<u64>();
    let mut report = Report { objects: known.len() as u64, bytes, chunks: 0, records: 0, recomputed: false };
    let key = manifest.data_key(&keys)?;
    let (mut bytes_done, mut file_bytes) = (manifest_bytes, 0);
    for (part, (object, entry)) in (0u32..).zip(objects) {
        let chunks = manifest.chunks(part);
        let place = parts::place(keys.label(), manifest.attempt, part);
        let sealer = Sealer::new(place, manifest.suite, key.segment_key(part));
        let (stored, hash) = (store.read(&object).await?, manifest.hash);
        let opened = spawn_blocking(move || -> Result<u64, StoreError> {
            entry.check(hash, &object, &stored)?;
            let mut opened = 0;
            parts::open_each(&sealer, chunks, &object, &stored, |content| opened += content.len() as u64)?;
            Ok(opened)
        });
        file_bytes += opened.await.map_err(|error| StoreError::Internal(error.to_string()))??;
        bytes_done += entry.bytes;
        report.chunks += u64::from(chunks);
        progress.report(Progress {
            phase: Phase::Checking,
            rows_done: 0,
            rows_total: None,
            bytes_done,
            bytes_total: Some(bytes),
        });
    }
    match file_bytes == manifest.file_bytes {
        true => Ok(report),
        false => {
            let what = format!("its parts hold {file_bytes} bytes instead of {}", manifest.file_bytes);
            Err(StoreError::damaged(&manifest_path, None, what))
        }
    }
}
