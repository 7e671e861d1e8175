//! Models that score the edges of a node while a search is at it.

use std::fmt;
use std::path::Path;

use redknot_index::{Metric, UnknownName};

use super::graph::{Dim, value_info};
use super::metadata::METRIC;
use super::pool::Pool;
use super::runtime::{self, Backend, Input, Output};
use super::validate::{Parsed, parse, read};
use super::{ModelInfo, OnnxError};

/// Edges that are scored in one call, at most.
pub const MAX_EDGES: usize = 1 << 16;

const NODE: &str = "node_features";
const EDGES: &str = "edge_features";
const QUERY: &str = "query";
const SCORES: &str = "edge_scores";

/// An ONNX model with the contract of edge scoring: `node_features [1, node_dim]`, `edge_features [E, edge_dim]` and
/// `query [1, dim]` give `edge_scores [E]` or `[E, 1]`, all of f32, for any number of edges E.
///
/// Shared by threads: each call has a session of its own, and as many are kept as there were calls at a time.
pub struct OnnxEdgeModel {
    pool: Pool,
    backend: Backend,
    info: ModelInfo,
    node_dim: usize,
    edge_dim: usize,
    query_dim: usize,
    metric: Option<Metric>,
    /// The order in which the graph has its three inputs.
    order: [&'static str; 3],
}

impl OnnxEdgeModel {
    /// Opens the model of a file.
    ///
    /// # Errors
    /// What [`super::validate_onnx_model`] finds, [`OnnxError::Contract`] where inputs or outputs are others than the
    /// contract's or its metadata names no metric that there is, [`OnnxError::Runtime`] where the runtime refuses it.
    pub fn open(path: impl AsRef<Path>) -> Result<OnnxEdgeModel, OnnxError> {
        OnnxEdgeModel::from_bytes(&read(path.as_ref())?)
    }

    /// Opens a model in memory.
    ///
    /// # Errors
    /// As [`OnnxEdgeModel::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<OnnxEdgeModel, OnnxError> {
        OnnxEdgeModel::from_bytes_on(bytes, Backend::chosen())
    }

    /// Opens a model on a runtime of the caller's choice.
    ///
    /// # Errors
    /// As [`OnnxEdgeModel::open`], and [`OnnxError::NoBackend`].
    pub fn from_bytes_on(bytes: &[u8], backend: Backend) -> Result<OnnxEdgeModel, OnnxError> {
        let Parsed { info, mut model } = parse(bytes)?;
        let (order, [node_dim, edge_dim, query_dim]) = contract(&info)?;
        let metric = info.metadata.get(METRIC).map(|name| {
            name.parse().map_err(|_: UnknownName| OnnxError::Contract {
                what: METRIC,
                expected: Metric::ALL.map(|metric| metric.to_string()).join(", "),
                got: name.clone(),
            })
        });
        let metric = metric.transpose()?;
        // The shapes it is run with, whatever the file calls its dimensions.
        if let Some(graph) = &mut model.graph {
            graph.input = order
                .map(|name| match name {
                    NODE => value_info(name, &[Dim::Fixed(1), Dim::Fixed(node_dim)]),
                    EDGES => value_info(name, &[Dim::Any("E"), Dim::Fixed(edge_dim)]),
                    _ => value_info(name, &[Dim::Fixed(1), Dim::Fixed(query_dim)]),
                })
                .into();
        }
        let pool = runtime::open(backend, model)?;
        let model = OnnxEdgeModel { pool, backend, info, node_dim, edge_dim, query_dim, metric, order };
        // A model that cannot be run at all says so now.
        let (node, edges, query) = (vec![0.0; node_dim], vec![0.0; 2 * edge_dim], vec![0.0; query_dim]);
        model.run(&node, &edges, &query, 2)?;
        Ok(model)
    }

    /// Numbers that describe the node.
    pub fn node_dim(&self) -> usize {
        self.node_dim
    }

    /// Numbers that describe an edge.
    pub fn edge_dim(&self) -> usize {
        self.edge_dim
    }

    /// Components of a query.
    pub fn query_dim(&self) -> usize {
        self.query_dim
    }

    /// The metric that it was trained for: what `redknot.metric` of its metadata says, if that is there.
    pub fn metric(&self) -> Option<Metric> {
        self.metric
    }

