//! Every row is found by a search for its own vector, after a bulk build and after many changes.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod support;

use std::collections::BTreeMap;

use redknot_index::{
    Element, IndexConfig, IndexRecord, Metric, Reader, Scratch, SearchParams, Writer, verify,
};
use redknot_storage::{Options, Storage};
use support::{Matrix, build, bytes, kernel};

const DIM: usize = 12;
/// As of the searches that the index makes itself.
const EF: usize = 64;

/// Whole numbers, so that distances are the same on every machine, in clusters of very different sizes: what leads greedy
/// search astray.
fn rows(count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let centres: Vec<Vec<i32>> = (0..40).map(|_| (0..DIM).map(|_| rng.i32(-200..200)).collect()).collect();
    let around = |rng: &mut fastrand::Rng| {
        let centre = rng.usize(..centres.len()) * rng.usize(..centres.len()) / centres.len();
        let spread = 2 + centre as i32;
        centres[centre].iter().map(|x| (x + rng.i32(-spread..=spread)) as f32).collect()
    };
    (0..count).map(|_| around(&mut rng)).collect()
}

#[test]
fn after_a_bulk_build() {
    let rows = rows(6000, 11);
    let matrix = Matrix::new(&rows);
    // Few links: so many rows are lost without the search for each.
    let graph = build(&matrix, Metric::L2, 3, 20, 1);
    let mut scratch = Scratch::default();
    let mut search =
        |row: &[f32]| graph.search(&matrix, &kernel(Metric::L2), &bytes(row), 1, EF, &mut scratch).unwrap();
    let lost = rows.iter().filter(|row| search(row)[0].distance > 0.0).count();
    assert_eq!(lost, 0, "rows that a search for their own vector does not find");
}

#[test]
fn after_many_changes() {
    let all = rows(9000, 12);
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::create(folder.path().join("file"), &Options::default()).unwrap();
    let config = IndexConfig {
        dim: DIM,
        metric: Metric::L2,
        element: Element::F32,
        m: 6,
        ef_construction: 40,
        seed: 7,
    };
    let mut txn = storage.begin_write().unwrap();
    let mut record = IndexRecord::create(&mut txn, &config).unwrap();
    let mut live: BTreeMap<u32, &Vec<f32>> = BTreeMap::new();
    let mut rng = fastrand::Rng::with_seed(3);
    for batch in all.chunks(500) {
        let mut writer = Writer::open(&mut txn, &mut record).unwrap();
        for row in batch {
            live.insert(writer.insert(&bytes(row)).unwrap(), row);
        }
        if live.len() > 4000 {
            for _ in 0..400 {
                let node = *live.keys().nth(rng.usize(..live.len())).unwrap();
                writer.delete(node).unwrap();
                live.remove(&node);
            }
        }
        writer.finish().unwrap();
    }
    assert_eq!(verify(&txn, &record).unwrap(), []);
    let reader = Reader::open(&txn, &record).unwrap();
    let params = SearchParams { k: 1, ef: EF };
    let found = |row: &[f32]| reader.search(&bytes(row), params).unwrap().neighbors[0].distance == 0.0;
    let lost = live.values().filter(|row| !found(row)).count();
    // A change elsewhere may hide a row until the search that looks after all comes by.
    assert!(lost <= live.len() / 1000, "{lost} of {} rows are not found", live.len());
}
