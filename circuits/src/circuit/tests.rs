//! Every relation broken in turn, and both the reference and the circuit say no.

use super::*;
use crate::bytes::Context;
use crate::question::{Comparison, Item, SlotAnswer};
use crate::record::{RecordCommitment, RecordHasher, Salt, field_to_bytes};
use crate::schema::{Column, ColumnUse, Schema};
use crate::statement::{answers, reference};
use crate::value::{ColumnType, Value, power_of_two};
use proptest::prelude::*;

fn schema(fields: usize) -> Schema {
    let kinds = [
        ColumnType::Int,
        ColumnType::Decimal(2),
        ColumnType::Text,
        ColumnType::Date,
        ColumnType::Bool,
        ColumnType::Timestamp,
    ];
    let column = |i: usize| Column {
        name: format!("c{i}"),
        kind: kinds[i % kinds.len()],
        allowed: ColumnUse { disclose: true, prove: true },
    };
    Schema { columns: (0..fields).map(column).collect(), key: vec![0] }
}

fn value_of(kind: ColumnType) -> BoxedStrategy<Value> {
    let number = || prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0i64), -3i64..3, any::<i64>()];
    let some: BoxedStrategy<Value> = match kind {
        ColumnType::Int => number().prop_map(Value::Int).boxed(),
        ColumnType::Decimal(_) => number().prop_map(Value::Decimal).boxed(),
        ColumnType::Date => number().prop_map(Value::Date).boxed(),
        ColumnType::Timestamp => number().prop_map(Value::Timestamp).boxed(),
        ColumnType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        ColumnType::Text => "[ab多]{0,3}".prop_map(Value::Text).boxed(),
    };
    prop_oneof![4 => some, 1 => Just(Value::Null)].boxed()
}

fn item_of(schema: &Schema) -> BoxedStrategy<Item> {
    let schema = schema.clone();
    (0..schema.columns.len() as u8)
        .prop_flat_map(move |column| {
            let kind = schema.at(column).unwrap().kind;
            let constant = || value_of(kind).prop_filter("not null", |v| *v != Value::Null);
            let any_comparison = prop::sample::select(vec![
                Comparison::Eq,
                Comparison::Ne,
                Comparison::Lt,
                Comparison::Le,
                Comparison::Gt,
                Comparison::Ge,
                Comparison::Between,
                Comparison::NotBetween,
            ]);
            let comparison = any_comparison.prop_filter("ordered", move |c| kind.is_ordered() || !c.is_ordering());
            prop_oneof![
                Just(Item::Disclose(column)),
                (comparison, constant(), constant()).prop_map(move |(comparison, a, b)| {
                    let operands = if comparison.operands() == 2 { vec![a, b] } else { vec![a] };
                    Item::Prove { column, comparison, operands }
                }),
            ]
        })
        .boxed()
}

struct Case {
    statement: Statement,
    elements: Vec<Fr>,
    salt: Fr,
}

fn case(schema: &Schema, values: &[Value], items: &[Item]) -> Case {
    let hasher = RecordHasher::new(schema);
    let salt = Salt::derive(&[9; 32], b"key", 1);
    let commitment = hasher.commit(values, &salt).unwrap();
    let answers = answers(items, values).unwrap();
    let statement = Statement::new(schema, items, &answers, &commitment, &Context([5; 32])).unwrap();
    Case { statement, elements: hasher.elements(values).unwrap(), salt: salt.to_field() }
}

fn cases(fields: usize) -> impl Strategy<Value = (Schema, Vec<Value>, Vec<Item>)> {
    let schema = schema(fields);
    let values: Vec<_> = schema.columns.iter().map(|c| value_of(c.kind)).collect();
    (Just(schema.clone()), values, prop::collection::vec(item_of(&schema), 0..=4))
}

fn shapes() -> &'static [Shape; 2] {
    static SHAPES: std::sync::LazyLock<[Shape; 2]> = std::sync::LazyLock::new(|| Circuit::ALL.map(shape));
    &SHAPES
}

fn shape_of(circuit: Circuit) -> &'static Shape {
    &shapes()[Circuit::ALL.iter().position(|c| *c == circuit).unwrap()]
}

