//! The node's one decider: what it proposes, accepts, holds, executes, signs and asks for. It owns
//! all of that state and never waits for a peer or for the executor.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use super::time::Time;
use commonware_cryptography::ed25519::PublicKey;
use commonware_cryptography::sha256;
use commonware_p2p::{Recipients, Sender};
use tokio::sync::{mpsc, oneshot};

use super::batch::{EMPTY_AFTER_MS, digest_of};
use super::epochs::{EpochStart, Epochs};
use super::events::Event;
use super::executor::{Done, Job};
use super::gate::Arrival;
use super::keys::{public_key, verify_key};
use super::message::{Message, TXS_BYTES, TXS_MAX};
use super::notary::Notary;
use super::offers::{Offer, Offers};
use super::pool::{Offered, Pool};
use super::store::{BatchStore, Meta};
use super::sync::Catchup;
use crate::account::NodeSecret;
use crate::block::Header;
use crate::chain;
use crate::engine::{Reply, Submission};
use crate::error::SubmitError;
use crate::ids::{BlockHeight, Digest, TxHash};
use crate::member::MemberSet;
use crate::state::query;

/// How often what waits for time to pass is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long a batch is asked for at one peer before the next is asked.
const ASK_AGAIN_MS: u64 = 300;
/// Nobody wants a batch any more that was not found for so long.
const WANTED_MS: u64 = 60_000;
/// Most batches that are asked for at one time.
const WANTED_MAX: usize = 256;
/// Executed batches of which the digest is remembered.
const REMEMBERED: usize = 4096;
/// How long execution pauses when the disk is full.
const PAUSE_MS: u64 = 1_000;
/// How long a sender is kept waiting.
const PATIENCE_MS: u64 = 60_000;

/// What the core tells whoever runs the agreement and the connections.
pub(crate) enum Stage {
    /// Connect to these members, and to no others.
    Peers(Vec<crate::member::Member>),
    /// Run the agreement of this epoch, from this batch on.
    Agree(EpochStart),
    /// End the agreement that runs.
    End,
    /// The node has stopped.
    Stopped,
}

/// A leader's turn.
struct Turn {
    epoch: u64,
    parent: Digest,
    until_ms: u64,
    response: oneshot::Sender<sha256::Digest>,
}

/// A question about a batch.
pub(super) struct Question {
    pub(super) epoch: u64,
    pub(super) parent: Digest,
    pub(super) batch: Digest,
    pub(super) response: oneshot::Sender<bool>,
}

struct Wanted {
    since_ms: u64,
    asked_ms: u64,
    asked: usize,
}

/// A sender that waits for its receipt.
pub(super) struct Sent {
    reply: SyncSender<Reply>,
    until_ms: u64,
}

impl Sent {
    /// Whoever has stopped waiting finds the receipt by the transaction's hash.
    pub(super) fn answer(&self, reply: Reply) {
        if self.reply.try_send(reply).is_err() {
            tracing::debug!("a sender no longer waits for its receipt");
        }
    }
}

pub(crate) struct Core<E, S> {
    pub(super) clock: E,
    net: S,
    pub(super) ledger: Arc<chain::Core>,
    /// How long a leader waits for transactions before it lets its turn pass.
    idle_ms: u64,
    pub(super) secret: NodeSecret,
    pub(super) head: Header,
    /// As of the head.
    pub(super) members: MemberSet,
    pub(super) epochs: Epochs,
    /// The epoch whose agreement runs here.
    pub(super) agreeing: Option<u64>,
    pub(super) store: BatchStore,
    executed: BTreeMap<Digest, Meta>,
    order: VecDeque<Digest>,
    pub(super) offers: Offers,
    wanted: BTreeMap<Digest, Wanted>,
    turns: Vec<Turn>,
    pub(super) questions: Vec<Question>,
    certifications: Vec<(Digest, oneshot::Sender<bool>)>,
    /// The last batch that is final, with epoch and view.
    target: Option<(u64, u64, Digest)>,
    pub(super) pool: Pool,
    flight: Option<(Digest, Digest, HashSet<TxHash>)>,
    sent: BTreeMap<TxHash, Vec<Sent>>,
    /// Receipts that wait for their block's checkpoint.
    pub(super) receipts: BTreeMap<BlockHeight, Vec<(Sent, Reply)>>,
    pub(super) notary: Notary,
    pub(super) catchup: Catchup,
    pub(super) jobs: mpsc::UnboundedSender<Job>,
    pub(super) busy: bool,
    /// Nothing is executed before.
    pause_until_ms: u64,
    pub(super) stage: mpsc::UnboundedSender<Stage>,
    pub(super) stopped: bool,
}

