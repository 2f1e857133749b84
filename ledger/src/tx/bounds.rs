//! The bounds of a transaction, checked once, before anything else looks at it.

use std::collections::BTreeSet;

use sealgate_circuits::bytes::{DecodeError, PlaceKey};
use sealgate_circuits::question::{Item, Predicate, QuestionError};
use sealgate_circuits::schema::FIELDS_MAX;
use sealgate_circuits::schema::{Schema, SchemaError};

use super::{GrantTerms, TX_BYTES_MAX, TextContent, TxBody, VersionInfo, file_schema};
use crate::account::AccountError;
use crate::member::MemberError;

/// Largest budget of a column, in bits a record.
pub const BUDGET_BITS_MAX: u16 = 4096;
/// Largest sealed charges of an answer, in bytes: eight predicates on a column each, 1,000 keys,
/// for owner and auditor.
pub const CHARGES_BYTES_MAX: usize = 372 * 1024;
/// Smallest and largest padded answer, in bytes, and what sealing adds to either
/// (docs/spec/messages.md#envelopes).
pub const SEALED_BYTES_MIN: u32 = 8 << 10;
/// See [`SEALED_BYTES_MIN`].
pub const SEALED_BYTES_MAX: u32 = 8 << 20;
/// See [`SEALED_BYTES_MIN`].
pub const SEALED_OVERHEAD_BYTES: u32 = 48;
/// Longest name of an asset.
pub const ASSET_NAME_BYTES_MAX: usize = 64;
/// Longest title, in bytes.
pub const TITLE_BYTES_MAX: usize = 200;
/// Longest description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 4000;
/// Longest purpose, in bytes.
pub const PURPOSE_BYTES_MAX: usize = 200;
/// Names of the cipher suites that versions may be sealed with.
pub const CIPHER_SUITES: [&str; 2] = ["AES-256-GCM", "SM4-GCM"];
/// Names of the hash algorithms that ciphertexts may be hashed with.
pub const HASH_ALGORITHMS: [&str; 4] = ["BLAKE3", "SHA-256", "SHA3-256", "SM3"];
/// Longest sealed access information.
pub const ACCESS_BYTES_MAX: usize = 4096;
/// Longest sealed identity of an account.
pub const IDENTITY_BYTES_MAX: usize = 2048;
/// Longest text on the ledger, in bytes.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Most accounts that a text is sealed to.
pub const TEXT_COPIES_MAX: usize = 32;
/// Most predicates in one grant.
pub const PREDICATES_MAX: usize = 64;
/// Most records of one sample.
pub const SAMPLE_RECORDS_MAX: u16 = 1000;
/// Data type of records in columns.
pub const TABLE: &str = "table";
/// Data type of a file.
pub const FILE: &str = "file";

