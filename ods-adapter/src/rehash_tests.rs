use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::file::{FileContent, FileRequest, FileVersion, seal_file};
use crate::progress::silent;
use crate::suite::CipherSuite;
use crate::table::SealedVersion;
use crate::table::testing::{Bench, int_and_text, numbered};

/// Two versions of a table, of which the second shares segments with the first, and a file.
struct Stored {
    bench: Bench,
    versions: Vec<SealedVersion>,
    file: FileVersion,
}

impl Stored {
    async fn new() -> Self {
        let bench = Bench::new(int_and_text());
        let first = bench.seal(&numbered(300)).await.unwrap();
        let mut rows = numbered(300);
        rows.extend(numbered(320).split_off(300));
        let second = bench.sync(&first, &rows).await.unwrap();
        let file = seal_file(FileRequest {
            content: FileContent::Stream(Box::new(Cursor::new(vec![7u8; 100_000]))),
            name: "plans.pdf".into(),
            keys: Arc::clone(&bench.keys),
            store: bench.store.clone(),
            version: 1,
            suite: CipherSuite::Sm4Gcm,
            hash: HashAlgorithm::Sm3,
            progress: silent(),
        });
        let file = file.await.unwrap();
        Self { bench, versions: vec![first, second], file }
    }

    async fn inventory(&self) -> Inventory {
        let Bench { store, keys, schema, .. } = &self.bench;
        let mut inventory = Inventory::default();
        for version in &self.versions {
            inventory.add_table(store, keys, schema, &version.reference).await.unwrap();
        }
        inventory.add_file(store, keys, &self.file.reference).await.unwrap();
        inventory
    }

    async fn request(&self) -> RehashRequest {
        RehashRequest {
            store: self.bench.store.clone(),
            inventory: self.inventory().await,
            after: None,
            bytes_per_second: None,
            reached: Box::new(|_| ()),
            progress: silent(),
        }
    }

    async fn findings(&self) -> Findings {
        rehash(self.request().await).await.unwrap().findings
    }

    /// The name of a stored file as an object.
    fn object(&self, file: &Path) -> String {
        file.strip_prefix(self.bench.dir.path().join("store")).unwrap().to_string_lossy().into_owned()
    }
}

#[tokio::test]
async fn whole_stores_have_no_findings_and_shared_objects_are_read_once() {
    let stored = Stored::new().await;
    let report = rehash(stored.request().await).await.unwrap();
    assert_eq!(report.findings.count, 0, "{:?}", report.findings);
    assert_eq!(report.objects, stored.bench.files().len() as u64);
    assert_eq!(report.objects, stored.inventory().await.objects());
}

/// Every object cut, lengthened, emptied, flipped, replaced by each other one, gone: named, and only it.
#[tokio::test]
async fn every_damage_of_every_object_is_found() {
    let stored = Stored::new().await;
    let files = stored.bench.files();
    for (position, file) in files.iter().enumerate() {
        let good = fs::read(file).unwrap();
        let mut flipped = good.clone();
        let at = (position * 977) % good.len();
        flipped[at] ^= 1;
        let another = fs::read(&files[(position + 1) % files.len()]).unwrap();
        let cut = good[..good.len() - 1].to_vec();
        for bad in [Some(cut), Some([&good, &[0][..]].concat()), Some(Vec::new()), Some(flipped), Some(another), None] {
            match &bad {
                Some(bytes) => fs::write(file, bytes).unwrap(),
                None => fs::remove_file(file).unwrap(),
            }
            let findings = stored.findings().await;
            // A manifest that does not open hides what it lists, some of which then belongs to nothing.
            let first = findings.first.first().and_then(StoreError::object).unwrap();
            assert_eq!(first, stored.object(file), "{:?}", findings.first);
            if !file.ends_with("manifest") {
                assert_eq!(findings.count, 1, "{:?}", findings.first);
            }
        }
        fs::write(file, &good).unwrap();
    }
    assert_eq!(stored.findings().await.count, 0);
}

/// The chunks of an object, which lie behind the table of their lengths.
fn chunks(object: &[u8], count: usize) -> Vec<std::ops::Range<usize>> {
    let mut start = layout::HEADER_BYTES + count * layout::LENGTH_BYTES;
    let lengths = object[layout::HEADER_BYTES..start].as_chunks::<4>().0;
    let ranges = lengths.iter().map(|length| {
        let end = start + u32::from_le_bytes(*length) as usize;
        std::mem::replace(&mut start, end)..end
    });
    let ranges: Vec<_> = ranges.collect();
    assert_eq!(ranges.last().unwrap().end, object.len());
    ranges
}

