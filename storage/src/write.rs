//! A write transaction: changed blocks live in an overlay until the commit writes each of them once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use parking_lot::{ArcMutexGuard, RawMutex};
use redb::{Key, ReadableTable, Table, TableDefinition, TableHandle, Value};

use crate::array::{ArrayId, ArrayInfo, ArraySpec, Blocks, Kind, Rows};
use crate::block::{self, HEADER_BYTES, PageSize};
use crate::contain::{Contained, contain};
use crate::csr::{self, Csr};
use crate::error::{Error, Result};
use crate::memory::{BlockTable, PayloadBuf};
use crate::snapshot::{ArrayChange, Snapshot, View};
use crate::storage::Engine;
use crate::tables::{ARRAYS, BLOCKS, META, META_NEXT_ARRAY, META_VERSION};

/// The one write transaction of a file. Dropped without [`WriteTxn::commit`], it changes nothing.
pub struct WriteTxn {
    arrays: BTreeMap<ArrayId, OpenArray>,
    dropped: Vec<ArrayInfo>,
    next_array: Option<u64>,
    txn: redb::WriteTransaction,
    base: Arc<Snapshot>,
    engine: Arc<Engine>,
    /// Held to the end: one writer at a time, and nobody compacts meanwhile.
    writer: ArcMutexGuard<RawMutex, ()>,
}

/// An array that the transaction created or changed.
struct OpenArray {
    info: ArrayInfo,
    /// Rows in the base snapshot, `None` for an array that the transaction created.
    base_rows: Option<u32>,
    /// The first blocks of the array that are still those of the base snapshot where they are not dirty: when an
    /// array is cut and grows again, its old blocks do not come back.
    base_blocks: usize,
    table: BlockTable,
    dirty: BTreeMap<u32, PayloadBuf>,
}

impl WriteTxn {
    pub(crate) fn begin(engine: Arc<Engine>, writer: ArcMutexGuard<RawMutex, ()>) -> Result<WriteTxn> {
        let base = engine.current()?;
        let txn = engine.begin_redb_write()?;
        Ok(WriteTxn {
            arrays: BTreeMap::new(),
            dropped: Vec::new(),
            next_array: None,
            txn,
            base,
            engine,
            writer,
        })
    }

    /// The committed state that the transaction started from.
    pub fn base(&self) -> &Arc<Snapshot> {
        &self.base
    }

    /// Opens an ordinary redb table, creating it where it does not exist. One handle to a table at a time.
    pub fn open_table<'t, K: Key + 'static, V: Value + 'static>(
        &'t self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<Table<'t, K, V>> {
        check_name(&definition)?;
        self.txn.open_table(definition).map_err(|error| self.engine.note(error.into()))
    }

    /// Removes an ordinary redb table and says whether it existed.
    pub fn delete_table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<bool> {
        check_name(&definition)?;
        self.txn.delete_table(definition).map_err(|error| self.engine.note(error.into()))
    }

    /// The redb transaction under this one. The tables that hold the arrays are not to be changed through it.
    pub fn transaction(&self) -> &redb::WriteTransaction {
        &self.txn
    }

    /// Adds an empty array.
    pub fn create_array(&mut self, spec: ArraySpec) -> Result<ArrayId> {
        let next = match self.next_array {
            Some(next) => next,
            None => self.stored_next_array().map_err(|error| self.engine.note(error))?,
        };
        self.next_array = Some(next + 1);
        let info = ArrayInfo { id: ArrayId(next), spec, rows: 0 };
        let (table, dirty) = (BlockTable::new(0), BTreeMap::new());
        let array = OpenArray { info, base_rows: None, base_blocks: 0, table, dirty };
        self.arrays.insert(info.id, array);
        Ok(info.id)
    }

    fn stored_next_array(&self) -> Result<u64> {
        match self.txn.open_table(META)?.get(META_NEXT_ARRAY)? {
            Some(bytes) => {
                let bytes =
                    bytes.value().try_into().map_err(|_| Error::corrupt("next_array has no 8 bytes"))?;
                Ok(u64::from_le_bytes(bytes))
            }
            None => Ok(1),
        }
    }

