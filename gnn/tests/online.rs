//! Online policies over an index in a file.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

#[path = "support/home.rs"]
mod home;

use std::collections::BTreeSet;
use std::time::Duration;

use redknot_gnn::online::{
    Budget, EdgeScorer, FeatureExtractor, GnnRoutingPolicy, Graph, LinearScorer, PolicyError, RoutingConfig,
    ScoreError,
};
use redknot_index::{Metric, Neighbor, Reader, SearchParams, Writer};

use home::{DIM, Home, ROWS, bytes, dot, naive_distance, near, points};

const PARAMS: SearchParams = SearchParams { k: 10, ef: 60 };

fn greedy_of(home: &Home, query: &[f32]) -> Vec<Neighbor> {
    home.with(false, |graph| graph.reader().search(&bytes(query), PARAMS).unwrap().neighbors)
}

fn config() -> RoutingConfig {
    RoutingConfig { budget: Budget::Unlimited, ..RoutingConfig::default() }
}

fn sensible(config: RoutingConfig) -> GnnRoutingPolicy {
    GnnRoutingPolicy::new(LinearScorer::nearer(DIM, DIM), config).unwrap()
}

/// Answers of a policy, and how many of them it gave itself.
fn answers(home: &Home, policy: &GnnRoutingPolicy, queries: &[Vec<f32>]) -> (Vec<Vec<Neighbor>>, usize) {
    home.with(true, |graph| {
        let found = queries.iter().map(|query| policy.search(graph, &bytes(query), PARAMS).unwrap());
        let found: Vec<_> = found.collect();
        let guided = found.iter().filter(|found| found.guided).count();
        assert!(found.iter().all(|found| !(found.guided && found.failure.is_some())));
        (found.into_iter().map(|found| found.found.neighbors).collect(), guided)
    })
}

fn recall(home: &Home, queries: &[Vec<f32>], answers: &[Vec<Neighbor>]) -> f64 {
    home.with(false, |graph| {
        let mut found = 0;
        for (query, answer) in queries.iter().zip(answers) {
            let exact = graph.reader().search_exact(&bytes(query), PARAMS.k, None).unwrap().neighbors;
            let exact: BTreeSet<u32> = exact.iter().map(|neighbor| neighbor.id).collect();
            found += answer.iter().filter(|neighbor| exact.contains(&neighbor.id)).count();
        }
        found as f64 / (queries.len() * PARAMS.k) as f64
    })
}

