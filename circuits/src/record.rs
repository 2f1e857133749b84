//! Record commitments: one hiding, binding field element for a record, which the circuits open
//! field by field (docs/spec/record.md).

use std::sync::LazyLock;

use ark_bls12_381::Fr;
use ark_ff::{BigInteger, PrimeField, Zero};
use sha2::{Digest as _, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::byte_newtype;
use crate::bytes::{DecodeError, tagged_hash};
use crate::poseidon::{Poseidon, initial_state};
use crate::schema::Schema;
use crate::value::{Value, ValueError, hash_to_field};

/// Width of the permutation: a capacity lane and [`RATE`] more.
pub const WIDTH: usize = 17;
/// Field elements absorbed by one permutation.
pub const RATE: usize = WIDTH - 1;

/// The permutation of every record commitment.
pub(crate) static PERMUTATION: LazyLock<Poseidon<WIDTH>> = LazyLock::new(Poseidon::generate);

byte_newtype!(
    /// A record commitment: a field element, 32 bytes little-endian, below r.
    RecordCommitment, 32, "record commitment"
);

impl RecordCommitment {
    /// The field element.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not below r.
    pub fn to_field(&self) -> Result<Fr, DecodeError> {
        field_from_bytes(&self.0)
            .ok_or_else(|| DecodeError::new("record commitment", "a number below r", self.to_string()))
    }
}

/// The canonical 32 little-endian bytes of a field element.
pub(crate) fn field_to_bytes(element: &Fr) -> [u8; 32] {
    let mut out = [0u8; 32];
    for (to, from) in out.iter_mut().zip(element.into_bigint().to_bytes_le()) {
        *to = from;
    }
    out
}

/// Reads 32 little-endian bytes; `None` at r or above.
pub(crate) fn field_from_bytes(bytes: &[u8; 32]) -> Option<Fr> {
    let element = Fr::from_le_bytes_mod_order(bytes);
    (field_to_bytes(&element) == *bytes).then_some(element)
}

/// The random-looking element that hides a record in its commitment. Whoever holds it and guesses
/// the values can check the guess.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Salt([u8; 32]);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(…)")
    }
}

impl Salt {
    /// Derives the salt of one record: a 512-bit PRF output over the record's key and the version
    /// that last wrote it, reduced modulo r. `commitment_key` belongs to the asset and does not
    /// rotate (DESIGN: a revoked requester cannot guess later values from earlier ones).
    pub fn derive(commitment_key: &[u8; 32], key_bytes: &[u8], written_version: u32) -> Salt {
        // A fixed-length key in front and SHA-512's output kept inside: prefix-MAC is safe here
        // because the message is hashed to a fixed length first.
        let mut message = tagged_hash("sealgate/salt/1", &[key_bytes, &written_version.to_le_bytes()]);
        let mut wide = Sha512::new().chain_update(commitment_key).chain_update(message).finalize();
        let element = Fr::from_le_bytes_mod_order(&wide);
        message.zeroize();
        wide.as_mut_slice().zeroize();
        Salt(field_to_bytes(&element))
    }

    /// Checks that bytes from outside are those of a field element: a salt has one spelling.
    ///
    /// # Errors
    /// [`DecodeError`] at r or above.
    pub(crate) fn check(&self) -> Result<(), DecodeError> {
        let fits = field_from_bytes(&self.0).is_some();
        fits.then_some(()).ok_or_else(|| DecodeError::new("salt", "a number below r", "a larger one"))
    }

    /// The field element.
    pub(crate) fn to_field(&self) -> Fr {
        Fr::from_le_bytes_mod_order(&self.0)
    }
}

/// Number of permutations, and so the circuit, that records of this many fields need.
pub(crate) fn blocks(fields: usize) -> usize {
    if fields < RATE { 1 } else { 2 }
}

/// The domain tag in the capacity lane: which schema, how many fields.
pub fn domain_tag(schema: &Schema) -> Fr {
    let fields = (schema.columns.len() as u64).to_le_bytes();
    hash_to_field("sealgate/record/1", &[schema.digest().as_bytes(), &fields])
}

/// Commits to records of one schema.
pub struct RecordHasher {
    schema: Schema,
    tag: Fr,
}

impl RecordHasher {
    /// Prepares the domain tag. The schema must have passed [`Schema::validate`].
    pub fn new(schema: &Schema) -> Self {
        Self { tag: domain_tag(schema), schema: schema.clone() }
    }

