//! What the suite writes: random transactions over arrays and an ordinary table, with the content after each.

use std::sync::{Arc, Mutex};

use fastrand::Rng;
use redknot_storage::test_disk::{Failure, Script, TestDisk};
use redknot_storage::{Options, Storage};

use crate::model::{Model, Scale, commit_of, compare, edit, number};

type Result<T> = std::result::Result<T, Failure>;

const STEPS: usize = 40;

#[derive(Debug)]
pub(crate) struct Transactions {
    seed: u64,
    /// `after[n]` is the content once commit `n` is done; a commit is added before it begins.
    after: Mutex<Vec<Model>>,
}

impl Script for Transactions {
    type Store = Storage;
    type Content = Model;

    fn new(seed: u64) -> Transactions {
        Transactions { seed, after: Mutex::new(vec![Model::default()]) }
    }

    fn open(disk: &TestDisk) -> Result<Storage> {
        let options = Options { cache_bytes: 1 << 20, idle_commit: None, ..Options::default() };
        Ok(Storage::on_disk(Arc::new(disk.clone()), &options)?)
    }

    fn play(&self, mut storage: Storage, disk: &TestDisk) -> Result<()> {
        let mut rng = Rng::with_seed(self.seed);
        let mut model = Model::default();
        for _ in 0..STEPS {
            match rng.u8(..20) {
                0 | 1 => {
                    drop(storage);
                    storage = Self::open(disk)?;
                }
                2 => drop(storage.compact()?),
                3 | 4 => storage.make_idle_commit()?,
                _ => model = self.transaction(&mut rng, &storage, model)?,
            }
            disk.mark(model.commit + 1);
        }
        Ok(())
    }

    fn after(&self, commit: u64) -> Option<Model> {
        self.after.lock().unwrap().get(commit as usize).cloned()
    }

    fn commit_of(storage: &Storage) -> Result<u64> {
        Ok(commit_of(&*storage.snapshot()?)?)
    }

    fn compare(storage: &Storage, expected: &Model) -> Result<Option<String>> {
        Ok(compare(&*storage.snapshot()?, expected)?)
    }

    fn verify(storage: &Storage, thorough: bool) -> Result<()> {
        if !thorough {
            return Ok(());
        }
        let findings = storage.verify()?;
        if !findings.is_empty() {
            return Err(format!("verify: {findings:?}").into());
        }
        if storage.check_integrity()? { Ok(()) } else { Err("the integrity check repaired something".into()) }
    }

    fn write_on(storage: &Storage, seed: u64, model: &mut Model) -> Result<()> {
        let mut rng = Rng::with_seed(seed);
        let mut txn = storage.begin_write()?;
        for _ in 0..12 {
            edit(&mut rng, Scale::SMALL, &mut txn, model)?;
        }
        number(&txn, model)?;
        Ok(txn.commit()?)
    }
}

impl Transactions {
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
