//! Betweenness of nodes and edges: all of it on small graphs, an estimate with a stated error on larger ones.
//!
//! Brandes 2001 sums, over all source nodes, what each source contributes. Above a size limit only some sources,
//! *pivots*, are searched from, drawn without replacement; the sum is scaled up by n / pivots, which is unbiased
//! (Brandes & Pich 2007). `source.rs` says what a source contributes, `precision.rs` how far the estimate may be off.

mod precision;
mod source;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rayon::prelude::*;

use super::{FeaturePhase, FeatureProgress, OnFeatureProgress, Undirected};
use crate::Error;
pub use precision::{CONFIDENCE, Precision};
use source::Source;

/// Most pivots whose contributions are summed one after the other. What is added in which order depends on the
/// pivots alone, so the result is the same for every number of threads.
const GROUP: usize = 16;
/// With fewer groups than that, their spread says little about the error: groups become smaller instead.
const MIN_GROUPS: usize = 16;

/// How betweenness is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BetweennessOptions {
    /// Up to so many nodes it is exact.
    pub exact_up_to: u32,
    /// Above that, how many nodes are searched from; at least 2.
    pub pivots: u32,
    /// Which of them.
    pub seed: u64,
    /// Memory for sums that threads collect apart, 8 bytes a node and 16 an edge for each thread: where it does not
    /// suffice for all threads, fewer work.
    pub memory_bytes: usize,
}

impl Default for BetweennessOptions {
    fn default() -> BetweennessOptions {
        BetweennessOptions { exact_up_to: 20_000, pivots: 256, seed: 0, memory_bytes: 1 << 30 }
    }
}

/// Betweenness of a graph.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Betweenness {
    /// Of each row of the graph, normalised by (n−1)(n−2) for n members.
    pub nodes: Vec<f64>,
    /// Of the edge of each slot of [`Undirected::targets`], normalised by n(n−1); the two slots of an edge agree.
    pub edges: Vec<f64>,
    /// How it was computed and how far it may be off.
    pub precision: Precision,
}

/// Computes betweenness on the threads of the current rayon pool.
///
/// # Errors
/// [`Error::Cancelled`] if `progress` broke, [`Error::Parameter`] for fewer than two pivots.
pub fn betweenness(
    graph: &Undirected,
    options: &BetweennessOptions,
    progress: OnFeatureProgress<'_>,
) -> Result<Betweenness, Error> {
    if options.pivots < 2 {
        let (got, max) = (u64::from(options.pivots), u64::from(u32::MAX));
        return Err(Error::Parameter { name: "pivots", got, min: 2, max });
    }
    let pivots = choose_pivots(graph.members(), options);
    let is_exact = pivots.len() == graph.members().len();
    let mut total = Total::new(graph, !is_exact);
    let sums_bytes = 8 * (graph.rows() as usize + graph.targets().len());
    let width = (options.memory_bytes / sums_bytes.max(1)).clamp(1, rayon::current_num_threads());
    let done = AtomicUsize::new(0);
    let step = || {
        let done = done.fetch_add(1, Relaxed) + 1;
        let now = FeatureProgress { phase: FeaturePhase::Betweenness, done, total: pivots.len() };
        if progress(now).is_break() { Err(Error::Cancelled) } else { Ok(()) }
    };
    let groups: Vec<&[u32]> = pivots.chunks((pivots.len() / MIN_GROUPS).clamp(1, GROUP)).collect();
    for round in groups.chunks(width) {
        let sums: Vec<Sums> =
            round.par_iter().map(|group| sum_of(graph, group, &step)).collect::<Result<_, Error>>()?;
        for (group, sums) in round.iter().zip(&sums) {
            total.add(sums, group.len());
        }
    }
    Ok(total.finish(graph, &pivots, options.seed, groups.len()))
}

/// All members in order, or as many as the options say in random order.
fn choose_pivots(members: &[u32], options: &BetweennessOptions) -> Vec<u32> {
    let mut pivots = members.to_vec();
    let count = options.pivots as usize;
    if pivots.len() > options.exact_up_to as usize && pivots.len() > count {
        let mut rng = fastrand::Rng::with_seed(options.seed);
        for at in 0..count {
            let other = rng.usize(at..pivots.len());
            pivots.swap(at, other);
        }
        pivots.truncate(count);
    }
    pivots
}

