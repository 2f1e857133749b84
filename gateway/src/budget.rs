//! What may be learned: a budget of bits for each field of each record, pooled over all
//! requesters. The ledger's answer entries are the account book, sealed to owner and auditor; this
//! reads it back, keeps the balance, and checks that every entry is right (docs/spec/budget.md).

use std::collections::{BTreeMap, HashMap, HashSet};

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::tagged_hash;
use sealgate_circuits::question::{Item, Operator, Predicate, Shape};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::value::Value;
use sealgate_ledger::account::{AccountSecret, EncryptionKey};
use sealgate_ledger::block::{Block, EntryBody, Outcome};
use sealgate_ledger::codec::{decode, encode};
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{Address, AssetId, TxHash};
use sealgate_ledger::state::SUCCESSIONS_MAX;
use sealgate_ledger::tx::TxBody;
use serde::Serialize;

use crate::envelope::{self, EnvelopeError, Purpose};

mod balance;

pub use balance::{FieldTold, FieldsTold, NEARLY_PERCENT, Spent};

/// Thousandths of a bit.
pub type Millibits = u32;

/// What an answer with two outcomes tells.
const TWO_OUTCOMES: Millibits = 1000;
/// log2(3), rounded up: true, false and null.
const THREE_OUTCOMES: Millibits = 1585;

/// A record in the account book: the same for the same key of the same asset, and unlinkable to
/// the key without the asset's commitment key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Subject(pub [u8; 16]);

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// What is asked of one record: before it is known what of it is new.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyAsk {
    /// The record.
    pub subject: Subject,
    /// Its proven items, in the question's order.
    pub items: Vec<ItemAsk>,
}

/// One proven item.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ItemAsk {
    /// Names predicate, constants and the values of its fields: the same question on unchanged
    /// fields has the same name.
    pub asked: u64,
    /// What its answer tells.
    pub cost: Millibits,
    /// Of which fields.
    pub columns: Vec<u8>,
}

/// A line of the account book: what one answer told of one record
/// (docs/spec/budget.md#the-account-book).
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct KeyCharge {
    /// The record.
    pub subject: Subject,
    /// For each proven item.
    pub items: Vec<ItemCharge>,
}

/// What one item told.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct ItemCharge {
    /// See [`ItemAsk::asked`].
    pub asked: u64,
    /// For each field of the predicate.
    pub columns: Vec<ColumnCharge>,
}

/// What one item told of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct ColumnCharge {
    /// The field.
    pub column: u8,
    /// Charged to the pool of all requesters; 0 if somebody had asked it before.
    pub pool: u16,
    /// Charged to the requester's own share; 0 if this requester had.
    pub own: u16,
    /// All that has been charged to the pool, this included.
    pub total: Millibits,
}

/// Charges as an answer carries them.
#[derive(BorshSerialize, BorshDeserialize)]
struct SealedCharges {
    owner: Vec<u8>,
    auditor: Option<Vec<u8>>,
}

/// Why an answer cannot be charged, or an entry of the book is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// Too little is left.
    #[error("the answer would tell more than the budget leaves")]
    Exhausted,
    /// An answer's charges do not open.
    #[error("the charges of the answer to {request} do not open: {what}")]
    Sealed {
        /// The request.
        request: TxHash,
        /// Why.
        what: String,
    },
    /// An answer's charges are not what its question costs.
    #[error("the charges of the answer to {request} are wrong: {what}")]
    Wrong {
        /// The request.
        request: TxHash,
        /// What is wrong.
        what: String,
    },
}

/// What an answer to a predicate tells: the binary logarithm of the number of its outcomes.
pub fn cost<O>(predicate: &Predicate<O>) -> Millibits {
    let never_null = |operator: Operator| matches!(operator, Operator::IsNull | Operator::IsNotNull);
    if predicate.comparisons.iter().all(|comparison| never_null(comparison.operator)) {
        TWO_OUTCOMES
    } else {
        THREE_OUTCOMES
    }
}

