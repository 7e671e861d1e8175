//! Routed search over an index in a file.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

#[path = "support/home.rs"]
mod home;

use std::sync::Arc;

use rayon::prelude::*;
use redknot_gnn::routing::{
    Effort, EncodeScratch, EncodedQuery, KeyEncoder, KeyModel, Keys, Landmarks, Mode, ResidentGraph,
    RouteError, Routed, Router, Slot, StopReason, normalize,
};
use redknot_index::{Error, Found, IndexConfig, IndexRecord, Metric, Reader, SearchParams, Trace, Writer};
use redknot_storage::{ArrayId, ArraySpec, PageSize, Rows, Snapshot, Storage, View};
use tempfile::TempDir;

use home::{bytes, indexed};

const DIM: usize = 32;
const KEY_BYTES: usize = 32;
const ROWS: usize = 3000;
const K: usize = 10;

/// A file with an index and its keys.
struct Home {
    storage: Storage,
    _dir: TempDir,
    record: IndexRecord,
    keys: ArrayId,
    router: Router,
    rows: Vec<Vec<f32>>,
}

/// Points around 40 centres, spread less from coordinate to coordinate.
fn clustered(n: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut centres = fastrand::Rng::with_seed(99);
    let centres: Vec<Vec<f32>> = (0..40).map(|_| (0..DIM).map(|_| centres.f32() - 0.5).collect()).collect();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut row = |number: usize| -> Vec<f32> {
        let noisy = |(j, centre): (usize, &f32)| (centre + 0.6 * (rng.f32() - 0.5)) / (1.0 + j as f32).sqrt();
        centres[number % centres.len()].iter().enumerate().map(noisy).collect()
    };
    (0..n).map(&mut row).collect()
}

/// The coordinates themselves, each in as many stages as its variance asks for.
fn model(rows: &[Vec<f32>], lambda: f32) -> KeyModel {
    let n = rows.len() as f32;
    let mean: Vec<f32> = (0..DIM).map(|j| rows.iter().map(|row| row[j]).sum::<f32>() / n).collect();
    let mut left: Vec<Vec<f32>> =
        (0..DIM).map(|j| rows.iter().map(|row| row[j] - mean[j]).collect()).collect();
    let squares = |left: &[f32]| left.iter().map(|x| x * x).sum::<f32>();
    let slots = (0..(KEY_BYTES - 2) * 4).map(|_| {
        let coordinate = (0..DIM).max_by(|a, b| squares(&left[*a]).total_cmp(&squares(&left[*b]))).unwrap();
        let step = (squares(&left[coordinate]) / n).sqrt().max(1e-6);
        for x in &mut left[coordinate] {
            *x -= step * ((*x / step + 2.0).floor().clamp(0.0, 3.0) - 1.5);
        }
        Slot { coordinate: coordinate as u16, step }
    });
    let slots = slots.collect();
    let identity: Vec<f32> = (0..DIM * DIM).map(|at| f32::from(u8::from(at % (DIM + 1) == 0))).collect();
    KeyModel {
        dim: DIM,
        key_bytes: KEY_BYTES,
        mean,
        nodes: identity.clone(),
        queries: identity,
        query_linear: vec![0.0; DIM],
        query_constant: 0.0,
        slots,
        lambda,
        kappa: 1.0,
        nu: 0.0,
        bias_base: 0.0,
        bias_step: 10.0 / f32::from(u16::MAX),
        attention: None,
    }
}

impl Home {
    fn new(metric: Metric) -> Home {
        let dir = tempfile::tempdir().unwrap();
        let rows = clustered(ROWS, 5);
        let (storage, built) = indexed(dir.path(), metric, &rows);

        let mut scaled = rows.clone();
        if metric == Metric::Cosine {
            scaled.iter_mut().for_each(|row| normalize(row).unwrap());
        }
        let model = model(&scaled, 0.0);
        let x: Vec<f32> = scaled.concat();
        let mut block = vec![0; ROWS * KEY_BYTES];
        KeyEncoder::new(&model).unwrap().encode(&x, &x, &mut block, &mut EncodeScratch::default()).unwrap();
        let mut txn = storage.begin_write().unwrap();
        let keys = txn.create_array(ArraySpec::rows(KEY_BYTES, PageSize::KIB_64).unwrap()).unwrap();
        txn.push_rows(keys, &block).unwrap();
        txn.commit().unwrap();

        let nodes: Vec<u32> = (0..ROWS as u32).step_by(23).collect();
        let landmark = |node: &u32| block[*node as usize * KEY_BYTES..][..KEY_BYTES].to_vec();
        let landmarks = Landmarks::new(nodes.clone(), nodes.iter().flat_map(landmark).collect(), KEY_BYTES);
        let router = Router::new(&model, landmarks.unwrap()).unwrap();
        Home { storage, _dir: dir, record: built, keys, router, rows }
    }

