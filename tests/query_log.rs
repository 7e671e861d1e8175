//! The log of queries, what is learned from it, and whether a router keeps its promises.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::sync::OnceLock;

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use redknot::train::TrainOptions;
use redknot::{Collection, CollectionDefinition, Database, Error, Metric};
use tempfile::TempDir;

const DIM: usize = 8;
const ROWS: u64 = 1200;
const POINTS: CollectionDefinition<'static, u64, ()> = CollectionDefinition::new("points", DIM, Metric::L2);
const LOGS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("redknot.query_logs");
const QUERIES: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("redknot.queries.points");

fn rows(count: u64, seed: u64) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count * DIM as u64).map(|_| rng.f32()).collect()
}

/// A file with rows, linked; made once and copied for each test.
fn filled() -> (TempDir, Database) {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::create(folder.path().join("db")).unwrap();
        let mut txn = db.begin_write().unwrap();
        let keys: Vec<u64> = (0..ROWS).collect();
        txn.open_collection(POINTS).unwrap().import(&keys, rows(ROWS, 1).as_slice(), &[]).unwrap();
        txn.commit().unwrap();
        db.build(POINTS).run().unwrap();
        folder
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(made.path().join("db"), folder.path().join("db")).unwrap();
    let db = open(&folder);
    (folder, db)
}

fn open(folder: &TempDir) -> Database {
    Database::open(folder.path().join("db")).unwrap()
}

fn points(db: &Database) -> Collection<u64, ()> {
    db.begin_read().unwrap().open_collection(POINTS).unwrap()
}

/// Asks `count` queries, which are other ones for each seed.
fn ask(db: &Database, count: u64, seed: u64) {
    let points = points(db);
    for query in rows(count, seed).chunks_exact(DIM) {
        points.search(query).k(3).run().unwrap();
    }
}

/// What the log holds: seen, kept, unwritten.
fn state(db: &Database) -> (u64, usize, usize) {
    let log = db.query_log("points").unwrap().unwrap();
    (log.seen, log.kept, log.unwritten)
}

fn quick() -> TrainOptions {
    TrainOptions { queries: 1000, steps: 5, ..TrainOptions::default() }
}

#[test]
fn nothing_is_logged_unless_it_is_asked_for() {
    let (folder, db) = filled();
    ask(&db, 20, 2);
    assert_eq!((db.query_log("points").unwrap(), db.flush_query_log().unwrap()), (None, 0));
    drop(db);
    let before = std::fs::read(folder.path().join("db")).unwrap();
    let db = Database::open_read_only(folder.path().join("db")).unwrap();
    ask(&db, 20, 2);
    drop(db);
    assert_eq!(std::fs::read(folder.path().join("db")).unwrap(), before);
    let raw = redb::Database::open(folder.path().join("db")).unwrap();
    let tables = raw.begin_read().unwrap();
    assert!(matches!(tables.open_table(LOGS), Err(redb::TableError::TableDoesNotExist(_))));
}

#[test]
fn a_log_is_bounded_and_goes_on_after_reopening() {
    let (folder, db) = filled();
    db.log_queries("points", Some(50)).unwrap();
    ask(&db, 30, 2);
    assert_eq!(state(&db), (30, 30, 30));
    assert_eq!(db.flush_query_log().unwrap(), 30);
    assert_eq!(state(&db), (30, 30, 0));
    ask(&db, 200, 3);
    let (seen, kept, unwritten) = state(&db);
    assert_eq!((seen, kept), (230, 50));
    assert!((20..50).contains(&unwritten), "20 free slots, and some that are taken again: {unwritten}");
    drop(db);

    // The end of the handle wrote them, and the count.
    let db = open(&folder);
    assert_eq!(state(&db), (230, 50, 0));
    db.log_queries("points", Some(50)).unwrap();
    assert_eq!(state(&db), (230, 50, 0), "as it was already");
    ask(&db, 300, 4);
    let unwritten = state(&db).2;
    assert!((5..50).contains(&unwritten), "about 300 · 50 / 400 of them: {unwritten}");
    // A commit of a transaction that opened the collection writes them too, one that did not does not.
    db.begin_write().unwrap().commit().unwrap();
    assert_eq!(state(&db).2, unwritten);
    let mut txn = db.begin_write().unwrap();
    txn.open_collection(POINTS).unwrap().insert(5000, &[0.5; DIM], ()).unwrap();
    txn.commit().unwrap();
    assert_eq!(state(&db), (530, 50, 0));
    db.log_queries("points", Some(60)).unwrap();
    assert_eq!(state(&db), (0, 0, 0), "another capacity is another log");
    assert_eq!(db.verify().unwrap().findings, []);
    assert!(db.check_integrity().unwrap());
}

