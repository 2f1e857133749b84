//! Connections between nodes: one a pair over mutual TLS, dialled by the node with the smaller
//! key, redialled when it breaks. A slow peer loses messages and delays nobody
//! (docs/spec/network.md#connections).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use commonware_cryptography::ed25519::PublicKey;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::authority::NODE_NAME;
use super::connection::{self, Outbox};
use super::frame::{Channel, Frame};
use super::keys::{public_key, verify_key};
use super::tls::{Allowed, Tls, key_of};
use crate::account::VerifyKey;
use crate::ids::ChainId;

/// Longest time to connect and shake hands.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Pause before the first redial; doubles up to [`REDIAL_MAX`].
const REDIAL_MIN: Duration = Duration::from_millis(100);
const REDIAL_MAX: Duration = Duration::from_secs(5);
/// Handshakes at one time with whoever dials.
const HANDSHAKES_MAX: usize = 256;
/// How long a peer that broke the agreement's rules stays shut out.
const BAN: Duration = Duration::from_secs(600);
/// Frames that may wait for the receiver of one channel.
pub(crate) const INBOX: usize = 4096;

/// Bytes of one peer's frames that may wait for their receivers.
const PEER_BYTES: usize = 24 * 1024 * 1024;

/// What arrives on a channel.
pub(crate) type Inbox = mpsc::Receiver<Arrived>;
type Route = mpsc::Sender<Arrived>;

/// A payload and whom it is from. It counts against its peer's share until it is dropped.
pub(crate) struct Arrived {
    pub(crate) from: PublicKey,
    pub(crate) payload: Vec<u8>,
    share: Arc<AtomicUsize>,
}

impl Arrived {
    /// Takes the payload out; its peer may send more.
    pub(crate) fn release(&mut self) -> Vec<u8> {
        self.share.fetch_sub(self.payload.len(), Ordering::AcqRel);
        std::mem::take(&mut self.payload)
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        self.share.fetch_sub(self.payload.len(), Ordering::AcqRel);
    }
}

/// A peer and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerAddress {
    pub(crate) key: VerifyKey,
    pub(crate) address: String,
}

/// The node's connections. Clones share them; [`Transport::close`] ends them.
#[derive(Clone)]
pub(crate) struct Transport {
    shared: Arc<Shared>,
}

struct Shared {
    chain: ChainId,
    me: VerifyKey,
    tls: Tls,
    allowed: Allowed,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    peers: BTreeMap<PublicKey, Peer>,
    routes: BTreeMap<(Channel, u64), Route>,
    acceptor: Option<JoinHandle<()>>,
    /// Numbers connections, so that an old one's end does not remove its successor.
    connections: u64,
}

struct Peer {
    address: String,
    dialler: Option<JoinHandle<()>>,
    connection: Option<(u64, Outbox, JoinHandle<()>)>,
    banned: Option<Instant>,
    /// Bytes of its frames that wait for their receivers.
    share: Arc<AtomicUsize>,
}

