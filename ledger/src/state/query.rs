//! Reading the state.

use super::execute::BlockPlace;
use super::keys;
use super::rejection::SUCCESSIONS_MAX;
use super::views::{AccountView, AssetView, GrantView, RequestView, TextView, VersionView};
use crate::block::{Header, Receipt};
use crate::ids::{Address, AssetId, BlockHeight, TxHash};
use crate::index::{Index, IndexError, Read, head, load, parse};
use crate::member::{MemberSet, Policy, ProposalView};
use crate::merkle::{NodeHash, Tiles};

/// Pairs read at a time when everything is wanted.
const PAGE: usize = 1024;
/// Blocks of which the requests are read at a time.
const BLOCKS_PAGE: usize = 64;

pub(crate) fn account<R: Read + ?Sized>(state: &R, address: &Address) -> Result<Option<AccountView>, IndexError> {
    load(state, &keys::account(address))
}

pub(crate) fn asset<R: Read + ?Sized>(state: &R, id: &AssetId) -> Result<Option<AssetView>, IndexError> {
    load(state, &keys::asset(id))
}

pub(crate) fn version<R: Read + ?Sized>(
    state: &R,
    asset: &AssetId,
    number: u32,
) -> Result<Option<VersionView>, IndexError> {
    load(state, &keys::version(asset, number))
}

pub(crate) fn grant<R: Read + ?Sized>(
    state: &R,
    asset: &AssetId,
    to: &Address,
) -> Result<Option<GrantView>, IndexError> {
    load(state, &keys::grant(asset, to))
}

