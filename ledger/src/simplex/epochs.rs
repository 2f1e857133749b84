//! The sets of members that have ordered this ledger, as far as this node took part: each with the
//! batch after which it began (docs/spec/network.md#epochs).

use std::collections::BTreeMap;
use std::path::Path;

use borsh::{BorshDeserialize, BorshSerialize};

use super::journal::Journal;
use crate::codec::{decode, encode};
use crate::genesis::Genesis;
use crate::ids::{BlockHeight, Digest};
use crate::log::Disk;
use crate::member::MemberSet;

/// Where an epoch begins.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct EpochStart {
    /// Who orders from here on.
    pub(crate) members: MemberSet,
    /// The last batch of the epoch before; zeros for the first.
    pub(crate) batch: Digest,
    /// The block it became.
    pub(crate) height: BlockHeight,
}

pub(crate) struct Epochs {
    journal: Journal,
    starts: BTreeMap<u64, EpochStart>,
}

impl Epochs {
    /// Opens the file, or makes it with the genesis as the first epoch.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(path: &Path, genesis: &Genesis, disk: &Disk) -> std::io::Result<Epochs> {
        let mut starts = BTreeMap::new();
        let journal = Journal::open(path, disk, |bytes, _| match decode::<EpochStart>("epoch", bytes) {
            Ok(start) => drop(starts.insert(start.members.epoch, start)),
            Err(error) => tracing::error!(%error, "an epoch cannot be read"),
        })?;
        let mut epochs = Epochs { journal, starts };
        if epochs.starts.is_empty() {
            let (batch, height) = (Digest([0; 32]), BlockHeight(0));
            epochs.begin(EpochStart { members: genesis.members(), batch, height })?;
        }
        Ok(epochs)
    }

    /// Records an epoch's beginning; durable when this returns.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn begin(&mut self, start: EpochStart) -> std::io::Result<()> {
        self.journal.append(&encode(&start))?;
        self.journal.sync()?;
        self.starts.insert(start.members.epoch, start);
        Ok(())
    }

    pub(crate) fn start(&self, epoch: u64) -> Option<&EpochStart> {
        self.starts.get(&epoch)
    }

    pub(crate) fn members(&self, epoch: u64) -> Option<&MemberSet> {
        self.starts.get(&epoch).map(|start| &start.members)
    }

    /// The two latest sets, the newer first.
    pub(crate) fn latest(&self) -> impl Iterator<Item = &MemberSet> {
        self.starts.values().rev().take(2).map(|start| &start.members)
    }
}
