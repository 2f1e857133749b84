//! The statement checked in plain Rust, written from the spec page and not from the circuit: what
//! tests hold the circuit against, and what the prover asks before it proves.

use ark_bls12_381::Fr;
use ark_ff::{AdditiveGroup, BigInteger, PrimeField};

use super::{Statement, Term, Test};
use crate::question::{Connective, LEVELS_MAX};
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
    /// Terms or constants are not as many as the circuit has.
    #[error("the statement does not have the circuit's number of terms and constants")]
    Terms,
    /// A bound is not below 2^64, or a bound is given where none is looked at.
    #[error("term {0}: a bound is not a 64-bit integer")]
    Bound(usize),
    /// The value is of a type without order, or too far from its bounds to be compared.
    #[error("term {0}: the field cannot be compared by order")]
    Order(usize),
    /// The disclosed value is not the field's.
    #[error("term {0}: the disclosed value is not the field's")]
    Disclosed(usize),
    /// The claimed truth value is wrong, or claimed where no predicate ends.
    #[error("term {0}: the claimed truth is not the predicate's")]
    Truth(usize),
    /// A position beyond the circuit's fields and its constant.
    #[error("term {0}: no such position")]
    Position(usize),
    /// A joint, negation or test that the circuit does not have, or that a disclosure cannot have.
    #[error("term {0}: the circuit cannot join or negate it like this")]
    Joint(usize),
}

/// Checks that `values` under `salt` satisfy the statement. `values` has as many elements as the
/// schema has fields.
///
/// # Errors
/// The first [`Violation`]; terms are numbered from 1.
pub(crate) fn check(statement: &Statement, values: &[Fr], salt: Fr) -> Result<(), Violation> {
    let circuit = statement.circuit;
    if values.len() > circuit.fields() || crate::record::blocks(values.len()) != circuit.blocks() {
        return Err(Violation::Width);
    }
    if commit_elements(statement.tag, values, salt) != statement.commitment {
        return Err(Violation::Commitment);
    }
    let formed = statement.terms.iter().all(|term| term.constants.len() == circuit.constants());
    if !formed || statement.terms.len() != circuit.terms() {
        return Err(Violation::Terms);
    }
    let mut group: Vec<(Option<bool>, u8)> = Vec::new();
    for (number, term) in (1..).zip(&statement.terms) {
        let value = match term.position {
            position if position > circuit.fields() => return Err(Violation::Position(number)),
            position => values.get(position).copied().unwrap_or(Fr::ZERO),
        };
        let alone = term.joint == 0 && !term.negated;
        let known = circuit.joins() || (alone && term.test != Test::Null);
        if !known || term.joint > LEVELS_MAX || (term.test == Test::Disclose && !(alone && group.is_empty())) {
            return Err(Violation::Joint(number));
        }
        let truth = outcome(statement, term, value, number)?;
        if term.test == Test::Disclose {
            continue;
        }
        group.push((if term.negated { truth.map(|truth| !truth) } else { truth }, term.joint));
        let claimed = match (term.joint, term.null, term.truth) {
            (1.., false, false) => continue,
            (0, true, false) => None,
            (0, false, truth) => Some(truth),
            _ => return Err(Violation::Truth(number)),
        };
        if joined(&std::mem::take(&mut group)) != claimed {
            return Err(Violation::Truth(number));
        }
    }
    // A last predicate without an end claims nothing.
    if group.is_empty() { Ok(()) } else { Err(Violation::Joint(circuit.terms())) }
}

/// What the term's test says of `value`; a disclosure is checked on the way.
fn outcome(statement: &Statement, term: &Term, value: Fr, number: usize) -> Result<Option<bool>, Violation> {
    let null = value == null_field();
    let (lo, hi) = term.bounds();
    match term.test {
        Test::Disclose if value != lo => return Err(Violation::Disclosed(number)),
        Test::Disclose => return Ok(None),
        Test::Null => return Ok(Some(null)),
        // Where there are no sets, hi is looked at by the range alone and stays small.
        Test::Set if !statement.circuit.joins() && as_u64(&hi).is_none() => return Err(Violation::Bound(number)),
        Test::Set if null => return Ok(None),
        Test::Set if statement.circuit.joins() => return Ok(Some(term.constants.contains(&value))),
        Test::Set => return Ok(Some(value == lo)),
        Test::Range => {}
    }
    let (Some(lo), Some(hi)) = (as_u64(&lo), as_u64(&hi)) else {
        return Err(Violation::Bound(number));
    };
    if null {
        return Ok(None);
    }
    let value = as_u64(&value).ok_or(Violation::Order(number))?;
    Ok(Some(lo <= value && value <= hi))
}

/// The truth of a predicate, from its terms' truths and the level at which each is joined with the
/// next: cut at the highest level, and so on inside.
fn joined(terms: &[(Option<bool>, u8)]) -> Option<bool> {
    let [inner @ .., (last, _)] = terms else { return None };
    let Some(level) = inner.iter().map(|(_, joint)| *joint).max() else { return *last };
    let mut rest = terms;
    let mut truths = Vec::new();
    while let Some(cut) = rest.iter().position(|(_, joint)| *joint == level).filter(|cut| cut + 1 < rest.len()) {
        let (group, tail) = rest.split_at(cut + 1);
        truths.push(joined(group));
        rest = tail;
    }
    truths.push(joined(rest));
    match Connective::of(level) {
        Connective::And if truths.contains(&Some(false)) => Some(false),
        Connective::Or if truths.contains(&Some(true)) => Some(true),
        _ if truths.contains(&None) => None,
        Connective::And => Some(true),
        Connective::Or => Some(false),
    }
}

fn as_u64(element: &Fr) -> Option<u64> {
    let integer = element.into_bigint();
    (integer.num_bits() <= 64).then(|| integer.as_ref().first().copied().unwrap_or(0))
}
