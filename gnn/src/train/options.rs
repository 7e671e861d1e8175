//! How to train.

use std::fmt::Display;
use std::ops::{ControlFlow, RangeInclusive};

use serde::{Deserialize, Serialize};

use crate::routing::attention::{MAX_HEADS, MAX_INPUTS, MAX_LAYERS, MAX_WIDTH};

use super::TrainError;

/// Bytes of a key of vectors of up to [`SMALL_DIM`] components, and of longer ones.
const KEY_BYTES: [usize; 2] = [32, 64];
const SMALL_DIM: usize = 128;
/// Keys come in multiples of this, up to [`MAX_KEY_BYTES`].
const KEY_UNIT: usize = 32;
const MAX_KEY_BYTES: usize = 128;

/// How a key model is made from the vectors alone.
#[derive(Clone, Debug, PartialEq)]
pub struct PcaOptions {
    /// Bytes of a key: 32, 64, 96 or 128. By default 32 for vectors of up to 128 components, else 64.
    pub key_bytes: Option<usize>,
    /// λ, the share of the neighbours' mean in a routing vector; 0 to 0.9.
    pub lambda: f32,
    /// Nodes whose vectors are looked at; 256 to 1,000,000. Fewer are where they would take more than 128 MiB.
    pub sample: usize,
    /// Seed of the sample.
    pub seed: u64,
}

impl Default for PcaOptions {
    fn default() -> PcaOptions {
        PcaOptions { key_bytes: None, lambda: 0.3, sample: 30_000, seed: 1 }
    }
}

/// What makes coordinates of a node. All of it is linear in the query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoder {
    /// Its vector alone: λ is 0, whatever [`PcaOptions::lambda`] says.
    Linear,
    /// Its vector and the mean of its neighbours', mixed by λ.
    #[default]
    Mean,
    /// The same, and what graph attention makes of its neighbourhood.
    Attention(AttentionOptions),
}

/// How attention is made and trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionOptions {
    /// Layers, each of which reaches one hop further; 1 to 6.
    pub layers: usize,
    /// Heads of a layer; 1 to 16.
    pub heads: usize,
    /// Numbers that a head makes of a node; 1 to 1,024, those of all heads of a layer together.
    pub hidden: usize,
    /// Principal coordinates of a node that the first layer reads, at most; 1 to 128.
    pub inputs: usize,
    /// Neighbours of a node that a step of gradient descent looks at, drawn anew each time; 1 to 1,024. Keys are made
    /// with all neighbours.
    pub neighbors: usize,
    /// Steps of gradient descent after those that fit all but the attention; 1 to 1,000,000.
    pub steps: usize,
}

impl Default for AttentionOptions {
    fn default() -> AttentionOptions {
        AttentionOptions { layers: 1, heads: 4, hidden: 32, inputs: 64, neighbors: 16, steps: 500 }
    }
}

/// How a key model is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// What training starts from.
    pub pca: PcaOptions,
    /// What makes coordinates of a node.
    pub encoder: Encoder,
    /// Queries to train with, at most; as many are synthesised where none are given. 64 to 1,000,000.
    pub queries: usize,
    /// Queries to hold out where no others are given for that, at most a tenth of all; 16 to 100,000.
    pub held_out: usize,
    /// How far off a synthesised query lies from the line between a node and its neighbour, in lengths of that line;
    /// 0 to 10.
    pub noise: f32,
    /// Candidates of the greedy search whose scored nodes are learned from; 8 to 10,000.
    pub ef: usize,
    /// Nodes nearest to a query to learn from; 8 to 1,000.
    pub near: usize,
    /// Other scored nodes of a query to learn from; 0 to 1,000.
    pub far: usize,
    /// Multiplications that comparing queries with all nodes may take. What is left of the queries takes the answers
    /// of a search four times as wide. 0 to 1e18.
    pub exact_work: f64,
    /// Steps of gradient descent; 1 to 1,000,000.
    pub steps: usize,
    /// Queries of a step; 1 to 4,096.
    pub batch_queries: usize,
    /// Nodes of each query of a step; 4 to 4,096.
    pub batch_nodes: usize,
    /// The learning rate that steps and biases have half of at most and projections a fifth; 1e-9 to 1.
    pub learning_rate: f64,
    /// Decay of the projections in AdamW; 0 to 1.
    pub weight_decay: f64,
    /// Steps between two looks at the held-out queries; 1 to 1,000,000.
    pub evaluate_every: usize,
    /// Looks without progress after which training stops; 1 to 1,000,000.
    pub patience: usize,
}

