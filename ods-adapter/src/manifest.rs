//! The share manifest: a TOML file in which a department says what it shares of which table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sealgate_circuits::schema::{Column, ColumnUse, Schema, SchemaError};
use sealgate_circuits::value::ColumnType;
use serde::Deserialize;
use toml::Spanned;

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
    /// The columns together are not a schema.
    #[error("share manifest {path}: {source}")]
    Schema {
        /// The manifest.
        path: PathBuf,
        /// The rule that is broken.
        source: SchemaError,
    },
}

/// What kind of source the rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Comma-separated values with a header.
    Csv,
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
}

/// A share manifest that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareManifest {
    path: PathBuf,
    asset_name: String,
    title: String,
    description: String,
    source_kind: SourceKind,
    source_path: PathBuf,
    delimiter: u8,
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
    pub fn with_source(mut self, path: &Path) -> Self {
        self.source_path = path.to_owned();
        self
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

    /// What kind of source the rows come from.
    pub fn source_kind(&self) -> SourceKind {
        self.source_kind
    }

    /// Where the rows are.
    pub fn source_path(&self) -> &Path {
        &self.source_path
    }

    /// The byte between cells.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    kind: SourceKind,
    path: PathBuf,
    delimiter: Option<Spanned<String>>,
    #[serde(default)]
    on_bad_row: OnBadRow,
    null: Option<Vec<String>>,
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
        let delimiter = match &raw.source.delimiter {
            None => b',',
            Some(text) => self.delimiter(text)?,
        };
        let nulls = raw.source.null.unwrap_or_else(|| vec![String::new()]);
        let mut columns = Vec::with_capacity(raw.column.len());
        let mut sources: Vec<ColumnSource> = Vec::with_capacity(raw.column.len());
        let mut budgets = Vec::with_capacity(raw.column.len());
        let mut names = BTreeSet::new();
        for column in raw.column {
            if !names.insert(column.name.get_ref().to_lowercase()) {
                return Err(self.wrong(&column.name, format!("two columns are named '{}'", column.name.get_ref())));
            }
            let source = column.source.as_ref().unwrap_or(&column.name);
            if sources.iter().any(|known| known.name == *source.get_ref()) {
                return Err(self.wrong(source, format!("two columns come from '{}' in the source", source.get_ref())));
            }
            sources.push(ColumnSource {
                name: source.get_ref().clone(),
                nulls: column.null.clone().unwrap_or_else(|| nulls.clone()),
            });
            budgets.push(match &column.budget_bits {
                Some(bits) if *bits.get_ref() > BUDGET_BITS_MAX => {
                    return Err(self.wrong(bits, format!("a budget has 0 to {BUDGET_BITS_MAX} bits")));
                }
                Some(bits) => *bits.get_ref(),
                None => BUDGET_BITS,
            });
            columns.push(self.column(&column)?);
        }
        let schema = Schema { key: self.key(&raw.key, &columns)?, columns };
        schema.validate().map_err(|source| ManifestError::Schema { path: self.path.to_owned(), source })?;
        let folder = self.path.parent().unwrap_or_else(|| Path::new(""));
        Ok(ShareManifest {
            path: self.path.to_owned(),
            asset_name: raw.asset.name.into_inner(),
            title: raw.asset.title,
            description: raw.asset.description,
            source_kind: raw.source.kind,
            source_path: folder.join(raw.source.path),
            delimiter,
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

    fn delimiter(&self, text: &Spanned<String>) -> Result<u8, ManifestError> {
        match text.get_ref().as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(*byte),
            _ => Err(self.wrong(
                text,
                format!(
                    "'{}' cannot delimit cells: one ASCII character, not a quote or line end",
                    text.get_ref().escape_debug()
                ),
            )),
        }
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
mod tests {
    use super::*;

    const GOOD: &str = r#"
[asset]
name = "licences"
title = "Business licences"
[source]
kind = "csv"
path = "licences.csv"
[key]
columns = ["LicenceRSN"]
[[column]]
name = "LicenceRSN"
type = "int"
[[column]]
name = "FeePaid"
type = "decimal(2)"
budget_bits = 3
use = ["prove"]
source = "Fee Paid"
null = ["NA"]
[[column]]
name = "Notes"
type = "text"
use = []
"#;

    fn parse(text: &str) -> Result<ShareManifest, ManifestError> {
        ShareManifest::parse(text, Path::new("/data/share.toml"))
    }

    #[test]
    fn a_manifest_says_what_is_shared() {
        let manifest = parse(GOOD).unwrap();
        assert_eq!(
            (manifest.asset_name(), manifest.title(), manifest.description()),
            ("licences", "Business licences", "")
        );
        assert_eq!((manifest.source_path(), manifest.delimiter()), (Path::new("/data/licences.csv"), b','));
        let schema = manifest.schema();
        assert_eq!(manifest.budgets(), [BUDGET_BITS, 3, BUDGET_BITS]);
        assert_eq!(schema.key, [0]);
        let uses: Vec<_> = schema.columns.iter().map(|c| (c.allowed.disclose, c.allowed.prove)).collect();
        assert_eq!(uses, [(true, true), (false, true), (false, false)]);
        assert_eq!(manifest.columns()[1], ColumnSource { name: "Fee Paid".into(), nulls: vec!["NA".into()] });
        assert_eq!(manifest.columns()[2].nulls, [""]);
        assert_eq!(manifest.with_source(Path::new("other.csv")).source_path(), Path::new("other.csv"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (from, to, expected) in [
            ("\"licences\"", "\"1x\"", "line 3: '1x' cannot name an asset"),
            ("\"licences\"", "\"a/b\"", "line 3: 'a/b' cannot name an asset"),
            ("title", "tittle", "line 4"),
            ("\"csv\"", "\"xml\"", "line 6"),
            ("\"csv\"", "\"csv\"\non_bad_row = \"skip\"", "line 7"),
            ("\"licences.csv\"", "\"x\"\ndelimiter = \";;\"", "line 8: ';;' cannot delimit"),
            ("[\"LicenceRSN\"]", "[\"Nope\"]", "line 9: the key names 'Nope'"),
            ("[\"LicenceRSN\"]", "[]", "the key must name one or more"),
            ("\"int\"", "\"integer\"", "line 12: column 'LicenceRSN': unknown type 'integer'"),
            ("\"decimal(2)\"", "\"decimal(30)\"", "line 15: column 'FeePaid': unknown type"),
            ("[\"prove\"]", "[\"show\"]", "line 17: column 'FeePaid': 'show' is not a use"),
            ("budget_bits = 3", "budget_bits = 5000", "line 16: a budget has 0 to 4096 bits"),
            ("\"Notes\"", "\"feepaid\"", "line 21: two columns are named 'feepaid'"),
            ("\"Fee Paid\"", "\"LicenceRSN\"", "line 18: two columns come from 'LicenceRSN'"),
            ("[key]", "[[key", "line 8"),
        ] {
            let message = parse(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.starts_with("share manifest /data/share.toml"), "{message}");
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
        let gone = ShareManifest::read(Path::new("/nowhere/share.toml")).unwrap_err().to_string();
        assert!(gone.contains("/nowhere/share.toml"), "{gone}");
    }
}
