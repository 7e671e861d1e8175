//! Random operations on whole databases, held against plain collections and brute force: after every commit all
//! that is there is what should be, every search promises what it keeps, and `verify` finds nothing.
//!
//! `REDKNOT_CASES=256 cargo test --release --test model -- --nocapture` runs more cases than the default,
//! `REDKNOT_SEED=n` others.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use redknot::{Database, ReadTransaction};
use support::compare::{compare, find_each, search_randomly};
use support::edit::{Scale, edit, number};
use support::oracle::Recall;
use support::slot::{Shape, Slot, with_shape};
use support::world::World;
use support::{seed, setting};

const SCALE: Scale = Scale { keys: 500, import: 80, payload: 300, delete_one_in: 60 };
const STEPS: usize = 16;

/// A database and what it should hold.
struct Case {
    folder: tempfile::TempDir,
    path: PathBuf,
    db: Database,
    world: World,
    /// States that are held, with what they should show for as long as they are.
    held: Vec<(ReadTransaction, World)>,
    recall: Recall,
}

fn open(path: &Path, rng: &mut Rng) -> Database {
    let builder = Database::builder().cache_bytes(8 << 20).owned_blocks(rng.u8(..4) == 0).idle_commit(None);
    if path.exists() { builder.open(path).unwrap() } else { builder.create(path).unwrap() }
}

impl Case {
    fn new(rng: &mut Rng) -> Case {
        let slots = [Slot::random("one", rng), Slot::random("two", rng)];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let db = open(&path, rng);
        Case { folder, path, db, world: World::new(&slots), held: Vec::new(), recall: Recall::default() }
    }

    fn step(mut self, rng: &mut Rng) -> Case {
        match rng.u8(..16) {
            0 => {
                self.held.clear();
                let Case { folder, path, db, world, held, recall } = self;
                drop(db);
                let db = open(&path, rng);
                self = Case { folder, path, db, world, held, recall };
            }
            1 => {
                self.held.clear();
                self.db.compact().unwrap();
            }
            2 => self.backup(rng),
            3 | 4 => self.build(rng),
            5 => self.hold(),
            _ => self.transaction(rng),
        }
        self.check(rng);
        self
    }

    fn transaction(&mut self, rng: &mut Rng) {
        let mut txn = self.db.begin_write().unwrap();
        let mut next = self.world.clone();
        for _ in 0..rng.usize(1..20) {
            edit(rng, SCALE, &mut txn, &mut next).unwrap();
        }
        match rng.u8(..8) {
            0 => txn.abort().unwrap(),
            1 => drop(txn),
            _ => {
                number(&txn, &mut next).unwrap();
                txn.commit().unwrap();
                self.world = next;
            }
        }
    }

    fn build(&mut self, rng: &mut Rng) {
        for (at, rows) in &self.world.collections {
            let slot = self.world.slots[*at];
            with_shape!(slot, build_slot(&self.db, &slot, rng));
            let info = self.db.collections().unwrap();
            let info = info.iter().find(|info| info.name == slot.name).unwrap();
            assert_eq!((info.unlinked, info.rows), (0, rows.len() as u64));
        }
    }

    fn backup(&mut self, rng: &mut Rng) {
        let copy = self.folder.path().join(format!("copy {}", rng.u32(..)));
        self.db.backup(&copy).unwrap();
        let db = Database::open_read_only(&copy).unwrap();
        assert_eq!(compare(&db.begin_read().unwrap(), &self.world).unwrap(), None);
        assert_eq!(db.verify().unwrap().findings, []);
    }

    fn hold(&mut self) {
        if self.held.len() == 3 {
            self.held.remove(0);
        }
        self.held.push((self.db.begin_read().unwrap(), self.world.clone()));
    }

    fn check(&mut self, rng: &mut Rng) {
        let read = self.db.begin_read().unwrap();
        assert_eq!(compare(&read, &self.world).unwrap(), None);
        assert_eq!(self.db.verify().unwrap().findings, []);
        find_each(&read, &self.world).unwrap();
        self.recall.add(search_randomly(rng, &read, &self.world).unwrap());
        for (read, world) in &self.held {
            assert_eq!(compare(read, world).unwrap(), None, "a state that is held has changed");
            search_randomly(rng, read, world).unwrap();
        }
    }
}

fn build_slot<S: Shape>(db: &Database, slot: &Slot, rng: &mut Rng) {
    let build = db.build(slot.definition::<S>()).reorder(rng.bool());
    build.checkpoint_every(rng.bool().then_some(Duration::ZERO)).run().unwrap();
}

#[test]
fn whole_databases_do_what_plain_collections_do() {
    let first = seed();
    let mut recall = Recall::default();
    for case_seed in first..first + setting("REDKNOT_CASES", 12) {
        println!("case REDKNOT_SEED={case_seed} REDKNOT_CASES=1");
        let mut rng = Rng::with_seed(case_seed);
        let mut case = Case::new(&mut rng);
        for _ in 0..STEPS {
            case = case.step(&mut rng);
        }
        recall.add(case.recall);
    }
    println!("recall {:.4} over {} expected hits", recall.share(), recall.expected);
    assert!(recall.share() >= 0.9, "recall {} of {recall:?}", recall.share());
}
