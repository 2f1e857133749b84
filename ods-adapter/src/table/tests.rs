use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use sealgate_circuits::bytes::Place;
use sealgate_circuits::record::RecordCommitment;
use sealgate_circuits::tree;
use sealgate_circuits::value::{ColumnType, Value};

use super::leaves::{
    ENTRY_BYTES, LeafEntry, RowPlace, Tags, TreeTop, bucket_bits, bucket_of, decode_bucket, encode_bucket, split_group,
    subtree_of,
};
use super::testing::{Bench, Rows, check, int_and_text, numbered, schema, source};
use super::{Lookup, SealError, list_attempts, remove_attempt, remove_stale_spills, seal_table};
use crate::ShareManifest;
use crate::keys::{AssetKeys, AssetLabel};
use crate::progress::Progress;
use crate::source::{self, Read};
use crate::store::StoreError;

#[test]
fn a_leaf_entry_has_the_bytes_that_the_specification_says() {
    let entry = LeafEntry {
        leaf: tree::Leaf { place: Place([1; 32]), commitment: RecordCommitment([2; 32]) },
        row: RowPlace { segment: 3, index: 4 },
        written_version: 5,
        tags: Tags { key: [6; 16], row: [7; 16] },
    };
    let numbers = [3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0];
    let bytes = [[1; 32].as_slice(), &[2; 32], &numbers, &[6; 16], &[7; 16]].concat();
    assert_eq!((encode_bucket(&[entry]), bytes.len()), (bytes.clone(), ENTRY_BYTES));
    assert_eq!(decode_bucket(&bytes), Some(vec![entry]));
    assert_eq!(decode_bucket(&bytes[1..]), None);
}

fn key_of(row: &[Value], key: &[u8]) -> Vec<Value> {
    key.iter().map(|i| row[usize::from(*i)].clone()).collect()
}

