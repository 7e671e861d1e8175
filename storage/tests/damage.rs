//! Damaged files: whatever bit, sector, page or tail is lost, opening and reading give an error or the right answer,
//! never another one, and never a panic.
//!
//! `REDKNOT_FLIPS=200000 cargo test --release -p redknot-storage --test damage -- --nocapture` flips more bits than
//! the default.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod model;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use fastrand::Rng;
use model::{Model, Scale, TABLE, commit_of, edit, number, setting};
use redb::{ReadableTable, TableDefinition};
use redknot_storage::test_disk::TestDisk;
use redknot_storage::{ArrayId, Error, Kind, Options, Result, Snapshot, Storage, View};

const NAMES: TableDefinition<&str, u64> = TableDefinition::new("names");

const FLIPS: u64 = 800;

/// Damaged files, each with the content that it had.
struct Sample {
    image: Vec<u8>,
    check_on_open: bool,
    /// The last commit, and where it cannot be told from the last, the one before.
    models: Vec<Model>,
}

fn options(owned_blocks: bool) -> Options {
    Options { cache_bytes: 1 << 20, idle_commit: None, owned_blocks, ..Options::default() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Closed,
    /// By a writer that has just committed.
    Open,
    /// By a writer that made the commit of an idle moment last.
    Idle,
}

fn sample(left: Left) -> Sample {
    let disk = TestDisk::new().unwrap();
    let storage = Storage::on_disk(Arc::new(disk.clone()), &options(false)).unwrap();
    let mut rng = Rng::with_seed(7);
    let mut models = vec![Model::default()];
    for round in 0..12 {
        let mut model = models.last().unwrap().clone();
        let mut txn = storage.begin_write().unwrap();
        for _ in 0..15 {
            edit(&mut rng, Scale::SMALL, &mut txn, &mut model).unwrap();
        }
        {
            // A table of several pages and levels, with keys of any length.
            let mut names = txn.open_table(NAMES).unwrap();
            for i in 0..400 {
                names.insert(format!("a rather long name that fills pages {i}").as_str(), i).unwrap();
            }
        }
        number(&txn, &mut model).unwrap();
        txn.commit().unwrap();
        models.push(model);
        if round == 9 {
            storage.compact().unwrap();
        }
    }
    let image = match left {
        Left::Closed => {
            drop(storage);
            disk.live()
        }
        Left::Open => disk.live(),
        Left::Idle => {
            storage.make_idle_commit().unwrap();
            disk.live()
        }
    };
    assert!(image.len() >= 64 << 10);
    Sample { image, check_on_open: true, models }
}

#[derive(Debug, Default)]
struct Tally {
    files: u64,
    refused: u64,
    /// Opened, with errors for some reads.
    partly: u64,
    whole: u64,
}

/// Everything that can be read is read: `Ok(true)` where all of it was right, `Ok(false)` where some reads failed.
fn read_all(snapshot: &Snapshot, model: &Model) -> bool {
    let mut whole = true;
    let mut seen = |result: Result<bool>, what: &str| match result {
        Ok(right) => assert!(right, "WRONG: {what}"),
        Err(_) => whole = false,
    };
    seen(
        Ok(snapshot.arrays().map(|info| info.id.0).eq(model.arrays.keys().copied())),
        "the list of the arrays",
    );
    for (id, array) in &model.arrays {
        for (row, expected) in array.rows.iter().enumerate() {
            let found = match array.spec.kind() {
                Kind::Rows => snapshot.rows(ArrayId(*id)).and_then(|rows| rows.get(row as u32)),
                Kind::Csr => snapshot.csr(ArrayId(*id)).and_then(|rows| rows.get(row as u32)),
            };
            seen(found.map(|found| found == &**expected), "a row");
        }
    }
    let table = || -> Result<bool> {
        let table = snapshot.open_table(TABLE)?;
        let mut expected = model.table.iter();
        for pair in table.iter()? {
            let (key, value) = pair?;
            if expected.next().map(|(key, value)| (*key, &**value)) != Some((key.value(), value.value())) {
                return Ok(false);
            }
        }
        Ok(expected.next().is_none())
    };
    seen(table(), "the ordinary table");
    let names = || -> Result<bool> {
        let names = snapshot.open_table(NAMES)?;
        for i in 0..400 {
            let name = format!("a rather long name that fills pages {i}");
            if names.get(name.as_str())?.map(|found| found.value()) != Some(i) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    seen(names(), "the table of names");
    whole
}

/// Changes and drops every array, which makes redb read the pages of damaged blocks. Errors are welcome.
fn write_all(storage: &Storage) -> Result<()> {
    let ids: Vec<ArrayId> = storage.snapshot()?.arrays().map(|info| info.id).collect();
    for id in ids {
        let mut txn = storage.begin_write()?;
        let info = txn.array(id)?;
        if info.rows > 1 {
            txn.set_len(id, info.rows / 2)?;
        }
        txn.commit()?;
        let mut txn = storage.begin_write()?;
        txn.drop_array(id)?;
        txn.commit()?;
    }
    Ok(())
}

/// A reader of its own opens the file as well.
fn examine_read_only(image: &[u8], models: &[Model]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), image).unwrap();
    let Ok(storage) = Storage::open_read_only(file.path(), &options(false)) else { return };
    let snapshot = storage.snapshot().unwrap();
    let Ok(commit) = commit_of(&snapshot) else { return };
    read_all(&snapshot, models.iter().find(|model| model.commit == commit).expect("WRONG: an older commit"));
}

fn examine(sample: &Sample, image: Vec<u8>, variant: u64, tally: &mut Tally) {
    let models = &sample.models[sample.models.len() - 2..];
    tally.files += 1;
    if variant % 8 == 7 && sample.check_on_open {
        examine_read_only(&image, models);
    }
    let disk = TestDisk::from_image(image).unwrap();
    let options = Options { check_on_open: sample.check_on_open, ..options(variant % 3 == 2) };
    let storage = match Storage::on_disk(Arc::new(disk), &options) {
        Ok(storage) => storage,
        Err(_) => return tally.refused += 1,
    };
    let Ok(snapshot) = storage.snapshot() else { return tally.refused += 1 };
    let Ok(commit) = commit_of(&snapshot) else { return tally.refused += 1 };
    let model = models.iter().find(|model| model.commit == commit).expect("WRONG: an older commit");
    let whole = read_all(&snapshot, model);
    let verified = storage.verify();
    assert!(whole || verified.as_ref().map_or(true, |found| !found.is_empty()), "verify finds nothing");
    drop(snapshot);
    if whole {
        tally.whole += 1;
    } else {
        tally.partly += 1;
    }
    match variant % 4 {
        0 => drop(storage.check_integrity()),
        1 => drop(storage.compact()),
        _ => drop(write_all(&storage)),
    }
    if let Err(error) = storage.verify() {
        assert!(!matches!(error, Error::Redb(_)) || variant % 4 < 2, "{error}");
    }
}

/// Reports of panics inside redb, which become errors, would fill the output.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|place| place.file().contains("redb-")) {
                report(panic);
            }
        }));
    });
}

