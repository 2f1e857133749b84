//! Proofs of what stands on the ledger, under the state root of its signed head.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use super::{Certified, Core, Ledger};
use crate::checkpoint::CHECKPOINT_BYTES_MAX;
use crate::codec::{decode, encode};
use crate::error::LedgerError;
use crate::ids::{Address, AssetId, BlockHeight};
use crate::index::{IndexError, TrailingIndex};
use crate::log::write_durably;
use crate::member::{MemberSet, Policy};
use crate::standing::{AssetStanding, Handover, SignedHead, Standing};
use crate::state::{AccountView, ContractView, GrantView, keys, query};
use crate::trie::{self, StateKey, StatePrefix};

/// How often a proof is begun anew because a block came in between, and how long is waited then.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);
/// Folder of the handovers, one file an epoch.
const HANDOVERS_FOLDER: &str = "handovers";
/// Handovers that one call returns.
pub const HANDOVERS_PAGE_MAX: usize = 64;

/// Each read here fails with [`LedgerError::Changing`] when blocks come faster than it can be done,
/// and otherwise as those of the state.
impl Ledger {
    /// An asset's contract and its whole authorization list, or that there is no such asset.
    ///
    /// # Errors
    /// As above; [`LedgerError::OutOfRange`] when the list is too long for one proof.
    pub fn prove_asset(&self, asset: &AssetId) -> Result<AssetStanding, LedgerError> {
        let (head, (contract, grants, proof)) = self.core().standing(|index| {
            let contract = match query::asset(index, asset)? {
                Some(view) => {
                    query::version(index, asset, view.current)?.map(|version| ContractView { asset: view, version })
                }
                None => None,
            };
            let grants: Vec<GrantView> = query::all(index, &keys::grants(asset))?;
            Ok((contract, grants, trie::prove_prefix(index, &StatePrefix::asset(asset))?))
        })?;
        let size = grants.len() as u64;
        let outside = || LedgerError::OutOfRange { what: "grants to be proven at once", asked: size, size };
        let grants = grants.into_iter().map(|grant| GrantView { used: 0, ..grant }).collect();
        Ok(AssetStanding { head, contract, grants, proof: proof.ok_or_else(outside)? })
    }

    /// What `to` was granted on `asset`, or that it was granted nothing.
    ///
    /// # Errors
    /// As above.
    pub fn prove_grant(&self, asset: &AssetId, to: &Address) -> Result<Standing<GrantView>, LedgerError> {
        let value =
            |index: &TrailingIndex| Ok(query::grant(index, asset, to)?.map(|grant| GrantView { used: 0, ..grant }));
        self.core().prove(&StateKey::grant(asset, to), value)
    }

    /// The account with that address, or that there is none.
    ///
    /// # Errors
    /// As above.
    pub fn prove_account(&self, address: &Address) -> Result<Standing<AccountView>, LedgerError> {
        self.core().prove(&StateKey::account(address), |index| query::account(index, address))
    }

    /// The members.
    ///
    /// # Errors
    /// As above.
    pub fn prove_members(&self) -> Result<Standing<MemberSet>, LedgerError> {
        self.core().prove(&StateKey::members(), |index| query::members(index).map(Some))
    }

    /// The rules.
    ///
    /// # Errors
    /// As above.
    pub fn prove_policy(&self) -> Result<Standing<Policy>, LedgerError> {
        self.core().prove(&StateKey::policy(), |index| query::policy(index).map(Some))
    }

    /// How the members changed: the handovers to the epochs behind `epoch`, as far as this node has
    /// them, at most [`HANDOVERS_PAGE_MAX`].
    ///
    /// # Errors
    /// [`LedgerError::Damaged`], [`LedgerError::Io`].
    pub fn handovers(&self, epoch: u64) -> Result<Vec<Handover>, LedgerError> {
        let mut found = Vec::new();
        while found.len() < HANDOVERS_PAGE_MAX {
            let next = epoch.saturating_add(1 + found.len() as u64);
            match self.core().handover(next)? {
                Some(handover) => found.push(handover),
                None => break,
            }
        }
        Ok(found)
    }
}

impl Core {
    fn prove<T>(
        &self,
        key: &StateKey,
        value: impl Fn(&TrailingIndex) -> Result<Option<T>, IndexError>,
    ) -> Result<Standing<T>, LedgerError> {
        let (head, (value, proof)) = self.standing(|index| Ok((value(index)?, trie::prove(index, key)?)))?;
        Ok(Standing { head, value, proof })
    }

    /// Reads the state as of the signed head, all of one block: begun anew while blocks come in
    /// between. What goes wrong then is no failure of the index.
    fn standing<T>(
        &self,
        read: impl Fn(&TrailingIndex) -> Result<T, IndexError>,
    ) -> Result<(SignedHead, T), LedgerError> {
        for attempt in 0..ATTEMPTS {
            let certified = self.certified();
            let root = Ok(certified.header.state_root);
            if trie::root(&self.index) == root {
                let found = read(&self.index);
                if trie::root(&self.index) == root && self.certified().header == certified.header {
                    let Certified { header, checkpoint } = &*certified;
                    let head = SignedHead { header: header.clone(), checkpoint: checkpoint.clone() };
                    return self.guard(found).map(|found| (head, found));
                }
            }
            if attempt > 2 {
                std::thread::sleep(PAUSE);
            }
        }
        Err(LedgerError::Changing)
    }

    fn handover_path(&self, epoch: u64) -> PathBuf {
        self.dir.join(HANDOVERS_FOLDER).join(format!("{epoch}.handover"))
    }

    fn handover(&self, epoch: u64) -> Result<Option<Handover>, LedgerError> {
        let path = self.handover_path(epoch);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LedgerError::io("read", &path, &error)),
        };
        let damaged = |error: sealgate_circuits::bytes::DecodeError| LedgerError::Damaged {
            file: path.clone(),
            offset: 0,
            height: BlockHeight(0),
            what: error.to_string(),
        };
        decode("handover", &bytes).map(Some).map_err(damaged)
    }

    /// Keeps the handover, if the block that is about to count as signed ended an epoch: its state
    /// can be proven now and not later. A node that misses it lacks a convenience for others, so
    /// failures are logged.
    pub(super) fn keep_handover(&self, certified: &Certified) {
        let header = &certified.header;
        let ends = |members: &MemberSet| header.epoch.checked_add(1) == Some(members.epoch);
        let Some(members) = query::members(&self.index).ok().filter(ends) else { return };
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if trie::root(&self.index) != Ok(header.state_root) || certified.checkpoint.0.len() > CHECKPOINT_BYTES_MAX {
            return;
        }
        let path = self.handover_path(members.epoch);
        let Ok(proof) = trie::prove(&self.index, &StateKey::members()) else { return };
        let head = SignedHead { header: header.clone(), checkpoint: certified.checkpoint.clone() };
        let kept = std::fs::create_dir_all(self.dir.join(HANDOVERS_FOLDER))
            .map_err(|error| LedgerError::io("make the folder of", &path, &error))
            .and_then(|()| write_durably(&path, &encode(&Handover { head, members, proof })));
        if let Err(error) = kept {
            tracing::warn!(%error, "a handover could not be kept");
        }
    }
}
