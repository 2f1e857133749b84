//! The node's one decider: what it proposes, accepts, holds, executes, signs and asks for. It owns
//! all of that state and never waits for a peer or for the executor.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::time::Time;
use super::turns::Turn;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Recipients, Sender};
use tokio::sync::{mpsc, oneshot};

use super::epochs::{EpochStart, Epochs};
use super::events::Event;
use super::executor::{Done, Job};
use super::gate::Arrival;
use super::holdings::Wanted;
use super::keys::verify_key;
use super::message::{Message, TXS_BYTES, TXS_MAX, Transactions};
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
use crate::state::verify::VerifiedTx;

/// How often what waits for time to pass is looked at.
const TICK: Duration = Duration::from_millis(50);
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
    /// Disconnect this peer and keep it out for a while.
    ShutOut(PublicKey),
    /// The node has stopped.
    Stopped,
}

/// A question about a batch.
pub(super) struct Question {
    pub(super) epoch: u64,
    pub(super) parent: Digest,
    pub(super) batch: Digest,
    pub(super) response: oneshot::Sender<bool>,
}

/// A sender that waits for its receipt.
pub(super) struct Sent {
    reply: mpsc::Sender<Reply>,
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
    pub(super) net: S,
    gossip: S,
    pub(super) ledger: Arc<chain::Core>,
    /// How long a leader waits for transactions before it lets its turn pass.
    pub(super) idle_ms: u64,
    pub(super) secret: NodeSecret,
    pub(super) head: Header,
    /// As of the head.
    pub(super) members: MemberSet,
    pub(super) epochs: Epochs,
    /// The epoch whose agreement runs here.
    pub(super) agreeing: Option<u64>,
    pub(super) store: BatchStore,
    pub(super) executed: BTreeMap<Digest, Meta>,
    pub(super) order: VecDeque<Digest>,
    pub(super) offers: Offers,
    pub(super) wanted: BTreeMap<Digest, Wanted>,
    pub(super) turns: Vec<Turn>,
    pub(super) questions: Vec<Question>,
    pub(super) certifications: Vec<(Digest, oneshot::Sender<bool>)>,
    /// The last batch that is final, with epoch and view.
    pub(super) target: Option<(u64, u64, Digest)>,
    pub(super) pool: Pool,
    pub(super) flight: Option<(Digest, Digest, HashSet<TxHash>)>,
    pub(super) sent: BTreeMap<TxHash, Vec<Sent>>,
    /// Receipts that wait for their block's checkpoint.
    pub(super) receipts: BTreeMap<BlockHeight, Vec<(Sent, Reply)>>,
    pub(super) notary: Notary,
    pub(super) catchup: Catchup,
    pub(super) jobs: mpsc::UnboundedSender<Job>,
    pub(super) busy: bool,
    /// Nothing is executed before.
    pub(super) pause_until_ms: u64,
    pub(super) stage: mpsc::UnboundedSender<Stage>,
    pub(super) stopped: bool,
}

/// The queues that the core reads.
pub(crate) struct Queues {
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) submissions: mpsc::Receiver<Submission>,
    pub(crate) arrivals: mpsc::Receiver<(PublicKey, Arrival)>,
    pub(crate) transactions: mpsc::Receiver<Vec<VerifiedTx>>,
    pub(crate) done: mpsc::UnboundedReceiver<Done>,
}

/// What a core is made of.
pub(crate) struct Parts<E, S> {
    pub(crate) clock: E,
    pub(crate) net: S,
    pub(crate) gossip: S,
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
            gossip: parts.gossip,
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
                txs = queues.transactions.recv() => match txs {
                    Some(txs) => self.transactions(&txs),
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
            Arrival::Batch { digest, batch, bytes } => {
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

    /// Transactions that peers have passed on. What finds no room here still waits where it was
    /// submitted.
    fn transactions(&mut self, txs: &[VerifiedTx]) {
        for tx in txs {
            let _ = self.pool.offer(tx);
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
            drop(self.gossip.send(Recipients::All, Transactions(spread).encode(), false));
        }
    }

    pub(super) fn receipt_of(&mut self, hash: &TxHash) -> Option<crate::block::Receipt> {
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
    pub(super) fn give_up(&mut self, hash: &TxHash) {
        for sent in self.sent.remove(hash).unwrap_or_default() {
            sent.answer(Err(SubmitError::Undecided));
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
