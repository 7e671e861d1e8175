//! What is computed within the edges of each target.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::Incidence;
use super::kernel::{by_edge, by_row, sum_into_sources, sum_into_targets};
use crate::train::{numbers, with_numbers};

/// `(a [targets, heads], b [sources, heads]) → [edges, heads]`: the sum of the numbers of the two ends of each edge.
pub(crate) fn sum_of_ends(edges: &Arc<Incidence>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, SumOfEnds { edges: edges.clone() })
}

struct SumOfEnds {
    edges: Arc<Incidence>,
}

impl CustomOp2 for SumOfEnds {
    fn name(&self) -> &'static str {
        "sum of ends"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (numbers(a, a_layout, self.name())?, numbers(b, b_layout, self.name())?);
        let (edges, width) = (&self.edges, a_layout.dims()[1]);
        let sums = by_edge(edges.edge_count(), width, |edge, out| {
            let (target, source) = (edges.target(edge), edges.source(edge));
            let ends = a[target * width..][..width].iter().zip(&b[source * width..][..width]);
            out.iter_mut().zip(ends).for_each(|(out, (a, b))| *out = a + b);
        });
        Ok((CpuStorage::F32(sums), (edges.edge_count(), width).into()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _sums: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = a.dim(1)?;
        let (of_a, of_b) = with_numbers(gradient, self.name(), |g| {
            Ok((sum_into_targets(&self.edges, g, width), sum_into_sources(&self.edges, g, width)))
        })?;
        Ok((
            Some(Tensor::from_vec(of_a, a.shape(), a.device())?),
            Some(Tensor::from_vec(of_b, b.shape(), b.device())?),
        ))
    }
}

/// `x [edges, heads] → [edges, heads]`: the softmax over the edges of each target, head by head.
pub(crate) fn softmax(edges: &Arc<Incidence>, x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Softmax { edges: edges.clone() })
}

struct Softmax {
    edges: Arc<Incidence>,
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "edge softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (edges, width) = (&self.edges, layout.dims()[1]);
        let x = numbers(x, layout, self.name())?;
        let most = by_row(edges.target_count(), width, |target, most| {
            most.fill(f32::NEG_INFINITY);
            for edge in edges.edges_of(target) {
                most.iter_mut().zip(&x[edge * width..]).for_each(|(most, x)| *most = most.max(*x));
            }
        });
        let mut shares = by_edge(edges.edge_count(), width, |edge, out| {
            let most = &most[edges.target(edge) * width..][..width];
            let terms = out.iter_mut().zip(&x[edge * width..][..width]).zip(most);
            terms.for_each(|((out, x), most)| *out = (x - most).exp());
        });
        let sums = sum_into_targets(edges, &shares, width);
        for (edge, shares) in shares.chunks_exact_mut(width).enumerate() {
            let sums = &sums[edges.target(edge) * width..][..width];
            shares.iter_mut().zip(sums).for_each(|(share, sum)| *share /= sum);
        }
        Ok((CpuStorage::F32(shares), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, shares: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        // Of a share s with gradient g: s · (g − Σ s·g), summed over the edges of the target.
        let (edges, width) = (&self.edges, x.dim(1)?);
        let products = (shares * gradient)?;
        let means =
            with_numbers(&products, self.name(), |products| Ok(sum_into_targets(edges, products, width)))?;
        let of_x = with_numbers(shares, self.name(), |shares| {
            with_numbers(gradient, self.name(), |g| {
                Ok(by_edge(edges.edge_count(), width, |edge, out| {
                    let means = &means[edges.target(edge) * width..][..width];
                    let terms = shares[edge * width..].iter().zip(&g[edge * width..]).zip(means);
                    out.iter_mut().zip(terms).for_each(|(out, ((s, g), mean))| *out = s * (g - mean));
                }))
            })
        })?;
        Ok(Some(Tensor::from_vec(of_x, x.shape(), x.device())?))
    }
}

/// `x [sources, width] → [targets, width]`: the largest number of a target's sources, 0 where it has none.
///
/// The gradient of a maximum is shared evenly by the edges that reach it, as torch's `scatter_reduce` does.
pub(crate) fn maximum(edges: &Arc<Incidence>, x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Maximum { edges: edges.clone() })
}

struct Maximum {
    edges: Arc<Incidence>,
}

impl CustomOp1 for Maximum {
    fn name(&self) -> &'static str {
        "maximum"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (edges, width) = (&self.edges, layout.dims()[1]);
        let x = numbers(x, layout, self.name())?;
        let most = by_row(edges.target_count(), width, |target, most| {
            if !edges.edges_of(target).is_empty() {
                most.fill(f32::NEG_INFINITY);
            }
            for (_, source) in edges.incoming(target) {
                most.iter_mut().zip(&x[source * width..]).for_each(|(most, x)| *most = most.max(*x));
            }
        });
        Ok((CpuStorage::F32(most), (edges.target_count(), width).into()))
    }

    fn bwd(&self, x: &Tensor, most: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (edges, width, name) = (&self.edges, x.dim(1)?, self.name());
        let of_x = with_numbers(x, name, |x| {
            with_numbers(most, name, |most| {
                with_numbers(gradient, name, |g| Ok(shared_by_maxima(edges, x, most, g, width)))
            })
        })?;
        Ok(Some(Tensor::from_vec(of_x, x.shape(), x.device())?))
    }
}

fn shared_by_maxima(edges: &Incidence, x: &[f32], most: &[f32], g: &[f32], width: usize) -> Vec<f32> {
    let shares = by_row(edges.target_count(), width, |target, share| {
        let most = &most[target * width..][..width];
        for (_, source) in edges.incoming(target) {
            let reached = most.iter().zip(&x[source * width..]);
            share.iter_mut().zip(reached).for_each(|(n, (most, x))| *n += f32::from(u8::from(most == x)));
        }
        share.iter_mut().zip(&g[target * width..]).for_each(|(share, g)| *share = g / share.max(1.0));
    });
    by_row(edges.source_count(), width, |source, sum| {
        let x = &x[source * width..][..width];
        for (_, target) in edges.outgoing(source) {
            let reached = most[target * width..].iter().zip(x).zip(&shares[target * width..]);
            let terms = sum.iter_mut().zip(reached).filter(|(_, ((most, x), _))| most == x);
            terms.for_each(|(sum, (_, share))| *sum += share);
        }
    })
}
