//! The requester's side: asks a gateway a question, and believes nothing it has not checked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealgate_circuits::bytes::tagged_hash;
use sealgate_circuits::question::Question;
use sealgate_circuits::question::sql::{QuestionError, parse_question, table_name};
use sealgate_circuits::schema::{Column, Schema};
use sealgate_circuits::statement::Circuit;
use sealgate_circuits::value::Value;
use sealgate_ledger::account::{AccountPublic, AccountSecret};
use sealgate_ledger::block::{DenyReason, EntryBody, Header, Outcome};
use sealgate_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use sealgate_ledger::codec::encode;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, TxHash};
use sealgate_ledger::light::{EntryProof, LightError, verify_entry};
use sealgate_ledger::merkle::NodeHash;
use sealgate_ledger::state::{AssetView, HANDED_MAX};
use sealgate_ledger::tx::{DeclineReason, SignedTx, TABLE, TxBody};

use crate::answer_file::{
    ANSWER_BYTES_MAX, AnswerError, AnswerFile, Parts, PartyKeys, Verified, check_parameters, parse_key,
};
use crate::catalogue::{Listed, Search};
use crate::client::{AssetDetail, Client, ClientError, HeadResponse};
use crate::envelope::{self, EnvelopeError};
use crate::files::FileError;
use crate::handed::{Handed, owner_after};
use crate::home::{Asked, Home, HomeError, Relation};
use crate::messages::{
    AskRequest, AskResponse, LedgerProofs, Nonce, SecretAnswer, SecretQuestion, answer_purpose, question_purpose,
    sealed_bytes, sealed_digest,
};
use crate::naming::{AssetName, Who, full_name, near};
use crate::owner::{OwnerError, signed};
use crate::witness::pins::Witnessed;

/// How long another node of a shared ledger may lag behind, and how often it is asked.
const LAG: Duration = Duration::from_secs(15);
const LAG_POLL: Duration = Duration::from_millis(100);

