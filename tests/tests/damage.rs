//! Damage: single bits flipped in everything that lies on a disk, files cut, swapped and lost.
//! What proves something must fail and name the place; what can be rebuilt must be rebuilt.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sealgate_gateway::answer_file::AnswerFile;
use sealgate_gateway::auditing::audit_owner;
use sealgate_gateway::cli::Failure;
use sealgate_gateway::home::{Home, Relation};
use sealgate_gateway::owner::Owner;
use sealgate_ledger::ids::Address;
use sealgate_tests::{
    Plain, Server, Table, World, copy_folder, files_under, manifest, sealgate_plain, shared_data, text,
};
use serde_json::Value;

const SQL: &str = "SELECT name, fee >= 100, fee FROM shop WHERE id = 36";

/// A world with two versions, answers of both, an absent one and a denial; nothing serves.
struct Story {
    world: World,
    trail: Vec<Value>,
    /// What it is a copy of.
    _first: Option<Arc<Story>>,
}

/// A copy of the one story that all tests begin with.
fn story() -> Story {
    // Weak: the folder goes when the last test that copied it ends.
    static FIRST: Mutex<std::sync::Weak<Story>> = Mutex::new(std::sync::Weak::new());
    let mut kept = FIRST.lock().unwrap();
    let first = kept.upgrade().unwrap_or_else(|| Arc::new(make_story()));
    *kept = Arc::downgrade(&first);
    Story { world: first.world.twin(), trail: first.trail.clone(), _first: Some(first) }
}

fn make_story() -> Story {
    let table = Table::shops(300);
    let world = World::with(&table);
    let grant = ["--disclose", "name,fee", "--prove", "fee >= ?", "--purpose", "check"];
    world.grant("shop", &world.requester, &grant).ok();
    let server = world.serve();
    let ask = |out: &str, sql: &str| world.ask(&server.url, "requester", "check", out, sql);
    ask("present.json", SQL).ok();
    ask("absent.json", "SELECT name, fee >= 100 FROM shop WHERE id = 301").ok();
    world.publish(&table.write(world.dir.path())).ok();
    ask("second.json", SQL).ok();
    ask("none.json", "SELECT area FROM shop WHERE id = 36").error();
    for id in 1..5 {
        ask("more.json", &format!("SELECT fee FROM shop WHERE id = {id}")).ok();
    }
    for file in ["present.json", "absent.json", "second.json"] {
        let (auditor, file) = (world.path("auditor"), world.path(file));
        let args = ["verify", "--home", &auditor, "--gateway", &server.url, "--requester", &world.requester, &file];
        assert_eq!(sealgate_plain(&args).code, 0);
    }
    let trail = world.trail(&server.url, "auditor");
    drop(server);
    Story { world, trail, _first: None }
}

