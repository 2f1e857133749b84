//! Which files of the gateway's machine the console reads: manifests and tables, in the folders that the
//! configuration names for them. Whoever signs in with `account.key` alone is not to read what its process may.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sealgate_ods::manifest::{SourceSpec, Tls};

use crate::owner::Owner;

/// The folder of a data folder in which manifests are kept; always within reach.
const MANIFESTS: &str = "manifests";

/// The folders that are read from, and what in them is not.
pub(super) struct Reach {
    folders: Vec<PathBuf>,
    refused: Vec<PathBuf>,
    /// Within a refused folder and read all the same.
    manifests: PathBuf,
}

/// A file that is not read. The same whether or not there is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beyond(PathBuf);

impl Beyond {
    pub(super) fn path(&self) -> std::path::Display<'_> {
        self.0.display()
    }
}

impl Reach {
    /// Of an owner's console: the folders of `[console]`, those of scheduled manifests, and the data folder's own
    /// `manifests`; never the rest of the data folder, and no secret that the process was handed.
    pub(super) fn of(owner: &Owner) -> Reach {
        let config = owner.config();
        let scheduled = config.sync.iter().filter_map(|schedule| schedule.manifest.parent().map(Path::to_owned));
        let folders = config.folders.iter().cloned().chain(scheduled).collect();
        Reach::new(owner.folder(), folders, secrets(std::env::vars_os()))
    }

    fn new(data: &Path, mut folders: Vec<PathBuf>, mut refused: Vec<PathBuf>) -> Reach {
        let manifests = data.join(MANIFESTS);
        folders.push(manifests.clone());
        refused.push(data.to_owned());
        // What is not there now holds nothing now.
        let real = |paths: Vec<PathBuf>| paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let manifests = manifests.canonicalize().unwrap_or(manifests);
        Reach { folders: real(folders), refused: real(refused), manifests }
    }

    /// The folders, as they are written in messages.
    pub(super) fn folders(&self) -> String {
        self.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// The file's path without links and `..`, where it is within reach.
    pub(super) fn find(&self, path: &Path) -> Result<PathBuf, Beyond> {
        let beyond = || Beyond(path.to_owned());
        // Of a file that there is not, the folder decides: what is missing within reach is told as missing.
        let real = path.canonicalize().or_else(|_| {
            let (folder, name) = path.parent().zip(path.file_name()).ok_or_else(beyond)?;
            Ok(folder.canonicalize().map_err(|_| beyond())?.join(name))
        })?;
        let below = |folders: &[PathBuf]| folders.iter().any(|folder| real.starts_with(folder));
        let kept = real.starts_with(&self.manifests);
        if below(&self.folders) && (kept || !below(&self.refused)) { Ok(real) } else { Err(beyond()) }
    }

    /// That every file of a source is within reach: its table, and of a database the file with the password and
    /// that of the certificate's authority.
    pub(super) fn allows(&self, source: &SourceSpec) -> Result<(), Beyond> {
        let (password, authority) = match source {
            SourceSpec::Postgres(spec) => {
                let authority = match &spec.tls {
                    Tls::VerifyFull(file) => file.as_deref(),
                    Tls::Off => None,
                };
                (spec.password_file.as_deref(), authority)
            }
            _ => (None, None),
        };
        source.path().into_iter().chain(password).chain(authority).try_for_each(|path| self.find(path).map(drop))
    }
}

/// Files and folders of secrets that a process was handed by its environment.
fn secrets(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<PathBuf> {
    let names_secret =
        |name: &str| name == "CREDENTIALS_DIRECTORY" || (name.starts_with("SEALGATE_") && name.ends_with("_FILE"));
    let named = variables.filter(|(name, _)| name.to_str().is_some_and(names_secret));
    named.map(|(_, path)| PathBuf::from(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_read_and_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for folder in ["data/manifests", "data/keys", "tables/deep", "credentials", "other"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        let files = [
            "data/account.key",
            "data/keys/a",
            "data/manifests/a.toml",
            "tables/a.csv",
            "tables/deep/b.csv",
            "tables/passphrase",
            "credentials/passphrase",
            "other/c.csv",
            "tables2",
        ];
        for file in files {
            std::fs::write(at(file), "").unwrap();
        }
        std::os::unix::fs::symlink(at("other/c.csv"), at("tables/link.csv")).unwrap();
        let given = [
            ("CREDENTIALS_DIRECTORY", at("credentials")),
            ("SEALGATE_PASSPHRASE_FILE", at("tables/passphrase")),
            ("SEALGATE_DATA_DIR", at("tables")),
        ];
        let refused = || secrets(given.iter().map(|(name, path)| (OsString::from(name), path.clone().into())));
        let good =
            ["tables/a.csv", "tables/deep/b.csv", "tables/none.csv", "data/manifests/a.toml", "tables/../tables/a.csv"];
        let bad = [
            "data/account.key",
            "data/keys/a",
            "data/manifests/../account.key",
            "credentials/passphrase",
            "tables/passphrase",
            "other/c.csv",
            "tables/link.csv",
            "tables2",
            "tables/../other/c.csv",
            "none/none",
            "other/none",
            "tables/none/none",
        ];
        let reach = Reach::new(&at("data"), vec![at("tables"), at("none")], refused());
        for path in good {
            assert!(reach.find(&at(path)).is_ok(), "{path}");
        }
        for path in bad {
            assert_eq!(reach.find(&at(path)).unwrap_err(), Beyond(at(path)), "{path}");
        }
        // Whatever is named, keys and credentials are not read.
        let all = Reach::new(&at("data"), vec![dir.path().to_owned()], refused());
        for path in ["data/account.key", "data/keys/a", "credentials/passphrase", "tables/passphrase"] {
            assert!(all.find(&at(path)).is_err(), "{path}");
        }
        assert!(all.find(&at("other/c.csv")).is_ok() && all.find(&at("tables/link.csv")).is_ok());
        // A source's other files count like its table.
        let url = "postgres://me@db.example/register";
        let spec = |password: &str| {
            let relation = sealgate_ods::manifest::Relation::table("t").unwrap();
            let spec = sealgate_ods::manifest::PostgresSpec::of_url(url, relation, None, Some(at(password))).unwrap();
            SourceSpec::Postgres(spec)
        };
        assert!(reach.allows(&spec("tables/a.csv")).is_ok() && reach.allows(&spec("credentials/passphrase")).is_err());
    }
}
