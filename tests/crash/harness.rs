//! Runs scripts on a test disk, and checks what a reopen makes of the images of their windows.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use redknot::Database;
use redknot_storage::test_disk::{Image, Loss, TestDisk, Window};

use crate::script::{Failure, Result, SCALE, Script, build, open};
use crate::support::compare::{commit_of, compare, find_each, search_randomly};
use crate::support::edit::{edit, number};
use crate::support::world::World;

const THREADS: usize = 2;
/// Twice each way of losing.
const IMAGES_PER_WINDOW: u64 = 2 * Loss::ALL.len() as u64;
/// Failing images of one run that are kept as files.
const KEPT: usize = 3;

/// What is done with each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// Reopen it and compare.
    Reopen,
    /// Lose the power again while it recovers, then reopen.
    CrashInRecovery,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) images: AtomicU64,
    pub(crate) windows: AtomicU64,
    pub(crate) recovered_last: AtomicU64,
    pub(crate) recovered_in_flight: AtomicU64,
    /// Refused, or reopened empty, before the store had ever been opened.
    pub(crate) not_created: AtomicU64,
    pub(crate) crashed_in_recovery: AtomicU64,
    pub(crate) largest_bytes: AtomicU64,
    pub(crate) failures: Mutex<Vec<String>>,
}

impl Report {
    fn fail(&self, image: &Image, mut failure: String) {
        let mut failures = self.failures.lock().unwrap();
        if failures.len() < KEPT {
            failure += &save(image);
        }
        failures.push(failure);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = self.failures.lock().unwrap();
        write!(
            f,
            "{} images of {} windows (largest {} KiB): {} failures; recovered the last commit {}, the one in \
             flight {}, not yet created {}; crashed again in recovery {}",
            self.images.load(Relaxed),
            self.windows.load(Relaxed),
            self.largest_bytes.load(Relaxed) / 1024,
            failures.len(),
            self.recovered_last.load(Relaxed),
            self.recovered_in_flight.load(Relaxed),
            self.not_created.load(Relaxed),
            self.crashed_in_recovery.load(Relaxed),
        )?;
        failures.iter().take(20).try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}

/// Runs scripts from `first_seed` on until `images` images have been tried.
pub(crate) fn run(first_seed: u64, images: u64, trial: Trial, honest_disk: bool) -> Report {
    let report = Report::default();
    let mut seed = first_seed;
    while report.images.load(Relaxed) < images {
        let script = Script::new(seed);
        let (windows, arriving) = sync_channel(THREADS);
        let arriving = Arc::new(Mutex::new(arriving));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                let (arriving, script, report) = (Arc::clone(&arriving), &script, &report);
                scope.spawn(move || try_windows(&arriving, script, trial, images, report));
            }
            drop(arriving);
            script.play(honest_disk, windows).unwrap_or_else(|error| panic!("script {seed}: {error}"));
        });
        seed += 1;
    }
    report
}

fn try_windows(
    arriving: &Mutex<Receiver<Window>>,
    script: &Script,
    trial: Trial,
    most_images: u64,
    report: &Report,
) {
    loop {
        let next = arriving.lock().unwrap().recv();
        let Ok(window) = next else { return };
        if report.images.load(Relaxed) >= most_images {
            continue;
        }
        report.windows.fetch_add(1, Relaxed);
        let images = if window.pending().is_empty() { 1 } else { IMAGES_PER_WINDOW };
        for number in 0..images {
            let image = window.image(script.seed, number);
            report.images.fetch_add(1, Relaxed);
            report.largest_bytes.fetch_max(image.bytes.len() as u64, Relaxed);
            if let Err(failure) = try_image(&image, window.mark(), script, trial, report) {
                report.fail(&image, format!("{image}, mark {}: {failure}", window.mark()));
            }
        }
    }
}

/// A panic is a failure like any other.
fn try_image(image: &Image, mark: u64, script: &Script, trial: Trial, report: &Report) -> Result<()> {
    let tried = catch_unwind(AssertUnwindSafe(|| match trial {
        Trial::Reopen => reopen(image, mark, script, report),
        Trial::CrashInRecovery => crash_in_recovery(image, mark, script, report),
    }));
    tried.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or(panic.downcast_ref::<&str>().copied());
        Err(format!("PANIC {}", message.unwrap_or("without a message")).into())
    })
}

/// The commits that an image with this mark may hold.
fn possible(mark: u64) -> std::ops::RangeInclusive<u64> {
    mark.saturating_sub(1)..=mark
}

fn disk_with(image: &Image) -> Result<TestDisk> {
    // Both ways of reading blocks; with a map, a wrong address would show as well.
    if image.number.is_multiple_of(5) {
        return Ok(TestDisk::unmapped(image.bytes.clone()));
    }
    Ok(TestDisk::from_image(image.bytes.clone())?)
}