#[test]
fn features_are_those_of_a_naive_computation() {
    for metric in [Metric::L2, Metric::Cosine, Metric::InnerProduct] {
        let home = Home::new(metric);
        let query = &points(1, 77)[0];
        let extractor = FeatureExtractor::new(DIM + 4, 4, 1 << 20).unwrap();
        let off = FeatureExtractor::new(DIM + 4, 4, 0).unwrap();
        home.with(false, |graph| {
            let links = |node: u32| graph.reader().neighbors(node).unwrap().collect::<BTreeSet<u32>>();
            let all: Vec<BTreeSet<u32>> = (0..ROWS as u32).map(links).collect();
            for node in (0..ROWS as u32).step_by(97) {
                let around: BTreeSet<u32> = (0..ROWS as u32)
                    .filter(|other| {
                        all[node as usize].contains(other) || all[*other as usize].contains(&node)
                    })
                    .collect();
                let linked = |a: &u32, b: &u32| all[*a as usize].contains(b) || all[*b as usize].contains(a);
                let closed: usize =
                    around.iter().map(|a| around.iter().filter(|b| linked(a, b)).count()).sum();
                let share = closed as f64 / (around.len() * (around.len() - 1)) as f64;
                let features = extractor.extract_node_features(graph, node, &bytes(query)).unwrap();
                assert_eq!(features.degree, all[node as usize].len());
                assert!(near(features.clustering_coef, share), "{} {share}", features.clustering_coef);
                let row = &home.rows[node as usize];
                assert!(near(features.query_distance, naive_distance(metric, query, row)));
                let scale = if metric == Metric::Cosine { dot(row, row).sqrt() } else { 1.0 };
                assert!(features.embedding.iter().zip(row).all(|(a, b)| near(*a, f64::from(*b) / scale)));
                assert_eq!(features.layer, usize::from(home.features.nodes()[node as usize].level.unwrap()));
                let mut tensor = Vec::new();
                features.append_to(&mut tensor);
                assert_eq!(tensor.len(), DIM + 4);
                assert_eq!(tensor[DIM..DIM + 2], [features.degree as f32, features.layer as f32]);

                let edges: Vec<(u32, u32)> = all[node as usize].iter().map(|to| (node, *to)).collect();
                let batch = extractor.batch_extract_edge_features(graph, &edges).unwrap();
                for ((_, to), edge) in edges.iter().zip(&batch) {
                    let target = &home.rows[*to as usize];
                    assert!(near(edge.distance, naive_distance(metric, row, target)));
                    assert!(near(edge.angular_similarity, 1.0 - naive_distance(Metric::Cosine, row, target)));
                    let level = |node: u32| home.features.nodes()[node as usize].level;
                    assert_eq!((edge.betweenness, edge.cross_layer), (0.0, level(node) != level(*to)));
                    assert_eq!(extractor.extract_edge_features(graph, node, *to).unwrap(), *edge);
                    assert_eq!(
                        off.extract_edge_features(graph, node, *to).unwrap(),
                        *edge,
                        "without a cache"
                    );
                }
            }
        });
        extractor.clear_cache();
        assert!(extractor.cache().is_empty() && off.cache().is_empty());
        home.with(true, |graph| {
            for node in (0..ROWS as u32).step_by(131) {
                let features = extractor.extract_node_features(graph, node, &bytes(query)).unwrap();
                assert_eq!(features.clustering_coef, home.features.nodes()[node as usize].clustering);
                for edge in home.features.edges(node) {
                    let read = extractor.extract_edge_features(graph, node, edge.target).unwrap();
                    assert_eq!((read.distance, read.betweenness), (edge.distance, edge.betweenness));
                    assert!(read.betweenness > 0.0);
                }
            }
        });
    }
}

#[test]
fn what_is_not_there_is_refused() {
    let home = Home::new(Metric::L2);
    assert!(matches!(FeatureExtractor::new(DIM + 4, 5, 0), Err(PolicyError::Layout { .. })));
    let extractor = FeatureExtractor::new(DIM + 4, 4, 1 << 20).unwrap();
    let other = FeatureExtractor::new(DIM + 5, 4, 1 << 20).unwrap();
    let query = bytes(&home.rows[0]);
    home.with(true, |graph| {
        let beyond = ROWS as u32;
        assert!(matches!(
            extractor.extract_node_features(graph, beyond, &query),
            Err(PolicyError::NotLinked { node }) if node == beyond
        ));
        let stranger = (1..).find(|node| graph.reader().neighbors(0).unwrap().all(|to| to != *node)).unwrap();
        let edge = extractor.batch_extract_edge_features(graph, &[(0, stranger)]);
        assert!(matches!(edge, Err(PolicyError::NoEdge { source_node: 0, target }) if target == stranger));
        let wrong = other.extract_node_features(graph, 0, &query);
        assert!(matches!(wrong, Err(PolicyError::Dimension { expected, got: DIM }) if expected == DIM + 1));
        let short = extractor.extract_node_features(graph, 0, &query[4..]);
        assert!(matches!(short, Err(PolicyError::Index(redknot_index::Error::RowLength { .. }))));
        let policy = sensible(config());
        assert!(matches!(policy.score_edges(graph, 0, &[stranger], &query), Err(PolicyError::NoEdge { .. })));
        assert!(policy.search(graph, &query[4..], PARAMS).is_err(), "as greedy search does");
    });
    let refused =
        GnnRoutingPolicy::new(LinearScorer::nearer(DIM, 4), RoutingConfig { top_k_edges: 0, ..config() });
    assert!(matches!(refused, Err(PolicyError::Config { name: "top_k_edges", .. })));
    let refused = GnnRoutingPolicy::new(LinearScorer::nearer(0, 4), config());
    assert!(matches!(refused, Err(PolicyError::Layout { .. })));
}

