//! Verifying what somebody holds, an answer or a receipt, against a home's trust: what `sealgate
//! verify` and the console both do, before either shows anything of it.

use sealgate_ledger::genesis::GenesisError;
use sealgate_ledger::ids::Address;

use crate::answer_file::{AnswerError, AnswerFile, Verified};
use crate::asking::{AskFailure, connect};
use crate::client::Client;
use crate::files::FileError;
use crate::home::{Asked, Home, HomeError, Relation};
use crate::receipt::{Receipt, ReceiptError, Shown};

/// Why something does not verify, or was not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyFailure {
    /// The answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The receipt.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The genesis in it breaks a rule.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The home: trust, and what was seen.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The gateway does not connect its checkpoint to what was seen.
    #[error(transparent)]
    Unconnected(#[from] AskFailure),
    /// It answers another question than this home asked.
    #[error("it is not about the question that this home asked")]
    OtherQuestion,
    /// A file of the home.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process of this home met the ledger at the same moment.
    #[error("another command of this home has just met this ledger; run verify again")]
    Meanwhile,
}

/// Verifies an answer file against a home's trust; `expected` is who should have asked. The gateway
/// is asked only when the answer's checkpoint is new to this home.
///
/// # Errors
/// [`VerifyFailure`], the first check that fails.
pub async fn answer(
    home: &Home,
    client: Option<&Client>,
    expected: &Address,
    bytes: &[u8],
) -> Result<(AnswerFile, Verified), VerifyFailure> {
    let opened = open(home, expected, bytes)?;
    match (opened.relation, client) {
        (Relation::Newer(_) | Relation::Older(_), Some(client)) => {
            connect(home, client, &opened.file.genesis, &opened.file.checkpoint).await?;
            opened.witnessed(home)
        }
        _ => opened.settled(home),
    }
}

/// The same without any gateway.
///
/// # Errors
/// [`VerifyFailure`]; [`HomeError::Unconnected`] for a checkpoint that is new to this home.
pub fn answer_offline(home: &Home, expected: &Address, bytes: &[u8]) -> Result<(AnswerFile, Verified), VerifyFailure> {
    open(home, expected, bytes)?.settled(home)
}

/// An answer that verifies by itself; how its checkpoint relates to what was seen is still open.
struct Opened {
    file: AnswerFile,
    verified: Verified,
    relation: Relation,
    size: u64,
}

fn open(home: &Home, expected: &Address, bytes: &[u8]) -> Result<Opened, VerifyFailure> {
    let file = AnswerFile::read(bytes)?;
    file.genesis.validate()?;
    home.follow_members(&file.genesis, &file.handovers)?;
    let (checkpoint, relation) = home.relation(&file.genesis, &file.checkpoint)?;
    let verified = file.verify(&checkpoint, expected)?;
    let same = |asked: Asked| asked.purpose == verified.purpose && asked.nonce == file.nonce;
    if !home.asked(&verified.request)?.is_none_or(same) {
        return Err(VerifyFailure::OtherQuestion);
    }
    Ok(Opened { file, verified, relation, size: checkpoint.size })
}

impl Opened {
    /// Without a gateway.
    fn settled(self, home: &Home) -> Result<(AnswerFile, Verified), VerifyFailure> {
        match self.relation {
            Relation::Known => {}
            Relation::First => {
                if !home.accept(&self.file.genesis, &self.file.checkpoint, 0, &[])? {
                    return Err(VerifyFailure::Meanwhile);
                }
            }
            Relation::Newer(highest) | Relation::Older(highest) => {
                let (size, home) = (self.size, home.folder().to_owned());
                return Err(HomeError::Unconnected { size, highest, home }.into());
            }
        }
        self.witnessed(home)
    }

    fn witnessed(mut self, home: &Home) -> Result<(AnswerFile, Verified), VerifyFailure> {
        let Opened { file, verified, .. } = &mut self;
        home.same_version(&file.genesis.chain_id(), &verified.asset, verified.version, &verified.root)?;
        let said = home.require_witnessed(&file.genesis, &file.checkpoint)?;
        verified.witness(said);
        Ok((self.file, self.verified))
    }
}

/// Verifies a receipt against a home's trust. A gateway is asked only whether its checkpoint and those
/// that this home has seen are of one history; without one that is noted as not compared.
///
/// # Errors
/// [`VerifyFailure`], the first check that fails.
pub async fn receipt(home: &Home, client: Option<&Client>, bytes: &[u8]) -> Result<Shown, VerifyFailure> {
    let receipt = Receipt::read(bytes)?;
    receipt.genesis.validate()?;
    home.admit(&receipt.genesis)?;
    home.follow_members(&receipt.genesis, &receipt.handovers)?;
    let mut shown = receipt.verify(home)?;
    let (_, relation) = home.relation(&receipt.genesis, &receipt.checkpoint)?;
    match (relation, client) {
        (Relation::Known, _) => {}
        (Relation::First, _) => {
            if !home.accept(&receipt.genesis, &receipt.checkpoint, 0, &[])? {
                return Err(VerifyFailure::Meanwhile);
            }
        }
        (Relation::Newer(_) | Relation::Older(_), Some(client)) => {
            connect(home, client, &receipt.genesis, &receipt.checkpoint).await?;
        }
        (Relation::Newer(highest) | Relation::Older(highest), None) => shown.notes.push(format!(
            "the receipt's checkpoint was not compared with the {highest} entries that this home has seen: name the ledger's gateway with --gateway to rule out a second history"
        )),
    }
    shown.witness(home.require_witnessed(&receipt.genesis, &receipt.checkpoint)?);
    let pins = home.pins(&shown.fingerprint)?;
    for key in receipt.witnesses.iter().filter(|key| !pins.witnesses.contains(key)) {
        shown.notes.push(format!("cosigned by {key}, which this home does not pin"));
    }
    Ok(shown)
}
