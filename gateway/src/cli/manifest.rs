//! `manifest infer`: a share manifest from what a table holds.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sealgate_ods::manifest::infer::Inferred;
use serde::Serialize;

use super::{Failure, Output};
use crate::files::{FileError, write_private};
use crate::inferring::{LookedAt, infer_manifest};

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
    let bar = output.progress();
    let looked_at = LookedAt {
        source: args.source,
        name: args.name,
        title: args.title,
        rows_max: args.rows,
        table: args.table,
        query: args.query,
        ca: args.ca,
        tls_off: args.tls_off,
        password_file: args.password_file,
        folder: args.out.as_deref().map(folder_of).transpose()?.flatten(),
    };
    let inferred = infer_manifest(looked_at, bar.clone()).await;
    bar.finish();
    finish(inferred?, args.out, output)
}

fn folder_of(out: &Path) -> Result<Option<PathBuf>, Failure> {
    let out = std::path::absolute(out).map_err(FileError::io(out))?;
    Ok(out.parent().map(Path::to_owned))
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
