//! What is learned from: for each query, nodes that a search scores and the nodes that it should have found.

use std::cmp::Ordering;
use std::time::Instant;

use fastrand::Rng;
use rayon::prelude::*;
use redknot_index::Metric;

use super::matrix::Matrix;
use super::options::{OnTrainProgress, TrainPhase, report};
use super::search::{GreedySearch, Workspace};
use super::vectors::Vectors;
use super::{Corpus, Queries, TrainError, TrainOptions, exact};

/// Exact answers of a query that are learned from.
const ANSWERS: usize = 20;
/// Where no exact answers are affordable, those of a search so many times as wide serve.
const WIDER: usize = 4;
/// Nodes among which searches choose where to start.
const LANDMARKS: usize = 256;
/// Queries between two reports of progress.
const QUERIES_PER_ROUND: usize = 512;

/// A node and its squared distance from a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scored {
    pub(super) node: u32,
    pub(super) distance: f32,
}

impl Scored {
    /// The nearer first; equal distances by node number.
    pub(super) fn order(&self, other: &Scored) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.node.cmp(&other.node))
    }
}

/// Queries with the nodes to learn from, made by [`collect`].
pub struct Trajectories {
    pub(super) metric: Metric,
    pub(super) nodes: u32,
    /// Those to learn from, then those held out.
    pub(super) queries: Matrix,
    pub(super) training: usize,
    pub(super) synthesised: bool,
    /// How many queries were compared with every node.
    pub(super) exact: usize,
    /// The nodes of query `i` are `scored[starts[i]..starts[i + 1]]`: the nearest first, then some others.
    pub(super) starts: Vec<usize>,
    pub(super) scored: Vec<Scored>,
    /// How many of the nodes of a query are the nearest, if it has so many.
    pub(super) near: usize,
    pub(super) seconds: f64,
}

/// Searches the graph for every query and keeps the nodes to learn from, with their exact distances.
///
/// What counts as near is said by exact answers, not by what greedy search found.
pub fn collect<C: Corpus>(
    corpus: &C,
    queries: &Queries<'_>,
    options: &TrainOptions,
    on_progress: OnTrainProgress<'_>,
) -> Result<Trajectories, TrainError> {
    let start = Instant::now();
    options.check()?;
    let vectors = Vectors::new(corpus)?;
    let linked = vectors.linked()?;
    let chosen = queries.choose(vectors, &linked, options)?;
    let order = comparing_order(chosen.training, chosen.rows.rows);
    let affordable = options.exact_work / (linked.len() as f64 * vectors.dim() as f64);
    let order = &order[..order.len().min(affordable as usize)];
    let compared = Matrix {
        rows: order.len(),
        cols: vectors.dim(),
        data: order.iter().flat_map(|&query| chosen.rows.row(query)).copied().collect(),
    };
    let mut answers = vec![Vec::new(); chosen.rows.rows];
    let nearest = exact::nearest(vectors, &linked, &compared, ANSWERS.min(options.near), on_progress)?;
    order.iter().zip(nearest).for_each(|(&query, nearest)| answers[query] = nearest);

    let mut rng = Rng::with_seed(options.pca.seed ^ 0x6c61_6e64_6d61_726b);
    let landmarks = rng.choose_multiple(linked.iter().copied(), LANDMARKS);
    let search = GreedySearch::new(vectors, landmarks)?;
    let mut trajectories = Trajectories {
        metric: corpus.metric(),
        nodes: corpus.nodes(),
        queries: chosen.rows,
        training: chosen.training,
        synthesised: chosen.synthesised,
        exact: order.len(),
        starts: vec![0],
        scored: Vec::new(),
        near: options.near,
        seconds: 0.0,
    };
    trajectories.fill(&search, &answers, options, on_progress)?;
    trajectories.seconds = start.elapsed().as_secs_f64();
    Ok(trajectories)
}

/// Held-out queries first: they judge.
fn comparing_order(training: usize, queries: usize) -> Vec<usize> {
    (training..queries).chain(0..training).collect()
}

impl Trajectories {
    /// The queries to learn from.
    pub fn training_queries(&self) -> usize {
        self.training
    }

    /// The queries held out.
    pub fn held_out_queries(&self) -> usize {
        self.queries.rows - self.training
    }

    /// The nodes of all queries to learn from.
    pub fn pairs(&self) -> usize {
        self.scored.len()
    }

    /// Fails where these are not trajectories over `corpus`.
    pub(super) fn check<C: Corpus>(&self, corpus: &C) -> Result<(), TrainError> {
        let reason = if self.queries.cols != corpus.dim() {
            "vectors have another dimension"
        } else if self.metric != corpus.metric() {
            "the metric is another"
        } else if self.nodes > corpus.nodes() {
            "some nodes do not exist"
        } else {
            return Ok(());
        };
        Err(TrainError::ForeignTrajectories { reason })
    }

    /// The nodes of a query.
    pub(super) fn of(&self, query: usize) -> &[Scored] {
        &self.scored[self.starts[query]..self.starts[query + 1]]
    }

    fn fill<C: Corpus>(
        &mut self,
        search: &GreedySearch<'_, C>,
        answers: &[Vec<Scored>],
        options: &TrainOptions,
        on_progress: OnTrainProgress<'_>,
    ) -> Result<(), TrainError> {
        for first in (0..answers.len()).step_by(QUERIES_PER_ROUND) {
            report(on_progress, TrainPhase::Trajectories, first, answers.len())?;
            let round = first..answers.len().min(first + QUERIES_PER_ROUND);
            let kept = round.into_par_iter().map_init(Workspace::default, |workspace, query| {
                let ef = if answers[query].is_empty() { WIDER * options.ef } else { options.ef };
                search.run(self.queries.row(query), ef, workspace)?;
                let mut rng = Rng::with_seed(options.pca.seed.wrapping_add(query as u64));
                Ok(choose(&mut workspace.scored, &answers[query], options, &mut rng))
            });
            for kept in kept.collect::<Result<Vec<_>, TrainError>>()? {
                self.scored.extend(kept);
                self.starts.push(self.scored.len());
            }
        }
        Ok(())
    }
}

/// The nearest of the scored nodes and the answers, then a random selection of the others.
fn choose(
    scored: &mut Vec<Scored>,
    answers: &[Scored],
    options: &TrainOptions,
    rng: &mut Rng,
) -> Vec<Scored> {
    scored.extend(answers);
    scored.sort_by(|a, b| a.node.cmp(&b.node).then(a.distance.total_cmp(&b.distance)));
    scored.dedup_by_key(|scored| scored.node);
    scored.sort_by(Scored::order);
    let (near, others) = scored.split_at(scored.len().min(options.near));
    let mut kept = near.to_vec();
    let mut far = rng.choose_multiple(others.iter().copied(), options.far);
    far.sort_by(Scored::order);
    kept.extend(far);
    kept
}

impl std::fmt::Debug for Trajectories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trajectories")
            .field("training_queries", &self.training)
            .field("held_out_queries", &self.held_out_queries())
            .field("pairs", &self.pairs())
            .finish_non_exhaustive()
    }
}
