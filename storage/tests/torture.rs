//! Readers hold snapshots and check what they see without pause while a writer overwrites, deletes, grows, cuts,
//! gives up and compacts. Every row says which array, row and version it is, and each reader knows which version
//! its snapshots must show. The control drops the pin and keeps the addresses: then bad rows must be seen.
//!
//! `REDKNOT_TORTURE_SECONDS=600 cargo test --release -p redknot-storage --test torture -- --nocapture` runs longer.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]
#![cfg(unix)]

mod model;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use model::setting;
use redb::TableDefinition;
use redknot_storage::unpinned::Unpinned;
use redknot_storage::{ArrayId, ArraySpec, Disk, Error, Kind, Options, PageSize, Snapshot, Storage, View};

const RAW_BLOCKS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("redknot.blocks");
const BLOCK_HEADER: usize = 44;
const READERS: u64 = 3;
const ARRAYS: usize = 6;

/// A file without syncs, so that commits are fast: what is durable is for other suites.
#[derive(Debug)]
struct FastDisk {
    file: File,
    len: AtomicU64,
    /// Only pretend to cut the file: without a pin, readers would run into SIGBUS.
    keep_tail: bool,
    cuts: AtomicU64,
}

impl FastDisk {
    fn new(keep_tail: bool) -> FastDisk {
        let file = tempfile::tempfile().unwrap();
        FastDisk { file, len: AtomicU64::new(0), keep_tail, cuts: AtomicU64::new(0) }
    }
}

impl Disk for FastDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len.load(Relaxed))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let shorter = len < self.len.swap(len, Relaxed);
        self.cuts.fetch_add(shorter.into(), Relaxed);
        if !(self.keep_tail && len < self.file.metadata()?.len()) {
            self.file.set_len(len)?;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }
}

/// Arrays with the version of each of their rows.
type Versions = Vec<(ArrayId, ArraySpec, Vec<u64>)>;

/// Bytes of a row: for a CSR row, as many as the version asks for.
fn row(id: ArrayId, spec: &ArraySpec, number: usize, version: u64) -> Vec<u8> {
    let bytes = match spec.kind() {
        Kind::Rows => spec.unit_bytes(),
        Kind::Csr => spec.unit_bytes() * (2 + version as usize % 40),
    };
    let mut rng = Rng::with_seed(version ^ (id.0 << 48) ^ ((number as u64) << 24));
    (0..bytes).map(|_| rng.u8(..)).collect()
}

struct Held {
    /// `None` in the control.
    snapshot: Option<Arc<Snapshot>>,
    unpinned: Option<Unpinned>,
    versions: Arc<Versions>,
}

impl Held {
    fn row(&self, array: usize, number: usize) -> Result<&[u8], Error> {
        fn read(view: &impl View, id: ArrayId, kind: Kind, number: u32) -> Result<&[u8], Error> {
            match kind {
                Kind::Rows => view.rows(id)?.get(number),
                Kind::Csr => view.csr(id)?.get(number),
            }
        }
        let (id, spec, _) = &self.versions[array];
        match (&self.snapshot, &self.unpinned) {
            (Some(snapshot), _) => read(&**snapshot, *id, spec.kind(), number as u32),
            (None, Some(unpinned)) => read(unpinned, *id, spec.kind(), number as u32),
            (None, None) => unreachable!("a held state is one or the other"),
        }
    }

    fn is_right(&self, array: usize, number: usize) -> bool {
        let (id, spec, versions) = &self.versions[array];
        let expected = row(*id, spec, number, versions[number]);
        self.row(array, number).is_ok_and(|found| found == expected)
    }
}

#[derive(Default)]
struct Counts {
    commits: AtomicU64,
    aborts: AtomicU64,
    compactions: AtomicU64,
    refused_compactions: AtomicU64,
    snapshots: AtomicU64,
    checks: AtomicU64,
    redb_checks: AtomicU64,
    bad: AtomicU64,
}

struct Torture {
    storage: Storage,
    published: Mutex<(Arc<Snapshot>, Arc<Versions>)>,
    stop: AtomicBool,
    counts: Counts,
    pinned: bool,
}

