//! A prover who is free to choose every witness. Products are determined by their factors; what is
//! left to choose are the hints: bits, flags, inverses. Here they are chosen wrongly, with all that
//! follows from them computed as the circuit does, and no false statement is ever satisfied.

use super::*;
use crate::poseidon::{FULL_ROUNDS, partial_rounds};

/// Computes an assignment with some of its hints forged.
struct Forger<'a> {
    values: Vec<Fr>,
    /// The honest value of each hint, given what was forged before it.
    hints: Vec<Fr>,
    forged: &'a [(usize, Fr)],
}

impl Backend for Forger<'_> {
    type Num = Fr;
    fn constant(&self, value: Fr) -> Fr {
        value
    }
    fn public(&mut self, value: Fr) -> Fr {
        self.values.push(value);
        value
    }
    fn witness(&mut self, value: Fr) -> Fr {
        let number = self.hints.len();
        self.hints.push(value);
        let value = self.forged.iter().find(|(hint, _)| *hint == number).map_or(value, |(_, forged)| *forged);
        self.values.push(value);
        value
    }
    fn add_scaled(&self, to: &mut Fr, factor: Fr, num: &Fr) {
        *to += factor * num;
    }
    fn value(&self, num: &Fr) -> Fr {
        *num
    }
    fn enforce(&mut self, _: &Fr, _: &Fr, _: &Fr) {}
    fn product(&mut self, a: &Fr, b: &Fr) -> Fr {
        self.values.push(a * b);
        a * b
    }
}

fn forge<'a>(case: &Case, forged: &'a [(usize, Fr)]) -> Forger<'a> {
    let mut forger = Forger { values: vec![Fr::ONE], hints: Vec::new(), forged };
    synthesize(&mut forger, &case.statement, &case.elements, case.salt);
    forger
}

/// Whether an assignment satisfies the circuit; that it opens the commitment is left out, since
/// nothing that is forged here touches it.
fn satisfied(circuit: Circuit, assignment: &[Fr]) -> bool {
    let shape = shape_of(circuit);
    let sponge = circuit.blocks() * 3 * (FULL_ROUNDS * WIDTH + partial_rounds(WIDTH)) + 1;
    (sponge..shape.constraints()).all(|row| shape.holds(row, assignment))
}

/// The claims of a statement's predicates, each turned into each of the three others.
fn false_claims(base: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    for (i, term) in base.statement.terms.iter().enumerate() {
        if term.joint != 0 || term.test == Test::Disclose {
            continue;
        }
        for claim in (0..4u8).filter(|claim| (claim & 1 == 1, claim & 2 == 2) != (term.truth, term.null)) {
            let mut case = copied(base);
            let term = &mut case.statement.terms[i];
            (term.truth, term.null) = (claim & 1 == 1, claim & 2 == 2);
            all.push(case);
        }
    }
    all
}

fn copied(case: &Case) -> Case {
    Case { statement: case.statement.clone(), elements: case.elements.clone(), salt: case.salt }
}

/// Hints of the record and its salt, which the commitment fixes; then of the program, which is
/// public; then of the tests: two flags with their inverses, the case of the range, and the bits
/// of the two differences that show it.
struct Hints {
    record: usize,
    program: usize,
    term: usize,
}

fn hints(circuit: Circuit) -> Hints {
    let program = Term::unused(circuit).bits(circuit).len();
    Hints { record: circuit.fields() + 1, program, term: program + 4 + 2 + 2 * (RANGE_BITS - 1) }
}

