//! Where the payload of each block lies, and the memory of those that are not in the map. All pointers of the
//! crate are in this file and in `map.rs`.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::block::PageSize;

/// Bytes of a line of the processor's cache.
pub(crate) const LINE: usize = 64;
const ALIGN: usize = LINE;
/// Payloads are aligned to 64 bytes, so the low six bits of their address can say how large their page is.
const TAG_MASK: usize = ALIGN - 1;

/// What the address of the payload of a page is tagged with: not 0, which unknown addresses have.
#[inline(always)]
fn tag(page: PageSize) -> usize {
    usize::from(page.order()) + 1
}

/// Memory of one payload, zeroed and aligned to 64 bytes.
pub(crate) struct PayloadBuf {
    // A raw pointer, not a box: table entries point into the same memory.
    start: NonNull<u8>,
    page: PageSize,
}

// SAFETY: the memory belongs to the value alone, as a boxed slice does; shared access only reads.
#[expect(unsafe_code, reason = "owned memory behind a raw pointer")]
unsafe impl Send for PayloadBuf {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "owned memory behind a raw pointer")]
unsafe impl Sync for PayloadBuf {}

impl PayloadBuf {
    pub(crate) fn zeroed(page: PageSize) -> PayloadBuf {
        let layout = PayloadBuf::layout(page);
        // SAFETY: the layout has a size above zero: the smallest payload is 4,032 bytes.
        #[expect(unsafe_code, reason = "memory aligned to a cache line")]
        let start = NonNull::new(unsafe { alloc_zeroed(layout) });
        let Some(start) = start else { handle_alloc_error(layout) };
        PayloadBuf { start, page }
    }

    fn layout(page: PageSize) -> Layout {
        Layout::from_size_align(page.payload_bytes(), ALIGN)
            .expect("64 is a power of two and a payload is at most 16 MiB")
    }

    pub(crate) fn page(&self) -> PageSize {
        self.page
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `start` points to `payload_bytes` initialised bytes that live as long as `self`.
        #[expect(unsafe_code, reason = "owned memory behind a raw pointer")]
        unsafe {
            std::slice::from_raw_parts(self.start.as_ptr(), self.page.payload_bytes())
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; readers through a table entry borrow the transaction that owns `self`, so none is
        // alive while `self` is borrowed mutably.
        #[expect(unsafe_code, reason = "owned memory behind a raw pointer")]
        unsafe {
            std::slice::from_raw_parts_mut(self.start.as_ptr(), self.page.payload_bytes())
        }
    }
}

impl Drop for PayloadBuf {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this layout, and freed once.
        #[expect(unsafe_code, reason = "owned memory behind a raw pointer")]
        unsafe {
            dealloc(self.start.as_ptr(), PayloadBuf::layout(self.page));
        }
    }
}

impl fmt::Debug for PayloadBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadBuf").field("page", &self.page).finish_non_exhaustive()
    }
}

/// For each block of one array, the payload's address once it is known.
#[derive(Debug, Default)]
pub(crate) struct BlockTable(Vec<AtomicPtr<u8>>);

/// A payload that a table entry points to. The lifetime is that of the snapshot or transaction that keeps the
/// memory from being reused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) page: PageSize,
}

impl BlockTable {
    /// A table of `blocks` unknown entries.
    pub(crate) fn new(blocks: usize) -> BlockTable {
        BlockTable((0..blocks).map(|_| AtomicPtr::new(ptr::null_mut())).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Cuts the table, or adds unknown entries.
    pub(crate) fn resize(&mut self, blocks: usize) {
        self.0.resize_with(blocks, || AtomicPtr::new(ptr::null_mut()));
    }

    /// # Safety
    /// Every entry set through [`BlockTable::set`] must still point to memory that nobody changes or frees for
    /// the lifetime `'a`: the caller holds the snapshot that pins mapped payloads, and the buffers.
    #[inline(always)]
    #[expect(unsafe_code, reason = "table entries are addresses in the map or of owned buffers")]
    pub(crate) unsafe fn get<'a>(&self, block: usize) -> Option<Payload<'a>> {
        let tagged = self.0.get(block)?.load(Ordering::Acquire);
        let order = (tagged.addr() & TAG_MASK).checked_sub(1)?;
        let page = PageSize::from_order(order as u8)?;
        let start = tagged.map_addr(|address| address & !TAG_MASK);
        // SAFETY: `set` stored the address of a payload of this page size; the caller keeps it alive.
        let bytes = unsafe { std::slice::from_raw_parts(start, page.payload_bytes()) };
        Some(Payload { bytes, page })
    }

    /// `len` bytes from `start` on of the payload of `block`; `None` where its address is not known, or it fills another page
    /// than `page`. As [`BlockTable::get`] and a slice of what it returns, in half the instructions: this stands before
    /// every row that a search reads.
    ///
    /// # Safety
    /// As [`BlockTable::get`], and a payload of such a page has as many bytes.
    #[inline(always)]
    #[expect(unsafe_code, reason = "table entries are addresses in the map or of owned buffers")]
    pub(crate) unsafe fn part<'a>(
        &self,
        block: usize,
        page: PageSize,
        start: usize,
        len: usize,
    ) -> Option<&'a [u8]> {
        debug_assert!(start + len <= page.payload_bytes());
        let tagged = self.0.get(block)?.load(Ordering::Acquire);
        let payload = tagged.map_addr(|address| address ^ tag(page));
        if payload.addr() & TAG_MASK != 0 {
            return None;
        }
        // SAFETY: `set` stored the address of a payload of this page size, in which the range lies by the contract of this
        // function; the caller keeps it alive.
        Some(unsafe { std::slice::from_raw_parts(payload.add(start), len) })
    }

