//! The SQL in which questions and grants are written, read with `sqlparser`
//! (docs/spec/question.md#sql).

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, ObjectNamePart, SelectItem, SetExpr, Statement, TableFactor, UnaryOperator,
    Value as SqlValue,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::{Comparison, Operand, Predicate, Question, Shape, ShapeItem, key_names};
use crate::schema::{Column, Schema};
use crate::value::{ColumnType, Value, ValueError};

/// Longest SQL text that is read, in bytes.
pub const SQL_BYTES_MAX: usize = 8192;

/// Why a text is not a question that can be proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// Longer than [`SQL_BYTES_MAX`].
    #[error("the question is {0} bytes long; at most {SQL_BYTES_MAX} are read")]
    TooLong(usize),
    /// Not SQL.
    #[error("the question is not SQL: {0}")]
    Syntax(String),
    /// SQL, but not of the form that can be proven.
    #[error("'{found}' cannot be proven: {reason}")]
    Unsupported {
        /// The part in question.
        found: String,
        /// Why, and what to write instead.
        reason: &'static str,
    },
    /// A name that is no column of the table.
    #[error("the table has no column '{0}'")]
    NoSuchColumn(String),
    /// A position that is no column of the table.
    #[error("the table has no column at position {0}")]
    NoSuchPosition(u8),
    /// More items than the circuits have slots.
    #[error("{0} items are asked at once; at most {max} fit one proof: ask in several questions", max = super::SLOTS)]
    TooManyItems(usize),
    /// An ordering on a type that has none.
    #[error("column '{column}' is of type {kind}, which has no order: only = and <> can be proven")]
    NotOrdered {
        /// The column.
        column: String,
        /// Its type.
        kind: ColumnType,
    },
    /// A constant that does not fit.
    #[error("column '{column}': {error}")]
    Constant {
        /// The column.
        column: String,
        /// What is wrong with it.
        error: ValueError,
    },
    /// A constant of another type.
    #[error("a constant compared with column '{column}' is not of type {kind}")]
    ConstantType {
        /// The column.
        column: String,
        /// Its type.
        kind: ColumnType,
    },
    /// A comparison with NULL, which SQL answers NULL whatever the value.
    #[error("comparing column '{column}' with NULL is NULL whatever its value: compare with a value")]
    NullConstant {
        /// The column.
        column: String,
    },
    /// Wrong number of constants, or fixed and free ones mixed.
    #[error("the predicate on column '{column}' has a wrong number of constants, or mixes fixed and free ones")]
    Operands {
        /// The column.
        column: String,
    },
    /// More or fewer constants than the shape leaves free.
    #[error("the question's free constants do not match its shape")]
    FreeConstants,
    /// The WHERE clause does not spell the key.
    #[error("the record is named by its whole key: WHERE {columns}")]
    Key {
        /// The key columns.
        columns: String,
    },
}

const FORM: &str = "write SELECT columns and comparisons FROM table WHERE key = value";
const OPERATORS: &str = "only = <> < <= > >= BETWEEN, and NOT before one of them";

/// The name of the table a question asks about.
///
/// # Errors
/// [`QuestionError`] when the text is not a question.
pub fn table_name(sql: &str) -> Result<String, QuestionError> {
    Ok(parse_select(sql)?.0)
}

/// Reads a question about a table with this schema. All constants are fixed; see
/// [`Question::reshaped`].
///
/// # Errors
/// [`QuestionError`], naming the part that is wrong.
pub fn parse_question(sql: &str, schema: &Schema) -> Result<Question, QuestionError> {
    let (_, projection, selection) = parse_select(sql)?;
    let alone = projection.len() == 1;
    let mut items = Vec::new();
    for item in projection {
        let SelectItem::UnnamedExpr(expr) = &item else {
            return Err(unsupported(&item, "name each column and comparison; no * and no alias"));
        };
        match parse_item(expr, schema)? {
            Some(item) => items.push(item),
            None if alone => {}
            None => return Err(unsupported(expr, "1 stands alone, to ask only whether the record exists")),
        }
    }
    let selection = selection.ok_or_else(|| QuestionError::Key { columns: key_names(schema) })?;
    let question = Question { shape: Shape { items }, constants: Vec::new(), key: parse_key(&selection, schema)? };
    question.validate(schema)?;
    Ok(question)
}

/// Reads one predicate as a grant names it: `FeePaid >= 500`, or `FeePaid >= ?` for any constant.
///
/// # Errors
/// [`QuestionError`], naming the part that is wrong.
pub fn parse_predicate(text: &str, schema: &Schema) -> Result<Predicate, QuestionError> {
    let expr = bounded(text, |parser| parser.parse_expr())?;
    let predicate = parse_comparison(&expr, schema)?;
    predicate.validate(schema)?;
    Ok(predicate)
}