fn reopen(image: &Image, mark: u64, script: &Script, report: &Report) -> Result<()> {
    let disk = disk_with(image)?;
    let db = match open(&disk) {
        Err(_) if mark == 0 => {
            report.not_created.fetch_add(1, Relaxed);
            return Ok(());
        }
        other => other?,
    };
    let commit = check(&db, possible(mark), script)?;
    match (mark, commit) {
        (0, _) => report.not_created.fetch_add(1, Relaxed),
        (mark, commit) if commit == mark => report.recovered_in_flight.fetch_add(1, Relaxed),
        _ => report.recovered_last.fetch_add(1, Relaxed),
    };
    verify(&db)?;
    if image.number.is_multiple_of(4) {
        check_pages(&db)?;
    }
    if image.number.is_multiple_of(3) {
        write_on(db, &disk, image.seed, script.after(commit).ok_or("no such commit")?)?;
    }
    Ok(())
}

/// What recovery believes to be free must be free: one more commit and a build, and all of it must be there.
fn write_on(db: Database, disk: &TestDisk, seed: u64, mut world: World) -> Result<()> {
    let mut rng = Rng::with_seed(seed ^ world.commit);
    let mut txn = db.begin_write()?;
    for _ in 0..8 {
        edit(&mut rng, SCALE, &mut txn, &mut world)?;
    }
    number(&txn, &mut world)?;
    txn.commit()?;
    // Where the power was lost in a build, this one goes on from its checkpoint.
    build(&db, &world, &mut rng)?;
    drop(db);
    let db = open(disk)?;
    if let Some(difference) = compare(&db.begin_read()?, &world)? {
        return Err(format!("a commit after the recovery is not found whole: {difference}").into());
    }
    find_each(&db.begin_read()?, &world)?;
    verify(&db)?;
    check_pages(&db)
}

fn verify(db: &Database) -> Result<()> {
    let report = db.verify()?;
    if report.is_clean() { Ok(()) } else { Err(format!("verify: {:?}", report.findings).into()) }
}

fn check_pages(db: &Database) -> Result<()> {
    if db.check_integrity()? { Ok(()) } else { Err("the integrity check repaired something".into()) }
}

fn crash_in_recovery(image: &Image, mark: u64, script: &Script, report: &Report) -> Result<()> {
    let disk = disk_with(image)?;
    match open(&disk) {
        Err(_) if mark == 0 => return Ok(()),
        other => drop(other?),
    }
    let changes = disk.operations().changes();
    let mut rng = Rng::with_seed(image.seed ^ (image.window << 16) ^ image.number);
    let disk = disk_with(image)?;
    disk.crash_after(rng.u64(..changes.max(1)));
    // What was seen before the second power loss may not be taken back by it.
    let seen = match open(&disk) {
        Ok(db) => check(&db, possible(mark), script).map(|commit| commit..=commit),
        Err(error) => Err(error.into()),
    };
    let was_open = seen.is_ok();
    let possible = match seen {
        Ok(seen) => seen,
        Err(error) if !disk.lost_power() => return Err(error),
        Err(_) => possible(mark),
    };
    report.crashed_in_recovery.fetch_add(disk.lost_power().into(), Relaxed);
    let again = disk.window().image(image.seed, image.number + rng.u64(..IMAGES_PER_WINDOW));
    let place =
        |error: Failure| -> Failure { format!("after a second power loss ({again}): {error}").into() };
    let disk = disk_with(&again)?;
    let db = match open(&disk) {
        Err(_) if mark == 0 && !was_open => return Ok(()),
        other => other.map_err(|error| place(error.into()))?,
    };
    check(&db, possible, script).map_err(place)?;
    verify(&db).and_then(|()| check_pages(&db)).map_err(place)
}

/// The number of the commit that the file holds, which must be a possible one and be there exactly; every row is
/// found, and searches promise what they keep.
fn check(db: &Database, possible: std::ops::RangeInclusive<u64>, script: &Script) -> Result<u64> {
    let read = db.begin_read()?;
    let commit = commit_of(&read)?;
    let Some(expected) = script.after(commit).filter(|_| possible.contains(&commit)) else {
        return Err(format!("recovered commit {commit}, possible are {possible:?}").into());
    };
    if let Some(difference) = compare(&read, &expected)? {
        return Err(format!("what commit {commit} wrote is not what is found: {difference}").into());
    }
    find_each(&read, &expected)?;
    search_randomly(&mut Rng::with_seed(commit), &read, &expected)?;
    Ok(commit)
}

/// Keeps the image where cargo keeps what tests leave, so that it can be looked at.
fn save(image: &Image) -> String {
    let Image { seed, window, number, .. } = image;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{seed}-{window}-{number}.image"));
    match std::fs::write(&path, &image.bytes) {
        Ok(()) => format!("; kept as {}", path.display()),
        Err(error) => format!("; not kept: {error}"),
    }
}