/// What holds for `account` on `asset`: what it was granted itself, or else the nearest of those that it
/// succeeds, at most [`SUCCESSIONS_MAX`] of them.
pub(crate) fn holding<R: Read + ?Sized>(
    state: &R,
    asset: &AssetId,
    account: &Address,
) -> Result<Option<GrantView>, IndexError> {
    let own = grant(state, asset, account)?;
    if own.is_some() {
        return Ok(own);
    }
    for before in predecessors(state, account)? {
        let found = grant(state, asset, &before)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The accounts whose grants hold for `account`, the nearest first: at most [`SUCCESSIONS_MAX`].
pub(crate) fn predecessors<R: Read + ?Sized>(state: &R, account: &Address) -> Result<Vec<Address>, IndexError> {
    let mut found = Vec::new();
    let mut last = *account;
    while found.len() < SUCCESSIONS_MAX {
        let Some(before) = self::account(state, &last)?.and_then(|view| view.succeeds) else { break };
        found.push(before);
        last = before;
    }
    Ok(found)
}

/// Whether `account` succeeds the closed account `of`, over at most [`SUCCESSIONS_MAX`] steps.
pub(crate) fn succeeds<R: Read + ?Sized>(state: &R, account: &Address, of: &Address) -> Result<bool, IndexError> {
    let mut last = *of;
    for _ in 0..SUCCESSIONS_MAX {
        match self::account(state, &last)?.and_then(|view| view.successor) {
            Some(next) if next == *account => return Ok(true),
            Some(next) => last = next,
            None => break,
        }
    }
    Ok(false)
}

/// The asset that has this name among its owner's.
pub(crate) fn owned<R: Read + ?Sized>(state: &R, owner: &Address, name: &str) -> Result<Option<AssetId>, IndexError> {
    load(state, &keys::owned(owner, name))
}

pub(crate) fn receipt<R: Read + ?Sized>(state: &R, hash: &TxHash) -> Result<Option<Receipt>, IndexError> {
    load(state, &keys::receipt(hash))
}

pub(crate) fn request<R: Read + ?Sized>(state: &R, hash: &TxHash) -> Result<Option<RequestView>, IndexError> {
    match receipt(state, hash)? {
        Some(receipt) => request_at(state, receipt.entry_index),
        None => Ok(None),
    }
}

pub(crate) fn request_at<R: Read + ?Sized>(state: &R, entry_index: u64) -> Result<Option<RequestView>, IndexError> {
    load(state, &keys::request(entry_index))
}

pub(crate) fn tile<R: Read + ?Sized>(state: &R, level: u8, index: u64) -> Result<Vec<NodeHash>, IndexError> {
    Ok(load(state, &keys::tile(level, index))?.unwrap_or_default())
}

pub(crate) fn place<R: Read + ?Sized>(state: &R, height: BlockHeight) -> Result<Option<BlockPlace>, IndexError> {
    load(state, &keys::place(height))
}

/// Everything under a prefix, in order of its keys.
pub(crate) fn all<T, I>(index: &I, prefix: &[u8]) -> Result<Vec<T>, IndexError>
where
    T: borsh::BorshDeserialize,
    I: Index + ?Sized,
{
    let mut found = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = index.scan(prefix, after.as_deref(), PAGE)?;
        for (key, bytes) in &page {
            found.push(parse(key, bytes)?);
        }
        match page.into_iter().nth(PAGE - 1) {
            Some((key, _)) => after = Some(key),
            None => return Ok(found),
        }
    }
}

/// Up to `limit` values under a prefix behind the key `after`, in order of their keys.
pub(crate) fn page<T, I>(index: &I, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<T>, IndexError>
where
    T: borsh::BorshDeserialize,
    I: Index + ?Sized,
{
    index.scan(prefix, after, limit)?.iter().map(|(key, bytes)| parse(key, bytes)).collect()
}

/// The members as of the last block.
pub(crate) fn members<R: Read + ?Sized>(state: &R) -> Result<MemberSet, IndexError> {
    load(state, keys::MEMBERS)?.ok_or_else(|| IndexError::value(keys::MEMBERS, "the members are missing"))
}

/// The rules as of the last block.
pub(crate) fn policy<R: Read + ?Sized>(state: &R) -> Result<Policy, IndexError> {
    load(state, keys::POLICY)?.ok_or_else(|| IndexError::value(keys::POLICY, "the policy is missing"))
}

pub(crate) fn proposal<R: Read + ?Sized>(state: &R, hash: &TxHash) -> Result<Option<ProposalView>, IndexError> {
    load(state, &keys::proposal(hash))
}

pub(crate) fn text<R: Read + ?Sized>(state: &R, id: &AssetId) -> Result<Option<TextView>, IndexError> {
    load(state, &keys::text(id))
}

/// Assets of that name, whoever owns them.
pub(crate) fn assets_named<I: Index + ?Sized>(index: &I, name: &str) -> Result<Vec<AssetView>, IndexError> {
    let mut found = Vec::new();
    for (key, _) in index.scan(&keys::named(name), None, PAGE)? {
        let id = key.last_chunk::<32>().ok_or_else(|| IndexError::value(&key, "no asset id"))?;
        found.extend(asset(index, &AssetId(*id))?);
    }
    Ok(found)
}

/// Requests in the order of their entries.
pub(crate) fn requests<I: Index + ?Sized>(
    index: &I,
    of: Option<&AssetId>,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<RequestView>, IndexError> {
    match of {
        None => {
            let after = after.map(keys::request);
            let page = index.scan(keys::REQUESTS, after.as_deref(), limit)?;
            page.iter().map(|(key, bytes)| parse(key, bytes)).collect()
        }
        Some(asset) => requests_of(index, asset, after, limit),
    }
}

/// Requests of one asset; the index lists them block by block.
fn requests_of<I: Index + ?Sized>(
    index: &I,
    asset: &AssetId,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<RequestView>, IndexError> {
    let mut found = Vec::new();
    let mut past = match (after, head(index)?) {
        (Some(entry), Some(head)) => match block_of_entry(index, &head, entry)? {
            // The block of that entry may hold more.
            Some(height) => height.0.checked_sub(1).map(|before| keys::requests_in(asset, BlockHeight(before))),
            None => return Ok(found),
        },
        _ => None,
    };
    loop {
        let page = index.scan(&keys::requests_of(asset), past.as_deref(), BLOCKS_PAGE)?;
        for (key, bytes) in &page {
            let entries: Vec<u64> = parse(key, bytes)?;
            for entry in entries.into_iter().filter(|entry| after.is_none_or(|after| *entry > after)) {
                if found.len() >= limit {
                    return Ok(found);
                }
                found.extend(request_at(index, entry)?);
            }
        }
        match page.into_iter().nth(BLOCKS_PAGE - 1) {
            Some((key, _)) => past = Some(key),
            None => return Ok(found),
        }
    }
}

/// Whether a granted request waits for its answer.
pub(crate) fn has_open_requests<I: Index + ?Sized>(index: &I) -> Result<bool, IndexError> {
    Ok(!index.scan(keys::OPEN, None, 1)?.is_empty())
}

/// The block that holds entry `entry_index`, found by halving: block places are in order.
pub(crate) fn block_of_entry<R: Read + ?Sized>(
    state: &R,
    head: &Header,
    entry_index: u64,
) -> Result<Option<BlockHeight>, IndexError> {
    if entry_index >= head.tree_size {
        return Ok(None);
    }
    // The last block whose first entry is not after the one sought. Empty blocks share their
    // first entry with the next, so the last one holds it.
    let (mut low, mut high) = (0, head.height.0);
    while low < high {
        let middle = high - (high - low) / 2;
        let key = BlockHeight(middle);
        let place =
            place(state, key)?.ok_or_else(|| IndexError::value(&keys::place(key), "a block's place is missing"))?;
        if place.first_entry <= entry_index {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(Some(BlockHeight(low)))
}

/// The tree's tiles in an index.
pub(crate) struct IndexTiles<'a, I: Index + ?Sized>(pub(crate) &'a I);

impl<I: Index + ?Sized> Tiles for IndexTiles<'_, I> {
    type Error = IndexError;

    fn tile(&self, level: u8, index: u64) -> Result<Vec<NodeHash>, IndexError> {
        tile(self.0, level, index)
    }

    fn missing(&self, level: u8, index: u64) -> IndexError {
        IndexError::value(&keys::tile(level, index), "a part of the tree is missing")
    }
}
