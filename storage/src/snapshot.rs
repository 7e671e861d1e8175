//! A commit, held: every read through it sees the file as that commit left it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redb::{AccessGuard, Key, ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, Value};

use crate::array::{ArrayId, ArrayInfo, Blocks, Rows};
use crate::block::{self, PAYLOAD_START, PageSize};
use crate::btree::{Difference, Pair, Tree};
use crate::contain::contain;
use crate::core::{Core, Registration};
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::header;
use crate::map::PinnedPages;
use crate::memory::{BlockTable, Payload, PayloadBuf};
use crate::tables::{ARRAYS, BLOCKS, META, META_VERSION};

/// When a block is read for the first time, so much around it is, where that waits for the disk, as kernels do by default:
/// blocks of an array mostly lie side by side, and a search soon wants others.
const FIRST_READ: usize = 128 << 10;

/// What a reader of arrays stands on: a [`Snapshot`], or a [`crate::WriteTxn`] with its own changes.
pub trait View {
    /// Rows of one width.
    fn rows(&self, id: ArrayId) -> Result<Rows<'_>>;
    /// Rows of any number of items.
    fn csr(&self, id: ArrayId) -> Result<Csr<'_>>;
    /// Shape and length of an array.
    fn array(&self, id: ArrayId) -> Result<ArrayInfo>;
}

/// One committed state of the file.
///
/// It pins every page that it can reach, so the slices it hands out are neither copied nor changed under it;
/// for the same reason pages that later commits free stay in the file until it is dropped.
pub struct Snapshot {
    // The order matters: the transaction is the pin, so whatever points into pinned pages is dropped before it.
    // After it the snapshot counts as dropped, and compaction may begin; the database goes last.
    arrays: BTreeMap<ArrayId, Arc<ArrayState>>,
    in_place: Option<InPlace>,
    blocks: Option<ReadOnlyTable<(u64, u32), &'static [u8]>>,
    txn: ReadTransaction,
    version: u64,
    registration: Registration,
}

/// Shape, length and block addresses of an array as of one commit.
#[derive(Debug)]
pub(crate) struct ArrayState {
    pub(crate) info: ArrayInfo,
    pub(crate) table: BlockTable,
    /// Copies of blocks that are not read in place.
    owned: Mutex<HashMap<u32, Arc<PayloadBuf>>>,
}

/// The blocks table, read in the map.
#[derive(Debug)]
struct InPlace {
    pages: PinnedPages,
    tree: Tree,
}

/// What a transaction did to one array.
pub(crate) struct ArrayChange {
    pub(crate) info: ArrayInfo,
    /// Blocks written.
    pub(crate) blocks: BTreeSet<u32>,
}

impl ArrayChange {
    /// Whether the transaction wrote or removed `block`.
    fn covers(&self, block: u32) -> bool {
        self.blocks.contains(&block) || block as usize >= self.info.spec.blocks(self.info.rows)
    }
}

impl Snapshot {
    /// The state of the last commit. The caller keeps writers out.
    pub(crate) fn open(core: &Arc<Core>) -> Result<Snapshot> {
        let mut snapshot = Snapshot::begin(core)?;
        let table = snapshot.txn.open_table(ARRAYS)?;
        for pair in table.iter()? {
            let (id, record) = pair?;
            let info = ArrayInfo::from_bytes(ArrayId(id.value()), record.value())?;
            let blocks = info.spec.blocks(info.rows);
            snapshot.arrays.insert(info.id, ArrayState::new(info, BlockTable::new(blocks)));
        }
        snapshot.cross_check()?;
        Ok(snapshot)
    }

