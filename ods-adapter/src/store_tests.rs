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

use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, PutMultipartOptions, PutOptions, PutResult, Result,
};

use crate::table::testing::{Bench, check, int_and_text, numbered};
use crate::table::{list_attempts, remove_attempt};

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
    let builder = AmazonS3Builder::new()
        .with_endpoint(format!("http://{address}"))
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test");
    Store::s3(builder, "sealed", prefix).unwrap()
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

/// An address that answers the first connections with 503 Slow Down and hands on the others.
fn failing_at_first(address: &str, times: u32) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (own, server) = (listener.local_addr().unwrap().to_string(), address.to_owned());
    let failed = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&failed);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(std::io::Result::ok) {
            if count.load(Ordering::SeqCst) < times {
                count.fetch_add(1, Ordering::SeqCst);
                let mut client = client;
                let _ = client.read(&mut [0; 1024]);
                let _ = client.write_all(b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            let server = TcpStream::connect(&server).unwrap();
            for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    (own, failed)
}

#[tokio::test]
async fn s3_is_tried_again_when_it_fails_for_a_moment() {
    let Some(server) = S3::start() else { return };
    let (address, failed) = failing_at_first(&server.address, 3);
    let store = s3(&address, "retried");
    store.put(&Path::from("x"), vec![5; 1000]).await.unwrap();
    assert_eq!(store.read(&Path::from("x")).await.unwrap(), vec![5; 1000]);
    assert_eq!(failed.load(Ordering::SeqCst), 3);
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
}

/// A store that fails in one way.
#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    fault: Mutex<Option<Fault>>,
    writes: AtomicU32,
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
        let fault = *self.fault.lock().unwrap();
        match fault {
            Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(20)).await,
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
        if *self.fault.lock().unwrap() == Some(Fault::Slow) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
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
    let faulty = Arc::new(Faulty { inner: InMemory::new(), fault: Mutex::new(None), writes: AtomicU32::new(0) });
    let set = |fault| {
        faulty.writes.store(0, Ordering::SeqCst);
        *faulty.fault.lock().unwrap() = fault;
    };
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
