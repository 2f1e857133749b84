//! For each circuit the largest record and a question about it that fills all slots or terms.

use sealgate_circuits::bytes::Context;
use sealgate_circuits::question::{Connective, Item, Operator, Predicate};
use sealgate_circuits::record::{RecordHasher, Salt};
use sealgate_circuits::schema::{Column, ColumnUse, Schema};
use sealgate_circuits::statement::{Circuit, Statement, answers};
use sealgate_circuits::value::{ColumnType, Value};

use crate::Fault;

/// A record and what is asked of it.
pub struct Sample {
    /// Integer and text columns in turn.
    pub schema: Schema,
    /// One value a column.
    pub values: Vec<Value>,
    /// The record's salt.
    pub salt: Salt,
    /// Of a circuit with slots one disclosed field, two ranges, one equality; of one with terms also
    /// two sets of 32 joined by OR, and a range and a test for null joined by AND.
    pub statement: Statement,
}

impl Sample {
    /// The sample of a circuit.
    ///
    /// # Errors
    /// None in practice.
    pub fn new(circuit: Circuit) -> Result<Sample, Fault> {
        let fields = u8::try_from(circuit.fields())?;
        let schema = schema(fields);
        let values: Vec<Value> = (0..fields).map(value).collect();
        let salt = Salt::derive(&[1; 32], b"key", 1);
        let commitment = RecordHasher::new(&schema).commit(&values, &salt)?;
        let prove = |column, operator, operands| Item::Prove(Predicate::compare(column, operator, operands));
        let mut items = vec![
            Item::Disclose(1),
            prove(2, Operator::Ge, vec![Value::Int(5)]),
            prove(4, Operator::NotBetween, vec![Value::Int(1), Value::Int(2)]),
            prove(7, Operator::Eq, vec![value(7)]),
        ];
        if circuit.terms() > items.len() {
            let compare = |column, operator, operands| Predicate::compare(column, operator, operands);
            let set = |from: i64| (from..from + 32).map(Value::Int).collect();
            let sets = vec![compare(6, Operator::In, set(0)), compare(8, Operator::In, set(60))];
            items.push(Item::Prove(Predicate::join(Connective::Or, sets)));
            let both =
                vec![compare(10, Operator::Lt, vec![Value::Int(1000)]), compare(12, Operator::IsNotNull, vec![])];
            items.push(Item::Prove(Predicate::join(Connective::And, both)));
        }
        let answers = answers(&items, &values)?;
        let statement = Statement::new(circuit, &schema, &items, &answers, &commitment, &Context([1; 32]))?;
        Ok(Sample { schema, values, salt, statement })
    }
}

/// Integer and text columns in turn, the first the key.
pub fn schema(fields: u8) -> Schema {
    let column = |i: u8| Column {
        name: format!("c{i}"),
        kind: if i.is_multiple_of(2) { ColumnType::Int } else { ColumnType::Text },
        allowed: ColumnUse { disclose: true, prove: true },
    };
    Schema { columns: (0..fields).map(column).collect(), key: vec![0] }
}

/// What stands in column `i`.
pub fn value(i: u8) -> Value {
    if i.is_multiple_of(2) { Value::Int(i64::from(i) * 10) } else { Value::Text(format!("text of column {i}")) }
}

/// The circuits with their names in ratios.
pub const CIRCUITS: [(Circuit, &str); 4] = [
    (Circuit::Record15Slots4, "15"),
    (Circuit::Record31Slots4, "31"),
    (Circuit::Record15Terms8, "15terms"),
    (Circuit::Record31Terms8, "31terms"),
];

/// Name for output and number of fields of the largest record of each width.
pub const SIZES: [(&str, u8); 2] = [("15", 15), ("31", 31)];

/// Constraints of the circuits as `circuits/src/circuit/tests.rs` pins them, by the first digits of
/// the shape's digest: a changed circuit is not given an old number.
const CONSTRAINTS: [(&str, u32); 4] = [("2f91c013", 1291), ("e9a2bfc6", 1971), ("01fe7cc4", 2457), ("7b5e7f5c", 3205)];

/// Constraints of the circuit of this shape, if it is known here.
pub fn constraints(shape_digest: &str) -> Option<u32> {
    CONSTRAINTS.iter().find(|(digest, _)| shape_digest.starts_with(digest)).map(|(_, constraints)| *constraints)
}