fn columns<O>(predicate: &Predicate<O>) -> Vec<u8> {
    let mut columns: Vec<u8> = predicate.comparisons.iter().map(|comparison| comparison.column).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// What a question asks of one record. `record` is its values, `None` if there is no such record:
/// it is charged alike.
pub fn ask_of(
    commitment_key: &[u8; 32],
    schema: &Schema,
    key: &[Value],
    items: &[Item<Value>],
    record: Option<&[Value]>,
) -> KeyAsk {
    let key_bytes = schema.key_bytes(key).unwrap_or_default();
    let subject = tagged_hash("sealgate/budget-subject/1", &[commitment_key, &key_bytes]);
    let item = |item: &Item<Value>| match item {
        Item::Disclose(_) => None,
        Item::Prove(predicate) => {
            // What the answer depends on: a change of other fields asks nothing new.
            let values = record.map(|values| {
                let value = |column: &u8| values.get(usize::from(*column)).cloned().unwrap_or(Value::Null);
                columns(predicate).iter().map(value).collect::<Vec<_>>()
            });
            let (state, predicate_bytes) = (encode(&values), encode(predicate));
            let parts: [&[u8]; 4] = [commitment_key, &subject, &state, &predicate_bytes];
            let name = tagged_hash("sealgate/budget-asked/1", &parts);
            let mut asked = [0; 8];
            asked.iter_mut().zip(name).for_each(|(to, from)| *to = from);
            let asked = u64::from_le_bytes(asked);
            Some(ItemAsk { asked, cost: cost(predicate), columns: columns(predicate) })
        }
    };
    let mut id = [0; 16];
    id.iter_mut().zip(subject).for_each(|(to, from)| *to = from);
    KeyAsk { subject: Subject(id), items: items.iter().filter_map(item).collect() }
}

/// Seals an answer's charges to the owner and, if there is one, the auditor; nothing for an answer
/// that proves nothing.
///
/// # Errors
/// [`EnvelopeError`] for a key that is none.
pub fn seal(
    charges: &[KeyCharge],
    request: &TxHash,
    owner: &EncryptionKey,
    auditor: Option<&EncryptionKey>,
) -> Result<Vec<u8>, EnvelopeError> {
    if charges.iter().all(|charge| charge.items.is_empty()) {
        return Ok(Vec::new());
    }
    let message = encode(&charges.to_vec());
    let seal_to = |key: &EncryptionKey| envelope::seal_unpadded(key, purpose(request), &message);
    let sealed = SealedCharges { owner: seal_to(owner)?, auditor: auditor.map(seal_to).transpose()? };
    Ok(encode(&sealed))
}

fn purpose(request: &TxHash) -> Purpose<'_> {
    Purpose { info: "sealgate/charges/1", associated: &request.0 }
}

/// Who reads the book: the owner its own copy, the auditor the other.
pub struct Reader<'a> {
    /// The reader's account.
    pub account: &'a AccountSecret,
    /// Accounts that it replaced: what was sealed to them opens with their keys alone.
    pub earlier: &'a [AccountSecret],
    /// Whether it is the ledger's auditor rather than an owner.
    pub auditor: bool,
}

impl Reader<'_> {
    fn open(&self, request: &TxHash, sealed: &[u8]) -> Result<Vec<KeyCharge>, BudgetError> {
        let wrong = |what: String| BudgetError::Sealed { request: *request, what };
        if sealed.is_empty() {
            return Ok(Vec::new());
        }
        let sealed: SealedCharges = decode("sealed charges", sealed).map_err(|error| wrong(error.to_string()))?;
        let copy = match (self.auditor, &sealed.auditor) {
            (false, _) => &sealed.owner,
            (true, Some(copy)) => copy,
            (true, None) => return Err(wrong("there is no copy for the auditor".into())),
        };
        let open = |account: &AccountSecret| envelope::open_unpadded(account, purpose(request), copy);
        let message = open(self.account)
            .or_else(|error| self.earlier.iter().find_map(|earlier| open(earlier).ok()).ok_or(error))
            .map_err(|error| wrong(error.to_string()))?;
        decode("charges", &message).map_err(|error| wrong(error.to_string()))
    }
}

/// What has been told of one record.
#[derive(Debug, Default, Clone)]
struct Told {
    pool: BTreeMap<u8, Millibits>,
    own: BTreeMap<(Address, u8), Millibits>,
    asked: HashSet<u64>,
    asked_by: HashSet<(Address, u64)>,
}

impl Told {
    /// What the items cost now, and the record with them told.
    fn charge(&mut self, requester: Address, items: &[ItemAsk]) -> Vec<ItemCharge> {
        let mut charges = Vec::new();
        for item in items {
            let pool = if self.asked.insert(item.asked) { item.cost } else { 0 };
            let own = if self.asked_by.insert((requester, item.asked)) { item.cost } else { 0 };
            let column = |column: &u8| {
                let total = self.pool.entry(*column).or_default();
                *total = total.saturating_add(pool);
                let share = self.own.entry((requester, *column)).or_default();
                *share = share.saturating_add(own);
                let fits = |millibits| u16::try_from(millibits).unwrap_or(u16::MAX);
                ColumnCharge { column: *column, pool: fits(pool), own: fits(own), total: *total }
            };
            charges.push(ItemCharge { asked: item.asked, columns: item.columns.iter().map(column).collect() });
        }
        charges
    }

