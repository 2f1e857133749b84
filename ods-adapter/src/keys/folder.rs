//! A folder of asset keys, each asset's in a file of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::tagged_hash;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{AssetKeys, AssetLabel, KEKS_MAX, KeyError, KeyVault, RootCommitment, read, write};
use crate::secret::{NONCE_BYTES, Secret, random};
use crate::suite::CipherSuite;

/// First bytes of an asset's key file.
const MAGIC: [u8; 8] = *b"SGASKEY2";
/// Bytes of the digest at the end of an asset's key file.
const DIGEST_BYTES: usize = 32;

/// The key files of the assets in one folder, under a root key. One process at a time may change
/// them; a file is replaced whole or not at all.
#[derive(Clone, Debug)]
pub struct KeyFolder {
    folder: PathBuf,
    vault: Arc<dyn KeyVault>,
}

/// The content of an asset's key file between magic and digest.
#[derive(BorshSerialize, BorshDeserialize)]
struct AssetFile {
    label: String,
    /// The file's own key under each root key that opens it: one, but while roots change.
    wraps: Vec<Wrap>,
    /// The keys under the file's own key, which is drawn anew whenever they change.
    sealed: Vec<u8>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Wrap {
    root: RootCommitment,
    key: Vec<u8>,
}

/// The keys themselves.
#[derive(BorshSerialize, BorshDeserialize, Zeroize, ZeroizeOnDrop)]
struct Content {
    place_seed: [u8; 32],
    commitment_key: [u8; 32],
    /// The current one first.
    keks: Vec<[u8; 32]>,
}

impl KeyFolder {
    /// The keys in `folder`, which is made when the first key is.
    pub fn new(folder: &Path, vault: Arc<dyn KeyVault>) -> Self {
        Self { folder: folder.to_owned(), vault }
    }

    /// The file in which an asset's keys are kept.
    pub fn path(&self, label: &AssetLabel) -> PathBuf {
        self.folder.join(file_name(label))
    }

    /// Which root key these are under.
    pub fn root(&self) -> RootCommitment {
        self.vault.commitment()
    }

    /// Draws and keeps the keys of a new asset; they are durable when this returns.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when the asset has keys, [`KeyError::Random`], [`KeyError::File`].
    pub fn create_asset(&self, label: &AssetLabel) -> Result<AssetKeys, KeyError> {
        let keys = AssetKeys::generate(label.clone())?;
        write(&self.path(label), &self.encode(&keys)?, false)?;
        Ok(keys)
    }

    /// The keys of an asset.
    ///
    /// # Errors
    /// [`KeyError::Missing`] when it has none, [`KeyError::Damaged`] when its file changed,
    /// [`KeyError::WrongRoot`] when the file is whole but the root key is another, [`KeyError::File`].
    pub fn asset(&self, label: &AssetLabel) -> Result<AssetKeys, KeyError> {
        let path = self.path(label);
        let file = AssetFile::load(&path, label)?;
        let key = self.file_key(&file, &path)?;
        file.open(label, &key).ok_or(KeyError::Damaged { path, what: "its keys do not open" })
    }

    /// How many other root keys open an asset's keys: none, unless a change of root keys was cut short.
    ///
    /// # Errors
    /// As [`KeyFolder::asset`].
    pub fn other_roots(&self, label: &AssetLabel) -> Result<usize, KeyError> {
        let file = AssetFile::load(&self.path(label), label)?;
        Ok(file.wraps.iter().filter(|wrap| wrap.root != self.root()).count())
    }

    /// Keeps changed keys of an asset that has keys: the file holds the old ones or, durably when
    /// this returns, the new ones.
    ///
    /// # Errors
    /// As [`KeyFolder::asset`], so that keys under another root key are not overwritten.
    pub fn replace(&self, keys: &AssetKeys) -> Result<(), KeyError> {
        self.asset(&keys.label)?;
        write(&self.path(&keys.label), &self.encode(keys)?, true)
    }