/// Sums of contributions, not normalised.
struct Sums {
    nodes: Vec<f64>,
    /// By slot: for the pair (v, w), paths that reach w from v.
    slots: Vec<f64>,
}

impl Sums {
    fn zero(graph: &Undirected) -> Sums {
        Sums { nodes: vec![0.0; graph.rows() as usize], slots: vec![0.0; graph.targets().len()] }
    }
}

fn sum_of(
    graph: &Undirected,
    group: &[u32],
    step: &(dyn Fn() -> Result<(), Error> + Sync),
) -> Result<Sums, Error> {
    let mut sums = Sums::zero(graph);
    let mut source = Source::new(graph);
    for pivot in group {
        source.add(*pivot, &mut sums);
        step()?;
    }
    // From here on an edge counts the paths in both directions, in its first slot.
    for node in 0..graph.rows() {
        for slot in graph.slots(node) {
            let other = graph.targets()[slot];
            if other > node
                && let Some(back) = graph.slot(other, node)
            {
                sums.slots[slot] += std::mem::take(&mut sums.slots[back]);
            }
        }
    }
    Ok(sums)
}

/// The sums of all groups, added in order.
struct Total {
    sums: Sums,
    /// For each of them, the squares of the groups' sums, each divided by the pivots of its group.
    squares: Option<Sums>,
}

impl Total {
    fn new(graph: &Undirected, with_squares: bool) -> Total {
        Total { sums: Sums::zero(graph), squares: with_squares.then(|| Sums::zero(graph)) }
    }

    fn add(&mut self, group: &Sums, pivots: usize) {
        let add = |total: &mut [f64], part: &[f64]| {
            total.par_iter_mut().zip(part).for_each(|(total, part)| *total += part);
        };
        add(&mut self.sums.nodes, &group.nodes);
        add(&mut self.sums.slots, &group.slots);
        if let Some(squares) = &mut self.squares {
            let add = |total: &mut [f64], part: &[f64]| {
                let weight = 1.0 / pivots as f64;
                total.par_iter_mut().zip(part).for_each(|(total, part)| *total += part * part * weight);
            };
            add(&mut squares.nodes, &group.nodes);
            add(&mut squares.slots, &group.slots);
        }
    }

    fn finish(mut self, graph: &Undirected, pivots: &[u32], seed: u64, groups: usize) -> Betweenness {
        let (n, k) = (graph.members().len() as f64, pivots.len() as f64);
        let (pairs_of_node, pairs_of_edge) = ((n - 1.0) * (n - 2.0), n * (n - 1.0));
        // Without pairs there are no paths: the sums are zero and stay so.
        let node_scale = if pairs_of_node > 0.0 { n / k / pairs_of_node } else { 0.0 };
        let edge_scale = if pairs_of_edge > 0.0 { n / k / pairs_of_edge } else { 0.0 };
        let mut precision = Precision::exact(graph.members().len() as u32);
        if let Some(squares) = &self.squares {
            let spread = |sums: &[f64], squares: &[f64], scale: f64| {
                let largest = precision::largest_spread(sums, squares, k, groups as f64);
                largest * scale * precision::unsampled_share(n, k).sqrt()
            };
            precision.pivots = pivots.len() as u32;
            precision.seed = seed;
            precision.bound = precision::bound(n, k, n + graph.edges() as f64);
            precision.node_standard_error = spread(&self.sums.nodes, &squares.nodes, node_scale);
            precision.edge_standard_error = spread(&self.sums.slots, &squares.slots, edge_scale);
        }
        for node in 0..graph.rows() {
            for slot in graph.slots(node) {
                let other = graph.targets()[slot];
                if other < node
                    && let Some(first) = graph.slot(other, node)
                {
                    self.sums.slots[slot] = self.sums.slots[first];
                }
            }
        }
        self.sums.nodes.iter_mut().for_each(|sum| *sum *= node_scale);
        self.sums.slots.iter_mut().for_each(|sum| *sum *= edge_scale);
        Betweenness { nodes: self.sums.nodes, edges: self.sums.slots, precision }
    }
}