#[test]
fn scores_are_combined_and_sorted() {
    for metric in [Metric::L2, Metric::InnerProduct] {
        let home = Home::new(metric);
        let query = points(1, 31).remove(0);
        home.with(true, |graph| {
            let neighbors: Vec<u32> = graph.reader().neighbors(9).unwrap().collect();
            for (alpha, inference_batch_size) in [(0.0, 64), (0.3, 5), (1.0, 1)] {
                let policy =
                    sensible(RoutingConfig { hybrid_alpha: alpha, inference_batch_size, ..config() });
                let scores = policy.score_edges(graph, 9, &neighbors, &bytes(&query)).unwrap();
                assert_eq!(
                    policy.metrics().total_inferences as usize,
                    neighbors.len().div_ceil(inference_batch_size)
                );
                assert_eq!(scores.len(), neighbors.len());
                assert!(scores.is_sorted_by(|a, b| a.combined_score >= b.combined_score));
                for score in &scores {
                    let row = &home.rows[score.target_node as usize];
                    let length = match metric {
                        Metric::L2 => naive_distance(metric, &home.rows[9], row),
                        _ => naive_distance(Metric::Cosine, &home.rows[9], row),
                    };
                    assert!(near(score.distance_score, 1.0 / (1.0 + length)));
                    assert!(score.distance_score > 0.0 && score.distance_score <= 1.0);
                    let combined = alpha * score.gnn_score + (1.0 - alpha) * score.distance_score;
                    assert_eq!(score.combined_score, combined);
                    let nearer = naive_distance(Metric::L2, row, &query)
                        / naive_distance(Metric::L2, &home.rows[9], &query);
                    assert!(near(score.gnn_score, 1.0 / (1.0 + (8.0 * nearer - 4.0).exp())));
                }
                let best: Vec<u32> = scores.iter().take(3).map(|score| score.target_node).collect();
                assert_eq!(policy.select_top_k(&scores, 3), best);
            }
        });
    }
}

#[test]
fn a_sensible_model_finds_what_greedy_search_does_with_fewer_distances() {
    for metric in [Metric::L2, Metric::Cosine] {
        let home = Home::new(metric);
        let queries = points(200, 6);
        let greedy: Vec<_> = queries.iter().map(|query| greedy_of(&home, query)).collect();
        let greedy_recall = recall(&home, &queries, &greedy);
        for (temperature, hybrid_alpha) in [(0.0, 1.0), (0.0, 0.9), (0.02, 1.0)] {
            let policy = sensible(RoutingConfig { temperature, hybrid_alpha, ..config() });
            let (found, guided) = answers(&home, &policy, &queries);
            let policy_recall = recall(&home, &queries, &found);
            assert!(
                policy_recall >= 0.95 * greedy_recall,
                "{metric} T {temperature} α {hybrid_alpha}: recall {policy_recall}, greedy {greedy_recall}"
            );
            let metrics = policy.metrics();
            assert_eq!((guided, metrics.queries, metrics.fallbacks), (200, 200, 0));
            assert!(metrics.total_inferences > 0 && metrics.avg_inference_us > 0.0);
            let of_greedy: u64 = home.with(false, |graph| {
                let cost = |query: &Vec<f32>| graph.reader().search(&bytes(query), PARAMS).unwrap().distances;
                queries.iter().map(cost).sum()
            });
            assert!(metrics.distance_computations < of_greedy, "{metrics:?}, greedy {of_greedy}");
            assert!(metrics.avg_hops >= PARAMS.ef as f64 / 2.0);
            policy.reset_metrics();
            assert_eq!(policy.metrics(), Default::default());
        }
    }
}

#[test]
fn sixteen_threads_get_the_answers_of_one() {
    let home = Home::new(Metric::L2);
    let queries = points(120, 8);
    for temperature in [0.0, 0.1] {
        let policy = sensible(RoutingConfig { temperature, cache_bytes: 100_000, ..config() });
        let (alone, _) = answers(&home, &policy, &queries);
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..16).map(|_| scope.spawn(|| answers(&home, &policy, &queries).0)).collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap(), alone, "temperature {temperature}");
            }
        });
        assert_eq!(policy.metrics().queries, 17 * 120);
        assert!(policy.extractor().cache().bytes() <= 100_000);
    }
}

/// A model that does something wrong.
struct Faulty {
    dim: usize,
    what: fn(&mut Vec<f32>) -> Result<(), ScoreError>,
}