    /// Removes an array and all of its blocks.
    pub fn drop_array(&mut self, id: ArrayId) -> Result<()> {
        let info = self.array(id)?;
        self.arrays.remove(&id);
        if let Ok(base) = self.base.array(id) {
            self.dropped.push(base);
        }
        tracing::trace!(array = id.0, rows = info.rows, "array dropped");
        Ok(())
    }

    /// Appends rows, `rows.len()` being a multiple of the row's bytes, and returns their numbers.
    pub fn push_rows(&mut self, id: ArrayId, rows: &[u8]) -> Result<Range<u32>> {
        let info = self.array_of(id, Kind::Rows)?;
        let row_bytes = info.spec.unit_bytes();
        if !rows.len().is_multiple_of(row_bytes) {
            return Err(Error::WrongRowBytes { array: id, expected: row_bytes, got: rows.len() });
        }
        let first = info.rows;
        let count = u32::try_from(rows.len() / row_bytes).map_err(|_| Error::TooManyRows(id))?;
        let end = first.checked_add(count).ok_or(Error::TooManyRows(id))?;
        if count == 0 {
            return Ok(first..end);
        }
        self.take_over_last_block(&info)?;
        let mut rest = rows;
        let mut row = first;
        while row < end {
            let place = row % info.spec.rows_per_block();
            let fits = (info.spec.rows_per_block() - place).min(end - row);
            let (now, later) = rest.split_at(fits as usize * row_bytes);
            // Length first: a row beyond the end has no block.
            self.open(id)?.set_rows(row + fits);
            let payload = self.dirty_block(id, row / info.spec.rows_per_block())?;
            payload[place as usize * row_bytes..][..now.len()].copy_from_slice(now);
            rest = later;
            row += fits;
        }
        Ok(first..end)
    }

    /// The bytes of a row, for writing.
    pub fn row_mut(&mut self, id: ArrayId, row: u32) -> Result<&mut [u8]> {
        let info = self.array_of(id, Kind::Rows)?;
        check_row(&info, row)?;
        let row_bytes = info.spec.unit_bytes();
        let payload = self.dirty_block(id, row / info.spec.rows_per_block())?;
        Ok(&mut payload[(row % info.spec.rows_per_block()) as usize * row_bytes..][..row_bytes])
    }

    /// Overwrites a row.
    pub fn set_row(&mut self, id: ArrayId, row: u32, bytes: &[u8]) -> Result<()> {
        let target = self.row_mut(id, row)?;
        if target.len() != bytes.len() {
            let expected = target.len();
            return Err(Error::WrongRowBytes { array: id, expected, got: bytes.len() });
        }
        target.copy_from_slice(bytes);
        Ok(())
    }

    /// Cuts an array to `rows` rows or fills it up with zero or empty ones.
    pub fn set_len(&mut self, id: ArrayId, rows: u32) -> Result<()> {
        let info = self.array(id)?;
        // What is behind the new end of the last block must not come back when the array grows again. This may
        // find the block damaged, so it comes before anything changes.
        let keep = rows % info.spec.rows_per_block();
        if rows < info.rows && keep != 0 {
            let payload = self.dirty_block(id, rows / info.spec.rows_per_block())?;
            match info.spec.kind() {
                Kind::Rows => payload[keep as usize * info.spec.unit_bytes()..].fill(0),
                Kind::Csr => {
                    for place in keep..info.spec.rows_per_block() {
                        csr::replace(&info, payload, place as usize, &[]);
                    }
                }
            }
        }
        self.open(id)?.set_rows(rows);
        for block in info.spec.blocks(info.rows)..info.spec.blocks(rows) {
            self.dirty_block(id, block as u32)?;
        }
        Ok(())
    }

