//! What reads of the ledger give.

use schemars::JsonSchema;
use sealgate_ledger::LedgerError;
use sealgate_ledger::block::Block;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, TxHash};
use sealgate_ledger::standing::{SignedHead, Standing};
use sealgate_ledger::state::{AccountView, GrantView, RequestView, TextView};
use serde::{Deserialize, Serialize};
use warp::Reply as _;
use warp::reply::Response;

use super::json;
use super::problem::ApiError;
use super::route::Call;
use crate::catalogue::{self, Search};
use crate::client::{Governance, HeadResponse};
use crate::gateway::Gateway;
use crate::owner::detail;

/// Blocks, and about how many of their bytes, that are given at once.
const BLOCKS_AT_ONCE: u64 = 256;
const BLOCKS_BYTES: usize = 1 << 20;
/// Lines of a list that are given at once.
const PAGE_MAX: usize = 1000;

type Read = Result<Response, ApiError>;

/// Sizes of two trees.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Consistency {
    /// Entries of the smaller tree.
    old: u64,
    /// Entries of the larger one.
    new: u64,
}

/// In which tree an entry is proven.
#[derive(Deserialize, JsonSchema)]
pub(super) struct InTree {
    /// Its entries; those of the head unless given.
    size: Option<u64>,
}

/// What the caller has seen.
#[derive(Deserialize, JsonSchema)]
pub(super) struct SeenSoFar {
    /// Entries of its checkpoint: the answer proves that the ledger extends it.
    seen: Option<u64>,
}

/// Where handovers begin.
#[derive(Deserialize, JsonSchema)]
pub(super) struct AfterEpoch {
    /// Those after this epoch.
    epoch: u64,
}

/// Where blocks begin.
#[derive(Deserialize, JsonSchema)]
pub(super) struct FromHeight {
    /// The first block's height.
    from: u64,
}

/// Which requests.
#[derive(Deserialize, JsonSchema)]
pub(super) struct TrailQuery {
    /// Those about one asset: its id.
    asset: Option<String>,
    /// Those behind this entry.
    after: Option<u64>,
    /// So many at most, 1,000 unless given.
    limit: Option<usize>,
}

/// Which part of a list.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    /// What comes behind this: `next` of the page before.
    after: Option<String>,
    /// So many at most, 1,000 unless given.
    limit: Option<usize>,
}

/// What is searched for: everything that is given must apply.
#[derive(Deserialize, JsonSchema)]
pub(super) struct CatalogueQuery {
    /// Words, each of which stands in name, title, description or a column's name.
    search: Option<String>,
    /// The owner's address, DID or name.
    owner: Option<String>,
    /// A column of this name.
    column: Option<String>,
    /// A column of this type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// `table` or `file`.
    data_type: Option<String>,
    /// Assets behind this one: `next` of the page before.
    after: Option<String>,
    /// So many at most, 100 unless given.
    limit: Option<usize>,
}

/// A page of accounts, by address.
#[derive(Serialize, JsonSchema)]
pub(super) struct AccountsPage {
    accounts: Vec<AccountView>,
    /// Behind which the next page begins; none after the last.
    next: Option<Address>,
}

/// A page of an asset's list, by address.
#[derive(Serialize, JsonSchema)]
pub(super) struct GrantsPage {
    grants: Vec<GrantView>,
    /// Behind which the next page begins; none after the last.
    next: Option<Address>,
}

/// A page of small texts, by id.
#[derive(Serialize, JsonSchema)]
pub(super) struct TextsPage {
    texts: Vec<TextView>,
    /// Behind which the next page begins; none after the last.
    next: Option<AssetId>,
}

/// A page of the trail, in the order of entries.
#[derive(Serialize, JsonSchema)]
pub(super) struct TrailPage {
    requests: Vec<RequestView>,
    /// Behind which entry the next page begins; none after the last.
    next: Option<u64>,
}

pub(super) fn genesis(gateway: &Gateway, _: &Call) -> Read {
    Ok(json(gateway.ledger().genesis()))
}

