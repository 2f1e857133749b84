//! Reading stored objects back in the background and comparing them with the digests in their versions'
//! manifests (docs/spec/files.md#reading-back). No data key is used: what is read stays shut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::path::Path;
use sealgate_circuits::schema::Schema;
use tokio::task::spawn_blocking;

use crate::file::file_objects;
use crate::keys::AssetKeys;
use crate::progress::{Phase, Progress, ProgressSink};
use crate::store::{Store, StoreError};
use crate::suite::HashAlgorithm;
use crate::table::version::{ObjectEntry, VersionRef};
use crate::table::{layout, read_manifest};

/// Most findings that are kept; the others are counted.
const FINDINGS_MAX: usize = 1000;

/// What must lie in the store: every object of the versions that were added, each once however many
/// versions share it.
#[derive(Debug, Default)]
pub struct Inventory {
    attempts: BTreeSet<Path>,
    objects: BTreeMap<Path, (ObjectEntry, HashAlgorithm)>,
    manifests: BTreeSet<Path>,
    only: Option<BTreeSet<String>>,
    findings: Findings,
}

/// What is wrong with what is stored.
#[derive(Debug, Default)]
pub struct Findings {
    /// The first thousand, each naming its object.
    pub first: Vec<StoreError>,
    /// All of them.
    pub count: u64,
}

impl Findings {
    fn add(&mut self, error: StoreError) {
        self.count += 1;
        if self.first.len() < FINDINGS_MAX {
            self.first.push(error);
        }
    }

    /// Keeps what is wrong with the store's data; the store's own failures go to the caller.
    fn keep(&mut self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        match outcome {
            Err(error @ (StoreError::Missing { .. } | StoreError::Damaged { .. } | StoreError::Extra { .. })) => {
                self.add(error);
                Ok(())
            }
            other => other,
        }
    }
}

impl Inventory {
    /// Adds the objects of a version of a table. A manifest that is missing or damaged is a finding.
    ///
    /// # Errors
    /// [`StoreError::Service`] when the store fails, [`StoreError::Keys`] when the asset's keys do not open
    /// the manifest.
    pub async fn add_table(
        &mut self,
        store: &Store,
        keys: &AssetKeys,
        schema: &Schema,
        version: &VersionRef,
    ) -> Result<(), StoreError> {
        let objects = read_manifest(store, keys, schema, version).await.map(|manifest| manifest.objects(keys));
        self.add(keys, version, objects)
    }

    /// Adds the objects of a version of a file, as [`Inventory::add_table`] does a table's.
    ///
    /// # Errors
    /// As [`Inventory::add_table`].
    pub async fn add_file(&mut self, store: &Store, keys: &AssetKeys, version: &VersionRef) -> Result<(), StoreError> {
        let objects = file_objects(store, keys, version).await;
        self.add(keys, version, objects)
    }

    fn add(
        &mut self,
        keys: &AssetKeys,
        version: &VersionRef,
        objects: Result<Vec<(Path, ObjectEntry)>, StoreError>,
    ) -> Result<(), StoreError> {
        let objects = match objects {
            Ok(objects) => objects,
            Err(error) => return self.findings.keep(Err(error)),
        };
        self.manifests.insert(layout::manifest_path(keys.label(), version.attempt));
        self.attempts.insert(layout::attempt_path(keys.label(), version.attempt));
        for (path, entry) in objects {
            self.objects.insert(path, (entry, version.hash));
        }
        Ok(())
    }

    /// Reads only these objects, so that they can be looked at again; what else belongs to the versions is
    /// still known.
    #[must_use]
    pub fn only(mut self, objects: &BTreeSet<String>) -> Self {
        self.only = Some(objects.clone());
        self
    }

    /// Reads only about `count` objects, spread evenly from the `from`-th on.
    #[must_use]
    pub fn sample(self, count: usize, from: usize) -> Self {
        let total = self.objects.len().max(1);
        let step = (total / count.max(1)).max(1);
        let names = self.objects.keys().cycle().skip(from % total).step_by(step).take(count);
        let names = names.map(ToString::to_string).collect();
        self.only(&names)
    }

