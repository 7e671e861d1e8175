//! Gradient descent, stopped early.

use std::time::Instant;

use candle_core::Tensor;
use fastrand::Rng;

use crate::routing::KeyModel;

use super::attention::{Fields, Stack};
use super::batch::Batch;
use super::examples::Examples;
use super::network::Network;
use super::optimizer::Optimizer;
use super::options::{Encoder, Losses, OnTrainProgress, TrainPhase, report, report_losses};
use super::quality::{near_order, quality};
use super::report::{Seconds, TrainReport, Trained};
use super::start::{Start, start};
use super::trajectories::Trajectories;
use super::vectors::Vectors;
use super::{Corpus, TrainError, TrainOptions};

/// Principal axes that a node's projection starts from, where there are so many.
const SUBSPACE: usize = 128;
/// Steps between two reports of progress.
const STEPS_PER_REPORT: usize = 10;

/// Trains a key model on trajectories.
///
/// Starts from the model of [`super::pca_model`] and ends with the parameters that lose the least on the held-out
/// queries, which may be those of the start. The same seed yields the same model where rayon's pool has one thread.
///
/// # Errors
/// Options out of range, trajectories of another collection, or [`TrainError::Cancelled`].
pub fn fit<C: Corpus>(
    corpus: &C,
    trajectories: &Trajectories,
    options: &TrainOptions,
    on_progress: OnTrainProgress<'_>,
) -> Result<Trained, TrainError> {
    options.check()?;
    trajectories.check(corpus)?;
    let vectors = Vectors::new(corpus)?;
    let begun = Instant::now();
    let start = start(vectors, &vectors.linked()?, &options.start(), SUBSPACE)?;
    let pca = begun.elapsed();
    let examples = Examples::new(vectors, trajectories, &start, on_progress)?;
    let nodes = begun.elapsed() - pca;
    let mut network = Network::new(&start)?;
    let descent = Descent::<C>::new(&network, &examples, options, None)?;
    let mut curve = descent.run(on_progress, TrainPhase::Fit, options.steps)?;
    let mut without_attention = None;
    if let Encoder::Attention(attention) = &options.encoder {
        let model = model(vectors, &network, &start)?;
        without_attention = Some(quality(corpus, trajectories, &model)?);
        network.attention = Some(Stack::new(vectors, &start, attention, options.pca.seed, on_progress)?);
        let fields = Fields { vectors, layers: attention.layers, neighbors: attention.neighbors };
        let descent = Descent::new(&network, &examples, options, Some(fields))?;
        curve.append(descent.run(on_progress, TrainPhase::Attend, attention.steps)?);
    }
    let model = model(vectors, &network, &start)?;
    let fit = begun.elapsed() - pca - nodes;
    let report = TrainReport {
        training_queries: trajectories.training,
        held_out_queries: trajectories.held_out_queries(),
        exact_queries: trajectories.exact,
        synthesised: trajectories.synthesised,
        pairs: trajectories.pairs(),
        losses: curve.losses,
        best_step: curve.best_step,
        stopped_early: curve.stopped_early,
        pca: quality(corpus, trajectories, &start.model)?,
        without_attention,
        learned: quality(corpus, trajectories, &model)?,
        seconds: Seconds {
            trajectories: trajectories.seconds,
            pca: pca.as_secs_f64(),
            nodes: nodes.as_secs_f64(),
            fit: fit.as_secs_f64(),
        },
    };
    Ok(Trained { model, report })
}

/// The key model of the parameters of `network`.
fn model<C: Corpus>(
    vectors: Vectors<'_, C>,
    network: &Network,
    start: &Start,
) -> Result<KeyModel, TrainError> {
    let mut model = network.model(start)?;
    start.fit_bias_range(vectors, &mut model)?;
    Ok(model)
}

/// How training went.
struct Curve {
    losses: Vec<Losses>,
    best_step: usize,
    stopped_early: bool,
}

impl Curve {
    /// Appends what followed, whose steps are counted on and which began where this one ended.
    fn append(&mut self, next: Curve) {
        let done = self.losses.last().map_or(0, |losses| losses.step);
        let steps = next.losses.iter().skip(1);
        self.losses.extend(steps.map(|losses| Losses { step: done + losses.step, ..*losses }));
        if next.best_step > 0 {
            self.best_step = done + next.best_step;
        }
        self.stopped_early = next.stopped_early;
    }
}

/// Gradient descent under way.
struct Descent<'d, C> {
    network: &'d Network,
    examples: &'d Examples,
    options: &'d TrainOptions,
    /// The held-out queries with all their nodes.
    held_out: Vec<Batch>,
    /// Where attention looks, if there is any.
    fields: Option<Fields<'d, C>>,
    rng: Rng,
}

