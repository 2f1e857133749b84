//! The proving and verifying keys in an owner's data folder (docs/spec/parameters.md).

use std::path::{Path, PathBuf};

use sealgate_circuits::prover::{ProveError, ProvingKey};
use sealgate_circuits::statement::Circuit;
use sealgate_circuits::verifier::VerifyingKey;
use sealgate_ledger::genesis::{CircuitParameters, Genesis};

use crate::answer_file::check_parameters;
use crate::ceremony::Finished;
use crate::files::{FileError, create_private_dir, read_bounded, write_private};

/// Largest key file, in bytes.
const KEY_BYTES_MAX: u64 = 64 << 20;

/// A folder of keys, two files for each circuit.
#[derive(Debug, Clone)]
pub struct Parameters {
    folder: PathBuf,
}

/// Why keys cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum ParameterError {
    /// A file of theirs.
    #[error(transparent)]
    File(#[from] FileError),
    /// The proof system refused.
    #[error(transparent)]
    Prove(#[from] ProveError),
}

impl Parameters {
    /// The keys in `folder`.
    pub fn in_folder(folder: &Path) -> Parameters {
        Parameters { folder: folder.to_owned() }
    }

    fn path(&self, circuit: Circuit, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", circuit.name()))
    }

    /// Draws development keys for every circuit and keeps them; what a genesis names of them.
    ///
    /// # Errors
    /// [`ParameterError`].
    pub fn generate_development(&self) -> Result<Vec<CircuitParameters>, ParameterError> {
        create_private_dir(&self.folder).map_err(FileError::io(&self.folder))?;
        Circuit::ALL.into_iter().map(|circuit| self.generate(circuit)).collect()
    }

    /// Takes over the keys of a finished ceremony and its transcript; what a genesis names of them.
    ///
    /// # Errors
    /// [`ParameterError::File`].
    pub fn adopt(&self, ceremony: Finished) -> Result<Vec<CircuitParameters>, ParameterError> {
        ceremony.write(&self.folder)?;
        Ok(ceremony.circuits)
    }

    fn generate(&self, circuit: Circuit) -> Result<CircuitParameters, ParameterError> {
        let (pk_path, vk_path) = (self.path(circuit, "pk"), self.path(circuit, "vk"));
        let key = ProvingKey::generate_development(circuit)?;
        let bytes = key.to_bytes().map_err(|error| FileError::content(&pk_path, error))?;
        let verifying = key.verifying_key_bytes().map_err(|error| FileError::content(&vk_path, error))?;
        write_private(&pk_path, &bytes, true).map_err(FileError::io(&pk_path))?;
        write_private(&vk_path, &verifying, true).map_err(FileError::io(&vk_path))?;
        Ok(CircuitParameters {
            circuit: circuit.name().into(),
            shape: key.shape_digest(),
            verifying_key: sealgate_circuits::verifier::digest(&verifying),
        })
    }

    /// A circuit's keys, if they are the ones that the genesis names.
    ///
    /// # Errors
    /// [`ParameterError::File`] for damage, or keys of another ledger.
    pub fn load(&self, circuit: Circuit, genesis: &Genesis) -> Result<(ProvingKey, VerifyingKey), ParameterError> {
        let (pk_path, vk_path) = (self.path(circuit, "pk"), self.path(circuit, "vk"));
        let verifying = read_bounded(&vk_path, KEY_BYTES_MAX)?;
        check_parameters(genesis, circuit, &verifying).map_err(|what| FileError::content(&vk_path, what))?;
        let vk = VerifyingKey::from_bytes(circuit, &verifying).map_err(|error| FileError::content(&vk_path, error))?;
        let pk = ProvingKey::from_bytes(circuit, &read_bounded(&pk_path, KEY_BYTES_MAX)?)
            .map_err(|error| FileError::content(&pk_path, error))?;
        let belongs = pk.verifying_key_bytes().is_ok_and(|bytes| bytes == verifying);
        if !belongs {
            return Err(
                FileError::content(&pk_path, "the proving key belongs to other parameters than the ledger's").into()
            );
        }
        Ok((pk, vk))
    }
}
