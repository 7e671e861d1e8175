//! A graph as the layers of a model need it.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use fastrand::Rng;

use crate::layers::{GnnError, Graph, LayerType, ModelDescription, SageAggregator};
use crate::learn::LearnError;
use crate::learn::sparse::Incidence;

/// Edges with what layers read of them.
pub(in crate::learn) struct Prepared {
    pub(super) edges: Arc<Incidence>,
    /// What rows are multiplied with on their way, where that is not learned; 1 without it.
    pub(super) weights: Option<Arc<[f32]>>,
    /// `[edges, edge_dim]`, where the model looks at them.
    pub(super) edge_features: Option<Tensor>,
}

impl Prepared {
    /// Fails where the graph has not what the model needs of it.
    pub(in crate::learn) fn new(graph: &Graph, model: &ModelDescription) -> Result<Prepared, LearnError> {
        let layer_type = LayerType::of(&model.layer_type)?;
        let changed = match layer_type {
            LayerType::Gcn if model.normalize => Some(graph.gcn_normalised(model.self_loops)?),
            LayerType::Gat if model.self_loops => Some(graph.with_mean_self_loops()),
            // What weights and features loops have is not looked at here.
            LayerType::GraphSage if model.aggregator == SageAggregator::Gcn => {
                Some(graph.with_mean_self_loops())
            }
            LayerType::RuVector => Some(graph.with_mean_self_loops()),
            _ => None,
        };
        let graph = changed.as_ref().unwrap_or(graph);
        if u32::try_from(graph.edges()).is_err() {
            let expected = format!("at most {}, loops included", u32::MAX);
            return Err(GnnError::Config { name: "edges", got: graph.edges().to_string(), expected }.into());
        }
        let edges = Incidence::new(graph.indptr().to_vec(), graph.sources().to_vec(), graph.nodes() as usize);
        let weights = match (layer_type, model.aggregator) {
            (LayerType::Gcn, _) => graph.weights().map(Arc::from),
            (LayerType::GraphSage, SageAggregator::Mean | SageAggregator::Gcn) => Some(means(&edges)),
            _ => None,
        };
        let mut edge_features = None;
        if let (LayerType::Gat, Some(width)) = (layer_type, model.edge_dim) {
            edge_features = Some(features_of_edges(graph, width)?);
        }
        Ok(Prepared { edges: Arc::new(edges), weights, edge_features })
    }

    /// With at most `most` edges into each node, drawn without replacement and in their order. For layers whose weights are
    /// those of a mean, or none.
    pub(super) fn sampled(&self, most: usize, rng: &mut Rng) -> Prepared {
        let (mut indptr, mut sources, mut drawn) = (vec![0], Vec::new(), Vec::new());
        for target in 0..self.edges.target_count() {
            drawn.clear();
            drawn.extend(self.edges.edges_of(target));
            if drawn.len() > most {
                for at in 0..most {
                    let other = rng.usize(at..drawn.len());
                    drawn.swap(at, other);
                }
                drawn.truncate(most);
                drawn.sort_unstable();
            }
            sources.extend(drawn.iter().map(|&edge| self.edges.source(edge) as u32));
            indptr.push(sources.len());
        }
        let edges = Incidence::new(indptr, sources, self.edges.source_count());
        let weights = self.weights.as_ref().map(|_| means(&edges));
        Prepared { edges: Arc::new(edges), weights, edge_features: None }
    }
}

/// One part for each edge of a target.
fn means(edges: &Incidence) -> Arc<[f32]> {
    (0..edges.edge_count()).map(|edge| 1.0 / edges.edges_of(edges.target(edge)).len() as f32).collect()
}

fn features_of_edges(graph: &Graph, width: usize) -> Result<Tensor, LearnError> {
    let features = graph.edge_features();
    let got = features.map_or(0, |features| features.cols());
    match features {
        Some(features) if got == width => {
            Ok(Tensor::from_slice(features.data(), (graph.edges(), width), &Device::Cpu)?)
        }
        _ => Err(GnnError::Shape { what: "features of an edge", expected: width, got }.into()),
    }
}
