//! AdamW with a learning rate for each kind of parameter (Loshchilov & Hutter 2019).

use candle_core::backprop::GradStore;
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};

use super::network::Network;
use super::{TrainError, TrainOptions};

/// Projections start well and learn more slowly than steps and biases.
const PROJECTION_RATE: f64 = 0.2;
const SCALAR_RATE: f64 = 0.5;
/// Attention starts from nothing, where all else has been fitted and learns but a little more.
const ATTENTION_RATE: f64 = 1.0;
const FITTED_RATE: f64 = 0.2;
/// Steps over which the learning rate rises to its maximum, at most a tenth of all.
const WARM_UP: usize = 30;
/// Gradients are shortened to this length.
const MAX_GRADIENT: f64 = 1.0;

/// The state of gradient descent.
pub(super) struct Optimizer {
    groups: [(f64, AdamW); 3],
    learning_rate: f64,
    steps: usize,
}

impl Optimizer {
    /// For so many steps.
    pub(super) fn new(
        network: &Network,
        options: &TrainOptions,
        steps: usize,
    ) -> Result<Optimizer, TrainError> {
        let parameters = |weight_decay| ParamsAdamW { weight_decay, ..ParamsAdamW::default() };
        let projections = AdamW::new(network.projections(), parameters(options.weight_decay))?;
        // Pulling steps and biases towards 0 would only spoil them.
        let scalars = AdamW::new(network.scalars(), parameters(0.0))?;
        let attention = AdamW::new(network.attention_parameters(), parameters(options.weight_decay))?;
        let fitted = if network.attention.is_some() { FITTED_RATE } else { 1.0 };
        Ok(Optimizer {
            groups: [
                (PROJECTION_RATE * fitted, projections),
                (SCALAR_RATE * fitted, scalars),
                (ATTENTION_RATE, attention),
            ],
            learning_rate: options.learning_rate,
            steps,
        })
    }

    /// Moves every parameter of `network` against its gradient, at step `step` of all, counted from 0.
    pub(super) fn step(
        &mut self,
        network: &Network,
        mut gradients: GradStore,
        step: usize,
    ) -> Result<(), TrainError> {
        if !clip(network, &mut gradients)?.is_finite() {
            // The next loss need not show it: what is not a number has a level, too.
            return Err(TrainError::Diverged { step, loss: f32::NAN });
        }
        let rate = self.learning_rate * schedule(step, self.steps);
        for (share, group) in &mut self.groups {
            group.set_learning_rate(rate * *share);
            group.step(&gradients)?;
        }
        Ok(())
    }
}

/// The share of the largest learning rate: a linear rise, then half a cosine down to 0.
fn schedule(step: usize, steps: usize) -> f64 {
    let warm_up = WARM_UP.min(steps / 10);
    if step < warm_up {
        return (step + 1) as f64 / warm_up as f64;
    }
    let progress = (step - warm_up) as f64 / (steps - warm_up).max(1) as f64;
    0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// Shortens the gradients where they are too long together; returns how long they were.
fn clip(network: &Network, gradients: &mut GradStore) -> Result<f64, TrainError> {
    let parameters = network.parameters();
    let mut squares = 0.0;
    for var in &parameters {
        if let Some(gradient) = gradients.get(var) {
            squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
    }
    let length = squares.sqrt();
    if length > MAX_GRADIENT {
        for var in &parameters {
            if let Some(gradient) = gradients.get(var) {
                let shorter = (gradient * (MAX_GRADIENT / length))?;
                gradients.insert(var, shorter);
            }
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::{WARM_UP, schedule};

    #[test]
    fn the_rate_rises_and_falls() {
        let rates: Vec<f64> = (0..1000).map(|step| schedule(step, 1000)).collect();
        assert!(rates[0] > 0.0 && rates[..WARM_UP].windows(2).all(|pair| pair[0] < pair[1]));
        assert!(rates[WARM_UP..].windows(2).all(|pair| pair[0] > pair[1]) && rates[999] < 1e-4);
        assert!((0..3).all(|step| schedule(step, 3).is_finite()));
    }
}
