//! The configuration of an owner's data folder, `sealgate.toml`
//! (docs/keys-and-backups.md#configuration). A folder without the file has the defaults.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sealgate_ods::store::StoreUrl;
use serde::Deserialize;
use toml::Spanned;

mod serve;

pub use serve::{Limits, Rate as ClientRate, Serve, Tls};

/// The file's name in a data folder.
pub const CONFIG_FILE: &str = "sealgate.toml";
/// How long versions are kept where the configuration does not say.
const KEEP: Duration = Duration::from_secs(7 * 86_400);
/// Shortest such time: what was asked of a version is answered by then.
const KEEP_MIN: Duration = Duration::from_secs(3_600);
/// Longest time between two runs of anything, in seconds.
const EVERY_S_MAX: u64 = 366 * 86_400;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("configuration {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or says something unknown.
    #[error("configuration {path}: {what}; docs/keys-and-backups.md lists what can stand there", path = path.display(), what = source.to_string().trim_end())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        source: Box<toml::de::Error>,
    },
    /// A field holds something that cannot be.
    #[error("configuration {path}, line {line}: {what}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong and what would be right.
        what: String,
    },
}

/// A configuration that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where sealed objects lie.
    pub store: StoreUrl,
    /// What is synced while the gateway serves.
    pub sync: Vec<SyncSchedule>,
    /// How stored objects are checked while the gateway serves.
    pub rehash: Option<RehashSchedule>,
    /// How long a version's objects are kept after the next one was published.
    pub keep: Duration,
    /// Where the gateway listens, and under which certificate.
    pub serve: Serve,
    /// How much it takes at once.
    pub limits: Limits,
    /// Folders from which the owner's desk reads manifests and tables, beside those of scheduled manifests and
    /// `manifests` in the data folder.
    pub folders: Vec<PathBuf>,
}

/// A table that is published again and again, whether or not it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSchedule {
    /// Its share manifest.
    pub manifest: PathBuf,
    /// From the start of one run to the start of the next.
    pub every: Duration,
}

/// Reading all objects and comparing their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RehashSchedule {
    /// From the start of one run to the start of the next.
    pub every: Duration,
    /// Bytes read in a second, at most.
    pub rate: Rate,
}

/// What `init` writes: the defaults, and what else there is.
pub const TEMPLATE: &str = r#"# Configuration of this data folder. The gateway reads it when it starts, commands whenever they run.

[store]
# Where sealed objects lie: a folder ("file:store"; relative to this one, or absolute), or a bucket
# ("s3://bucket/prefix"; address and credentials in AWS_ENDPOINT, AWS_REGION, AWS_ACCESS_KEY_ID and
# AWS_SECRET_ACCESS_KEY).
url = "file:store"

# Where the gateway listens ('sealgate serve --listen' goes before this), and whether connections are
# encrypted: "off"; "proxy", by a proxy on this machine (docs/production.md has its configuration);
# "generated", a certificate that the gateway makes for itself and whose fingerprint it says; or your own,
# PEM files that are read again when they change. Requesters give a generated certificate, serving.pem in
# this folder, to their commands with --gateway-ca.
# The names are those, besides its address, by which browsers and signatures may call it.
# [serve]
# listen = "127.0.0.1:8080"
# names = ["gateway.example.org", "gateway.example.org:8080"]
# tls = "proxy"
# tls = "generated"
# tls = { certificate = "/etc/sealgate/chain.pem", key = "/etc/sealgate/key.pem" }

# What the gateway takes at once, and how long it waits for who is slow; what goes beyond is refused, with
# the time to come back. These are the defaults. A client is told from others by its address; 0 lets each
# send as much as it likes, as programs on this machine may anyway.
# [limits]
# connections = 1024
# head_time = "15s"
# stall_time = "30s"
# body_bytes = "256MB"
# reads_waiting = 256
# questions_waiting = 64
# requests_per_second = 100
# burst = 1000
# The header in which a proxy on this machine names its client; believed from nobody else. Where a proxy
# encrypts it is this one unless another is named.
# client_header = "x-forwarded-for"

# Folders of this machine from which the console's publish pages read manifests, tables and passwords of
# databases, beside those of scheduled manifests and the folder 'manifests' here. Commands read anything.
# [console]
# folders = ["/srv/tables"]

# A table to publish again while the gateway serves, whether or not it changed; one section each. Periods
# are counted from 1970-01-01 UTC, so "1h" is on the hour; a version appears when a tenth of it has passed.
# [[sync]]
# manifest = "licences.toml"
# every = "1h"

# How long a version's objects are kept after the next one was published: answers and whole columns
# that were granted before are still given from them. At least "1h".
# [versions]
# keep = "7d"

# Reading all stored objects and comparing their hashes while the gateway serves.
# [rehash]
# every = "7d"
# rate = "20MB/s"
"#;