/// The queues that the core reads.
pub(crate) struct Queues {
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) submissions: mpsc::Receiver<Submission>,
    pub(crate) arrivals: mpsc::Receiver<(PublicKey, Arrival)>,
    pub(crate) done: mpsc::UnboundedReceiver<Done>,
}

/// What a core is made of.
pub(crate) struct Parts<E, S> {
    pub(crate) clock: E,
    pub(crate) net: S,
    pub(crate) ledger: Arc<chain::Core>,
    pub(crate) idle_ms: u64,
    pub(crate) secret: NodeSecret,
    pub(crate) members: MemberSet,
    pub(crate) epochs: Epochs,
    pub(crate) store: BatchStore,
    pub(crate) notary: Notary,
    pub(crate) jobs: mpsc::UnboundedSender<Job>,
    pub(crate) stage: mpsc::UnboundedSender<Stage>,
}

impl<E: Time, S: Sender<PublicKey = PublicKey>> Core<E, S> {
    pub(crate) fn new(parts: Parts<E, S>) -> Core<E, S> {
        let head = (*parts.ledger.head()).clone();
        let mut core = Core {
            clock: parts.clock,
            net: parts.net,
            ledger: parts.ledger,
            idle_ms: parts.idle_ms,
            secret: parts.secret,
            head: head.clone(),
            members: parts.members,
            epochs: parts.epochs,
            agreeing: None,
            store: parts.store,
            executed: BTreeMap::new(),
            order: VecDeque::new(),
            offers: Offers::default(),
            wanted: BTreeMap::new(),
            turns: Vec::new(),
            questions: Vec::new(),
            certifications: Vec::new(),
            target: None,
            pool: Pool::default(),
            flight: None,
            sent: BTreeMap::new(),
            receipts: BTreeMap::new(),
            notary: parts.notary,
            catchup: Catchup::default(),
            jobs: parts.jobs,
            busy: false,
            pause_until_ms: 0,
            stage: parts.stage,
            stopped: false,
        };
        core.remember(&head);
        core
    }

