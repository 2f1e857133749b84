//! The share manifest: a TOML file in which a department says what it shares of which table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use sealgate_circuits::schema::{Column, ColumnUse, Schema, SchemaError};
use sealgate_circuits::value::ColumnType;
use serde::Deserialize;
use toml::Spanned;

use crate::suite::{CipherSuite, HashAlgorithm};

pub mod infer;
mod source;

use source::RawSource;
pub use source::{BadUrl, CsvSpec, PostgresSpec, Relation, SourceKind, SourceSpec, Tls};

/// Longest name of an asset, in bytes.
pub const ASSET_NAME_BYTES_MAX: usize = 64;

/// Bits that predicates may tell of a field of one record where the manifest does not say: of a
/// million values four thousand are still possible (docs/spec/budget.md#setting-budgets).
pub const BUDGET_BITS: u16 = 8;
/// Largest budget, in bits.
pub const BUDGET_BITS_MAX: u16 = 4096;

/// Why a share manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file could not be read.
    #[error("share manifest {path}: {source}")]
    File {
        /// The manifest.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or misses or adds a field.
    #[error("share manifest {path}: {source}")]
    Syntax {
        /// The manifest.
        path: PathBuf,
        /// Line, column and what was expected.
        source: Box<toml::de::Error>,
    },
    /// A field holds something that cannot be.
    #[error("share manifest {path}, line {line}: {what}")]
    Content {
        /// The manifest.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong and what would be right.
        what: String,
    },
    /// Rows from a file were asked for where the manifest names a database.
    #[error(
        "share manifest {path}: its rows come from a database, so they cannot be read from {file}; \
             write a manifest whose [source] is that file"
    )]
    NoFile {
        /// The manifest.
        path: PathBuf,
        /// The file asked for.
        file: PathBuf,
    },
    /// The columns together are not a schema.
    #[error("share manifest {path}: {source}")]
    Schema {
        /// The manifest.
        path: PathBuf,
        /// The rule that is broken.
        source: SchemaError,
    },
}

/// What happens when a row of the source is no record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRow {
    /// Nothing is published.
    #[default]
    Stop,
    /// The other rows are published; this one goes into the owner's report.
    SetAside,
}

/// Where one column's cells come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSource {
    /// The column's name in the source.
    pub name: String,
    /// Cell texts that mean null.
    pub nulls: Vec<String>,
    /// How days and times are written in it, as `strptime` has it, where not as ISO 8601.
    pub format: Option<String>,
    /// Whether its numbers have a comma for the point.
    pub decimal_comma: bool,
}

/// A share manifest that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareManifest {
    path: PathBuf,
    asset_name: String,
    title: String,
    description: String,
    suite: CipherSuite,
    hash: HashAlgorithm,
    source: SourceSpec,
    time_zone: Option<TimeZone>,
    on_bad_row: OnBadRow,
    schema: Schema,
    budgets: Vec<u16>,
    columns: Vec<ColumnSource>,
}

impl ShareManifest {
    /// Reads and checks the manifest at `path`.
    ///
    /// # Errors
    /// [`ManifestError`] naming the file and the line or the column that is wrong.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ManifestError::File { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads a manifest from `text`; `path` is named in messages and its folder is where a
    /// relative source path starts.
    ///
    /// # Errors
    /// As [`ShareManifest::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ManifestError> {
        let raw: RawManifest = toml::from_str(text)
            .map_err(|source| ManifestError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        Reader { text, path }.check(raw)
    }

    /// The same manifest with its rows from another file of the same kind.
    ///
    /// # Errors
    /// [`ManifestError::NoFile`]: its rows come from a database.
    pub fn with_source(mut self, path: &Path) -> Result<Self, ManifestError> {
        match self.source.path_mut() {
            Some(old) => *old = path.to_owned(),
            None => return Err(ManifestError::NoFile { path: self.path, file: path.to_owned() }),
        }
        Ok(self)
    }

    /// The file this was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The asset's name: a letter or underscore, then letters, digits, `_` and `-`.
    pub fn asset_name(&self) -> &str {
        &self.asset_name
    }

