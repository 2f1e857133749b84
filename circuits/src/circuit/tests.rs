//! Every relation broken in turn, and both the reference and the circuit say no.

use super::*;
use crate::bytes::Context;
use crate::question::{Connective, Form, Item, Operator, Predicate, Shape as QuestionShape, SlotAnswer};
use crate::record::{RecordCommitment, RecordHasher, Salt, field_to_bytes};
use crate::schema::{Column, ColumnUse, Schema};
use crate::statement::{Test, answers, reference};
use crate::value::{ColumnType, Value, power_of_two};
use proptest::prelude::*;

mod forging;

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

fn comparison_of(schema: &Schema) -> BoxedStrategy<Predicate<Value>> {
    use Operator::{Between, Eq, Ge, Gt, In, IsNotNull, IsNull, Le, Lt, Ne, NotBetween, NotIn};
    let schema = schema.clone();
    (0..schema.columns.len() as u8)
        .prop_flat_map(move |column| {
            let kind = schema.at(column).unwrap().kind;
            let constant = value_of(kind).prop_filter("not null", |v| *v != Value::Null);
            let all = vec![Eq, Ne, Lt, Le, Gt, Ge, Between, NotBetween, In, NotIn, IsNull, IsNotNull];
            let operator = prop::sample::select(all);
            let operator = operator.prop_filter("ordered", move |o| kind.is_ordered() || !o.is_ordering());
            (operator, prop::collection::vec(constant, 40)).prop_map(move |(operator, mut operands)| {
                let wanted = if operator.is_set() { operands.len() } else { *operator.operands().end() };
                operands.truncate(wanted);
                if operator.is_set() {
                    operands.sort();
                    operands.dedup();
                    if operands.len() == 1 {
                        operands.clear();
                        return Predicate::compare(column, IsNull, operands);
                    }
                }
                Predicate::compare(column, operator, operands)
            })
        })
        .boxed()
}

/// Predicates of up to four comparisons, nested as deep as they come.
fn predicate_of(schema: &Schema) -> BoxedStrategy<Predicate<Value>> {
    comparison_of(schema)
        .prop_recursive(3, 4, 2, |inner| {
            (any::<bool>(), prop::collection::vec(inner, 2))
                .prop_map(|(and, members)| Predicate::join(if and { Connective::And } else { Connective::Or }, members))
        })
        .boxed()
}

fn item_of(schema: &Schema) -> BoxedStrategy<Item<Value>> {
    let columns = schema.columns.len() as u8;
    prop_oneof![1 => (0..columns).prop_map(Item::Disclose), 3 => predicate_of(schema).prop_map(Item::Prove)].boxed()
}

struct Case {
    statement: Statement,
    elements: Vec<Fr>,
    salt: Fr,
}

/// The circuit of a question, `None` for what is too large or opened.
fn circuit_of(schema: &Schema, items: &[Item<Value>]) -> Option<Circuit> {
    let fixed = |item: &Item<Value>| match item {
        Item::Disclose(column) => Item::Disclose(*column),
        Item::Prove(predicate) => Item::Prove(predicate.fixed()),
    };
    let shape = QuestionShape { items: items.iter().map(fixed).collect(), keys: 1 };
    shape.validate(schema).ok()?;
    Circuit::for_question(schema, shape.form(schema).ok()?)
}

fn case(schema: &Schema, values: &[Value], items: &[Item<Value>]) -> Case {
    case_in(circuit_of(schema, items).unwrap(), schema, values, items)
}

fn case_in(circuit: Circuit, schema: &Schema, values: &[Value], items: &[Item<Value>]) -> Case {
    let hasher = RecordHasher::new(schema);
    let salt = Salt::derive(&[9; 32], b"key", 1);
    let commitment = hasher.commit(values, &salt).unwrap();
    let answers = answers(items, values).unwrap();
    let statement = Statement::new(circuit, schema, items, &answers, &commitment, &Context([5; 32])).unwrap();
    Case { statement, elements: hasher.elements(values).unwrap(), salt: salt.to_field() }
}

