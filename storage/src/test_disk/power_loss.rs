//! Power loss at every sync of what a suite writes: images of each window, and what a reopen makes of them.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use fastrand::Rng;
use parking_lot::Mutex;

use super::{Capture, Image, Loss, TestDisk, Window};

/// What a script fails with.
pub type Failure = Box<dyn Error + Send + Sync>;

type Result<T> = std::result::Result<T, Failure>;

const THREADS: usize = 2;
/// Twice each way of losing.
const IMAGES_PER_WINDOW: u64 = 2 * Loss::ALL.len() as u64;
/// Failing images of one run that are kept as files.
const KEPT: usize = 3;

/// A sequence of transactions that is a function of its seed, and knows the content after each.
pub trait Script: Sync + Sized {
    /// What it writes to, open on a disk.
    type Store;
    /// What should be in there.
    type Content;

    /// The script of a seed.
    fn new(seed: u64) -> Self;

    /// Opens what the disk holds, recovering it if needed; an empty disk becomes an empty store.
    ///
    /// # Errors
    /// What opening fails with.
    fn open(disk: &TestDisk) -> Result<Self::Store>;

    /// Plays the script on a new store, and marks the disk with the number of acknowledged commits + 1 after each step.
    ///
    /// # Errors
    /// Whatever fails: nothing should.
    fn play(&self, store: Self::Store, disk: &TestDisk) -> Result<()>;

    /// The content after a commit that has at least begun.
    fn after(&self, commit: u64) -> Option<Self::Content>;

    /// The number of the commit that the store holds.
    ///
    /// # Errors
    /// What reading fails with.
    fn commit_of(store: &Self::Store) -> Result<u64>;

    /// What is not as it should be, if anything.
    ///
    /// # Errors
    /// What reading fails with.
    fn compare(store: &Self::Store, expected: &Self::Content) -> Result<Option<String>>;

    /// Looks at all that the store verifies by itself; where `thorough`, at everything, however long it takes.
    ///
    /// # Errors
    /// What it finds.
    fn verify(store: &Self::Store, thorough: bool) -> Result<()>;

    /// Commits something more, and makes `content` what is then in the store.
    ///
    /// # Errors
    /// What writing fails with.
    fn write_on(store: &Self::Store, seed: u64, content: &mut Self::Content) -> Result<()>;
}

/// What is done with each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trial {
    /// Reopen it and compare.
    Reopen,
    /// Lose the power again while it recovers, then reopen.
    CrashInRecovery,
}

/// Losing power in scripts, over and over.
#[derive(Clone, Copy, Debug)]
pub struct PowerLosses<'a> {
    /// Seed of the first script; the next has the next.
    pub first_seed: u64,
    /// Images to try.
    pub images: u64,
    /// What is done with each.
    pub trial: Trial,
    /// Whether syncs do what they should; a disk that ignores them must be caught.
    pub honest_disk: bool,
    /// The folder where failing images are kept to be looked at.
    pub kept_in: &'a Path,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Images tried.
    pub images: u64,
    /// Windows that they are of.
    pub windows: u64,
    /// Reopened with the last acknowledged commit.
    pub recovered_last: u64,
    /// Reopened with the commit that was being made.
    pub recovered_in_flight: u64,
    /// Refused, or reopened empty, before the store had ever been opened.
    pub not_created: u64,
    /// Recoveries that lost power.
    pub crashed_in_recovery: u64,
    /// Size of the largest image.
    pub largest_bytes: u64,
    /// What went wrong, by image.
    pub failures: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} images of {} windows (largest {} KiB): {} failures; recovered the last commit {}, the one in \
             flight {}, not yet created {}; crashed again in recovery {}",
            self.images,
            self.windows,
            self.largest_bytes / 1024,
            self.failures.len(),
            self.recovered_last,
            self.recovered_in_flight,
            self.not_created,
            self.crashed_in_recovery,
        )?;
        self.failures.iter().take(20).try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}

