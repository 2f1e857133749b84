//! A share manifest from what a source holds: what an owner starts from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealgate_ods::manifest::infer::{InferError, InferRequest, Inferred, infer, spec_of_file};
use sealgate_ods::manifest::{ASSET_NAME_BYTES_MAX, BadUrl, PostgresSpec, Relation, SourceSpec, Tls};
use sealgate_ods::progress::ProgressSink;

use crate::files::FileError;

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum InferringError {
    /// The source is a file, and something was said that only a database has.
    #[error("'{0}' is a file: what is asked of databases has no meaning")]
    NoDatabase(String),
    /// Nothing of the database was named.
    #[error("what of the database? --table TABLE, --table SCHEMA.TABLE or --query 'SELECT …'")]
    NoRelation,
    /// The database's address.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// A path.
    #[error(transparent)]
    File(#[from] FileError),
    /// The source.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// The work broke off.
    #[error("looking at the source broke off: {0}")]
    Broke(String),
}

/// What is looked at, and what the manifest is to say of it.
#[derive(Debug, Clone, Default)]
pub struct LookedAt {
    /// A file, or a database as `postgres://USER@HOST:PORT/DATABASE`.
    pub source: String,
    /// The asset's name; of the file or table unless given.
    pub name: Option<String>,
    /// The asset's title; its name unless given.
    pub title: Option<String>,
    /// Only so many rows.
    pub rows_max: Option<u64>,
    /// The table.
    pub table: Option<String>,
    /// A query instead.
    pub query: Option<String>,
    /// The authority that signed the database's certificate.
    pub ca: Option<PathBuf>,
    /// Whether the database is talked to in the clear.
    pub tls_off: bool,
    /// File with the database's password.
    pub password_file: Option<PathBuf>,
    /// The folder of the manifest: a source beside or below it is named relative to it.
    pub folder: Option<PathBuf>,
}

/// Looks at a source and makes a manifest of it.
///
/// # Errors
/// [`InferringError`].
pub async fn infer_manifest(looked_at: LookedAt, progress: Arc<dyn ProgressSink>) -> Result<Inferred, InferringError> {
    let work = move || {
        let (source, encoding_guessed) = source(&looked_at)?;
        let name = looked_at.name.unwrap_or_else(|| name_of(&source));
        let request = InferRequest {
            path_written: source.path().map(|path| seen_from(path, looked_at.folder.as_deref())),
            source,
            encoding_guessed,
            title: looked_at.title.unwrap_or_else(|| name.clone()),
            name,
            rows_max: looked_at.rows_max,
            progress,
        };
        Ok(infer(&request)?)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(InferringError::Broke(error.to_string())))
}

/// The source that is named, by absolute paths.
fn source(looked_at: &LookedAt) -> Result<(SourceSpec, bool), InferringError> {
    let LookedAt { source, table, query, ca, tls_off, password_file, .. } = looked_at;
    let database = source.starts_with("postgres://") || source.starts_with("postgresql://");
    if !database {
        let given = [table.is_some(), query.is_some(), ca.is_some(), *tls_off, password_file.is_some()];
        if given.contains(&true) {
            return Err(InferringError::NoDatabase(source.clone()));
        }
        return Ok(spec_of_file(&absolute(Path::new(source))?)?);
    }
    let relation = match (table, query) {
        (Some(table), _) => Relation::table(table),
        (None, Some(query)) => Relation::query(query),
        (None, None) => None,
    };
    let relation = relation.ok_or(InferringError::NoRelation)?;
    let path = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
    let tls = match (tls_off, path(ca)?) {
        (true, _) => Some(Tls::Off),
        (false, Some(ca)) => Some(Tls::VerifyFull(Some(ca))),
        (false, None) => None,
    };
    let spec = PostgresSpec::of_url(source, relation, tls, path(password_file)?)?;
    Ok((SourceSpec::Postgres(spec), false))
}

fn absolute(path: &Path) -> Result<PathBuf, InferringError> {
    Ok(std::path::absolute(path).map_err(FileError::io(path))?)
}

/// A source's path as a manifest in `folder` has it: relative to it where the source lies beside it or
/// below.
fn seen_from(path: &Path, folder: Option<&Path>) -> PathBuf {
    let below = folder.and_then(|folder| path.strip_prefix(folder).ok());
    below.unwrap_or(path).to_owned()
}

/// A name for the asset: the file's or table's, without what a name cannot have.
fn name_of(source: &SourceSpec) -> String {
    let name = match source {
        SourceSpec::Postgres(spec) => match &spec.relation {
            Relation::Table(parts) => parts.last().cloned().unwrap_or_default(),
            Relation::Query(_) => "query".to_owned(),
        },
        file => file.path().and_then(Path::file_stem).unwrap_or_default().to_string_lossy().into_owned(),
    };
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let mut name: String = name.chars().map(allowed).take(ASSET_NAME_BYTES_MAX - 1).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    name
}