    /// The commitment to `values`, one for each column of the schema, under `salt`.
    ///
    /// # Errors
    /// [`ValueError::WrongKind`] when a value does not fit its column or the number differs.
    pub fn commit(&self, values: &[Value], salt: &Salt) -> Result<RecordCommitment, ValueError> {
        let elements = self.elements(values)?;
        Ok(RecordCommitment(field_to_bytes(&commit_elements(self.tag, &elements, salt.to_field()))))
    }

    /// The field elements of a record's values.
    pub(crate) fn elements(&self, values: &[Value]) -> Result<Vec<Fr>, ValueError> {
        for (column, value) in self.schema.columns.iter().zip(values) {
            if !value.fits(column.kind) {
                return Err(ValueError::WrongKind { kind: column.kind });
            }
        }
        match self.schema.columns.get(values.len().min(self.schema.columns.len() - 1)) {
            Some(column) if values.len() != self.schema.columns.len() => {
                Err(ValueError::WrongKind { kind: column.kind })
            }
            _ => Ok(values.iter().map(Value::to_field).collect()),
        }
    }
}

/// The sponge: values padded with zero to the family's capacity, the salt last; one block of 16,
/// or two. The number of fields stands in the tag, so padding is unambiguous.
pub(crate) fn commit_elements(tag: Fr, values: &[Fr], salt: Fr) -> Fr {
    let lanes = blocks(values.len()) * RATE;
    let mut input: Vec<Fr> = values.to_vec();
    input.resize(lanes - 1, Fr::zero());
    input.push(salt);
    let mut state = initial_state::<WIDTH>(tag);
    let mut blocks = input.chunks(RATE).peekable();
    while let Some(block) = blocks.next() {
        for (lane, element) in state.iter_mut().skip(1).zip(block) {
            *lane += element;
        }
        if blocks.peek().is_none() {
            return PERMUTATION.squeeze(&mut state);
        }
        PERMUTATION.permute(&mut state);
    }
    Fr::zero()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, ColumnUse};
    use crate::value::ColumnType;

    fn schema(fields: usize) -> Schema {
        let column = |i| Column {
            name: format!("c{i}"),
            kind: ColumnType::Int,
            allowed: ColumnUse { disclose: true, prove: true },
        };
        Schema { columns: (0..fields).map(column).collect(), key: vec![0] }
    }

    #[test]
    fn everything_committed_to_changes_the_commitment() {
        for fields in [1, 15, 16, 31] {
            let hasher = RecordHasher::new(&schema(fields));
            let values: Vec<Value> = (0..fields as i64).map(Value::Int).collect();
            let salt = Salt::derive(&[7; 32], b"key", 1);
            let commitment = hasher.commit(&values, &salt).unwrap();
            assert_eq!(commitment, hasher.commit(&values, &salt).unwrap());
            for i in 0..fields {
                let mut other = values.clone();
                other[i] = Value::Null;
                assert_ne!(commitment, hasher.commit(&other, &salt).unwrap());
            }
            for salt in [
                Salt::derive(&[7; 32], b"key", 2),
                Salt::derive(&[7; 32], b"kez", 1),
                Salt::derive(&[8; 32], b"key", 1),
            ] {
                assert_ne!(commitment, hasher.commit(&values, &salt).unwrap());
            }
            assert!(hasher.commit(&values[1..], &salt).is_err());
            let mut wrong = values.clone();
            wrong[0] = Value::Bool(true);
            assert!(hasher.commit(&wrong, &salt).is_err());
        }
    }

    #[test]
    fn padding_is_not_a_value() {
        // 14 zeros under one schema and 15 under another differ by their tags.
        let salt = Salt::derive(&[1; 32], b"k", 1);
        let zeros = |n: usize| RecordHasher::new(&schema(n)).commit(&vec![Value::Int(i64::MIN); n], &salt).unwrap();
        assert_ne!(zeros(14), zeros(15));
    }

    #[test]
    fn numbers_from_r_up_are_refused() {
        let mut r = [0u8; 32];
        r.copy_from_slice(&Fr::MODULUS.to_bytes_le());
        assert!(RecordCommitment(r).to_field().is_err());
        r[0] -= 1;
        assert!(RecordCommitment(r).to_field().is_ok());
        assert!(RecordCommitment([255; 32]).to_field().is_err());
    }
}
