//! What the suite writes: random transactions over collections and an ordinary table, with the content after each.

use std::error::Error;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use redknot::{Database, Element, Metric};
use redknot_storage::test_disk::{Capture, TestDisk, Window};

use crate::support::edit::{Scale, edit, number};
use crate::support::slot::{Shape, ShapeOf, Slot, with_shape};
use crate::support::world::World;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Failure>;

const SLOTS: [Slot; 2] = [
    Slot::new("counted", ShapeOf::Counted, 6, Metric::L2, Element::F32),
    Slot::new("text", ShapeOf::Text, 8, Metric::Cosine, Element::I8),
];
/// Files of little more than redb's smallest.
pub(crate) const SCALE: Scale = Scale { keys: 120, import: 30, payload: 200, delete_one_in: 40 };
const STEPS: usize = 24;

/// Opens what the disk holds, recovering it if needed; an empty disk becomes an empty database.
pub(crate) fn open(disk: &TestDisk) -> redknot::Result<Database> {
    Database::builder().cache_bytes(1 << 20).idle_commit(None).on_disk(Arc::new(disk.clone()))
}

/// A sequence of transactions that is a function of its seed.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    /// `after[n]` is the content once commit `n` is done; a commit is added before it begins.
    after: Mutex<Vec<World>>,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Script {
        Script { seed, after: Mutex::new(vec![World::new(&SLOTS)]) }
    }

    /// The content after a commit that has at least begun.
    pub(crate) fn after(&self, commit: u64) -> Option<World> {
        self.after.lock().unwrap().get(commit as usize).cloned()
    }

    /// Plays the script. Windows carry the number of acknowledged commits + 1, or 0 before the database was
    /// created.
    pub(crate) fn play(&self, honest_disk: bool, windows: SyncSender<Window>) -> Result<()> {
        let mut rng = Rng::with_seed(self.seed);
        let disk = TestDisk::new()?;
        // Where the threads have panicked nobody listens; the scope reports that.
        disk.capture(Capture::Syncs { every: 1 }, move |window| drop(windows.send(window)));
        let mut db = open(&disk)?;
        disk.mark(1);
        if !honest_disk {
            disk.ignore_syncs();
        }
        let mut world = World::new(&SLOTS);
        for _ in 0..STEPS {
            match rng.u8(..20) {
                0 => {
                    drop(db);
                    db = open(&disk)?;
                }
                1 => drop(db.compact()?),
                // A build changes the graph and no content: every state in between is the same commit.
                2..=5 => build(&db, &world, &mut rng)?,
                _ => world = self.transaction(&mut rng, &db, world)?,
            }
            disk.mark(world.commit + 1);
        }
        drop(db);
        disk.stop_capture();
        Ok(())
    }

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
pub(crate) fn build(db: &Database, world: &World, rng: &mut Rng) -> redknot::Result<()> {
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
