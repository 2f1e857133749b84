//! The statement's circuit, written from docs/spec/statement.md; its constraint tables name the
//! relations that the comments here number.

use ark_bls12_381::Fr;
use ark_ff::{AdditiveGroup, BigInteger, Field, PrimeField};

use crate::question::LEVELS_MAX;
use crate::r1cs::{Assignment, Backend, Shape};
use crate::record::{PERMUTATION, RATE, WIDTH};
use crate::statement::{Circuit, RANGE_BITS, Statement, Term, inverse_or_zero, range_end};
use crate::value::null_field;

/// The circuit's matrices.
pub(crate) fn shape(circuit: Circuit) -> Shape {
    let mut shape = Shape::default();
    let statement = Statement {
        circuit,
        commitment: Fr::ZERO,
        tag: Fr::ZERO,
        context: Fr::ZERO,
        terms: vec![Term::unused(circuit); circuit.terms()],
    };
    synthesize(&mut shape, &statement, &[], Fr::ZERO);
    shape
}

/// The values of all variables: one, the public inputs, the witnesses.
pub(crate) fn assignment(statement: &Statement, values: &[Fr], salt: Fr) -> Vec<Fr> {
    let mut assignment = Assignment::new();
    synthesize(&mut assignment, statement, values, salt);
    assignment.values
}

fn synthesize<B: Backend>(cs: &mut B, statement: &Statement, values: &[Fr], salt: Fr) {
    let circuit = statement.circuit;
    let mut publics = statement.public_inputs().into_iter();
    let mut public = |cs: &mut B| cs.public(publics.next().unwrap_or_default());
    let commitment = public(cs);
    let tag = public(cs);
    let context = public(cs);
    let program = public(cs);
    let constants: Vec<Vec<B::Num>> =
        statement.terms.iter().map(|term| term.constants.iter().map(|_| public(cs)).collect()).collect();

    let zero = cs.constant(Fr::ZERO);
    let one = cs.constant(Fr::ONE);
    let fields: Vec<B::Num> =
        (0..circuit.fields()).map(|i| cs.witness(values.get(i).copied().unwrap_or_default())).collect();
    let salt = cs.witness(salt);

    // S1: the record opens the commitment.
    let opened = record_commitment(cs, tag, &fields, salt);
    cs.enforce(&opened, &one, &commitment);

    // S2: the context enters a constraint, so that a proof cannot be moved to another.
    cs.product(&context, &context);

    // S3: the program is the terms' bits.
    let mut packed = cs.constant(Fr::ZERO);
    let mut weight = Fr::ONE;
    let mut scan: Option<Scan<B::Num>> = None;
    for (term, constants) in statement.terms.iter().zip(&constants) {
        let mut bits = Vec::new();
        for bit in term.bits(circuit) {
            let bit = boolean(cs, bit);
            cs.add_scaled(&mut packed, weight, &bit);
            weight.double_in_place();
            bits.push(bit);
        }
        let program = Program::new(bits, circuit, &zero);
        let mut lanes = fields.clone();
        lanes.push(zero.clone());
        let v = choose(cs, &program.position, lanes);
        let tested = constrain_test(cs, &program, &v, constants);
        if circuit.joins() {
            scan = Some(constrain_joint(cs, &program, &tested, scan));
        } else {
            constrain_claim(cs, &program, &tested);
        }
        // L7: if it discloses, the value is the first constant.
        cs.enforce(&program.disclose, &tested.from_first, &zero);
    }
    cs.enforce(&packed, &one, &program);
}

/// A term's bits in the program, by name.
struct Program<N> {
    position: Vec<N>,
    range: N,
    disclose: N,
    /// The test is for null; zero where there are no joints.
    null_test: N,
    /// The opposite is meant; zero where there are no joints.
    negated: N,
    /// One a level; empty where there are no joints.
    joint: Vec<N>,
    truth: N,
    null: N,
}

