//! Message passing for layers of one's own.

use super::aggregator::{Aggregator, AggregatorScratch};
use super::progress::{Options, Pass};
use super::rows::Rows;
use super::{Adjacency, Edges, GnnError, Matrix, NodeFeatures};

/// What a message may depend on beside the row that sends it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeData<'a> {
    /// The weight of the edge, by edge; 1 where the graph has no weights.
    pub weight: f32,
    /// Its features, none where the graph has none.
    pub features: &'a [f32],
}

/// A layer: a message along each edge, an aggregate at each node, and the node's new row. All three write into the
/// caller's slices, which are as long as the widths say. (Gilmer et al., ICML 2017.)
pub trait MessagePassing: Sync {
    /// Numbers in a message, where rows have `input`.
    fn message_width(&self, input: usize) -> usize {
        input
    }

    /// Numbers in what messages are aggregated to, where these have `message`.
    ///
    /// # Errors
    /// [`GnnError::Shape`] for messages that cannot be aggregated.
    fn aggregate_width(&self, message: usize) -> Result<usize, GnnError>;

    /// Numbers in a node's new row, where rows have `input` and aggregates `aggregate`.
    fn output_width(&self, input: usize, aggregate: usize) -> usize;

    /// Writes what goes from a node of row `x_j` along an edge.
    fn message(&self, x_j: &[f32], edge: EdgeData<'_>, out: &mut [f32]);

    /// Writes what `messages`, rows of `width` numbers (perhaps none), come to.
    fn aggregate(&self, messages: &[f32], width: usize, scratch: &mut AggregatorScratch, out: &mut [f32]);

    /// Writes the new row of a node of row `x_i`.
    fn update(&self, x_i: &[f32], aggregated: &[f32], out: &mut [f32]);
}

/// The layer without parameters of its own: messages are rows times weights of edges, the aggregate is the new row.
#[derive(Debug, Clone)]
pub struct Convolution {
    /// How messages come together.
    pub aggregator: Aggregator,
}

impl MessagePassing for Convolution {
    fn aggregate_width(&self, message: usize) -> Result<usize, GnnError> {
        self.aggregator.output_width(message)
    }

    fn output_width(&self, _: usize, aggregate: usize) -> usize {
        aggregate
    }

    fn message(&self, x_j: &[f32], edge: EdgeData<'_>, out: &mut [f32]) {
        out.iter_mut().zip(x_j).for_each(|(message, number)| *message = edge.weight * number);
    }

    fn aggregate(&self, messages: &[f32], width: usize, scratch: &mut AggregatorScratch, out: &mut [f32]) {
        self.aggregator.aggregate(messages, width, scratch, out);
    }

    fn update(&self, _: &[f32], aggregated: &[f32], out: &mut [f32]) {
        out.copy_from_slice(aggregated);
    }
}

/// Runs layers over graphs, in parallel over blocks of nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessagePassingEngine<'a> {
    /// Size of blocks, and what is called after each.
    pub options: Options<'a>,
}

#[derive(Default)]
struct Scratch {
    edges: Edges,
    row: Vec<f32>,
    messages: Vec<f32>,
    aggregated: Vec<f32>,
    aggregator: AggregatorScratch,
}

impl MessagePassingEngine<'_> {
    /// The new rows of all nodes. A node without edges aggregates no messages, and its row has the width of all
    /// others. Memory beside input and output is a row, an aggregate and the messages of one node for each thread.
    ///
    /// # Errors
    /// [`GnnError::Shape`] where features are not one row a node or a width is 0, [`GnnError::NotFinite`] for NaN and
    /// infinities, [`GnnError::Cancelled`], and what the graph, the features or the layer report.
    pub fn propagate(
        &self,
        graph: &dyn Adjacency,
        features: &dyn NodeFeatures,
        layer: &dyn MessagePassing,
    ) -> Result<Matrix, GnnError> {
        self.options.check()?;
        let pass = Pass::single(graph, &self.options);
        let x = Rows::of_all(features, graph, features.width())?;
        x.check_finite()?;
        let message = layer.message_width(x.width);
        let aggregate = layer.aggregate_width(message)?;
        let width = layer.output_width(x.width, aggregate);
        if [x.width, message, aggregate, width].contains(&0) {
            return Err(GnnError::Shape { what: "numbers in rows and messages", expected: 1, got: 0 });
        }
        let mut out = Matrix::zeros(pass.rows, width);
        pass.blocks(out.data_mut(), width, |scratch: &mut Scratch, first, out| {
            let Scratch { edges, row, messages, aggregated, aggregator } = scratch;
            aggregated.resize(aggregate, 0.0);
            let edge_width = graph.edge_feature_width();
            for (out, node) in out.chunks_exact_mut(width).zip(first..) {
                pass.read(node, edges)?;
                messages.resize(edges.len() * message, 0.0);
                for (edge, out) in messages.chunks_exact_mut(message).enumerate() {
                    let data =
                        EdgeData { weight: edges.weight(edge), features: edges.feature(edge, edge_width) };
                    layer.message(x.row(edges.sources[edge], row)?, data, out);
                }
                layer.aggregate(messages, message, aggregator, aggregated);
                layer.update(x.row(node, row)?, aggregated, out);
            }
            Ok(())
        })?;
        Ok(out)
    }
}