fn cases(fields: usize) -> impl Strategy<Value = (Schema, Vec<Value>, Vec<Item<Value>>)> {
    let schema = schema(fields);
    let values: Vec<_> = schema.columns.iter().map(|c| value_of(c.kind)).collect();
    let fitting = schema.clone();
    let items = prop::collection::vec(item_of(&schema), 0..=4);
    (Just(schema), values, items.prop_filter("fits a circuit", move |items| circuit_of(&fitting, items).is_some()))
}

fn shapes() -> &'static [Shape; 4] {
    static SHAPES: std::sync::LazyLock<[Shape; 4]> = std::sync::LazyLock::new(|| Circuit::ALL.map(shape));
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
        // Where items end: disclosures, and the claims of predicates.
        let ends: Vec<usize> = (0..case.statement.terms.len()).filter(|i| case.statement.terms[*i].joint == 0).collect();
        let term = &mut case.statement.terms[ends[pick.index(items.len())]];
        if term.test == Test::Disclose {
            term.constants[0] += Fr::from(u64::from(other) + 1);
        } else {
            // Each of the three other claims, the impossible one included.
            let claim = (u8::from(term.truth) + 2 * u8::from(term.null) + 1 + other % 3) % 4;
            term.truth = claim & 1 == 1;
            term.null = claim & 2 == 2;
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

fn full_values(fields: usize) -> Vec<Value> {
    let value = |column: &Column| match column.kind {
        ColumnType::Int => Value::Int(-7),
        ColumnType::Decimal(_) => Value::Null,
        ColumnType::Date => Value::Date(19_000),
        ColumnType::Timestamp => Value::Timestamp(1),
        ColumnType::Bool => Value::Bool(true),
        ColumnType::Text => Value::Text("x".into()),
    };
    schema(fields).columns.iter().map(value).collect()
}

/// A statement with every kind of slot.
fn full_case(fields: usize) -> Case {
    let (schema, values) = (schema(fields), full_values(fields));
    case(&schema, &values, &slots_items())
}

fn slots_items() -> Vec<Item<Value>> {
    let prove = |column, operator, operands| Item::Prove(Predicate::compare(column, operator, operands));
    vec![
        Item::Disclose(2),
        prove(0, Operator::Between, vec![Value::Int(-7), Value::Int(3)]),
        prove(1, Operator::Ge, vec![Value::Decimal(500)]),
        prove(2, Operator::Ne, vec![Value::Text("y".into())]),
    ]
}

/// Every kind of term and joint in the circuits that have them.
fn joined_case(fields: usize) -> Case {
    let full = full_values(fields);
    let compare = |column, operator, operands| Predicate::compare(column, operator, operands);
    let text = |t: &str| Value::Text(t.into());
    let both = Predicate::join(
        Connective::And,
        vec![
            compare(0, Operator::NotBetween, vec![Value::Int(1), Value::Int(3)]),
            compare(2, Operator::In, vec![text("a"), text("x")]),
        ],
    );
    let either = Predicate::join(Connective::Or, vec![both, compare(1, Operator::Lt, vec![Value::Decimal(4)])]);
    let all = Predicate::join(Connective::And, vec![either, compare(1, Operator::IsNull, vec![])]);
    let deep = Predicate::join(Connective::Or, vec![all, compare(4, Operator::Eq, vec![Value::Bool(false)])]);
    let nulls = Predicate::join(
        Connective::Or,
        vec![
            compare(1, Operator::Ge, vec![Value::Decimal(4)]),
            compare(2, Operator::NotIn, vec![text("x"), text("y")]),
        ],
    );
    case(&schema(fields), &full, &[Item::Prove(deep), Item::Disclose(3), Item::Prove(nulls)])
}

/// No witness is free: whatever single one changes, some constraint breaks. The inverse of zero
/// is the one value that nothing depends on, and stands for no claim.
#[test]
fn every_variable_is_constrained() {
    for case in [full_case(15), full_case(31), joined_case(15), joined_case(31)] {
        let shape = shape_of(case.statement.circuit);
        let good = assignment(&case.statement, &case.elements, case.salt);
        assert_eq!(good.len(), 1 + shape.publics + shape.witnesses);
        assert_eq!(shape.violated(&good), None);
        let mut free = Vec::new();
        for i in 1 + shape.publics..good.len() {
            for delta in [Fr::ONE, -Fr::ONE, power_of_two(64), -good[i]] {
                let mut bad = good.clone();
                bad[i] += delta;
                if bad[i] != good[i] && shape.touches(i).all(|row| shape.holds(row, &bad)) {
                    free.push(i);
                }
            }
        }
        free.dedup();
        // One for each is_zero gadget whose argument is zero: null fields, fields that are among
        // their term's constants, unused terms and disclosures among them.
        let zero_arguments = case.statement.terms.iter().map(|term| {
            let value = case.elements.get(term.position).copied().unwrap_or_default();
            let compared = if case.statement.circuit.joins() { &term.constants[..] } else { &term.constants[..1] };
            usize::from(value == null_field()) + usize::from(compared.contains(&value))
        });
        assert!(free.iter().all(|i| good[*i] == Fr::ZERO), "{free:?}");
        assert_eq!(free.len(), zero_arguments.sum::<usize>(), "{free:?}");
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
            let term = &mut case.statement.terms[1];
            term.constants = vec![lo, hi];
            (term.truth, term.null) = (claim & 1 == 1, claim & 2 == 2);
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
            let term = &mut case.statement.terms[1];
            term.constants = vec![Fr::from(10u64), Fr::from(20u64)];
            (term.truth, term.null) = (claim & 1 == 1, claim & 2 == 2);
            assert_eq!(accepted(&case), (false, false));
        }
    }
}

