//! Questions about one record: the SQL people write, and its typed, canonical form
//! (docs/spec/question.md).
//!
//! A [`Question`] splits into its [`Shape`], which the ledger sees and a grant allows or denies,
//! and the rest (the key, and constants left free by the shape), which only the owner sees.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::schema::{Column, Schema};
use crate::value::{ColumnType, Value};

pub mod sql;

pub use sql::QuestionError;

/// Items one question may have: the circuits' slots.
pub const SLOTS: usize = 4;

/// A comparison of a field with constants.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
pub enum Comparison {
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
}

impl Comparison {
    /// How many constants it takes.
    pub fn operands(self) -> usize {
        match self {
            Comparison::Between | Comparison::NotBetween => 2,
            _ => 1,
        }
    }

    /// Whether it compares by order, not only by equality.
    pub fn is_ordering(self) -> bool {
        !matches!(self, Comparison::Eq | Comparison::Ne)
    }

    /// The comparison that is true exactly where this one is false.
    #[must_use]
    pub fn negated(self) -> Comparison {
        match self {
            Comparison::Eq => Comparison::Ne,
            Comparison::Ne => Comparison::Eq,
            Comparison::Lt => Comparison::Ge,
            Comparison::Ge => Comparison::Lt,
            Comparison::Le => Comparison::Gt,
            Comparison::Gt => Comparison::Le,
            Comparison::Between => Comparison::NotBetween,
            Comparison::NotBetween => Comparison::Between,
        }
    }

    /// SQL's three-valued answer: `None` when the value is null.
    pub fn holds(self, value: &Value, operands: &[Value]) -> Option<bool> {
        if *value == Value::Null {
            return None;
        }
        let first = operands.first()?;
        Some(match self {
            Comparison::Eq => value == first,
            Comparison::Ne => value != first,
            Comparison::Lt => value < first,
            Comparison::Le => value <= first,
            Comparison::Gt => value > first,
            Comparison::Ge => value >= first,
            Comparison::Between => value >= first && value <= operands.get(1)?,
            Comparison::NotBetween => value < first || value > operands.get(1)?,
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

/// A predicate on one field, perhaps with free constants: what a grant names and a shape carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Predicate {
    /// Position of the field in the schema.
    pub column: u8,
    /// The comparison.
    pub comparison: Comparison,
    /// As many as the comparison takes; all fixed or all free.
    pub operands: Vec<Operand>,
}

impl Predicate {
    /// The same predicate with its constants left free.
    #[must_use]
    pub fn freed(&self) -> Predicate {
        Predicate { operands: vec![Operand::Free; self.operands.len()], ..self.clone() }
    }

    /// Whether this predicate, as granted, allows `asked`: the same field and comparison, and
    /// either the same constants or free ones on both sides.
    pub fn allows(&self, asked: &Predicate) -> bool {
        self == asked
    }

    /// How it is written in SQL; free constants as `?`.
    pub fn display(&self, schema: &Schema) -> String {
        let Some(column) = schema.at(self.column) else {
            return format!("column {} of another schema", self.column);
        };
        let operand = |i: usize| match self.operands.get(i) {
            Some(Operand::Fixed(value)) => value.literal(column.kind),
            Some(Operand::Free) => "?".into(),
            None => "missing".into(),
        };
        let name = quoted(&column.name);
        match self.comparison {
            Comparison::Between => format!("{name} BETWEEN {} AND {}", operand(0), operand(1)),
            Comparison::NotBetween => format!("{name} NOT BETWEEN {} AND {}", operand(0), operand(1)),
            Comparison::Eq => format!("{name} = {}", operand(0)),
            Comparison::Ne => format!("{name} <> {}", operand(0)),
            Comparison::Lt => format!("{name} < {}", operand(0)),
            Comparison::Le => format!("{name} <= {}", operand(0)),
            Comparison::Gt => format!("{name} > {}", operand(0)),
            Comparison::Ge => format!("{name} >= {}", operand(0)),
        }
    }
}

/// A name as SQL needs it: bare where it can be, in double quotes otherwise.
pub fn quoted(name: &str) -> String {
    let bare = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if bare { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// One item of a shape.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum ShapeItem {
    /// The field's value is disclosed.
    Disclose(u8),
    /// Only the predicate's truth is revealed.
    Prove(Predicate),
}

impl ShapeItem {
    /// The field it is about.
    pub fn column<'a>(&self, schema: &'a Schema) -> Option<&'a Column> {
        match self {
            ShapeItem::Disclose(column) => schema.at(*column),
            ShapeItem::Prove(predicate) => schema.at(predicate.column),
        }
    }

    /// How it is written in SQL.
    pub fn display(&self, schema: &Schema) -> String {
        match self {
            ShapeItem::Disclose(column) => {
                schema.at(*column).map_or_else(|| format!("column {column}"), |c| quoted(&c.name))
            }
            ShapeItem::Prove(predicate) => predicate.display(schema),
        }
    }
}

/// Everything of a question but its key and its free constants: public on the ledger. No items
/// at all asks only whether the record exists.
#[derive(Debug, Clone, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Shape {
    /// 0 to [`SLOTS`] items, in the order in which they are asked.
    pub items: Vec<ShapeItem>,
}

impl Shape {
    /// Checks that items fit the schema: positions exist, operands have the column's type and
    /// number, order is asked only of ordered types, constants are not null.
    ///
    /// # Errors
    /// [`QuestionError`] naming the item.
    pub fn validate(&self, schema: &Schema) -> Result<(), QuestionError> {
        if self.items.len() > SLOTS {
            return Err(QuestionError::TooManyItems(self.items.len()));
        }
        for item in &self.items {
            match item {
                ShapeItem::Disclose(column) => {
                    column_at(schema, *column)?;
                }
                ShapeItem::Prove(predicate) => predicate.validate(schema)?,
            }
        }
        Ok(())
    }

