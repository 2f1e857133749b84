//! Secrets that people or services hand to a command: never as an argument, which others on the
//! machine can read.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use sealgate_ods::keys::{KeyError, RootFile, RootKey};
use zeroize::Zeroizing;

/// The root key's passphrase, or the file it stands in.
const PASSPHRASE: Source = Source {
    what: "the passphrase of the root key",
    variable: "SEALGATE_PASSPHRASE",
    file_variable: "SEALGATE_PASSPHRASE_FILE",
};
/// The root key itself, as 64 hexadecimal digits, or the file it stands in.
const ROOT_KEY: Source =
    Source { what: "the root key", variable: "SEALGATE_ROOT_KEY", file_variable: "SEALGATE_ROOT_KEY_FILE" };
/// The passphrase of a new root key.
pub const NEW_PASSPHRASE: Source = Source {
    what: "the passphrase of the new root key",
    variable: "SEALGATE_NEW_PASSPHRASE",
    file_variable: "SEALGATE_NEW_PASSPHRASE_FILE",
};
/// A new root key.
pub const NEW_ROOT_KEY: Source =
    Source { what: "the new root key", variable: "SEALGATE_NEW_ROOT_KEY", file_variable: "SEALGATE_NEW_ROOT_KEY_FILE" };
/// The passphrase that a backup is sealed under.
pub const BACKUP_PASSPHRASE: Source = Source {
    what: "the passphrase of the backup",
    variable: "SEALGATE_BACKUP_PASSPHRASE",
    file_variable: "SEALGATE_BACKUP_PASSPHRASE_FILE",
};
/// Longest secret that is read from a file.
const SECRET_BYTES_MAX: u64 = 4096;

/// Where a secret may come from.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// What it is, in messages.
    pub what: &'static str,
    /// The environment variable that may hold it.
    pub variable: &'static str,
    /// The one that may name a file with it, such as `/dev/fd/3` or a service's credential.
    pub file_variable: &'static str,
}

/// The root key that belongs to a folder, from where its file says.
///
/// # Errors
/// [`KeyError::NotGiven`] when it is not there, [`KeyError::NotThisRoot`] when it is another.
pub fn root_key(file: &RootFile, path: &Path) -> Result<RootKey, KeyError> {
    match file {
        RootFile::Key(key) => Ok(key.clone()),
        RootFile::Passphrase(argon2, _) => {
            let key = argon2.derive(&PASSPHRASE.read(Prompt::Once)?)?;
            file.check(key, PASSPHRASE.what, path)
        }
        RootFile::Environment(_) => {
            let key = RootKey::from_hex(&ROOT_KEY.read(Prompt::No)?, ROOT_KEY.what)?;
            file.check(key, ROOT_KEY.what, path)
        }
    }
}

/// Whether people may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// Not for this.
    No,
    /// For a secret that exists.
    Once,
    /// For a new one, which is typed twice.
    Twice,
}

impl Source {
    /// The secret: from the variable, the file, or the terminal.
    ///
    /// # Errors
    /// [`KeyError::NotGiven`], with the ways to give it.
    pub fn read(&self, prompt: Prompt) -> Result<Zeroizing<String>, KeyError> {
        if let Some(text) = std::env::var_os(self.variable) {
            let text = text.into_string().map_err(|_| self.wrong(self.variable, "it is not UTF-8"))?;
            return self.filled(text, self.variable);
        }
        if let Some(path) = std::env::var_os(self.file_variable) {
            return self.read_file(Path::new(&path));
        }
        if prompt != Prompt::No && std::io::stdin().is_terminal() {
            return self.ask(prompt);
        }
        let ask = if prompt == Prompt::No { "" } else { ", or run the command at a terminal" };
        Err(KeyError::NotGiven(format!(
            "{} is needed: set {}, or {} to a file that holds it{ask}",
            self.what, self.variable, self.file_variable
        )))
    }

    /// The secret in a file, without the end of its line.
    ///
    /// # Errors
    /// [`KeyError::NotGiven`].
    pub fn read_file(&self, path: &Path) -> Result<Zeroizing<String>, KeyError> {
        use std::io::Read as _;
        let failed = |source| KeyError::File { path: PathBuf::from(path), source };
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096 + 1));
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        let name = path.display().to_string();
        if bytes.len() as u64 > SECRET_BYTES_MAX {
            return Err(self.wrong(&name, "it has more than 4096 bytes"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| self.wrong(&name, "it is not UTF-8"))?;
        self.filled(text.trim_end_matches(['\n', '\r']).to_owned(), &name)
    }

    fn ask(&self, prompt: Prompt) -> Result<Zeroizing<String>, KeyError> {
        let ask = |again: &str| {
            let answer = rpassword::prompt_password(format!("{}{again}: ", self.what));
            answer.map(Zeroizing::new).map_err(|error| self.wrong("the terminal", error))
        };
        let first = ask("")?;
        if prompt == Prompt::Twice && *ask(", again")? != *first {
            return Err(self.wrong("the terminal", "the two are not the same; try again"));
        }
        self.filled(first.to_string(), "the terminal")
    }

    fn filled(&self, text: String, from: &str) -> Result<Zeroizing<String>, KeyError> {
        let text = Zeroizing::new(text);
        if text.is_empty() { Err(self.wrong(from, "it is empty")) } else { Ok(text) }
    }

    fn wrong(&self, from: &str, why: impl std::fmt::Display) -> KeyError {
        KeyError::NotGiven(format!("{} cannot be taken from {from}: {why}", self.what))
    }
}
