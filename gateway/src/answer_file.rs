//! `answer.json`: an answer with everything that proves it, and its verification against one's
//! own trust (docs/spec/messages.md#answer-files).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealgate_circuits::bytes::{DecodeError, ProofBytes, TreeRoot};
use sealgate_circuits::evidence::{self, Evidence, Published, Unproven};
use sealgate_circuits::question::sql::{QuestionError, parse_question, table_name};
use sealgate_circuits::question::{Item, KEYS_MAX, SlotAnswer, key_literal};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::statement::{Circuit, Statement};
use sealgate_circuits::value::{ColumnType, Value};
use sealgate_circuits::verifier::{self, VerifyingKey};
use sealgate_ledger::account::{AccountPublic, EncryptionKey, VerifyKey};
use sealgate_ledger::block::{EntryBody, Outcome};
use sealgate_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, TxHash};
use sealgate_ledger::light::{EntryProof, LightError, verify_entry};
use sealgate_ledger::standing::Handover;
use sealgate_ledger::tx::{SignedTx, TxBody, VersionInfo};
use serde::{Deserialize, Serialize};

use crate::handed::{Handed, HandedError, owner_after};
use crate::messages::{Nonce, SecretAnswer, SecretQuestion, context, outcome};
use crate::witness::pins::{Witnessed, WitnessedBy};

/// Largest answer file that is read, in bytes.
pub const ANSWER_BYTES_MAX: u64 = 32 << 20;
const FORMAT: &str = "sealgate-answer/2";
const OWNER_OPERATED: &str = "owner-operated ledger: no witness besides its operator has signed this checkpoint";
const MEMBERS_ALONE: &str = "no witness besides the ledger's members has signed this checkpoint";

/// The note on what is shown to a reader who pins no witness.
pub(crate) fn unwitnessed(genesis: &Genesis) -> &'static str {
    if genesis.network.is_some() { MEMBERS_ALONE } else { OWNER_OPERATED }
}

/// Takes that note away again.
pub(crate) fn retract_unwitnessed(notes: &mut Vec<String>) {
    notes.retain(|note| note != OWNER_OPERATED && note != MEMBERS_ALONE);
}

/// Who signs a ledger's checkpoints, in words.
pub(crate) fn signers(genesis: &Genesis) -> &'static str {
    if genesis.network.is_some() { "more than two thirds of its members" } else { "its operator" }
}

/// An answer that convinces whoever trusts the ledger, offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerFile {
    /// `sealgate-answer/2`.
    pub format: String,
    /// The question, in its one canonical spelling.
    pub sql: String,
    /// For each key asked about what the answer is, as people read it.
    pub records: Vec<RecordAnswer>,
    /// The requester's nonce.
    pub nonce: Nonce,
    /// The evidence, borsh in base64.
    pub evidence: String,
    /// The circuit's verifying key in base64; absent where whole records are opened.
    pub verifying_key: Option<String>,
    /// The ledger's genesis.
    pub genesis: Genesis,
    /// How the members changed from the genesis to the checkpoint's block; left out where they did
    /// not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handovers: Vec<Handover>,
    /// The signed checkpoint under which the entries are proven.
    pub checkpoint: SignedCheckpoint,
    /// Public keys of the asset's owner.
    pub owner: PartyKeys,
    /// How it came to be its owner's, step by step; left out where the owner registered it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handed: Vec<Handed>,
    /// Public keys of the requester.
    pub requester: PartyKeys,
    /// The asset's registration.
    pub registration: EntryProof,
    /// The publication of the answered version, when it is not the registration.
    pub publication: Option<EntryProof>,
    /// The request.
    pub request: EntryProof,
    /// The answer's record.
    pub answer: EntryProof,
}

/// A party's keys, of which its address is the hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyKeys {
    /// Verifies its signatures.
    pub verify_key: VerifyKey,
    /// Messages to it are sealed to this key.
    pub encryption_key: EncryptionKey,
}

impl PartyKeys {
    pub(crate) fn of(account: &AccountPublic) -> PartyKeys {
        PartyKeys { verify_key: account.verify_key, encryption_key: account.encryption_key }
    }

