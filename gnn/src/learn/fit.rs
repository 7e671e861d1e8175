//! Gradient descent on the whole graph, stopped early.

use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};
use fastrand::Rng;

use crate::layers::{GnnError, Graph, Model, ModelDescription, Weights};

use super::memory::epoch_bytes;
use super::network::{Dropout, Input, Network, Prepared};
use super::options::{Epoch, L2, LearnProgress, Selection, report};
use super::{Features, LearnError, LearnOptions, LearnReport, Learned, OnLearnProgress};

/// What outputs of a model are to be good for.
pub(super) trait Objective {
    /// What training makes small, of the outputs of all nodes.
    fn loss(&mut self, outputs: &Tensor) -> Result<Tensor, LearnError>;

    /// Loss and score on the validation part.
    fn validate(&self, outputs: &Tensor) -> Result<(f32, f64), LearnError>;

    /// Score on the test part, if there is one.
    fn test(&self, outputs: &Tensor) -> Result<Option<f64>, LearnError>;

    /// Pairs of rows that are multiplied for the loss.
    fn pairs(&self) -> usize {
        0
    }
}

/// Trains a model on the whole graph.
pub(super) fn fit(
    graph: &Graph,
    features: Features<'_>,
    model: &ModelDescription,
    objective: &mut dyn Objective,
    options: &LearnOptions,
    on_progress: OnLearnProgress<'_>,
) -> Result<Learned, LearnError> {
    let begun = Instant::now();
    options.check()?;
    check_features(graph, features, model)?;
    let needed = epoch_bytes(model, graph, objective.pairs())?;
    if needed > options.memory_bytes {
        return Err(LearnError::Memory { needed, limit: options.memory_bytes });
    }
    let weights = Weights::initialised(model, options.seed)?;
    // What this build could not run, it does not train.
    Model::new(model, &weights)?;
    let descent = Descent {
        network: Network::new(model, &weights)?,
        graph: Prepared::new(graph, model)?,
        input: Input::new(features)?,
        options,
    };
    let mut curve = descent.run(objective, on_progress)?;
    curve.test_score = objective.test(&descent.outputs()?)?;
    curve.seconds = begun.elapsed().as_secs_f64();
    Ok(Learned { weights: descent.network.weights()?, report: curve })
}

fn check_features(graph: &Graph, features: Features<'_>, model: &ModelDescription) -> Result<(), GnnError> {
    let nodes = graph.nodes() as usize;
    if features.rows() != nodes {
        return Err(GnnError::Shape { what: "rows of features", expected: nodes, got: features.rows() });
    }
    if features.width() != model.input_dim {
        let what = "numbers in a row of features";
        return Err(GnnError::Shape { what, expected: model.input_dim, got: features.width() });
    }
    if let Features::Dense(matrix) = features
        && let Some(at) = matrix.data().iter().position(|number| !number.is_finite())
    {
        let (what, got) = ("feature of node", matrix.data()[at]);
        return Err(GnnError::NotFinite { what, index: at / model.input_dim, got });
    }
    Ok(())
}

/// Gradient descent under way.
struct Descent<'d> {
    network: Network,
    graph: Prepared,
    input: Input,
    options: &'d LearnOptions,
}