    /// Works until it is told to end, or the node stops.
    pub(crate) async fn run(mut self, mut queues: Queues) {
        self.begin();
        let mut looked = self.now_ms();
        while !self.stopped {
            let sleep = self.clock.sleep(TICK);
            tokio::select! {
                biased;
                done = queues.done.recv() => match done {
                    Some(done) => self.done(done),
                    None => break,
                },
                event = queues.events.recv() => match event {
                    Some(event) => self.event(event),
                    None => break,
                },
                submission = queues.submissions.recv() => match submission {
                    Some(first) => self.submissions(first, &mut queues.submissions),
                    None => break,
                },
                arrival = queues.arrivals.recv() => match arrival {
                    Some((from, arrival)) => self.arrival(from, arrival),
                    None => break,
                },
                () = sleep => {}
            }
            let now = self.now_ms();
            if now.saturating_sub(looked) >= 50 {
                looked = now;
                self.tick(now);
            }
            self.drive();
        }
        let _ = self.stage.send(Stage::Stopped);
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Propose { epoch, parent, response } => {
                let until_ms = self.now_ms().saturating_add(self.idle_ms);
                self.turns.push(Turn { epoch, parent, until_ms, response });
            }
            Event::Verify { epoch, parent, batch, response } => {
                self.questions.push(Question { epoch, parent, batch, response });
            }
            Event::Certify { batch, response } => self.certifications.push((batch, response)),
            Event::Spread { batch, to } => match self.store.bytes(&batch) {
                Ok(Some(bytes)) => self.send(to, &Message::Batch(bytes), false),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "a batch could not be read"),
            },
            Event::Final { epoch, view, batch } => {
                if self.target.is_none_or(|(of, at, _)| (of, at) < (epoch, view)) {
                    self.target = Some((epoch, view, batch));
                }
            }
            Event::Fault { epoch, what } => {
                tracing::warn!(epoch, what, "a member seems to have broken the rules of the agreement");
            }
        }
    }

    fn arrival(&mut self, from: PublicKey, arrival: Arrival) {
        match arrival {
            Arrival::Transactions(txs) => {
                // What finds no room here still waits where it was submitted.
                for tx in &txs {
                    let _ = self.pool.offer(tx);
                }
            }
            Arrival::Batch { batch, bytes } => {
                let digest = digest_of(&bytes);
                self.wanted.remove(&digest);
                if self.store.meta(&digest).is_none() {
                    self.offers.put(&from, digest, Offer { batch: Arc::new(batch), bytes: Arc::new(bytes) });
                }
            }
            Arrival::WantBatch(digest) => {
                let bytes = match self.store.bytes(&digest) {
                    Ok(Some(bytes)) => Some(bytes),
                    Ok(None) => self.offers.peek(&digest).map(|offer| offer.bytes.to_vec()),
                    Err(error) => {
                        tracing::error!(%error, "a batch could not be read");
                        None
                    }
                };
                if let Some(bytes) = bytes {
                    self.send(Recipients::One(from), &Message::Batch(bytes), false);
                }
            }
            Arrival::Signature { checkpoint, signature, again } => {
                if let Some(key) = verify_key(&from) {
                    self.signature(&from, key, checkpoint, signature, again);
                }
            }
            Arrival::Status { epoch, height, checkpoint } => self.status(&from, epoch, height, checkpoint.as_ref()),
            Arrival::WantBlocks(height) => self.serve_blocks(&from, height),
            Arrival::Blocks { blocks, checkpoint, bytes } => self.take_blocks(&from, blocks, checkpoint, bytes),
        }
    }

    fn submissions(&mut self, first: Submission, more: &mut mpsc::Receiver<Submission>) {
        let (mut next, mut spread, mut bytes) = (Some(first), Vec::new(), 0);
        let until_ms = self.now_ms().saturating_add(PATIENCE_MS);
        while let Some(Submission { tx, reply }) = next {
            let hash = tx.hash();
            let offered = if self.receipt_of(&hash).is_some() { Offered::Known } else { self.pool.offer(&tx) };
            let sent = Sent { reply, until_ms };
            match offered {
                Offered::Full => sent.answer(Err(SubmitError::Busy)),
                offered => {
                    if offered == Offered::New {
                        let encoded = tx.signed().encode();
                        bytes += encoded.len();
                        spread.push(encoded);
                    }
                    match self.receipt_of(&hash) {
                        Some(receipt) => self.reply_when_certified(receipt.height, sent, Ok(receipt)),
                        None => self.sent.entry(hash).or_default().push(sent),
                    }
                }
            }
            next = if spread.len() < TXS_MAX && bytes < TXS_BYTES { more.try_recv().ok() } else { None };
        }
        if !spread.is_empty() {
            self.send(Recipients::All, &Message::Transactions(spread), false);
        }
    }

    fn receipt_of(&mut self, hash: &TxHash) -> Option<crate::block::Receipt> {
        match query::receipt(&self.ledger.index, hash) {
            Ok(receipt) => receipt,
            Err(error) => {
                let _ = self.ledger.stop(&error);
                self.stop(&error.to_string());
                None
            }
        }
    }

    /// Everything that can go on without an event: turns, questions, execution.
    fn drive(&mut self) {
        self.take_turns();
        self.judge_all();
        let certifications = std::mem::take(&mut self.certifications);
        for (batch, response) in certifications {
            if response.is_closed() {
                continue;
            }
            if self.hold(&batch) {
                let _ = response.send(true);
            } else {
                self.certifications.push((batch, response));
            }
        }
        self.advance();
    }

    fn tick(&mut self, now: u64) {
        self.ask(now);
        self.catch_up(now);
        self.speak(now);
        let late: Vec<TxHash> = self
            .sent
            .iter()
            .filter(|(_, sent)| sent.iter().any(|sent| sent.until_ms < now))
            .map(|(hash, _)| *hash)
            .collect();
        late.iter().for_each(|hash| self.give_up(hash));
        for waiting in self.receipts.values_mut() {
            waiting.retain(|(sent, _)| {
                let waits = sent.until_ms >= now;
                if !waits {
                    sent.answer(Err(SubmitError::Undecided));
                }
                waits
            });
        }
    }

    /// Tells whoever waits for this transaction that it is not known what becomes of it.
    fn give_up(&mut self, hash: &TxHash) {
        for sent in self.sent.remove(hash).unwrap_or_default() {
            sent.answer(Err(SubmitError::Undecided));
        }
    }

    // Batches that are held and asked for.

    /// What is known of a batch: stored, executed, offered, or the epoch's beginning.
    pub(super) fn meta(&self, digest: &Digest) -> Option<Meta> {
        self.store
            .meta(digest)
            .or_else(|| self.executed.get(digest).copied())
            .or_else(|| self.offers.peek(digest).map(|offer| Meta::of(&offer.batch)))
    }

    /// Whether this node holds a batch durably, or its block; stores it if a peer has sent it, and
    /// asks for it otherwise.
    pub(super) fn hold(&mut self, digest: &Digest) -> bool {
        if self.store.meta(digest).is_some() || self.executed.contains_key(digest) {
            return true;
        }
        let Some(offer) = self.offers.peek(digest).cloned() else {
            self.want(*digest);
            return false;
        };
        match self.store.put(offer.batch, &offer.bytes) {
            Ok(_) => {
                self.offers.remove(digest);
                true
            }
            Err(error) => {
                self.not_stored(&error);
                false
            }
        }
    }

    /// Without room on the disk the node does not vote, and goes on when there is some; after a
    /// failed sync it stops.
    fn not_stored(&mut self, error: &std::io::Error) {
        if self.store.is_broken() {
            self.stop(&format!("a batch could not be made durable: {error}"));
        } else {
            tracing::error!(%error, "a batch could not be stored: make room on the disk; this node does not vote until then");
        }
    }

    pub(super) fn want(&mut self, digest: Digest) {
        if self.wanted.contains_key(&digest) || self.wanted.len() >= WANTED_MAX {
            return;
        }
        let now = self.now_ms();
        self.wanted.insert(digest, Wanted { since_ms: now, asked_ms: 0, asked: 0 });
        self.ask(now);
    }

    fn ask(&mut self, now: u64) {
        self.wanted.retain(|_, wanted| now.saturating_sub(wanted.since_ms) < WANTED_MS);
        let peers = self.peers();
        let mut asks = Vec::new();
        for (digest, wanted) in &mut self.wanted {
            // A proposal travels with its vote: it is given a moment before it is asked for.
            let due =
                if wanted.asked == 0 { wanted.since_ms + ASK_AGAIN_MS / 3 } else { wanted.asked_ms + ASK_AGAIN_MS };
            if due <= now && !peers.is_empty() {
                let start = usize::from(digest.0.first().copied().unwrap_or_default());
                if let Some(peer) = peers.get((start + wanted.asked) % peers.len()) {
                    asks.push((peer.clone(), *digest));
                }
                (wanted.asked_ms, wanted.asked) = (now, wanted.asked + 1);
            }
        }
        for (peer, digest) in asks {
            self.send(Recipients::One(peer), &Message::WantBatch(digest), false);
        }
    }

    /// The other members.
    pub(super) fn peers(&self) -> Vec<PublicKey> {
        let me = self.secret.verify_key();
        let others = self.members.members.iter().filter(|member| member.node_key != me);
        others.filter_map(|member| public_key(&member.node_key)).collect()
    }

    pub(super) fn send(&mut self, to: Recipients<PublicKey>, message: &Message, urgent: bool) {
        drop(self.net.send(to, message.encode(), urgent));
    }

    // Proposals.

    fn take_turns(&mut self) {
        for turn in std::mem::take(&mut self.turns) {
            if turn.response.is_closed() {
                continue;
            }
            match self.propose(&turn) {
                Some(digest) => drop(turn.response.send(super::keys::payload(&digest))),
                None => self.turns.push(turn),
            }
        }
    }

    /// A batch on the turn's parent; the parent again when nothing waits; nothing yet.
    fn propose(&mut self, turn: &Turn) -> Option<Digest> {
        if turn.epoch != self.members.epoch {
            // The members have changed: what would be ordered now is void.
            return Some(turn.parent);
        }
        let Some(parent) = self.meta(&turn.parent) else {
            self.want(turn.parent);
            return None;
        };
        let taken = self.in_flight(&turn.parent)?;
        let now = self.now_ms();
        let txs = if self.pool.has_more(&taken) { self.pool.next(&taken) } else { Vec::new() };
        let due = txs.is_empty() && now >= parent.time_ms.saturating_add(EMPTY_AFTER_MS) && self.awaits_answers();
        self.flight = Some((turn.parent, self.head.batch, taken));
        if txs.is_empty() && !due {
            return (now >= turn.until_ms).then_some(turn.parent);
        }
        let batch = super::batch::Batch {
            chain: self.head.chain,
            epoch: turn.epoch,
            height: parent.height.next(),
            parent: turn.parent,
            time_ms: now.max(parent.time_ms.saturating_add(1)),
            txs,
        };
        let bytes = batch.encode();
        match self.store.put(Arc::new(batch), &bytes) {
            Ok(digest) => Some(digest),
            Err(error) => {
                self.not_stored(&error);
                Some(turn.parent)
            }
        }
    }

    fn awaits_answers(&mut self) -> bool {
        query::has_open_requests(&self.ledger.index).unwrap_or_else(|error| {
            let _ = self.ledger.stop(&error);
            self.stop(&error.to_string());
            false
        })
    }

    /// The transactions of batches from `parent` back to the head, which are not executed yet.
    fn in_flight(&mut self, parent: &Digest) -> Option<HashSet<TxHash>> {
        let head = self.head.batch;
        if let Some((.., taken)) = self.flight.take_if(|(of, at, _)| of == parent && *at == head) {
            return Some(taken);
        }
        let (mut taken, mut at) = (HashSet::new(), *parent);
        while at != self.head.batch {
            let meta = self.meta(&at)?;
            if meta.height <= self.head.height {
                break;
            }
            match self.store.batch(&at) {
                Ok(Some(batch)) => taken.extend(batch.txs.iter().map(crate::tx::SignedTx::hash)),
                Ok(None) => match self.offers.peek(&at) {
                    Some(offer) => taken.extend(offer.batch.txs.iter().map(crate::tx::SignedTx::hash)),
                    None => {
                        self.want(at);
                        return None;
                    }
                },
                Err(error) => {
                    tracing::error!(%error, "a batch could not be read");
                    return None;
                }
            }
            at = meta.parent;
        }
        Some(taken)
    }

    // Execution.

    /// Has the next final batch executed, if there is one and nothing is being executed.
    pub(super) fn advance(&mut self) {
        let Some((epoch, _, target)) = self.target else { return };
        if self.busy || epoch != self.members.epoch || target == self.head.batch || self.now_ms() < self.pause_until_ms
        {
            return;
        }
        let (mut at, mut next) = (target, None);
        while at != self.head.batch {
            let Some(meta) = self.meta(&at) else {
                self.want(at);
                return;
            };
            if meta.height <= self.head.height {
                // Behind the head: either long executed, or another history than ours.
                if next.is_some() {
                    self.stop(&format!(
                        "the members agreed on batch {} for block {}, and this node has executed another one there",
                        at.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
                        meta.height
                    ));
                }
                self.target = None;
                return;
            }
            next = Some(at);
            at = meta.parent;
        }
        let Some(next) = next else { return };
        if !self.hold(&next) {
            return;
        }
        match self.store.batch(&next) {
            Ok(Some(batch)) => {
                let verified = batch.txs.iter().map(|tx| self.pool.verified(tx)).collect();
                self.busy = true;
                let _ = self.jobs.send(Job::Execute { digest: next, batch, verified });
            }
            Ok(None) => self.want(next),
            Err(error) => tracing::error!(%error, "a batch could not be read"),
        }
    }

    fn done(&mut self, done: Done) {
        self.busy = false;
        match done {
            Done::Executed { header, members, results } => {
                for (hash, reply) in results {
                    self.settle(&hash, reply);
                }
                self.moved(header, members);
            }
            Done::Adopted { header, members, checkpoint } => {
                let waiting: Vec<TxHash> = self.sent.keys().copied().collect();
                for hash in waiting {
                    if let Some(receipt) = self.receipt_of(&hash) {
                        self.settle(&hash, Ok(receipt));
                    }
                }
                self.moved(header, members);
                self.certified(checkpoint);
            }
            Done::Void => {}
            Done::Later(what) => {
                tracing::error!(
                    what,
                    "a block could not be written: make room on the disk; this node waits until then"
                );
                self.pause_until_ms = self.now_ms().saturating_add(PAUSE_MS);
            }
            Done::Failed(why) => self.stop(&why),
        }
    }

    fn settle(&mut self, hash: &TxHash, reply: Reply) {
        self.pool.remove(hash);
        for sent in self.sent.remove(hash).unwrap_or_default() {
            match &reply {
                Ok(receipt) => self.reply_when_certified(receipt.height, sent, reply.clone()),
                Err(_) => sent.answer(reply.clone()),
            }
        }
    }

    fn reply_when_certified(&mut self, height: BlockHeight, to: Sent, reply: Reply) {
        if height <= self.ledger.certified().header.height {
            to.answer(reply);
        } else {
            self.receipts.entry(height).or_default().push((to, reply));
        }
    }

    /// The ledger has another head.
    fn moved(&mut self, header: Header, members: MemberSet) {
        self.remember(&header);
        self.store.executed(header.height);
        let changed = members.epoch != self.members.epoch;
        self.head = header;
        self.members = members;
        self.catchup.moved();
        for hash in self.pool.expire(self.head.height) {
            self.give_up(&hash);
        }
        if changed {
            self.members_changed();
        }
        self.sign_head(false);
    }

    fn remember(&mut self, header: &Header) {
        let meta =
            Meta { height: header.height, epoch: header.epoch, time_ms: header.time_ms, parent: Digest([0; 32]) };
        if self.executed.insert(header.batch, meta).is_none() {
            self.order.push_back(header.batch);
        }
        while self.order.len() > REMEMBERED {
            if let Some(old) = self.order.pop_front() {
                self.executed.remove(&old);
            }
        }
    }

    /// Takes nothing more, and says why.
    pub(super) fn stop(&mut self, why: &str) {
        self.stopped = true;
        let stopped = self.ledger.stop_for(why.to_owned());
        for sent in std::mem::take(&mut self.sent).into_values().flatten() {
            sent.answer(Err(stopped.clone()));
        }
        for (to, _) in std::mem::take(&mut self.receipts).into_values().flatten() {
            to.answer(Err(stopped.clone()));
        }
    }
}
