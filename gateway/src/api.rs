//! The HTTP API (docs/spec/api.md). The only place, with the console's frame, that names HTTP server types.
//! Reads of the ledger are public to whoever reaches the gateway: the ledger is shared; answers are sealed to
//! their requester.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use sealgate_ledger::ids::Address;
use serde::Serialize;
use tokio::sync::RwLock;
use warp::http::Method;
use warp::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use warp::hyper::body::{Buf, Bytes};
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

use crate::config::Limits;
use crate::console::{self, Console};
use crate::gateway::Gateway;
use crate::turns::{NoTurn, Reads};

mod acts;
mod clients;
mod edge;
mod metrics;
mod openapi;
mod problem;
mod reads;
mod ready;
mod route;
mod server;
pub(crate) mod signing_in;
mod stream;
mod table;
pub mod tls;
pub mod witness;

pub use metrics::Metrics;
pub use openapi::document;
pub use problem::{ApiError, Code};
pub use route::{Route, Who};
pub use server::Caller;

pub(crate) use edge::RouteName;
pub(crate) use problem::RETRY_S;

use edge::Edge;
use route::{Answer, Call};

/// Largest body of an ask, in bytes.
const ASK_BYTES_MAX: u64 = 12 << 20;
/// How long a stop waits for what is under way: answers that are being sent, and what was granted, which is
/// recorded. Whoever stops the process (ops/systemd, ops/container) waits longer.
pub const STOP: Duration = Duration::from_secs(120);

/// Every route of a gateway's API, in the order of the document.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    table::ROUTES.iter().chain(signing_in::ROUTES)
}

/// What the routes answer from.
pub(crate) struct Api {
    console: Arc<Console>,
    /// None at a console of one's own, which has no other calls than those for signing in.
    gateway: Option<Arc<Gateway>>,
    /// What lies in the owner's folder.
    token: String,
    metrics: metrics::Counting,
    reads: Arc<Reads>,
    /// Held for reading while something that was granted is being answered.
    granted: Arc<RwLock<()>>,
    ready: ready::Readiness,
}

/// How a gateway is reached, and what it lets callers do to it.
pub struct Serving {
    /// What it listens on.
    pub listener: tokio::net::TcpListener,
    /// The certificate; none for plain HTTP.
    pub certificates: Option<Arc<tls::Certificates>>,
    /// Whether a proxy on this machine encrypts.
    pub tls_at_proxy: bool,
    /// What it takes at once.
    pub limits: Limits,
}

impl Serving {
    /// In the clear.
    pub fn plain(listener: tokio::net::TcpListener, limits: Limits) -> Serving {
        Serving { listener, certificates: None, tls_at_proxy: false, limits }
    }
}

impl Api {
    fn new(console: Arc<Console>, gateway: Option<Arc<Gateway>>, token: String) -> Api {
        let reads = match &gateway {
            Some(gateway) => gateway.reads().clone(),
            None => Arc::new(Reads::new(Limits::default().reads_waiting)),
        };
        Api {
            reads,
            console,
            gateway,
            token,
            metrics: metrics::Counting::default(),
            granted: Arc::default(),
            ready: ready::Readiness::default(),
        }
    }
}

/// Serves API and console of a gateway until `stop` resolves. What is being answered then is answered, and
/// what was granted is recorded, within [`STOP`].
///
/// # Errors
/// [`tls::TlsError`] when the certificate cannot be used.
pub async fn serve(
    serving: Serving,
    gateway: Arc<Gateway>,
    console: Arc<Console>,
    token: String,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tls::TlsError> {
    let api = Arc::new(Api::new(console.clone(), Some(gateway), token));
    let all = console::routes(console).or(routed(api.clone())).unify().recover(problem::recover);
    let edge = Arc::new(Edge::new(serving.limits, serving.tls_at_proxy, api.metrics.clone()));
    let acceptor = serving.certificates.as_ref().map(tls::Certificates::acceptor).transpose()?;
    let renewing = serving.certificates.map(|certificates| tokio::spawn(certificates.keep_current()));
    let end = server::serve(serving.listener, all, edge, acceptor, stop).await;
    if let Some(renewing) = renewing {
        renewing.abort();
    }
    if tokio::time::timeout_at(end, api.granted.write()).await.is_err() {
        tracing::warn!("stopping while answers are being made: their requesters can send the same questions again");
    }
    Ok(())
}

/// Serves a console of one's own, which has no other API than signing in, until `stop` resolves.
pub async fn serve_console(
    listener: tokio::net::TcpListener,
    console: Arc<Console>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let api = Arc::new(Api::new(console.clone(), None, String::new()));
    let start =
        warp::path::end().map(|| warp::redirect::see_other(warp::http::Uri::from_static("/console")).into_response());
    let all = console::routes(console).or(start).unify().or(routed(api.clone())).unify().recover(problem::recover);
    let edge = Arc::new(Edge::new(Limits::default(), false, api.metrics.clone()));
    server::serve(listener, all, edge, None, stop).await;
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

/// The routes of the table, and problems for everything that is none of them but the console's pages.
fn routed(api: Arc<Api>) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path::full()
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Caller>())
        .and(warp::body::stream())
        .then(move |path: FullPath, method: Method, query, headers, caller, body| {
            let api = api.clone();
            async move {
                let route = match find(&api, &method, path.as_str()) {
                    Ok(route) => route,
                    Err(error) => return error.into_response(),
                };
                let call = Call { route, path: path.as_str().to_owned(), query, headers, caller, body: Bytes::new() };
                let mut response = finish(answer(api, call, body).await);
                response.extensions_mut().insert(RouteName(route.path));
                response
            }
        })
}