impl EdgeScorer for Faulty {
    fn node_dim(&self) -> usize {
        self.dim + 4
    }

    fn edge_dim(&self) -> usize {
        4
    }

    fn query_dim(&self) -> usize {
        self.dim
    }

    fn score(&self, _: &[f32], edges: &[f32], _: &[f32], scores: &mut Vec<f32>) -> Result<(), ScoreError> {
        scores.resize(edges.len() / 4, 0.5);
        (self.what)(scores)
    }
}

#[test]
fn whatever_fails_the_answer_is_that_of_greedy_search() {
    let home = Home::new(Metric::L2);
    let queries = points(1500, 9);
    let greedy: Vec<_> = queries.iter().map(|query| greedy_of(&home, query)).collect();
    type What = fn(&mut Vec<f32>) -> Result<(), ScoreError>;
    let faults: [(&str, usize, Budget, What); 8] = [
        ("error", DIM, Budget::Unlimited, |_| Err(ScoreError::Failed { source: "out of order".into() })),
        ("nan", DIM, Budget::Unlimited, |scores| {
            *scores.last_mut().unwrap() = f32::NAN;
            Ok(())
        }),
        ("infinite", DIM, Budget::Unlimited, |scores| {
            scores[0] = f32::INFINITY;
            Ok(())
        }),
        ("logits", DIM, Budget::Unlimited, |scores| {
            scores[0] = -2.5;
            Ok(())
        }),
        ("short", DIM, Budget::Unlimited, |scores| {
            scores.pop();
            Ok(())
        }),
        ("long", DIM, Budget::Unlimited, |scores| {
            scores.push(0.5);
            Ok(())
        }),
        ("for other vectors", DIM + 1, Budget::Unlimited, |_| Ok(())),
        // Slow for its budget, whatever the machine: no call takes no time at all.
        ("slow", DIM, Budget::Time(Duration::from_nanos(1)), |scores| {
            scores.sort_by(|a, b| (a.sin() + b.sin()).total_cmp(&0.1));
            scores.iter_mut().for_each(|score| *score = 0.5);
            Ok(())
        }),
    ];
    for (name, dim, budget, what) in faults {
        let policy =
            GnnRoutingPolicy::new(Faulty { dim, what }, RoutingConfig { budget, ..config() }).unwrap();
        let (found, guided) = answers(&home, &policy, &queries);
        assert_eq!(found, greedy, "{name}");
        let metrics = policy.metrics();
        assert_eq!((guided, metrics.fallbacks, metrics.queries), (0, 1500, 1500), "{name}");
    }
    // Garbage that is in range is followed, and never fails: distances are exact.
    let policy = GnnRoutingPolicy::new(Faulty { dim: DIM, what: |_| Ok(()) }, config()).unwrap();
    let (found, guided) = answers(&home, &policy, &queries[..100]);
    assert_eq!(guided + policy.metrics().fallbacks as usize, 100);
    for (query, found) in queries.iter().zip(&found) {
        assert_eq!(found.len(), PARAMS.k);
        for neighbor in found {
            assert!(near(
                neighbor.distance,
                naive_distance(Metric::L2, query, &home.rows[neighbor.id as usize])
            ));
        }
    }
}

#[test]
fn a_repeated_stream_is_served_from_a_bounded_cache() {
    let home = Home::new(Metric::L2);
    // 100 MB a million vectors.
    let cache_bytes = 100 * ROWS;
    let policy = sensible(RoutingConfig { cache_bytes, ..config() });
    let queries = points(400, 12);
    // Zipf: query r comes up with probability proportional to 1 / (r + 1).
    let weights: Vec<f64> = (1..=queries.len()).map(|rank| 1.0 / rank as f64).collect();
    let total: f64 = weights.iter().sum();
    let mut rng = fastrand::Rng::with_seed(3);
    home.with(true, |graph| {
        for _ in 0..3000 {
            let mut left = rng.f64() * total;
            let drawn = weights.iter().position(|weight| {
                left -= weight;
                left <= 0.0
            });
            let query = bytes(&queries[drawn.unwrap_or(0)]);
            policy.search(graph, &query, SearchParams { k: 1, ef: 8 }).unwrap();
            assert!(policy.extractor().cache().bytes() <= cache_bytes);
        }
    });
    let rate = policy.metrics().feature_cache_hit_rate;
    assert!(rate >= 0.8, "hit rate {rate}");
    policy.update_config(RoutingConfig { cache_bytes: 0, ..config() }).unwrap();
    assert!(policy.extractor().cache().is_empty());
    policy.reset_metrics();
    let (_, guided) = answers(&home, &policy, &queries[..5]);
    assert_eq!((guided, policy.metrics().feature_cache_hit_rate), (5, 0.0), "off is allowed");
}

