//! Every call of the disk under a whole database fails once, or from then on, in turn; the disk fills up at every
//! length. The result is an error or success, what is read is right, and once the disk works again the file opens
//! with the last acknowledged commit or the one in flight.
//!
//! `REDKNOT_FAULT_STEP=1 cargo test --release --test faults -- --nocapture` leaves out no call.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use redknot::{CollectionDefinition, Database, Element, Error, Metric, Result};
use redknot_storage::test_disk::{Capacity, Fault, Loss, Operation, Operations, TestDisk};
use support::compare::{commit_of, compare, find_each, search_randomly};
use support::edit::{Scale, edit, number};
use support::setting;
use support::slot::{ShapeOf, Slot};
use support::world::World;

const SLOTS: [Slot; 2] = [
    Slot::new("counted", ShapeOf::Counted, 32, Metric::L2, Element::F32),
    Slot::new("text", ShapeOf::Text, 24, Metric::Cosine, Element::I8),
];
const COUNTED: CollectionDefinition<u64, &str> = CollectionDefinition::new("counted", 32, Metric::L2);
const SCALE: Scale = Scale { keys: 600, import: 150, payload: 400, delete_one_in: 40 };

fn open(disk: &TestDisk) -> Result<Database> {
    // As little cache as there can be: more reads and earlier writes that can fail.
    Database::builder().cache_bytes(1 << 20).idle_commit(None).on_disk(Arc::new(disk.clone()))
}

#[derive(Clone, Copy, Debug)]
enum Workload {
    /// Create the file, tables and collections.
    Create,
    /// Insert, replace, remove and import.
    Change,
    /// Build, compact, check and back up.
    Maintain,
}

/// What a trial has been promised.
#[derive(Debug)]
struct Promised {
    /// Opening has succeeded at least once.
    created: bool,
    acknowledged: World,
    in_flight: Option<World>,
    /// Errors that were returned.
    errors: Vec<Error>,
}

impl Promised {
    fn new(created: bool, acknowledged: World) -> Promised {
        Promised { created, acknowledged, in_flight: None, errors: Vec::new() }
    }

    /// Keeps an error, and checks that it is one of a disk that fails.
    fn note(&mut self, error: Error) {
        let said = error.to_string();
        assert!(!said.contains("redb met what it cannot read"), "a panic inside redb: {said}");
        assert!(!said.contains("damaged"), "nothing is damaged: {said}");
        assert!(
            matches!(
                &error,
                Error::Storage(_)
                    | Error::Index(redknot_index::Error::Storage(_) | redknot_index::Error::Row { .. })
            ),
            "not recognised as an error of the disk: {error:?}"
        );
        self.errors.push(error);
    }
}

type Base = (Vec<u8>, World);

/// A file with some content, and what it is.
fn base() -> Base {
    let disk = TestDisk::new().unwrap();
    let db = open(&disk).unwrap();
    let mut promised = Promised::new(true, World::new(&SLOTS));
    for seed in 0..6 {
        transaction(&db, seed, &mut promised);
    }
    drop(db);
    assert!(promised.errors.is_empty(), "{:?}", promised.errors);
    (disk.live(), promised.acknowledged)
}

/// What a workload begins with.
fn start(workload: Workload, base: &Base) -> (Vec<u8>, Promised) {
    match workload {
        Workload::Create => (Vec::new(), Promised::new(false, World::new(&SLOTS))),
        Workload::Change | Workload::Maintain => (base.0.clone(), Promised::new(true, base.1.clone())),
    }
}

fn transaction(db: &Database, seed: u64, promised: &mut Promised) {
    let mut next = promised.acknowledged.clone();
    let mut rng = Rng::with_seed(seed);
    let prepared = db.begin_write().and_then(|mut txn| {
        for _ in 0..10 {
            edit(&mut rng, SCALE, &mut txn, &mut next)?;
        }
        number(&txn, &mut next)?;
        Ok(txn)
    });
    let committed = prepared.and_then(|txn| {
        promised.in_flight = Some(next.clone());
        txn.commit()
    });
    match committed {
        Ok(()) => {
            promised.acknowledged = next;
            promised.in_flight = None;
        }
        Err(error) => promised.note(error),
    }
}

/// Reads what the handle shows; right or an error.
fn read(db: &Database, promised: &mut Promised) {
    let found = db.begin_read().and_then(|read| {
        let difference = compare(&read, &promised.acknowledged)?;
        search_randomly(&mut Rng::with_seed(1), &read, &promised.acknowledged)?;
        Ok(difference)
    });
    match found {
        Ok(difference) => assert_eq!(difference, None, "wrong content while the disk fails"),
        Err(error) => promised.note(error),
    }
}

