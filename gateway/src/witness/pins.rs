//! The witnesses a home trusts for a ledger, and what they say of its checkpoints
//! (docs/spec/witness.md#pinning).

use std::collections::BTreeMap;

use sealgate_ledger::checkpoint::SignedCheckpoint;
use sealgate_ledger::cosign::WitnessKey;
use sealgate_ledger::genesis::Genesis;
use sealgate_ledger::ids::ChainId;
use serde::{Deserialize, Serialize};

use crate::files::{FileError, read_json, write_json};
use crate::home::{Home, HomeError, Relation};

/// In a ledger's folder: the witnesses pinned, and the largest checkpoint seen of each.
const PINS_FILE: &str = "witnesses.json";
const MEMORY_FILE: &str = "witnessed.json";
/// Most witnesses pinned for one ledger.
pub const WITNESSES_MAX: usize = 16;

/// The witnesses pinned for a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// How many of them must have cosigned what is believed; 0 for none.
    pub required: usize,
    /// Their keys.
    pub witnesses: Vec<WitnessKey>,
}

/// One witness's statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WitnessedBy {
    /// The witness.
    pub name: String,
    /// When it cosigned, RFC 3339.
    pub time: String,
    /// Entries of the checkpoint it cosigned: this one's, or a later one's that extends it.
    pub size: u64,
}

/// What the pinned witnesses say of a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Witnessed {
    /// Entries of the checkpoint.
    pub size: u64,
    /// Who cosigned it, or a later one that extends it.
    pub by: Vec<WitnessedBy>,
    /// Who did neither.
    pub missing: Vec<String>,
    /// How many must have.
    pub required: usize,
}

impl Home {
    /// Pins witnesses of a ledger, in place of those pinned before.
    ///
    /// # Errors
    /// [`FileError`]; also when more are required than are named, or one is named twice.
    pub fn pin_witnesses(&self, chain: &ChainId, pins: &Pins) -> Result<(), FileError> {
        let path = self.ledger_folder(chain).join(PINS_FILE);
        let named: std::collections::BTreeSet<&WitnessKey> = pins.witnesses.iter().collect();
        if named.len() != pins.witnesses.len() || named.len() > WITNESSES_MAX {
            let what = format!("name at most {WITNESSES_MAX} witnesses, each once");
            return Err(FileError::content(&path, what));
        }
        if pins.required > named.len() {
            let what = format!("{} witnesses cannot be required of {}", pins.required, named.len());
            return Err(FileError::content(&path, what));
        }
        write_json(&path, pins, true)
    }

    /// The witnesses pinned for a ledger.
    ///
    /// # Errors
    /// [`FileError`] when the file is damaged.
    pub fn pins(&self, chain: &ChainId) -> Result<Pins, FileError> {
        let path = self.ledger_folder(chain).join(PINS_FILE);
        if path.exists() { read_json(&path) } else { Ok(Pins::default()) }
    }

    /// What the pinned witnesses say of a checkpoint. Where the home has accepted it, a witness that
    /// cosigned a later one that the home has accepted too says it of this one: it is a part of that.
    ///
    /// # Errors
    /// [`HomeError::Checkpoint`] for a cosignature that does not hold; [`HomeError::File`].
    pub fn witnessed(&self, genesis: &Genesis, signed: &SignedCheckpoint) -> Result<Witnessed, HomeError> {
        let (checkpoint, relation) = self.relation(genesis, signed)?;
        let chain = genesis.chain_id();
        let pins = self.pins(&chain)?;
        let mut said = Witnessed { size: checkpoint.size, required: pins.required, ..Witnessed::default() };
        if pins.witnesses.is_empty() {
            return Ok(said);
        }
        let accepted = relation == Relation::Known;
        let _lock = self.lock(&chain)?;
        let path = self.ledger_folder(&chain).join(MEMORY_FILE);
        let mut memory: BTreeMap<String, SignedCheckpoint> =
            if accepted && path.exists() { read_json(&path)? } else { BTreeMap::new() };
        let mut changed = false;
        for key in &pins.witnesses {
            let known = memory.get(&key.to_string());
            let known = known.map(|note| self.remembered(key, genesis, note)).transpose();
            let known = known.map_err(|_| FileError::content(&path, "damaged; remove it"))?;
            let now = key.cosigned(signed)?.map(|time_s| (checkpoint.size, time_s));
            if accepted && now > known {
                memory.insert(key.to_string(), signed.clone());
                changed = true;
            }
            match now.or(known.filter(|(size, _)| *size >= checkpoint.size)) {
                Some((size, time_s)) => {
                    said.by.push(WitnessedBy { name: key.name().to_owned(), time: time(time_s), size });
                }
                None => said.missing.push(key.name().to_owned()),
            }
        }
        if changed {
            memory.retain(|key, _| pins.witnesses.iter().any(|pinned| pinned.to_string() == *key));
            write_json(&path, &memory, true)?;
        }
        Ok(said)
    }

    /// [`Home::witnessed`], and refuses a checkpoint that too few have cosigned.
    ///
    /// # Errors
    /// [`HomeError::NotWitnessed`]; as there.
    pub fn require_witnessed(&self, genesis: &Genesis, signed: &SignedCheckpoint) -> Result<Witnessed, HomeError> {
        let said = self.witnessed(genesis, signed)?;
        if said.by.len() >= said.required {
            return Ok(said);
        }
        Err(HomeError::NotWitnessed {
            size: said.size,
            found: said.by.len(),
            required: said.required,
            missing: said.missing.join(", "),
            home: self.folder().to_owned(),
        })
    }

    /// Size and time of a checkpoint that was kept, checked again.
    fn remembered(
        &self,
        key: &WitnessKey,
        genesis: &Genesis,
        note: &SignedCheckpoint,
    ) -> Result<(u64, u64), HomeError> {
        let size = self.read(genesis, note)?.size;
        let time_s = key.cosigned(note)?;
        Ok((size, time_s.unwrap_or_default()))
    }
}

impl Witnessed {
    /// Whether the home pins no witness.
    pub fn is_unpinned(&self) -> bool {
        self.by.is_empty() && self.missing.is_empty()
    }

    /// A line for each witness that cosigned.
    pub fn checks(&self) -> Vec<String> {
        let line = |by: &WitnessedBy| {
            let later = if by.size == self.size {
                String::new()
            } else {
                format!(", in a later checkpoint of {} entries that extends this one", by.size)
            };
            format!("witnessed by {} at {}{later}", by.name, by.time)
        };
        self.by.iter().map(line).collect()
    }

    /// A line for each witness that did not.
    pub fn notes(&self) -> Vec<String> {
        let line = |name: &String| {
            let alone = if self.by.is_empty() { "owner-operated ledger: " } else { "" };
            format!(
                "{alone}not witnessed by {name}, which you trust and which has not cosigned this checkpoint or a later one seen here"
            )
        };
        self.missing.iter().map(line).collect()
    }
}

/// A POSIX time as RFC 3339.
pub fn time(time_s: u64) -> String {
    let time = i64::try_from(time_s).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    time.map_or_else(|| format!("{time_s} s after 1970"), |time| time.to_string())
}
