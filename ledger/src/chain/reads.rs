//! Reading a ledger: from the index, and blocks from the log.

use std::sync::PoisonError;

use super::{Core, Ledger};
use crate::block::{Block, Entry, Header, Receipt};
use crate::checkpoint::SignedCheckpoint;
use crate::error::LedgerError;
use crate::genesis::Genesis;
use crate::ids::{Address, AssetId, BlockHeight, TxHash};
use crate::index::IndexError;
use crate::light::EntryProof;
use crate::log::{LOG_FILE, read_block};
use crate::member::{MemberSet, Policy, ProposalView};
use crate::merkle::{self, NodeHash};
use crate::state::query::{self, IndexTiles};
use crate::state::{AccountView, AssetView, GrantView, RequestView, TextView, VersionView, keys};

/// Most requests that one call returns.
pub const REQUESTS_PAGE_MAX: usize = 10_000;

/// Every read fails only with [`LedgerError::Index`] when the index is unusable (the ledger then
/// stops, and the next opening rebuilds it), and those of blocks and entries with
/// [`LedgerError::Damaged`] or [`LedgerError::Io`] when the log is.
impl Ledger {
    /// The genesis.
    pub fn genesis(&self) -> &Genesis {
        &self.core().genesis
    }

    /// The header of the last block whose checkpoint is signed. Blocks behind it may be visible
    /// already to reads of the state.
    pub fn head(&self) -> Header {
        self.core().certified().header.clone()
    }

    /// The signed checkpoint of the [head](Ledger::head).
    pub fn checkpoint(&self) -> SignedCheckpoint {
        self.core().certified().checkpoint.clone()
    }

    /// Header and checkpoint of the same block.
    pub fn signed_head(&self) -> (Header, SignedCheckpoint) {
        let certified = self.core().certified();
        (certified.header.clone(), certified.checkpoint.clone())
    }

