//! The estimate of a key model as a function of its parameters, with its loss.

use candle_core::backprop::GradStore;
use candle_core::{D, Device, Tensor, Var};

use crate::routing::{KeyModel, Slot};

use super::TrainError;
use super::attention::Stack;
use super::batch::Batch;
use super::constant::times;
use super::matrix::Matrix;
use super::start::Start;
use super::straight_through::Quantize;

/// The weight of a node falls to a half at so many thresholds, and then by the sixth power of its distance.
const HALF_WEIGHT: f64 = 1.3;
/// Weights of the terms of the loss.
const NEAR_WEIGHT: f64 = 20.0;
const FAR_WEIGHT: f64 = 10.0;
const CLASS_WEIGHT: f64 = 0.1;
/// Nodes at least so many thresholds away should not be estimated nearer than [`FAR_ESTIMATE`].
const FAR: f64 = 2.0;
const FAR_ESTIMATE: f64 = 1.2;
/// Logarithm of the slope of the classification at the start.
const LOG_SLOPE: f32 = 3.0;

/// The parameters of a key model, in units of the scale of the vectors.
pub(super) struct Network {
    /// Principal coordinates → coordinates.
    nodes: Var,
    /// Components → coordinates.
    queries: Var,
    /// Components → 1.
    query_linear: Var,
    query_constant: Var,
    kappa: Var,
    /// Of models that look at neighbours.
    nu: Option<Var>,
    /// The principal axes, axes × components.
    axes: Tensor,
    log_steps: Var,
    log_slope: Var,
    quantize: Quantize,
    /// What corrects coordinates, once there is something to correct.
    pub(super) attention: Option<Stack>,
}

/// The loss of a batch.
pub(super) struct Loss {
    pub(super) total: Tensor,
    /// Estimates, queries × nodes.
    pub(super) estimates: Tensor,
}

impl Network {
    /// The parameters that `start` amounts to.
    pub(super) fn new(start: &Start) -> Result<Network, TrainError> {
        let (model, device) = (&start.model, &Device::Cpu);
        let (coordinates, dim) = (model.coordinates(), model.dim);
        let mut identity = Matrix::zeros(start.axes.rows, coordinates);
        (0..coordinates).for_each(|at| identity.row_mut(at)[at] = 1.0);
        let queries = Matrix { rows: coordinates, cols: dim, data: model.queries.clone() }.transposed();
        let log_steps: Vec<f32> = model.slots.iter().map(|slot| (slot.step / start.scale).ln()).collect();
        let constant = model.query_constant / (start.scale * start.scale);
        Ok(Network {
            nodes: Var::from_vec(identity.data, (start.axes.rows, coordinates), device)?,
            queries: Var::from_vec(queries.data, (dim, coordinates), device)?,
            query_linear: Var::from_vec(vec![0.0_f32; dim], (dim, 1), device)?,
            query_constant: Var::from_vec(vec![constant], 1, device)?,
            kappa: Var::from_vec(vec![model.kappa], 1, device)?,
            nu: match model.lambda > 0.0 {
                true => Some(Var::from_vec(vec![model.nu], 1, device)?),
                false => None,
            },
            axes: Tensor::from_vec(start.axes.data.clone(), (start.axes.rows, dim), device)?,
            log_steps: Var::from_vec(log_steps, model.slots.len(), device)?,
            log_slope: Var::from_vec(vec![LOG_SLOPE], 1, device)?,
            quantize: Quantize::new(model.slots.iter().map(|slot| slot.coordinate)),
            attention: None,
        })
    }

    /// The projections.
    pub(super) fn projections(&self) -> Vec<Var> {
        vec![self.nodes.clone(), self.queries.clone()]
    }

    /// All other parameters.
    pub(super) fn scalars(&self) -> Vec<Var> {
        let always =
            [&self.query_linear, &self.query_constant, &self.kappa, &self.log_steps, &self.log_slope];
        always.into_iter().chain(&self.nu).cloned().collect()
    }

    /// Those of the attention.
    pub(super) fn attention_parameters(&self) -> Vec<Var> {
        self.attention.as_ref().map_or_else(Vec::new, Stack::parameters)
    }

    /// Every parameter.
    pub(super) fn parameters(&self) -> Vec<Var> {
        [self.projections(), self.scalars(), self.attention_parameters()].concat()
    }