/// Why a question brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskFailure {
    /// The home: account, trust, what was seen.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The gateway.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The gateway does not take the question.
    #[error(transparent)]
    NotTaken(ClientError),
    /// The question.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// A key.
    #[error("{0}")]
    Key(String),
    /// The ledger has no such table, or several.
    #[error("{0}")]
    Table(String),
    /// The contract denied it, and the ledger says so.
    #[error("denied: {why} (request {request}, recorded in block {block})")]
    Denied {
        /// Why.
        reason: DenyReason,
        /// Why, with the names of fields and items.
        why: String,
        /// The request.
        request: TxHash,
        /// The block.
        block: BlockHeight,
    },
    /// The owner declined it, and the ledger says so.
    #[error("declined: {reason} (request {request}, recorded in block {block}; it does not count against the quota)")]
    Declined {
        /// Why.
        reason: DeclineReason,
        /// The request.
        request: TxHash,
        /// The block.
        block: BlockHeight,
    },
    /// The gateway gave something that does not check.
    #[error("the gateway's answer is refused: {0}")]
    Refused(String),
    /// The answer does not verify.
    #[error("the gateway's answer is refused: {0}")]
    Answer(#[from] AnswerError),
    /// The answer does not open.
    #[error("the gateway's answer is refused: {0}")]
    Envelope(#[from] EnvelopeError),
    /// Signing.
    #[error(transparent)]
    Owner(#[from] OwnerError),
}

impl From<FileError> for AskFailure {
    fn from(error: FileError) -> Self {
        AskFailure::Home(error.into())
    }
}

/// A gateway's ledger, checked against a home.
pub struct Session<'a> {
    /// The home.
    pub home: &'a Home,
    /// The gateway.
    pub client: &'a Client,
    /// The ledger's genesis, trusted by the home.
    pub genesis: Genesis,
    /// The gateway's head, which extends all the home has seen.
    pub checkpoint: Checkpoint,
    /// Height of that head.
    pub head: BlockHeight,
    /// The header of its last block.
    pub header: Header,
    /// The head as signed.
    pub signed: SignedCheckpoint,
    /// What the witnesses that the home pins say of it.
    pub witnessed: Witnessed,
}

impl<'a> Session<'a> {
    /// Checks the gateway's ledger: its genesis is trusted, its head is signed and extends
    /// everything seen.
    ///
    /// # Errors
    /// [`AskFailure::Home`], [`AskFailure::Client`].
    pub async fn open(home: &'a Home, client: &'a Client) -> Result<Session<'a>, AskFailure> {
        let genesis = client.genesis().await?;
        let chain = home.admit(&genesis)?;
        home.hold()?;
        let pins = home.pins(&chain)?;
        crate::epochs::follow(home, client, &genesis).await?;
        loop {
            let before = home.highest(&genesis)?.map_or(0, |highest| highest.size);
            let head = if pins.witnesses.is_empty() { client.head().await? } else { client.witnessed_head().await? };
            let (checkpoint, relation) = home.relation(&genesis, &head.checkpoint)?;
            if checkpoint.size < before {
                let source = LightError::Older { old: before, new: checkpoint.size };
                return Err(HomeError::Contradiction { home: home.folder().to_owned(), source }.into());
            }
            // Older than the highest, but not than what was seen before: another process of this
            // home was faster.
            if matches!(relation, Relation::Older(_)) {
                continue;
            }
            if Checkpoint::of(&head.header) != checkpoint {
                return Err(AskFailure::Refused("its head is not the one it signed".into()));
            }
            connect(home, client, &genesis, &head.checkpoint).await?;
            let witnessed = home.require_witnessed(&genesis, &head.checkpoint)?;
            let HeadResponse { header, checkpoint: signed } = head;
            return Ok(Session { home, client, genesis, checkpoint, head: header.height, header, signed, witnessed });
        }
    }

    /// The asset that a question's FROM names.
    pub(crate) async fn asset(&self, table: &str) -> Result<AssetDetail, AskFailure> {
        let found = match table.parse().unwrap_or_else(|never| match never {}) {
            AssetName::Id(id) => self.client.asset(&id).await?.map(|detail| (id, detail)),
            // A bare name is the ledger's operator's asset: nobody else can answer to it.
            AssetName::Bare(name) => self.owned(&self.genesis.operator.address(), &name).await?,
            AssetName::Of(Who::Address(owner), name) => self.owned(&owner, &name).await?,
            AssetName::Of(who, name) => self.named_by(&who, &name).await?,
        };
        let Some((id, detail)) = found else {
            let whose = if table.contains('/') { "the ledger" } else { "the ledger's operator" };
            let meant = self.meant(table).await;
            return Err(AskFailure::Table(format!(
                "{whose} has no asset '{table}'{meant}: 'sealgate catalogue --gateway {}' lists what there is; name another owner's asset by its id, FROM \"asset1…\", or by its owner's DID, FROM \"did:key…/name\"",
                self.client.url()
            )));
        };
        self.registered(&id, &detail).await?;
        Ok(detail)
    }

    /// The asset that may have been meant, as a hint: what the gateway lists is not believed for more.
    pub(crate) async fn meant(&self, table: &str) -> String {
        let listed = self.client.catalogue(&Search::default()).await.map(|(listed, _)| listed).unwrap_or_default();
        let bare = table.rsplit('/').next().unwrap_or(table);
        let near = near(bare, listed.iter().map(|one| one.asset.name.as_str()));
        let Some(found) = near.and_then(|name| listed.iter().find(|one| one.asset.name == name)) else {
            return String::new();
        };
        match found.asset.owner == self.genesis.operator.address() {
            true => format!(" (did you mean '{}'?)", found.asset.name),
            false => format!(" (did you mean \"{}\"?)", full_name(&found.owner, &found.asset.name)),
        }
    }

    fn id_of(&self, owner: &Address, name: &str) -> AssetId {
        AssetId::of(&self.genesis.chain_id(), owner, name)
    }

    /// The asset of this name that an account has: mostly the one that it registered; or one that it was
    /// given; or else the one that it registered and that is another's now.
    async fn owned(&self, owner: &Address, name: &str) -> Result<Option<(AssetId, AssetDetail)>, AskFailure> {
        let id = self.id_of(owner, name);
        let registered = self.client.asset(&id).await?.map(|detail| (id, detail));
        if registered.as_ref().is_some_and(|(_, detail)| detail.asset.owner == *owner) {
            return Ok(registered);
        }
        Ok(self.named_by(&Who::Address(*owner), name).await?.or(registered))
    }

    /// The asset of this name under a DID or an address, whose owner has one of this name alone. The
    /// gateway says which it is; the owner's keys, which its address hashes, show that the DID is its, and
    /// [`Session::registered`] that the asset is.
    async fn named_by(&self, who: &Who, name: &str) -> Result<Option<(AssetId, AssetDetail)>, AskFailure> {
        let search = Search { owner: Some(who.clone()), search: Some(name.to_owned()), ..Search::default() };
        let (found, _) = self.client.catalogue(&search).await?;
        let mut exact = found.into_iter().filter(|listed| listed.asset.name == name);
        match (exact.next(), exact.next()) {
            (None, _) => Ok(None),
            (Some(Listed { asset, version, .. }), None) => Ok(Some((asset.id, AssetDetail { asset, version }))),
            _ => Err(AskFailure::Table(format!(
                "two accounts with the DID {who} have an asset '{name}': name one by its id, FROM \"asset1…\""
            ))),
        }
    }

    /// That the asset is registered on the ledger just as the gateway shows it: nothing is signed
    /// or sealed for a schema or an owner that somebody made up on the way.
    async fn registered(&self, id: &AssetId, detail: &AssetDetail) -> Result<(), AskFailure> {
        let proof = self.client.entry(detail.asset.entry_index, self.checkpoint.size).await?;
        let refused = |what: String| AskFailure::Refused(format!("asset '{}': {what}", detail.asset.name));
        verify_entry(&proof, &self.checkpoint).map_err(|error| refused(error.to_string()))?;
        let EntryBody::Transaction { tx, outcome: Outcome::Accepted } = &proof.entry.body else {
            return Err(refused("it is not registered".into()));
        };
        let chain = self.genesis.chain_id();
        let steps = self.handed(&detail.asset, &self.checkpoint).await?;
        let owner = match steps.as_slice() {
            [] => tx.tx.sender,
            steps => {
                let last = owner_keys(self, detail).await?;
                let owner = owner_after(&chain, id, tx.tx.sender, steps, &last, &self.checkpoint);
                owner.map_err(|error| refused(error.to_string()))?
            }
        };
        match &tx.tx.body {
            TxBody::RegisterAsset { name, schema, .. }
                if AssetId::of(&chain, &tx.tx.sender, name) == *id
                    && (detail.asset.id, detail.asset.owner) == (*id, owner)
                    && (&detail.asset.name, &detail.asset.schema) == (name, schema) =>
            {
                Ok(())
            }
            _ => Err(refused("the gateway shows another id, owner, name or schema than is registered".into())),
        }
    }

    /// How the asset came to its owner, as the gateway shows it under a checkpoint.
    pub(crate) async fn handed(&self, asset: &AssetView, checkpoint: &Checkpoint) -> Result<Vec<Handed>, AskFailure> {
        let mut steps = Vec::new();
        if asset.handed.is_empty() {
            return Ok(steps);
        }
        let hidden = || AskFailure::Refused("a former owner of the asset is not shown".into());
        let shown = |entry_index: u64| entry(self.client, &self.genesis, entry_index, checkpoint.size);
        // Who sends a step need not be the owner before: a successor takes over itself.
        let mut owner = transaction(&shown(asset.entry_index).await?).ok_or_else(hidden)?.tx.sender;
        for entry_index in asset.handed.iter().take(HANDED_MAX) {
            let entry = shown(*entry_index).await?;
            let by = self.client.account(&owner).await?.ok_or_else(hidden)?;
            let Some(TxBody::Transfer { to, .. }) = transaction(&entry).map(|tx| &tx.tx.body) else {
                return Err(hidden());
            };
            owner = *to;
            steps.push(Handed { by: PartyKeys::of(&by.account), entry });
        }
        Ok(steps)
    }

    /// Connects the checkpoint of what came back to the one before and to all the home has seen.
    pub(crate) async fn connected(&self, proofs: &LedgerProofs) -> Result<(Checkpoint, Witnessed), AskFailure> {
        let checkpoint = self.home.read(&self.genesis, &proofs.checkpoint)?;
        self.home.extends(&self.checkpoint, &checkpoint, &proofs.consistency)?;
        // The gateway that passed the question on may not have that checkpoint yet.
        let (home, genesis, from) = (self.home, &self.genesis, self.checkpoint.size);
        if home.relation(genesis, &proofs.checkpoint)?.1 != Relation::Newer(from)
            || !home.accept(genesis, &proofs.checkpoint, from, &proofs.consistency)?
        {
            connect(home, self.client, genesis, &proofs.checkpoint).await?;
        }
        Ok((checkpoint, home.require_witnessed(genesis, &proofs.checkpoint)?))
    }

    /// Enrols the account if the ledger does not know it yet.
    pub(crate) async fn enrol(&self, account: &AccountSecret) -> Result<(), AskFailure> {
        if self.client.account(&account.address()).await?.is_some() {
            return Ok(());
        }
        let body = TxBody::OpenAccount { account: account.public().clone(), identity: Vec::new() };
        let opened = self.client.submit(&signed(&self.genesis, self.head, account, body)?).await;
        // Another command of this account may have been faster.
        if let Err(error) = opened
            && self.client.account(&account.address()).await?.is_none()
        {
            return Err(error.into());
        }
        Ok(())
    }
}

