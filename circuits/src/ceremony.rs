//! Parameters that nobody has to trust one party for: a ceremony in two phases, after Bowe,
//! Gabizon and Miers (<https://eprint.iacr.org/2017/1050>), safe if one contributor to each phase
//! is honest, without a random beacon (Kohlweiss, Maller, Siim, Volkhov,
//! <https://eprint.iacr.org/2021/219>). Written from docs/spec/ceremony.md.

use ark_bls12_381::G1Affine;
use ark_ec::AffineRepr;

use crate::bytes::{CeremonyDigest, DecodeError};
use crate::prover::ProvingKey;
use crate::statement::Circuit;

mod contribution;
mod points;
mod powers;
mod specialise;
mod transcript;

pub use contribution::{CONTRIBUTOR_BYTES_MAX, Fault, Randomness};
pub(crate) use powers::Powers;
pub(crate) use specialise::{Key, Relation, specialise};
pub use transcript::{CONTRIBUTIONS_MAX, NAME_BYTES_MAX, Phase};

#[cfg(test)]
pub(crate) use contribution::Secret;
use contribution::{Contribution, Standing};
use transcript::{Second, State, check_name};

/// Told how far long work is: what, how much of how much.
pub type Progress<'a> = dyn Fn(&'static str, u64, u64) + Sync + 'a;

/// Checks a contributor's signature over a digest; a sentence when it does not hold.
pub type SignatureCheck<'a> = dyn Fn(&Listed) -> Result<(), String> + 'a;

