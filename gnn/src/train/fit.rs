//! Gradient descent, stopped early.

use std::collections::HashMap;
use std::time::Instant;

use candle_core::Tensor;
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::routing::KeyModel;

use super::attention::{Fields, Stack};
use super::batch::Batch;
use super::checkpoint::{About, Checkpoint, Checkpoints};
use super::examples::Examples;
use super::network::Network;
use super::optimizer::Optimizer;
use super::options::{Encoder, Losses, OnTrainProgress, TrainPhase, report, report_losses};
use super::quality::{found, near_order, quality};
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
    resume(corpus, trajectories, options, &mut HashMap::new(), on_progress)
}

/// Trains like [`fit`], and goes on with what is kept of that training, if anything is: where rayon's pool has one thread, to
/// the same model as if nothing had interrupted it. Keeps it as it goes.
///
/// # Errors
/// Those of [`fit`].
pub fn resume<C: Corpus>(
    corpus: &C,
    trajectories: &Trajectories,
    options: &TrainOptions,
    checkpoints: &mut dyn Checkpoints,
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
    let lessons = Lessons { examples: &examples, start: &start, options };
    let mut network = Network::new(&start)?;
    let mut descent = Descent::<C>::new(&network, lessons, None)?;
    let mut curve = descent.run(on_progress, checkpoints)?;
    let mut resumed = descent.resumed;
    let mut without_attention = None;
    if let Encoder::Attention(attention) = &options.encoder {
        let model = model(vectors, &network, &start)?;
        without_attention = Some(quality(corpus, trajectories, &model)?);
        network.attention = Some(Stack::new(vectors, &start, attention, options.pca.seed, on_progress)?);
        let fields = Fields { vectors, layers: attention.layers, neighbors: attention.neighbors };
        let mut descent = Descent::new(&network, lessons, Some((fields, attention.steps)))?;
        curve.append(descent.run(on_progress, checkpoints)?);
        resumed += descent.resumed;
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
        resumed,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Curve {
    pub(super) losses: Vec<Losses>,
    best_step: usize,
    stopped_early: bool,
}

impl Curve {
    /// Steps done.
    fn done(&self) -> usize {
        self.losses.last().map_or(0, |losses| losses.step)
    }

    /// The loss of the best parameters.
    fn least(&self) -> f32 {
        self.losses.iter().map(|losses| losses.held_out).fold(f32::INFINITY, f32::min)
    }

    /// Appends what followed, whose steps are counted on and which began where this one ended.
    fn append(&mut self, next: Curve) {
        let done = self.done();
        let steps = next.losses.iter().skip(1);
        self.losses.extend(steps.map(|losses| Losses { step: done + losses.step, ..*losses }));
        if next.best_step > 0 {
            self.best_step = done + next.best_step;
        }
        self.stopped_early = next.stopped_early;
    }
}

/// What to learn, and how.
#[derive(Clone, Copy)]
struct Lessons<'d> {
    examples: &'d Examples,
    start: &'d Start,
    options: &'d TrainOptions,
}

/// Gradient descent under way.
struct Descent<'d, C> {
    network: &'d Network,
    lessons: Lessons<'d>,
    /// The held-out queries with all their nodes.
    held_out: Vec<Batch>,
    /// Where attention looks, if there is any.
    fields: Option<Fields<'d, C>>,
    steps: usize,
    /// Steps that were done before it was interrupted.
    resumed: usize,
    rng: Rng,
}

impl<'d, C: Corpus> Descent<'d, C> {
    /// That of the attention of `network`, with so many steps, or of all else.
    fn new(
        network: &'d Network,
        lessons: Lessons<'d>,
        attention: Option<(Fields<'d, C>, usize)>,
    ) -> Result<Descent<'d, C>, TrainError> {
        let Lessons { examples, options, .. } = lessons;
        let (fields, steps) = match attention {
            Some((fields, steps)) => (Some(fields), steps),
            None => (None, options.steps),
        };
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
        Ok(Descent { network, lessons, held_out, fields, steps, resumed: 0, rng })
    }

    /// The name that it is kept by: a hash of all that its end depends on.
    fn name(&self) -> Result<u128, TrainError> {
        let Lessons { examples, start, options } = self.lessons;
        let mut hasher = Xxh3::new();
        hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
        // What attention there will be is nothing to the descent before it.
        let encoder = if self.fields.is_some() { options.encoder } else { Encoder::default() };
        hasher.update(format!("{:?}", TrainOptions { encoder, ..options.clone() }).as_bytes());
        hasher.update(&start.model.to_bytes()?);
        examples.hash(&mut hasher);
        Ok(hasher.digest128())
    }