impl Default for TrainOptions {
    fn default() -> TrainOptions {
        TrainOptions {
            pca: PcaOptions::default(),
            encoder: Encoder::default(),
            queries: 8_000,
            held_out: 500,
            noise: 0.2,
            ef: 40,
            near: 40,
            far: 24,
            exact_work: 4e11,
            steps: 1500,
            batch_queries: 32,
            batch_nodes: 48,
            learning_rate: 1e-3,
            weight_decay: 0.01,
            evaluate_every: 100,
            patience: 5,
        }
    }
}

impl PcaOptions {
    /// Fails where no model can be made like this.
    pub fn check(&self) -> Result<(), TrainError> {
        if let Some(bytes) = self.key_bytes
            && (bytes == 0 || bytes > MAX_KEY_BYTES || !bytes.is_multiple_of(KEY_UNIT))
        {
            return Err(TrainError::Option {
                name: "key_bytes",
                got: bytes.to_string(),
                expected: "32, 64, 96 or 128".into(),
            });
        }
        within("lambda", self.lambda, 0.0..=0.9)?;
        within("sample", self.sample, 256..=1_000_000)
    }

    /// Bytes of a key of vectors of `dim` components.
    pub(super) fn key_bytes_of(&self, dim: usize) -> usize {
        self.key_bytes.unwrap_or(KEY_BYTES[usize::from(dim > SMALL_DIM)])
    }
}

impl Encoder {
    fn check(&self) -> Result<(), TrainError> {
        let Encoder::Attention(attention) = self else { return Ok(()) };
        within("layers", attention.layers, 1..=MAX_LAYERS)?;
        within("heads", attention.heads, 1..=MAX_HEADS)?;
        within("hidden", attention.hidden, 1..=MAX_WIDTH / attention.heads)?;
        within("inputs", attention.inputs, 1..=MAX_INPUTS)?;
        within("neighbors", attention.neighbors, 1..=1_024)?;
        within("steps of the attention", attention.steps, 1..=1_000_000)
    }
}

impl TrainOptions {
    /// The options of the model that training starts from.
    pub(super) fn start(&self) -> PcaOptions {
        let lambda = if self.encoder == Encoder::Linear { 0.0 } else { self.pca.lambda };
        PcaOptions { lambda, ..self.pca.clone() }
    }

    /// Fails where no model can be trained like this.
    pub fn check(&self) -> Result<(), TrainError> {
        self.pca.check()?;
        self.encoder.check()?;
        within("queries", self.queries, 64..=1_000_000)?;
        within("held_out", self.held_out, 16..=100_000)?;
        within("noise", self.noise, 0.0..=10.0)?;
        within("ef", self.ef, 8..=10_000)?;
        within("near", self.near, 8..=1_000)?;
        within("far", self.far, 0..=1_000)?;
        within("exact_work", self.exact_work, 0.0..=1e18)?;
        within("steps", self.steps, 1..=1_000_000)?;
        within("batch_queries", self.batch_queries, 1..=4_096)?;
        within("batch_nodes", self.batch_nodes, 4..=4_096)?;
        within("learning_rate", self.learning_rate, 1e-9..=1.0)?;
        within("weight_decay", self.weight_decay, 0.0..=1.0)?;
        within("evaluate_every", self.evaluate_every, 1..=1_000_000)?;
        within("patience", self.patience, 1..=1_000_000)
    }
}

