//! What a gateway may send that is not the truth: evidence changed in every place, and evidence
//! built on purpose out of true parts. None of it verifies, and none of it stops the verifier.
//! `SEALGATE_SEED` repeats a run, `SEALGATE_MALICIOUS` sets how many places of the larger circuits'
//! evidence are tried.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use sealgate_circuits::bytes::{Context, ProofBytes};
use sealgate_circuits::evidence::{Evidence, EvidenceError, Present, Shown, Unproven, verify};
use sealgate_circuits::prover::stock;
use sealgate_circuits::question::sql::parse_question;
use sealgate_circuits::question::{Question, SlotAnswer};
use sealgate_circuits::record::Salt;
use sealgate_circuits::schema::{Column, ColumnUse, Schema};
use sealgate_circuits::statement::{Circuit, Statement, Test, answers};
use sealgate_circuits::tree::{NodeHash, PathEnd};
use sealgate_circuits::value::{ColumnType, Value};
use sealgate_circuits::verifier::{ProofError, VerifyingKey};
use sealgate_ledger::codec::{decode, encode};
use sealgate_tests::chance::{Chance, count};

use proving::{Sealed, keys, salt_of};

mod proving;

const CONTEXT: Context = Context([1; 32]);

/// `c0` to the width's end: int, decimal, text, date, bool, text, and again; the key is `c0`.
fn schema(width: usize) -> Schema {
    let kinds = [
        ColumnType::Int,
        ColumnType::Decimal(2),
        ColumnType::Text,
        ColumnType::Date,
        ColumnType::Bool,
        ColumnType::Text,
    ];
    let allowed = ColumnUse { disclose: true, prove: true };
    let column = |i: usize| Column { name: format!("c{i}"), kind: kinds[i % 6], allowed };
    Schema { columns: (0..width).map(column).collect(), key: vec![0] }
}

/// Seven records; every field of `c1` is null in the even ones.
fn sealed(width: usize, version: u32) -> Sealed {
    let schema = schema(width);
    let field = |id: i64, i: usize, kind: ColumnType| match kind {
        ColumnType::Int => Value::Int(id * 10 + i as i64),
        ColumnType::Decimal(_) if id % 2 == 0 => Value::Null,
        ColumnType::Decimal(_) => Value::Decimal(id * 100),
        ColumnType::Text => Value::Text(format!("text {i} of {}", id % 3)),
        ColumnType::Date => Value::Date(19_000 + id),
        _ => Value::Bool(id % 2 == 1),
    };
    let record = |id: i64| schema.columns.iter().enumerate().map(|(i, c)| field(id, i, c.kind)).collect();
    Sealed::new(&schema, (1..=7).map(record).collect(), version)
}

const SLOTS: &str = "c2, c0 BETWEEN 5 AND 15, c1 >= 1, c5 <> 'text 5 of 1'";
const TERMS: &str =
    "c2, (c0 < 15 AND c2 IN ('text 2 of 0', 'text 2 of 1', 'x')) OR c4, NOT (c1 > 1 OR c3 = '1970-01-01'), c1 IS NULL";

/// An honest answer, and all that it takes to verify it.
struct Honest {
    sealed: Sealed,
    question: Question,
    evidence: Vec<Evidence>,
    key: Option<&'static VerifyingKey>,
}

/// An answer in each of the four circuits and one that is opened, each narrow and wide.
fn honest() -> Vec<Honest> {
    let mut all = Vec::new();
    for width in [6, 20] {
        for items in [SLOTS, TERMS, "*"] {
            all.push(answer(width, items, "c0 IN (10, 20)"));
        }
    }
    let circuits: std::collections::BTreeSet<Option<Circuit>> =
        all.iter().map(|honest| honest.key.map(VerifyingKey::circuit)).collect();
    assert_eq!(circuits.len(), 5, "every circuit, and openings");
    all
}

