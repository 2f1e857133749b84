//! The statement a proof proves (docs/spec/statement.md): this commitment opens, under this
//! schema, to values of which these are disclosed and those satisfy the predicates.

use ark_bls12_381::Fr;
use ark_ff::{AdditiveGroup, Field, PrimeField};

use crate::bytes::{Context, DecodeError};
use crate::question::{Comparison, Form, Item, LEVELS_MAX, Operator, SET_OF_TERM, SLOTS, SlotAnswer, TERMS_MAX};
use crate::record::{RATE, RecordCommitment, domain_tag};
use crate::schema::Schema;
use crate::value::{Value, power_of_two};

pub mod reference;

/// Bits of a bound of a range.
pub const RANGE_BITS: usize = 64;

/// The circuits: for narrow records and wide ones, for plain questions and rich ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Circuit {
    /// Records of up to 15 fields (one permutation), four single comparisons.
    Record15Slots4,
    /// Records of up to 31 fields (two permutations), four single comparisons.
    Record31Slots4,
    /// Records of up to 15 fields, eight terms with sets, AND and OR.
    Record15Terms8,
    /// Records of up to 31 fields, eight terms with sets, AND and OR.
    Record31Terms8,
}

impl Circuit {
    /// Every member of the family.
    pub const ALL: [Circuit; 4] =
        [Circuit::Record15Slots4, Circuit::Record31Slots4, Circuit::Record15Terms8, Circuit::Record31Terms8];

    /// The smallest circuit that answers a question of this form about records of this schema;
    /// `None` for what is opened instead.
    pub fn for_question(schema: &Schema, form: Form) -> Option<Circuit> {
        let narrow = schema.columns.len() <= Circuit::Record15Slots4.fields();
        match (form, narrow) {
            (Form::Opening, _) => None,
            (Form::Slots, true) => Some(Circuit::Record15Slots4),
            (Form::Slots, false) => Some(Circuit::Record31Slots4),
            (Form::Terms, true) => Some(Circuit::Record15Terms8),
            (Form::Terms, false) => Some(Circuit::Record31Terms8),
        }
    }

    /// The name under which the ledger knows its keys.
    pub fn name(self) -> &'static str {
        match self {
            Circuit::Record15Slots4 => "record-15-slots-4",
            Circuit::Record31Slots4 => "record-31-slots-4",
            Circuit::Record15Terms8 => "record-15-terms-8",
            Circuit::Record31Terms8 => "record-31-terms-8",
        }
    }

    /// Digest of the constraint system, in hexadecimal, as this build knows it; a test holds it
    /// against the circuit. A ledger's parameters must be for this very system.
    pub fn pinned_shape(self) -> &'static str {
        match self {
            Circuit::Record15Slots4 => "2f91c0136a5f41b9d6b912cb8b56fd2232f7443c429928079303ffac26bdf727",
            Circuit::Record31Slots4 => "e9a2bfc6cb0f27f1649022f0d885d2890b1b3961d715709e71828a3119c67c89",
            Circuit::Record15Terms8 => "01fe7cc4d07ee8c8be910170b71849320bde8992143d4ce767968d50b4babe64",
            Circuit::Record31Terms8 => "7b5e7f5c89e297ad8c39a4040baee5af8d17427806f0bdee6ef738a7eb284212",
        }
    }

    /// Fields a record may have.
    pub fn fields(self) -> usize {
        self.blocks() * RATE - 1
    }

    /// Permutations in a record commitment.
    pub(crate) fn blocks(self) -> usize {
        match self {
            Circuit::Record15Slots4 | Circuit::Record15Terms8 => 1,
            Circuit::Record31Slots4 | Circuit::Record31Terms8 => 2,
        }
    }

    /// Bits of a position: fields, and one more that stands for the constant zero.
    pub(crate) fn position_bits(self) -> usize {
        match self.blocks() {
            1 => 4,
            _ => 5,
        }
    }

    /// Whether terms can be sets, be negated and be joined by AND and OR.
    pub(crate) fn joins(self) -> bool {
        matches!(self, Circuit::Record15Terms8 | Circuit::Record31Terms8)
    }

    /// Terms of a statement.
    pub fn terms(self) -> usize {
        if self.joins() { TERMS_MAX } else { SLOTS }
    }

    /// Constants of a term: a set, of which a range uses two; or only those two.
    pub fn constants(self) -> usize {
        if self.joins() { SET_OF_TERM } else { 2 }
    }

    /// Public inputs: commitment, tag, context, program, and every term's constants.
    pub fn public_inputs(self) -> usize {
        4 + self.terms() * self.constants()
    }
}

/// What a term says of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// It equals the first constant: a claim, not a test whose truth is revealed.
    Disclose,
    /// It is one of the constants. In a circuit without sets only the first one counts.
    Set,
    /// It lies between the first two constants, both included, integers below 2^64.
    Range,
    /// It is null. Only in circuits with joints.
    Null,
}

