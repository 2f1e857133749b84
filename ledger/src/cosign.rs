//! Witness keys and cosignatures on checkpoints (<https://c2sp.org/signed-note>,
//! <https://c2sp.org/tlog-cosignature>, docs/spec/witness.md#cosignatures).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sealgate_circuits::bytes::DecodeError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::account::{AccountError, VerifyKey};
use crate::checkpoint::{CHECKPOINT_BYTES_MAX, CheckpointError, SIGNATURES_MAX, SignedCheckpoint};

/// Longest name of a note's key, in bytes.
pub const KEY_NAME_BYTES_MAX: usize = 120;
/// Type byte of a timestamped Ed25519 cosignature.
const COSIGNATURE_V1: u8 = 0x04;
/// Bytes of a cosignature: the time and the Ed25519 signature.
const COSIGNATURE_BYTES: usize = 8 + 64;

/// A note's signed text and its signature lines, read and not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    /// What is signed, its last line end included.
    pub text: &'a str,
    /// The signature lines, in the note's order.
    pub lines: Vec<NoteLine<'a>>,
}

/// One signature line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteLine<'a> {
    /// The whole line, without its end.
    pub line: &'a str,
    /// Name of the key.
    pub name: &'a str,
    /// The key's id.
    pub hash: [u8; 4],
    /// What follows the id; the key's type says what it is.
    pub signature: Vec<u8>,
}

impl<'a> Note<'a> {
    /// Reads the form of a note whose text has no blank lines, as checkpoints have it.
    ///
    /// # Errors
    /// [`CheckpointError::Form`].
    pub fn read(note: &'a str) -> Result<Note<'a>, CheckpointError> {
        let form = CheckpointError::Form;
        if note.len() > CHECKPOINT_BYTES_MAX {
            return Err(form("it is too long"));
        }
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(form("it holds control characters"));
        }
        let at = note.find("\n\n").ok_or(form("it has no blank line before its signatures"))?;
        let (text, rest) = note.split_at(at + 1);
        let rest = rest.strip_prefix('\n').and_then(|rest| rest.strip_suffix('\n'));
        let lines = rest.ok_or(form("its last line has no end"))?.split('\n');
        let lines = lines.map(NoteLine::read).collect::<Result<Vec<_>, _>>()?;
        if lines.len() > SIGNATURES_MAX {
            return Err(form("it has too many signatures"));
        }
        Ok(Note { text, lines })
    }
}

impl<'a> NoteLine<'a> {
    /// Reads `— name base64(id ‖ signature)`.
    ///
    /// # Errors
    /// [`CheckpointError::Form`].
    pub fn read(line: &'a str) -> Result<NoteLine<'a>, CheckpointError> {
        let form = CheckpointError::Form;
        let parts = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
        let (name, encoded) = parts.ok_or(form("a signature line is not '— name base64'"))?;
        if !is_key_name(name) {
            return Err(form("a signature's name cannot be one"));
        }
        let bytes = STANDARD.decode(encoded).map_err(|_| form("a signature is not base64"))?;
        let (hash, signature) = bytes.split_first_chunk::<4>().ok_or(form("a signature is too short"))?;
        Ok(NoteLine { line, name, hash: *hash, signature: signature.to_vec() })
    }
}

/// Whether a key may have that name: no blanks, no plus, nothing invisible.
fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// A witness's public key, as its operator hands it out: text `name+id+base64(type ‖ key)`, the
/// "vkey" of C2SP. Only Ed25519 cosignature keys are witness keys here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WitnessKey {
    name: String,
    key: VerifyKey,
}

impl WitnessKey {
    /// The key called `name`.
    ///
    /// # Errors
    /// [`AccountError::Name`] for a name with blanks or plus signs, empty or too long;
    /// [`AccountError::VerifyKey`] for an unusable key.
    pub fn new(name: &str, key: VerifyKey) -> Result<WitnessKey, AccountError> {
        if !is_key_name(name) || name.len() > KEY_NAME_BYTES_MAX {
            return Err(AccountError::Name(name.escape_debug().take(60).collect()));
        }
        match VerifyingKey::from_bytes(&key.0) {
            Ok(parsed) if !parsed.is_weak() => Ok(WitnessKey { name: name.to_owned(), key }),
            _ => Err(AccountError::VerifyKey(key)),
        }
    }

    /// What the witness is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id in notes.
    pub fn hash(&self) -> [u8; 4] {
        key_hash(&self.name, COSIGNATURE_V1, &self.key)
    }

    /// Whether a line is by this key, if it holds.
    pub fn is_of(&self, line: &NoteLine<'_>) -> bool {
        line.name == self.name && line.hash == self.hash()
    }

    /// When this witness cosigned the checkpoint, in seconds since 1970-01-01 UTC: the latest of
    /// its cosignatures; `None` when it has none. Lines of other keys are not judged.
    ///
    /// # Errors
    /// [`CheckpointError::Form`]; [`CheckpointError::Cosignature`] when a line of this key does not
    /// hold: such a note is to be refused whole.
    pub fn cosigned(&self, checkpoint: &SignedCheckpoint) -> Result<Option<u64>, CheckpointError> {
        let note = Note::read(&checkpoint.0)?;
        let mut latest = None;
        for line in note.lines.iter().filter(|line| self.is_of(line)) {
            let time_s = self.verify(note.text, &line.signature)?;
            latest = latest.max(Some(time_s));
        }
        Ok(latest)
    }

