//! Random key models.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod oracle;

use redknot_gnn::routing::{Attention, AttentionLayer, KeyModel, Slot};

/// A model whose numbers mean nothing but are all in range.
pub(crate) fn random_model(dim: usize, coordinates: usize, key_bytes: usize, seed: u64) -> KeyModel {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut numbers = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.f32() - 0.5).collect() };
    let (mean, nodes) = (numbers(dim), numbers(coordinates * dim));
    let (mut queries, query_linear) = (numbers(coordinates * dim), numbers(dim));
    // Some machines round these to bf16, which then changes nothing.
    queries.iter_mut().for_each(|weight| *weight = f32::from_bits(weight.to_bits() & 0xffff_0000));
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
        bias_base: -1.0,
        bias_step: 0.01,
        attention: None,
    }
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
