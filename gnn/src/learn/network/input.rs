//! What a layer reads, and dropout.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use fastrand::Rng;

use crate::learn::Features;
use crate::learn::sparse::{Incidence, product};
use crate::train::times;

/// Rows that a layer reads.
#[derive(Clone)]
pub(in crate::learn) enum Input {
    /// Features, which no gradient is asked of.
    Constant(Tensor),
    /// Features that are mostly 0: the places of the others as edges from columns to rows.
    Sparse { places: Arc<Incidence>, values: Arc<[f32]> },
    /// What depends on parameters.
    Hidden(Tensor),
}

impl Input {
    pub(in crate::learn) fn new(features: Features<'_>) -> Result<Input> {
        Ok(match features {
            Features::Dense(matrix) => {
                let shape = (matrix.rows(), matrix.cols());
                Input::Constant(Tensor::from_slice(matrix.data(), shape, &Device::Cpu)?)
            }
            Features::Sparse(matrix) => {
                let (indptr, columns) = (matrix.indptr().to_vec(), matrix.columns().to_vec());
                let places = Arc::new(Incidence::new(indptr, columns, features.width()));
                Input::Sparse { places, values: matrix.values().into() }
            }
        })
    }

    /// `x · weightᵀ`; `weight [output, input]`.
    pub(super) fn linear(&self, weight: &Tensor) -> Result<Tensor> {
        match self {
            Input::Constant(x) => times(x, &weight.t()?.contiguous()?),
            Input::Sparse { places, values } => product(places, Some(values), &weight.t()?),
            Input::Hidden(x) => x.matmul(&weight.t()?),
        }
    }

    /// Leaves out a share of the numbers.
    pub(super) fn dropout(&self, dropout: &mut Dropout, share: f32) -> Result<Input> {
        Ok(match self {
            Input::Constant(x) => Input::Constant(dropout.apply(x, share)?.detach()),
            Input::Hidden(x) => Input::Hidden(dropout.apply(x, share)?),
            Input::Sparse { places, values } => {
                let values = match dropout.mask(values.len(), share) {
                    Some(mask) => values.iter().zip(mask).map(|(value, mask)| value * mask).collect(),
                    None => values.clone(),
                };
                Input::Sparse { places: places.clone(), values }
            }
        })
    }

    /// The rows, with all their zeros.
    pub(super) fn dense(&self) -> Result<Tensor> {
        match self {
            Input::Constant(x) | Input::Hidden(x) => Ok(x.clone()),
            Input::Sparse { places, values } => {
                let (rows, cols) = (places.target_count(), places.source_count());
                let mut numbers = vec![0.0_f32; rows * cols];
                for (entry, value) in values.iter().enumerate() {
                    numbers[places.target(entry) * cols + places.source(entry)] += value;
                }
                Tensor::from_vec(numbers, (rows, cols), &Device::Cpu)
            }
        }
    }
}

/// Leaves out numbers while training, and nothing otherwise (Srivastava et al. 2014).
pub(in crate::learn) struct Dropout {
    rng: Option<Rng>,
}

impl Dropout {
    /// While training.
    pub(in crate::learn) fn new(rng: Rng) -> Dropout {
        Dropout { rng: Some(rng) }
    }

    /// While judging.
    pub(in crate::learn) fn off() -> Dropout {
        Dropout { rng: None }
    }

    /// The source of all that is drawn while training.
    pub(super) fn rng(&mut self) -> Option<&mut Rng> {
        self.rng.as_mut()
    }

    /// What each of `count` numbers is multiplied with: 0 for a share of them, and what makes up for that for the rest.
    fn mask(&mut self, count: usize, share: f32) -> Option<Vec<f32>> {
        let rng = self.rng.as_mut().filter(|_| share > 0.0)?;
        let scale = 1.0 / (1.0 - share);
        Some((0..count).map(|_| if rng.f32() < share { 0.0 } else { scale }).collect())
    }

    pub(super) fn apply(&mut self, x: &Tensor, share: f32) -> Result<Tensor> {
        match self.mask(x.elem_count(), share) {
            Some(mask) => x.mul(&Tensor::from_vec(mask, x.shape(), x.device())?),
            None => Ok(x.clone()),
        }
    }
}