/// Why a transaction cannot be one, whatever the state of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// Too large.
    #[error("the transaction has {0} bytes; the most is {TX_BYTES_MAX}")]
    Size(usize),
    /// Not the canonical encoding.
    #[error("{0}")]
    Encoding(DecodeError),
    /// A text is too long or holds control characters.
    #[error("the {field} has {bytes} bytes or holds control characters; it takes {min} to {max} bytes without them")]
    Text {
        /// Which text.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The shortest.
        min: usize,
        /// The longest.
        max: usize,
    },
    /// The name of an asset has other characters than it may.
    #[error(
        "'{0}' cannot be an asset's name: a letter or _, then letters, digits, _ or -, at most {ASSET_NAME_BYTES_MAX}"
    )]
    AssetName(String),
    /// Contracts know two data types.
    #[error("the data type '{0}' is unknown; contracts know '{TABLE}' and '{FILE}'")]
    DataType(String),
    /// A file that is registered with a table's properties.
    #[error(
        "a file has one column 'content' that may be disclosed, no key, no budget and a place key of zeros; this one \
         has another {0}"
    )]
    File(&'static str),
    /// A cipher suite or hash algorithm that the ledger does not know.
    #[error("the {what} '{found}' is unknown; it is one of {}", known.join(", "))]
    Algorithm {
        /// "cipher suite" or "hash algorithm".
        what: &'static str,
        /// What was named.
        found: String,
        /// Those that are known.
        known: &'static [&'static str],
    },
    /// The schema is not one.
    #[error("the schema: {0}")]
    Schema(#[from] SchemaError),
    /// A shape or predicate does not fit the schema.
    #[error("{0}")]
    Question(#[from] QuestionError),
    /// The account is not one.
    #[error("{0}")]
    Account(#[from] AccountError),
    /// What is proposed is out of bounds.
    #[error("{0}")]
    Member(#[from] MemberError),
    /// Too long a sealed identity.
    #[error("the sealed identity has {0} bytes; the most is {IDENTITY_BYTES_MAX}")]
    Identity(usize),
    /// A sealed text with no copy, too many, or one that is no envelope of a text.
    #[error("a sealed text has 1 to {TEXT_COPIES_MAX} copies, each for another account, of {} bytes", SEALED_BYTES_MIN + SEALED_OVERHEAD_BYTES)]
    Copies,
    /// Version numbers begin at one.
    #[error("a version has number 1 or more; this one has {0}")]
    VersionNumber(u32),
    /// The record count tells more than it should.
    #[error("the record count {0} is not a power of two: round it up")]
    Records(u64),
    /// One seal per column.
    #[error("the version seals {found} columns; the schema has {expected}")]
    Columns {
        /// How many the version has.
        found: usize,
        /// How many the schema has.
        expected: usize,
    },
    /// Too much access information.
    #[error("the sealed access information has {0} bytes; the most is {ACCESS_BYTES_MAX}")]
    Access(usize),
    /// One budget a column, each in bounds.
    #[error("an asset names one budget for each of its {columns} columns, of 0 to {BUDGET_BITS_MAX} bits")]
    Budgets {
        /// How many columns there are.
        columns: usize,
    },
    /// Too many charges.
    #[error("the sealed charges have {0} bytes; the most is {CHARGES_BYTES_MAX}")]
    Charges(usize),
    /// No length of a padded answer.
    #[error(
        "no sealed answer has {0} bytes: {SEALED_OVERHEAD_BYTES} more than a power of two from {SEALED_BYTES_MIN} to \
         {SEALED_BYTES_MAX}"
    )]
    Sealed(u32),
    /// A length that tells more than it should.
    #[error("a delivery of {0} bytes: round the number up to a power of two")]
    Delivered(u64),
    /// No sample of so many records.
    #[error("a sample has 1 to {SAMPLE_RECORDS_MAX} records, not {0}")]
    Sample(u16),
    /// Whole columns out of order, repeated or none.
    #[error("whole columns are asked for by ascending positions, each once, and at least one")]
    WholeOrder,
    /// A question or a grant of fields at a file.
    #[error("a file has no records: grant it whole (--whole content) and fetch it; it takes no questions")]
    NoRecords,
    /// More items than a record has fields.
    #[error("the question has {0} items; the most is {FIELDS_MAX}")]
    Items(usize),
    /// Columns to disclose out of order or repeated.
    #[error("the columns to disclose, and those that may be fetched whole, must be ascending positions, each once")]
    DiscloseOrder,
    /// A column that the schema does not let anybody use so.
    #[error("column {column} ({name}) may not be {usage}: the asset's schema does not allow it")]
    Use {
        /// Its position.
        column: u8,
        /// Its name, or that there is none.
        name: String,
        /// "disclosed", "proven" or "fetched whole".
        usage: &'static str,
    },
    /// Too many predicates, or one twice.
    #[error("a grant names at most {PREDICATES_MAX} predicates, each once; this one has {0}")]
    Predicates(usize),
    /// The grant allows nothing.
    #[error("the grant allows nothing: name columns, predicates, existence or whole columns, or revoke instead")]
    Nothing,
    /// The window is empty.
    #[error("the grant ends at {until_ms} ms, before it begins at {not_before_ms} ms")]
    Window {
        /// Its beginning.
        not_before_ms: u64,
        /// Its end.
        until_ms: u64,
    },
}

/// Checks everything about a body that needs no state.
pub(super) fn check_body(body: &TxBody) -> Result<(), TxError> {
    match body {
        TxBody::OpenAccount { identity, .. } if identity.len() > IDENTITY_BYTES_MAX => {
            Err(TxError::Identity(identity.len()))
        }
        TxBody::OpenAccount { account, .. } | TxBody::ReplaceAccount { successor: account } => Ok(account.validate()?),
        TxBody::Propose { change } => Ok(change.validate()?),
        TxBody::RegisterAsset { name, title, description, data_type, schema, version, budgets, place_key } => {
            check_asset_name(name)?;
            text("title", title, 1, TITLE_BYTES_MAX)?;
            prose("description", description, DESCRIPTION_BYTES_MAX)?;
            match data_type.as_str() {
                TABLE => check_table(schema, budgets)?,
                FILE => check_file(schema, budgets, place_key)?,
                other => return Err(TxError::DataType(other.chars().take(40).collect())),
            }
            check_version_alone(version)?;
            check_version(version, schema)
        }
        TxBody::PublishVersion { version, .. } => check_version_alone(version),
        TxBody::Grant { terms, .. } => check_terms_alone(terms),
        TxBody::Answer { charges, .. } if charges.len() > CHARGES_BYTES_MAX => Err(TxError::Charges(charges.len())),
        TxBody::Answer { bytes, .. } => check_sealed(*bytes),
        TxBody::PutText { name, title, content } => {
            check_asset_name(name)?;
            text("title", title, 1, TITLE_BYTES_MAX)?;
            check_text(content)
        }
        TxBody::Revoke { .. }
        | TxBody::Decline { .. }
        | TxBody::Transfer { .. }
        | TxBody::Withdraw { .. }
        | TxBody::CloseAccount { .. }
        | TxBody::SampleResult { .. }
        | TxBody::Endorse { .. } => Ok(()),
        TxBody::RequestWhole { columns, purpose, .. } => {
            text("purpose", purpose, 0, PURPOSE_BYTES_MAX)?;
            if columns.is_empty() || columns.len() > FIELDS_MAX || !columns.is_sorted_by(|a, b| a < b) {
                return Err(TxError::WholeOrder);
            }
            Ok(())
        }
        TxBody::Deliver { bytes, .. } if *bytes != 0 && !bytes.is_power_of_two() => Err(TxError::Delivered(*bytes)),
        TxBody::RequestSample { records, .. } if !(1..=SAMPLE_RECORDS_MAX).contains(records) => {
            Err(TxError::Sample(*records))
        }
        TxBody::Deliver { .. } | TxBody::RequestSample { .. } => Ok(()),
        TxBody::Request { shape, purpose, .. } => {
            text("purpose", purpose, 0, PURPOSE_BYTES_MAX)?;
            if shape.items.len() > FIELDS_MAX {
                return Err(TxError::Items(shape.items.len()));
            }
            for item in &shape.items {
                if let Item::Prove(predicate) = item {
                    predicate.check_size()?;
                }
            }
            Ok(())
        }
    }
}

fn check_table(schema: &Schema, budgets: &[u16]) -> Result<(), TxError> {
    schema.validate()?;
    if budgets.len() != schema.columns.len() || budgets.iter().any(|bits| *bits > BUDGET_BITS_MAX) {
        return Err(TxError::Budgets { columns: schema.columns.len() });
    }
    Ok(())
}

fn check_file(schema: &Schema, budgets: &[u16], place_key: &PlaceKey) -> Result<(), TxError> {
    if *schema != file_schema() {
        return Err(TxError::File("schema"));
    }
    if budgets != [0] {
        return Err(TxError::File("budget"));
    }
    if place_key.0 != [0; 32] {
        return Err(TxError::File("place key"));
    }
    Ok(())
}

/// Checks that columns which are to be fetched whole exist.
pub(crate) fn check_columns(columns: &[u8], schema: &Schema) -> Result<(), TxError> {
    let missing = columns.iter().find(|column| schema.at(**column).is_none());
    missing.map_or(Ok(()), |column| {
        Err(TxError::Use { column: *column, name: "there is none".to_owned(), usage: "fetched whole" })
    })
}

/// Checks a version against its asset's schema.
pub(crate) fn check_version(version: &VersionInfo, schema: &Schema) -> Result<(), TxError> {
    if version.columns.len() != schema.columns.len() {
        return Err(TxError::Columns { found: version.columns.len(), expected: schema.columns.len() });
    }
    Ok(())
}

/// Checks a grant's terms against the asset's schema.
pub(crate) fn check_terms(terms: &GrantTerms, data_type: &str, schema: &Schema) -> Result<(), TxError> {
    if data_type == FILE && !(terms.disclose.is_empty() && terms.prove.is_empty() && !terms.existence) {
        return Err(TxError::NoRecords);
    }
    let refuse = |column: u8, usage| {
        let name = schema.at(column).map_or_else(|| "there is none".to_owned(), |c| c.name.clone());
        Err(TxError::Use { column, name, usage })
    };
    for (columns, usage) in [(&terms.disclose, "disclosed"), (&terms.whole, "fetched whole")] {
        if let Some(column) = columns.iter().find(|c| !schema.at(**c).is_some_and(|c| c.allowed.disclose)) {
            return refuse(*column, usage);
        }
    }
    for predicate in &terms.prove {
        predicate.validate(schema)?;
        for column in predicate.columns() {
            if !schema.at(column).is_some_and(|c| c.allowed.prove) {
                return refuse(column, "proven");
            }
        }
    }
    Ok(())
}

fn check_terms_alone(terms: &GrantTerms) -> Result<(), TxError> {
    text("purpose", &terms.purpose, 0, PURPOSE_BYTES_MAX)?;
    if [&terms.disclose, &terms.whole].iter().any(|columns| !columns.is_sorted_by(|a, b| a < b)) {
        return Err(TxError::DiscloseOrder);
    }
    terms.prove.iter().try_for_each(Predicate::check_size)?;
    let distinct: BTreeSet<_> = terms.prove.iter().collect();
    if terms.prove.len() > PREDICATES_MAX || distinct.len() != terms.prove.len() {
        return Err(TxError::Predicates(terms.prove.len()));
    }
    if terms.disclose.is_empty() && terms.prove.is_empty() && !terms.existence && terms.whole.is_empty() {
        return Err(TxError::Nothing);
    }
    match (terms.not_before_ms, terms.until_ms) {
        (Some(not_before_ms), Some(until_ms)) if until_ms < not_before_ms => {
            Err(TxError::Window { not_before_ms, until_ms })
        }
        _ => Ok(()),
    }
}

fn check_text(content: &TextContent) -> Result<(), TxError> {
    match content {
        TextContent::Public(content) => prose("text", content, TEXT_BYTES_MAX),
        TextContent::Sealed(copies) => {
            let whole = usize::try_from(SEALED_BYTES_MIN + SEALED_OVERHEAD_BYTES).unwrap_or(usize::MAX);
            let readers: BTreeSet<_> = copies.iter().map(|copy| copy.to).collect();
            let good = (1..=TEXT_COPIES_MAX).contains(&copies.len())
                && readers.len() == copies.len()
                && copies.iter().all(|copy| copy.envelope.len() == whole);
            if good { Ok(()) } else { Err(TxError::Copies) }
        }
    }
}

fn check_version_alone(version: &VersionInfo) -> Result<(), TxError> {
    if version.number == 0 {
        return Err(TxError::VersionNumber(0));
    }
    if !version.records_rounded.is_power_of_two() {
        return Err(TxError::Records(version.records_rounded));
    }
    algorithm("cipher suite", &version.cipher_suite, &CIPHER_SUITES)?;
    algorithm("hash algorithm", &version.hash_algorithm, &HASH_ALGORITHMS)?;
    if version.access.len() > ACCESS_BYTES_MAX {
        return Err(TxError::Access(version.access.len()));
    }
    Ok(())
}

/// That answers are padded: their length is on the ledger, and tells no more than padding leaves.
fn check_sealed(bytes: u32) -> Result<(), TxError> {
    let padded = bytes.saturating_sub(SEALED_OVERHEAD_BYTES);
    if padded.is_power_of_two() && (SEALED_BYTES_MIN..=SEALED_BYTES_MAX).contains(&padded) {
        Ok(())
    } else {
        Err(TxError::Sealed(bytes))
    }
}

fn check_asset_name(name: &str) -> Result<(), TxError> {
    let mut chars = name.chars();
    let good = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && name.len() <= ASSET_NAME_BYTES_MAX;
    if good { Ok(()) } else { Err(TxError::AssetName(name.escape_debug().take(80).collect())) }
}

fn algorithm(what: &'static str, found: &str, known: &'static [&'static str]) -> Result<(), TxError> {
    if known.contains(&found) {
        return Ok(());
    }
    Err(TxError::Algorithm { what, found: found.escape_debug().take(40).collect(), known })
}

/// One line of text.
fn text(field: &'static str, value: &str, min: usize, max: usize) -> Result<(), TxError> {
    let bytes = value.len();
    if bytes < min || bytes > max || value.chars().any(char::is_control) {
        return Err(TxError::Text { field, bytes, min, max });
    }
    Ok(())
}

/// Text that may have line breaks.
fn prose(field: &'static str, value: &str, max: usize) -> Result<(), TxError> {
    let bytes = value.len();
    if bytes > max || value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(TxError::Text { field, bytes, min: 0, max });
    }
    Ok(())
}
