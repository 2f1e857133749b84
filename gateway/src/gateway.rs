//! The serving side: answers questions about an owner's assets. Everything that can refuse has
//! refused before a key is looked up, but for the budget, which must know the record's state and
//! refuses whatever its values; and an answer is durable and recorded before it is released
//! (docs/spec/messages.md#life-of-a-request).

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::{Context, ProofBytes};
use sealgate_circuits::evidence::{Evidence, Present, Shown};
use sealgate_circuits::prover::ProvingKey;
use sealgate_circuits::question::{Form, Item};
use sealgate_circuits::record::{RecordHasher, Salt};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::statement::{Circuit, Statement, answers};
use sealgate_circuits::value::Value;
use sealgate_circuits::verifier::VerifyingKey;
use sealgate_ledger::block::{Outcome, Receipt};
use sealgate_ledger::ids::{Address, AssetId, Digest, TxHash};
use sealgate_ledger::standing::SignedHead;
use sealgate_ledger::state::{AssetView, Rejection, RequestStatus, RequestView};
use sealgate_ledger::tx::{DeclineReason, SignedTx, TxBody};
use sealgate_ledger::{Ledger, LedgerError, SubmitError};
use sealgate_ods::table::{Lookup, SealedTable};
use sealgate_ods::{AssetKeys, VersionRef};
use tokio::sync::{Mutex, Semaphore};

use crate::auditing::read_book;
use crate::budget::{self, Book, BudgetError, FieldsTold, KeyAsk, Reader, Spent};
use crate::delivery::release::Deliveries;
use crate::envelope::{self, EnvelopeError};
use crate::files::{FileError, read_bounded, write_private};
use crate::messages::{
    AskProgress, AskRequest, AskResponse, LedgerProofs, SecretAnswer, SecretQuestion, answer_purpose, context,
    question_purpose, sealed_bytes, sealed_digest,
};
use crate::nodes::OwnNode;
use crate::opened::Opened;
use crate::owner::{Owner, OwnerError, label, signed};
use crate::parameters::ParameterError;
use crate::relay::{self, RelayError};
use crate::syncing::LastSyncs;
use crate::turns::{NoPlace, Place, Places, Reads};
use crate::witness::pushing::Cosigned;

/// Proofs of one request that are made before others have their turn.
const PROOFS_AT_ONCE: usize = 16;
/// Requests that wait at the same time for this node to catch up with another.
const CATCHING_UP_MAX: usize = 16;
/// Sealed tables kept open.
const TABLES_MAX: usize = 64;

/// An owner's ledger, keys and tables, ready to answer.
pub struct Gateway {
    owner: Owner,
    ledger: Ledger,
    node: OwnNode,
    keys: HashMap<Circuit, (ProvingKey, VerifyingKey)>,
    tables: Opened<SealedTable>,
    /// One lock for each request being answered, so that it is answered once.
    answering: StdMutex<HashMap<TxHash, Arc<Turns>>>,
    /// What has been told of which record. Held while an answer is recorded: its charges build on
    /// those before.
    book: Mutex<Book>,
    provers: Semaphore,
    reads: Arc<Reads>,
    /// Questions that are being answered or wait for a prover.
    waiting: Places,
    /// Requests that wait for this node to know what they build on.
    catching_up: Places,
    proofs_made: AtomicU64,
    declined: AtomicU64,
    deliveries: Deliveries,
    cosigned: Cosigned,
    syncs: LastSyncs,
}

/// How often the record of an answer is submitted again where the ledger takes no more or has not
/// decided, and after how long.
const RECORD_TRIES: u32 = 10;
const RECORD_PAUSE: Duration = Duration::from_secs(1);

/// Why a question gets no answer. The texts are for the requester; what went wrong inside is
/// logged and not told.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The request is malformed: nothing was recorded.
    #[error("{0}")]
    Malformed(String),
    /// The ledger refuses the transaction.
    #[error("the ledger refused the request: {0}")]
    Refused(#[from] SubmitError),
    /// There is no such asset, or it is another owner's on a ledger that is not shared.
    #[error("this gateway answers for no asset {0}")]
    NotServed(AssetId),
    /// The asset is another member's, whose gateway gave no answer.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// Too many questions wait.
    #[error("too many questions are waiting; try again in a few seconds (nothing was recorded)")]
    Busy,
    /// Too many of this account's do.
    #[error(
        "as many questions of this account are waiting as one account may have; try again when one is answered (nothing was recorded)"
    )]
    Share,
    /// The request can no longer be answered.
    #[error("{0}")]
    TooLate(String),
    /// Something failed here. The request stays on the ledger and can be sent again.
    #[error("the gateway could not answer; the request is recorded and may be sent again")]
    Internal(String),
}