    /// Brings the block that the next row goes to into the overlay, if there is one. Only this step of an
    /// append can find damage; where it does, the array is as it was.
    fn take_over_last_block(&mut self, info: &ArrayInfo) -> Result<()> {
        if !info.rows.is_multiple_of(info.spec.rows_per_block()) {
            self.dirty_block(info.id, info.rows / info.spec.rows_per_block())?;
        }
        Ok(())
    }

    /// Replaces the items of a CSR row.
    pub fn set_csr_row(&mut self, id: ArrayId, row: u32, items: &[u8]) -> Result<()> {
        let info = self.array_of(id, Kind::Csr)?;
        check_row(&info, row)?;
        let unit = info.spec.unit_bytes();
        if !items.len().is_multiple_of(unit) {
            return Err(Error::WrongRowBytes { array: id, expected: unit, got: items.len() });
        }
        let (block, place) = (row / info.spec.rows_per_block(), (row % info.spec.rows_per_block()) as usize);
        self.dirty_block(id, block)?;
        let array = self.open(id)?;
        let buf = array.dirty.get_mut(&block).ok_or(Error::MissingBlock { array: id, block })?;
        let page = csr::page_for(&info, buf.bytes(), row, place, items.len() / unit)?;
        if page > buf.page() {
            move_block(&info, buf, page);
        }
        csr::replace(&info, buf.bytes_mut(), place, items);
        // One size of slack before a block shrinks again, so that a row at the edge does not move it to and fro.
        if page.order() + 1 < buf.page().order() {
            move_block(&info, buf, page);
        }
        array.table.set_buf(block as usize, buf);
        Ok(())
    }

    /// Appends a CSR row and returns its number.
    pub fn push_csr_row(&mut self, id: ArrayId, items: &[u8]) -> Result<u32> {
        let info = self.array_of(id, Kind::Csr)?;
        let end = info.rows.checked_add(1).ok_or(Error::TooManyRows(id))?;
        self.take_over_last_block(&info)?;
        self.open(id)?.set_rows(end);
        match self.set_csr_row(id, info.rows, items) {
            Ok(()) => Ok(info.rows),
            Err(error) => {
                self.open(id)?.set_rows(info.rows);
                Err(error)
            }
        }
    }

    /// Bytes of changed blocks that the transaction holds in memory until it commits.
    pub fn dirty_bytes(&self) -> usize {
        self.arrays.values().flat_map(|array| array.dirty.values()).map(|buf| buf.page().bytes()).sum()
    }

    /// Makes everything durable. After an error the database is poisoned where the disk may hold the transaction
    /// or not: opened again, it has all of it or nothing. Otherwise nothing was kept.
    pub fn commit(self) -> Result<()> {
        self.contained_write().map(drop)
    }

    /// Commits, and begins the next transaction before any other writer can.
    pub fn commit_and_begin(self) -> Result<WriteTxn> {
        let engine = self.engine.clone();
        let writer = self.contained_write()?;
        WriteTxn::begin(engine, writer)
    }

    fn contained_write(self) -> Result<ArcMutexGuard<RawMutex, ()>> {
        let engine = self.engine.clone();
        contain("committing", || self.write()).map_err(|failure| match failure {
            Contained::Returned(error) => engine.note(error),
            Contained::Panicked(error) => {
                engine.poison(&error);
                error
            }
        })
    }

    /// Gives up the transaction. Dropping it does the same; this reports errors.
    pub fn abort(self) -> Result<()> {
        let engine = self.engine.clone();
        self.txn.abort().map_err(|error| engine.note(error.into()))
    }

    /// Commits and hands back the writer lock.
    fn write(mut self) -> Result<ArcMutexGuard<RawMutex, ()>> {
        self.arrays.retain(|_, array| array.record_changed() || !array.dirty.is_empty());
        let unchanged = self.arrays.is_empty() && self.dropped.is_empty() && self.next_array.is_none();
        if !unchanged {
            let version = self.base.version() + 1;
            self.check_leaves()?;
            self.write_blocks(version)?;
            self.write_records(version)?;
        }
        let changes: Vec<ArrayChange> = std::mem::take(&mut self.arrays)
            .into_values()
            .map(|array| ArrayChange {
                info: array.info,
                blocks: array.dirty.into_keys().collect::<BTreeSet<u32>>(),
            })
            .collect();
        let dropped: Vec<ArrayId> = self.dropped.iter().map(|info| info.id).collect();
        self.txn.commit().map_err(|error| {
            let error = Error::from_redb(error);
            self.engine.poison(&error);
            error
        })?;
        self.engine.publish(&self.base, &changes, &dropped)?;
        Ok(self.writer)
    }

