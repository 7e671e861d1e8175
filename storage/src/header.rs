//! The header of a redb file (redb 4.4.0, file format v3: its `docs/design.md`): where pages lie, and which commit
//! is the last.

use xxhash_rust::xxh3::xxh3_128;

const MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";
const FORMAT: u8 = 3;
const GOD_BYTE: usize = 9;
const PRIMARY_BIT: u8 = 1;
const RECOVERY_REQUIRED: u8 = 2;
const TWO_PHASE: u8 = 4;
/// Where the two commit slots begin, and their length.
const SLOTS: usize = 64;
const SLOT_BYTES: usize = 128;
/// Where a slot has the roots of the users' tables and of redb's own.
pub(crate) const USER_ROOT: usize = 8;
pub(crate) const SYSTEM_ROOT: usize = 40;
/// Pages of a region at most: page numbers have 20 bits for the index.
const MOST_REGION_PAGES: u64 = 1 << 20;

/// Length of the part of the file header that is read.
pub(crate) const HEADER_BYTES: usize = 320;

/// A page: offset in the file and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PageRef {
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    page_bytes: u64,
    region_bytes: u64,
    region_header_bytes: u64,
}

impl Geometry {
    pub(crate) fn parse(header: &[u8]) -> Option<Geometry> {
        if header.get(..9)? != MAGIC {
            return None;
        }
        let page_bytes = u64::from(u32_at(header, 12)?);
        let header_pages = u64::from(u32_at(header, 16)?);
        let data_pages = u64::from(u32_at(header, 20)?);
        // redb's own limit, 20 bits; without it the offsets of a damaged header would overflow.
        let counts = header_pages <= MOST_REGION_PAGES && (1..=MOST_REGION_PAGES).contains(&data_pages);
        (page_bytes == 4096 && counts).then_some(Geometry {
            page_bytes,
            region_bytes: (header_pages + data_pages) * page_bytes,
            region_header_bytes: header_pages * page_bytes,
        })
    }

    /// Page numbers are packed: 5 bits order, 19 unused, 20 bits region, 20 bits index in units of the order.
    pub(crate) fn page(&self, number: u64) -> Option<PageRef> {
        let order = (number >> 59) as u32;
        if order > 20 {
            return None;
        }
        let index = number & (0xF_FFFF >> order);
        let region = (number >> 20) & 0xF_FFFF;
        let bytes = self.page_bytes << order;
        let offset = self.page_bytes + region * self.region_bytes + self.region_header_bytes + index * bytes;
        Some(PageRef { offset, bytes: usize::try_from(bytes).ok()? })
    }
}

/// The commit slot that is current.
pub(crate) fn current_slot(header: &[u8]) -> Option<&[u8]> {
    let primary = usize::from(header.get(GOD_BYTE)? & PRIMARY_BIT);
    let slot = header.get(SLOTS + SLOT_BYTES * primary..)?.get(..SLOT_BYTES)?;
    (slot[0] == FORMAT).then_some(slot)
}

/// What the header says about how the file was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// By its writer, in good order.
    Clean,
    /// In the middle of something, but the current commit is known to be whole.
    Interrupted,
    /// In the middle of something: redb verifies the file and chooses the commit.
    Unknown,
}

pub(crate) fn closing(header: &[u8]) -> Closing {
    match header.get(GOD_BYTE).map(|flags| flags & (RECOVERY_REQUIRED | TWO_PHASE)) {
        Some(TWO_PHASE) => Closing::Clean,
        Some(flags) if flags & TWO_PHASE != 0 => Closing::Interrupted,
        // Without either flag: a recovery that was itself interrupted.
        _ => Closing::Unknown,
    }
}

/// The current commit slot, if its checksum is right.
///
/// No checksum covers the bit that says which slot is current. If it is damaged in a file that was closed in good
/// order, redb finds the commit before the last: that is the one before redb's own commit of the closing, with the
/// same content for everybody but redb.
pub(crate) fn whole_slot(header: &[u8]) -> Option<&[u8]> {
    current_slot(header).filter(|slot| {
        let (fields, checksum) = slot.split_at(SLOT_BYTES - 16);
        checksum == xxh3_128(fields).to_le_bytes()
    })
}

/// Whether the regions are cut as redb cuts them for every file of ours. No checksum covers these numbers.
pub(crate) fn has_usual_regions(header: &[u8]) -> bool {
    u32_at(header, 12) == Some(4096)
        && u32_at(header, 16) == Some(0)
        && u32_at(header, 20).map(u64::from) == Some(MOST_REGION_PAGES)
}

/// True where `header` begins as that of a redb file does.
pub fn is_redb(header: &[u8]) -> bool {
    header.starts_with(&MAGIC)
}

/// A header whose only commit is the current one of `header`, without redb's own ("system") tables, marked as in
/// need of repair: whoever opens it verifies every checksum and rebuilds those tables.
pub(crate) fn header_of_user_tables(header: &[u8; HEADER_BYTES]) -> Option<[u8; HEADER_BYTES]> {
    Geometry::parse(header)?;
    let mut slot: [u8; SLOT_BYTES] = current_slot(header)?.try_into().ok()?;
    slot[2] = 0;
    slot[40..72].fill(0);
    let checksum = xxh3_128(&slot[..SLOT_BYTES - 16]);
    slot[SLOT_BYTES - 16..].copy_from_slice(&checksum.to_le_bytes());
    let mut alone = *header;
    // Two-phase: the slot is known to be whole, so redb does not fall back to another.
    alone[GOD_BYTE] = RECOVERY_REQUIRED | TWO_PHASE;
    alone[SLOTS..SLOTS + SLOT_BYTES].copy_from_slice(&slot);
    alone[SLOTS + SLOT_BYTES..SLOTS + 2 * SLOT_BYTES].copy_from_slice(&slot);
    Some(alone)
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn usize_at(bytes: &[u8], at: usize) -> Option<usize> {
    u32_at(bytes, at).map(|x| x as usize)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
