//! Thirty-two secret bytes, authenticated ciphers keyed with them, and files only their owner may read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, AesGcm, Nonce, Tag};
use hkdf::Hkdf;
use sealgate_circuits::bytes::tagged_hash;
use sha2::Sha256;
use sm4::Sm4;
use zeroize::Zeroize as _;

use crate::suite::CipherSuite;

/// Bytes of a GCM nonce.
pub(crate) const NONCE_BYTES: usize = 12;
/// Bytes that GCM adds to a plaintext.
pub(crate) const TAG_BYTES: usize = 16;

/// Bytes of an SM4 key.
const SM4_KEY_BYTES: usize = 16;

/// A ciphertext that does not open: another key, another place, or changed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotOpened;

/// Fills `N` bytes from the operating system.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// A 256-bit key: wiped when dropped, never printed.
pub(crate) struct Secret([u8; 32]);

impl Secret {
    /// Draws one at random.
    pub(crate) fn generate() -> io::Result<Self> {
        Ok(Self(random()?))
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// HKDF-SHA-256 (RFC 5869) with a tagged hash of the purpose as info.
    pub(crate) fn derive(&self, purpose: &str, parts: &[&[u8]]) -> Secret {
        let mut out = [0u8; 32];
        // 32 bytes are always within what HKDF-SHA-256 can give (255 × 32).
        let _ = Hkdf::<Sha256>::new(None, &self.0).expand(&tagged_hash(purpose, parts), &mut out);
        Secret(out)
    }

    /// The suite's cipher under this key; one with shorter keys uses the first bytes.
    pub(crate) fn cipher(&self, suite: CipherSuite) -> Cipher {
        match suite {
            CipherSuite::Aes256Gcm => Cipher::Aes256Gcm(Box::new(Aes256Gcm::new(&self.0.into()))),
            CipherSuite::Sm4Gcm => {
                let mut key = [0u8; SM4_KEY_BYTES];
                key.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
                let cipher = Cipher::Sm4Gcm(Box::new(Sm4Gcm::new(&key.into())));
                key.zeroize();
                cipher
            }
        }
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

type Sm4Gcm = AesGcm<Sm4, U12>;

/// A keyed cipher of a suite: 96-bit nonce, 128-bit tag behind the ciphertext.
pub(crate) enum Cipher {
    Aes256Gcm(Box<Aes256Gcm>),
    Sm4Gcm(Box<Sm4Gcm>),
}

impl Cipher {
    /// Seals `buffer` in place and appends the tag.
    pub(crate) fn seal(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), NotOpened> {
        let nonce = Nonce::from(nonce);
        match self {
            Cipher::Aes256Gcm(cipher) => cipher.encrypt_in_place(&nonce, aad, buffer),
            Cipher::Sm4Gcm(cipher) => cipher.encrypt_in_place(&nonce, aad, buffer),
        }
        .map_err(|_| NotOpened)
    }

    /// Seals `buffer` in place and gives the tag.
    pub(crate) fn seal_detached(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], NotOpened> {
        let nonce = Nonce::from(nonce);
        let tag = match self {
            Cipher::Aes256Gcm(cipher) => cipher.encrypt_inout_detached(&nonce, aad, buffer.into()),
            Cipher::Sm4Gcm(cipher) => cipher.encrypt_inout_detached(&nonce, aad, buffer.into()),
        };
        tag.map(Into::into).map_err(|_| NotOpened)
    }

    /// Opens `buffer` in place, if this is its tag; on failure its content is of no meaning.
    pub(crate) fn open_detached(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        buffer: &mut [u8],
        tag: [u8; TAG_BYTES],
    ) -> Result<(), NotOpened> {
        let (nonce, tag) = (Nonce::from(nonce), Tag::from(tag));
        match self {
            Cipher::Aes256Gcm(cipher) => cipher.decrypt_inout_detached(&nonce, aad, buffer.into(), &tag),
            Cipher::Sm4Gcm(cipher) => cipher.decrypt_inout_detached(&nonce, aad, buffer.into(), &tag),
        }
        .map_err(|_| NotOpened)
    }

    /// Opens `buffer` in place and removes the tag; on failure its content is of no meaning.
    pub(crate) fn open(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), NotOpened> {
        let nonce = Nonce::from(nonce);
        match self {
            Cipher::Aes256Gcm(cipher) => cipher.decrypt_in_place(&nonce, aad, buffer),
            Cipher::Sm4Gcm(cipher) => cipher.decrypt_in_place(&nonce, aad, buffer),
        }
        .map_err(|_| NotOpened)
    }
}

/// What the reader of an operating system's error can do about it.
pub(crate) fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": make room and try again; nothing was changed",
        io::ErrorKind::PermissionDenied => ": run as the user who owns the folder",
        io::ErrorKind::ReadOnlyFilesystem => ": mount it for writing and try again",
        _ => "",
    }
}

/// Makes `folder` and its parents, readable by their owner only.
pub fn create_private_dir(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a file of mode 0600 that is there whole and durable, or not at all. With `replace`
/// false, a file that is already there is left alone and reported as `AlreadyExists`.
pub fn write_private(path: &Path, content: &[u8], replace: bool) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    create_private_dir(folder)?;
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
    let temporary = folder.join(format!(".{}.{}.tmp", name.to_string_lossy(), hex::encode(random::<8>()?)));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        if replace {
            fs::rename(&temporary, path)?;
        } else {
            fs::hard_link(&temporary, path)?;
            fs::remove_file(&temporary)?;
        }
        File::open(folder)?.sync_all()
    };
    let outcome = write();
    if outcome.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    outcome
}