impl Torture {
    fn read(&self, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let mut held: Vec<Held> = Vec::new();
        while !self.stop.load(Relaxed) {
            if held.is_empty() || (held.len() < 4 && rng.u8(..30) == 0) {
                held.extend(self.hold());
            }
            if held.len() > 1 && rng.u8(..60) == 0 {
                held.swap_remove(rng.usize(..held.len()));
            }
            // Compaction needs a moment without any snapshot.
            if rng.u16(..400) == 0 {
                held.clear();
                std::thread::yield_now();
                continue;
            }
            let Some(state) = held.get(rng.usize(..held.len().max(1))) else { continue };
            for _ in 0..16 {
                let array = rng.usize(..ARRAYS);
                let (_, spec, versions) = &state.versions[array];
                // Without a pin the lengths in a CSR block may be anything: slicing by them would panic.
                if !self.pinned && spec.kind() == Kind::Csr {
                    continue;
                }
                let rows = versions.len();
                if rows > 0 && !state.is_right(array, rng.usize(..rows)) {
                    self.counts.bad.fetch_add(1, Relaxed);
                }
                self.counts.checks.fetch_add(1, Relaxed);
            }
            if let Some(snapshot) = &state.snapshot
                && rng.u8(..20) == 0
            {
                self.compare_with_redb(snapshot, &state.versions[rng.usize(..ARRAYS)]);
            }
        }
    }

    fn hold(&self) -> Option<Held> {
        let (snapshot, versions) = self.published.lock().unwrap().clone();
        self.counts.snapshots.fetch_add(1, Relaxed);
        if self.pinned {
            return Some(Held { snapshot: Some(snapshot), unpinned: None, versions });
        }
        // SAFETY: none: this is the control. The disk keeps the tail of the file, so the reads stay in the map.
        #[expect(unsafe_code, reason = "the control reads pages that nothing pins")]
        let unpinned = unsafe { Unpinned::of(&snapshot) }.ok()?;
        Some(Held { snapshot: None, unpinned: Some(unpinned), versions })
    }

    /// Every row of one array as it lies in the map, against what redb reads.
    fn compare_with_redb(&self, snapshot: &Snapshot, array: &(ArrayId, ArraySpec, Vec<u64>)) {
        let (id, spec, versions) = array;
        if spec.kind() != Kind::Rows {
            return;
        }
        let table = snapshot.open_table(RAW_BLOCKS).unwrap();
        for block in 0..spec.blocks(versions.len() as u32) as u32 {
            let run = snapshot.rows(*id).unwrap().run(block * spec.rows_per_block()).unwrap();
            let value = table.get((id.0, block)).unwrap().unwrap();
            assert!(value.value()[BLOCK_HEADER..].starts_with(run), "block {block} of array {id}");
            self.counts.redb_checks.fetch_add(1, Relaxed);
        }
    }

    fn write(&self, seed: u64, until: Instant) {
        let mut rng = Rng::with_seed(seed);
        let mut version = 1;
        while Instant::now() < until {
            let mut next = (*self.published.lock().unwrap().1).clone();
            if rng.u8(..40) == 0 {
                self.compact();
                continue;
            }
            version += 1;
            let mut txn = self.storage.begin_write().unwrap();
            for _ in 0..rng.usize(1..6) {
                change(&mut rng, &mut txn, &mut next, version);
            }
            if rng.u8(..10) == 0 {
                txn.abort().unwrap();
                self.counts.aborts.fetch_add(1, Relaxed);
                continue;
            }
            txn.commit().unwrap();
            self.counts.commits.fetch_add(1, Relaxed);
            *self.published.lock().unwrap() = (self.storage.snapshot().unwrap(), Arc::new(next));
        }
        self.stop.store(true, Relaxed);
    }

    fn compact(&self) {
        let mut published = self.published.lock().unwrap();
        let versions = published.1.clone();
        // The publication itself is a snapshot: what stands in for it meanwhile is of another database.
        let aside = Storage::on_disk(Arc::new(FastDisk::new(false)), &options()).unwrap();
        published.0 = aside.snapshot().unwrap();
        match self.storage.compact() {
            Ok(_) => self.counts.compactions.fetch_add(1, Relaxed),
            Err(Error::SnapshotsLive { .. }) => self.counts.refused_compactions.fetch_add(1, Relaxed),
            Err(error) => panic!("{error}"),
        };
        *published = (self.storage.snapshot().unwrap(), versions);
    }
}