/// Pinned: a change of any of these needs new parameters and a line in CHANGELOG.md.
#[test]
fn shapes_are_pinned() {
    for (circuit, constraints, publics) in [
        (Circuit::Record15Slots4, 1291, 12),
        (Circuit::Record31Slots4, 1971, 12),
        (Circuit::Record15Terms8, 2457, 260),
        (Circuit::Record31Terms8, 3205, 260),
    ] {
        let shape = shape_of(circuit);
        let found = (shape.constraints(), shape.publics, shape.digest().to_string());
        assert_eq!(found, (constraints, publics, circuit.pinned_shape().to_owned()), "{}", circuit.name());
        assert_eq!(circuit.public_inputs(), publics);
    }
}

/// Programs that no verifier builds: the reference refuses each. (The circuit takes its program
/// from the verifier, who builds none of these.)
#[test]
fn malformed_programs_are_refused() {
    let refused = |base: &Case, change: &dyn Fn(&mut Statement)| {
        let mut case = Case { statement: base.statement.clone(), elements: base.elements.clone(), salt: base.salt };
        change(&mut case.statement);
        reference::check(&case.statement, &case.elements, case.salt).unwrap_err()
    };
    let (plain, joined) = (full_case(15), joined_case(15));
    use reference::Violation::{Joint, Position, Terms, Truth};
    assert_eq!(refused(&plain, &|s| s.terms[1].joint = 1), Joint(2));
    assert_eq!(refused(&plain, &|s| s.terms[1].negated = true), Joint(2));
    assert_eq!(refused(&plain, &|s| s.terms[1].test = Test::Null), Joint(2));
    assert_eq!(refused(&plain, &|s| s.terms[0].position = 16), Position(1));
    assert_eq!(refused(&plain, &|s| drop(s.terms.pop())), Terms);
    assert_eq!(refused(&plain, &|s| s.terms[2].constants.push(Fr::ZERO)), Terms);
    assert_eq!(refused(&joined, &|s| s.terms[0].joint = 5), Joint(1));
    assert_eq!(refused(&joined, &|s| s.terms[0].truth = true), Truth(1));
    assert_eq!(refused(&joined, &|s| s.terms[5].joint = 1), Joint(6));
    assert_eq!(refused(&joined, &|s| s.terms[7] = Term { joint: 2, ..s.terms[0].clone() }), Joint(8));
}

