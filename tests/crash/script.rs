//! What the suite writes: random transactions over collections and an ordinary table, with the content after each.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use redknot::{Database, Element, Metric};
use redknot_storage::test_disk::{Failure, Script, TestDisk};

use crate::support::compare::{commit_of, compare, find_each, search_randomly};
use crate::support::edit::{Scale, edit, number};
use crate::support::slot::{Shape, ShapeOf, Slot, with_shape};
use crate::support::world::World;

type Result<T> = std::result::Result<T, Failure>;

const SLOTS: [Slot; 2] = [
    Slot::new("counted", ShapeOf::Counted, 6, Metric::L2, Element::F32),
    Slot::new("text", ShapeOf::Text, 8, Metric::Cosine, Element::I8),
];
/// Files of little more than redb's smallest.
const SCALE: Scale = Scale { keys: 120, import: 30, payload: 200, delete_one_in: 40 };
const STEPS: usize = 24;

#[derive(Debug)]
pub(crate) struct Transactions {
    seed: u64,
    /// `after[n]` is the content once commit `n` is done; a commit is added before it begins.
    after: Mutex<Vec<World>>,
}

impl Script for Transactions {
    type Store = Database;
    type Content = World;

    fn new(seed: u64) -> Transactions {
        Transactions { seed, after: Mutex::new(vec![World::new(&SLOTS)]) }
    }

    fn open(disk: &TestDisk) -> Result<Database> {
        Ok(Database::builder().cache_bytes(1 << 20).idle_commit(None).on_disk(Arc::new(disk.clone()))?)
    }

    fn play(&self, mut db: Database, disk: &TestDisk) -> Result<()> {
        let mut rng = Rng::with_seed(self.seed);
        let mut world = World::new(&SLOTS);
        for _ in 0..STEPS {
            match rng.u8(..20) {
                0 => {
                    drop(db);
                    db = Self::open(disk)?;
                }
                1 => drop(db.compact()?),
                // A build changes the graph and no content: every state in between is the same commit.
                2..=5 => build(&db, &world, &mut rng)?,
                _ => world = self.transaction(&mut rng, &db, world)?,
            }
            disk.mark(world.commit + 1);
        }
        Ok(())
    }

    fn after(&self, commit: u64) -> Option<World> {
        self.after.lock().unwrap().get(commit as usize).cloned()
    }

    fn commit_of(db: &Database) -> Result<u64> {
        Ok(commit_of(&db.begin_read()?)?)
    }

    /// Every row is found too, and searches promise what they keep.
    fn compare(db: &Database, expected: &World) -> Result<Option<String>> {
        let read = db.begin_read()?;
        let difference = compare(&read, expected)?;
        if difference.is_none() {
            find_each(&read, expected)?;
            search_randomly(&mut Rng::with_seed(expected.commit), &read, expected)?;
        }
        Ok(difference)
    }

    fn verify(db: &Database, thorough: bool) -> Result<()> {
        let report = db.verify()?;
        if !report.is_clean() {
            return Err(format!("verify: {:?}", report.findings).into());
        }
        if !thorough || db.check_integrity()? {
            Ok(())
        } else {
            Err("the integrity check repaired something".into())
        }
    }

    /// Builds too: where the power was lost in a build, this one goes on from its checkpoint.
    fn write_on(db: &Database, seed: u64, world: &mut World) -> Result<()> {
        let mut rng = Rng::with_seed(seed);
        let mut txn = db.begin_write()?;
        for _ in 0..8 {
            edit(&mut rng, SCALE, &mut txn, world)?;
        }
        number(&txn, world)?;
        txn.commit()?;
        Ok(build(db, world, &mut rng)?)
    }
}

impl Transactions {
    /// Runs one transaction, or gives it up, and returns what the file then holds.
    fn transaction(&self, rng: &mut Rng, db: &Database, world: World) -> Result<World> {
        let mut next = world.clone();
        let mut txn = db.begin_write()?;
        for _ in 0..rng.usize(1..=12) {
            edit(rng, SCALE, &mut txn, &mut next)?;
        }
        if rng.u8(..8) == 0 {
            txn.abort()?;
            return Ok(world);
        }
        number(&txn, &mut next)?;
        self.after.lock().unwrap().push(next.clone());
        txn.commit()?;
        Ok(next)
    }
}

/// Links what is not linked. Half of the builds are cancelled first, which leaves a checkpoint to go on from.
fn build(db: &Database, world: &World, rng: &mut Rng) -> redknot::Result<()> {
    for at in world.collections.keys() {
        let slot = world.slots[*at];
        with_shape!(slot, build_slot(db, &slot, rng))?;
    }
    Ok(())
}

fn build_slot<S: Shape>(db: &Database, slot: &Slot, rng: &mut Rng) -> redknot::Result<()> {
    let build = || db.build(slot.definition::<S>()).threads(NonZero::<usize>::MIN);
    if rng.bool() {
        match build().progress(|_| ControlFlow::Break(())).run() {
            Ok(_) | Err(redknot::Error::Cancelled) => {}
            Err(error) => return Err(error),
        }
        if rng.bool() {
            return Ok(());
        }
    }
    build().reorder(rng.bool()).run().map(drop)
}