#[test]
fn what_goes_in_is_what_was_asked_of_the_graph() {
    let (folder, db) = filled();
    let early = points(&db);
    db.log_queries("points", Some(100)).unwrap();
    let query = rows(1, 9);
    let collection = points(&db);
    collection.search(&query).exact().run().unwrap();
    collection.search(&query).explain().unwrap();
    assert!(collection.search(&query[1..]).run().is_err());
    early.search(&query).run().unwrap();
    db.begin_write().unwrap().open_collection(POINTS).unwrap().search(&query).run().unwrap();
    assert_eq!(state(&db), (0, 0, 0), "exact, explained, refused, before the log and inside a transaction");
    collection.search(&query).greedy(None).run().unwrap();
    collection.search(&query).filter(|key| key % 2 == 0).run().unwrap();
    collection.search_batch(&[query.clone(), query.clone()]).run().unwrap();
    assert_eq!(state(&db), (4, 4, 4));
    drop((early, collection, db));
    let db = Database::open_read_only(folder.path().join("db")).unwrap();
    ask(&db, 10, 10);
    assert_eq!(state(&db), (4, 4, 0), "handles that cannot write log nothing");
    drop(db);
    let raw = redb::Database::open(folder.path().join("db")).unwrap();
    let table = raw.begin_read().unwrap().open_table(QUERIES).unwrap();
    let bytes: Vec<u8> = query.iter().flat_map(|x| x.to_le_bytes()).collect();
    for pair in table.iter().unwrap() {
        let (slot, value) = pair.unwrap();
        let (number, row) = value.value().split_first_chunk::<8>().unwrap();
        assert_eq!((u64::from_le_bytes(*number), row), (slot.value().into(), bytes.as_slice()));
    }
}

#[test]
fn a_commit_that_does_not_happen_loses_no_query() {
    let (_folder, db) = filled();
    db.log_queries("points", Some(10)).unwrap();
    ask(&db, 5, 2);
    let mut txn = db.begin_write().unwrap();
    txn.open_collection(POINTS).unwrap().remove(3).unwrap();
    txn.abort().unwrap();
    assert_eq!(state(&db), (5, 5, 5));
    // A write transaction that outlives the handle keeps it from writing, and from waiting.
    let txn = db.begin_write().unwrap();
    drop(db);
    txn.abort().unwrap();
}

#[test]
fn many_threads_share_a_log() {
    let (_folder, db) = filled();
    db.log_queries("points", Some(64)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let db = &db;
            scope.spawn(move || {
                ask(db, 50, 100 + thread);
                db.flush_query_log().unwrap();
            });
        }
    });
    db.flush_query_log().unwrap();
    assert_eq!(state(&db), (400, 64, 0));
}

#[test]
fn a_log_ends_with_its_collection_and_when_it_is_switched_off() {
    let (folder, db) = filled();
    db.log_queries("points", Some(10)).unwrap();
    ask(&db, 5, 2);
    db.flush_query_log().unwrap();
    ask(&db, 5, 3);
    let mut txn = db.begin_write().unwrap();
    assert!(txn.delete_collection("points").unwrap());
    txn.open_collection(POINTS).unwrap().insert(1, &[0.0; DIM], ()).unwrap();
    txn.commit().unwrap();
    assert_eq!(db.query_log("points").unwrap(), None);
    ask(&db, 5, 3);
    assert_eq!((db.flush_query_log().unwrap(), db.query_log("points").unwrap()), (0, None));

    db.log_queries("points", Some(10)).unwrap();
    ask(&db, 5, 2);
    db.log_queries("points", None).unwrap();
    assert_eq!((db.flush_query_log().unwrap(), db.query_log("points").unwrap()), (0, None));
    drop(db);
    let raw = redb::Database::open(folder.path().join("db")).unwrap();
    let read = raw.begin_read().unwrap();
    assert_eq!(read.open_table(LOGS).unwrap().len().unwrap(), 0);
    assert!(matches!(read.open_table(QUERIES), Err(redb::TableError::TableDoesNotExist(_))));
}

