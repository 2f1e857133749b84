//! The HTTP API (docs/spec/api.md). The only place that names HTTP server types. Reads are public
//! to whoever reaches the gateway: the ledger is shared; answers are sealed to their requester.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use sealgate_ledger::LedgerError;
use sealgate_ledger::ids::BlockHeight;
use sealgate_ledger::standing::{SignedHead, Standing};
use sealgate_ledger::tx::{SignedTx, TX_BYTES_MAX};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use warp::http::header::{AUTHORIZATION, HeaderMap};
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

use crate::catalogue::{self, Search};
use crate::client::{Governance, HeadResponse, PASSED_ON};
use crate::gateway::Gateway;
use crate::messages::AskRequest;
use crate::owner::detail;

mod problem;
pub mod witness;

pub use problem::ApiError;

/// Largest body of an ask, in bytes.
const ASK_BYTES_MAX: u64 = 12 << 20;
/// Blocks, and about how many of their bytes, that are given at once.
const BLOCKS_AT_ONCE: u64 = 256;
const BLOCKS_BYTES: usize = 1 << 20;
/// Reads of the ledger at the same time; more wait their turn.
const READS_AT_ONCE: usize = 16;
/// Lines of the trail that are given at once.
const TRAIL_AT_ONCE: usize = 1000;

/// Serves the API on a bound listener until `stop` resolves; requests under way are finished.
pub async fn serve(
    listener: tokio::net::TcpListener,
    gateway: Arc<Gateway>,
    token: String,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    warp::serve(routes(gateway, token)).incoming(listener).graceful(stop).run().await;
}

/// Listens on an address; port 0 takes a free one.
///
/// # Errors
/// What the operating system says, with the address and the way out.
pub async fn bind(listen: &str) -> Result<(tokio::net::TcpListener, SocketAddr), String> {
    let failed =
        |error: std::io::Error| format!("cannot listen on {listen}: {error}; choose another address with --listen");
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn routes(gateway: Arc<Gateway>, token: String) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let token: Arc<str> = token.into();
    let turns = Arc::new(tokio::sync::Semaphore::new(READS_AT_ONCE));
    let query = || warp::query::raw().or(warp::any().map(String::new)).unify();
    let state = gateway.clone();
    let reads = warp::get().and(warp::path::full()).and(query()).and(warp::header::headers_cloned()).then(
        move |path: FullPath, query: String, headers: HeaderMap| {
            let (gateway, token, turns) = (state.clone(), token.clone(), turns.clone());
            // Reads touch files: off the async threads.
            let read = move || read(&gateway, &token, path.as_str(), &query, &headers);
            async move {
                let _turn = turns.acquire_owned().await;
                finish(tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(ApiError::internal(error))))
            }
        },
    );
    let state = gateway.clone();
    let witnessed =
        warp::path!("v1" / "checkpoint" / "witnessed").and(warp::get()).then(move || witnessed(state.clone()));
    let state = gateway.clone();
    let transactions = warp::path!("v1" / "transactions")
        .and(warp::post())
        .and(warp::body::content_length_limit(TX_BYTES_MAX as u64 + 128))
        .and(warp::body::bytes())
        .then(move |body: warp::hyper::body::Bytes| submit(state.clone(), body));
    let asks = warp::path!("v1" / "asks")
        .and(warp::post())
        .and(warp::body::content_length_limit(ASK_BYTES_MAX))
        .and(warp::header::optional::<String>(PASSED_ON))
        .and(warp::body::json())
        .then(move |passed_on: Option<String>, body: AskRequest| ask(gateway.clone(), body, passed_on.is_some()));
    transactions.or(asks).unify().or(witnessed).unify().or(reads).unify().recover(problem::recover)
}

fn finish(result: Result<Response, ApiError>) -> Response {
    result.unwrap_or_else(|error| error.into_response())
}

async fn submit(gateway: Arc<Gateway>, body: impl AsRef<[u8]>) -> Response {
    let tx = match SignedTx::decode(body.as_ref()) {
        Ok(tx) => tx,
        Err(error) => return ApiError::Malformed(error.to_string()).into_response(),
    };
    finish(gateway.submit(tx).await.map(|receipt| json(&receipt)).map_err(ApiError::from))
}

