//! `manifest infer`: a share manifest from what a table holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use sealgate_ods::manifest::infer::{InferRequest, Inferred, infer, spec_of_file};
use sealgate_ods::manifest::{ASSET_NAME_BYTES_MAX, PostgresSpec, Relation, SourceSpec, Tls};
use serde::Serialize;

use super::{Failure, Output};
use crate::files::{FileError, write_private};

#[derive(Debug, Subcommand)]
pub(super) enum ManifestCommand {
    /// Look at a table and write a manifest of it, with types, a key and nulls, to be edited.
    Infer(Infer),
}

#[derive(Debug, Args)]
pub(super) struct Infer {
    /// A file (.csv, .tsv, .txt, .jsonl, .ndjson, .json, .parquet), or a database as
    /// postgres://USER@HOST:PORT/DATABASE with --table or --query.
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where to write the manifest; without it, it is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Look at the first N rows only; at all of them unless given.
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// The asset's name; of the file or table unless given.
    #[arg(long)]
    name: Option<String>,
    /// The asset's title; its name unless given.
    #[arg(long)]
    title: Option<String>,
    /// The table, TABLE or SCHEMA.TABLE.
    #[arg(long, conflicts_with = "query")]
    table: Option<String>,
    /// A query instead of a table.
    #[arg(long, value_name = "SQL")]
    query: Option<String>,
    /// PEM file of the authority that signed the database's certificate; the system's unless given.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Talk to the database in the clear.
    #[arg(long, conflicts_with = "ca")]
    tls_off: bool,
    /// File with the database's password; else PGPASSWORD or the password file of libpq.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct InferResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    rows: u64,
    columns: usize,
    key: Vec<String>,
}

pub(super) async fn run(command: ManifestCommand, output: &Output) -> Result<(), Failure> {
    let ManifestCommand::Infer(args) = command;
    let (source, encoding_guessed) = source(&args)?;
    let name = args.name.clone().unwrap_or_else(|| name_of(&source));
    let bar = output.progress();
    let request = InferRequest {
        path_written: source.path().map(|path| seen_from(path, args.out.as_deref())).transpose()?,
        source,
        encoding_guessed,
        title: args.title.unwrap_or_else(|| name.clone()),
        name,
        rows_max: args.rows,
        progress: Arc::clone(&bar) as _,
    };
    let inferred = tokio::task::spawn_blocking(move || infer(&request)).await;
    bar.finish();
    finish(inferred.map_err(|error| Failure::new(error.to_string()))??, args.out, output)
}

fn finish(inferred: Inferred, out: Option<PathBuf>, output: &Output) -> Result<(), Failure> {
    let Inferred { manifest, rows, columns, key } = inferred;
    let Some(path) = out else {
        let result = InferResult { file: None, manifest: Some(manifest.clone()), rows, columns, key };
        output.result(&result, || manifest.trim_end().to_owned());
        return Ok(());
    };
    write_private(&path, manifest.as_bytes(), false).map_err(FileError::io(&path))?;
    let result = InferResult { file: Some(path.clone()), manifest: None, rows, columns, key };
    output.result(&result, || {
        let key = match result.key.join(", ") {
            none if none.is_empty() => "none found: name one under [key] before publishing".to_owned(),
            key => key,
        };
        format!(
            "manifest    {}\ncolumns     {columns}, from {rows} rows\nkey         {key}\n\
             Read it and correct it, then publish with 'sealgate publish --manifest {}'.",
            path.display(),
            path.display()
        )
    });
    Ok(())
}

/// The source that the arguments name, by absolute paths.
fn source(args: &Infer) -> Result<(SourceSpec, bool), Failure> {
    let database = args.source.starts_with("postgres://") || args.source.starts_with("postgresql://");
    if !database {
        let given =
            [args.table.is_some(), args.query.is_some(), args.ca.is_some(), args.tls_off, args.password_file.is_some()];
        if given.contains(&true) {
            return Err(Failure::new(format!(
                "'{}' is a file: what is asked of databases has no meaning",
                args.source
            )));
        }
        return Ok(spec_of_file(&absolute(Path::new(&args.source))?)?);
    }
    let relation = match (&args.table, &args.query) {
        (Some(table), _) => Relation::table(table),
        (None, Some(query)) => Relation::query(query),
        (None, None) => None,
    };
    let relation = relation.ok_or_else(|| {
        Failure::new("what of the database? --table TABLE, --table SCHEMA.TABLE or --query 'SELECT …'".into())
    })?;
    let path = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
    let tls = match (args.tls_off, path(&args.ca)?) {
        (true, _) => Some(Tls::Off),
        (false, Some(ca)) => Some(Tls::VerifyFull(Some(ca))),
        (false, None) => None,
    };
    let spec = PostgresSpec::of_url(&args.source, relation, tls, path(&args.password_file)?)?;
    Ok((SourceSpec::Postgres(spec), false))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    Ok(std::path::absolute(path).map_err(FileError::io(path))?)
}

/// A source's path as the manifest `out` has it: relative to it where the source lies beside it or
/// below.
fn seen_from(path: &Path, out: Option<&Path>) -> Result<PathBuf, Failure> {
    let folder = out.map(absolute).transpose()?.and_then(|out| out.parent().map(Path::to_owned));
    let below = folder.and_then(|folder| path.strip_prefix(folder).ok());
    Ok(below.unwrap_or(path).to_owned())
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
