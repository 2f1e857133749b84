//! What requester and owner say to each other, and the hashes that bind it to the ledger
//! (docs/spec/messages.md).

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use sealgate_circuits::bytes::{Context, tagged_hash};
use sealgate_circuits::evidence::Evidence;
use sealgate_circuits::question::{Question, SlotAnswer};
use sealgate_ledger::block::{EntryBody, Outcome};
use sealgate_ledger::checkpoint::SignedCheckpoint;
use sealgate_ledger::ids::{ChainId, Digest, TxHash};
use sealgate_ledger::light::EntryProof;
use sealgate_ledger::merkle::NodeHash;
use serde::{Deserialize, Serialize};

use crate::envelope::Purpose;

sealgate_circuits::byte_newtype!(
    /// 256 random bits that hide a question in its commitment.
    Nonce, 32, "nonce"
);

/// The part of a question that only the owner sees, with its hiding.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SecretQuestion {
    /// Hides the question in the commitment on the ledger.
    pub nonce: Nonce,
    /// The whole question.
    pub question: Question,
}

impl SecretQuestion {
    /// The commitment that the request transaction carries.
    pub fn commitment(&self) -> Digest {
        Digest(tagged_hash("sealgate/question/1", &[&self.nonce.0, &encoded(&self.question)]))
    }
}

/// What the owner seals to the requester.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SecretAnswer {
    /// The request it answers.
    pub request: TxHash,
    /// The version it is from.
    pub version: u32,
    /// For each key of the question the answer and what proves it.
    pub evidence: Vec<Evidence>,
}

impl SecretAnswer {
    /// Hash over nonce, request, version, question and the answers about all its keys, as the ledger
    /// records it (docs/spec/messages.md#hashes).
    pub fn binding(&self, secret: &SecretQuestion) -> Digest {
        let answers: Vec<Option<&Vec<SlotAnswer>>> =
            self.evidence.iter().map(|one| one.present.as_ref().map(|present| &present.answers)).collect();
        Digest(tagged_hash(
            "sealgate/answer/1",
            &[
                &secret.nonce.0,
                &self.request.0,
                &self.version.to_le_bytes(),
                &encoded(&secret.question),
                &encoded(&answers),
            ],
        ))
    }
}

fn encoded<T: BorshSerialize>(value: &T) -> Vec<u8> {
    sealgate_ledger::codec::encode(value)
}

/// What a proof is bound to: the ledger, the request and the version.
pub fn context(chain: &ChainId, request: &TxHash, version: u32) -> Context {
    Context(tagged_hash("sealgate/context/1", &[&chain.0, &request.0, &version.to_le_bytes()]))
}

/// Hash of a sealed answer, as the ledger records it.
pub fn sealed_digest(envelope: &[u8]) -> Digest {
    Digest(tagged_hash("sealgate/sealed-answer/1", &[envelope]))
}

/// Length of a sealed answer, as the ledger records it.
pub fn sealed_bytes(envelope: &[u8]) -> u32 {
    u32::try_from(envelope.len()).unwrap_or(u32::MAX)
}

/// The purpose of a question's envelope.
pub fn question_purpose(request: &TxHash) -> Purpose<'_> {
    Purpose { info: "sealgate/question/1", associated: &request.0 }
}

/// The purpose of an answer's envelope.
pub fn answer_purpose(request: &TxHash) -> Purpose<'_> {
    Purpose { info: "sealgate/answer/1", associated: &request.0 }
}

/// Entries of the ledger with the checkpoint under which they are proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerProofs {
    /// The signed head.
    pub checkpoint: SignedCheckpoint,
    /// Proof that this head extends the one the requester named.
    pub consistency: Vec<NodeHash>,
    /// The proven entries, in the order in which the call names them.
    pub entries: Vec<EntryProof>,
}

/// The body of `POST /v1/asks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskRequest {
    /// The signed request transaction, borsh in base64.
    pub transaction: String,
    /// The sealed [`SecretQuestion`] in base64.
    pub question: String,
    /// Size of the requester's checkpoint; the answer proves consistency with it. 0 for none.
    pub seen: u64,
}

/// What the gateway says to an ask that the ledger decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskResponse {
    /// Registration, publication of the bound version, request and answer; the request alone when
    /// it was denied, request and refusal when it was declined for want of budget.
    pub proofs: LedgerProofs,
    /// The sealed [`SecretAnswer`] in base64; absent when the request was denied or declined.
    pub sealed: Option<String>,
}

/// How far the answer to a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskProgress {
    /// Keys that are answered.
    pub done: u64,
    /// Keys that were asked about.
    pub total: u64,
}

/// The outcome in an entry that should be a transaction's.
pub fn outcome(proof: &EntryProof) -> Option<Outcome> {
    match &proof.entry.body {
        EntryBody::Transaction { outcome, .. } => Some(*outcome),
        EntryBody::Unanswered { .. } => None,
    }
}
