use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::keys::{AssetKeys, AssetLabel, KeyError};
use crate::progress::silent;
use crate::seal::{AttemptId, SegmentKey};
use crate::store::{Store, StoreError};
use crate::suite::{CipherSuite, HashAlgorithm};
use crate::table::columns::column_seal;
use crate::table::version::VersionRef;
use crate::table::{Report, list_attempts};

const PART: usize = PART_BYTES as usize;

/// Bytes that repeat nowhere near: the output of a small generator.
fn content(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut words = Vec::with_capacity(bytes + 8);
    while words.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        words.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    words.truncate(bytes);
    words
}

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    keys: Arc<AssetKeys>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::local(&dir.path().join("store")).unwrap();
        let keys = Arc::new(AssetKeys::generate(AssetLabel::new("plans").unwrap()).unwrap());
        Self { dir, store, keys }
    }

    fn request(&self, reader: impl Read + Send + 'static) -> FileRequest {
        FileRequest {
            content: FileContent::Stream(Box::new(reader)),
            name: "plans.pdf".into(),
            keys: Arc::clone(&self.keys),
            store: self.store.clone(),
            version: 1,
            suite: CipherSuite::default(),
            hash: HashAlgorithm::default(),
            progress: silent(),
        }
    }

    fn of(&self, content: FileContent) -> FileRequest {
        FileRequest { content, ..self.request(io::empty()) }
    }

    /// The content in a file on the disk.
    fn on_disk(&self, content: &[u8]) -> FileContent {
        let path = self.dir.path().join("plans.pdf");
        fs::write(&path, content).unwrap();
        FileContent::File(fs::File::open(path).unwrap(), content.len() as u64)
    }

    async fn seal(&self, content: &[u8]) -> (FileVersion, VersionRef) {
        let sealed = seal_file(self.request(io::Cursor::new(content.to_vec()))).await.unwrap();
        let version = sealed.reference;
        (sealed, version)
    }

    async fn open(&self, version: &VersionRef) -> Result<SealedFile, StoreError> {
        SealedFile::open(self.store.clone(), Arc::clone(&self.keys), version).await
    }

    async fn verify(&self, version: &VersionRef) -> Result<Report, StoreError> {
        let (store, keys, version, progress) = (self.store.clone(), Arc::clone(&self.keys), *version, silent());
        verify_file(VerifyFile { store, keys, version, progress }).await
    }

    fn part(&self, sealed: &FileVersion, part: usize) -> PathBuf {
        let attempt = format!("store/assets/{}/{}", self.keys.label().hex(), sealed.reference.attempt);
        self.dir.path().join(attempt).join(format!("parts/p{part}"))
    }
}

/// What a requester makes of all parts.
async fn opened_without_the_asset(bench: &Bench, file: &SealedFile, sealed: &FileVersion) -> Vec<u8> {
    let (label, parts) = (bench.keys.label(), file.parts().unwrap());
    check_parts(label, sealed.reference.attempt, &parts).unwrap();
    assert_eq!(column_seal(sealed.reference.attempt, &parts), sealed.content);
    let mut content = Vec::new();
    for (position, (part, key)) in parts.iter().zip(file.part_keys().unwrap()).enumerate() {
        let object = file.read_part(position, 0, part.bytes).await.unwrap();
        let key = SegmentKey::from_bytes(*key.expose());
        let opened = open_part(label, CipherSuite::default(), HashAlgorithm::default(), part, &key, &object);
        content.extend(opened.unwrap());
    }
    content
}

