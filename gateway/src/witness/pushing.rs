//! The log's side: brings each new checkpoint before the witnesses and keeps the newest that any of
//! them cosigned (docs/spec/witness.md#pushing).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sealgate_ledger::Ledger;
use sealgate_ledger::block::Header;
use sealgate_ledger::cosign::{NoteLine, WitnessKey, attach};
use sealgate_ledger::standing::SignedHead;
use sealgate_ledger::witness::AddCheckpoint;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::client::witness::{Submitted, WitnessClient, WitnessClientError};

/// How soon after one round of requests the next may begin.
const SPACING: Duration = Duration::from_secs(1);
/// How long a new head waits when nobody asks for its cosignatures.
const IDLE: Duration = Duration::from_secs(3);
/// How old cosignatures of an unchanged head become before they are renewed.
const RENEW: Duration = Duration::from_secs(60);
/// How long an answer waits for cosignatures.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pauses after failures: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(120);
/// Requests of one round to one witness: the first may miss the size it has.
const ATTEMPTS: usize = 3;

/// A witness that a log reports to.
#[derive(Debug, Clone)]
pub struct Peer {
    /// How it is reached.
    pub client: WitnessClient,
    /// Its key.
    pub key: WitnessKey,
}

impl std::str::FromStr for Peer {
    type Err = String;

    /// `URL=KEY`.
    fn from_str(text: &str) -> Result<Peer, String> {
        let (url, key) = text.split_once('=').ok_or("write URL=KEY, the key as 'sealgate witness new' prints it")?;
        let client = WitnessClient::new(url).map_err(|error| error.to_string())?;
        Ok(Peer { client, key: key.parse().map_err(|error: sealgate_circuits::bytes::DecodeError| error.to_string())? })
    }
}

/// The head of a ledger.
fn head(ledger: &Ledger) -> SignedHead {
    let (header, checkpoint) = ledger.signed_head();
    SignedHead { header, checkpoint }
}

/// How far the rounds are.
#[derive(Debug, Clone, Default)]
struct Rounds {
    /// Entries of the head of the last round, whatever came of it.
    tried: Option<u64>,
    /// The newest head with cosignatures.
    newest: Option<Arc<SignedHead>>,
    /// How it stands with each witness.
    reported: Vec<Reported>,
}

/// How it stands with a witness that this ledger reports to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Entries of the head that it cosigned last in this process.
    pub cosigned: Option<u64>,
    /// Why it did not the last time it was asked, if it did not.
    pub failing: Option<String>,
}

/// What witnesses have cosigned so far; nothing where a ledger reports to none.
#[derive(Debug)]
pub struct Cosigned {
    active: AtomicBool,
    wanted: Notify,
    rounds: watch::Sender<Rounds>,
}

impl Default for Cosigned {
    fn default() -> Self {
        Cosigned { active: AtomicBool::new(false), wanted: Notify::new(), rounds: watch::Sender::default() }
    }
}

impl Cosigned {
    /// The newest cosigned head of at least `least` entries.
    fn newest(&self, least: u64) -> Option<Arc<SignedHead>> {
        self.rounds.borrow().newest.clone().filter(|head| head.header.tree_size >= least)
    }

    /// The newest cosigned head of at least `least` entries, or else the ledger's own.
    pub fn head(&self, ledger: &Ledger, least: u64) -> SignedHead {
        let own = head(ledger);
        match self.newest(least) {
            // The very head, or the next best for who waits for no one.
            Some(cosigned) if cosigned.header.tree_size <= own.header.tree_size => (*cosigned).clone(),
            _ => own,
        }
    }

    /// The ledger's own head, with cosignatures if it has any already.
    pub fn own_head(&self, ledger: &Ledger) -> SignedHead {
        let own = head(ledger);
        match self.newest(0) {
            Some(cosigned) if cosigned.header == own.header => (*cosigned).clone(),
            _ => own,
        }
    }

    /// How it stands with each witness, as of the last round.
    pub fn reported(&self) -> Vec<Reported> {
        self.rounds.borrow().reported.clone()
    }

    /// Adds to a head the cosignatures that it has.
    pub fn attach(&self, head: &mut SignedHead) {
        if let Some(cosigned) = self.newest(0).filter(|cosigned| cosigned.header == head.header) {
            head.checkpoint = cosigned.checkpoint.clone();
        }
    }

    /// Waits until the ledger's present head has been before the witnesses, but not long.
    pub async fn wait(&self, ledger: &Ledger) {
        if !self.active.load(Ordering::Relaxed) {
            return;
        }
        let size = ledger.head().tree_size;
        let mut rounds = self.rounds.subscribe();
        if rounds.borrow().tried.is_some_and(|tried| tried >= size) {
            return;
        }
        self.wanted.notify_one();
        let tried = rounds.wait_for(|rounds| rounds.tried.is_some_and(|tried| tried >= size));
        let _ = tokio::time::timeout(PATIENCE, tried).await;
    }