    fn verify(&self, text: &str, cosignature: &[u8]) -> Result<u64, CheckpointError> {
        let wrong = || CheckpointError::Cosignature(self.name.clone());
        let cosignature: &[u8; COSIGNATURE_BYTES] = cosignature.try_into().map_err(|_| wrong())?;
        let (time, signature) = cosignature.split_first_chunk::<8>().ok_or_else(wrong)?;
        let time_s = u64::from_be_bytes(*time);
        if time_s > i64::MAX as u64 {
            return Err(wrong());
        }
        let signature: [u8; 64] = signature.try_into().map_err(|_| wrong())?;
        VerifyingKey::from_bytes(&self.key.0)
            .map_err(|_| wrong())?
            .verify_strict(message(time_s, text).as_bytes(), &ed25519_dalek::Signature::from_bytes(&signature))
            .map_err(|_| wrong())?;
        Ok(time_s)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![COSIGNATURE_V1];
        bytes.extend_from_slice(&self.key.0);
        write!(f, "{}+{}+{}", self.name, hex::encode(self.hash()), STANDARD.encode(bytes))
    }
}

impl FromStr for WitnessKey {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<WitnessKey, DecodeError> {
        let error = |why: &str| {
            let shown: String = text.chars().take(160).flat_map(char::escape_debug).collect();
            let expected = "name+id+base64 of a witness's key, as 'sealgate witness new' prints it";
            DecodeError::new("witness key", expected, format!("'{shown}' ({why})"))
        };
        // The base64 may hold plus signs, a name does not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(error("it has not three parts"));
        };
        let bytes = STANDARD.decode(encoded).map_err(|_| error("its last part is not base64"))?;
        let (kind, key) = bytes.split_first().ok_or_else(|| error("it has no key"))?;
        if *kind != COSIGNATURE_V1 {
            return Err(error("it is not of type 4, Ed25519 cosignatures"));
        }
        let key: [u8; 32] = key.try_into().map_err(|_| error("the key has not 32 bytes"))?;
        let witness = WitnessKey::new(name, VerifyKey(key)).map_err(|_| error("name or key cannot be one"))?;
        if witness.to_string() != text {
            return Err(error("its id is not that of name and key, or it is spelled in another way"));
        }
        Ok(witness)
    }
}

impl Serialize for WitnessKey {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WitnessKey {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <String as Deserialize>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A witness's secret, wiped from memory when dropped. It signs cosignatures and nothing else.
#[derive(Clone)]
pub struct WitnessSecret {
    public: WitnessKey,
    signing: SigningKey,
}

impl WitnessSecret {
    /// The secret with this Ed25519 seed, called `name`.
    ///
    /// # Errors
    /// As [`WitnessKey::new`].
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<WitnessSecret, AccountError> {
        let signing = SigningKey::from_bytes(&seed);
        let public = WitnessKey::new(name, VerifyKey(signing.verifying_key().to_bytes()))?;
        Ok(WitnessSecret { public, signing })
    }

    /// The key to hand out.
    pub fn public(&self) -> &WitnessKey {
        &self.public
    }

    /// The Ed25519 seed, to be stored.
    pub fn seed(&self) -> &[u8; 32] {
        self.signing.as_bytes()
    }

    /// The cosignature line, without its end, over a checkpoint's text as of a time in seconds
    /// since 1970-01-01 UTC.
    ///
    /// # Errors
    /// [`CheckpointError::Form`] when the checkpoint is no note.
    pub fn cosign(&self, checkpoint: &SignedCheckpoint, time_s: u64) -> Result<String, CheckpointError> {
        let note = Note::read(&checkpoint.0)?;
        let time_s = time_s.min(i64::MAX as u64);
        let mut bytes = self.public.hash().to_vec();
        bytes.extend_from_slice(&time_s.to_be_bytes());
        bytes.extend_from_slice(&self.signing.sign(message(time_s, note.text).as_bytes()).to_bytes());
        Ok(format!("\u{2014} {} {}", self.public.name, STANDARD.encode(bytes)))
    }
}

impl fmt::Debug for WitnessSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessSecret({}, secret withheld)", self.public)
    }
}

/// The checkpoint with further signature lines.
#[must_use]
pub fn attach<'a>(checkpoint: &SignedCheckpoint, lines: impl IntoIterator<Item = &'a str>) -> SignedCheckpoint {
    let mut note = checkpoint.0.clone();
    for line in lines {
        note.push_str(line);
        note.push('\n');
    }
    SignedCheckpoint(note)
}

/// What a witness signs.
fn message(time_s: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

/// A key's id in notes: the first four bytes of SHA-256(name ‖ newline ‖ type ‖ key).
pub(crate) fn key_hash(name: &str, kind: u8, key: &VerifyKey) -> [u8; 4] {
    let digest = Sha256::new().chain_update(name.as_bytes()).chain_update([b'\n', kind]).chain_update(key.0).finalize();
    let mut out = [0u8; 4];
    out.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    out
}

#[cfg(test)]
mod tests;
