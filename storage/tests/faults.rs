//! Every call of the disk fails once, or from then on, in turn; the disk fills up at every length. The result is an
//! error or success, what is read is right, and once the disk works again the file opens with the last acknowledged
//! commit or the one in flight.
//!
//! `REDKNOT_FAULT_STEP=1 cargo test -p redknot-storage --test faults -- --nocapture` leaves out no call.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod model;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fastrand::Rng;
use model::{Model, Scale, commit_of, compare, edit, number, setting};
use redknot_storage::test_disk::{Capacity, Fault, Loss, Operation, TestDisk};
use redknot_storage::{Error, Options, Result, Storage};

/// Files that grow while they are changed.
const SCALE: Scale = Scale { arrays: 5, array_bytes: 250_000, table_keys: 60 };

fn options() -> Options {
    // As little cache as there can be: more reads and earlier writes that can fail.
    Options { cache_bytes: 1 << 20, idle_commit: None, ..Options::default() }
}

#[derive(Clone, Copy, Debug)]
enum Workload {
    /// Create the file, tables and arrays.
    Create,
    /// Overwrite, delete and grow.
    Change,
    /// Reopen, compact, check and back up.
    Maintain,
}

/// What a trial has been promised.
#[derive(Debug, Default)]
struct Promised {
    /// Opening has succeeded at least once.
    created: bool,
    acknowledged: Model,
    in_flight: Option<Model>,
    /// Errors that were returned.
    errors: Vec<Error>,
}

impl Promised {
    fn allows(&self, found: &Model) -> bool {
        *found == self.acknowledged || self.in_flight.as_ref() == Some(found)
    }

    /// Keeps an error, and checks that it is one of a disk that fails.
    fn note(&mut self, error: Error) {
        let said = error.to_string();
        assert!(!said.contains("redb met what it cannot read"), "a panic inside redb: {said}");
        assert!(!matches!(error, Error::Table(_)), "not recognised as an error of the disk: {error:?}");
        self.errors.push(error);
    }
}

/// A file with some content, and what it is.
fn base() -> (Vec<u8>, Model) {
    let disk = TestDisk::new().unwrap();
    let storage = Storage::on_disk(Arc::new(disk.clone()), &options()).unwrap();
    let mut promised = Promised::default();
    for seed in 0..6 {
        transaction(&storage, seed, &mut promised);
    }
    drop(storage);
    assert!(promised.errors.is_empty());
    (disk.live(), promised.acknowledged)
}

/// One transaction; says whether it was committed.
fn transaction(storage: &Storage, seed: u64, promised: &mut Promised) {
    let mut next = promised.acknowledged.clone();
    let mut rng = Rng::with_seed(seed);
    let prepared = storage.begin_write().and_then(|mut txn| {
        for _ in 0..8 {
            edit(&mut rng, SCALE, &mut txn, &mut next)?;
        }
        number(&txn, &mut next)?;
        Ok(txn)
    });
    let committed = match prepared {
        Ok(txn) => {
            promised.in_flight = Some(next.clone());
            txn.commit().inspect_err(|error| {
                let stopped = |error| matches!(error, Some(Error::Poisoned { .. }));
                assert!(stopped(storage.begin_write().err()), "begin_write after {error}");
                assert!(stopped(storage.snapshot().err()), "snapshot after {error}");
            })
        }
        Err(error) => Err(error),
    };
    match committed {
        Ok(()) => {
            promised.acknowledged = next;
            promised.in_flight = None;
        }
        Err(error) => promised.note(error),
    }
}

/// Reads what the handle shows; right or an error.
fn read(storage: &Storage, promised: &mut Promised) {
    let found = storage.snapshot().and_then(|snapshot| compare(&snapshot, &promised.acknowledged));
    match found {
        Ok(difference) => assert_eq!(difference, None, "wrong content while the disk fails"),
        Err(error) => promised.note(error),
    }
}

fn run(workload: Workload, disk: &TestDisk, promised: &mut Promised) {
    let storage = match Storage::on_disk(Arc::new(disk.clone()), &options()) {
        Ok(storage) => storage,
        Err(error) => return promised.note(error),
    };
    promised.created = true;
    match workload {
        Workload::Create | Workload::Change => {
            for seed in 100..103 {
                transaction(&storage, seed, promised);
                read(&storage, promised);
            }
        }
        Workload::Maintain => maintain(&storage, promised),
    }
    drop(storage);
}

fn maintain(storage: &Storage, promised: &mut Promised) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backup.redknot");
    read(storage, promised);
    for step in 0..4 {
        let done = match step {
            0 => storage.compact().map(drop),
            1 => storage.check_integrity().map(|sound| assert!(sound, "nothing is damaged")),
            2 => storage.verify().map(|findings| assert_eq!(findings, [])),
            _ => storage.backup(&path),
        };
        if let Err(error) = done {
            promised.note(error);
            assert!(step < 3 || !path.exists(), "half a backup was left");
        } else if step == 3 {
            let copy = Storage::open_read_only(&path, &options()).unwrap();
            assert_eq!(compare(&copy.snapshot().unwrap(), &promised.acknowledged).unwrap(), None);
        }
        read(storage, promised);
    }
}

