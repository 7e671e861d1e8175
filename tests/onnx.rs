//! Routers as ONNX files: out of one database and into another, through the gate.
//!
//! Nothing here depends on speed: whether the gate lets searches follow a router does, so these tests ask for routed search.
#![cfg(all(feature = "onnx", feature = "train"))]
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use redknot::onnx::{OnnxError, import_key_model};
use redknot::routing::{Effort, Mode};
use redknot::train::TrainOptions;
use redknot::{CollectionDefinition, Database, Error, Hit, Metric, RouterProgress};
use tempfile::TempDir;

const DIM: usize = 24;
const ROWS: usize = 3000;
const K: usize = 10;
const POINTS: CollectionDefinition<'static, u64, ()> = CollectionDefinition::new("points", DIM, Metric::L2);
const WIDE: Effort = Effort {
    mode: Mode::Route,
    gamma: 1.4,
    rerank: 120,
    slack: 1.6,
    ef: 400,
    max_hops: u64::MAX,
    farthest: None,
};

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count * DIM).map(|_| rng.f32() - 0.5).collect()
}

/// A database of linked rows, without a router.
fn create(path: &Path) -> Database {
    let db = Database::create(path).unwrap();
    let keys: Vec<u64> = (0..ROWS as u64).collect();
    let mut txn = db.begin_write().unwrap();
    txn.open_collection(POINTS).unwrap().import(&keys, numbers(ROWS, 1).as_slice(), &[]).unwrap();
    txn.commit().unwrap();
    db.build(POINTS).run().unwrap();
    db
}

/// Two copies of one database, made once for all tests: with a router, and without.
fn copies() -> (TempDir, Database, Database) {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let db = create(&folder.path().join("without"));
        drop(db);
        fs::copy(folder.path().join("without"), folder.path().join("with")).unwrap();
        let db = Database::open(folder.path().join("with")).unwrap();
        let options = TrainOptions { queries: 300, steps: 30, ..TrainOptions::default() };
        db.train_router(POINTS).options(options).run().unwrap();
        folder
    });
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        fs::copy(made.path().join(name), folder.path().join(name)).unwrap();
        Database::open(folder.path().join(name)).unwrap()
    };
    let (with, without) = (open("with"), open("without"));
    (folder, with, without)
}

fn routed(db: &Database) -> Vec<Vec<Hit<u64>>> {
    let points = db.begin_read().unwrap().open_collection(POINTS).unwrap();
    let search = |query: &[f32]| points.search(query).k(K).routed(WIDE).run().unwrap();
    numbers(40, 9)
        .chunks(DIM)
        .map(search)
        .inspect(|found| assert!(found.stats.routed))
        .map(|found| found.hits)
        .collect()
}

/// A file of the same projections as another program writes it: its kind is all that is read beside the weights.
fn as_projection(file: &[u8]) -> Vec<u8> {
    let kind = b"\x72\x19\x0a\x0credknot.kind\x12\x09key-model";
    let at = file.windows(kind.len()).position(|window| window == kind).unwrap();
    let (before, after) = (&file[..at], &file[at + kind.len()..]);
    [before, b"\x72\x1a\x0a\x0credknot.kind\x12\x0aprojection", after].concat()
}

#[test]
fn a_router_moves_from_one_file_to_another() {
    let (_folder, with, without) = copies();
    let file = with.export_router("points").unwrap();
    let (model, metadata) = import_key_model(&file).unwrap();
    assert_eq!((model.dim, metadata["redknot.metric"].as_str()), (DIM, "l2"));
    assert!(metadata.contains_key("redknot.graph_epoch"), "{metadata:?}");

    let held_out = numbers(60, 5);
    let report = without.import_router(POINTS, &file).held_out(&held_out).run().unwrap();
    assert!(!report.fitted && report.before.is_none());
    assert_eq!((report.training.held_out, report.training.rows), (60, ROWS as u64));
    let trained = with.router("points").unwrap().unwrap().training;
    assert_eq!(
        (report.training.queries, report.training.synthesised),
        (trained.queries, trained.synthesised)
    );
    let info = without.router("points").unwrap().unwrap();
    assert_eq!((info.gains, info.fresh, info.enabled), (report.accepted, true, true));
    assert_eq!(routed(&with), routed(&without));
    assert_eq!(import_key_model(&without.export_router("points").unwrap()).unwrap().0, model);
    assert!(without.verify().unwrap().findings.is_empty());
}