#[tokio::test]
async fn tables_of_every_size_come_back() {
    for n in [0, 1, 2, 63, 64, 65, 128, 300, 1500] {
        let bench = Bench::new(int_and_text());
        let rows = numbered(n);
        let version = bench.seal(&rows).await.unwrap();
        assert_eq!(version.records, n as u64);
        let stored: u64 = bench.files().iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert_eq!(version.bytes_written, stored);
        let table = bench.open(&version).await.unwrap();
        assert_eq!((table.root(), table.records()), (version.root, n as u64));
        for row in rows.iter().step_by(if n > 300 { 17 } else { 1 }) {
            let lookup = table.lookup(&row[..1]).await.unwrap();
            check(&table, &bench.schema, &row[..1], &lookup, Some(row));
        }
        for absent in n..n + 40 {
            let key = [Value::Int(absent)];
            check(&table, &bench.schema, &key, &table.lookup(&key).await.unwrap(), None);
        }
        let report = bench.verify(&version, true).await.unwrap();
        assert_eq!((report.records, report.bytes, report.objects), (n as u64, stored, bench.files().len() as u64));
        assert!(matches!(table.lookup(&[Value::Null]).await, Err(StoreError::Lookup(_))));
        assert_eq!(fs::read_dir(bench.spill()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn the_licences_come_back_whole() {
    let csv =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/licences/vancouver_restaurant_licences.csv");
    let Ok(head) = fs::read_to_string(&csv) else {
        eprintln!("skipped: {} is not here", csv.display());
        return;
    };
    let mut toml = "[asset]\nname=\"licences\"\ntitle=\"L\"\n[source]\nkind=\"csv\"\npath=\"x\"\n[key]\ncolumns=[\"LicenceRSN\"]\n".to_owned();
    for name in head.lines().next().unwrap().trim_start_matches('\u{feff}').split(',') {
        let kind = match name {
            "FOLDERYEAR" | "LicenceRSN" | "LicenceRevisionNumber" => "int",
            "IssuedDate" | "ExtractDate" => "timestamp",
            "ExpiredDate" => "date",
            "FeePaid" | "NumberofEmployees" => "decimal(2)",
            _ => "text",
        };
        toml.push_str(&format!("[[column]]\nname={name:?}\ntype={kind:?}\n"));
    }
    let manifest = ShareManifest::parse(&toml, Path::new("share.toml")).unwrap().with_source(&csv).unwrap();
    let bench = Bench::new(manifest.schema());
    assert_eq!(bench.schema.columns.len(), 23);
    let mut reader = source::open(&manifest).unwrap();
    let mut rows = Vec::new();
    while let Some(Read::Row(row)) = reader.next().unwrap() {
        rows.push(row.values);
    }
    assert_eq!(rows.len(), 3260);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let mut request = bench.request(source::open(&manifest).unwrap());
    request.progress = Arc::new(move |progress: Progress| sink.lock().unwrap().push(progress));
    let version = seal_table(request).await.unwrap();
    let reports = seen.lock().unwrap().clone();
    assert!(reports.len() >= 5 && reports.iter().any(|p| p.rows_done == 3260 && Some(p.bytes_done) == p.bytes_total));
    let table = bench.open(&version).await.unwrap();
    for row in rows.iter().step_by(9) {
        let key = key_of(row, &bench.schema.key);
        check(&table, &bench.schema, &key, &table.lookup(&key).await.unwrap(), Some(row));
    }
    let absent = [Value::Int(-1)];
    check(&table, &bench.schema, &absent, &table.lookup(&absent).await.unwrap(), None);
    assert!(bench.verify(&version, true).await.unwrap().recomputed);
    // The tree of the whole table in memory has the same root.
    let committer = super::worker::Committer::new(&bench.schema, &bench.keys);
    let mut leaves: Vec<_> = rows.iter().map(|row| committer.leaf(row, None, 1).unwrap()).collect();
    leaves.push(table.manifest().blinding.leaf());
    leaves.sort();
    assert_eq!(tree::build(&leaves, 0).root(), version.root);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn composite_keys_and_every_type_come_back(cells in prop::collection::btree_map(
        (any::<i8>(), "[a-c]{0,2}"), (any::<Option<bool>>(), any::<Option<i64>>(), any::<Option<String>>()), 0..40,
    ), probe in any::<i8>()) {
        let kinds = [ColumnType::Bool, ColumnType::Text, ColumnType::Decimal(2), ColumnType::Int, ColumnType::Text];
        let bench = Bench::new(schema(&kinds, &[3, 1]));
        let rows: Vec<Vec<Value>> = cells.into_iter().map(|((a, b), (on, fee, note))| vec![
            on.map_or(Value::Null, Value::Bool), Value::Text(b), fee.map_or(Value::Null, Value::Decimal),
            Value::Int(a.into()), note.map_or(Value::Null, Value::Text),
        ]).collect();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let version = bench.seal(&rows).await.unwrap();
            let table = bench.open(&version).await.unwrap();
            for row in &rows {
                let key = key_of(row, &bench.schema.key);
                check(&table, &bench.schema, &key, &table.lookup(&key).await.unwrap(), Some(row));
            }
            let key = [Value::Int(probe.into()), Value::Text("zz".into())];
            check(&table, &bench.schema, &key, &table.lookup(&key).await.unwrap(), None);
            bench.verify(&version, true).await.unwrap();
        });
    }

    #[test]
    fn buckets_and_top_make_the_same_tree(n in 0u64..600, bits in 0u8..12) {
        let hash = |tag: &str, i: u64| sealgate_circuits::bytes::tagged_hash(tag, &[&i.to_le_bytes()]);
        let mut entries: Vec<LeafEntry> = (0..n).map(|i| LeafEntry {
            leaf: tree::Leaf {
                place: Place(hash("p", i)),
                commitment: RecordCommitment(hash("c", i)),
            },
            row: RowPlace { segment: 7, index: i as u32 },
            written_version: 9,
            tags: Tags { key: [1; 16], row: [i as u8; 16] },
        }).collect();
        entries.sort_by_key(|entry| entry.leaf.place);
        let all = super::leaves::leaves_of(&entries);
        let per_group = super::leaves::buckets_per_group(bits);
        let mut buckets: Vec<&[LeafEntry]> = Vec::new();
        for group in 0..super::leaves::groups(bits) {
            let mine = |e: &LeafEntry| bucket_of(&e.leaf.place, bits) / per_group;
            let (from, to) = (entries.partition_point(|e| mine(e) < group), entries.partition_point(|e| mine(e) <= group));
            buckets.extend(split_group(&entries[from..to], group, bits));
        }
        prop_assert_eq!(buckets.len(), 1 << bits);
        let top = TreeTop::new(buckets.iter().map(|bucket| subtree_of(bucket, bits)).collect());
        prop_assert_eq!(top.root(), tree::build(&all, 0).root());
        for bucket in &buckets {
            prop_assert_eq!(&decode_bucket(&encode_bucket(bucket)).unwrap(), bucket);
        }
        for probe in 0..n + 50 {
            let place = Place(hash("p", probe));
            let (siblings, end) = tree::path_within(&all, 0, &place);
            let walk = top.walk(&place);
            prop_assert!(siblings.starts_with(&walk.siblings));
            if let tree::PathEnd::Leaf(leaf) = end {
                prop_assert!(buckets[walk.bucket as usize].iter().any(|entry| entry.leaf == leaf));
            }
        }
    }
}

#[test]
fn buckets_hold_64_to_128_leaves() {
    for (records, bits) in [(0, 0), (127, 0), (128, 1), (255, 1), (256, 2), (1 << 20, 14), (u64::MAX, 30)] {
        assert_eq!(bucket_bits(records), bits);
    }
}

#[tokio::test]
async fn segments_and_groups_are_many_in_large_tables() {
    let bench = Bench::new(schema(&[ColumnType::Int], &[0]));
    let rows: Vec<_> = (0..17_000).map(|i| vec![Value::Int(i)]).collect();
    let version = bench.seal(&rows).await.unwrap();
    let names: Vec<_> = bench.files().iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with('s')).count(), 2);
    assert_eq!(names.iter().filter(|name| name.starts_with('g')).count(), 256);
    let table = bench.open(&version).await.unwrap();
    for i in [0, 63, 64, 16_383, 16_384, 16_999, 17_000, -5] {
        let key = [Value::Int(i)];
        let expected = usize::try_from(i).ok().and_then(|i| rows.get(i)).map(Vec::as_slice);
        check(&table, &bench.schema, &key, &table.lookup(&key).await.unwrap(), expected);
    }
    bench.verify(&version, true).await.unwrap();
    let mut far = rows;
    far.push(vec![Value::Int(3)]);
    let error = bench.seal(&far).await.unwrap_err();
    assert!(
        matches!(&error, SealError::DuplicateKey { first: 4, second: 17_001, key, .. } if key == "c0 = 3"),
        "{error}"
    );
}

