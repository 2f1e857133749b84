use std::sync::LazyLock;

use super::*;
use crate::bytes::Context;
use crate::question::{Item, Operator, Predicate, SlotAnswer};
use crate::schema::{Column, ColumnUse};
use crate::statement::answers;
use crate::value::ColumnType;
use crate::verifier::{ProofError, VerifyingKey};

static KEYS: LazyLock<[ProvingKey; 4]> =
    LazyLock::new(|| Circuit::ALL.map(|circuit| ProvingKey::generate_development(circuit).unwrap()));

fn schema(fields: usize) -> Schema {
    let column = |i: usize| Column {
        name: format!("c{i}"),
        kind: if i.is_multiple_of(2) { ColumnType::Int } else { ColumnType::Text },
        allowed: ColumnUse { disclose: true, prove: true },
    };
    Schema { columns: (0..fields).map(column).collect(), key: vec![0] }
}

struct Made {
    schema: Schema,
    values: Vec<Value>,
    salt: Salt,
    items: Vec<Item<Value>>,
    answers: Vec<SlotAnswer>,
    commitment: crate::record::RecordCommitment,
}

fn made(fields: usize) -> Made {
    let schema = schema(fields);
    let values: Vec<Value> = (0..fields as i64)
        .map(|i| match i {
            4 => Value::Null,
            i if i % 2 == 0 => Value::Int(i * 10),
            i => Value::Text(format!("text {i}")),
        })
        .collect();
    let salt = Salt::derive(&[1; 32], b"k", 1);
    let commitment = RecordHasher::new(&schema).commit(&values, &salt).unwrap();
    let items = vec![
        Item::Disclose(1),
        Item::Prove(Predicate::compare(2, Operator::Lt, vec![Value::Int(21)])),
        Item::Prove(Predicate::compare(4, Operator::NotBetween, vec![Value::Int(1), Value::Int(2)])),
    ];
    let answers = answers(&items, &values).unwrap();
    Made { schema, values, salt, items, answers, commitment }
}

fn statement(made: &Made, context: u8) -> Statement {
    let circuit = if made.schema.columns.len() <= 15 { Circuit::Record15Slots4 } else { Circuit::Record31Slots4 };
    statement_in(circuit, made, context)
}

fn statement_in(circuit: Circuit, made: &Made, context: u8) -> Statement {
    Statement::new(circuit, &made.schema, &made.items, &made.answers, &made.commitment, &Context([context; 32]))
        .unwrap()
}

fn verifying_key(key: &ProvingKey) -> VerifyingKey {
    VerifyingKey::from_bytes(key.circuit(), &key.verifying_key_bytes().unwrap()).unwrap()
}

#[test]
fn proofs_pass_both_verifiers_and_nothing_else_does() {
    for (key, fields) in KEYS.iter().zip([15, 31, 15, 31]) {
        let circuit = key.circuit();
        let made = made(fields);
        let vk = verifying_key(key);
        let prepared = stock::prepare(key);
        let good = statement_in(circuit, &made, 1);
        let proof = key.prove(&made.schema, &good, &made.values, &made.salt).unwrap();
        vk.verify(&good, &proof).unwrap();
        assert!(stock::verify(&prepared, &good, &proof));

        // Every public input moved, one at a time: the proof holds for none of these.
        for other in [
            statement_in(circuit, &made, 2),
            alter(&good, |s| s.tag += Fr::from(1u64)),
            alter(&good, |s| s.commitment += Fr::from(1u64)),
        ]
        .into_iter()
        .chain((0..circuit.terms()).map(|i| alter(&good, |s| s.terms[i].truth ^= true)))
        .chain((0..circuit.terms() * circuit.constants()).step_by(circuit.constants() / 2 + 1).map(|i| {
            alter(&good, |s| s.terms[i / circuit.constants()].constants[i % circuit.constants()] += Fr::from(1u64))
        })) {
            assert_eq!(vk.verify(&other, &proof), Err(ProofError::Invalid));
            assert!(!stock::verify(&prepared, &other, &proof));
        }
    }
}

fn alter(statement: &Statement, change: impl Fn(&mut Statement)) -> Statement {
    let mut other = statement.clone();
    change(&mut other);
    other
}

#[test]
fn false_statements_are_not_proven() {
    let mut made = made(15);
    made.answers[1] = SlotAnswer::Truth(Some(false));
    let key = &KEYS[0];
    let result = key.prove(&made.schema, &statement(&made, 1), &made.values, &made.salt);
    assert!(matches!(result, Err(ProveError::False(Violation::Truth(2)))));
    // Forced past the reference check, the proof system's own output does not verify.
    let elements = RecordHasher::new(&made.schema).elements(&made.values).unwrap();
    let statement = statement(&made, 1);
    let forced = key.prove_assignment(&circuit::assignment(&statement, &elements, made.salt.to_field())).unwrap();
    assert_eq!(verifying_key(key).verify(&statement, &forced), Err(ProofError::Invalid));
}