/// Connects a checkpoint to what the home has seen of the ledger, with proofs from the gateway,
/// and keeps it.
///
/// # Errors
/// [`AskFailure::Home`] when it contradicts anything seen.
pub async fn connect(
    home: &Home,
    client: &Client,
    genesis: &Genesis,
    signed: &SignedCheckpoint,
) -> Result<Checkpoint, AskFailure> {
    loop {
        let (checkpoint, relation) = home.relation(genesis, signed)?;
        let done = match relation {
            Relation::Known => true,
            Relation::First => home.accept(genesis, signed, 0, &[])?,
            Relation::Newer(highest) => {
                let proof = consistency(client, genesis, highest, checkpoint.size).await?;
                home.accept(genesis, signed, highest, &proof)?
            }
            Relation::Older(highest) => {
                let proof = consistency(client, genesis, checkpoint.size, highest).await?;
                home.accept_older(genesis, &checkpoint, highest, &proof)?
            }
        };
        if done {
            return Ok(checkpoint);
        }
    }
}

/// A proof of consistency; on a shared ledger from a node that may lag behind the one whose
/// checkpoint it is about.
async fn consistency(client: &Client, genesis: &Genesis, old: u64, new: u64) -> Result<Vec<NodeHash>, ClientError> {
    let begun = Instant::now();
    loop {
        match client.consistency(old, new).await {
            Err(ClientError::Unreadable { .. }) if genesis.network.is_some() && begun.elapsed() < LAG => {
                tokio::time::sleep(LAG_POLL).await;
            }
            other => return other,
        }
    }
}

