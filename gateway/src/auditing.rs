//! Audits: anyone's, of a ledger shown by a gateway, against one's own checkpoint; and the
//! owner's, of what lies in its folder.

use std::sync::Arc;

use sealgate_ledger::Ledger;
use sealgate_ledger::audit::{AuditError, Replay, Summary, audit_log};
use sealgate_ledger::block::Block;
use sealgate_ledger::checkpoint::Checkpoint;
use sealgate_ledger::ids::BlockHeight;
use sealgate_ledger::tx::FILE;
use sealgate_ods::file::{VerifyFile, verify_file};
use sealgate_ods::progress::ProgressSink;
use sealgate_ods::store::StoreError;
use sealgate_ods::table::{VerifyRequest, verify_objects};
use serde::Serialize;

use crate::asking::{AskFailure, Session};
use crate::budget::{Book, Checked, Reader};
use crate::client::ClientError;
use crate::files::FileError;
use crate::owner::{Access, Owner, OwnerError};

/// What an audit found wrong.
#[derive(Debug, thiserror::Error)]
pub enum AuditFailure {
    /// Trust, checkpoint, or the way to the gateway.
    #[error(transparent)]
    Session(#[from] AskFailure),
    /// The gateway.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The ledger.
    #[error("ledger: {0}")]
    Ledger(#[from] AuditError),
    /// The gateway shows fewer blocks than its own checkpoint covers.
    #[error("the gateway shows {shown} of the {expected} entries that its checkpoint covers")]
    Short {
        /// What it shows.
        shown: u64,
        /// What it should.
        expected: u64,
    },
    /// The gateway shows entries that nobody has signed.
    #[error("the gateway shows {shown} entries, and its checkpoint covers only {expected} of them")]
    Unsigned {
        /// What it shows.
        shown: u64,
        /// What is signed.
        expected: u64,
    },
    /// The ledger has no such block.
    #[error("the ledger stands at block {head}; there is no block {height} yet")]
    NotYet {
        /// The block.
        height: BlockHeight,
        /// Where the ledger stands.
        head: BlockHeight,
    },
    /// The owner's folder.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// A stored object.
    #[error("asset '{asset}', version {version}: {source}")]
    Store {
        /// The asset's name.
        asset: String,
        /// The version.
        version: u32,
        /// What is wrong.
        source: StoreError,
    },
}

impl From<FileError> for AuditFailure {
    fn from(error: FileError) -> Self {
        AuditFailure::Owner(error.into())
    }
}

/// Downloads and replays every block of a gateway's ledger, and holds the result against its
/// signed head and against everything the home has seen.
///
/// # Errors
/// [`AuditFailure`], naming the block.
pub async fn replay(session: &Session<'_>, progress: impl Fn(u64, u64)) -> Result<Replay, AuditFailure> {
    replay_each(session, progress, |_| {}).await
}

/// [`replay`], and shows each block that has been replayed to `inspect`.
///
/// # Errors
/// As [`replay`].
pub async fn replay_each(
    session: &Session<'_>,
    progress: impl Fn(u64, u64),
    inspect: impl FnMut(&Block),
) -> Result<Replay, AuditFailure> {
    Ok(replay_at(session, None, progress, inspect, |_| Ok(())).await?.0)
}

/// [`replay`], and takes what is wanted of the state as of block `as_of`, or of the last one. Blocks
/// up to it are shown to `inspect`. Those behind it are replayed too: only the head is signed, and
/// what leads to it is what the ledger was.
///
/// # Errors
/// As [`replay`]; [`AuditFailure::NotYet`] when the ledger has no such block.
pub async fn replay_at<T>(
    session: &Session<'_>,
    as_of: Option<BlockHeight>,
    progress: impl Fn(u64, u64),
    mut inspect: impl FnMut(&Block),
    take: impl Fn(&Replay) -> Result<T, AuditError>,
) -> Result<(Replay, T), AuditFailure> {
    if let Some(height) = as_of.filter(|height| *height > session.head) {
        return Err(AuditFailure::NotYet { height, head: session.head });
    }
    let mut replay = Replay::new(session.genesis.clone())?;
    let target = session.checkpoint.size;
    let seen = session.home.seen_checkpoints(&session.genesis).map_err(AskFailure::from)?;
    let mut taken = if as_of == Some(BlockHeight(0)) { Some(take(&replay)?) } else { None };
    while replay.head().height < session.checkpoint.height {
        let next = replay.head().height.next();
        let blocks = session.client.blocks(next).await?;
        if blocks.is_empty() {
            return Err(AuditFailure::Short { shown: replay.checkpoint().size, expected: target });
        }
        for block in &blocks {
            replay.apply(block)?;
            if as_of.is_none_or(|height| block.header.height <= height) {
                inspect(block);
            }
            if as_of == Some(block.header.height) {
                taken = Some(take(&replay)?);
            }
            if replay.head().height >= session.checkpoint.height {
                break;
            }
        }
        progress(replay.checkpoint().size, target);
    }
    if replay.checkpoint().size > target {
        return Err(AuditFailure::Unsigned { shown: replay.checkpoint().size, expected: target });
    }
    if replay.checkpoint() != session.checkpoint {
        return Err(AuditError::Checkpoint { size: target }.into());
    }
    for (size, root) in seen.iter().filter(|(size, _)| *size <= target) {
        replay.check_root(*size, root)?;
    }
    let taken = match taken {
        Some(taken) => taken,
        None => take(&replay)?,
    };
    Ok((replay, taken))
}

/// Reads an owner's account book back from its ledger.
///
/// # Errors
/// [`OwnerError::Ledger`].
pub fn read_book(ledger: &Ledger, reader: &Reader<'_>) -> Result<(Book, Checked), OwnerError> {
    read_book_each(ledger, reader, |_, _| {})
}

/// [`read_book`], and says after each block how many of how many have been read.
///
/// # Errors
/// As [`read_book`].
pub fn read_book_each(
    ledger: &Ledger,
    reader: &Reader<'_>,
    progress: impl Fn(u64, u64),
) -> Result<(Book, Checked), OwnerError> {
    let (mut book, mut checked) = (Book::default(), Checked::default());
    let last = ledger.head().height.0;
    for height in 1..=last {
        checked.add(book.read(ledger.genesis(), reader, &ledger.block(BlockHeight(height))?));
        progress(height, last);
    }
    Ok((book, checked))
}

/// What an owner's audit checked and found whole.
#[derive(Debug, Clone, Serialize)]
pub struct OwnerAudit {
    /// Height of the last block.
    pub height: BlockHeight,
    /// The checkpoint it leads to.
    pub checkpoint: Checkpoint,
    /// What the ledger holds.
    pub ledger: Summary,
    /// Versions whose objects were read back.
    pub versions: u64,
    /// Objects read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
    /// Whether the records' places and commitments were computed again.
    pub recomputed: bool,
}

/// Checks an owner's folder: the account and keys load, the proving keys are the genesis's, the
/// log replays, the index equals the replay, every stored object of every version is whole.
///
/// # Errors
/// [`AuditFailure`], naming the first thing that is wrong.
pub async fn audit_owner(
    owner: &Owner,
    recompute: bool,
    progress: Arc<dyn ProgressSink>,
) -> Result<OwnerAudit, AuditFailure> {
    let replay = match owner.access().await? {
        // Opening has checked the log and brought the index up to it.
        Access::Local(ledger) => tokio::task::block_in_place(|| ledger.audit())?.replay,
        // A gateway has the ledger open: it compares its index itself.
        Access::Serving(client) => {
            client.audit_index().await?;
            tokio::task::block_in_place(|| audit_log(&owner.ledger_folder()))?.replay
        }
    };
    let mut audit = OwnerAudit {
        height: replay.head().height,
        checkpoint: replay.checkpoint(),
        ledger: replay.summary(),
        versions: 0,
        objects: 0,
        bytes: 0,
        records: 0,
        recomputed: recompute,
    };
    let genesis = sealgate_ledger::chain::read_genesis(&owner.ledger_folder()).map_err(OwnerError::from)?;
    for circuit in sealgate_circuits::statement::Circuit::ALL {
        owner.parameters().load(circuit, &genesis).map_err(OwnerError::from)?;
    }
    for asset in replay.assets()?.into_iter().filter(|asset| asset.owner == owner.account().address()) {
        let keys = Arc::new(owner.asset_keys(&asset.id).map_err(OwnerError::from)?);
        let Some(current) = replay.version(&asset.id, asset.current)? else { continue };
        for number in 1..=asset.current {
            let Some(version) = replay.version(&asset.id, number)? else { continue };
            let Some(version) = owner.kept(&keys, &current, &version).await? else { continue };
            let (store, keys, progress) = (owner.store().clone(), Arc::clone(&keys), Arc::clone(&progress));
            let report = if asset.data_type == FILE {
                verify_file(VerifyFile { store, keys, version, progress }).await
            } else {
                let recompute_in = recompute.then(|| owner.folder().join("spill"));
                let schema = asset.schema.clone();
                verify_objects(VerifyRequest { store, keys, schema, version, recompute_in, progress }).await
            };
            let report =
                report.map_err(|source| AuditFailure::Store { asset: asset.name.clone(), version: number, source })?;
            audit.versions += 1;
            audit.objects += report.objects;
            audit.bytes += report.bytes;
            audit.records += report.records;
        }
    }
    Ok(audit)
}