#[tokio::test]
async fn duplicate_keys_and_bad_rows_leave_nothing() {
    let bench = Bench::new(int_and_text());
    let mut rows = numbered(200);
    rows.insert(1, rows[0].clone());
    let message = bench.seal(&rows).await.unwrap_err().to_string();
    assert!(message.contains("memory: rows 1 and 2 have the same key c0 = 0"), "{message}");
    let mut rows = numbered(200);
    rows.push(vec![Value::Int(3), Value::Text("other".into())]);
    assert!(matches!(bench.seal(&rows).await, Err(SealError::DuplicateKey { first: 4, second: 201, .. })));
    for wrong in [vec![Value::Null, Value::Null], vec![Value::Int(1000)], vec![Value::Int(1000), Value::Bool(true)]] {
        let mut rows = numbered(100);
        rows.push(wrong);
        assert!(matches!(bench.seal(&rows).await, Err(SealError::Row { row: 101, .. })));
    }
    assert_eq!(bench.files(), Vec::<std::path::PathBuf>::new());
    assert_eq!(list_attempts(&bench.store, bench.keys.label()).await.unwrap(), []);
}

#[tokio::test]
async fn attempts_are_listed_and_removed() {
    let bench = Bench::new(int_and_text());
    let (a, b) = (bench.seal(&numbered(5)).await.unwrap(), bench.seal(&numbered(6)).await.unwrap());
    assert_ne!(a.root, b.root);
    let mut both = [a.reference.attempt, b.reference.attempt];
    both.sort();
    assert_eq!(list_attempts(&bench.store, bench.keys.label()).await.unwrap(), both);
    remove_attempt(&bench.store, bench.keys.label(), a.reference.attempt).await.unwrap();
    remove_attempt(&bench.store, bench.keys.label(), a.reference.attempt).await.unwrap();
    assert_eq!(list_attempts(&bench.store, bench.keys.label()).await.unwrap(), [b.reference.attempt]);
    bench.verify(&b, true).await.unwrap();
    assert!(matches!(bench.open(&a).await, Err(StoreError::Missing { .. })));
    fs::create_dir_all(bench.spill().join("spill-crashed")).unwrap();
    remove_stale_spills(&bench.spill()).unwrap();
    assert!(!bench.spill().join("spill-crashed").exists());
}

