//! The log as it lies in the file (docs/FORMAT.md, "Logs of queries").

use std::collections::HashMap;

use redb::{ReadableTable, TableDefinition};
use redknot_storage::{RESERVED_PREFIX, Snapshot, WriteTxn};

use super::reservoir::Logged;
use crate::catalog::is_missing;
use crate::error::{Error, Result};

const LOGS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("redknot.query_logs");
const FORMAT: u32 = 1;

type Queries<'a> = TableDefinition<'a, u32, &'static [u8]>;

fn queries_name(name: &str) -> String {
    format!("{RESERVED_PREFIX}queries.{name}")
}

/// What the file says of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(super) capacity: u32,
    pub(super) row_bytes: u32,
    pub(super) seed: u64,
    /// Queries seen.
    pub(super) seen: u64,
}

impl Header {
    /// Whether it is of the same log, however many queries that has seen.
    pub(super) fn is_of(&self, other: &Header) -> bool {
        Header { seen: 0, ..*self } == Header { seen: 0, ..*other }
    }

    fn to_bytes(self) -> [u8; 28] {
        let mut bytes = [0; 28];
        for (place, number) in bytes.chunks_exact_mut(4).zip([FORMAT, self.capacity, self.row_bytes]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[12..20].copy_from_slice(&self.seed.to_le_bytes());
        bytes[20..].copy_from_slice(&self.seen.to_le_bytes());
        bytes
    }

    fn from_bytes(name: &str, bytes: &[u8]) -> Result<Header> {
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let header = || {
            let (capacity, row_bytes) = (number(4)?, number(8)?);
            let known = number(0)? == FORMAT && capacity > 0 && bytes.len() == 28;
            known.then_some(Header { capacity, row_bytes, seed: long(12)?, seen: long(20)? })
        };
        header().ok_or_else(|| {
            Error::corrupt(format!(
                "the log of queries of collection {name:?} cannot be read: switch it off, and on again"
            ))
        })
    }
}

/// What a committed state says of the log of collection `name`; `None` where there is none.
pub(super) fn header(snapshot: &Snapshot, name: &str) -> Result<Option<Header>> {
    let table = match snapshot.open_table(LOGS) {
        Ok(table) => table,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let bytes = table.get(name).map_err(Error::redb)?;
    bytes.map(|bytes| Header::from_bytes(name, bytes.value())).transpose()
}

/// The same in an open transaction.
pub(super) fn header_in(txn: &WriteTxn, name: &str) -> Result<Option<Header>> {
    let table = txn.open_table(LOGS)?;
    let bytes = table.get(name).map_err(Error::redb)?;
    bytes.map(|bytes| Header::from_bytes(name, bytes.value())).transpose()
}

/// Makes an empty log, where there is none.
pub(super) fn create(txn: &WriteTxn, name: &str, header: &Header) -> Result<()> {
    txn.open_table(Queries::new(&queries_name(name)))?;
    txn.open_table(LOGS)?.insert(name, header.to_bytes().as_slice()).map_err(Error::redb)?;
    Ok(())
}

/// Writes queries to their slots, and how many were seen.
pub(super) fn write(
    txn: &WriteTxn,
    name: &str,
    header: &Header,
    seen: u64,
    queries: &HashMap<u32, Logged>,
) -> Result<()> {
    let header = Header { seen, ..*header };
    txn.open_table(LOGS)?.insert(name, header.to_bytes().as_slice()).map_err(Error::redb)?;
    let table_name = queries_name(name);
    let mut table = txn.open_table(Queries::new(&table_name))?;
    let mut value = Vec::new();
    for (slot, Logged { number, bytes }) in queries {
        value.clear();
        value.extend_from_slice(&number.to_le_bytes());
        value.extend_from_slice(bytes);
        table.insert(slot, value.as_slice()).map_err(Error::redb)?;
    }
    Ok(())
}

/// The queries of the log that `header` describes, by their slots.
pub(super) fn read(snapshot: &Snapshot, name: &str, header: &Header) -> Result<HashMap<u32, Logged>> {
    let table_name = queries_name(name);
    let table = match snapshot.open_table(Queries::new(&table_name)) {
        Ok(table) => table,
        Err(error) if is_missing(&error) => return Ok(HashMap::new()),
        Err(error) => return Err(error.into()),
    };
    let mut queries = HashMap::new();
    for pair in table.iter().map_err(Error::redb)? {
        let (slot, value) = pair.map_err(Error::redb)?;
        let logged = value
            .value()
            .split_first_chunk()
            .map(|(number, bytes)| Logged { number: u64::from_le_bytes(*number), bytes: bytes.into() });
        let logged = logged.filter(|logged| logged.bytes.len() == header.row_bytes as usize);
        let logged = logged.ok_or_else(|| {
            Error::corrupt(format!(
                "query {} in the log of collection {name:?} cannot be read: switch the log off, and on again",
                slot.value()
            ))
        })?;
        queries.insert(slot.value(), logged);
    }
    Ok(queries)
}

/// Removes the log of a collection with all queries, if there is one.
pub(crate) fn drop_log(txn: &mut WriteTxn, name: &str) -> Result<()> {
    txn.open_table(LOGS)?.remove(name).map_err(Error::redb)?;
    txn.delete_table(Queries::new(&queries_name(name)))?;
    Ok(())
}
