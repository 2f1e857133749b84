//! The background check of what an owner stores: every object of every version is read back and compared
//! with its digest, at a rate, from where the last pass stood (docs/spec/files.md#reading-back).

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealgate_ledger::Ledger;
use sealgate_ledger::ids::Address;
use sealgate_ledger::state::{AssetView, VersionView};
use sealgate_ledger::tx::FILE;
use sealgate_ods::KeyError;
use sealgate_ods::progress::{ProgressSink, silent};
use sealgate_ods::rehash::{Findings, Inventory, Reached, RehashRequest, rehash};
use sealgate_ods::store::StoreError;
use serde::{Deserialize, Serialize};

use crate::catalogue::Search;
use crate::client::Client;
use crate::config::{Rate, RehashSchedule};
use crate::files::{FileError, read_json, write_json};
use crate::naming::Who;
use crate::owner::{Access, Owner, OwnerError, clock_ms};

/// How often the position is written down, at most.
const NOTED_EVERY: Duration = Duration::from_secs(2);
/// Most suspects that are remembered by name and looked at twice; the others are counted. Where more are
/// damaged than that, so is the store.
const SUSPECTS_MAX: usize = 1000;
/// How long the gateway waits when the store does not answer or a check runs already.
const RETRY_AFTER: Duration = Duration::from_secs(600);

/// Why nothing can be said of the stored objects.
#[derive(Debug, thiserror::Error)]
pub enum RehashFailure {
    /// The owner's folder or ledger.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The store does not answer, or keys do not open a manifest.
    #[error("{0}; what was read so far is remembered, start the check again")]
    Store(#[from] StoreError),
    /// Another check runs.
    #[error("stored objects are being checked already, perhaps by the serving gateway: wait until that is done")]
    Busy,
}

impl From<FileError> for RehashFailure {
    fn from(error: FileError) -> Self {
        RehashFailure::Owner(error.into())
    }
}

/// Where the ledger is read.
#[derive(Clone, Copy)]
pub enum Books<'a> {
    /// Open in this process.
    Open(&'a Ledger),
    /// Wherever it is; it is opened for a moment only, so that a long check keeps nobody from it.
    Closed,
}

impl Books<'_> {
    /// The owner's assets, each with its versions.
    async fn stored(&self, owner: &Owner) -> Result<Vec<(AssetView, Vec<VersionView>)>, OwnerError> {
        match self {
            Books::Open(ledger) => of_ledger(ledger, &owner.account().address()),
            Books::Closed => match owner.access().await? {
                Access::Local(ledger) => of_ledger(&ledger, &owner.account().address()),
                Access::Serving(client) => of_gateway(&client, &owner.account().address()).await,
            },
        }
    }
}

fn of_ledger(ledger: &Ledger, owner: &Address) -> Result<Vec<(AssetView, Vec<VersionView>)>, OwnerError> {
    let mut stored = Vec::new();
    for asset in ledger.assets()?.into_iter().filter(|asset| asset.owner == *owner) {
        let mut versions = Vec::new();
        for number in 1..=asset.current {
            versions.extend(ledger.version(&asset.id, number)?);
        }
        stored.push((asset, versions));
    }
    Ok(stored)
}

async fn of_gateway(client: &Client, owner: &Address) -> Result<Vec<(AssetView, Vec<VersionView>)>, OwnerError> {
    let search = Search { owner: Some(Who::Address(*owner)), ..Search::default() };
    let mut stored = Vec::new();
    for listed in client.catalogue(&search).await?.0 {
        let mut versions = Vec::new();
        for number in 1..=listed.asset.current {
            versions.extend(client.version(&listed.asset.id, number).await?);
        }
        stored.push((listed.asset, versions));
    }
    Ok(stored)
}

/// What was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rehashed {
    /// Objects that are as they were written or are named in `findings`.
    pub objects: u64,
    /// Their bytes, without manifests.
    pub bytes: u64,
    /// Whether this pass went on where an earlier one had been interrupted.
    pub resumed: bool,
    /// Assets whose keys are gone, of which nothing can be told.
    pub without_keys: u64,
    /// How many objects are not what was written.
    pub damaged: u64,
    /// What is wrong with each, the first thousand.
    pub findings: Vec<String>,
}

/// Where a pass stands, in the data folder.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    /// When it began.
    begun_ms: u64,
    /// When the last one ended; none while one is under way.
    finished_ms: Option<u64>,
    /// The last object that was read.
    after: Option<String>,
    /// Objects that were not as written when they were read, the first [`SUSPECTS_MAX`].
    suspects: BTreeSet<String>,
    /// How many more there were.
    #[serde(default)]
    more_suspects: u64,
}

