//! Accounts: what the ledger knows of one, and the secrets its owner keeps
//! (docs/spec/ledger.md#accounts).

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signer, SigningKey};
use schemars::JsonSchema;
use sealgate_circuits::byte_newtype;
use sealgate_circuits::bytes::tagged_hash;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::ids::Address;
use crate::signature::{Claim, is_usable};

/// Longest name of an account, in bytes.
pub const NAME_BYTES_MAX: usize = 100;

byte_newtype!(
    /// An Ed25519 public key (RFC 8032).
    VerifyKey, 32, "verify key"
);
byte_newtype!(
    /// An X25519 public key (RFC 7748); only carried here, for those who seal to the account.
    EncryptionKey, 32, "encryption key"
);
byte_newtype!(
    /// An Ed25519 signature.
    Signature, 64, "signature"
);

/// What everybody knows of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountPublic {
    /// Verifies the account's signatures.
    pub verify_key: VerifyKey,
    /// Messages to the account are sealed to it.
    pub encryption_key: EncryptionKey,
    /// What the account calls itself: 1 to [`NAME_BYTES_MAX`] bytes, no control characters.
    pub name: String,
}

/// Why an account cannot be one, or why a signature is not its.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The name is empty, too long or holds control characters.
    #[error("'{0}' cannot be an account's name: 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Name(String),
    /// The verify key is no point of the curve, or of small order.
    #[error("the verify key {0} is not a usable Ed25519 key: make a new account")]
    VerifyKey(VerifyKey),
    /// The signature is not the account's over this message.
    #[error("the signature is not {0}'s over this message: sign again with that account's key")]
    Signature(Address),
    /// The operating system gave no randomness.
    #[error("the operating system's random number generator failed: {0}")]
    Randomness(String),
}

impl AccountPublic {
    /// The account's address.
    pub fn address(&self) -> Address {
        Address::of(&self.verify_key, &self.encryption_key)
    }

    /// The account's decentralised identifier: `did:key` of its Ed25519 key
    /// (W3C did:key, multicodec 0xed 0x01, base58btc).
    pub fn did(&self) -> String {
        let mut bytes = vec![0xed, 0x01];
        bytes.extend_from_slice(&self.verify_key.0);
        format!("did:key:z{}", bs58::encode(bytes).into_string())
    }

    /// Checks name and verify key.
    ///
    /// # Errors
    /// [`AccountError::Name`], [`AccountError::VerifyKey`].
    pub fn validate(&self) -> Result<(), AccountError> {
        let name = &self.name;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(AccountError::Name(name.escape_debug().take(60).collect()));
        }
        if is_usable(&self.verify_key) { Ok(()) } else { Err(AccountError::VerifyKey(self.verify_key)) }
    }

    /// Checks a signature made by [`AccountSecret::sign`] for the same `domain` and `message`. The
    /// one rule everywhere is ZIP 215, with keys of small order refused
    /// (docs/spec/ledger.md#signatures).
    ///
    /// # Errors
    /// [`AccountError::VerifyKey`], [`AccountError::Signature`].
    pub fn verify(&self, domain: &str, message: &[u8], signature: &Signature) -> Result<(), AccountError> {
        if self.verify_key.holds(&tagged_hash(domain, &[message]), signature) {
            return Ok(());
        }
        let usable = is_usable(&self.verify_key);
        Err(if usable { AccountError::Signature(self.address()) } else { AccountError::VerifyKey(self.verify_key) })
    }
}

/// An account's secrets, wiped from memory when dropped.
#[derive(Clone)]
pub struct AccountSecret {
    public: AccountPublic,
    signing: SigningKey,
    encryption: Zeroizing<[u8; 32]>,
}

impl AccountSecret {
    /// A new account with fresh, independent keys.
    ///
    /// # Errors
    /// [`AccountError::Name`], [`AccountError::Randomness`].
    pub fn generate(name: &str) -> Result<AccountSecret, AccountError> {
        let mut seed = random_seed()?;
        let mut encryption_seed = random_seed()?;
        // An Ed25519 key pair read on the birationally equivalent Montgomery curve is an X25519
        // key pair (RFC 7748, section 4.1); this one is drawn for nothing else.
        let pair = SigningKey::from_bytes(&encryption_seed);
        let mut encryption = pair.to_scalar_bytes();
        let encryption_key = EncryptionKey(pair.verifying_key().to_montgomery().to_bytes());
        let secret = AccountSecret::from_parts(name, seed, encryption, encryption_key);
        seed.zeroize();
        encryption_seed.zeroize();
        encryption.zeroize();
        secret
    }