    /// An account with these keys; what it is called does not matter to signatures and address.
    pub(crate) fn account(&self) -> AccountPublic {
        let name = "party".into();
        AccountPublic { verify_key: self.verify_key, encryption_key: self.encryption_key, name }
    }
}

/// The answer about one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordAnswer {
    /// The key's values, in the order of the schema's key.
    pub key: Vec<String>,
    /// Whether a record has the key.
    pub found: bool,
    /// The answers; empty when there is no record.
    pub result: Vec<ResultLine>,
}

/// One item and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultLine {
    /// The item, in SQL.
    pub item: String,
    /// The value or truth value, as SQL writes it.
    pub answer: String,
}

/// What fails in an answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not an answer file, or not in its one canonical spelling.
    #[error("the file is not a canonical answer file: {0}")]
    Form(String),
    /// Something in it does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An entry is not in the ledger of the checkpoint.
    #[error("{entry}: {source}")]
    Entry {
        /// Which one.
        entry: &'static str,
        /// Why.
        source: LightError,
    },
    /// An entry is of another kind, or belongs to something else.
    #[error("{entry}: {what}")]
    Mismatch {
        /// Which one.
        entry: &'static str,
        /// What does not fit.
        what: String,
    },
    /// How the asset came to its owner does not hold.
    #[error(transparent)]
    Handed(#[from] HandedError),
    /// The question cannot be read.
    #[error("the question: {0}")]
    Question(#[from] QuestionError),
    /// The evidence does not hold.
    #[error(transparent)]
    Evidence(#[from] Unproven),
    /// The evidence about one of many keys does not hold.
    #[error("{source} (the key is {key})")]
    EvidenceOf {
        /// The key, as SQL.
        key: String,
        /// What does not hold.
        source: Unproven,
    },
    /// The ledger does not know this circuit, or by another key or shape.
    #[error("the ledger's parameters: {0}")]
    Parameters(String),
    /// The FROM clause names another asset.
    #[error("the question is about '{asked}', the answer about '{name}' ({asset})")]
    Table {
        /// What the question names.
        asked: String,
        /// The asset's name.
        name: String,
        /// The asset.
        asset: AssetId,
    },
    /// The answer was given to somebody else.
    #[error(
        "the answer was given to {found}, not to {expected}: to check somebody else's answer name them with --requester"
    )]
    Requester {
        /// Whose answer was expected.
        expected: Address,
        /// Whose it is.
        found: Address,
    },
}

/// What was verified, for people and machines to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The question.
    pub sql: String,
    /// The answer about each key.
    pub records: Vec<RecordAnswer>,
    /// The asset.
    pub asset: AssetId,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: Address,
    /// The version that was asked.
    pub version: u32,
    /// Root of that version's tree.
    pub root: TreeRoot,
    /// Who asked.
    pub requester: Address,
    /// For what purpose.
    pub purpose: String,
    /// The request's transaction.
    pub request: TxHash,
    /// The block that granted it.
    pub request_block: BlockHeight,
    /// The answer's transaction.
    pub answer: TxHash,
    /// The block that recorded it.
    pub answer_block: BlockHeight,
    /// Entries the checkpoint covers.
    pub checkpoint_size: u64,
    /// Each check that was made and held.
    pub checks: Vec<String>,
    /// What the answer does not show.
    pub notes: Vec<String>,
    /// The pinned witnesses that cosigned.
    pub witnesses: Vec<WitnessedBy>,
    /// The zero-knowledge proofs among what was checked: none where no record has the key.
    #[serde(skip)]
    pub proofs: Vec<Proven>,
}

/// A zero-knowledge proof that holds, with the statement as it was computed from question and
/// answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Which of the keys asked about it is for, from 1.
    pub number: usize,
    /// What is proven.
    pub statement: Statement,
    /// The proof.
    pub proof: ProofBytes,
    /// The verifying key of the statement's circuit, the one that the ledger's genesis names.
    pub verifying_key: Vec<u8>,
}

