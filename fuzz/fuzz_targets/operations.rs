//! Operations chosen by the fuzzer, with power losses in between, held against plain collections.
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failed call is a finding")]

#[path = "../../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use redknot::{Database, Element, Metric};
use redknot_storage::test_disk::TestDisk;
use support::compare::{commit_of, compare, find_each, search_randomly};
use support::edit::{Choices, Scale, edit, number};
use support::slot::{Shape, ShapeOf, Slot, with_shape};
use support::world::World;

const SLOTS: [Slot; 2] = [
    Slot::new("counted", ShapeOf::Counted, 6, Metric::L2, Element::F32),
    Slot::new("text", ShapeOf::Text, 8, Metric::Cosine, Element::I8),
];
const SCALE: Scale = Scale { keys: 60, import: 12, payload: 100, delete_one_in: 40 };

/// Transactions and builds of one run at most.
const STEPS: usize = 12;

/// Decisions from the fuzzer's bytes; 0 once they are used up.
struct Bytes<'a>(Unstructured<'a>);

impl Choices for Bytes<'_> {
    fn below(&mut self, n: u64) -> u64 {
        self.0.int_in_range(0..=n - 1).unwrap_or(0)
    }
}

fn open(disk: &TestDisk) -> redknot::Result<Database> {
    // A small map: the sanitiser keeps account of every address that is reserved.
    Database::builder()
        .cache_bytes(1 << 20)
        .reserve_bytes(64 << 20)
        .idle_commit(None)
        .on_disk(Arc::new(disk.clone()))
}

fn build_slot<S: Shape>(db: &Database, slot: &Slot, reorder: bool) -> redknot::Result<()> {
    db.build(slot.definition::<S>()).reorder(reorder).checkpoint_every(Some(Duration::ZERO)).run().map(drop)
}

/// One step; whether it was acknowledged. What was in flight when it failed is `next`.
fn step(bytes: &mut Bytes<'_>, db: &Database, world: &World, next: &mut World) -> redknot::Result<()> {
    if bytes.one_in(5) {
        let reorder = bytes.one_in(2);
        return world
            .collections
            .keys()
            .try_for_each(|at| with_shape!(SLOTS[*at], build_slot(db, &SLOTS[*at], reorder)));
    }
    let mut txn = db.begin_write()?;
    let mut content = world.clone();
    for _ in 0..1 + bytes.below(6) {
        edit(bytes, SCALE, &mut txn, &mut content)?;
    }
    if bytes.one_in(8) {
        return txn.abort();
    }
    number(&txn, &mut content)?;
    *next = content;
    txn.commit()
}

fn check(db: &Database, world: &World) {
    let read = db.begin_read().unwrap();
    assert_eq!(compare(&read, world).unwrap(), None);
    find_each(&read, world).unwrap();
    search_randomly(&mut fastrand::Rng::with_seed(world.commit), &read, world).unwrap();
    assert_eq!(db.verify().unwrap().findings, []);
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(Unstructured::new(data));
    let mut disk = TestDisk::new().unwrap();
    let mut db = open(&disk).unwrap();
    let mut world = World::new(&SLOTS);
    for _ in 0..STEPS {
        if bytes.0.is_empty() {
            break;
        }
        if bytes.one_in(4) {
            disk.crash_after(bytes.below(12));
        }
        let mut next = world.clone();
        match step(&mut bytes, &db, &world, &mut next) {
            Ok(()) => world = next,
            Err(error) => {
                assert!(disk.lost_power(), "{error}");
                drop(db);
                let image = disk.window().image(bytes.below(1 << 16), bytes.below(20));
                disk = TestDisk::from_image(image.bytes).unwrap();
                db = open(&disk).unwrap();
                // What the power left is whole, or the next steps would go wrong for that reason.
                if commit_of(&db.begin_read().unwrap()).unwrap() == next.commit {
                    world = next;
                }
                check(&db, &world);
            }
        }
    }
    if !disk.lost_power() {
        check(&db, &world);
    }
});
