//! Random key models.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod documented;
pub(crate) mod oracle;

use redknot_gnn::routing::{Attention, AttentionLayer, KeyModel, Slot};

/// A model whose numbers mean nothing but are all in range; with even seeds ν is 0.
pub(crate) fn random_model(dim: usize, coordinates: usize, key_bytes: usize, seed: u64) -> KeyModel {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut numbers = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.f32() - 0.5).collect() };
    let (nodes, query_linear) = (numbers(coordinates * dim), numbers(dim));
    // Some machines round these to 127 steps from 0 to the largest of a row, which then changes nothing.
    let queries = (0..coordinates * dim).map(|at| steps(at.is_multiple_of(dim), &mut rng) / 256.0).collect();
    let mean = (0..dim).map(|_| rng.i32(-64..=64) as f32 / 128.0).collect();
    let slot = |j: usize| Slot { coordinate: (j % coordinates) as u16, step: rng.f32() * 0.3 + 0.05 };
    KeyModel {
        dim,
        key_bytes,
        mean,
        nodes,
        queries,
        query_linear,
        query_constant: -0.25,
        slots: (0..(key_bytes - 2) * 4).map(slot).collect(),
        lambda: 0.3,
        kappa: 0.6,
        nu: if seed.is_multiple_of(2) { 0.0 } else { 0.4 },
        bias_base: -200.0,
        bias_step: 0.01,
        attention: None,
    }
}

/// A whole number of at most 127 either way; just so many where it is the `largest`.
fn steps(largest: bool, rng: &mut fastrand::Rng) -> f32 {
    let steps = if largest { 127 } else { rng.i32(0..=127) };
    if rng.bool() { steps as f32 } else { -(steps as f32) }
}

/// Has the model's projections take two bytes a weight.
pub(crate) fn shorten(model: &mut KeyModel) {
    let weights = model.nodes.iter_mut().chain(&mut model.queries);
    weights.for_each(|weight| *weight = half::bf16::from_f32(*weight).to_f32());
}

/// A query which less the model's mean is a whole number of 127 steps in each component, and so changes nothing when it is
/// rounded to these.
pub(crate) fn random_query(model: &KeyModel, seed: u64) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed);
    model.mean.iter().enumerate().map(|(at, mean)| mean + steps(at == 0, &mut rng) / 128.0).collect()
}

/// Attention whose numbers mean nothing, for a model of so many components and coordinates.
pub(crate) fn random_attention(
    [dim, coordinates]: [usize; 2],
    inputs: usize,
    layers: &[(usize, usize)],
    seed: u64,
) -> Attention {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xa77e_4710);
    let mut numbers = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.f32() - 0.5).collect() };
    let mut width_before = inputs;
    let mut made = Vec::new();
    for (number, &(heads, width)) in layers.iter().enumerate() {
        let is_last = number + 1 == layers.len();
        made.push(AttentionLayer {
            heads,
            width,
            weights: numbers(heads * width * width_before),
            source: numbers(heads * width),
            target: numbers(heads * width),
            bias: numbers(if is_last { width } else { heads * width }),
        });
        width_before = heads * width;
    }
    let output = layers.last().map_or(0, |layer| layer.1) * coordinates;
    Attention { input: numbers(inputs * dim), layers: made, output: numbers(output) }
}
