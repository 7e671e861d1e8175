//! Traced searches, and their export.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

#[path = "support/home.rs"]
mod home;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::Path;

use npyz::{Deserialize, NpyFile};
use redknot_gnn::online::{FeatureExtractor, Graph};
use redknot_gnn::train::{
    PathTrajectory, TraceOptions, Tracer, TrainError, TrainProgress, collect_training_trajectories,
};
use redknot_index::{Metric, SearchParams};

use home::{DIM, Home, bytes, near, points};

const OPTIONS: TraceOptions = TraceOptions { k: 5, ef: 30 };

fn go_on(_: TrainProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Hops from `node` to the nearest of `answers`, forwards.
fn hops(graph: &Graph<'_>, node: u32, answers: &[(u32, f32)]) -> Option<u32> {
    let mut hops = BTreeMap::from([(node, 0)]);
    let mut queue = VecDeque::from([node]);
    while let Some(node) = queue.pop_front() {
        let here = hops[&node];
        if answers.iter().any(|(answer, _)| *answer == node) {
            return Some(here);
        }
        for target in graph.reader().neighbors(node).unwrap() {
            hops.entry(target).or_insert_with(|| {
                queue.push_back(target);
                here + 1
            });
        }
    }
    None
}

fn trace(graph: &Graph<'_>, query: &[f32]) -> PathTrajectory {
    Tracer::new(graph.reader(), OPTIONS).unwrap().trace(&bytes(query)).unwrap()
}

#[test]
fn labels_are_first_steps_of_shortest_paths_to_exact_answers() {
    let home = Home::with_rows(Metric::L2, 600);
    home.with(false, |graph| {
        let (mut right, mut taken_and_wrong) = (0, 0);
        for query in points(6, 21) {
            let path = trace(graph, &query);
            for (edges, labels) in path.candidate_edges.iter().zip(&path.labels) {
                for ((source, target), label) in edges.iter().zip(labels) {
                    let (here, there) =
                        (hops(graph, *source, &path.answers), hops(graph, *target, &path.answers));
                    let expected = match (here.unwrap(), there.unwrap()) {
                        (0, there) => there == 0,
                        (here, there) => there + 1 == here,
                    };
                    assert_eq!(*label, expected, "{source} → {target}: {here:?} {there:?}");
                    right += usize::from(expected);
                    taken_and_wrong +=
                        usize::from(!expected && path.edges_taken.contains(&(*source, *target)));
                }
            }
        }
        assert!(
            right > 100 && taken_and_wrong > 100,
            "greedy's own path is not the label: {right} {taken_and_wrong}"
        );
    });
}

#[test]
fn a_trace_is_what_greedy_search_does() {
    for metric in [Metric::L2, Metric::Cosine, Metric::InnerProduct] {
        let home = Home::with_rows(metric, 600);
        home.with(false, |graph| {
            for query in points(20, 22) {
                let path = trace(graph, &query);
                let params = SearchParams { k: OPTIONS.k, ef: OPTIONS.ef };
                let found = graph.reader().search(&bytes(&query), params).unwrap().neighbors;
                assert!(
                    path.results.iter().eq(found
                        .iter()
                        .map(|found| (found.id, found.distance))
                        .collect::<Vec<_>>()
                        .iter())
                );
                let exact = graph.reader().search_exact(&bytes(&query), OPTIONS.k, None).unwrap().neighbors;
                assert!(path.answers.iter().map(|answer| answer.0).eq(exact.iter().map(|exact| exact.id)));
                assert_eq!(path.edges_taken.len(), path.node_sequence.len() - 1);
                for ((_, to), node) in path.edges_taken.iter().zip(&path.node_sequence[1..]) {
                    assert_eq!(to, node);
                }
                for (node, edges) in path.node_sequence.iter().zip(&path.candidate_edges) {
                    let links = graph.reader().neighbors(*node).unwrap();
                    assert!(edges.iter().copied().eq(links.map(|to| (*node, to))));
                }
            }
        });
    }
}

fn load<T: Deserialize>(folder: &Path, name: &str) -> Vec<T> {
    let file = File::open(folder.join(name).with_extension("npy")).unwrap();
    NpyFile::new(BufReader::new(file)).unwrap().into_vec().unwrap()
}

#[test]
fn exported_files_hold_the_traces() {
    let home = Home::with_rows(Metric::Cosine, 800);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/trajectories");
    let queries = points(150, 23);
    home.with(true, |graph| {
        let flat = queries.concat();
        let export = collect_training_trajectories(graph, &flat, &out, &OPTIONS, &go_on).unwrap();
        let meta: serde_json::Value =
            serde_json::from_slice(&std::fs::read(out.join("meta.json")).unwrap()).unwrap();
        assert_eq!(meta["edges"], export.edges);
        assert_eq!((meta["dim"].as_u64(), meta["metric"].as_str()), (Some(DIM as u64), Some("cosine")));
        assert!(export.stored_features && export.queries == 150 && export.right_edges > 0);
        let (starts, labels) = (load::<u64>(&out, "step_start"), load::<u8>(&out, "edge_label"));
        assert_eq!((starts.len(), labels.len()), (export.steps + 1, export.edges));
        assert_eq!(labels.iter().filter(|label| **label == 1).count(), export.right_edges);
        let (step_query, step_node) = (load::<u32>(&out, "step_query"), load::<u32>(&out, "step_node"));
        let (targets, distances) = (load::<u32>(&out, "edge_target"), load::<f32>(&out, "edge_distance"));
        let (steps, edges) = (load::<f32>(&out, "step_numbers"), load::<f32>(&out, "edge_numbers"));
        let (nodes, vectors) = (load::<u32>(&out, "nodes"), load::<f32>(&out, "vectors"));
        let model_queries = load::<f32>(&out, "queries");
        assert!(nodes.is_sorted() && vectors.len() == nodes.len() * DIM && nodes.len() == export.nodes);
        let extractor = FeatureExtractor::new(DIM + 4, 4, 0).unwrap();
        let vector = |node: u32| &vectors[nodes.binary_search(&node).unwrap() * DIM..][..DIM];
        for number in [0, 77, 149] {
            let path = trace(graph, &queries[number]);
            let first = step_query.iter().position(|query| *query as usize == number).unwrap();
            let last = first + path.node_sequence.len();
            assert_eq!(step_node[first..last], path.node_sequence);
            let links = starts[first] as usize..starts[last] as usize;
            let expected: Vec<u8> = path.labels.iter().flatten().map(|label| u8::from(*label)).collect();
            assert_eq!(labels[links.clone()], expected);
            assert_eq!(distances[links.clone()], path.target_distances.concat());
            for step in (first..last).step_by(7) {
                let node = step_node[step];
                let features =
                    extractor.extract_node_features(graph, node, &bytes(&queries[number])).unwrap();
                let mut tensor = vector(node).to_vec();
                tensor.extend(&steps[step * 4..][..4]);
                let mut expected = Vec::new();
                features.append_to(&mut expected);
                assert_eq!(tensor, expected);
                for edge in starts[step] as usize..starts[step + 1] as usize {
                    let features = extractor.extract_edge_features(graph, node, targets[edge]).unwrap();
                    assert_eq!(edges[edge * 4..][..4], features.numbers());
                }
            }
            let query = &model_queries[number * DIM..][..DIM];
            assert!(near(query.iter().map(|x| x * x).sum(), 1.0), "as the model sees it");
        }
    });
}

#[test]
fn what_cannot_be_traced_is_refused() {
    let home = Home::with_rows(Metric::L2, 300);
    let folder = tempfile::tempdir().unwrap();
    home.with(false, |graph| {
        let collect = |queries: &[f32], options| {
            collect_training_trajectories(graph, queries, &folder.path().join("out"), &options, &go_on)
        };
        assert!(matches!(collect(&[0.0; DIM + 1], OPTIONS), Err(TrainError::Dimension { dim: DIM, .. })));
        let nan = [[0.0; DIM], [f32::NAN; DIM]].concat();
        assert!(matches!(collect(&nan, OPTIONS), Err(TrainError::Query { query: 1, .. })));
        let wrong = collect(&[0.0; DIM], TraceOptions { k: 0, ..OPTIONS });
        assert!(matches!(wrong, Err(TrainError::Option { name: "k", .. })));
        assert!(!folder.path().join("out").exists(), "nothing was written");
        let stop = |_| ControlFlow::Break(());
        let stopped =
            collect_training_trajectories(graph, &[0.0; DIM], &folder.path().join("out"), &OPTIONS, &stop);
        assert!(matches!(stopped, Err(TrainError::Cancelled)));
        assert!(!folder.path().join("out/meta.json").exists());
        let file = folder.path().join("file");
        std::fs::write(&file, "in the way").unwrap();
        let refused = collect_training_trajectories(graph, &[0.0; DIM], &file, &OPTIONS, &go_on);
        assert!(matches!(refused, Err(TrainError::Write { .. })));
    });
}