impl Verified {
    /// Adds what the witnesses that the reader pins say of the answer's checkpoint.
    pub fn witness(&mut self, said: Witnessed) {
        if said.is_unpinned() {
            return;
        }
        retract_unwitnessed(&mut self.notes);
        self.notes.extend(said.notes());
        self.checks.extend(said.checks());
        self.witnesses = said.by;
    }
}

impl AnswerFile {
    /// Reads an answer file.
    ///
    /// # Errors
    /// [`AnswerError::Form`] for anything but the canonical spelling.
    pub fn read(bytes: &[u8]) -> Result<AnswerFile, AnswerError> {
        let file: AnswerFile = serde_json::from_slice(bytes).map_err(|error| AnswerError::Form(error.to_string()))?;
        if file.format != FORMAT {
            return Err(AnswerError::Form(format!("its format is '{}', not '{FORMAT}'", file.format)));
        }
        if file.to_bytes()? != bytes {
            return Err(AnswerError::Form("the same content is spelled in another way".into()));
        }
        Ok(file)
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// [`AnswerError::Form`] never in practice: memory is written to.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AnswerError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| AnswerError::Form(error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Checks everything in the file under a checkpoint that the caller has accepted for this
    /// genesis, and that the request was `expected`'s.
    ///
    /// # Errors
    /// [`AnswerError`], the first check that fails.
    pub fn verify(&self, checkpoint: &Checkpoint, expected: &Address) -> Result<Verified, AnswerError> {
        let mut checks = vec![format!(
            "ledger '{}': its fingerprint is trusted here, and the checkpoint over {} entries is signed by {}",
            self.genesis.name,
            checkpoint.size,
            signers(&self.genesis)
        )];
        let published = self.published(checkpoint, &mut checks)?;
        let asked = self.asked(checkpoint, &published, expected, &mut checks)?;
        self.proven(checkpoint, &published, asked, checks)
    }

    /// Registration and version.
    fn published(&self, checkpoint: &Checkpoint, checks: &mut Vec<String>) -> Result<Registered, AnswerError> {
        let entry = "registration";
        let registrant = self.handed.first().map_or(&self.owner, |first| &first.by);
        let tx = self.included(entry, &self.registration, checkpoint, registrant)?;
        let TxBody::RegisterAsset { name, schema, place_key, version, .. } = &tx.tx.body else {
            return Err(mismatch(entry, "it is no registration of an asset"));
        };
        let asset = AssetId::of(&self.genesis.chain_id(), &tx.tx.sender, name);
        let (chain, last) = (self.genesis.chain_id(), self.owner.account());
        let owner = owner_after(&chain, &asset, tx.tx.sender, &self.handed, &last, checkpoint)?;
        if owner != last.address() {
            return Err(mismatch(entry, "the asset is not the one's who answered"));
        }
        let info = match &self.publication {
            None if version.number == 1 => version.clone(),
            None => return Err(mismatch(entry, "it is not of version 1")),
            Some(proof) => {
                let entry = "publication";
                let by = self.owner_at(proof.entry_index);
                match &self.included(entry, proof, checkpoint, by)?.tx.body {
                    TxBody::PublishVersion { asset: of, version } if *of == asset => version.clone(),
                    _ => return Err(mismatch(entry, "it is no version of this asset")),
                }
            }
        };
        checks.push(format!("asset '{name}', version {}: registered and signed by {}", info.number, tx.tx.sender));
        Ok(Registered { asset, owner, name: name.clone(), schema: schema.clone(), place_key: *place_key, info })
    }

    /// Whose the asset was when this entry was recorded.
    fn owner_at(&self, entry_index: u64) -> &PartyKeys {
        let next = self.handed.iter().find(|step| entry_index <= step.entry.entry_index);
        next.map_or(&self.owner, |step| &step.by)
    }

    /// The request: granted, bound to the version, ours, and about this question.
    fn asked(
        &self,
        checkpoint: &Checkpoint,
        published: &Registered,
        expected: &Address,
        checks: &mut Vec<String>,
    ) -> Result<Asked, AnswerError> {
        let entry = "request";
        verify_entry(&self.request, checkpoint).map_err(|source| AnswerError::Entry { entry, source })?;
        let EntryBody::Transaction { tx, outcome } = &self.request.entry.body else {
            return Err(mismatch(entry, "it is no transaction"));
        };
        self.signed(entry, tx, &self.requester)?;
        let TxBody::Request { asset, shape, purpose, commitment, .. } = &tx.tx.body else {
            return Err(mismatch(entry, "it is no request"));
        };
        if *asset != published.asset {
            return Err(mismatch(entry, "it is about another asset"));
        }
        match outcome {
            Outcome::Granted { version, .. } if *version == published.info.number => {}
            Outcome::Granted { version, .. } => {
                let what = format!(
                    "it is bound to version {version}, and the answer is from version {}",
                    published.info.number
                );
                return Err(AnswerError::Mismatch { entry, what });
            }
            _ => return Err(mismatch(entry, "the contract did not grant it")),
        }
        if tx.tx.sender != *expected {
            return Err(AnswerError::Requester { expected: *expected, found: tx.tx.sender });
        }
        let asked = table_name(&self.sql)?;
        if asked != published.name && asked != published.asset.to_string() {
            let (name, asset) = (published.name.clone(), published.asset);
            return Err(AnswerError::Table { asked, name, asset });
        }
        let question = parse_question(&self.sql, &published.schema, self.keys(&published.schema)?)?
            .reshaped(shape)
            .ok_or_else(|| mismatch(entry, "it asks another question than the file shows"))?;
        if question.display(&published.schema, &published.name) != self.sql {
            return Err(AnswerError::Form("the same question is spelled in another way".into()));
        }
        let secret = SecretQuestion { nonce: self.nonce, question };
        if secret.commitment() != *commitment {
            return Err(mismatch(entry, "its commitment is to another question or nonce than the file shows"));
        }
        checks.push(format!(
            "request: signed by {}, granted in block {} for purpose '{purpose}'; it commits to this question",
            tx.tx.sender, self.request.entry.height
        ));
        Ok(Asked { hash: tx.hash(), sender: tx.tx.sender, purpose: purpose.clone(), secret })
    }

    /// The answer's record and the zero-knowledge evidence.
    fn proven(
        &self,
        checkpoint: &Checkpoint,
        published: &Registered,
        asked: Asked,
        mut checks: Vec<String>,
    ) -> Result<Verified, AnswerError> {
        let secret_answer =
            SecretAnswer { request: asked.hash, version: published.info.number, evidence: self.evidence()? };
        let entry = "answer";
        let tx = self.included(entry, &self.answer, checkpoint, &self.owner)?;
        let recorded = match &tx.tx.body {
            TxBody::Answer { request, .. } if *request != asked.hash => {
                return Err(mismatch(entry, "it answers another request"));
            }
            TxBody::Answer { binding, version, .. } => {
                *version == secret_answer.version && *binding == secret_answer.binding(&asked.secret)
            }
            _ => return Err(mismatch(entry, "it is no record of an answer")),
        };
        self.in_order()?;
        checks.push(format!(
            "answer: signed by the owner, recorded in block {}, and it is this one",
            self.answer.entry.height
        ));

        let form = asked.secret.question.shape.form(&published.schema)?;
        let key = match Circuit::for_question(&published.schema, form) {
            Some(circuit) => Some(self.circuit_key(circuit)?),
            None if self.verifying_key.is_none() => None,
            None => return Err(AnswerError::Form("whole records are opened, which takes no verifying key".into())),
        };
        let proof_context = context(&self.genesis.chain_id(), &asked.hash, published.info.number);
        let on_ledger =
            Published { schema: &published.schema, place_key: &published.place_key, root: &published.info.root };
        let claims =
            evidence::verify(&secret_answer.evidence, &on_ledger, key.as_ref(), &asked.secret.question, &proof_context)
                .map_err(|unproven| of_key(unproven, &published.schema, &asked.secret));
        let claims = match claims {
            // Of many keys the evidence may tell which one it is.
            Err(error @ AnswerError::EvidenceOf { .. }) => return Err(error),
            _ if !recorded => return Err(mismatch(entry, "the ledger recorded another answer to this request")),
            claims => claims?,
        };
        let verifying_key = key.as_ref().map_or(&[][..], VerifyingKey::as_bytes);
        let proven =
            |(number, statement, proof)| Proven { number, statement, proof, verifying_key: verifying_key.to_vec() };
        let proofs = claims.into_iter().map(proven).collect();
        checks.push("place: the key has exactly one place in the published tree, proven (RFC 9381)".into());
        let records = shown(&published.schema, &asked.secret, &secret_answer);
        if let Some((_, shown)) = records.iter().zip(&self.records).find(|(proven, shown)| proven != shown) {
            let of = if records.len() > 1 { format!(" for the key {}", shown.key.join(", ")) } else { String::new() };
            return Err(AnswerError::Form(format!("the result it shows{of} is not the one it proves")));
        }
        if records.len() != self.records.len() {
            return Err(AnswerError::Form("it shows another number of results than it proves".into()));
        }
        checks.extend(shows(&records, key.is_some()));
        Ok(Verified {
            sql: self.sql.clone(),
            records,
            asset: published.asset,
            name: published.name.clone(),
            owner: published.owner,
            version: published.info.number,
            root: published.info.root,
            requester: asked.sender,
            purpose: asked.purpose,
            request: asked.hash,
            request_block: self.request.entry.height,
            answer: tx.hash(),
            answer_block: self.answer.entry.height,
            checkpoint_size: checkpoint.size,
            checks,
            notes: self.notes(),
            witnesses: Vec::new(),
            proofs,
        })
    }

    /// The accepted transaction of an entry that is in the ledger, signed by `signer`.
    fn included<'a>(
        &self,
        entry: &'static str,
        proof: &'a EntryProof,
        checkpoint: &Checkpoint,
        signer: &PartyKeys,
    ) -> Result<&'a SignedTx, AnswerError> {
        verify_entry(proof, checkpoint).map_err(|source| AnswerError::Entry { entry, source })?;
        match &proof.entry.body {
            EntryBody::Transaction { tx, outcome: Outcome::Accepted } => {
                self.signed(entry, tx, signer)?;
                Ok(tx)
            }
            _ => Err(mismatch(entry, "the ledger did not accept it")),
        }
    }

    /// That a transaction is of this ledger, within its bounds, and signed by this account. The
    /// account's address is the hash of its keys, so they need no proof of their own.
    fn signed(&self, entry: &'static str, tx: &SignedTx, signer: &PartyKeys) -> Result<(), AnswerError> {
        let signer = signer.account();
        if tx.tx.chain != self.genesis.chain_id() {
            return Err(mismatch(entry, "it belongs to another ledger"));
        }
        if tx.tx.sender != signer.address() {
            return Err(mismatch(entry, "it is by another account than the file names"));
        }
        tx.validate().map_err(|error| AnswerError::Mismatch { entry, what: error.to_string() })?;
        tx.verify(&signer).map_err(|error| AnswerError::Mismatch { entry, what: error.to_string() })
    }

    /// Registration, publication, request, answer: in this order on the ledger, the answer in time.
    fn in_order(&self) -> Result<(), AnswerError> {
        let entries = [Some(&self.registration), self.publication.as_ref(), Some(&self.request), Some(&self.answer)];
        let positions: Vec<(u64, BlockHeight)> =
            entries.into_iter().flatten().map(|proof| (proof.entry_index, proof.entry.height)).collect();
        let ordered = positions.is_sorted_by(|(i, height), (j, next)| i < j && height <= next);
        let in_time = matches!(outcome(&self.request), Some(Outcome::Granted { deadline, .. }) if self.answer.entry.height <= deadline);
        if ordered && in_time {
            return Ok(());
        }
        Err(mismatch("ledger", "registration, version, request and answer do not follow each other in time"))
    }

    /// The keys that the SQL leaves open, none where it spells its one key.
    fn keys(&self, schema: &Schema) -> Result<Vec<Vec<Value>>, AnswerError> {
        if self.records.len() > usize::from(KEYS_MAX) {
            return Err(QuestionError::Keys(self.records.len()).into());
        }
        if self.records.len() <= 1 {
            return Ok(Vec::new());
        }
        let key = |record: &RecordAnswer| parse_key(schema, &record.key);
        self.records.iter().map(key).collect::<Result<_, _>>().map_err(AnswerError::Form)
    }

    fn evidence(&self) -> Result<Vec<Evidence>, AnswerError> {
        let bytes =
            BASE64.decode(&self.evidence).map_err(|error| DecodeError::new("evidence", "base64", error.to_string()))?;
        Ok(sealgate_ledger::codec::decode("evidence", &bytes)?)
    }

    /// The verifying key, if it is the one that the ledger has for this circuit.
    fn circuit_key(&self, circuit: Circuit) -> Result<VerifyingKey, AnswerError> {
        let encoded = self.verifying_key.as_deref().unwrap_or_default();
        let bytes =
            BASE64.decode(encoded).map_err(|error| DecodeError::new("verifying key", "base64", error.to_string()))?;
        check_parameters(&self.genesis, circuit, &bytes).map_err(AnswerError::Parameters)?;
        Ok(VerifyingKey::from_bytes(circuit, &bytes)?)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            unwitnessed(&self.genesis).to_owned(),
            format!(
                "that the contract's rules were kept rests on {} until 'sealgate audit --gateway' has replayed them",
                if self.genesis.network.is_some() { "the members" } else { "the operator" }
            ),
            "agreement with what was published is shown, not that what was published is true".to_owned(),
        ];
        let parameters = match &self.genesis.ceremony {
            None => "DEVELOPMENT PARAMETERS: whoever made this ledger's proving keys could forge answers".to_owned(),
            Some(digest) => format!(
                "the ledger's proving keys are from the ceremony with transcript {digest}: 'sealgate ceremony verify' shows who contributed"
            ),
        };
        notes.insert(0, parameters);
        notes
    }
}

