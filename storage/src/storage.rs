//! The handle of one open file.

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};
use redb::{Builder, StorageBackend};

use crate::btree::{self, Peeked};
use crate::check;
use crate::contain::{Contained, contain};
use crate::core::{Core, Redb};
use crate::disk::{Disk, FileDisk};
use crate::error::{Error, Result};
use crate::header::{self, HEADER_BYTES};
use crate::idle::Idle;
use crate::medium::{Backend, Medium};
use crate::options::Options;
use crate::snapshot::{ArrayChange, Snapshot};
use crate::tables::{
    ARRAYS, BLOCKS, FORMAT_VERSION, META, META_FORMAT, META_VERSION, format_record, parse_format,
};
use crate::write::WriteTxn;
use crate::{ArrayId, verify};

/// A smaller file is not compacted before it is closed.
const WORTH_COMPACTING: u64 = 16 << 20;

/// One open database file.
///
/// Any number of threads may read through snapshots while one writes. The file stays open, and locked, until
/// the handle, every snapshot and every transaction are dropped.
pub struct Storage {
    idle: Option<Idle>,
    engine: Arc<Engine>,
}

/// What the handle shares with its transactions.
pub(crate) struct Engine {
    current: RwLock<Option<Arc<Snapshot>>>,
    writer: Arc<Mutex<()>>,
    /// Commits made through this handle.
    commits: AtomicU64,
    /// Value of `commits` when redb's allocator state was last saved.
    saved: AtomicU64,
    /// Bytes that had been written when the file was last compacted.
    compacted: AtomicU64,
    /// Length of the file then, 0 if it was not.
    compact_bytes: AtomicU64,
    core: Arc<Core>,
}

/// Figures of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// True where blocks are read in the map, false where they are owned copies.
    pub reads_in_place: bool,
    /// Snapshots alive, the handle's own among them.
    pub live_snapshots: usize,
    /// Age of the oldest snapshot. Pages freed since it was taken cannot be reused.
    pub oldest_snapshot_age: Duration,
    /// Bytes that redb read from the disk since the file was opened (blocks read in the map are not counted).
    pub bytes_read: u64,
    /// Bytes written to the disk since the file was opened.
    pub bytes_written: u64,
    /// Syncs since the file was opened.
    pub syncs: u64,
}

