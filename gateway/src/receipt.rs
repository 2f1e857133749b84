//! Receipts: a transaction with everything that shows, offline and to anybody, that it stands on a
//! ledger (docs/spec/receipt.md).

use sealgate_ledger::account::{Signature, VerifyKey};
use sealgate_ledger::block::{EntryBody, Header, Outcome};
use sealgate_ledger::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, origin};
use sealgate_ledger::cosign::{Note, WitnessKey, attach};
use sealgate_ledger::genesis::{Genesis, GenesisError};
use sealgate_ledger::ids::{Address, BlockHeight, ChainId, TxHash};
use sealgate_ledger::light::{EntryProof, LightError, verify_entry};
use sealgate_ledger::member::{Member, MemberSet};
use sealgate_ledger::standing::Handover;
use sealgate_ledger::tx::{SignedTx, TX_BYTES_MAX};
use serde::{Deserialize, Serialize};

use crate::answer_file::{PartyKeys, retract_unwitnessed, unwitnessed};
use crate::asking::{AskFailure, Session};
use crate::client::ClientError;
use crate::home::{Home, HomeError};
use crate::witness::pins::{Witnessed, WitnessedBy, time};

mod shown;

pub use shown::describe;

/// Largest receipt that is read, in bytes: a transaction in JSON has at most some two bytes for each
/// of its own, the genesis of a large network half a megabyte in certificates.
pub const RECEIPT_BYTES_MAX: u64 = 4 * TX_BYTES_MAX as u64 + (4 << 20);
/// Most headers between the transaction's block and the checkpoint's.
pub const HEADERS_MAX: usize = 256;
const FORMAT: &str = "sealgate-receipt/1";

/// A transaction of a ledger, proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// `sealgate-receipt/1`.
    pub format: String,
    /// The ledger's genesis.
    pub genesis: Genesis,
    /// How the members changed from the genesis to the checkpoint's block; usually not at all.
    pub handovers: Vec<Handover>,
    /// The checkpoint under which the entry is proven: the members' signatures, then one
    /// cosignature of each witness named, and no other line.
    pub checkpoint: SignedCheckpoint,
    /// Keys of the witnesses whose cosignatures the checkpoint carries. Whether they are to be
    /// trusted is the reader's to say.
    pub witnesses: Vec<WitnessKey>,
    /// The headers from the entry's block to the checkpoint's, at most [`HEADERS_MAX`]; or the
    /// checkpoint's block's alone.
    pub headers: Vec<Header>,
    /// Public keys of the transaction's sender.
    pub sender: PartyKeys,
    /// The entry: the signed transaction and its outcome.
    pub entry: EntryProof,
}

