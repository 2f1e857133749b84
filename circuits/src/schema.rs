//! The public schema of a table: its fields in order, and the columns that make a key.

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bytes::{SchemaDigest, tagged_hash};
use crate::value::{ColumnType, Value, ValueError};

/// Most fields a record may have.
pub const FIELDS_MAX: usize = 31;
/// Longest column name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// What the owner allows a column to be used for at all; grants choose within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct ColumnUse {
    /// Its value may be disclosed.
    pub disclose: bool,
    /// Predicates on it may be proven.
    pub prove: bool,
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Column {
    /// Its name, as questions spell it.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
    /// What it may be used for.
    pub allowed: ColumnUse,
}

/// The fields of a record in order, and which of them form its key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Schema {
    /// 1 to [`FIELDS_MAX`] columns with distinct names.
    pub columns: Vec<Column>,
    /// Positions in `columns` of the key, in the order in which a key is spelled.
    pub key: Vec<u8>,
}

/// Why a schema is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Too few or too many columns.
    #[error("a record has {0} fields; the circuits hold 1 to {FIELDS_MAX}: leave some columns out of the manifest")]
    Width(usize),
    /// A name is empty, too long, or holds control characters.
    #[error("'{0}' cannot be a column name: 1 to {NAME_BYTES_MAX} bytes, no control characters")]
    Name(String),
    /// Two columns share a name (upper and lower case are not told apart).
    #[error("two columns are named '{0}'")]
    Repeated(String),
    /// The key is empty, repeats a column or points outside.
    #[error("the key must name one or more distinct columns of the table")]
    Key,
    /// A type the circuits do not have, or too large a scale.
    #[error("column '{0}': {1}")]
    Type(String, ValueError),
}

impl Schema {
    /// Checks every rule above; whatever comes from outside passes here first.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), SchemaError> {
        if self.columns.is_empty() || self.columns.len() > FIELDS_MAX {
            return Err(SchemaError::Width(self.columns.len()));
        }
        let mut seen = std::collections::BTreeSet::new();
        for column in &self.columns {
            let name = &column.name;
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
                return Err(SchemaError::Name(name.escape_debug().take(60).collect()));
            }
            if !seen.insert(name.to_lowercase()) {
                return Err(SchemaError::Repeated(name.clone()));
            }
            // A scale can only come this far through borsh, which knows no bounds.
            column.kind.to_string().parse::<ColumnType>().map_err(|error| SchemaError::Type(name.clone(), error))?;
        }
        let distinct: std::collections::BTreeSet<u8> = self.key.iter().copied().collect();
        let inside = self.key.iter().all(|i| usize::from(*i) < self.columns.len());
        if self.key.is_empty() || distinct.len() != self.key.len() || !inside {
            return Err(SchemaError::Key);
        }
        Ok(())
    }

    /// Digest of names, types, uses and key: part of every record's domain tag.
    pub fn digest(&self) -> SchemaDigest {
        let bytes = borsh::to_vec(self).unwrap_or_default();
        SchemaDigest(tagged_hash("sealgate/schema/1", &[&bytes]))
    }

    /// Position and description of the column called `name` (case-insensitive, as in SQL).
    pub fn column(&self, name: &str) -> Option<(u8, &Column)> {
        let index = self.columns.iter().position(|c| c.name.to_lowercase() == name.to_lowercase())?;
        Some((u8::try_from(index).ok()?, self.columns.get(index)?))
    }

    /// The column at `position`.
    pub fn at(&self, position: u8) -> Option<&Column> {
        self.columns.get(usize::from(position))
    }

    /// The key columns in order.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|i| self.at(*i))
    }

    /// The canonical bytes of a key: what the verifiable random function maps to a place.
    /// `values` in the order of [`Schema::key`], none of them null.
    ///
    /// # Errors
    /// [`ValueError::WrongKind`] when number or types differ, or a value is null.
    pub fn key_bytes(&self, values: &[Value]) -> Result<Vec<u8>, ValueError> {
        let mut out = Vec::with_capacity(32);
        let first = self.key_columns().next().map_or(ColumnType::Int, |c| c.kind);
        if values.len() != self.key.len() {
            return Err(ValueError::WrongKind { kind: first });
        }
        for (column, value) in self.key_columns().zip(values) {
            if *value == Value::Null || !value.fits(column.kind) {
                return Err(ValueError::WrongKind { kind: column.kind });
            }
            out.extend(borsh::to_vec(value).unwrap_or_default());
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: ColumnType) -> Column {
        Column { name: name.into(), kind, allowed: ColumnUse { disclose: true, prove: true } }
    }

    #[test]
    fn bad_schemas_are_refused() {
        let good = Schema { columns: vec![column("a", ColumnType::Int), column("b", ColumnType::Text)], key: vec![0] };
        good.validate().unwrap();
        let bad = |change: &dyn Fn(&mut Schema)| {
            let mut schema = good.clone();
            change(&mut schema);
            schema.validate().unwrap_err()
        };
        assert_eq!(bad(&|s| s.columns.clear()), SchemaError::Width(0));
        assert_eq!(bad(&|s| s.columns = vec![column("x", ColumnType::Int); 32]), SchemaError::Width(32));
        assert!(matches!(bad(&|s| s.columns[1].name = "A".into()), SchemaError::Repeated(_)));
        assert!(matches!(bad(&|s| s.columns[1].name = "a\nb".into()), SchemaError::Name(_)));
        assert!(matches!(bad(&|s| s.columns[1].kind = ColumnType::Decimal(200)), SchemaError::Type(..)));
        for key in [vec![], vec![2], vec![0, 0]] {
            assert_eq!(bad(&|s| s.key = key.clone()), SchemaError::Key);
        }
    }

    #[test]
    fn keys_of_several_columns_do_not_run_together() {
        let schema =
            Schema { columns: vec![column("a", ColumnType::Text), column("b", ColumnType::Text)], key: vec![0, 1] };
        let bytes = |a: &str, b: &str| schema.key_bytes(&[Value::Text(a.into()), Value::Text(b.into())]).unwrap();
        assert_ne!(bytes("ab", "c"), bytes("a", "bc"));
        assert!(schema.key_bytes(&[Value::Text("a".into())]).is_err());
        assert!(schema.key_bytes(&[Value::Text("a".into()), Value::Null]).is_err());
    }
}
