//! Random questions that are written twice: in our SQL, with all its spellings, and for SQLite,
//! which keeps numbers, days and instants as the integers that are compared.

use sealgate_circuits::question::quoted;
use sealgate_circuits::schema::Schema;
use sealgate_circuits::value::{ColumnType, Value};
use sealgate_tests::chance::Chance;

/// One item of a SELECT.
#[derive(Debug, Clone)]
pub enum Wish {
    /// A column by itself.
    Column(usize),
    /// Whether something holds.
    Holds(Condition),
}

/// A condition as it is written.
#[derive(Debug, Clone)]
pub enum Condition {
    Compare {
        column: usize,
        sign: &'static str,
        constant: Constant,
    },
    Between {
        column: usize,
        negated: bool,
        ends: Box<[Constant; 2]>,
    },
    In {
        column: usize,
        negated: bool,
        set: Vec<Constant>,
    },
    Null {
        column: usize,
        negated: bool,
    },
    /// A column of type bool, as a condition.
    Bool(usize),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Nested(Box<Condition>),
}

/// A constant and how we spell it.
#[derive(Debug, Clone)]
pub struct Constant {
    pub value: Value,
    pub ours: String,
}

/// The two languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Ours,
    Sqlite,
}

impl Wish {
    pub fn written(&self, language: Language, schema: &Schema) -> String {
        match self {
            Wish::Column(column) => name(language, schema, *column),
            Wish::Holds(condition) => condition.written(language, schema),
        }
    }
}

/// A column's name: in SQLite `c` and its position.
pub fn name(language: Language, schema: &Schema, column: usize) -> String {
    let found = &schema.columns[column].name;
    match language {
        Language::Sqlite => format!("c{column}"),
        // Case does not matter, and quotes are always allowed.
        Language::Ours if column % 3 == 1 && found.is_ascii() && quoted(found) == *found => found.to_uppercase(),
        Language::Ours if column % 3 == 2 => format!("\"{}\"", found.replace('"', "\"\"")),
        Language::Ours => quoted(found),
    }
}

/// A value as SQLite's literal.
pub fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Int(n) | Value::Decimal(n) | Value::Date(n) | Value::Timestamp(n) => n.to_string(),
        Value::Bool(truth) => u8::from(*truth).to_string(),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
    }
}

impl Constant {
    fn written(&self, language: Language) -> String {
        match language {
            Language::Ours => self.ours.clone(),
            Language::Sqlite => literal(&self.value),
        }
    }
}

impl Condition {
    pub fn written(&self, language: Language, schema: &Schema) -> String {
        let name = |column: &usize| name(language, schema, *column);
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        let joined = |members: &[Condition], word: &str| {
            members.iter().map(|member| member.written(language, schema)).collect::<Vec<_>>().join(word)
        };
        match self {
            Condition::Compare { column, sign, constant } => {
                format!("{} {sign} {}", name(column), constant.written(language))
            }
            Condition::Between { column, negated, ends } => {
                let [low, high] = ends.as_ref();
                let (low, high) = (low.written(language), high.written(language));
                format!("{} {}BETWEEN {low} AND {high}", name(column), not(negated))
            }
            Condition::In { column, negated, set } => {
                let set: Vec<String> = set.iter().map(|constant| constant.written(language)).collect();
                format!("{} {}IN ({})", name(column), not(negated), set.join(", "))
            }
            Condition::Null { column, negated } => format!("{} IS {}NULL", name(column), not(negated)),
            Condition::Bool(column) => name(column),
            Condition::Not(inner) => format!("NOT {}", inner.written(language, schema)),
            Condition::All(members) => joined(members, " AND "),
            Condition::Any(members) => joined(members, " OR "),
            Condition::Nested(inner) => format!("({})", inner.written(language, schema)),
        }
    }

    pub fn nested(self) -> Condition {
        Condition::Nested(Box::new(self))
    }

    pub fn not(self) -> Condition {
        Condition::Not(Box::new(self.nested()))
    }