/// One term: what it looks at, and how its truth goes into the predicate's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Position of the field, or the circuit's number of fields for the constant zero.
    pub position: usize,
    /// The test.
    pub test: Test,
    /// Whether the test's opposite is meant. Only in circuits with joints.
    pub negated: bool,
    /// Level at which the term is joined with the next one, 0 where its predicate ends.
    pub joint: u8,
    /// Claim that the predicate ending here is true; false unless a predicate ends here.
    pub truth: bool,
    /// Claim that the predicate ending here is null; false unless a predicate ends here.
    pub null: bool,
    /// [`Circuit::constants`] of them.
    pub constants: Vec<Fr>,
}

impl Term {
    /// A term that is not used discloses the constant zero.
    pub(crate) fn unused(circuit: Circuit) -> Term {
        Term::disclosing(circuit, circuit.fields(), Fr::ZERO)
    }

    /// A term that discloses `element` at `position`.
    fn disclosing(circuit: Circuit, position: usize, element: Fr) -> Term {
        let mut constants = vec![Fr::ZERO; circuit.constants()];
        if let Some(first) = constants.first_mut() {
            *first = element;
        }
        Term { position, test: Test::Disclose, negated: false, joint: 0, truth: false, null: false, constants }
    }

    /// The constants as a set, lower and upper bound.
    pub(crate) fn bounds(&self) -> (Fr, Fr) {
        let at = |i: usize| self.constants.get(i).copied().unwrap_or_default();
        (at(0), at(1))
    }