/// An entry with its proof; on a shared ledger from a node that may lag behind.
async fn entry(client: &Client, genesis: &Genesis, index: u64, size: u64) -> Result<EntryProof, ClientError> {
    let begun = Instant::now();
    loop {
        match client.entry(index, size).await {
            Err(ClientError::Unreadable { .. }) if genesis.network.is_some() && begun.elapsed() < LAG => {
                tokio::time::sleep(LAG_POLL).await;
            }
            other => return other,
        }
    }
}

/// An answer, verified, and the file that shows it to others.
pub struct Answered {
    /// What was verified.
    pub verified: Verified,
    /// The file.
    pub file: AnswerFile,
}

impl Answered {
    /// Notes in the home that the file is kept; until then the same words take the same request up
    /// again.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn kept(&self, home: &Home) -> Result<(), FileError> {
        match home.asked(&self.verified.request)? {
            Some(asked) => home.keep_asked(&self.verified.request, &Asked { done: true, ..asked }),
            None => Ok(()),
        }
    }
}

/// Keys as texts, a line for each, under the names of their columns in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyList {
    /// Where they come from, for messages.
    pub source: String,
    /// Names of columns, among them all of the key's.
    pub columns: Vec<String>,
    /// Number of the line in its source, and as many texts as there are columns.
    pub lines: Vec<(u64, Vec<String>)>,
}