impl PowerLosses<'_> {
    /// Plays scripts and tries images of their windows until there were enough.
    ///
    /// # Errors
    /// Where a script cannot be played.
    pub fn run<S: Script>(&self) -> Result<Report> {
        let report = Mutex::new(Report::default());
        let mut seed = self.first_seed;
        while report.lock().images < self.images {
            let script = S::new(seed);
            let (windows, arriving) = sync_channel(THREADS);
            let arriving = Mutex::new(arriving);
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| self.try_windows(&arriving, &script, seed, &report));
                }
                play(&script, self.honest_disk, move |window| drop(windows.send(window)))
            })
            .map_err(|error| format!("script {seed}: {error}"))?;
            seed += 1;
        }
        Ok(report.into_inner())
    }

    fn try_windows<S: Script>(
        &self,
        arriving: &Mutex<Receiver<Window>>,
        script: &S,
        seed: u64,
        report: &Mutex<Report>,
    ) {
        loop {
            let next = arriving.lock().recv();
            let Ok(window) = next else { return };
            if report.lock().images >= self.images {
                continue;
            }
            report.lock().windows += 1;
            let images = if window.pending().is_empty() { 1 } else { IMAGES_PER_WINDOW };
            for number in 0..images {
                let image = window.image(seed, number);
                let tried = self.try_image(&image, window.mark(), script);
                let mut report = report.lock();
                report.images += 1;
                report.largest_bytes = report.largest_bytes.max(image.bytes.len() as u64);
                match tried {
                    Ok(Outcome::NotCreated) => report.not_created += 1,
                    Ok(Outcome::Last) => report.recovered_last += 1,
                    Ok(Outcome::InFlight) => report.recovered_in_flight += 1,
                    Ok(Outcome::CrashedInRecovery) => report.crashed_in_recovery += 1,
                    Ok(Outcome::NotCrashed) => {}
                    Err(failure) => {
                        let kept =
                            if report.failures.len() < KEPT { self.keep(&image) } else { String::new() };
                        report.failures.push(format!("{image}, mark {}: {failure}{kept}", window.mark()));
                    }
                }
            }
        }
    }

    /// A panic is a failure like any other.
    fn try_image<S: Script>(&self, image: &Image, mark: u64, script: &S) -> Result<Outcome> {
        let tried = catch_unwind(AssertUnwindSafe(|| match self.trial {
            Trial::Reopen => reopen(image, mark, script),
            Trial::CrashInRecovery => crash_in_recovery(image, mark, script),
        }));
        tried.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or(panic.downcast_ref::<&str>().copied());
            Err(format!("PANIC {}", message.unwrap_or("without a message")).into())
        })
    }

    fn keep(&self, image: &Image) -> String {
        let Image { seed, window, number, .. } = image;
        let path = self.kept_in.join(format!("power-loss-{seed}-{window}-{number}.image"));
        match std::fs::write(&path, &image.bytes) {
            Ok(()) => format!("; kept as {}", path.display()),
            Err(error) => format!("; not kept: {error}"),
        }
    }
}

/// What an image turned out to hold.
enum Outcome {
    NotCreated,
    Last,
    InFlight,
    CrashedInRecovery,
    /// It was recovered before the power could be lost again.
    NotCrashed,
}

/// Plays a script on a disk whose windows go to `sink`. They carry the number of acknowledged commits + 1, or 0 before the
/// store was created.
fn play<S: Script>(script: &S, honest_disk: bool, sink: impl FnMut(Window) + Send + 'static) -> Result<()> {
    let disk = TestDisk::new()?;
    disk.capture(Capture::Syncs { every: 1 }, sink);
    let store = S::open(&disk)?;
    disk.mark(1);
    if !honest_disk {
        disk.ignore_syncs();
    }
    let played = script.play(store, &disk);
    // Those that wait for windows go on once there is no sink.
    disk.stop_capture();
    played
}