    /// Objects in all, manifests among them.
    pub fn objects(&self) -> u64 {
        (self.objects.len() + self.manifests.len()) as u64
    }

    /// Bytes of all but the manifests.
    pub fn bytes(&self) -> u64 {
        self.objects.values().map(|(entry, _)| entry.bytes).sum()
    }
}

/// Everything that [`rehash`] needs.
pub struct RehashRequest {
    /// Where the objects are.
    pub store: Store,
    /// What must be there.
    pub inventory: Inventory,
    /// The object after which to go on, when an earlier pass was interrupted.
    pub after: Option<String>,
    /// Bytes a second to be read at most; `None` reads as fast as the store gives.
    pub bytes_per_second: Option<u64>,
    /// Is told each object that has been read: where an interrupted pass goes on.
    pub reached: Box<dyn FnMut(Reached<'_>) + Send>,
    /// Is told how far it is.
    pub progress: Arc<dyn ProgressSink>,
}

/// An object that has been read, as have those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached<'a> {
    /// Its name.
    pub object: &'a str,
    /// Whether it is what was written.
    pub whole: bool,
}

/// What was read back.
#[derive(Debug, Default)]
pub struct RehashReport {
    /// Objects compared.
    pub objects: u64,
    /// Bytes of all but the manifests.
    pub bytes: u64,
    /// What is wrong.
    pub findings: Findings,
}

/// Reads every object of the inventory in the order of their names, compares length and digest, and looks for
/// objects that belong to nothing. Damage does not stop it: all of it is found. Memory is bounded by one object.
///
/// # Errors
/// [`StoreError::Service`] when the store fails, which says nothing of its objects: go on later.
pub async fn rehash(request: RehashRequest) -> Result<RehashReport, StoreError> {
    let RehashRequest { store, inventory, after, bytes_per_second, mut reached, progress } = request;
    let mut report = RehashReport::default();
    let mut pace = Pace::new(bytes_per_second);
    let total = inventory.bytes();
    let Inventory { attempts, objects, manifests, only, findings } = inventory;
    // Opening compared the manifests with what is registered.
    (report.objects, report.findings) = (manifests.len() as u64, findings);
    for folder in attempts {
        for meta in store.list(&folder).await? {
            if !objects.contains_key(&meta.location) && !manifests.contains(&meta.location) {
                report.findings.add(StoreError::Extra { object: meta.location.to_string() });
            }
        }
    }
    for (path, (entry, hash)) in objects {
        report.objects += 1;
        report.bytes += entry.bytes;
        let wanted = only.as_ref().is_none_or(|only| only.contains(path.as_ref()));
        if wanted && after.as_deref().is_none_or(|after| path.as_ref() > after) {
            let before = report.findings.count;
            report.findings.keep(compare(&store, &path, entry, hash).await)?;
            reached(Reached { object: path.as_ref(), whole: report.findings.count == before });
            pace.read(entry.bytes).await;
        }
        progress.report(Progress {
            phase: Phase::Checking,
            rows_done: 0,
            rows_total: None,
            bytes_done: report.bytes,
            bytes_total: Some(total),
        });
    }
    Ok(report)
}

async fn compare(store: &Store, path: &Path, entry: ObjectEntry, hash: HashAlgorithm) -> Result<(), StoreError> {
    let stored = store.read(path).await?;
    let path = path.clone();
    let compared = spawn_blocking(move || entry.check(hash, &path, &stored));
    compared.await.map_err(|error| StoreError::Internal(error.to_string()))?
}

/// Keeps reading below a rate: waits until as much time has passed as the bytes may take.
struct Pace {
    bytes_per_second: Option<u64>,
    begun: Instant,
    bytes: u64,
}

impl Pace {
    fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, begun: Instant::now(), bytes: 0 }
    }

    async fn read(&mut self, bytes: u64) {
        self.bytes += bytes;
        let Some(rate) = self.bytes_per_second else { return };
        let due = Duration::from_secs_f64(self.bytes as f64 / rate.max(1) as f64);
        if let Some(wait) = due.checked_sub(self.begun.elapsed()) {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
#[path = "rehash_tests.rs"]
mod tests;
