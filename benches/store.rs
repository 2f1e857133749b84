//! Sealing tables of real size, each in a process of its own: records a second beside commitments, places
//! and AES-256-GCM alone, memory at its highest, a small change in a large table, whole columns beside
//! reading and decrypting alone.

#[path = "store/parts.rs"]
mod parts;
#[path = "store/tables.rs"]
mod tables;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sealgate_benches::{Cost, Fault, Run, highest_resident_bytes, times};
use sealgate_circuits::place::PlaceSecret;
use sealgate_circuits::record::RecordHasher;
use sealgate_ods::table::open_segment;
use sealgate_ods::{
    AssetKeys, AssetLabel, CipherSuite, HashAlgorithm, SealRequest, SealedTable, SealedVersion, Source, Store,
    seal_table, silent,
};
use tables::{Changed, Table};

/// Names the table that a child process seals.
const CHILD: &str = "SEALGATE_BENCH_CHILD";
/// Rows of which the parts alone are measured.
const SAMPLE_ROWS: usize = 20_000;
/// Rows that change before the second version.
const CHANGED_ROWS: u64 = 10;

fn main() -> Result<(), Fault> {
    if let Ok(word) = std::env::var(CHILD) {
        return child(&Table::of_word(&word).ok_or("no such table")?);
    }
    let run = Run::begin("store", 1);
    let rows = run.size("SEALGATE_BENCH_ROWS", 200_000, 2_000);
    let small = measure(&run, &Table::Generated((rows / 4).max(1)), false)?;
    let large = measure(&run, &Table::Generated(rows), true)?;
    run.ratio(
        "store.memory",
        large.number("memory")? / small.number("memory")?,
        "highest memory / that of a quarter of the rows; 1 is bounded",
    );
    run.ratio(
        "store.growth",
        large.a_record("seal")? / small.a_record("seal")?,
        "time a record / that in a quarter of the rows; 1 is linear",
    );
    for table in [Table::Villages, Table::Flights] {
        match table.file().filter(|file| file.is_file() && run.is_full()) {
            Some(_) => drop(measure(&run, &table, true)?),
            None => println!("\n{}: skipped, its file is not there or the run is quick", table.word()),
        }
    }
    Ok(())
}

/// Lets a child seal the table and prints what it measured.
fn measure(run: &Run, table: &Table, ratios: bool) -> Result<Measured, Fault> {
    let output = Command::new(std::env::current_exe()?).env(CHILD, table.word()).output()?;
    if !output.status.success() {
        return Err(format!("{}: {}", table.word(), String::from_utf8_lossy(&output.stderr)).into());
    }
    let measured = Measured(String::from_utf8(output.stdout)?);
    let name = table.word();
    let name = name.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let (seal, sync) = (measured.cost("seal")?, measured.cost("sync")?);
    println!(
        "\n{name}: {} records in {:.1} s, {:.0} a second; {:.1} MB sealed; {:.0} MB of memory at most",
        measured.number("records")?,
        seal.wall.as_secs_f64(),
        measured.number("records")? / seal.wall.as_secs_f64(),
        measured.number("bytes")? / 1e6,
        measured.number("memory")? / 1e6,
    );
    println!(
        "  {CHANGED_ROWS} records changed: {:.2} s, {:.1} MB written, of which {} segments",
        sync.wall.as_secs_f64(),
        measured.number("sync_bytes")? / 1e6,
        measured.number("sync_segments")?,
    );
    if !ratios {
        return Ok(measured);
    }
    let parts: Cost =
        ["commitments", "places", "gcm"].map(|part| measured.cost(part)).into_iter().sum::<Result<_, _>>()?;
    run.ratio(
        &format!("store.{name}.wall"),
        times(parts.wall, seal.wall),
        "speed in units of commitments, places and AES-256-GCM alone",
    );
    run.ratio(&format!("store.{name}.cpu"), times(parts.cpu, seal.cpu), "the same in CPU time");
    for part in ["commitments", "places", "gcm"] {
        let share = times(measured.cost(part)?.cpu, seal.cpu);
        run.ratio(&format!("store.{name}.share.{part}"), share, format!("{part}: share of the CPU time"));
    }
    run.ratio(
        &format!("store.{name}.change"),
        times(sync.cpu, seal.cpu),
        format!("CPU time of a version with {CHANGED_ROWS} changed records / of the first"),
    );
    run.ratio(
        &format!("store.{name}.change_of_reading"),
        times(sync.cpu, measured.cost("reading")?.cpu),
        "the same / reading the source alone",
    );
    run.ratio(
        &format!("store.{name}.column"),
        times(measured.cost("column_alone")?.wall, measured.cost("column")?.wall),
        "speed of opening a whole column, every check made / reading and decrypting its bytes alone",
    );
    Ok(measured)
}

/// What a child printed: lines of a name and numbers.
struct Measured(String);

impl Measured {
    fn numbers(&self, name: &str) -> Result<Vec<f64>, Fault> {
        let line = self.0.lines().find_map(|line| line.strip_prefix("= ")?.strip_prefix(name)?.strip_prefix(' '));
        let line = line.ok_or_else(|| format!("the child does not tell '{name}'"))?;
        Ok(line.split(' ').map(str::parse).collect::<Result<_, _>>()?)
    }

    fn number(&self, name: &str) -> Result<f64, Fault> {
        Ok(self.numbers(name)?.first().copied().unwrap_or_default())
    }