#[test]
fn no_forged_hint_satisfies_a_false_claim() {
    for base in [full_case(15), joined_case(15)] {
        let circuit = base.statement.circuit;
        let Hints { record, program, term } = hints(circuit);
        let honest = forge(&base, &[]);
        assert_eq!(honest.hints.len(), record + circuit.terms() * term, "the order of hints is known");
        assert!(satisfied(circuit, &honest.values));
        let all = false_claims(&base);
        assert!(all.len() >= 6);
        for (number, case) in all.into_iter().enumerate() {
            let refused = |forged: &[(usize, Fr)]| {
                let forger = forge(&case, forged);
                assert!(!satisfied(circuit, &forger.values), "{:?} with {forged:?}", case.statement);
            };
            refused(&[]);
            for t in 0..circuit.terms() {
                let first = record + t * term;
                let at = |hint: usize| first + program + hint;
                let value = |hint: usize| honest.hints[hint];
                // Program bits, one by one and each with the next.
                for bit in first..first + program {
                    refused(&[(bit, Fr::ONE - value(bit))]);
                    refused(&[(bit, Fr::ONE - value(bit)), (bit + 1, Fr::ONE - value(bit + 1))]);
                }
                // is_null and its inverse, equal and its inverse: flags that are no bits, too.
                for gadget in [at(0), at(2)] {
                    for flag in [Fr::ZERO, Fr::ONE, -Fr::ONE, Fr::from(2u64)] {
                        for inverse in [Fr::ZERO, Fr::ONE, value(gadget + 1), value(gadget + 1) + Fr::ONE] {
                            if (flag, inverse) != (value(gadget), value(gadget + 1)) {
                                refused(&[(gadget, flag), (gadget + 1, inverse)]);
                            }
                        }
                    }
                }
                refused(&[(at(0), Fr::ONE - value(at(0))), (at(2), Fr::ONE - value(at(2)))]);
                // Inside, below, above: each said in place of the truth, and what is no bit.
                for inside in [Fr::ZERO, Fr::ONE, -Fr::ONE, Fr::from(2u64)] {
                    for below in [Fr::ZERO, Fr::ONE, -Fr::ONE, Fr::from(2u64)] {
                        refused(&[(at(4), inside), (at(5), below)]);
                    }
                }
                // Some of the differences' bits, by themselves and under a false case.
                for bit in (at(6)..at(6) + 2 * (RANGE_BITS - 1)).skip((number + t) % 61).step_by(61) {
                    refused(&[(bit, Fr::ONE - value(bit))]);
                    refused(&[(at(4), Fr::ONE - value(at(4))), (bit, Fr::ONE - value(bit))]);
                }
            }
        }
    }
}

/// What disclosed values, sets and constants are: a satisfied assignment's public inputs are a true
/// statement, whichever single one of them is moved under the witnesses.
#[test]
fn public_inputs_that_move_stay_true_or_are_refused() {
    for base in [full_case(15), full_case(31), joined_case(15), joined_case(31)] {
        let circuit = base.statement.circuit;
        let good = assignment(&base.statement, &base.elements, base.salt);
        let shape = shape_of(circuit);
        for i in 1..=shape.publics {
            let mut moved = good.clone();
            moved[i] += Fr::ONE;
            let holds = shape.touches(i).all(|row| shape.holds(row, &moved));
            let Some(constant) = i.checked_sub(5) else {
                assert!(!holds, "commitment, tag, context and program are in constraints");
                continue;
            };
            let mut case = copied(&base);
            let (term, place) = (constant / circuit.constants(), constant % circuit.constants());
            case.statement.terms[term].constants[place] += Fr::ONE;
            let said = reference::check(&case.statement, &case.elements, case.salt);
            // Bounds are the verifier's, who makes them of 64-bit integers; nobody looks at those of
            // a null field.
            let moved_out = matches!(said, Err(reference::Violation::Bound(_)));
            assert!(!holds || said.is_ok() || moved_out, "public input {i}: {said:?}");
            // What is disclosed is the first constant, and that alone.
            assert!(!(holds && place == 0 && case.statement.terms[term].test == Test::Disclose), "public input {i}");
        }
    }
}

