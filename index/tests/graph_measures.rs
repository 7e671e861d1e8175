//! Clustering and betweenness against NetworkX and against the definitions.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::prelude::*;
use redknot_index::{
    Betweenness, BetweennessOptions, Error, FeatureProgress, Undirected, betweenness, clustering,
};

/// Written by the script beside it.
const NETWORKX: &str = include_str!("fixtures/networkx_measures.txt");

/// The graph of `links`, in which each is given from either end or both.
fn graph(nodes: usize, links: &[(u32, u32)]) -> Undirected {
    let mut rows = vec![Vec::new(); nodes];
    for (from, to) in links {
        rows[*from as usize].push(*to);
    }
    let mut offsets = vec![0];
    offsets.extend(rows.iter().scan(0, |end, row| {
        *end += row.len();
        Some(*end)
    }));
    Undirected::from_links(&offsets, &rows.concat()).unwrap()
}

fn go_on(_: FeatureProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn exact(graph: &Undirected) -> Betweenness {
    betweenness(graph, &BetweennessOptions::default(), &go_on).unwrap()
}

fn sampled(pivots: u32, seed: u64) -> BetweennessOptions {
    BetweennessOptions { exact_up_to: 0, pivots, seed, ..BetweennessOptions::default() }
}

/// A graph in which each node links to some random others.
fn random_graph(nodes: u32, links: usize, seed: u64) -> Undirected {
    let mut rng = fastrand::Rng::with_seed(seed);
    let links: Vec<(u32, u32)> =
        (0..nodes).flat_map(|node| vec![node; links]).map(|node| (node, rng.u32(..nodes))).collect();
    graph(nodes as usize, &links)
}

/// What NetworkX says of one graph.
#[derive(Default)]
struct Expected {
    name: String,
    /// Clustering and betweenness by node.
    nodes: Vec<(f64, f64)>,
    edges: Vec<(u32, u32, f64)>,
}

fn networkx() -> Vec<Expected> {
    let mut graphs: Vec<Expected> = Vec::new();
    for line in NETWORKX.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["graph", name, _] => graphs.push(Expected { name: name.into(), ..Expected::default() }),
            ["node", id, clustering, betweenness] => {
                let nodes = &mut graphs.last_mut().unwrap().nodes;
                assert_eq!(id.parse(), Ok(nodes.len()));
                nodes.push((clustering.parse().unwrap(), betweenness.parse().unwrap()));
            }
            ["edge", from, to, betweenness] => graphs.last_mut().unwrap().edges.push((
                from.parse().unwrap(),
                to.parse().unwrap(),
                betweenness.parse().unwrap(),
            )),
            _ => panic!("{line}"),
        }
    }
    graphs
}

#[test]
fn values_are_those_of_networkx() {
    let graphs = networkx();
    assert_eq!(graphs.len(), 10);
    for expected in graphs {
        let links: Vec<(u32, u32)> = expected.edges.iter().map(|(from, to, _)| (*from, *to)).collect();
        let graph = graph(expected.nodes.len(), &links);
        let (clustering, betweenness) = (clustering(&graph), exact(&graph));
        assert!(betweenness.precision.is_exact());
        for (node, (of_clustering, of_betweenness)) in expected.nodes.iter().enumerate() {
            let name = &expected.name;
            assert!((clustering[node] - of_clustering).abs() < 1e-9, "{name}: clustering of {node}");
            assert!((betweenness.nodes[node] - of_betweenness).abs() < 1e-9, "{name}: node {node}");
        }
        for (from, to, value) in &expected.edges {
            for slot in [graph.slot(*from, *to).unwrap(), graph.slot(*to, *from).unwrap()] {
                assert!((betweenness.edges[slot] - value).abs() < 1e-9, "{}: {from}–{to}", expected.name);
            }
        }
    }
}

/// Distances and numbers of shortest paths between all pairs.
struct AllPairs {
    nodes: usize,
    distance: Vec<Vec<usize>>,
    paths: Vec<Vec<f64>>,
}

const FAR: usize = usize::MAX / 4;