    /// An account from its stored parts: Ed25519 seed, X25519 secret and the X25519 public key
    /// that belongs to it (the caller derives it; this crate does no X25519).
    ///
    /// # Errors
    /// [`AccountError::Name`], [`AccountError::VerifyKey`].
    pub fn from_parts(
        name: &str,
        signing_seed: [u8; 32],
        encryption_secret: [u8; 32],
        encryption_key: EncryptionKey,
    ) -> Result<AccountSecret, AccountError> {
        let signing = SigningKey::from_bytes(&signing_seed);
        let verify_key = VerifyKey(signing.verifying_key().to_bytes());
        let public = AccountPublic { verify_key, encryption_key, name: name.to_owned() };
        public.validate()?;
        Ok(AccountSecret { public, signing, encryption: Zeroizing::new(encryption_secret) })
    }

    /// What everybody may know.
    pub fn public(&self) -> &AccountPublic {
        &self.public
    }

    /// The account's address.
    pub fn address(&self) -> Address {
        self.public.address()
    }

    /// The Ed25519 seed, to be stored sealed.
    pub fn signing_seed(&self) -> &[u8; 32] {
        self.signing.as_bytes()
    }

    /// The X25519 secret, to open what was sealed to the account.
    pub fn encryption_secret(&self) -> &[u8; 32] {
        &self.encryption
    }

    /// Signs `message` for one use, named by `domain`, so that a signature for one use is never
    /// one for another.
    pub fn sign(&self, domain: &str, message: &[u8]) -> Signature {
        Signature(self.signing.sign(&tagged_hash(domain, &[message])).to_bytes())
    }
}

impl fmt::Debug for AccountSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountSecret({}, secrets withheld)", self.address())
    }
}

/// A node's signing key: its checkpoints and, in a network, its votes and its certificate. Wiped
/// from memory when dropped.
#[derive(Clone)]
pub struct NodeSecret(SigningKey);

impl NodeSecret {
    /// A fresh key.
    ///
    /// # Errors
    /// [`AccountError::Randomness`].
    pub fn generate() -> Result<NodeSecret, AccountError> {
        let seed = Zeroizing::new(random_seed()?);
        Ok(NodeSecret::from_seed(&seed))
    }

    /// The key of a stored seed.
    pub fn from_seed(seed: &[u8; 32]) -> NodeSecret {
        NodeSecret(SigningKey::from_bytes(seed))
    }

    /// The key of an embedded ledger, whose operator's account signs its checkpoints.
    pub fn of(operator: &AccountSecret) -> NodeSecret {
        NodeSecret(operator.signing.clone())
    }

    /// The seed, to be stored where only the node reads it.
    pub fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The public key.
    pub fn verify_key(&self) -> VerifyKey {
        VerifyKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a message as it is; only for formats that others define (signed notes).
    pub(crate) fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeSecret({}, secret withheld)", self.verify_key())
    }
}

impl VerifyKey {
    /// Checks a signature over a message as it is; only for formats that others define (signed
    /// notes). The rule is that of [`AccountPublic::verify`].
    pub(crate) fn holds(&self, message: &[u8], signature: &Signature) -> bool {
        Claim { key: self, message, signature }.holds()
    }
}

fn random_seed() -> Result<[u8; 32], AccountError> {
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).map_err(|error| AccountError::Randomness(error.to_string()))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_did_is_the_published_one() {
        // Example key of the did:key specification: seed 0…0 of its Ed25519 test vectors.
        let secret = AccountSecret::from_parts("x", [0; 32], [1; 32], EncryptionKey([2; 32])).unwrap();
        assert_eq!(secret.public().did(), "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp");
    }

    #[test]
    fn signatures_hold_for_one_domain_message_and_key() {
        let secret = AccountSecret::generate("Licences").unwrap();
        let other = AccountSecret::generate("Other").unwrap();
        let signature = secret.sign("a", b"m");
        secret.public().verify("a", b"m", &signature).unwrap();
        assert!(secret.public().verify("b", b"m", &signature).is_err());
        assert!(secret.public().verify("a", b"n", &signature).is_err());
        assert!(other.public().verify("a", b"m", &signature).is_err());
        assert!(!format!("{secret:?}").contains(&hex::encode(secret.signing_seed())));
    }

    #[test]
    fn bad_accounts_are_refused() {
        for name in ["", "a\nb", &"x".repeat(101)] {
            assert!(matches!(AccountSecret::generate(name), Err(AccountError::Name(_))), "{name:?}");
        }
        let good = AccountSecret::generate("x").unwrap().public().clone();
        let mut identity = [0u8; 32];
        identity[0] = 1;
        for key in [identity, [0; 32], [2; 32]] {
            let bad = AccountPublic { verify_key: VerifyKey(key), ..good.clone() };
            assert_eq!(bad.validate(), Err(AccountError::VerifyKey(VerifyKey(key))));
        }
    }
}