#[test]
fn bad_input_and_a_damaged_log_leave_searches_and_writes_alone() {
    let (folder, db) = filled();
    for capacity in [0, 100_001] {
        let refused = db.log_queries("points", Some(capacity));
        assert!(matches!(refused, Err(Error::InvalidParameter { name: "capacity", .. })), "{refused:?}");
    }
    assert!(matches!(db.log_queries("nothing", None), Err(Error::UnknownCollection { .. })));
    assert!(matches!(db.query_log("nothing"), Err(Error::UnknownCollection { .. })));
    db.log_queries("points", Some(10)).unwrap();
    ask(&db, 10, 2);
    drop(db);
    for garbage in [&[][..], &[1, 0, 0], &[0xff; 28], &[7; 100]] {
        {
            let raw = redb::Database::open(folder.path().join("db")).unwrap();
            let txn = raw.begin_write().unwrap();
            txn.open_table(LOGS).unwrap().insert("points", garbage).unwrap();
            txn.commit().unwrap();
        }
        let db = open(&folder);
        ask(&db, 5, 3);
        let mut txn = db.begin_write().unwrap();
        txn.open_collection(POINTS).unwrap().insert(9, &[0.1; DIM], ()).unwrap();
        txn.commit().unwrap();
        assert!(matches!(db.query_log("points"), Err(Error::Storage(_))), "the damage is said");
        assert!(matches!(db.train_router(POINTS).from_log().run(), Err(Error::Storage(_))));
    }
    let db = open(&folder);
    db.log_queries("points", None).unwrap();
    db.log_queries("points", Some(10)).unwrap();
    ask(&db, 5, 3);
    assert_eq!(state(&db), (5, 5, 5));
}

#[test]
fn a_router_learns_from_the_log_and_is_held_to_its_promise() {
    let (_folder, db) = filled();
    db.log_queries("points", Some(700)).unwrap();
    // Half of what is asked, again and again.
    ask(&db, 300, 2);
    ask(&db, 300, 2);
    let few = db.train_router(POINTS).options(quick()).from_log().run().unwrap_err();
    assert!(few.to_string().contains("300 different queries"), "{few}");
    let made_up = db.train_router(POINTS).options(quick()).run().unwrap().training;
    assert!(made_up.synthesised && !made_up.logged, "too few to learn from unless told to: {made_up:?}");
    ask(&db, 100, 4);
    ask(&db, 3000, 5);
    let log = db.query_log("points").unwrap().unwrap();
    assert_eq!((log.seen, log.kept), (3700, 700));

    let learned = db.train_router(POINTS).options(quick()).from_log().run().unwrap();
    let training = learned.training;
    assert!(training.logged && !training.synthesised, "{training:?}");
    assert!((500..=700).contains(&(training.queries + training.held_out)), "{training:?}");
    let again = db.train_router(POINTS).options(quick()).run().unwrap().training;
    assert_eq!((again.logged, again.queries), (true, training.queries), "`train` again learns from the log");
    let made_up = db.train_router(POINTS).options(quick()).made_up().run().unwrap().training;
    assert!(made_up.synthesised);

    // Queries like those that it was calibrated with.
    let report = db.router_drift("points").sample(200).run().unwrap();
    assert!(report.logged && report.queries == 200 && report.k == 10);
    assert!(report.levels.iter().any(|level| level.router.is_some() && level.greedy.is_some()));
    let drifts = || report.levels.iter().flat_map(|level| [level.greedy, level.router]).flatten();
    assert!(drifts().all(|drift| drift.measured.recall > 0.5 && drift.measured.distances > 0.0));
    assert_eq!(report.holds, drifts().all(|drift| drift.holds));
    // Far outside of the data the keys say nothing.
    let far: Vec<f32> = rows(100, 8).iter().map(|x| 1e4 * (x - 0.5)).collect();
    let far = db.router_drift("points").queries(&far).run().unwrap();
    assert!(!far.logged && far.queries == 100 && !far.holds, "{far:?}");
}

#[test]
fn drift_that_cannot_be_measured_is_an_error() {
    let (_folder, db) = filled();
    assert!(matches!(db.router_drift("nothing").run(), Err(Error::UnknownCollection { .. })));
    assert!(matches!(db.router_drift("points").run(), Err(Error::NoRouter { .. })));
    db.train_router(POINTS).options(quick()).run().unwrap();
    let none = db.router_drift("points").run().unwrap_err();
    assert!(
        none.to_string().contains("0 different queries") && none.to_string().contains("log_queries"),
        "{none}"
    );
    let given = rows(60, 3);
    assert!(matches!(db.router_drift("points").queries(&given).sample(49).run(), Err(Error::Router { .. })));
    assert!(matches!(db.router_drift("points").queries(&given[1..]).run(), Err(Error::Vector(_))));
    let stopped =
        db.router_drift("points").queries(&given).progress(|| std::ops::ControlFlow::Break(())).run();
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    assert_eq!(db.router_drift("points").queries(&given).run().unwrap().queries, 60);
}
