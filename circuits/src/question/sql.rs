//! The SQL in which questions and grants are written, read with `sqlparser`
//! (docs/spec/question.md#sql).

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, ObjectNamePart, SelectItem, SetExpr, Statement, TableFactor, UnaryOperator,
    Value as SqlValue,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::{
    Comparison, Connective, Item, KEYS_MAX, LEVELS_MAX, Operand, Operator, Predicate, Question, SET_MAX, SET_OF_TERM,
    Shape, TERMS_MAX, key_names,
};
use crate::schema::{Column, Schema};
use crate::value::{ColumnType, Value, ValueError};

/// Longest SQL text that is read, in bytes.
pub const SQL_BYTES_MAX: usize = 65_536;

/// Most words and signs in it, constants and commas not counted.
const TOKENS_MAX: usize = 512;

/// Words that name a column or table only in double quotes, in order: bare, the parser takes them
/// for something else in some place or other.
pub(super) const RESERVED: [&str; 50] = [
    "ALL",
    "ANALYZE",
    "ANY",
    "CLUSTER",
    "CURRENT_CATALOG",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "DISTINCT",
    "DISTRIBUTE",
    "END",
    "EXCEPT",
    "EXCLUDE",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FETCH",
    "FROM",
    "GROUP",
    "HAVING",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "LATERAL",
    "LIMIT",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "MINUS",
    "NOT",
    "NULL",
    "OFFSET",
    "ORDER",
    "RETURNING",
    "SELECT",
    "SESSION_USER",
    "SOME",
    "SORT",
    "STRUCT",
    "TABLE",
    "TOP",
    "TRIM",
    "TRUE",
    "UNION",
    "UNNEST",
    "USER",
    "VALUES",
    "VIEW",
    "WHERE",
    "WITH",
];

/// Why a text is not a question that can be proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// Longer than [`SQL_BYTES_MAX`], or of too many words.
    #[error("the question is {0} bytes long; at most {SQL_BYTES_MAX} are read, and {TOKENS_MAX} words and signs")]
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
    /// More terms than the largest circuit has.
    #[error(
        "the question takes {0} terms and one proof holds {TERMS_MAX} (a column or comparison takes one, IN one for \
         every {SET_OF_TERM} constants): ask in several questions, or SELECT * for the whole record"
    )]
    TooManyTerms(usize),
    /// One predicate that is too large by itself.
    #[error(
        "a predicate of {comparisons} comparisons, with AND and OR {levels} levels deep, is too large to be proven at \
         once: at most {TERMS_MAX} comparisons (IN, of up to {SET_MAX} constants, counts one for every {SET_OF_TERM}) \
         and {LEVELS_MAX} levels"
    )]
    TooLarge {
        /// How many comparisons it has.
        comparisons: usize,
        /// How deep AND and OR are nested.
        levels: u8,
    },
    /// Joints that no spelling leads to.
    #[error("the predicate's comparisons are not joined in the canonical way")]
    Joints,
    /// No key, too many, or not as many as the shape says.
    #[error("the question names {0} keys; 1 to {KEYS_MAX} are asked about at once")]
    Keys(usize),
    /// A key that is named twice.
    #[error("the key {key} is named twice")]
    RepeatedKey {
        /// The key.
        key: String,
    },
    /// An ordering on a type that has none.
    #[error("column '{column}' is of type {kind}, which has no order: only =, <>, IN and IS NULL can be proven")]
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
    /// Wrong number of constants, fixed and free ones mixed, or a set that does not ascend.
    #[error(
        "the predicate on column '{column}' has a wrong number of constants (a set has up to {SET_MAX}), mixes fixed \
         and free ones, or is no ascending set"
    )]
    Operands {
        /// The column.
        column: String,
    },
    /// More or fewer constants than the shape leaves free.
    #[error("the question's constants do not fit its shape: give every constant, ? stands only for keys")]
    FreeConstants,
    /// The WHERE clause does not spell the key.
    #[error("the record is named by its whole key: WHERE {columns}")]
    Key {
        /// The key columns.
        columns: String,
    },
}

const FORM: &str = "write SELECT columns and comparisons FROM table WHERE key = value";
const OPERATORS: &str = "only = <> < <= > >= BETWEEN IN, IS NULL, and NOT, AND, OR between them";