impl KeyList {
    /// The keys in the order of a schema that has been verified.
    fn of(&self, schema: &Schema) -> Result<Vec<Vec<Value>>, String> {
        let wrong = |what: String| format!("{}: {what}", self.source);
        let position = |column: &Column| {
            let named = |name: &String| name.eq_ignore_ascii_case(&column.name);
            let missing = || wrong(format!("its first line does not name the key column '{}'", column.name));
            self.columns.iter().position(named).ok_or_else(missing)
        };
        let positions = schema.key_columns().map(position).collect::<Result<Vec<_>, _>>()?;
        let mut keys: Vec<Vec<Value>> = Vec::with_capacity(self.lines.len());
        let mut known = BTreeMap::new();
        for (line, cells) in &self.lines {
            let texts: Vec<String> = positions.iter().map(|i| cells.get(*i).cloned().unwrap_or_default()).collect();
            let key = parse_key(schema, &texts).map_err(|error| wrong(format!("line {line}: {error}")))?;
            if let Some(first) = known.insert(key.clone(), line) {
                let named = texts.join(", ");
                let what = format!("line {line} names the key {named} again, after line {first}; name each once");
                return Err(wrong(what));
            }
            keys.push(key);
        }
        Ok(keys)
    }
}

/// What is asked.
pub struct Asking<'a> {
    /// The question.
    pub sql: &'a str,
    /// The keys it is asked about where its WHERE clause leaves them open.
    pub keys: Option<&'a KeyList>,
    /// Told how many keys of how many are answered.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