    /// How it is written in SQL, without its key.
    pub fn display(&self, schema: &Schema) -> String {
        if self.items.is_empty() {
            return "1".into();
        }
        let items: Vec<String> = self.items.iter().map(|item| item.display(schema)).collect();
        items.join(", ")
    }
}

impl Predicate {
    /// Checks the predicate against a schema; see [`Shape::validate`].
    ///
    /// # Errors
    /// [`QuestionError`] naming the column.
    pub fn validate(&self, schema: &Schema) -> Result<(), QuestionError> {
        let column = column_at(schema, self.column)?;
        if self.comparison.is_ordering() && !column.kind.is_ordered() {
            return Err(QuestionError::NotOrdered { column: column.name.clone(), kind: column.kind });
        }
        let free = self.operands.iter().filter(|o| **o == Operand::Free).count();
        let whole = self.operands.len() == self.comparison.operands() && (free == 0 || free == self.operands.len());
        if !whole {
            return Err(QuestionError::Operands { column: column.name.clone() });
        }
        for operand in &self.operands {
            if let Operand::Fixed(value) = operand {
                constant_fits(column, value)?;
            }
        }
        Ok(())
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

/// A whole question: its shape, the constants the shape leaves free, and the key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Question {
    /// What the ledger sees.
    pub shape: Shape,
    /// The free constants, in the order of the shape's free operands.
    pub constants: Vec<Value>,
    /// The key's values, in the order of the schema's key.
    pub key: Vec<Value>,
}

/// One item of a question with all constants known: what a slot of the circuit answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Disclose the field.
    Disclose(u8),
    /// Prove the comparison with these constants.
    Prove {
        /// Position of the field.
        column: u8,
        /// The comparison.
        comparison: Comparison,
        /// Its constants.
        operands: Vec<Value>,
    },
}

impl Question {
    /// Checks shape, constants and key against the schema.
    ///
    /// # Errors
    /// [`QuestionError`] naming what does not fit.
    pub fn validate(&self, schema: &Schema) -> Result<(), QuestionError> {
        self.shape.validate(schema)?;
        for item in self.items()? {
            if let Item::Prove { column, operands, .. } = item {
                let column = column_at(schema, column)?;
                operands.iter().try_for_each(|value| constant_fits(column, value))?;
            }
        }
        schema.key_bytes(&self.key).map_err(|_| QuestionError::Key { columns: key_names(schema) })?;
        Ok(())
    }

