//! Arrays of rows of one width, cut into blocks.

use std::fmt;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::block::PageSize;
use crate::csr;
use crate::error::{Error, Result};
use crate::memory::{BlockTable, LINE, Payload, prefetch, prefetch_first};
use crate::snapshot::{ArrayState, Snapshot};

/// Identifies an array in its file. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArrayId(pub u64);

impl fmt::Display for ArrayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the rows of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every row has the same number of bytes: [`Rows`].
    Rows,
    /// Rows of any number of items, with their ends in each block: [`crate::Csr`].
    Csr,
}

/// The shape of an array, fixed when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArraySpec {
    kind: Kind,
    /// Page of an ordinary block; a CSR block whose rows do not fit takes a larger one.
    page: PageSize,
    /// Bytes of a row, or of one item of a CSR row.
    unit_bytes: u32,
    rows_per_block: u32,
}

impl ArraySpec {
    /// Rows of `row_bytes` bytes, a multiple of 4, as many to a block as fit. Rows of 4 KiB and more get
    /// pages of 256 KiB (or the next size that takes one row), others pages of at least `page`.
    pub fn rows(row_bytes: usize, page: PageSize) -> Result<ArraySpec> {
        if row_bytes == 0 || !row_bytes.is_multiple_of(4) {
            return Err(Error::InvalidSpec(format!(
                "rows must be a positive multiple of 4 bytes, got {row_bytes}"
            )));
        }
        let page = if row_bytes >= 4096 { page.max(PageSize::KIB_256) } else { page };
        let page = page.fitting(row_bytes).ok_or_else(|| {
            Error::InvalidSpec(format!("a row of {row_bytes} bytes fits in no page (at most 16 MiB)"))
        })?;
        Ok(ArraySpec {
            kind: Kind::Rows,
            page,
            unit_bytes: row_bytes as u32,
            rows_per_block: (page.payload_bytes() / row_bytes) as u32,
        })
    }

    /// Rows of any number of items of `item_bytes` bytes (1, 2, 4, 8 or 12), `rows_per_block` rows to a block, in
    /// blocks that fill `page` unless their rows need more.
    pub fn csr(item_bytes: usize, rows_per_block: u32, page: PageSize) -> Result<ArraySpec> {
        if ![1, 2, 4, 8, 12].contains(&item_bytes) {
            return Err(Error::InvalidSpec(format!("items have 1, 2, 4, 8 or 12 bytes, got {item_bytes}")));
        }
        let most = page.payload_bytes() / 4;
        if rows_per_block == 0 || rows_per_block as usize > most {
            return Err(Error::InvalidSpec(format!(
                "a block of {} bytes takes 1 to {most} rows, got {rows_per_block}",
                page.bytes()
            )));
        }
        Ok(ArraySpec { kind: Kind::Csr, page, unit_bytes: item_bytes as u32, rows_per_block })
    }

    /// What the rows are.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Page size of an ordinary block.
    pub fn page(&self) -> PageSize {
        self.page
    }

    /// Bytes of a row, or of one item of a CSR row.
    pub fn unit_bytes(&self) -> usize {
        self.unit_bytes as usize
    }

    /// Rows in a full block.
    pub fn rows_per_block(&self) -> u32 {
        self.rows_per_block
    }

    /// Blocks that `rows` rows take.
    pub fn blocks(&self, rows: u32) -> usize {
        rows.div_ceil(self.rows_per_block) as usize
    }
}

/// An array as its file describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayInfo {
    /// Its identity.
    pub id: ArrayId,
    /// Its shape.
    pub spec: ArraySpec,
    /// Rows in it.
    pub rows: u32,
}

/// Bytes of an [`ArrayInfo`] in the table `redknot.arrays` (docs/FORMAT.md, "Arrays").
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    kind: u8,
    page_order: u8,
    reserved: U16,
    unit_bytes: U32,
    rows_per_block: U32,
    rows: U32,
    reserved_2: U64,
}

