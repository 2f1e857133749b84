//! The manifest's `[source]`: which options each kind of source has.

use std::path::{Path, PathBuf};

use encoding_rs::{Encoding, UTF_8};
use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::Spanned;

use super::{ManifestError, OnBadRow, Reader};

/// PostgreSQL's port.
const POSTGRES_PORT: u16 = 5432;

/// What kind of source the rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    JsonL,
    /// One JSON array of objects.
    Json,
    /// An Apache Parquet file.
    Parquet,
    /// A table or query of a PostgreSQL database.
    Postgres,
}

impl SourceKind {
    /// What the manifest calls it.
    pub fn name(self) -> &'static str {
        match self {
            SourceKind::Csv => "csv",
            SourceKind::JsonL => "jsonl",
            SourceKind::Json => "json",
            SourceKind::Parquet => "parquet",
            SourceKind::Postgres => "postgres",
        }
    }

    /// Texts that mean null where the manifest does not say: CSV has no null of its own.
    pub(super) fn nulls(self) -> Vec<String> {
        if self == SourceKind::Csv { vec![String::new()] } else { Vec::new() }
    }
}

/// Where the rows come from, and how they are written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// Comma-separated values.
    Csv(CsvSpec),
    /// One JSON object a line.
    JsonL(PathBuf),
    /// One JSON array of objects.
    Json(PathBuf),
    /// Parquet.
    Parquet(PathBuf),
    /// A PostgreSQL database.
    Postgres(PostgresSpec),
}

impl SourceSpec {
    /// What kind of source it is.
    pub fn kind(&self) -> SourceKind {
        match self {
            SourceSpec::Csv(_) => SourceKind::Csv,
            SourceSpec::JsonL(_) => SourceKind::JsonL,
            SourceSpec::Json(_) => SourceKind::Json,
            SourceSpec::Parquet(_) => SourceKind::Parquet,
            SourceSpec::Postgres(_) => SourceKind::Postgres,
        }
    }

    /// The file, where the source is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            SourceSpec::Csv(spec) => Some(&spec.path),
            SourceSpec::JsonL(path) | SourceSpec::Json(path) | SourceSpec::Parquet(path) => Some(path),
            SourceSpec::Postgres(_) => None,
        }
    }

    pub(super) fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            SourceSpec::Csv(spec) => Some(&mut spec.path),
            SourceSpec::JsonL(path) | SourceSpec::Json(path) | SourceSpec::Parquet(path) => Some(path),
            SourceSpec::Postgres(_) => None,
        }
    }
}

/// A file of comma-separated values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvSpec {
    /// The file.
    pub path: PathBuf,
    /// The byte between cells.
    pub delimiter: u8,
    /// The byte around cells that hold delimiters or line ends; `None` if there is none.
    pub quote: Option<u8>,
    /// The file's encoding.
    pub encoding: &'static Encoding,
    /// Lines before the header.
    pub skip_lines: u32,
}

/// A table or query of a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSpec {
    /// The server's name or address; the folder of its socket if it begins with '/'.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// Who reads it.
    pub user: String,
    /// What is read.
    pub relation: Relation,
    /// How the connection is protected.
    pub tls: Tls,
    /// A file with nothing but the password.
    pub password_file: Option<PathBuf>,
}

/// Why a database's address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a database is written as postgres://USER@HOST:PORT/DATABASE: {0}")]
pub struct BadUrl(&'static str);

impl PostgresSpec {
    /// A database by its address, `postgres://USER@HOST:PORT/DATABASE`. The host may be the folder of
    /// a socket, `%2F` for each slash.
    ///
    /// # Errors
    /// [`BadUrl`]: a part is missing, or there is one that has no place here, such as a password.
    pub fn of_url(
        url: &str,
        relation: Relation,
        tls: Option<Tls>,
        password_file: Option<PathBuf>,
    ) -> Result<Self, BadUrl> {
        use tokio_postgres::config::Host;
        let config: tokio_postgres::Config = url.parse().map_err(|_| BadUrl("this is none"))?;
        if config.get_password().is_some() {
            return Err(BadUrl("no password in it, others see it; PGPASSWORD or a file has it"));
        }
        if url.contains('?') {
            return Err(BadUrl("nothing behind the database's name"));
        }
        let host = match config.get_hosts() {
            [Host::Tcp(host)] => host.clone(),
            [Host::Unix(folder)] => folder.to_string_lossy().into_owned(),
            _ => return Err(BadUrl("one host is needed")),
        };
        let default = if host.starts_with('/') { Tls::Off } else { Tls::VerifyFull(None) };
        Ok(Self {
            host,
            port: config.get_ports().first().copied().unwrap_or(POSTGRES_PORT),
            database: config.get_dbname().ok_or(BadUrl("the database is missing"))?.to_owned(),
            user: config.get_user().ok_or(BadUrl("the user is missing"))?.to_owned(),
            relation,
            tls: tls.unwrap_or(default),
            password_file,
        })
    }
}

impl Relation {
    /// A table by its name, `TABLE` or `SCHEMA.TABLE`; `None` if that is not what `name` is.
    pub fn table(name: &str) -> Option<Self> {
        let parts: Vec<String> = name.split('.').map(str::to_owned).collect();
        let good = parts.len() <= 2 && parts.iter().all(|part| !part.is_empty());
        good.then_some(Self::Table(parts))
    }

    /// A query, without the semicolons behind it; `None` if nothing is left.
    pub fn query(text: &str) -> Option<Self> {
        let trimmed = text.trim_start().trim_end_matches(|c: char| c == ';' || c.is_whitespace());
        (!trimmed.is_empty()).then(|| Self::Query(trimmed.to_owned()))
    }
}

/// What is read of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    /// A table or view, behind its schema if one is given; names as the database keeps them.
    Table(Vec<String>),
    /// A query.
    Query(String),
}

