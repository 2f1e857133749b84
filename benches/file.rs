//! Sealing a file: ours beside `rage` on the same file and disk, and beside the parts it is made of. Both
//! results are on the disk when the clock stops: `rage` syncs nothing, so one fsync of its file is added; ours
//! makes one for each part of 16 MB, which is durable before the next thing depends on it, and one for the
//! folder that names it.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use rayon::prelude::*;
use sealgate_benches::{Contender, Cost, Fault, Run, children_time, times};
use sealgate_ods::file::{CHUNK_BYTES, FileContent, FileRequest, seal_file};
use sealgate_ods::{AssetKeys, AssetLabel, CipherSuite, HashAlgorithm, Store, remove_attempt, silent};

/// The version of rage that is installed where none is named.
const RAGE: &str = "0.12.1";

fn main() -> Result<(), Fault> {
    let run = Run::begin("file", 3);
    let megabytes = run.size("SEALGATE_BENCH_MB", 512, 4);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("file");
    write_random(&path, megabytes << 20)?;
    println!("# in {}", folder.path().display());
    let rage = if run.is_full() { Rage::find(folder.path()) } else { Err("the run is quick".into()) };
    let ours = Ours::new(folder.path())?;

    println!("\n{megabytes} MiB");
    let mut contenders: Vec<Contender<'_>> = vec![
        ("seal_file", Box::new(|| level(&path).and_then(|()| ours.seal(&path, HashAlgorithm::Blake3)))),
        ("seal_file with SHA-256", Box::new(|| level(&path).and_then(|()| ours.seal(&path, HashAlgorithm::Sha256)))),
        ("part: AES-256-GCM", Box::new(|| encrypt(megabytes << 20))),
        ("part: BLAKE3", Box::new(|| hash(megabytes << 20))),
        (
            "part: reading, writing, fsync",
            Box::new(|| level(&path).and_then(|()| copy(&path, &folder.path().join("copy")))),
        ),
    ];
    match &rage {
        Ok(rage) => contenders.push(("rage, fsync", Box::new(|| level(&path).and_then(|()| rage.encrypt(&path))))),
        Err(why) => println!("  rage: skipped, {why}"),
    }
    let costs = run.race_all(contenders)?;
    let of = |position: usize| costs.get(position).copied().unwrap_or_default();
    let (blake3, sha256, gcm, hashing, writing) = (of(0), of(1), of(2), of(3), of(4));
    println!("  {:.0} MB a second", (megabytes << 20) as f64 / 1e6 / blake3.wall.as_secs_f64());
    if rage.is_ok() {
        let theirs = of(5);
        run.ratio("file.rage.wall", times(theirs.wall, blake3.wall), "speed in units of rage's; 1.7 is wanted");
        run.ratio("file.rage.cpu", times(theirs.cpu, blake3.cpu), "the same in CPU time");
        run.ratio("file.rage.sha256", times(theirs.wall, sha256.wall), "the same with SHA-256");
    }
    run.ratio(
        "file.parts.cpu",
        times(gcm.cpu + hashing.cpu, blake3.cpu),
        "speed / AES-256-GCM and BLAKE3 alone, CPU time",
    );
    run.ratio("file.disk", times(writing.wall, blake3.wall), "speed / copying the file with fsync");
    Ok(())
}

/// The same ground for everybody who writes: as much is written and removed just before. Memory that lay
/// unused for a while is taken back by some machines, and whoever comes first would pay for it.
fn level(path: &Path) -> Result<(), Fault> {
    let scratch = path.with_extension("level");
    std::fs::copy(path, &scratch)?;
    std::fs::File::open(&scratch)?.sync_all()?;
    Ok(std::fs::remove_file(&scratch)?)
}

fn write_random(path: &Path, bytes: usize) -> Result<(), Fault> {
    let mut file = File::create(path)?;
    let mut block = vec![0u8; 1 << 20];
    for start in (0..bytes).step_by(block.len()) {
        getrandom::fill(block.get_mut(..64).unwrap_or_default())?;
        let seed = blake3::hash(block.get(..64).unwrap_or_default());
        blake3::Hasher::new_keyed(seed.as_bytes()).finalize_xof().fill(&mut block);
        file.write_all(block.get(..block.len().min(bytes - start)).unwrap_or_default())?;
    }
    Ok(file.sync_all()?)
}

/// Our store on the same disk.
struct Ours {
    runtime: tokio::runtime::Runtime,
    keys: Arc<AssetKeys>,
    store: Store,
}

impl Ours {
    fn new(folder: &Path) -> Result<Ours, Fault> {
        Ok(Ours {
            runtime: tokio::runtime::Builder::new_multi_thread().enable_all().build()?,
            keys: Arc::new(AssetKeys::generate(AssetLabel::new("bench")?)?),
            store: Store::local(&folder.join("store"))?,
        })
    }

