//! What the crash writer writes: transactions that follow from their number alone, so that whoever looks at the file
//! after a kill knows what has to be in it. Shared with the tests of the command line.

use std::collections::BTreeMap;

/// The collection that is written.
pub(crate) const COLLECTION: &str = "crash";

/// Coordinates of each vector.
pub(crate) const DIM: usize = 16;

/// New rows of each transaction.
const INSERTS: u64 = 4;

/// One change of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// The row has this content from now on, whether it was there or not.
    Put { key: u64, row: Row },
    /// The row is not there from now on, whether it was or not.
    Remove { key: u64 },
}

/// Content of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) vector: [f32; DIM],
    pub(crate) payload: String,
}

/// The changes of transaction `number`, counted from 1: new rows, one earlier row changed, one earlier row removed.
pub(crate) fn transaction(number: u64) -> Vec<Change> {
    let first = INSERTS * number;
    let mut changes: Vec<_> = (first..first + INSERTS).map(|key| put(key, number)).collect();
    // Keys below those of the first transaction name no row; keys of removed rows come back.
    changes.push(put(mix(number) % first, number));
    changes.push(Change::Remove { key: mix(!number) % first });
    changes
}

/// The rows that are there after transactions 1 to `last`.
pub(crate) fn rows_after(last: u64) -> BTreeMap<u64, Row> {
    let mut rows = BTreeMap::new();
    for change in (1..=last).flat_map(transaction) {
        match change {
            Change::Put { key, row } => rows.insert(key, row),
            Change::Remove { key } => rows.remove(&key),
        };
    }
    rows
}

fn put(key: u64, number: u64) -> Change {
    let mut state = mix(key ^ (number << 32));
    let vector = std::array::from_fn(|_| {
        state = mix(state);
        // 24 bits: exact in f32, so that what is read back can be compared.
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    });
    Change::Put { key, row: Row { vector, payload: format!("row {key} of transaction {number}") } }
}

/// splitmix64, Steele, Lea, Flood 2014: <https://doi.org/10.1145/2660193.2660195>.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
