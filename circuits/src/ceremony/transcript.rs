//! The bytes of a ceremony (docs/spec/ceremony.md#bytes) and the chain of digests through it.

use super::contribution::Contribution;
use super::points::Reader;
use super::powers::{FACTORS, Powers};
use super::specialise::{Key, Relation};
use super::{CeremonyError, Progress};
use crate::bytes::{CeremonyDigest, DecodeError, tagged_hash};

/// First bytes of a transcript.
const MAGIC: &[u8; 24] = b"sealgate-ceremony/1\0\0\0\0\0";
/// Longest name of a ceremony, in bytes.
pub const NAME_BYTES_MAX: usize = 100;
/// Most contributions to a phase.
pub const CONTRIBUTIONS_MAX: usize = 1000;
const WHAT: &str = "ceremony transcript";

/// Phase 2: each circuit's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Second {
    pub(crate) contributions: Vec<Contribution>,
    pub(crate) keys: Vec<Key>,
}

/// All of a ceremony, checked or not.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) nonce: [u8; 32],
    pub(crate) relations: Vec<Relation>,
    pub(crate) first: Vec<Contribution>,
    pub(crate) powers: Powers,
    pub(crate) second: Option<Second>,
}

/// The two phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Powers of tau, for all circuits.
    Powers,
    /// Each circuit's delta.
    Keys,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Phase::Powers => "phase 1",
            Phase::Keys => "phase 2",
        })
    }
}

impl State {
    pub(crate) fn phase(&self) -> Phase {
        if self.second.is_some() { Phase::Keys } else { Phase::Powers }
    }

    /// Names of the factors of a contribution to a phase.
    pub(crate) fn factors(&self, phase: Phase) -> Vec<String> {
        match phase {
            Phase::Powers => FACTORS.map(str::to_owned).to_vec(),
            Phase::Keys => self.relations.iter().map(|relation| format!("delta of {}", relation.name)).collect(),
        }
    }

    /// Contributions to a phase.
    pub(crate) fn contributions(&self, phase: Phase) -> &[Contribution] {
        match phase {
            Phase::Powers => &self.first,
            Phase::Keys => self.second.as_ref().map_or(&[], |second| &second.contributions),
        }
    }

    /// The digest from which a phase's contributions go on: of everything before them.
    pub(crate) fn opening(&self, phase: Phase) -> CeremonyDigest {
        let mut header = Vec::new();
        self.write_header(&mut header);
        let start = CeremonyDigest(tagged_hash("sealgate/ceremony/start/1", &[&header]));
        match phase {
            Phase::Powers => start,
            Phase::Keys => {
                let last = self.first.iter().fold(start, |digest, contribution| contribution.digest(&digest));
                CeremonyDigest(tagged_hash("sealgate/ceremony/closing/1", &[&last.0]))
            }
        }
    }

    /// The digest of all so far.
    pub(crate) fn digest(&self) -> CeremonyDigest {
        let (phase, opening) = (self.phase(), self.opening(self.phase()));
        self.contributions(phase).iter().fold(opening, |digest, contribution| contribution.digest(&digest))
    }

    /// Places that the powers must serve: those of the largest circuit.
    pub(crate) fn places(relations: &[Relation]) -> usize {
        relations.iter().map(Relation::places).max().unwrap_or(2)
    }

    fn write_header(&self, out: &mut Vec<u8>) {
        out.extend(MAGIC);
        out.extend((self.name.len() as u32).to_le_bytes());
        out.extend(self.name.as_bytes());
        out.extend(self.nonce);
        out.extend(family(&self.relations));
    }

    /// The transcript's bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_header(&mut out);
        write_contributions(&mut out, &self.first);
        self.powers.write(&mut out);
        out.push(u8::from(self.second.is_some()));
        if let Some(second) = &self.second {
            write_contributions(&mut out, &second.contributions);
            second.keys.iter().for_each(|key| key.write(&mut out));
        }
        out
    }

    /// Reads a transcript of a ceremony for `relations`.
    ///
    /// # Errors
    /// [`CeremonyError::Decode`] for anything but what [`State::to_bytes`] writes;
    /// [`CeremonyError::Family`] for a ceremony of other circuits.
    pub(crate) fn from_bytes(
        bytes: &[u8],
        relations: Vec<Relation>,
        progress: &Progress,
    ) -> Result<State, CeremonyError> {
        let mut reader = Reader::new(bytes, progress);
        if reader.take(WHAT, MAGIC.len())? != MAGIC {
            return Err(DecodeError::new(WHAT, "a file of 'sealgate ceremony'", "other first bytes").into());
        }
        let name = reader.string(WHAT, NAME_BYTES_MAX)?;
        let name = String::from_utf8(name.to_vec()).map_err(|_| CeremonyError::Name(hex::encode(name)))?;
        check_name(&name)?;
        let nonce = reader.array(WHAT)?;
        let expected = family(&relations);
        if reader.take(WHAT, expected.len())? != expected {
            return Err(CeremonyError::Family);
        }
        let first = read_contributions(&mut reader, FACTORS.len())?;
        let powers = Powers::read(&mut reader, State::places(&relations))?;
        let second = match reader.array::<1>(WHAT)? {
            [0] => None,
            [1] => {
                let contributions = read_contributions(&mut reader, relations.len())?;
                let keys = relations.iter().map(|relation| Key::read(&mut reader, relation));
                Some(Second { contributions, keys: keys.collect::<Result<_, _>>()? })
            }
            [other] => return Err(DecodeError::new(WHAT, "a phase, 0 or 1", other.to_string()).into()),
        };
        reader.end(WHAT)?;
        let state = State { name, nonce, relations, first, powers, second };
        if state.to_bytes() != bytes {
            return Err(DecodeError::new(WHAT, "its one spelling", "another spelling of the same content").into());
        }
        Ok(state)
    }
}

/// Checks a ceremony's name.
///
/// # Errors
/// [`CeremonyError::Name`].
pub(crate) fn check_name(name: &str) -> Result<(), CeremonyError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(CeremonyError::Name(name.escape_debug().take(60).collect()));
    }
    Ok(())
}

/// Names and shapes of the circuits.
fn family(relations: &[Relation]) -> Vec<u8> {
    let mut out = (relations.len() as u32).to_le_bytes().to_vec();
    for relation in relations {
        out.extend((relation.name.len() as u32).to_le_bytes());
        out.extend(relation.name.as_bytes());
        out.extend(relation.shape.digest().0);
    }
    out
}

fn write_contributions(out: &mut Vec<u8>, contributions: &[Contribution]) {
    out.extend((contributions.len() as u32).to_le_bytes());
    contributions.iter().for_each(|contribution| contribution.write(out));
}

fn read_contributions(reader: &mut Reader, factors: usize) -> Result<Vec<Contribution>, DecodeError> {
    let count = reader.number(WHAT, CONTRIBUTIONS_MAX)?;
    (0..count).map(|_| Contribution::read(reader, factors)).collect()
}
