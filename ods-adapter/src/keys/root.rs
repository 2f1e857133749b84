//! The root key, and the file that says where it comes from.

use std::path::Path;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::tagged_hash;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{KeyError, read, unwrap_secret, wrap_secret, write};
use crate::secret::{NONCE_BYTES, Secret, TAG_BYTES, random};

/// First line of a root key's file.
const TITLE: &str = "sealgate root 2";
/// Fewest characters of a new passphrase.
pub const PASSPHRASE_CHARS_MIN: usize = 12;
/// Bytes of a passphrase's salt.
const SALT_BYTES: usize = 16;
/// Bounds on what a file may ask of Argon2id: a gibibyte, and a minute or so.
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 32;
const LANES_MAX: u32 = 16;

sealgate_circuits::byte_newtype!(
    /// Tells root keys apart and says nothing of the key.
    RootCommitment, 32, "root commitment"
);

/// What holds the root key and never gives it away: this process, or a device beside it.
///
/// What [`KeyVault::wrap_key`] gave, [`KeyVault::unwrap_key`] turns into the same secret, in this
/// process or a later one, for the same associated data and no other; anything else it refuses.
/// Two vaults with one commitment hold the same root key.
pub trait KeyVault: std::fmt::Debug + Send + Sync {
    /// Seals a secret, together with what it is for.
    ///
    /// # Errors
    /// [`KeyError::Random`]; [`KeyError::Vault`] when the device fails.
    fn wrap_key(&self, aad: &[u8], secret: &[u8; 32]) -> Result<Vec<u8>, KeyError>;

    /// Opens what was sealed for the same.
    ///
    /// # Errors
    /// [`KeyError::NotOpened`]; [`KeyError::Vault`] when the device fails.
    fn unwrap_key(&self, aad: &[u8], wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyError>;

    /// Which root key this is.
    fn commitment(&self) -> RootCommitment;
}

/// The key above all others on this machine, held in memory.
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

    /// A key that comes from elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    /// A key as 64 hexadecimal digits; `name` is what the text is called in messages.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`].
    pub fn from_hex(text: &str, name: &'static str) -> Result<Self, KeyError> {
        secret_of_hex(text.trim()).map(Self).ok_or(KeyError::NotAKey(name))
    }
}

impl KeyVault for RootKey {
    fn wrap_key(&self, aad: &[u8], secret: &[u8; 32]) -> Result<Vec<u8>, KeyError> {
        let nonce: [u8; NONCE_BYTES] = random().map_err(KeyError::Random)?;
        let sealed = wrap_secret(&self.wrapping(), nonce, aad, secret)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn unwrap_key(&self, aad: &[u8], wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let parts = wrapped.split_first_chunk::<NONCE_BYTES>();
        let opened = parts.and_then(|(nonce, sealed)| {
            let sealed: &[u8; 32 + TAG_BYTES] = sealed.try_into().ok()?;
            unwrap_secret(&self.wrapping(), *nonce, aad, sealed)
        });
        opened.map(|secret| Zeroizing::new(*secret.expose())).ok_or(KeyError::NotOpened("a key"))
    }

    fn commitment(&self) -> RootCommitment {
        RootCommitment(*self.0.derive("sealgate/ods/root-commitment/1", &[]).expose())
    }
}

impl RootKey {
    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }

    fn wrapping(&self) -> Secret {
        self.0.derive("sealgate/ods/root-wrapping/1", &[])
    }
}

/// How a passphrase becomes a key: Argon2id (RFC 9106), version 0x13.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Argon2Parameters {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT_BYTES],
}

impl std::fmt::Display for Argon2Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "m={} t={} p={} salt={}", self.memory_kib, self.passes, self.lanes, hex::encode(self.salt))
    }
}