impl Storage {
    /// Creates the file `path`, which must not exist.
    pub fn create(path: impl AsRef<Path>, options: &Options) -> Result<Storage> {
        let path = path.as_ref();
        options.validate()?;
        let disk = FileDisk::create_new(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.to_path_buf() },
            _ => Error::io("creating the database file")(error),
        })?;
        let created = Storage::on_disk_at(Arc::new(disk), options, path).and_then(|storage| {
            sync_directory(path)?;
            Ok(storage)
        });
        if created.is_err() {
            // Ours, made a moment ago, and not a database: leaving it would only be in the way.
            let _ = fs::remove_file(path);
        }
        created
    }

    /// Opens an existing file for reading and writing. A file that was not closed cleanly is repaired first.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Storage> {
        let path = path.as_ref();
        options.validate()?;
        let disk = FileDisk::open(path).map_err(not_found(path))?;
        if disk.is_empty().map_err(Error::io("reading the length of the file"))? {
            return Err(Error::NotRedknot { path: path.to_path_buf(), found: "it is empty".into() });
        }
        Storage::on_disk_at(Arc::new(disk), options, path)
    }

    /// Opens an existing file for reading. Several processes may do so while none has it open for writing.
    pub fn open_read_only(path: impl AsRef<Path>, options: &Options) -> Result<Storage> {
        let path = path.as_ref();
        options.validate()?;
        let disk = FileDisk::open_read_only(path).map_err(not_found(path))?;
        check_content(&disk, options, path)?;
        let medium = Medium::new(Arc::new(disk), options.reserve_bytes, !options.owned_blocks)
            .map_err(Error::io("reading the length of the file"))?;
        // redb's read-only handle takes the shared lock on a file handle of its own.
        Ok(contain("opening the file", || {
            let db = builder(options).open_read_only(path).map_err(Error::from_redb)?;
            let core = Core::new(Redb::ReadOnly(db), Arc::new(medium), options.clone(), path.to_path_buf());
            Storage::start(core, None)
        })?)
    }

    /// Opens the database on `disk`, or creates one where it is empty: the seam for tests that own the disk.
    pub fn on_disk(disk: Arc<dyn Disk>, options: &Options) -> Result<Storage> {
        options.validate()?;
        Storage::on_disk_at(disk, options, Path::new("(disk)"))
    }

    fn on_disk_at(disk: Arc<dyn Disk>, options: &Options, path: &Path) -> Result<Storage> {
        let fresh = disk.is_empty().map_err(Error::io("reading the length of the file"))?;
        if !fresh {
            check_content(&*disk, options, path)?;
        }
        let medium = Medium::new(disk, options.reserve_bytes, !options.owned_blocks)
            .map_err(Error::io("reading the length of the file"))?;
        let medium = Arc::new(medium);
        Ok(contain("opening the file", || {
            let db =
                builder(options).create_with_backend(Backend(medium.clone())).map_err(Error::from_redb)?;
            if fresh {
                initialise(&db)?;
            }
            let core = Core::new(Redb::Writable(db), medium, options.clone(), path.to_path_buf());
            Storage::start(core, options.idle_commit)
        })?)
    }

    fn start(core: Core, idle_commit: Option<Duration>) -> Result<Storage> {
        let core = Arc::new(core);
        check_format(&core)?;
        let first = Arc::new(Snapshot::open(&core)?);
        let engine = Arc::new(Engine {
            current: RwLock::new(Some(first)),
            writer: Arc::new(Mutex::new(())),
            commits: AtomicU64::new(0),
            saved: AtomicU64::new(0),
            compacted: AtomicU64::new(0),
            compact_bytes: AtomicU64::new(0),
            core,
        });
        let idle = idle_commit.map(|after| Idle::start(&engine, after)).transpose()?;
        Ok(Storage { idle, engine })
    }

    /// The last commit.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.engine.current()
    }

    /// Begins the write transaction, waiting until the one before has ended.
    pub fn begin_write(&self) -> Result<WriteTxn> {
        self.engine.begin_write()
    }

    /// As [`Storage::begin_write`], `None` where another write transaction is open.
    pub fn try_begin_write(&self) -> Result<Option<WriteTxn>> {
        let Some(writer) = self.engine.writer.try_lock_arc() else { return Ok(None) };
        WriteTxn::begin(self.engine.clone(), writer).map(Some)
    }

    /// Moves what is used to the front of the file and cuts the rest off; `true` if it got shorter. Waits for
    /// the write transaction to end; fails where a snapshot is alive.
    pub fn compact(&self) -> Result<bool> {
        self.engine.compact(self.engine.writer.lock())
    }

    /// Checks every block of every array, and what redb reads against what is read in place.
    pub fn verify(&self) -> Result<Vec<verify::Finding>> {
        verify::blocks(&*self.snapshot()?)
    }

    /// Has redb check every page of the file against its checksums, small tables included; `true` where all is
    /// well. Waits for the write transaction to end; fails where a snapshot is alive, on a read-only handle,
    /// and where a damaged page cannot be done without.
    pub fn check_integrity(&self) -> Result<bool> {
        self.engine.with_redb_alone(self.engine.writer.lock(), |db| {
            db.check_integrity().map_err(|error| match error {
                redb::DatabaseError::TransactionInProgress => self.engine.snapshots_live(),
                other => Error::from_redb(other),
            })
        })
    }

    /// Copies the last commit to the new file `path`, while writes go on.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::backup::run(&self.engine, path.as_ref())
    }

    /// Makes the commit of an idle moment now, for suites that cannot wait for one.
    #[cfg(feature = "test-disk")]
    #[doc(hidden)]
    pub fn make_idle_commit(&self) -> Result<()> {
        self.engine.save_allocator_state()
    }

    /// Figures of the open file.
    pub fn stats(&self) -> Result<Stats> {
        let core = &self.engine.core;
        let (live_snapshots, oldest_snapshot_age) = core.live_snapshots();
        Ok(Stats {
            file_bytes: self.engine.file_bytes()?,
            reads_in_place: self.snapshot()?.reads_in_place(),
            live_snapshots,
            oldest_snapshot_age,
            bytes_read: core.medium.counts.bytes_read.load(Relaxed),
            bytes_written: core.medium.counts.bytes_written.load(Relaxed),
            syncs: core.medium.counts.syncs.load(Relaxed),
        })
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // Its thread may be about to commit.
        self.idle.take();
        if let Err(error) = self.engine.compact_before_close() {
            tracing::warn!(%error, "the file could not be compacted before it was closed");
        }
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("path", &self.engine.core.path).finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn current(&self) -> Result<Arc<Snapshot>> {
        self.core.check_poison()?;
        // Absent only if compaction failed and could not read the file again.
        self.current
            .read()
            .clone()
            .ok_or_else(|| Error::Poisoned { cause: "compaction did not finish".into() })
    }

    fn begin_write(self: &Arc<Engine>) -> Result<WriteTxn> {
        let writer = self.writer.lock_arc();
        WriteTxn::begin(self.clone(), writer)
    }

    /// Begins the redb transaction; the caller holds the writer lock.
    pub(crate) fn begin_redb_write(&self) -> Result<redb::WriteTransaction> {
        self.core.check_poison()?;
        let txn = match &*self.core.redb.read() {
            Redb::Writable(db) => db.begin_write(),
            Redb::ReadOnly(_) => return Err(Error::ReadOnly),
        };
        txn.map_err(|error| self.note(Error::from_redb(error)))
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn note(&self, error: Error) -> Error {
        self.core.note(error)
    }

    pub(crate) fn poison(&self, cause: &Error) {
        self.core.poison(cause);
    }

    /// Makes the commit that followed `base` the current one. The caller holds the writer lock.
    pub(crate) fn publish(
        &self,
        base: &Snapshot,
        changes: &[ArrayChange],
        dropped: &[ArrayId],
    ) -> Result<()> {
        let next = Snapshot::after(base, changes, dropped).inspect_err(|error| self.poison(error))?;
        *self.current.write() = Some(Arc::new(next));
        self.commits.fetch_add(1, Relaxed);
        let (_, age) = self.core.live_snapshots();
        if age > self.core.options.snapshot_age_warning {
            tracing::warn!(
                age_s = age.as_secs(),
                "a snapshot is held for long: pages freed since cannot be reused"
            );
        }
        Ok(())
    }

    /// Commits nothing, durably, with redb's allocator state, so that the next open after a crash need not
    /// scan the file. Does nothing while somebody writes or if nothing was committed since.
    pub(crate) fn save_allocator_state(&self) -> Result<()> {
        let Some(_writer) = self.writer.try_lock() else { return Ok(()) };
        let commits = self.commits();
        if self.saved.load(Relaxed) == commits {
            return Ok(());
        }
        let mut txn = self.begin_redb_write()?;
        txn.set_quick_repair(true);
        txn.commit().map_err(|error| {
            let error = Error::from_redb(error);
            self.poison(&error);
            error
        })?;
        self.saved.store(commits, Relaxed);
        Ok(())
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Relaxed)
    }

    /// The current commit, the file header that names it and nothing else, and the length of the file.
    pub(crate) fn pin_for_copy(&self) -> Result<(Arc<Snapshot>, [u8; HEADER_BYTES], u64)> {
        let _writer = self.writer.lock();
        let snapshot = self.current()?;
        let disk = &self.core.medium.disk;
        let mut header = [0u8; HEADER_BYTES];
        disk.read(0, &mut header).map_err(Error::io("reading the file header"))?;
        let header = header::header_of_user_tables(&header)
            .ok_or_else(|| Error::corrupt("the file header cannot be read"))?;
        let bytes = disk.len().map_err(Error::io("reading the length of the file"))?;
        Ok((snapshot, header, bytes))
    }

    fn snapshots_live(&self) -> Error {
        // redb said so: at least one, though it may be gone by now.
        Error::SnapshotsLive { live: self.core.live_snapshots().0.max(1) }
    }

    fn compact(&self, writer: MutexGuard<'_, ()>) -> Result<bool> {
        let shorter = self.with_redb_alone(writer, |db| {
            db.compact().map_err(|error| match error {
                redb::CompactionError::TransactionInProgress => self.snapshots_live(),
                other => Error::from_redb(other),
            })
        })?;
        self.compacted.store(self.core.medium.counts.bytes_written.load(Relaxed), Relaxed);
        self.compact_bytes.store(self.file_bytes()?, Relaxed);
        Ok(shorter)
    }

    fn file_bytes(&self) -> Result<u64> {
        self.core.medium.disk.len().map_err(Error::io("reading the length of the file"))
    }

    /// Gives free space back after many changes. Moving pages costs no more than a few times what writing these
    /// changes did, however large the file is.
    fn compact_before_close(&self) -> Result<()> {
        let written = self.core.medium.counts.bytes_written.load(Relaxed) - self.compacted.load(Relaxed);
        let writable = matches!(&*self.core.redb.read(), Redb::Writable(_));
        if !writable || !self.core.options.compact_on_close || self.core.check_poison().is_err() {
            return Ok(());
        }
        let file_bytes = self.file_bytes()?;
        let compact_bytes = self.compact_bytes.load(Relaxed);
        // redb doubles a file that is full, and a page or two may lie in the new half.
        let grown = compact_bytes > 0 && file_bytes > compact_bytes + compact_bytes / 4;
        if file_bytes < WORTH_COMPACTING || (written < file_bytes / 4 && !grown) {
            return Ok(());
        }
        let Some(writer) = self.writer.try_lock() else { return Ok(()) };
        match self.compact(writer) {
            // The file stays open until they are dropped.
            Err(Error::SnapshotsLive { .. }) => Ok(()),
            compacted => compacted.map(|_| ()),
        }
    }

    /// Runs `work` with no writer and no snapshot of the handle's own, then reads the file anew.
    fn with_redb_alone<T>(
        &self,
        _writer: MutexGuard<'_, ()>,
        work: impl FnOnce(&mut redb::Database) -> Result<T>,
    ) -> Result<T> {
        self.core.check_poison()?;
        let mut current = self.current.write();
        let before = current.take();
        let live = self.core.live_snapshots().0 - usize::from(before.is_some());
        let shared = before.as_ref().is_some_and(|snapshot| Arc::strong_count(snapshot) > 1);
        if live > 0 || shared {
            *current = before;
            return Err(Error::SnapshotsLive { live: live.max(1) });
        }
        drop(before);
        let worked = match &mut *self.core.redb.write() {
            Redb::Writable(db) => contain("working on the whole file", || work(db)),
            Redb::ReadOnly(_) => Err(Contained::Returned(Error::ReadOnly)),
        };
        let result = match worked {
            Ok(done) => Ok(done),
            Err(Contained::Returned(error)) => Err(error),
            Err(Contained::Panicked(error)) => {
                // What redb holds in memory may be half changed: nothing is read through it any more.
                self.poison(&error);
                return Err(error);
            }
        };
        match Snapshot::open(&self.core) {
            Ok(snapshot) => *current = Some(Arc::new(snapshot)),
            Err(error) => self.poison(&error),
        }
        result.map_err(|error| self.note(error))
    }
}