/// Why a receipt shows nothing, or cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Not a receipt, or not in its one canonical spelling.
    #[error("the file is not a canonical receipt: {0}")]
    Form(String),
    /// The genesis breaks a rule.
    #[error("the genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// The home: trust, checkpoint, what was seen.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The checkpoint's signature lines.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The entry is not in the ledger of the checkpoint.
    #[error("the transaction: {0}")]
    Entry(#[from] LightError),
    /// The headers do not lead to the checkpoint.
    #[error("the headers: {0}")]
    Headers(&'static str),
    /// The transaction is not what it should be.
    #[error("the transaction: {0}")]
    Transaction(String),
    /// The ledger does not have it.
    #[error("the ledger has no transaction {0}: is it this ledger's, and was it accepted?")]
    Unknown(TxHash),
    /// The gateway.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The gateway's ledger against the home.
    #[error(transparent)]
    Session(#[from] AskFailure),
}

/// What a receipt shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The ledger.
    pub fingerprint: ChainId,
    /// What it is called.
    pub ledger: String,
    /// The transaction.
    pub transaction: TxHash,
    /// Who signed it.
    pub sender: Address,
    /// The sender's decentralised identifier.
    pub did: String,
    /// What it does, a line for each part.
    pub action: Vec<String>,
    /// What came of it.
    pub outcome: String,
    /// The block that holds it.
    pub block: BlockHeight,
    /// Its position among the ledger's entries.
    pub entry_index: u64,
    /// That block's time, RFC 3339; or that of a later block, which it is not later than.
    pub time: String,
    /// Whether `time` is that of the transaction's own block.
    pub time_exact: bool,
    /// Entries the checkpoint covers.
    pub checkpoint_size: u64,
    /// Each check that was made and held.
    pub checks: Vec<String>,
    /// What the receipt does not show.
    pub notes: Vec<String>,
    /// The pinned witnesses that cosigned.
    pub witnesses: Vec<WitnessedBy>,
}

impl Receipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// [`ReceiptError::Form`] for anything but the canonical spelling.
    pub fn read(bytes: &[u8]) -> Result<Receipt, ReceiptError> {
        let receipt: Receipt = serde_json::from_slice(bytes).map_err(|error| ReceiptError::Form(error.to_string()))?;
        if receipt.format != FORMAT {
            return Err(ReceiptError::Form(format!("its format is '{}', not '{FORMAT}'", receipt.format)));
        }
        if receipt.to_bytes()? != bytes {
            return Err(ReceiptError::Form("the same content is spelled in another way".into()));
        }
        Ok(receipt)
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// [`ReceiptError::Form`] never in practice: memory is written to.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ReceiptError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| ReceiptError::Form(error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Checks everything in the receipt against a home that trusts its ledger and has followed its
    /// handovers ([`Home::follow_members`]). How the checkpoint relates to what the home has seen is the caller's to settle.
    ///
    /// # Errors
    /// [`ReceiptError`], the first check that fails.
    pub fn verify(&self, home: &Home) -> Result<Shown, ReceiptError> {
        self.genesis.validate()?;
        let chain = home.admit(&self.genesis)?;
        let (checkpoint, members) = home.signers(&self.genesis, &self.checkpoint)?;
        self.check_handovers(&chain, &members)?;
        check_lines(&self.checkpoint, &checkpoint, &chain, &members, &self.witnesses)?;
        let mut checks = vec![format!(
            "ledger '{}': its fingerprint is trusted here, and the checkpoint over {} entries is signed by its members",
            self.genesis.name, checkpoint.size
        )];
        verify_entry(&self.entry, &checkpoint)?;
        let EntryBody::Transaction { tx, outcome } = &self.entry.entry.body else {
            return Err(ReceiptError::Transaction("the entry is no transaction".into()));
        };
        checks.push(format!(
            "inclusion: the transaction and its outcome are entry {} of the ledger, in block {}",
            self.entry.entry_index, self.entry.entry.height
        ));
        self.check_signed(tx, &chain)?;
        checks.push(format!("signature: {} signed the transaction for this ledger", tx.tx.sender));
        let (time, time_exact) = self.check_headers(&checkpoint)?;
        // Members of before who are still members could have signed it as well.
        if self.headers.last().is_none_or(|last| last.epoch != members.epoch) {
            return Err(ReceiptError::Headers("the checkpoint's block is of another epoch than its signers"));
        }
        checks.push(match time_exact {
            true => "time: the block's header is the one that the checkpoint's block builds on".into(),
            false => "time: that of the checkpoint's block, which came later".into(),
        });
        let sender = self.sender.account();
        Ok(Shown {
            fingerprint: chain,
            ledger: self.genesis.name.clone(),
            transaction: tx.hash(),
            sender: tx.tx.sender,
            did: sender.did(),
            action: describe(&tx.tx.body),
            outcome: outcome_text(outcome),
            block: self.entry.entry.height,
            entry_index: self.entry.entry_index,
            time,
            time_exact,
            checkpoint_size: checkpoint.size,
            checks,
            notes: self.notes(),
            witnesses: Vec::new(),
        })
    }

    /// That the handovers lead from the genesis to the checkpoint's members, and no further.
    fn check_handovers(&self, chain: &ChainId, members: &MemberSet) -> Result<(), ReceiptError> {
        let mut reached = self.genesis.members();
        for handover in &self.handovers {
            handover.verify(chain, &reached).map_err(HomeError::from)?;
            check_lines(&handover.head.checkpoint, &Checkpoint::of(&handover.head.header), chain, &reached, &[])?;
            reached = handover.members.clone();
        }
        if reached == *members {
            Ok(())
        } else {
            Err(ReceiptError::Form("its handovers do not lead to its checkpoint's members".into()))
        }
    }

    /// That the transaction is of this ledger, within its bounds, and signed by the account with
    /// these keys, of which its address is the hash.
    fn check_signed(&self, tx: &SignedTx, chain: &ChainId) -> Result<(), ReceiptError> {
        let wrong = |what: &dyn std::fmt::Display| ReceiptError::Transaction(what.to_string());
        if tx.tx.chain != *chain {
            return Err(wrong(&"it belongs to another ledger"));
        }
        tx.validate().map_err(|error| wrong(&error))?;
        tx.verify(&self.sender.account()).map_err(|error| wrong(&error))
    }

    /// The time that the headers show, and whether it is the transaction's own block's.
    fn check_headers(&self, checkpoint: &Checkpoint) -> Result<(String, bool), ReceiptError> {
        let wrong = ReceiptError::Headers;
        let (Some(first), Some(last)) = (self.headers.first(), self.headers.last()) else {
            return Err(wrong("there are none"));
        };
        if self.headers.len() > HEADERS_MAX {
            return Err(wrong("there are too many"));
        }
        if Checkpoint::of(last) != *checkpoint {
            return Err(wrong("the last is not that of the checkpoint's block"));
        }
        let linked = |pair: &[Header]| match pair {
            [before, next] => next.previous == before.hash() && next.height == before.height.next(),
            _ => false,
        };
        if !self.headers.windows(2).all(linked) {
            return Err(wrong("they do not follow each other"));
        }
        let (height, index) = (self.entry.entry.height, self.entry.entry_index);
        let exact = first.height == height;
        if exact && !(first.first_entry..first.tree_size).contains(&index) {
            return Err(wrong("the transaction's block has not that entry"));
        }
        if !exact && (self.headers.len() > 1 || first.height < height) {
            return Err(wrong("they do not begin at the transaction's block"));
        }
        Ok((time(first.time_ms / 1000), exact))
    }

    fn notes(&self) -> Vec<String> {
        vec![
            unwitnessed(&self.genesis).to_owned(),
            "that the ledger's rules were kept rests on its members until 'sealgate audit --gateway' has replayed them"
                .to_owned(),
            "what became of it later is not shown: a grant may have been revoked since, an asset withdrawn".to_owned(),
            "who the sender is beyond its keys is not shown, and not that what it says is true".to_owned(),
        ]
    }
}

impl Shown {
    /// Adds what the witnesses that the reader pins say of the checkpoint.
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

/// That every signature line of a note is one that counts: the members', each once, then one of each
/// witness named, in that order.
fn check_lines(
    signed: &SignedCheckpoint,
    checkpoint: &Checkpoint,
    chain: &ChainId,
    members: &MemberSet,
    witnesses: &[WitnessKey],
) -> Result<(), ReceiptError> {
    let form = |what| ReceiptError::Checkpoint(CheckpointError::Form(what));
    let (own, note) = (origin(chain), Note::read(&signed.0)?);
    let count = note.lines.iter().take_while(|line| line.name == own).count();
    let (by_members, cosigned) = note.lines.split_at_checked(count).unwrap_or_default();
    let mut seen: Vec<VerifyKey> = Vec::new();
    for line in by_members {
        let signature = <[u8; 64]>::try_from(line.signature.as_slice()).map(Signature);
        let signature = signature.map_err(|_| CheckpointError::Signature)?;
        let is_of = |member: &&Member| {
            checkpoint.with(chain, &[(member.node_key, signature)]).0.ends_with(&format!("\n{}\n", line.line))
                && checkpoint.is_signed(chain, &member.node_key, &signature)
        };
        let signer = members.members.iter().find(is_of).map(|member| member.node_key);
        match signer.filter(|signer| !seen.contains(signer)) {
            Some(signer) => seen.push(signer),
            None => return Err(form("it has a line in the ledger's name that is no member's, or one twice")),
        }
    }
    if cosigned.len() != witnesses.len() {
        return Err(form("it has not one cosignature of each witness that the receipt names"));
    }
    for (key, line) in witnesses.iter().zip(cosigned) {
        if !key.is_of(line) || key.cosigned(signed)?.is_none() {
            return Err(form("a cosignature is not by the witness that the receipt names for it"));
        }
    }
    Ok(())
}

fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted => "accepted".into(),
        Outcome::Granted { version, deadline } => {
            format!("granted, bound to version {version}, to be answered by block {deadline}")
        }
        Outcome::Denied { reason } => format!("denied: {reason}"),
    }
}

