//! The statement's circuit, written from docs/spec/statement.md; its constraint tables name the
//! relations that the comments here number.

use ark_bls12_381::Fr;
use ark_ff::{AdditiveGroup, BigInteger, Field, PrimeField};

use crate::poseidon::{FULL_ROUNDS, partial_rounds};
use crate::r1cs::{Assignment, Backend, Shape};
use crate::record::{PERMUTATION, RATE, WIDTH};
use crate::statement::{Circuit, RANGE_BITS, Slot, Statement, inverse_or_zero, range_end, slot_bits};
use crate::value::null_field;

/// The circuit's matrices.
pub(crate) fn shape(circuit: Circuit) -> Shape {
    let mut shape = Shape::default();
    let statement = Statement {
        circuit,
        commitment: Fr::ZERO,
        tag: Fr::ZERO,
        context: Fr::ZERO,
        slots: [Slot::unused(circuit); crate::question::SLOTS],
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
    let bounds: Vec<(B::Num, B::Num)> = statement.slots.iter().map(|_| (public(cs), public(cs))).collect();

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

    // S3: the program is the slots' bits.
    let mut packed = cs.constant(Fr::ZERO);
    let mut weight = Fr::ONE;
    for (slot, (lo, hi)) in statement.slots.iter().zip(&bounds) {
        let mut bits = Vec::new();
        for bit in slot_bits(slot, circuit) {
            let bit = boolean(cs, bit);
            cs.add_scaled(&mut packed, weight, &bit);
            weight.double_in_place();
            bits.push(bit);
        }
        let mut lanes = fields.clone();
        lanes.push(zero.clone());
        constrain_slot(cs, bits, lanes, lo, hi);
    }
    cs.enforce(&packed, &one, &program);
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

/// The relations of one slot. `bits`: position, then range, disclose, truth, null.
fn constrain_slot<B: Backend>(cs: &mut B, mut bits: Vec<B::Num>, mut lanes: Vec<B::Num>, lo: &B::Num, hi: &B::Num) {
    let one = cs.constant(Fr::ONE);
    let zero = cs.constant(Fr::ZERO);
    let mut flags = bits.split_off(bits.len() - 4).into_iter();
    let mut flag = || flags.next().unwrap_or_else(|| zero.clone());
    let (range, disclose, claimed_truth, claimed_null) = (flag(), flag(), flag(), flag());

    // L1: v is the field at the position; a tree of choices, lowest bit first.
    for bit in &bits {
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
    let v = lanes.into_iter().next().unwrap_or_else(|| zero.clone());

    // L2: is_null and equal.
    let null = cs.constant(null_field());
    let from_null = cs.difference(&v, &null);
    let is_null = is_zero(cs, &from_null);
    let from_lo = cs.difference(&v, lo);
    let equal = is_zero(cs, &from_lo);

    // L3: what the range sees: the value and the lower bound, or zeros where it does not apply.
    let not_null = cs.difference(&one, &is_null);
    let active = cs.product(&range, &not_null);
    let seen = cs.product(&active, &v);
    let floor = cs.product(&range, lo);

    // L4: the value lies below, inside or above the range, whichever the prover says; two 64-bit
    // numbers show it, and with it that the value is itself a 64-bit integer.
    let (value, low, high) = (cs.value(&seen), cs.value(&floor), cs.value(hi));
    let inside = boolean(cs, low <= value && value <= high);
    let below = boolean(cs, value < low);
    let above = cs.sum(&[(Fr::ONE, &one), (-Fr::ONE, &inside), (-Fr::ONE, &below)]);
    enforce_boolean(cs, &above);
    let past_hi = cs.sum(&[(Fr::ONE, hi), (Fr::ONE, &one)]);
    let before_lo = cs.difference(&floor, &one);
    let inside_lo = cs.product(&inside, &floor);
    let inside_hi = cs.product(&inside, hi);
    let below_lo = cs.product(&below, &before_lo);
    let above_hi = cs.product(&above, &past_hi);
    // seen, seen - lo or seen - (hi + 1)
    let from_below = cs.sum(&[(Fr::ONE, &seen), (-Fr::ONE, &inside_lo), (-Fr::ONE, &above_hi)]);
    enforce_64_bits(cs, &from_below);
    // (lo - 1) - seen, hi - seen or (2^64 - 1) - seen
    let largest = range_end() - Fr::ONE;
    let from_above = cs.sum(&[(Fr::ONE, &below_lo), (Fr::ONE, &inside_hi), (largest, &above), (-Fr::ONE, &seen)]);
    enforce_64_bits(cs, &from_above);

    // L5: truth = not null and (inside if range, equal otherwise).
    let gap = cs.difference(&inside, &equal);
    let chosen = cs.product(&range, &gap);
    let test = cs.sum(&[(Fr::ONE, &equal), (Fr::ONE, &chosen)]);
    let truth = cs.product(&not_null, &test);

    // L6: unless the slot discloses, truth + 2 null is what is claimed.
    let two = Fr::from(2u64);
    let claim = cs.sum(&[(Fr::ONE, &truth), (two, &is_null), (-Fr::ONE, &claimed_truth), (-two, &claimed_null)]);
    let not_disclose = cs.difference(&one, &disclose);
    cs.enforce(&not_disclose, &claim, &zero);

    // L7: if it discloses, the value is lo.
    cs.enforce(&disclose, &from_lo, &zero);
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

/// The permutation round by round, three constraints for each S-box.
fn permutation<B: Backend>(cs: &mut B, mut state: Vec<B::Num>) -> Vec<B::Num> {
    let half = FULL_ROUNDS / 2;
    for (round, constants) in PERMUTATION.constants.iter().enumerate() {
        let partial = (half..half + partial_rounds(WIDTH)).contains(&round);
        for (i, (lane, constant)) in state.iter_mut().zip(constants).enumerate() {
            let constant = cs.constant(*constant);
            cs.add_scaled(lane, Fr::ONE, &constant);
            if i == 0 || !partial {
                let square = cs.product(lane, lane);
                let fourth = cs.product(&square, &square);
                *lane = cs.product(&fourth, lane);
            }
        }
        state = PERMUTATION
            .mds
            .iter()
            .map(|row| {
                let terms: Vec<(Fr, &B::Num)> = row.iter().copied().zip(&state).collect();
                cs.sum(&terms)
            })
            .collect();
    }
    state
}

#[cfg(test)]
mod tests;