/// Checks that `verifying_key` is what the genesis names for `circuit`, in the shape of this build.
///
/// # Errors
/// A sentence that says what differs.
pub fn check_parameters(genesis: &Genesis, circuit: Circuit, verifying_key: &[u8]) -> Result<(), String> {
    let known = genesis
        .circuits
        .iter()
        .find(|known| known.circuit == circuit.name())
        .ok_or_else(|| format!("the genesis names no parameters for circuit '{}'", circuit.name()))?;
    if genesis.development == genesis.ceremony.is_some() {
        return Err("this ledger's parameters are either for development or from a ceremony, and its genesis does not say which; do not trust it".into());
    }
    if known.shape.to_string() != circuit.pinned_shape() {
        return Err(format!(
            "circuit '{}' has shape {} on this ledger and {} in this software: use the release that the ledger was made with",
            circuit.name(),
            known.shape,
            circuit.pinned_shape()
        ));
    }
    let found = verifier::digest(verifying_key);
    if found != known.verifying_key {
        return Err(format!(
            "the verifying key of circuit '{}' has digest {found}, the genesis names {}",
            circuit.name(),
            known.verifying_key
        ));
    }
    Ok(())
}

/// Reads a key as texts, one a key column.
///
/// # Errors
/// A sentence that says which part is not of its column's type.
pub fn parse_key(schema: &Schema, texts: &[String]) -> Result<Vec<Value>, String> {
    let columns: Vec<_> = schema.key_columns().collect();
    if columns.len() != texts.len() {
        return Err(format!("a key has {} parts, not {}", columns.len(), texts.len()));
    }
    let part = |(column, text): (&&sealgate_circuits::schema::Column, &String)| {
        Value::parse(text, column.kind).map_err(|error| format!("key column '{}': {error}", column.name))
    };
    columns.iter().zip(texts).map(part).collect()
}

