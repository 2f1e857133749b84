//! Questions about records: the SQL people write, and its typed, canonical form
//! (docs/spec/question.md).
//!
//! A [`Question`] splits into its [`Shape`], which the ledger sees and a grant allows or denies,
//! and the rest (the keys, and constants left free by the shape), which only the owner sees.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::schema::{Column, Schema};
use crate::value::{ColumnType, Value};

mod predicate;
pub mod sql;

pub use predicate::{
    Comparison, Connective, LEVELS_MAX, Operand, Operator, Predicate, SET_MAX, SET_OF_TERM, TERMS_MAX,
};
pub use sql::QuestionError;

/// Items and terms that the smaller circuits hold.
pub const SLOTS: usize = 4;
/// Most keys of one question.
pub const KEYS_MAX: u16 = 1000;

/// A name as SQL needs it: bare where it can be, in double quotes otherwise. Bare are letters,
/// ASCII digits and `_`, not beginning with a digit, that are no reserved word.
pub fn quoted(name: &str) -> String {
    let letter = |c: char| c.is_alphabetic() || c == '_';
    let bare = name.starts_with(letter)
        && name.chars().all(|c| letter(c) || c.is_ascii_digit())
        && sql::RESERVED.binary_search(&name.to_ascii_uppercase().as_str()).is_err();
    if bare { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// One item of a question: of a shape with [`Operand`]s, with all constants known with [`Value`]s.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Item<O = Operand> {
    /// The field's value is disclosed.
    Disclose(u8),
    /// Only the predicate's truth is revealed.
    Prove(Predicate<O>),
}

impl Item {
    /// How it is written in SQL.
    pub fn display(&self, schema: &Schema) -> String {
        match self {
            Item::Disclose(column) => {
                schema.at(*column).map_or_else(|| format!("column {column}"), |c| quoted(&c.name))
            }
            Item::Prove(predicate) => predicate.display(schema),
        }
    }

    /// How many terms of a circuit it takes.
    fn terms(&self) -> usize {
        match self {
            Item::Disclose(_) => 1,
            Item::Prove(predicate) => predicate.terms().comparisons.len(),
        }
    }
}

/// Everything of a question but its keys and its free constants: public on the ledger. No items
/// at all asks only whether the records exist.
#[derive(Debug, Clone, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Shape {
    /// In the order in which they are asked.
    pub items: Vec<Item>,
    /// Of how many keys, 1 to [`KEYS_MAX`].
    pub keys: u16,
}

/// What it takes to answer a shape (docs/spec/question.md#form).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// Every field is disclosed: the commitment is opened, and nothing is left to prove.
    Opening,
    /// Up to [`SLOTS`] fields and single comparisons: the smaller circuits.
    Slots,
    /// Up to [`TERMS_MAX`] terms, joined and with sets: the larger ones.
    Terms,
}

impl Shape {
    /// Checks that items fit the schema: positions exist, predicates are valid, everything fits one
    /// proof, and the number of keys is in bounds.
    ///
    /// # Errors
    /// [`QuestionError`] naming the item.
    pub fn validate(&self, schema: &Schema) -> Result<(), QuestionError> {
        if !(1..=KEYS_MAX).contains(&self.keys) {
            return Err(QuestionError::Keys(usize::from(self.keys)));
        }
        for item in &self.items {
            match item {
                Item::Disclose(column) => {
                    column_at(schema, *column)?;
                }
                Item::Prove(predicate) => predicate.validate(schema)?,
            }
        }
        self.form(schema).map(drop)
    }

