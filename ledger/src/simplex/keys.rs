//! One key, three uses that cannot be confused (docs/spec/network.md#keys): the agreement's votes
//! begin with the length and text of their namespace, a checkpoint with `sealgate/`, a TLS
//! handshake's signature with 64 spaces.

use commonware_codec::{DecodeExt, Encode};
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_cryptography::sha256;

use crate::account::{NodeSecret, VerifyKey};
use crate::ids::{ChainId, Digest};

/// The same key for the agreement's library.
pub(crate) fn public_key(key: &VerifyKey) -> Option<PublicKey> {
    PublicKey::decode(key.0.to_vec()).ok()
}

/// The same key for the ledger.
pub(crate) fn verify_key(key: &PublicKey) -> Option<VerifyKey> {
    Some(VerifyKey(key.encode().as_ref().try_into().ok()?))
}

/// The node's key for the agreement's library.
pub(crate) fn private_key(secret: &NodeSecret) -> Option<PrivateKey> {
    PrivateKey::decode(secret.seed().to_vec()).ok()
}

/// What the votes of this ledger's agreement are signed under.
pub(crate) fn namespace(chain: &ChainId) -> Vec<u8> {
    [&b"sealgate/vote/1"[..], chain.as_bytes()].concat()
}

/// A batch's digest for the agreement's library.
pub(crate) fn payload(digest: &Digest) -> sha256::Digest {
    sha256::Digest(digest.0)
}

/// The batch's digest.
pub(crate) fn digest(payload: &sha256::Digest) -> Digest {
    Digest(payload.0)
}