    /// What the file says of the model.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// What runs the model.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Replaces `scores` by one score for each edge: `node` has [`OnnxEdgeModel::node_dim`] numbers, `edges`
    /// [`OnnxEdgeModel::edge_dim`] for each edge, one edge behind the other, and `query` [`OnnxEdgeModel::query_dim`].
    ///
    /// # Errors
    /// [`OnnxError::Shape`] for inputs of another length, [`OnnxError::TooManyEdges`], [`OnnxError::Scores`] and
    /// [`OnnxError::NotFinite`] where the model returns no score for each edge, [`OnnxError::Runtime`] where it fails.
    /// `scores` is empty then.
    pub fn score(
        &self,
        node: &[f32],
        edges: &[f32],
        query: &[f32],
        scores: &mut Vec<f32>,
    ) -> Result<(), OnnxError> {
        scores.clear();
        let count = edges.len() / self.edge_dim;
        let lengths = [
            (NODE, self.node_dim, node.len()),
            (EDGES, count * self.edge_dim, edges.len()),
            (QUERY, self.query_dim, query.len()),
        ];
        for (what, expected, got) in lengths {
            if got != expected {
                return Err(OnnxError::Shape { what, expected, got });
            }
        }
        if count > MAX_EDGES {
            return Err(OnnxError::TooManyEdges { got: count, limit: MAX_EDGES });
        }
        if count == 0 {
            return Ok(());
        }
        *scores = self.run(node, edges, query, count)?.values;
        if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
            scores.clear();
            return Err(OnnxError::NotFinite { what: SCORES, index });
        }
        Ok(())
    }

    fn run(&self, node: &[f32], edges: &[f32], query: &[f32], count: usize) -> Result<Output, OnnxError> {
        let shapes = [[1, self.node_dim], [count, self.edge_dim], [1, self.query_dim]];
        let inputs = self.order.map(|name| {
            let (shape, values) = match name {
                NODE => (&shapes[0], node),
                EDGES => (&shapes[1], edges),
                _ => (&shapes[2], query),
            };
            Input { name, shape, values }
        });
        let mut outputs = self.pool.run(&inputs)?;
        // There is one, see `contract`.
        let output = outputs.pop().unwrap_or(Output { shape: Vec::new(), values: Vec::new() });
        let fits = output.shape == [count] || output.shape == [count, 1];
        if !fits || output.values.len() != count {
            return Err(OnnxError::Scores { edges: count, got: output.shape });
        }
        Ok(output)
    }
}

/// The order of the inputs, and the numbers of features of a node, an edge and a query.
fn contract(info: &ModelInfo) -> Result<([&'static str; 3], [usize; 3]), OnnxError> {
    let names: Vec<&str> = info.input_dims.iter().map(|(name, _)| name.as_str()).collect();
    let known = |name: &str| [NODE, EDGES, QUERY].into_iter().find(|known| *known == name);
    let order: Option<Vec<&'static str>> = names.iter().map(|name| known(name)).collect();
    // Names are not there twice: that was validated.
    let order = order.and_then(|order| <[&'static str; 3]>::try_from(order).ok());
    let order = order.ok_or_else(|| OnnxError::Contract {
        what: "the inputs",
        expected: format!("{NODE}, {EDGES} and {QUERY}"),
        got: names.join(", "),
    })?;
    let dim_of = |name: &'static str, rows: &[i64], expected: &str| {
        let dims = info.input_dims.iter().find(|(input, _)| input == name).map_or(&[][..], |(_, dims)| dims);
        match dims {
            [first, columns] if rows.contains(first) && *columns > 0 => Ok(*columns as usize),
            _ => Err(OnnxError::Contract { what: name, expected: expected.into(), got: format!("{dims:?}") }),
        }
    };
    let dims = [
        dim_of(NODE, &[1, -1], "[1, node_dim] with a fixed node_dim")?,
        dim_of(EDGES, &[-1], "[-1, edge_dim] (any number of edges) with a fixed edge_dim")?,
        dim_of(QUERY, &[1, -1], "[1, dim] with a fixed dim")?,
    ];
    match &info.output_dims[..] {
        [(name, dims)] if name == SCORES && matches!(dims[..], [] | [-1] | [-1, 1 | -1]) => {}
        outputs => {
            return Err(OnnxError::Contract {
                what: "the outputs",
                expected: format!("{SCORES} [-1] or [-1, 1] alone"),
                got: format!("{outputs:?}"),
            });
        }
    }
    Ok((order, dims))
}

impl fmt::Debug for OnnxEdgeModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, node_dim, edge_dim, query_dim, .. } = self;
        f.debug_struct("OnnxEdgeModel")
            .field("backend", backend)
            .field("node_dim", node_dim)
            .field("edge_dim", edge_dim)
            .field("query_dim", query_dim)
            .finish_non_exhaustive()
    }
}