/// How a connection to a database is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Encrypted, and the server's certificate must be for its name and signed by an authority in
    /// this PEM file, or by one that the system trusts.
    VerifyFull(Option<PathBuf>),
    /// In the clear.
    Off,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    kind: Spanned<SourceKind>,
    path: Option<Spanned<PathBuf>>,
    delimiter: Option<Spanned<String>>,
    quote: Option<Spanned<String>>,
    encoding: Option<Spanned<String>>,
    skip_lines: Option<Spanned<u32>>,
    host: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    database: Option<Spanned<String>>,
    user: Option<Spanned<String>>,
    table: Option<Spanned<String>>,
    query: Option<Spanned<String>>,
    tls: Option<Spanned<String>>,
    ca: Option<Spanned<PathBuf>>,
    password_file: Option<Spanned<PathBuf>>,
    time_zone: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) on_bad_row: OnBadRow,
    pub(super) null: Option<Vec<String>>,
}

impl RawSource {
    pub(super) fn check(&self, reader: &Reader<'_>) -> Result<SourceSpec, ManifestError> {
        let kind = *self.kind.get_ref();
        self.refuse_foreign(kind, reader)?;
        let file = || self.needed(self.path.as_ref(), "path", reader).map(|path| reader.beside(path));
        Ok(match kind {
            SourceKind::Csv => SourceSpec::Csv(self.csv(file()?, reader)?),
            SourceKind::JsonL => SourceSpec::JsonL(file()?),
            SourceKind::Json => SourceSpec::Json(file()?),
            SourceKind::Parquet => SourceSpec::Parquet(file()?),
            SourceKind::Postgres => SourceSpec::Postgres(self.postgres(reader)?),
        })
    }

    /// The zone of times without an offset.
    pub(super) fn time_zone(&self, reader: &Reader<'_>) -> Result<Option<TimeZone>, ManifestError> {
        let Some(name) = &self.time_zone else { return Ok(None) };
        TimeZone::get(name.get_ref()).map(Some).map_err(|_| {
            let zone = name.get_ref().escape_debug();
            reader.wrong(name, format!("'{zone}' is no time zone here: a name such as \"UTC\" or \"Europe/Paris\""))
        })
    }

    /// Options of another kind would be ignored; nothing in a manifest is.
    fn refuse_foreign(&self, kind: SourceKind, reader: &Reader<'_>) -> Result<(), ManifestError> {
        fn at<T>(option: Option<&Spanned<T>>) -> Option<Spanned<()>> {
            option.map(|value| Spanned::new(value.span(), ()))
        }
        let csv: &[_] = &[
            ("delimiter", at(self.delimiter.as_ref())),
            ("quote", at(self.quote.as_ref())),
            ("encoding", at(self.encoding.as_ref())),
            ("skip_lines", at(self.skip_lines.as_ref())),
        ];
        let files: &[_] = &[("path", at(self.path.as_ref()))];
        let postgres: &[_] = &[
            ("host", at(self.host.as_ref())),
            ("port", at(self.port.as_ref())),
            ("database", at(self.database.as_ref())),
            ("user", at(self.user.as_ref())),
            ("table", at(self.table.as_ref())),
            ("query", at(self.query.as_ref())),
            ("tls", at(self.tls.as_ref())),
            ("ca", at(self.ca.as_ref())),
            ("password_file", at(self.password_file.as_ref())),
        ];
        let foreign = match kind {
            SourceKind::Csv => vec![postgres],
            SourceKind::JsonL | SourceKind::Json | SourceKind::Parquet => vec![csv, postgres],
            SourceKind::Postgres => vec![csv, files],
        };
        for (name, given) in foreign.into_iter().flatten() {
            if let Some(given) = given {
                return Err(reader.wrong(given, format!("'{name}' is no option of a {} source", kind.name())));
            }
        }
        Ok(())
    }

