//! The check on opening knows every kind of table that redb writes, and finds damage in each.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::sync::Arc;

use redb::{MultimapTableDefinition, ReadableTableMetadata, TableDefinition};
use redknot_storage::test_disk::TestDisk;
use redknot_storage::{ArraySpec, Error, Options, PageSize, Storage, View};

const FIXED: TableDefinition<u64, (u32, u64)> = TableDefinition::new("fixed");
const NAMED: TableDefinition<&str, &str> = TableDefinition::new("named");
const MIXED: TableDefinition<&str, u64> = TableDefinition::new("mixed");
const UNIT: TableDefinition<(), ()> = TableDefinition::new("unit");
const LARGE: TableDefinition<u32, &[u8]> = TableDefinition::new("large");
const EMPTY: TableDefinition<u32, u32> = TableDefinition::new("empty");
const SETS: MultimapTableDefinition<&str, u64> = MultimapTableDefinition::new("sets");
const WORDS: MultimapTableDefinition<u32, &str> = MultimapTableDefinition::new("words");

fn options(check_on_open: bool) -> Options {
    Options { cache_bytes: 4 << 20, idle_commit: None, check_on_open, ..Options::default() }
}

/// A closed file with tables of one to three levels, sets that are trees of their own, a savepoint and blocks.
fn image() -> Vec<u8> {
    let disk = TestDisk::new().unwrap();
    let storage = Storage::on_disk(Arc::new(disk.clone()), &options(true)).unwrap();
    let mut txn = storage.begin_write().unwrap();
    {
        let mut fixed = txn.open_table(FIXED).unwrap();
        let mut named = txn.open_table(NAMED).unwrap();
        let mut mixed = txn.open_table(MIXED).unwrap();
        for i in 0..30_000 {
            fixed.insert(i, (7, i)).unwrap();
        }
        for i in 0..3000 {
            named.insert(format!("name {i}").as_str(), "x".repeat(i % 90).as_str()).unwrap();
            mixed.insert(format!("{i}").as_str(), i as u64).unwrap();
        }
        txn.open_table(UNIT).unwrap().insert((), ()).unwrap();
        txn.open_table(LARGE).unwrap().insert(1, &[9; 100_000][..]).unwrap();
        txn.open_table(EMPTY).unwrap();
        let mut sets = txn.transaction().open_multimap_table(SETS).unwrap();
        let mut words = txn.transaction().open_multimap_table(WORDS).unwrap();
        for i in 0..4000 {
            sets.insert(if i % 4 == 0 { "few" } else { "many" }, i).unwrap();
            words.insert((i % 700) as u32, format!("word {i}").as_str()).unwrap();
        }
    }
    let id = txn.create_array(ArraySpec::rows(4000, PageSize::KIB_4).unwrap()).unwrap();
    txn.push_rows(id, &vec![3; 4000 * 500]).unwrap();
    txn.commit().unwrap();
    let txn = storage.begin_write().unwrap();
    txn.transaction().persistent_savepoint().unwrap();
    txn.commit().unwrap();
    drop(storage);
    disk.live()
}

fn open(image: Vec<u8>, check_on_open: bool) -> Result<Storage, Error> {
    Storage::on_disk(Arc::new(TestDisk::from_image(image).unwrap()), &options(check_on_open))
}

#[test]
fn every_kind_of_table_passes() {
    let storage = open(image(), true).unwrap();
    let snapshot = storage.snapshot().unwrap();
    assert_eq!(snapshot.open_table(FIXED).unwrap().len().unwrap(), 30_000);
    assert_eq!(snapshot.transaction().open_multimap_table(SETS).unwrap().len().unwrap(), 4000);
    let array = snapshot.arrays().next().unwrap();
    assert_eq!(snapshot.rows(array.id).unwrap().get(499).unwrap(), &[3; 4000]);
}

/// One bit in the content of each: a value, a name, a page of a set.
#[test]
fn damage_in_every_kind_of_table_is_found() {
    let image = image();
    let needles: [&[u8]; 4] = [b"name 1234", b"word 2222", &[9; 64], &29_999u64.to_le_bytes()];
    for needle in needles {
        let at = image.windows(needle.len()).position(|bytes| bytes == needle).unwrap();
        let mut damaged = image.clone();
        damaged[at] ^= 0x10;
        let refused = open(damaged, true);
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{needle:?}: {refused:?}");
    }
}

/// Damage to a block does not keep the file from being opened, nor the other blocks from being read.
#[test]
fn a_damaged_block_leaves_the_rest_readable() {
    let mut image = image();
    let needle = [3u8; 4000];
    let at = image.windows(needle.len()).position(|bytes| bytes == needle).unwrap();
    image[at + 77] ^= 1;
    let storage = open(image, true).unwrap();
    let snapshot = storage.snapshot().unwrap();
    let rows = snapshot.rows(snapshot.arrays().next().unwrap().id).unwrap();
    let failed = (0..500).filter(|row| rows.get(*row).is_err()).count();
    assert_eq!(failed, 1);
    assert_eq!(storage.verify().unwrap().len(), 1);
}
