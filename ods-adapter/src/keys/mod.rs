//! The keys of the front-end machine: a root key, and under it the keys of each asset
//! (docs/spec/store.md#keys).

use std::io;
use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

use crate::seal::{AttemptId, DataKey, KeyCommitment, PAD_BYTES, Stream};
use crate::secret::{NONCE_BYTES, Secret, TAG_BYTES, random, way_out};
use crate::suite::CipherSuite;

mod folder;
mod root;

pub use folder::KeyFolder;
pub use root::{Argon2Parameters, KeyVault, PASSPHRASE_CHARS_MIN, RootCommitment, RootFile, RootKey};

/// Longest label of an asset, in bytes: its hexadecimal form must stay a file name.
pub const LABEL_BYTES_MAX: usize = 110;
/// Most KEKs of one asset: the current one, and those that a rotation has not yet retired.
pub const KEKS_MAX: usize = 16;

/// Why a key could not be made, kept or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(#[source] io::Error),
    /// A key file could not be read or written.
    #[error("key file {path}: {source}{hint}", hint = way_out(source))]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no such key file.
    #[error("key file {path} does not exist: create the key first, or restore the file from a backup")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A key is already there and would have been overwritten.
    #[error("key file {path} exists already and is not overwritten: everything sealed under it would be lost")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A key file's bytes have changed since it was written.
    #[error("key file {path} is damaged ({what}): restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not hold.
        what: &'static str,
    },
    /// An asset's key file is whole, but was written under another root key.
    #[error("key file {path} belongs to another root key: give the root key this data was sealed with")]
    WrongRoot {
        /// The file.
        path: PathBuf,
    },
    /// The root key's file tells of another key than the one that was given.
    #[error("{given} is not the one that belongs to {path}: give the one this data was sealed with")]
    NotThisRoot {
        /// What was given.
        given: &'static str,
        /// The root key's file.
        path: PathBuf,
    },
    /// What was given cannot be a root key.
    #[error("{0} is not a root key: give 64 hexadecimal digits, for example of 'openssl rand -hex 32'")]
    NotAKey(&'static str),
    /// A passphrase or key is needed, and there is none.
    #[error("{0}")]
    NotGiven(String),
    /// A passphrase that is easily guessed.
    #[error("a passphrase has at least {PASSPHRASE_CHARS_MIN} characters: take several words that nobody would guess")]
    ShortPassphrase,
    /// A passphrase cannot be turned into a key.
    #[error("Argon2id with {0} fails: {1}")]
    Argon2(Argon2Parameters, String),
    /// An asset has been rotated again and again, and its former KEKs never retired.
    #[error("asset '{0}' has {KEKS_MAX} keys already: retire the former ones before its key is rotated again")]
    TooManyKeks(AssetLabel),
    /// What holds the root key failed.
    #[error("the key vault: {0}")]
    Vault(String),
    /// A label is empty or too long.
    #[error("'{0}' cannot label an asset: 1 to {LABEL_BYTES_MAX} bytes, no control characters")]
    Label(String),
    /// A data key is not the one committed to.
    #[error("the data key is not the one that was committed to")]
    Commitment,
    /// Something sealed under an asset's key does not open.
    #[error(
        "{0} does not open with this asset's keys: it belongs to another asset, was changed, or was sealed with a key \
         that has been retired or came after this key file"
    )]
    NotOpened(&'static str),
}

/// What an asset is called on this machine; names its files and is part of all associated data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetLabel(String);

impl AssetLabel {
    /// Checks a label.
    ///
    /// # Errors
    /// [`KeyError::Label`] when it is empty, longer than [`LABEL_BYTES_MAX`] or holds control characters.
    pub fn new(label: &str) -> Result<Self, KeyError> {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX || label.chars().any(char::is_control) {
            return Err(KeyError::Label(label.escape_debug().take(60).collect()));
        }
        Ok(Self(label.to_owned()))
    }

    /// The label as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The label as a file name.
    pub fn hex(&self) -> String {
        hex::encode(&self.0)
    }

    fn from_hex(text: &str) -> Option<Self> {
        let text = String::from_utf8(hex::decode(text).ok()?).ok()?;
        Self::new(&text).ok()
    }
}