    /// Terms it takes of a circuit, counted here anew: one a comparison, and for IN one for every 32
    /// different constants.
    pub fn terms(&self) -> usize {
        match self {
            Condition::In { set, .. } => {
                let distinct: std::collections::BTreeSet<&Value> = set.iter().map(|c| &c.value).collect();
                distinct.len().div_ceil(32)
            }
            Condition::Not(inner) | Condition::Nested(inner) => inner.terms(),
            Condition::All(members) | Condition::Any(members) => members.iter().map(Condition::terms).sum(),
            _ => 1,
        }
    }
}

/// Chooses questions about a table.
pub struct Asker<'a> {
    pub chance: &'a mut Chance,
    pub schema: &'a Schema,
    /// Where constants come from, beside made up ones: the values that the table has.
    pub records: &'a [Vec<Value>],
}

impl Asker<'_> {
    /// Items of a question, of as many terms as a circuit has or fewer, rarely a few more.
    pub fn wishes(&mut self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let wanted = 1 + self.chance.below(4);
        let mut left = if self.chance.one_in(16) { 12 } else { 8 };
        for _ in 0..wanted {
            let wish = if self.chance.one_in(4) {
                Wish::Column(self.chance.below(self.schema.columns.len()))
            } else {
                Wish::Holds(self.condition(3, left))
            };
            left = match &wish {
                Wish::Column(_) => left.saturating_sub(1),
                Wish::Holds(condition) => left.saturating_sub(condition.terms()),
            };
            wishes.push(wish);
            if left == 0 {
                break;
            }
        }
        wishes
    }

    /// A condition nested at most so deep, of about so many terms.
    pub fn condition(&mut self, depth: usize, terms: usize) -> Condition {
        if depth == 0 || terms < 2 || self.chance.one_in(2) {
            return self.leaf(terms);
        }
        let mut left = terms;
        let mut members = Vec::new();
        for _ in 0..2 + self.chance.below(2) {
            let member = self.condition(depth - 1, left.div_ceil(2));
            left = left.saturating_sub(member.terms());
            members.push(member);
            if left == 0 {
                break;
            }
        }
        let all = self.chance.one_in(2);
        let members = members.into_iter().map(|member| self.member(member, all)).collect();
        let group = if all { Condition::All(members) } else { Condition::Any(members) };
        match self.chance.below(4) {
            0 => group.not(),
            1 => group.nested(),
            _ => group,
        }
    }

    /// In parentheses where it must be, and sometimes where it need not.
    fn member(&mut self, member: Condition, of_all: bool) -> Condition {
        let needed = matches!(member, Condition::Any(_)) && of_all;
        if needed || self.chance.one_in(4) { member.nested() } else { member }
    }

    fn leaf(&mut self, terms: usize) -> Condition {
        let column = self.chance.below(self.schema.columns.len());
        let kind = self.schema.columns[column].kind;
        let negated = self.chance.one_in(2);
        let leaf = match self.chance.below(8) {
            0 => Condition::Null { column, negated },
            1 if kind == ColumnType::Bool => Condition::Not(Box::new(Condition::Bool(column))),
            1 | 2 => Condition::In { column, negated, set: self.set(column, terms) },
            3 | 4 if kind.is_ordered() => {
                let ends = Box::new([self.constant(column), self.constant(column)]);
                Condition::Between { column, negated, ends }
            }
            _ => {
                let signs: &[&'static str] =
                    if kind.is_ordered() { &["=", "<>", "!=", "<", "<=", ">", ">="] } else { &["=", "<>", "!="] };
                Condition::Compare { column, sign: self.chance.pick(signs), constant: self.constant(column) }
            }
        };
        match self.chance.below(8) {
            0 => Condition::Not(Box::new(leaf)),
            1 => leaf.not().not(),
            _ => leaf,
        }
    }

    /// Of a set sometimes as many as there may be; repeated, in no order.
    fn set(&mut self, column: usize, terms: usize) -> Vec<Constant> {
        let most = 32 * terms.max(1);
        let size = match self.chance.below(8) {
            0 => most,
            1 => 1,
            2 => 1 + self.chance.below(most),
            _ => 2 + self.chance.below(6),
        };
        (0..size).map(|_| self.constant(column)).collect()
    }

    /// A constant for a column: the value of a record, one beside it, or any.
    pub fn constant(&mut self, column: usize) -> Constant {
        let kind = self.schema.columns[column].kind;
        let row = self.chance.below(self.records.len());
        let known = self.records[row][column].clone();
        let value = match self.chance.below(4) {
            0 => value(self.chance, kind),
            1 => beside(self.chance, &known, kind),
            _ if known == Value::Null => value(self.chance, kind),
            _ => known,
        };
        let ours = spelled(self.chance, &value, kind);
        Constant { value, ours }
    }
}

