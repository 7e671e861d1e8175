//! Graph attention: each head weighs a node's neighbours by what both ends, and the edge, score together.
//! Veličković et al., ICLR 2018; features of edges as in PyTorch Geometric's `GATConv`.

use super::linear::Linear;
use super::model::{Layer, Parameters};
use super::progress::Pass;
use super::rows::Rows;
use super::vector::{Table, add_rows, add_scaled, dot, softmax};
use super::{Edges, GatDescription, GnnError, Matrix};

pub(super) struct Gat {
    description: GatDescription,
    linear: Linear,
    bias: Option<Vec<f32>>,
    /// Attention vectors of sources and targets, head after head.
    source: Vec<f32>,
    target: Vec<f32>,
    /// `W_eᵀ a_e` by head: features of an edge are scored without being mapped.
    edge: Vec<f32>,
}

impl Gat {
    pub(super) fn new(description: &GatDescription, parameters: &Parameters<'_>) -> Result<Self, GnnError> {
        let GatDescription { input_dim, head_dim, heads, .. } = *description;
        let bias = description.bias.then(|| parameters.get("bias").map(<[f32]>::to_vec)).transpose()?;
        let mut edge = Vec::new();
        if let Some(width) = description.edge_dim {
            let (map, attention) = (parameters.get("lin_edge.weight")?, parameters.get("att_edge")?);
            for (map, attention) in map.chunks_exact(head_dim * width).zip(attention.chunks_exact(head_dim)) {
                for feature in 0..width {
                    edge.push(map.chunks_exact(width).zip(attention).map(|(row, a)| row[feature] * a).sum());
                }
            }
        }
        Ok(Self {
            description: description.clone(),
            linear: Linear::new(parameters.get("lin.weight")?, heads * head_dim, input_dim, None),
            bias,
            source: parameters.get("att_src")?.to_vec(),
            target: parameters.get("att_dst")?.to_vec(),
            edge,
        })
    }

    /// What each head of each row scores as a source and as a target: `[row][head][source, target]`.
    fn scores(&self, pass: &Pass<'_>, mapped: &Matrix) -> Result<Vec<f32>, GnnError> {
        let GatDescription { head_dim, heads, .. } = self.description;
        let mut scores = vec![0.0; mapped.rows() * heads * 2];
        pass.blocks(&mut scores, heads * 2, |(): &mut (), first, out| {
            for (out, node) in out.chunks_exact_mut(heads * 2).zip(first as usize..) {
                let row = mapped.row(node).chunks_exact(head_dim);
                let vectors = self.source.chunks_exact(head_dim).zip(self.target.chunks_exact(head_dim));
                for ((out, head), (source, target)) in out.chunks_exact_mut(2).zip(row).zip(vectors) {
                    out[0] = dot(head, source);
                    out[1] = dot(head, target);
                }
            }
            Ok(())
        })?;
        Ok(scores)
    }

    /// Writes the row of one node: the heads side by side.
    fn attend(&self, edges: &Edges, node: u32, mapped: &Mapped, shares: &mut Vec<f32>, out: &mut [f32]) {
        let GatDescription { head_dim, heads, negative_slope, edge_dim, .. } = self.description;
        let score =
            |node: u32, head: usize, end: usize| mapped.scores[(node as usize * heads + head) * 2 + end];
        shares.resize(edges.len(), 0.0);
        out.fill(0.0);
        for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
            let own = score(node, head, 1);
            for (edge, share) in shares.iter_mut().enumerate() {
                let mut logit = score(edges.sources[edge], head, 0) + own;
                if let Some(width) = edge_dim {
                    logit += dot(edges.feature(edge, width), &self.edge[head * width..(head + 1) * width]);
                }
                *share = if logit < 0.0 { logit * negative_slope } else { logit };
            }
            softmax(shares);
            let table =
                Table { numbers: mapped.rows.data(), stride: heads * head_dim, first: head * head_dim };
            add_rows(out, table, &edges.sources, shares);
        }
    }
}

/// Rows after the linear map, and what each scores: `[row][head][source, target]`.
struct Mapped {
    rows: Matrix,
    scores: Vec<f32>,
}

#[derive(Default)]
struct Scratch {
    edges: Edges,
    shares: Vec<f32>,
    heads: Vec<f32>,
}

impl Layer for Gat {
    fn forward(&self, pass: &Pass<'_>, x: Rows<'_>) -> Result<Matrix, GnnError> {
        let GatDescription { head_dim, heads, concat, self_loops, edge_dim, .. } = self.description;
        if let Some(expected) = edge_dim.filter(|&width| width != pass.graph.edge_feature_width()) {
            let got = pass.graph.edge_feature_width();
            return Err(GnnError::Shape { what: "numbers in features of an edge", expected, got });
        }
        let edge_width = pass.graph.edge_feature_width();
        let rows = self.linear.materialise(pass, x, |_| {})?;
        let mapped = Mapped { scores: self.scores(pass, &rows)?, rows };
        let width = if concat { heads * head_dim } else { head_dim };
        let mut out = pass.matrix(pass.rows, width);
        pass.blocks(out.data_mut(), width, |scratch: &mut Scratch, first, out| {
            let Scratch { edges, shares, heads: row } = scratch;
            row.resize(heads * head_dim, 0.0);
            for (out, node) in out.chunks_exact_mut(width).zip(first..) {
                pass.read(node, edges)?;
                if self_loops {
                    mean_loop(node, edges, edge_width);
                }
                if concat {
                    self.attend(edges, node, &mapped, shares, out);
                } else {
                    self.attend(edges, node, &mapped, shares, row);
                    out.fill(0.0);
                    for head in row.chunks_exact(head_dim) {
                        add_scaled(out, 1.0 / heads as f32, head);
                    }
                }
                for (number, bias) in out.iter_mut().zip(self.bias.iter().flatten()) {
                    *number += bias;
                }
            }
            Ok(())
        })?;
        Ok(out)
    }
}

/// Takes loops out and adds one, whose features are the mean over the other edges (0 where there are none).
fn mean_loop(node: u32, edges: &mut Edges, width: usize) {
    let mut kept = 0;
    for edge in 0..edges.len() {
        if edges.sources[edge] != node {
            edges.sources[kept] = edges.sources[edge];
            edges.features.copy_within(edge * width..(edge + 1) * width, kept * width);
            kept += 1;
        }
    }
    edges.weights.clear();
    edges.sources.truncate(kept);
    edges.sources.push(node);
    edges.features.truncate(kept * width);
    for feature in 0..width {
        let sum: f32 = (0..kept).map(|edge| edges.features[edge * width + feature]).sum();
        edges.features.push(sum / kept.max(1) as f32);
    }
}
