//! Connections: who is let in, and what a bad or slow peer can do.

use std::sync::Arc;
use std::time::Duration;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Receiver, Recipients, Sender};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::super::authority::{Authority, NODE_NAME};
use super::super::frame::{self, Channel, Frame};
use super::super::keys::public_key;
use super::super::link::{self, LinkReceiver, LinkSender};
use super::super::tls::{Allowed, Tls};
use super::super::transport::{PeerAddress, Transport};
use super::harness::authority;
use crate::account::NodeSecret;
use crate::ids::ChainId;

const CHAIN: ChainId = ChainId([5; 32]);

struct Node {
    secret: NodeSecret,
    transport: Transport,
    address: PeerAddress,
    sender: LinkSender,
    receiver: LinkReceiver,
}

impl Node {
    async fn start(secret: NodeSecret, by: &Authority) -> Node {
        let allowed = Allowed::default();
        let tls = tls(&secret, by, allowed.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let key = secret.verify_key();
        let transport = Transport::start(CHAIN, key, tls, allowed, listener);
        let (sender, receiver) = link::open(&transport, Channel::Ledger, 0);
        Node { secret, transport, address: PeerAddress { key, address }, sender, receiver }
    }

    fn key(&self) -> PublicKey {
        public_key(&self.address.key).unwrap()
    }
}

fn tls(secret: &NodeSecret, by: &Authority, allowed: Allowed) -> Result<Tls, rustls::Error> {
    let certificate = by.issue("x", &secret.verify_key()).unwrap();
    Tls::new(&authority().certificate().unwrap(), &certificate, secret, allowed)
}

/// Nodes with keys in ascending order, so that the first dials the others.
async fn nodes(count: u8) -> Vec<Node> {
    let mut secrets: Vec<NodeSecret> = (0..count).map(|seed| NodeSecret::from_seed(&[seed + 1; 32])).collect();
    secrets.sort_by_key(|secret| secret.verify_key().0);
    let mut nodes = Vec::new();
    for secret in secrets {
        nodes.push(Node::start(secret, &authority()).await);
    }
    let peers: Vec<PeerAddress> = nodes.iter().map(|node| node.address.clone()).collect();
    nodes.iter().for_each(|node| node.transport.set_peers(&peers));
    nodes
}

async fn until(mut holds: impl FnMut() -> bool) -> bool {
    for _ in 0..1_000 {
        if holds() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

fn run<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

#[test]
fn messages_arrive_from_whom_they_are_and_survive_a_lost_connection() {
    run(async {
        let mut nodes = nodes(3).await;
        let linked = |nodes: &[Node]| nodes.iter().all(|node| node.transport.connected().len() == 2);
        assert!(until(|| linked(&nodes)).await);
        let from = nodes[0].key();
        nodes[0].sender.send(Recipients::All, vec![1, 2, 3], false);
        for node in &mut nodes[1..] {
            let (sender, bytes) = node.receiver.recv().await.unwrap();
            assert_eq!((sender, bytes.as_ref()), (from.clone(), &[1, 2, 3][..]));
        }
        // A peer that broke the rules is shut out at once, on both sides.
        nodes[1].transport.ban(&from);
        assert!(until(|| nodes[1].transport.connected().len() == 1).await);
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(nodes[1].transport.connected(), [nodes[2].key()]);
        assert_eq!(nodes[1].transport.banned(), std::slice::from_ref(&from));
        // Whoever is no member any more is disconnected.
        let rest: Vec<PeerAddress> = nodes[1..].iter().map(|node| node.address.clone()).collect();
        nodes[2].transport.set_peers(&rest);
        assert!(until(|| nodes[2].transport.connected() == [nodes[1].key()]).await);
    });
}

/// Dials `to` as `secret` with a certificate of `by`; returns whether the peer greets back.
async fn knocks(to: &Node, secret: &NodeSecret, by: &Authority, chain: ChainId) -> bool {
    let allowed = Allowed::default();
    allowed.set([to.address.key].into_iter());
    let tls = tls(secret, by, allowed).unwrap();
    let stream = TcpStream::connect(&to.address.address).await.unwrap();
    let name = ServerName::try_from(NODE_NAME).unwrap();
    let Ok(mut stream) = TlsConnector::from(tls.client).connect(name, stream).await else { return false };
    // In TLS 1.3 the client's certificate is judged after the client is done.
    let greeted = frame::greet(&mut stream, &chain).await.is_ok();
    let message = Frame { channel: Channel::Ledger, epoch: 0, payload: vec![7] };
    let _ = frame::write(&mut stream, &message).await;
    let _ = stream.flush().await;
    let mut rest = [0];
    let open = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut rest)).await.is_err();
    greeted && open
}

#[test]
fn only_members_with_the_consortiums_certificates_are_let_in() {
    run(async {
        let mut smaller = NodeSecret::from_seed(&[50; 32]);
        let server = NodeSecret::from_seed(&[51; 32]);
        for seed in 60.. {
            if smaller.verify_key().0 < server.verify_key().0 {
                break;
            }
            smaller = NodeSecret::from_seed(&[seed; 32]);
        }
        let mut to = Node::start(server, &authority()).await;
        let member = PeerAddress { key: smaller.verify_key(), address: "127.0.0.1:1".into() };
        let peers = [member, to.address.clone()];
        to.transport.set_peers(&peers);
        assert!(knocks(&to, &smaller, &authority(), CHAIN).await);
        assert_eq!(to.receiver.recv().await.unwrap().1.as_ref(), [7]);
        // Another ledger; another authority of the same name; a stranger with a good certificate;
        // the server itself.
        assert!(!knocks(&to, &smaller, &authority(), ChainId([6; 32])).await);
        let forger = Authority::new("Consortium", NodeSecret::from_seed(&[201; 32]));
        assert!(!knocks(&to, &smaller, &forger, CHAIN).await);
        assert!(!knocks(&to, &NodeSecret::from_seed(&[99; 32]), &authority(), CHAIN).await);
        assert!(!knocks(&to, &to.secret.clone(), &authority(), CHAIN).await);
        // A key without its certificate.
        let other = NodeSecret::from_seed(&[99; 32]);
        let certificate = authority().issue("x", &other.verify_key()).unwrap();
        let authority = authority().certificate().unwrap();
        assert!(Tls::new(&authority, &certificate, &smaller, Allowed::default()).is_err());
        // No longer a member.
        to.transport.set_peers(&peers[1..]);
        assert!(!knocks(&to, &smaller, &super::harness::authority(), CHAIN).await);
    });
}

#[test]
fn frames_are_bounded_and_their_memory_is_taken_as_they_come() {
    run(async {
        let good = Frame { channel: Channel::Votes, epoch: 9, payload: vec![1; 100] };
        let mut bytes = Vec::new();
        frame::write(&mut bytes, &good).await.unwrap();
        assert_eq!(frame::read(&mut &bytes[..]).await.unwrap(), good);
        for cut in 0..bytes.len() {
            assert!(frame::read(&mut &bytes[..cut]).await.is_err(), "{cut}");
        }
        for (at, value) in [(0, 0xff), (1, 0x02), (4, 5), (4, 255)] {
            let mut bad = bytes.clone();
            bad[at] = value;
            assert!(frame::read(&mut &bad[..]).await.is_err(), "byte {at}");
        }
        let mut large = u32::try_from(frame::MESSAGE_BYTES_MAX).unwrap().to_be_bytes().to_vec();
        large.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
        assert!(frame::read(&mut &large[..]).await.is_err());
    });
}

#[test]
fn a_peer_that_reads_nothing_delays_nobody() {
    run(async {
        let mut nodes = nodes(2).await;
        assert!(until(|| nodes.iter().all(|node| node.transport.connected().len() == 1)).await);
        // A third member connects and never reads.
        let mut silent = NodeSecret::from_seed(&[150; 32]);
        for seed in 151.. {
            if silent.verify_key().0 < nodes[0].address.key.0 {
                break;
            }
            silent = NodeSecret::from_seed(&[seed; 32]);
        }
        let mut peers: Vec<PeerAddress> = nodes.iter().map(|node| node.address.clone()).collect();
        peers.push(PeerAddress { key: silent.verify_key(), address: "127.0.0.1:1".into() });
        nodes[0].transport.set_peers(&peers);
        let allowed = Allowed::default();
        allowed.set([nodes[0].address.key].into_iter());
        let tls = tls(&silent, &authority(), allowed).unwrap();
        let stream = TcpStream::connect(&nodes[0].address.address).await.unwrap();
        let name = ServerName::try_from(NODE_NAME).unwrap();
        let mut stream = TlsConnector::from(tls.client).connect(name, stream).await.unwrap();
        frame::greet(&mut stream, &CHAIN).await.unwrap();
        assert!(until(|| nodes[0].transport.connected().len() == 2).await);
        let large = Arc::new(vec![1u8; 1024 * 1024]);
        let begun = std::time::Instant::now();
        for _ in 0..64 {
            nodes[0].sender.send(Recipients::All, large.to_vec(), false);
            nodes[1].receiver.recv().await.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        drop(stream);
    });
}