impl<N: Clone> Program<N> {
    /// Names the bits in the order of [`Term::bits`].
    fn new(mut bits: Vec<N>, circuit: Circuit, zero: &N) -> Program<N> {
        let mut rest = bits.split_off(circuit.position_bits()).into_iter();
        let mut next = |present: bool| present.then(|| rest.next()).flatten().unwrap_or_else(|| zero.clone());
        let joins = circuit.joins();
        let (range, disclose, null_test, negated) = (next(true), next(true), next(joins), next(joins));
        let joint = (0..if joins { LEVELS_MAX } else { 0 }).map(|_| next(true)).collect();
        Program { position: bits, range, disclose, null_test, negated, joint, truth: next(true), null: next(true) }
    }
}

/// What a term's test came to.
struct Tested<N> {
    /// Not null, and the test holds.
    truth: N,
    is_null: N,
    /// The value less the first constant.
    from_first: N,
}

/// A witness that is 0 or 1.
fn boolean<B: Backend>(cs: &mut B, bit: bool) -> B::Num {
    let bit = cs.witness(Fr::from(bit));
    enforce_boolean(cs, &bit);
    bit
}

fn enforce_boolean<B: Backend>(cs: &mut B, bit: &B::Num) {
    let one = cs.constant(Fr::ONE);
    let complement = cs.difference(bit, &one);
    let zero = cs.constant(Fr::ZERO);
    cs.enforce(bit, &complement, &zero);
}

/// L1: the field at the position; a tree of choices, lowest bit first.
fn choose<B: Backend>(cs: &mut B, position: &[B::Num], mut lanes: Vec<B::Num>) -> B::Num {
    let zero = cs.constant(Fr::ZERO);
    for bit in position {
        lanes = lanes
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => {
                    let difference = cs.difference(right, left);
                    let chosen = cs.product(bit, &difference);
                    cs.sum(&[(Fr::ONE, left), (Fr::ONE, &chosen)])
                }
                rest => rest.first().cloned().unwrap_or_else(|| zero.clone()),
            })
            .collect();
    }
    lanes.into_iter().next().unwrap_or(zero)
}

/// L2 to L5: what the term's test says of the field `v`.
fn constrain_test<B: Backend>(
    cs: &mut B,
    program: &Program<B::Num>,
    v: &B::Num,
    constants: &[B::Num],
) -> Tested<B::Num> {
    let one = cs.constant(Fr::ONE);
    let zero = cs.constant(Fr::ZERO);
    let range = &program.range;
    let sets = !program.joint.is_empty();
    let mut constants = constants.iter();
    let first = constants.next().unwrap_or(&zero);
    let second = constants.clone().next().unwrap_or(&zero);

    // L2: is_null and equal; equal to any of the constants where there are sets.
    let null = cs.constant(null_field());
    let from_null = cs.difference(v, &null);
    let is_null = is_zero(cs, &from_null);
    let from_first = cs.difference(v, first);
    let mut distance = from_first.clone();
    for constant in constants.filter(|_| sets) {
        let from_constant = cs.difference(v, constant);
        distance = cs.product(&distance, &from_constant);
    }
    let equal = is_zero(cs, &distance);

    // L3: what the range sees: the value and the bounds, or zeros where it does not apply.
    let not_null = cs.difference(&one, &is_null);
    let active = cs.product(range, &not_null);
    let seen = cs.product(&active, v);
    let floor = cs.product(range, first);
    // Without sets the verifier leaves no second constant where there is no range.
    let ceiling = if sets { cs.product(range, second) } else { second.clone() };

    let inside = constrain_range(cs, &seen, &floor, &ceiling);

    // L5: truth = not null and (inside if range, equal otherwise).
    let gap = cs.difference(&inside, &equal);
    let chosen = cs.product(range, &gap);
    let test = cs.sum(&[(Fr::ONE, &equal), (Fr::ONE, &chosen)]);
    let truth = cs.product(&not_null, &test);
    Tested { truth, is_null, from_first }
}