    /// redb reads the leaves around what it writes; a damaged one must stop the commit before it begins.
    fn check_leaves(&self) -> Result<()> {
        let removed = self.dropped.iter().map(|info| (info.id, 0..info.spec.blocks(info.rows) as u32));
        let cut = self.arrays.values().map(|array| {
            let spec = array.info.spec;
            let before = spec.blocks(array.base_rows.unwrap_or(0)) as u32;
            (array.info.id, spec.blocks(array.info.rows) as u32..before)
        });
        let removed = removed.chain(cut).flat_map(|(id, blocks)| blocks.map(move |block| (id, block, true)));
        let written = self
            .arrays
            .values()
            .flat_map(|array| array.dirty.keys().map(|block| (array.info.id, *block, false)));
        for (id, block, neighbours) in removed.chain(written) {
            if !self.base.leaf_is_readable(id, block, neighbours) {
                return Err(Error::corrupt(format!(
                    "a page at or beside block {block} of array {id} is no leaf"
                )));
            }
        }
        Ok(())
    }

    fn write_blocks(&mut self, version: u64) -> Result<()> {
        let mut table = self.txn.open_table(BLOCKS)?;
        for info in &self.dropped {
            remove_blocks(&mut table, info.id, 0..info.spec.blocks(info.rows) as u32)?;
        }
        for array in self.arrays.values() {
            let (id, spec) = (array.info.id, array.info.spec);
            let before = spec.blocks(array.base_rows.unwrap_or(0));
            remove_blocks(&mut table, id, spec.blocks(array.info.rows) as u32..before as u32)?;
            for (number, buf) in &array.dirty {
                let mut value = table.insert_reserve((id.0, *number), buf.page().value_bytes())?;
                let value = value.as_mut();
                value[HEADER_BYTES..].copy_from_slice(buf.bytes());
                block::seal(value, id, *number, version);
            }
        }
        Ok(())
    }

    fn write_records(&mut self, version: u64) -> Result<()> {
        let mut table = self.txn.open_table(ARRAYS)?;
        for info in &self.dropped {
            table.remove(info.id.0)?;
        }
        for array in self.arrays.values().filter(|array| array.record_changed()) {
            table.insert(array.info.id.0, array.info.to_bytes().as_slice())?;
        }
        let mut meta = self.txn.open_table(META)?;
        meta.insert(META_VERSION, version.to_le_bytes().as_slice())?;
        if let Some(next) = self.next_array {
            meta.insert(META_NEXT_ARRAY, next.to_le_bytes().as_slice())?;
        }
        Ok(())
    }

    fn array_of(&self, id: ArrayId, kind: Kind) -> Result<ArrayInfo> {
        let info = self.array(id)?;
        if info.spec.kind() != kind {
            return Err(Error::InvalidSpec(format!("array {id} is {:?}, not {kind:?}", info.spec.kind())));
        }
        Ok(info)
    }

    /// The array in the overlay, taken over from the base snapshot where this is its first change.
    fn open(&mut self, id: ArrayId) -> Result<&mut OpenArray> {
        if !self.arrays.contains_key(&id) {
            if self.dropped.iter().any(|info| info.id == id) {
                return Err(Error::UnknownArray(id));
            }
            let state = self.base.state(id)?;
            let array = OpenArray {
                info: state.info,
                base_rows: Some(state.info.rows),
                base_blocks: state.table.len(),
                table: state.table.clone(),
                dirty: BTreeMap::new(),
            };
            self.arrays.insert(id, array);
        }
        self.arrays.get_mut(&id).ok_or(Error::UnknownArray(id))
    }

