//! What a book of charges says, for people and machines: by record, most first, and by field.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use sealgate_ledger::ids::{Address, AssetId};
use serde::Serialize;

use super::{Book, Millibits, Rules, Subject, Told, budget_of};

/// From which share of a budget on a field counts as nearly told, in percent.
pub const NEARLY_PERCENT: u64 = 75;

/// What has been told of one field, all records together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldTold {
    /// Records of which anything was told.
    pub records: u64,
    /// Those of which [`NEARLY_PERCENT`] of the budget or more was told.
    pub nearly: u64,
    /// What was told of the record that most was told of, in thousandths of a bit.
    pub most: Millibits,
    /// The same of what each requester was told.
    pub most_by: BTreeMap<Address, Millibits>,
}

/// What has been told of an asset's fields, by their positions.
pub type FieldsTold = BTreeMap<u8, FieldTold>;

/// What one record's field has told, for people and machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// The asset's name.
    pub asset: String,
    /// The asset.
    pub asset_id: AssetId,
    /// The record.
    pub subject: Subject,
    /// The field.
    pub column: String,
    /// Charged to the pool, in thousandths of a bit.
    pub millibits: Millibits,
    /// Its budget, likewise.
    pub budget_millibits: Millibits,
    /// Of which each requester was told, in the order of addresses. What several were told counts
    /// once in the pool.
    pub requesters: Vec<(Address, Millibits)>,
}

impl Book {
    /// What has been told, of each record and field, most first.
    pub fn spent(&self) -> Vec<Spent> {
        self.most_told(|_| true, usize::MAX).0
    }

    /// The records' fields of which most has been told among those of the wanted assets, most first, at most
    /// `most`; and how many there are.
    pub fn most_told(&self, wanted: impl Fn(&AssetId) -> bool, most: usize) -> (Vec<Spent>, usize) {
        let mut found: Vec<Balance<'_>> = Vec::new();
        for (id, records) in self.told.iter().filter(|(id, _)| wanted(id)) {
            let Some(rules) = self.assets.get(id) else { continue };
            for (subject, told) in records {
                let pool = told.pool.iter().map(|(column, millibits)| (*column, *millibits));
                found.extend(pool.map(|(column, millibits)| Balance { id, subject, told, rules, column, millibits }));
            }
        }
        let all = found.len();
        if most < all {
            found.select_nth_unstable_by(most, Balance::most_first);
            found.truncate(most);
        }
        found.sort_unstable_by(Balance::most_first);
        (found.iter().map(Balance::spent).collect(), all)
    }

    /// What has been told of each field of an asset.
    pub fn fields(&self, asset: &AssetId) -> FieldsTold {
        let mut fields = FieldsTold::new();
        let (Some(rules), Some(records)) = (self.assets.get(asset), self.told.get(asset)) else { return fields };
        for told in records.values() {
            for (column, millibits) in &told.pool {
                let field = fields.entry(*column).or_default();
                let budget = u64::from(budget_of(&rules.budgets, *column));
                field.records += 1;
                field.nearly += u64::from(u64::from(*millibits) * 100 >= budget * NEARLY_PERCENT);
                field.most = field.most.max(*millibits);
            }
            for ((who, column), own) in told.own.iter().filter(|(_, own)| **own > 0) {
                let most = fields.entry(*column).or_default().most_by.entry(*who).or_default();
                *most = (*most).max(*own);
            }
        }
        fields
    }

    /// Whether another book says the same of every record.
    pub fn agrees_with(&self, other: &Book) -> bool {
        let same = |records: &HashMap<Subject, Told>, others: &HashMap<Subject, Told>| {
            let pool = |of: &Subject| others.get(of).map(|told| &told.pool);
            records.len() == others.len() && records.iter().all(|(of, told)| pool(of) == Some(&told.pool))
        };
        self.told.len() == other.told.len()
            && self
                .told
                .iter()
                .all(|(asset, records)| other.told.get(asset).is_some_and(|others| same(records, others)))
    }
}

/// What has been told of one record's field, as it lies in a book.
struct Balance<'a> {
    id: &'a AssetId,
    subject: &'a Subject,
    told: &'a Told,
    rules: &'a Rules,
    column: u8,
    millibits: Millibits,
}

impl Balance<'_> {
    fn name(&self) -> &str {
        self.rules.schema.at(self.column).map_or("", |column| &column.name)
    }

    /// What orders fields of which as much was told.
    fn place(&self) -> (&str, &Subject, &str) {
        (&self.rules.name, self.subject, self.name())
    }

    fn most_first(&self, other: &Self) -> Ordering {
        other.millibits.cmp(&self.millibits).then_with(|| self.place().cmp(&other.place()))
    }

    fn spent(&self) -> Spent {
        let own = self.told.own.iter().filter(|((_, of), spent)| *of == self.column && **spent > 0);
        Spent {
            asset: self.rules.name.clone(),
            asset_id: *self.id,
            subject: *self.subject,
            column: self.name().to_owned(),
            millibits: self.millibits,
            budget_millibits: budget_of(&self.rules.budgets, self.column),
            requesters: own.map(|((who, _), spent)| (*who, *spent)).collect(),
        }
    }
}