    /// The assets that have keys here, in order.
    ///
    /// # Errors
    /// [`KeyError::File`] when the folder cannot be read; a folder that does not exist is empty.
    pub fn list(&self) -> Result<Vec<AssetLabel>, KeyError> {
        let names = self.names()?;
        let mut labels: Vec<_> =
            names.iter().filter_map(|name| AssetLabel::from_hex(name.strip_suffix(".key")?)).collect();
        labels.sort();
        Ok(labels)
    }

    /// Whether the root key is this folder's: it opens the keys of some asset, or there are none that it could.
    /// What is wrong with one asset's keys alone shows when they are used.
    ///
    /// # Errors
    /// [`KeyError::WrongRoot`]; [`KeyError::File`] when the folder cannot be read.
    pub fn check_root(&self) -> Result<(), KeyError> {
        let mut wrong = Ok(());
        for label in self.list()? {
            match self.asset(&label) {
                Ok(_) => return Ok(()),
                Err(error @ KeyError::WrongRoot { .. }) => wrong = Err(error),
                Err(_) => {}
            }
        }
        wrong
    }

    /// Lets `next` open all that this root key opens, as the first step of changing root keys. After
    /// it the new root key's file may take the place of the old one; both open everything.
    ///
    /// # Errors
    /// As [`KeyFolder::asset`] for the first file that cannot be opened; this root key still opens
    /// all that it did.
    pub fn admit(&self, next: &dyn KeyVault) -> Result<(), KeyError> {
        for label in self.list()? {
            let path = self.path(&label);
            let mut file = AssetFile::load(&path, &label)?;
            let key = self.file_key(&file, &path)?;
            let aad = wrap_aad(label.as_str());
            let opened = file.wrap_of(next.commitment()).map(|wrap| next.unwrap_key(&aad, &wrap.key));
            if !opened.is_some_and(|opened| opened.is_ok_and(|opened| *opened == *key)) {
                file.wraps.retain(|wrap| wrap.root != next.commitment());
                file.wraps.push(Wrap { root: next.commitment(), key: next.wrap_key(&aad, &key)? });
                write(&path, &file.encode(), true)?;
            }
        }
        Ok(())
    }

    /// Shuts out every other root key, as the last step of changing them. How many files another
    /// one opened.
    ///
    /// # Errors
    /// As [`KeyFolder::asset`].
    pub fn expel_others(&self) -> Result<usize, KeyError> {
        let mut changed = 0;
        for label in self.list()? {
            let path = self.path(&label);
            if AssetFile::load(&path, &label)?.wraps.len() > 1 {
                // Keys anew: who had another root key and the file as it was has no key of this one.
                write(&path, &self.encode(&self.asset(&label)?)?, true)?;
                changed += 1;
            }
        }
        Ok(changed)
    }

    /// Overwrites and removes an asset's keys: what they sealed opens no more, here or, once the
    /// copies in backups are gone, anywhere. Durable when this returns.
    ///
    /// # Errors
    /// [`KeyError::Missing`] when there are none, [`KeyError::File`].
    pub fn destroy(&self, label: &AssetLabel) -> Result<(), KeyError> {
        let path = self.path(label);
        if !path.exists() {
            return Err(KeyError::Missing { path });
        }
        // What a crash left of writing the file goes first: while the file is there, this can be repeated.
        let unfinished = format!(".{}.", file_name(label));
        for name in self.names()?.iter().filter(|name| name.starts_with(&unfinished)) {
            let path = self.folder.join(name);
            overwrite_and_remove(&path).map_err(|source| KeyError::File { path, source })?;
        }
        overwrite_and_remove(&path).map_err(|source| KeyError::File { path, source })?;
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| KeyError::File { path: self.folder.clone(), source })
    }

