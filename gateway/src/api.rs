//! The HTTP API (docs/spec/api.md). The only place that names HTTP server types. Reads are public
//! to whoever reaches the gateway: the ledger is shared; answers are sealed to their requester.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use sealgate_ledger::LedgerError;
use sealgate_ledger::ids::{BlockHeight, TxHash};
use sealgate_ledger::standing::{SignedHead, Standing};
use sealgate_ledger::tx::{SignedTx, TX_BYTES_MAX};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use warp::http::header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RANGE};
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

use crate::catalogue::{self, Search};
use crate::client::{Governance, HeadResponse, PASSED_ON};
use crate::console::{self, Console};
use crate::delivery::FetchRequest;
use crate::delivery::release::Wanted;
use crate::gateway::Gateway;
use crate::messages::AskRequest;
use crate::owner::detail;

mod problem;
pub(crate) mod signing_in;
pub mod witness;

pub use problem::ApiError;

/// Largest body of an ask, in bytes.
const ASK_BYTES_MAX: u64 = 12 << 20;
/// Largest body of a request for whole columns, in bytes.
const FETCH_BYTES_MAX: u64 = 2 * TX_BYTES_MAX as u64;
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
    console: Arc<Console>,
    token: String,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let all = signing_in_at(&console).or(console::routes(console)).unify().or(routes(gateway, token)).unify();
    warp::serve(all.recover(problem::recover)).incoming(listener).graceful(stop).run().await;
}

/// Serves a console of one's own, which has no other API than signing in, until `stop` resolves.
pub async fn serve_console(
    listener: tokio::net::TcpListener,
    console: Arc<Console>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let start =
        warp::path::end().map(|| warp::redirect::see_other(warp::http::Uri::from_static("/console")).into_response());
    let all = signing_in_at(&console).or(console::routes(console)).unify().or(start).unify();
    warp::serve(all.recover(problem::recover)).incoming(listener).graceful(stop).run().await;
}

fn signing_in_at(
    console: &Arc<Console>,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
    let state = console.clone();
    signing_in::routes(console.sessions.clone(), console.names.clone(), move |address| state.account(address))
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

fn routes(gateway: Arc<Gateway>, token: String) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone {
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
    let gateway_for_deliveries = gateway.clone();
    let asks = warp::path!("v1" / "asks")
        .and(warp::post())
        .and(warp::body::content_length_limit(ASK_BYTES_MAX))
        .and(warp::header::optional::<String>(PASSED_ON))
        .and(warp::body::json())
        .then(move |passed_on: Option<String>, body: AskRequest| ask(gateway.clone(), body, passed_on.is_some()));
    let state = gateway_for_deliveries.clone();
    let deliveries = warp::path!("v1" / "deliveries")
        .and(warp::post())
        .and(warp::body::content_length_limit(FETCH_BYTES_MAX))
        .and(warp::header::optional::<String>(PASSED_ON))
        .and(warp::body::json())
        .then(move |passed_on: Option<String>, body: FetchRequest| deliver(state.clone(), body, passed_on.is_some()));
    let segments = warp::path!("v1" / "deliveries" / TxHash / "columns" / u8 / "segments" / usize)
        .and(warp::get())
        .and(warp::header::headers_cloned())
        .then(move |request, column, position, headers: HeaderMap| {
            segment(gateway_for_deliveries.clone(), (request, column, position), headers)
        });
    transactions.or(asks).unify().or(deliveries).unify().or(segments).unify().or(witnessed).unify().or(reads).unify()
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

/// Runs to its end also when the caller hangs up.
async fn deliver(gateway: Arc<Gateway>, body: FetchRequest, passed_on: bool) -> Response {
    let delivered = tokio::spawn(async move { gateway.deliver(body, passed_on).await });
    let result = delivered.await.map_err(ApiError::internal).and_then(|result| result.map_err(ApiError::from));
    finish(result.map(|response| json(&response)))
}

/// A part of a delivery's ciphertext. Without its token there is nothing here.
async fn segment(
    gateway: Arc<Gateway>,
    (request, column, position): (TxHash, u8, usize),
    headers: HeaderMap,
) -> Response {
    let given = async {
        let token = bearer(&headers).ok_or(ApiError::NotFound)?;
        let (start, length) = range(&headers).unwrap_or_default();
        let wanted = Wanted { request, column, position, start, length, token };
        let part = gateway.delivered(wanted, headers.contains_key(PASSED_ON)).await?.ok_or(ApiError::NotFound)?;
        let last = part.start.saturating_add(part.content.len() as u64).saturating_sub(1);
        let response = warp::http::Response::builder()
            .status(warp::http::StatusCode::PARTIAL_CONTENT)
            .header(CONTENT_RANGE, format!("bytes {}-{last}/{}", part.start, part.total))
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(part.content);
        Ok(response.map_err(ApiError::internal)?.into_response())
    };
    finish(given.await)
}

/// First byte and length of the one range that is named, `bytes=a-b`.
fn range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let (first, last) = headers.get(RANGE)?.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
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
        ["v1", "transactions" | "asks" | "deliveries" | "challenges" | "sessions"] | ["v1", "sessions", "current"] => {
            Err(ApiError::Method)
        }
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

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Whether the caller shows the token that lies in the owner's data folder.
fn authorized(headers: &HeaderMap, token: &str) -> bool {
    bearer(headers).is_some_and(|shown| {
        use subtle::ConstantTimeEq as _;
        shown.as_bytes().ct_eq(token.as_bytes()).into()
    })
}