/// The receipt of a transaction, from a ledger that is one's own.
///
/// # Errors
/// [`LedgerError`](sealgate_ledger::LedgerError) when the ledger cannot be read.
pub fn of_ledger(
    ledger: &sealgate_ledger::Ledger,
    hash: &TxHash,
) -> Result<Option<Receipt>, sealgate_ledger::LedgerError> {
    let Some(found) = ledger.receipt(hash)? else { return Ok(None) };
    let (head, signed) = ledger.signed_head();
    // The index may be ahead of what is signed.
    if found.entry_index >= head.tree_size {
        return Ok(None);
    }
    let entry = ledger.prove_entry(found.entry_index, head.tree_size)?;
    let EntryBody::Transaction { tx, .. } = &entry.entry.body else { return Ok(None) };
    let Some(sender) = ledger.account(&tx.tx.sender)? else { return Ok(None) };
    let mut handovers: Vec<Handover> = Vec::new();
    while (handovers.len() as u64) < head.epoch {
        let next = ledger.handovers(handovers.len() as u64)?;
        if next.is_empty() {
            break;
        }
        handovers.extend(next);
    }
    handovers.retain(|handover| handover.members.epoch <= head.epoch);
    let genesis = ledger.genesis().clone();
    let Ok((checkpoint, witnesses)) = own_lines(&genesis, &signed, &[]) else { return Ok(None) };
    let from = entry.entry.height;
    let headers = match head.height.0.saturating_sub(from.0) {
        between if between >= HEADERS_MAX as u64 => vec![head],
        between => {
            let before = (0..between).map(|n| ledger.block(from.plus(n)).map(|block| block.header));
            let mut headers = before.collect::<Result<Vec<_>, _>>()?;
            headers.push(head);
            headers
        }
    };
    let sender = PartyKeys::of(&sender.account);
    Ok(Some(Receipt { format: FORMAT.into(), genesis, handovers, checkpoint, witnesses, headers, sender, entry }))
}

