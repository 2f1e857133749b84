//! Predicates: comparisons of fields with constants, joined by AND and OR, with SQL's
//! three-valued truth (docs/spec/question.md#predicates).
//!
//! A predicate is kept flat, as the circuits read it: its comparisons in order, and between each
//! two of them the level at which they are joined. Odd levels are AND, even ones OR, and lower
//! levels bind tighter: `(a AND b) OR c` has the joints 1, 2 and `(a OR b) AND c` has 2, 3.
//! Negation is pushed down to the comparisons, which three-valued logic allows.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::{QuestionError, quoted};
use crate::schema::Schema;
use crate::value::Value;

/// Most constants `IN` takes.
pub const SET_MAX: usize = 256;
/// Constants that one term of a circuit compares with; a longer `IN` takes several terms.
pub const SET_OF_TERM: usize = 32;
/// Most terms of one question.
pub const TERMS_MAX: usize = 8;
/// Deepest alternation of AND and OR.
pub const LEVELS_MAX: u8 = 4;

/// How a field is compared.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
pub enum Operator {
    /// `=`
    Eq,
    /// `<>`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `BETWEEN lo AND hi`, both ends included.
    Between,
    /// `NOT BETWEEN lo AND hi`
    NotBetween,
    /// `IN (…)`, 2 to [`SET_MAX`] constants.
    In,
    /// `NOT IN (…)`
    NotIn,
    /// `IS NULL`, never null itself.
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
}

impl Operator {
    /// Fewest and most constants it takes.
    pub fn operands(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Operator::IsNull | Operator::IsNotNull => 0..=0,
            Operator::Between | Operator::NotBetween => 2..=2,
            Operator::In | Operator::NotIn => 2..=SET_MAX,
            _ => 1..=1,
        }
    }

    /// Whether it compares by order, not only by equality.
    pub fn is_ordering(self) -> bool {
        use Operator::{Between, Ge, Gt, Le, Lt, NotBetween};
        matches!(self, Lt | Le | Gt | Ge | Between | NotBetween)
    }

    /// Whether it compares with a set of constants.
    pub fn is_set(self) -> bool {
        matches!(self, Operator::In | Operator::NotIn)
    }

    /// The operator that is true exactly where this one is false.
    #[must_use]
    pub fn negated(self) -> Operator {
        match self {
            Operator::Eq => Operator::Ne,
            Operator::Ne => Operator::Eq,
            Operator::Lt => Operator::Ge,
            Operator::Ge => Operator::Lt,
            Operator::Le => Operator::Gt,
            Operator::Gt => Operator::Le,
            Operator::Between => Operator::NotBetween,
            Operator::NotBetween => Operator::Between,
            Operator::In => Operator::NotIn,
            Operator::NotIn => Operator::In,
            Operator::IsNull => Operator::IsNotNull,
            Operator::IsNotNull => Operator::IsNull,
        }
    }

    /// SQL's three-valued answer: `None` where a null is compared.
    pub fn holds(self, value: &Value, operands: &[Value]) -> Option<bool> {
        match self {
            Operator::IsNull => return Some(*value == Value::Null),
            Operator::IsNotNull => return Some(*value != Value::Null),
            _ if *value == Value::Null => return None,
            Operator::In => return Some(operands.contains(value)),
            Operator::NotIn => return Some(!operands.contains(value)),
            _ => {}
        }
        let first = operands.first()?;
        Some(match self {
            Operator::Eq => value == first,
            Operator::Lt => value < first,
            Operator::Le => value <= first,
            Operator::Gt => value > first,
            Operator::Ge => value >= first,
            Operator::Between => value >= first && value <= operands.get(1)?,
            Operator::NotBetween => value < first || value > operands.get(1)?,
            _ => value != first,
        })
    }
}

/// A constant of a predicate as the ledger sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Operand {
    /// This constant and no other.
    Fixed(Value),
    /// Any constant (written `?`): the requester chooses it, and only the owner sees which.
    Free,
}

/// One field compared with constants: [`Operand`]s in a grant or shape, [`Value`]s in a question
/// whose constants are all known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Comparison<O = Operand> {
    /// Position of the field in the schema.
    pub column: u8,
    /// How it is compared.
    pub operator: Operator,
    /// As many as the operator takes; in a shape all fixed or all free; of a set ascending.
    pub operands: Vec<O>,
}

/// Comparisons joined by AND and OR; see the module's first lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Predicate<O = Operand> {
    /// At least one, in the order in which they are written.
    pub comparisons: Vec<Comparison<O>>,
    /// One fewer: the level, 1 to [`LEVELS_MAX`], at which each is joined with the next.
    pub joints: Vec<u8>,
}