    /// The state of the commit that followed `previous` and made `changes` (ordered by array). The caller keeps
    /// writers out.
    pub(crate) fn after(
        previous: &Snapshot,
        changes: &[ArrayChange],
        dropped: &[ArrayId],
    ) -> Result<Snapshot> {
        let mut snapshot = Snapshot::begin(&previous.registration.core)?;
        let written = match (&snapshot.in_place, &previous.in_place) {
            (Some(new), Some(old)) if new.pages.same_map(&old.pages) => {
                // Pages of the older tree are pinned by `previous`, which is alive.
                match new.tree.changed_since(&old.tree, &new.pages) {
                    Some(difference) if accounts_for(changes, dropped, &difference) => difference.new,
                    // Blocks went where no change says so: addresses are not to be carried over.
                    _ => return Snapshot::reopen(snapshot),
                }
            }
            (None, None) => Vec::new(),
            // Another map, or none any more: addresses of the previous snapshot mean nothing here.
            _ => return Snapshot::reopen(snapshot),
        };
        snapshot.arrays = previous.arrays.clone();
        for id in dropped {
            snapshot.arrays.remove(id);
        }
        for change in changes {
            let old = previous.arrays.get(&change.info.id);
            snapshot.arrays.insert(change.info.id, ArrayState::changed(old.map(|old| &**old), change));
        }
        for pair in written {
            let (array, number) = pair.key;
            let Some(state) = snapshot.arrays.get(&ArrayId(array)) else { continue };
            let payload = block::check_header(pair.value, state.info.id, number)?;
            let page = PageSize::of_value(pair.value.len()).ok_or_else(unreadable_tree)?;
            // The commit has just written it: its checksum need not be read back.
            if (number as usize) < state.table.len() {
                state.table.set(number as usize, Payload { bytes: payload, page });
            }
        }
        Ok(snapshot)
    }

    fn reopen(begun: Snapshot) -> Result<Snapshot> {
        let core = begun.registration.core.clone();
        drop(begun);
        Snapshot::open(&core)
    }

    fn begin(core: &Arc<Core>) -> Result<Snapshot> {
        let txn = core.begin_read()?;
        let in_place = if core.options.owned_blocks { None } else { InPlace::open(core)? };
        let blocks = match txn.open_table(BLOCKS) {
            Ok(table) => Some(table),
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let version = match txn.open_table(META)?.get(META_VERSION)? {
            Some(bytes) => u64::from_le_bytes(
                bytes.value().try_into().map_err(|_| Error::corrupt("the version record has no 8 bytes"))?,
            ),
            None => 0,
        };
        let arrays = BTreeMap::new();
        Ok(Snapshot { arrays, in_place, blocks, txn, version, registration: core.register_snapshot() })
    }

    /// Compares what redb reads with what is read in place, at both ends of the blocks table; reads owned
    /// copies where they differ.
    fn cross_check(&mut self) -> Result<()> {
        let Some(in_place) = &self.in_place else { return Ok(()) };
        let mut agree = true;
        for last in [false, true] {
            match in_place.tree.edge(&in_place.pages, last) {
                None => agree = false,
                // Nothing to compare, or a damaged block, which is an error for those who read it.
                Some(None) => {}
                Some(Some(key)) => {
                    let found = self.value_from_redb(ArrayId(key.0), key.1)?;
                    agree &= found.is_some_and(|found| {
                        in_place.tree.get(&in_place.pages, key) == Some(Some(found.value()))
                    });
                }
            }
        }
        if !agree {
            tracing::warn!(
                path = %self.registration.core.path.display(),
                "redb's pages are not laid out as expected; blocks are read as owned copies"
            );
            self.in_place = None;
        }
        Ok(())
    }

    /// Opens an ordinary redb table.
    pub fn open_table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>> {
        Ok(self.txn.open_table(definition)?)
    }

    /// The redb transaction under the snapshot.
    pub fn transaction(&self) -> &ReadTransaction {
        &self.txn
    }

    /// Number of the last transaction that changed an array.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How long the snapshot has been held.
    pub fn age(&self) -> Duration {
        self.registration.since.elapsed()
    }

    /// True where blocks are read in the map, false where they are owned copies.
    pub fn reads_in_place(&self) -> bool {
        self.in_place.is_some()
    }

    /// All arrays, by id.
    pub fn arrays(&self) -> impl Iterator<Item = ArrayInfo> + '_ {
        self.arrays.values().map(|state| state.info)
    }

    pub(crate) fn state(&self, id: ArrayId) -> Result<&Arc<ArrayState>> {
        self.arrays.get(&id).ok_or(Error::UnknownArray(id))
    }

