//! Commits, inserts, deletes and searches on the bundled definitions: `cargo bench --bench operations`.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use redknot::{CollectionDefinition, Database, Element, Metric};

const DIM: usize = 384;
const DEFINITIONS: CollectionDefinition<u64, &str> =
    CollectionDefinition::new("definitions", DIM, Metric::Cosine).element(Element::I8);

/// The bundled vectors; the header of a version 1 npy file of this shape has 128 bytes.
fn vectors(name: &str) -> Vec<i8> {
    let path = format!("{}/data/demo/{name}", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).expect("the demo data is in the repository");
    bytes[128..].iter().map(|byte| *byte as i8).collect()
}

fn built(folder: &tempfile::TempDir) -> Database {
    let db = Database::create(folder.path().join("operations.redknot")).expect("a new file in a new folder");
    let base = vectors("base.npy");
    let keys: Vec<u64> = (0..(base.len() / DIM) as u64).collect();
    let texts = vec![""; keys.len()];
    let mut txn = db.begin_write().expect("no other writer");
    txn.open_collection(DEFINITIONS).and_then(|mut c| c.import(&keys, &base, &texts)).expect("valid rows");
    txn.commit().expect("a working disk");
    db.build(DEFINITIONS).run().expect("a working disk");
    db
}

fn operations(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let db = built(&folder);
    let queries = vectors("query.npy");
    let mut next = 0;
    let mut query = || {
        next = (next + DIM) % queries.len();
        &queries[next..next + DIM]
    };

    for ef in [20, 80] {
        let read = db.begin_read().expect("an open database");
        let collection = read.open_collection(DEFINITIONS).expect("the collection was created");
        criterion.bench_function(&format!("search k=10 ef={ef}"), |bench| {
            bench.iter(|| collection.search(query()).k(10).ef(ef).run().expect("a valid query"));
        });
    }
    criterion.bench_function("commit of one row, linked and synced", |bench| {
        bench.iter(|| {
            let mut txn = db.begin_write().expect("no other writer");
            txn.open_collection(DEFINITIONS)
                .and_then(|mut c| c.insert(1 << 40, query(), ""))
                .expect("a valid row");
            txn.commit().expect("a working disk");
        });
    });
    criterion.bench_function("insert in an open transaction", |bench| {
        let mut txn = db.begin_write().expect("no other writer");
        let mut collection = txn.open_collection(DEFINITIONS).expect("the collection was created");
        let mut key = 1u64 << 41;
        bench.iter(|| {
            key += 1;
            collection.insert(key, query(), "").expect("a valid row")
        });
    });
    criterion.bench_function("delete in an open transaction", |bench| {
        let mut txn = db.begin_write().expect("no other writer");
        let mut collection = txn.open_collection(DEFINITIONS).expect("the collection was created");
        let mut key = 1u64 << 42;
        // Only the deletion is timed: each deletes a row that was inserted just before.
        bench.iter_custom(|rounds| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..rounds {
                key += 1;
                collection.insert(key, query(), "").expect("a valid row");
                let start = Instant::now();
                assert!(collection.remove(key).expect("a working disk"));
                elapsed += start.elapsed();
            }
            elapsed
        });
    });
}

criterion_group!(benches, operations);
criterion_main!(benches);