    /// The account with that address.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn account(&self, address: &Address) -> Result<Option<AccountView>, LedgerError> {
        self.core().guard(query::account(&self.core().index, address))
    }

    /// All accounts, by address.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn accounts(&self) -> Result<Vec<AccountView>, LedgerError> {
        self.core().guard(query::all(&self.core().index, keys::ACCOUNTS))
    }

    /// Up to `limit` accounts behind `after`, by address.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn accounts_after(&self, after: Option<&Address>, limit: usize) -> Result<Vec<AccountView>, LedgerError> {
        let after = after.map(keys::account);
        self.core().guard(query::page(&self.core().index, keys::ACCOUNTS, after.as_deref(), limit))
    }

    /// All assets, by id.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn assets(&self) -> Result<Vec<AssetView>, LedgerError> {
        self.core().guard(query::all(&self.core().index, keys::ASSETS))
    }

    /// Up to `limit` assets behind `after`, by id.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn assets_after(&self, after: Option<&AssetId>, limit: usize) -> Result<Vec<AssetView>, LedgerError> {
        let after = after.map(keys::asset);
        self.core().guard(query::page(&self.core().index, keys::ASSETS, after.as_deref(), limit))
    }

    /// The asset with that id.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn asset(&self, id: &AssetId) -> Result<Option<AssetView>, LedgerError> {
        self.core().guard(query::asset(&self.core().index, id))
    }

    /// The assets of that name, one for each owner that has one.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn assets_named(&self, name: &str) -> Result<Vec<AssetView>, LedgerError> {
        self.core().guard(query::assets_named(&self.core().index, name))
    }

    /// The asset that has this name among its owner's.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn asset_owned(&self, owner: &Address, name: &str) -> Result<Option<AssetView>, LedgerError> {
        let index = &self.core().index;
        let found = query::owned(index, owner, name).and_then(|id| id.map_or(Ok(None), |id| query::asset(index, &id)));
        self.core().guard(found)
    }

    /// A version of an asset.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn version(&self, asset: &AssetId, number: u32) -> Result<Option<VersionView>, LedgerError> {
        self.core().guard(query::version(&self.core().index, asset, number))
    }

    /// What holds for `account` on `asset`: what it was granted itself, or else an account that it
    /// succeeds (docs/spec/members.md#accounts).
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn grant(&self, asset: &AssetId, account: &Address) -> Result<Option<GrantView>, LedgerError> {
        self.core().guard(query::holding(&self.core().index, asset, account))
    }

    /// An asset's list, by address.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn grants(&self, asset: &AssetId) -> Result<Vec<GrantView>, LedgerError> {
        self.core().guard(query::all(&self.core().index, &keys::grants(asset)))
    }

    /// Up to `limit` lines of an asset's list behind `after`, by address.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn grants_after(
        &self,
        asset: &AssetId,
        after: Option<&Address>,
        limit: usize,
    ) -> Result<Vec<GrantView>, LedgerError> {
        let after = after.map(|to| keys::grant(asset, to));
        self.core().guard(query::page(&self.core().index, &keys::grants(asset), after.as_deref(), limit))
    }

    /// The small text with that id.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn text(&self, id: &AssetId) -> Result<Option<TextView>, LedgerError> {
        self.core().guard(query::text(&self.core().index, id))
    }

    /// All small texts, by id.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn texts(&self) -> Result<Vec<TextView>, LedgerError> {
        self.core().guard(query::all(&self.core().index, keys::TEXTS))
    }

    /// Up to `limit` small texts behind `after`, by id.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn texts_after(&self, after: Option<&AssetId>, limit: usize) -> Result<Vec<TextView>, LedgerError> {
        let after = after.map(keys::text);
        self.core().guard(query::page(&self.core().index, keys::TEXTS, after.as_deref(), limit))
    }

    /// The members as of the last block.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn members(&self) -> Result<MemberSet, LedgerError> {
        self.core().guard(query::members(&self.core().index))
    }

    /// The rules as of the last block.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn policy(&self) -> Result<Policy, LedgerError> {
        self.core().guard(query::policy(&self.core().index))
    }

    /// All proposals of members, by hash.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn proposals(&self) -> Result<Vec<ProposalView>, LedgerError> {
        self.core().guard(query::all(&self.core().index, keys::PROPOSALS))
    }

    /// Up to `limit` proposals behind `after`, by hash.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn proposals_after(&self, after: Option<&TxHash>, limit: usize) -> Result<Vec<ProposalView>, LedgerError> {
        let after = after.map(keys::proposal);
        self.core().guard(query::page(&self.core().index, keys::PROPOSALS, after.as_deref(), limit))
    }

    /// A request and what became of it.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn request(&self, hash: &TxHash) -> Result<Option<RequestView>, LedgerError> {
        self.core().guard(query::request(&self.core().index, hash))
    }

    /// Requests, of one asset or all, in the order of their entries: up to `limit` (at most
    /// [`REQUESTS_PAGE_MAX`]) behind the entry `after`.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn requests(
        &self,
        asset: Option<&AssetId>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<RequestView>, LedgerError> {
        self.core().guard(query::requests(&self.core().index, asset, after, limit.min(REQUESTS_PAGE_MAX)))
    }

    /// The receipt of a transaction.
    ///
    /// # Errors
    /// [`LedgerError::Index`].
    pub fn receipt(&self, hash: &TxHash) -> Result<Option<Receipt>, LedgerError> {
        self.core().guard(query::receipt(&self.core().index, hash))
    }

    /// A block.
    ///
    /// # Errors
    /// [`LedgerError::OutOfRange`] past the head; as above.
    pub fn block(&self, height: BlockHeight) -> Result<Block, LedgerError> {
        let head = self.head().height;
        if height > head {
            return Err(LedgerError::OutOfRange { what: "blocks", asked: height.0, size: head.0.saturating_add(1) });
        }
        self.core().block(height)
    }

    /// An entry, by its position in the tree.
    ///
    /// # Errors
    /// [`LedgerError::OutOfRange`] past the head; as above.
    pub fn entry(&self, entry_index: u64) -> Result<Entry, LedgerError> {
        let (core, head) = (self.core(), self.head());
        let outside = || LedgerError::OutOfRange { what: "entries", asked: entry_index, size: head.tree_size };
        let height = core.guard(query::block_of_entry(&core.index, &head, entry_index))?.ok_or_else(outside)?;
        let block = self.block(height)?;
        let position = entry_index.checked_sub(block.header.first_entry).and_then(|at| usize::try_from(at).ok());
        position.and_then(|at| block.entries.into_iter().nth(at)).ok_or_else(outside)
    }

    /// An entry and the proof that it is in the tree of the first `tree_size` entries.
    ///
    /// # Errors
    /// [`LedgerError::OutOfRange`] when the entry is not in that tree, or the tree not yet there.
    pub fn prove_entry(&self, entry_index: u64, tree_size: u64) -> Result<EntryProof, LedgerError> {
        let core = self.core();
        let size = self.head().tree_size.min(tree_size);
        let outside = LedgerError::OutOfRange { what: "entries", asked: entry_index.max(tree_size), size };
        if tree_size != size {
            return Err(outside);
        }
        let path =
            core.guard(merkle::prove_inclusion(&IndexTiles(&core.index), entry_index, tree_size))?.ok_or(outside)?;
        Ok(EntryProof { entry: self.entry(entry_index)?, entry_index, path })
    }

    /// The proof that the tree of `old` entries is a prefix of the tree of `new` entries.
    ///
    /// # Errors
    /// [`LedgerError::OutOfRange`] when `old` is larger than `new`, or `new` than the ledger.
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<NodeHash>, LedgerError> {
        let core = self.core();
        let size = self.head().tree_size;
        let outside = LedgerError::OutOfRange { what: "entries", asked: old.max(new), size };
        if new > size {
            return Err(outside);
        }
        core.guard(merkle::prove_consistency(&IndexTiles(&core.index), old, new))?.ok_or(outside)
    }
}

impl Core {
    /// A block that was executed, whether or not its checkpoint is signed yet.
    pub(crate) fn block(&self, height: BlockHeight) -> Result<Block, LedgerError> {
        let place = self.guard(query::place(&self.index, height))?;
        let place = place.ok_or_else(|| IndexError::value(&keys::place(height), "a block's place is missing"));
        let offset = self.guard(place)?.offset;
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        read_block(&mut reader, &self.dir.join(LOG_FILE), offset, height).map(|(block, _)| block)
    }

    /// Passes a read's result on; a failure of the index stops the ledger.
    pub(super) fn guard<T>(&self, result: Result<T, IndexError>) -> Result<T, LedgerError> {
        result.map_err(|error| {
            self.stop(&error);
            LedgerError::Index(error)
        })
    }
}