fn answer(width: usize, items: &str, key: &str) -> Honest {
    let sealed = sealed(width, 1);
    let question = parse_question(&format!("SELECT {items} FROM t WHERE {key}"), &sealed.schema, Vec::new()).unwrap();
    let evidence = sealed.evidence(&question, &CONTEXT);
    let key = sealed.circuit(&question).map(|circuit| &keys(circuit).verifying);
    let honest = Honest { sealed, question, evidence, key };
    honest.verify(&honest.evidence).unwrap();
    honest
}

impl Honest {
    fn verify(&self, evidence: &[Evidence]) -> Result<Vec<(usize, Statement, ProofBytes)>, Unproven> {
        verify(evidence, &self.sealed.published(), self.key, &self.question, &CONTEXT)
    }

    /// Changed evidence must be refused; says why it was.
    fn refused(&self, what: &str, change: impl FnOnce(&mut Vec<Evidence>)) -> EvidenceError {
        let mut evidence = self.evidence.clone();
        change(&mut evidence);
        assert_ne!(evidence, self.evidence, "{what}: nothing was changed");
        match self.verify(&evidence) {
            Err(unproven) => {
                assert!(unproven.number <= unproven.of && !unproven.to_string().is_empty());
                unproven.error
            }
            Ok(_) => panic!("{what} verifies: {:?}", self.question),
        }
    }

    fn is_opening(&self) -> bool {
        self.key.is_none()
    }

    fn is_large(&self) -> bool {
        self.key.is_some_and(|key| key.circuit().constants() > 2)
    }
}

fn present(evidence: &mut Evidence) -> &mut Present {
    evidence.present.as_mut().unwrap()
}

fn proof(evidence: &Evidence) -> ProofBytes {
    match evidence.present.as_ref().unwrap().shown {
        Shown::Proof(proof) => proof,
        Shown::Opening(_) => panic!("opened"),
    }
}

fn set_proof(evidence: &mut Evidence, proof: ProofBytes) {
    present(evidence).shown = Shown::Proof(proof);
}

/// Every public input moved: a proof is of all of them.
#[test]
fn no_public_input_can_be_moved() {
    let mut chance = Chance::of_run("public inputs");
    let one = Value::Bool(true).to_field();
    for honest in honest() {
        let Some(key) = honest.key else { continue };
        let circuit = key.circuit();
        let prepared = stock::prepare(&keys(circuit).proving);
        let (_, statement, proof) = honest.verify(&honest.evidence).unwrap().remove(0);
        let refused = |what: String, change: &dyn Fn(&mut Statement)| {
            let mut other = statement.clone();
            change(&mut other);
            assert_ne!(other.public_inputs(), statement.public_inputs(), "{what}: nothing was moved");
            assert_eq!(key.verify(&other, &proof), Err(ProofError::Invalid), "{what}");
            assert!(!stock::verify(&prepared, &other, &proof), "{what}: arkworks");
        };
        refused("commitment".into(), &|s| s.commitment += one);
        refused("tag".into(), &|s| s.tag += one);
        refused("context".into(), &|s| s.context += one);
        // The fourth is the program: every kind of bit in it.
        refused("a position".into(), &|s| s.terms[0].position ^= 1);
        refused("a test".into(), &|s| s.terms[1].test = Test::Disclose);
        for i in 0..circuit.terms() {
            refused(format!("truth of {i}"), &|s| s.terms[i].truth ^= true);
            refused(format!("null of {i}"), &|s| s.terms[i].null ^= true);
            if circuit.constants() > 2 {
                refused(format!("negation of {i}"), &|s| s.terms[i].negated ^= true);
                refused(format!("joint of {i}"), &|s| s.terms[i].joint = (s.terms[i].joint + 1) % 5);
            }
        }
        let all = circuit.terms() * circuit.constants();
        let tried = if honest.is_large() { count("SEALGATE_MALICIOUS", 16).min(all) } else { all };
        for n in 0..tried {
            let i = if tried == all { n } else { chance.below(all) };
            let (term, constant) = (i / circuit.constants(), i % circuit.constants());
            refused(format!("constant {constant} of {term}"), &|s| s.terms[term].constants[constant] += one);
        }
    }
}