/// L2: a set is the values in it, wherever they stand, and no others; also where one IN takes
/// several terms.
#[test]
fn sets_are_their_members() {
    let schema = schema(15);
    let set = |n: i64| (0..n).map(|i| Value::Int(i * 3)).collect::<Vec<_>>();
    for size in [2i64, 32, 33, 64, 256] {
        for member in [0, 1, size / 2, 31.min(size - 1), 32.min(size - 1), size - 1] {
            for (value, inside) in [(member * 3, true), (member * 3 + 1, false), (-3, false)] {
                let mut values = full_values(15);
                values[0] = Value::Int(value);
                for (operator, truth) in [(Operator::In, inside), (Operator::NotIn, !inside)] {
                    let items = [Item::Prove(Predicate::compare(0, operator, set(size)))];
                    assert_eq!(answers(&items, &values).unwrap(), [SlotAnswer::Truth(Some(truth))]);
                    let case = case(&schema, &values, &items);
                    assert_eq!(accepted(&case), (true, true), "{value} of {size}");
                    for lie in false_claims(&case) {
                        assert_eq!(accepted(&lie), (false, false), "{value} of {size}");
                    }
                }
            }
        }
    }
}

/// L3: constants of a set may be anything, for the range does not see them, neither below nor
/// above; a range's bounds are seen, both of them.
#[test]
fn the_range_sees_its_own_bounds_alone() {
    let base = joined_case(15);
    let with = |test: Test, constants: [Fr; 2], claim: (bool, bool)| {
        let mut case = copied(&base);
        let mut terms = vec![Term::unused(case.statement.circuit); 8];
        terms[0].position = 0;
        terms[0].test = test;
        terms[0].constants[..2].copy_from_slice(&constants);
        terms[0].constants[2..].fill(constants[0]);
        (terms[0].truth, terms[0].null) = claim;
        case.statement.terms = terms;
        accepted(&case)
    };
    let value = base.elements[0];
    let (large, text) = (-Fr::ONE, power_of_two(248) + Fr::from(7u64));
    let (yes, no) = ((true, false), (false, false));
    for (constants, truth) in [
        ([large, text], no),
        ([text, large], no),
        ([value, text], yes),
        ([text, value], yes),
        ([null_field(), large], no),
    ] {
        assert_eq!(with(Test::Set, constants, truth), (true, true), "{constants:?}");
        assert_eq!(with(Test::Set, constants, (!truth.0, false)), (false, false));
        assert_eq!(with(Test::Set, constants, (false, true)), (false, false));
    }
    let one = Fr::ONE;
    for (constants, truth) in [
        ([value, value], yes),
        ([value - one, value + one], yes),
        ([value, value - one], no),
        ([value + one, value + one], no),
        ([value - one, value - one], no),
        ([Fr::ZERO, range_end() - one], yes),
        ([one, Fr::ZERO], no),
        ([range_end() - one, Fr::ZERO], no),
    ] {
        assert_eq!(with(Test::Range, constants, truth), (true, true), "{constants:?}");
        assert_eq!(with(Test::Range, constants, (!truth.0, false)), (false, false), "{constants:?}");
        assert_eq!(with(Test::Range, constants, (false, true)), (false, false));
        assert_eq!(with(Test::Range, constants, (true, true)), (false, false));
    }
}

/// J1 and J2: what each test says of a value and of null, plain and negated.
#[test]
fn tests_of_null_and_negation_follow_sql() {
    let base = joined_case(15);
    let circuit = base.statement.circuit;
    // c0 is an int, c1 null; of each: a test that holds of c0's value, one that does not, and IS NULL.
    for position in [0, 1] {
        for (test, holds) in
            [(Test::Set, true), (Test::Set, false), (Test::Range, true), (Test::Range, false), (Test::Null, false)]
        {
            for negated in [false, true] {
                let null = position == 1;
                let plain = match (test, null) {
                    (Test::Null, null) => Some(null),
                    (_, true) => None,
                    _ => Some(holds),
                };
                let expected = plain.map(|truth| truth != negated);
                let constant = if holds { base.elements[0] } else { base.elements[0] + Fr::ONE };
                let mut case = copied(&base);
                for claim in 0..4u8 {
                    let mut terms = vec![Term::unused(circuit); 8];
                    (terms[0].truth, terms[0].null) = (claim & 1 == 1, claim & 2 == 2);
                    (terms[0].position, terms[0].test, terms[0].negated) = (position, test, negated);
                    terms[0].constants.fill(constant);
                    let right = (terms[0].truth, terms[0].null) == (expected == Some(true), expected.is_none());
                    case.statement.terms = terms;
                    assert_eq!(accepted(&case), (right, right), "{position} {test:?} {holds} {negated} {claim}");
                }
            }
        }
    }
}

