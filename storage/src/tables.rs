//! The redb tables of this crate, and the names that are kept for the layers above it.

use redb::TableDefinition;

/// Names of tables that begin so belong to redknot.
pub const RESERVED_PREFIX: &str = "redknot.";

/// Newest file format that this library reads and the one it writes.
pub const FORMAT_VERSION: u32 = 1;

/// (array, block) → block.
pub(crate) const BLOCKS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("redknot.blocks");
/// Array → shape and length.
pub(crate) const ARRAYS: TableDefinition<u64, &[u8]> = TableDefinition::new("redknot.arrays");
/// What the file is.
pub(crate) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("redknot.meta");

/// `META`: magic and format version.
pub(crate) const META_FORMAT: &str = "format";
/// `META`: number of the last transaction that changed an array.
pub(crate) const META_VERSION: &str = "version";
/// `META`: number that the next array gets.
pub(crate) const META_NEXT_ARRAY: &str = "next_array";

const MAGIC: &[u8; 8] = b"REDKNOT\0";

/// Value of [`META_FORMAT`].
pub(crate) fn format_record() -> Vec<u8> {
    let mut record = MAGIC.to_vec();
    record.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    record
}

/// The version in a format record, or `None` where it is none.
pub(crate) fn parse_format(record: &[u8]) -> Option<u32> {
    let version = record.strip_prefix(MAGIC)?;
    Some(u32::from_le_bytes(version.try_into().ok()?))
}
