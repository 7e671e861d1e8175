//! The parameters of attention, and what they add to the coordinates of a batch.

use candle_core::{Device, Tensor, Var};
use fastrand::Rng;

use crate::routing::attention::LEAK;
use crate::routing::{Attention, AttentionLayer};
use crate::train::matrix::Matrix;
use crate::train::options::{AttentionOptions, OnTrainProgress, TrainPhase, report};
use crate::train::start::Start;
use crate::train::vectors::Vectors;
use crate::train::{Corpus, TrainError};

use super::field::{SampledField, Seen};

/// Nodes whose vectors are in memory at once.
const NODES_PER_BLOCK: usize = 4096;

/// Layers of attention over a table of what the first of them reads of every node.
pub(in crate::train) struct Stack {
    /// Components → what the first layer reads, row by row.
    input: Matrix,
    /// Nodes × inputs.
    table: Tensor,
    layers: Vec<Layer>,
    /// Width of the last layer × coordinates, in units of [`Stack::unit`].
    output: Var,
    /// What an output of 1 stands for, in units of the scale of the vectors: so little that a step of gradient descent
    /// moves coordinates by a small part of what they are.
    unit: f32,
}

struct Layer {
    heads: usize,
    width: usize,
    /// Heads × inputs × width.
    weights: Var,
    /// Heads × width × 1.
    source: Var,
    target: Var,
    bias: Var,
    is_last: bool,
}

impl Stack {
    /// Attention that adds nothing yet: its output is 0, all else random. Reads every linked node.
    pub(in crate::train) fn new<C: Corpus>(
        vectors: Vectors<'_, C>,
        start: &Start,
        options: &AttentionOptions,
        seed: u64,
        on_progress: OnTrainProgress<'_>,
    ) -> Result<Stack, TrainError> {
        let mut input = start.axes.clone().truncated(options.inputs);
        // Numbers of about 1 on average.
        let factor = (input.rows as f32).sqrt() / start.scale;
        input.data.iter_mut().for_each(|x| *x *= factor);
        let table = read(vectors, &input, &start.model.mean, on_progress)?;
        let mut rng = Rng::with_seed(seed ^ 0x6174_7465_6e64);
        let mut inputs = input.rows;
        let mut layers = Vec::with_capacity(options.layers);
        for number in 1..=options.layers {
            let is_last = number == options.layers;
            layers.push(Layer::new(inputs, options.heads, options.hidden, is_last, &mut rng)?);
            inputs = options.heads * options.hidden;
        }
        let output = vec![0.0_f32; options.hidden * start.model.coordinates()];
        let shape = (options.hidden, start.model.coordinates());
        let unit = 1.0 / (output.len() as f32).sqrt();
        Ok(Stack { input, table, layers, output: Var::from_vec(output, shape, &Device::Cpu)?, unit })
    }

    pub(in crate::train) fn parameters(&self) -> Vec<Var> {
        let of = |layer: &Layer| [&layer.weights, &layer.source, &layer.target, &layer.bias].map(Var::clone);
        self.layers.iter().flat_map(of).chain([self.output.clone()]).collect()
    }

    /// What the coordinates of each place of a batch get added.
    pub(in crate::train) fn corrections(&self, field: &SampledField) -> Result<Tensor, TrainError> {
        let mut h = self.table.clone();
        for (layer, seen) in self.layers.iter().zip(&field.layers) {
            h = layer.apply(&h, seen)?;
        }
        let rows = (h.matmul(&self.output)? * f64::from(self.unit))?;
        Ok(rows.index_select(&field.places, 0)?)
    }

    /// The same as numbers of a key model, for vectors of this scale.
    pub(in crate::train) fn attention(&self, scale: f32) -> Result<Attention, TrainError> {
        let output = (self.output.t()? * f64::from(self.unit * scale))?;
        Ok(Attention {
            input: self.input.data.clone(),
            layers: self.layers.iter().map(Layer::numbers).collect::<Result<_, _>>()?,
            output: output.contiguous()?.flatten_all()?.to_vec1()?,
        })
    }
}

impl Layer {
    /// Random weights (Glorot & Bengio 2010).
    fn new(
        inputs: usize,
        heads: usize,
        width: usize,
        is_last: bool,
        rng: &mut Rng,
    ) -> Result<Layer, TrainError> {
        let mut random = |shape: (usize, usize, usize)| {
            let limit = (6.0 / (shape.1 + shape.2) as f32).sqrt();
            let count = shape.0 * shape.1 * shape.2;
            let numbers: Vec<f32> = (0..count).map(|_| (2.0 * rng.f32() - 1.0) * limit).collect();
            Var::from_vec(numbers, shape, &Device::Cpu)
        };
        let biases = AttentionLayer::biases(heads, width, is_last);
        Ok(Layer {
            heads,
            width,
            weights: random((heads, inputs, width))?,
            source: random((heads, width, 1))?,
            target: random((heads, width, 1))?,
            bias: Var::from_vec(vec![0.0_f32; biases], biases, &Device::Cpu)?,
            is_last,
        })
    }