fn accepted(case: &Case) -> (bool, bool) {
    let assignment = assignment(&case.statement, &case.elements, case.salt);
    (
        reference::check(&case.statement, &case.elements, case.salt).is_ok(),
        shape_of(case.statement.circuit).violated(&assignment).is_none(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn true_statements_hold((schema, values, items) in prop_oneof![cases(6), cases(15), cases(16), cases(31)]) {
        prop_assert_eq!(accepted(&case(&schema, &values, &items)), (true, true));
    }

    #[test]
    fn false_answers_do_not((schema, values, items) in prop_oneof![cases(6), cases(17)], pick in any::<prop::sample::Index>(), other in any::<u8>()) {
        prop_assume!(!items.is_empty());
        let mut case = case(&schema, &values, &items);
        let slot = &mut case.statement.slots[pick.index(items.len())];
        if slot.disclose {
            slot.lo += Fr::from(u64::from(other) + 1);
        } else {
            // Each of the three other claims, the impossible one included.
            let claim = (u8::from(slot.truth) + 2 * u8::from(slot.null) + 1 + other % 3) % 4;
            slot.truth = claim & 1 == 1;
            slot.null = claim & 2 == 2;
        }
        prop_assert_eq!(accepted(&case), (false, false));
    }

    #[test]
    fn another_record_schema_or_salt_does_not_open((schema, values, items) in cases(15), field in 0usize..15) {
        let good = case(&schema, &values, &items);
        let alter = |change: &dyn Fn(&mut Case)| {
            let mut altered = Case { statement: good.statement.clone(), elements: good.elements.clone(), salt: good.salt };
            change(&mut altered);
            accepted(&altered)
        };
        prop_assert_eq!(alter(&|c| c.elements[field] += Fr::ONE), (false, false));
        prop_assert_eq!(alter(&|c| c.salt += Fr::ONE), (false, false));
        prop_assert_eq!(alter(&|c| c.statement.tag += Fr::ONE), (false, false));
        prop_assert_eq!(alter(&|c| c.statement.commitment += Fr::ONE), (false, false));
    }
}

/// A statement with every kind of slot, in both circuits.
fn full_case(fields: usize) -> Case {
    let schema = schema(fields);
    let values: Vec<Value> = schema
        .columns
        .iter()
        .map(|c| match c.kind {
            ColumnType::Int => Value::Int(-7),
            ColumnType::Decimal(_) => Value::Null,
            ColumnType::Date => Value::Date(19_000),
            ColumnType::Timestamp => Value::Timestamp(1),
            ColumnType::Bool => Value::Bool(true),
            ColumnType::Text => Value::Text("x".into()),
        })
        .collect();
    let items = vec![
        Item::Disclose(2),
        Item::Prove { column: 0, comparison: Comparison::Between, operands: vec![Value::Int(-7), Value::Int(3)] },
        Item::Prove { column: 1, comparison: Comparison::Ge, operands: vec![Value::Decimal(500)] },
        Item::Prove { column: 2, comparison: Comparison::Ne, operands: vec![Value::Text("y".into())] },
    ];
    case(&schema, &values, &items)
}

/// No witness is free: whatever single one changes, some constraint breaks. The inverse of zero
/// is the one value that nothing depends on, and stands for no claim.
#[test]
fn every_variable_is_constrained() {
    for fields in [15, 31] {
        let case = full_case(fields);
        let shape = shape_of(case.statement.circuit);
        let good = assignment(&case.statement, &case.elements, case.salt);
        assert_eq!(good.len(), 1 + shape.publics + shape.witnesses);
        assert_eq!(shape.violated(&good), None);
        let mut free = Vec::new();
        for i in 1 + shape.publics..good.len() {
            for delta in [Fr::ONE, -Fr::ONE, power_of_two(64), -good[i]] {
                let mut bad = good.clone();
                bad[i] += delta;
                if bad[i] != good[i] && shape.violated(&bad).is_none() {
                    free.push(i);
                }
            }
        }
        free.dedup();
        // One for each is_zero gadget whose argument is zero: the disclosed field, the field that
        // equals its lower bound, the null field.
        let zero_arguments = 3;
        assert!(free.iter().all(|i| good[*i] == Fr::ZERO), "{free:?}");
        assert_eq!(free.len(), zero_arguments, "{free:?}");
    }
}

/// Comparator inputs out of range, on either side, with the bits that would make them pass.
#[test]
fn values_and_bounds_outside_64_bits_are_not_compared() {
    let base = full_case(15);
    for (lo, hi) in [
        (range_end(), Fr::from(5u64)),
        (Fr::ZERO, range_end() + range_end()),
        (-Fr::ONE, Fr::from(5u64)),
        (Fr::ZERO, -Fr::from(2u64)),
    ] {
        for claim in 0..4u8 {
            let mut case = Case { statement: base.statement.clone(), elements: base.elements.clone(), salt: base.salt };
            let slot = &mut case.statement.slots[1];
            (slot.lo, slot.hi, slot.truth, slot.null) = (lo, hi, claim & 1 == 1, claim & 2 == 2);
            // The circuit relies on the verifier for this, which builds bounds from 64-bit integers.
            assert!(!accepted(&case).0);
        }
    }
    // An owner who commits to an "integer" far outside its type cannot have it compared.
    for element in [-Fr::ONE, power_of_two(80), power_of_two(248)] {
        let mut case = full_case(15);
        case.elements[0] = element;
        case.statement.commitment = crate::record::commit_elements(case.statement.tag, &case.elements, case.salt);
        for claim in 0..4u8 {
            let slot = &mut case.statement.slots[1];
            (slot.lo, slot.hi) = (Fr::from(10u64), Fr::from(20u64));
            (slot.truth, slot.null) = (claim & 1 == 1, claim & 2 == 2);
            assert_eq!(accepted(&case), (false, false));
        }
    }
}

/// Pinned: a change of any of these needs new parameters and a line in CHANGELOG.md.
#[test]
fn shapes_are_pinned() {
    for (circuit, constraints) in [(Circuit::Record15, 1291), (Circuit::Record31, 1971)] {
        let shape = shape_of(circuit);
        assert_eq!((shape.constraints(), shape.publics), (constraints, 12));
        assert_eq!(shape.digest().to_string(), circuit.pinned_shape());
    }
}

#[test]
fn commitment_bytes_are_canonical() {
    let case = full_case(15);
    let bytes = RecordCommitment(field_to_bytes(&case.statement.commitment));
    assert_eq!(bytes.to_field().unwrap(), case.statement.commitment);
    assert!(matches!(
        Statement::new(&schema(15), &[Item::Disclose(0)], &[SlotAnswer::Truth(None)], &bytes, &Context([0; 32])),
        Err(crate::statement::StatementError::Kind(1))
    ));
}