#[tokio::test]
async fn a_dropped_future_leaves_nothing() {
    let bench = Bench::new(int_and_text());
    let rows = Rows { rows: numbered(40_000).into_iter(), number: 0 };
    let sealing = seal_table(bench.request(Box::new(rows)));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), sealing).await.is_err());
    for _ in 0..300 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        if bench.files().is_empty() && fs::read_dir(bench.spill()).unwrap().count() == 0 {
            return;
        }
    }
    panic!("left: {:?}", bench.files());
}

#[tokio::test]
async fn other_keys_schemas_and_digests_open_nothing() {
    let mut bench = Bench::new(int_and_text());
    let version = bench.seal(&numbered(5)).await.unwrap();
    let mut other = version.clone();
    other.reference.manifest_digest = [0; 32];
    assert!(matches!(bench.open(&other).await, Err(StoreError::Damaged { .. })));
    let right = std::mem::replace(&mut bench.schema, schema(&[ColumnType::Int, ColumnType::Int], &[0]));
    assert!(matches!(bench.open(&version).await, Err(StoreError::Damaged { .. })));
    bench.schema = right;
    bench.keys = Arc::new(AssetKeys::generate(AssetLabel::new("licences").unwrap()).unwrap());
    assert!(matches!(bench.open(&version).await, Err(StoreError::Keys(_))));
    assert!(matches!(bench.verify(&version, false).await, Err(StoreError::Keys(_))));
}

/// What a lookup may say of damaged objects: the truth, or an error; never anything else.
async fn served_truthfully(bench: &Bench, version: &super::SealedVersion, truth: &[(Vec<Value>, Lookup)]) {
    let Ok(table) = bench.open(version).await else { return };
    for (key, expected) in truth {
        if let Ok(lookup) = table.lookup(key).await {
            assert_eq!(lookup.record.map(|r| r.values), expected.record.as_ref().map(|r| r.values.clone()));
            assert_eq!((lookup.place, lookup.path), (expected.place, expected.path.clone()));
        }
    }
}