/// The name of the table a question asks about.
///
/// # Errors
/// [`QuestionError`] when the text is not a question.
pub fn table_name(sql: &str) -> Result<String, QuestionError> {
    Ok(parse_select(sql)?.0)
}

/// Reads a question about a table with this schema. All constants are fixed; see
/// [`Question::reshaped`]. `keys` are the records asked about where the WHERE clause leaves the
/// key to them (`key = ?`), and must be empty where it does not.
///
/// # Errors
/// [`QuestionError`], naming the part that is wrong.
pub fn parse_question(sql: &str, schema: &Schema, keys: Vec<Vec<Value>>) -> Result<Question, QuestionError> {
    let (table, projection, selection) = parse_select(sql)?;
    let items = match projection.as_slice() {
        [all @ SelectItem::Wildcard(_)] if all.to_string() == "*" => {
            (0u8..).map(Item::Disclose).take(schema.columns.len()).collect()
        }
        _ => parse_items(&projection, schema)?,
    };
    let selection = selection.ok_or_else(|| QuestionError::Key { columns: key_names(schema) })?;
    let keys = match parse_keys(&selection, schema)? {
        None => keys,
        Some(written) if keys.is_empty() => written,
        Some(_) => {
            return Err(unsupported(&selection, "keys are given beside the question: write ? in place of the key"));
        }
    };
    let count = u16::try_from(keys.len()).map_err(|_| QuestionError::Keys(keys.len()))?;
    let question = Question { shape: Shape { items, keys: count }, constants: Vec::new(), keys };
    question.validate(schema)?;
    // It must be readable again in its canonical spelling, which can be longer.
    match question.display(schema, &table).len() {
        bytes if bytes > SQL_BYTES_MAX => Err(QuestionError::TooLong(bytes)),
        _ => Ok(question),
    }
}

/// Reads one predicate as a grant names it: `FeePaid >= 500`, or `FeePaid >= ?` for any constant.
///
/// # Errors
/// [`QuestionError`], naming the part that is wrong.
pub fn parse_predicate(text: &str, schema: &Schema) -> Result<Predicate, QuestionError> {
    let expr = bounded(text, |parser| parser.parse_expr())?;
    let predicate = parse_condition(&expr, schema, false)?;
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
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize();
    let tokens = tokens.map_err(|error| QuestionError::Syntax(error.to_string()))?;
    // A chain of operators becomes a tree as deep as it is long, whatever the parser's own limit.
    let nests = |token: &&Token| {
        !matches!(token, Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SingleQuotedString(_))
    };
    if tokens.iter().filter(nests).count() > TOKENS_MAX {
        return Err(QuestionError::TooLong(text.len()));
    }
    let mut parser = Parser::new(&GenericDialect {}).with_recursion_limit(24).with_tokens(tokens);
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

fn parse_items(projection: &[SelectItem], schema: &Schema) -> Result<Vec<Item>, QuestionError> {
    let mut items = Vec::new();
    for item in projection {
        let SelectItem::UnnamedExpr(expr) = item else {
            return Err(unsupported(item, "name each column and predicate; * stands alone, and nothing has an alias"));
        };
        match parse_item(expr, schema)? {
            Some(item) => items.push(item),
            None if projection.len() == 1 => {}
            None => return Err(unsupported(expr, "1 stands alone, to ask only whether the record exists")),
        }
    }
    Ok(items)
}

/// `None` is the literal 1, which asks nothing but existence.
fn parse_item(expr: &Expr, schema: &Schema) -> Result<Option<Item>, QuestionError> {
    match expr {
        Expr::Nested(inner) => parse_item(inner, schema),
        Expr::Identifier(name) => Ok(Some(Item::Disclose(lookup(name, schema)?.0))),
        Expr::Value(value) if value.value == SqlValue::Number("1".into(), false) => Ok(None),
        other => Ok(Some(Item::Prove(parse_condition(other, schema, false)?))),
    }
}

/// A predicate, or its negation: NOT is pushed down to the comparisons.
fn parse_condition(expr: &Expr, schema: &Schema, negated: bool) -> Result<Predicate, QuestionError> {
    match expr {
        Expr::Nested(inner) => parse_condition(inner, schema, negated),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => parse_condition(expr, schema, !negated),
        Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
            let connective = if *op == BinaryOperator::And { Connective::And } else { Connective::Or };
            let connective = if negated { connective.negated() } else { connective };
            let members = vec![parse_condition(left, schema, negated)?, parse_condition(right, schema, negated)?];
            Ok(Predicate::join(connective, members))
        }
        other => {
            let comparison = parse_comparison(other, schema)?;
            let operator = if negated { comparison.operator.negated() } else { comparison.operator };
            Ok(Comparison { operator, ..comparison }.into())
        }
    }
}

