//! Assets that change hands: the receiver's consent, the transfer that carries it, and what a successor
//! takes over (docs/spec/members.md#assets-that-change-hands).

use sealgate_ledger::account::{AccountSecret, Signature};
use sealgate_ledger::block::Receipt;
use sealgate_ledger::ids::{Address, BlockHeight, ChainId};
use sealgate_ledger::state::{AssetView, SUCCESSIONS_MAX};
use sealgate_ledger::tx::{Consent, Handing, TxBody};
use serde::{Deserialize, Serialize};

use crate::owner::{Access, OwnerError};

/// A receiver's consent as it is passed to the owner, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHanding {
    /// What the receiver agrees to.
    pub handing: Handing,
    /// Its signature.
    pub signature: Signature,
}

/// Why a consent is not for the transfer that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// It is for something else.
    #[error("the consent is {what}: ask the receiver for another ('sealgate asset accept')")]
    Other {
        /// For what.
        what: &'static str,
    },
}

impl SignedHanding {
    /// The receiver agrees to be given the asset as it stands, up to the block `expiry`.
    pub fn new(chain: ChainId, asset: &AssetView, expiry: BlockHeight, receiver: &AccountSecret) -> SignedHanding {
        let handing = asset.handing(chain, receiver.address(), expiry);
        let Consent { signature, .. } = handing.sign(receiver);
        SignedHanding { handing, signature }
    }

    /// The transfer of the asset as it stands to `to`.
    ///
    /// # Errors
    /// [`ConsentError`] when that is not what the receiver agreed to.
    pub fn transfer(self, chain: ChainId, asset: &AssetView, to: Address) -> Result<TxBody, ConsentError> {
        let meant = asset.handing(chain, to, self.handing.expiry);
        let other = |what| Err(ConsentError::Other { what });
        match &self.handing {
            handing if *handing == meant => {}
            handing if handing.chain != meant.chain => return other("for another ledger"),
            handing if handing.asset != meant.asset => return other("for another asset"),
            handing if handing.to != meant.to => return other("another account's"),
            _ => return other("for another owner, or of before the asset last changed hands"),
        }
        let consent = Consent { expiry: self.handing.expiry, signature: self.signature };
        Ok(TxBody::Transfer { asset: asset.id, to, consent })
    }
}

/// The assets of closed accounts that `account` succeeds and may take over.
///
/// # Errors
/// [`OwnerError`].
pub async fn inherited(access: &Access, account: &Address) -> Result<Vec<AssetView>, OwnerError> {
    let mut found = access.assets(None).await?;
    found.retain(|asset| asset.withdrawn.is_none() && asset.owner != *account);
    let mut owners: Vec<Address> = found.iter().map(|asset| asset.owner).collect();
    owners.sort_unstable();
    owners.dedup();
    let mut succeeded = Vec::new();
    for owner in owners {
        let mut last = owner;
        for _ in 0..SUCCESSIONS_MAX {
            let Some(next) = access.account(&last).await?.and_then(|view| view.successor) else { break };
            if next == *account {
                succeeded.push(owner);
                break;
            }
            last = next;
        }
    }
    found.retain(|asset| succeeded.contains(&asset.owner));
    Ok(found)
}

/// Takes an asset over from the account that it succeeds.
///
/// # Errors
/// [`OwnerError`].
pub async fn take_over(access: &Access, asset: &AssetView, account: &AccountSecret) -> Result<Receipt, OwnerError> {
    let (chain, expiry) = (access.genesis().await?.chain_id(), access.expiry().await?);
    let to = account.address();
    let consent = asset.handing(chain, to, expiry).sign(account);
    access.submit(account, TxBody::Transfer { asset: asset.id, to, consent }).await
}

#[cfg(test)]
mod tests {
    use sealgate_ledger::account::EncryptionKey;
    use sealgate_ledger::ids::AssetId;

    use super::*;

    #[test]
    fn a_consent_is_for_the_transfer_that_is_meant() {
        let receiver = AccountSecret::from_parts("x", [1; 32], [1; 32], EncryptionKey([1; 32])).unwrap();
        let handing = Handing {
            chain: ChainId([1; 32]),
            asset: AssetId([2; 32]),
            from: Address([3; 32]),
            to: receiver.address(),
            handed: 0,
            expiry: BlockHeight(9),
        };
        let signed = SignedHanding { signature: handing.sign(&receiver).signature, handing };
        let json = serde_json::to_string(&signed).unwrap();
        assert_eq!(serde_json::from_str::<SignedHanding>(&json).unwrap(), signed);
        assert!(serde_json::from_str::<SignedHanding>(&json.replace("signature", "sig")).is_err());
    }
}