/// A question that can be read, about an asset of this owner's or of another member's.
enum Admitted {
    Here(Box<(SignedTx, AssetView, SecretQuestion)>),
    Elsewhere(Box<AssetView>),
}

/// The turns at answering one request, and how far the answer is.
#[derive(Default)]
struct Turns {
    lock: Mutex<()>,
    done: AtomicU64,
    total: AtomicU64,
}

/// What a gateway has to do, and has done since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Questions that are being answered or wait for a prover.
    pub waiting: u64,
    /// Proofs made.
    pub proofs: u64,
    /// Answers refused for want of budget or room.
    pub declined: u64,
    /// Operations that the store of sealed objects failed.
    pub store_errors: u64,
}

/// How a granted request ended: the entry that says so, and the sealed answer if there is one.
struct Concluded {
    entry: u64,
    sealed: Option<Vec<u8>>,
}

/// A sealed answer as it lies on disk until the requester has it, and after.
#[derive(BorshSerialize, BorshDeserialize)]
struct StoredAnswer {
    binding: Digest,
    version: u32,
    /// What it tells, to be charged when it is recorded.
    asks: Vec<KeyAsk>,
    sealed: Vec<u8>,
}

impl Gateway {
    /// Opens the owner's ledger and proving keys.
    ///
    /// # Errors
    /// [`OwnerError`], in particular when another process serves from the folder.
    pub fn open(owner: Owner) -> Result<Gateway, OwnerError> {
        owner.keys()?.check_root()?;
        let (ledger, node) = owner.run_ledger()?;
        let (book, checked) = read_book(&ledger, &Reader { account: owner.account(), earlier: &[], auditor: false })?;
        if let Some((_, error)) = checked.wrong.into_iter().next() {
            return Err(error.into());
        }
        let mut keys = HashMap::new();
        for circuit in Circuit::ALL {
            let pair = owner.parameters().load(circuit, ledger.genesis()).map_err(parameters)?;
            keys.insert(circuit, pair);
        }
        let limits = &owner.config().limits;
        let (reads, waiting) = (Arc::new(Reads::new(limits.reads_waiting)), Places::new(limits.questions_waiting));
        Ok(Gateway {
            owner,
            ledger,
            node,
            keys,
            tables: Opened::new(TABLES_MAX),
            answering: StdMutex::default(),
            book: Mutex::new(book),
            provers: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
            reads,
            waiting,
            catching_up: Places::new(CATCHING_UP_MAX),
            proofs_made: AtomicU64::new(0),
            declined: AtomicU64::new(0),
            deliveries: Deliveries::default(),
            cosigned: Cosigned::default(),
            syncs: LastSyncs::default(),
        })
    }

    /// Makes ready, in the background, the keys that plain questions about the owner's assets need;
    /// others are when they are first used.
    pub fn prepare(&self) {
        let assets = self.ledger.assets().unwrap_or_default();
        let own = assets.iter().filter(|asset| asset.owner == self.owner.account().address());
        let circuits: BTreeSet<Circuit> =
            own.filter_map(|asset| Circuit::for_question(&asset.schema, Form::Slots)).collect();
        for (proving, _) in circuits.iter().filter_map(|circuit| self.keys.get(circuit)) {
            proving.prepare_in_background();
        }
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How this member's node stands.
    pub fn node(&self) -> &OwnNode {
        &self.node
    }

    /// What witnesses have cosigned of the ledger.
    pub fn cosigned(&self) -> &Cosigned {
        &self.cosigned
    }

    /// The owner.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What became of the scheduled syncs.
    pub fn syncs(&self) -> &LastSyncs {
        &self.syncs
    }

    /// What answers have told of an asset's fields.
    pub async fn told(&self, asset: &AssetId) -> FieldsTold {
        self.book.lock().await.fields(asset)
    }

    /// The records' fields of which answers have told most, as [`Book::most_told`] gives them.
    pub async fn most_told(&self, wanted: impl Fn(&AssetId) -> bool, most: usize) -> (Vec<Spent>, usize) {
        self.book.lock().await.most_told(wanted, most)
    }

    /// Whether the balances that it goes by are those of `book`.
    pub async fn agrees_with(&self, book: &Book) -> bool {
        self.book.lock().await.agrees_with(book)
    }

    /// The serialised verifying key of the circuit called `name`.
    pub fn verifying_key(&self, name: &str) -> Option<&[u8]> {
        self.keys.iter().find(|(circuit, _)| circuit.name() == name).map(|(_, (_, key))| key.as_bytes())
    }

    /// Submits a transaction without blocking the runtime.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, tx: SignedTx) -> Result<Receipt, SubmitError> {
        let ledger = self.ledger.clone();
        let begun = tokio::task::spawn_blocking(move || ledger.begin(tx)).await;
        begun.unwrap_or_else(|error| Err(SubmitError::Stopped(error.to_string())))?.receipt().await
    }

