//! The bounds of a transaction, checked once, before anything else looks at it.

use std::collections::BTreeSet;

use sealgate_circuits::bytes::DecodeError;
use sealgate_circuits::question::{Item, Predicate, QuestionError};
use sealgate_circuits::schema::FIELDS_MAX;
use sealgate_circuits::schema::{Schema, SchemaError};

use super::{GrantTerms, TX_BYTES_MAX, TextContent, TxBody, VersionInfo};
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
/// Longest name of a cipher suite or hash algorithm, in bytes.
pub const SUITE_BYTES_MAX: usize = 64;
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
/// The one type of data that contracts know.
const DATA_TYPE: &str = "table";

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
    /// Contracts know one data type.
    #[error("the data type '{0}' is unknown; contracts know '{DATA_TYPE}'")]
    DataType(String),
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
    /// More items than a record has fields.
    #[error("the question has {0} items; the most is {FIELDS_MAX}")]
    Items(usize),
    /// Columns to disclose out of order or repeated.
    #[error("the columns to disclose must be ascending positions, each once")]
    DiscloseOrder,
    /// A column that the schema does not let anybody use so.
    #[error("column {column} ({name}) may not be {usage}: the asset's schema does not allow it")]
    Use {
        /// Its position.
        column: u8,
        /// Its name, or that there is none.
        name: String,
        /// "disclosed" or "proven".
        usage: &'static str,
    },
    /// Too many predicates, or one twice.
    #[error("a grant names at most {PREDICATES_MAX} predicates, each once; this one has {0}")]
    Predicates(usize),
    /// The grant allows nothing.
    #[error("the grant allows nothing: name columns, predicates or existence, or revoke instead")]
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
        TxBody::RegisterAsset { name, title, description, data_type, schema, version, budgets, place_key: _ } => {
            check_asset_name(name)?;
            text("title", title, 1, TITLE_BYTES_MAX)?;
            prose("description", description, DESCRIPTION_BYTES_MAX)?;
            if data_type != DATA_TYPE {
                return Err(TxError::DataType(data_type.chars().take(40).collect()));
            }
            schema.validate()?;
            if budgets.len() != schema.columns.len() || budgets.iter().any(|bits| *bits > BUDGET_BITS_MAX) {
                return Err(TxError::Budgets { columns: schema.columns.len() });
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
        | TxBody::Endorse { .. } => Ok(()),
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

/// Checks a version against its asset's schema.
pub(crate) fn check_version(version: &VersionInfo, schema: &Schema) -> Result<(), TxError> {
    if version.columns.len() != schema.columns.len() {
        return Err(TxError::Columns { found: version.columns.len(), expected: schema.columns.len() });
    }
    Ok(())
}

/// Checks a grant's terms against the asset's schema.
pub(crate) fn check_terms(terms: &GrantTerms, schema: &Schema) -> Result<(), TxError> {
    let refuse = |column: u8, usage| {
        let name = schema.at(column).map_or_else(|| "there is none".to_owned(), |c| c.name.clone());
        Err(TxError::Use { column, name, usage })
    };
    for column in &terms.disclose {
        if !schema.at(*column).is_some_and(|c| c.allowed.disclose) {
            return refuse(*column, "disclosed");
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
    if !terms.disclose.is_sorted_by(|a, b| a < b) {
        return Err(TxError::DiscloseOrder);
    }
    terms.prove.iter().try_for_each(Predicate::check_size)?;
    let distinct: BTreeSet<_> = terms.prove.iter().collect();
    if terms.prove.len() > PREDICATES_MAX || distinct.len() != terms.prove.len() {
        return Err(TxError::Predicates(terms.prove.len()));
    }
    if terms.disclose.is_empty() && terms.prove.is_empty() && !terms.existence {
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
    text("cipher suite", &version.cipher_suite, 1, SUITE_BYTES_MAX)?;
    text("hash algorithm", &version.hash_algorithm, 1, SUITE_BYTES_MAX)?;
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