    fn csv(&self, path: PathBuf, reader: &Reader<'_>) -> Result<CsvSpec, ManifestError> {
        let quote = match &self.quote {
            None => Some(b'"'),
            Some(text) if text.get_ref().is_empty() => None,
            Some(text) => Some(one_byte(text, "quote cells", b"\r\n", reader)?),
        };
        let delimiter = match &self.delimiter {
            None => b',',
            Some(text) => one_byte(text, "delimit cells", b"\"\r\n", reader)?,
        };
        if let (Some(text), true) = (self.quote.as_ref().or(self.delimiter.as_ref()), quote == Some(delimiter)) {
            return Err(reader.wrong(text, "the same character cannot quote and delimit cells".into()));
        }
        let encoding = match &self.encoding {
            None => UTF_8,
            Some(label) => Encoding::for_label_no_replacement(label.get_ref().as_bytes()).ok_or_else(|| {
                let what = format!(
                    "'{}' is no encoding known here: a label of the WHATWG's standard, such as \"utf-8\", \
                     \"windows-1252\", \"shift_jis\", \"gb18030\" or \"utf-16le\"",
                    label.get_ref().escape_debug()
                );
                reader.wrong(label, what)
            })?,
        };
        let skip_lines = self.skip_lines.as_ref().map_or(0, |lines| *lines.get_ref());
        Ok(CsvSpec { path, delimiter, quote, encoding, skip_lines })
    }

    fn postgres(&self, reader: &Reader<'_>) -> Result<PostgresSpec, ManifestError> {
        let text = |option: &Option<Spanned<String>>, name| self.needed(option.as_ref(), name, reader).cloned();
        let host = text(&self.host, "host")?;
        let socket = host.starts_with('/');
        let relation = match (&self.table, &self.query) {
            (Some(table), None) => Relation::table(table.get_ref())
                .ok_or_else(|| reader.wrong(table, "a table is written as \"table\" or \"schema.table\"".into()))?,
            (None, Some(query)) => {
                Relation::query(query.get_ref()).ok_or_else(|| reader.wrong(query, "the query is empty".into()))?
            }
            (Some(_), Some(query)) => return Err(reader.wrong(query, "give 'table' or 'query', not both".into())),
            (None, None) => return Err(reader.wrong(&self.kind, "a postgres source needs 'table' or 'query'".into())),
        };
        let ca = self.ca.as_ref().map(|path| reader.beside(path.get_ref()));
        let tls = match (self.tls.as_ref().map(|word| (word, word.get_ref().as_str())), &self.ca) {
            (Some((_, "off")), Some(ca)) => {
                return Err(reader.wrong(ca, "'ca' has no meaning with tls = \"off\": leave one of them out".into()));
            }
            (Some((_, "off")), None) => Tls::Off,
            (None, None) if socket => Tls::Off,
            (Some((_, "verify-full")) | None, _) => Tls::VerifyFull(ca),
            (Some((word, _)), _) => {
                return Err(reader.wrong(word, "tls is \"verify-full\" (if not given) or \"off\"".into()));
            }
        };
        if let (true, Tls::VerifyFull(_), Some(line)) = (socket, &tls, self.host.as_ref()) {
            return Err(reader.wrong(line, "a socket's connection has no TLS: leave 'tls' and 'ca' out".into()));
        }
        Ok(PostgresSpec {
            host,
            port: self.port.as_ref().map_or(POSTGRES_PORT, |port| *port.get_ref()),
            database: text(&self.database, "database")?,
            user: text(&self.user, "user")?,
            relation,
            tls,
            password_file: self.password_file.as_ref().map(|path| reader.beside(path.get_ref())),
        })
    }

    fn needed<'a, T>(
        &self,
        option: Option<&'a Spanned<T>>,
        name: &str,
        reader: &Reader<'_>,
    ) -> Result<&'a T, ManifestError> {
        let kind = self.kind.get_ref().name();
        option.map(Spanned::get_ref).ok_or_else(|| reader.wrong(&self.kind, format!("a {kind} source needs '{name}'")))
    }
}

fn one_byte(text: &Spanned<String>, cannot: &str, not: &[u8], reader: &Reader<'_>) -> Result<u8, ManifestError> {
    match text.get_ref().as_bytes() {
        [byte] if byte.is_ascii() && !not.contains(byte) => Ok(*byte),
        _ => {
            let found = text.get_ref().escape_debug();
            let what = format!("'{found}' cannot {cannot}: one ASCII character, not a quote or line end");
            Err(reader.wrong(text, what))
        }
    }
}