    /// Answers a question: records the request, and if it is granted the answer, then releases it.
    /// Sending the same request again gives the same answer. A question about another member's
    /// asset is passed on to that member's gateway, unless it was `passed_on` to this one.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, request: AskRequest, passed_on: bool) -> Result<AskResponse, AskError> {
        let (tx, _place) = self.place_for(&request.transaction, request.seen).await?;
        let (tx, asset, secret) = match self.admit(&request, tx)? {
            Admitted::Here(here) => *here,
            Admitted::Elsewhere(asset) if passed_on => return Err(RelayError::Passed(asset.id).into()),
            Admitted::Elsewhere(asset) => {
                return Ok(relay::pass_on(&self.ledger, &asset.id, &asset.owner, &request).await?);
            }
        };
        let hash = tx.hash();
        let receipt = self.submit(tx).await?;
        let Outcome::Granted { version, .. } = receipt.outcome else {
            self.cosigned.wait(&self.ledger).await;
            return Ok(AskResponse { proofs: self.proofs(request.seen, &[receipt.entry_index])?, sealed: None });
        };
        let turns = Arc::clone(self.answering().entry(hash).or_default());
        let turn = Turn { gateway: self, request: hash, turns };
        let outcome = {
            let _guard = turn.turns.lock.lock().await;
            let concluded = self.answer_once(&hash, &asset, version, &secret, &turn.turns).await;
            // What was not recorded was not told.
            self.book.lock().await.release(&hash);
            concluded
        };
        drop(turn);
        let Concluded { entry: last, sealed } = outcome?;
        self.cosigned.wait(&self.ledger).await;
        let Some(sealed) = sealed else {
            let entries = [receipt.entry_index, last];
            return Ok(AskResponse { proofs: self.proofs(request.seen, &entries)?, sealed: None });
        };
        let version_entry = self.ledger.version(&asset.id, version).map_err(internal)?.map(|view| view.entry_index);
        let entries = [asset.entry_index, version_entry.unwrap_or(asset.entry_index), receipt.entry_index, last];
        Ok(AskResponse { proofs: self.proofs(request.seen, &entries)?, sealed: Some(BASE64.encode(sealed)) })
    }

    /// The transaction of a request, and a place among those that wait, for its sender. Whoever asks may be
    /// anybody: what is not signed by an account takes nobody's place, and what has to wait until this node
    /// knows the account waits elsewhere.
    pub(crate) async fn place_for(&self, transaction: &str, seen: u64) -> Result<(SignedTx, Place<'_>), AskError> {
        let tx = BASE64.decode(transaction).map_err(malformed)?;
        let tx = SignedTx::decode(&tx).map_err(malformed)?;
        let signed = self.check_signature(&tx)?;
        relay::catch_up(&self.ledger, &self.catching_up, &tx, seen).await?;
        if !signed && !self.check_signature(&tx)? {
            return Err(SubmitError::Rejected(Rejection::UnknownSender(tx.tx.sender)).into());
        }
        let place = self.waiting.take(Some(tx.tx.sender))?;
        Ok((tx, place))
    }

    /// Whether a transaction's sender is known and signed it; an error if it is known and did not.
    fn check_signature(&self, tx: &SignedTx) -> Result<bool, AskError> {
        let Some(sender) = self.ledger.account(&tx.tx.sender).map_err(internal)? else { return Ok(false) };
        tx.verify(&sender.account).map_err(|error| SubmitError::Rejected(error.into()))?;
        Ok(true)
    }

    /// The turns at reading.
    pub fn reads(&self) -> &Arc<Reads> {
        &self.reads
    }

    /// Whether the keys of every circuit are loaded.
    pub fn has_parameters(&self) -> bool {
        Circuit::ALL.iter().all(|circuit| self.keys.contains_key(circuit))
    }

    /// What it has to do just now, and has done.
    pub fn work(&self) -> Work {
        Work {
            waiting: self.waiting.count() as u64,
            proofs: self.proofs_made.load(Ordering::Relaxed),
            declined: self.declined.load(Ordering::Relaxed),
            store_errors: self.owner.store().failures(),
        }
    }

    /// What was delivered of late.
    pub(crate) fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    fn answering(&self) -> std::sync::MutexGuard<'_, HashMap<TxHash, Arc<Turns>>> {
        self.answering.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Everything that can be refused from the request alone, whatever the record: asset, question against
    /// shape and commitment. Nothing has been recorded or looked up.
    fn admit(&self, request: &AskRequest, tx: SignedTx) -> Result<Admitted, AskError> {
        let TxBody::Request { asset, shape, commitment, .. } = &tx.tx.body else {
            return Err(malformed("the transaction is no request"));
        };
        let view = self.ledger.asset(asset).map_err(internal)?.ok_or(AskError::NotServed(*asset))?;
        if view.owner != self.owner.account().address() {
            let elsewhere = relay::is_shared(&self.ledger).then(|| Admitted::Elsewhere(Box::new(view)));
            return elsewhere.ok_or(AskError::NotServed(*asset));
        }
        let envelope = BASE64.decode(&request.question).map_err(malformed)?;
        let opened =
            envelope::open(self.owner.account(), question_purpose(&tx.hash()), &envelope).map_err(malformed)?;
        let secret: SecretQuestion = sealgate_ledger::codec::decode("question", &opened).map_err(malformed)?;
        if secret.question.shape != *shape {
            return Err(malformed("the question has another shape than the request"));
        }
        if secret.commitment() != *commitment {
            return Err(malformed("the request commits to another question"));
        }
        secret.question.validate(&view.schema).map_err(malformed)?;
        self.check_seen(request.seen)?;
        Ok(Admitted::Here(Box::new((tx, view, secret))))
    }

    /// Whether an account may still be given what was granted to it.
    pub(crate) fn is_open(&self, account: &Address) -> Result<bool, AskError> {
        let account = self.ledger.account(account).map_err(internal)?;
        Ok(account.is_some_and(|account| account.closed.is_none()))
    }

    /// The stored answer of a granted request, made now if there is none, and its entry. The
    /// caller holds the request's lock.
    async fn answer_once(
        &self,
        request: &TxHash,
        asset: &AssetView,
        version: u32,
        secret: &SecretQuestion,
        turns: &Turns,
    ) -> Result<Concluded, AskError> {
        let view = self.ledger.request(request).map_err(internal)?;
        let view = view.ok_or_else(|| internal("the request has vanished"))?;
        // Its keys may be in other hands: what was answered before is not given again either.
        if !self.is_open(&view.sender)? {
            return Err(AskError::TooLate("nothing is released: the account that asked was closed".into()));
        }
        match view.status {
            RequestStatus::Answered { entry_index, .. } => {
                Ok(Concluded { entry: entry_index, sealed: Some(self.stored(request)?.sealed) })
            }
            RequestStatus::Declined { entry_index, .. } => Ok(Concluded { entry: entry_index, sealed: None }),
            RequestStatus::Unanswered { height } => {
                let why = format!(
                    "the request was not answered in time, says block {height}; its quota has returned: ask again"
                );
                Err(AskError::TooLate(why))
            }
            RequestStatus::Denied { .. } => Err(internal("a denied request came to be answered")),
            RequestStatus::Delivered { .. } => Err(internal("a delivery came to be answered")),
            // What the contract would refuse to record is not looked up either.
            RequestStatus::Granted { .. } => {
                let grant = self.ledger.grant(&view.asset, &view.sender).map_err(internal)?;
                let standing = grant.filter(|grant| Some(grant.granted_by) == view.grant);
                let Some(grant) = standing else {
                    return Err(AskError::TooLate(
                        "the answer is not released: the grant was withdrawn or replaced".into(),
                    ));
                };
                self.conclude(&Case { request, view: &view, asset, version, share: grant.terms.bits }, secret, turns)
                    .await
            }
        }
    }

    /// Makes the answer, or takes the one that was made before, charges it, and records it; or
    /// records that the budget does not reach.
    async fn conclude(&self, case: &Case<'_>, secret: &SecretQuestion, turns: &Turns) -> Result<Concluded, AskError> {
        let path = self.answer_path(case.request);
        let stored = if path.exists() {
            let stored = self.stored(case.request)?;
            self.reserve(case, &stored.asks).await.map(|()| stored).map_err(|_| DeclineReason::Budget)
        } else {
            self.make(case, secret, turns).await?
        };
        let stored = match stored {
            Ok(stored) => stored,
            Err(reason) => {
                // An answer that was made and cannot be released any more is of no use to anybody.
                let _ = std::fs::remove_file(&path);
                let receipt = self.record(TxBody::Decline { request: *case.request, reason }).await?;
                self.declined.fetch_add(1, Ordering::Relaxed);
                return Ok(Concluded { entry: receipt.entry_index, sealed: None });
            }
        };
        if stored.asks.iter().all(|ask| ask.items.is_empty()) {
            let receipt = self.record_answer(case, &stored, Vec::new()).await?;
            return Ok(Concluded { entry: receipt.entry_index, sealed: Some(stored.sealed) });
        }
        let mut book = self.book.lock().await;
        let policy = self.ledger.policy().map_err(internal)?;
        let auditor = policy.auditor.as_ref().map(|auditor| &auditor.encryption_key);
        let owner = &self.owner.account().public().encryption_key;
        let charges = budget::seal(&book.settle(case.request), case.request, owner, auditor).map_err(internal)?;
        let receipt = self.record_answer(case, &stored, charges).await?;
        book.told(case.request);
        Ok(Concluded { entry: receipt.entry_index, sealed: Some(stored.sealed) })
    }

    async fn record_answer(
        &self,
        case: &Case<'_>,
        stored: &StoredAnswer,
        charges: Vec<u8>,
    ) -> Result<Receipt, AskError> {
        let (request, version, binding) = (*case.request, stored.version, stored.binding);
        let (sealed, bytes) = (sealed_digest(&stored.sealed), sealed_bytes(&stored.sealed));
        self.record(TxBody::Answer { request, version, binding, sealed, bytes, charges }).await
    }

    /// Records what ends a request, patiently.
    pub(crate) async fn record(&self, body: TxBody) -> Result<Receipt, AskError> {
        let tx =
            signed(self.ledger.genesis(), self.ledger.head().height, self.owner.account(), body).map_err(internal)?;
        let mut tries = 0;
        loop {
            match self.submit(tx.clone()).await {
                // Other members are slow to decide: the same transaction again, not another one.
                Err(SubmitError::Undecided | SubmitError::TooFast(_) | SubmitError::Busy) if tries < RECORD_TRIES => {
                    tries += 1;
                    tokio::time::sleep(RECORD_PAUSE).await;
                }
                Err(SubmitError::Rejected(why)) => {
                    return Err(AskError::TooLate(format!("the answer is not released: {why}")));
                }
                other => return other.map_err(internal),
            }
        }
    }

    async fn reserve(&self, case: &Case<'_>, asks: &[KeyAsk]) -> Result<(), BudgetError> {
        let mut book = self.book.lock().await;
        let AssetView { id, owner, name, schema, budgets, .. } = case.asset;
        book.know(*id, *owner, name, schema, budgets);
        book.reserve(case.request, id, case.view.sender, case.share, asks)
    }

    /// Looks the records up, charges, proves, checks the proofs with the other implementation,
    /// seals, and stores durably. The inner error says why the request is to be declined.
    async fn make(
        &self,
        case: &Case<'_>,
        secret: &SecretQuestion,
        turns: &Turns,
    ) -> Result<Result<StoredAnswer, DeclineReason>, AskError> {
        let Case { request, asset, version, .. } = case;
        let requester = self.ledger.account(&case.view.sender).map_err(internal)?;
        let requester = requester.ok_or_else(|| internal("the requester has vanished"))?;
        turns.done.store(0, Ordering::Relaxed);
        turns.total.store(secret.question.keys.len() as u64, Ordering::Relaxed);
        let table = self.table(asset, *version).await.map_err(internal)?;
        let items = secret.question.items().map_err(internal)?;
        let keys = self.owner.asset_keys(&asset.id).map_err(internal)?;
        let (mut lookups, mut asks) = (Vec::new(), Vec::new());
        for key in &secret.question.keys {
            let lookup = table.lookup(key).await.map_err(internal)?;
            let record = lookup.record.as_ref().map(|record| record.values.as_slice());
            asks.push(budget::ask_of(keys.commitment_key(), &asset.schema, key, &items, record));
            lookups.push(lookup);
        }
        if self.reserve(case, &asks).await.is_err() {
            return Ok(Err(DeclineReason::Budget));
        }
        let form = secret.question.shape.form(&asset.schema).map_err(internal)?;
        let circuit = Circuit::for_question(&asset.schema, form);
        let context = context(&self.ledger.genesis().chain_id(), request, *version);
        let asked = Asked { schema: &asset.schema, items: &items, circuit, context: &context };
        let mut evidence = Vec::with_capacity(lookups.len());
        let mut lookups = lookups.into_iter().peekable();
        while lookups.peek().is_some() {
            // Some at a time: between them others have their turn.
            let _prover = self.provers.acquire().await.map_err(internal)?;
            let some: Vec<Lookup> = lookups.by_ref().take(PROOFS_AT_ONCE).collect();
            evidence.extend(tokio::task::block_in_place(|| self.prove_all(&asked, some, turns))?);
        }
        let answer = SecretAnswer { request: **request, version: *version, evidence };
        let message = sealgate_ledger::codec::encode(&answer);
        // The envelope's length is on the ledger: absent records count as records of nulls do.
        let absent = answer.evidence.iter().filter(|one| one.present.is_none()).count();
        let bytes = message.len() + absent * null_bytes(&asked)?;
        let to = &requester.account.encryption_key;
        let sealed = match envelope::seal_as(to, answer_purpose(request), &message, bytes) {
            Ok(sealed) => sealed,
            Err(EnvelopeError::TooLong(_)) => return Ok(Err(DeclineReason::TooLarge)),
            Err(error) => return Err(internal(error)),
        };
        let stored = StoredAnswer { binding: answer.binding(secret), version: *version, asks, sealed };
        let path = self.answer_path(request);
        write_private(&path, &sealgate_ledger::codec::encode(&stored), false)
            .map_err(FileError::io(&path))
            .map_err(internal)?;
        Ok(Ok(stored))
    }

    /// Shows many records, as many at a time as there are provers free besides the caller's own.
    ///
    /// On threads of their own: a rayon worker that waits for a part of one proof would take up the
    /// next record, within it the one after, and so on until its stack ends.
    fn prove_all(&self, asked: &Asked<'_>, lookups: Vec<Lookup>, turns: &Turns) -> Result<Vec<Evidence>, AskError> {
        let more = (1..lookups.len()).map_while(|_| self.provers.try_acquire().ok()).collect::<Vec<_>>();
        let waiting = StdMutex::new(lookups.into_iter().enumerate());
        let next = || waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
        let lane = || {
            let mut shown = Vec::new();
            while let Some((index, lookup)) = next() {
                shown.push((index, self.prove(asked, lookup)?));
                turns.done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, AskError>(shown)
        };
        let mut shown = std::thread::scope(|scope| {
            let others: Vec<_> = more.iter().map(|_| scope.spawn(lane)).collect();
            let mut shown: Vec<(usize, Evidence)> = lane()?;
            for other in others {
                shown.extend(other.join().map_err(|_| internal("a prover panicked"))??);
            }
            Ok::<_, AskError>(shown)
        })?;
        shown.sort_by_key(|(index, _)| *index);
        Ok(shown.into_iter().map(|(_, evidence)| evidence).collect())
    }

    /// Shows what there is to show of one record. Where there is none, the same work is done for a
    /// record of nulls and thrown away, so that time tells nothing.
    fn prove(&self, asked: &Asked<'_>, lookup: Lookup) -> Result<Evidence, AskError> {
        let Asked { schema, items, .. } = asked;
        let (values, salt, commitment) = match &lookup.record {
            Some(record) => (record.values.clone(), record.salt.clone(), record.commitment),
            None => {
                let values = vec![Value::Null; schema.columns.len()];
                let salt = Salt::derive(&[0; 32], b"no record", 0);
                let commitment = RecordHasher::new(schema).commit(&values, &salt).map_err(internal)?;
                (values, salt, commitment)
            }
        };
        let answers = answers(items, &values).map_err(internal)?;
        let shown = match asked.circuit {
            None => Shown::Opening(salt),
            Some(circuit) => {
                let (proving, verifying) =
                    self.keys.get(&circuit).ok_or_else(|| internal("no keys for the circuit"))?;
                let statement =
                    Statement::new(circuit, schema, items, &answers, &commitment, asked.context).map_err(internal)?;
                let proof = proving.prove(schema, &statement, &values, &salt).map_err(internal)?;
                verifying.verify(&statement, &proof).map_err(internal)?;
                self.proofs_made.fetch_add(1, Ordering::Relaxed);
                Shown::Proof(proof)
            }
        };
        let present = lookup.record.is_some().then_some(Present { answers, shown });
        Ok(Evidence { place_proof: lookup.place_proof, path: lookup.path, present })
    }

    /// How far the answer to a request is, while it is being made.
    pub fn progress(&self, request: &TxHash) -> Option<AskProgress> {
        let turns = Arc::clone(self.answering().get(request)?);
        let (done, total) = (turns.done.load(Ordering::Relaxed), turns.total.load(Ordering::Relaxed));
        (total > 0).then_some(AskProgress { done, total })
    }

    /// A version's sealed table.
    pub(crate) async fn table(&self, asset: &AssetView, version: u32) -> Result<Arc<SealedTable>, OwnerError> {
        let keys = self.key_path(&asset.id)?;
        let open = async || {
            let (keys, version_ref) = self.keys_and_ref(asset, version)?;
            let store = self.owner.store().clone();
            Ok(SealedTable::open(store, Arc::new(keys), asset.schema.clone(), &version_ref).await?)
        };
        self.tables.get((asset.id, version), keys, open).await
    }

    /// The file that holds an asset's keys.
    pub(crate) fn key_path(&self, asset: &AssetId) -> Result<PathBuf, OwnerError> {
        Ok(self.owner.keys()?.path(&label(asset)?))
    }

    /// An asset's keys, and where a version is found with them.
    pub(crate) fn keys_and_ref(&self, asset: &AssetView, version: u32) -> Result<(AssetKeys, VersionRef), OwnerError> {
        let view = self.ledger.version(&asset.id, version)?;
        let view = view.ok_or_else(|| OwnerError::NoAsset(format!("{} version {version}", asset.name)))?;
        let keys = self.owner.asset_keys(&asset.id)?;
        let version_ref = self.owner.version_ref(&keys, &view)?;
        Ok((keys, version_ref))
    }

    /// Lets go of keys that were changed or destroyed by another process.
    pub(crate) fn forget_changed_keys(&self) {
        self.tables.forget_changed();
        self.deliveries.files.forget_changed();
    }

    fn answer_path(&self, request: &TxHash) -> PathBuf {
        self.owner.folder().join("answers").join(format!("{request}.sealed"))
    }

    fn stored(&self, request: &TxHash) -> Result<StoredAnswer, AskError> {
        let path = self.answer_path(request);
        let bytes = read_bounded(&path, 2 * envelope::ENVELOPE_BYTES_MAX as u64).map_err(internal)?;
        sealgate_ledger::codec::decode("stored answer", &bytes)
            .map_err(|error| internal(FileError::content(&path, error)))
    }

    /// The stored answer of an answered request, with its proofs: what a requester fetches again.
    ///
    /// # Errors
    /// [`AskError::Internal`]; `Ok(None)` when there is no such answered request.
    pub fn answer_of(&self, request: &TxHash, seen: u64) -> Result<Option<AskResponse>, AskError> {
        self.check_seen(seen)?;
        let Some(view) = self.ledger.request(request).map_err(internal)? else { return Ok(None) };
        let RequestStatus::Answered { version, entry_index, .. } = view.status else { return Ok(None) };
        if !self.is_open(&view.sender)? {
            return Ok(None);
        }
        let asset = self.ledger.asset(&view.asset).map_err(internal)?;
        let published = self.ledger.version(&view.asset, version).map_err(internal)?;
        let (Some(asset), Some(published)) = (asset, published) else { return Ok(None) };
        let stored = self.stored(request)?;
        let entries = [asset.entry_index, published.entry_index, view.entry_index, entry_index];
        Ok(Some(AskResponse { proofs: self.proofs(seen, &entries)?, sealed: Some(BASE64.encode(stored.sealed)) }))
    }

    /// Refuses to go on when the requester has seen more of the ledger than there is.
    pub(crate) fn check_seen(&self, seen: u64) -> Result<(), AskError> {
        let size = self.ledger.head().tree_size;
        if seen <= size {
            return Ok(());
        }
        let what = "it was rolled back, or this is another ledger";
        Err(AskError::Malformed(format!("you have seen {seen} entries of this ledger and it has {size}: {what}")))
    }

    /// Proofs of entries under the newest checkpoint that is cosigned and covers them, or else the
    /// current one, and that it extends the one seen.
    pub(crate) fn proofs(&self, seen: u64, entries: &[u64]) -> Result<LedgerProofs, AskError> {
        let ledger = &self.ledger;
        let least = entries.iter().map(|entry| entry.saturating_add(1)).chain([seen]).max().unwrap_or(seen);
        let SignedHead { header, checkpoint } = self.cosigned.head(ledger, least);
        let size = header.tree_size;
        let consistency =
            if seen == 0 { Vec::new() } else { ledger.prove_consistency(seen, size).map_err(internal)? };
        let prove = |entry: &u64| ledger.prove_entry(*entry, size);
        let entries = entries.iter().map(prove).collect::<Result<_, LedgerError>>().map_err(internal)?;
        Ok(LedgerProofs { checkpoint, consistency, entries })
    }
}

