//! The serving loop: connections, TLS, and everything that bounds what callers can make the process hold
//! (docs/spec/api.md#limits). warp's own server waits for ever for a slow caller and keeps as many
//! connections as come, so hyper is driven here, which has the clocks and bounds that this needs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use warp::hyper::server::conn::http1;
use warp::{Filter, Reply};

use super::STOP;
use super::edge::{Edge, Guarded};
use super::metrics::Metrics;
use super::stream::Patient;
use crate::config::Limits;

/// Longest head of a request, in bytes, and most headers in it.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// What hyper may keep of one connection.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a stop waits for requests whose head was on its way.
const STOP_HEAD: Duration = Duration::from_secs(1);
/// Pause after the system gave no connection, for want of files for example.
const PAUSE: Duration = Duration::from_millis(100);
/// Files that the process needs for other things than connections.
const FILES_BESIDE: usize = 256;
/// What is said to who finds no room, where nothing was read yet.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 3\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What a request came over; a warp filter has it from the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Whose request it is: the connection's other end, or whom a proxy on this machine names.
    pub address: IpAddr,
    /// Whether it comes from this machine, by no proxy.
    pub local: bool,
    /// Whether the connection is encrypted.
    pub secure: bool,
}

/// Serves a filter on a bound listener until `stop` resolves; what is under way then is finished, within
/// [`STOP`], whose end comes back.
pub(super) async fn serve<F>(
    listener: TcpListener,
    filter: F,
    edge: Arc<Edge>,
    acceptor: Option<TlsAcceptor>,
    stop: impl Future<Output = ()> + Send,
) -> Instant
where
    F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply + Send,
    F::Future: Send,
{
    let service = TowerToHyperService::new(warp::service(filter));
    let connections = Arc::new(Connections::of(edge.limits(), edge.metrics().clone()));
    let (stopping, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken just now");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(place) = connections.place(peer.ip()) else {
            edge.metrics().refused("connections");
            let _ = stream.try_write(FULL);
            continue;
        };
        let service = Guarded::new(service.clone(), edge.clone(), place.slot.clone(), peer, acceptor.is_some());
        let (acceptor, stopped, limits) = (acceptor.clone(), stopped.clone(), edge.limits().clone());
        tasks.spawn(async move {
            let _ = stream.set_nodelay(true);
            match acceptor {
                None => connection(stream, service, &place.slot, &limits, stopped).await,
                Some(acceptor) => {
                    // What breaks off here, or speaks no TLS, is nobody's fault but the caller's.
                    if let Some(stream) = handshake(acceptor, stream, &place.slot).await {
                        connection(stream, service, &place.slot, &limits, stopped).await;
                    }
                }
            }
        });
    }
    drop(listener);
    let _ = stopping.send(true);
    let all = async { while tasks.join_next().await.is_some() {} };
    let end = Instant::now() + STOP;
    if timeout_at(end, all).await.is_err() {
        tracing::warn!("some callers took too long to take their answers: they were cut off");
    }
    end
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    slot: &Slot,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    tokio::select! {
        made = timeout(HANDSHAKE, acceptor.accept(stream)) => made.ok()?.ok(),
        () = slot.close.notified() => None,
    }
}

/// One connection, to its end.
async fn connection<T>(stream: T, service: Guarded, slot: &Slot, limits: &Limits, mut stopped: watch::Receiver<bool>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(Patient::new(stream, limits.stall_time));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_header_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX);
    let mut served = pin!(builder.serve_connection(io, service));
    loop {
        tokio::select! {
            // How a connection ended matters to its caller alone.
            _ = served.as_mut() => return,
            () = slot.close.notified() => {
                if slot.is_waiting() {
                    return;
                }
            }
            Ok(()) = stopped.changed() => break,
        }
    }
    served.as_mut().graceful_shutdown();
    loop {
        tokio::select! {
            _ = served.as_mut() => return,
            () = tokio::time::sleep(STOP_HEAD) => {
                if slot.is_waiting() {
                    return;
                }
            }
        }
    }
}

