//! Loops over edges, in parallel over rows of the result. Each number is summed by one thread in the order of the edges,
//! so that results do not depend on the number of threads.

use rayon::prelude::*;

use super::Incidence;

/// Rows that one thread takes on at a time.
const ROWS_PER_TASK: usize = 64;
/// Edges that one thread takes on at a time.
const EDGES_PER_TASK: usize = 1024;

/// What a row is multiplied with on its way along an edge.
#[derive(Clone, Copy)]
pub(super) enum Factor<'f> {
    One,
    /// A number for each edge.
    Edge(&'f [f32]),
    /// So many numbers for each edge, one for each stretch of a row.
    Heads(&'f [f32], usize),
}

impl Factor<'_> {
    /// Adds `x`, multiplied, to `sum`.
    fn add(self, edge: usize, x: &[f32], sum: &mut [f32]) {
        match self {
            Factor::One => sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x),
            Factor::Edge(factors) => {
                let factor = factors[edge];
                sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += factor * x);
            }
            Factor::Heads(factors, heads) => {
                let stretch = x.len() / heads;
                let factors = &factors[edge * heads..][..heads];
                let stretches = sum.chunks_exact_mut(stretch).zip(x.chunks_exact(stretch)).zip(factors);
                stretches.for_each(|((sum, x), factor)| {
                    sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += factor * x);
                });
            }
        }
    }
}

/// Fills rows of `width` numbers.
pub(super) fn by_row(rows: usize, width: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    in_tasks(rows, width, ROWS_PER_TASK, fill)
}

/// Fills `width` numbers for each edge.
pub(super) fn by_edge(edges: usize, width: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    in_tasks(edges, width, EDGES_PER_TASK, fill)
}

fn in_tasks(rows: usize, width: usize, task: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut filled = vec![0.0; rows * width];
    filled.par_chunks_mut(task * width).enumerate().for_each(|(at, block)| {
        let rows = block.chunks_exact_mut(width).enumerate();
        rows.for_each(|(row, out)| fill(at * task + row, out));
    });
    filled
}

/// For each target, the sum of the rows of its sources.
pub(super) fn gather(edges: &Incidence, factor: Factor<'_>, x: &[f32], width: usize) -> Vec<f32> {
    by_row(edges.target_count(), width, |target, sum| {
        for (edge, source) in edges.incoming(target) {
            factor.add(edge, &x[source * width..][..width], sum);
        }
    })
}

/// For each source, the sum of the rows of its targets: the transposed product.
pub(super) fn scatter(edges: &Incidence, factor: Factor<'_>, x: &[f32], width: usize) -> Vec<f32> {
    by_row(edges.source_count(), width, |source, sum| {
        for (edge, target) in edges.outgoing(source) {
            factor.add(edge, &x[target * width..][..width], sum);
        }
    })
}

/// For each edge and head, the dot product of that stretch of its target's and its source's row.
pub(super) fn dots(edges: &Incidence, heads: usize, targets: &[f32], sources: &[f32]) -> Vec<f32> {
    let width = targets.len() / edges.target_count().max(1);
    let stretch = width / heads;
    by_edge(edges.edge_count(), heads, |edge, out| {
        let target = &targets[edges.target(edge) * width..][..width];
        let source = &sources[edges.source(edge) * width..][..width];
        let stretches = target.chunks_exact(stretch).zip(source.chunks_exact(stretch));
        for (out, (a, b)) in out.iter_mut().zip(stretches) {
            *out = a.iter().zip(b).map(|(a, b)| a * b).sum();
        }
    })
}

/// For each target, the sum of the numbers of its edges.
pub(super) fn sum_into_targets(edges: &Incidence, of_edges: &[f32], width: usize) -> Vec<f32> {
    by_row(edges.target_count(), width, |target, sum| {
        for edge in edges.edges_of(target) {
            Factor::One.add(edge, &of_edges[edge * width..][..width], sum);
        }
    })
}

/// For each source, the sum of the numbers of its edges.
pub(super) fn sum_into_sources(edges: &Incidence, of_edges: &[f32], width: usize) -> Vec<f32> {
    by_row(edges.source_count(), width, |source, sum| {
        for (edge, _) in edges.outgoing(source) {
            Factor::One.add(edge, &of_edges[edge * width..][..width], sum);
        }
    })
}