impl<'a> Asking<'a> {
    /// A question that spells its key.
    pub fn one(sql: &'a str) -> Asking<'a> {
        Asking { sql, keys: None, progress: &|_, _| {} }
    }
}

/// A question's error; of a column that is none also the columns that there are.
fn spelled(error: QuestionError, schema: &Schema) -> AskFailure {
    let QuestionError::NoSuchColumn(name) = &error else { return error.into() };
    let known: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    let meant =
        near(name, known.iter().copied()).map_or_else(String::new, |meant| format!(" (did you mean '{meant}'?)"));
    AskFailure::Key(format!("{error}{meant}; it has {}", known.join(", ")))
}

/// Asks a question and checks everything about the answer. A question that was sent before in the
/// same words and never came back is taken up again instead of being asked twice.
///
/// # Errors
/// [`AskFailure`]; a denial is one of them and stands on the ledger.
pub async fn ask(home: &Home, client: &Client, purpose: &str, asking: &Asking<'_>) -> Result<Answered, AskFailure> {
    let sql = asking.sql;
    let account = home.account()?;
    let session = Session::open(home, client).await?;
    let detail = session.asset(&table_name(sql)?).await?;
    let schema = &detail.asset.schema;
    if detail.asset.data_type != TABLE {
        let (name, kind) = (&detail.asset.name, &detail.asset.data_type);
        return Err(AskFailure::Table(format!("'{name}' is a {kind}: it has no records to ask about")));
    }
    schema.validate().map_err(|error| AskFailure::Refused(format!("the asset's schema: {error}")))?;
    let keys = asking.keys.map_or_else(|| Ok(Vec::new()), |keys| keys.of(schema)).map_err(AskFailure::Key)?;
    let whole = parse_question(sql, schema, keys).map_err(|error| spelled(error, schema))?;
    // An answer file repeats the items for each key.
    let shown = whole.shape.display(schema).len().saturating_mul(whole.keys.len());
    if shown as u64 > ANSWER_BYTES_MAX / 4 {
        return Err(AskFailure::Key(format!("{} keys are too many for so long a question", whole.keys.len())));
    }
    session.enrol(&account).await?;
    // The same question in the same words and with the same keys.
    let words = match asking.keys {
        None => sql.to_owned(),
        Some(keys) => {
            let digest = tagged_hash("sealgate/asked-keys/1", &[&encode(&keys.columns), &encode(&keys.lines)]);
            format!("{sql}\nkeys {}", hex::encode(digest))
        }
    };
    let (asked, tx, question) = match unfinished(home, &detail.asset.id, &words, purpose, &whole)? {
        Some(before) => before,
        None => new_request(&session, &account, &detail, &whole, purpose, &words).await?,
    };
    let secret = SecretQuestion { nonce: asked.nonce, question };
    let owner = owner_keys(&session, &detail).await?;
    let parties = Parties { owner, account: &account };
    let result = match send_watching(&session, &parties, &tx, &secret, asking.progress).await {
        Ok(response) => conclude(&session, &parties, &detail.asset, &tx, secret, response).await,
        Err(error) => Err(error),
    };
    // An answer is done when the caller has kept it.
    if result.as_ref().err().is_some_and(is_final) {
        home.keep_asked(&tx.hash(), &Asked { done: true, ..asked })?;
    }
    result
}

/// A question in the same words that was sent and never came back.
fn unfinished(
    home: &Home,
    asset: &AssetId,
    sql: &str,
    purpose: &str,
    whole: &Question,
) -> Result<Option<(Asked, SignedTx, Question)>, AskFailure> {
    let Some(asked) = home.unfinished(asset, sql, purpose)? else { return Ok(None) };
    let tx = kept_tx(&asked)?;
    let TxBody::Request { shape, .. } = &tx.tx.body else { return Ok(None) };
    Ok(whole.reshaped(shape).map(|question| (asked, tx, question)))
}

/// Whether sending the same request again can bring nothing new.
pub(crate) fn is_final(failure: &AskFailure) -> bool {
    match failure {
        AskFailure::Denied { .. } | AskFailure::Declined { .. } => true,
        AskFailure::NotTaken(ClientError::Problem(problem)) => problem.status < 500,
        _ => false,
    }
}

/// The transaction of a question that was kept.
pub(crate) fn kept_tx(asked: &Asked) -> Result<SignedTx, AskFailure> {
    let unreadable =
        || AskFailure::Refused("a kept question in this home's folder 'asked' is damaged; remove it".into());
    let bytes = BASE64.decode(&asked.transaction).map_err(|_| unreadable())?;
    SignedTx::decode(&bytes).map_err(|_| unreadable())
}

/// Signs a request and keeps it before anything is sent.
async fn new_request(
    session: &Session<'_>,
    account: &AccountSecret,
    detail: &AssetDetail,
    whole: &Question,
    purpose: &str,
    sql: &str,
) -> Result<(Asked, SignedTx, Question), AskFailure> {
    let grant = session.client.grant(&detail.asset.id, &account.address()).await?;
    let question = whole.shaped_for(grant.as_ref().map_or(&[], |grant| &grant.terms.prove));
    let mut nonce = Nonce([0; 32]);
    getrandom::fill(&mut nonce.0).map_err(|error| OwnerError::Randomness(error.to_string()))?;
    let secret = SecretQuestion { nonce, question };
    let body = TxBody::Request {
        asset: detail.asset.id,
        shape: secret.question.shape.clone(),
        purpose: purpose.to_owned(),
        commitment: secret.commitment(),
        consent: None,
    };
    let tx = signed(&session.genesis, session.head, account, body)?;
    let asked = Asked {
        sql: sql.to_owned(),
        purpose: purpose.to_owned(),
        asset: detail.asset.id,
        nonce,
        transaction: BASE64.encode(tx.encode()),
        done: false,
    };
    session.home.keep_asked(&tx.hash(), &asked)?;
    Ok((asked, tx, secret.question))
}

/// The keys of the asset's owner, which are those of its address.
pub(crate) async fn owner_keys(session: &Session<'_>, detail: &AssetDetail) -> Result<AccountPublic, AskFailure> {
    let owner = session.client.account(&detail.asset.owner).await?.map(|view| view.account);
    let owner = owner.filter(|account| account.address() == detail.asset.owner);
    owner.ok_or_else(|| AskFailure::Refused("the owner's keys are not those of its address".into()))
}

async fn send(
    session: &Session<'_>,
    owner: &AccountPublic,
    tx: &SignedTx,
    secret: &SecretQuestion,
) -> Result<AskResponse, AskFailure> {
    let message = sealgate_ledger::codec::encode(secret);
    let envelope = envelope::seal(&owner.encryption_key, question_purpose(&tx.hash()), &message)?;
    let request = AskRequest {
        transaction: BASE64.encode(tx.encode()),
        question: BASE64.encode(envelope),
        seen: session.checkpoint.size,
    };
    session.client.ask(&request, secret.question.keys.len()).await.map_err(AskFailure::NotTaken)
}

/// Sends, and meanwhile asks how far the answer is where that takes a while.
async fn send_watching(
    session: &Session<'_>,
    parties: &Parties<'_>,
    tx: &SignedTx,
    secret: &SecretQuestion,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<AskResponse, AskFailure> {
    let sent = send(session, &parties.owner, tx, secret);
    if secret.question.keys.len() <= 1 {
        return sent.await;
    }
    let watch = async {
        // Only who asked is told; where signing in does not work, nothing is shown and all goes on.
        let client = session.client.signed_in(parties.account).await;
        let client = client.as_ref().unwrap_or(session.client);
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(400)).await;
            // Only a show: what comes back is checked, not this.
            if let Ok(Some(at)) = client.progress(&tx.hash()).await {
                progress(at.done, at.total);
            }
        }
    };
    tokio::select! {
        response = sent => response,
        () = watch => Err(AskFailure::Refused("nothing came back".into())),
    }
}