/// Every byte of the encoded evidence changed, cut off there, and more behind the end.
#[test]
fn no_byte_of_the_evidence_can_be_changed() {
    let mut chance = Chance::of_run("bytes");
    for (width, items) in [(6, SLOTS), (20, SLOTS), (6, TERMS), (20, TERMS), (6, "*"), (20, "*")] {
        let honest = answer(width, items, "c0 = 10");
        let bytes = encode(&honest.evidence);
        assert_eq!(decode::<Vec<Evidence>>("evidence", &bytes).as_ref(), Ok(&honest.evidence));
        let places = count("SEALGATE_MALICIOUS", 16) * 8;
        let every = if honest.is_large() { (bytes.len() / places).max(1) } else { 1 };
        for at in 0..bytes.len() {
            assert!(decode::<Vec<Evidence>>("evidence", &bytes[..at]).is_err(), "cut at {at}");
            if at >= 16 && !chance.one_in(every) {
                continue;
            }
            let mut changed = bytes.clone();
            changed[at] ^= 1 << chance.below(8);
            if let Ok(evidence) = decode::<Vec<Evidence>>("evidence", &changed) {
                assert_ne!(evidence, honest.evidence);
                assert!(honest.verify(&evidence).is_err(), "byte {at} of {}: {items}", bytes.len());
            }
        }
        for tail in [&[0][..], &[0; 4], &bytes] {
            assert!(decode::<Vec<Evidence>>("evidence", &[&bytes[..], tail].concat()).is_err());
        }
    }
}

/// True evidence in the wrong place.
#[test]
fn evidence_cannot_be_moved() {
    for honest in honest() {
        let second = sealed(honest.sealed.schema.columns.len(), 2);
        let v2 = second.evidence(&honest.question, &CONTEXT);
        let verify_with = |evidence: &[Evidence], question: &Question, context: &Context| {
            verify(evidence, &honest.sealed.published(), honest.key, question, context)
        };
        // Another version: as a whole, and each part of it among the rest.
        honest.refused("another version", |e| *e = v2.clone());
        honest.refused("another version's path", |e| e[0].path = v2[0].path.clone());
        honest.refused("another version's proof", |e| e[0].present = v2[0].present.clone());
        assert!(verify(&honest.evidence, &second.published(), honest.key, &honest.question, &CONTEXT).is_err());
        // Another request: what is proven is bound to it. What is opened tells all there is.
        let moved = verify_with(&honest.evidence, &honest.question, &Context([2; 32]));
        assert_eq!(moved.is_ok(), honest.is_opening());
        // Other keys' evidence, more of it, less of it.
        honest.refused("two keys swapped", |e| e.swap(0, 1));
        honest.refused("one key's twice", |e| e[1] = e[0].clone());
        honest.refused("another record's proof", |e| e[0].present = e[1].present.clone());
        honest
            .refused("the same proof for two keys", |e| present(&mut e[1]).shown = e[0].present.clone().unwrap().shown);
        honest.refused("another key's place", |e| e[0].place_proof = e[1].place_proof);
        honest.refused("another key's path", |e| e[0].path = e[1].path.clone());
        assert_eq!(honest.refused("a key too few", |e| drop(e.pop())), EvidenceError::Form);
        assert_eq!(honest.refused("a key too many", |e| e.push(e[0].clone())), EvidenceError::Form);
        assert_eq!(honest.refused("no key", Vec::clear), EvidenceError::Form);
        // Another question, of the same kinds.
        for (from, to) in
            [("c0 IN (10, 20)", "c0 IN (20, 10)"), ("c0 IN (10, 20)", "c0 IN (10, 30)"), ("c2,", "c5,"), ("15", "16")]
        {
            let sql = honest.question.filled().unwrap().display(&honest.sealed.schema);
            let sql = if honest.is_opening() { "*".to_owned() } else { sql };
            let sql = format!("SELECT {sql} FROM t WHERE c0 IN (10, 20)");
            let other = sql.replacen(from, to, 1);
            if sql == other {
                continue;
            }
            let other = parse_question(&other, &honest.sealed.schema, Vec::new()).unwrap();
            assert!(verify_with(&honest.evidence, &other, &CONTEXT).is_err(), "{from} -> {to}");
        }
        // A record kept back, or made up.
        assert_eq!(honest.refused("hidden", |e| e[1].present = None), EvidenceError::HiddenRecord);
        let absent = Question { keys: vec![vec![Value::Int(10)], vec![Value::Int(11)]], ..honest.question.clone() };
        let mut invented = honest.sealed.evidence(&absent, &CONTEXT);
        assert!(invented[1].present.is_none());
        verify_with(&invented, &absent, &CONTEXT).unwrap();
        invented[1].present = invented[0].present.clone();
        let error = verify_with(&invented, &absent, &CONTEXT).unwrap_err();
        assert_eq!((error.number, error.error), (2, EvidenceError::InventedRecord));
    }
}