#[tokio::test]
async fn files_of_every_length_come_back() {
    let bench = Bench::new();
    let all = content(PART + CHUNK_BYTES + 7);
    for length in [0, 1, 251, 252, 253, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, PART, all.len()] {
        let whole = &all[..length];
        // From a stream, from the disk, and from what was sealed before.
        let (streamed, _) = bench.seal(whole).await;
        let read = seal_file(bench.of(bench.on_disk(whole))).await.unwrap();
        let before = FileContent::Sealed(Box::new(bench.open(&read.reference).await.unwrap()));
        let sealed = seal_file(bench.of(before)).await.unwrap();
        for other in [&streamed, &read] {
            assert_eq!((other.file_bytes, other.parts), (sealed.file_bytes, sealed.parts));
            assert_ne!(other.content, sealed.content);
            let opened = bench.open(&other.reference).await.unwrap().read(0..u64::MAX).await.unwrap();
            assert!(opened == whole, "{length} bytes");
        }
        let version = sealed.reference;
        assert_eq!((sealed.file_bytes, u64::from(sealed.parts)), (length as u64, parts::part_count(length as u64)));
        let file = bench.open(&version).await.unwrap();
        assert!(file.read(0..u64::MAX).await.unwrap() == whole, "{length} bytes");
        assert!(opened_without_the_asset(&bench, &file, &sealed).await == whole, "{length} bytes, by parts");
        let report = bench.verify(&version).await.unwrap();
        assert_eq!(
            (report.objects, report.bytes),
            (u64::from(sealed.parts) + 1, sealed.bytes_sealed),
            "{length} bytes"
        );
    }
}

#[tokio::test]
async fn any_range_is_read() {
    let bench = Bench::new();
    let whole = content(PART + CHUNK_BYTES + 11);
    let (_, version) = bench.seal(&whole).await;
    let file = bench.open(&version).await.unwrap();
    let end = whole.len() as u64;
    let edges =
        [0, 1, CHUNK_BYTES as u64 - 1, CHUNK_BYTES as u64, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, end - 1, end];
    let near = |from: u64, to: u64| to - from <= 2 * CHUNK_BYTES as u64;
    for from in edges {
        for to in edges.into_iter().chain([end + 5]).filter(|to| *to >= from && near(from, *to)) {
            let Range { start, end } = from as usize..(to as usize).min(whole.len());
            assert!(file.read(from..to).await.unwrap() == whole[start..end], "{from}..{to}");
        }
    }
    assert!(file.read(1..end - 1).await.unwrap() == whole[1..whole.len() - 1]);
    assert!(file.read(end + 1..end + 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_suite_and_hash_seals_a_file() {
    let bench = Bench::new();
    let whole = content(3 * CHUNK_BYTES);
    for suite in CipherSuite::ALL {
        for hash in HashAlgorithm::ALL {
            let request = FileRequest { suite, hash, ..bench.request(io::Cursor::new(whole.clone())) };
            let sealed = seal_file(request).await.unwrap();
            let file = bench.open(&sealed.reference).await.unwrap();
            assert!(file.read(0..u64::MAX).await.unwrap() == whole, "{} {}", suite.name(), hash.name());
            let object = fs::read(bench.part(&sealed, 0)).unwrap();
            assert_eq!(file.parts().unwrap()[0].digest, hash.digest(&object));
            for other in CipherSuite::ALL.into_iter().filter(|other| *other != suite) {
                assert!(bench.open(&VersionRef { suite: other, ..sealed.reference }).await.is_err());
            }
        }
    }
}

/// Each object cut, lengthened, flipped, gone, swapped with another part's or another version's: found by
/// the check of the whole, by a requester, and by whoever reads the bytes concerned.
#[tokio::test]
async fn damage_is_found() {
    let bench = Bench::new();
    let whole = content(PART + 5);
    let (sealed, version) = bench.seal(&whole).await;
    let (other, _) = bench.seal(&whole).await;
    let file = bench.open(&version).await.unwrap();
    let (parts, keys) = (file.parts().unwrap(), file.part_keys().unwrap());
    for part in [1, 0] {
        let path = bench.part(&sealed, part);
        let good = fs::read(&path).unwrap();
        let flipped = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            bytes
        };
        let mut bad = vec![
            good[..good.len() - 1].to_vec(),
            [good.as_slice(), &[0]].concat(),
            Vec::new(),
            fs::read(bench.part(&sealed, 1 - part)).unwrap(),
            fs::read(bench.part(&other, part)).unwrap(),
        ];
        // What is done to the short part fails on the way; opening a full one takes its time.
        let at: &[usize] = if part == 0 { &[72] } else { &[0, 9, 11, 13, 20, 40, 65, 69, 73, 90, 300] };
        bad.extend(at.iter().map(|at| flipped(*at)));
        for (which, bytes) in bad.iter().enumerate() {
            fs::write(&path, bytes).unwrap();
            let label = bench.keys.label();
            let (suite, hash) = (CipherSuite::default(), HashAlgorithm::default());
            let opened = open_part(label, suite, hash, &parts[part], &keys[part], bytes);
            assert!(matches!(opened, Err(StoreError::Damaged { .. })), "part {part}, damage {which}");
            let verified = bench.verify(&version).await;
            assert!(matches!(verified, Err(StoreError::Damaged { .. })), "part {part}, damage {which}");
        }
        for bytes in [flipped(good.len() - 1), fs::read(bench.part(&other, part)).unwrap()] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(file.read(0..u64::MAX).await, Err(StoreError::Damaged { .. })));
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(bench.verify(&version).await, Err(StoreError::Missing { .. })));
        assert!(matches!(file.read(0..u64::MAX).await, Err(StoreError::Missing { .. })));
        fs::write(&path, &good).unwrap();
    }
    assert!(bench.verify(&version).await.is_ok());
    fs::write(bench.part(&sealed, 2), b"more").unwrap();
    assert!(matches!(bench.verify(&version).await, Err(StoreError::Extra { .. })));
}

