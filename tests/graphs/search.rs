//! The nearest rows within a few edges: against a breadth-first search of a map and distances by their definition.

use std::collections::BTreeSet;

use fastrand::Rng;
use redknot::{CollectionDefinition, Completeness, Database, GraphOptions, Metric};

use super::maps::Map;
use super::seed;
use super::support::oracle::distance;

const DIM: usize = 5;
const POINTS: CollectionDefinition<u64, ()> = CollectionDefinition::new("points", DIM, Metric::L2);

fn vector(rng: &mut Rng) -> Vec<f32> {
    (0..DIM).map(|_| rng.f32() * 2.0 - 1.0).collect()
}

/// Rows, some of them removed again, and edges between them.
fn random_graph(
    rng: &mut Rng,
    directed: bool,
) -> (tempfile::TempDir, Database, Map<u64>, Vec<Option<Vec<f32>>>) {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::create(folder.path().join("db")).unwrap();
    let mut rows: Vec<Option<Vec<f32>>> = (0..150).map(|_| Some(vector(rng))).collect();
    let mut map = Map::new(directed);
    let mut txn = db.begin_write().unwrap();
    let mut points = txn.open_collection(POINTS).unwrap();
    let flat: Vec<f32> = rows.iter().flatten().flatten().copied().collect();
    points.import(&(0..150).collect::<Vec<u64>>(), flat.as_slice(), &[]).unwrap();
    let mut graph = txn.create_graph(POINTS, "g", GraphOptions { directed }).unwrap();
    // Few enough edges that three hops do not reach everything.
    for _ in 0..rng.usize(100..350) {
        let (from, to) = (rng.u64(..150), rng.u64(..150));
        map.insert(&from, &to, (1.0, None));
        graph.insert_edge(from, to, 1.0, None).unwrap();
    }
    txn.commit().unwrap();
    if rng.bool() {
        db.build(POINTS).reorder(true).run().unwrap();
    }
    let mut txn = db.begin_write().unwrap();
    let mut points = txn.open_collection(POINTS).unwrap();
    for _ in 0..20 {
        let gone = rng.u64(..150);
        assert_eq!(points.remove(gone).unwrap(), rows[gone as usize].take().is_some());
        map.remove_edges_of(&gone);
    }
    txn.commit().unwrap();
    (folder, db, map, rows)
}

#[test]
fn subgraph_search_is_exact_in_2000_random_cases() {
    let mut rng = Rng::with_seed(seed());
    for case in 0..20 {
        let directed = case % 2 == 0;
        let (_folder, db, map, rows) = random_graph(&mut rng, directed);
        assert_eq!(db.verify().unwrap().findings, []);
        let graph = db.begin_read().unwrap().open_graph(POINTS, "g").unwrap();
        let (living, removed): (Vec<u64>, Vec<u64>) = (0..150).partition(|key| rows[*key as usize].is_some());
        for center in removed {
            let found = graph.subgraph_search(center, &vector(&mut rng), 3, 5);
            assert!(matches!(found, Err(redknot::Error::UnknownKey { .. })));
        }
        for case in 0..100 {
            let center = *rng.choice(&living).unwrap();
            // Three hops are what a thousand of the cases take.
            let max_hops = if case % 2 == 0 { 3 } else { rng.u32(..6) };
            let (query, k) = (vector(&mut rng), rng.usize(1..30));
            let found = graph.subgraph_search(center, &query, max_hops, k).unwrap();
            let reachable = map.reachable(&center, max_hops);
            let mut expected: Vec<(f64, u64)> = reachable
                .keys()
                .map(|key| (distance(Metric::L2, rows[*key as usize].as_ref().unwrap(), &query), *key))
                .collect();
            expected.sort_by(|a, b| a.0.total_cmp(&b.0));
            expected.truncate(k);
            assert!(found.hits.iter().map(|hit| hit.key).eq(expected.iter().map(|(_, key)| *key)));
            for (hit, (distance, _)) in found.hits.iter().zip(&expected) {
                assert!((f64::from(hit.distance) - distance).abs() <= 1e-5 * (1.0 + distance));
            }
            let short = reachable.len() < k;
            assert_eq!(found.completeness, if short { Completeness::Short } else { Completeness::Exact });
            assert_eq!(found.stats.distances, reachable.len() as u64);
        }
    }
}

#[test]
fn the_links_of_the_index_are_a_graph_like_others() {
    let mut rng = Rng::with_seed(7);
    let (_folder, db, _, rows) = random_graph(&mut rng, true);
    db.build(POINTS).run().unwrap();
    let read = db.begin_read().unwrap();
    let graph = read.hnsw_graph(POINTS).unwrap();
    let keys: BTreeSet<u64> = (0..150).filter(|key| rows[*key as usize].is_some()).collect();
    let mut map = Map::new(true);
    for edge in graph.edges().unwrap() {
        let edge = edge.unwrap();
        map.insert(&edge.source, &edge.target, (edge.weight, None));
    }
    assert!(graph.len().unwrap() > keys.len() as u64);
    super::maps::check(&graph, &map, &keys);
    let center = *keys.first().unwrap();
    let query = vector(&mut rng);
    let all = graph.subgraph_search(center, &query, 100, 200).unwrap();
    let exact = read.open_collection(POINTS).unwrap();
    assert_eq!(all.hits, exact.search(&query).k(200).exact().run().unwrap().hits);
}