fn unsupported(found: &impl ToString, reason: &'static str) -> QuestionError {
    QuestionError::Unsupported { found: found.to_string().chars().take(120).collect(), reason }
}

/// Parses the whole text with bounded length and depth.
fn bounded<T>(
    text: &str,
    read: impl FnOnce(&mut Parser<'_>) -> Result<T, sqlparser::parser::ParserError>,
) -> Result<T, QuestionError> {
    if text.len() > SQL_BYTES_MAX {
        return Err(QuestionError::TooLong(text.len()));
    }
    let syntax = |error: sqlparser::parser::ParserError| {
        QuestionError::Syntax(error.to_string().trim_start_matches("sql parser error: ").to_owned())
    };
    let mut parser = Parser::new(&GenericDialect {}).with_recursion_limit(24).try_with_sql(text).map_err(syntax)?;
    let parsed = read(&mut parser).map_err(syntax)?;
    let _ = parser.consume_token(&Token::SemiColon);
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(QuestionError::Syntax(format!("unexpected '{}' after the end", rest.token)));
    }
    Ok(parsed)
}

fn parse_select(sql: &str) -> Result<(String, Vec<SelectItem>, Option<Expr>), QuestionError> {
    let statement = bounded(sql, |parser| parser.parse_statement())?;
    let Statement::Query(query) = &statement else {
        return Err(unsupported(&statement, FORM));
    };
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Err(unsupported(&statement, FORM));
    };
    let [from] = select.from.as_slice() else {
        return Err(unsupported(&statement, "exactly one table after FROM"));
    };
    let TableFactor::Table { name, alias: None, .. } = &from.relation else {
        return Err(unsupported(&from.relation, "exactly one table after FROM, without an alias"));
    };
    let [ObjectNamePart::Identifier(table)] = name.0.as_slice() else {
        return Err(unsupported(name, "the table's name or asset id alone"));
    };
    // Whatever else the grammar has room for (joins, grouping, limits, hints …) would print
    // differently from the three clauses that are read.
    let plain = format!(
        "SELECT {} FROM {}{}",
        select.projection.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        name,
        select.selection.as_ref().map(|s| format!(" WHERE {s}")).unwrap_or_default(),
    );
    if plain != statement.to_string() {
        return Err(unsupported(&statement, FORM));
    }
    Ok((table.value.clone(), select.projection.clone(), select.selection.clone()))
}

/// `None` is the literal 1, which asks nothing but existence.
fn parse_item(expr: &Expr, schema: &Schema) -> Result<Option<ShapeItem>, QuestionError> {
    match expr {
        Expr::Nested(inner) => parse_item(inner, schema),
        Expr::Identifier(name) => Ok(Some(ShapeItem::Disclose(lookup(name, schema)?.0))),
        Expr::Value(value) if value.value == SqlValue::Number("1".into(), false) => Ok(None),
        other => Ok(Some(ShapeItem::Prove(parse_comparison(other, schema)?))),
    }
}

fn parse_comparison(expr: &Expr, schema: &Schema) -> Result<Predicate, QuestionError> {
    match expr {
        Expr::Nested(inner) => parse_comparison(inner, schema),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
            let inner = parse_comparison(expr, schema)?;
            Ok(Predicate { comparison: inner.comparison.negated(), ..inner })
        }
        Expr::Between { expr, negated, low, high } => {
            let (column, described) = column_of(expr, schema)?;
            let comparison = if *negated { Comparison::NotBetween } else { Comparison::Between };
            let operands = vec![operand(low, described)?, operand(high, described)?];
            Ok(Predicate { column, comparison, operands })
        }
        Expr::BinaryOp { left, op, right } => {
            let comparison = match op {
                BinaryOperator::Eq => Comparison::Eq,
                BinaryOperator::NotEq => Comparison::Ne,
                BinaryOperator::Lt => Comparison::Lt,
                BinaryOperator::LtEq => Comparison::Le,
                BinaryOperator::Gt => Comparison::Gt,
                BinaryOperator::GtEq => Comparison::Ge,
                _ => return Err(unsupported(expr, OPERATORS)),
            };
            let (column, described) = column_of(left, schema)?;
            if matches!(right.as_ref(), Expr::Identifier(_)) {
                return Err(unsupported(expr, "two columns cannot be compared; compare a column with a constant"));
            }
            Ok(Predicate { column, comparison, operands: vec![operand(right, described)?] })
        }
        other => Err(unsupported(other, OPERATORS)),
    }
}