/// L4: whether `seen` lies in `floor..=ceiling`. It lies below, inside or above, whichever the
/// prover says; two 64-bit numbers show it, and with it that the value is itself a 64-bit integer
/// (docs/spec/statement.md#the-range-test).
fn constrain_range<B: Backend>(cs: &mut B, seen: &B::Num, floor: &B::Num, ceiling: &B::Num) -> B::Num {
    let one = cs.constant(Fr::ONE);
    let (value, low, high) = (cs.value(seen), cs.value(floor), cs.value(ceiling));
    let inside = boolean(cs, low <= value && value <= high);
    let below = boolean(cs, value < low);
    let above = cs.sum(&[(Fr::ONE, &one), (-Fr::ONE, &inside), (-Fr::ONE, &below)]);
    enforce_boolean(cs, &above);
    let past_ceiling = cs.sum(&[(Fr::ONE, ceiling), (Fr::ONE, &one)]);
    let before_floor = cs.difference(floor, &one);
    let inside_floor = cs.product(&inside, floor);
    let inside_ceiling = cs.product(&inside, ceiling);
    let below_floor = cs.product(&below, &before_floor);
    let above_ceiling = cs.product(&above, &past_ceiling);
    // seen, seen - floor or seen - (ceiling + 1)
    let from_below = cs.sum(&[(Fr::ONE, seen), (-Fr::ONE, &inside_floor), (-Fr::ONE, &above_ceiling)]);
    enforce_64_bits(cs, &from_below);
    // (floor - 1) - seen, ceiling - seen or (2^64 - 1) - seen
    let largest = range_end() - Fr::ONE;
    let from_above =
        cs.sum(&[(Fr::ONE, &below_floor), (Fr::ONE, &inside_ceiling), (largest, &above), (-Fr::ONE, seen)]);
    enforce_64_bits(cs, &from_above);
    inside
}

/// L6: unless the term discloses, truth + 2 null is what is claimed.
fn constrain_claim<B: Backend>(cs: &mut B, program: &Program<B::Num>, tested: &Tested<B::Num>) {
    let one = cs.constant(Fr::ONE);
    let zero = cs.constant(Fr::ZERO);
    let two = Fr::from(2u64);
    let claim =
        cs.sum(&[(Fr::ONE, &tested.truth), (two, &tested.is_null), (-Fr::ONE, &program.truth), (-two, &program.null)]);
    let not_disclose = cs.difference(&one, &program.disclose);
    cs.enforce(&not_disclose, &claim, &zero);
}

/// The predicate up to and with a term, and that term's joint to the next. Everything twice: once
/// reading null as false (is it true?) and once reading it as true (is it not false?)
/// (docs/spec/statement.md#joints).
struct Scan<N> {
    joint: Vec<N>,
    is_true: Levels<N>,
    is_possible: Levels<N>,
}

/// One bit a level: the value of the innermost open group of that level, as far as it has been
/// read; and what stood in it before the group inside it began.
struct Levels<N> {
    values: Vec<N>,
    before: Vec<N>,
}

