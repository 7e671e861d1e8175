//! Links of a graph, told from pairs of nodes without one.

use std::collections::HashSet;

use candle_core::{D, Device, Tensor};
use fastrand::Rng;

use crate::layers::{Graph, ModelDescription};
use crate::train::binary_cross_entropy;

use super::fit::{Objective, fit};
use super::link_split::ordered;
use super::metrics::area_under_curve;
use super::parts::Parts;
use super::{Features, LearnError, LearnOptions, Learned, OnLearnProgress};

/// Pairs that are drawn for each pair without a link, at most.
const DRAWS: usize = 50;

/// Links to learn from and to judge by. The dot product of the rows that a model makes of two nodes is the logit of a link
/// between them (Kipf & Welling 2016).
#[derive(Clone, Copy, Debug)]
pub struct LinkPrediction<'d> {
    /// The graph that messages flow on, which should not have the links that are judged by: [`super::split_links`].
    pub graph: &'d Graph,
    /// Features of its nodes.
    pub features: Features<'d>,
    /// Links that are learned from.
    pub training: &'d [(u32, u32)],
    /// Links that decide which epoch's weights are kept, and when to stop.
    pub validation: &'d [(u32, u32)],
    /// Links that the kept weights are judged by, once; may be empty.
    pub test: &'d [(u32, u32)],
}

impl LinkPrediction<'_> {
    /// Trains a model that gives linked nodes similar rows, by binary cross-entropy with as many pairs without a link, drawn
    /// anew in each epoch. The score is the area under the ROC curve, against as many such pairs drawn once.
    ///
    /// # Errors
    /// [`LearnError::Overlap`], [`LearnError::MissingNode`], [`LearnError::Empty`] and [`LearnError::TooDense`] for parts that
    /// cannot be learned from or judged by, [`LearnError::Gnn`] for features, descriptions and options that do not fit,
    /// [`LearnError::Memory`], [`LearnError::Diverged`], or [`LearnError::Cancelled`].
    pub fn train(
        &self,
        model: &ModelDescription,
        options: &LearnOptions,
        on_progress: OnLearnProgress<'_>,
    ) -> Result<Learned, LearnError> {
        let mut negatives = Negatives::new(self, options.seed)?;
        let mut objective = Links {
            training: self.training,
            validation: [self.validation.to_vec(), negatives.draw(self.validation.len())?],
            test: [self.test.to_vec(), negatives.draw(self.test.len())?],
            negatives,
        };
        fit(self.graph, self.features, model, &mut objective, options, on_progress)
    }
}

/// Where pairs without a link come from.
struct Negatives {
    nodes: u32,
    /// All links, each with the smaller node first.
    linked: HashSet<(u32, u32)>,
    rng: Rng,
}

impl Negatives {
    /// Fails where the parts cannot be learned from or judged by.
    fn new(links: &LinkPrediction<'_>, seed: u64) -> Result<Negatives, LearnError> {
        let nodes = links.graph.nodes();
        let parts = Parts {
            training: links.training,
            validation: links.validation,
            test: links.test,
            missing: ["links to learn from", "links to validate by"],
        };
        let check = |part, (a, b)| match [a, b].into_iter().find(|node| *node >= nodes) {
            Some(node) => Err(LearnError::MissingNode { part, node, nodes }),
            None => Ok(()),
        };
        let linked = parts.check(check, ordered, |(a, b)| format!("the link of {a} and {b}"))?;
        let mut linked: HashSet<(u32, u32)> = linked.into_keys().collect();
        linked.extend(links.graph.edge_list().into_iter().map(ordered));
        Ok(Negatives { nodes, linked, rng: Rng::with_seed(seed) })
    }

    /// Pairs of different nodes without a link.
    fn draw(&mut self, count: usize) -> Result<Vec<(u32, u32)>, LearnError> {
        let mut drawn = Vec::with_capacity(count);
        for _ in 0..count.saturating_mul(DRAWS) {
            if drawn.len() == count {
                break;
            }
            let pair = (self.rng.u32(..self.nodes), self.rng.u32(..self.nodes));
            if pair.0 != pair.1 && !self.linked.contains(&ordered(pair)) {
                drawn.push(pair);
            }
        }
        match drawn.len() {
            got if got < count => Err(LearnError::TooDense { wanted: count, got }),
            _ => Ok(drawn),
        }
    }
}

struct Links<'d> {
    training: &'d [(u32, u32)],
    /// Links, and pairs without one.
    validation: [Vec<(u32, u32)>; 2],
    test: [Vec<(u32, u32)>; 2],
    negatives: Negatives,
}

/// The logits of pairs.
fn logits(outputs: &Tensor, pairs: &[(u32, u32)]) -> Result<Tensor, LearnError> {
    let (a, b): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
    let rows = |nodes: Vec<u32>| outputs.index_select(&Tensor::new(nodes, &Device::Cpu)?, 0);
    Ok((rows(a)? * rows(b)?)?.sum(D::Minus1)?)
}

/// The loss of links and pairs without one, and the logits of both.
fn loss(
    outputs: &Tensor,
    links: &[(u32, u32)],
    others: &[(u32, u32)],
) -> Result<(Tensor, [Tensor; 2]), LearnError> {
    let both = [logits(outputs, links)?, logits(outputs, others)?];
    let labels = [both[0].ones_like()?, both[1].zeros_like()?];
    let loss = binary_cross_entropy(&Tensor::cat(&both, 0)?, &Tensor::cat(&labels, 0)?)?;
    Ok((loss, both))
}

fn judge(outputs: &Tensor, [links, others]: &[Vec<(u32, u32)>; 2]) -> Result<(f32, f64), LearnError> {
    let (loss, [links, others]) = loss(outputs, links, others)?;
    Ok((loss.to_scalar()?, area_under_curve(&links.to_vec1::<f32>()?, &others.to_vec1::<f32>()?)))
}

impl Objective for Links<'_> {
    fn loss(&mut self, outputs: &Tensor) -> Result<Tensor, LearnError> {
        let others = self.negatives.draw(self.training.len())?;
        Ok(loss(outputs, self.training, &others)?.0)
    }

    fn pairs(&self) -> usize {
        2 * self.training.len().max(self.validation[0].len())
    }

    fn validate(&self, outputs: &Tensor) -> Result<(f32, f64), LearnError> {
        judge(outputs, &self.validation)
    }

    fn test(&self, outputs: &Tensor) -> Result<Option<f64>, LearnError> {
        match self.test[0].is_empty() {
            true => Ok(None),
            false => Ok(Some(judge(outputs, &self.test)?.1)),
        }
    }
}
