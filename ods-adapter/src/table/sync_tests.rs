use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use sealgate_circuits::value::{ColumnType, Value};

use super::super::testing::{Bench, check, int_and_text, numbered, schema, source};
use super::super::{Changes, SealRequest, SealedVersion, open_segment, seal_table};
use crate::keys::{AssetLabel, KeyError};
use crate::source::Rejected;
use crate::store::StoreError;
use crate::suite::{CipherSuite, HashAlgorithm};
use crate::table::column_seal;

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// Every row and some keys that are none, looked up and recomputed.
async fn holds(bench: &Bench, version: &SealedVersion, rows: &[Vec<Value>]) {
    let table = bench.open(version).await.unwrap();
    assert_eq!(table.records(), rows.len() as u64);
    for row in rows {
        check(&table, &bench.schema, &row[..1], &table.lookup(&row[..1]).await.unwrap(), Some(row));
    }
    for absent in [-1, 1_000_000] {
        let key = [Value::Int(absent)];
        check(&table, &bench.schema, &key, &table.lookup(&key).await.unwrap(), None);
    }
    assert!(bench.verify(version, true).await.unwrap().recomputed);
}

async fn records(bench: &Bench, version: &SealedVersion, rows: &[Vec<Value>]) -> Vec<[u8; 32]> {
    let table = bench.open(version).await.unwrap();
    let mut commitments = Vec::new();
    for row in rows {
        commitments.push(table.lookup(&row[..1]).await.unwrap().record.unwrap().commitment.0);
    }
    commitments
}

#[tokio::test]
async fn unchanged_records_keep_their_commitments_and_nothing_else_repeats() {
    let bench = Bench::new(int_and_text());
    let mut rows = numbered(300);
    let first = bench.seal(&rows).await.unwrap();
    let before = records(&bench, &first, &rows).await;
    let same = bench.sync(&first, &rows).await.unwrap();
    // A version in which nothing changed differs from the last in everything that is registered.
    assert_eq!((same.changes.unchanged, same.changes.segments_written), (300, 0));
    assert_ne!(same.root, first.root);
    assert_ne!(same.reference.manifest_digest, first.reference.manifest_digest);
    for (a, b) in same.columns.iter().zip(&first.columns) {
        assert!(a.ciphertext_digest != b.ciphertext_digest && a.key_commitment != b.key_commitment);
    }
    assert_eq!(records(&bench, &same, &rows).await, before);
    rows[7][1] = text("other");
    let third = bench.sync(&same, &rows).await.unwrap();
    let after = records(&bench, &third, &rows).await;
    let differ: Vec<usize> = (0..300).filter(|i| before[*i] != after[*i]).collect();
    assert_eq!(differ, [7]);
    // Back to the old value: another salt, so nobody sees that it is the old one.
    rows[7] = numbered(300)[7].clone();
    let fourth = bench.sync(&third, &rows).await.unwrap();
    assert_ne!(records(&bench, &fourth, &rows).await[7], before[7]);
    for (version, expected) in [(&first, &numbered(300)), (&same, &numbered(300)), (&fourth, &rows)] {
        holds(&bench, version, expected).await;
    }
}

#[tokio::test]
async fn a_table_can_become_empty_and_full_again() {
    let bench = Bench::new(int_and_text());
    let first = bench.seal(&numbered(200)).await.unwrap();
    let empty = bench.sync(&first, &[]).await.unwrap();
    assert_eq!((empty.records, empty.changes.removed, empty.changes.segments_written), (0, 200, 0));
    let full = bench.sync(&empty, &numbered(130)).await.unwrap();
    assert_eq!(full.changes.added, 130);
    holds(&bench, &empty, &[]).await;
    holds(&bench, &full, &numbered(130)).await;
}

#[tokio::test]
async fn sealing_anew_changes_keys_and_no_record() {
    let bench = Bench::new(int_and_text());
    let rows = numbered(500);
    let first = bench.seal(&rows).await.unwrap();
    let request =
        SealRequest { source: None, previous: Some(first.reference), version: 2, ..bench.request(source(&[])) };
    let second = seal_table(request).await.unwrap();
    assert_eq!((second.changes.unchanged, second.changes.moved, second.changes.segments_written), (500, 500, 1));
    holds(&bench, &second, &rows).await;
    assert_eq!(records(&bench, &second, &rows).await, records(&bench, &first, &rows).await);
    // Nothing of it lies with the first version's objects.
    crate::table::remove_attempt(&bench.store, bench.keys.label(), first.reference.attempt).await.unwrap();
    holds(&bench, &second, &rows).await;
}

