//! Training models on a graph and the vectors of its collection.

use redknot_gnn::layers::{Adjacency, Edges, Graph, Matrix, ModelDescription, NodeFeatures};
use redknot_gnn::learn::{
    Features, LearnError, LearnOptions, Learned, LinkPrediction, NodeClassification, OnLearnProgress,
    split_links,
};

use super::passing::{Layers, from_gnn};
use crate::error::{Error, Result};
use crate::key::Key;

/// What the label of a row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// To learn from.
    Training,
    /// To decide which epoch's weights are kept, and when to stop.
    Validation,
    /// To judge the kept weights by, once.
    Test,
}

/// A row whose class is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Label<K> {
    /// The row.
    pub key: K,
    /// Its class, counted from 0.
    pub class: u32,
    /// What it is for.
    pub part: Part,
}

impl<K: Key> Layers<'_, K> {
    /// Trains a model that puts rows in classes, from the rows of which the class is known; see
    /// [`NodeClassification`]. The graph and the vectors are read into memory, as far as
    /// [`LearnOptions::memory_bytes`] allows. The weights are returned; [`crate::WriteTransaction::write_model`] keeps it.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] for a label without a row, [`Error::Learn`] for labels, descriptions and options that do not
    /// fit, [`Error::Cancelled`].
    pub fn train_classifier(
        &self,
        description: &ModelDescription,
        labels: &[Label<K::Owned>],
        options: &LearnOptions,
        on_progress: OnLearnProgress<'_>,
    ) -> Result<Learned> {
        let mut parts = [const { Vec::new() }; 3];
        let mut classes = vec![0; self.graph.rows.index.nodes() as usize];
        for label in labels {
            let node = self.graph.existing(K::borrow(&label.key))?;
            classes[node as usize] = label.class;
            parts[label.part as usize].push(node);
        }
        let (graph, features) = self.in_memory()?;
        let [training, validation, test] = &parts;
        let task = NodeClassification {
            graph: &graph,
            features: Features::Dense(&features),
            labels: &classes,
            training,
            validation,
            test,
        };
        task.train(description, options, on_progress).map_err(from_learn)
    }

    /// Trains a model whose rows have a large dot product where an edge joins them; see [`LinkPrediction`]. A share of the
    /// edges is set aside to validate by, and as many to judge by: the model does not see them.
    ///
    /// # Errors
    /// [`Error::Learn`] for graphs, descriptions and options that do not fit, [`Error::Cancelled`].
    pub fn train_link_prediction(
        &self,
        description: &ModelDescription,
        held_out: f64,
        options: &LearnOptions,
        on_progress: OnLearnProgress<'_>,
    ) -> Result<Learned> {
        let (graph, features) = self.in_memory()?;
        let split = split_links(&graph, held_out, held_out, options.seed).map_err(from_learn)?;
        let task = LinkPrediction {
            graph: &split.graph,
            features: Features::Dense(&features),
            training: &split.training,
            validation: &split.validation,
            test: &split.test,
        };
        task.train(description, options, on_progress).map_err(from_learn)
    }

    /// The graph and the vectors, copied.
    fn in_memory(&self) -> Result<(Graph, Matrix)> {
        let (graph, vectors) = self.open()?;
        let nodes = graph.nodes();
        let mut edges = Edges::default();
        let (mut indptr, mut sources) = (vec![0], Vec::new());
        let (mut weights, mut features) = (Vec::new(), Vec::new());
        for node in 0..nodes {
            graph.read_edges(node, &mut edges).map_err(from_gnn)?;
            sources.extend_from_slice(&edges.sources);
            weights.extend_from_slice(&edges.weights);
            features.extend_from_slice(&edges.features);
            indptr.push(sources.len());
        }
        let width = graph.edge_feature_width();
        let of_edges = (width > 0).then(|| Matrix::new(sources.len(), width, features));
        let of_edges = of_edges.transpose().map_err(from_gnn)?;
        let weights = (!weights.is_empty()).then_some(weights);
        let graph = Graph::from_csr(indptr, sources, weights, of_edges).map_err(from_gnn)?;
        let mut rows = vec![0.0; nodes as usize * vectors.width()];
        for (node, row) in rows.chunks_exact_mut(vectors.width()).enumerate() {
            vectors.read(node as u32, row).map_err(from_gnn)?;
        }
        let rows = Matrix::new(nodes as usize, vectors.width(), rows).map_err(from_gnn)?;
        Ok((graph, rows))
    }
}

fn from_learn(error: LearnError) -> Error {
    match error {
        LearnError::Cancelled => Error::Cancelled,
        error => Error::Learn(error),
    }
}