/// How members of a group are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connective {
    /// AND
    And,
    /// OR
    Or,
}

impl Connective {
    /// The connective of a level.
    pub fn of(level: u8) -> Connective {
        if level % 2 == 1 { Connective::And } else { Connective::Or }
    }

    /// The other one: what negation makes of it.
    #[must_use]
    pub fn negated(self) -> Connective {
        match self {
            Connective::And => Connective::Or,
            Connective::Or => Connective::And,
        }
    }

    /// Kleene's strong three-valued AND and OR, which are SQL's.
    fn joined(self, a: Option<bool>, b: Option<bool>) -> Option<bool> {
        let decisive = Some(self == Connective::Or);
        match (a, b) {
            _ if a == decisive || b == decisive => decisive,
            (Some(_), Some(_)) => decisive.map(|truth| !truth),
            _ => None,
        }
    }
}

impl<O> From<Comparison<O>> for Predicate<O> {
    fn from(comparison: Comparison<O>) -> Self {
        Predicate { comparisons: vec![comparison], joints: Vec::new() }
    }
}

impl<O: Clone> Predicate<O> {
    /// The predicate of one comparison.
    pub fn compare(column: u8, operator: Operator, operands: Vec<O>) -> Self {
        Comparison { column, operator, operands }.into()
    }

    /// Joins predicates, each of them canonical, into a canonical one: members that are joined
    /// by the same connective become part of the group.
    #[must_use]
    pub fn join(connective: Connective, members: Vec<Predicate<O>>) -> Self {
        let lowest = |member: &Self| match member.level() {
            0 if connective == Connective::And => 1,
            0 => 2,
            level if Connective::of(level) == connective => level,
            level => level.saturating_add(1),
        };
        let level = members.iter().map(lowest).max().unwrap_or(0);
        let mut joined = Predicate { comparisons: Vec::new(), joints: Vec::new() };
        for member in members {
            let top = member.level();
            let same = top > 0 && Connective::of(top) == connective;
            if !joined.comparisons.is_empty() {
                joined.joints.push(level);
            }
            joined
                .joints
                .extend(member.joints.into_iter().map(|joint| if same && joint == top { level } else { joint }));
            joined.comparisons.extend(member.comparisons);
        }
        joined
    }

    /// The level of the outermost connective; 0 for a single comparison.
    pub fn level(&self) -> u8 {
        self.joints.iter().copied().max().unwrap_or(0)
    }

    /// The members of the outermost group; a single comparison is its own.
    fn members(&self) -> Vec<Predicate<O>> {
        let top = self.level();
        let mut members: Vec<Predicate<O>> = Vec::new();
        let mut joint = None;
        for (index, comparison) in self.comparisons.iter().enumerate() {
            match (members.last_mut(), joint) {
                (Some(member), Some(level)) if level != top => {
                    member.joints.push(level);
                    member.comparisons.push(comparison.clone());
                }
                _ => members.push(comparison.clone().into()),
            }
            joint = self.joints.get(index).copied();
        }
        members
    }

    /// Rebuilds the predicate from its comparisons, each of which may become a predicate itself.
    pub(crate) fn rebuilt<P: Clone>(&self, leaf: &impl Fn(&Comparison<O>) -> Predicate<P>) -> Predicate<P> {
        match self.comparisons.as_slice() {
            [comparison] => leaf(comparison),
            _ => {
                let members = self.members().iter().map(|member| member.rebuilt(leaf)).collect();
                Predicate::join(Connective::of(self.level()), members)
            }
        }
    }

    /// The same predicate with every operand mapped.
    ///
    /// # Errors
    /// What `map` returns.
    pub fn try_map<P, E>(&self, mut map: impl FnMut(&Comparison<O>) -> Result<Vec<P>, E>) -> Result<Predicate<P>, E> {
        let comparison =
            |c: &Comparison<O>| Ok(Comparison { column: c.column, operator: c.operator, operands: map(c)? });
        let comparisons = self.comparisons.iter().map(comparison).collect::<Result<_, E>>()?;
        Ok(Predicate { comparisons, joints: self.joints.clone() })
    }

    /// The predicate as the circuits take it: each `IN` cut into sets of [`SET_OF_TERM`].
    pub(crate) fn terms(&self) -> Predicate<O> {
        self.rebuilt(&|comparison| {
            if !comparison.operator.is_set() || comparison.operands.len() <= SET_OF_TERM {
                return comparison.clone().into();
            }
            let part = |operands: &[O]| Comparison { operands: operands.to_vec(), ..comparison.clone() }.into();
            let connective = if comparison.operator == Operator::In { Connective::Or } else { Connective::And };
            Predicate::join(connective, comparison.operands.chunks(SET_OF_TERM).map(part).collect())
        })
    }

