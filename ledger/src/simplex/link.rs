//! The transport as the agreement's library wants it: senders, receivers, a blocker.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{BlockedSubscription, Blocker, CheckedSender, LimitedSender, Receiver, Recipients};
use commonware_runtime::{IoBuf, IoBufs};
use commonware_utils::channel::ring;
use commonware_utils::ordered::Set;

use super::frame::{Channel, Frame};
use super::transport::{INBOX, Inbox, Transport};

/// Sends on one channel.
#[derive(Clone)]
pub(crate) struct LinkSender {
    transport: Transport,
    channel: Channel,
    epoch: u64,
}

/// Receives on one channel.
pub(crate) struct LinkReceiver {
    channel: Channel,
    inbox: Inbox,
}

/// Opens a channel of the transport.
pub(crate) fn open(transport: &Transport, channel: Channel, epoch: u64) -> (LinkSender, LinkReceiver) {
    let inbox = transport.open(channel, epoch);
    (LinkSender { transport: transport.clone(), channel, epoch }, LinkReceiver { channel, inbox })
}

/// A send to recipients that are known. The transport limits by dropping what a slow peer does not
/// take, so all are ready always.
pub(crate) struct Ready<'a> {
    sender: &'a LinkSender,
    to: Vec<PublicKey>,
}

impl LimitedSender for LinkSender {
    type PublicKey = PublicKey;
    type Checked<'a> = Ready<'a>;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<Ready<'_>, SystemTime> {
        let to = match recipients {
            Recipients::All => self.transport.peers(),
            Recipients::Some(keys) => keys,
            Recipients::One(key) => vec![key],
        };
        Ok(Ready { sender: self, to })
    }
}

impl CheckedSender for Ready<'_> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.to.clone()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let payload = Vec::from(message.into().coalesce());
        let (channel, epoch) = (self.sender.channel, self.sender.epoch);
        if payload.len() > channel.bytes_max() {
            tracing::error!(bytes = payload.len(), ?channel, "a message is larger than its channel takes");
            return Unreliable::rejected();
        }
        self.sender.transport.send(&self.to, Frame { channel, epoch, payload }, priority);
        Unreliable::new(Feedback::Ok)
    }
}

impl std::fmt::Debug for LinkReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinkReceiver({:?})", self.channel)
    }
}

/// The transport was closed.
#[derive(Debug, thiserror::Error)]
#[error("the node's connections are closed")]
pub(crate) struct Closed;

impl Receiver for LinkReceiver {
    type Error = Closed;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<(PublicKey, IoBuf), Closed> {
        let mut arrived = self.inbox.recv().await.ok_or(Closed)?;
        let payload = arrived.release();
        Ok((arrived.from.clone(), IoBuf::from(payload)))
    }

    fn capacity(&self) -> NonZeroUsize {
        NonZeroUsize::new(INBOX).unwrap_or(NonZeroUsize::MIN)
    }
}

/// Shuts out peers that break the agreement's rules.
#[derive(Clone)]
pub(crate) struct Guard {
    transport: Transport,
    listeners: Arc<Mutex<Vec<ring::Sender<Set<PublicKey>>>>>,
}

impl Guard {
    pub(crate) fn new(transport: Transport) -> Guard {
        Guard { transport, listeners: Arc::default() }
    }

    fn tell(&self) {
        let banned = Set::from_iter_dedup(self.transport.banned());
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.send_lossy(banned.clone()));
    }
}

impl Blocker for Guard {
    type PublicKey = PublicKey;

    fn block(&mut self, peer: PublicKey) -> Feedback {
        self.transport.ban(&peer);
        self.tell();
        Feedback::Ok
    }

    fn blocked(&mut self) -> BlockedSubscription<PublicKey> {
        let (sender, receiver) = ring::channel(NonZeroUsize::MIN);
        sender.send_lossy(Set::from_iter_dedup(self.transport.banned()));
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }
}