/// What the file holds: the acknowledged content, or that of the commit in flight.
fn settle(disk: &TestDisk, promised: &Promised) -> Result<(), String> {
    let storage = match Storage::on_disk(Arc::new(disk.clone()), &options()) {
        Ok(storage) => storage,
        // It was never there.
        Err(_) if !promised.created => return Ok(()),
        Err(error) => return Err(format!("does not open: {error}")),
    };
    let check = || -> Result<Option<String>> {
        let snapshot = storage.snapshot()?;
        let commit = commit_of(&snapshot)?;
        let in_flight = promised.in_flight.as_ref().filter(|model| model.commit == commit);
        let expected = in_flight.unwrap_or(&promised.acknowledged);
        assert!(promised.allows(expected));
        if let Some(difference) = compare(&snapshot, expected)? {
            return Ok(Some(format!("commit {commit}: {difference}")));
        }
        drop(snapshot);
        let sound = storage.check_integrity()?;
        Ok((!sound).then(|| "the integrity check repaired something".into()))
    };
    match check() {
        Ok(None) => Ok(()),
        Ok(Some(difference)) => Err(difference),
        Err(error) => Err(error.to_string()),
    }
}

/// Counts of a sweep.
#[derive(Debug, Default)]
struct Sweep {
    trials: u64,
    with_errors: u64,
    no_space: u64,
}

impl Sweep {
    /// Runs the workload on a disk that `prepare` has set up to fail, then lets the disk recover.
    fn trial(
        &mut self,
        workload: Workload,
        base: &(Vec<u8>, Model),
        what: &str,
        prepare: impl Fn(&TestDisk),
    ) {
        let (image, model) = match workload {
            Workload::Create => (Vec::new(), Model::default()),
            Workload::Change | Workload::Maintain => base.clone(),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let disk = TestDisk::from_image(image.clone()).unwrap();
            let mut promised =
                Promised { created: !image.is_empty(), acknowledged: model, ..Promised::default() };
            prepare(&disk);
            run(workload, &disk, &mut promised);
            disk.heal();
            disk.set_capacity(Capacity::default());
            let after_power_loss = disk.window().image_after(Loss::Drop, self.trials, 0);
            settle(&disk, &promised).map_err(|error| format!("reopened: {error}"))?;
            let disk = TestDisk::from_image(after_power_loss.bytes.clone()).unwrap();
            settle(&disk, &promised).map_err(|error| format!("after a power loss: {error}"))?;
            Ok::<Promised, String>(promised)
        }));
        let promised = match outcome {
            Ok(Ok(promised)) => promised,
            Ok(Err(error)) => panic!("{workload:?}, {what}: {error}"),
            Err(_) => panic!("{workload:?}, {what}: panicked, see above"),
        };
        self.trials += 1;
        self.with_errors += u64::from(!promised.errors.is_empty());
        self.no_space += u64::from(promised.errors.iter().any(|error| matches!(error, Error::NoSpace)));
    }
}

/// Calls of each kind that the workload makes on a disk that works.
fn calls(workload: Workload, base: &(Vec<u8>, Model)) -> redknot_storage::test_disk::Operations {
    let (image, model) = match workload {
        Workload::Create => (Vec::new(), Model::default()),
        Workload::Change | Workload::Maintain => base.clone(),
    };
    let disk = TestDisk::from_image(image).unwrap();
    let mut promised = Promised { acknowledged: model, ..Promised::default() };
    run(workload, &disk, &mut promised);
    assert!(promised.errors.is_empty(), "{:?}", promised.errors);
    disk.operations()
}

fn sweep_faults(workload: Workload) {
    let base = base();
    let calls = calls(workload, &base);
    let mut sweep = Sweep::default();
    for operation in Operation::ALL {
        for nth in (1..=calls.of(operation)).step_by(setting("REDKNOT_FAULT_STEP", 5) as usize) {
            for (persistent, short_write) in [(false, false), (true, false), (false, true), (true, true)] {
                if short_write && operation != Operation::Write {
                    continue;
                }
                let fault = Fault { persistent, short_write, ..Fault::at(operation, nth) };
                sweep.trial(workload, &base, &format!("{fault:?}"), |disk| disk.fail(fault));
            }
        }
    }
    println!("{workload:?}: {calls:?}; {sweep:?}");
    // Only a failure that nobody waits for, as in the closing of the file, may go unseen.
    assert!(sweep.with_errors * 2 > sweep.trials, "{sweep:?}");
}

#[test]
fn every_failing_call_while_creating() {
    sweep_faults(Workload::Create);
}

#[test]
fn every_failing_call_while_changing() {
    sweep_faults(Workload::Change);
}

#[test]
fn every_failing_call_while_maintaining() {
    sweep_faults(Workload::Maintain);
}

#[test]
fn a_full_disk_at_every_length() {
    let base = base();
    let mut sweep = Sweep::default();
    let step = 50_000 * setting("REDKNOT_FAULT_STEP", 5) as usize;
    let most = base.0.len() as u64 + (2 << 20);
    for short_write in [false, true] {
        for bytes in (0..=most).step_by(step) {
            for workload in [Workload::Create, Workload::Change, Workload::Maintain] {
                let what = format!("{bytes} bytes, short writes {short_write}");
                sweep.trial(workload, &base, &what, |disk| {
                    disk.set_capacity(Capacity { short_write, ..Capacity::of(bytes) });
                });
            }
        }
    }
    println!("full disk: {sweep:?}");
    assert!(sweep.no_space > 5, "{sweep:?}");
}