impl Argon2Parameters {
    /// RFC 9106's second recommendation, 64 MiB and 3 passes, with a new salt.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self { memory_kib: 1 << 16, passes: 3, lanes: 4, salt: random().map_err(KeyError::Random)? })
    }

    /// The key of a passphrase, taken as UTF-8.
    ///
    /// # Errors
    /// [`KeyError::Argon2`] when the parameters are out of bounds or there is no memory.
    pub fn derive(&self, passphrase: &str) -> Result<RootKey, KeyError> {
        let failed = |what: String| KeyError::Argon2(*self, what);
        if self.memory_kib > MEMORY_KIB_MAX || self.passes > PASSES_MAX || self.lanes > LANES_MAX {
            return Err(failed(format!("more than m={MEMORY_KIB_MAX} t={PASSES_MAX} p={LANES_MAX}")));
        }
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(|e| failed(e.to_string()))?;
        let mut blocks: Vec<Block> = Vec::new();
        blocks.try_reserve_exact(params.block_count()).map_err(|_| failed("no memory".into()))?;
        blocks.resize(params.block_count(), Block::new());
        let mut key = Zeroizing::new([0u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(passphrase.as_bytes(), &self.salt, &mut *key, &mut blocks)
            .map_err(|error| failed(error.to_string()))?;
        blocks.iter_mut().for_each(zeroize::Zeroize::zeroize);
        Ok(RootKey::from_bytes(*key))
    }

    /// [`Argon2Parameters::derive`] for a passphrase that is chosen now.
    ///
    /// # Errors
    /// [`KeyError::ShortPassphrase`], and as [`Argon2Parameters::derive`].
    pub fn derive_new(&self, passphrase: &str) -> Result<RootKey, KeyError> {
        if passphrase.chars().count() < PASSPHRASE_CHARS_MIN {
            return Err(KeyError::ShortPassphrase);
        }
        self.derive(passphrase)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut word = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let (memory, passes, lanes) = (word("m")?.parse().ok()?, word("t")?.parse().ok()?, word("p")?.parse().ok()?);
        let mut salt = [0u8; SALT_BYTES];
        hex::decode_to_slice(word("salt")?, &mut salt).ok()?;
        words.next().is_none().then_some(Self { memory_kib: memory, passes, lanes, salt })
    }
}

/// What a folder's root key file says: the key itself, or where else it comes from and how to
/// tell that it is the right one.
#[derive(Debug, Clone)]
pub enum RootFile {
    /// The key, in this file.
    Key(RootKey),
    /// Derived from a passphrase.
    Passphrase(Argon2Parameters, RootCommitment),
    /// Handed to the process by whoever starts it.
    Environment(RootCommitment),
}

impl RootFile {
    /// Where the key comes from, in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            RootFile::Key(_) => "file",
            RootFile::Passphrase(..) => "passphrase",
            RootFile::Environment(_) => "environment",
        }
    }

    /// Which root key belongs here.
    pub fn commitment(&self) -> RootCommitment {
        match self {
            RootFile::Key(key) => key.commitment(),
            RootFile::Passphrase(_, commitment) | RootFile::Environment(commitment) => *commitment,
        }
    }

    /// That `key` is the one that belongs here; `given` is what it is called in messages, `path`
    /// is this file's.
    ///
    /// # Errors
    /// [`KeyError::NotThisRoot`].
    pub fn check(&self, key: RootKey, given: &'static str, path: &Path) -> Result<RootKey, KeyError> {
        match bool::from(key.commitment().0.ct_eq(&self.commitment().0)) {
            true => Ok(key),
            false => Err(KeyError::NotThisRoot { given, path: path.to_owned() }),
        }
    }

    /// Writes the file with its checksum, mode 0600, whole and durable or not at all.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there is a file and `replace` is false, [`KeyError::File`].
    pub fn save(&self, path: &Path, replace: bool) -> Result<(), KeyError> {
        let content = Zeroizing::new(match self {
            RootFile::Key(key) => format!("file {}", *Zeroizing::new(hex::encode(key.0.expose()))),
            RootFile::Passphrase(argon2, commitment) => format!("passphrase {commitment} {argon2}"),
            RootFile::Environment(commitment) => format!("environment {commitment}"),
        });
        let text = Zeroizing::new(format!("{TITLE}\n{}\n{}\n", *content, checksum(&content)));
        write(path, text.as_bytes(), replace)
    }

    /// Reads what [`RootFile::save`] wrote.
    ///
    /// # Errors
    /// [`KeyError::Missing`], [`KeyError::File`], or [`KeyError::Damaged`] when the checksum does not fit.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let damaged = |what| KeyError::Damaged { path: path.to_owned(), what };
        let bytes = read(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("not text"))?;
        let lines: Vec<&str> = text.split('\n').collect();
        let [TITLE, content, sum, ""] = lines.as_slice() else { return Err(damaged("not a root key's file")) };
        if checksum(content) != *sum {
            return Err(damaged("its checksum does not fit"));
        }
        Self::parse(content).ok_or_else(|| damaged("it says nothing that this program knows"))
    }

    fn parse(content: &str) -> Option<Self> {
        let (kind, rest) = content.split_once(' ')?;
        match kind {
            "file" => Some(RootFile::Key(RootKey(secret_of_hex(rest)?))),
            "passphrase" => {
                let (commitment, argon2) = rest.split_once(' ')?;
                Some(RootFile::Passphrase(Argon2Parameters::parse(argon2)?, commitment.parse().ok()?))
            }
            "environment" => Some(RootFile::Environment(rest.parse().ok()?)),
            _ => None,
        }
    }
}

fn secret_of_hex(text: &str) -> Option<Secret> {
    let mut bytes = [0u8; 32];
    let secret = hex::decode_to_slice(text, &mut bytes).ok().map(|()| Secret::from_bytes(bytes));
    bytes.zeroize();
    secret
}

fn checksum(content: &str) -> String {
    hex::encode(tagged_hash("sealgate/ods/root-checksum/2", &[content.as_bytes()]).get(..4).unwrap_or_default())
}