#[test]
fn projections_get_a_quantiser_and_queries() {
    let (_folder, with, without) = copies();
    let file = as_projection(&with.export_router("points").unwrap());
    let report = without.import_router(POINTS, &file).run().unwrap();
    assert!(report.fitted && report.training.held_out >= 100, "{report:?}");
    let points = without.begin_read().unwrap().open_collection(POINTS).unwrap();
    let found = routed(&without);
    let mut right = 0;
    for (query, hits) in numbers(40, 9).chunks(DIM).zip(&found) {
        let exact = points.search(query).k(K).exact().run().unwrap().hits;
        right += exact.iter().filter(|hit| hits.iter().any(|other| other.key == hit.key)).count();
    }
    assert!(right >= 40 * K * 9 / 10, "{right} of {}", 40 * K);
}

/// Runs an import that fails, and looks at what it left.
fn refused(db: &Database, file: &[u8], held_out: &[f32]) -> Error {
    let before = db.router("points").unwrap();
    let error = db.import_router(POINTS, file).held_out(held_out).run().unwrap_err();
    assert_eq!(db.router("points").unwrap(), before);
    assert!(db.verify().unwrap().findings.is_empty());
    error
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (folder, with, without) = copies();
    let file = with.export_router("points").unwrap();
    let held_out = numbers(60, 5);
    for db in [&with, &without] {
        let error = refused(db, &file[..file.len() / 2], &held_out);
        assert!(matches!(error, Error::Onnx(_)), "{error}");
        let mut damaged = file.clone();
        // In the weights, which are most of the file.
        damaged[file.len() / 4] ^= 1;
        let error = refused(db, &damaged, &held_out);
        assert!(matches!(error, Error::Onnx(OnnxError::Checksum)), "{error}");
        let error = refused(db, &file, &held_out[..10 * DIM]);
        assert!(error.to_string().contains("10 different queries to calibrate with"), "{error}");
        let error = refused(db, &file, &held_out[1..]);
        assert!(error.to_string().contains("no whole queries"), "{error}");
        // When the keys are written and measured.
        let written = AtomicBool::new(false);
        let cancelled = db.import_router(POINTS, &file).held_out(&held_out).progress(|step| match step {
            RouterProgress::Calibrating if written.load(Relaxed) => ControlFlow::Break(()),
            step => {
                written.fetch_or(step == RouterProgress::Keys, Relaxed);
                ControlFlow::Continue(())
            }
        });
        let before = db.router("points").unwrap();
        assert!(matches!(cancelled.run(), Err(Error::Cancelled)));
        assert!(written.load(Relaxed));
        assert_eq!(db.router("points").unwrap(), before);
        assert!(db.verify().unwrap().findings.is_empty());
    }
    assert!(without.router("points").unwrap().is_none());

    const WIDER: CollectionDefinition<'static, u64, ()> =
        CollectionDefinition::new("wider", DIM + 1, Metric::L2);
    const TURNED: CollectionDefinition<'static, u64, ()> =
        CollectionDefinition::new("turned", DIM, Metric::Cosine);
    const INNER: CollectionDefinition<'static, u64, ()> =
        CollectionDefinition::new("inner", DIM, Metric::InnerProduct);
    let db = Database::create(folder.path().join("others")).unwrap();
    let mut txn = db.begin_write().unwrap();
    for definition in [WIDER, TURNED, INNER] {
        txn.open_collection(definition).unwrap();
    }
    txn.commit().unwrap();
    for (definition, why) in [(WIDER, "24 components"), (TURNED, "metric l2"), (INNER, "l2 and cosine")] {
        let error = db.import_router(definition, &file).held_out(&held_out).run().unwrap_err();
        assert!(matches!(error, Error::Router { .. }) && error.to_string().contains(why), "{error}");
    }
    assert!(matches!(db.export_router("wider"), Err(Error::NoRouter { .. })));
    assert!(matches!(db.export_router("none"), Err(Error::UnknownCollection { .. })));
}
