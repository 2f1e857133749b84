//! Ceremonies as files: who contributed, what is signed, and the folder of a finished one
//! (docs/spec/ceremony.md).

use std::path::Path;

use sealgate_circuits::bytes::CeremonyDigest;
use sealgate_circuits::ceremony::{Ceremony, CeremonyError, Listed, Phase, Progress, Randomness, Transcript};
use sealgate_circuits::prover::ProvingKey;
use sealgate_circuits::verifier;
use sealgate_ledger::account::{AccountPublic, AccountSecret, Signature};
use sealgate_ledger::codec::{decode, encode};
use sealgate_ledger::genesis::{CircuitParameters, Genesis};
use sealgate_ledger::ids::Address;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::answer_file::check_parameters;
use crate::files::{FileError, check_writable, create_private_dir, read_bounded, write_private};

/// Name of the transcript in a finished ceremony's folder.
pub const TRANSCRIPT_FILE: &str = "ceremony.transcript";
/// Largest transcript or key that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Why a file is not written.
const TAKEN: &str = "is there already; choose another name";
/// What contributors sign under.
const SIGNATURE: &str = "sealgate/ceremony/signature/1";

/// Why a ceremony's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyFileError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The transcript does not hold, or cannot be continued.
    #[error("{path}: {source}")]
    Ceremony {
        /// The file.
        path: String,
        /// Why.
        source: CeremonyError,
    },
    /// The ledger's parameters are not the ceremony's.
    #[error("the ledger is not of this ceremony: {0}")]
    Ledger(String),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Randomness(String),
}

/// A contribution, for people and machines to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contribution {
    /// 1 or 2.
    pub phase: u8,
    /// Its number in the phase, from 1.
    pub number: usize,
    /// What the contributor calls itself.
    pub name: String,
    /// The contributor's address.
    pub address: Address,
    /// Digest of the transcript up to and with it, which the contributor announces.
    pub digest: CeremonyDigest,
}

impl Contribution {
    fn new(listed: &Listed) -> Result<Contribution, String> {
        let account = contributor(listed)?;
        let phase = phase_number(listed.phase);
        let Listed { number, digest, .. } = *listed;
        Ok(Contribution { phase, number, address: account.address(), name: account.name, digest })
    }
}

/// 1 or 2.
pub fn phase_number(phase: Phase) -> u8 {
    match phase {
        Phase::Powers => 1,
        Phase::Keys => 2,
    }
}

fn contributor(listed: &Listed) -> Result<AccountPublic, String> {
    let account: AccountPublic = decode("contributor", &listed.contributor).map_err(|error| error.to_string())?;
    account.validate().map_err(|error| error.to_string())?;
    Ok(account)
}

fn signature_holds(listed: &Listed) -> Result<(), String> {
    let account = contributor(listed)?;
    let signature = Signature(listed.signature);
    account.verify(SIGNATURE, listed.digest.as_bytes(), &signature).map_err(|error| error.to_string())
}

fn about(path: &Path) -> impl FnOnce(CeremonyError) -> CeremonyFileError {
    let path = path.display().to_string();
    move |source| CeremonyFileError::Ceremony { path, source }
}

/// Reads a transcript and checks everything in it from nothing.
///
/// # Errors
/// [`CeremonyFileError`], with the first thing that does not hold.
pub fn read(path: &Path, progress: &Progress) -> Result<Ceremony, CeremonyFileError> {
    let transcript = Transcript::from_bytes(&read_bounded(path, FILE_BYTES_MAX)?, progress);
    transcript.and_then(|transcript| transcript.verify(&signature_holds, progress)).map_err(about(path))
}

/// Checks, before long work, that a transcript can be written where there is no file yet.
///
/// # Errors
/// [`FileError`].
pub fn check_new(path: &Path) -> Result<(), FileError> {
    if path.exists() {
        return Err(FileError::content(path, TAKEN));
    }
    check_writable(path)
}

/// Writes a transcript where there is no file yet.
///
/// # Errors
/// [`FileError`]; nothing is ever replaced.
pub fn write(path: &Path, ceremony: &Ceremony) -> Result<(), FileError> {
    write_private(path, &ceremony.to_bytes(), false).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => FileError::content(path, TAKEN),
        _ => FileError::io(path)(error),
    })
}

/// A new ceremony for this software's circuits.
///
/// # Errors
/// [`CeremonyFileError`] for a name that cannot be one.
pub fn start(name: &str, path: &Path) -> Result<Ceremony, CeremonyFileError> {
    let mut nonce = [0u8; 32];
    getrandom::fill(&mut nonce).map_err(|error| CeremonyFileError::Randomness(error.to_string()))?;
    Ceremony::start(name, nonce).map_err(about(path))
}