    /// Runs all steps, or until the held-out queries gain nothing more; leaves the network with its best parameters.
    fn run(
        &mut self,
        on_progress: OnTrainProgress<'_>,
        checkpoints: &mut dyn Checkpoints,
    ) -> Result<Curve, TrainError> {
        let Lessons { options, .. } = self.lessons;
        let phase = if self.fields.is_some() { TrainPhase::Attend } else { TrainPhase::Fit };
        let steps = self.steps;
        let name = self.name()?;
        let mut optimizer = Optimizer::new(self.network, options, steps)?;
        let kept = checkpoints.find(name);
        let kept = kept.and_then(|bytes| Checkpoint::from_bytes(&bytes, self.network));
        let (mut curve, mut best, mut waited) = match kept {
            Some(Checkpoint { about, tensors: [parameters, best, first, second] }) => {
                self.set(&parameters)?;
                optimizer.set_moments(first, second);
                self.rng = Rng::with_seed(about.rng);
                self.resumed = about.curve.done();
                (about.curve, best, about.waited)
            }
            None => {
                let losses = vec![self.look(0, None)?];
                (Curve { losses, best_step: 0, stopped_early: false }, self.parameters()?, 0)
            }
        };
        report_losses(on_progress, phase, curve.done(), steps, curve.losses.last().copied())?;
        let (mut sum, mut count) = (0.0, 0);
        for step in curve.done()..steps {
            if waited >= options.patience {
                curve.stopped_early = true;
                break;
            }
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
            if losses.held_out < curve.least() {
                (best, waited, curve.best_step) = (self.parameters()?, 0, done);
            } else {
                waited += 1;
            }
            curve.losses.push(losses);
            let about = About { curve: curve.clone(), waited, rng: self.rng.get_seed() };
            let [first, second] = optimizer.moments();
            let tensors = [self.parameters()?, best.clone(), first, second];
            checkpoints.keep(name, Checkpoint { about, tensors }.to_bytes()?);
            report_losses(on_progress, phase, done, steps, Some(losses))?;
        }
        self.set(&best)?;
        Ok(curve)
    }

    fn gradients(&mut self, step: usize) -> Result<(candle_core::backprop::GradStore, f32), TrainError> {
        let Lessons { examples, options, .. } = self.lessons;
        let (queries, nodes) = (options.batch_queries, options.batch_nodes);
        let mut batch = Batch::random(examples, queries, nodes, &mut self.rng)?;
        if let Some(fields) = &self.fields {
            batch.field = Some(fields.draw(&batch.nodes, Some(&mut self.rng))?);
        }
        let (gradients, loss) = self.network.gradients(&batch)?;
        if loss.is_finite() { Ok((gradients, loss)) } else { Err(TrainError::Diverged { step, loss }) }
    }

    /// A copy of the parameters.
    fn parameters(&self) -> Result<Vec<Tensor>, TrainError> {
        let parameters = self.network.parameters();
        Ok(parameters.iter().map(|var| var.as_tensor().copy()).collect::<candle_core::Result<_>>()?)
    }

    fn set(&self, parameters: &[Tensor]) -> Result<(), TrainError> {
        let vars = self.network.parameters();
        Ok(vars.iter().zip(parameters).try_for_each(|(var, tensor)| var.set(tensor))?)
    }

    /// Judges the parameters by the held-out queries.
    fn look(&self, step: usize, training: Option<f32>) -> Result<Losses, TrainError> {
        let Lessons { examples, .. } = self.lessons;
        let mut loss = 0.0;
        let (mut orders, mut recalls) = (Vec::new(), Vec::new());
        for batch in &self.held_out {
            let judged = self.network.loss(batch)?;
            let estimates = judged.estimates.to_vec2::<f32>()?;
            loss += f64::from(judged.total.to_scalar::<f32>()?) * estimates.len() as f64;
            for (estimates, targets) in estimates.iter().zip(&batch.targets.to_vec2::<f32>()?) {
                orders.extend(near_order(estimates, targets));
                let query = examples.training + recalls.len();
                let distances = &examples.distances[examples.starts[query]..examples.starts[query + 1]];
                // Where a query has fewer nodes than others, they repeat.
                recalls.push(found(&estimates[..distances.len()], distances));
            }
        }
        let held_out = (loss / recalls.len().max(1) as f64) as f32;
        if !held_out.is_finite() {
            return Err(TrainError::Diverged { step, loss: held_out });
        }
        let mean = |of: &[f32]| of.iter().sum::<f32>() / of.len().max(1) as f32;
        let (order, recall) = (mean(&orders), mean(&recalls));
        Ok(Losses { step, training: training.unwrap_or(held_out), held_out, order, recall })
    }
}