/// The result as the file shows it, for each key.
pub fn shown(schema: &Schema, secret: &SecretQuestion, answer: &SecretAnswer) -> Vec<RecordAnswer> {
    let items = secret.question.filled().unwrap_or_else(|| secret.question.shape.clone()).items;
    let line = |(item, slot): (&Item, &SlotAnswer)| {
        let kind = match item {
            Item::Disclose(column) => schema.at(*column).map_or(ColumnType::Text, |column| column.kind),
            Item::Prove(_) => ColumnType::Bool,
        };
        ResultLine { item: item.display(schema), answer: slot.display(kind) }
    };
    let record = |(key, one): (&Vec<Value>, &Evidence)| RecordAnswer {
        key: schema.key_columns().zip(key).map(|(column, value)| value.display(column.kind)).collect(),
        found: one.present.is_some(),
        result: one
            .present
            .as_ref()
            .map_or_else(Vec::new, |present| items.iter().zip(&present.answers).map(line).collect()),
    };
    secret.question.keys.iter().zip(&answer.evidence).map(record).collect()
}

/// What was checked of the records themselves.
fn shows(records: &[RecordAnswer], proven: bool) -> Vec<String> {
    let found = records.iter().filter(|record| record.found).count();
    let mut checks = Vec::new();
    if found > 0 {
        checks.push(match proven {
            true => "path and zero-knowledge proof: the record published at that place gives these answers".into(),
            false => "path and opening: these are all values of the record published at that place".into(),
        });
    }
    if found < records.len() {
        checks.push("path: nothing is published at that place, so no record has this key".into());
    }
    if records.len() > 1 {
        checks.push(format!("{} keys: {found} found, {} without a record", records.len(), records.len() - found));
    }
    checks
}