fn parse_comparison(expr: &Expr, schema: &Schema) -> Result<Comparison, QuestionError> {
    let negate = |operator: Operator, negated: bool| if negated { operator.negated() } else { operator };
    match expr {
        // A column of type bool is a predicate by itself.
        Expr::Identifier(name) => {
            let (column, described) = lookup(name, schema)?;
            if described.kind != ColumnType::Bool {
                return Err(unsupported(expr, "only a column of type bool is true or false by itself"));
            }
            Ok(Comparison { column, operator: Operator::Eq, operands: vec![Operand::Fixed(Value::Bool(true))] })
        }
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
            let (column, _) = column_of(inner, schema)?;
            let operator = negate(Operator::IsNull, matches!(expr, Expr::IsNotNull(_)));
            Ok(Comparison { column, operator, operands: Vec::new() })
        }
        Expr::InList { expr, list, negated } => {
            let (column, described) = column_of(expr, schema)?;
            let mut operands = list.iter().map(|c| operand(c, described)).collect::<Result<Vec<_>, _>>()?;
            if !operands.contains(&Operand::Free) {
                operands.sort();
                operands.dedup();
            }
            let operator = if operands.len() == 1 { Operator::Eq } else { Operator::In };
            Ok(Comparison { column, operator: negate(operator, *negated), operands })
        }
        Expr::Between { expr, negated, low, high } => {
            let (column, described) = column_of(expr, schema)?;
            let operands = vec![operand(low, described)?, operand(high, described)?];
            Ok(Comparison { column, operator: negate(Operator::Between, *negated), operands })
        }
        Expr::BinaryOp { left, op, right } => {
            let operator = match op {
                BinaryOperator::Eq => Operator::Eq,
                BinaryOperator::NotEq => Operator::Ne,
                BinaryOperator::Lt => Operator::Lt,
                BinaryOperator::LtEq => Operator::Le,
                BinaryOperator::Gt => Operator::Gt,
                BinaryOperator::GtEq => Operator::Ge,
                _ => return Err(unsupported(expr, OPERATORS)),
            };
            let (column, described) = column_of(left, schema)?;
            if matches!(right.as_ref(), Expr::Identifier(_)) {
                return Err(unsupported(expr, "two columns cannot be compared; compare a column with a constant"));
            }
            Ok(Comparison { column, operator, operands: vec![operand(right, described)?] })
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

/// The keys that the WHERE clause spells: one, or with IN several of a key of one column; `None`
/// where it leaves them open (`key = ?`).
fn parse_keys(selection: &Expr, schema: &Schema) -> Result<Option<Vec<Vec<Value>>>, QuestionError> {
    let mut selection = selection;
    while let Expr::Nested(inner) = selection {
        selection = inner;
    }
    if let Expr::InList { expr, list, negated: false } = selection
        && schema.key.len() == 1
    {
        let column = key_column(expr, schema)?.1;
        return Ok(Some(list.iter().map(|c| Ok(vec![constant(c, column)?])).collect::<Result<_, QuestionError>>()?));
    }
    let mut given: Vec<(u8, Operand)> = Vec::new();
    collect_equalities(selection, schema, &mut given)?;
    let error = || QuestionError::Key { columns: key_names(schema) };
    if given.len() != schema.key.len() {
        return Err(error());
    }
    let operand_of = |position: &u8| given.iter().find(|(i, _)| i == position).map(|(_, operand)| operand);
    let operands: Vec<&Operand> =
        schema.key.iter().map(|p| operand_of(p).ok_or_else(error)).collect::<Result<_, _>>()?;
    if operands.iter().all(|operand| **operand == Operand::Free) {
        return Ok(None);
    }
    let fixed = |operand: &Operand| match operand {
        Operand::Fixed(value) => Ok(value.clone()),
        Operand::Free => Err(unsupported(selection, "give the whole key, or ? in place of each of its columns")),
    };
    Ok(Some(vec![operands.into_iter().map(fixed).collect::<Result<_, _>>()?]))
}

fn key_column<'a>(expr: &Expr, schema: &'a Schema) -> Result<(u8, &'a Column), QuestionError> {
    let (position, column) = column_of(expr, schema)?;
    if !schema.key.contains(&position) {
        return Err(QuestionError::Key { columns: key_names(schema) });
    }
    Ok((position, column))
}

fn collect_equalities(expr: &Expr, schema: &Schema, out: &mut Vec<(u8, Operand)>) -> Result<(), QuestionError> {
    match expr {
        Expr::Nested(inner) => collect_equalities(inner, schema, out),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            collect_equalities(left, schema, out)?;
            collect_equalities(right, schema, out)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            let (position, column) = key_column(left, schema)?;
            out.push((position, operand(right, column)?));
            Ok(())
        }
        other => Err(QuestionError::Key { columns: format!("{} (found '{other}')", key_names(schema)) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::Form;
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
        parse_question(sql, &schema(), Vec::new())
    }

    #[test]
    fn questions_are_read_as_written() {
        let question = read("SELECT Status, feepaid >= 500 FROM licences WHERE LicenceRSN = 4528701").unwrap();
        assert_eq!(question.keys, vec![vec![Value::Int(4528701)]]);
        assert_eq!(question.shape.display(&schema()), "Status, FeePaid >= 500.00");
        for (sql, shown) in [
            ("NOT FeePaid < -1.5", "FeePaid >= -1.50"),
            ("FeePaid NOT BETWEEN 1 AND 2", "FeePaid NOT BETWEEN 1.00 AND 2.00"),
            ("\"Domain name\" <> 'it''s'", "\"Domain name\" <> 'it''s'"),
            ("Until <= DATE '2024-12-31'", "Until <= '2024-12-31'"),
            ("IssuedDate > '2024-01-01T00:00:00Z'", "IssuedDate > '2024-01-01T00:00:00Z'"),
            ("Active = true", "Active = true"),
            ("Status IN ('b', 'a', 'b')", "Status IN ('a', 'b')"),
            ("NOT Status IN ('b', 'a')", "Status NOT IN ('a', 'b')"),
            ("Status NOT IN ('a')", "Status <> 'a'"),
            ("Until IS NULL", "Until IS NULL"),
            ("NOT Until IS NULL", "Until IS NOT NULL"),
            ("FeePaid > 1 AND Active", "FeePaid > 1.00 AND Active = true"),
            (
                "NOT (FeePaid > 1 AND (NOT Active OR Until IS NULL))",
                "FeePaid <= 1.00 OR (Active = true AND Until IS NOT NULL)",
            ),
            ("FeePaid > 1 AND (FeePaid < 9 AND Active)", "FeePaid > 1.00 AND FeePaid < 9.00 AND Active = true"),
            (
                "(FeePaid > 1 OR Active) AND (FeePaid < 9 OR NOT Active OR Status = 'x')",
                "(FeePaid > 1.00 OR Active = true) AND (FeePaid < 9.00 OR Active <> true OR Status = 'x')",
            ),
            ("*", "LicenceRSN, Status, FeePaid, IssuedDate, \"Domain name\", Active, Until"),
            ("1", "1"),
        ] {
            let question = read(&format!("SELECT {sql} FROM t WHERE LicenceRSN = 1;")).unwrap();
            assert_eq!(question.shape.display(&schema()), shown);
        }
        let free = parse_predicate("FeePaid >= ?", &schema()).unwrap();
        assert_eq!(free.comparisons[0].operands, vec![Operand::Free]);
        assert_eq!(table_name("SELECT Status FROM \"ab-c\" WHERE x = 1").unwrap(), "ab-c");
    }

    /// Whatever a column and its table are called, the canonical spelling is read again, wherever
    /// the name stands: every word that the parser knows, and names that are hardly any.
    #[test]
    fn any_name_can_be_asked_about() {
        use sqlparser::keywords::ALL_KEYWORDS;
        assert!(RESERVED.is_sorted());
        let awkward = ["m²", "x٣", "Ⅷ", "1st", "_", "a\"b", "\"", "--", "?", "名称", "e\u{301}", "a b", "it's", "x.y"];
        for name in ALL_KEYWORDS.iter().chain(&awkward) {
            let mut schema = schema();
            schema.columns[0].name = (*name).to_owned();
            schema.columns[1].name = "some other column".into();
            schema.columns[6].name = "and another".into();
            let item = |column: u8, operator, operands: &[i64]| {
                let operands = operands.iter().map(|n| Operand::Fixed(Value::Int(*n))).collect();
                Predicate::compare(column, operator, operands)
            };
            let either = Predicate::join(
                Connective::Or,
                vec![item(0, Operator::Lt, &[-1]), item(0, Operator::In, &[1, 2]), item(6, Operator::IsNull, &[])],
            );
            let both = Predicate::join(Connective::And, vec![item(6, Operator::IsNull, &[]), either]);
            for items in [
                vec![Item::Disclose(0)],
                vec![Item::Disclose(0), Item::Disclose(1), Item::Disclose(0)],
                vec![Item::Prove(item(0, Operator::Between, &[1, 2])), Item::Disclose(0)],
                vec![Item::Prove(item(0, Operator::IsNotNull, &[])), Item::Prove(item(0, Operator::NotIn, &[1, 2]))],
                vec![Item::Prove(both)],
            ] {
                let shape = Shape { items, keys: 1 };
                let question = Question { shape, constants: Vec::new(), keys: vec![vec![Value::Int(-1)]] };
                let shown = question.display(&schema, name);
                let read = parse_question(&shown, &schema, Vec::new());
                assert_eq!(read.as_ref(), Ok(&question), "{shown}");
                assert_eq!(table_name(&shown).as_deref(), Ok(*name));
                let open = Question { keys: vec![vec![Value::Int(1)], vec![Value::Int(2)]], ..question };
                let open = Question { shape: Shape { keys: 2, ..open.shape }, ..open };
                let shown = open.display(&schema, name);
                assert_eq!(parse_question(&shown, &schema, open.keys.clone()), Ok(open), "{shown}");
            }
        }
    }

    #[test]
    fn what_cannot_be_proven_is_refused_with_the_reason() {
        for (sql, reason) in [
            ("SELECT *, Status FROM t WHERE LicenceRSN = 1", "* stands alone"),
            ("SELECT * EXCEPT (Status) FROM t WHERE LicenceRSN = 1", "* stands alone"),
            ("SELECT * EXCLUDE (Status) FROM t WHERE LicenceRSN = 1", "* stands alone"),
            ("SELECT * REPLACE (1 AS Status) FROM t WHERE LicenceRSN = 1", "* stands alone"),
            ("SELECT * ILIKE 'x' FROM t WHERE LicenceRSN = 1", "* stands alone"),
            ("SELECT * RENAME (Status AS x) FROM t WHERE LicenceRSN = 1", "* stands alone"),
            ("SELECT Status AND Active FROM t WHERE LicenceRSN = 1", "only a column of type bool"),
            ("SELECT Status IN (SELECT 1) FROM t WHERE LicenceRSN = 1", "only ="),
            ("SELECT FeePaid IN (1, NULL) FROM t WHERE LicenceRSN = 1", "NULL whatever"),
            ("SELECT Active IS TRUE FROM t WHERE LicenceRSN = 1", "only ="),
            ("SELECT Status FROM t WHERE LicenceRSN = ?", "0 keys"),
            ("SELECT Status FROM t WHERE LicenceRSN IN (1, 2, 1)", "named twice"),
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
            (
                "SELECT Status, Status, Status, Status, Status, Status, Status, Status, Status FROM t WHERE LicenceRSN = 1",
                "takes 9 terms",
            ),
            ("SELECT 1, Status FROM t WHERE LicenceRSN = 1", "1 stands alone"),
            ("nonsense", "not SQL"),
        ] {
            let error = read(sql).unwrap_err().to_string();
            assert!(error.contains(reason), "{sql}: {error}");
        }
        let deep = format!("SELECT {}Status{} FROM t WHERE LicenceRSN = 1", "(".repeat(4000), ")".repeat(4000));
        assert!(read(&deep).is_err());
        assert!(matches!(read(&"x".repeat(70000)), Err(QuestionError::TooLong(70000))));
    }

    #[test]
    fn freed_constants_move_out_of_the_shape() {
        let question =
            read("SELECT Status, FeePaid BETWEEN 1 AND 2, Status = 'x' FROM t WHERE LicenceRSN = 1").unwrap();
        let mut shape = question.shape.clone();
        if let Item::Prove(predicate) = &mut shape.items[1] {
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

    #[test]
    fn shapes_follow_the_grant() {
        let grant = |texts: &[&str]| -> Vec<Predicate> {
            texts.iter().map(|text| parse_predicate(text, &schema()).unwrap()).collect()
        };
        let asked = |sql: &str, granted: &[Predicate]| {
            let question = read(&format!("SELECT {sql} FROM t WHERE LicenceRSN = 1")).unwrap();
            let shaped = question.shaped_for(granted);
            shaped.validate(&schema()).unwrap();
            assert_eq!(shaped.filled(), question.filled(), "the same question: {sql}");
            let allowed = shaped.shape.items.iter().all(|item| match item {
                Item::Disclose(_) => true,
                Item::Prove(predicate) => predicate.allowed_by(granted),
            });
            (shaped.shape.display(&schema()), allowed)
        };
        let granted = grant(&["FeePaid >= 500", "Status IN (?, ?, ?)", "FeePaid > ? AND FeePaid < ?", "Until IS NULL"]);
        for (sql, shown, allowed) in [
            ("FeePaid >= 500", "FeePaid >= 500.00", true),
            ("FeePaid >= 501", "FeePaid >= ?", false),
            ("Status IN ('a', 'b')", "Status IN (?, ?, ?)", true),
            ("Status = 'a'", "Status IN (?, ?, ?)", true),
            ("Status IN ('a', 'b', 'c', 'd')", "Status IN (?, ?, ?, ?)", false),
            ("FeePaid > 1 AND FeePaid < 7", "FeePaid > ? AND FeePaid < ?", true),
            ("FeePaid < 7 AND FeePaid > 1", "FeePaid < ? AND FeePaid > ?", false),
            ("FeePaid >= 500 OR Until IS NULL", "FeePaid >= 500.00 OR Until IS NULL", true),
            ("FeePaid >= 500 OR Until IS NOT NULL", "FeePaid >= 500.00 OR Until IS NOT NULL", false),
        ] {
            assert_eq!(asked(sql, &granted), (shown.to_owned(), allowed), "{sql}");
        }
    }

    #[test]
    fn keys_are_spelled_listed_or_left_open() {
        let key = |n: i64| vec![Value::Int(n)];
        let several = read("SELECT Status FROM t WHERE LicenceRSN IN (3, 1)").unwrap();
        assert_eq!(several.keys, vec![key(3), key(1)]);
        assert_eq!(several.display(&schema(), "t"), "SELECT Status FROM t WHERE LicenceRSN = ?");
        let open = "SELECT * FROM t WHERE LicenceRSN = ?";
        let filled = parse_question(open, &schema(), vec![key(1), key(2)]).unwrap();
        assert_eq!((filled.shape.keys, filled.display(&schema(), "t").as_str()), (2, open));
        assert!(parse_question("SELECT * FROM t WHERE LicenceRSN = 1", &schema(), vec![key(1)]).is_err());
        assert!(parse_question(open, &schema(), (0..1001).map(key).collect()).is_err());
    }

    #[test]
    fn sets_and_predicates_have_their_limits() {
        let set = |n: usize| format!("Status IN ({})", (0..n).map(|i| format!("'{i}'")).collect::<Vec<_>>().join(", "));
        let ask = |item: &str| read(&format!("SELECT {item} FROM t WHERE LicenceRSN = 1"));
        assert_eq!(ask(&set(256)).unwrap().shape.form(&schema()), Ok(Form::Terms));
        assert_eq!(ask("Status, FeePaid > 1, Until IS NULL").unwrap().shape.form(&schema()), Ok(Form::Slots));
        assert_eq!(ask("*").unwrap().shape.form(&schema()), Ok(Form::Opening));
        assert!(ask(&set(257)).is_err());
        assert!(matches!(ask(&format!("{}, Status", set(256))), Err(QuestionError::TooManyTerms(9))));
        let deep = "Active OR (Active AND (Active OR (Active AND (Active OR Active))))";
        assert!(matches!(ask(deep), Err(QuestionError::TooLarge { .. })));
        assert!(ask(&["Active"; 9].join(" AND ")).is_err());
        assert!(matches!(ask(&["Active"; 600].join(" AND ")), Err(QuestionError::TooLong(_))));
    }
}
