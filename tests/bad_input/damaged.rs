//! Files that lost a part or a bit: an error or the right answer, never another one, and never a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redknot::{Database, Result};
use redknot_storage::test_disk::TestDisk;

use crate::sample::{DOCS, ROWS, TABLE, WORDS, fill, vector, word};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// The bytes of a small database, one part of it built.
fn image(closed: bool) -> Vec<u8> {
    let disk = TestDisk::new().unwrap();
    let db = open(&disk).unwrap();
    fill(&db).unwrap();
    db.build(DOCS).run().unwrap();
    if closed {
        drop(db);
    }
    disk.live()
}

fn open(disk: &TestDisk) -> Result<Database> {
    Database::builder().cache_bytes(1 << 20).idle_commit(None).on_disk(Arc::new(disk.clone()))
}

/// Reads all there is and searches; whether everything was there. What is read must be right.
fn read(db: &Database) -> Result<bool> {
    let read = db.begin_read()?;
    let docs = read.open_collection(DOCS)?;
    let words = read.open_collection(WORDS)?;
    let mut whole = docs.len() == ROWS;
    let mut seen = |result: Result<bool>| match result {
        Ok(right) => assert!(right, "a wrong answer"),
        Err(_) => whole = false,
    };
    for row in 0..ROWS {
        seen(docs.vector(row).map(|found| found.as_deref() == Some(&vector(row))));
        seen(docs.get(row).map(|found| found.is_some_and(|payload| payload.value() == word(row))));
        seen(words.vector(&word(row)).map(|found| found.as_deref() == Some(&vector(row))));
        seen(docs.search(&vector(row)).k(1).run().map(|found| found.hits[0].key == row));
        seen(docs.search(&vector(row)).k(1).exact().run().map(|found| found.hits[0].key == row));
        seen(words.search(&vector(row)).k(3).run().map(|found| found.hits[0].distance.abs() < 1e-5));
    }
    seen(
        read.open_table(TABLE)
            .map(|table| table.get(1).is_ok_and(|text| text.is_none_or(|t| t.value() == "one"))),
    );
    Ok(whole)
}

/// Opens what is left, reads, verifies, writes. Errors are welcome; whether there was one.
fn survives(bytes: Vec<u8>, what: &str) -> bool {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let disk = TestDisk::from_image(bytes).unwrap();
        let Ok(db) = open(&disk) else { return false };
        let whole = read(&db).unwrap_or(false);
        let clean = db.verify().is_ok_and(|report| report.is_clean());
        let write = || -> Result<()> {
            let mut txn = db.begin_write()?;
            let mut docs = txn.open_collection(DOCS)?;
            docs.insert(ROWS, &vector(ROWS), "new")?;
            docs.remove(3)?;
            txn.commit()
        };
        let written = write().is_ok();
        whole && clean && written
    }));
    tried.unwrap_or_else(|_| panic!("{what}: panicked, see above"))
}

#[test]
fn truncated_files() {
    for closed in [true, false] {
        let image = image(closed);
        assert!(survives(image.clone(), "whole"));
        let mut lengths: Vec<usize> = (0..image.len()).step_by(image.len() / 60).collect();
        lengths.extend([1, 63, 64, 511, 512, 4095, 4096, image.len() - 1, image.len() - 4096]);
        for len in lengths {
            survives(image[..len].to_vec(), &format!("cut to {len} bytes, closed {closed}"));
        }
    }
}

#[test]
fn flipped_bits() {
    let seed = setting("REDKNOT_SEED", fastrand::u64(..1 << 32));
    println!("REDKNOT_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let images = [image(true), image(false)];
    // Most of a small file is empty: flip where there is something.
    let used: Vec<Vec<usize>> =
        images.iter().map(|image| (0..image.len()).filter(|at| image[*at] != 0).collect()).collect();
    let mut unharmed = 0;
    let flips = setting("REDKNOT_FLIPS", 300);
    for flip in 0..flips {
        let which = rng.usize(..2);
        let mut bytes = images[which].clone();
        let at = used[which][rng.usize(..used[which].len())];
        bytes[at] ^= 1 << rng.u8(..8);
        unharmed += u64::from(survives(
            bytes,
            &format!("seed {seed}, flip {flip}, byte {at}, closed {}", which == 0),
        ));
    }
    println!("{unharmed} of {flips} damaged files were read whole and written");
    assert!(unharmed < flips, "no flipped bit was noticed");
}
