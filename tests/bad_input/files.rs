//! Files that cannot be opened as asked.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use redb::TableDefinition;
use redknot::{Database, Error};
use redknot_storage::test_disk::{Capacity, TestDisk};

use crate::sample::{DOCS, content, create, sample, vector};

fn storage(error: Error) -> redknot_storage::Error {
    match error {
        Error::Storage(error) => error,
        other => panic!("not an error of the file: {other:?}"),
    }
}

/// Opening for writing and for reading fails, with a message that has these parts, and leaves every byte alone.
fn refused(path: &Path, parts: &[&str]) -> redknot_storage::Error {
    let before = std::fs::read(path).unwrap();
    let readers = Database::open_read_only(path).expect_err("it should be refused");
    let error = Database::open(path).expect_err("it should be refused");
    for error in [&readers, &error] {
        let message = error.to_string();
        for part in parts {
            assert!(message.contains(part), "{message:?} does not say {part:?}");
        }
    }
    assert_eq!(std::fs::read(path).unwrap(), before, "the file was changed");
    storage(error)
}

#[test]
fn files_that_are_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let contents: [Vec<u8>; 4] = [
        Vec::new(),
        b"# A text\n".to_vec(),
        "All work and no play. ".repeat(10_000).into_bytes(),
        vec![0; 1 << 20],
    ];
    for bytes in contents {
        std::fs::write(&path, &bytes).unwrap();
        let error = refused(&path, &["is not a redknot database", "name another file"]);
        assert!(matches!(error, redknot_storage::Error::NotRedknot { .. }), "{error:?}");
    }
}

#[test]
fn a_redb_database_of_somebody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let foreign = redb::Database::create(&path).unwrap();
    let txn = foreign.begin_write().unwrap();
    txn.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap().insert(1, 2).unwrap();
    txn.commit().unwrap();
    drop(foreign);
    let error = refused(&path, &["is not a redknot database"]);
    assert!(matches!(error, redknot_storage::Error::NotRedknot { .. }), "{error:?}");
}

#[test]
fn a_newer_format() {
    let (_folder, path, db) = sample();
    drop(db);
    let newer = redknot::FORMAT_VERSION + 1;
    let redb = redb::Database::open(&path).unwrap();
    let txn = redb.begin_write().unwrap();
    let mut record = b"REDKNOT\0".to_vec();
    record.extend_from_slice(&newer.to_le_bytes());
    txn.open_table(TableDefinition::<&str, &[u8]>::new("redknot.meta"))
        .unwrap()
        .insert("format", record.as_slice())
        .unwrap();
    txn.commit().unwrap();
    drop(redb);
    let error = refused(&path, &[&format!("format {newer}"), "open it with a newer redknot"]);
    assert!(matches!(error, redknot_storage::Error::NewerFormat { .. }), "{error:?}");
}