/// SQL's truth tables through reference and circuit: every pair of truths under AND and OR, and
/// every triple under two levels either way round.
#[test]
fn joints_follow_the_truth_tables() {
    let schema = schema(15);
    // c0 is an int -7, c1 null: three comparisons that are true, false and null, and what SQL says.
    let values = full_values(15);
    let literal = |truth: Option<bool>| match truth {
        Some(true) => Predicate::compare(0, Operator::Lt, vec![Value::Int(0)]),
        Some(false) => Predicate::compare(0, Operator::Ne, vec![Value::Int(-7)]),
        None => Predicate::compare(1, Operator::Ge, vec![Value::Decimal(0)]),
    };
    let rank = |truth: Option<bool>| truth.map_or(1, |truth| if truth { 2 } else { 0 });
    let table = |and: bool, a: Option<bool>, b: Option<bool>| {
        let ranked = if and { rank(a).min(rank(b)) } else { rank(a).max(rank(b)) };
        [Some(false), None, Some(true)][ranked]
    };
    let connective = |and| if and { Connective::And } else { Connective::Or };
    let truths = [Some(false), None, Some(true)];
    for triple in 0..27 {
        let [a, b, c] = [triple % 3, triple / 3 % 3, triple / 9].map(|i: usize| truths[i]);
        for (outer, inner, left) in [
            (true, false, true),
            (true, false, false),
            (false, true, true),
            (false, true, false),
            (true, true, true),
            (false, false, true),
        ] {
            let group = Predicate::join(connective(inner), vec![literal(a), literal(b)]);
            let members = if left { vec![group, literal(c)] } else { vec![literal(c), group] };
            let predicate = Predicate::join(connective(outer), members);
            let expected = table(outer, table(inner, a, b), c);
            assert_eq!(predicate.holds(&values), expected);
            let mut case = case(&schema, &values, &[Item::Prove(predicate)]);
            assert_eq!(accepted(&case), (true, true));
            for claim in 0..4u8 {
                let claimed = (claim & 1 == 1, claim & 2 == 2);
                let term = &mut case.statement.terms[2];
                (term.truth, term.null) = claimed;
                let right = claimed == (expected == Some(true), expected.is_none());
                assert_eq!(accepted(&case), (right, right), "{a:?} {b:?} {c:?} {outer} {inner} {claim}");
            }
        }
    }
}

/// The smaller circuits answer what they can as the larger ones do.
#[test]
fn both_circuits_of_a_width_agree() {
    let schema = schema(15);
    let values = full_values(15);
    for circuit in [Circuit::Record15Slots4, Circuit::Record15Terms8] {
        assert_eq!(accepted(&case_in(circuit, &schema, &values, &slots_items())), (true, true));
        for (column, expected) in [(0, false), (1, true)] {
            for (operator, expected) in [(Operator::IsNull, expected), (Operator::IsNotNull, !expected)] {
                let items = [Item::Prove(Predicate::compare(column, operator, vec![]))];
                assert_eq!(answers(&items, &values).unwrap(), [SlotAnswer::Truth(Some(expected))]);
                assert_eq!(accepted(&case_in(circuit, &schema, &values, &items)), (true, true));
                let wrong = [SlotAnswer::Truth(Some(!expected))];
                let mut case = case_in(circuit, &schema, &values, &items);
                let commitment = RecordCommitment(field_to_bytes(&case.statement.commitment));
                case.statement =
                    Statement::new(circuit, &schema, &items, &wrong, &commitment, &Context([5; 32])).unwrap();
                assert_eq!(accepted(&case), (false, false));
                let null = [SlotAnswer::Truth(None)];
                let claimed = Statement::new(circuit, &schema, &items, &null, &commitment, &Context([5; 32]));
                let refused = claimed
                    .map(|statement| accepted(&Case { statement, elements: case.elements.clone(), salt: case.salt }));
                assert!(matches!(refused, Err(_) | Ok((false, false))));
            }
        }
    }
    assert_eq!(Circuit::for_question(&schema, Form::Opening), None);
}

#[test]
fn commitment_bytes_are_canonical() {
    let case = full_case(15);
    let bytes = RecordCommitment(field_to_bytes(&case.statement.commitment));
    assert_eq!(bytes.to_field().unwrap(), case.statement.commitment);
    assert!(matches!(
        Statement::new(
            Circuit::Record15Slots4,
            &schema(15),
            &[Item::Disclose(0)],
            &[SlotAnswer::Truth(None)],
            &bytes,
            &Context([0; 32])
        ),
        Err(crate::statement::StatementError::Kind(1))
    ));
}