    /// The bits that describe the term in the program, lowest first: position, then range,
    /// disclose; in circuits with joints null, negated and one for each level; then truth and null
    /// of the claim.
    pub(crate) fn bits(&self, circuit: Circuit) -> Vec<bool> {
        let mut bits: Vec<bool> = (0..circuit.position_bits()).map(|i| (self.position >> i) & 1 == 1).collect();
        bits.extend([self.test == Test::Range, self.test == Test::Disclose]);
        if circuit.joins() {
            bits.extend([self.test == Test::Null, self.negated]);
            bits.extend((1..=LEVELS_MAX).map(|level| self.joint == level));
        }
        bits.extend([self.truth, self.null]);
        bits
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
    /// [`Circuit::terms`] of them.
    pub terms: Vec<Term>,
}

/// Why question and answers do not make a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Fewer or more answers than items.
    #[error("{answers} answers stand beside {items} questions")]
    Count {
        /// How many items were asked.
        items: usize,
        /// How many answers there are.
        answers: usize,
    },
    /// More terms than the circuit has.
    #[error("the question does not fit circuit '{0}'")]
    Capacity(&'static str),
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
    /// [`StatementError`] when they do not belong together or do not fit the circuit.
    pub fn new(
        circuit: Circuit,
        schema: &Schema,
        items: &[Item<Value>],
        answers: &[SlotAnswer],
        commitment: &RecordCommitment,
        context: &Context,
    ) -> Result<Statement, StatementError> {
        if items.len() != answers.len() {
            return Err(StatementError::Count { items: items.len(), answers: answers.len() });
        }
        let capacity = || StatementError::Capacity(circuit.name());
        if schema.columns.len() > circuit.fields() {
            return Err(capacity());
        }
        let mut terms = Vec::new();
        for (number, (item, answer)) in (1..).zip(items.iter().zip(answers)) {
            terms.extend(terms_of(circuit, schema, item, answer).ok_or(StatementError::Kind(number))?);
        }
        if terms.len() > circuit.terms() || (!circuit.joins() && terms.iter().any(|term| term.joint != 0)) {
            return Err(capacity());
        }
        terms.resize(circuit.terms(), Term::unused(circuit));
        let mut low = context.0;
        if let Some(top) = low.last_mut() {
            *top = 0;
        }
        Ok(Statement {
            circuit,
            commitment: commitment.to_field()?,
            tag: domain_tag(schema),
            context: Fr::from_le_bytes_mod_order(&low),
            terms,
        })
    }

    /// The public inputs in their pinned order: commitment, tag, context, program, then each
    /// term's constants (docs/spec/statement.md#public-inputs).
    pub fn public_inputs(&self) -> Vec<Fr> {
        let mut inputs = vec![self.commitment, self.tag, self.context, self.program()];
        inputs.extend(self.terms.iter().flat_map(|term| &term.constants));
        inputs
    }

    /// All terms' positions, tests, joints and claims in one field element.
    fn program(&self) -> Fr {
        let bits: Vec<bool> = self.terms.iter().flat_map(|term| term.bits(self.circuit)).collect();
        bits.into_iter().rev().fold(Fr::ZERO, |acc, bit| acc + acc + Fr::from(bit))
    }
}

/// The terms that claim `answer` for `item`; `None` when they do not fit each other.
fn terms_of(circuit: Circuit, schema: &Schema, item: &Item<Value>, answer: &SlotAnswer) -> Option<Vec<Term>> {
    match (item, answer) {
        (Item::Disclose(column), SlotAnswer::Value(value)) => {
            value.fits(schema.at(*column)?.kind).then_some(())?;
            Some(vec![Term::disclosing(circuit, usize::from(*column), value.to_field())])
        }
        (Item::Prove(predicate), SlotAnswer::Truth(truth)) => {
            let expanded = predicate.terms();
            let terms = expanded.comparisons.iter().map(|comparison| term_of(circuit, schema, comparison));
            let mut terms = terms.collect::<Option<Vec<Term>>>()?;
            for (term, joint) in terms.iter_mut().zip(&expanded.joints) {
                term.joint = *joint;
            }
            let last = terms.last_mut()?;
            (last.truth, last.null) = claim(circuit, predicate.comparisons.as_slice(), *truth)?;
            if !circuit.joins() {
                last.negated = false;
            }
            Some(terms)
        }
        _ => None,
    }
}

/// The claim by which a circuit answers `truth`. Circuits without joints know neither negation
/// nor the test for null: there the answer is read from the plain test's outcome.
fn claim(circuit: Circuit, comparisons: &[Comparison<Value>], truth: Option<bool>) -> Option<(bool, bool)> {
    let plain = (truth == Some(true), truth.is_none());
    let [Comparison { operator, .. }] = comparisons else { return Some(plain) };
    if circuit.joins() {
        return Some(plain);
    }
    match (operator, truth) {
        (Operator::IsNull, truth) => Some((false, truth?)),
        (Operator::IsNotNull, truth) => Some((false, !truth?)),
        (_, truth) => Some((truth.is_some_and(|truth| truth != is_negated(*operator)), truth.is_none())),
    }
}

/// Operators that circuits know as the negation of another one's test.
fn is_negated(operator: Operator) -> bool {
    matches!(operator, Operator::Ne | Operator::NotBetween | Operator::NotIn | Operator::IsNotNull)
}

/// A comparison as a term, without joint and claim.
fn term_of(circuit: Circuit, schema: &Schema, comparison: &Comparison<Value>) -> Option<Term> {
    let Comparison { column, operator, operands } = comparison;
    let kind = schema.at(*column)?.kind;
    let fits = operands.iter().all(|value| *value != Value::Null && value.fits(kind));
    // One set may have been cut into several terms; without joints there are no sets.
    let counted = match operator.is_set() {
        true => circuit.joins() && !operands.is_empty(),
        false => operator.operands().contains(&operands.len()),
    };
    (fits && counted).then_some(())?;
    let (test, mut constants) = match operator {
        Operator::IsNull | Operator::IsNotNull if circuit.joins() => (Test::Null, Vec::new()),
        // Nothing equals it, so the outcome is false, or null where the field is.
        Operator::IsNull | Operator::IsNotNull => (Test::Set, vec![no_value(), Fr::ZERO]),
        _ if operator.is_ordering() => {
            let (lo, hi) = range(*operator, operands)?;
            (Test::Range, vec![Fr::from(lo), Fr::from(hi)])
        }
        _ => (Test::Set, operands.iter().map(Value::to_field).collect()),
    };
    let filler = match (test, circuit.joins()) {
        (Test::Set, true) => constants.first().copied()?,
        _ => Fr::ZERO,
    };
    (constants.len() <= circuit.constants()).then(|| constants.resize(circuit.constants(), filler))?;
    let negated = is_negated(*operator);
    Some(Term { position: usize::from(*column), test, negated, joint: 0, truth: false, null: false, constants })
}

/// The range of 64-bit integers that an ordering stands for, before negation.
fn range(operator: Operator, operands: &[Value]) -> Option<(u64, u64)> {
    let bound = operands.first()?.ordinal()?;
    Some(match operator {
        Operator::Lt => bound.checked_sub(1).map_or(EMPTY_RANGE, |hi| (0, hi)),
        Operator::Le => (0, bound),
        Operator::Gt => bound.checked_add(1).map_or(EMPTY_RANGE, |lo| (lo, u64::MAX)),
        Operator::Ge => (bound, u64::MAX),
        _ => (bound, operands.get(1)?.ordinal()?),
    })
}

/// A range that holds no integer.
const EMPTY_RANGE: (u64, u64) = (1, 0);

/// A field element that stands for no value of any type (docs/spec/record.md#values).
pub(crate) fn no_value() -> Fr {
    power_of_two(251)
}

/// What SQL answers to the items about a record with these values.
///
/// # Errors
/// [`StatementError::Kind`] naming an item whose field the record does not have.
pub fn answers(items: &[Item<Value>], values: &[Value]) -> Result<Vec<SlotAnswer>, StatementError> {
    let answer = |(number, item): (usize, &Item<Value>)| {
        let field = |column: &u8| values.get(usize::from(*column)).ok_or(StatementError::Kind(number + 1));
        Ok(match item {
            Item::Disclose(column) => SlotAnswer::Value(field(column)?.clone()),
            Item::Prove(predicate) => {
                predicate.comparisons.iter().try_for_each(|comparison| field(&comparison.column).map(drop))?;
                SlotAnswer::Truth(predicate.holds(values))
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