    /// Whether charges that are told take a requester over its share. A share may have been
    /// larger once: what costs nothing is not held against it.
    fn over_share(&self, requester: Address, share: Option<u16>, charges: &[ItemCharge]) -> bool {
        let Some(bits) = share else { return false };
        let spent = |column| self.own.get(&(requester, column)).copied().unwrap_or_default();
        let costs = charges.iter().flat_map(|item| &item.columns).filter(|charge| charge.own > 0);
        costs.into_iter().any(|charge| spent(charge.column) > Millibits::from(bits) * 1000)
    }

    /// Whether what was just charged of a column is within budget and share. What is new to this
    /// requester must have room in the pool even if others have asked it before, or the answer
    /// would tell that they have; what it has been told already is always allowed.
    fn allows(
        &self,
        requester: Address,
        share: Option<u16>,
        item: &ItemAsk,
        charge: &ColumnCharge,
        budgets: &[u16],
    ) -> bool {
        if charge.own == 0 {
            return true;
        }
        let unpaid = if charge.pool == 0 { item.cost } else { 0 };
        let pool = self.pool.get(&charge.column).copied().unwrap_or(0).saturating_add(unpaid);
        let own = self.own.get(&(requester, charge.column)).copied().unwrap_or(0);
        pool <= budget_of(budgets, charge.column) && share.is_none_or(|bits| own <= Millibits::from(bits) * 1000)
    }
}

/// An asset's rules, as registered.
struct Rules {
    owner: Address,
    name: String,
    schema: Schema,
    budgets: Vec<u16>,
}

/// A granted request that has not been answered yet.
struct Open {
    asset: AssetId,
    sender: Address,
    shape: Shape,
    /// Bits that the grant leaves its sender.
    share: Option<u16>,
}

/// The balance of a ledger's account book.
#[derive(Default)]
pub struct Book {
    assets: HashMap<AssetId, Rules>,
    /// What each grant leaves its account, if it says.
    shares: HashMap<(AssetId, Address), Option<u16>>,
    /// Which account each one succeeds.
    succeeds: HashMap<Address, Address>,
    open: HashMap<TxHash, Open>,
    told: HashMap<AssetId, HashMap<Subject, Told>>,
    /// Charged, but not on the ledger yet: counts against budgets, and makes nothing free.
    pending: HashMap<TxHash, (AssetId, Address, Vec<KeyAsk>)>,
}

/// What reading blocks came to.
#[derive(Debug, Default)]
pub struct Checked {
    /// Answers whose charges are right.
    pub answers: u64,
    /// Those whose are not, with their assets.
    pub wrong: Vec<(AssetId, BudgetError)>,
}

impl Checked {
    /// With what reading more came to.
    pub fn add(&mut self, more: Checked) {
        self.answers += more.answers;
        self.wrong.extend(more.wrong);
    }
}