fn run(workload: Workload, disk: &TestDisk, promised: &mut Promised) {
    let db = match open(disk) {
        Ok(db) => db,
        Err(error) => return promised.note(error),
    };
    promised.created = true;
    match workload {
        Workload::Create | Workload::Change => {
            for seed in 100..103 {
                transaction(&db, seed, promised);
                read(&db, promised);
            }
        }
        Workload::Maintain => maintain(&db, promised),
    }
}

fn maintain(db: &Database, promised: &mut Promised) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup.redknot");
    for step in 0..5 {
        let done = match step {
            0 => db.build(COUNTED).checkpoint_every(Some(Duration::ZERO)).run().map(drop),
            1 => db.compact().map(drop),
            2 => db.check_integrity().map(|sound| assert!(sound, "nothing is damaged")),
            3 => db.verify().map(|report| {
                // What cannot be read is a finding; what is read must be right.
                let unread =
                    |finding: &redknot::Finding| matches!(finding, redknot::Finding::Unreadable { .. });
                assert!(report.findings.iter().all(unread), "{:?}", report.findings);
            }),
            _ => db.backup(&path),
        };
        match done {
            Err(error) => {
                promised.note(error);
                assert!(!path.exists(), "half a backup was left");
            }
            Ok(()) if step == 4 => {
                let copy = Database::open_read_only(&path).unwrap();
                assert_eq!(compare(&copy.begin_read().unwrap(), &promised.acknowledged).unwrap(), None);
            }
            Ok(()) => {}
        }
        read(db, promised);
    }
}

/// What the file holds: the acknowledged content, or that of the commit in flight.
fn settle(disk: &TestDisk, promised: &Promised) -> std::result::Result<(), String> {
    let db = match open(disk) {
        Ok(db) => db,
        // It was never there.
        Err(_) if !promised.created => return Ok(()),
        Err(error) => return Err(format!("does not open: {error}")),
    };
    let check = || -> Result<Option<String>> {
        let read = db.begin_read()?;
        let commit = commit_of(&read)?;
        let in_flight = promised.in_flight.as_ref().filter(|world| world.commit == commit);
        let expected = in_flight.unwrap_or(&promised.acknowledged);
        if let Some(difference) = compare(&read, expected)? {
            return Ok(Some(format!("commit {commit}: {difference}")));
        }
        find_each(&read, expected)?;
        drop(read);
        let report = db.verify()?;
        if !report.is_clean() {
            return Ok(Some(format!("verify: {:?}", report.findings)));
        }
        Ok((!db.check_integrity()?).then(|| "the integrity check repaired something".into()))
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
    fn trial(&mut self, workload: Workload, base: &Base, what: &str, prepare: impl Fn(&TestDisk)) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let (image, mut promised) = start(workload, base);
            let disk = TestDisk::from_image(image).unwrap();
            prepare(&disk);
            run(workload, &disk, &mut promised);
            disk.heal();
            disk.set_capacity(Capacity::default());
            let after_power_loss = disk.window().image_after(Loss::Drop, self.trials, 0);
            settle(&disk, &promised).map_err(|error| format!("reopened: {error}"))?;
            let disk = TestDisk::from_image(after_power_loss.bytes).unwrap();
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
        self.no_space += u64::from(promised.errors.iter().any(is_no_space));
    }
}

fn is_no_space(error: &Error) -> bool {
    matches!(
        error,
        Error::Storage(redknot_storage::Error::NoSpace)
            | Error::Index(redknot_index::Error::Storage(redknot_storage::Error::NoSpace))
    )
}

/// Calls of each kind that the workload makes on a disk that works.
fn calls(workload: Workload, base: &Base) -> Operations {
    let (image, mut promised) = start(workload, base);
    let disk = TestDisk::from_image(image).unwrap();
    run(workload, &disk, &mut promised);
    assert!(promised.errors.is_empty(), "{:?}", promised.errors);
    disk.operations()
}

fn sweep_faults(workload: Workload) {
    let base = base();
    let calls = calls(workload, &base);
    let mut sweep = Sweep::default();
    for operation in Operation::ALL {
        for nth in (1..=calls.of(operation)).step_by(setting("REDKNOT_FAULT_STEP", 17) as usize) {
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
    let step = 20_000 * setting("REDKNOT_FAULT_STEP", 17) as usize;
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
    assert!(sweep.no_space * 10 > sweep.trials, "{sweep:?}");
}
