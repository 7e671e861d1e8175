//! A small database with bytes changed by the fuzzer: opening, reading, searching and checking it give errors or
//! right answers, never others, and never a panic.
#![no_main]
#![allow(clippy::unwrap_used, reason = "a failed call is a finding")]

#[path = "../../tests/bad_input/sample.rs"]
#[allow(dead_code, reason = "this target uses its part")]
mod sample;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use redknot::{Database, Result};
use redknot_storage::test_disk::TestDisk;
use sample::{DOCS, ROWS, TABLE, WORDS, fill, vector, word};

fn open(disk: &TestDisk) -> Result<Database> {
    // A small map: the sanitiser keeps account of every address that is reserved.
    Database::builder()
        .cache_bytes(1 << 20)
        .reserve_bytes(64 << 20)
        .idle_commit(None)
        .on_disk(Arc::new(disk.clone()))
}

/// A file that was closed, and one that was not.
static IMAGES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let disk = TestDisk::new().unwrap();
    let db = open(&disk).unwrap();
    fill(&db).unwrap();
    db.build(DOCS).run().unwrap();
    let left = disk.live();
    drop(db);
    [disk.live(), left]
});

/// Edits of six bytes: a place (4), what to do there, and with what; the first byte chooses the file.
fn mutate(data: &[u8]) -> Vec<u8> {
    let Some((which, edits)) = data.split_first() else { return IMAGES[0].clone() };
    let mut bytes = IMAGES[usize::from(which % 2)].clone();
    for edit in edits.as_chunks::<6>().0 {
        if bytes.is_empty() {
            break;
        }
        let at = u32::from_le_bytes([edit[0], edit[1], edit[2], edit[3]]) as usize % bytes.len();
        match edit[4] % 4 {
            0 => bytes[at] = edit[5],
            1 => bytes[at] ^= 1 << (edit[5] % 8),
            2 => {
                let page = at & !4095;
                let from = usize::from(edit[5]) * 4096 % bytes.len();
                let len = 4096.min(bytes.len() - page).min(bytes.len() - from);
                bytes.copy_within(from..from + len, page);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn read(db: &Database) -> Result<()> {
    let read = db.begin_read()?;
    let docs = read.open_collection(DOCS)?;
    let words = read.open_collection(WORDS)?;
    for row in 0..ROWS {
        if let Ok(found) = docs.vector(row) {
            assert_eq!(found.as_deref(), Some(&vector(row)[..]));
        }
        if let Ok(found) = docs.get(row) {
            assert_eq!(found.unwrap().value(), word(row));
        }
        if let Ok(found) = docs.search(&vector(row)).k(1).run() {
            assert_eq!(found.hits[0].key, row);
        }
        if let Ok(found) = words.search(&vector(row)).k(2).exact().run() {
            assert!(found.hits[0].distance.abs() < 1e-5);
        }
    }
    if let Ok(table) = read.open_table(TABLE)
        && let Ok(text) = table.get(1)
    {
        assert!(text.is_none_or(|text| text.value() == "one"));
    }
    Ok(())
}

fn run(data: &[u8]) {
    let disk = TestDisk::from_image(mutate(data)).unwrap();
    let Ok(db) = open(&disk) else { return };
    // Errors are welcome: the file is damaged.
    drop(read(&db));
    drop(db.verify());
    let write = || -> Result<()> {
        let mut txn = db.begin_write()?;
        let mut docs = txn.open_collection(DOCS)?;
        docs.insert(ROWS, &vector(ROWS), "new")?;
        docs.remove(3)?;
        txn.commit()
    };
    drop(write());
}

/// What the last panic said.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

fuzz_target!(
    init: {
        // The fuzzer's own hook aborts at any panic, also at one inside redb that storage makes an error of.
        std::panic::set_hook(Box::new(|panic| *LAST_PANIC.lock().unwrap() = panic.to_string()));
    },
    |data: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| run(data))).is_err() {
            eprintln!("{}", LAST_PANIC.lock().unwrap());
            std::process::abort();
        }
    }
);