fn column_of<'a>(expr: &Expr, schema: &'a Schema) -> Result<(u8, &'a Column), QuestionError> {
    match expr {
        Expr::Nested(inner) => column_of(inner, schema),
        Expr::Identifier(name) => lookup(name, schema),
        other => Err(unsupported(other, "a comparison has a column on its left and a constant on its right")),
    }
}

fn lookup<'a>(name: &Ident, schema: &'a Schema) -> Result<(u8, &'a Column), QuestionError> {
    schema.column(&name.value).ok_or_else(|| QuestionError::NoSuchColumn(name.value.chars().take(60).collect()))
}

fn operand(expr: &Expr, column: &Column) -> Result<Operand, QuestionError> {
    if matches!(expr, Expr::Value(value) if value.value == SqlValue::Placeholder("?".into())) {
        return Ok(Operand::Free);
    }
    Ok(Operand::Fixed(constant(expr, column)?))
}

fn constant(expr: &Expr, column: &Column) -> Result<Value, QuestionError> {
    let name = || column.name.clone();
    let mismatch = || QuestionError::ConstantType { column: name(), kind: column.kind };
    let numeric = matches!(column.kind, ColumnType::Int | ColumnType::Decimal(_));
    let spelled = match expr {
        Expr::Nested(inner) => return constant(inner, column),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => match inner.as_ref() {
            Expr::Value(value) => match &value.value {
                SqlValue::Number(digits, _) if numeric => format!("-{digits}"),
                _ => return Err(mismatch()),
            },
            _ => return Err(unsupported(expr, "only a constant may stand here")),
        },
        Expr::TypedString(typed) => {
            let kind = typed.data_type.to_string();
            let named = match column.kind {
                ColumnType::Date => kind == "DATE",
                ColumnType::Timestamp => kind.starts_with("TIMESTAMP"),
                _ => false,
            };
            return if named { constant(&Expr::Value(typed.value.clone()), column) } else { Err(mismatch()) };
        }
        Expr::Value(value) => match &value.value {
            SqlValue::Null => return Err(QuestionError::NullConstant { column: name() }),
            SqlValue::Number(digits, _) if numeric => digits.clone(),
            SqlValue::Boolean(truth) if column.kind == ColumnType::Bool => truth.to_string(),
            SqlValue::SingleQuotedString(text) if !numeric && column.kind != ColumnType::Bool => text.clone(),
            _ => return Err(mismatch()),
        },
        other => return Err(unsupported(other, "only a constant may stand here")),
    };
    Value::parse(&spelled, column.kind).map_err(|error| QuestionError::Constant { column: name(), error })
}

fn parse_key(selection: &Expr, schema: &Schema) -> Result<Vec<Value>, QuestionError> {
    let mut given: Vec<(u8, Value)> = Vec::new();
    collect_equalities(selection, schema, &mut given)?;
    let error = || QuestionError::Key { columns: key_names(schema) };
    if given.len() != schema.key.len() {
        return Err(error());
    }
    let value_of = |position: &u8| given.iter().find(|(i, _)| i == position).map(|(_, v)| v.clone());
    schema.key.iter().map(|position| value_of(position).ok_or_else(error)).collect()
}