impl AllPairs {
    /// Floyd and Warshall's algorithm, then for each target the paths to the nodes just before it.
    fn of(nodes: usize, adjacent: &[Vec<bool>]) -> AllPairs {
        let mut distance = vec![vec![FAR; nodes]; nodes];
        for from in 0..nodes {
            for to in 0..nodes {
                distance[from][to] = match adjacent[from][to] {
                    _ if from == to => 0,
                    true => 1,
                    false => FAR,
                };
            }
        }
        for over in 0..nodes {
            for from in 0..nodes {
                for to in 0..nodes {
                    distance[from][to] = distance[from][to].min(distance[from][over] + distance[over][to]);
                }
            }
        }
        let mut paths = vec![vec![0.0; nodes]; nodes];
        for from in 0..nodes {
            paths[from][from] = 1.0;
            for length in 1..nodes {
                for to in (0..nodes).filter(|to| distance[from][*to] == length) {
                    let before = |at: &usize| adjacent[*at][to] && distance[from][*at] == length - 1;
                    paths[from][to] = (0..nodes).filter(before).map(|at| paths[from][at]).sum();
                }
            }
        }
        AllPairs { nodes, distance, paths }
    }

    /// The sum over all pairs of the share of their shortest paths that lead from `enter` to `leave`, which are one node
    /// or adjacent.
    fn through(&self, enter: usize, leave: usize) -> f64 {
        let (distance, paths) = (&self.distance, &self.paths);
        let inner = usize::from(enter != leave);
        let mut sum = 0.0;
        for from in 0..self.nodes {
            for to in (0..self.nodes).filter(|to| *to != from && distance[from][*to] < FAR) {
                let is_end = enter == leave && (from == enter || to == enter);
                if !is_end && distance[from][enter] + inner + distance[leave][to] == distance[from][to] {
                    sum += paths[from][enter] * paths[leave][to] / paths[from][to];
                }
            }
        }
        sum
    }
}

fn links_of_a_graph() -> impl Strategy<Value = (usize, Vec<(u32, u32)>)> {
    (1_usize..14).prop_flat_map(|nodes| {
        let node = 0..nodes as u32;
        (Just(nodes), prop::collection::vec((node.clone(), node), 0..40))
    })
}

