//! Keys of the index: one letter for the kind, then fixed-size parts, numbers big-endian so that
//! order is kept (docs/spec/ledger.md#index).

use crate::ids::{Address, AssetId, BlockHeight, TxHash};

/// Accounts by address.
pub(crate) const ACCOUNTS: &[u8] = b"a";
/// Assets by id.
pub(crate) const ASSETS: &[u8] = b"c";
/// Grants by asset and account.
pub(crate) const GRANTS: &[u8] = b"g";
/// Requests by entry.
pub(crate) const REQUESTS: &[u8] = b"q";
/// Counts of open requests by deadline.
pub(crate) const OPEN: &[u8] = b"o";

/// Receipts by transaction.
pub(crate) const RECEIPTS: &[u8] = b"t";

fn join(kind: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut key = kind.to_vec();
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

pub(crate) fn account(address: &Address) -> Vec<u8> {
    join(ACCOUNTS, &[&address.0])
}

pub(crate) fn asset(id: &AssetId) -> Vec<u8> {
    join(ASSETS, &[&id.0])
}

/// Assets that have this name, whoever owns them. A name has no zero byte.
pub(crate) fn named(name: &str) -> Vec<u8> {
    join(b"n", &[name.as_bytes(), &[0]])
}

pub(crate) fn asset_name(name: &str, id: &AssetId) -> Vec<u8> {
    join(&named(name), &[&id.0])
}

pub(crate) fn version(asset: &AssetId, number: u32) -> Vec<u8> {
    join(b"v", &[&asset.0, &number.to_be_bytes()])
}

pub(crate) fn grants(asset: &AssetId) -> Vec<u8> {
    join(GRANTS, &[&asset.0])
}

pub(crate) fn grant(asset: &AssetId, to: &Address) -> Vec<u8> {
    join(&grants(asset), &[&to.0])
}

pub(crate) fn request(entry_index: u64) -> Vec<u8> {
    join(REQUESTS, &[&entry_index.to_be_bytes()])
}

pub(crate) fn requests_of(asset: &AssetId) -> Vec<u8> {
    join(b"p", &[&asset.0])
}

/// The requests of an asset that one block holds.
pub(crate) fn requests_in(asset: &AssetId, height: BlockHeight) -> Vec<u8> {
    join(&requests_of(asset), &[&height.0.to_be_bytes()])
}

/// How many requests that the block `height` granted are open until `deadline`.
pub(crate) fn open(deadline: BlockHeight, height: BlockHeight) -> Vec<u8> {
    join(OPEN, &[&deadline.0.to_be_bytes(), &height.0.to_be_bytes()])
}

/// Deadline and height from a key of open requests.
pub(crate) fn open_parts(key: &[u8]) -> Option<(BlockHeight, BlockHeight)> {
    let (deadline, height) = key.strip_prefix(OPEN)?.split_first_chunk::<8>()?;
    let number = |bytes: [u8; 8]| BlockHeight(u64::from_be_bytes(bytes));
    Some((number(*deadline), number(height.try_into().ok()?)))
}

pub(crate) fn receipt(hash: &TxHash) -> Vec<u8> {
    join(RECEIPTS, &[&hash.0])
}

pub(crate) fn tile(level: u8, index: u64) -> Vec<u8> {
    join(b"m", &[&[level], &index.to_be_bytes()])
}

pub(crate) fn place(height: BlockHeight) -> Vec<u8> {
    join(b"b", &[&height.0.to_be_bytes()])
}

/// The members and their epoch.
pub(crate) const MEMBERS: &[u8] = b"e";
/// The rules that members can change.
pub(crate) const POLICY: &[u8] = b"y";
/// Proposals by the transactions that made them.
pub(crate) const PROPOSALS: &[u8] = b"x";

pub(crate) fn proposal(hash: &TxHash) -> Vec<u8> {
    join(PROPOSALS, &[&hash.0])
}

/// How many requests of the account were denied on its last day with a denial.
pub(crate) fn denials(account: &Address) -> Vec<u8> {
    join(b"d", &[&account.0])
}

/// Texts by id.
pub(crate) const TEXTS: &[u8] = b"z";

pub(crate) fn text(id: &AssetId) -> Vec<u8> {
    join(TEXTS, &[&id.0])
}

/// Which asset of its owner's has this name.
pub(crate) fn owned(owner: &Address, name: &str) -> Vec<u8> {
    join(b"u", &[&owner.0, name.as_bytes()])
}

/// Where the root of the state tree is named.
pub(crate) fn state_root() -> Vec<u8> {
    b"s".to_vec()
}

/// The node of the state tree whose keys share these first bits.
pub(crate) fn state_node(bits: u16, prefix: &[u8]) -> Vec<u8> {
    join(b"s", &[&bits.to_be_bytes(), prefix])
}