    /// The payload of a block in the overlay, copied there from the base snapshot where needed.
    fn dirty_block(&mut self, id: ArrayId, number: u32) -> Result<&mut [u8]> {
        let array = self.open(id)?;
        if !array.dirty.contains_key(&number) {
            let buf = if (number as usize) < array.base_blocks {
                self.copy_of_base(id, number)?
            } else {
                PayloadBuf::zeroed(array.info.spec.page())
            };
            let array = self.open(id)?;
            array.table.set_buf(number as usize, &buf);
            array.dirty.insert(number, buf);
        }
        let buf = self.open(id)?.dirty.get_mut(&number);
        Ok(buf.ok_or(Error::MissingBlock { array: id, block: number })?.bytes_mut())
    }

    fn copy_of_base(&self, id: ArrayId, number: u32) -> Result<PayloadBuf> {
        let state = self.base.state(id)?;
        let blocks = Blocks::new(state.info, &state.table, Some((&self.base, state)));
        let payload = blocks.payload(number as usize)?;
        let mut buf = PayloadBuf::zeroed(payload.page);
        buf.bytes_mut().copy_from_slice(payload.bytes);
        Ok(buf)
    }

    fn blocks(&self, id: ArrayId) -> Result<Blocks<'_>> {
        let base = self.base.state(id).ok().map(|state| (&*self.base, &**state));
        match self.arrays.get(&id) {
            Some(array) => Ok(Blocks::new(array.info, &array.table, base)),
            None if self.dropped.iter().any(|info| info.id == id) => Err(Error::UnknownArray(id)),
            None => {
                let (snapshot, state) = base.ok_or(Error::UnknownArray(id))?;
                Ok(Blocks::new(state.info, &state.table, Some((snapshot, state))))
            }
        }
    }
}

impl View for WriteTxn {
    fn rows(&self, id: ArrayId) -> Result<Rows<'_>> {
        Rows::new(self.blocks(id)?)
    }

    fn csr(&self, id: ArrayId) -> Result<Csr<'_>> {
        Csr::new(self.blocks(id)?)
    }

    fn array(&self, id: ArrayId) -> Result<ArrayInfo> {
        Ok(self.blocks(id)?.info)
    }
}

impl OpenArray {
    fn record_changed(&self) -> bool {
        self.base_rows != Some(self.info.rows)
    }

    fn set_rows(&mut self, rows: u32) {
        let blocks = self.info.spec.blocks(rows);
        self.info.rows = rows;
        self.dirty.retain(|number, _| (*number as usize) < blocks);
        self.base_blocks = self.base_blocks.min(blocks);
        self.table.resize(blocks);
    }
}

/// Moves a CSR block to a page of another size, which takes what it holds.
fn move_block(info: &ArrayInfo, buf: &mut PayloadBuf, page: PageSize) {
    let mut moved = PayloadBuf::zeroed(page);
    let used = csr::used_bytes(info, buf.bytes());
    moved.bytes_mut()[..used].copy_from_slice(&buf.bytes()[..used]);
    *buf = moved;
}

/// Refuses the tables whose content the array calls keep consistent.
fn check_name(table: &impl TableHandle) -> Result<()> {
    let name = table.name();
    if [ARRAYS.name(), BLOCKS.name(), META.name()].contains(&name) {
        return Err(Error::ReservedTable { name: name.into() });
    }
    Ok(())
}

fn check_row(info: &ArrayInfo, row: u32) -> Result<()> {
    if row < info.rows {
        return Ok(());
    }
    Err(Error::RowOutOfRange { array: info.id, row, rows: info.rows })
}

fn remove_blocks(table: &mut Table<'_, (u64, u32), &[u8]>, id: ArrayId, blocks: Range<u32>) -> Result<()> {
    for number in blocks {
        table.remove((id.0, number))?;
    }
    Ok(())
}