    /// Estimates of the nodes of each query, queries × nodes.
    fn estimate(&self, batch: &Batch) -> Result<Tensor, TrainError> {
        let (queries, nodes) = batch.targets.dims2()?;
        let mut coordinates = times(&batch.coordinates, &self.nodes)?;
        if let (Some(attention), Some(field)) = (&self.attention, &batch.field) {
            coordinates = (coordinates + attention.corrections(field)?)?;
        }
        let kept = coordinates.apply_op2(&self.log_steps, self.quantize.clone())?;
        let kept_lengths = kept.sqr()?.sum(1)?.reshape((queries, nodes))?;
        let lost = (&batch.lengths - &kept_lengths)?;
        let mut biases = (kept_lengths + lost.broadcast_mul(&self.kappa)?)?;
        if let Some(nu) = &self.nu {
            // The axes hold nearly all of what means are made of, and the queries meet little beside them.
            let of_means = times(&batch.means, &times(&self.axes, &self.queries)?)?;
            let of_means = (of_means * &kept)?.sum(1)?.reshape((queries, nodes))?;
            biases = (biases + ((of_means - &batch.products)? * 2.0)?.broadcast_mul(nu)?)?;
        }
        let encoded = times(&batch.queries, &self.queries)?.unsqueeze(2)?;
        let products = kept.reshape((queries, nodes, ()))?.matmul(&encoded)?.squeeze(2)?;
        let constants = (batch.queries.sqr()?.sum_keepdim(1)? + times(&batch.queries, &self.query_linear)?)?;
        let constants = constants.broadcast_add(&self.query_constant)?;
        Ok((biases - (products * 2.0)?)?.broadcast_add(&constants)?)
    }

    /// How far the estimates are from what search needs of them: the order of the near nodes, and no far node among them.
    ///
    /// Errors count relative to the threshold, within a query (an error that all its nodes share does not change their
    /// order), and less the further away a node is.
    pub(super) fn loss(&self, batch: &Batch) -> Result<Loss, TrainError> {
        let estimates = self.estimate(batch)?;
        let relative = estimates.broadcast_div(&batch.thresholds)?;
        let target = batch.targets.broadcast_div(&batch.thresholds)?;
        let weights = ((&target / HALF_WEIGHT)?.powf(6.0)? + 1.0)?.recip()?;
        let errors = (&relative - &target)?;
        let sum = weights.sum_keepdim(1)?;
        let shared = (&weights * &errors)?.sum_keepdim(1)?.div(&sum)?;
        let spread = (&weights * errors.broadcast_sub(&shared)?.sqr()?)?.sum_all()?.div(&sum.sum_all()?)?;
        let is_far = target.gt(FAR)?.to_dtype(relative.dtype())?;
        let intruding = (((&relative * -1.0)? + FAR_ESTIMATE)?.relu()? * is_far)?.sqr()?.mean_all()?;
        let is_near = target.lt(1.0)?.to_dtype(relative.dtype())?;
        let logits =
            (relative.broadcast_sub(&shared)?.neg()? + 1.0)?.broadcast_mul(&self.log_slope.exp()?)?;
        let class = binary_cross_entropy(&logits, &is_near)?;
        let total = ((spread * NEAR_WEIGHT)? + shared.sqr()?.mean_all()?)?;
        let total = ((total + (intruding * FAR_WEIGHT)?)? + (class * CLASS_WEIGHT)?)?;
        Ok(Loss { total, estimates })
    }

    /// The gradients of a batch, and its loss.
    pub(super) fn gradients(&self, batch: &Batch) -> Result<(GradStore, f32), TrainError> {
        let loss = self.loss(batch)?.total;
        Ok((loss.backward()?, loss.to_scalar::<f32>()?))
    }

    /// The key model of these parameters, with the range of biases of the start.
    pub(super) fn model(&self, start: &Start) -> Result<KeyModel, TrainError> {
        let scale = start.scale;
        let coordinates = start.model.coordinates();
        let projection = Matrix {
            rows: coordinates,
            cols: start.axes.rows,
            data: self.nodes.t()?.contiguous()?.flatten_all()?.to_vec1()?,
        };
        let nodes = projection.times(&start.axes);
        let query_linear: Vec<f32> = self.query_linear.flatten_all()?.to_vec1()?;
        let steps = self.log_steps.exp()?.to_vec1::<f32>()?;
        let slots = start.model.slots.iter().zip(steps);
        let slots =
            slots.map(|(slot, step)| Slot { coordinate: slot.coordinate, step: step * scale }).collect();
        let model = KeyModel {
            attention: self.attention.as_ref().map(|attention| attention.attention(scale)).transpose()?,
            nodes: nodes.data,
            queries: self.queries.t()?.contiguous()?.flatten_all()?.to_vec1()?,
            query_linear: query_linear.iter().map(|x| x * scale).collect(),
            query_constant: number(&self.query_constant)? * scale * scale,
            slots,
            kappa: number(&self.kappa)?,
            nu: self.nu.as_ref().map_or(Ok(0.0), number)?,
            ..start.model.clone()
        };
        Ok(model.rounded())
    }
}

fn number(var: &Var) -> Result<f32, TrainError> {
    Ok(var.squeeze(0)?.to_scalar()?)
}

/// The mean of `ln(1 + eˡ) − l·y`, in a form that does not overflow.
pub(crate) fn binary_cross_entropy(logits: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
    let softplus = (logits.relu()? + (logits.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
    (softplus - (logits * labels)?)?.mean(D::Minus1)?.mean_all()
}
