//! A dishonest owner: holds valid keys, signs valid transactions, and answers what it likes.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealgate_circuits::bytes::ProofBytes;
use sealgate_circuits::evidence::{Evidence, Present, Shown};
use sealgate_circuits::prover::ProvingKey;
use sealgate_circuits::question::{Item, SlotAnswer};
use sealgate_circuits::statement::{Circuit, Statement, answers};
use sealgate_circuits::value::Value;
use sealgate_gateway::answer_file::{AnswerFile, Parts};
use sealgate_gateway::console::{Console, Names};
use sealgate_gateway::messages::{
    AskRequest, AskResponse, LedgerProofs, SecretAnswer, SecretQuestion, answer_purpose, context, question_purpose,
    sealed_bytes, sealed_digest,
};
use sealgate_gateway::{api, envelope, gateway::Gateway, owner, owner::Owner};
use sealgate_ledger::account::{AccountSecret, EncryptionKey};
use sealgate_ledger::block::{EntryBody, Outcome};
use sealgate_ledger::ids::TxHash;
use sealgate_ledger::light::EntryProof;
use sealgate_ledger::state::AssetView;
use sealgate_ledger::tx::{SignedTx, TxBody};
use sealgate_ods::table::{Lookup, SealedTable};

use crate::wire::{Call, Reply};

/// A gateway in this process whose keys the test holds.
pub struct Dishonest {
    runtime: tokio::runtime::Runtime,
    pub gateway: Arc<Gateway>,
    /// Where its honest side listens.
    pub url: String,
}

/// All that an honest owner would answer from.
pub struct Truth<'a> {
    pub owner: &'a Dishonest,
    pub asset: AssetView,
    pub request: TxHash,
    pub version: u32,
    pub secret: SecretQuestion,
    pub answer: SecretAnswer,
}

/// What the owner does instead.
pub struct Lie {
    /// What it seals.
    pub answer: SecretAnswer,
    /// What it records, if that is something else.
    pub recorded: Option<SecretAnswer>,
    /// To whom it seals, if not to the requester.
    pub seal_to: Option<EncryptionKey>,
    /// Whether another envelope than the released one is recorded.
    pub other_envelope: bool,
    /// Which length it records, if that is another than the envelope's.
    pub other_bytes: Option<u32>,
}

impl From<SecretAnswer> for Lie {
    fn from(answer: SecretAnswer) -> Self {
        Lie { answer, recorded: None, seal_to: None, other_envelope: false, other_bytes: None }
    }
}

/// What came of an ask: the response, and the file with which the lie could be shown on.
pub struct Told {
    pub response: AskResponse,
    pub file: Option<AnswerFile>,
}

impl Dishonest {
    pub fn open(folder: &str) -> Dishonest {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let gateway = Arc::new(Gateway::open(Owner::open(folder.as_ref()).unwrap()).unwrap());
        let (listener, address) = runtime.block_on(api::bind("127.0.0.1:0")).unwrap();
        let console = Console::of_gateway(gateway.clone(), Names::of(address, &[])).unwrap();
        let serving = api::Serving::plain(listener, gateway.owner().config().limits.clone());
        runtime.spawn(api::serve(serving, gateway.clone(), console.into(), "token".into(), std::future::pending()));
        Dishonest { runtime, gateway, url: format!("http://{address}") }
    }

    pub fn account(&self) -> &AccountSecret {
        self.gateway.owner().account()
    }

    pub fn submit(&self, body: TxBody) -> sealgate_ledger::block::Receipt {
        let ledger = self.gateway.ledger();
        ledger.submit(owner::signed(ledger.genesis(), ledger.head().height, self.account(), body).unwrap()).unwrap()
    }

    pub fn lookup(&self, asset: &AssetView, version: u32, key: i64) -> Lookup {
        let owner = self.gateway.owner();
        let view = self.gateway.ledger().version(&asset.id, version).unwrap().unwrap();
        let keys = owner.asset_keys(&asset.id).unwrap();
        let version = owner.version_ref(&keys, &view).unwrap();
        let (store, schema) = (owner.store().clone(), asset.schema.clone());
        self.runtime.block_on(async move {
            let table = SealedTable::open(store, Arc::new(keys), schema, &version).await.unwrap();
            table.lookup(&[Value::Int(key)]).await.unwrap()
        })
    }

    pub fn proving_key(&self) -> ProvingKey {
        self.gateway.owner().parameters().load(CIRCUIT, self.gateway.ledger().genesis()).unwrap().0
    }