/// A gateway that commits to a record of its own, and proves about that one what it likes.
#[test]
fn a_record_of_ones_own_proves_nothing() {
    for honest in honest() {
        let mut records = honest.sealed.records.clone();
        records[0][2] = Value::Text("forged".into());
        let forged = Sealed::new(&honest.sealed.schema, records, 1);
        let theirs = forged.evidence(&honest.question, &CONTEXT);
        verify(&theirs, &forged.published(), honest.key, &honest.question, &CONTEXT).unwrap();
        honest.refused("a forged tree", |e| *e = theirs.clone());
        honest.refused("a forged record on the true path", |e| e[0].present = theirs[0].present.clone());
        honest.refused("a forged leaf on the true path", |e| {
            e[0].path.end = theirs[0].path.end;
            e[0].present = theirs[0].present.clone();
        });
        honest.refused("nothing on the true path", |e| {
            e[0].path.end = PathEnd::Empty;
            e[0].present = None;
        });
        honest.refused("another leaf on the true path", |e| {
            e[0].path.end = e[1].path.end;
            e[0].present = None;
        });
        honest.refused("a longer path", |e| e[0].path.siblings.push(NodeHash([0; 32])));
        honest.refused("far too long a path", |e| e[0].path.siblings = vec![NodeHash([0; 32]); 100_000]);
        honest.refused("no path", |e| e[0].path.siblings.clear());
    }
}

/// The answers are part of what is proven.
#[test]
fn no_answer_can_be_changed() {
    for honest in honest() {
        let items = honest.question.shape.items.len();
        for i in 0..items.min(8) {
            let change = |answer: &SlotAnswer| -> Vec<SlotAnswer> {
                let truths = [Some(true), Some(false), None].map(SlotAnswer::Truth);
                let values = [Value::Null, Value::Int(7), Value::Text("other".into()), Value::Bool(true)];
                let all = truths.into_iter().chain(values.map(SlotAnswer::Value));
                all.filter(|other| other != answer).collect()
            };
            let true_answer = honest.evidence[0].present.as_ref().unwrap().answers[i].clone();
            for other in change(&true_answer) {
                honest.refused(&format!("answer {i}: {other:?}"), |e| present(&mut e[0]).answers[i] = other);
            }
        }
        honest.refused("an answer too few", |e| drop(present(&mut e[0]).answers.pop()));
        honest.refused("an answer too many", |e| present(&mut e[0]).answers.push(SlotAnswer::Value(Value::Null)));
        honest.refused("no answers", |e| present(&mut e[0]).answers.clear());
        honest.refused("many answers", |e| present(&mut e[0]).answers = vec![SlotAnswer::Truth(None); 10_000]);
        // c2 and c5 are texts both.
        if honest.is_opening() {
            honest.refused("columns swapped", |e| present(&mut e[0]).answers.swap(2, 5));
            honest.refused("too long a text", |e| {
                present(&mut e[0]).answers[2] = SlotAnswer::Value(Value::Text("x".repeat(70_000)));
            });
        }
    }
}