    fn with<T>(&self, work: impl FnOnce(&Reader<'_>, Rows<'_>) -> T) -> T {
        let snapshot: Arc<Snapshot> = self.storage.snapshot().unwrap();
        let reader = Reader::open(&*snapshot, &self.record).unwrap();
        work(&reader, snapshot.rows(self.keys).unwrap())
    }

    fn route(&self, query: &[f32], effort: &Effort) -> Routed {
        self.with(|reader, keys| {
            self.router.search(reader, Keys::new(keys), &bytes(query), K, effort).unwrap()
        })
    }

    fn greedy(&self, query: &[f32], ef: usize) -> Found {
        self.with(|reader, _| reader.search(&bytes(query), SearchParams { k: K, ef }).unwrap())
    }

    fn exact(&self, query: &[f32]) -> Found {
        self.with(|reader, _| reader.search_exact(&bytes(query), K, None).unwrap())
    }

    /// Changes the index in one transaction.
    fn write(&mut self, change: impl FnOnce(&mut Writer<'_>)) {
        let mut txn = self.storage.begin_write().unwrap();
        change(&mut Writer::open(&mut txn, &mut self.record).unwrap());
        txn.commit().unwrap();
    }
}

/// How many of the true neighbours were found.
fn hits(found: &[redknot_index::Neighbor], truth: &Found) -> usize {
    truth.neighbors.iter().filter(|true_one| found.iter().any(|one| one.id == true_one.id)).count()
}

#[test]
fn finds_what_greedy_finds_with_far_fewer_distances() {
    let queries = clustered(100, 6);
    let wide = Effort { gamma: 1.6, rerank: 60, slack: 2.0, ..Effort::default() };
    for metric in [Metric::L2, Metric::Cosine] {
        let home = Home::new(metric);
        let (mut greedy_hits, mut greedy_distances) = (0, 0);
        for query in &queries {
            let greedy = home.greedy(query, 64);
            greedy_hits += hits(&greedy.neighbors, &home.exact(query));
            greedy_distances += greedy.distances;
        }
        for (mode, share) in [(Mode::Route, 4), (Mode::Lazy, 3), (Mode::Filter, 1)] {
            let effort = Effort { mode, ..wide };
            let (mut found, mut distances) = (0, 0);
            for query in &queries {
                let (routed, exact) = (home.route(query, &effort), home.exact(query));
                found += hits(&routed.neighbors, &exact);
                distances += routed.distances;
                assert!(routed.hops > 0 && routed.key_scores > 0 && !routed.exact);
                assert_eq!(routed.neighbors.len(), K);
                assert!(routed.neighbors.is_sorted_by(|a, b| a.distance <= b.distance));
            }
            let (recall, greedy) = (found as f64 / 1000.0, greedy_hits as f64 / 1000.0);
            assert!(recall >= greedy - 0.02, "{metric} {mode:?}: {recall}, greedy {greedy}");
            assert!(
                distances * share < greedy_distances,
                "{metric} {mode:?}: {distances} of {greedy_distances}"
            );
        }
    }
}

#[test]
fn distances_are_those_of_the_index() {
    let home = Home::new(Metric::Cosine);
    for mode in [Mode::Route, Mode::Lazy, Mode::Filter] {
        for query in clustered(20, 8) {
            let all = home.with(|reader, _| reader.search_exact(&bytes(&query), ROWS, None).unwrap());
            for neighbor in home.route(&query, &Effort { mode, ..Effort::default() }).neighbors {
                assert!(all.neighbors.contains(&neighbor), "{mode:?}: {neighbor:?}");
            }
        }
    }
}

#[test]
fn sixteen_threads_find_what_one_finds() {
    let home = Home::new(Metric::L2);
    let queries = clustered(200, 9);
    for mode in [Mode::Route, Mode::Lazy, Mode::Filter] {
        let effort = Effort { mode, ..Effort::default() };
        let alone: Vec<Routed> = queries.iter().map(|query| home.route(query, &effort)).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(16).build().unwrap();
        let together: Vec<Routed> =
            pool.install(|| queries.par_iter().map(|query| home.route(query, &effort)).collect());
        assert_eq!(alone, together);
    }
}

#[test]
fn less_effort_stops_sooner_and_says_why() {
    let home = Home::new(Metric::L2);
    for mode in [Mode::Route, Mode::Lazy, Mode::Filter] {
        let wide = Effort { mode, gamma: 1.5, ..Effort::default() };
        let query = &clustered(1, 10)[0];
        let (narrow, wide) = (home.route(query, &Effort { gamma: 1.0, ..wide }), home.route(query, &wide));
        assert!(narrow.hops < wide.hops, "{mode:?}: {narrow:?} {wide:?}");
        assert_eq!(narrow.stop, StopReason::Converged);
        let limited = home.route(query, &Effort { mode, gamma: 1.5, max_hops: 3, ..Effort::default() });
        assert_eq!((limited.hops, limited.stop), (3, StopReason::HopLimit));
        let whole = home
            .route(query, &Effort { mode, gamma: 1e9, slack: 1e9, ef: 30, rerank: 20, ..Effort::default() });
        assert_eq!(whole.stop, StopReason::Exhausted);
    }
}

#[test]
fn a_copy_in_memory_gives_the_same_answers() {
    let mut home = Home::new(Metric::L2);
    // A node without links to it, and links of another length.
    home.write(|writer| writer.delete(77).unwrap());
    let most = 1 << 30;
    let resident = home.with(|reader, keys| {
        let resident = ResidentGraph::new(reader, keys, most).unwrap();
        let needed = resident.bytes();
        let refused = ResidentGraph::new(reader, keys, needed - 1);
        assert!(matches!(refused, Err(RouteError::Memory { needed: n, .. }) if n == needed), "{refused:?}");
        for query in clustered(60, 14) {
            for mode in [Mode::Route, Mode::Lazy, Mode::Filter] {
                let effort = Effort { mode, gamma: 1.2, ..Effort::default() };
                let search = |keys| home.router.search(reader, keys, &bytes(&query), K, &effort).unwrap();
                let compact = Keys::new(keys);
                assert_eq!(search(compact.with_resident(Some(&resident))), search(compact));
            }
        }
        resident
    });
    // A node that is not linked needs no key, any other does.
    let last = ROWS as u32 - 1;
    home.write(|writer| writer.delete(last).unwrap());
    let copied: Vec<u8> =
        home.with(|_, keys| (0..last).flat_map(|node| keys.get(node).unwrap().to_vec()).collect());
    for (missing, copies) in [(0, true), (1, false)] {
        let mut txn = home.storage.begin_write().unwrap();
        let short = txn.create_array(ArraySpec::rows(KEY_BYTES, PageSize::KIB_4).unwrap()).unwrap();
        txn.push_rows(short, &copied[missing * KEY_BYTES..]).unwrap();
        txn.commit().unwrap();
        let snapshot = home.storage.snapshot().unwrap();
        let reader = Reader::open(&*snapshot, &home.record).unwrap();
        let copy = ResidentGraph::new(&reader, snapshot.rows(short).unwrap(), most);
        assert_eq!(copy.is_ok(), copies, "{copy:?}");
    }
    // The first two take the places of those that were deleted.
    home.write(|writer| {
        for row in clustered(3, 15) {
            writer.insert(&bytes(&row)).unwrap();
        }
    });
    home.with(|reader, keys| {
        let keys = Keys::new(keys).with_resident(Some(&resident));
        let found = home.router.search(reader, keys, &bytes(&home.rows[0]), K, &Effort::default());
        assert!(matches!(found, Err(RouteError::Resident { .. })), "{found:?}");
    });
}

#[test]
fn rows_outside_the_graph_are_found_and_deleted_ones_are_not() {
    let mut home = Home::new(Metric::L2);
    let fresh = clustered(1, 11).remove(0);
    let mut new = 0;
    home.write(|writer| new = writer.append_unlinked(&bytes(&fresh)).unwrap().start);
    // A landmark, the very node that a search for its vector would begin at.
    home.write(|writer| writer.delete(46).unwrap());
    let gone = home.rows[46].clone();
    for mode in [Mode::Route, Mode::Lazy, Mode::Filter] {
        let effort = Effort { mode, ..Effort::default() };
        let nearest = home.route(&fresh, &effort).neighbors[0];
        assert_eq!((nearest.id, nearest.distance), (new, 0.0), "{mode:?}");
        let routed = home.route(&gone, &effort);
        assert_eq!(routed.neighbors.len(), K);
        assert!(routed.neighbors.iter().all(|neighbor| neighbor.id != 46), "{mode:?}");
    }
}

/// Where a search entered the graph.
#[derive(Default)]
struct Entry(Option<u32>);

impl Trace for Entry {
    fn enter(&mut self, node: u32) {
        self.0 = Some(node);
    }
}

#[test]
fn searches_enter_at_the_nearest_landmark_of_the_nearest_groups() {
    let mut home = Home::new(Metric::L2);
    let landmarks = home.router.landmarks().clone();
    let of_graph: Vec<u32> = (0..ROWS as u32).step_by(23).collect();
    let mut grouped = landmarks.nodes().to_vec();
    grouped.sort_unstable();
    assert_eq!(grouped, of_graph, "grouping loses none");

    let (mut encoded, mut nearest, mut found) = (EncodedQuery::default(), 0, 0.0);
    for query in clustered(100, 13) {
        home.router.encoder().encode(&query, &mut encoded).unwrap();
        let estimates = home.with(|_, keys| {
            let key = |node: &u32| keys.get(*node).unwrap();
            let of_nodes: Vec<&[u8]> = landmarks.nodes().iter().map(key).collect();
            assert!(of_nodes.iter().copied().eq(landmarks.keys()), "each with its own key");
            let mut estimates = vec![0.0; of_nodes.len()];
            home.router.encoder().estimates(&encoded, &of_nodes, &mut estimates);
            estimates
        });
        let by_estimate = |a: &usize, b: &usize| estimates[*a].total_cmp(&estimates[*b]);
        let best = (0..estimates.len()).min_by(by_estimate).unwrap();
        let mut entry = Entry::default();
        let effort = Effort { max_hops: 1, ..Effort::default() };
        let routed = home.with(|reader, keys| {
            let query = bytes(&query);
            home.router.search_traced(reader, Keys::new(keys), &query, K, &effort, &mut entry).unwrap()
        });
        assert!((routed.key_scores as usize) < landmarks.len(), "{} keys", routed.key_scores);
        nearest += usize::from(entry.0 == Some(landmarks.nodes()[best]));
        let told = home.with(|reader, _| home.router.nearest_landmark(reader, &bytes(&query)).unwrap());
        let entered = landmarks.nodes().iter().position(|node| Some(*node) == entry.0).unwrap();
        assert_eq!(told, Some(estimates[entered]));
        found += estimates[best] / estimates[entered] / 100.0;
    }
    assert!(nearest >= 80 && found > 0.95, "{nearest} of 100, {found} of the way");

    // All of them gone: the way in is that of greedy searches.
    home.write(|writer| of_graph.iter().for_each(|node| writer.delete(*node).unwrap()));
    let query = home.rows[1].clone();
    let routed = home.route(&query, &Effort::default());
    assert_eq!((routed.neighbors[0].id, routed.neighbors[0].distance), (1, 0.0));
}

#[test]
fn more_than_there_is_means_everything() {
    let home = Home::new(Metric::L2);
    let query = bytes(&home.rows[0]);
    home.with(|reader, keys| {
        for k in [0, 1, ROWS, ROWS + 1, usize::MAX] {
            let found = home.router.search(reader, Keys::new(keys), &query, k, &Effort::default()).unwrap();
            assert_eq!(found.neighbors.len(), k.min(ROWS));
        }
        let most = Effort {
            ef: usize::MAX,
            rerank: usize::MAX,
            gamma: f32::MAX,
            slack: f32::MAX,
            ..Effort::default()
        };
        assert_eq!(
            home.router.search(reader, Keys::new(keys), &query, 1, &most).unwrap().neighbors[0].distance,
            0.0
        );
    });
}

#[test]
fn keys_that_mean_nothing_cost_recall_and_nothing_else() {
    let home = Home::new(Metric::L2);
    let mut rng = fastrand::Rng::with_seed(12);
    let block: Vec<u8> = (0..ROWS * KEY_BYTES).map(|_| rng.u8(..)).collect();
    let mut txn = home.storage.begin_write().unwrap();
    let noise = txn.create_array(ArraySpec::rows(KEY_BYTES, PageSize::KIB_64).unwrap()).unwrap();
    txn.push_rows(noise, &block).unwrap();
    txn.commit().unwrap();
    let home = Home { keys: noise, ..home };
    for mode in [Mode::Route, Mode::Lazy, Mode::Filter] {
        let routed = home.route(&home.rows[7], &Effort { mode, ..Effort::default() });
        assert_eq!(routed.neighbors.len(), K);
        assert!(routed.neighbors.is_sorted_by(|a, b| a.distance <= b.distance));
    }
}

#[test]
fn what_cannot_be_routed_is_an_error_that_greedy_can_answer() {
    let home = Home::new(Metric::L2);
    let query = bytes(&home.rows[0]);
    let mut txn = home.storage.begin_write().unwrap();
    let short = txn.create_array(ArraySpec::rows(KEY_BYTES, PageSize::KIB_64).unwrap()).unwrap();
    txn.push_rows(short, &[0; KEY_BYTES]).unwrap();
    let wide = txn.create_array(ArraySpec::rows(64, PageSize::KIB_64).unwrap()).unwrap();
    txn.commit().unwrap();
    let effort = Effort::default();
    let error = |keys: ArrayId, query: &[u8], effort: &Effort| {
        let snapshot = home.storage.snapshot().unwrap();
        let reader = Reader::open(&*snapshot, &home.record).unwrap();
        home.router.search(&reader, Keys::new(snapshot.rows(keys).unwrap()), query, K, effort).unwrap_err()
    };
    assert!(matches!(error(short, &query, &effort), RouteError::Keys(_)));
    assert!(matches!(error(wide, &query, &effort), RouteError::KeyBytes { expected: 32, got: 64 }));
    assert!(matches!(error(home.keys, &query[4..], &effort), RouteError::Index(Error::RowLength { .. })));
    assert!(matches!(error(home.keys, &query, &Effort { gamma: 0.5, ..effort }), RouteError::Effort { .. }));
    let nan = bytes(&[f32::NAN; DIM]);
    assert!(matches!(error(home.keys, &nan, &effort), RouteError::Query(_)));

    let mut txn = home.storage.begin_write().unwrap();
    let config = IndexConfig { metric: Metric::InnerProduct, ..home.record.config() };
    let product = IndexRecord::create(&mut txn, &config).unwrap();
    let narrow = IndexRecord::create(&mut txn, &IndexConfig { dim: 8, ..home.record.config() }).unwrap();
    let empty = IndexRecord::create(&mut txn, &home.record.config()).unwrap();
    txn.commit().unwrap();
    let snapshot = home.storage.snapshot().unwrap();
    let keys = snapshot.rows(home.keys).unwrap();
    let route = |record: &IndexRecord, query: &[u8]| {
        home.router.search(&Reader::open(&*snapshot, record).unwrap(), Keys::new(keys), query, K, &effort)
    };
    assert!(matches!(route(&product, &query), Err(RouteError::Metric { metric: Metric::InnerProduct })));
    assert!(matches!(route(&narrow, &query[..32]), Err(RouteError::Dimension { expected: 32, got: 8 })));
    let nothing = route(&empty, &query).unwrap();
    assert_eq!((nothing.neighbors.len(), nothing.exact), (0, true));
}