/// Two chunks, and two full parts, that have changed places: all lengths are as they were.
#[tokio::test]
async fn chunks_and_parts_that_changed_places_are_found() {
    let bench = Bench::new();
    let (sealed, version) = bench.seal(&content(2 * PART + 9)).await;
    let file = bench.open(&version).await.unwrap();
    let paths = [bench.part(&sealed, 0), bench.part(&sealed, 1)];
    let good = paths.each_ref().map(|path| fs::read(path).unwrap());
    let found = async || {
        let damaged = |error| matches!(error, Err(StoreError::Damaged { .. }));
        assert!(damaged(bench.verify(&version).await.map(drop)));
        assert!(damaged(file.read(0..10).await.map(drop)));
        assert!(damaged(file.read(CHUNK_BYTES as u64..CHUNK_BYTES as u64 + 10).await.map(drop)));
    };
    // Each sealed chunk has 52 bytes more than it holds: the same in all places but the last.
    let (start, sealed_chunk) = (72 + 4 * PART_CHUNKS as usize, CHUNK_BYTES + 52);
    let mut swapped = good[0].clone();
    swapped[start..start + sealed_chunk].copy_from_slice(&good[0][start + sealed_chunk..start + 2 * sealed_chunk]);
    swapped[start + sealed_chunk..start + 2 * sealed_chunk].copy_from_slice(&good[0][start..start + sealed_chunk]);
    fs::write(&paths[0], swapped).unwrap();
    found().await;
    fs::write(&paths[0], &good[1]).unwrap();
    fs::write(&paths[1], &good[0]).unwrap();
    found().await;
    assert!(matches!(file.read(PART_BYTES..PART_BYTES + 10).await, Err(StoreError::Damaged { .. })));
    fs::write(&paths[0], &good[0]).unwrap();
    fs::write(&paths[1], &good[1]).unwrap();
    assert!(bench.verify(&version).await.is_ok());
}

#[tokio::test]
async fn a_key_opens_its_part_and_parts_stay_in_order() {
    let bench = Bench::new();
    let (sealed, version) = bench.seal(&content(2 * PART + 1)).await;
    let file = bench.open(&version).await.unwrap();
    let (label, mut parts, keys) = (bench.keys.label(), file.parts().unwrap(), file.part_keys().unwrap());
    let object = file.read_part(0, 0, parts[0].bytes).await.unwrap();
    let open =
        |key: &SegmentKey| open_part(label, CipherSuite::default(), HashAlgorithm::default(), &parts[0], key, &object);
    assert!(open(&keys[0]).is_ok());
    assert!(matches!(open(&keys[1]), Err(StoreError::Keys(KeyError::Commitment))));
    let wrong = |parts: &[crate::table::ColumnSegment]| check_parts(label, sealed.reference.attempt, parts).is_err();
    assert!(!wrong(&parts));
    assert!(wrong(&[]) && wrong(&parts[1..]) && check_parts(label, AttemptId([0; 16]), &parts).is_err());
    parts.swap(0, 1);
    assert!(wrong(&parts));
    parts.swap(0, 1);
    // A part in the middle that is not full would move all bytes behind it.
    parts[0].rows -= 1;
    assert!(wrong(&parts));
    assert_ne!(column_seal(sealed.reference.attempt, &parts[..2]), sealed.content);
}

