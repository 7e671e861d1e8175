//! What the suite writes: random transactions over arrays and an ordinary table, with the content after each.

use std::error::Error;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use redknot_storage::test_disk::{Capture, TestDisk, Window};
use redknot_storage::{Options, Storage};

use crate::model::{Model, Scale, edit, number};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Failure>;

const STEPS: usize = 40;

/// Opens what the disk holds, recovering it if needed; an empty disk becomes an empty database.
pub(crate) fn open(disk: &TestDisk) -> Result<Storage> {
    let options = Options { cache_bytes: 1 << 20, idle_commit: None, ..Options::default() };
    Ok(Storage::on_disk(Arc::new(disk.clone()), &options)?)
}

/// A sequence of transactions that is a function of its seed.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    /// `after[n]` is the content once commit `n` is done; a commit is added before it begins.
    after: Mutex<Vec<Model>>,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Script {
        Script { seed, after: Mutex::new(vec![Model::default()]) }
    }

    /// The content after a commit that has at least begun.
    pub(crate) fn after(&self, commit: u64) -> Option<Model> {
        self.after.lock().unwrap().get(commit as usize).cloned()
    }

    /// Plays the script. Windows carry the number of acknowledged commits + 1, or 0 before the database was
    /// created.
    pub(crate) fn play(&self, honest_disk: bool, windows: SyncSender<Window>) -> Result<()> {
        let mut rng = Rng::with_seed(self.seed);
        let disk = TestDisk::new()?;
        // Where the threads have panicked nobody listens; the scope reports that.
        disk.capture(Capture::Syncs { every: 1 }, move |window| drop(windows.send(window)));
        let mut storage = open(&disk)?;
        disk.mark(1);
        if !honest_disk {
            disk.ignore_syncs();
        }
        let mut model = Model::default();
        for _ in 0..STEPS {
            match rng.u8(..20) {
                0 | 1 => {
                    drop(storage);
                    storage = open(&disk)?;
                }
                2 => drop(storage.compact()?),
                3 | 4 => storage.make_idle_commit()?,
                _ => model = self.transaction(&mut rng, &storage, model)?,
            }
            disk.mark(model.commit + 1);
        }
        drop(storage);
        disk.stop_capture();
        Ok(())
    }

    /// Runs one transaction, or gives it up, and returns what the file then holds.
    fn transaction(&self, rng: &mut Rng, storage: &Storage, model: Model) -> Result<Model> {
        let mut next = model.clone();
        let mut txn = storage.begin_write()?;
        let most = if rng.u8(..6) == 0 { 60 } else { 8 };
        for _ in 0..rng.usize(1..=most) {
            edit(rng, Scale::SMALL, &mut txn, &mut next)?;
        }
        number(&txn, &mut next)?;
        if rng.u8(..8) == 0 {
            txn.abort()?;
            return Ok(model);
        }
        self.after.lock().unwrap().push(next.clone());
        txn.commit()?;
        Ok(next)
    }
}