    /// The nodes of `seen`, from the rows of the layer before. As in the native layer, shares are of what is read, not
    /// of what the heads make of it: few rows are then multiplied with the weights.
    fn apply(&self, before: &Tensor, seen: &Seen) -> Result<Tensor, TrainError> {
        let rows = before.index_select(&seen.rows, 0)?;
        let inputs = rows.dim(1)?;
        // Inputs × heads.
        let folded = |factors: &Var| self.weights.matmul(factors)?.squeeze(2)?.t();
        let shape = (seen.nodes, seen.width, self.heads);
        let sources = rows.matmul(&folded(&self.source)?)?.reshape(shape)?;
        let rows = rows.reshape((seen.nodes, seen.width, inputs))?;
        let own = rows.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?;
        let targets = own.matmul(&folded(&self.target)?)?.unsqueeze(1)?;
        let sums = sources.broadcast_add(&targets)?;
        let scores = sums.maximum(&(&sums * f64::from(LEAK))?)?.broadcast_add(&seen.mask)?;
        // Shares do not change where all scores do by as much, so the largest counts as given.
        let powers = scores.broadcast_sub(&scores.max_keepdim(1)?.detach())?.exp()?;
        let shares = powers.broadcast_div(&powers.sum_keepdim(1)?)?;
        // Heads × nodes × inputs, then × width.
        let mixed = shares.transpose(1, 2)?.contiguous()?.matmul(&rows)?.transpose(0, 1)?.contiguous()?;
        let made = mixed.matmul(&self.weights)?;
        if self.is_last {
            return Ok(made.mean(0)?.broadcast_add(&self.bias)?);
        }
        let joined = made.transpose(0, 1)?.contiguous()?.reshape((seen.nodes, self.heads * self.width))?;
        Ok(joined.broadcast_add(&self.bias)?.elu(1.0)?)
    }

    fn numbers(&self) -> Result<AttentionLayer, TrainError> {
        let flat = |var: &Tensor| var.contiguous()?.flatten_all()?.to_vec1::<f32>();
        Ok(AttentionLayer {
            heads: self.heads,
            width: self.width,
            weights: flat(&self.weights.transpose(1, 2)?)?,
            source: flat(&self.source)?,
            target: flat(&self.target)?,
            bias: flat(&self.bias)?,
        })
    }
}

