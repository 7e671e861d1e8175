//! Training models on a graph and the vectors of its collection.

use std::collections::BTreeMap;

use redknot_gnn::layers::{Adjacency, Edges, GnnError, Graph, Matrix, ModelDescription, NodeFeatures};
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
    /// [`Error::UnknownKey`] for a label without a row, [`Error::Row`] for one that cannot be used, [`Error::Learn`] for
    /// descriptions and options that do not fit, [`Error::Cancelled`].
    pub fn train_classifier(
        &self,
        description: &ModelDescription,
        labels: &[Label<K::Owned>],
        options: &LearnOptions,
        on_progress: OnLearnProgress<'_>,
    ) -> Result<Learned> {
        let mut known = Vec::with_capacity(labels.len());
        let mut seen = BTreeMap::new();
        for Label { key, class, part } in labels {
            let node = self.graph.existing(K::borrow(key))?;
            let wrong = |why| Err(Error::Row { key: K::show(K::borrow(key)), why });
            match seen.insert(node, (*class, *part)) {
                Some((other, _)) if other != *class => {
                    return wrong(format!("has label {other} and label {class}: leave one of them out"));
                }
                Some((_, other)) if other != *part => {
                    let parts = format!("is both in the {} and in the {} part", other.name(), part.name());
                    return wrong(format!(
                        "{parts}: leave it out of one, or it would be judged by what was learned"
                    ));
                }
                // The same once more.
                Some(_) => continue,
                None => {}
            }
            if *class as usize >= description.output_dim {
                let outputs = description.output_dim;
                return wrong(format!(
                    "has label {class}, the model has outputs for labels 0 to {outputs} (exclusive): raise output_dim"
                ));
            }
            known.push((node, *class, *part));
        }
        let memory = self.in_memory(description, options)?;
        let InMemory { graph, features, .. } = &memory;
        let mut parts = [const { Vec::new() }; 3];
        let mut classes = vec![0; graph.nodes() as usize];
        for (node, class, part) in known {
            let place = memory.place_of(node)?;
            classes[place as usize] = class;
            parts[part as usize].push(place);
        }
        let [training, validation, test] = &parts;
        let task = NodeClassification {
            graph,
            features: Features::Dense(features),
            labels: &classes,
            training,
            validation,
            test,
        };
        task.train(description, options, on_progress).map_err(|error| self.explain_learning(error, &memory))
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
        let memory = self.in_memory(description, options)?;
        let InMemory { graph, features, .. } = &memory;
        let explain = |error| self.explain_learning(error, &memory);
        let split = split_links(graph, held_out, held_out, options.seed).map_err(explain)?;
        let task = LinkPrediction {
            graph: &split.graph,
            features: Features::Dense(features),
            training: &split.training,
            validation: &split.validation,
            test: &split.test,
        };
        task.train(description, options, on_progress).map_err(explain)
    }

    /// The graph and the vectors, copied: of the rows in use, and of their edges what the model looks at.
    fn in_memory(&self, description: &ModelDescription, options: &LearnOptions) -> Result<InMemory> {
        let (mut graph, vectors) = self.open()?;
        if description.edge_dim.is_none() {
            graph.leave_out_features();
        }
        let nodes = redknot_index::nodes_in_use(&*self.graph.snapshot, &self.graph.rows.index)?;
        // Rows that were removed left holes in the numbering.
        let mut places = vec![u32::MAX; graph.nodes() as usize];
        for (place, node) in (0..).zip(&nodes) {
            places[*node as usize] = place;
        }
        let of_rows = nodes.len() * vectors.width();
        let mut edges = Edges::default();
        let (mut indptr, mut sources) = (vec![0], Vec::new());
        let (mut weights, mut features) = (Vec::new(), Vec::new());
        for (done, node) in (1..).zip(&nodes) {
            graph.read_edges(*node, &mut edges).map_err(from_gnn)?;
            // Of a damaged graph, a source that is none stays none, which the check of the graph below tells.
            let place = |source: &u32| places.get(*source as usize).copied().unwrap_or(u32::MAX);
            sources.extend(edges.sources.iter().map(place));
            weights.extend_from_slice(&edges.weights);
            features.extend_from_slice(&edges.features);
            indptr.push(sources.len());
            let (of_edges, limit) =
                (4 * (sources.len() + weights.len() + features.len()) as u64, options.memory_bytes);
            if 4 * of_rows as u64 + of_edges > limit {
                let needed = 4 * of_rows as u64 + of_edges / done * nodes.len() as u64;
                return Err(Error::Learn(LearnError::Memory { needed, limit }));
            }
        }
        let width = graph.edge_feature_width();
        let of_edges = (width > 0).then(|| Matrix::new(sources.len(), width, features));
        let of_edges = of_edges.transpose().map_err(from_gnn)?;
        let weights = (!weights.is_empty()).then_some(weights);
        let graph = Graph::from_csr(indptr, sources, weights, of_edges).map_err(from_gnn)?;
        let mut rows = vec![0.0; of_rows];
        for (node, row) in nodes.iter().zip(rows.chunks_exact_mut(vectors.width())) {
            vectors.read(*node, row).map_err(from_gnn)?;
        }
        let features = Matrix::new(nodes.len(), vectors.width(), rows).map_err(from_gnn)?;
        Ok(InMemory { graph, features, nodes })
    }

    fn explain_learning(&self, error: LearnError, memory: &InMemory) -> Error {
        match error {
            LearnError::Cancelled => Error::Cancelled,
            LearnError::Gnn(GnnError::NegativeDegree { node, got }) => {
                match memory.nodes.get(node as usize) {
                    Some(&node) => self.explain(GnnError::NegativeDegree { node, got }),
                    None => Error::Learn(error),
                }
            }
            error => Error::Learn(error),
        }
    }
}

/// What a model is trained on.
struct InMemory {
    graph: Graph,
    features: Matrix,
    /// The number of each node in the file, rising.
    nodes: Vec<u32>,
}

impl InMemory {
    /// The number here of a node of the file that is in use.
    fn place_of(&self, node: u32) -> Result<u32> {
        let place = self.nodes.binary_search(&node);
        place
            .map(|place| place as u32)
            .map_err(|_| Error::corrupt(format!("node {node} has a key and is not in use")))
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Training => "training",
            Part::Validation => "validation",
            Part::Test => "test",
        }
    }
}