    fn cost(&self, name: &str) -> Result<Cost, Fault> {
        match self.numbers(name)?.as_slice() {
            [wall, cpu] => Ok(Cost { wall: Duration::from_secs_f64(*wall), cpu: Duration::from_secs_f64(*cpu) }),
            _ => Err(format!("'{name}' is no cost").into()),
        }
    }

    fn a_record(&self, name: &str) -> Result<f64, Fault> {
        Ok(self.cost(name)?.wall.as_secs_f64() / self.number("records")?.max(1.0))
    }
}

fn tell(name: &str, cost: Cost) {
    println!("= {name} {} {}", cost.wall.as_secs_f64(), cost.cpu.as_secs_f64());
}

/// Everything about one table, in this process.
fn child(table: &Table) -> Result<(), Fault> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let keys = Arc::new(AssetKeys::generate(AssetLabel::new("bench")?)?);
    let store = Store::local(&folder.path().join("store"))?;
    let schema = table.manifest()?.schema();
    let request = |source: Box<dyn Source>, previous: Option<&SealedVersion>| SealRequest {
        source: Some(source),
        previous: previous.map(|version| version.reference),
        schema: schema.clone(),
        suite: CipherSuite::default(),
        hash: HashAlgorithm::default(),
        keys: Arc::clone(&keys),
        store: store.clone(),
        spill_dir: folder.path().join("spill"),
        version: previous.map_or(1, |version| version.version + 1),
        rejected: None,
        progress: silent(),
    };
    let seal = |source, previous: Option<&SealedVersion>| -> Result<(Cost, SealedVersion), Fault> {
        let (request, mut version) = (request(source, previous), None);
        let cost = Cost::of(|| {
            version = Some(runtime.block_on(seal_table(request))?);
            Ok(())
        })?;
        Ok((cost, version.ok_or("nothing was sealed")?))
    };
    let (cost, first) = seal(table.open()?, None)?;
    tell("seal", cost);
    println!("= records {}\n= bytes {}\n= memory {}", first.records, first.bytes_written, highest_resident_bytes());

    let each = (first.records / CHANGED_ROWS).max(1);
    let changed = Changed { source: table.open()?, column: table.text_column(), each };
    let (cost, second) = seal(Box::new(changed), Some(&first))?;
    tell("sync", cost);
    println!("= sync_bytes {}\n= sync_segments {}", second.bytes_written, second.changes.segments_written);
    if second.changes.changed == 0 || second.changes.changed > 2 * CHANGED_ROWS {
        return Err(format!("{} records changed", second.changes.changed).into());
    }

    parts_alone(table, &keys, &first)?;
    let opened =
        runtime.block_on(SealedTable::open(store.clone(), Arc::clone(&keys), schema.clone(), &second.reference))?;
    whole_column(&runtime, &opened, &keys, table.text_column())
}

fn parts_alone(table: &Table, keys: &AssetKeys, version: &SealedVersion) -> Result<(), Fault> {
    let schema = table.manifest()?.schema();
    let reading = Cost::of(|| {
        let mut source = table.open()?;
        while source.next()?.is_some() {}
        Ok(())
    })?;
    tell("reading", reading);
    let prepared = parts::prepare(parts::rows_of(&mut *table.open()?, SAMPLE_ROWS)?, &schema, keys)?;
    let scale = version.records as f64 / prepared.len().max(1) as f64;
    let scaled = |cost: Cost| Cost { wall: cost.wall.mul_f64(scale), cpu: cost.cpu.mul_f64(scale) };
    tell("commitments", scaled(parts::commitments(&prepared, &RecordHasher::new(&schema))?));
    tell("places", scaled(parts::places(&prepared, &PlaceSecret::from_seed(*keys.place_seed()))?));
    let chunks = prepared.len().div_ceil(parts::CHUNK_ROWS) * schema.columns.len();
    let bytes = version.bytes_written as f64 / scale / chunks.max(1) as f64;
    tell("gcm", scaled(parts::gcm(chunks, bytes as usize)?));
    Ok(())
}

/// A column as a requester opens it, and its bytes read and decrypted without any check.
fn whole_column(
    runtime: &tokio::runtime::Runtime,
    table: &SealedTable,
    keys: &AssetKeys,
    column: u8,
) -> Result<(), Fault> {
    let (segments, segment_keys) = (table.column_segments(column)?, table.segment_keys(column)?);
    let kind = table.schema().at(column).ok_or("no such column")?.kind;
    let (suite, hash) = (CipherSuite::default(), HashAlgorithm::default());
    let mut values = 0;
    let opening = Cost::of(|| {
        for (position, (segment, key)) in segments.iter().zip(&segment_keys).enumerate() {
            let object = runtime.block_on(table.read_segment(column, position, 0, segment.bytes))?;
            values += open_segment(keys.label(), suite, hash, column, kind, segment, key, &object)?.len() as u64;
        }
        Ok(())
    })?;
    if values != table.records() {
        return Err(format!("the column has {values} values").into());
    }
    tell("column", opening);
    let mut alone = Cost::of(|| {
        for (position, segment) in segments.iter().enumerate() {
            runtime.block_on(table.read_segment(column, position, 0, segment.bytes))?;
        }
        Ok(())
    })?;
    // Opening is done by one thread, segment after segment: so is this.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let chunks: usize = segments.iter().map(|segment| (segment.rows as usize).div_ceil(parts::CHUNK_ROWS)).sum();
    let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let decrypting = pool.install(|| parts::gcm(chunks, (bytes / chunks.max(1) as u64) as usize))?;
    alone = [alone, decrypting].into_iter().sum();
    tell("column_alone", alone);
    Ok(())
}