/// A granted request to be answered.
struct Case<'a> {
    request: &'a TxHash,
    view: &'a RequestView,
    asset: &'a AssetView,
    version: u32,
    /// Bits that the grant leaves this requester.
    share: Option<u16>,
}

/// What all records of a question are asked.
struct Asked<'a> {
    schema: &'a Schema,
    items: &'a [Item<Value>],
    /// `None` where records are opened.
    circuit: Option<Circuit>,
    context: &'a Context,
}

/// A call's turn at answering a request: forgets the request's lock when the last one leaves,
/// also when the caller has gone away.
struct Turn<'a> {
    gateway: &'a Gateway,
    request: TxHash,
    turns: Arc<Turns>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut answering = self.gateway.answering();
        // One in the map, one here.
        if Arc::strong_count(&self.turns) <= 2 {
            answering.remove(&self.request);
        }
    }
}

/// How many bytes more an answer has for a key whose record is there and holds nothing but nulls.
fn null_bytes(asked: &Asked<'_>) -> Result<usize, AskError> {
    let nulls = vec![Value::Null; asked.schema.columns.len()];
    let shown = match asked.circuit {
        None => Shown::Opening(Salt::derive(&[0; 32], b"no record", 0)),
        Some(_) => Shown::Proof(ProofBytes([0; 192])),
    };
    let present = Present { answers: answers(asked.items, &nulls).map_err(internal)?, shown };
    Ok(sealgate_ledger::codec::encode(&present).len())
}

/// What cannot be read, told to who sent it.
pub(crate) fn malformed(what: impl std::fmt::Display) -> AskError {
    AskError::Malformed(format!("the request cannot be read: {what}"))
}

impl From<NoPlace> for AskError {
    fn from(error: NoPlace) -> AskError {
        match error {
            NoPlace::Full => AskError::Busy,
            NoPlace::Share => AskError::Share,
        }
    }
}

/// What went wrong inside, to be logged and not told.
pub(crate) fn internal(error: impl std::fmt::Display) -> AskError {
    AskError::Internal(error.to_string())
}

fn parameters(error: ParameterError) -> OwnerError {
    OwnerError::Parameters(error)
}
