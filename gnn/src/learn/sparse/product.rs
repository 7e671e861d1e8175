//! Sums over edges as functions of rows.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::Incidence;
use super::kernel::{Factor, dots, gather, scatter};
use crate::train::{numbers, with_numbers};

/// `x [sources, width] → [targets, width]`: the product with a sparse constant matrix.
pub(crate) fn product(edges: &Arc<Incidence>, weights: Option<&Arc<[f32]>>, x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Product { edges: edges.clone(), weights: weights.cloned() })
}

struct Product {
    edges: Arc<Incidence>,
    weights: Option<Arc<[f32]>>,
}

impl Product {
    fn factor(&self) -> Factor<'_> {
        self.weights.as_deref().map_or(Factor::One, Factor::Edge)
    }
}

impl CustomOp1 for Product {
    fn name(&self) -> &'static str {
        "sparse product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = layout.dims()[1];
        let sums = gather(&self.edges, self.factor(), numbers(x, layout, self.name())?, width);
        Ok((CpuStorage::F32(sums), (self.edges.target_count(), width).into()))
    }

    fn bwd(&self, x: &Tensor, _sums: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let width = x.dim(1)?;
        let of_x =
            with_numbers(gradient, self.name(), |g| Ok(scatter(&self.edges, self.factor(), g, width)))?;
        Ok(Some(Tensor::from_vec(of_x, x.shape(), x.device())?))
    }
}

/// `(x [sources, heads · c], factors [edges, heads]) → [targets, heads · c]`: sums of rows, each stretch of `c` numbers
/// multiplied with the factor of its edge and head.
pub(crate) fn attend(edges: &Arc<Incidence>, x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&factors.contiguous()?, Attend { edges: edges.clone() })
}

struct Attend {
    edges: Arc<Incidence>,
}

impl CustomOp2 for Attend {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        factors: &CpuStorage,
        factors_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (width, heads) = (x_layout.dims()[1], factors_layout.dims()[1]);
        let factors = numbers(factors, factors_layout, self.name())?;
        let x = numbers(x, x_layout, self.name())?;
        let sums = gather(&self.edges, Factor::Heads(factors, heads), x, width);
        Ok((CpuStorage::F32(sums), (self.edges.target_count(), width).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        factors: &Tensor,
        _sums: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (width, heads, name) = (x.dim(1)?, factors.dim(1)?, self.name());
        let (of_x, of_factors) = with_numbers(gradient, name, |g| {
            let of_x = with_numbers(factors, name, |factors| {
                Ok(scatter(&self.edges, Factor::Heads(factors, heads), g, width))
            })?;
            Ok((of_x, with_numbers(x, name, |x| Ok(dots(&self.edges, heads, g, x)))?))
        })?;
        Ok((
            Some(Tensor::from_vec(of_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(of_factors, factors.shape(), x.device())?),
        ))
    }
}

/// `(a [targets, heads · c], b [sources, heads · c]) → [edges, heads]`: dot products along edges.
pub(crate) fn edge_dots(edges: &Arc<Incidence>, heads: usize, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, EdgeDots { edges: edges.clone(), heads })
}

struct EdgeDots {
    edges: Arc<Incidence>,
    heads: usize,
}

impl CustomOp2 for EdgeDots {
    fn name(&self) -> &'static str {
        "edge dots"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (numbers(a, a_layout, self.name())?, numbers(b, b_layout, self.name())?);
        let products = dots(&self.edges, self.heads, a, b);
        Ok((CpuStorage::F32(products), (self.edges.edge_count(), self.heads).into()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _products: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (width, name) = (a.dim(1)?, self.name());
        let (of_a, of_b) = with_numbers(gradient, name, |g| {
            let factor = Factor::Heads(g, self.heads);
            let of_a = with_numbers(b, name, |b| Ok(gather(&self.edges, factor, b, width)))?;
            Ok((of_a, with_numbers(a, name, |a| Ok(scatter(&self.edges, factor, a, width)))?))
        })?;
        Ok((
            Some(Tensor::from_vec(of_a, a.shape(), a.device())?),
            Some(Tensor::from_vec(of_b, b.shape(), b.device())?),
        ))
    }
}
