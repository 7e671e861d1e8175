//! One block: the value of one redb pair, sized so that it fills a redb page (docs/FORMAT.md, "Blocks").

use xxhash_rust::xxh3::xxh3_64_with_seed;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::array::ArrayId;
use crate::error::{Error, Result};

/// Bytes that redb puts before the value in a leaf page of one pair: type, padding and count (4), end of the
/// value (4), key (12).
pub(crate) const LEAF_OVERHEAD: usize = 4 + 4 + 12;
/// Where the payload begins in its page. The header fills what redb leaves of the first 64 bytes, so that the
/// payload is aligned to 64 bytes in the file and in the map.
pub(crate) const PAYLOAD_START: usize = 64;
/// Length of the block header.
pub(crate) const HEADER_BYTES: usize = PAYLOAD_START - LEAF_OVERHEAD;

const MAGIC: [u8; 4] = *b"RKB1";

/// Size of the redb page that a block fills: 4 KiB · 2^order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageSize(u8);

impl PageSize {
    /// 4 KiB, the smallest: adjacency and other small rows.
    pub const KIB_4: PageSize = PageSize(0);
    /// 16 KiB: small rows that are mostly read.
    pub const KIB_16: PageSize = PageSize(2);
    /// 64 KiB: vectors.
    pub const KIB_64: PageSize = PageSize(4);
    /// 256 KiB: rows of 4 KiB and more.
    pub const KIB_256: PageSize = PageSize(6);
    /// 16 MiB, the largest.
    pub const MAX: PageSize = PageSize(12);

    /// The page size 4 KiB · 2^`order`, or `None` above 16 MiB.
    pub fn from_order(order: u8) -> Option<PageSize> {
        (order <= PageSize::MAX.0).then_some(PageSize(order))
    }

    /// The smallest page size of at least `self` whose payload takes `bytes`.
    pub fn fitting(self, bytes: usize) -> Option<PageSize> {
        (self.0..=PageSize::MAX.0).map(PageSize).find(|page| page.payload_bytes() >= bytes)
    }

    /// k in 4 KiB · 2^k.
    pub fn order(self) -> u8 {
        self.0
    }

    /// Bytes of the page.
    pub fn bytes(self) -> usize {
        4096 << self.0
    }

    /// Bytes of the page that hold rows.
    pub fn payload_bytes(self) -> usize {
        self.bytes() - PAYLOAD_START
    }

    /// Bytes of the redb value that fills the page.
    pub(crate) fn value_bytes(self) -> usize {
        self.bytes() - LEAF_OVERHEAD
    }

    /// The page size whose value has `len` bytes.
    pub(crate) fn of_value(len: usize) -> Option<PageSize> {
        let bytes = len + LEAF_OVERHEAD;
        if !bytes.is_power_of_two() || bytes < 4096 {
            return None;
        }
        PageSize::from_order((bytes.trailing_zeros() - 12) as u8)
    }
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    block: U32,
    array: U64,
    /// Number of the transaction that wrote the block.
    version: U64,
    payload_bytes: U32,
    reserved: [u8; 8],
    checksum: U64,
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);

/// Writes header and checksum of `value`, whose payload is in place.
pub(crate) fn seal(value: &mut [u8], array: ArrayId, block: u32, version: u64) {
    let (head, payload) = value.split_at_mut(HEADER_BYTES);
    let mut header = Header {
        magic: MAGIC,
        block: block.into(),
        array: array.0.into(),
        version: version.into(),
        payload_bytes: (payload.len() as u32).into(),
        reserved: [0; 8],
        checksum: 0.into(),
    };
    header.checksum = checksum(&header, payload).into();
    head.copy_from_slice(header.as_bytes());
}

/// Checks that `value` is block `block` of `array`, whole, and returns its payload.
pub(crate) fn check(value: &[u8], array: ArrayId, block: u32) -> Result<&[u8]> {
    let (header, payload) = check_identity(value, array, block)?;
    if header.checksum.get() != checksum(header, payload) {
        return Err(Error::corrupt(format!("block {block} of array {array} fails its checksum")));
    }
    Ok(payload)
}

/// Checks the header of `value` without reading its payload.
pub(crate) fn check_header(value: &[u8], array: ArrayId, block: u32) -> Result<&[u8]> {
    check_identity(value, array, block).map(|(_, payload)| payload)
}

fn check_identity(value: &[u8], array: ArrayId, block: u32) -> Result<(&Header, &[u8])> {
    let damaged = |what: &str| Error::corrupt(format!("block {block} of array {array}: {what}"));
    if PageSize::of_value(value.len()).is_none() {
        return Err(damaged(&format!("a value of {} bytes fills no page", value.len())));
    }
    let (header, payload) =
        Header::ref_from_prefix(value).map_err(|_| damaged("shorter than a block header"))?;
    if header.magic != MAGIC {
        return Err(damaged("no block header"));
    }
    if header.array.get() != array.0 || header.block.get() != block {
        return Err(damaged(&format!("the header names block {} of array {}", header.block, header.array)));
    }
    if header.payload_bytes.get() as usize != payload.len() {
        return Err(damaged(&format!(
            "the header says {} payload bytes, the page holds {}",
            header.payload_bytes,
            payload.len()
        )));
    }
    Ok((header, payload))
}

/// xxh3 of the payload, seeded with that of the header before the checksum, so that neither can be swapped.
fn checksum(header: &Header, payload: &[u8]) -> u64 {
    let fields = &header.as_bytes()[..HEADER_BYTES - size_of::<U64>()];
    xxh3_64_with_seed(payload, xxh3_64_with_seed(fields, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_is_noticed() {
        let mut value = vec![0u8; PageSize::KIB_4.value_bytes()];
        for (i, byte) in value.iter_mut().enumerate() {
            *byte = (i * 31) as u8;
        }
        seal(&mut value, ArrayId(7), 3, 9);
        assert!(check(&value, ArrayId(7), 3).is_ok());
        assert!(check(&value, ArrayId(7), 4).is_err());
        for bit in 0..value.len() * 8 {
            value[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&value, ArrayId(7), 3).is_err(), "bit {bit}");
            value[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn page_sizes() {
        assert_eq!(PageSize::KIB_4.payload_bytes(), 4032);
        assert_eq!(PageSize::KIB_64.bytes(), 65536);
        assert_eq!(PageSize::of_value(65516), Some(PageSize::KIB_64));
        assert_eq!(PageSize::of_value(65515), None);
        assert_eq!(PageSize::KIB_4.fitting(4033), PageSize::from_order(1));
    }
}
