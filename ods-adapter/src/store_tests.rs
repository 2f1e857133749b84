//! One conformance suite for every store, and stores that fail: slow, for a moment, for good, half
//! way through a write, and by losing what they were given. S3 is a real server, moto's, found in
//! `target/s3` (made by scripts/test) or where `SEALGATE_MOTO` says.

use super::*;

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, PutMultipartOptions, PutOptions, PutResult, Result,
};

use crate::file::{FileContent, FileRequest, FileVersion, SealedFile, VerifyFile, seal_file, verify_file};
use crate::progress::silent;
use crate::rehash::{Inventory, Reached, RehashReport, RehashRequest, rehash};
use crate::suite::{CipherSuite, HashAlgorithm};
use crate::table::testing::{Bench, check, int_and_text, numbered, source};
use crate::table::{
    SealRequest, SealedVersion, is_retired, list_attempts, remove_attempt, retire_versions, seal_table, stored_attempts,
};
use sealgate_circuits::value::Value;

/// What every store does.
async fn conforms(store: &Store) {
    let at = |name: &str| Path::from(format!("conformance/{name}"));
    let big: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    assert!(matches!(store.read(&at("a/one")).await, Err(StoreError::Missing { .. })));
    assert!(matches!(store.read_range(&at("a/one"), 0, 1).await, Err(StoreError::Missing { .. })));
    assert!(store.list(&at("a")).await.unwrap().is_empty());
    assert!(store.folders(&at("a")).await.unwrap().is_empty());
    store.remove_all(&at("a")).await.unwrap();

    for (name, content) in [("a/one", b"1".to_vec()), ("a/big", big.clone()), ("a/empty", vec![]), ("ab/x", vec![9])] {
        store.put(&at(name), content.clone()).await.unwrap();
        assert_eq!(store.read(&at(name)).await.unwrap(), content);
    }
    // Again, and by a shorter one: the last is there, and nothing of the one before.
    store.put(&at("a/one"), b"22".to_vec()).await.unwrap();
    store.put(&at("a/one"), b"3".to_vec()).await.unwrap();
    assert_eq!(store.read(&at("a/one")).await.unwrap(), &b"3"[..]);
    assert!(store.exists(&at("a/one")).await.unwrap() && !store.exists(&at("a")).await.unwrap());

    let part = store.read_range(&at("a/big"), 1_000_000, 77).await.unwrap();
    assert_eq!(part, &big[1_000_000..1_000_077]);
    for (start, length) in [(2_999_999, 2), (3_000_000, 1), (5_000_000, 10), (0, 3_000_001)] {
        let cut = store.read_range(&at("a/big"), start, length).await;
        assert!(matches!(cut, Err(StoreError::Damaged { .. })), "{start} {length}: {cut:?}");
    }

    // A folder's name is not the beginning of another's.
    let mut listed: Vec<_> = store.list(&at("a")).await.unwrap().into_iter().map(|m| (m.location, m.size)).collect();
    listed.sort();
    assert_eq!(listed, [(at("a/big"), 3_000_000), (at("a/empty"), 0), (at("a/one"), 1)]);
    let mut folders = store.folders(&Path::from("conformance")).await.unwrap();
    folders.sort();
    assert_eq!(folders, [at("a"), at("ab")]);
    store.remove(&at("a/one")).await.unwrap();
    store.remove(&at("a/one")).await.unwrap();
    store.remove_all(&at("a")).await.unwrap();
    assert!(store.list(&at("a")).await.unwrap().is_empty());
    assert_eq!(store.read(&at("ab/x")).await.unwrap(), &[9][..]);
    store.remove_all(&at("ab")).await.unwrap();
}