impl ArrayInfo {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let record = Record {
            kind: match self.spec.kind {
                Kind::Rows => 1,
                Kind::Csr => 2,
            },
            page_order: self.spec.page.order(),
            reserved: 0.into(),
            unit_bytes: self.spec.unit_bytes.into(),
            rows_per_block: self.spec.rows_per_block.into(),
            rows: self.rows.into(),
            reserved_2: 0.into(),
        };
        record.as_bytes().to_vec()
    }

    pub(crate) fn from_bytes(id: ArrayId, bytes: &[u8]) -> Result<ArrayInfo> {
        let damaged = |what: String| Error::corrupt(format!("the record of array {id}: {what}"));
        let record = Record::read_from_bytes(bytes)
            .map_err(|_| damaged(format!("{} bytes instead of {}", bytes.len(), size_of::<Record>())))?;
        let page = PageSize::from_order(record.page_order)
            .ok_or_else(|| damaged(format!("page order {}", record.page_order)))?;
        let unit = record.unit_bytes.get() as usize;
        let spec = match record.kind {
            1 => ArraySpec::rows(unit, page),
            2 => ArraySpec::csr(unit, record.rows_per_block.get(), page),
            kind => return Err(damaged(format!("unknown kind {kind}"))),
        }
        .map_err(|error| damaged(error.to_string()))?;
        if spec.page != page || spec.rows_per_block != record.rows_per_block.get() {
            return Err(damaged("rows, pages and rows to a block do not fit".into()));
        }
        Ok(ArrayInfo { id, spec, rows: record.rows.get() })
    }
}

/// Divides row numbers by the rows of a block: a multiplication, because this stands before every row read
/// (Lemire, Kaser & Kurz 2019, exact for all 32-bit numerators).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowsPerBlock {
    divisor: u32,
    inverse: u64,
}

impl RowsPerBlock {
    pub(crate) fn new(divisor: u32) -> RowsPerBlock {
        // 2^64 / 1 does not fit in 64 bits: 0 marks it.
        let inverse = if divisor == 1 { 0 } else { u64::MAX / u64::from(divisor) + 1 };
        RowsPerBlock { divisor, inverse }
    }

    /// Block of `row`, and its place in that block.
    #[inline(always)]
    pub(crate) fn split(self, row: u32) -> (usize, usize) {
        if self.inverse == 0 {
            return (row as usize, 0);
        }
        let block = ((u128::from(self.inverse) * u128::from(row)) >> 64) as u32;
        (block as usize, (row - block * self.divisor) as usize)
    }
}

/// The blocks of one array as a snapshot or an open transaction sees them.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<'a> {
    pub(crate) info: ArrayInfo,
    pub(crate) rows_per_block: RowsPerBlock,
    table: &'a BlockTable,
    /// Where a block is looked up that the table does not know yet; `None` for an array of an open transaction
    /// that no snapshot has.
    base: Option<(&'a Snapshot, &'a ArrayState)>,
}

impl<'a> Blocks<'a> {
    /// Every entry of `table` must point to memory that lives and stays as it is for `'a`: that of the snapshot
    /// in `base`, or of buffers that whoever lends `table` owns.
    pub(crate) fn new(
        info: ArrayInfo,
        table: &'a BlockTable,
        base: Option<(&'a Snapshot, &'a ArrayState)>,
    ) -> Blocks<'a> {
        Blocks { info, rows_per_block: RowsPerBlock::new(info.spec.rows_per_block), table, base }
    }

    /// The payload of `block`.
    #[inline(always)]
    pub(crate) fn payload(&self, block: usize) -> Result<Payload<'a>> {
        // SAFETY: what the entries point to lives for `'a`, see `new`.
        #[expect(unsafe_code, reason = "the mapped-block reader")]
        match unsafe { self.table.get(block) } {
            Some(payload) => Ok(payload),
            None => self.locate(block),
        }
    }

    /// The payload of `block` if it was read before.
    #[inline(always)]
    pub(crate) fn known(&self, block: usize) -> Option<Payload<'a>> {
        // SAFETY: as in `payload`.
        #[expect(unsafe_code, reason = "the mapped-block reader")]
        unsafe {
            self.table.get(block)
        }
    }

    /// Whether reading them lately had to wait for the disk, and will again.
    fn waits_for_disk(&self) -> bool {
        self.base.is_some_and(|(snapshot, _)| snapshot.waits_for_disk())
    }

    /// Has the system read `len` bytes of the payload of `block` from `start` on, or those of them that it has, if it was
    /// read before, without waiting for them.
    fn request(&self, block: usize, start: usize, len: usize) {
        if let (Some(payload), Some((snapshot, _))) = (self.known(block), self.base)
            && let Some(bytes) = payload.bytes.get(start..)
        {
            snapshot.request(&bytes[..len.min(bytes.len())]);
        }
    }

    #[cold]
    #[inline(never)]
    fn locate(&self, block: usize) -> Result<Payload<'a>> {
        let missing = Error::MissingBlock { array: self.info.id, block: block as u32 };
        let (snapshot, state) = self.base.ok_or(missing)?;
        let payload = snapshot.locate(state, block as u32)?;
        self.check(block, payload)?;
        if block < self.table.len() {
            self.table.set(block, payload);
        }
        Ok(payload)
    }

    /// What a reader of rows relies on, once per block.
    fn check(&self, block: usize, payload: Payload<'_>) -> Result<()> {
        match self.info.spec.kind {
            Kind::Rows if payload.page != self.info.spec.page => Err(Error::corrupt(format!(
                "block {block} of array {} fills a page of {} bytes instead of {}",
                self.info.id,
                payload.page.bytes(),
                self.info.spec.page.bytes()
            ))),
            Kind::Rows => Ok(()),
            Kind::Csr => csr::check_payload(&self.info, block as u32, payload.bytes),
        }
    }

    pub(crate) fn check_row(&self, row: u32) -> Result<()> {
        if row < self.info.rows { Ok(()) } else { Err(self.out_of_range(row)) }
    }

    #[cold]
    fn out_of_range(&self, row: u32) -> Error {
        Error::RowOutOfRange { array: self.info.id, row, rows: self.info.rows }
    }
}