    fn written(&self, leaf: &impl Fn(&Comparison<O>) -> String) -> String {
        match self.comparisons.as_slice() {
            [comparison] => leaf(comparison),
            _ => {
                let member = |member: &Predicate<O>| match member.comparisons.len() {
                    1 => member.written(leaf),
                    _ => format!("({})", member.written(leaf)),
                };
                let word = if Connective::of(self.level()) == Connective::And { " AND " } else { " OR " };
                self.members().iter().map(member).collect::<Vec<_>>().join(word)
            }
        }
    }

    /// Whether joints, one fewer than comparisons, are those of a canonical predicate.
    fn is_canonical(&self) -> bool
    where
        O: PartialEq,
    {
        self.joints.iter().all(|level| (1..=LEVELS_MAX).contains(level))
            && self.rebuilt(&|comparison| comparison.clone().into()) == *self
    }
}

impl Predicate<Value> {
    /// SQL's truth of the predicate about a record; `None` is NULL, also where the record has no
    /// such field.
    pub fn holds(&self, values: &[Value]) -> Option<bool> {
        match self.comparisons.as_slice() {
            [Comparison { column, operator, operands }] => operator.holds(values.get(usize::from(*column))?, operands),
            _ => {
                let connective = Connective::of(self.level());
                let truths = self.members().into_iter().map(|member| member.holds(values));
                truths.reduce(|a, b| connective.joined(a, b)).flatten()
            }
        }
    }

    /// The constants by which this predicate, all of whose constants are known, becomes `wanted`:
    /// those that `wanted` leaves free, in order. `None` when `wanted` asks something else. A free
    /// set takes up to as many constants as it has; the last one fills it up.
    pub(crate) fn constants_for(&self, wanted: &Predicate) -> Option<Vec<Value>> {
        if self.joints != wanted.joints || self.comparisons.len() != wanted.comparisons.len() {
            return None;
        }
        let mut constants = Vec::new();
        for (ours, theirs) in self.comparisons.iter().zip(&wanted.comparisons) {
            constants.extend(ours.constants_for(theirs)?);
        }
        Some(constants)
    }

    /// This predicate as a grant allows it: as a whole where the grant names it, otherwise each
    /// comparison that it names; what it does not name has its constants left free.
    pub(crate) fn named_by(&self, granted: &[Predicate]) -> Predicate {
        if let Some(whole) = granted.iter().find(|named| self.constants_for(named).is_some()) {
            return whole.clone();
        }
        let single = |comparison: &Comparison<Value>| {
            let alone = Predicate::from(comparison.clone());
            let named = granted.iter().find(|named| alone.constants_for(named).is_some());
            named.cloned().unwrap_or_else(|| alone.fixed().freed())
        };
        self.rebuilt(&single)
    }

    /// The same with all constants fixed, sets without repetitions.
    pub(crate) fn fixed(&self) -> Predicate {
        let fixed = |comparison: &Comparison<Value>| {
            let mut operands = comparison.operands.clone();
            let mut operator = comparison.operator;
            if operator.is_set() {
                operands.sort();
                operands.dedup();
                if operands.len() == 1 {
                    operator = if operator == Operator::In { Operator::Eq } else { Operator::Ne };
                }
            }
            let operands = operands.into_iter().map(Operand::Fixed).collect();
            Predicate::from(Comparison { column: comparison.column, operator, operands })
        };
        self.rebuilt(&fixed)
    }
}

impl Comparison<Value> {
    fn constants_for(&self, wanted: &Comparison) -> Option<Vec<Value>> {
        let free = !wanted.operands.is_empty() && wanted.operands.iter().all(|operand| *operand == Operand::Free);
        let same_field = self.column == wanted.column;
        let as_set =
            matches!((self.operator, wanted.operator), (Operator::Eq, Operator::In) | (Operator::Ne, Operator::NotIn));
        if !same_field || !(self.operator == wanted.operator || as_set) {
            return None;
        }
        if free {
            let missing = wanted.operands.len().checked_sub(self.operands.len())?;
            if missing > 0 && !wanted.operator.is_set() {
                return None;
            }
            let filler = self.operands.last().cloned().into_iter().cycle().take(missing);
            return Some(self.operands.iter().cloned().chain(filler).collect());
        }
        let fixed = self.operands.iter().cloned().map(Operand::Fixed).eq(wanted.operands.iter().cloned());
        (fixed && !as_set).then(Vec::new)
    }
}

impl Comparison {
    /// The same comparison with its constants left free.
    #[must_use]
    pub fn freed(&self) -> Comparison {
        Comparison { operands: vec![Operand::Free; self.operands.len()], ..self.clone() }
    }