impl Position {
    fn path(folder: &Path) -> PathBuf {
        folder.join("rehash.json")
    }

    /// Where the last pass stands; a position that cannot be read begins anew.
    fn read(folder: &Path) -> Position {
        read_json(&Self::path(folder)).unwrap_or_default()
    }

    fn note(&self, folder: &Path) -> Result<(), FileError> {
        write_json(&Self::path(folder), self, true)
    }
}

/// How long until a pass is due that is to begin `every` so often; none is due while one was interrupted.
pub fn due_in(folder: &Path, every: Duration) -> Duration {
    let position = Position::read(folder);
    if position.finished_ms.is_none() {
        return Duration::ZERO;
    }
    let next_ms = position.begun_ms.saturating_add(u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
    Duration::from_millis(next_ms.saturating_sub(clock_ms()))
}

/// Checks stored objects as often as the configuration says, for as long as it is polled; what is wrong is
/// in the log.
pub async fn rehash_by_schedule(owner: &Owner, ledger: &Ledger, schedule: RehashSchedule) {
    loop {
        tokio::time::sleep(due_in(owner.folder(), schedule.every)).await;
        match rehash_owner(owner, Books::Open(ledger), Some(schedule.rate), silent()).await {
            Ok(done) if done.damaged == 0 => {
                tracing::info!(objects = done.objects, bytes = done.bytes, "stored objects are what was written");
            }
            Ok(done) => {
                for finding in &done.findings {
                    tracing::error!(%finding, "a stored object is not what was written");
                }
                tracing::error!(damaged = done.damaged, objects = done.objects, "stored objects are damaged");
            }
            Err(error) => {
                tracing::warn!(%error, "stored objects could not be checked");
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// Reads every stored object of the owner's assets back. What seems wrong is looked at twice: a version may
/// have been let go of in the meantime.
///
/// # Errors
/// [`RehashFailure`]; damage is none, it is in what is returned.
pub async fn rehash_owner(
    owner: &Owner,
    books: Books<'_>,
    rate: Option<Rate>,
    progress: Arc<dyn ProgressSink>,
) -> Result<Rehashed, RehashFailure> {
    let folder = owner.folder().to_owned();
    let lock_path = folder.join("rehash.lock");
    let lock = File::create(&lock_path).map_err(FileError::io(&lock_path))?;
    lock.try_lock().map_err(|_| RehashFailure::Busy)?;
    let last = Position::read(&folder);
    let resumed = last.finished_ms.is_none() && last.after.is_some();
    let position = if resumed { last } else { Position { begun_ms: clock_ms(), ..Position::default() } };
    let after = position.after.clone();
    let noted = Arc::new(Mutex::new(Noted { position, folder: folder.clone(), at: Instant::now() }));
    let sink = Arc::clone(&noted);
    let (inventory, without_keys) = inventory(owner, books).await?;
    let report = rehash(RehashRequest {
        store: owner.store().clone(),
        inventory,
        after,
        bytes_per_second: rate.map(|rate| rate.0),
        reached: Box::new(move |reached| sink.lock().unwrap_or_else(PoisonError::into_inner).reached(&reached)),
        progress,
    })
    .await?;
    let mut position = noted.lock().unwrap_or_else(PoisonError::into_inner).position.clone();
    position.suspects.extend(report.findings.first.iter().filter_map(StoreError::object).map(ToOwned::to_owned));
    let findings = look_again(owner, books, &position.suspects).await?;
    // Those beyond the first were not looked at again; one that was let go of may be among them.
    let damaged = findings.count + position.more_suspects;
    let ended = Position { begun_ms: position.begun_ms, finished_ms: Some(clock_ms()), ..Position::default() };
    ended.note(&folder)?;
    Ok(Rehashed {
        objects: report.objects,
        bytes: report.bytes,
        resumed,
        without_keys,
        damaged,
        findings: findings.first.iter().map(ToString::to_string).collect(),
    })
}

/// Compares about `count` stored objects that chance chooses, and every version's manifest: a quick look,
/// which remembers nothing. Assets whose keys are gone are counted.
///
/// # Errors
/// [`RehashFailure`]; damage is none, it is in what is returned.
pub async fn look_at_some(owner: &Owner, count: usize) -> Result<Rehashed, RehashFailure> {
    let mut chance = [0u8; 4];
    getrandom::fill(&mut chance).map_err(|error| OwnerError::Randomness(error.to_string()))?;
    let (inventory, without_keys) = inventory(owner, Books::Closed).await?;
    let (objects, bytes) = (inventory.objects(), inventory.bytes());
    let request = RehashRequest {
        store: owner.store().clone(),
        inventory: inventory.sample(count, u32::from_le_bytes(chance) as usize),
        after: None,
        bytes_per_second: None,
        reached: Box::new(|_| ()),
        progress: silent(),
    };
    let Findings { first, count: damaged } = rehash(request).await?.findings;
    let findings = first.iter().map(ToString::to_string).collect();
    Ok(Rehashed { objects, bytes, resumed: false, without_keys, damaged, findings })
}

/// When a whole pass ended last, in milliseconds since 1970-01-01 UTC, and objects that a pass under way
/// has found to be other than written.
pub fn last_pass(folder: &Path) -> (Option<u64>, BTreeSet<String>) {
    let position = Position::read(folder);
    (position.finished_ms, position.suspects)
}

/// Writes the position down as the pass goes on.
struct Noted {
    position: Position,
    folder: PathBuf,
    at: Instant,
}

impl Noted {
    fn reached(&mut self, reached: &Reached<'_>) {
        self.position.after = Some(reached.object.to_owned());
        let mut first = false;
        if !reached.whole {
            let suspects = &mut self.position.suspects;
            match suspects.len() < SUSPECTS_MAX {
                true => _ = suspects.insert(reached.object.to_owned()),
                false => self.position.more_suspects += 1,
            }
            first = suspects.len() == 1;
        }
        // Now and then: what is found after the last note is found again by whoever goes on from there.
        if (first || self.at.elapsed() >= NOTED_EVERY)
            && let Err(error) = self.position.note(&self.folder)
        {
            tracing::warn!(%error, "an interrupted check of stored objects will begin anew");
        }
        if self.at.elapsed() >= NOTED_EVERY {
            self.at = Instant::now();
        }
    }
}

/// Everything that the ledger says must be stored, and how many assets have no keys any more.
async fn inventory(owner: &Owner, books: Books<'_>) -> Result<(Inventory, u64), RehashFailure> {
    let (mut inventory, mut without_keys) = (Inventory::default(), 0);
    for (asset, versions) in books.stored(owner).await? {
        let keys = match owner.asset_keys(&asset.id) {
            Err(KeyError::Missing { .. }) => {
                without_keys += 1;
                continue;
            }
            other => other.map_err(OwnerError::from)?,
        };
        let Some(current) = versions.last() else { continue };
        for version in &versions {
            let Some(version) = owner.kept(&keys, current, version).await? else { continue };
            match asset.data_type.as_str() {
                FILE => inventory.add_file(owner.store(), &keys, &version).await?,
                _ => inventory.add_table(owner.store(), &keys, &asset.schema, &version).await?,
            }
        }
    }
    Ok((inventory, without_keys))
}

async fn look_again(owner: &Owner, books: Books<'_>, suspects: &BTreeSet<String>) -> Result<Findings, RehashFailure> {
    if suspects.is_empty() {
        return Ok(Findings::default());
    }
    let inventory = inventory(owner, books).await?.0.only(suspects);
    let request = RehashRequest {
        store: owner.store().clone(),
        inventory,
        after: None,
        bytes_per_second: None,
        reached: Box::new(|_| ()),
        progress: silent(),
    };
    Ok(rehash(request).await?.findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However much is damaged, the position is small enough to be read again, and written now and then only.
    #[test]
    fn a_store_that_is_damaged_throughout_is_noted_in_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let mut noted = Noted { position: Position::default(), folder: dir.path().to_owned(), at: Instant::now() };
        let begun = Instant::now();
        for number in 0..50_000 {
            let object = format!("assets/{}/{}/columns/c0/s{number}", "a".repeat(128), "b".repeat(32));
            noted.reached(&Reached { object: &object, whole: false });
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        noted.position.note(dir.path()).unwrap();
        let read = Position::read(dir.path());
        assert_eq!((read.suspects.len(), read.more_suspects), (SUSPECTS_MAX, 50_000 - SUSPECTS_MAX as u64));
        assert!(read.after.unwrap().ends_with("s49999"));
    }

    #[test]
    fn a_pass_is_due_at_once_when_one_was_interrupted_and_otherwise_in_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let day = Duration::from_secs(86_400);
        assert_eq!(due_in(dir.path(), day), Duration::ZERO);
        let under_way = Position { begun_ms: clock_ms(), after: Some("a".into()), ..Position::default() };
        under_way.note(dir.path()).unwrap();
        assert_eq!(due_in(dir.path(), day), Duration::ZERO);
        Position { finished_ms: Some(clock_ms()), ..under_way }.note(dir.path()).unwrap();
        let due = due_in(dir.path(), day);
        assert!(due > day - Duration::from_secs(60) && due <= day, "{due:?}");
    }
}
