//! AdamW with a learning rate for each kind of parameter (Loshchilov & Hutter 2019).

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

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
/// How slowly moments forget, and what keeps small ones from being divided by; the values of the paper.
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// The state of gradient descent. candle's own AdamW keeps its moments to itself; without them a descent that was interrupted
/// could not go on as it would have.
pub(super) struct Optimizer {
    groups: [Group; 3],
    learning_rate: f64,
    steps: usize,
}

/// Parameters that learn alike.
struct Group {
    /// Of the learning rate.
    share: f64,
    decay: f64,
    parameters: Vec<Parameter>,
}

struct Parameter {
    var: Var,
    /// Decaying means of its gradients and of their squares.
    moments: [Tensor; 2],
}

impl Group {
    fn new(share: f64, decay: f64, vars: Vec<Var>) -> candle_core::Result<Group> {
        let parameters = vars.into_iter().map(|var| {
            let moments = [var.zeros_like()?, var.zeros_like()?];
            Ok(Parameter { var, moments })
        });
        Ok(Group { share, decay, parameters: parameters.collect::<candle_core::Result<_>>()? })
    }
}

impl Parameter {
    /// Moves it at step `step`, counted from 0.
    fn step(&mut self, gradient: &Tensor, rate: f64, decay: f64, step: usize) -> candle_core::Result<()> {
        let [first, second] = &mut self.moments;
        *first = ((&*first * BETAS[0])? + (gradient * (1.0 - BETAS[0]))?)?;
        *second = ((&*second * BETAS[1])? + (gradient.sqr()? * (1.0 - BETAS[1]))?)?;
        // Both begin at 0, and are too small by as much.
        let [first, second] = [(&*first, BETAS[0]), (&*second, BETAS[1])]
            .map(|(moment, beta)| moment * (1.0 - beta.powf((step + 1) as f64)).recip());
        let direction = (first? / (second?.sqrt()? + EPSILON)?)?;
        self.var.set(&((self.var.as_tensor() * (1.0 - rate * decay))? - (direction * rate)?)?)
    }
}

impl Optimizer {
    /// For so many steps.
    pub(super) fn new(
        network: &Network,
        options: &TrainOptions,
        steps: usize,
    ) -> Result<Optimizer, TrainError> {
        let decay = options.weight_decay;
        let fitted = if network.attention.is_some() { FITTED_RATE } else { 1.0 };
        Ok(Optimizer {
            // In the order of `Network::parameters`.
            groups: [
                Group::new(PROJECTION_RATE * fitted, decay, network.projections())?,
                // Pulling steps and biases towards 0 would only spoil them.
                Group::new(SCALAR_RATE * fitted, 0.0, network.scalars())?,
                Group::new(ATTENTION_RATE, decay, network.attention_parameters())?,
            ],
            learning_rate: options.learning_rate,
            steps,
        })
    }

    /// The first moments of all parameters of the network, and the second ones.
    pub(super) fn moments(&self) -> [Vec<Tensor>; 2] {
        let parameters = self.groups.iter().flat_map(|group| &group.parameters);
        parameters.map(|parameter| parameter.moments.clone().into()).unzip::<_, _, Vec<_>, Vec<_>>().into()
    }

    /// Sets these.
    pub(super) fn set_moments(&mut self, first: Vec<Tensor>, second: Vec<Tensor>) {
        let parameters = self.groups.iter_mut().flat_map(|group| &mut group.parameters);
        for (parameter, moments) in parameters.zip(first.into_iter().zip(second)) {
            parameter.moments = moments.into();
        }
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
        for Group { share, decay, parameters } in &mut self.groups {
            for parameter in parameters {
                if let Some(gradient) = gradients.get(&parameter.var) {
                    parameter.step(gradient, rate * *share, *decay, step)?;
                }
            }
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
    use candle_core::Device;
    use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};

    use super::*;

    #[test]
    fn steps_are_those_of_candles_adamw() {
        let mut rng = fastrand::Rng::with_seed(3);
        let start: Vec<f32> = (0..12).map(|_| rng.f32() - 0.5).collect();
        let [theirs, ours] = [(); 2].map(|()| Var::from_vec(start.clone(), (3, 4), &Device::Cpu).unwrap());
        let params = ParamsAdamW { weight_decay: 0.1, ..ParamsAdamW::default() };
        let mut adamw = AdamW::new(vec![theirs.clone()], params).unwrap();
        let mut group = Group::new(1.0, 0.1, vec![ours.clone()]).unwrap();
        for step in 0..50 {
            let rate = 0.01 / f64::from(step + 1);
            let targets: Vec<f32> = (0..12).map(|_| rng.f32()).collect();
            let targets = Tensor::from_vec(targets, (3, 4), &Device::Cpu).unwrap();
            let loss = |var: &Var| (var.as_tensor() - &targets).unwrap().sqr().unwrap().sum_all().unwrap();
            adamw.set_learning_rate(rate);
            adamw.backward_step(&loss(&theirs)).unwrap();
            let gradients = loss(&ours).backward().unwrap();
            group.parameters[0].step(gradients.get(&ours).unwrap(), rate, 0.1, step as usize).unwrap();
            let [theirs, ours] =
                [&theirs, &ours].map(|var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            assert!(
                theirs.iter().zip(&ours).all(|(a, b)| (a - b).abs() < 1e-6),
                "{step}: {theirs:?} {ours:?}"
            );
        }
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let rates: Vec<f64> = (0..1000).map(|step| schedule(step, 1000)).collect();
        assert!(rates[0] > 0.0 && rates[..WARM_UP].windows(2).all(|pair| pair[0] < pair[1]));
        assert!(rates[WARM_UP..].windows(2).all(|pair| pair[0] > pair[1]) && rates[999] < 1e-4);
        assert!((0..3).all(|step| schedule(step, 3).is_finite()));
    }
}
