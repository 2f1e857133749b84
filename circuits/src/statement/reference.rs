//! The statement checked in plain Rust, written from the spec page and not from the circuit: what
//! tests hold the circuit against, and what the prover asks before it proves.

use ark_bls12_381::Fr;
use ark_ff::{AdditiveGroup, BigInteger, PrimeField};

use super::Statement;
use crate::record::commit_elements;
use crate::value::null_field;

/// The first relation that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The record has another number of fields than the circuit holds at most.
    #[error("the record is wider than the circuit")]
    Width,
    /// The commitment is to another record, schema or salt.
    #[error("the record does not open the commitment")]
    Commitment,
    /// A bound is not below 2^64, or a bound is given where none is looked at.
    #[error("slot {0}: a bound is not a 64-bit integer")]
    Bound(usize),
    /// The value is of a type without order, or too far from its bounds to be compared.
    #[error("slot {0}: the field cannot be compared by order")]
    Order(usize),
    /// The disclosed value is not the field's.
    #[error("slot {0}: the disclosed value is not the field's")]
    Disclosed(usize),
    /// The claimed truth value is wrong.
    #[error("slot {0}: the claimed truth is not the comparison's")]
    Truth(usize),
    /// A position beyond the circuit's fields and its constant.
    #[error("slot {0}: no such position")]
    Position(usize),
}

/// Checks that `values` under `salt` satisfy the statement. `values` has as many elements as the
/// schema has fields.
///
/// # Errors
/// The first [`Violation`]; slots are numbered from 1.
pub(crate) fn check(statement: &Statement, values: &[Fr], salt: Fr) -> Result<(), Violation> {
    let fields = statement.circuit.fields();
    if values.len() > fields || crate::record::blocks(values.len()) != statement.circuit.blocks() {
        return Err(Violation::Width);
    }
    if commit_elements(statement.tag, values, salt) != statement.commitment {
        return Err(Violation::Commitment);
    }
    for (index, slot) in statement.slots.iter().enumerate() {
        let number = index + 1;
        let value = match slot.position {
            position if position > fields => return Err(Violation::Position(number)),
            position => values.get(position).copied().unwrap_or(Fr::ZERO),
        };
        if slot.disclose && value != slot.lo {
            return Err(Violation::Disclosed(number));
        }
        let truth = if slot.range {
            let (Some(lo), Some(hi)) = (as_u64(&slot.lo), as_u64(&slot.hi)) else {
                return Err(Violation::Bound(number));
            };
            if value == null_field() {
                None
            } else {
                let value = as_u64(&value).ok_or(Violation::Order(number))?;
                Some(lo <= value && value <= hi)
            }
        } else {
            if as_u64(&slot.hi).is_none() {
                return Err(Violation::Bound(number));
            }
            (value != null_field()).then_some(value == slot.lo)
        };
        let claimed = match (slot.null, slot.truth) {
            (true, true) => return Err(Violation::Truth(number)),
            (true, false) => None,
            (false, truth) => Some(truth),
        };
        if !slot.disclose && truth != claimed {
            return Err(Violation::Truth(number));
        }
    }
    Ok(())
}

fn as_u64(element: &Fr) -> Option<u64> {
    let integer = element.into_bigint();
    (integer.num_bits() <= 64).then(|| integer.as_ref().first().copied().unwrap_or(0))
}