/// Works on every item with as many threads as there are cores; `work` gets the thread's number.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(usize, &T) -> Option<R> + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (work, found) = (&work, &found);
            scope.spawn(move || {
                for item in items.iter().skip(thread).step_by(threads) {
                    if let Some(result) = work(thread, item) {
                        found.lock().unwrap().push(result);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// The bit of a byte that is flipped: another one from byte to byte.
fn bit_of(position: usize) -> u8 {
    1 << ((position.wrapping_mul(2_654_435_761) >> 7) % 8)
}

fn flipped(bytes: &[u8], position: usize, bit: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[position] ^= bit;
    bytes
}

/// Whether the flip changes nothing that is read: a digit of a long hexadecimal number becomes a
/// capital, or a bit changes that X25519 sets itself (RFC 7748, section 5).
fn changes_nothing(bytes: &[u8], position: usize, bit: u8) -> bool {
    let name = b"\"encryption_secret\": \"";
    if let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
        let (first, last) = (at + name.len() + 1, at + name.len() + 62);
        if position == first && bit < 8 || position == last && bit >= 4 {
            return true;
        }
    }
    let hex = |byte: &&u8| byte.is_ascii_hexdigit();
    let before = bytes[..position].iter().rev().take_while(hex).count();
    let from = bytes[position..].iter().take_while(hex).count();
    bit == 0x20 && bytes[position].is_ascii_lowercase() && from > 0 && before + from >= 8
}

/// Where a bit was flipped, with what stands there, for messages.
fn place(bytes: &[u8], position: usize, bit: u8) -> String {
    let around = &bytes[position.saturating_sub(12)..(position + 12).min(bytes.len())];
    format!("byte {position}, bit {bit:#04x}, near '{}'", String::from_utf8_lossy(around).escape_debug())
}

/// At most a few lines of what went wrong, with their number.
fn none(what: &str, found: Vec<String>) {
    let count = found.len();
    let shown = found.into_iter().take(12).collect::<Vec<_>>().join("\n  ");
    assert!(count == 0, "{count} × {what}:\n  {shown}");
}

/// One clear line, exit code 1.
fn one_line(plain: &Plain) -> String {
    assert_eq!((plain.code, plain.stdout.as_str()), (1, ""), "{plain:?}");
    assert_eq!(plain.stderr.lines().count(), 1, "{plain:?}");
    plain.stderr.trim_end().to_owned()
}

fn audit(folder: &Path) -> Plain {
    sealgate_plain(&["audit", "--data-dir", &folder.display().to_string()])
}

/// `audit --data-dir` in this process: its failure's line.
fn audited(runtime: &tokio::runtime::Runtime, folder: &Path) -> Result<(), String> {
    let work = async {
        let owner = Owner::open(folder)?;
        audit_owner(&owner, false, sealgate_ods_silent()).await?;
        Ok::<(), Failure>(())
    };
    runtime.block_on(async { tokio::spawn(async {}).await }).unwrap();
    runtime.block_on(work).map_err(|failure| failure.into_text())
}

fn sealgate_ods_silent() -> Arc<dyn sealgate_ods::ProgressSink> {
    struct Silent;
    impl sealgate_ods::ProgressSink for Silent {
        fn report(&self, _: sealgate_ods::Progress) {}
    }
    Arc::new(Silent)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

// ---- answer.json

/// What `sealgate verify` checks, in this process.
fn verifies(home: &Home, requester: &Address, bytes: &[u8]) -> Result<(), String> {
    let file = AnswerFile::read(bytes).map_err(|error| error.to_string())?;
    file.genesis.validate().map_err(|error| error.to_string())?;
    let (checkpoint, relation) = home.relation(&file.genesis, &file.checkpoint).map_err(|error| error.to_string())?;
    let verified = file.verify(&checkpoint, requester).map_err(|error| error.to_string())?;
    if relation != Relation::Known {
        return Err("not connected".into());
    }
    match home.asked(&verified.request).map_err(|error| error.to_string())? {
        Some(asked) if asked.purpose != verified.purpose || asked.nonce != file.nonce => Err("another question".into()),
        _ => Ok(()),
    }
}

#[test]
fn no_bit_of_an_answer_file_can_be_flipped() {
    let Story { world, .. } = story();
    let home = Home::at(Path::new(&world.path("requester")));
    let requester: Address = world.requester.parse().unwrap();
    for (name, step) in [("present.json", 1), ("absent.json", 9), ("second.json", 9)] {
        let path = world.path(name);
        let bytes = std::fs::read(&path).unwrap();
        verifies(&home, &requester, &bytes).unwrap();
        let positions: Vec<usize> = (0..bytes.len()).step_by(step).collect();
        let accepted = in_parallel(&positions, |_, position| {
            let bit = bit_of(*position);
            let verdict = verifies(&home, &requester, &flipped(&bytes, *position, bit));
            verdict.is_ok().then(|| place(&bytes, *position, bit))
        });
        none("flipped and accepted", accepted);
        // The command itself says the same.
        for position in (0..bytes.len()).step_by(bytes.len() / 12) {
            std::fs::write(&path, flipped(&bytes, position, bit_of(position))).unwrap();
            let line = one_line(&sealgate_plain(&["verify", "--home", &world.path("requester"), &path]));
            assert!(line.contains(name) && line.contains("does not verify"), "{line}");
        }
        std::fs::write(&path, &bytes).unwrap();
        world.verify("requester", name).ok();
    }
}

/// Every bit of what an auditor reads, question and result, whose flip is accepted: the file and
/// its bytes, the position and the bit.
fn accepted_by_an_auditor() -> Vec<(Vec<u8>, usize, u8)> {
    let Story { world, .. } = story();
    let home = Home::at(Path::new(&world.path("auditor")));
    let requester: Address = world.requester.parse().unwrap();
    let mut accepted = Vec::new();
    for name in ["present.json", "absent.json", "second.json"] {
        let bytes = std::fs::read(world.path(name)).unwrap();
        verifies(&home, &requester, &bytes).unwrap();
        let end = bytes.windows(10).position(|window| window == b"\"evidence\"").unwrap();
        let flips: Vec<(usize, u8)> =
            (0..end).flat_map(|position| (0..8).map(move |bit| (position, 1 << bit))).collect();
        accepted.extend(in_parallel(&flips, |_, (position, bit)| {
            let verdict = verifies(&home, &requester, &flipped(&bytes, *position, *bit));
            verdict.is_ok().then(|| (bytes.clone(), *position, *bit))
        }));
    }
    accepted
}

/// The question that an auditor reads means the one that was answered, its table included.
#[test]
fn no_bit_that_means_something_to_an_auditor_can_be_flipped() {
    let mut found = Vec::new();
    for (bytes, position, bit) in accepted_by_an_auditor() {
        let table = bytes.windows(10).position(|window| window == b" FROM shop").unwrap() + 6;
        // Another case, and a zero before a number, mean the same.
        let same = bit == 0x20 && bytes[position].is_ascii_alphabetic() || bit == 0x10 && bytes[position] == b' ';
        if !same || (table..table + 4).contains(&position) {
            found.push(place(&bytes, position, bit));
        }
    }
    none("flipped and accepted", found);
}

/// An answer file has one spelling: keywords and columns in other letters are another file.
#[test]
fn not_even_the_case_of_a_letter_that_an_auditor_reads_can_be_flipped() {
    let found = accepted_by_an_auditor().iter().map(|(bytes, position, bit)| place(bytes, *position, *bit)).collect();
    none("flipped and accepted", found);
}

// ---- ledger

/// Offsets of the log's records and its end.
fn records(log: &[u8]) -> Vec<usize> {
    let mut offsets = vec![16];
    loop {
        let at = *offsets.last().unwrap();
        if at == log.len() {
            return offsets;
        }
        let length = u32::from_le_bytes(log[at..at + 4].try_into().unwrap()) as usize;
        offsets.push(at + 12 + length);
    }
}

/// A folder for each thread with a copy of the owner's.
fn copies(world: &World) -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let copy = |thread: usize| {
        let path = dir.path().join(thread.to_string());
        copy_folder(Path::new(&world.path("owner")), &path);
        path
    };
    let folders = (0..threads).map(copy).collect();
    (dir, folders)
}

#[test]
fn no_bit_of_the_block_log_can_be_flipped_unnoticed() {
    let Story { world, .. } = story();
    let log = std::fs::read(world.path("owner/ledger/blocks.log")).unwrap();
    let records = records(&log);
    assert!(records.len() > 15, "{records:?}");
    let mut positions: Vec<usize> = (0..16).collect();
    for pair in records.windows(2) {
        positions.extend(pair[0]..pair[0] + 12);
        positions.extend((pair[0] + 12..pair[1]).step_by(29));
    }
    positions.extend(records[records.len() - 2]..log.len());
    let (_dir, folders) = copies(&world);
    let wrong = in_parallel(&positions, |thread, position| {
        let ledger = folders[thread].join("ledger");
        let bit = bit_of(*position);
        std::fs::write(ledger.join("blocks.log"), flipped(&log, *position, bit)).unwrap();
        let height = records.iter().filter(|start| **start <= *position).count().saturating_sub(1);
        match sealgate_ledger::audit::audit_log(&ledger) {
            Ok(_) => Some(format!("not noticed: {}", place(&log, *position, bit))),
            Err(error) => {
                let line = error.to_string();
                let named = line.contains("blocks.log") && line.contains(&format!("block {height}"));
                (!named).then(|| format!("{} in block {height}: {line}", place(&log, *position, bit)))
            }
        }
    });
    none("wrong verdicts", wrong);
    // The command, and serving: refused alike, and the file stays as it is.
    let folder = folders[0].display().to_string();
    let path = folders[0].join("ledger/blocks.log");
    for position in [3, 17, 21, 60, records[5] + 1, records[9] + 40, records[records.len() - 2] + 5, log.len() - 1] {
        let damaged = flipped(&log, position, bit_of(position));
        std::fs::write(&path, &damaged).unwrap();
        let height = records.iter().filter(|start| **start <= position).count().saturating_sub(1);
        for args in [
            vec!["audit", "--data-dir", &folder],
            vec!["serve", "--data-dir", &folder, "--listen", "127.0.0.1:0"],
            vec!["revoke", "--data-dir", &folder, "--asset", "shop", "--to", &world.requester],
        ] {
            let line = one_line(&sealgate_plain(&args));
            assert!(line.contains("blocks.log") && line.contains(&format!("block {height}")), "{args:?}: {line}");
        }
        assert!(std::fs::read(&path).unwrap() == damaged, "a damaged log was changed");
    }
    std::fs::write(&path, &log).unwrap();
    assert_eq!(audit(&folders[0]).code, 0);
}

#[test]
fn a_log_that_lost_acknowledged_blocks_is_refused() {
    let Story { world, .. } = story();
    let log = std::fs::read(world.path("owner/ledger/blocks.log")).unwrap();
    let records = records(&log);
    let (_dir, folders) = copies(&world);
    let path = folders[0].join("ledger/blocks.log");
    let folder = folders[0].display().to_string();
    let last = records[records.len() - 2];
    for length in [
        0,
        1,
        15,
        16,
        17,
        records[1],
        records[1] + 5,
        records[4],
        records[4] + 12,
        records[7] + 100,
        last,
        last + 1,
        last + 12,
        log.len() - 1,
    ] {
        std::fs::write(&path, &log[..length]).unwrap();
        for args in
            [vec!["audit", "--data-dir", &folder], vec!["serve", "--data-dir", &folder, "--listen", "127.0.0.1:0"]]
        {
            let line = one_line(&sealgate_plain(&args));
            assert!(line.contains("blocks.log"), "{length}: {line}");
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), length as u64);
        // Without the head file the index still says what had been acknowledged.
        let head = folders[0].join("ledger/head");
        let mark = std::fs::read(&head).unwrap();
        std::fs::remove_file(&head).unwrap();
        let line = one_line(&audit(&folders[0]));
        assert!(line.contains("blocks.log") || line.contains("index"), "{length}: {line}");
        std::fs::write(&head, mark).unwrap();
    }
    // Bytes behind the end that no block is: an interrupted write; nothing is lost.
    std::fs::write(&path, [&log[..], &[7; 40]].concat()).unwrap();
    let server = Server::start(&folder);
    assert_eq!(world.trail(&server.url, "auditor").len(), 8);
    drop(server);
    assert!(std::fs::read(&path).unwrap() == log);
    assert_eq!(audit(&folders[0]).code, 0);
}

/// docs/spec/ledger.md#head-file: a torn head file is rebuilt; the index then says what was
/// acknowledged. So damage to it alone loses nothing and hides nothing.
#[test]
fn a_damaged_head_file_loses_and_hides_nothing() {
    let Story { world, .. } = story();
    let (_dir, folders) = copies(&world);
    let (head, log) = (folders[0].join("ledger/head"), folders[0].join("ledger/blocks.log"));
    let (mark, blocks) = (std::fs::read(&head).unwrap(), std::fs::read(&log).unwrap());
    let records = records(&blocks);
    assert_eq!(mark.len(), 64);
    for position in 0..64 {
        std::fs::write(&head, flipped(&mark, position, bit_of(position))).unwrap();
        // Nothing is hidden behind it: a log without its last block is noticed all the same.
        std::fs::write(&log, &blocks[..records[records.len() - 2]]).unwrap();
        // A child that another test is just starting may hold the lock for a moment; then the index
        // is not compared.
        let audit = || sealgate_ledger::audit::audit_log(&folders[0].join("ledger"));
        let mut lost = audit();
        while lost.as_ref().is_ok_and(|audit| !audit.index_compared) {
            lost = audit();
        }
        assert!(lost.is_err(), "byte {position}: a lost block was not noticed");
        std::fs::write(&log, &blocks).unwrap();
        let whole = sealgate_ledger::audit::audit_log(&folders[0].join("ledger")).unwrap();
        assert_eq!(whole.replay.head().height.0 as usize, records.len() - 2, "byte {position}");
    }
    let server = Server::start(&folders[0].display().to_string());
    drop(server);
    assert_eq!(std::fs::read(&head).unwrap(), mark, "it is written again");
}

#[test]
fn no_bit_of_the_genesis_can_be_flipped_unnoticed() {
    let Story { world, .. } = story();
    let (_dir, folders) = copies(&world);
    let genesis = std::fs::read(folders[0].join("ledger/genesis.json")).unwrap();
    let positions: Vec<usize> = (0..genesis.len()).collect();
    let runtime = runtime();
    let wrong = in_parallel(&positions, |thread, position| {
        let bit = bit_of(*position);
        std::fs::write(folders[thread].join("ledger/genesis.json"), flipped(&genesis, *position, bit)).unwrap();
        match audited(&runtime, &folders[thread]) {
            Ok(()) => Some(format!("not noticed: {}", place(&genesis, *position, bit))),
            Err(line) => {
                let named = line.contains("genesis") || line.contains("blocks.log") && line.contains("block 0");
                (!named).then(|| format!("{}: {line}", place(&genesis, *position, bit)))
            }
        }
    });
    none("wrong verdicts", wrong);
    for position in (0..genesis.len()).step_by(101) {
        std::fs::write(folders[0].join("ledger/genesis.json"), flipped(&genesis, position, bit_of(position))).unwrap();
        one_line(&audit(&folders[0]));
    }
    std::fs::remove_file(folders[0].join("ledger/genesis.json")).unwrap();
    let line = one_line(&audit(&folders[0]));
    assert!(line.contains("no ledger"), "{line}");
}

// ---- index

/// Damages the index of a copy, then: an audit ends in order; serving rebuilds the index; the
/// trail is all there; audits pass, while serving and after. What does not hold.
fn after_damage(story: &Story, what: &str, damage: &dyn Fn(&Path)) -> Option<String> {
    let twin = story.world.twin();
    let owner = PathBuf::from(twin.path("owner"));
    damage(&owner.join("ledger/index"));
    let first = audit(&owner);
    if first.code != 0 && (first.stderr.lines().count() != 1 || !first.stderr.contains("index")) {
        return Some(format!("{what}, first audit: {first:?}"));
    }
    let server = twin.serve();
    assert_eq!(twin.trail(&server.url, "auditor"), story.trail, "{what}");
    let served = audit(&owner);
    if served.code != 0 {
        return Some(format!("{what}, audit while serving: {}", served.stderr));
    }
    drop(server);
    let last = audit(&owner);
    (last.code != 0).then(|| format!("{what}, audit after serving: {}", last.stderr))
}

#[test]
fn a_damaged_index_is_rebuilt_from_the_log() {
    type Damage = Box<dyn Fn(&Path) + Send + Sync>;
    let story = story();
    let index = PathBuf::from(story.world.path("owner/ledger/index"));
    let mut damages: Vec<(String, Damage)> = vec![
        ("deleted".into(), Box::new(|index| std::fs::remove_dir_all(index).unwrap())),
        (
            "emptied".into(),
            Box::new(|index| {
                std::fs::remove_dir_all(index).unwrap();
                std::fs::create_dir(index).unwrap();
            }),
        ),
        (
            "a file".into(),
            Box::new(|index| {
                std::fs::remove_dir_all(index).unwrap();
                std::fs::write(index, "x").unwrap();
            }),
        ),
    ];
    for path in files_under(&index) {
        let name = path.strip_prefix(&index).unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        let shown = name.display().to_string();
        let mut write = |what: String, content: Option<Vec<u8>>| {
            let name = name.clone();
            let damage = move |index: &Path| match &content {
                Some(content) => std::fs::write(index.join(&name), content).unwrap(),
                None => std::fs::remove_file(index.join(&name)).unwrap(),
            };
            damages.push((format!("{shown} {what}"), Box::new(damage)));
        };
        write("deleted".into(), None);
        for length in [0, bytes.len() / 2, bytes.len().saturating_sub(1)] {
            write(format!("cut to {length}"), Some(bytes[..length].to_vec()));
        }
        let used: Vec<usize> = (0..bytes.len()).filter(|position| bytes[*position] != 0).collect();
        for position in used.iter().step_by(used.len().div_ceil(4).max(1)) {
            write(format!("flipped at {position}"), Some(flipped(&bytes, *position, bit_of(*position))));
        }
        write("overwritten".into(), Some(vec![0x5a; bytes.len()]));
    }
    assert!(damages.len() > 20);
    none("not as it was", in_parallel(&damages, |_, (what, damage)| after_damage(&story, what, damage)));
}

/// A killed gateway leaves an index that lags: nothing is wrong with it.
#[test]
fn a_killed_gateway_leaves_nothing_for_the_audit_to_complain_of() {
    let Story { world, .. } = story();
    for round in 0..4 {
        let server = world.serve();
        for id in 0..3 {
            let sql = format!("SELECT fee FROM shop WHERE id = {}", round * 3 + id + 1);
            world.ask(&server.url, "requester", "check", "x.json", &sql).ok();
        }
        server.kill();
        let plain = audit(Path::new(&world.path("owner")));
        assert_eq!(plain.code, 0, "round {round}: {plain:?}");
    }
    let server = world.serve();
    assert_eq!(world.trail(&server.url, "auditor").len(), 8 + 12);
}

// ---- store

/// The object's name as messages give it.
fn object_name(store: &Path, path: &Path) -> String {
    path.strip_prefix(store).unwrap().display().to_string()
}

#[test]
fn no_bit_of_a_stored_object_can_be_flipped_unnoticed() {
    let Story { world, .. } = story();
    let (_dir, folders) = copies(&world);
    let store = PathBuf::from(world.path("owner/store"));
    let objects = files_under(&store);
    // The second version shares the segments in which nothing changed.
    assert!(objects.len() >= 5 + 4 + 2 + 3, "{}", objects.len());
    let mut flips = Vec::new();
    for object in &objects {
        let size = std::fs::metadata(object).unwrap().len() as usize;
        for position in [3, 13, 40, 75, size / 2, size - 1] {
            flips.push((object.strip_prefix(&store).unwrap().to_owned(), position));
        }
    }
    let runtime = runtime();
    let wrong = in_parallel(&flips, |thread, (name, position)| {
        let path = folders[thread].join("store").join(name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, flipped(&bytes, *position, bit_of(*position))).unwrap();
        let verdict = audited(&runtime, &folders[thread]);
        std::fs::write(&path, bytes).unwrap();
        let name = name.display().to_string();
        match verdict {
            Ok(()) => Some(format!("not noticed: {name}, byte {position}")),
            Err(line) if line.contains(&name) && line.contains("damaged") => None,
            Err(line) => Some(format!("{name}, byte {position}: {line}")),
        }
    });
    none("wrong verdicts", wrong);
    assert_eq!(audit(&folders[0]).code, 0);
    // The command says it in one line; serving answers what it can and does not fall.
    let damaged = objects.iter().find(|path| path.ends_with("c1/s0")).unwrap();
    let (path, name) =
        (folders[0].join("store").join(damaged.strip_prefix(&store).unwrap()), object_name(&store, damaged));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, flipped(&bytes, bytes.len() / 2, 4)).unwrap();
    let line = one_line(&audit(&folders[0]));
    assert!(line.contains(&name) && line.contains("'shop'"), "{line}");
}

#[test]
fn each_object_of_real_licences_is_audited() {
    if shared_data("licences/vancouver_restaurant_licences.csv").is_none() {
        return;
    }
    let world = World::new();
    world.publish(&manifest("licences.toml")).ok();
    let (_dir, folders) = copies(&world);
    let store = PathBuf::from(world.path("owner/store"));
    let objects: Vec<PathBuf> =
        files_under(&store).iter().map(|path| path.strip_prefix(&store).unwrap().to_owned()).collect();
    assert_eq!(objects.len(), 23 + 32 + 2);
    let runtime = runtime();
    let wrong = in_parallel(&objects, |thread, name| {
        let path = folders[thread].join("store").join(name);
        let bytes = std::fs::read(&path).unwrap();
        let position =
            name.display().to_string().bytes().fold(7usize, |sum, byte| sum * 31 % 1_000_003 + byte as usize);
        let position = position * 7919 % bytes.len();
        std::fs::write(&path, flipped(&bytes, position, bit_of(position))).unwrap();
        let verdict = audited(&runtime, &folders[thread]);
        std::fs::write(&path, bytes).unwrap();
        let name = name.display().to_string();
        match verdict {
            Err(line) if line.contains(&name) && line.contains("'licences', version 1") => None,
            other => Some(format!("{name}, byte {position}: {other:?}")),
        }
    });
    none("wrong verdicts", wrong);
}

#[test]
fn missing_swapped_cut_and_foreign_objects_are_named() {
    let Story { world, .. } = story();
    let (_dir, folders) = copies(&world);
    let folder = &folders[0];
    let store = folder.join("store");
    let objects = files_under(&store);
    let runtime = runtime();
    for object in &objects {
        let (bytes, name) = (std::fs::read(object).unwrap(), object_name(&store, object));
        std::fs::remove_file(object).unwrap();
        let line = audited(&runtime, folder).unwrap_err();
        assert!(line.contains(&name) && line.contains("missing"), "{name}: {line}");
        for content in [&bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat()] {
            std::fs::write(object, content).unwrap();
            let line = audited(&runtime, folder).unwrap_err();
            assert!(line.contains(&name) && line.contains("damaged"), "{name}: {line}");
        }
        std::fs::write(object, bytes).unwrap();
    }
    // Neighbours, and the same object of the other version.
    let half = objects.len() / 2;
    let pairs = objects.windows(2).map(|pair| (&pair[0], &pair[1])).chain(objects[..half].iter().zip(&objects[half..]));
    for (one, other) in pairs {
        let (first, second) = (std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
        std::fs::write(one, &second).unwrap();
        std::fs::write(other, &first).unwrap();
        let line = audited(&runtime, folder).unwrap_err();
        let names = [object_name(&store, one), object_name(&store, other)];
        assert!(names.iter().any(|name| line.contains(name)), "{names:?}: {line}");
        std::fs::write(one, first).unwrap();
        std::fs::write(other, second).unwrap();
    }
    let extra = objects[0].with_file_name("s9");
    std::fs::write(&extra, "x").unwrap();
    let line = one_line(&audit(folder));
    assert!(line.contains(&object_name(&store, &extra)) && line.contains("belongs to nothing"), "{line}");
    std::fs::remove_file(extra).unwrap();
    assert_eq!(audit(folder).code, 0);
}

/// A gateway whose objects are damaged says so without telling where, loses no request, and
/// answers once they are restored.
#[test]
fn a_gateway_with_damaged_objects_fails_in_order_and_recovers() {
    let Story { world, .. } = story();
    let store = PathBuf::from(world.path("owner/store"));
    let columns: Vec<PathBuf> = files_under(&store).into_iter().filter(|path| path.ends_with("c1/s0")).collect();
    let good: Vec<Vec<u8>> = columns.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for (path, bytes) in columns.iter().zip(&good) {
        let mut bytes = bytes.clone();
        bytes[100..].iter_mut().for_each(|byte| *byte ^= 1);
        std::fs::write(path, bytes).unwrap();
    }
    let server = world.serve();
    let (home, out) = (world.path("requester"), world.path("x.json"));
    let ask = || {
        sealgate_plain(&["ask", "--gateway", &server.url, "--home", &home, "--purpose", "check", "--out", &out, SQL])
    };
    for _ in 0..2 {
        let line = one_line(&ask());
        assert!(line.contains("gateway") && !line.contains("c1/s0"), "{line}");
        assert!(!Path::new(&out).exists());
    }
    let trail = world.trail(&server.url, "auditor");
    assert_eq!(trail.len(), 9, "asked twice in the same words, it is one request");
    assert!(trail[8]["status"].to_string().contains("granted"), "{}", trail[8]);
    for (path, bytes) in columns.iter().zip(&good) {
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(ask().code, 0);
    let trail = world.trail(&server.url, "auditor");
    assert_eq!(trail.len(), 9);
    assert!(trail[8]["status"].to_string().contains("answered"), "{}", trail[8]);
}

// ---- keys and parameters

/// Flips one bit after the other in a file of a copied data folder: the audit must fail and name
/// the file.
fn each_flip_is_named(world: &World, file: &str, positions: &[usize], bits: &[u8]) {
    let (_dir, folders) = copies(world);
    let bytes = std::fs::read(folders[0].join(file)).unwrap();
    let name = Path::new(file).file_name().unwrap().display().to_string();
    let runtime = runtime();
    let wrong = in_parallel(positions, |thread, position| {
        let mut found = Vec::new();
        let chosen = if bits.is_empty() { vec![bit_of(*position)] } else { bits.to_vec() };
        for bit in chosen {
            std::fs::write(folders[thread].join(file), flipped(&bytes, *position, bit)).unwrap();
            match audited(&runtime, &folders[thread]) {
                Err(line) if line.contains(&name) => {}
                Err(line) => found.push(format!("{}: {line}", place(&bytes, *position, bit))),
                Ok(()) if changes_nothing(&bytes, *position, bit) => {}
                Ok(()) => found.push(format!("not noticed: {}", place(&bytes, *position, bit))),
            }
        }
        (!found.is_empty()).then(|| found.join("\n  "))
    });
    // The commands say it in one line.
    let folder = folders[0].display().to_string();
    for position in positions.iter().step_by(positions.len().div_ceil(4)) {
        std::fs::write(folders[0].join(file), flipped(&bytes, *position, 0x80)).unwrap();
        for args in
            [vec!["audit", "--data-dir", &folder], vec!["serve", "--data-dir", &folder, "--listen", "127.0.0.1:0"]]
        {
            if args[0] == "serve" && file.starts_with("keys/") {
                continue; // read when the asset is asked for
            }
            let line = one_line(&sealgate_plain(&args));
            assert!(line.contains(&name), "{args:?}, byte {position}: {line}");
        }
    }
    std::fs::remove_file(folders[0].join(file)).unwrap();
    let line = one_line(&audit(&folders[0]));
    assert!(line.contains(&name), "missing: {line}");
    std::fs::write(folders[0].join(file), &bytes[..bytes.len() / 2]).unwrap();
    let line = one_line(&audit(&folders[0]));
    assert!(line.contains(&name), "cut: {line}");
    std::fs::write(folders[0].join(file), &bytes).unwrap();
    assert_eq!(audit(&folders[0]).code, 0);
    none("wrong verdicts", wrong);
}

fn length(world: &World, file: &str) -> usize {
    std::fs::metadata(world.dir.path().join("owner").join(file)).unwrap().len() as usize
}

#[test]
fn each_bit_of_the_root_key_counts() {
    let world = World::with(&Table::shops(5));
    let positions: Vec<usize> = (0..length(&world, "root.key")).collect();
    each_flip_is_named(&world, "root.key", &positions, &[1, 0x20]);
}

#[test]
fn each_bit_of_an_asset_s_keys_counts() {
    let world = World::with(&Table::shops(5));
    let file = files_under(&world.dir.path().join("owner/keys")).pop().unwrap();
    let file = format!("keys/{}", file.file_name().unwrap().display());
    let positions: Vec<usize> = (0..length(&world, &file)).step_by(5).collect();
    each_flip_is_named(&world, &file, &positions, &[]);
}

#[test]
fn each_bit_of_the_account_counts() {
    let world = World::with(&Table::shops(5));
    let positions: Vec<usize> = (0..length(&world, "account.key")).collect();
    each_flip_is_named(&world, "account.key", &positions, &[]);
}

#[test]
fn the_parameters_are_those_of_the_genesis_to_the_bit() {
    let world = World::with(&Table::shops(5));
    for circuit in ["record-15-slots-4", "record-31-slots-4"] {
        let file = format!("parameters/{circuit}.vk");
        let size = length(&world, &file);
        each_flip_is_named(&world, &file, &(0..size).step_by(41).collect::<Vec<_>>(), &[]);
        let file = format!("parameters/{circuit}.pk");
        let size = length(&world, &file);
        let mut positions: Vec<usize> = (0..64).step_by(7).collect();
        positions.extend((64..size).step_by(size / 25));
        positions.push(size - 1);
        each_flip_is_named(&world, &file, &positions, &[]);
    }
}

// ---- a requester's home

#[test]
fn a_home_s_account_and_memory_are_guarded() {
    let Story { world, .. } = story();
    let home = PathBuf::from(world.path("requester"));
    let account = home.join("account.key");
    let bytes = std::fs::read(&account).unwrap();
    let mut wrong = Vec::new();
    for position in 0..bytes.len() {
        let bit = bit_of(position);
        std::fs::write(&account, flipped(&bytes, position, bit)).unwrap();
        match Home::at(&home).account() {
            Err(error) if error.to_string().contains("account.key") => {}
            Err(error) => wrong.push(format!("{}: {error}", place(&bytes, position, bit))),
            Ok(_) if changes_nothing(&bytes, position, bit) => {}
            Ok(_) => wrong.push(format!("not noticed: {}", place(&bytes, position, bit))),
        }
    }
    std::fs::write(&account, &bytes).unwrap();
    let file = world.path("present.json");
    let ledger = home.join("ledgers").join(&world.fingerprint);
    for name in ["checkpoint", "seen"] {
        let path = ledger.join(name);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, b"\0\0\0\0").unwrap();
        let server = world.serve();
        let line = one_line(&sealgate_plain(&["audit", "--gateway", &server.url, "--home", &world.path("requester")]));
        assert!(line.contains(&path.display().to_string()) && line.contains("damaged"), "{line}");
        std::fs::write(&path, &bytes).unwrap();
    }
    let checkpoint = ledger.join("checkpoint");
    let bytes = std::fs::read(&checkpoint).unwrap();
    let server = world.serve();
    for position in (0..bytes.len()).step_by(bytes.len() / 20) {
        std::fs::write(&checkpoint, flipped(&bytes, position, bit_of(position))).unwrap();
        let plain = sealgate_plain(&["trail", "--gateway", &server.url, "--home", &world.path("requester")]);
        let line = one_line(&plain);
        assert!(line.contains("checkpoint"), "{line}");
    }
    std::fs::write(&checkpoint, &bytes).unwrap();
    assert_eq!(sealgate_plain(&["verify", "--home", &world.path("requester"), &file]).code, 0);
    assert_eq!(text(&world.trail(&server.url, "requester")[0]["asset_name"]), "shop");
    none("wrong verdicts", wrong);
}
