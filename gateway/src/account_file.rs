//! A party's account on disk: the keys that never leave its machine.

use std::path::Path;

use sealgate_circuits::bytes::tagged_hash;
use sealgate_ledger::account::{AccountSecret, EncryptionKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::files::{FileError, read_json, write_json};

/// Name of the file in a home or data folder.
pub const ACCOUNT_FILE: &str = "account.key";
/// Name of the file beside it with what others may know.
pub const PUBLIC_FILE: &str = "account.public";

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct AccountFile {
    format: String,
    name: String,
    signing_seed: String,
    encryption_secret: String,
    encryption_key: String,
    address: String,
    /// Hash of all the rest: shows a damaged file.
    checksum: String,
}

impl AccountFile {
    fn sum(&self) -> String {
        let parts = [
            &self.format,
            &self.name,
            &self.signing_seed,
            &self.encryption_secret,
            &self.encryption_key,
            &self.address,
        ];
        hex::encode(tagged_hash("sealgate/account-file/1", &parts.map(|part| part.as_bytes())))
    }
}

const FORMAT: &str = "sealgate-account/1";

/// The keys of a successor, until the ledger knows it.
pub(crate) const NEXT_FILE: &str = "account.next.key";

/// Makes a new account in `folder`, which must not hold one yet.
///
/// # Errors
/// [`FileError`] when there is one already, or the folder cannot be written.
pub fn create(folder: &Path, name: &str) -> Result<AccountSecret, FileError> {
    let secret = write(folder, ACCOUNT_FILE, name).map_err(|error| match error {
        FileError::Io { source, path } if source.kind() == std::io::ErrorKind::AlreadyExists => {
            FileError::content(&path, "an account is here already; choose another folder, or keep using this one")
        }
        other => other,
    })?;
    write_json(&folder.join(PUBLIC_FILE), secret.public(), true)?;
    Ok(secret)
}

/// The account that is to succeed the one in `folder`: made now, or before if that was cut short.
///
/// # Errors
/// [`FileError`].
pub fn prepare_successor(folder: &Path, name: &str) -> Result<AccountSecret, FileError> {
    if folder.join(NEXT_FILE).exists() { read(&folder.join(NEXT_FILE)) } else { write(folder, NEXT_FILE, name) }
}

/// Puts the prepared successor in the place of the account, whose keys are kept under its
/// address: what was sealed to it opens with them alone.
///
/// # Errors
/// [`FileError`].
pub fn succeed(folder: &Path) -> Result<(), FileError> {
    let (current, next) = (folder.join(ACCOUNT_FILE), folder.join(NEXT_FILE));
    let successor = read(&next)?;
    let kept = folder.join(format!("account.{}.key", read(&current)?.address()));
    if !kept.exists() {
        std::fs::hard_link(&current, &kept).map_err(FileError::io(&kept))?;
    }
    std::fs::rename(&next, &current).map_err(FileError::io(&next))?;
    write_json(&folder.join(PUBLIC_FILE), successor.public(), true)
}

/// The accounts that the one in `folder` has replaced.
///
/// # Errors
/// [`FileError`].
pub fn load_earlier(folder: &Path) -> Result<Vec<AccountSecret>, FileError> {
    let entries = std::fs::read_dir(folder).map_err(FileError::io(folder))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with("account.sg1") && name.ends_with(".key")
    });
    files.sort();
    files.iter().map(|path| read(path)).collect()
}

fn write(folder: &Path, file: &str, name: &str) -> Result<AccountSecret, FileError> {
    let path = folder.join(file);
    let secret = AccountSecret::generate(name).map_err(|error| FileError::content(&path, error))?;
    crate::files::create_private_dir(folder).map_err(FileError::io(folder))?;
    let mut file = AccountFile {
        format: FORMAT.into(),
        name: name.into(),
        signing_seed: hex::encode(secret.signing_seed()),
        encryption_secret: hex::encode(secret.encryption_secret()),
        encryption_key: secret.public().encryption_key.to_string(),
        address: secret.address().to_string(),
        checksum: String::new(),
    };
    file.checksum = file.sum();
    write_json(&path, &file, false)?;
    Ok(secret)
}

/// Loads the account in `folder`.
///
/// # Errors
/// [`FileError`], with the way out when there is none.
pub fn load(folder: &Path) -> Result<AccountSecret, FileError> {
    let path = folder.join(ACCOUNT_FILE);
    if !path.exists() {
        return Err(FileError::content(
            &path,
            "no account here; make one with 'sealgate account new', or name the right folder",
        ));
    }
    read(&path)
}

/// Loads the account of an owner's data folder, which was made with the folder and never again.
///
/// # Errors
/// [`FileError`], with the way out when there is none.
pub fn load_owners(folder: &Path) -> Result<AccountSecret, FileError> {
    let path = folder.join(ACCOUNT_FILE);
    if !path.exists() {
        return Err(FileError::content(&path, "the owner's own key is not there: restore it from a backup"));
    }
    read(&path)
}

fn read(path: &Path) -> Result<AccountSecret, FileError> {
    let file: AccountFile = read_json(path)?;
    let damaged = || FileError::content(path, "the account file is damaged; restore it from a copy");
    if file.format != FORMAT {
        return Err(FileError::content(path, format!("format '{}' is not {FORMAT}", file.format)));
    }
    if file.sum() != file.checksum {
        return Err(damaged());
    }
    let mut seed = [0u8; 32];
    let mut encryption = [0u8; 32];
    hex::decode_to_slice(&file.signing_seed, &mut seed).map_err(|_| damaged())?;
    hex::decode_to_slice(&file.encryption_secret, &mut encryption).map_err(|_| damaged())?;
    let key: EncryptionKey = file.encryption_key.parse().map_err(|_| damaged())?;
    let secret = AccountSecret::from_parts(&file.name, seed, encryption, key).map_err(|_| damaged());
    seed.zeroize();
    encryption.zeroize();
    let secret = secret?;
    if secret.address().to_string() != file.address || !crate::envelope::matches(&secret) {
        return Err(damaged());
    }
    Ok(secret)
}
