//! A model that is ready to run: the registry of layers, and the pass through them.

use parking_lot::Mutex;
use rayon::prelude::*;

use super::degree::degree_scales;
use super::field::{Field, Selected};
use super::linear::{Linear, rows_of};
use super::progress::{Options, Pass, Spare};
use super::rows::Rows;
use super::sample::Sampled;
use super::{
    Activation, Adjacency, GnnError, LayerDescription, Matrix, ModelDescription, NodeFeatures, Tensor,
    Weights,
};

/// A layer that is ready to run.
pub(super) trait Layer: Send + Sync {
    /// Rows of the first `pass.rows` nodes.
    fn forward(&self, pass: &Pass<'_>, x: Rows<'_>) -> Result<Matrix, GnnError>;

    /// The layer as one that a query can attend with, if it is.
    fn as_ruvector(&self) -> Option<&super::ruvector::RuVector> {
        None
    }

    /// How far away nodes may be that a row depends on.
    fn hops(&self) -> usize {
        1
    }

    /// Whether the pass has to bring 1 / √degree, and then whether a node's own loop counts.
    fn normalises(&self) -> Option<bool> {
        None
    }
}

/// The parameters of one layer, whose names begin with its prefix. They were checked against its description.
pub(super) struct Parameters<'a> {
    pub(super) weights: &'a Weights,
    pub(super) prefix: String,
}

impl<'a> Parameters<'a> {
    /// The numbers of a parameter, row-major.
    pub(super) fn get(&self, name: &str) -> Result<&'a [f32], GnnError> {
        self.tensor(name).map(Tensor::data)
    }

    /// The map of `{name}.weight`, with `{name}.bias` where there is one.
    pub(super) fn linear(&self, name: &str) -> Result<Linear, GnnError> {
        let weight = self.tensor(&format!("{name}.weight"))?;
        let bias = self.weights.get(&format!("{}{name}.bias", self.prefix)).map(Tensor::data);
        let &[output, input] = weight.shape() else {
            return Err(GnnError::ParameterShape {
                name: format!("{}{name}.weight", self.prefix),
                expected: vec![0, 0],
                got: weight.shape().to_vec(),
            });
        };
        Ok(Linear::new(weight.data(), output, input, bias))
    }

    fn tensor(&self, name: &str) -> Result<&'a Tensor, GnnError> {
        let name = format!("{}{name}", self.prefix);
        self.weights.get(&name).ok_or_else(|| GnnError::MissingParameter { name, expected: Vec::new() })
    }
}

/// The registry: the layer of a description, where its cargo feature is on.
fn build(description: &LayerDescription, parameters: &Parameters<'_>) -> Result<Box<dyn Layer>, GnnError> {
    match description {
        #[cfg(feature = "gnn-gcn")]
        LayerDescription::Gcn(layer) => Ok(Box::new(super::gcn::Gcn::new(layer, parameters)?)),
        #[cfg(feature = "gnn-sage")]
        LayerDescription::Sage(layer) => super::sage::build(layer, parameters),
        #[cfg(feature = "gnn-gat")]
        LayerDescription::Gat(layer) => Ok(Box::new(super::gat::Gat::new(layer, parameters)?)),
        #[cfg(feature = "gnn-gin")]
        LayerDescription::Gin(layer) => Ok(Box::new(super::gin::Gin::new(layer, parameters)?)),
        LayerDescription::RuVector(layer) => Ok(Box::new(super::ruvector::RuVector::new(layer, parameters)?)),
        #[cfg(not(feature = "gnn-gcn"))]
        LayerDescription::Gcn(_) => Err(GnnError::NotCompiled { layer: "gcn", feature: "gnn-gcn" }),
        #[cfg(not(feature = "gnn-sage"))]
        LayerDescription::Sage(_) => Err(GnnError::NotCompiled { layer: "graphsage", feature: "gnn-sage" }),
        #[cfg(not(feature = "gnn-gat"))]
        LayerDescription::Gat(_) => Err(GnnError::NotCompiled { layer: "gat", feature: "gnn-gat" }),
        #[cfg(not(feature = "gnn-gin"))]
        LayerDescription::Gin(_) => Err(GnnError::NotCompiled { layer: "gin", feature: "gnn-gin" }),
    }
}

/// A model with its weights. It never changes, and any number of threads may run it; work is spread over the rayon
/// pool that a call runs in.
pub struct Model {
    description: ModelDescription,
    layers: Vec<Box<dyn Layer>>,
    /// Neighbours that each layer draws, where the layers are such that draw.
    sample_size: Option<usize>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("description", &self.description).finish_non_exhaustive()
    }
}