/// Rows of one width, read in place.
///
/// The slices borrow the snapshot or transaction that the value came from: while they live, neither the file
/// nor the memory under them changes.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    blocks: Blocks<'a>,
    row_bytes: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(blocks: Blocks<'a>) -> Result<Rows<'a>> {
        match blocks.info.spec.kind {
            Kind::Rows => Ok(Rows { blocks, row_bytes: blocks.info.spec.unit_bytes() }),
            Kind::Csr => Err(Error::InvalidSpec(format!(
                "array {} holds CSR rows, not rows of one width",
                blocks.info.id
            ))),
        }
    }

    /// Number of rows.
    #[inline(always)]
    pub fn len(&self) -> u32 {
        self.blocks.info.rows
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of each row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Row number `row`. A block that was not read before is located and its checksum verified first.
    #[inline(always)]
    pub fn get(&self, row: u32) -> Result<&'a [u8]> {
        match self.known(row) {
            Some(bytes) if row < self.len() => Ok(bytes),
            _ => self.locate(row),
        }
    }

    /// The row, if its block was read before. A row beyond the last may be there, too, in the last block.
    #[inline(always)]
    fn known(&self, row: u32) -> Option<&'a [u8]> {
        let (block, place) = self.blocks.rows_per_block.split(row);
        let page = self.blocks.info.spec.page;
        // SAFETY: what the entries point to lives for `'a`, see `Blocks::new`; a block has room for as many rows as its
        // spec says, and `place` is below that.
        #[expect(unsafe_code, reason = "the mapped-block reader")]
        unsafe {
            self.blocks.table.part(block, page, place * self.row_bytes, self.row_bytes)
        }
    }

    #[cold]
    #[inline(never)]
    fn locate(&self, row: u32) -> Result<&'a [u8]> {
        self.blocks.check_row(row)?;
        let (block, place) = self.blocks.rows_per_block.split(row);
        let payload = self.blocks.payload(block)?;
        Ok(&payload.bytes[place * self.row_bytes..][..self.row_bytes])
    }

    /// Rows that are about to be read, each of them on its way into the cache.
    ///
    /// # Panics
    /// If `out` has not as many places as there are numbers.
    #[inline]
    pub fn fetch(&self, rows: &[u32], out: &mut [&'a [u8]]) -> Result<()> {
        assert_eq!(rows.len(), out.len(), "a place for each row");
        // Payloads begin with a line.
        match LINE.is_multiple_of(self.row_bytes) {
            true => self.fetch_each(rows, out, prefetch_first),
            false => self.fetch_each(rows, out, prefetch),
        }
    }

    #[inline(always)]
    fn fetch_each(&self, rows: &[u32], out: &mut [&'a [u8]], prefetch: impl Fn(&[u8])) -> Result<()> {
        // Copies: writing to `out` could change the originals, for all that the compiler knows, which would read them anew.
        let Rows { blocks, row_bytes } = *self;
        let Blocks { info, rows_per_block, table, .. } = blocks;
        for (&row, out) in rows.iter().zip(out) {
            let (block, place) = rows_per_block.split(row);
            // SAFETY: as in `known`.
            #[expect(unsafe_code, reason = "the mapped-block reader")]
            let known = unsafe { table.part(block, info.spec.page, place * row_bytes, row_bytes) };
            let bytes = match known {
                Some(bytes) if row < info.rows => bytes,
                _ => self.locate(row)?,
            };
            prefetch(bytes);
            *out = bytes;
        }
        Ok(())
    }

    /// Fetches the first KiB of row `row` into the cache, if its block was read before.
    #[inline(always)]
    pub fn prefetch(&self, row: u32) {
        if let Some(bytes) = self.known(row) {
            prefetch(&bytes[..self.row_bytes.min(1024)]);
        }
    }

    /// Whether this thread lately had to wait for the disk to bring a mapped page, of a file that does not stay in memory.
    /// Then [`Rows::request`] saves most of the waiting; elsewhere it would only cost calls to the system. To be asked once
    /// a search.
    ///
    /// Always `false` on systems other than Linux, which do not count such waits by thread.
    pub fn waits_for_disk(&self) -> bool {
        self.blocks.waits_for_disk()
    }

    /// Has the system read row `row` from the disk, if its block was read before, without waiting for it. A call to the
    /// system of half a microsecond or more: worth it where [`Rows::waits_for_disk`].
    pub fn request(&self, row: u32) {
        let (block, place) = self.blocks.rows_per_block.split(row);
        self.blocks.request(block, place * self.row_bytes, self.row_bytes);
    }

    /// The same rows, to be read in rising order.
    pub fn in_order(self) -> RowsInOrder<'a> {
        RowsInOrder { rows: self, next: 0 }
    }

    /// The rows from `first` to the end of its block or of the array, whichever comes first, as one slice.
    pub fn run(&self, first: u32) -> Result<&'a [u8]> {
        self.blocks.check_row(first)?;
        let (block, place) = self.blocks.rows_per_block.split(first);
        let in_block = self.blocks.info.spec.rows_per_block as usize - place;
        let rows = in_block.min((self.len() - first) as usize);
        let payload = self.blocks.payload(block)?;
        Ok(&payload.bytes[place * self.row_bytes..][..rows * self.row_bytes])
    }
}

