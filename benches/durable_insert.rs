//! What inserts cost on a real file, with the time of the syncs kept apart.
//!
//! `cargo bench --bench durable_insert -- FILE COLLECTION VECTORS.npy` copies FILE (u64 keys, no payload, built)
//! beside itself, inserts rows of VECTORS.npy (f4 or u1) under new keys, one a transaction and then 1,000 a
//! transaction, checks that each is found, and prints medians.

mod npy;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use npy::Rows;
use redknot::{Database, Disk};
use redknot_storage::FileDisk;

const SINGLE: usize = 300;
const BATCHES: usize = 5;
const BATCH: usize = 1000;

/// A file whose syncs are timed.
#[derive(Debug)]
struct TimedDisk {
    file: FileDisk,
    sync_ns: Arc<AtomicU64>,
}

impl Disk for TimedDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        let start = Instant::now();
        let synced = self.file.sync();
        self.sync_ns.fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
        synced
    }
    fn file(&self) -> Option<&File> {
        self.file.file()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [file, name, vectors] = args.as_slice() else {
        // `cargo bench` without arguments runs every bench: this one has nothing to work on then.
        println!("usage: cargo bench --bench durable_insert -- FILE COLLECTION VECTORS.npy");
        return Ok(());
    };
    let rows = Rows::read(Path::new(vectors))?;
    let copy = PathBuf::from(format!("{file}.copy"));
    std::fs::copy(file, &copy)?;
    let sync_ns = Arc::new(AtomicU64::new(0));
    let disk = TimedDisk { file: FileDisk::open(&copy)?, sync_ns: sync_ns.clone() };
    let db = Database::builder().idle_commit(None).on_disk(Arc::new(disk))?;
    warm_up(&db, name, &rows)?;
    let first = 1u64 << 40;
    let mut single = Vec::new();
    let mut syncs = Vec::new();
    for i in 0..SINGLE {
        let (before, start) = (sync_ns.load(Relaxed), Instant::now());
        let mut txn = db.begin_write()?;
        txn.open_collection_named::<u64, ()>(name)?.insert(first + i as u64, rows.row(i % rows.len()), ())?;
        txn.commit()?;
        let sync = (sync_ns.load(Relaxed) - before) as f64 / 1e6;
        syncs.push(sync);
        single.push(start.elapsed().as_secs_f64() * 1e3 - sync);
    }
    let mut rates = Vec::new();
    for batch in 0..BATCHES {
        let start = Instant::now();
        let mut txn = db.begin_write()?;
        let mut collection = txn.open_collection_named::<u64, ()>(name)?;
        for i in 0..BATCH {
            let at = SINGLE + batch * BATCH + i;
            collection.insert(first + at as u64, rows.row(at % rows.len()), ())?;
        }
        txn.commit()?;
        rates.push(BATCH as f64 / start.elapsed().as_secs_f64());
    }
    let inserted = SINGLE + BATCHES * BATCH;
    let found = check(&db, name, &rows, first, inserted)?;
    println!(
        "{{\"single_software_ms\": {:.3}, \"single_sync_ms\": {:.3}, \"batch_rows_per_second\": {:.0}, \"inserted\": {inserted}, \"found\": {found}}}",
        median(&mut single),
        median(&mut syncs),
        median(&mut rates)
    );
    drop(db);
    std::fs::remove_file(copy)?;
    Ok(())
}

/// Touches most blocks of the file: what is timed is the steady state, not the first look at each block.
fn warm_up(db: &Database, name: &str, rows: &Rows) -> Result<(), redknot::Error> {
    let collection = db.begin_read()?.open_collection_named::<u64, ()>(name)?;
    for i in 0..rows.len().min(4000) {
        collection.search(rows.row(i)).k(10).ef(200).run()?;
    }
    Ok(())
}

/// How many of the inserted rows a search for their own vector finds.
fn check(
    db: &Database,
    name: &str,
    rows: &Rows,
    first: u64,
    inserted: usize,
) -> Result<usize, redknot::Error> {
    let collection = db.begin_read()?.open_collection_named::<u64, ()>(name)?;
    let mut found = 0;
    for i in 0..inserted {
        let result = collection.search(rows.row(i % rows.len())).k(10).ef(200).run()?;
        let key = first + i as u64;
        found += usize::from(result.hits.iter().any(|hit| hit.key == key || hit.distance == 0.0));
    }
    Ok(found)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