impl std::fmt::Display for AssetLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys of one asset. Destroying them destroys the asset.
#[derive(Clone, Debug)]
pub struct AssetKeys {
    label: AssetLabel,
    /// Seals what is sealed from now on.
    kek: Secret,
    /// Open what was sealed before a rotation, newest first.
    former: Vec<Secret>,
    place_seed: Secret,
    commitment_key: Secret,
}

/// A data key sealed under its asset's key, with its commitment.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct WrappedKey {
    nonce: [u8; NONCE_BYTES],
    sealed: [u8; 32 + TAG_BYTES],
    pub(crate) commitment: KeyCommitment,
}

impl AssetKeys {
    /// Draws the keys of a new asset at random.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate(label: AssetLabel) -> Result<Self, KeyError> {
        let draw = || Secret::generate().map_err(KeyError::Random);
        Ok(Self { label, kek: draw()?, former: Vec::new(), place_seed: draw()?, commitment_key: draw()? })
    }

    /// The same keys with a new KEK: what is sealed from now on opens with it alone, what was
    /// sealed before still opens. Place seed and commitment key stay, or places and salts of
    /// records that did not change would. Durable when [`KeyFolder::replace`] has kept it.
    ///
    /// # Errors
    /// [`KeyError::Random`]; [`KeyError::TooManyKeks`] when former ones were never retired.
    pub fn rotate(&self) -> Result<Self, KeyError> {
        if self.former.len() + 1 >= KEKS_MAX {
            return Err(KeyError::TooManyKeks(self.label.clone()));
        }
        let kek = Secret::generate().map_err(KeyError::Random)?;
        let former = std::iter::once(&self.kek).chain(&self.former).cloned().collect();
        Ok(Self { kek, former, ..self.clone() })
    }

    /// The same keys without former KEKs: what was sealed before the last rotation opens no more.
    pub fn retire_former(&self) -> Self {
        Self { former: Vec::new(), ..self.clone() }
    }

    /// How many KEKs of earlier rotations are kept.
    pub fn former_count(&self) -> usize {
        self.former.len()
    }

    /// The KEKs, the current one first.
    fn keks(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.kek).chain(&self.former)
    }

    /// Whose keys these are.
    pub fn label(&self) -> &AssetLabel {
        &self.label
    }

    /// The seed of the verifiable random function that gives keys their places.
    pub fn place_seed(&self) -> &[u8; 32] {
        self.place_seed.expose()
    }

    /// The key from which record salts are derived.
    pub fn commitment_key(&self) -> &[u8; 32] {
        self.commitment_key.expose()
    }

    /// Seals what the owner needs to find a version again, to be carried by the ledger.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn seal_access(&self, content: &[u8]) -> Result<Vec<u8>, KeyError> {
        let nonce: [u8; NONCE_BYTES] = random().map_err(KeyError::Random)?;
        let mut sealed = content.to_vec();
        let cipher = access_key(&self.kek).cipher(CipherSuite::Aes256Gcm);
        cipher
            .seal(nonce, self.label.0.as_bytes(), &mut sealed)
            .map_err(|_| KeyError::NotOpened("access information"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`AssetKeys::seal_access`] gave, by whichever KEK it was sealed with.
    ///
    /// # Errors
    /// [`KeyError::NotOpened`] when it is another asset's, was changed, or its KEK is retired.
    pub fn open_access(&self, sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = KeyError::NotOpened("access information");
        let Some((nonce, rest)) = sealed.split_first_chunk::<NONCE_BYTES>() else { return Err(failed) };
        open_with(self.keks().map(access_key), *nonce, self.label.0.as_bytes(), rest)
            .map(|content| content.to_vec())
            .ok_or(failed)
    }

    /// One attempt's manifest object: magic, then length, content and padding, the one message under
    /// its key.
    pub(crate) fn seal_manifest(&self, attempt: AttemptId, magic: &[u8], content: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut sealed = (content.len() as u64).to_le_bytes().to_vec();
        sealed.extend_from_slice(content);
        sealed.resize(sealed.len().next_multiple_of(PAD_BYTES), 0);
        let cipher = self.manifest_key(&self.kek, attempt).cipher(CipherSuite::Aes256Gcm);
        cipher.seal([0; NONCE_BYTES], magic, &mut sealed).map_err(|_| KeyError::NotOpened("a manifest"))?;
        Ok([magic, &sealed].concat())
    }

    /// The content of an attempt's manifest object, by whichever KEK it was sealed with.
    pub(crate) fn open_manifest(
        &self,
        attempt: AttemptId,
        magic: &[u8],
        object: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let failed = KeyError::NotOpened("the version's manifest");
        let Some(sealed) = object.strip_prefix(magic) else { return Err(failed) };
        let keys = self.keks().map(|kek| self.manifest_key(kek, attempt));
        let opened = open_with(keys, [0; NONCE_BYTES], magic, sealed);
        let content = opened.as_ref().and_then(|opened| {
            let (length, rest) = opened.split_first_chunk::<8>()?;
            rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)
        });
        content.map(|content| Zeroizing::new(content.to_vec())).ok_or(failed)
    }

    fn manifest_key(&self, kek: &Secret, attempt: AttemptId) -> Secret {
        kek.derive("sealgate/ods/manifest-key/1", &[self.label.0.as_bytes(), attempt.as_bytes()])
    }

    pub(crate) fn wrap(&self, key: &DataKey, attempt: AttemptId, stream: Stream) -> Result<WrappedKey, KeyError> {
        let nonce = random().map_err(KeyError::Random)?;
        let sealed = wrap_secret(&data_wrapping(&self.kek), nonce, &self.data_aad(attempt, stream), key.expose())?;
        Ok(WrappedKey { nonce, sealed, commitment: key.commitment() })
    }

    pub(crate) fn unwrap_key(
        &self,
        wrapped: &WrappedKey,
        attempt: AttemptId,
        stream: Stream,
    ) -> Result<DataKey, KeyError> {
        let aad = self.data_aad(attempt, stream);
        let secret =
            self.keks().find_map(|kek| unwrap_secret(&data_wrapping(kek), wrapped.nonce, &aad, &wrapped.sealed));
        let key = DataKey::from_bytes(*secret.ok_or(KeyError::NotOpened("a data key"))?.expose());
        key.check(&wrapped.commitment)?;
        Ok(key)
    }

    fn data_aad(&self, attempt: AttemptId, stream: Stream) -> Vec<u8> {
        borsh::to_vec(&("sealgate/ods/data-key/1", &self.label.0, attempt, stream)).unwrap_or_default()
    }
}