/// Truths joined by levels, as a reader goes through them from left to right: what binds tighter
/// than the joint that comes next is finished first.
fn reduced(terms: &[(Option<bool>, u8)]) -> Option<bool> {
    let rank = |truth: Option<bool>| truth.map_or(1, |truth| if truth { 2 } else { 0 });
    let mut open: Vec<(u8, u8)> = Vec::new();
    let mut current = 0;
    for (truth, joint) in terms {
        current = rank(*truth);
        let last = *joint == 0;
        while let Some((before, level)) = open.last().copied().filter(|(_, level)| last || level <= joint) {
            open.pop();
            current = if level % 2 == 1 { before.min(current) } else { before.max(current) };
        }
        open.push((current, *joint));
    }
    [Some(false), None, Some(true)][usize::from(current)]
}

/// J3 and J4: every order of joints of four terms, and many of eight, canonical or not, with two
/// predicates in one statement; whatever is claimed.
#[test]
fn joints_of_every_order_join_as_they_should() {
    let base = joined_case(15);
    let circuit = base.statement.circuit;
    let literal = |truth: Option<bool>, joint: u8| Term {
        position: usize::from(truth.is_none()),
        test: Test::Set,
        negated: truth == Some(false),
        joint,
        truth: false,
        null: false,
        constants: vec![base.elements[0]; circuit.constants()],
    };
    let truths = [Some(false), None, Some(true)];
    let mut random = 1u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for order in 0..64 + 200u64 {
        let (count, joints): (usize, Vec<u8>) = match order {
            0..64 => (4, (0..3).map(|i| 1 + (order >> (2 * i) & 3) as u8).collect()),
            _ => (8, (0..7).map(|_| 1 + next(4) as u8).collect()),
        };
        for _ in 0..if count == 4 { 6 } else { 2 } {
            let values: Vec<(Option<bool>, u8)> =
                (0..count).map(|i| (truths[next(3) as usize], joints.get(i).copied().unwrap_or(0))).collect();
            let expected = reduced(&values);
            let mut case = copied(&base);
            // Four terms twice: the second predicate begins anew.
            case.statement.terms =
                values.iter().cycle().take(8).map(|(truth, joint)| literal(*truth, *joint)).collect();
            for claim in 0..4u8 {
                let claimed = (claim & 1 == 1, claim & 2 == 2);
                let right = (expected == Some(true), expected.is_none());
                for (end, term) in case.statement.terms.iter_mut().enumerate().filter(|(_, term)| term.joint == 0) {
                    (term.truth, term.null) = if end == 7 { claimed } else { right };
                }
                let holds = claimed == right;
                let assignment = assignment(&case.statement, &case.elements, case.salt);
                assert_eq!(satisfied(circuit, &assignment), holds, "{values:?} {claim}");
                assert_eq!(reference::check(&case.statement, &case.elements, case.salt).is_ok(), holds, "{values:?}");
            }
        }
    }
}

/// A claim in the middle of a predicate counts for nothing: the reference refuses it, no verifier
/// builds it, and in the circuit it makes no false claim at the predicate's end true.
#[test]
fn a_claim_in_the_middle_makes_nothing_true() {
    for base in false_claims(&joined_case(15)) {
        for i in (0..8).filter(|i| base.statement.terms[*i].joint != 0) {
            for (truth, null) in [(true, false), (false, true), (true, true)] {
                let mut case = copied(&base);
                (case.statement.terms[i].truth, case.statement.terms[i].null) = (truth, null);
                assert_eq!(accepted(&case), (false, false));
            }
        }
    }
    // An end where none is asked for is a claim of its own.
    let base = joined_case(15);
    for i in (0..8).filter(|i| base.statement.terms[*i].joint != 0) {
        let mut case = copied(&base);
        case.statement.terms[i].joint = 0;
        let claimed = (case.statement.terms[i].truth, case.statement.terms[i].null);
        let said = accepted(&case);
        assert_eq!(said.0, said.1, "{i} {claimed:?}");
    }
}
