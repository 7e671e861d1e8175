//! Where training starts: the initial weights of PyTorch and PyTorch Geometric.

use super::{GnnError, ModelDescription, Tensor, Weights};

/// How a parameter is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Start {
    /// All the same.
    Constant(f32),
    /// Uniform between the number's negative and itself.
    Uniform(f32),
}

impl Start {
    /// Glorot & Bengio, AISTATS 2010: ±√(6 / (fan in + fan out)).
    pub(super) fn glorot(fan_in: usize, fan_out: usize) -> Self {
        Self::Uniform((6.0 / (fan_in + fan_out) as f32).sqrt())
    }

    /// `torch.nn.Linear` and `torch.nn.LSTM`: ±1 / √fan in (Kaiming's uniform with a = √5).
    pub(super) fn fan_in(fan_in: usize) -> Self {
        Self::Uniform(1.0 / (fan_in as f32).sqrt())
    }

    /// A parameter of this shape.
    pub(super) fn draw(self, shape: Vec<usize>, rng: &mut fastrand::Rng) -> Result<Tensor, GnnError> {
        let numbers = shape.iter().product();
        let data = (0..numbers)
            .map(|_| match self {
                Self::Constant(value) => value,
                Self::Uniform(bound) => bound * (2.0 * rng.f32() - 1.0),
            })
            .collect();
        Tensor::new(shape, data)
    }
}

impl Weights {
    /// Weights to start training from: the same for the same description and seed.
    ///
    /// # Errors
    /// Those of [`ModelDescription::layers`].
    pub fn initialised(description: &ModelDescription, seed: u64) -> Result<Self, GnnError> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut weights = Self::default();
        for (i, layer) in description.layers()?.iter().enumerate() {
            for parameter in layer.parameters() {
                let tensor = parameter.start.draw(parameter.shape, &mut rng)?;
                weights.insert(format!("layers.{i}.{}", parameter.name), tensor);
            }
        }
        Ok(weights)
    }
}