    /// The asset's title, for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What the asset is, for people; may be empty.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What the asset's data are encrypted with.
    pub fn suite(&self) -> CipherSuite {
        self.suite
    }

    /// What the asset's stored objects are hashed with.
    pub fn hash(&self) -> HashAlgorithm {
        self.hash
    }

    /// Where the rows are, and how they are written there.
    pub fn source(&self) -> &SourceSpec {
        &self.source
    }

    /// Where the clocks hang by which times without an offset were written.
    pub fn time_zone(&self) -> Option<&TimeZone> {
        self.time_zone.as_ref()
    }

    /// What happens when a row of the source is no record.
    pub fn on_bad_row(&self) -> OnBadRow {
        self.on_bad_row
    }

    /// The public schema; it passes [`Schema::validate`].
    pub fn schema(&self) -> Schema {
        self.schema.clone()
    }

    /// For each column of the schema, in its order, the most bits that predicates may tell of it
    /// about one record.
    pub fn budgets(&self) -> &[u16] {
        &self.budgets
    }

    /// Where each column of the schema comes from, in its order.
    pub fn columns(&self) -> &[ColumnSource] {
        &self.columns
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    asset: RawAsset,
    source: RawSource,
    key: RawKey,
    #[serde(default)]
    column: Vec<RawColumn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAsset {
    name: Spanned<String>,
    title: String,
    #[serde(default)]
    description: String,
    suite: Option<Spanned<String>>,
    hash: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    columns: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumn {
    name: Spanned<String>,
    #[serde(rename = "type")]
    kind: Spanned<String>,
    #[serde(rename = "use")]
    allowed: Option<Vec<Spanned<String>>>,
    source: Option<Spanned<String>>,
    null: Option<Vec<String>>,
    format: Option<Spanned<String>>,
    decimal_comma: Option<Spanned<bool>>,
    budget_bits: Option<Spanned<u16>>,
}

/// The text beside its path, so that what is wrong can be named by line.
struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Reader<'_> {
    fn check(&self, raw: RawManifest) -> Result<ShareManifest, ManifestError> {
        let name = raw.asset.name.get_ref();
        if !is_asset_name(name) {
            return Err(self.wrong(&raw.asset.name, format!(
                "'{}' cannot name an asset: a letter or '_', then letters, digits, '_' or '-', {ASSET_NAME_BYTES_MAX} at most",
                name.escape_debug()
            )));
        }
        let suite = self.algorithm(raw.asset.suite.as_ref())?;
        let hash = self.algorithm(raw.asset.hash.as_ref())?;
        let source = raw.source.check(self)?;
        let time_zone = raw.source.time_zone(self)?;
        let nulls = raw.source.null.clone().unwrap_or_else(|| source.kind().nulls());
        let mut columns = Vec::with_capacity(raw.column.len());
        let mut sources: Vec<ColumnSource> = Vec::with_capacity(raw.column.len());
        let mut budgets = Vec::with_capacity(raw.column.len());
        let mut names = BTreeSet::new();
        for raw in &raw.column {
            if !names.insert(raw.name.get_ref().to_lowercase()) {
                return Err(self.wrong(&raw.name, format!("two columns are named '{}'", raw.name.get_ref())));
            }
            let column = self.column(raw)?;
            let source = raw.source.as_ref().unwrap_or(&raw.name);
            if sources.iter().any(|known| known.name == *source.get_ref()) {
                return Err(self.wrong(source, format!("two columns come from '{}' in the source", source.get_ref())));
            }
            sources.push(ColumnSource {
                name: source.get_ref().clone(),
                nulls: raw.null.clone().unwrap_or_else(|| nulls.clone()),
                format: raw.format.as_ref().map(|format| self.format(format, &column)).transpose()?,
                decimal_comma: self.decimal_comma(raw.decimal_comma.as_ref(), &column)?,
            });
            budgets.push(match &raw.budget_bits {
                Some(bits) if *bits.get_ref() > BUDGET_BITS_MAX => {
                    return Err(self.wrong(bits, format!("a budget has 0 to {BUDGET_BITS_MAX} bits")));
                }
                Some(bits) => *bits.get_ref(),
                None => BUDGET_BITS,
            });
            columns.push(column);
        }
        let schema = Schema { key: self.key(&raw.key, &columns)?, columns };
        schema.validate().map_err(|source| ManifestError::Schema { path: self.path.to_owned(), source })?;
        Ok(ShareManifest {
            path: self.path.to_owned(),
            asset_name: raw.asset.name.into_inner(),
            title: raw.asset.title,
            description: raw.asset.description,
            suite,
            hash,
            source,
            time_zone,
            on_bad_row: raw.source.on_bad_row,
            schema,
            budgets,
            columns: sources,
        })
    }

    fn column(&self, raw: &RawColumn) -> Result<Column, ManifestError> {
        let name = raw.name.get_ref();
        let kind: ColumnType =
            raw.kind.get_ref().parse().map_err(|error| self.wrong(&raw.kind, format!("column '{name}': {error}")))?;
        let mut allowed = ColumnUse { disclose: raw.allowed.is_none(), prove: raw.allowed.is_none() };
        for word in raw.allowed.iter().flatten() {
            match word.get_ref().as_str() {
                "disclose" => allowed.disclose = true,
                "prove" => allowed.prove = true,
                other => {
                    let what =
                        format!("column '{name}': '{other}' is not a use: \"disclose\", \"prove\", both or neither");
                    return Err(self.wrong(word, what));
                }
            }
        }
        Ok(Column { name: name.clone(), kind, allowed })
    }

    fn key(&self, raw: &RawKey, columns: &[Column]) -> Result<Vec<u8>, ManifestError> {
        let mut key = Vec::with_capacity(raw.columns.len());
        for name in &raw.columns {
            let position = columns.iter().position(|column| column.name == *name.get_ref());
            let position = position.and_then(|p| u8::try_from(p).ok()).ok_or_else(|| {
                self.wrong(name, format!("the key names '{}', which is none of the [[column]] entries", name.get_ref()))
            })?;
            key.push(position);
        }
        Ok(key)
    }

    fn format(&self, format: &Spanned<String>, column: &Column) -> Result<String, ManifestError> {
        if !matches!(column.kind, ColumnType::Date | ColumnType::Timestamp) {
            let what = format!("column '{}': only dates and timestamps have a format", column.name);
            return Err(self.wrong(format, what));
        }
        let sample = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        if let Err(error) = jiff::fmt::strtime::format(format.get_ref(), &sample) {
            return Err(self.wrong(format, format!("column '{}': {error}", column.name)));
        }
        Ok(format.get_ref().clone())
    }

    fn decimal_comma(&self, comma: Option<&Spanned<bool>>, column: &Column) -> Result<bool, ManifestError> {
        let decimal = matches!(column.kind, ColumnType::Decimal(_));
        match comma.map(|comma| (comma, *comma.get_ref())) {
            Some((comma, true)) if !decimal => {
                Err(self.wrong(comma, format!("column '{}': only decimals have a decimal comma", column.name)))
            }
            comma => Ok(comma.is_some_and(|(_, comma)| comma)),
        }
    }

    fn algorithm<T>(&self, name: Option<&Spanned<String>>) -> Result<T, ManifestError>
    where
        T: Default + std::str::FromStr<Err = crate::suite::UnknownAlgorithm>,
    {
        let Some(name) = name else { return Ok(T::default()) };
        name.get_ref().parse().map_err(|error: crate::suite::UnknownAlgorithm| self.wrong(name, error.to_string()))
    }

    /// A path of the manifest, relative to its folder.
    fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or_else(|| Path::new("")).join(path)
    }

    fn wrong<T>(&self, at: &Spanned<T>, what: String) -> ManifestError {
        let before = self.text.get(..at.span().start).unwrap_or_default();
        ManifestError::Content { path: self.path.to_owned(), line: 1 + before.matches('\n').count(), what }
    }
}

fn is_asset_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.len() <= ASSET_NAME_BYTES_MAX && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests;