fn within<T: PartialOrd + Display>(
    name: &'static str,
    got: T,
    range: RangeInclusive<T>,
) -> Result<(), TrainError> {
    // NaN is in no range.
    if range.contains(&got) {
        return Ok(());
    }
    let expected = format!("{} to {}", range.start(), range.end());
    Err(TrainError::Option { name, got: got.to_string(), expected })
}

/// What training is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrainPhase {
    /// Searching the graph for each query, keeping what was scored.
    Trajectories,
    /// Comparing queries with every node.
    Exact,
    /// Computing what the nodes to learn from are made of.
    Nodes,
    /// Gradient descent.
    Fit,
    /// Gradient descent with attention.
    Attend,
}

/// How far training is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrainProgress {
    /// What it is doing.
    pub phase: TrainPhase,
    /// Queries, nodes or steps done in this phase.
    pub done: usize,
    /// Queries, nodes or steps of this phase in all.
    pub total: usize,
    /// In the phases [`TrainPhase::Fit`] and [`TrainPhase::Attend`], at each look at the held-out queries.
    pub losses: Option<Losses>,
}

/// How good the model is at a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// The step.
    pub step: usize,
    /// Mean loss of the training steps since the last look; that of the start at step 0.
    pub training: f32,
    /// Loss of the held-out queries.
    pub held_out: f32,
    /// Share of the pairs of near nodes of a held-out query that the estimate puts in the order of their distances.
    pub order: f32,
    /// Share of the 10 nodes nearest to a held-out query that are among the 20 of the least estimates, of those that the
    /// trajectory of the query has: what re-ranking 20 would find.
    pub recall: f32,
}

/// Told how far training is; breaking cancels it with [`TrainError::Cancelled`].
pub type OnTrainProgress<'p> = &'p (dyn Fn(TrainProgress) -> ControlFlow<()> + Sync);

/// Reports progress, and passes on that the caller asked to stop.
pub(super) fn report(
    on_progress: OnTrainProgress<'_>,
    phase: TrainPhase,
    done: usize,
    total: usize,
) -> Result<(), TrainError> {
    report_losses(on_progress, phase, done, total, None)
}

/// The same, with losses.
pub(super) fn report_losses(
    on_progress: OnTrainProgress<'_>,
    phase: TrainPhase,
    done: usize,
    total: usize,
    losses: Option<Losses>,
) -> Result<(), TrainError> {
    match on_progress(TrainProgress { phase, done, total, losses }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(TrainError::Cancelled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        assert!(TrainOptions::default().check().is_ok());
        let pca = |pca| TrainOptions { pca, ..TrainOptions::default() };
        let defaults = PcaOptions::default;
        let attention = |it| TrainOptions { encoder: Encoder::Attention(it), ..TrainOptions::default() };
        let wrong = [
            ("key_bytes", pca(PcaOptions { key_bytes: Some(48), ..defaults() })),
            ("lambda", pca(PcaOptions { lambda: f32::NAN, ..defaults() })),
            ("sample", pca(PcaOptions { sample: 0, ..defaults() })),
            ("queries", TrainOptions { queries: 3, ..TrainOptions::default() }),
            ("learning_rate", TrainOptions { learning_rate: 0.0, ..TrainOptions::default() }),
            ("weight_decay", TrainOptions { weight_decay: -0.1, ..TrainOptions::default() }),
            ("patience", TrainOptions { patience: 0, ..TrainOptions::default() }),
            ("layers", attention(AttentionOptions { layers: 0, ..AttentionOptions::default() })),
            ("hidden", attention(AttentionOptions { heads: 8, hidden: 129, ..AttentionOptions::default() })),
        ];
        for (expected, options) in wrong {
            match options.check() {
                Err(TrainError::Option { name, .. }) => assert_eq!(name, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}