/// First and last day that four digits of a year can spell.
const DAYS: (i64, i64) = (-719_528, 2_932_896);
/// First and last microsecond that can be spelled.
const MICROSECONDS: (i64, i64) = (-377_705_023_201_000_000, 253_402_207_200_999_999);

/// Any value of a type but null, often one at an end.
pub fn value(chance: &mut Chance, kind: ColumnType) -> Value {
    let mut between = |(low, high): (i64, i64)| match chance.below(6) {
        0 => low,
        1 => high,
        2 => 0,
        3 => (chance.below(7) as i64) - 3,
        4 => low.max(-100_000) + (chance.bits() % 200_000) as i64,
        _ => (i128::from(low) + (u128::from(chance.bits()) % (high as i128 - low as i128 + 1) as u128) as i128) as i64,
    };
    match kind {
        ColumnType::Int => Value::Int(between((i64::MIN, i64::MAX))),
        ColumnType::Decimal(_) => Value::Decimal(between((i64::MIN, i64::MAX))),
        ColumnType::Date => Value::Date(between(DAYS).clamp(DAYS.0, DAYS.1)),
        ColumnType::Timestamp => Value::Timestamp(between(MICROSECONDS)),
        ColumnType::Bool => Value::Bool(chance.one_in(2)),
        ColumnType::Text => Value::Text(text(chance)),
    }
}

fn text(chance: &mut Chance) -> String {
    const PIECES: [&str; 20] = [
        "",
        "a",
        "A",
        "b",
        "'",
        "''",
        "\"",
        "\\",
        "\\'",
        "%",
        "?",
        ";",
        "--",
        "\n",
        " ",
        "NULL",
        "多福巷",
        "é",
        "e\u{301}",
        "🦀",
    ];
    (0..chance.below(4)).map(|_| chance.pick(&PIECES)).collect()
}

/// The value next to another one, where there is one.
fn beside(chance: &mut Chance, known: &Value, kind: ColumnType) -> Value {
    let step = if chance.one_in(2) { 1 } else { -1 };
    let moved = |n: &i64| n.saturating_add(step);
    match known {
        Value::Int(n) => Value::Int(moved(n)),
        Value::Decimal(n) => Value::Decimal(moved(n)),
        Value::Date(n) => Value::Date(moved(n).clamp(DAYS.0, DAYS.1)),
        Value::Timestamp(n) => Value::Timestamp(moved(n).clamp(MICROSECONDS.0, MICROSECONDS.1)),
        Value::Bool(truth) => Value::Bool(!truth),
        Value::Text(text) => Value::Text(match chance.below(3) {
            0 => format!("{text} "),
            1 => text.to_lowercase(),
            _ => text.chars().skip(1).collect(),
        }),
        Value::Null => value(chance, kind),
    }
}

/// One of the ways in which our SQL writes a value.
fn spelled(chance: &mut Chance, value: &Value, kind: ColumnType) -> String {
    let plain = value.literal(kind);
    match (value, kind) {
        (Value::Decimal(_), ColumnType::Decimal(scale)) => match chance.below(4) {
            0 if scale > 0 => format!("{plain}00"),
            1 if scale > 0 => plain.trim_end_matches('0').trim_end_matches('.').to_owned(),
            _ => plain,
        },
        (Value::Date(_), _) if chance.one_in(3) => format!("DATE {plain}"),
        (Value::Timestamp(_), _) if chance.one_in(3) => format!("TIMESTAMP {plain}"),
        (Value::Timestamp(_), _) if chance.one_in(3) => plain.replace('Z', "+00:00"),
        (Value::Bool(_), _) if chance.one_in(3) => plain.to_uppercase(),
        _ => plain,
    }
}