    /// What it takes to answer this shape.
    ///
    /// # Errors
    /// [`QuestionError::TooManyTerms`] when no circuit holds it.
    pub fn form(&self, schema: &Schema) -> Result<Form, QuestionError> {
        let every = (0u8..).map(Item::Disclose).take(schema.columns.len());
        if every.eq(self.items.iter().cloned()) {
            return Ok(Form::Opening);
        }
        let single = |item: &Item| match item {
            Item::Disclose(_) => true,
            Item::Prove(predicate) => {
                matches!(predicate.comparisons.as_slice(), [comparison] if !comparison.operator.is_set())
            }
        };
        if self.items.len() <= SLOTS && self.items.iter().all(single) {
            return Ok(Form::Slots);
        }
        match self.items.iter().map(Item::terms).sum() {
            terms if terms <= TERMS_MAX => Ok(Form::Terms),
            terms => Err(QuestionError::TooManyTerms(terms)),
        }
    }

    /// How it is written in SQL, without its keys.
    pub fn display(&self, schema: &Schema) -> String {
        if self.items.is_empty() {
            return "1".into();
        }
        let items: Vec<String> = self.items.iter().map(|item| item.display(schema)).collect();
        items.join(", ")
    }
}

fn column_at(schema: &Schema, position: u8) -> Result<&Column, QuestionError> {
    schema.at(position).ok_or(QuestionError::NoSuchPosition(position))
}

fn constant_fits(column: &Column, value: &Value) -> Result<(), QuestionError> {
    if *value == Value::Null {
        return Err(QuestionError::NullConstant { column: column.name.clone() });
    }
    if !value.fits(column.kind) {
        return Err(QuestionError::ConstantType { column: column.name.clone(), kind: column.kind });
    }
    Ok(())
}

/// A whole question: its shape, the constants the shape leaves free, and the keys.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Question {
    /// What the ledger sees.
    pub shape: Shape,
    /// The free constants, in the order of the shape's free operands.
    pub constants: Vec<Value>,
    /// The records asked about, each by its key's values in the order of the schema's key.
    pub keys: Vec<Vec<Value>>,
}

impl Question {
    /// Checks shape, constants and keys against the schema.
    ///
    /// # Errors
    /// [`QuestionError`] naming what does not fit.
    pub fn validate(&self, schema: &Schema) -> Result<(), QuestionError> {
        self.shape.validate(schema)?;
        for item in self.items()? {
            let Item::Prove(predicate) = item else { continue };
            for comparison in &predicate.comparisons {
                let column = column_at(schema, comparison.column)?;
                comparison.operands.iter().try_for_each(|value| constant_fits(column, value))?;
            }
        }
        if self.keys.len() != usize::from(self.shape.keys) {
            return Err(QuestionError::Keys(self.keys.len()));
        }
        let mut seen = std::collections::BTreeSet::new();
        for key in &self.keys {
            schema.key_bytes(key).map_err(|_| QuestionError::Key { columns: key_names(schema) })?;
            if !seen.insert(key) {
                return Err(QuestionError::RepeatedKey { key: key_literal(schema, key) });
            }
        }
        Ok(())
    }

    /// The items with their constants filled in, in order.
    ///
    /// # Errors
    /// [`QuestionError::FreeConstants`] when there are more or fewer constants than free operands.
    pub fn items(&self) -> Result<Vec<Item<Value>>, QuestionError> {
        let mut free = self.constants.iter();
        let mut known = |operand: &Operand| match operand {
            Operand::Fixed(value) => Ok(value.clone()),
            Operand::Free => free.next().cloned().ok_or(QuestionError::FreeConstants),
        };
        let mut items = Vec::with_capacity(self.shape.items.len());
        for item in &self.shape.items {
            items.push(match item {
                Item::Disclose(column) => Item::Disclose(*column),
                Item::Prove(predicate) => {
                    Item::Prove(predicate.try_map(|comparison| comparison.operands.iter().map(&mut known).collect())?)
                }
            });
        }
        if free.next().is_some() {
            return Err(QuestionError::FreeConstants);
        }
        Ok(items)
    }

