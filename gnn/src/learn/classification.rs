//! Classes of nodes, learned from the labels of some.

use candle_core::{Device, Tensor};
use candle_nn::loss::cross_entropy;

use crate::layers::{GnnError, Graph, ModelDescription};

use super::fit::{Objective, fit};
use super::metrics::accuracy;
use super::parts::Parts;
use super::{Features, LearnError, LearnOptions, Learned, OnLearnProgress};

/// Nodes with labels, split in three parts (Kipf & Welling 2017). The model sees the features and edges of all nodes and
/// learns from the labels of the training part alone.
#[derive(Clone, Copy, Debug)]
pub struct NodeClassification<'d> {
    /// The graph.
    pub graph: &'d Graph,
    /// Features of its nodes.
    pub features: Features<'d>,
    /// A label for each node, from 0. Those of nodes in no part are not looked at.
    pub labels: &'d [u32],
    /// Nodes whose labels are learned from.
    pub training: &'d [u32],
    /// Nodes that decide which epoch's weights are kept, and when to stop.
    pub validation: &'d [u32],
    /// Nodes that the kept weights are judged by, once; may be empty.
    pub test: &'d [u32],
}

impl NodeClassification<'_> {
    /// Trains a model whose outputs are logits of the labels, by cross-entropy. The score is accuracy.
    ///
    /// # Errors
    /// [`LearnError::Label`], [`LearnError::Overlap`], [`LearnError::MissingNode`] and [`LearnError::Empty`] for parts that
    /// cannot be learned from or judged by, [`LearnError::Gnn`] for features, descriptions and options that do not fit,
    /// [`LearnError::Memory`], [`LearnError::Diverged`], or [`LearnError::Cancelled`].
    pub fn train(
        &self,
        model: &ModelDescription,
        options: &LearnOptions,
        on_progress: OnLearnProgress<'_>,
    ) -> Result<Learned, LearnError> {
        self.check(model)?;
        let mut objective = Classes {
            classes: model.output_dim,
            labels: self.labels,
            training: Labelled::new(self.training, self.labels)?,
            validation: Labelled::new(self.validation, self.labels)?,
            parts: *self,
        };
        fit(self.graph, self.features, model, &mut objective, options, on_progress)
    }

    fn check(&self, model: &ModelDescription) -> Result<(), LearnError> {
        let nodes = self.graph.nodes();
        if self.labels.len() != nodes as usize {
            let (what, got) = ("labels of nodes", self.labels.len());
            return Err(GnnError::Shape { what, expected: nodes as usize, got }.into());
        }
        let parts = Parts {
            training: self.training,
            validation: self.validation,
            test: self.test,
            missing: ["nodes to learn from", "nodes to validate by"],
        };
        let check = |part, node| {
            if node >= nodes {
                return Err(LearnError::MissingNode { part, node, nodes });
            }
            let (got, classes) = (self.labels[node as usize], model.output_dim);
            if got as usize >= classes { Err(LearnError::Label { node, got, classes }) } else { Ok(()) }
        };
        parts.check(check, |node| node, |node| format!("node {node}"))?;
        Ok(())
    }
}

/// Nodes and their labels.
struct Labelled {
    nodes: Tensor,
    labels: Tensor,
}

impl Labelled {
    fn new(nodes: &[u32], labels: &[u32]) -> Result<Labelled, LearnError> {
        let labels: Vec<u32> = nodes.iter().map(|node| labels[*node as usize]).collect();
        let count = labels.len();
        Ok(Labelled {
            nodes: Tensor::from_slice(nodes, count, &Device::Cpu)?,
            labels: Tensor::from_vec(labels, count, &Device::Cpu)?,
        })
    }

    fn loss(&self, outputs: &Tensor) -> Result<Tensor, LearnError> {
        Ok(cross_entropy(&outputs.index_select(&self.nodes, 0)?, &self.labels)?)
    }
}

struct Classes<'d> {
    classes: usize,
    labels: &'d [u32],
    training: Labelled,
    validation: Labelled,
    parts: NodeClassification<'d>,
}

impl Classes<'_> {
    fn accuracy(&self, outputs: &Tensor, nodes: &[u32]) -> Result<f64, LearnError> {
        let outputs = outputs.flatten_all()?.to_vec1::<f32>()?;
        Ok(accuracy(&outputs, self.classes, self.labels, nodes))
    }
}

impl Objective for Classes<'_> {
    fn loss(&mut self, outputs: &Tensor) -> Result<Tensor, LearnError> {
        self.training.loss(outputs)
    }

    fn validate(&self, outputs: &Tensor) -> Result<(f32, f64), LearnError> {
        let loss = self.validation.loss(outputs)?.to_scalar()?;
        Ok((loss, self.accuracy(outputs, self.parts.validation)?))
    }

    fn test(&self, outputs: &Tensor) -> Result<Option<f64>, LearnError> {
        match self.parts.test {
            [] => Ok(None),
            nodes => Ok(Some(self.accuracy(outputs, nodes)?)),
        }
    }
}