impl Descent<'_> {
    /// Runs all epochs, or until the validation part gains nothing more; leaves the network with its best weights.
    fn run(
        &self,
        objective: &mut dyn Objective,
        on_progress: OnLearnProgress<'_>,
    ) -> Result<LearnReport, LearnError> {
        let options = self.options;
        let mut optimizer = Optimizer::new(&self.network, options)?;
        let mut dropout = Dropout::new(Rng::with_seed(options.seed));
        let mut curve = LearnReport {
            epochs: Vec::new(),
            best_epoch: 0,
            stopped_early: false,
            validation_score: 0.0,
            test_score: None,
            seconds: 0.0,
        };
        let (mut least, mut most, mut waited) = (f32::INFINITY, f64::NEG_INFINITY, 0);
        let mut best = None;
        for at in 0..options.epochs {
            let outputs = self.network.forward(&self.graph, &self.input, &mut dropout)?;
            let loss = objective.loss(&outputs)?;
            let training_loss = finite(at, loss.to_scalar()?)?;
            optimizer.step(&self.network, loss.backward()?)?;
            let (validation_loss, validation_score) = objective.validate(&self.outputs()?)?;
            let epoch =
                Epoch { training_loss, validation_loss: finite(at, validation_loss)?, validation_score };
            curve.epochs.push(epoch);
            let kept = best.is_some().then(|| curve.epochs[curve.best_epoch]);
            if kept.is_none_or(|kept| is_better(epoch, kept, options.selection)) {
                (curve.best_epoch, curve.validation_score) = (at, validation_score);
                best = Some(self.network.weights()?);
            }
            let gained = validation_loss < least || validation_score > most;
            (least, most) = (least.min(validation_loss), most.max(validation_score));
            waited = if gained { 0 } else { waited + 1 };
            report(on_progress, LearnProgress { done: at + 1, total: options.epochs, epoch })?;
            if waited == options.patience {
                curve.stopped_early = at + 1 < options.epochs;
                break;
            }
        }
        if let Some(best) = best {
            self.network.set(&best)?;
        }
        Ok(curve)
    }

    /// The outputs of all nodes, without dropout.
    fn outputs(&self) -> Result<Tensor, LearnError> {
        Ok(self.network.forward(&self.graph, &self.input, &mut Dropout::off())?.detach())
    }
}

fn finite(epoch: usize, loss: f32) -> Result<f32, LearnError> {
    if loss.is_finite() { Ok(loss) } else { Err(LearnError::Diverged { epoch, loss }) }
}

fn is_better(epoch: Epoch, than: Epoch, selection: Selection) -> bool {
    let less = epoch.validation_loss < than.validation_loss;
    match selection {
        Selection::Loss => less,
        Selection::Score => {
            epoch.validation_score > than.validation_score
                || (epoch.validation_score == than.validation_score && less)
        }
    }
}

/// AdamW (Loshchilov & Hutter 2019), with what [`L2`] adds to the gradients.
struct Optimizer {
    /// Matrices, which decay, and biases and scalars, which do not.
    groups: [AdamW; 2],
    l2: L2,
}

impl Optimizer {
    fn new(network: &Network, options: &LearnOptions) -> Result<Optimizer, LearnError> {
        let group = |decays: bool, weight_decay| {
            let variables = network.variables().map(|(_, var)| var).filter(|var| (var.rank() > 1) == decays);
            let parameters =
                ParamsAdamW { lr: options.learning_rate, weight_decay, ..ParamsAdamW::default() };
            AdamW::new(variables.cloned().collect(), parameters)
        };
        Ok(Optimizer { groups: [group(true, options.weight_decay)?, group(false, 0.0)?], l2: options.l2 })
    }

    /// Moves every parameter of `network` against its gradient.
    fn step(&mut self, network: &Network, mut gradients: GradStore) -> Result<(), LearnError> {
        let (factor, prefix) = match self.l2 {
            L2::Off => (0.0, ""),
            L2::FirstLayer(factor) => (factor, "layers.0."),
            L2::All(factor) => (factor, ""),
        };
        if factor > 0.0 {
            for (_, var) in network.variables().filter(|(name, _)| name.starts_with(prefix)) {
                add(&mut gradients, var, factor)?;
            }
        }
        for group in &mut self.groups {
            group.step(&gradients)?;
        }
        Ok(())
    }
}

/// Adds the gradient of `factor / 2 · |var|²`.
fn add(gradients: &mut GradStore, var: &Var, factor: f64) -> Result<(), LearnError> {
    if let Some(gradient) = gradients.get(var) {
        let sum = (gradient + (var.as_detached_tensor() * factor)?)?;
        gradients.insert(var, sum);
    }
    Ok(())
}