/// Two chunks of one length that have changed places within their object: its length, its header and every
/// chunk by itself are as they were. Whoever reads one of them and the check of what is stored find it.
#[tokio::test]
async fn chunks_that_changed_places_are_found() {
    let stored = Stored::new().await;
    let (bench, rows) = (&stored.bench, numbered(300));
    let attempts = bench.dir.path().join("store/assets").join(bench.keys.label().hex());
    let path = attempts.join(stored.versions[0].reference.attempt.to_string()).join("c0/s0");
    let good = fs::read(&path).unwrap();
    let ranges = chunks(&good, 300usize.div_ceil(64));
    let (one, other) = (ranges[0].clone(), ranges[1].clone());
    assert_eq!(one.len(), other.len());
    let mut bad = good.clone();
    bad[one.clone()].copy_from_slice(&good[other.clone()]);
    bad[other].copy_from_slice(&good[one]);
    assert_ne!(bad, good);
    fs::write(&path, &bad).unwrap();
    let findings = stored.findings().await;
    assert_eq!(findings.first.first().and_then(StoreError::object).unwrap(), stored.object(&path));
    let opened = bench.open(&stored.versions[0]).await.unwrap();
    let mut found = 0;
    for row in &rows {
        match opened.lookup(&row[..1]).await {
            Ok(lookup) => assert_eq!(lookup.record.unwrap().values, *row),
            Err(StoreError::Damaged { .. }) => found += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(found, 128, "the rows of both chunks");
    fs::write(&path, good).unwrap();
    assert_eq!(stored.findings().await.count, 0);
}

#[tokio::test]
async fn damage_does_not_stop_it_and_what_belongs_to_nothing_is_found() {
    let stored = Stored::new().await;
    let files: Vec<PathBuf> = stored.bench.files().into_iter().filter(|file| !file.ends_with("manifest")).collect();
    for file in &files {
        fs::write(file, b"damaged").unwrap();
    }
    let extra = files[0].with_file_name("s9");
    fs::write(&extra, b"extra").unwrap();
    let findings = stored.findings().await;
    assert_eq!(findings.count, files.len() as u64 + 1);
    assert!(
        findings
            .first
            .iter()
            .any(|finding| matches!(finding, StoreError::Extra { object } if *object == stored.object(&extra)))
    );
    // Looking again at what was found finds it again, and what has been repaired no more.
    fs::remove_file(&extra).unwrap();
    let suspects: BTreeSet<String> =
        findings.first.iter().filter_map(StoreError::object).map(ToOwned::to_owned).collect();
    let again = || async {
        let inventory = stored.inventory().await.only(&suspects);
        rehash(RehashRequest { inventory, ..stored.request().await }).await.unwrap().findings.count
    };
    assert_eq!(again().await, files.len() as u64);
    fs::remove_file(&files[0]).unwrap();
    assert_eq!(again().await, files.len() as u64);
    let only_one: BTreeSet<String> = suspects.iter().take(1).cloned().collect();
    let one = RehashRequest { inventory: stored.inventory().await.only(&only_one), ..stored.request().await };
    assert_eq!(rehash(one).await.unwrap().findings.count, 1);
}

#[tokio::test]
async fn an_interrupted_pass_goes_on_where_it_was() {
    let stored = Stored::new().await;
    let reached = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&reached);
    let request = RehashRequest {
        reached: Box::new(move |reached| seen.lock().unwrap().push(reached.object.to_owned())),
        ..stored.request().await
    };
    let all = rehash(request).await.unwrap();
    let objects = std::mem::take(&mut *reached.lock().unwrap());
    assert!(objects.len() > 8 && objects.is_sorted());
    let seen = Arc::clone(&reached);
    let request = RehashRequest {
        after: Some(objects[4].clone()),
        reached: Box::new(move |reached| seen.lock().unwrap().push(reached.object.to_owned())),
        ..stored.request().await
    };
    let rest = rehash(request).await.unwrap();
    assert_eq!(*reached.lock().unwrap(), objects[5..]);
    assert_eq!((rest.objects, rest.bytes), (all.objects, all.bytes));
}

#[tokio::test]
async fn it_reads_no_faster_than_told() {
    let stored = Stored::new().await;
    let bytes = stored.inventory().await.bytes();
    let begun = Instant::now();
    rehash(RehashRequest { bytes_per_second: Some(bytes * 2), ..stored.request().await }).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
}