struct Registered {
    asset: AssetId,
    owner: Address,
    name: String,
    schema: Schema,
    place_key: sealgate_circuits::bytes::PlaceKey,
    info: VersionInfo,
}

struct Asked {
    hash: TxHash,
    sender: Address,
    purpose: String,
    secret: SecretQuestion,
}

/// The failure with the key's own name where there are several.
fn of_key(unproven: Unproven, schema: &Schema, secret: &SecretQuestion) -> AnswerError {
    let key = unproven.number.checked_sub(1).and_then(|index| secret.question.keys.get(index));
    match key {
        Some(key) if unproven.of > 1 => AnswerError::EvidenceOf { key: key_literal(schema, key), source: unproven },
        _ => unproven.into(),
    }
}

fn mismatch(entry: &'static str, what: &str) -> AnswerError {
    AnswerError::Mismatch { entry, what: what.into() }
}

impl AnswerFile {
    /// Puts a file together from what requester and ledger know.
    pub fn assemble(parts: Parts) -> AnswerFile {
        AnswerFile {
            format: FORMAT.into(),
            sql: parts.secret.question.display(&parts.schema, &parts.name),
            records: shown(&parts.schema, &parts.secret, &parts.answer),
            nonce: parts.secret.nonce,
            evidence: BASE64.encode(sealgate_ledger::codec::encode(&parts.answer.evidence)),
            verifying_key: parts.verifying_key.map(|key| BASE64.encode(key)),
            genesis: parts.genesis,
            handovers: parts.handovers,
            checkpoint: parts.checkpoint,
            owner: PartyKeys::of(&parts.owner),
            handed: parts.handed,
            requester: PartyKeys::of(&parts.requester),
            registration: parts.registration,
            publication: parts.publication,
            request: parts.request,
            answer: parts.record,
        }
    }
}

/// What an answer file is made of.
pub struct Parts {
    /// The asset's name.
    pub name: String,
    /// The question and its nonce.
    pub secret: SecretQuestion,
    /// The opened answer.
    pub answer: SecretAnswer,
    /// The asset's schema.
    pub schema: Schema,
    /// The circuit's verifying key, unless records are opened.
    pub verifying_key: Option<Vec<u8>>,
    /// The ledger's genesis.
    pub genesis: Genesis,
    /// How its members changed since.
    pub handovers: Vec<Handover>,
    /// The checkpoint of the proofs below.
    pub checkpoint: SignedCheckpoint,
    /// Public keys of the asset's owner.
    pub owner: AccountPublic,
    /// How it came to be its owner's.
    pub handed: Vec<Handed>,
    /// Public keys of the requester.
    pub requester: AccountPublic,
    /// The asset's registration.
    pub registration: EntryProof,
    /// The version's publication, unless it is the first.
    pub publication: Option<EntryProof>,
    /// The request.
    pub request: EntryProof,
    /// The answer's record.
    pub record: EntryProof,
}
