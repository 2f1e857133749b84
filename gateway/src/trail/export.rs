//! A trail as a file that its maker signed (docs/spec/trail.md#signed-export).

use sealgate_circuits::bytes::tagged_hash;
use sealgate_ledger::account::{AccountError, AccountPublic, AccountSecret, Signature};
use sealgate_ledger::checkpoint::Checkpoint;
use sealgate_ledger::ids::{BlockHeight, ChainId, Digest};
use serde::{Deserialize, Serialize};

use super::{Became, Filter, Line, Trail, time_text};

/// The format's name.
const FORMAT: &str = "sealgate-trail/2";
/// Domain of the signature.
const DOMAIN: &str = "sealgate/trail-export/1";
/// Largest file that is read, in bytes.
pub const EXPORT_BYTES_MAX: u64 = 1 << 30;

/// What an exporter signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`FORMAT`].
    format: String,
    /// The ledger.
    pub chain: ChainId,
    /// As of this block.
    pub height: BlockHeight,
    /// Its time, RFC 3339.
    pub time: String,
    /// The same in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
    /// Size and root of the ledger's tree then.
    pub checkpoint: Checkpoint,
    /// What was looked for.
    pub filter: Filter,
    /// How many lines there are.
    pub count: u64,
    /// What was found: every line that the filter keeps, in the order of entries.
    pub lines: Vec<Line>,
    /// Who says so.
    pub exporter: AccountPublic,
}

/// A statement and its signature, as they are in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    trail: Statement,
    signature: Signature,
}

/// Why a file is not a trail that its exporter signed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// No such JSON.
    #[error("it is no {FORMAT}: {0}")]
    Form(String),
    /// The same content, written otherwise.
    #[error("it is not in the one spelling of its content: it was changed after it was made")]
    Spelling,
    /// The signature is not its exporter's.
    #[error("its signature is not its exporter's: {0}")]
    Signature(#[from] AccountError),
    /// Not what the ledger gives.
    #[error("the ledger gives another {what} as of block {height}")]
    Differs {
        /// What differs.
        what: String,
        /// As of when.
        height: BlockHeight,
    },
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, ExportError> {
    serde_json::to_vec(value).map_err(|error| ExportError::Form(error.to_string()))
}

/// The file: one line of JSON without spaces, members in the order of the specification.
///
/// # Errors
/// None in practice: it is written to memory.
pub fn sign(trail: Trail, filter: Filter, exporter: &AccountSecret) -> Result<Vec<u8>, ExportError> {
    let trail = Statement {
        format: FORMAT.into(),
        chain: trail.chain,
        height: trail.height,
        time: time_text(trail.time_ms),
        time_ms: trail.time_ms,
        checkpoint: trail.checkpoint,
        filter,
        count: trail.lines.len() as u64,
        lines: trail.lines,
        exporter: exporter.public().clone(),
    };
    let signature = exporter.sign(DOMAIN, &json(&trail)?);
    file(&Signed { trail, signature })
}

fn file(signed: &Signed) -> Result<Vec<u8>, ExportError> {
    let mut bytes = json(signed)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a file and checks its spelling and signature. Whether the exporter is to be believed, and
/// whether a ledger gives these lines, is for the caller.
///
/// # Errors
/// [`ExportError`].
pub fn verify(bytes: &[u8]) -> Result<Statement, ExportError> {
    let signed: Signed = serde_json::from_slice(bytes).map_err(|error| ExportError::Form(error.to_string()))?;
    if signed.trail.format != FORMAT {
        let found: String = signed.trail.format.escape_debug().take(40).collect();
        return Err(ExportError::Form(format!("its format is '{found}'")));
    }
    if file(&signed)? != bytes {
        return Err(ExportError::Spelling);
    }
    if !signed.trail.is_consistent() {
        return Err(ExportError::Form("its count, times or order do not agree with its lines".into()));
    }
    signed.trail.exporter.validate()?;
    signed.trail.exporter.verify(DOMAIN, &json(&signed.trail)?, &signed.signature)?;
    Ok(signed.trail)
}

/// Digest of a file, to name it by.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(tagged_hash("sealgate/trail-file/1", &[bytes]))
}

impl Statement {
    /// Whether what is said twice is said alike, and the lines are in order, each once.
    fn is_consistent(&self) -> bool {
        let alike = |line: &Line| {
            line.time == time_text(line.time_ms)
                && line.outcome == Became::of(&line.status)
                && line.block <= self.height
                && line.entry < self.checkpoint.size
        };
        self.count == self.lines.len() as u64
            && self.time == time_text(self.time_ms)
            && self.lines.iter().all(alike)
            && self.lines.is_sorted_by(|a, b| a.entry < b.entry)
    }

    /// Checks that the ledger, replayed up to the statement's block and filtered in the same way,
    /// gives exactly this.
    ///
    /// # Errors
    /// [`ExportError::Differs`] naming the first difference.
    pub fn matches(&self, trail: &Trail) -> Result<(), ExportError> {
        let differs = |what: &str| Err(ExportError::Differs { what: what.to_owned(), height: self.height });
        if (self.chain, self.height) != (trail.chain, trail.height) {
            return differs("ledger or height");
        }
        if self.checkpoint != trail.checkpoint {
            return differs("checkpoint");
        }
        if (self.time_ms, self.time.as_str()) != (trail.time_ms, time_text(trail.time_ms).as_str()) {
            return differs("time");
        }
        if let Some(at) = self.lines.iter().zip(&trail.lines).position(|(ours, theirs)| ours != theirs) {
            return differs(&format!("line {}", at + 1));
        }
        if self.lines.len() != trail.lines.len() || self.count != self.lines.len() as u64 {
            return differs("number of lines");
        }
        Ok(())
    }
}