/// A whole table in a store: sealed, looked up, checked, removed; a lost and a cut object are found.
async fn tables_live_in(store: Store) {
    let mut bench = Bench::new(int_and_text());
    bench.store = store.clone();
    let rows = numbered(300);
    let version = bench.seal(&rows).await.unwrap();
    let table = bench.open(&version).await.unwrap();
    for at in [0, 150, 299] {
        let key = [rows[at][0].clone()];
        check(&table, &bench.schema, &key, &table.lookup(&key).await.unwrap(), Some(&rows[at]));
    }
    bench.verify(&version, true).await.unwrap();
    let prefix = Path::from(format!("assets/{}", bench.keys.label().hex()));
    for meta in store.list(&prefix).await.unwrap() {
        let whole = store.read(&meta.location).await.unwrap();
        store.put(&meta.location, whole[..whole.len() / 2].to_vec()).await.unwrap();
        assert!(matches!(bench.verify(&version, false).await, Err(StoreError::Damaged { .. })), "{meta:?}");
        store.remove(&meta.location).await.unwrap();
        assert!(matches!(bench.verify(&version, false).await, Err(StoreError::Missing { .. })), "{meta:?}");
        store.put(&meta.location, whole.to_vec()).await.unwrap();
    }
    bench.verify(&version, false).await.unwrap();
    let label = bench.keys.label();
    assert_eq!(list_attempts(&store, label).await.unwrap(), [version.reference.attempt]);
    remove_attempt(&store, label, version.reference.attempt).await.unwrap();
    assert!(list_attempts(&store, label).await.unwrap().is_empty());
}

#[tokio::test]
async fn folders_and_memory_conform() {
    let dir = tempfile::tempdir().unwrap();
    for store in [Store::local(&dir.path().join("store")).unwrap(), Store::memory()] {
        conforms(&store).await;
        tables_live_in(store).await;
    }
}

/// A moto server; ended when dropped.
struct S3 {
    child: Child,
    address: String,
}

impl S3 {
    /// Starts a server with one bucket, or says that there is none; on CI there has to be.
    fn start() -> Option<S3> {
        let program = std::env::var_os("SEALGATE_MOTO").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/s3/bin/moto_server"),
            PathBuf::from,
        );
        if !program.exists() {
            assert!(std::env::var_os("CI").is_none(), "{} is absent: scripts/test makes it", program.display());
            eprintln!("skipped: {} is absent; scripts/test makes it", program.display());
            return None;
        }
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // What it says later must not fill the pipe.
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(std::io::Result::ok) {
                if let Some((_, address)) = line.split_once("Running on http://") {
                    let _ = tell.send(address.trim().to_owned());
                }
            }
        });
        let server = S3 { child, address: told.recv_timeout(Duration::from_secs(60)).unwrap() };
        let mut stream = TcpStream::connect(&server.address).unwrap();
        write!(stream, "PUT /sealed HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", server.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
        Some(server)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn s3(address: &str, prefix: &str) -> Store {
    s3_with(address, prefix, Patience::USUAL)
}

fn s3_with(address: &str, prefix: &str, patience: Patience) -> Store {
    let builder = AmazonS3Builder::new()
        .with_endpoint(format!("http://{address}"))
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test");
    Store::s3(builder, "sealed", prefix, patience).unwrap()
}

#[tokio::test]
async fn s3_conforms() {
    let Some(server) = S3::start() else { return };
    for prefix in ["", "some/where"] {
        conforms(&s3(&server.address, prefix)).await;
    }
    tables_live_in(s3(&server.address, "tables")).await;
    // What lies under one prefix is not under another.
    s3(&server.address, "a").put(&Path::from("x"), vec![1]).await.unwrap();
    assert!(matches!(s3(&server.address, "b").read(&Path::from("x")).await, Err(StoreError::Missing { .. })));
}

/// What is wrong with the way to a server.
#[derive(Clone, Copy)]
enum Trouble {
    /// The first connections are answered with 503 Slow Down.
    Refuses(u32),
    /// The first connections are taken, and nothing is ever said on them.
    Stalls(u32),
    /// It carries so many bytes a second either way.
    Slow(u64),
}

/// An address before a server that is in trouble, and how many connections it had.
fn before(address: &str, trouble: Trouble) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (own, server) = (listener.local_addr().unwrap().to_string(), address.to_owned());
    let connections = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        let mut stalled = Vec::new();
        for mut client in listener.incoming().map_while(std::io::Result::ok) {
            let number = count.fetch_add(1, Ordering::SeqCst);
            match trouble {
                Trouble::Refuses(times) if number < times => {
                    let _ = client.read(&mut [0; 1024]);
                    let _ =
                        client.write_all(b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                    continue;
                }
                Trouble::Stalls(times) if number < times => {
                    stalled.push(client);
                    continue;
                }
                _ => {}
            }
            let server = TcpStream::connect(&server).unwrap();
            for (from, to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                std::thread::spawn(move || carry(from, to, trouble));
            }
        }
    });
    (own, connections)
}