    fn display(&self, schema: &Schema) -> String {
        let Some(column) = schema.at(self.column) else {
            return format!("column {} of another schema", self.column);
        };
        let shown = |operand: &Operand| match operand {
            Operand::Fixed(value) => value.literal(column.kind),
            Operand::Free => "?".into(),
        };
        let operands: Vec<String> = self.operands.iter().map(shown).collect();
        let name = quoted(&column.name);
        let symbol = match self.operator {
            Operator::Between => return format!("{name} BETWEEN {}", operands.join(" AND ")),
            Operator::NotBetween => return format!("{name} NOT BETWEEN {}", operands.join(" AND ")),
            Operator::In => return format!("{name} IN ({})", operands.join(", ")),
            Operator::NotIn => return format!("{name} NOT IN ({})", operands.join(", ")),
            Operator::IsNull => return format!("{name} IS NULL"),
            Operator::IsNotNull => return format!("{name} IS NOT NULL"),
            Operator::Eq => "=",
            Operator::Ne => "<>",
            Operator::Lt => "<",
            Operator::Le => "<=",
            Operator::Gt => ">",
            Operator::Ge => ">=",
        };
        format!("{name} {symbol} {}", operands.join(", "))
    }

    fn validate(&self, schema: &Schema) -> Result<(), QuestionError> {
        let column = super::column_at(schema, self.column)?;
        if self.operator.is_ordering() && !column.kind.is_ordered() {
            return Err(QuestionError::NotOrdered { column: column.name.clone(), kind: column.kind });
        }
        let free = self.operands.iter().filter(|o| **o == Operand::Free).count();
        let whole = free == 0 || free == self.operands.len();
        let ascending = free > 0 || !self.operator.is_set() || self.operands.is_sorted_by(|a, b| a < b);
        if !whole || !ascending || !self.operator.operands().contains(&self.operands.len()) {
            return Err(QuestionError::Operands { column: column.name.clone() });
        }
        for operand in &self.operands {
            if let Operand::Fixed(value) = operand {
                super::constant_fits(column, value)?;
            }
        }
        Ok(())
    }
}

impl Predicate {
    /// The same predicate with all constants left free.
    #[must_use]
    pub fn freed(&self) -> Predicate {
        Predicate { comparisons: self.comparisons.iter().map(Comparison::freed).collect(), joints: self.joints.clone() }
    }

    /// Whether a grant of `granted` allows this predicate: it names this very one, or each of its
    /// comparisons by itself, of which the whole tells no more
    /// (docs/spec/question.md#what-a-grant-allows).
    pub fn allowed_by(&self, granted: &[Predicate]) -> bool {
        let named = |comparison: &Comparison| granted.contains(&comparison.clone().into());
        granted.contains(self) || self.comparisons.iter().all(named)
    }

    /// The columns it is about, each once.
    pub fn columns(&self) -> std::collections::BTreeSet<u8> {
        self.comparisons.iter().map(|comparison| comparison.column).collect()
    }

    /// How it is written in SQL; free constants as `?`.
    pub fn display(&self, schema: &Schema) -> String {
        self.written(&|comparison| comparison.display(schema))
    }

    /// Checks the predicate against a schema: positions exist, operands have the column's type and
    /// number, order is asked only of ordered types, constants are not null, sets ascend, and the
    /// joints are canonical.
    ///
    /// # Errors
    /// [`QuestionError`] naming the column.
    pub fn validate(&self, schema: &Schema) -> Result<(), QuestionError> {
        self.check_size()?;
        if !self.is_canonical() {
            return Err(QuestionError::Joints);
        }
        self.comparisons.iter().try_for_each(|comparison| comparison.validate(schema))?;
        let terms = self.terms();
        if terms.comparisons.len() > TERMS_MAX || terms.level() > LEVELS_MAX {
            return Err(QuestionError::TooLarge { comparisons: terms.comparisons.len(), levels: terms.level() });
        }
        Ok(())
    }

    /// Checks every bound that needs no schema. What comes from outside passes here before it is
    /// looked at in any other way, and here nothing is copied.
    ///
    /// # Errors
    /// [`QuestionError::TooLarge`], [`QuestionError::Joints`].
    pub fn check_size(&self) -> Result<(), QuestionError> {
        if self.comparisons.is_empty() || self.joints.len() + 1 != self.comparisons.len() {
            return Err(QuestionError::Joints);
        }
        let sets = self.comparisons.iter().all(|comparison| comparison.operands.len() <= SET_MAX);
        if !sets || self.comparisons.len() > TERMS_MAX || self.level() > LEVELS_MAX {
            return Err(QuestionError::TooLarge { comparisons: self.comparisons.len(), levels: self.level() });
        }
        Ok(())
    }
}
