//! The statement a proof proves (docs/spec/statement.md): this commitment opens, under this
//! schema, to values of which these are disclosed and those compare so.

use ark_bls12_381::Fr;
use ark_ff::{AdditiveGroup, Field, PrimeField};

use crate::bytes::{Context, DecodeError};
use crate::question::{Comparison, Item, SLOTS, SlotAnswer};
use crate::record::{RATE, RecordCommitment, domain_tag};
use crate::schema::Schema;
use crate::value::{Value, power_of_two};

pub mod reference;

/// Public inputs of every circuit of the family.
pub const PUBLIC_INPUTS: usize = 4 + 2 * SLOTS;
/// Bits of a bound of a range.
pub const RANGE_BITS: usize = 64;

/// The circuits: one for narrow records, one for wide ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Circuit {
    /// Records of up to 15 fields: one permutation.
    Record15,
    /// Records of up to 31 fields: two.
    Record31,
}

impl Circuit {
    /// Every member of the family.
    pub const ALL: [Circuit; 2] = [Circuit::Record15, Circuit::Record31];

    /// The smallest circuit that holds records of this schema.
    pub fn for_schema(schema: &Schema) -> Circuit {
        if schema.columns.len() <= Circuit::Record15.fields() { Circuit::Record15 } else { Circuit::Record31 }
    }

    /// The name under which the ledger knows its keys.
    pub fn name(self) -> &'static str {
        match self {
            Circuit::Record15 => "record-15-slots-4",
            Circuit::Record31 => "record-31-slots-4",
        }
    }

    /// Digest of the constraint system, in hexadecimal, as this build knows it; a test holds it
    /// against the circuit. A ledger's parameters must be for this very system.
    pub fn pinned_shape(self) -> &'static str {
        match self {
            Circuit::Record15 => "2f91c0136a5f41b9d6b912cb8b56fd2232f7443c429928079303ffac26bdf727",
            Circuit::Record31 => "e9a2bfc6cb0f27f1649022f0d885d2890b1b3961d715709e71828a3119c67c89",
        }
    }

    /// Fields a record may have.
    pub fn fields(self) -> usize {
        self.blocks() * RATE - 1
    }

    /// Permutations in a record commitment.
    pub(crate) fn blocks(self) -> usize {
        match self {
            Circuit::Record15 => 1,
            Circuit::Record31 => 2,
        }
    }

    /// Bits of a position: fields, and one more that stands for the constant zero.
    pub(crate) fn position_bits(self) -> usize {
        match self {
            Circuit::Record15 => 4,
            Circuit::Record31 => 5,
        }
    }
}

/// One slot: what it looks at and what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Position of the field, or the circuit's number of fields for the constant zero.
    pub position: usize,
    /// Compare with the range `lo..=hi` instead of for equality with `lo`.
    pub range: bool,
    /// Claim that the field equals `lo`, instead of revealing a truth value.
    pub disclose: bool,
    /// The comparison's claimed truth; false where it is null or the slot discloses.
    pub truth: bool,
    /// The claim that the field is null; false where the slot discloses.
    pub null: bool,
    /// Disclosed value, constant, or lower bound (an integer below 2^64 when `range`).
    pub lo: Fr,
    /// Upper bound below 2^64 when `range`, zero otherwise.
    pub hi: Fr,
}

impl Slot {
    /// A slot that is not used discloses the constant zero.
    pub(crate) fn unused(circuit: Circuit) -> Slot {
        Slot {
            position: circuit.fields(),
            range: false,
            disclose: true,
            truth: false,
            null: false,
            lo: Fr::ZERO,
            hi: Fr::ZERO,
        }
    }
}

/// Everything a proof's verifier knows; both sides build it from the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The circuit in whose language it is written.
    pub circuit: Circuit,
    /// The record commitment.
    pub commitment: Fr,
    /// The domain tag of the record's schema.
    pub tag: Fr,
    /// What the proof is bound to, cut to 248 bits.
    pub context: Fr,
    /// The slots.
    pub slots: [Slot; SLOTS],
}

/// Why question and answers do not make a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Fewer or more answers than items, or more items than slots.
    #[error("{answers} answers stand beside {items} questions")]
    Count {
        /// How many items were asked.
        items: usize,
        /// How many answers there are.
        answers: usize,
    },
    /// An answer of another kind or type than its item asks for.
    #[error("answer {0} is not of the kind that its question asks for")]
    Kind(usize),
    /// A commitment that is no field element.
    #[error(transparent)]
    Commitment(#[from] DecodeError),
}

impl Statement {
    /// Builds the statement that `answers` answer `items` about the committed record.
    ///
    /// # Errors
    /// [`StatementError`] when they do not belong together.
    pub fn new(
        schema: &Schema,
        items: &[Item],
        answers: &[SlotAnswer],
        commitment: &RecordCommitment,
        context: &Context,
    ) -> Result<Statement, StatementError> {
        if items.len() != answers.len() || items.len() > SLOTS {
            return Err(StatementError::Count { items: items.len(), answers: answers.len() });
        }
        let circuit = Circuit::for_schema(schema);
        let mut slots = [Slot::unused(circuit); SLOTS];
        for (number, ((item, answer), slot)) in items.iter().zip(answers).zip(&mut slots).enumerate() {
            *slot = slot_of(schema, item, answer).ok_or(StatementError::Kind(number + 1))?;
        }
        let mut low = context.0;
        if let Some(top) = low.last_mut() {
            *top = 0;
        }
        Ok(Statement {
            circuit,
            commitment: commitment.to_field()?,
            tag: domain_tag(schema),
            context: Fr::from_le_bytes_mod_order(&low),
            slots,
        })
    }