/// Whose question it is, and whose data.
struct Parties<'a> {
    owner: AccountPublic,
    account: &'a AccountSecret,
}

/// Checks what came back, down to the proof, and puts the answer file together.
async fn conclude(
    session: &Session<'_>,
    parties: &Parties<'_>,
    asset: &AssetView,
    tx: &SignedTx,
    secret: SecretQuestion,
    response: AskResponse,
) -> Result<Answered, AskFailure> {
    let schema = &asset.schema;
    let refused = |what: &str| AskFailure::Refused(what.into());
    let proofs = response.proofs;
    let (checkpoint, witnessed) = session.connected(&proofs).await?;
    let hash = tx.hash();
    let Some(sealed) = response.sealed else {
        return Err(match proofs.entries.as_slice() {
            [request] => denial(request, &checkpoint, &hash, schema),
            [_, declined] => decline(declined, &checkpoint, &hash, &parties.owner),
            _ => refused("it says neither granted nor denied"),
        });
    };
    let Ok([registration, publication, request, record]) = <[EntryProof; 4]>::try_from(proofs.entries) else {
        return Err(refused("it does not prove registration, version, request and answer"));
    };
    if entry_hash(&request) != Some(hash) {
        return Err(refused("it proves another request than the one sent"));
    }
    let sealed = BASE64.decode(sealed).map_err(|_| refused("the sealed answer is not base64"))?;
    match transaction(&record).map(|tx| &tx.tx.body) {
        Some(TxBody::Answer { sealed: recorded, .. }) if *recorded != sealed_digest(&sealed) => {
            return Err(refused("the sealed answer is not the one recorded on the ledger"));
        }
        Some(TxBody::Answer { bytes, .. }) if *bytes != sealed_bytes(&sealed) => {
            return Err(refused(&format!(
                "the ledger records a sealed answer of {bytes} bytes, and it has {}",
                sealed.len()
            )));
        }
        Some(TxBody::Answer { .. }) => {}
        _ => return Err(refused("the sealed answer is not the one recorded on the ledger")),
    }
    let opened = envelope::open(parties.account, answer_purpose(&hash), &sealed)?;
    let answer: SecretAnswer = sealgate_ledger::codec::decode("answer", &opened).map_err(AnswerError::from)?;
    if answer.request != hash {
        return Err(refused("the sealed answer is to another request"));
    }
    let verifying_key = match Circuit::for_question(schema, secret.question.shape.form(schema)?) {
        None => None,
        Some(circuit) => {
            let key = session.client.verifying_key(circuit.name()).await?;
            check_parameters(&session.genesis, circuit, &key).map_err(AskFailure::Refused)?;
            Some(key)
        }
    };
    let file = AnswerFile::assemble(Parts {
        name: asset.name.clone(),
        secret,
        answer,
        schema: schema.clone(),
        verifying_key,
        genesis: session.genesis.clone(),
        handovers: session.home.handovers_to(&session.genesis, &proofs.checkpoint)?,
        checkpoint: proofs.checkpoint,
        owner: parties.owner.clone(),
        handed: session.handed(asset, &checkpoint).await?,
        requester: parties.account.public().clone(),
        publication: (publication != registration).then_some(publication),
        registration,
        request,
        record,
    });
    let mut verified = file.verify(&checkpoint, &parties.account.address())?;
    verified.witness(witnessed);
    session.home.same_version(&session.genesis.chain_id(), &verified.asset, verified.version, &verified.root)?;
    Ok(Answered { verified, file })
}