/// The commits that an image with this mark may hold.
fn possible(mark: u64) -> RangeInclusive<u64> {
    mark.saturating_sub(1)..=mark
}

fn disk_with(image: &Image) -> io::Result<TestDisk> {
    // Both ways of reading blocks; with a map, a wrong address would show as well.
    if image.number.is_multiple_of(5) {
        return Ok(TestDisk::unmapped(image.bytes.clone()));
    }
    TestDisk::from_image(image.bytes.clone())
}

/// The number of the commit that the store holds, which must be a possible one and be there exactly.
fn check<S: Script>(script: &S, store: &S::Store, possible: RangeInclusive<u64>) -> Result<u64> {
    let commit = S::commit_of(store)?;
    let Some(expected) = script.after(commit).filter(|_| possible.contains(&commit)) else {
        return Err(format!("recovered commit {commit}, possible are {possible:?}").into());
    };
    match S::compare(store, &expected)? {
        None => Ok(commit),
        Some(difference) => {
            Err(format!("what commit {commit} wrote is not what is found: {difference}").into())
        }
    }
}

/// What recovery believes to be free must be free: one more commit, and all of it must be there.
fn write_on<S: Script>(store: S::Store, disk: &TestDisk, seed: u64, mut content: S::Content) -> Result<()> {
    S::write_on(&store, seed, &mut content)?;
    drop(store);
    let store = S::open(disk)?;
    if let Some(difference) = S::compare(&store, &content)? {
        return Err(format!("a commit after the recovery is not found whole: {difference}").into());
    }
    S::verify(&store, true)
}

fn reopen<S: Script>(image: &Image, mark: u64, script: &S) -> Result<Outcome> {
    let disk = disk_with(image)?;
    let store = match S::open(&disk) {
        Err(_) if mark == 0 => return Ok(Outcome::NotCreated),
        other => other?,
    };
    let commit = check(script, &store, possible(mark))?;
    S::verify(&store, image.number.is_multiple_of(4))?;
    if image.number.is_multiple_of(3) {
        let content = script.after(commit).ok_or("no such commit")?;
        write_on::<S>(store, &disk, image.seed ^ commit, content)?;
    }
    Ok(match mark {
        0 => Outcome::NotCreated,
        _ if commit == mark => Outcome::InFlight,
        _ => Outcome::Last,
    })
}

fn crash_in_recovery<S: Script>(image: &Image, mark: u64, script: &S) -> Result<Outcome> {
    let disk = disk_with(image)?;
    match S::open(&disk) {
        Err(_) if mark == 0 => return Ok(Outcome::NotCrashed),
        other => drop(other?),
    }
    let changes = disk.operations().changes();
    let mut rng = Rng::with_seed(image.seed ^ (image.window << 16) ^ image.number);
    let disk = disk_with(image)?;
    disk.crash_after(rng.u64(..changes.max(1)));
    // What was seen before the second power loss may not be taken back by it.
    let seen =
        S::open(&disk).and_then(|store| check(script, &store, possible(mark))).map(|commit| commit..=commit);
    let was_open = seen.is_ok();
    let possible = match seen {
        Ok(seen) => seen,
        Err(error) if !disk.lost_power() => return Err(error),
        Err(_) => possible(mark),
    };
    let outcome = if disk.lost_power() { Outcome::CrashedInRecovery } else { Outcome::NotCrashed };
    let again = disk.window().image(image.seed, image.number + rng.u64(..IMAGES_PER_WINDOW));
    let place =
        |error: Failure| -> Failure { format!("after a second power loss ({again}): {error}").into() };
    let disk = disk_with(&again)?;
    let store = match S::open(&disk) {
        Err(_) if mark == 0 && !was_open => return Ok(outcome),
        other => other.map_err(place)?,
    };
    check(script, &store, possible).map_err(place)?;
    S::verify(&store, true).map_err(place)?;
    Ok(outcome)
}