pub(crate) fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    builder.set_repair_callback(|repair| {
        tracing::info!(progress = repair.progress(), "the file was not closed cleanly: repairing it");
    });
    builder
}

fn initialise(db: &redb::Database) -> Result<()> {
    let txn = db.begin_write().map_err(Error::from_redb)?;
    {
        let mut meta = txn.open_table(META)?;
        meta.insert(META_FORMAT, format_record().as_slice())?;
        meta.insert(META_VERSION, 0u64.to_le_bytes().as_slice())?;
        txn.open_table(ARRAYS)?;
        txn.open_table(BLOCKS)?;
    }
    txn.commit().map_err(Error::from_redb)
}

/// Refuses a file that is not ours, or is damaged, before redb reads it.
fn check_content(disk: &dyn Disk, options: &Options, path: &Path) -> Result<()> {
    check_identity(disk, path)?;
    if !options.check_on_open {
        return Ok(());
    }
    check::before_open(disk).map_err(|error| match error {
        // A writer at work looks like damage. Its lock tells; ours is given back, redb takes its own.
        Error::Corrupt { .. } if is_locked(disk) => Error::AlreadyOpen,
        other => other,
    })
}

fn is_locked(disk: &dyn Disk) -> bool {
    let all = (Bound::Unbounded, Bound::Unbounded);
    disk.locks().is_some_and(|locks| match locks.try_lock_shared_range(all.0, all.1) {
        Ok(true) => {
            // Closing the disk, which follows the error, unlocks as well.
            let _ = locks.unlock_range(all.0, all.1);
            false
        }
        Ok(false) => true,
        Err(_) => false,
    })
}