#[test]
fn features_follow_the_graph() {
    let home = Home::new(Metric::L2);
    let policy = sensible(config());
    let extractor = policy.extractor();
    let (query, snapshot) = (bytes(&home.rows[3]), home.storage.snapshot().unwrap());
    let earlier =
        Graph::with_features(Reader::open(&*snapshot, &home.record).unwrap(), &*snapshot, &home.stored);
    assert!(earlier.has_stored_features());
    let before = extractor.extract_node_features(&earlier, 3, &query).unwrap();
    let (edited, row) = {
        let mut txn = home.storage.begin_write().unwrap();
        let mut record = home.record.clone();
        let mut writer = Writer::open(&mut txn, &mut record).unwrap();
        // Right beside node 3, so that its links change.
        let row: Vec<f32> = home.rows[3].iter().map(|x| x + 1e-4).collect();
        let added: Vec<u32> = (0..12).map(|_| writer.insert(&bytes(&row)).unwrap()).collect();
        writer.finish().unwrap();
        txn.commit().unwrap();
        assert_eq!(added[0], ROWS as u32);
        (record, row)
    };
    let later = home.storage.snapshot().unwrap();
    let graph = Graph::with_features(Reader::open(&*later, &edited).unwrap(), &*later, &home.stored);
    assert!(!graph.has_stored_features(), "they are of the graph before");
    for target in graph.reader().neighbors(3).unwrap() {
        extractor.extract_edge_features(&graph, 3, target).unwrap();
    }
    let after = extractor.extract_node_features(&graph, 3, &query).unwrap();
    assert_eq!(after.degree, graph.reader().neighbors(3).unwrap().count());
    assert_ne!(before.clustering_coef, after.clustering_coef);
    let found = policy.search(&graph, &bytes(&row), SearchParams { k: 12, ef: 60 }).unwrap();
    assert!(found.guided);
    assert!(found.found.neighbors.iter().all(|neighbor| neighbor.id >= ROWS as u32));
    // The state before is still there, for those that read it.
    assert_eq!(extractor.extract_node_features(&earlier, 3, &query).unwrap(), before);
}

#[test]
fn a_policy_is_switched_and_budgeted() {
    let home = Home::new(Metric::L2);
    let queries = points(40, 13);
    let greedy: Vec<_> = queries.iter().map(|query| greedy_of(&home, query)).collect();
    let policy = sensible(RoutingConfig { enabled: false, ..config() });
    assert_eq!(answers(&home, &policy, &queries), (greedy, 0));
    let metrics = policy.metrics();
    assert_eq!((metrics.queries, metrics.fallbacks, metrics.total_inferences), (40, 0, 0));
    assert!(metrics.distance_computations > 0);
    let refused = policy.update_config(RoutingConfig { context_hops: 2, ..config() });
    assert!(matches!(refused, Err(PolicyError::Config { name: "context_hops", .. })));
    assert!(!policy.config().enabled);

    // The first eight are timed; a thousand times their time is enough.
    policy.update_config(RoutingConfig { budget: Budget::Share(1000.0), ..config() }).unwrap();
    policy.reset_metrics();
    let (_, guided) = answers(&home, &policy, &queries);
    let metrics = policy.metrics();
    assert_eq!((guided, metrics.references, metrics.fallbacks), (32, 8, 0));
    // A share that no model keeps to.
    policy.update_config(RoutingConfig { budget: Budget::Share(1e-9), ..config() }).unwrap();
    policy.reset_metrics();
    let (_, guided) = answers(&home, &policy, &queries);
    assert_eq!((guided, policy.metrics().fallbacks), (0, 40));
}
