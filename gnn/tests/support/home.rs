//! A file with an index and graph features.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use redknot_gnn::online::Graph;
use redknot_index::{
    BetweennessOptions, BuildOptions, Element, FeatureRecord, Features, IndexConfig, IndexRecord, Metric,
    Reader, Writer, build, compute_features,
};
use redknot_storage::{Options, Snapshot, Storage};
use tempfile::TempDir;

pub(crate) const DIM: usize = 16;
pub(crate) const ROWS: usize = 2500;

/// A file with an index, and features that are stored beside it.
pub(crate) struct Home {
    pub(crate) storage: Storage,
    _dir: TempDir,
    pub(crate) record: IndexRecord,
    pub(crate) features: Features,
    pub(crate) stored: FeatureRecord,
    pub(crate) rows: Vec<Vec<f32>>,
}

/// A row as it is stored.
pub(crate) fn bytes(row: &[f32]) -> Vec<u8> {
    row.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Points around 30 centres.
pub(crate) fn points(n: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut centres = fastrand::Rng::with_seed(99);
    let centres: Vec<Vec<f32>> = (0..30).map(|_| (0..DIM).map(|_| centres.f32() - 0.5).collect()).collect();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut row = |number: usize| -> Vec<f32> {
        centres[number % centres.len()].iter().map(|centre| centre + 0.7 * (rng.f32() - 0.5)).collect()
    };
    (0..n).map(&mut row).collect()
}

/// A file in `dir` with a built index over the rows, which keep their order.
pub(crate) fn indexed(dir: &Path, metric: Metric, rows: &[Vec<f32>]) -> (Storage, IndexRecord) {
    let options = Options { cache_bytes: 8 << 20, idle_commit: None, ..Options::default() };
    let storage = Storage::create(dir.join("file"), &options).unwrap();
    let dim = rows[0].len();
    let config = IndexConfig { dim, metric, element: Element::F32, m: 8, ef_construction: 80, seed: 7 };
    let mut txn = storage.begin_write().unwrap();
    let mut record = IndexRecord::create(&mut txn, &config).unwrap();
    let block: Vec<u8> = rows.iter().flat_map(|row| bytes(row)).collect();
    Writer::open(&mut txn, &mut record).unwrap().append_unlinked(&block).unwrap();
    txn.commit().unwrap();
    let mut built = record.clone();
    let options = BuildOptions { reorder: Some(false), ..BuildOptions::default() };
    let mut save = |_: &mut _, record: &IndexRecord, _: Option<&_>| {
        built = record.clone();
        Ok::<(), redknot_index::Error>(())
    };
    build(storage.begin_write().unwrap(), record, &options, &|_| ControlFlow::Continue(()), &mut save)
        .unwrap();
    (storage, built)
}

impl Home {
    pub(crate) fn new(metric: Metric) -> Home {
        Home::with_rows(metric, ROWS)
    }

    pub(crate) fn with_rows(metric: Metric, rows: usize) -> Home {
        let dir = tempfile::tempdir().unwrap();
        let rows = points(rows, 5);
        let (storage, built) = indexed(dir.path(), metric, &rows);
        let snapshot = storage.snapshot().unwrap();
        let go_on = |_| ControlFlow::Continue(());
        let reader = Reader::open(&*snapshot, &built).unwrap();
        let features = compute_features(&reader, &BetweennessOptions::default(), &go_on).unwrap();
        let mut txn = storage.begin_write().unwrap();
        let stored = features.store(&mut txn).unwrap();
        txn.commit().unwrap();
        Home { storage, _dir: dir, record: built, features, stored, rows }
    }

    /// Works on the graph without the stored features, or with them.
    pub(crate) fn with<T>(&self, with_stored: bool, work: impl FnOnce(&Graph<'_>) -> T) -> T {
        let snapshot: Arc<Snapshot> = self.storage.snapshot().unwrap();
        let reader = Reader::open(&*snapshot, &self.record).unwrap();
        let graph = if with_stored {
            Graph::with_features(reader, &*snapshot, &self.stored)
        } else {
            Graph::new(reader)
        };
        assert_eq!(graph.has_stored_features(), with_stored);
        work(&graph)
    }
}

/// `Σ aᵢ bᵢ` in double precision.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

pub(crate) fn naive_distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    match metric {
        Metric::L2 => dot(a, a) + dot(b, b) - 2.0 * dot(a, b),
        Metric::Cosine => 1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
        _ => -dot(a, b),
    }
}

pub(crate) fn near(a: f32, b: f64) -> bool {
    (f64::from(a) - b).abs() < 1e-4 * (1.0 + b.abs())
}