fn carry(mut from: TcpStream, mut to: TcpStream, trouble: Trouble) {
    let mut piece = [0; 8 << 10];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
        if let Trouble::Slow(bytes_per_second) = trouble {
            std::thread::sleep(Duration::from_secs_f64(read as f64 / bytes_per_second as f64));
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

#[tokio::test]
async fn s3_is_tried_again_when_it_fails_for_a_moment() {
    let Some(server) = S3::start() else { return };
    let (address, connections) = before(&server.address, Trouble::Refuses(3));
    let store = s3(&address, "retried");
    store.put(&Path::from("x"), vec![5; 1000]).await.unwrap();
    assert_eq!(store.read(&Path::from("x")).await.unwrap(), vec![5; 1000]);
    // Three that were refused, the one of the upload that was not, and the reader's.
    assert_eq!(connections.load(Ordering::SeqCst), 5);
}

/// Shorter than usual, as the objects are.
const SHORT: Patience = Patience {
    upload: Duration::from_secs(20),
    silence: Duration::from_millis(700),
    retries: 6,
    in_all: Duration::from_secs(60),
};

#[tokio::test]
async fn s3_is_tried_again_when_it_stalls() {
    let Some(server) = S3::start() else { return };
    s3(&server.address, "stalled").put(&Path::from("x"), vec![5; 1000]).await.unwrap();
    // Three tries of an upload, and three of a read, that nobody answers.
    let patience = Patience { upload: SHORT.silence, ..SHORT };
    let (address, connections) = before(&server.address, Trouble::Stalls(3));
    s3_with(&address, "stalled", patience).put(&Path::from("y"), vec![6; 1000]).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 4);
    let (address, connections) = before(&server.address, Trouble::Stalls(3));
    let read = s3_with(&address, "stalled", patience).read(&Path::from("x")).await.unwrap();
    assert_eq!((read, connections.load(Ordering::SeqCst)), (Bytes::from(vec![5; 1000]), 4));
    // One that never answers is given up.
    let (address, connections) = before(&server.address, Trouble::Stalls(u32::MAX));
    let patience = Patience { upload: Duration::from_millis(100), retries: 2, ..SHORT };
    let failed = s3_with(&address, "stalled", patience).put(&Path::from("z"), vec![7; 1000]).await;
    assert!(matches!(failed, Err(StoreError::Service { .. })), "{failed:?}");
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

/// An upload or download that takes longer than the service may be silent, but goes on all the while, is
/// made once.
#[tokio::test]
async fn s3_may_be_slow() {
    let Some(server) = S3::start() else { return };
    let (address, connections) = before(&server.address, Trouble::Slow(1 << 20));
    let store = s3_with(&address, "slow", SHORT);
    let content: Vec<u8> = (0..2_500_000u32).map(|at| (at % 251) as u8).collect();
    let begun = std::time::Instant::now();
    store.put(&Path::from("x"), content.clone()).await.unwrap();
    assert!(begun.elapsed() > 2 * SHORT.silence, "{:?}", begun.elapsed());
    let begun = std::time::Instant::now();
    assert!(store.read(&Path::from("x")).await.unwrap() == content);
    assert!(begun.elapsed() > 2 * SHORT.silence, "{:?}", begun.elapsed());
    // A client for uploads, and one for the rest.
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    assert!(Patience::USUAL.in_all >= 3 * Patience::USUAL.upload);
}

/// However many large objects are put at once, only so much of them is on its way.
#[tokio::test]
async fn uploads_take_turns() {
    let counting = Arc::new(Faulty::default());
    counting.set(Some(Fault::Slow));
    let as_store: Arc<dyn ObjectStore> = counting.clone();
    let store = Store::remote(as_store);
    let content = PutPayload::from(vec![0; 17 << 20]);
    let names: Vec<_> = (0..8).map(|at| Path::from(format!("p{at}"))).collect();
    futures::future::try_join_all(names.iter().map(|name| store.put(name, content.clone()))).await.unwrap();
    assert_eq!(counting.most.load(Ordering::SeqCst), 3);
}

/// How a store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Every call takes a while.
    Slow,
    /// This write and those after it fail, as for good.
    FailsFrom(u32),
    /// This write alone fails, and leaves half of what it was given under the object's name.
    HalfWrites(u32),
    /// This write is reported done, and the object is gone.
    Loses(u32),
    /// There is no room from this write on.
    FullFrom(u32),
    /// This read and those after it fail, those of lengths included.
    ReadsFailFrom(u32),
    /// This listing and those after it fail.
    ListsFailFrom(u32),
    /// This removal and those after it fail.
    RemovalsFailFrom(u32),
    /// This removal fails after the object is gone.
    RemovesAndFails(u32),
}

/// A store that fails in one way, and counts.
#[derive(Debug, Default)]
struct Faulty {
    inner: InMemory,
    fault: Mutex<Option<Fault>>,
    writes: AtomicU32,
    reads: AtomicU32,
    lists: AtomicU32,
    removals: AtomicU32,
    /// Writes that are under way, and most that ever were.
    under_way: AtomicU32,
    most: AtomicU32,
}

impl Faulty {
    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap()
    }

    /// Counts from the beginning and fails like this.
    fn set(&self, fault: Option<Fault>) {
        for counter in [&self.writes, &self.reads, &self.lists, &self.removals] {
            counter.store(0, Ordering::SeqCst);
        }
        *self.fault.lock().unwrap() = fault;
    }

    fn counts(&self) -> [u32; 4] {
        [&self.writes, &self.reads, &self.lists, &self.removals].map(|counter| counter.load(Ordering::SeqCst))
    }

    fn listing(&self) -> Result<()> {
        let list = self.lists.fetch_add(1, Ordering::SeqCst);
        match self.fault() {
            Some(Fault::ListsFailFrom(from)) if list >= from => Err(broken(std::io::ErrorKind::ConnectionReset)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

fn broken(kind: std::io::ErrorKind) -> object_store::Error {
    object_store::Error::Generic { store: "Faulty", source: Box::new(std::io::Error::from(kind)) }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let write = self.writes.fetch_add(1, Ordering::SeqCst);
        match self.fault() {
            Some(Fault::Slow) => {
                self.most.fetch_max(self.under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.under_way.fetch_sub(1, Ordering::SeqCst);
            }
            Some(Fault::FailsFrom(from)) if write >= from => return Err(broken(std::io::ErrorKind::ConnectionReset)),
            Some(Fault::FullFrom(from)) if write >= from => return Err(broken(std::io::ErrorKind::StorageFull)),
            Some(Fault::HalfWrites(at)) if write == at => {
                let whole: Bytes = payload.into();
                self.inner.put(location, PutPayload::from(whole.slice(..whole.len() / 2))).await?;
                return Err(broken(std::io::ErrorKind::ConnectionReset));
            }
            Some(Fault::Loses(at)) if write == at => {
                let result = self.inner.put_opts(location, payload, opts).await;
                self.inner.delete(location).await?;
                return result;
            }
            _ => {}
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let read = self.reads.fetch_add(1, Ordering::SeqCst);
        match self.fault() {
            Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(20)).await,
            Some(Fault::ReadsFailFrom(from)) if read >= from => {
                return Err(broken(std::io::ErrorKind::ConnectionReset));
            }
            _ => {}
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let removal = self.removals.fetch_add(1, Ordering::SeqCst);
        let failed = || Err(broken(std::io::ErrorKind::ConnectionReset));
        match self.fault() {
            Some(Fault::RemovalsFailFrom(from)) if removal >= from => stream::once(async move { failed() }).boxed(),
            Some(Fault::RemovesAndFails(at)) if removal == at => {
                let done = self.inner.delete_stream(locations);
                done.map(move |_| failed()).boxed()
            }
            _ => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.listing() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.listing()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A store that fails at each write in turn, in each way: the old version stays whole, the new one is
/// whole or not there, a loss is found when it is read, and the next try succeeds.
#[tokio::test]
async fn whatever_fails_leaves_the_old_version_or_the_new_one() {
    let faulty = Arc::new(Faulty::default());
    let set = |fault| faulty.set(fault);
    let mut bench = Bench::new(int_and_text());
    let as_store: Arc<dyn ObjectStore> = faulty.clone();
    bench.store = Store::remote(as_store);
    let old = bench.seal(&numbered(200)).await.unwrap();
    set(Some(Fault::Slow));
    let mut rows = numbered(200);
    rows.extend(numbered(250).split_off(200));
    let first = bench.sync(&old, &rows).await.unwrap();
    let writes = faulty.writes.load(Ordering::SeqCst);
    bench.verify(&first, true).await.unwrap();
    assert!(writes >= 4, "{writes}");
    for at in 0..writes {
        for fault in [Fault::FailsFrom(at), Fault::HalfWrites(at), Fault::FullFrom(at)] {
            set(Some(fault));
            let error = bench.sync(&old, &rows).await.err().unwrap_or_else(|| panic!("{fault:?} goes unnoticed"));
            let full = error.to_string().contains("Faulty is full") && error.to_string().contains("make room");
            assert_eq!(full, matches!(fault, Fault::FullFrom(_)), "{error}");
            set(None);
            bench.verify(&old, false).await.unwrap();
        }
        set(Some(Fault::Loses(at)));
        let lost = bench.sync(&old, &rows).await.unwrap();
        set(None);
        assert!(matches!(bench.verify(&lost, false).await, Err(StoreError::Missing { .. })), "write {at}");
        bench.verify(&old, false).await.unwrap();
        let again = bench.sync(&old, &rows).await.unwrap();
        bench.verify(&again, true).await.unwrap();
    }
}

/// What is done with stored objects, beside a first seal.
#[derive(Debug, Clone, Copy)]
enum Work {
    Sync,
    Reseal,
    SealFile,
    ResealFile,
    ReadBack,
    LookUp,
}

/// A table and a file in a store that fails.
struct Failing {
    bench: Bench,
    faulty: Arc<Faulty>,
    table: SealedVersion,
    file: FileVersion,
}

impl Failing {
    async fn new() -> Self {
        let faulty = Arc::new(Faulty::default());
        let as_store: Arc<dyn ObjectStore> = faulty.clone();
        let bench = Bench { store: Store::remote(as_store), ..Bench::new(int_and_text()) };
        let table = bench.seal(&numbered(200)).await.unwrap();
        let content = FileContent::Stream(Box::new(std::io::Cursor::new(vec![7; 200_000])));
        let file = seal_file(file_request(&bench, content, 1)).await.unwrap();
        Self { bench, faulty, table, file }
    }

    async fn run(&self, work: Work) -> Result<(), String> {
        let bench = &self.bench;
        match work {
            Work::Sync => {
                let sealed = bench.sync(&self.table, &numbered(230)).await.map_err(|error| error.to_string())?;
                assert_eq!(sealed.records, 230);
            }
            Work::Reseal => {
                let request = bench.request(source(&[]));
                let request = SealRequest { source: None, previous: Some(self.table.reference), version: 2, ..request };
                let sealed = seal_table(request).await.map_err(|error| error.to_string())?;
                assert_eq!(sealed.records, 200);
            }
            Work::SealFile | Work::ResealFile => {
                let content = match work {
                    Work::SealFile => FileContent::Stream(Box::new(std::io::Cursor::new(vec![8; 200_000]))),
                    _ => FileContent::Sealed(Box::new(self.open_file().await.map_err(|error| error.to_string())?)),
                };
                let sealed = seal_file(file_request(bench, content, 2)).await.map_err(|error| error.to_string())?;
                assert_eq!(sealed.file_bytes, 200_000);
            }
            Work::ReadBack => {
                let report = self.read_back().await.map_err(|error| error.to_string())?;
                assert_eq!(report.findings.count, 0, "a failing store is no damage: {:?}", report.findings);
            }
            Work::LookUp => {
                let table = bench.open(&self.table).await.map_err(|error| error.to_string())?;
                let found = table.lookup(&[Value::Int(151)]).await.map_err(|error| error.to_string())?;
                assert_eq!(found.record.unwrap().values[1], Value::Text("row 151".into()));
            }
        }
        Ok(())
    }

    async fn open_file(&self) -> Result<SealedFile, StoreError> {
        SealedFile::open(self.bench.store.clone(), Arc::clone(&self.bench.keys), &self.file.reference).await
    }

    async fn read_back(&self) -> Result<RehashReport, StoreError> {
        let Bench { store, keys, schema, .. } = &self.bench;
        let mut inventory = Inventory::default();
        inventory.add_table(store, keys, schema, &self.table.reference).await?;
        inventory.add_file(store, keys, &self.file.reference).await?;
        let (store, progress) = (store.clone(), silent());
        let reached = Box::new(|_: Reached<'_>| ());
        rehash(RehashRequest { store, inventory, after: None, bytes_per_second: None, reached, progress }).await
    }

    /// What was there is whole.
    async fn holds(&self) {
        self.faulty.set(None);
        assert_eq!(self.bench.verify(&self.table, false).await.unwrap().records, 200);
        let (store, keys, version) = (self.bench.store.clone(), Arc::clone(&self.bench.keys), self.file.reference);
        verify_file(VerifyFile { store, keys, version, progress: silent() }).await.unwrap();
    }
}

fn file_request(bench: &Bench, content: FileContent, version: u32) -> FileRequest {
    FileRequest {
        content,
        name: "plans.pdf".into(),
        keys: Arc::clone(&bench.keys),
        store: bench.store.clone(),
        version,
        suite: CipherSuite::default(),
        hash: HashAlgorithm::default(),
        progress: silent(),
    }
}

/// Every read, write and listing of every kind of work fails in turn: an error each time, what was there
/// before is whole, and the next try succeeds.
#[tokio::test]
async fn every_call_of_every_work_may_fail() {
    let failing = Failing::new().await;
    for work in [Work::Sync, Work::Reseal, Work::SealFile, Work::ResealFile, Work::ReadBack, Work::LookUp] {
        failing.faulty.set(None);
        failing.run(work).await.unwrap();
        let [writes, reads, lists, _] = failing.faulty.counts();
        let writing = (0..writes).flat_map(|at| [Fault::FailsFrom(at), Fault::HalfWrites(at), Fault::FullFrom(at)]);
        let others = (0..reads).map(Fault::ReadsFailFrom).chain((0..lists).map(Fault::ListsFailFrom));
        assert!(writes + reads + lists >= 2, "{work:?}");
        for fault in writing.chain(others) {
            failing.faulty.set(Some(fault));
            let error = failing.run(work).await.err().unwrap_or_else(|| panic!("{work:?}: {fault:?} goes unnoticed"));
            assert!(error.contains("Faulty") && !error.contains("damaged"), "{work:?}, {fault:?}: {error}");
            failing.holds().await;
        }
        failing.run(work).await.unwrap();
    }
}

/// Letting go of a version fails at each of its calls, also after an object is gone: the version that is kept
/// is whole, and the next try lets go of the rest.
#[tokio::test]
async fn letting_go_may_fail_at_every_call() {
    let failing = Failing::new().await;
    let Failing { bench, faulty, .. } = &failing;
    let mut last = bench.sync(&failing.table, &numbered(210)).await.unwrap();
    let mut old = vec![failing.table.reference.attempt];
    let (mut at, mut kind) = (0, 0);
    loop {
        let fault = [
            Fault::FailsFrom,
            Fault::ReadsFailFrom,
            Fault::ListsFailFrom,
            Fault::RemovalsFailFrom,
            Fault::RemovesAndFails,
        ][kind](at);
        let next = bench.sync(&last, &numbered(210 + i64::from(at) + 10 * kind as i64)).await.unwrap();
        old.push(last.reference.attempt);
        last = next;
        faulty.set(Some(fault));
        let (store, keys, schema) = (&bench.store, &bench.keys, Some(&bench.schema));
        let done = retire_versions(store, keys, schema, &[last.reference], &old).await;
        faulty.set(None);
        bench.verify(&last, false).await.unwrap();
        retire_versions(store, keys, schema, &[last.reference], &old).await.unwrap();
        for attempt in &old {
            assert!(is_retired(store, keys, *attempt).await.unwrap());
        }
        bench.verify(&last, false).await.unwrap();
        // Where the fault no longer comes into its way, the next kind's turn has come.
        (at, kind) = if done.is_err() { (at + 1, kind) } else { (0, kind + 1) };
        if kind == 5 {
            break;
        }
    }
    let kept = stored_attempts(&bench.store, bench.keys.label()).await.unwrap();
    assert!(kept.len() > 10, "several faults of each kind");
}

#[test]
fn urls_say_where() {
    let parse = |url: &str| StoreUrl::parse(url, FilePath::new("/data"));
    for (url, folder) in [("file:store", "/data/store"), ("file:/a/b", "/a/b"), ("file:///a/b", "/a/b")] {
        assert_eq!(parse(url), Ok(StoreUrl::Folder(folder.into())));
    }
    let s3 = |bucket: &str, prefix: &str| StoreUrl::S3 { bucket: bucket.into(), prefix: prefix.into() };
    for (url, at) in [("s3://b", s3("b", "")), ("s3://b/", s3("b", "")), ("s3://my.b-1/x/y/", s3("my.b-1", "x/y"))] {
        assert_eq!(parse(url), Ok(at));
    }
    assert_eq!(s3("b", "x").to_string(), "s3://b/x");
    for wrong in
        ["", "store", "file:", "s3:b", "s3://", "s3:///x", "s3://b/x//y", "s3://b/../x", "http://b", "s3://b c"]
    {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