/// Adds an account's contribution, with secrets from the operating system and `extra`.
///
/// # Errors
/// [`CeremonyFileError`].
pub fn contribute(
    ceremony: &mut Ceremony,
    path: &Path,
    account: &AccountSecret,
    extra: Zeroizing<Vec<u8>>,
    progress: &Progress,
) -> Result<Contribution, CeremonyFileError> {
    let randomness = Randomness::draw(extra).map_err(CeremonyFileError::Randomness)?;
    let sign = |digest: &CeremonyDigest| account.sign(SIGNATURE, digest.as_bytes()).0;
    let listed = ceremony.contribute(&encode(account.public()), &randomness, sign, progress).map_err(about(path))?;
    Contribution::new(&listed).map_err(|what| FileError::content(path, what).into())
}

/// The contributions of a ceremony.
///
/// # Errors
/// [`FileError`] never for one that was checked.
pub fn contributions(ceremony: &Ceremony, path: &Path) -> Result<Vec<Contribution>, FileError> {
    let listed = ceremony.contributions();
    listed.iter().map(|listed| Contribution::new(listed).map_err(|what| FileError::content(path, what))).collect()
}

/// What a finished ceremony gives: its digest, its transcript, and the files of each circuit.
pub struct Finished {
    /// Digest of the transcript.
    pub digest: CeremonyDigest,
    /// What a genesis names of each circuit.
    pub circuits: Vec<CircuitParameters>,
    /// File names and contents: transcript, proving and verifying keys.
    files: Vec<(String, Vec<u8>)>,
}

impl Finished {
    /// The keys of a checked ceremony with contributions to both phases.
    ///
    /// # Errors
    /// [`CeremonyFileError::Ceremony`] when a phase has none.
    pub fn new(ceremony: &Ceremony, path: &Path) -> Result<Finished, CeremonyFileError> {
        let mut files = vec![(TRANSCRIPT_FILE.to_owned(), ceremony.to_bytes())];
        let mut circuits = Vec::new();
        for key in ceremony.proving_keys().map_err(about(path))? {
            let name = key.circuit().name();
            let [proving, verifying] = [ProvingKey::to_bytes, ProvingKey::verifying_key_bytes]
                .map(|bytes| bytes(&key).map_err(|error| FileError::content(path, error)));
            let (proving, verifying) = (proving?, verifying?);
            circuits.push(CircuitParameters {
                circuit: name.into(),
                shape: key.shape_digest(),
                verifying_key: verifier::digest(&verifying),
            });
            files.push((format!("{name}.pk"), proving));
            files.push((format!("{name}.vk"), verifying));
        }
        Ok(Finished { digest: ceremony.digest(), circuits, files })
    }

    /// Reads a folder that [`Finished::write`] made: its transcript is checked from nothing, and
    /// its keys are compared with what the transcript leads to.
    ///
    /// # Errors
    /// [`CeremonyFileError`] naming the file that is not the transcript's.
    pub fn read(folder: &Path, progress: &Progress) -> Result<Finished, CeremonyFileError> {
        let path = folder.join(TRANSCRIPT_FILE);
        let finished = Finished::new(&read(&path, progress)?, &path)?;
        for (name, bytes) in &finished.files {
            let path = folder.join(name);
            if read_bounded(&path, FILE_BYTES_MAX)? != *bytes {
                let what =
                    format!("is not the key that {TRANSCRIPT_FILE} leads to: run 'sealgate ceremony finish' again");
                return Err(FileError::content(&path, what).into());
            }
        }
        Ok(finished)
    }

    /// Writes transcript and keys into a folder.
    ///
    /// # Errors
    /// [`FileError`]; files that are there already are not replaced.
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        create_private_dir(folder).map_err(FileError::io(folder))?;
        for (name, bytes) in &self.files {
            let path = folder.join(name);
            write_private(&path, bytes, false).map_err(FileError::io(&path))?;
        }
        Ok(())
    }

    /// That a ledger's parameters are those of this ceremony: its genesis names the transcript's
    /// digest, and exactly these circuits with these shapes and verifying keys.
    ///
    /// # Errors
    /// [`CeremonyFileError::Ledger`] saying what differs.
    pub fn check_ledger(&self, genesis: &Genesis) -> Result<(), CeremonyFileError> {
        let differs = |what: String| Err(CeremonyFileError::Ledger(what));
        match genesis.ceremony {
            None => return differs("its genesis says that its parameters are for development".into()),
            Some(digest) if digest != self.digest => {
                return differs(format!("its genesis names the transcript {digest}, this one is {}", self.digest));
            }
            Some(_) => {}
        }
        for circuit in sealgate_circuits::statement::Circuit::ALL {
            let file = format!("{}.vk", circuit.name());
            let verifying = self.files.iter().find(|(name, _)| *name == file).map_or(&[][..], |(_, bytes)| bytes);
            check_parameters(genesis, circuit, verifying).map_err(CeremonyFileError::Ledger)?;
        }
        let known = |of: &CircuitParameters| self.circuits.iter().any(|known| known == of);
        match genesis.circuits.iter().find(|of| !known(of)) {
            Some(other) => differs(format!("circuit '{}' of its genesis is not in the ceremony", other.circuit)),
            None => Ok(()),
        }
    }
}