    /// The items with their constants filled in, in order.
    ///
    /// # Errors
    /// [`QuestionError::FreeConstants`] when there are more or fewer constants than free operands.
    pub fn items(&self) -> Result<Vec<Item>, QuestionError> {
        let mut free = self.constants.iter();
        let mut items = Vec::with_capacity(self.shape.items.len());
        for item in &self.shape.items {
            items.push(match item {
                ShapeItem::Disclose(column) => Item::Disclose(*column),
                ShapeItem::Prove(predicate) => Item::Prove {
                    column: predicate.column,
                    comparison: predicate.comparison,
                    operands: predicate
                        .operands
                        .iter()
                        .map(|operand| match operand {
                            Operand::Fixed(value) => Ok(value.clone()),
                            Operand::Free => free.next().cloned().ok_or(QuestionError::FreeConstants),
                        })
                        .collect::<Result<_, _>>()?,
                },
            });
        }
        if free.next().is_some() {
            return Err(QuestionError::FreeConstants);
        }
        Ok(items)
    }

    /// The question in SQL, in its one canonical spelling: columns as the schema writes them, every
    /// constant given, the key in the order of the schema.
    pub fn display(&self, schema: &Schema, table: &str) -> String {
        let shape = self.filled().unwrap_or_else(|| self.shape.clone());
        let part =
            |(column, value): (&Column, &Value)| format!("{} = {}", quoted(&column.name), value.literal(column.kind));
        let key: Vec<String> = schema.key_columns().zip(&self.key).map(part).collect();
        format!("SELECT {} FROM {} WHERE {}", shape.display(schema), quoted(table), key.join(" AND "))
    }

    /// The question's shape with every constant filled in.
    pub fn filled(&self) -> Option<Shape> {
        let item = |item| match item {
            Item::Disclose(column) => ShapeItem::Disclose(column),
            Item::Prove { column, comparison, operands } => {
                let operands = operands.into_iter().map(Operand::Fixed).collect();
                ShapeItem::Prove(Predicate { column, comparison, operands })
            }
        };
        Some(Shape { items: self.items().ok()?.into_iter().map(item).collect() })
    }

    /// The same question in the given shape, whose predicates may be fixed or free in other
    /// places. `None` when that shape asks something else.
    pub fn reshaped(&self, shape: &Shape) -> Option<Question> {
        let items = self.items().ok()?;
        if items.len() != shape.items.len() {
            return None;
        }
        let mut constants = Vec::new();
        for (item, wanted) in items.into_iter().zip(&shape.items) {
            match (item, wanted) {
                (Item::Disclose(column), ShapeItem::Disclose(other)) if column == *other => {}
                (Item::Prove { column, comparison, operands }, ShapeItem::Prove(predicate))
                    if column == predicate.column && comparison == predicate.comparison =>
                {
                    let free = predicate.operands.iter().all(|operand| *operand == Operand::Free);
                    let fixed = operands.iter().cloned().map(Operand::Fixed).eq(predicate.operands.iter().cloned());
                    match (free, fixed) {
                        (true, _) => constants.extend(operands),
                        (false, true) => {}
                        (false, false) => return None,
                    }
                }
                _ => return None,
            }
        }
        Some(Question { shape: shape.clone(), constants, key: self.key.clone() })
    }
}

pub(crate) fn key_names(schema: &Schema) -> String {
    let parts: Vec<String> = schema.key_columns().map(|c| format!("{} = …", quoted(&c.name))).collect();
    parts.join(" AND ")
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