pub(super) fn verifying_key(gateway: &Gateway, call: &Call) -> Read {
    let circuit: String = call.part("circuit")?;
    let key = gateway.verifying_key(&circuit).ok_or(ApiError::NotFound)?;
    Ok(bytes(key.to_vec()))
}

pub(super) fn governance(gateway: &Gateway, call: &Call) -> Read {
    let ListQuery { after, limit } = call.parameters()?;
    let after = after.as_deref().map(id::<TxHash>).transpose()?;
    Ok(json(&Governance::page(gateway.ledger(), after.as_ref(), page_size(limit))?))
}

pub(super) fn checkpoint(gateway: &Gateway, _: &Call) -> Read {
    let SignedHead { header, checkpoint } = gateway.cosigned().own_head(gateway.ledger());
    Ok(json(&HeadResponse { header, checkpoint }))
}

pub(super) fn handovers(gateway: &Gateway, call: &Call) -> Read {
    let AfterEpoch { epoch } = call.parameters()?;
    Ok(json(&gateway.ledger().handovers(epoch)?))
}

pub(super) fn state_asset(gateway: &Gateway, call: &Call) -> Read {
    let mut standing = gateway.ledger().prove_asset(&call.part("asset")?)?;
    gateway.cosigned().attach(&mut standing.head);
    Ok(json(&standing))
}

pub(super) fn state_grant(gateway: &Gateway, call: &Call) -> Read {
    proven(gateway, gateway.ledger().prove_grant(&call.part("asset")?, &call.part("address")?)?)
}

pub(super) fn state_account(gateway: &Gateway, call: &Call) -> Read {
    proven(gateway, gateway.ledger().prove_account(&call.part("address")?)?)
}

pub(super) fn state_members(gateway: &Gateway, _: &Call) -> Read {
    proven(gateway, gateway.ledger().prove_members()?)
}

pub(super) fn state_policy(gateway: &Gateway, _: &Call) -> Read {
    proven(gateway, gateway.ledger().prove_policy()?)
}

fn proven<T: Serialize>(gateway: &Gateway, mut standing: Standing<T>) -> Read {
    gateway.cosigned().attach(&mut standing.head);
    Ok(json(&standing))
}

pub(super) fn consistency(gateway: &Gateway, call: &Call) -> Read {
    let Consistency { old, new } = call.parameters()?;
    Ok(json(&gateway.ledger().prove_consistency(old, new)?))
}

pub(super) fn catalogue(gateway: &Gateway, call: &Call) -> Read {
    let CatalogueQuery { search, owner, column, kind, data_type, after, limit } = call.parameters()?;
    let owner = owner.map(|owner| owner.parse().unwrap_or_else(|never| match never {}));
    let search = Search { search, owner, column, kind, data_type };
    if !search.in_bounds() {
        let most = catalogue::SEARCH_BYTES_MAX;
        return Err(ApiError::Malformed(format!("what is searched for has more than {most} bytes")));
    }
    let after = after.as_deref().map(id).transpose()?;
    Ok(json(&catalogue::page(gateway.ledger(), &search, after, limit.unwrap_or(catalogue::PAGE_MAX))?))
}

pub(super) fn asset(gateway: &Gateway, call: &Call) -> Read {
    let view = gateway.ledger().asset(&call.part("asset")?)?.ok_or(ApiError::NotFound)?;
    Ok(json(&detail(gateway.ledger(), view)?.ok_or(ApiError::NotFound)?))
}

pub(super) fn version(gateway: &Gateway, call: &Call) -> Read {
    found(gateway.ledger().version(&call.part("asset")?, call.part("n")?))
}

pub(super) fn grants(gateway: &Gateway, call: &Call) -> Read {
    let ListQuery { after, limit } = call.parameters()?;
    let (asset, after) = (call.part("asset")?, after.as_deref().map(id).transpose()?);
    let limit = page_size(limit);
    let grants = gateway.ledger().grants_after(&asset, after.as_ref(), limit)?;
    let next = grants.get(limit - 1).map(|last| last.to);
    Ok(json(&GrantsPage { grants, next }))
}

