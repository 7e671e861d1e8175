//! Recall on real embeddings against bundled exact answers: after a bulk build, after inserts one by one, and after
//! rows were deleted and inserted again.
//!
//! `cargo test --release --test recall -- --nocapture` prints the figures.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::num::NonZero;
use std::path::Path;

use npyz::NpyFile;
use redknot::{Collection, CollectionDefinition, Database, Element, Metric};

const DIM: usize = 384;
const ROWS: usize = 12_000;
const K: usize = 10;
/// Search efforts, each with the recall@10 that is the least to be accepted.
const FLOORS: [(usize, f64); 3] = [(40, 0.975), (80, 0.99), (160, 0.995)];
/// How much less a graph that was changed may find than a fresh one.
const CHURN_LOSS: f64 = 0.005;
const BATCH: usize = 1_000;

type Demo = CollectionDefinition<'static, u64, ()>;

fn definition(element: Element) -> Demo {
    CollectionDefinition::new("demo", DIM, Metric::Cosine).element(element)
}

fn load<T: npyz::Deserialize>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/demo").join(name);
    NpyFile::new(BufReader::new(File::open(path).unwrap())).unwrap().into_vec().unwrap()
}

/// The bundled embeddings, queries and exact answers.
struct Data {
    base: Vec<i8>,
    queries: Vec<i8>,
    truth: Vec<i32>,
}

impl Data {
    fn load() -> Data {
        let data = Data { base: load("base.npy"), queries: load("query.npy"), truth: load("gt.npy") };
        assert_eq!(data.base.len(), ROWS * DIM);
        data
    }

    fn row(&self, row: u64) -> &[i8] {
        &self.base[row as usize * DIM..][..DIM]
    }

    fn recall(&self, collection: &Collection<u64, ()>, ef: usize) -> f64 {
        let queries = self.queries.chunks_exact(DIM);
        let truths = self.truth.chunks_exact(self.truth.len() / queries.len());
        let mut found = 0;
        let count = queries.len();
        for (query, truth) in queries.zip(truths) {
            let nearest: BTreeSet<u64> = truth[..K].iter().map(|row| *row as u64).collect();
            let hits = collection.search(query).k(K).ef(ef).run().unwrap().hits;
            found += hits.iter().filter(|hit| nearest.contains(&hit.key)).count();
        }
        found as f64 / (count * K) as f64
    }

    /// Recall at each effort; fails below the floors.
    fn recalls(&self, db: &Database, definition: Demo, what: &str) -> Vec<f64> {
        let collection = db.begin_read().unwrap().open_collection(definition).unwrap();
        assert_eq!((collection.len(), collection.unlinked()), (ROWS as u64, 0));
        let recalls: Vec<f64> = FLOORS.iter().map(|(ef, _)| self.recall(&collection, *ef)).collect();
        println!("{what}: recall@{K} {recalls:.4?} at ef {:?}", FLOORS.map(|(ef, _)| ef));
        for ((ef, floor), recall) in FLOORS.iter().zip(&recalls) {
            assert!(recall >= floor, "{what}: recall {recall} at ef {ef}, the floor is {floor}");
        }
        recalls
    }

    /// Searches for each row, which must be found, or one that is as near.
    fn find_each(&self, db: &Database, definition: Demo) {
        let collection = db.begin_read().unwrap().open_collection(definition).unwrap();
        for row in 0..ROWS as u64 {
            let hit = &collection.search(self.row(row)).k(1).ef(200).run().unwrap().hits[0];
            assert!(hit.key == row || hit.distance <= 1e-6, "{} at {} for {row}", hit.key, hit.distance);
        }
    }

    /// Built by so many threads; by one it is the same every time.
    fn bulk_build(&self, path: &Path, definition: Demo, threads: usize) -> Database {
        let db = Database::create(path).unwrap();
        let keys: Vec<u64> = (0..ROWS as u64).collect();
        let mut txn = db.begin_write().unwrap();
        txn.open_collection(definition).unwrap().import(&keys, self.base.as_slice(), &[]).unwrap();
        txn.commit().unwrap();
        db.build(definition).threads(NonZero::new(threads).unwrap()).run().unwrap();
        db
    }