proptest! {
    #[test]
    fn values_are_those_of_the_definitions((nodes, links) in links_of_a_graph()) {
        let graph = graph(nodes, &links);
        let mut adjacent = vec![vec![false; nodes]; nodes];
        for (from, to) in links.iter().map(|(from, to)| (*from as usize, *to as usize)) {
            adjacent[from][to] = from != to;
            adjacent[to][from] = from != to;
        }
        let (clustering, betweenness) = (clustering(&graph), exact(&graph));
        let all = AllPairs::of(nodes, &adjacent);
        let n = nodes as f64;
        for node in 0..nodes {
            let neighbors: Vec<usize> = (0..nodes).filter(|other| adjacent[node][*other]).collect();
            prop_assert!(graph.neighbors(node as u32).iter().map(|id| *id as usize).eq(neighbors.clone()));
            let k = neighbors.len() as f64;
            let closed = neighbors.iter().flat_map(|a| neighbors.iter().filter(|b| adjacent[*a][**b])).count();
            let share = if k < 2.0 { 0.0 } else { closed as f64 / (k * (k - 1.0)) };
            prop_assert!((clustering[node] - share).abs() < 1e-12);
            let between = if nodes < 3 { 0.0 } else { all.through(node, node) / ((n - 1.0) * (n - 2.0)) };
            prop_assert!((betweenness.nodes[node] - between).abs() < 1e-12);
            for other in neighbors {
                let slot = graph.slot(node as u32, other as u32).unwrap();
                let between = (all.through(node, other) + all.through(other, node)) / (n * (n - 1.0));
                prop_assert!((betweenness.edges[slot] - between).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn the_result_is_the_same_for_all_threads_and_memory() {
    let graph = random_graph(700, 3, 11);
    for options in [BetweennessOptions::default(), sampled(100, 5)] {
        let with = |threads, memory_bytes| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let options = BetweennessOptions { memory_bytes, ..options };
            pool.install(|| betweenness(&graph, &options, &go_on)).unwrap()
        };
        let alone = with(1, 1 << 30);
        assert_eq!(alone, with(3, 1 << 30));
        assert_eq!(alone, with(3, 0), "one sum at a time");
    }
}

#[test]
fn sampled_values_stay_within_the_stated_error() {
    let graph = random_graph(400, 2, 21);
    let truth = exact(&graph);
    assert_eq!((truth.precision.pivots, truth.precision.bound), (400, 0.0));
    let worst = |estimate: &[f64], truth: &[f64]| {
        estimate.iter().zip(truth).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    for seed in 0..20 {
        let mut before = f64::INFINITY;
        for pivots in [32, 128, 300] {
            let estimate = betweenness(&graph, &sampled(pivots, seed), &go_on).unwrap();
            let precision = estimate.precision;
            assert_eq!((precision.nodes, precision.pivots, precision.seed), (400, pivots, seed));
            assert!(precision.bound < before, "{precision:?}");
            before = precision.bound;
            for (error, standard) in [
                (worst(&estimate.nodes, &truth.nodes), precision.node_standard_error),
                (worst(&estimate.edges, &truth.edges), precision.edge_standard_error),
            ] {
                assert!(error <= precision.bound, "seed {seed}: {error} {precision:?}");
                // The largest of some 1,200 errors, against the largest standard error.
                assert!(error < 6.0 * standard, "seed {seed}, {pivots} pivots: {error} {precision:?}");
                assert!(error > 0.1 * standard, "seed {seed}, {pivots} pivots: {error} {precision:?}");
            }
        }
    }
}

#[test]
fn estimates_of_all_seeds_average_to_the_truth() {
    let graph = random_graph(60, 2, 31);
    let truth = exact(&graph);
    let mut sums = vec![0.0; truth.nodes.len()];
    let seeds = 3000;
    for seed in 0..seeds {
        let estimate = betweenness(&graph, &sampled(8, seed), &go_on).unwrap();
        sums.iter_mut().zip(&estimate.nodes).for_each(|(sum, value)| *sum += value / seeds as f64);
    }
    for (mean, truth) in sums.iter().zip(&truth.nodes) {
        assert!((mean - truth).abs() < 0.03 * truth + 1e-4, "{mean} {truth}");
    }
}

/// 2,000 diamonds in a row: 2^2000 shortest paths from end to end, far beyond f64.
#[test]
fn numbers_of_paths_beyond_f64_do_no_harm() {
    let diamonds = 2000;
    let links: Vec<(u32, u32)> = (0..diamonds)
        .flat_map(|at| {
            let left = 3 * at;
            [(left, left + 1), (left, left + 2), (left + 1, left + 3), (left + 2, left + 3)]
        })
        .collect();
    let nodes = 3 * diamonds as usize + 1;
    let graph = graph(nodes, &links);
    let result = exact(&graph);
    let n = nodes as f64;
    for joint in 1..diamonds {
        // All paths between the two sides lead through the joint, and half of those across each diamond beside it.
        let left = 3.0 * f64::from(joint);
        let between = (2.0 * left * (n - 1.0 - left) + 2.0) / ((n - 1.0) * (n - 2.0));
        let got = result.nodes[3 * joint as usize];
        assert!((got - between).abs() < 1e-9 * between.max(1e-3), "joint {joint}: {got} {between}");
    }
}

#[test]
fn cancelling_ends_the_computation() {
    let graph = random_graph(500, 3, 41);
    let calls = AtomicUsize::new(0);
    let stop = |progress: FeatureProgress| {
        assert!(progress.done <= progress.total && progress.total == 500);
        match calls.fetch_add(1, Relaxed) {
            20.. => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    let result = betweenness(&graph, &BetweennessOptions::default(), &stop);
    assert!(matches!(result, Err(Error::Cancelled)));
    assert!(calls.into_inner() < 500);
    let refused = betweenness(&graph, &sampled(1, 0), &go_on);
    assert!(matches!(refused, Err(Error::Parameter { name: "pivots", got: 1, .. })));
}
