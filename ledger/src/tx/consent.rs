//! A receiver's word that it takes an asset: without it nobody is made an owner
//! (docs/spec/members.md#assets-that-change-hands).

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::{AccountError, AccountPublic, AccountSecret, Signature};
use crate::codec::encode;
use crate::ids::{Address, AssetId, BlockHeight, ChainId};

/// Domain of a receiver's signature.
const DOMAIN: &str = "sealgate/consent/1";

/// What a receiver agrees to: one handing over of one asset, and no other.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handing {
    /// The ledger.
    pub chain: ChainId,
    /// The asset.
    pub asset: AssetId,
    /// Its owner until then.
    pub from: Address,
    /// Its owner from then on, who signs.
    pub to: Address,
    /// How often the asset has been handed over before.
    pub handed: u32,
    /// The last block that may hand it over.
    pub expiry: BlockHeight,
}

/// The receiver's signature as a transfer carries it. All else that it covers is on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// The last block that may hold the transfer.
    pub expiry: BlockHeight,
    /// Ed25519 over the tagged hash of the [`Handing`].
    pub signature: Signature,
}

impl Handing {
    /// Signs with the receiver's key.
    pub fn sign(&self, receiver: &AccountSecret) -> Consent {
        Consent { expiry: self.expiry, signature: receiver.sign(DOMAIN, &encode(self)) }
    }

    /// Checks that this is what `receiver` signed.
    ///
    /// # Errors
    /// [`AccountError`] when the receiver is another account, or the signature is not its.
    pub fn verify(&self, receiver: &AccountPublic, signature: &Signature) -> Result<(), AccountError> {
        if receiver.address() != self.to {
            return Err(AccountError::Signature(self.to));
        }
        receiver.verify(DOMAIN, &encode(self), signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::secret;

    #[test]
    fn a_consent_is_for_one_handing_alone() {
        let (receiver, other) = (secret("x", 1), secret("y", 2));
        let handing = Handing {
            chain: ChainId([1; 32]),
            asset: AssetId([2; 32]),
            from: other.address(),
            to: receiver.address(),
            handed: 3,
            expiry: BlockHeight(4),
        };
        let consent = handing.sign(&receiver);
        handing.verify(receiver.public(), &consent.signature).unwrap();
        for changed in [
            Handing { chain: ChainId([9; 32]), ..handing.clone() },
            Handing { asset: AssetId([9; 32]), ..handing.clone() },
            Handing { from: receiver.address(), ..handing.clone() },
            Handing { to: other.address(), ..handing.clone() },
            Handing { handed: 4, ..handing.clone() },
            Handing { expiry: BlockHeight(5), ..handing.clone() },
        ] {
            assert!(changed.verify(receiver.public(), &consent.signature).is_err(), "{changed:?}");
        }
        assert!(handing.verify(other.public(), &handing.sign(&other).signature).is_err());
        // A transaction's signature is none, whatever it covers.
        let elsewhere = receiver.sign("sealgate/tx/1", &encode(&handing));
        assert!(handing.verify(receiver.public(), &elsewhere).is_err());
    }
}