/// Refuses a file that is not ours before redb has opened, and so perhaps changed, it.
fn check_identity(disk: &dyn Disk, path: &Path) -> Result<()> {
    let not_ours = |found: &str| Error::NotRedknot { path: path.to_path_buf(), found: found.into() };
    let len = disk.len().map_err(Error::io("reading the length of the file"))?;
    if len == 0 {
        return Err(not_ours("it is empty"));
    }
    let mut header = [0u8; HEADER_BYTES];
    let have = header.len().min(usize::try_from(len).unwrap_or(usize::MAX));
    disk.read(0, &mut header[..have]).map_err(Error::io("reading the file header"))?;
    if !header::is_redb(&header) {
        return Err(not_ours("its first bytes are not those of a redb file"));
    }
    let found = btree::peek(&header, redb::TableHandle::name(&META), META_FORMAT, &mut |page| {
        let mut bytes = vec![0u8; page.bytes];
        disk.read(page.offset, &mut bytes).ok()?;
        Some(bytes)
    });
    match found {
        Some(Peeked::NoTable) => Err(not_ours("a redb database without redknot's tables")),
        Some(Peeked::Value(record)) => match record.as_deref().and_then(parse_format) {
            Some(found) if found > FORMAT_VERSION => Err(newer_format(found)),
            _ => Ok(()),
        },
        // Unknown: a file that needs repair. redb decides.
        None => Ok(()),
    }
}

fn check_format(core: &Core) -> Result<()> {
    let not_ours = |found: &str| Error::NotRedknot { path: core.path.clone(), found: found.into() };
    let txn = core.begin_read()?;
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => {
            return Err(not_ours("a redb database without redknot's tables"));
        }
        Err(error) => return Err(error.into()),
    };
    let record = meta.get(META_FORMAT)?;
    let found = record.as_ref().and_then(|record| parse_format(record.value()));
    match found {
        Some(found) if found > FORMAT_VERSION => Err(newer_format(found)),
        Some(_) => Ok(()),
        None => Err(not_ours("its format record is not redknot's")),
    }
}

fn newer_format(found: u32) -> Error {
    Error::NewerFormat { found, supported: FORMAT_VERSION }
}

fn not_found(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path: path.to_path_buf() },
        _ => Error::io("opening the database file")(error),
    }
}

/// Makes the name of a new file survive a power loss.
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)
            .and_then(|directory| directory.sync_all())
            .map_err(Error::io("syncing the directory of the database file"))?;
    }
    Ok(())
}
