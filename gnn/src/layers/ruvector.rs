//! Multi-hop attention along a graph, from every node or from a query. [`super::RuVectorDescription`] defines it.

use std::collections::HashSet;

use super::attention::{Attention, Buffers};
use super::degree::keep_one_loop;
use super::linear::{Linear, rows_of};
use super::model::{Layer, Parameters};
use super::progress::{Pass, read_checked};
use super::rows::Rows;
use super::vector::first_not_finite;
use super::{Adjacency, Edges, GnnError, Matrix, RuVectorDescription};

pub(super) struct RuVector {
    hops: usize,
    attention: Attention,
    linear: Linear,
    /// With one head, the linear map of what was found, and the bias of both.
    found: Option<Linear>,
}

#[derive(Default)]
struct Scratch {
    edges: Edges,
    attention: Buffers,
    own: Vec<f32>,
    rows: Vec<f32>,
    state: Vec<f32>,
}

impl RuVector {
    pub(super) fn new(
        description: &RuVectorDescription,
        parameters: &Parameters<'_>,
    ) -> Result<Self, GnnError> {
        let attention = Attention::new("attention", description.heads, description.input_dim, parameters)?;
        let linear = parameters.linear("lin")?;
        let found = (description.heads == 1).then(|| linear.after(&attention.output));
        Ok(Self { hops: description.num_hops, attention, linear, found })
    }

    /// Has the nodes of a block attend; their own rows are in `x`.
    fn attend(
        &self,
        pass: &Pass<'_>,
        x: Rows<'_>,
        scratch: &mut Scratch,
        first: u32,
        count: usize,
    ) -> Result<(), GnnError> {
        self.attention.ask(x.range(first, count, &mut scratch.own)?, &mut scratch.attention);
        for row in 0..count {
            let node = first + row as u32;
            pass.read(node, &mut scratch.edges)?;
            scratch.edges.weights.clear();
            keep_one_loop(node, &mut scratch.edges);
            let sources = &mut scratch.edges.sources;
            let table = x.table(sources, &mut scratch.rows)?;
            self.attention.attend(row, table, sources, &mut scratch.attention);
        }
        Ok(())
    }

    /// The states of the first `rows` nodes after one more hop.
    fn hop(&self, pass: &Pass<'_>, x: Rows<'_>, rows: usize) -> Result<Matrix, GnnError> {
        let width = x.width;
        let mut out = pass.matrix(rows, width);
        pass.blocks(out.data_mut(), width, |scratch: &mut Scratch, first, out| {
            let count = out.len() / width;
            self.attend(pass, x, scratch, first, count)?;
            out.copy_from_slice(x.range(first, count, &mut scratch.own)?);
            self.attention.add_found(&mut scratch.attention, out);
            Ok(())
        })?;
        Ok(out)
    }

    /// The last hop, and the linear map of the states after it.
    fn last_hop(&self, pass: &Pass<'_>, x: Rows<'_>) -> Result<Matrix, GnnError> {
        let width = self.linear.output;
        let mut out = pass.matrix(pass.rows, width);
        pass.blocks(out.data_mut(), width, |scratch: &mut Scratch, first, out| {
            let count = out.len() / width;
            self.attend(pass, x, scratch, first, count)?;
            let own = x.range(first, count, &mut scratch.own)?;
            if let Some(found) = &self.found {
                found.apply(&scratch.attention.found, out);
                self.linear.add(own, out);
            } else {
                scratch.state.clear();
                scratch.state.extend_from_slice(own);
                self.attention.add_found(&mut scratch.attention, &mut scratch.state);
                self.linear.apply(&scratch.state, out);
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// The query form: see [`super::Model::attend_query`].
    pub(super) fn attend_query(
        &self,
        graph: &dyn Adjacency,
        x: Rows<'_>,
        query: &[f32],
        seeds: &[u32],
    ) -> Result<Vec<f32>, GnnError> {
        if query.len() != x.width {
            return Err(GnnError::Shape {
                what: "numbers in the query",
                expected: x.width,
                got: query.len(),
            });
        }
        if let Some(index) = first_not_finite(query) {
            return Err(GnnError::NotFinite { what: "query at", index, got: query[index] });
        }
        let mut walk = Walk::from(graph, seeds)?;
        let mut state = query.to_vec();
        let mut buffers = Buffers::default();
        let mut rows = Vec::new();
        for _ in 0..self.hops {
            walk.widen(graph)?;
            if walk.nodes.is_empty() {
                break;
            }
            let mut sources = walk.nodes.clone();
            let table = x.table(&mut sources, &mut rows)?;
            self.attention.ask(&state, &mut buffers);
            self.attention.attend(0, table, &sources, &mut buffers);
            self.attention.add_found(&mut buffers, &mut state);
        }
        let mut out = vec![0.0; self.linear.output];
        self.linear.apply(&state, &mut out);
        match first_not_finite(&out) {
            Some(index) => Err(GnnError::NotFinite { what: "enhanced embedding at", index, got: out[index] }),
            None => Ok(out),
        }
    }
}

impl Layer for RuVector {
    fn forward(&self, pass: &Pass<'_>, x: Rows<'_>) -> Result<Matrix, GnnError> {
        let mut state: Option<Matrix> = None;
        for &rows in &pass.by_hop[..self.hops - 1] {
            let next = match &state {
                Some(state) => self.hop(pass, rows_of(state)?, rows)?,
                None => self.hop(pass, x, rows)?,
            };
            state = Some(next);
        }
        match &state {
            Some(state) => self.last_hop(pass, rows_of(state)?),
            None => self.last_hop(pass, x),
        }
    }

    fn hops(&self) -> usize {
        self.hops
    }

    fn as_ruvector(&self) -> Option<&RuVector> {
        Some(self)
    }
}

/// The nodes that a query has reached, in the order in which it met them.
struct Walk {
    nodes: Vec<u32>,
    met: HashSet<u32>,
    /// Where the nodes begin whose neighbours are not fetched yet.
    rim: usize,
}

impl Walk {
    fn from(graph: &dyn Adjacency, seeds: &[u32]) -> Result<Self, GnnError> {
        let mut walk = Self { nodes: Vec::new(), met: HashSet::new(), rim: 0 };
        for (edge, &node) in seeds.iter().enumerate() {
            if node >= graph.nodes() {
                return Err(GnnError::MissingNode { edge, node, nodes: graph.nodes() });
            }
            walk.meet(node);
        }
        Ok(walk)
    }

    /// Takes the walk one hop farther, to the sources of the edges into the nodes at its rim.
    fn widen(&mut self, graph: &dyn Adjacency) -> Result<(), GnnError> {
        let end = self.nodes.len();
        let mut edges = Edges::default();
        for at in self.rim..end {
            read_checked(graph, self.nodes[at], &mut edges)?;
            edges.sources.iter().for_each(|&source| self.meet(source));
        }
        self.rim = end;
        Ok(())
    }

    fn meet(&mut self, node: u32) {
        if self.met.insert(node) {
            self.nodes.push(node);
        }
    }
}
