//! The command `export`: an answer's proof in the form of another program, after it has been
//! verified here (docs/spec/interchange.md).

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sealgate_ledger::ids::Address;
use serde::Serialize;

use super::requester::{verify_file, whose};
use super::{Failure, HomeArg, Output};
use crate::answer_file::Proven;
use crate::files::{FileError, create_private_dir, write_json};
use crate::home::Home;
use crate::interchange::{self, SNARKJS_FILES};

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    home: HomeArg,
    /// In which form.
    #[arg(long, value_enum)]
    format: Format,
    /// Folder to write to, made if it is not there; what it holds is not overwritten.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Whose answer it should be; this home's account unless named.
    #[arg(long, value_name = "ADDRESS")]
    requester: Option<Address>,
    /// Of an answer about several keys the proof about this one, counted from 1.
    #[arg(long, value_name = "N", default_value_t = 1)]
    record: usize,
    /// The answer file.
    file: PathBuf,
}

/// Forms that other programs read.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// verification_key.json, public.json and proof.json, as snarkjs 0.7 reads them.
    Snarkjs,
}

#[derive(Serialize)]
struct Exported {
    sql: String,
    circuit: &'static str,
    public_inputs: usize,
    files: Vec<PathBuf>,
}

/// Never asks a gateway: an answer whose checkpoint is new to this home is for `verify` first.
pub(super) async fn export(args: Export, output: &Output) -> Result<(), Failure> {
    let Format::Snarkjs = args.format;
    let home = Home::at(&args.home.home);
    let expected = whose(&home, args.requester)?;
    let verified = verify_file(&home, None, &expected, &args.file).await?;
    let proven = interchange::proof_of(&verified, args.record)
        .map_err(|error| Failure::new(format!("{} {error}", args.file.display())))?;
    let files = write_snarkjs(proven, &args.out)?;
    let circuit = proven.statement.circuit.name();
    let result =
        Exported { sql: verified.sql.clone(), circuit, public_inputs: proven.statement.public_inputs().len(), files };
    output.result(&result, || {
        let files: Vec<String> = result.files.iter().map(|file| file.display().to_string()).collect();
        format!(
            "{}\nverified, and written: the proof for circuit '{circuit}' with its {} public inputs\n\n  \
             snarkjs groth16 verify {}\n\n\
             Whoever runs this learns that the proof holds for these public inputs, and nothing about where they come \
             from: key, place, ledger and request are what 'sealgate verify' checks.",
            result.sql,
            result.public_inputs,
            files.join(" ")
        )
    });
    Ok(())
}

/// Writes one proof into a folder that has none.
fn write_snarkjs(proven: &Proven, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let [key, public, proof] = interchange::snarkjs(proven)?;
    let files = SNARKJS_FILES.map(|name| folder.join(name));
    // A set of files of two answers would look like a proof that fails.
    if let Some(present) = files.iter().find(|file| file.symlink_metadata().is_ok()) {
        return Err(Failure::new(format!("{} is there already; --out names a folder without it", present.display())));
    }
    create_private_dir(folder).map_err(FileError::io(folder))?;
    let [key_file, public_file, proof_file] = &files;
    write_json(key_file, &key, false)?;
    write_json(public_file, &public, false)?;
    write_json(proof_file, &proof, false)?;
    Ok(files.into())
}