    /// Handles `POST /v1/asks` with a lie; denied requests are passed on as they are.
    pub fn ask(&self, call: &Call, lie: impl Fn(&Truth<'_>) -> Lie) -> Told {
        let request: AskRequest = serde_json::from_slice(&call.body).unwrap();
        let tx = SignedTx::decode(&BASE64.decode(&request.transaction).unwrap()).unwrap();
        let hash = tx.hash();
        let TxBody::Request { asset, .. } = &tx.tx.body else { panic!("no request") };
        let ledger = self.gateway.ledger();
        let asset = ledger.asset(asset).unwrap().unwrap();
        let sender = ledger.account(&tx.tx.sender).unwrap().unwrap();
        let question = BASE64.decode(&request.question).unwrap();
        let opened = envelope::open(self.account(), question_purpose(&hash), &question).unwrap();
        let secret: SecretQuestion = sealgate_ledger::codec::decode("question", &opened).unwrap();
        let receipt = ledger.submit(tx).unwrap();
        let Outcome::Granted { version, .. } = receipt.outcome else {
            let response = AskResponse { proofs: self.proofs(request.seen, &[receipt.entry_index]), sealed: None };
            return Told { response, file: None };
        };
        let Value::Int(key) = secret.question.keys[0][0] else { panic!("another key") };
        let evidence = self.evidence(&asset, version, &hash, &secret.question.items().unwrap(), key);
        let answer = SecretAnswer { request: hash, version, evidence: vec![evidence] };
        let truth = Truth { owner: self, asset, request: hash, version, secret, answer };
        let lie = lie(&truth);

        let receiver = lie.seal_to.unwrap_or(sender.account.encryption_key);
        let seal = || {
            let message = sealgate_ledger::codec::encode(&lie.answer);
            envelope::seal(&receiver, answer_purpose(&hash), &message).unwrap()
        };
        let sealed = seal();
        let digest = if lie.other_envelope { sealed_digest(&seal()) } else { sealed_digest(&sealed) };
        let binding = lie.recorded.as_ref().unwrap_or(&lie.answer).binding(&truth.secret);
        let bytes = lie.other_bytes.unwrap_or_else(|| sealed_bytes(&sealed));
        let charges = vec![];
        let record = self.submit(TxBody::Answer { request: hash, version, binding, sealed: digest, bytes, charges });
        let published = ledger.version(&truth.asset.id, version).unwrap().unwrap().entry_index;
        let entries = [truth.asset.entry_index, published, receipt.entry_index, record.entry_index];
        let proofs = self.proofs(request.seen, &entries);
        let file = self.file(&truth, lie.answer, &proofs);
        Told { response: AskResponse { proofs, sealed: Some(BASE64.encode(sealed)) }, file: Some(file) }
    }

    /// The file that an accomplice would show to others.
    fn file(&self, truth: &Truth<'_>, answer: SecretAnswer, proofs: &LedgerProofs) -> AnswerFile {
        let [registration, publication, request, record]: [EntryProof; 4] = proofs.entries.clone().try_into().unwrap();
        let ledger = self.gateway.ledger();
        let EntryBody::Transaction { tx, .. } = &request.entry.body else { panic!("a request is a transaction") };
        let sender = tx.tx.sender;
        AnswerFile::assemble(Parts {
            name: truth.asset.name.clone(),
            secret: truth.secret.clone(),
            answer,
            schema: truth.asset.schema.clone(),
            verifying_key: Some(self.gateway.verifying_key(CIRCUIT.name()).unwrap().to_vec()),
            genesis: self.gateway.ledger().genesis().clone(),
            handovers: vec![],
            checkpoint: proofs.checkpoint.clone(),
            owner: ledger.account(&truth.asset.owner).unwrap().unwrap().account,
            handed: vec![],
            requester: ledger.account(&sender).unwrap().unwrap().account,
            publication: (publication != registration).then_some(publication),
            registration,
            request,
            record,
        })
    }

    fn proofs(&self, seen: u64, entries: &[u64]) -> LedgerProofs {
        let ledger = self.gateway.ledger();
        let size = ledger.head().tree_size;
        LedgerProofs {
            checkpoint: ledger.checkpoint(),
            consistency: if seen == 0 { vec![] } else { ledger.prove_consistency(seen, size).unwrap() },
            entries: entries.iter().map(|entry| ledger.prove_entry(*entry, size).unwrap()).collect(),
        }
    }

    /// Honest evidence about a record, for a request.
    pub fn evidence(
        &self,
        asset: &AssetView,
        version: u32,
        request: &TxHash,
        items: &[Item<Value>],
        key: i64,
    ) -> Evidence {
        let lookup = self.lookup(asset, version, key);
        let present = lookup.record.as_ref().map(|record| {
            let answers = answers(items, &record.values).unwrap();
            let chain = self.gateway.ledger().genesis().chain_id();
            let bound = context(&chain, request, version);
            let statement =
                Statement::new(CIRCUIT, &asset.schema, items, &answers, &record.commitment, &bound).unwrap();
            let proof = self.proving_key().prove(&asset.schema, &statement, &record.values, &record.salt);
            Present { answers, shown: Shown::Proof(proof.unwrap()) }
        });
        Evidence { place_proof: lookup.place_proof, path: lookup.path, present }
    }
}

/// The circuit of every question that is asked here.
pub const CIRCUIT: Circuit = Circuit::Record15Slots4;

impl Truth<'_> {
    pub fn items(&self) -> Vec<Item<Value>> {
        self.secret.question.items().unwrap()
    }

    /// Honest evidence about another key, for this request.
    pub fn about(&self, key: i64) -> Evidence {
        self.owner.evidence(&self.asset, self.version, &self.request, &self.items(), key)
    }

    /// The true answer with something changed.
    pub fn but(&self, change: impl FnOnce(&mut Evidence)) -> Lie {
        let mut answer = self.answer.clone();
        change(&mut answer.evidence[0]);
        answer.into()
    }

    /// The true answer with other values and the true proof.
    pub fn claiming(&self, claims: Vec<SlotAnswer>) -> Lie {
        self.but(|evidence| evidence.present.as_mut().unwrap().answers = claims)
    }

    /// The true answer with another proof.
    pub fn proven_by(&self, proof: ProofBytes) -> Lie {
        self.but(|evidence| evidence.present.as_mut().unwrap().shown = Shown::Proof(proof))
    }
}

impl From<AskResponse> for Reply {
    fn from(response: AskResponse) -> Self {
        Reply::of(&serde_json::to_value(response).unwrap())
    }
}