#[test]
fn keys_survive_their_files_and_damage_shows() {
    let key = &KEYS[0];
    let bytes = key.to_bytes().unwrap();
    let read = ProvingKey::from_bytes(key.circuit(), &bytes).unwrap();
    let made = made(15);
    let statement = statement(&made, 3);
    let proof = read.prove(&made.schema, &statement, &made.values, &made.salt).unwrap();
    verifying_key(key).verify(&statement, &proof).unwrap();
    for position in [0, 20, 60, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1;
        assert!(ProvingKey::from_bytes(key.circuit(), &damaged).is_err());
    }
    assert!(ProvingKey::from_bytes(key.circuit(), &bytes[..bytes.len() - 1]).is_err());

    // The other circuit's key, and a wide record under the narrow circuit's key.
    assert!(matches!(KEYS[1].prove(&made.schema, &statement, &made.values, &made.salt), Err(ProveError::Circuit(_))));
    assert!(matches!(verifying_key(&KEYS[1]).verify(&statement, &proof), Err(ProofError::Circuit { .. })));
}

#[test]
fn malformed_points_are_refused() {
    let key = &KEYS[0];
    let made = made(15);
    let statement = statement(&made, 1);
    let vk = verifying_key(key);
    let proof = key.prove(&made.schema, &statement, &made.values, &made.salt).unwrap();
    let identity_g1 = {
        let mut p = [0u8; 48];
        p[0] = 0xc0;
        p
    };
    let identity_g2 = {
        let mut p = [0u8; 96];
        p[0] = 0xc0;
        p
    };
    let with = |at: usize, bytes: &[u8]| {
        let mut other = proof;
        other.0[at..at + bytes.len()].copy_from_slice(bytes);
        vk.verify(&statement, &other)
    };
    for result in [
        with(0, &identity_g1),
        with(48, &identity_g2),
        with(144, &identity_g1),
        with(0, &[0xff; 48]),
        with(0, &[0; 48]),
    ] {
        assert!(matches!(result, Err(ProofError::Decode(_))), "{result:?}");
    }
    // A point on the curve but outside the subgroup: x = 4 is one of G1's (y^2 = 68 is a square).
    let outside = {
        let mut p = [0u8; 48];
        p[0] = 0x80;
        p[47] = 4;
        p
    };
    let decoded: Option<bls12_381::G1Affine> = bls12_381::G1Affine::from_compressed_unchecked(&outside).into();
    assert!(decoded.is_some_and(|p| bool::from(p.is_on_curve()) && !bool::from(p.is_torsion_free())));
    assert!(matches!(with(0, &outside), Err(ProofError::Decode(_))));
    // Single bits all over the proof; each top bit carries a flag of the encoding.
    for bit in 0..192 * 8 {
        let mut flipped = proof;
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        if bit % 61 == 0 || bit % 8 == 7 {
            assert!(vk.verify(&statement, &flipped).is_err(), "bit {bit}");
        }
    }
    let mut bytes = key.verifying_key_bytes().unwrap();
    bytes[..48].copy_from_slice(&identity_g1);
    assert!(VerifyingKey::from_bytes(key.circuit(), &bytes).is_err());
    assert!(VerifyingKey::from_bytes(key.circuit(), &bytes[1..]).is_err());
}

#[test]
fn proofs_are_those_of_stock_arkworks_byte_for_byte() {
    for (key, fields) in KEYS.iter().zip([15, 31]) {
        let made = made(fields);
        let elements = RecordHasher::new(&made.schema).elements(&made.values).unwrap();
        let assignment = circuit::assignment(&statement(&made, 5), &elements, made.salt.to_field());
        let Parts { key, shape, engine: _ } = &*key.parts;
        let matrices = [shape.a.clone(), shape.b.clone(), shape.c.clone()];
        let engines = [Engine::derive(key, shape), Engine::plain(key, shape)];
        for (r, s) in [(Fr::rand(&mut OsRng), Fr::rand(&mut OsRng)), (Fr::from(0u64), Fr::from(1u64))] {
            let stock = Groth16::<Bls12_381>::create_proof_with_reduction_and_matrices(
                key,
                r,
                s,
                &matrices,
                shape.publics + 1,
                shape.constraints(),
                &assignment,
            )
            .unwrap();
            for engine in &engines {
                let ours = engine.prove(key, shape, &assignment, r, s).unwrap();
                assert_eq!(bytes(&ours), bytes(&stock));
            }
        }
    }
}

fn bytes(proof: &ark_groth16::Proof<Bls12_381>) -> Vec<u8> {
    let mut bytes = Vec::new();
    proof.serialize_compressed(&mut bytes).unwrap();
    bytes
}

/// A pool all of whose threads prove at once, before the key is ready.
#[test]
fn a_pool_full_of_first_proofs_does_not_block() {
    use rayon::prelude::*;
    let key = ProvingKey::from_bytes(KEYS[0].circuit(), &KEYS[0].to_bytes().unwrap()).unwrap();
    let made = made(15);
    let statement = statement(&made, 1);
    let proofs: Vec<_> = (0..8)
        .into_par_iter()
        .map(|_| key.prove(&made.schema, &statement, &made.values, &made.salt).unwrap())
        .collect();
    for proof in proofs {
        verifying_key(&key).verify(&statement, &proof).unwrap();
    }
}