/// Rows that are read in rising order: where that waits for the disk, each block is asked for while the one before is read.
#[derive(Debug)]
pub struct RowsInOrder<'a> {
    rows: Rows<'a>,
    /// The first row of the block after the one that was read last.
    next: u32,
}

impl<'a> RowsInOrder<'a> {
    /// As [`Rows::get`].
    #[inline(always)]
    pub fn get(&mut self, row: u32) -> Result<&'a [u8]> {
        if row >= self.next {
            self.enter(row);
        }
        self.rows.get(row)
    }

    #[cold]
    fn enter(&mut self, row: u32) {
        let blocks = &self.rows.blocks;
        let (block, place) = blocks.rows_per_block.split(row);
        self.next = row.saturating_add(blocks.info.spec.rows_per_block - place as u32);
        if blocks.waits_for_disk() {
            blocks.request(block + 1, 0, blocks.info.spec.page.payload_bytes());
        }
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("info", &self.blocks.info).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_is_exact() {
        for divisor in [1, 2, 3, 5, 7, 21, 31, 32, 127, 1000, 65535] {
            let fast = RowsPerBlock::new(divisor);
            let edges = [0, 1, divisor - 1, divisor, divisor + 1, 12345, u32::MAX - 1, u32::MAX];
            for row in edges.into_iter().chain((0..2000).map(|i| i * 2_147_483)) {
                assert_eq!(fast.split(row), ((row / divisor) as usize, (row % divisor) as usize));
            }
        }
    }

    #[test]
    fn records_come_back_and_damage_is_refused() {
        let info =
            ArrayInfo { id: ArrayId(3), spec: ArraySpec::rows(512, PageSize::KIB_64).unwrap(), rows: 77 };
        let bytes = info.to_bytes();
        assert_eq!(ArrayInfo::from_bytes(info.id, &bytes).unwrap(), info);
        for at in [0, 1, 4, 8] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            assert!(ArrayInfo::from_bytes(info.id, &damaged).is_err(), "byte {at}");
        }
        assert!(ArrayInfo::from_bytes(info.id, &bytes[1..]).is_err());
        assert!(ArraySpec::rows(6, PageSize::KIB_64).is_err());
        assert_eq!(ArraySpec::rows(5000, PageSize::KIB_64).unwrap().page(), PageSize::KIB_256);
        assert!(ArraySpec::csr(3, 8, PageSize::KIB_4).is_err());
    }
}
