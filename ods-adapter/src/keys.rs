//! The keys of the front-end machine: a root key, and under it the keys of each asset
//! (docs/spec/store.md#keys).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::tagged_hash;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::seal::{AttemptId, DataKey, KeyCommitment, Stream};
use crate::secret::{NONCE_BYTES, Secret, TAG_BYTES, random, write_private};
use crate::suite::CipherSuite;

/// Longest label of an asset, in bytes: its hexadecimal form must stay a file name.
pub const LABEL_BYTES_MAX: usize = 110;
/// First line of a root key file.
const ROOT_FILE_TITLE: &str = "sealgate root key 1";
/// First bytes of an asset's key file.
const ASSET_FILE_MAGIC: [u8; 8] = *b"SGASKEY1";
/// Bytes of the digest at the end of an asset's key file.
const DIGEST_BYTES: usize = 32;

/// Why a key could not be made, kept or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(#[source] io::Error),
    /// A key file could not be read or written.
    #[error("key file {path}: {source}")]
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
    /// A label is empty or too long.
    #[error("'{0}' cannot label an asset: 1 to {LABEL_BYTES_MAX} bytes, no control characters")]
    Label(String),
    /// A data key is not the one committed to.
    #[error("the data key is not the one that was committed to")]
    Commitment,
    /// Something sealed under an asset's key does not open.
    #[error("{0} does not open with this asset's key: it belongs to another asset, or was changed")]
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

/// The key above all others on this machine.
#[derive(Clone, Debug)]
pub struct RootKey(Secret);

impl RootKey {
    /// Draws one at random.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        Secret::generate().map(Self).map_err(KeyError::Random)
    }

    /// A key that comes from elsewhere (a passphrase's Argon2id, an environment variable).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    /// Writes the key with its checksum to a new file of mode 0600, durably.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there is a file already, [`KeyError::File`] when it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let key = Zeroizing::new(hex::encode(self.0.expose()));
        let text = Zeroizing::new(format!("{ROOT_FILE_TITLE}\n{}\n{}\n", *key, root_checksum(self.0.expose())));
        write_private(path, text.as_bytes(), false).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
            _ => KeyError::File { path: path.to_owned(), source },
        })
    }

    /// Reads what [`RootKey::save`] wrote.
    ///
    /// # Errors
    /// [`KeyError::Missing`], [`KeyError::File`], or [`KeyError::Damaged`] when the checksum does not fit.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let damaged = |what| KeyError::Damaged { path: path.to_owned(), what };
        let bytes = Zeroizing::new(read(path)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("not text"))?;
        let mut lines = text.split('\n');
        let (title, key, checksum) = (lines.next(), lines.next(), lines.next());
        if title != Some(ROOT_FILE_TITLE) || lines.collect::<Vec<_>>() != [""] {
            return Err(damaged("not a root key file"));
        }
        let mut secret = [0u8; 32];
        hex::decode_to_slice(key.unwrap_or_default(), &mut secret).map_err(|_| damaged("not 64 hexadecimal digits"))?;
        let loaded = Self(Secret::from_bytes(secret));
        let fits = checksum == Some(root_checksum(&secret).as_str());
        secret.zeroize();
        if fits { Ok(loaded) } else { Err(damaged("its checksum does not fit")) }
    }

    fn commitment(&self) -> [u8; 32] {
        *self.0.derive("sealgate/ods/root-commitment/1", &[]).expose()
    }

    fn wrapping(&self) -> Secret {
        self.0.derive("sealgate/ods/root-wrapping/1", &[])
    }
}

fn root_checksum(key: &[u8; 32]) -> String {
    hex::encode(tagged_hash("sealgate/ods/root-checksum/1", &[key]).get(..4).unwrap_or_default())
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing { path: path.to_owned() },
        _ => KeyError::File { path: path.to_owned(), source },
    })
}

