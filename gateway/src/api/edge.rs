//! What every request passes before it comes to a route, and every answer on its way out: its number, the
//! rate of its client, its form, the time its body may take, and what is counted and logged of it.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tracing::Instrument as _;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use warp::hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::clients::Clients;
use super::metrics::Metrics;
use super::problem::ApiError;
use super::server::{Answering, Caller, Slot, is_local};
use crate::config::Limits;

/// Longest address of a request, in bytes.
const ADDRESS_BYTES_MAX: usize = 8 << 10;
/// What a body must bring in a second, on average.
const BODY_BYTES_A_SECOND: u64 = 64 << 10;
/// Headers by which proxies say that a call is somebody else's.
const FORWARDING: [&str; 6] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];
/// The number of a request, by which its lines in the log are found.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Which route gave an answer, as its template; an extension of the response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RouteName(pub(crate) &'static str);

/// What all connections share.
pub(super) struct Edge {
    limits: Limits,
    /// Whether a proxy on this machine ends TLS.
    tls_at_proxy: bool,
    clients: Clients,
    /// Kibibytes of bodies.
    bodies: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    /// The first half of request ids: another for each run.
    run: u64,
    count: AtomicU64,
}

impl Edge {
    pub(super) fn new(limits: Limits, tls_at_proxy: bool, metrics: Arc<Metrics>) -> Edge {
        let mut run = [0; 8];
        // Ids tell requests apart in a log and protect nothing.
        let _ = getrandom::fill(&mut run);
        let kibibytes = usize::try_from(limits.body_bytes >> 10).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Edge {
            clients: Clients::new(limits.rate),
            bodies: Arc::new(Semaphore::new(kibibytes)),
            limits,
            tls_at_proxy,
            metrics,
            run: u64::from_le_bytes(run),
            count: AtomicU64::new(0),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    fn request_id(&self) -> String {
        format!("{:016x}{:016x}", self.run, self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// Whose request it is. What a proxy on this machine passes on is nobody's of this machine, whether or not
    /// the configuration says how to read whose it is: then all that comes by the proxy is one client's.
    fn caller(&self, peer: SocketAddr, secure: bool, headers: &HeaderMap) -> Caller {
        let (near, header) = (is_local(&peer), self.limits.client_header.as_deref());
        let proxied = near && FORWARDING.into_iter().chain(header).any(|name| headers.contains_key(name));
        let named = header.filter(|_| proxied).and_then(|name| {
            // The last address is the one that the proxy itself has seen.
            headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim().parse::<IpAddr>().ok()
        });
        let address = named.unwrap_or(peer.ip()).to_canonical();
        Caller { address, local: near && !proxied, secure: secure || (proxied && self.tls_at_proxy) }
    }

    /// What can be refused by a request's head alone.
    fn admit(&self, caller: &Caller, request: &Request<Incoming>) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        if !caller.local {
            self.clients.take(caller.address).map_err(|seconds| {
                self.metrics.refused("rate");
                ApiError::TooMany { seconds }
            })?;
        }
        if request.uri().path_and_query().is_some_and(|address| address.as_str().len() > ADDRESS_BYTES_MAX) {
            return Err(ApiError::AddressTooLong);
        }
        let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        if request.headers().get_all(header::CONTENT_ENCODING).iter().any(|value| !plain(value)) {
            return Err(ApiError::Media("bodies are sent as they are: leave out Content-Encoding".into()));
        }
        // A body without a length is refused by the routes that take one, one that is too long as well.
        let length = request.body().size_hint().exact().unwrap_or(0).min(super::route::BODY_BYTES_MAX);
        let kibibytes = u32::try_from(length.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        if kibibytes == 0 {
            return Ok(None);
        }
        self.bodies.clone().try_acquire_many_owned(kibibytes).map(Some).map_err(|_| {
            self.metrics.refused("bodies");
            ApiError::Busy("the gateway holds as many requests as it can; try again in a few seconds".into())
        })
    }
}

/// The filter behind everything that bounds it, for one connection.
pub(super) struct Guarded {
    inner: Arc<dyn Inner>,
    edge: Arc<Edge>,
    slot: Arc<Slot>,
    peer: SocketAddr,
    secure: bool,
}

type Answer = Pin<Box<dyn Future<Output = warp::reply::Response> + Send>>;

/// The filter, whatever its type.
trait Inner: Send + Sync {
    fn answer(&self, request: Request<Timed>) -> Answer;
}

impl<S> Inner for TowerToHyperService<S>
where
    TowerToHyperService<S>:
        warp::hyper::service::Service<Request<Timed>, Response = warp::reply::Response, Error = Infallible>,
    <TowerToHyperService<S> as warp::hyper::service::Service<Request<Timed>>>::Future: Send + 'static,
    S: Send + Sync,
{
    fn answer(&self, request: Request<Timed>) -> Answer {
        let answering = warp::hyper::service::Service::call(self, request);
        Box::pin(async move { answering.await.unwrap_or_else(|never| match never {}) })
    }
}

impl Guarded {
    pub(super) fn new<S>(
        service: TowerToHyperService<S>,
        edge: Arc<Edge>,
        slot: Arc<Slot>,
        peer: SocketAddr,
        secure: bool,
    ) -> Guarded
    where
        TowerToHyperService<S>:
            warp::hyper::service::Service<Request<Timed>, Response = warp::reply::Response, Error = Infallible>,
        <TowerToHyperService<S> as warp::hyper::service::Service<Request<Timed>>>::Future: Send + 'static,
        S: Send + Sync + 'static,
    {
        Guarded { inner: Arc::new(service), edge, slot, peer, secure }
    }
}

impl warp::hyper::service::Service<Request<Incoming>> for Guarded {
    type Response = Response<Ending>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (answering, begun) = (self.slot.answering(), Instant::now());
        let (inner, edge) = (self.inner.clone(), self.edge.clone());
        let caller = edge.caller(self.peer, self.secure, request.headers());
        let id = edge.request_id();
        let method = request.method().clone();
        // Without its query: what was searched for is nobody's business.
        let span = tracing::error_span!("request", id);
        let work = async move {
            let mut response = match edge.admit(&caller, &request) {
                Err(error) => error.into_response(),
                Ok(permit) => {
                    let (mut parts, body) = request.into_parts();
                    parts.extensions.insert(caller);
                    let body = Timed::new(body, edge.limits.stall_time);
                    let response = inner.answer(Request::from_parts(parts, body)).await;
                    drop(permit);
                    response
                }
            };
            let route = response.extensions().get::<RouteName>().map_or("none", |name| name.0);
            edge.metrics.answered(route, method.as_str(), response.status(), begun.elapsed());
            let status = response.status().as_u16();
            let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(%method, route, status, ms, client = %caller.address, "answered");
            if let Ok(id) = HeaderValue::from_str(&id) {
                response.headers_mut().insert(REQUEST_ID.clone(), id);
            }
            if response.status() == StatusCode::REQUEST_TIMEOUT {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Ending { body, _answering: answering }))
        };
        Box::pin(work.instrument(span))
    }
}

/// A request's body, which must come within its time.
pub(super) struct Timed {
    body: Incoming,
    end: Pin<Box<Sleep>>,
}

impl Timed {
    fn new(body: Incoming, patience: Duration) -> Timed {
        let bytes = body.size_hint().exact().unwrap_or(0).min(super::route::BODY_BYTES_MAX);
        let time = patience + Duration::from_secs(bytes / BODY_BYTES_A_SECOND);
        Timed { body, end: Box::pin(tokio::time::sleep(time)) }
    }
}

/// A body that did not come within its time.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub(super) struct TooSlow;

impl Body for Timed {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        match self.end.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(Box::new(TooSlow)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Names the body of a response, whose type warp does not.
pub(super) trait Bodied {
    type Body;
}

impl<B> Bodied for Response<B> {
    type Body = B;
}

/// An answer's body; while it is being sent, its connection is not taken for idle.
pub(super) struct Ending {
    body: <warp::reply::Response as Bodied>::Body,
    _answering: Answering,
}

impl Body for Ending {
    type Data = Bytes;
    type Error = warp::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known of a caller from `peer` that sends these headers.
    fn caller(edge: &Edge, peer: &str, headers: &[(&'static str, &'static str)]) -> (String, bool, bool) {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let caller = edge.caller(peer.parse().unwrap(), false, &headers.collect());
        (caller.address.to_string(), caller.local, caller.secure)
    }

    fn edge(client_header: Option<&str>, tls_at_proxy: bool) -> Edge {
        let limits = Limits { client_header: client_header.map(str::to_owned), ..Limits::default() };
        Edge::new(limits, tls_at_proxy, Arc::default())
    }

    const NEAR: &str = "127.0.0.1:5000";
    const FAR: &str = "192.0.2.1:5000";

    #[test]
    fn what_a_proxy_passes_on_is_not_local() {
        let seen = |address: &str, local, secure| (address.to_owned(), local, secure);
        let plain = edge(None, false);
        assert_eq!(caller(&plain, NEAR, &[]), seen("127.0.0.1", true, false));
        assert_eq!(caller(&plain, FAR, &[("x-forwarded-for", "127.0.0.1")]), seen("192.0.2.1", false, false));
        for header in FORWARDING {
            for value in ["198.51.100.7", "for=198.51.100.7", "", "127.0.0.1"] {
                assert_eq!(caller(&plain, NEAR, &[(header, value)]), seen("127.0.0.1", false, false), "{header}");
            }
        }
        let read = edge(Some("x-client"), true);
        assert_eq!(caller(&read, NEAR, &[("x-client", "::1, 198.51.100.7")]), seen("198.51.100.7", false, true));
        // What cannot be read, and what another header says, is no reason to believe that nobody is there.
        assert_eq!(caller(&read, NEAR, &[("x-client", "unknown")]), seen("127.0.0.1", false, true));
        assert_eq!(caller(&read, NEAR, &[("x-real-ip", "198.51.100.7")]), seen("127.0.0.1", false, true));
        // Programs of this machine do not come by the proxy, and so in the clear.
        assert_eq!(caller(&read, NEAR, &[]), seen("127.0.0.1", true, false));
        assert_eq!(caller(&read, FAR, &[("x-client", "198.51.100.7")]), seen("192.0.2.1", false, false));
    }
}