/// Runs to its end also when the caller hangs up: what was granted gets its answer.
async fn ask(gateway: Arc<Gateway>, body: AskRequest, passed_on: bool) -> Response {
    let asked = tokio::spawn(async move { gateway.ask(body, passed_on).await });
    let result = asked.await.map_err(ApiError::internal).and_then(|result| result.map_err(ApiError::from));
    finish(result.map(|response| json(&response)))
}

fn json<T: Serialize>(value: &T) -> Response {
    warp::reply::json(value).into_response()
}

#[derive(Deserialize)]
struct Consistency {
    old: u64,
    new: u64,
}

#[derive(Deserialize)]
struct At {
    size: Option<u64>,
    seen: Option<u64>,
}

#[derive(Deserialize)]
struct After {
    epoch: u64,
}

#[derive(Deserialize)]
struct From {
    from: u64,
}

#[derive(Deserialize)]
struct Trail {
    asset: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct CataloguePage {
    search: Option<String>,
    owner: Option<String>,
    column: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    data_type: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    height: BlockHeight,
    version: &'static str,
}

/// Every GET route. What is not there, and what cannot be an identifier, is 404 alike.
fn read(gateway: &Gateway, token: &str, path: &str, query: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let ledger = gateway.ledger();
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match segments.as_slice() {
        ["health"] => {
            Ok(json(&Health { status: "ok", height: ledger.head().height, version: env!("CARGO_PKG_VERSION") }))
        }
        ["v1", "genesis"] => Ok(json(ledger.genesis())),
        ["v1", "parameters", circuit] => {
            let key = gateway.verifying_key(circuit).ok_or(ApiError::NotFound)?;
            Ok(warp::http::Response::new(key.to_vec()).into_response())
        }
        ["v1", "texts"] => Ok(json(&ledger.texts()?)),
        ["v1", "texts", text] => found(ledger.text(&id(text)?)),
        ["v1", "governance"] => Ok(json(&Governance::of(ledger)?)),
        ["v1", "checkpoint"] => Ok(json(&head(gateway))),
        ["v1", "handovers"] => Ok(json(&ledger.handovers(parameters::<After>(query)?.epoch)?)),
        ["v1", "state", what @ ..] => state(gateway, what),
        ["v1", "consistency"] => {
            let Consistency { old, new } = parameters(query)?;
            Ok(json(&ledger.prove_consistency(old, new)?))
        }
        ["v1", "catalogue"] => catalogue(gateway, query),
        ["v1", "assets", asset] => {
            let view = ledger.asset(&id(asset)?)?.ok_or(ApiError::NotFound)?;
            Ok(json(&detail(ledger, view)?.ok_or(ApiError::NotFound)?))
        }
        ["v1", "assets", asset, "versions", number] => found(ledger.version(&id(asset)?, id(number)?)),
        ["v1", "assets", asset, "grants"] => Ok(json(&ledger.grants(&id(asset)?)?)),
        ["v1", "assets", asset, "grants", to] => found(ledger.grant(&id(asset)?, &id(to)?)),
        ["v1", "accounts"] => Ok(json(&ledger.accounts()?)),
        ["v1", "accounts", address] => found(ledger.account(&id(address)?)),
        ["v1", "transactions", hash] => found(ledger.receipt(&id(hash)?)),
        ["v1", "requests", hash] => found(ledger.request(&id(hash)?)),
        ["v1", "requests", hash, "progress"] => Ok(json(&gateway.progress(&id(hash)?).ok_or(ApiError::NotFound)?)),
        ["v1", "answers", hash] => {
            let at: At = parameters(query)?;
            let answer = gateway.answer_of(&id(hash)?, at.seen.unwrap_or(0))?;
            Ok(json(&answer.ok_or(ApiError::NotFound)?))
        }
        ["v1", "entries", index] => {
            let at: At = parameters(query)?;
            let size = at.size.unwrap_or_else(|| ledger.head().tree_size);
            Ok(json(&ledger.prove_entry(id(index)?, size)?))
        }
        ["v1", "blocks"] => blocks(gateway, parameters::<From>(query)?.from),
        ["v1", "blocks", height] => Ok(json(&ledger.block(BlockHeight(id(height)?))?)),
        ["v1", "trail"] => {
            let Trail { asset, after, limit } = parameters(query)?;
            let asset = asset.as_deref().map(id).transpose()?;
            let limit = limit.unwrap_or(TRAIL_AT_ONCE).min(TRAIL_AT_ONCE);
            Ok(json(&ledger.requests(asset.as_ref(), after, limit)?))
        }
        ["v1", "index-audit"] if authorized(headers, token) => {
            let audit = ledger.audit().map_err(|error| ApiError::Damaged(error.to_string()))?;
            Ok(json(&audit.replay.head().height.0))
        }
        ["v1", "transactions"] | ["v1", "asks"] => Err(ApiError::Method),
        _ => Err(ApiError::NotFound),
    }
}

/// Assets that are searched for, a page of them.
fn catalogue(gateway: &Gateway, query: &str) -> Result<Response, ApiError> {
    let CataloguePage { search, owner, column, kind, data_type, after, limit } = parameters(query)?;
    let owner = owner.map(|owner| owner.parse().unwrap_or_else(|never| match never {}));
    let search = Search { search, owner, column, kind, data_type };
    if !search.in_bounds() {
        let most = catalogue::SEARCH_BYTES_MAX;
        return Err(ApiError::Malformed(format!("what is searched for has more than {most} bytes")));
    }
    let after = after.as_deref().map(id).transpose()?;
    Ok(json(&catalogue::page(gateway.ledger(), &search, after, limit.unwrap_or(catalogue::PAGE_MAX))?))
}

/// What stands on the ledger, or that it does not, with its proof.
fn state(gateway: &Gateway, what: &[&str]) -> Result<Response, ApiError> {
    let ledger = gateway.ledger();
    let cosigned = |head: &mut SignedHead| gateway.cosigned().attach(head);
    match what {
        ["assets", asset] => {
            let mut standing = ledger.prove_asset(&id(asset)?)?;
            cosigned(&mut standing.head);
            Ok(json(&standing))
        }
        ["assets", asset, "grants", to] => proven(ledger.prove_grant(&id(asset)?, &id(to)?)?, cosigned),
        ["accounts", address] => proven(ledger.prove_account(&id(address)?)?, cosigned),
        ["members"] => proven(ledger.prove_members()?, cosigned),
        ["policy"] => proven(ledger.prove_policy()?, cosigned),
        _ => Err(ApiError::NotFound),
    }
}

fn proven<T: Serialize>(mut standing: Standing<T>, cosigned: impl Fn(&mut SignedHead)) -> Result<Response, ApiError> {
    cosigned(&mut standing.head);
    Ok(json(&standing))
}

fn head(gateway: &Gateway) -> HeadResponse {
    let SignedHead { header, checkpoint } = gateway.cosigned().own_head(gateway.ledger());
    HeadResponse { header, checkpoint }
}

/// A head that has been before the witnesses and covers all there was when the call came, if they
/// answer in time; otherwise the ledger's own.
async fn witnessed(gateway: Arc<Gateway>) -> Response {
    let least = gateway.ledger().head().tree_size;
    gateway.cosigned().wait(gateway.ledger()).await;
    let SignedHead { header, checkpoint } = gateway.cosigned().head(gateway.ledger(), least);
    json(&HeadResponse { header, checkpoint })
}

fn found<T: Serialize>(value: Result<Option<T>, LedgerError>) -> Result<Response, ApiError> {
    Ok(json(&value?.ok_or(ApiError::NotFound)?))
}

fn id<T: std::str::FromStr>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::NotFound)
}

fn parameters<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    serde_urlencoded::from_str(query).map_err(|error| ApiError::Malformed(format!("the address's parameters: {error}")))
}

/// Blocks from a height on, borsh, as many as fit; none past the head.
fn blocks(gateway: &Gateway, from: u64) -> Result<Response, ApiError> {
    let ledger = gateway.ledger();
    let last = ledger.head().height.0.min(from.saturating_add(BLOCKS_AT_ONCE - 1));
    let mut blocks = Vec::new();
    let mut bytes = 0;
    for height in from..=last {
        let block = ledger.block(BlockHeight(height))?;
        bytes += sealgate_ledger::codec::encode(&block).len();
        blocks.push(block);
        if bytes >= BLOCKS_BYTES {
            break;
        }
    }
    Ok(warp::http::Response::new(sealgate_ledger::codec::encode(&blocks)).into_response())
}

/// Whether the caller shows the token that lies in the owner's data folder.
fn authorized(headers: &HeaderMap, token: &str) -> bool {
    let shown = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    shown.is_some_and(|shown| {
        use subtle::ConstantTimeEq as _;
        shown.as_bytes().ct_eq(token.as_bytes()).into()
    })
}
