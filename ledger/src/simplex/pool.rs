//! Transactions that wait to be ordered, and how fast each account may send them
//! (docs/spec/network.md#transactions-that-wait).

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::block::{BLOCK_TX_BYTES_MAX, BLOCK_TXS_MAX};
use crate::ids::{Address, BlockHeight, TxHash};
use crate::state::verify::VerifiedTx;
use crate::tx::{SignedTx, TxBody};

/// Most transactions that wait.
pub(crate) const POOL_TXS_MAX: usize = 16 * 1024;
/// Most bytes of them.
pub(crate) const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most of one account's.
pub(crate) const POOL_SENDER_MAX: usize = 8 * 1024;
/// Accounts whose rates are remembered; beyond them those that are idle are forgotten.
const BUCKETS_MAX: usize = 64 * 1024;

/// Transactions in order of arrival.
#[derive(Default)]
pub(crate) struct Pool {
    txs: BTreeMap<u64, VerifiedTx>,
    places: HashMap<TxHash, u64>,
    senders: HashMap<Address, usize>,
    bytes: usize,
    next: u64,
}

/// What came of offering a transaction to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It waits now.
    New,
    /// It waits already.
    Known,
    /// There is no room.
    Full,
}

impl Pool {
    pub(crate) fn offer(&mut self, tx: &VerifiedTx) -> Offered {
        let (hash, bytes, sender) = (tx.hash(), tx.bytes(), tx.signed().tx.sender);
        if self.places.contains_key(&hash) {
            return Offered::Known;
        }
        let of_sender = self.senders.get(&sender).copied().unwrap_or_default();
        if self.txs.len() >= POOL_TXS_MAX || self.bytes + bytes > POOL_BYTES_MAX || of_sender >= POOL_SENDER_MAX {
            return Offered::Full;
        }
        self.next += 1;
        self.places.insert(hash, self.next);
        self.bytes += bytes;
        *self.senders.entry(sender).or_default() += 1;
        self.txs.insert(self.next, tx.clone());
        Offered::New
    }

    /// The transaction as checked when it came, if it is this very one.
    pub(crate) fn verified(&self, tx: &SignedTx) -> Option<VerifiedTx> {
        let known = self.places.get(&tx.hash()).and_then(|place| self.txs.get(place))?;
        (known.signed() == tx).then(|| known.clone())
    }

    pub(crate) fn remove(&mut self, hash: &TxHash) {
        let Some(waiting) = self.places.remove(hash).and_then(|place| self.txs.remove(&place)) else { return };
        self.bytes -= waiting.bytes();
        let sender = waiting.signed().tx.sender;
        if let Some(count) = self.senders.get_mut(&sender) {
            *count -= 1;
            if *count == 0 {
                self.senders.remove(&sender);
            }
        }
    }

    /// Drops what can be in no block after `head`, and says which.
    pub(crate) fn expire(&mut self, head: BlockHeight) -> Vec<TxHash> {
        let over: Vec<TxHash> =
            self.txs.values().filter(|waiting| waiting.signed().tx.expiry <= head).map(VerifiedTx::hash).collect();
        over.iter().for_each(|hash| self.remove(hash));
        over
    }

    /// The next transactions for a batch, in order of arrival, without those in `taken`.
    pub(crate) fn next(&self, taken: &HashSet<TxHash>) -> Vec<VerifiedTx> {
        let (mut txs, mut bytes) = (Vec::new(), 0);
        for waiting in self.txs.values().filter(|waiting| !taken.contains(&waiting.hash())) {
            if txs.len() >= BLOCK_TXS_MAX || bytes >= BLOCK_TX_BYTES_MAX {
                break;
            }
            bytes += waiting.bytes();
            txs.push(waiting.clone());
        }
        txs
    }

    /// Whether anything waits that is not in `taken`.
    pub(crate) fn has_more(&self, taken: &HashSet<TxHash>) -> bool {
        self.places.len() > taken.len() || self.places.keys().any(|hash| !taken.contains(hash))
    }
}

/// How many transactions a second an account may send, on average; so many more at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Transactions a second.
    pub per_second: u32,
    /// As many at once, after a pause.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Rate { per_second: 2_000, burst: 8_000 }
    }
}

/// Whoever has no account yet shares one bucket with all others in that place: a new key costs
/// nothing, so a rate for each would limit nobody.
const STRANGERS: Address = Address([0; 32]);

/// A token bucket for each account.
pub(crate) struct Rates {
    rate: Rate,
    strangers: Rate,
    /// Thousandths of a transaction that are left, and when that was.
    buckets: HashMap<Address, (u64, u64)>,
}

impl Rates {
    pub(crate) fn new(rate: Rate, strangers: Rate) -> Rates {
        Rates { rate, strangers, buckets: HashMap::new() }
    }

    /// Whether the sender of `tx` may send another at `now_ms`.
    pub(crate) fn admit(&mut self, tx: &SignedTx, now_ms: u64) -> bool {
        match &tx.tx.body {
            TxBody::OpenAccount { account, .. } if account.address() == tx.tx.sender => {
                self.take(&STRANGERS, self.strangers, now_ms)
            }
            _ => self.take(&tx.tx.sender, self.rate, now_ms),
        }
    }

    fn take(&mut self, sender: &Address, rate: Rate, now_ms: u64) -> bool {
        let full = u64::from(rate.burst).saturating_mul(1000);
        let per_ms = u64::from(rate.per_second);
        let refilled =
            |(left, at): (u64, u64)| left.saturating_add(now_ms.saturating_sub(at).saturating_mul(per_ms)).min(full);
        if self.buckets.len() >= BUCKETS_MAX {
            self.buckets.retain(|_, bucket| refilled(*bucket) < full);
        }
        let left = self.buckets.get(sender).copied().map_or(full, refilled);
        let Some(rest) = left.checked_sub(1000) else { return false };
        self.buckets.insert(*sender, (rest, now_ms));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{genesis, register, secret, sign};

    #[test]
    fn an_account_sends_a_burst_and_then_at_its_rate() {
        let (rate, slower) = (Rate { per_second: 10, burst: 3 }, Rate { per_second: 1, burst: 2 });
        let (mut rates, (genesis, one)) = (Rates::new(rate, slower), genesis());
        let tx = sign(&genesis, &one, 1, 100, register("x"));
        assert_eq!((0..5).filter(|_| rates.admit(&tx, 1_000)).count(), 3);
        assert!(rates.admit(&sign(&genesis, &secret("Other", 9), 1, 100, register("x")), 1_000));
        assert!(!rates.admit(&tx, 1_099));
        assert!(rates.admit(&tx, 1_100));
        assert!(!rates.admit(&tx, 1_100));
        assert_eq!((0..9).filter(|_| rates.admit(&tx, 60_000)).count(), 3);
        // Strangers share one rate, however many keys they have.
        let stranger = |seed| {
            let stranger = secret("Stranger", seed);
            let body = TxBody::OpenAccount { account: stranger.public().clone(), identity: vec![] };
            sign(&genesis, &stranger, 1, 100, body)
        };
        assert_eq!((20..60).filter(|seed| rates.admit(&stranger(*seed), 70_000)).count(), 2);
    }
}