/// The keys of one asset. Destroying them destroys the asset.
#[derive(Clone, Debug)]
pub struct AssetKeys {
    label: AssetLabel,
    kek: Secret,
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
        Ok(Self { label, kek: draw()?, place_seed: draw()?, commitment_key: draw()? })
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
        let cipher = self.kek.derive("sealgate/ods/access/1", &[]).cipher(CipherSuite::Aes256Gcm);
        cipher
            .seal(nonce, self.label.0.as_bytes(), &mut sealed)
            .map_err(|_| KeyError::NotOpened("access information"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`AssetKeys::seal_access`] gave.
    ///
    /// # Errors
    /// [`KeyError::NotOpened`] when it is another asset's or was changed.
    pub fn open_access(&self, sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = KeyError::NotOpened("access information");
        let Some((nonce, rest)) = sealed.split_first_chunk::<NONCE_BYTES>() else { return Err(failed) };
        let mut content = rest.to_vec();
        let cipher = self.kek.derive("sealgate/ods/access/1", &[]).cipher(CipherSuite::Aes256Gcm);
        cipher.open(*nonce, self.label.0.as_bytes(), &mut content).map_err(|_| failed)?;
        Ok(content)
    }

    /// The key of one attempt's manifest, which seals that one message.
    pub(crate) fn manifest_key(&self, attempt: AttemptId) -> Secret {
        self.kek.derive("sealgate/ods/manifest-key/1", &[self.label.0.as_bytes(), attempt.as_bytes()])
    }

    pub(crate) fn wrap(&self, key: &DataKey, attempt: AttemptId, stream: Stream) -> Result<WrappedKey, KeyError> {
        let nonce = random().map_err(KeyError::Random)?;
        let sealed = wrap_secret(
            &self.kek.derive("sealgate/ods/data-wrapping/1", &[]),
            nonce,
            &self.data_aad(attempt, stream),
            key.expose(),
        )?;
        Ok(WrappedKey { nonce, sealed, commitment: key.commitment() })
    }

    pub(crate) fn unwrap_key(
        &self,
        wrapped: &WrappedKey,
        attempt: AttemptId,
        stream: Stream,
    ) -> Result<DataKey, KeyError> {
        let wrapping = self.kek.derive("sealgate/ods/data-wrapping/1", &[]);
        let secret = unwrap_secret(&wrapping, wrapped.nonce, &self.data_aad(attempt, stream), &wrapped.sealed)
            .ok_or(KeyError::NotOpened("a data key"))?;
        let key = DataKey::from_bytes(*secret.expose());
        key.check(&wrapped.commitment)?;
        Ok(key)
    }

    fn data_aad(&self, attempt: AttemptId, stream: Stream) -> Vec<u8> {
        borsh::to_vec(&("sealgate/ods/data-key/1", &self.label.0, attempt, stream)).unwrap_or_default()
    }
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

/// A folder of asset keys, each in its own file under the root key.
#[derive(Clone, Debug)]
pub struct KeyVault {
    folder: PathBuf,
    root: RootKey,
}

/// The content of an asset's key file between magic and digest.
#[derive(BorshSerialize, BorshDeserialize)]
struct AssetFile {
    label: String,
    root_commitment: [u8; 32],
    keys: [([u8; NONCE_BYTES], [u8; 32 + TAG_BYTES]); 3],
}

const PURPOSES: [&str; 3] = ["kek", "place seed", "commitment key"];

impl KeyVault {
    /// The vault in `folder`, which is made when the first key is.
    pub fn new(folder: &Path, root: RootKey) -> Self {
        Self { folder: folder.to_owned(), root }
    }

    /// The file in which an asset's keys are kept; to destroy the asset, destroy it and its copies.
    pub fn path(&self, label: &AssetLabel) -> PathBuf {
        self.folder.join(format!("{}.key", label.hex()))
    }

    /// Draws and keeps the keys of a new asset; they are durable when this returns.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when the asset has keys, [`KeyError::Random`], [`KeyError::File`].
    pub fn create_asset(&self, label: &AssetLabel) -> Result<AssetKeys, KeyError> {
        let keys = AssetKeys::generate(label.clone())?;
        let path = self.path(label);
        write_private(&path, &self.encode(&keys)?, false).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.clone() },
            _ => KeyError::File { path: path.clone(), source },
        })?;
        Ok(keys)
    }

    /// The keys of an asset.
    ///
    /// # Errors
    /// [`KeyError::Missing`] when it has none, [`KeyError::Damaged`] when its file changed,
    /// [`KeyError::WrongRoot`] when the file is whole but the root key is another, [`KeyError::File`].
    pub fn asset(&self, label: &AssetLabel) -> Result<AssetKeys, KeyError> {
        let path = self.path(label);
        self.decode(label, &path, &read(&path)?)
    }

    /// The assets that have keys here, in order.
    ///
    /// # Errors
    /// [`KeyError::File`] when the folder cannot be read; a folder that does not exist is empty.
    pub fn list(&self) -> Result<Vec<AssetLabel>, KeyError> {
        let failed = |source| KeyError::File { path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut labels = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            labels.extend(name.to_str().and_then(|n| n.strip_suffix(".key")).and_then(AssetLabel::from_hex));
        }
        labels.sort();
        Ok(labels)
    }

    fn encode(&self, keys: &AssetKeys) -> Result<Vec<u8>, KeyError> {
        let wrapping = self.root.wrapping();
        let seal = |purpose: &str, secret: &Secret| -> Result<_, KeyError> {
            let nonce = random().map_err(KeyError::Random)?;
            Ok((nonce, wrap_secret(&wrapping, nonce, &asset_aad(&keys.label, purpose), secret.expose())?))
        };
        let [kek, place, commitment] = PURPOSES;
        let file = AssetFile {
            label: keys.label.0.clone(),
            root_commitment: self.root.commitment(),
            keys: [seal(kek, &keys.kek)?, seal(place, &keys.place_seed)?, seal(commitment, &keys.commitment_key)?],
        };
        let mut bytes = ASSET_FILE_MAGIC.to_vec();
        bytes.extend(borsh::to_vec(&file).unwrap_or_default());
        bytes.extend(tagged_hash("sealgate/ods/asset-file/1", &[&bytes]));
        Ok(bytes)
    }

    fn decode(&self, label: &AssetLabel, path: &Path, bytes: &[u8]) -> Result<AssetKeys, KeyError> {
        let damaged = |what| KeyError::Damaged { path: path.to_owned(), what };
        let (body, digest) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or_else(|| damaged("it is cut short"))?;
        if tagged_hash("sealgate/ods/asset-file/1", &[body]) != *digest {
            return Err(damaged("its checksum does not fit"));
        }
        let file = body
            .strip_prefix(&ASSET_FILE_MAGIC)
            .and_then(|rest| AssetFile::try_from_slice(rest).ok())
            .ok_or_else(|| damaged("not an asset's key file"))?;
        if file.label != label.0 {
            return Err(damaged("it is another asset's"));
        }
        if !bool::from(file.root_commitment.ct_eq(&self.root.commitment())) {
            return Err(KeyError::WrongRoot { path: path.to_owned() });
        }
        let wrapping = self.root.wrapping();
        let open = |purpose: &str, (nonce, sealed): &([u8; NONCE_BYTES], [u8; 48])| {
            unwrap_secret(&wrapping, *nonce, &asset_aad(label, purpose), sealed)
                .ok_or_else(|| damaged("a key does not open"))
        };
        let ([kek, place, commitment], [a, b, c]) = (PURPOSES, &file.keys);
        Ok(AssetKeys {
            label: label.clone(),
            kek: open(kek, a)?,
            place_seed: open(place, b)?,
            commitment_key: open(commitment, c)?,
        })
    }
}