/// A denial that the ledger really recorded.
pub(crate) fn denial(request: &EntryProof, checkpoint: &Checkpoint, hash: &TxHash, schema: &Schema) -> AskFailure {
    let not_included = |source: LightError| AskFailure::Refused(format!("the denial is not on the ledger: {source}"));
    if let Err(error) = verify_entry(request, checkpoint) {
        return not_included(error);
    }
    match &request.entry.body {
        EntryBody::Transaction { tx, outcome: Outcome::Denied { reason } } if tx.hash() == *hash => {
            AskFailure::Denied {
                reason: *reason,
                why: named(reason, &tx.tx.body, schema),
                request: *hash,
                block: request.entry.height,
            }
        }
        _ => AskFailure::Refused("it says the request was denied, and the ledger does not".into()),
    }
}

/// That the owner really recorded that it declined.
pub(crate) fn decline(entry: &EntryProof, checkpoint: &Checkpoint, hash: &TxHash, owner: &AccountPublic) -> AskFailure {
    if let Err(source) = verify_entry(entry, checkpoint) {
        return AskFailure::Refused(format!("the refusal is not on the ledger: {source}"));
    }
    match &entry.entry.body {
        EntryBody::Transaction { tx, outcome: Outcome::Accepted }
            if tx.verify(owner).is_ok()
                && matches!(tx.tx.body, TxBody::Decline { request, .. } if request == *hash) =>
        {
            let TxBody::Decline { reason, .. } = tx.tx.body else {
                return AskFailure::Refused("it says the request was declined, and the ledger does not".into());
            };
            AskFailure::Declined { reason, request: *hash, block: entry.entry.height }
        }
        _ => AskFailure::Refused("it says the request was declined, and the ledger does not".into()),
    }
}

/// A reason in the question's own words.
fn named(reason: &DenyReason, body: &TxBody, schema: &Schema) -> String {
    let item = |number: &u8| match body {
        TxBody::Request { shape, .. } => shape.items.get(usize::from(*number)).map(|item| item.display(schema)),
        _ => None,
    };
    match reason {
        DenyReason::Field { column } => {
            schema.at(*column).map(|column| format!("the grant does not let you see '{}'", column.name))
        }
        DenyReason::Whole { column } => {
            schema.at(*column).map(|column| format!("the grant does not let you fetch all of '{}'", column.name))
        }
        DenyReason::Predicate { item: number } => {
            item(number).map(|predicate| format!("the grant does not name the predicate '{predicate}'"))
        }
        _ => None,
    }
    .unwrap_or_else(|| reason.to_string())
}

fn transaction(proof: &EntryProof) -> Option<&SignedTx> {
    match &proof.entry.body {
        EntryBody::Transaction { tx, .. } => Some(tx),
        EntryBody::Unanswered { .. } => None,
    }
}

pub(crate) fn entry_hash(proof: &EntryProof) -> Option<TxHash> {
    transaction(proof).map(SignedTx::hash)
}
