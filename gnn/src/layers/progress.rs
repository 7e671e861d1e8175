//! How a pass is run and watched, and its division into blocks of nodes.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rayon::prelude::*;

use super::{Adjacency, Edges, GnnError, Matrix};

/// How far a pass is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The layer that runs, from 0.
    pub layer: usize,
    /// Layers of the pass.
    pub layers: usize,
    /// Nodes of this layer that are finished.
    pub done: usize,
    /// Nodes of this layer.
    pub total: usize,
}

/// What is called after each block of nodes, from any thread; [`ControlFlow::Break`] ends the pass with
/// [`GnnError::Cancelled`].
pub type OnProgress<'a> = &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync);

/// How a pass is run.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Nodes that are worked on together, 1 to 65,536. What a thread needs beside input and output grows with it.
    pub block: usize,
    /// Seed of neighbour sampling, where a model samples.
    pub seed: u64,
    /// What is called after each block.
    pub on_progress: Option<OnProgress<'a>>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { block: 128, seed: 0, on_progress: None }
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("block", &self.block)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Options<'_> {
    pub(super) fn check(&self) -> Result<(), GnnError> {
        if (1..=65_536).contains(&self.block) {
            return Ok(());
        }
        Err(GnnError::Config { name: "block", got: self.block.to_string(), expected: "1 to 65536".into() })
    }
}

/// One layer's work: which nodes it computes, over which graph.
pub(super) struct Pass<'a> {
    pub(super) graph: &'a dyn Adjacency,
    /// The nodes from 0 to here are computed.
    pub(super) rows: usize,
    /// For a layer of several hops, how many nodes the next hop still needs of each; the last is `rows`.
    pub(super) by_hop: &'a [usize],
    /// 1 / √degree by node, for layers that normalise.
    pub(super) scales: &'a [f32],
    pub(super) options: Options<'a>,
    pub(super) spare: &'a Spare,
    pub(super) layer: usize,
    pub(super) layers: usize,
}

/// Memory that may be used again, or none: clearing fresh memory takes some percent of what a layer does.
pub(super) type Spare = Mutex<Vec<f32>>;

static NONE_SPARE: Spare = Mutex::new(Vec::new());

impl<'a> Pass<'a> {
    /// A pass of one layer over all nodes.
    pub(super) fn single(graph: &'a dyn Adjacency, options: &Options<'a>) -> Self {
        Self {
            graph,
            rows: graph.nodes() as usize,
            by_hop: &[],
            scales: &[],
            options: *options,
            spare: &NONE_SPARE,
            layer: 0,
            layers: 1,
        }
    }

    /// A matrix whose numbers may be any until they are written.
    pub(super) fn matrix(&self, rows: usize, cols: usize) -> Matrix {
        // Memory that has to grow would be cleared here, by one thread; fresh memory is cleared by those that write to it.
        let spare = std::mem::take(&mut *self.spare.lock());
        if spare.capacity() >= rows * cols {
            Matrix::reusing(spare, rows, cols)
        } else {
            Matrix::zeros(rows, cols)
        }
    }

    /// Reads the edges into `node` and checks what the graph promises of them.
    pub(super) fn read(&self, node: u32, edges: &mut Edges) -> Result<(), GnnError> {
        read_checked(self.graph, node, edges)
    }

    /// Has the rows of `out`, `width` numbers each, written in blocks: `work` gets its thread's scratch, the number
    /// of the block's first node, and the block.
    pub(super) fn blocks<S: Default + Send>(
        &self,
        out: &mut [f32],
        width: usize,
        work: impl Fn(&mut S, u32, &mut [f32]) -> Result<(), GnnError> + Sync,
    ) -> Result<(), GnnError> {
        let done = AtomicUsize::new(0);
        let total = out.len() / width;
        out.par_chunks_mut(self.options.block * width).enumerate().try_for_each_init(
            S::default,
            |scratch, (block, out)| {
                work(scratch, (block * self.options.block) as u32, out)?;
                let finished = out.len() / width;
                let done = done.fetch_add(finished, Ordering::Relaxed) + finished;
                let progress = Progress { layer: self.layer, layers: self.layers, done, total };
                match self.options.on_progress.map(|callback| callback(progress)) {
                    Some(ControlFlow::Break(())) => Err(GnnError::Cancelled { done, total }),
                    _ => Ok(()),
                }
            },
        )
    }
}

/// Reads the edges into `node` and checks what the graph promises of them.
pub(super) fn read_checked(graph: &dyn Adjacency, node: u32, edges: &mut Edges) -> Result<(), GnnError> {
    graph.read_edges(node, edges)?;
    let nodes = graph.nodes();
    if let Some((edge, &node)) = edges.sources.iter().enumerate().find(|&(_, &source)| source >= nodes) {
        return Err(GnnError::MissingNode { edge, node, nodes });
    }
    let (count, width) = (edges.len(), graph.edge_feature_width());
    if !edges.weights.is_empty() && edges.weights.len() != count {
        return Err(GnnError::Shape { what: "weights of edges", expected: count, got: edges.weights.len() });
    }
    if edges.features.len() != count * width {
        let got = edges.features.len();
        return Err(GnnError::Shape { what: "features of edges", expected: count * width, got });
    }
    Ok(())
}