impl Book {
    /// Reads a block: follows registrations and requests, and checks and books the charges of
    /// answers that `reader` can open. Entries that do not open, or are not what the rules make of
    /// them, are noted in what it returns, and the reading goes on.
    pub fn read(&mut self, genesis: &Genesis, reader: &Reader<'_>, block: &Block) -> Checked {
        let mut checked = Checked::default();
        for entry in &block.entries {
            let (tx, outcome) = match &entry.body {
                EntryBody::Transaction { tx, outcome } => (tx, outcome),
                EntryBody::Unanswered { request } => {
                    self.open.remove(request);
                    continue;
                }
            };
            match (&tx.tx.body, outcome) {
                (TxBody::RegisterAsset { name, schema, budgets, .. }, _) => {
                    let id = AssetId::of(&genesis.chain_id(), &tx.tx.sender, name);
                    let (name, schema, budgets) = (name.clone(), schema.clone(), budgets.clone());
                    self.assets.insert(id, Rules { owner: tx.tx.sender, name, schema, budgets });
                }
                (TxBody::Transfer { asset, to, .. }, _) => {
                    if let Some(rules) = self.assets.get_mut(asset) {
                        rules.owner = *to;
                    }
                }
                (TxBody::ReplaceAccount { successor }, _) => self.succeed(tx.tx.sender, successor.address()),
                (TxBody::Grant { asset, to, terms }, _) => {
                    self.take_back(asset, to);
                    self.shares.insert((*asset, *to), terms.bits);
                }
                (TxBody::Revoke { asset, to }, _) => self.take_back(asset, to),
                (TxBody::Request { asset, shape, .. }, Outcome::Granted { .. }) => {
                    let (sender, shape) = (tx.tx.sender, shape.clone());
                    let share = self.holders(&sender).find_map(|holder| self.shares.get(&(*asset, holder))).copied();
                    let share = share.flatten();
                    let open = Open { asset: *asset, sender, shape, share };
                    self.open.insert(tx.hash(), open);
                }
                (TxBody::Decline { request, .. }, _) => {
                    self.open.remove(request);
                }
                (TxBody::Answer { request, charges, .. }, _) => {
                    let Some(open) = self.open.remove(request) else { continue };
                    let owner = self.assets.get(&open.asset).map(|rules| rules.owner);
                    if reader.auditor || owner == Some(reader.account.address()) {
                        let opened = reader.open(request, charges);
                        match opened.and_then(|charges| self.check(request, &open, &charges)) {
                            Ok(()) => checked.answers += 1,
                            Err(error) => checked.wrong.push((open.asset, error)),
                        }
                    }
                }
                _ => {}
            }
        }
        checked
    }

    /// Whose grants hold for an account, by the contract's rule: its own, then those of the accounts that
    /// it succeeds, the nearest first.
    fn holders(&self, account: &Address) -> impl Iterator<Item = Address> {
        std::iter::successors(Some(*account), |last| self.succeeds.get(last).copied()).take(1 + SUCCESSIONS_MAX)
    }

    /// Forgets what holds for an account on an asset, as the contract does.
    fn take_back(&mut self, asset: &AssetId, account: &Address) {
        for holder in self.holders(account).collect::<Vec<_>>() {
            self.shares.remove(&(*asset, holder));
        }
    }

    /// What an account was told, its successor has been told.
    fn succeed(&mut self, from: Address, to: Address) {
        self.succeeds.insert(to, from);
        for told in self.told.values_mut().flat_map(HashMap::values_mut) {
            let own: Vec<_> = told.own.extract_if(.., |(who, _), _| *who == from).collect();
            told.own.extend(own.into_iter().map(|((_, column), bits)| ((to, column), bits)));
            let asked: Vec<_> = told.asked_by.extract_if(|(who, _)| *who == from).collect();
            told.asked_by.extend(asked.into_iter().map(|(_, asked)| (to, asked)));
        }
    }

