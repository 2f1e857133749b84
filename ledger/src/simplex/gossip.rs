//! Transactions that peers pass on: checked here, so that the core sees only good ones.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Receiver};
use tokio::sync::mpsc;

use super::message::{TXS_MAX, Transactions};
use super::pool::Rates;
use super::time::Time;
use crate::chain;
use crate::ids::TxHash;
use crate::state::verify::{Unverified, VerifiedTx, verify_all};
use crate::state::{ExecuteError, Rejection, query};
use crate::tx::SignedTx;

/// Transactions whose hash is remembered, so that none is checked twice.
const REMEMBERED: usize = 64 * 1024;

pub(crate) struct Gossip<E, B> {
    clock: E,
    ledger: Arc<chain::Core>,
    blocker: B,
    rates: Rates,
    seen: HashSet<TxHash>,
    order: VecDeque<TxHash>,
}

impl<E: Time, B: Blocker<PublicKey = PublicKey>> Gossip<E, B> {
    pub(crate) fn new(clock: E, ledger: Arc<chain::Core>, blocker: B, rates: Rates) -> Gossip<E, B> {
        Gossip { clock, ledger, blocker, rates, seen: HashSet::new(), order: VecDeque::new() }
    }

    /// Works until the connections are closed. While the core is busy it waits.
    pub(crate) async fn run<R>(mut self, mut receiver: R, checked: mpsc::Sender<Vec<VerifiedTx>>)
    where
        R: Receiver<PublicKey = PublicKey>,
    {
        while let Ok((from, bytes)) = receiver.recv().await {
            let Ok(Transactions(txs)) = Transactions::decode(bytes.as_ref()) else { continue };
            let unverified: Vec<Unverified> = txs.iter().take(TXS_MAX).filter_map(|bytes| self.unseen(bytes)).collect();
            let mut good = Vec::new();
            for checked in verify_all(unverified) {
                match checked {
                    Ok(tx) if self.take(&tx) => good.push(tx),
                    Ok(_) => {}
                    Err(ExecuteError::Rejected(Rejection::Signature(_))) => {
                        tracing::warn!(peer = %from, "the peer passes on a transaction whose signature is wrong");
                        let _ = self.blocker.block(from.clone());
                        break;
                    }
                    Err(_) => {}
                }
            }
            if !good.is_empty() && checked.send(good).await.is_err() {
                return;
            }
        }
    }

    /// A transaction that is new here.
    fn unseen(&self, bytes: &[u8]) -> Option<Unverified> {
        let signed = SignedTx::decode(bytes).ok()?;
        let head = self.ledger.head();
        let unverified = Unverified::new(&head.chain, signed, &self.ledger.index).ok()?;
        let hash = unverified.hash();
        let known = self.seen.contains(&hash) || query::receipt(&self.ledger.index, &hash).ok()?.is_some();
        let taken = !known && unverified.admit(head.height, &self.ledger.index).is_ok();
        taken.then_some(unverified)
    }

    /// Whether it is taken: the sender's rate holds here as it does where the transaction was
    /// submitted.
    fn take(&mut self, tx: &VerifiedTx) -> bool {
        let hash = tx.hash();
        if self.seen.contains(&hash) || !self.rates.admit(tx.signed(), self.clock.now_ms()) {
            return false;
        }
        self.seen.insert(hash);
        self.order.push_back(hash);
        if self.order.len() > REMEMBERED {
            self.order.pop_front().inspect(|oldest| _ = self.seen.remove(oldest));
        }
        true
    }
}