    /// Inserts these rows one by one, in transactions of [`BATCH`].
    fn insert(&self, db: &Database, definition: Demo, rows: &[u64]) {
        for batch in rows.chunks(BATCH) {
            let mut txn = db.begin_write().unwrap();
            let mut collection = txn.open_collection(definition).unwrap();
            for row in batch {
                assert!(!collection.insert(*row, self.row(*row), ()).unwrap());
            }
            txn.commit().unwrap();
        }
    }

    /// Removes three rows of ten, none of which is found any more, and inserts them again.
    fn churn(&self, db: &Database, definition: Demo, seed: u64) {
        let mut rows: Vec<u64> = (0..ROWS as u64).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut rows);
        let removed = &rows[..ROWS * 3 / 10];
        for batch in removed.chunks(BATCH) {
            let mut txn = db.begin_write().unwrap();
            let mut collection = txn.open_collection(definition).unwrap();
            for row in batch {
                assert!(collection.remove(*row).unwrap());
            }
            txn.commit().unwrap();
        }
        let gone: BTreeSet<u64> = removed.iter().copied().collect();
        let collection = db.begin_read().unwrap().open_collection(definition).unwrap();
        for query in self.queries.chunks_exact(DIM) {
            let hits = collection.search(query).k(20).run().unwrap().hits;
            assert!(hits.len() == 20 && hits.iter().all(|hit| !gone.contains(&hit.key)), "{hits:?}");
        }
        drop(collection);
        self.insert(db, definition, removed);
    }
}

/// Length of the file and bytes that the medium keeps for it (it has holes where redb grew it ahead of need).
fn sizes(path: &Path) -> (u64, u64) {
    let metadata = std::fs::metadata(path).unwrap();
    #[cfg(unix)]
    let kept = std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
    #[cfg(not(unix))]
    let kept = metadata.len();
    (metadata.len(), kept)
}

#[test]
fn after_a_bulk_build() {
    let data = Data::load();
    for element in [Element::I8, Element::F16, Element::F32] {
        let folder = tempfile::tempdir().unwrap();
        let db = data.bulk_build(&folder.path().join("db"), definition(element), 2);
        data.recalls(&db, definition(element), &format!("bulk build, {element}"));
    }
}

#[test]
fn after_inserts_one_by_one() {
    let data = Data::load();
    let folder = tempfile::tempdir().unwrap();
    let db = Database::create(folder.path().join("db")).unwrap();
    let definition = definition(Element::I8);
    data.insert(&db, definition, &(0..ROWS as u64).collect::<Vec<_>>());
    data.recalls(&db, definition, "inserts");
    assert_eq!(db.verify().unwrap().findings, []);
    data.find_each(&db, definition);
}

#[test]
fn after_churn_as_after_a_fresh_build() {
    let data = Data::load();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let definition = definition(Element::I8);
    let db = data.bulk_build(&path, definition, 1);
    let fresh = data.recalls(&db, definition, "before churn");
    let fresh_bytes = sizes(&path);

    std::fs::copy(&path, folder.path().join("fresh")).unwrap();
    data.churn(&db, definition, 3);
    let once = sizes(&path);
    data.churn(&db, definition, 4);
    let after = data.recalls(&db, definition, "after churn");
    assert!(
        after.iter().zip(&fresh).all(|(after, fresh)| *after >= fresh - CHURN_LOSS),
        "{after:?} {fresh:?}"
    );
    assert_eq!(db.verify().unwrap().findings, []);
    data.find_each(&db, definition);
    let twice = sizes(&path);
    drop(db);
    let compacted = |path: &Path| {
        Database::open(path).unwrap().compact().unwrap();
        sizes(path)
    };
    let (fresh_compacted, twice_compacted) = (compacted(&folder.path().join("fresh")), compacted(&path));
    println!(
        "length and bytes kept: fresh {fresh_bytes:?}, after churn {once:?}, after more {twice:?}; compacted: fresh \
         {fresh_compacted:?}, after churn {twice_compacted:?}"
    );
    // What one round has freed is enough for the next, and nothing stays behind but blocks of links that outgrew a page.
    assert!(twice.1 as f64 <= 1.05 * once.1 as f64, "{twice:?} after {once:?}");
    assert!(
        twice_compacted.0 as f64 <= 1.15 * fresh_compacted.0 as f64,
        "{twice_compacted:?} {fresh_compacted:?}"
    );
}