/// Fetches everything that shows a transaction, under the session's head, and checks it.
///
/// # Errors
/// [`ReceiptError`]; nothing that does not verify is returned.
pub async fn fetch(session: &Session<'_>, hash: &TxHash) -> Result<(Receipt, Shown), ReceiptError> {
    let found = session.client.receipt(hash).await?.ok_or(ReceiptError::Unknown(*hash))?;
    let entry = session.client.entry(found.entry_index, session.checkpoint.size).await?;
    let EntryBody::Transaction { tx, .. } = &entry.entry.body else {
        return Err(ReceiptError::Transaction("the gateway shows an entry that is no transaction".into()));
    };
    if tx.hash() != *hash {
        return Err(ReceiptError::Transaction("the gateway shows another than the one asked for".into()));
    }
    let sender = session.client.account(&tx.tx.sender).await?;
    let sender = sender.ok_or_else(|| ReceiptError::Transaction("the gateway does not know its sender".into()))?;
    let pins = session.home.pins(&session.genesis.chain_id()).map_err(HomeError::from)?;
    let (checkpoint, witnesses) = own_lines(&session.genesis, &session.signed, &pins.witnesses)?;
    let receipt = Receipt {
        format: FORMAT.into(),
        genesis: session.genesis.clone(),
        handovers: session.home.handovers_to(&session.genesis, &session.signed)?,
        checkpoint,
        witnesses,
        headers: headers(session, entry.entry.height).await?,
        sender: PartyKeys::of(&sender.account),
        entry,
    };
    let mut shown = receipt.verify(session.home)?;
    shown.witness(session.witnessed.clone());
    Ok((receipt, shown))
}

/// A checkpoint with the lines that a reader can check: the members', each once, and the latest of
/// each pinned witness; and those witnesses' keys.
fn own_lines(
    genesis: &Genesis,
    signed: &SignedCheckpoint,
    pinned: &[WitnessKey],
) -> Result<(SignedCheckpoint, Vec<WitnessKey>), ReceiptError> {
    let (own, note) = (origin(&genesis.chain_id()), Note::read(&signed.0)?);
    let mut lines: Vec<&str> = Vec::new();
    for line in note.lines.iter().filter(|line| line.name == own) {
        if !lines.contains(&line.line) {
            lines.push(line.line);
        }
    }
    let mut witnesses = Vec::new();
    for key in pinned {
        let bare = SignedCheckpoint(format!("{}\n", note.text));
        let of_key = note.lines.iter().filter(|line| key.is_of(line));
        let latest = of_key.max_by_key(|line| key.cosigned(&attach(&bare, [line.line])).ok().flatten());
        if let Some(line) = latest {
            lines.push(line.line);
            witnesses.push(key.clone());
        }
    }
    Ok((attach(&SignedCheckpoint(format!("{}\n", note.text)), lines), witnesses))
}

/// The headers from a block to the session's head, or the head's alone where they are too many.
async fn headers(session: &Session<'_>, from: BlockHeight) -> Result<Vec<Header>, ReceiptError> {
    let last = session.header.clone();
    let between = last.height.0.saturating_sub(from.0);
    if between >= HEADERS_MAX as u64 {
        return Ok(vec![last]);
    }
    let mut headers: Vec<Header> = Vec::new();
    while (headers.len() as u64) < between {
        let next = from.plus(headers.len() as u64);
        let blocks = session.client.blocks(next).await?;
        let wanted = between.saturating_sub(headers.len() as u64);
        let before = headers.len();
        headers.extend(blocks.into_iter().map(|block| block.header).take(usize::try_from(wanted).unwrap_or(0)));
        if headers.len() == before {
            return Err(ReceiptError::Headers("the gateway shows fewer blocks than its checkpoint covers"));
        }
    }
    headers.push(last);
    Ok(headers)
}