/// The open connections.
struct Connections {
    most: usize,
    open: Mutex<HashMap<u64, Arc<Slot>>>,
    next: std::sync::atomic::AtomicU64,
    metrics: Arc<Metrics>,
}

/// One open connection.
pub(super) struct Slot {
    peer: IpAddr,
    /// Since when it waits for the head of a request; nothing while a request is being answered.
    waiting: Mutex<Option<Instant>>,
    close: Notify,
}

/// A place among the open connections, given back when dropped.
struct Place {
    number: u64,
    slot: Arc<Slot>,
    connections: Arc<Connections>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.remove(&self.number);
        self.connections.metrics.connections(open.len());
    }
}

impl Slot {
    fn waiting(&self) -> MutexGuard<'_, Option<Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_waiting(&self) -> bool {
        self.waiting().is_some()
    }

    /// Marks it as answering, until the guard is dropped.
    pub(super) fn answering(self: &Arc<Self>) -> Answering {
        *self.waiting() = None;
        Answering(self.clone())
    }
}

/// A request that is being answered.
pub(super) struct Answering(Arc<Slot>);

impl Drop for Answering {
    fn drop(&mut self) {
        *self.0.waiting() = Some(Instant::now());
    }
}

impl Connections {
    fn of(limits: &Limits, metrics: Arc<Metrics>) -> Connections {
        let most = files_max()
            .map_or(limits.connections, |files| limits.connections.min(files.saturating_sub(FILES_BESIDE).max(8)));
        if most < limits.connections {
            tracing::warn!(
                "the system lets this process open files for {most} connections, not {}: raise LimitNOFILE (ulimit -n)",
                limits.connections
            );
        }
        Connections { most, open: Mutex::default(), next: Default::default(), metrics }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Slot>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for another connection. When all are taken, the one that has waited longest for a request
    /// makes room, of whoever has most of them; when none waits there is none.
    fn place(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut open = self.open();
        if open.len() >= self.most {
            let mut of_peer: HashMap<IpAddr, usize> = HashMap::new();
            for slot in open.values() {
                *of_peer.entry(slot.peer).or_default() += 1;
            }
            let waiting = open.iter().filter_map(|(number, slot)| {
                let since = (*slot.waiting())?;
                Some((of_peer.get(&slot.peer).copied().unwrap_or_default(), std::cmp::Reverse(since), *number))
            });
            let (_, _, number) = waiting.max()?;
            if let Some(slot) = open.remove(&number) {
                slot.close.notify_one();
            }
        }
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let slot = Arc::new(Slot { peer, waiting: Mutex::new(Some(Instant::now())), close: Notify::new() });
        open.insert(number, slot.clone());
        self.metrics.connections(open.len());
        Some(Place { number, slot, connections: self.clone() })
    }
}

/// How many files this process may have open, where the system says so.
fn files_max() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The connection's other end.
pub(super) fn is_local(peer: &SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn who_has_most_makes_room_and_who_is_being_answered_does_not() {
        let metrics: Arc<Metrics> = Arc::default();
        let limits = Limits { connections: 3, ..Limits::default() };
        let connections = Arc::new(Connections::of(&limits, metrics.clone()));
        let [a, b]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
        let first = connections.place(b).unwrap();
        let second = connections.place(a).unwrap();
        let third = connections.place(a).unwrap();
        assert_eq!(metrics.open(), 3);
        // The oldest of the one that has most, though another's is older.
        let fourth = connections.place(b).unwrap();
        second.slot.close.notified().await;
        assert_eq!(metrics.open(), 3);
        // Those that are being answered stay.
        let busy: Vec<Answering> = [&first, &fourth].map(|place| place.slot.answering()).into();
        let fifth = connections.place(b).unwrap();
        third.slot.close.notified().await;
        let last = fifth.slot.answering();
        assert!(connections.place(a).is_none());
        drop(last);
        assert!(connections.place(a).is_some());
        drop((busy, first, second, third, fourth, fifth));
        assert_eq!(metrics.open(), 0);
    }
}
