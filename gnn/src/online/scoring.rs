//! Scoring the links of one node.

use std::time::{Duration, Instant};

use super::cache::Row;
use super::metrics::Counts;
use super::{EdgeScorer, FeatureExtractor, Graph, PolicyError, RoutingConfig, ScoreError};

/// What is said of one link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EdgeScore {
    /// The node that it leads to.
    pub target_node: u32,
    /// The model's score, 0 to 1.
    pub gnn_score: f32,
    /// 1 / (1 + d), more than 0, at most 1, where d is the length of the link: its distance in the metric of the index, or
    /// 1 − cosine under inner product. The target's own distance from the query is what selecting links saves, so it is not
    /// part of it.
    pub distance_score: f32,
    /// α · `gnn_score` + (1 − α) · `distance_score`.
    pub combined_score: f32,
}

impl EdgeScore {
    /// The higher combined score first; equal ones by node number.
    pub(super) fn order(&self, other: &EdgeScore) -> std::cmp::Ordering {
        let by_score = other.combined_score.total_cmp(&self.combined_score);
        by_score.then(self.target_node.cmp(&other.target_node))
    }
}

/// What scores links, and what the calls of the model have cost in this search.
pub(super) struct Scoring<'p> {
    pub(super) scorer: &'p dyn EdgeScorer,
    pub(super) extractor: &'p FeatureExtractor,
    pub(super) counts: &'p Counts,
    pub(super) config: RoutingConfig,
    /// What the calls may take.
    pub(super) allowed: Option<Duration>,
    /// What they took.
    pub(super) spent: Duration,
    pub(super) calls: u64,
}

/// The tensors of a call; kept from call to call.
#[derive(Default)]
pub(super) struct Tensors {
    node: Vec<f32>,
    edges: Vec<f32>,
    scores: Vec<f32>,
}

/// The node whose links are scored, for one query.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) node: u32,
    pub(super) row: &'a Row,
    /// Distance of the node from the query.
    pub(super) query_distance: f32,
    /// As the model sees it.
    pub(super) query: &'a [f32],
}

impl Scoring<'_> {
    /// Fails where the model is not for an index like this.
    pub(super) fn check(&self, graph: &Graph<'_>) -> Result<(), PolicyError> {
        self.extractor.check(graph)?;
        let got = graph.reader().config().metric;
        match self.scorer.metric().filter(|expected| *expected != got) {
            Some(expected) => Err(PolicyError::Metric { expected, got }),
            None => Ok(()),
        }
    }

    /// Replaces `scored` by the scores of the links at these places of the node's row, in their order.
    pub(super) fn score(
        &mut self,
        graph: &Graph<'_>,
        at: Place<'_>,
        places: &[u32],
        tensors: &mut Tensors,
        scored: &mut Vec<EdgeScore>,
    ) -> Result<(), PolicyError> {
        let Place { node, row, query_distance, query } = at;
        scored.clear();
        tensors.node.clear();
        graph.append_vector(node, &mut tensors.node)?;
        tensors.node.extend(row.node_numbers(query_distance));
        for places in places.chunks(self.config.inference_batch_size) {
            tensors.edges.clear();
            for place in places {
                self.extractor.append_edge(graph, row, *place as usize, &mut tensors.edges)?;
            }
            self.call(query, places.len(), tensors)?;
            let alpha = self.config.hybrid_alpha;
            scored.extend(places.iter().zip(&tensors.scores).map(|(place, gnn_score)| {
                let link = &row.links[*place as usize];
                let distance_score = graph.distance_score(&link.features());
                let combined_score = alpha * gnn_score + (1.0 - alpha) * distance_score;
                EdgeScore {
                    target_node: link.target(),
                    gnn_score: *gnn_score,
                    distance_score,
                    combined_score,
                }
            }));
        }
        Ok(())
    }

    /// Calls the model, and checks what it said and how long it took.
    fn call(&mut self, query: &[f32], expected: usize, tensors: &mut Tensors) -> Result<(), PolicyError> {
        let Tensors { node, edges, scores } = tensors;
        scores.clear();
        let start = Instant::now();
        let outcome = self.scorer.score(node, edges, query, scores);
        let time = start.elapsed();
        self.counts.count_inference(time);
        self.calls += 1;
        self.spent += time;
        outcome?;
        if scores.len() != expected {
            return Err(ScoreError::Count { expected, got: scores.len() }.into());
        }
        // NaN is in no range.
        if let Some(edge) = scores.iter().position(|score| !(0.0..=1.0).contains(score)) {
            return Err(ScoreError::Score { edge, got: scores[edge] }.into());
        }
        match self.allowed {
            Some(allowed) if self.spent > allowed => Err(PolicyError::OverBudget {
                spent_us: self.spent.as_micros() as u64,
                allowed_us: allowed.as_micros() as u64,
            }),
            _ => Ok(()),
        }
    }
}