    fn seal(&self, path: &Path, hash: HashAlgorithm) -> Result<Cost, Fault> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let request = FileRequest {
            content: FileContent::File(file, bytes),
            name: path.display().to_string(),
            keys: Arc::clone(&self.keys),
            store: self.store.clone(),
            version: 1,
            suite: CipherSuite::default(),
            hash,
            progress: silent(),
        };
        let mut sealed = None;
        let cost = Cost::of(|| {
            sealed = Some(self.runtime.block_on(seal_file(request))?);
            Ok(())
        })?;
        let attempt = sealed.ok_or("nothing was sealed")?.reference.attempt;
        self.runtime.block_on(remove_attempt(&self.store, self.keys.label(), attempt))?;
        Ok(cost)
    }
}

/// AES-256-GCM over chunks as long as a file's, on all cores.
fn encrypt(bytes: usize) -> Result<Cost, Fault> {
    let cipher = Aes256Gcm::new(&[7; 32].into());
    let seal = |buffer: &mut Vec<u8>, chunk: usize| {
        let mut nonce = [0u8; 12];
        nonce.iter_mut().zip(chunk.to_be_bytes()).for_each(|(to, from)| *to = from);
        let tag = cipher.encrypt_inout_detached(&Nonce::from(nonce), b"place", buffer.as_mut_slice().into());
        black_box(tag).map(|_| ()).map_err(|error| error.to_string())
    };
    Cost::of(|| {
        let chunks = (0..bytes.div_ceil(CHUNK_BYTES)).into_par_iter();
        Ok(chunks.map_init(|| vec![0u8; CHUNK_BYTES], seal).collect::<Result<(), String>>()?)
    })
}

/// BLAKE3 over pieces of 16 MiB, on all cores.
fn hash(bytes: usize) -> Result<Cost, Fault> {
    let piece = vec![0u8; 16 << 20];
    Cost::of(|| {
        (0..bytes.div_ceil(piece.len())).into_par_iter().for_each(|_| {
            black_box(blake3::hash(&piece));
        });
        Ok(())
    })
}

fn copy(from: &Path, to: &Path) -> Result<Cost, Fault> {
    let cost = Cost::of(|| {
        let (mut source, mut target) = (File::open(from)?, File::create(to)?);
        let mut buffer = vec![0u8; 1 << 20];
        loop {
            let read = source.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            target.write_all(buffer.get(..read).unwrap_or_default())?;
        }
        Ok(target.sync_all()?)
    });
    fs::remove_file(to)?;
    cost
}

/// `rage` with a key of its own.
struct Rage {
    program: PathBuf,
    recipient: String,
    sealed: PathBuf,
}

impl Rage {
    /// The program that `SEALGATE_RAGE` names, or one that cargo installs below `target/`, once.
    fn find(folder: &Path) -> Result<Rage, Fault> {
        let program = match std::env::var_os("SEALGATE_RAGE") {
            Some(program) => PathBuf::from(program),
            None => {
                let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rage");
                let version = ["install", "rage", "--version", RAGE, "--locked", "--no-default-features", "--root"];
                if !root.join("bin/rage").is_file() {
                    println!("# installing rage {RAGE}, once: minutes");
                    let installed = Command::new("cargo").args(version).arg(&root).stdout(Stdio::null()).status()?;
                    if !installed.success() {
                        return Err("cargo could not install it".into());
                    }
                }
                root.join("bin/rage")
            }
        };
        let identity = folder.join("identity");
        let keygen = Command::new(program.with_file_name("rage-keygen")).arg("-o").arg(&identity).output()?;
        let text = fs::read_to_string(&identity).map_err(|_| String::from_utf8_lossy(&keygen.stderr).into_owned())?;
        let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: "));
        let recipient = recipient.ok_or("rage-keygen tells no public key")?.to_owned();
        Ok(Rage { program, recipient, sealed: folder.join("file.age") })
    }

    fn encrypt(&self, path: &Path) -> Result<Cost, Fault> {
        let _ = fs::remove_file(&self.sealed);
        let before = children_time();
        let mut cost = Cost::of(|| {
            let mut command = Command::new(&self.program);
            let command = command.args(["--encrypt", "--recipient", &self.recipient, "--output"]);
            let status = command.arg(&self.sealed).arg(path).status()?;
            if !status.success() {
                return Err("rage failed".into());
            }
            Ok(File::open(&self.sealed)?.sync_all()?)
        })?;
        cost.cpu += children_time().saturating_sub(before);
        Ok(cost)
    }
}
