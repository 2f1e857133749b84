// The statement of docs/spec/statement.md for records of up to 15 fields, as a user of circom would
// write it: the same twelve public inputs in the same order, the same record commitment, and the
// usual templates for bits, comparison, equality and choice. Only the benchmark compiles it.
//
// constants.circom is generated beside it, with the constants of docs/spec/poseidon.md.
pragma circom 2.0.0;

include "constants.circom";

// The bits of a number below 2^n, lowest first; n is far below the field's 255 bits.
template Num2Bits(n) {
    signal input in;
    signal output out[n];
    var sum = 0;
    for (var i = 0; i < n; i++) {
        out[i] <-- (in >> i) & 1;
        out[i] * (out[i] - 1) === 0;
        sum += out[i] * (1 << i);
    }
    sum === in;
}

template IsZero() {
    signal input in;
    signal output out;
    signal inverse <-- in != 0 ? 1 / in : 0;
    out <== 1 - in * inverse;
    in * out === 0;
}

template IsEqual() {
    signal input in[2];
    signal output out <== IsZero()(in[1] - in[0]);
}

// in[0] < in[1], both below 2^n.
template LessThan(n) {
    signal input in[2];
    signal bits[n + 1] <== Num2Bits(n + 1)(in[0] + (1 << n) - in[1]);
    signal output out <== 1 - bits[n];
}

// The lane at a position of k bits, lowest first: a tree of choices.
template Mux(k) {
    signal input in[1 << k];
    signal input position[k];
    signal node[(1 << k) - 1];
    signal output out;
    var lanes[1 << k];
    for (var i = 0; i < 1 << k; i++) lanes[i] = in[i];
    var next = 0;
    for (var level = 0; level < k; level++) {
        for (var i = 0; i < 1 << (k - 1 - level); i++) {
            node[next] <== (lanes[2 * i + 1] - lanes[2 * i]) * position[level];
            lanes[i] = node[next] + lanes[2 * i];
            next++;
        }
    }
    out <== lanes[0];
}

// x^5.
template Sigma() {
    signal input in;
    signal output out;
    signal square <== in * in;
    signal fourth <== square * square;
    out <== fourth * in;
}

// Poseidon of width 17; of its result the one lane that the sponge gives out. Linear layers are
// sums, without signals or constraints of their own.
template Permutation() {
    var T = 17, FULL = 8, PARTIAL = 68;
    var C[76][17] = ROUND_CONSTANTS();
    var M[17][17] = MATRIX();
    signal input in[T];
    signal output out;
    component full[FULL][T];
    component partial[PARTIAL];
    var state[T];
    for (var i = 0; i < T; i++) state[i] = in[i];
    for (var round = 0; round < FULL + PARTIAL; round++) {
        for (var i = 0; i < T; i++) state[i] += C[round][i];
        if (round < FULL / 2 || round >= FULL / 2 + PARTIAL) {
            var f = round < FULL / 2 ? round : round - PARTIAL;
            for (var i = 0; i < T; i++) {
                full[f][i] = Sigma();
                full[f][i].in <== state[i];
                state[i] = full[f][i].out;
            }
        } else {
            var p = round - FULL / 2;
            partial[p] = Sigma();
            partial[p].in <== state[0];
            state[0] = partial[p].out;
        }
        var mixed[T];
        for (var i = 0; i < T; i++) {
            mixed[i] = 0;
            for (var j = 0; j < T; j++) mixed[i] += M[i][j] * state[j];
        }
        state = mixed;
    }
    out <== state[1];
}

// One slot: bits are position (4), range, disclose, truth, null; bounds are lo and hi, below 2^64
// where range is set.
template Slot() {
    signal input fields[16];
    signal input bits[8];
    signal input bounds[2];
    var range = bits[4], disclose = bits[5], truth = bits[6], null = bits[7];
    signal v <== Mux(4)(fields, [bits[0], bits[1], bits[2], bits[3]]);
    signal isNull <== IsEqual()([v, 1 << 250]);
    signal equal <== IsEqual()([v, bounds[0]]);
    signal active <== range * (1 - isNull);
    signal seen <== active * v;
    signal floor <== range * bounds[0];
    // LessThan means nothing of a value that is not itself below 2^64.
    signal canonical[64] <== Num2Bits(64)(seen);
    signal below <== LessThan(64)([seen, floor]);
    signal above <== LessThan(64)([bounds[1], seen]);
    signal inside <== (1 - below) * (1 - above);
    signal test <== equal + range * (inside - equal);
    signal outcome <== (1 - isNull) * test;
    (1 - disclose) * (outcome + 2 * isNull - truth - 2 * null) === 0;
    disclose * (v - bounds[0]) === 0;
}

template Record() {
    signal input commitment;
    signal input tag;
    signal input context;
    signal input program;
    signal input bounds[4][2];
    signal input values[15];
    signal input salt;

    component sponge = Permutation();
    sponge.in[0] <== tag;
    for (var i = 0; i < 15; i++) sponge.in[1 + i] <== values[i];
    sponge.in[16] <== salt;
    sponge.out === commitment;

    // Binds the proof to its request.
    signal square <== context * context;

    signal bits[32] <== Num2Bits(32)(program);
    component slots[4];
    for (var s = 0; s < 4; s++) {
        slots[s] = Slot();
        for (var i = 0; i < 15; i++) slots[s].fields[i] <== values[i];
        // Position 15 is the constant zero, of unused slots.
        slots[s].fields[15] <== 0;
        for (var i = 0; i < 8; i++) slots[s].bits[i] <== bits[8 * s + i];
        slots[s].bounds <== bounds[s];
    }
}

component main { public [commitment, tag, context, program, bounds] } = Record();
