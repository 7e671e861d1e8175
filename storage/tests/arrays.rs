//! Random edits of arrays against plain vectors, with snapshots held across commits, and one test for each bug found.
//!
//! `REDKNOT_SEED=n cargo test -p redknot-storage --test arrays` runs another sequence.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod model;

use std::sync::Arc;

use fastrand::Rng;
use model::{Model, Scale, compare, compare_arrays, edit, number, setting};
use redb::TableDefinition;
use redknot_storage::test_disk::TestDisk;
use redknot_storage::{ArraySpec, Error, Options, PageSize, Snapshot, Storage, View};

const TRANSACTIONS: usize = 120;
const RAW_BLOCKS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("redknot.blocks");

fn options() -> Options {
    Options { cache_bytes: 4 << 20, idle_commit: None, ..Options::default() }
}

fn open(disk: &TestDisk, options: &Options) -> Storage {
    Storage::on_disk(Arc::new(disk.clone()), options).unwrap()
}

/// Plays random transactions and compares every snapshot, the old ones again and again.
fn play(seed: u64, options: &Options) {
    println!("seed {seed}, {options:?}");
    let mut rng = Rng::with_seed(seed);
    let disk = TestDisk::new().unwrap();
    let mut storage = open(&disk, options);
    let mut model = Model::default();
    let mut held: Vec<(Arc<Snapshot>, Model)> = Vec::new();
    for step in 0..TRANSACTIONS {
        let mut next = model.clone();
        let mut txn = storage.begin_write().unwrap();
        for _ in 0..rng.usize(1..12) {
            edit(&mut rng, Scale::LARGE, &mut txn, &mut next).unwrap();
        }
        if rng.u8(..3) == 0 {
            assert_eq!(compare_arrays(&txn, &next).unwrap(), None, "seed {seed}, inside transaction {step}");
        }
        match rng.u8(..8) {
            0 => txn.abort().unwrap(),
            1 => drop(txn),
            _ => {
                number(&txn, &mut next).unwrap();
                txn.commit().unwrap();
                model = next;
            }
        }
        let snapshot = storage.snapshot().unwrap();
        if rng.bool() {
            // Otherwise its blocks are first read through a later snapshot, or never.
            assert_eq!(compare(&snapshot, &model).unwrap(), None, "seed {seed}, after transaction {step}");
        }
        held.push((snapshot, model.clone()));
        if held.len() > 6 || rng.u8(..4) == 0 {
            let (snapshot, model) = held.swap_remove(rng.usize(..held.len()));
            assert_eq!(compare(&snapshot, &model).unwrap(), None, "seed {seed}, held until {step}");
        }
        if rng.u8(..20) == 0 {
            for (snapshot, model) in held.drain(..) {
                assert_eq!(compare(&snapshot, &model).unwrap(), None, "seed {seed}, held until {step}");
            }
            if rng.bool() {
                storage.compact().unwrap();
            } else {
                drop(storage);
                storage = open(&disk, options);
            }
            assert_eq!(storage.verify().unwrap(), []);
            let snapshot = storage.snapshot().unwrap();
            assert_eq!(snapshot.reads_in_place(), !options.owned_blocks);
            assert_eq!(compare(&snapshot, &model).unwrap(), None, "seed {seed}, reopened after {step}");
        }
    }
    drop(held);
    assert!(storage.check_integrity().unwrap());
}

#[test]
fn random_edits_agree_with_vectors_when_mapped() {
    play(setting("REDKNOT_SEED", 1), &options());
}

#[test]
fn random_edits_agree_with_vectors_when_maps_are_replaced() {
    play(setting("REDKNOT_SEED", 2), &Options { reserve_bytes: 0, ..options() });
}

#[test]
fn random_edits_agree_with_vectors_when_owned() {
    play(setting("REDKNOT_SEED", 3), &Options { owned_blocks: true, ..options() });
}

