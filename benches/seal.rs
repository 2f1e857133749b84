//! Sealing and committing a table: ours beside the sum of its parts alone (commitments, places,
//! the tree's hashes, AES-256-GCM over as many bytes), each on all cores.

#[path = "store/parts.rs"]
mod parts;

use std::cell::Cell;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use parts::{CHUNK_ROWS, Prepared};
use rayon::prelude::*;
use sealgate_benches::{Cost, Fault, Run, times};
use sealgate_circuits::place::PlaceSecret;
use sealgate_circuits::record::RecordHasher;
use sealgate_circuits::tree::{Leaf, Subtree, branch, build};
use sealgate_ods::{
    AssetKeys, AssetLabel, CipherSuite, HashAlgorithm, SealRequest, ShareManifest, Store, seal_table, silent, source,
};

const COLUMNS: [(&str, &str); 15] = [
    ("Id", "int"),
    ("Licence", "text"),
    ("Status", "text"),
    ("Trade", "text"),
    ("House", "int"),
    ("Street", "text"),
    ("Area", "text"),
    ("City", "text"),
    ("Fee", "decimal(2)"),
    ("Employees", "int"),
    ("Active", "bool"),
    ("Issued", "date"),
    ("Expires", "date"),
    ("Updated", "timestamp"),
    ("Remark", "text"),
];
fn main() -> Result<(), Fault> {
    let run = Run::begin("seal", 3);
    let rows = run.size("SEALGATE_BENCH_ROWS", 20_000, 200);
    let folder = tempfile::tempdir()?;
    let csv = table(rows);
    std::fs::write(folder.path().join("table.csv"), &csv)?;
    println!("# {} columns, {:.1} MB of CSV, in {}", COLUMNS.len(), csv.len() as f64 / 1e6, folder.path().display());
    let manifest = manifest(folder.path())?;
    let schema = manifest.schema();
    let keys = Arc::new(AssetKeys::generate(AssetLabel::new("bench")?)?);
    let secret = PlaceSecret::from_seed(*keys.place_seed());
    let hasher = RecordHasher::new(&schema);
    let read = || parts::rows_of(&mut *source::open(&manifest)?, usize::MAX);
    let prepared = parts::prepare(read()?, &schema, &keys)?;
    let leaves = leaves(&prepared, &hasher, &secret)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let sealed_bytes = Cell::new(0);

    println!("\nthe whole table");
    let [ours, csv, commits, places, tree, gcm] = run.race([
        (
            "seal_table",
            Box::new(|| {
                let request = request(folder.path(), &manifest, &keys)?;
                Cost::of(|| {
                    let version = runtime.block_on(seal_table(request))?;
                    sealed_bytes.set(version.bytes_written);
                    // The root has a leaf of no record; that the rest is right is a test's to say.
                    let whole = version.records == leaves.len() as u64;
                    if whole { Ok(()) } else { Err("seal_table lost records".into()) }
                })
            }),
        ),
        ("reading the CSV (not among the parts)", Box::new(|| Cost::of(|| read().map(drop)))),
        ("part: commitments", Box::new(|| parts::commitments(&prepared, &hasher))),
        ("part: places", Box::new(|| parts::places(&prepared, &secret))),
        (
            "part: tree hashes",
            Box::new(|| {
                Cost::of(|| {
                    black_box(build_on_all_cores(&leaves));
                    Ok(())
                })
            }),
        ),
        (
            "part: AES-256-GCM",
            Box::new(|| {
                let chunks = rows.div_ceil(CHUNK_ROWS) * COLUMNS.len();
                let bytes = usize::try_from(sealed_bytes.get())?;
                parts::gcm(chunks, bytes / chunks)
            }),
        ),
    ])?;
    let parts: Cost = [commits, places, tree, gcm].into_iter().sum();
    println!(
        "  {:.0} rows a second; {:.1} MB sealed",
        rows as f64 / ours.wall.as_secs_f64(),
        sealed_bytes.get() as f64 / 1e6
    );
    run.ratio("seal.wall", times(parts.wall, ours.wall), "speed in units of its parts' alone; 0.6 is wanted");
    run.ratio("seal.cpu", times(parts.cpu, ours.cpu), "the same in CPU time");
    for (name, part) in [("commitments", commits), ("places", places), ("tree", tree), ("gcm", gcm), ("csv", csv)] {
        run.ratio(&format!("seal.share.{name}"), times(part.cpu, ours.cpu), format!("{name}: share of the CPU time"));
    }
    Ok(())
}

fn table(rows: usize) -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let mut text = names.join(",") + "\n";
    for i in 0..rows {
        let (status, area, day) = (i % 5, i * 7 % 24, i % 28 + 1);
        let _ = writeln!(
            text,
            "{i},25-{i:06},status {status},Trade number {},{},\"{} Street, West\",Area {area},Vancouver,{}.{:02},{},{},2024-03-{day:02},2025-12-31,2025-01-{day:02}T09:30:00Z,Remark {i} of the clerk",
            i % 300,
            i % 9000,
            i % 700,
            i % 4000,
            i % 100,
            i % 60,
            i % 3 == 0,
        );
    }
    text
}

fn manifest(folder: &Path) -> Result<ShareManifest, Fault> {
    let mut text = "[asset]\nname='bench'\ntitle='Bench'\n[source]\nkind='csv'\npath='table.csv'\n".to_owned();
    text.push_str("[key]\ncolumns=['Id']\n");
    for (name, kind) in COLUMNS {
        let _ = writeln!(text, "[[column]]\nname='{name}'\ntype='{kind}'");
    }
    Ok(ShareManifest::parse(&text, &folder.join("share.toml"))?)
}

fn request(folder: &Path, manifest: &ShareManifest, keys: &Arc<AssetKeys>) -> Result<SealRequest, Fault> {
    Ok(SealRequest {
        source: Some(source::open(manifest)?),
        previous: None,
        suite: CipherSuite::default(),
        hash: HashAlgorithm::default(),
        rejected: None,
        schema: manifest.schema(),
        keys: Arc::clone(keys),
        store: Store::local(&folder.join("store"))?,
        spill_dir: folder.join("spill"),
        version: 1,
        progress: silent(),
    })
}

fn leaves(rows: &[Prepared], hasher: &RecordHasher, secret: &PlaceSecret) -> Result<Vec<Leaf>, Fault> {
    let leaf = |row: &Prepared| -> Result<Leaf, Fault> {
        Ok(Leaf { place: secret.place(&row.key_bytes), commitment: hasher.commit(&row.values, &row.salt)? })
    };
    let mut leaves: Vec<Leaf> = rows.par_iter().map(leaf).collect::<Result<_, _>>()?;
    leaves.sort();
    Ok(leaves)
}

fn build_on_all_cores(sorted: &[Leaf]) -> Subtree {
    let (left, right) = sorted.split_at(sorted.partition_point(|leaf| !branch(&leaf.place, 0)));
    let (left, right) = rayon::join(|| build(left, 1), || build(right, 1));
    Subtree::combine(left, right)
}