    #[cfg(feature = "test-disk")]
    pub(crate) fn states(&self) -> &BTreeMap<ArrayId, Arc<ArrayState>> {
        &self.arrays
    }

    #[cfg(feature = "test-disk")]
    pub(crate) fn map(&self) -> Option<Arc<crate::map::Map>> {
        self.in_place.as_ref().map(|in_place| in_place.pages.map())
    }

    pub(crate) fn blocks_table(&self) -> Option<&ReadOnlyTable<(u64, u32), &'static [u8]>> {
        self.blocks.as_ref()
    }

    /// The value of a block as it lies in the map; the outer `None` where blocks are owned copies.
    pub(crate) fn value_in_place(&self, id: ArrayId, number: u32) -> Result<Option<Option<&[u8]>>> {
        let Some(in_place) = &self.in_place else { return Ok(None) };
        in_place.tree.get(&in_place.pages, (id.0, number)).map(Some).ok_or_else(unreadable_tree)
    }

    /// The value of a block as redb reads it.
    pub(crate) fn value_from_redb(
        &self,
        id: ArrayId,
        number: u32,
    ) -> Result<Option<AccessGuard<'_, &'static [u8]>>> {
        let Some(table) = &self.blocks else { return Ok(None) };
        if !self.leaf_is_readable(id, number, false) {
            return Err(Error::corrupt(format!("the page of block {number} of array {id} is not a leaf")));
        }
        Ok(contain("reading a block", || {
            let found = table.get((id.0, number))?;
            // The guard finds its bytes only now; what does not panic here does not panic later.
            let _ = found.as_ref().map(|guard| guard.value());
            Ok(found)
        })?)
    }

    /// Whether redb can read the leaf of a block; true where that cannot be told.
    pub(crate) fn leaf_is_readable(&self, id: ArrayId, number: u32, neighbours: bool) -> bool {
        self.in_place.as_ref().is_none_or(|in_place| {
            in_place.tree.leaf_is_readable(&in_place.pages, (id.0, number), neighbours)
        })
    }

    /// Whether reading payloads in place waits for the disk.
    pub(crate) fn waits_for_disk(&self) -> bool {
        self.in_place.as_ref().is_some_and(|in_place| in_place.pages.waits_for_disk())
    }

    /// Has the system read a part of a payload, without waiting for it.
    pub(crate) fn request(&self, bytes: &[u8]) {
        if let Some(in_place) = &self.in_place {
            in_place.pages.request(bytes, 1);
        }
    }

    /// Finds a block, verifies its checksum, and returns its payload.
    pub(crate) fn locate<'a>(&'a self, state: &'a ArrayState, number: u32) -> Result<Payload<'a>> {
        let id = state.info.id;
        if let Some(found) = self.value_in_place(id, number)? {
            let value = found.ok_or(Error::MissingBlock { array: id, block: number })?;
            if let Some(in_place) = &self.in_place
                && in_place.pages.waits_for_disk()
            {
                in_place.pages.request(value, FIRST_READ);
            }
            let bytes = block::check(value, id, number)?;
            let page = PageSize::of_value(value.len()).ok_or_else(unreadable_tree)?;
            if bytes.as_ptr().addr().is_multiple_of(PAYLOAD_START) {
                return Ok(Payload { bytes, page });
            }
        }
        self.copy(state, number)
    }

    fn copy<'a>(&'a self, state: &'a ArrayState, number: u32) -> Result<Payload<'a>> {
        let id = state.info.id;
        let missing = || Error::MissingBlock { array: id, block: number };
        let guard = self.value_from_redb(id, number)?.ok_or_else(missing)?;
        let bytes = block::check(guard.value(), id, number)?;
        let page = PageSize::of_value(guard.value().len()).ok_or_else(unreadable_tree)?;
        let mut buf = PayloadBuf::zeroed(page);
        buf.bytes_mut().copy_from_slice(bytes);
        state.keep(number, buf).ok_or_else(missing)
    }
}