impl<'d, C: Corpus> Descent<'d, C> {
    fn new(
        network: &'d Network,
        examples: &'d Examples,
        options: &'d TrainOptions,
        fields: Option<Fields<'d, C>>,
    ) -> Result<Descent<'d, C>, TrainError> {
        let queries: Vec<usize> = (examples.training..examples.queries.rows).collect();
        let batches = queries.chunks(options.batch_queries);
        let held_out = batches.map(|queries| Batch::of(examples, queries, options.near + options.far));
        let mut held_out = held_out.collect::<Result<Vec<_>, _>>()?;
        if let Some(fields) = &fields {
            for batch in &mut held_out {
                batch.field = Some(fields.draw(&batch.nodes, None)?);
            }
        }
        let rng = Rng::with_seed(options.pca.seed);
        Ok(Descent { network, examples, options, held_out, fields, rng })
    }

    /// Runs all steps, or until the held-out queries gain nothing more; leaves the network with its best parameters.
    fn run(
        mut self,
        on_progress: OnTrainProgress<'_>,
        phase: TrainPhase,
        steps: usize,
    ) -> Result<Curve, TrainError> {
        let options = self.options;
        let mut optimizer = Optimizer::new(self.network, options, steps)?;
        let first = self.look(0, None)?;
        report_losses(on_progress, phase, 0, steps, Some(first))?;
        let mut curve = Curve { losses: vec![first], best_step: 0, stopped_early: false };
        let (mut best, mut least) = (self.parameters()?, first.held_out);
        let (mut sum, mut count, mut waited) = (0.0, 0, 0);
        for step in 0..steps {
            let (gradients, loss) = self.gradients(step)?;
            optimizer.step(self.network, gradients, step)?;
            (sum, count) = (sum + f64::from(loss), count + 1);
            let done = step + 1;
            if !done.is_multiple_of(options.evaluate_every) && done != steps {
                if done.is_multiple_of(STEPS_PER_REPORT) {
                    report(on_progress, phase, done, steps)?;
                }
                continue;
            }
            let losses = self.look(done, Some((sum / f64::from(count)) as f32))?;
            (sum, count) = (0.0, 0);
            curve.losses.push(losses);
            report_losses(on_progress, phase, done, steps, Some(losses))?;
            if losses.held_out < least {
                (best, least, waited, curve.best_step) = (self.parameters()?, losses.held_out, 0, done);
            } else {
                waited += 1;
            }
            if waited == options.patience {
                curve.stopped_early = done < steps;
                break;
            }
        }
        for (var, best) in self.network.parameters().iter().zip(&best) {
            var.set(best)?;
        }
        Ok(curve)
    }

    fn gradients(&mut self, step: usize) -> Result<(candle_core::backprop::GradStore, f32), TrainError> {
        let (queries, nodes) = (self.options.batch_queries, self.options.batch_nodes);
        let mut batch = Batch::random(self.examples, queries, nodes, &mut self.rng)?;
        if let Some(fields) = &self.fields {
            batch.field = Some(fields.draw(&batch.nodes, Some(&mut self.rng))?);
        }
        let (gradients, loss) = self.network.gradients(&batch)?;
        if loss.is_finite() { Ok((gradients, loss)) } else { Err(TrainError::Diverged { step, loss }) }
    }

    fn parameters(&self) -> Result<Vec<Tensor>, TrainError> {
        let parameters = self.network.parameters();
        Ok(parameters.iter().map(|var| var.as_tensor().copy()).collect::<candle_core::Result<_>>()?)
    }

    /// Judges the parameters by the held-out queries.
    fn look(&self, step: usize, training: Option<f32>) -> Result<Losses, TrainError> {
        let (mut loss, mut queries) = (0.0, 0);
        let mut orders = Vec::new();
        for batch in &self.held_out {
            let judged = self.network.loss(batch)?;
            let estimates = judged.estimates.to_vec2::<f32>()?;
            loss += f64::from(judged.total.to_scalar::<f32>()?) * estimates.len() as f64;
            queries += estimates.len();
            let targets = batch.targets.to_vec2::<f32>()?;
            orders.extend(estimates.iter().zip(&targets).filter_map(|(a, b)| near_order(a, b)));
        }
        let held_out = (loss / queries.max(1) as f64) as f32;
        if !held_out.is_finite() {
            return Err(TrainError::Diverged { step, loss: held_out });
        }
        let order = orders.iter().sum::<f32>() / orders.len().max(1) as f32;
        Ok(Losses { step, training: training.unwrap_or(held_out), held_out, order })
    }
}