impl Model {
    /// The model of a description and its weights.
    ///
    /// # Errors
    /// Those of [`Weights::check`], and [`GnnError::NotCompiled`] for a type of layer that this build leaves out.
    pub fn new(description: &ModelDescription, weights: &Weights) -> Result<Self, GnnError> {
        weights.check(description)?;
        let described = description.layers()?;
        let sample_size = described.iter().find_map(|layer| match layer {
            LayerDescription::Sage(layer) => layer.sample_size,
            _ => None,
        });
        let layers = described
            .iter()
            .enumerate()
            .map(|(layer, description)| {
                build(description, &Parameters { weights, prefix: format!("layers.{layer}.") })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { description: description.clone(), layers, sample_size })
    }

    /// What the model is.
    #[must_use]
    pub fn description(&self) -> &ModelDescription {
        &self.description
    }

    /// How far away nodes may be that a node's row depends on, in edges.
    #[must_use]
    pub fn hops(&self) -> usize {
        self.layers.iter().map(|layer| layer.hops()).sum()
    }

    /// Rows of `output_dim` numbers for all nodes, from one row of `input_dim` numbers each. Where the description has
    /// a `sample_size`, each layer draws as many neighbours, the same ones for the same seed.
    ///
    /// # Errors
    /// [`GnnError::Shape`] for features of another width or number of rows than the graph has nodes,
    /// [`GnnError::NotFinite`] for NaN and infinities, [`GnnError::Cancelled`], and what the graph or the features
    /// report.
    pub fn forward(
        &self,
        graph: &dyn Adjacency,
        features: &dyn NodeFeatures,
        options: &Options<'_>,
    ) -> Result<Matrix, GnnError> {
        self.run_all(graph, features, self.sample_size, options, Vec::new())
    }

    /// As [`Model::forward`], into `out`, whatever shape that has: if its memory is large enough it is used again, which
    /// takes less time than fresh memory. On an error `out` is left empty.
    ///
    /// # Errors
    /// Those of [`Model::forward`].
    pub fn forward_into(
        &self,
        graph: &dyn Adjacency,
        features: &dyn NodeFeatures,
        options: &Options<'_>,
        out: &mut Matrix,
    ) -> Result<(), GnnError> {
        let spare = std::mem::take(out).into_data();
        *out = self.run_all(graph, features, self.sample_size, options, spare)?;
        Ok(())
    }

    /// As [`Model::forward`], with `sample_size` neighbours drawn for each node whatever the description says, in
    /// each layer anew. Hamilton, Ying & Leskovec, NeurIPS 2017.
    ///
    /// # Errors
    /// Those of [`Model::forward`]; [`GnnError::Config`] for a sample of nothing.
    pub fn forward_with_sampling(
        &self,
        graph: &dyn Adjacency,
        features: &dyn NodeFeatures,
        sample_size: usize,
        options: &Options<'_>,
    ) -> Result<Matrix, GnnError> {
        if sample_size == 0 {
            return Err(GnnError::Config {
                name: "sample_size",
                got: "0".into(),
                expected: "1 or more".into(),
            });
        }
        self.run_all(graph, features, Some(sample_size), options, Vec::new())
    }

    /// Rows for some nodes, in the order given: only what these depend on is read and computed.
    ///
    /// # Errors
    /// Those of [`Model::forward`]; [`GnnError::MissingNode`] for a node that is not there.
    pub fn forward_nodes(
        &self,
        graph: &dyn Adjacency,
        features: &dyn NodeFeatures,
        nodes: &[u32],
        options: &Options<'_>,
    ) -> Result<Matrix, GnnError> {
        options.check()?;
        Rows::of_all(features, graph, self.description.input_dim)?;
        let depths = self.hops();
        let field = Field::around(graph, nodes, depths)?;
        let selected = Selected::new(features, &field);
        let scales = self.scales(graph, field.nodes().par_iter().copied())?;
        let run = Run {
            graph: &field,
            numbers: field.nodes(),
            scales: &scales,
            sample_size: self.sample_size,
            spare: Spare::default(),
        };
        let made = self.run(&run, &selected, options, |reach| field.within(depths - reach))?;
        let data = field.positions().iter().flat_map(|&at| made.row(at as usize).iter().copied()).collect();
        Matrix::new(nodes.len(), made.cols(), data)
    }

    /// The query form of a model of one RuVector layer: `query` attends to the rows of `seeds` and the nodes around
    /// them, one hop farther in each of the layer's `num_hops` hops, and the sum of query and findings is mapped as a
    /// node's is. Seeds are the nodes that a search found for the query; the result is its enhanced embedding, of
    /// `output_dim` numbers.
    ///
    /// # Errors
    /// [`GnnError::Config`] for a model of another type or of several layers, [`GnnError::Shape`] for a query of
    /// another width, [`GnnError::MissingNode`] for a seed that is not there, and those of [`Model::forward`].
    pub fn attend_query(
        &self,
        graph: &dyn Adjacency,
        features: &dyn NodeFeatures,
        query: &[f32],
        seeds: &[u32],
    ) -> Result<Vec<f32>, GnnError> {
        let x = Rows::of_all(features, graph, self.description.input_dim)?;
        let (Some(layer), 1) = (self.layers[0].as_ruvector(), self.layers.len()) else {
            return Err(GnnError::Config {
                name: "layer_type",
                got: format!("{} layers of {}", self.layers.len(), self.description.layer_type),
                expected: "one layer of ruvector: only that attends from a query".into(),
            });
        };
        layer.attend_query(graph, x, query, seeds)
    }

    fn run_all(
        &self,
        graph: &dyn Adjacency,
        features: &dyn NodeFeatures,
        sample_size: Option<usize>,
        options: &Options<'_>,
        spare: Vec<f32>,
    ) -> Result<Matrix, GnnError> {
        options.check()?;
        Rows::of_all(features, graph, self.description.input_dim)?;
        let scales = self.scales(graph, (0..graph.nodes()).into_par_iter())?;
        let run = Run { graph, numbers: &[], scales: &scales, sample_size, spare: Mutex::new(spare) };
        self.run(&run, features, options, |_| graph.nodes() as usize)
    }

    /// 1 / √degree of the nodes, if a layer normalises.
    fn scales(
        &self,
        graph: &dyn Adjacency,
        nodes: impl IndexedParallelIterator<Item = u32>,
    ) -> Result<Vec<f32>, GnnError> {
        match self.layers.iter().find_map(|layer| layer.normalises()) {
            Some(self_loops) => degree_scales(graph, nodes, self_loops),
            None => Ok(Vec::new()),
        }
    }

    /// Runs the layers; `rows(reach)` says how many nodes are still needed after `reach` hops.
    fn run(
        &self,
        run: &Run<'_>,
        features: &dyn NodeFeatures,
        options: &Options<'_>,
        rows: impl Fn(usize) -> usize,
    ) -> Result<Matrix, GnnError> {
        let mut reach = 0;
        let mut made: Option<Matrix> = None;
        for (i, layer) in self.layers.iter().enumerate() {
            let sampled =
                run.sample_size.map(|size| Sampled::new(run.graph, run.numbers, size, options.seed, i));
            let graph = sampled.as_ref().map_or(run.graph, |sampled| sampled as &dyn Adjacency);
            let by_hop: Vec<usize> = (1..=layer.hops()).map(|hop| rows(reach + hop)).collect();
            reach += layer.hops();
            let pass = Pass {
                graph,
                rows: rows(reach),
                by_hop: &by_hop,
                scales: run.scales,
                options: *options,
                spare: &run.spare,
                layer: i,
                layers: self.layers.len(),
            };
            let x = match &made {
                Some(made) => rows_of(made)?,
                None => Rows::new(features, rows(0), self.description.input_dim)?,
            };
            if i == 0 {
                x.check_finite()?;
            }
            let mut next = layer.forward(&pass, x)?;
            if i + 1 < self.layers.len() {
                activate(self.description.activation, next.data_mut());
            }
            made = Some(next);
        }
        Ok(made.expect("a checked description has one layer or more"))
    }
}

/// What the layers of one run share.
struct Run<'a> {
    graph: &'a dyn Adjacency,
    /// Numbers of the nodes for sampling, where the graph has others.
    numbers: &'a [u32],
    scales: &'a [f32],
    sample_size: Option<usize>,
    spare: Spare,
}

fn activate(activation: Activation, numbers: &mut [f32]) {
    match activation {
        Activation::Relu => super::vector::relu(numbers),
        Activation::Elu => {
            for number in numbers.iter_mut().filter(|number| **number < 0.0) {
                *number = number.exp_m1();
            }
        }
        Activation::Identity => {}
    }
}