fn access_key(kek: &Secret) -> Secret {
    kek.derive("sealgate/ods/access/1", &[])
}

fn data_wrapping(kek: &Secret) -> Secret {
    kek.derive("sealgate/ods/data-wrapping/1", &[])
}

/// What one of the keys opens. None binds to its content, but all of them are this asset's own.
fn open_with(
    keys: impl Iterator<Item = Secret>,
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let mut keys = keys;
    keys.find_map(|key| {
        let mut opened = Zeroizing::new(sealed.to_vec());
        key.cipher(CipherSuite::Aes256Gcm).open(nonce, aad, &mut opened).ok().map(|()| opened)
    })
}

fn wrap_secret(
    wrapping: &Secret,
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    secret: &[u8; 32],
) -> Result<[u8; 48], KeyError> {
    let mut sealed = Vec::with_capacity(32 + TAG_BYTES);
    sealed.extend_from_slice(secret);
    wrapping.cipher(CipherSuite::Aes256Gcm).seal(nonce, aad, &mut sealed).map_err(|_| KeyError::NotOpened("a key"))?;
    sealed.try_into().map_err(|_| KeyError::NotOpened("a key"))
}

fn unwrap_secret(wrapping: &Secret, nonce: [u8; NONCE_BYTES], aad: &[u8], sealed: &[u8; 48]) -> Option<Secret> {
    let mut opened = Zeroizing::new(sealed.to_vec());
    wrapping.cipher(CipherSuite::Aes256Gcm).open(nonce, aad, &mut opened).ok()?;
    opened.as_slice().try_into().ok().map(Secret::from_bytes)
}

/// A key file's bytes.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    std::fs::read(path).map(Zeroizing::new).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing { path: path.to_owned() },
        _ => KeyError::File { path: path.to_owned(), source },
    })
}

/// Writes a key file, whole and durable or not at all.
fn write(path: &Path, content: &[u8], replace: bool) -> Result<(), KeyError> {
    crate::secret::write_private(path, content, replace).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
        _ => KeyError::File { path: path.to_owned(), source },
    })
}

#[cfg(test)]
mod tests;