fn asset_aad(label: &AssetLabel, purpose: &str) -> Vec<u8> {
    borsh::to_vec(&("sealgate/ods/asset-key/1", &label.0, purpose)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn label(text: &str) -> AssetLabel {
        AssetLabel::new(text).unwrap()
    }

    #[test]
    fn root_keys_come_back_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/root.key");
        assert!(matches!(RootKey::load(&path), Err(KeyError::Missing { .. })));
        let key = RootKey::generate().unwrap();
        key.save(&path).unwrap();
        assert!(matches!(key.save(&path), Err(KeyError::Exists { .. })));
        assert_eq!(RootKey::load(&path).unwrap().0.expose(), key.0.expose());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(!format!("{key:?}").contains(&hex::encode(key.0.expose())));
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            let loaded = RootKey::load(&path);
            // A letter's case is the one bit that hexadecimal does not care about.
            if !bytes.eq_ignore_ascii_case(&whole) {
                assert!(matches!(loaded, Err(KeyError::Damaged { .. })), "bit {bit}");
            }
        }
    }

    #[test]
    fn asset_keys_come_back_only_under_their_root() {
        let dir = tempfile::tempdir().unwrap();
        let vault = KeyVault::new(&dir.path().join("keys"), RootKey::generate().unwrap());
        assert!(vault.list().unwrap().is_empty());
        let made = vault.create_asset(&label("licences")).unwrap();
        vault.create_asset(&label("行政区划")).unwrap();
        assert!(matches!(vault.create_asset(&label("licences")), Err(KeyError::Exists { .. })));
        let back = vault.asset(&label("licences")).unwrap();
        assert_eq!(
            (back.place_seed(), back.commitment_key(), back.kek.expose()),
            (made.place_seed(), made.commitment_key(), made.kek.expose())
        );
        assert_eq!(vault.list().unwrap(), [label("licences"), label("行政区划")]);
        assert!(matches!(vault.asset(&label("none")), Err(KeyError::Missing { .. })));
        let other = KeyVault::new(&dir.path().join("keys"), RootKey::generate().unwrap());
        assert!(matches!(other.asset(&label("licences")), Err(KeyError::WrongRoot { .. })));
        let path = vault.path(&label("licences"));
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(vault.asset(&label("licences")), Err(KeyError::Damaged { .. })), "bit {bit}");
        }
        fs::copy(vault.path(&label("行政区划")), &path).unwrap();
        assert!(matches!(
            vault.asset(&label("licences")),
            Err(KeyError::Damaged { what: "it is another asset's", .. })
        ));
    }

    #[test]
    fn access_information_and_data_keys_open_for_their_asset_only() {
        let (a, b) = (AssetKeys::generate(label("a")).unwrap(), AssetKeys::generate(label("b")).unwrap());
        let sealed = a.seal_access(b"attempt").unwrap();
        assert_eq!(a.open_access(&sealed).unwrap(), b"attempt");
        assert!(b.open_access(&sealed).is_err());
        assert!(a.open_access(&sealed[..5]).is_err());
        let (key, attempt) = (DataKey::generate().unwrap(), AttemptId([1; 16]));
        let wrapped = a.wrap(&key, attempt, Stream::Leaves).unwrap();
        assert_eq!(a.unwrap_key(&wrapped, attempt, Stream::Leaves).unwrap().expose(), key.expose());
        assert!(a.unwrap_key(&wrapped, attempt, Stream::Index).is_err());
        assert!(a.unwrap_key(&wrapped, AttemptId([2; 16]), Stream::Leaves).is_err());
        assert!(b.unwrap_key(&wrapped, attempt, Stream::Leaves).is_err());
        let lying = WrappedKey { commitment: KeyCommitment([0; 32]), ..wrapped };
        assert!(matches!(a.unwrap_key(&lying, attempt, Stream::Leaves), Err(KeyError::Commitment)));
    }

    #[test]
    fn bad_labels_are_refused() {
        for text in ["", "a\nb", &"x".repeat(LABEL_BYTES_MAX + 1)] {
            assert!(matches!(AssetLabel::new(text), Err(KeyError::Label(_))));
        }
    }
}