fn all(what: &str, sample: &Sample, damages: impl Iterator<Item = (String, Vec<u8>)>) {
    let wrong = those_that_go_wrong(what, sample, damages);
    assert!(wrong.is_empty(), "{:#?}", &wrong[..wrong.len().min(20)]);
}

/// Tries each damage and lists those that give another answer or a panic.
fn those_that_go_wrong(
    what: &str,
    sample: &Sample,
    damages: impl Iterator<Item = (String, Vec<u8>)>,
) -> Vec<String> {
    quieten();
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    for (variant, (damage, image)) in damages.enumerate() {
        let tried = catch_unwind(AssertUnwindSafe(|| {
            examine(sample, image, variant as u64, &mut tally);
        }));
        if let Err(panic) = tried {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            wrong
                .push(format!("{damage}: {}", said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")));
        }
    }
    println!("{what}, {} KiB: {tally:?}, {} wrong", sample.image.len() >> 10, wrong.len());
    assert!(tally.refused + tally.partly > 0, "no damage was noticed");
    wrong
}

fn flipped(image: &[u8], bit: usize) -> (String, Vec<u8>) {
    let mut image = image.to_vec();
    image[bit / 8] ^= 1 << (bit % 8);
    (format!("bit {} of byte {} (page {})", bit % 8, bit / 8, bit / 8 / 4096), image)
}

fn bits_all_over(sample: &Sample) -> Vec<usize> {
    let flips = setting("REDKNOT_FLIPS", FLIPS) as usize;
    let mut rng = Rng::with_seed(setting("REDKNOT_SEED", 1));
    let stride = (sample.image.len() / flips).max(1);
    let bits =
        (0..sample.image.len()).step_by(stride).map(|byte| (byte + rng.usize(..stride)) * 8 + rng.usize(..8));
    bits.filter(|bit| *bit < sample.image.len() * 8).collect()
}

#[test]
fn flipped_bits() {
    let sample = sample(Left::Closed);
    let bits = bits_all_over(&sample).into_iter();
    all("flipped bits", &sample, bits.map(|bit| flipped(&sample.image, bit)));
}

/// The control: the suite can fail.
#[test]
fn without_the_check_on_open_wrong_answers_are_seen() {
    let sample = Sample { check_on_open: false, ..sample(Left::Closed) };
    let bits = bits_all_over(&sample).into_iter();
    let wrong = those_that_go_wrong("unchecked", &sample, bits.map(|bit| flipped(&sample.image, bit)));
    assert!(wrong.iter().any(|what| what.contains("WRONG")), "{wrong:?}");
}

/// The bytes that redb puts at the head of each page: type, count, ends.
#[test]
fn flipped_bits_in_page_heads() {
    let sample = sample(Left::Closed);
    let mut rng = Rng::with_seed(setting("REDKNOT_SEED", 2));
    let pages = sample.image.len() / 4096;
    let per_page = (setting("REDKNOT_FLIPS", FLIPS) as usize / pages).clamp(2, 64);
    let bits: Vec<usize> =
        (1..pages * per_page).map(|i| (i / per_page) * 4096 * 8 + rng.usize(..64 * 8)).collect();
    all("page heads", &sample, bits.into_iter().map(|bit| flipped(&sample.image, bit)));
}

#[test]
fn flipped_bits_of_the_header() {
    for left in [Left::Closed, Left::Open, Left::Idle] {
        let sample = sample(left);
        let step = if setting("REDKNOT_FLIPS", FLIPS) > FLIPS { 1 } else { 7 };
        let bits = (0..320 * 8).step_by(step);
        all(&format!("header, {left:?}"), &sample, bits.map(|bit| flipped(&sample.image, bit)));
    }
}

#[test]
fn flipped_bits_of_a_file_that_was_not_closed() {
    for left in [Left::Open, Left::Idle] {
        let sample = sample(left);
        let mut rng = Rng::with_seed(setting("REDKNOT_SEED", 3));
        let flips = setting("REDKNOT_FLIPS", FLIPS) / 4;
        let bits: Vec<usize> = (0..flips)
            .map(|i| {
                let byte = rng.usize(..sample.image.len());
                // Every other one in the head of its page.
                (if i % 2 == 0 { byte } else { byte / 4096 * 4096 + byte % 24 }) * 8 + rng.usize(..8)
            })
            .collect();
        all(&format!("left {left:?}"), &sample, bits.into_iter().map(|bit| flipped(&sample.image, bit)));
    }
}

#[test]
fn cut_files() {
    for left in [Left::Closed, Left::Open] {
        let sample = sample(left);
        let len = sample.image.len();
        let mut rng = Rng::with_seed(setting("REDKNOT_SEED", 4));
        let mut lengths: Vec<usize> =
            (1..=len / 4096).map(|pages| len - pages * 4096).filter(|n| *n > 0).collect();
        lengths.extend([1, 8, 9, 63, 64, 319, 320, 4095, 4097, len - 1]);
        lengths.extend((0..60).map(|_| rng.usize(1..len)));
        let cut = lengths.into_iter().map(|len| (format!("cut to {len}"), sample.image[..len].to_vec()));
        all(&format!("cut, {left:?}"), &sample, cut);
    }
}

#[test]
fn overwritten_sectors_and_zeroed_pages() {
    for left in [Left::Closed, Left::Open] {
        let sample = sample(left);
        let mut rng = Rng::with_seed(setting("REDKNOT_SEED", 5));
        let sectors: Vec<(String, Vec<u8>)> = (0..setting("REDKNOT_FLIPS", FLIPS) / 4)
            .map(|_| {
                let at = rng.usize(..sample.image.len() / 512) * 512;
                let mut image = sample.image.clone();
                rng.fill(&mut image[at..at + 512]);
                (format!("noise in sector at {at}"), image)
            })
            .collect();
        let zeroed = (0..sample.image.len() / 4096).map(|page| {
            let mut image = sample.image.clone();
            image[page * 4096..][..4096].fill(0);
            (format!("page {page} zeroed"), image)
        });
        all(&format!("sectors and pages, {left:?}"), &sample, sectors.into_iter().chain(zeroed));
    }
}

/// A writer at work must not pass for damage.
#[test]
fn a_file_that_is_open_is_not_called_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("open.redknot");
    let storage = Storage::create(&path, &options(false)).unwrap();
    for round in 0..3 {
        let mut txn = storage.begin_write().unwrap();
        edit(&mut Rng::with_seed(round), Scale::SMALL, &mut txn, &mut Model::default()).unwrap();
        txn.commit().unwrap();
        if round == 2 {
            storage.make_idle_commit().unwrap();
        }
        assert!(matches!(Storage::open(&path, &options(false)), Err(Error::AlreadyOpen)));
        assert!(Storage::open_read_only(&path, &options(false)).is_err());
    }
    drop(storage);
    Storage::open_read_only(&path, &options(false)).unwrap();
}