#[tokio::test]
async fn another_assets_keys_open_nothing() {
    let bench = Bench::new();
    let (sealed, version) = bench.seal(b"plans").await;
    let same_label = Arc::new(AssetKeys::generate(bench.keys.label().clone()).unwrap());
    assert!(SealedFile::open(bench.store.clone(), same_label, &version).await.is_err());
    let unregistered = VersionRef { manifest_digest: [0; 32], ..version };
    assert!(matches!(bench.open(&unregistered).await, Err(StoreError::Damaged { .. })));
    // Nothing stored says what the file is.
    let stored = fs::read(bench.part(&sealed, 0)).unwrap();
    assert!(!stored.windows(5).any(|window| window == b"plans"));
}

/// Gives `left` bytes, then fails.
struct Failing {
    left: usize,
}

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("the disk was taken out"));
        }
        let given = buffer.len().min(self.left);
        self.left -= given;
        buffer[..given].fill(7);
        Ok(given)
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_leaves_nothing() {
    let bench = Bench::new();
    for left in [0, 100, 3 * PART] {
        let error = seal_file(bench.request(Failing { left })).await.unwrap_err();
        assert_eq!(error.to_string(), "plans.pdf: the disk was taken out");
        assert!(list_attempts(&bench.store, bench.keys.label()).await.unwrap().is_empty(), "{left} bytes read");
    }
}

#[tokio::test]
async fn a_file_that_becomes_shorter_leaves_nothing() {
    let bench = Bench::new();
    for (length, then) in [(5, 4), (CHUNK_BYTES + 1, CHUNK_BYTES), (2 * PART, PART), (2 * PART + 1, 0)] {
        let content = bench.on_disk(&content(length));
        fs::OpenOptions::new()
            .write(true)
            .open(bench.dir.path().join("plans.pdf"))
            .unwrap()
            .set_len(then as u64)
            .unwrap();
        let error = seal_file(bench.of(content)).await.unwrap_err();
        assert_eq!(error.to_string(), "plans.pdf: it became shorter while it was read; do it again");
        assert!(list_attempts(&bench.store, bench.keys.label()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_damaged_file_is_not_sealed_again() {
    let bench = Bench::new();
    let (sealed, version) = bench.seal(&content(PART + 70_000)).await;
    for (part, at) in [(0, 100), (0, 70_000), (1, 3), (1, 66_000)] {
        let path = bench.part(&sealed, part);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        let before = FileContent::Sealed(Box::new(bench.open(&version).await.unwrap()));
        let error = seal_file(bench.of(before)).await.unwrap_err();
        let SealFileError::Store(StoreError::Damaged { object, .. }) = &error else { panic!("{error}") };
        assert!(object.ends_with(&format!("parts/p{part}")), "{error}");
        fs::write(&path, good).unwrap();
        assert_eq!(list_attempts(&bench.store, bench.keys.label()).await.unwrap(), [version.attempt]);
    }
}

#[tokio::test]
async fn the_same_memory_serves_parts_of_any_length() {
    // Several full parts and a short one through each buffer; what lay there before must not show.
    let bench = Bench::new();
    let whole = content(9 * PART + 333);
    let sealed = seal_file(bench.of(bench.on_disk(&whole))).await.unwrap();
    let file = bench.open(&sealed.reference).await.unwrap();
    for part in 0..10 {
        let range = part * PART..((part + 1) * PART).min(whole.len());
        assert!(file.read(range.start as u64..range.end as u64).await.unwrap() == whole[range], "part {part}");
    }
    assert_eq!(bench.verify(&sealed.reference).await.unwrap().bytes, sealed.bytes_sealed);
}

/// Zeros without end.
struct Endless;

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(0);
        Ok(buffer.len())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_nobody_waits_for_stops_and_leaves_nothing() {
    let bench = Bench::new();
    let sealing = tokio::time::timeout(std::time::Duration::from_millis(600), seal_file(bench.request(Endless)));
    assert!(sealing.await.is_err());
    for _ in 0..600 {
        if list_attempts(&bench.store, bench.keys.label()).await.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("what was cancelled is still there");
}