pub(super) fn grant(gateway: &Gateway, call: &Call) -> Read {
    found(gateway.ledger().grant(&call.part("asset")?, &call.part("address")?))
}

pub(super) fn texts(gateway: &Gateway, call: &Call) -> Read {
    let ListQuery { after, limit } = call.parameters()?;
    let (after, limit) = (after.as_deref().map(id).transpose()?, page_size(limit));
    let texts = gateway.ledger().texts_after(after.as_ref(), limit)?;
    let next = texts.get(limit - 1).map(|last| last.id);
    Ok(json(&TextsPage { texts, next }))
}

pub(super) fn text(gateway: &Gateway, call: &Call) -> Read {
    found(gateway.ledger().text(&call.part("text")?))
}

pub(super) fn accounts(gateway: &Gateway, call: &Call) -> Read {
    let ListQuery { after, limit } = call.parameters()?;
    let (after, limit) = (after.as_deref().map(id).transpose()?, page_size(limit));
    let accounts = gateway.ledger().accounts_after(after.as_ref(), limit)?;
    let next = accounts.get(limit - 1).map(|last| last.address);
    Ok(json(&AccountsPage { accounts, next }))
}

pub(super) fn account(gateway: &Gateway, call: &Call) -> Read {
    found(gateway.ledger().account(&call.part("address")?))
}

pub(super) fn receipt(gateway: &Gateway, call: &Call) -> Read {
    found(gateway.ledger().receipt(&call.part("hash")?))
}

pub(super) fn request(gateway: &Gateway, call: &Call) -> Read {
    found(gateway.ledger().request(&call.part("hash")?))
}

pub(super) fn trail(gateway: &Gateway, call: &Call) -> Read {
    let TrailQuery { asset, after, limit } = call.parameters()?;
    let (asset, limit) = (asset.as_deref().map(id).transpose()?, page_size(limit));
    let requests = gateway.ledger().requests(asset.as_ref(), after, limit)?;
    let next = requests.get(limit - 1).map(|last| last.entry_index);
    Ok(json(&TrailPage { requests, next }))
}

pub(super) fn entry(gateway: &Gateway, call: &Call) -> Read {
    let InTree { size } = call.parameters()?;
    let size = size.unwrap_or_else(|| gateway.ledger().head().tree_size);
    Ok(json(&gateway.ledger().prove_entry(call.part("index")?, size)?))
}

pub(super) fn block(gateway: &Gateway, call: &Call) -> Read {
    Ok(json(&gateway.ledger().block(BlockHeight(call.part("height")?))?))
}

/// Blocks from a height on, borsh, as many as fit; none past the head.
pub(super) fn blocks(gateway: &Gateway, call: &Call) -> Read {
    let FromHeight { from } = call.parameters()?;
    let ledger = gateway.ledger();
    let last = ledger.head().height.0.min(from.saturating_add(BLOCKS_AT_ONCE - 1));
    let mut blocks: Vec<Block> = Vec::new();
    let mut size = 0;
    for height in from..=last {
        let block = ledger.block(BlockHeight(height))?;
        size += sealgate_ledger::codec::encode(&block).len();
        blocks.push(block);
        if size >= BLOCKS_BYTES {
            break;
        }
    }
    Ok(bytes(sealgate_ledger::codec::encode(&blocks)))
}

pub(super) fn answer(gateway: &Gateway, call: &Call) -> Read {
    let SeenSoFar { seen } = call.parameters()?;
    let answer = gateway.answer_of(&call.part("request")?, seen.unwrap_or(0))?;
    Ok(json(&answer.ok_or(ApiError::NotFound)?))
}

fn found<T: Serialize>(value: Result<Option<T>, LedgerError>) -> Read {
    Ok(json(&value?.ok_or(ApiError::NotFound)?))
}

fn id<T: std::str::FromStr>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::NotFound)
}

/// How many lines a page has: at least one, so that who asks for the next goes on.
fn page_size(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX)
}

fn bytes(content: Vec<u8>) -> Response {
    let mut response = warp::http::Response::new(content).into_response();
    let kind = warp::http::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(warp::http::header::CONTENT_TYPE, kind);
    response
}
