use sealgate_circuits::bytes::{Place, tagged_hash};
use sealgate_circuits::place::verify_place;
use sealgate_circuits::record::RecordHasher;
use sealgate_circuits::tree::{NodeHash, PathEnd, Subtree};
use sealgate_circuits::value::Value;

use super::super::testing::{Bench, int_and_text, numbered};
use std::sync::Arc;

use super::*;
use crate::table::{StoredAttempt, is_retired, retire_versions, stored_attempts};

fn target(number: u32) -> Place {
    Place(tagged_hash("test/target", &[&number.to_le_bytes()]))
}

#[tokio::test]
async fn a_sample_is_the_record_that_chance_chose_and_no_other_fits() {
    let bench = Bench::new(int_and_text());
    let rows = numbered(400);
    let version = bench.seal(&rows).await.unwrap();
    let table = bench.open(&version).await.unwrap();
    let hasher = RecordHasher::new(&bench.schema);
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..200 {
        let sample = table.sample(&target(number)).await.unwrap();
        let place = chosen(&sample.path, &table.root(), &target(number)).unwrap().unwrap();
        let PathEnd::Leaf(leaf) = sample.path.end else { panic!("no leaf") };
        let record = match &sample.leaf {
            SampledLeaf::Record(record) => record,
            SampledLeaf::Blinding(seed) => {
                assert_eq!(seed.leaf(), leaf);
                continue;
            }
            SampledLeaf::Empty => panic!("the table is not empty"),
        };
        let key = bench.schema.key_bytes(&record.values[..1]).unwrap();
        assert_eq!(verify_place(&table.place_key(), &key, &record.place_proof).unwrap(), place);
        assert_eq!(hasher.commit(&record.values, &record.salt).unwrap(), leaf.commitment);
        assert!(rows.contains(&record.values));
        for (column, value) in record.values.iter().enumerate() {
            let number = u8::try_from(column).unwrap();
            let segment = &table.column_segments(number).unwrap()[record.segment as usize];
            let object = table.read_segment(number, record.segment as usize, 0, segment.bytes).await.unwrap();
            let key = ChunkKey::from_bytes(record.chunk_keys[column]);
            let opening = CellOpening {
                label: bench.keys.label(),
                suite: CipherSuite::default(),
                hash: HashAlgorithm::default(),
                column: number,
                kind: bench.schema.columns[column].kind,
                segment,
                row: record.row,
                key: &key,
            };
            assert_eq!(open_cell(&opening, &object).unwrap(), *value);
            // The chunk's key opens no other chunk.
            let other = CellOpening { row: (record.row + 64) % 384, ..opening };
            assert!(open_cell(&other, &object).is_err());
        }
        // The owner cannot show another record instead.
        let other = table.sample(&target(number + 1000)).await.unwrap();
        let shown = chosen(&other.path, &table.root(), &target(number));
        assert!(other.path == sample.path || matches!(shown, Err(ChoiceError::Turned(_))), "{shown:?}");
        let mut cut = sample.path.clone();
        if let Some(sibling) = cut.siblings.first_mut() {
            *sibling = NodeHash(Subtree::Empty.hash());
            assert_eq!(chosen(&cut, &table.root(), &target(number)), Err(ChoiceError::Path));
        }
        seen.insert(format!("{:?}", record.values));
    }
    assert!(seen.len() > 100, "{}", seen.len());
}

#[tokio::test]
async fn an_empty_table_shows_that_nothing_is_behind_its_leaf() {
    let bench = Bench::new(int_and_text());
    let version = bench.seal(&[]).await.unwrap();
    let table = bench.open(&version).await.unwrap();
    let sample = table.sample(&target(1)).await.unwrap();
    let SampledLeaf::Blinding(seed) = sample.leaf else { panic!("{sample:?}") };
    assert_eq!(chosen(&sample.path, &table.root(), &target(1)), Ok(Some(seed.leaf().place)));
}

#[tokio::test]
async fn versions_are_compared_and_let_go_of() {
    let bench = Bench::new(int_and_text());
    let rows = numbered(300);
    let first = bench.seal(&rows).await.unwrap();
    let mut changed = rows.clone();
    changed[10][1] = Value::Text("new".into());
    changed[20][1] = Value::Text("new".into());
    changed.remove(30);
    changed.push(vec![Value::Int(900), Value::Null]);
    let second = bench.sync(&first, &changed).await.unwrap();
    let third = bench.sync(&second, &changed).await.unwrap();
    let (old, new) = (bench.open(&first).await.unwrap(), bench.open(&third).await.unwrap());
    let request = crate::table::DifferenceRequest {
        old: Arc::new(old),
        new: Arc::new(new),
        spill_dir: bench.spill(),
        keys_max: 1,
    };
    let difference = crate::table::compare_versions(request).await.unwrap();
    assert_eq!((difference.unchanged, difference.changed, difference.added, difference.removed), (297, 2, 1, 1));
    assert_eq!(
        (difference.added_keys, difference.removed_keys),
        (vec![vec![Value::Int(900)]], vec![vec![Value::Int(30)]])
    );
    assert!([vec![Value::Int(10)], vec![Value::Int(20)]].contains(&difference.changed_keys[0]));

    // The third version needs the second's segments and nothing of the first.
    let (store, keys) = (&bench.store, &bench.keys);
    let old = [first.reference.attempt, second.reference.attempt];
    let before = bench.files().len();
    for _ in 0..2 {
        retire_versions(store, keys, Some(&bench.schema), &[third.reference], &old).await.unwrap();
    }
    let stored = stored_attempts(store, keys.label()).await.unwrap();
    let of = |retired, has_objects| StoredAttempt { retired, has_objects };
    let expected = [(old[0], of(true, false)), (old[1], of(true, true)), (third.reference.attempt, of(false, true))];
    assert_eq!(stored, expected.into());
    assert!(bench.files().len() < before);
    assert!(
        is_retired(store, keys, old[0]).await.unwrap()
            && !is_retired(store, keys, third.reference.attempt).await.unwrap()
    );
    assert!(bench.open(&first).await.is_err() && bench.open(&second).await.is_err());
    assert_eq!(bench.verify(&third, true).await.unwrap().records, 300);
    let fourth = bench.sync(&third, &rows).await.unwrap();
    assert_eq!((fourth.changes.changed, fourth.changes.added, fourth.changes.removed), (2, 1, 1));
    assert_eq!(bench.verify(&fourth, true).await.unwrap().records, 300);
}