fn collect_equalities(expr: &Expr, schema: &Schema, out: &mut Vec<(u8, Value)>) -> Result<(), QuestionError> {
    match expr {
        Expr::Nested(inner) => collect_equalities(inner, schema, out),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            collect_equalities(left, schema, out)?;
            collect_equalities(right, schema, out)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            let (position, column) = column_of(left, schema)?;
            out.push((position, constant(right, column)?));
            Ok(())
        }
        other => Err(QuestionError::Key { columns: format!("{} (found '{other}')", key_names(schema)) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ColumnUse;

    fn schema() -> Schema {
        let column =
            |name: &str, kind| Column { name: name.into(), kind, allowed: ColumnUse { disclose: true, prove: true } };
        Schema {
            columns: vec![
                column("LicenceRSN", ColumnType::Int),
                column("Status", ColumnType::Text),
                column("FeePaid", ColumnType::Decimal(2)),
                column("IssuedDate", ColumnType::Timestamp),
                column("Domain name", ColumnType::Text),
                column("Active", ColumnType::Bool),
                column("Until", ColumnType::Date),
            ],
            key: vec![0],
        }
    }

    fn read(sql: &str) -> Result<Question, QuestionError> {
        parse_question(sql, &schema())
    }

    #[test]
    fn questions_are_read_as_written() {
        let question = read("SELECT Status, feepaid >= 500 FROM licences WHERE LicenceRSN = 4528701").unwrap();
        assert_eq!(question.key, vec![Value::Int(4528701)]);
        assert_eq!(question.shape.display(&schema()), "Status, FeePaid >= 500.00");
        for (sql, shown) in [
            ("NOT FeePaid < -1.5", "FeePaid >= -1.50"),
            ("FeePaid NOT BETWEEN 1 AND 2", "FeePaid NOT BETWEEN 1.00 AND 2.00"),
            ("\"Domain name\" <> 'it''s'", "\"Domain name\" <> 'it''s'"),
            ("Until <= DATE '2024-12-31'", "Until <= '2024-12-31'"),
            ("IssuedDate > '2024-01-01T00:00:00Z'", "IssuedDate > '2024-01-01T00:00:00Z'"),
            ("Active = true", "Active = true"),
            ("1", "1"),
        ] {
            let question = read(&format!("SELECT {sql} FROM t WHERE LicenceRSN = 1;")).unwrap();
            assert_eq!(question.shape.display(&schema()), shown);
        }
        let free = parse_predicate("FeePaid >= ?", &schema()).unwrap();
        assert_eq!(free.operands, vec![Operand::Free]);
        assert_eq!(table_name("SELECT Status FROM \"ab-c\" WHERE x = 1").unwrap(), "ab-c");
    }

    #[test]
    fn what_cannot_be_proven_is_refused_with_the_reason() {
        for (sql, reason) in [
            ("SELECT * FROM t WHERE LicenceRSN = 1", "no *"),
            ("SELECT Status FROM t", "whole key"),
            ("SELECT Status FROM t WHERE Status = 'x'", "whole key"),
            ("SELECT Status FROM t WHERE LicenceRSN = 1 AND Status = 'x'", "whole key"),
            ("SELECT Status FROM t WHERE LicenceRSN > 1", "whole key"),
            ("SELECT Status < 'x' FROM t WHERE LicenceRSN = 1", "no order"),
            ("SELECT FeePaid = NULL FROM t WHERE LicenceRSN = 1", "NULL whatever"),
            ("SELECT FeePaid = 'x' FROM t WHERE LicenceRSN = 1", "not of type decimal(2)"),
            ("SELECT FeePaid = 1.005 FROM t WHERE LicenceRSN = 1", "'1.005' is not a decimal(2)"),
            ("SELECT Nope FROM t WHERE LicenceRSN = 1", "no column 'Nope'"),
            ("SELECT FeePaid + 1 FROM t WHERE LicenceRSN = 1", "only ="),
            ("SELECT FeePaid > Status FROM t WHERE LicenceRSN = 1", "two columns"),
            ("SELECT Status FROM t, u WHERE LicenceRSN = 1", "one table"),
            ("SELECT Status FROM t WHERE LicenceRSN = 1 LIMIT 1", "write SELECT"),
            ("SELECT DISTINCT Status FROM t WHERE LicenceRSN = 1", "write SELECT"),
            ("DROP TABLE t", "write SELECT"),
            ("SELECT Status FROM t WHERE LicenceRSN = 1; DROP TABLE t", "unexpected 'DROP'"),
            ("SELECT Status, Status, Status, Status, Status FROM t WHERE LicenceRSN = 1", "at most 4"),
            ("SELECT 1, Status FROM t WHERE LicenceRSN = 1", "1 stands alone"),
            ("nonsense", "not SQL"),
        ] {
            let error = read(sql).unwrap_err().to_string();
            assert!(error.contains(reason), "{sql}: {error}");
        }
        let deep = format!("SELECT {}Status{} FROM t WHERE LicenceRSN = 1", "(".repeat(4000), ")".repeat(4000));
        assert!(read(&deep).is_err());
        assert!(matches!(read(&"x".repeat(9000)), Err(QuestionError::TooLong(9000))));
    }

    #[test]
    fn freed_constants_move_out_of_the_shape() {
        let question =
            read("SELECT Status, FeePaid BETWEEN 1 AND 2, Status = 'x' FROM t WHERE LicenceRSN = 1").unwrap();
        let mut shape = question.shape.clone();
        if let ShapeItem::Prove(predicate) = &mut shape.items[1] {
            *predicate = predicate.freed();
        }
        let freed = question.reshaped(&shape).unwrap();
        assert_eq!(freed.constants.len(), 2);
        assert_eq!(freed.items().unwrap(), question.items().unwrap());
        assert_eq!(freed.reshaped(&question.shape).as_ref(), Some(&question));
        assert_ne!(freed.shape, question.shape);
        shape.items.swap(0, 1);
        assert_eq!(question.reshaped(&shape), None);
        let mut wrong = freed.clone();
        wrong.constants.pop();
        assert_eq!(wrong.validate(&schema()), Err(QuestionError::FreeConstants));
    }
}