#[test]
fn paths_that_lead_nowhere_or_to_something_else() {
    let (folder, path, db) = sample();
    let error = storage(Database::open(folder.path().join("none")).err().unwrap());
    assert!(matches!(error, redknot_storage::Error::NotFound { .. }), "{error:?}");
    let error = storage(Database::open_read_only(folder.path().join("none")).err().unwrap());
    assert!(matches!(error, redknot_storage::Error::NotFound { .. }), "{error:?}");
    assert!(!folder.path().join("none").exists());
    assert!(Database::open(folder.path()).is_err());
    assert!(Database::create(folder.path().join("no folder").join("db")).is_err());

    drop(db);
    let before = std::fs::read(&path).unwrap();
    let error = storage(Database::create(&path).err().unwrap());
    assert!(matches!(error, redknot_storage::Error::AlreadyExists { .. }), "{error:?}");
    assert!(error.to_string().contains("exists already; open it"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_backup_onto_a_file_that_is_there() {
    let (folder, path, db) = sample();
    let other = folder.path().join("other");
    std::fs::write(&other, "precious").unwrap();
    for target in [&other, &path] {
        let before = std::fs::read(target).unwrap();
        let error = storage(db.backup(target).unwrap_err());
        assert!(matches!(error, redknot_storage::Error::AlreadyExists { .. }), "{error:?}");
        assert_eq!(std::fs::read(target).unwrap(), before);
    }
}

#[test]
fn a_second_writer() {
    let (_folder, path, db) = sample();
    let before = content(&db);
    for second in [Database::open(&path), Database::open_read_only(&path)] {
        let error = storage(second.expect_err("it should be refused"));
        assert!(matches!(error, redknot_storage::Error::AlreadyOpen), "{error:?}");
        assert!(error.to_string().contains("close the other handle first"), "{error}");
    }
    // And in another process.
    let process = Command::new(env!("CARGO_BIN_EXE_redknot")).arg("compact").arg(&path).output().unwrap();
    assert!(!process.status.success());
    let said = String::from_utf8_lossy(&process.stderr);
    assert!(said.contains("the file is open elsewhere"), "{said}");
    assert_eq!(content(&db), before);
}

#[test]
fn several_readers_and_no_writer_beside_them() {
    let (_folder, path, db) = sample();
    let before = content(&db);
    drop(db);
    let readers = [Database::open_read_only(&path).unwrap(), Database::open_read_only(&path).unwrap()];
    let error = storage(Database::open(&path).err().unwrap());
    assert!(matches!(error, redknot_storage::Error::AlreadyOpen), "{error:?}");
    for reader in &readers {
        assert_eq!(content(reader), before);
    }
    let process = Command::new(env!("CARGO_BIN_EXE_redknot")).arg("info").arg(&path).output().unwrap();
    assert!(process.status.success(), "{}", String::from_utf8_lossy(&process.stderr));
}

#[test]
fn writing_through_a_read_only_handle() {
    let (_folder, path, db) = sample();
    drop(db);
    let before = std::fs::read(&path).unwrap();
    let db = Database::open_read_only(&path).unwrap();
    let errors = [db.begin_write().err(), db.build(DOCS).run().err(), db.compact().err()];
    for error in errors {
        let error = storage(error.expect("it should be refused"));
        assert!(matches!(error, redknot_storage::Error::ReadOnly), "{error:?}");
        assert!(error.to_string().contains("open it for writing"), "{error}");
    }
    drop(db);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_read_only_file_opened_for_writing() {
    let (_folder, path, db) = sample();
    drop(db);
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    // The superuser may write to it all the same.
    if std::fs::OpenOptions::new().write(true).open(&path).is_err() {
        let error = Database::open(&path).expect_err("it should be refused");
        assert!(matches!(storage(error), redknot_storage::Error::Io { .. }));
    }
    assert_eq!(Database::open_read_only(&path).unwrap().collections().unwrap().len(), 2);
}

#[test]
fn a_file_that_was_not_closed_and_a_reader() {
    let (folder, path, db) = sample();
    let before = content(&db);
    // As a killed writer leaves it.
    let left = folder.path().join("left");
    std::fs::copy(&path, &left).unwrap();
    drop(db);
    let bytes = std::fs::read(&left).unwrap();
    let error = storage(Database::open_read_only(&left).expect_err("it should be refused"));
    assert!(matches!(error, redknot_storage::Error::NeedsRepair), "{error:?}");
    assert!(error.to_string().contains("open it once for writing"), "{error}");
    assert_eq!(std::fs::read(&left).unwrap(), bytes);
    assert_eq!(content(&Database::open(&left).unwrap()), before);
    assert_eq!(content(&Database::open_read_only(&left).unwrap()), before);
}

#[test]
fn no_space() {
    let disk = TestDisk::new().unwrap();
    let open = || Database::builder().idle_commit(None).on_disk(Arc::new(disk.clone()));
    let db = open().unwrap();
    crate::sample::fill(&db).unwrap();
    let before = content(&db);
    disk.set_capacity(Capacity::of(disk.live().len() as u64));
    let mut txn = db.begin_write().unwrap();
    let mut docs = txn.open_collection(DOCS).unwrap();
    let payload = "x".repeat(2000);
    let filled = (0..2000_u64).try_for_each(|row| docs.insert(row, &vector(row), &payload).map(drop));
    let error = filled.and_then(|()| txn.commit()).expect_err("4 MB do not fit");
    assert!(matches!(error, Error::Storage(redknot_storage::Error::NoSpace)), "{error:?}");
    assert!(error.to_string().contains("free some space"), "{error}");
    drop(db);
    disk.set_capacity(Capacity::default());
    assert_eq!(content(&open().unwrap()), before);
}

#[test]
fn options_out_of_range() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    for builder in [Database::builder().cache_bytes(0), Database::builder().reserve_bytes(u64::MAX)] {
        let error = storage(builder.create(&path).expect_err("it should be refused"));
        assert!(matches!(error, redknot_storage::Error::InvalidOption { .. }), "{error:?}");
        assert!(!path.exists());
    }
}

#[test]
fn bytes_behind_the_end_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let before = content(&create(&path));
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&[0xAB; 10_000]).unwrap();
    drop(file);
    match Database::open(&path) {
        Ok(db) => assert_eq!(content(&db), before),
        Err(error) => drop(storage(error)),
    }
}