    /// The public inputs in their pinned order: commitment, tag, context, program, then `lo` and
    /// `hi` of each slot (docs/spec/statement.md#public-inputs).
    pub fn public_inputs(&self) -> Vec<Fr> {
        let mut inputs = vec![self.commitment, self.tag, self.context, self.program()];
        inputs.extend(self.slots.iter().flat_map(|slot| [slot.lo, slot.hi]));
        inputs
    }

    /// All slots' positions, modes and claims in one field element.
    fn program(&self) -> Fr {
        let bits = self.slots.iter().flat_map(|slot| slot_bits(slot, self.circuit));
        bits.rev().fold(Fr::ZERO, |acc, bit| acc + acc + Fr::from(bit))
    }
}

/// A slot's bits in the program, lowest first.
pub(crate) fn slot_bits(slot: &Slot, circuit: Circuit) -> std::vec::IntoIter<bool> {
    let mut bits: Vec<bool> = (0..circuit.position_bits()).map(|i| (slot.position >> i) & 1 == 1).collect();
    bits.extend([slot.range, slot.disclose, slot.truth, slot.null]);
    bits.into_iter()
}

/// The slot that claims `answer` for `item`; `None` when they do not fit each other.
fn slot_of(schema: &Schema, item: &Item, answer: &SlotAnswer) -> Option<Slot> {
    match (item, answer) {
        (Item::Disclose(column), SlotAnswer::Value(value)) => {
            value.fits(schema.at(*column)?.kind).then_some(())?;
            Some(Slot {
                position: usize::from(*column),
                range: false,
                disclose: true,
                truth: false,
                null: false,
                lo: value.to_field(),
                hi: Fr::ZERO,
            })
        }
        (Item::Prove { column, comparison, operands }, SlotAnswer::Truth(truth)) => {
            let column_kind = schema.at(*column)?.kind;
            let fits = operands.iter().all(|value| *value != Value::Null && value.fits(column_kind));
            (fits && operands.len() == comparison.operands()).then_some(())?;
            let test = Test::new(*comparison, operands)?;
            Some(Slot {
                position: usize::from(*column),
                range: test.range,
                disclose: false,
                truth: truth.is_some_and(|truth| truth != test.negated),
                null: truth.is_none(),
                lo: test.lo,
                hi: test.hi,
            })
        }
        _ => None,
    }
}

/// A comparison in the circuit's two tests, equality and range, perhaps negated afterwards.
struct Test {
    range: bool,
    negated: bool,
    lo: Fr,
    hi: Fr,
}

impl Test {
    fn new(comparison: Comparison, operands: &[Value]) -> Option<Test> {
        let first = operands.first()?;
        if !comparison.is_ordering() {
            return Some(Test {
                range: false,
                negated: comparison == Comparison::Ne,
                lo: first.to_field(),
                hi: Fr::ZERO,
            });
        }
        let bound = first.ordinal()?;
        let (lo, hi) = match comparison {
            Comparison::Lt => bound.checked_sub(1).map_or(EMPTY_RANGE, |hi| (0, hi)),
            Comparison::Le => (0, bound),
            Comparison::Gt => bound.checked_add(1).map_or(EMPTY_RANGE, |lo| (lo, u64::MAX)),
            Comparison::Ge => (bound, u64::MAX),
            _ => (bound, operands.get(1)?.ordinal()?),
        };
        let negated = comparison == Comparison::NotBetween;
        Some(Test { range: true, negated, lo: Fr::from(lo), hi: Fr::from(hi) })
    }
}

/// A range that holds no integer.
const EMPTY_RANGE: (u64, u64) = (1, 0);

/// What SQL answers to the items about a record with these values.
///
/// # Errors
/// [`StatementError::Kind`] naming an item whose field the record does not have.
pub fn answers(items: &[Item], values: &[Value]) -> Result<Vec<SlotAnswer>, StatementError> {
    let answer = |(number, item): (usize, &Item)| {
        let field = |column: &u8| values.get(usize::from(*column)).ok_or(StatementError::Kind(number + 1));
        Ok(match item {
            Item::Disclose(column) => SlotAnswer::Value(field(column)?.clone()),
            Item::Prove { column, comparison, operands } => {
                SlotAnswer::Truth(comparison.holds(field(column)?, operands))
            }
        })
    };
    items.iter().enumerate().map(answer).collect()
}

/// 2^64 as a field element: where ranges end.
pub(crate) fn range_end() -> Fr {
    power_of_two(RANGE_BITS as u32)
}

/// A field element's inverse, or zero.
pub(crate) fn inverse_or_zero(element: Fr) -> Fr {
    element.inverse().unwrap_or(Fr::ZERO)
}
