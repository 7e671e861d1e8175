//! Readers on other threads while one writes: each of them sees one commit, whole, for as long as it looks.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod support;

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use fastrand::Rng;
use redknot::{Database, Element, Metric};
use support::compare::{commit_of, compare, find_each, search_randomly};
use support::edit::{Scale, edit, number};
use support::slot::{Shape, ShapeOf, Slot, with_shape};
use support::world::World;
use support::{seed, setting};

const SLOTS: [Slot; 2] = [
    Slot::new("counted", ShapeOf::Counted, 16, Metric::L2, Element::F32),
    Slot::new("text", ShapeOf::Text, 12, Metric::Cosine, Element::I8),
];
const SCALE: Scale = Scale { keys: 600, import: 60, payload: 100, delete_one_in: 200 };
const READERS: u64 = 3;

/// What each commit should show, published before it can be seen.
struct Published {
    worlds: RwLock<Vec<World>>,
    done: AtomicBool,
    looks: AtomicU64,
}

/// Takes states and looks at each of them for a while.
fn read(db: &Database, published: &Published, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut last = 0;
    loop {
        let done = published.done.load(Relaxed);
        let read = db.begin_read().unwrap();
        let commit = commit_of(&read).unwrap();
        assert!(commit >= last, "commit {commit} was seen after {last}");
        last = commit;
        let world = published.worlds.read().unwrap()[commit as usize].clone();
        for _ in 0..rng.usize(1..6) {
            search_randomly(&mut rng, &read, &world).unwrap();
        }
        find_each(&read, &world).unwrap();
        assert_eq!(compare(&read, &world).unwrap(), None);
        published.looks.fetch_add(1, Relaxed);
        if done {
            return;
        }
    }
}

fn build_slot<S: Shape>(db: &Database, slot: &Slot) {
    db.build(slot.definition::<S>()).reorder(true).run().unwrap();
}

fn write(db: &Database, published: &Published, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new(&SLOTS);
    for round in 0..setting("REDKNOT_COMMITS", 120) {
        if round % 20 == 19 {
            for at in world.collections.keys() {
                with_shape!(SLOTS[*at], build_slot(db, &SLOTS[*at]));
            }
        }
        let mut txn = db.begin_write().unwrap();
        for _ in 0..rng.usize(1..25) {
            edit(&mut rng, SCALE, &mut txn, &mut world).unwrap();
        }
        number(&txn, &mut world).unwrap();
        published.worlds.write().unwrap().push(world.clone());
        txn.commit().unwrap();
    }
}

/// Sets the flag also where a thread panics, so that the others end.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn readers_see_whole_commits_while_one_writes() {
    let seed = seed();
    let folder = tempfile::tempdir().unwrap();
    let db = Database::builder().idle_commit(None).create(folder.path().join("db")).unwrap();
    let published = Published {
        worlds: RwLock::new(vec![World::new(&SLOTS)]),
        done: AtomicBool::new(false),
        looks: AtomicU64::new(0),
    };
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let (db, published) = (&db, &published);
            scope.spawn(move || {
                let _done = Done(&published.done);
                read(db, published, seed + 1 + reader);
            });
        }
        let _done = Done(&published.done);
        write(&db, &published, seed);
    });
    println!("{} states were looked at", published.looks.load(Relaxed));
    assert_eq!(db.verify().unwrap().findings, []);
}
