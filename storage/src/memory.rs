//! Where the payload of each block lies, and the memory of those that are not in the map. All pointers of the
//! crate are in this file and in `map.rs`.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::block::PageSize;

const ALIGN: usize = 64;
/// Payloads are aligned to 64 bytes, so the low six bits of their address carry the page order.
const ORDER_MASK: usize = ALIGN - 1;

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
        if tagged.is_null() {
            return None;
        }
        let page = PageSize::from_order((tagged.addr() & ORDER_MASK) as u8)?;
        let start = tagged.map_addr(|address| address & !ORDER_MASK);
        // SAFETY: `set` stored the address of a payload of this page size; the caller keeps it alive.
        let bytes = unsafe { std::slice::from_raw_parts(start, page.payload_bytes()) };
        Some(Payload { bytes, page })
    }

    /// Remembers where the payload of `block` lies. `false` where it is not aligned to 64 bytes and so cannot
    /// be remembered.
    pub(crate) fn set(&self, block: usize, payload: Payload<'_>) -> bool {
        debug_assert_eq!(payload.bytes.len(), payload.page.payload_bytes());
        let start = payload.bytes.as_ptr().cast_mut();
        if start.addr() & ORDER_MASK != 0 {
            return false;
        }
        let tagged = start.map_addr(|address| address | payload.page.order() as usize);
        self.0[block].store(tagged, Ordering::Release);
        true
    }

    /// Points `block` at memory of the transaction itself.
    pub(crate) fn set_buf(&self, block: usize, buf: &PayloadBuf) {
        let tagged = buf.start.as_ptr().map_addr(|address| address | buf.page.order() as usize);
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
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = ptr::from_ref(value).cast::<i8>();
        // A value that does not begin with a line may reach into one more than its length says.
        let before = start.addr() % ALIGN;
        // Most values take one line or two: the compiler makes eight at a time of an iterator's steps.
        let mut offset = 0;
        while offset < before + size_of_val(value) {
            // SAFETY: a prefetch is a hint; it reads no memory that the program could observe, whatever the address.
            #[expect(unsafe_code, reason = "prefetching is an intrinsic")]
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(start.wrapping_sub(before).wrapping_add(offset));
            }
            offset += ALIGN;
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
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
            assert!(table.clone().get(1).is_some());
            table.forget(1);
            assert!(table.get(1).is_none());
            assert!(table.set(2, Payload { bytes: buf.bytes(), page: buf.page() }));
            assert_eq!(table.get(2).unwrap().bytes[5], 9);
        }
    }
}