/// r, the order of the scalar field, little-endian.
const R: [u8; 32] = [
    0x01, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0x02, 0xa4, 0xbd, 0x53, 0x05, 0xd8, 0xa1, 0x09,
    0x08, 0xd8, 0x39, 0x33, 0x48, 0x7d, 0x9d, 0x29, 0x53, 0xa7, 0xed, 0x73,
];

fn plus(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
    let (mut sum, mut carry) = ([0; 32], 0u16);
    for i in 0..32 {
        carry += u16::from(a[i]) + u16::from(b[i]);
        sum[i] = carry as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    sum
}

fn salt(bytes: &[u8; 32]) -> Salt {
    borsh::from_slice(bytes).unwrap()
}

/// Openings: the salt has one spelling, and neither form stands in for the other.
#[test]
fn openings_are_not_forged() {
    for width in [6, 20] {
        let opened = answer(width, "*", "c0 IN (10, 20)");
        let proven = answer(width, SLOTS, "c0 IN (10, 20)");
        let bytes: [u8; 32] = encode(&salt_of(&opened.sealed.schema, &opened.sealed.records[0], 1)).try_into().unwrap();
        let with = |salt: Salt| move |e: &mut Vec<Evidence>| present(&mut e[0]).shown = Shown::Opening(salt);
        assert!(matches!(opened.refused("salt + r", with(salt(&plus(&bytes, &R)))), EvidenceError::Salt(_)));
        assert!(matches!(opened.refused("r", with(salt(&R))), EvidenceError::Salt(_)));
        assert!(matches!(opened.refused("ones", with(salt(&[255; 32]))), EvidenceError::Salt(_)));
        assert_eq!(opened.refused("zeros", with(salt(&[0; 32]))), EvidenceError::Opening);
        let other = salt_of(&opened.sealed.schema, &opened.sealed.records[1], 1);
        assert_eq!(opened.refused("another record's salt", with(other)), EvidenceError::Opening);

        let shown = |honest: &Honest| honest.evidence[0].present.clone().unwrap().shown;
        assert_eq!(opened.refused("a proof", |e| present(&mut e[0]).shown = shown(&proven)), EvidenceError::Form);
        assert_eq!(proven.refused("an opening", |e| present(&mut e[0]).shown = shown(&opened)), EvidenceError::Form);
        assert_eq!(
            proven.refused("the whole record", |e| e[0].present = opened.evidence[0].present.clone()),
            EvidenceError::Form
        );
        // A key where none is due, none where one is, another circuit's.
        let wrong = [(&opened, proven.key), (&proven, None), (&proven, answer(width, TERMS, "c0 = 10").key)];
        for (honest, key) in wrong {
            let result = verify(&honest.evidence, &honest.sealed.published(), key, &honest.question, &CONTEXT);
            assert_eq!(result.unwrap_err().error, EvidenceError::Form);
        }
    }
}

/// Points that are none, or not of the group, in every place of a proof.
#[test]
fn bad_points_are_refused() {
    for honest in honest().into_iter().filter(|honest| !honest.is_opening()) {
        let good = proof(&honest.evidence[0]);
        let with = |at: usize, point: &[u8]| {
            let mut bytes = good;
            bytes.0[at..at + point.len()].copy_from_slice(point);
            honest.refused("a point", |e| set_proof(&mut e[0], bytes))
        };
        for (at, length) in [(0, 48), (48, 96), (144, 48)] {
            let point = |first: u8, last: u8| {
                let mut point = vec![0; length];
                (point[0], point[length - 1]) = (first, last);
                point
            };
            // Small abscissas: off the curve or, half of them, on it and outside the subgroup.
            let small = (0..24).flat_map(|x| [point(0x80, x), point(0xa0, x)]);
            let odd = [
                point(0xc0, 0), // the identity
                point(0xe0, 0), // with a sign
                point(0xc0, 1), // with an abscissa
                point(0x00, 0), // uncompressed
                point(0x40, 0),
                vec![0xff; length],
                vec![0x00; length],
                vec![0x9f; length], // an abscissa above the field's order
            ];
            for point in small.chain(odd) {
                let error = with(at, &point);
                assert!(matches!(error, EvidenceError::Proof(ProofError::Decode(_))), "{at}: {point:02x?}: {error}");
            }
            // The opposite point is a point, and proves nothing.
            let opposite = vec![good.0[at] ^ 0x20];
            assert_eq!(with(at, &opposite), EvidenceError::Proof(ProofError::Invalid));
        }
        // A and C are both of G1: swapped they are points still.
        let mut swapped = good;
        swapped.0[..48].copy_from_slice(&good.0[144..]);
        swapped.0[144..].copy_from_slice(&good.0[..48]);
        let error = honest.refused("A and C swapped", |e| set_proof(&mut e[0], swapped));
        assert_eq!(error, EvidenceError::Proof(ProofError::Invalid));
        // Both factors' opposites have the same product. The page says so: a proof can be written
        // anew by anybody, for the same statement, and its bytes identify nothing.
        let mut again = good;
        again.0[0] ^= 0x20;
        again.0[48] ^= 0x20;
        let mut evidence = honest.evidence.clone();
        set_proof(&mut evidence[0], again);
        honest.verify(&evidence).unwrap();
    }
}

/// A proof is of one circuit, even where two circuits answer the same question.
#[test]
fn proofs_are_of_one_circuit() {
    for (width, small, large) in
        [(6, Circuit::Record15Slots4, Circuit::Record15Terms8), (20, Circuit::Record31Slots4, Circuit::Record31Terms8)]
    {
        let honest = answer(width, SLOTS, "c0 = 10");
        let record = &honest.sealed.records[0];
        let items = honest.question.items().unwrap();
        let answers = answers(&items, record).unwrap();
        let salt = salt_of(&honest.sealed.schema, record, 1);
        let (_, statement, proof) = honest.verify(&honest.evidence).unwrap().remove(0);
        let PathEnd::Leaf(leaf) = honest.evidence[0].path.end else { panic!("the record is there") };
        let in_large =
            Statement::new(large, &honest.sealed.schema, &items, &answers, &leaf.commitment, &CONTEXT).unwrap();
        let large_proof = keys(large).proving.prove(&honest.sealed.schema, &in_large, record, &salt).unwrap();
        keys(large).verifying.verify(&in_large, &large_proof).unwrap();
        assert_eq!(keys(large).verifying.verify(&in_large, &proof), Err(ProofError::Invalid));
        assert_eq!(keys(small).verifying.verify(&statement, &large_proof), Err(ProofError::Invalid));
        assert!(matches!(keys(large).verifying.verify(&statement, &proof), Err(ProofError::Circuit { .. })));
        assert!(matches!(keys(small).verifying.verify(&in_large, &large_proof), Err(ProofError::Circuit { .. })));
        honest.refused("the other circuit's proof", |e| set_proof(&mut e[0], large_proof));
        // Statements of a wrong form, by hand.
        for change in [
            (|s: &mut Statement| drop(s.terms.pop())) as fn(&mut Statement),
            |s| s.terms.push(s.terms[0].clone()),
            |s| s.terms[0].constants.clear(),
            |s| s.terms[0].constants.push(s.tag),
            |s| s.terms.clear(),
        ] {
            let mut other = in_large.clone();
            change(&mut other);
            assert!(keys(large).verifying.verify(&other, &large_proof).is_err());
        }
    }
}