    /// Checks an answer's charges against its request's shape and the balance, and books them
    /// (docs/spec/budget.md#what-can-be-checked).
    fn check(&mut self, request: &TxHash, open: &Open, charges: &[KeyCharge]) -> Result<(), BudgetError> {
        let wrong = |what: &str| BudgetError::Wrong { request: *request, what: what.into() };
        let predicates: Vec<&Predicate> = open
            .shape
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Disclose(_) => None,
                Item::Prove(predicate) => Some(predicate),
            })
            .collect();
        let keys = if predicates.is_empty() { 0 } else { usize::from(open.shape.keys) };
        if charges.len() != keys {
            return Err(wrong("they are not of as many keys as were asked about"));
        }
        for charge in charges {
            if charge.items.len() != predicates.len() {
                return Err(wrong("they are not of as many predicates as were asked"));
            }
            let ask = |(item, predicate): (&ItemCharge, &&Predicate)| ItemAsk {
                asked: item.asked,
                cost: cost(predicate),
                columns: columns(predicate),
            };
            let asks: Vec<ItemAsk> = charge.items.iter().zip(&predicates).map(ask).collect();
            let told = self.told.entry(open.asset).or_default().entry(charge.subject).or_default();
            if told.charge(open.sender, &asks) != charge.items {
                return Err(wrong("they are not what the question costs on top of what was told before"));
            }
            let Some(rules) = self.assets.get(&open.asset) else { continue };
            if over(told, &rules.budgets) {
                return Err(wrong("more was told than the field's budget allows"));
            }
            if told.over_share(open.sender, open.share, &charge.items) {
                return Err(wrong("more was told than the requester's grant allows"));
            }
        }
        Ok(())
    }

    /// What has been told of a record, to be charged tentatively.
    fn told_of(&self, asset: &AssetId, subject: &Subject) -> Told {
        self.told.get(asset).and_then(|records| records.get(subject)).cloned().unwrap_or_default()
    }

    /// Reserves what an answer tells: from here on it counts against the budgets. What it costs
    /// is only settled by [`Book::settle`].
    ///
    /// # Errors
    /// [`BudgetError::Exhausted`] when a field's budget or the requester's share does not reach.
    pub fn reserve(
        &mut self,
        request: &TxHash,
        asset: &AssetId,
        requester: Address,
        share: Option<u16>,
        asks: &[KeyAsk],
    ) -> Result<(), BudgetError> {
        let budgets = self.assets.get(asset).map(|rules| rules.budgets.clone()).unwrap_or_default();
        self.pending.remove(request);
        let mut tentative: HashMap<Subject, Told> = HashMap::new();
        let others = self.pending.values().filter(|(other, ..)| other == asset);
        let mut waiting: HashMap<Subject, Vec<(Address, &ItemAsk)>> = HashMap::new();
        for (_, sender, theirs) in others {
            for ask in theirs {
                waiting.entry(ask.subject).or_default().extend(ask.items.iter().map(|item| (*sender, item)));
            }
        }
        for ask in asks {
            let told = tentative.entry(ask.subject).or_insert_with(|| self.told_of(asset, &ask.subject));
            let charges = told.charge(requester, &ask.items);
            // Others may come first or never: both cases must stay within the budget.
            for (sender, item) in waiting.get(&ask.subject).into_iter().flatten() {
                told.charge(*sender, std::slice::from_ref(*item));
            }
            for (item, charge) in ask.items.iter().zip(&charges) {
                if !charge.columns.iter().all(|column| told.allows(requester, share, item, column, &budgets)) {
                    return Err(BudgetError::Exhausted);
                }
            }
        }
        self.pending.insert(*request, (*asset, requester, asks.to_vec()));
        Ok(())
    }

    /// The charges of a reserved answer, which from now on are told. The caller holds the book
    /// until the ledger has recorded the answer: charges build on each other in its order.
    pub fn settle(&self, request: &TxHash) -> Vec<KeyCharge> {
        let Some((asset, requester, asks)) = self.pending.get(request) else { return Vec::new() };
        let mut tentative: HashMap<Subject, Told> = HashMap::new();
        let mut charges = Vec::new();
        for ask in asks.iter().filter(|ask| !ask.items.is_empty()) {
            let told = tentative.entry(ask.subject).or_insert_with(|| self.told_of(asset, &ask.subject));
            charges.push(KeyCharge { subject: ask.subject, items: told.charge(*requester, &ask.items) });
        }
        charges
    }

    /// Books what the ledger has recorded as told.
    pub fn told(&mut self, request: &TxHash) {
        let Some((asset, requester, asks)) = self.pending.remove(request) else { return };
        self.open.remove(request);
        for ask in asks.iter().filter(|ask| !ask.items.is_empty()) {
            let told = self.told.entry(asset).or_default().entry(ask.subject).or_default();
            told.charge(requester, &ask.items);
        }
    }

    /// Forgets a reservation: nothing was told.
    pub fn release(&mut self, request: &TxHash) {
        self.pending.remove(request);
    }

    /// Follows an asset that was registered after the book was opened.
    pub fn know(&mut self, id: AssetId, owner: Address, name: &str, schema: &Schema, budgets: &[u16]) {
        self.assets.entry(id).or_insert_with(|| Rules {
            owner,
            name: name.to_owned(),
            schema: schema.clone(),
            budgets: budgets.to_vec(),
        });
    }

    /// What an asset is called.
    pub fn name(&self, asset: &AssetId) -> Option<&str> {
        self.assets.get(asset).map(|rules| rules.name.as_str())
    }

    /// The assets it knows, with their owners and names.
    pub fn assets(&self) -> impl Iterator<Item = (&AssetId, &Address, &str)> {
        self.assets.iter().map(|(id, rules)| (id, &rules.owner, rules.name.as_str()))
    }
}

fn budget_of(budgets: &[u16], column: u8) -> Millibits {
    budgets.get(usize::from(column)).map_or(0, |bits| Millibits::from(*bits) * 1000)
}

fn over(told: &Told, budgets: &[u16]) -> bool {
    told.pool.iter().any(|(column, spent)| *spent > budget_of(budgets, *column))
}