impl View for Snapshot {
    fn rows(&self, id: ArrayId) -> Result<Rows<'_>> {
        let state = self.state(id)?;
        Rows::new(Blocks::new(state.info, &state.table, Some((self, state))))
    }

    fn csr(&self, id: ArrayId) -> Result<Csr<'_>> {
        let state = self.state(id)?;
        Csr::new(Blocks::new(state.info, &state.table, Some((self, state))))
    }

    fn array(&self, id: ArrayId) -> Result<ArrayInfo> {
        Ok(self.state(id)?.info)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("version", &self.version).finish_non_exhaustive()
    }
}

impl ArrayState {
    fn new(info: ArrayInfo, table: BlockTable) -> Arc<ArrayState> {
        Arc::new(ArrayState { info, table, owned: Mutex::new(HashMap::new()) })
    }

    /// The state after `change`: addresses of blocks that it left alone are kept.
    fn changed(old: Option<&ArrayState>, change: &ArrayChange) -> Arc<ArrayState> {
        let blocks = change.info.spec.blocks(change.info.rows);
        let Some(old) = old else { return ArrayState::new(change.info, BlockTable::new(blocks)) };
        let mut table = old.table.clone();
        table.resize(blocks);
        let mut owned = old.owned.lock().clone();
        owned.retain(|number, _| (*number as usize) < blocks && !change.blocks.contains(number));
        for number in change.blocks.iter().filter(|number| (**number as usize) < blocks) {
            table.forget(*number as usize);
        }
        Arc::new(ArrayState { info: change.info, table, owned: Mutex::new(owned) })
    }

    /// Keeps a copy of a block as long as the state lives; the first copy wins.
    fn keep(&self, number: u32, buf: PayloadBuf) -> Option<Payload<'_>> {
        if number as usize >= self.table.len() {
            return None;
        }
        let mut owned = self.owned.lock();
        let buf = owned.entry(number).or_insert_with(|| Arc::new(buf));
        self.table.set_buf(number as usize, buf);
        // SAFETY: the buffer stays in `owned`, which only grows while `self` lives.
        #[expect(unsafe_code, reason = "the mapped-block reader")]
        unsafe {
            self.table.get(number as usize)
        }
    }
}

impl InPlace {
    /// `None` where blocks have to be owned copies.
    fn open(core: &Core) -> Result<Option<InPlace>> {
        let Some(map) = core.medium.map() else { return Ok(None) };
        let disk = &core.medium.disk;
        let mut header = [0u8; header::HEADER_BYTES];
        disk.read(0, &mut header).map_err(Error::io("reading the file header"))?;
        let file_bytes = disk.len().map_err(Error::io("reading the length of the file"))?;
        // SAFETY: the snapshot under construction began its read transaction before this call, holds it in a
        // field that is dropped after the pages, and asks only for what the tree of that same commit reaches:
        // no commit has run since, because the caller keeps writers out.
        #[expect(unsafe_code, reason = "the mapped-block reader")]
        let pages = unsafe { PinnedPages::new(map, file_bytes) };
        let tree = Tree::open(&header, &pages, redb::TableHandle::name(&BLOCKS));
        if tree.is_none() {
            tracing::warn!(
                path = %core.path.display(),
                "redb's pages are not laid out as expected; blocks are read as owned copies"
            );
        }
        Ok(tree.map(|tree| InPlace { pages, tree }))
    }
}

/// Whether every block that came, went or moved belongs to an array that the transaction changed. Only then may
/// the other arrays keep their addresses, which snapshots share.
fn accounts_for(changes: &[ArrayChange], dropped: &[ArrayId], difference: &Difference<'_>) -> bool {
    let known = |pair: &Pair<'_>| {
        let id = ArrayId(pair.key.0);
        dropped.contains(&id)
            || changes
                .binary_search_by_key(&id, |change| change.info.id)
                .is_ok_and(|at| changes[at].covers(pair.key.1))
    };
    difference.new.iter().chain(&difference.old).all(known)
}

fn unreadable_tree() -> Error {
    Error::corrupt("the tree of the blocks table cannot be read in place")
}