/// A file with one array of rows and one of CSR rows, each ending in a half-filled block that is damaged.
fn damaged_last_blocks() -> (TestDisk, [redknot_storage::ArrayId; 2]) {
    let disk = TestDisk::new().unwrap();
    let storage = open(&disk, &options());
    let mut txn = storage.begin_write().unwrap();
    let rows = txn.create_array(ArraySpec::rows(64, PageSize::KIB_4).unwrap()).unwrap();
    let csr = txn.create_array(ArraySpec::csr(4, 8, PageSize::KIB_4).unwrap()).unwrap();
    txn.push_rows(rows, &[0xA5; 64 * 10]).unwrap();
    for _ in 0..3 {
        txn.push_csr_row(csr, &[0xA5; 40]).unwrap();
    }
    txn.commit().unwrap();
    drop(storage);
    let mut image = disk.live();
    let mut damaged = 0;
    for page in image.chunks_mut(4096).filter(|page| page[20..24] == *b"RKB1") {
        page[100] ^= 1;
        damaged += 1;
    }
    assert_eq!(damaged, 2);
    (TestDisk::from_image(image).unwrap(), [rows, csr])
}

#[test]
fn an_append_to_a_damaged_block_changes_nothing() {
    let (disk, [rows, csr]) = damaged_last_blocks();
    for owned_blocks in [false, true] {
        let storage = open(&disk, &Options { owned_blocks, ..options() });
        let mut txn = storage.begin_write().unwrap();
        assert!(matches!(txn.push_rows(rows, &[1; 64 * 100]), Err(Error::Corrupt { .. })));
        assert_eq!(txn.array(rows).unwrap().rows, 10);
        assert!(matches!(txn.push_csr_row(csr, &[1; 4]), Err(Error::Corrupt { .. })));
        assert_eq!(txn.array(csr).unwrap().rows, 3);
        assert!(matches!(txn.set_len(rows, 5), Err(Error::Corrupt { .. })));
        assert_eq!(txn.array(rows).unwrap().rows, 10);
    }
}

/// A snapshot shares block addresses with the one before it. Blocks that went away behind the back of the array
/// calls must not be among them: the later snapshot does not pin their pages.
#[test]
fn blocks_removed_through_redb_are_missing_from_the_next_snapshot() {
    let disk = TestDisk::new().unwrap();
    let storage = open(&disk, &options());
    let mut txn = storage.begin_write().unwrap();
    let spec = ArraySpec::rows(64, PageSize::KIB_4).unwrap();
    let [id, other] = [(); 2].map(|()| txn.create_array(spec).unwrap());
    txn.push_rows(id, &[7; 64 * 63]).unwrap();
    txn.commit().unwrap();
    let old = storage.snapshot().unwrap();
    assert_eq!(old.rows(id).unwrap().get(5).unwrap(), &[7; 64]);

    let txn = storage.begin_write().unwrap();
    txn.transaction().open_table(RAW_BLOCKS).unwrap().remove((id.0, 0)).unwrap();
    txn.commit().unwrap();
    let new = storage.snapshot().unwrap();
    for round in 0..5 {
        assert!(matches!(new.rows(id).unwrap().get(5), Err(Error::MissingBlock { .. })));
        assert_eq!(old.rows(id).unwrap().get(5).unwrap(), &[7; 64]);
        let mut txn = storage.begin_write().unwrap();
        txn.push_rows(other, &[round; 64 * 63]).unwrap();
        txn.commit().unwrap();
    }
}

#[test]
fn the_tables_of_the_arrays_cannot_be_opened_for_writing() {
    let disk = TestDisk::new().unwrap();
    let storage = open(&disk, &options());
    let txn = storage.begin_write().unwrap();
    assert!(matches!(txn.open_table(RAW_BLOCKS), Err(Error::ReservedTable { .. })));
    assert!(matches!(txn.delete_table(RAW_BLOCKS), Err(Error::ReservedTable { .. })));
    txn.commit().unwrap();
    storage.snapshot().unwrap().open_table(RAW_BLOCKS).unwrap();
}