    /// The question in SQL, in its one canonical spelling: columns as the schema writes them, every
    /// constant given, one key spelled out in the order of the schema, several as `?`.
    pub fn display(&self, schema: &Schema, table: &str) -> String {
        let shape = self.filled().unwrap_or_else(|| self.shape.clone());
        let key = match self.keys.as_slice() {
            [key] => key_literal(schema, key),
            _ => schema.key_columns().map(|c| format!("{} = ?", quoted(&c.name))).collect::<Vec<_>>().join(" AND "),
        };
        let items = match shape.form(schema) {
            Ok(Form::Opening) => "*".into(),
            _ => shape.display(schema),
        };
        format!("SELECT {items} FROM {} WHERE {key}", quoted(table))
    }

    /// The question's shape with every constant filled in.
    pub fn filled(&self) -> Option<Shape> {
        let item = |item| match item {
            Item::Disclose(column) => Item::Disclose(column),
            Item::Prove(predicate) => Item::Prove(Predicate::<Value>::fixed(&predicate)),
        };
        Some(Shape { items: self.items().ok()?.into_iter().map(item).collect(), keys: self.shape.keys })
    }

    /// The same question in the given shape, whose predicates may be fixed or free in other
    /// places. `None` when that shape asks something else.
    pub fn reshaped(&self, shape: &Shape) -> Option<Question> {
        let items = self.items().ok()?;
        if items.len() != shape.items.len() || shape.keys != self.shape.keys {
            return None;
        }
        let mut constants = Vec::new();
        for (item, wanted) in items.into_iter().zip(&shape.items) {
            match (item, wanted) {
                (Item::Disclose(column), Item::Disclose(other)) if column == *other => {}
                (Item::Prove(predicate), Item::Prove(wanted)) => constants.extend(predicate.constants_for(wanted)?),
                _ => return None,
            }
        }
        Some(Question { shape: shape.clone(), constants, keys: self.keys.clone() })
    }

    /// The same question as a grant of these predicates allows it to be asked: what the grant
    /// names stands in the shape as it names it, and all other constants are left free, so that
    /// what is going to be denied is not published either.
    #[must_use]
    pub fn shaped_for(&self, granted: &[Predicate]) -> Question {
        let Ok(items) = self.items() else { return self.clone() };
        let item = |item| match item {
            Item::Disclose(column) => Item::Disclose(column),
            Item::Prove(predicate) => Item::Prove(predicate.named_by(granted)),
        };
        let shape = Shape { items: items.into_iter().map(item).collect(), keys: self.shape.keys };
        self.reshaped(&shape).unwrap_or_else(|| self.clone())
    }
}

pub(crate) fn key_names(schema: &Schema) -> String {
    let parts: Vec<String> = schema.key_columns().map(|c| format!("{} = …", quoted(&c.name))).collect();
    parts.join(" AND ")
}

/// A key as a WHERE clause spells it.
pub fn key_literal(schema: &Schema, key: &[Value]) -> String {
    let part =
        |(column, value): (&Column, &Value)| format!("{} = {}", quoted(&column.name), value.literal(column.kind));
    schema.key_columns().zip(key).map(part).collect::<Vec<_>>().join(" AND ")
}

/// What an item's answer is.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SlotAnswer {
    /// The disclosed value, perhaps null.
    Value(Value),
    /// SQL's truth value: `None` is NULL.
    Truth(Option<bool>),
}

impl SlotAnswer {
    /// How it is written on a terminal; `kind` is the column's type.
    pub fn display(&self, kind: ColumnType) -> String {
        match self {
            // A text that could be taken for NULL, or for such a quoted text, is quoted.
            SlotAnswer::Value(value @ Value::Text(text)) if text == "NULL" || text.starts_with('\'') => {
                value.literal(kind)
            }
            SlotAnswer::Value(value) => value.display(kind),
            SlotAnswer::Truth(Some(truth)) => truth.to_string(),
            SlotAnswer::Truth(None) => "NULL".into(),
        }
    }
}
