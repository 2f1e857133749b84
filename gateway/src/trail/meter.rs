//! Metering: what each account asked and got, by purpose and asset (docs/spec/trail.md#metering).

use std::collections::BTreeMap;

use sealgate_ledger::ids::{Address, AssetId};
use serde::Serialize;

use super::{Became, Kind, Line};

/// Counts of requests, of keys, and of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Those that the contract granted: answered, delivered, declined, unanswered and open ones.
    pub granted: u64,
    /// Granted and answered.
    pub answered: u64,
    /// Granted and delivered: whole columns, files and samples.
    pub delivered: u64,
    /// Denied by the contract.
    pub denied: u64,
    /// Granted, and declined by the owner.
    pub declined: u64,
    /// Granted, and not answered in time.
    pub unanswered: u64,
    /// Granted, and the answer is awaited.
    pub open: u64,
    /// Keys of all questions.
    pub keys_asked: u64,
    /// Keys of the answered ones, each time counted, whether or not there was a record.
    pub keys: u64,
    /// Bytes of the sealed answers, and of all ciphertext that was delivered.
    pub bytes: u64,
}

impl Counts {
    fn add(&mut self, line: &Line) {
        let keys = if line.kind == Kind::Question { u64::from(line.keys) } else { 0 };
        self.requests += 1;
        self.keys_asked += keys;
        self.bytes += line.bytes();
        self.granted += u64::from(line.outcome != Became::Denied);
        match line.outcome {
            Became::Denied => self.denied += 1,
            Became::Open => self.open += 1,
            Became::Declined => self.declined += 1,
            Became::Unanswered => self.unanswered += 1,
            Became::Delivered => self.delivered += 1,
            Became::Answered => {
                self.answered += 1;
                self.keys += keys;
            }
        }
    }
}

/// What an account asked of an asset for a purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Metered {
    /// The account.
    pub requester: Address,
    /// What it calls itself.
    pub name: String,
    /// The asset.
    pub asset: AssetId,
    /// Its name.
    pub asset_name: String,
    /// The asset's owner.
    pub owner: Address,
    /// The purpose.
    pub purpose: String,
    /// How much.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Counts lines by account, asset and purpose, in this order; and all together.
pub fn meter(lines: &[Line]) -> (Vec<Metered>, Counts) {
    let mut total = Counts::default();
    let mut by: BTreeMap<(Address, AssetId, &str), Metered> = BTreeMap::new();
    for line in lines {
        total.add(line);
        let metered = by.entry((line.requester, line.asset, &line.purpose)).or_insert_with(|| Metered {
            requester: line.requester,
            name: line.name.clone(),
            asset: line.asset,
            asset_name: line.asset_name.clone(),
            owner: line.owner,
            purpose: line.purpose.clone(),
            counts: Counts::default(),
        });
        metered.counts.add(line);
    }
    (by.into_values().collect(), total)
}