/// What the first layer reads of every node; zeros of those that are not linked.
fn read<C: Corpus>(
    vectors: Vectors<'_, C>,
    input: &Matrix,
    mean: &[f32],
    on_progress: OnTrainProgress<'_>,
) -> Result<Tensor, TrainError> {
    let nodes = vectors.corpus.nodes() as usize;
    let columns = input.transposed();
    let mut rows = Vec::with_capacity(nodes * input.rows);
    for first in (0..nodes).step_by(NODES_PER_BLOCK) {
        report(on_progress, TrainPhase::Nodes, first, nodes)?;
        let block = vectors.centred(first as u32..nodes.min(first + NODES_PER_BLOCK) as u32, mean)?;
        rows.extend_from_slice(&block.times(&columns).data);
    }
    Ok(Tensor::from_vec(rows, (nodes, input.rows), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::KeyModel;
    use crate::train::PcaOptions;
    use crate::train::attention::{Fields, corrections};
    use crate::train::start::start;
    use redknot_index::Metric;
    use std::ops::ControlFlow;

    /// Random vectors in a random graph, some nodes without a neighbour.
    struct Random {
        rows: Vec<Vec<f32>>,
        links: Vec<Vec<u32>>,
    }

    const DIM: usize = 12;
    const NODES: usize = 400;

    impl Random {
        fn new() -> Random {
            let mut rng = Rng::with_seed(21);
            let rows = (0..NODES).map(|_| (0..DIM).map(|at| rng.f32() * (3.0 - 0.2 * at as f32)).collect());
            let rows = rows.collect();
            let links = (0..NODES).map(|node| {
                let count = rng.usize(0..12);
                let others = (0..NODES as u32).filter(|other| *other as usize != node);
                rng.choose_multiple(others, count)
            });
            Random { links: links.collect(), rows }
        }
    }

    impl Corpus for Random {
        fn metric(&self) -> Metric {
            Metric::L2
        }

        fn dim(&self) -> usize {
            DIM
        }

        fn nodes(&self) -> u32 {
            NODES as u32
        }

        fn is_linked(&self, _node: u32) -> Result<bool, TrainError> {
            Ok(true)
        }

        fn read_vector(&self, node: u32, out: &mut [f32]) -> Result<(), TrainError> {
            out.copy_from_slice(&self.rows[node as usize]);
            Ok(())
        }

        fn read_neighbors(&self, node: u32, out: &mut Vec<u32>) -> Result<(), TrainError> {
            out.clone_from(&self.links[node as usize]);
            Ok(())
        }
    }

    fn stack(corpus: &Random, layers: usize, heads: usize, hidden: usize) -> (Stack, Start) {
        let vectors = Vectors::new(corpus).unwrap();
        let pca = PcaOptions { key_bytes: Some(32), ..PcaOptions::default() };
        let start = start(vectors, &vectors.linked().unwrap(), &pca, 0).unwrap();
        let options = AttentionOptions { layers, heads, hidden, inputs: 7, ..AttentionOptions::default() };
        let stack = Stack::new(vectors, &start, &options, 3, &|_| ControlFlow::Continue(())).unwrap();
        let mut rng = Rng::with_seed(9);
        // Biases and output begin at 0, where they would hide mistakes.
        for var in stack.parameters().iter().filter(|var| var.dims().len() < 3) {
            let numbers: Vec<f32> = (0..var.elem_count()).map(|_| rng.f32() - 0.5).collect();
            var.set(&Tensor::from_vec(numbers, var.shape(), &Device::Cpu).unwrap()).unwrap();
        }
        (stack, start)
    }

    #[test]
    fn native_attention_computes_the_same() {
        let corpus = Random::new();
        let vectors = Vectors::new(&corpus).unwrap();
        for (layers, heads, hidden) in [(1, 4, 8), (2, 3, 5), (3, 4, 128)] {
            let (stack, start) = stack(&corpus, layers, heads, hidden);
            let nodes: Vec<u32> = (0..100).map(|at| at * 7 % NODES as u32).collect();
            let fields = Fields { vectors, layers, neighbors: 3 };
            let ours = stack.corrections(&fields.draw(&nodes, None).unwrap()).unwrap();
            let attention = Some(stack.attention(start.scale).unwrap());
            let model = KeyModel { attention, ..start.model.clone() };
            model.check().unwrap();
            let native = corrections(vectors, &model, &nodes).unwrap().unwrap();
            let ours = ours.to_vec2::<f32>().unwrap();
            assert!(ours.iter().flatten().any(|x| x.abs() > 0.05));
            for (ours, native) in ours.iter().flatten().zip(&native.data) {
                let native = native / start.scale;
                assert!((ours - native).abs() < 1e-4 * (1.0 + ours.abs()), "{layers}: {ours} {native}");
            }
        }
    }

    #[test]
    fn gradients_are_slopes() {
        let corpus = Random::new();
        let (stack, _) = stack(&corpus, 2, 2, 3);
        let fields = Fields { vectors: Vectors::new(&corpus).unwrap(), layers: 2, neighbors: 4 };
        let mut rng = Rng::with_seed(4);
        let nodes: Vec<u32> = (0..30).map(|_| rng.u32(..NODES as u32)).collect();
        let field = fields.draw(&nodes, Some(&mut rng)).unwrap();
        let weights: Vec<f32> = (0..30 * stack.output.dim(1).unwrap()).map(|_| rng.f32() - 0.5).collect();
        let weights = Tensor::from_vec(weights, (30, ()), &Device::Cpu).unwrap();
        let loss = || (stack.corrections(&field).unwrap() * &weights).unwrap().sum_all().unwrap();
        let value = || f64::from(loss().to_scalar::<f32>().unwrap());
        let gradients = loss().backward().unwrap();
        for var in stack.parameters() {
            let gradient = gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let numbers = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let at = rng.usize(..numbers.len());
            let moved = |by: f32| {
                let mut numbers = numbers.clone();
                numbers[at] += by;
                var.set(&Tensor::from_vec(numbers, var.shape(), &Device::Cpu).unwrap()).unwrap();
                value()
            };
            let slope = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            moved(0.0);
            let expected = f64::from(gradient[at]);
            assert!((slope - expected).abs() < 0.02 * (1.0 + expected.abs()), "{slope} {expected}");
        }
    }

    #[test]
    fn few_neighbors_are_drawn_and_all_are_seen() {
        let corpus = Random::new();
        let fields = Fields { vectors: Vectors::new(&corpus).unwrap(), layers: 2, neighbors: 4 };
        let nodes = [5, 6, 5];
        let drawn = fields.draw(&nodes, Some(&mut Rng::with_seed(1))).unwrap();
        assert!(drawn.layers.iter().all(|seen| seen.width <= 5));
        assert_eq!(drawn.places.to_vec1::<u32>().unwrap(), [0, 1, 0]);
        let all = fields.draw(&nodes, None).unwrap();
        assert_eq!(all.layers[1].nodes, 2);
        let most = corpus.links[5].len().max(corpus.links[6].len());
        assert_eq!(all.layers[1].width, 1 + most);
    }
}