/// Why a ceremony cannot be read, trusted or continued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CeremonyError {
    /// The transcript's bytes.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The ceremony's name.
    #[error("'{0}' cannot be a ceremony's name: 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Name(String),
    /// The ceremony is for other circuits.
    #[error(
        "the ceremony is for other circuits than this software's: use the release that it was started with, or start another"
    )]
    Family,
    /// A contribution does not hold.
    #[error("{phase}, contribution {number}: {fault}")]
    Contribution {
        /// Its phase.
        phase: Phase,
        /// Its number in the phase, from 1.
        number: usize,
        /// What is wrong.
        fault: Fault,
    },
    /// The powers are not what the contributions lead to.
    #[error("the powers of tau: {0}")]
    Powers(&'static str),
    /// A circuit's key is not what powers and contributions lead to.
    #[error("the key of circuit '{circuit}': {what}")]
    Key {
        /// The circuit.
        circuit: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The ceremony is not where this can be done.
    #[error("{0}")]
    Order(&'static str),
}

/// A contribution, as a transcript shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its phase.
    pub phase: Phase,
    /// Its number in the phase, from 1.
    pub number: usize,
    /// Who made it, in the bytes given to [`Ceremony::contribute`].
    pub contributor: Vec<u8>,
    /// The digest of the transcript up to and with it.
    pub digest: CeremonyDigest,
    /// The contributor's signature over the digest.
    pub signature: [u8; 64],
}

/// A transcript that has been read, and not yet checked: its points are points, no more.
#[derive(Debug)]
pub struct Transcript(State);

impl Transcript {
    /// Reads a transcript of a ceremony for this build's circuits. Every point is checked for
    /// curve, subgroup and identity.
    ///
    /// # Errors
    /// [`CeremonyError::Decode`] for damage; [`CeremonyError::Family`] for other circuits.
    pub fn from_bytes(bytes: &[u8], progress: &Progress) -> Result<Transcript, CeremonyError> {
        Ok(Transcript(State::from_bytes(bytes, relations(), progress)?))
    }

    /// Checks everything from nothing: each contribution's signature, by `signatures`, its proofs
    /// of knowledge and its step; then that powers and keys are what they lead to.
    ///
    /// # Errors
    /// [`CeremonyError`], the first thing that does not hold.
    pub fn verify(self, signatures: &SignatureCheck, progress: &Progress) -> Result<Ceremony, CeremonyError> {
        let ceremony = Ceremony(self.0);
        let mut done = 0;
        let listed = ceremony.contributions();
        for contribution in &listed {
            let Listed { phase, number, .. } = *contribution;
            let fault = |what| CeremonyError::Contribution { phase, number, fault: Fault::Signature(what) };
            signatures(contribution).map_err(fault)?;
        }
        let state = &ceremony.0;
        let mut counted = || {
            done += 1;
            progress("checking contributions", done, listed.len() as u64);
        };
        let head = follow(state, Phase::Powers, [G1Affine::generator(); 3].to_vec(), &mut counted)?;
        let head = <[G1Affine; 3]>::try_from(head).unwrap_or([G1Affine::identity(); 3]);
        state.powers.check(head, progress)?;
        if let Some(second) = &state.second {
            if state.first.is_empty() {
                return Err(CeremonyError::Order("phase 1 was closed without a contribution"));
            }
            let deltas = vec![G1Affine::generator(); second.keys.len()];
            let deltas = follow(state, Phase::Keys, deltas, &mut counted)?;
            for (number, ((key, relation), delta)) in second.keys.iter().zip(&state.relations).zip(deltas).enumerate() {
                progress("checking keys", number as u64, second.keys.len() as u64);
                key.check(&state.powers, relation, delta)?;
            }
        }
        Ok(ceremony)
    }
}

/// Checks a phase's contributions in turn; the values after the last.
fn follow(
    state: &State,
    phase: Phase,
    mut values: Vec<G1Affine>,
    counted: &mut impl FnMut(),
) -> Result<Vec<G1Affine>, CeremonyError> {
    let (names, mut digest) = (state.factors(phase), state.opening(phase));
    for (index, contribution) in state.contributions(phase).iter().enumerate() {
        let fault = |fault| CeremonyError::Contribution { phase, number: index + 1, fault };
        contribution.check(&digest, &names, &mut values).map_err(fault)?;
        digest = contribution.digest(&digest);
        counted();
    }
    Ok(values)
}

/// A ceremony that was started here or checked whole, and can be continued.
#[derive(Debug)]
pub struct Ceremony(State);

impl Ceremony {
    /// A new ceremony for this build's circuits, without contributions. The nonce tells apart
    /// ceremonies of one name.
    ///
    /// # Errors
    /// [`CeremonyError::Name`].
    pub fn start(name: &str, nonce: [u8; 32]) -> Result<Ceremony, CeremonyError> {
        Ceremony::start_with(name, nonce, relations())
    }

    fn start_with(name: &str, nonce: [u8; 32], relations: Vec<Relation>) -> Result<Ceremony, CeremonyError> {
        check_name(name)?;
        let powers = Powers::start(State::places(&relations));
        Ok(Ceremony(State { name: name.into(), nonce, relations, first: Vec::new(), powers, second: None }))
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The phase that takes contributions.
    pub fn phase(&self) -> Phase {
        self.0.phase()
    }

    /// Names of the circuits.
    pub fn circuits(&self) -> impl Iterator<Item = &str> {
        self.0.relations.iter().map(|relation| relation.name.as_str())
    }

    /// All contributions in order.
    pub fn contributions(&self) -> Vec<Listed> {
        let mut all = Vec::new();
        for phase in [Phase::Powers, Phase::Keys] {
            let mut digest = self.0.opening(phase);
            for (index, contribution) in self.0.contributions(phase).iter().enumerate() {
                digest = contribution.digest(&digest);
                let (contributor, signature) = (contribution.contributor.clone(), contribution.signature);
                all.push(Listed { phase, number: index + 1, contributor, digest, signature });
            }
        }
        all
    }

    /// The digest of all so far: it determines powers and keys.
    pub fn digest(&self) -> CeremonyDigest {
        self.0.digest()
    }

    /// Adds a contribution to the current phase: fresh secrets out of `randomness` are multiplied
    /// in, proven to be known, and wiped; `sign` signs the digest.
    ///
    /// # Errors
    /// [`CeremonyError::Order`] when the phase is full, or `contributor` is longer than
    /// [`CONTRIBUTOR_BYTES_MAX`].
    pub fn contribute(
        &mut self,
        contributor: &[u8],
        randomness: &Randomness,
        sign: impl FnOnce(&CeremonyDigest) -> [u8; 64],
        progress: &Progress,
    ) -> Result<Listed, CeremonyError> {
        let (phase, state) = (self.phase(), &mut self.0);
        let number = state.contributions(phase).len() + 1;
        if number > CONTRIBUTIONS_MAX || contributor.len() > CONTRIBUTOR_BYTES_MAX {
            return Err(CeremonyError::Order("the phase is full, or the contributor's description too long"));
        }
        let (previous, names) = (state.digest(), state.factors(phase));
        let standing = Standing { previous: &previous, contributor };
        let before = match &state.second {
            None => state.powers.head().to_vec(),
            Some(second) => second.keys.iter().map(|key| key.delta_g1).collect(),
        };
        let (mut made, secrets) = Contribution::new(standing, &names, &before, randomness);
        let digest = made.digest(&previous);
        made.signature = sign(&digest);
        let signature = made.signature;
        match &mut state.second {
            None => {
                if let Ok(secrets) = <[_; 3]>::try_from(secrets) {
                    state.powers.update(&secrets, progress);
                }
                state.first.push(made);
            }
            Some(second) => {
                for (done, (key, secret)) in second.keys.iter_mut().zip(&secrets).enumerate() {
                    progress("multiplying keys", done as u64, names.len() as u64);
                    key.update(secret);
                }
                second.contributions.push(made);
            }
        }
        Ok(Listed { phase, number, contributor: contributor.to_vec(), digest, signature })
    }

    /// Closes phase 1 and makes each circuit's first key from its powers. Deterministic: whoever
    /// does it gets the same, so it needs no trust and no signature.
    ///
    /// # Errors
    /// [`CeremonyError::Order`] when it is closed already, or nobody has contributed.
    pub fn advance(&mut self, progress: &Progress) -> Result<(), CeremonyError> {
        if self.0.second.is_some() {
            return Err(CeremonyError::Order("phase 1 is closed already: 'contribute' now adds to phase 2"));
        }
        if self.0.first.is_empty() {
            return Err(CeremonyError::Order("phase 1 has no contribution yet: its secrets are known to everybody"));
        }
        let keys = specialise(&self.0.powers, &self.0.relations, progress)?;
        self.0.second = Some(Second { contributions: Vec::new(), keys });
        Ok(())
    }

    /// The proving keys of all circuits, in the order of [`Circuit::ALL`].
    ///
    /// # Errors
    /// [`CeremonyError::Order`] unless both phases have contributions.
    pub fn proving_keys(&self) -> Result<Vec<ProvingKey>, CeremonyError> {
        let keys = self.0.second.as_ref().filter(|second| !second.contributions.is_empty()).map(|second| &second.keys);
        let keys = keys.ok_or(CeremonyError::Order(
            "phase 2 has no contribution yet: whoever used these keys could forge every proof",
        ))?;
        let made = Circuit::ALL.into_iter().zip(keys);
        Ok(made.map(|(circuit, key)| ProvingKey::from_ceremony(circuit, &self.0.powers, key)).collect())
    }

    /// The transcript's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }
}

/// This build's circuits.
fn relations() -> Vec<Relation> {
    Circuit::ALL.into_iter().map(Relation::of).collect()
}

#[cfg(test)]
mod tests;