    /// Reports the ledger's heads to the witnesses, for good.
    pub async fn report(&self, ledger: &Ledger, peers: Vec<Peer>) {
        self.active.store(true, Ordering::Relaxed);
        let mut peers: Vec<Reporting> = peers.into_iter().map(Reporting::new).collect();
        let mut last: Option<(Header, Instant)> = None;
        loop {
            let own = head(ledger);
            let fresh = last.as_ref().is_some_and(|(header, at)| *header == own.header && at.elapsed() < RENEW);
            let behind = peers.iter().any(|peer| peer.behind(own.header.tree_size));
            // A new network has signed nothing yet.
            let due = !own.checkpoint.0.is_empty() && (!fresh || behind);
            if due {
                let lines = futures::future::join_all(peers.iter_mut().map(|peer| peer.report(ledger, &own))).await;
                let lines: Vec<String> = lines.into_iter().flatten().collect();
                last = Some((own.header.clone(), Instant::now()));
                self.finish(own, &lines, peers.iter().map(Reporting::told).collect());
            }
            tokio::time::sleep(SPACING).await;
            let _ = tokio::time::timeout(IDLE, self.wanted.notified()).await;
        }
    }

    fn finish(&self, own: SignedHead, lines: &[String], reported: Vec<Reported>) {
        self.rounds.send_modify(|rounds| {
            rounds.reported = reported;
            rounds.tried = Some(own.header.tree_size);
            if !lines.is_empty() {
                let checkpoint = attach(&own.checkpoint, lines.iter().map(String::as_str));
                rounds.newest = Some(Arc::new(SignedHead { checkpoint, ..own }));
            }
        });
    }
}

/// A witness and how it stands with it.
struct Reporting {
    peer: Peer,
    /// Size of the checkpoint it cosigned last, as far as known.
    known: u64,
    /// Entries of the head it cosigned in this process.
    done: Option<u64>,
    /// Not before this, after failures.
    pause: Option<(Instant, Duration)>,
    /// The last failure, while it lasts.
    failing: Option<String>,
}

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
enum NotCosigned {
    #[error(transparent)]
    Client(#[from] WitnessClientError),
    #[error("has cosigned {witness} entries of this ledger, which has {own}: it was rolled back, or is a copy")]
    RolledBack { witness: u64, own: u64 },
    #[error("sent no cosignature by the key that --witness names")]
    NoLine,
    #[error("sent a cosignature that does not hold")]
    Wrong,
    #[error("cannot be told apart from a witness that moves: it names another size each time")]
    Moving,
    #[error("cannot be shown a proof: {0}")]
    Ledger(#[from] sealgate_ledger::LedgerError),
}

impl Reporting {
    fn new(peer: Peer) -> Reporting {
        Reporting { peer, known: 0, done: None, pause: None, failing: None }
    }

    fn told(&self) -> Reported {
        let (name, url) = (self.peer.key.name().to_owned(), self.peer.client.url().to_owned());
        Reported { name, url, cosigned: self.done, failing: self.failing.clone() }
    }

    fn resting(&self) -> bool {
        self.pause.is_some_and(|(until, _)| Instant::now() < until)
    }

    fn behind(&self, size: u64) -> bool {
        self.done != Some(size) && !self.resting()
    }

    /// The cosignature's line, if the witness gives one.
    async fn report(&mut self, ledger: &Ledger, head: &SignedHead) -> Option<String> {
        if self.resting() {
            return None;
        }
        match self.cosign(ledger, head).await {
            Ok(line) => {
                if self.pause.take().is_some() {
                    tracing::warn!(witness = self.peer.key.name(), "the witness cosigns again");
                }
                self.done = Some(head.header.tree_size);
                self.failing = None;
                Some(line)
            }
            Err(error) => {
                if self.pause.is_none() {
                    let (witness, url) = (self.peer.key.name(), self.peer.client.url());
                    tracing::warn!(witness, url, "the witness does not cosign: it {error}");
                }
                self.failing = Some(error.to_string());
                let pause = self.pause.map_or(PAUSE_MIN, |(_, pause)| (pause * 2).min(PAUSE_MAX));
                self.pause = Some((Instant::now() + pause, pause));
                None
            }
        }
    }

    async fn cosign(&mut self, ledger: &Ledger, head: &SignedHead) -> Result<String, NotCosigned> {
        let own = head.header.tree_size;
        for _ in 0..ATTEMPTS {
            if self.known > own {
                let witness = std::mem::take(&mut self.known);
                return Err(NotCosigned::RolledBack { witness, own });
            }
            let proof = tokio::task::block_in_place(|| ledger.prove_consistency(self.known, own))?;
            let request = AddCheckpoint { old: self.known, proof, checkpoint: head.checkpoint.clone() };
            match self.peer.client.add_checkpoint(&request).await? {
                Submitted::Conflict(size) => self.known = size,
                Submitted::Lines(lines) => {
                    let line = own_line(&self.peer.key, &lines).ok_or(NotCosigned::NoLine)?;
                    let cosigned = self.peer.key.cosigned(&attach(&head.checkpoint, [line]));
                    if !matches!(cosigned, Ok(Some(_))) {
                        return Err(NotCosigned::Wrong);
                    }
                    self.known = own;
                    return Ok(line.to_owned());
                }
            }
        }
        Err(NotCosigned::Moving)
    }
}

/// The one line of a response that is by this key; others are ignored.
fn own_line<'a>(key: &WitnessKey, lines: &'a str) -> Option<&'a str> {
    lines.lines().find(|line| NoteLine::read(line).is_ok_and(|line| key.is_of(&line)))
}