/// J1 to J4: joins the term with those before it, and where its predicate ends holds the
/// predicate's truth against the claim.
fn constrain_joint<B: Backend>(
    cs: &mut B,
    program: &Program<B::Num>,
    tested: &Tested<B::Num>,
    scan: Option<Scan<B::Num>>,
) -> Scan<B::Num> {
    let one = cs.constant(Fr::ONE);
    let zero = cs.constant(Fr::ZERO);

    // J1: a test for null is true or false, never null.
    let asked_null = cs.product(&program.null_test, &tested.is_null);
    let gap = cs.difference(&tested.is_null, &tested.truth);
    let chosen = cs.product(&program.null_test, &gap);
    let is_true = cs.sum(&[(Fr::ONE, &tested.truth), (Fr::ONE, &chosen)]);
    let is_null = cs.difference(&tested.is_null, &asked_null);
    let is_possible = cs.sum(&[(Fr::ONE, &is_true), (Fr::ONE, &is_null)]);

    // J2: negation turns true into not possible and not possible into true.
    let turned = cs.sum(&[(Fr::ONE, &one), (-Fr::ONE, &is_true), (-Fr::ONE, &is_possible)]);
    let turn = cs.product(&program.negated, &turned);
    let is_true = cs.sum(&[(Fr::ONE, &is_true), (Fr::ONE, &turn)]);
    let is_possible = cs.sum(&[(Fr::ONE, &is_possible), (Fr::ONE, &turn)]);

    // J3: both readings, level by level.
    let (is_true, is_possible) = match scan {
        None => (Levels::beginning(&is_true, &zero), Levels::beginning(&is_possible, &zero)),
        Some(Scan { joint, is_true: t, is_possible: p }) => {
            (t.joined(cs, &joint, &is_true), p.joined(cs, &joint, &is_possible))
        }
    };

    // J4: where the predicate ends, and unless it discloses, is_true + 2 is_possible is what is
    // claimed: 0 false, 2 null, 3 true.
    let mut end = one.clone();
    for bit in &program.joint {
        cs.add_scaled(&mut end, -Fr::ONE, bit);
    }
    let not_disclose = cs.difference(&one, &program.disclose);
    let claims = cs.product(&end, &not_disclose);
    let (two, three) = (Fr::from(2u64), Fr::from(3u64));
    let claim = cs.sum(&[
        (Fr::ONE, is_true.values.last().unwrap_or(&zero)),
        (two, is_possible.values.last().unwrap_or(&zero)),
        (-three, &program.truth),
        (-two, &program.null),
    ]);
    cs.enforce(&claims, &claim, &zero);
    Scan { joint: program.joint.clone(), is_true, is_possible }
}

impl<N: Clone> Levels<N> {
    /// A predicate that begins with `term`: nothing stands before it at any level.
    fn beginning(term: &N, neutral: &N) -> Levels<N> {
        let levels = usize::from(LEVELS_MAX);
        Levels { values: vec![term.clone(); levels], before: vec![neutral.clone(); levels] }
    }

    /// The predicate with one more term, joined at the level whose bit of `joint` is 1; with no
    /// such bit the term begins a new predicate. `before` of an AND level is kept as its
    /// complement, so that zero is neutral on every level.
    fn joined<B: Backend<Num = N>>(&self, cs: &mut B, joint: &[N], term: &N) -> Levels<N> {
        let one = cs.constant(Fr::ONE);
        let mut inside = term.clone();
        let mut lower = cs.constant(Fr::ZERO);
        let mut levels = Levels { values: Vec::new(), before: Vec::new() };
        for ((level, bit), (value, before)) in (1..).zip(joint).zip(self.values.iter().zip(&self.before)) {
            let and = level % 2 == 1;
            let past = if and { cs.difference(&one, value) } else { value.clone() };
            // Joined here: the group so far; joined further inside: what stood there; else nothing.
            let mut stood = cs.product(bit, &past);
            if level > 1 {
                let kept = cs.product(&lower, before);
                cs.add_scaled(&mut stood, Fr::ONE, &kept);
            }
            let both = cs.product(&stood, &inside);
            // AND: (1 - stood) · inside; OR: stood + inside - stood · inside
            inside = match and {
                true => cs.difference(&inside, &both),
                false => cs.sum(&[(Fr::ONE, &stood), (Fr::ONE, &inside), (-Fr::ONE, &both)]),
            };
            levels.values.push(inside.clone());
            levels.before.push(stood);
            cs.add_scaled(&mut lower, Fr::ONE, bit);
        }
        levels
    }
}