fn find(api: &Api, method: &Method, path: &str) -> Result<&'static Route, ApiError> {
    // At a console of one's own there is nothing but signing in.
    let there = |route: &&Route| api.gateway.is_some() || signing_in::ROUTES.iter().any(|own| own.path == route.path);
    let mut allowed = Vec::new();
    for route in routes().filter(there).filter(|route| route.is_at(path)) {
        if route.method == method.as_str() {
            return Ok(route);
        }
        allowed.push(route.method);
    }
    Err(if allowed.is_empty() { ApiError::NotFound } else { ApiError::Method(allowed.join(", ")) })
}

/// Reads the body, within its bounds, and has the route's answer.
async fn answer<B: Buf>(
    api: Arc<Api>,
    mut call: Call,
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
) -> Result<Response, ApiError> {
    if let Some(taken) = call.route.body {
        let length = call.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match length {
            None => return Err(ApiError::LengthRequired),
            Some(length) if length > taken.bytes_max => return Err(ApiError::TooLarge),
            Some(_) => {}
        }
        // Where nothing is said of the type it is what the route takes.
        let kind = call.headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
        let essence = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        if taken.kind == "application/json" && essence.is_some_and(|kind| kind != taken.kind) {
            return Err(ApiError::Media(format!("send {}", taken.kind)));
        }
        call.body = read_body(body, taken.bytes_max).await?;
    }
    match call.route.answer {
        Answer::Act(act) => act(api, call).await,
        Answer::Read(read) => {
            let gateway = api.gateway.clone().ok_or(ApiError::NotFound)?;
            in_turn(&api, move || read(&gateway, &call)).await
        }
    }
}

/// The whole body. Who hangs up meanwhile does not hear what is said of it, so that it came too slowly is all
/// that there is to say.
async fn read_body<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>> + Send,
    bytes_max: u64,
) -> Result<Bytes, ApiError> {
    let mut body = std::pin::pin!(body);
    let mut read = Vec::new();
    while let Some(part) = body.next().await {
        let mut part = part.map_err(|_| ApiError::TooSlow)?;
        if (read.len() as u64).saturating_add(part.remaining() as u64) > bytes_max {
            return Err(ApiError::TooLarge);
        }
        read.extend_from_slice(&part.copy_to_bytes(part.remaining()));
    }
    Ok(read.into())
}

/// Runs what touches files off the async threads, some at a time. When too many wait already it is refused.
async fn in_turn<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    api.reads.take(work).await.map_err(|error| {
        if matches!(error, NoTurn::Full) {
            api.metrics.refused("reads");
        }
        ApiError::from(error)
    })?
}

fn finish(result: Result<Response, ApiError>) -> Response {
    result.unwrap_or_else(|error| error.into_response())
}

fn json<T: Serialize>(value: &T) -> Response {
    warp::reply::json(value).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Who shows a token, as far as it tells.
enum Visitor {
    /// Nobody that is known.
    Nobody,
    /// The owner of the gateway's folder.
    Owner,
    /// An account of the ledger.
    Account(Address),
}

impl Api {
    fn gateway(&self) -> Result<Arc<Gateway>, ApiError> {
        self.gateway.clone().ok_or(ApiError::NotFound)
    }

    /// Whose token a call shows: a session's, or the one that lies in the owner's data folder.
    fn visitor(&self, call: &Call) -> Visitor {
        use subtle::ConstantTimeEq as _;
        let Some(shown) = call.bearer() else { return Visitor::Nobody };
        if !self.token.is_empty() && shown.as_bytes().ct_eq(self.token.as_bytes()).into() {
            return Visitor::Owner;
        }
        let Some(session) = self.console.session(shown) else { return Visitor::Nobody };
        match &self.gateway {
            Some(gateway) if gateway.owner().account().address() == session.address => Visitor::Owner,
            _ => Visitor::Account(session.address),
        }
    }
}
