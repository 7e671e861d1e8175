//! Parts of graphs: what can be reached, subgraphs, samples.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use redknot::{CollectionDefinition, Database, GraphOptions, Metric, Subgraph};

use super::maps::{Label, Map};
use super::seed;

const ROWS: u64 = 80;
const WORDS: CollectionDefinition<&str, ()> = CollectionDefinition::new("words", 2, Metric::L2);

fn word(row: u64) -> String {
    format!("word {row}")
}

fn random_graph(rng: &mut Rng, directed: bool) -> (tempfile::TempDir, Database, Map<String>) {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::create(folder.path().join("db")).unwrap();
    let mut txn = db.begin_write().unwrap();
    let mut words = txn.open_collection(WORDS).unwrap();
    for row in 0..ROWS {
        words.insert(&word(row), &[row as f32, 0.0], ()).unwrap();
    }
    let mut map = Map::new(directed);
    let mut graph = txn.create_graph(WORDS, "g", GraphOptions { directed }).unwrap();
    for _ in 0..200 {
        let (from, to) = (word(rng.u64(..ROWS)), word(rng.u64(..ROWS)));
        let label = (rng.f32(), rng.bool().then(|| "x".to_owned()));
        graph.insert_edge(&from, &to, label.0, label.1.as_deref()).unwrap();
        map.insert(&from, &to, label);
    }
    txn.commit().unwrap();
    (folder, db, map)
}

fn edges(subgraph: &Subgraph<String>, directed: bool) -> Map<String> {
    let mut map = Map::new(directed);
    for edge in &subgraph.edges {
        let label: Label = (edge.weight, edge.edge_type.as_deref().map(str::to_owned));
        assert!(!map.insert(&subgraph.keys[edge.source], &subgraph.keys[edge.target], label));
    }
    map
}

#[test]
fn reachable_rows_and_subgraphs_are_those_of_the_map() {
    let mut rng = Rng::with_seed(seed());
    for directed in [true, false] {
        let (_folder, db, map) = random_graph(&mut rng, directed);
        let graph = db.begin_read().unwrap().open_graph(WORDS, "g").unwrap();
        for row in 0..ROWS {
            for hops in 0..4 {
                let expected = map.reachable(&word(row), hops);
                let reached = graph.k_hop(&word(row), hops).unwrap();
                assert!(reached.is_sorted_by_key(|reached| reached.hops));
                let found: BTreeMap<String, u32> =
                    reached.iter().map(|reached| (reached.key.clone(), reached.hops)).collect();
                assert_eq!((reached.len(), &found), (expected.len(), &expected));

                let subgraph = graph.subgraph(&word(row), hops).unwrap();
                let listed = subgraph.keys.iter().cloned().zip(subgraph.hops.iter().copied());
                assert_eq!(listed.collect::<BTreeMap<_, _>>(), expected);
                let mut between = map.clone();
                between
                    .edges
                    .retain(|(from, to), _| expected.contains_key(from) && expected.contains_key(to));
                assert_eq!(edges(&subgraph, directed), between);
            }
        }
    }
}

#[test]
fn samples_are_edges_of_the_graph_as_many_as_asked_for() {
    let mut rng = Rng::with_seed(seed());
    for directed in [true, false] {
        let (_folder, db, map) = random_graph(&mut rng, directed);
        let graph = db.begin_read().unwrap().open_graph(WORDS, "g").unwrap();
        for case in 0..50 {
            let seeds: BTreeSet<String> = (0..4).map(|_| word(rng.u64(..ROWS))).collect();
            let borrowed: Vec<&str> = seeds.iter().map(String::as_str).collect();
            let fanouts = [rng.usize(1..5), rng.usize(1..4)];
            let sample = graph.sample(&borrowed, &fanouts, case).unwrap();
            assert_eq!(sample, graph.sample(&borrowed, &fanouts, case).unwrap());
            assert!(sample.keys.iter().take(seeds.len()).eq(seeds.iter()));
            assert_eq!(sample.keys.iter().collect::<BTreeSet<_>>().len(), sample.keys.len());
            let mut drawn: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
            for edge in &sample.edges {
                let (source, target) = (&sample.keys[edge.source], &sample.keys[edge.target]);
                let label = (edge.weight, edge.edge_type.as_deref().map(str::to_owned));
                assert_eq!(map.edges.get(&map.ends(source, target)), Some(&label));
                assert!(drawn.entry(target).or_default().insert(source), "an edge was drawn twice");
            }
            for (key, hops) in sample.keys.iter().zip(&sample.hops) {
                // Each row is asked once, when it is new: as many of its edges as the fanout, or all.
                let there = map.adjacent(key, true).len();
                let fanout = fanouts.get(*hops as usize).copied().unwrap_or(0);
                assert_eq!(drawn.get(key).map_or(0, BTreeSet::len), there.min(fanout), "{key} at {hops}");
            }
        }
        let all = graph.sample(&["word 3"], &[usize::MAX], 1).unwrap();
        assert_eq!(all.edges.len(), map.adjacent(&word(3), true).len());
    }
}