impl Config {
    /// Reads the configuration of a data folder.
    ///
    /// # Errors
    /// [`ConfigError`], naming the file and the line.
    pub fn read(folder: &Path) -> Result<Config, ConfigError> {
        let path = folder.join(CONFIG_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::parse("", &path),
            Err(source) => Err(ConfigError::File { path, source }),
        }
    }

    /// Reads a configuration from `text`; `path` is named in messages, and relative paths start in
    /// its folder.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let raw: RawConfig = toml::from_str(text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let wrong = |at: &Spanned<String>, what: String| {
            let before = text.get(..at.span().start).unwrap_or_default();
            ConfigError::Content { path: path.to_owned(), line: 1 + before.matches('\n').count(), what }
        };
        let every = |text: &Spanned<String>| {
            duration(text.as_ref()).ok_or_else(|| {
                let what = "is not a time between two runs: write for example \"30m\", \"1h\" or \"7d\"";
                wrong(text, format!("'{}' {what}", text.as_ref().escape_debug()))
            })
        };
        let store = match &raw.store {
            Some(store) => {
                StoreUrl::parse(store.url.as_ref(), folder).map_err(|error| wrong(&store.url, error.to_string()))?
            }
            None => StoreUrl::Folder(folder.join("store")),
        };
        let sync = raw
            .sync
            .iter()
            .map(|raw| Ok(SyncSchedule { manifest: folder.join(&raw.manifest), every: every(&raw.every)? }));
        let rehash = raw.rehash.as_ref().map(|raw| {
            let rate = raw.rate.as_ref().parse().map_err(|what| wrong(&raw.rate, what))?;
            Ok(RehashSchedule { every: every(&raw.every)?, rate })
        });
        let keep = raw.versions.as_ref().map(|raw| {
            let keep = duration(raw.keep.as_ref()).filter(|keep| *keep >= KEEP_MIN);
            keep.ok_or_else(|| {
                let what = "is no time to keep versions: write \"1h\" or longer, for example \"7d\"";
                wrong(&raw.keep, format!("'{}' {what}", raw.keep.as_ref().escape_debug()))
            })
        });
        let located = |(span, what): serve::Wrong| {
            let before = text.get(..span.start).unwrap_or_default();
            ConfigError::Content { path: path.to_owned(), line: 1 + before.matches('\n').count(), what }
        };
        let serve = raw.serve.map(|raw| raw.checked(folder)).transpose().map_err(located)?.unwrap_or_default();
        let mut limits = raw.limits.map(serve::RawLimits::checked).transpose().map_err(located)?.unwrap_or_default();
        if serve.tls == Tls::Proxy {
            limits.client_header.get_or_insert_with(|| serve::CLIENT_HEADER.to_owned());
        }
        Ok(Config {
            serve,
            limits,
            folders: raw
                .console
                .map(|raw| raw.folders)
                .unwrap_or_default()
                .iter()
                .map(|path| folder.join(path))
                .collect(),
            store,
            sync: sync.collect::<Result<_, _>>()?,
            rehash: rehash.transpose()?,
            keep: keep.transpose()?.unwrap_or(KEEP),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    store: Option<RawStore>,
    #[serde(default)]
    sync: Vec<RawSync>,
    rehash: Option<RawRehash>,
    versions: Option<RawVersions>,
    serve: Option<serve::RawServe>,
    limits: Option<serve::RawLimits>,
    console: Option<RawConsole>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConsole {
    folders: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVersions {
    keep: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    url: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSync {
    manifest: PathBuf,
    every: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRehash {
    every: Spanned<String>,
    rate: Spanned<String>,
}

/// A whole number and the unit that ends the text.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number.checked_mul(seconds).filter(|seconds| (1..=EVERY_S_MAX).contains(seconds))?;
    Some(Duration::from_secs(seconds))
}

/// Bytes, as `256MB`.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let bytes = match unit {
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(bytes).filter(|bytes| *bytes > 0)
}

/// Bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub u64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let what = "is not a rate: write for example \"500kB/s\" or \"20MB/s\"";
        text.strip_suffix("/s").and_then(size).map(Rate).ok_or_else(|| format!("'{}' {what}", text.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/data/owner/sealgate.toml"))
    }

    #[test]
    fn the_template_says_the_defaults_and_its_examples_are_right() {
        let default = parse("").unwrap();
        assert_eq!(default.store, StoreUrl::Folder("/data/owner/store".into()));
        assert_eq!((default.sync.len(), default.rehash), (0, None));
        assert_eq!(parse(TEMPLATE).unwrap(), default);
        assert_eq!((&default.serve, &default.limits), (&Serve::default(), &Limits::default()));
        let examples: Vec<_> = TEMPLATE
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|l| l.contains(" = ") || l.contains('[')).unwrap_or(line))
            .collect();
        // Of the ways to say 'tls' a file has one.
        let [all, generated, proxied] = ["tls = {", "tls = \"generated", "tls = \"proxy"].map(|way| {
            let kept = examples.iter().copied().filter(|line| !line.starts_with("tls = ") || line.starts_with(way));
            parse(&kept.collect::<Vec<_>>().join("\n")).unwrap()
        });
        assert_eq!((generated.serve.tls, proxied.serve.tls), (Tls::Generated, Tls::Proxy));
        assert_eq!(all.serve.names, ["gateway.example.org", "gateway.example.org:8080"]);
        assert_eq!(all.serve.listen.as_deref(), Some("127.0.0.1:8080"));
        let files = ["/etc/sealgate/chain.pem", "/etc/sealgate/key.pem"].map(std::path::PathBuf::from);
        let [certificate, key] = files;
        assert_eq!(all.serve.tls, Tls::Files { certificate, key });
        assert_eq!(all.limits, Limits { client_header: Some("x-forwarded-for".into()), ..Limits::default() });
        let hourly = SyncSchedule { manifest: "/data/owner/licences.toml".into(), every: Duration::from_secs(3600) };
        assert_eq!(all.sync, [hourly]);
        let weekly = RehashSchedule { every: Duration::from_secs(7 * 86_400), rate: Rate(20_000_000) };
        assert_eq!(all.rehash, Some(weekly));
        assert_eq!((default.folders.as_slice(), all.folders), (&[][..], vec!["/srv/tables".into()]));
    }

    #[test]
    fn a_proxy_that_encrypts_is_believed_by_a_header() {
        let header = |more: &str| {
            parse(&format!("[serve]\nnames = [\"gate.example\"]\ntls = \"proxy\"\n{more}"))
                .unwrap()
                .limits
                .client_header
        };
        assert_eq!(header("").as_deref(), Some("x-forwarded-for"));
        assert_eq!(header("[limits]\nclient_header = \"X-Real-IP\"").as_deref(), Some("x-real-ip"));
        assert_eq!(parse("[serve]\nnames = [\"gate.example\"]").unwrap().limits.client_header, None);
    }

    #[test]
    fn a_folder_is_read_with_and_without_the_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Config::read(dir.path()).unwrap().store, StoreUrl::Folder(dir.path().join("store")));
        std::fs::write(dir.path().join(CONFIG_FILE), "[store]\nurl = \"s3://bucket/some/where\"\n").unwrap();
        let s3 = StoreUrl::S3 { bucket: "bucket".into(), prefix: "some/where".into() };
        assert_eq!(Config::read(dir.path()).unwrap().store, s3);
        std::fs::write(dir.path().join(CONFIG_FILE), [0xff]).unwrap();
        assert!(matches!(Config::read(dir.path()), Err(ConfigError::File { .. })));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_what_to_write() {
        for (text, told) in [
            (
                "[store]\nurl = \"ftp://x\"",
                "line 2: 'ftp://x' is no place for objects: write \"file:FOLDER\" or \"s3://BUCKET/PREFIX\"",
            ),
            ("[store]\nurl = \"s3://\"", "line 2: 's3://' is no place"),
            ("[store]\nuri = \"file:x\"", "line 2"),
            ("[stroe]", "line 1"),
            ("[store]\nurl = 5", "line 2"),
            (
                "\n[[sync]]\nmanifest = \"a\"\nevery = \"1 hour\"",
                "line 4: '1 hour' is not a time between two runs: write",
            ),
            ("[[sync]]\nmanifest = \"a\"\nevery = \"0s\"", "line 3: '0s'"),
            ("[[sync]]\nmanifest = \"a\"\nevery = \"99999999999999d\"", "line 3"),
            ("[[sync]]\nmanifest = \"a\"", "line 1"),
            ("[rehash]\nevery = \"1d\"\nrate = \"20\"", "line 3: '20' is not a rate: write for example"),
            ("[versions]\nkeep = \"30m\"", "line 2: '30m' is no time to keep versions: write"),
            ("[rehash]\nevery = \"d\"\nrate = \"20MB/s\"", "line 2: 'd'"),
            ("[rehash]\nevery = \"1d\"\nrate = \"0MB/s\"", "line 3"),
            ("[serve]\nlisten = \"8080\"", "line 2: '8080' is no address: write for example"),
            ("[serve]\ntls = \"on\"", "line 2: 'on' is no way to encrypt: write"),
            ("[serve]\ntls = { certificate = \"a\" }", "line 2"),
            ("[serve]\n\ntls = \"proxy\"", "line 3: say in 'names' how the proxy is called"),
            ("[limits]\nconnections = 2", "line 2: 2 is too few: at least 8"),
            ("[limits]\nconnections = -2", "line 2"),
            ("[limits]\n\nhead_time = \"2h\"", "line 3: '2h' is no time to wait: write"),
            ("[limits]\nbody_bytes = \"1kB\"", "line 2: '1kB' is no size"),
            ("[limits]\nclient_header = \"a b\"", "line 2: 'a b' is no header's name"),
            ("[limits]\nsockets = 5", "line 2"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("/data/owner/sealgate.toml"), "{text}: {error}");
        }
    }
}