/// Overwrites, appends to, cuts or replaces an array.
fn change(rng: &mut Rng, txn: &mut redknot_storage::WriteTxn, next: &mut Versions, version: u64) {
    let at = rng.usize(..ARRAYS);
    let (id, spec, versions) = &mut next[at];
    let put =
        |txn: &mut redknot_storage::WriteTxn, id: ArrayId, spec: &ArraySpec, number: usize, new: bool| {
            let bytes = row(id, spec, number, version);
            match (spec.kind(), new) {
                (Kind::Rows, true) => drop(txn.push_rows(id, &bytes).unwrap()),
                (Kind::Rows, false) => txn.set_row(id, number as u32, &bytes).unwrap(),
                (Kind::Csr, true) => drop(txn.push_csr_row(id, &bytes).unwrap()),
                (Kind::Csr, false) => txn.set_csr_row(id, number as u32, &bytes).unwrap(),
            }
        };
    match rng.u8(..12) {
        0 => {
            let rows = rng.usize(..=versions.len());
            txn.set_len(*id, rows as u32).unwrap();
            versions.truncate(rows);
        }
        1 => {
            txn.drop_array(*id).unwrap();
            *id = txn.create_array(*spec).unwrap();
            versions.clear();
        }
        2..=5 => {
            let most = (1 << 20) / spec.page().bytes() * spec.rows_per_block() as usize;
            for _ in 0..rng.usize(..400).min(most.saturating_sub(versions.len())) {
                put(txn, *id, spec, versions.len(), true);
                versions.push(version);
            }
        }
        _ => {
            for _ in 0..rng.usize(..40).min(versions.len()) {
                let number = rng.usize(..versions.len());
                put(txn, *id, spec, number, false);
                versions[number] = version;
            }
        }
    }
}

fn options() -> Options {
    // Maps that end with the file, so that each growth makes a new one.
    Options { cache_bytes: 4 << 20, reserve_bytes: 0, idle_commit: None, ..Options::default() }
}

fn run(pinned: bool) -> Torture {
    let seed = setting("REDKNOT_SEED", 1);
    let disk = Arc::new(FastDisk::new(!pinned));
    let storage = Storage::on_disk(disk.clone(), &options()).unwrap();
    let mut txn = storage.begin_write().unwrap();
    let specs = [
        ArraySpec::rows(64, PageSize::KIB_4),
        ArraySpec::rows(256, PageSize::from_order(2).unwrap()),
        ArraySpec::rows(512, PageSize::KIB_64),
        ArraySpec::rows(1024, PageSize::KIB_4),
        ArraySpec::csr(4, 16, PageSize::KIB_4),
        ArraySpec::csr(8, 4, PageSize::KIB_4),
    ];
    let versions: Versions = specs
        .map(|spec| spec.unwrap())
        .map(|spec| (txn.create_array(spec).unwrap(), spec, Vec::new()))
        .into();
    txn.commit().unwrap();
    let published = Mutex::new((storage.snapshot().unwrap(), Arc::new(versions)));
    let torture =
        Torture { storage, published, stop: AtomicBool::new(false), counts: Counts::default(), pinned };
    let until = Instant::now() + Duration::from_secs(setting("REDKNOT_TORTURE_SECONDS", 3));
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let torture = &torture;
            scope.spawn(move || torture.read(seed * 1000 + reader));
        }
        torture.write(seed, until);
    });
    let c = &torture.counts;
    println!(
        "seed {seed}, pinned {pinned}: {} commits, {} aborts, {} compactions ({} refused), {} cuts, {} snapshots; \
         {} rows checked, {} bad; {} blocks compared with redb",
        c.commits.load(Relaxed),
        c.aborts.load(Relaxed),
        c.compactions.load(Relaxed),
        c.refused_compactions.load(Relaxed),
        disk.cuts.load(Relaxed),
        c.snapshots.load(Relaxed),
        c.checks.load(Relaxed),
        c.bad.load(Relaxed),
        c.redb_checks.load(Relaxed),
    );
    torture
}

#[test]
fn pinned_snapshots_never_change() {
    let torture = run(true);
    assert_eq!(torture.counts.bad.load(Relaxed), 0);
    for seen in [&torture.counts.commits, &torture.counts.snapshots, &torture.counts.redb_checks] {
        assert!(seen.load(Relaxed) > 0);
    }
    assert_eq!(torture.storage.verify().unwrap(), []);
}

#[test]
fn snapshots_without_their_pin_are_caught() {
    let torture = run(false);
    assert!(torture.counts.bad.load(Relaxed) > 0);
}