#[tokio::test]
async fn every_flipped_bit_is_found_and_never_served() {
    let bench = Bench::new(int_and_text());
    let version = bench.seal(&numbered(3)).await.unwrap();
    let table = bench.open(&version).await.unwrap();
    let mut truth = Vec::new();
    for key in [1, 7] {
        let key = vec![Value::Int(key)];
        truth.push((key.clone(), table.lookup(&key).await.unwrap()));
    }
    let mut flips = 0;
    for file in bench.files() {
        let whole = fs::read(&file).unwrap();
        let name =
            file.strip_prefix(bench.dir.path().join("store").canonicalize().unwrap()).map(|p| p.display().to_string());
        let name =
            name.unwrap_or_else(|_| file.strip_prefix(bench.dir.path().join("store")).unwrap().display().to_string());
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file, &flipped).unwrap();
            let error = bench.verify(&version, false).await.unwrap_err();
            assert!(
                matches!(&error, StoreError::Damaged { object, .. } if *object == name),
                "bit {bit} of {name}: {error}"
            );
            if bit % 5 == 0 {
                served_truthfully(&bench, &version, &truth).await;
            }
            flips += 1;
        }
        fs::write(&file, &whole).unwrap();
    }
    assert!(flips > 10_000);
    bench.verify(&version, true).await.unwrap();
}

#[tokio::test]
async fn missing_cut_grown_swapped_and_extra_objects_are_found() {
    let bench = Bench::new(int_and_text());
    let version = bench.seal(&numbered(150)).await.unwrap();
    let table = bench.open(&version).await.unwrap();
    let mut truth = Vec::new();
    for key in [1, 149, 700] {
        let key = vec![Value::Int(key)];
        truth.push((key.clone(), table.lookup(&key).await.unwrap()));
    }
    let files = bench.files();
    for file in &files {
        let whole = fs::read(file).unwrap();
        fs::remove_file(file).unwrap();
        assert!(matches!(bench.verify(&version, false).await, Err(StoreError::Missing { .. })));
        served_truthfully(&bench, &version, &truth).await;
        for changed in [
            &whole[..whole.len() - 1],
            &whole[..whole.len() / 2],
            &whole[..10],
            &[],
            &[whole.as_slice(), b"x"].concat(),
        ] {
            fs::write(file, changed).unwrap();
            assert!(matches!(bench.verify(&version, false).await, Err(StoreError::Damaged { .. })));
            served_truthfully(&bench, &version, &truth).await;
        }
        for other in &files {
            if other != file {
                fs::copy(other, file).unwrap();
                assert!(matches!(bench.verify(&version, false).await, Err(StoreError::Damaged { .. })));
                served_truthfully(&bench, &version, &truth).await;
            }
        }
        fs::write(file, &whole).unwrap();
        let extra = file.with_file_name("s99");
        fs::write(&extra, &whole).unwrap();
        assert!(matches!(bench.verify(&version, false).await, Err(StoreError::Extra { .. })));
        fs::remove_file(&extra).unwrap();
    }
    bench.verify(&version, true).await.unwrap();
}

#[tokio::test]
async fn another_versions_objects_do_not_pass() {
    let bench = Bench::new(int_and_text());
    let (a, b) = (bench.seal(&numbered(100)).await.unwrap(), bench.seal(&numbered(100)).await.unwrap());
    let key = [Value::Int(5)];
    let folder = |version: &super::SealedVersion| version.reference.attempt.to_string();
    for file in bench.files().iter().filter(|file| file.to_string_lossy().contains(&folder(&a))) {
        let other = file.to_string_lossy().replace(&folder(&a), &folder(&b));
        let whole = fs::read(file).unwrap();
        fs::copy(other, file).unwrap();
        assert!(bench.verify(&a, false).await.is_err());
        if let Ok(table) = bench.open(&a).await {
            assert!(table.lookup(&key).await.is_err(), "{}", file.display());
        }
        fs::write(file, whole).unwrap();
    }
}

#[tokio::test]
async fn nothing_is_stored_in_the_clear_and_runs_differ() {
    let bench = Bench::new(int_and_text());
    let rows = vec![vec![Value::Int(1), Value::Text("a very telling text".into())]];
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        seal_table(bench.request(source(&rows))).await.unwrap();
    }
    for file in bench.files() {
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(12).any(|window| window == b"very telling"));
        assert!(seen.insert(bytes));
    }
}