impl Transport {
    /// Listens for other nodes. Must be called within a tokio runtime.
    pub(crate) fn start(chain: ChainId, me: VerifyKey, tls: Tls, allowed: Allowed, listener: TcpListener) -> Transport {
        let table = Mutex::new(Table::default());
        let transport = Transport { shared: Arc::new(Shared { chain, me, tls, allowed, table }) };
        let acceptor = tokio::spawn(transport.clone().accept(listener));
        transport.table().acceptor = Some(acceptor);
        transport
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects to these peers, and to no others from now on.
    pub(crate) fn set_peers(&self, peers: &[PeerAddress]) {
        let me = self.shared.me;
        self.shared.allowed.set(peers.iter().map(|peer| peer.key).filter(|key| *key != me));
        let wanted: BTreeMap<PublicKey, &PeerAddress> = peers
            .iter()
            .filter(|peer| peer.key != me)
            .filter_map(|peer| Some((public_key(&peer.key)?, peer)))
            .collect();
        let mut table = self.table();
        table.peers.retain(|key, peer| {
            let keep = wanted.get(key).is_some_and(|wanted| wanted.address == peer.address);
            if !keep {
                peer.end();
            }
            keep
        });
        for (key, peer) in wanted {
            table.peers.entry(key.clone()).or_insert_with(|| Peer {
                address: peer.address.clone(),
                dialler: (me.0 < peer.key.0).then(|| tokio::spawn(self.clone().dial(key, peer.clone()))),
                connection: None,
                banned: None,
                share: Arc::default(),
            });
        }
    }

    /// Where frames of `channel` and `epoch` arrive from now on.
    pub(crate) fn open(&self, channel: Channel, epoch: u64) -> Inbox {
        let (route, inbox) = mpsc::channel(INBOX);
        self.table().routes.insert((channel, epoch), route);
        inbox
    }

    /// No frames of this epoch's agreement are taken any more.
    pub(crate) fn shut(&self, epoch: u64) {
        self.table()
            .routes
            .retain(|(channel, of), _| matches!(channel, Channel::Ledger | Channel::Gossip) || *of != epoch);
    }

    /// All peers.
    pub(crate) fn peers(&self) -> Vec<PublicKey> {
        self.table().peers.keys().cloned().collect()
    }

    /// Peers that are connected.
    pub(crate) fn connected(&self) -> Vec<PublicKey> {
        self.table().peers.iter().filter(|(_, peer)| peer.connection.is_some()).map(|(key, _)| key.clone()).collect()
    }

    /// Queues a frame for each of these peers that is connected; drops it where the queue is full.
    pub(crate) fn send(&self, to: &[PublicKey], frame: Frame, urgent: bool) {
        let frame = Arc::new(frame);
        let table = self.table();
        for key in to {
            if let Some((_, outbox, _)) = table.peers.get(key).and_then(|peer| peer.connection.as_ref()) {
                outbox.push(frame.clone(), urgent);
            }
        }
    }

    /// Disconnects a peer that broke the agreement's rules, and shuts it out for a while. Not for
    /// good: it stays a member until the others decide otherwise.
    pub(crate) fn ban(&self, key: &PublicKey) {
        tracing::error!(peer = %key, "the peer broke the rules of the agreement and is shut out for ten minutes: tell its operators");
        if let Some(peer) = self.table().peers.get_mut(key) {
            peer.banned = Some(Instant::now() + BAN);
            peer.disconnect();
        }
    }

    /// Peers that are shut out.
    pub(crate) fn banned(&self) -> Vec<PublicKey> {
        self.table().peers.iter().filter(|(_, peer)| peer.is_banned()).map(|(key, _)| key.clone()).collect()
    }

    /// Ends all connections.
    pub(crate) fn close(&self) {
        let mut table = self.table();
        table.acceptor.take().inspect(JoinHandle::abort);
        table.peers.values_mut().for_each(Peer::end);
        table.peers.clear();
        table.routes.clear();
    }

    async fn accept(self, listener: TcpListener) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        loop {
            let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(REDIAL_MIN).await;
                    continue;
                }
            };
            let transport = self.clone();
            tokio::spawn(async move {
                let greeted = tokio::time::timeout(HANDSHAKE, transport.answer(stream)).await;
                drop(permit);
                match greeted {
                    Ok(Ok((key, stream))) => transport.adopt(&key, stream).unwrap_or_default(),
                    Ok(Err(error)) => tracing::debug!(%error, "whoever dialled was turned away"),
                    Err(_) => tracing::debug!("whoever dialled did not finish the handshake"),
                }
            });
        }
    }

    async fn answer(&self, stream: TcpStream) -> Result<(PublicKey, TlsStream<TcpStream>), std::io::Error> {
        stream.set_nodelay(true)?;
        let stream = TlsAcceptor::from(self.shared.tls.server.clone()).accept(stream).await?;
        let key = peer_key(stream.get_ref().1.peer_certificates())?;
        // The other of two nodes dials.
        if key.0 >= self.shared.me.0 {
            return Err(std::io::Error::other("the node with the larger key dialled"));
        }
        self.greet(key, TlsStream::Server(stream)).await
    }

    async fn greet(
        &self,
        key: VerifyKey,
        mut stream: TlsStream<TcpStream>,
    ) -> Result<(PublicKey, TlsStream<TcpStream>), std::io::Error> {
        super::frame::greet(&mut stream, &self.shared.chain).await.map_err(std::io::Error::other)?;
        let key = public_key(&key).ok_or_else(|| std::io::Error::other("the peer's key is none"))?;
        Ok((key, stream))
    }

    async fn dial(self, key: PublicKey, peer: PeerAddress) {
        let mut pause = REDIAL_MIN;
        loop {
            let banned = self.table().peers.get(&key).is_some_and(Peer::is_banned);
            let dialled = match banned {
                true => Err("shut out".to_owned()),
                false => match tokio::time::timeout(HANDSHAKE, self.reach(&peer)).await {
                    Ok(result) => result.map_err(|error| error.to_string()),
                    Err(_) => Err("no answer in time".to_owned()),
                },
            };
            match dialled {
                Ok(stream) => {
                    pause = REDIAL_MIN;
                    if let Some(ended) = self.adopt_and_wait(&key, stream) {
                        ended.notified().await;
                    }
                }
                Err(error) => {
                    tracing::debug!(peer = %key, address = peer.address, error, "the peer was not reached");
                    pause = (pause * 2).min(REDIAL_MAX);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn reach(&self, peer: &PeerAddress) -> Result<TlsStream<TcpStream>, std::io::Error> {
        let stream = TcpStream::connect(&peer.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NODE_NAME).map_err(std::io::Error::other)?;
        let stream = TlsConnector::from(self.shared.tls.client.clone()).connect(name, stream).await?;
        if peer_key(stream.get_ref().1.peer_certificates())? != peer.key {
            return Err(std::io::Error::other("another member answers at this address"));
        }
        Ok(self.greet(peer.key, TlsStream::Client(stream)).await?.1)
    }

    fn adopt(&self, key: &PublicKey, stream: TlsStream<TcpStream>) -> Option<()> {
        self.adopt_and_wait(key, stream).map(|_| ())
    }

    /// Makes `stream` the connection to this peer; the newer one wins, since the older may be dead
    /// without either end knowing. Returns what is notified at its end.
    fn adopt_and_wait(&self, key: &PublicKey, stream: TlsStream<TcpStream>) -> Option<Arc<tokio::sync::Notify>> {
        let mut table = self.table();
        table.connections += 1;
        let number = table.connections;
        let peer = table.peers.get_mut(key).filter(|peer| !peer.is_banned())?;
        // Members may have changed since the handshake.
        verify_key(key).filter(|key| self.shared.allowed.contains(key))?;
        peer.disconnect();
        let ended = Arc::new(tokio::sync::Notify::new());
        let (outbox, queues) = connection::outbox();
        let (transport, from, notify) = (self.clone(), key.clone(), ended.clone());
        let share = peer.share.clone();
        let task = tokio::spawn(async move {
            let deliver = |frame: Frame| transport.deliver(&from, &share, frame);
            let error = connection::run(stream, queues, deliver).await;
            tracing::info!(peer = %from, %error, "the connection to another node ended");
            if let Some(peer) = transport.table().peers.get_mut(&from)
                && peer.connection.as_ref().is_some_and(|(of, ..)| *of == number)
            {
                peer.connection = None;
            }
            notify.notify_one();
        });
        peer.connection = Some((number, outbox, task));
        tracing::info!(peer = %key, "connected to another node");
        Some(ended)
    }

    /// Hands a frame to its channel's receiver; drops it if there is none, its queue is full, or
    /// too much of this peer's waits already.
    fn deliver(&self, from: &PublicKey, share: &Arc<AtomicUsize>, frame: Frame) {
        let Some(route) = self.table().routes.get(&(frame.channel, frame.epoch)).cloned() else { return };
        let before = share.fetch_add(frame.payload.len(), Ordering::AcqRel);
        let arrived = Arrived { from: from.clone(), payload: frame.payload, share: share.clone() };
        if before > PEER_BYTES || route.try_send(arrived).is_err() {
            tracing::debug!(peer = %from, channel = ?frame.channel, "a message was dropped: its queue is full");
        }
    }
}

impl Peer {
    fn is_banned(&self) -> bool {
        self.banned.is_some_and(|until| Instant::now() < until)
    }

    fn disconnect(&mut self) {
        if let Some((_, _, task)) = self.connection.take() {
            task.abort();
        }
    }

    fn end(&mut self) {
        self.dialler.take().inspect(JoinHandle::abort);
        self.disconnect();
    }
}

fn peer_key(chain: Option<&[rustls::pki_types::CertificateDer<'_>]>) -> Result<VerifyKey, std::io::Error> {
    chain.and_then(key_of).ok_or_else(|| std::io::Error::other("the peer showed no certificate over an Ed25519 key"))
}