    /// Remembers where the payload of `block` lies. `false` where it is not aligned to 64 bytes and so cannot
    /// be remembered.
    pub(crate) fn set(&self, block: usize, payload: Payload<'_>) -> bool {
        debug_assert_eq!(payload.bytes.len(), payload.page.payload_bytes());
        let start = payload.bytes.as_ptr().cast_mut();
        if start.addr() & TAG_MASK != 0 {
            return false;
        }
        let tagged = start.map_addr(|address| address | tag(payload.page));
        self.0[block].store(tagged, Ordering::Release);
        true
    }

    /// Points `block` at memory of the transaction itself.
    pub(crate) fn set_buf(&self, block: usize, buf: &PayloadBuf) {
        let tagged = buf.start.as_ptr().map_addr(|address| address | tag(buf.page));
        self.0[block].store(tagged, Ordering::Release);
    }

    /// Forgets where `block` lies.
    pub(crate) fn forget(&self, block: usize) {
        self.0[block].store(ptr::null_mut(), Ordering::Release);
    }
}

impl Clone for BlockTable {
    fn clone(&self) -> BlockTable {
        BlockTable(self.0.iter().map(|entry| AtomicPtr::new(entry.load(Ordering::Acquire))).collect())
    }
}

/// Asks the processor to fetch the cache lines of `value`. Never faults and never changes a result.
#[inline(always)]
pub fn prefetch<T: ?Sized>(value: &T) {
    let start = ptr::from_ref(value).cast::<u8>();
    prefetch_line(start);
    // A value that does not begin with a line may reach into one more than its length says.
    let before = start.addr() % LINE;
    if before + size_of_val(value) > LINE {
        prefetch_behind(start.wrapping_sub(before), before + size_of_val(value));
    }
}

/// The lines behind the first of `bytes` bytes. Apart, because many values are no longer than a line.
#[inline(never)]
fn prefetch_behind(first: *const u8, bytes: usize) {
    for offset in (LINE..bytes).step_by(LINE) {
        prefetch_line(first.wrapping_add(offset));
    }
}

/// The same for the line that `value` begins in: all of a value that is not longer than a line and does not straddle two.
#[inline(always)]
pub(crate) fn prefetch_first<T: ?Sized>(value: &T) {
    prefetch_line(ptr::from_ref(value).cast());
}

#[inline(always)]
fn prefetch_line(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch is a hint; it reads no memory that the program could observe, whatever the address.
        #[expect(unsafe_code, reason = "prefetching is an intrinsic")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(line.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "the table under test hands out raw memory")]
    fn a_table_returns_what_was_set() {
        let mut buf = PayloadBuf::zeroed(PageSize::KIB_64);
        buf.bytes_mut()[5] = 9;
        let table = BlockTable::new(3);
        table.set_buf(1, &buf);
        // SAFETY: `buf` outlives every payload below.
        unsafe {
            assert!(table.get(0).is_none());
            assert!(table.get(3).is_none());
            let payload = table.get(1).unwrap();
            assert_eq!((payload.bytes[5], payload.page), (9, PageSize::KIB_64));
            let page = PageSize::KIB_64;
            assert_eq!(table.part(1, page, 4, 2), Some(&[0, 9][..]));
            assert_eq!(table.part(1, page, page.payload_bytes() - 1, 1), Some(&[0][..]));
            for (block, page) in
                [(0, page), (0, PageSize::KIB_4), (3, page), (1, PageSize::KIB_4), (1, PageSize::MAX)]
            {
                assert_eq!(table.part(block, page, 0, 1), None);
            }
            assert!(table.clone().get(1).is_some());
            table.forget(1);
            assert!(table.get(1).is_none());
            assert!(table.set(2, Payload { bytes: buf.bytes(), page: buf.page() }));
            assert_eq!(table.get(2).unwrap().bytes[5], 9);
        }
    }
}
