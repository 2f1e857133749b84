//! What is checked of a transaction before it is ordered: bounds, ledger, signature.

use super::query;
use super::rejection::{ExecuteError, Rejection};
use crate::account::{AccountError, VerifyKey};
use crate::codec::encode;
use crate::ids::{BlockHeight, ChainId, TxHash};
use crate::index::Read;
use crate::signature::{Claim, all_hold};
use crate::tx::{SignedTx, TxBody};

/// A batch that does not hold is checked again in parts of so many.
const PART: usize = 32;

/// A transaction of which all has been checked but the signature.
#[derive(Debug, Clone)]
pub(crate) struct Unverified {
    tx: VerifiedTx,
    key: VerifyKey,
}

/// A transaction whose bounds, ledger and signature have been checked.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedTx {
    pub(super) hash: TxHash,
    pub(super) bytes: usize,
    pub(super) signed: SignedTx,
}

impl Unverified {
    /// Checks everything about a transaction that no other transaction can change, but for the
    /// signature: an account's keys are fixed by its address.
    pub(crate) fn new<R: Read + ?Sized>(
        chain: &ChainId,
        signed: SignedTx,
        state: &R,
    ) -> Result<Unverified, ExecuteError> {
        signed.validate()?;
        let tx = &signed.tx;
        if tx.chain != *chain {
            return Err(Rejection::WrongChain { found: tx.chain, expected: *chain }.into());
        }
        let key = match &tx.body {
            TxBody::OpenAccount { account, .. } if account.address() == tx.sender => account.verify_key,
            _ => {
                let sender = query::account(state, &tx.sender)?.ok_or(Rejection::UnknownSender(tx.sender))?;
                sender.account.verify_key
            }
        };
        let content = encode(tx);
        let bytes = content.len() + signed.signature.0.len();
        Ok(Unverified { tx: VerifiedTx { hash: signed.hash_of(&content), bytes, signed }, key })
    }

    pub(crate) fn hash(&self) -> TxHash {
        self.tx.hash
    }

    /// The signature is over the hash: both are over the same bytes under the same domain.
    fn claim(&self) -> Claim<'_> {
        Claim { key: &self.key, message: &self.tx.hash.0, signature: &self.tx.signed.signature }
    }

    /// Refuses one that is in no block, if the rules refuse it behind `head` whatever else is ordered:
    /// it expired, its sender is closed, or it opens an account that is open already or that only
    /// members may open. A new key costs nothing, so what it signs must not cost the ledger a block.
    pub(crate) fn admit<R: Read + ?Sized>(&self, head: BlockHeight, state: &R) -> Result<(), ExecuteError> {
        let tx = &self.tx.signed.tx;
        if tx.expiry <= head {
            return Err(Rejection::Expired { expiry: tx.expiry, height: head.next() }.into());
        }
        let known = query::account(state, &tx.sender)?;
        if let Some(sender) = &known {
            sender.check_open()?;
        }
        match &tx.body {
            TxBody::OpenAccount { account, .. } if account.address() == tx.sender => {
                if query::members(state)?.member(&tx.sender).is_none() && !query::policy(state)?.open_enrolment {
                    return Err(Rejection::EnrolmentClosed.into());
                }
                known.map_or(Ok(()), |_| Err(Rejection::AlreadyEnrolled(tx.sender).into()))
            }
            _ => Ok(()),
        }
    }

    fn verify(self) -> Result<VerifiedTx, ExecuteError> {
        if self.claim().holds() {
            Ok(self.tx)
        } else {
            Err(Rejection::from(AccountError::Signature(self.tx.signed.tx.sender)).into())
        }
    }
}

impl VerifiedTx {
    pub(crate) fn hash(&self) -> TxHash {
        self.hash
    }

    /// What was checked.
    #[cfg(feature = "simplex")]
    pub(crate) fn signed(&self) -> &SignedTx {
        &self.signed
    }

    /// What was checked, to be ordered.
    #[cfg(feature = "simplex")]
    pub(crate) fn into_signed(self) -> SignedTx {
        self.signed
    }

    /// Size of its canonical encoding.
    #[cfg(feature = "simplex")]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Checks everything about transactions that no other transaction can change, signatures together;
/// the answers are in order.
pub(crate) fn verify_new<R: Read + ?Sized>(
    chain: &ChainId,
    txs: impl IntoIterator<Item = SignedTx>,
    state: &R,
) -> Vec<Result<VerifiedTx, ExecuteError>> {
    let (mut unverified, mut refused) = (Vec::new(), Vec::new());
    for tx in txs {
        refused.push(Unverified::new(chain, tx, state).map(|tx| unverified.push(tx)).err());
    }
    let mut verified = verify_all(unverified).into_iter();
    refused
        .into_iter()
        .filter_map(|refused| refused.map_or_else(|| verified.next(), |error| Some(Err(error))))
        .collect()
}

/// Checks signatures together: the same answers as one by one, several times as fast if most hold.
pub(crate) fn verify_all(txs: Vec<Unverified>) -> Vec<Result<VerifiedTx, ExecuteError>> {
    let holds = |txs: &[Unverified]| all_hold(&txs.iter().map(Unverified::claim).collect::<Vec<_>>());
    if txs.len() > 1 && holds(&txs) {
        return txs.into_iter().map(|unverified| Ok(unverified.tx)).collect();
    }
    if txs.len() <= PART {
        return txs.into_iter().map(Unverified::verify).collect();
    }
    let mut all = Vec::with_capacity(txs.len());
    let mut rest = txs;
    while !rest.is_empty() {
        let next = rest.split_off(rest.len().min(PART));
        all.extend(verify_all(rest));
        rest = next;
    }
    all
}