    fn names(&self) -> Result<Vec<String>, KeyError> {
        let failed = |source| KeyError::File { path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let names = entries.map(|entry| Ok(entry.map_err(failed)?.file_name().into_string().unwrap_or_default()));
        names.collect()
    }

    /// The file's own key, by this folder's root key.
    fn file_key(&self, file: &AssetFile, path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let wrap = file.wrap_of(self.vault.commitment());
        let wrap = wrap.ok_or_else(|| KeyError::WrongRoot { path: path.to_owned() })?;
        self.vault.unwrap_key(&wrap_aad(&file.label), &wrap.key).map_err(|error| match error {
            KeyError::NotOpened(_) => KeyError::Damaged { path: path.to_owned(), what: "its own key does not open" },
            other => other,
        })
    }

    fn encode(&self, keys: &AssetKeys) -> Result<Vec<u8>, KeyError> {
        let key = Zeroizing::new(random::<32>().map_err(KeyError::Random)?);
        let content = Content {
            place_seed: *keys.place_seed.expose(),
            commitment_key: *keys.commitment_key.expose(),
            keks: keys.keks().map(|kek| *kek.expose()).collect(),
        };
        let mut sealed = borsh::to_vec(&content).unwrap_or_default();
        let cipher = Secret::from_bytes(*key).cipher(CipherSuite::Aes256Gcm);
        let done = cipher.seal([0; NONCE_BYTES], &body_aad(&keys.label), &mut sealed);
        done.map_err(|_| KeyError::NotOpened("a key file"))?;
        let wrap = Wrap { root: self.vault.commitment(), key: self.vault.wrap_key(&wrap_aad(&keys.label.0), &key)? };
        Ok(AssetFile { label: keys.label.0.clone(), wraps: vec![wrap], sealed }.encode())
    }
}

impl AssetFile {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(borsh::to_vec(self).unwrap_or_default());
        bytes.extend(tagged_hash("sealgate/ods/asset-file/1", &[&bytes]));
        bytes
    }

    fn load(path: &Path, label: &AssetLabel) -> Result<Self, KeyError> {
        let bytes = read(path)?;
        let damaged = |what| KeyError::Damaged { path: path.to_owned(), what };
        let (body, digest) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or_else(|| damaged("it is cut short"))?;
        if tagged_hash("sealgate/ods/asset-file/1", &[body]) != *digest {
            return Err(damaged("its checksum does not fit"));
        }
        let file = body
            .strip_prefix(&MAGIC)
            .and_then(|rest| AssetFile::try_from_slice(rest).ok())
            .ok_or_else(|| damaged("not an asset's key file"))?;
        if file.label == label.0 { Ok(file) } else { Err(damaged("it is another asset's")) }
    }

    fn wrap_of(&self, root: RootCommitment) -> Option<&Wrap> {
        self.wraps.iter().find(|wrap| wrap.root == root)
    }

    fn open(&self, label: &AssetLabel, key: &[u8; 32]) -> Option<AssetKeys> {
        let mut opened = Zeroizing::new(self.sealed.clone());
        let cipher = Secret::from_bytes(*key).cipher(CipherSuite::Aes256Gcm);
        cipher.open([0; NONCE_BYTES], &body_aad(label), &mut opened).ok()?;
        let content = Content::try_from_slice(&opened).ok()?;
        let (kek, former) = content.keks.split_first().filter(|(_, former)| former.len() < KEKS_MAX)?;
        Some(AssetKeys {
            label: label.clone(),
            kek: Secret::from_bytes(*kek),
            former: former.iter().map(|kek| Secret::from_bytes(*kek)).collect(),
            place_seed: Secret::from_bytes(content.place_seed),
            commitment_key: Secret::from_bytes(content.commitment_key),
        })
    }
}

fn wrap_aad(label: &str) -> Vec<u8> {
    borsh::to_vec(&("sealgate/ods/asset-key/2", label)).unwrap_or_default()
}

fn body_aad(label: &AssetLabel) -> Vec<u8> {
    borsh::to_vec(&("sealgate/ods/asset-keys/2", &label.0)).unwrap_or_default()
}

fn file_name(label: &AssetLabel) -> String {
    format!("{}.key", label.hex())
}

fn overwrite_and_remove(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut left = file.metadata()?.len();
    while left > 0 {
        let noise = random::<64>()?;
        let part = noise.get(..usize::try_from(left).unwrap_or(usize::MAX).min(noise.len())).unwrap_or_default();
        file.write_all(part)?;
        left = left.saturating_sub(part.len() as u64);
    }
    file.sync_all()?;
    drop(file);
    fs::remove_file(path)
}