/// 1 if `x` is zero, 0 otherwise: x · inverse = 1 - flag, x · flag = 0.
fn is_zero<B: Backend>(cs: &mut B, x: &B::Num) -> B::Num {
    let value = cs.value(x);
    let flag = cs.witness(Fr::from(value == Fr::ZERO));
    let inverse = cs.witness(inverse_or_zero(value));
    let one = cs.constant(Fr::ONE);
    let zero = cs.constant(Fr::ZERO);
    let complement = cs.difference(&one, &flag);
    cs.enforce(x, &inverse, &complement);
    cs.enforce(x, &flag, &zero);
    flag
}

/// Shows that `x` is an integer below 2^64. All 64 bits stay far below r, so there is one
/// decomposition; the top bit is what the others leave.
fn enforce_64_bits<B: Backend>(cs: &mut B, x: &B::Num) {
    let integer = cs.value(x).into_bigint();
    let mut rest = x.clone();
    let mut weight = Fr::ONE;
    for i in 0..RANGE_BITS - 1 {
        let bit = boolean(cs, integer.get_bit(i));
        cs.add_scaled(&mut rest, -weight, &bit);
        weight.double_in_place();
    }
    let top = cs.sum(&[(inverse_or_zero(weight), &rest)]);
    enforce_boolean(cs, &top);
}

/// The sponge of docs/spec/record.md, one or two blocks.
fn record_commitment<B: Backend>(cs: &mut B, tag: B::Num, fields: &[B::Num], salt: B::Num) -> B::Num {
    let zero = cs.constant(Fr::ZERO);
    let mut state = vec![tag];
    state.resize(WIDTH, zero.clone());
    let mut input = fields.to_vec();
    input.push(salt);
    for block in input.chunks(RATE) {
        for (lane, element) in state.iter_mut().skip(1).zip(block) {
            cs.add_scaled(lane, Fr::ONE, element);
        }
        state = permutation(cs, state);
    }
    state.into_iter().nth(1).unwrap_or(zero)
}

/// The permutation, three constraints for each S-box. Partial rounds are in sparse form: what
/// enters an S-box is the same combination of variables as in the plain form, and for a matrix it
/// is found an order of magnitude sooner.
fn permutation<B: Backend>(cs: &mut B, mut state: Vec<B::Num>) -> Vec<B::Num> {
    let (front, behind) = PERMUTATION.full_rounds();
    let (partial, block) = PERMUTATION.sparse_rounds();
    for constants in front {
        state = full_round(cs, state, &constants);
    }
    for round in partial {
        if let Some(lane) = state.first_mut() {
            *lane = substitute(cs, lane, round.constant);
        }
        let powered = state.first().cloned();
        let first = product(cs, &round.row, &state);
        for (i, (lane, factor)) in state.iter_mut().zip(&round.column).enumerate() {
            match &powered {
                Some(powered) if i > 0 => cs.add_scaled(lane, *factor, powered),
                _ => *lane = first.clone(),
            }
        }
    }
    state = block.iter().map(|row| product(cs, row, &state)).collect();
    for constants in behind {
        state = full_round(cs, state, &constants);
    }
    state
}

fn full_round<B: Backend>(cs: &mut B, mut state: Vec<B::Num>, constants: &[Fr; WIDTH]) -> Vec<B::Num> {
    for (lane, constant) in state.iter_mut().zip(constants) {
        *lane = substitute(cs, lane, *constant);
    }
    PERMUTATION.mds.iter().map(|row| product(cs, row, &state)).collect()
}

/// (lane + constant)^5.
fn substitute<B: Backend>(cs: &mut B, lane: &B::Num, constant: Fr) -> B::Num {
    let mut lane = lane.clone();
    let constant = cs.constant(constant);
    cs.add_scaled(&mut lane, Fr::ONE, &constant);
    let square = cs.product(&lane, &lane);
    let fourth = cs.product(&square, &square);
    cs.product(&fourth, &lane)
}

/// A row of a matrix times the state.
fn product<B: Backend>(cs: &B, row: &[Fr; WIDTH], state: &[B::Num]) -> B::Num {
    let factors = row.iter().copied().zip(state).filter(|(factor, _)| *factor != Fr::ZERO);
    cs.sum(&factors.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
