//! Sealed messages between requester and owner: HPKE (RFC 9180) in base mode with
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM (docs/spec/messages.md#envelopes).

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal};
use sealgate_ledger::account::{AccountSecret, EncryptionKey};
use sealgate_ledger::tx::{SEALED_BYTES_MAX, SEALED_BYTES_MIN, SEALED_OVERHEAD_BYTES};
use zeroize::Zeroizing;

const ENCAPSULATED_BYTES: usize = 32;
/// Smallest padded message, in bytes; larger ones go up to the next power of two.
pub const PADDED_BYTES_MIN: usize = SEALED_BYTES_MIN as usize;
/// What sealing adds: the encapsulated key and the tag.
const OVERHEAD_BYTES: usize = SEALED_OVERHEAD_BYTES as usize;
/// Largest padded message.
pub const ENVELOPE_BYTES_MAX: usize = SEALED_BYTES_MAX as usize;

/// Why a message cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The receiver's key is no X25519 key.
    #[error("the receiver's encryption key {0} is not usable")]
    Key(EncryptionKey),
    /// The message was changed, is for another receiver, or belongs to something else.
    #[error("the sealed message does not open: it was changed, is for somebody else, or belongs to another request")]
    NotOpened,
    /// The message is too long.
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
}

/// What a message is, and what it belongs to: neither can be taken for another.
#[derive(Debug, Clone, Copy)]
pub struct Purpose<'a> {
    /// Its kind.
    pub info: &'a str,
    /// What it belongs to, authenticated and not secret.
    pub associated: &'a [u8],
}

/// Seals `message`, padded, to `to`.
///
/// # Errors
/// [`EnvelopeError::Key`], [`EnvelopeError::TooLong`].
pub fn seal(to: &EncryptionKey, purpose: Purpose<'_>, message: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    seal_as(to, purpose, message, message.len())
}

/// The same, padded like a message of `bytes`, if that is the longer.
///
/// # Errors
/// As [`seal`].
pub fn seal_as(
    to: &EncryptionKey,
    purpose: Purpose<'_>,
    message: &[u8],
    bytes: usize,
) -> Result<Vec<u8>, EnvelopeError> {
    seal_unpadded(to, purpose, &pad(message, bytes)?)
}

/// Seals a message whose length says nothing.
///
/// # Errors
/// [`EnvelopeError::Key`].
pub fn seal_unpadded(to: &EncryptionKey, purpose: Purpose<'_>, message: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to.0).map_err(|_| EnvelopeError::Key(*to))?;
    let (encapsulated, sealed) = single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &key,
        purpose.info.as_bytes(),
        message,
        purpose.associated,
    )
    .map_err(|_| EnvelopeError::Key(*to))?;
    let mut out = encapsulated.to_bytes().to_vec();
    out.extend(sealed);
    Ok(out)
}

/// Opens an envelope sealed to `receiver` for the same purpose.
///
/// # Errors
/// [`EnvelopeError::NotOpened`], [`EnvelopeError::TooLong`].
pub fn open(
    receiver: &AccountSecret,
    purpose: Purpose<'_>,
    envelope: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    unpad(&open_unpadded(receiver, purpose, envelope)?)
}

/// Opens what [`seal_unpadded`] sealed.
///
/// # Errors
/// As [`open`].
pub fn open_unpadded(
    receiver: &AccountSecret,
    purpose: Purpose<'_>,
    envelope: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    if envelope.len() > ENVELOPE_BYTES_MAX + OVERHEAD_BYTES {
        return Err(EnvelopeError::TooLong(envelope.len()));
    }
    let (encapsulated, sealed) = envelope.split_first_chunk::<ENCAPSULATED_BYTES>().ok_or(EnvelopeError::NotOpened)?;
    let encapsulated =
        <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| EnvelopeError::NotOpened)?;
    let message = single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private_key(receiver)?,
        &encapsulated,
        purpose.info.as_bytes(),
        sealed,
        purpose.associated,
    )
    .map_err(|_| EnvelopeError::NotOpened)?;
    Ok(Zeroizing::new(message))
}

/// Whether an account's X25519 key pair belongs together.
pub fn matches(account: &AccountSecret) -> bool {
    private_key(account).is_ok_and(|private| {
        X25519HkdfSha256::sk_to_pk(&private).to_bytes().as_slice() == account.public().encryption_key.0
    })
}

fn private_key(account: &AccountSecret) -> Result<<X25519HkdfSha256 as Kem>::PrivateKey, EnvelopeError> {
    <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(account.encryption_secret()).map_err(|_| EnvelopeError::NotOpened)
}

/// Length in front, zeros behind, up to a power of two.
fn pad(message: &[u8], bytes: usize) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let too_long = || EnvelopeError::TooLong(message.len().max(bytes));
    let length = u32::try_from(message.len()).map_err(|_| too_long())?;
    let total = (message.len().max(bytes).saturating_add(4)).next_power_of_two().max(PADDED_BYTES_MIN);
    if total > ENVELOPE_BYTES_MAX {
        return Err(too_long());
    }
    let mut padded = Zeroizing::new(Vec::with_capacity(total));
    padded.extend(length.to_le_bytes());
    padded.extend(message);
    padded.resize(total, 0);
    Ok(padded)
}

fn unpad(padded: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let (length, rest) = padded.split_first_chunk::<4>().ok_or(EnvelopeError::NotOpened)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| EnvelopeError::NotOpened)?;
    let (message, padding) = rest.split_at_checked(length).ok_or(EnvelopeError::NotOpened)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(EnvelopeError::NotOpened);
    }
    Ok(Zeroizing::new(message.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_receiver_opens_and_only_for_the_same_purpose() {
        let (alice, bob) = (AccountSecret::generate("alice").unwrap(), AccountSecret::generate("bob").unwrap());
        assert!(matches(&alice));
        let purpose = Purpose { info: "test", associated: b"request 1" };
        let envelope = seal(&alice.public().encryption_key, purpose, b"hello").unwrap();
        assert_eq!(open(&alice, purpose, &envelope).unwrap().as_slice(), b"hello");
        assert!(open(&bob, purpose, &envelope).is_err());
        assert!(open(&alice, Purpose { associated: b"request 2", ..purpose }, &envelope).is_err());
        assert!(open(&alice, Purpose { info: "other", ..purpose }, &envelope).is_err());
        for position in [0, 31, 32, envelope.len() - 1] {
            let mut changed = envelope.clone();
            changed[position] ^= 1;
            assert!(open(&alice, purpose, &changed).is_err());
        }
        assert!(open(&alice, purpose, &envelope[..20]).is_err());
    }

    #[test]
    fn messages_of_different_length_look_alike() {
        let receiver = AccountSecret::generate("r").unwrap();
        let purpose = Purpose { info: "test", associated: b"" };
        let size = |n: usize| seal(&receiver.public().encryption_key, purpose, &vec![1; n]).unwrap().len();
        assert_eq!(size(0), size(PADDED_BYTES_MIN - 4));
        assert_eq!(size(PADDED_BYTES_MIN), 2 * size(0) - 48);
        let envelope = seal_as(&receiver.public().encryption_key, purpose, b"short", 2 * PADDED_BYTES_MIN).unwrap();
        assert_eq!((envelope.len(), open(&receiver, purpose, &envelope).unwrap().as_slice()), (32816, &b"short"[..]));
        assert!(seal(&receiver.public().encryption_key, purpose, &vec![0; ENVELOPE_BYTES_MAX]).is_err());
    }
}