#[tokio::test]
async fn rows_with_one_key_are_set_aside_together() {
    let bench = Bench::new(int_and_text());
    let mut rows = numbered(100);
    rows.push(vec![Value::Int(3), text("again")]);
    rows.push(vec![Value::Int(3), text("and again")]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let mut request = bench.request(source(&rows));
    request.rejected = Some(Arc::new(move |rejected: &Rejected| sink.lock().unwrap().push(rejected.to_string())));
    let version = seal_table(request).await.unwrap();
    assert_eq!((version.records, version.changes.set_aside), (99, 3));
    assert_eq!(
        seen.lock().unwrap().clone(),
        [
            "row 4: row 101 has the same key c0 = 3",
            "row 101: row 4 has the same key c0 = 3",
            "row 102: row 4 has the same key c0 = 3",
        ]
    );
    rows.truncate(100);
    rows.remove(3);
    holds(&bench, &version, &rows).await;
}

#[tokio::test]
async fn a_whole_column_opens_with_its_own_keys_and_nothing_else_does() {
    let bench = Bench::new(schema(&[ColumnType::Int, ColumnType::Text, ColumnType::Int], &[0]));
    let row = |i: i64| vec![Value::Int(i), text(&format!("text {i}")), Value::Int(i * 2)];
    let mut rows: Vec<_> = (0..17_000).map(row).collect();
    let first = bench.seal(&rows).await.unwrap();
    let old_keys = bench.open(&first).await.unwrap().segment_keys(1).unwrap();
    rows[11][1] = text("changed");
    let version = bench.sync(&first, &rows).await.unwrap();
    let table = bench.open(&version).await.unwrap();
    let (segments, keys) = (table.column_segments(1).unwrap(), table.segment_keys(1).unwrap());
    assert_eq!(column_seal(version.reference.attempt, &segments), version.columns[1]);
    assert_ne!(column_seal(first.reference.attempt, &segments), version.columns[1]);
    let (suite, hash) = (CipherSuite::default(), HashAlgorithm::default());
    let label = AssetLabel::new("licences").unwrap();
    let mut values = Vec::new();
    for (position, (segment, key)) in segments.iter().zip(&keys).enumerate() {
        let object = table.read_segment(1, position, 0, segment.bytes).await.unwrap();
        values.extend(open_segment(&label, suite, hash, 1, ColumnType::Text, segment, key, &object).unwrap());
        // Neither another segment's key nor another column's, nor one that was handed out before the
        // change, nor altered bytes.
        let others = keys.iter().chain(&old_keys).filter(|other| other.expose() != key.expose());
        for other in others {
            let opened = open_segment(&label, suite, hash, 1, ColumnType::Text, segment, other, &object);
            assert!(matches!(opened, Err(StoreError::Keys(KeyError::Commitment))));
        }
        let foreign = &table.segment_keys(2).unwrap()[position];
        assert!(open_segment(&label, suite, hash, 1, ColumnType::Text, segment, foreign, &object).is_err());
        let mut altered = object.to_vec();
        *altered.last_mut().unwrap() ^= 1;
        assert!(open_segment(&label, suite, hash, 1, ColumnType::Text, segment, key, &altered).is_err());
    }
    let mut expected: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
    expected.sort();
    values.sort();
    assert_eq!(values, expected);
}

#[tokio::test]
async fn changes_show_in_no_more_segments_than_they_must() {
    let bench = Bench::new(schema(&[ColumnType::Int, ColumnType::Int], &[0]));
    let mut rows: Vec<_> = (0..35_000).map(|i| vec![Value::Int(i), Value::Int(0)]).collect();
    let mut version = bench.seal(&rows).await.unwrap();
    assert_eq!((version.changes.added, version.changes.segments_written), (35_000, 3));
    rows[1][1] = Value::Int(9);
    rows.remove(9);
    rows.push(vec![Value::Int(70_000), Value::Null]);
    version = bench.sync(&version, &rows).await.unwrap();
    let Changes { unchanged, changed, added, removed, set_aside, moved, .. } = version.changes;
    assert_eq!((unchanged, changed, added, removed, set_aside), (34_998, 1, 1, 1, 0));
    // One segment at least stays: two rows are gone, and the last one was small.
    assert!(moved < 35_000, "{moved}");
    assert_eq!(bench.verify(&version, true).await.unwrap().records, 35_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_history_of_syncs_holds_the_latest_rows(
        history in prop::collection::vec(prop::collection::btree_map(0i64..60, 0u8..4, 0..60), 1..5),
        anew in any::<bool>(),
    ) {
        let bench = Bench::new(int_and_text());
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let rows_of = |table: &BTreeMap<i64, u8>| -> Vec<Vec<Value>> {
                table.iter().rev().map(|(key, value)| vec![Value::Int(*key), text(&format!("v{value}"))]).collect()
            };
            let mut versions = vec![(bench.seal(&rows_of(&history[0])).await.unwrap(), rows_of(&history[0]))];
            for (last, next) in history.iter().zip(history.iter().skip(1)) {
                let version = bench.sync(&versions.last().unwrap().0, &rows_of(next)).await.unwrap();
                let same = next.iter().filter(|(key, value)| last.get(key) == Some(value)).count() as u64;
                let known = next.keys().filter(|key| last.contains_key(key)).count() as u64;
                let changes = version.changes;
                assert_eq!((changes.unchanged, changes.changed), (same, known - same));
                assert_eq!((changes.added, changes.removed), (next.len() as u64 - known, last.len() as u64 - known));
                versions.push((version, rows_of(next)));
            }
            if anew {
                let (last, rows) = versions.last().unwrap().clone();
                let request = SealRequest {
                    source: None, previous: Some(last.reference), version: last.version + 1, ..bench.request(source(&[]))
                };
                versions.push((seal_table(request).await.unwrap(), rows));
            }
            for (version, rows) in &versions {
                holds(&bench, version, rows).await;
            }
        });
    }
}
