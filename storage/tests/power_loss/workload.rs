//! What the suite writes: random transactions over arrays and an ordinary table, with the content after each.

use std::ops::RangeInclusive;
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

    fn check(&self, storage: &Storage, possible: RangeInclusive<u64>) -> Result<u64> {
        let snapshot = storage.snapshot()?;
        let commit = commit_of(&snapshot)?;
        let Some(expected) = self.after(commit).filter(|_| possible.contains(&commit)) else {
            return Err(format!("recovered commit {commit}, possible are {possible:?}").into());
        };
        match compare(&snapshot, &expected)? {
            None => Ok(commit),
            Some(difference) => {
                Err(format!("what commit {commit} wrote is not what is found: {difference}").into())
            }
        }
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

    /// One more commit, and all of it must be there.
    fn write_on(&self, storage: Storage, disk: &TestDisk, seed: u64, commit: u64) -> Result<()> {
        let mut model = self.after(commit).ok_or("no such commit")?;
        let mut rng = Rng::with_seed(seed ^ model.commit);
        let mut txn = storage.begin_write()?;
        for _ in 0..12 {
            edit(&mut rng, Scale::SMALL, &mut txn, &mut model)?;
        }
        number(&txn, &mut model)?;
        txn.commit()?;
        drop(storage);
        let storage = Self::open(disk)?;
        if let Some(difference) = compare(&*storage.snapshot()?, &model)? {
            return Err(format!("a commit after the recovery is not found whole: {difference}").into());
        }
        Self::verify(&storage, true)
    }
}

impl Transactions {
    /// The content after a commit that has at least begun.
    fn after(&self, commit: u64) -> Option<Model> {
        self.after.lock().unwrap().get(commit as usize).cloned()
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
